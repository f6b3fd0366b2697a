//! Applications keep their name: over redeploys, over the replicas of a swarm service, in compose projects.

use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Outcome, Rig, with_rig};
use crate::docker::shop::compose_labels;
use crate::docker::{IMAGE, IMAGE_NEXT};
use crate::{peers, shell};

/// The containers of an application now: by name, the image.
fn images(rig: &Rig, app: &str) -> Result<Vec<String>> {
    let points = rig.query(&format!("container_memory_rss{{app=\"{app}\"}}"))?;
    Ok(points
        .iter()
        .map(|point| point.label("image").to_string())
        .collect())
}

/// A new container of the same service takes the place of the old one, by another name: `app` stays.
pub(in super::super) fn redeploy() -> Result<Outcome> {
    with_rig(&[], |rig| {
        let labels = compose_labels("shop", "web");
        let run = |name: &str, image: &str| -> Result<String> {
            let mut flags = vec!["--network=none"];
            flags.extend(labels.iter().map(String::as_str));
            rig.docker.run(name, &flags, image, &["burn", "share=0.05"])
        };
        let old = run("shop-web-1", IMAGE)?;
        rig.wait_for("container_memory_rss{app=\"shop-web\",project=\"shop\"}")?;
        rig.docker.cli(&["rm", "--force", "shop-web-1"])?;
        let new = run("web-of-today", IMAGE_NEXT)?;
        rig.wait_for(&format!(
            "container_memory_rss{{app=\"shop-web\",name=\"web-of-today\",id=\"/docker/{new}\",image=\"{IMAGE_NEXT}\"}}"
        ))?;
        rig.wait_gone(&format!("{{id=\"/docker/{old}\"}}"))?;
        // One application all the while: two containers one after the other, one answer.
        rig.wait_until(
            "count by (app) (count by (app, id) (count_over_time(container_last_seen{app=\"shop-web\"}[1m])))",
            super::LIMIT,
            |points| matches!(points, [one] if one.value == 2.0),
        )?;
        let data = rig.own("events?app=shop-web")?;
        let deploys: Vec<&str> = data["events"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|event| event["event"] == "deploy")
            .filter_map(|event| event["image"].as_str())
            .collect();
        if deploys != [IMAGE, IMAGE_NEXT] {
            bail!("two deploys with their images are wanted: {data}");
        }
        rig.wait_for("masthead_container_events_total{app=\"shop-web\",event=\"deploy\"} == 2")?;
        check_command_line(rig)
    })
}

/// `masthead metrics` finds the application and its one container, though two kinds of series tell of it.
fn check_command_line(rig: &Rig) -> Result<()> {
    let url = format!("http://{}", rig.server.address);
    for (what, name) in [("app", "shop-web"), ("container", "web-of-today")] {
        let output = Command::new(shell::release_binary())
            .args(["metrics", what, name, "--json", "--url", &url])
            .output()
            .context("cannot run masthead metrics")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let answer: Value = serde_json::from_str(&text)
            .with_context(|| format!("{what}: {text}{}", String::from_utf8_lossy(&output.stderr)))?;
        let one = match what {
            "app" => match answer["containers"].as_array().map(Vec::as_slice) {
                Some([one]) => one,
                _ => bail!("one container is wanted: {answer}"),
            },
            _ => &answer,
        };
        let memory = one["memoryWorkingSetBytes"].as_f64().unwrap_or(0.0);
        if one["name"] != "web-of-today" || memory <= 0.0 || one["restarts"] != 0.0 {
            bail!("{what} {name}: name, memory and restarts are wanted: {answer}");
        }
    }
    Ok(())
}

