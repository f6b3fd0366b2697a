//! `label_replace` and `label_join`: functions on labels alone.

use hashbrown::HashMap;
use model::METRIC_NAME;
use regex::Regex;

use super::Grid;
use super::column::{Row, merge_rows};
use super::evaluator::{Data, Evaluator, Fallible, fail, same_labelset};
use super::function::{argument, string_argument};
use crate::ast::{Call, Span};

/// `label_replace(v, dst, replacement, src, regex)`
pub(crate) fn replace(ev: &mut Evaluator<'_>, call: &Call, span: Span, grid: &Grid) -> Fallible<Data> {
    let dst = string_argument(ev, call, 1, grid)?;
    let replacement = string_argument(ev, call, 2, grid)?;
    let src = string_argument(ev, call, 3, grid)?;
    let pattern = string_argument(ev, call, 4, grid)?;
    let Ok(regex) = Regex::new(&format!("^(?s:{pattern})$")) else {
        return fail(
            span,
            format!("invalid regular expression in label_replace(): {pattern}"),
        );
    };
    if dst.is_empty() {
        return fail(
            span,
            format!("invalid destination label name in label_replace(): {dst}"),
        );
    }
    let mut rows = argument(ev, call, grid)?;
    // Many series share few values of a label: each is matched once.
    let mut results: HashMap<String, Option<String>> = HashMap::new();
    for row in &mut rows {
        let value = row.labels.get(&src).unwrap_or("");
        let result = match results.get(value) {
            Some(result) => result.clone(),
            None => {
                let result = regex.captures(value).map(|captures| {
                    let mut out = String::new();
                    captures.expand(&replacement, &mut out);
                    out
                });
                results.insert(value.to_owned(), result.clone());
                result
            }
        };
        if let Some(result) = result {
            set(row, &dst, &result);
        }
    }
    finish(rows, span)
}

/// `label_join(v, dst, separator, src...)`
pub(crate) fn join(ev: &mut Evaluator<'_>, call: &Call, span: Span, grid: &Grid) -> Fallible<Data> {
    let dst = string_argument(ev, call, 1, grid)?;
    let separator = string_argument(ev, call, 2, grid)?;
    let mut sources = Vec::new();
    for at in 3..call.args.len() {
        let source = string_argument(ev, call, at, grid)?;
        if source.is_empty() {
            return fail(
                span,
                format!("invalid source label name in label_join(): {source}"),
            );
        }
        sources.push(source);
    }
    if dst.is_empty() {
        return fail(
            span,
            format!("invalid destination label name in label_join(): {dst}"),
        );
    }
    let mut rows = argument(ev, call, grid)?;
    for row in &mut rows {
        let values: Vec<&str> = sources
            .iter()
            .map(|source| row.labels.get(source).unwrap_or(""))
            .collect();
        let joined = values.join(&separator);
        set(row, &dst, &joined);
    }
    finish(rows, span)
}

fn set(row: &mut Row, name: &str, value: &str) {
    row.labels = row.labels.with(name, value);
    if name == METRIC_NAME {
        // A name that was just given is not one to be removed at the end.
        row.drop_name = false;
    }
}

fn finish(rows: Vec<Row>, span: Span) -> Fallible<Data> {
    merge_rows(rows)
        .map(Data::Vector)
        .or_else(|_| same_labelset(span))
}
