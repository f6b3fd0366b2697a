//! The queries of the differential test, read from `queries.txt`.
//!
//! A line is a test: marks, a colon and a blank, then the query; no marks, no colon. Marks: `o` the order of an instant
//! answer counts, `v` so does that of its values (ties come in any order), `i` instant only, `r` range only, `e` an error at one time at least (all others must work, so that a
//! test cannot pass by two errors). Blank lines and lines that begin with `#` are for the reader.

use super::compare::Order;

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Query {
    /// PromQL; `$end` stands for the time of the last sample.
    pub(crate) text: String,
    /// How far does the order of an instant answer count?
    pub(crate) order: Order,
    /// Must the oracle refuse it?
    pub(crate) refused: bool,
    instant: bool,
    range: bool,
}

/// A way in which a query is asked; times are distances before the last sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Evaluation {
    /// At one time.
    Instant {
        /// Milliseconds.
        before_end_ms: i64,
    },
    /// Over a range.
    Range {
        /// First step.
        from_ms: i64,
        /// Not after.
        to_ms: i64,
        /// Distance of steps.
        step_ms: i64,
    },
}

/// On a sample, between samples, within a gap, and after the end of the data.
const INSTANTS_MS: [i64; 4] = [600_000, 1_234_567, 3_601_000, -200_000];

/// Steps of the scrape interval, odd ones, ones longer than lookback.
const RANGES_MS: [(i64, i64, i64); 3] = [
    (1_800_000, 600_000, 15_000),
    (5_400_000, 1_000, 97_000),
    (7_800_000, -600_000, 420_000),
];

impl Query {
    /// How this query is asked.
    pub(crate) fn evaluations(&self) -> Vec<Evaluation> {
        let instants = INSTANTS_MS
            .iter()
            .map(|&before_end_ms| Evaluation::Instant { before_end_ms });
        let ranges = RANGES_MS
            .iter()
            .map(|&(from_ms, to_ms, step_ms)| Evaluation::Range {
                from_ms,
                to_ms,
                step_ms,
            });
        instants
            .filter(|_| self.instant)
            .chain(ranges.filter(|_| self.range))
            .collect()
    }
}

/// All queries.
pub(crate) fn all() -> Vec<Query> {
    parse(include_str!("queries.txt"))
}

fn parse(text: &str) -> Vec<Query> {
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(query).collect()
}

fn query(line: &str) -> Query {
    let (marks, text) = match line.split_once(": ") {
        Some((marks, text)) if !marks.is_empty() && marks.chars().all(|mark| "ovire".contains(mark)) => {
            (marks, text)
        }
        _ => ("", line),
    };
    Query {
        text: text.to_string(),
        order: if marks.contains('o') {
            Order::Series
        } else if marks.contains('v') {
            Order::Values
        } else {
            Order::Any
        },
        refused: marks.contains('e'),
        instant: !marks.contains('r'),
        range: !marks.contains('i'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_stand_before_a_colon() {
        let got = parse("# note\n\nup\noi: sort(up)\nr: sum:rate{a=\"b: c\"}\n{a=\"x: y\"}\n");
        let rows: Vec<(&str, Order, usize)> = got
            .iter()
            .map(|q| (q.text.as_str(), q.order, q.evaluations().len()))
            .collect();
        let want = [
            ("up", Order::Any, 7),
            ("sort(up)", Order::Series, 4),
            ("sum:rate{a=\"b: c\"}", Order::Any, 3),
            ("{a=\"x: y\"}", Order::Any, 7),
        ];
        assert_eq!(rows, want);
    }

    #[test]
    fn there_are_enough_queries_and_none_twice() {
        let all = all();
        assert!(all.len() >= 220, "{}", all.len());
        for (at, query) in all.iter().enumerate() {
            assert!(
                !all.iter().skip(at + 1).any(|other| other == query),
                "twice: {}",
                query.text
            );
        }
    }
}
