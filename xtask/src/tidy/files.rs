//! Invariants over files of any kind: length, headers, paths and addresses of one machine, truth of the documents.

use super::{Finding, SourceFile};

/// A file longer than this says why at its top.
const MAX_LINES: usize = 800;

/// How a long file says why, within its first lines.
const LONG_BECAUSE: &str = "Long because ";

/// Places that are one machine's own. Written in halves, so that this file is clean itself.
const MACHINE_PATHS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/root/", ".cargo"),
    concat!("/root/", ".rustup"),
    concat!("/tmp/", "brief"),
    concat!("/home/", "runner"),
];

/// Invariant 9.
pub(super) fn short_files(files: &[SourceFile]) -> Vec<Finding> {
    let sources = [".rs", ".ts", ".tsx", ".mjs", ".css"];
    let mut findings = Vec::new();
    for file in files
        .iter()
        .filter(|file| sources.iter().any(|end| file.path.ends_with(end)))
    {
        let lines = file.text.lines().count();
        let says_why = file.text.lines().take(30).any(|line| line.contains(LONG_BECAUSE));
        if lines >= MAX_LINES && !says_why {
            let what = format!("{lines} lines: split it, or say `{LONG_BECAUSE}...` in its header");
            findings.push(Finding::new(file, 0, what));
        }
    }
    findings
}

/// Every Rust file starts with what it is; inner attributes may come before.
pub(super) fn headers(files: &[SourceFile]) -> Vec<Finding> {
    files
        .iter()
        .filter(|file| file.is_rust())
        .filter(|file| {
            let first = file
                .text
                .lines()
                .map(str::trim)
                .find(|line| !line.is_empty() && !line.starts_with("#!["));
            !first.is_some_and(|line| line.starts_with("//! "))
        })
        .map(|file| Finding::new(file, 1, "starts without a `//!` header that says what it is"))
        .collect()
}

/// No path of the machine on which a file was written.
pub(super) fn no_machine_paths(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        for (at, line) in file.text.lines().enumerate() {
            // In an address (`example.org/work/`) or a longer path it is not the root's folder.
            let is_absolute = |place: &str| {
                line.match_indices(place).any(|(at, _)| {
                    let before = at.checked_sub(1).and_then(|before| line.as_bytes().get(before));
                    !before.is_some_and(|byte| {
                        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/')
                    })
                })
            };
            for place in MACHINE_PATHS.iter().filter(|place| is_absolute(place)) {
                findings.push(Finding::new(
                    file,
                    at + 1,
                    format!("`{place}` is a place on one machine"),
                ));
            }
        }
    }
    findings
}

/// Lock files name the public registries.
pub(super) fn public_registries(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        let (key, allowed) = if file.path.ends_with("Cargo.lock") {
            (
                "source = \"",
                "registry+https://github.com/rust-lang/crates.io-index",
            )
        } else if file.path.ends_with("package-lock.json") {
            ("\"resolved\": \"", "https://registry.npmjs.org/")
        } else {
            continue;
        };
        for (at, line) in file.text.lines().enumerate() {
            if line
                .trim_start()
                .strip_prefix(key)
                .is_some_and(|source| !source.starts_with(allowed))
            {
                findings.push(Finding::new(
                    file,
                    at + 1,
                    "the lock file names a source that is not the public registry",
                ));
            }
        }
    }
    findings
}

/// Chores and files that the documents at the root name are there.
pub(super) fn documents(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files
        .iter()
        .filter(|file| file.path.ends_with(".md") && !file.path.contains('/'))
    {
        for (at, line) in file.text.lines().enumerate() {
            for chore in after_each(line, "cargo xtask ") {
                let chore = chore
                    .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
                    .next()
                    .unwrap_or_default();
                if !chore.is_empty() && !crate::COMMANDS.iter().any(|command| command.name == chore) {
                    findings.push(Finding::new(file, at + 1, format!("there is no chore `{chore}`")));
                }
            }
            for target in after_each(line, "](") {
                let target = target.split([')', '#', ' ']).next().unwrap_or_default();
                let is_file = !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:");
                let folder = format!("{}/", target.trim_end_matches('/'));
                if is_file
                    && !files
                        .iter()
                        .any(|f| f.path == target || f.path.starts_with(&folder))
                {
                    findings.push(Finding::new(file, at + 1, format!("there is no file `{target}`")));
                }
            }
        }
    }
    findings
}

/// What follows each occurrence of `mark`.
fn after_each<'a>(line: &'a str, mark: &'a str) -> impl Iterator<Item = &'a str> {
    line.match_indices(mark)
        .filter_map(move |(at, _)| line.get(at + mark.len()..))
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::*;

    #[test]
    fn a_long_file_says_why() {
        let long = "//! A file.\n".to_string() + &"x\n".repeat(MAX_LINES);
        let excused = "//! A file.\n//! Long because it is a table.\n".to_string() + &"x\n".repeat(MAX_LINES);
        check(
            short_files,
            &[
                ("a/src/a.rs", "//! Short."),
                ("a/src/b.rs", &excused),
                ("package-lock.json", &long),
            ],
            &[],
        );
        check(
            short_files,
            &[("a/src/a.rs", &long), ("ui/src/a.tsx", &long)],
            &["a/src/a.rs:0", "ui/src/a.tsx:0"],
        );
    }

    #[test]
    fn every_file_has_a_header() {
        check(
            headers,
            &[("a.rs", "#![no_main]\n\n//! What it is.\n"), ("a.ts", "let a;")],
            &[],
        );
        check(
            headers,
            &[
                ("a.rs", "use x;\n//! Late.\n"),
                ("b.rs", ""),
                ("c.rs", "// A comment."),
            ],
            &["a.rs:1", "b.rs:1", "c.rs:1"],
        );
    }

    #[test]
    fn a_path_of_one_machine_is_found() {
        check(
            no_machine_paths,
            &[(
                "README.md",
                "https://example.org/work/x, ./work/a, /var/lib/masthead",
            )],
            &[],
        );
        let planted = concat!("see\n`/wo", "rk/x`");
        check(no_machine_paths, &[("README.md", planted)], &["README.md:2"]);
    }

    #[test]
    fn a_mirror_in_a_lock_file_is_found() {
        check(
            public_registries,
            &[
                (
                    "Cargo.lock",
                    "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n",
                ),
                (
                    "ui/package-lock.json",
                    "  \"resolved\": \"https://registry.npmjs.org/a/-/a-1.tgz\",\n",
                ),
            ],
            &[],
        );
        check(
            public_registries,
            &[
                ("Cargo.lock", "\nsource = \"sparse+http://mirror.example/\"\n"),
                (
                    "ui/package-lock.json",
                    "  \"resolved\": \"http://mirror.example/a-1.tgz\",\n",
                ),
            ],
            &["Cargo.lock:2", "ui/package-lock.json:1"],
        );
    }

    #[test]
    fn documents_name_chores_and_files_that_are_there() {
        let files = [("docs/a.png", ""), ("LICENSE", "")];
        let clean = (
            "README.md",
            "`cargo xtask up`, ![a](docs/a.png) [l](LICENSE) [d](docs/) [u](https://x.org) [s](#part)",
        );
        check(documents, &[clean, files[0], files[1]], &[]);
        check(
            documents,
            &[("README.md", "`cargo xtask fly`\n[a](docs/b.png)"), files[0]],
            &["README.md:1", "README.md:2"],
        );
    }
}
