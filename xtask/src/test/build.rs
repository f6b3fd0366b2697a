//! The `build` step: the release binary, which the steps after it run. It is built in the very profile that users get:
//! a second profile would cost a second build of all dependencies.

use anyhow::Result;

use super::{Selection, Tally};
use crate::shell;

pub(super) fn run(_: &Selection) -> Result<Tally> {
    let words = ["build", "--release", "--quiet", "--locked", "-p", "masthead"];
    Ok(Tally::of("build", shell::run(shell::cargo().args(words))))
}
