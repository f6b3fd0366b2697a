//! The data folder: where it is by default, that only one Masthead uses it, and how much it may hold.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock, statvfs};

/// Below this the default retention by size would be of no use.
const LEAST_RETENTION_BYTES: u64 = 1 << 30;

/// `/var/lib/masthead` for root, the XDG data folder otherwise.
///
/// # Errors
/// When there is neither root nor a home folder: then `--data-dir` has to say it.
pub fn default_path() -> anyhow::Result<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/masthead"));
    }
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("XDG_DATA_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".local/share")))
        .map(|base| base.join("masthead"))
        .ok_or_else(|| {
            anyhow::anyhow!(
                "neither XDG_DATA_HOME nor HOME is set; say where the data shall live with --data-dir"
            )
        })
}

/// The file in the folder that is locked; it holds the process and, once that listens, its address, a line each.
pub const LOCK_FILE: &str = "lock";

/// Held as long as the process uses the folder; the kernel lets go of it when the process dies, however it dies.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// What a Masthead that uses a folder says of itself there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its process, as it sees itself.
    pub pid: u32,
    /// Where it listens, such as `http://127.0.0.1:9090`.
    pub url: String,
}

/// Who listens for this folder; `None` when nobody has said so. They may have ended since.
#[must_use]
pub fn user(folder: &Path) -> Option<User> {
    parse_user(&fs::read_to_string(folder.join(LOCK_FILE)).ok()?)
}

/// What stands in the lock file.
#[must_use]
pub fn parse_user(text: &str) -> Option<User> {
    let (pid, url) = text.trim_end().split_once('\n')?;
    Some(User {
        pid: pid.parse().ok()?,
        url: url.to_owned(),
    })
}

impl Lock {
    /// Makes the folder and takes its lock.
    ///
    /// # Errors
    /// Says who holds it, or why the folder cannot be written, with the cure.
    pub fn take(folder: &Path) -> anyhow::Result<Self> {
        let fault = |what: &str, e: io::Error| {
            let cure = match e.kind() {
                io::ErrorKind::PermissionDenied => {
                    "run as a user that may write there, or choose another folder with --data-dir"
                }
                io::ErrorKind::StorageFull => {
                    "free some space on that disk, or choose another with --data-dir"
                }
                io::ErrorKind::ReadOnlyFilesystem => {
                    "that file system is read-only; choose another with --data-dir"
                }
                _ => "choose another folder with --data-dir",
            };
            anyhow::anyhow!("{what} the data folder {}: {e}; {cure}", folder.display())
        };
        fs::create_dir_all(folder).map_err(|e| fault("making", e))?;
        let path = folder.join(LOCK_FILE);
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|e| fault("writing to", e))?;
        if let Err(e) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if e != rustix::io::Errno::WOULDBLOCK {
                return Err(fault("locking", e.into()));
            }
            let mut holder = String::new();
            // Only for the message: an unreadable pid is left out.
            let _ = file.read_to_string(&mut holder);
            let holder = holder.lines().next().unwrap_or_default();
            anyhow::bail!(
                "the data folder {} is in use by another masthead (process {}); stop that one, or choose another \
                 folder with --data-dir",
                folder.display(),
                if holder.is_empty() { "unknown" } else { holder }
            );
        }
        // The pid is a courtesy to whom the lock keeps out; a full disk must not stop the start.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { file })
    }

    /// Says where this process listens, to those who look after it (`masthead health`).
    pub fn say_address(&mut self, url: &str) {
        if let Err(e) = writeln!(self.file, "{url}") {
            tracing::warn!(
                "writing the address into the data folder: {e}; `masthead health` will not find it"
            );
        }
    }
}

/// 5 % of the disk that holds the folder, but at least 1 GB.
///
/// # Errors
/// When the file system cannot be asked.
pub fn default_retention_bytes(folder: &Path) -> anyhow::Result<u64> {
    let disk = statvfs(folder).map_err(|e| {
        anyhow::anyhow!(
            "reading the size of the disk that holds {}: {e}",
            folder.display()
        )
    })?;
    let total = disk.f_blocks.saturating_mul(disk.f_frsize);
    Ok((total / 20).max(LEAST_RETENTION_BYTES))
}

/// Both retentions in words: `15d or 5.2GiB`.
#[must_use]
pub fn retention_text(retention_ms: i64, retention_bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let gib = retention_bytes as f64 / f64::from(1 << 30);
    let hours = retention_ms / 3_600_000;
    let time = match (hours / 24, hours % 24, retention_ms % 3_600_000) {
        (days, 0, 0) if days > 0 => format!("{days}d"),
        (_, _, 0) => format!("{hours}h"),
        _ => format!("{}s", retention_ms / 1000),
    };
    format!("{time} or {gib:.1}GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_serves_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let first = Lock::take(&path).unwrap();
        let refused = Lock::take(&path).unwrap_err().to_string();
        assert!(
            refused.contains(&format!("process {}", std::process::id())),
            "{refused}"
        );
        drop(first);
        let mut second = Lock::take(&path).unwrap();
        assert_eq!(user(&path), None);
        second.say_address("http://127.0.0.1:9090");
        assert_eq!(
            user(&path),
            Some(User {
                pid: std::process::id(),
                url: "http://127.0.0.1:9090".to_owned()
            })
        );
        let refused = Lock::take(&path).unwrap_err().to_string();
        assert!(!refused.contains("9090"), "{refused}");
    }

    #[test]
    fn a_file_in_the_way_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "x").unwrap();
        let error = Lock::take(&path).unwrap_err().to_string();
        assert!(
            error.contains("--data-dir") && error.contains(path.to_str().unwrap()),
            "{error}"
        );
    }

    #[test]
    fn retention_reads_like_a_flag() {
        assert_eq!(retention_text(15 * 86_400_000, 5 << 30), "15d or 5.0GiB");
        assert_eq!(retention_text(6 * 3_600_000, 1 << 30), "6h or 1.0GiB");
        assert_eq!(retention_text(90_000, 1 << 29), "90s or 0.5GiB");
    }
}
