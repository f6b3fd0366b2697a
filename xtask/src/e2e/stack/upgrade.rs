//! A stack of older images is upgraded to the pinned ones, and goes back where one does not do.
//!
//! The older images are the same programs under an older tag: what is tried is the way there and back. Containers of them are made
//! through the engine's API from what the engine says of ours, as an older Masthead would have made them.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::backup::{nothing_is_left, nothing_is_missing, now};
use super::broken_off::Running;
use super::refused::signal;
use super::{Outcome, Rig, step, with_rig};
use crate::docker::stack::name;
use crate::shell;

type Step = (&'static str, fn(&Rig) -> Result<()>);

const COMPONENTS: [&str; 3] = ["node-exporter", "cadvisor", "prometheus"];
const OLDER_TAG: &str = "v0.0.9";

/// In this order; each begins with a stack that runs.
const STEPS: &[Step] = &[
    ("with the pinned versions there is nothing to do", nothing),
    ("setup keeps older versions, and names the upgrade", kept),
    ("older versions are upgraded one after the other", upgraded),
    (
        "a new version that ends at once goes back by itself",
        ends_at_once,
    ),
    (
        "a new version that spoils its data gets that of before back",
        spoils,
    ),
    ("an upgrade that is killed is finished by the next", killed),
];

/// All of [`STEPS`].
pub(in super::super) fn story() -> Result<Outcome> {
    with_rig(|rig| {
        rig.set_up(&[])?;
        for component in COMPONENTS {
            rig.docker.cli(&["tag", name(component)?, &older(component)?])?;
        }
        rig.wait_for("count_over_time(up{job=\"node-exporter\"}[5m]) > 8")?;
        for (name, run) in STEPS {
            step(name, || run(rig))?;
        }
        Ok(())
    })
}

pub(super) fn older(component: &str) -> Result<String> {
    let pinned = name(component)?;
    let (repository, _) = pinned.rsplit_once(':').context("an image without a tag")?;
    Ok(format!("{repository}:{OLDER_TAG}"))
}

fn container(component: &str) -> String {
    format!("masthead-{component}")
}

/// Makes the component's container anew from its older image, through the engine's API.
pub(super) fn downgrade(rig: &Rig, component: &str) -> Result<()> {
    let name = container(component);
    let inspected: Value = serde_json::from_str(&rig.docker.cli(&["inspect", &name])?)?;
    let mut body = inspected[0]["Config"].clone();
    body["Image"] = json!(older(component)?);
    body["HostConfig"] = inspected[0]["HostConfig"].clone();
    let networks = inspected[0]["NetworkSettings"]["Networks"].as_object().cloned();
    if inspected[0]["HostConfig"]["NetworkMode"] != "host" {
        let endpoints: serde_json::Map<String, Value> = networks
            .unwrap_or_default()
            .into_iter()
            .map(|(name, _)| (name, json!({})))
            .collect();
        body["NetworkingConfig"] = json!({ "EndpointsConfig": endpoints });
    }
    let file = rig.file("body.json");
    fs::write(&file, body.to_string())?;
    rig.docker.cli(&["rm", "--force", &name])?;
    let socket = rig.docker.socket();
    let mut curl = rig.docker.inside("curl");
    curl.args(["--silent", "--show-error", "--fail-with-body", "--unix-socket"])
        .arg(&socket)
        .args([
            "-H",
            "Content-Type: application/json",
            "--data",
            &format!("@{}", file.display()),
        ])
        .arg(format!("http://docker/containers/create?name={name}"));
    shell::output(&mut curl)?;
    rig.docker.cli(&["start", &name])?;
    Ok(())
}

fn all_older(rig: &Rig) -> Result<()> {
    for component in COMPONENTS {
        downgrade(rig, component)?;
    }
    rig.done("setup", &["--pull", "never"])?;
    Ok(())
}

pub(super) fn image(rig: &Rig, component: &str) -> Result<String> {
    rig.docker.inspect(&container(component), ".Config.Image")
}

fn runs(rig: &Rig, component: &str, want: &str) -> Result<()> {
    match image(rig, component)? {
        image if image == want => Ok(()),
        image => bail!("{component} runs {image}, not {want}"),
    }
}

/// A time, and every sample of before it.
pub(super) fn moment(rig: &Rig) -> Result<(String, super::backup::Samples)> {
    std::thread::sleep(Duration::from_secs(2));
    let at = now()?;
    std::thread::sleep(Duration::from_secs(2));
    let samples = rig.samples(&at)?;
    Ok((at, samples))
}

fn well(rig: &Rig) -> Result<()> {
    nothing_is_left(rig)?;
    rig.wait_for("count(up == 1) == 3")?;
    rig.is_settled()
}

fn nothing(rig: &Rig) -> Result<()> {
    let ids = rig.ids()?;
    rig.run("upgrade", &["--dry-run"])?
        .expect(0, &["nothing to do"])?;
    rig.run("upgrade", &["--pull", "never"])?
        .expect(0, &["Nothing to do"])?;
    if ids != rig.ids()? {
        bail!("something was done");
    }
    Ok(())
}

fn kept(rig: &Rig) -> Result<()> {
    for component in COMPONENTS {
        downgrade(rig, component)?;
    }
    rig.run("setup", &["--pull", "never"])?
        .expect(0, &["masthead upgrade", OLDER_TAG])?;
    for component in COMPONENTS {
        runs(rig, component, &older(component)?)?;
    }
    rig.is_settled()?;
    rig.run("check", &[])?
        .expect(0, &["versions", "masthead upgrade"])?;
    // An option changes, a version does not.
    rig.done("setup", &["--retention-time", "9d", "--pull", "never"])?;
    runs(rig, "prometheus", &older("prometheus")?)
}

fn upgraded(rig: &Rig) -> Result<()> {
    let ids = rig.ids()?;
    let planned: Value = serde_json::from_str(&rig.done("upgrade", &["--dry-run", "--json"])?)?;
    let planned: Vec<&str> = planned["upgrades"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| one["component"].as_str())
        .collect();
    if planned != COMPONENTS || ids != rig.ids()? {
        bail!("{COMPONENTS:?} are wanted, Prometheus last: {planned:?}");
    }
    let (at, before) = moment(rig)?;
    let done: Value = serde_json::from_str(&rig.done("upgrade", &["--pull", "never", "--json"])?)?;
    if done["upgrades"].as_array().map(Vec::len) != Some(3) {
        bail!("odd: {done}");
    }
    for component in COMPONENTS {
        runs(rig, component, name(component)?)?;
    }
    nothing_is_missing(&before, &rig.samples(&at)?)?;
    well(rig)
}

/// Puts an image that does something else in the place of a pinned one, and takes it away again.
fn with_other_image(
    rig: &Rig,
    component: &str,
    script: &str,
    case: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let pinned = name(component)?;
    let entrypoint = json!(["/bin/sh", "-c", script]);
    rig.docker.cli(&["create", "--name=other", &older(component)?])?;
    let change = format!("ENTRYPOINT {entrypoint}");
    rig.docker
        .cli(&["commit", "--change", &change, "other", pinned])?;
    rig.docker.cli(&["rm", "other"])?;
    let tried = case();
    rig.docker.cli(&["tag", &older(component)?, pinned])?;
    tried
}

fn ends_at_once(rig: &Rig) -> Result<()> {
    for component in ["cadvisor", "prometheus"] {
        all_older(rig)?;
        let (at, before) = moment(rig)?;
        with_other_image(rig, component, "echo I do not start; exit 1", || {
            rig.run("upgrade", &["--pull", "never"])?
                .expect(1, &["I do not start", "It is back at", OLDER_TAG])
        })?;
        runs(rig, component, &older(component)?)?;
        runs(rig, "node-exporter", name("node-exporter")?)?;
        nothing_is_missing(&before, &rig.samples(&at)?)?;
        well(rig)?;
    }
    rig.done("upgrade", &["--pull", "never"])?;
    well(rig)
}

fn spoils(rig: &Rig) -> Result<()> {
    all_older(rig)?;
    let (at, before) = moment(rig)?;
    with_other_image(rig, "prometheus", "chmod 000 /prometheus/wal; exit 1", || {
        rig.run("upgrade", &["--pull", "never"])?
            .expect(1, &["with the data of the snapshot before it"])
    })?;
    nothing_is_missing(&before, &rig.samples(&at)?)?;
    let broken = rig.base().join("data/.masthead-broken");
    if !broken.join("wal").exists() {
        bail!("the spoilt data is not kept");
    }
    fs::remove_dir_all(&broken)?;
    rig.done("upgrade", &["--pull", "never"])?;
    well(rig)
}

fn killed(rig: &Rig) -> Result<()> {
    for (point, word) in [
        ("upgrade cadvisor", "KILL"),
        ("upgrade prometheus", "INT"),
        ("snapshot", "KILL"),
    ] {
        all_older(rig)?;
        let (at, before) = moment(rig)?;
        let mut run = Running::of(rig.stack("upgrade", &["--pull", "never"]))?;
        if !run.reaches(point) {
            bail!("it was to be broken off at {point:?}: {:?}", run.end()?);
        }
        // Somewhere in it.
        std::thread::sleep(Duration::from_millis(700));
        signal(run.id(), word)?;
        let _ended = run.end()?;
        rig.done("upgrade", &["--pull", "never"])
            .with_context(|| format!("after SIG{word} at {point}"))?;
        for component in COMPONENTS {
            runs(rig, component, name(component)?)?;
        }
        nothing_is_missing(&before, &rig.samples(&at)?)?;
        well(rig)?;
    }
    Ok(())
}
