//! Range vectors: windows that slide over the samples of one series at a time.
//!
//! At a step with reference time `r` the window is `(r - range, r]`, staleness markers left out. Both ends only move forward, so a
//! whole grid costs one walk. Selectors and subqueries fill the same [`RangeSeries`]; a range function sees a [`Window`].

use std::sync::Arc;

use model::{Cancel, Histogram, Labels, Samples, is_stale};

use super::annotation::Notes;
use super::column::{ABSENT, HISTOGRAM, Row, is_float, is_histogram};
use super::evaluator::{Evaluator, Fallible, Hint, RowSink, fail, unsupported};
use super::selector::{Shift, hints};
use super::{EvalError, Grid, Value};
use crate::ast::{Call, Expr, ExprKind, Selector, Span, ValueType};

/// One series with its samples, floats and histograms apart.
#[derive(Debug, Default)]
pub(crate) struct RangeSeries {
    pub(crate) labels: Labels,
    pub(crate) drop_name: bool,
    /// Times of the floats.
    pub(crate) t_ms: Vec<i64>,
    /// The floats.
    pub(crate) values: Vec<f64>,
    /// The histograms with their times.
    pub(crate) histograms: Vec<(i64, Arc<Histogram>)>,
    /// Indexes of floats below the one before: counter resets. Only filled for functions that want them.
    resets: Vec<usize>,
}

/// What a range function sees at one step.
#[derive(Debug)]
pub(crate) struct Window<'s> {
    /// Times of the floats.
    pub(crate) t_ms: &'s [i64],
    /// The floats.
    pub(crate) values: &'s [f64],
    /// The histograms.
    pub(crate) histograms: &'s [(i64, Arc<Histogram>)],
    /// For functions that ask for them: the values just before a counter reset are at these indexes less one; `base` is the index of the first float.
    pub(crate) resets: &'s [usize],
    /// Index of the first float in the numbering of `resets`.
    pub(crate) base: usize,
    /// Left end, exclusive.
    pub(crate) start_ms: i64,
    /// Right end, inclusive.
    pub(crate) end_ms: i64,
    /// The step's own time.
    pub(crate) step_ms: i64,
    /// The step's values of the scalar arguments.
    pub(crate) params: [f64; 2],
}

/// What a range function may use beside the window.
#[derive(Debug)]
pub(crate) struct Scene<'n, 'q> {
    pub(crate) notes: &'n mut Notes<'q>,
    /// The metric's name, for remarks.
    pub(crate) name: &'n str,
    /// Where the range argument stands.
    pub(crate) arg: Span,
    /// Where the function's first argument stands.
    pub(crate) first_arg: Span,
    /// Memory to sort in.
    pub(crate) scratch: &'n mut Vec<f64>,
    /// Set when the arguments are wrong: Prometheus' wording.
    pub(crate) fault: &'n mut Option<String>,
    /// Set when the function cannot do native histograms yet.
    pub(crate) lacks_histograms: &'n mut bool,
    /// Looked at every few steps: windows can be long.
    pub(crate) cancel: &'n Cancel,
}

/// A range function: a window to a value, or to nothing.
pub(crate) type WindowFn = fn(&Window<'_>, &mut Scene<'_, '_>) -> Option<Value>;

/// A row of the function table for a range function.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Over {
    /// The function.
    pub(crate) apply: WindowFn,
    /// The series keeps its name.
    pub(crate) keeps_name: bool,
    /// It wants [`Window::resets`], and a name that does not look like a counter's is remarked on.
    pub(crate) counter: bool,
    /// As `counter`, with the remark.
    pub(crate) remark: bool,
}

/// A range, worked out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RangeSpec {
    pub(crate) shift: Shift,
    pub(crate) range_ms: i64,
}

impl RangeSeries {
    /// Takes the samples without staleness markers; the buffer is left empty.
    fn take(&mut self, samples: &mut Samples) {
        self.t_ms.clear();
        self.values.clear();
        self.histograms.clear();
        if samples.histograms.is_empty() {
            std::mem::swap(&mut self.t_ms, &mut samples.t_ms);
            std::mem::swap(&mut self.values, &mut samples.values);
            if self.values.iter().any(|v| is_stale(*v)) {
                let mut keep = self.values.iter().map(|v| !is_stale(*v));
                self.t_ms.retain(|_| keep.next().unwrap_or(false));
                self.values.retain(|v| !is_stale(*v));
            }
            return;
        }
        let mut next = samples.histograms.iter().peekable();
        for (row, (&t, &value)) in samples.t_ms.iter().zip(&samples.values).enumerate() {
            let histogram = next.next_if(|(at, _)| *at == row).map(|(_, h)| h);
            match histogram {
                _ if is_stale(value) => {}
                Some(histogram) => self.histograms.push((t, histogram.clone())),
                None => {
                    self.t_ms.push(t);
                    self.values.push(value);
                }
            }
        }
    }

