//! What follows a selector or subquery: ranges, `offset`, `@`, `anchored`, `smoothed`; and the arithmetic of
//! durations.
//!
//! Within brackets the whole arithmetic of durations stands. After `offset` only one term does: `foo offset 1m
//! + 2` adds 2 to the offset series, as upstream's grammar decides it.

use super::expr::POW;
use super::token::{Keyword, Kind, Token};
use super::{Node, Parser, Result};
use crate::ast::{
    At, BinaryOp, DurationExpr, DurationKind, Expr, ExprKind, Modifiers, RangeSelector, Span, Subquery,
    UnaryOp,
};

const RANGE_PLACE: &str = "subquery or range selector";
const DURATION_WORDS: &str = "number, duration, step(), or range()";

/// Upstream holds durations as nanoseconds in 63 bits.
const MAX_SECONDS: f64 = 9_223_372_036.854_776;

/// A duration with the height of its tree.
struct Term {
    expr: DurationExpr,
    depth: usize,
}

impl Term {
    fn new(kind: DurationKind, span: Span, below: usize) -> Self {
        Self {
            expr: DurationExpr { kind, span },
            depth: below + 1,
        }
    }

    fn seconds(&self) -> Option<f64> {
        match self.expr.kind {
            DurationKind::Literal { seconds, .. } => Some(seconds),
            _ => None,
        }
    }
}

