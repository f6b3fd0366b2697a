//! What is there: the files, and what systemd says of the unit.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::unit::{self, Found};
use super::{Places, UNIT};

/// Does systemd run this machine?
#[must_use]
pub fn has_systemd(places: &Places) -> bool {
    places.booted.is_dir()
}

/// The program that is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binary {
    /// None.
    Absent,
    /// The one that runs now, byte for byte.
    Same,
    /// Another Masthead, with what it says of its version.
    Other(String),
    /// Something of the same name.
    Foreign,
}

/// What systemd says of the unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Systemd {
    /// The file that it has read the unit from; empty when it knows none.
    pub fragment: String,
    /// Files that add to it.
    pub drop_ins: Vec<String>,
    /// It starts at boot.
    pub enabled: bool,
    /// `active`, `activating`, `inactive`, `failed`, ...
    pub active: String,
    /// `running`, `auto-restart`, ...
    pub sub: String,
    /// Why it ended last: `success`, `exit-code`, `signal`, ...
    pub result: String,
    /// Starts after failures.
    pub restarts: u32,
    /// The main process; 0 when there is none.
    pub pid: u32,
    /// When it became what it is, as systemd writes it.
    pub since: String,
    /// The file is newer than what systemd knows.
    pub needs_reload: bool,
    /// The main process runs a file that is no longer there.
    pub runs_old_binary: bool,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The unit file.
    pub unit: Found,
    /// The program.
    pub binary: Binary,
    /// systemd's word.
    pub systemd: Systemd,
}

/// Looks at everything.
///
/// # Errors
/// When a file or systemd cannot be asked.
pub fn observe(places: &Places) -> anyhow::Result<Observed> {
    Ok(Observed {
        unit: unit::found(&places.unit)?,
        binary: binary(&places.binary)?,
        systemd: systemd(&places.binary)?,
    })
}

/// The file that runs now.
///
/// # Errors
/// When it has been replaced since it was started.
pub fn own_binary() -> anyhow::Result<PathBuf> {
    let path =
        std::env::current_exe().map_err(|e| anyhow::anyhow!("finding the file of this program: {e}"))?;
    anyhow::ensure!(
        path.is_file(),
        "the file of this program, {}, is no longer there; start it anew",
        path.display()
    );
    Ok(path)
}

fn binary(path: &Path) -> anyhow::Result<Binary> {
    let reading = |e| anyhow::anyhow!("reading {}: {e}", path.display());
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Binary::Absent),
        Err(e) => return Err(reading(e)),
        Ok(meta) if meta.is_dir() => return Ok(Binary::Foreign),
        Ok(_) => {}
    }
    let own = own_binary()?;
    let is_own_file = fs::metadata(&own)
        .ok()
        .zip(fs::metadata(path).ok())
        .is_some_and(|(a, b)| (a.dev(), a.ino()) == (b.dev(), b.ino()));
    let own_bytes = fs::read(&own).map_err(|e| anyhow::anyhow!("reading {}: {e}", own.display()))?;
    if is_own_file || fs::read(path).map_err(reading)? == own_bytes {
        return Ok(Binary::Same);
    }
    let version = ask(path, &["--version"]).unwrap_or_default();
    Ok(match version.strip_prefix("masthead ") {
        Some(version) => Binary::Other(version.trim().to_owned()),
        None => Binary::Foreign,
    })
}

/// What a program prints, if it ends well.
fn ask(program: &Path, words: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs `systemctl` with these words and gives what it prints.
///
/// # Errors
/// What it said, with the words it was given.
pub fn systemctl(words: &[&str]) -> anyhow::Result<String> {
    let shown = words.join(" ");
    let output = Command::new("systemctl")
        .args(words)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| anyhow::anyhow!("starting `systemctl {shown}`: {e}"))?;
    anyhow::ensure!(
        output.status.success(),
        "`systemctl {shown}` failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

const PROPERTIES: &str = "--property=FragmentPath,DropInPaths,UnitFileState,ActiveState,SubState,Result,NRestarts,MainPID,\
                          StateChangeTimestamp,NeedDaemonReload";

/// What systemd says of the unit now.
///
/// # Errors
/// When systemd cannot be asked.
pub fn systemd(binary: &Path) -> anyhow::Result<Systemd> {
    let mut systemd = properties(&systemctl(&["show", UNIT, PROPERTIES])?);
    systemd.runs_old_binary = systemd.pid != 0 && runs_other(systemd.pid, binary);
    Ok(systemd)
}

/// Does the process run another file than this one? What cannot be told is no.
fn runs_other(pid: u32, binary: &Path) -> bool {
    let of = |path: &Path| fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    match (of(Path::new(&format!("/proc/{pid}/exe"))), of(binary)) {
        (Some(running), Some(installed)) => running != installed,
        _ => false,
    }
}

fn properties(text: &str) -> Systemd {
    let mut systemd = Systemd::default();
    for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
        let value = value.trim();
        match key {
            "FragmentPath" => value.clone_into(&mut systemd.fragment),
            "DropInPaths" => systemd.drop_ins = value.split_whitespace().map(str::to_owned).collect(),
            "UnitFileState" => systemd.enabled = value == "enabled",
            "ActiveState" => value.clone_into(&mut systemd.active),
            "SubState" => value.clone_into(&mut systemd.sub),
            "Result" => value.clone_into(&mut systemd.result),
            "NRestarts" => systemd.restarts = value.parse().unwrap_or(0),
            "MainPID" => systemd.pid = value.parse().unwrap_or(0),
            "StateChangeTimestamp" => value.clone_into(&mut systemd.since),
            "NeedDaemonReload" => systemd.needs_reload = value == "yes",
            _ => {}
        }
    }
    systemd
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn systemds_answer_is_read() {
        let text = "FragmentPath=/etc/systemd/system/masthead.service\nDropInPaths=/a.conf /b.conf\nUnitFileState=enabled\n\
                    ActiveState=activating\nSubState=auto-restart\nResult=exit-code\nNRestarts=3\nMainPID=0\n\
                    StateChangeTimestamp=Mon 2026-01-05 10:00:00 UTC\nNeedDaemonReload=yes\nJunk\n";
        let got = properties(text);
        assert_eq!(got.drop_ins, ["/a.conf", "/b.conf"]);
        assert_eq!((got.restarts, got.pid), (3, 0));
        assert!(got.enabled && got.needs_reload && !got.runs_old_binary);
        assert_eq!(
            (got.active.as_str(), got.sub.as_str(), got.result.as_str()),
            ("activating", "auto-restart", "exit-code")
        );
        assert_eq!(properties(""), Systemd::default());
    }

    #[test]
    fn programs_of_the_same_name_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("masthead");
        assert_eq!(binary(&path).unwrap(), Binary::Absent);
        let script = |text: &str| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            binary(&path).unwrap()
        };
        assert_eq!(
            script("#!/bin/sh\necho masthead 0.0.9\n"),
            Binary::Other("0.0.9".to_owned())
        );
        assert_eq!(script("#!/bin/sh\necho sails\n"), Binary::Foreign);
        fs::remove_file(&path).unwrap();
        fs::copy(own_binary().unwrap(), &path).unwrap();
        assert_eq!(binary(&path).unwrap(), Binary::Same);
    }

    #[test]
    fn a_process_that_runs_another_file_is_noticed() {
        let own = own_binary().unwrap();
        assert!(!runs_other(std::process::id(), &own));
        assert!(runs_other(std::process::id(), Path::new("/bin/sh")));
        assert!(!runs_other(u32::MAX, &own));
    }
}
