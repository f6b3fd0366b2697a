//! Building `ui/`, the web interface: `npm ci` when the lock file changed, the Vite build when a source is newer than
//! its result. `up` and `test` share it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use crate::shell;

/// The oldest Node that Vite runs on.
const NODE_MAJOR: u32 = 20;

/// The folder of the web interface.
pub(crate) fn dir() -> PathBuf {
    shell::root().join("ui")
}

/// Is Node there, and new enough? The error is one line that says how to get it.
pub(crate) fn require_node() -> Result<()> {
    let how = format!(
        "install Node {NODE_MAJOR} or newer with npm (https://nodejs.org, or `apt-get install nodejs npm`)"
    );
    let version = match shell::which("node") {
        Some(node) => shell::output(Command::new(node).arg("--version"))?,
        None => bail!("Node is missing: {how}"),
    };
    if major(&version).is_none_or(|major| major < NODE_MAJOR) {
        bail!("Node {} is too old: {how}", version.trim());
    }
    if shell::which("npm").is_none() {
        bail!("npm is missing: {how}");
    }
    Ok(())
}

/// The first number of `v20.11.1`.
fn major(version: &str) -> Option<u32> {
    version
        .trim()
        .trim_start_matches('v')
        .split('.')
        .next()?
        .parse()
        .ok()
}

/// `npm ci`, unless what is installed came from this very lock file.
pub(crate) fn install(ui: &Path) -> Result<()> {
    let lock = ui.join("package-lock.json");
    let wanted = fs::read(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    // A copy of the lock file beside what was installed from it: exact where times of files would guess.
    let stamp = ui.join("node_modules").join(".installed-from-lock.json");
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    shell::run(
        Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund"])
            .current_dir(ui),
    )?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))
}

/// Builds the web interface if a source is newer than the last build.
pub(crate) fn build_if_stale() -> Result<()> {
    let ui = dir();
    if !ui.join("package.json").is_file() {
        bail!("ui/package.json is missing: the tree is not whole, `git status` tells");
    }
    let built = fs::metadata(ui.join("dist").join("index.html"))
        .and_then(|meta| meta.modified())
        .ok();
    if built.is_some_and(|built| newest_source(&ui).is_some_and(|source| source <= built)) {
        return Ok(());
    }
    require_node()?;
    println!("building the web interface");
    install(&ui)?;
    shell::run(Command::new("npm").args(["run", "build"]).current_dir(&ui))
}

/// The time of the newest file of the web interface's sources.
fn newest_source(dir: &Path) -> Option<SystemTime> {
    let mut newest = None;
    for entry in fs::read_dir(dir).ok()?.flatten() {
        let name = entry.file_name();
        if name == "node_modules" || name == "dist" || name == "tests" {
            continue;
        }
        let path = entry.path();
        let time = if path.is_dir() {
            newest_source(&path)
        } else {
            entry.metadata().and_then(|m| m.modified()).ok()
        };
        newest = newest.max(time);
    }
    newest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_nodes_answer() {
        for (text, want) in [
            ("v20.11.1\n", Some(20)),
            ("v8.0.0", Some(8)),
            ("", None),
            ("what", None),
        ] {
            assert_eq!(major(text), want, "{text:?}");
        }
    }
}
