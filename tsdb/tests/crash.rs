//! For every n: the n-th operation on the disk fails, and nothing that was promised is lost.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop here")]

mod store;

use std::collections::BTreeMap;

use model::{Cancel, Labels};
use store::{Contents, commit, everything, open, series, small};
use tsdb::sim::{Fault, Restart, SimDir};
use tsdb::{Db, Options};

/// What a run was told.
#[derive(Default)]
struct Told {
    /// Commits that returned.
    committed: Contents,
    /// Those of them that a sync confirmed.
    synced: Contents,
    /// Everything that was ever handed over.
    attempted: BTreeMap<(Labels, i64), u64>,
}

/// A scripted life: commits of growing series, maintenance, syncs. Stops at a crash.
fn live(dir: &SimDir, options: &Options, told: &mut Told, from: i64) -> Option<()> {
    let (db, _) = Db::open(std::sync::Arc::new(dir.clone()), options.clone(), 0).ok()?;
    for round in from..from + 40 {
        let t_ms = round * 150;
        let fleet = usize::try_from(round / 10).unwrap();
        let rows: Vec<_> = (fleet..fleet + 4)
            .map(|s| (series(s), t_ms, 0.1 * (t_ms as f64) + s as f64))
            .collect();
        for (labels, t_ms, value) in &rows {
            told.attempted.insert((labels.clone(), *t_ms), value.to_bits());
        }
        match commit(&db, &rows) {
            Ok(committed) => {
                for (row, (labels, t_ms, value)) in rows.iter().enumerate() {
                    if !committed.rejected.iter().any(|r| r.row == row) {
                        told.committed
                            .entry(labels.clone())
                            .or_default()
                            .insert(*t_ms, value.to_bits());
                    }
                }
            }
            Err(_) if dir.is_crashed() => return None,
            Err(_) => {}
        }
        if round % 3 == 0 && db.sync().is_ok() {
            told.synced = told.committed.clone();
        }
        if round % 7 == 0 {
            let _ = db.maintain(t_ms, &Cancel::new());
        }
        if dir.is_crashed() {
            return None;
        }
        if round % 8 == 7 {
            assert_eq!(
                everything(&db),
                told.committed,
                "a query while alive, round {round}"
            );
        }
    }
    db.close(0).ok()?;
    told.synced = told.committed.clone();
    Some(())
}

fn subset(small: &Contents, large: &Contents) -> Result<(), String> {
    for (labels, points) in small {
        for (t_ms, value) in points {
            if large.get(labels).and_then(|points| points.get(t_ms)) != Some(value) {
                return Err(format!("{labels} at {t_ms} is missing"));
            }
        }
    }
    Ok(())
}

fn check(n: u64, fault: Fault, how: Restart, options: &Options) {
    let dir = SimDir::new();
    let mut told = Told::default();
    dir.fail_at(n, fault);
    live(&dir, options, &mut told, 0);
    dir.restart(how);
    let (db, _) = open(&dir, options);
    let found = everything(&db);
    let promised = if how == Restart::Killed {
        &told.committed
    } else {
        &told.synced
    };
    if let Err(lost) = subset(promised, &found) {
        panic!(
            "operation {n}, {fault:?}, {how:?}: {lost}; files {:?}",
            dir.files()
        );
    }
    for (labels, points) in &found {
        for (t_ms, value) in points {
            let known = told.attempted.get(&(labels.clone(), *t_ms));
            assert_eq!(
                known,
                Some(value),
                "operation {n}, {fault:?}, {how:?}: phantom {labels} at {t_ms}"
            );
        }
    }
    // It goes on from there, and a second start finds the same.
    told.committed = found;
    drop(db);
    live(&dir, options, &mut told, 40)
        .unwrap_or_else(|| panic!("operation {n}, {fault:?}, {how:?}: no second life"));
    dir.restart(Restart::PowerCut);
    let (db, warnings) = open(&dir, options);
    assert_eq!(
        everything(&db),
        told.committed,
        "operation {n}, {fault:?}, {how:?}"
    );
    assert_eq!(warnings, [], "operation {n}, {fault:?}, {how:?}");
}

fn operations(options: &Options) -> u64 {
    let dir = SimDir::new();
    live(&dir, options, &mut Told::default(), 0).unwrap();
    dir.operations()
}

#[test]
fn a_crash_at_any_operation_loses_nothing_promised() {
    let options = small();
    let operations = operations(&options);
    assert!(
        operations > 120,
        "the script does little: {operations} operations"
    );
    for n in 1..=operations {
        check(n, Fault::Crash, Restart::Killed, &options);
        check(n, Fault::Crash, Restart::PowerCut, &options);
    }
}

#[test]
fn one_failing_operation_loses_nothing_promised() {
    let options = small();
    for n in 1..=operations(&options) {
        for fault in [Fault::Error, Fault::ShortWrite, Fault::StuckWrite] {
            check(n, fault, Restart::Killed, &options);
            check(n, fault, Restart::PowerCut, &options);
        }
    }
}