/// A service of a swarm of one: `app` is the service, and its replicas sum, before an update and after it.
pub(in super::super) fn swarm() -> Result<Outcome> {
    with_rig(&[], |rig| {
        rig.docker
            .cli(&["swarm", "init", "--advertise-addr", "127.0.0.1"])?;
        rig.docker.cli(&[
            "service",
            "create",
            "--detach",
            "--quiet",
            "--no-resolve-image",
            "--name=mystack_api",
            "--replicas=2",
            "--stop-signal=SIGKILL",
            "--container-label=com.docker.stack.namespace=mystack",
            IMAGE,
            "burn",
            "memory=20m",
        ])?;
        let replicas = |image: &str| {
            format!("count by (app, project) (container_memory_rss{{image=~\"{image}.*\"}} > 15e6) == 2")
        };
        let points = rig.wait_for(&replicas(IMAGE))?;
        let whose: Vec<(&str, &str)> = points
            .iter()
            .map(|point| (point.label("app"), point.label("project")))
            .collect();
        if whose != [("mystack_api", "mystack")] {
            bail!("the replicas are of {whose:?}, not of mystack_api in mystack");
        }
        let sum = rig.value("sum(container_memory_rss{app=\"mystack_api\"})")?;
        if !(40e6..60e6).contains(&sum) {
            bail!("two replicas of 20 MiB hold {sum} bytes");
        }
        rig.docker.cli(&[
            "service",
            "update",
            "--detach",
            "--quiet",
            "--no-resolve-image",
            "--image",
            IMAGE_NEXT,
            "mystack_api",
        ])?;
        rig.wait_for(&replicas(IMAGE_NEXT))?;
        rig.wait_until(
            "container_memory_rss{app=\"mystack_api\"}",
            super::LIMIT,
            |points| points.len() == 2,
        )?;
        let marks = rig.marks("mystack_api")?;
        let deploys = marks.iter().filter(|(name, _)| name == "deploy").count();
        if deploys != 4 {
            bail!("four deploys are wanted, two of each version: {marks:?}");
        }
        Ok(())
    })
}

/// A project made by the real compose; a changed image in its file, and `up` again.
pub(in super::super) fn compose() -> Result<Outcome> {
    if let Err(why) = peers::program("docker-compose") {
        return Ok(Outcome::Missing(why));
    }
    with_rig(&[], |rig| {
        let file = |image: &str| {
            format!(
                "services:\n  web:\n    image: {image}\n    command: [burn, serve=80]\n    stop_signal: SIGKILL\n    deploy: {{replicas: 2}}\n  \
                 db:\n    image: {IMAGE}\n    command: [burn, memory=30m]\n    stop_signal: SIGKILL\n    mem_limit: 128m\n    \
                 labels: {{secret: hush}}\n"
            )
        };
        rig.docker.compose_up("shop", &file(IMAGE))?;
        rig.wait_for("count(container_memory_rss{app=\"shop-web\",project=\"shop\"}) == 2")?;
        rig.wait_for(
            "container_spec_memory_limit_bytes{app=\"shop-db\",project=\"shop\"} == 128 * 1024 * 1024",
        )?;
        let label = "container_label_com_docker_compose_service=\"db\"";
        rig.wait_for(&format!("container_memory_rss{{app=\"shop-db\",{label}}}"))?;
        for hidden in [
            "container_label_secret",
            "container_label_com_docker_compose_config_hash",
        ] {
            if !rig
                .query(&format!("container_memory_rss{{{hidden}!=\"\"}}"))?
                .is_empty()
            {
                bail!("{hidden} is not on the list of allowed labels, and is there");
            }
        }
        rig.docker.compose_up("shop", &file(IMAGE_NEXT))?;
        rig.wait_until("container_memory_rss{app=\"shop-web\"}", super::LIMIT, |points| {
            points.len() == 2 && points.iter().all(|point| point.label("image") == IMAGE_NEXT)
        })?;
        if images(rig, "shop-db")? != [IMAGE] {
            bail!("shop-db: {:?}", images(rig, "shop-db")?);
        }
        let names = rig.query("count by (name) (container_memory_rss{project=\"shop\"})")?;
        if names.len() != 3 {
            bail!("three containers are wanted: {names:?}");
        }
        Ok(())
    })
}
