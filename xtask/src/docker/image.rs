//! The images of the tests, made here since none can be pulled: `burn` (see `bin/burn.rs`) with its libraries, and busybox.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::Docker;
use crate::server::TempDir;
use crate::shell;

/// The image that containers of the tests run.
pub(crate) const IMAGE: &str = "masthead-test/burn:1";
/// The same under another tag, for a deploy of a new version.
pub(crate) const IMAGE_NEXT: &str = "masthead-test/burn:2";

/// Commands of busybox that cases use in containers.
const BUSYBOX: &[&str] = &["sh", "sleep", "true", "false", "cat", "touch", "nc"];

/// Makes the images in an engine.
pub(super) fn load(docker: &Docker) -> Result<()> {
    let folder = TempDir::new("image")?;
    fill(folder.path())?;
    import(docker, folder.path(), &["ENV PATH=/bin"], IMAGE)?;
    docker.cli(&["tag", IMAGE, IMAGE_NEXT])?;
    Ok(())
}

/// Makes an image of a tree, with instructions of a Dockerfile.
pub(super) fn import(docker: &Docker, root: &Path, changes: &[&str], name: &str) -> Result<()> {
    let mut tar = Command::new("tar")
        .arg("-C")
        .arg(root)
        .args(["-c", "."])
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start tar")?;
    let out = tar.stdout.take().context("tar has no output")?;
    let mut import = docker.command("docker");
    import.arg("import");
    for change in changes {
        import.args(["--change", change]);
    }
    import.args(["-", name]).stdin(out);
    let outcome = import.output().context("cannot start docker");
    // Else it holds the other end of tar's output, and where docker did not read it all tar would wait for ever.
    drop(import);
    tar.wait()?;
    let import = outcome?;
    if !import.status.success() {
        bail!(
            "docker import: {}",
            String::from_utf8_lossy(&import.stderr).trim()
        );
    }
    Ok(())
}

/// The tree of the image.
fn fill(root: &Path) -> Result<()> {
    fs::create_dir_all(root.join("tmp"))?;
    add_program(root, &build("burn")?, "bin/burn")?;
    add_busybox(root, BUSYBOX)
}

/// Puts a program into a tree, with the libraries that it wants.
pub(super) fn add_program(root: &Path, program: &Path, place: &str) -> Result<()> {
    copy(program, &root.join(place))?;
    for library in libraries(program)? {
        copy(
            &library,
            &root.join(library.strip_prefix("/").unwrap_or(&library)),
        )?;
    }
    Ok(())
}

/// Puts busybox into a tree, with these commands.
pub(super) fn add_busybox(root: &Path, names: &[&str]) -> Result<()> {
    let busybox = shell::which("busybox").context("busybox is missing: apt-get install busybox-static")?;
    add_program(root, &busybox, "bin/busybox")?;
    for name in names.iter().filter(|name| **name != "busybox") {
        symlink("busybox", root.join("bin").join(name))?;
    }
    Ok(())
}

/// Builds a program of `src/bin` and gives its path.
pub(super) fn build(name: &str) -> Result<PathBuf> {
    let mut build = shell::cargo();
    shell::run(build.args(["build", "--quiet", "--locked", "-p", "xtask", "--bin", name]))?;
    Ok(shell::target_dir().join("debug").join(name))
}

/// The shared libraries that a program wants, and its loader; none for a static one.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    // ldd fails on a static program.
    let listed = shell::output(Command::new("ldd").arg(program)).unwrap_or_default();
    let paths: Vec<PathBuf> = listed
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect();
    if listed.contains("not found") {
        bail!("{} lacks libraries: {listed}", program.display());
    }
    Ok(paths)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}
