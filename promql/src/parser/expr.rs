//! Expressions: operators by precedence, signs, primaries, what follows a primary, calls and aggregations.

use super::quote::{quote, unquote};
use super::token::{Keyword, Kind, Token};
use super::{Context, Node, Parser, Result, number};
use crate::ast::{
    Aggregate, AggregateOp, Binary, BinaryOp, Call, Cardinality, Expr, ExprKind, Grouping, Matching, Span,
    UnaryOp,
};
use crate::signature;

/// How tightly an operator binds. Signs bind like `*`, so `-1^2` is `-(1^2)`.
fn precedence(op: BinaryOp) -> u8 {
    match op {
        BinaryOp::Or => 1,
        BinaryOp::And | BinaryOp::Unless => 2,
        BinaryOp::Equal
        | BinaryOp::NotEqual
        | BinaryOp::Less
        | BinaryOp::LessEqual
        | BinaryOp::Greater
        | BinaryOp::GreaterEqual
        | BinaryOp::TrimUpper
        | BinaryOp::TrimLower => 3,
        BinaryOp::Add | BinaryOp::Sub => 4,
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::Atan2 => 5,
        BinaryOp::Pow => POW,
    }
}

pub(super) const POW: u8 = 6;

impl Parser<'_> {
    /// An expression whose operators bind at least as tightly as `min`.
    pub(super) fn expr(&mut self, min: u8) -> Result<Node> {
        self.deeper()?;
        let mut lhs = self.operand()?;
        while let Kind::Op(op) = self.cur.kind {
            let binds = precedence(op);
            if binds < min {
                break;
            }
            self.advance()?;
            let binary = self.modifiers_of(op)?;
            // `^` groups from the right, all others from the left.
            let rhs = self.expr(if op == BinaryOp::Pow { binds } else { binds + 1 })?;
            lhs = self.binary(binary, lhs, rhs)?;
        }
        self.nesting -= 1;
        Ok(lhs)
    }

    // The rules that call themselves leave the making of nodes to others, so that their frames stay small.

    fn binary(&self, mut binary: Box<Binary>, lhs: Node, rhs: Node) -> Result<Node> {
        let span = Span {
            start: lhs.expr.span.start,
            end: rhs.expr.span.end,
        };
        binary.lhs = *lhs.expr;
        binary.rhs = *rhs.expr;
        self.node(ExprKind::Binary(binary), span, lhs.depth.max(rhs.depth))
    }

    /// What stands between an operator and its right side: `bool on (a) group_left (b) fill (0)`. The sides are
    /// placeholders, to be set by the caller.
    fn modifiers_of(&mut self, op: BinaryOp) -> Result<Box<Binary>> {
        let mut matching = Matching {
            card: Cardinality::OneToOne,
            on: false,
            labels: Vec::new(),
            include: Vec::new(),
            fill_left: None,
            fill_right: None,
        };
        let return_bool = self.accept(Kind::Keyword(Keyword::Bool))?;
        if let Kind::Keyword(word @ (Keyword::On | Keyword::Ignoring)) = self.cur.kind {
            self.advance()?;
            matching.on = word == Keyword::On;
            matching.labels = self.grouping_labels()?;
            if let Kind::Keyword(word @ (Keyword::GroupLeft | Keyword::GroupRight)) = self.cur.kind {
                self.advance()?;
                matching.card = if word == Keyword::GroupLeft {
                    Cardinality::ManyToOne
                } else {
                    Cardinality::OneToMany
                };
                if self.cur.kind == Kind::LeftParen {
                    matching.include = self.grouping_labels()?;
                }
            }
        }
        self.fills(&mut matching)?;
        let hole = || Expr {
            kind: ExprKind::Number(0.0),
            span: Span::default(),
        };
        Ok(Box::new(Binary {
            op,
            lhs: hole(),
            rhs: hole(),
            return_bool,
            matching: Some(matching),
        }))
    }

    /// `fill (0)`, or `fill_left (0)` and `fill_right (0)` in any order.
    fn fills(&mut self, matching: &mut Matching) -> Result<()> {
        if self.accept(Kind::Keyword(Keyword::Fill))? {
            let value = self.fill_value()?;
            matching.fill_left = Some(value);
            matching.fill_right = Some(value);
            return Ok(());
        }
        loop {
            if matching.fill_left.is_none() && self.accept(Kind::Keyword(Keyword::FillLeft))? {
                matching.fill_left = Some(self.fill_value()?);
            } else if matching.fill_right.is_none() && self.accept(Kind::Keyword(Keyword::FillRight))? {
                matching.fill_right = Some(self.fill_value()?);
            } else {
                return Ok(());
            }
        }
    }

    fn fill_value(&mut self) -> Result<f64> {
        self.expect(Kind::LeftParen)?;
        let value = self.signed_number()?.ok_or_else(|| self.unexpected_here())?;
        self.expect(Kind::RightParen)?;
        Ok(value)
    }

    /// A number or duration with or without a sign, if there is one.
    pub(super) fn signed_number(&mut self) -> Result<Option<f64>> {
        let negative = match self.cur.kind {
            Kind::Op(BinaryOp::Sub) => true,
            Kind::Op(BinaryOp::Add) => false,
            Kind::Number | Kind::Duration => {
                let token = self.advance()?;
                return self.number_value(token).map(Some);
            }
            _ => return Ok(None),
        };
        self.advance()?;
        if !matches!(self.cur.kind, Kind::Number | Kind::Duration) {
            return Ok(None);
        }
        let token = self.advance()?;
        let value = self.number_value(token)?;
        Ok(Some(if negative { -value } else { value }))
    }

    /// A number, or a duration in seconds.
    pub(super) fn number_value(&self, token: Token) -> Result<f64> {
        let text = self.text_of(token);
        let value = if token.kind == Kind::Duration {
            number::parse_duration(text).map(seconds)
        } else {
            number::parse_number(text)
        };
        value.map_err(|message| self.error(token.span, message))
    }

    /// A primary with what follows it, or a sign before an operand.
    fn operand(&mut self) -> Result<Node> {
        let op = match self.cur.kind {
            Kind::Op(BinaryOp::Sub) => UnaryOp::Minus,
            Kind::Op(BinaryOp::Add) => UnaryOp::Plus,
            _ => {
                let primary = self.primary()?;
                return self.postfix(primary);
            }
        };
        let sign = self.advance()?;
        let operand = self.expr(POW)?;
        self.unary(op, sign, operand)
    }

    fn unary(&self, op: UnaryOp, sign: Token, mut operand: Node) -> Result<Node> {
        let span = Span {
            start: sign.span.start,
            end: operand.expr.span.end,
        };
        // As upstream, a sign before a number belongs to the number.
        if let ExprKind::Number(value) | ExprKind::Duration(value) = &mut operand.expr.kind {
            *value = if op == UnaryOp::Minus { -*value } else { *value };
            operand.expr.span = span;
            return Ok(operand);
        }
        self.node(ExprKind::Unary(op, operand.expr), span, operand.depth)
    }

    fn primary(&mut self) -> Result<Node> {
        match self.cur.kind {
            Kind::Number | Kind::Duration | Kind::String => self.literal(),
            Kind::LeftParen => self.paren(),
            Kind::LeftBrace => {
                let start = self.cur.span.start;
                self.selector_expr(start, None)
            }
            kind if kind.is_metric_name() => self.named(),
            _ => Err(self.unexpected_here()),
        }
    }

    fn literal(&mut self) -> Result<Node> {
        let token = self.advance()?;
        let kind = match token.kind {
            Kind::String if self.label_argument == Some(token.span) => {
                String::from_utf8(unquote(self.text_of(token)))
                    .map_or_else(|e| ExprKind::BadString(e.into_bytes()), ExprKind::String)
            }
            Kind::String => ExprKind::String(self.string_value(token)?),
            Kind::Duration => ExprKind::Duration(self.number_value(token)?),
            _ => ExprKind::Number(self.number_value(token)?),
        };
        self.node(kind, token.span, 0)
    }

    fn paren(&mut self) -> Result<Node> {
        let open = self.advance()?;
        let inner = self.expr(0)?;
        let close = self.expect(Kind::RightParen)?;
        let span = Span {
            start: open.span.start,
            end: close.span.end,
        };
        self.node(ExprKind::Paren(inner.expr), span, inner.depth)
    }

    /// What begins with a name: an aggregation, a call or a selector, as the token after the name says.
    fn named(&mut self) -> Result<Node> {
        let name = self.advance()?;
        let follows = self.cur.kind;
        match name.kind {
            Kind::Aggregate(op)
                if matches!(
                    follows,
                    Kind::LeftParen | Kind::Keyword(Keyword::By) | Kind::Keyword(Keyword::Without)
                ) =>
            {
                self.aggregate(op, name)
            }
            Kind::Identifier if follows == Kind::LeftParen => self.call(name),
            Kind::Keyword(word) if word.is_preprocessor() && follows == Kind::LeftParen => self.call(name),
            _ => self.selector_expr(name.span.start, Some(name)),
        }
    }

    fn selector_expr(&mut self, start: usize, name: Option<Token>) -> Result<Node> {
        let selector = self.selector(name)?;
        let span = Span {
            start,
            end: self.last_end,
        };
        self.node(ExprKind::Selector(selector), span, 0)
    }

    fn call(&mut self, name: Token) -> Result<Node> {
        let (args, depth) = self.args()?;
        let span = Span {
            start: name.span.start,
            end: self.last_end,
        };
        let func = self.function(name)?;
        self.node(ExprKind::Call(Call { func, args }), span, depth)
    }

    fn function(&self, name: Token) -> Result<&'static signature::Function> {
        let mut text = self.text_of(name).to_owned();
        if name.kind != Kind::Identifier {
            // `STEP()` is a keyword, so it may be written in any case; functions may not.
            text.make_ascii_lowercase();
        }
        signature::function(&text).ok_or_else(|| {
            self.error(
                name.span,
                format!("unknown function with name {}", quote(self.text_of(name))),
            )
        })
    }

    /// `(a, b)`, with the height of the highest.
    fn args(&mut self) -> Result<(Vec<Expr>, usize)> {
        self.expect(Kind::LeftParen)?;
        let (mut args, mut depth) = (Vec::new(), 0);
        if self.accept(Kind::RightParen)? {
            return Ok((args, depth));
        }
        loop {
            let arg = self.expr(0)?;
            depth = depth.max(arg.depth);
            args.push(*arg.expr);
            if self.cur.kind != Kind::Comma {
                self.expect(Kind::RightParen)?;
                return Ok((args, depth));
            }
            let comma = self.advance()?;
            if matches!(self.cur.kind, Kind::RightParen | Kind::Comma) {
                return Err(self.error(comma.span, "trailing commas not allowed in function call args"));
            }
        }
    }

    fn aggregate(&mut self, op: AggregateOp, name: Token) -> Result<Node> {
        let outer = std::mem::replace(
            &mut self.context,
            Context {
                place: "aggregation",
                expected: "",
            },
        );
        let mut grouping = self.grouping()?;
        if op == AggregateOp::CountValues {
            self.find_label_argument()?;
        }
        let (args, depth) = self.args()?;
        self.context = outer;
        if grouping.is_none() {
            grouping = self.grouping()?;
        }
        let span = Span {
            start: name.span.start,
            end: self.last_end,
        };
        let aggregate = self.aggregate_over(op, grouping, args, span)?;
        self.node(ExprKind::Aggregate(aggregate), span, depth)
    }

    fn aggregate_over(
        &self,
        op: AggregateOp,
        grouping: Option<Grouping>,
        mut args: Vec<Expr>,
        span: Span,
    ) -> Result<Box<Aggregate>> {
        if args.is_empty() {
            return Err(self.error(span, "no arguments for aggregate expression provided"));
        }
        let wanted = 1 + usize::from(op.takes_param());
        let got = args.len();
        let (Some(expr), true) = (args.pop(), got == wanted) else {
            let message = format!(
                "wrong number of arguments for aggregate expression provided, expected {wanted}, got {got}"
            );
            return Err(self.error(span, message));
        };
        Ok(Box::new(Aggregate {
            op,
            param: args.pop(),
            expr,
            grouping,
        }))
    }

    /// `by (...)` or `without (...)`, if it is there.
    fn grouping(&mut self) -> Result<Option<Grouping>> {
        let Kind::Keyword(word @ (Keyword::By | Keyword::Without)) = self.cur.kind else {
            return Ok(None);
        };
        self.advance()?;
        let labels = self.grouping_labels()?;
        Ok(Some(Grouping {
            without: word == Keyword::Without,
            labels,
        }))
    }

    /// Remembers where the label of `count_values` stands: a string there may be no UTF-8, as it is the engine that refuses it.
    fn find_label_argument(&mut self) -> Result<()> {
        if self.cur.kind == Kind::LeftParen {
            // The lexer is a few numbers and a reference: looking one token ahead costs a copy.
            self.label_argument = Some(self.lexer.clone().next_token()?.span);
        }
        Ok(())
    }
}

/// Milliseconds as seconds.
#[expect(
    clippy::cast_precision_loss,
    reason = "durations have far fewer than 53 bits of milliseconds in practice"
)]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}
