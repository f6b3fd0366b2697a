//! The one way from the shell into the store: scrapes, collectors and remote write make a [`Batch`] and give it to a [`Sink`].
//!
//! The seam is a trait so that everything in front of the store is tested without one.

use model::{Batch, SeriesRef};

/// Why the store did not take a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectKind {
    /// Older than the newest sample of its series.
    OutOfOrder,
    /// The series has another value at that very time.
    Duplicate,
    /// Older than the store accepts at all.
    TooOld,
    /// Anything else: a bad label set, a time too far in the future, a limit.
    Other,
}

/// What the store made of a batch.
#[derive(Debug, Clone, Default)]
pub struct CommitOutcome {
    /// One reference a row, in the batch's order.
    pub refs: Vec<SeriesRef>,
    /// Samples written.
    pub appended: usize,
    /// Samples left out: row, time, reason in words, reason as a kind.
    pub rejected: Vec<(usize, i64, String, RejectKind)>,
}

/// Why nothing of a batch was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// A row names a series by a reference that the store has forgotten; send labels.
    #[error("the store no longer knows a series reference of the batch")]
    UnknownRef,
    /// The store cannot write; the text says what and why.
    #[error("{0}")]
    Failed(String),
}

/// Takes batches. An `Ok` means that the accepted samples survive a `kill -9`.
pub trait Sink: Send + Sync {
    /// Logs and applies a batch.
    ///
    /// # Errors
    /// [`CommitError`]; nothing of the batch was written then.
    fn commit(&self, batch: &Batch) -> Result<CommitOutcome, CommitError>;
}
