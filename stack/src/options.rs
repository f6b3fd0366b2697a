//! What the user wants, checked: values of these types cannot be wrong in themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::component::{Component, Need};
use crate::value::{Duration, NetworkName, ServerName, Size, ValueError};

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
    /// Components that are there by default, but left out here.
    #[serde(default)]
    pub without: BTreeSet<Component>,
    /// Optional components that are wanted. Not written where there are none: then the file is what it was before there were any.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub with: BTreeSet<Component>,
    /// Ports other than [`Component::port`]: the published one on the host's loopback, of node_exporter the one on the bridge's gateway,
    /// of cAdvisor the one inside its own container.
    #[serde(default)]
    pub ports: BTreeMap<Component, u16>,
    /// Networks of applications that Prometheus joins, besides the platform's; not written where there are none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub networks: BTreeSet<NetworkName>,
    /// node_exporter and cAdvisor run on every node of the swarm; not written where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swarm: Option<Swarm>,
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

/// How the nodes of a swarm are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Swarm {
    /// Scrapes are encrypted between nodes.
    #[serde(default)]
    pub encrypt: bool,
}

impl Options {
    /// All defaults, for a server of this name.
    #[must_use]
    pub fn new(server: ServerName) -> Self {
        Self {
            without: BTreeSet::new(),
            with: BTreeSet::new(),
            ports: BTreeMap::new(),
            networks: BTreeSet::new(),
            swarm: None,
            retention_time: Duration::from_days(15),
            retention_size: None,
            scrape_interval: Duration::from_secs(15),
            server,
        }
    }

