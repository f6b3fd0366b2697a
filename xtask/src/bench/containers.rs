//! What containers cost: Masthead collects from an engine without containers, then with more and more of them.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::process::Usage;
use super::value_of;
use crate::docker::Docker;
use crate::e2e::containers::query;
use crate::server::{self, Server, TempDir};

/// After this time what comes with a new container (its first reading, its series) is over.
const SETTLE: Duration = Duration::from_secs(15);

/// One row of the result.
struct Row {
    containers: usize,
    /// CPU seconds of the process a collection.
    cpu_s: f64,
    /// What the collector says about its own time, in seconds.
    collector_s: f64,
    rss_mb: f64,
    max_rss_mb: f64,
    series: f64,
}

/// `bench containers [--counts 50,100] [--interval 1s] [--rounds 120]`.
pub(super) fn run(args: &[String]) -> Result<()> {
    let counts: Vec<usize> = value_of(args, "--counts")
        .unwrap_or("50,100")
        .split(',')
        .map(str::parse)
        .collect::<Result<_, _>>()
        .context("--counts wants numbers, such as 50,100")?;
    let rounds: u32 = value_of(args, "--rounds")
        .map_or(Ok(120), str::parse)
        .context("--rounds wants a number")?;
    let interval_s: u32 = value_of(args, "--interval")
        .map_or(Ok(1), |text| text.trim_end_matches('s').parse())
        .context("--interval wants whole seconds, such as 15s")?;
    let docker = Docker::start(&[])?;
    let folder = TempDir::new("bench")?;
    let config = folder.path().join("masthead.yml");
    let text = format!(
        "masthead:\n  collect:\n    interval: {interval_s}s\n  containers:\n    docker: unix://{}\n",
        docker.socket().display()
    );
    fs::write(&config, text)?;
    let config = config.display().to_string();
    let server = server::masthead(&folder.path().join("data"), &["--config", &config])?;
    let time = Duration::from_secs(u64::from(rounds) * u64::from(interval_s));
    // Without containers nothing grows, however long one looks.
    let alone = rounds.min(40);
    let short = Duration::from_secs(u64::from(alone) * u64::from(interval_s));
    let mut rows = vec![measure(&server, 0, short, alone)?];
    let mut there = 0;
    for count in counts {
        start(&docker, there, count)?;
        there = count;
        wait_until_all(&server, count)?;
        rows.push(measure(&server, count, time, rounds)?);
    }
    print(&rows, interval_s, rounds);
    Ok(())
}

/// Containers as they are on small servers: mostly idle, each with its network.
fn start(docker: &Docker, from: usize, to: usize) -> Result<()> {
    println!("starting containers {from} to {to}");
    for n in from..to {
        docker.burn(
            &format!("bench-{n}"),
            &["--memory=128m"],
            &["memory=2m", "share=0.002"],
        )?;
    }
    Ok(())
}

fn wait_until_all(server: &Server, count: usize) -> Result<()> {
    let began = Instant::now();
    let promql = format!("count(container_last_seen{{name=~\"bench-.+\"}}) == {count}");
    while query(server, &promql)?.is_empty() {
        if began.elapsed() > Duration::from_secs(60) {
            bail!(
                "{count} containers are not there after a minute:\n{}",
                server.log_tail()
            );
        }
        std::thread::sleep(Duration::from_millis(250));
    }
    Ok(())
}

fn measure(server: &Server, containers: usize, time: Duration, rounds: u32) -> Result<Row> {
    std::thread::sleep(SETTLE);
    let before = Usage::of(server.pid())?;
    std::thread::sleep(time);
    let after = Usage::of(server.pid())?;
    let one = |promql: &str| -> Result<f64> {
        Ok(query(server, promql)?
            .first()
            .map_or(f64::NAN, |point| point.value))
    };
    Ok(Row {
        containers,
        cpu_s: (after.cpu_s - before.cpu_s) / f64::from(rounds),
        collector_s: one(&format!(
            "avg_over_time(scrape_duration_seconds{{job=\"cadvisor\"}}[{}s])",
            time.as_secs()
        ))?,
        rss_mb: after.rss_mb,
        max_rss_mb: after.max_rss_mb,
        series: one("count({job=\"cadvisor\"})")?,
    })
}

fn print(rows: &[Row], interval_s: u32, rounds: u32) {
    let Some(base) = rows.first() else { return };
    println!("{rounds} collections, one every {interval_s} s\n");
    println!(
        "| containers | CPU a collection, ms | us a container | collector's own time, ms | series | RSS MB | max RSS MB |"
    );
    println!("|---|---|---|---|---|---|---|");
    for row in rows {
        let each = match u32::try_from(row.containers) {
            Ok(count) if count > 0 => {
                format!("{:.0}", (row.cpu_s - base.cpu_s) / f64::from(count) * 1e6)
            }
            _ => String::new(),
        };
        println!(
            "| {} | {:.2} | {each} | {:.2} | {:.0} | {:.1} | {:.1} |",
            row.containers,
            row.cpu_s * 1e3,
            row.collector_s * 1e3,
            row.series,
            row.rss_mb,
            row.max_rss_mb
        );
    }
    println!(
        "\nNo peer beside it: cAdvisor is not in the Debian archive, and no image of it can be pulled here."
    );
}
