//! Do two answers of the Prometheus API say the same?

use serde_json::Value;

use crate::http::{Response, clip};

/// How far two values may be apart, relative to the larger.
const RELATIVE: f64 = 1e-9;

/// How far the order of the series counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Not at all.
    Any,
    /// That of the values: series of one value come in any order, as upstream's sort is not stable.
    Values,
    /// Wholly.
    Series,
}

/// Compares an answer of ours with the oracle's. The error says what differs.
pub(crate) fn answers(ours: &Response, oracle: &Response, order: Order) -> Result<(), String> {
    if ours.status != oracle.status {
        return Err(format!(
            "status {} for {}: {} for {}",
            ours.status,
            oracle.status,
            clip(&ours.text()),
            clip(&oracle.text())
        ));
    }
    let (Ok(a), Ok(b)) = (ours.json(), oracle.json()) else {
        return Err(format!("not JSON: {}", clip(&ours.text())));
    };
    for key in ["status", "errorType"] {
        same(&a, &b, key)?;
    }
    for key in ["warnings", "infos"] {
        let texts = |v: &Value| {
            v.get(key)
                .and_then(Value::as_array)
                .is_some_and(|list| !list.is_empty())
        };
        if texts(&a) != texts(&b) {
            return Err(format!("{key}: {} for {}", show(a.get(key)), show(b.get(key))));
        }
    }
    if b.get("status").and_then(Value::as_str) != Some("success") {
        return Ok(());
    }
    let (a, b) = (&a["data"], &b["data"]);
    same(a, b, "resultType")?;
    match b["resultType"].as_str() {
        Some("vector" | "matrix") => series(&a["result"], &b["result"], order),
        Some("scalar") => sample(&a["result"], &b["result"]),
        Some("string") if near_times(&a["result"], &b["result"]) && a["result"][1] == b["result"][1] => {
            Ok(())
        }
        _ => same(a, b, "result"),
    }
}

fn same(a: &Value, b: &Value, key: &str) -> Result<(), String> {
    if a.get(key) == b.get(key) {
        return Ok(());
    }
    Err(format!("{key}: {} for {}", show(a.get(key)), show(b.get(key))))
}

fn show(value: Option<&Value>) -> String {
    value.map_or_else(|| "nothing".to_string(), |value| clip(&value.to_string()))
}

/// The labels of a series as text to sort and find it by; `serde_json`'s maps are sorted.
fn key(series: &Value) -> String {
    series["metric"].to_string()
}

/// Sorts series that follow each other with equal values by their labels.
fn settle_ties(list: &mut [&Value]) {
    let value = |s: &&Value| s["value"].get(1).and_then(Value::as_str).and_then(number);
    for ties in list.chunk_by_mut(|a, b| matches!((value(a), value(b)), (Some(x), Some(y)) if close(x, y))) {
        ties.sort_by_cached_key(|s| key(s));
    }
}

fn series(a: &Value, b: &Value, order: Order) -> Result<(), String> {
    let (Some(a), Some(b)) = (a.as_array(), b.as_array()) else {
        return Err("result is not a list".into());
    };
    let mut a: Vec<&Value> = a.iter().collect();
    let mut b: Vec<&Value> = b.iter().collect();
    for list in [&mut a, &mut b] {
        match order {
            Order::Any => list.sort_by_cached_key(|s| key(s)),
            Order::Values => settle_ties(list),
            Order::Series => {}
        }
    }
    let extra = |these: &[&Value], those: &[&Value]| {
        these
            .iter()
            .map(|s| key(s))
            .find(|k| !those.iter().any(|s| key(s) == *k))
    };
    if let Some(name) = extra(&a, &b) {
        return Err(format!(
            "a series too many ({} for {}): {}",
            a.len(),
            b.len(),
            clip(&name)
        ));
    }
    if let Some(name) = extra(&b, &a) {
        return Err(format!(
            "a series is missing ({} for {}): {}",
            a.len(),
            b.len(),
            clip(&name)
        ));
    }
    if a.len() != b.len() {
        return Err(format!("{} series for {}", a.len(), b.len()));
    }
    for (a, b) in a.into_iter().zip(b) {
        if key(a) != key(b) {
            return Err(format!(
                "the order differs: {} for {}",
                clip(&key(a)),
                clip(&key(b))
            ));
        }
        points(a, b).map_err(|what| format!("{}: {what}", clip(&key(b))))?;
    }
    Ok(())
}

fn points(a: &Value, b: &Value) -> Result<(), String> {
    if let (Some(a), Some(b)) = (a.get("value"), b.get("value")) {
        return sample(a, b);
    }
    let empty = Vec::new();
    let list = |v: &'_ Value| {
        v.get("values")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_else(|| empty.clone())
    };
    let (a, b) = (list(a), list(b));
    for (a, b) in a.iter().zip(&b) {
        sample(a, b)?;
    }
    if a.len() != b.len() {
        return Err(format!("{} points for {}", a.len(), b.len()));
    }
    Ok(())
}

/// Are the times of two points the same? They are milliseconds written as seconds.
fn near_times(a: &Value, b: &Value) -> bool {
    let time = |v: &Value| v.get(0).and_then(Value::as_f64).unwrap_or(f64::NAN);
    (time(a) - time(b)).abs() < 0.0005
}

