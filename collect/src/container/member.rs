//! One cgroup that is read: a container's, a group's, or the root, which is the machine.

use std::path::{Path, PathBuf};

use super::Container;
use super::blockio::{BlockIo, Devices, IoOf};
use super::cgroup::{self, CpuTime, File, Files, push};
use super::families::Name;
use super::files::{Reader, Shape, Slot};
use super::filesystems::Filesystems;
use super::format::{self, float};
use super::hierarchy::{Controller, Place, Version};
use super::machine::Machine;
use super::network;
use super::processes::{Details, Pids, pids_of};
use super::sheet::{Base, Sheet};
use super::spec::Spec;

/// Live readings for which the machine's number of processes is repeated.
const LISTED_CALLS: u64 = 10;

/// What all cgroups of a round are read with.
#[derive(Debug)]
pub(super) struct Tools {
    pub(super) reader: Reader,
    pub(super) sheet: Sheet,
    pub(super) devices: Devices,
    pub(super) block_io: BlockIo,
    pub(super) filesystems: Filesystems,
    pub(super) machine: Machine,
    pub(super) procfs: PathBuf,
    pub(super) per_cpu: bool,
}

/// A cgroup with its open files and what is kept of it between rounds.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) base: Base,
    pub(super) place: Place,
    pub(super) details: Details,
    files: Files,
    memory: Version,
    io: IoOf,
    spec: Option<Spec>,
    /// `net` of a process in its network namespace, and that process.
    network: Option<(u32, Slot)>,
    created_s: f64,
    /// It is the root.
    machine: bool,
    /// The root: processes of the machine, and how often that was wanted.
    listed: Option<f64>,
    listed_calls: u64,
}

/// What gives the processes of a cgroup.
#[derive(Debug)]
pub(super) struct ProcessesOf<'a> {
    files: &'a mut Files,
    folder: Option<&'a Path>,
    deep: bool,
}

impl ProcessesOf<'_> {
    /// The processes now.
    pub(super) fn read(&mut self, reader: &mut Reader) -> Pids {
        let own = self.files.read(reader, File::Processes);
        let own = own.map(|bytes| format::process_ids(bytes).collect());
        let below = self.folder.filter(|_| self.deep);
        pids_of(own.unwrap_or_default(), below, reader)
    }
}

impl Member {
    /// A cgroup of no container.
    pub(super) fn group(place: Place, number: u64, boot_s: Option<u64>) -> Self {
        let base = Base::new(&place.id, &[], number);
        let created_s = created_s(&place, boot_s);
        Self::new(place, base, created_s)
    }

    /// The root cgroup.
    pub(super) fn machine(place: Place, number: u64, tools: &mut Tools) -> Self {
        let mut member = Self::group(place, number, tools.machine.boot_s);
        member.machine = true;
        // What the first process sees is the host's network, also when we have one of our own.
        let mut folder = network::folder_of(&tools.procfs, 1);
        if !network::is_there(&mut folder, &mut tools.reader) {
            folder = Slot::new(tools.procfs.join("net"), Shape::Records);
        }
        member.network = Some((1, folder));
        member
    }

    /// A container's.
    pub(super) fn container(place: Place, container: &Container, number: u64, tools: &mut Tools) -> Self {
        let base = Base::new(&place.id, &container.labels, number);
        let mut member = Self::new(place, base, container.created_s);
        member.set_network(container, tools);
        member
    }

    fn new(place: Place, base: Base, created_s: f64) -> Self {
        let version = |controller| {
            place
                .folder(controller)
                .map_or(Version::V2, |(_, version)| version)
        };
        Self {
            files: Files::of(&place),
            memory: version(Controller::Memory),
            io: IoOf::new(version(Controller::Io)),
            details: Details::default(),
            spec: None,
            network: None,
            created_s,
            machine: false,
            listed: None,
            listed_calls: 0,
            base,
            place,
        }
    }

