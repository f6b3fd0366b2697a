//! One cgroup: its open files, and the processor, memory and pressure figures that are read from them.
//!
//! ```text
//!                v1                                      v2
//!   processor    cpuacct.usage (ns), cpuacct.stat (ticks)   cpu.stat (us)
//!   throttling   cpu.stat (ns)                              cpu.stat (us)
//!   memory       memory.usage_in_bytes, memory.stat total_* memory.current, memory.stat
//!   events       memory.failcnt, memory.oom_control         memory.events
//! ```
//!
//! What people look at is read in each round: processor time, memory, block I/O, tasks. The rest ([`Rare`]: events, peak, kernel memory,
//! pressure) takes turns, and what cannot have changed ([`Derived`]) is not read again.
//!
//! A family whose file or line is not there gets no row: upstream shows 0 for some of those, which says something else.

use std::path::Path;

use super::families::Name;
use super::files::{Reader, Shape, Slot};
use super::format::{self, float};
use super::hierarchy::{Controller, Place, Version};
use super::sheet::{Base, Sheet};

/// The files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum File {
    CpuUsage,
    CpuModes,
    CpuStat,
    CpuEach,
    MemoryUsage,
    MemoryStat,
    MemoryMax,
    MemoryFailures,
    MemoryEvents,
    MemoryKernel,
    MemorySwap,
    IoBytes,
    IoCounts,
    Tasks,
    Processes,
    MemoryLimit,
    CpuQuota,
    PressureCpu,
    PressureMemory,
    PressureIo,
}

/// Where they are: the controller, the names in v1 (the first one that exists) and in v2; an empty name is no file.
const FILES: [(File, Controller, &[&str], &str); 17] = [
    (File::CpuUsage, Controller::CpuAcct, &["cpuacct.usage"], ""),
    (File::CpuModes, Controller::CpuAcct, &["cpuacct.stat"], ""),
    (File::CpuStat, Controller::Cpu, &["cpu.stat"], "cpu.stat"),
    (File::CpuEach, Controller::CpuAcct, &["cpuacct.usage_percpu"], ""),
    (
        File::MemoryUsage,
        Controller::Memory,
        &["memory.usage_in_bytes"],
        "memory.current",
    ),
    (
        File::MemoryStat,
        Controller::Memory,
        &["memory.stat"],
        "memory.stat",
    ),
    (
        File::MemoryMax,
        Controller::Memory,
        &["memory.max_usage_in_bytes"],
        "memory.peak",
    ),
    (File::MemoryFailures, Controller::Memory, &["memory.failcnt"], ""),
    (
        File::MemoryEvents,
        Controller::Memory,
        &["memory.oom_control"],
        "memory.events",
    ),
    (
        File::MemoryKernel,
        Controller::Memory,
        &["memory.kmem.usage_in_bytes"],
        "",
    ),
    (File::MemorySwap, Controller::Memory, &[], "memory.swap.current"),
    (
        File::IoBytes,
        Controller::Io,
        // The first one counts what passes the block layer, whichever scheduler a disk has.
        &[
            "blkio.throttle.io_service_bytes_recursive",
            "blkio.throttle.io_service_bytes",
            "blkio.io_service_bytes_recursive",
        ],
        "io.stat",
    ),
    (
        File::IoCounts,
        Controller::Io,
        &[
            "blkio.throttle.io_serviced_recursive",
            "blkio.throttle.io_serviced",
            "blkio.io_serviced_recursive",
        ],
        "",
    ),
    (File::Tasks, Controller::Pids, &["pids.current"], "pids.current"),
    (
        File::Processes,
        Controller::Cpu,
        &["cgroup.procs"],
        "cgroup.procs",
    ),
    (
        File::MemoryLimit,
        Controller::Memory,
        &["memory.limit_in_bytes"],
        "memory.max",
    ),
    (File::CpuQuota, Controller::Cpu, &["cpu.cfs_quota_us"], "cpu.max"),
];

