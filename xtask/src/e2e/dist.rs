//! What is released, made of the binary at hand: the tarball as a user unpacks it, and the image on a real engine.
//!
//! This binary is built for this machine's C library, so whether a release starts on Debian 11 is not looked at here: `cargo xtask dist`
//! checks the symbols of what it builds for it, `cargo xtask soak dist` runs that there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Outcome;
use crate::dist::{self, COMPLETIONS, Libraries, Release};
use crate::docker::Docker;
use crate::server::TempDir;
use crate::shell;

/// Longer than the image needs to be healthy: its first check comes with the first interval.
const HEALTHY_LIMIT: Duration = Duration::from_secs(60);

fn pack(out: &Path) -> Result<Release> {
    dist::pack(&shell::release_binary(), &Libraries::below(Path::new("/")), out)
}

/// The tarball: checksums hold, and everything in it is what its reader can read.
pub(super) fn tarball() -> Result<Outcome> {
    for (program, package) in [
        ("objdump", "binutils"),
        ("groff", "groff-base"),
        ("systemd-analyze", "systemd"),
    ] {
        if let Err(why) = shell::obtain(&[program], package) {
            return Ok(Outcome::Missing(why));
        }
    }
    let folder = TempDir::new("release")?;
    let release = pack(folder.path())?;
    shell::output(
        Command::new("sha256sum")
            .args(["--check", "--strict", "SHA256SUMS"])
            .current_dir(folder.path()),
    )?;
    let again = TempDir::new("release-again")?;
    let sums = fs::read_to_string(&release.sums)?;
    if fs::read_to_string(pack(again.path())?.sums)? != sums {
        bail!("packed twice, the bytes differ");
    }
    shell::output(
        Command::new("tar")
            .arg("-xzf")
            .arg(&release.tarball)
            .current_dir(folder.path()),
    )?;
    let name = format!("masthead-{}-linux-{}", dist::VERSION, std::env::consts::ARCH);
    let top = folder.path().join(name);
    let binary = top.join("masthead");
    let version = shell::output(Command::new(&binary).arg("--version"))?;
    if version.trim() != format!("masthead {}", dist::VERSION) {
        bail!("the program in the tarball says it is {version}");
    }
    for file in ["LICENSE", "README.md", "install.md"] {
        if fs::metadata(top.join(file))?.len() == 0 {
            bail!("{file} is empty");
        }
    }
    completions(&top)?;
    manual(&top.join("man"))?;
    unit(&top, &binary)?;
    without_systemd(&binary)?;
    println!("     the symbols of glibc are not judged here: `cargo xtask dist` does that");
    Ok(Outcome::Passed)
}

fn completions(top: &Path) -> Result<()> {
    for (name, file) in COMPLETIONS {
        let path = top.join("completions").join(file);
        if !fs::read_to_string(&path)?.contains("retention-time") {
            bail!("{file} does not know the flags of `up`");
        }
        // Of the shells only bash is there for sure; all three have `-n`.
        if *name == "bash" || shell::which(name).is_some() {
            shell::output(Command::new(name).arg("-n").arg(&path))?;
        }
    }
    // Parsed is not yet right: let bash complete a word with it.
    let script = top.join("completions/masthead.bash");
    let ask = "source \"$1\"; COMP_WORDS=(masthead \"$2\"); COMP_CWORD=1; _masthead masthead \"$2\" masthead; echo \"${COMPREPLY[*]}\"";
    for (begun, want) in [
        ("servi", "service"),
        ("serve", "server"),
        ("serv", "server service"),
    ] {
        let mut bash = Command::new("bash");
        let completed = shell::output(bash.args(["-c", ask, "bash"]).arg(&script).arg(begun))?;
        if completed.trim() != want {
            bail!("bash completes `masthead {begun}` to {completed:?}");
        }
    }
    Ok(())
}

