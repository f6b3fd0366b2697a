//! Why a collector gave nothing, or less than it should have.

use std::io;
use std::path::{Path, PathBuf};

/// A collector's failure. It concerns that collector alone: the others of the round go on.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// A file could not be read.
    #[error("reading {} failed: {source}; check that the path exists and may be read by this user", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file says something that no known kernel writes there.
    #[error("{} is not understood in line {line}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line's number, from 1.
        line: usize,
        /// What was expected, and what stands there.
        reason: String,
    },
    /// This kernel does not have what the collector reads. Upstream counts that as no success, and so do we.
    #[error("no data: {0}")]
    NoData(String),
}

impl CollectError {
    /// True when the file is simply not there.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// What a parser objects to; it knows the line and not the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The line's number, from 1.
    pub(crate) line: usize,
    /// What was expected, and what stands there.
    pub(crate) reason: String,
}

impl Fault {
    /// An objection to the line with this index, from 0. Quotes little of it, since files can be long.
    pub(crate) fn new(index: usize, expected: &str, found: &str) -> Self {
        let quoted: String = found.chars().take(80).collect();
        Self {
            line: index.saturating_add(1),
            reason: format!("expected {expected}, found {quoted:?}"),
        }
    }

    /// The same with the file's name.
    pub(crate) fn at(self, path: &Path) -> CollectError {
        CollectError::Malformed {
            path: path.to_path_buf(),
            line: self.line,
            reason: self.reason,
        }
    }
}
