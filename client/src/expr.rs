//! PromQL put together from parts. Values are escaped, so that a name from a command line or a form can never become a part of the
//! query; names that PromQL could read as something else are written in the form that it cannot.
//!
//! ```
//! use client::expr::{Selector, sum_by};
//!
//! let web = Selector::metric("container_cpu_usage_seconds_total").label("app", "shop \"web\"");
//! assert_eq!(
//!     sum_by(&["name"], &web.rate()),
//!     r#"sum by (name) (rate(container_cpu_usage_seconds_total{app="shop \"web\""}[5m]))"#
//! );
//! ```

use std::fmt::Write as _;

/// Rates are means over so much: long enough for targets that are scraped once a minute.
pub const RATE_WINDOW: &str = "5m";
/// The same in seconds.
pub const RATE_WINDOW_S: u64 = 300;

/// The label that tells the parts of a union apart.
pub const PART: &str = "part";

/// Words that the parser does not take as the name of a metric everywhere.
const WORDS: &[&str] = &[
    "and",
    "or",
    "unless",
    "atan2",
    "offset",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "bool",
    "inf",
    "nan",
    "start",
    "end",
    "step",
    "range",
    "anchored",
    "smoothed",
    "fill",
    "fill_left",
    "fill_right",
    "sum",
    "avg",
    "count",
    "min",
    "max",
    "group",
    "stddev",
    "stdvar",
    "topk",
    "bottomk",
    "count_values",
    "quantile",
    "limitk",
    "limit_ratio",
];

/// A selector: a metric with matchers, built up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    metric: String,
    matchers: String,
}

impl Selector {
    /// All series of a metric. An empty name stands for any metric: then a matcher must follow.
    #[must_use]
    pub fn metric(name: &str) -> Self {
        let selector = Self {
            metric: String::new(),
            matchers: String::new(),
        };
        if name.is_empty() {
            return selector;
        }
        if is_plain(name, ":") && !WORDS.contains(&name.to_ascii_lowercase().as_str()) {
            return Self {
                metric: name.to_owned(),
                ..selector
            };
        }
        selector.label("__name__", name)
    }

    /// All series of any of these metrics.
    #[must_use]
    pub fn any_of(names: &[&str]) -> Self {
        Self::metric("").label_any("__name__", names)
    }

    /// Only those with this value.
    #[must_use]
    pub fn label(self, name: &str, value: &str) -> Self {
        self.add(name, "=", value)
    }

    /// Only those without this value.
    #[must_use]
    pub fn not_label(self, name: &str, value: &str) -> Self {
        self.add(name, "!=", value)
    }

    /// Only those with one of these values.
    #[must_use]
    pub fn label_any<S: AsRef<str>>(self, name: &str, values: &[S]) -> Self {
        let escaped: Vec<String> = values.iter().map(|value| escape_regex(value.as_ref())).collect();
        self.add(name, "=~", &escaped.join("|"))
    }

    /// Only those whose whole value matches a regular expression (RE2's syntax). What comes from outside belongs through
    /// [`escape_regex`] first.
    #[must_use]
    pub fn like(self, name: &str, pattern: &str) -> Self {
        self.add(name, "=~", pattern)
    }

    /// Only those whose whole value does not match a regular expression; see [`Selector::like`].
    #[must_use]
    pub fn not_like(self, name: &str, pattern: &str) -> Self {
        self.add(name, "!~", pattern)
    }

    fn add(mut self, name: &str, operator: &str, value: &str) -> Self {
        if !self.matchers.is_empty() {
            self.matchers.push(',');
        }
        // Writing to a String cannot fail.
        let _ = if is_plain(name, "") {
            write!(self.matchers, "{name}{operator}\"{}\"", escape(value))
        } else {
            // Prometheus 3 takes any name between quotes.
            write!(
                self.matchers,
                "\"{}\"{operator}\"{}\"",
                escape(name),
                escape(value)
            )
        };
        self
    }

    /// `metric{...}[300s]`
    #[must_use]
    pub fn over(&self, window_s: u64) -> String {
        format!("{self}[{window_s}s]")
    }

