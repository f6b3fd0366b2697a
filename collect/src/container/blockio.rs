//! Block I/O of a cgroup, and the names of block devices.
//!
//! v1 has a file for bytes and one for operations, with a line a device and kind; v2 has one line a device.

use std::collections::HashMap;
use std::path::PathBuf;

use super::cgroup::{File, Files, RARE_ROUNDS};
use super::families::Name;
use super::files::Reader;
use super::format::{self, DeviceNumber, float};
use super::hierarchy::Version;
use super::sheet::{Base, Sheet};
use crate::options::Paths;

/// Rounds for which a device's name is kept: numbers are given out again when devices come and go.
const NAMES_KEPT_ROUNDS: u64 = 64;

/// A device as series show it.
#[derive(Debug, Clone)]
struct Device {
    /// `/dev/sda`, or the number when nobody knows a name.
    path: String,
    major: String,
    minor: String,
}

/// Names of devices by their number.
#[derive(Debug)]
pub(super) struct Devices {
    folder: PathBuf,
    diskstats: PathBuf,
    names: HashMap<DeviceNumber, Device>,
}

impl Devices {
    pub(super) fn new(paths: &Paths) -> Self {
        Self {
            folder: paths.sysfs.join("dev/block"),
            diskstats: paths.procfs.join("diskstats"),
            names: HashMap::new(),
        }
    }

    /// Forgets the names now and then.
    pub(super) fn begin_round(&mut self, round: u64) {
        if round.is_multiple_of(NAMES_KEPT_ROUNDS) {
            self.names.clear();
        }
    }

    fn get(&mut self, number: DeviceNumber, reader: &mut Reader) -> &Device {
        self.names.entry(number).or_insert_with(|| {
            let DeviceNumber { major, minor } = number;
            let link = std::fs::read_link(self.folder.join(format!("{major}:{minor}"))).ok();
            let name = link
                .as_deref()
                .and_then(|target| target.file_name()?.to_str())
                .map(str::to_owned)
                .or_else(|| name_in_diskstats(reader.read_path(&self.diskstats)?, number));
            Device {
                path: name.map_or_else(|| format!("{major}:{minor}"), |name| format!("/dev/{name}")),
                major: major.to_string(),
                minor: minor.to_string(),
            }
        })
    }
}

/// The name of a device in `/proc/diskstats`.
fn name_in_diskstats(bytes: &[u8], number: DeviceNumber) -> Option<String> {
    bytes.split(|byte| *byte == b'\n').find_map(|line| {
        let mut words = line
            .split(|byte| byte.is_ascii_whitespace())
            .filter(|word| !word.is_empty());
        let is_it =
            format::digits(words.next()?)? == number.major && format::digits(words.next()?)? == number.minor;
        let name = words.next().filter(|_| is_it)?;
        std::str::from_utf8(name).ok().map(str::to_owned)
    })
}

/// One figure of a device.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Figure {
    device: DeviceNumber,
    name: Name,
    /// The label `operation`, where the family has it.
    operation: Option<&'static str>,
    value: f64,
}

/// Kinds of I/O that v1 counts, and upstream shows as they stand.
const OPERATIONS: [&str; 6] = ["Async", "Discard", "Read", "Sync", "Total", "Write"];

fn parse_v1_bytes(bytes: &[u8], figures: &mut Vec<Figure>) {
    format::blkio(bytes, |device, operation, value| {
        let Some(operation) = OPERATIONS.iter().find(|known| known.as_bytes() == operation) else {
            return;
        };
        let value = float(value);
        let mut add = |name, operation| {
            figures.push(Figure {
                device,
                name,
                operation,
                value,
            });
        };
        add(Name::BlkioDeviceUsageTotal, Some(*operation));
        match *operation {
            "Read" => add(Name::FsReadsBytesTotal, None),
            "Write" => add(Name::FsWritesBytesTotal, None),
            _ => {}
        }
    });
}

fn parse_v1_counts(bytes: &[u8], figures: &mut Vec<Figure>) {
    format::blkio(bytes, |device, operation, value| {
        let name = match operation {
            b"Read" => Name::FsReadsTotal,
            b"Write" => Name::FsWritesTotal,
            _ => return,
        };
        figures.push(Figure {
            device,
            name,
            operation: None,
            value: float(value),
        });
    });
}

fn parse_v2(bytes: &[u8], figures: &mut Vec<Figure>) {
    format::io_stat(bytes, |device, key, value| {
        let value = float(value);
        let mut add = |name, operation, value| {
            figures.push(Figure {
                device,
                name,
                operation,
                value,
            });
        };
        match key {
            b"rbytes" => {
                add(Name::BlkioDeviceUsageTotal, Some("Read"), value);
                add(Name::FsReadsBytesTotal, None, value);
            }
            b"wbytes" => {
                add(Name::BlkioDeviceUsageTotal, Some("Write"), value);
                add(Name::FsWritesBytesTotal, None, value);
            }
            b"dbytes" => add(Name::BlkioDeviceUsageTotal, Some("Discard"), value),
            b"rios" => add(Name::FsReadsTotal, None, value),
            b"wios" => add(Name::FsWritesTotal, None, value),
            b"cost.usage" => add(Name::FsIoCostUsageSecondsTotal, None, value / 1e6),
            b"cost.wait" => add(Name::FsIoCostWaitSecondsTotal, None, value / 1e6),
            b"cost.indebt" => add(Name::FsIoCostIndebtSecondsTotal, None, value / 1e6),
            b"cost.indelay" => add(Name::FsIoCostIndelaySecondsTotal, None, value / 1e6),
            _ => {}
        }
    });
}

