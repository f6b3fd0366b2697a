//! What queries mean: printed back, shown as trees, and kept within bounds.

use super::*;
use crate::ast::{ExprKind, ValueType};
use crate::printer::format;

/// The query, printed canonically.
fn check(text: &str, want: &str) {
    match parse(text) {
        Ok(expr) => assert_eq!(format(&expr), want, "{text}"),
        Err(e) => panic!("{text}: {e}"),
    }
}

/// The query with parentheses around every operation, so that the grouping shows.
fn shape(expr: &Expr) -> String {
    match &expr.kind {
        ExprKind::Binary(b) => format!("({} {} {})", shape(&b.lhs), b.op.as_str(), shape(&b.rhs)),
        ExprKind::Unary(op, e) => format!("({op:?} {})", shape(e)),
        _ => format(expr),
    }
}

#[test]
fn operators_group_by_precedence() {
    let check = |text: &str, want: &str| assert_eq!(shape(&parse(text).unwrap()), want, "{text}");
    check("1 + 2 * 3", "(1 + (2 * 3))");
    check("1 * 2 + 3", "((1 * 2) + 3)");
    check("1 - 2 - 3", "((1 - 2) - 3)");
    check("2 ^ 3 ^ 2", "(2 ^ (3 ^ 2))");
    check("-1 ^ 2", "(Minus (1 ^ 2))");
    check("-a ^ 2", "(Minus (a ^ 2))");
    check("-a * 2", "((Minus a) * 2)");
    check("2 ^ -1 * 3", "((2 ^ -1) * 3)");
    check("a or b and c", "(a or (b and c))");
    check("a and b unless c", "((a and b) unless c)");
    check("a > 1 == bool 2", "((a > 1) == 2)");
    check("a + b > c - d", "((a + b) > (c - d))");
    check("a atan2 b * c", "((a atan2 b) * c)");
    check("a </ 1 + 2", "(a </ (1 + 2))");
    check("a >/ 1 or b", "((a >/ 1) or b)");
    check("1 - -1", "(1 - -1)");
    check("- - 1", "1");
    check("foo offset 1m + 2", "(foo offset 1m + 2)");
    check("foo offset -2 ^ 2", "(foo offset -2s ^ 2)");
    check("foo offset step()*0", "(foo offset step() * 0)");
}

