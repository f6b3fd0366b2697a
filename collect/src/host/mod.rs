//! The host collectors as one: the table, a round of collection, and what comes out of it.
//!
//! A round is one call of every collector. A shell that wants to know how long each takes goes through the table
//! with its own clock; one that does not calls [`HostCollector::collect`]:
//!
//! ```text
//!   for i in 0..collectors().len() { collect_one(i, now_ms) }   ->   finish(seconds)  ->  Collection
//! ```

mod cpu;
mod cpuinfo;
mod diskstats;
mod filefd;
mod filesystem;
mod loadavg;
mod meminfo;
pub(crate) mod mountinfo;
mod netdev;
mod netstat;
mod pressure;
mod pulse;
mod sockstat;
mod stat;
pub(crate) mod statfs;
mod time;
mod udev;
mod uname;
mod vmstat;

use std::borrow::Cow;
use std::fmt;

use model::{Family, MetricType};

use crate::error::CollectError;
use crate::input::Input;
use crate::options::{Options, Zone};
use crate::output::{Output, label, samples_len};
use crate::process;

pub use pulse::{Pulse, PulseReading};

/// What one collector has to be able to do.
trait Collector: Send {
    /// Reads and adds families. Families added before an error stay.
    fn collect(&mut self, now_ms: i64, input: &mut Input, out: &mut Output) -> Result<(), CollectError>;

    /// The time zone has changed; of interest to one collector.
    fn set_zone(&mut self, _zone: &Zone) {}
}

/// Makes a collector for these options.
type Make = fn(&Options) -> Box<dyn Collector>;

/// A collector is a row here, under upstream's name, and a file beside this one. `cpu` stands before `stat` since
/// both read `/proc/stat` and the second takes the first one's text.
const COLLECTORS: &[(&str, Make)] = &[
    ("cpu", |options| Box::new(cpu::Cpu::new(options))),
    ("diskstats", |options| {
        Box::new(diskstats::Diskstats::new(options))
    }),
    ("filefd", |options| Box::new(filefd::FileFd::new(options))),
    ("filesystem", |options| {
        Box::new(filesystem::Filesystem::new(options))
    }),
    ("loadavg", |options| Box::new(loadavg::LoadAvg::new(options))),
    ("meminfo", |options| Box::new(meminfo::MemInfo::new(options))),
    ("netdev", |options| Box::new(netdev::NetDev::new(options))),
    ("netstat", |options| Box::new(netstat::NetStat::new(options))),
    ("pressure", |options| Box::new(pressure::Pressure::new(options))),
    ("sockstat", |options| Box::new(sockstat::SockStat::new(options))),
    ("stat", |options| Box::new(stat::Stat::new(options))),
    ("time", |options| Box::new(time::Time::new(options))),
    ("uname", |_| Box::new(uname::Uname)),
    ("vmstat", |options| Box::new(vmstat::VmStat::new(options))),
];

/// How one collector fared in a round.
#[derive(Debug)]
pub struct Outcome {
    /// Its name, as upstream calls it.
    pub collector: &'static str,
    /// Upstream's `node_scrape_collector_success`: false also when the kernel has no such data.
    pub success: bool,
    /// Why not, when not.
    pub error: Option<CollectError>,
}

/// What one round gave.
#[derive(Debug, Default)]
pub struct Collection {
    /// Sorted by name, metrics by label values, as an exporter prints them.
    pub families: Vec<Family>,
    /// One a collector that ran, in the order they ran.
    pub outcomes: Vec<Outcome>,
}

impl Collection {
    /// Number of samples in all families.
    #[must_use]
    pub fn samples_len(&self) -> usize {
        samples_len(&self.families)
    }
}

/// All host collectors with their buffers and slow-changing lists. Make one and keep it.
pub struct HostCollector {
    collectors: Vec<Box<dyn Collector>>,
    input: Input,
    out: Output,
    outcomes: Vec<Outcome>,
}

impl fmt::Debug for HostCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostCollector")
            .field("collectors", &Self::collectors())
            .finish_non_exhaustive()
    }
}

