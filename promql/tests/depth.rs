//! The deepest queries that the parser takes are evaluated, printed and dropped within the stack of a thread.

use model::Cancel;
use promql::engine::{Grid, Options, QueryValue, Value, eval};
use promql::parser::{MAX_DEPTH, parse};
use promql::printer::{format, pretty};
use promql::script::{MemoryStore, ScriptStore};

/// A query nested `levels` deep in `open` and `close`, which gives one number.
fn check(open: &str, middle: &str, close: &str, levels: usize, want: f64) {
    let text = format!("{}{middle}{}", open.repeat(levels), close.repeat(levels));
    let expr = parse(&text).unwrap_or_else(|e| panic!("{levels} of {open}{close}: {e}"));
    assert_eq!(parse(&format(&expr)).map(|e| format(&e)), Ok(format(&expr)));
    assert_eq!(parse(&pretty(&expr)).map(|e| format(&e)), Ok(format(&expr)));
    let store = MemoryStore::new();
    let answer = eval(
        &expr,
        Grid::instant(0),
        true,
        store.querier(),
        &Options::default(),
        &Cancel::new(),
    );
    let got = match answer.map(|answer| answer.value) {
        Ok(QueryValue::Scalar(_, got)) => got,
        Ok(QueryValue::Vector(series)) => match series[0].points[0].1 {
            Value::Float(got) => got,
            Value::Histogram(_) => f64::NAN,
        },
        other => panic!("{levels} of {open}{close}: {other:?}"),
    };
    assert!((got - want).abs() < 1e-9, "{levels} of {open}{close}: {got}");
}

#[test]
fn the_deepest_queries_are_evaluated() {
    check("", "1", "+1", MAX_DEPTH - 2, 255.0);
    check("", "vector(1)", "+vector(1)", MAX_DEPTH - 2, 255.0);
    check("(", "1", ")", MAX_DEPTH - 2, 1.0);
    check("-", "time()", "", MAX_DEPTH - 2, 0.0);
    check("sum(", "vector(1)", ")", MAX_DEPTH - 3, 1.0);
    check("abs(", "vector(1)", ")", MAX_DEPTH - 3, 1.0);
    check("max_over_time(", "vector(1)", "[1m:1m])", MAX_DEPTH / 3, 1.0);
}
