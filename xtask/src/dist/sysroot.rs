//! The C library, headers and start files of Debian 11, unpacked below `target/dist/sysroot`, and a build against them.
//!
//! A compiler takes what it finds on its machine, and what it finds decides where the program starts. With these five packages in
//! front of the machine's own, any newer machine builds for the older one, with the compiler and the linker that the tests ran with.
//! Considered: zig as a linker (cargo-zigbuild: a hundred megabytes more, and another linker and start code than the tests had), a
//! build inside a Debian 11 (wants root and a second Rust), musl (its allocator is slow under threads).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::image::Libraries;
use crate::debian::{self, Suite};
use crate::shell;

/// The oldest suite that is supported.
const SUITE: &str = "bullseye";
/// What a linker and a compiler of C want; `gcc-10-base` has the licence of `libgcc-s1`.
const PACKAGES: &[&str] = &[
    "libc6",
    "libc6-dev",
    "libgcc-s1",
    "libgcc-10-dev",
    "gcc-10-base",
    "linux-libc-dev",
];
/// The version of the compiler whose start files these are.
const GCC: &str = "10";

/// An unpacked one.
#[derive(Debug)]
pub(super) struct Sysroot {
    root: PathBuf,
}

impl Sysroot {
    /// Fetches and unpacks it where it is not there yet.
    pub(super) fn ensure() -> Result<Self> {
        let folder = super::folder().join("sysroot");
        let sysroot = Self {
            root: folder.join("root"),
        };
        let stamp = folder.join("packages");
        let wanted = PACKAGES.join("\n");
        if fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
            return Ok(sysroot);
        }
        println!(
            "fetching the C library of Debian {SUITE} into {}",
            folder.display()
        );
        if sysroot.root.exists() {
            fs::remove_dir_all(&sysroot.root)?;
        }
        fs::create_dir_all(&sysroot.root)?;
        for deb in Suite::open(SUITE, &folder)?.download(PACKAGES)? {
            debian::unpack(&deb, &sysroot.root)?;
        }
        relink(&sysroot.root, &sysroot.root)?;
        fs::write(&stamp, wanted)?;
        Ok(sysroot)
    }

    /// Builds the release of the program against it.
    pub(super) fn build(&self) -> Result<PathBuf> {
        let triple = triple()?;
        let target = super::folder().join("build");
        let mut command = shell::cargo();
        command
            .args(["build", "--release", "--locked", "-p", "masthead"])
            .args(["--config", "profile.release.strip=\"symbols\""])
            // With a target named, build scripts and macros are built for this machine as ever.
            .args(["--target", &triple, "--target-dir"])
            .arg(&target)
            .env("CARGO_ENCODED_RUSTFLAGS", self.rust_flags().join("\x1f"))
            .env(
                format!("CFLAGS_{}", triple.replace('-', "_")),
                format!("--sysroot={}", self.root.display()),
            );
        shell::run(&mut command).context("building C wants a compiler: apt-get install gcc")?;
        Ok(target.join(triple).join("release").join("masthead"))
    }

    fn rust_flags(&self) -> Vec<String> {
        let root = self.root.display();
        let arch = std::env::consts::ARCH;
        let gcc = format!("{root}/usr/lib/gcc/{arch}-linux-gnu/{GCC}");
        let mut flags = vec![
            format!("-Clink-arg=--sysroot={root}"),
            // Start files, then libgcc: before those of the compiler that links.
            format!("-Clink-arg=-B{gcc}"),
        ];
        for folder in [
            gcc,
            format!("{root}/lib/{arch}-linux-gnu"),
            format!("{root}/usr/lib/{arch}-linux-gnu"),
        ] {
            flags.push(format!("-Clink-arg=-L{folder}"));
        }
        // Where the sources lay is nobody's business, and would make the bytes another machine's.
        flags.push(format!(
            "--remap-path-prefix={}=masthead",
            shell::root().display()
        ));
        let cargo_home = std::env::var("CARGO_HOME").ok();
        let home = std::env::var("HOME").ok().map(|home| format!("{home}/.cargo"));
        if let Some(cargo) = cargo_home.or(home) {
            flags.push(format!("--remap-path-prefix={cargo}=cargo"));
        }
        flags
    }

    /// The libraries that the image gets.
    pub(super) fn libraries(&self) -> Libraries {
        Libraries::below(&self.root)
    }
}

/// What this machine's own target is called.
fn triple() -> Result<String> {
    match std::env::consts::ARCH {
        arch @ ("x86_64" | "aarch64") => Ok(format!("{arch}-unknown-linux-gnu")),
        other => bail!("releases are made on x86_64 and aarch64, not on {other}"),
    }
}

/// Makes links that begin at the root begin where they are, so that they stay below the folder.
fn relink(root: &Path, folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)?.flatten() {
        let path = entry.path();
        let kind = entry.file_type()?;
        if kind.is_dir() {
            relink(root, &path)?;
        } else if kind.is_symlink() {
            let to = fs::read_link(&path)?;
            if let Ok(inside) = to.strip_prefix("/") {
                let depth = folder.strip_prefix(root)?.components().count();
                fs::remove_file(&path)?;
                symlink(Path::new(&"../".repeat(depth)).join(inside), &path)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::TempDir;

    #[test]
    fn links_from_the_root_stay_below_the_folder() {
        let folder = TempDir::new("relink").expect("a folder");
        let deep = folder.path().join("usr/lib/x");
        fs::create_dir_all(&deep).expect("made");
        fs::create_dir_all(folder.path().join("lib")).expect("made");
        fs::write(folder.path().join("lib/libm.so.6"), "here").expect("written");
        symlink("/lib/libm.so.6", deep.join("libm.so")).expect("linked");
        relink(folder.path(), folder.path()).expect("relinked");
        assert_eq!(fs::read_to_string(deep.join("libm.so")).expect("read"), "here");
    }
}
