//! Native histograms in scripts: their notation, and the little arithmetic that expanding series needs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use model::{Bounds, CounterReset, Histogram, Span};

/// The schema number of explicit boundaries.
const CUSTOM_SCHEMA: i64 = -53;

/// Buckets by index; those without observations may be missing.
pub(super) type Buckets = BTreeMap<i32, f64>;

/// Reads what stands between `{{` and `}}`; the second part is whether it says a counter reset hint.
pub(super) fn parse(text: &str) -> Result<(Histogram, bool), String> {
    let mut fields: BTreeMap<&str, &str> = BTreeMap::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (key, after) = rest
            .split_once(':')
            .ok_or_else(|| format!("found {rest:?} where key:value belongs"))?;
        let after = after.trim_start();
        let end = if after.starts_with('[') {
            after
                .find(']')
                .map(|at| at + 1)
                .ok_or_else(|| format!("list without ]: {after:?}"))?
        } else {
            after.find(char::is_whitespace).unwrap_or(after.len())
        };
        let (value, after) = after.split_at(end);
        if fields.insert(key.trim(), value).is_some() {
            return Err(format!("duplicate key {key:?} in histogram"));
        }
        rest = after.trim_start();
    }
    let mut take = |key: &str| fields.remove(key);
    let schema = integer(take("schema").unwrap_or("0"))?;
    let custom = list(take("custom_values").unwrap_or("[]"))?;
    let bounds = match i8::try_from(schema) {
        _ if schema == CUSTOM_SCHEMA => Bounds::Custom(custom),
        Ok(schema @ -4..=8) => Bounds::Exponential(schema),
        _ => return Err(format!("unknown schema {schema}; there are -4 to 8 and -53")),
    };
    let hint = take("counter_reset_hint");
    let counter_reset = match hint {
        None | Some("unknown") => CounterReset::Unknown,
        Some("reset") => CounterReset::Reset,
        Some("not_reset") => CounterReset::NotReset,
        Some("gauge") => CounterReset::Gauge,
        Some(other) => return Err(format!("unknown counter_reset_hint {other:?}")),
    };
    let (positive_spans, positive_buckets) = run(take("offset"), take("buckets"))?;
    let (negative_spans, negative_buckets) = run(take("n_offset"), take("n_buckets"))?;
    let mut float = |key: &str| number(fields.remove(key).unwrap_or("0"));
    let histogram = Histogram {
        counter_reset,
        bounds,
        zero_threshold: float("z_bucket_w")?,
        zero_count: float("z_bucket")?,
        count: float("count")?,
        sum: float("sum")?,
        positive_spans,
        positive_buckets,
        negative_spans,
        negative_buckets,
    };
    match fields.keys().next() {
        Some(key) => Err(format!("unknown key {key:?} in histogram")),
        None => Ok((histogram, hint.is_some())),
    }
}

fn number(text: &str) -> Result<f64, String> {
    match super::series::take_number(text) {
        Some((value, "")) => Ok(value),
        _ => Err(format!("found {text:?} where a number belongs in a histogram")),
    }
}

fn integer(text: &str) -> Result<i64, String> {
    text.parse()
        .map_err(|_| format!("found {text:?} where a whole number belongs in a histogram"))
}

fn list(text: &str) -> Result<Vec<f64>, String> {
    let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let inner = inner.ok_or_else(|| format!("found {text:?} where a list in [] belongs"))?;
    inner.split_whitespace().map(number).collect()
}

/// One run of buckets from an offset.
fn run(offset: Option<&str>, buckets: Option<&str>) -> Result<(Vec<Span>, Vec<f64>), String> {
    let offset = i32::try_from(integer(offset.unwrap_or("0"))?).map_err(|e| format!("bad offset: {e}"))?;
    let buckets = list(buckets.unwrap_or("[]"))?;
    let length = u32::try_from(buckets.len()).map_err(|e| format!("too many buckets: {e}"))?;
    let spans = if length == 0 {
        Vec::new()
    } else {
        vec![Span { offset, length }]
    };
    Ok((spans, buckets))
}

/// The buckets that hold something, by index.
pub(super) fn buckets(spans: &[Span], counts: &[f64]) -> Buckets {
    let mut found = Buckets::new();
    let mut index = 0i32;
    let mut counts = counts.iter();
    for span in spans {
        index = index.saturating_add(span.offset);
        for _ in 0..span.length {
            let Some(count) = counts.next() else { return found };
            if *count != 0.0 {
                found.insert(index, *count);
            }
            index = index.saturating_add(1);
        }
    }
    found
}