    /// Takes over what may change while a container runs.
    pub(super) fn set_network(&mut self, container: &Container, tools: &mut Tools) {
        let wanted = (container.own_network && container.pid != 0).then_some(container.pid);
        if self.network.as_ref().map(|(pid, _)| *pid) == wanted {
            return;
        }
        if let Some((_, folder)) = &mut self.network {
            tools.reader.close(folder);
        }
        self.network = wanted.map(|pid| (pid, network::folder_of(&tools.procfs, pid)));
    }

    /// Closes its files.
    pub(super) fn close(&mut self, reader: &mut Reader) {
        self.files.close(reader);
        if let Some((_, folder)) = &mut self.network {
            reader.close(folder);
        }
    }

    /// Its details, and what gives its processes, with `deep` those of cgroups below it too.
    pub(super) fn details(&mut self, deep: bool) -> (&mut Details, ProcessesOf<'_>) {
        let folder = self.place.main_folder();
        let files = &mut self.files;
        (&mut self.details, ProcessesOf { files, folder, deep })
    }

    /// False when the cgroup is gone.
    pub(super) fn is_alive(&mut self, reader: &mut Reader) -> bool {
        self.files.read(reader, File::Processes).is_some()
            || self.place.main_folder().is_some_and(Path::is_dir)
    }

    /// Adds its rows. `container` is the container it belongs to, `turn` a number that spreads rare reads over the rounds.
    /// False when it is gone; then there are none.
    pub(super) fn add(
        &mut self,
        tools: &mut Tools,
        container: Option<&Container>,
        now_ms: i64,
        turn: u64,
    ) -> bool {
        let Tools {
            reader,
            sheet,
            devices,
            block_io,
            filesystems,
            machine,
            procfs,
            per_cpu,
        } = tools;
        let (tasks, processes) = self.files.read_tasks(reader, turn);
        if processes.is_none() && !self.is_alive(reader) {
            return false;
        }
        let all = match &mut self.spec {
            Some(spec) => spec.refresh(&self.place, &mut self.files, reader, turn),
            None => {
                self.spec = Some(Spec::read(&self.place, &mut self.files, reader));
                true
            }
        };
        let mut spec = self.spec.unwrap_or_default();
        if all && let Some(pid) = container.map(|container| container.pid).filter(|pid| *pid != 0) {
            spec.open_files_max = reader
                .read_path(&procfs.join(format!("{pid}/limits")))
                .and_then(format::open_files_limit);
        }
        if self.machine {
            spec.memory_limit = machine.memory.total;
            spec.memory_swap_limit = machine.memory.swap_total;
        }
        self.spec = Some(spec);
        let (files, base) = (&mut self.files, &self.base);
        let time = if self.machine && cgroup::cpu_usage_s(files, reader).is_none() {
            machine.cpu_time(reader)
        } else {
            CpuTime::default()
        };
        cgroup::add_cpu(files, reader, sheet, base, *per_cpu, spec.has_quota(), time);
        let memory = cgroup::MemoryOf {
            version: self.memory,
            oom_kills: container.map(|container| container.oom_kills),
            swap: machine.memory.swap_used.filter(|_| self.machine),
            used: machine.memory.used.filter(|_| self.machine),
            turn,
        };
        files.read_rare(reader, turn);
        cgroup::add_memory(files, reader, sheet, base, memory);
        let pressure = self.machine.then(|| procfs.join("pressure"));
        cgroup::add_pressure(files, reader, sheet, base, pressure.as_deref());
        if self.machine {
            filesystems.add(sheet, base);
        }
        block_io.add(&mut self.io, (files, reader), (sheet, base), devices, turn);
        if let Some((_, folder)) = &mut self.network {
            network::add(folder, reader, sheet, base);
        }
        push(sheet, Name::Threads, base, tasks.map(float));
        let processes = processes.map(|own| float(own + self.details.processes_below()));
        push(sheet, Name::Processes, base, processes);
        self.details.add(sheet, base);
        spec.add(sheet, base);
        self.add_times(sheet, container, now_ms);
        true
    }

