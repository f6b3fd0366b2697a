//! What the tests of the whole store share: a store in a simulated folder and its contents as a map.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop here")]
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Batch, Cancel, Labels, Matcher, Querier, Samples, SelectHints};
use tsdb::sim::SimDir;
use tsdb::{Committed, Db, Options, Warning};

/// Series to time to value bits.
pub(crate) type Contents = BTreeMap<Labels, BTreeMap<i64, u64>>;

/// Small ranges, so that cuts and compactions happen within a few samples.
pub(crate) fn small() -> Options {
    Options {
        retention_ms: 0,
        block_range_ms: 1000,
        wal_segment_bytes: 600,
        wal_sync_bytes: 400,
        max_ahead_ms: i64::MAX,
        ..Options::default()
    }
}

pub(crate) fn open(dir: &SimDir, options: &Options) -> (Db, Vec<Warning>) {
    Db::open(Arc::new(dir.clone()), options.clone(), 0).unwrap()
}

pub(crate) fn series(number: usize) -> Labels {
    let group = (number % 3).to_string();
    Labels::from_pairs([
        ("__name__", "m"),
        ("group", group.as_str()),
        ("id", number.to_string().as_str()),
    ])
}

pub(crate) fn commit(db: &Db, rows: &[(Labels, i64, f64)]) -> Result<Committed, tsdb::AppendError> {
    let mut batch = Batch::new();
    for (labels, t_ms, value) in rows {
        batch.series(labels);
        batch.push(*t_ms, *value);
    }
    db.commit(&batch)
}

/// Everything in a time range, by way of a query; fails when a series comes twice or times do not rise.
pub(crate) fn contents(db: &Db, matchers: &[Matcher], start_ms: i64, end_ms: i64) -> Contents {
    let hints = SelectHints {
        start_ms,
        end_ms,
        ..SelectHints::default()
    };
    let found = db.select(matchers, &hints, &Cancel::new()).unwrap();
    assert!(
        found.windows(2).all(|pair| pair[0].labels() < pair[1].labels()),
        "series come twice or unsorted"
    );
    let mut out = Contents::new();
    let mut samples = Samples::default();
    for reader in found {
        samples.clear();
        reader.read(start_ms, end_ms, &mut samples).unwrap();
        assert!(
            samples.t_ms.is_sorted_by(|a, b| a < b),
            "{} comes unsorted: {:?}",
            reader.labels(),
            samples.t_ms
        );
        let points: BTreeMap<_, _> = samples
            .t_ms
            .iter()
            .copied()
            .zip(samples.values.iter().map(|v| v.to_bits()))
            .collect();
        if !points.is_empty() {
            out.insert(reader.labels().clone(), points);
        }
    }
    out
}

pub(crate) fn everything(db: &Db) -> Contents {
    contents(db, &[], i64::MIN, i64::MAX)
}
