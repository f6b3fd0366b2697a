//! `cargo xtask peers`: the real Prometheus, node_exporter, VictoriaMetrics and others, for tests and benchmarks.
//!
//! They come from the Debian archive's `forky` suite through the machine's own mirror setting, with apt, but with a
//! sources list, lists and cache of their own under `target/peers`: nothing is installed on the system.
//!
//! ```text
//! target/peers/forky.sources        the machine's mirror with the suite changed
//! target/peers/lists, cache         apt's, private
//! target/peers/root                 the packages, unpacked
//! target/peers/bin/NAME             links under upstream's names; all there = nothing to do
//! target/peers/versions             `package version`, a line each
//! ```

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

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
    // `is_file` follows the link, so a half-made or emptied tree counts as missing.
    if programs().all(|(_, name)| link(name).is_file()) && dir().join("versions").is_file() {
        return Ok(());
    }
    for tool in ["apt-get", "dpkg-deb"] {
        if shell::which(tool).is_none() {
            bail!(
                "`{tool}` is missing: the peers come from the Debian archive, so use a Debian machine or put the programs into {} by hand",
                dir().join("bin").display()
            );
        }
    }
    println!("fetching the peers into {}", dir().display());
    fetch().context("cannot fetch the peers from the Debian archive")?;
    unpack()?;
    let missing = programs().find(|(_, name)| !link(name).is_file());
    if let Some((_, name)) = missing {
        bail!("the archive's packages hold no `{name}`");
    }
    check_libraries()
}

/// Downloads the packages with lists and cache of our own.
fn fetch() -> Result<()> {
    let dir = dir();
    for sub in ["lists/partial", "cache/archives/partial", "bin", "root"] {
        fs::create_dir_all(dir.join(sub))
            .with_context(|| format!("cannot make {sub} in {}", dir.display()))?;
    }
    let sources = dir.join("forky.sources");
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let text = sources_for_suite(&apt_settings(), &codename(&release), SUITE)
        .context("the machine's apt settings name no Debian archive: add one to /etc/apt/sources.list.d")?;
    fs::write(&sources, text).with_context(|| format!("cannot write {}", sources.display()))?;
    shell::output(apt(&sources).arg("update"))?;
    let names = PACKAGES.iter().map(|package| package.name);
    shell::output(
        apt(&sources)
            .arg("download")
            .args(names)
            .current_dir(dir.join("cache/archives")),
    )?;
    Ok(())
}

fn apt(sources: &Path) -> Command {
    let dir = dir();
    let mut command = Command::new("apt-get");
    let options = [
        format!("Dir::Etc::sourcelist={}", sources.display()),
        "Dir::Etc::sourceparts=/dev/null".to_string(),
        format!("Dir::State::lists={}", dir.join("lists").display()),
        format!("Dir::Cache={}", dir.join("cache").display()),
        // The folders are the caller's own: apt's sandbox user could not write there.
        "APT::Sandbox::User=root".to_string(),
        "Acquire::Languages=none".to_string(),
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_string(),
        // The system's lists are not ours to tidy away.
        "APT::Get::List-Cleanup=false".to_string(),
    ];
    command.args(["-q"]);
    for option in options {
        command.arg("-o").arg(option);
    }
    command
}