    /// Takes a column of a subquery's inner grid.
    fn take_row(&mut self, row: &Row, grid: &Grid) {
        self.t_ms.clear();
        self.values.clear();
        self.histograms.clear();
        for (step, value) in row.values.iter().enumerate() {
            if is_float(*value) {
                self.t_ms.push(grid.at(step));
                self.values.push(*value);
            } else if is_histogram(*value)
                && let Some(histogram) = row.histogram(step)
            {
                self.histograms.push((grid.at(step), histogram.clone()));
            }
        }
    }

    fn find_resets(&mut self, wanted: bool) {
        self.resets.clear();
        if wanted {
            let falls = self
                .values
                .windows(2)
                .enumerate()
                .filter(|(_, pair)| pair[1] < pair[0]);
            self.resets.extend(falls.map(|(at, _)| at + 1));
        }
    }

    fn is_empty(&self) -> bool {
        self.t_ms.is_empty() && self.histograms.is_empty()
    }

    /// Calls `f` with each step and its window; `None` for an empty one.
    pub(crate) fn slide(&self, grid: &Grid, spec: RangeSpec, mut f: impl FnMut(usize, Option<Window<'_>>)) {
        let mut floats = 0..0;
        let mut histograms = 0..0;
        let mut resets = 0..0;
        for step in 0..grid.steps() {
            let step_ms = grid.at(step);
            let end_ms = spec.shift.reference(step_ms);
            let start_ms = end_ms.saturating_sub(spec.range_ms);
            advance(&mut floats, &self.t_ms, |t| *t <= start_ms, |t| *t <= end_ms);
            if !self.histograms.is_empty() {
                advance(
                    &mut histograms,
                    &self.histograms,
                    |(t, _)| *t <= start_ms,
                    |(t, _)| *t <= end_ms,
                );
            }
            if floats.is_empty() && histograms.is_empty() {
                f(step, None);
                continue;
            }
            if !self.resets.is_empty() {
                // A reset counts when the value before it is in the window too.
                advance(
                    &mut resets,
                    &self.resets,
                    |at| *at <= floats.start,
                    |at| *at < floats.end,
                );
            }
            let window = Window {
                t_ms: &self.t_ms[floats.clone()],
                values: &self.values[floats.clone()],
                histograms: &self.histograms[histograms.clone()],
                resets: &self.resets[resets.clone()],
                base: floats.start,
                start_ms,
                end_ms,
                step_ms,
                params: [0.0; 2],
            };
            f(step, Some(window));
        }
    }
}

/// Moves both ends forward: past what is `before` the window, up to what is still `within` its right end.
#[inline]
fn advance<T>(
    at: &mut std::ops::Range<usize>,
    items: &[T],
    before: impl Fn(&T) -> bool,
    within: impl Fn(&T) -> bool,
) {
    while items.get(at.end).is_some_and(&within) {
        at.end += 1;
    }
    while at.start < at.end && items.get(at.start).is_some_and(&before) {
        at.start += 1;
    }
}

/// Receives the series of a range vector.
pub(crate) type RangeSink<'s> = dyn FnMut(&mut RangeSeries, &mut Notes<'_>) -> Fallible<()> + 's;

