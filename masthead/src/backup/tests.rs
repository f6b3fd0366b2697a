//! A store that is written to while it is copied, and restores that are cut off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use model::{Batch, Labels, Samples};
use tsdb::{Db, Options};

use super::*;

fn stamp() -> Stamp {
    Stamp {
        time: "2026-11-27T12:00:00Z".to_owned(),
        masthead: "0".to_owned(),
    }
}

fn quiet(_: Event) {}

fn open(folder: &Path, now_ms: i64) -> Db {
    let dir = RealDir::new(folder).unwrap();
    let options = Options {
        retention_ms: 0,
        cut_quiet_ms: 0,
        max_ahead_ms: 1 << 40,
        ..Options::default()
    };
    let (db, warnings) = Db::open(Arc::new(dir), options, now_ms).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    db
}

fn commit(db: &Db, t_ms: i64) {
    let mut batch = Batch::new();
    for series in ["a", "b", "c"] {
        batch.series(&Labels::from_pairs([("__name__", "m"), ("series", series)]));
        batch.push(t_ms, 1.5);
    }
    let committed = db.commit(&batch).unwrap();
    assert_eq!(committed.rejected.len(), 0);
}

/// Times of the samples of each series.
fn times(folder: &Path) -> Vec<Vec<i64>> {
    let (db, warnings) = blocks::open_read_only(folder).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let mut all = Vec::new();
    db.for_each_series(i64::MIN, i64::MAX, &Cancel::new(), &mut |_, samples: &Samples| {
        all.push(samples.t_ms.clone());
        Ok(())
    })
    .unwrap();
    all
}

fn embedded(folder: &Path) -> Embedded {
    Embedded {
        data_dir: folder.to_owned(),
        config: None,
        web_config: None,
        is_service: false,
    }
}

#[test]
fn nothing_of_before_a_backup_is_missing_though_the_store_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let db = Arc::new(open(&data, 0));
    let (stop, last) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(-1)));
    let writer = std::thread::spawn({
        let (db, stop, last) = (Arc::clone(&db), Arc::clone(&stop), Arc::clone(&last));
        move || {
            let mut t_ms = 0;
            while !stop.load(Ordering::Relaxed) {
                commit(&db, t_ms);
                last.store(t_ms, Ordering::SeqCst);
                t_ms += 15_000;
                // Two hours of samples are a block; cuts and compactions come in between.
                if (t_ms / 15_000) % 240 == 0 {
                    db.maintain(t_ms, &Cancel::new()).unwrap();
                }
            }
        }
    });
    for round in 0..12 {
        std::thread::sleep(std::time::Duration::from_millis(40));
        let before = last.load(Ordering::SeqCst);
        let file = folder.path().join(format!("{round}.tar.gz"));
        embedded(&data)
            .backup(&file, &stamp(), &Cancel::new(), &quiet)
            .unwrap();
        let checked = archive::verify(File::open(&file).unwrap(), &mut |_| {}).unwrap();
        let restored = folder.path().join(format!("restored-{round}"));
        embedded(&restored)
            .restore(&file, &checked, &Cancel::new(), &quiet)
            .unwrap();
        let series = times(&restored);
        assert_eq!(series.len(), if before < 0 { series.len() } else { 3 });
        for times in series {
            let want: Vec<i64> = (0..).step_by(15_000).take(times.len()).collect();
            assert_eq!(times, want, "no hole");
            assert!(
                times.last().is_some_and(|last| *last >= before),
                "{before}: {:?}",
                times.last()
            );
        }
    }
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    assert!(
        blocks::open_read_only(&data).unwrap().0.blocks().count() > 0,
        "blocks were cut meanwhile"
    );
}

fn store_of(folder: &Path, samples: i64) {
    let db = open(folder, 0);
    for n in 0..samples {
        commit(&db, n * 15_000);
    }
    db.close(samples * 15_000).unwrap();
}

/// A backup with marks and a configuration, of twenty samples a series.
fn backup_of_twenty(folder: &Path) -> (PathBuf, Checked) {
    let from = folder.join("from");
    store_of(&from, 20);
    fs::write(from.join(MARKS_FILE), "{}\n").unwrap();
    let config = folder.join("masthead.yml");
    fs::write(&config, "global: {}\n").unwrap();
    let file = folder.join("b.tar.gz");
    let source = Embedded {
        config: Some(config),
        ..embedded(&from)
    };
    let report = source.backup(&file, &stamp(), &Cancel::new(), &quiet).unwrap();
    assert!(report.files >= 3, "{report:?}");
    let checked = archive::verify(File::open(&file).unwrap(), &mut |_| {}).unwrap();
    (file, checked)
}

