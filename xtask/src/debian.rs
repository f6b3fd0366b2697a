//! Packages of the Debian archive's suites, from the mirror that this machine's own apt is set to, with the suite changed.
//!
//! apt gets a sources list, lists and a cache of its own below a folder, and nothing is installed on the system:
//!
//! ```text
//! FOLDER/SUITE.sources              the machine's mirror with the suite changed
//! FOLDER/lists, cache, status       apt's, private
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell;

/// Where suites go that the mirrors no longer have.
const OLD_SUITES: &str = "http://archive.debian.org/debian";

/// A suite whose package lists are there.
#[derive(Debug)]
pub(crate) struct Suite {
    folder: PathBuf,
    sources: PathBuf,
    archive: Archive,
}

impl Suite {
    /// Fetches the lists of a suite into a folder.
    pub(crate) fn open(name: &str, folder: &Path) -> Result<Self> {
        for tool in ["apt-get", "dpkg-deb"] {
            if shell::which(tool).is_none() {
                bail!("`{tool}` is missing: packages come from the Debian archive, so use a Debian machine");
            }
        }
        for sub in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(sub))
                .with_context(|| format!("cannot make {sub} in {}", folder.display()))?;
        }
        // What is installed on this machine must not decide which version is taken.
        fs::write(folder.join("status"), "")?;
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let archive = archive_with(&apt_settings(), &codename(&release), name).context(
            "the machine's apt settings name no Debian archive: add one to /etc/apt/sources.list.d",
        )?;
        let mut suite = Self {
            folder: folder.to_path_buf(),
            sources: folder.join(format!("{name}.sources")),
            archive,
        };
        if let Err(error) = suite.update(name) {
            suite.archive.uris = OLD_SUITES.to_string();
            if suite.update(name).is_err() {
                return Err(error.context(format!(
                    "Debian {name} cannot be had, neither there nor from {OLD_SUITES}"
                )));
            }
        }
        Ok(suite)
    }

    /// Where it comes from, for debootstrap.
    pub(crate) fn mirror(&self) -> &str {
        self.archive.uris.split_whitespace().next().unwrap_or_default()
    }

    /// Downloads packages; gives their files in the same order.
    pub(crate) fn download(&self, packages: &[&str]) -> Result<Vec<PathBuf>> {
        let archives = self.folder.join("cache/archives");
        shell::output(self.apt().arg("download").args(packages).current_dir(&archives))?;
        packages
            .iter()
            .map(|name| {
                newest_deb(&archives, name).with_context(|| format!("apt downloaded no package `{name}`"))
            })
            .collect()
    }

    fn update(&self, name: &str) -> Result<()> {
        fs::write(&self.sources, self.archive.sources(name))
            .with_context(|| format!("cannot write {}", self.sources.display()))?;
        // A suite that is not there is only a warning to apt otherwise.
        shell::output(self.apt().args(["update", "--error-on=any"])).map(|_| ())
    }

    fn apt(&self) -> Command {
        let folder = &self.folder;
        let mut command = Command::new("apt-get");
        let options = [
            format!("Dir::Etc::sourcelist={}", self.sources.display()),
            "Dir::Etc::sourceparts=/dev/null".to_string(),
            format!("Dir::State::lists={}", folder.join("lists").display()),
            format!("Dir::State::status={}", folder.join("status").display()),
            format!("Dir::Cache={}", folder.join("cache").display()),
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
}

/// Unpacks a package below a folder, without its scripts.
pub(crate) fn unpack(deb: &Path, root: &Path) -> Result<()> {
    shell::output(Command::new("dpkg-deb").arg("-x").arg(deb).arg(root)).map(|_| ())
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

impl Archive {
    /// The sources file for a suite of it.
    fn sources(&self, suite: &str) -> String {
        let mut text = format!(
            "Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main\n",
            self.uris
        );
        if let Some(key) = &self.signed_by {
            text.push_str(&format!("Signed-By: {key}\n"));
        }
        if self.trusted {
            text.push_str("Trusted: yes\n");
        }
        text
    }
}

/// The archive that the machine takes its own release from, or this suite.
fn archive_with(settings: &[(Format, String)], codename: &str, suite: &str) -> Option<Archive> {
    let mut archives: Vec<Archive> = settings
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
    let debians = archives
        .iter()
        .position(|archive| archive.uris.contains("/debian"))
        .unwrap_or(0);
    (debians < archives.len()).then(|| archives.swap_remove(debians))
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
        let got = archive_with(&[(format, text.to_string())], "bookworm", "forky")
            .map(|archive| archive.sources("forky"));
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
