//! `cpu`: seconds by mode from `/proc/stat`, throttle counts and isolated processors from `/sys/devices/system/cpu`.
//!
//! The kernel's per-processor counters are known to jump back by a tick (idle and iowait are estimates), and to start
//! anew when a processor comes back after it was taken out. As upstream, a counter is never shown lower than before,
//! unless idle fell by three seconds or more, which can only be a processor that came back.

use std::path::PathBuf;

use model::{Family, MetricType};

use super::{Collector, cpuinfo};
use crate::error::{CollectError, Fault};
use crate::input::{Input, Source, numbered_entries};
use crate::options::{CpuInfo, Options};
use crate::output::{Label, Output, label};

/// Modes in the order of the columns.
const MODES: [&str; 8] = [
    "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal",
];
/// Columns 8 and 9, which are counted within `user` and `nice` too.
const GUEST_MODES: [&str; 2] = ["user", "nice"];
const COLUMNS: usize = MODES.len() + GUEST_MODES.len();
const IDLE: usize = 3;
/// The kernel's unit here, whatever its own tick is.
const TICKS_PER_SECOND: f64 = 100.0;
const JUMP_BACK_SECONDS: f64 = 3.0;
/// After so many rounds the topology is looked at again; an hour at the usual 15 s.
const TOPOLOGY_ROUNDS: u32 = 240;
/// No kernel has more processors (`CONFIG_NR_CPUS`); a range beyond is damage, not a list to build.
const PROCESSORS_MAX: u32 = 65_536;

/// One processor's seconds by column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ticks {
    pub(super) cpu: u32,
    pub(super) seconds: [f64; COLUMNS],
}

/// The `cpuN` lines of `/proc/stat`. Columns that an old kernel lacks are 0.
pub(super) fn parse_ticks(text: &str) -> Result<Vec<Ticks>, Fault> {
    let mut all = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let Some(rest) = line.strip_prefix("cpu") else {
            continue;
        };
        if !rest.starts_with(|c: char| c.is_ascii_digit()) {
            continue;
        }
        let mut words = rest.split_ascii_whitespace();
        let cpu = words.next().and_then(|word| word.parse().ok());
        let Some(cpu) = cpu else {
            return Err(Fault::new(index, "cpu and a number", line));
        };
        let mut seconds = [0.0; COLUMNS];
        for (slot, word) in seconds.iter_mut().zip(words) {
            let ticks: f64 = word.parse().map_err(|_| Fault::new(index, "ticks", word))?;
            *slot = ticks / TICKS_PER_SECOND;
        }
        all.push(Ticks { cpu, seconds });
    }
    Ok(all)
}

/// A list of processors such as `1,3-5,9`.
pub(super) fn parse_ranges(text: &str) -> Result<Vec<u32>, Fault> {
    let mut all = Vec::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let fault = || Fault::new(0, "processors such as 1,3-5", part);
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: u32 = first.parse().map_err(|_| fault())?;
        let last: u32 = last.parse().map_err(|_| fault())?;
        if last >= PROCESSORS_MAX {
            return Err(fault());
        }
        all.extend(first..=last);
        if all.len() > PROCESSORS_MAX as usize {
            return Err(fault());
        }
    }
    Ok(all)
}

/// A throttle counter: which labels, which file. The first processor of a core or package that has one stands for it.
#[derive(Debug)]
struct Throttle {
    package: u64,
    core: Option<u64>,
    file: PathBuf,
}

/// The collector.
#[derive(Debug)]
pub(super) struct Cpu {
    stat: Source,
    cpuinfo: PathBuf,
    directory: PathBuf,
    info: Option<CpuInfo>,
    /// Seconds as shown last, by processor.
    shown: Vec<Ticks>,
    throttles: Vec<Throttle>,
    isolated: Vec<u32>,
    /// Rounds until the topology is read; 0 in the first one.
    topology_rounds: u32,
}

