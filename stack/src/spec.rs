//! From what the user wants and what the host is to all that should be there: files, network, containers. Pure.
//!
//! ```text
//! BASE (0755 root)                      in Prometheus' container: /etc/prometheus, read-only, the folder as a whole,
//!   masthead-stack.json   0600 root     so that a file that was replaced is seen
//!   masthead-stack.pending              only while changed files ask for something
//!   prometheus.yml        0644 root
//!   promtool.yml          0644 root     how the health check comes in: names the password's file, holds none
//!   web.yml               0400 65534    Prometheus' own users
//!   node-exporter-web.yml 0400 65534    mounted alone into node_exporter
//!   cadvisor.htpasswd     0400 root     mounted alone into cAdvisor
//!   secrets/              0700 65534
//!     COMPONENT.password  0400 65534    what Prometheus shows when it scrapes
//!   conf.d/, rules/       0755 root     the user's: made, never touched again
//!   data/                 0750 65534    /prometheus
//! ```
//!
//! No password is in a command, an environment variable or a label: `docker inspect` shows none.

mod config;
mod containers;

use std::path::{Path, PathBuf};

use std::collections::BTreeMap;

use crate::desired::{
    Access, Desired, FileSpec, FolderKind, FolderSpec, LABEL_BASE_DIR, LABEL_STACK, NetworkSpec, OnChange,
};
use crate::{Component, Facts, Options, ValueError};

/// The kept options; that it is there marks a base directory as ours.
pub const OPTIONS_FILE: &str = "masthead-stack.json";
/// Reloads and restarts that changed files still ask for, a line each: written before such a file, removed when all are done. So a
/// run that was cut off in between is finished by the next one.
pub const PENDING_FILE: &str = "masthead-stack.pending";
/// Name of the network.
pub const NETWORK: &str = "masthead";
/// Name of its bridge interface.
pub const BRIDGE: &str = "masthead0";
/// User name of all generated credentials.
pub const USER: &str = "masthead";
/// Port that Prometheus listens on in its container.
pub const PROMETHEUS_PORT: u16 = 9090;
/// Value of [`LABEL_STACK`].
pub const STACK: &str = "upstream";

/// The labels of containers that become labels of series, as with `masthead up`.
pub const CONTAINER_LABELS: [&str; 7] = [
    "com.docker.compose.project",
    "com.docker.compose.service",
    "com.docker.compose.container-number",
    "com.docker.stack.namespace",
    "com.docker.swarm.node.id",
    "com.docker.swarm.service.name",
    "com.docker.swarm.task.name",
];

const PROMETHEUS_FILE: &str = "prometheus.yml";
const PROMTOOL_FILE: &str = "promtool.yml";
const SECRETS_FOLDER: &str = "secrets";
const DATA_FOLDER: &str = "data";
const USERS_FOLDERS: [&str; 2] = ["conf.d", "rules"];

/// The configuration folder in Prometheus' container.
const PROMETHEUS_ETC: &str = "/etc/prometheus";

const ROOT: u32 = 0;
/// A bcrypt hash of no known password: facts without a component's secret lock it.
const LOCKED: &str = "$2y$05$.....................................................";

/// All that should be there.
#[must_use]
pub fn desired(options: &Options, facts: &Facts) -> Desired {
    Desired {
        network: NetworkSpec {
            name: NETWORK.to_owned(),
            bridge: BRIDGE.to_owned(),
            subnet: facts.range.subnet.clone(),
            gateway: facts.range.gateway,
            labels: labels(&facts.base_dir),
        },
        folders: folders(),
        files: files(options, facts),
        containers: options
            .components()
            .map(|component| containers::container(component, options, facts))
            .collect(),
    }
}

/// Every path below the base directory that some desired state has, and [`PENDING_FILE`]: what `observe` looks at, whatever the
/// options. Folders before what is in them; the base directory itself is the empty path.
#[must_use]
pub fn known_paths() -> Vec<PathBuf> {
    let folders = folders().into_iter().map(|folder| folder.path);
    folders.chain(known_files()).collect()
}

