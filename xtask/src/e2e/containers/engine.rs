//! The engine goes, comes back, or may not be asked; files are few; the collectors run alone.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use super::{LIMIT, Outcome, Rig, TICK, query, seconds_now, with_rig, write_config};
use crate::docker::Docker;
use crate::http;
use crate::server::{self, Server, TempDir};
use crate::shell;

/// The engine is killed and started again: the host's metrics never stop, and containers come back by themselves.
pub(in super::super) fn restart() -> Result<Outcome> {
    // So that the containers live on without it, as a careful operator has it.
    with_rig(&["--live-restore"], |rig| {
        rig.docker.burn("steady", &["--network=none"], &["share=0.1"])?;
        rig.wait_for("container_memory_rss{name=\"steady\"}")?;
        rig.docker.kill()?;
        wait_engine(rig, "away")?;
        rig.settle()?;
        host_goes_on(rig)?;
        // What runs is still read: cgroups do not need the engine.
        rig.settle()?;
        rig.value("container_memory_rss{name=\"steady\"}")?;
        let warnings = warnings(&rig.server);
        if warnings.len() != 1 {
            bail!("one warning about the engine is wanted: {warnings:?}");
        }
        rig.docker.restart()?;
        wait_engine(rig, "connected")?;
        rig.docker.burn("late", &["--network=none"], &[])?;
        rig.wait_for("container_memory_rss{name=\"late\"}")?;
        rig.value("container_memory_rss{name=\"steady\"}")?;
        host_goes_on(rig)
    })
}

fn wait_engine(rig: &Rig, state: &str) -> Result<()> {
    let began = std::time::Instant::now();
    loop {
        let data = rig.own("containers")?;
        if data["engine"]["state"] == state {
            return Ok(());
        }
        if began.elapsed() > LIMIT {
            bail!("the engine is not `{state}` after {LIMIT:?}: {}", data["engine"]);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Is the newest sample of the host fresh?
fn host_goes_on(rig: &Rig) -> Result<()> {
    let newest = rig.value("max(timestamp(node_load1))")?;
    let age = seconds_now()? - newest;
    if age > 4.0 {
        bail!("the newest sample of the host is {age:.1} s old");
    }
    Ok(())
}

/// Lines of the log that warn of Docker.
fn warnings(server: &Server) -> Vec<String> {
    server
        .log_text()
        .lines()
        .filter(|line| line.contains("WARN") && line.to_lowercase().contains("docker"))
        .map(str::to_string)
        .collect()
}

/// A user who may not ask the engine: one warning with the cure, and the host's metrics.
pub(in super::super) fn no_permission() -> Result<Outcome> {
    let docker = match Docker::start(&[]) {
        Ok(docker) => docker,
        Err(why) => return Ok(Outcome::Missing(why)),
    };
    let folder = TempDir::new("nobody")?;
    let config = write_config(folder.path(), &docker)?;
    // Nobody may not look into a developer's home, where the binary may be.
    let binary = folder.path().join("masthead");
    fs::copy(shell::release_binary(), &binary)?;
    let data = folder.path().join("data");
    fs::create_dir(&data)?;
    shell::output(Command::new("chown").arg("65534:65534").arg(&data))?;
    let port = server::free_port()?;
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&binary)
        .args(["up", "--config", &config])
        .arg(format!("--listen=127.0.0.1:{port}"))
        .arg("--data-dir")
        .arg(&data)
        .current_dir("/");
    let log = folder.path().join("server.log");
    let mut server = Server::spawn(&mut command, &format!("127.0.0.1:{port}"), &log)?;
    server.wait_ready("/-/ready")?;
    let began = std::time::Instant::now();
    while query(&server, "count_over_time(node_load1[1m]) >= 5")?.is_empty() {
        if began.elapsed() > LIMIT {
            bail!("five samples of the host did not come: {}", server.log_tail());
        }
        std::thread::sleep(TICK / 4);
    }
    let warnings = warnings(&server);
    let cure = |line: &String| line.contains("docker group") || line.contains("usermod");
    if warnings.len() != 1 || !warnings.iter().all(cure) {
        bail!(
            "one warning with the cure is wanted: {warnings:#?}\n{}",
            server.log_tail()
        );
    }
    println!("     {}", warnings.concat());
    Ok(Outcome::Passed)
}

/// With 64 open files allowed, each container still has all its metrics.
pub(in super::super) fn few_files() -> Result<Outcome> {
    let docker = match Docker::start(&[]) {
        Ok(docker) => docker,
        Err(why) => return Ok(Outcome::Missing(why)),
    };
    let folder = TempDir::new("files")?;
    let config = write_config(folder.path(), &docker)?;
    for n in 0..12 {
        docker.burn(&format!("few-{n}"), &["--cpus=1"], &[])?;
    }
    let port = server::free_port()?;
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -n 64; exec \"$@\"", "sh"])
        .arg(shell::release_binary())
        .args(["up", "--config", &config])
        .arg(format!("--listen=127.0.0.1:{port}"))
        .arg("--data-dir")
        .arg(folder.path().join("data"));
    let log = folder.path().join("server.log");
    let mut server = Server::spawn(&mut command, &format!("127.0.0.1:{port}"), &log)?;
    server.wait_ready("/-/ready")?;
    let wanted = [
        "container_cpu_usage_seconds_total",
        "container_cpu_cfs_periods_total",
        "container_memory_usage_bytes",
        "container_memory_rss",
        "container_memory_failcnt",
        "container_processes",
        "container_threads",
        "container_file_descriptors",
        "container_network_receive_bytes_total",
        "container_start_time_seconds",
    ];
    let all: Vec<String> = wanted
        .iter()
        .map(|metric| format!("(count(count by (name) ({metric}{{name=~\"few-.+\"}})) == 12)"))
        .collect();
    let promql = format!(
        "{} and on () count_over_time(node_filefd_maximum[1m]) >= 4",
        all.join(" and ")
    );
    let began = std::time::Instant::now();
    while query(&server, &promql)?.is_empty() {
        if began.elapsed() > LIMIT {
            let mut counts = Vec::new();
            for metric in wanted {
                let points = query(
                    &server,
                    &format!("count(count by (name) ({metric}{{name=~\"few-.+\"}}))"),
                )?;
                counts.push(format!("{metric}: {:?}", points.first().map(|point| point.value)));
            }
            bail!(
                "not all metrics of 12 containers are there: {counts:?}\n{}",
                server.log_tail()
            );
        }
        std::thread::sleep(TICK / 4);
    }
    let text = server.log_text();
    if let Some(line) = text.lines().find(|line| line.contains("Too many open files")) {
        bail!("it ran out of files: {line}");
    }
    Ok(Outcome::Passed)
}

