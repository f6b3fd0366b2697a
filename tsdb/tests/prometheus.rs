//! Import and export: what goes out comes in again, nothing that was there is lost, and both may be stopped anywhere.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop here")]

mod store;

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Cancel, STALE_NAN};
use store::{Contents, commit, everything, open, series, small};
use tsdb::dir::Dir;
use tsdb::prometheus::{Source, SourceMeta, WrittenBlock, block_folders};
use tsdb::sim::{Fault, Restart, SimDir};
use tsdb::{DbReadOnly, Error, Export, Imported, Options};

const HOUR_MS: i64 = 3_600_000;
/// A slot of the import in these tests, ten block ranges.
const SLOT_MS: i64 = 10_000;

/// A store of some blocks and a head; samples from `from_ms` on, every `step_ms`.
fn filled(from_ms: i64, step_ms: i64, steps: i64, value: f64) -> SimDir {
    let dir = SimDir::new();
    let (db, _) = open(&dir, &small());
    for step in 0..steps {
        let t_ms = from_ms + step * step_ms;
        let rows: Vec<_> = (0..5)
            .filter(|id| step % 7 != *id)
            .map(|id| {
                let stale = step % 11 == id;
                let own = value + id as f64 * 0.1 + step as f64;
                (
                    series(usize::try_from(id).unwrap()),
                    t_ms,
                    if stale { f64::from_bits(STALE_NAN) } else { own },
                )
            })
            .collect();
        commit(&db, &rows).unwrap();
        if step % 10 == 9 {
            db.maintain(t_ms, &Cancel::new()).unwrap();
        }
    }
    db.close(0).unwrap();
    dir
}

fn read_only(dir: &SimDir) -> DbReadOnly {
    let (db, warnings) = DbReadOnly::open(dir, &Cancel::new()).unwrap();
    assert_eq!(warnings, []);
    db
}

fn contents_of(db: &DbReadOnly) -> Contents {
    let mut out = Contents::new();
    let mut each = |labels: &model::Labels, samples: &model::Samples| {
        let points = samples
            .t_ms
            .iter()
            .copied()
            .zip(samples.values.iter().map(|v| v.to_bits()));
        assert!(out.insert(labels.clone(), points.collect()).is_none());
        Ok(())
    };
    db.for_each_series(i64::MIN, i64::MAX, &Cancel::new(), &mut each)
        .unwrap();
    out
}

/// The end of a block stands in for its `meta.json`.
fn meta(block: &WrittenBlock) -> Vec<u8> {
    (block.max_ms + 1).to_string().into_bytes()
}

fn export_to(db: &DbReadOnly, target: &SimDir, from_ms: i64, to_ms: i64) -> Result<Vec<WrittenBlock>, Error> {
    let target: Arc<dyn Dir> = Arc::new(target.clone());
    let mut number = block_folders(target.as_ref()).unwrap().len();
    let mut export = Export {
        from_ms,
        to_ms,
        name: &mut || {
            number += 1;
            format!("01ARYZ6S41{number:016}")
        },
        meta: &meta,
        progress: &mut |_| {},
    };
    tsdb::export(db, &target, &mut export, &Cancel::new())
}

fn exported(dir: &SimDir) -> SimDir {
    let target = SimDir::new();
    export_to(&read_only(dir), &target, i64::MIN, i64::MAX).unwrap();
    target
}

fn source(dir: &SimDir) -> Result<Source, Error> {
    let metas: Vec<SourceMeta> = block_folders(dir)
        .unwrap()
        .into_iter()
        .map(|name| SourceMeta {
            max_ms: String::from_utf8(dir.bytes(&format!("{name}/meta.json")).unwrap())
                .unwrap()
                .parse()
                .unwrap(),
            name,
            in_order: true,
        })
        .collect();
    Source::open(Arc::new(dir.clone()), &metas, SLOT_MS, &Cancel::new())
}

fn import(db: &tsdb::Db, from: &SimDir, now_ms: i64) -> Result<Imported, Error> {
    db.import(&mut source(from)?, now_ms, &Cancel::new(), &mut |_| {})
}

/// Both, of which the first has the word.
fn union(first: &Contents, second: &Contents) -> Contents {
    let mut out = second.clone();
    for (labels, points) in first {
        out.entry(labels.clone()).or_default().extend(points);
    }
    out
}

fn len(contents: &Contents) -> u64 {
    contents.values().map(BTreeMap::len).sum::<usize>() as u64
}

