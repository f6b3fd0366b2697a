//! The budget of DESIGN.md: bytes a sample over container data, index and footer included.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test may panic, and its made-up numbers are small"
)]

mod fleet;

use std::sync::Arc;

use model::{Labels, Samples};
use tsdb::block::{BlockWriter, verify};
use tsdb::dir::{Dir, RealDir};

/// Whole file by number of samples.
fn per_sample(series: &[(Labels, Samples)]) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let dir: Arc<dyn Dir> = Arc::new(RealDir::new(folder.path()).unwrap());
    let mut writer = BlockWriter::create(Arc::clone(&dir), "", "b", 1).unwrap();
    for (labels, samples) in series {
        writer.add(labels, samples).unwrap();
    }
    let meta = writer.finish().unwrap();
    verify(dir.as_ref(), "", "b").unwrap();
    meta.bytes as f64 / meta.samples as f64
}

#[test]
fn container_data_stays_within_its_budget() {
    let mut series = fleet::fleet(10, 2880, 8);
    let all = per_sample(&series);
    assert!(all < 0.46, "{all} bytes a sample with constants");
    // The harder half: every series moves, some by pure noise.
    series.retain(|(_, samples)| samples.values.iter().any(|v| *v != samples.values[0]));
    let moving = per_sample(&series);
    assert!(moving < 0.76, "{moving} bytes a sample without constants");
}
