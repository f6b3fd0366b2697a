//! Query results as Prometheus' JSON, written straight into one buffer: results are large, and a tree of values in between would cost more than
//! the query.

use std::fmt::Write as _;

use model::{Bounds, Histogram, Labels};
use promql::engine::{Annotations, QueryValue, Series, Stats, Value};

/// The start of every good answer; what follows is the value of `data` and [`finish`].
pub const HEAD: &str = "{\"status\":\"success\",\"data\":";

/// Ends an answer that began with [`HEAD`]: warnings and infos where there are some.
pub fn finish(out: &mut String, annotations: &Annotations) {
    for (key, texts) in [("warnings", &annotations.warnings), ("infos", &annotations.infos)] {
        if texts.is_empty() {
            continue;
        }
        let _ = write!(out, ",\"{key}\":[");
        for (at, text) in texts.iter().enumerate() {
            separate(out, at);
            push_string(out, text);
        }
        out.push(']');
    }
    out.push('}');
}

/// A list of strings as an answer's data.
pub fn push_strings(out: &mut String, strings: &[String]) {
    out.push('[');
    for (at, text) in strings.iter().enumerate() {
        separate(out, at);
        push_string(out, text);
    }
    out.push(']');
}

/// `{"resultType": ..., "result": ...}`, with `stats` when they were asked for.
pub fn push_result(out: &mut String, value: &QueryValue, stats: Option<(&Stats, f64)>) {
    let kind = match value {
        QueryValue::Scalar(..) => "scalar",
        QueryValue::String(..) => "string",
        QueryValue::Vector(_) => "vector",
        QueryValue::Matrix(_) => "matrix",
    };
    let _ = write!(out, "{{\"resultType\":\"{kind}\",\"result\":");
    match value {
        QueryValue::Scalar(t_ms, value) => push_point(out, *t_ms, *value),
        QueryValue::String(t_ms, text) => {
            out.push('[');
            push_time(out, *t_ms);
            out.push(',');
            push_string(out, text);
            out.push(']');
        }
        QueryValue::Vector(series) => push_list(out, series, push_vector_series),
        QueryValue::Matrix(series) => push_list(out, series, push_matrix_series),
    }
    if let Some((stats, seconds)) = stats {
        let _ = write!(
            out,
            ",\"stats\":{{\"timings\":{{\"evalTotalTime\":{seconds},\"execTotalTime\":{seconds}}},\
             \"samples\":{{\"totalQueryableSamples\":{},\"peakSamples\":{}}},\"series\":{}}}",
            stats.samples_read, stats.peak_samples, stats.series_read
        );
    }
    out.push('}');
}

fn push_list(out: &mut String, series: &[Series], each: fn(&mut String, &Series)) {
    out.push('[');
    for (at, one) in series.iter().enumerate() {
        separate(out, at);
        each(out, one);
    }
    out.push(']');
}

fn push_vector_series(out: &mut String, series: &Series) {
    out.push_str("{\"metric\":");
    push_labels(out, &series.labels);
    match series.points.first() {
        Some((t_ms, Value::Float(value))) => {
            out.push_str(",\"value\":");
            push_point(out, *t_ms, *value);
        }
        Some((t_ms, Value::Histogram(histogram))) => {
            out.push_str(",\"histogram\":");
            push_histogram_point(out, *t_ms, histogram);
        }
        None => {}
    }
    out.push('}');
}

fn push_matrix_series(out: &mut String, series: &Series) {
    out.push_str("{\"metric\":");
    push_labels(out, &series.labels);
    let mut floats = 0;
    for (t_ms, value) in &series.points {
        if let Value::Float(value) = value {
            out.push_str(if floats == 0 { ",\"values\":[" } else { "," });
            push_point(out, *t_ms, *value);
            floats += 1;
        }
    }
    if floats > 0 {
        out.push(']');
    }
    let mut histograms = 0;
    for (t_ms, value) in &series.points {
        if let Value::Histogram(histogram) = value {
            out.push_str(if histograms == 0 { ",\"histograms\":[" } else { "," });
            push_histogram_point(out, *t_ms, histogram);
            histograms += 1;
        }
    }
    if histograms > 0 {
        out.push(']');
    }
    out.push('}');
}

/// `{"name":"value",...}`
pub fn push_labels(out: &mut String, labels: &Labels) {
    out.push('{');
    for (at, (name, value)) in labels.iter().enumerate() {
        separate(out, at);
        push_string(out, name);
        out.push(':');
        push_string(out, value);
    }
    out.push('}');
}

fn push_point(out: &mut String, t_ms: i64, value: f64) {
    out.push('[');
    push_time(out, t_ms);
    out.push_str(",\"");
    push_float(out, value);
    out.push_str("\"]");
}

fn push_histogram_point(out: &mut String, t_ms: i64, histogram: &Histogram) {
    out.push('[');
    push_time(out, t_ms);
    out.push_str(",{\"count\":\"");
    push_float(out, histogram.count);
    out.push_str("\",\"sum\":\"");
    push_float(out, histogram.sum);
    out.push('"');
    push_buckets(out, histogram);
    out.push_str("}]");
}

/// `"buckets":[[boundary rule, lower, upper, count], ...]` of the buckets that hold something.
fn push_buckets(out: &mut String, histogram: &Histogram) {
    let mut first = true;
    for (rule, lower, upper, count) in histogram_buckets(histogram) {
        if count == 0.0 {
            continue;
        }
        out.push_str(if first { ",\"buckets\":[" } else { "," });
        first = false;
        let _ = write!(out, "[{rule},\"");
        push_float(out, lower);
        out.push_str("\",\"");
        push_float(out, upper);
        out.push_str("\",\"");
        push_float(out, count);
        out.push_str("\"]");
    }
    if !first {
        out.push(']');
    }
}

