//! The one way out of the store: `promql` reads through [`Querier`] and never sees `tsdb`.
//!
//! A selection gives one [`SeriesReader`] a series, sorted by labels. A reader fills columns for the time
//! range it is asked for, so the evaluator holds the samples of few series at once, and a store that
//! keeps columns hands them over as columns. What the evaluator knows beforehand (step, function,
//! range) travels in [`SelectHints`]; a store may use it and must not need it.

use std::fmt;

use crate::{Cancel, CancelReason, Labels, Matcher, Samples};

/// What the evaluator knows about the reads to come. Times include lookback, range and offset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SelectHints {
    /// First millisecond that will be read, inclusive.
    pub start_ms: i64,
    /// Last millisecond that will be read, inclusive.
    pub end_ms: i64,
    /// Distance of the grid's steps, 0 for an instant query.
    pub step_ms: i64,
    /// Range of a range selector in milliseconds, 0 for an instant selector.
    pub range_ms: i64,
    /// The function or aggregation around the selector, such as `rate` or `sum`.
    pub func: Option<&'static str>,
    /// Labels of the enclosing aggregation.
    pub grouping: Vec<String>,
    /// `grouping` is `by` (true) or `without` (false).
    pub by: bool,
    /// At the most so many series are wanted; 0 means all.
    pub limit: usize,
}

/// Why a read failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The store could not read its files.
    #[error("reading {what} failed: {reason}")]
    Storage {
        /// The file or part that was read.
        what: String,
        /// What went wrong and, where it is known, what to do.
        reason: String,
    },
    /// More was asked for than the limits allow.
    #[error("{0}")]
    Limit(String),
    /// The query was asked to stop.
    #[error("query was cancelled: {0:?}")]
    Cancelled(CancelReason),
}

/// One series of a selection.
pub trait SeriesReader: Send + Sync {
    /// Its labels.
    fn labels(&self) -> &Labels;

    /// Appends the samples with `start_ms <= t <= end_ms` to `out`, times strictly rising, staleness
    /// markers included. Callers clear `out` first when they want only these.
    ///
    /// # Errors
    /// [`QueryError::Storage`] when a file is damaged or cannot be read.
    fn read(&self, start_ms: i64, end_ms: i64, out: &mut Samples) -> Result<(), QueryError>;
}

impl fmt::Debug for dyn SeriesReader + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SeriesReader({})", self.labels())
    }
}

/// A consistent view of stored series.
pub trait Querier: Send + Sync {
    /// The series that fulfil all matchers and may have samples in the hinted range, sorted by labels,
    /// each exactly once. Matchers follow Prometheus: a label that is not there has the empty value.
    ///
    /// # Errors
    /// [`QueryError`] for damaged files, limits, or when `cancel` is set.
    fn select(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
        cancel: &Cancel,
    ) -> Result<Vec<Box<dyn SeriesReader>>, QueryError>;

    /// The label names of series that fulfil the matchers (all, when empty) within the time range, sorted.
    ///
    /// # Errors
    /// As [`Querier::select`].
    fn label_names(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        cancel: &Cancel,
    ) -> Result<Vec<String>, QueryError>;

    /// The values of one label, likewise, sorted.
    ///
    /// # Errors
    /// As [`Querier::select`].
    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        cancel: &Cancel,
    ) -> Result<Vec<String>, QueryError>;
}
