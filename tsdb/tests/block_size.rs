//! The budget of DESIGN.md: bytes a sample over container data, index and footer included.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test may panic, and its made-up numbers are small"
)]

mod fleet;

use std::sync::Arc;

use tsdb::block::{BlockWriter, verify};
use tsdb::dir::{Dir, RealDir};

#[test]
fn container_data_stays_within_its_budget() {
    let folder = tempfile::tempdir().unwrap();
    let dir: Arc<dyn Dir> = Arc::new(RealDir::new(folder.path()).unwrap());
    let mut writer = BlockWriter::create(Arc::clone(&dir), "", "b", 1).unwrap();
    for (labels, samples) in fleet::fleet(10, 2880, 8) {
        writer.add(&labels, &samples).unwrap();
    }
    let meta = writer.finish().unwrap();
    verify(dir.as_ref(), "", "b").unwrap();
    let per_sample = meta.bytes as f64 / meta.samples as f64;
    assert!(per_sample < 0.87, "{per_sample} bytes a sample");
}
