//! `masthead service`: Masthead as a unit of systemd, put in place, looked at and taken away.
//!
//! ```text
//!  flags --> Options --> unit::text --\
//!  files, systemctl --> Observed ------> plan (pure) --> steps --> apply
//! ```
//!
//! A second install plans nothing; a changed option plans the unit alone. What is not ours is never touched without `--adopt`, and then
//! kept aside. A step that fails leaves a state from which the next run goes on.

pub mod apply;
pub mod elsewhere;
pub mod health;
pub mod notify;
pub mod observe;
pub mod options;
pub mod plan;
pub mod unit;

use std::path::PathBuf;

/// The unit's name.
pub const UNIT: &str = "masthead.service";

/// Where things are put.
#[derive(Debug, Clone)]
pub struct Places {
    /// The program.
    pub binary: PathBuf,
    /// The unit.
    pub unit: PathBuf,
    /// Samples and marks.
    pub data_dir: PathBuf,
    /// There where systemd runs, as `sd_booted(3)` has it.
    pub booted: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            binary: PathBuf::from("/usr/local/bin/masthead"),
            unit: PathBuf::from("/etc/systemd/system").join(UNIT),
            data_dir: PathBuf::from("/var/lib/masthead"),
            booted: PathBuf::from("/run/systemd/system"),
        }
    }
}
