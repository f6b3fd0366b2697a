//! `cargo xtask tidy`: the invariants of the design, checked over the text of the tree's files.
//!
//! [`INVARIANTS`] is the table: a row is a name, a reason, and a pure function from files to findings, so that every
//! row is tested on a clean sample and on a planted violation. Length of functions is left to clippy.

mod code;
mod edges;
mod files;

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell;

/// A file of the tree.
#[derive(Debug, Clone)]
pub(crate) struct SourceFile {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    /// Empty for a file that is not text.
    pub(crate) text: String,
}

impl SourceFile {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Is the file in this folder (`a/b/`)?
    fn is_under(&self, folder: &str) -> bool {
        self.path.starts_with(folder)
    }
}

/// A place where an invariant does not hold.
#[derive(Debug, PartialEq)]
pub(crate) struct Finding {
    path: String,
    /// Counted from 1; 0 is the file as a whole.
    line: usize,
    what: String,
}

impl Finding {
    fn new(file: &SourceFile, line: usize, what: impl Into<String>) -> Self {
        Self {
            path: file.path.clone(),
            line,
            what: what.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// One invariant.
struct Invariant {
    name: &'static str,
    why: &'static str,
    check: fn(&[SourceFile]) -> Vec<Finding>,
}

/// All of them; the numbers are those of the design's list.
const INVARIANTS: &[Invariant] = &[
    Invariant {
        name: "crate edges",
        why: "(1) crates depend on each other only along the arrows of the design",
        check: edges::crate_edges,
    },
    Invariant {
        name: "core dependencies",
        why: "(2) core crates are synchronous and know no tokio, HTTP, JSON or Docker",
        check: edges::core_dependencies,
    },
    Invariant {
        name: "one clock",
        why: "(3) only masthead/src/clock.rs reads the clock, so that tests are deterministic",
        check: code::one_clock,
    },
    Invariant {
        name: "core environment",
        why: "(3) core crates get everything as arguments: no environment, no output",
        check: code::core_environment,
    },
    Invariant {
        name: "unsafe only in sys",
        why: "(6) memory safety can be judged by reading one short crate",
        check: code::unsafe_only_in_sys,
    },
    Invariant {
        name: "lints of the workspace",
        why: "(6) every crate inherits the workspace's lints, which forbid unsafe code",
        check: edges::workspace_lints,
    },
    Invariant {
        name: "files through Dir",
        why: "(7) the crash tests see every write, sync, rename and delete of tsdb",
        check: code::files_through_dir,
    },
    Invariant {
        name: "status codes in one place",
        why: "(8) one file decides what an error is in HTTP",
        check: code::status_codes,
    },
    Invariant {
        name: "configuration shapes in one place",
        why: "(8) raw configuration is parsed at the edge, and validated types are passed on",
        check: code::configuration_shapes,
    },
    Invariant {
        name: "short files",
        why: "(9) a file is one noun",
        check: files::short_files,
    },
    Invariant {
        name: "headers",
        why: "a new reader knows from the first lines what a file is",
        check: files::headers,
    },
    Invariant {
        name: "no ignored test",
        why: "an ignored test proves nothing",
        check: code::no_ignored_test,
    },
    Invariant {
        name: "nothing left for later",
        why: "what is committed is done",
        check: code::nothing_left,
    },
    Invariant {
        name: "no machine's paths",
        why: "the tree builds on any machine",
        check: files::no_machine_paths,
    },
    Invariant {
        name: "public registries",
        why: "lock files name the public registries, not one machine's mirror",
        check: files::public_registries,
    },
    Invariant {
        name: "documents tell the truth",
        why: "chores and files that the documents name are there",
        check: files::documents,
    },
];

/// The chore.
pub(crate) fn run(_args: &[String]) -> Result<()> {
    let mut bad = 0;
    for (name, findings) in check_tree()? {
        if findings.is_empty() {
            continue;
        }
        let why = INVARIANTS
            .iter()
            .find(|row| row.name == name)
            .map_or("", |row| row.why);
        println!("{name}: {why}");
        for finding in &findings {
            println!("  {finding}");
        }
        bad += findings.len();
    }
    if bad > 0 {
        bail!("tidy: {bad} findings");
    }
    println!("tidy: {} invariants hold", INVARIANTS.len());
    Ok(())
}

/// The findings of each invariant over the tree.
pub(crate) fn check_tree() -> Result<Vec<(&'static str, Vec<Finding>)>> {
    let files = files_of_tree(&shell::root())?;
    Ok(INVARIANTS
        .iter()
        .map(|row| (row.name, (row.check)(&files)))
        .collect())
}

/// What git tracks or would track: build results and the like are not ours to judge.
fn files_of_tree(root: &Path) -> Result<Vec<SourceFile>> {
    let args = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let listed = shell::output(Command::new("git").args(args).current_dir(root))
        .context("tidy reads the list of files from git")?;
    let mut files = Vec::new();
    for path in listed.split('\0').filter(|path| !path.is_empty()) {
        // A file that was deleted but is still in the index has nothing to check.
        let Ok(bytes) = fs::read(root.join(path)) else {
            continue;
        };
        let text = String::from_utf8(bytes).unwrap_or_default();
        files.push(SourceFile {
            path: path.to_string(),
            text,
        });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.dedup_by(|a, b| a.path == b.path);
    Ok(files)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Checks one invariant over files given as `(path, text)`; `want` is where it finds something.
    #[track_caller]
    pub(crate) fn check(invariant: fn(&[SourceFile]) -> Vec<Finding>, files: &[(&str, &str)], want: &[&str]) {
        let files: Vec<SourceFile> = files
            .iter()
            .map(|(path, text)| SourceFile {
                path: (*path).into(),
                text: (*text).into(),
            })
            .collect();
        let got: Vec<String> = invariant(&files)
            .iter()
            .map(|finding| format!("{}:{}", finding.path, finding.line))
            .collect();
        assert_eq!(got, want);
    }

    #[test]
    fn the_tree_is_read_from_git_with_its_text() {
        let files = files_of_tree(&shell::root()).expect("git");
        let me = files
            .iter()
            .find(|file| file.path == "xtask/src/tidy.rs")
            .expect("this file");
        assert!(me.text.starts_with("//!"));
        assert!(!files.iter().any(|file| file.is_under("target/")));
    }
}