impl Evaluator<'_> {
    /// The range and the shift of a range selector or subquery.
    pub(crate) fn range_spec(&self, expr: &Expr) -> Fallible<RangeSpec> {
        match &expr.without_parens().kind {
            ExprKind::Range(range) => Ok(RangeSpec {
                shift: self.shift(&range.selector.modifiers, expr.span)?,
                range_ms: self.length(&range.range)?,
            }),
            ExprKind::Subquery(subquery) => Ok(RangeSpec {
                shift: self.shift(&subquery.modifiers, expr.span)?,
                range_ms: self.length(&subquery.range)?,
            }),
            _ => fail(expr.span, "expected a range vector"),
        }
    }

    /// Hands over the series of a range vector with all samples that a grid can want, one series at a time.
    pub(crate) fn each_range(
        &mut self,
        expr: &Expr,
        grid: &Grid,
        func: Option<&'static str>,
        sink: &mut RangeSink<'_>,
    ) -> Fallible<()> {
        let spec = self.range_spec(expr)?;
        match &expr.without_parens().kind {
            ExprKind::Range(range) => self.each_stored_range(&range.selector, spec, grid, func, sink),
            ExprKind::Subquery(subquery) => {
                let inner = self.subquery_grid(subquery, spec, grid)?;
                let before = self.held_points();
                let rows = self.vector(&subquery.expr, &inner)?;
                let mut series = RangeSeries::default();
                for row in rows {
                    self.stop_if_asked()?;
                    series.labels = row.labels.clone();
                    series.drop_name = row.drop_name;
                    series.take_row(&row, &inner);
                    if !series.is_empty() {
                        sink(&mut series, &mut self.notes)?;
                    }
                }
                self.release_to(before);
                Ok(())
            }
            _ => fail(expr.span, "expected a range vector"),
        }
    }

    fn each_stored_range(
        &mut self,
        selector: &Selector,
        spec: RangeSpec,
        grid: &Grid,
        func: Option<&'static str>,
        sink: &mut RangeSink<'_>,
    ) -> Fallible<()> {
        let (first, last) = spec.shift.bounds(grid);
        let from = first.saturating_sub(spec.range_ms).saturating_add(1);
        let hint = Hint {
            func,
            ..Hint::default()
        };
        let readers = self.select(selector, &hints(from, last, grid, spec.range_ms, &hint))?;
        let (mut samples, mut series) = (Samples::default(), RangeSeries::default());
        for reader in readers {
            self.read(&*reader, from, last, &mut samples)?;
            series.labels = reader.labels().clone();
            series.take(&mut samples);
            if !series.is_empty() {
                sink(&mut series, &mut self.notes)?;
            }
        }
        Ok(())
    }

    /// Rows of a range function, one series at a time.
    pub(crate) fn each_windowed(
        &mut self,
        call: &Call,
        over: Over,
        grid: &Grid,
        sink: &mut RowSink<'_>,
    ) -> Fallible<()> {
        let mut params: Vec<Vec<f64>> = Vec::new();
        let mut range = None;
        for (arg, wanted) in call.args.iter().zip(call.func.args) {
            if *wanted == ValueType::Matrix {
                range = Some(arg);
            } else {
                params.push(self.scalar(arg, grid)?);
            }
        }
        let (Some(range), Some(first)) = (range, call.args.first()) else {
            return Ok(());
        };
        let spec = self.range_spec(range)?;
        let (mut row, mut scratch, mut lent) = (Row::default(), Vec::new(), 0usize);
        let steps = grid.steps();
        let (limit, cancel) = (self.options.max_samples, self.cancel);
        self.each_range(range, grid, Some(call.func.name), &mut |series, notes| {
            let (mut fault, mut lacks_histograms) = (None, false);
            series.find_resets(over.counter);
            row.values.clear();
            row.values.resize(steps, ABSENT);
            row.histograms.clear();
            row.labels = series.labels.clone();
            row.drop_name = series.drop_name || !over.keeps_name;
            let mut scene = Scene {
                notes,
                name: series.labels.metric_name(),
                arg: range.span,
                first_arg: first.span,
                scratch: &mut scratch,
                fault: &mut fault,
                lacks_histograms: &mut lacks_histograms,
                cancel,
            };
            let found = fill_row(series, grid, spec, over, &params, &mut scene, &mut row);
            if let Some(reason) = cancel.reason() {
                return Err(EvalError::Cancelled(reason));
            }
            if let Some(message) = fault {
                return fail(range.span, message);
            }
            if lacks_histograms {
                return unsupported(range.span, format!("native histograms in {}()", call.func.name));
            }
            if over.remark && found {
                remark_non_counter(notes, series.labels.metric_name(), range.span);
            }
            if found {
                sink(&mut row)?;
                lent += usize::from(row.values.is_empty()).saturating_mul(steps);
            }
            if lent > limit {
                super::evaluator::too_many_samples(limit)
            } else {
                Ok(())
            }
        })?;
        self.charge(lent)
    }
}

/// Applies the function at every step. True when there is a float anywhere.
fn fill_row(
    series: &RangeSeries,
    grid: &Grid,
    spec: RangeSpec,
    over: Over,
    params: &[Vec<f64>],
    scene: &mut Scene<'_, '_>,
    row: &mut Row,
) -> bool {
    let (mut found, mut stopped) = (false, false);
    series.slide(grid, spec, |step, window| {
        let Some(mut window) = window else { return };
        if step % 64 == 0 && scene.cancel.reason().is_some() {
            stopped = true;
        }
        if stopped {
            return;
        }
        for (slot, column) in window.params.iter_mut().zip(params) {
            *slot = column.get(step).copied().unwrap_or(f64::NAN);
        }
        match (over.apply)(&window, scene) {
            Some(Value::Float(value)) => {
                row.values[step] = value;
                found = true;
            }
            Some(Value::Histogram(histogram)) => {
                row.values[step] = HISTOGRAM;
                row.histograms.push((step, histogram));
                found = true;
            }
            None => {}
        }
    });
    found
}

fn remark_non_counter(notes: &mut Notes<'_>, name: &str, span: Span) {
    let counter = ["_total", "_sum", "_count", "_bucket"]
        .iter()
        .any(|end| name.ends_with(end));
    if !name.is_empty() && !counter {
        notes.info(
            span,
            &format!(
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {name:?}"
            ),
        );
    }
}
