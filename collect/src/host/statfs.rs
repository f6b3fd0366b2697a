//! Sizes of mounted file systems, with a guard against those that never answer.
//!
//! `statfs` on a mount whose server is gone (NFS, CIFS, a FUSE program that hangs) can block for minutes or for ever,
//! and no signal ends it. Such types are therefore asked on a thread of their own, with a limit:
//!
//! ```text
//!   answers in time             -> the sizes
//!   not in time                 -> stuck: the mount is reported as such, its thread stays, nobody asks again
//!   the thread answers later    -> the mount is asked afresh in the next round
//! ```
//!
//! So a stuck mount costs one waiting thread, and one round its limit, once. Local types are asked directly: a thread
//! a mount would cost more than the call.

use std::collections::HashMap;
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use rustix::io::Errno;

/// A file system's numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sizes {
    pub(crate) size: f64,
    pub(crate) free: f64,
    pub(crate) avail: f64,
    pub(crate) files: f64,
    pub(crate) files_free: f64,
}

/// Why there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StatfsError {
    /// The system said no.
    Errno(Errno),
    /// It said nothing in time.
    Stuck,
    /// There was no thread to be had.
    Thread,
}

/// What is asked: [`system`], or in tests something that blocks.
pub(crate) type Ask = fn(&str) -> Result<Sizes, Errno>;

/// Asks the system.
#[expect(
    clippy::cast_precision_loss,
    reason = "samples are floats: upstream rounds the same way"
)]
pub(crate) fn system(path: &str) -> Result<Sizes, Errno> {
    let found = rustix::fs::statfs(path)?;
    // The type of the block size differs between architectures.
    let block = found.f_bsize as f64;
    Ok(Sizes {
        size: found.f_blocks as f64 * block,
        free: found.f_bfree as f64 * block,
        avail: found.f_bavail as f64 * block,
        files: found.f_files as f64,
        files_free: found.f_ffree as f64,
    })
}

/// Can this type hang on a server or on a program? Every FUSE type can.
pub(crate) fn may_hang(fs_type: &str) -> bool {
    const TYPES: [&str; 15] = [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "ceph",
        "glusterfs",
        "lustre",
        "afs",
        "davfs",
        "ocfs2",
        "gfs2",
        "beegfs",
        "virtiofs",
    ];
    fs_type.starts_with("fuse") || TYPES.contains(&fs_type)
}

/// Asks mounts that may hang, all of a round side by side.
#[derive(Debug)]
pub(crate) struct Guard {
    ask: Ask,
    limit: Duration,
    /// Threads that have not answered, by path.
    waiting: HashMap<String, Receiver<Result<Sizes, Errno>>>,
}

impl Guard {
    pub(crate) fn new(ask: Ask, limit: Duration) -> Self {
        Self {
            ask,
            limit,
            waiting: HashMap::new(),
        }
    }

    /// Answers for these paths, in their order. Takes at the most one limit altogether, as all are asked before the
    /// first is waited for, and whoever is late when the limit is over has had all of it.
    pub(crate) fn ask(&mut self, paths: &[String]) -> Vec<Result<Sizes, StatfsError>> {
        // A path that is no longer mounted is not waited for; its thread ends when the system lets it.
        self.waiting.retain(|path, _| paths.contains(path));
        let started: Vec<_> = paths.iter().map(|path| self.start(path)).collect();
        let mut limit = self.limit;
        let mut answers = Vec::with_capacity(paths.len());
        for (path, started) in paths.iter().zip(started) {
            answers.push(started.and_then(|receiver| match receiver.recv_timeout(limit) {
                Ok(answer) => answer.map_err(StatfsError::Errno),
                Err(RecvTimeoutError::Timeout) => {
                    limit = Duration::ZERO;
                    self.waiting.insert(path.clone(), receiver);
                    Err(StatfsError::Stuck)
                }
                Err(RecvTimeoutError::Disconnected) => Err(StatfsError::Thread),
            }));
        }
        answers
    }

