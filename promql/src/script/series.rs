//! One line of a script: a series and its values in expanding notation.
//!
//! `1+2x3` is 1, 3, 5, 7; `5x3` is 5 four times; `_` is a sample that is missing, `_x3` three of them; `stale`
//! is a staleness marker;
//! `{{...}}` is a native histogram and expands likewise.

use std::sync::Arc;

use model::{Histogram, Labels, MatchOp, STALE_NAN};

use super::histogram;
use crate::engine::Value;
use crate::parser::parse_selector;

/// At most so many values may come of one item, so that a slip of the pen does not fill the memory.
const MAX_REPEAT: usize = 1_000_000;

/// A series with its values.
#[derive(Debug)]
pub(super) struct SeriesLine {
    pub(super) labels: Labels,
    pub(super) items: Vec<Item>,
}

/// One value of a series.
#[derive(Debug, Clone)]
pub(super) enum Item {
    Omitted,
    Float(f64),
    /// A histogram, and whether the script says what is known of its counter reset.
    Histogram(Arc<Histogram>, bool),
}

impl Item {
    pub(super) fn value(&self) -> Option<Value> {
        match self {
            Self::Omitted => None,
            Self::Float(value) => Some(Value::Float(*value)),
            Self::Histogram(histogram, _) => Some(Value::Histogram(Arc::clone(histogram))),
        }
    }
}

/// Reads `metric{labels} values`.
pub(super) fn parse_series(line: &str) -> Result<SeriesLine, String> {
    let end = selector_end(line);
    let (selector, mut rest) = line.split_at(end);
    let labels = parse_labels(selector)?;
    let mut items = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok(SeriesLine { labels, items });
        }
        rest = parse_item(rest, &mut items).map_err(|e| format!("{e} in {line:?}"))?;
        if !rest.is_empty() && !rest.starts_with(char::is_whitespace) {
            return Err(format!("found {rest:?} where a blank belongs in {line:?}"));
        }
    }
}

/// Where the selector at the start of a line ends: at a blank outside of braces, or behind the braces.
fn selector_end(line: &str) -> usize {
    let mut quote = None;
    let mut braces = false;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(open), '\\') if open != '`' => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') if braces => quote = Some(c),
            (None, '{') => braces = true,
            (None, '}') => return at + 1,
            (None, c) if c.is_whitespace() && !braces => {
                // `name {a="b"}` is one selector too.
                let follows = line[at..].trim_start();
                if !follows.starts_with('{') || follows.starts_with("{{") {
                    return at;
                }
            }
            (None, _) => {}
        }
    }
    line.len()
}

fn parse_labels(selector: &str) -> Result<Labels, String> {
    let matchers = parse_selector(selector).map_err(|e| format!("bad series {selector:?}: {e}"))?;
    if let Some(other) = matchers.iter().find(|m| m.op() != MatchOp::Equal) {
        return Err(format!(
            "bad series {selector:?}: {other} is a condition and no label"
        ));
    }
    Ok(Labels::from_pairs(matchers.iter().map(|m| (m.name(), m.value()))))
}

/// Reads one item and gives what follows it.
fn parse_item<'a>(text: &'a str, items: &mut Vec<Item>) -> Result<&'a str, String> {
    if text.starts_with("{{") {
        return parse_histograms(text, items);
    }
    if let Some(rest) = text.strip_prefix('_') {
        let (times, rest) = take_times(rest)?;
        items.extend(std::iter::repeat_n(Item::Omitted, times.unwrap_or(1)));
        return Ok(rest);
    }
    let (first, rest) = match text.strip_prefix("stale") {
        Some(rest) => (f64::from_bits(STALE_NAN), rest),
        None => take_number(text).ok_or_else(|| format!("found {text:?} where a value belongs"))?,
    };
    let (delta, rest) = match rest.chars().next() {
        Some('+' | '-') => take_number(rest).ok_or_else(|| format!("found {rest:?} where a step belongs"))?,
        _ => (0.0, rest),
    };
    let (times, rest) = take_times(rest)?;
    let mut value = first;
    items.push(Item::Float(value));
    for _ in 0..times.unwrap_or(0) {
        // A marker must keep its bits, so nothing is added to it.
        if delta != 0.0 {
            value += delta;
        }
        items.push(Item::Float(value));
    }
    Ok(rest)
}

/// `x5` at the start of a text.
fn take_times(text: &str) -> Result<(Option<usize>, &str), String> {
    let Some(rest) = text.strip_prefix('x') else {
        return Ok((None, text));
    };
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, rest) = rest.split_at(end);
    match digits.parse::<usize>() {
        Ok(times) if times <= MAX_REPEAT => Ok((Some(times), rest)),
        _ => Err(format!(
            "found {digits:?} where a number up to {MAX_REPEAT} belongs after x"
        )),
    }
}

/// A number with or without a sign at the start of a text, and what follows.
pub(super) fn take_number(text: &str) -> Option<(f64, &str)> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let negative = text.starts_with('-');
    let word = unsigned
        .get(..3)
        .filter(|w| w.eq_ignore_ascii_case("inf") || w.eq_ignore_ascii_case("nan"));
    let end = if word.is_some() {
        3
    } else {
        let bytes = unsigned.as_bytes();
        let run = |from: usize| {
            bytes[from..]
                .iter()
                .take_while(|b| b.is_ascii_digit() || matches!(b, b'.' | b'_'))
                .count()
                + from
        };
        let mut end = run(0);
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            if bytes.get(end + 1 + sign).is_some_and(u8::is_ascii_digit) {
                end = run(end + 1 + sign);
            }
        }
        end
    };
    let (digits, rest) = unsigned.split_at(end);
    let value: f64 = digits.replace('_', "").parse().ok()?;
    Some((if negative { -value } else { value }, rest))
}

/// `{{..}}`, `{{..}}x3`, `{{..}}+{{..}}x3`, `{{..}}-{{..}}x3`
fn parse_histograms<'a>(text: &'a str, items: &mut Vec<Item>) -> Result<&'a str, String> {
    let ((first, mut hinted), rest) = take_histogram(text)?;
    let mut delta = None;
    let mut rest = rest;
    if let Some(sign) = rest.chars().next().filter(|c| matches!(c, '+' | '-')) {
        let ((other, other_hinted), after) = take_histogram(&rest[1..])?;
        delta = Some((if sign == '+' { 1.0 } else { -1.0 }, other));
        hinted = other_hinted;
        rest = after;
    }
    let (times, rest) = take_times(rest)?;
    let mut current = Arc::new(first);
    items.push(Item::Histogram(Arc::clone(&current), hinted));
    for _ in 0..times.unwrap_or(0) {
        if let Some((sign, delta)) = &delta {
            current = Arc::new(histogram::combine(&current, delta, *sign)?);
        }
        items.push(Item::Histogram(Arc::clone(&current), hinted));
    }
    Ok(rest)
}

fn take_histogram(text: &str) -> Result<((Histogram, bool), &str), String> {
    let inner = text
        .strip_prefix("{{")
        .ok_or_else(|| format!("found {text:?} where {{{{ belongs"))?;
    let end = inner
        .find("}}")
        .ok_or_else(|| format!("histogram without }}}}: {text:?}"))?;
    Ok((histogram::parse(&inner[..end])?, &inner[end + 2..]))
}
