//! `absent` and `absent_over_time`: a series where there is none, with labels from the selector's equality matchers.

use model::{Labels, LabelsBuilder, METRIC_NAME, MatchOp, Matcher};

use super::Grid;
use super::column::{ABSENT, Row, present};
use super::evaluator::{Data, Evaluator, Fallible};
use super::function::argument;
use crate::ast::{Call, Expr, ExprKind, Span};

/// `absent`
pub(crate) fn absent(ev: &mut Evaluator<'_>, call: &Call, _: Span, grid: &Grid) -> Fallible<Data> {
    let rows = argument(ev, call, grid)?;
    let mut there = vec![false; grid.steps()];
    for row in &rows {
        for (mark, value) in there.iter_mut().zip(&row.values) {
            *mark |= present(*value);
        }
    }
    Ok(gaps(call.args.first(), &there))
}

/// `absent_over_time`
pub(crate) fn absent_over_time(ev: &mut Evaluator<'_>, call: &Call, _: Span, grid: &Grid) -> Fallible<Data> {
    let mut there = vec![false; grid.steps()];
    if let Some(arg) = call.args.first() {
        let spec = ev.range_spec(arg)?;
        ev.each_range(arg, grid, Some("absent_over_time"), &mut |series, _| {
            series.slide(grid, spec, |step, window| there[step] |= window.is_some());
            Ok(())
        })?;
    }
    Ok(gaps(call.args.first(), &there))
}

fn gaps(arg: Option<&Expr>, there: &[bool]) -> Data {
    let values: Vec<f64> = there
        .iter()
        .map(|there| if *there { ABSENT } else { 1.0 })
        .collect();
    let row = Row {
        labels: arg.map(labels_for).unwrap_or_default(),
        values,
        ..Row::default()
    };
    Data::Vector(if row.any() { vec![row] } else { Vec::new() })
}

fn labels_for(expr: &Expr) -> Labels {
    let matchers: &[Matcher] = match &expr.without_parens().kind {
        ExprKind::Selector(selector) => &selector.matchers,
        ExprKind::Range(range) => &range.selector.matchers,
        _ => return Labels::empty(),
    };
    let mut builder = LabelsBuilder::new();
    let mut seen: Vec<&str> = Vec::new();
    for matcher in matchers.iter().filter(|m| m.name() != METRIC_NAME) {
        // A label that is asked for twice is not known, as upstream has always had it.
        if matcher.op() == MatchOp::Equal && !seen.contains(&matcher.name()) {
            builder.set(matcher.name(), matcher.value());
            seen.push(matcher.name());
        } else {
            builder.remove(matcher.name());
        }
    }
    builder.build()
}