    fn start(&mut self, path: &str) -> Result<Receiver<Result<Sizes, Errno>>, StatfsError> {
        if let Some(receiver) = self.waiting.get(path) {
            match receiver.try_recv() {
                Err(TryRecvError::Empty) => return Err(StatfsError::Stuck),
                Ok(_) | Err(TryRecvError::Disconnected) => {
                    self.waiting.remove(path);
                }
            }
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        let (ask, path) = (self.ask, path.to_owned());
        // The default stack would be 2 MiB of address space for a thread that makes one call.
        let builder = std::thread::Builder::new()
            .name("statfs".to_owned())
            .stack_size(128 << 10);
        builder
            .spawn(move || {
                // Nobody listens any more when the mount is gone; then the answer is not needed.
                let _ = sender.send(ask(&path));
            })
            .map_err(|_| StatfsError::Thread)?;
        Ok(receiver)
    }
}

/// The error as upstream's label `device_error` words it, which is as Go does.
pub(crate) fn device_error(error: StatfsError) -> String {
    match error {
        StatfsError::Stuck => "mountpoint timeout".to_owned(),
        StatfsError::Thread => "no thread to ask the mountpoint".to_owned(),
        StatfsError::Errno(Errno::STALE) => "stale NFS file handle".to_owned(),
        StatfsError::Errno(errno) => {
            let text = io::Error::from(errno).to_string();
            let sentence = text.split(" (os error").next().unwrap_or_default();
            let mut chars = sentence.chars();
            chars
                .next()
                .map(|first| first.to_lowercase().chain(chars).collect())
                .unwrap_or_default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    const SIZES: Sizes = Sizes {
        size: 4.0,
        free: 3.0,
        avail: 2.0,
        files: 1.0,
        files_free: 0.0,
    };
    static HANGS: AtomicBool = AtomicBool::new(true);

    fn hanging(path: &str) -> Result<Sizes, Errno> {
        while path == "/stuck" && HANGS.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        if path == "/gone" {
            Err(Errno::STALE)
        } else {
            Ok(SIZES)
        }
    }

    #[test]
    fn a_stuck_mount_holds_up_nobody_and_comes_back() {
        let mut guard = Guard::new(hanging, Duration::from_secs(1));
        let paths = ["/stuck", "/well", "/gone"].map(str::to_owned);
        let stuck = [
            Err(StatfsError::Stuck),
            Ok(SIZES),
            Err(StatfsError::Errno(Errno::STALE)),
        ];
        let first = guard.ask(&paths);
        assert_eq!(first[0], stuck[0]);
        // The other two have had the whole limit by then and are only picked up.
        assert_eq!(first[1..], stuck[1..]);
        assert_eq!(guard.ask(&paths), stuck);
        assert_eq!(guard.waiting.len(), 1, "one thread waits, not one a round");
        HANGS.store(false, Ordering::SeqCst);
        let mut last = guard.ask(&paths);
        for _ in 0..100 {
            if last[0] == Ok(SIZES) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
            last = guard.ask(&paths);
        }
        assert_eq!(last[0], Ok(SIZES));
        guard.ask(&[]);
        assert!(guard.waiting.is_empty());
    }

    #[test]
    fn errors_are_worded_as_upstream_words_them() {
        for (error, want) in [
            (StatfsError::Stuck, "mountpoint timeout"),
            (StatfsError::Errno(Errno::ACCESS), "permission denied"),
            (StatfsError::Errno(Errno::NOENT), "no such file or directory"),
            (
                StatfsError::Errno(Errno::NOTCONN),
                "transport endpoint is not connected",
            ),
            (StatfsError::Errno(Errno::STALE), "stale NFS file handle"),
        ] {
            assert_eq!(device_error(error), want);
        }
    }

    #[test]
    fn network_types_are_known() {
        for (fs_type, want) in [
            ("nfs4", true),
            ("fuse.sshfs", true),
            ("fuseblk", true),
            ("cifs", true),
            ("ext4", false),
            ("tmpfs", false),
        ] {
            assert_eq!(may_hang(fs_type), want, "{fs_type}");
        }
    }

    #[test]
    fn the_root_has_a_size() {
        let sizes = system("/").unwrap();
        assert!(sizes.size > 0.0 && sizes.free <= sizes.size, "{sizes:?}");
        assert_eq!(system("/no/such/mount"), Err(Errno::NOENT));
    }
}