/// Pressure files, which are in the v2 tree alone; their names below `/proc/pressure`, and the families.
const PRESSURE: [(File, &str, &str, Name, Name); 3] = [
    (
        File::PressureCpu,
        "cpu.pressure",
        "cpu",
        Name::PressureCpuWaitingSecondsTotal,
        Name::PressureCpuStalledSecondsTotal,
    ),
    (
        File::PressureMemory,
        "memory.pressure",
        "memory",
        Name::PressureMemoryWaitingSecondsTotal,
        Name::PressureMemoryStalledSecondsTotal,
    ),
    (
        File::PressureIo,
        "io.pressure",
        "io",
        Name::PressureIoWaitingSecondsTotal,
        Name::PressureIoStalledSecondsTotal,
    ),
];

/// Rounds between two looks at [`Rare`] ones.
pub(super) const RARE_ROUNDS: u64 = 4;

/// Figures that few look at, each of which costs a file: they are read every fourth round and repeated in between.
#[derive(Debug, Clone, Copy, Default)]
struct Rare {
    peak: Option<u64>,
    failures: Option<u64>,
    kernel: Option<u64>,
    /// Read in each round while there is any.
    swap: Option<u64>,
    events: MemoryEvents,
    /// In the order of [`PRESSURE`]: microseconds that some tasks, and that all of them, waited.
    pressure: [(Option<u64>, Option<u64>); PRESSURE.len()],
    is_read: bool,
}

/// What was read last and stays as it was while something else does, which saves its file.
#[derive(Debug, Clone, Copy, Default)]
struct Derived {
    /// Nanoseconds used, and the shares of user and system at that time.
    cpu: Option<(u64, CpuTime)>,
    /// Tasks, and the processes at that time.
    processes: Option<(u64, u64)>,
    /// Bytes in use, and what they were at that time.
    memory: Option<(u64, MemoryStat)>,
}

/// The files of one cgroup.
#[derive(Debug)]
pub(super) struct Files {
    rare: Rare,
    derived: Derived,
    slots: [Option<Slot>; FILES.len() + PRESSURE.len()],
}

impl Files {
    pub(super) fn of(place: &Place) -> Self {
        let mut slots = [const { None }; FILES.len() + PRESSURE.len()];
        for (file, controller, v1, v2) in FILES {
            let Some((folder, version)) = place.folder(controller) else {
                continue;
            };
            let name = match version {
                Version::V2 => Some(v2).filter(|name| !name.is_empty()),
                Version::V1 if v1.len() == 1 => v1.first().copied(),
                Version::V1 => v1.iter().copied().find(|name| folder.join(name).exists()),
            };
            let shape = if file == File::Processes {
                Shape::Records
            } else {
                Shape::Whole
            };
            slots[file as usize] = name.map(|name| Slot::new(folder.join(name), shape));
        }
        if slots[File::Processes as usize].is_none() {
            slots[File::Processes as usize] = place
                .main_folder()
                .map(|folder| Slot::new(folder.join("cgroup.procs"), Shape::Records));
        }
        if let Some(folder) = &place.unified {
            for (file, name, ..) in PRESSURE {
                slots[file as usize] = Some(Slot::new(folder.join(name), Shape::Whole));
            }
        }
        Self {
            rare: Rare::default(),
            derived: Derived::default(),
            slots,
        }
    }

