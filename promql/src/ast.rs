//! What a query is, after parsing: a tree of [`Expr`] nodes, each with its place in the text.
//!
//! The tree is as written: parentheses, `@ start()`, duration expressions and `-x` are nodes, so that it can be printed back.
//! Types are checked by the parser; the engine relies on it (an argument of `rate` is a range vector).
//! Numbers in durations are milliseconds.

use model::Matcher;

/// Where a node stands in the query: byte offsets, end exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
}

/// What a node evaluates to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// One float a step.
    Scalar,
    /// A string; only literals.
    String,
    /// One value a series and step.
    Vector,
    /// A range of samples a series and step; selectors and subqueries.
    Matrix,
}

impl ValueType {
    /// As Prometheus' error messages name it: `scalar`, `string`, `instant vector`, `range vector`.
    #[must_use]
    pub fn documented(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::String => "string",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
        }
    }

    /// As the HTTP API names it: `scalar`, `string`, `vector`, `matrix`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::String => "string",
            Self::Vector => "vector",
            Self::Matrix => "matrix",
        }
    }
}

/// A node with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands.
    pub span: Span,
}

/// The kinds of nodes.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// `1.5`, `0x1f`, `Inf`.
    Number(f64),
    /// `1h`: a number of seconds that was written, and is printed, as a duration.
    Duration(f64),
    /// `"text"`, unescaped.
    String(String),
    /// `"\xff"`: a string that is not UTF-8, unescaped. Only the label of `count_values` may be one, which the engine refuses
    /// as no label's name, as upstream does; elsewhere the parser refuses it.
    BadString(Vec<u8>),
    /// `metric{...} @ ... offset ...`
    Selector(Selector),
    /// `metric{...}[5m] @ ... offset ...`
    Range(RangeSelector),
    /// `expr[1h:5m] @ ... offset ...`
    Subquery(Box<Subquery>),
    /// `f(args)`
    Call(Call),
    /// `sum by (a) (expr)`
    Aggregate(Box<Aggregate>),
    /// `-expr`, `+expr`
    Unary(UnaryOp, Box<Expr>),
    /// `lhs op rhs`
    Binary(Box<Binary>),
    /// `(expr)`
    Paren(Box<Expr>),
}

/// An instant selector.
#[derive(Debug, Clone, PartialEq)]
pub struct Selector {
    /// The name before the braces (`metric{...}`), when it stands there. Also present as a matcher on `__name__`.
    pub name: Option<String>,
    /// All conditions, the one on `__name__` included; equal-to-empty ones too.
    pub matchers: Vec<Matcher>,
    /// `offset`, `@`, `anchored`, `smoothed`.
    pub modifiers: Modifiers,
}

/// A range selector. Its modifiers stand on `selector`.
#[derive(Debug, Clone, PartialEq)]
pub struct RangeSelector {
    /// Which series.
    pub selector: Selector,
    /// How far back.
    pub range: DurationExpr,
}

/// A subquery.
#[derive(Debug, Clone, PartialEq)]
pub struct Subquery {
    /// Evaluated at every step within the range.
    pub expr: Expr,
    /// How far back.
    pub range: DurationExpr,
    /// Distance of the inner steps; `None` is the default evaluation interval.
    pub step: Option<DurationExpr>,
    /// `offset`, `@`.
    pub modifiers: Modifiers,
}

/// What can follow a selector or a subquery.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Modifiers {
    /// `offset d`; may be negative.
    pub offset: Option<DurationExpr>,
    /// `@ ...`.
    pub at: Option<At>,
    /// `anchored` (extended range selectors).
    pub anchored: bool,
    /// `smoothed` (extended range selectors).
    pub smoothed: bool,
}

/// The fixed time of an `@` modifier.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum At {
    /// `@ 1234.5`, in milliseconds.
    Time(i64),
    /// `@ start()`
    Start,
    /// `@ end()`
    End,
}

/// A duration, possibly computed from the query's own range and step.
#[derive(Debug, Clone, PartialEq)]
pub struct DurationExpr {
    /// What it is.
    pub kind: DurationKind,
    /// Where it stands.
    pub span: Span,
}

/// The kinds of duration expressions. Numbers are seconds, as written; the result of the whole is turned to milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub enum DurationKind {
    /// `5m`, or a bare number of seconds; kept in seconds, `written` is true for the unit form.
    Literal {
        /// Seconds.
        seconds: f64,
        /// With units (`5m`) and not as a bare number (`300`).
        units: bool,
    },
    /// `step()`: the query's step.
    Step,
    /// `range()`: end minus start of the query.
    Range,
    /// `min_of(a, b)`
    Min(Box<DurationExpr>, Box<DurationExpr>),
    /// `max_of(a, b)`
    Max(Box<DurationExpr>, Box<DurationExpr>),
    /// `-d`, `+d`
    Unary(UnaryOp, Box<DurationExpr>),
    /// `a + b`, `- * / % ^`
    Binary(BinaryOp, Box<DurationExpr>, Box<DurationExpr>),
    /// `(d)`
    Paren(Box<DurationExpr>),
}

/// A function call.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The row of the function table.
    pub func: &'static crate::signature::Function,
    /// Arguments as written (defaults are not filled in).
    pub args: Vec<Expr>,
}

