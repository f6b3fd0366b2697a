//! Where `up` would keep its data and listen.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Access, access, statvfs};

use crate::app::data_dir::default_retention_bytes;
use crate::doctor::{Finding, Place};

/// A server that does not answer within this is not ours.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// The folder itself, or the nearest one above it that is there.
fn existing(folder: &Path) -> &Path {
    folder
        .ancestors()
        .find(|above| above.exists())
        .unwrap_or(Path::new("/"))
}

pub(super) fn data_folder(place: &Place) -> Finding {
    let folder = &place.data_dir;
    let there = existing(folder);
    let shown = folder.display();
    if !there.is_dir() {
        return Finding::fail(
            format!("{} is a file, not a folder", there.display()),
            "choose another folder with --data-dir",
        );
    }
    match access(there, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) if there == folder.as_path() => Finding::ok(format!("{shown} can be written")),
        Ok(()) => Finding::ok(format!("{shown} is not there yet and can be made")),
        Err(e) => Finding::fail(
            format!("{} cannot be written: {e}", there.display()),
            "run as a user that may, or choose another folder with --data-dir",
        ),
    }
}

/// Bytes of the files in a folder and below.
fn used_bytes(folder: &Path) -> u64 {
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => used_bytes(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

pub(super) fn disk_space(place: &Place) -> Finding {
    let folder = existing(&place.data_dir);
    let (disk, wanted) = match (
        statvfs(folder),
        place
            .retention_bytes
            .map_or_else(|| default_retention_bytes(folder), Ok),
    ) {
        (Ok(disk), Ok(wanted)) => (disk, wanted),
        (Err(e), _) => {
            return Finding::unknown(
                format!("asking for the space of {}: {e}", folder.display()),
                "choose another --data-dir",
            );
        }
        (_, Err(e)) => return Finding::unknown(e.to_string(), "choose another --data-dir"),
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    space(free, used_bytes(&place.data_dir), wanted)
}

/// Is there room for what may be kept?
pub(super) fn space(free: u64, used: u64, wanted: u64) -> Finding {
    const CURE: &str = "free some space, keep less (--retention-size, --retention-time), or choose another disk with --data-dir";
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let gb = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let found = format!(
        "{:.1} GB free, {:.1} GB used, {:.1} GB may be kept",
        gb(free),
        gb(used),
        gb(wanted)
    );
    if free < wanted.saturating_sub(used) / 10 || free < 100 << 20 {
        Finding::fail(format!("{found}: the disk will be full first"), CURE)
    } else if free < wanted.saturating_sub(used) {
        Finding::warn(
            format!("{found}: the disk may be full before the oldest is dropped"),
            CURE,
        )
    } else {
        Finding::ok(found)
    }
}

pub(super) fn port(place: &Place) -> Finding {
    let address = place.listen;
    match TcpListener::bind(address) {
        Ok(_) => Finding::ok(format!("{address} is free")),
        Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => {
            if is_masthead(place) {
                Finding::ok(format!("Masthead listens on {address}"))
            } else {
                Finding::fail(
                    format!("another program listens on {address}"),
                    "stop it (`ss -ltnp` names it), or choose another port with --listen",
                )
            }
        }
        Err(e) => Finding::fail(
            format!("{address} cannot be listened on: {e}"),
            "choose another address with --listen",
        ),
    }
}

/// Its own word for being well, or the name in its demand for a password.
fn is_masthead(place: &Place) -> bool {
    let asked = TcpStream::connect_timeout(&place.listen, ANSWER_TIMEOUT).and_then(|mut stream| {
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.write_all(b"GET /-/healthy HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.take(4096).read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).to_lowercase())
    });
    asked.is_ok_and(|answer| answer.contains("masthead"))
}
