//! The context of `docker build`: a Dockerfile and the tree that it copies, with everything that the program needs to run.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{VERSION, copy, write};
use crate::shell;

/// Looked up by the C library at run time to find hosts by name; newer ones have them built in.
const BY_NAME: &[&str] = &["libnss_files.so.2", "libnss_dns.so.2"];
/// Whose licences go with the libraries.
const LICENSED: &[&str] = &["libc6", "libgcc-s1"];

/// Where the shared libraries of a system are.
#[derive(Debug)]
pub(crate) struct Libraries {
    root: PathBuf,
}

impl Libraries {
    /// Those of a system below a folder; `/` is this machine.
    pub(crate) fn below(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
        }
    }

    fn folders(&self) -> Vec<PathBuf> {
        let multiarch = format!("{}-linux-gnu", std::env::consts::ARCH);
        [
            format!("lib/{multiarch}"),
            format!("usr/lib/{multiarch}"),
            "lib64".to_string(),
            "usr/lib64".to_string(),
            "lib".to_string(),
            "usr/lib".to_string(),
        ]
        .iter()
        .map(|folder| self.root.join(folder))
        .collect()
    }

    fn find(&self, name: &str) -> Option<PathBuf> {
        self.folders()
            .iter()
            .map(|folder| folder.join(name))
            .find(|path| path.is_file())
    }

    /// What a program wants, and what that wants.
    fn needed(&self, program: &Path) -> Result<BTreeSet<PathBuf>> {
        let mut found = BTreeSet::new();
        let mut open = vec![program.to_path_buf()];
        open.extend(BY_NAME.iter().filter_map(|name| self.find(name)));
        while let Some(file) = open.pop() {
            let listed = shell::output(Command::new("objdump").arg("-p").arg(&file))
                .context("objdump is missing: apt-get install binutils")?;
            for name in needed_by(&listed) {
                let Some(path) = self.find(name) else {
                    bail!(
                        "{} wants {name}, which is not below {}",
                        file.display(),
                        self.root.display()
                    );
                };
                if found.insert(path.clone()) {
                    open.push(path);
                }
            }
            if file != program {
                found.insert(file);
            }
        }
        Ok(found)
    }
}

/// The libraries that `objdump -p` names.
fn needed_by(listed: &str) -> impl Iterator<Item = &str> {
    listed
        .lines()
        .filter_map(|line| line.trim().strip_prefix("NEEDED").map(str::trim))
}

/// The loader that a program names, as `readelf --program-headers` prints it.
fn loader(listed: &str) -> Option<&str> {
    let (_, after) = listed.split_once("program interpreter: ")?;
    after.split(']').next()
}

/// Fills the context.
pub(super) fn fill(binary: &Path, libraries: &Libraries, context: &Path) -> Result<()> {
    let packaging = shell::root().join("packaging");
    let dockerfile = fs::read_to_string(packaging.join("Dockerfile"))?
        .replace("@VERSION@", VERSION)
        .replace("@ARCH@", std::env::consts::ARCH);
    write(&context.join("Dockerfile"), &dockerfile)?;
    let root = context.join("rootfs");
    copy(binary, &root.join("usr/local/bin/masthead"), 0o755)?;
    for library in libraries.needed(binary)? {
        let inside = library.strip_prefix(&libraries.root)?;
        copy(&library, &root.join(inside), 0o755)?;
    }
    let headers = shell::output(
        Command::new("readelf")
            .args(["--program-headers", "--wide"])
            .arg(binary),
    )?;
    let loader = loader(&headers)
        .context("the program names no loader")?
        .trim_start_matches('/');
    copy(&libraries.root.join(loader), &root.join(loader), 0o755)?;
    for package in LICENSED {
        let file = format!("usr/share/doc/{package}/copyright");
        if libraries.root.join(&file).is_file() {
            copy(&libraries.root.join(&file), &root.join(&file), 0o644)?;
        }
    }
    copy(
        &shell::root().join("LICENSE"),
        &root.join("usr/share/doc/masthead/LICENSE"),
        0o644,
    )?;
    copy(
        &packaging.join("masthead.yml"),
        &root.join("etc/masthead/masthead.yml"),
        0o644,
    )?;
    write(&root.join("etc/nsswitch.conf"), "hosts: files dns\n")?;
    fs::create_dir_all(root.join("var/lib/masthead"))?;
    // Places to mount on: a read-only root has no room for new ones.
    for place in ["host", "var/run", "tmp"] {
        fs::create_dir_all(root.join(place))?;
    }
    // Podman's socket is looked for under the newer name of the same folder.
    symlink("var/run", root.join("run")).context("cannot link run")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_tools_print_is_read() {
        let listed = "Dynamic Section:\n  NEEDED               libgcc_s.so.1\n  NEEDED               libc.so.6\n  INIT   0x1\n";
        assert_eq!(
            needed_by(listed).collect::<Vec<_>>(),
            ["libgcc_s.so.1", "libc.so.6"]
        );
        let headers = "      [Requesting program interpreter: /lib64/ld-linux-x86-64.so.2]\n";
        assert_eq!(loader(headers), Some("/lib64/ld-linux-x86-64.so.2"));
    }
}
