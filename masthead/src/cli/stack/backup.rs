//! `masthead backup` and `masthead restore`: of the stack of containers or of `masthead up`, whichever there is.

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use model::{Cancel, CancelReason};
use serde_json::json;
use stack::archive::{Checked, Kind};
use stack::{BackupReport, Event, Stamp};

use super::outcome::Usage;
use super::{Common, EXIT_CODES, Manner, Outcome, Progress, run_to_end};
use crate::app::data_dir;
use crate::backup::{self, Embedded};
use crate::cli::words;
use crate::clock;

#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  masthead backup /var/backups/monitoring-$(date +%F).tar.gz
  masthead backup b.tar.gz --data-dir ~/.local/share/masthead
  masthead backup web-1.tar.gz --server web-1        of a registered server, into a file here

Everything goes on running meanwhile. The file holds the stored samples, the configuration, and the passwords of the stack: it is made
readable for you alone, keep it so. It is a .tar.gz, whole or not there at all. docs/backup.md says what is in it.

{EXIT_CODES}"))]
pub(in crate::cli) struct BackupArgs {
    /// The file to write; there must be none of that name
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    which: Which,
    /// Wait where another run works on the stack
    #[arg(long)]
    wait: bool,
}

#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  masthead restore b.tar.gz --dry-run                is it whole, and what is in it?
  masthead restore b.tar.gz

The file is verified from end to end before anything is touched. What is there now is replaced; if the restored does not come up, it
comes back.

{EXIT_CODES}"))]
pub(in crate::cli) struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    which: Which,
    /// Verify the file and say what is in it; change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Wait where another run works on the stack
    #[arg(long)]
    wait: bool,
}

/// Which of the two ways to run is meant.
#[derive(Debug, Args)]
struct Which {
    /// The stack of containers, or `masthead up` [default: what is there]
    #[arg(long, value_enum, value_name = "WHICH")]
    runtime: Option<Runtime>,
    /// The data folder of `masthead up`
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// masthead.yml of `masthead up` [default: that of the installed service]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Its web.yml [default: that of the installed service]
    #[arg(long, value_name = "FILE")]
    web_config: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Runtime {
    /// The real Prometheus as a container, deployed by `masthead setup`
    Upstream,
    /// `masthead up`
    Embedded,
}

/// Ends a thread's work when nobody waits for it any more.
struct CancelOnDrop(Arc<Cancel>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel(CancelReason::HungUp);
    }
}

impl Which {
    /// What is meant, from the flags, else from what is there; `otherwise` where nothing is.
    fn runtime(&self, common: &Common, otherwise: Option<Kind>) -> anyhow::Result<Kind> {
        let base_dir = common.base_dir()?;
        let is_elsewhere = common.server.is_some() || common.all;
        let is_embedded = self.data_dir.is_some() || self.config.is_some() || self.web_config.is_some();
        match self.runtime {
            Some(Runtime::Upstream) if is_embedded => {
                Err(Usage("--data-dir, --config and --web-config are of --runtime embedded").into())
            }
            Some(Runtime::Upstream) => Ok(Kind::Upstream),
            _ if is_elsewhere && (is_embedded || self.runtime == Some(Runtime::Embedded)) => Err(Usage(
                "of another machine's `masthead up` a backup is made and restored there: log in to it and run this without --server",
            )
            .into()),
            _ if is_elsewhere => Ok(Kind::Upstream),
            Some(Runtime::Embedded) => Ok(Kind::Embedded),
            None if is_embedded => Ok(Kind::Embedded),
            None => {
                let upstream = base_dir.join(stack::spec::OPTIONS_FILE).is_file();
                let embedded = data_dir::default_path().is_ok_and(|dir| backup::is_store(&dir));
                match (upstream, embedded, otherwise) {
                    (true, false, _) => Ok(Kind::Upstream),
                    (false, true, _) => Ok(Kind::Embedded),
                    (false, false, Some(kind)) => Ok(kind),
                    (true, true, _) => Err(Usage(
                        "there are both a stack of containers and a data folder of `masthead up`; say --runtime upstream or \
                         --runtime embedded",
                    )
                    .into()),
                    (false, false, None) => anyhow::bail!(
                        "there is neither a stack under {} nor a data folder of `masthead up`; name it with --base-dir or --data-dir",
                        base_dir.display()
                    ),
                }
            }
        }
    }

    fn embedded(&self) -> anyhow::Result<Embedded> {
        let data_dir = match &self.data_dir {
            Some(dir) => dir.clone(),
            None => data_dir::default_path()?,
        };
        Embedded::find(data_dir, self.config.clone(), self.web_config.clone())
    }
}

