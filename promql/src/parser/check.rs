//! The type check, after the whole text is known to be well-formed: the first fault in upstream's order.
//!
//! Beside checking it settles what the grammar could not know: `matching` stays only between two vectors, and set
//! operators match many-to-many.

use model::METRIC_NAME;

use super::quote::quote;
use super::{ParseError, Result};
use crate::ast::{
    Aggregate, AggregateOp, Binary, Call, Cardinality, Expr, ExprKind, Selector, Span, ValueType,
};

/// Checks a tree.
pub(super) fn check(text: &str, expr: &mut Expr) -> Result<()> {
    Check { text }.expr(expr).map(|_| ())
}

struct Check<'a> {
    text: &'a str,
}

impl Check<'_> {
    fn error(&self, span: Span, message: impl Into<String>) -> ParseError {
        ParseError::new(self.text, span, message)
    }

    fn expr(&self, expr: &mut Expr) -> Result<ValueType> {
        let span = expr.span;
        match &mut expr.kind {
            ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) | ExprKind::BadString(_) => {}
            ExprKind::Selector(selector) => self.selector(selector, span, false)?,
            ExprKind::Range(range) => self.selector(&range.selector, span, false)?,
            ExprKind::Subquery(subquery) => {
                let got = self.expr(&mut subquery.expr)?;
                if got != ValueType::Vector {
                    let message = format!(
                        "subquery is only allowed on instant vector, got {} instead",
                        got.as_str()
                    );
                    return Err(self.error(span, message));
                }
            }
            ExprKind::Call(call) => self.call(call, span)?,
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate)?,
            ExprKind::Unary(_, operand) => {
                let got = self.expr(operand)?;
                if !matches!(got, ValueType::Scalar | ValueType::Vector) {
                    let message = format!(
                        "unary expression only allowed on expressions of type scalar or instant vector, got {}",
                        quote(got.documented())
                    );
                    return Err(self.error(span, message));
                }
            }
            ExprKind::Binary(binary) => self.binary(binary, span)?,
            ExprKind::Paren(inner) => {
                self.expr(inner)?;
            }
        }
        Ok(expr.value_type())
    }

    fn expect(&self, expr: &mut Expr, want: ValueType, place: &str) -> Result<()> {
        let got = self.expr(expr)?;
        if got == want {
            return Ok(());
        }
        let message = format!(
            "expected type {} in {place}, got {}",
            want.documented(),
            got.documented()
        );
        Err(self.error(expr.span, message))
    }

    fn aggregate(&self, aggregate: &mut Aggregate) -> Result<()> {
        self.expect(&mut aggregate.expr, ValueType::Vector, "aggregation expression")?;
        if let Some(param) = &mut aggregate.param {
            let want = if aggregate.op == AggregateOp::CountValues {
                ValueType::String
            } else {
                ValueType::Scalar
            };
            self.expect(param, want, "aggregation parameter")?;
        }
        Ok(())
    }

    fn call(&self, call: &mut Call, span: Span) -> Result<()> {
        let func = call.func;
        self.arity(call, span)?;
        let place = format!("call to function {}", quote(func.name));
        let data_labels = func.name == "info";
        for (at, arg) in call.args.iter_mut().enumerate() {
            let Some(want) = func.args.get(at).or(func.args.last()) else {
                break;
            };
            if data_labels && at == 1 {
                self.info_labels(arg, span, &place)?;
            } else {
                self.expect(arg, *want, &place)?;
            }
        }
        Ok(())
    }

    fn arity(&self, call: &Call, span: Span) -> Result<()> {
        let func = call.func;
        let (want, got) = (func.args.len(), call.args.len());
        let name = quote(func.name);
        if func.variadic == 0 {
            if want != got {
                let message = format!("expected {want} argument(s) in call to {name}, got {got}");
                return Err(self.error(span, message));
            }
            return Ok(());
        }
        // Upstream counts so: all but the last are needed, and up to `variadic` more may follow.
        let least = want.saturating_sub(1);
        if got < least {
            let message = format!("expected at least {least} argument(s) in call to {name}, got {got}");
            return Err(self.error(span, message));
        }
        if let Ok(more) = usize::try_from(func.variadic)
            && got > least + more
        {
            let message = format!(
                "expected at most {} argument(s) in call to {name}, got {got}",
                least + more
            );
            return Err(self.error(span, message));
        }
        Ok(())
    }

    /// The second argument of `info` is a selector without a name, which may match everything.
    fn info_labels(&self, arg: &mut Expr, span: Span, place: &str) -> Result<()> {
        let got = arg.value_type();
        if got != ValueType::Vector {
            let message = format!(
                "expected type instant vector in {place}, got {}",
                got.documented()
            );
            return Err(self.error(span, message));
        }
        match &arg.kind {
            ExprKind::Selector(selector) if selector.name.is_some() => Err(self.error(
                arg.span,
                "expected label selectors only, got vector selector instead",
            )),
            ExprKind::Selector(selector) => self.selector(selector, arg.span, true),
            _ => Err(self.error(arg.span, "expected label selectors only")),
        }
    }

    fn selector(&self, selector: &Selector, span: Span, may_be_empty: bool) -> Result<()> {
        let matchers = &selector.matchers;
        if let Some(name) = &selector.name {
            // The last matcher is the one that the name before the braces made.
            let others = matchers.len().saturating_sub(1);
            return match matchers.iter().take(others).find(|m| m.name() == METRIC_NAME) {
                Some(other) => {
                    let (name, other) = (quote(name), quote(other.value()));
                    Err(self.error(
                        span,
                        format!("metric name must not be set twice: {name} or {other}"),
                    ))
                }
                None => Ok(()),
            };
        }
        if !may_be_empty && matchers.iter().all(model::Matcher::matches_empty) {
            return Err(self.error(
                span,
                "vector selector must contain at least one non-empty matcher",
            ));
        }
        Ok(())
    }

    fn binary(&self, binary: &mut Binary, span: Span) -> Result<()> {
        use ValueType::{Scalar, Vector};
        let left = self.expr(&mut binary.lhs)?;
        let right = self.expr(&mut binary.rhs)?;
        let between = self.between(binary);
        let op = binary.op;
        if binary.return_bool && !op.is_comparison() {
            return Err(self.error(between, "bool modifier can only be used on comparison operators"));
        }
        if op.is_comparison() && !binary.return_bool && left == Scalar && right == Scalar {
            return Err(self.error(between, "comparisons between scalars must use BOOL modifier"));
        }
        let Some(matching) = &mut binary.matching else {
            return Ok(());
        };
        if op.is_set() && matching.card == Cardinality::OneToOne {
            matching.card = Cardinality::ManyToMany;
        }
        if matching.on
            && let Some(label) = matching
                .labels
                .iter()
                .find(|label| matching.include.contains(label))
        {
            let message = format!(
                "label {} must not occur in ON and GROUP clause at once",
                quote(label)
            );
            return Err(self.error(between, message));
        }
        for (side, got) in [(&binary.lhs, left), (&binary.rhs, right)] {
            if !matches!(got, Scalar | Vector) {
                let message = "binary expression must contain only scalar and instant vector types";
                return Err(self.error(side.span, message));
            }
        }
        let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
        if left == Vector && right == Vector {
            if op.is_set() && matching.card != Cardinality::ManyToMany {
                let message = format!("no grouping allowed for {} operation", quote(op.as_str()));
                return Err(self.error(span, message));
            }
            if op.is_set() && fills {
                return Err(self.error(span, "filling in missing series not allowed for set operators"));
            }
            return Ok(());
        }
        if !matching.labels.is_empty() {
            return Err(self.error(span, "vector matching only allowed between instant vectors"));
        }
        if fills {
            return Err(self.error(
                span,
                "filling in missing series only allowed between instant vectors",
            ));
        }
        binary.matching = None;
        if op.is_set() {
            let message = format!(
                "set operator {} not allowed in binary scalar expression",
                quote(op.as_str())
            );
            return Err(self.error(span, message));
        }
        Ok(())
    }

    /// The operator with its modifiers: what stands between the sides.
    fn between(&self, binary: &Binary) -> Span {
        let (start, end) = (binary.lhs.span.end, binary.rhs.span.start);
        let text = self.text.get(start..end).unwrap_or("");
        let blank = text.len() - text.trim_start().len();
        Span {
            start: start + blank,
            end: (start + text.trim_end().len()).max(start + blank),
        }
    }
}
