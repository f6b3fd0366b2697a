//! Figures over a time: the grid that a range query evaluates on, and one column of values on it.

use serde::Serialize;

use crate::{ClientError, RATE_WINDOW_S, Series};

/// Upstream's limit for the points of one series.
const POINTS_MAX: i64 = 11_000;

/// Start, end and step of a range query: not empty, and within what servers answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    start_ms: i64,
    end_ms: i64,
    step_ms: i64,
}

impl Range {
    /// From `start_ms` to `end_ms`, both included, with a point every `step_ms`; milliseconds (since the epoch).
    ///
    /// # Errors
    /// [`ClientError::Range`] when the end is before the start, the step is not positive, or there are more than 11,000 points.
    pub fn new(start_ms: i64, end_ms: i64, step_ms: i64) -> Result<Self, ClientError> {
        let wrong = |reason| ClientError::Range {
            start_ms,
            end_ms,
            step_ms,
            reason,
        };
        if step_ms <= 0 {
            return Err(wrong("the step must be longer than nothing"));
        }
        let length_ms = end_ms
            .checked_sub(start_ms)
            .filter(|length_ms| *length_ms >= 0)
            .ok_or_else(|| wrong("the end lies before the start"))?;
        if length_ms / step_ms >= POINTS_MAX {
            return Err(wrong("servers give at most 11,000 points; take a longer step"));
        }
        Ok(Self {
            start_ms,
            end_ms,
            step_ms,
        })
    }

    /// The first point, milliseconds since the epoch.
    #[must_use]
    pub fn start_ms(&self) -> i64 {
        self.start_ms
    }

    /// No point lies behind it; milliseconds since the epoch.
    #[must_use]
    pub fn end_ms(&self) -> i64 {
        self.end_ms
    }

    /// From one point to the next, milliseconds.
    #[must_use]
    pub fn step_ms(&self) -> i64 {
        self.step_ms
    }

    /// Number of points.
    #[must_use]
    pub fn points(&self) -> usize {
        usize::try_from((self.end_ms - self.start_ms) / self.step_ms + 1).unwrap_or(0)
    }

    /// The window of rates: five minutes, or the step where that is longer, so that nothing falls between two points.
    pub(crate) fn rate_window_s(&self) -> u64 {
        let step_s = self.step_ms.unsigned_abs().div_ceil(1000);
        step_s.max(RATE_WINDOW_S)
    }

    /// From the first point to the end, in whole seconds and at least one: a window for functions over all of it.
    pub(crate) fn length_s(&self) -> u64 {
        (self.end_ms - self.start_ms).unsigned_abs().div_ceil(1000).max(1)
    }

    /// The number of the point at a time in seconds.
    fn index(&self, time_s: f64) -> Option<usize> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds of this age are below 2^53"
        )]
        let steps = ((time_s * 1000.0 - self.start_ms as f64) / self.step_ms as f64).round();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is no larger than the number of points, and not negative"
        )]
        let index = (steps >= 0.0 && steps < POINTS_MAX as f64).then_some(steps as usize);
        index.filter(|index| *index < self.points())
    }
}

impl Serialize for Range {
    /// `start`, `end` and `step` in seconds, as in the API's parameters.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds of this age are below 2^53"
        )]
        let seconds = |ms: i64| ms as f64 / 1000.0;
        let mut fields = serializer.serialize_struct("Range", 3)?;
        fields.serialize_field("start", &seconds(self.start_ms))?;
        fields.serialize_field("end", &seconds(self.end_ms))?;
        fields.serialize_field("step", &seconds(self.step_ms))?;
        fields.end()
    }
}

/// Seconds as the API takes them.
pub(crate) fn seconds_text(ms: i64) -> String {
    let sign = if ms < 0 { "-" } else { "" };
    let ms = ms.unsigned_abs();
    format!("{sign}{}.{:03}", ms / 1000, ms % 1000)
}

/// Something over a range.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ranged<T> {
    /// The grid of every [`Column`] in it.
    #[serde(flatten)]
    pub range: Range,
    /// What is on it.
    #[serde(flatten)]
    pub of: T,
}

/// A figure over a range: one value a point of the grid, `None` where there is none; without any point where nothing is known of
/// it at all.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Column(pub Vec<Option<f64>>);

