//! What is known about each target right now: for `/api/v1/targets` and `/api/v1/metadata`.
//!
//! Every source, scraped or in this process, holds a [`TargetHandle`] and writes the result of each round there; the API reads
//! copies. When the last handle of a target goes, so does its entry.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use hashbrown::HashMap;
use model::{Family, Labels, MetricType};

use super::exposition::Metadata;
use super::tracker::Report;

/// Rounds after which the metadata of a family that is no longer exposed is dropped, as in Prometheus.
const METADATA_ROUNDS: u64 = 10;

/// Health of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Health {
    /// Not scraped yet.
    #[default]
    Unknown,
    /// The last scrape was good.
    Up,
    /// The last scrape failed.
    Down,
}

impl Health {
    /// The word of `/api/v1/targets`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// What never changes about a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetInfo {
    /// Its scrape pool, the job's name in the configuration.
    pub job: String,
    /// Labels of its series.
    pub labels: Labels,
    /// Labels before relabelling, with `__address__` and the like.
    pub discovered_labels: Labels,
    /// Where it is read.
    pub scrape_url: String,
    /// The same for somebody elsewhere.
    pub global_url: String,
    /// Time between two rounds.
    pub scrape_interval: Duration,
    /// After this a scrape has failed.
    pub scrape_timeout: Duration,
}

/// A target and its last round.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetStatus {
    /// What never changes.
    pub info: TargetInfo,
    /// Health by the last round.
    pub health: Health,
    /// Why it is down, or what the store could not take; empty when all is well.
    pub last_error: String,
    /// Stamp of the last round, milliseconds since the epoch; 0 before the first.
    pub last_scrape_ms: i64,
    /// How long it took.
    pub last_duration_s: f64,
    /// Samples it gave.
    pub last_samples: usize,
}

/// What a target says about a metric family.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FamilyMetadata {
    /// Type, as `/api/v1/metadata` spells it.
    pub kind: &'static str,
    /// Help text.
    pub help: String,
    /// Unit, mostly empty.
    pub unit: String,
}

#[derive(Debug, Default)]
struct Known {
    kind: MetricType,
    help: String,
    unit: String,
    seen: u64,
}

/// The metadata of one target, renewed in each round without an allocation when nothing changes.
#[derive(Debug, Default)]
pub struct MetadataCache {
    families: HashMap<String, Known>,
    round: u64,
}

impl MetadataCache {
    /// Starts a round.
    pub fn start_round(&mut self) {
        self.round += 1;
        let round = self.round;
        self.families
            .retain(|_, known| known.seen + METADATA_ROUNDS >= round);
    }

    /// Takes a line about a family.
    pub fn set(&mut self, metadata: &Metadata<'_>) {
        match metadata {
            Metadata::Type(name, kind) => self.family(name).kind = *kind,
            Metadata::Help(name, help) => replace(&mut self.family(name).help, help),
            Metadata::Unit(name, unit) => replace(&mut self.family(name).unit, unit),
        }
    }

    /// Takes all that families of an in-process collector say.
    pub fn set_families(&mut self, families: &[Family]) {
        for family in families {
            let known = self.family(&family.name);
            known.kind = family.kind;
            replace(&mut known.help, &family.help);
        }
    }

    fn family(&mut self, name: &str) -> &mut Known {
        let round = self.round;
        let known = self.families.entry_ref(name).or_default();
        known.seen = round;
        known
    }
}

fn replace(old: &mut String, new: &str) {
    if old != new {
        old.clear();
        old.push_str(new);
    }
}

#[derive(Debug)]
struct Slot {
    status: Mutex<TargetStatus>,
    metadata: Mutex<MetadataCache>,
}

/// All targets.
#[derive(Debug, Default)]
pub struct Targets {
    slots: Mutex<Vec<Weak<Slot>>>,
}