    /// The text of a file; `None` when the cgroup has no such file, or it cannot be read.
    pub(super) fn read<'a>(&mut self, reader: &'a mut Reader, file: File) -> Option<&'a [u8]> {
        reader.read(self.slots[file as usize].as_mut()?)
    }

    /// A file with one number.
    pub(super) fn number(&mut self, reader: &mut Reader, file: File) -> Option<u64> {
        self.read(reader, file).and_then(format::single)
    }

    /// Reads those whose turn it is.
    pub(super) fn read_rare(&mut self, reader: &mut Reader, turn: u64) {
        if self.rare.is_read && !turn.is_multiple_of(RARE_ROUNDS) {
            if self.rare.swap.is_some_and(|bytes| bytes > 0) {
                self.rare.swap = self.number(reader, File::MemorySwap);
            }
            return;
        }
        self.rare = Rare {
            peak: self.number(reader, File::MemoryMax),
            failures: self.number(reader, File::MemoryFailures),
            kernel: self.number(reader, File::MemoryKernel),
            swap: self.number(reader, File::MemorySwap),
            events: self
                .read(reader, File::MemoryEvents)
                .map(parse_memory_events)
                .unwrap_or_default(),
            pressure: PRESSURE
                .map(|(file, ..)| self.read(reader, file).map(format::pressure).unwrap_or_default()),
            is_read: true,
        };
    }

    /// Tasks and processes of the cgroup. While the number of tasks stays the same its processes are taken to be the same too, for some
    /// rounds: their list is the dearest file for what it tells.
    pub(super) fn read_tasks(&mut self, reader: &mut Reader, turn: u64) -> (Option<u64>, Option<u64>) {
        let tasks = self.number(reader, File::Tasks);
        if let (Some(tasks), Some((then, processes))) = (tasks, self.derived.processes)
            && tasks == then
            && !turn.is_multiple_of(RARE_ROUNDS)
        {
            return (Some(tasks), Some(processes));
        }
        let processes = self.read_processes(reader);
        self.derived.processes = tasks.zip(processes);
        (tasks, processes)
    }

    /// Processes of the cgroup itself.
    pub(super) fn read_processes(&mut self, reader: &mut Reader) -> Option<u64> {
        let bytes = self.read(reader, File::Processes)?;
        Some(format::process_ids(bytes).count() as u64)
    }

    /// Closes all that are open.
    pub(super) fn close(&mut self, reader: &mut Reader) {
        for slot in self.slots.iter_mut().flatten() {
            reader.close(slot);
        }
    }
}

/// Processor time in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct CpuTime {
    pub(super) usage_s: Option<f64>,
    pub(super) user_s: Option<f64>,
    pub(super) system_s: Option<f64>,
}

/// What a quota did.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Throttling {
    periods: Option<u64>,
    throttled_periods: Option<u64>,
    throttled_s: Option<f64>,
    burst_periods: Option<u64>,
    burst_s: Option<f64>,
}

fn parse_cpu_stat(bytes: &[u8]) -> (CpuTime, Throttling) {
    let (mut time, mut throttling) = (CpuTime::default(), Throttling::default());
    format::pairs(bytes, |key, value| match key {
        b"usage_usec" => time.usage_s = Some(float(value) / 1e6),
        b"user_usec" => time.user_s = Some(float(value) / 1e6),
        b"system_usec" => time.system_s = Some(float(value) / 1e6),
        b"nr_periods" => throttling.periods = Some(value),
        b"nr_throttled" => throttling.throttled_periods = Some(value),
        b"throttled_usec" => throttling.throttled_s = Some(float(value) / 1e6),
        b"throttled_time" => throttling.throttled_s = Some(float(value) / 1e9),
        b"nr_bursts" => throttling.burst_periods = Some(value),
        b"burst_usec" => throttling.burst_s = Some(float(value) / 1e6),
        b"burst_time" => throttling.burst_s = Some(float(value) / 1e9),
        _ => {}
    });
    (time, throttling)
}

/// Reads processor time, and throttling when there is a quota.
fn read_cpu(files: &mut Files, reader: &mut Reader, modes: bool, quota: bool) -> (CpuTime, Throttling) {
    let usage = files.number(reader, File::CpuUsage);
    let (mut time, throttling) = if usage.is_none() || quota {
        files
            .read(reader, File::CpuStat)
            .map(parse_cpu_stat)
            .unwrap_or_default()
    } else {
        Default::default()
    };
    if let Some(usage) = usage {
        time.usage_s = Some(float(usage) / 1e9);
    }
    if modes {
        read_modes(files, reader, usage, &mut time);
    }
    (time, throttling)
}

/// v1 has user and system time in a file of their own; nothing used since the last look, nothing changed.
fn read_modes(files: &mut Files, reader: &mut Reader, usage: Option<u64>, time: &mut CpuTime) {
    if let Some((then, modes)) = files.derived.cpu
        && usage == Some(then)
    {
        (time.user_s, time.system_s) = (modes.user_s, modes.system_s);
    } else if let Some(bytes) = files.read(reader, File::CpuModes) {
        // In the ticks that user space sees, a hundredth of a second everywhere.
        format::pairs(bytes, |key, value| match key {
            b"user" => time.user_s = Some(float(value) / 100.0),
            b"system" => time.system_s = Some(float(value) / 100.0),
            _ => {}
        });
        files.derived.cpu = usage.map(|usage| (usage, *time));
    }
}

