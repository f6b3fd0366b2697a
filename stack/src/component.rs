//! The programs of the stack: their images, users, ports and health, as their own projects publish them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A program that runs as one container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Component {
    /// The server that scrapes, stores and answers.
    Prometheus,
    /// The host's metrics.
    NodeExporter,
    /// The containers' metrics.
    Cadvisor,
}

impl Component {
    /// All, in the order in which they are started.
    pub const ALL: [Self; 3] = [Self::NodeExporter, Self::Cadvisor, Self::Prometheus];

    /// The word for the command line, labels and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Prometheus => "prometheus",
            Self::NodeExporter => "node-exporter",
            Self::Cadvisor => "cadvisor",
        }
    }

    /// The name of its container.
    #[must_use]
    pub fn container(self) -> &'static str {
        match self {
            Self::Prometheus => "masthead-prometheus",
            Self::NodeExporter => "masthead-node-exporter",
            Self::Cadvisor => "masthead-cadvisor",
        }
    }

    /// The pinned image of this version of Masthead; never `latest`.
    #[must_use]
    pub fn image(self) -> &'static str {
        match self {
            Self::Prometheus => "prom/prometheus:v3.14.0",
            Self::NodeExporter => "prom/node-exporter:v1.12.1",
            Self::Cadvisor => "ghcr.io/google/cadvisor:v0.60.5",
        }
    }

    /// The port that it listens on by default.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::Prometheus => 9090,
            Self::NodeExporter => 9100,
            Self::Cadvisor => 8080,
        }
    }

    /// The user that its image runs as, which its files have to belong to.
    #[must_use]
    pub fn uid(self) -> u32 {
        match self {
            Self::Prometheus | Self::NodeExporter => 65534,
            Self::Cadvisor => 0,
        }
    }

    /// Does its port lie on the host itself (its loopback or the bridge's gateway), where somebody else may have it?
    #[must_use]
    pub fn is_on_host(self) -> bool {
        match self {
            Self::Prometheus | Self::NodeExporter => true,
            Self::Cadvisor => false,
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no component.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is no component of the stack; there are prometheus, node-exporter and cadvisor")]
pub struct UnknownComponent {
    /// As given.
    pub word: String,
}

impl FromStr for Component {
    type Err = UnknownComponent;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|component| component.name() == word)
            .ok_or_else(|| UnknownComponent {
                word: word.to_owned(),
            })
    }
}
