//! What is said about texts that are no queries: Prometheus' words and the place.

use super::parse;

/// The error as it is shown: place and words.
fn check(text: &str, want: &str) {
    match parse(text) {
        Ok(expr) => panic!("{text} is taken as {expr}"),
        Err(e) => assert_eq!(e.to_string(), want.replacen(' ', " parse error: ", 1), "{text}"),
    }
}

#[test]
fn faults_of_the_grammar() {
    check("", "1:1: no expression found in input");
    check("# only a comment", "1:1: no expression found in input");
    check("1+", "1:3: unexpected end of input");
    check(".", "1:1: unexpected character: '.'");
    check("2.5.", "1:1: bad number or duration syntax: \"2.5.\"");
    check("100..4", "1:1: bad number or duration syntax: \"100..\"");
    check("0deadbeef", "1:1: bad number or duration syntax: \"0de\"");
    check("1 /", "1:4: unexpected end of input");
    check("*1", "1:1: unexpected <op:*>");
    check("(1))", "1:4: unexpected right parenthesis ')'");
    check("((1)", "1:5: unclosed left parenthesis");
    check("(", "1:2: unclosed left parenthesis");
    check(
        "999999999999999999999999999999 foo",
        "1:32: unexpected identifier \"foo\"",
    );
    check("1 and", "1:6: unexpected end of input");
    check("foo = bar", "1:5: unexpected \"=\"");
    check("1 1", "1:3: unexpected number \"1\"");
    check(
        "foo \"a long string\"",
        "1:5: unexpected string \"\\\"a long st\"...",
    );
    check("foo:bar a:b", "1:9: unexpected metric identifier \"a:b\"");
    check("1 5m", "1:3: unexpected duration \"5m\"");
    check("1 =~ 1", "1:3: unexpected character after '=': '~'");
    check("1 !~ 1", "1:3: unexpected character after '!': '~'");
    check("foo !", "1:5: unexpected character after '!': '\u{fffd}'");
    check("ä", "1:1: unexpected character: 'ä'");
    check("foo\n  + §", "2:5: unexpected character: '§'");
    check("foo{ä=\"1\"}", "1:5: unexpected character inside braces: 'ä'");
    check("{a=\"ä\"} §", "1:9: unexpected character: '§'");
    check("bool + 1", "1:1: unexpected <bool>");
    check("foo on (a) bar", "1:5: unexpected <on>");
    check("a + group_left b", "1:5: unexpected <group_left>");
    check("a + fill_left(1) fill_left(2) b", "1:18: unexpected <fill_left>");
    check("a + fill(x) b", "1:10: unexpected identifier \"x\"");
    check("]", "1:1: unexpected right bracket ']'");
    check("a - on(b) ignoring(c) d", "1:11: unexpected <ignoring>");
    check("++-++-+-+-<", "1:11: unexpected <op:<>");
    check("e-+=/(0)", "1:4: unexpected \"=\"");
    check("@@", "1:1: unexpected <op:@>");
    check("count(a by (b))", "1:9: unexpected <by> in aggregation");
    check("}", "1:1: unexpected character: '}'");
}

#[test]
fn faults_of_selectors() {
    check("{", "1:2: unexpected end of input inside braces");
    check(
        "foo{a}",
        "1:6: unexpected \"}\" in label matching, expected label matching operator",
    );
    check(
        "foo{a=b}",
        "1:7: unexpected identifier \"b\" in label matching, expected string",
    );
    check(
        "foo{a==\"b\"}",
        "1:7: unexpected \"=\" in label matching, expected string",
    );
    check(
        "foo{,}",
        "1:5: unexpected \",\" in label matching, expected identifier or \"}\"",
    );
    check(
        "foo{a=\"b\" c}",
        "1:11: unexpected identifier \"c\" in label matching, expected \",\" or \"}\"",
    );
    check(
        "foo{a=\"b\",,}",
        "1:11: unexpected \",\" in label matching, expected identifier or \"}\"",
    );
    check("foo{1}", "1:5: unexpected character inside braces: '1'");
    check(
        "foo{a!b}",
        "1:6: unexpected character after '!' inside braces: 'b'",
    );
    check("foo{{", "1:5: unexpected left brace '{'");
    check(
        "foo{gibberish}",
        "1:14: unexpected \"}\" in label matching, expected label matching operator",
    );
    check(
        "{}",
        "1:1: vector selector must contain at least one non-empty matcher",
    );
    check(
        "{x=\"\"}",
        "1:1: vector selector must contain at least one non-empty matcher",
    );
    check(
        "{x=~\".*\"}",
        "1:1: vector selector must contain at least one non-empty matcher",
    );
    check(
        "foo{__name__=\"bar\"}",
        "1:1: metric name must not be set twice: \"foo\" or \"bar\"",
    );
    check(
        "foo{\"bar\"}",
        "1:1: metric name must not be set twice: \"foo\" or \"bar\"",
    );
    check(
        "foo{a=~\"(\"}",
        "1:5: error parsing regexp: unclosed group in \"(\"",
    );
}

