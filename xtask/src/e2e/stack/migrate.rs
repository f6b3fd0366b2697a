//! From the stack of containers to `masthead up` and back, with the same answers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::Value;

use super::backup::{Samples, nothing_is_missing, now};
use super::broken_off::Running;
use super::refused::signal;
use super::{Outcome, Rig, step, wait, with_rig};
use crate::{http, shell};

type Step = (&'static str, fn(&Rig) -> Result<()>);

const OWN: &str = "scrape_configs:\n  - job_name: mine\n    scrape_interval: 1s\n    static_configs:\n      - targets: ['172.30.5.1:1']\n        \
                   labels: {kind: own}\n";
const RULE: &str =
    "groups:\n  - name: mine\n    interval: 1s\n    rules: [{record: mine, expr: vector(42)}]\n";

/// In this order; it begins with a stack that runs.
const STEPS: &[Step] = &[
    (
        "what would be done is told, and what cannot be done is refused",
        refused,
    ),
    ("to `masthead up`, and every sample is there", to_embedded),
    ("back to the stack, and every sample is there", to_upstream),
    ("an answer that differs leaves the source as it was", different),
];

/// All of [`STEPS`].
pub(in super::super) fn story() -> Result<Outcome> {
    with_rig(|rig| {
        rig.set_up(&["--retention-time", "20d"])?;
        fs::write(rig.base().join("conf.d/mine.yml"), OWN)?;
        fs::write(rig.base().join("rules/mine.yml"), RULE)?;
        rig.done("restart", &["prometheus"])?;
        rig.wait_for("mine == 42")?;
        rig.wait_for("count_over_time(up{job=\"mine\"}[5m]) > 20")?;
        for (name, run) in STEPS {
            step(name, || run(rig))?;
        }
        Ok(())
    })
}

fn data(rig: &Rig) -> PathBuf {
    rig.file("embedded")
}

fn config(rig: &Rig) -> PathBuf {
    rig.file("etc/masthead.yml")
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// `masthead migrate TO` with the case's own folders.
fn migrate(rig: &Rig, to: &str, args: &[&str]) -> Result<super::Ran> {
    let (data, config) = (text(&data(rig)), text(&config(rig)));
    let flags = [to, "--data-dir", &data, "--config", &config];
    rig.run("migrate", &[&flags[..], args].concat())
}

/// A `masthead up` on the migrated folder, within the engine's network.
struct Up(Child);

impl Up {
    fn new(rig: &Rig) -> Result<Self> {
        let mut command = rig.command(&["up", "--listen", "127.0.0.1:9095", "--retention-time", "20d"]);
        command
            .arg("--data-dir")
            .arg(data(rig))
            .arg("--config")
            .arg(config(rig));
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let up = Self(child);
        wait("masthead up is ready", || {
            Ok(rig
                .http("127.0.0.1:9095", "GET", "/-/ready", None, b"")
                .is_ok_and(|response| response.status == 200))
        })?;
        Ok(up)
    }

    /// Every sample of the half hour before a time.
    fn samples(&self, rig: &Rig, at: &str) -> Result<Samples> {
        let mut data = self.query(rig, "{__name__!=\"\"}[30m]", at)?;
        let Some(list) = data["result"].as_array_mut() else {
            bail!("no result: {data}")
        };
        Ok(list
            .iter_mut()
            .map(|one| (one["metric"].to_string(), one["values"].take()))
            .collect())
    }

    fn query(&self, rig: &Rig, query: &str, at: &str) -> Result<Value> {
        let form = http::form_encode(&[("query", query), ("time", at)]);
        let response = rig.http("127.0.0.1:9095", "POST", "/api/v1/query", None, form.as_bytes())?;
        Ok(response.json()?["data"].take())
    }

    fn stop(mut self) -> Result<()> {
        signal(self.0.id(), "TERM")?;
        let ended = self.0.wait()?;
        match ended.success() {
            true => Ok(()),
            false => bail!("masthead up ended with {ended}"),
        }
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn refused(rig: &Rig) -> Result<()> {
    let ids = rig.ids()?;
    migrate(rig, "embedded", &["--dry-run"])?.expect(
        0,
        &[
            "import a snapshot",
            "masthead up --data-dir",
            "--retention-time 20d",
        ],
    )?;
    if data(rig).exists() || config(rig).exists() {
        bail!("something was made for a dry run");
    }
    migrate(rig, "upstream", &[])?.expect(1, &["is not the data folder of a `masthead up`"])?;
    // What `masthead up` does not have is named before anything is done.
    let odd = rig.base().join("conf.d/odd.yml");
    fs::write(
        &odd,
        "scrape_configs: [{job_name: odd, file_sd_configs: [{files: [a.yml]}]}]\n",
    )?;
    migrate(rig, "embedded", &[])?.expect(1, &["file_sd_configs", "odd.yml"])?;
    fs::remove_file(&odd)?;
    rig.done("stop", &["prometheus"])?;
    migrate(rig, "embedded", &[])?.expect(1, &["does not run", "masthead start"])?;
    rig.done("start", &[])?;
    // Somebody's data is in the way.
    let data = data(rig);
    let up = Up::new_on(rig, &data)?;
    std::thread::sleep(Duration::from_secs(2));
    up.stop()?;
    migrate(rig, "embedded", &[])?.expect(1, &["holds data of a `masthead up` already"])?;
    migrate(rig, "upstream", &[])?.expect(1, &["there is a stack under"])?;
    fs::remove_dir_all(&data)?;
    if ids != rig.ids()? {
        bail!("something was touched");
    }
    rig.is_settled()
}

impl Up {
    /// One without a configuration.
    fn new_on(rig: &Rig, data: &Path) -> Result<Self> {
        let mut command = rig.command(&["up", "--listen", "127.0.0.1:9095", "--data-dir"]);
        command.arg(data);
        Ok(Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?))
    }
}

fn to_embedded(rig: &Rig) -> Result<()> {
    std::thread::sleep(Duration::from_secs(12));
    let moment = now()?;
    std::thread::sleep(Duration::from_secs(3));
    let held = rig.samples(&moment)?;
    // Killed when half of it is done: the source is brought back, and the next one goes on.
    let (folder, file) = (text(&data(rig)), text(&config(rig)));
    let flags = ["embedded", "--data-dir", &folder, "--config", &file];
    let mut run = Running::of(rig.stack("migrate", &flags))?;
    if !run.reaches("stop container masthead-prometheus") {
        bail!(
            "it was to be broken off when the stack is stopped: {:?}",
            run.end()?
        );
    }
    signal(run.id(), "KILL")?;
    let _ended = run.end()?;
    wait("Prometheus has ended", || {
        Ok(rig.docker.inspect("masthead-prometheus", ".State.Status")? == "exited")
    })?;
    migrate(rig, "embedded", &[])?.expect(1, &["does not run", "masthead start"])?;
    rig.done("start", &[])?;
    let ran = migrate(rig, "embedded", &["--json"])?;
    ran.expect(0, &[])?;
    let said: Value = serde_json::from_str(&ran.out)?;
    if said["migrated"] != true || said["queries"].as_u64() < Some(20) {
        bail!("odd: {said}");
    }
    rig.run("status", &[])?.expect(3, &["exited"])?;
    if !rig.base().join("data").is_dir() || rig.base().join("data/snapshots").exists() {
        bail!("the source's data stays, its snapshot goes");
    }
    let yaml = fs::read_to_string(config(rig))?;
    if !yaml.contains("job_name: \"mine\"") || fs::read_to_string(rig.file("etc/rules/mine.yml"))? != RULE {
        bail!("scrape configs and rules were not carried over: {yaml}");
    }
    let up = Up::new(rig)?;
    nothing_is_missing(&held, &up.samples(rig, &moment)?)?;
    // It scrapes on what the stack scraped.
    wait("the own job is scraped", || {
        let data = up.query(rig, "up{job=\"mine\",kind=\"own\"} == 0", &now()?)?;
        Ok(data["result"].as_array().is_some_and(|list| !list.is_empty()))
    })?;
    std::thread::sleep(Duration::from_secs(5));
    fs::write(rig.file("held"), serde_json::to_string(&held)?)?;
    fs::write(rig.file("moment"), &moment)?;
    up.stop()
}

fn to_upstream(rig: &Rig) -> Result<()> {
    // What is in use is not taken.
    let up = Up::new(rig)?;
    migrate(rig, "upstream", &[])?.expect(1, &["in use by another masthead"])?;
    std::thread::sleep(Duration::from_secs(2));
    let later = now()?;
    std::thread::sleep(Duration::from_secs(2));
    let ours = up.samples(rig, &later)?;
    up.stop()?;
    migrate(rig, "upstream", &[])?.expect(1, &["there is a stack under"])?;
    rig.done("remove", &["--purge-data", "--yes"])?;
    fs::remove_dir_all(rig.base())?;
    migrate(rig, "upstream", &["--dry-run"])?.expect(0, &["masthead setup", "conf.d/migrated.yml"])?;
    let ran = migrate(rig, "upstream", &["--retention-time", "20d", "--pull", "never"])?;
    ran.expect(0, &["Migrated", "every target is up"])?;
    let held: Samples = serde_json::from_str(&fs::read_to_string(rig.file("held"))?)?;
    nothing_is_missing(&held, &rig.samples(&fs::read_to_string(rig.file("moment"))?)?)?;
    nothing_is_missing(&ours, &rig.samples(&later)?)?;
    rig.wait_for("up{job=\"mine\",kind=\"own\"} == 0")?;
    rig.wait_for("mine == 42")?;
    if !data(rig).join("blocks").is_dir() {
        bail!("the source's data is gone");
    }
    // What was exported is read by Prometheus' own tool.
    let promtool = crate::peers::program("promtool")?;
    let list = shell::output(
        Command::new(&promtool)
            .args(["tsdb", "list"])
            .arg(rig.base().join("data")),
    )?;
    if list.lines().count() < 2 {
        bail!("promtool sees no blocks: {list}");
    }
    shell::output(
        Command::new(&promtool)
            .args(["tsdb", "analyze"])
            .arg(rig.base().join("data")),
    )?;
    super::backup::nothing_is_left(rig)?;
    rig.is_settled()
}

/// The target has series of the same time that the source does not have, as if a migration before had gone wrong.
fn different(rig: &Rig) -> Result<()> {
    fs::remove_dir_all(data(rig))?;
    fs::remove_dir_all(rig.file("etc"))?;
    fs::create_dir_all(rig.file("etc"))?;
    let up = Up::new_on(rig, &data(rig))?;
    std::thread::sleep(Duration::from_secs(3));
    up.stop()?;
    fs::write(data(rig).join(".masthead-migrating"), "")?;
    // What is asked about is some seconds old.
    std::thread::sleep(Duration::from_secs(20));
    let ran = migrate(rig, "embedded", &[])?;
    ran.expect(
        1,
        &["Not migrated", "queries answer otherwise", "The stack runs again"],
    )?;
    // Its exit code says that no target of ours is down.
    rig.done("check", &[])?;
    rig.is_settled()
}
