//! Aggregations that look at all samples of a group at once: `topk`, `bottomk`, `limitk`, `limit_ratio`, `quantile`, `count_values`.

use std::cmp::Ordering;

use hashbrown::HashMap;
use model::Labels;

use super::aggregate::Groups;
use super::annotation::{go_f, go_float};
use super::column::{ABSENT, Row, is_float, is_histogram, present};
use super::evaluator::{Data, Evaluator, Fallible, fail, unsupported};
use super::over_time::{index, nan_first, quantile};
use super::{Grid, label_hash};
use crate::ast::{Aggregate, AggregateOp, Expr};

impl Evaluator<'_> {
    fn parameter(&mut self, aggregate: &Aggregate, grid: &Grid) -> Fallible<(Vec<f64>, Expr)> {
        let Some(param) = &aggregate.param else {
            return fail(
                aggregate.expr.span,
                format!("{} needs a parameter", aggregate.op.as_str()),
            );
        };
        Ok((self.scalar(param, grid)?, param.clone()))
    }

    /// How many samples a group may keep at each step.
    fn counts(&mut self, aggregate: &Aggregate, grid: &Grid) -> Fallible<Vec<usize>> {
        let (column, param) = self.parameter(aggregate, grid)?;
        if column.iter().any(|k| k.is_nan()) {
            return fail(param.span, "Parameter value is NaN");
        }
        if let Some(k) = column.iter().find(|k| k.abs() > 9.223_372_036_854_775e18) {
            let how = if *k > 0.0 { "overflows" } else { "underflows" };
            return fail(
                param.span,
                format!("Scalar value {} {how} int64", go_float(*k, 21)),
            );
        }
        Ok(column.into_iter().map(|k| index(k.max(0.0))).collect())
    }

    /// `topk`, `bottomk`. Ties go to the series that comes first; NaN loses to every number.
    pub(crate) fn top(&mut self, aggregate: &Aggregate, grid: &Grid) -> Fallible<Vec<Row>> {
        let counts = self.counts(aggregate, grid)?;
        let rows = self.vector(&aggregate.expr, grid)?;
        let largest = aggregate.op == AggregateOp::TopK;
        let order = move |a: f64, b: f64| match (a.is_nan(), b.is_nan()) {
            (false, false) if largest => b.partial_cmp(&a).unwrap_or(Ordering::Equal),
            (false, false) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
            (a, b) => a.cmp(&b),
        };
        if rows.iter().any(|row| !row.histograms.is_empty()) {
            self.notes
                .ignored_in_aggregation(aggregate.op.as_str(), aggregate.expr.span);
        }
        let members = members(&rows, aggregate);
        let steps = grid.steps();
        let mut keep = vec![false; rows.len().saturating_mul(steps)];
        let mut ranked: Vec<usize> = Vec::new();
        let mut candidates: Vec<(f64, usize)> = Vec::new();
        for (step, k) in counts.iter().enumerate() {
            if step % 1000 == 0 {
                self.stop_if_asked()?;
            }
            for group in &members {
                candidates.clear();
                let floats = group.iter().map(|at| (rows[*at].values[step], *at));
                candidates.extend(floats.filter(|(value, _)| is_float(*value)));
                candidates.sort_by(|a, b| order(a.0, b.0));
                for (_, at) in candidates.iter().take(*k) {
                    keep[at * steps + step] = true;
                    if steps == 1 {
                        ranked.push(*at);
                    }
                }
            }
        }
        let mut out = keep_marked(rows, &keep, steps);
        if steps == 1 {
            out = ranked
                .into_iter()
                .map(|at| std::mem::take(&mut out[at]))
                .collect();
        }
        out.retain(Row::any);
        Ok(out)
    }

    /// `limitk`: the first k samples of each group, whatever their values.
    pub(crate) fn limit_k(&mut self, aggregate: &Aggregate, grid: &Grid) -> Fallible<Vec<Row>> {
        let counts = self.counts(aggregate, grid)?;
        let rows = self.vector(&aggregate.expr, grid)?;
        let steps = grid.steps();
        let mut keep = vec![false; rows.len().saturating_mul(steps)];
        for group in members(&rows, aggregate) {
            self.stop_if_asked()?;
            for (step, k) in counts.iter().enumerate() {
                let here = group.iter().filter(|at| present(rows[**at].values[step]));
                for at in here.take(*k) {
                    keep[at * steps + step] = true;
                }
            }
        }
        let mut out = keep_marked(rows, &keep, steps);
        out.retain(Row::any);
        Ok(out)
    }

    /// `limit_ratio`: those series whose hash falls below the ratio; a negative ratio gives the rest.
    pub(crate) fn limit_ratio(&mut self, aggregate: &Aggregate, grid: &Grid) -> Fallible<Vec<Row>> {
        let (mut column, param) = self.parameter(aggregate, grid)?;
        for ratio in &mut column {
            if ratio.is_nan() {
                return fail(param.span, "Ratio value is NaN");
            }
            if ratio.abs() > 1.0 {
                let capped = ratio.signum();
                let text = format!(
                    "ratio value should be between -1 and 1, got {}, capping to {capped}",
                    super::annotation::go_g(*ratio)
                );
                self.notes.warn(param.span, &text);
                *ratio = capped;
            }
        }
        let mut rows = self.vector(&aggregate.expr, grid)?;
        let mut buffer = Vec::new();
        for row in &mut rows {
            let place = place_of(&row.labels, &mut buffer);
            row.retain_steps(|step| {
                let ratio = column.get(step).copied().unwrap_or(0.0);
                (ratio >= 0.0 && place < ratio) || (ratio < 0.0 && place >= 1.0 + ratio)
            });
        }
        rows.retain(Row::any);
        Ok(rows)
    }

    /// `quantile`
    pub(crate) fn quantile(&mut self, aggregate: &Aggregate, grid: &Grid) -> Fallible<Vec<Row>> {
        let (column, param) = self.parameter(aggregate, grid)?;
        for q in &column {
            self.notes.check_quantile(*q, param.span);
        }
        let rows = self.vector(&aggregate.expr, grid)?;
        if rows.iter().any(|row| !row.histograms.is_empty()) {
            self.notes.ignored_in_aggregation("quantile", aggregate.expr.span);
        }
        let groups = Groups::new(aggregate.grouping.as_ref());
        let mut out = Vec::new();
        let mut floats = Vec::new();
        for group in members(&rows, aggregate) {
            self.stop_if_asked()?;
            let Some(first) = group.first().and_then(|at| rows.get(*at)) else {
                continue;
            };
            let mut row = Row::absent(groups.labels_of(&first.labels), first.drop_name, grid.steps());
            for (step, value) in row.values.iter_mut().enumerate() {
                floats.clear();
                floats.extend(
                    group
                        .iter()
                        .map(|at| rows[*at].values[step])
                        .filter(|v| is_float(*v)),
                );
                if !floats.is_empty() {
                    *value = quantile(column.get(step).copied().unwrap_or(f64::NAN), &mut floats);
                }
            }
            out.push(row);
        }
        out.retain(Row::any);
        Ok(out)
    }

    /// `count_values`: one series for each value that there is, the value in a label.
    pub(crate) fn count_values(&mut self, aggregate: &Aggregate, grid: &Grid) -> Fallible<Vec<Row>> {
        let Some(param) = &aggregate.param else {
            return fail(aggregate.expr.span, "count_values needs a label");
        };
        let Data::String(label) = self.eval(param, grid)? else {
            return fail(param.span, "expected a string");
        };
        if label.is_empty() {
            return fail(param.span, "invalid label name \"\"");
        }
        let rows = self.vector(&aggregate.expr, grid)?;
        let groups = Groups::new(aggregate.grouping.as_ref());
        let hidden = aggregate
            .grouping
            .as_ref()
            .is_some_and(|g| g.without && g.labels.contains(&label));
        let mut found: HashMap<Labels, usize> = HashMap::new();
        let mut out: Vec<Row> = Vec::new();
        for row in &rows {
            self.stop_if_asked()?;
            let base = groups.labels_of(&row.labels);
            let mut last: Option<(u64, usize)> = None;
            for (step, value) in row.values.iter().enumerate().filter(|(_, v)| present(**v)) {
                if is_histogram(*value) {
                    return unsupported(aggregate.expr.span, "count_values() of native histograms");
                }
                let at = match last {
                    Some((bits, at)) if bits == value.to_bits() => at,
                    _ => {
                        let labels = if hidden {
                            base.clone()
                        } else {
                            base.with(&label, &go_f(*value))
                        };
                        *found.entry(labels.clone()).or_insert_with(|| {
                            out.push(Row::absent(labels, row.drop_name, grid.steps()));
                            out.len() - 1
                        })
                    }
                };
                last = Some((value.to_bits(), at));
                let count = &mut out[at].values[step];
                *count = if is_float(*count) { *count + 1.0 } else { 1.0 };
            }
        }
        Ok(out)
    }
}

