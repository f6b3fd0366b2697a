//! Backups of a stack that goes on, restores of them, and what must not be restored.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::broken_off::Running;
use super::refused::signal;
use super::{CONTAINERS, Outcome, Rig, step, with_rig};
use crate::shell;

/// All samples of a moment, by series.
pub(super) type Samples = BTreeMap<String, Value>;
/// A step: what must hold, and how it is tried.
type Step = (&'static str, fn(&Rig) -> Result<()>);

const OWN: &str = "scrape_configs:\n  - job_name: mine\n    static_configs: [{targets: ['127.0.0.1:1']}]\n";
const RULE: &str =
    "groups:\n  - name: mine\n    interval: 1s\n    rules: [{record: mine, expr: vector(42)}]\n";

const PUSHED: &str = "of a component beside Prometheus\n";

/// In this order; each begins with a stack that runs.
const STEPS: &[Step] = &[
    (
        "a backup while samples come in, and nothing of it stays behind",
        backup,
    ),
    (
        "what is damaged, cut off or foreign is refused, and nothing is touched",
        refused,
    ),
    (
        "restored, not one sample of before the backup is missing",
        restored,
    ),
    ("restored where nothing is", restored_on_nothing),
    ("a restore that does not come up is undone", undone),
    ("a restore and a backup that are killed are gone on from", killed),
    ("a backup of a stopped stack", stopped),
];

/// All of [`STEPS`].
pub(in super::super) fn story() -> Result<Outcome> {
    with_rig(|rig| {
        rig.set_up(&["--retention-time", "20d"])?;
        fs::write(rig.base().join("conf.d/mine.yml"), OWN)?;
        fs::write(rig.base().join("rules/mine.yml"), RULE)?;
        // Data of a component beside Prometheus, of which the rule is that its folder is one for data.
        let data = rig.base().join("pushgateway-data");
        fs::create_dir(&data)?;
        fs::write(data.join("metrics"), PUSHED)?;
        for path in [data.join("metrics"), data] {
            chown(&path, Some(65534), Some(65534))?;
        }
        rig.done("restart", &["prometheus"])?;
        rig.wait_for("mine == 42")?;
        rig.wait_for("count_over_time(up{job=\"node-exporter\"}[5m]) > 8")?;
        for (name, run) in STEPS {
            step(name, || run(rig))?;
        }
        Ok(())
    })
}

impl Rig {
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Every sample of the half hour before a time.
    pub(super) fn samples(&self, at: &str) -> Result<Samples> {
        let form = [("query", "{__name__!=\"\"}[30m]"), ("time", at)];
        let mut data = self.prometheus("/api/v1/query", &form)?;
        let Some(list) = data["result"].as_array_mut() else {
            bail!("no result: {data}")
        };
        Ok(list
            .iter_mut()
            .map(|one| (one["metric"].to_string(), one["values"].take()))
            .collect())
    }
}

/// Fails unless each sample of before is there, with its value.
pub(super) fn nothing_is_missing(before: &Samples, now: &Samples) -> Result<()> {
    if before.len() < 100 {
        bail!("{} series are too few to say anything", before.len());
    }
    for (series, samples) in before {
        if now.get(series) != Some(samples) {
            bail!("{series} had\n{samples}\nand has\n{:?}", now.get(series));
        }
    }
    Ok(())
}

/// Now, in seconds with a fraction.
pub(super) fn now() -> Result<String> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(format!("{:.3}", now.as_secs_f64()))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn started(rig: &Rig) -> Result<Vec<String>> {
    CONTAINERS
        .iter()
        .map(|name| rig.docker.inspect(name, ".State.StartedAt"))
        .collect()
}

/// Names of working files in the base and data folders, and of snapshots.
fn traces(rig: &Rig) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for folder in [rig.base(), rig.base().join("data")] {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.starts_with(".masthead") || name == "snapshots" {
                found.push(name);
            }
        }
    }
    Ok(found)
}

pub(super) fn nothing_is_left(rig: &Rig) -> Result<()> {
    match traces(rig)?.as_slice() {
        [] => Ok(()),
        left => bail!("left behind: {left:?}"),
    }
}

