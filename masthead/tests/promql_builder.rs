//! Property: whatever names and values are given to the client's PromQL builder, the real parser reads exactly them back.

use client::expr::{Selector, escape_regex, max_by, sum_by, union};
use promql::ast::{Expr, ExprKind};
use promql::parser::{parse, parse_selector};
use proptest::prelude::*;

/// Text as it may come from a command line or a form: quotes, backslashes, braces, control characters and any language.
fn text() -> impl Strategy<Value = String> {
    let hostile = prop::sample::select(vec![
        "\"",
        "\\",
        "'",
        "`",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        ",",
        "=~",
        "|",
        "#",
        "\n",
        "\r",
        "\t",
        "\0",
        "\u{7f}",
        "$1",
        "${1}",
        "\\x",
        "\\u12",
        "\u{fffd}",
        "é",
        "日本",
        "🦀",
        " or vector(1)",
        "sum",
        "nan",
        "offset",
        "^",
        ".*",
    ]);
    let piece =
        prop_oneof![3 => hostile.prop_map(str::to_owned), 1 => any::<String>(), 1 => "[a-z_:0-9]{1,6}"];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

/// Names of labels: any text but the empty one.
fn name() -> impl Strategy<Value = String> {
    text().prop_filter("a name", |name| !name.is_empty())
}

/// The conditions of a selector as the parser reads them.
fn matchers(selector: &Selector) -> Vec<(String, String, String)> {
    let text = selector.to_string();
    let read = parse_selector(&text).unwrap_or_else(|e| panic!("{text:?}: {e}"));
    read.iter()
        .map(|one| {
            (
                one.name().to_owned(),
                one.op().as_str().to_owned(),
                one.value().to_owned(),
            )
        })
        .collect()
}

/// The labels that an aggregation is by, as the parser reads them.
fn grouped_by(expr: &Expr) -> Vec<String> {
    match &expr.kind {
        ExprKind::Aggregate(aggregate) => aggregate.grouping.clone().expect("a grouping").labels,
        other => panic!("no aggregation: {other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn names_and_values_are_read_back_as_they_were(metric in text(), label in name(), value in text(), other in text()) {
        // A selector must name something.
        let selector = Selector::metric(&metric).label("job", "x").label(&label, &value).not_label(&label, &other);
        let mut want = vec![
            ("job".to_owned(), "=".to_owned(), "x".to_owned()),
            (label.clone(), "=".to_owned(), value),
            (label, "!=".to_owned(), other),
        ];
        if !metric.is_empty() {
            want.push(("__name__".to_owned(), "=".to_owned(), metric));
        }
        let mut got = matchers(&selector);
        want.sort();
        got.sort();
        prop_assert_eq!(got, want);
    }

    #[test]
    fn an_alternation_matches_its_values_and_nothing_else(values in prop::collection::vec(text(), 1..4), other in text()) {
        let text = Selector::metric("m").label_any("l", &values).to_string();
        let read = parse_selector(&text).unwrap_or_else(|e| panic!("{text:?}: {e}"));
        let condition = read.iter().find(|one| one.name() == "l").expect("the condition");
        for value in &values {
            prop_assert!(condition.matches(value), "{:?} in {}", value, text);
        }
        prop_assert_eq!(condition.matches(&other), values.contains(&other));
    }

    #[test]
    fn an_escaped_pattern_matches_its_text_alone(value in text(), other in text()) {
        let selector = Selector::metric("m").like("l", &escape_regex(&value)).to_string();
        let read = parse_selector(&selector).unwrap_or_else(|e| panic!("{selector:?}: {e}"));
        let condition = read.iter().find(|one| one.name() == "l").expect("the condition");
        prop_assert!(condition.matches(&value));
        prop_assert_eq!(condition.matches(&other), value == other);
        let none = Selector::metric("m").not_like("l", &escape_regex(&value)).to_string();
        let read = parse_selector(&none).unwrap_or_else(|e| panic!("{none:?}: {e}"));
        let condition = read.iter().find(|one| one.name() == "l").expect("the condition");
        prop_assert!(!condition.matches(&value));
    }

    #[test]
    fn aggregations_keep_their_labels(labels in prop::collection::vec(name(), 1..4), value in text()) {
        let inner = Selector::metric("m").label("l", &value).rate();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        for expr in [sum_by(&labels, &inner), max_by(&labels, &inner)] {
            let read = parse(&expr).unwrap_or_else(|e| panic!("{expr:?}: {e}"));
            prop_assert_eq!(grouped_by(&read), labels.clone());
        }
    }

    #[test]
    fn a_union_of_anything_is_one_expression(names in prop::collection::vec(text(), 1..4), value in text()) {
        let part = Selector::metric("m").label("l", &value).over(60);
        let parts: Vec<(&str, String)> = names.iter().map(|name| (name.as_str(), format!("rate({part})"))).collect();
        let expr = union(&parts);
        let read = parse(&expr);
        prop_assert!(read.is_ok(), "{:?}: {:?}", expr, read);
    }
}
