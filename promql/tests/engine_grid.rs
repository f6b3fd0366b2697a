//! The grid evaluation against itself: a range query must give at every step what an instant query gives there.

mod engine_store;

use std::collections::BTreeMap;

use engine_store::{Store, series};
use model::STALE_NAN;
use promql::engine::{EvalError, Grid, Value};
use proptest::prelude::*;

/// Shapes over the counters `c_total{job, instance}` and the gauges `g{job}` of the random stores.
const SHAPES: &[&str] = &[
    "c_total",
    "c_total offset 45s",
    "c_total offset -30s",
    "c_total @ 200",
    "timestamp(c_total)",
    "-g",
    "rate(c_total[1m])",
    "rate(c_total[50s] offset 20s)",
    "increase(c_total[2m])",
    "delta(g[70s])",
    "irate(c_total[1m])",
    "idelta(g[1m])",
    "deriv(g[2m])",
    "predict_linear(g[2m], 60)",
    "changes(g[90s])",
    "resets(c_total[90s])",
    "sum_over_time(g[1m])",
    "avg_over_time(g[1m])",
    "min_over_time(g[1m]) + max_over_time(g[1m])",
    "count_over_time(g[1m])",
    "last_over_time(g[40s])",
    "quantile_over_time(0.3, g[2m])",
    "stddev_over_time(g[2m])",
    "mad_over_time(g[2m])",
    "double_exponential_smoothing(g[2m], 0.3, 0.6)",
    "absent(g{job=\"a\"})",
    "absent_over_time(g{job=\"a\"}[20s])",
    "sum(c_total)",
    "sum by (job) (rate(c_total[1m]))",
    "avg without (instance) (c_total)",
    "stddev by (job) (c_total)",
    "max(c_total) - min(c_total)",
    "count by (job) (c_total)",
    "quantile by (job) (0.4, c_total)",
    "topk(2, c_total)",
    "bottomk by (job) (1, c_total)",
    "limitk(2, c_total)",
    "limit_ratio(0.5, c_total)",
    "count_values(\"v\", g)",
    "c_total / on (job) group_left () g",
    "c_total > 20",
    "c_total > bool 20",
    "c_total and on (job) g",
    "c_total or g",
    "c_total unless on (job) (g > 3)",
    "g * ignoring (x) g",
    "max_over_time(rate(c_total[30s])[2m:20s])",
    "sum_over_time(g[1m:7s] offset 13s)",
    "sum(sum_over_time((c_total + 1)[1m:]))",
    "label_replace(c_total, \"n\", \"$1x\", \"instance\", \"i(.*)\")",
    "label_join(c_total, \"n\", \"-\", \"job\", \"instance\")",
    "clamp(g, 1, 3) + round(g, 0.3)",
    "scalar(g{job=\"a\"}) + time()",
    "hour() + minute(g)",
    "vector(time() % 60)",
    "g == g",
    "sum by (job) (c_total) / count by (job) (c_total)",
    "rate(c_total[1m:10s])",
];

type Points = BTreeMap<(String, i64), u64>;

fn points(value: promql::engine::QueryValue) -> Points {
    let mut out = Points::new();
    for one in series(value) {
        for (t, value) in one.points {
            let Value::Float(value) = value else {
                panic!("a histogram")
            };
            // Every NaN is the same here: its bits are no part of an answer.
            let bits = if value.is_nan() {
                f64::NAN.to_bits()
            } else {
                value.to_bits()
            };
            assert_eq!(
                out.insert((one.labels.to_string(), t), bits),
                None,
                "twice {} {t}",
                one.labels
            );
        }
    }
    out
}

fn check(store: &Store, query: &str, grid: Grid) {
    let mut want = Ok(Points::new());
    for step in 0..grid.steps() {
        match (store.ask(query, Grid::instant(grid.at(step)), true), &mut want) {
            (Ok(answer), Ok(all)) => all.extend(points(answer.value)),
            (Err(error), want) => *want = Err(error),
            (Ok(_), Err(_)) => {}
        }
    }
    match (
        store.ask(query, grid, false).map(|answer| points(answer.value)),
        want,
    ) {
        (Ok(got), Ok(want)) => assert_eq!(got, want, "{query}"),
        (Err(EvalError::Execution { .. }), Err(EvalError::Execution { .. })) => {}
        (got, want) => panic!("{query}: got {got:?}, want {want:?}"),
    }
}

/// Samples some 10 s apart with gaps, resets, staleness markers and NaN.
fn samples(counter: bool) -> impl Strategy<Value = Vec<(i64, f64)>> {
    prop::collection::vec((1i64..25_000, 0u8..40, 0.0f64..10.0), 5..60).prop_map(move |steps| {
        let (mut t, mut total) = (0, 0.0);
        let mut out = Vec::new();
        for (distance, kind, value) in steps {
            t += distance;
            total = if counter { total + value } else { value.round() };
            match kind {
                0 => t += 120_000,
                1 => total = 0.0,
                2 => {
                    out.push((t, f64::from_bits(STALE_NAN)));
                    continue;
                }
                3 if !counter => {
                    out.push((t, f64::NAN));
                    continue;
                }
                _ => {}
            }
            out.push((t, total));
        }
        out
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_range_query_is_its_instants(
        counters in prop::collection::vec(samples(true), 4),
        gauges in prop::collection::vec(samples(false), 2),
        start_ms in 0i64..200_000,
        step_ms in 1i64..40_000,
        steps in 1i64..25,
    ) {
        let mut store = Store::default();
        for (at, column) in counters.into_iter().enumerate() {
            let job = if at < 2 { "a" } else { "b" };
            store.add(&format!("c_total{{job=\"{job}\", instance=\"i{at}\"}}"), column);
        }
        for (job, column) in ["a", "b"].into_iter().zip(gauges) {
            store.add(&format!("g{{job=\"{job}\"}}"), column);
        }
        let grid = Grid { start_ms, end_ms: start_ms + steps * step_ms, step_ms };
        for query in SHAPES {
            check(&store, query, grid);
        }
    }
}
