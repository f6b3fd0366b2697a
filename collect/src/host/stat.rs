//! `stat`: the kernel's totals in `/proc/stat`, without the processors.

use model::{Family, MetricType};

use super::Collector;
use crate::error::{CollectError, Fault};
use crate::input::{Input, Source, number};
use crate::options::Options;
use crate::output::{Output, label};

/// Key in the file, name, help, type. A key that a kernel lacks is shown as 0, as upstream does.
const FIELDS: [(&str, &str, &str, MetricType); 6] = [
    (
        "intr",
        "node_intr_total",
        "Total number of interrupts serviced.",
        MetricType::Counter,
    ),
    (
        "ctxt",
        "node_context_switches_total",
        "Total number of context switches.",
        MetricType::Counter,
    ),
    (
        "btime",
        "node_boot_time_seconds",
        "Node boot time, in unixtime.",
        MetricType::Gauge,
    ),
    (
        "processes",
        "node_forks_total",
        "Total number of forks.",
        MetricType::Counter,
    ),
    (
        "procs_running",
        "node_procs_running",
        "Number of processes in runnable state.",
        MetricType::Gauge,
    ),
    (
        "procs_blocked",
        "node_procs_blocked",
        "Number of processes blocked waiting for I/O to complete.",
        MetricType::Gauge,
    ),
];

/// The kernel's soft interrupts in its order.
const VECTORS: [&str; 10] = [
    "hi",
    "timer",
    "net_tx",
    "net_rx",
    "block",
    "block_iopoll",
    "tasklet",
    "sched",
    "hrtimer",
    "rcu",
];

/// The totals.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Totals {
    /// In the order of [`FIELDS`].
    pub(super) fields: [f64; FIELDS.len()],
    /// In the order of [`VECTORS`].
    pub(super) softirqs: [f64; VECTORS.len()],
}

/// The totals of `/proc/stat`.
pub(super) fn parse(text: &str) -> Result<Totals, Fault> {
    let mut totals = Totals::default();
    for (index, line) in text.lines().enumerate() {
        // The line of interrupts has a number a vector, thousands on some machines: only the first is looked at.
        let (key, rest) = line.split_once(' ').unwrap_or((line, ""));
        let value = |word: Option<&str>| {
            word.and_then(number)
                .ok_or_else(|| Fault::new(index, "a number", line))
        };
        if let Some(at) = FIELDS.iter().position(|(known, ..)| *known == key) {
            totals.fields[at] = value(rest.split_ascii_whitespace().next())?;
        } else if key == "softirq" {
            for (slot, word) in totals
                .softirqs
                .iter_mut()
                .zip(rest.split_ascii_whitespace().skip(1))
            {
                *slot = value(Some(word))?;
            }
        }
    }
    Ok(totals)
}

/// The collector.
#[derive(Debug)]
pub(super) struct Stat {
    file: Source,
    softirq: bool,
}

impl Stat {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            file: Source::new(options.paths.procfs.join("stat")),
            softirq: options.stat_softirq,
        }
    }
}

impl Collector for Stat {
    fn collect(&mut self, _now_ms: i64, input: &mut Input, out: &mut Output) -> Result<(), CollectError> {
        let totals = parse(input.stat_again(&mut self.file)?).map_err(|fault| fault.at(self.file.path()))?;
        for ((_, name, help, kind), value) in FIELDS.into_iter().zip(totals.fields) {
            let mut family = Family::new(name, help, kind);
            family.push(Vec::new(), value);
            out.add(family);
        }
        if self.softirq {
            let mut family = Family::new(
                "node_softirqs_total",
                "Number of softirq calls.",
                MetricType::Counter,
            );
            for (vector, value) in VECTORS.into_iter().zip(totals.softirqs) {
                family.push(vec![label("vector", vector)], value);
            }
            out.add(family);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_found_among_the_processors() {
        let text = "cpu  1 2 3 4\ncpu0 1 2 3 4\nintr 8885917 17 0 0\nctxt 38014093\nbtime 1418183276\nprocesses 26442\n\
            procs_running 2\nprocs_blocked 1\nsoftirq 55 1 2 3 4 5 6 7 8 9 10\n";
        let got = parse(text).unwrap();
        assert_eq!(
            got.fields,
            [8_885_917.0, 38_014_093.0, 1_418_183_276.0, 26442.0, 2.0, 1.0]
        );
        assert_eq!((got.softirqs[0], got.softirqs[9]), (1.0, 10.0));
        assert_eq!(parse("cpu0 1 2\n").unwrap(), Totals::default());
        for bad in ["intr", "ctxt x", "softirq 1 y"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
