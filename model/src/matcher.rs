//! One condition on a label, as in `{job="node", instance!~"a.*"}`.

use std::fmt;

use regex::Regex;

use crate::escape_label_value;

/// How a label is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl MatchOp {
    /// As PromQL writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

/// A regular expression that cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {reason} in \"{pattern}\"")]
pub struct MatcherError {
    /// The pattern as written.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A condition on one label. A label that is not there has the empty value, so `{a=""}` and `{a!~".+"}`
/// match series without `a`.
#[derive(Debug, Clone)]
pub struct Matcher {
    name: String,
    op: MatchOp,
    value: String,
    regex: Option<Regex>,
    /// When the expression is an alternation of plain strings (`a|b|c`): those, so that an index need not be scanned.
    set: Option<Vec<String>>,
}

impl Matcher {
    /// A condition; regular expressions are anchored at both ends and `.` matches newlines, as in Prometheus 3.
    ///
    /// # Errors
    /// [`MatcherError`] when the expression does not compile or is too large.
    pub fn new(name: impl Into<String>, op: MatchOp, value: impl Into<String>) -> Result<Self, MatcherError> {
        let value = value.into();
        let (regex, set) = match op {
            MatchOp::Equal | MatchOp::NotEqual => (None, None),
            MatchOp::Regex | MatchOp::NotRegex => {
                let regex = Regex::new(&format!("^(?s:{value})$")).map_err(|e| MatcherError {
                    pattern: value.clone(),
                    reason: first_line(&e.to_string()),
                })?;
                (Some(regex), plain_alternation(&value))
            }
        };
        Ok(Self {
            name: name.into(),
            op,
            value,
            regex,
            set,
        })
    }

    /// `name="value"`, which cannot fail.
    #[must_use]
    pub fn equal(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            op: MatchOp::Equal,
            value: value.into(),
            regex: None,
            set: None,
        }
    }

    /// The label's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The comparison.
    #[must_use]
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// The value or pattern as written.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Does a label with this value (empty: no such label) fulfil the condition?
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        match self.op {
            MatchOp::Equal => value == self.value,
            MatchOp::NotEqual => value != self.value,
            MatchOp::Regex => self.regex_matches(value),
            MatchOp::NotRegex => !self.regex_matches(value),
        }
    }

    /// Would a series without the label match? Then the index alone cannot find all series.
    #[must_use]
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    /// For `=` and for `=~` over plain alternatives: the only values that can match.
    #[must_use]
    pub fn set_matches(&self) -> Option<Vec<&str>> {
        match self.op {
            MatchOp::Equal => Some(vec![&self.value]),
            MatchOp::Regex => Some(self.set.as_ref()?.iter().map(String::as_str).collect()),
            MatchOp::NotEqual | MatchOp::NotRegex => None,
        }
    }

    fn regex_matches(&self, value: &str) -> bool {
        match (&self.set, &self.regex) {
            (Some(set), _) if set.len() <= 16 => set.iter().any(|s| s == value),
            (_, Some(regex)) => regex.is_match(value),
            (_, None) => false,
        }
    }
}

/// `a|b|c` with nothing special in it, as its alternatives.
fn plain_alternation(pattern: &str) -> Option<Vec<String>> {
    if pattern.contains(['.', '+', '*', '?', '(', ')', '[', ']', '{', '}', '\\', '^', '$']) {
        return None;
    }
    Some(pattern.split('|').map(str::to_owned).collect())
}

fn first_line(text: &str) -> String {
    // The regex crate draws the pattern with a caret; its last line is the sentence.
    let last = text.lines().last().unwrap_or(text).trim();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.op == other.op && self.value == other.value
    }
}

impl Eq for Matcher {}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = self.name.chars().next().is_some_and(|c| !c.is_ascii_digit())
            && self.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if bare {
            f.write_str(&self.name)?;
        } else {
            write!(f, "\"{}\"", escape_label_value(&self.name))?;
        }
        write!(f, "{}\"{}\"", self.op.as_str(), escape_label_value(&self.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(op: MatchOp, pattern: &str, value: &str, want: bool) {
        let matcher = Matcher::new("l", op, pattern).unwrap();
        assert_eq!(matcher.matches(value), want, "{matcher} on {value:?}");
    }

    #[test]
    fn expressions_are_anchored_and_dots_match_newlines() {
        check(MatchOp::Regex, "a.c", "abc", true);
        check(MatchOp::Regex, "a.c", "xabc", false);
        check(MatchOp::Regex, "a.c", "a\nc", true);
        check(MatchOp::NotRegex, "a|b", "c", true);
        check(MatchOp::Regex, "a|b", "ab", false);
        check(MatchOp::Regex, "", "", true);
        check(MatchOp::Regex, "a|", "", true);
        check(MatchOp::NotEqual, "", "x", true);
    }

    #[test]
    fn plain_alternatives_are_a_set() {
        let m = Matcher::new("l", MatchOp::Regex, "a|b").unwrap();
        assert_eq!(m.set_matches(), Some(vec!["a", "b"]));
        assert_eq!(
            Matcher::new("l", MatchOp::Regex, "a.*").unwrap().set_matches(),
            None
        );
    }

    #[test]
    fn a_bad_expression_names_itself() {
        let err = Matcher::new("l", MatchOp::Regex, "a(").unwrap_err();
        assert!(err.to_string().contains("\"a(\""), "{err}");
    }
}
