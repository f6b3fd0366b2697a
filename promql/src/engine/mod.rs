//! Evaluation: every node over a whole grid into columns.
//!
//! An instant query is a grid of one step. The engine reads through [`Querier`], knows no clock (a deadline
//! sets `cancel` from outside) and has limits on samples and series in [`Options`].

//!
//! ```text
//!   eval -> answer -> evaluator (the walk) -> selector, window + subquery   read, slide
//!                                          -> aggregate, ranking            fold, select
//!                                          -> binary, matching              operators
//!                                          -> function                      the table: rate, over_time, math, time, label, sort, ...
//!   column: rows of f64 a step; annotation, duration, kahan: what all use
//! ```

mod absent;
mod aggregate;
mod annotation;
mod answer;
mod binary;
mod classic_histogram;
mod column;
mod duration;
mod evaluator;
mod function;
mod info;
mod kahan;
mod label;
mod label_hash;
mod matching;
mod math;
mod native_histogram;
mod over_time;
mod ranking;
mod rate;
mod selector;
mod sort;
mod subquery;
mod time;
mod window;

use model::{Cancel, CancelReason, Histogram, Labels, Querier, QueryError};
use std::sync::Arc;

use crate::ast::{Expr, Span};

/// The times at which a query is evaluated: `start_ms`, `start_ms + step_ms`, ... up to `end_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// First step.
    pub start_ms: i64,
    /// Last step at the latest, inclusive.
    pub end_ms: i64,
    /// Distance of the steps; positive. For an instant query `start_ms == end_ms` and the step is of no matter.
    pub step_ms: i64,
}

impl Grid {
    /// One step at a time.
    #[must_use]
    pub fn instant(t_ms: i64) -> Self {
        Self {
            start_ms: t_ms,
            end_ms: t_ms,
            step_ms: 1,
        }
    }

    /// Number of steps; 0 when the end lies before the start.
    #[must_use]
    pub fn steps(&self) -> usize {
        if self.end_ms < self.start_ms {
            return 0;
        }
        let steps = self.end_ms.abs_diff(self.start_ms) / self.step_ms.unsigned_abs().max(1) + 1;
        usize::try_from(steps).unwrap_or(usize::MAX)
    }

    /// The time of a step.
    #[must_use]
    pub fn at(&self, step: usize) -> i64 {
        let distance = i64::try_from(step)
            .unwrap_or(i64::MAX)
            .saturating_mul(self.step_ms);
        self.start_ms.saturating_add(distance)
    }
}

/// Limits and defaults of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// A sample older than this is not seen by an instant selector. Upstream's default is 5 minutes.
    pub lookback_ms: i64,
    /// The step of a subquery that names none (upstream: the global evaluation interval).
    pub default_subquery_step_ms: i64,
    /// At most so many samples may be held at once.
    pub max_samples: usize,
    /// At most so many series may be selected by one selector.
    pub max_series: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lookback_ms: 300_000,
            default_subquery_step_ms: 60_000,
            max_samples: 50_000_000,
            max_series: 500_000,
        }
    }
}

/// A float or a native histogram.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<Histogram>),
}

/// One series of an answer: rising times with values. Steps without a value are left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Labels, the name included where the query keeps it.
    pub labels: Labels,
    /// `(t_ms, value)`.
    pub points: Vec<(i64, Value)>,
}

/// What a query evaluated to.
#[derive(Debug, Clone, PartialEq)]
pub enum QueryValue {
    /// An instant query's scalar.
    Scalar(i64, f64),
    /// An instant query's string.
    String(i64, String),
    /// An instant query's vector: each series has one point, in the order of the result (`sort`, `topk` keep theirs).
    Vector(Vec<Series>),
    /// A range query's matrix, sorted by labels; or the raw samples of an instant query over a range selector.
    Matrix(Vec<Series>),
}

/// Remarks on a query that do not make it fail, each once, in Prometheus' wording.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Annotations {
    /// `PromQL warning: ...`
    pub warnings: Vec<String>,
    /// `PromQL info: ...`
    pub infos: Vec<String>,
}

/// What a query cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Samples read from the store.
    pub samples_read: u64,
    /// Series read from the store.
    pub series_read: u64,
    /// Most samples held at once.
    pub peak_samples: u64,
}

/// A value with its remarks and its cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The value.
    pub value: QueryValue,
    /// Remarks.
    pub annotations: Annotations,
    /// Cost.
    pub stats: Stats,
}

/// Why an evaluation failed. The API turns these into Prometheus' error types.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EvalError {
    /// The query cannot be evaluated, in Prometheus' wording (`found duplicate series for the match group ...`).
    #[error("{message}")]
    Execution {
        /// Prometheus' wording.
        message: String,
        /// The node at fault.
        span: Span,
    },
    /// Parsed, but the engine lacks it.
    #[error("{what} is not supported by this engine yet")]
    Unsupported {
        /// Such as `function histogram_quantiles`.
        what: String,
        /// The node at fault.
        span: Span,
    },
    /// A limit of [`Options`] was met; the text says which and how to ask for less.
    #[error("{0}")]
    Limit(String),
    /// The query was asked to stop.
    #[error("query was cancelled: {0:?}")]
    Cancelled(CancelReason),
    /// The store failed.
    #[error(transparent)]
    Storage(QueryError),
}

/// Evaluates `expr` (as the parser made it) over `grid`. `instant` decides the shape of the answer:
/// [`QueryValue::Vector`], `Scalar`, `String` or the raw `Matrix` of a range selector for an instant query; always `Matrix` for a
/// range query, whose expression must be a scalar or an instant vector.
///
/// # Errors
/// [`EvalError`]; see its variants.
pub fn eval(
    expr: &Expr,
    grid: Grid,
    instant: bool,
    querier: &dyn Querier,
    options: &Options,
    cancel: &Cancel,
) -> Result<Answer, EvalError> {
    eval_text(expr, "", grid, instant, querier, options, cancel)
}

/// As [`eval`], with the text that `expr` was parsed from, so that remarks on queries of several lines say the right `line:column`.
///
/// # Errors
/// [`EvalError`]; see its variants.
pub fn eval_text(
    expr: &Expr,
    text: &str,
    grid: Grid,
    instant: bool,
    querier: &dyn Querier,
    options: &Options,
    cancel: &Cancel,
) -> Result<Answer, EvalError> {
    let mut evaluator = evaluator::Evaluator::new(querier, options, cancel, grid, instant, text);
    let value = evaluator.answer(expr)?;
    Ok(Answer {
        value,
        stats: evaluator.stats,
        annotations: evaluator.notes.finish(),
    })
}
