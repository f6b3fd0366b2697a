//! What can go wrong in the store, in words for the person who runs it, and the warnings of a start that mended something.

use std::fmt;
use std::io;

use model::{CancelReason, LabelsError};

use crate::block::BlockError;

/// The store could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("{action} {path}: {source}{}", cure(.source))]
    Io {
        /// What was attempted: `writing`, `syncing`, `removing`.
        action: &'static str,
        /// The file or folder.
        path: String,
        /// The reason.
        source: io::Error,
    },
    /// A block could not be written or read.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// An fsync failed earlier, so nothing is known about what is on the device: nothing more is written.
    #[error("the store takes no more writes: {reason}; check the disk, then restart")]
    Poisoned {
        /// What failed.
        reason: String,
    },
    /// The work was asked to stop; it goes on with the next call.
    #[error("stopped before the work was done: {0:?}")]
    Cancelled(CancelReason),
}

/// A batch was not taken; nothing of it is stored.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The reference is not (or no longer) one of a series. Send the batch again with labels.
    #[error("row {row} of the batch refers to a series that is not known any more; send its labels")]
    UnknownRef {
        /// Number of the row.
        row: usize,
    },
    /// The labels are not in the canonical encoding.
    #[error("row {row} of the batch has bad labels: {source}")]
    BadLabels {
        /// Number of the row.
        row: usize,
        /// What is wrong with them.
        source: LabelsError,
    },
    /// The record could not be written to the log, and what was written of it has been cut off again.
    #[error("writing to the log {path}: {source}{}", cure(.source))]
    Wal {
        /// The segment.
        path: String,
        /// The reason; a full disk is `StorageFull`.
        source: io::Error,
    },
    /// An fsync failed earlier: nothing more is written.
    #[error("the store takes no more samples: {reason}; check the disk, then restart")]
    Poisoned {
        /// What failed.
        reason: String,
    },
    /// The batch is larger than one record of the log can be, or the store has run out of series numbers.
    #[error("the batch is too large: {what}; send it in parts")]
    TooLarge {
        /// What went over which limit.
        what: String,
    },
}

/// What the person can do about the commonest reason.
fn cure(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; make room on the disk or lower --retention-size, writing resumes by itself"
        }
        io::ErrorKind::PermissionDenied => "; give the user who runs this the right to write there",
        io::ErrorKind::ReadOnlyFilesystem => {
            "; the file system is read-only, remount it or use another --data-dir"
        }
        _ => "",
    }
}

/// Something that a start found damaged and went around.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The file.
    pub file: String,
    /// Where in it, when that is known.
    pub offset: Option<u64>,
    /// What was found and what is lost.
    pub lost: String,
    /// What was done, and what the person may do.
    pub cure: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        write!(f, ": {}; {}", self.lost, self.cure)
    }
}

/// Turns an operating system error into [`Error::Io`].
pub(crate) fn io_error(action: &'static str, path: String) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { action, path, source }
}
