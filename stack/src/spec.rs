//! From what the user wants and what the host is to all that should be there: files, network, containers. Pure.

use std::path::PathBuf;

use crate::desired::{Desired, NetworkSpec};
use crate::{Component, Facts, Options};

/// The kept options; that it is there marks a base directory as ours.
pub const OPTIONS_FILE: &str = "masthead-stack.json";
/// The lock of a running command.
pub const LOCK_FILE: &str = "masthead-stack.lock";
/// Reloads and restarts that changed files still ask for: written before such a file, removed when all are done. So a run that was
/// cut off in between is finished by the next one.
pub const PENDING_FILE: &str = "masthead-stack.pending";
/// Name of the network.
pub const NETWORK: &str = "masthead";
/// Name of its bridge interface.
pub const BRIDGE: &str = "masthead0";
/// User name of all generated credentials.
pub const USER: &str = "masthead";
/// Port that Prometheus listens on in its container.
pub const PROMETHEUS_PORT: u16 = 9090;

/// All that should be there.
#[must_use]
pub fn desired(options: &Options, facts: &Facts) -> Desired {
    let _ = options;
    Desired {
        network: NetworkSpec {
            name: NETWORK.to_owned(),
            bridge: BRIDGE.to_owned(),
            subnet: facts.range.subnet.clone(),
            gateway: facts.range.gateway,
            labels: [].into(),
        },
        folders: Vec::new(),
        files: Vec::new(),
        containers: Vec::new(),
    }
}

/// Every path below the base directory that some desired state has, and those of the lock's neighbours: what `observe` looks at,
/// whatever the options. The base directory itself is the empty path.
#[must_use]
pub fn known_paths() -> Vec<PathBuf> {
    Vec::new()
}

/// The options that are kept beside the stack's files.
///
/// # Errors
/// The file is not what a Masthead of this version or an older one wrote.
pub fn kept_options(content: &[u8]) -> Result<Options, serde_json::Error> {
    serde_json::from_slice(content)
}

/// Where the password of a component is, below the base directory: one line, no newline.
#[must_use]
pub fn password_file(component: Component) -> PathBuf {
    PathBuf::from(format!("secrets/{component}.password"))
}

/// The file below the base directory in which the hash of the component's password is.
#[must_use]
pub fn hash_file(component: Component) -> PathBuf {
    PathBuf::from(match component {
        Component::Prometheus => "web.yml",
        Component::NodeExporter => "node-exporter-web.yml",
        Component::Cadvisor => "cadvisor.htpasswd",
    })
}