fn stamp() -> Stamp {
    Stamp {
        time: jiff::Timestamp::from_millisecond(clock::now_ms())
            .map_or_else(|_| String::new(), |now| format!("{now:.0}")),
        masthead: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

pub(super) fn backup(args: &BackupArgs) -> anyhow::Result<()> {
    let progress = Progress::new();
    run_to_end(args.common.json, &progress, async {
        let report = match args.which.runtime(&args.common, None)? {
            Kind::Upstream => {
                let manner = Manner {
                    wait: args.wait,
                    ..Manner::default()
                };
                let stack = args.common.stack(&manner).await?;
                stack
                    .backup(&args.file, &stamp(), &|event: Event| progress.hear(event))
                    .await?
            }
            Kind::Embedded => {
                let embedded = args.which.embedded()?;
                let file = args.file.clone();
                in_thread(&progress, move |cancel, events| {
                    embedded.backup(&file, &stamp(), cancel, events)
                })
                .await?
            }
        };
        Ok(Outcome::done(
            backup_text(&report),
            serde_json::to_value(&report)?,
        ))
    })
}

fn backup_text(report: &BackupReport) -> String {
    format!(
        "{} ({}): {} files, {}; it holds passwords, keep it to yourself",
        report.file.display(),
        size(report.archive_bytes),
        report.files,
        size(report.bytes)
    )
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn size(bytes: u64) -> String {
    words::bytes(Some(bytes as f64))
}

pub(super) fn restore(args: &RestoreArgs) -> anyhow::Result<()> {
    let progress = Progress::new();
    run_to_end(args.common.json, &progress, async {
        let hear = |event: Event| progress.hear(event);
        let checked = stack::read_backup(&args.file, &hear).await?;
        if args.dry_run {
            return Ok(Outcome::done(what_is_in(&checked), fields(&checked)));
        }
        let runtime = args.which.runtime(&args.common, Some(checked.header.kind))?;
        backup::fits(&checked, runtime)?;
        if !args.yes && !is_wanted(&checked, args.common.json)? {
            return Ok(Outcome::done("nothing was restored", json!({})));
        }
        match runtime {
            Kind::Upstream => {
                let manner = Manner {
                    wait: args.wait,
                    ..Manner::default()
                };
                let stack = args.common.stack(&manner).await?;
                let report = stack.restore(&args.file, &hear).await?;
                let url = report.url.clone().unwrap_or_default();
                let text = format!("Restored; every target is up. Prometheus answers at {url}");
                Ok(Outcome::done(text, serde_json::to_value(&report)?))
            }
            Kind::Embedded => {
                let embedded = args.which.embedded()?;
                let file = args.file.clone();
                let held = checked.clone();
                let text = in_thread(&progress, move |cancel, events| {
                    embedded.restore(&file, &held, cancel, events)
                })
                .await?;
                Ok(Outcome::done(text, fields(&checked)))
            }
        }
    })
}

/// Runs work that blocks, so that Ctrl-C is heard meanwhile; its events come back over a channel.
pub(super) async fn in_thread<T: Send + 'static>(
    progress: &Progress,
    work: impl FnOnce(&Cancel, stack::OnEvent<'_>) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let cancel = Arc::new(Cancel::new());
    let _stop = CancelOnDrop(Arc::clone(&cancel));
    let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
    let thread = tokio::task::spawn_blocking(move || {
        // Nobody may listen any more.
        work(&cancel, &|event| drop(sender.send(event)))
    });
    while let Some(event) = events.recv().await {
        progress.hear(event);
    }
    thread.await?
}

fn fields(checked: &Checked) -> serde_json::Value {
    json!({
        "backup": checked.header,
        "files": checked.entries.iter().filter(|entry| !entry.is_folder()).count(),
        "bytes": checked.bytes(),
    })
}

fn what_is_in(checked: &Checked) -> String {
    let header = &checked.header;
    let mut text = format!(
        "whole: {} of {} at {}, made by masthead {}: {} files, {}",
        match header.kind {
            Kind::Upstream => "a stack of containers",
            Kind::Embedded => "a `masthead up`",
        },
        header.host,
        header.time,
        header.masthead,
        checked.entries.iter().filter(|entry| !entry.is_folder()).count(),
        size(checked.bytes())
    );
    for (component, image) in &header.versions {
        text.push_str(&format!("\n  {component}: {image}"));
    }
    text
}

fn is_wanted(checked: &Checked, json: bool) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() || json {
        return Err(Usage("restore asks first, and there is no terminal to ask on; say --yes").into());
    }
    let question = format!(
        "{}\nPut this in the place of what is there now? What was stored since then is lost. [y/N] ",
        what_is_in(checked)
    );
    let mut stderr = std::io::stderr().lock();
    stderr.write_all(question.as_bytes())?;
    stderr.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(super::remove::is_yes(&answer))
}
