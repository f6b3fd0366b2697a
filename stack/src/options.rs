//! What the user wants, checked: values of these types cannot be wrong in themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Component;
use crate::value::{Duration, ServerName, Size};

/// Default of `--retention-time`.
pub const DEFAULT_RETENTION_TIME: &str = "15d";
/// Default of `--scrape-interval`.
pub const DEFAULT_SCRAPE_INTERVAL: &str = "15s";

/// When images are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pull {
    /// When the engine does not have them.
    #[default]
    Missing,
    /// Never: a missing image is an error.
    Never,
}

/// The wanted stack. It is kept beside the stack's files, so that a later `setup` without flags changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Options {
    /// Components that are left out; never Prometheus.
    #[serde(default)]
    pub without: BTreeSet<Component>,
    /// Ports other than [`Component::port`]. Of Prometheus the published one on the host's loopback, of node_exporter the one on the
    /// bridge's gateway, of cAdvisor the one inside its own container.
    #[serde(default)]
    pub ports: BTreeMap<Component, u16>,
    /// A duration in Prometheus' form, such as `15d`.
    pub retention_time: Duration,
    /// A size in Prometheus' form, such as `5GB`; `None` sets none.
    #[serde(default)]
    pub retention_size: Option<Size>,
    /// A duration in Prometheus' form, such as `15s`.
    pub scrape_interval: Duration,
    /// The external label `server`.
    pub server: ServerName,
}

impl Options {
    /// All defaults, for a server of this name.
    #[must_use]
    pub fn new(server: ServerName) -> Self {
        Self {
            without: BTreeSet::new(),
            ports: BTreeMap::new(),
            retention_time: Duration::from_secs(15 * 86_400),
            retention_size: None,
            scrape_interval: Duration::from_secs(15),
            server,
        }
    }

    /// The components that are wanted, in the order in which they are started.
    pub fn components(&self) -> impl Iterator<Item = Component> + '_ {
        Component::ALL
            .into_iter()
            .filter(|component| *component == Component::Prometheus || !self.without.contains(component))
    }

    /// The port of a component.
    #[must_use]
    pub fn port(&self, component: Component) -> u16 {
        self.ports
            .get(&component)
            .copied()
            .unwrap_or_else(|| component.port())
    }
}

/// How a command is carried out; not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Absolute; where the stack's files are.
    pub base_dir: PathBuf,
    /// When images are fetched.
    pub pull: Pull,
    /// Take over what is there under our names but does not carry our label.
    pub adopt: bool,
}
