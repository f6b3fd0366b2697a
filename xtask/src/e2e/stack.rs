//! The upstream stack on a real Docker Engine: `masthead setup` and its life cycle, as somebody types them on the engine's host.
//!
//! The engine has a network namespace of its own; what runs in it ([`Docker::inside`]) sees the engine's bridges and the ports that it
//! publishes, as a program on a Docker host does. Prometheus and node_exporter are the real ones, see `docker/stack.rs`.

pub(super) mod backup;
pub(super) mod broken_off;
mod hosts;
pub(super) mod in_one_view;
pub(super) mod life;
pub(super) mod migrate;
mod nodes;
pub(super) mod over_ssh;
pub(super) mod parts;
pub(super) mod reach;
pub(super) mod refused;
pub(super) mod remote;
pub(super) mod swarm;
pub(super) mod upgrade;
mod world;

use std::fs;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Outcome;
use crate::docker::{self, Docker, Mounts};
use crate::http::{self, Response, clip};
use crate::server::TempDir;
use crate::shell;

/// Longer than anything that must happen takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(40);
/// Containers of the stack, in the order of their names.
const CONTAINERS: [&str; 3] = [
    "masthead-cadvisor",
    "masthead-node-exporter",
    "masthead-prometheus",
];
/// The user of every listener.
const USER: &str = "masthead";

/// An engine with the stack's images, and a folder for the stack.
struct Rig {
    docker: Docker,
    folder: TempDir,
    /// As a registered server, where commands are given elsewhere.
    over: Option<Over>,
}

/// From where, and as what, an engine is reached over SSH.
#[derive(Debug, Clone)]
struct Over {
    /// Flags of `nsenter` that lead to where commands are given, and the home of whoever gives them.
    operator: Vec<String>,
    home: PathBuf,
    /// The registered name.
    name: String,
    /// The stack's base directory on the server.
    base: PathBuf,
}

/// What a command said and how it ended.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    /// Both streams, for messages and for what may stand in either.
    fn text(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    /// Fails unless it ended with this code and said all of these.
    fn expect(&self, code: i32, said: &[&str]) -> Result<()> {
        let text = self.text();
        if self.code != Some(code) {
            bail!("exit code {code} is wanted, not {:?}:\n{text}", self.code);
        }
        if let Some(missing) = said.iter().find(|word| !text.contains(**word)) {
            bail!("{missing:?} is wanted in what it said:\n{text}");
        }
        Ok(())
    }
}

/// All containers of a stack with every component, in the order of their names.
const ALL_CONTAINERS: [&str; 7] = [
    "masthead-alertmanager",
    "masthead-cadvisor",
    "masthead-docker-proxy",
    "masthead-grafana",
    "masthead-node-exporter",
    "masthead-prometheus",
    "masthead-pushgateway",
];
/// The optional components, as `--with` and `--without` take them.
const OPTIONAL: &str = "alertmanager,pushgateway,grafana,discovery";

/// Runs a case with a rig of its own; what cannot be had here is something missing, all else a failure.
fn with_rig(case: impl FnOnce(&mut Rig) -> Result<()>) -> Result<Outcome> {
    run_on(Rig::new(Mounts::Machine), case)
}

/// The same with other mounts, and with the images of the optional components too.
fn with_whole_rig(mounts: Mounts, case: impl FnOnce(&mut Rig) -> Result<()>) -> Result<Outcome> {
    let rig = Rig::new(mounts).and_then(|rig| {
        docker::stack::load_optional(&rig.docker)?;
        Ok(rig)
    });
    run_on(rig, case)
}

fn run_on(rig: Result<Rig>, case: impl FnOnce(&mut Rig) -> Result<()>) -> Result<Outcome> {
    match rig {
        Ok(mut rig) => case(&mut rig).map(|()| Outcome::Passed),
        Err(why) => Ok(Outcome::Missing(why)),
    }
}

/// Runs the words behind it where the data of a `masthead up` of this machine, such as `cargo xtask up` leaves, is not seen: with it and a
/// stack, which of the two is meant has to be said.
const WITHOUT_UP: &str = "[ ! -d /var/lib/masthead ] || mount -t tmpfs tmpfs /var/lib/masthead; exec \"$@\"";

impl Rig {
    fn new(mounts: Mounts) -> Result<Self> {
        Self::of(Docker::start_with(&[], mounts)?)
    }

    fn of(docker: Docker) -> Result<Self> {
        docker::stack::load(&docker)?;
        Ok(Self {
            docker,
            folder: TempDir::new("stack")?,
            over: None,
        })
    }

    /// The base directory of the stack.
    fn base(&self) -> PathBuf {
        match &self.over {
            None => self.folder.path().join("base"),
            Some(over) => over.base.clone(),
        }
    }

