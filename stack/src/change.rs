//! What a command line says about the stack, laid over what was kept of earlier ones: what is not said stays.

use std::collections::{BTreeMap, BTreeSet};

use crate::options::Swarm;
use crate::value::{Duration, NetworkName, Size};
use crate::{Component, Options, ServerName, StackError};

/// Changes of [`Options`]; the default changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Leave these out, whether they are there by default or were asked for.
    pub without: BTreeSet<Component>,
    /// Have these: optional ones, and those that were left out.
    pub with: BTreeSet<Component>,
    /// Networks that Prometheus joins.
    pub join: BTreeSet<NetworkName>,
    /// Networks that it leaves.
    pub leave: BTreeSet<NetworkName>,
    /// Have the exporters on every node of the swarm, or not.
    pub swarm: Option<bool>,
    /// Encrypt what crosses between nodes, or not.
    pub swarm_encrypt: Option<bool>,
    /// Ports, by component.
    pub ports: BTreeMap<Component, u16>,
    /// How long samples are kept.
    pub retention_time: Option<Duration>,
    /// How much is kept; `Some(None)` takes the limit away.
    pub retention_size: Option<Option<Size>>,
    /// Between two scrapes.
    pub scrape_interval: Option<Duration>,
    /// The external label `server`.
    pub server: Option<ServerName>,
}

impl Change {
    /// The options that come out over these.
    ///
    /// # Errors
    /// A component is both wanted and not, Prometheus is left out, or a port is 0.
    pub fn over(&self, kept: Options) -> Result<Options, StackError> {
        if let Some(component) = self.without.intersection(&self.with).next() {
            return Err(StackError::Invalid(format!(
                "{component} is both in --with and in --without; say one of them"
            )));
        }
        if self.without.contains(&Component::Prometheus) {
            return Err(StackError::Invalid(
                "the stack is not without Prometheus; `masthead agent` serves the host's metrics alone"
                    .to_owned(),
            ));
        }
        let mut options = kept;
        for component in &self.without {
            options.leave_out(*component);
        }
        for component in &self.with {
            options.take_in(*component);
        }
        if let Some(network) = self.join.intersection(&self.leave).next() {
            return Err(StackError::Invalid(format!(
                "{network} is both in --network and in --without-network; say one of them"
            )));
        }
        options.networks = &(&options.networks | &self.join) - &self.leave;
        options.swarm = self.swarm_over(&options)?;
        for (component, port) in &self.ports {
            match *port {
                0 => {
                    return Err(StackError::Invalid(format!(
                        "--port {component}=0: a port is a number from 1 to 65535"
                    )));
                }
                // The default is kept as no choice at all.
                port if port == component.port() => options.ports.remove(component),
                port => options.ports.insert(*component, port),
            };
        }
        if let Some(time) = &self.retention_time {
            options.retention_time = time.clone();
        }
        if let Some(size) = &self.retention_size {
            options.retention_size.clone_from(size);
        }
        if let Some(interval) = &self.scrape_interval {
            options.scrape_interval = interval.clone();
        }
        if let Some(server) = &self.server {
            options.server = server.clone();
        }
        Ok(options)
    }