impl Parser<'_> {
    /// Everything that follows a primary, in any order.
    pub(super) fn postfix(&mut self, mut node: Node) -> Result<Node> {
        loop {
            match self.cur.kind {
                Kind::LeftBracket => node = self.bracket(node)?,
                Kind::Keyword(Keyword::Offset) => self.offset(&mut node.expr)?,
                Kind::At => self.at(&mut node.expr)?,
                Kind::Keyword(word @ (Keyword::Anchored | Keyword::Smoothed)) => {
                    self.extended(&mut node.expr, word)?;
                }
                _ => return Ok(node),
            }
        }
    }

    /// `[range]` or `[range:step]`
    fn bracket(&mut self, node: Node) -> Result<Node> {
        let open = self.advance()?;
        let range = self.within(RANGE_PLACE, DURATION_WORDS, Self::positive_duration)?;
        let mut depth = range.depth;
        if self.cur.kind == Kind::RightBracket {
            let close = self.advance()?;
            return self.range(
                node,
                range,
                Span {
                    start: open.span.start,
                    end: close.span.end,
                },
            );
        }
        if self.cur.kind != Kind::Colon {
            return Err(self.unexpected("subquery or range", "\":\" or \"]\""));
        }
        self.advance()?;
        let mut step = None;
        if self.cur.kind != Kind::RightBracket {
            let expected = "number, duration, step(), range(), or \"]\"";
            let term = self.within("subquery selector", expected, Self::positive_duration)?;
            depth = depth.max(term.depth);
            step = Some(term.expr);
            if self.cur.kind != Kind::RightBracket {
                return Err(self.unexpected("subquery selector", "\"]\""));
            }
        }
        let close = self.advance()?;
        let span = Span {
            start: node.expr.span.start,
            end: close.span.end,
        };
        depth = depth.max(node.depth);
        let subquery = Subquery {
            expr: *node.expr,
            range: range.expr,
            step,
            modifiers: Modifiers::default(),
        };
        self.node(ExprKind::Subquery(Box::new(subquery)), span, depth)
    }

    fn range(&mut self, node: Node, range: Term, brackets: Span) -> Result<Node> {
        let span = Span {
            start: node.expr.span.start,
            end: brackets.end,
        };
        let ExprKind::Selector(selector) = node.expr.kind else {
            return Err(self.error(brackets, "ranges only allowed for vector selectors"));
        };
        if selector.modifiers.offset.is_some() {
            return Err(self.error(brackets, "no offset modifiers allowed before range"));
        }
        if selector.modifiers.at.is_some() {
            return Err(self.error(brackets, "no @ modifiers allowed before range"));
        }
        let kind = ExprKind::Range(RangeSelector {
            selector,
            range: range.expr,
        });
        self.node(kind, span, range.depth)
    }

    fn offset(&mut self, expr: &mut Expr) -> Result<()> {
        self.advance()?;
        let term = self.within("offset", DURATION_WORDS, Self::offset_duration)?;
        let span = expr.span;
        expr.span.end = self.last_end;
        let Some(modifiers) = modifiers_of(expr) else {
            let message = "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery";
            return Err(self.error(span, message));
        };
        if modifiers.offset.is_some() {
            return Err(self.error(span, "offset may not be set multiple times"));
        }
        // Upstream does not keep an offset of nothing.
        if term.seconds() != Some(0.0) {
            modifiers.offset = Some(term.expr);
        }
        Ok(())
    }

    fn at(&mut self, expr: &mut Expr) -> Result<()> {
        self.advance()?;
        let span = expr.span;
        let at = match self.cur.kind {
            Kind::Keyword(word @ (Keyword::Start | Keyword::End)) => {
                self.advance()?;
                self.within("@", "timestamp", |p| {
                    p.expect(Kind::LeftParen).and_then(|_| p.expect(Kind::RightParen))
                })?;
                if word == Keyword::Start {
                    At::Start
                } else {
                    At::End
                }
            }
            _ => match self.signed_number()? {
                Some(seconds) => At::Time(self.timestamp(seconds, span)?),
                None => return Err(self.unexpected("@", "timestamp")),
            },
        };
        expr.span.end = self.last_end;
        let Some(modifiers) = modifiers_of(expr) else {
            let message = "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery";
            return Err(self.error(span, message));
        };
        if modifiers.at.is_some() {
            return Err(self.error(span, "@ <timestamp> may not be set multiple times"));
        }
        modifiers.at = Some(at);
        Ok(())
    }

    /// Seconds as milliseconds, if they fit.
    fn timestamp(&self, seconds: f64, span: Span) -> Result<i64> {
        const LIMIT: f64 = 9_223_372_036_854_775.0;
        if !seconds.is_finite() || seconds.abs() >= LIMIT {
            let shown = if seconds == f64::INFINITY {
                "+Inf".to_owned()
            } else {
                go_fixed(seconds)
            };
            return Err(self.error(span, format!("timestamp out of bounds for @ modifier: {shown}")));
        }
        #[expect(clippy::cast_possible_truncation, reason = "checked above, and rounded")]
        Ok((seconds * 1000.0).round() as i64)
    }

    /// `anchored`, `smoothed`
    fn extended(&mut self, expr: &mut Expr, word: Keyword) -> Result<()> {
        self.advance()?;
        let name = if word == Keyword::Anchored {
            "anchored"
        } else {
            "smoothed"
        };
        let span = expr.span;
        expr.span.end = self.last_end;
        let message = match expr.kind {
            ExprKind::Selector(_) | ExprKind::Range(_) => None,
            ExprKind::Subquery(_) => Some(format!("{name} modifier is not supported for subqueries")),
            _ => Some(format!("{name} modifier not implemented")),
        };
        if let Some(message) = message {
            return Err(self.error(span, message));
        }
        if let Some(modifiers) = modifiers_of(expr) {
            modifiers.anchored |= word == Keyword::Anchored;
            modifiers.smoothed |= word == Keyword::Smoothed;
            if modifiers.anchored && modifiers.smoothed {
                return Err(self.error(span, "anchored and smoothed modifiers cannot be used together"));
            }
        }
        Ok(())
    }

    /// A duration in brackets; one that is known already must be more than nothing.
    fn positive_duration(&mut self) -> Result<Term> {
        let term = self.duration(0)?;
        match term.seconds() {
            Some(seconds) if seconds <= 0.0 => {
                Err(self.error(term.expr.span, "duration must be greater than 0"))
            }
            _ => Ok(term),
        }
    }

    /// A duration whose operators bind at least as tightly as `min`.
    fn duration(&mut self, min: u8) -> Result<Term> {
        self.deeper()?;
        let mut lhs = self.duration_operand()?;
        while let Kind::Op(op) = self.cur.kind {
            let binds = match op {
                BinaryOp::Add | BinaryOp::Sub => 4,
                BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod => 5,
                BinaryOp::Pow => POW,
                _ => break,
            };
            if binds < min {
                break;
            }
            let token = self.advance()?;
            let rhs = self.duration(if op == BinaryOp::Pow { binds } else { binds + 1 })?;
            if rhs.seconds() == Some(0.0) {
                match op {
                    BinaryOp::Div => return Err(self.error(token.span, "division by zero")),
                    BinaryOp::Mod => return Err(self.error(token.span, "modulo by zero")),
                    _ => {}
                }
            }
            let span = Span {
                start: lhs.expr.span.start,
                end: rhs.expr.span.end,
            };
            let depth = lhs.depth.max(rhs.depth);
            let kind = DurationKind::Binary(op, Box::new(lhs.expr), Box::new(rhs.expr));
            lhs = self.term(kind, span, depth)?;
        }
        self.nesting -= 1;
        Ok(lhs)
    }

    fn term(&self, kind: DurationKind, span: Span, below: usize) -> Result<Term> {
        if below >= super::MAX_DEPTH {
            Err(self.too_deep(span))
        } else {
            Ok(Term::new(kind, span, below))
        }
    }

    fn sign(&mut self) -> Result<Option<(UnaryOp, Token)>> {
        let op = match self.cur.kind {
            Kind::Op(BinaryOp::Sub) => UnaryOp::Minus,
            Kind::Op(BinaryOp::Add) => UnaryOp::Plus,
            _ => return Ok(None),
        };
        Ok(Some((op, self.advance()?)))
    }

    fn duration_operand(&mut self) -> Result<Term> {
        match self.sign()? {
            Some((op, token)) => {
                let operand = self.duration(POW)?;
                self.signed(op, token, operand)
            }
            None => self.duration_primary(),
        }
    }

    /// One term after `offset`: a literal, a call or parentheses, each with or without a sign.
    fn offset_duration(&mut self) -> Result<Term> {
        match self.sign()? {
            Some((op, token)) => {
                let operand = self.duration_primary()?;
                self.signed(op, token, operand)
            }
            None => self.duration_primary(),
        }
    }

    /// A sign before a duration; a literal takes it in.
    fn signed(&self, op: UnaryOp, token: Token, operand: Term) -> Result<Term> {
        let span = Span {
            start: token.span.start,
            end: operand.expr.span.end,
        };
        if let DurationKind::Literal { seconds, units } = operand.expr.kind {
            let seconds = if op == UnaryOp::Minus { -seconds } else { seconds };
            return Ok(Term::new(DurationKind::Literal { seconds, units }, span, 0));
        }
        let depth = operand.depth;
        self.term(DurationKind::Unary(op, Box::new(operand.expr)), span, depth)
    }

    fn duration_primary(&mut self) -> Result<Term> {
        let start = self.cur.span.start;
        match self.cur.kind {
            Kind::Number | Kind::Duration => {
                let token = self.advance()?;
                let seconds = self.number_value(token)?;
                if !(-MAX_SECONDS..=MAX_SECONDS).contains(&seconds) {
                    return Err(self.error(token.span, "duration out of range"));
                }
                let units = token.kind == Kind::Duration;
                Ok(Term::new(DurationKind::Literal { seconds, units }, token.span, 0))
            }
            Kind::Keyword(word @ (Keyword::Step | Keyword::Range)) => {
                self.advance()?;
                self.expect(Kind::LeftParen)?;
                let close = self.expect(Kind::RightParen)?;
                let kind = if word == Keyword::Step {
                    DurationKind::Step
                } else {
                    DurationKind::Range
                };
                Ok(Term::new(
                    kind,
                    Span {
                        start,
                        end: close.span.end,
                    },
                    0,
                ))
            }
            Kind::Keyword(word @ (Keyword::MinOf | Keyword::MaxOf)) => {
                self.advance()?;
                self.expect(Kind::LeftParen)?;
                let a = self.duration(0)?;
                self.expect(Kind::Comma)?;
                let b = self.duration(0)?;
                let close = self.expect(Kind::RightParen)?;
                let (depth, a, b) = (a.depth.max(b.depth), Box::new(a.expr), Box::new(b.expr));
                let kind = if word == Keyword::MinOf {
                    DurationKind::Min(a, b)
                } else {
                    DurationKind::Max(a, b)
                };
                self.term(
                    kind,
                    Span {
                        start,
                        end: close.span.end,
                    },
                    depth,
                )
            }
            Kind::LeftParen => {
                self.advance()?;
                let inner = self.duration(0)?;
                let close = self.expect(Kind::RightParen)?;
                let depth = inner.depth;
                let kind = DurationKind::Paren(Box::new(inner.expr));
                self.term(
                    kind,
                    Span {
                        start,
                        end: close.span.end,
                    },
                    depth,
                )
            }
            _ => Err(self.unexpected_here()),
        }
    }
}

/// The modifiers of those nodes that have some.
fn modifiers_of(expr: &mut Expr) -> Option<&mut Modifiers> {
    match &mut expr.kind {
        ExprKind::Selector(selector) => Some(&mut selector.modifiers),
        ExprKind::Range(range) => Some(&mut range.selector.modifiers),
        ExprKind::Subquery(subquery) => Some(&mut subquery.modifiers),
        _ => None,
    }
}

/// As Go's `%f`.
fn go_fixed(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value == f64::NEG_INFINITY {
        "-Inf".to_owned()
    } else {
        format!("{value:.6}")
    }
}
