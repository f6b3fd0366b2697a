//! What is on the host now, as far as the stack is concerned.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;

use crate::desired::Access;

/// All of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// The networks of our names, by name.
    pub networks: BTreeMap<String, ObservedNetwork>,
    /// What lies at the paths of [`crate::spec::known_paths`], by path below the base directory. What is not there is not in it.
    pub entries: BTreeMap<PathBuf, ObservedEntry>,
    /// The base directory is there, holds something, and carries no mark of ours.
    pub base_dir_is_foreign: bool,
    /// Containers of our names, ours or not, and all that carry our label for this base directory; by name.
    pub containers: BTreeMap<String, ObservedContainer>,
    /// Which of the pinned images, and of those that containers were made from, the engine has.
    pub images: BTreeSet<String>,
}

/// A network of our name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedNetwork {
    /// The engine's.
    pub id: String,
    /// It carries our label.
    pub ours: bool,
    /// Its range, as the engine says it.
    pub subnet: String,
    /// The host's address in it.
    pub gateway: Option<Ipv4Addr>,
    /// Name of its bridge.
    pub bridge: String,
    /// Nothing leads out of it.
    pub internal: bool,
    /// Names of containers in it that are not ours.
    pub guests: Vec<String>,
}

/// A file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedEntry {
    /// Bytes of a file; `None` of a folder.
    pub content: Option<Vec<u8>>,
    /// Owner and mode.
    pub access: Access,
}

/// How a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Made, never started.
    Created,
    /// It runs.
    Running,
    /// The engine starts it again and again.
    Restarting,
    /// Somebody paused it.
    Paused,
    /// It ended.
    Exited,
    /// It is being removed, or could not be.
    Dead,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedContainer {
    /// The engine's.
    pub id: String,
    /// It carries our label.
    pub ours: bool,
    /// The base directory it belongs to; empty when it is not ours.
    pub base_dir: String,
    /// The image that it was made from.
    pub image: String,
    /// Value of the fingerprint's label; empty when it has none.
    pub fingerprint: String,
    /// How it is.
    pub state: State,
    /// Networks it is in.
    pub networks: BTreeSet<String>,
}
