//! Container metrics with cAdvisor's names, labels, types and help, read from cgroups and `/proc`.
//!
//! Which containers there are, and what they are called, comes from outside ([`ContainerCollector::set_running`]): this module
//! knows no Docker. Where a container's cgroup is, is read from `/proc/<pid>/cgroup` of its first process, so that it does not
//! matter which driver named the folder, nor which hierarchy (v1, v2, both) holds the controller.

mod blockio;
mod cgroup;
mod families;
mod files;
mod filesystems;
mod format;
mod groups;
mod hierarchy;
mod machine;
mod member;
mod network;
mod processes;
mod sheet;
mod spec;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use model::Family;

pub use self::families::{ContainerFamily, container_families};

use self::blockio::{BlockIo, Devices};
use self::families::Name;
use self::files::Reader;
use self::filesystems::Filesystems;
use self::groups::Scanner;
use self::hierarchy::Hierarchies;
use self::machine::Machine;
use self::member::{Member, Tools};
use self::processes::Rotation;
use self::sheet::{Base, Sheet};
use crate::options::Paths;

/// A running container, as its runtime describes it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Container {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its first process in the host's numbering.
    pub pid: u32,
    /// Labels of all its series but `id`, sorted by name: `app`, `container_label_...`, `image`, `name`, `project`.
    /// A pair with an empty value is left out before it comes here.
    pub labels: Vec<(String, String)>,
    /// It has a network namespace of its own, neither the host's nor another container's.
    pub own_network: bool,
    /// Seconds since the epoch.
    pub created_s: f64,
    /// Seconds since the epoch; 0 when the runtime did not say.
    pub started_s: f64,
    /// What its health check says; `None` without one.
    pub healthy: Option<bool>,
    /// OOM kills that the runtime has told of since Masthead knows the container. A cgroup that died with its process can no
    /// longer be asked, so `container_oom_events_total` is the larger one of this and what the cgroup counted.
    pub oom_kills: u64,
}

/// Which cgroups that belong to no container are read too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Groups {
    /// None but the machine itself, `id="/"`.
    None,
    /// Those right below the root (`/system.slice`, `/user.slice`, `/docker`).
    #[default]
    Top,
    /// All, as cAdvisor does.
    All,
}

/// What is read.
#[derive(Debug, Clone, Default)]
pub struct ContainerOptions {
    /// Where `/proc` and `/sys` are; cgroups are below `sysfs/fs/cgroup` (or where `/proc/self/mountinfo` says).
    pub paths: Paths,
    /// One CPU series a processor instead of one in all (`cpu="total"`).
    pub per_cpu: bool,
    /// Cgroups of no container.
    pub groups: Groups,
}

/// One round.
#[derive(Debug, Default)]
pub struct ContainerCollection {
    /// Sorted by name, as an exporter prints them.
    pub families: Vec<Family>,
    /// What could not be read that should have been; a container that ended in between is none of these.
    pub warnings: Vec<String>,
    /// Which round of the collector this was, for [`ContainerCollector::recycle`].
    pub round: u64,
}

/// The present state of one container (or of the machine, with an empty `id`), for live pages: counters since it started and gauges.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// As in [`Container::id`].
    pub id: String,
    /// CPU seconds used.
    pub cpu_s: f64,
    /// Bytes in use that cannot be given back at once (cAdvisor's working set).
    pub memory_working_set_bytes: f64,
    /// Bytes; `None` when there is no limit below the machine's memory.
    pub memory_limit_bytes: Option<f64>,
    /// Bytes received by its own network namespace, loopback left out.
    pub receive_bytes: f64,
    /// Bytes sent.
    pub transmit_bytes: f64,
    /// Bytes read from block devices.
    pub read_bytes: f64,
    /// Bytes written to block devices.
    pub write_bytes: f64,
    /// Processes.
    pub processes: f64,
}

/// A container and, once it was found, its cgroup.
#[derive(Debug)]
struct Tracked {
    container: Container,
    member: Option<Member>,
    /// Rounds in which its cgroup was looked for in vain.
    misses: u64,
}

/// Reads all containers. Make one and keep it: it holds files open and knows what it saw.
#[derive(Debug)]
pub struct ContainerCollector {
    options: ContainerOptions,
    tools: Tools,
    hierarchies: Hierarchies,
    containers: Vec<Tracked>,
    groups: BTreeMap<String, Member>,
    machine: Option<Member>,
    scanner: Scanner,
    rotation: Rotation,
    round: u64,
    /// Label sets made so far.
    bases: u64,
}

impl ContainerCollector {
    /// A collector for these options. Nothing is read yet.
    #[must_use]
    pub fn new(options: &ContainerOptions) -> Self {
        Self {
            tools: Tools {
                reader: Reader::default(),
                sheet: Sheet::default(),
                devices: Devices::new(&options.paths),
                block_io: BlockIo::default(),
                filesystems: Filesystems::default(),
                machine: Machine::new(&options.paths),
                procfs: options.paths.procfs.clone(),
                per_cpu: options.per_cpu,
            },
            options: options.clone(),
            hierarchies: Hierarchies::default(),
            containers: Vec::new(),
            groups: BTreeMap::new(),
            machine: None,
            scanner: Scanner::default(),
            rotation: Rotation::default(),
            round: 0,
            bases: 0,
        }
    }