fn backup(rig: &Rig) -> Result<()> {
    let before = started(rig)?;
    let file = rig.file("b.tar.gz");
    // Samples of up to here have to be in it: of what is being scraped now the time is older than its end.
    std::thread::sleep(std::time::Duration::from_secs(2));
    let moment = now()?;
    std::thread::sleep(std::time::Duration::from_secs(2));
    let held = rig.samples(&moment)?;
    fs::write(rig.file("moment"), &moment)?;
    fs::write(rig.file("held"), serde_json::to_string(&held)?)?;
    let said: Value = serde_json::from_str(&rig.done("backup", &[&text(&file), "--json"])?)?;
    if said["ok"] != true || said["kind"] != "upstream" || said["files"].as_u64() < Some(10) {
        bail!("odd: {said}");
    }
    let mode = fs::metadata(&file)?.mode() & 0o777;
    if mode != 0o600 || before != started(rig)? {
        bail!("mode {mode:o}; started {before:?}, now {:?}", started(rig)?);
    }
    nothing_is_left(rig)?;
    let listed = shell::output(Command::new("tar").arg("-tzf").arg(&file))?;
    for wanted in [
        "masthead-backup.json",
        "base/masthead-stack.json",
        "base/prometheus.yml",
        "base/conf.d/mine.yml",
        "base/rules/mine.yml",
        "base/secrets/prometheus.password",
        "base/pushgateway-data/metrics",
        "manifest.json",
    ] {
        if !listed.lines().any(|line| line == wanted) {
            bail!("{wanted} is wanted in\n{listed}");
        }
    }
    if listed.lines().any(|line| line.contains("/wal/")) || !listed.contains("/chunks/000001") {
        bail!("blocks of a snapshot are wanted, and no log:\n{listed}");
    }
    // A second one of the same name is refused.
    rig.run("backup", &[&text(&file)])?
        .expect(1, &["choose another name"])?;
    let dry = rig.run("restore", &[&text(&file), "--dry-run"])?;
    dry.expect(0, &["whole: a stack of containers", "prom/prometheus:"])
}

fn held(rig: &Rig) -> Result<(String, Samples)> {
    let held = serde_json::from_str(&fs::read_to_string(rig.file("held"))?)?;
    Ok((fs::read_to_string(rig.file("moment"))?, held))
}

fn refused(rig: &Rig) -> Result<()> {
    let whole = fs::read(rig.file("b.tar.gz"))?;
    let before = (started(rig)?, rig.ids()?);
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x10;
    let store = rig.file("embedded");
    fs::create_dir_all(store.join("wal"))?;
    fs::create_dir_all(store.join("blocks"))?;
    let embedded = rig.file("embedded.tar.gz");
    rig.done("backup", &[&text(&embedded), "--data-dir", &text(&store)])?;
    // A tar of somebody else's that leads out.
    let evil = rig.folder.path().join("evil");
    fs::create_dir_all(evil.join("base"))?;
    fs::write(evil.join("masthead-backup.json"), "{}")?;
    let foreign = rig.file("foreign.tar.gz");
    shell::output(
        Command::new("tar")
            .arg("-C")
            .arg(&evil)
            .arg("-czf")
            .arg(&foreign)
            .args(["base"]),
    )?;
    for (name, bytes, want) in [
        ("flipped", flipped, "damaged"),
        ("cut", whole[..whole.len() - 100].to_vec(), "damaged"),
        ("longer", [&whole[..], b"x"].concat(), "damaged"),
        ("foreign", fs::read(&foreign)?, "no backup of Masthead"),
        ("text", b"hello".to_vec(), "no backup of Masthead"),
        ("empty", Vec::new(), "no backup of Masthead"),
        ("embedded", fs::read(&embedded)?, "masthead migrate upstream"),
    ] {
        let file = rig.file("odd.tar.gz");
        fs::write(&file, bytes)?;
        rig.run("restore", &[&text(&file), "--yes"])?
            .expect(1, &[want])
            .with_context(|| name.to_owned())?;
        nothing_is_left(rig)?;
    }
    rig.run("restore", &[&text(&rig.file("b.tar.gz"))])?
        .expect(2, &["--yes"])?;
    if before != (started(rig)?, rig.ids()?) {
        bail!("something was touched");
    }
    rig.is_settled()
}

/// Everything is as it was at the backup.
fn is_as_backed_up(rig: &Rig) -> Result<()> {
    let (moment, held) = held(rig)?;
    nothing_is_missing(&held, &rig.samples(&moment)?)?;
    for (path, want) in [("conf.d/mine.yml", OWN), ("rules/mine.yml", RULE)] {
        if fs::read_to_string(rig.base().join(path))? != want {
            bail!("{path} is not as it was");
        }
    }
    let pushed = rig.base().join("pushgateway-data/metrics");
    if fs::read_to_string(&pushed)? != PUSHED || fs::metadata(&pushed)?.uid() != 65534 {
        bail!("{} is not as it was", pushed.display());
    }
    let options = fs::read_to_string(rig.base().join("masthead-stack.json"))?;
    if !options.contains("\"20d\"") {
        bail!("options: {options}");
    }
    nothing_is_left(rig)?;
    rig.wait_for("mine == 42")?;
    rig.run("check", &[])?.expect(0, &["mine"])?;
    rig.is_settled()
}

