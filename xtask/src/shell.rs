//! Running programs: where the tree is, is a program there, run it and show or collect what it prints.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use anyhow::{Context, Result, bail};

/// The root of the working tree.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// The binary that the end-to-end steps and the benchmarks run: the release build, but for [`use_debug_binary`].
pub(crate) fn release_binary() -> PathBuf {
    let profile = if DEBUG_BINARY.load(Ordering::Relaxed) {
        "debug"
    } else {
        "release"
    };
    target_dir().join(profile).join("masthead")
}

static DEBUG_BINARY: AtomicBool = AtomicBool::new(false);

/// From now on the debug build is run, which takes seconds to make instead of minutes.
pub(crate) fn use_debug_binary() {
    DEBUG_BINARY.store(true, Ordering::Relaxed);
}

/// Does the run count as continuous integration, where a missing thing is a failure?
pub(crate) fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

/// The full path of a program, if `PATH` has it.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// A cargo command in the tree, with the cargo that runs us.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    // `cargo run` tells us about our own package; build scripts that look at such variables (ring's does) would run again.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_")
            || name.starts_with("CARGO_MANIFEST_")
            || name == "CARGO_PRIMARY_PACKAGE"
        {
            command.env_remove(&*name);
        }
    }
    command
}

/// Runs a command with our own output streams; its failure is an error that names it.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let words = words_of(command);
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start `{words}`"))?;
    if !status.success() {
        bail!("`{words}` failed: {status}");
    }
    Ok(())
}

/// Runs a command quietly and gives what it wrote to its standard output. On failure the error holds what it wrote to
/// its standard error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let words = words_of(command);
    let out = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{words}`"))?;
    if !out.status.success() {
        bail!(
            "`{words}` failed: {}\n{}",
            out.status,
            String::from_utf8_lossy(&out.stderr).trim_end()
        );
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// What a command that was run with [`stream`] left.
#[derive(Debug)]
pub(crate) struct Streamed {
    /// Both of its streams, line by line in the order of arrival.
    pub(crate) text: String,
    /// Did it end with status 0?
    pub(crate) success: bool,
}

/// Runs a command, shows its lines as they come when `show` says so, and keeps them all.
pub(crate) fn stream(command: &mut Command, show: impl Fn(&str) -> bool) -> Result<Streamed> {
    let words = words_of(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{words}`"))?;
    let (sender, receiver) = mpsc::channel();
    let mut readers = Vec::new();
    if let Some(out) = child.stdout.take() {
        readers.push(forward(out, sender.clone()));
    }
    if let Some(err) = child.stderr.take() {
        readers.push(forward(err, sender.clone()));
    }
    drop(sender);
    let mut text = String::new();
    for line in receiver {
        if show(&line) {
            println!("{line}");
        }
        text.push_str(&line);
        text.push('\n');
    }
    for reader in readers {
        // A reader ends when its stream does; it cannot fail but by a panic, which has been printed.
        let _ended = reader.join();
    }
    let status = child
        .wait()
        .with_context(|| format!("cannot wait for `{words}`"))?;
    Ok(Streamed {
        text,
        success: status.success(),
    })
}

fn forward(from: impl Read + Send + 'static, to: mpsc::Sender<String>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes).is_ok_and(|n| n > 0) {
            let line = String::from_utf8_lossy(&bytes)
                .trim_end_matches(['\n', '\r'])
                .to_string();
            bytes.clear();
            if to.send(line).is_err() {
                return;
            }
        }
    })
}

/// A command as a person would type it.
pub(crate) fn words_of(command: &Command) -> String {
    let mut words = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        words.push(' ');
        words.push_str(&arg.to_string_lossy());
    }
    words
}

/// Are we root?
pub(crate) fn is_root() -> bool {
    output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

/// Makes sure that a program is there: finds it under one of its names, or, as root on a machine with apt, installs its
/// package. The error is one line that says what is missing and how to get it.
pub(crate) fn obtain(names: &[&str], package: &str) -> Result<PathBuf> {
    let found = || names.iter().find_map(|name| which(name));
    if let Some(path) = found() {
        return Ok(path);
    }
    let how = format!(
        "{} is missing: apt-get install {package}",
        names.first().copied().unwrap_or(package)
    );
    if which("apt-get").is_none() || !is_root() {
        bail!("{how}");
    }
    // One at a time, as apt has it; another thread may have wanted the same.
    static INSTALLING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _alone = INSTALLING.lock();
    if let Some(path) = found() {
        return Ok(path);
    }
    println!("installing {package} with apt-get");
    apt_install(package).with_context(|| how.clone())?;
    found().with_context(|| how)
}

fn apt_install(package: &str) -> Result<()> {
    let install = || {
        output(
            Command::new("apt-get")
                .args(["install", "-y", "-q", "--no-install-recommends", package])
                .env("DEBIAN_FRONTEND", "noninteractive"),
        )
    };
    if install().is_ok() {
        return Ok(());
    }
    // A fresh machine or container has no package lists; fetching them first on every run would cost seconds.
    output(Command::new("apt-get").args(["update", "-q"]))?;
    install().map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streamed_command_gives_both_streams_and_its_status() {
        let out = stream(
            Command::new("sh").args(["-c", "echo one; echo two >&2; exit 3"]),
            |_| false,
        )
        .expect("sh");
        assert!(
            out.text.contains("one\n") && out.text.contains("two\n") && !out.success,
            "{out:?}"
        );
    }

    #[test]
    fn a_failed_command_is_named_with_what_it_said() {
        let error = output(Command::new("sh").args(["-c", "echo why >&2; exit 1"]))
            .expect_err("must fail")
            .to_string();
        assert!(error.contains("sh -c") && error.contains("why"), "{error}");
    }

    #[test]
    fn a_program_that_is_not_there_cannot_be_found() {
        assert!(which("no-such-program-anywhere").is_none());
        assert!(which("sh").is_some());
    }
}
