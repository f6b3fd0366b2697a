//! `cargo xtask dist`: what is released, in `target/dist`.
//!
//! ```text
//!  masthead-V-linux-ARCH.tar.gz          program, unit, completions, manual pages, documents
//!  masthead-V-linux-ARCH-image.tar.gz    context of `docker build`: Dockerfile, rootfs with the program and its C library
//!  SHA256SUMS
//! ```
//!
//! The program is linked against the C library of the oldest Debian that is supported ([`sysroot`]), so that it runs there and on
//! everything newer; that no newer symbol came in is checked on the result. The same sources at the same commit give the same bytes.

mod glibc;
mod image;
mod sysroot;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::server::TempDir;
use crate::{shell, ui};

pub(crate) use image::Libraries;

/// The version of everything here.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What was packed.
#[derive(Debug)]
pub(crate) struct Release {
    /// The program with what belongs to it.
    pub(crate) tarball: PathBuf,
    /// The context of `docker build`.
    pub(crate) image: PathBuf,
    /// The checksums of both.
    pub(crate) sums: PathBuf,
}

/// The chore.
pub(crate) fn run(args: &[String]) -> Result<()> {
    if !args.is_empty() {
        bail!("usage: cargo xtask dist");
    }
    let (_, release) = build()?;
    for path in [&release.tarball, &release.image, &release.sums] {
        let size = fs::metadata(path)?.len();
        println!("{:>10}  {}", size, path.display());
    }
    Ok(())
}

/// Builds what is released; gives the program and what was packed.
pub(crate) fn build() -> Result<(PathBuf, Release)> {
    ui::build_if_stale().context("a release has the web page inside")?;
    let sysroot = sysroot::Sysroot::ensure()?;
    let binary = sysroot.build()?;
    println!("{}", wants(&binary)?);
    let release = pack(&binary, &sysroot.libraries(), &folder())?;
    Ok((binary, release))
}

/// Which C library a program wants; an error when Debian 11 has an older one.
pub(crate) fn wants(binary: &Path) -> Result<String> {
    glibc::check(binary)
}

fn folder() -> PathBuf {
    shell::target_dir().join("dist")
}

/// Packs a program with the libraries it runs on, into a folder.
pub(crate) fn pack(binary: &Path, libraries: &Libraries, out: &Path) -> Result<Release> {
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let name = format!("masthead-{VERSION}-linux-{}", std::env::consts::ARCH);
    let stage = TempDir::new("dist")?;
    let top = stage.path().join(&name);
    fill(binary, &top)?;
    let tarball = out.join(format!("{name}.tar.gz"));
    tar(stage.path(), &[&name], &tarball)?;
    let context = TempDir::new("dist-image")?;
    image::fill(binary, libraries, context.path())?;
    let image = out.join(format!("{name}-image.tar.gz"));
    tar(context.path(), &["Dockerfile", "rootfs"], &image)?;
    let sums = out.join("SHA256SUMS");
    let text = shell::output(
        Command::new("sha256sum")
            .args([&tarball, &image].map(|path| path.file_name().unwrap_or_default()))
            .current_dir(out),
    )?;
    fs::write(&sums, text).with_context(|| format!("cannot write {}", sums.display()))?;
    Ok(Release { tarball, image, sums })
}

/// The shells that there are completions for, and the names under which they look for them.
pub(crate) const COMPLETIONS: &[(&str, &str)] = &[
    ("bash", "masthead.bash"),
    ("zsh", "_masthead"),
    ("fish", "masthead.fish"),
];

/// The tree of the tarball.
fn fill(binary: &Path, top: &Path) -> Result<()> {
    let root = shell::root();
    copy(binary, &top.join("masthead"), 0o755)?;
    for (from, to) in [
        ("LICENSE", "LICENSE"),
        ("README.md", "README.md"),
        ("docs/install.md", "install.md"),
    ] {
        copy(&root.join(from), &top.join(to), 0o644)?;
    }
    let masthead = |words: &[&str]| shell::output(plain(binary).args(words));
    write(&top.join("masthead.service"), &masthead(&["service", "unit"])?)?;
    for (shell, file) in COMPLETIONS {
        write(
            &top.join("completions").join(file),
            &masthead(&["completion", shell])?,
        )?;
    }
    let man = top.join("man");
    shell::output(plain(binary).arg("man").arg(&man))?;
    Ok(())
}

/// The program without what a developer has set for their own.
pub(crate) fn plain(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MASTHEAD_") {
            command.env_remove(name);
        }
    }
    command
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))?;
    Ok(())
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode))?;
    Ok(())
}

/// Packs parts of a folder so that neither the time, nor who packs, nor the order of the disk is in the bytes.
fn tar(folder: &Path, parts: &[&str], to: &Path) -> Result<()> {
    let commit = Command::new("git")
        .args(["log", "-1", "--format=%ct"])
        .current_dir(shell::root())
        .output();
    let seconds = match commit {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_string(),
        // The sources came without their history.
        _ => "0".to_string(),
    };
    shell::output(
        Command::new("tar")
            .args([
                "--sort=name",
                "--owner=0",
                "--group=0",
                "--numeric-owner",
                "--mode=go-w",
            ])
            .arg(format!("--mtime=@{seconds}"))
            .args([
                "--use-compress-program",
                "gzip -9 --no-name",
                "--create",
                "--file",
            ])
            .arg(to)
            .arg("--directory")
            .arg(folder)
            .args(parts),
    )
    .map(|_| ())
}
