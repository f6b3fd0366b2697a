//! What is printed can be read again, for queries made at random; and long queries are laid out as upstream does.

use promql::parser::parse;
use promql::printer::{format, pretty};
use proptest::prelude::*;

mod tree;
use tree::normalised;

fn label() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_][a-z0-9_]{0,4}",
        Just("on".to_owned()),
        Just("\"a.b\"".to_owned()),
        Just("\"ü\"".to_owned())
    ]
}

fn labels() -> impl Strategy<Value = String> {
    prop::collection::vec(label(), 0..3).prop_map(|labels| format!("({})", labels.join(", ")))
}

fn string() -> impl Strategy<Value = String> {
    prop_oneof![
        "\"[a-z .*|+]{0,6}\"",
        "'[^'\\\\\n*+?(){}\\[\\]]{0,6}'",
        "`[a-z\\\\\"]{0,4}`",
        Just("\"\\x41\\u00e4\\n\"".to_owned())
    ]
}

fn duration() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        (1u32..5000).prop_map(|n| format!("{n}")),
        (
            1u32..500,
            prop::sample::select(vec!["ms", "s", "m", "h", "d", "w", "y"])
        )
            .prop_map(|(n, unit)| format!("{n}{unit}")),
        Just("1h30m".to_owned()),
        Just("0.5".to_owned()),
        Just("step()".to_owned()),
        Just("range()".to_owned()),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (
                inner.clone(),
                prop::sample::select(vec!["+", "-", "*", "/", "%", "^"]),
                inner.clone()
            )
                .prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            inner.clone().prop_map(|a| format!("({a})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("max_of({a}, {b})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("min_of({a}, {b})")),
        ]
    })
    .boxed()
}

fn modifiers() -> impl Strategy<Value = String> {
    let at = prop_oneof![
        Just(String::new()),
        Just(" @ start()".to_owned()),
        Just(" @ end()".to_owned()),
        (-5000i32..5000).prop_map(|t| format!(" @ {}.{:03}", t / 10, t.unsigned_abs() % 1000)),
    ];
    let offset = prop_oneof![
        Just(String::new()),
        (1u32..90).prop_map(|n| format!(" offset {n}m")),
        (1u32..90).prop_map(|n| format!(" offset -{n}")),
        duration().prop_map(|d| format!(" offset ({d})")),
        duration().prop_map(|d| format!(" offset -({d})")),
    ];
    (at, offset, any::<bool>()).prop_map(|(at, offset, first)| {
        if first {
            format!("{at}{offset}")
        } else {
            format!("{offset}{at}")
        }
    })
}

fn series() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        "[a-z_:][a-z0-9_:]{0,6}x",
        Just("sum".to_owned()),
        Just("by".to_owned()),
        Just("end".to_owned())
    ];
    let matcher = (
        label(),
        prop::sample::select(vec!["=", "!=", "=~", "!~"]),
        string(),
    )
        .prop_map(|(name, op, value)| format!("{name}{op}{value}"));
    let inside = prop::collection::vec(matcher, 0..3).boxed();
    prop_oneof![
        (name.clone(), inside.clone()).prop_map(|(name, m)| format!("{name}{{{}}}", m.join(","))),
        name,
        inside.prop_map(|mut m| {
            m.push("\"na.me\"".to_owned());
            format!("{{{}}}", m.join(","))
        }),
    ]
}

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<f64>()
            .prop_filter("no NaN payloads", |f| !f.is_nan())
            .prop_map(|f| format!("{f:e}").replace("inf", "Inf")),
        (0u32..100).prop_map(|n| n.to_string()),
        Just("NaN".to_owned()),
        Just("-0x1f".to_owned()),
        Just("time()".to_owned()),
        Just("1h30m".to_owned()),
        Just("(2 ^ -1)".to_owned()),
    ]
}

fn matrix() -> impl Strategy<Value = String> {
    (
        series(),
        duration(),
        prop::sample::select(vec!["", " anchored", " smoothed"]),
        modifiers(),
    )
        .prop_map(|(s, d, extended, m)| format!("{s}[{d}]{extended}{m}"))
}