impl Column {
    /// The values that there are.
    pub fn known(&self) -> impl Iterator<Item = f64> + '_ {
        self.0.iter().filter_map(|value| *value)
    }

    /// Is nothing known?
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.known().next().is_none()
    }

    /// The smallest value.
    #[must_use]
    pub fn min(&self) -> Option<f64> {
        self.known().reduce(f64::min)
    }

    /// The largest value.
    #[must_use]
    pub fn max(&self) -> Option<f64> {
        self.known().reduce(f64::max)
    }

    /// The mean of the values that there are.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        let count = self.known().count();
        #[expect(clippy::cast_precision_loss, reason = "at most 11,000 points")]
        let mean = self.known().sum::<f64>() / count as f64;
        (count > 0).then_some(mean)
    }

    /// The newest value that there is.
    #[must_use]
    pub fn last(&self) -> Option<f64> {
        self.0.iter().rev().find_map(|value| *value)
    }
}

/// A figure that a series of an answer gives: one value (`Option<f64>`), or a [`Column`].
pub(crate) trait Figure: Default + Clone {
    /// What a series says; the range is that of the query.
    fn read(series: &Series, range: Option<&Range>) -> Self;

    /// Value by value; `None` where one is missing.
    fn zip(&self, other: &Self, with: impl Fn(f64, f64) -> f64) -> Self;
}

impl Figure for Option<f64> {
    fn read(series: &Series, _range: Option<&Range>) -> Self {
        series.last()
    }

    fn zip(&self, other: &Self, with: impl Fn(f64, f64) -> f64) -> Self {
        Some(with((*self)?, (*other)?)).filter(|value| !value.is_nan())
    }
}

impl Figure for Column {
    fn read(series: &Series, range: Option<&Range>) -> Self {
        let Some(range) = range else {
            return Self::default();
        };
        let mut column = vec![None; range.points()];
        for (time_s, value) in series.points.iter().filter(|(_, value)| !value.is_nan()) {
            if let Some(place) = range.index(*time_s).and_then(|index| column.get_mut(index)) {
                *place = Some(*value);
            }
        }
        Self(column)
    }

    fn zip(&self, other: &Self, with: impl Fn(f64, f64) -> f64) -> Self {
        let pairs = self.0.iter().zip(&other.0);
        Self(
            pairs
                .map(|(a, b)| Some(with((*a)?, (*b)?)).filter(|value| !value.is_nan()))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_no_server_answers_is_refused() {
        assert_eq!(Range::new(0, 60_000, 15_000).unwrap().points(), 5);
        assert_eq!(Range::new(0, 59_999, 15_000).unwrap().points(), 4);
        assert_eq!(Range::new(7, 7, 1).unwrap().points(), 1);
        assert_eq!(Range::new(0, 10_999, 1).unwrap().points(), 11_000);
        for (start, end, step, words) in [
            (1, 0, 1, "before the start"),
            (0, 1, 0, "longer than nothing"),
            (0, 1, -5, "longer than nothing"),
            (0, 11_000, 1, "longer step"),
            (i64::MIN, i64::MAX, 1, "before the start"),
        ] {
            let text = Range::new(start, end, step).unwrap_err().to_string();
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn a_series_lies_on_the_grid_with_its_gaps() {
        let range = Range::new(1_000_500, 1_045_500, 15_000).unwrap();
        let series = Series {
            points: vec![
                (1000.5, 1.0),
                (1015.5, f64::NAN),
                (1030.5, 3.0),
                (1045.5, 2.0),
                (1060.5, 9.0),
            ],
            ..Series::default()
        };
        let column = Column::read(&series, Some(&range));
        assert_eq!(column.0, [Some(1.0), None, Some(3.0), Some(2.0)]);
        assert_eq!(
            (column.min(), column.mean(), column.max(), column.last()),
            (Some(1.0), Some(2.0), Some(3.0), Some(2.0))
        );
        assert!(!column.is_unknown() && Column::default().is_unknown());
        assert_eq!(Column::default().mean(), None);
        let twice = column.zip(&column, |a, b| a + b);
        assert_eq!(twice.0, [Some(2.0), None, Some(6.0), Some(4.0)]);
    }

    #[test]
    fn times_are_written_as_the_api_takes_them() {
        assert_eq!(seconds_text(1_500), "1.500");
        assert_eq!(seconds_text(-1_500), "-1.500");
        let range = Range::new(1_500, 3_500, 500).unwrap();
        let json = serde_json::to_string(&Ranged {
            range,
            of: std::collections::BTreeMap::from([("a", Column(vec![None, Some(0.5)]))]),
        });
        assert_eq!(
            json.unwrap(),
            r#"{"start":1.5,"end":3.5,"step":0.5,"a":[null,0.5]}"#
        );
    }

    #[test]
    fn rates_see_everything_between_two_points() {
        assert_eq!(Range::new(0, 60_000, 15_000).unwrap().rate_window_s(), 300);
        assert_eq!(
            Range::new(0, 86_400_000, 3_600_000).unwrap().rate_window_s(),
            3600
        );
    }
}
