//! One series of the head: closed chunks in order of time, then the open one.

use model::{Labels, Samples};

use crate::chunk::{CHUNK_SAMPLES, ChunkError, ClosedChunk, OpenChunk};

/// Why one sample was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RejectReason {
    /// The series already has a later sample.
    OutOfOrder,
    /// The series already has another value at this time.
    DuplicateTimestamp,
    /// The time belongs to a part of the store that is closed (in a block, or about to be).
    TooOld,
    /// The time is further in the future than `Options::max_ahead_ms` allows: a wrong clock at the sender.
    TooFarAhead,
    /// Native histograms are not stored yet.
    HistogramUnsupported,
}

impl RejectReason {
    /// All reasons, in the order of [`RejectReason::index`].
    pub const ALL: [Self; 5] = [
        Self::OutOfOrder,
        Self::DuplicateTimestamp,
        Self::TooOld,
        Self::TooFarAhead,
        Self::HistogramUnsupported,
    ];

    /// Its place in [`RejectReason::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::OutOfOrder => 0,
            Self::DuplicateTimestamp => 1,
            Self::TooOld => 2,
            Self::TooFarAhead => 3,
            Self::HistogramUnsupported => 4,
        }
    }

    /// In Prometheus' words, where it has any.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OutOfOrder => "out of order sample",
            Self::DuplicateTimestamp => "duplicate sample for timestamp",
            Self::TooOld => "out of bounds: the sample is too old",
            Self::TooFarAhead => "out of bounds: the sample is too far in the future",
            Self::HistogramUnsupported => "native histograms are not stored yet",
        }
    }
}

impl std::fmt::Display for RejectReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What to do with a sample that is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Append,
    /// Time and value are those of the last sample: nothing to do, as in Prometheus.
    Known,
    Reject(RejectReason),
}