#[test]
fn what_goes_out_comes_in_again_bit_for_bit() {
    // Days, so that there are several blocks, and more samples a series than a chunk holds.
    let dir = SimDir::new();
    let options = Options {
        block_range_ms: 2 * HOUR_MS,
        ..small()
    };
    let (db, _) = open(&dir, &options);
    for step in 0..700 {
        let t_ms = -20 * HOUR_MS + step * HOUR_MS / 15;
        let rows: Vec<_> = (0..3)
            .map(|id| (series(id), t_ms, (step % 5) as f64 / 3.0))
            .collect();
        commit(&db, &rows).unwrap();
        if step % 50 == 0 {
            db.maintain(t_ms, &Cancel::new()).unwrap();
        }
    }
    let before = everything(&db);
    let target = SimDir::new();
    let written = export_to(&read_only(&dir), &target, i64::MIN, i64::MAX).unwrap();
    assert_eq!(written.iter().map(|block| block.samples).sum::<u64>(), 2100);
    let starts: Vec<i64> = written.iter().map(|block| block.min_ms / HOUR_MS).collect();
    assert_eq!(starts, [-20, -18, 0, 18], "{written:?}");
    // 270 samples in a block of 18 hours: three chunks a series.
    assert_eq!(
        (written[1].series, written[1].samples, written[1].chunks),
        (3, 810, 9)
    );

    let fresh = SimDir::new();
    let (db, _) = open(&fresh, &options);
    let done = import(&db, &target, i64::MAX).unwrap();
    assert_eq!((done.samples, done.known, done.ahead), (2100, 0, 0));
    assert_eq!(everything(&db), before);
    drop(db);
    let (db, warnings) = open(&fresh, &options);
    assert_eq!((warnings, everything(&db)), (vec![], before));
}

#[test]
fn an_export_of_a_range_holds_that_range() {
    let dir = filled(0, 100, 60, 1.0);
    let target = SimDir::new();
    export_to(&read_only(&dir), &target, 1050, 3000).unwrap();
    let (db, _) = open(&SimDir::new(), &small());
    import(&db, &target, i64::MAX).unwrap();
    let mut want = contents_of(&read_only(&dir));
    want.values_mut()
        .for_each(|points| points.retain(|t_ms, _| (1050..=3000).contains(t_ms)));
    assert_eq!(everything(&db), want);
    assert_eq!(
        export_to(&read_only(&dir), &SimDir::new(), 7000, 9000).unwrap(),
        []
    );
    assert_eq!(
        export_to(&read_only(&SimDir::new()), &SimDir::new(), 0, 9000).unwrap(),
        []
    );
}

#[test]
fn an_import_adds_what_is_missing_and_a_second_one_nothing() {
    // Ours lies between theirs and over them, in blocks and head; the values differ where times are equal.
    let theirs = exported(&filled(0, 100, 250, 1.0));
    for (from_ms, step_ms, steps) in [
        (5000, 50, 200),
        (20_000, 100, 100),
        (0, 100, 1),
        (40_000, 100, 30),
    ] {
        let dir = filled(from_ms, step_ms, steps, 1000.0);
        let ours = contents_of(&read_only(&dir));
        let want = union(&ours, &contents_of(&read_only(&filled(0, 100, 250, 1.0))));
        let (db, _) = open(&dir, &small());
        let done = import(&db, &theirs, i64::MAX).unwrap();
        assert_eq!(everything(&db), want, "{from_ms}");
        assert_eq!(done.samples, len(&want) - len(&ours));
        assert!(done.blocks > 0 && done.known < 1300);
        let again = import(&db, &theirs, i64::MAX).unwrap();
        assert_eq!((again.samples, again.blocks), (0, 0));
        assert_eq!(again.known, done.samples + done.known);
        drop(db);
        // A start takes what is before the last block from blocks alone; compaction makes overlapping ones into one.
        let (db, warnings) = open(&dir, &small());
        assert_eq!((warnings, everything(&db)), (vec![], want.clone()));
        db.maintain(100_000, &Cancel::new()).unwrap();
        assert_eq!(everything(&db), want);
    }
}

#[test]
fn what_is_later_than_now_does_not_close_the_present() {
    let theirs = exported(&filled(0, 100, 100, 1.0));
    let want = contents_of(&read_only(&filled(0, 100, 100, 1.0)));
    let dir = SimDir::new();
    let options = Options {
        max_ahead_ms: 4000,
        ..small()
    };
    let (db, _) = open(&dir, &options);
    db.maintain(5000, &Cancel::new()).unwrap();
    let done = import(&db, &theirs, 5000).unwrap();
    let believed: u64 = want
        .values()
        .map(|points| points.range(..=9000).count() as u64)
        .sum();
    assert_eq!((done.samples, done.ahead), (believed, len(&want) - believed));
    // The present goes on, before the samples that are ahead.
    let now = commit(&db, &[(series(7), 5001, 1.0)]).unwrap();
    assert_eq!(now.appended, 1);
    drop(db);
    let (db, _) = open(&dir, &options);
    assert_eq!(
        everything(&db).values().map(BTreeMap::len).sum::<usize>() as u64,
        believed + 1
    );
}

