//! `ast` to text, as Prometheus prints it: on one line ([`format`]), or over several when it is long ([`pretty`]).
//!
//! What is printed can be parsed and gives the same tree, but for spans, the order of matchers (sorted here, as
//! upstream does) and the spelling of numbers and durations.

use std::fmt::{self, Write as _};

use model::{METRIC_NAME, MatchOp, Matcher};

use crate::ast::{
    Aggregate, At, Binary, BinaryOp, Cardinality, DurationExpr, DurationKind, Expr, ExprKind, Grouping,
    Matching, Modifiers, RangeSelector, Selector, Subquery, UnaryOp,
};
use crate::parser::format_duration_ms;
use crate::parser::quote::{quote, quote_bytes};

/// Longer lines are split by [`pretty`].
const MAX_LINE: usize = 100;

/// The query on one line.
#[must_use]
pub fn format(expr: &Expr) -> String {
    expr.to_string()
}

/// The query over as many lines as it takes for each node to fit into 100 characters, indented by two spaces a level.
#[must_use]
pub fn pretty(expr: &Expr) -> String {
    let mut out = String::new();
    push_pretty(&mut out, expr, 0);
    out
}

/// Appends the node, its first line indented.
fn push_pretty(out: &mut String, expr: &Expr, level: usize) {
    // Writing to a String cannot fail.
    let indent = "  ".repeat(level);
    let line = expr.to_string();
    if line.len() <= MAX_LINE {
        let _ = write!(out, "{indent}{line}");
        return;
    }
    match &expr.kind {
        ExprKind::Aggregate(aggregate) => {
            let _ = writeln!(out, "{indent}{}(", head(aggregate));
            if let Some(param) = &aggregate.param {
                push_pretty(out, param, level + 1);
                out.push_str(",\n");
            }
            push_pretty(out, &aggregate.expr, level + 1);
            let _ = write!(out, "\n{indent})");
        }
        ExprKind::Binary(binary) => {
            push_pretty(out, &binary.lhs, level + 1);
            let _ = writeln!(out, "\n{indent}{}", operator(binary));
            push_pretty(out, &binary.rhs, level + 1);
        }
        ExprKind::Call(call) => {
            let _ = writeln!(out, "{indent}{}(", call.func.name);
            for (at, arg) in call.args.iter().enumerate() {
                if at > 0 {
                    out.push_str(",\n");
                }
                push_pretty(out, arg, level + 1);
            }
            let _ = write!(out, "\n{indent})");
        }
        ExprKind::Paren(inner) => {
            let _ = writeln!(out, "{indent}(");
            push_pretty(out, inner, level + 1);
            let _ = write!(out, "\n{indent})");
        }
        ExprKind::Subquery(subquery) => {
            push_pretty(out, &subquery.expr, level);
            let _ = write!(out, "{}", subquery_suffix(subquery));
        }
        ExprKind::Unary(op, operand) => {
            let mut child = String::new();
            push_pretty(&mut child, operand, level);
            let _ = write!(out, "{indent}{}{}", sign(*op), child.trim_start());
        }
        ExprKind::Number(_)
        | ExprKind::Duration(_)
        | ExprKind::String(_)
        | ExprKind::BadString(_)
        | ExprKind::Selector(_)
        | ExprKind::Range(_) => {
            let _ = write!(out, "{indent}{line}");
        }
    }
}

