//! What should be on the host: data only, made by `spec`, compared by `plan`, carried out by `apply`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::Component;

/// The label that marks what is ours, on the network and on containers; its value is `upstream`.
pub const LABEL_STACK: &str = "masthead.stack";
/// The component's name, on containers.
pub const LABEL_COMPONENT: &str = "masthead.component";
/// [`ContainerSpec::fingerprint`], on containers.
pub const LABEL_SPEC: &str = "masthead.spec";
/// The base directory that a container or network belongs to.
pub const LABEL_BASE_DIR: &str = "masthead.base-dir";
/// The id of the node whose stack it is, on what a whole swarm knows.
pub const LABEL_NODE: &str = "masthead.node";

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Desired {
    /// The bridge network of the stack, and with the discovery that of its proxy.
    pub networks: Vec<NetworkSpec>,
    /// Folders below the base directory, parents first; the first is the base directory itself (empty path).
    pub folders: Vec<FolderSpec>,
    /// Files below the base directory.
    pub files: Vec<FileSpec>,
    /// Containers in the order in which they are started.
    pub containers: Vec<ContainerSpec>,
    /// What runs on every node of a swarm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swarm: Option<SwarmSpec>,
}

/// What a swarm has of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SwarmSpec {
    /// The network between Prometheus and the services.
    pub overlay: OverlaySpec,
    /// Files that the services read.
    pub secrets: Vec<SecretSpec>,
    /// In the order in which they are made.
    pub services: Vec<ServiceSpec>,
}

/// An overlay network that containers may join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OverlaySpec {
    /// Such as `masthead-swarm`.
    pub name: String,
    /// What crosses between nodes is encrypted (IPsec).
    pub encrypted: bool,
    /// Sorted by name.
    pub labels: BTreeMap<String, String>,
}

/// A secret of a swarm. It cannot be changed: its name goes with its content.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct SecretSpec {
    /// With the beginning of a SHA-256 of its content and of whose it is.
    pub name: String,
    /// The bytes: a password's hash.
    #[serde(skip)]
    pub content: Vec<u8>,
    /// Sorted by name.
    pub labels: BTreeMap<String, String>,
}

impl std::fmt::Debug for SecretSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretSpec")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A secret as a file in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecretMount {
    /// The secret's name.
    pub name: String,
    /// In the container.
    pub target: PathBuf,
    /// Owner and mode there.
    pub access: Access,
}

/// A service with a container on every node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceSpec {
    /// The containers. Of the attachments, [`Attachment::Host`] and [`Attachment::Only`] are possible; devices, the host's process
    /// namespace and published ports are not.
    pub container: ContainerSpec,
    /// Words in the place of the image's entrypoint; none leave it.
    pub entrypoint: Vec<String>,
    /// Files that it reads.
    pub secrets: Vec<SecretMount>,
    /// The signal that ends it, where that is not SIGTERM.
    pub stop_signal: Option<String>,
}

impl ServiceSpec {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.container.name
    }

    /// SHA-256 over all of it, 64 hexadecimal digits: a service with another one has to be updated.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(self)
    }
}

/// A bridge network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NetworkSpec {
    /// Such as `masthead`.
    pub name: String,
    /// Name of the bridge interface, so that firewall rules can name it, such as `masthead0`.
    pub bridge: String,
    /// Such as `172.29.241.0/24`.
    pub subnet: String,
    /// The host's address in it; of an internal network an address that nobody has.
    pub gateway: Ipv4Addr,
    /// Nothing leads out of it or into it, not even from the host.
    pub internal: bool,
    /// Sorted by name.
    pub labels: BTreeMap<String, String>,
}

/// Who owns a file or folder and who may read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Access {
    /// Permission bits, such as `0o600`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Access {
    /// A file that root alone reads.
    pub(crate) const ROOTS_FILE: Self = Self {
        mode: 0o600,
        uid: 0,
        gid: 0,
    };
    /// A folder that root alone opens.
    pub(crate) const ROOTS_FOLDER: Self = Self {
        mode: 0o700,
        uid: 0,
        gid: 0,
    };
}

/// Whose a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FolderKind {
    /// Ours: owner and mode are kept as wanted.
    Ours,
    /// A component's data: as `Ours`, and when its owner is another one, everything in it changes its owner too, the folder itself
    /// last (so that a run which was cut off is noticed by the next one).
    Data,
    /// The user's: made when absent, otherwise never touched.
    Users,
}

/// A folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FolderSpec {
    /// Below the base directory.
    pub path: PathBuf,
    /// Owner and mode.
    pub access: Access,
    /// Whose it is.
    pub kind: FolderKind,
}

