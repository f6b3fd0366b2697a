//! What the host is, as far as the desired state depends on it, and the passwords: all that `spec` needs beside the options.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use crate::Component;

/// A generated password and the hash of it that the component is given.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// Letters and digits, at least 32.
    pub password: String,
    /// bcrypt.
    pub hash: String,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// The range of the stack's network: the one it has, or a free one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// Such as `172.29.241.0/24`.
    pub subnet: String,
    /// The host's address in it.
    pub gateway: Ipv4Addr,
}

/// What the host is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Its name, as in `instance`.
    pub hostname: String,
    /// Its memory in bytes as the engine says it, 0 when it does not; limits follow from it.
    pub memory_bytes: u64,
    /// Processors that the engine may use, at least 1: the engine refuses a limit beyond them.
    pub cpus: u32,
    /// Absolute base directory on the host.
    pub base_dir: PathBuf,
    /// Of the stack's network.
    pub range: Range,
    /// Of the network between Prometheus and the socket's proxy.
    pub discovery_range: Range,
    /// Attachable networks that Prometheus joins, those that exist: the platform's (`dokploy-network`) and the wanted ones.
    pub platform_networks: Vec<String>,
    /// A secret for each component that asks for one, in the order of [`Component::ALL`].
    pub secrets: Vec<(Component, Secret)>,
    /// The engine's root folder, such as `/var/lib/docker`.
    pub docker_root: PathBuf,
    /// Path of the engine's socket on the host, such as `/var/run/docker.sock`.
    pub docker_socket: PathBuf,
    /// Socket of containerd on the host, when the engine keeps its images in containerd's store (storage driver `overlayfs`, as a new
    /// Docker 29 does) and the socket is there: cAdvisor knows no container's name without it. `None` with the older store.
    pub containerd_socket: Option<PathBuf>,
    /// The engine is a manager of a swarm: it knows of the services of all nodes.
    pub is_swarm_manager: bool,
    /// Its id in the swarm; empty where there is none.
    pub node_id: String,
    /// The mount of `/` is shared or a slave: the engine refuses `rslave` mounts of it otherwise.
    pub root_is_shared: bool,
    /// `/dev/kmsg` is there.
    pub has_kmsg: bool,
    /// `/dev/disk` is there.
    pub has_dev_disk: bool,
}
