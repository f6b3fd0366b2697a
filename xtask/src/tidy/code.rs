//! Invariants over Rust code: which words may stand in which files.
//!
//! Comments are left out, and so are tests, which are the last thing in a file (`#[cfg(test)] mod tests {`) or files of
//! their own. Words are found on their boundaries, so that `forbid(unsafe_code)` holds no `unsafe`.

use super::{Finding, SourceFile};

/// The crates whose code ships.
const PRODUCT: &[&str] = &[
    "model/",
    "tsdb/",
    "promql/",
    "collect/",
    "client/",
    "stack/",
    "masthead/",
    "sys/",
];

/// The synchronous crates.
const CORE: &[&str] = &["model/", "tsdb/", "promql/", "collect/"];

/// Ways to read the clock.
const CLOCKS: &[&str] = &[
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "clock_gettime",
    "OffsetDateTime::now_utc",
    "Utc::now",
];

/// The lines of code of a file with their numbers: no comments, no tests.
fn code_lines(file: &SourceFile) -> impl Iterator<Item = (usize, &str)> {
    let tests_begin = tests_begin(&file.text);
    file.text
        .lines()
        .enumerate()
        .take_while(move |(at, _)| *at < tests_begin)
        .map(|(at, line)| (at + 1, without_comment(line)))
}

/// The index of the line where the tests of a file begin.
fn tests_begin(text: &str) -> usize {
    let mut lines = text.lines().enumerate().peekable();
    while let Some((at, line)) = lines.next() {
        let opens_module = |next: &str| next.contains("mod ") && next.trim_end().ends_with('{');
        if line.trim() == "#[cfg(test)]" && lines.peek().is_some_and(|(_, next)| opens_module(next)) {
            return at;
        }
    }
    usize::MAX
}

/// The line up to `//`, unless that stands in an address (`https://`).
fn without_comment(line: &str) -> &str {
    let mut from = 0;
    while let Some(found) = line.get(from..).and_then(|rest| rest.find("//")) {
        let at = from + found;
        if at == 0 || line.as_bytes().get(at - 1) != Some(&b':') {
            return line.get(..at).unwrap_or(line);
        }
        from = at + 2;
    }
    line
}

/// Is the file tests, examples or benches as a whole?
fn is_test_file(path: &str) -> bool {
    path.split('/').any(|part| {
        matches!(part, "tests" | "benches" | "examples" | "tests.rs")
            || part.ends_with("_tests.rs")
            || part.ends_with("_test.rs")
    })
}

/// Is the word there, not as a part of a longer one?
fn has_word(line: &str, word: &str) -> bool {
    let is_ident = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let bytes = line.as_bytes();
    line.match_indices(word).any(|(at, _)| {
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        let after = bytes.get(at + word.len());
        // A word that ends in a colon or a bracket has its own end.
        let ends_open = word.ends_with(|last: char| !last.is_alphanumeric() && last != '_');
        !is_ident(before) && (ends_open || !is_ident(after))
    })
}

/// Finds words in the code of the files that `judged` accepts.
fn find(files: &[SourceFile], judged: impl Fn(&str) -> bool, words: &[&str], what: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files
        .iter()
        .filter(|file| file.is_rust() && !is_test_file(&file.path) && judged(&file.path))
    {
        for (number, line) in code_lines(file) {
            for word in words.iter().filter(|word| has_word(line, word)) {
                findings.push(Finding::new(file, number, format!("`{word}`: {what}")));
            }
        }
    }
    findings
}

fn is_under(path: &str, folders: &[&str]) -> bool {
    folders.iter().any(|folder| path.starts_with(folder))
}

/// Invariant 3.
pub(super) fn one_clock(files: &[SourceFile]) -> Vec<Finding> {
    let judged = |path: &str| is_under(path, PRODUCT) && path != "masthead/src/clock.rs";
    find(
        files,
        judged,
        CLOCKS,
        "only masthead/src/clock.rs reads the clock; take the time as an argument",
    )
}

/// Invariant 3, for the rest of the world.
pub(super) fn core_environment(files: &[SourceFile]) -> Vec<Finding> {
    let words = [
        "env::var",
        "env::vars",
        "env::var_os",
        "println!",
        "eprintln!",
        "thread::sleep",
    ];
    find(
        files,
        |path| is_under(path, CORE),
        &words,
        "a core crate takes it as an argument or gives it back",
    )
}