/// Unpacks every package and links its programs.
fn unpack() -> Result<()> {
    let dir = dir();
    let archives = dir.join("cache/archives");
    let mut versions = String::new();
    for package in PACKAGES {
        let deb = newest_deb(&archives, package.name)
            .with_context(|| format!("apt downloaded no package `{}`", package.name))?;
        shell::output(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(dir.join("root")))?;
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

fn newest_deb(archives: &Path, package: &str) -> Option<PathBuf> {
    let prefix = format!("{package}_");
    let mut debs: Vec<PathBuf> = fs::read_dir(archives)
        .ok()?
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "deb"))
        .collect();
    debs.sort_by_key(|path| fs::metadata(path).and_then(|meta| meta.modified()).ok());
    debs.pop()
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

/// The texts of the machine's apt source files, each with its format.
fn apt_settings() -> Vec<(Format, String)> {
    let mut settings = Vec::new();
    if let Ok(text) = fs::read_to_string("/etc/apt/sources.list") {
        settings.push((Format::Lines, text));
    }
    let mut paths: Vec<PathBuf> = fs::read_dir("/etc/apt/sources.list.d")
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    paths.sort();
    for path in paths {
        let format = match path.extension().and_then(|ext| ext.to_str()) {
            Some("list") => Format::Lines,
            Some("sources") => Format::Stanzas,
            _ => continue,
        };
        if let Ok(text) = fs::read_to_string(&path) {
            settings.push((format, text));
        }
    }
    settings
}

/// The two formats of apt's source files.
#[derive(Debug, Clone, Copy)]
enum Format {
    /// `deb [options] uri suite components`, a line each (`*.list`).
    Lines,
    /// Paragraphs of `Key: value` (`*.sources`).
    Stanzas,
}

fn codename(os_release: &str) -> String {
    let line = os_release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    line.unwrap_or_default().trim_matches('"').to_string()
}

/// One archive of the machine: where it is, which suites, and who signs it.
#[derive(Debug, PartialEq)]
struct Archive {
    uris: String,
    suites: Vec<String>,
    main: bool,
    signed_by: Option<String>,
    trusted: bool,
}

/// The sources file for `suite`, made from the archive that the machine takes its own release from.
fn sources_for_suite(settings: &[(Format, String)], codename: &str, suite: &str) -> Option<String> {
    let archives: Vec<Archive> = settings
        .iter()
        .flat_map(|(format, text)| match format {
            Format::Lines => archives_of_lines(text),
            Format::Stanzas => archives_of_stanzas(text),
        })
        .filter(|archive| {
            archive.main
                && archive
                    .suites
                    .iter()
                    .any(|have| have == codename || have == suite)
        })
        .collect();
    // Third parties name their suites after Debian's too; the archive itself has `/debian` in its address.
    let archive = archives
        .iter()
        .find(|archive| archive.uris.contains("/debian"))
        .or(archives.first())?;
    let mut text = format!(
        "Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main\n",
        archive.uris
    );
    if let Some(key) = &archive.signed_by {
        text.push_str(&format!("Signed-By: {key}\n"));
    }
    if archive.trusted {
        text.push_str("Trusted: yes\n");
    }
    Some(text)
}

fn archives_of_lines(text: &str) -> Vec<Archive> {
    let mut archives = Vec::new();
    for line in text.lines() {
        let Some(mut rest) = line.trim().strip_prefix("deb ").map(str::trim) else {
            continue;
        };
        let mut signed_by = None;
        let mut trusted = false;
        if let Some((options, after)) = rest.strip_prefix('[').and_then(|inside| inside.split_once(']')) {
            for option in options.split_whitespace() {
                match option.split_once('=') {
                    Some(("signed-by", key)) => signed_by = Some(key.to_string()),
                    Some(("trusted", value)) => trusted = value == "yes",
                    _ => {}
                }
            }
            rest = after.trim();
        }
        let mut words = rest.split_whitespace();
        if let (Some(uri), Some(suite)) = (words.next(), words.next()) {
            let main = words.any(|component| component == "main");
            archives.push(Archive {
                uris: uri.into(),
                suites: vec![suite.into()],
                main,
                signed_by,
                trusted,
            });
        }
    }
    archives
}

fn archives_of_stanzas(text: &str) -> Vec<Archive> {
    let mut archives = Vec::new();
    let without_comments: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    for stanza in without_comments.join("\n").split("\n\n") {
        let field = |name: &str| {
            stanza.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.trim()
                    .eq_ignore_ascii_case(name)
                    .then(|| value.trim().to_string())
            })
        };
        let has =
            |name: &str, word: &str| field(name).is_some_and(|v| v.split_whitespace().any(|w| w == word));
        let (Some(uris), Some(suites)) = (field("URIs"), field("Suites")) else {
            continue;
        };
        if !has("Types", "deb") || has("Enabled", "no") {
            continue;
        }
        archives.push(Archive {
            uris,
            suites: suites.split_whitespace().map(str::to_string).collect(),
            main: has("Components", "main"),
            signed_by: field("Signed-By").filter(|key| !key.is_empty()),
            trusted: has("Trusted", "yes"),
        });
    }
    archives
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANZAS: &str = "Types: deb\nURIs: https://node.example/node_20.x\nSuites: nodistro\nComponents: main\n\n\
        Types: deb\n# a comment inside\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\n\
        Components: main\nSigned-By: /usr/share/keyrings/k.gpg\n\n\
        Types: deb\nURIs: http://mirror.example/debian-security\nSuites: bookworm-security\nComponents: main\n";

    #[track_caller]
    fn check(format: Format, text: &str, want: Option<&str>) {
        let got = sources_for_suite(&[(format, text.to_string())], "bookworm", "forky");
        assert_eq!(got.as_deref(), want, "{text}");
    }

    #[test]
    fn the_machines_archive_is_found_in_both_formats() {
        let want = "Types: deb\nURIs: http://mirror.example/debian\nSuites: forky\nComponents: main\n";
        let signed = format!("{want}Signed-By: /usr/share/keyrings/k.gpg\n");
        check(Format::Stanzas, STANZAS, Some(&signed));
        check(Format::Lines, "# deb http://x/debian bookworm main\n", None);
        check(
            Format::Lines,
            "deb http://mirror.example/debian bookworm main contrib\n",
            Some(want),
        );
        let line = "deb-src http://s/debian bookworm main\ndeb [arch=amd64 signed-by=/usr/share/keyrings/k.gpg] \
                    http://mirror.example/debian bookworm main\n";
        check(Format::Lines, line, Some(&signed));
    }

    #[test]
    fn a_third_partys_archive_with_debians_suite_names_is_not_taken_before_debians() {
        let text =
            "deb http://third.example/apt bookworm main\ndeb http://mirror.example/debian bookworm main\n";
        check(
            Format::Lines,
            text,
            Some("Types: deb\nURIs: http://mirror.example/debian\nSuites: forky\nComponents: main\n"),
        );
    }

    #[test]
    fn a_disabled_stanza_and_a_foreign_release_are_passed_over() {
        check(
            Format::Stanzas,
            "Enabled: no\nTypes: deb\nURIs: http://m/debian\nSuites: bookworm\nComponents: main\n",
            None,
        );
        check(Format::Lines, "deb http://m/ubuntu noble main\n", None);
    }

    #[test]
    fn the_codename_is_read_from_os_release() {
        assert_eq!(
            codename("NAME=\"Debian\"\nVERSION_CODENAME=bookworm\n"),
            "bookworm"
        );
        assert_eq!(codename(""), "");
    }
}
