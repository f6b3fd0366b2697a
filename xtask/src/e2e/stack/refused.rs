//! What stands in the way of a stack: each is a clear error with its cure and its exit code, and what is there stays as it is.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::super::disk::SmallDisk;
use super::world::{self, World};
use super::{CONTAINERS, Outcome, Rig, ran, step, wait, with_rig};
use crate::docker::{self, IMAGE};
use crate::shell;

type Step = (&'static str, fn(&Rig) -> Result<()>);

/// Each leaves nothing behind, but for the last ones, which end with a stack that runs.
const STEPS: &[Step] = &[
    (
        "values that do not fit are refused with the forms that do",
        values,
    ),
    ("no Docker", no_docker),
    ("no permission for Docker", no_permission),
    ("ports in use are found before anything starts", ports_in_use),
    ("an image that cannot be pulled", no_image),
    ("an image of another architecture", other_architecture),
    ("a disk without room", no_room),
    ("a container, a network and a folder of somebody else", foreign),
    ("a container that exits at once shows what it said", exits_at_once),
    ("what was in the way can be adopted", adopted),
];

/// All of [`STEPS`].
pub(in super::super) fn one_by_one() -> Result<Outcome> {
    with_rig(|rig| {
        let others = rig.folder.path().join("others");
        world::make(&rig.docker, &others)?;
        for (name, run) in STEPS {
            step(name, || {
                let before = World::of(&rig.docker, &others)?;
                run(rig)?;
                World::of(&rig.docker, &others)?.is_as(&before)
            })?;
        }
        Ok(())
    })
}

/// Fails when a refused setup has made anything.
fn nothing_was_made(rig: &Rig) -> Result<()> {
    let left = rig.leftovers()?;
    if !left.is_empty() || rig.base().exists() {
        bail!(
            "something was made: {left:?}, {} {}",
            rig.base().display(),
            rig.base().exists()
        );
    }
    Ok(())
}

fn values(rig: &Rig) -> Result<()> {
    for (args, code, said) in [
        (["--retention-time", "long"], 2, "15d"),
        (["--retention-size", "5 apples"], 2, "GB"),
        (["--scrape-interval", "0s"], 2, "15s"),
        (["--port", "prometheus=70000"], 2, "65535"),
        (["--port", "loki=3000"], 2, "node-exporter"),
        (["--without", "prometheus"], 1, "masthead agent"),
    ] {
        let ran = rig.run("setup", &args)?;
        ran.expect(code, &[said]).with_context(|| format!("{args:?}"))?;
    }
    nothing_was_made(rig)
}

fn no_docker(rig: &Rig) -> Result<()> {
    for name in ["setup", "check", "status", "remove"] {
        let mut command = rig.stack(name, if name == "remove" { &["--yes"] } else { &[] });
        command.env(
            "DOCKER_HOST",
            format!("unix://{}/none.sock", rig.folder.path().display()),
        );
        ran(&mut command)?
            .expect(6, &["none.sock", "systemctl start docker"])
            .with_context(|| name)?;
    }
    nothing_was_made(rig)
}

fn no_permission(rig: &Rig) -> Result<()> {
    // Nobody may not look into a developer's home, where the binary may be.
    let binary = rig.folder.path().join("masthead");
    fs::copy(shell::release_binary(), &binary)?;
    fs::set_permissions(rig.folder.path(), fs::Permissions::from_mode(0o755))?;
    let mut command = rig.docker.inside("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&binary)
        .args(["setup", "--base-dir"])
        .arg(rig.base())
        .current_dir("/");
    ran(&mut command)?.expect(6, &["docker.sock", "usermod -aG docker"])?;
    nothing_was_made(rig)
}

/// A program that has a port of the engine's host.
struct Holder(Child);

impl Holder {
    fn new(rig: &Rig, address: &str, port: u16) -> Result<Self> {
        let child = rig
            .docker
            .inside("busybox")
            .args(["httpd", "-f", "-p", &format!("{address}:{port}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start httpd")?;
        let holder = Self(child);
        wait("the port is taken", || {
            let text = shell::output(rig.docker.inside("cat").arg("/proc/net/tcp"))?;
            Ok(text.contains(&format!(":{port:04X} 00000000:0000 0A")))
        })?;
        Ok(holder)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn ports_in_use(rig: &Rig) -> Result<()> {
    {
        let _holders = [
            Holder::new(rig, "127.0.0.1", 9090)?,
            Holder::new(rig, "0.0.0.0", 9100)?,
        ];
        // Both at once, with who has them.
        rig.run("setup", &["--pull", "never"])?.expect(
            1,
            &[
                "9090",
                "--port prometheus=",
                "9100",
                "--port node-exporter=",
                "busybox",
            ],
        )?;
        nothing_was_made(rig)?;
        let steps = rig.plan(&["--port", "prometheus=9091", "--port", "node-exporter=9101"])?;
        if steps.is_empty() {
            bail!("with other ports there is a plan");
        }
    }
    nothing_was_made(rig)
}

fn no_image(rig: &Rig) -> Result<()> {
    let image = docker::stack::name("cadvisor")?;
    rig.docker.cli(&["tag", image, "kept:1"])?;
    rig.docker.cli(&["rmi", image])?;
    let outcome = (|| {
        rig.run("setup", &["--pull", "never"])?
            .expect(1, &[image, "docker load"])?;
        nothing_was_made(rig)?;
        // There is no registry for this engine, whose network has no way out.
        rig.run("setup", &[])?
            .expect(1, &[image, "ghcr.io", "--pull never"])
    })();
    rig.docker.cli(&["tag", "kept:1", image])?;
    rig.docker.cli(&["rmi", "kept:1"])?;
    outcome?;
    let left = rig.leftovers()?;
    match left.iter().any(|name| CONTAINERS.contains(&name.as_str())) {
        true => bail!("containers were made before their images were there: {left:?}"),
        false => rig.done("remove", &["--purge-data", "--yes"]).map(|_| ()),
    }
}

fn other_architecture(rig: &Rig) -> Result<()> {
    let image = docker::stack::name("node-exporter")?;
    rig.docker.cli(&["tag", image, "kept:1"])?;
    let other = match std::env::consts::ARCH {
        "aarch64" => "amd64",
        _ => "arm64",
    };
    let folder = rig.folder.path().join("foreign-image");
    fs::create_dir(&folder)?;
    // An image without layers, in the form of `docker save`.
    let config = format!(
        r#"{{"architecture":"{other}","os":"linux","config":{{"Cmd":["x"]}},"rootfs":{{"type":"layers","diff_ids":[]}}}}"#
    );
    fs::write(folder.join("config.json"), config)?;
    let manifest = format!(r#"[{{"Config":"config.json","RepoTags":["{image}"],"Layers":[]}}]"#);
    fs::write(folder.join("manifest.json"), manifest)?;
    let file = rig.folder.path().join("foreign-image.tar");
    shell::output(
        Command::new("tar")
            .arg("-C")
            .arg(&folder)
            .arg("-cf")
            .arg(&file)
            .args(["config.json", "manifest.json"]),
    )?;
    rig.docker
        .cli(&["load", "--input", &file.display().to_string()])?;
    let made = rig
        .docker
        .cli(&["image", "inspect", "--format", "{{.Id}}", image])?;
    let outcome = rig
        .run("setup", &["--pull", "never"])
        .and_then(|ran| ran.expect(1, &[image, other]));
    rig.docker.cli(&["tag", "kept:1", image])?;
    rig.docker.cli(&["rmi", "kept:1", &made])?;
    outcome?;
    nothing_was_made(rig)
}

fn no_room(rig: &Rig) -> Result<()> {
    let small = rig.folder.path().join("small");
    let disk = SmallDisk::mount(&small, "4m")?;
    let base = small.join("base").display().to_string();
    let mut command = rig.command(&["setup", "--pull", "never", "--base-dir", &base]);
    let outcome = ran(&mut command)?.expect(1, &[&small.display().to_string(), "free"]);
    let is_empty = fs::read_dir(&small)?.next().is_none();
    drop(disk);
    outcome?;
    if !is_empty {
        bail!("something was made on a disk without room");
    }
    nothing_was_made(rig)
}

fn foreign(rig: &Rig) -> Result<()> {
    let file = rig.base().join("prometheus.yml");
    let _gone = fs::remove_dir_all(rig.base());
    fs::create_dir(rig.base())?;
    fs::write(&file, "mine\n")?;
    rig.docker.cli(&["network", "create", "masthead"])?;
    rig.docker
        .run("masthead-cadvisor", &["--network=none"], IMAGE, &["burn"])?;
    let state = || -> Result<_> {
        let inspected = rig.docker.cli(&["inspect", "masthead-cadvisor", "masthead"])?;
        Ok((
            inspected,
            fs::read_to_string(&file)?,
            fs::read_dir(rig.base())?.count(),
        ))
    };
    let before = state()?;
    let base = rig.base().display().to_string();
    for args in [&["--pull", "never"][..], &["--dry-run"]] {
        rig.run("setup", args)?
            .expect(4, &["masthead-cadvisor", "network", &base, "--adopt"])?;
    }
    // What is not ours is not stopped, restarted or removed either.
    for (name, args) in [
        ("stop", &[][..]),
        ("restart", &[]),
        ("remove", &["--purge-data", "--yes"]),
    ] {
        rig.run(name, args).with_context(|| name)?;
    }
    if before != state()? {
        bail!("somebody else's things were touched:\n{before:?}\n{:?}", state()?);
    }
    Ok(())
}

fn exits_at_once(rig: &Rig) -> Result<()> {
    // A setup of its own, without what is in the way.
    let image = docker::stack::name("node-exporter")?;
    rig.docker.cli(&["rm", "--force", "masthead-cadvisor"])?;
    rig.docker.cli(&["network", "rm", "masthead"])?;
    fs::remove_dir_all(rig.base())?;
    rig.docker.cli(&["tag", image, "kept:1"])?;
    let entrypoint = "ENTRYPOINT [\"/bin/sh\", \"-c\", \"echo the sensor is on fire >&2; exit 3\"]";
    let burning = rig
        .docker
        .cli(&["commit", "--change", entrypoint, "others-done", image])?;
    let outcome = rig
        .run("setup", &["--pull", "never"])
        .and_then(|ran| ran.expect(1, &["masthead-node-exporter", "the sensor is on fire"]));
    rig.docker.cli(&["tag", "kept:1", image])?;
    rig.docker.cli(&["rmi", "kept:1"])?;
    outcome?;
    rig.run("check", &[])?.expect(3, &["node-exporter"])?;
    // The next run goes on from there: it replaces what was made of the wrong image, or leaves it to be replaced by hand.
    rig.done("remove", &["--purge-data", "--yes"])?;
    rig.docker.cli(&["rmi", &burning])?;
    let _gone = fs::remove_dir_all(rig.base());
    nothing_was_made(rig)
}

fn adopted(rig: &Rig) -> Result<()> {
    fs::create_dir(rig.base())?;
    fs::write(rig.base().join("prometheus.yml"), "mine\n")?;
    fs::write(rig.base().join("notes.txt"), "mine\n")?;
    rig.docker.cli(&["network", "create", "masthead"])?;
    rig.docker
        .run("masthead-prometheus", &["--network=masthead"], IMAGE, &["burn"])?;
    rig.set_up(&["--adopt"])?;
    rig.is_settled()?;
    if fs::read_to_string(rig.base().join("notes.txt"))? != "mine\n" {
        bail!("a file that is not in the way was touched");
    }
    let kept = fs::read_dir(rig.base())?
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("prometheus.yml"))
        .any(|entry| fs::read_to_string(entry.path()).is_ok_and(|text| text == "mine\n"));
    if !kept {
        bail!("the file that was replaced is kept nowhere");
    }
    Ok(())
}

/// `kill` of another program.
pub(super) fn signal(pid: u32, name: &str) -> Result<()> {
    shell::output(Command::new("kill").args([&format!("-{name}"), &pid.to_string()])).map(|_| ())
}
