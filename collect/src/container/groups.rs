//! Cgroups of no container: which there are.
//!
//! Folders are listed every fourth round, and when containers came or went, as a group of theirs may have come with them. One
//! that is gone in between gives no rows, since its files do not read.

use std::collections::BTreeSet;
use std::path::Path;

use super::Groups;
use super::hierarchy::{Hierarchies, folders_in};

/// Most groups that are read; a machine with more has them made by a program gone wrong.
const GROUPS_MAX: usize = 2000;
/// Rounds between two looks.
const ROUNDS_BETWEEN: u64 = 4;

/// Finds the groups.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    next_round: u64,
}

impl Scanner {
    /// Looks again in the next round.
    pub(super) fn hurry(&mut self) {
        self.next_round = 0;
    }

    /// It is time to look.
    pub(super) fn is_due(&self, round: u64) -> bool {
        round >= self.next_round
    }

    /// Paths of all groups, sorted; `containers` are paths that are none.
    pub(super) fn scan(
        &mut self,
        which: Groups,
        hierarchies: &Hierarchies,
        containers: &BTreeSet<&str>,
        round: u64,
    ) -> BTreeSet<String> {
        self.next_round = round + ROUNDS_BETWEEN;
        let mut paths = BTreeSet::new();
        if which != Groups::None {
            for point in hierarchies.points() {
                scan_folder(point, "", which == Groups::All, &mut paths);
            }
        }
        paths.retain(|path| !containers.contains(path.as_str()));
        paths
    }
}

fn scan_folder(folder: &Path, path: &str, deep: bool, paths: &mut BTreeSet<String>) {
    for name in folders_in(folder) {
        if paths.len() >= GROUPS_MAX {
            return;
        }
        let below = format!("{path}/{name}");
        if deep {
            scan_folder(&folder.join(&name), &below, deep, paths);
        }
        paths.insert(below);
    }
}
