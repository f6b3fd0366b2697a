//! The differential test: the same samples, by remote write, in the real Prometheus and in Masthead; then the same
//! queries to both, and equal answers.
//!
//! The queries stand in `differential/queries.txt`, one test a line. Where Prometheus changed between the oracle's
//! version and ours, [`known`] names the construct with upstream's changelog line.

mod compare;
pub(crate) mod data;
mod known;
mod queries;

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use crate::http::{self, Connection, form_encode};
use crate::remote_write::{self, Series};
use crate::server::{self, Server, TempDir};
use crate::test::Tally;
use crate::{peers, shell};
use queries::{Evaluation, Query};

/// Samples are sent in slices of time, all series in each: Prometheus refuses what is an hour older than its newest.
const SLICE_MS: i64 = 10 * 60 * 1000;

/// The chore: `differential [--self] [TEXT]` runs the queries that contain TEXT. `--self` compares Prometheus with
/// itself, which tests the test.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let with_itself = args.iter().any(|arg| arg == "--self");
    let filter = args
        .iter()
        .find(|arg| !arg.starts_with("--"))
        .map_or("", String::as_str);
    if !with_itself {
        shell::run(shell::cargo().args(["build", "--release", "--locked", "-p", "masthead"]))?;
    }
    let tally = compare_engines(with_itself, filter)?;
    println!("{tally}");
    if tally.is_failure() {
        anyhow::bail!("the answers differ");
    }
    Ok(())
}

/// Starts both servers, loads them and compares their answers.
pub(crate) fn compare_engines(with_itself: bool, filter: &str) -> Result<Tally> {
    let program = peers::program("prometheus")?;
    let folder = TempDir::new("oracle")?;
    let oracle = server::prometheus(&program, folder.path())?;
    let other = TempDir::new("differential")?;
    let ours = if with_itself {
        server::prometheus(&program, other.path())?
    } else {
        server::masthead(&other.path().join("data"), &[])?
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock stands before 1970")?;
    let end_ms = i64::try_from(now.as_secs() / 60 * 60 - 60)? * 1000;
    let start_ms = end_ms - data::SPAN_MS;
    let series = data::series(start_ms);
    for server in [&oracle, &ours] {
        load(server, &series, start_ms)
            .with_context(|| format!("cannot load {}:\n{}", server.address, server.log_tail()))?;
    }
    println!(
        "{} series in both; Prometheus {}",
        series.len(),
        peers::version("prometheus")
    );
    Ok(judge_all(&ours, &oracle, end_ms, |_, query| {
        query.contains(filter)
    }))
}

/// Asks both servers the queries that `wanted` picks by number and text, and prints where they differ.
pub(crate) fn judge_all(
    ours: &Server,
    oracle: &Server,
    end_ms: i64,
    wanted: impl Fn(usize, &str) -> bool,
) -> Tally {
    let mut tally = Tally::default();
    let all = queries::all();
    for (_, query) in all
        .iter()
        .enumerate()
        .filter(|(number, query)| wanted(*number, &query.text))
    {
        match judge(query, ours, oracle, end_ms) {
            Ok(()) => tally.add(Tally::pass()),
            Err(what) if known::is_lacking(query) && what.contains("not supported by this engine yet") => {
                tally.add(Tally::skip(&format!(
                    "differential: {} (the engine lacks it)",
                    query.text
                )));
            }
            Err(difference) => {
                let line = format!("{}\n     {difference}", query.text);
                if let Some(reason) = known::reason(query) {
                    println!("KNOWN {line}\n     {reason}");
                    tally.add(Tally::pass());
                } else {
                    println!("FAIL {line}");
                    tally.add(Tally::failure(&format!("differential: {}", query.text)));
                }
            }
        }
    }
    tally
}

/// Sends all samples in order of time.
pub(crate) fn load(server: &Server, series: &[Series], start_ms: i64) -> Result<()> {
    let mut connection = Connection::open(&server.address)?;
    let mut from = start_ms;
    while from < start_ms + data::SPAN_MS + SLICE_MS {
        let within = |t: i64| (from..from + SLICE_MS).contains(&t);
        let slice: Vec<Series> = series
            .iter()
            .map(|one| Series {
                labels: one.labels.clone(),
                samples: one.samples.iter().copied().filter(|(t, _)| within(*t)).collect(),
            })
            .filter(|one| !one.samples.is_empty())
            .collect();
        if !slice.is_empty() {
            let body = remote_write::compress(&remote_write::encode(&slice))?;
            remote_write::post(&mut connection, "/api/v1/write", &body)?;
        }
        from += SLICE_MS;
    }
    Ok(())
}

/// Asks both for every evaluation of a query.
fn judge(query: &Query, ours: &Server, oracle: &Server, end_ms: i64) -> Result<(), String> {
    let mut refused = None;
    for evaluation in query.evaluations() {
        let (path, form) = request(query, &evaluation, end_ms);
        let ask = |server: &Server| {
            let pairs: Vec<(&str, &str)> = form.iter().map(|(k, v)| (*k, v.as_str())).collect();
            http::post_form(&server.address, path, &pairs)
                .map_err(|error| format!("{error:#} ({path}?{})", form_encode(&pairs)))
        };
        let (a, b) = (ask(ours)?, ask(oracle)?);
        // The order of a range query's series is always that of their labels, or as it comes.
        let order = if path.ends_with("/query") {
            query.order
        } else {
            compare::Order::Any
        };
        compare::answers(&a, &b, order).map_err(|what| format!("{evaluation:?}: {what}"))?;
        if b.status != 200 {
            refused = Some(b.text());
        }
    }
    match refused {
        Some(text) if !query.refused => Err(format!(
            "the oracle refuses it, so it tests nothing: {}",
            http::clip(&text)
        )),
        None if query.refused => Err("marked as an error, but the oracle takes it".to_string()),
        _ => Ok(()),
    }
}

/// The path and the form of an evaluation. `$end` in a query stands for the last sample's time in seconds.
fn request(
    query: &Query,
    evaluation: &Evaluation,
    end_ms: i64,
) -> (&'static str, Vec<(&'static str, String)>) {
    let seconds = |ms: i64| format!("{}.{:03}", ms / 1000, ms % 1000);
    let text = query.text.replace("$end", &(end_ms / 1000).to_string());
    match *evaluation {
        Evaluation::Instant { before_end_ms } => (
            "/api/v1/query",
            vec![("query", text), ("time", seconds(end_ms - before_end_ms))],
        ),
        Evaluation::Range {
            from_ms,
            to_ms,
            step_ms,
        } => (
            "/api/v1/query_range",
            vec![
                ("query", text),
                ("start", seconds(end_ms - from_ms)),
                ("end", seconds(end_ms - to_ms)),
                ("step", seconds(step_ms)),
            ],
        ),
    }
}
