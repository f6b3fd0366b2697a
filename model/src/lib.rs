//! The values that every layer of Masthead shares, and the seams between the layers.
//!
//! - [`Labels`], [`Matcher`]: what a series is called and how it is asked for.
//! - [`Samples`], [`Histogram`], [`STALE_NAN`]: what a series holds.
//! - [`Batch`]: the one way into the store. Collectors, scrapes, rules, remote write and push all make one.
//! - [`Querier`]: the one way out of it. `promql` reads through it and never sees `tsdb`.
//! - [`Family`]: what an exporter exposes; the same value feeds the store and the text on `/metrics`.
//!
//! Everything here is synchronous, reads no clock and does no input or output. Times are milliseconds
//! since the Unix epoch in UTC (`*_ms: i64`), as in Prometheus.

mod batch;
mod cancel;
mod family;
mod histogram;
mod labels;
mod matcher;
mod querier;
mod sample;

pub use batch::{Batch, BatchRow, Point, SeriesKey, SeriesRef};
pub use cancel::{Cancel, CancelReason};
pub use family::{Family, Metric, MetricType, MetricValue, encode_families, fmt_value};
pub use histogram::{Bounds, CounterReset, Histogram, Span};
pub use labels::{Labels, LabelsBuilder, LabelsError, METRIC_NAME, escape_label_value};
pub use matcher::{MatchOp, Matcher, MatcherError};
pub use querier::{Querier, QueryError, SelectHints, SeriesReader};
pub use sample::{STALE_NAN, Samples, is_stale};
