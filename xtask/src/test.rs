//! `cargo xtask test`: everything that must hold, step by step, with totals at the end.
//!
//! [`STEPS`] is the table; every step is a file under `test/`. Words that name steps choose them; other words are names
//! of tests and choose within the `unit` step. The very last line is `N passed, N failed, N skipped`, and what was
//! skipped is named above it. With `CI=true` a step that lacks something it needs fails instead of being skipped.

mod browser;
mod build;
mod clippy;
mod differential;
mod e2e;
mod fmt;
mod fuzz;
mod tally;
mod tidy;
mod ui;
mod unit;

use std::time::Instant;

use anyhow::{Result, bail};

pub(crate) use tally::Tally;

use crate::shell;

/// One step.
struct Step {
    name: &'static str,
    about: &'static str,
    run: fn(&Selection) -> Result<Tally>,
}

/// The steps in the order in which they run: the quick ones first, and the web interface before the crate that embeds
/// it is compiled.
const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        about: "rustfmt finds nothing to change",
        run: fmt::run,
    },
    Step {
        name: "tidy",
        about: "the invariants of the design hold",
        run: tidy::run,
    },
    Step {
        name: "ui",
        about: "lint, tests, build and size of the web interface",
        run: ui::run,
    },
    Step {
        name: "clippy",
        about: "no warning in any target of the workspace",
        run: clippy::run,
    },
    Step {
        name: "unit",
        about: "unit, property, conformance and corpus tests",
        run: unit::run,
    },
    Step {
        name: "fuzz",
        about: "the fuzz targets still compile",
        run: fuzz::run,
    },
    Step {
        name: "build",
        about: "the release binary",
        run: build::run,
    },
    Step {
        name: "differential",
        about: "equal answers from Prometheus and Masthead",
        run: differential::run,
    },
    Step {
        name: "e2e",
        about: "the binary on a real disk: crashes, bad input, host metrics, Grafana",
        run: e2e::run,
    },
    Step {
        name: "browser",
        about: "the pages in Chromium",
        run: browser::run,
    },
];

/// What the command line chose.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Selection {
    /// Steps to run; empty means all.
    steps: Vec<String>,
    /// Steps to leave out.
    skip: Vec<String>,
    /// Names of tests; only the unit step knows tests by name.
    pub(crate) tests: Vec<String>,
}

impl Selection {
    fn parse(args: &[String]) -> Result<Self> {
        let known = |name: &str| STEPS.iter().any(|step| step.name == name);
        let mut selection = Self::default();
        let mut words = args.iter();
        while let Some(word) = words.next() {
            if word == "--skip" {
                match words.next() {
                    Some(name) if known(name) => selection.skip.push(name.clone()),
                    other => bail!("--skip wants a step, not {other:?}; the steps are {}", names()),
                }
            } else if known(word) {
                selection.steps.push(word.clone());
            } else if word.starts_with('-') {
                bail!(
                    "unknown flag {word}; usage: cargo xtask test [STEP or TEST NAME ...] [--skip STEP]; the steps are {}",
                    names()
                );
            } else {
                selection.tests.push(word.clone());
            }
        }
        if selection.steps.is_empty() && !selection.tests.is_empty() {
            selection.steps.push("unit".into());
        }
        Ok(selection)
    }

    fn wants(&self, step: &str) -> bool {
        let named = |list: &[String]| list.iter().any(|name| name == step);
        (self.steps.is_empty() || named(&self.steps)) && !named(&self.skip)
    }
}

fn names() -> String {
    STEPS.iter().map(|step| step.name).collect::<Vec<_>>().join(", ")
}

/// The chore.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let selection = Selection::parse(args)?;
    let mut total = Tally::default();
    let mut summary = Vec::new();
    for step in STEPS {
        if !selection.wants(step.name) {
            continue;
        }
        println!("==> {}: {}", step.name, step.about);
        let began = Instant::now();
        let tally = (step.run)(&selection).unwrap_or_else(|error| {
            println!("{}: {error:#}", step.name);
            Tally::failure(step.name)
        });
        let line = format!(
            "{:<13} {:>7.1} s   {tally}",
            step.name,
            began.elapsed().as_secs_f64()
        );
        println!("{line}");
        summary.push(line);
        total.add(tally);
    }
    println!("\n==> summary");
    for line in summary {
        println!("{line}");
    }
    for name in &total.skipped {
        println!("skipped: {name}");
    }
    for name in &total.failed {
        println!("failed: {name}");
    }
    println!("{total}");
    if total.is_failure() {
        bail!("not everything passed");
    }
    Ok(())
}

/// What a step answers when something it needs cannot be had: skipped by name, but in CI a failure.
pub(crate) fn missing(step: &str, why: &anyhow::Error) -> Tally {
    println!("{step}: {why:#}");
    if shell::is_ci() {
        Tally::failure(step)
    } else {
        Tally::skip(&format!("{step} ({why:#})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Selection> {
        Selection::parse(&words.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn words_choose_steps_or_tests() {
        let all = parse(&[]).expect("empty");
        assert!(STEPS.iter().all(|step| all.wants(step.name)));
        let some = parse(&["fmt", "tidy", "--skip", "tidy"]).expect("steps");
        assert_eq!(
            STEPS
                .iter()
                .map(|s| s.name)
                .filter(|s| some.wants(s))
                .collect::<Vec<_>>(),
            ["fmt"]
        );
        let test = parse(&["wal_replay"]).expect("a test");
        assert!(test.wants("unit") && !test.wants("fmt") && test.tests == ["wal_replay"]);
    }

    #[test]
    fn a_wrong_word_is_an_error_that_lists_the_steps() {
        for words in [&["--skip"][..], &["--skip", "nope"], &["--nope"]] {
            let error = parse(words).expect_err("must fail").to_string();
            assert!(error.contains("differential"), "{error}");
        }
    }
}
