//! Marks in memory and in their file: order, bounds, crashes.

use super::*;

fn mark(t_ms: i64, app: &str, event: &'static str) -> Mark {
    Mark {
        t_ms,
        app: app.to_owned(),
        project: String::new(),
        container: format!("{app}-1"),
        id: format!("id-{app}"),
        event,
        image: String::new(),
        exit_code: (event == "exit").then_some(1),
    }
}

fn times(marks: &Marks) -> Vec<i64> {
    let selected = marks.select(i64::MIN, i64::MAX, None, usize::MAX);
    selected.marks.iter().map(|m| m.t_ms).collect()
}

#[test]
fn marks_are_sorted_and_kept_once() {
    let marks = Marks::default();
    assert!(marks.add(mark(3, "a", "exit")));
    assert!(marks.add(mark(1, "a", "deploy")));
    assert!(marks.add(mark(3, "a", "oom_kill")));
    assert!(marks.add(mark(3, "b", "exit")));
    assert!(marks.add(mark(3, "a", "deploy")));
    assert!(!marks.add(mark(3, "a", "exit")));
    assert_eq!(times(&marks), [1, 3, 3, 3, 3]);
    assert_eq!(marks.last_ms(10), Some(3));
    assert_eq!(marks.last_ms(2), Some(1));
    assert_eq!(marks.last_ms(0), None);
}

#[test]
fn a_range_gives_the_newest() {
    let marks = Marks::default();
    for t in 1..=6 {
        marks.add(mark(t, if t % 2 == 0 { "even" } else { "odd" }, "start"));
    }
    for (start, end, app, limit, want, truncated) in [
        (2, 4, None, 10, &[2, 3, 4][..], false),
        (i64::MIN, i64::MAX, None, 2, &[5, 6], true),
        (1, 6, Some("odd"), 2, &[3, 5], true),
        (1, 6, Some("odd"), 3, &[1, 3, 5], false),
        (1, 6, Some("none"), 3, &[], false),
        (5, 2, None, 3, &[], false),
        (7, 9, None, 3, &[], false),
    ] {
        let got = marks.select(start, end, app, limit);
        let times: Vec<i64> = got.marks.iter().map(|m| m.t_ms).collect();
        assert_eq!(
            (times.as_slice(), got.truncated),
            (want, truncated),
            "{start}..{end} {app:?} {limit}"
        );
    }
}

#[test]
fn marks_outlive_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    let first = Marks::open(&path, 0);
    let mut deploy = mark(1_000, "shop", "deploy");
    deploy.project = "p".to_owned();
    deploy.image = "nginx:\"1\"\n".to_owned();
    for mark in [deploy.clone(), mark(2_000, "shop", "exit")] {
        assert!(first.add(mark));
    }
    drop(first);
    let second = Marks::open(&path, 0);
    let kept = second.select(0, 9_000, None, 10).marks;
    assert_eq!(kept, [deploy.clone(), mark(2_000, "shop", "exit")]);
    assert!(!second.add(deploy), "told again, kept once");
    assert!(
        !second.add(mark(2_000, "shop", "stop")),
        "told again without the wish before it"
    );
    assert!(!second.add(mark(1_000, "shop", "start")));
    // What an earlier process counted is not counted again.
    assert_eq!(second.counts(&[], 2_000), []);
    drop(second);
    assert_eq!(times(&Marks::open(&path, 1_500)), [2_000]);
}

#[test]
fn a_torn_last_line_costs_that_line_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    let marks = Marks::open(&path, 0);
    for t in [1_000, 2_000, 3_000] {
        marks.add(mark(t, "a", "start"));
    }
    drop(marks);
    let whole = fs::read(&path).unwrap();
    let last = whole.len() - mark(3_000, "a", "start").line().len();
    for cut in last..=whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let marks = Marks::open(&path, 0);
        // A line that lacks nothing but its end is whole.
        let third: &[i64] = if cut >= whole.len() - 1 { &[3_000] } else { &[] };
        assert_eq!(times(&marks), [&[1_000, 2_000], third].concat(), "cut at {cut}");
        marks.add(mark(4_000, "a", "exit"));
        drop(marks);
        let again = times(&Marks::open(&path, 0));
        assert_eq!(again, [&[1_000, 2_000], third, &[4_000]].concat(), "cut at {cut}");
    }
}

