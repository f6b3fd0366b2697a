//! Columns: what a series is at every step of the grid.
//!
//! A [`Row`] is one output series: labels and one `f64` a step. Two NaN bit patterns of their own stand for
//! "no sample here" and "a native histogram is here"; both differ from the staleness marker and from every NaN that arithmetic makes,
//! and nothing computes with them: code asks [`is_float`] or [`present`] first. Histograms lie beside, `(step, histogram)`, rising.

use std::sync::Arc;

use hashbrown::HashMap;
use model::{Histogram, Labels, METRIC_NAME};

/// Bits of "no sample at this step"; bit 0 set means "a histogram at this step".
const ABSENT_BITS: u64 = 0x7ff8_6d61_7374_0000;

/// No sample at this step.
pub(crate) const ABSENT: f64 = f64::from_bits(ABSENT_BITS);

/// A native histogram at this step; it lies in [`Row::histograms`].
pub(crate) const HISTOGRAM: f64 = f64::from_bits(ABSENT_BITS | 1);

/// Is there a sample, float or histogram?
#[inline]
pub(crate) fn present(value: f64) -> bool {
    value.to_bits() != ABSENT_BITS
}

/// Is there a float?
#[inline]
pub(crate) fn is_float(value: f64) -> bool {
    value.to_bits() & !1 != ABSENT_BITS
}

/// Is there a histogram?
#[inline]
pub(crate) fn is_histogram(value: f64) -> bool {
    value.to_bits() == ABSENT_BITS | 1
}

/// One series over the grid.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row {
    /// Labels; the name is still there when [`Row::drop_name`] says that it goes at the end.
    pub(crate) labels: Labels,
    /// Delayed name removal: the answer leaves the name out.
    pub(crate) drop_name: bool,
    /// One value a step.
    pub(crate) values: Vec<f64>,
    /// `(step, histogram)`, steps rising, for each [`HISTOGRAM`] in `values`.
    pub(crate) histograms: Vec<(usize, Arc<Histogram>)>,
}

impl Row {
    /// A row without any sample.
    pub(crate) fn absent(labels: Labels, drop_name: bool, steps: usize) -> Self {
        Self {
            labels,
            drop_name,
            values: vec![ABSENT; steps],
            histograms: Vec::new(),
        }
    }

    /// Is there a sample at any step?
    pub(crate) fn any(&self) -> bool {
        self.values.iter().any(|v| present(*v))
    }

    /// The histogram at a step.
    pub(crate) fn histogram(&self, step: usize) -> Option<&Arc<Histogram>> {
        let at = self.histograms.binary_search_by_key(&step, |(s, _)| *s).ok()?;
        self.histograms.get(at).map(|(_, h)| h)
    }

    /// Applies `f` to every float; histograms go, as upstream's float functions do it.
    pub(crate) fn map_floats(&mut self, f: impl Fn(f64) -> f64) {
        for value in &mut self.values {
            if is_float(*value) {
                *value = f(*value);
            } else {
                *value = ABSENT;
            }
        }
        self.histograms.clear();
    }

    /// Keeps the samples of the steps for which `keep` is true.
    pub(crate) fn retain_steps(&mut self, mut keep: impl FnMut(usize) -> bool) {
        for (step, value) in self.values.iter_mut().enumerate() {
            if present(*value) && !keep(step) {
                *value = ABSENT;
            }
        }
        self.forget_lost_histograms();
    }

    /// Drops the histograms whose step no longer says that there is one.
    pub(crate) fn forget_lost_histograms(&mut self) {
        if !self.histograms.is_empty() {
            let values = &self.values;
            self.histograms
                .retain(|(step, _)| values.get(*step).is_some_and(|v| is_histogram(*v)));
        }
    }

    /// Takes over the samples of `other`. False when both have one at the same step.
    fn absorb(&mut self, other: &Self) -> bool {
        for (mine, theirs) in self.values.iter_mut().zip(&other.values) {
            if present(*theirs) {
                if present(*mine) {
                    return false;
                }
                *mine = *theirs;
            }
        }
        if !other.histograms.is_empty() {
            self.histograms.extend(other.histograms.iter().cloned());
            self.histograms.sort_by_key(|(step, _)| *step);
        }
        true
    }
}

/// Two rows of one label set have a sample at the same step.
#[derive(Debug)]
pub(crate) struct Overlap;

/// Makes one row of those with equal labels: a series may change hands between steps, but not be two at one.
pub(crate) fn merge_rows(rows: Vec<Row>) -> Result<Vec<Row>, Overlap> {
    let mut seen: HashMap<(Labels, bool), usize> = HashMap::with_capacity(rows.len());
    let mut out: Vec<Row> = Vec::with_capacity(rows.len());
    for row in rows {
        match seen.get(&(row.labels.clone(), row.drop_name)) {
            Some(&at) => {
                if !out[at].absorb(&row) {
                    return Err(Overlap);
                }
            }
            None => {
                seen.insert((row.labels.clone(), row.drop_name), out.len());
                out.push(row);
            }
        }
    }
    Ok(out)
}

/// Carries out the delayed removal of names, then merges.
pub(crate) fn drop_names(mut rows: Vec<Row>) -> Result<Vec<Row>, Overlap> {
    for row in &mut rows {
        if row.drop_name {
            row.labels = row.labels.without(&[METRIC_NAME]);
            row.drop_name = false;
        }
    }
    merge_rows(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marks_are_told_from_every_other_nan() {
        for value in [
            f64::NAN,
            f64::from_bits(model::STALE_NAN),
            -f64::NAN,
            f64::INFINITY,
            0.0,
        ] {
            assert!(
                present(value) && is_float(value) && !is_histogram(value),
                "{value:?}"
            );
        }
        assert!(!present(ABSENT) && !is_float(ABSENT) && !is_histogram(ABSENT));
        assert!(present(HISTOGRAM) && !is_float(HISTOGRAM) && is_histogram(HISTOGRAM));
    }

    #[test]
    fn rows_merge_only_without_overlap() {
        let row = |values: Vec<f64>| Row {
            labels: Labels::from_pairs([("a", "1")]),
            values,
            ..Row::default()
        };
        let merged = merge_rows(vec![row(vec![1.0, ABSENT]), row(vec![ABSENT, 2.0])]).unwrap();
        assert_eq!(merged.len(), 1);
        assert_eq!(merged[0].values, [1.0, 2.0]);
        assert!(merge_rows(vec![row(vec![1.0, ABSENT]), row(vec![1.0, 2.0])]).is_err());
    }
}
