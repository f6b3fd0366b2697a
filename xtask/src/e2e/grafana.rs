//! What Grafana asks of a Prometheus data source, answered by the real Prometheus and by Masthead with the same data.
//!
//! Where the answer is the data's, it must be equal; where it is the server's own (flags, versions), it must have the
//! same shape: every key that Prometheus sends, with a value of the same type.

use anyhow::{Result, bail};
use serde_json::Value;

use super::Outcome;
use crate::differential::{self, data};
use crate::http::{self, Response, clip, form_encode};
use crate::peers;
use crate::server::{self, Server, TempDir};

/// How two answers are compared.
#[derive(Debug, Clone, Copy)]
enum Compare {
    /// The same JSON.
    Equal,
    /// The same JSON, where the order of the list in `data` does not count.
    SameSet,
    /// Every key that Prometheus sends under `data`, with the same types.
    Shape,
    /// `data` is an object whose keys are the server's own.
    Map,
    /// Only status code and `status`.
    Status,
}

use Compare::{Equal, Map, SameSet, Shape, Status};

/// A request: method, path, parameters (`$end`, `$start`: seconds; `$end_ms`, `$start_ms`), and how to compare.
type Row = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    Compare,
);

const REQUESTS: &[Row] = &[
    // The health check of the data source.
    ("POST", "/api/v1/query", &[("query", "1+1"), ("time", "4")], Equal),
    ("GET", "/api/v1/status/buildinfo", &[], Shape),
    // Panels.
    (
        "POST",
        "/api/v1/query_range",
        &[
            ("query", "alive"),
            ("start", "$start"),
            ("end", "$end"),
            ("step", "60"),
        ],
        Equal,
    ),
    (
        "POST",
        "/api/v1/query_range",
        &[
            ("query", "alive"),
            ("start", "$start.5"),
            ("end", "$end"),
            ("step", "1m"),
            ("timeout", "30s"),
        ],
        Equal,
    ),
    (
        "GET",
        "/api/v1/query_range",
        &[
            ("query", "sum(alive)"),
            ("start", "$start"),
            ("end", "$end"),
            ("step", "15.5"),
        ],
        Equal,
    ),
    (
        "GET",
        "/api/v1/query",
        &[("query", "sum(alive)"), ("time", "$end.123")],
        Equal,
    ),
    (
        "POST",
        "/api/v1/query_exemplars",
        &[("query", "alive"), ("start", "$start"), ("end", "$end")],
        Equal,
    ),
    // Its first calls: the times of the exemplars are milliseconds.
    ("GET", "/api/v1/rules", &[], Equal),
    (
        "GET",
        "/api/v1/query_exemplars",
        &[("query", "test"), ("start", "$start_ms"), ("end", "$end_ms")],
        Equal,
    ),
    ("GET", "/api/v1/metadata", &[], Map),
    ("GET", "/api/v1/alerts", &[], Equal),
    // Completion and variables.
    (
        "GET",
        "/api/v1/labels",
        &[
            ("match[]", "alive"),
            ("start", "$start"),
            ("end", "$end"),
            ("limit", "40000"),
        ],
        SameSet,
    ),
    (
        "POST",
        "/api/v1/labels",
        &[("match[]", "{job=\"web\"}"), ("start", "$start"), ("end", "$end")],
        SameSet,
    ),
    (
        "GET",
        "/api/v1/label/instance/values",
        &[("match[]", "alive"), ("start", "$start"), ("end", "$end")],
        SameSet,
    ),
    (
        "GET",
        "/api/v1/label/__name__/values",
        &[("match[]", "{job=\"web\"}"), ("start", "$start"), ("end", "$end")],
        SameSet,
    ),
    (
        "GET",
        "/api/v1/label/U__dotted_2e_name/values",
        &[("start", "$start"), ("end", "$end"), ("match[]", "odd_labels")],
        SameSet,
    ),
    (
        "GET",
        "/api/v1/label/code/values",
        &[("match[]", "http_requests_total"), ("limit", "2")],
        SameSet,
    ),
    ("GET", "/api/v1/label/no_such_label/values", &[], SameSet),
    (
        "GET",
        "/api/v1/series",
        &[
            ("match[]", "alive"),
            ("start", "$start"),
            ("end", "$end"),
            ("limit", "40000"),
        ],
        SameSet,
    ),
    (
        "POST",
        "/api/v1/series",
        &[
            ("match[]", "alive"),
            ("match[]", "countdown"),
            ("start", "$start"),
            ("end", "$end"),
        ],
        SameSet,
    ),
    (
        "POST",
        "/api/v1/series",
        &[
            ("match[]", "no_such_metric"),
            ("start", "$start"),
            ("end", "$end"),
        ],
        SameSet,
    ),
    ("GET", "/api/v1/series", &[], Status),
    ("GET", "/api/v1/series", &[("match[]", "alive{")], Status),
    ("GET", "/api/v1/labels", &[("match[]", "{}")], Status),
    (
        "GET",
        "/api/v1/label/bad-name/values",
        &[("match[]", "alive")],
        Status,
    ),
    // GET only: Grafana tries POST first and falls back on 405.
    (
        "POST",
        "/api/v1/label/instance/values",
        &[("match[]", "alive")],
        Status,
    ),
    ("POST", "/api/v1/metadata", &[], Status),
    ("POST", "/api/v1/rules", &[], Status),
    // Status pages.
    ("GET", "/api/v1/targets", &[("state", "active")], Status),
    ("GET", "/api/v1/targets/metadata", &[], Status),
    ("GET", "/api/v1/alertmanagers", &[], Shape),
    ("GET", "/api/v1/status/config", &[], Shape),
    ("GET", "/api/v1/status/flags", &[], Map),
    ("GET", "/api/v1/status/runtimeinfo", &[], Shape),
    ("GET", "/api/v1/status/tsdb", &[], Shape),
    ("GET", "/api/v1/status/walreplay", &[], Shape),
    ("GET", "/api/v1/notifications", &[], Shape),
    (
        "GET",
        "/api/v1/format_query",
        &[("query", "sum by(job)(rate(alive[5m]))/2")],
        Equal,
    ),
    (
        "POST",
        "/api/v1/format_query",
        &[("query", "foo/bar and on(a) group_left b")],
        Status,
    ),
    // Errors, which Grafana shows.
    ("POST", "/api/v1/query", &[("query", "alive{")], Status),
    ("POST", "/api/v1/query", &[("query", "")], Status),
    (
        "POST",
        "/api/v1/query",
        &[("query", "1"), ("time", "yesterday")],
        Status,
    ),
    (
        "POST",
        "/api/v1/query_range",
        &[
            ("query", "1"),
            ("start", "$end"),
            ("end", "$start"),
            ("step", "15"),
        ],
        Status,
    ),
    (
        "POST",
        "/api/v1/query_range",
        &[
            ("query", "1"),
            ("start", "$start"),
            ("end", "$end"),
            ("step", "0"),
        ],
        Status,
    ),
    (
        "POST",
        "/api/v1/query_range",
        &[("query", "1"), ("start", "1"), ("end", "$end"), ("step", "1")],
        Status,
    ),
    (
        "POST",
        "/api/v1/query_range",
        &[("query", "1"), ("start", "$start"), ("end", "$end")],
        Status,
    ),
    (
        "POST",
        "/api/v1/query",
        &[("query", "1"), ("timeout", "x")],
        Status,
    ),
    ("GET", "/api/v1/nothing_here", &[], Status),
];

