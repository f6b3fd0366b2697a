//! The `tidy` step: the invariants of the design hold over the tree; one test an invariant.

use anyhow::Result;

use super::{Selection, Tally};

pub(super) fn run(_: &Selection) -> Result<Tally> {
    let mut tally = Tally::default();
    for (name, findings) in crate::tidy::check_tree()? {
        for finding in &findings {
            println!("{finding}");
        }
        tally.add(if findings.is_empty() {
            Tally::pass()
        } else {
            Tally::failure(&format!("tidy: {name}"))
        });
    }
    Ok(tally)
}
