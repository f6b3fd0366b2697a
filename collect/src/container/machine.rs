//! The machine: cores, memory, and the figures that a root cgroup does not have.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::cgroup::{CpuTime, push};
use super::families::Name;
use super::files::Reader;
use super::format::{self, float};
use super::sheet::{Base, Sheet};
use crate::input::numbered_entries;
use crate::options::Paths;

/// Rounds for which cores are taken as they were: some are plugged in while a virtual machine runs.
const CORES_KEPT_ROUNDS: u64 = 64;
/// Ticks a second that user space sees.
const TICKS: f64 = 100.0;

/// Processors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Cores {
    logical: usize,
    physical: usize,
    sockets: usize,
}

/// Memory in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) total: Option<u64>,
    pub(super) swap_total: Option<u64>,
    pub(super) swap_used: Option<u64>,
    /// Anonymous and cached pages: what a root cgroup of v1 counts as used.
    pub(super) used: Option<u64>,
    pub(super) inactive_file: Option<u64>,
}

/// Reads what is of the machine.
#[derive(Debug)]
pub(super) struct Machine {
    procfs: PathBuf,
    sysfs: PathBuf,
    rootfs: PathBuf,
    base: Option<Base>,
    cores: Cores,
    pub(super) memory: Memory,
    pub(super) boot_s: Option<u64>,
}

impl Machine {
    pub(super) fn new(paths: &Paths) -> Self {
        Self {
            procfs: paths.procfs.clone(),
            sysfs: paths.sysfs.clone(),
            rootfs: paths.rootfs.clone(),
            base: None,
            cores: Cores::default(),
            memory: Memory::default(),
            boot_s: None,
        }
    }

    /// Reads what changes, and now and then what rarely does.
    pub(super) fn begin_round(&mut self, round: u64, reader: &mut Reader) {
        self.memory = reader
            .read_path(&self.procfs.join("meminfo"))
            .map(parse_memory)
            .unwrap_or_default();
        if round.is_multiple_of(CORES_KEPT_ROUNDS) {
            self.cores = self.read_cores();
        }
        if self.boot_s.is_none() {
            self.boot_s = reader
                .read_path(&self.procfs.join("stat"))
                .and_then(format::boot_time);
        }
    }

    fn read_cores(&self) -> Cores {
        let folder = self.sysfs.join("devices/system/cpu");
        let (mut cores, mut sockets) = (BTreeSet::new(), BTreeSet::new());
        let mut logical = 0;
        for name in numbered_entries(&folder, "cpu") {
            let topology = folder.join(name).join("topology");
            let value = |file: &str| std::fs::read(topology.join(file)).ok();
            // A processor that is not online has no topology.
            let Some(socket) = value("physical_package_id") else {
                continue;
            };
            logical += 1;
            cores.insert((socket.clone(), value("core_id")));
            sockets.insert(socket);
        }
        Cores {
            logical,
            physical: cores.len(),
            sockets: sockets.len(),
        }
    }

    /// Processor time of the whole machine, for a root cgroup that has no `cpu.stat`.
    pub(super) fn cpu_time(&self, reader: &mut Reader) -> CpuTime {
        let Some(bytes) = reader.read_path(&self.procfs.join("stat")) else {
            return CpuTime::default();
        };
        parse_cpu_time(bytes)
    }

    fn labels(&self, reader: &mut Reader, number: u64) -> Base {
        let mut first = |paths: &[PathBuf]| {
            paths.iter().find_map(|path| {
                let text = String::from_utf8_lossy(reader.read_path(path)?.trim_ascii()).into_owned();
                (!text.is_empty()).then_some(text)
            })
        };
        let pairs = [
            ("boot_id", first(&[self.procfs.join("sys/kernel/random/boot_id")])),
            (
                "machine_id",
                first(&[
                    self.rootfs.join("etc/machine-id"),
                    self.rootfs.join("var/lib/dbus/machine-id"),
                ]),
            ),
            (
                "system_uuid",
                first(&[
                    self.sysfs.join("class/dmi/id/product_uuid"),
                    self.procfs.join("device-tree/system-id"),
                ]),
            ),
        ];
        let pairs: Vec<(String, String)> = pairs
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect();
        Base::without_id(&pairs, number)
    }

