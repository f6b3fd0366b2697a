//! The `browser` step.

use anyhow::Result;

use super::{Selection, Tally};

pub(super) fn run(_: &Selection) -> Result<Tally> {
    Ok(Tally::skip("browser"))
}
