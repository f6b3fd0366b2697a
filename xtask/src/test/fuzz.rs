//! The `fuzz` step: the fuzz targets still compile, so that they do not rot between soaks. Their corpora run as plain
//! tests of the crates in the `unit` step.

use anyhow::Result;

use super::{Selection, Tally};
use crate::shell;

pub(super) fn run(_: &Selection) -> Result<Tally> {
    let target = shell::target_dir();
    let mut command = shell::cargo();
    // Without libFuzzer itself, which wants a C++ compiler; in the workspace's folder, which has most of it checked.
    command.args([
        "check",
        "--quiet",
        "--locked",
        "--manifest-path",
        "fuzz/Cargo.toml",
        "--no-default-features",
    ]);
    command.arg("--target-dir").arg(target);
    Ok(Tally::of("fuzz targets compile", shell::run(&mut command)))
}
