//! The `clippy` step: no warning in any target of the workspace.

use anyhow::Result;

use super::{Selection, Tally};
use crate::shell;

pub(super) fn run(_: &Selection) -> Result<Tally> {
    let words = [
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ];
    Ok(Tally::of("clippy", shell::run(shell::cargo().args(words))))
}
