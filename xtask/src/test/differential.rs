//! The `differential` step: the same samples in the real Prometheus and in Masthead give equal answers.

use anyhow::Result;

use super::{Selection, Tally, missing};
use crate::{differential, peers};

pub(super) fn run(_: &Selection) -> Result<Tally> {
    if let Err(why) = peers::program("prometheus") {
        return Ok(missing("differential", &why));
    }
    differential::compare_engines(false, "")
}
