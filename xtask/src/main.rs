//! The project's own chores, as `cargo xtask NAME`. [`COMMANDS`] is the table of them; each row is a file.
//!
//! The crate depends on none of the product's crates, so that it builds in seconds and can judge a tree that does not
//! compile. Nothing here ships.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a chore's output is for the person who started it, on their terminal"
)]

mod bench;
mod debian;
mod differential;
mod dist;
mod docker;
mod docs;
mod e2e;
mod http;
mod machine;
mod peers;
mod remote_write;
mod server;
mod shell;
mod soak;
mod test;
mod tidy;
mod ui;
mod up;

use std::process::ExitCode;

use anyhow::{Result, bail};

/// A chore: its name, what it does, and its function, which gets the words after the name.
struct Command {
    name: &'static str,
    usage: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Result<()>,
}

/// All chores.
const COMMANDS: &[Command] = &[
    Command {
        name: "up",
        usage: "up [ARGS of masthead up]",
        about: "build the web interface and the release binary when stale, and run `masthead up`",
        run: up::run,
    },
    Command {
        name: "test",
        usage: "test [STEP or TEST NAME ...] [--skip STEP]",
        about: "everything that must hold: format, lints, tidy, tests, differential, end-to-end, browser",
        run: test::run,
    },
    Command {
        name: "tidy",
        usage: "tidy",
        about: "check the invariants of the design over the files of the tree",
        run: tidy::run,
    },
    Command {
        name: "peers",
        usage: "peers",
        about: "fetch the real Prometheus, node_exporter, VictoriaMetrics and others into target/peers",
        run: peers::run,
    },
    Command {
        name: "differential",
        usage: "differential [--self] [TEXT]",
        about: "only the comparison with Prometheus, of the queries that contain TEXT (--self tests the test)",
        run: differential::run,
    },
    Command {
        name: "e2e",
        usage: "e2e [--debug] [TEXT]",
        about: "only the end-to-end cases whose name has TEXT in it",
        run: e2e::run,
    },
    Command {
        name: "bench",
        usage: "bench ingest|query|memory|containers [--peers]",
        about: "measure Masthead, and with --peers Prometheus and VictoriaMetrics on the same work",
        run: bench::run,
    },
    Command {
        name: "dist",
        usage: "dist",
        about: "what is released, into target/dist: a tarball that runs on Debian 11 and newer, an image, checksums",
        run: dist::run,
    },
    Command {
        name: "soak",
        usage: "soak [NAME ...]",
        about: "proofs that take long; their dated results go to docs/soak.md",
        run: soak::run,
    },
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(words: &[String]) -> Result<()> {
    let Some((name, rest)) = words.split_first() else {
        print!("{}", help());
        return Ok(());
    };
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        print!("{}", help());
        return Ok(());
    }
    match COMMANDS.iter().find(|command| command.name == name) {
        Some(command) => (command.run)(rest),
        None => bail!("there is no chore `{name}`\n\n{}", help()),
    }
}

fn help() -> String {
    let mut text = String::from("usage: cargo xtask CHORE\n\n");
    for command in COMMANDS {
        text.push_str(&format!("  {:<46} {}\n", command.usage, command.about));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_chore_is_an_error_that_lists_the_chores() {
        let error = dispatch(&["nope".into()]).expect_err("must fail").to_string();
        assert!(
            error.contains("nope") && COMMANDS.iter().all(|c| error.contains(c.about)),
            "{error}"
        );
    }
}
