//! The name of a series: sorted pairs of label name and value, in one allocation.
//!
//! A [`Labels`] is a shared string in the *canonical encoding*: for each pair in rising order of the name
//!
//! ```text
//!   len(name) name len(value) value        len: groups of 6 bits, least significant first;
//!                                          bit 6 of a byte says that another follows; bit 7 is never set
//! ```
//!
//! The length bytes are ASCII, so the whole is valid UTF-8 and can be sliced as `&str` without `unsafe`
//! and without checking again. Equal labels have equal bytes, so a series can be hashed, compared and
//! looked up by the raw string ([`Labels::encoded`]), also when it lies in somebody else's buffer.
//! An empty value means that the label is not there, as in Prometheus; such pairs are never encoded.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// The label that holds the metric's name.
pub const METRIC_NAME: &str = "__name__";

/// Why a string is not the canonical encoding of labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LabelsError {
    /// A length runs past the end, or a length byte is not one.
    #[error("labels are cut short or hold a bad length at byte {0}")]
    Truncated(usize),
    /// Names do not rise strictly: unsorted or twice the same.
    #[error("label names are not in strictly rising order at byte {0}")]
    Unsorted(usize),
    /// A name or value is empty, which the canonical form leaves out.
    #[error("empty label name or value at byte {0}")]
    Empty(usize),
}

/// Sorted, unique label pairs; cheap to clone, compared by their pairs.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels(Arc<str>);

impl Labels {
    /// No labels at all.
    #[must_use]
    pub fn empty() -> Self {
        Self(Arc::from(""))
    }

    /// From pairs in any order. A later pair of the same name wins; empty values are left out.
    #[must_use]
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut builder = LabelsBuilder::new();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.build()
    }

    /// Takes a string that says it is canonical, after checking that it is.
    ///
    /// # Errors
    /// [`LabelsError`] when the encoding is damaged, unsorted or holds an empty part.
    pub fn from_encoded(encoded: &str) -> Result<Self, LabelsError> {
        let mut at = 0;
        let mut last: Option<&str> = None;
        while at < encoded.len() {
            let (name, after_name) = take(encoded, at).ok_or(LabelsError::Truncated(at))?;
            let (value, after) = take(encoded, after_name).ok_or(LabelsError::Truncated(after_name))?;
            if name.is_empty() || value.is_empty() {
                return Err(LabelsError::Empty(at));
            }
            if last.is_some_and(|last| last >= name) {
                return Err(LabelsError::Unsorted(at));
            }
            last = Some(name);
            at = after;
        }
        Ok(Self(Arc::from(encoded)))
    }

    /// The canonical encoding; equal labels give equal strings.
    #[must_use]
    pub fn encoded(&self) -> &str {
        &self.0
    }

    /// The pairs in rising order of the name.
    #[must_use]
    pub fn iter(&self) -> LabelsIter<'_> {
        LabelsIter { rest: &self.0 }
    }

    /// The value of a label, `None` when it is not there.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// The metric's name, empty when there is none.
    #[must_use]
    pub fn metric_name(&self) -> &str {
        self.get(METRIC_NAME).unwrap_or("")
    }

    /// Number of pairs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// True when there is no pair.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These labels without some names.
    #[must_use]
    pub fn without(&self, names: &[&str]) -> Self {
        if self.iter().all(|(n, _)| !names.contains(&n)) {
            return self.clone();
        }
        let mut out = String::with_capacity(self.0.len());
        for (name, value) in self.iter().filter(|(n, _)| !names.contains(n)) {
            push_pair(&mut out, name, value);
        }
        Self(Arc::from(out))
    }

    /// Only those labels whose names are given.
    #[must_use]
    pub fn only(&self, names: &[&str]) -> Self {
        let mut out = String::new();
        for (name, value) in self.iter().filter(|(n, _)| names.contains(n)) {
            push_pair(&mut out, name, value);
        }
        Self(Arc::from(out))
    }

    /// These labels with one set (or, with an empty value, removed).
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut builder = LabelsBuilder::from_labels(self);
        builder.set(name, value);
        builder.build()
    }
}