    /// The components that are wanted, in the order in which they are started.
    pub fn components(&self) -> impl Iterator<Item = Component> + '_ {
        Component::ALL
            .into_iter()
            .filter(|component| self.has(*component))
    }

    /// Is it wanted?
    #[must_use]
    pub fn has(&self, component: Component) -> bool {
        match component.need() {
            Need::Required => true,
            Need::Default => !self.without.contains(&component),
            // Prometheus asks the swarm through it where the exporters are.
            Need::Optional if component == Component::Discovery && self.swarm.is_some() => true,
            Need::Optional => self.with.contains(&component),
        }
    }

    /// Is it wanted as a service with a container on every node, instead of one container here?
    #[must_use]
    pub fn is_service(&self, component: Component) -> bool {
        self.swarm.is_some() && component.is_of_every_node() && self.has(component)
    }

    /// The components that are wanted as one container here, in the order in which they are started.
    pub fn containers(&self) -> impl Iterator<Item = Component> + '_ {
        self.components().filter(|component| !self.is_service(*component))
    }

    /// The components that are wanted on every node.
    pub fn services(&self) -> impl Iterator<Item = Component> + '_ {
        self.components().filter(|component| self.is_service(*component))
    }

    /// Wants it from now on.
    pub fn take_in(&mut self, component: Component) {
        self.without.remove(&component);
        if component.need() == Need::Optional {
            self.with.insert(component);
        }
    }

    /// Does not want it any more; what is required stays.
    pub fn leave_out(&mut self, component: Component) {
        self.with.remove(&component);
        if component.need() == Need::Default {
            self.without.insert(component);
        }
    }

    /// What no single value says: that the components and their ports do. To be asked after options were read or merged.
    ///
    /// # Errors
    /// Prometheus is left out, or a port cannot be listened on.
    pub fn check(&self) -> Result<(), ValueError> {
        if self.without.contains(&Component::Prometheus) {
            return Err(ValueError {
                text: Component::Prometheus.to_string(),
                what: "component to leave out",
                why: "the others are there for it".to_owned(),
                forms: "leave out node-exporter, cadvisor or both",
            });
        }
        self.ports
            .iter()
            .try_for_each(|(component, port)| check_port(*component, *port, &format!("{component}={port}")))
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

/// Reads `COMPONENT=PORT`, the form of `--port`.
///
/// # Errors
/// It is not of that form, names no component, or the component cannot listen there.
pub fn port_of(text: &str) -> Result<(Component, u16), ValueError> {
    let wrong = |why: String| port_error(text, why);
    let (component, port) = text
        .split_once('=')
        .ok_or_else(|| wrong("there is no = in it".to_owned()))?;
    let component: Component = component
        .parse()
        .map_err(|error: crate::UnknownComponent| wrong(error.to_string()))?;
    let port = port
        .parse()
        .map_err(|_| wrong(format!("{port:?} is no number from 1 to 65535")))?;
    check_port(component, port, text).map(|()| (component, port))
}

fn check_port(component: Component, port: u16, text: &str) -> Result<(), ValueError> {
    match (component, port) {
        (_, 0) => Err(port_error(text, "0 is no port".to_owned())),
        // It listens in the host's own network, where its user may not have these.
        (Component::NodeExporter, 1..1024) => Err(port_error(
            text,
            "node_exporter runs without privileges and cannot listen below 1024".to_owned(),
        )),
        (Component::Discovery, _) => Err(port_error(
            text,
            "its port is that of its image, in a network that nobody else is in".to_owned(),
        )),
        (
            Component::Prometheus
            | Component::NodeExporter
            | Component::Cadvisor
            | Component::Alertmanager
            | Component::Pushgateway
            | Component::Grafana,
            _,
        ) => Ok(()),
    }
}

fn port_error(text: &str, why: String) -> ValueError {
    ValueError {
        text: text.to_owned(),
        what: "port of a component",
        why,
        forms: "write a component and a port, such as prometheus=9091, node-exporter=9101, grafana=3001",
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

#[cfg(test)]
mod tests {
    use super::{Options, port_of};
    use crate::Component;

    #[test]
    fn ports_are_given_as_component_and_number() {
        for (text, expected) in [
            ("prometheus=9091", Ok((Component::Prometheus, 9091))),
            ("prometheus=80", Ok((Component::Prometheus, 80))),
            ("cadvisor=65535", Ok((Component::Cadvisor, 65535))),
            ("node-exporter=1024", Ok((Component::NodeExporter, 1024))),
            ("node-exporter=1023", Err("cannot listen below 1024")),
            ("prometheus=0", Err("0 is no port")),
            ("prometheus=65536", Err("is no number from 1 to 65535")),
            ("prometheus=", Err("is no number from 1 to 65535")),
            ("grafana=3000", Ok((Component::Grafana, 3000))),
            ("discovery=2376", Err("its port is that of its image")),
            ("loki=3100", Err("is no component")),
            ("9091", Err("there is no =")),
            ("prometheus=9091=1", Err("is no number")),
        ] {
            match (port_of(text), expected) {
                (Ok(got), Ok(expected)) => assert_eq!(got, expected),
                (Err(error), Err(words)) => {
                    let error = error.to_string();
                    assert!(
                        error.contains(words) && error.contains("prometheus=9091"),
                        "{text}: {error}"
                    );
                }
                (got, expected) => panic!("{text}: {got:?}, expected {expected:?}"),
            }
        }
    }

    #[test]
    fn prometheus_cannot_be_left_out() {
        let mut options = Options::new("web-1".parse().unwrap());
        options.without = Component::ALL.into();
        assert_eq!(options.components().collect::<Vec<_>>(), [Component::Prometheus]);
        options.leave_out(Component::Prometheus);
        assert!(
            options
                .check()
                .unwrap_err()
                .to_string()
                .contains("leave out node-exporter")
        );
        options.without.remove(&Component::Prometheus);
        assert_eq!(options.check(), Ok(()));
        options.ports.insert(Component::NodeExporter, 80);
        assert!(options.check().unwrap_err().to_string().contains("below 1024"));
    }

    #[test]
    fn optional_components_are_there_when_they_are_asked_for() {
        let mut options = Options::new("web-1".parse().unwrap());
        let by_default = [
            Component::NodeExporter,
            Component::Cadvisor,
            Component::Prometheus,
        ];
        assert_eq!(options.components().collect::<Vec<_>>(), by_default);
        for component in Component::ALL {
            options.take_in(component);
        }
        assert_eq!(options.components().collect::<Vec<_>>(), Component::ALL);
        for component in Component::ALL {
            options.leave_out(component);
        }
        assert_eq!(options.components().collect::<Vec<_>>(), [Component::Prometheus]);
        assert_eq!(options.check(), Ok(()));
    }
}
