//! What a series holds: timestamps with values, as columns.

use std::sync::Arc;

use crate::Histogram;

/// The bits of the NaN that marks the end of a series, as Prometheus writes it.
pub const STALE_NAN: u64 = 0x7ff0_0000_0000_0002;

/// Is this value the staleness marker? (It is a NaN, so only its bits tell.)
#[must_use]
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN
}

/// A stretch of one series as columns: `t_ms[i]` belongs to `values[i]`.
///
/// Timestamps rise strictly. Histograms are the exception in practice, so they lie beside the floats:
/// each has the index of its row, in rising order, and `values` holds the histogram's sum or a staleness marker there,
/// so that code which only looks for staleness need not look twice.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples {
    /// Milliseconds since the Unix epoch, strictly rising.
    pub t_ms: Vec<i64>,
    /// One value a timestamp. Staleness markers are kept: the evaluator needs them.
    pub values: Vec<f64>,
    /// `(row, histogram)`, rows rising. Empty for a series of floats.
    pub histograms: Vec<(usize, Arc<Histogram>)>,
}

impl Samples {
    /// Number of samples, staleness markers included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.t_ms.len()
    }

    /// True when there is no sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.t_ms.is_empty()
    }

    /// Forgets the samples and keeps the memory, so that one buffer serves many series.
    pub fn clear(&mut self) {
        self.t_ms.clear();
        self.values.clear();
        self.histograms.clear();
    }

    /// Appends a float. The caller keeps the times rising.
    pub fn push(&mut self, t_ms: i64, value: f64) {
        self.t_ms.push(t_ms);
        self.values.push(value);
    }

    /// Appends a histogram. The caller keeps the times rising.
    pub fn push_histogram(&mut self, t_ms: i64, histogram: Arc<Histogram>) {
        self.t_ms.push(t_ms);
        self.values.push(histogram.sum);
        self.histograms.push((self.t_ms.len() - 1, histogram));
    }

    /// The histogram of a row, if the row holds one.
    #[must_use]
    pub fn histogram_at(&self, row: usize) -> Option<&Arc<Histogram>> {
        let at = self.histograms.binary_search_by_key(&row, |(r, _)| *r).ok()?;
        self.histograms.get(at).map(|(_, h)| h)
    }
}