/// Processor seconds used, for live pages.
pub(super) fn cpu_usage_s(files: &mut Files, reader: &mut Reader) -> Option<f64> {
    read_cpu(files, reader, false, false).0.usage_s
}

/// Adds the processor's rows; `fallback` is the machine's time where the root cgroup does not tell.
pub(super) fn add_cpu(
    files: &mut Files,
    reader: &mut Reader,
    sheet: &mut Sheet,
    base: &Base,
    per_cpu: bool,
    quota: bool,
    fallback: CpuTime,
) {
    let (time, throttling) = read_cpu(files, reader, true, quota);
    for (name, value) in [
        (Name::CpuSystemSecondsTotal, time.system_s.or(fallback.system_s)),
        (Name::CpuUserSecondsTotal, time.user_s.or(fallback.user_s)),
    ] {
        push(sheet, name, base, value);
    }
    let mut each_len = 0_usize;
    if per_cpu && let Some(bytes) = files.read(reader, File::CpuEach) {
        for (number, value) in format::per_cpu(bytes).enumerate() {
            // Processors that could be there and are not count 0 for ever; upstream leaves these out.
            if value > 0 {
                each_len += 1;
                let cpu = format!("cpu{number:02}");
                let more = [("cpu", cpu.as_str())];
                sheet.push_with(Name::CpuUsageSecondsTotal, base, &more, float(value) / 1e9);
            }
        }
    }
    if each_len == 0
        && let Some(value) = time.usage_s.or(fallback.usage_s)
    {
        sheet.push_with(Name::CpuUsageSecondsTotal, base, &[("cpu", "total")], value);
    }
    if quota {
        for (name, value) in [
            (Name::CpuCfsPeriodsTotal, throttling.periods.map(float)),
            (
                Name::CpuCfsThrottledPeriodsTotal,
                throttling.throttled_periods.map(float),
            ),
            (Name::CpuCfsThrottledSecondsTotal, throttling.throttled_s),
            (Name::CpuCfsBurstPeriodsTotal, throttling.burst_periods.map(float)),
            (Name::CpuCfsBurstSecondsTotal, throttling.burst_s),
        ] {
            push(sheet, name, base, value);
        }
    }
}

/// Lines of `memory.stat`, under one name for both versions.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct MemoryStat {
    cache: Option<u64>,
    rss: Option<u64>,
    swap: Option<u64>,
    mapped: Option<u64>,
    kernel: Option<u64>,
    active_file: Option<u64>,
    inactive_file: Option<u64>,
    dirty: Option<u64>,
    writeback: Option<u64>,
    faults: Option<u64>,
    major_faults: Option<u64>,
    all_faults: Option<u64>,
    all_major_faults: Option<u64>,
    scanned: Option<u64>,
    reclaimed: Option<u64>,
    refault_anon: Option<u64>,
    refault_file: Option<u64>,
}

/// v1 has each line twice, of the cgroup alone and (`total_`) with those below it.
fn parse_memory_v1(bytes: &[u8]) -> MemoryStat {
    let mut stat = MemoryStat::default();
    format::pairs(bytes, |key, value| {
        let field = match key {
            b"pgfault" => &mut stat.faults,
            b"pgmajfault" => &mut stat.major_faults,
            b"total_active_file" => &mut stat.active_file,
            b"total_cache" => &mut stat.cache,
            b"total_dirty" => &mut stat.dirty,
            b"total_inactive_file" => &mut stat.inactive_file,
            b"total_mapped_file" => &mut stat.mapped,
            b"total_pgfault" => &mut stat.all_faults,
            b"total_pgmajfault" => &mut stat.all_major_faults,
            b"total_rss" => &mut stat.rss,
            b"total_swap" => &mut stat.swap,
            b"total_workingset_refault_anon" => &mut stat.refault_anon,
            b"total_workingset_refault_file" => &mut stat.refault_file,
            b"total_writeback" => &mut stat.writeback,
            _ => return,
        };
        *field = Some(value);
    });
    stat
}