#[test]
fn selectors_take_all_kinds_of_names() {
    check("foo", "foo");
    check("a:b:c", "a:b:c");
    check(":foo", ":foo");
    check("foo{}", "foo");
    check(r#"foo{b="2", a!='1',}"#, r#"foo{a!="1",b="2"}"#);
    check("{a=~`x.*`, \"l.x\"!~\"y\"}", r#"{"l.x"!~"y",a=~"x.*"}"#);
    check(r#"{"metric.name"}"#, r#"{__name__="metric.name"}"#);
    check(r#"{"metric.name", x="1"}"#, r#"{__name__="metric.name",x="1"}"#);
    check(r#"{__name__=~"a.*"}"#, r#"{__name__=~"a.*"}"#);
    check("{a=\"\\u00e4\\x41\\n\"}", "{a=\"äA\\n\"}");
    check("foo # a comment {\n + # another\n bar", "foo + bar");
    for word in [
        "sum",
        "avg",
        "topk",
        "limitk",
        "by",
        "without",
        "offset",
        "and",
        "or",
        "unless",
        "start",
        "end",
        "step",
        "range",
        "anchored",
        "smoothed",
        "fill",
        "fill_left",
        "min_of",
        "group",
    ] {
        check(word, word);
        check(
            &format!("{word}{{a=\"1\"}} + {word}"),
            &format!("{word}{{a=\"1\"}} + {word}"),
        );
    }
    check(
        "sum{on=\"1\",bool=\"2\",sum=\"3\"}",
        "sum{bool=\"2\",on=\"1\",sum=\"3\"}",
    );
    check("fill + fill", "fill + fill");
}

#[test]
fn modifiers_stand_in_any_order() {
    check("foo offset 5m @ 10", "foo @ 10.000 offset 5m");
    check("foo @ start() offset -5m", "foo @ start() offset -5m");
    check("foo[5m] @ end() offset 1h30m", "foo[5m] @ end() offset 1h30m");
    check("foo @ -1.5", "foo @ -1.500");
    check("foo @ 1m", "foo @ 60.000");
    check("foo[300]", "foo[5m]");
    check("foo[5m] anchored", "foo[5m] anchored");
    check("foo anchored[5m] offset 1m", "foo[5m] anchored offset 1m");
    check("foo smoothed offset 1", "foo smoothed offset 1s");
    check("foo offset 0", "foo");
    check("foo[1h:5m] @ 3 offset 1m", "foo[1h:5m] @ 3.000 offset 1m");
    check("sum(foo)[1h:]", "sum(foo)[1h:]");
    check("rate(foo[5m])[1h : 5m]", "rate(foo[5m])[1h:5m]");
    check(
        "min_over_time((foo + bar)[ 1h:5m ])",
        "min_over_time((foo + bar)[1h:5m])",
    );
}

#[test]
fn durations_are_computed_with() {
    check("foo[5m*2]", "foo[5m * 2]");
    check("foo[-5m+35m]", "foo[-5m + 35m]");
    check("foo[2^3^1]", "foo[2 ^ 3 ^ 1]");
    check("foo[(5m)]", "foo[(5m)]");
    check("foo[STEP()+1ms]", "foo[step() + 1ms]");
    check(
        "foo[max_of(min_of(step()+1,1h),1ms)]",
        "foo[max_of(min_of(step() + 1, 1h), 1ms)]",
    );
    check("foo[5m # a comment\n : 1m]", "foo[5m:1m]");
    check("foo[range():step()/2]", "foo[range():step() / 2]");
    check("foo offset (1h+step())", "foo offset (1h + step())");
    check(
        "foo offset -(min_of(step(), 2s)-5)+8000",
        "foo offset -(min_of(step(), 2s) - 5) + 8000",
    );
    check("foo[1.5]", "foo[1s500ms]");
    check("foo[0.0005]", "foo[0.0005]");
}

#[test]
fn numbers_and_strings() {
    check("0x1F", "31");
    check("0755", "493");
    check("1_000.5e3", "1000500");
    check("inF", "+Inf");
    check("-inf", "-Inf");
    check("nAn", "NaN");
    check("1h30m", "1h30m");
    check("-1m * 2s", "-1m * 2s");
    check("10ms", "10ms");
    check("1e-7", "0.0000001");
    check("\"a\\\"b\"", "\"a\\\"b\"");
    check("'a\"b'", "\"a\\\"b\"");
    check("`a\\nb`", "\"a\\\\nb\"");
    check("\"\\U0001F600\"", "\"😀\"");
}

#[test]
fn aggregations_take_their_labels_before_or_after() {
    check("sum by (a,b,) (foo)", "sum by (a, b) (foo)");
    check("SUM(foo) BY (a)", "sum by (a) (foo)");
    check("sum without () (foo)", "sum without () (foo)");
    check("sum by () (foo)", "sum(foo)");
    check("topk(3, foo)", "topk(3, foo)");
    check(
        "count_values without (x) (\"v\", foo)",
        "count_values without (x) (\"v\", foo)",
    );
    check("limit_ratio(-0.5, foo)", "limit_ratio(-0.5, foo)");
    check("quantile(0.9, foo) by (le)", "quantile by (le) (0.9, foo)");
    check(r#"sum by ("a.b", c, "d") (foo)"#, r#"sum by ("a.b", c, d) (foo)"#);
    check(
        "sum by (by, on, bool, offset, sum, and, start, group_left, atan2) (foo)",
        "sum by (by, on, bool, offset, sum, and, start, group_left, atan2) (foo)",
    );
    check(
        "sum by (\"without\", \"inf\") (foo)",
        "sum by (\"without\", \"inf\") (foo)",
    );
}

#[test]
fn vector_matching() {
    check("a == bool on (x) b", "a == bool on (x) b");
    check("a * on(x) group_left b", "a * on (x) group_left () b");
    check("a * on(x) group_left (y) b", "a * on (x) group_left (y) b");
    check(
        "a / ignoring (x,) group_right(y,z,) b",
        "a / ignoring (x) group_right (y, z) b",
    );
    check("a and on () b", "a and on () b");
    check("a + ignoring () b", "a + b");
    check("a + fill(0) b", "a + fill (0) b");
    check(
        "a + on(x) fill_right(-1) fill_left(NaN) b",
        "a + on (x) fill_left (NaN) fill_right (-1) b",
    );
    check(
        "a + on(x) group_left(y) fill (23) b",
        "a + on (x) group_left (y) fill (23) b",
    );
}

#[test]
fn calls() {
    check("time()", "time()");
    check("round(foo)", "round(foo)");
    check("round(foo, 5)", "round(foo, 5)");
    check("label_join(foo, \"a\", \",\")", "label_join(foo, \"a\", \",\")");
    check(
        "label_join(foo, \"a\", \",\", \"b\", \"c\")",
        "label_join(foo, \"a\", \",\", \"b\", \"c\")",
    );
    check("info(foo, {a=~\".*\"})", "info(foo, {a=~\".*\"})");
    check("info(foo, {})", "info(foo, {})");
    check(
        "vector(min_of(step(), end() - start()))",
        "vector(min_of(step(), end() - start()))",
    );
    check("(((foo)))", "(((foo)))");
    check(
        "sort_by_label(foo, \"a\", \"b\")",
        "sort_by_label(foo, \"a\", \"b\")",
    );
}

#[test]
fn types_and_places_are_known() {
    let expr = parse(" rate(foo[5m]) > 1").unwrap();
    assert_eq!(expr.value_type(), ValueType::Vector);
    assert_eq!(expr.span, Span { start: 1, end: 18 });
    let ExprKind::Binary(binary) = &expr.kind else {
        panic!("{expr:?}")
    };
    assert_eq!(binary.lhs.span, Span { start: 1, end: 14 });
    assert!(binary.matching.is_none());
    let ExprKind::Call(call) = &binary.lhs.kind else {
        panic!("{expr:?}")
    };
    assert_eq!(call.args[0].span, Span { start: 6, end: 13 });
    let set = parse("a and b").unwrap();
    let ExprKind::Binary(binary) = set.kind else {
        panic!("not binary")
    };
    assert_eq!(binary.matching.unwrap().card, crate::ast::Cardinality::ManyToMany);
}

#[test]
fn a_selector_alone() {
    let matchers = parse_selector("up{job=~\"a|b\"}").unwrap();
    let shown: Vec<_> = matchers.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["job=~\"a|b\"", "__name__=\"up\""]);
    assert!(parse_selector("{}").unwrap().is_empty());
    for bad in ["up[5m]", "up offset 5m", "1", "up up", "sum(up)", ""] {
        assert!(parse_selector(bad).is_err(), "{bad}");
    }
}

/// Whatever is repeated a million times must end in an error and not in an overflow.
#[test]
fn deep_texts_are_refused() {
    let million = |piece: &str| piece.repeat(1_000_000 / piece.len());
    for text in [
        million("("),
        million("-"),
        million("- "),
        million("abs("),
        million("sum("),
        million("foo["),
        million("1^"),
        million("1+"),
        million("1 or "),
        million("a and on(b) "),
        million("{"),
        million("foo[5m:]"),
        format!("foo{}", million("[5m:]")),
        format!("foo[{}", million("(")),
        format!("foo[{}", million("-")),
        format!("foo[{}", million("1^")),
        format!("foo[{}5m]", million("1+")),
        format!("foo offset {}", million("(")),
        format!("foo offset {}", million("min_of(")),
        format!("{}foo", million("topk(1,")),
        format!("1{}", million("+1")),
        format!("{}1", million("1-")),
    ] {
        assert!(parse(&text).is_err(), "{}", &text[..20]);
    }
}

#[test]
fn texts_up_to_the_limit_are_taken_in_the_stack_of_a_thread() {
    // What the threads of a server have; an unoptimised build needs more than an optimised one.
    let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(|| {
        let nest = |open: &str, middle: &str, close: &str, times: usize| {
            parse(&format!("{}{middle}{}", open.repeat(times), close.repeat(times)))
        };
        nest("(", "foo", ")", MAX_DEPTH - 2).unwrap();
        nest("abs(", "foo", ")", MAX_DEPTH - 2).unwrap();
        nest("sum(", "foo", ")", MAX_DEPTH - 2).unwrap();
        nest("-", "foo", "", MAX_DEPTH - 2).unwrap();
        let chain = nest("", "1", "+1", MAX_DEPTH - 1).unwrap();
        assert_eq!(parse(&format(&chain)).map(|e| format(&e)), Ok(format(&chain)));
        nest("(", "foo", ")", MAX_DEPTH).unwrap_err();
        nest("", "1", "+1", MAX_DEPTH).unwrap_err();
    });
    thread.unwrap().join().unwrap();
}
