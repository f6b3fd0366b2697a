//! Counting what passed, failed and was skipped, from our own steps and from the output of other test runners.

use std::fmt;

/// Totals of a step or of the whole run. Failures and skips have names.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Tally {
    /// How many passed.
    pub(crate) passed: usize,
    /// What failed.
    pub(crate) failed: Vec<String>,
    /// What was skipped, and why.
    pub(crate) skipped: Vec<String>,
}

impl Tally {
    /// One thing passed.
    pub(crate) fn pass() -> Self {
        Self {
            passed: 1,
            ..Self::default()
        }
    }

    /// One thing failed.
    pub(crate) fn failure(name: &str) -> Self {
        Self {
            failed: vec![name.to_string()],
            ..Self::default()
        }
    }

    /// One thing was skipped.
    pub(crate) fn skip(name: &str) -> Self {
        Self {
            skipped: vec![name.to_string()],
            ..Self::default()
        }
    }

    /// One thing, by its result; the error is printed.
    pub(crate) fn of(name: &str, result: anyhow::Result<()>) -> Self {
        match result {
            Ok(()) => Self::pass(),
            Err(error) => {
                println!("FAIL {name}: {error:#}");
                Self::failure(name)
            }
        }
    }

    /// Adds another's counts and names.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed.extend(other.failed);
        self.skipped.extend(other.skipped);
    }

    /// Did anything fail?
    pub(crate) fn is_failure(&self) -> bool {
        !self.failed.is_empty()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed,
            self.failed.len(),
            self.skipped.len()
        )
    }
}

/// Reads what `cargo test` or `cargo nextest` printed. `success` is the runner's exit status: a run that failed without
/// a failed test (it did not compile, say) counts as one failure under `step`.
pub(crate) fn of_rust_tests(step: &str, text: &str, success: bool) -> Tally {
    let mut tally = Tally::default();
    let is_summary = |line: &str| line.starts_with("Summary [") && line.contains(" run: ");
    // nextest shows the output of each test, which has a `test result:` of its own: only the summary counts then.
    let is_nextest = text.lines().any(|line| is_summary(line.trim()));
    for line in text.lines().map(str::trim) {
        if is_summary(line) || (!is_nextest && line.starts_with("test result:")) {
            tally.passed += number_before(line, "passed");
        } else if let Some(name) = nextest_failure(line) {
            push_new(&mut tally.failed, name);
        } else if let Some(name) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.strip_suffix(" ... FAILED"))
            .filter(|_| !is_nextest)
        {
            push_new(&mut tally.failed, name.to_string());
        } else if let Some(what) = line.strip_prefix("SKIPPED ") {
            push_new(&mut tally.skipped, what.to_string());
        }
    }
    if !success && tally.failed.is_empty() {
        tally
            .failed
            .push(format!("{step} (the runner failed before or beside its tests)"));
    }
    tally
}

/// `FAIL [   0.004s] (1/9) crate module::test`, and `SIGABRT`, `TIMEOUT`, `LEAK-FAIL` in place of `FAIL`.
fn nextest_failure(line: &str) -> Option<String> {
    let (status, rest) = line.split_once(" [")?;
    let bad = matches!(
        status.trim(),
        "FAIL" | "TIMEOUT" | "ABORT" | "LEAK-FAIL" | "XFAIL"
    ) || status.starts_with("SIG");
    let (_time, name) = rest.split_once("] ")?;
    let name = name.trim_start();
    // Newer versions put a running count before the name.
    let name = match name.strip_prefix('(').and_then(|inside| inside.split_once(')')) {
        Some((_, after)) => after.trim_start(),
        None => name,
    };
    bad.then(|| name.to_string())
}

