//! What the Docker Engine (or Podman's API of the same shape) knows of the containers: names, images, labels, state, health, and
//! what happens to them.
//!
//! ```text
//!   engine's socket --events, inspect--> watch --> inventory (who is there) --> tick, /metrics/containers, live pages
//!                                          \----> marks (what happened) ----> events API, counters
//! ```
//!
//! Invariants: the engine is only asked, never told; what it answers is taken as far as it is understood and never a
//! reason to stop; nothing is asked on a tick. While the engine is away the last list serves, without those whose process is gone.

mod answer;
mod event;
mod families;
pub mod inventory;
pub mod known;
pub mod marks;
mod place;
mod rows;
mod socket;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use collect::{Container, ContainerCollection, ContainerCollector, ContainerOptions};
use model::Family;
use tokio_util::sync::CancellationToken;

use inventory::{Engine, Inventory, Known};
use known::AllowList;
use marks::Marks;
use rows::{Made, OwnRows};

/// The collector with what it was told last, and our own rows.
#[derive(Debug)]
struct Collecting {
    collector: ContainerCollector,
    /// The list that it knows; `None` when that has to be looked at again.
    list: Option<Arc<Vec<Known>>>,
    rows: OwnRows,
    /// The last round's number.
    round: u64,
}

/// Everything about containers that the tick, the API and the live pages share.
#[derive(Debug)]
pub struct Containers {
    /// Reads their cgroups. Locked for the time of one reading.
    collecting: Mutex<Collecting>,
    /// Which containers there are, kept fresh by the engine's events.
    pub inventory: Arc<Inventory>,
    /// What happened to them.
    pub marks: Arc<Marks>,
    /// Which labels of containers are shown.
    pub labels: AllowList,
    procfs: PathBuf,
    told: Told,
}

/// What the watching task tells about itself.
#[derive(Debug, Default)]
struct Told {
    events: AtomicU64,
    connections: AtomicU64,
    /// From the last event to the list that shows it.
    lag_ms: AtomicI64,
}

impl Containers {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(options: &ContainerOptions, labels: AllowList, marks: Marks) -> Self {
        Self {
            procfs: options.paths.procfs.clone(),
            collecting: Mutex::new(Collecting {
                collector: ContainerCollector::new(options),
                list: None,
                rows: OwnRows::default(),
                round: 0,
            }),
            inventory: Arc::default(),
            marks: Arc::new(marks),
            labels,
            told: Told::default(),
        }
    }

    /// Starts the task that keeps the list fresh, until `stop`. `socket` is where the engine is; without it the usual places are
    /// looked at.
    pub fn watch(self: &Arc<Self>, socket: Option<PathBuf>, stop: CancellationToken) {
        let watch = watch::Watch::new(Arc::clone(self), socket);
        self.inventory.set(
            Engine::Away {
                why: "not connected yet".to_owned(),
            },
            Vec::new(),
        );
        tokio::spawn(watch.run(stop));
    }

    /// The containers whose processes run now, as the collector wants them.
    fn running(&self, engine: &Engine, known: &[Known]) -> Vec<Container> {
        known
            .iter()
            .filter(|known| self.runs(engine, known))
            .map(|known| known::container(known, &self.labels))
            .collect()
    }

    /// While events are read the list is right; while the engine is away a process may be gone, and its number somebody else's.
    fn runs(&self, engine: &Engine, known: &Known) -> bool {
        known.pid > 0 && (!is_away(engine) || in_cgroup(&self.procfs, known))
    }

    fn lock(&self) -> MutexGuard<'_, Collecting> {
        self.collecting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the collector who runs, unless it has been told of this very list.
    fn tell(&self, collecting: &mut Collecting, engine: &Engine, known: &Arc<Vec<Known>>) {
        let told = collecting.list.as_ref();
        if told.is_some_and(|list| Arc::ptr_eq(list, known)) && !is_away(engine) {
            return;
        }
        collecting.collector.set_running(self.running(engine, known));
        collecting.list = (!is_away(engine)).then(|| Arc::clone(known));
    }

    /// Calls `read` with the collector, which knows the containers that run at this moment.
    pub fn with_collector<R>(&self, read: impl FnOnce(&mut ContainerCollector) -> R) -> R {
        let (engine, known) = self.inventory.get();
        let mut collecting = self.lock();
        self.tell(&mut collecting, &engine, &known);
        read(&mut collecting.collector)
    }

    /// One round: the families of the collector and ours, sorted by name, and what could not be read.
    #[must_use]
    pub fn collect(&self, now_ms: i64) -> ContainerCollection {
        let (engine, list) = self.inventory.get();
        let mut collecting = self.lock();
        self.tell(&mut collecting, &engine, &list);
        let mut collection = collecting.collector.collect(now_ms);
        collecting.round = collection.round;
        let make = || {
            let sure: Vec<&Known> = list
                .iter()
                .filter(|known| known.pid == 0 || self.runs(&engine, known))
                .collect();
            let mut families = Vec::from(families::state(&sure));
            families.push(families::events(&self.marks, &list, now_ms));
            families
        };
        let ours = if is_away(&engine) {
            make()
        } else {
            let made = Made {
                list: Arc::clone(&list),
                marks: self.marks.added(),
                t_ms: now_ms,
            };
            collecting.rows.take(made, make)
        };
        collection.families.extend(ours);
        collection.families.sort_by(|a, b| a.name.cmp(&b.name));
        collection
    }