/// Appends one pair in the canonical encoding. The caller keeps the order and leaves empty values out.
pub(crate) fn push_pair(out: &mut String, name: &str, value: &str) {
    push_len(out, name.len());
    out.push_str(name);
    push_len(out, value.len());
    out.push_str(value);
}

fn push_len(out: &mut String, mut len: usize) {
    loop {
        let low = u8::try_from(len & 0x3f).unwrap_or(0);
        len >>= 6;
        if len == 0 {
            out.push(char::from(low));
            return;
        }
        out.push(char::from(low | 0x40));
    }
}

/// The string whose length stands at `at`, and where the next begins.
fn take(encoded: &str, mut at: usize) -> Option<(&str, usize)> {
    let bytes = encoded.as_bytes();
    let mut len = 0usize;
    let mut shift = 0u32;
    loop {
        let byte = *bytes.get(at)?;
        at += 1;
        if byte & 0x80 != 0 || shift > 30 {
            return None;
        }
        len |= usize::from(byte & 0x3f) << shift;
        shift += 6;
        if byte & 0x40 == 0 {
            break;
        }
    }
    let end = at.checked_add(len)?;
    Some((encoded.get(at..end)?, end))
}

/// The pairs of a [`Labels`], in rising order of the name.
#[derive(Debug, Clone)]
pub struct LabelsIter<'a> {
    rest: &'a str,
}

impl<'a> LabelsIter<'a> {
    /// Walks a string that is known to be canonical; stops at the first byte that is not.
    pub(crate) fn over(encoded: &'a str) -> Self {
        Self { rest: encoded }
    }
}

impl<'a> Iterator for LabelsIter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let (name, after_name) = take(self.rest, 0)?;
        let (value, after) = take(self.rest, after_name)?;
        self.rest = self.rest.get(after..)?;
        Some((name, value))
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = LabelsIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Ord for Labels {
    /// By the pairs in turn, as Prometheus sorts series.
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::empty()
    }
}

/// A value with `\`, `"` and newline escaped, as the text formats want it.
#[must_use]
pub fn escape_label_value(value: &str) -> std::borrow::Cow<'_, str> {
    if value.contains(['\\', '"', '\n']) {
        value
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n")
            .into()
    } else {
        value.into()
    }
}

