//! An expression whose selectors all stand at one time: it gives the same whenever it is evaluated.

use crate::ast::{At, Expr, ExprKind, Modifiers};

/// Functions that look at the time of the evaluation itself.
const UNSAFE: [&str; 15] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "hour",
    "minute",
    "month",
    "year",
    "predict_linear",
    "time",
    "timestamp",
    "start",
    "end",
    "step",
    "range",
];

/// Sets `@ t` on all selectors and subqueries that have no time of their own. `None` when the expression depends
/// on the time of evaluation in other ways.
pub(super) fn pinned(expr: &Expr, t_ms: i64) -> Option<Expr> {
    let mut pinned = expr.clone();
    pin(&mut pinned, t_ms).then_some(pinned)
}

/// Times at which a pinned expression is evaluated, besides its own.
pub(super) fn other_times(t_ms: i64) -> Vec<i64> {
    if t_ms == 0 {
        return vec![-1000, 0, 1000];
    }
    vec![
        t_ms.saturating_mul(-10),
        0,
        t_ms / 5,
        t_ms,
        t_ms.saturating_mul(10),
    ]
}

fn pin(expr: &mut Expr, t: i64) -> bool {
    match &mut expr.kind {
        ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) | ExprKind::BadString(_) => true,
        ExprKind::Selector(selector) => set(&mut selector.modifiers, t),
        ExprKind::Range(range) => set(&mut range.selector.modifiers, t),
        // What is inside of a subquery follows from its time.
        ExprKind::Subquery(subquery) => set(&mut subquery.modifiers, t),
        ExprKind::Call(call) => {
            !UNSAFE.contains(&call.func.name) && call.args.iter_mut().all(|arg| pin(arg, t))
        }
        ExprKind::Aggregate(aggregate) => {
            aggregate.param.as_mut().is_none_or(|param| pin(param, t)) && pin(&mut aggregate.expr, t)
        }
        ExprKind::Unary(_, inner) | ExprKind::Paren(inner) => pin(inner, t),
        ExprKind::Binary(binary) => pin(&mut binary.lhs, t) && pin(&mut binary.rhs, t),
    }
}

fn set(modifiers: &mut Modifiers, t: i64) -> bool {
    if !matches!(modifiers.at, Some(At::Time(_))) {
        modifiers.at = Some(At::Time(t));
    }
    true
}
