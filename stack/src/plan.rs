//! From what should be there and what is there to the steps between the two. Pure.

use std::path::{Path, PathBuf};

use crate::desired::Desired;
use crate::{Observed, Run, Step};

/// Something that is in our way and not ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foreign {
    /// A container of our name without our label.
    Container {
        /// Its name.
        name: String,
    },
    /// A container of our name that belongs to a stack with another base directory.
    OtherStack {
        /// Its name.
        name: String,
        /// The other stack's base directory.
        base_dir: String,
    },
    /// A network of our name without our label.
    Network {
        /// Its name.
        name: String,
    },
    /// The network has to be made anew, but containers that are not ours are in it. `--adopt` does not help.
    NetworkInUse {
        /// Its name.
        name: String,
        /// Who is in it.
        guests: Vec<String>,
    },
    /// The base directory holds something, and nothing says that it is ours.
    BaseDir {
        /// Absolute.
        path: PathBuf,
    },
    /// A folder where a file has to be, or a file where a folder has to be. `--adopt` does not help.
    Path {
        /// Absolute.
        path: PathBuf,
        /// A folder has to be there.
        folder_wanted: bool,
    },
}

/// Why there is no plan. Its text names everything that is in the way, and for each what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Names of ours belong to somebody else; never empty.
    NotOurs(Vec<Foreign>),
    /// Images that are not there must not be fetched; never empty.
    NoImage(Vec<String>),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Refusal {}

/// The steps from what is there to what should be there; none when it is there.
///
/// # Errors
/// [`Refusal`]: something that is not ours is in the way, or an image is missing that must not be fetched.
pub fn plan(desired: &Desired, observed: &Observed, run: &Run) -> Result<Vec<Step>, Refusal> {
    let _ = (desired, observed, run);
    Ok(Vec::new())
}

/// The steps that remove the stack of this base directory.
#[must_use]
pub fn removal(observed: &Observed, base_dir: &Path, purge_data: bool) -> Vec<Step> {
    let _ = (observed, base_dir, purge_data);
    Vec::new()
}
