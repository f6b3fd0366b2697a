//! The doors for fuzzing the readers of indexes and logs.
//!
//! Bytes that a checksum stops are read once more as if their checksums were right, so that everything behind the checksums is tried
//! too; what comes of that is only that it must not panic.

use std::sync::Arc;

use crate::block::BlockError;
use crate::block::memory::Bytes;
use crate::block::reader::Checksums;

use super::file::SourceFile;
use super::index::{Index, SeriesEntry};
use super::record::Records;
use super::wal;

fn in_memory(bytes: &[u8], checksums: Checksums) -> Result<SourceFile, BlockError> {
    SourceFile::over(
        Arc::new(Bytes(bytes.to_vec())),
        "memory".to_owned(),
        64,
        checksums,
    )
}

/// Reads any bytes as the index of a block, the body of the fuzz target `prometheus_index`. Gives series and chunks.
///
/// # Errors
/// [`BlockError::Corrupt`] for everything that is not a whole index.
pub fn fuzz_index(bytes: &[u8]) -> Result<(usize, usize), BlockError> {
    let read = read_index(bytes, Checksums::Compared);
    if read.is_err() {
        let _ = read_index(bytes, Checksums::Forged);
    }
    read
}

fn read_index(bytes: &[u8], checksums: Checksums) -> Result<(usize, usize), BlockError> {
    let index = Index::read(in_memory(bytes, checksums)?)?;
    let mut entries = index.series();
    let (mut entry, mut encoded) = (SeriesEntry::default(), String::new());
    let (mut series, mut chunks) = (0, 0);
    while entries.next(&mut entry)? {
        index.labels(&entry, &mut encoded)?;
        series += 1;
        chunks += entry.chunks.len();
    }
    Ok((series, chunks))
}

/// Counts what records tell.
#[derive(Default)]
struct Counts {
    series: usize,
    samples: usize,
}

impl Records for Counts {
    fn series(&mut self, _: u64, encoded: &str) -> bool {
        self.series += 1;
        model::Labels::from_encoded(encoded).is_ok()
    }
    fn sample(&mut self, _: u64, _: i64, _: f64) {
        self.samples += 1;
    }
    fn tombstone(&mut self, _: u64, _: i64, _: i64) {}
    fn histogram(&mut self, _: u64, _: i64) {}
    fn min_valid_time(&mut self, _: i64) {}
}

/// Reads any bytes as a segment of Prometheus' log, the body of the fuzz target `prometheus_wal`. Gives series and samples.
///
/// # Errors
/// [`BlockError::Corrupt`] for everything that is not a whole segment; [`BlockError::Unsupported`].
pub fn fuzz_wal(bytes: &[u8]) -> Result<(usize, usize), BlockError> {
    let read = |checksums| {
        let mut counts = Counts::default();
        wal::read_one(in_memory(bytes, checksums)?, &mut counts)?;
        Ok((counts.series, counts.samples))
    };
    let result = read(Checksums::Compared);
    if result.is_err() {
        let _: Result<_, BlockError> = read(Checksums::Forged);
    }
    result
}
