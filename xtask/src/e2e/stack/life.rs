//! The life of one stack, step after step on one engine: set up, asked, changed, stopped, broken, mended, removed, back again.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::world::{self, World};
use super::{CONTAINERS, Outcome, Rig, promtool, ran, step, wait, with_rig};
use crate::docker::shop::compose_labels;
use crate::shell;

/// A step: what must hold, and how it is tried.
type Step = (&'static str, fn(&Rig) -> Result<()>);

/// In this order; each begins where the one before it ends, with a stack that runs.
const STEPS: &[Step] = &[
    ("each target is up at its first scrape", targets),
    ("each configuration is one that promtool accepts", configurations),
    (
        "files belong to those who read them, and secrets are nobody else's",
        owners,
    ),
    ("host metrics are the host's", host),
    ("containers have their figures, app and project", containers),
    ("a second setup does nothing, and has no new passwords", second),
    ("check and status find it well", well),
    ("queries and summaries go through --upstream", upstream),
    ("logs are those of the component", logs),
    (
        "a user's own scrape configuration and rules are taken and kept",
        own_configuration,
    ),
    (
        "a rule that is wrong is named, and mended it is taken",
        wrong_rule,
    ),
    (
        "a firewall before node_exporter is named with what mends it",
        firewall,
    ),
    ("a changed scrape interval is a reload of Prometheus", interval),
    (
        "a changed retention replaces Prometheus alone and keeps its data",
        retention,
    ),
    ("a container killed comes back", killed),
    ("stop, start and restart", stop_and_start),
    (
        "a file changed by hand is named by check and mended by setup",
        broken_file,
    ),
    (
        "a container changed by hand is named by check and mended by setup",
        broken_container,
    ),
    ("a component can be left out and comes back", without),
    ("another port", other_port),
    (
        "removed and set up again, it has its data still",
        remove_and_return,
    ),
    ("purged, nothing of it is left", purge),
];

/// All of [`STEPS`].
pub(in super::super) fn story() -> Result<Outcome> {
    with_rig(|rig| live(rig))
}

/// The same, wherever the commands are given.
pub(super) fn live(rig: &Rig) -> Result<()> {
    let others = rig.folder.path().join("others");
    world::make(&rig.docker, &others)?;
    apps(rig)?;
    let before = World::of(&rig.docker, &others)?;
    let began = Instant::now();
    rig.set_up(&[])?;
    println!("     set up after {:.1} s", began.elapsed().as_secs_f64());
    for (name, run) in STEPS {
        step(name, || {
            run(rig)?;
            World::of(&rig.docker, &others)?.is_as(&before)
        })?;
    }
    Ok(())
}

/// Containers of an application of each kind, with known memory.
fn apps(rig: &Rig) -> Result<()> {
    rig.docker
        .burn("single", &[], &["memory=40m", "drip=172.30.5.1:9,1k"])?;
    let labels = compose_labels("shop", "web");
    let flags: Vec<&str> = labels.iter().map(String::as_str).collect();
    rig.docker.burn("shop-web-1", &flags, &["memory=20m"])?;
    // Named and labelled as a task of a swarm's service.
    let flags = [
        "--network=none",
        "--label=com.docker.swarm.service.name=stacked_api",
        "--label=com.docker.stack.namespace=stacked",
        "--label=com.docker.swarm.task.name=stacked_api.1.r65uqkd5g4x3",
    ];
    rig.docker
        .burn("stacked_api.1.r65uqkd5g4x3", &flags, &["memory=30m"])?;
    Ok(())
}

/// Each active target: its job, its health, its instance.
fn targets_of(rig: &Rig) -> Result<Vec<(String, String, String)>> {
    let password = rig.password("prometheus")?;
    let response = rig.http(
        "127.0.0.1:9090",
        "GET",
        "/api/v1/targets?state=active",
        Some(&password),
        b"",
    )?;
    let json = response.json()?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(json["data"]["activeTargets"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|target| {
            (
                text(&target["labels"]["job"]),
                format!("{} {}", text(&target["health"]), text(&target["lastError"])),
                text(&target["labels"]["instance"]),
            )
        })
        .collect())
}

fn targets(rig: &Rig) -> Result<()> {
    let targets = targets_of(rig)?;
    let host = hostname(rig)?;
    for (job, port) in [("prometheus", 9090), ("node-exporter", 9100), ("cadvisor", 8080)] {
        let one = targets.iter().find(|(name, ..)| name == job);
        let (_, health, instance) = one.with_context(|| format!("no target of {job}: {targets:?}"))?;
        if health != "up " || *instance != format!("{host}:{port}") {
            bail!("{job} is {health:?} as {instance:?}");
        }
    }
    // Not one failed scrape since the beginning.
    let failed = rig.query("min_over_time(up[1h]) == 0")?;
    if targets.len() != 3 || !failed.is_empty() {
        bail!("three targets that were never down are wanted: {targets:?}; failed: {failed:?}");
    }
    Ok(())
}

fn configurations(rig: &Rig) -> Result<()> {
    for name in ["prometheus.yml", "web.yml", "node-exporter-web.yml"] {
        promtool(rig, &rig.base().join(name))?;
    }
    Ok(())
}

fn owners(rig: &Rig) -> Result<()> {
    let base = rig.base();
    let of = |path: &str| -> Result<(u32, u32, u32)> {
        let meta = fs::metadata(base.join(path)).with_context(|| format!("no {path}"))?;
        Ok((meta.uid(), meta.gid(), meta.mode() & 0o7777))
    };
    let (owner, _, mode) = of("data")?;
    if owner != 65534 || mode & 0o007 != 0 {
        bail!("data belongs to {owner} with mode {mode:o}");
    }
    for secret in [
        "masthead-stack.json",
        "web.yml",
        "node-exporter-web.yml",
        "cadvisor.htpasswd",
        "secrets/prometheus.password",
        "secrets/node-exporter.password",
        "secrets/cadvisor.password",
    ] {
        let (.., mode) = of(secret)?;
        if mode & 0o077 != 0 {
            bail!("{secret} has mode {mode:o}: others may read it");
        }
    }
    let kept = of("masthead-stack.json")?;
    if kept.0 != 0 {
        bail!(
            "masthead-stack.json belongs to {}, and Prometheus could read it",
            kept.0
        );
    }
    // Nothing that the engine tells everybody holds a password.
    let told = rig.docker.cli(&[&["inspect"], &CONTAINERS[..]].concat())?;
    for component in ["prometheus", "node-exporter", "cadvisor"] {
        let password = rig.password(component)?;
        if password.len() < 32 || !password.chars().all(|c| c.is_ascii_alphanumeric()) {
            bail!("the password of {component} is no long word of letters and digits");
        }
        if told.contains(&password) {
            bail!("`docker inspect` shows the password of {component}");
        }
    }
    Ok(())
}

fn host(rig: &Rig) -> Result<()> {
    let stat = fs::read_to_string("/proc/stat")?;
    let booted = stat
        .lines()
        .find_map(|line| line.strip_prefix("btime ")?.parse::<f64>().ok())
        .context("no btime")?;
    let root = shell::output(Command::new("stat").args(["-f", "-c", "%b %S", "/"]))?;
    let size: f64 = root
        .split_whitespace()
        .filter_map(|word| word.parse::<f64>().ok())
        .product();
    for (promql, want) in [
        ("node_memory_MemTotal_bytes", memory_total()?),
        ("node_boot_time_seconds", booted),
        ("max(node_filesystem_size_bytes{mountpoint=\"/\"})", size),
        // The bridge of the stack is an interface of the host: of a container's own network it would not be seen.
        ("node_network_up{device=\"masthead0\"}", 1.0),
    ] {
        let got = rig.value(promql)?;
        if (got - want).abs() > f64::EPSILON {
            bail!("{promql} is {got}, and the host's is {want}");
        }
    }
    let server = rig.query("node_uname_info")?;
    let host = hostname(rig)?;
    match server.as_slice() {
        [(labels, _)] if labels["nodename"] == host.as_str() => {}
        other => bail!("node_uname_info of {host} is wanted: {other:?}"),
    }
    // External labels show where samples leave, such as federation.
    let password = rig.password("prometheus")?;
    let path = "/federate?match[]=node_load1";
    let federated = rig
        .http("127.0.0.1:9090", "GET", path, Some(&password), b"")?
        .text();
    if !federated.contains("server=\"") {
        bail!("no external label `server`: {federated}");
    }
    Ok(())
}

fn hostname(rig: &Rig) -> Result<String> {
    let name = shell::output(rig.docker.inside("cat").arg("/proc/sys/kernel/hostname"))?;
    Ok(name.trim().to_owned())
}

fn containers(rig: &Rig) -> Result<()> {
    for (app, project, bytes) in [
        ("single", "", 40e6),
        ("shop-web", "shop", 20e6),
        ("stacked_api", "stacked", 30e6),
    ] {
        let promql =
            format!("sum(container_memory_rss{{job=\"cadvisor\",app=\"{app}\",project=\"{project}\"}})");
        rig.wait_for(&promql)?;
        let got = rig.value(&promql)?;
        if !(bytes..bytes + 12e6).contains(&got) {
            bail!("{app} holds {got} bytes, not a little more than {bytes}");
        }
    }
    let names = rig.query("container_memory_rss{app=\"stacked_api\",name=\"stacked_api.1.r65uqkd5g4x3\"}")?;
    let hidden = rig.query("container_memory_rss{app=\"single\",container_label_keep!=\"\"}")?;
    if names.len() != 1 || !hidden.is_empty() {
        bail!("the task keeps its name, and labels that nobody asked for stay away: {names:?} {hidden:?}");
    }
    // Of another container's network namespace: what reads it has to be let in.
    rig.wait_for("container_network_transmit_packets_total{app=\"shop-web\"}")?;
    // The host's own groups have no app.
    let root = rig.query("container_memory_usage_bytes{id=\"/\"}")?;
    match root.as_slice() {
        [(labels, _)] if labels.get("app").is_none() && labels.get("project").is_none() => Ok(()),
        other => bail!("one series of the root group, without app, is wanted: {other:?}"),
    }
}

fn second(rig: &Rig) -> Result<()> {
    let before = (
        rig.ids()?,
        rig.password("prometheus")?,
        fs::read(rig.base().join("web.yml"))?,
    );
    rig.is_settled()?;
    rig.done("setup", &[])?;
    if before
        != (
            rig.ids()?,
            rig.password("prometheus")?,
            fs::read(rig.base().join("web.yml"))?,
        )
    {
        bail!("a second setup changed something");
    }
    Ok(())
}

fn well(rig: &Rig) -> Result<()> {
    rig.done("check", &[])?;
    let check: Value = serde_json::from_str(&rig.done("check", &["--json"])?)?;
    let findings = check["findings"].as_array().cloned().unwrap_or_default();
    if findings.is_empty() || findings.iter().any(|one| one["level"] == "problem") {
        bail!("findings without a problem are wanted: {check}");
    }
    let status = rig.done("status", &[])?;
    let json: Value = serde_json::from_str(&rig.done("status", &["--json"])?)?;
    for name in CONTAINERS {
        let component = name.trim_start_matches("masthead-");
        if !status.contains(component) || !json.to_string().contains(component) {
            bail!("{component} is not in the status:\n{status}\n{json}");
        }
    }
    Ok(())
}

/// The client's commands find the stack by its base directory.
fn upstream(rig: &Rig) -> Result<()> {
    let base = rig.base().display().to_string();
    let of: &[&str] = match &rig.over {
        None => &["--upstream", "--base-dir", &base],
        Some(over) => &["--server", &over.name],
    };
    let asked = |words: &[&str]| -> Result<String> {
        let ran = ran(&mut rig.command(&[words, of, &["--json"]].concat()))?;
        ran.expect(0, &[])
            .with_context(|| format!("masthead {words:?}"))?;
        Ok(ran.out)
    };
    let up: Value = serde_json::from_str(&asked(&["query", "sum(up)"])?)?;
    if !up.to_string().contains("\"3\"") {
        bail!("the sum of three targets that are up is wanted: {up}");
    }
    let system: Value = serde_json::from_str(&asked(&["metrics", "system"])?)?;
    let total = memory_total()?;
    if system["memory"]["totalBytes"].as_f64() != Some(total)
        && !system.to_string().contains(&total.to_string())
    {
        bail!("{total} bytes of memory are wanted in {system}");
    }
    for (what, name) in [
        ("app", "shop-web"),
        ("app", "stacked_api"),
        ("container", "shop-web-1"),
    ] {
        let text = asked(&["metrics", what, name])?;
        if !text.contains("memoryWorkingSetBytes") {
            bail!("the memory of {what} {name} is wanted: {text}");
        }
    }
    let health = asked(&["metrics", "health"])?;
    let nothing = rig.folder.path().display().to_string();
    let mut elsewhere = rig.command(&["query", "up", "--base-dir", &nothing]);
    if let Some(over) = &rig.over {
        elsewhere.args(["--server", &over.name]);
    }
    ran(&mut elsewhere)?.expect(1, &["masthead setup"])?;
    match health.contains("true") {
        true => Ok(()),
        false => bail!("not healthy: {health}"),
    }
}

fn memory_total() -> Result<f64> {
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let kib: f64 = meminfo
        .lines()
        .find_map(|line| {
            line.strip_prefix("MemTotal:")?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .context("no MemTotal")?;
    Ok(kib * 1024.0)
}

/// A rule with a mistake keeps Prometheus from starting: its log says which, and so do we.
fn wrong_rule(rig: &Rig) -> Result<()> {
    let file = rig.base().join("rules/wrong.yml");
    fs::write(
        &file,
        "groups: [{name: wrong, rules: [{record: wrong, expr: 'sum('}]}]\n",
    )?;
    rig.run("check", &[])?.expect(3, &["wrong.yml"])?;
    rig.run("restart", &["prometheus"])?
        .expect(1, &["masthead-prometheus", "wrong.yml"])?;
    rig.run("setup", &[])?.expect(1, &["wrong.yml"])?;
    fs::remove_file(&file)?;
    rig.done("setup", &[])?;
    targets_are_up(rig)?;
    rig.is_settled()
}

/// A host that drops what no rule accepts, as ufw makes it.
fn firewall(rig: &Rig) -> Result<()> {
    let iptables = |rules: &[&str]| -> Result<()> {
        for rule in rules {
            let words: Vec<&str> = rule.split(' ').collect();
            shell::output(rig.docker.inside("iptables").args(words))?;
        }
        Ok(())
    };
    iptables(&[
        "-A INPUT -i lo -j ACCEPT",
        "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        // As everybody has it who is no guest of the machine's console.
        "-A INPUT -p tcp --dport 22 -j ACCEPT",
        "-P INPUT DROP",
    ])?;
    // Connections that are kept open between scrapes were established before.
    rig.docker.cli(&["restart", "masthead-node-exporter"])?;
    rig.wait_for("up{job=\"node-exporter\"} == 0")?;
    let mend = "-I INPUT -i masthead0 -p tcp --dport 9100 -j ACCEPT";
    rig.run("check", &[])?
        .expect(3, &["-P INPUT DROP", &format!("iptables {mend}")])?;
    rig.run("setup", &[])?.expect(1, &["node-exporter", mend])?;
    iptables(&[mend])?;
    rig.wait_for("up{job=\"node-exporter\"} == 1")?;
    rig.done("check", &[])?;
    iptables(&["-P INPUT ACCEPT", "-F INPUT"])
}

fn logs(rig: &Rig) -> Result<()> {
    let all = rig.done("logs", &["prometheus"])?;
    if !all.contains("Server is ready to receive web requests") {
        bail!("not Prometheus' log: {all}");
    }
    let few = rig.done("logs", &["prometheus", "--tail", "2"])?;
    if few.lines().count() > 2 {
        bail!("two lines at most are wanted: {few}");
    }
    rig.run("logs", &["loki"])?.expect(2, &["node-exporter"])?;
    // Following goes on until it is interrupted.
    let mut child = rig
        .stack("logs", &["node-exporter", "--follow"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()?;
    std::thread::sleep(std::time::Duration::from_millis(700));
    let still = child.try_wait()?.is_none();
    shell::output(Command::new("kill").args(["-INT", &child.id().to_string()]))?;
    let ended = child.wait()?;
    if !still {
        bail!("--follow ended by itself: {ended}");
    }
    Ok(())
}

fn own_configuration(rig: &Rig) -> Result<()> {
    let base = rig.base();
    let own = "scrape_configs:\n  - job_name: mine\n    static_configs: [{targets: ['127.0.0.1:1']}]\n";
    let rule = "groups:\n  - name: mine\n    interval: 1s\n    rules: [{record: mine, expr: vector(42)}]\n";
    fs::write(base.join("conf.d/mine.yml"), own)?;
    fs::write(base.join("rules/mine.yml"), rule)?;
    configurations(rig)?;
    // Theirs to write, so theirs to have read.
    rig.done("restart", &["prometheus"])?;
    rig.wait_for("up{job=\"mine\"} == 0")?;
    rig.wait_for("mine == 42")?;
    rig.is_settled()?;
    if fs::read_to_string(base.join("conf.d/mine.yml"))? != own {
        bail!("the user's file was changed");
    }
    fs::remove_file(base.join("conf.d/mine.yml"))?;
    fs::remove_file(base.join("rules/mine.yml"))?;
    rig.done("restart", &["prometheus"])?;
    Ok(())
}

fn interval(rig: &Rig) -> Result<()> {
    let before = rig.ids()?;
    let started = rig.docker.inspect("masthead-prometheus", ".State.StartedAt")?;
    let steps = rig.plan(&["--scrape-interval", "2s"])?;
    if !steps.iter().any(|step| step.contains("reload prometheus")) {
        bail!("a reload is wanted: {steps:?}");
    }
    rig.done("setup", &["--scrape-interval", "2s"])?;
    let password = rig.password("prometheus")?;
    let path = "/api/v1/status/config";
    let config = rig
        .http("127.0.0.1:9090", "GET", path, Some(&password), b"")?
        .json()?;
    let yaml = config["data"]["yaml"].as_str().unwrap_or_default();
    if !yaml.contains("scrape_interval: 2s") {
        bail!("Prometheus has not read it: {yaml}");
    }
    let after = rig.ids()?;
    for ((name, was), (_, is)) in before.iter().zip(&after) {
        // cAdvisor reads containers at a pace that follows the interval, which it is told at its start.
        if was != is && name != "masthead-cadvisor" {
            bail!("{name} was replaced for a reload");
        }
    }
    if started != rig.docker.inspect("masthead-prometheus", ".State.StartedAt")? {
        bail!("Prometheus was restarted for a reload");
    }
    rig.done("setup", &["--scrape-interval", "1s"]).map(|_| ())
}

fn retention(rig: &Rig) -> Result<()> {
    let before = rig.ids()?;
    let oldest = rig.value("min(min_over_time(timestamp(up)[1h:1s]))")?;
    rig.done("setup", &["--retention-time", "30d", "--retention-size", "2GB"])?;
    for ((name, was), (_, is)) in before.iter().zip(rig.ids()?) {
        if (*was != is) != (name == "masthead-prometheus") {
            bail!("{name}: was {was}, is {is}");
        }
    }
    let again = rig.value("min(min_over_time(timestamp(up)[1h:1s]))")?;
    if (again - oldest).abs() > 2.0 {
        bail!("the oldest sample was of {oldest}, and is of {again}");
    }
    rig.is_settled()
}

fn killed(rig: &Rig) -> Result<()> {
    for name in CONTAINERS {
        let pid = rig.docker.inspect(name, ".State.Pid")?;
        shell::output(Command::new("kill").args(["-9", &pid]))?;
        wait(&format!("{name} runs again"), || {
            let state = rig.docker.inspect(name, ".State.Running")?;
            Ok(state == "true" && rig.docker.inspect(name, ".State.Pid")? != pid)
        })?;
    }
    rig.wait_for("count(up == 1) == 3")
}

fn stop_and_start(rig: &Rig) -> Result<()> {
    rig.done("stop", &[])?;
    for name in CONTAINERS {
        let state = rig.docker.inspect(name, ".State.Status")?;
        if state != "exited" {
            bail!("{name} is {state} after stop");
        }
    }
    rig.run("check", &[])?
        .expect(3, &["prometheus", "masthead start"])?;
    rig.run("status", &[])?.expect(3, &["prometheus"])?;
    rig.done("start", &["node-exporter"])?;
    let states = CONTAINERS
        .iter()
        .map(|name| rig.docker.inspect(name, ".State.Running"))
        .collect::<Result<Vec<_>>>()?;
    if states != ["false", "true", "false"] {
        bail!("one component was started: {states:?}");
    }
    rig.done("start", &[])?;
    targets_are_up(rig)?;
    let before = rig.docker.inspect("masthead-cadvisor", ".State.StartedAt")?;
    let ids = rig.ids()?;
    rig.done("restart", &["cadvisor"])?;
    if before == rig.docker.inspect("masthead-cadvisor", ".State.StartedAt")? || ids != rig.ids()? {
        bail!("a restart stops and starts the same container");
    }
    rig.done("check", &[]).map(|_| ())
}

fn broken_file(rig: &Rig) -> Result<()> {
    let path = rig.base().join("prometheus.yml");
    let good = fs::read(&path)?;
    fs::write(&path, "scrape_configs: [{job_name}]\n")?;
    rig.run("check", &[])?.expect(3, &["prometheus.yml"])?;
    let ids = rig.ids()?;
    rig.done("setup", &[])?;
    if fs::read(&path)? != good || ids != rig.ids()? {
        bail!("the file is wanted as it was, in the same containers");
    }
    // Owner and mode are part of it.
    let secret = rig.base().join("secrets/prometheus.password");
    fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    rig.done("setup", &[])?;
    owners(rig)?;
    fs::remove_file(rig.base().join("web.yml"))?;
    rig.done("setup", &[])?;
    targets_are_up(rig)?;
    rig.is_settled()
}

fn targets_are_up(rig: &Rig) -> Result<()> {
    let targets = targets_of(rig)?;
    match targets.iter().filter(|(_, health, _)| health == "up ").count() {
        3 => Ok(()),
        _ => bail!("three targets that are up are wanted: {targets:?}"),
    }
}

fn broken_container(rig: &Rig) -> Result<()> {
    rig.docker.cli(&["rm", "--force", "masthead-node-exporter"])?;
    rig.docker.cli(&["pause", "masthead-cadvisor"])?;
    rig.run("check", &[])?
        .expect(3, &["node-exporter", "cadvisor", "masthead setup"])?;
    rig.done("setup", &[])?;
    targets_are_up(rig)?;
    rig.is_settled()
}

fn without(rig: &Rig) -> Result<()> {
    let prometheus = rig.docker.inspect("masthead-prometheus", ".Id")?;
    rig.done("setup", &["--without", "cadvisor"])?;
    let left = rig.leftovers()?;
    if left.iter().any(|name| name == "masthead-cadvisor") || targets_of(rig)?.len() != 2 {
        bail!("cAdvisor is still there: {left:?}, {:?}", targets_of(rig)?);
    }
    rig.done("check", &[])?;
    // Kept: a setup that says nothing of it does not bring it back.
    if !rig.plan(&[])?.is_empty() {
        bail!("a second setup would bring it back: {:?}", rig.plan(&[])?);
    }
    rig.done("setup", &["--with", "cadvisor"])?;
    targets_are_up(rig)?;
    if prometheus != rig.docker.inspect("masthead-prometheus", ".Id")? {
        bail!("Prometheus was replaced for another component");
    }
    Ok(())
}

fn other_port(rig: &Rig) -> Result<()> {
    let ports = [
        "--port",
        "prometheus=9191",
        "--port",
        "node-exporter=9101",
        "--port",
        "cadvisor=8081",
    ];
    rig.done("setup", &ports)?;
    let password = rig.password("prometheus")?;
    let ready = rig.http("127.0.0.1:9191", "GET", "/-/ready", Some(&password), b"")?;
    if ready.status != 200 || rig.http("127.0.0.1:9090", "GET", "/", None, b"").is_ok() {
        bail!("Prometheus is wanted at its new port alone");
    }
    rig.done("check", &[])?;
    let back = [
        "--port",
        "prometheus=9090",
        "--port",
        "node-exporter=9100",
        "--port",
        "cadvisor=8080",
    ];
    rig.done("setup", &back)?;
    targets_are_up(rig)
}

fn remove_and_return(rig: &Rig) -> Result<()> {
    let oldest = rig.value("min(min_over_time(timestamp(up)[1h:1s]))")?;
    rig.done("remove", &["--yes"])?;
    let left = rig.leftovers()?;
    if !left.is_empty() || !rig.base().join("data").is_dir() {
        bail!("containers and network go and data stays: {left:?}");
    }
    rig.run("status", &[])?.expect(3, &["absent"])?;
    rig.set_up(&[])?;
    let again = rig.value("min(min_over_time(timestamp(up)[1h:1s]))")?;
    if (again - oldest).abs() > 2.0 {
        bail!("the oldest sample was of {oldest}, and is of {again}");
    }
    targets_are_up(rig)
}

fn purge(rig: &Rig) -> Result<()> {
    rig.done("remove", &["--purge-data", "--yes"])?;
    let left = rig.leftovers()?;
    let folder = rig.base();
    let files: Vec<_> = fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .collect();
    if !left.is_empty()
        || files
            .iter()
            .any(|path| path.ends_with("data") || path.ends_with("secrets"))
    {
        bail!("something is left: {left:?} {files:?}");
    }
    // Nothing to remove is no failure.
    rig.done("remove", &["--yes"]).map(|_| ())
}