/// A source's hold on its entry.
#[derive(Debug)]
pub struct TargetHandle(Arc<Slot>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Targets {
    /// No targets yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a target.
    #[must_use]
    pub fn register(&self, info: TargetInfo) -> TargetHandle {
        let status = TargetStatus {
            info,
            health: Health::Unknown,
            last_error: String::new(),
            last_scrape_ms: 0,
            last_duration_s: 0.0,
            last_samples: 0,
        };
        let slot = Arc::new(Slot {
            status: Mutex::new(status),
            metadata: Mutex::default(),
        });
        let mut slots = lock(&self.slots);
        slots.retain(|slot| slot.strong_count() > 0);
        slots.push(Arc::downgrade(&slot));
        TargetHandle(slot)
    }

    /// Adds a source inside this process: it has the labels `job` and `instance`, and a URL where its text can be read.
    #[must_use]
    pub fn register_local(&self, job: &str, instance: &str, url: &str, interval: Duration) -> TargetHandle {
        self.register(TargetInfo {
            job: job.to_owned(),
            labels: Labels::from_pairs([("job", job), ("instance", instance)]),
            discovered_labels: Labels::from_pairs([("__address__", instance), ("job", job)]),
            scrape_url: url.to_owned(),
            global_url: url.to_owned(),
            scrape_interval: interval,
            scrape_timeout: interval,
        })
    }

    fn live(&self) -> Vec<Arc<Slot>> {
        lock(&self.slots).iter().filter_map(Weak::upgrade).collect()
    }

    /// All targets as they are now, by job and then in the order of the configuration.
    #[must_use]
    pub fn snapshot(&self) -> Vec<TargetStatus> {
        let mut all: Vec<TargetStatus> = self
            .live()
            .iter()
            .map(|slot| lock(&slot.status).clone())
            .collect();
        all.sort_by(|a, b| a.info.job.cmp(&b.info.job));
        all
    }

    /// What all targets say about each family, each distinct saying once, for `/api/v1/metadata`.
    #[must_use]
    pub fn metadata(&self) -> BTreeMap<String, Vec<FamilyMetadata>> {
        let mut merged: BTreeMap<String, Vec<FamilyMetadata>> = BTreeMap::new();
        for (_, families) in self.metadata_by_target() {
            for (name, entry) in families {
                let entries = merged.entry(name).or_default();
                if !entries.contains(&entry) {
                    entries.push(entry);
                }
            }
        }
        merged
    }

    /// What each target says, with the target's labels, for `/api/v1/targets/metadata`.
    #[must_use]
    pub fn metadata_by_target(&self) -> Vec<(Labels, BTreeMap<String, FamilyMetadata>)> {
        let read = |slot: &Arc<Slot>| {
            let labels = lock(&slot.status).info.labels.clone();
            let families = lock(&slot.metadata);
            let entry = |known: &Known| FamilyMetadata {
                kind: known.kind.as_str(),
                help: known.help.clone(),
                unit: known.unit.clone(),
            };
            (
                labels,
                families
                    .families
                    .iter()
                    .map(|(name, known)| (name.clone(), entry(known)))
                    .collect(),
            )
        };
        self.live().iter().map(read).collect()
    }
}

impl TargetHandle {
    /// Writes down a round.
    pub fn update(&self, t_ms: i64, report: &Report) {
        let mut status = lock(&self.0.status);
        status.health = if report.up { Health::Up } else { Health::Down };
        status.last_scrape_ms = t_ms;
        status.last_duration_s = report.duration_s;
        status.last_samples = report.scraped;
        let error = report
            .error
            .as_deref()
            .or(report.store_error.as_deref())
            .unwrap_or("");
        replace(&mut status.last_error, error);
    }

    /// The target's metadata, to be renewed during a round.
    pub fn metadata(&self) -> MutexGuard<'_, MetadataCache> {
        lock(&self.0.metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_come_are_updated_and_go() {
        let targets = Targets::new();
        let node = targets.register_local(
            "node-exporter",
            "box:9100",
            "http://x/metrics/node",
            Duration::from_secs(15),
        );
        let app = targets.register_local("app", "a:1", "http://a:1/metrics", Duration::from_secs(5));
        assert_eq!(targets.snapshot()[1].health, Health::Unknown);
        node.update(
            7,
            &Report {
                up: true,
                scraped: 3,
                duration_s: 0.5,
                ..Report::default()
            },
        );
        app.update(
            8,
            &Report {
                error: Some("refused".into()),
                ..Report::default()
            },
        );
        let all = targets.snapshot();
        assert_eq!(
            (
                all[0].info.job.as_str(),
                all[0].health.as_str(),
                all[0].last_error.as_str()
            ),
            ("app", "down", "refused")
        );
        assert_eq!(
            (all[1].health.as_str(), all[1].last_scrape_ms, all[1].last_samples),
            ("up", 7, 3)
        );
        drop(app);
        assert_eq!(targets.snapshot().len(), 1);
    }

    #[test]
    fn metadata_is_merged_and_forgotten() {
        let targets = Targets::new();
        let handles: Vec<_> = ["a", "b", "c"]
            .map(|name| targets.register_local("j", name, "", Duration::ZERO))
            .into_iter()
            .collect();
        for (number, handle) in handles.iter().enumerate() {
            let mut metadata = handle.metadata();
            metadata.start_round();
            metadata.set(&Metadata::Type("m", MetricType::Counter));
            let help = if number == 2 { "Other." } else { "Help." };
            metadata.set(&Metadata::Help("m", help.into()));
            metadata.set(&Metadata::Unit("m", "s"));
        }
        let entry = |help: &str| FamilyMetadata {
            kind: "counter",
            help: help.into(),
            unit: "s".into(),
        };
        assert_eq!(targets.metadata()["m"], [entry("Help."), entry("Other.")]);
        for _ in 0..=METADATA_ROUNDS {
            handles[2].metadata().start_round();
        }
        assert_eq!(targets.metadata()["m"], [entry("Help.")]);
    }
}