/// Invariant 6. Tests are not exempt.
pub(super) fn unsafe_only_in_sys(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files
        .iter()
        .filter(|file| file.is_rust() && !file.is_under("sys/") && !file.is_under(SELF))
    {
        for (at, line) in file.text.lines().enumerate() {
            let line = without_comment(line);
            if [
                "unsafe {",
                "unsafe fn",
                "unsafe impl",
                "unsafe extern",
                "unsafe trait",
            ]
            .iter()
            .any(|w| has_word(line, w))
                || line.trim_end().ends_with(" unsafe")
            {
                findings.push(Finding::new(
                    file,
                    at + 1,
                    "`unsafe` stands in the crate `sys` only",
                ));
            }
        }
    }
    findings
}

/// Invariant 7.
pub(super) fn files_through_dir(files: &[SourceFile]) -> Vec<Finding> {
    let judged = |path: &str| {
        path.starts_with("tsdb/src/") && path != "tsdb/src/dir.rs" && !path.starts_with("tsdb/src/dir/")
    };
    let words = ["fs::", "File::", "OpenOptions", "std::fs"];
    find(
        files,
        judged,
        &words,
        "tsdb reaches files through `trait Dir` only",
    )
}

/// Invariant 8, HTTP.
pub(super) fn status_codes(files: &[SourceFile]) -> Vec<Finding> {
    let judged = |path: &str| path.starts_with("masthead/src/") && path != "masthead/src/api/error.rs";
    find(
        files,
        judged,
        &["StatusCode::"],
        "status codes stand in masthead/src/api/error.rs only",
    )
}

/// Invariant 8, configuration.
pub(super) fn configuration_shapes(files: &[SourceFile]) -> Vec<Finding> {
    let judged = |path: &str| {
        (path.starts_with("masthead/src/config/") || path == "masthead/src/config.rs")
            && path != "masthead/src/config/raw.rs"
    };
    find(
        files,
        judged,
        &["Deserialize"],
        "serde shapes of configuration stand in masthead/src/config/raw.rs only",
    )
}

/// This check names what it forbids.
const SELF: &str = "xtask/src/tidy";

/// No test is ignored.
pub(super) fn no_ignored_test(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.is_rust() && !file.is_under(SELF)) {
        for (at, line) in file.text.lines().enumerate() {
            let line = line.trim_start();
            if line.starts_with("#[ignore") || (line.starts_with("#[cfg_attr(") && has_word(line, "ignore")) {
                findings.push(Finding::new(
                    file,
                    at + 1,
                    "assert today's behaviour with a note, or fix it",
                ));
            }
        }
    }
    findings
}