    /// The containers that run now. Files of those that are gone are closed; a container whose `pid` changed is found again.
    pub fn set_running(&mut self, running: Vec<Container>) {
        let mut old: HashMap<String, Tracked> = std::mem::take(&mut self.containers)
            .into_iter()
            .map(|tracked| (tracked.container.id.clone(), tracked))
            .collect();
        for container in running {
            let known = old.remove(&container.id);
            let (mut member, misses) = match known {
                Some(known) if known.container.pid == container.pid => {
                    let mut member = known.member;
                    if let Some(member) = &mut member
                        && known.container.labels != container.labels
                    {
                        self.bases += 1;
                        member.base = Base::new(&member.place.id, &container.labels, self.bases);
                    }
                    (member, known.misses)
                }
                Some(mut known) => {
                    close(&mut self.tools.reader, known.member.as_mut());
                    self.scanner.hurry();
                    (None, 0)
                }
                None => {
                    self.scanner.hurry();
                    (None, 0)
                }
            };
            if let Some(member) = &mut member {
                member.set_network(&container, &mut self.tools);
            }
            self.containers.push(Tracked {
                container,
                member,
                misses,
            });
        }
        for tracked in old.values_mut() {
            close(&mut self.tools.reader, tracked.member.as_mut());
        }
    }

    /// Reads everything once.
    pub fn collect(&mut self, now_ms: i64) -> ContainerCollection {
        let round = self.round;
        self.round += 1;
        self.tools.sheet.begin_round();
        self.tools.devices.begin_round(round);
        self.tools.machine.begin_round(round, &mut self.tools.reader);
        let paths = &self.options.paths;
        self.tools
            .filesystems
            .begin_round(round, &paths.procfs, &paths.rootfs, &mut self.tools.reader);
        self.find(round);
        self.scan_processes(round);

        let mut failed = self.hierarchies.is_empty();
        if let Some(member) = &mut self.machine {
            failed |= !member.add(&mut self.tools, None, now_ms, round);
        }
        self.bases += 1;
        self.tools
            .machine
            .add(&mut self.tools.reader, &mut self.tools.sheet, self.bases);
        let mut turn = round;
        for member in self.groups.values_mut() {
            turn += 1;
            member.add(&mut self.tools, None, now_ms, turn);
        }
        for tracked in &mut self.containers {
            turn += 1;
            let Some(member) = &mut tracked.member else {
                continue;
            };
            if !member.add(&mut self.tools, Some(&tracked.container), now_ms, turn) {
                member.close(&mut self.tools.reader);
                tracked.member = None;
            }
        }
        self.tools
            .sheet
            .push(Name::ScrapeError, &Base::none(), f64::from(u8::from(failed)));
        let denied = self.tools.reader.end_round();
        self.shed();
        ContainerCollection {
            families: self.tools.sheet.finish(),
            warnings: self.warnings(denied),
            round: self.round,
        }
    }

    /// Takes the last round's families back, unchanged, when they are no longer needed: the next round then writes new values
    /// beside the labels that are there, which saves most of its allocations, and series keep their numbers. Families of another round than the last one
    /// (somebody read in between) are dropped, as are those that are not of this collector.
    pub fn recycle(&mut self, families: Vec<Family>, round: u64) {
        if round == self.round {
            self.tools.sheet.recycle(families);
        }
    }

    /// The few figures that live pages show, of all containers and of the machine.
    pub fn read_live(&mut self) -> Vec<Reading> {
        self.tools
            .machine
            .begin_round(self.round.max(1), &mut self.tools.reader);
        self.find(self.round);
        let mut readings = Vec::with_capacity(self.containers.len() + 1);
        if let Some(member) = &mut self.machine {
            readings.extend(member.read_live(&mut self.tools, ""));
        }
        for tracked in &mut self.containers {
            if let Some(member) = &mut tracked.member {
                readings.extend(member.read_live(&mut self.tools, &tracked.container.id));
            }
        }
        self.tools.reader.end_round();
        self.shed();
        readings
    }

    /// The processes of a container in the host's numbering; none when it is not known or gone.
    pub fn pids(&mut self, id: &str) -> Vec<u32> {
        self.find(self.round);
        let tracked = self
            .containers
            .iter_mut()
            .find(|tracked| tracked.container.id == id);
        tracked
            .and_then(|tracked| tracked.member.as_mut())
            .map(|member| member.details(true).1.read(&mut self.tools.reader).all)
            .unwrap_or_default()
    }

    /// Most files that may be held open at once. The shell sets it from the process limit.
    pub fn set_files_max(&mut self, files: usize) {
        self.tools.reader.set_max(files);
        self.shed();
    }

    /// Closes files of the last containers until no more are open than may be.
    fn shed(&mut self) {
        let reader = &mut self.tools.reader;
        let members = self
            .containers
            .iter_mut()
            .rev()
            .filter_map(|tracked| tracked.member.as_mut())
            .chain(self.groups.values_mut())
            .chain(self.machine.as_mut());
        for member in members {
            if reader.excess() == 0 {
                return;
            }
            member.close(reader);
        }
    }

