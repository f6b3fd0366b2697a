//! `cargo xtask peers`: the real Prometheus, node_exporter, VictoriaMetrics and others, for tests and benchmarks.
//!
//! They come from the Debian archive's `forky` suite (`debian.rs`) and lie under `target/peers`: nothing is installed on the system.
//!
//! ```text
//! target/peers/lists, cache, ...    apt's, private
//! target/peers/root                 the packages, unpacked
//! target/peers/bin/NAME             links under upstream's names; all there = nothing to do
//! target/peers/versions             `package version`, a line each
//! ```

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::debian::{self, Suite};
use crate::shell;

/// The suite whose packages are current enough and still run on older releases.
const SUITE: &str = "forky";

/// A package of the archive and the programs wanted from it: (name in the package, upstream's name).
struct Package {
    name: &'static str,
    programs: &'static [(&'static str, &'static str)],
}

/// The peers.
const PACKAGES: &[Package] = &[
    Package {
        name: "prometheus",
        programs: &[("prometheus", "prometheus")],
    },
    Package {
        name: "promtool",
        programs: &[("promtool", "promtool")],
    },
    Package {
        name: "prometheus-node-exporter",
        programs: &[("prometheus-node-exporter", "node_exporter")],
    },
    Package {
        name: "victoria-metrics",
        programs: &[
            ("victoria-metrics", "victoria-metrics"),
            ("vmagent", "vmagent"),
            ("vmalert", "vmalert"),
        ],
    },
    Package {
        name: "prometheus-alertmanager",
        programs: &[("prometheus-alertmanager", "alertmanager"), ("amtool", "amtool")],
    },
    Package {
        name: "prometheus-pushgateway",
        programs: &[("prometheus-pushgateway", "pushgateway")],
    },
    // No peer, but had the same way: compose projects of the tests are made by the real compose.
    Package {
        name: "docker-compose",
        programs: &[("docker-compose", "docker-compose")],
    },
];

/// The chore: fetches what is missing and prints what there is.
pub(crate) fn run(_args: &[String]) -> Result<()> {
    ensure()?;
    print!(
        "{}",
        fs::read_to_string(dir().join("versions")).unwrap_or_default()
    );
    for (_, name) in programs() {
        println!("{}", link(name).display());
    }
    Ok(())
}

/// The path of a peer, fetched when it is not there yet. The error is a line that says what is missing.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    ensure().with_context(|| format!("the peer `{name}` is missing (`cargo xtask peers` fetches it)"))?;
    Ok(link(name))
}

/// A file of a peer's package, by its path without the leading slash; there once [`program`] was.
pub(crate) fn unpacked(path: &Path) -> PathBuf {
    dir().join("root").join(path)
}

/// What apt calls the version of a peer's package, for reports.
pub(crate) fn version(package: &str) -> String {
    let versions = fs::read_to_string(dir().join("versions")).unwrap_or_default();
    let line = versions
        .lines()
        .find_map(|line| line.strip_prefix(package)?.strip_prefix(' '));
    line.unwrap_or("?").to_string()
}

fn dir() -> PathBuf {
    shell::target_dir().join("peers")
}

fn link(name: &str) -> PathBuf {
    dir().join("bin").join(name)
}

fn programs() -> impl Iterator<Item = (&'static str, &'static str)> {
    PACKAGES
        .iter()
        .flat_map(|package| package.programs.iter().copied())
}

fn ensure() -> Result<()> {
    static FETCHING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _alone = FETCHING.lock();
    // `is_file` follows the link, so a half-made or emptied tree counts as missing.
    if programs().all(|(_, name)| link(name).is_file()) && dir().join("versions").is_file() {
        return Ok(());
    }
    println!("fetching the peers into {}", dir().display());
    unpack().context("cannot fetch the peers from the Debian archive")?;
    let missing = programs().find(|(_, name)| !link(name).is_file());
    if let Some((_, name)) = missing {
        bail!("the archive's packages hold no `{name}`");
    }
    check_libraries()
}

/// Downloads and unpacks every package, and links its programs.
fn unpack() -> Result<()> {
    let dir = dir();
    for sub in ["bin", "root"] {
        fs::create_dir_all(dir.join(sub))
            .with_context(|| format!("cannot make {sub} in {}", dir.display()))?;
    }
    let names: Vec<&str> = PACKAGES.iter().map(|package| package.name).collect();
    let debs = Suite::open(SUITE, &dir)?.download(&names)?;
    let mut versions = String::new();
    for (package, deb) in PACKAGES.iter().zip(debs) {
        debian::unpack(&deb, &dir.join("root"))?;
        let version = shell::output(Command::new("dpkg-deb").arg("-f").arg(&deb).arg("Version"))?;
        versions.push_str(&format!("{} {}\n", package.name, version.trim()));
        for (inside, name) in package.programs {
            let link = link(name);
            if link.symlink_metadata().is_ok() {
                fs::remove_file(&link).with_context(|| format!("cannot remove {}", link.display()))?;
            }
            symlink(dir.join("root/usr/bin").join(inside), &link)
                .with_context(|| format!("cannot link {}", link.display()))?;
        }
    }
    fs::write(dir.join("versions"), versions).context("cannot write the list of versions")
}

/// A program from a newer suite might want a newer library than the machine has: said here, not by a crash later.
fn check_libraries() -> Result<()> {
    for (_, name) in programs() {
        // ldd fails on a static program, which wants nothing.
        let listed = shell::output(Command::new("ldd").arg(link(name))).unwrap_or_default();
        if let Some(line) = listed.lines().find(|line| line.contains("not found")) {
            bail!(
                "`{name}` cannot run here, it wants a library that the machine lacks: {}",
                line.trim()
            );
        }
    }
    Ok(())
}