impl fmt::Display for Expr {
    /// As [`format`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number(value) => f.write_str(&number(*value)),
            ExprKind::Duration(seconds) => f.write_str(&literal(*seconds, true)),
            ExprKind::String(value) => f.write_str(&quote(value)),
            ExprKind::BadString(bytes) => f.write_str(&quote_bytes(bytes)),
            ExprKind::Selector(selector) => {
                write!(f, "{}", Series(selector))?;
                fmt_at(f, &selector.modifiers)?;
                f.write_str(extended(&selector.modifiers))?;
                fmt_offset(f, &selector.modifiers)
            }
            ExprKind::Range(RangeSelector { selector, range }) => {
                write!(
                    f,
                    "{}[{}]{}",
                    Series(selector),
                    Whole(range),
                    extended(&selector.modifiers)
                )?;
                fmt_at(f, &selector.modifiers)?;
                fmt_offset(f, &selector.modifiers)
            }
            ExprKind::Subquery(subquery) => write!(f, "{}{}", subquery.expr, subquery_suffix(subquery)),
            ExprKind::Call(call) => {
                write!(f, "{}(", call.func.name)?;
                for (at, arg) in call.args.iter().enumerate() {
                    write!(f, "{}{arg}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
            ExprKind::Aggregate(aggregate) => {
                write!(f, "{}(", head(aggregate))?;
                if let Some(param) = &aggregate.param {
                    write!(f, "{param}, ")?;
                }
                write!(f, "{})", aggregate.expr)
            }
            ExprKind::Unary(op, operand) => write!(f, "{}{operand}", sign(*op)),
            ExprKind::Binary(binary) => {
                write!(f, "{} {} {}", binary.lhs, operator(binary), binary.rhs)
            }
            ExprKind::Paren(inner) => write!(f, "({inner})"),
        }
    }
}

fn sign(op: UnaryOp) -> &'static str {
    match op {
        UnaryOp::Plus => "+",
        UnaryOp::Minus => "-",
    }
}

/// Without an exponent, as few digits as tell it apart.
fn number(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        value => value.to_string(),
    }
}

/// An aggregation up to its parenthesis: `sum by (a) `.
fn head(aggregate: &Aggregate) -> String {
    let op = aggregate.op.as_str();
    match &aggregate.grouping {
        Some(Grouping {
            without: true,
            labels,
        }) => format!("{op} without ({}) ", label_list(labels)),
        Some(Grouping {
            without: false,
            labels,
        }) if !labels.is_empty() => {
            format!("{op} by ({}) ", label_list(labels))
        }
        _ => op.to_owned(),
    }
}

/// An operator with its modifiers: `== bool on (a) group_left (b)`.
fn operator(binary: &Binary) -> String {
    let mut out = binary.op.as_str().to_owned();
    if binary.return_bool {
        out.push_str(" bool");
    }
    if let Some(matching) = &binary.matching {
        push_matching(&mut out, matching);
    }
    out
}

fn push_matching(out: &mut String, matching: &Matching) {
    let group = match matching.card {
        Cardinality::ManyToOne => Some("group_left"),
        Cardinality::OneToMany => Some("group_right"),
        Cardinality::OneToOne | Cardinality::ManyToMany => None,
    };
    if !matching.labels.is_empty() || matching.on || group.is_some() {
        let word = if matching.on { "on" } else { "ignoring" };
        let _ = write!(out, " {word} ({})", label_list(&matching.labels));
    }
    if let Some(group) = group {
        let _ = write!(out, " {group} ({})", label_list(&matching.include));
    }
    match (matching.fill_left, matching.fill_right) {
        (Some(left), Some(right)) if left.to_bits() == right.to_bits() => {
            let _ = write!(out, " fill ({})", number(left));
        }
        (left, right) => {
            for (side, value) in [("left", left), ("right", right)] {
                if let Some(value) = value {
                    let _ = write!(out, " fill_{side} ({})", number(value));
                }
            }
        }
    }
}

/// Labels of a grouping; a name that cannot stand bare is quoted.
fn label_list(labels: &[String]) -> String {
    let mut out = String::new();
    for (at, label) in labels.iter().enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        // Three words are names that this list of the grammar does not take bare.
        let word = ["without", "inf", "nan"]
            .iter()
            .any(|word| label.eq_ignore_ascii_case(word));
        if is_plain(label) && !word {
            out.push_str(label);
        } else {
            out.push_str(&quote(label));
        }
    }
    out
}