impl Cpu {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            stat: Source::new(options.paths.procfs.join("stat")),
            cpuinfo: options.paths.procfs.join("cpuinfo"),
            directory: options.paths.sysfs.join("devices/system/cpu"),
            info: options.cpu_info.clone(),
            shown: Vec::new(),
            throttles: Vec::new(),
            isolated: Vec::new(),
            topology_rounds: 0,
        }
    }

    /// Takes new readings in: counters that fell back stay where they were, processors that are gone are forgotten.
    fn take(&mut self, mut readings: Vec<Ticks>) {
        for (at, reading) in readings.iter_mut().enumerate() {
            // Processors come in the same order every time, but for those that came or went.
            let same = |shown: &&Ticks| shown.cpu == reading.cpu;
            let last = self
                .shown
                .get(at)
                .filter(same)
                .or_else(|| self.shown.iter().find(same));
            let Some(last) = last else { continue };
            if last.seconds[IDLE] - reading.seconds[IDLE] >= JUMP_BACK_SECONDS {
                continue;
            }
            for (new, old) in reading.seconds.iter_mut().zip(last.seconds) {
                *new = new.max(old);
            }
        }
        if readings.len() != self.shown.len() {
            self.topology_rounds = 0;
        }
        self.shown = readings;
    }

    fn add_seconds(&self, out: &mut Output) {
        let mut total = Family::new(
            "node_cpu_seconds_total",
            "Seconds the CPUs spent in each mode.",
            MetricType::Counter,
        );
        let mut guest = Family::new(
            "node_cpu_guest_seconds_total",
            "Seconds the CPUs spent in guests (VMs) for each mode.",
            MetricType::Counter,
        );
        total.metrics.reserve(self.shown.len() * MODES.len());
        for Ticks { cpu, seconds } in &self.shown {
            let cpu = cpu.to_string();
            let (host, guests) = seconds.split_at(MODES.len());
            let labels =
                |mode: &'static str| -> Vec<Label> { vec![label("cpu", cpu.clone()), label("mode", mode)] };
            for (mode, value) in MODES.into_iter().zip(host) {
                total.push(labels(mode), *value);
            }
            for (mode, value) in GUEST_MODES.into_iter().zip(guests) {
                guest.push(labels(mode), *value);
            }
        }
        out.add(total);
        out.add(guest);
    }

    /// Which throttle counters there are, and which processors the scheduler leaves alone.
    fn read_topology(&mut self, input: &mut Input) -> Result<(), CollectError> {
        self.throttles.clear();
        let number = |input: &mut Input, path: PathBuf| input.read_value(&path)?.parse::<u64>().ok();
        for name in numbered_entries(&self.directory, "cpu") {
            let cpu = self.directory.join(name);
            let Some(package) = number(input, cpu.join("topology/physical_package_id")) else {
                continue;
            };
            let Some(core) = number(input, cpu.join("topology/core_id")) else {
                continue;
            };
            for (core, file) in [
                (Some(core), cpu.join("thermal_throttle/core_throttle_count")),
                (None, cpu.join("thermal_throttle/package_throttle_count")),
            ] {
                let known = self
                    .throttles
                    .iter()
                    .any(|t| t.package == package && t.core == core);
                if !known && number(input, file.clone()).is_some() {
                    self.throttles.push(Throttle { package, core, file });
                }
            }
        }
        let isolated = self.directory.join("isolated");
        self.isolated = match input.read(&isolated) {
            Ok(text) => parse_ranges(text).map_err(|fault| fault.at(&isolated))?,
            Err(error) if error.is_not_found() => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(())
    }

    fn add_topology(&self, input: &mut Input, out: &mut Output) {
        let mut isolated = Family::new(
            "node_cpu_isolated",
            "Whether each core is isolated, information from /sys/devices/system/cpu/isolated.",
            MetricType::Gauge,
        );
        for cpu in &self.isolated {
            isolated.push(vec![label("cpu", cpu.to_string())], 1.0);
        }
        let mut cores = Family::new(
            "node_cpu_core_throttles_total",
            "Number of times this CPU core has been throttled.",
            MetricType::Counter,
        );
        let mut packages = Family::new(
            "node_cpu_package_throttles_total",
            "Number of times this CPU package has been throttled.",
            MetricType::Counter,
        );
        for Throttle { package, core, file } in &self.throttles {
            let Some(count) = input.read_value(file).and_then(crate::input::number) else {
                continue;
            };
            let package = label("package", package.to_string());
            match core {
                Some(core) => cores.push(vec![label("core", core.to_string()), package], count),
                None => packages.push(vec![package], count),
            }
        }
        out.add(isolated);
        out.add(cores);
        out.add(packages);
    }
}

