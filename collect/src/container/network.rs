//! Network counters of a network namespace, from `net/dev` of a process in it.
//!
//! The file is opened anew each round: an open one would keep the namespace, and its interfaces, after the container. The folder that
//! it is in is of the process and keeps nothing, so it stays open, which saves most of the way.

use std::path::Path;

use super::families::Name;
use super::files::{Reader, Shape, Slot};
use super::format::{self, float};
use super::sheet::{Base, Sheet};

/// The families, in the order of the counters.
const FAMILIES: [Name; 8] = [
    Name::NetworkReceiveBytesTotal,
    Name::NetworkReceivePacketsTotal,
    Name::NetworkReceiveErrorsTotal,
    Name::NetworkReceivePacketsDroppedTotal,
    Name::NetworkTransmitBytesTotal,
    Name::NetworkTransmitPacketsTotal,
    Name::NetworkTransmitErrorsTotal,
    Name::NetworkTransmitPacketsDroppedTotal,
];

/// Interfaces that upstream leaves out, by how their names begin: loopback, and on the host the other ends of
/// containers, whose traffic would count twice.
fn is_left_out(name: &[u8]) -> bool {
    ["lo", "veth", "docker"].iter().any(|prefix| {
        name.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
    })
}

const FILE: &str = "dev";

/// Where a process's view of its namespace is.
pub(super) fn folder_of(procfs: &Path, pid: u32) -> Slot {
    Slot::new(procfs.join(format!("{pid}/net")), Shape::Records)
}

/// Whether it can be read.
pub(super) fn is_there(folder: &mut Slot, reader: &mut Reader) -> bool {
    reader.read_below(folder, FILE).is_some()
}

/// Adds the rows of all interfaces.
pub(super) fn add(folder: &mut Slot, reader: &mut Reader, sheet: &mut Sheet, base: &Base) {
    let Some(bytes) = reader.read_below(folder, FILE) else {
        return;
    };
    format::net_dev(bytes, |name, counters| {
        if is_left_out(name) {
            return;
        }
        let name = String::from_utf8_lossy(name);
        for (family, value) in FAMILIES.into_iter().zip(counters) {
            sheet.push_with(family, base, &[("interface", &name)], float(value));
        }
    });
}

/// Bytes received and sent on all interfaces, for live pages.
pub(super) fn totals(folder: &mut Slot, reader: &mut Reader) -> (f64, f64) {
    let (mut received, mut sent) = (0.0, 0.0);
    if let Some(bytes) = reader.read_below(folder, FILE) {
        format::net_dev(bytes, |name, counters| {
            if !is_left_out(name) {
                received += float(counters[0]);
                sent += float(counters[4]);
            }
        });
    }
    (received, sent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_of_no_interest_are_left_out_as_upstream_does() {
        for (name, want) in [
            ("lo", true),
            ("veth12ab", true),
            ("docker0", true),
            ("Docker_gwbridge", true),
            ("eth0", false),
            ("br-123", false),
            ("l", false),
            ("", false),
        ] {
            assert_eq!(is_left_out(name.as_bytes()), want, "{name}");
        }
    }
}
