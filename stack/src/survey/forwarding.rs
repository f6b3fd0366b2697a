//! Does the server's sshd forward ports? Its own port is asked, which says at once who it is.
//!
//! `ssh` keeps to itself why a forwarded port cannot be reached: a port that is forbidden and one where nothing listens look alike. The
//! table of the server's listeners tells them apart.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::link::Link;
use crate::{Finding, StackError};

/// It speaks first, and at once.
const LIMIT: Duration = Duration::from_secs(10);
/// No version is longer (RFC 4253, 4.2).
const MAX_VERSION_BYTES: u64 = 255;

/// `ends` are those of the connection, as `SSH_CONNECTION` has them; `listens` says whether its sshd listens on the loopback.
pub(super) async fn look(link: &Link, ends: &str, listens: bool) -> Result<Finding, StackError> {
    let Some(port) = port_of(ends) else {
        return Ok(not_tried("the server does not say where its sshd listens"));
    };
    let here = link.port(port).await?;
    let version = timeout(LIMIT, version(here)).await.ok().flatten();
    Ok(judge(version.as_deref(), port, listens))
}

fn judge(version: Option<&str>, port: u16, listens: bool) -> Finding {
    match (version, listens) {
        (Some(version), _) => Finding::ok(
            "forwarding",
            format!("ports of its loopback are forwarded; {version}"),
        ),
        (None, true) => Finding::problem(
            "forwarding",
            format!(
                "port {port} of its loopback is not forwarded: its sshd forbids it, and queries take that way"
            ),
            "AllowTcpForwarding yes (or local) in its sshd_config; where PermitOpen is set, it has to name 127.0.0.1:9090",
        ),
        (None, false) => not_tried("its sshd does not listen on its loopback"),
    }
}

fn not_tried(why: &str) -> Finding {
    Finding::ok("forwarding", format!("not tried: {why}"))
}

/// The last of `CLIENT PORT SERVER PORT`.
fn port_of(ends: &str) -> Option<u16> {
    match ends.split(' ').collect::<Vec<_>>().as_slice() {
        [_, _, _, port] => port.parse().ok().filter(|port| *port > 0),
        _ => None,
    }
}

/// What an SSH server calls itself.
async fn version(address: SocketAddr) -> Option<String> {
    let stream = TcpStream::connect(address).await.ok()?;
    let mut line = Vec::new();
    let mut stream = BufReader::new(stream.take(MAX_VERSION_BYTES));
    stream.read_until(b'\n', &mut line).await.ok()?;
    let line = String::from_utf8_lossy(&line);
    let line = line.trim();
    let is_version = line.starts_with("SSH-") && !line.contains(char::is_control);
    is_version.then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;

    #[test]
    fn the_port_is_the_last_of_four_words() {
        assert_eq!(port_of("10.0.0.1 50000 10.0.0.2 2222"), Some(2222));
        assert_eq!(port_of("fe80::1%eth0 50000 fe80::2 22"), Some(22));
        for odd in ["", "unknown", "a b c", "a b c d", "a b c 0", "a b c 22 e"] {
            assert_eq!(port_of(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_port_that_is_forbidden_is_told_from_one_where_nothing_listens() {
        assert_eq!(judge(Some("SSH-2.0-x"), 22, false).level, Level::Ok);
        let forbidden = judge(None, 22, true);
        assert_eq!(forbidden.level, Level::Problem);
        assert!(forbidden.cure.contains("AllowTcpForwarding"), "{forbidden:?}");
        let unknown = judge(None, 22, false);
        assert_eq!(
            (unknown.level, unknown.text.contains("not tried")),
            (Level::Ok, true)
        );
    }
}
