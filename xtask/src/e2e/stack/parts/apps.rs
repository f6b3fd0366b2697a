//! Applications that ask to be scraped: containers by their labels, in networks that Prometheus shares and in others, and services of a
//! swarm.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Rig, docker, wait};
use crate::docker::shop::compose_labels;

/// The targets of the job: labels, health, error.
fn app_targets(rig: &Rig) -> Result<Vec<(Value, String, String)>> {
    let password = rig.password("prometheus")?;
    let path = "/api/v1/targets?state=active&scrapePool=apps";
    let json = rig
        .http("127.0.0.1:9090", "GET", path, Some(&password), b"")?
        .json()?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let targets = json["data"]["activeTargets"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    Ok(targets
        .into_iter()
        .filter(|target| target["scrapePool"] == "apps")
        .map(|target| {
            let (health, error) = (text(&target["health"]), text(&target["lastError"]));
            (target["labels"].clone(), health, error)
        })
        .collect())
}

pub(super) fn discovery(rig: &Rig) -> Result<()> {
    // Any program with metrics does for an application.
    let image = docker::stack::name("node-exporter")?;
    let platform = "--network=dokploy-network";
    let scrape = "--label=prometheus.io/scrape=true";
    let shop = compose_labels("shop", "api");
    let mut flags: Vec<&str> = shop.iter().map(String::as_str).collect();
    // Two ports, two networks, and still one target.
    flags.extend([
        platform,
        scrape,
        "--label=prometheus.io/port=7001",
        "--label=prometheus.io/path=/own/metrics",
        "--expose=7001",
        "--expose=7002",
        "--publish=127.0.0.1:7003:7002",
    ]);
    let words = ["--web.listen-address=:7001", "--web.telemetry-path=/own/metrics"];
    rig.docker.run("shop-api-1", &flags, image, &words)?;
    rig.docker
        .cli(&["network", "connect", "elsewhere", "shop-api-1"])?;
    let silent = [platform, "--label=prometheus.io/port=7001"];
    rig.docker.run("silent", &silent, image, &words)?;
    let refusing = [platform, "--label=prometheus.io/scrape=false"];
    rig.docker.run("refusing", &refusing, image, &words)?;
    let host = ["--network=host", scrape, "--label=prometheus.io/port=7005"];
    rig.docker
        .run("on-the-host", &host, image, &["--web.listen-address=:7005"])?;
    let far = ["--network=elsewhere", scrape, "--label=prometheus.io/port=7001"];
    rig.docker
        .run("far", &far, image, &["--web.listen-address=:7001"])?;

    wait("three containers that ask for it are targets", || {
        let targets = app_targets(rig)?;
        Ok(targets.len() == 3 && targets.iter().all(|(_, health, _)| health != "unknown"))
    })
    .with_context(|| format!("{:?}", app_targets(rig)))?;
    let targets = app_targets(rig)?;
    for (instance, app, project, health) in [
        ("shop-api-1:7001", "shop-api", Some("shop"), "up"),
        ("on-the-host:7005", "on-the-host", None, "up"),
        ("far:7001", "far", None, "down"),
    ] {
        let of: Vec<_> = targets
            .iter()
            .filter(|(labels, ..)| labels["instance"] == instance)
            .collect();
        let [(labels, is, error)] = of.as_slice() else {
            bail!("one target {instance} is wanted: {targets:?}");
        };
        if labels["app"] != app || labels["project"].as_str() != project || is != health {
            bail!("{instance} is {is} ({error}) with {labels}");
        }
    }
    rig.wait_for("node_load1{job=\"apps\",app=\"shop-api\",project=\"shop\"}")?;
    // What cannot be reached is said, with what to do.
    rig.run("check", &[])?.expect(0, &["far:7001", "network"])?;
    rig.docker
        .cli(&["rm", "--force", "silent", "refusing", "on-the-host"])?;
    wait("what is gone is no target any more", || {
        Ok(app_targets(rig)?.len() == 2)
    })
}

pub(super) fn network(rig: &Rig) -> Result<()> {
    rig.run("setup", &["--network", "nowhere"])?
        .expect(1, &["--network nowhere", "docker network ls"])?;
    rig.done("setup", &["--network", "elsewhere"])?;
    wait(
        "what was out of reach is up, and the other still one target",
        || {
            let targets = app_targets(rig)?;
            Ok(targets.len() == 2 && targets.iter().all(|(_, health, _)| health == "up"))
        },
    )
    .with_context(|| format!("{:?}", app_targets(rig)))?;
    let steps = rig.plan(&[])?;
    if !steps.is_empty() {
        bail!("a second setup would still do something: {steps:?}");
    }
    rig.docker.cli(&["rm", "--force", "far"])?;
    rig.done("setup", &["--without-network", "elsewhere"])?;
    let networks = rig
        .docker
        .inspect("masthead-prometheus", "json .NetworkSettings.Networks")?;
    match networks.contains("elsewhere") {
        true => bail!("Prometheus did not leave: {networks}"),
        false => Ok(()),
    }
}

/// Makes a service of a program with metrics.
fn service(rig: &Rig, name: &str, flags: &[&str]) -> Result<()> {
    let name = format!("--name={name}");
    let mut words = vec!["service", "create", "--detach", "--quiet", "--no-resolve-image"];
    words.extend(["--network=far-network", "--stop-signal=SIGKILL", &name]);
    words.extend(flags);
    words.extend([
        docker::stack::name("node-exporter")?,
        "--web.listen-address=:7001",
    ]);
    rig.docker.cli(&words).map(|_| ())
}

pub(super) fn swarm(rig: &Rig) -> Result<()> {
    let docker = |words: &[&str]| rig.docker.cli(words).map(|_| ());
    docker(&["swarm", "init", "--advertise-addr", "127.0.0.1"])?;
    docker(&[
        "network",
        "create",
        "--driver",
        "overlay",
        "--attachable",
        "far-network",
    ])?;
    rig.done("setup", &["--network", "far-network"])?;
    // The labels of the service itself, as a platform sets them.
    service(
        rig,
        "mystack_api",
        &[
            "--replicas=2",
            "--publish=7009:7001",
            "--label=prometheus.io/scrape=true",
            "--label=prometheus.io/port=7001",
            "--label=com.docker.stack.namespace=mystack",
        ],
    )?;
    // Those of its containers, which both ways of discovery see; and on every node.
    service(
        rig,
        "everywhere",
        &[
            "--mode=global",
            "--container-label=prometheus.io/scrape=true",
            "--container-label=prometheus.io/port=7001",
        ],
    )?;
    service(rig, "quiet", &["--label=prometheus.io/port=7001"])?;
    let of = |app: &str| -> Result<Vec<(Value, String, String)>> {
        let targets = app_targets(rig)?;
        Ok(targets
            .into_iter()
            .filter(|(labels, ..)| labels["app"] == app)
            .collect())
    };
    let is_well = |app: &str, count: usize| -> Result<bool> {
        let targets = of(app)?;
        Ok(targets.len() == count && targets.iter().all(|(_, health, _)| health == "up"))
    };
    wait("each task is one target that is up", || {
        Ok(is_well("mystack_api", 2)? && is_well("everywhere", 1)?)
    })
    .with_context(|| format!("{:#?}", app_targets(rig)))?;
    if !of("quiet")?.is_empty()
        || of("mystack_api")?
            .iter()
            .any(|(labels, ..)| labels["project"] != "mystack")
    {
        bail!(
            "two tasks of mystack and nothing of quiet are wanted: {:#?}",
            app_targets(rig)?
        );
    }
    docker(&["service", "rm", "mystack_api", "everywhere", "quiet"])?;
    rig.done("setup", &["--without-network", "far-network"])?;
    // The swarm stays: an engine that leaves one by force cuts containers off from its resolver.
    let steps = rig.plan(&[])?;
    match steps.is_empty() {
        true => Ok(()),
        false => bail!("a second setup would still do something: {steps:?}"),
    }
}