fn is_plain(name: &str) -> bool {
    name.chars().next().is_some_and(|c| !c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A selector without its modifiers.
struct Series<'a>(&'a Selector);

impl fmt::Display for Series<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.name.as_deref();
        let mut inside: Vec<String> = self
            .0
            .matchers
            .iter()
            .filter(|m| !is_name(m, name))
            .map(matcher)
            .collect();
        inside.sort_unstable();
        f.write_str(name.unwrap_or(""))?;
        // Upstream prints nothing at all for `{}`, which cannot be read again.
        if !inside.is_empty() || name.is_none() {
            write!(f, "{{{}}}", inside.join(","))?;
        }
        Ok(())
    }
}

/// Is this the condition that stands for the name before the braces?
fn is_name(matcher: &Matcher, name: Option<&str>) -> bool {
    matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal && Some(matcher.value()) == name
}

fn matcher(matcher: &Matcher) -> String {
    let name = matcher.name();
    let name = if is_plain(name) {
        name.to_owned()
    } else {
        quote(name)
    };
    format!("{name}{}{}", matcher.op().as_str(), quote(matcher.value()))
}

fn extended(modifiers: &Modifiers) -> &'static str {
    match (modifiers.anchored, modifiers.smoothed) {
        (true, _) => " anchored",
        (false, true) => " smoothed",
        (false, false) => "",
    }
}

fn fmt_at(f: &mut impl fmt::Write, modifiers: &Modifiers) -> fmt::Result {
    match modifiers.at {
        None => Ok(()),
        Some(At::Start) => f.write_str(" @ start()"),
        Some(At::End) => f.write_str(" @ end()"),
        Some(At::Time(ms)) => {
            let (sign, ms) = (if ms < 0 { "-" } else { "" }, ms.unsigned_abs());
            write!(f, " @ {sign}{}.{:03}", ms / 1000, ms % 1000)
        }
    }
}

fn fmt_offset(f: &mut impl fmt::Write, modifiers: &Modifiers) -> fmt::Result {
    match &modifiers.offset {
        Some(offset) => write!(f, " offset {}", Whole(offset)),
        None => Ok(()),
    }
}

/// `[range:step] @ ... offset ...`
fn subquery_suffix(subquery: &Subquery) -> String {
    let mut out = format!("[{}:", Whole(&subquery.range));
    if let Some(step) = &subquery.step {
        let _ = write!(out, "{}", Whole(step));
    }
    out.push(']');
    let _ = fmt_at(&mut out, &subquery.modifiers);
    let _ = fmt_offset(&mut out, &subquery.modifiers);
    out
}

/// A duration that stands alone: upstream prints it with units, however it was written.
struct Whole<'a>(&'a DurationExpr);

impl fmt::Display for Whole<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.kind {
            DurationKind::Literal { seconds, .. } => f.write_str(&literal(*seconds, true)),
            _ => write!(f, "{}", self.0),
        }
    }
}

/// Seconds with units, or as a number when that is wanted or says more.
fn literal(seconds: f64, units: bool) -> String {
    let ms = (seconds * 1000.0).round();
    #[expect(clippy::float_cmp, reason = "whole milliseconds are asked for")]
    let whole = ms / 1000.0 == seconds && ms.abs() < 1e15;
    if !units || !whole {
        return number(seconds);
    }
    #[expect(clippy::cast_possible_truncation, reason = "below 1e15, and whole")]
    let ms = ms as i64;
    format!("{}{}", if ms < 0 { "-" } else { "" }, format_duration_ms(ms))
}

impl fmt::Display for DurationExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            DurationKind::Literal { seconds, units } => f.write_str(&literal(*seconds, *units)),
            DurationKind::Step => f.write_str("step()"),
            DurationKind::Range => f.write_str("range()"),
            DurationKind::Min(a, b) => write!(f, "min_of({a}, {b})"),
            DurationKind::Max(a, b) => write!(f, "max_of({a}, {b})"),
            DurationKind::Unary(op, d) => write!(f, "{}{d}", sign(*op)),
            DurationKind::Binary(op, a, b) => write!(f, "{a} {} {b}", BinaryOp::as_str(*op)),
            DurationKind::Paren(d) => write!(f, "({d})"),
        }
    }
}
