//! Checking a store: every checksum of blocks and log, every sample, and that what the parts say about each other holds.
//!
//! Reads only, and takes no lock: beside a Masthead that runs there it says of each file whether it is whole. A block that goes
//! meanwhile (compaction, retention) is left out.

use std::io;

use model::Cancel;

use crate::block::{self, BlockError, BlockMeta};
use crate::dir::Dir;
use crate::error::{Error, Warning, io_error};
use crate::maintain::{BLOCKS, check};
use crate::read_only::read_log;
use crate::wal::{KIND_CHUNK, KIND_SAMPLES, KIND_SERIES, decode_chunks, decode_samples, decode_series};

/// What was checked, and what is wrong with it.
#[derive(Debug, Default)]
pub struct Verified {
    /// Blocks that are whole.
    pub blocks: Vec<BlockMeta>,
    /// Bytes of the log.
    pub wal_bytes: u64,
    /// Records of the log that are whole.
    pub wal_records: u64,
    /// Samples in those.
    pub wal_samples: u64,
    /// Damage: of blocks as errors with file and offset, of the log what is lost where.
    pub faults: Vec<String>,
    /// Files that a start set aside.
    pub set_aside: Vec<String>,
}

/// Checks the store in `dir`; `progress` is told each file that is done.
///
/// # Errors
/// [`Error::Io`] when a folder cannot be listed, [`Error::Cancelled`]. Damage is no error but in the result.
pub fn verify(dir: &dyn Dir, cancel: &Cancel, progress: &mut dyn FnMut(&str)) -> Result<Verified, Error> {
    let mut verified = Verified::default();
    let names = dir
        .list(BLOCKS)
        .map_err(io_error("listing", dir.display(BLOCKS)))?;
    for name in &names {
        check(cancel)?;
        if name.ends_with(".damaged") {
            verified.set_aside.push(dir.display(&format!("{BLOCKS}/{name}")));
        }
        if !name.ends_with(".block") {
            continue;
        }
        match block::verify(dir, BLOCKS, name) {
            Ok(meta) => verified.blocks.push(meta),
            Err(BlockError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(error) => verified.faults.push(error.to_string()),
        }
        progress(name);
    }
    let mut warnings = Vec::new();
    // A truncated log is looked at again: what was read before is in its checkpoint.
    loop {
        warnings.clear();
        (verified.wal_records, verified.wal_samples) = (0, 0);
        let (records, samples) = (&mut verified.wal_records, &mut verified.wal_samples);
        let mut each = |kind, payload: &[u8]| record(kind, payload, records, samples);
        if let Some(bytes) = read_log(dir, cancel, &mut each, &mut warnings)? {
            verified.wal_bytes = bytes;
            break;
        }
    }
    let fault = |warning: &Warning| match warning.offset {
        Some(offset) => format!("{} is damaged at byte {offset}: {}", warning.file, warning.lost),
        None => format!("{}: {}", warning.file, warning.lost),
    };
    verified.faults.extend(warnings.iter().map(fault));
    Ok(verified)
}

/// Reads a record whole; false when its content makes no sense.
fn record(kind: u8, payload: &[u8], records: &mut u64, samples: &mut u64) -> bool {
    let mut good = true;
    let decoded = match kind {
        KIND_SERIES => decode_series(payload, |_, labels| {
            good &= model::Labels::from_encoded(labels).is_ok()
        }),
        KIND_SAMPLES => decode_samples(payload, |_, _, _| *samples += 1),
        KIND_CHUNK => decode_chunks(payload, |chunk| {
            let mut out = model::Samples::default();
            let (from, to) = (i64::MIN, i64::MAX);
            let read = crate::chunk::decode(chunk.code, chunk.min_ms, chunk.count, from, to, &mut out);
            good &= read.is_ok() && out.len() == usize::from(chunk.count);
            *samples += u64::from(chunk.count);
        }),
        // Of a newer version, or damage that the checksum would have shown.
        _ => Some(()),
    };
    *records += 1;
    decoded.is_some() && good
}
