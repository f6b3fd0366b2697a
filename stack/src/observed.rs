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
    /// What the swarm has of our names; nothing where the engine manages none.
    pub swarm: ObservedSwarm,
}

/// What a swarm has of our names, and all that carries our label for this base directory.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ObservedSwarm {
    /// Why it could not be looked at, where the engine says that it manages one.
    pub fault: Option<String>,
    /// The network of our name.
    pub overlay: Option<ObservedOverlay>,
    /// By name.
    pub secrets: BTreeMap<String, Owner>,
    /// By name.
    pub services: BTreeMap<String, ObservedService>,
}

/// Whose something is that a whole swarm knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// This stack's.
    This,
    /// That of the stack of another base directory, or on another node.
    Other {
        /// The id of its node.
        node: String,
        /// Its base directory there.
        base_dir: String,
    },
    /// It carries no label of ours.
    Stranger,
}

/// An overlay network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedOverlay {
    /// Whose it is.
    pub owner: Owner,
    /// It is an overlay, and containers may join it.
    pub attachable: bool,
    /// It is encrypted between nodes.
    pub encrypted: bool,
    /// Names of containers of this node in it, and of services, that are not ours.
    pub guests: Vec<String>,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedService {
    /// Whose it is.
    pub owner: Owner,
    /// The image of its containers.
    pub image: String,
    /// Value of the fingerprint's label; empty when it has none.
    pub fingerprint: String,
    /// How often its containers were made anew; a container of an earlier time is about to go.
    pub generation: u64,
    /// It was stopped on purpose: no node runs it.
    pub is_stopped: bool,
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
