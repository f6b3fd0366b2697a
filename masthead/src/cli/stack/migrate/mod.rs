//! `masthead migrate embedded|upstream`: flags, what both directions share, and how it ends.

mod to_embedded;
mod to_upstream;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde_json::json;
use stack::{Duration, Event, Size};

use super::setup::PullArg;
use super::{Common, EXIT_CODES, Manner, Outcome, Progress, run_to_end};
use crate::app::data_dir;
use crate::migrate::questions;

/// Where the configuration of `masthead up` comes from or goes to, where nobody says it.
const CONFIG: &str = "/etc/masthead/masthead.yml";
/// The exit code where the answers differ.
const DIFFERENT: u8 = 1;

#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  masthead migrate embedded --dry-run                from the stack of containers to `masthead up`: what would be done
  masthead migrate embedded
  masthead migrate upstream --retention-time 30d     from `masthead up` to a stack of containers

Stored samples, scrape configs, rules, interval and retention go along. The same queries are asked before and after; where an answer differs
the migration is not made, the source runs again, and the exit code is 1. The source is only stopped: its data stays unless --purge is said.

{EXIT_CODES}"))]
pub(in crate::cli) struct MigrateArgs {
    /// Where to
    #[arg(value_enum)]
    to: To,
    #[command(flatten)]
    common: Common,
    /// The data folder of `masthead up` [default: /var/lib/masthead for root]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Its masthead.yml [default: that of the service, else /etc/masthead/masthead.yml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How long the target keeps samples [default: as the source]
    #[arg(long, value_name = "DURATION")]
    retention_time: Option<Duration>,
    /// How much it keeps at most [default: as the source]
    #[arg(long, value_name = "SIZE")]
    retention_size: Option<Size>,
    /// Whether images are fetched
    #[arg(long, value_enum, default_value_t = PullArg::Missing)]
    pull: PullArg,
    /// Remove the source with its data once all is well
    #[arg(long)]
    purge: bool,
    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Wait where another run works on the stack
    #[arg(long)]
    wait: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum To {
    /// From the stack of containers to `masthead up`
    Embedded,
    /// From `masthead up` to the stack of containers
    Upstream,
}

pub(super) fn run(args: &MigrateArgs) -> anyhow::Result<()> {
    let progress = Progress::new();
    let manner = Manner {
        pull: args.pull.into(),
        wait: args.wait,
        ..Manner::default()
    };
    run_to_end(args.common.json, &progress, async {
        let stack = args.common.stack(&manner).await?;
        anyhow::ensure!(
            stack.is_here(),
            "a migration reads and writes both stores, so it is made on their own machine: log in there and run it without --server"
        );
        match args.to {
            To::Embedded => to_embedded::run(&stack, args, &progress).await,
            To::Upstream => to_upstream::run(&stack, args, &progress).await,
        }
    })
}

impl MigrateArgs {
    fn data_dir(&self) -> anyhow::Result<PathBuf> {
        match &self.data_dir {
            Some(dir) => Ok(std::path::absolute(dir)?),
            None => data_dir::default_path(),
        }
    }
}

/// A step that is not one of the stack's.
fn step(progress: &Progress, text: impl Into<String>) {
    progress.hear(Event::Waiting { what: text.into() });
}

fn warn(progress: &Progress, text: impl Into<String>) {
    progress.hear(Event::Warning { text: text.into() });
}

/// The end of one that was not carried out because answers differ.
fn different(differences: &[String], back: &str) -> Outcome {
    Outcome {
        text: format!(
            "Not migrated: {} of {} queries answer otherwise than before.\n  {}\n{back}",
            differences.len(),
            questions::count(),
            differences.join("\n  ")
        ),
        fields: json!({ "migrated": false, "queries": questions::count(), "differences": differences }),
        code: DIFFERENT,
    }
}

fn migrated(text: String, warnings: &[String]) -> Outcome {
    let fields = json!({
        "migrated": true, "queries": questions::count(), "differences": [], "warnings": warnings,
    });
    Outcome::done(text, fields)
}

fn planned(steps: &[String]) -> Outcome {
    Outcome::done(steps.join("\n"), json!({ "dry_run": true, "steps": steps }))
}

/// The `.yml` files of a folder, sorted, with their texts; none where there is no such folder.
fn yaml_files(folder: &Path) -> anyhow::Result<Vec<(PathBuf, String)>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("reading {}", folder.display())),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yml") {
            let text =
                std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            files.push((path, text));
        }
    }
    files.sort();
    Ok(files)
}

/// Copies files into a folder under their own names; what is there under such a name and is another one is an error.
fn copy_into(folder: &Path, files: &[(PathBuf, String)]) -> anyhow::Result<()> {
    for (path, text) in files {
        let name = path.file_name().unwrap_or_default();
        write_new(&folder.join(name), text)?;
    }
    Ok(())
}

/// Writes a file that is not there, or is there with this text.
fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    is_free(path, text)?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

fn is_free(path: &Path, text: &str) -> anyhow::Result<()> {
    match std::fs::read_to_string(path) {
        Ok(there) if there == text => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Ok(_) => anyhow::bail!(
            "{} is there already and says something else; move it away, or name another file with --config",
            path.display()
        ),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}
