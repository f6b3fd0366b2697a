//! `sort` and its kin. They order the result of an instant query; a range query's result is always sorted by labels.

use std::cmp::Ordering;

use super::Grid;
use super::column::Row;
use super::evaluator::{Data, Evaluator, Fallible};
use super::function::{argument, string_argument};
use super::ranking::sort_by_value;
use crate::ast::{Call, Span};

/// `sort`
pub(crate) fn ascending(ev: &mut Evaluator<'_>, call: &Call, span: Span, grid: &Grid) -> Fallible<Data> {
    by_value(ev, call, span, grid, false)
}

/// `sort_desc`
pub(crate) fn descending(ev: &mut Evaluator<'_>, call: &Call, span: Span, grid: &Grid) -> Fallible<Data> {
    by_value(ev, call, span, grid, true)
}

/// `sort_by_label`
pub(crate) fn by_label(ev: &mut Evaluator<'_>, call: &Call, span: Span, grid: &Grid) -> Fallible<Data> {
    by_labels(ev, call, span, grid, false)
}

/// `sort_by_label_desc`
pub(crate) fn by_label_desc(ev: &mut Evaluator<'_>, call: &Call, span: Span, grid: &Grid) -> Fallible<Data> {
    by_labels(ev, call, span, grid, true)
}

fn warn(ev: &mut Evaluator<'_>, span: Span) {
    if !ev.instant {
        ev.notes.warn(
            span,
            "sort is ineffective for range queries since results are always ordered by labels",
        );
    }
}

fn by_value(
    ev: &mut Evaluator<'_>,
    call: &Call,
    span: Span,
    grid: &Grid,
    descending: bool,
) -> Fallible<Data> {
    warn(ev, span);
    let mut rows = argument(ev, call, grid)?;
    for row in &mut rows {
        row.map_floats(|v| v);
    }
    rows.retain(Row::any);
    if ev.instant {
        sort_by_value(&mut rows, descending);
    }
    Ok(Data::Vector(rows))
}

fn by_labels(
    ev: &mut Evaluator<'_>,
    call: &Call,
    span: Span,
    grid: &Grid,
    descending: bool,
) -> Fallible<Data> {
    warn(ev, span);
    let mut names = Vec::new();
    for at in 1..call.args.len() {
        names.push(string_argument(ev, call, at, grid)?);
    }
    let mut rows = argument(ev, call, grid)?;
    rows.sort_by(|a, b| {
        let by_name = names
            .iter()
            .map(|name| natural(a.labels.get(name).unwrap_or(""), b.labels.get(name).unwrap_or("")));
        let order = by_name
            .fold(Ordering::Equal, Ordering::then)
            .then_with(|| a.labels.cmp(&b.labels));
        if descending { order.reverse() } else { order }
    });
    Ok(Data::Vector(rows))
}

/// Natural order: runs of digits compare as numbers, the rest as text.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        match (a.is_empty(), b.is_empty()) {
            (true, true) => return Ordering::Equal,
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            (false, false) => {}
        }
        let (head_a, rest_a) = chunk(a);
        let (head_b, rest_b) = chunk(b);
        let order = match (as_number(head_a), as_number(head_b)) {
            // Of two numbers without leading zeros the longer is the larger, however long they are.
            (Some(x), Some(y)) => x.len().cmp(&y.len()).then_with(|| x.cmp(y)),
            _ => head_a.cmp(head_b),
        };
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
}

/// Digits without leading zeros.
fn as_number(chunk: &str) -> Option<&str> {
    chunk
        .starts_with(|c: char| c.is_ascii_digit())
        .then(|| chunk.trim_start_matches('0'))
}

/// The leading run of digits or of anything else.
fn chunk(text: &str) -> (&str, &str) {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text
        .find(|c: char| c.is_ascii_digit() != digits)
        .unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn natural_order() {
        for (a, b, want) in [
            ("2", "10", Ordering::Less),
            ("a2", "a10", Ordering::Less),
            ("a", "b", Ordering::Less),
            ("a1b2", "a1b10", Ordering::Less),
            ("", "a", Ordering::Less),
            ("4m600", "4m60", Ordering::Greater),
            ("x", "x", Ordering::Equal),
            ("007", "7", Ordering::Equal),
            ("0", "1", Ordering::Less),
            ("5", "100000000000000000000", Ordering::Less),
            ("99999999999999999999", "100000000000000000000", Ordering::Less),
        ] {
            assert_eq!(natural(a, b), want, "{a} {b}");
        }
    }
}
