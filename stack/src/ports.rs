//! Which ports of the host the stack wants, and who has them already. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use crate::{Component, Facts, Options, Reach};

/// A port of the host that a component listens on, or is published on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Which.
    pub component: Component,
    /// On the host.
    pub address: SocketAddrV4,
}

/// A TCP socket of the host that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// Its own address; of all interfaces when unspecified.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// The process, or the container that the port is published for, if known.
    pub owner: Option<String>,
}

impl Listening {
    /// Could nobody else listen on this address too? A socket on all IPv6 addresses has the IPv4 ones as well unless it says otherwise,
    /// which cannot be seen from outside: it counts.
    fn has(&self, address: SocketAddrV4) -> bool {
        let own = self.address.to_canonical();
        self.port == address.port() && (own.is_unspecified() || own == IpAddr::V4(*address.ip()))
    }
}

/// A wanted port that somebody has. Its text says who, and the option that moves ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// What we want.
    pub wanted: Wanted,
    /// Who has it.
    pub by: Listening,
    /// A port that nobody has, for the option.
    pub free: Option<u16>,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let component = self.wanted.component;
        let owner = self.by.owner.as_deref().unwrap_or("another program");
        let at = SocketAddr::new(self.by.address, self.by.port);
        write!(
            f,
            "{component} wants {}, but {owner} listens on {at}: stop that, or give {component} another port with `--port {component}=",
            self.wanted.address
        )?;
        match self.free {
            Some(free) => write!(f, "{free}`"),
            None => write!(f, "PORT`"),
        }
    }
}

/// The ports of the host that a stack with these options has.
#[must_use]
pub fn wanted(options: &Options, facts: &Facts) -> Vec<Wanted> {
    options
        .components()
        // A service listens on each node, where the engine here does not see who does.
        .filter(|component| component.is_on_host() && !options.is_service(*component))
        .map(|component| Wanted {
            component,
            address: SocketAddrV4::new(
                match component.reach() {
                    Reach::Gateway => facts.range.gateway,
                    Reach::Loopback | Reach::Inside => Ipv4Addr::LOCALHOST,
                },
                options.port(component),
            ),
        })
        .collect()
}

/// Those that somebody else has. `ours` are the ports that our running containers have now (by the options that they were made
/// with): they do not count.
#[must_use]
pub fn taken(wanted: &[Wanted], listening: &[Listening], ours: &[Wanted]) -> Vec<Taken> {
    wanted
        .iter()
        .filter(|want| !ours.contains(want))
        .filter_map(|want| {
            let by = listening.iter().find(|socket| socket.has(want.address))?;
            Some(Taken {
                wanted: *want,
                by: by.clone(),
                free: free_port(*want, wanted, listening),
            })
        })
        .collect()
}

/// The next higher port that nobody has.
fn free_port(want: Wanted, wanted: &[Wanted], listening: &[Listening]) -> Option<u16> {
    let port = want.address.port();
    (port.saturating_add(1).max(1024)..=u16::MAX)
        .map(|port| SocketAddrV4::new(*want.address.ip(), port))
        .find(|address| {
            !listening.iter().any(|socket| socket.has(*address))
                && !wanted.iter().any(|other| other.address == *address)
        })
        .map(|address| address.port())
}

#[cfg(test)]
mod tests {
    use super::{Listening, Wanted, taken};
    use crate::Component::{self, NodeExporter, Prometheus};

    fn listening(sockets: &[(&str, &str)]) -> Vec<Listening> {
        let parse = |(address, owner): &(&str, &str)| {
            let address: std::net::SocketAddr = address.parse().unwrap();
            Listening {
                address: address.ip(),
                port: address.port(),
                owner: (!owner.is_empty()).then(|| (*owner).to_owned()),
            }
        };
        sockets.iter().map(parse).collect()
    }

    fn wanted() -> [Wanted; 2] {
        [
            (NodeExporter, "172.29.241.1:9100"),
            (Prometheus, "127.0.0.1:9090"),
        ]
        .map(|(component, address)| Wanted {
            component,
            address: address.parse().unwrap(),
        })
    }

    /// Who has which port, and the next free one.
    fn check(sockets: &[(&str, &str)], ours: &[Wanted], expected: &[(Component, &str, u16)]) {
        let taken = taken(&wanted(), &listening(sockets), ours);
        let got: Vec<_> = taken
            .iter()
            .map(|taken| {
                let by = taken.by.owner.as_deref().unwrap_or_default();
                (taken.wanted.component, by, taken.free.unwrap())
            })
            .collect();
        assert_eq!(got, expected, "{sockets:?}");
    }

    #[test]
    fn a_port_is_taken_by_who_listens_on_the_same_address_or_on_all() {
        check(&[], &[], &[]);
        check(
            &[("127.0.0.1:9090", "masthead")],
            &[],
            &[(Prometheus, "masthead", 9091)],
        );
        check(
            &[("[::]:9090", "node"), ("0.0.0.0:9091", "x")],
            &[],
            &[(Prometheus, "node", 9092)],
        );
        check(
            &[("[::ffff:127.0.0.1]:9090", "java")],
            &[],
            &[(Prometheus, "java", 9091)],
        );
        check(
            &[("0.0.0.0:9100", ""), ("127.0.0.1:9090", "x")],
            &[],
            &[(NodeExporter, "", 9101), (Prometheus, "x", 9091)],
        );
        // Another address, another port.
        check(
            &[
                ("127.0.0.1:9100", ""),
                ("[::1]:9090", ""),
                ("10.0.0.1:9090", ""),
                ("0.0.0.0:80", ""),
            ],
            &[],
            &[],
        );
    }

    #[test]
    fn our_own_do_not_count() {
        let sockets = [
            ("127.0.0.1:9090", "docker-proxy"),
            ("172.29.241.1:9100", "node_exporter"),
        ];
        check(&sockets, &wanted(), &[]);
        check(&sockets, &wanted()[..1], &[(Prometheus, "docker-proxy", 9091)]);
    }

    #[test]
    fn a_taken_port_is_said_with_its_owner_and_the_option_that_moves_ours() {
        let sockets = [("[::]:9100", ""), ("127.0.0.1:9090", "masthead")];
        let taken = taken(&wanted(), &listening(&sockets), &[]);
        let got: Vec<_> = taken.iter().map(ToString::to_string).collect();
        assert_eq!(
            got,
            [
                "node-exporter wants 172.29.241.1:9100, but another program listens on [::]:9100: stop that, or give node-exporter another port with `--port node-exporter=9101`",
                "prometheus wants 127.0.0.1:9090, but masthead listens on 127.0.0.1:9090: stop that, or give prometheus another port with `--port prometheus=9091`",
            ]
        );
    }
}
