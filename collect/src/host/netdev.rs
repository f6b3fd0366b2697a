//! `netdev`: network devices, from `/proc/net/dev` and, for one counter, `/sys/class/net`.
//!
//! Upstream asks by netlink for the same counters and adds them up as `/proc/net/dev` does; only packets without a
//! handler are missing from that file.

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
}

impl NetDev {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            file: Source::new(options.paths.procfs.join("net/dev")),
            class: options.paths.sysfs.join("class/net"),
            filter: options.filters.netdev_devices.clone(),
            path: String::new(),
        }
    }
}

impl Collector for NetDev {
    fn collect(&mut self, _now_ms: i64, input: &mut Input, out: &mut Output) -> Result<(), CollectError> {
        // The text is copied out of the shared buffer, which the reads below use.
        let text = input.source(&mut self.file)?.to_owned();
        let devices = parse(&text).map_err(|fault| fault.at(self.file.path()))?;
        let mut families = COLUMNS.map(|(name, help)| Family::new(name, help, MetricType::Counter));
        for device in devices.iter().filter(|device| !self.filter.ignores(device.name)) {
            let labels = || vec![label("device", device.name.to_owned())];
            for (family, value) in families.iter_mut().zip(device.counters) {
                family.push(labels(), value);
            }
            // A device's name has no slash; a damaged file could, and shall not lead us elsewhere.
            if device.name.contains('/') {
                continue;
            }
            self.path.clear();
            // Writing to a String cannot fail.
            let _ = write!(
                self.path,
                "{}/{}/statistics/rx_nohandler",
                self.class.display(),
                device.name
            );
            if let Some(count) = input.read_value(Path::new(&self.path)).and_then(number) {
                families[FILE_COLUMNS].push(labels(), count);
            }
        }
        families.into_iter().for_each(|family| out.add(family));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
