//! From `masthead up` to the stack of containers.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use anyhow::Context;
use model::Cancel;
use stack::{Change, Component, Event, Stack, StackError};

use super::{
    CONFIG, MigrateArgs, copy_into, different, migrated, planned, step, warn, write_new, yaml_files,
};
use crate::app::data_dir::Lock;
use crate::backup::{Embedded, is_store};
use crate::blocks;
use crate::cli::service;
use crate::cli::stack::backup::in_thread;
use crate::cli::stack::{Outcome, Progress};
use crate::clock;
use crate::migrate::carry::{self, File, ForUpstream};
use crate::migrate::questions::{self, Answers, Moment};
use crate::migrate::{has_room, is_marked, mark, open, unmark};
use crate::service::options::Options;
use crate::service::plan::Step;
use crate::service::{Places, apply};

/// Prometheus' chunks take more than our columns.
const GROWTH: u64 = 3;

/// All that is decided before anything is done.
struct Plan {
    source: Embedded,
    config: Option<PathBuf>,
    carried: ForUpstream,
    rules: Vec<File>,
    change: Change,
}

impl Plan {
    async fn new(stack: &Stack, args: &MigrateArgs) -> anyhow::Result<Self> {
        let source = Embedded::find(args.data_dir()?, args.config.clone(), None)?;
        anyhow::ensure!(
            is_store(&source.data_dir),
            "{} is not the data folder of a `masthead up`; name it with --data-dir",
            source.data_dir.display()
        );
        if !source.is_service {
            // What systemd does not run is not ours to stop.
            drop(Lock::take(&source.data_dir)?);
        }
        let data = stack.base_dir().join("data");
        let is_set_up = match stack.status().await {
            Ok(_) => true,
            Err(StackError::NotSetUp { .. }) => false,
            Err(error) => return Err(error.into()),
        };
        let has_data = fs::read_dir(&data).is_ok_and(|mut entries| entries.next().is_some());
        anyhow::ensure!(
            is_marked(&data) || !(is_set_up || has_data),
            "there is a stack under {} already, and its data is not mixed with another's; remove it with `masthead remove --purge-data`, \
             or name another folder with --base-dir",
            stack.base_dir().display()
        );
        let usual = Path::new(CONFIG).to_owned();
        let config = source.config.clone().or_else(|| usual.is_file().then_some(usual));
        let carried = match &config {
            Some(path) => {
                let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
                carry::to_upstream(path, &text)?
            }
            None => ForUpstream::default(),
        };
        let rules = match &config {
            Some(path) => yaml_files(&path.with_file_name("rules"))?,
            None => Vec::new(),
        };
        has_room(
            &data,
            crate::migrate::size(&source.data_dir).saturating_mul(GROWTH),
        )?;
        let change = change(args, &carried, &service::installed()?)?;
        Ok(Self {
            source,
            config,
            carried,
            rules,
            change,
        })
    }

    fn steps(&self, stack: &Stack, args: &MigrateArgs) -> Vec<String> {
        let (data, base) = (self.source.data_dir.display(), stack.base_dir().display());
        let mut steps = Vec::new();
        if self.source.is_service {
            steps.push("systemctl stop masthead".to_owned());
        }
        steps.push(format!(
            "ask {} queries of the data in {data}",
            questions::count()
        ));
        steps.push(format!("write it as blocks of Prometheus into {base}/data"));
        if let (Some(_), Some(config)) = (&self.carried.scrape_configs, &self.config) {
            steps.push(format!(
                "write {base}/conf.d/migrated.yml from {}",
                config.display()
            ));
        }
        if !self.rules.is_empty() {
            steps.push(format!(
                "copy {} files of rules to {base}/rules",
                self.rules.len()
            ));
        }
        steps.push("masthead setup".to_owned());
        steps.push("ask Prometheus the same queries".to_owned());
        if self.source.is_service {
            steps.push("systemctl disable masthead".to_owned());
        }
        if args.purge {
            steps.push(format!("remove the data in {data}"));
        }
        steps
    }
}

/// What the stack is set up with: the flags, else what the source has.
fn change(args: &MigrateArgs, carried: &ForUpstream, installed: &Options) -> anyhow::Result<Change> {
    let mut change = Change {
        retention_time: args.retention_time.clone(),
        retention_size: args.retention_size.clone().map(Some),
        ..Change::default()
    };
    if change.retention_time.is_none()
        && let Some(time) = installed.get("retention-time")
    {
        change.retention_time = Some(time.parse()?);
    }
    if change.retention_size.is_none()
        && let Some(size) = installed.get("retention-size")
    {
        change.retention_size = Some(Some(size.parse()?));
    }
    if let Some(interval) = &carried.interval {
        change.scrape_interval = Some(interval.parse()?);
    }
    if let Some(server) = &carried.server {
        change.server = Some(server.parse()?);
    }
    let listen = installed.get("listen").and_then(|listen| listen.rsplit_once(':'));
    if let Some(port) = listen.and_then(|(_, port)| port.parse().ok()) {
        change.ports.insert(Component::Prometheus, port);
    }
    Ok(change)
}