/// The files among [`known_paths`].
pub(crate) fn known_files() -> Vec<PathBuf> {
    let fixed = [OPTIONS_FILE, PENDING_FILE, PROMTOOL_FILE, PROMETHEUS_FILE];
    let secrets = Component::ALL
        .into_iter()
        .flat_map(|component| [password_file(component), hash_file(component)]);
    fixed.into_iter().map(PathBuf::from).chain(secrets).collect()
}

/// The options that are kept beside the stack's files.
///
/// # Errors
/// The file is not what a Masthead of this version or an older one wrote.
pub fn kept_options(content: &[u8]) -> Result<Options, KeptError> {
    let options: Options = serde_json::from_slice(content)?;
    options.check()?;
    Ok(options)
}

/// Kept options that do not do.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// No JSON, or not of the form that is written.
    #[error("cannot read the kept options: {0}")]
    Form(#[from] serde_json::Error),
    /// A value that is not possible.
    #[error("cannot use the kept options: {0}")]
    Value(#[from] ValueError),
}

/// Where the password of a component is, below the base directory: one line, no newline.
#[must_use]
pub fn password_file(component: Component) -> PathBuf {
    Path::new(SECRETS_FOLDER).join(format!("{component}.password"))
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

/// The labels of everything that is ours.
fn labels(base_dir: &Path) -> BTreeMap<String, String> {
    [
        (LABEL_STACK, STACK.to_owned()),
        (LABEL_BASE_DIR, base_dir.display().to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn access(mode: u32, uid: u32) -> Access {
    Access { mode, uid, gid: uid }
}

/// The first is the base directory itself.
pub(crate) fn folders() -> Vec<FolderSpec> {
    let folder = |path: &str, access, kind| FolderSpec {
        path: PathBuf::from(path),
        access,
        kind,
    };
    let prometheus = Component::Prometheus.uid();
    let ours = [
        folder("", access(0o755, ROOT), FolderKind::Ours),
        folder(SECRETS_FOLDER, access(0o700, prometheus), FolderKind::Ours),
        folder(DATA_FOLDER, access(0o750, prometheus), FolderKind::Data),
    ];
    let users = USERS_FOLDERS.map(|path| folder(path, access(0o755, ROOT), FolderKind::Users));
    ours.into_iter().chain(users).collect()
}

/// In the order in which they are written: the mark first, then what others point to.
fn files(options: &Options, facts: &Facts) -> Vec<FileSpec> {
    let prometheus = Component::Prometheus.uid();
    let file = |path: PathBuf, content: String, access, on_change, secret| FileSpec {
        path,
        content: content.into_bytes(),
        access,
        on_change,
        secret,
    };
    let plain = |path: &str, content, mode, on_change| {
        file(PathBuf::from(path), content, access(mode, ROOT), on_change, false)
    };
    let mut files = vec![plain(OPTIONS_FILE, kept(options), 0o600, OnChange::Nothing)];
    for component in options.components() {
        let secret = facts.secrets.iter().find(|(of, _)| *of == component);
        let (password, hash) = secret.map_or((String::new(), LOCKED), |(_, secret)| {
            (secret.password.clone(), secret.hash.as_str())
        });
        files.push(file(
            password_file(component),
            password,
            access(0o400, prometheus),
            // Prometheus and promtool read it at each request.
            OnChange::Nothing,
            true,
        ));
        let (content, on_change) = match component {
            // Read at each request, through the folder's mount.
            Component::Prometheus => (config::web(hash), OnChange::Nothing),
            // Mounted alone: the container goes on seeing the replaced file until it is started again.
            Component::NodeExporter => (config::web(hash), OnChange::Restart(component)),
            Component::Cadvisor => (config::htpasswd(hash), OnChange::Restart(component)),
        };
        files.push(file(
            hash_file(component),
            content,
            access(0o400, component.uid()),
            on_change,
            true,
        ));
    }
    files.push(plain(PROMTOOL_FILE, config::promtool(), 0o644, OnChange::Nothing));
    files.push(plain(
        PROMETHEUS_FILE,
        config::prometheus(options, facts),
        0o644,
        OnChange::Reload(Component::Prometheus),
    ));
    files
}

fn kept(options: &Options) -> String {
    // Maps with string keys, numbers and text: there is no error to be had.
    let mut json = serde_json::to_string_pretty(options).unwrap_or_default();
    json.push('\n');
    json
}

#[cfg(test)]
#[path = "spec/tests.rs"]
mod tests;