/// An aggregation.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// Which.
    pub op: AggregateOp,
    /// The first argument of `topk`, `quantile`, `count_values`, ...
    pub param: Option<Expr>,
    /// What is aggregated.
    pub expr: Expr,
    /// `by` or `without`; `None` aggregates everything into one group.
    pub grouping: Option<Grouping>,
}

/// `by (a, b)` or `without (a, b)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grouping {
    /// `without` instead of `by`.
    pub without: bool,
    /// The labels as written.
    pub labels: Vec<String>,
}

/// The aggregation operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the operator of the same name")]
pub enum AggregateOp {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    TopK,
    BottomK,
    CountValues,
    Quantile,
    LimitK,
    LimitRatio,
}

impl AggregateOp {
    /// All operators with their names: the one table for parser and printer.
    pub const ALL: [(&'static str, Self); 14] = [
        ("sum", Self::Sum),
        ("avg", Self::Avg),
        ("count", Self::Count),
        ("min", Self::Min),
        ("max", Self::Max),
        ("group", Self::Group),
        ("stddev", Self::Stddev),
        ("stdvar", Self::Stdvar),
        ("topk", Self::TopK),
        ("bottomk", Self::BottomK),
        ("count_values", Self::CountValues),
        ("quantile", Self::Quantile),
        ("limitk", Self::LimitK),
        ("limit_ratio", Self::LimitRatio),
    ];

    /// The operator's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, op)| *op == self)
            .map_or("", |(name, _)| name)
    }

    /// Does it take a parameter before the vector?
    #[must_use]
    pub fn takes_param(self) -> bool {
        matches!(
            self,
            Self::TopK | Self::BottomK | Self::CountValues | Self::Quantile | Self::LimitK | Self::LimitRatio
        )
    }
}

/// Sign operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnaryOp {
    /// `+`
    Plus,
    /// `-`
    Minus,
}

/// The binary operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "each is the operator of the same name; the table has its spelling"
)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    And,
    Or,
    Unless,
    /// `</`: trims a histogram's buckets above (native histograms only).
    TrimUpper,
    /// `>/`: trims a histogram's buckets below (native histograms only).
    TrimLower,
}

impl BinaryOp {
    /// All operators with their spelling.
    pub const ALL: [(&'static str, Self); 18] = [
        ("+", Self::Add),
        ("-", Self::Sub),
        ("*", Self::Mul),
        ("/", Self::Div),
        ("%", Self::Mod),
        ("^", Self::Pow),
        ("atan2", Self::Atan2),
        ("==", Self::Equal),
        ("!=", Self::NotEqual),
        ("<", Self::Less),
        ("<=", Self::LessEqual),
        (">", Self::Greater),
        (">=", Self::GreaterEqual),
        ("and", Self::And),
        ("or", Self::Or),
        ("unless", Self::Unless),
        ("</", Self::TrimUpper),
        (">/", Self::TrimLower),
    ];

    /// As PromQL writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, op)| *op == self)
            .map_or("", |(text, _)| text)
    }

    /// `==`, `!=`, `<`, `<=`, `>`, `>=`.
    #[must_use]
    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Equal | Self::NotEqual | Self::Less | Self::LessEqual | Self::Greater | Self::GreaterEqual
        )
    }

    /// `and`, `or`, `unless`.
    #[must_use]
    pub fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }
}

/// A binary operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    /// Which.
    pub op: BinaryOp,
    /// Left side.
    pub lhs: Expr,
    /// Right side.
    pub rhs: Expr,
    /// `bool` after a comparison.
    pub return_bool: bool,
    /// How vectors are matched; `None` unless both sides are vectors.
    pub matching: Option<Matching>,
}

/// How the two sides of a vector operation find each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Matching {
    /// One-to-one, many-to-one (`group_left`), one-to-many, or many-to-many (set operators).
    pub card: Cardinality,
    /// `on` (true) or `ignoring` (false; also when neither stands there).
    pub on: bool,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// The labels of `group_left` or `group_right`: taken from the one side.
    pub include: Vec<String>,
    /// `fill`, `fill_left`: the value for a left sample that is missing.
    pub fill_left: Option<f64>,
    /// `fill`, `fill_right`: the value for a right sample that is missing.
    pub fill_right: Option<f64>,
}

/// How many partners a sample may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are upstream's and say it")]
pub enum Cardinality {
    OneToOne,
    ManyToOne,
    OneToMany,
    ManyToMany,
}

impl Expr {
    /// What the node evaluates to.
    #[must_use]
    pub fn value_type(&self) -> ValueType {
        match &self.kind {
            ExprKind::Number(_) | ExprKind::Duration(_) => ValueType::Scalar,
            ExprKind::String(_) | ExprKind::BadString(_) => ValueType::String,
            ExprKind::Selector(_) | ExprKind::Aggregate(_) => ValueType::Vector,
            ExprKind::Range(_) | ExprKind::Subquery(_) => ValueType::Matrix,
            ExprKind::Call(call) => call.func.returns,
            ExprKind::Unary(_, expr) | ExprKind::Paren(expr) => expr.value_type(),
            ExprKind::Binary(binary) => match (binary.lhs.value_type(), binary.rhs.value_type()) {
                (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
                _ => ValueType::Vector,
            },
        }
    }

    /// The node without parentheses around it.
    #[must_use]
    pub fn without_parens(&self) -> &Self {
        match &self.kind {
            ExprKind::Paren(inner) => inner.without_parens(),
            _ => self,
        }
    }
}