    /// Gives the families of a round back once they are stored or printed; see [`ContainerCollector::recycle`].
    pub fn recycle(&self, mut families: Vec<Family>, round: u64) {
        let mut collecting = self.lock();
        if round == collecting.round {
            collecting.rows.recycle(&mut families);
            collecting.collector.recycle(families, round);
        }
    }

    /// How the watching goes, for Masthead's own metrics.
    #[must_use]
    pub fn own_families(&self) -> Vec<Family> {
        let (engine, known) = self.inventory.get();
        families::own(
            &engine,
            known.len(),
            self.told.events.load(Ordering::Relaxed),
            self.told.connections.load(Ordering::Relaxed),
            self.told.lag_ms.load(Ordering::Relaxed),
        )
    }
}

/// The socket that would be opened: the configured one, else the first of the usual places.
#[must_use]
pub fn socket_path(configured: Option<&Path>) -> PathBuf {
    place::choose(configured)
}

/// Nobody tells what happens.
fn is_away(engine: &Engine) -> bool {
    matches!(engine, Engine::Away { .. })
}

/// Is this process still the container's? Every driver has the container's id in the path of its cgroup.
fn in_cgroup(procfs: &Path, known: &Known) -> bool {
    std::fs::read_to_string(procfs.join(known.pid.to_string()).join("cgroup"))
        .is_ok_and(|text| text.contains(&known.id))
}

/// Any bytes, taken as each kind of answer that an engine gives and as a line of the marks' file: the fuzzer's way in.
pub fn fuzz_answers(bytes: &[u8]) {
    let labels = AllowList::new(vec!["*".to_owned()]);
    if let Ok(answer) = serde_json::from_slice::<answer::Inspect>(bytes)
        && let Some(known) = known::known(answer)
    {
        let container = known::container(&known, &labels);
        assert!(
            container.labels.windows(2).all(|pair| pair[0].0 < pair[1].0),
            "sorted, each once"
        );
        let _ = families::state(&[&known]);
    }
    if let Ok(version) = serde_json::from_slice::<answer::Version>(bytes) {
        let _ = version.text();
    }
    let _ = serde_json::from_slice::<Vec<answer::Summary>>(bytes);
    let marks = Marks::default();
    let mut memory = event::Memory::default();
    for line in bytes.split(|b| *b == b'\n') {
        let event = serde_json::from_slice::<answer::EventLine>(line)
            .ok()
            .and_then(event::Event::read);
        if let Some(event) = event {
            let _ = event.created();
            if let Some(mark) = event::mark_for(&mut memory, &event) {
                marks.add(mark);
            }
        }
        if let Some(mark) = marks::Mark::read(line) {
            marks.add(mark);
        }
    }
    let _ = marks.select(i64::MIN, i64::MAX, None, usize::MAX);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fuzzer's corpus, as a plain test: findings stay found.
    #[test]
    fn the_fuzz_corpus_makes_no_parser_panic() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/engine_answer");
        let mut files = 0;
        for entry in std::fs::read_dir(corpus).unwrap() {
            fuzz_answers(&std::fs::read(entry.unwrap().path()).unwrap());
            files += 1;
        }
        assert!(files >= 8, "the corpus has {files} files");
    }

    fn known(pid: u32, id: &str) -> Known {
        Known {
            id: id.to_owned(),
            name: id.to_owned(),
            app: id.to_owned(),
            state: if pid > 0 { "running" } else { "exited" }.to_owned(),
            pid,
            ..Known::default()
        }
    }

    #[test]
    fn while_the_engine_is_away_only_what_still_runs_is_collected() {
        let folder = tempfile::tempdir().unwrap();
        for (pid, group) in [(7, "0::/docker/seven\n"), (8, "0::/user.slice\n")] {
            let at = folder.path().join(pid.to_string());
            std::fs::create_dir(&at).unwrap();
            std::fs::write(at.join("cgroup"), group).unwrap();
        }
        let mut options = ContainerOptions::default();
        options.paths.procfs = folder.path().to_owned();
        let containers = Containers::new(&options, AllowList::default(), Marks::default());
        let list = || {
            vec![
                known(7, "seven"),
                known(8, "eight"),
                known(9, "nine"),
                known(0, "old"),
            ]
        };
        let names = |engine| {
            containers.inventory.set(engine, list());
            let (engine, known) = containers.inventory.get();
            let running = containers.running(&engine, &known);
            let running: Vec<String> = running.into_iter().map(|c| c.id).collect();
            let families = containers.collect(0).families;
            let state = families
                .iter()
                .find(|f| f.name == "masthead_container_state")
                .unwrap();
            (running, state.metrics.len())
        };
        let connected = Engine::Connected {
            version: "1".to_owned(),
        };
        assert_eq!(
            names(connected),
            (vec!["seven".to_owned(), "eight".to_owned(), "nine".to_owned()], 4)
        );
        let away = Engine::Away {
            why: "test".to_owned(),
        };
        assert_eq!(names(away), (vec!["seven".to_owned()], 2));
    }
}
