//! `netdev`: network devices, from `/proc/net/dev` and, for one counter, `/sys/class/net`.
//!
//! Upstream asks by netlink for the same counters and adds them up as `/proc/net/dev` does; only packets without a
//! handler are missing from that file.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use model::{Family, MetricType};

use super::Collector;
use crate::error::{CollectError, Fault};
use crate::input::{Input, Source, number};
use crate::options::{Filter, Options};
use crate::output::{Output, label};

/// Rows of the table below.
macro_rules! columns {
    ($($name:literal),* $(,)?) => {
        [$((concat!("node_network_", $name, "_total"), concat!("Network device statistic ", $name, "."))),*]
    };
}

/// The columns of `/proc/net/dev`, and behind them the one of `/sys`.
const COLUMNS: [(&str, &str); 17] = columns![
    "receive_bytes",
    "receive_packets",
    "receive_errs",
    "receive_drop",
    "receive_fifo",
    "receive_frame",
    "receive_compressed",
    "receive_multicast",
    "transmit_bytes",
    "transmit_packets",
    "transmit_errs",
    "transmit_drop",
    "transmit_fifo",
    "transmit_colls",
    "transmit_carrier",
    "transmit_compressed",
    "receive_nohandler",
];
const FILE_COLUMNS: usize = COLUMNS.len() - 1;
/// Devices whose counter in `/sys`, a file each, is read in every round. Of more (each container has one) it is read in turns.
const DEVICES_AT_ONCE: usize = 16;
/// Rounds between two looks at that counter of one device then.
const TURNS: u64 = 4;
/// Lines before the first device.
const HEADER_LINES: usize = 2;

/// One device's counters.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Device<'a> {
    pub(super) name: &'a str,
    pub(super) counters: [f64; FILE_COLUMNS],
}

impl Device<'_> {
    /// Bytes received and sent.
    pub(super) fn bytes(&self) -> [f64; 2] {
        let [receive, _, _, _, _, _, _, _, transmit, ..] = self.counters;
        [receive, transmit]
    }
}

/// All devices. A name ends at the last colon, as an alias has one within (`eth0:1`), and numbers may follow it at once.
pub(super) fn parse(text: &str) -> Result<Vec<Device<'_>>, Fault> {
    let mut devices = Vec::new();
    for (index, line) in text
        .lines()
        .enumerate()
        .skip(HEADER_LINES)
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let fault = || Fault::new(index, "a device and 16 counters", line);
        let (name, rest) = line.rsplit_once(':').ok_or_else(fault)?;
        let mut counters = [0.0; FILE_COLUMNS];
        let mut words = rest.split_ascii_whitespace();
        for counter in &mut counters {
            *counter = words.next().and_then(number).ok_or_else(fault)?;
        }
        devices.push(Device {
            name: name.trim(),
            counters,
        });
    }
    Ok(devices)
}

/// The collector.
#[derive(Debug)]
pub(super) struct NetDev {
    file: Source,
    class: PathBuf,
    filter: Filter,
    path: String,
    /// By device: the round that it was there in, and packets without a handler.
    nohandler: HashMap<String, (u64, Option<f64>)>,
    round: u64,
}

impl NetDev {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            file: Source::new(options.paths.procfs.join("net/dev")),
            class: options.paths.sysfs.join("class/net"),
            filter: options.filters.netdev_devices.clone(),
            path: String::new(),
            nohandler: HashMap::new(),
            round: 0,
        }
    }

    /// Packets of a device that nobody handled: read, or repeated when it is not its turn.
    fn nohandler(&mut self, device: &str, is_turn: bool, input: &mut Input) -> Option<f64> {
        if let Some((seen, count)) = self.nohandler.get_mut(device) {
            *seen = self.round;
            if !is_turn {
                return *count;
            }
        }
        // A device's name has no slash; a damaged file could, and shall not lead us elsewhere.
        if device.contains('/') {
            return None;
        }
        self.path.clear();
        // Writing to a String cannot fail.
        let _ = write!(
            self.path,
            "{}/{device}/statistics/rx_nohandler",
            self.class.display()
        );
        let count = input.read_value(Path::new(&self.path)).and_then(number);
        match self.nohandler.get_mut(device) {
            Some(known) => known.1 = count,
            None => drop(self.nohandler.insert(device.to_owned(), (self.round, count))),
        }
        count
    }
}