/// Compares `[seconds, "value"]`.
fn sample(a: &Value, b: &Value) -> Result<(), String> {
    let value = |v: &Value| v.get(1).and_then(Value::as_str).and_then(number);
    if near_times(a, b)
        && let (Some(x), Some(y)) = (value(a), value(b))
        && close(x, y)
    {
        return Ok(());
    }
    Err(format!("{a} for {b}"))
}

/// A value as the API writes it.
fn number(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        // Rust also takes `inf` and `nan`, which the API never writes.
        _ if text.starts_with(|c: char| c.is_ascii_digit() || c == '-') => text.parse().ok(),
        _ => None,
    }
}

fn close(a: f64, b: f64) -> bool {
    // An infinite tolerance would make an infinity equal to everything.
    let near = a.is_finite() && b.is_finite() && (a - b).abs() <= RELATIVE * a.abs().max(b.abs());
    (a.is_nan() && b.is_nan()) || a == b || near
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, body: &str) -> Response {
        Response {
            status,
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
        }
    }

    fn vector(rows: &str) -> Response {
        response(
            200,
            &format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{rows}]}}}}"#),
        )
    }

    #[track_caller]
    fn check(ours: &str, oracle: &str, order: Order, want: Option<&str>) {
        let got = answers(&vector(ours), &vector(oracle), order);
        match want {
            None => assert_eq!(got, Ok(())),
            Some(part) => assert!(got.as_ref().is_err_and(|e| e.contains(part)), "{got:?}"),
        }
    }

    const A: &str = r#"{"metric":{"a":"1"},"value":[1,"2"]}"#;
    const B: &str = r#"{"metric":{"a":"2"},"value":[1,"NaN"]}"#;

    #[test]
    fn order_counts_only_where_it_matters() {
        check(&format!("{A},{B}"), &format!("{B},{A}"), Order::Any, None);
        check(
            &format!("{A},{B}"),
            &format!("{B},{A}"),
            Order::Series,
            Some("order"),
        );
    }

    #[test]
    fn ties_of_values_come_in_any_order() {
        let row = |a: &str, value: &str| format!(r#"{{"metric":{{"a":"{a}"}},"value":[1,"{value}"]}}"#);
        let rows = |list: &[(&str, &str)]| list.iter().map(|(a, v)| row(a, v)).collect::<Vec<_>>().join(",");
        let one = rows(&[("x", "0"), ("y", "-0"), ("z", "1"), ("n", "NaN"), ("m", "NaN")]);
        let other = rows(&[("y", "-0"), ("x", "0"), ("z", "1"), ("m", "NaN"), ("n", "NaN")]);
        let wrong = rows(&[("z", "1"), ("x", "0"), ("y", "-0"), ("m", "NaN"), ("n", "NaN")]);
        check(&one, &other, Order::Values, None);
        check(&one, &other, Order::Series, Some("order"));
        check(&one, &wrong, Order::Values, Some("order"));
    }

    #[test]
    fn what_differs_is_named() {
        check(A, &format!("{A},{B}"), Order::Any, Some("missing"));
        check(&format!("{A},{B}"), A, Order::Any, Some("too many"));
        check(&format!("{A},{A}"), A, Order::Any, Some("2 series for 1"));
        for (value, equal) in [
            ("2.000000000000001", true),
            ("2.00001", false),
            ("NaN", false),
            ("inf", false),
            ("-2", false),
        ] {
            let ours = format!(r#"{{"metric":{{"a":"1"}},"value":[1,"{value}"]}}"#);
            check(&ours, A, Order::Any, (!equal).then_some("for"));
        }
        check(
            r#"{"metric":{"a":"1"},"value":[1.001,"2"]}"#,
            A,
            Order::Any,
            Some("1.001"),
        );
    }

    #[test]
    fn a_matrix_is_compared_point_by_point() {
        let matrix = |values: &str| {
            let row = format!(r#"{{"metric":{{}},"values":[{values}]}}"#);
            let body = format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{row}]}}}}"#);
            response(200, &body)
        };
        let two = matrix(r#"[1,"1"],[2,"+Inf"]"#);
        assert_eq!(answers(&two, &two, Order::Any), Ok(()));
        assert!(answers(&matrix(r#"[1,"1"]"#), &two, Order::Any).is_err());
        assert!(answers(&matrix(r#"[1,"1"],[2,"-Inf"]"#), &two, Order::Any).is_err());
    }

    #[test]
    fn errors_are_equal_by_status_and_type_and_warnings_by_presence() {
        let bad = response(400, r#"{"status":"error","errorType":"bad_data","error":"x"}"#);
        assert_eq!(
            answers(
                &response(400, r#"{"status":"error","errorType":"bad_data","error":"y"}"#),
                &bad,
                Order::Any
            ),
            Ok(())
        );
        assert!(
            answers(
                &response(422, r#"{"status":"error","errorType":"execution"}"#),
                &bad,
                Order::Any
            )
            .is_err()
        );
        assert!(
            answers(
                &response(400, r#"{"status":"error","errorType":"execution"}"#),
                &bad,
                Order::Any
            )
            .is_err()
        );
        let data = r#""data":{"resultType":"vector","result":[]}"#;
        let warned = response(200, &format!(r#"{{"status":"success","warnings":["w"],{data}}}"#));
        assert!(answers(&vector(""), &warned, Order::Any).is_err());
        assert!(answers(&response(200, "<html>"), &warned, Order::Any).is_err());
    }
}
