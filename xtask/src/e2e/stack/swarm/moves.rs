//! What a stack of a swarm goes through that stays the same otherwise: commands over SSH, upgrade, backup and restore, off and on again.

use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::super::backup::nothing_is_missing;
use super::super::nodes::Nodes;
use super::super::upgrade::{moment, older};
use super::super::wait;
use super::{OVERLAY, SERVICES, are_up, is_settled};
use crate::docker::stack::name;
use crate::shell;

/// Commands of the operator, to the manager as a registered server.
pub(super) fn over_ssh(nodes: &mut Nodes) -> Result<()> {
    nodes.over_ssh(|nodes| {
        nodes.register()?;
        nodes
            .rig()
            .run("status", &[])?
            .expect(0, &["host-manager", "host-worker"])?;
        is_settled(nodes)?;
        // Something to do, and through the same files.
        nodes
            .rig()
            .done("setup", &["--pull", "never", "--retention-time", "9d"])?;
        let log = nodes.rig().done("logs", &["node-exporter", "--tail", "5"])?;
        if log.trim().is_empty() {
            bail!("no log of node_exporter");
        }
        is_settled(nodes)
    })?;
    is_settled(nodes)
}

/// The image that a service is told to run.
fn image(nodes: &Nodes, service: &str) -> Result<String> {
    let spec = nodes.service(service)?;
    let image = spec["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"].as_str();
    image.map(str::to_owned).context("a service without an image")
}

/// Makes both nodes' services of a component run its older image, as an older Masthead would have made them.
fn downgrade(nodes: &Nodes, component: &str, services: &[&str]) -> Result<()> {
    let old = older(component)?;
    for docker in [&nodes.manager.rig.docker, &nodes.worker.rig.docker] {
        docker.cli(&["tag", name(component)?, &old])?;
    }
    for service in services {
        nodes.docker(&[
            "service",
            "update",
            "--detach",
            "--quiet",
            "--no-resolve-image",
            "--image",
            &old,
            service,
        ])?;
    }
    Ok(())
}

pub(super) fn upgraded(nodes: &mut Nodes) -> Result<()> {
    let rig = nodes.rig();
    let pinned = name("cadvisor")?;
    downgrade(nodes, "cadvisor", &["masthead-cadvisor"])?;
    are_up(nodes, &Nodes::host_names())?;
    rig.run("setup", &["--pull", "never"])?
        .expect(0, &["masthead upgrade"])?;
    let (at, before) = moment(rig)?;
    // On the worker the new version does not start.
    let docker = &nodes.worker.rig.docker;
    docker.cli(&["create", "--name=other", &older("cadvisor")?])?;
    let change = "ENTRYPOINT [\"/bin/sh\",\"-c\",\"echo I do not start; exit 1\"]";
    docker.cli(&["commit", "--change", change, "other", pinned])?;
    docker.cli(&["rm", "other"])?;
    rig.run("upgrade", &["--pull", "never"])?
        .expect(1, &["cadvisor", "It is back at"])?;
    if image(nodes, "masthead-cadvisor")? != older("cadvisor")? {
        bail!("it is to be back at its older image");
    }
    docker.cli(&["tag", &older("cadvisor")?, pinned])?;
    rig.run("upgrade", &["--pull", "never"])?
        .expect(0, &["Upgraded"])?;
    if image(nodes, "masthead-cadvisor")? != pinned {
        bail!("it is to be at its pinned image");
    }
    nothing_is_missing(&before, &rig.samples(&at)?)?;
    are_up(nodes, &Nodes::host_names())?;
    is_settled(nodes)
}

pub(super) fn backed_up(nodes: &mut Nodes) -> Result<()> {
    let rig = nodes.rig();
    let (at, before) = moment(rig)?;
    let file = rig.folder.path().join("swarm.tar.gz").display().to_string();
    rig.done("backup", &[&file])?;
    // A worker is no manager: nothing is touched there.
    let refused = nodes.on_worker("restore", &[&file, "--yes"])?;
    refused.expect(1, &["manager"])?;
    let base = nodes.worker.rig.base();
    if base.exists() {
        let left = shell::output(Command::new("find").arg(&base))?;
        bail!("something was made on the worker: {left}{}", refused.text());
    }
    rig.done("setup", &["--retention-time", "7d", "--pull", "never"])?;
    rig.done("restore", &[&file, "--yes"])?;
    nothing_is_missing(&before, &rig.samples(&at)?)?;
    are_up(nodes, &Nodes::host_names())?;
    is_settled(nodes)
}

/// Services become containers of the manager, and services again.
pub(super) fn off_and_on(nodes: &mut Nodes) -> Result<()> {
    let rig = nodes.rig();
    let (at, before) = moment(rig)?;
    rig.done("setup", &["--without-swarm", "--pull", "never"])?;
    wait("what was the swarm's is gone", || {
        Ok(nodes.ours_of_swarm()?.is_empty())
    })
    .with_context(|| format!("{:?}", nodes.ours_of_swarm()))?;
    nothing_is_missing(&before, &rig.samples(&at)?)?;
    for job in ["cadvisor", "node-exporter"] {
        // A new Prometheus does not end the series of its predecessor: what was scraped just now counts.
        let promql = format!("last_over_time(up{{job=\"{job}\"}}[3s])");
        wait("one target is left of each job, and is up", || {
            let up = rig.query(&promql)?;
            let is_ours = |labels: &Value| {
                labels["instance"]
                    .as_str()
                    .is_some_and(|at| at.starts_with("host-manager:"))
            };
            Ok(matches!(up.as_slice(), [(labels, 1.0)] if is_ours(labels)))
        })
        .with_context(|| format!("{:?}", rig.query(&promql)))?;
    }
    is_settled(nodes)?;
    rig.done("setup", &["--swarm", "--pull", "never"])?;
    are_up(nodes, &Nodes::host_names())?;
    nothing_is_missing(&before, &rig.samples(&at)?)?;
    for service in SERVICES {
        nodes.service(service)?;
    }
    is_settled(nodes)
}

/// Of one node alone: between nodes it takes ESP, which not every kernel of the tests has.
pub(super) fn encrypted(nodes: &mut Nodes) -> Result<()> {
    for (flag, is_on) in [("--swarm-encrypt", true), ("--without-swarm-encrypt", false)] {
        nodes.rig().done("setup", &[flag, "--pull", "never"])?;
        let options = nodes.docker(&["network", "inspect", "--format", "{{json .Options}}", OVERLAY])?;
        if options.contains("encrypted") != is_on {
            bail!("after {flag} the overlay has {options}");
        }
        are_up(nodes, &["host-manager"])?;
        is_settled(nodes)?;
    }
    Ok(())
}