impl Collector for NetDev {
    fn collect(&mut self, _now_ms: i64, input: &mut Input, out: &mut Output) -> Result<(), CollectError> {
        // The text is copied out of the shared buffer, which the reads below use.
        let text = input.source(&mut self.file)?.to_owned();
        let mut devices = parse(&text).map_err(|fault| fault.at(self.file.path()))?;
        devices.retain(|device| !self.filter.ignores(device.name));
        let turns = if devices.len() > DEVICES_AT_ONCE { TURNS } else { 1 };
        let mut families = COLUMNS.map(|(name, help)| Family::new(name, help, MetricType::Counter));
        for (turn, device) in (self.round..).zip(&devices) {
            let labels = || vec![label("device", device.name.to_owned())];
            for (family, value) in families.iter_mut().zip(device.counters) {
                family.push(labels(), value);
            }
            let count = self.nohandler(device.name, turn.is_multiple_of(turns), input);
            if let Some(count) = count {
                families[FILE_COLUMNS].push(labels(), count);
            }
        }
        let round = self.round;
        self.nohandler.retain(|_, (seen, _)| *seen == round);
        self.round += 1;
        families.into_iter().for_each(|family| out.add(family));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the device says after each round in which its file says the round's number.
    fn nohandlers(devices: usize, rounds: u64) -> Vec<f64> {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::default();
        options.paths.procfs = dir.path().to_path_buf();
        options.paths.sysfs = dir.path().to_path_buf();
        std::fs::create_dir_all(dir.path().join("net")).unwrap();
        let lines: String = (0..devices)
            .map(|n| format!("eth{n}: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"))
            .collect();
        std::fs::write(dir.path().join("net/dev"), format!("{HEADER}{lines}")).unwrap();
        let counter = dir.path().join("class/net/eth1/statistics");
        std::fs::create_dir_all(&counter).unwrap();
        let (mut netdev, mut input) = (NetDev::new(&options), Input::default());
        let mut seen = Vec::new();
        for round in 0..rounds {
            std::fs::write(counter.join("rx_nohandler"), round.to_string()).unwrap();
            let mut out = Output::default();
            netdev.collect(0, &mut input, &mut out).unwrap();
            let families = out.finish();
            let family = families.iter().find(|f| f.name.contains("nohandler")).unwrap();
            let metric = &family.metrics[0];
            assert_eq!((&*metric.labels[0].1, family.metrics.len()), ("eth1", 1));
            let model::MetricValue::Float(value) = metric.value else {
                unreachable!("collectors make floats")
            };
            seen.push(value);
        }
        seen
    }

    #[test]
    fn packets_without_a_handler_take_turns_where_there_are_many_devices() {
        assert_eq!(nohandlers(2, 5), [0.0, 1.0, 2.0, 3.0, 4.0]);
        let many = nohandlers(DEVICES_AT_ONCE + 1, 9);
        assert_eq!(many, [0.0, 0.0, 0.0, 3.0, 3.0, 3.0, 3.0, 7.0, 7.0]);
    }

    const HEADER: &str = "Inter-|   Receive                            |  Transmit\n face |bytes    packets errs|bytes    packets\n";

    #[test]
    fn names_may_have_colons_and_no_blank_behind() {
        let text = format!(
            "{HEADER}    lo:   49241      59    0    0    0     0          0         0    49241      59    0    0    0     0       0          0\n\
             eth0:1:1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\nwlan0:18446744073709551615 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"
        );
        let got = parse(&text).unwrap();
        let rows: Vec<_> = got
            .iter()
            .map(|d| (d.name, d.counters[0], d.counters[15]))
            .collect();
        assert_eq!(
            rows,
            [
                ("lo", 49241.0, 0.0),
                ("eth0:1", 1.0, 16.0),
                ("wlan0", 18_446_744_073_709_551_615.0, 16.0)
            ]
        );
    }

    #[test]
    fn short_lines_are_faults() {
        for bad in [
            "eth0 1 2",
            "eth0: 1 2 3",
            "eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 x",
        ] {
            assert_eq!(parse(&format!("{HEADER}{bad}\n")).unwrap_err().line, 3, "{bad}");
        }
        assert_eq!(parse("").unwrap(), []);
    }
}
