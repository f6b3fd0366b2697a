//! The host that the stack lives on, but for its engine: files with owner and mode, room on disks, sockets, routes, programs.
//!
//! All access of this crate to the host goes through [`Place`], and all of it is asynchronous, so that the host may as well be
//! another machine. Paths are absolute.

mod files;
mod lock;
mod pipe;
mod programs;
mod routes;
mod sockets;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::desired::{Access, FolderKind};
use crate::ports::Listening;
use crate::{ObservedEntry, StackError};

pub(crate) use lock::Lock;
pub(crate) use pipe::Pipe;
pub(crate) use programs::Output;

/// Where the locks are: only root can make files there, so nobody else can hold up a run.
const LOCK_DIR: &str = "/run/masthead";

/// Room on a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    /// For users other than root, as Prometheus is one.
    pub(crate) free: u64,
    pub(crate) total: u64,
}

/// This machine.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    lock_dir: PathBuf,
}

impl Place {
    pub(crate) fn here() -> Self {
        Self {
            lock_dir: PathBuf::from(LOCK_DIR),
        }
    }

    /// May files be given to other users?
    pub(crate) fn is_root(&self) -> bool {
        rustix::process::geteuid().is_root()
    }

    /// The host's own name.
    pub(crate) fn hostname(&self) -> String {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }

    /// The content of a file; `None` when there is none.
    pub(crate) async fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, StackError> {
        let path = path.to_owned();
        blocking(move || files::read(&path)).await
    }

    /// What lies at a path; `None` when nothing does.
    pub(crate) async fn entry(&self, path: &Path) -> Result<Option<ObservedEntry>, StackError> {
        let path = path.to_owned();
        blocking(move || files::entry(&path)).await
    }

    /// Names of what is in a folder; `None` when there is no such folder.
    pub(crate) async fn list(&self, folder: &Path) -> Result<Option<Vec<String>>, StackError> {
        let folder = folder.to_owned();
        blocking(move || files::list(&folder)).await
    }

    /// Is anything there?
    pub(crate) async fn exists(&self, path: &Path) -> bool {
        tokio::fs::symlink_metadata(path).await.is_ok()
    }

    /// Makes a folder (its parents too, as root has them), or sets owner and mode of one that is there, as its kind asks.
    pub(crate) async fn make_folder(
        &self,
        path: &Path,
        access: Access,
        kind: FolderKind,
    ) -> Result<(), StackError> {
        let path = path.to_owned();
        blocking(move || files::make_folder(&path, access, kind)).await
    }

    /// Writes a file whole: whoever reads finds the old form or the new one, also after a power failure.
    pub(crate) async fn write(&self, path: &Path, content: &[u8], access: Access) -> Result<(), StackError> {
        let (path, content) = (path.to_owned(), content.to_vec());
        blocking(move || files::write(&path, &content, access)).await
    }

    /// Removes a file, or a folder with all that is in it; it may be gone already.
    pub(crate) async fn remove(&self, path: &Path) -> Result<(), StackError> {
        let path = path.to_owned();
        blocking(move || files::remove(&path)).await
    }

    /// Removes a folder if nothing is in it, or it may be gone already.
    pub(crate) async fn remove_if_empty(&self, path: &Path) -> Result<(), StackError> {
        let path = path.to_owned();
        blocking(move || files::remove_if_empty(&path)).await
    }

    /// Room on the file system that a path is on, or will be on once it is made.
    pub(crate) async fn space(&self, path: &Path) -> Result<Space, StackError> {
        let path = path.to_owned();
        blocking(move || files::space(&path)).await
    }

    /// Bytes that a folder takes on the disk, as far as it can be read.
    pub(crate) async fn size(&self, folder: &Path) -> Result<u64, StackError> {
        let folder = folder.to_owned();
        blocking(move || Ok(files::size(&folder))).await
    }

    /// TCP sockets that listen, with the programs behind them as far as they may be seen.
    pub(crate) async fn listening(&self) -> Result<Vec<Listening>, StackError> {
        blocking(sockets::listening).await
    }

    /// IPv4 ranges that the host has routes to, such as `10.0.0.0/8`; without the default route.
    pub(crate) async fn routed_ranges(&self) -> Result<Vec<String>, StackError> {
        blocking(routes::ranges).await
    }

    /// Takes a lock of this name, or waits for it; `who` is what another run is told. It ends with the value.
    pub(crate) async fn lock(
        &self,
        name: &str,
        who: &str,
        wait: bool,
        waiting: impl Fn(&str),
    ) -> Result<Lock, StackError> {
        lock::take(&self.lock_dir, name, who, wait, waiting).await
    }

    /// Runs a program of the host; `None` when there is no such program.
    pub(crate) async fn run(&self, program: &str, words: &[&str]) -> Option<Output> {
        programs::run(program, words).await
    }

    /// Starts a program of the host, with both of its ends in our hands.
    pub(crate) async fn pipe(&self, program: &str, words: &[&str]) -> Result<Pipe, StackError> {
        pipe::start(program, words)
    }

    /// Runs a program of the host to its end, however long that takes; an error unless it ends with one of these codes.
    pub(crate) async fn finish(
        &self,
        program: &str,
        words: &[&str],
        codes: &[i32],
    ) -> Result<i32, StackError> {
        self.pipe(program, words).await?.finish(codes).await
    }

    /// Gives a file or folder another name on the same file system.
    pub(crate) async fn rename(&self, from: &Path, to: &Path) -> Result<(), StackError> {
        let (from, to) = (from.to_owned(), to.to_owned());
        blocking(move || files::rename(&from, &to)).await
    }

    /// Is the mount of `/` one that other mounts can follow (shared, or a slave)?
    pub(crate) async fn root_is_shared(&self) -> bool {
        let table = tokio::fs::read_to_string("/proc/self/mountinfo").await;
        table.is_ok_and(|table| root_is_shared(&table))
    }

    /// Where a port of the host's loopback can be reached from here.
    pub(crate) fn reach(&self, port: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }
}

/// Runs file work where it may block. It runs to its end even when nobody waits for it any more, so that no file is left half done.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StackError> + Send + 'static,
) -> Result<T, StackError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(StackError::Invalid(format!("the program is ending: {error}"))),
    }
}

/// Reads a table such as `/proc/self/mountinfo`: the fields after the sixth, up to a dash, say how a mount propagates.
fn root_is_shared(table: &str) -> bool {
    table
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        // A later mount lies over an earlier one.
        .rfind(|fields| fields.get(4) == Some(&"/"))
        .is_some_and(|fields| {
            fields
                .iter()
                .skip(6)
                .take_while(|field| **field != "-")
                .any(|field| field.starts_with("shared:") || field.starts_with("master:"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_the_root_propagates() {
        for (table, want) in [
            (
                "28 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n29 28 0:5 / /proc rw - proc proc rw",
                true,
            ),
            ("28 1 254:1 / / rw,relatime master:7 - ext4 /dev/vda1 rw", true),
            (
                "28 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw\n30 28 0:6 / /sys rw shared:2 - sysfs sysfs rw",
                false,
            ),
            (
                "1 1 0:1 / / rw shared:3 - rootfs rootfs rw\n28 1 254:1 / / rw - ext4 /dev/vda1 rw",
                false,
            ),
            ("", false),
        ] {
            assert_eq!(root_is_shared(table), want, "{table}");
        }
    }
}