    fn add_times(&self, sheet: &mut Sheet, container: Option<&Container>, now_ms: i64) {
        let base = &self.base;
        let started_s = container
            .map(|container| container.started_s)
            .filter(|started| *started > 0.0)
            .unwrap_or(self.created_s);
        // Upstream shows whole seconds.
        sheet.push(Name::CreationTimeSeconds, base, self.created_s.floor());
        sheet.push(Name::StartTimeSeconds, base, started_s.floor());
        #[expect(
            clippy::cast_precision_loss,
            reason = "seconds since the epoch are exact in a float"
        )]
        sheet.push(Name::LastSeen, base, now_ms.div_euclid(1000) as f64);
        if let Some(healthy) = container.and_then(|container| container.healthy) {
            sheet.push(Name::HealthState, base, f64::from(u8::from(healthy)));
        }
    }

    /// The present state, for live pages; `None` when it is gone.
    pub(super) fn read_live(&mut self, tools: &mut Tools, id: &str) -> Option<super::Reading> {
        let reader = &mut tools.reader;
        let own = self.files.read_processes(reader);
        if own.is_none() && !self.is_alive(reader) {
            return None;
        }
        let spec = match self.spec {
            Some(spec) => spec,
            None => Spec::read(&self.place, &mut self.files, reader),
        };
        let mut cpu_s = cgroup::cpu_usage_s(&mut self.files, reader);
        let mut working_set = cgroup::working_set_bytes(&mut self.files, reader, self.memory);
        let mut processes = float(own.unwrap_or(0) + self.details.processes_below());
        if self.machine {
            cpu_s = cpu_s.or_else(|| tools.machine.cpu_time(reader).usage_s);
            let memory = &tools.machine.memory;
            working_set = working_set.or_else(|| {
                let used = memory.used?;
                Some(float(used.saturating_sub(memory.inactive_file.unwrap_or(0))))
            });
            // Listing all processes costs more than everything else of the machine.
            if self.listed_calls.is_multiple_of(LISTED_CALLS) {
                self.listed = all_processes(&tools.procfs);
            }
            self.listed_calls += 1;
            processes = self.listed.unwrap_or(processes);
        }
        let (read, written) = self.io.totals(&mut self.files, reader);
        let (received, sent) = self
            .network
            .as_mut()
            .map_or((0.0, 0.0), |(_, folder)| network::totals(folder, reader));
        let total = tools.machine.memory.total.unwrap_or(u64::MAX);
        Some(super::Reading {
            id: id.to_owned(),
            cpu_s: cpu_s.unwrap_or(0.0),
            memory_working_set_bytes: working_set.unwrap_or(0.0),
            memory_limit_bytes: spec
                .memory_limit
                .filter(|limit| *limit > 0 && *limit < total && !self.machine)
                .map(float),
            receive_bytes: received,
            transmit_bytes: sent,
            read_bytes: read,
            write_bytes: written,
            processes,
        })
    }
}

/// Processes of the whole machine.
fn all_processes(procfs: &Path) -> Option<f64> {
    let entries = std::fs::read_dir(procfs).ok()?;
    let count = entries
        .filter_map(Result::ok)
        .filter(|entry| {
            entry
                .file_name()
                .as_encoded_bytes()
                .iter()
                .all(u8::is_ascii_digit)
        })
        .count();
    (count > 0).then(|| float(count as u64))
}

/// When a cgroup was made, as upstream guesses it: the earliest time of change of its folders and of a file in them that nobody
/// writes, but not before the machine was started (to the minute).
fn created_s(place: &Place, boot_s: Option<u64>) -> f64 {
    let seconds = |path: PathBuf| {
        let time = std::fs::metadata(path).and_then(|found| found.modified()).ok()?;
        let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(since.as_secs())
    };
    let earliest = place
        .all_folders()
        .flat_map(|folder| {
            [
                folder.to_path_buf(),
                folder.join("cgroup.clone_children"),
                folder.join("cgroup.events"),
            ]
        })
        .filter_map(seconds)
        .min();
    let boot_s = boot_s.map_or(0, |boot_s| boot_s - boot_s % 60);
    float(earliest.unwrap_or(0).max(boot_s))
}
