//! A socket or a port here that leads to one on the server.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use openssh::{ForwardType, Session, Socket};

/// One of them.
#[derive(Debug)]
pub(super) enum Forward {
    Socket { here: PathBuf, there: PathBuf },
    Port { here: SocketAddr, there: u16 },
}

impl Forward {
    pub(super) fn socket(here: PathBuf, there: &Path) -> Self {
        Self::Socket {
            here,
            there: there.to_owned(),
        }
    }

    /// To a port, from one that is free here now.
    pub(super) fn port(there: u16) -> io::Result<(SocketAddr, Self)> {
        // `ssh` cannot be asked for any free port; between this look and its own, somebody could take it, and forwarding says so.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let here = free.local_addr()?;
        Ok((here, Self::Port { here, there }))
    }

    pub(super) fn socket_of(&self, wanted: &Path) -> Option<PathBuf> {
        match self {
            Self::Socket { here, there } if there == wanted => Some(here.clone()),
            _ => None,
        }
    }

    pub(super) fn address_of(&self, wanted: u16) -> Option<SocketAddr> {
        match self {
            Self::Port { here, there } if *there == wanted => Some(*here),
            _ => None,
        }
    }

    /// What it leads to, in words.
    pub(super) fn there(&self) -> String {
        match self {
            Self::Socket { there, .. } => format!("socket {}", there.display()),
            Self::Port { there, .. } => format!("port {there}"),
        }
    }

    /// Leads it over a connection.
    pub(super) async fn lead(&self, session: &Session) -> Result<(), openssh::Error> {
        let (here, there) = match self {
            Self::Socket { here, there } => {
                // What an earlier connection has left.
                let _absent = std::fs::remove_file(here);
                (Socket::from(here.as_path()), Socket::from(there.as_path()))
            }
            Self::Port { here, there } => (
                Socket::from(*here),
                Socket::from(SocketAddr::from((Ipv4Addr::LOCALHOST, *there))),
            ),
        };
        session
            .request_port_forward(ForwardType::Local, here, there)
            .await
    }
}