/// An instant vector.
fn vector() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        (series(), modifiers()).prop_map(|(s, m)| format!("{s}{m}")),
        matrix().prop_map(|m| format!("rate({m})")),
        scalar().prop_map(|s| format!("vector({s})")),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let matching = prop_oneof![
            Just(String::new()),
            labels().prop_map(|l| format!(" on {l}")),
            (labels(), prop::sample::select(vec!["group_left", "group_right"]))
                .prop_map(|(l, g)| format!(" ignoring {l} {g} ()")),
            (-5i32..5).prop_map(|n| format!(" fill ({n})")),
            (-5i32..5).prop_map(|n| format!(" fill_right ({n}.5)")),
        ];
        let arithmetic = prop::sample::select(vec![
            "+", "-", "*", "/", "%", "^", "atan2", "==", "!=", "<", ">= bool", "</", ">/",
        ]);
        prop_oneof![
            (inner.clone(), arithmetic.clone(), matching, inner.clone())
                .prop_map(|(a, op, m, b)| format!("{a} {op}{m} {b}")),
            (inner.clone(), arithmetic, scalar()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            (
                inner.clone(),
                prop::sample::select(vec!["and", "or", "unless on (a)"]),
                inner.clone()
            )
                .prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            inner.clone().prop_map(|a| format!("({a})")),
            inner.clone().prop_map(|a| format!("-{a}")),
            inner.clone().prop_map(|a| format!("+{a}")),
            (inner.clone(), labels()).prop_map(|(a, l)| format!("sum by {l} ({a})")),
            (inner.clone(), labels()).prop_map(|(a, l)| format!("topk(2, {a}) without {l}")),
            inner.clone().prop_map(|a| format!("count_values(\"x\", {a})")),
            (inner.clone(), string()).prop_map(|(a, s)| format!("sort_by_label({a}, {s})")),
            (inner, duration(), modifiers()).prop_map(|(a, d, m)| format!("max_over_time(({a})[{d}:1m]{m})")),
        ]
    })
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn printed_queries_are_read_as_the_same(text in vector()) {
        // Made at random, some are refused (a grouping in a comparison, the same label twice, a name that is set
        // twice ...).
        let Ok(expr) = parse(&text) else { return Err(TestCaseError::reject("not a query")) };
        for printed in [format(&expr), pretty(&expr)] {
            let again = parse(&printed).map_err(|e| TestCaseError::fail(format!("{text} -> {printed}: {e}")))?;
            prop_assert_eq!(normalised(&again), normalised(&expr), "{} -> {}", text, printed);
        }
        prop_assert!(format(&expr).lines().count() == 1 || text.contains('\n'));
    }

    #[test]
    fn any_text_is_answered(text in ".{0,60}") {
        let _ = parse(&text);
    }

    #[test]
    fn any_mix_of_tokens_is_answered(pieces in prop::collection::vec(prop::sample::select(vec![
        "m", "{", "}", "a=\"b\"", "[", "]", "5m", ":", "(", ")", "sum", "by", "on", "offset", "@", "1", "-", "^", "step()", "\"s\"", ",",
        "bool", "==", "and", "group_left", "fill", "rate", "start()", "anchored", "min_of", "#\n", "=~", "!", "`", "\\",
    ]), 0..25)) {
        let text = pieces.join(" ");
        if let Ok(expr) = parse(&text) {
            let printed = format(&expr);
            let again = parse(&printed).map_err(|e| TestCaseError::fail(format!("{text} -> {printed}: {e}")))?;
            prop_assert_eq!(normalised(&again), normalised(&expr), "{} -> {}", text, printed);
        }
    }
}

#[test]
fn long_queries_are_split() {
    let check = |text: &str, want: &str| {
        let expr = parse(text).unwrap();
        assert_eq!(pretty(&expr), want, "{text}");
        assert_eq!(format(&parse(&pretty(&expr)).unwrap()), format(&expr));
    };
    check("sum(rate(foo[5m]))", "sum(rate(foo[5m]))");
    check(
        r#"sum by (instance) (rate(node_cpu_seconds_total{mode!="idle"}[5m])) / on (instance) count by (instance) (node_cpu_seconds_total{mode="idle"})"#,
        "  sum by (instance) (rate(node_cpu_seconds_total{mode!=\"idle\"}[5m]))\n\
         / on (instance)\n\
         \x20 count by (instance) (node_cpu_seconds_total{mode=\"idle\"})",
    );
    check(
        r#"histogram_quantile(0.9, sum by (le, job, instance) (rate(request_duration_seconds_bucket{job="a_rather_long_name_of_a_job"}[5m])))"#,
        "histogram_quantile(\n\
         \x20 0.9,\n\
         \x20 sum by (le, job, instance) (\n\
         \x20   rate(request_duration_seconds_bucket{job=\"a_rather_long_name_of_a_job\"}[5m])\n\
         \x20 )\n\
         )",
    );
    let name = "a_metric_whose_name_is_as_long_as_names_of_metrics_are_at_times_in_practice";
    check(
        &format!("-({name} + {name})"),
        &format!("-(\n    {name}\n  +\n    {name}\n)"),
    );
    check(
        &format!("topk(3, abs({name}) + {name})"),
        &format!("topk(\n  3,\n    abs({name})\n  +\n    {name}\n)"),
    );
    check(
        &format!("max_over_time(({name} + {name})[1h:5m] @ end())"),
        &format!("max_over_time(\n  (\n      {name}\n    +\n      {name}\n  )[1h:5m] @ end()\n)"),
    );
}
