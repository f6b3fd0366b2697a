//! The kinds of tokens, the table of keywords, and how errors describe a token.

use crate::ast::{AggregateOp, BinaryOp, Span};

/// A token: what it is and where it stands. Its text is looked up in the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) span: Span,
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Eof,
    Comma,
    Colon,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    /// `=`
    Assign,
    /// `=~`
    EqualRegex,
    /// `!~`
    NotEqualRegex,
    At,
    /// An operator; `!=` also stands between a label and its value.
    Op(BinaryOp),
    Aggregate(AggregateOp),
    Keyword(Keyword),
    Identifier,
    /// An identifier with a colon in it.
    MetricIdentifier,
    Number,
    Duration,
    /// With its quotes; the escapes are known to be right.
    String,
}

/// Words with a meaning of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyword {
    Offset,
    Smoothed,
    Anchored,
    By,
    Without,
    On,
    Ignoring,
    GroupLeft,
    GroupRight,
    Fill,
    FillLeft,
    FillRight,
    Bool,
    Start,
    End,
    Step,
    Range,
    MinOf,
    MaxOf,
}

const KEYWORDS: [(&str, Keyword); 19] = [
    ("offset", Keyword::Offset),
    ("smoothed", Keyword::Smoothed),
    ("anchored", Keyword::Anchored),
    ("by", Keyword::By),
    ("without", Keyword::Without),
    ("on", Keyword::On),
    ("ignoring", Keyword::Ignoring),
    ("group_left", Keyword::GroupLeft),
    ("group_right", Keyword::GroupRight),
    ("fill", Keyword::Fill),
    ("fill_left", Keyword::FillLeft),
    ("fill_right", Keyword::FillRight),
    ("bool", Keyword::Bool),
    ("start", Keyword::Start),
    ("end", Keyword::End),
    ("step", Keyword::Step),
    ("range", Keyword::Range),
    ("min_of", Keyword::MinOf),
    ("max_of", Keyword::MaxOf),
];

/// What a word means outside of braces: keywords in any case, or `None` for an identifier.
pub(super) fn keyword(word: &str) -> Option<Kind> {
    // The longest keyword has 12 letters; long names need not be folded.
    if word.len() > 12 {
        return None;
    }
    let word = word.to_ascii_lowercase();
    if word == "inf" || word == "nan" {
        return Some(Kind::Number);
    }
    let op = BinaryOp::ALL
        .iter()
        .find(|(name, _)| *name == word)
        .map(|(_, op)| Kind::Op(*op));
    let aggregate = || {
        AggregateOp::ALL
            .iter()
            .find(|(name, _)| *name == word)
            .map(|(_, op)| Kind::Aggregate(*op))
    };
    let keyword = || {
        KEYWORDS
            .iter()
            .find(|(name, _)| *name == word)
            .map(|(_, k)| Kind::Keyword(*k))
    };
    op.or_else(aggregate).or_else(keyword)
}

impl Keyword {
    /// Words that stand for times and durations; upstream keeps them apart from the other keywords.
    pub(super) fn is_preprocessor(self) -> bool {
        matches!(
            self,
            Self::Start | Self::End | Self::Step | Self::Range | Self::MinOf | Self::MaxOf
        )
    }
}

impl Kind {
    /// Can this word be a metric's name where an expression starts?
    pub(super) fn is_metric_name(self) -> bool {
        match self {
            Self::Identifier | Self::MetricIdentifier | Self::Aggregate(_) => true,
            Self::Op(op) => op.is_set(),
            Self::Keyword(word) => {
                word.is_preprocessor()
                    || matches!(
                        word,
                        Keyword::By
                            | Keyword::Offset
                            | Keyword::Without
                            | Keyword::Anchored
                            | Keyword::Smoothed
                    )
            }
            _ => false,
        }
    }

    /// Can this word be a label's name in `by (...)` and the like?
    pub(super) fn is_label_name(self) -> bool {
        match self {
            Self::Identifier | Self::MetricIdentifier | Self::Aggregate(_) => true,
            Self::Op(op) => op.is_set() || op == BinaryOp::Atan2,
            Self::Keyword(word) => word != Keyword::Without,
            _ => false,
        }
    }
}

/// A token in the words of upstream's errors: `identifier "foo"`, `<op:+>`, `end of input`.
pub(super) fn describe(kind: Kind, text: &str) -> String {
    match kind {
        Kind::Eof => "end of input".to_owned(),
        Kind::Identifier => format!("identifier {}", super::quote::quote(text)),
        Kind::MetricIdentifier => format!("metric identifier {}", super::quote::quote(text)),
        Kind::Keyword(word) if !word.is_preprocessor() => format!("<{text}>"),
        Kind::Op(_) | Kind::At | Kind::EqualRegex | Kind::NotEqualRegex => format!("<op:{text}>"),
        Kind::Aggregate(_) => format!("<aggr:{text}>"),
        Kind::String => format!("string {}", shortened(text)),
        Kind::Number => format!("number {}", shortened(text)),
        Kind::Duration => format!("duration {}", shortened(text)),
        Kind::Comma
        | Kind::Colon
        | Kind::LeftParen
        | Kind::RightParen
        | Kind::LeftBrace
        | Kind::RightBrace
        | Kind::LeftBracket
        | Kind::RightBracket
        | Kind::Assign
        | Kind::Keyword(_) => shortened(text),
    }
}

fn shortened(text: &str) -> String {
    if text.len() <= 10 {
        return super::quote::quote(text);
    }
    let head: String = text.chars().take(10).collect();
    format!("{}...", super::quote::quote(&head))
}
