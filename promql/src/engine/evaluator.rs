//! The walk over the tree: each node over a whole grid.
//!
//! [`Evaluator::eval`] gives columns. [`Evaluator::each_row`] hands rows over one at a time instead, so that an aggregation over a
//! selector or a range function holds groups x steps and never series x steps. A subtree that is the same at every step
//! (`@`, literals) is evaluated once and repeated.

use model::{Cancel, Querier};

use super::annotation::Notes;
use super::column::{Row, is_float, present};
use super::function::{self, Implementation};
use super::{EvalError, Grid, Options, Stats};
use crate::ast::{Expr, ExprKind, Modifiers, Span, UnaryOp};
use crate::parser::quote::quote_bytes;

/// What evaluation steps give.
pub(crate) type Fallible<T> = Result<T, EvalError>;

/// Receives rows; may take them (`std::mem::take`).
pub(crate) type RowSink<'s> = dyn FnMut(&mut Row) -> Fallible<()> + 's;

/// A node's value over the grid.
#[derive(Debug)]
pub(crate) enum Data {
    /// One float a step.
    Scalar(Vec<f64>),
    /// Series.
    Vector(Vec<Row>),
    /// A literal.
    String(String),
}

/// What a selector may be told about the node around it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hint {
    /// Function or aggregation.
    pub(crate) func: Option<&'static str>,
    /// Labels of the aggregation.
    pub(crate) grouping: Vec<String>,
    /// `by` and not `without`.
    pub(crate) by: bool,
}

/// The state of one evaluation.
pub(crate) struct Evaluator<'a> {
    pub(crate) querier: &'a dyn Querier,
    pub(crate) options: &'a Options,
    pub(crate) cancel: &'a Cancel,
    /// The grid of the whole query: `@ start()`, `step()` and the like mean this one, in subqueries too.
    pub(crate) query: Grid,
    /// An instant query was asked.
    pub(crate) instant: bool,
    pub(crate) notes: Notes<'a>,
    pub(crate) stats: Stats,
    held: usize,
}

/// An error with Prometheus' wording.
pub(crate) fn fail<T>(span: Span, message: impl Into<String>) -> Fallible<T> {
    Err(EvalError::Execution {
        message: message.into(),
        span,
    })
}

/// An error for what the engine lacks.
pub(crate) fn unsupported<T>(span: Span, what: impl Into<String>) -> Fallible<T> {
    Err(EvalError::Unsupported {
        what: what.into(),
        span,
    })
}

/// The limit on samples was met.
pub(crate) fn too_many_samples<T>(limit: usize) -> Fallible<T> {
    Err(EvalError::Limit(format!(
        "query processing would load too many samples into memory in query execution: the limit is {limit}; \
         ask for fewer series, a shorter range or a larger step"
    )))
}

/// Two series of an answer have one label set.
pub(crate) fn same_labelset<T>(span: Span) -> Fallible<T> {
    fail(span, "vector cannot contain metrics with the same labelset")
}

impl<'a> Evaluator<'a> {
    /// For one query.
    pub(crate) fn new(
        querier: &'a dyn Querier,
        options: &'a Options,
        cancel: &'a Cancel,
        query: Grid,
        instant: bool,
        text: &'a str,
    ) -> Self {
        let notes = Notes::new(text);
        Self {
            querier,
            options,
            cancel,
            query,
            instant,
            notes,
            stats: Stats::default(),
            held: 0,
        }
    }

    /// Looks whether the query was cancelled.
    pub(crate) fn stop_if_asked(&self) -> Fallible<()> {
        self.cancel
            .reason()
            .map_or(Ok(()), |reason| Err(EvalError::Cancelled(reason)))
    }

    /// Counts points that are held from now on.
    pub(crate) fn charge(&mut self, points: usize) -> Fallible<()> {
        self.check_load(points)?;
        self.held = self.held.saturating_add(points);
        Ok(())
    }

    /// Would so many points more be too many? They count towards the peak, and are not kept.
    pub(crate) fn check_load(&mut self, points: usize) -> Fallible<()> {
        let held = self.held.saturating_add(points);
        self.stats.peak_samples = self
            .stats
            .peak_samples
            .max(u64::try_from(held).unwrap_or(u64::MAX));
        if held > self.options.max_samples {
            return too_many_samples(self.options.max_samples);
        }
        Ok(())
    }

    /// How many points are held.
    pub(crate) fn held_points(&self) -> usize {
        self.held
    }

    /// Points above this number have been given back.
    pub(crate) fn release_to(&mut self, points: usize) {
        self.held = self.held.min(points);
    }

    /// Evaluates a node over a grid.
    pub(crate) fn eval(&mut self, expr: &Expr, grid: &Grid) -> Fallible<Data> {
        self.stop_if_asked()?;
        let before = self.held;
        let steps = grid.steps();
        // Before anything of this length is made: a subquery can ask for more steps than memory holds.
        self.check_load(steps)?;
        let data = if steps > 1 && is_step_invariant(expr) {
            let once = Grid {
                end_ms: grid.start_ms,
                ..*grid
            };
            repeat(self.node(expr, &once)?, steps)
        } else {
            self.node(expr, grid)?
        };
        self.held = before;
        let rows = match &data {
            Data::Scalar(_) => 1,
            Data::Vector(rows) => rows.len(),
            Data::String(_) => 0,
        };
        self.charge(rows.saturating_mul(steps))?;
        Ok(data)
    }

    /// A node that is a scalar.
    pub(crate) fn scalar(&mut self, expr: &Expr, grid: &Grid) -> Fallible<Vec<f64>> {
        match self.eval(expr, grid)? {
            Data::Scalar(column) => Ok(column),
            Data::Vector(_) | Data::String(_) => fail(expr.span, "expected a scalar"),
        }
    }