impl HostCollector {
    /// Collectors for these options. Nothing is read yet.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        Self {
            collectors: COLLECTORS.iter().map(|(_, make)| make(options)).collect(),
            input: Input::default(),
            out: Output::default(),
            outcomes: Vec::with_capacity(COLLECTORS.len()),
        }
    }

    /// The collectors' names in the order of the table; their numbers are for [`HostCollector::collect_one`].
    #[must_use]
    pub fn collectors() -> Vec<&'static str> {
        COLLECTORS.iter().map(|(name, _)| *name).collect()
    }

    /// The time zone to report from now on: daylight saving time begins and ends while we run.
    pub fn set_zone(&mut self, zone: &Zone) {
        for collector in &mut self.collectors {
            collector.set_zone(zone);
        }
    }

    /// One whole round at `now_ms`, without durations.
    pub fn collect(&mut self, now_ms: i64) -> Collection {
        for number in 0..COLLECTORS.len() {
            self.collect_one(number, now_ms);
        }
        self.finish(&[])
    }

    /// Runs the collector with this number of the table; a number past its end does nothing. True when it succeeded.
    pub fn collect_one(&mut self, number: usize, now_ms: i64) -> bool {
        let (Some((name, _)), Some(collector)) = (COLLECTORS.get(number), self.collectors.get_mut(number))
        else {
            return false;
        };
        let error = collector.collect(now_ms, &mut self.input, &mut self.out).err();
        let success = error.is_none();
        self.outcomes.push(Outcome {
            collector: name,
            success,
            error,
        });
        success
    }

    /// Ends the round: adds `node_scrape_collector_success` and, for the collectors that have one,
    /// `node_scrape_collector_duration_seconds`. `seconds[i]` is the time the i-th call of
    /// [`HostCollector::collect_one`] took, by the caller's clock.
    pub fn finish(&mut self, seconds: &[f64]) -> Collection {
        let outcomes = std::mem::replace(&mut self.outcomes, Vec::with_capacity(COLLECTORS.len()));
        let mut success = Family::new(
            "node_scrape_collector_success",
            "node_exporter: Whether a collector succeeded.",
            MetricType::Gauge,
        );
        let mut duration = Family::new(
            "node_scrape_collector_duration_seconds",
            "node_exporter: Duration of a collector scrape.",
            MetricType::Gauge,
        );
        for (at, outcome) in outcomes.iter().enumerate() {
            success.push(
                vec![label("collector", outcome.collector)],
                f64::from(u8::from(outcome.success)),
            );
            if let Some(seconds) = seconds.get(at) {
                duration.push(vec![label("collector", outcome.collector)], *seconds);
            }
        }
        self.out.add(success);
        self.out.add(duration);
        self.input.end_round();
        Collection {
            families: self.out.finish(),
            outcomes,
        }
    }
}