    /// Finds what is not yet found: the trees, the root, the containers, the groups.
    fn find(&mut self, round: u64) {
        if self.hierarchies.is_empty() {
            self.hierarchies = Hierarchies::find(&self.options.paths, &mut self.tools.reader);
        }
        if self.machine.is_none()
            && let Some(place) = self.hierarchies.place("")
        {
            self.bases += 1;
            self.machine = Some(Member::machine(place, self.bases, &mut self.tools));
        }
        self.find_containers();
        if !self.scanner.is_due(round) {
            return;
        }
        let containers: BTreeSet<&str> = self
            .containers
            .iter()
            .filter_map(|tracked| Some(tracked.member.as_ref()?.place.id.as_str()))
            .collect();
        let paths = self
            .scanner
            .scan(self.options.groups, &self.hierarchies, &containers, round);
        let mut old = std::mem::take(&mut self.groups);
        for path in paths {
            let member = match old.remove(&path) {
                Some(member) => member,
                None => {
                    let Some(place) = self.hierarchies.place(&path) else {
                        continue;
                    };
                    self.bases += 1;
                    Member::group(place, self.bases, self.tools.machine.boot_s)
                }
            };
            self.groups.insert(path, member);
        }
        for member in old.values_mut() {
            close(&mut self.tools.reader, Some(member));
        }
    }

    /// Finds the cgroups of containers that have none: by their first process, then by their id.
    fn find_containers(&mut self) {
        // Soon after a container came its cgroup may not be there yet; later it is likely gone.
        let is_due = |tracked: &Tracked| {
            tracked.member.is_none() && (tracked.misses < 16 || tracked.misses.is_multiple_of(8))
        };
        let tools = &mut self.tools;
        let mut lost = false;
        for tracked in self
            .containers
            .iter_mut()
            .filter(|tracked| tracked.member.is_none())
        {
            if !is_due(tracked) {
                tracked.misses += 1;
                continue;
            }
            let container = &tracked.container;
            let place = (container.pid != 0)
                .then(|| tools.procfs.join(format!("{}/cgroup", container.pid)))
                .and_then(|path| tools.reader.read_path(&path))
                .and_then(|membership| self.hierarchies.place_of(&container.id, membership));
            match place {
                Some(place) => {
                    self.bases += 1;
                    tracked.member = Some(Member::container(place, container, self.bases, tools));
                }
                None => lost = true,
            }
        }
        if !lost {
            return;
        }
        let ids: Vec<&str> = self
            .containers
            .iter()
            .filter(|tracked| is_due(tracked))
            .map(|tracked| tracked.container.id.as_str())
            .collect();
        let found = self.hierarchies.search(&ids);
        for tracked in self.containers.iter_mut().filter(|tracked| is_due(tracked)) {
            let place = found
                .get(&tracked.container.id)
                .and_then(|path| self.hierarchies.place(path));
            match place {
                Some(place) => {
                    self.bases += 1;
                    let member = Member::container(place, &tracked.container, self.bases, tools);
                    tracked.member = Some(member);
                }
                None => tracked.misses += 1,
            }
        }
    }

    /// Goes on with the processes of groups and containers.
    fn scan_processes(&mut self, round: u64) {
        let mut details = Vec::new();
        let mut places = Vec::new();
        let groups = self.groups.values_mut().map(|member| (member, false));
        let containers = self
            .containers
            .iter_mut()
            .filter_map(|tracked| Some((tracked.member.as_mut()?, true)));
        for (member, deep) in groups.chain(containers) {
            let (of, processes) = member.details(deep);
            details.push(of);
            places.push(processes);
        }
        let pids = |at: usize, reader: &mut Reader| {
            places
                .get_mut(at)
                .map(|processes| processes.read(reader))
                .unwrap_or_default()
        };
        let procfs = &self.options.paths.procfs;
        self.rotation
            .run(procfs, &mut self.tools.reader, round, &mut details, pids);
    }

    fn warnings(&self, denied: Option<PathBuf>) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.hierarchies.is_empty() {
            warnings.push(format!(
                "no cgroups are mounted below {}: container metrics need the host's /sys/fs/cgroup there",
                self.options.paths.sysfs.join("fs/cgroup").display()
            ));
        }
        if let Some(path) = denied {
            warnings.push(format!(
                "reading {} failed: permission denied; container metrics need to be read by root",
                path.display()
            ));
        }
        warnings
    }
}

fn close(reader: &mut Reader, member: Option<&mut Member>) {
    if let Some(member) = member {
        member.close(reader);
    }
}

/// Gives the bytes to every parser of container files, for the fuzzer and for property tests: none may panic.
pub(crate) fn fuzz(bytes: &[u8], text: &str) {
    format::fuzz(bytes);
    cgroup::fuzz(bytes);
    blockio::fuzz(bytes);
    machine::fuzz(bytes);
    hierarchy::fuzz(text);
}