/// v2 counts those below a cgroup always.
fn parse_memory_v2(bytes: &[u8]) -> MemoryStat {
    let mut stat = MemoryStat::default();
    format::pairs(bytes, |key, value| {
        let field = match key {
            b"active_file" => &mut stat.active_file,
            b"anon" => &mut stat.rss,
            b"file" => &mut stat.cache,
            b"file_dirty" => &mut stat.dirty,
            b"file_mapped" => &mut stat.mapped,
            b"file_writeback" => &mut stat.writeback,
            b"inactive_file" => &mut stat.inactive_file,
            b"kernel" => &mut stat.kernel,
            b"pgfault" => &mut stat.faults,
            b"pgmajfault" => &mut stat.major_faults,
            b"pgscan" => &mut stat.scanned,
            b"pgsteal" => &mut stat.reclaimed,
            b"workingset_refault_anon" => &mut stat.refault_anon,
            b"workingset_refault_file" => &mut stat.refault_file,
            _ => return,
        };
        *field = Some(value);
    });
    stat.all_faults = stat.faults;
    stat.all_major_faults = stat.major_faults;
    stat
}

fn read_stat(files: &mut Files, reader: &mut Reader, version: Version) -> MemoryStat {
    match (files.read(reader, File::MemoryStat), version) {
        (None, _) => MemoryStat::default(),
        (Some(bytes), Version::V1) => parse_memory_v1(bytes),
        (Some(bytes), Version::V2) => parse_memory_v2(bytes),
    }
}

/// Bytes in use and what they are. With a `turn` the latter is taken to be the same for some rounds while the former is, to the byte:
/// it is the longest file of all.
fn read_memory(
    files: &mut Files,
    reader: &mut Reader,
    version: Version,
    turn: Option<u64>,
) -> (Option<u64>, MemoryStat) {
    let usage = files.number(reader, File::MemoryUsage);
    let stat = match (usage, files.derived.memory) {
        (Some(usage), Some((then, stat)))
            if usage == then && turn.is_some_and(|turn| !turn.is_multiple_of(RARE_ROUNDS)) =>
        {
            stat
        }
        _ => read_stat(files, reader, version),
    };
    files.derived.memory = usage.map(|usage| (usage, stat));
    // v2's root has no such file; upstream adds up what v1 would count.
    let usage = usage.or_else(|| Some(stat.rss?.saturating_add(stat.cache?)));
    (usage, stat)
}

fn working_set(usage: u64, stat: &MemoryStat) -> u64 {
    usage.saturating_sub(stat.inactive_file.unwrap_or(0))
}

/// Bytes that cannot be given back at once, for live pages.
pub(super) fn working_set_bytes(files: &mut Files, reader: &mut Reader, version: Version) -> Option<f64> {
    let (usage, stat) = read_memory(files, reader, version, None);
    usage.map(|usage| float(working_set(usage, &stat)))
}

/// What the events file says.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct MemoryEvents {
    high: Option<u64>,
    max: Option<u64>,
    oom_kills: Option<u64>,
}

fn parse_memory_events(bytes: &[u8]) -> MemoryEvents {
    let mut events = MemoryEvents::default();
    format::pairs(bytes, |key, value| match key {
        b"high" => events.high = Some(value),
        b"max" => events.max = Some(value),
        b"oom_kill" => events.oom_kills = Some(value),
        _ => {}
    });
    events
}

/// What is known of a cgroup's memory beside its files.
#[derive(Debug, Clone, Copy)]
pub(super) struct MemoryOf {
    pub(super) version: Version,
    /// What the runtime told of.
    pub(super) oom_kills: Option<u64>,
    /// What the machine says, where its root cgroup has no file.
    pub(super) swap: Option<u64>,
    pub(super) used: Option<u64>,
    /// A number that spreads rare reads over the rounds.
    pub(super) turn: u64,
}

