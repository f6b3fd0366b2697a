//! Data from a Prometheus and for one: import, the same answers, export, the same answers again.
//!
//! The Prometheus is a real one with everything that its folder can hold: blocks, tombstones, a log with deletions, samples out of
//! order, native histograms.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Outcome, now_ms, write};
use crate::differential::{self, data};
use crate::http::{self, Connection};
use crate::remote_write::{self, Series};
use crate::server::{self, Server, TempDir};
use crate::{peers, shell};

/// Blocks of half an hour, so that two hours make some and leave something in the log.
const SMALL_BLOCKS: [&str; 4] = [
    "--storage.tsdb.min-block-duration=30m",
    "--storage.tsdb.max-block-duration=1h",
    "--web.enable-admin-api",
    "--enable-feature=native-histograms",
];
const OUT_OF_ORDER: &str = "storage:\n  tsdb:\n    out_of_order_time_window: 3h\n";
/// Native histograms that are written, and left out by an import.
const HISTOGRAMS: i64 = 25;
/// Longer than an import or a stop takes.
const LIMIT: Duration = Duration::from_secs(60);

/// The case.
pub(super) fn both_ways() -> Result<Outcome> {
    let (prometheus, promtool) = match (peers::program("prometheus"), peers::program("promtool")) {
        (Ok(prometheus), Ok(promtool)) => (prometheus, promtool),
        (Err(why), _) | (_, Err(why)) => return Ok(Outcome::Missing(why)),
    };
    let folder = TempDir::new("blocks")?;
    let source = folder.path().join("data");
    let ours = folder.path().join("masthead");
    let exported = folder.path().join("exported");
    let start =
        |data: &Path| server::prometheus_on(&prometheus, folder.path(), data, OUT_OF_ORDER, &SMALL_BLOCKS);
    let mut oracle = start(&source)?;
    let end_ms = fill(&oracle, &source)?;
    refused_while_running(&source, &ours)?;
    oracle.stop("TERM", LIMIT)?;

    let first = import(&source, &ours)?;
    let imported = count(&first, "samples")?;
    if imported == 0 || count(&first, "histogramsLeftOut")? != HISTOGRAMS {
        bail!("the import does not say what it should: {first}");
    }
    let second = import(&source, &ours)?;
    if (count(&second, "samples")?, count(&second, "blocks")?) != (0, 0)
        || count(&second, "samplesKnown")? != imported
    {
        bail!("a second import should add nothing, and know {imported} samples: {second}");
    }
    let oracle = start(&source)?;
    let masthead = server::masthead(&ours, &[])?;
    same_answers("imported", &masthead, &oracle, end_ms, 1)?;

    // Beside the Masthead that is running.
    let to = (end_ms / 1000 + 60).to_string();
    let written = tsdb(&["export", &text(&exported), "--to", &to], &ours)?;
    let blocks = written["blocks"].as_array().map_or(0, Vec::len);
    let samples = written["blocks"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| count(one, "samples"));
    let samples: i64 = samples.sum::<Result<i64>>()?;
    if samples != imported {
        bail!("{samples} samples were exported of {imported} that were imported");
    }
    drop(masthead);
    read_by_promtool(&promtool, &exported, blocks, samples)?;
    let second = TempDir::new("exported")?;
    let reader = server::prometheus_on(&prometheus, second.path(), &exported, "", &[])?;
    same_answers("exported", &reader, &oracle, end_ms, 2)?;
    println!("     {imported} samples imported, {samples} exported into {blocks} blocks");
    Ok(Outcome::Passed)
}