#[test]
fn an_import_may_be_stopped_at_any_operation() {
    let theirs = exported(&filled(0, 100, 150, 1.0));
    let their_contents = contents_of(&read_only(&filled(0, 100, 150, 1.0)));
    let ours = || filled(5000, 50, 60, 1000.0);
    let own = contents_of(&read_only(&ours()));
    let want = union(&own, &their_contents);
    let whole = {
        let dir = ours();
        let before = dir.operations();
        let (db, _) = open(&dir, &small());
        import(&db, &theirs, i64::MAX).unwrap();
        dir.operations() - before
    };
    assert!(whole > 20, "{whole}");
    for n in 1..=whole {
        for (fault, restart) in [
            (Fault::Crash, Restart::Killed),
            (Fault::Crash, Restart::PowerCut),
            (Fault::ShortWrite, Restart::Killed),
            (Fault::Error, Restart::PowerCut),
        ] {
            let dir = ours();
            dir.fail_at(dir.operations() + n, fault);
            let opened = tsdb::Db::open(Arc::new(dir.clone()), small(), 0);
            let first = opened.map(|(db, _)| {
                let done = import(&db, &theirs, i64::MAX);
                if done.is_ok() {
                    assert_eq!(everything(&db), want, "operation {n} {fault:?}");
                }
            });
            drop(first);
            dir.restart(restart);
            let (db, warnings) = open(&dir, &small());
            // The log of the start that was stopped may end in the middle of its first write.
            let torn = |warning: &tsdb::Warning| warning.lost.contains("a write was cut short");
            assert!(
                warnings.iter().all(torn),
                "operation {n} {fault:?} {restart:?}: {warnings:?}"
            );
            let there = everything(&db);
            for (labels, points) in &own {
                for (t_ms, value) in points {
                    assert_eq!(
                        there.get(labels).and_then(|p| p.get(t_ms)),
                        Some(value),
                        "{n} {fault:?} {restart:?}"
                    );
                }
            }
            import(&db, &theirs, i64::MAX).unwrap();
            assert_eq!(everything(&db), want, "operation {n} {fault:?} {restart:?}");
        }
    }
}

#[test]
fn an_export_may_be_stopped_at_any_operation() {
    let db = read_only(&filled(17 * HOUR_MS, HOUR_MS / 20, 40, 1.0));
    let want = contents_of(&db);
    let whole = {
        let target = SimDir::new();
        assert_eq!(export_to(&db, &target, i64::MIN, i64::MAX).unwrap().len(), 2);
        target.operations()
    };
    for n in 1..=whole {
        for fault in [Fault::Crash, Fault::ShortWrite, Fault::Error] {
            let target = SimDir::new();
            target.fail_at(n, fault);
            // Removing what is left of a failed block may meet the last fault; then nothing has failed before.
            if export_to(&db, &target, i64::MIN, i64::MAX).is_ok() {
                assert_eq!(block_folders(&target).unwrap().len(), 2, "{n} {fault:?}");
            }
            target.restart(Restart::Killed);
            let names = target.files();
            let unfinished = |name: &String| name.contains(".tmp-for-creation");
            assert!(
                fault == Fault::Crash || !names.iter().any(unfinished),
                "{n} {fault:?}: {names:?}"
            );
            let fresh = SimDir::new();
            let (copy, _) = open(&fresh, &small());
            import(&copy, &target, i64::MAX).unwrap();
            let got = everything(&copy);
            assert!(got.iter().all(|(labels, points)| {
                points
                    .iter()
                    .all(|(t_ms, value)| want[labels].get(t_ms) == Some(value))
            }));
        }
    }
}

#[test]
fn damage_to_a_block_of_prometheus_is_an_error_with_file_and_offset() {
    let target = exported(&filled(0, 100, 30, 1.0));
    let want = contents_of(&read_only(&filled(0, 100, 30, 1.0)));
    let mut found = 0;
    let files: Vec<String> = target
        .files()
        .into_iter()
        .filter(|name| !name.ends_with("meta.json"))
        .collect();
    for name in &files {
        let whole = target.bytes(name).unwrap();
        for at in 0..whole.len() {
            target.damage(name, |bytes| bytes[at] ^= 0x04);
            let (db, _) = open(&SimDir::new(), &small());
            match import(&db, &target, i64::MAX) {
                Err(Error::Block(tsdb::block::BlockError::Corrupt { path, .. })) => {
                    assert!(path.contains(name.as_str()), "{path} for {name}");
                    found += 1;
                }
                Err(error) => panic!("{name} byte {at}: {error}"),
                // Padding and lists that follow from the series.
                Ok(_) => assert_eq!(everything(&db), want, "{name} byte {at}"),
            }
            target.damage(name, |bytes| *bytes = whole.clone());
        }
        target.damage(name, |bytes| bytes.truncate(bytes.len() / 2));
        let (db, _) = open(&SimDir::new(), &small());
        assert!(import(&db, &target, i64::MAX).is_err(), "{name} cut");
        target.damage(name, |bytes| *bytes = whole.clone());
    }
    assert!(found > 500, "{found}");
}

