//! Native histograms, in their float form.
//!
//! The type is here from the first day so that every seam carries it; the arithmetic (merge, detect
//! resets, quantiles) comes with the engine's support for native histograms. Field for field this is
//! Prometheus' `FloatHistogram`.

/// A run of buckets: `offset` empty ones are skipped, then `length` follow. The first span's offset is the index
/// of its first bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Buckets skipped since the end of the span before (or the first index).
    pub offset: i32,
    /// Buckets in this run.
    pub length: u32,
}

/// Whether a histogram is known to follow a counter reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CounterReset {
    /// Nothing is known; compare with the one before.
    #[default]
    Unknown,
    /// This is the first after a reset.
    Reset,
    /// There was no reset.
    NotReset,
    /// A gauge histogram: resets mean nothing.
    Gauge,
}

/// How bucket indexes map to boundaries.
#[derive(Debug, Clone, PartialEq)]
pub enum Bounds {
    /// Exponential with this schema, -4 to 8: boundary `i` is `2^(i * 2^-schema)`.
    Exponential(i8),
    /// Explicit upper boundaries (schema -53), the +Inf one left out.
    Custom(Vec<f64>),
}

/// A native histogram sample with absolute float bucket counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Counter reset knowledge.
    pub counter_reset: CounterReset,
    /// Bucket boundaries.
    pub bounds: Bounds,
    /// Width of the zero bucket: values in `[-zero_threshold, zero_threshold]`.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Sum of all observations.
    pub sum: f64,
    /// Where the positive buckets lie.
    pub positive_spans: Vec<Span>,
    /// Absolute counts of the positive buckets.
    pub positive_buckets: Vec<f64>,
    /// Where the negative buckets lie.
    pub negative_spans: Vec<Span>,
    /// Absolute counts of the negative buckets.
    pub negative_buckets: Vec<f64>,
}
