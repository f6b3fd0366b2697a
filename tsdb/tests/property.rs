//! The store beside a map: random commits, maintenance and restarts, and both must say the same.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop here")]

mod store;

use std::collections::BTreeMap;

use model::{Cancel, MatchOp, Matcher};
use proptest::prelude::*;
use store::{Contents, commit, contents, everything, open, series, small};
use tsdb::sim::{Restart, SimDir};
use tsdb::{Db, Options};

#[derive(Debug, Clone)]
enum Step {
    /// `(series, ahead of the last time, value)`; negative is out of order.
    Commit(Vec<(usize, i64, f64)>),
    Maintain,
    Sync,
    Reopen,
    Kill,
    /// Everything was synced before.
    PowerCut,
    Query(i64, i64, usize),
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        (0i64..1000).prop_map(|i| i as f64),
        any::<f64>(),
        any::<u64>().prop_map(f64::from_bits),
        Just(f64::from_bits(model::STALE_NAN))
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let row = (
        0usize..8,
        prop_oneof![9 => 0i64..120, 1 => -3000i64..0, 1 => 0i64..2500],
        value(),
    );
    prop_oneof![
        12 => proptest::collection::vec(row, 1..12).prop_map(Step::Commit),
        3 => Just(Step::Maintain),
        1 => Just(Step::Sync),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
        1 => Just(Step::PowerCut),
        2 => (0i64..20_000, 0i64..4000, 0usize..4).prop_map(|(start, len, group)| Step::Query(start, start + len, group)),
    ]
}

/// The map without what retention may have taken: samples before the first one that the store still has, at block grain.
fn within(map: &Contents, from_ms: i64, to_ms: i64) -> Contents {
    map.iter()
        .map(|(labels, points)| {
            (
                labels.clone(),
                points.range(from_ms..=to_ms).map(|(t, v)| (*t, *v)).collect(),
            )
        })
        .filter(|(_, points): &(_, BTreeMap<i64, u64>)| !points.is_empty())
        .collect()
}

/// The store, the map beside it, and what the test knows about both.
struct Pair {
    dir: SimDir,
    options: Options,
    db: Db,
    map: Contents,
    now: i64,
    /// Retention deleted blocks that reach up to here.
    deleted_to: i64,
}

impl Pair {
    fn new(options: &Options) -> Self {
        let dir = SimDir::new();
        let db = open(&dir, options).0;
        Self {
            dir,
            options: options.clone(),
            db,
            map: Contents::new(),
            now: 0,
            deleted_to: i64::MIN,
        }
    }

    fn commit(&mut self, rows: &[(usize, i64, f64)]) {
        let start = self.now;
        let rows: Vec<_> = rows
            .iter()
            .map(|(s, ahead, v)| (series(*s), (start + ahead).max(0), *v))
            .collect();
        let committed = commit(&self.db, &rows).unwrap();
        let mut appended = 0;
        for (row, (labels, t_ms, value)) in rows.iter().enumerate() {
            if committed.rejected.iter().any(|r| r.row == row) {
                continue;
            }
            self.now = self.now.max(*t_ms);
            let old = self
                .map
                .entry(labels.clone())
                .or_default()
                .insert(*t_ms, value.to_bits());
            assert!(
                old.is_none_or(|old| old == value.to_bits()),
                "an accepted sample changes none"
            );
            appended += usize::from(old.is_none());
        }
        assert_eq!(committed.appended, appended);
    }

    fn maintain(&mut self) {
        let blocks = self.db.stats().blocks;
        let done = self.db.maintain(self.now, &Cancel::new()).unwrap();
        let gone = blocks
            .iter()
            .chain(&done.cut)
            .filter(|b| done.deleted.contains(&b.name));
        self.deleted_to = gone.map(|b| b.max_ms).fold(self.deleted_to, i64::max);
    }

    fn restart(&mut self, how: Restart) {
        self.dir.restart(how);
        let (again, warnings) = open(&self.dir, &self.options);
        assert_eq!(warnings, []);
        self.db = again;
    }

    fn query(&self, start_ms: i64, end_ms: i64, group: usize) {
        let start = start_ms.max(self.deleted_to.saturating_add(1));
        let end = end_ms.max(start);
        let pattern = format!("{group}|x.*");
        let matchers: Vec<_> = (group < 3)
            .then(|| Matcher::new("group", MatchOp::Regex, pattern).unwrap())
            .into_iter()
            .collect();
        let mut want = within(&self.map, start, end);
        want.retain(|labels, _| matchers.iter().all(|m| m.matches(labels.get("group").unwrap())));
        assert_eq!(contents(&self.db, &matchers, start, end), want);
    }
}

fn check(steps: &[Step], options: &Options) {
    let mut pair = Pair::new(options);
    for step in steps {
        match step {
            Step::Commit(rows) => pair.commit(rows),
            Step::Maintain => pair.maintain(),
            Step::Sync => pair.db.sync().unwrap(),
            Step::Reopen => {
                pair.db.close(pair.now).unwrap();
                pair.restart(Restart::PowerCut);
            }
            Step::Kill => pair.restart(Restart::Killed),
            Step::PowerCut => {
                pair.db.sync().unwrap();
                pair.restart(Restart::PowerCut);
            }
            Step::Query(start, end, group) => pair.query(*start, *end, *group),
        }
    }
    pair.query(i64::MIN, i64::MAX, 3);
    // Deleting a block may leave earlier samples in a longer one, but never others than were committed.
    for (labels, points) in everything(&pair.db) {
        assert!(
            points.iter().all(|(t, v)| pair.map[&labels].get(t) == Some(v)),
            "a sample that was never committed"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_equals_a_map(steps in proptest::collection::vec(step(), 1..120)) {
        check(&steps, &small());
    }

    #[test]
    fn the_store_equals_a_map_with_retention(steps in proptest::collection::vec(step(), 1..120)) {
        check(&steps, &Options { retention_ms: 8000, ..small() });
    }
}
