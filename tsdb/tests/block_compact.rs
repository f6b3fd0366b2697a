//! Compaction against a map of maps.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test may panic, and its made-up numbers are small"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Cancel, CancelReason, Labels, Samples};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use tsdb::block::{Block, BlockError, BlockWriter, compact, verify};
use tsdb::dir::{Dir, RealDir};

/// Time to bits of the value, by series.
type Model = BTreeMap<Labels, BTreeMap<i64, u64>>;

fn write(dir: &Arc<dyn Dir>, name: &str, level: u8, model: &Model) -> Arc<Block> {
    let mut writer = BlockWriter::create(Arc::clone(dir), "", name, level).unwrap();
    for (labels, rows) in model {
        let mut samples = Samples::default();
        rows.iter()
            .for_each(|(time, bits)| samples.push(*time, f64::from_bits(*bits)));
        writer.add(labels, &samples).unwrap();
    }
    writer.finish().unwrap();
    Block::open(dir.as_ref(), "", name).unwrap()
}

fn read(block: &Arc<Block>) -> Model {
    let all = block.select(&[], i64::MIN, i64::MAX, &Cancel::new()).unwrap();
    let rows = |samples: Samples| {
        samples
            .t_ms
            .into_iter()
            .zip(samples.values.iter().map(|v| v.to_bits()))
            .collect()
    };
    all.into_iter()
        .map(|(labels, series)| {
            let mut samples = Samples::default();
            series.read(i64::MIN, i64::MAX, &mut samples).unwrap();
            (labels, rows(samples))
        })
        .collect()
}

fn check(inputs: &[Model]) {
    let folder = tempfile::tempdir().unwrap();
    let dir: Arc<dyn Dir> = Arc::new(RealDir::new(folder.path()).unwrap());
    let mut want = Model::new();
    let mut blocks = Vec::new();
    for (number, input) in inputs.iter().enumerate() {
        for (labels, rows) in input {
            want.entry(labels.clone()).or_default().extend(rows);
        }
        blocks.push(write(
            &dir,
            &format!("in{number}"),
            u8::try_from(number).unwrap(),
            input,
        ));
    }
    let meta = compact(&dir, "", &blocks, "out", &Cancel::new()).unwrap();
    assert_eq!(verify(dir.as_ref(), "", "out").unwrap(), meta);
    assert_eq!(usize::from(meta.level), inputs.len());
    assert_eq!(
        meta.sources,
        (0..inputs.len()).map(|n| format!("in{n}")).collect::<Vec<_>>()
    );
    let out = Block::open(dir.as_ref(), "", "out").unwrap();
    assert_eq!(out.meta(), &meta);
    assert_eq!(read(&out), want);
}

fn model() -> impl Strategy<Value = Model> {
    let rows = btree_map(0i64..60, prop_oneof![any::<u64>(), Just(1.0f64.to_bits())], 1..30);
    btree_map("[abc]{1,2}", rows, 1..12).prop_map(|series| {
        series
            .into_iter()
            .map(|(value, rows)| (Labels::from_pairs([("x", value)]), rows))
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn the_output_holds_what_the_inputs_held(inputs in vec(model(), 1..5)) {
        check(&inputs);
    }
}

#[test]
fn blocks_that_follow_each_other_are_joined() {
    let inputs: Vec<Model> = (0..4i64)
        .map(|block| {
            let rows = |n: i64| {
                (0..300)
                    .map(|r| ((block * 300 + r) * 15_000, ((r * n) as f64).to_bits()))
                    .collect()
            };
            (0..500)
                .map(|n| (Labels::from_pairs([("n", n.to_string())]), rows(n % 3)))
                .collect()
        })
        .collect();
    check(&inputs);
}

#[test]
fn a_compaction_that_is_stopped_or_fails_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let dir: Arc<dyn Dir> = Arc::new(RealDir::new(folder.path()).unwrap());
    let model: Model = [(
        Labels::from_pairs([("x", "1")]),
        (0..500).map(|t| (t, (t * t * t) as u64)).collect(),
    )]
    .into();
    let block = write(&dir, "in", 1, &model);
    let cancel = Cancel::new();
    cancel.cancel(CancelReason::Shutdown);
    let stopped = compact(&dir, "", &[Arc::clone(&block)], "out", &cancel);
    assert!(
        matches!(stopped, Err(BlockError::Cancelled(CancelReason::Shutdown))),
        "{stopped:?}"
    );
    assert_eq!(dir.list("").unwrap(), ["in"]);
    let nothing = compact(&dir, "", &[], "out", &Cancel::new());
    assert!(matches!(nothing, Err(BlockError::Empty { .. })), "{nothing:?}");

    let path = folder.path().join("in");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let failed = compact(&dir, "", &[block], "out", &Cancel::new());
    assert!(matches!(failed, Err(BlockError::Corrupt { .. })), "{failed:?}");
    assert_eq!(dir.list("").unwrap(), ["in"]);
}