#[test]
fn faults_of_strings() {
    check("\"", "1:1: unterminated quoted string");
    check("\"a\nb\"", "1:1: unterminated quoted string");
    check("`a", "1:1: unterminated raw string");
    check("\"\\q\"", "1:1: unknown escape sequence U+0071 'q'");
    check("\"\\'\"", "1:1: unknown escape sequence U+0027 '''");
    check(
        "\"\\x4g\"",
        "1:1: illegal character U+0067 'g' in escape sequence",
    );
    check(
        "\"\\ud800\"",
        "1:1: escape sequence is an invalid Unicode code point",
    );
    check(
        "\"\\400\"",
        "1:1: escape sequence is an invalid Unicode code point",
    );
    check("\"\\", "1:1: escape sequence not terminated");
    check("foo{a=\"\\xff\"}", "1:7: string \"\\xff\" is not valid UTF-8");
    check(
        "label_replace(foo, \"a\\xc5z\", \"\", \"\", \"\")",
        "1:20: string \"a\\xc5z\" is not valid UTF-8",
    );
}

#[test]
fn faults_of_ranges_and_modifiers() {
    check("foo[5mm]", "1:5: bad number or duration syntax: \"5mm\"");
    check("foo[5m1]", "1:5: bad number or duration syntax: \"5m1\"");
    check("foo[5m:1hs]", "1:8: unknown unit \"hs\" in duration \"1hs\"");
    check("foo[5m1h]", "1:5: not a valid duration string: \"5m1h\"");
    check("foo[0m]", "1:5: duration must be greater than 0");
    check("foo[-1]", "1:5: duration must be greater than 0");
    check(
        "foo[\"5m\"]",
        "1:5: unexpected character in duration expression: '\"'",
    );
    check(
        "foo[]",
        "1:5: unexpected \"]\" in subquery or range selector, expected number, duration, step(), or range()",
    );
    check("foo[5m", "1:7: unclosed left bracket");
    check("foo[", "1:5: unexpected end of input in duration expression");
    check(
        "foo[:5m]",
        "1:5: unexpected colon before duration in duration expression",
    );
    check("foo[5m:5m:5m]", "1:10: unexpected colon ':'");
    check(
        "foo[5m 5m]",
        "1:8: unexpected duration \"5m\" in subquery or range, expected \":\" or \"]\"",
    );
    check(
        "foo[5m:+]",
        "1:9: unexpected \"]\" in subquery selector, expected number, duration, step(), range(), or \"]\"",
    );
    check("foo[5m/0]", "1:7: division by zero");
    check("foo[5m%0]", "1:7: modulo by zero");
    check("foo[5m x]", "1:8: unexpected character: 'x', expected ':'");
    check("foo[5m] [1m]", "1:9: ranges only allowed for vector selectors");
    check("(foo)[5m]", "1:6: ranges only allowed for vector selectors");
}

#[test]
fn faults_of_modifiers() {
    check(
        "foo offset 1m[5m]",
        "1:14: no offset modifiers allowed before range",
    );
    check("foo @ 1[5m]", "1:8: no @ modifiers allowed before range");
    check(
        "foo offset",
        "1:11: unexpected end of input in offset, expected number, duration, step(), or range()",
    );
    check(
        "foo offset bar",
        "1:12: unexpected identifier \"bar\" in offset, expected number, duration, step(), or range()",
    );
    let misplaced = "must be preceded by an instant vector selector or range vector selector or a subquery";
    check("(foo) offset 5m", &format!("1:1: offset modifier {misplaced}"));
    check("1 @ 5", &format!("1:1: @ modifier {misplaced}"));
    check(
        "foo offset 1m offset 2m",
        "1:1: offset may not be set multiple times",
    );
    check("foo @ 1 @ 2", "1:1: @ <timestamp> may not be set multiple times");
    check("foo @", "1:6: unexpected end of input in @, expected timestamp");
    check(
        "foo @ bar",
        "1:7: unexpected identifier \"bar\" in @, expected timestamp",
    );
    check("foo @ inf", "1:1: timestamp out of bounds for @ modifier: +Inf");
    check(
        "foo @ start",
        "1:12: unexpected end of input in @, expected timestamp",
    );
    check(
        "foo anchored smoothed",
        "1:1: anchored and smoothed modifiers cannot be used together",
    );
    check(
        "foo[5m:] anchored",
        "1:1: anchored modifier is not supported for subqueries",
    );
}

