//! The life of a stack on a server, from its registration to its end.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::super::life::memory_total;
use super::super::{CONTAINERS, Outcome, wait};
use super::{QUICK, Remote, with_hosts};
use crate::shell;

type Step = (&'static str, fn(&Remote) -> Result<()>);

/// In this order.
const STEPS: &[Step] = &[
    (
        "a server is registered once its key is taken, and tested",
        registered,
    ),
    ("a stack is set up over SSH, with every target up", set_up),
    ("its numbers are those of the server", numbers),
    ("files there belong to those who read them", owners),
    ("nothing but sshd answers from outside", reach),
    (
        "a second setup does nothing, and a changed option what it must",
        second,
    ),
    ("check, status, logs and summaries", looks),
    ("stop, start and restart", stop_and_start),
    ("a container killed comes back", killed),
    (
        "removed and set up again, it has its data still",
        remove_and_return,
    ),
    ("no connection is left behind", no_connection),
    ("purged and forgotten, nothing is left", purge),
];

/// All of [`STEPS`].
pub(in super::super::super) fn story() -> Result<Outcome> {
    with_hosts(1, |remote| {
        let one = remote.one()?;
        one.docker
            .burn("shop-web-1", &["--label=keep=me"], &["memory=20m"])?;
        one.docker.burn("shop-db-1", &[], &[])?;
        for (name, step) in STEPS {
            let began = Instant::now();
            step(remote).with_context(|| (*name).to_owned())?;
            println!("     ok   {name} ({:.1} s)", began.elapsed().as_secs_f64());
        }
        Ok(())
    })
}

fn registered(remote: &Remote) -> Result<()> {
    let one = remote.one()?;
    remote
        .add(one, "one", &[])?
        .expect(7, &["host key is not known", "--accept-new-host-key"])?;
    remote.done(&["server", "list", "--no-test"])?;
    remote
        .add(one, "one", &["--accept-new-host-key"])?
        .expect(0, &["registered one"])?;
    remote
        .add(one, "one", &["--accept-new-host-key"])?
        .expect(1, &["one"])?;
    let file = remote.operator.path("servers.json");
    let mode = fs::metadata(&file)?.mode() & 0o7777;
    if mode != 0o600 {
        bail!("{} has mode {mode:o}", file.display());
    }
    remote
        .run(&["server", "test", "one"])?
        .expect(0, &["ssh", "rights", "docker", "clock", "none is set up yet"])?;
    let listed = remote.json(&["server", "list"])?;
    match &listed["servers"][0] {
        server if server["name"] == "one" && server["reached"] == true => Ok(()),
        other => bail!("a server that was reached is wanted: {other}"),
    }
}

fn set_up(remote: &Remote) -> Result<()> {
    let said = remote.done(&[&["setup", "--server", "one"], &QUICK[..]].concat())?;
    if !said.contains("every target is up") {
        bail!("not what a setup says: {said}");
    }
    remote.is_settled(remote.one()?, "one")
}

fn numbers(remote: &Remote) -> Result<()> {
    let one = remote.one()?;
    let running = one.docker.cli(&["ps", "--quiet"])?.lines().count();
    wait("every container is seen", || {
        let seen = remote.value("one", "count(container_last_seen{name!=\"\"})")?;
        Ok(format!("{seen}") == running.to_string())
    })?;
    let device = format!("node_network_up{{device=\"{}\"}}", one.interface());
    for (promql, want) in [
        ("sum(up)", 3.0),
        ("node_memory_MemTotal_bytes", memory_total()?),
        // No other machine has an interface of this name, least of all the operator's.
        (&device, 1.0),
        ("count(container_last_seen{name=\"shop-web-1\"})", 1.0),
    ] {
        let got = remote.value("one", promql)?;
        if (got - want).abs() > f64::EPSILON {
            bail!("{promql} is {got}, and the server's is {want}");
        }
    }
    let system = remote.json(&["metrics", "system", "--server", "one"])?;
    match system.to_string().contains(&memory_total()?.to_string()) {
        true => Ok(()),
        false => bail!("the server's memory is wanted: {system}"),
    }
}

fn owners(remote: &Remote) -> Result<()> {
    let base = remote.one()?.base();
    for (path, owner, mode) in [
        ("data", 65534, 0o750),
        ("secrets", 65534, 0o700),
        ("secrets/prometheus.password", 65534, 0o400),
        ("secrets/node-exporter.password", 65534, 0o400),
        ("web.yml", 65534, 0o400),
        ("node-exporter-web.yml", 65534, 0o400),
        ("cadvisor.htpasswd", 0, 0o400),
        ("masthead-stack.json", 0, 0o600),
        ("prometheus.yml", 0, 0o644),
        ("conf.d", 0, 0o755),
        ("rules", 0, 0o755),
    ] {
        let meta = fs::metadata(base.join(path)).with_context(|| format!("no {path}"))?;
        let is = (meta.uid(), meta.gid(), meta.mode() & 0o7777);
        if is != (owner, owner, mode) {
            bail!("{path} belongs to {}:{} with mode {:o}", is.0, is.1, is.2);
        }
    }
    Ok(())
}

/// From the other end of the cable, every port that something listens on there, and those of the stack.
fn reach(remote: &Remote) -> Result<()> {
    let one = remote.one()?;
    let mut ports = one.listening()?;
    if !ports.contains(&9090) || !ports.contains(&9100) {
        bail!("Prometheus and node_exporter listen there: {ports:?}");
    }
    ports.extend([8080, 2375, 2376]);
    let mut answered = Vec::new();
    for port in ports {
        let words = ["nc", "-w", "2", &one.address(), &port.to_string(), "-e", "true"];
        let nc = remote.operator.command("busybox").args(words).output()?;
        if nc.status.success() {
            answered.push(port);
        }
    }
    match answered.as_slice() {
        [22] => Ok(()),
        other => bail!(
            "sshd alone may answer at {}, and these do: {other:?}",
            one.address()
        ),
    }
}

fn second(remote: &Remote) -> Result<()> {
    let one = remote.one()?;
    let ids = || -> Result<Vec<String>> {
        CONTAINERS
            .iter()
            .map(|name| one.docker.inspect(name, ".Id"))
            .collect()
    };
    let before = ids()?;
    let said = remote.done(&["setup", "--server", "one"])?;
    if !said.contains("Nothing to do") || before != ids()? {
        bail!("a second setup did something: {said}");
    }
    remote.done(&["setup", "--server", "one", "--retention-time", "30d"])?;
    let changed: Vec<&str> = CONTAINERS
        .into_iter()
        .zip(before.iter().zip(ids()?))
        .filter(|(_, (was, is))| **was != *is)
        .map(|(name, _)| name)
        .collect();
    if changed != ["masthead-prometheus"] {
        bail!("another retention replaces Prometheus alone, not {changed:?}");
    }
    remote.is_settled(one, "one")
}

fn looks(remote: &Remote) -> Result<()> {
    let check = remote.json(&["check", "--server", "one"])?;
    let findings = check["findings"].as_array().map_or(0, Vec::len);
    if findings < 5 || check["level"] == "problem" {
        bail!("findings without a problem are wanted: {check}");
    }
    let status = remote.json(&["status", "--server", "one"])?;
    if status["components"].as_array().map_or(0, Vec::len) != 3 || !status.to_string().contains("running") {
        bail!("three components that run are wanted: {status}");
    }
    let log = remote.done(&["logs", "--server", "one", "prometheus"])?;
    if !log.contains("Server is ready to receive web requests") {
        bail!("not Prometheus' log: {log}");
    }
    let test = remote.done(&["server", "test", "one"])?;
    match test.contains("set up under") {
        true => Ok(()),
        false => bail!("`server test` does not see the stack: {test}"),
    }
}

fn stop_and_start(remote: &Remote) -> Result<()> {
    let one = remote.one()?;
    remote.done(&["stop", "--server", "one"])?;
    for name in CONTAINERS {
        let state = one.docker.inspect(name, ".State.Status")?;
        if state != "exited" {
            bail!("{name} is {state} after stop");
        }
    }
    remote
        .run(&["check", "--server", "one"])?
        .expect(3, &["prometheus", "masthead start"])?;
    let asked = remote.run(&["query", "--server", "one", "up"])?;
    if asked.code == Some(0) {
        bail!("a Prometheus that is stopped answered: {}", asked.text());
    }
    remote.done(&["start", "--server", "one"])?;
    let before = one.docker.inspect("masthead-prometheus", ".State.StartedAt")?;
    remote.done(&["restart", "--server", "one", "prometheus"])?;
    if before == one.docker.inspect("masthead-prometheus", ".State.StartedAt")? {
        bail!("restart left Prometheus as it was");
    }
    remote.is_settled(one, "one")
}

fn killed(remote: &Remote) -> Result<()> {
    let one = remote.one()?;
    for name in CONTAINERS {
        let pid = one.docker.inspect(name, ".State.Pid")?;
        shell::output(Command::new("kill").args(["-9", &pid]))?;
        wait(&format!("{name} runs again"), || {
            let state = one.docker.inspect(name, ".State.Running")?;
            Ok(state == "true" && one.docker.inspect(name, ".State.Pid")? != pid)
        })?;
    }
    wait("every target is up again", || {
        Ok(remote.value("one", "sum(up)").is_ok_and(|up| up > 2.5))
    })
}

fn remove_and_return(remote: &Remote) -> Result<()> {
    let oldest = "min(min_over_time(timestamp(up)[1h:1s]))";
    let before = remote.value("one", oldest)?;
    remote
        .run(&["remove", "--server", "one"])?
        .expect(2, &["--yes"])?;
    remote.done(&["remove", "--server", "one", "--yes"])?;
    let left = one_leftovers(remote)?;
    if !left.is_empty() || !remote.one()?.base().join("data").is_dir() {
        bail!("containers and network go and data stays: {left}");
    }
    remote.done(&[&["setup", "--server", "one"], &QUICK[..]].concat())?;
    let after = remote.value("one", oldest)?;
    match (after - before).abs() > 2.0 {
        true => bail!("the oldest sample was of {before}, and is of {after}"),
        false => Ok(()),
    }
}

/// What carries the stack's mark there.
fn one_leftovers(remote: &Remote) -> Result<String> {
    let docker = &remote.one()?.docker;
    let label = "label=masthead.stack";
    let containers = docker.cli(&["ps", "--all", "--filter", label, "--format", "{{.Names}}"])?;
    let networks = docker.cli(&["network", "ls", "--filter", label, "--format", "{{.Name}}"])?;
    Ok(format!("{containers}{networks}"))
}

/// A command's `ssh` ends with it.
fn no_connection(remote: &Remote) -> Result<()> {
    let what = "every ssh has ended, here and there";
    wait(what, || {
        Ok(remote.operator.processes()?.is_empty() && !remote.one()?.is_connected(22)?)
    })
    .with_context(|| format!("{:?}", remote.operator.processes()))
}

fn purge(remote: &Remote) -> Result<()> {
    remote.done(&["remove", "--server", "one", "--purge-data", "--yes"])?;
    let base = remote.one()?.base();
    let left = one_leftovers(remote)?;
    if !left.is_empty() || base.join("data").exists() || base.join("secrets").exists() {
        bail!("something is left: {left} {}", base.display());
    }
    let others = remote.one()?.docker.cli(&["ps", "--format", "{{.Names}}"])?;
    if !others.contains("shop-web-1") || !others.contains("shop-db-1") {
        bail!("what is not ours goes on: {others}");
    }
    remote
        .run(&["server", "remove", "one"])?
        .expect(0, &["no stack is set up there"])?;
    remote
        .run(&["status", "--server", "one"])?
        .expect(1, &["one", "masthead server"])
}
