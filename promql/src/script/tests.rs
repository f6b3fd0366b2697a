//! The runner itself: what it takes, and that it tells what is wrong.

use super::series::{Item, parse_series, take_number};
use super::*;

fn run_text(text: &str) -> ScriptReport {
    run(text, &mut MemoryStore::new())
}

/// The values of a line, as text.
fn values(line: &str) -> String {
    let series = parse_series(line).unwrap();
    let shown = series.items.iter().map(|item| match item {
        Item::Omitted => "_".to_owned(),
        Item::Float(value) if model::is_stale(*value) => "stale".to_owned(),
        Item::Float(value) => value.to_string(),
        Item::Histogram(h, hinted) => {
            format!("{}{}", super::histogram::show(h), if *hinted { "!" } else { "" })
        }
    });
    shown.collect::<Vec<_>>().join(" ")
}

#[test]
fn values_expand() {
    let check = |line: &str, want: &str| assert_eq!(values(line), want, "{line}");
    check("m 1 2 _ 4", "1 2 _ 4");
    check("m 0+10x3", "0 10 20 30");
    check("m 1-2x2 5x1 _x2 7", "1 -1 -3 5 5 _ _ 7");
    check("m -1+1x1 -2.5e1-5x1", "-1 0 -25 -30");
    check("m stale NaN Inf -inf stalex1", "stale NaN inf -inf stale stale");
    check("m 1e-3+1e-3x1", "0.001 0.002");
    check("m", "");
    check("m {{}}", "{{schema:0 count:0 sum:0}}");
    check(
        "m {{schema:1 sum:5 count:4 buckets:[1 2 1] offset:-1 n_buckets:[3] n_offset:2 z_bucket:1 z_bucket_w:0.5 counter_reset_hint:gauge}}",
        "{{schema:1 count:4 sum:5 z_bucket:1 z_bucket_w:0.5 counter_reset_hint:gauge offset:-1 buckets:[1 2 1] n_offset:2 n_buckets:[3]}}!",
    );
    check(
        "m {{count:1 buckets:[1]}}+{{count:2 sum:1 buckets:[1 1]}}x1",
        "{{schema:0 count:1 sum:0 offset:0 buckets:[1]}} {{schema:0 count:3 sum:1 offset:0 buckets:[2 1]}}",
    );
    check(
        "m {{count:3}}-{{count:1}}x2",
        "{{schema:0 count:3 sum:0}} {{schema:0 count:2 sum:0}} {{schema:0 count:1 sum:0}}",
    );
    check(
        "m {{schema:-53 custom_values:[1 5] buckets:[1 0 2]}}x1",
        "{{schema:-53 custom_values:[1 5] count:0 sum:0 offset:0 buckets:[1 0 2]}} {{schema:-53 custom_values:[1 5] count:0 sum:0 offset:0 buckets:[1 0 2]}}",
    );
    // Buckets of a finer schema fall into the coarser ones.
    check(
        "m {{schema:0 buckets:[1] offset:1}}+{{schema:1 buckets:[1 1 1 1] offset:0}}x1",
        "{{schema:0 count:0 sum:0 offset:1 buckets:[1]}} {{schema:0 count:0 sum:0 offset:0 buckets:[1 3 1]}}",
    );
}

#[test]
fn labels_may_hold_anything() {
    let check = |line: &str, want: &str| assert_eq!(parse_series(line).unwrap().labels.to_string(), want);
    check("m{a=\"b c\",d='}'} 1", "m{a=\"b c\", d=\"}\"}");
    check("{a=\"\\\"}\"} 1", "{a=\"\\\"}\"}");
    check(
        "{\"näme\", \"l.x\"=`{{`} 1",
        "{__name__=\"näme\", \"l.x\"=\"{{\"}",
    );
    check("m {a=\"1\"} 1", "m{a=\"1\"}");
    check("{} 1", "{}");
    for bad in [
        "m{a!=\"b\"} 1",
        "m{a=} 1",
        "m 1 x",
        "m 1y",
        "m 1x",
        "m 1x9999999999",
        "m {{",
        "m {{nope:1}}",
        "m {{count:1 count:2}}",
    ] {
        assert!(parse_series(bad).is_err(), "{bad}");
    }
    assert_eq!(take_number("1.5e3x2"), Some((1500.0, "x2")));
    assert_eq!(take_number("e3"), None);
}