    /// `rate(metric{...}[5m])`
    #[must_use]
    pub fn rate(&self) -> String {
        format!("rate({self}[{RATE_WINDOW}])")
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{{{}}}", self.metric, self.matchers)
    }
}

/// Is it a name that stands without quotes: ASCII letters, digits, `_` and what is `also` allowed?
fn is_plain(name: &str, also: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || also.contains(c);
    !name.is_empty() && name.chars().all(fits) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// A text as it stands between double quotes.
#[must_use]
pub fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            // Upstream's lexer takes this character for broken UTF-8.
            '\u{fffd}' => out.push_str("\\ufffd"),
            c if c.is_ascii_control() => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// Text that a regular expression takes at its word. The anchors are Prometheus' own.
#[must_use]
pub fn escape_regex(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// `sum by (a, b) (expr)`
#[must_use]
pub fn sum_by(labels: &[&str], expr: &str) -> String {
    by("sum", labels, expr)
}

/// `max by (a, b) (expr)`
#[must_use]
pub fn max_by(labels: &[&str], expr: &str) -> String {
    by("max", labels, expr)
}

fn by(aggregation: &str, labels: &[&str], expr: &str) -> String {
    if labels.is_empty() {
        return format!("{aggregation}({expr})");
    }
    // The two words that are numbers are none when they stand between quotes.
    let is_number = |label: &str| ["nan", "inf"].contains(&label.to_ascii_lowercase().as_str());
    let quoted: Vec<String> = labels
        .iter()
        .map(|label| match is_plain(label, "") && !is_number(label) {
            true => (*label).to_owned(),
            false => format!("\"{}\"", escape(label)),
        })
        .collect();
    format!("{aggregation} by ({}) ({expr})", quoted.join(", "))
}

/// Several expressions in one query: each one's series get the label [`PART`] with its name. An expression may not have that label
/// itself.
#[must_use]
pub fn union(parts: &[(&str, String)]) -> String {
    let labelled: Vec<String> = parts
        .iter()
        .map(|(name, expr)| {
            // `$` would stand for a group of the expression.
            let name = escape(&name.replace('$', "$$"));
            format!("label_replace({expr}, \"{PART}\", \"{name}\", \"\", \"\")")
        })
        .collect();
    labelled.join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_values() {
        let selector = Selector::metric("up").label("job", "a\"} or vector(1) #\\\n");
        assert_eq!(selector.to_string(), r#"up{job="a\"} or vector(1) #\\\n"}"#);
        let any = Selector::any_of(&["a", "b"]).label_any("id", &["/x.y", "(z"]);
        assert_eq!(any.to_string(), r#"{__name__=~"a|b",id=~"/x\\.y|\\(z"}"#);
        assert_eq!(
            Selector::metric("a").not_label("b", "").rate(),
            r#"rate(a{b!=""}[5m])"#
        );
        assert_eq!(Selector::metric("a").over(90), "a{}[90s]");
        assert_eq!(escape("\u{7}\u{fffd}"), r"\x07\ufffd");
    }

    #[test]
    fn names_stay_names() {
        for (name, want) in [
            ("a:b_1", "a:b_1{}"),
            ("sum", r#"{__name__="sum"}"#),
            ("NaN", r#"{__name__="NaN"}"#),
            ("1a", r#"{__name__="1a"}"#),
            ("up or x", r#"{__name__="up or x"}"#),
        ] {
            assert_eq!(Selector::metric(name).to_string(), want);
        }
        let label = Selector::metric("a").label("b\"c", "d");
        assert_eq!(label.to_string(), r#"a{"b\"c"="d"}"#);
        assert_eq!(
            sum_by(&["a", "b.c", "NaN"], "x"),
            r#"sum by (a, "b.c", "NaN") (x)"#
        );
        assert_eq!(max_by(&[], "x"), "max(x)");
    }

    #[test]
    fn a_union_tells_its_parts_apart() {
        let text = union(&[("a", "x".to_owned()), ("b$1", "y".to_owned())]);
        assert_eq!(
            text,
            r#"label_replace(x, "part", "a", "", "") or label_replace(y, "part", "b$$1", "", "")"#
        );
    }
}
