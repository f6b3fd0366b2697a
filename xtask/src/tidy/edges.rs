//! Invariants over `Cargo.toml`: which crate may depend on which, and on what from outside.
//!
//! The manifests are ours and plain, so the few lines that matter are read as text: section headers and keys.

use super::{Finding, SourceFile};

/// The crates and the crates of ours that each may depend on: the arrows of the design.
const EDGES: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("sys", &[]),
    ("collect", &["model", "sys"]),
    ("tsdb", &["model"]),
    ("promql", &["model"]),
    ("client", &[]),
    ("stack", &[]),
    (
        "masthead",
        &["model", "collect", "tsdb", "promql", "client", "stack"],
    ),
    ("xtask", &[]),
    (
        "fuzz",
        &["model", "collect", "tsdb", "promql", "stack", "masthead"],
    ),
];

/// The synchronous crates.
const CORE: &[&str] = &["model", "tsdb", "promql", "collect", "sys"];

/// What core crates must not know: async, HTTP, JSON, Docker.
const NOT_IN_CORE: &[&str] = &[
    "tokio",
    "tokio-util",
    "futures",
    "async-trait",
    "hyper",
    "hyper-util",
    "http",
    "axum",
    "tower",
    "tower-http",
    "reqwest",
    "serde_json",
    "serde-saphyr",
    "bollard",
    "openssh",
    "tracing-subscriber",
    "clap",
    "jiff",
    "chrono",
];

/// The kind of a dependency, as cargo has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Compiled into the crate or its build script.
    Real,
    /// For tests, examples and benches only.
    Dev,
}

/// A line of a manifest that names a dependency.
#[derive(Debug)]
struct Dependency {
    line: usize,
    kind: Kind,
    name: String,
}

/// The manifests of crates: `(crate, file)`; the workspace's own manifest is none.
fn manifests(files: &[SourceFile]) -> impl Iterator<Item = (&str, &SourceFile)> {
    files.iter().filter_map(|file| {
        let name = file.path.strip_suffix("/Cargo.toml")?;
        Some((name, file))
    })
}

/// Reads `[dependencies]`, `[dev-dependencies]`, `[build-dependencies]`, their `target.'...'` forms and tables such as
/// `[dependencies.name]`.
fn dependencies(text: &str) -> Vec<Dependency> {
    let mut found = Vec::new();
    let mut section: Option<Kind> = None;
    for (at, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let header = header.trim_matches(['[', ']']);
            let (kind, name) = kind_of_section(header);
            section = if name.is_none() { kind } else { None };
            if let (Some(kind), Some(name)) = (kind, name) {
                found.push(Dependency {
                    line: at + 1,
                    kind,
                    name,
                });
            }
            continue;
        }
        let (Some(kind), Some((key, value))) = (section, line.split_once('=')) else {
            continue;
        };
        let key = key.trim().trim_matches('"');
        let name = renamed(value).unwrap_or_else(|| key.split('.').next().unwrap_or(key).to_string());
        found.push(Dependency {
            line: at + 1,
            kind,
            name,
        });
    }
    found
}

/// What a section header means, and the dependency that it names if it is a table of one.
fn kind_of_section(header: &str) -> (Option<Kind>, Option<String>) {
    for (word, kind) in [
        ("dev-dependencies", Kind::Dev),
        ("build-dependencies", Kind::Real),
        ("dependencies", Kind::Real),
    ] {
        if header == word || (header.starts_with("target.") && header.ends_with(&format!(".{word}"))) {
            return (Some(kind), None);
        }
        if let Some((before, name)) = header.split_once(&format!("{word}."))
            && (before.is_empty() || before.starts_with("target."))
        {
            return (Some(kind), Some(name.to_string()));
        }
    }
    (None, None)
}

/// The crate's own name in `key = { package = "name", ... }`.
fn renamed(value: &str) -> Option<String> {
    let (_, after) = value.split_once("package")?;
    let (_, quoted) = after.split_once('"')?;
    quoted.split('"').next().map(str::to_string)
}