#[test]
fn a_store_is_read_beside_its_writer_and_nothing_is_touched() {
    let dir = SimDir::new();
    let (db, _) = open(&dir, &small());
    for step in 0..80 {
        let t_ms = step * 100;
        commit(&db, &[(series(0), t_ms, step as f64), (series(1), t_ms, 1.0)]).unwrap();
        if step % 9 == 0 {
            db.maintain(t_ms, &Cancel::new()).unwrap();
        }
        let before = dir.operations();
        let reader = read_only(&dir);
        assert_eq!(contents_of(&reader), everything(&db), "step {step}");
        let verified = tsdb::verify(&dir, &Cancel::new(), &mut |_| {}).unwrap();
        assert_eq!(verified.faults, Vec::<String>::new());
        let analysis = reader.analyze(3, &Cancel::new()).unwrap();
        assert_eq!(
            (analysis.series, analysis.samples),
            (2, 2 * (u64::try_from(step).unwrap() + 1))
        );
        assert_eq!(dir.operations(), before);
    }
    let analysis = read_only(&dir).analyze(3, &Cancel::new()).unwrap();
    assert_eq!(analysis.metrics.len(), 1);
    assert_eq!(
        (analysis.metrics[0].metric.as_str(), analysis.metrics[0].series),
        ("m", 2)
    );
    assert_eq!(analysis.values_by_label[0], ("group".to_owned(), 2));
    assert!(!analysis.blocks.is_empty() && analysis.head.1 > 0 && analysis.wal_bytes > 0);
}

#[test]
fn verify_finds_damage_in_blocks_and_log() {
    let dir = filled(0, 100, 80, 1.0);
    let check = |what: &str, words: &[&str]| {
        let verified = tsdb::verify(&dir, &Cancel::new(), &mut |_| {}).unwrap();
        let all = verified.faults.join("\n");
        assert!(words.iter().all(|word| all.contains(word)), "{what}: {all}");
        assert_eq!(verified.faults.is_empty(), words.is_empty(), "{what}: {all}");
    };
    check("whole", &[]);
    let names = dir.files();
    let block = names.iter().find(|name| name.ends_with(".block")).unwrap();
    let whole = dir.bytes(block).unwrap();
    dir.damage(block, |bytes| bytes[20] ^= 1);
    check("column", &[block.as_str(), "damaged at byte"]);
    dir.damage(block, |bytes| *bytes = whole.clone());
    let logs = names.iter().filter(|name| name.starts_with("wal/"));
    let log = logs.max_by_key(|name| dir.bytes(name).unwrap().len()).unwrap();
    dir.damage(log, |bytes| bytes[40] ^= 1);
    check("log", &[log.as_str(), "damaged at byte"]);
}

/// The fuzzers' corpora, as a plain test: findings stay found, and what a real Prometheus wrote is read.
#[test]
fn the_fuzz_corpora_make_no_reader_panic() {
    use tsdb::prometheus::{fuzz_chunk, fuzz_index, fuzz_tombstones, fuzz_wal};
    let check = |target: &str, least: usize, read: fn(&[u8]) -> usize| {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
        let files: Vec<_> = std::fs::read_dir(folder.join(target)).unwrap().collect();
        assert!(files.len() >= least, "{} files for {target}", files.len());
        for file in files {
            let path = file.unwrap().path();
            let found = read(&std::fs::read(&path).unwrap());
            let whole = path.file_name().unwrap().to_string_lossy().starts_with("whole_");
            assert!(!whole || found > 0, "{} is not read", path.display());
        }
    };
    check("prometheus_index", 5, |bytes| {
        fuzz_index(bytes).map_or(0, |(series, chunks)| series * chunks)
    });
    check("prometheus_wal", 5, |bytes| {
        fuzz_wal(bytes).map_or(0, |(series, samples)| series * samples)
    });
    check("prometheus_chunk", 5, fuzz_chunk);
    check("prometheus_tombstones", 3, fuzz_tombstones);
}