fn manual(folder: &Path) -> Result<()> {
    let mut pages: Vec<PathBuf> = fs::read_dir(folder)?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    pages.sort();
    let names: Vec<String> = pages
        .iter()
        .filter_map(|page| page.file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    for wanted in ["masthead.1", "masthead-up.1", "masthead-service-install.1"] {
        if !names.iter().any(|name| name == wanted) {
            bail!("no {wanted} among {names:?}");
        }
    }
    for page in &pages {
        let output = Command::new("groff")
            // Bold and underlined letters would be written twice, one over the other.
            .args(["-man", "-Tutf8", "-ww", "-P-cbou"])
            .arg(page)
            .output()
            .context("cannot start groff")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let complaints = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() || !complaints.is_empty() || !text.contains("SYNOPSIS") {
            bail!("{} does not render: {complaints}", page.display());
        }
    }
    println!("     {} manual pages render", pages.len());
    Ok(())
}

/// systemd reads the unit without a complaint, and finds little to attack.
fn unit(top: &Path, binary: &Path) -> Result<()> {
    let text = fs::read_to_string(top.join("masthead.service"))?;
    // It wants its program where it says; here that is where the tarball was unpacked.
    let here = text.replace("/usr/local/bin/masthead", &binary.display().to_string());
    let path = top.join("here").join("masthead.service");
    fs::create_dir_all(top.join("here"))?;
    fs::write(&path, here)?;
    let verify = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&path)
        .output()?;
    let complaints: Vec<String> = String::from_utf8_lossy(&verify.stderr)
        .lines()
        // Of other units of this machine it complains too.
        .filter(|line| line.contains("masthead.service"))
        .map(str::to_string)
        .collect();
    if !complaints.is_empty() {
        bail!("systemd-analyze verify: {}", complaints.join("\n"));
    }
    // Versions before 250 cannot judge a file; there the soak test asks the running service.
    let mut judge = Command::new("systemd-analyze");
    judge
        .args(["security", "--no-pager", "--offline=yes", "--threshold=30"])
        .arg(&path);
    let judged = judge.output()?;
    let text = String::from_utf8_lossy(&judged.stdout);
    if let Some(line) = text.lines().find(|line| line.contains("exposure level")) {
        println!("     {}", line.trim_start_matches(['→', ' ']));
        if !judged.status.success() {
            bail!("systemd finds the unit too open:\n{text}");
        }
    }
    Ok(())
}

/// Where systemd does not run, `service install` says what to do instead and changes nothing.
fn without_systemd(binary: &Path) -> Result<()> {
    if Path::new("/run/systemd/system").is_dir() {
        println!("     systemd runs this machine: `service install` without one is not looked at");
        return Ok(());
    }
    let install = |words: &[&str]| {
        dist::plain(binary)
            .args(["service", "install", "--retention-time", "30d"])
            .args(words)
            .output()
    };
    let said = install(&[])?;
    let text = String::from_utf8_lossy(&said.stdout);
    for want in ["@reboot", "docker run", "--retention-time 30d"] {
        if said.status.success() || !text.contains(want) {
            bail!("without systemd `{want}` is wanted: {text}");
        }
    }
    let json: serde_json::Value = serde_json::from_slice(&install(&["--json"])?.stdout)?;
    if json["systemd"] != false || !json["instead"]["cron"].is_string() {
        bail!("without systemd: {json}");
    }
    // The line is not only shown: it runs.
    let command = json["instead"]["command"].as_str().unwrap_or_default();
    if !command.contains(&binary.display().to_string()) {
        bail!("the command line names another program: {command}");
    }
    if Path::new("/etc/systemd/system/masthead.service").exists() {
        bail!("a unit was written where systemd does not run");
    }
    Ok(())
}

/// The image: built from its context alone, run as the document says, it is healthy and sees the host and its containers.
pub(super) fn image() -> Result<Outcome> {
    let docker = match shell::obtain(&["objdump"], "binutils").and_then(|_| Docker::start(&[])) {
        Ok(docker) => docker,
        Err(why) => return Ok(Outcome::Missing(why)),
    };
    let folder = TempDir::new("release-image")?;
    let release = pack(folder.path())?;
    let image = format!("masthead:{}", dist::VERSION);
    build_image(&docker, &release.image, &image)?;
    docker.burn("neighbour", &["--network=none"], &[])?;
    as_documented(&docker)?;
    without_root(&docker, &image, folder.path())?;
    Ok(Outcome::Passed)
}