    /// `masthead ARGS`, without what a developer has set for their own.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = match &self.over {
            None if matches!(args.first(), Some(&("backup" | "restore"))) => {
                let mut command = self.docker.inside("unshare");
                command
                    .args([
                        "--mount",
                        "--propagation",
                        "private",
                        "sh",
                        "-c",
                        WITHOUT_UP,
                        "sh",
                    ])
                    .arg(shell::release_binary());
                command
            }
            None => self.docker.inside(shell::release_binary()),
            Some(over) => over.command(),
        };
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MASTHEAD_") {
                command.env_remove(name);
            }
        }
        command.args(args).stdin(Stdio::null());
        command
    }

    /// `masthead NAME ARGS`, on the rig's stack.
    fn stack(&self, name: &str, args: &[&str]) -> Command {
        let mut command = self.command(&[name]);
        match &self.over {
            None => command.arg("--base-dir").arg(self.base()),
            Some(over) => command.args(["--server", &over.name]),
        };
        command.args(args);
        command
    }

    /// Runs [`Rig::stack`] to its end.
    fn run(&self, name: &str, args: &[&str]) -> Result<Ran> {
        ran(&mut self.stack(name, args))
    }

    /// The same, which must do; gives what it printed.
    fn done(&self, name: &str, args: &[&str]) -> Result<String> {
        let ran = self.run(name, args)?;
        ran.expect(0, &[])
            .with_context(|| format!("masthead {name} {args:?}"))?;
        Ok(ran.out)
    }

    /// Sets the stack up, with images that are there and a scrape each second, so that cases are short.
    fn set_up(&self, args: &[&str]) -> Result<String> {
        self.done(
            "setup",
            &[&["--pull", "never", "--scrape-interval", "1s"], args].concat(),
        )
    }

    /// The steps that a setup would take now.
    fn plan(&self, args: &[&str]) -> Result<Vec<String>> {
        let text = self.done("setup", &[&["--dry-run", "--json"], args].concat())?;
        let json: Value = serde_json::from_str(&text).with_context(|| format!("no JSON: {text}"))?;
        let Some(steps) = json["steps"].as_array() else {
            bail!("a plan without steps: {text}")
        };
        Ok(steps
            .iter()
            .map(|step| {
                step["text"]
                    .as_str()
                    .or(step.as_str())
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect())
    }

    /// The password of a component.
    fn password(&self, component: &str) -> Result<String> {
        let path = self.base().join(format!("secrets/{component}.password"));
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// One request from within the engine's namespace to `HOST:PORT`, with a user's password where there is one.
    fn http(
        &self,
        address: &str,
        method: &str,
        path: &str,
        password: Option<&str>,
        body: &[u8],
    ) -> Result<Response> {
        let mut command = self.docker.inside("busybox");
        exchange(command.arg("nc"), address, method, path, password, body)
    }

    /// `data` of an answer of Prometheus, through its published port.
    fn prometheus(&self, path: &str, form: &[(&str, &str)]) -> Result<Value> {
        let password = self.password("prometheus")?;
        let response = self.http(
            "127.0.0.1:9090",
            "POST",
            path,
            Some(&password),
            http::form_encode(form).as_bytes(),
        )?;
        if response.status != 200 {
            bail!("{path} {form:?}: {}: {}", response.status, clip(&response.text()));
        }
        Ok(response.json()?["data"].take())
    }

    /// The series of an instant query, now: labels and value.
    fn query(&self, promql: &str) -> Result<Vec<(Value, f64)>> {
        let data = self.prometheus("/api/v1/query", &[("query", promql)])?;
        let list = data["result"].as_array().cloned().unwrap_or_default();
        list.into_iter()
            .map(|mut one| {
                let value = one["value"][1].as_str().and_then(|text| text.parse().ok());
                let value = value.with_context(|| format!("{promql}: a sample without a value: {one}"))?;
                Ok((one["metric"].take(), value))
            })
            .collect()
    }

    /// The value of a query that must give exactly one series.
    fn value(&self, promql: &str) -> Result<f64> {
        match self.query(promql)?.as_slice() {
            [(_, value)] => Ok(*value),
            other => bail!("{promql}: one series is wanted, not {}: {other:?}", other.len()),
        }
    }

    /// Waits until a query gives something.
    fn wait_for(&self, promql: &str) -> Result<()> {
        wait(promql, || Ok(!self.query(promql).unwrap_or_default().is_empty()))
    }

    /// Names and ids of the stack's containers.
    fn ids(&self) -> Result<Vec<(String, String)>> {
        CONTAINERS
            .iter()
            .map(|name| Ok(((*name).to_owned(), self.docker.inspect(name, ".Id")?)))
            .collect()
    }

    /// Fails unless every container of the stack is there, running, and a next setup would do nothing.
    fn is_settled(&self) -> Result<()> {
        for name in CONTAINERS {
            let state = self.docker.inspect(name, ".State.Status")?;
            if state != "running" {
                bail!("{name} is {state}");
            }
        }
        match self.plan(&[])?.as_slice() {
            [] => Ok(()),
            steps => bail!("a second setup would still do something: {steps:?}"),
        }
    }

    /// Names of the containers and networks that carry the stack's mark.
    fn leftovers(&self) -> Result<Vec<String>> {
        let label = "label=masthead.stack";
        let containers = self
            .docker
            .cli(&["ps", "--all", "--filter", label, "--format", "{{.Names}}"])?;
        let networks = self
            .docker
            .cli(&["network", "ls", "--filter", label, "--format", "{{.Name}}"])?;
        Ok([containers, networks]
            .iter()
            .flat_map(|text| text.lines())
            .map(str::to_owned)
            .collect())
    }
}

impl Over {
    /// masthead, where commands are given.
    fn command(&self) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(&self.operator)
            .arg(shell::release_binary())
            .env("HOME", &self.home)
            // Nobody's engine is meant but that of the server, and nobody's keys but those that are named.
            .env_remove("DOCKER_HOST")
            .env_remove("SSH_AUTH_SOCK")
            .env_remove("XDG_CONFIG_HOME");
        command
    }
}

/// Runs a step of a case and says how it went.
fn step(name: &str, run: impl FnOnce() -> Result<()>) -> Result<()> {
    let began = Instant::now();
    run().with_context(|| name.to_owned())?;
    println!("     ok   {name} ({:.1} s)", began.elapsed().as_secs_f64());
    Ok(())
}

/// Runs a command to its end.
fn ran(command: &mut Command) -> Result<Ran> {
    let words = shell::words_of(command);
    let out = command
        .output()
        .with_context(|| format!("cannot start `{words}`"))?;
    Ok(Ran {
        code: out.status.code(),
        out: String::from_utf8_lossy(&out.stdout).into_owned(),
        err: String::from_utf8_lossy(&out.stderr).into_owned(),
    })
}

/// Waits until something is the case.
fn wait(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !is_so()? {
        if began.elapsed() > LIMIT {
            bail!("{what}: not so after {LIMIT:?}");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Sends a request through `nc`, which runs wherever the command says, and reads the answer. No connection is an error.
fn exchange(
    nc: &mut Command,
    address: &str,
    method: &str,
    path: &str,
    password: Option<&str>,
    body: &[u8],
) -> Result<Response> {
    let (host, port) = address.rsplit_once(':').context("an address without a port")?;
    let mut headers = vec![("Connection", "close")];
    let authorization = password.map(|password| format!("Basic {}", base64(&format!("{USER}:{password}"))));
    if let Some(text) = &authorization {
        headers.push(("Authorization", text));
    }
    if !body.is_empty() {
        headers.push(("Content-Type", "application/x-www-form-urlencoded"));
    }
    let mut child = nc
        .args(["-w", "3", host, port])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start nc")?;
    // Its input stays open until the answer is there: a server takes the end of it for a client that has gone.
    let mut input = child.stdin.take().context("nc has no input")?;
    let output = child.stdout.take().context("nc has no output")?;
    let written = input.write_all(&http::request_bytes(address, method, path, &headers, body));
    let response = written
        .map_err(anyhow::Error::from)
        .and_then(|()| http::read_response(&mut BufReader::new(output)));
    drop(input);
    let said = end(child)?;
    response.with_context(|| format!("{method} {path} of {address}: {said}"))
}

/// What a program said on its standard error; it has no business any more.
fn end(mut child: Child) -> Result<String> {
    let _ended = child.kill();
    let out = child.wait_with_output()?;
    Ok(String::from_utf8_lossy(&out.stderr).trim().to_owned())
}

fn base64(text: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits = (0..3).fold(0u32, |bits, at| {
            bits << 8 | u32::from(chunk.get(at).copied().unwrap_or(0))
        });
        for at in 0..4 {
            let index = usize::try_from(bits >> (18 - 6 * at) & 63).unwrap_or(0);
            let letter = LETTERS.get(index).copied().unwrap_or(b'=');
            out.push(if at > chunk.len() { '=' } else { char::from(letter) });
        }
    }
    out
}

/// Checks a configuration with the real promtool, where the files are that it names.
fn promtool(rig: &Rig, file: &Path) -> Result<()> {
    let base = rig.base();
    let inside = Path::new("/etc/prometheus").join(file.strip_prefix(&base).unwrap_or(file));
    // In an image of the real program, as the user that Prometheus runs as, so that unreadable files show too.
    rig.docker
        .cli(&[
            "run",
            "--rm",
            "--network=none",
            "--volume",
            &format!("{}:/etc/prometheus:ro", base.display()),
            "--entrypoint=/bin/promtool",
            docker::stack::name("prometheus")?,
            "check",
            match file.ends_with("prometheus.yml") {
                true => "config",
                false => "web-config",
            },
            &inside.display().to_string(),
        ])
        .map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_has_its_padding() {
        for (text, want) in [
            ("", ""),
            ("a", "YQ=="),
            ("ab", "YWI="),
            ("abc", "YWJj"),
            ("a:b?>", "YTpiPz4="),
        ] {
            assert_eq!(base64(text), want);
        }
    }
}