pub(super) async fn run(stack: &Stack, args: &MigrateArgs, progress: &Progress) -> anyhow::Result<Outcome> {
    let plan = Plan::new(stack, args).await?;
    if args.dry_run {
        return Ok(planned(&plan.steps(stack, args)));
    }
    let hear = |event: Event| progress.hear(event);
    let places = Places::default();
    let is_service = plan.source.is_service;
    if is_service {
        step(progress, "masthead up to end");
        apply::step(Step::Stop, &places, "")?;
    }
    let moved = transfer(&plan, stack, progress).await;
    let back = async || {
        // Where nothing was set up yet there is nothing to stop.
        let _absent = stack.stop(&[], &hear).await;
        match is_service {
            true => apply::step(Step::Start, &places, "").map(|()| "`masthead up` runs again."),
            false => Ok("Its data is as it was: start `masthead up` again."),
        }
    };
    let differences = match moved {
        Ok(differences) => differences,
        Err(error) => {
            let said = back().await?;
            return Err(error.context(format!(
                "migrating to the stack of containers failed. {said} Another `masthead migrate upstream` begins anew"
            )));
        }
    };
    if !differences.is_empty() {
        let said = back().await?;
        return Ok(different(&differences, said));
    }
    unmark(&stack.base_dir().join("data"))?;
    if is_service {
        apply::step(Step::Disable, &places, "")?;
    }
    let data = plan.source.data_dir.display();
    let mut text = format!(
        "Migrated; {} queries answer as before, and every target is up. Prometheus answers at {}",
        questions::count(),
        stack.access().await?.url
    );
    if args.purge {
        fs::remove_dir_all(&plan.source.data_dir).with_context(|| format!("removing {data}"))?;
    } else {
        text.push_str(&format!(
            "\n`masthead up` is stopped, its data stays in {data}; remove it by hand when you do not need it any more."
        ));
    }
    Ok(migrated(text, &plan.carried.warnings))
}

/// Moves everything, sets the stack up, and gives what answers otherwise than before.
async fn transfer(plan: &Plan, stack: &Stack, progress: &Progress) -> anyhow::Result<Vec<String>> {
    let hear = |event: Event| progress.hear(event);
    // Nobody may begin to write meanwhile.
    let _lock = Lock::take(&plan.source.data_dir)?;
    step(progress, "the answers of the data");
    let data_dir = plan.source.data_dir.clone();
    let (moment, before) = in_thread(progress, move |cancel, _| ask(&data_dir, cancel)).await?;
    let data = stack.lay_out(&plan.change, &hear).await?;
    // Of a run that was cut off: blocks that are not whole, and a log of a Prometheus that ran on them.
    for entry in fs::read_dir(&data).with_context(|| format!("reading {}", data.display()))? {
        let path = entry?.path();
        match path.is_dir() {
            true => fs::remove_dir_all(&path),
            false => fs::remove_file(&path),
        }
        .with_context(|| format!("removing {}", path.display()))?;
    }
    mark(&data)?;
    export(&plan.source.data_dir, &data, progress).await?;
    carry_over(plan, stack.base_dir())?;
    for warning in &plan.carried.warnings {
        warn(progress, warning.clone());
    }
    stack.setup(&Change::default(), &hear).await?;
    step(progress, "Prometheus' answers");
    let after = questions::ask_server(&stack.access().await?, moment).await?;
    Ok(questions::differences(&before, &after))
}

fn ask(data_dir: &Path, cancel: &Cancel) -> anyhow::Result<(Moment, Answers)> {
    let now_ms = clock::now_ms();
    let db = open(data_dir, now_ms)?;
    let (first_ms, last_ms) = db.time_range().with_context(|| {
        format!(
            "{} holds no samples: there is nothing to migrate",
            data_dir.display()
        )
    })?;
    let moment = Moment {
        first_ms,
        last_ms: last_ms.min(now_ms),
    };
    let answers = questions::ask_store(db.as_ref(), moment, cancel);
    db.close(now_ms)?;
    Ok((moment, answers))
}

async fn export(from: &Path, to: &Path, progress: &Progress) -> anyhow::Result<()> {
    let (from, to) = (from.to_owned(), to.to_owned());
    in_thread(progress, move |cancel, events| {
        let (db, _) = blocks::open_read_only(&from)?;
        let all = (i64::MIN, i64::MAX);
        let mut samples = 0;
        blocks::export(&db, &to, all, clock::now_ms(), cancel, &mut |block| {
            samples += block.samples;
            events(Event::Waiting {
                what: format!("the export: {samples} samples"),
            });
        })
        .map(drop)
    })
    .await
}

/// Scrape configs with the files that they name, and rules.
fn carry_over(plan: &Plan, base: &Path) -> anyhow::Result<()> {
    let folder = base.join("conf.d");
    if let Some(text) = &plan.carried.scrape_configs {
        write_new(&folder.join("migrated.yml"), text)?;
    }
    for (from, name) in &plan.carried.files {
        let to = folder.join(name);
        fs::copy(from, &to).with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
        // Passwords, for Prometheus alone.
        let uid = Component::Prometheus.uid();
        chown(&to, Some(uid), Some(uid))
            .and_then(|()| fs::set_permissions(&to, fs::Permissions::from_mode(0o400)))
            .with_context(|| format!("giving {} to Prometheus", to.display()))?;
    }
    copy_into(&base.join("rules"), &plan.rules)
}
