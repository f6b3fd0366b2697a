//! Selections, label names and label values against a plain scan over the same series.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test may panic, and its made-up numbers are small"
)]

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Cancel, CancelReason, Labels, MatchOp, Matcher, Samples};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use tsdb::block::{Block, BlockError, BlockWriter};
use tsdb::dir::{Dir, RealDir};

type Series = Vec<(Labels, Samples)>;

fn open(series: &Series) -> (tempfile::TempDir, Arc<Block>) {
    let folder = tempfile::tempdir().unwrap();
    let dir: Arc<dyn Dir> = Arc::new(RealDir::new(folder.path()).unwrap());
    let mut writer = BlockWriter::create(Arc::clone(&dir), "", "b", 1).unwrap();
    for (labels, samples) in series {
        writer.add(labels, samples).unwrap();
    }
    writer.finish().unwrap();
    let block = Block::open(dir.as_ref(), "", "b").unwrap();
    (folder, block)
}

/// Series with labels `x` and `y` of few values, a longer or shorter stretch of time each.
fn series() -> impl Strategy<Value = Series> {
    let labels = ("[abc]{0,2}", "[01]{0,1}", "[pq]?");
    btree_map(labels, (0i64..50, 1i64..50), 1..60).prop_map(|series| {
        let mut series: Series = series
            .into_iter()
            .map(|((x, y, z), (start, rows))| {
                let mut samples = Samples::default();
                (start..start + rows).for_each(|t| samples.push(t, 1.0));
                (Labels::from_pairs([("x", x), ("y", y), ("z", z)]), samples)
            })
            .collect();
        series.sort_by(|a, b| a.0.cmp(&b.0));
        series
    })
}

fn matcher() -> impl Strategy<Value = Matcher> {
    let op = prop_oneof![
        Just(MatchOp::Equal),
        Just(MatchOp::NotEqual),
        Just(MatchOp::Regex),
        Just(MatchOp::NotRegex)
    ];
    let value = prop_oneof![
        "[abc01pq]{0,2}".boxed(),
        Just("a|b|".to_owned()).boxed(),
        Just("a|bb|zz|a".to_owned()).boxed(),
        Just(".*".to_owned()).boxed(),
        Just(".+".to_owned()).boxed(),
        Just("a.*".to_owned()).boxed(),
        Just("(a|0)?".to_owned()).boxed(),
    ];
    ("[xyzw]", op, value).prop_map(|(name, op, value)| Matcher::new(name, op, value).unwrap())
}

/// What a scan finds.
fn scan<'a>(series: &'a Series, matchers: &[Matcher], start: i64, end: i64) -> Vec<&'a (Labels, Samples)> {
    let fits = |labels: &Labels| {
        matchers
            .iter()
            .all(|m| m.matches(labels.get(m.name()).unwrap_or("")))
    };
    let overlaps = |s: &Samples| start <= end && s.t_ms[0] <= end && s.t_ms[s.len() - 1] >= start;
    series
        .iter()
        .filter(|(labels, samples)| fits(labels) && overlaps(samples))
        .collect()
}

