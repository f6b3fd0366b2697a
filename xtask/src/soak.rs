//! `cargo xtask soak`: proofs that take too long for every run. Each is a row of [`PROOFS`]; what it found is added, with
//! the date and the commit, to `docs/soak.md`.

mod cgroup_v2;
mod dist;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::bench;
use crate::e2e::kill;
use crate::shell;

/// One proof; its function gives a line of what was found.
struct Proof {
    name: &'static str,
    about: &'static str,
    run: fn() -> Result<String>,
}

const PROOFS: &[Proof] = &[
    Proof {
        name: "kill",
        about: "300 times kill -9 under load",
        run: kill_rounds,
    },
    Proof {
        name: "fuzz",
        about: "each fuzz target for ten minutes",
        run: fuzz,
    },
    Proof {
        name: "memory",
        about: "memory and CPU after an hour beside the peers",
        run: memory,
    },
    Proof {
        name: "cgroup-v2",
        about: "real containers on cgroup v2 under qemu, both drivers",
        run: cgroup_v2::run,
    },
    Proof {
        name: "dist",
        about: "the release on Debian 11, 12 and 13, as a service of their systemd",
        run: dist::run,
    },
    Proof {
        name: "service",
        about: "the service on a whole machine under qemu, beside a real engine",
        run: dist::in_machine,
    },
    Proof {
        name: "deny",
        about: "licences, bans and duplicates of the dependencies",
        run: deny,
    },
];

/// How long each fuzz target runs.
const FUZZ_SECONDS: u32 = 600;

/// The chore.
pub(crate) fn run(args: &[String]) -> Result<()> {
    if let Some(name) = args
        .iter()
        .find(|name| !PROOFS.iter().any(|proof| proof.name == **name))
    {
        let names: Vec<&str> = PROOFS.iter().map(|proof| proof.name).collect();
        bail!("there is no proof `{name}`; there are {}", names.join(", "));
    }
    shell::run(shell::cargo().args(["build", "--release", "--locked", "-p", "masthead"]))?;
    let mut failed = false;
    for proof in PROOFS
        .iter()
        .filter(|proof| args.is_empty() || args.iter().any(|name| name == proof.name))
    {
        println!("==> {}: {}", proof.name, proof.about);
        let began = Instant::now();
        let found = (proof.run)().unwrap_or_else(|error| {
            failed = true;
            format!("FAILED: {error:#}")
        });
        println!("{found}");
        record(proof, &found, began.elapsed())?;
    }
    if failed {
        bail!("not every proof held");
    }
    Ok(())
}

/// What the document is without a result.
const INTRODUCTION: &str =
    "# Long proofs\n\nDated results of what takes too long for `cargo xtask test`, newest first.\n";

/// Adds a section to the document.
fn record(proof: &Proof, found: &str, took: Duration) -> Result<()> {
    let docs = shell::root().join("docs");
    fs::create_dir_all(&docs)?;
    let path = docs.join("soak.md");
    let text = fs::read_to_string(&path).unwrap_or_else(|_| INTRODUCTION.to_string());
    let date = shell::output(Command::new("date").args(["-u", "+%F"]))?;
    let commit = shell::output(
        Command::new("git")
            .args(["rev-parse", "--short", "HEAD"])
            .current_dir(shell::root()),
    )?;
    let section = format!(
        "\n## {}: {}\n\n`cargo xtask soak {}`, commit {}, {:.1} minutes. {}\n",
        date.trim(),
        proof.about,
        proof.name,
        commit.trim(),
        took.as_secs_f64() / 60.0,
        found.trim().replace('\n', " ")
    );
    fs::write(&path, with_section(&text, &section))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The document with a section in front of the others.
fn with_section(text: &str, section: &str) -> String {
    let at = text.find("\n## ").unwrap_or(text.len());
    let (before, after) = text.split_at(at);
    format!("{before}{section}{after}")
}

fn kill_rounds() -> Result<String> {
    kill::many(300)?;
    Ok("no acknowledged sample was lost".to_string())
}

fn memory() -> Result<String> {
    bench::run(&["memory", "--peers", "--minutes", "60"].map(String::from))?;
    Ok("see the table of the run".to_string())
}

fn deny() -> Result<String> {
    if shell::which("cargo-deny").is_none() {
        bail!("cargo-deny is missing: cargo install cargo-deny");
    }
    shell::run(shell::cargo().args(["deny", "check", "licenses", "bans", "sources"]))?;
    Ok("nothing to object".to_string())
}

/// Builds the targets with coverage for libFuzzer and runs each. A stable compiler does: the flags are LLVM's, and
/// without a sanitizer what is found are panics, which is what we look for in safe code.
fn fuzz() -> Result<String> {
    let triple = "x86_64-unknown-linux-gnu";
    let target = shell::target_dir().join("fuzz");
    let flags = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
                 -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Ccodegen-units=1";
    let mut build = shell::cargo();
    build.args([
        "build",
        "--release",
        "--manifest-path",
        "fuzz/Cargo.toml",
        "--target",
        triple,
    ]);
    // With a target named, build scripts and macros are built without the flags, which they could not link with.
    build.arg("--target-dir").arg(&target).env("RUSTFLAGS", flags);
    shell::run(&mut build).context("building the fuzz targets wants a C++ compiler: apt-get install g++")?;
    let folder = shell::root().join("fuzz");
    let mut names = Vec::new();
    for entry in fs::read_dir(folder.join("fuzz_targets"))?.flatten() {
        let path = entry.path();
        let Some(name) = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()) else {
            continue;
        };
        let found = target.join("corpus").join(&name);
        let artifacts = target.join("artifacts").join(&name);
        fs::create_dir_all(&found)?;
        fs::create_dir_all(&artifacts)?;
        let mut command = Command::new(target.join(triple).join("release").join(&name));
        // New inputs go to the first folder; the committed corpus is only read.
        command.arg(&found).arg(folder.join("corpus").join(&name));
        command
            .arg(format!("-max_total_time={FUZZ_SECONDS}"))
            .arg("-timeout=10")
            .arg("-rss_limit_mb=2048");
        command
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .arg("-verbosity=0");
        shell::run(&mut command)
            .with_context(|| format!("target {name}: the input is in {}", artifacts.display()))?;
        names.push(name);
    }
    Ok(format!(
        "{FUZZ_SECONDS} s each, nothing found: {}",
        names.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_result_comes_first() {
        let one = with_section(INTRODUCTION, "\n## one\n\nfound\n");
        let two = with_section(&one, "\n## two\n\nfound\n");
        assert_eq!(
            two,
            format!("{INTRODUCTION}\n## two\n\nfound\n\n## one\n\nfound\n")
        );
    }
}