/// All buckets from the most negative up: `(boundary rule, lower, upper, count)`; rule 0 is open on the left, 1 open on
/// the right, 3 closed on both sides, as upstream numbers them.
fn histogram_buckets(histogram: &Histogram) -> Vec<(u8, f64, f64, f64)> {
    let side = |spans: &[model::Span], counts: &[f64]| {
        let mut index = 0i32;
        let mut counts = counts.iter();
        let mut out = Vec::new();
        for span in spans {
            index = index.saturating_add(span.offset);
            for count in counts.by_ref().take(usize::try_from(span.length).unwrap_or(0)) {
                out.push((
                    bound(&histogram.bounds, index.saturating_sub(1)),
                    bound(&histogram.bounds, index),
                    *count,
                ));
                index = index.saturating_add(1);
            }
        }
        out
    };
    let negative = side(&histogram.negative_spans, &histogram.negative_buckets);
    let mut all: Vec<_> = negative
        .iter()
        .rev()
        .map(|(low, high, count)| (1, -high, -low, *count))
        .collect();
    if histogram.zero_count != 0.0 {
        all.push((
            3,
            -histogram.zero_threshold,
            histogram.zero_threshold,
            histogram.zero_count,
        ));
    }
    let positive = side(&histogram.positive_spans, &histogram.positive_buckets);
    all.extend(positive.iter().map(|(low, high, count)| (0, *low, *high, *count)));
    all
}

/// The upper boundary of a bucket.
fn bound(bounds: &Bounds, index: i32) -> f64 {
    match bounds {
        Bounds::Exponential(schema) => (f64::from(index) * (-f64::from(*schema)).exp2()).exp2(),
        Bounds::Custom(values) => match usize::try_from(index) {
            Ok(at) => values.get(at).copied().unwrap_or(f64::INFINITY),
            Err(_) => f64::NEG_INFINITY,
        },
    }
}

/// Seconds with three decimals where there are milliseconds.
fn push_time(out: &mut String, t_ms: i64) {
    let (seconds, ms) = (t_ms / 1000, (t_ms % 1000).abs());
    if t_ms < 0 && seconds == 0 {
        out.push('-');
    }
    let _ = write!(out, "{seconds}");
    if ms != 0 {
        let _ = write!(out, ".{ms:03}");
    }
}

/// A value as upstream prints it: shortest digits, an exponent only outside 1e-6..1e21.
fn push_float(out: &mut String, value: f64) {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else if value != 0.0 && !(1e-6..1e21).contains(&value.abs()) {
        let text = format!("{value:e}");
        match text.split_once('e') {
            Some((mantissa, exponent)) => {
                let (sign, digits) = exponent.strip_prefix('-').map_or(("+", exponent), |d| ("-", d));
                let _ = write!(out, "{mantissa}e{sign}{digits:0>2}");
            }
            None => out.push_str(&text),
        }
    } else {
        let _ = write!(out, "{value}");
    }
}

/// A JSON string with its quotes.
pub fn push_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn separate(out: &mut String, at: usize) {
    if at > 0 {
        out.push(',');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float(value: f64) -> String {
        let mut out = String::new();
        push_float(&mut out, value);
        out
    }

    #[test]
    fn values_and_times_print_as_upstream() {
        assert_eq!(float(1e20), "100000000000000000000");
        assert_eq!(float(1e21), "1e+21");
        assert_eq!(float(1.5e-7), "1.5e-07");
        assert_eq!(float(-0.25), "-0.25");
        assert_eq!(float(f64::NEG_INFINITY), "-Inf");
        for (t_ms, want) in [(1500, "1.500"), (-1, "-0.001"), (2000, "2"), (-1500, "-1.500")] {
            let mut out = String::new();
            push_time(&mut out, t_ms);
            assert_eq!(out, want);
        }
    }

    #[test]
    fn a_matrix_is_valid_json() {
        let series = Series {
            labels: Labels::from_pairs([("__name__", "up"), ("path", "a\"\\\n\u{1}é")]),
            points: vec![(1000, Value::Float(1.0)), (2500, Value::Float(f64::NAN))],
        };
        let mut out = HEAD.to_owned();
        push_result(&mut out, &QueryValue::Matrix(vec![series]), None);
        finish(
            &mut out,
            &Annotations {
                warnings: vec!["w".to_owned()],
                infos: Vec::new(),
            },
        );
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(value["data"]["result"][0]["values"][1][1], "NaN");
        assert_eq!(value["data"]["result"][0]["metric"]["path"], "a\"\\\n\u{1}é");
        assert_eq!(value["warnings"][0], "w");
    }

    #[test]
    fn histogram_buckets_have_their_boundaries() {
        let histogram = Histogram {
            counter_reset: model::CounterReset::Unknown,
            bounds: Bounds::Exponential(0),
            zero_threshold: 0.001,
            zero_count: 1.0,
            count: 4.0,
            sum: 5.0,
            positive_spans: vec![model::Span { offset: 1, length: 1 }],
            positive_buckets: vec![2.0],
            negative_spans: vec![model::Span { offset: 0, length: 1 }],
            negative_buckets: vec![1.0],
        };
        let want = vec![(1, -1.0, -0.5, 1.0), (3, -0.001, 0.001, 1.0), (0, 1.0, 2.0, 2.0)];
        assert_eq!(histogram_buckets(&histogram), want);
    }
}