/// The case.
pub(super) fn same_as_prometheus() -> Result<Outcome> {
    let program = match peers::program("prometheus") {
        Ok(program) => program,
        Err(why) => return Ok(Outcome::Missing(why)),
    };
    let folder = TempDir::new("grafana")?;
    let oracle = server::prometheus(&program, folder.path())?;
    let ours = server::masthead(&folder.path().join("masthead"), &[])?;
    let end_ms = super::now_ms()? / 60_000 * 60_000 - 60_000;
    let start_ms = end_ms - data::SPAN_MS;
    let series = data::series(start_ms);
    for server in [&oracle, &ours] {
        differential::load(server, &series, start_ms)?;
    }
    let mut wrong = Vec::new();
    for row in REQUESTS {
        let (method, path, _, compare) = row;
        let form = parameters(row, start_ms, end_ms);
        let (a, b) = (
            ask(&ours, method, path, &form)?,
            ask(&oracle, method, path, &form)?,
        );
        if let Err(what) = judge(*compare, &a, &b) {
            wrong.push(format!("{method} {path}?{form}: {what}"));
        }
    }
    if let Err(what) = compresses(&ours) {
        wrong.push(what);
    }
    if wrong.is_empty() {
        println!("     {} requests", REQUESTS.len());
        return Ok(Outcome::Passed);
    }
    bail!(
        "{} of {} requests:\n       {}",
        wrong.len(),
        REQUESTS.len(),
        wrong.join("\n       ")
    );
}

