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

/// Held as long as the process uses the folder; the kernel lets go of it when the process dies, however it dies.
#[derive(Debug)]
pub struct Lock {
    _file: File,
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
        let path = folder.join("lock");
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
            let holder = holder.trim();
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
        Ok(Self { _file: file })
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
        Lock::take(&path).unwrap();
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
