//! The lock that two runs on the same engine meet at: a file with the holder's name that the kernel unlocks when its process ends.
//!
//! The file stays where it is, so that nobody locks one that another is about to remove.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::FlockOperation;

use crate::StackError;

/// Between two looks at a lock that is waited for.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest name of a holder.
const MAX_HOLDER_BYTES: u64 = 1024;

/// A lock that is held until the value goes.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

pub(super) async fn take(
    folder: &Path,
    name: &str,
    who: &str,
    wait: bool,
    waiting: impl Fn(&str),
) -> Result<Lock, StackError> {
    let path = folder.join(format!("{name}.lock"));
    let failed = |error: io::Error| StackError::file("taking the lock", &path, error);
    fs::create_dir_all(folder).map_err(failed)?;
    let mut said = false;
    loop {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .open(&path)
            .map_err(failed)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                file.set_len(0).map_err(failed)?;
                file.rewind().map_err(failed)?;
                file.write_all(who.as_bytes()).map_err(failed)?;
                return Ok(Lock { _file: file });
            }
            Err(error) if error == rustix::io::Errno::WOULDBLOCK => {}
            Err(error) => return Err(failed(error.into())),
        }
        let holder = holder(&mut file);
        if !wait {
            return Err(StackError::Locked { holder });
        }
        if !said {
            waiting(&holder);
            said = true;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(MAX_HOLDER_BYTES).read_to_string(&mut text);
    match (read, text.trim()) {
        // Between locking the file and writing into it.
        (Err(_), _) | (_, "") => "a run that has just begun".to_owned(),
        (Ok(_), text) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    async fn attempt(folder: &Path, who: &str) -> Result<Lock, StackError> {
        take(folder, "stack", who, false, |_| {}).await
    }

    #[tokio::test]
    async fn the_second_is_told_who_holds_it() {
        let folder = tempfile::tempdir().expect("folder");
        let folder = folder.path().join("run");
        let first = attempt(&folder, "masthead setup (process 1)")
            .await
            .expect("free");
        let error = attempt(&folder, "masthead remove (process 2)")
            .await
            .expect_err("held");
        assert_eq!(error.kind(), crate::ErrorKind::Locked);
        assert!(
            error.to_string().contains("masthead setup (process 1)"),
            "{error}"
        );
        drop(first);
        attempt(&folder, "masthead remove (process 2)")
            .await
            .expect("free again");
    }

    #[tokio::test]
    async fn one_that_waits_gets_it_when_the_first_is_done() {
        let folder = tempfile::tempdir().expect("folder");
        let first = attempt(folder.path(), "one").await.expect("free");
        let said = AtomicUsize::new(0);
        let second = take(folder.path(), "stack", "two", true, |holder| {
            assert_eq!(holder, "one");
            said.fetch_add(1, Ordering::Relaxed);
        });
        let release = async {
            tokio::time::sleep(PAUSE * 3).await;
            drop(first);
        };
        let (second, ()) = tokio::join!(second, release);
        second.expect("free in the end");
        assert_eq!(said.into_inner(), 1);
    }

    #[tokio::test]
    async fn another_process_holds_it_and_its_death_frees_it() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("stack.lock");
        fs::write(&path, "masthead setup (process 77)").expect("write");
        let mut other = Command::new("flock")
            .args(["--exclusive", "--no-fork"])
            .arg(&path)
            .args(["sh", "-c", "echo locked; exec sleep 60"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("flock of util-linux");
        let mut said = [0_u8; 6];
        other
            .stdout
            .as_mut()
            .expect("output")
            .read_exact(&mut said)
            .expect("it says that it has it");
        let error = attempt(folder.path(), "me").await.expect_err("held");
        assert!(error.to_string().contains("process 77"), "{error}");
        other.kill().expect("kill");
        other.wait().expect("wait");
        attempt(folder.path(), "me").await.expect("the kernel freed it");
    }
}
