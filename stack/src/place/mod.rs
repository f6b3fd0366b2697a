//! The host that the stack lives on, but for its engine: files with owner and mode, room on disks, sockets, routes, programs.
//!
//! All access of this crate to the host goes through [`Place`], and all of it is asynchronous, so that the host may as well be
//! another machine. Paths are absolute.

mod files;
mod lock;
mod pipe;
mod programs;
mod remote;
#[cfg(test)]
mod remote_tests;
mod routes;
mod sockets;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::desired::{Access, FolderKind};
use crate::link::Link;
use crate::ports::Listening;
use crate::{ObservedEntry, StackError};

use remote::{Remote, RemoteLock};

pub(crate) use pipe::Pipe;
pub(crate) use programs::Output;

/// Where the locks are: only root can make files there, so nobody else can hold up a run.
const LOCK_DIR: &str = "/run/masthead";
/// What is mounted where, and how it propagates.
const MOUNTS: &str = "/proc/self/mountinfo";

/// Room on a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    /// For users other than root, as Prometheus is one.
    pub(crate) free: u64,
    pub(crate) total: u64,
}

/// The host.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// This machine.
    Here {
        /// Where its locks are.
        lock_dir: PathBuf,
    },
    /// Another machine.
    There(Remote),
}

/// A lock that is held until the value goes.
#[derive(Debug)]
pub(crate) enum Lock {
    Here(#[expect(dead_code, reason = "held")] lock::Lock),
    There(#[expect(dead_code, reason = "held")] RemoteLock),
}

impl Place {
    pub(crate) fn here() -> Self {
        Self::Here {
            lock_dir: PathBuf::from(LOCK_DIR),
        }
    }

    /// The server at the other end of a link.
    pub(crate) async fn over(link: &Link) -> Result<Self, StackError> {
        Remote::new(link.clone()).await.map(Self::There)
    }

    /// May files be given to other users?
    pub(crate) fn is_root(&self) -> bool {
        match self {
            Self::Here { .. } => rustix::process::geteuid().is_root(),
            Self::There(remote) => remote.link().is_root(),
        }
    }

    /// The host's own name.
    pub(crate) fn hostname(&self) -> String {
        match self {
            Self::Here { .. } => rustix::system::uname().nodename().to_string_lossy().into_owned(),
            Self::There(remote) => remote.hostname().to_owned(),
        }
    }

    /// The content of a file; `None` when there is none.
    pub(crate) async fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, StackError> {
        match self {
            Self::Here { .. } => {
                let path = path.to_owned();
                blocking(move || files::read(&path)).await
            }
            Self::There(remote) => remote.read(path).await,
        }
    }

    /// What lies at each of these paths; `None` where nothing does.
    pub(crate) async fn entries(&self, paths: &[PathBuf]) -> Result<Vec<Option<ObservedEntry>>, StackError> {
        match self {
            Self::Here { .. } => {
                let paths = paths.to_vec();
                blocking(move || paths.iter().map(|path| files::entry(path)).collect()).await
            }
            Self::There(remote) => remote.entries(paths).await,
        }
    }

    /// What lies at one.
    #[cfg(test)]
    pub(crate) async fn entry(&self, path: &Path) -> Result<Option<ObservedEntry>, StackError> {
        let mut entries = self.entries(&[path.to_owned()]).await?;
        Ok(entries.pop().flatten())
    }

    /// Names of what is in a folder; `None` when there is no such folder.
    pub(crate) async fn list(&self, folder: &Path) -> Result<Option<Vec<String>>, StackError> {
        match self {
            Self::Here { .. } => {
                let folder = folder.to_owned();
                blocking(move || files::list(&folder)).await
            }
            Self::There(remote) => remote.list(folder).await,
        }
    }

    /// Is anything there?
    pub(crate) async fn exists(&self, path: &Path) -> bool {
        match self {
            Self::Here { .. } => tokio::fs::symlink_metadata(path).await.is_ok(),
            Self::There(remote) => remote.exists(path).await,
        }
    }

    /// Makes a folder (its parents too, as root has them), or sets owner and mode of one that is there, as its kind asks.
    pub(crate) async fn make_folder(
        &self,
        path: &Path,
        access: Access,
        kind: FolderKind,
    ) -> Result<(), StackError> {
        match self {
            Self::Here { .. } => {
                let path = path.to_owned();
                blocking(move || files::make_folder(&path, access, kind)).await
            }
            Self::There(remote) => remote.make_folder(path, access, kind).await,
        }
    }

    /// Writes a file whole: whoever reads finds the old form or the new one, also after a power failure.
    pub(crate) async fn write(&self, path: &Path, content: &[u8], access: Access) -> Result<(), StackError> {
        match self {
            Self::Here { .. } => {
                let (path, content) = (path.to_owned(), content.to_vec());
                blocking(move || files::write(&path, &content, access)).await
            }
            Self::There(remote) => remote.write(path, content, access).await,
        }
    }

    /// Removes a file, or a folder with all that is in it; it may be gone already.
    pub(crate) async fn remove(&self, path: &Path) -> Result<(), StackError> {
        match self {
            Self::Here { .. } => {
                let path = path.to_owned();
                blocking(move || files::remove(&path)).await
            }
            Self::There(remote) => remote.remove(path).await,
        }
    }

    /// Removes a folder if nothing is in it, or it may be gone already.
    pub(crate) async fn remove_if_empty(&self, path: &Path) -> Result<(), StackError> {
        match self {
            Self::Here { .. } => {
                let path = path.to_owned();
                blocking(move || files::remove_if_empty(&path)).await
            }
            Self::There(remote) => remote.remove_if_empty(path).await,
        }
    }

    /// Room on the file system that a path is on, or will be on once it is made.
    pub(crate) async fn space(&self, path: &Path) -> Result<Space, StackError> {
        match self {
            Self::Here { .. } => {
                let path = path.to_owned();
                blocking(move || files::space(&path)).await
            }
            Self::There(remote) => remote.space(path).await,
        }
    }

    /// Bytes that a folder takes on the disk, as far as it can be read.
    pub(crate) async fn size(&self, folder: &Path) -> Result<u64, StackError> {
        match self {
            Self::Here { .. } => {
                let folder = folder.to_owned();
                blocking(move || Ok(files::size(&folder))).await
            }
            Self::There(remote) => remote.size(folder).await,
        }
    }

    /// TCP sockets that listen, with the programs behind them as far as they may be seen.
    pub(crate) async fn listening(&self) -> Result<Vec<Listening>, StackError> {
        match self {
            Self::Here { .. } => blocking(sockets::listening).await,
            Self::There(remote) => remote.listening().await,
        }
    }

    /// IPv4 ranges that the host has routes to, such as `10.0.0.0/8`; without the default route.
    pub(crate) async fn routed_ranges(&self) -> Result<Vec<String>, StackError> {
        match self {
            Self::Here { .. } => blocking(routes::ranges).await,
            Self::There(remote) => remote
                .table(routes::TABLE)
                .await
                .map(|table| routes::parse(&table)),
        }
    }

    /// Takes a lock of this name, or waits for it; `who` is what another run is told. It ends with the value.
    pub(crate) async fn lock(
        &self,
        name: &str,
        who: &str,
        wait: bool,
        waiting: impl Fn(&str),
    ) -> Result<Lock, StackError> {
        match self {
            Self::Here { lock_dir } => lock::take(lock_dir, name, who, wait, waiting)
                .await
                .map(Lock::Here),
            Self::There(remote) => remote.lock(name, who, wait, waiting).await.map(Lock::There),
        }
    }

    /// Runs a program of the host; `None` when there is no such program.
    pub(crate) async fn run(&self, program: &str, words: &[&str]) -> Option<Output> {
        match self {
            Self::Here { .. } => programs::run(program, words).await,
            Self::There(remote) => remote.run(program, words).await,
        }
    }

    /// Starts a program of the host, with both of its ends in our hands.
    pub(crate) async fn pipe(&self, program: &str, words: &[&str]) -> Result<Pipe, StackError> {
        match self {
            Self::Here { .. } => pipe::start(program, words),
            Self::There(remote) => pipe::start_over(remote.link(), program, words).await,
        }
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
        match self {
            Self::Here { .. } => {
                let (from, to) = (from.to_owned(), to.to_owned());
                blocking(move || files::rename(&from, &to)).await
            }
            Self::There(remote) => remote.rename(from, to).await,
        }
    }

    /// Is the mount of `/` one that other mounts can follow (shared, or a slave)?
    pub(crate) async fn root_is_shared(&self) -> bool {
        let table = match self {
            Self::Here { .. } => tokio::fs::read_to_string(MOUNTS).await.ok(),
            Self::There(remote) => remote.table(MOUNTS).await.ok(),
        };
        table.is_some_and(|table| root_is_shared(&table))
    }

    /// Where a port of the host's loopback can be reached from here.
    pub(crate) async fn reach(&self, port: u16) -> Result<SocketAddr, StackError> {
        match self {
            Self::Here { .. } => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            Self::There(remote) => remote.link().port(port).await,
        }
    }

    /// An error as what it comes from: everything fails where the connection to a server is gone.
    pub(crate) async fn explained(&self, error: StackError, attempt: &str) -> StackError {
        match self.link() {
            Some(link)
                if !matches!(error, StackError::Ssh { .. } | StackError::Dropped { .. })
                    && !link.is_alive().await =>
            {
                StackError::Dropped {
                    server: link.server().name.to_string(),
                    attempt: attempt.to_owned(),
                }
            }
            _ => error,
        }
    }

    /// Looks at something, and once more over a new connection where the one to the server broke off meanwhile.
    pub(crate) async fn look<T>(
        &self,
        attempt: &str,
        look: impl AsyncFn() -> Result<T, StackError>,
    ) -> Result<T, StackError> {
        let error = match look().await {
            Ok(seen) => return Ok(seen),
            Err(error) => self.explained(error, attempt).await,
        };
        match self.link() {
            Some(link) if matches!(error, StackError::Dropped { .. }) => {
                link.come_back().await?;
                look().await
            }
            _ => Err(error),
        }
    }

    /// The link to it, where it is another machine.
    pub(crate) fn link(&self) -> Option<&Link> {
        match self {
            Self::Here { .. } => None,
            Self::There(remote) => Some(remote.link()),
        }
    }
}

/// Writes a file of this machine's user whole, with this mode.
pub(crate) fn write_own(path: &Path, content: &[u8], mode: u32) -> Result<(), StackError> {
    let access = Access {
        mode,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
    };
    files::write(path, content, access)
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
