//! Blocks: bytes a sample by kind of data, and the speed of writing, selecting and reading.
//!
//! `cargo bench -p tsdb --bench block` prints the table of sizes first, then criterion's times.

#[path = "../tests/fleet/mod.rs"]
mod fleet;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::{Cancel, Labels, Matcher, Samples};
use tsdb::block::{Block, BlockMeta, BlockWriter, compact};
use tsdb::dir::{Dir, RealDir};

const ROWS: usize = 2880;

fn write(dir: &Arc<dyn Dir>, name: &str, series: &[(Labels, Samples)]) -> BlockMeta {
    let mut writer = BlockWriter::create(Arc::clone(dir), "", name, 1).expect("a writable folder");
    for (labels, samples) in series {
        writer.add(labels, samples).expect("sorted series");
    }
    writer.finish().expect("a writable folder")
}

#[expect(clippy::cast_precision_loss, reason = "sizes far below 2^53")]
fn per_sample(bytes: u64, samples: u64) -> f64 {
    bytes as f64 / samples as f64
}

/// What pco alone makes of the values as floats, the reference.
fn pco_alone(series: &[(Labels, Samples)]) -> u64 {
    let size = |samples: &Samples| {
        pco::standalone::simple_compress(&samples.values, &pco::ChunkConfig::default())
            .map_or(0, |bytes| bytes.len() as u64)
    };
    series.iter().map(|(_, samples)| size(samples)).sum()
}

/// Bytes a sample by kind: the whole file over many series, so the index counts.
#[expect(clippy::print_stderr, reason = "the table is what this bench is for")]
fn sizes(dir: &Arc<dyn Dir>) {
    eprintln!(
        "{:45} {:>9} {:>9}",
        "bytes a sample, 2,880 samples a column", "block", "pco f64"
    );
    let mut all = fleet::fleet(30, ROWS, 8);
    for kind in &fleet::KINDS {
        let own: Vec<_> = all
            .iter()
            .filter(|(l, _)| l.metric_name() == kind.metric)
            .cloned()
            .collect();
        let meta = write(dir, "kind", &own);
        let alone = per_sample(pco_alone(&own), meta.samples);
        eprintln!(
            "{:45} {:9.3} {:9.3}",
            kind.metric,
            per_sample(meta.bytes, meta.samples),
            alone
        );
    }
    for rows in [ROWS, 480] {
        all = fleet::fleet(30, rows, 8);
        let meta = write(dir, "all", &all);
        let alone = per_sample(pco_alone(&all), meta.samples);
        eprintln!(
            "all, {rows:5} samples a column {:26.3} {alone:9.3}",
            per_sample(meta.bytes, meta.samples)
        );
        let moving: Vec<_> = all
            .into_iter()
            .filter(|(_, s)| s.values.iter().any(|v| *v != s.values[0]))
            .collect();
        let meta = write(dir, "moving", &moving);
        let alone = per_sample(pco_alone(&moving), meta.samples);
        eprintln!(
            "without constants {:37.3} {alone:9.3}",
            per_sample(meta.bytes, meta.samples)
        );
    }
}

fn bench(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir: Arc<dyn Dir> = Arc::new(RealDir::new(folder.path()).expect("a temporary folder"));
    sizes(&dir);
    let series = fleet::fleet(30, ROWS, 8);
    let moving: Vec<_> = series
        .iter()
        .filter(|(_, s)| s.values.iter().any(|v| *v != s.values[0]))
        .cloned()
        .collect();
    let mut group = criterion.benchmark_group("block");
    group.sample_size(10);

    let meta = write(&dir, "moving", &moving);
    group.throughput(Throughput::Elements(meta.samples));
    group.bench_function("write, without constants", |b| {
        b.iter(|| black_box(write(&dir, "w", &moving)))
    });
    let block = Block::open(dir.as_ref(), "", "moving").expect("a good block");
    group.bench_function("read, without constants", |b| b.iter(|| read_all(&block)));
    let two_hundred: Vec<_> = moving
        .iter()
        .step_by(moving.len().div_ceil(200))
        .cloned()
        .collect();
    let meta = write(&dir, "some", &two_hundred);
    let some = Block::open(dir.as_ref(), "", "some").expect("a good block");
    group.throughput(Throughput::Elements(meta.samples));
    group.bench_function(format!("read {} moving series of 12 h", meta.series), |b| {
        b.iter(|| read_all(&some))
    });
    let meta = write(&dir, "all", &series);
    group.throughput(Throughput::Elements(meta.samples));
    let block = Block::open(dir.as_ref(), "", "all").expect("a good block");
    group.bench_function("read, all", |b| b.iter(|| read_all(&block)));
    group.bench_function("compact two of the same", |b| {
        let inputs = [Arc::clone(&block), Arc::clone(&block)];
        b.iter(|| compact(&dir, "", &inputs, "c", &Cancel::new()).expect("good blocks"));
    });
    group.finish();
    selects(criterion, &dir);
}

fn read_all(block: &Arc<Block>) -> usize {
    let cancel = Cancel::new();
    let mut samples = Samples::default();
    let mut rows = 0;
    for (_, series) in block
        .select(&[], i64::MIN, i64::MAX, &cancel)
        .expect("a good block")
    {
        samples.clear();
        series
            .read(i64::MIN, i64::MAX, &mut samples)
            .expect("a good block");
        rows += black_box(&samples).len();
    }
    rows
}

/// 14,500 series of which 200 or 250 are wanted.
fn selects(criterion: &mut Criterion, dir: &Arc<dyn Dir>) {
    let many = fleet::fleet(250, 60, 8);
    write(dir, "many", &many);
    let block = Block::open(dir.as_ref(), "", "many").expect("a good block");
    let cancel = Cancel::new();
    let regex = |name: &str, value: &str| {
        Matcher::new(name, model::MatchOp::Regex, value).expect("a good expression")
    };
    let by_metric = [
        Matcher::equal("__name__", "node_load1"),
        Matcher::equal("job", "cadvisor"),
        regex("app", "shop.*"),
    ];
    let by_app = [
        Matcher::equal("job", "cadvisor"),
        regex("app", "shop-web1"),
        regex("image", ".+"),
    ];
    let mut group = criterion.benchmark_group("select of 14,500");
    group.bench_function("one metric, three matchers", |b| {
        b.iter(|| {
            block
                .select(&by_metric, i64::MIN, i64::MAX, &cancel)
                .expect("a good block")
                .len()
        });
    });
    group.bench_function("three containers, three matchers", |b| {
        b.iter(|| {
            block
                .select(&by_app, i64::MIN, i64::MAX, &cancel)
                .expect("a good block")
                .len()
        });
    });
    group.bench_function("all", |b| {
        b.iter(|| {
            block
                .select(&[], i64::MIN, i64::MAX, &cancel)
                .expect("a good block")
                .len()
        });
    });
    group.bench_function("open", |b| {
        b.iter(|| Block::open(dir.as_ref(), "", "many").expect("a good block"))
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
