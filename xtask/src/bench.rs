//! `cargo xtask bench`: Masthead and its peers on the same work, one after the other, alone on the machine.
//!
//! - `ingest`: 40 M samples of 14,000 series by remote write over two connections: time, CPU, memory, disk.
//! - `query`: dashboard queries over those samples: the median of ten.
//! - `memory`: a host watched for some minutes (`--minutes N`): memory and CPU.
//! - `containers`: 50 and 100 real containers (`--counts`), collected every second (`--interval`) so many times (`--rounds`).
//!
//! `--only ENGINE` measures one; `--steps N` shortens the first two (2858 steps of 15 s are the whole).
//!
//! The requests are made once, before any server starts, and read from a file while it is measured.

mod containers;
mod load;
mod process;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::server::{self, Server, TempDir};
use crate::{http, peers, shell};
use process::Usage;

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Engine {
    Masthead,
    Prometheus,
    VictoriaMetrics,
}

impl Engine {
    fn name(self) -> &'static str {
        match self {
            Self::Masthead => "masthead",
            Self::Prometheus => "prometheus",
            Self::VictoriaMetrics => "victoria-metrics",
        }
    }

    fn start(self, folder: &Path) -> Result<Server> {
        match self {
            Self::Masthead => server::masthead(&folder.join("data"), &[]),
            Self::Prometheus => server::prometheus(&peers::program("prometheus")?, folder),
            Self::VictoriaMetrics => server::victoria_metrics(&peers::program("victoria-metrics")?, folder),
        }
    }
}

/// The chore.
pub(crate) fn run(args: &[String]) -> Result<()> {
    if cfg!(debug_assertions) {
        // The load generator would be what is measured if it were not optimised itself.
        let mut again = shell::cargo();
        again
            .args(["run", "--release", "--quiet", "--package", "xtask", "--", "bench"])
            .args(args);
        return shell::run(&mut again);
    }
    let mut engines = vec![Engine::Masthead];
    if args.iter().any(|arg| arg == "--peers") {
        engines.extend([Engine::VictoriaMetrics, Engine::Prometheus]);
    }
    if let Some(only) = value_of(args, "--only") {
        engines = [Engine::Masthead, Engine::VictoriaMetrics, Engine::Prometheus].into();
        engines.retain(|engine| engine.name() == only);
    }
    if engines.contains(&Engine::Masthead) {
        shell::run(shell::cargo().args(["build", "--release", "--locked", "--quiet", "-p", "masthead"]))?;
    }
    let steps = value_of(args, "--steps")
        .map_or(Ok(load::STEPS), str::parse)
        .context("--steps wants a number")?;
    match args.first().map(String::as_str) {
        Some("ingest") => ingest(&engines, steps, false),
        Some("query") => ingest(&engines, steps, true),
        Some("memory") => {
            let minutes = value_of(args, "--minutes")
                .map_or(Ok(5), str::parse)
                .context("--minutes wants a number")?;
            memory(&engines, minutes)
        }
        Some("containers") => containers::run(args),
        _ => bail!(
            "usage: cargo xtask bench ingest|query|memory|containers [--peers] [--only ENGINE] [--steps N] [--minutes N]"
        ),
    }
}

fn value_of<'a>(args: &'a [String], flag: &str) -> Option<&'a str> {
    let at = args.iter().position(|arg| arg == flag)?;
    args.get(at + 1).map(String::as_str)
}

/// A table whose first row is the measure by which the others are divided.
struct Table {
    head: Vec<String>,
    rows: Vec<(String, Vec<f64>)>,
}

impl Table {
    fn print(&self) {
        println!("{}", self.head.join(" | "));
        let Some((_, first)) = self.rows.first() else {
            return;
        };
        for (name, values) in &self.rows {
            let cells: Vec<String> = values
                .iter()
                .zip(first)
                .map(|(value, base)| format!("{value:.3} ({:.2}x)", value / base))
                .collect();
            println!("{name} | {}", cells.join(" | "));
        }
    }
}

/// Loads each engine; then, if asked, times the queries.
fn ingest(engines: &[Engine], steps: u32, and_query: bool) -> Result<()> {
    let work = load::Work::prepare(&shell::target_dir().join("bench"), steps)?;
    let mut writes = Table {
        head: [
            "engine",
            "wall s",
            "CPU s",
            "M samples/CPU s",
            "max RSS MB",
            "disk MB",
            "bytes/sample",
        ]
        .map(String::from)
        .to_vec(),
        rows: Vec::new(),
    };
    let mut queries = Table {
        head: vec!["engine (ms)".into()],
        rows: Vec::new(),
    };
    queries
        .head
        .extend(QUERIES.iter().map(|(name, _)| (*name).to_string()));
    for engine in engines {
        let folder = TempDir::new("bench")?;
        let mut server = engine.start(folder.path())?;
        let began = Instant::now();
        work.send(&server.address)
            .with_context(|| format!("loading {}:\n{}", engine.name(), server.log_tail()))?;
        let wall = began.elapsed().as_secs_f64();
        let usage = Usage::of(server.pid())?;
        let samples = work.samples();
        if and_query {
            queries
                .rows
                .push((engine.name().into(), time_queries(&server, work.end_seconds())?));
        }
        server.stop("TERM", Duration::from_secs(120))?;
        let disk = process::disk_bytes(folder.path());
        writes.rows.push((
            engine.name().into(),
            vec![
                wall,
                usage.cpu_s,
                samples / 1e6 / usage.cpu_s,
                usage.max_rss_mb,
                disk / 1e6,
                disk / samples,
            ],
        ));
    }
    writes.print();
    if and_query {
        println!();
        queries.print();
    }
    Ok(())
}

