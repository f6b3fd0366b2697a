//! Results against what a script expects.

use model::{Bounds, Histogram, is_stale};

use super::histogram::{buckets, show};
use super::series::{Item, SeriesLine};
use super::syntax::{Eval, Pattern, Time};
use crate::engine::{Annotations, QueryValue, Series, Value};

/// How far values may be apart, relative to their size.
const EPSILON: f64 = 1e-6;

/// What was to come out, and what did.
pub(super) struct Mismatch {
    pub(super) expected: String,
    pub(super) got: String,
}

pub(super) type Outcome = Result<(), Mismatch>;

pub(super) fn mismatch(expected: impl Into<String>, got: impl Into<String>) -> Outcome {
    Err(Mismatch {
        expected: expected.into(),
        got: got.into(),
    })
}

/// Compares a result with all that is expected of it.
pub(super) fn value(eval: &Eval, got: &QueryValue) -> Outcome {
    match got {
        QueryValue::Scalar(_, got) => match (eval.scalar, eval.series.is_empty()) {
            (Some(want), _) if almost_equal(want, *got) => Ok(()),
            (Some(want), _) => mismatch(format!("scalar {want}"), format!("scalar {got}")),
            (None, _) => mismatch(show_expected(eval), format!("scalar {got}")),
        },
        QueryValue::String(_, got) => match &eval.string {
            Some(want) if want == got => Ok(()),
            Some(want) => mismatch(format!("string {want:?}"), format!("string {got:?}")),
            None => mismatch(show_expected(eval), format!("string {got:?}")),
        },
        QueryValue::Vector(got) => vector(eval, got, eval.ordered),
        QueryValue::Matrix(got) => matrix(eval, got),
    }
}

/// Compares an instant vector: each series with its one value, in this order if it is to be kept.
pub(super) fn vector(eval: &Eval, got: &[Series], ordered: bool) -> Outcome {
    let fail = || mismatch(show_expected(eval), show_series(got));
    if eval.scalar.is_some() || eval.string.is_some() || got.len() != eval.series.len() {
        return fail();
    }
    for (at, series) in got.iter().enumerate() {
        let want = if ordered {
            eval.series.get(at).filter(|want| want.labels == series.labels)
        } else {
            eval.series.iter().find(|want| want.labels == series.labels)
        };
        let (Some(want), [(_, value)]) = (want, series.points.as_slice()) else {
            return fail();
        };
        if !want.items.first().is_some_and(|item| item_equal(item, value)) {
            return fail();
        }
    }
    Ok(())
}

fn matrix(eval: &Eval, got: &[Series]) -> Outcome {
    let fail = || mismatch(show_expected(eval), show_series(got));
    let (start, end, step) = match (eval.range_vector, eval.time) {
        (Some(times), _) => times,
        (None, Time::Range { start, end, step }) => (start, end, step),
        (None, Time::Instant(_)) => return fail(),
    };
    if eval.scalar.is_some() || eval.string.is_some() || eval.ordered || got.len() != eval.series.len() {
        return fail();
    }
    if eval.range_vector.is_none() && !got.is_sorted_by(|a, b| a.labels <= b.labels) {
        return mismatch("series sorted by labels", show_series(got));
    }
    for series in got {
        let Some(want) = eval.series.iter().find(|want| want.labels == series.labels) else {
            return fail();
        };
        let times = (0..).map(|at| start.saturating_add(step.saturating_mul(at)));
        let mut points = series.points.iter();
        for (item, t) in want.items.iter().zip(times) {
            if matches!(item, Item::Omitted) {
                continue;
            }
            let same = points
                .next()
                .is_some_and(|(at, value)| *at == t && item_equal(item, value));
            if !same || t > end {
                return fail();
            }
        }
        if points.next().is_some() {
            return fail();
        }
    }
    Ok(())
}

fn item_equal(want: &Item, got: &Value) -> bool {
    match (want, got) {
        (Item::Float(want), Value::Float(got)) => almost_equal(*want, *got),
        (Item::Histogram(want, hinted), Value::Histogram(got)) => {
            histogram_equal(want, got) && (!hinted || want.counter_reset == got.counter_reset)
        }
        _ => false,
    }
}