fn restored(rig: &Rig) -> Result<()> {
    fs::remove_file(rig.base().join("conf.d/mine.yml"))?;
    fs::write(rig.base().join("pushgateway-data/metrics"), "later")?;
    rig.done("setup", &["--retention-time", "7d", "--without", "cadvisor"])?;
    let file = rig.file("b.tar.gz");
    let said = rig.done("restore", &[&text(&file), "--yes"])?;
    if !said.contains("every target is up") {
        bail!("odd: {said}");
    }
    is_as_backed_up(rig)
}

fn restored_on_nothing(rig: &Rig) -> Result<()> {
    rig.done("remove", &["--purge-data", "--yes"])?;
    fs::remove_dir_all(rig.base())?;
    // A folder of somebody else's is left alone.
    fs::create_dir(rig.base())?;
    fs::write(rig.base().join("theirs"), "x")?;
    let file = text(&rig.file("b.tar.gz"));
    rig.run("restore", &[&file, "--yes"])?
        .expect(1, &["files that are not of a stack"])?;
    fs::remove_dir_all(rig.base())?;
    rig.done("restore", &[&file, "--yes"])?;
    is_as_backed_up(rig)
}

/// A backup with a rule that keeps Prometheus from starting: it runs with what it read before.
fn undone(rig: &Rig) -> Result<()> {
    let rule = rig.base().join("rules/wrong.yml");
    fs::write(
        &rule,
        "groups: [{name: wrong, rules: [{record: wrong, expr: 'sum('}]}]\n",
    )?;
    let file = text(&rig.file("wrong.tar.gz"));
    rig.done("backup", &[&file])?;
    fs::remove_file(&rule)?;
    std::thread::sleep(std::time::Duration::from_secs(2));
    let moment = now()?;
    std::thread::sleep(std::time::Duration::from_secs(2));
    let before = rig.samples(&moment)?;
    rig.run("restore", &[&file, "--yes"])?
        .expect(1, &["wrong.yml", "What was there before is there again"])?;
    nothing_is_missing(&before, &rig.samples(&moment)?)?;
    if rule.exists() {
        bail!("the rule of the backup is still there");
    }
    is_as_backed_up(rig)?;
    // Where nothing was before, nothing stays.
    rig.done("backup", &[&text(&rig.file("good.tar.gz"))])?;
    rig.done("remove", &["--purge-data", "--yes"])?;
    fs::remove_dir_all(rig.base())?;
    rig.run("restore", &[&file, "--yes"])?
        .expect(1, &["Nothing of it is left"])?;
    let left = rig.leftovers()?;
    if !left.is_empty() || rig.base().join("masthead-stack.json").exists() {
        bail!("left of a restore that was undone: {left:?}");
    }
    rig.done("restore", &[&text(&rig.file("good.tar.gz")), "--yes"])?;
    is_as_backed_up(rig)
}

fn killed(rig: &Rig) -> Result<()> {
    let file = text(&rig.file("b.tar.gz"));
    for (point, word) in [
        ("container masthead-prometheus to end", "KILL"),
        ("start container masthead-prometheus", "KILL"),
        ("start container masthead-prometheus", "INT"),
    ] {
        std::thread::sleep(std::time::Duration::from_secs(2));
        let moment = now()?;
        std::thread::sleep(std::time::Duration::from_secs(2));
        let before = rig.samples(&moment)?;
        Running::of(rig.stack("restore", &[&file, "--yes"]))?.break_off(point, word)?;
        let next = rig.run("setup", &[])?;
        next.expect(0, &[])?;
        nothing_is_missing(&before, &rig.samples(&moment)?).with_context(|| format!("{point}, {word}"))?;
        is_as_backed_up(rig)?;
    }
    for word in ["KILL", "INT"] {
        let half = rig.file("half.tar.gz");
        let mut run = Running::of(rig.stack("backup", &[&text(&half)]))?;
        if !run.reaches("snapshot") {
            bail!("it was to be broken off at its snapshot: {:?}", run.end()?);
        }
        signal(run.id(), word)?;
        let _ended = run.end()?;
        if half.exists() {
            bail!("half a backup has its name");
        }
        // Prometheus may still be at it, and nobody waits for it.
        std::thread::sleep(std::time::Duration::from_secs(2));
        rig.done("backup", &[&text(&rig.file(&format!("after-{word}.tar.gz")))])?;
        nothing_is_left(rig)?;
    }
    Ok(())
}

fn stopped(rig: &Rig) -> Result<()> {
    rig.done("stop", &[])?;
    let file = text(&rig.file("stopped.tar.gz"));
    rig.run("backup", &[&file])?
        .expect(0, &["Prometheus does not run"])?;
    rig.done("restore", &[&file, "--yes"])?;
    is_as_backed_up(rig)
}
