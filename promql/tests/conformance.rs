//! Prometheus' own test scripts. They lie beside the project; own scripts are in `scripts/`.

#![expect(
    clippy::unwrap_used,
    reason = "a script that cannot be read must fail the test"
)]
#![expect(
    clippy::print_stderr,
    reason = "a table of what passes, and a word when the scripts are not there"
)]

use std::fs;
use std::path::{Path, PathBuf};

use promql::parser::parse;
use promql::printer;
use promql::script::{self, MemoryStore};

mod tree;
use tree::normalised;

/// How many evaluations of each script must pass. A change that makes fewer pass is an error; one that makes
/// more pass raises the number here.
const FLOORS: [(&str, usize); 12] = [
    ("aggregators.test", 155),
    ("duration_expression.test", 59),
    ("functions.test", 410),
    ("histograms.test", 97),
    ("limit.test", 37),
    ("literals.test", 25),
    ("native_histograms.test", 58),
    ("range_queries.test", 18),
    ("selectors.test", 31),
    ("staleness.test", 17),
    ("subquery.test", 32),
    ("trig_functions.test", 19),
];

/// The folder with the scripts, or a plain word that it is not there.
fn folder(test: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance/promqltest");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED {test}: ../shared/conformance is not there");
    None
}

fn scripts(folder: &Path) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "test"))
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path.file_name().unwrap().to_string_lossy().into_owned(), text)
        })
        .collect();
    found.sort();
    found
}

#[test]
fn upstream_scripts_pass_as_far_as_they_did() {
    let Some(folder) = folder("upstream_scripts_pass_as_far_as_they_did") else {
        return;
    };
    let (mut evals, mut passed, mut worse) = (0, 0, Vec::new());
    eprintln!("{:<28} | {:>5} | {:>6}", "file", "evals", "passed");
    for (name, text) in scripts(&folder) {
        let report = script::run(&text, &mut MemoryStore::new());
        eprintln!("{name:<28} | {:>5} | {:>6}", report.evals, report.passed);
        evals += report.evals;
        passed += report.passed;
        let floor = FLOORS
            .iter()
            .find(|(file, _)| *file == name)
            .map_or(0, |(_, floor)| *floor);
        if report.passed < floor {
            let failures: Vec<String> = report.failures.iter().map(ToString::to_string).collect();
            worse.push(format!(
                "{name}: {} of {} pass, {floor} did\n{}",
                report.passed,
                report.evals,
                failures.join("\n")
            ));
        }
    }
    eprintln!("{:<28} | {evals:>5} | {passed:>6}", "all");
    assert!(evals > 1500, "the scripts hold more evaluations than {evals}");
    assert!(worse.is_empty(), "{}", worse.join("\n"));
}

#[test]
fn upstream_expressions_parse_and_print() {
    let Some(folder) = folder("upstream_expressions_parse_and_print") else {
        return;
    };
    let mut count = 0;
    for (name, text) in scripts(&folder) {
        for (line, expression, fails) in script::expressions(&text) {
            count += 1;
            let expr = match parse(&expression) {
                Ok(expr) => expr,
                Err(_) if fails => continue,
                Err(e) => panic!("{name}:{line}: {expression}: {e}"),
            };
            for printed in [printer::format(&expr), printer::pretty(&expr)] {
                let again = parse(&printed).unwrap_or_else(|e| panic!("{name}:{line}: {printed}: {e}"));
                assert_eq!(normalised(&again), normalised(&expr), "{name}:{line}: {printed}");
                assert_eq!(printer::format(&again), printer::format(&expr), "{name}:{line}");
            }
        }
    }
    assert!(count > 1500, "the scripts hold more expressions than {count}");
}

/// The project's own scripts pass wholly.
#[test]
fn own_scripts_pass() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut evals = 0;
    for (name, text) in scripts(&own) {
        let report = script::run(&text, &mut MemoryStore::new());
        let failures: Vec<String> = report.failures.iter().map(ToString::to_string).collect();
        assert!(report.is_success(), "{name}:\n{}", failures.join("\n"));
        assert_eq!(report.passed, report.evals, "{name}");
        evals += report.evals;
    }
    assert!(
        evals >= 60,
        "{evals} evaluations are too few to cover the language"
    );
}
