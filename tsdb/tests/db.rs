//! The store through its public face: commits, rejections, cuts, restarts.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop here")]

mod store;

use model::{
    Batch, Bounds, Cancel, CounterReset, Histogram, Labels, MatchOp, Matcher, Querier, SelectHints, SeriesRef,
};
use std::sync::Arc;
use store::{commit, contents, everything, open, series, small};
use tsdb::dir::{Dir, RealDir};
use tsdb::sim::{Fault, Restart, SimDir};
use tsdb::{AppendError, Db, Error, Options, RejectReason};

fn l(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

#[test]
fn samples_come_back_after_a_restart_without_a_close() {
    let folder = tempfile::tempdir().unwrap();
    let dir: Arc<dyn Dir> = Arc::new(RealDir::new(folder.path()).unwrap());
    let (db, warnings) = Db::open(Arc::clone(&dir), Options::default(), 5_000).unwrap();
    assert_eq!(warnings, []);
    for t_ms in 0..10 {
        let committed = commit(
            &db,
            &[
                (series(1), t_ms * 1000, 1.5),
                (series(2), t_ms * 1000, t_ms as f64),
            ],
        )
        .unwrap();
        assert_eq!((committed.appended, committed.rejected.len()), (2, 0));
    }
    let before = everything(&db);
    assert_eq!(before.len(), 2);
    drop(db);
    let (db, warnings) = Db::open(dir, Options::default(), 5_000).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(everything(&db), before);
    db.close(5_000).unwrap();
}

#[test]
fn samples_that_do_not_fit_are_refused_one_by_one() {
    let dir = SimDir::new();
    let (db, _) = open(
        &dir,
        &Options {
            max_ahead_ms: 1000,
            ..small()
        },
    );
    db.maintain(10_000, &Cancel::new()).unwrap();
    let check = |rows: &[(Labels, i64, f64)], want: &[Option<RejectReason>]| {
        let committed = commit(&db, rows).unwrap();
        let mut got = vec![None; rows.len()];
        committed
            .rejected
            .iter()
            .for_each(|r| got[r.row] = Some(r.reason));
        assert_eq!(got, want);
    };
    use RejectReason::{DuplicateTimestamp, OutOfOrder, TooFarAhead, TooOld};
    check(
        &[(series(1), 9_000, 1.0), (series(2), 11_001, 1.0)],
        &[None, Some(TooFarAhead)],
    );
    check(
        &[(series(1), 9_000, 1.0), (series(1), 9_000, 2.0)],
        &[None, Some(DuplicateTimestamp)],
    );
    // Two rows of one series in one batch are in order among themselves.
    check(
        &[
            (series(3), 9_500, 1.0),
            (series(3), 9_400, 2.0),
            (series(3), 9_501, 1.0),
        ],
        &[None, Some(OutOfOrder), None],
    );
    check(&[(series(1), 10_990, 1.0)], &[None]);
    db.maintain(10_000, &Cancel::new()).unwrap();
    check(
        &[
            (series(4), 9_999, 1.0),
            (series(1), 9_999, 1.0),
            (series(4), 10_000, 1.0),
        ],
        &[Some(TooOld), Some(TooOld), None],
    );
    let stats = db.stats();
    let count = |reason: RejectReason| stats.rejected.iter().find(|(r, _)| *r == reason).unwrap().1;
    assert_eq!(
        [
            count(OutOfOrder),
            count(DuplicateTimestamp),
            count(TooOld),
            count(TooFarAhead)
        ],
        [1, 1, 2, 1]
    );
}

#[test]
fn references_name_series_until_the_store_forgets_them() {
    let dir = SimDir::new();
    let (db, _) = open(&dir, &small());
    let committed = commit(&db, &[(series(1), 100, 1.0), (series(2), 100, 1.0)]).unwrap();
    let mut batch = Batch::new();
    batch.series_ref(committed.refs[0]);
    batch.push(200, 2.0);
    batch.series_ref(committed.refs[1]);
    batch.push(5000, 2.0);
    assert_eq!(db.commit(&batch).unwrap().refs, committed.refs);
    let before = everything(&db);
    for unknown in [SeriesRef(0), SeriesRef(77), SeriesRef(u64::MAX)] {
        let mut batch = Batch::new();
        batch.series(&series(3));
        batch.push(6000, 1.0);
        batch.series_ref(unknown);
        batch.push(6000, 1.0);
        assert!(
            matches!(db.commit(&batch), Err(AppendError::UnknownRef { row: 1 })),
            "{unknown:?}"
        );
        assert_eq!(everything(&db), before);
    }
    // Series 1 has no sample after the cut, so its reference is void; its samples are in a block.
    let done = db.maintain(0, &Cancel::new()).unwrap();
    assert_eq!((done.cut.len(), done.series_removed), (1, 1));
    assert_eq!(everything(&db), before);
    batch.clear();
    batch.series_ref(committed.refs[0]);
    batch.push(7000, 2.0);
    assert!(matches!(
        db.commit(&batch),
        Err(AppendError::UnknownRef { row: 0 })
    ));
    let again = commit(&db, &[(series(1), 7000, 2.0)]).unwrap();
    assert!(again.refs[0] > committed.refs[1], "numbers are not used again");
    drop(db);
    let (db, _) = open(&dir, &small());
    assert_eq!(
        everything(&db)[&series(1)].keys().copied().collect::<Vec<_>>(),
        [100, 200, 7000]
    );
}

#[test]
fn histograms_are_refused_and_floats_beside_them_stored() {
    let (db, _) = open(&SimDir::new(), &small());
    let histogram = Histogram {
        counter_reset: CounterReset::Unknown,
        bounds: Bounds::Exponential(0),
        zero_threshold: 0.0,
        zero_count: 0.0,
        count: 0.0,
        sum: 0.0,
        positive_spans: vec![],
        positive_buckets: vec![],
        negative_spans: vec![],
        negative_buckets: vec![],
    };
    let mut batch = Batch::new();
    batch.series(&series(1));
    batch.push_histogram(5, Arc::new(histogram));
    batch.series(&series(2));
    batch.push(5, 1.0);
    let committed = db.commit(&batch).unwrap();
    assert_eq!(
        (committed.appended, committed.rejected[0].reason),
        (1, RejectReason::HistogramUnsupported)
    );
}

#[test]
fn a_reader_that_waits_through_a_cut_still_sees_each_sample_once() {
    let dir = SimDir::new();
    let (db, _) = open(&dir, &small());
    for t_ms in (0..6000).step_by(5) {
        commit(&db, &[(series(1), t_ms, t_ms as f64)]).unwrap();
    }
    let hints = SelectHints {
        start_ms: 0,
        end_ms: 10_000,
        ..SelectHints::default()
    };
    let before = db.select(&[], &hints, &Cancel::new()).unwrap();
    let done = db.maintain(0, &Cancel::new()).unwrap();
    assert!(done.cut.len() >= 4, "{done:?}");
    let after = db.select(&[], &hints, &Cancel::new()).unwrap();
    for reader in [&before[0], &after[0]] {
        let mut samples = model::Samples::default();
        reader.read(0, 10_000, &mut samples).unwrap();
        assert_eq!(samples.t_ms, (0..6000).step_by(5).collect::<Vec<i64>>());
    }
    let held = db.stats().head_samples;
    drop((before, after));
    db.maintain(0, &Cancel::new()).unwrap();
    assert!(
        db.stats().head_samples < held,
        "chunks leave the head when nobody needs them"
    );
}

#[test]
fn labels_and_values_come_from_head_and_blocks() {
    let dir = SimDir::new();
    let (db, _) = open(&dir, &small());
    commit(&db, &[(l(&[("__name__", "old"), ("a", "1")]), 0, 1.0)]).unwrap();
    for t_ms in [2000, 3000, 4000] {
        commit(
            &db,
            &[(l(&[("__name__", "new"), ("b", "2"), ("c", "x")]), t_ms, 1.0)],
        )
        .unwrap();
    }
    db.maintain(0, &Cancel::new()).unwrap();
    let cancel = Cancel::new();
    let all = (i64::MIN, i64::MAX);
    assert_eq!(
        db.label_names(&[], all.0, all.1, &cancel).unwrap(),
        ["__name__", "a", "b", "c"]
    );
    assert_eq!(
        db.label_names(&[Matcher::equal("b", "2")], all.0, all.1, &cancel)
            .unwrap(),
        ["__name__", "b", "c"]
    );
    assert_eq!(
        db.label_names(&[], 3500, 4000, &cancel).unwrap(),
        ["__name__", "b", "c"]
    );
    assert_eq!(
        db.label_values("__name__", &[], all.0, all.1, &cancel).unwrap(),
        ["new", "old"]
    );
    let only = [Matcher::new("a", MatchOp::Regex, ".+").unwrap()];
    assert_eq!(
        db.label_values("__name__", &only, all.0, all.1, &cancel).unwrap(),
        ["old"]
    );
    cancel.cancel(model::CancelReason::TimedOut);
    assert!(db.label_values("__name__", &[], all.0, all.1, &cancel).is_err());
    let limited = SelectHints {
        start_ms: all.0,
        end_ms: all.1,
        limit: 1,
        ..SelectHints::default()
    };
    assert_eq!(db.select(&[], &limited, &Cancel::new()).unwrap().len(), 1);
}

#[test]
fn top_lists_count_series_and_values() {
    let (db, _) = open(&SimDir::new(), &small());
    for i in 0..5 {
        commit(
            &db,
            &[(l(&[("__name__", "many"), ("id", &i.to_string())]), 0, 1.0)],
        )
        .unwrap();
    }
    commit(&db, &[(l(&[("__name__", "one"), ("job", "x")]), 0, 1.0)]).unwrap();
    let top = db.head_cardinality(2);
    let s = |list: &[(&str, u64)]| {
        list.iter()
            .map(|(name, n)| ((*name).to_owned(), *n))
            .collect::<Vec<_>>()
    };
    assert_eq!(top.series_by_metric, s(&[("many", 5), ("one", 1)]));
    assert_eq!(top.values_by_label, s(&[("id", 5), ("__name__", 2)]));
    assert_eq!(top.bytes_by_label, s(&[("__name__", 23), ("id", 5)]));
    assert_eq!(
        top.series_by_pair,
        s(&[("__name__=many", 5), ("__name__=one", 1)])
    );
    assert_eq!(top.label_pairs, 8);
    assert_eq!(
        (
            db.stats().head_series,
            db.stats().series_created,
            db.head_series()
        ),
        (6, 6, 6)
    );
}

#[test]
fn a_full_disk_refuses_commits_until_there_is_room_again() {
    let dir = SimDir::new();
    let (db, _) = open(&dir, &small());
    dir.set_capacity(2000);
    let mut taken = 0;
    let refused = loop {
        match commit(&db, &[(series(taken), taken as i64, 0.1)]) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(taken > 5, "{taken}");
    assert!(refused.to_string().contains("make room on the disk"), "{refused}");
    for _ in 0..3 {
        assert!(commit(&db, &[(series(1000), 5, 0.1)]).is_err());
        assert_eq!(everything(&db).len(), taken);
    }
    dir.set_capacity(0);
    commit(&db, &[(series(1000), 5, 0.1)]).unwrap();
    let before = everything(&db);
    assert_eq!(before.len(), taken + 1);
    drop(db);
    dir.restart(Restart::Killed);
    let (db, warnings) = open(&dir, &small());
    assert_eq!((everything(&db), warnings), (before, vec![]));
}

#[test]
fn a_write_that_cannot_be_cut_off_is_cut_off_by_the_next_segment() {
    let dir = SimDir::new();
    let (db, _) = open(&dir, &small());
    commit(&db, &[(series(1), 1, 0.1)]).unwrap();
    // Half of the two records is more than the first one: its labels stay in the file, its number must not come again.
    dir.fail_at(dir.operations() + 1, Fault::StuckWrite);
    assert!(commit(&db, &[(series(2), 2, 0.1)]).is_err());
    dir.fail_at(dir.operations() + 1, Fault::Error);
    commit(&db, &[(series(3), 3, 0.1)]).unwrap();
    let before = everything(&db);
    drop(db);
    dir.restart(Restart::Killed);
    let (db, warnings) = open(&dir, &small());
    assert_eq!((everything(&db), warnings), (before, vec![]));
}

#[test]
fn a_failed_sync_poisons_the_store_and_says_so() {
    let dir = SimDir::new();
    let (db, _) = open(&dir, &small());
    commit(&db, &[(series(1), 1, 0.1)]).unwrap();
    dir.fail_at(dir.operations() + 1, Fault::Error);
    assert!(matches!(db.sync(), Err(Error::Poisoned { .. })));
    let error = commit(&db, &[(series(1), 2, 0.1)]).unwrap_err();
    assert!(
        matches!(error, AppendError::Poisoned { .. }) && error.to_string().contains("restart"),
        "{error}"
    );
    assert!(db.stats().poisoned.unwrap().contains("syncing the log"));
    assert_eq!(everything(&db).len(), 1, "reading goes on");
}

/// A value that no code can make small.
fn scattered(seed: i64) -> f64 {
    (seed as f64 * 0.618_033_988_75).fract()
}

#[test]
fn retention_by_size_counts_the_log_and_takes_the_oldest() {
    let dir = SimDir::new();
    let options = Options {
        retention_bytes: 6000,
        ..small()
    };
    let (db, _) = open(&dir, &options);
    for t_ms in (0..60_000).step_by(100) {
        let rows: Vec<_> = (0..4)
            .map(|i| (series(i), t_ms, scattered(t_ms + i as i64)))
            .collect();
        commit(&db, &rows).unwrap();
        if t_ms % 1000 == 0 {
            db.maintain(0, &Cancel::new()).unwrap();
        }
    }
    db.maintain(0, &Cancel::new()).unwrap();
    let stats = db.stats();
    let size = stats.wal_bytes + stats.blocks.iter().map(|b| b.bytes).sum::<u64>();
    assert!(
        size <= 6000 && !stats.blocks.is_empty() && stats.blocks_deleted > 0,
        "{stats:?}"
    );
    let left = contents(&db, &[], i64::MIN, i64::MAX);
    let times: Vec<_> = left[&series(0)].keys().copied().collect();
    assert!(times[0] > 10_000);
    assert_eq!(
        times,
        (times[0]..60_000).step_by(100).collect::<Vec<_>>(),
        "a tail without a hole"
    );
}

/// History of a day in small steps beside a sample of the present; `maintain` is called with the clock at `now_ms`.
#[test]
fn history_that_is_loaded_beside_the_present_is_taken_and_then_cut() {
    let dir = SimDir::new();
    let options = Options {
        cut_quiet_ms: 10,
        wal_segment_bytes: 1 << 20,
        ..small()
    };
    let (db, _) = open(&dir, &options);
    let mut now_ms = 100_000;
    let step = |db: &Db, now_ms: i64, t_ms: i64| {
        let rows = [(series(1), t_ms, 1.0), (series(2), now_ms, 2.0)];
        let committed = commit(db, &rows).unwrap();
        assert_eq!((committed.appended, committed.rejected), (2, vec![]), "at {t_ms}");
        db.maintain(now_ms, &Cancel::new()).unwrap().cut.len()
    };
    let mut cuts = 0;
    for t_ms in (0..50_000).step_by(100) {
        now_ms += 3;
        cuts += step(&db, now_ms, t_ms);
    }
    assert!((45..50).contains(&cuts), "cut while it is loaded, {cuts} times");
    drop(db);
    // A start in the middle does not take what was not there to be written as quiet.
    let (db, _) = open(&dir, &options);
    db.maintain(now_ms + 1, &Cancel::new()).unwrap();
    assert_eq!(step(&db, now_ms + 2, 50_000), 0);
    let cut = db.maintain(now_ms + 50, &Cancel::new()).unwrap().cut.len();
    assert!(cut > 1, "it is quiet now");
    let refused = commit(&db, &[(series(1), 50_500, 1.0)]).unwrap().rejected;
    assert_eq!(refused[0].reason, RejectReason::TooOld);
    let got = everything(&db);
    assert_eq!(
        got[&series(1)].keys().copied().collect::<Vec<_>>(),
        (0..50_001).step_by(100).collect::<Vec<_>>()
    );
    assert_eq!(got[&series(2)].len(), 501);
}

#[test]
fn a_range_that_never_rests_is_cut_in_the_end() {
    for (wal_segment_bytes, retention_bytes, hours) in [(1 << 20, 0, 1), (1 << 20, 2000, 0)] {
        let dir = SimDir::new();
        let options = Options {
            cut_quiet_ms: 60_000,
            wal_segment_bytes,
            retention_bytes,
            ..small()
        };
        let (db, _) = open(&dir, &options);
        let mut cut_after = None;
        for minute in 0..70 {
            let (past, present) = (minute * 10, 1_000_000 + minute * 10);
            commit(
                &db,
                &[
                    (series(1), past, scattered(past)),
                    (series(2), present, scattered(present)),
                ],
            )
            .unwrap();
            if !db
                .maintain(minute * 60_000 / 2, &Cancel::new())
                .unwrap()
                .cut
                .is_empty()
            {
                cut_after = Some(minute / 2 / 60);
                break;
            }
            if minute == 69 {
                let done = db.maintain(61 * 60_000, &Cancel::new()).unwrap();
                cut_after = (!done.cut.is_empty()).then_some(1);
            }
        }
        assert_eq!(cut_after, Some(hours));
    }
}
