//! The `e2e` step: the release binary on a real disk; see `e2e.rs` for the cases.

use anyhow::Result;

use super::{Selection, Tally};

pub(super) fn run(_: &Selection) -> Result<Tally> {
    Ok(crate::e2e::run_cases(""))
}
