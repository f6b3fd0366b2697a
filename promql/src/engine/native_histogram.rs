//! What is cheap on native histograms: their count, sum and mean. The arithmetic comes with full support for them.

use model::Histogram;

use super::Grid;
use super::column::{ABSENT, Row};
use super::evaluator::{Data, Evaluator, Fallible, unsupported};
use super::function::argument;
use crate::ast::{Call, Span};

fn each(ev: &mut Evaluator<'_>, call: &Call, grid: &Grid, f: fn(&Histogram) -> f64) -> Fallible<Data> {
    let mut rows = argument(ev, call, grid)?;
    for row in &mut rows {
        row.values.fill(ABSENT);
        for (step, histogram) in std::mem::take(&mut row.histograms) {
            if let Some(value) = row.values.get_mut(step) {
                *value = f(&histogram);
            }
        }
        row.drop_name = true;
    }
    rows.retain(Row::any);
    Ok(Data::Vector(rows))
}

/// `histogram_count`
pub(crate) fn count(ev: &mut Evaluator<'_>, call: &Call, _: Span, grid: &Grid) -> Fallible<Data> {
    each(ev, call, grid, |h| h.count)
}

/// `histogram_sum`
pub(crate) fn sum(ev: &mut Evaluator<'_>, call: &Call, _: Span, grid: &Grid) -> Fallible<Data> {
    each(ev, call, grid, |h| h.sum)
}

/// `histogram_avg`
pub(crate) fn avg(ev: &mut Evaluator<'_>, call: &Call, _: Span, grid: &Grid) -> Fallible<Data> {
    each(ev, call, grid, |h| h.sum / h.count)
}

/// `histogram_stddev`: floats are ignored, histograms not supported yet.
pub(crate) fn stddev(ev: &mut Evaluator<'_>, call: &Call, span: Span, grid: &Grid) -> Fallible<Data> {
    spread(ev, call, span, grid)
}

/// `histogram_stdvar`: floats are ignored, histograms not supported yet.
pub(crate) fn stdvar(ev: &mut Evaluator<'_>, call: &Call, span: Span, grid: &Grid) -> Fallible<Data> {
    spread(ev, call, span, grid)
}

fn spread(ev: &mut Evaluator<'_>, call: &Call, span: Span, grid: &Grid) -> Fallible<Data> {
    let rows = argument(ev, call, grid)?;
    if rows.iter().any(|row| !row.histograms.is_empty()) {
        return unsupported(span, format!("function {} of native histograms", call.func.name));
    }
    Ok(Data::Vector(Vec::new()))
}
