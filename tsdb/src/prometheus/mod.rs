//! Prometheus' files: its blocks and its write-ahead log are read, and blocks are written, so that nobody is locked in.
//!
//! ```text
//!   DIR/01J...ULID/    a block: meta.json, index, chunks/000001 ..., tombstones
//!   DIR/wal, DIR/wbl   the logs: what is not in blocks yet, in order and out of order
//!   DIR/chunks_head    not needed, see wal.rs
//! ```
//!
//! Each file has its format drawn at the top: [`index`], [`chunks`], [`xor`], [`tombstones`], [`record`], [`wal`]. `meta.json` is read and
//! written outside of this crate, which knows no JSON.
//!
//! - Everything that is read is checked against its CRC-32C first, and every length against what holds it.
//! - Native histograms have no place in our store yet: they are counted and left out.
//! - Memory is the label texts of the blocks of one range at a time, and what the logs hold.

mod block;
mod chunks;
pub(crate) mod crc32c;
mod file;
mod fuzz;
mod head;
mod index;
#[cfg(test)]
mod index_tests;
mod index_writer;
mod output;
mod record;
mod source;
mod tombstones;
mod wal;
#[cfg(test)]
mod wal_tests;
mod writer;
mod xor;

use std::collections::BTreeSet;

pub use fuzz::{fuzz_index, fuzz_wal};
pub use source::{Source, SourceMeta, block_folders};
pub use tombstones::fuzz_tombstones;
pub use wal::TornLog;
pub(crate) use writer::PromBlockWriter;
pub use writer::WrittenBlock;
pub use xor::fuzz_chunk;

/// Native histograms that were left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Histograms {
    /// In so many series, each counted in every block that it is in.
    pub series: u64,
    /// So many samples.
    pub samples: u64,
}

/// What a block or a log holds, by a walk over its series.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) series: u64,
    /// Bytes of chunks.
    pub(crate) bytes: u64,
    /// Stretches of time that were deleted and may still be in the chunks.
    pub(crate) tombstones: usize,
    /// The stretches of time with samples: their times divided by the length of a slot.
    pub(crate) slots: BTreeSet<i64>,
}

/// A text in the canonical encoding of [`model::Labels`].
fn put_part(out: &mut String, text: &str) {
    let mut len = text.len();
    loop {
        let low = len.to_le_bytes()[0] & 0x3f;
        len >>= 6;
        out.push(char::from(if len == 0 { low } else { low | 0x40 }));
        if len == 0 {
            break;
        }
    }
    out.push_str(text);
}
