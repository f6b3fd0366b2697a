//! The `unit` step: unit, property, conformance and corpus tests of the workspace, by nextest when it is installed.
//!
//! A test that lacks its data prints `SKIPPED name: why`; such lines are collected from the output of tests that passed.

use anyhow::Result;

use super::{Selection, Tally, tally};
use crate::{peers, shell};

pub(super) fn run(selection: &Selection) -> Result<Tally> {
    // One test compares with a running node_exporter; where it cannot be had, the test says so itself.
    if let Err(why) = peers::program("node_exporter") {
        println!("{why:#}");
    }
    // Links to servers are tried on a real sshd.
    if let Err(why) = shell::obtain(&["sshd", "/usr/sbin/sshd"], "openssh-server") {
        println!("{why:#}");
    }
    let mut command = shell::cargo();
    if shell::which("cargo-nextest").is_none() {
        command
            .args(["test", "--workspace", "--locked", "--no-fail-fast"])
            .args(selection.tests.first());
        command
            .args(["--", "--show-output"])
            .args(selection.tests.iter().skip(1));
        let run = shell::stream(&mut command, is_worth_showing)?;
        return Ok(tally::of_rust_tests("unit", &run.text, run.success));
    }
    command.args([
        "nextest",
        "run",
        "--workspace",
        "--locked",
        "--no-fail-fast",
        "--no-tests=pass",
    ]);
    command.args([
        "--status-level=slow",
        "--success-output=immediate",
        "--failure-output=final",
    ]);
    command
        .args(&selection.tests)
        .env("NEXTEST_HIDE_PROGRESS_BAR", "1");
    let run = shell::stream(&mut command, is_worth_showing)?;
    let mut total = tally::of_rust_tests("unit", &run.text, run.success);
    // nextest does not run the examples in documentation.
    if selection.tests.is_empty() {
        let run = shell::stream(
            shell::cargo().args(["test", "--workspace", "--locked", "--doc", "--no-fail-fast"]),
            |_| false,
        )?;
        if !run.success {
            println!("{}", run.text);
        }
        total.add(tally::of_rust_tests("doc", &run.text, run.success));
    }
    Ok(total)
}

/// The output of tests that pass is noise.
fn is_worth_showing(line: &str) -> bool {
    let line = line.trim_start();
    !(line.starts_with("PASS [")
        || line.starts_with("running ")
        || (line.starts_with("test ") && line.ends_with("ok")))
}