#[test]
fn garbage_in_the_file_is_gone_around() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    let mut bytes = b"\xff\xfe\n{}\n[1]\n{\"t\":1,\"id\":\"x\",\"event\":\"levitated\"}\n\n".to_vec();
    bytes.extend(mark(7, "a", "pause").line().bytes());
    bytes.extend(b"{\"t\":\"soon\",\"id\":\"x\",\"event\":\"start\"}\n");
    fs::write(&path, bytes).unwrap();
    assert_eq!(times(&Marks::open(&path, 0)), [7]);
}

#[test]
fn the_file_is_written_anew_when_most_of_it_is_old() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    let marks = Marks::open(&path, 0);
    let count = i64::try_from(MAX_OLD_LINES).unwrap() + 10;
    for t in 0..count {
        marks.add(mark(t, "a", "start"));
    }
    marks.cut(count - 5);
    assert_eq!(
        fs::read(&path).unwrap().iter().filter(|b| **b == b'\n').count(),
        5
    );
    assert!(!folder.path().join("events.new").exists());
    marks.add(mark(count, "a", "stop"));
    drop(marks);
    assert_eq!(times(&Marks::open(&path, 0)).len(), 6);
}

#[test]
fn a_crash_loop_does_not_push_out_a_deploy() {
    let marks = Marks::default();
    marks.add(mark(0, "quiet", "deploy"));
    for t in 1..=i64::try_from(MAX_MARKS + 2_500).unwrap() {
        marks.add(mark(t, "looping", "exit"));
    }
    assert!(times(&marks).len() <= MAX_MARKS);
    assert_eq!(marks.select(0, 0, Some("quiet"), 1).marks.len(), 1);
    let newest = i64::try_from(MAX_MARKS + 2_500).unwrap();
    assert_eq!(marks.last_ms(i64::MAX), Some(newest));
}

#[test]
fn a_file_that_cannot_be_written_leaves_the_marks_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let marks = Marks::open(&folder.path().join("no/such/folder/events.jsonl"), 0);
    assert!(marks.add(mark(1, "a", "start")));
    assert_eq!(times(&marks), [1]);
    // A device that is always full.
    let full = Path::new("/dev/full");
    let marks = Marks {
        inner: Mutex::new(Inner {
            file: MarkFile::open(full, 0, false).ok(),
            ..Inner::default()
        }),
    };
    assert!(marks.add(mark(1, "a", "start")) && marks.add(mark(2, "a", "start")));
    assert_eq!(times(&marks), [1, 2]);
}

#[test]
fn events_are_counted_by_application() {
    let marks = Marks::default();
    marks.add(mark(1_000, "gone", "exit"));
    marks.add(mark(1_000, "here", "exit"));
    marks.add(mark(2_000, "here", "exit"));
    marks.add(mark(2_000, "here", "pause"));
    let count = |rows: &[(String, &'static str, u64)], app: &str, event: &str| {
        rows.iter()
            .find(|(a, e, _)| a == app && *e == event)
            .map(|(_, _, n)| *n)
    };
    let rows = marks.counts(&["here", "new"], 3_000);
    assert_eq!(count(&rows, "here", "exit"), Some(2));
    assert_eq!(count(&rows, "here", "pause"), Some(1));
    assert_eq!(count(&rows, "gone", "exit"), Some(1));
    assert_eq!(count(&rows, "new", "exit"), Some(0), "there before the first one");
    assert_eq!(count(&rows, "new", "pause"), None);
    let rows = marks.counts(&["here"], 1_000 + APP_GONE_MS);
    assert_eq!(count(&rows, "gone", "exit"), None);
    assert_eq!(count(&rows, "here", "exit"), Some(2));
}

#[test]
fn applications_without_end_are_counted_as_one() {
    let marks = Marks::default();
    for n in 0..MAX_APPS + 5 {
        marks.add(mark(1_000, &format!("job-{n}"), "exit"));
    }
    let rows = marks.counts(&[], 2_000);
    assert_eq!(rows.len(), MAX_APPS + 1);
    assert!(rows.contains(&(OTHER_APPS.to_owned(), "exit", 5)));
}