impl Collector for Cpu {
    fn collect(&mut self, _now_ms: i64, input: &mut Input, out: &mut Output) -> Result<(), CollectError> {
        if let Some(info) = &self.info {
            let text = input.read(&self.cpuinfo)?;
            let processors = cpuinfo::parse(text).map_err(|fault| fault.at(&self.cpuinfo))?;
            cpuinfo::add(&processors, info, out);
        }
        let readings =
            parse_ticks(input.stat(&mut self.stat)?).map_err(|fault| fault.at(self.stat.path()))?;
        self.take(readings);
        self.add_seconds(out);
        if self.topology_rounds == 0 {
            self.read_topology(input)?;
            self.topology_rounds = TOPOLOGY_ROUNDS;
        }
        self.topology_rounds -= 1;
        self.add_topology(input, out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(cpu: u32, user: f64, idle: f64) -> Ticks {
        let mut seconds = [0.0; COLUMNS];
        (seconds[0], seconds[IDLE]) = (user, idle);
        Ticks { cpu, seconds }
    }

    #[test]
    fn lines_of_old_and_new_kernels_are_read() {
        let text = "cpu  10 0 0 10\ncpu0 100 0 0 250\ncpu12 1 2 3 4 5 6 7 8 9 10 11\nintr 5\ncpufreq 1\n";
        let got = parse_ticks(text).unwrap();
        assert_eq!(got.len(), 2);
        assert_eq!(got[0], ticks(0, 1.0, 2.5));
        assert_eq!((got[1].cpu, got[1].seconds[9]), (12, 0.1));
        assert_eq!(parse_ticks("cpu0 x").unwrap_err().line, 1);
        assert!(parse_ticks("cpu99999999999 1").is_err());
    }

    #[test]
    fn counters_do_not_fall_but_for_a_processor_that_came_back() {
        let mut cpu = Cpu::new(&Options::default());
        cpu.take(vec![ticks(0, 5.0, 100.0), ticks(1, 5.0, 100.0)]);
        cpu.take(vec![ticks(0, 4.0, 99.5), ticks(1, 0.5, 1.0)]);
        assert_eq!(cpu.shown, [ticks(0, 5.0, 100.0), ticks(1, 0.5, 1.0)]);
        cpu.topology_rounds = 7;
        cpu.take(vec![ticks(0, 6.0, 101.0)]);
        assert_eq!(cpu.shown, [ticks(0, 6.0, 101.0)]);
        assert_eq!(
            cpu.topology_rounds, 0,
            "a processor left: the topology is read again"
        );
    }

    #[test]
    fn ranges_are_lists_of_processors() {
        for (text, want) in [
            ("", Some(vec![])),
            ("\n", Some(vec![])),
            ("1,3-5,9\n", Some(vec![1, 3, 4, 5, 9])),
            ("7-3", Some(vec![])),
        ] {
            assert_eq!(parse_ranges(text).ok(), want, "{text:?}");
        }
        for bad in ["a", "1-", "0-4294967295", "1--2"] {
            assert!(parse_ranges(bad).is_err(), "{bad:?}");
        }
    }
}