/// Whose a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// Ours: kept as wanted, gone when its component goes.
    Ours,
    /// Ours, but it belongs to a component's data: it stays when the component goes, and goes when the data does.
    Data,
    /// The user's: made when absent, otherwise never touched. Purged only as long as it is what was made.
    Users,
}

/// What a changed file asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum OnChange {
    /// It is read anew by itself.
    Nothing,
    /// The component has to read its configuration again (SIGHUP).
    Reload(Component),
    /// The component reads it at its start alone.
    Restart(Component),
}

/// A file with the whole of its content.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct FileSpec {
    /// Below the base directory.
    pub path: PathBuf,
    /// The bytes.
    pub content: Vec<u8>,
    /// Owner and mode.
    pub access: Access,
    /// Whose it is.
    pub kind: FileKind,
    /// What its change asks for.
    pub on_change: OnChange,
    /// It holds a password or a hash of one: never shown.
    pub secret: bool,
}

impl std::fmt::Debug for FileSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the content, which may be a password.
        f.debug_struct("FileSpec")
            .field("path", &self.path)
            .field("access", &self.access)
            .field("on_change", &self.on_change)
            .finish_non_exhaustive()
    }
}

/// Where a container's network interfaces are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Attachment {
    /// The host's own network namespace.
    Host,
    /// The stack's network, and besides it those of the list (the platform's). A container is created with all of them.
    Networks(Vec<String>),
    /// This network and no other.
    Only(String),
}

impl Attachment {
    /// The networks, where `stack` is the name of the stack's own; none with the host's.
    pub fn networks<'a>(&'a self, stack: &'a str) -> Vec<&'a str> {
        match self {
            Self::Host => Vec::new(),
            Self::Networks(others) => std::iter::once(stack)
                .chain(others.iter().map(String::as_str))
                .collect(),
            Self::Only(network) => vec![network],
        }
    }
}

/// A bind mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mount {
    /// On the host.
    pub source: PathBuf,
    /// In the container.
    pub target: PathBuf,
    /// Without write permission.
    pub read_only: bool,
    /// Mounts that the host makes later are seen too (`rslave`).
    pub slave: bool,
}

/// A port of the container that the host's loopback leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Publish {
    /// Always loopback.
    pub host_ip: Ipv4Addr,
    /// On the host.
    pub host_port: u16,
    /// In the container.
    pub container_port: u16,
}

/// How the engine asks whether the program is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// In the engine's form: `CMD` and its words, or `CMD-SHELL` and a line.
    pub test: Vec<String>,
    /// Seconds between two.
    pub interval_s: u64,
    /// Seconds for one.
    pub timeout_s: u64,
    /// Failures in a row until it is unhealthy.
    pub retries: u64,
    /// Seconds after the start in which failures do not count.
    pub start_period_s: u64,
}

/// A container, as the engine has to make it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ContainerSpec {
    /// Which program.
    pub component: Component,
    /// Its name.
    pub name: String,
    /// Image with its tag.
    pub image: String,
    /// Words after the image's own entrypoint.
    pub command: Vec<String>,
    /// `uid:gid`; `None` leaves the image's.
    pub user: Option<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Where its interfaces are.
    pub attachment: Attachment,
    /// The host's process namespace.
    pub host_pid: bool,
    /// Bind mounts.
    pub mounts: Vec<Mount>,
    /// Devices of the host, read-only.
    pub devices: Vec<PathBuf>,
    /// Folders in memory, for a root that is read-only.
    pub tmpfs: Vec<PathBuf>,
    /// Ports on the host's loopback.
    pub publish: Vec<Publish>,
    /// Capabilities beyond none.
    pub cap_add: Vec<String>,
    /// The image's root file system is not writable.
    pub read_only: bool,
    /// Most memory in bytes.
    pub memory_bytes: i64,
    /// Most CPU in thousandths of a core.
    pub milli_cpus: i64,
    /// Most processes.
    pub pids: i64,
    /// How it is asked whether it is well; `None` leaves the image's own.
    pub health: Option<Health>,
    /// Seconds it is given to end.
    pub stop_timeout_s: u32,
    /// Labels but [`LABEL_SPEC`], which is the fingerprint of all this.
    pub labels: BTreeMap<String, String>,
}

impl ContainerSpec {
    /// SHA-256 over all of it, 64 hexadecimal digits: a container with another one has to be replaced.
    ///
    /// # Panics
    /// Never: the value holds nothing that JSON cannot.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(self)
    }
}

fn fingerprint(spec: &impl Serialize) -> String {
    // A map with string keys, numbers and text: there is no error to be had.
    let json = serde_json::to_vec(spec).unwrap_or_default();
    Sha256::digest(&json)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