    /// Adds the machine's families; `number` is for its label set, when it is made first.
    pub(super) fn add(&mut self, reader: &mut Reader, sheet: &mut Sheet, number: u64) {
        let base = match self.base.take() {
            Some(base) => base,
            None => self.labels(reader, number),
        };
        let count = |value: usize| (value > 0).then(|| float(value as u64));
        for (name, value) in [
            (Name::MachineCpuCores, count(self.cores.logical)),
            (Name::MachineCpuPhysicalCores, count(self.cores.physical)),
            (Name::MachineCpuSockets, count(self.cores.sockets)),
            (Name::MachineMemoryBytes, self.memory.total.map(float)),
            (Name::MachineSwapBytes, self.memory.swap_total.map(float)),
        ] {
            push(sheet, name, &base, value);
        }
        self.base = Some(base);
        let failed = self.memory.total.is_none() || self.cores.logical == 0;
        sheet.push(
            Name::MachineScrapeError,
            &Base::none(),
            f64::from(u8::from(failed)),
        );
    }
}

fn parse_memory(bytes: &[u8]) -> Memory {
    let mut memory = Memory::default();
    let (mut anon, mut cached, mut buffers, mut swap_free) = (None, None, None, None);
    format::meminfo(bytes, |key, value| {
        let field = match key {
            b"MemTotal" => &mut memory.total,
            b"SwapTotal" => &mut memory.swap_total,
            b"SwapFree" => &mut swap_free,
            b"AnonPages" => &mut anon,
            b"Cached" => &mut cached,
            b"Buffers" => &mut buffers,
            b"Inactive(file)" => &mut memory.inactive_file,
            _ => return,
        };
        *field = value.checked_mul(1024);
    });
    memory.used = anon
        .zip(cached)
        .map(|(anon, cached): (u64, u64)| anon.saturating_add(cached).saturating_add(buffers.unwrap_or(0)));
    memory.swap_used = memory
        .swap_total
        .zip(swap_free)
        .map(|(total, free)| total.saturating_sub(free));
    memory
}

/// The line of all processors: user, nice, system, idle, iowait, irq, softirq.
fn parse_cpu_time(bytes: &[u8]) -> CpuTime {
    let mut time = CpuTime::default();
    let Some(line) = bytes
        .split(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(b"cpu "))
    else {
        return time;
    };
    let mut columns = [0_u64; 7];
    let words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    for (column, word) in columns.iter_mut().zip(words) {
        *column = format::digits(word).unwrap_or(0);
    }
    let [user, nice, system, _, _, irq, softirq] = columns.map(float);
    time.user_s = Some((user + nice) / TICKS);
    time.system_s = Some((system + irq + softirq) / TICKS);
    time.usage_s = Some((user + nice + system + irq + softirq) / TICKS);
    time
}

/// Gives the bytes to the parsers of this file: none may panic.
pub(super) fn fuzz(bytes: &[u8]) {
    let _ = (parse_memory(bytes), parse_cpu_time(bytes));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_time_of_the_machine_are_read() {
        let memory = parse_memory(
            b"MemTotal: 100 kB\nBuffers: 1 kB\nCached: 20 kB\nInactive(file): 5 kB\nAnonPages: 30 kB\nSwapTotal: 8 kB\nSwapFree: 3 kB\n",
        );
        assert_eq!(
            memory,
            Memory {
                total: Some(102_400),
                swap_total: Some(8192),
                swap_used: Some(5120),
                used: Some(52_224),
                inactive_file: Some(5120),
            }
        );
        assert_eq!(parse_memory(b""), Memory::default());
        let time = parse_cpu_time(b"cpu  100 50 30 900 10 5 15 0 0 0\ncpu0 1\n");
        assert_eq!(
            (time.usage_s, time.user_s, time.system_s),
            (Some(2.0), Some(1.5), Some(0.5))
        );
    }
}