#[test]
fn all_that_is_expected_is_looked_at() {
    let script = r#"
# A comment.
load 1m
  m{a="1"} 0+1x10
  m{a="2"} 0+2x10

clear
load 1m
  m{a="1"} 0+1x10
  m{a="2"} 0+2x10

eval instant at 2m m
  m{a="1"} 2
  m{a="2"} 4.0000001

eval_ordered instant at 2m sort_desc(m)
  m{a="2"} 4
  m{a="1"} 2

eval instant at 2m sort(m)
  expect ordered
  m{a="1"} 2
  m{a="2"} 4

eval instant at 2m scalar(m{a="1"})
  2

eval instant at 0 "text"
  expect string 'text'

eval range from 0 to 2m step 1m m{a="1"}
  m{a="1"} 0 1 2

eval instant at 2m m{a="1"}[2m]
  expect range vector from 1m to 2m step 1m
  m{a="1"} 1 2

eval instant at 2m m * on(a) m{a="3"}
  expect no_warn
  expect no_info

eval_fail instant at 0 rate(m)
  expected_fail_regexp expected type range vector .*

eval_fail instant at 0 m and
  expected_fail_message unexpected end of input

eval instant at 0 1 and 1
  expect fail msg: set operator "and" not allowed in binary scalar expression

eval_warn instant at 2m quantile(2, m)
  {} +Inf

eval instant at 2m quantile(2, m)
  expect warn msg: PromQL warning: quantile value should be between 0 and 1, got 2 (1:10)
  {} +Inf

eval_info instant at 2m rate(m{a="1"}[2m])
  {a="1"} 0.016666666
"#;
    let report = run_text(script);
    let failures: Vec<String> = report.failures.iter().map(ToString::to_string).collect();
    assert!(report.is_success(), "{}", failures.join("\n"));
    assert_eq!((report.evals, report.passed), (14, 14));
}

/// The command on line 5 of a script must be told, in these words.
fn check_told(body: &str, words: &str) {
    let report = run_text(&format!(
        "load 1m\n  m{{a=\"1\"}} 1 2 3\n  m{{a=\"2\"}} 4 5 6\n\n{body}"
    ));
    assert_eq!(report.passed, 0, "{body}");
    let [failure] = report.failures.as_slice() else {
        panic!("{body}: {:?}", report.failures)
    };
    let shown = failure.to_string();
    assert!(shown.contains(words), "{body}: {shown}");
    assert_eq!(failure.line, 5, "{body}");
}

#[test]
fn wrong_results_are_told() {
    let check = check_told;
    check("eval instant at 0 m\n  m{a=\"1\"} 1", "expected: m{a=\"1\"} 1");
    check(
        "eval instant at 0 m{a=\"1\"}\n  m{a=\"1\"} 1.00001",
        "got: m{a=\"1\"} 1@0",
    );
    check("eval instant at 0 m{a=\"1\"}\n  m{a=\"3\"} 1", "m{a=\"3\"} 1");
    check("eval instant at 0 m{a=\"1\"}", "expected: no series");
    check("eval instant at 0 none\n  {} 1", "got: no series");
    check("eval instant at 0 1\n  2", "got: scalar 1");
    check("eval instant at 0 1", "got: scalar 1");
    check(
        "eval instant at 0 \"a\"\n  expect string \"b\"",
        "got: string \"a\"",
    );
    check(
        "eval instant at 0 m\n  expect ordered\n  m{a=\"2\"} 4\n  m{a=\"1\"} 1",
        "got: m{a=\"1\"}",
    );
    check(
        "eval range from 0 to 2m step 1m m{a=\"1\"}\n  m{a=\"1\"} 1 2",
        "got: m{a=\"1\"} 1@0 2@60000 3@120000",
    );
    check(
        "eval range from 0 to 1m step 1m m{a=\"1\"}\n  m{a=\"1\"} 1 2 3",
        "1 2 3",
    );
    check(
        "eval range from 0 to 1m step 1m m{a=\"1\"}\n  m{a=\"1\"} 1 _",
        "1 _",
    );
    check(
        "eval instant at 0 m{a=\"1\"}[1m]\n  expect range vector from 0 to 0 step 1m\n  m{a=\"1\"} 7",
        "7",
    );
    check(
        "eval instant at 0 m{a=\"1\"}\n  expect fail\n",
        "to fail with any message",
    );
    check(
        "eval_fail instant at 0 m +\n  expected_fail_message nope",
        "the message \"nope\"",
    );
    check(
        "eval instant at 0 m{a=\"1\"}\n  expect warn\n  m{a=\"1\"} 1",
        "got: no warning",
    );
    check(
        "eval instant at 0 m{a=\"1\"}\n  expect info\n  m{a=\"1\"} 1",
        "got: no info",
    );
    check(
        "eval instant at 2m quantile(2, m)\n  expect no_warn\n  {} +Inf",
        "expected: no warning",
    );
    check(
        "eval instant at 2m quantile(2, m)\n  expect warn msg: other\n  {} +Inf",
        "other",
    );
}

