//! `cargo xtask up`: from a fresh clone to the running program in one command.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Result, anyhow};

use crate::{shell, ui};

/// Builds what is stale and becomes `masthead up`, so that Ctrl-C and the exit status are the program's own.
pub(crate) fn run(args: &[String]) -> Result<()> {
    if let Err(error) = ui::build_if_stale() {
        println!("going on without a fresh web interface: {error:#}");
    }
    shell::run(shell::cargo().args(["build", "--release", "--locked", "-p", "masthead"]))?;
    let binary = shell::release_binary();
    let error = Command::new(&binary).arg("up").args(args).exec();
    Err(anyhow!(error).context(format!("cannot run {}", binary.display())))
}
