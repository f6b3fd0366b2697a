//! What is written comes back: a few shapes by hand, then arbitrary ones.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test may panic, and its made-up numbers are small"
)]

use std::sync::Arc;

use model::{Cancel, Labels, Matcher, STALE_NAN, Samples};
use tempfile::TempDir;
use tsdb::block::{Block, BlockError, BlockMeta, BlockWriter, verify};
use tsdb::dir::{Dir, RealDir};

fn dir() -> (TempDir, Arc<dyn Dir>) {
    let folder = tempfile::tempdir().unwrap();
    let dir = RealDir::new(folder.path()).unwrap();
    dir.create_dir("blocks").unwrap();
    (folder, Arc::new(dir))
}

fn write(dir: &Arc<dyn Dir>, name: &str, series: &[(Labels, Samples)]) -> BlockMeta {
    let mut writer = BlockWriter::create(Arc::clone(dir), "blocks", name, 1).unwrap();
    for (labels, samples) in series {
        writer.add(labels, samples).unwrap();
    }
    writer.finish().unwrap()
}

fn read_all(block: &Arc<Block>) -> Vec<(Labels, Samples)> {
    let all = block.select(&[], i64::MIN, i64::MAX, &Cancel::new()).unwrap();
    all.into_iter()
        .map(|(labels, series)| {
            let mut samples = Samples::default();
            series.read(i64::MIN, i64::MAX, &mut samples).unwrap();
            (labels, samples)
        })
        .collect()
}

fn bits(samples: &Samples) -> (Vec<i64>, Vec<u64>) {
    (
        samples.t_ms.clone(),
        samples.values.iter().map(|v| v.to_bits()).collect(),
    )
}

/// Writes series, reads them back and compares every bit; verifies the file too.
fn check(series: &[(Labels, Samples)]) {
    let (_folder, dir) = dir();
    let meta = write(&dir, "b", series);
    let block = Block::open(dir.as_ref(), "blocks", "b").unwrap();
    assert_eq!(*block.meta(), meta);
    assert_eq!(verify(dir.as_ref(), "blocks", "b").unwrap(), meta);
    let got = read_all(&block);
    assert_eq!(got.len(), series.len());
    for ((labels, samples), (want_labels, want)) in got.iter().zip(series) {
        assert_eq!(labels, want_labels);
        assert_eq!(bits(samples), bits(want), "{labels}");
    }
    assert_eq!(dir.list("blocks").unwrap(), ["b"]);
}

fn labels(name: &str, number: usize) -> Labels {
    Labels::from_pairs([("__name__", name), ("number", &format!("{number:05}"))])
}

fn column(rows: usize, time: impl Fn(i64) -> i64, value: impl Fn(usize) -> f64) -> Samples {
    let mut samples = Samples::default();
    for row in 0..rows {
        samples.push(time(row as i64), value(row));
    }
    samples
}

#[test]
fn shapes_of_times_and_values_come_back() {
    let mut series = Vec::new();
    let times: [fn(i64) -> i64; 5] = [
        |row| 1_700_000_000_000 + row * 15_000,
        |row| 1_700_000_000_000 + row * 15_000 + (row * 7919) % 13,
        |row| 1_700_000_000_000 + (row + row / 50 * 3) * 15_000,
        |row| row * row * row - 5,
        |row| {
            if row == 0 {
                i64::MIN
            } else {
                i64::MAX - 10_000 + row
            }
        },
    ];
    let values: [fn(usize) -> f64; 10] = [
        |_| 7.0,
        |_| 0.1,
        |_| -0.0,
        |row| (row / 300) as f64 * 4096.0,
        |row| (row * row) as f64 * 1e-9,
        |row| (row as f64).sin(),
        |row| {
            if row % 97 == 3 {
                f64::from_bits(STALE_NAN)
            } else {
                row as f64
            }
        },
        |row| f64::from_bits(0x7ff8_0000_0000_0000 + row as u64),
        |row| {
            [
                f64::INFINITY,
                f64::NEG_INFINITY,
                f64::NAN,
                -0.0,
                f64::MIN_POSITIVE,
                f64::MAX,
            ][row % 6]
        },
        |_| f64::from_bits(STALE_NAN),
    ];
    for rows in [1, 2, 3, 64, 255, 257, 2880, 2881, 7000] {
        for (t, time) in times.iter().enumerate() {
            for (v, value) in values.iter().enumerate() {
                series.push((labels("m", rows * 100 + t * 10 + v), column(rows, time, value)));
            }
        }
    }
    series.sort_by(|a, b| a.0.cmp(&b.0));
    check(&series);
}

