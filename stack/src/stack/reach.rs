//! The engine of a server, through a forwarded socket.

use std::path::Path;

use super::DEFAULT_SOCKET;
use crate::StackError;
use crate::engine::Engine;
use crate::link::Link;

/// Forwarding opens the socket as the user of the connection, without `sudo`; `ssh` keeps to itself why that failed.
const MAY_OPEN: &str = r#"[ -e "$1" ] || exit 44
[ -S "$1" ] || exit 45
[ -r "$1" ] && [ -w "$1" ] || exit 46"#;

/// Connects to it.
pub(crate) async fn engine(link: &Link) -> Result<Engine, StackError> {
    let socket = link.server().docker_socket.as_deref();
    let socket = socket.unwrap_or(Path::new(DEFAULT_SOCKET));
    let word = socket.to_string_lossy();
    let said = link
        .output_as_user("sh", &["-c", MAY_OPEN, "masthead", &word])
        .await?;
    let refused = |reason: &str, cure: &'static str| StackError::NoEngine {
        socket: socket.to_owned(),
        reason: format!("{reason} on server {}", link.server().name),
        cure,
    };
    match said.code {
        44 => {
            return Err(refused(
                "there is no such socket",
                "install or start Docker there (`systemctl start docker`), or name its socket with `masthead server add --docker-socket`",
            ));
        }
        45 => {
            return Err(refused(
                "it is no socket",
                "name the right one with `masthead server add --docker-socket`",
            ));
        }
        46 => {
            return Err(refused(
                "the user of the connection may not open it",
                "connect as root, or let this user use Docker there (`sudo usermod -aG docker USER`)",
            ));
        }
        _ => {}
    }
    let here = link.socket(socket).await?;
    match Engine::connect_through(&here, socket).await {
        Err(StackError::NoEngine { .. }) if link.is_alive().await => Err(refused(
            "nothing answers behind it",
            "start Docker there (`systemctl start docker`), and see `journalctl -u docker` where it does not stay; does its sshd allow \
             AllowStreamLocalForwarding?",
        )),
        Err(_) if !link.is_alive().await => Err(StackError::Dropped {
            server: link.server().name.to_string(),
            attempt: "asking the Docker Engine who it is".to_owned(),
        }),
        connected => connected,
    }
}
