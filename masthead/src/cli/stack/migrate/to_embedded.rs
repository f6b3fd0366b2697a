//! From the stack of containers to `masthead up`.
//!
//! The bulk is imported from a snapshot while everything runs. Then the stack is stopped, and what came in since is imported from its data
//! folder: an import takes only what is not there yet, so not one sample is missing.

use std::path::{Path, PathBuf};

use anyhow::Context;
use stack::{Component, Event, Stack, Status};

use super::{CONFIG, MigrateArgs, different, is_free, migrated, planned, step, warn, write_new, yaml_files};
use crate::backup::is_store;
use crate::blocks;
use crate::cli::service;
use crate::cli::stack::backup::in_thread;
use crate::cli::stack::{Outcome, Progress};
use crate::clock;
use crate::migrate::carry::{self, File};
use crate::migrate::questions::{self, Answers, Moment};
use crate::migrate::{has_room, is_marked, mark, open, unmark};
use crate::service::options::Options;

/// What is asked about lies so far back that each scrape of it has ended.
const SETTLED_MS: i64 = 10_000;

/// All that is decided before anything is done.
struct Plan {
    status: Status,
    data_dir: PathBuf,
    config: PathBuf,
    /// Of `config`.
    text: String,
    rules: Vec<File>,
    service: Options,
    has_systemd: bool,
}

impl Plan {
    async fn new(stack: &Stack, args: &MigrateArgs) -> anyhow::Result<Self> {
        let status = stack.status().await?;
        let prometheus = status
            .components
            .iter()
            .find(|one| one.component == Component::Prometheus);
        anyhow::ensure!(
            prometheus.is_some_and(|one| one.state == "running"),
            "the stack's Prometheus does not run, and it is asked before its data is moved; start it with `masthead start`"
        );
        anyhow::ensure!(
            status.options.swarm.is_none(),
            "this stack watches all nodes of a swarm, and `masthead up` sees the machine that it runs on alone: `masthead setup --without-swarm` \
             first; the nodes' history moves with the rest, and on each other node a Masthead of its own goes on"
        );
        let data_dir = args.data_dir()?;
        let has_data = is_store(&data_dir)
            && blocks::open_read_only(&data_dir).map_or(true, |(db, _)| db.time_range().is_some());
        anyhow::ensure!(
            !has_data || is_marked(&data_dir),
            "{} holds data of a `masthead up` already; move it away, or name another folder with --data-dir (to add history to it, \
             use `masthead tsdb import`)",
            data_dir.display()
        );
        let base = stack.base_dir();
        let own = yaml_files(&base.join("conf.d"))?;
        let rules = yaml_files(&base.join("rules"))?;
        let options = &status.options;
        let interval = options.scrape_interval.to_string();
        let text = carry::to_embedded(&interval, &options.server.to_string(), &own, base)?;
        let config = args.config.clone().unwrap_or_else(|| PathBuf::from(CONFIG));
        let config = std::path::absolute(config)?;
        is_free(&config, &text)?;
        has_room(&data_dir, crate::migrate::size(&base.join("data")))?;
        let mut service = Options::default();
        let mut set = |name: &str, value: String| service.set(name, vec![value]);
        set(
            "listen",
            format!("127.0.0.1:{}", options.port(Component::Prometheus)),
        );
        set("config", config.display().to_string());
        let time = args.retention_time.as_ref().unwrap_or(&options.retention_time);
        set("retention-time", time.to_string());
        if let Some(size) = args.retention_size.as_ref().or(options.retention_size.as_ref()) {
            set("retention-size", size.to_string());
        }
        Ok(Self {
            data_dir,
            config,
            text,
            rules,
            service,
            has_systemd: service::is_possible() && args.data_dir.is_none(),
            status,
        })
    }

    fn up_command(&self) -> String {
        format!(
            "masthead up --data-dir {} {}",
            self.data_dir.display(),
            self.service.words().join(" ")
        )
    }

    fn steps(&self, args: &MigrateArgs) -> Vec<String> {
        let base = self.status.base_dir.display();
        let mut steps = vec![
            format!("ask Prometheus {} queries", questions::count()),
            format!("import a snapshot of its data into {}", self.data_dir.display()),
            "stop the stack's containers".to_owned(),
            format!("import what came in since from {base}/data"),
            format!("write {}", self.config.display()),
        ];
        if !self.rules.is_empty() {
            steps.push(format!("copy {} files of rules beside it", self.rules.len()));
        }
        steps.push("ask the same queries of the imported data".to_owned());
        steps.push(match self.has_systemd {
            true => format!(
                "install and start the service: {}",
                self.service.words().join(" ")
            ),
            false => format!("(then it is yours to run `{}`)", self.up_command()),
        });
        if args.purge {
            steps.push(format!("remove the stack with its data in {base}"));
        }
        steps
    }
}