/// Judges a sample by the last one of its series (`i64::MIN` when there is none).
pub(crate) fn judge(last_ms: i64, last_bits: u64, t_ms: i64, value: f64) -> Verdict {
    if t_ms > last_ms {
        Verdict::Append
    } else if t_ms < last_ms {
        Verdict::Reject(RejectReason::OutOfOrder)
    } else if value.to_bits() == last_bits {
        Verdict::Known
    } else {
        Verdict::Reject(RejectReason::DuplicateTimestamp)
    }
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Series {
    labels: Labels,
    closed: Vec<ClosedChunk>,
    open: OpenChunk,
}

impl Series {
    pub(crate) fn new(labels: Labels) -> Self {
        Self {
            labels,
            closed: Vec::new(),
            open: OpenChunk::default(),
        }
    }

    pub(crate) fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Time and value bits of the last sample; the time is `i64::MIN` when there was none.
    pub(crate) fn last(&self) -> (i64, u64) {
        (self.open.last_ms(), self.open.last_bits())
    }

    /// Appends, unless the last sample says otherwise.
    pub(crate) fn append(&mut self, t_ms: i64, value: f64) -> Verdict {
        let verdict = judge(self.open.last_ms(), self.open.last_bits(), t_ms, value);
        if verdict == Verdict::Append {
            if self.open.count() >= CHUNK_SAMPLES {
                self.closed.reserve_exact(1);
                self.closed.push(self.open.close());
            }
            self.open.push(t_ms, value);
        }
        verdict
    }

    /// Adds a chunk from a checkpoint. One that is not later than what is here, or whose code is damaged, is refused.
    pub(crate) fn restore(&mut self, chunk: ClosedChunk) -> bool {
        if chunk.count == 0 || !self.open.is_empty() || chunk.min_ms <= self.open.last_ms() {
            return false;
        }
        let mut samples = Samples::default();
        // The last value is needed to tell a repetition from a contradiction, so the chunk is decoded once.
        if chunk.read(i64::MIN, i64::MAX, &mut samples).is_err()
            || samples.len() != usize::from(chunk.count)
            || samples.t_ms.last() != Some(&chunk.max_ms)
            || !samples.t_ms.is_sorted_by(|a, b| a < b)
        {
            return false;
        }
        let last = samples.values.last().map_or(0, |v| v.to_bits());
        self.open = OpenChunk::after(chunk.max_ms, last);
        self.closed.push(chunk);
        true
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.closed.is_empty()
    }

    fn first_ms(&self) -> Option<i64> {
        match self.closed.first() {
            Some(chunk) => Some(chunk.min_ms),
            None => (!self.open.is_empty()).then(|| self.open.first_ms()),
        }
    }

    /// May there be samples in the range?
    pub(crate) fn overlaps(&self, start_ms: i64, end_ms: i64) -> bool {
        self.first_ms()
            .is_some_and(|first| first <= end_ms && self.open.last_ms() >= start_ms)
    }

    /// A lower bound, at or after `from_ms`, for the first sample there, when there is one.
    pub(crate) fn first_at_or_after(&self, from_ms: i64) -> Option<i64> {
        if self.is_empty() || self.open.last_ms() < from_ms {
            return None;
        }
        let closed = self
            .closed
            .iter()
            .find(|chunk| chunk.max_ms >= from_ms)
            .map(|chunk| chunk.min_ms);
        Some(closed.unwrap_or(self.open.first_ms()).max(from_ms))
    }

    /// Appends the samples within the range to `out`.
    pub(crate) fn read(&self, start_ms: i64, end_ms: i64, out: &mut Samples) -> Result<(), ChunkError> {
        let first = self.closed.partition_point(|chunk| chunk.max_ms < start_ms);
        for chunk in self.closed.get(first..).unwrap_or(&[]) {
            if chunk.min_ms > end_ms {
                return Ok(());
            }
            chunk.read(start_ms, end_ms, out)?;
        }
        if !self.open.is_empty() && self.open.first_ms() <= end_ms && self.open.last_ms() >= start_ms {
            self.open.read(start_ms, end_ms, out)?;
        }
        Ok(())
    }

    /// Drops chunks that end before the time. The last sample stays known, so that order is still checked.
    pub(crate) fn drop_before(&mut self, from_ms: i64) {
        let gone = self.closed.partition_point(|chunk| chunk.max_ms < from_ms);
        if gone > 0 {
            self.closed.drain(..gone);
            self.closed.shrink_to_fit();
        }
        if !self.open.is_empty() && self.open.last_ms() < from_ms {
            let (last_ms, last_bits) = self.last();
            self.open = OpenChunk::after(last_ms, last_bits);
        }
    }

    /// Calls `each(count, min_ms, max_ms, code)` for the chunks that reach to `from_ms` or beyond.
    pub(crate) fn chunks_from(&self, from_ms: i64, mut each: impl FnMut(u16, i64, i64, &[u8])) {
        for chunk in self.closed.iter().filter(|chunk| chunk.max_ms >= from_ms) {
            each(chunk.count, chunk.min_ms, chunk.max_ms, &chunk.bytes);
        }
        if !self.open.is_empty() && self.open.last_ms() >= from_ms {
            each(
                self.open.count(),
                self.open.first_ms(),
                self.open.last_ms(),
                &self.open.to_bytes(),
            );
        }
    }

    /// `(chunks, samples, bytes)` in memory; the labels are counted as half, for the index shares them.
    pub(crate) fn figures(&self) -> (u64, u64, u64) {
        let chunks = self.closed.len() as u64 + u64::from(!self.open.is_empty());
        let samples: u64 = self.closed.iter().map(|chunk| u64::from(chunk.count)).sum();
        let code: usize = self.closed.iter().map(|chunk| chunk.bytes.len()).sum();
        let own = size_of::<Self>()
            + self.closed.capacity() * size_of::<ClosedChunk>()
            + self.labels.encoded().len();
        (
            chunks,
            samples + u64::from(self.open.count()),
            (own + code + self.open.heap_bytes()) as u64,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_judged_by_the_last_one() {
        let mut series = Series::new(Labels::empty());
        let stale = f64::from_bits(model::STALE_NAN);
        for (t_ms, value, want) in [
            (10, 1.0, Verdict::Append),
            (10, 1.0, Verdict::Known),
            (10, 2.0, Verdict::Reject(RejectReason::DuplicateTimestamp)),
            (9, 1.0, Verdict::Reject(RejectReason::OutOfOrder)),
            (11, stale, Verdict::Append),
            (11, stale, Verdict::Known),
            (11, f64::NAN, Verdict::Reject(RejectReason::DuplicateTimestamp)),
        ] {
            assert_eq!(series.append(t_ms, value), want, "{t_ms} {value}");
        }
    }

    #[test]
    fn dropping_keeps_what_reaches_the_time_and_remembers_the_last_sample() {
        let mut series = Series::new(Labels::empty());
        for i in 0..1000 {
            series.append(i, i as f64);
        }
        series.drop_before(500);
        let mut out = Samples::default();
        series.read(500, 2000, &mut out).unwrap();
        assert_eq!((out.len(), out.t_ms[0]), (500, 500));
        series.drop_before(1000);
        assert!(series.is_empty());
        assert_eq!(
            series.append(999, 5.0),
            Verdict::Reject(RejectReason::DuplicateTimestamp)
        );
        assert_eq!(series.append(1000, 5.0), Verdict::Append);
    }
}