/// Fills a Prometheus; gives the time of the last sample.
fn fill(oracle: &Server, data_dir: &Path) -> Result<i64> {
    let end_ms = (now_ms()? / 60_000 - 1) * 60_000;
    let start_ms = end_ms - data::SPAN_MS;
    differential::load(oracle, &data::series(start_ms), start_ms)?;
    let began = Instant::now();
    while block_folders(data_dir)?.len() < 2 {
        if began.elapsed() > LIMIT {
            bail!(
                "Prometheus made no blocks within {LIMIT:?}:\n{}",
                oracle.log_tail()
            );
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    // Into blocks and log: the odd minutes first, then the even ones between them.
    for parity in [1, 0] {
        let mut late = Series::new("late_total", &[("job", "late")]);
        let minutes = (0..100).filter(|minute| minute % 2 == parity);
        late.samples = minutes
            .map(|minute| {
                (
                    end_ms - (100 - minute) * 60_000,
                    f64::from(i32::try_from(minute).unwrap_or(0)),
                )
            })
            .collect();
        write(oracle, &[late])?;
    }
    write_histograms(oracle, end_ms)?;
    // Two stretches of deletions: in blocks, where tombstones say it, and in the log. In the log only of a series that no query asks
    // for over a range: Prometheus 3.5 answers some of those with `index out of range`.
    let in_blocks = (
        start_ms + 600_000,
        start_ms + 1_500_000,
        "{__name__=~\"late_total|http_requests_total\"}",
    );
    let in_log = (end_ms - 600_000, end_ms - 300_000, "late_total");
    for (from_ms, to_ms, series) in [in_blocks, in_log] {
        let seconds = |ms: i64| (ms / 1000).to_string();
        let form = [
            ("match[]", series),
            ("start", &seconds(from_ms)),
            ("end", &seconds(to_ms)),
        ];
        let response = http::post_form(&oracle.address, "/api/v1/admin/tsdb/delete_series", &form)?;
        if response.status != 204 {
            bail!("Prometheus does not delete: {}", response.text());
        }
    }
    Ok(end_ms)
}

/// Writes native histograms by remote write: schema 0, one bucket.
fn write_histograms(oracle: &Server, end_ms: i64) -> Result<()> {
    let series = Series::new("native_seconds", &[("job", "native")]);
    let mut message = remote_write::labels(&series.labels);
    for number in 0..HISTOGRAMS {
        let zigzag = |value: i64| (value << 1 ^ value >> 63).cast_unsigned();
        let mut histogram = Vec::new();
        let count = (number + 1).cast_unsigned();
        for (field, value) in [(1, count), (4, zigzag(0)), (6, 0)] {
            remote_write::number(&mut histogram, field, value);
        }
        let mut span = Vec::new();
        remote_write::number(&mut span, 1, zigzag(0));
        remote_write::number(&mut span, 2, 1);
        remote_write::field(&mut histogram, 11, &span);
        let mut delta = Vec::new();
        remote_write::varint(&mut delta, zigzag(number + 1));
        remote_write::field(&mut histogram, 12, &delta);
        let t_ms = end_ms - (HISTOGRAMS - number) * 15_000;
        remote_write::number(&mut histogram, 15, t_ms.cast_unsigned());
        remote_write::field(&mut message, 4, &histogram);
    }
    let mut body = Vec::new();
    remote_write::field(&mut body, 1, &message);
    let mut connection = Connection::open(&oracle.address)?;
    remote_write::post(&mut connection, "/api/v1/write", &remote_write::compress(&body)?)
}

fn block_folders(data_dir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(data_dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.len() == 26 && data_dir.join(&name).join("meta.json").is_file() {
            names.push(name);
        }
    }
    Ok(names)
}

/// Runs `masthead tsdb ...` on a data folder and gives its JSON.
fn tsdb(args: &[&str], data_dir: &Path) -> Result<Value> {
    let mut command = Command::new(shell::release_binary());
    command
        .arg("tsdb")
        .args(args)
        .arg("--json")
        .arg("--data-dir")
        .arg(data_dir);
    let text = shell::output(&mut command)?;
    serde_json::from_str(&text).with_context(|| format!("not JSON: {}", http::clip(&text)))
}

fn import(source: &Path, data_dir: &Path) -> Result<Value> {
    tsdb(&["import", &text(source)], data_dir)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn count(json: &Value, key: &str) -> Result<i64> {
    json[key]
        .as_i64()
        .with_context(|| format!("`{key}` is missing in {json}"))
}

/// Both folders in use are named, and nothing is written.
fn refused_while_running(source: &Path, ours: &Path) -> Result<()> {
    let Err(error) = import(source, ours) else {
        bail!("a running Prometheus' folder was imported");
    };
    let said = format!("{error:#}");
    if !said.contains("is running") || !said.contains("snapshot") {
        bail!("the error does not say that Prometheus is running: {said}");
    }
    Ok(())
}

fn same_answers(what: &str, server: &Server, oracle: &Server, end_ms: i64, each: usize) -> Result<()> {
    let began = Instant::now();
    // Upstream's comparison of missing labels is not an order: the answer depends on how the store orders series.
    let wanted = |number: usize, query: &str| {
        number.is_multiple_of(each) && !query.contains("sort_by_label_desc(odd_labels")
    };
    let tally = differential::judge_all(server, oracle, end_ms, wanted);
    let late = super::stored(server, "late_total", "job", end_ms)?;
    // A hundred minutes, of which both deletions took six.
    let left = late.get("late").map_or(0, Vec::len);
    if late != super::stored(oracle, "late_total", "job", end_ms)? || left != 88 {
        bail!("{what}: samples out of order differ, or {left} are not 88: {late:?}");
    }
    println!("     {what}: {tally}, in {:.1} s", began.elapsed().as_secs_f64());
    if tally.is_failure() || tally.passed < 100 {
        bail!("{what}: the answers differ");
    }
    Ok(())
}

/// `promtool tsdb list`, `dump` and `analyze` read what was written.
fn read_by_promtool(promtool: &Path, exported: &Path, blocks: usize, samples: i64) -> Result<()> {
    let list = shell::output(Command::new(promtool).args(["tsdb", "list"]).arg(exported))?;
    // ULID, times, duration, samples, chunks, series, size: a line each below a header.
    let listed = list
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().nth(4)?.parse::<i64>().ok());
    let listed: Vec<i64> = listed.collect();
    if (listed.len(), listed.iter().sum()) != (blocks, samples) {
        bail!("promtool tsdb list sees {listed:?} for {blocks} blocks with {samples} samples:\n{list}");
    }
    let dump = shell::output(Command::new(promtool).args(["tsdb", "dump"]).arg(exported))?;
    let dumped = i64::try_from(dump.lines().count())?;
    if dumped != samples {
        bail!("promtool tsdb dump sees {dumped} samples of {samples}");
    }
    for block in block_folders(exported)? {
        let mut command = Command::new(promtool);
        command
            .args(["tsdb", "analyze", "--extended"])
            .arg(exported)
            .arg(&block);
        let analysis = shell::output(&mut command)?;
        if !analysis.contains("Total Series:") {
            bail!("promtool tsdb analyze says nothing of {block}:\n{analysis}");
        }
    }
    Ok(())
}

/// The case.
pub(super) fn damage() -> Result<()> {
    let folder = TempDir::new("verify")?;
    let data = folder.path().join("data");
    let mut masthead = server::masthead(&data, &[])?;
    // More than one and a half block ranges, so that a block is cut.
    let now = now_ms()?;
    let mut series = Series::new("gauge", &[]);
    series.samples = (0..1200).map(|n| (now - (1200 - n) * 15_000, 1.5)).collect();
    write(&masthead, &[series])?;
    let began = Instant::now();
    let block = loop {
        let names = fs::read_dir(data.join("blocks"))?.filter_map(|entry| Some(entry.ok()?.path()));
        if let Some(block) = names
            .into_iter()
            .find(|path| path.extension().is_some_and(|e| e == "block"))
        {
            break block;
        }
        if began.elapsed() > LIMIT {
            bail!("no block was cut within {LIMIT:?}:\n{}", masthead.log_tail());
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    // Whole, beside the running process.
    let whole = tsdb(&["verify"], &data)?;
    if count(&whole, "blocks")? < 1 || whole["faults"].as_array().is_none_or(|faults| !faults.is_empty()) {
        bail!("a whole store is not found whole: {whole}");
    }
    let analysis = tsdb(&["analyze", "--limit", "1000"], &data)?;
    let metrics = analysis["metrics"].as_array().into_iter().flatten();
    let gauge = metrics
        .into_iter()
        .find(|one| one["metric"] == "gauge")
        .cloned()
        .unwrap_or_default();
    if (count(&gauge, "series")?, count(&gauge, "samples")?) != (1, 1200) {
        bail!("analyze does not count the gauge: {gauge}");
    }
    masthead.stop("TERM", LIMIT)?;
    let mut bytes = fs::read(&block)?;
    // A column: behind the header.
    bytes[20] ^= 0x10;
    fs::write(&block, &bytes)?;
    let mut command = Command::new(shell::release_binary());
    command.args(["tsdb", "verify", "--data-dir"]).arg(&data);
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() || !said.contains(&text(&block)) || !said.contains("damaged at byte") {
        bail!("a damaged block is not found, or not named: {said}");
    }
    Ok(())
}