/// Gives the bytes to every parser of this crate, for the fuzzer and for property tests: none may panic.
pub fn fuzz_parsers(bytes: &[u8]) {
    let text: Cow<'_, str> = String::from_utf8_lossy(bytes);
    let _ = cpu::parse_ticks(&text);
    let _ = cpu::parse_ranges(&text);
    let _ = cpuinfo::parse(&text);
    let _ = diskstats::parse(&text);
    let _ = filefd::parse(&text);
    let _ = loadavg::parse(&text);
    let _ = meminfo::parse(&text, |_, _| {});
    let _ = mountinfo::parse(&text);
    let _ = netdev::parse(&text);
    let _ = netstat::parse(&text, |_, _, _| {});
    netstat::parse_v6(&text, |_, _, _| {});
    let _ = pressure::parse(&text);
    let _ = pulse::parse_cpu(&text);
    let _ = process::parse_stat(bytes);
    let _ = process::parse_uid(bytes);
    let _ = process::container_ids(bytes);
    let _ = process::parse_passwd(bytes);
    let _ = process::command(bytes);
    let _ = sockstat::parse(&text);
    let _ = stat::parse(&text);
    udev::parse(&text, |_, _| {});
    let _ = vmstat::parse(&text, |_, _| {});
    crate::container::fuzz(bytes, &text);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_host_gives_outcomes_and_no_panic() {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::default();
        options.paths.procfs = dir.path().join("proc");
        options.paths.sysfs = dir.path().join("sys");
        options.paths.udev = dir.path().join("udev");
        let mut host = HostCollector::new(&options);
        let collection = host.collect(1_500);
        assert_eq!(collection.outcomes.len(), COLLECTORS.len());
        let well: Vec<_> = collection
            .outcomes
            .iter()
            .filter(|o| o.success)
            .map(|o| o.collector)
            .collect();
        assert_eq!(well, ["sockstat", "time", "uname"]);
        for outcome in collection.outcomes.iter().filter(|o| !o.success) {
            let text = outcome
                .error
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(
                text.contains("/proc/") || outcome.collector == "pressure",
                "{}: {text}",
                outcome.collector
            );
        }
    }

    #[test]
    fn durations_come_from_the_caller() {
        let mut host = HostCollector::new(&Options::default());
        assert!(host.collect_one(12, 0), "uname works everywhere");
        assert!(!host.collect_one(999, 0));
        let collection = host.finish(&[0.25]);
        let mut text = String::new();
        model::encode_families(&collection.families, &mut text);
        assert!(
            text.contains("node_scrape_collector_duration_seconds{collector=\"uname\"} 0.25\n"),
            "{text}"
        );
        assert!(
            text.contains("node_scrape_collector_success{collector=\"uname\"} 1\n"),
            "{text}"
        );
    }

    #[test]
    fn the_table_has_every_collector_once_and_cpu_before_stat() {
        let names = HostCollector::collectors();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), names.len());
        assert!(names.iter().position(|n| *n == "cpu") < names.iter().position(|n| *n == "stat"));
    }

    /// The fuzzer's corpus, as a plain test: findings stay found.
    #[test]
    fn the_fuzz_corpus_makes_no_parser_panic() {
        let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/procfs");
        let files: Vec<_> = std::fs::read_dir(&corpus)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert!(files.len() >= 28, "{} files in {}", files.len(), corpus.display());
        for file in files {
            fuzz_parsers(&std::fs::read(file).unwrap());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            fuzz_parsers(&bytes);
        }

        /// Bytes at random never look like a file of `/proc`; these do, in parts.
        #[test]
        fn no_almost_right_text_makes_a_parser_panic(
            parts in proptest::collection::vec(
                prop_oneof![
                    Just("cpu0 "), Just("intr "), Just("softirq "), Just("MemTotal: "), Just("Active(anon):"), Just(" kB"),
                    Just("some avg10=0 "), Just("full "), Just("total="), Just("TCP: "), Just("inuse "), Just("sockets: used"),
                    Just("Tcp: "), Just("Ip6InReceives "), Just("eth0:"), Just("|"), Just("E:ID_FS_TYPE="), Just("="),
                    Just("8 0 sda "), Just("1 2 3 4 "), Just("- ext4 "), Just("8:1 "), Just("\\040"), Just("\\0"), Just("rw,"),
                    Just("processor : "), Just("flags\t:"), Just("18446744073709551616 "), Just("-1 "), Just("0-9,"),
                    Just("4294967295-0"), Just("\t"), Just("\n"), Just("\n\n"), Just("\u{e9}"), Just(":"), Just(" "),
                    Just("total_rss "), Just("anon "), Just("usage_usec "), Just("oom_kill "), Just("rbytes="), Just("8:0 Read "),
                    Just("max "), Just("0::/docker/id"), Just("4:memory:/../x"), Just("/docker/id/.."), Just("(deleted)"),
                    Just("1 2 0:3 / /sys/fs/cgroup rw - cgroup2 c rw"), Just("1 2 0:3 /x /y rw - cgroup c rw,memory"),
                    Just("Max open files "), Just("7 (a) b) S"), Just("btime "), Just("cpu  "),
                ],
                0..64,
            )
        ) {
            fuzz_parsers(parts.concat().as_bytes());
        }
    }
}