pub(super) async fn run(stack: &Stack, args: &MigrateArgs, progress: &Progress) -> anyhow::Result<Outcome> {
    let plan = Plan::new(stack, args).await?;
    if args.dry_run {
        return Ok(planned(&plan.steps(args)));
    }
    let hear = |event: Event| progress.hear(event);
    let access = stack.access().await?;
    let interval_ms = i64::try_from(plan.status.options.scrape_interval.millis())?;
    let first_ms = questions::first_sample(&access).await?;
    let last_ms = (clock::now_ms() - 2 * interval_ms - SETTLED_MS).max(first_ms);
    let moment = Moment { first_ms, last_ms };
    step(progress, "Prometheus' answers");
    let before = questions::ask_server(&access, moment).await?;

    // The lock, and that we are root, come first.
    let snapshot = stack.snapshot(&hear).await?;
    mark(&plan.data_dir)?;
    let imported = import(&snapshot, &plan.data_dir, progress).await;
    stack.drop_snapshot(&hear).await?;
    imported?;
    stack.stop(&[], &hear).await?;
    let back = async |cause: &str| {
        warn(progress, format!("{cause}; the stack is started again"));
        stack.start(&[], &hear).await
    };
    let moved = finish(&plan, stack, moment, &before, progress).await;
    let (warnings, differences) = match moved {
        Ok(moved) => moved,
        Err(error) => {
            back("the migration failed").await?;
            return Err(error.context("migrating to `masthead up` failed, and the stack runs again"));
        }
    };
    if !differences.is_empty() {
        back("answers differ").await?;
        let kept = format!(
            "The stack runs again. What was imported stays in {}; another `masthead migrate embedded` goes on with it.",
            plan.data_dir.display()
        );
        return Ok(different(&differences, &kept));
    }
    if plan.has_systemd
        && let Err(error) = service::put(plan.service.clone())
    {
        back("the service could not be started").await?;
        return Err(error.context("starting `masthead up` failed, and the stack runs again"));
    }
    unmark(&plan.data_dir)?;
    if args.purge {
        stack.remove(true, &hear).await?;
    }
    Ok(migrated(said(&plan, args), &warnings))
}

fn said(plan: &Plan, args: &MigrateArgs) -> String {
    let base = plan.status.base_dir.display();
    let mut text = format!("Migrated; {} queries answer as before.\n", questions::count());
    text.push_str(&match plan.has_systemd {
        true => format!(
            "`masthead up` runs as a service, with its data in {}.",
            plan.data_dir.display()
        ),
        false => format!("Start it: {}", plan.up_command()),
    });
    if !args.purge {
        text.push_str(&format!(
            "\nThe stack is stopped, its data stays in {base}: `masthead start` brings it back, `masthead remove --purge-data` removes it."
        ));
    }
    text
}

/// With the stack stopped: the rest of the data, the configuration, and the questions again. Gives warnings and differences.
async fn finish(
    plan: &Plan,
    stack: &Stack,
    moment: Moment,
    before: &Answers,
    progress: &Progress,
) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let mut warnings = import(&stack.base_dir().join("data"), &plan.data_dir, progress).await?;
    write_new(&plan.config, &plan.text)?;
    if !plan.rules.is_empty() {
        let rules = plan.config.with_file_name("rules");
        super::copy_into(&rules, &plan.rules)?;
        warnings.push(format!(
            "the rules were copied to {}, and this version of `masthead up` does not evaluate rules yet: what they recorded so far \
             stays, nothing is added",
            rules.display()
        ));
    }
    for warning in &warnings {
        warn(progress, warning.clone());
    }
    step(progress, "the answers of what was imported");
    let data_dir = plan.data_dir.clone();
    let after = in_thread(progress, move |cancel, _| {
        let now_ms = clock::now_ms();
        let db = open(&data_dir, now_ms)?;
        let answers = questions::ask_store(db.as_ref(), moment, cancel);
        db.close(now_ms)?;
        Ok(answers)
    })
    .await?;
    Ok((warnings, questions::differences(before, &after)))
}

/// Imports a folder of Prometheus'; gives what there is to say.
async fn import(from: &Path, data_dir: &Path, progress: &Progress) -> anyhow::Result<Vec<String>> {
    let (from, data_dir) = (from.to_owned(), data_dir.to_owned());
    in_thread(progress, move |cancel, events| {
        let report = blocks::import(&from, &data_dir, clock::now_ms(), cancel, &mut |done| {
            events(Event::Waiting {
                what: format!(
                    "the import: {} of {} ranges of time, {} samples",
                    done.done, done.of, done.samples
                ),
            });
        })
        .with_context(|| format!("importing {}", from.display()))?;
        Ok(report.warnings)
    })
    .await
}
