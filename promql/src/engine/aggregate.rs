//! Aggregations that fold: `sum`, `avg`, `count`, `min`, `max`, `group`, `stddev`, `stdvar`.
//!
//! Rows come one at a time ([`Evaluator::each_row`]) and are folded into their group's columns at once, so what is held is groups x steps.
//! A group is found once a series, by its kept labels. The selecting aggregations (`topk`, ...) are in `ranking.rs`.

use hashbrown::HashMap;
use model::{Labels, METRIC_NAME};

use super::Grid;
use super::column::{ABSENT, Row, is_float, present};
use super::evaluator::{Evaluator, Fallible, Hint, unsupported};
use super::kahan::{Kahan, Mean};
use crate::ast::{Aggregate, AggregateOp, Grouping};

/// Finds the group of a series.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    without: bool,
    names: Vec<String>,
    found: HashMap<Labels, usize>,
}

impl Groups {
    /// For a `by` or `without` clause.
    pub(crate) fn new(grouping: Option<&Grouping>) -> Self {
        let mut groups = Self::default();
        if let Some(grouping) = grouping {
            groups.without = grouping.without;
            groups.names.clone_from(&grouping.labels);
            if grouping.without {
                groups.names.push(METRIC_NAME.to_owned());
            }
        }
        groups
    }

    /// The labels that the group of a series has.
    pub(crate) fn labels_of(&self, labels: &Labels) -> Labels {
        if self.names.is_empty() {
            return Labels::empty();
        }
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        if self.without {
            labels.without(&names)
        } else {
            labels.only(&names)
        }
    }

    /// The number of a series' group; groups are numbered as they appear. `Err` gives the labels of a new one.
    pub(crate) fn find(&mut self, labels: &Labels) -> Result<usize, Labels> {
        let key = self.labels_of(labels);
        if let Some(at) = self.found.get(&key) {
            return Ok(*at);
        }
        let next = self.found.len();
        self.found.insert(key.clone(), next);
        Err(key)
    }