    fn swarm_over(&self, kept: &Options) -> Result<Option<Swarm>, StackError> {
        let swarm = match self.swarm {
            Some(true) => Some(kept.swarm.unwrap_or_default()),
            Some(false) => None,
            None => kept.swarm,
        };
        let swarm = match (swarm, self.swarm_encrypt) {
            (None, Some(true)) => {
                return Err(StackError::Invalid(
                    "--swarm-encrypt is about what crosses between the nodes of a swarm; say --swarm too"
                        .to_owned(),
                ));
            }
            (Some(_), Some(encrypt)) => Some(Swarm { encrypt }),
            (swarm, _) => swarm,
        };
        match swarm {
            Some(_) if self.without.contains(&Component::Discovery) => Err(StackError::Invalid(
                "--swarm needs discovery: Prometheus asks the swarm through it where the exporters are; say --without-swarm, or leave \
                 discovery in"
                    .to_owned(),
            )),
            swarm => Ok(swarm),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Options {
        let mut options = Options::new("web1".parse().expect("a name"));
        options.without.insert(Component::Cadvisor);
        options.with.insert(Component::Pushgateway);
        options
            .networks
            .insert("shop_default".parse().expect("a network"));
        options.ports.insert(Component::Prometheus, 9091);
        options.retention_size = Some("5GB".parse().expect("a size"));
        options
    }

    #[test]
    fn what_is_not_said_stays() {
        assert_eq!(Change::default().over(kept()).expect("options"), kept());
    }

    #[test]
    fn what_is_said_replaces_what_was_kept() {
        let change = Change {
            with: [Component::Cadvisor, Component::Grafana].into(),
            without: [Component::NodeExporter, Component::Pushgateway].into(),
            join: ["blog_default".parse().expect("a network")].into(),
            leave: ["shop_default".parse().expect("a network")].into(),
            swarm: Some(true),
            swarm_encrypt: None,
            ports: [(Component::Prometheus, 9090), (Component::Cadvisor, 8081)].into(),
            retention_time: Some("30d".parse().expect("a duration")),
            retention_size: Some(None),
            scrape_interval: Some("5s".parse().expect("a duration")),
            server: Some("db1".parse().expect("a name")),
        };
        let options = change.over(kept()).expect("options");
        assert_eq!(options.without, [Component::NodeExporter].into());
        assert_eq!(options.with, [Component::Grafana].into());
        assert_eq!(options.ports, [(Component::Cadvisor, 8081)].into());
        assert_eq!(
            options.networks,
            ["blog_default".parse().expect("a network")].into()
        );
        assert_eq!(options.swarm, Some(Swarm { encrypt: false }));
        assert_eq!(options.port(Component::Prometheus), 9090);
        assert_eq!(options.retention_time.to_string(), "30d");
        assert_eq!(options.retention_size, None);
        assert_eq!(options.scrape_interval.to_string(), "5s");
        assert_eq!(options.server.to_string(), "db1");
        // Said again, it changes nothing more.
        assert_eq!(change.over(options.clone()).expect("options"), options);
    }

    #[test]
    fn a_swarm_is_kept_encrypted_and_left() {
        let change = |swarm, swarm_encrypt| Change {
            swarm,
            swarm_encrypt,
            ..Change::default()
        };
        let mut options = kept();
        for (change, want) in [
            (change(Some(true), Some(true)), Some(Swarm { encrypt: true })),
            (change(Some(true), None), Some(Swarm { encrypt: true })),
            (change(None, Some(false)), Some(Swarm { encrypt: false })),
            (change(Some(false), None), None),
            (change(None, Some(false)), None),
        ] {
            options = change.over(options).expect("options");
            assert_eq!(options.swarm, want);
            assert_eq!(options.has(Component::Discovery), want.is_some());
            assert_eq!(options.is_service(Component::NodeExporter), want.is_some());
            // It was left out.
            assert!(!options.is_service(Component::Cadvisor));
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (change, want) in [
            (
                Change {
                    without: [Component::Prometheus].into(),
                    ..Change::default()
                },
                "not without Prometheus",
            ),
            (
                Change {
                    without: [Component::Cadvisor].into(),
                    with: [Component::Cadvisor].into(),
                    ..Change::default()
                },
                "both in --with",
            ),
            (
                Change {
                    join: ["a".parse().expect("a network")].into(),
                    leave: ["a".parse().expect("a network")].into(),
                    ..Change::default()
                },
                "both in --network",
            ),
            (
                Change {
                    swarm_encrypt: Some(true),
                    ..Change::default()
                },
                "say --swarm too",
            ),
            (
                Change {
                    swarm: Some(true),
                    without: [Component::Discovery].into(),
                    ..Change::default()
                },
                "--swarm needs discovery",
            ),
            (
                Change {
                    ports: [(Component::Prometheus, 0)].into(),
                    ..Change::default()
                },
                "1 to 65535",
            ),
        ] {
            let error = change.over(kept()).expect_err("refused").to_string();
            assert!(error.contains(want), "{error}");
        }
    }
}
