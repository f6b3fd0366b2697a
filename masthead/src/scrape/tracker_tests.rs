//! Rounds of a source and what the store holds after them.

use super::super::exposition::{self, Format, Sample};
use super::super::memory_store::MemoryStore;
use super::*;
use model::MetricType;

/// Gives the samples of an exposition to a round.
struct Feed<'a, 'b>(&'a mut Round<'b>);

impl exposition::Sink for Feed<'_, '_> {
    fn sample(&mut self, sample: Sample<'_>) -> Result<(), String> {
        self.0
            .add(sample.series, sample.value, sample.timestamp_ms, |out| {
                for pair in sample.pairs() {
                    out.push(pair?);
                }
                Ok(())
            })
    }
}

fn scrape(tracker: &mut SourceTracker, store: &MemoryStore, t_ms: i64, body: &str) -> Report {
    tracker.round(store, t_ms, clock::instant(), |round| {
        exposition::parse(body.as_bytes(), Format::Text, &mut Feed(round)).map_err(|error| error.to_string())
    })
}

fn tracker(rules: Rules) -> SourceTracker {
    SourceTracker::new(Labels::from_pairs([("job", "j"), ("instance", "i")]), rules)
}

#[test]
fn a_source_comes_changes_fails_and_ends() {
    let store = MemoryStore::default();
    let mut source = tracker(Rules::default());
    assert!(scrape(&mut source, &store, 10, "a 1\nb{x=\"1\"} 2\n").up);
    assert!(scrape(&mut source, &store, 20, "a 3\n").up);
    let failed = scrape(&mut source, &store, 30, "a 4\nc 1\nbad\n");
    assert_eq!(
        (failed.up, failed.scraped, failed.error.as_deref()),
        (false, 2, Some("line 3: no value after \"bad\""))
    );
    assert!(scrape(&mut source, &store, 40, "a 5\n").up);
    source.end(&store, 41);
    assert_eq!(
        store.dump(),
        "a{instance=\"i\", job=\"j\"}: 10=1 20=3 30=stale 40=5 41=stale\n\
         b{instance=\"i\", job=\"j\", x=\"1\"}: 10=2 20=stale\n\
         scrape_duration_seconds{instance=\"i\", job=\"j\"}: 10=_ 20=_ 30=_ 40=_ 41=stale\n\
         scrape_samples_post_metric_relabeling{instance=\"i\", job=\"j\"}: 10=2 20=1 30=2 40=1 41=stale\n\
         scrape_samples_scraped{instance=\"i\", job=\"j\"}: 10=2 20=1 30=2 40=1 41=stale\n\
         scrape_series_added{instance=\"i\", job=\"j\"}: 10=2 20=0 30=1 40=1 41=stale\n\
         up{instance=\"i\", job=\"j\"}: 10=1 20=1 30=0 40=1 41=stale\n"
    );
}

#[test]
fn known_series_go_by_reference_and_forgotten_ones_by_labels_again() {
    let store = MemoryStore::default();
    let mut source = tracker(Rules::default());
    for t in [1, 2, 3] {
        scrape(&mut source, &store, t, "a 1\nb 2\n");
    }
    assert_eq!(
        store.0.lock().unwrap().label_rows,
        7,
        "two samples and five reports, once"
    );
    store.0.lock().unwrap().first_ref = 1000;
    for t in [4, 5] {
        let report = scrape(&mut source, &store, t, "a 1\nb 2\n");
        assert_eq!(
            (report.up, report.series_added, report.store_error),
            (true, 0, None)
        );
    }
    assert_eq!(store.0.lock().unwrap().label_rows, 14);
    assert_eq!(
        store.dump().lines().next(),
        Some("a{instance=\"i\", job=\"j\"}: 1=1 2=1 3=1 4=1 5=1")
    );
    store.0.lock().unwrap().first_ref = 2000;
    source.end(&store, 6);
    assert!(
        !store.dump().contains("stale"),
        "what the store has forgotten needs no end"
    );
}

