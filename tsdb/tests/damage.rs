//! Files with flipped bytes, cut short, or gone: the store opens and says what is missing.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop here")]

mod store;

use model::Cancel;
use store::{commit, everything, open, series, small};
use tsdb::Options;
use tsdb::sim::SimDir;

/// A store with blocks, a checkpoint and several segments.
fn filled(options: &Options) -> SimDir {
    let dir = SimDir::new();
    let (db, _) = open(&dir, options);
    for round in 0..60i64 {
        let rows: Vec<_> = (0..3)
            .map(|s| (series(s), round * 100, round as f64 * 0.3))
            .collect();
        commit(&db, &rows).unwrap();
        if round == 40 {
            db.maintain(0, &Cancel::new()).unwrap();
        }
    }
    db.close(0).unwrap();
    dir
}

#[test]
fn any_flipped_byte_of_the_log_leaves_a_store_that_opens() {
    let options = small();
    let whole = everything(&open(&filled(&options), &options).0);
    let names: Vec<_> = filled(&options)
        .files()
        .into_iter()
        .filter(|name| name.starts_with("wal/"))
        .collect();
    assert!(
        names.iter().any(|name| name.contains("checkpoint")) && names.len() > 2,
        "{names:?}"
    );
    for name in names {
        let len = filled(&options).bytes(&name).unwrap().len();
        for at in (0..len).step_by(5) {
            let dir = filled(&options);
            dir.damage(&name, |bytes| bytes[at] ^= 0x41);
            let (db, warnings) = open(&dir, &options);
            let found = everything(&db);
            for (labels, points) in &found {
                assert!(
                    points.iter().all(|(t, v)| whole[labels].get(t) == Some(v)),
                    "{name} byte {at}: wrong values"
                );
            }
            let padding = (20..24).contains(&at);
            assert_eq!(warnings.is_empty(), padding, "{name} byte {at}: {warnings:?}");
            assert!(warnings.iter().all(|w| w.file.contains("wal")), "{warnings:?}");
            // It can be written and opened again.
            commit(&db, &[(series(9), 100_000, 1.0)]).unwrap();
            drop(db);
            assert!(
                everything(&open(&dir, &options).0).contains_key(&series(9)),
                "{name} byte {at}"
            );
        }
    }
}

#[test]
fn one_bad_record_in_the_middle_costs_that_record_alone() {
    let options = Options {
        wal_segment_bytes: 1 << 20,
        ..small()
    };
    let dir = SimDir::new();
    let (db, _) = open(&dir, &options);
    let mut lens = Vec::new();
    for round in 0..10 {
        commit(&db, &[(series(1), round, 0.3)]).unwrap();
        lens.push(dir.bytes("wal/00000001").unwrap().len());
    }
    drop(db);
    dir.damage("wal/00000001", |bytes| bytes[lens[4] - 1] ^= 1);
    let (db, warnings) = open(&dir, &options);
    assert_eq!(
        everything(&db)[&series(1)].keys().copied().collect::<Vec<_>>(),
        [0, 1, 2, 3, 5, 6, 7, 8, 9]
    );
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].offset, Some(lens[3] as u64));
    assert!(
        warnings[0].to_string().contains("00000001.damaged"),
        "{}",
        warnings[0]
    );
    assert!(dir.files().contains(&"wal/00000001.damaged".to_owned()));
}

#[test]
fn a_damaged_block_is_set_aside_and_the_rest_answers() {
    let options = small();
    let dir = filled(&options);
    let before = open(&dir, &options).0.stats().blocks;
    assert!(!before.is_empty());
    let name = format!("blocks/{}", before[0].name);
    dir.damage(&name, |bytes| {
        let at = bytes.len() - 10;
        bytes[at] ^= 1;
    });
    let (db, warnings) = open(&dir, &options);
    assert_eq!(db.stats().blocks.len(), before.len() - 1);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].cure.contains(".damaged"), "{}", warnings[0]);
    assert!(dir.files().contains(&format!("{name}.damaged")) && !dir.files().contains(&name));
    assert!(
        open(&dir, &options).1.is_empty(),
        "the next start has nothing to say"
    );
}

#[test]
fn lost_segments_are_said_and_the_others_answer() {
    let options = small();
    let dir = filled(&options);
    let segments: Vec<_> = dir
        .files()
        .into_iter()
        .filter(|n| n.starts_with("wal/0"))
        .collect();
    dir.damage(&segments[0], Vec::clear);
    let (db, _) = open(&dir, &options);
    assert!(!everything(&db).is_empty());
}

/// The fuzz target's corpus, as plain cases: `(series, samples, chunks)` of each file.
#[test]
fn the_corpus_of_logs_reads_as_it_should() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/wal_read");
    for (name, want) in [
        ("empty", (0, 0, 0)),
        ("header_only", (0, 0, 0)),
        ("series_and_samples", (3, 36, 0)),
        ("torn", (3, 33, 0)),
        ("checkpoint", (3, 0, 3)),
        ("checkpoint_flipped", (0, 0, 3)),
    ] {
        let bytes = std::fs::read(corpus.join(name)).unwrap();
        assert_eq!(tsdb::wal::fuzz_read(&bytes), want, "{name}");
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0xff;
            let _ = tsdb::wal::fuzz_read(&bad);
        }
    }
}