#[test]
fn ranges_give_only_their_samples() {
    let (_folder, dir) = dir();
    let whole = column(10_000, |row| row * 10, |row| row as f64 * 0.5);
    write(&dir, "b", &[(labels("m", 1), whole.clone())]);
    let block = Block::open(dir.as_ref(), "blocks", "b").unwrap();
    let found = block
        .select(&[Matcher::equal("__name__", "m")], 0, 99_990, &Cancel::new())
        .unwrap();
    for (start, end) in [
        (0, 0),
        (-5, -1),
        (5, 9),
        (28_790, 28_810),
        (0, 99_990),
        (99_990, 200_000),
        (50, 40),
        (1, 28_799),
    ] {
        let mut out = Samples::default();
        found[0].1.read(start, end, &mut out).unwrap();
        let want: Vec<(i64, f64)> = whole
            .t_ms
            .iter()
            .copied()
            .zip(whole.values.iter().copied())
            .filter(|(t, _)| (start..=end).contains(t))
            .collect();
        assert_eq!(
            out.t_ms
                .iter()
                .copied()
                .zip(out.values.iter().copied())
                .collect::<Vec<_>>(),
            want
        );
    }
}

#[test]
fn what_must_not_be_written_is_refused_and_leaves_nothing() {
    let (_folder, dir) = dir();
    let good = column(3, |row| row, |row| row as f64);
    let bad_times = column(3, |row| -row, |row| row as f64);
    let mut writer = BlockWriter::create(Arc::clone(&dir), "blocks", "b", 1).unwrap();
    writer.add(&labels("m", 2), &good).unwrap();
    for (number, samples) in [(2, &good), (1, &good), (3, &bad_times), (3, &Samples::default())] {
        let refused = writer.add(&labels("m", number), samples);
        assert!(
            matches!(refused, Err(BlockError::Order { .. })),
            "{number}: {refused:?}"
        );
    }
    assert_eq!(dir.list("blocks").unwrap(), ["b.tmp"]);
    writer.abort();
    assert!(dir.list("blocks").unwrap().is_empty());
    let empty = BlockWriter::create(Arc::clone(&dir), "blocks", "b", 1)
        .unwrap()
        .finish();
    assert!(matches!(empty, Err(BlockError::Empty { .. })), "{empty:?}");
    assert!(dir.list("blocks").unwrap().is_empty());
}

mod arbitrary {
    use super::*;
    use proptest::collection::{btree_map, btree_set, vec};
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<u64>().prop_map(f64::from_bits),
            Just(f64::from_bits(STALE_NAN)),
            (-50i32..50).prop_map(f64::from),
            (0u32..1_000_000).prop_map(|n| f64::from(n) / 1000.0),
        ]
    }

    fn samples() -> impl Strategy<Value = Samples> {
        let times = prop_oneof![
            btree_set(any::<i64>(), 1..40),
            btree_set(0i64..100, 1..80),
            (any::<i32>(), 1i64..100_000, 1i64..400)
                .prop_map(|(start, step, rows)| (0..rows).map(|row| i64::from(start) + row * step).collect()),
        ];
        let values = prop_oneof![
            vec(value(), 400),
            (0i32..99).prop_map(|v| vec![f64::from(v); 400])
        ];
        (times, values).prop_map(|(times, values)| {
            let mut samples = Samples::default();
            for (time, value) in times.into_iter().zip(values) {
                samples.push(time, value);
            }
            samples
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn series_come_back_bit_for_bit(series in btree_map("[a-c]{0,2}[é✓]?", samples(), 1..12)) {
            let mut series: Vec<(Labels, Samples)> = series
                .into_iter()
                .map(|(value, samples)| (Labels::from_pairs([("x", value.as_str())]), samples))
                .collect();
            series.sort_by(|a, b| a.0.cmp(&b.0));
            check(&series);
        }
    }
}
