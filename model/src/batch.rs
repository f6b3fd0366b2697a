//! The one way into the store: many samples of many series, built without an allocation a series.
//!
//! ```text
//!   labels   | canonical encodings, end to end                    |   one String
//!   rows     | key (labels range or ref), first point, points      |   one entry a series
//!   points   | (t_ms, value) of row 0, of row 1, ...               |   one Vec
//! ```
//!
//! A row names its series either by its labels, in [`Labels`]' canonical encoding, or by the
//! [`SeriesRef`] that an earlier commit gave for them. The store looks labels up by their raw bytes, so
//! neither way makes an owned string a sample. A reference can go out of date (the store forgets
//! series that have had no sample for hours); then the whole commit is refused before anything is logged, and
//! the caller sends labels again.

use std::ops::Range;
use std::sync::Arc;

use crate::labels::{LabelsIter, push_pair};
use crate::{Histogram, Labels, LabelsBuilder, LabelsError};

/// A series of the store by number. Never reused within one run of the process; not kept over a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesRef(pub u64);

/// One float sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Milliseconds since the Unix epoch.
    pub t_ms: i64,
    /// The value; a staleness marker by its bits.
    pub value: f64,
}

#[derive(Debug, Clone)]
enum Key {
    Labels(Range<usize>),
    Ref(SeriesRef),
}

#[derive(Debug, Clone)]
struct Row {
    key: Key,
    points: Range<usize>,
}

/// What a row says about its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeriesKey<'a> {
    /// The canonical encoding of the labels ([`Labels::encoded`]).
    Labels(&'a str),
    /// A reference from an earlier commit.
    Ref(SeriesRef),
}

/// One series of a batch with its samples.
#[derive(Debug, Clone, Copy)]
pub struct BatchRow<'a> {
    /// Which series.
    pub key: SeriesKey<'a>,
    /// Its float samples, as the sender ordered them.
    pub points: &'a [Point],
}

/// Samples on their way into the store. See the module's text for its shape.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    labels: String,
    rows: Vec<Row>,
    points: Vec<Point>,
    /// `(row, t_ms, histogram)`, rows rising.
    histograms: Vec<(usize, i64, Arc<Histogram>)>,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.labels.clear();
        self.rows.clear();
        self.points.clear();
        self.histograms.clear();
    }

    /// Number of series rows.
    #[must_use]
    pub fn rows_len(&self) -> usize {
        self.rows.len()
    }

    /// Number of samples, histograms included.
    #[must_use]
    pub fn samples_len(&self) -> usize {
        self.points.len() + self.histograms.len()
    }

    /// True when there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Starts a row for labels that exist; samples pushed next belong to it.
    pub fn series(&mut self, labels: &Labels) {
        let start = self.labels.len();
        self.labels.push_str(labels.encoded());
        self.start_row(Key::Labels(start..self.labels.len()));
    }

    /// Starts a row for the labels of a builder, encoded in place.
    pub fn series_from(&mut self, builder: &mut LabelsBuilder) {
        let start = self.labels.len();
        builder.encode_into(&mut self.labels);
        self.start_row(Key::Labels(start..self.labels.len()));
    }

    /// Starts a row for pairs that already come in rising order without empty values, as remote write
    /// senders must send them: nothing is copied but the bytes.
    ///
    /// # Errors
    /// [`LabelsError`] with the pair's number when the order or a part is wrong; the batch is as before then.
    pub fn series_from_sorted<'a>(
        &mut self,
        pairs: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), LabelsError> {
        let start = self.labels.len();
        let mut last: Option<&str> = None;
        for (number, (name, value)) in pairs.enumerate() {
            let fault = if name.is_empty() || value.is_empty() {
                Some(LabelsError::Empty(number))
            } else if last.is_some_and(|last| last >= name) {
                Some(LabelsError::Unsorted(number))
            } else {
                None
            };
            if let Some(fault) = fault {
                self.labels.truncate(start);
                return Err(fault);
            }
            push_pair(&mut self.labels, name, value);
            last = Some(name);
        }
        self.start_row(Key::Labels(start..self.labels.len()));
        Ok(())
    }

    /// Starts a row for a series known by reference.
    pub fn series_ref(&mut self, series: SeriesRef) {
        self.start_row(Key::Ref(series));
    }

    fn start_row(&mut self, key: Key) {
        let at = self.points.len();
        self.rows.push(Row { key, points: at..at });
    }

    /// Adds a sample to the row started last; without a row it is dropped.
    pub fn push(&mut self, t_ms: i64, value: f64) {
        if let Some(row) = self.rows.last_mut() {
            self.points.push(Point { t_ms, value });
            row.points.end = self.points.len();
        }
    }

    /// Adds a native histogram to the row started last; without a row it is dropped.
    pub fn push_histogram(&mut self, t_ms: i64, histogram: Arc<Histogram>) {
        if let Some(row) = self.rows.len().checked_sub(1) {
            self.histograms.push((row, t_ms, histogram));
        }
    }

    /// The rows in the order they were started.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = BatchRow<'_>> {
        self.rows.iter().map(|row| BatchRow {
            key: match &row.key {
                Key::Labels(range) => SeriesKey::Labels(&self.labels[range.clone()]),
                Key::Ref(series) => SeriesKey::Ref(*series),
            },
            points: &self.points[row.points.clone()],
        })
    }

    /// `(row, t_ms, histogram)`, rows rising.
    #[must_use]
    pub fn histograms(&self) -> &[(usize, i64, Arc<Histogram>)] {
        &self.histograms
    }
}

impl BatchRow<'_> {
    /// The row's label pairs, when it is named by labels.
    #[must_use]
    pub fn labels(&self) -> Option<LabelsIter<'_>> {
        match self.key {
            SeriesKey::Labels(encoded) => Some(LabelsIter::over(encoded)),
            SeriesKey::Ref(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_samples() {
        let mut batch = Batch::new();
        batch.series(&Labels::from_pairs([("__name__", "up"), ("job", "a")]));
        batch.push(1, 1.0);
        batch.push(2, 0.0);
        batch.series_ref(SeriesRef(7));
        batch.push(1, 5.0);
        batch.series_from_sorted([("__name__", "x")].into_iter()).unwrap();
        let rows: Vec<_> = batch.rows().collect();
        assert_eq!(rows.len(), 3);
        assert_eq!(
            rows[0].labels().unwrap().collect::<Vec<_>>(),
            [("__name__", "up"), ("job", "a")]
        );
        assert_eq!(rows[0].points.len(), 2);
        assert_eq!(rows[1].key, SeriesKey::Ref(SeriesRef(7)));
        assert_eq!(rows[1].points, [Point { t_ms: 1, value: 5.0 }]);
        assert!(rows[2].points.is_empty());
    }

    #[test]
    fn unsorted_pairs_leave_the_batch_as_it_was() {
        let mut batch = Batch::new();
        let bad = [("b", "1"), ("a", "2")];
        assert_eq!(
            batch.series_from_sorted(bad.into_iter()),
            Err(LabelsError::Unsorted(1))
        );
        let twice = [("a", "1"), ("a", "2")];
        assert_eq!(
            batch.series_from_sorted(twice.into_iter()),
            Err(LabelsError::Unsorted(1))
        );
        assert!(batch.is_empty());
        batch.series_from_sorted([("a", "2")].into_iter()).unwrap();
        assert_eq!(
            batch.rows().next().unwrap().key,
            SeriesKey::Labels("\u{1}a\u{1}2")
        );
    }
}