/// The parameters of a request, encoded.
fn parameters(row: &Row, start_ms: i64, end_ms: i64) -> String {
    let fill = |text: &str| {
        text.replace("$start_ms", &start_ms.to_string())
            .replace("$end_ms", &end_ms.to_string())
            .replace("$start", &(start_ms / 1000).to_string())
            .replace("$end", &(end_ms / 1000).to_string())
    };
    let filled: Vec<(&str, String)> = row.2.iter().map(|(key, value)| (*key, fill(value))).collect();
    form_encode(
        &filled
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .collect::<Vec<_>>(),
    )
}

fn ask(server: &Server, method: &str, path: &str, form: &str) -> Result<Response> {
    if method == "GET" {
        return http::get(&server.address, &format!("{path}?{form}"));
    }
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    http::request(&server.address, method, path, &headers, form.as_bytes())
}

/// A long answer is compressed for a client that takes gzip.
fn compresses(server: &Server) -> Result<(), String> {
    let path = "/api/v1/label/__name__/values";
    let response = http::request(&server.address, "GET", path, &[("Accept-Encoding", "gzip")], b"");
    match response {
        Ok(response) if response.header("content-encoding") == Some("gzip") => Ok(()),
        Ok(response) => Err(format!(
            "GET {path} with Accept-Encoding: gzip: {:?}",
            response.headers
        )),
        Err(error) => Err(format!("{error:#}")),
    }
}

fn judge(compare: Compare, ours: &Response, oracle: &Response) -> Result<(), String> {
    if ours.status != oracle.status {
        return Err(format!(
            "status {}, not {}: {}",
            ours.status,
            oracle.status,
            clip(&ours.text())
        ));
    }
    // A 404 or 405 of Prometheus' router is plain text.
    let Ok(b) = oracle.json() else { return Ok(()) };
    let Ok(a) = ours.json() else {
        return Err(format!("not JSON: {}", clip(&ours.text())));
    };
    for key in ["status", "errorType"] {
        if a.get(key) != b.get(key) {
            return Err(format!("{key}: {:?}, not {:?}", a.get(key), b.get(key)));
        }
    }
    if matches!(compare, Status) {
        return Ok(());
    }
    let (a, b) = (&a["data"], &b["data"]);
    match compare {
        Equal if sorted_result(a) == sorted_result(b) => Ok(()),
        SameSet if sorted(a) == sorted(b) => Ok(()),
        Equal | SameSet => Err(format!("{}, not {}", clip(&a.to_string()), clip(&b.to_string()))),
        Map if a.is_object() == b.is_object() => match (first(a), first(b)) {
            (Some(a), Some(b)) => shape(a, b, "data.*"),
            _ => Ok(()),
        },
        Map => Err(format!("data is not an object: {}", clip(&a.to_string()))),
        Shape | Status => shape(a, b, "data"),
    }
}