/// The queries: a name and PromQL. Each is asked over the last 12 hours, every 60 s.
const QUERIES: &[(&str, &str)] = &[
    ("200 series", "container_metric_3{node=~\"node-[01]\"}"),
    ("rate of 200", "rate(container_metric_0{node=~\"node-[01]\"}[5m])"),
    ("sum of rate", "sum by (node) (rate(container_metric_0[5m]))"),
    ("average by app", "avg by (app) (container_metric_1)"),
    (
        "max over 1 h",
        "max_over_time(container_metric_5{node=\"node-0\"}[1h])",
    ),
    (
        "share",
        "sum by (app) (container_metric_1) / on (app) sum by (app) (container_metric_5)",
    ),
    ("top 5", "topk(5, rate(container_metric_2[5m]))"),
    (
        "one series",
        "container_metric_6{node=\"node-3\", app=\"app-42\"}",
    ),
];

/// Waits until the last samples can be queried: VictoriaMetrics shows what it has taken a second or two later.
fn wait_until_visible(server: &Server, end: i64) -> Result<()> {
    let began = Instant::now();
    let path = format!("/api/v1/query?query=count(container_metric_0)&nocache=1&time={end}");
    loop {
        let answer = http::get(&server.address, &path)?.json()?;
        if answer["data"]["result"][0]["value"][1].as_str() == Some("2000") {
            return Ok(());
        }
        if began.elapsed() > Duration::from_secs(60) {
            bail!("the samples cannot be queried 60 s after they were taken: {answer}");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Milliseconds of each query, the median of ten.
fn time_queries(server: &Server, end: i64) -> Result<Vec<f64>> {
    wait_until_visible(server, end)?;
    let mut medians = Vec::new();
    for (name, query) in QUERIES {
        let (start, end) = ((end - 12 * 3600).to_string(), end.to_string());
        let form = http::form_encode(&[
            ("query", *query),
            ("start", start.as_str()),
            ("end", end.as_str()),
            ("step", "60"),
            ("nocache", "1"),
        ]);
        let mut times = Vec::new();
        for _ in 0..10 {
            let began = Instant::now();
            let response = http::get(&server.address, &format!("/api/v1/query_range?{form}"))?;
            times.push(began.elapsed().as_secs_f64() * 1000.0);
            if response.status != 200 || response.body.len() < 300 {
                bail!(
                    "{name}: answered {}: {}",
                    response.status,
                    http::clip(&response.text())
                );
            }
        }
        times.sort_by(f64::total_cmp);
        medians.push(f64::midpoint(
            times.get(4).copied().unwrap_or(0.0),
            times.get(5).copied().unwrap_or(0.0),
        ));
    }
    Ok(medians)
}

/// A host is watched for some minutes: Masthead alone, or Prometheus beside node_exporter.
fn memory(engines: &[Engine], minutes: u64) -> Result<()> {
    let mut table = Table {
        head: ["engine", "RSS MB", "max RSS MB", "CPU %"]
            .map(String::from)
            .to_vec(),
        rows: Vec::new(),
    };
    for engine in engines
        .iter()
        .filter(|engine| **engine != Engine::VictoriaMetrics)
    {
        let folder = TempDir::new("memory")?;
        let mut servers = Vec::new();
        if *engine == Engine::Prometheus {
            let exporter = start_exporter(folder.path())?;
            servers.push(start_scraping(folder.path(), &exporter.address)?);
            servers.push(exporter);
        } else {
            servers.push(engine.start(folder.path())?);
        }
        std::thread::sleep(Duration::from_secs(minutes * 60));
        let mut row = vec![0.0; 3];
        for server in &servers {
            let usage = Usage::of(server.pid())?;
            let seconds = f64::from(u32::try_from(minutes * 60)?);
            for (cell, value) in
                row.iter_mut()
                    .zip([usage.rss_mb, usage.max_rss_mb, usage.cpu_s / seconds * 100.0])
            {
                *cell += value;
            }
        }
        table.rows.push((engine.name().into(), row));
    }
    table.print();
    Ok(())
}

fn start_exporter(folder: &Path) -> Result<Server> {
    let address = format!("127.0.0.1:{}", server::free_port()?);
    let mut command = Command::new(peers::program("node_exporter")?);
    command.arg(format!("--web.listen-address={address}"));
    let mut exporter = Server::spawn(&mut command, &address, &folder.join("exporter.log"))?;
    exporter.wait_ready("/metrics")?;
    Ok(exporter)
}

fn start_scraping(folder: &Path, target: &str) -> Result<Server> {
    let address = format!("127.0.0.1:{}", server::free_port()?);
    let config = folder.join("scraping.yml");
    let text = format!(
        "global:\n  scrape_interval: 15s\nscrape_configs:\n  - job_name: node\n    static_configs:\n      - targets: ['{target}']\n"
    );
    fs::write(&config, text)?;
    let mut command = Command::new(peers::program("prometheus")?);
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
        .arg(format!("--web.listen-address={address}"));
    let mut prometheus = Server::spawn(&mut command, &address, &folder.join("prometheus.log"))?;
    prometheus.wait_ready("/-/ready")?;
    Ok(prometheus)
}
