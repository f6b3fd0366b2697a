//! Which ports of the host the stack wants, and who has them already. Pure.

use std::fmt;
use std::net::{IpAddr, SocketAddrV4};

use crate::{Component, Facts, Options};

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

/// A wanted port that somebody has. Its text says who, and the option that moves ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// What we want.
    pub wanted: Wanted,
    /// Who has it.
    pub by: Listening,
    /// A port that nobody has, for the option.
    pub free: u16,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.wanted.address, self.free)
    }
}

/// The ports of the host that a stack with these options has.
#[must_use]
pub fn wanted(options: &Options, facts: &Facts) -> Vec<Wanted> {
    let _ = (options, facts);
    Vec::new()
}

/// Those that somebody else has. `ours` are the ports that our running containers have now (by the options that they were made
/// with): they do not count.
#[must_use]
pub fn taken(wanted: &[Wanted], listening: &[Listening], ours: &[Wanted]) -> Vec<Taken> {
    let _ = (wanted, listening, ours);
    Vec::new()
}
