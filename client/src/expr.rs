//! PromQL put together from parts, with values escaped: a name from a command line can never become a part of the query.

use std::fmt::Write as _;

/// Rates are means over so much: long enough for targets that are scraped once a minute.
pub const RATE_WINDOW: &str = "5m";

/// The label that tells the parts of a union apart.
pub(crate) const PART: &str = "part";

/// A selector: a metric with matchers, built up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    metric: String,
    matchers: String,
}

impl Selector {
    /// All series of a metric.
    #[must_use]
    pub fn metric(name: &str) -> Self {
        Self {
            metric: name.to_owned(),
            matchers: String::new(),
        }
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

    /// Only those whose value does not match this expression, which is ours and no input.
    #[must_use]
    pub(crate) fn not_like(self, name: &str, pattern: &str) -> Self {
        self.add(name, "!~", pattern)
    }

    fn add(mut self, name: &str, operator: &str, value: &str) -> Self {
        if !self.matchers.is_empty() {
            self.matchers.push(',');
        }
        // Writing to a String cannot fail.
        let _ = write!(self.matchers, "{name}{operator}\"{}\"", escape(value));
        self
    }

    /// `rate(...[5m])`
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

/// A label value between double quotes.
#[must_use]
pub fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
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

/// Several expressions in one query: each one's series get the label `part` with its name.
pub(crate) fn union(parts: &[(&str, String)]) -> String {
    let labelled: Vec<String> = parts
        .iter()
        .map(|(name, expr)| {
            format!(
                "label_replace({expr}, \"{PART}\", \"{}\", \"\", \"\")",
                escape(name)
            )
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
    }

    #[test]
    fn a_union_tells_its_parts_apart() {
        let text = union(&[("a", "x".to_owned()), ("b", "y".to_owned())]);
        assert_eq!(
            text,
            r#"label_replace(x, "part", "a", "", "") or label_replace(y, "part", "b", "", "")"#
        );
    }
}