    /// A node that is an instant vector.
    pub(crate) fn vector(&mut self, expr: &Expr, grid: &Grid) -> Fallible<Vec<Row>> {
        match self.eval(expr, grid)? {
            Data::Vector(rows) => Ok(rows),
            Data::Scalar(_) | Data::String(_) => fail(expr.span, "expected an instant vector"),
        }
    }

    fn node(&mut self, expr: &Expr, grid: &Grid) -> Fallible<Data> {
        match &expr.kind {
            ExprKind::Number(value) | ExprKind::Duration(value) => {
                Ok(Data::Scalar(vec![*value; grid.steps()]))
            }
            ExprKind::String(text) => Ok(Data::String(text.clone())),
            ExprKind::BadString(bytes) => {
                fail(expr.span, format!("invalid label name {}", quote_bytes(bytes)))
            }
            ExprKind::Paren(inner) => self.node(inner, grid),
            ExprKind::Selector(_) => self.collect(expr, grid),
            ExprKind::Range(_) | ExprKind::Subquery(_) => fail(
                expr.span,
                "a range vector cannot be evaluated over a range; wrap it in a function such as rate()",
            ),
            ExprKind::Call(call) => function::eval_call(self, call, expr.span, grid),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate, grid).map(Data::Vector),
            ExprKind::Unary(op, inner) => self.unary(*op, inner, grid),
            ExprKind::Binary(binary) => self.binary(binary, expr.span, grid),
        }
    }

    /// All rows of a node that streams.
    pub(crate) fn collect(&mut self, expr: &Expr, grid: &Grid) -> Fallible<Data> {
        let mut rows = Vec::new();
        self.each_row(expr, grid, &Hint::default(), &mut |row| {
            if row.any() {
                rows.push(std::mem::take(row));
            }
            Ok(())
        })?;
        Ok(Data::Vector(rows))
    }

    /// Hands over the rows of a vector one by one.
    pub(crate) fn each_row(
        &mut self,
        expr: &Expr,
        grid: &Grid,
        hint: &Hint,
        sink: &mut RowSink<'_>,
    ) -> Fallible<()> {
        if grid.steps() == 1 || !is_step_invariant(expr) {
            match &expr.without_parens().kind {
                ExprKind::Selector(selector) => {
                    return self.each_selected(selector, expr.span, grid, hint, false, sink);
                }
                ExprKind::Call(call) => {
                    if let Some(Implementation::Window(over)) = function::implementation(call.func.name) {
                        return self.each_windowed(call, over, grid, sink);
                    }
                }
                _ => {}
            }
        }
        for mut row in self.vector(expr, grid)? {
            sink(&mut row)?;
        }
        Ok(())
    }

    fn unary(&mut self, op: UnaryOp, inner: &Expr, grid: &Grid) -> Fallible<Data> {
        let data = self.eval(inner, grid)?;
        if op == UnaryOp::Plus {
            return Ok(data);
        }
        Ok(match data {
            Data::Scalar(column) => Data::Scalar(column.into_iter().map(|v| -v).collect()),
            Data::Vector(mut rows) => {
                for row in &mut rows {
                    if !row.histograms.is_empty() {
                        return unsupported(inner.span, "negation of native histograms");
                    }
                    for value in row.values.iter_mut().filter(|v| is_float(**v)) {
                        *value = -*value;
                    }
                    row.drop_name = true;
                }
                Data::Vector(rows)
            }
            Data::String(text) => Data::String(text),
        })
    }
}

fn repeat(data: Data, steps: usize) -> Data {
    match data {
        Data::Scalar(column) => Data::Scalar(vec![column.first().copied().unwrap_or(f64::NAN); steps]),
        Data::Vector(mut rows) => {
            rows.retain(|row| row.values.first().is_some_and(|v| present(*v)));
            for row in &mut rows {
                if let Some(&value) = row.values.first() {
                    row.values.resize(steps, value);
                }
                if let Some((_, histogram)) = row.histograms.pop() {
                    row.histograms = (0..steps).map(|step| (step, histogram.clone())).collect();
                }
            }
            Data::Vector(rows)
        }
        Data::String(text) => Data::String(text),
    }
}

/// Functions whose value depends on the step's time, whatever their arguments are.
const TIMED: [&str; 11] = [
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "hour",
    "minute",
    "month",
    "predict_linear",
    "time",
    "timestamp",
    "year",
];

/// Is the node the same at every step? Every selector in it is fixed by `@`, and nothing asks for the time.
pub(crate) fn is_step_invariant(expr: &Expr) -> bool {
    let fixed = |modifiers: &Modifiers| modifiers.at.is_some();
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) | ExprKind::BadString(_) => true,
        ExprKind::Selector(selector) => fixed(&selector.modifiers),
        ExprKind::Range(range) => fixed(&range.selector.modifiers),
        ExprKind::Subquery(subquery) => fixed(&subquery.modifiers),
        ExprKind::Call(call) => !TIMED.contains(&call.func.name) && call.args.iter().all(is_step_invariant),
        ExprKind::Aggregate(aggregate) => {
            aggregate.param.as_ref().is_none_or(is_step_invariant) && is_step_invariant(&aggregate.expr)
        }
        ExprKind::Unary(_, inner) | ExprKind::Paren(inner) => is_step_invariant(inner),
        ExprKind::Binary(binary) => is_step_invariant(&binary.lhs) && is_step_invariant(&binary.rhs),
    }
}
