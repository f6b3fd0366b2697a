//! Does the steps of a plan.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use rustix::fs::{FlockOperation, flock};

use super::observe::{own_binary, systemctl};
use super::plan::Step;
use super::{Places, UNIT, health, observe};
use crate::app::data_dir;
use crate::clock;

/// After systemd has been told that the start is over, its address answers at once; on a busy machine, soon.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Held while something is changed: two at once would undo each other.
#[derive(Debug)]
pub struct Guard {
    _file: File,
}

impl Guard {
    /// Takes it.
    ///
    /// # Errors
    /// When another one has it.
    pub fn take() -> anyhow::Result<Self> {
        let path = "/run/masthead-service.lock";
        let file = File::create(path).with_context(|| format!("making {path}"))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|e| {
            anyhow::anyhow!(
                "locking {path}: {e}; another `masthead service` is at work, try again when it has ended"
            )
        })?;
        Ok(Self { _file: file })
    }
}

/// Does one step; `unit` is the text of the unit that is written.
///
/// # Errors
/// What could not be done, and why.
pub fn step(step: Step, places: &Places, unit: &str) -> anyhow::Result<()> {
    match step {
        Step::KeepBinary => keep(&places.binary),
        Step::InstallBinary => {
            let own = own_binary()?;
            let bytes = fs::read(&own).with_context(|| format!("reading {}", own.display()))?;
            replace(&places.binary, &bytes, 0o755)
        }
        Step::KeepUnit => keep(&places.unit),
        Step::WriteUnit => replace(&places.unit, unit.as_bytes(), 0o644),
        Step::Reload => systemctl(&["daemon-reload"]).map(drop),
        Step::Enable => systemctl(&["enable", "--quiet", UNIT]).map(drop),
        Step::Disable => systemctl(&["disable", "--quiet", UNIT]).map(drop),
        Step::Start => start(&["start", UNIT]),
        Step::Restart => start(&["restart", UNIT]),
        Step::Stop => systemctl(&["stop", UNIT]).map(drop),
        Step::WaitReady => wait_ready(places),
        Step::RemoveBinary => remove(&places.binary),
        Step::RemoveUnit => remove(&places.unit),
        Step::PurgeData => purge(&places.data_dir),
    }
}

/// `path.replaced`
fn kept(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".replaced");
    PathBuf::from(name)
}

fn keep(path: &Path) -> anyhow::Result<()> {
    let to = kept(path);
    anyhow::ensure!(
        fs::symlink_metadata(&to).is_err(),
        "keeping {} aside: there is a {} already; move it away first",
        path.display(),
        to.display()
    );
    fs::rename(path, &to).with_context(|| format!("renaming {} to {}", path.display(), to.display()))
}

/// Puts a file in place so that nobody ever sees half of it, also a program that runs.
fn replace(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let mut name = OsString::from(path);
    name.push(".new");
    let new = PathBuf::from(name);
    let written = || -> io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        // What a run that was broken off has left may be anything, a link too.
        match fs::remove_file(&new) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut file = File::options().write(true).create_new(true).open(&new)?;
        file.write_all(bytes)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    written().map_err(|e| {
        // The error says what matters; half a file beside it would only take room.
        let _ = fs::remove_file(&new);
        anyhow::anyhow!("writing {}: {e}{}", path.display(), cure(e.kind()))
    })
}

fn cure(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::PermissionDenied => "; run this as root",
        io::ErrorKind::ReadOnlyFilesystem => "; that file system is read-only",
        io::ErrorKind::StorageFull => "; free some space on that disk",
        _ => "",
    }
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(anyhow::anyhow!(
            "removing {}: {e}{}",
            path.display(),
            cure(e.kind())
        )),
        _ => Ok(()),
    }
}

/// Returns when Masthead has told systemd that it is ready, or has failed.
fn start(words: &[&str]) -> anyhow::Result<()> {
    systemctl(words).map(drop).map_err(|e| {
        let said = journal();
        anyhow::anyhow!("{e}\n{said}\nWhen the cause is mended, run this again")
    })
}

/// The last lines that the service has logged.
fn journal() -> String {
    let output = Command::new("journalctl")
        .args(["--unit", UNIT, "--lines=8", "--no-pager", "--output=cat"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    match output {
        Ok(output) if !output.stdout.is_empty() => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.lines()
                .map(|line| format!("    {line}"))
                .collect::<Vec<_>>()
                .join("\n")
        }
        _ => format!("    (`journalctl -u {UNIT}` has nothing to say)"),
    }
}

fn wait_ready(places: &Places) -> anyhow::Result<()> {
    let began = clock::instant();
    loop {
        let systemd = observe::systemd(&places.binary)?;
        anyhow::ensure!(
            systemd.active == "active",
            "the service ended right after its start ({}, {}):\n{}",
            systemd.active,
            systemd.result,
            journal()
        );
        let answer = health::ready(&places.data_dir);
        match answer {
            Ok(user) if user.pid == systemd.pid => return Ok(()),
            Ok(user) if began.elapsed() > ANSWER_LIMIT => anyhow::bail!(
                "process {} answers at {}, but the service is process {}",
                user.pid,
                user.url,
                systemd.pid
            ),
            Err(e) if began.elapsed() > ANSWER_LIMIT => return Err(e),
            Ok(_) | Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// Removes what is in the data folder, and the folder, once nobody uses it.
fn purge(folder: &Path) -> anyhow::Result<()> {
    let looks_ours = ["lock", "wal"].iter().any(|name| folder.join(name).exists());
    let is_empty = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    anyhow::ensure!(
        looks_ours || is_empty,
        "removing the data in {}: this does not look like a data folder of Masthead; remove it by hand if it shall go",
        folder.display()
    );
    let lock = data_dir::Lock::take(folder)?;
    let removing =
        |path: &Path, e: io::Error| anyhow::anyhow!("removing {}: {e}{}", path.display(), cure(e.kind()));
    for entry in fs::read_dir(folder).map_err(|e| removing(folder, e))? {
        let entry = entry.map_err(|e| removing(folder, e))?;
        let path = entry.path();
        let is_dir = entry.file_type().map_err(|e| removing(&path, e))?.is_dir();
        let removed = if is_dir {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.map_err(|e| removing(&path, e))?;
    }
    drop(lock);
    // It stays where it is a link or a mount: then it is not only ours.
    let _ = fs::remove_dir(folder);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_with_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bin/masthead");
        for text in ["one", "two"] {
            replace(&path, text.as_bytes(), 0o755).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::read_dir(folder.path().join("bin")).unwrap().count(), 1);
    }

    #[test]
    fn what_is_kept_aside_is_never_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("masthead.service");
        fs::write(&path, "theirs").unwrap();
        keep(&path).unwrap();
        assert_eq!(fs::read_to_string(kept(&path)).unwrap(), "theirs");
        fs::write(&path, "theirs too").unwrap();
        let error = keep(&path).unwrap_err().to_string();
        assert!(error.contains("move it away"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs too");
    }

    #[test]
    fn data_is_removed_when_it_is_ours_and_nobody_uses_it() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("masthead");
        fs::create_dir_all(data.join("photos")).unwrap();
        assert!(
            purge(&data)
                .unwrap_err()
                .to_string()
                .contains("does not look like")
        );
        let lock = data_dir::Lock::take(&data).unwrap();
        assert!(purge(&data).unwrap_err().to_string().contains("in use"));
        assert!(data.join("photos").is_dir());
        drop(lock);
        purge(&data).unwrap();
        assert!(!data.exists());
    }
}