#[test]
fn labels_of_source_and_target() {
    for (honor_labels, line, want) in [
        (
            false,
            "m{job=\"x\"} 1",
            r#"m{exported_job="x", instance="i", job="j"}"#,
        ),
        (
            false,
            "m{job=\"x\",exported_job=\"y\"} 1",
            r#"m{exported_exported_job="x", exported_job="y", instance="i", job="j"}"#,
        ),
        (false, "m{job=\"\"} 1", r#"m{instance="i", job="j"}"#),
        (true, "m{job=\"x\"} 1", r#"m{instance="i", job="x"}"#),
        (true, "m{job=\"x\",instance=\"\"} 1", r#"m{job="x"}"#),
        (true, "m 1", r#"m{instance="i", job="j"}"#),
    ] {
        let store = MemoryStore::default();
        let report = scrape(
            &mut tracker(Rules {
                honor_labels,
                ..Rules::default()
            }),
            &store,
            1,
            line,
        );
        assert!(report.up, "{report:?}");
        assert_eq!(
            store.dump().lines().next(),
            Some(format!("{want}: 1=1").as_str()),
            "{line}"
        );
    }
}

#[test]
fn timestamps_of_the_target() {
    let store = MemoryStore::default();
    let mut honoring = tracker(Rules::default());
    scrape(&mut honoring, &store, 10, "a 1 5\n");
    scrape(&mut honoring, &store, 20, "");
    assert_eq!(
        store.dump().lines().next(),
        Some("a{instance=\"i\", job=\"j\"}: 5=1"),
        "no marker for what it stamps itself"
    );
    let store = MemoryStore::default();
    let mut ours = tracker(Rules {
        honor_timestamps: false,
        ..Rules::default()
    });
    scrape(&mut ours, &store, 10, "a 1 5\n");
    scrape(&mut ours, &store, 20, "");
    assert_eq!(
        store.dump().lines().next(),
        Some("a{instance=\"i\", job=\"j\"}: 10=1 20=stale")
    );
}

#[test]
fn what_a_source_stamps_ends_by_its_own_clock() {
    for (stamp, want) in [
        (5, "5=1 15=stale"),
        // Its clock is far ahead: a marker of our clock would be refused.
        (90_005, "90005=1 90015=stale"),
    ] {
        let store = MemoryStore::default();
        let mut source = tracker(Rules {
            track_timestamps_staleness: true,
            ..Rules::default()
        });
        scrape(&mut source, &store, 10, &format!("a 1 {stamp}\n"));
        let failed = source.round(&store, 20, crate::clock::instant(), |_| Err("cut off".into()));
        assert!(!failed.up);
        assert_eq!(
            store.dump().lines().next(),
            Some(format!("a{{instance=\"i\", job=\"j\"}}: {want}").as_str())
        );
        // Back again, with what was scraped meanwhile.
        scrape(&mut source, &store, 40, &format!("a 2 {}\n", stamp + 20));
        assert!(store.dump().contains(&format!("{want} {}=2", stamp + 20)));
    }
}

#[test]
fn a_fixed_label_wins_over_honored_ones() {
    let store = MemoryStore::default();
    let rules = Rules {
        honor_labels: true,
        fixed_label: Some("instance"),
        ..Rules::default()
    };
    scrape(
        &mut tracker(rules),
        &store,
        1,
        "m{job=\"x\",instance=\"theirs\"} 1",
    );
    assert_eq!(
        store.dump().lines().next(),
        Some("m{instance=\"i\", job=\"x\"}: 1=1")
    );
}

#[test]
fn limits_fail_the_scrape() {
    let body = "m{name=\"value\"} 1\nn 1\n";
    let with = |limits| Rules {
        limits,
        ..Rules::default()
    };
    for (limits, part) in [
        (
            Limits {
                samples: 1,
                ..Limits::default()
            },
            "sample limit exceeded",
        ),
        (
            Limits {
                labels: 3,
                ..Limits::default()
            },
            "label_limit exceeded",
        ),
        (
            Limits {
                label_name_length: 7,
                ..Limits::default()
            },
            "label_name_length_limit exceeded",
        ),
        (
            Limits {
                label_value_length: 4,
                ..Limits::default()
            },
            "label_value_length_limit exceeded",
        ),
    ] {
        let store = MemoryStore::default();
        let report = scrape(&mut tracker(with(limits)), &store, 1, body);
        assert!(
            report.error.as_ref().is_some_and(|error| error.contains(part)),
            "{report:?}"
        );
        assert_eq!(store.dump_samples(), "up{instance=\"i\", job=\"j\"}: 1=0\n");
        let wide = Limits {
            samples: 2,
            labels: 4,
            label_name_length: 8,
            label_value_length: 5,
            body_size_bytes: 0,
        };
        assert!(scrape(&mut tracker(with(wide)), &store, 2, body).up);
    }
}

#[test]
fn a_label_twice_fails_and_a_sample_twice_is_counted() {
    let store = MemoryStore::default();
    let mut source = tracker(Rules::default());
    let report = scrape(&mut source, &store, 1, "m{a=\"1\",a=\"2\"} 1\n");
    assert_eq!(
        report.error.as_deref(),
        Some("line 1: label name \"a\" is not unique")
    );
    for (t, body) in [(2, "m 1\nm 2\n"), (3, "m 1\nm 2\n"), (4, "m{} 1\n"), (5, "m 1\n")] {
        let report = scrape(&mut source, &store, t, body);
        assert_eq!((report.up, report.rejected), (true, usize::from(t < 4)), "{t}");
    }
    // The same series under another text goes on: its marker is refused, as there is a sample at that time.
    assert_eq!(
        store.dump().lines().next(),
        Some("m{instance=\"i\", job=\"j\"}: 2=1 3=1 4=1 5=1")
    );
}

#[test]
fn a_store_that_cannot_write_is_told_and_nothing_is_forgotten() {
    let store = MemoryStore::default();
    let mut source = tracker(Rules::default());
    scrape(&mut source, &store, 1, "a 1\nb 1\n");
    store.0.lock().unwrap().failing = true;
    let report = scrape(&mut source, &store, 2, "a 1\n");
    assert_eq!(report.store_error.as_deref(), Some("the disk is full"));
    store.0.lock().unwrap().failing = false;
    scrape(&mut source, &store, 3, "a 1\n");
    assert!(
        store
            .dump()
            .contains("b{instance=\"i\", job=\"j\"}: 1=1 3=stale\n"),
        "{}",
        store.dump()
    );
}

#[test]
fn families_of_a_collector() {
    let store = MemoryStore::default();
    let mut source = tracker(Rules::default());
    let mut family = Family::new("f", "F.", MetricType::Gauge);
    family.push(vec![("a".into(), "bc".into())], 1.0);
    family.push(vec![("ab".into(), "c".into())], 2.0);
    for t in [1, 2] {
        let report = source.round(&store, t, clock::instant(), |round| {
            round.add_families(std::slice::from_ref(&family))
        });
        assert_eq!((report.up, report.scraped), (true, 2));
    }
    family.metrics.pop();
    source.round(&store, 3, clock::instant(), |round| {
        round.add_families(std::slice::from_ref(&family))
    });
    assert_eq!(
        store.dump_samples(),
        "f{a=\"bc\", instance=\"i\", job=\"j\"}: 1=1 2=1 3=1\n\
         f{ab=\"c\", instance=\"i\", job=\"j\"}: 1=2 2=2 3=stale\n\
         up{instance=\"i\", job=\"j\"}: 1=1 2=1 3=1\n"
    );
    assert_eq!(store.0.lock().unwrap().label_rows, 7);
}

/// A family of floats, each with its number and its one label.
fn numbered(rows: &[(u64, &'static str, f64)]) -> Vec<Family> {
    let mut family = Family::new("f", "F.", MetricType::Gauge);
    family.metrics = rows
        .iter()
        .map(|(number, name, value)| model::Metric {
            number: std::num::NonZeroU64::new(*number),
            ..model::Metric::float(vec![("name".into(), (*name).into())], *value)
        })
        .collect();
    vec![family]
}

/// One round of these families.
fn numbered_round(store: &MemoryStore, source: &mut SourceTracker, t_ms: i64, families: &[Family]) -> Report {
    source.round(store, t_ms, clock::instant(), |round| {
        round.add_families(families)
    })
}

fn series(name: &str, points: &str) -> String {
    format!("f{{instance=\"i\", job=\"j\", name=\"{name}\"}}: {points}\n")
}

#[test]
fn a_known_number_needs_no_labels() {
    let store = MemoryStore::default();
    let mut source = tracker(Rules::default());
    numbered_round(&store, &mut source, 1, &numbered(&[(1, "a", 1.0), (2, "b", 2.0)]));
    // Nobody looks at the labels of what is known, so wrong ones do no harm.
    let report = numbered_round(&store, &mut source, 2, &numbered(&[(1, "?", 3.0), (2, "?", 4.0)]));
    assert_eq!((report.added, report.series_added), (2, 0));
    assert_eq!(store.0.lock().unwrap().label_rows, 7);
    assert_eq!(
        store.dump_samples(),
        series("a", "1=1 2=3") + &series("b", "1=2 2=4") + "up{instance=\"i\", job=\"j\"}: 1=1 2=1\n"
    );
}

#[test]
fn a_container_is_renamed_goes_and_another_takes_its_place() {
    let store = MemoryStore::default();
    let mut source = tracker(Rules::default());
    for (t_ms, rows) in [
        (1, &[(1, "a", 1.0), (2, "b", 1.0)][..]),
        // Renamed: other labels, another number, the same place.
        (2, &[(3, "new", 2.0), (2, "b", 2.0)]),
        // Gone, and another one at its place.
        (3, &[(4, "c", 3.0), (2, "b", 3.0)]),
        (4, &[(2, "b", 4.0)]),
        // The first name again.
        (5, &[(2, "b", 5.0), (5, "a", 5.0)]),
        (6, &[(2, "b", 6.0), (5, "a", 6.0)]),
    ] {
        let report = numbered_round(&store, &mut source, t_ms, &numbered(rows));
        assert_eq!((report.up, report.rejected), (true, 0), "{t_ms}");
    }
    source.end(&store, 7);
    assert_eq!(
        store.dump_samples(),
        series("a", "1=1 2=stale 5=5 6=6 7=stale")
            + &series("b", "1=1 2=2 3=3 4=4 5=5 6=6 7=stale")
            + &series("c", "3=3 4=stale")
            + &series("new", "2=2 3=stale")
            + "up{instance=\"i\", job=\"j\"}: 1=1 2=1 3=1 4=1 5=1 6=1 7=stale\n"
    );
}

#[test]
fn numbers_whose_references_the_store_forgot_go_by_labels_again() {
    let store = MemoryStore::default();
    let mut source = tracker(Rules::default());
    let families = numbered(&[(1, "a", 1.0), (2, "b", 1.0)]);
    numbered_round(&store, &mut source, 1, &families);
    numbered_round(&store, &mut source, 2, &families);
    store.0.lock().unwrap().first_ref = 1000;
    for t_ms in [3, 4] {
        let report = numbered_round(&store, &mut source, t_ms, &families);
        assert_eq!(
            (report.up, report.series_added, report.store_error),
            (true, 0, None)
        );
    }
    assert_eq!(
        store.0.lock().unwrap().label_rows,
        14,
        "once at first, once after"
    );
    assert!(store.dump_samples().starts_with(&series("a", "1=1 2=1 3=1 4=1")));
}

#[test]
fn the_same_series_under_another_number_goes_on() {
    let store = MemoryStore::default();
    let mut source = tracker(Rules::default());
    for (t_ms, number) in [(1, 1), (2, 7), (3, 7)] {
        let report = numbered_round(&store, &mut source, t_ms, &numbered(&[(number, "a", 1.0)]));
        assert_eq!((report.up, report.rejected), (true, 0));
    }
    assert!(store.dump_samples().starts_with(&series("a", "1=1 2=1 3=1")));
}

#[test]
fn a_restart_with_the_same_numbers_goes_on_with_the_same_series() {
    let store = MemoryStore::default();
    for t_ms in [1, 2] {
        // The numbers of a new process begin again, for other series too.
        let rows = [(1, if t_ms == 1 { "a" } else { "b" }, 1.0), (2, "c", 1.0)];
        numbered_round(&store, &mut tracker(Rules::default()), t_ms, &numbered(&rows));
    }
    assert_eq!(
        store.dump_samples(),
        series("a", "1=1")
            + &series("b", "2=1")
            + &series("c", "1=1 2=1")
            + "up{instance=\"i\", job=\"j\"}: 1=1 2=1\n"
    );
}
