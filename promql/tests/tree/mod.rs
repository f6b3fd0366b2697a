//! Trees without what printing does not keep: spans, the order of matchers, and how a duration was spelled.

use promql::ast::{DurationExpr, DurationKind, Expr, ExprKind, Modifiers, Selector, Span};

/// The tree as text, so that NaN equals NaN.
pub(crate) fn normalised(expr: &Expr) -> String {
    let mut expr = expr.clone();
    normalise(&mut expr);
    format!("{expr:?}")
}

fn normalise(expr: &mut Expr) {
    expr.span = Span::default();
    match &mut expr.kind {
        ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) | ExprKind::BadString(_) => {}
        ExprKind::Selector(selector) => normalise_selector(selector),
        ExprKind::Range(range) => {
            normalise_selector(&mut range.selector);
            normalise_whole(&mut range.range);
        }
        ExprKind::Subquery(subquery) => {
            normalise(&mut subquery.expr);
            normalise_whole(&mut subquery.range);
            subquery.step.iter_mut().for_each(normalise_whole);
            normalise_modifiers(&mut subquery.modifiers);
        }
        ExprKind::Call(call) => call.args.iter_mut().for_each(normalise),
        ExprKind::Aggregate(aggregate) => {
            aggregate.param.iter_mut().for_each(normalise);
            normalise(&mut aggregate.expr);
            // `sum by ()` is printed as `sum`, which is the same.
            if aggregate
                .grouping
                .as_ref()
                .is_some_and(|g| !g.without && g.labels.is_empty())
            {
                aggregate.grouping = None;
            }
        }
        ExprKind::Unary(_, inner) | ExprKind::Paren(inner) => normalise(inner),
        ExprKind::Binary(binary) => {
            normalise(&mut binary.lhs);
            normalise(&mut binary.rhs);
        }
    }
}

fn normalise_selector(selector: &mut Selector) {
    selector.matchers.sort_by_key(ToString::to_string);
    normalise_modifiers(&mut selector.modifiers);
}

fn normalise_modifiers(modifiers: &mut Modifiers) {
    modifiers.offset.iter_mut().for_each(normalise_whole);
}

/// A duration that stands alone is printed with units, if it has whole milliseconds.
fn normalise_whole(duration: &mut DurationExpr) {
    if let DurationKind::Literal { units, .. } = &mut duration.kind {
        *units = true;
    }
    normalise_duration(duration);
}

fn normalise_duration(duration: &mut DurationExpr) {
    duration.span = Span::default();
    match &mut duration.kind {
        DurationKind::Literal { .. } | DurationKind::Step | DurationKind::Range => {}
        DurationKind::Unary(_, d) | DurationKind::Paren(d) => normalise_duration(d),
        DurationKind::Min(a, b) | DurationKind::Max(a, b) | DurationKind::Binary(_, a, b) => {
            normalise_duration(a);
            normalise_duration(b);
        }
    }
}