fn first(object: &Value) -> Option<&Value> {
    object.as_object()?.values().next()
}

/// A list with its elements in order; anything else as it is.
fn sorted(value: &Value) -> Value {
    match value.as_array() {
        Some(list) => {
            let mut list = list.clone();
            list.sort_by_cached_key(Value::to_string);
            Value::Array(list)
        }
        None => value.clone(),
    }
}

/// The `result` of a query with its series in order.
fn sorted_result(value: &Value) -> Value {
    let mut value = value.clone();
    if value
        .get("resultType")
        .and_then(Value::as_str)
        .is_some_and(|kind| kind != "scalar")
    {
        value["result"] = sorted(&value["result"]);
    }
    value
}

/// Has `ours` every key of the oracle, with values of the same types?
fn shape(ours: &Value, oracle: &Value, place: &str) -> Result<(), String> {
    match (ours, oracle) {
        (Value::Object(a), Value::Object(b)) => {
            for (key, value) in b {
                let place = format!("{place}.{key}");
                match a.get(key) {
                    Some(own) => shape(own, value, &place)?,
                    None => return Err(format!("{place} is missing")),
                }
            }
            Ok(())
        }
        // Lists may be empty on either side; their elements are alike within a list.
        (Value::Array(a), Value::Array(b)) => match (a.first(), b.first()) {
            (Some(a), Some(b)) => shape(a, b, &format!("{place}[0]")),
            _ => Ok(()),
        },
        (Value::String(_), Value::String(_))
        | (Value::Number(_), Value::Number(_))
        | (Value::Bool(_), Value::Bool(_))
        | (Value::Null, Value::Null) => Ok(()),
        _ => Err(format!(
            "{place} is {}, not {}",
            clip(&ours.to_string()),
            clip(&oracle.to_string())
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(compare: Compare, ours: &str, oracle: &str, equal: bool) {
        let response = |data: &str| Response {
            status: 200,
            headers: Vec::new(),
            body: format!(r#"{{"status":"success","data":{data}}}"#).into_bytes(),
        };
        let got = judge(compare, &response(ours), &response(oracle));
        assert_eq!(got.is_ok(), equal, "{ours} {oracle} {got:?}");
    }

    #[test]
    fn shapes_want_every_key_with_its_type() {
        check(
            Shape,
            r#"{"a":1,"b":"x","c":[{"d":true}]}"#,
            r#"{"a":2,"b":"y","c":[{"d":false}]}"#,
            true,
        );
        check(Shape, r#"{"a":1,"more":1}"#, r#"{"a":2}"#, true);
        check(Shape, r#"{"a":1}"#, r#"{"a":1,"b":1}"#, false);
        check(Shape, r#"{"a":"1"}"#, r#"{"a":1}"#, false);
        check(Shape, r#"{"c":[{"x":1}]}"#, r#"{"c":[{"d":1}]}"#, false);
        check(Shape, r#"{"c":[]}"#, r#"{"c":[{"d":1}]}"#, true);
        check(Map, r#"{"x":"1"}"#, r#"{"y":"2"}"#, true);
        check(Map, r#"{"x":1}"#, r#"{"y":"2"}"#, false);
        check(Map, "[]", r#"{"y":"2"}"#, false);
    }

    #[test]
    fn data_is_equal_or_a_set() {
        check(SameSet, r#"["a","b"]"#, r#"["b","a"]"#, true);
        check(SameSet, r#"["a"]"#, r#"["b","a"]"#, false);
        check(
            Equal,
            r#"{"resultType":"vector","result":[1,2]}"#,
            r#"{"resultType":"vector","result":[2,1]}"#,
            true,
        );
        check(
            Equal,
            r#"{"resultType":"scalar","result":[4,"2"]}"#,
            r#"{"resultType":"scalar","result":["2",4]}"#,
            false,
        );
        check(Status, "1", "2", true);
    }
}