#[test]
fn a_restore_replaces_what_is_there_or_is_undone() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("to");
    let (file, checked) = backup_of_twenty(folder.path());
    store_of(&to, 3);
    fs::write(to.join("theirs"), "x").unwrap();
    // In use.
    let lock = data_dir::Lock::take(&to).unwrap();
    let error = embedded(&to)
        .restore(&file, &checked, &Cancel::new(), &quiet)
        .unwrap_err();
    assert!(
        error.to_string().contains("in use by another masthead"),
        "{error}"
    );
    drop(lock);
    assert_eq!(times(&to)[0].len(), 3);
    // Cut off at each point: what was there comes back.
    let exchange = Exchange::new(&to);
    let unpack = || {
        embedded(&to)
            .unpack(&file, &checked, &exchange, &Cancel::new(), &quiet)
            .unwrap();
    };
    unpack();
    assert!(!exchange.recover().unwrap());
    for cut in 0..3 {
        unpack();
        let at_work = exchange.exchange().unwrap();
        assert_eq!(times(&to)[0].len(), 20);
        // Whoever starts on it meanwhile leaves it so.
        assert!(!exchange.recover().unwrap());
        assert_eq!(times(&to)[0].len(), 20);
        drop(at_work);
        if cut == 1 {
            // In the middle of undoing: the new has gone, the old is half back.
            for name in ["blocks", "wal", MARKS_FILE] {
                remove_all(&to.join(name));
            }
            fs::remove_file(to.join(".masthead-former/whole")).unwrap();
            fs::rename(to.join(".masthead-former/wal"), to.join("wal")).unwrap();
        }
        assert!(exchange.recover().unwrap());
        assert_eq!(times(&to)[0].len(), 3);
        assert!(!to.join(MARKS_FILE).exists());
    }
    let target = Embedded {
        web_config: Some(folder.path().join("web.yml")),
        ..embedded(&to)
    };
    let said = target.restore(&file, &checked, &Cancel::new(), &quiet).unwrap();
    assert!(
        said.contains("config/masthead.yml, which was not restored"),
        "{said}"
    );
    assert_eq!(times(&to)[0].len(), 20);
    let mut names: Vec<_> = fs::read_dir(&to)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["blocks", MARKS_FILE, "lock", "theirs", "wal"]);
    // The store that came in can be written to.
    drop(open(&to, 400_000));
}

#[test]
fn the_configuration_comes_back_too_or_goes() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("to");
    let (file, checked) = backup_of_twenty(folder.path());
    store_of(&to, 3);
    let exchange = Exchange::new(&to);
    embedded(&to)
        .unpack(&file, &checked, &exchange, &Cancel::new(), &quiet)
        .unwrap();
    let (there, absent) = (folder.path().join("there.yml"), folder.path().join("absent.yml"));
    fs::write(&there, "before").unwrap();
    drop(exchange.exchange().unwrap());
    for path in [&there, &absent] {
        exchange.replace("config/masthead.yml", path).unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), "global: {}\n");
    }
    assert!(exchange.recover().unwrap());
    assert_eq!(fs::read_to_string(&there).unwrap(), "before");
    assert!(!absent.exists());
}

fn remove_all(path: &Path) {
    match path.is_dir() {
        true => fs::remove_dir_all(path).unwrap(),
        false => drop(fs::remove_file(path)),
    }
}

#[test]
fn a_backup_of_the_other_way_is_refused_with_what_to_do() {
    let checked = |kind| Checked {
        header: Header::new(kind, "web-1".to_owned(), "t".to_owned(), "0".to_owned()),
        entries: Vec::new(),
    };
    fits(&checked(Kind::Embedded), Kind::Embedded).unwrap();
    for (kind, runtime, want) in [
        (Kind::Upstream, Kind::Embedded, "migrate embedded"),
        (Kind::Embedded, Kind::Upstream, "migrate upstream"),
    ] {
        let error = fits(&checked(kind), runtime).unwrap_err().to_string();
        assert!(error.contains(want) && error.contains("of web-1"), "{error}");
    }
}
