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
//!
//! with Alertmanager:                    in its container: /etc/alertmanager, read-only, the folder as a whole
//!   alertmanager/         0755 root
//!     alertmanager.yml    0644 root     the user's: made once
//!     web.yml             0400 65534
//!     secrets/            2750 root:65534  the user's: what root puts there, Alertmanager reads and others do not
//!     templates/          0755 root     the user's
//!   alertmanager-data/    0750 65534    /alertmanager
//! with Pushgateway:
//!   pushgateway-web.yml   0400 65534    mounted alone
//!   pushgateway-data/     0750 65534    /pushgateway
//! with Grafana:
//!   secrets/grafana.password             0400 472   belongs to grafana-data: Grafana takes it at its first start alone
//!   secrets/grafana-datasource.password  0400 472   Prometheus' password once more; both are mounted alone
//!   grafana/datasources/, dashboards/    0755 root  provisioning, mounted as folders
//!   grafana-data/         0750 472      /var/lib/grafana
//! ```
//!
//! with a swarm the files of node_exporter and cAdvisor are secrets of the swarm too, for their containers on all nodes.
//!
//! No password is in a command, an environment variable or a label: `docker inspect` shows none.

mod apps;
mod config;
mod containers;
mod files;
mod nodes;
mod swarm;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use crate::desired::{Desired, LABEL_BASE_DIR, LABEL_NODE, LABEL_STACK, NetworkSpec};
use crate::{Component, Facts, Options, Reach, ValueError};

pub(crate) use files::{data_folders_of, is_as_made, kind_of, known_files, known_folders};

/// The kept options; that it is there marks a base directory as ours.
pub const OPTIONS_FILE: &str = "masthead-stack.json";
/// Reloads and restarts that changed files still ask for, a line each: written before such a file, removed when all are done. So a
/// run that was cut off in between is finished by the next one.
pub const PENDING_FILE: &str = "masthead-stack.pending";
/// Name of the network.
pub const NETWORK: &str = "masthead";
/// Name of its bridge interface.
pub const BRIDGE: &str = "masthead0";
/// Name of the network between Prometheus and the socket's proxy.
pub const DISCOVERY_NETWORK: &str = "masthead-discovery";
/// Name of its bridge interface.
pub const DISCOVERY_BRIDGE: &str = "masthead1";
/// All networks of our names; the stack's own first.
pub const NETWORKS: [&str; 2] = [NETWORK, DISCOVERY_NETWORK];
/// Name of the overlay between Prometheus and the services of a swarm.
pub const OVERLAY: &str = "masthead-swarm";
/// Name of the service that leads from there to node_exporter.
pub const RELAY: &str = "masthead-node-exporter-relay";
/// All services of our names.
pub const SERVICES: [&str; 3] = ["masthead-node-exporter", RELAY, "masthead-cadvisor"];
/// The job of the applications that ask to be scraped.
pub const APPS_JOB: &str = "apps";
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

/// The configuration folder in Prometheus' container.
const PROMETHEUS_ETC: &str = "/etc/prometheus";
/// The configuration folder in Alertmanager's container.
const ALERTMANAGER_ETC: &str = "/etc/alertmanager";
/// Prometheus' password in Grafana's container.
const GRAFANA_PROMETHEUS_PASSWORD: &str = "/run/secrets/prometheus";
/// The dashboards in Grafana's container.
const GRAFANA_DASHBOARDS_ETC: &str = "/etc/grafana/provisioning/dashboards";

/// All that should be there.
#[must_use]
pub fn desired(options: &Options, facts: &Facts) -> Desired {
    let mut networks = vec![NetworkSpec {
        name: NETWORK.to_owned(),
        bridge: BRIDGE.to_owned(),
        subnet: facts.range.subnet.clone(),
        gateway: facts.range.gateway,
        internal: false,
        labels: labels(&facts.base_dir),
    }];
    if options.has(Component::Discovery) {
        networks.push(NetworkSpec {
            name: DISCOVERY_NETWORK.to_owned(),
            bridge: DISCOVERY_BRIDGE.to_owned(),
            subnet: facts.discovery_range.subnet.clone(),
            gateway: facts.discovery_range.gateway,
            internal: true,
            labels: labels(&facts.base_dir),
        });
    }
    Desired {
        networks,
        folders: files::folders(options),
        files: files::files(options, facts),
        containers: options
            .containers()
            .map(|component| containers::container(component, options, facts))
            .collect(),
        swarm: swarm::swarm(options, facts),
    }
}

/// Every path below the base directory that some desired state has, and [`PENDING_FILE`]: what `observe` looks at, whatever the
/// options. Folders before what is in them; the base directory itself is the empty path.
#[must_use]
pub fn known_paths() -> Vec<PathBuf> {
    let folders = known_folders().into_iter().map(|folder| folder.path);
    folders.chain(known_files()).collect()
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

/// The file below the base directory in which the hash of the component's password is; `None` of one that is given the password
/// itself, or none.
#[must_use]
pub fn hash_file(component: Component) -> Option<PathBuf> {
    let path = match component {
        Component::Prometheus => "web.yml",
        Component::NodeExporter => "node-exporter-web.yml",
        Component::Cadvisor => "cadvisor.htpasswd",
        Component::Alertmanager => "alertmanager/web.yml",
        Component::Pushgateway => "pushgateway-web.yml",
        Component::Grafana | Component::Discovery => return None,
    };
    Some(PathBuf::from(path))
}

/// Where Prometheus finds a component, as `host:port`.
pub(crate) fn scrape_address(component: Component, options: &Options, gateway: Ipv4Addr) -> String {
    match (component, component.reach()) {
        (Component::Prometheus, _) => format!("127.0.0.1:{PROMETHEUS_PORT}"),
        (_, Reach::Gateway) => format!("{gateway}:{}", options.port(component)),
        // The port that moves is the published one.
        (_, Reach::Loopback) => format!("{}:{}", component.container(), component.port()),
        (_, Reach::Inside) => format!("{}:{}", component.container(), options.port(component)),
    }
}

/// The port of a service in the overlay.
fn scrape_port(component: Component, options: &Options) -> u16 {
    match component {
        // The relay's; the one that moves is the node's.
        Component::NodeExporter => component.port(),
        component => options.port(component),
    }
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

/// The labels of what is ours in a swarm, where several nodes may have a stack under the same path.
fn swarm_labels(facts: &Facts) -> BTreeMap<String, String> {
    let mut labels = labels(&facts.base_dir);
    labels.insert(LABEL_NODE.to_owned(), facts.node_id.clone());
    labels
}

#[cfg(test)]
#[path = "spec/grafana_tests.rs"]
mod grafana_tests;
#[cfg(test)]
#[path = "spec/tests.rs"]
mod tests;
#[cfg(test)]
pub(crate) use tests::of_a_swarm;