/// Adds the memory rows.
pub(super) fn add_memory(
    files: &mut Files,
    reader: &mut Reader,
    sheet: &mut Sheet,
    base: &Base,
    of: MemoryOf,
) {
    let (usage, stat) = read_memory(files, reader, of.version, Some(of.turn));
    let usage = usage.or(of.used);
    let rare = files.rare;
    let events = rare.events;
    let failures = rare.failures.or(events.max);
    let kernel = rare.kernel.or(stat.kernel);
    let swap = rare.swap.or(stat.swap).or(of.swap);
    for (name, value) in [
        (Name::MemoryCache, stat.cache),
        (Name::MemoryEventsHighTotal, events.high),
        (Name::MemoryEventsMaxTotal, events.max),
        (Name::MemoryFailcnt, failures),
        (Name::MemoryFileDirtyBytes, stat.dirty),
        (Name::MemoryFileWritebackBytes, stat.writeback),
        (Name::MemoryKernelUsage, kernel),
        (Name::MemoryMappedFile, stat.mapped),
        (Name::MemoryMaxUsageBytes, rare.peak),
        (Name::MemoryPgscanTotal, stat.scanned),
        (Name::MemoryPgstealTotal, stat.reclaimed),
        (Name::MemoryRss, stat.rss),
        (Name::MemorySwap, swap),
        (Name::MemoryTotalActiveFileBytes, stat.active_file),
        (Name::MemoryTotalInactiveFileBytes, stat.inactive_file),
        (Name::MemoryUsageBytes, usage),
        (
            Name::MemoryWorkingSetBytes,
            usage.map(|usage| working_set(usage, &stat)),
        ),
        (Name::MemoryWorkingsetRefaultAnonTotal, stat.refault_anon),
        (Name::MemoryWorkingsetRefaultFileTotal, stat.refault_file),
        (Name::OomEventsTotal, events.oom_kills.max(of.oom_kills)),
    ] {
        push(sheet, name, base, value.map(float));
    }
    for (failure, scope, value) in [
        ("pgfault", "container", stat.faults),
        ("pgfault", "hierarchy", stat.all_faults),
        ("pgmajfault", "container", stat.major_faults),
        ("pgmajfault", "hierarchy", stat.all_major_faults),
    ] {
        if let Some(value) = value {
            let more = [("failure_type", failure), ("scope", scope)];
            sheet.push_with(Name::MemoryFailuresTotal, base, &more, float(value));
        }
    }
}

/// Adds the pressure rows; `machine` is `/proc/pressure`, for a root cgroup that has no such files.
pub(super) fn add_pressure(
    files: &Files,
    reader: &mut Reader,
    sheet: &mut Sheet,
    base: &Base,
    machine: Option<&Path>,
) {
    for ((_, _, of_machine, waiting, stalled), mut totals) in PRESSURE.into_iter().zip(files.rare.pressure) {
        if let (None, Some(folder)) = (totals.0, machine) {
            totals = reader
                .read_path(&folder.join(of_machine))
                .map(format::pressure)
                .unwrap_or_default();
        }
        push(sheet, waiting, base, totals.0.map(|us| float(us) / 1e6));
        push(sheet, stalled, base, totals.1.map(|us| float(us) / 1e6));
    }
}

/// Adds a row when there is a value.
pub(super) fn push(sheet: &mut Sheet, name: Name, base: &Base, value: Option<f64>) {
    if let Some(value) = value {
        sheet.push(name, base, value);
    }
}

/// Gives the bytes to the parsers of this file: none may panic.
pub(super) fn fuzz(bytes: &[u8]) {
    let _ = (
        parse_cpu_stat(bytes),
        parse_memory_v1(bytes),
        parse_memory_v2(bytes),
        parse_memory_events(bytes),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_the_files_are_their_places_in_the_tables() {
        for (at, (file, ..)) in FILES.iter().enumerate() {
            assert_eq!(*file as usize, at);
        }
        for (at, (file, ..)) in PRESSURE.iter().enumerate() {
            assert_eq!(*file as usize, FILES.len() + at);
        }
    }
}