/// Buckets as spans, without gaps inside a span.
pub(super) fn spans(buckets: &Buckets) -> (Vec<Span>, Vec<f64>) {
    let mut spans: Vec<Span> = Vec::new();
    let mut counts = Vec::with_capacity(buckets.len());
    let mut next = 0i32;
    for (index, count) in buckets {
        match spans.last_mut() {
            Some(span) if *index == next => span.length += 1,
            _ => spans.push(Span {
                offset: index.saturating_sub(next),
                length: 1,
            }),
        }
        counts.push(*count);
        next = index.saturating_add(1);
    }
    (spans, counts)
}

/// `a + sign * b`, in the resolution of `a`, which must not be the finer one.
pub(super) fn combine(a: &Histogram, b: &Histogram, sign: f64) -> Result<Histogram, String> {
    let shift = match (&a.bounds, &b.bounds) {
        (Bounds::Exponential(coarse), Bounds::Exponential(fine)) if coarse <= fine => {
            u32::try_from(i16::from(*fine) - i16::from(*coarse)).unwrap_or(0)
        }
        (Bounds::Custom(x), Bounds::Custom(y)) if x == y => 0,
        (Bounds::Exponential(_), Bounds::Exponential(_)) => {
            return Err("a series of histograms cannot grow by histograms of a smaller schema".to_owned());
        }
        _ => return Err("a series of histograms cannot grow by histograms with other boundaries".to_owned()),
    };
    if a.zero_threshold.to_bits() != b.zero_threshold.to_bits() && b.zero_count != 0.0 {
        return Err("a series of histograms cannot grow by histograms with another zero bucket".to_owned());
    }
    let add = |a: Buckets, b: Buckets| {
        let mut sum = a;
        for (index, count) in b {
            // Bucket i of the finer schema ends at boundary i; the coarser one's ends are every 2^shift-th of these.
            let index = ((index - 1) >> shift) + 1;
            *sum.entry(index).or_insert(0.0) += sign * count;
        }
        spans(&sum)
    };
    let (positive_spans, positive_buckets) = add(
        buckets(&a.positive_spans, &a.positive_buckets),
        buckets(&b.positive_spans, &b.positive_buckets),
    );
    let (negative_spans, negative_buckets) = add(
        buckets(&a.negative_spans, &a.negative_buckets),
        buckets(&b.negative_spans, &b.negative_buckets),
    );
    Ok(Histogram {
        counter_reset: combine_hints(a.counter_reset, b.counter_reset),
        bounds: a.bounds.clone(),
        zero_threshold: a.zero_threshold,
        zero_count: a.zero_count + sign * b.zero_count,
        count: a.count + sign * b.count,
        sum: a.sum + sign * b.sum,
        positive_spans,
        positive_buckets,
        negative_spans,
        negative_buckets,
    })
}

fn combine_hints(a: CounterReset, b: CounterReset) -> CounterReset {
    match (a, b) {
        (a, b) if a == b => a,
        (CounterReset::Gauge, _) | (_, CounterReset::Gauge) => CounterReset::Gauge,
        _ => CounterReset::Unknown,
    }
}

/// A histogram as scripts write it.
pub(super) fn show(h: &Histogram) -> String {
    let mut out = String::from("{{schema:");
    // Writing to a String cannot fail.
    match &h.bounds {
        Bounds::Exponential(schema) => {
            let _ = write!(out, "{schema}");
        }
        Bounds::Custom(values) => {
            let _ = write!(out, "{CUSTOM_SCHEMA} custom_values:{}", show_list(values));
        }
    }
    let _ = write!(out, " count:{} sum:{}", h.count, h.sum);
    if h.zero_count != 0.0 || h.zero_threshold != 0.0 {
        let _ = write!(out, " z_bucket:{} z_bucket_w:{}", h.zero_count, h.zero_threshold);
    }
    match h.counter_reset {
        CounterReset::Unknown => {}
        CounterReset::Reset => out.push_str(" counter_reset_hint:reset"),
        CounterReset::NotReset => out.push_str(" counter_reset_hint:not_reset"),
        CounterReset::Gauge => out.push_str(" counter_reset_hint:gauge"),
    }
    for (prefix, spans, counts) in [
        ("", &h.positive_spans, &h.positive_buckets),
        ("n_", &h.negative_spans, &h.negative_buckets),
    ] {
        let found = buckets(spans, counts);
        if let (Some((first, _)), Some((last, _))) = (found.first_key_value(), found.last_key_value()) {
            let all: Vec<f64> = (*first..=*last)
                .map(|i| found.get(&i).copied().unwrap_or(0.0))
                .collect();
            let _ = write!(out, " {prefix}offset:{first} {prefix}buckets:{}", show_list(&all));
        }
    }
    out.push_str("}}");
    out
}

fn show_list(values: &[f64]) -> String {
    let shown: Vec<String> = values.iter().map(f64::to_string).collect();
    format!("[{}]", shown.join(" "))
}
