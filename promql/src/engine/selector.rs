//! Selectors: from stored samples to a column by one merge walk over time.
//!
//! At a step whose reference time (after `@` and `offset`) is `r`, the value is the last sample in `(r - lookback, r]`, unless that is a staleness marker.

use model::{Samples, SelectHints, SeriesReader, is_stale};

use super::column::{ABSENT, HISTOGRAM, Row};
use super::duration::{any_ms, ms_to_seconds, positive_ms};
use super::evaluator::{Evaluator, Fallible, Hint, RowSink, fail, unsupported};
use super::{EvalError, Grid};
use crate::ast::{At, DurationExpr, Modifiers, Selector, Span};
use model::QueryError;

/// `@` and `offset`, worked out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shift {
    at_ms: Option<i64>,
    offset_ms: i64,
}

impl Shift {
    /// The time that is looked at for a step.
    #[inline]
    pub(crate) fn reference(self, t_ms: i64) -> i64 {
        self.at_ms.unwrap_or(t_ms).saturating_sub(self.offset_ms)
    }

    /// First and last reference time of a grid.
    pub(crate) fn bounds(self, grid: &Grid) -> (i64, i64) {
        let last = grid.at(grid.steps().saturating_sub(1));
        (self.reference(grid.start_ms), self.reference(last))
    }
}

/// Turns an error of the store into one of the evaluation.
pub(crate) fn from_store(error: QueryError) -> EvalError {
    match error {
        QueryError::Limit(text) => EvalError::Limit(text),
        QueryError::Cancelled(reason) => EvalError::Cancelled(reason),
        error @ QueryError::Storage { .. } => EvalError::Storage(error),
    }
}

impl Evaluator<'_> {
    /// Works out `@` and `offset`.
    pub(crate) fn shift(&self, modifiers: &Modifiers, span: Span) -> Fallible<Shift> {
        if modifiers.anchored || modifiers.smoothed {
            return unsupported(span, "the modifiers anchored and smoothed");
        }
        let offset_ms = match &modifiers.offset {
            Some(offset) => any_ms(offset, &self.query).or_else(|message| fail(offset.span, message))?,
            None => 0,
        };
        let at_ms = modifiers.at.map(|at| match at {
            At::Time(t_ms) => t_ms,
            At::Start => self.query.start_ms,
            At::End => self.query.end_ms,
        });
        Ok(Shift { at_ms, offset_ms })
    }

    /// Works out a range or a step.
    pub(crate) fn length(&self, duration: &DurationExpr) -> Fallible<i64> {
        positive_ms(duration, &self.query).or_else(|message| fail(duration.span, message))
    }

    /// The series of a selector.
    pub(crate) fn select(
        &mut self,
        selector: &Selector,
        hints: &SelectHints,
    ) -> Fallible<Vec<Box<dyn SeriesReader>>> {
        let readers = self
            .querier
            .select(&selector.matchers, hints, self.cancel)
            .map_err(from_store)?;
        if readers.len() > self.options.max_series {
            return Err(EvalError::Limit(format!(
                "a selector matches {} series and the limit is {}; add matchers so that it selects fewer",
                readers.len(),
                self.options.max_series
            )));
        }
        self.stats.series_read += u64::try_from(readers.len()).unwrap_or(u64::MAX);
        Ok(readers)
    }

    /// Reads one series into the buffer, which is cleared first.
    pub(crate) fn read(
        &mut self,
        reader: &dyn SeriesReader,
        from_ms: i64,
        to_ms: i64,
        out: &mut Samples,
    ) -> Fallible<()> {
        self.stop_if_asked()?;
        out.clear();
        reader.read(from_ms, to_ms, out).map_err(from_store)?;
        self.stats.samples_read += u64::try_from(out.len()).unwrap_or(u64::MAX);
        self.check_load(out.len())
    }

    /// Rows of an instant selector; with `timestamps`, the values are the times of the samples in seconds.
    pub(crate) fn each_selected(
        &mut self,
        selector: &Selector,
        span: Span,
        grid: &Grid,
        hint: &Hint,
        timestamps: bool,
        sink: &mut RowSink<'_>,
    ) -> Fallible<()> {
        let shift = self.shift(&selector.modifiers, span)?;
        let (first, last) = shift.bounds(grid);
        let lookback = self.options.lookback_ms;
        let from = first.saturating_sub(lookback).saturating_add(1);
        let readers = self.select(selector, &hints(from, last, grid, 0, hint))?;
        let (mut samples, mut row) = (Samples::default(), Row::default());
        for reader in readers {
            self.read(&*reader, from, last, &mut samples)?;
            row.labels = reader.labels().clone();
            row.drop_name = timestamps;
            fill_column(&samples, grid, shift, lookback, timestamps, &mut row);
            sink(&mut row)?;
            if row.values.is_empty() {
                self.charge(grid.steps())?;
            }
        }
        Ok(())
    }
}

/// What the store is told.
pub(crate) fn hints(from: i64, to: i64, grid: &Grid, range_ms: i64, hint: &Hint) -> SelectHints {
    SelectHints {
        start_ms: from,
        end_ms: to,
        step_ms: if grid.start_ms == grid.end_ms {
            0
        } else {
            grid.step_ms
        },
        range_ms,
        func: hint.func,
        grouping: hint.grouping.clone(),
        by: hint.by,
        limit: 0,
    }
}

fn fill_column(samples: &Samples, grid: &Grid, shift: Shift, lookback: i64, timestamps: bool, row: &mut Row) {
    let steps = grid.steps();
    row.values.clear();
    row.values.reserve(steps);
    row.histograms.clear();
    let mut seen = 0;
    for step in 0..steps {
        let reference = shift.reference(grid.at(step));
        while samples.t_ms.get(seen).is_some_and(|t| *t <= reference) {
            seen += 1;
        }
        let value = match seen.checked_sub(1) {
            Some(at)
                if samples.t_ms[at] > reference.saturating_sub(lookback) && !is_stale(samples.values[at]) =>
            {
                if timestamps {
                    ms_to_seconds(samples.t_ms[at])
                } else if let Some(histogram) = if samples.histograms.is_empty() {
                    None
                } else {
                    samples.histogram_at(at)
                } {
                    row.histograms.push((step, histogram.clone()));
                    HISTOGRAM
                } else {
                    samples.values[at]
                }
            }
            _ => ABSENT,
        };
        row.values.push(value);
    }
}