/// The rows of each group, both in order of appearance.
fn members(rows: &[Row], aggregate: &Aggregate) -> Vec<Vec<usize>> {
    let mut groups = Groups::new(aggregate.grouping.as_ref());
    let mut members: Vec<Vec<usize>> = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let group = groups.number(&row.labels);
        if group >= members.len() {
            members.resize_with(group + 1, Vec::new);
        }
        members[group].push(at);
    }
    members
}

fn keep_marked(mut rows: Vec<Row>, keep: &[bool], steps: usize) -> Vec<Row> {
    for (at, row) in rows.iter_mut().enumerate() {
        row.retain_steps(|step| keep[at * steps + step]);
    }
    rows
}

/// A series' fixed place in 0 to 1, upstream's: which series come back is the answer. A name that goes at the end is part of
/// it, as it is upstream where names go at the end.
#[expect(clippy::cast_precision_loss, reason = "rounded to nearest, as upstream does")]
fn place_of(labels: &Labels, buffer: &mut Vec<u8>) -> f64 {
    label_hash::hash(labels, buffer) as f64 / u64::MAX as f64
}

/// Sorts rows by their only value, NaN last in both directions.
pub(crate) fn sort_by_value(rows: &mut [Row], descending: bool) {
    let value = |row: &Row| row.values.first().copied().unwrap_or(ABSENT);
    rows.sort_by(|a, b| {
        let (a, b) = (value(a), value(b));
        match (a.is_nan(), b.is_nan()) {
            (false, false) if descending => nan_first(b, a),
            (false, false) => nan_first(a, b),
            (a, b) => a.cmp(&b),
        }
    });
}
