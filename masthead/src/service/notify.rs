//! Tells systemd that the start is over (`sd_notify(3)`), so that `systemctl start` returns when there is something to look at.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Sends `READY=1` to whoever started us with `NOTIFY_SOCKET` set; does nothing where nobody waits for it.
pub fn ready() {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()) else {
        return;
    };
    if let Err(e) = send(&socket, b"READY=1") {
        tracing::warn!(
            "telling systemd on {} that the start is over: {e}",
            socket.display()
        );
    }
}

fn send(socket: &OsStr, message: &[u8]) -> std::io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(message, &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(receiver: &UnixDatagram, socket: &OsStr) {
        send(socket, b"READY=1").unwrap();
        let mut buffer = [0; 16];
        let length = receiver.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"READY=1");
    }

    #[test]
    fn a_socket_with_a_path_or_an_abstract_name_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        check(&UnixDatagram::bind(&path).unwrap(), path.as_os_str());
        let name = format!("masthead-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        check(
            &UnixDatagram::bind_addr(&address).unwrap(),
            OsStr::new(&format!("@{name}")),
        );
    }
}