#[test]
fn wrong_commands_are_told() {
    let check = check_told;
    check(
        "eval instant at 0 m +",
        "1:4: parse error: unexpected end of input",
    );
    check("eval instant at 0", "eval lacks an expression");
    check("eval instant at 5x m", "bad time \"5x\"");
    check("eval sometimes m", "unknown kind of evaluation");
    check("eval range from 5m to 1m step 1m m", "must not lie before");
    check(
        "eval instant at 0 m\n  m 1 2",
        "an instant vector has one value a series",
    );
    check("eval instant at 0 m\n  expect nothing", "unknown expectation");
    check(
        "eval instant at 0 m\n  expect warn\n  expect no_warn",
        "cannot be both",
    );
    check("evaluate instant at 0 m", "unknown command");
    check("load\n  m 1", "bad step");
    check("load 1m\n  m 1 2 nope", "found \"nope\"");
    check("load 1m\n  m@st 0s", "start timestamps are not supported");
    check("unload 1m", "unknown command");
}

#[test]
fn it_goes_on_after_a_failure() {
    let report =
        run_text("load 1m\n  m 1\n\neval instant at 0 m\n\nnonsense\n\neval instant at 0 m\n  m 1\n");
    assert_eq!((report.evals, report.passed, report.failures.len()), (2, 1, 2));
    assert_eq!(report.failures[0].line, 4);
    assert_eq!(report.failures[1].line, 6);
}

#[test]
fn classic_histograms_become_native_ones() {
    let script = r#"
load_with_nhcb 1m
  x_bucket{le="0.5",a="1"} 1 2
  x_bucket{le="1",a="1"} 1 4
  x_bucket{le="+Inf",a="1"} 2 6
  x_sum{a="1"} 10 20
  x_count{a="1"} 2 6

eval instant at 1m x
  x{a="1"} {{schema:-53 custom_values:[0.5 1] count:6 sum:20 buckets:[2 2 2] counter_reset_hint:not_reset}}

eval instant at 0 x
  x{a="1"} {{schema:-53 custom_values:[0.5 1] count:2 sum:10 buckets:[1 0 1] counter_reset_hint:unknown}}
"#;
    let report = run_text(script);
    assert!(report.is_success(), "{:?}", report.failures);
    let falling = "load_with_nhcb 1m\n  x_bucket{le=\"1\"} 3\n  x_bucket{le=\"2\"} 1\n";
    assert!(
        run_text(falling).failures[0].got.contains("less than"),
        "{:?}",
        run_text(falling)
    );
}

#[test]
fn the_store_answers_like_a_store() {
    use crate::parser::parse_selector;
    use model::{Cancel, CancelReason, Samples, SelectHints};
    let mut store = MemoryStore::new();
    for (pairs, values) in [
        (vec![("__name__", "m"), ("b", "2")], vec![(0, 1.0), (10, 2.0)]),
        (vec![("__name__", "m"), ("a", "1")], vec![(5, 3.0)]),
        (vec![("__name__", "n")], vec![(5, 4.0)]),
    ] {
        let samples: Vec<_> = values.into_iter().map(|(t, v)| (t, Value::Float(v))).collect();
        store.load(&Labels::from_pairs(pairs), &samples).unwrap();
    }
    store
        .load(
            &Labels::from_pairs([("__name__", "m"), ("b", "2")]),
            &[(5, Value::Float(9.0))],
        )
        .unwrap();
    let cancel = Cancel::new();
    let select = |text: &str| {
        let readers = store
            .querier()
            .select(&parse_selector(text).unwrap(), &SelectHints::default(), &cancel)
            .unwrap();
        readers.iter().map(|r| r.labels().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(select("m"), ["m{a=\"1\"}", "m{b=\"2\"}"]);
    assert_eq!(select("m{a=\"\"}"), ["m{b=\"2\"}"]);
    assert_eq!(select("{a!~\".+\"}"), ["m{b=\"2\"}", "n"]);
    assert_eq!(select("{__name__=~\"m|n\", b!=\"2\"}"), ["m{a=\"1\"}", "n"]);
    let readers = store
        .select(
            &parse_selector("m{b=\"2\"}").unwrap(),
            &SelectHints::default(),
            &cancel,
        )
        .unwrap();
    let mut out = Samples::default();
    readers[0].read(5, 10, &mut out).unwrap();
    assert_eq!((out.t_ms, out.values), (vec![5, 10], vec![9.0, 2.0]));
    assert_eq!(
        store.label_names(&[], 0, 10, &cancel).unwrap(),
        ["__name__", "a", "b"]
    );
    assert_eq!(
        store.label_values("__name__", &[], 0, 10, &cancel).unwrap(),
        ["m", "n"]
    );
    cancel.cancel(CancelReason::HungUp);
    assert!(store.select(&[], &SelectHints::default(), &cancel).is_err());
}
