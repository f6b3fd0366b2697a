//! A block: one immutable file with the series of a time range as columns.
//!
//! ```text
//!   header   "MHblock\n" | version: u16 LE | pco's format version: 2 bytes | 4 bytes of 0        16 bytes
//!   columns  value and timestamp chunks in the order of writing, each: bytes | crc32: u32 LE
//!   times    pages: where each timestamp chunk lies and what it spans
//!   symbols  pages: label names and values, in the order of first use
//!   series   pages: per series its labels (as symbols) and its chunks, rising by labels
//!   postings long lists of series numbers
//!   pairs    pages: per label pair, rising, the numbers of the series that carry it (short lists here)
//!   footer   level: u8 | first, last ms: zigzag | samples: varint | names of the blocks it was compacted from
//!            | offset, length: varint, crc32: u32 LE, per section (the six above)
//!            | things, pages: varints, then length, things since the page before: varints, per paged section
//!            | name, value of the first pair of each page of pairs
//!   trailer  footer's length: u64 LE | crc32 of header and footer: u32 LE | file's length: u64 LE | "MHblkend"   28 bytes
//! ```
//!
//! A page ends with the crc32 of what is before it (u32 LE). Entries on pages are drawn in `index.rs`, timestamp chunks in
//! `times.rs`, value chunks in `values.rs`. `varint` is LEB128, `zigzag` a varint of a zigzagged signed number.
//!
//! - A chunk holds up to 2,880 samples, so no damaged length makes a reader allocate much.
//! - Series that were scraped together refer to one timestamp chunk, or to a run of rows in it.
//! - Everything that is read is checked against a checksum before it is taken apart; every length and offset is checked
//!   against what holds it. Sections lie end to end, so that every byte of the file is under a checksum.
//! - An open block keeps the footer in memory: about 100 bytes for every 8 KiB of index.
//! - A file has its final name only when it is complete and synced; what ends in `.tmp` is rubbish of a crash.

pub(crate) mod bytes;
#[cfg(test)]
mod codec_tests;
pub(crate) mod compact;
mod footer;
mod index;
mod ints;
pub(crate) mod memory;
mod pages;
pub(crate) mod reader;
mod select;
pub(crate) mod series;
mod times;
mod values;
mod verify;
mod writer;

use std::sync::Arc;

use model::{Cancel, CancelReason, Labels, QueryError};

pub use compact::compact;
pub use memory::fuzz_read;
pub use reader::Block;
pub use series::BlockSeries;
pub use verify::verify;
pub use writer::BlockWriter;

/// What a block holds; readable from its footer without touching the columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockMeta {
    /// File name within its folder.
    pub name: String,
    /// Time of the first sample.
    pub min_ms: i64,
    /// Time of the last sample, inclusive.
    pub max_ms: i64,
    /// Number of series.
    pub series: u64,
    /// Number of samples.
    pub samples: u64,
    /// Size of the file.
    pub bytes: u64,
    /// 1 when cut from the head, one more than the highest input when compacted.
    pub level: u8,
    /// Names of the blocks that this one was compacted from, in the order given to [`compact`]; empty when cut from the
    /// head. A folder that holds a block and one of its sources saw a crash before the sources were deleted.
    pub sources: Vec<String>,
}

/// A damaged or unreadable block, or a failed write of one.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// Bytes that cannot be what was written.
    #[error("{path} is damaged at byte {offset}: {reason}")]
    Corrupt {
        /// The file.
        path: String,
        /// Where.
        offset: u64,
        /// What does not fit.
        reason: String,
    },
    /// The operating system refused.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was attempted: `writing`, `reading`, `syncing`.
        action: &'static str,
        /// The file.
        path: String,
        /// The reason.
        source: std::io::Error,
    },
    /// Series must come in strictly rising order of their labels, each with at least one sample, times strictly rising.
    #[error("series {labels} comes out of order, is empty, or its times do not rise")]
    Order {
        /// The series at fault.
        labels: Labels,
    },
    /// A series with native histograms, for which blocks have no column encoding yet.
    #[error("series {labels} holds native histograms, which blocks cannot store yet")]
    Histograms {
        /// The series at fault.
        labels: Labels,
    },
    /// A block of no series has no time range and is not written.
    #[error("{path} would hold no series")]
    Empty {
        /// The file.
        path: String,
    },
    /// A file of another program, in a form that is not read.
    #[error("{path}: {what}; {cure}")]
    Unsupported {
        /// The file.
        path: String,
        /// What is not read.
        what: String,
        /// What to do instead.
        cure: String,
    },
    /// The work was asked to stop.
    #[error("reading blocks was cancelled: {0:?}")]
    Cancelled(CancelReason),
}

impl From<BlockError> for QueryError {
    fn from(error: BlockError) -> Self {
        match error {
            BlockError::Cancelled(reason) => Self::Cancelled(reason),
            BlockError::Corrupt { path, offset, reason } => Self::Storage {
                what: path,
                reason: format!(
                    "damaged at byte {offset}: {reason}; to go on without it, stop masthead, move the file away and start it again"
                ),
            },
            BlockError::Io { ref path, .. } => Self::Storage {
                what: path.clone(),
                reason: error.to_string(),
            },
            BlockError::Order { .. }
            | BlockError::Histograms { .. }
            | BlockError::Empty { .. }
            | BlockError::Unsupported { .. } => Self::Storage {
                what: "a block".to_owned(),
                reason: error.to_string(),
            },
        }
    }
}

/// An error when the work was asked to stop.
fn go_on(cancel: &Cancel) -> Result<(), BlockError> {
    cancel
        .reason()
        .map_or(Ok(()), |reason| Err(BlockError::Cancelled(reason)))
}

/// `folder/name`, or `name` at the top.
fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    }
}

/// Shared times of a chunk.
type TimesColumn = Arc<Vec<i64>>;
