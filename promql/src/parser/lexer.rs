//! Text to tokens, one at a time.
//!
//! What a character may begin depends on where it stands, so the lexer keeps three states: inside braces (all
//! words are identifiers), inside brackets (only durations and their arithmetic) and everywhere else. It also counts
//! parentheses, because upstream reports one that is never closed from here.

use super::quote::quote_char;
use super::token::{Keyword, Kind, Token, keyword};
use super::{ParseError, Result};
use crate::ast::{BinaryOp, Span};

#[derive(Clone)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    /// Start of the token at hand.
    start: usize,
    pos: usize,
    open_parens: usize,
    in_braces: bool,
    in_brackets: bool,
    /// Since the last `[`: a number was seen.
    got_number: bool,
    /// Since the last `[`: any token was seen.
    got_token: bool,
    /// Since the last `[`: a colon was seen.
    got_colon: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            start: 0,
            pos: 0,
            open_parens: 0,
            in_braces: false,
            in_brackets: false,
            got_number: false,
            got_token: false,
            got_colon: false,
        }
    }

    /// The next token; [`Kind::Eof`] for ever at the end.
    pub(super) fn next_token(&mut self) -> Result<Token> {
        self.skip_blanks();
        self.start = self.pos;
        let kind = if self.in_braces {
            self.in_braces()?
        } else if self.in_brackets {
            self.in_brackets()?
        } else {
            self.outside()?
        };
        Ok(Token {
            kind,
            span: Span {
                start: self.start,
                end: self.pos,
            },
        })
    }

    /// Spaces and comments.
    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r']);
            self.pos += rest.len() - trimmed.len();
            // Upstream knows no comments between a bracket and the first number.
            if (self.in_brackets && !self.got_number) || !trimmed.starts_with('#') {
                return;
            }
            self.pos += trimmed.find(['\n', '\r']).unwrap_or(trimmed.len());
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.pos..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    fn accept(&mut self, set: &str) -> bool {
        let there = self.peek().is_some_and(|c| set.contains(c));
        if there {
            self.pos += 1;
        }
        there
    }

    fn error(&self, message: impl Into<String>) -> ParseError {
        ParseError::new(
            self.text,
            Span {
                start: self.start,
                end: self.text.len(),
            },
            message,
        )
    }

    /// `unexpected character: 'x'`, or how the sentence begins.
    fn bad_char(&self, sentence: &str, c: Option<char>) -> ParseError {
        // Go's rune for the end of the text is U+FFFD.
        self.error(format!(
            "{sentence}{}",
            quote_char(c.unwrap_or(char::REPLACEMENT_CHARACTER))
        ))
    }

    fn outside(&mut self) -> Result<Kind> {
        let Some(c) = self.next() else {
            return if self.open_parens > 0 {
                Err(self.error("unclosed left parenthesis"))
            } else {
                Ok(Kind::Eof)
            };
        };
        Ok(match c {
            ',' => Kind::Comma,
            '@' => Kind::At,
            '*' => Kind::Op(BinaryOp::Mul),
            '/' => Kind::Op(BinaryOp::Div),
            '%' => Kind::Op(BinaryOp::Mod),
            '+' => Kind::Op(BinaryOp::Add),
            '-' => Kind::Op(BinaryOp::Sub),
            '^' => Kind::Op(BinaryOp::Pow),
            '=' | '!' | '<' | '>' => return self.comparison(c),
            '(' | ')' => return self.paren(c),
            '{' => {
                self.in_braces = true;
                Kind::LeftBrace
            }
            '[' => {
                self.in_brackets = true;
                self.got_number = false;
                self.got_token = false;
                self.got_colon = false;
                Kind::LeftBracket
            }
            ']' => return Err(self.bad_char("unexpected right bracket ", Some(c))),
            '"' | '\'' => return self.string(c),
            '`' => return self.raw_string(),
            c if c.is_ascii_digit() || (c == '.' && self.peek().is_some_and(|d| d.is_ascii_digit())) => {
                return self.number();
            }
            c if c.is_ascii_alphabetic() || c == '_' || c == ':' => self.word(),
            c => return Err(self.bad_char("unexpected character: ", Some(c))),
        })
    }

    fn comparison(&mut self, c: char) -> Result<Kind> {
        let next = self.peek();
        Ok(match (c, next) {
            ('=', Some('=')) => self.two(BinaryOp::Equal),
            ('=', Some('~')) => return Err(self.bad_char("unexpected character after '=': ", next)),
            ('=', _) => Kind::Assign,
            ('!', Some('=')) => self.two(BinaryOp::NotEqual),
            ('!', _) => return Err(self.bad_char("unexpected character after '!': ", next)),
            ('<', Some('=')) => self.two(BinaryOp::LessEqual),
            ('<', Some('/')) => self.two(BinaryOp::TrimUpper),
            ('<', _) => Kind::Op(BinaryOp::Less),
            (_, Some('=')) => self.two(BinaryOp::GreaterEqual),
            (_, Some('/')) => self.two(BinaryOp::TrimLower),
            (_, _) => Kind::Op(BinaryOp::Greater),
        })
    }

    /// An operator of two ASCII characters, of which one is read.
    fn two(&mut self, op: BinaryOp) -> Kind {
        self.pos += 1;
        Kind::Op(op)
    }

    fn paren(&mut self, c: char) -> Result<Kind> {
        if c == '(' {
            self.open_parens += 1;
            return Ok(Kind::LeftParen);
        }
        match self.open_parens.checked_sub(1) {
            Some(left) => self.open_parens = left,
            None => return Err(self.bad_char("unexpected right parenthesis ", Some(c))),
        }
        Ok(Kind::RightParen)
    }

    fn in_braces(&mut self) -> Result<Kind> {
        let Some(c) = self.next() else {
            return Err(self.error("unexpected end of input inside braces"));
        };
        Ok(match c {
            ',' => Kind::Comma,
            '}' => {
                self.in_braces = false;
                Kind::RightBrace
            }
            '=' if self.accept("~") => Kind::EqualRegex,
            '=' => Kind::Assign,
            '!' if self.accept("~") => Kind::NotEqualRegex,
            '!' if self.accept("=") => Kind::Op(BinaryOp::NotEqual),
            '!' => return Err(self.bad_char("unexpected character after '!' inside braces: ", self.peek())),
            '"' | '\'' => return self.string(c),
            '`' => return self.raw_string(),
            '{' => return Err(self.bad_char("unexpected left brace ", Some(c))),
            c if c.is_ascii_alphabetic() || c == '_' => {
                self.skip_while(is_word);
                Kind::Identifier
            }
            c => return Err(self.bad_char("unexpected character inside braces: ", Some(c))),
        })
    }

    fn in_brackets(&mut self) -> Result<Kind> {
        let Some(c) = self.next() else {
            return Err(self.error(match (self.got_number, self.open_parens) {
                (false, _) => "unexpected end of input in duration expression",
                (true, 0) => "unclosed left bracket",
                (true, _) => "unclosed left parenthesis",
            }));
        };
        let first = !std::mem::replace(&mut self.got_token, true);
        Ok(match c {
            ']' => {
                self.in_brackets = false;
                Kind::RightBracket
            }
            ':' if first => return Err(self.error("unexpected colon before duration in duration expression")),
            ':' if self.got_colon => return Err(self.bad_char("unexpected colon ", Some(c))),
            ':' => {
                self.got_colon = true;
                Kind::Colon
            }
            '[' => return Err(self.bad_char("unexpected left bracket ", Some(c))),
            '(' | ')' => return self.paren(c),
            '+' => Kind::Op(BinaryOp::Add),
            '-' => Kind::Op(BinaryOp::Sub),
            '*' => Kind::Op(BinaryOp::Mul),
            '/' => Kind::Op(BinaryOp::Div),
            '%' => Kind::Op(BinaryOp::Mod),
            '^' => Kind::Op(BinaryOp::Pow),
            ',' => Kind::Comma,
            c if c.is_ascii_digit() || (c == '.' && self.peek().is_some_and(|d| d.is_ascii_digit())) => {
                self.got_number = true;
                return self.number();
            }
            c if c.is_ascii_alphabetic() => {
                self.skip_while(is_word);
                let word = self.text.get(self.start..self.pos).unwrap_or("");
                match keyword(word) {
                    Some(
                        kind
                        @ Kind::Keyword(Keyword::Step | Keyword::Range | Keyword::MinOf | Keyword::MaxOf),
                    ) => kind,
                    _ => return Err(self.bad_in_brackets(c)),
                }
            }
            c => return Err(self.bad_in_brackets(c)),
        })
    }

    fn bad_in_brackets(&self, c: char) -> ParseError {
        if self.got_number {
            self.error(format!("unexpected character: {}, expected ':'", quote_char(c)))
        } else {
            self.bad_char("unexpected character in duration expression: ", Some(c))
        }
    }

    fn skip_while(&mut self, is: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.pos += rest.find(|c| !is(c)).unwrap_or(rest.len());
    }

    /// A keyword or an identifier whose first character is read.
    fn word(&mut self) -> Kind {
        self.skip_while(|c| is_word(c) || c == ':');
        let word = self.text.get(self.start..self.pos).unwrap_or("");
        match keyword(word) {
            // `fill` came late to the language: it stays a metric's name unless a parenthesis follows.
            Some(Kind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight))
                if !self
                    .rest()
                    .trim_start_matches([' ', '\t', '\n', '\r'])
                    .starts_with('(') =>
            {
                Kind::Identifier
            }
            Some(kind) => kind,
            None if word.contains(':') => Kind::MetricIdentifier,
            None => Kind::Identifier,
        }
    }

    /// A number or a duration, from its start.
    fn number(&mut self) -> Result<Kind> {
        self.pos = self.start;
        if self.scan_number() {
            return Ok(Kind::Number);
        }
        if self.scan_units() {
            return Ok(Kind::Duration);
        }
        let text = self.text.get(self.start..self.pos).unwrap_or("");
        Err(self.error(format!(
            "bad number or duration syntax: {}",
            super::quote::quote(text)
        )))
    }

    /// Reads what looks like a number; false when it cannot be one. Stops behind the character at fault.
    fn scan_number(&mut self) -> bool {
        let hex = self.rest().starts_with("0x") || self.rest().starts_with("0X");
        if hex {
            self.pos += 2;
        }
        let (mut dot, mut exponent) = (false, false);
        while let Some(c) = self.peek() {
            match c {
                _ if c.is_ascii_digit() || (hex && c.is_ascii_hexdigit()) => self.pos += 1,
                '_' => {
                    self.pos += 1;
                    if self.accept("._eE") || self.peek().is_none() {
                        return false;
                    }
                }
                '.' => {
                    self.pos += 1;
                    if std::mem::replace(&mut dot, true) || self.accept("_.") || hex {
                        return false;
                    }
                }
                'e' | 'E' => {
                    self.pos += 1;
                    if std::mem::replace(&mut exponent, true) {
                        return false;
                    }
                    self.accept("+-");
                    if self.accept("._eE") || self.peek().is_none() {
                        return false;
                    }
                }
                _ => break,
            }
        }
        !self.peek().is_some_and(is_word)
    }

    /// Reads the units of a duration whose first number is read; whether they are in order is looked at later.
    fn scan_units(&mut self) -> bool {
        if !self.accept("smhdwy") {
            return false;
        }
        self.accept("s");
        while self.accept("0123456789") {
            self.skip_while(|c| c.is_ascii_digit());
            if !self.accept("smhdw") {
                return false;
            }
            self.accept("s");
        }
        if self.peek().is_some_and(is_word) {
            self.pos += 1;
            return false;
        }
        true
    }

    /// A string with escapes whose quote is read.
    fn string(&mut self, quote: char) -> Result<Kind> {
        loop {
            match self.next() {
                None | Some('\n') => return Err(self.error("unterminated quoted string")),
                Some('\\') => self.escape(quote)?,
                Some(c) if c == quote => return Ok(Kind::String),
                Some(_) => {}
            }
        }
    }

    fn raw_string(&mut self) -> Result<Kind> {
        match self.rest().find('`') {
            Some(at) => {
                self.pos += at + 1;
                Ok(Kind::String)
            }
            None => Err(self.error("unterminated raw string")),
        }
    }

    /// An escape whose backslash is read.
    fn escape(&mut self, quote: char) -> Result<()> {
        let unterminated = "escape sequence not terminated";
        let Some(c) = self.next() else {
            return Err(self.error(unterminated));
        };
        let (digits, radix, highest) = match c {
            'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => return Ok(()),
            c if c == quote => return Ok(()),
            '0'..='7' => {
                self.pos -= 1;
                (3, 8, 255)
            }
            'x' => (2, 16, 255),
            'u' => (4, 16, 0x10_ffff),
            'U' => (8, 16, 0x10_ffff),
            c => return Err(self.error(format!("unknown escape sequence {}", code_point(c)))),
        };
        let mut code = 0u64;
        for _ in 0..digits {
            let Some(c) = self.next() else {
                return Err(self.error(unterminated));
            };
            let Some(digit) = c.to_digit(radix) else {
                return Err(self.error(format!("illegal character {} in escape sequence", code_point(c))));
            };
            code = code * u64::from(radix) + u64::from(digit);
        }
        if code > highest || (0xd800..0xe000).contains(&code) {
            return Err(self.error("escape sequence is an invalid Unicode code point"));
        }
        Ok(())
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// A character as Go's `%#U` writes it: `U+0071 'q'`.
fn code_point(c: char) -> String {
    format!("U+{:04X} '{c}'", u32::from(c))
}