/// Can this name stand bare in a selector? (Otherwise it is quoted, as UTF-8 names are.)
fn is_bare_label(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

impl fmt::Display for Labels {
    /// `name{a="b"}` as PromQL writes a series; `{}` when empty.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metric = self.metric_name();
        let bare = metric.chars().next().is_some_and(|c| !c.is_ascii_digit())
            && metric
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
        if bare {
            f.write_str(metric)?;
            if self.len() == 1 {
                return Ok(());
            }
        }
        f.write_str("{")?;
        let mut first = true;
        for (name, value) in self.iter().filter(|(n, _)| !(bare && *n == METRIC_NAME)) {
            if !first {
                f.write_str(", ")?;
            }
            first = false;
            if is_bare_label(name) {
                write!(f, "{name}=\"{}\"", escape_label_value(value))?;
            } else {
                write!(
                    f,
                    "\"{}\"=\"{}\"",
                    escape_label_value(name),
                    escape_label_value(value)
                )?;
            }
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Collects pairs in any order; reusable, so that a loop over many series allocates once.
#[derive(Debug, Clone, Default)]
pub struct LabelsBuilder {
    pairs: Vec<(String, String)>,
    used: usize,
}

impl LabelsBuilder {
    /// An empty builder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts from labels that exist.
    #[must_use]
    pub fn from_labels(labels: &Labels) -> Self {
        let mut builder = Self::new();
        builder.extend(labels);
        builder
    }

    /// Sets every pair of `labels`.
    pub fn extend(&mut self, labels: &Labels) {
        for (name, value) in labels {
            self.set(name, value);
        }
    }

    /// Forgets all pairs, keeps the memory.
    pub fn clear(&mut self) {
        self.used = 0;
    }

    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) {
        if let Some((_, old)) = self.pairs[..self.used].iter_mut().find(|(n, _)| n == name) {
            old.clear();
            old.push_str(value);
            return;
        }
        if let Some((n, v)) = self.pairs.get_mut(self.used) {
            n.clear();
            n.push_str(name);
            v.clear();
            v.push_str(value);
        } else {
            self.pairs.push((name.to_owned(), value.to_owned()));
        }
        self.used += 1;
    }

    /// The value set so far, `None` when it is unset or empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs[..self.used]
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
            .filter(|v| !v.is_empty())
    }

    /// Removes a label.
    pub fn remove(&mut self, name: &str) {
        self.set(name, "");
    }

    /// Writes the canonical encoding to the end of `out`.
    pub fn encode_into(&mut self, out: &mut String) {
        self.pairs[..self.used].sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (name, value) in self.pairs[..self.used]
            .iter()
            .filter(|(n, v)| !n.is_empty() && !v.is_empty())
        {
            push_pair(out, name, value);
        }
    }

    /// The labels collected so far; the builder can go on.
    #[must_use]
    pub fn build(&mut self) -> Labels {
        let mut out = String::new();
        self.encode_into(&mut out);
        Labels(Arc::from(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied())
    }

    #[test]
    fn pairs_come_out_sorted_and_without_empty_values() {
        let l = labels(&[("z", "1"), ("__name__", "up"), ("a", ""), ("b", "two")]);
        let pairs: Vec<_> = l.iter().collect();
        assert_eq!(pairs, [("__name__", "up"), ("b", "two"), ("z", "1")]);
        assert_eq!(l.to_string(), r#"up{b="two", z="1"}"#);
    }

    #[test]
    fn long_and_utf8_values_survive_the_encoding() {
        let long = "ä".repeat(3000);
        let l = labels(&[("x", &long), ("näme", "✓")]);
        let again = Labels::from_encoded(l.encoded()).unwrap();
        assert_eq!(again, l);
        assert_eq!(again.get("x"), Some(long.as_str()));
        assert_eq!(labels(&[("näme", "a\"b")]).to_string(), r#"{"näme"="a\"b"}"#);
    }

    #[test]
    fn order_is_by_pairs_not_by_encoded_bytes() {
        // "b" has the longer value, so its encoded length byte is larger: the pairs must decide.
        assert!(labels(&[("a", "bb")]) < labels(&[("a", "c")]));
        assert!(labels(&[("a", "1")]) < labels(&[("a", "1"), ("b", "2")]));
    }

    #[test]
    fn damaged_encodings_are_errors() {
        for (bad, want) in [
            ("\u{1}a", LabelsError::Truncated(2)),
            ("\u{5}a", LabelsError::Truncated(0)),
            ("\u{1}b\u{1}x\u{1}a\u{1}x", LabelsError::Unsorted(4)),
            ("\u{1}a\u{1}x\u{1}a\u{1}y", LabelsError::Unsorted(4)),
            ("\u{1}a\u{0}", LabelsError::Empty(0)),
        ] {
            assert_eq!(Labels::from_encoded(bad), Err(want), "{bad:?}");
        }
    }

    #[test]
    fn with_without_only() {
        let l = labels(&[("__name__", "m"), ("a", "1"), ("b", "2")]);
        assert_eq!(l.without(&["__name__", "b"]), labels(&[("a", "1")]));
        assert_eq!(l.only(&["b", "nope"]), labels(&[("b", "2")]));
        assert_eq!(l.with("a", ""), labels(&[("__name__", "m"), ("b", "2")]));
        assert_eq!(l.with("c", "3").len(), 4);
    }
}