/// Invariant 1.
pub(super) fn crate_edges(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, file) in manifests(files) {
        let Some((_, allowed)) = EDGES.iter().find(|(from, _)| *from == name) else {
            findings.push(Finding::new(
                file,
                0,
                format!("the design knows no crate `{name}`: add it to its map first"),
            ));
            continue;
        };
        for dependency in dependencies(&file.text) {
            let ours = EDGES.iter().any(|(crate_name, _)| *crate_name == dependency.name);
            // Tests too: a test of promql that wants a store has model's own.
            if ours && !allowed.contains(&dependency.name.as_str()) {
                let what = format!("`{name}` must not depend on `{}`", dependency.name);
                findings.push(Finding::new(file, dependency.line, what));
            }
        }
    }
    findings
}

/// Invariant 2.
pub(super) fn core_dependencies(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, file) in manifests(files).filter(|(name, _)| CORE.contains(name)) {
        for dependency in dependencies(&file.text) {
            if dependency.kind == Kind::Real && NOT_IN_CORE.contains(&dependency.name.as_str()) {
                let what = format!("core crate `{name}` must not depend on `{}`", dependency.name);
                findings.push(Finding::new(file, dependency.line, what));
            }
        }
    }
    findings
}

/// Every crate of the workspace says `[lints] workspace = true`; `sys`, whose work is unsafe, has its own.
pub(super) fn workspace_lints(files: &[SourceFile]) -> Vec<Finding> {
    let inherits = |text: &str| {
        text.split("[lints]")
            .nth(1)
            .is_some_and(|after| after.trim_start().starts_with("workspace = true"))
    };
    manifests(files)
        .filter(|(name, file)| !matches!(*name, "sys" | "fuzz") && !inherits(&file.text))
        .map(|(_, file)| Finding::new(file, 0, "wants `[lints]` with `workspace = true`"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::*;

    #[test]
    fn only_the_designs_edges_are_allowed() {
        let clean = (
            "promql/Cargo.toml",
            "[dependencies]\nmodel.workspace = true\nregex = \"1\"\n",
        );
        check(
            crate_edges,
            &[clean, ("Cargo.toml", "[workspace.dependencies]\ntsdb = {}\n")],
            &[],
        );
        for planted in [
            "[dependencies]\ntsdb.workspace = true\n",
            "[dependencies]\ntsdb = { path = \"../tsdb\" }\n",
            "# no\n[dependencies.tsdb]\n",
            "[features]\n[target.'cfg(unix)'.dependencies]\n\n",
            "[dev-dependencies]\nstore = { package = \"tsdb\", path = \"../tsdb\" }\n",
        ] {
            let want: &[&str] = if planted.contains("cfg") {
                &[]
            } else {
                &["promql/Cargo.toml:2"]
            };
            check(crate_edges, &[("promql/Cargo.toml", planted)], want);
        }
        let target = "[target.'cfg(unix)'.dependencies]\nclient.workspace = true\n";
        check(
            crate_edges,
            &[("model/Cargo.toml", target)],
            &["model/Cargo.toml:2"],
        );
    }

    #[test]
    fn a_crate_that_is_on_no_map_is_found() {
        check(
            crate_edges,
            &[("helpers/Cargo.toml", "")],
            &["helpers/Cargo.toml:0"],
        );
    }

    #[test]
    fn core_crates_know_no_async_http_or_json_but_in_tests() {
        check(
            core_dependencies,
            &[("tsdb/Cargo.toml", "[dev-dependencies]\nserde_json = \"1\"\n")],
            &[],
        );
        check(
            core_dependencies,
            &[("masthead/Cargo.toml", "[dependencies]\ntokio.workspace = true\n")],
            &[],
        );
        check(
            core_dependencies,
            &[(
                "tsdb/Cargo.toml",
                "[dependencies]\npco = \"1\"\ntokio.workspace = true\n[build-dependencies]\nhyper = \"1\"\n",
            )],
            &["tsdb/Cargo.toml:3", "tsdb/Cargo.toml:5"],
        );
    }

    #[test]
    fn every_crate_inherits_the_lints() {
        check(
            workspace_lints,
            &[("model/Cargo.toml", "[lints]\nworkspace = true\n")],
            &[],
        );
        check(
            workspace_lints,
            &[("model/Cargo.toml", "[lints]\nrust = {}\n")],
            &["model/Cargo.toml:0"],
        );
        check(
            workspace_lints,
            &[("model/Cargo.toml", "[package]\n")],
            &["model/Cargo.toml:0"],
        );
    }
}
