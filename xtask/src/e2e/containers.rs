//! Containers of a real Docker Engine, seen by a running Masthead and asked for through PromQL.
//!
//! Each case has an engine and a Masthead of its own ([`Rig`]), which collects once a second.

pub(super) mod apps;
pub(super) mod crowd;
pub(super) mod dashboards;
pub(super) mod engine;
pub(super) mod figures;
pub(super) mod life;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Outcome;
use crate::docker::Docker;
use crate::http::{self, clip};
use crate::server::{self, Server, TempDir};

/// How often Masthead collects in these cases.
const TICK: Duration = Duration::from_secs(1);
/// Longer than anything that must happen takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

/// A series of an answer: its labels and its value.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

impl Point {
    /// A label, empty when it is not there.
    pub(crate) fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// An engine and a Masthead that watches it.
pub(super) struct Rig {
    pub(super) server: Server,
    pub(super) docker: Docker,
    /// Data and configuration, which go last.
    _folder: TempDir,
}

/// Runs a case with a rig of its own; an engine that cannot be had here is something missing, all else a failure.
fn with_rig(flags: &[&str], case: impl FnOnce(&mut Rig) -> Result<()>) -> Result<Outcome> {
    let docker = match Docker::start(flags) {
        Ok(docker) => docker,
        Err(why) => return Ok(Outcome::Missing(why)),
    };
    let folder = TempDir::new("containers")?;
    let config = write_config(folder.path(), &docker)?;
    let server = server::masthead(&folder.path().join("data"), &["--config", &config])?;
    let mut rig = Rig {
        server,
        docker,
        _folder: folder,
    };
    rig.first_tick()?;
    match case(&mut rig) {
        Ok(()) => Ok(Outcome::Passed),
        Err(error) => Err(error.context(format!("Masthead's log:\n{}\n", rig.server.log_tail()))),
    }
}

/// Writes a configuration that collects once a second and asks this engine; gives its path.
pub(crate) fn write_config(folder: &Path, docker: &Docker) -> Result<String> {
    let path = folder.join("masthead.yml");
    let text = format!(
        "masthead:\n  collect:\n    interval: 1s\n  containers:\n    docker: unix://{}\n",
        docker.socket().display()
    );
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path.display().to_string())
}

impl Rig {
    /// The series of an instant query, now.
    pub(super) fn query(&self, promql: &str) -> Result<Vec<Point>> {
        query(&self.server, promql)
    }

    /// The value of a query that must give exactly one series.
    pub(super) fn value(&self, promql: &str) -> Result<f64> {
        match self.query(promql)?.as_slice() {
            [one] => Ok(one.value),
            other => bail!("{promql}: {} series, not one: {other:?}", other.len()),
        }
    }

    /// Waits until a query gives something, and gives it.
    pub(super) fn wait_for(&self, promql: &str) -> Result<Vec<Point>> {
        self.wait_until(promql, LIMIT, |points| !points.is_empty())
    }

    /// Waits until a query gives nothing.
    pub(super) fn wait_gone(&self, promql: &str) -> Result<()> {
        self.wait_until(promql, LIMIT, <[Point]>::is_empty).map(|_| ())
    }

    /// Waits until the answer of a query is as wanted.
    pub(super) fn wait_until(
        &self,
        promql: &str,
        limit: Duration,
        wanted: impl Fn(&[Point]) -> bool,
    ) -> Result<Vec<Point>> {
        let began = Instant::now();
        loop {
            let points = self.query(promql)?;
            if wanted(&points) {
                return Ok(points);
            }
            if began.elapsed() > limit {
                let few: Vec<&Point> = points.iter().take(5).collect();
                bail!(
                    "{promql}: after {limit:?} there are {} series: {few:?}",
                    points.len()
                );
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until all that is the case now has been collected: for a tick that began after this moment.
    pub(super) fn settle(&self) -> Result<()> {
        let now = seconds_now()?;
        self.wait_until("timestamp(machine_cpu_cores)", LIMIT, |points| {
            points.first().is_some_and(|point| point.value > now)
        })?;
        Ok(())
    }

    fn first_tick(&self) -> Result<()> {
        self.wait_for("machine_cpu_cores")
            .map(|_| ())
            .context("no container metrics after the start")
    }

    /// `data` of one of Masthead's own answers.
    pub(super) fn own(&self, path: &str) -> Result<Value> {
        let response = http::get(&self.server.address, &format!("/api/masthead/v1/{path}"))?;
        let mut json = response.json()?;
        if response.status != 200 {
            bail!("{path}: {}: {}", response.status, clip(&response.text()));
        }
        Ok(json["data"].take())
    }

    /// The marks of an application, oldest first: event, then exit code where there is one.
    pub(super) fn marks(&self, app: &str) -> Result<Vec<(String, Option<i64>)>> {
        let data = self.own(&format!("events?app={app}"))?;
        let Some(events) = data["events"].as_array() else {
            bail!("no list of events: {data}")
        };
        Ok(events
            .iter()
            .map(|event| {
                (
                    event["event"].as_str().unwrap_or_default().to_string(),
                    event["exitCode"].as_i64(),
                )
            })
            .collect())
    }

    /// Waits until an application's marks hold this one; gives all of them.
    pub(super) fn wait_mark(&self, app: &str, event: &str) -> Result<Vec<(String, Option<i64>)>> {
        let began = Instant::now();
        loop {
            let marks = self.marks(app)?;
            if marks.iter().any(|(name, _)| name == event) {
                return Ok(marks);
            }
            if began.elapsed() > LIMIT {
                bail!("{app} has no mark `{event}` after {LIMIT:?}: {marks:?}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// The series of an instant query, now.
pub(crate) fn query(server: &Server, promql: &str) -> Result<Vec<Point>> {
    let response = http::post_form(&server.address, "/api/v1/query", &[("query", promql)])?;
    let json = response.json()?;
    let Some(list) = json["data"]["result"].as_array() else {
        bail!("{promql}: {}", clip(&response.text()))
    };
    let mut points = Vec::new();
    for one in list {
        let labels = one["metric"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_string()))
            .collect();
        let value = one["value"][1].as_str().and_then(|text| text.parse().ok());
        points.push(Point {
            labels,
            value: value.with_context(|| format!("{promql}: a sample without a value: {one}"))?,
        });
    }
    Ok(points)
}

fn seconds_now() -> Result<f64> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(now.as_secs_f64())
}