fn check(series: &Series, block: &Arc<Block>, matchers: &[Matcher], start: i64, end: i64) {
    let cancel = Cancel::new();
    let context = format!("{matchers:?} {start}..{end}");
    let want = scan(series, matchers, start, end);
    let got = block.select(matchers, start, end, &cancel).unwrap();
    let got_labels: Vec<_> = got.iter().map(|(labels, _)| labels.clone()).collect();
    assert_eq!(
        got_labels,
        want.iter().map(|(l, _)| l.clone()).collect::<Vec<_>>(),
        "{context}"
    );
    for ((_, one), (_, samples)) in got.iter().zip(&want) {
        let mut out = Samples::default();
        one.read(start, end, &mut out).unwrap();
        let times: Vec<_> = samples
            .t_ms
            .iter()
            .copied()
            .filter(|t| (start..=end).contains(t))
            .collect();
        assert_eq!(out.t_ms, times, "{context}");
        assert_eq!(out.values.len(), times.len(), "{context}");
    }
    let names: BTreeSet<_> = want
        .iter()
        .flat_map(|(l, _)| l.iter().map(|(n, _)| n.to_owned()))
        .collect();
    assert!(
        block
            .label_names(matchers, start, end, &cancel)
            .unwrap()
            .iter()
            .eq(&names),
        "{context}"
    );
    for name in ["x", "y", "nope"] {
        let values: BTreeSet<_> = want
            .iter()
            .filter_map(|(l, _)| l.get(name).map(str::to_owned))
            .collect();
        let got = block.label_values(name, matchers, start, end, &cancel).unwrap();
        assert!(got.iter().eq(&values), "{context}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_selection_is_what_a_scan_finds(
        series in series(),
        cases in vec((vec(matcher(), 0..4), -5i64..110, -5i64..110), 1..12),
    ) {
        let (_folder, block) = open(&series);
        check(&series, &block, &[], i64::MIN, i64::MAX);
        for (matchers, start, end) in cases {
            check(&series, &block, &matchers, i64::MIN, i64::MAX);
            check(&series, &block, &matchers, start, end);
        }
    }
}

/// Enough series for many pages and for lists that lie in the postings section.
#[test]
fn many_pages_are_searched_as_few() {
    let mut series: Series = (0..6000)
        .map(|number| {
            let mut samples = Samples::default();
            samples.push(number % 7, 0.5);
            let labels = Labels::from_pairs([
                ("__name__", format!("metric_{}", number % 3)),
                (
                    "a_long_label_name_that_everything_has",
                    format!("and a long value, {}", number / 40),
                ),
                ("number", number.to_string()),
                (
                    "odd",
                    if number % 2 == 1 {
                        "yes".to_owned()
                    } else {
                        String::new()
                    },
                ),
            ]);
            (labels, samples)
        })
        .collect();
    series.sort_by(|a, b| a.0.cmp(&b.0));
    let (_folder, block) = open(&series);
    let m = |name: &str, op, value: &str| Matcher::new(name, op, value).unwrap();
    for matchers in [
        vec![],
        vec![
            Matcher::equal("__name__", "metric_1"),
            Matcher::equal("odd", "yes"),
        ],
        vec![Matcher::equal("odd", ""), m("number", MatchOp::Regex, "4.*")],
        vec![
            m("number", MatchOp::Regex, "17|4000|5999|6000"),
            m("odd", MatchOp::NotRegex, "y.*"),
        ],
        vec![
            m("odd", MatchOp::NotEqual, "yes"),
            m("__name__", MatchOp::NotEqual, "metric_0"),
        ],
        vec![m(
            "a_long_label_name_that_everything_has",
            MatchOp::Regex,
            ".*, 1?1",
        )],
        vec![Matcher::equal("__name__", "metric_9")],
    ] {
        check(&series, &block, &matchers, i64::MIN, i64::MAX);
        check(&series, &block, &matchers, 2, 3);
    }
}

#[test]
fn a_cancelled_selection_says_why() {
    let mut samples = Samples::default();
    samples.push(1, 1.0);
    let (_folder, block) = open(&vec![(Labels::from_pairs([("x", "1")]), samples)]);
    let cancel = Cancel::new();
    cancel.cancel(CancelReason::TimedOut);
    let matchers = [Matcher::equal("x", "1")];
    let refused = |result: Result<usize, BlockError>| {
        assert!(
            matches!(result, Err(BlockError::Cancelled(CancelReason::TimedOut))),
            "{result:?}"
        );
    };
    refused(block.select(&matchers, 0, 2, &cancel).map(|s| s.len()));
    refused(block.label_names(&[], 0, 2, &cancel).map(|s| s.len()));
    refused(block.label_values("x", &[], 0, 2, &cancel).map(|s| s.len()));
}
