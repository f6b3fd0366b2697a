//! The `fmt` step: rustfmt finds nothing to change.

use anyhow::Result;

use super::{Selection, Tally};
use crate::shell;

pub(super) fn run(_: &Selection) -> Result<Tally> {
    let mut tally = Tally::of(
        "cargo fmt",
        shell::run(shell::cargo().args(["fmt", "--all", "--check"])),
    );
    let fuzz = ["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"];
    tally.add(Tally::of(
        "cargo fmt (fuzz)",
        shell::run(shell::cargo().args(fuzz)),
    ));
    Ok(tally)
}
