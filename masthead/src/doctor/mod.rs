//! `masthead doctor`: what keeps a Masthead from seeing this machine as it is, each with its cure.
//!
//! A check is a row of [`CHECKS`] and a function in a file beside this one. It reads below the paths of [`Place`] and changes nothing. What cannot be
//! found out is [`State::Unknown`], with the reason: never a guess.

mod machine;
mod room;
mod sight;

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Serialize;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nothing to do.
    Ok,
    /// Something is less than it could be.
    Warn,
    /// Figures are wrong or missing.
    Fail,
    /// It could not be found out.
    Unknown,
}

/// What was found, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How it came out.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do; empty when there is nothing to do.
    pub cure: String,
}

impl Finding {
    fn ok(found: impl Into<String>) -> Self {
        Self::new(State::Ok, found, "")
    }

    fn warn(found: impl Into<String>, cure: &str) -> Self {
        Self::new(State::Warn, found, cure)
    }

    fn fail(found: impl Into<String>, cure: &str) -> Self {
        Self::new(State::Fail, found, cure)
    }

    fn unknown(found: impl Into<String>, cure: &str) -> Self {
        Self::new(State::Unknown, found, cure)
    }

    fn new(state: State, found: impl Into<String>, cure: &str) -> Self {
        Self {
            state,
            found: found.into(),
            cure: cure.to_owned(),
        }
    }
}

/// Runs a program and gives what it printed; `None` when it is not there or failed.
pub type Ask = fn(&str, &[&str]) -> Option<String>;

/// What is looked at.
#[derive(Debug)]
pub struct Place {
    /// The root that this process sees; `/` but in tests.
    pub root: PathBuf,
    /// `masthead: collect: procfs`.
    pub procfs: PathBuf,
    /// `masthead: collect: sysfs`.
    pub sysfs: PathBuf,
    /// `masthead: collect: rootfs`.
    pub rootfs: PathBuf,
    /// Where `up` would keep its data.
    pub data_dir: PathBuf,
    /// Where `up` would listen.
    pub listen: SocketAddr,
    /// The engine's socket; `None` when containers are turned off.
    pub docker: Option<PathBuf>,
    /// `--retention-size`; without it 5 % of the disk, at least 1 GB.
    pub retention_bytes: Option<u64>,
    /// Runs programs that know the clock.
    pub ask: Ask,
    /// This process may do everything.
    pub is_root: bool,
}

impl Place {
    /// The `/proc` of this process, which need not be the one that is read for the host.
    fn own_procfs(&self) -> PathBuf {
        self.root.join("proc")
    }
}

type Check = fn(&Place) -> Finding;

/// All checks in the order they are shown.
const CHECKS: &[(&str, Check)] = &[
    ("processes of the host", sight::pid_namespace),
    ("network of the host", sight::network_namespace),
    ("file systems of the host", sight::root_fs),
    ("other users' processes", sight::hidepid),
    ("memory of containers", sight::memory_accounting),
    ("Docker", sight::docker),
    ("clock", machine::clock),
    ("inotify limits", machine::inotify),
    ("open files", machine::open_files),
    ("data folder", room::data_folder),
    ("disk space", room::disk_space),
    ("port", room::port),
];

/// Does every check.
#[must_use]
pub fn examine(place: &Place) -> Vec<(&'static str, Finding)> {
    CHECKS.iter().map(|(name, check)| (*name, check(place))).collect()
}

#[cfg(test)]
mod tests;