/// Reads what vitest printed: `Tests  1 failed | 12 passed | 2 skipped (15)`.
pub(crate) fn of_vitest(step: &str, text: &str, success: bool) -> Tally {
    let mut tally = Tally::default();
    for line in without_colours(text).lines().map(str::trim) {
        if line.starts_with("Tests ") {
            tally.passed += number_before(line, "passed");
            let skipped = number_before(line, "skipped") + number_before(line, "todo");
            tally
                .skipped
                .extend((0..skipped).map(|_| format!("{step}: a vitest test")));
        } else if let Some(name) = line.strip_prefix("FAIL ") {
            push_new(&mut tally.failed, format!("{step}: {}", name.trim()));
        }
    }
    if !success && tally.failed.is_empty() {
        tally.failed.push(step.to_string());
    }
    if success && tally.passed == 0 && tally.failed.is_empty() {
        tally.failed.push(format!("{step} (no test ran)"));
    }
    tally
}

/// Drops terminal colour codes.
fn without_colours(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\u{1b}') {
        out.push_str(rest.get(..at).unwrap_or_default());
        let after = rest.get(at..).unwrap_or_default();
        let end = after.find('m').map_or(after.len(), |end| end + 1);
        rest = after.get(end..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// The number that stands before `word`: 12 in `12 passed; 0 failed`.
fn number_before(line: &str, word: &str) -> usize {
    let mut previous = "";
    for token in line
        .split([' ', ';', ',', '|', '(', ')'])
        .filter(|token| !token.is_empty())
    {
        if token == word {
            return previous.parse().unwrap_or(0);
        }
        previous = token;
    }
    0
}

fn push_new(list: &mut Vec<String>, name: String) {
    if !list.contains(&name) {
        list.push(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_a_test_under_nextest_is_not_counted_again() {
        let text = "  stdout ───\n    test result: ok. 1 passed; 0 failed; 0 ignored\n     Summary [  22.401s] 341 tests run: 341 passed, 0 skipped\n";
        assert_eq!(of_rust_tests("unit", text, true).passed, 341);
    }

    #[track_caller]
    fn check(got: Tally, passed: usize, failed: &[&str], skipped: &[&str]) {
        assert_eq!(
            (got.passed, got.failed, got.skipped),
            (
                passed,
                failed.iter().map(ToString::to_string).collect(),
                skipped.iter().map(ToString::to_string).collect()
            )
        );
    }

    #[test]
    fn cargo_tests_output_is_counted() {
        let text = "test a::b ... ok\ntest a::c ... FAILED\nSKIPPED corpus: ../shared is not there\n\
                    test result: FAILED. 12 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s\n\
                    test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";
        check(
            of_rust_tests("unit", text, false),
            15,
            &["a::c"],
            &["corpus: ../shared is not there"],
        );
    }

    #[test]
    fn nextests_output_is_counted() {
        let text = "        PASS [   0.004s] (1/3) xtask ok::one\n        FAIL [   0.004s] (2/3) tsdb head::two\n     \
                    SIGABRT [   0.1s] tsdb three\n------------\n     Summary [   0.021s] 4 tests run: 2 passed (1 slow), 2 failed, 7 skipped\n\
                    \n        FAIL [   0.004s] (2/3) tsdb head::two\n";
        check(
            of_rust_tests("unit", text, false),
            2,
            &["tsdb head::two", "tsdb three"],
            &[],
        );
    }

    #[test]
    fn a_run_that_broke_down_is_a_failure() {
        check(
            of_rust_tests("unit", "error: could not compile", false),
            0,
            &["unit (the runner failed before or beside its tests)"],
            &[],
        );
        check(of_vitest("vitest", "", false), 0, &["vitest"], &[]);
        check(of_vitest("vitest", "", true), 0, &["vitest (no test ran)"], &[]);
    }

    #[test]
    fn vitests_output_is_counted_through_its_colours() {
        let text = "\u{1b}[31m FAIL \u{1b}[39m src/a.test.ts > rounds\n\u{1b}[2m      Tests \u{1b}[22m 1 failed | 12 passed (13)\n";
        check(
            of_vitest("ui", text, false),
            12,
            &["ui: src/a.test.ts > rounds"],
            &[],
        );
    }

    #[test]
    fn totals_read_as_one_line() {
        let mut total = Tally::pass();
        total.add(Tally::failure("x"));
        total.add(Tally::skip("y"));
        assert_eq!(total.to_string(), "1 passed, 1 failed, 1 skipped");
        assert!(total.is_failure());
    }
}
