//! Queries with their answers over a small fixed store: operators, matching, errors, remarks, limits.

mod engine_store;

use engine_store::{Store, series};
use model::{Cancel, CancelReason};
use promql::engine::{EvalError, Grid, Options, QueryValue, Value, eval};

/// Two methods with error codes, and requests a method; every minute from 0 to 10.
fn store() -> Store {
    let mut store = Store::default();
    let minutes = |value: f64| (0..=10).map(move |m| (m * 60_000, value));
    for (selector, value) in [
        (r#"errors{method="get", code="500"}"#, 24.0),
        (r#"errors{method="get", code="404"}"#, 30.0),
        (r#"errors{method="put", code="501"}"#, 3.0),
        (r#"errors{method="post", code="500"}"#, 6.0),
        (r#"requests{method="get", team="red"}"#, 600.0),
        (r#"requests{method="del", team="blue"}"#, 34.0),
        (r#"requests{method="post", team="blue"}"#, 120.0),
        (r#"dup{method="get", x="1"}"#, 1.0),
        (r#"dup{method="get", x="2"}"#, 2.0),
        (r#"up{instance="a"}"#, 1.0),
        (r#"up{instance="b"}"#, 0.0),
        (r#"lat_bucket{le="1"}"#, 10.0),
        (r#"lat_bucket{le="2"}"#, 30.0),
        (r#"lat_bucket{le="+Inf"}"#, 40.0),
    ] {
        store.add(selector, minutes(value));
    }
    store.add("late", [(300_000, 7.0)]);
    for selector in [
        r#"work{instance="a", job="j", version="own"}"#,
        r#"work{instance="b", job="j"}"#,
        r#"work{instance="none", job="j"}"#,
        r#"target_info{instance="a", job="j", region="eu", version="1"}"#,
        r#"build_info{instance="a", job="j", go="1.25"}"#,
        r#"info_twice{instance="t"}"#,
        r#"target_info{instance="t", x="1"}"#,
        r#"target_info{instance="t", x="2"}"#,
        r#"info_pair{instance="p"}"#,
        r#"target_info{instance="p", x="1"}"#,
        r#"build_info{instance="p", x="2"}"#,
    ] {
        store.add(selector, minutes(1.0));
    }
    // Instance b has changed its region: two series, of which one has the newer samples.
    store.add(
        r#"target_info{instance="b", job="j", region="eu"}"#,
        [(200_000, 1.0)],
    );
    store.add(
        r#"target_info{instance="b", job="j", region="us"}"#,
        [(240_000, 1.0)],
    );
    for (kind, value) in [
        ("nan", f64::NAN),
        ("inf", f64::INFINITY),
        ("neg_inf", f64::NEG_INFINITY),
        ("tiny", 4.41e-298),
    ] {
        store.add(&format!("odd{{kind=\"{kind}\"}}"), [(300_000, value)]);
    }
    for (labels, value) in [
        ("", 0.0),
        (r#"a="9""#, 1.0),
        (r#"a="10", b="2""#, 2.0),
        (r#"a="10""#, 3.0),
        (r#"b="1""#, 4.0),
    ] {
        store.add(&format!("lab{{{labels}}}"), [(300_000, value)]);
    }
    store
}

/// One line a series: labels, then values with their seconds left out.
fn show(value: QueryValue, sorted: bool) -> Vec<String> {
    let mut lines: Vec<String> = series(value)
        .into_iter()
        .map(|one| {
            let values: Vec<String> = one
                .points
                .iter()
                .map(|(_, value)| match value {
                    Value::Float(v) => v.to_string(),
                    Value::Histogram(_) => "histogram".to_owned(),
                })
                .collect();
            format!("{} {}", one.labels, values.join(" "))
        })
        .collect();
    if sorted {
        lines.sort();
    }
    lines
}

fn check(query: &str, want: &[&str]) {
    let answer = store()
        .ask(query, Grid::instant(300_000), true)
        .unwrap_or_else(|e| panic!("{query}: {e}"));
    assert_eq!(show(answer.value, true), want, "{query}");
}

fn check_error(query: &str, want: &str) {
    match store().ask(query, Grid::instant(300_000), true) {
        Err(error) => assert_eq!(error.to_string(), want, "{query}"),
        Ok(answer) => panic!("{query}: {answer:?}"),
    }
}

#[test]
fn one_to_one() {
    check(
        r#"errors{code="500"} / ignoring (code, team) requests"#,
        &[r#"{method="get"} 0.04"#, r#"{method="post"} 0.05"#],
    );
    check(
        r#"errors{code="500"} / on (method) requests"#,
        &[r#"{method="get"} 0.04"#, r#"{method="post"} 0.05"#],
    );
    check("up == up", &[r#"up{instance="a"} 1"#, r#"up{instance="b"} 0"#]);
    check(
        "up > bool on (instance) up",
        &[r#"{instance="a"} 0"#, r#"{instance="b"} 0"#],
    );
    check("up * up", &[r#"{instance="a"} 1"#, r#"{instance="b"} 0"#]);
}

#[test]
fn many_to_one() {
    check(
        "errors / on (method) group_left (team) requests",
        &[
            r#"{code="404", method="get", team="red"} 0.05"#,
            r#"{code="500", method="get", team="red"} 0.04"#,
            r#"{code="500", method="post", team="blue"} 0.05"#,
        ],
    );
    check(
        "requests / on (method) group_right (team) errors > 22",
        &[r#"{code="500", method="get", team="red"} 25"#],
    );
    check(
        "errors > on (method) group_left () (requests / 25)",
        &[
            r#"errors{code="404", method="get"} 30"#,
            r#"errors{code="500", method="post"} 6"#,
        ],
    );
}

#[test]
fn fills() {
    check(
        r#"errors{code="500"} + on (method) fill (0) requests"#,
        &[
            r#"{method="del"} 34"#,
            r#"{method="get"} 624"#,
            r#"{method="post"} 126"#,
        ],
    );
    check(
        r#"errors{code="500"} + on (method) fill_left (1) requests"#,
        &[
            r#"{method="del"} 35"#,
            r#"{method="get"} 624"#,
            r#"{method="post"} 126"#,
        ],
    );
    check(
        r#"errors + on (method) group_left () fill_right (5) requests"#,
        &[
            r#"{code="404", method="get"} 630"#,
            r#"{code="500", method="get"} 624"#,
            r#"{code="500", method="post"} 126"#,
            r#"{code="501", method="put"} 8"#,
        ],
    );
}

#[test]
fn set_operators() {
    check(
        "errors and on (method) requests",
        &[
            r#"errors{code="404", method="get"} 30"#,
            r#"errors{code="500", method="get"} 24"#,
            r#"errors{code="500", method="post"} 6"#,
        ],
    );
    check(
        "errors unless on (method) requests",
        &[r#"errors{code="501", method="put"} 3"#],
    );
    check(
        "up or late or up",
        &["late 7", r#"up{instance="a"} 1"#, r#"up{instance="b"} 0"#],
    );
    check(
        "up and ignoring (instance) late",
        &[r#"up{instance="a"} 1"#, r#"up{instance="b"} 0"#],
    );
}

#[test]
fn scalars() {
    check("up > 0", &[r#"up{instance="a"} 1"#]);
    check("0 < up", &[r#"up{instance="a"} 1"#]);
    check("up == bool 0", &[r#"{instance="a"} 0"#, r#"{instance="b"} 1"#]);
    check("2 ^ 3 % 5 - 1", &["{} 2"]);
    check("-5 % 3", &["{} -2"]);
    check("1 > bool 2", &["{} 0"]);
    check("1 / 0", &["{} inf"]);
    check("late atan2 7", &[&format!("{{}} {}", 1f64.atan2(1.0))]);
    check("scalar(up)", &["{} NaN"]);
    check("vector(1) + late", &["{} 8"]);
    check("-late", &["{} -7"]);
}

#[test]
fn functions() {
    check("histogram_quantile(0.5, lat_bucket)", &["{} 1.5"]);
    check("histogram_fraction(0, 1, lat_bucket)", &["{} 0.25"]);
    check(
        r#"histogram_quantiles(lat_bucket, "q", 0.25, 1)"#,
        &[r#"{q="0.25"} 1"#, r#"{q="1.0"} 2"#],
    );
    check(r#"absent(nope{a="b", c=~"d"})"#, &[r#"{a="b"} 1"#]);
    check("absent(up)", &[]);
    check(
        "sum(up) by (instance)",
        &[r#"{instance="a"} 1"#, r#"{instance="b"} 0"#],
    );
    check(
        "sum without (code) (errors)",
        &[
            r#"{method="get"} 54"#,
            r#"{method="post"} 6"#,
            r#"{method="put"} 3"#,
        ],
    );
    check(
        r#"label_replace(late, "a", "$1-$$", "__name__", "(l).*")"#,
        &[r#"late{a="l-$"} 7"#],
    );
    check(
        r#"label_join(late, "a", "/", "__name__", "b", "__name__")"#,
        &[r#"late{a="late//late"} 7"#],
    );
    check("timestamp(late offset 0s)", &["{} 300"]);
    check("min_of(1, 2) + max_of(1, 2)", &["{} 3"]);
    check("count_values(\"v\", errors / errors)", &[r#"{v="1"} 4"#]);
    check("last_over_time(late[1m])", &["late 7"]);
    check(
        "sum_over_time(up[2m])",
        &[r#"{instance="a"} 2"#, r#"{instance="b"} 0"#],
    );
    check(
        "sum_over_time(up[2m:30s])",
        &[r#"{instance="a"} 4"#, r#"{instance="b"} 0"#],
    );
}

#[test]
fn order_of_instant_answers() {
    for (query, want) in [
        ("sort(errors)", vec![3.0, 6.0, 24.0, 30.0]),
        ("sort_desc(errors)", vec![30.0, 24.0, 6.0, 3.0]),
        ("topk(2, errors)", vec![30.0, 24.0]),
        ("bottomk(3, errors)", vec![3.0, 6.0, 24.0]),
        (
            r#"sort_by_label_desc(errors, "method", "code")"#,
            vec![3.0, 6.0, 24.0, 30.0],
        ),
        (r#"sort_by_label(lab, "a", "b")"#, vec![0.0, 4.0, 1.0, 3.0, 2.0]),
    ] {
        let answer = store().ask(query, Grid::instant(300_000), true).unwrap();
        let got: Vec<f64> = series(answer.value)
            .iter()
            .flat_map(|one| &one.points)
            .map(|(_, value)| if let Value::Float(v) = value { *v } else { f64::NAN })
            .collect();
        assert_eq!(got, want, "{query}");
    }
}

/// `info` adds what the info series with the same job and instance has, and keeps what is there.
#[test]
fn info_adds_labels() {
    let a = r#"work{instance="a", job="j", region="eu", version="own"} 1"#;
    let a_plain = r#"work{instance="a", job="j", version="own"} 1"#;
    let b = r#"work{instance="b", job="j", region="us"} 1"#;
    let b_plain = r#"work{instance="b", job="j"} 1"#;
    let none = r#"work{instance="none", job="j"} 1"#;
    for (query, want) in [
        ("info(work)", vec![a, b, none]),
        ("info(work, {})", vec![a, b, none]),
        (r#"info(work, {region="us"})"#, vec![b]),
        (r#"info(work, {region=~".+"})"#, vec![a, b]),
        (r#"info(work, {region=~".*"})"#, vec![a, b, none]),
        (r#"info(work, {version=~".*"})"#, vec![a_plain, b_plain, none]),
        (r#"info(work, {nothing="x"})"#, vec![]),
        (
            r#"info(work, {__name__="build_info"})"#,
            vec![
                r#"work{go="1.25", instance="a", job="j", version="own"} 1"#,
                b_plain,
                none,
            ],
        ),
        (
            r#"info(work{instance="a"}, {__name__=~".*_info", go=~".*", region=~".*"})"#,
            vec![r#"work{go="1.25", instance="a", job="j", region="eu", version="own"} 1"#],
        ),
        (
            r#"info(target_info{region="us"})"#,
            vec![r#"target_info{instance="b", job="j", region="us"} 1"#],
        ),
        (
            r#"info(sum by (instance, job) (work{instance="a"}))"#,
            vec![r#"{instance="a", job="j", region="eu", version="1"} 1"#],
        ),
        (
            r#"info(work{instance="a"} * 2, {region=~".*"})"#,
            vec![r#"work{instance="a", job="j", region="eu", version="own"} 2"#],
        ),
        (
            r#"info(work{instance="a"}, {__name__!="target_info"})"#,
            vec![r#"work{go="1.25", instance="a", job="j", version="own"} 1"#],
        ),
        (
            r#"info(target_info{region="us"}, {region="us"})"#,
            vec![r#"target_info{instance="b", job="j", region="us"} 1"#],
        ),
        ("info(late)", vec!["late 7"]),
        (r#"info(late, {region="eu"})"#, vec![]),
    ] {
        check(query, &want);
    }
}

/// Which info series is met may change from step to step, and the series changes its labels with it.
#[test]
fn info_follows_a_change() {
    let grid = Grid {
        start_ms: 180_000,
        end_ms: 300_000,
        step_ms: 30_000,
    };
    let answer = store().ask(r#"info(work{instance="b"})"#, grid, false).unwrap();
    assert_eq!(
        show(answer.value, true),
        [
            r#"work{instance="b", job="j", region="eu"} 1"#,
            r#"work{instance="b", job="j", region="us"} 1 1 1"#,
            r#"work{instance="b", job="j"} 1"#,
        ]
    );
}

/// Infinities win over NaN in Go's `math.Max` and `math.Min`; other NaN win.
#[test]
fn odd_bounds_and_values() {
    let odd = |nan: &str, inf: &str, neg_inf: &str, tiny: &str| {
        let kinds = [("inf", inf), ("nan", nan), ("neg_inf", neg_inf), ("tiny", tiny)];
        kinds.map(|(kind, value)| format!("{{kind=\"{kind}\"}} {value}"))
    };
    for (query, want) in [
        ("clamp_max(odd, NaN)", odd("NaN", "NaN", "-inf", "NaN")),
        ("clamp_min(odd, NaN)", odd("NaN", "inf", "NaN", "NaN")),
        ("clamp(odd, NaN, 1)", odd("NaN", "NaN", "NaN", "NaN")),
        ("clamp(odd, 0, NaN)", odd("NaN", "NaN", "0", "NaN")),
        ("clamp_max(odd, 0)", odd("NaN", "0", "-inf", "0")),
        (
            "year(odd)",
            odd("292277026596", "292277026596", "292277026596", "1970"),
        ),
        ("hour(odd)", odd("15", "15", "15", "0")),
        ("days_in_month(odd)", odd("31", "31", "31", "31")),
    ] {
        let want: Vec<&str> = want.iter().map(String::as_str).collect();
        check(query, &want);
    }
    check("max_of(NaN, Inf) + min_of(NaN, 1)", &["{} NaN"]);
    check("max_of(NaN, Inf)", &["{} inf"]);
    let digits = format!("0.{}441", "0".repeat(297));
    check(
        r#"count_values("v", odd{kind="tiny"})"#,
        &[format!(r#"{{v="{digits}"}} 1"#).as_str()],
    );
}

/// Which series stay is the answer: the expectations are XXH64 of the labels as official builds of Prometheus encode them,
/// computed apart from this code. The places are 0.21 (post), 0.47 (404), 0.58 (get 500), 0.96 (put).
#[test]
fn limit_ratio_keeps_the_same_series_as_upstream() {
    let post = r#"errors{code="500", method="post"} 6"#;
    let not_found = r#"errors{code="404", method="get"} 30"#;
    let get = r#"errors{code="500", method="get"} 24"#;
    let put = r#"errors{code="501", method="put"} 3"#;
    for (query, want) in [
        ("limit_ratio(0, errors)", vec![]),
        ("limit_ratio(0.25, errors)", vec![post]),
        ("limit_ratio(0.5, errors)", vec![not_found, post]),
        ("limit_ratio(-0.5, errors)", vec![get, put]),
        ("limit_ratio(1, errors)", vec![not_found, get, post, put]),
        (
            "limit_ratio(0.5, errors * 1)",
            vec![
                r#"{code="404", method="get"} 30"#,
                r#"{code="500", method="post"} 6"#,
            ],
        ),
    ] {
        check(query, &want);
    }
}

#[test]
fn errors_have_upstreams_words() {
    check_error(
        "errors / on (method) dup",
        "found duplicate series for the match group {method=\"get\"} on the right hand-side of the operation: \
         [{__name__=\"dup\", method=\"get\", x=\"2\"}, {__name__=\"dup\", method=\"get\", x=\"1\"}];many-to-many \
         matching not allowed: matching labels must be unique on one side",
    );
    check_error(
        "errors / on (method) requests",
        "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
    );
    check_error(
        r#"count_values("bad\xfflabel", up)"#,
        r#"invalid label name "bad\xfflabel""#,
    );
    check_error("topk(NaN, up)", "Parameter value is NaN");
    check_error("topk(1e30, up)", "Scalar value 1e+30 overflows int64");
    check_error(
        r#"-{__name__=~"requests|nothing"} + 0 * -{__name__=~"dup|up"} or abs({method="get", __name__=~"dup|errors"} * 0) or abs({instance="a"}) or label_replace(dup, "x", "", "", "")"#,
        "vector cannot contain metrics with the same labelset",
    );
    check_error(
        "double_exponential_smoothing(up[1m], 2, 0.1)",
        "invalid smoothing factor. Expected: 0 < sf < 1, got: 2.000000",
    );
    check_error(
        "info(info_twice)",
        "found duplicate series for info metric: existing {__name__=\"target_info\", instance=\"t\", x=\"1\"} @ 300000, \
         new {__name__=\"target_info\", instance=\"t\", x=\"2\"} @ 300000",
    );
    check_error(
        r#"info(info_pair, {__name__=~"build_info|target_info"})"#,
        "conflicting label: x",
    );
}

#[test]
fn remarks_say_where() {
    for (query, warnings, infos) in [
        (
            "sum(\n  rate(up[5m]))",
            vec![],
            vec![
                "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \
                 \"up\" (2:8)",
            ],
        ),
        (
            "quantile(1.5, up)",
            vec!["PromQL warning: quantile value should be between 0 and 1, got 1.5 (1:10)"],
            vec![],
        ),
        ("rate(lat_bucket[5m])", vec![], vec![]),
    ] {
        let found = store()
            .ask(query, Grid::instant(300_000), true)
            .unwrap()
            .annotations;
        assert_eq!(
            (found.warnings, found.infos),
            (owned(&warnings), owned(&infos)),
            "{query}"
        );
    }
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

#[test]
fn lookback_and_ranges_are_open_to_the_left() {
    for (query, t_ms, want) in [
        ("late", 300_000, vec!["late 7"]),
        ("late", 599_999, vec!["late 7"]),
        ("late", 600_000, vec![]),
        ("count_over_time(late[1m])", 359_999, vec!["{} 1"]),
        ("count_over_time(late[1m])", 360_000, vec![]),
        ("count_over_time(late[1m:1m])", 420_000, vec!["{} 1"]),
    ] {
        let answer = store().ask(query, Grid::instant(t_ms), true).unwrap();
        assert_eq!(show(answer.value, true), want, "{query} at {t_ms}");
    }
}

#[test]
fn shapes_of_answers() {
    let grid = Grid {
        start_ms: 240_000,
        end_ms: 360_000,
        step_ms: 60_000,
    };
    for (query, want) in [
        ("late", vec!["late 7 7"]),
        ("3", vec!["{} 3 3 3"]),
        ("time()", vec!["{} 240 300 360"]),
    ] {
        let answer = store().ask(query, grid, false).unwrap();
        assert!(matches!(answer.value, QueryValue::Matrix(_)), "{query}");
        assert_eq!(show(answer.value, true), want, "{query}");
    }
    let at = Grid::instant(300_000);
    assert_eq!(
        store().ask("\"x\"", at, true).unwrap().value,
        QueryValue::String(300_000, "x".to_owned())
    );
    assert_eq!(
        store().ask("1", at, true).unwrap().value,
        QueryValue::Scalar(300_000, 1.0)
    );
    let raw = store().ask("up{instance=\"a\"}[2m]", at, true).unwrap();
    assert!(matches!(raw.value, QueryValue::Matrix(_)));
    assert_eq!(raw.stats.samples_read, 2);
    assert_eq!(show(raw.value, true), [r#"up{instance="a"} 1 1"#]);
}

#[test]
fn limits_and_cancelling_end_a_query() {
    let store = store();
    let expr = promql::parser::parse("errors + 1").unwrap();
    let grid = Grid {
        start_ms: 0,
        end_ms: 600_000,
        step_ms: 1000,
    };
    let run =
        |options: &Options, cancel: &Cancel| eval(&expr, grid, false, &store, options, cancel).map(|_| ());
    let few_samples = Options {
        max_samples: 1000,
        ..Options::default()
    };
    let few_series = Options {
        max_series: 3,
        ..Options::default()
    };
    let cancel = Cancel::new();
    for (options, want) in [
        (few_samples, "too many samples into memory"),
        (few_series, "matches 4 series"),
    ] {
        match run(&options, &cancel) {
            Err(EvalError::Limit(text)) => assert!(text.contains(want), "{text}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(run(&Options::default(), &cancel), Ok(()));
    for query in [
        "sum_over_time(vector(1)[100y:1ms])",
        "count_over_time(errors[100y:1ms])",
        "max_over_time(vector(time())[200y:1ms])",
    ] {
        match store.ask(query, Grid::instant(i64::MAX / 2), true) {
            Err(EvalError::Limit(text)) => assert!(text.contains("too many samples"), "{text}"),
            other => panic!("{query}: {other:?}"),
        }
    }
    cancel.cancel(CancelReason::HungUp);
    assert_eq!(
        run(&Options::default(), &cancel),
        Err(EvalError::Cancelled(CancelReason::HungUp))
    );
}

#[test]
fn folding_holds_groups_and_not_series() {
    let mut store = Store::default();
    for at in 0..50 {
        store.add(
            &format!("m_total{{i=\"{at}\"}}"),
            (0..100).map(|m| (m * 15_000, f64::from(at))),
        );
    }
    let grid = Grid {
        start_ms: 0,
        end_ms: 1_400_000,
        step_ms: 10_000,
    };
    let answer = store.ask("sum(rate(m_total[1m]))", grid, false).unwrap();
    let steps = u64::try_from(grid.steps()).unwrap();
    assert!(
        answer.stats.peak_samples < 3 * steps,
        "{:?} {steps}",
        answer.stats
    );
    assert_eq!(answer.stats.series_read, 50);
}