/// Equal but for rounding; all NaNs are the same, but for the staleness marker.
pub(super) fn almost_equal(a: f64, b: f64) -> bool {
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    #[expect(clippy::float_cmp, reason = "infinities and exact zeroes first")]
    if (a.is_nan() && b.is_nan()) || a == b {
        return true;
    }
    let sum = a.abs() + b.abs();
    let distance = (a - b).abs();
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return distance < EPSILON * f64::MIN_POSITIVE;
    }
    distance / sum.min(f64::MAX) < EPSILON
}

/// Equal buckets, count and sum, however the spans are cut.
fn histogram_equal(a: &Histogram, b: &Histogram) -> bool {
    let bounds = match (&a.bounds, &b.bounds) {
        (Bounds::Exponential(x), Bounds::Exponential(y)) => x == y,
        (Bounds::Custom(x), Bounds::Custom(y)) => x == y,
        _ => false,
    };
    let same = |x: super::histogram::Buckets, y: super::histogram::Buckets| {
        x.len() == y.len()
            && x.iter()
                .zip(&y)
                .all(|((i, c), (j, d))| i == j && almost_equal(*c, *d))
    };
    bounds
        && almost_equal(a.count, b.count)
        && almost_equal(a.sum, b.sum)
        && a.zero_threshold.to_bits() == b.zero_threshold.to_bits()
        && almost_equal(a.zero_count, b.zero_count)
        && same(
            buckets(&a.positive_spans, &a.positive_buckets),
            buckets(&b.positive_spans, &b.positive_buckets),
        )
        && same(
            buckets(&a.negative_spans, &a.negative_buckets),
            buckets(&b.negative_spans, &b.negative_buckets),
        )
}

/// Compares the remarks on a query.
pub(super) fn annotations(eval: &Eval, got: &Annotations) -> Outcome {
    one_kind("warning", &eval.warn, eval.no_warn, &got.warnings)?;
    one_kind("info", &eval.info, eval.no_info, &got.infos)
}

fn one_kind(kind: &str, want: &[Pattern], none: bool, got: &[String]) -> Outcome {
    let shown = if got.is_empty() {
        format!("no {kind}")
    } else {
        format!("{kind} {got:?}")
    };
    if none && !got.is_empty() {
        return mismatch(format!("no {kind}"), shown);
    }
    if want.is_empty() {
        return Ok(());
    }
    if let Some(missing) = want.iter().find(|want| !got.iter().any(|got| want.matches(got))) {
        return mismatch(format!("{kind}: {}", missing.describe()), shown);
    }
    // Once some are named, no others may come.
    match got.iter().find(|got| !want.iter().any(|want| want.matches(got))) {
        Some(other) => mismatch(format!("only the {kind}s named"), format!("{kind} {other:?}")),
        None => Ok(()),
    }
}

fn show_expected(eval: &Eval) -> String {
    match (&eval.string, eval.scalar) {
        (Some(string), _) => format!("string {string:?}"),
        (None, Some(scalar)) => format!("scalar {scalar}"),
        (None, None) if eval.series.is_empty() => "no series".to_owned(),
        (None, None) => {
            let shown: Vec<String> = eval.series.iter().map(show_line).collect();
            shown.join("; ")
        }
    }
}

fn show_line(line: &SeriesLine) -> String {
    let mut out = line.labels.to_string();
    for item in &line.items {
        out.push(' ');
        match item {
            Item::Omitted => out.push('_'),
            Item::Float(value) => out.push_str(&value.to_string()),
            Item::Histogram(histogram, _) => out.push_str(&show(histogram)),
        }
    }
    out
}

fn show_series(got: &[Series]) -> String {
    if got.is_empty() {
        return "no series".to_owned();
    }
    let shown = got.iter().map(|series| {
        let mut out = series.labels.to_string();
        for (t, value) in &series.points {
            match value {
                Value::Float(value) => out.push_str(&format!(" {value}@{t}")),
                Value::Histogram(histogram) => out.push_str(&format!(" {}@{t}", show(histogram))),
            }
        }
        out
    });
    shown.collect::<Vec<_>>().join("; ")
}
