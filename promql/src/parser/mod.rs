//! Text to [`Expr`], with Prometheus' words and a position in every error.
//!
//! ```text
//!   text --lexer--> tokens, one ahead --expr, selector, duration--> Expr --check--> Expr whose types are right
//! ```
//!
//! The grammar is Prometheus 3's with every feature flag on. Tokens are made one at a time, so an error of the
//! lexer is told only when the grammar gets there, as upstream does it. Neither a deeply nested text nor
//! a long chain of operators can overflow the stack, here or in whoever walks the tree: the height of the tree is
//! limited to [`MAX_DEPTH`].

mod check;
mod duration;
mod expr;
mod lexer;
mod number;
pub(crate) mod quote;
mod selector;
mod token;

#[cfg(test)]
mod error_tests;
#[cfg(test)]
mod tests;

use crate::ast::{Expr, ExprKind, Span};
use lexer::Lexer;
use model::Matcher;
pub(crate) use number::format_duration_ms;
pub use number::parse_duration;
use token::{Kind, Token};

/// A tree is at most so many nodes high, and a text nests at most so deep.
pub const MAX_DEPTH: usize = 256;

/// Why a text is not a query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: parse error: {message}")]
pub struct ParseError {
    /// Prometheus' wording, as in `unexpected end of input`.
    pub message: String,
    /// The bytes at fault.
    pub span: Span,
    /// Line of the start, from 1.
    pub line: usize,
    /// Column of the start in characters, from 1.
    pub column: usize,
}

impl ParseError {
    /// Finds line and column of a fault in its text.
    fn new(text: &str, span: Span, message: impl Into<String>) -> Self {
        let before = text.get(..span.start.min(text.len())).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Self {
            message: message.into(),
            span,
            line,
            column,
        }
    }
}

type Result<T> = std::result::Result<T, ParseError>;

/// Parses and type-checks a query.
///
/// # Errors
/// [`ParseError`] at the first fault.
pub fn parse(text: &str) -> Result<Expr> {
    let mut parser = Parser::new(text)?;
    if parser.cur.kind == Kind::Eof {
        return Err(ParseError::new(
            text,
            Span::default(),
            "no expression found in input",
        ));
    }
    let mut expr = *parser.expr(0)?.expr;
    if parser.cur.kind != Kind::Eof {
        return Err(parser.unexpected_here());
    }
    check::check(text, &mut expr)?;
    Ok(expr)
}

/// Parses a series selector alone, as in `match[]=up{job="node"}`: its matchers, the one on the name included.
/// Whether one of them must be non-empty is left to the caller.
///
/// # Errors
/// [`ParseError`] at the first fault; modifiers and ranges are faults.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>> {
    let mut parser = Parser::new(text)?;
    let selector = parser.bare_selector()?;
    if parser.cur.kind != Kind::Eof {
        return Err(parser.unexpected_here());
    }
    Ok(selector.matchers)
}

/// What an error of the grammar says about where it is: the innermost rule that has words of its own.
#[derive(Debug, Clone, Copy, Default)]
struct Context {
    /// As in `unexpected ... in aggregation`.
    place: &'static str,
    /// As in `..., expected label`.
    expected: &'static str,
}

/// An expression with the height of its tree. In a box, as every level of nesting holds some of them on the stack.
struct Node {
    expr: Box<Expr>,
    depth: usize,
}

/// The tokens and where the parser stands in them.
struct Parser<'a> {
    text: &'a str,
    lexer: Lexer<'a>,
    /// The token that is looked at.
    cur: Token,
    /// End of the token before.
    last_end: usize,
    /// Nesting of the grammar's rules at this moment.
    nesting: usize,
    context: Context,
    /// Where the label of the last `count_values` begins.
    label_argument: Option<Span>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Result<Self> {
        let mut lexer = Lexer::new(text);
        let cur = lexer.next_token()?;
        Ok(Self {
            text,
            lexer,
            cur,
            last_end: 0,
            nesting: 0,
            context: Context::default(),
            label_argument: None,
        })
    }

    /// Goes on by one token and gives the one it stood on.
    fn advance(&mut self) -> Result<Token> {
        let token = self.cur;
        self.last_end = token.span.end;
        self.cur = self.lexer.next_token()?;
        Ok(token)
    }

    /// Takes the token if it is of this kind.
    fn accept(&mut self, kind: Kind) -> Result<bool> {
        let there = self.cur.kind == kind;
        if there {
            self.advance()?;
        }
        Ok(there)
    }

    /// Takes a token of this kind, or fails with the words of the rule around.
    fn expect(&mut self, kind: Kind) -> Result<Token> {
        if self.cur.kind == kind {
            self.advance()
        } else {
            Err(self.unexpected_here())
        }
    }

    /// The text of a token.
    fn text_of(&self, token: Token) -> &'a str {
        self.text.get(token.span.start..token.span.end).unwrap_or("")
    }

    fn error(&self, span: Span, message: impl Into<String>) -> ParseError {
        ParseError::new(self.text, span, message)
    }

    /// `unexpected X in PLACE, expected THAT`, for the token looked at.
    fn unexpected(&self, place: &str, expected: &str) -> ParseError {
        let mut message = format!(
            "unexpected {}",
            token::describe(self.cur.kind, self.text_of(self.cur))
        );
        if !place.is_empty() {
            message.push_str(" in ");
            message.push_str(place);
        }
        if !expected.is_empty() {
            message.push_str(", expected ");
            message.push_str(expected);
        }
        self.error(self.cur.span, message)
    }

    /// As [`Self::unexpected`], with the words of the innermost rule that has some.
    fn unexpected_here(&self) -> ParseError {
        self.unexpected(self.context.place, self.context.expected)
    }

    /// Runs a rule under another rule's words.
    fn within<T>(
        &mut self,
        place: &'static str,
        expected: &'static str,
        rule: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let outer = std::mem::replace(&mut self.context, Context { place, expected });
        let done = rule(self);
        self.context = outer;
        done
    }

    /// Counts a step down into the grammar; every call has its `self.nesting -= 1`.
    fn deeper(&mut self) -> Result<()> {
        self.nesting += 1;
        if self.nesting > MAX_DEPTH {
            Err(self.too_deep(self.cur.span))
        } else {
            Ok(())
        }
    }

    /// A node over children of this height, if it is not too high.
    fn node(&self, kind: ExprKind, span: Span, below: usize) -> Result<Node> {
        if below >= MAX_DEPTH {
            return Err(self.too_deep(span));
        }
        Ok(Node {
            expr: Box::new(Expr { kind, span }),
            depth: below + 1,
        })
    }

    fn too_deep(&self, span: Span) -> ParseError {
        self.error(
            span,
            format!("expression is nested more than {MAX_DEPTH} levels deep; split it up"),
        )
    }
}