/// No marks of unfinished work, comments included.
pub(super) fn nothing_left(files: &[SourceFile]) -> Vec<Finding> {
    let sources = [".rs", ".ts", ".tsx", ".mjs", ".css", ".sh"];
    let words = ["TODO", "FIXME", "XXX", "todo!", "unimplemented!"];
    let mut findings = Vec::new();
    for file in files
        .iter()
        .filter(|f| sources.iter().any(|end| f.path.ends_with(end)) && !f.is_under(SELF))
    {
        for (at, line) in file.text.lines().enumerate() {
            for word in words.iter().filter(|word| has_word(line, word)) {
                findings.push(Finding::new(
                    file,
                    at + 1,
                    format!("`{word}`: finish it or write an issue"),
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::*;

    #[test]
    fn the_clock_is_read_in_one_file() {
        check(
            one_clock,
            &[
                ("masthead/src/clock.rs", "fn now() { SystemTime::now() }"),
                (
                    "tsdb/src/head.rs",
                    "// not SystemTime::now\nfn a() {}\n#[cfg(test)]\nmod tests {\n Instant::now();\n}",
                ),
                ("tsdb/tests/crash.rs", "Instant::now()"),
                ("xtask/src/main.rs", "Instant::now()"),
            ],
            &[],
        );
        check(
            one_clock,
            &[
                ("masthead/src/app.rs", "\nlet t = std::time::Instant::now();"),
                (
                    "tsdb/src/head.rs",
                    "#[cfg(test)]\nmod tests;\nlet t = jiff::Timestamp::now();",
                ),
            ],
            &["masthead/src/app.rs:2", "tsdb/src/head.rs:3"],
        );
    }

    #[test]
    fn core_crates_take_no_environment() {
        check(
            core_environment,
            &[
                ("masthead/src/app.rs", "env::var(\"HOME\")"),
                ("promql/src/a.rs", "my_env::variable"),
            ],
            &[],
        );
        check(
            core_environment,
            &[("promql/src/a.rs", "let a = std::env::var(\"A\");")],
            &["promql/src/a.rs:1"],
        );
    }

    #[test]
    fn unsafe_stands_in_sys() {
        check(
            unsafe_only_in_sys,
            &[
                ("sys/src/lib.rs", "unsafe { x() }"),
                (
                    "model/src/a.rs",
                    "#![forbid(unsafe_code)]\n// unsafe { }\n\"an unsafe query\"",
                ),
            ],
            &[],
        );
        check(
            unsafe_only_in_sys,
            &[(
                "model/src/a.rs",
                "let a = unsafe { x() };\nunsafe impl Send for A {}\nlet b = unsafe\n{ y() };",
            )],
            &["model/src/a.rs:1", "model/src/a.rs:2", "model/src/a.rs:3"],
        );
    }

    #[test]
    fn tsdb_reaches_files_through_dir() {
        check(
            files_through_dir,
            &[
                ("tsdb/src/dir.rs", "std::fs::rename(a, b)"),
                ("tsdb/src/wal.rs", "use crate::dir::DirFile; BlockFile::open()"),
            ],
            &[],
        );
        check(
            files_through_dir,
            &[(
                "tsdb/src/wal.rs",
                "use std::fs::File;\nlet f = File::create(p);\nrustix::fs::fsync(f);\nOpenOptions::new()",
            )],
            &[
                "tsdb/src/wal.rs:1",
                "tsdb/src/wal.rs:1",
                "tsdb/src/wal.rs:2",
                "tsdb/src/wal.rs:3",
                "tsdb/src/wal.rs:4",
            ],
        );
    }

    #[test]
    fn status_codes_stand_in_one_file() {
        check(
            status_codes,
            &[
                ("masthead/src/api/error.rs", "StatusCode::OK"),
                ("client/src/lib.rs", "StatusCode::OK"),
            ],
            &[],
        );
        check(
            status_codes,
            &[("masthead/src/api/query.rs", "StatusCode::OK")],
            &["masthead/src/api/query.rs:1"],
        );
    }

    #[test]
    fn configuration_shapes_stand_in_one_file() {
        let derive = "#[derive(Deserialize)]\nstruct A;";
        check(
            configuration_shapes,
            &[
                ("masthead/src/config/raw.rs", derive),
                ("masthead/src/api/form.rs", derive),
            ],
            &[],
        );
        check(
            configuration_shapes,
            &[("masthead/src/config/web.rs", derive)],
            &["masthead/src/config/web.rs:1"],
        );
    }

    #[test]
    fn an_ignored_test_is_found() {
        check(
            no_ignored_test,
            &[("tsdb/tests/a.rs", "#[test]\nfn ignores_nothing() {}")],
            &[],
        );
        check(
            no_ignored_test,
            &[(
                "tsdb/tests/a.rs",
                "#[test]\n#[ignore]\nfn a() {}\n#[ignore = \"slow\"]\n#[cfg_attr(miri, ignore)]",
            )],
            &["tsdb/tests/a.rs:2", "tsdb/tests/a.rs:4", "tsdb/tests/a.rs:5"],
        );
    }

    #[test]
    fn marks_of_unfinished_work_are_found() {
        check(
            nothing_left,
            &[
                ("ui/src/a.ts", "const TODOS = 1; // methods"),
                ("Cargo.toml", "todo = \"warn\""),
            ],
            &[],
        );
        check(
            nothing_left,
            &[
                ("ui/src/a.ts", "// TODO: later"),
                ("tsdb/src/a.rs", "fn a() { todo!() }\n// FIXME\n"),
            ],
            &["ui/src/a.ts:1", "tsdb/src/a.rs:1", "tsdb/src/a.rs:2"],
        );
    }
}