/// `docker build - < FILE`
fn build_image(docker: &Docker, context: &Path, tag: &str) -> Result<()> {
    let output = docker
        .command("docker")
        // The builder that every engine has; the newer one is a plugin and would ask a registry for its own image.
        .env("DOCKER_BUILDKIT", "0")
        .args(["build", "--network=none", "--tag", tag, "-"])
        .stdin(fs::File::open(context)?)
        .output()
        .context("cannot start docker")?;
    if !output.status.success() {
        bail!("docker build: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// The `docker run` of docs/install.md, word for word but for the place of the engine's socket.
fn as_documented(docker: &Docker) -> Result<()> {
    let document = fs::read_to_string(shell::root().join("docs/install.md"))?;
    let command = documented_run(&document).context("docs/install.md has no `docker run`")?;
    let socket_folder = docker
        .socket()
        .parent()
        .map(|folder| folder.display().to_string())
        .unwrap_or_default();
    let words: Vec<String> = command
        .into_iter()
        .skip(1)
        .map(|word| match word.as_str() {
            "/var/run:/var/run:ro" => format!("{socket_folder}:/var/run:ro"),
            // Where systemd is not the first process, nobody has made `/` shared, and the engine refuses `rslave`.
            "/:/host:ro,rslave" if !root_is_shared() => "/:/host:ro".to_string(),
            _ => word,
        })
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    docker.cli(&words)?;
    wait_healthy(docker, "masthead")?;
    sees_host(docker, "masthead")?;
    // This is what `--cap-add SYS_PTRACE` is for.
    wait_for(
        docker,
        "masthead",
        "container_file_descriptors{name=\"neighbour\"} > 0",
    )?;
    println!("     as documented: healthy, sees the host, its containers and their open files");
    docker.cli(&["rm", "--force", "masthead"])?;
    Ok(())
}

/// Do mounts of this machine reach the namespaces made from it?
fn root_is_shared() -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts
        .lines()
        .rev()
        .find(|line| line.split(' ').nth(4) == Some("/"))
        .is_some_and(|line| line.contains(" shared:"))
}

/// The words of the first `docker run` in a document, with continued lines joined.
fn documented_run(document: &str) -> Option<Vec<String>> {
    let (_, after) = document.split_once("\ndocker run ")?;
    let (block, _) = after.split_once("\n```")?;
    let mut words = vec!["docker".to_string(), "run".to_string()];
    words.extend(
        block
            .split_whitespace()
            .filter(|word| *word != "\\")
            .map(str::to_string),
    );
    Some(words)
}

/// As a user who is nobody but may ask the engine.
fn without_root(docker: &Docker, image: &str, folder: &Path) -> Result<()> {
    let data = folder.join("data");
    fs::create_dir(&data)?;
    shell::output(Command::new("chown").arg("65534:65534").arg(&data))?;
    let group = shell::output(Command::new("stat").args(["-c", "%g"]).arg(docker.socket()))?;
    let socket_folder = docker
        .socket()
        .parent()
        .map(|folder| folder.display().to_string())
        .unwrap_or_default();
    let user = format!("--user=65534:{}", group.trim());
    let volumes = [
        format!("--volume={socket_folder}:/var/run:ro"),
        format!("--volume={}:/var/lib/masthead", data.display()),
    ];
    docker.cli(&[
        "run",
        "--detach",
        "--name=nobody",
        &user,
        "--network=host",
        "--pid=host",
        "--read-only",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--volume=/:/host:ro",
        "--volume=/proc:/host/proc:ro",
        "--volume=/sys:/host/sys:ro",
        &volumes[0],
        &volumes[1],
        image,
    ])?;
    wait_healthy(docker, "nobody")?;
    sees_host(docker, "nobody")?;
    println!("     without root: healthy, sees the host and its containers");
    Ok(())
}

fn wait_healthy(docker: &Docker, name: &str) -> Result<()> {
    let began = Instant::now();
    loop {
        // The health check itself, without waiting for its interval.
        let health = docker.cli(&["exec", name, "masthead", "health"]);
        if health.is_ok() {
            break;
        }
        if began.elapsed() > HEALTHY_LIMIT {
            bail!(
                "{name} is not ready: {health:?}\n{}",
                docker.cli(&["logs", name]).unwrap_or_default()
            );
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    while docker.inspect(name, ".State.Health.Status")? != "healthy" {
        if began.elapsed() > HEALTHY_LIMIT {
            bail!(
                "{name} is not healthy: {}",
                docker.inspect(name, "json .State.Health")?
            );
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// Memory, processes and containers of the host, and not those of the container.
fn sees_host(docker: &Docker, name: &str) -> Result<()> {
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let total_kb: f64 = meminfo
        .lines()
        .find_map(|line| {
            line.strip_prefix("MemTotal:")?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .context("no MemTotal")?;
    let shown = wait_for(docker, name, "node_memory_MemTotal_bytes")?;
    if shown != total_kb * 1024.0 {
        bail!("{name}: {shown} bytes of memory, not {total_kb} kB");
    }
    wait_for(docker, name, "container_memory_rss{name=\"neighbour\"}")?;
    root_of_host(docker, name)?;
    Ok(())
}

/// The host's root with its size, and not called read-only because it is mounted so into the container.
fn root_of_host(docker: &Docker, name: &str) -> Result<()> {
    let mounts = fs::read_to_string("/proc/1/mountinfo")?;
    let root = mounts
        .lines()
        .rev()
        .find(|line| line.split(' ').nth(4) == Some("/"))
        .context("no root")?;
    let options = root.split(' ').nth(5).unwrap_or_default();
    let read_only = f64::from(u8::from(options.split(',').any(|option| option == "ro")));
    if root.contains(" - overlay ") {
        println!("     the root of this machine is a kind that is not shown: not compared");
        return Ok(());
    }
    let size = shell::output(Command::new("stat").args(["--file-system", "--format=%b %S", "/"]))?;
    let (blocks, bytes) = size.trim().split_once(' ').context("stat -f")?;
    let size = blocks.parse::<f64>()? * bytes.parse::<f64>()?;
    let shown = wait_for(docker, name, "node_filesystem_size_bytes{mountpoint=\"/\"}")?;
    let shown_read_only = ask(docker, name, "node_filesystem_readonly{mountpoint=\"/\"}")?;
    if shown != size || shown_read_only != read_only {
        bail!(
            "{name}: the host's root has {size} bytes, read-only {read_only}; shown: {shown}, {shown_read_only}"
        );
    }
    Ok(())
}

/// Asks until there is an answer.
fn wait_for(docker: &Docker, name: &str, promql: &str) -> Result<f64> {
    let began = Instant::now();
    loop {
        match ask(docker, name, promql) {
            Ok(value) => return Ok(value),
            Err(why) if began.elapsed() > HEALTHY_LIMIT => {
                bail!("{name}: {promql}: {why:#}\n{}", docker.cli(&["logs", name])?);
            }
            Err(_) => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}

/// The value of a query that gives one series, asked inside the container: its network is not ours.
fn ask(docker: &Docker, name: &str, promql: &str) -> Result<f64> {
    let answer = docker.cli(&["exec", name, "masthead", "query", promql, "--json"])?;
    let json: serde_json::Value = serde_json::from_str(&answer)?;
    match json.as_array().map(Vec::as_slice) {
        Some([one]) => one["values"][0][1]
            .as_str()
            .and_then(|text| text.parse().ok())
            .with_context(|| format!("no value: {answer}")),
        _ => bail!("not one series: {answer}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_command_is_joined() {
        let document = "text\n\n```sh\ndocker run --a b \\\n  --c d:e \\\n  image:1\n```\nmore";
        assert_eq!(
            documented_run(document).expect("found"),
            ["docker", "run", "--a", "b", "--c", "d:e", "image:1"]
        );
        assert_eq!(documented_run("docker run x"), None);
    }
}