/// Block I/O of one cgroup: its interface, and what was read last.
#[derive(Debug)]
pub(super) struct IoOf {
    version: Version,
    bytes: Vec<Figure>,
    /// v1 counts operations in a second file.
    counts: Vec<Figure>,
    is_read: bool,
}

impl IoOf {
    pub(super) fn new(version: Version) -> Self {
        Self {
            version,
            bytes: Vec::new(),
            counts: Vec::new(),
            is_read: false,
        }
    }

    /// Bytes read and written on all devices, for live pages.
    pub(super) fn totals(&self, files: &mut Files, reader: &mut Reader) -> (f64, f64) {
        let mut figures = Vec::new();
        self.read_bytes(files, reader, &mut figures);
        let sum = |name| {
            figures
                .iter()
                .filter(|figure| figure.name == name)
                .fold(0.0, |sum, figure| sum + figure.value)
        };
        (sum(Name::FsReadsBytesTotal), sum(Name::FsWritesBytesTotal))
    }

    fn read_bytes(&self, files: &mut Files, reader: &mut Reader, figures: &mut Vec<Figure>) {
        match (files.read(reader, File::IoBytes), self.version) {
            (Some(bytes), Version::V1) => parse_v1_bytes(bytes, figures),
            (Some(bytes), Version::V2) => parse_v2(bytes, figures),
            (None, _) => {}
        }
    }

    /// Reads bytes, and operations too when bytes have changed or it is their turn: nothing read or written is no operation, but for
    /// flushes.
    fn read(&mut self, files: &mut Files, reader: &mut Reader, spare: &mut Vec<Figure>, turn: u64) {
        spare.clear();
        self.read_bytes(files, reader, spare);
        let may_wait = self.is_read && self.bytes == *spare && !turn.is_multiple_of(RARE_ROUNDS);
        std::mem::swap(&mut self.bytes, spare);
        self.is_read = true;
        if self.version == Version::V1 && !may_wait {
            self.counts.clear();
            if let Some(bytes) = files.read(reader, File::IoCounts) {
                parse_v1_counts(bytes, &mut self.counts);
            }
        }
    }
}

/// Reads block I/O: one spare list for all cgroups of a round.
#[derive(Debug, Default)]
pub(super) struct BlockIo {
    spare: Vec<Figure>,
}

impl BlockIo {
    /// Adds a cgroup's rows. `turn` is a number that spreads rare reads over the rounds.
    pub(super) fn add(
        &mut self,
        of: &mut IoOf,
        (files, reader): (&mut Files, &mut Reader),
        (sheet, base): (&mut Sheet, &Base),
        devices: &mut Devices,
        turn: u64,
    ) {
        of.read(files, reader, &mut self.spare, turn);
        for figure in of.bytes.iter().chain(&of.counts) {
            let device = devices.get(figure.device, reader);
            match figure.operation {
                None => {
                    let more = [("device", device.path.as_str())];
                    sheet.push_with(figure.name, base, &more, figure.value);
                }
                Some(operation) => {
                    let more = [
                        ("device", device.path.as_str()),
                        ("major", device.major.as_str()),
                        ("minor", device.minor.as_str()),
                        ("operation", operation),
                    ];
                    sheet.push_with(figure.name, base, &more, figure.value);
                }
            }
        }
    }
}

/// Gives the bytes to the parsers of this file: none may panic.
pub(super) fn fuzz(bytes: &[u8]) {
    let mut figures = Vec::new();
    parse_v1_bytes(bytes, &mut figures);
    parse_v1_counts(bytes, &mut figures);
    parse_v2(bytes, &mut figures);
    let _ = name_in_diskstats(bytes, DeviceNumber { major: 8, minor: 0 });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_their_names_from_sysfs_or_diskstats_or_their_number() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths {
            procfs: dir.path().join("proc"),
            sysfs: dir.path().join("sys"),
            ..Paths::default()
        };
        std::fs::create_dir_all(dir.path().join("sys/dev/block")).unwrap();
        std::fs::create_dir_all(&paths.procfs).unwrap();
        std::os::unix::fs::symlink("../../devices/x/block/sda", dir.path().join("sys/dev/block/8:0"))
            .unwrap();
        std::fs::write(
            paths.procfs.join("diskstats"),
            "   8       0 sda 1 2\n 254       0 vda 1 2\n",
        )
        .unwrap();
        let mut devices = Devices::new(&paths);
        let mut reader = Reader::default();
        for (major, want) in [(8, "/dev/sda"), (254, "/dev/vda"), (7, "7:0")] {
            assert_eq!(
                devices.get(DeviceNumber { major, minor: 0 }, &mut reader).path,
                want
            );
        }
    }
}
