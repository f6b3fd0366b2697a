//! Series selectors, and lists of labels in parentheses.

use model::{METRIC_NAME, MatchOp, Matcher};

use super::quote::{quote, quote_bytes, unquote};
use super::token::{Kind, Token};
use super::{Parser, Result};
use crate::ast::{BinaryOp, Modifiers, Selector, Span};

impl Parser<'_> {
    /// A selector alone: `name`, `name{...}` or `{...}`.
    pub(super) fn bare_selector(&mut self) -> Result<Selector> {
        if self.cur.kind == Kind::LeftBrace {
            return self.selector(None);
        }
        if !self.cur.kind.is_metric_name() {
            return Err(self.unexpected_here());
        }
        let name = self.advance()?;
        self.selector(Some(name))
    }

    /// The rest of a selector whose name, if it has one, is read.
    pub(super) fn selector(&mut self, name: Option<Token>) -> Result<Selector> {
        let mut matchers = if self.cur.kind == Kind::LeftBrace {
            self.matchers()?
        } else {
            Vec::new()
        };
        let name = name.map(|token| self.text_of(token).to_owned());
        if let Some(name) = &name {
            matchers.push(Matcher::equal(METRIC_NAME, name));
        }
        Ok(Selector {
            name,
            matchers,
            modifiers: Modifiers::default(),
        })
    }

    /// `{a="b", "c"!~"d", "name"}`
    fn matchers(&mut self) -> Result<Vec<Matcher>> {
        const PLACE: &str = "label matching";
        self.expect(Kind::LeftBrace)?;
        let mut matchers = Vec::new();
        if self.accept(Kind::RightBrace)? {
            return Ok(matchers);
        }
        loop {
            matchers.push(match self.cur.kind {
                Kind::Identifier | Kind::String => self.matcher()?,
                _ => return Err(self.unexpected(PLACE, "identifier or \"}\"")),
            });
            let comma = self.accept(Kind::Comma)?;
            if self.accept(Kind::RightBrace)? {
                return Ok(matchers);
            }
            if !comma {
                return Err(self.unexpected(PLACE, "\",\" or \"}\""));
            }
        }
    }

    fn matcher(&mut self) -> Result<Matcher> {
        const PLACE: &str = "label matching";
        let label = self.advance()?;
        let quoted = label.kind == Kind::String;
        let name = if quoted {
            self.string_value(label)?
        } else {
            self.text_of(label).to_owned()
        };
        let op = match self.cur.kind {
            Kind::Assign => MatchOp::Equal,
            Kind::Op(BinaryOp::NotEqual) => MatchOp::NotEqual,
            Kind::EqualRegex => MatchOp::Regex,
            Kind::NotEqualRegex => MatchOp::NotRegex,
            // A quoted text alone is the metric's name.
            _ if quoted => return Ok(Matcher::equal(METRIC_NAME, name)),
            _ => return Err(self.unexpected(PLACE, "label matching operator")),
        };
        self.advance()?;
        if self.cur.kind != Kind::String {
            return Err(self.unexpected(PLACE, "string"));
        }
        let token = self.advance()?;
        let value = self.string_value(token)?;
        let span = Span {
            start: label.span.start,
            end: token.span.end,
        };
        Matcher::new(name, op, value).map_err(|e| self.error(span, e.to_string()))
    }

    /// What a string token means. Labels and values are UTF-8, so a literal that is not is refused here.
    pub(super) fn string_value(&self, token: Token) -> Result<String> {
        String::from_utf8(unquote(self.text_of(token))).map_err(|e| {
            self.error(
                token.span,
                format!("string {} is not valid UTF-8", quote_bytes(e.as_bytes())),
            )
        })
    }

    /// `(a, "b.c",)`
    pub(super) fn grouping_labels(&mut self) -> Result<Vec<String>> {
        const PLACE: &str = "grouping opts";
        if self.cur.kind != Kind::LeftParen {
            return Err(self.unexpected(PLACE, "\"(\""));
        }
        self.advance()?;
        let mut labels = Vec::new();
        if self.accept(Kind::RightParen)? {
            return Ok(labels);
        }
        loop {
            if self.cur.kind != Kind::String && !self.cur.kind.is_label_name() {
                return Err(self.unexpected(PLACE, "label"));
            }
            let token = self.advance()?;
            let label = if token.kind == Kind::String {
                self.string_value(token)?
            } else {
                self.text_of(token).to_owned()
            };
            if label.is_empty() {
                let message = format!("invalid label name for grouping: {}", quote(&label));
                return Err(self.error(token.span, message));
            }
            labels.push(label);
            let comma = self.accept(Kind::Comma)?;
            if self.accept(Kind::RightParen)? {
                return Ok(labels);
            }
            if !comma {
                return Err(self.unexpected(PLACE, "\",\" or \")\""));
            }
        }
    }
}
