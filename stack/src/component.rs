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
    /// Takes alerts from Prometheus and sends them on.
    Alertmanager,
    /// Takes metrics of jobs that end before they could be scraped.
    Pushgateway,
    /// Dashboards.
    Grafana,
    /// Lets Prometheus see which containers ask to be scraped, and nothing else of the engine: a read-only proxy of its socket.
    Discovery,
}

/// Whether a stack has a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Always.
    Required,
    /// Unless it is left out (`--without`).
    Default,
    /// When it is asked for (`--with`).
    Optional,
}

/// Where a component's port lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Published on the host's loopback, and under its usual number in its container.
    Loopback,
    /// At the gateway's address of the stack's network, in the host's own network.
    Gateway,
    /// In its own container alone.
    Inside,
}

impl Component {
    /// All, in the order in which they are started: what is asked before who asks.
    pub const ALL: [Self; 7] = [
        Self::NodeExporter,
        Self::Cadvisor,
        Self::Alertmanager,
        Self::Pushgateway,
        Self::Discovery,
        Self::Prometheus,
        Self::Grafana,
    ];

    /// The word for the command line, labels and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Prometheus => "prometheus",
            Self::NodeExporter => "node-exporter",
            Self::Cadvisor => "cadvisor",
            Self::Alertmanager => "alertmanager",
            Self::Pushgateway => "pushgateway",
            Self::Grafana => "grafana",
            Self::Discovery => "discovery",
        }
    }

    /// The name of its container.
    #[must_use]
    pub fn container(self) -> &'static str {
        match self {
            Self::Prometheus => "masthead-prometheus",
            Self::NodeExporter => "masthead-node-exporter",
            Self::Cadvisor => "masthead-cadvisor",
            Self::Alertmanager => "masthead-alertmanager",
            Self::Pushgateway => "masthead-pushgateway",
            Self::Grafana => "masthead-grafana",
            Self::Discovery => "masthead-docker-proxy",
        }
    }

    /// The pinned image of this version of Masthead; never `latest`.
    #[must_use]
    pub fn image(self) -> &'static str {
        match self {
            Self::Prometheus => "prom/prometheus:v3.14.0",
            Self::NodeExporter => "prom/node-exporter:v1.12.1",
            Self::Cadvisor => "ghcr.io/google/cadvisor:v0.60.5",
            Self::Alertmanager => "prom/alertmanager:v0.34.0",
            Self::Pushgateway => "prom/pushgateway:v1.11.3",
            Self::Grafana => "grafana/grafana:13.2.3",
            Self::Discovery => "tecnativa/docker-socket-proxy:v0.4.2",
        }
    }

    /// The port that it listens on by default.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::Prometheus => 9090,
            Self::NodeExporter => 9100,
            Self::Cadvisor => 8080,
            Self::Alertmanager => 9093,
            Self::Pushgateway => 9091,
            Self::Grafana => 3000,
            Self::Discovery => 2375,
        }
    }

    /// The user that its image runs as, which its files have to belong to.
    #[must_use]
    pub fn uid(self) -> u32 {
        match self {
            Self::Prometheus | Self::NodeExporter | Self::Alertmanager | Self::Pushgateway => 65534,
            Self::Grafana => 472,
            Self::Cadvisor | Self::Discovery => 0,
        }
    }

    /// Is it there always, by default, or when asked for?
    #[must_use]
    pub fn need(self) -> Need {
        match self {
            Self::Prometheus => Need::Required,
            Self::NodeExporter | Self::Cadvisor => Need::Default,
            Self::Alertmanager | Self::Pushgateway | Self::Grafana | Self::Discovery => Need::Optional,
        }
    }

    /// Where its port lies.
    #[must_use]
    pub fn reach(self) -> Reach {
        match self {
            Self::Prometheus | Self::Alertmanager | Self::Pushgateway | Self::Grafana => Reach::Loopback,
            Self::NodeExporter => Reach::Gateway,
            Self::Cadvisor | Self::Discovery => Reach::Inside,
        }
    }

    /// Does its port lie on the host itself (its loopback or the bridge's gateway), where somebody else may have it?
    #[must_use]
    pub fn is_on_host(self) -> bool {
        self.reach() != Reach::Inside
    }

    /// Does it ask for a password? The proxy knows none: its network keeps others out.
    #[must_use]
    pub fn has_password(self) -> bool {
        self != Self::Discovery
    }

    /// Does it tell of the machine that it runs on, so that a swarm wants it on every node?
    #[must_use]
    pub fn is_of_every_node(self) -> bool {
        matches!(self, Self::NodeExporter | Self::Cadvisor)
    }

    /// Does Prometheus scrape it, as a job of its name?
    #[must_use]
    pub fn is_scraped(self) -> bool {
        !matches!(self, Self::Grafana | Self::Discovery)
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no component.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{word:?} is no component of the stack; there are prometheus, node-exporter, cadvisor, and at will alertmanager, pushgateway, \
     grafana and discovery"
)]
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
