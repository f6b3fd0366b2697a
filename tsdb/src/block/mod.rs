//! A block: one immutable file with the series of a time range as columns.

use std::sync::Arc;

use model::{Cancel, Labels, Matcher, QueryError, Samples};

use crate::dir::Dir;

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
    /// Series must come in strictly rising order of their labels, each with at least one sample.
    #[error("series {labels} comes out of order or is empty")]
    Order {
        /// The series at fault.
        labels: Labels,
    },
}

/// Writes one block: series in rising order of their labels. Nothing stands under the final name before
/// [`BlockWriter::finish`] has synced it.
#[derive(Debug)]
pub struct BlockWriter {}

impl BlockWriter {
    /// Starts a block that will be called `folder/name`; it is written under `folder/name.tmp`.
    ///
    /// # Errors
    /// [`BlockError::Io`].
    pub fn create(_dir: Arc<dyn Dir>, _folder: &str, _name: &str, _level: u8) -> Result<Self, BlockError> {
        Ok(Self {})
    }

    /// Adds a series with all its samples (staleness markers kept bit for bit).
    ///
    /// # Errors
    /// [`BlockError::Order`], [`BlockError::Io`].
    pub fn add(&mut self, _labels: &Labels, _samples: &Samples) -> Result<(), BlockError> {
        Ok(())
    }

    /// Writes index and footer, syncs, renames to the final name, syncs the folder.
    ///
    /// # Errors
    /// [`BlockError::Io`].
    pub fn finish(self) -> Result<BlockMeta, BlockError> {
        Ok(BlockMeta { name: String::new(), min_ms: 0, max_ms: 0, series: 0, samples: 0, bytes: 0, level: 1 })
    }
}

/// An open block. Only the footer and what lookups need stay in memory; columns are read by offset.
#[derive(Debug)]
pub struct Block {}

/// One series of a block.
#[derive(Debug, Clone)]
pub struct BlockSeries {}

impl Block {
    /// Opens `folder/name` and checks its footer and index checksums.
    ///
    /// # Errors
    /// [`BlockError::Corrupt`], [`BlockError::Io`].
    pub fn open(_dir: &dyn Dir, folder: &str, name: &str) -> Result<Arc<Self>, BlockError> {
        let path = format!("{folder}/{name}");
        Err(BlockError::Corrupt { path, offset: 0, reason: "no reader yet".to_owned() })
    }
}