    /// The number of a series' group, new or not.
    pub(crate) fn number(&mut self, labels: &Labels) -> usize {
        self.find(labels).unwrap_or(self.found.len().saturating_sub(1))
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Welford {
    n: f64,
    mean: f64,
    squares: f64,
}

impl Welford {
    fn add(&mut self, value: f64) {
        self.n += 1.0;
        if self.n == 1.0 {
            self.mean = value;
            self.squares = if value.is_finite() { 0.0 } else { f64::NAN };
            return;
        }
        let delta = value - self.mean;
        self.mean += delta / self.n;
        self.squares += delta * (value - self.mean);
    }
}

/// The columns of one group.
#[derive(Debug)]
enum Fold {
    Sum(Vec<Kahan>),
    Mean(Vec<Mean>),
    Count(Vec<f64>),
    One,
    Min(Vec<f64>),
    Max(Vec<f64>),
    Variance(Vec<Welford>),
}

#[derive(Debug)]
struct Group {
    labels: Labels,
    drop_name: bool,
    seen: Vec<bool>,
    fold: Fold,
}

impl Fold {
    fn new(op: AggregateOp, steps: usize) -> Self {
        match op {
            AggregateOp::Avg => Self::Mean(vec![Mean::default(); steps]),
            AggregateOp::Count => Self::Count(vec![0.0; steps]),
            AggregateOp::Min => Self::Min(vec![f64::NAN; steps]),
            AggregateOp::Max => Self::Max(vec![f64::NAN; steps]),
            AggregateOp::Stddev | AggregateOp::Stdvar => Self::Variance(vec![Welford::default(); steps]),
            AggregateOp::Group => Self::One,
            _ => Self::Sum(vec![Kahan::default(); steps]),
        }
    }

    fn add(&mut self, seen: &mut [bool], values: &[f64]) {
        fn floats<T>(state: &mut [T], seen: &mut [bool], values: &[f64], mut add: impl FnMut(&mut T, f64)) {
            for ((state, seen), value) in state.iter_mut().zip(seen).zip(values) {
                if is_float(*value) {
                    *seen = true;
                    add(state, *value);
                }
            }
        }
        match self {
            Self::Sum(state) => floats(state, seen, values, Kahan::add),
            Self::Mean(state) => floats(state, seen, values, Mean::add),
            Self::Variance(state) => floats(state, seen, values, Welford::add),
            Self::Min(state) => floats(state, seen, values, |least, v| {
                if *least > v || least.is_nan() {
                    *least = v;
                }
            }),
            Self::Max(state) => floats(state, seen, values, |most, v| {
                if *most < v || most.is_nan() {
                    *most = v;
                }
            }),
            Self::Count(state) => {
                for ((n, seen), value) in state.iter_mut().zip(seen).zip(values) {
                    if present(*value) {
                        *seen = true;
                        *n += 1.0;
                    }
                }
            }
            Self::One => {
                for (seen, value) in seen.iter_mut().zip(values) {
                    *seen |= present(*value);
                }
            }
        }
    }

    fn finish(self, op: AggregateOp, steps: usize) -> Vec<f64> {
        match self {
            Self::Sum(state) => state.into_iter().map(Kahan::total).collect(),
            Self::Mean(state) => state.into_iter().map(Mean::mean).collect(),
            Self::Count(state) | Self::Min(state) | Self::Max(state) => state,
            Self::One => vec![1.0; steps],
            Self::Variance(state) => state
                .into_iter()
                .map(|w| {
                    let variance = w.squares / w.n;
                    if op == AggregateOp::Stddev {
                        variance.sqrt()
                    } else {
                        variance
                    }
                })
                .collect(),
        }
    }
}

impl Evaluator<'_> {
    /// Any aggregation.
    pub(crate) fn aggregate(&mut self, aggregate: &Aggregate, grid: &Grid) -> Fallible<Vec<Row>> {
        match aggregate.op {
            AggregateOp::Sum
            | AggregateOp::Avg
            | AggregateOp::Count
            | AggregateOp::Min
            | AggregateOp::Max
            | AggregateOp::Group
            | AggregateOp::Stddev
            | AggregateOp::Stdvar => self.fold(aggregate, grid),
            AggregateOp::TopK | AggregateOp::BottomK => self.top(aggregate, grid),
            AggregateOp::LimitK => self.limit_k(aggregate, grid),
            AggregateOp::LimitRatio => self.limit_ratio(aggregate, grid),
            AggregateOp::Quantile => self.quantile(aggregate, grid),
            AggregateOp::CountValues => self.count_values(aggregate, grid),
        }
    }

    fn fold(&mut self, aggregate: &Aggregate, grid: &Grid) -> Fallible<Vec<Row>> {
        let steps = grid.steps();
        let op = aggregate.op;
        let mut groups = Groups::new(aggregate.grouping.as_ref());
        let mut states: Vec<Group> = Vec::new();
        let mut ignored = false;
        let hint = Hint {
            func: Some(op.as_str()),
            grouping: aggregate
                .grouping
                .as_ref()
                .map(|g| g.labels.clone())
                .unwrap_or_default(),
            by: aggregate.grouping.as_ref().is_some_and(|g| !g.without),
        };
        self.each_row(&aggregate.expr, grid, &hint, &mut |row| {
            if !row.histograms.is_empty() {
                match op {
                    AggregateOp::Sum | AggregateOp::Avg => {
                        return unsupported(
                            aggregate.expr.span,
                            format!("{}() of native histograms", op.as_str()),
                        );
                    }
                    AggregateOp::Count | AggregateOp::Group => {}
                    _ => ignored = true,
                }
            }
            if !row.any() {
                return Ok(());
            }
            let at = groups.find(&row.labels).unwrap_or_else(|labels| {
                let (seen, fold) = (vec![false; steps], Fold::new(op, steps));
                states.push(Group {
                    labels,
                    drop_name: row.drop_name,
                    seen,
                    fold,
                });
                states.len() - 1
            });
            if let Some(group) = states.get_mut(at) {
                group.fold.add(&mut group.seen, &row.values);
            }
            Ok(())
        })?;
        if ignored {
            self.notes
                .ignored_in_aggregation(op.as_str(), aggregate.expr.span);
        }
        Ok(states
            .into_iter()
            .filter_map(|group| finish(group, op, steps))
            .collect())
    }
}

fn finish(group: Group, op: AggregateOp, steps: usize) -> Option<Row> {
    if !group.seen.contains(&true) {
        return None;
    }
    let mut values = group.fold.finish(op, steps);
    for (value, seen) in values.iter_mut().zip(&group.seen) {
        if !seen {
            *value = ABSENT;
        }
    }
    Some(Row {
        labels: group.labels,
        drop_name: group.drop_name,
        values,
        histograms: Vec::new(),
    })
}