#[test]
fn faults_of_aggregations_and_calls() {
    check("sum()", "1:1: no arguments for aggregate expression provided");
    check(
        "sum(1, foo)",
        "1:1: wrong number of arguments for aggregate expression provided, expected 1, got 2",
    );
    check(
        "topk(foo)",
        "1:1: wrong number of arguments for aggregate expression provided, expected 2, got 1",
    );
    check(
        "sum(foo bar)",
        "1:9: unexpected identifier \"bar\" in aggregation",
    );
    check(
        "sum by (a) foo",
        "1:12: unexpected identifier \"foo\" in aggregation",
    );
    check("sum foo by (a)", "1:5: unexpected identifier \"foo\"");
    check(
        "sum by a (foo)",
        "1:8: unexpected identifier \"a\" in grouping opts, expected \"(\"",
    );
    check(
        "sum by (1) (foo)",
        "1:9: unexpected number \"1\" in grouping opts, expected label",
    );
    check(
        "sum by (a b) (foo)",
        "1:11: unexpected identifier \"b\" in grouping opts, expected \",\" or \")\"",
    );
    check(
        "sum by (==) (foo)",
        "1:9: unexpected <op:==> in grouping opts, expected label",
    );
    check(
        "sum by (\"\") (foo)",
        "1:9: invalid label name for grouping: \"\"",
    );
    check("sum(foo) by (a) without (b)", "1:17: unexpected <without>");
    check("rate(foo[5m] bar)", "1:14: unexpected identifier \"bar\"");
    check(
        "rate(foo[5m],)",
        "1:13: trailing commas not allowed in function call args",
    );
    check("nope(1)", "1:1: unknown function with name \"nope\"");
    check("RATE(foo[5m])", "1:1: unknown function with name \"RATE\"");
}

#[test]
fn faults_of_types() {
    check(
        "rate(foo)",
        "1:6: expected type range vector in call to function \"rate\", got instant vector",
    );
    check(
        "abs(1)",
        "1:5: expected type instant vector in call to function \"abs\", got scalar",
    );
    check(
        "abs(\"a\")",
        "1:5: expected type instant vector in call to function \"abs\", got string",
    );
    check(
        "floor()",
        "1:1: expected 1 argument(s) in call to \"floor\", got 0",
    );
    check(
        "floor(foo, bar)",
        "1:1: expected 1 argument(s) in call to \"floor\", got 2",
    );
    check(
        "hour(foo, bar, baz)",
        "1:1: expected at most 1 argument(s) in call to \"hour\", got 3",
    );
    check(
        "label_join(foo)",
        "1:1: expected at least 3 argument(s) in call to \"label_join\", got 1",
    );
    check(
        "time(1)",
        "1:1: expected 0 argument(s) in call to \"time\", got 1",
    );
    check(
        "info(foo, bar)",
        "1:11: expected label selectors only, got vector selector instead",
    );
    check("info(foo, abs(bar))", "1:11: expected label selectors only");
    check(
        "sum(1)",
        "1:5: expected type instant vector in aggregation expression, got scalar",
    );
    check(
        "topk(\"a\", foo)",
        "1:6: expected type scalar in aggregation parameter, got string",
    );
    check(
        "count_values(5, foo)",
        "1:14: expected type string in aggregation parameter, got scalar",
    );
}

#[test]
fn faults_of_types_of_operands() {
    let binary = "binary expression must contain only scalar and instant vector types";
    check("foo[5m] + 1", &format!("1:1: {binary}"));
    check("1 + \"a\"", &format!("1:5: {binary}"));
    check(
        "1 == 1",
        "1:3: comparisons between scalars must use BOOL modifier",
    );
    check(
        "1 + bool 1",
        "1:3: bool modifier can only be used on comparison operators",
    );
    check(
        "1 and 1",
        "1:1: set operator \"and\" not allowed in binary scalar expression",
    );
    check(
        "foo or 1",
        "1:1: set operator \"or\" not allowed in binary scalar expression",
    );
    check(
        "1 unless foo",
        "1:1: set operator \"unless\" not allowed in binary scalar expression",
    );
    check(
        "foo + on(a) 1",
        "1:1: vector matching only allowed between instant vectors",
    );
    check(
        "foo + fill(0) 1",
        "1:1: filling in missing series only allowed between instant vectors",
    );
    check(
        "foo and fill(0) bar",
        "1:1: filling in missing series not allowed for set operators",
    );
    check(
        "foo and on(a) group_left(b) bar",
        "1:1: no grouping allowed for \"and\" operation",
    );
    check(
        "foo * on(a) group_left(a) bar",
        "1:5: label \"a\" must not occur in ON and GROUP clause at once",
    );
    let unary = "unary expression only allowed on expressions of type scalar or instant vector";
    check("-\"a\"", &format!("1:1: {unary}, got \"string\""));
    check("-foo[5m]", &format!("1:1: {unary}, got \"range vector\""));
    check(
        "foo[5m][1h:]",
        "1:1: subquery is only allowed on instant vector, got matrix instead",
    );
    check(
        "1[1h:]",
        "1:1: subquery is only allowed on instant vector, got scalar instead",
    );
}

#[test]
fn columns_count_characters() {
    let error = parse("{a=\"ää\"} +\n {b=\"ö\"} + )").unwrap_err();
    assert_eq!((error.line, error.column), (2, 12));
    assert_eq!(error.span.start, 25);
}