/// `masthead agent`: host and containers to be scraped, and nothing stored.
pub(in super::super) fn agent() -> Result<Outcome> {
    let docker = match Docker::start(&[]) {
        Ok(docker) => docker,
        Err(why) => return Ok(Outcome::Missing(why)),
    };
    let folder = TempDir::new("agent")?;
    let config = write_config(folder.path(), &docker)?;
    docker.burn("watched", &[], &["share=0.05"])?;
    let address = format!("127.0.0.1:{}", server::free_port()?);
    let mut command = Command::new(shell::release_binary());
    command.args(["agent", "--config", &config, "--listen", &address]);
    let mut server = Server::spawn(&mut command, &address, &folder.path().join("agent.log"))?;
    server.wait_ready("/metrics")?;
    let families = |path: &str| -> Result<BTreeSet<String>> {
        let text = http::get(&address, path)?.text();
        Ok(text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .filter_map(|rest| rest.split(' ').next())
            .map(str::to_string)
            .collect())
    };
    let (own, node) = (families("/metrics")?, families("/metrics/node")?);
    if own != node || !node.contains("node_load1") {
        let differing: Vec<_> = own.symmetric_difference(&node).collect();
        bail!("/metrics and /metrics/node differ, or are empty: {differing:?}");
    }
    let began = std::time::Instant::now();
    loop {
        let text = http::get(&address, "/metrics/containers")?.text();
        let has = |metric: &str| {
            text.lines()
                .any(|line| line.starts_with(&format!("{metric}{{")) && line.contains("name=\"watched\""))
        };
        if has("container_cpu_usage_seconds_total") && has("container_network_receive_bytes_total") {
            break;
        }
        if began.elapsed() > LIMIT {
            bail!(
                "the container is not in /metrics/containers:\n{}",
                http::clip(&text)
            );
        }
        std::thread::sleep(TICK / 4);
    }
    let leaked = families("/metrics/containers")?;
    if leaked.iter().any(|name| name.starts_with("node_")) {
        bail!("the host's metrics are in /metrics/containers too");
    }
    if http::get(&address, "/api/v1/query?query=1")?.status != 404 {
        bail!("an agent that stores nothing answers queries");
    }
    Ok(Outcome::Passed)
}
