//! What a commit and a replay cost: a fleet of 14,000 series, one sample each a batch, as remote write sends them.
#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that cannot write its files has nothing to say"
)]

use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::{Batch, Cancel, Labels, Querier, Samples, SelectHints, SeriesRef};
use tsdb::dir::{Dir, RealDir};
use tsdb::{Db, Options};

const SERIES: usize = 14_000;
const STEP_MS: i64 = 15_000;

fn fleet(series: usize) -> Vec<Labels> {
    (0..series)
        .map(|i| {
            let (container, metric) = (i / 140, i % 140);
            Labels::from_pairs([
                ("__name__", format!("container_metric_{metric}_total")),
                (
                    "id",
                    format!("/system.slice/docker-{:064x}.scope", container * 7919),
                ),
                (
                    "image",
                    format!(
                        "registry.example.org/team/application-{}:1.{}",
                        container % 20,
                        container % 7
                    ),
                ),
                ("instance", "host-1.example.org:8080".to_owned()),
                ("job", "cadvisor".to_owned()),
                ("name", format!("application-{container}.1.q8x")),
            ])
        })
        .collect()
}

/// Counters of several paces, gauges and constants.
fn value(series: usize, round: i64) -> f64 {
    let noise = ((series as i64 * 7919 + round * 104_729) % 1009) as f64;
    match series % 4 {
        0 => 1.0,
        1 => (round * (series as i64 % 50)) as f64,
        2 => (round * 100_000) as f64 + noise,
        _ => noise * 0.013,
    }
}

fn by_labels(batch: &mut Batch, fleet: &[Labels], round: i64) {
    batch.clear();
    for (number, labels) in fleet.iter().enumerate() {
        batch.series(labels);
        batch.push(round * STEP_MS, value(number, round));
    }
}

fn by_refs(batch: &mut Batch, refs: &[SeriesRef], round: i64) {
    batch.clear();
    for (number, series) in refs.iter().enumerate() {
        batch.series_ref(*series);
        batch.push(round * STEP_MS, value(number, round));
    }
}

fn options() -> Options {
    Options {
        max_ahead_ms: i64::MAX,
        ..Options::default()
    }
}

fn commit(c: &mut Criterion) {
    let mut group = c.benchmark_group("commit");
    group
        .throughput(Throughput::Elements(SERIES as u64))
        .sample_size(20)
        .measurement_time(Duration::from_secs(4));
    let fleet = fleet(SERIES);
    for (name, with_refs) in [("labels", false), ("refs", true)] {
        let folder = tempfile::tempdir().unwrap();
        let dir: Arc<dyn Dir> = Arc::new(RealDir::new(folder.path()).unwrap());
        let (db, _) = Db::open(dir, options(), 0).unwrap();
        let mut batch = Batch::new();
        by_labels(&mut batch, &fleet, 0);
        let refs = db.commit(&batch).unwrap().refs;
        let mut round = 0;
        group.bench_function(name, |b| {
            b.iter_custom(|times| {
                let mut spent = Duration::ZERO;
                for _ in 0..times {
                    round += 1;
                    if with_refs {
                        by_refs(&mut batch, &refs, round);
                    } else {
                        by_labels(&mut batch, &fleet, round);
                    }
                    #[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
                    let start = std::time::Instant::now();
                    db.commit(&batch).unwrap();
                    spent += start.elapsed();
                }
                spent
            });
        });
    }
    group.finish();
}

/// 30,000 series, 3.5 M samples: the budget of DESIGN.md. One log is raw, one starts with a checkpoint.
fn replay(c: &mut Criterion) {
    let mut group = c.benchmark_group("replay");
    group.throughput(Throughput::Elements(3_510_000)).sample_size(10);
    let fleet = fleet(30_000);
    for (name, range_ms) in [("log", i64::MAX / 4), ("checkpoint", STEP_MS * 8)] {
        let folder = tempfile::tempdir().unwrap();
        let dir: Arc<dyn Dir> = Arc::new(RealDir::new(folder.path()).unwrap());
        let rounds = if name == "log" { 0..117 } else { -12..117 };
        let first = rounds.start;
        let (db, _) = Db::open(
            Arc::clone(&dir),
            Options {
                block_range_ms: range_ms,
                ..options()
            },
            0,
        )
        .unwrap();
        let mut batch = Batch::new();
        by_labels(&mut batch, &fleet, first);
        let refs = db.commit(&batch).unwrap().refs;
        for round in rounds.skip(1) {
            by_refs(&mut batch, &refs, round);
            db.commit(&batch).unwrap();
            if name == "checkpoint" && round == 0 {
                db.maintain(0, &Cancel::new()).unwrap();
            }
        }
        drop(db);
        group.bench_function(name, |b| {
            b.iter(|| {
                let (db, warnings) = Db::open(Arc::clone(&dir), options(), 0).unwrap();
                assert!(warnings.is_empty() && db.head_series() == 30_000);
            });
        });
    }
    group.finish();
}

/// 200 series of the head over twelve hours.
fn query(c: &mut Criterion) {
    let mut group = c.benchmark_group("query");
    let fleet = fleet(SERIES);
    let folder = tempfile::tempdir().unwrap();
    let dir: Arc<dyn Dir> = Arc::new(RealDir::new(folder.path()).unwrap());
    let (db, _) = Db::open(dir, options(), 0).unwrap();
    let mut batch = Batch::new();
    for round in 0..720 {
        by_labels(&mut batch, &fleet, round);
        db.commit(&batch).unwrap();
    }
    let hints = SelectHints {
        start_ms: 0,
        end_ms: 720 * STEP_MS,
        ..SelectHints::default()
    };
    let names = "container_metric_1_total|container_metric_2_total";
    let matchers = [model::Matcher::new("__name__", model::MatchOp::Regex, names).unwrap()];
    let mut samples = Samples::default();
    group.throughput(Throughput::Elements(200 * 720));
    group.bench_function("head_200_series", |b| {
        b.iter(|| {
            let found = db.select(&matchers, &hints, &Cancel::new()).unwrap();
            assert_eq!(found.len(), 200);
            for reader in &found {
                samples.clear();
                reader.read(0, i64::MAX, &mut samples).unwrap();
            }
        });
    });
    group.finish();
}

criterion_group!(benches, commit, replay, query);
criterion_main!(benches);
