//! `diskstats`: block devices from `/proc/diskstats`, their models and contents from udev's database.
//!
//! ```text
//!   major minor name | 11 fields (2.6) | 4 of discards (4.18) | 2 of flushes (5.5)
//! ```
//!
//! What udev knows about a device changes when it is formatted or plugged in, so it is kept, and read again when the
//! database's file has another time, and in any case after some rounds.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::SystemTime;

use model::{Family, MetricType};

use super::Collector;
use super::udev::Properties;
use crate::error::{CollectError, Fault};
use crate::input::{Input, Source};
use crate::options::{Filter, Options};
use crate::output::{Label, Output, label};

/// A sector here has 512 bytes, whatever the device's own has.
const SECTOR: f64 = 512.0;
/// Times are in milliseconds.
const TICK: f64 = 1.0 / 1000.0;
/// Fields of the oldest kernels we know, without major, minor and name. Shorter lines are left out, as upstream does.
const FIELDS_MIN: usize = 11;
/// Rounds after which a device is looked up again.
const KNOWN_ROUNDS: u32 = 40;

/// Name, help, type and factor of each field, in the kernel's order.
const FIELDS: [(&str, &str, MetricType, f64); 17] = {
    use MetricType::{Counter, Gauge};
    [
        (
            "node_disk_reads_completed_total",
            "The total number of reads completed successfully.",
            Counter,
            1.0,
        ),
        (
            "node_disk_reads_merged_total",
            "The total number of reads merged.",
            Counter,
            1.0,
        ),
        (
            "node_disk_read_bytes_total",
            "The total number of bytes read successfully.",
            Counter,
            SECTOR,
        ),
        (
            "node_disk_read_time_seconds_total",
            "The total number of seconds spent by all reads.",
            Counter,
            TICK,
        ),
        (
            "node_disk_writes_completed_total",
            "The total number of writes completed successfully.",
            Counter,
            1.0,
        ),
        (
            "node_disk_writes_merged_total",
            "The number of writes merged.",
            Counter,
            1.0,
        ),
        (
            "node_disk_written_bytes_total",
            "The total number of bytes written successfully.",
            Counter,
            SECTOR,
        ),
        (
            "node_disk_write_time_seconds_total",
            "This is the total number of seconds spent by all writes.",
            Counter,
            TICK,
        ),
        (
            "node_disk_io_now",
            "The number of I/Os currently in progress.",
            Gauge,
            1.0,
        ),
        (
            "node_disk_io_time_seconds_total",
            "Total seconds spent doing I/Os.",
            Counter,
            TICK,
        ),
        (
            "node_disk_io_time_weighted_seconds_total",
            "The weighted # of seconds spent doing I/Os.",
            Counter,
            TICK,
        ),
        (
            "node_disk_discards_completed_total",
            "The total number of discards completed successfully.",
            Counter,
            1.0,
        ),
        (
            "node_disk_discards_merged_total",
            "The total number of discards merged.",
            Counter,
            1.0,
        ),
        (
            "node_disk_discarded_sectors_total",
            "The total number of sectors discarded successfully.",
            Counter,
            1.0,
        ),
        (
            "node_disk_discard_time_seconds_total",
            "This is the total number of seconds spent by all discards.",
            Counter,
            TICK,
        ),
        (
            "node_disk_flush_requests_total",
            "The total number of flush requests completed successfully",
            Counter,
            1.0,
        ),
        (
            "node_disk_flush_requests_time_seconds_total",
            "This is the total number of seconds spent by all flush requests.",
            Counter,
            TICK,
        ),
    ]
};

/// The families that udev's properties fill, in the order of [`Known::facts`].
const FACTS: [(&str, &str); 6] = [
    ("node_disk_info", "Info of /sys/block/<block_device>."),
    ("node_disk_filesystem_info", "Info about disk filesystem."),
    ("node_disk_device_mapper_info", "Info about disk device mapper."),
    ("node_disk_ata_write_cache", "ATA disk has a write cache."),
    (
        "node_disk_ata_write_cache_enabled",
        "ATA disk has its write cache enabled.",
    ),
    (
        "node_disk_ata_rotation_rate_rpm",
        "ATA disk rotation rate in RPMs (0 for SSDs).",
    ),
];

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Disk<'a> {
    pub(super) major: u32,
    pub(super) minor: u32,
    pub(super) device: &'a str,
    pub(super) fields: [u64; FIELDS.len()],
    /// How many of the fields this kernel writes.
    pub(super) count: usize,
}

impl Disk<'_> {
    /// Sectors of 512 bytes read and written.
    pub(super) fn sectors(&self) -> [f64; 2] {
        let [_, _, read, _, _, _, written, ..] = self.fields;
        #[expect(
            clippy::cast_precision_loss,
            reason = "samples are floats: upstream rounds the same way"
        )]
        [read, written].map(|sectors| sectors as f64)
    }
}

/// All devices.
pub(super) fn parse(text: &str) -> Result<Vec<Disk<'_>>, Fault> {
    let mut disks = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut words = line.split_ascii_whitespace();
        let Some(major) = words.next() else { continue };
        let (Some(minor), Some(device)) = (words.next(), words.next()) else {
            return Err(Fault::new(index, "major, minor and a device", line));
        };
        let number = |word: &str| {
            word.parse::<u32>()
                .map_err(|_| Fault::new(index, "a device number", word))
        };
        let mut disk = Disk {
            major: number(major)?,
            minor: number(minor)?,
            device,
            fields: [0; FIELDS.len()],
            count: 0,
        };
        for (slot, word) in disk.fields.iter_mut().zip(words) {
            *slot = word.parse().map_err(|_| Fault::new(index, "a number", word))?;
            disk.count += 1;
        }
        if disk.count >= FIELDS_MIN {
            disks.push(disk);
        }
    }
    Ok(disks)
}

/// What was found out about a device beside its counters.
#[derive(Debug)]
struct Known {
    /// The time of udev's file; `None` when there is no such file.
    changed: Option<SystemTime>,
    rounds: u32,
    /// Labels and value for each family of [`FACTS`] that the device has.
    facts: [Option<(Vec<Label>, f64)>; FACTS.len()],
}

/// The collector.
#[derive(Debug)]
pub(super) struct Diskstats {
    file: Source,
    block: PathBuf,
    udev: PathBuf,
    filter: Filter,
    known: HashMap<String, Known>,
}

impl Diskstats {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            file: Source::new(options.paths.procfs.join("diskstats")),
            block: options.paths.sysfs.join("block"),
            udev: options.paths.udev.clone(),
            filter: options.filters.diskstats_devices.clone(),
            known: HashMap::new(),
        }
    }

    /// Looks a device up in udev's database and in `/sys/block`.
    fn look_up(&self, disk: &Disk<'_>, input: &mut Input) -> Known {
        let file = self.udev.join(format!("b{}:{}", disk.major, disk.minor));
        let changed = std::fs::metadata(&file)
            .and_then(|metadata| metadata.modified())
            .ok();
        let mut properties = Properties::default();
        if changed.is_some()
            && let Ok(text) = input.read(&file)
        {
            properties = Properties::from_text(text);
        }
        // A device such as `cciss/c0d0` is a folder `cciss!c0d0`.
        let rotational = self
            .block
            .join(disk.device.replace('/', "!"))
            .join("queue/rotational");
        let rotational = input
            .read_value(&rotational)
            .and_then(|text| text.parse::<u64>().ok())
            .unwrap_or(0);
        Known {
            changed,
            rounds: 0,
            facts: facts(disk, &properties, rotational),
        }
    }

    /// Brings what is known about a device up to date.
    fn refresh(&mut self, disk: &Disk<'_>, input: &mut Input) {
        if let Some(known) = self.known.get_mut(disk.device) {
            known.rounds += 1;
            if known.rounds < KNOWN_ROUNDS {
                let file = self.udev.join(format!("b{}:{}", disk.major, disk.minor));
                let changed = std::fs::metadata(file)
                    .and_then(|metadata| metadata.modified())
                    .ok();
                if changed == known.changed {
                    return;
                }
            }
        }
        let known = self.look_up(disk, input);
        self.known.insert(disk.device.to_owned(), known);
    }
}

/// The facts of a device in the order of [`FACTS`].
fn facts(disk: &Disk<'_>, p: &Properties, rotational: u64) -> [Option<(Vec<Label>, f64)>; FACTS.len()] {
    let device = || label("device", disk.device.to_owned());
    // The serial number that stands on the disk, else the short one, else the one of virtio disks.
    let serial = ["SCSI_IDENT_SERIAL", "ID_SERIAL_SHORT", "ID_SERIAL"]
        .into_iter()
        .map(|name| p.get(name))
        .find(|serial| !serial.is_empty())
        .unwrap_or_default();
    let of = |name: &'static str, property: &str| label(name, p.get(property).to_owned());
    let info = vec![
        device(),
        label("major", disk.major.to_string()),
        label("minor", disk.minor.to_string()),
        of("model", "ID_MODEL"),
        of("path", "ID_PATH"),
        of("revision", "ID_REVISION"),
        label("rotational", format!("{rotational:b}")),
        label("serial", serial.to_owned()),
        of("wwn", "ID_WWN"),
    ];
    let filesystem = (!p.get("ID_FS_TYPE").is_empty()).then(|| {
        vec![
            device(),
            of("type", "ID_FS_TYPE"),
            of("usage", "ID_FS_USAGE"),
            of("uuid", "ID_FS_UUID"),
            of("version", "ID_FS_VERSION"),
        ]
    });
    let mapper = (!p.get("DM_NAME").is_empty()).then(|| {
        vec![
            device(),
            of("lv_layer", "DM_LV_LAYER"),
            of("lv_name", "DM_LV_NAME"),
            of("name", "DM_NAME"),
            of("uuid", "DM_UUID"),
            of("vg_name", "DM_VG_NAME"),
        ]
    });
    let ata = |property: &str| {
        let value = (!p.get("ID_ATA").is_empty())
            .then(|| p.get(property).parse().ok())
            .flatten()?;
        Some((vec![device()], value))
    };
    [
        Some((info, 1.0)),
        filesystem.map(|labels| (labels, 1.0)),
        mapper.map(|labels| (labels, 1.0)),
        ata("ID_ATA_WRITE_CACHE"),
        ata("ID_ATA_WRITE_CACHE_ENABLED"),
        ata("ID_ATA_ROTATION_RATE_RPM"),
    ]
}

impl Collector for Diskstats {
    fn collect(&mut self, _now_ms: i64, input: &mut Input, out: &mut Output) -> Result<(), CollectError> {
        // The text is copied out of the shared buffer, which the look-ups below use.
        let text = input.source(&mut self.file)?.to_owned();
        let disks = parse(&text).map_err(|fault| fault.at(self.file.path()))?;
        let mut counters = FIELDS.map(|(name, help, kind, _)| Family::new(name, help, kind));
        let mut facts = FACTS.map(|(name, help)| Family::new(name, help, MetricType::Gauge));
        for disk in &disks {
            if self.filter.ignores(disk.device) {
                continue;
            }
            self.refresh(disk, input);
            for (((family, field), value), _) in counters
                .iter_mut()
                .zip(FIELDS)
                .zip(disk.fields)
                .zip(0..disk.count)
            {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "samples are floats: upstream rounds the same way"
                )]
                family.push(
                    vec![label("device", disk.device.to_owned())],
                    value as f64 * field.3,
                );
            }
            let Some(known) = self.known.get(disk.device) else {
                continue;
            };
            for (family, fact) in facts.iter_mut().zip(&known.facts) {
                if let Some((labels, value)) = fact {
                    family.push(labels.clone(), *value);
                }
            }
        }
        // Devices that were unplugged are forgotten, so that the list does not grow for ever.
        if self.known.len() > disks.len() {
            self.known
                .retain(|device, _| disks.iter().any(|disk| disk.device == device));
        }
        counters
            .into_iter()
            .chain(facts)
            .for_each(|family| out.add(family));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_of_all_ages_are_read() {
        let text = "   8       0 sda 1 2 3 4 5 6 7 8 9 10 11\n   8  16 sdb 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n\
            259 0 nvme0n1 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n253 0 new0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18\n\n\
            8 1 sda1 1 2 3 4\n";
        let counts: Vec<_> = parse(text).unwrap().iter().map(|d| (d.device, d.count)).collect();
        assert_eq!(counts, [("sda", 11), ("sdb", 15), ("nvme0n1", 17), ("new0", 17)]);
        for bad in ["8", "8 0", "x 0 sda 1", "8 0 sda 1 2 -3 4 5 6 7 8 9 10 11"] {
            assert_eq!(parse(bad).unwrap_err().line, 1, "{bad}");
        }
    }

    #[test]
    fn facts_are_read_again_when_udev_changes_them() {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::default();
        options.paths.procfs = dir.path().to_path_buf();
        options.paths.udev = dir.path().to_path_buf();
        options.paths.sysfs = dir.path().join("none");
        std::fs::write(dir.path().join("diskstats"), "8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n").unwrap();
        let mut collector = Diskstats::new(&options);
        let mut round = || {
            let mut out = Output::default();
            collector.collect(0, &mut Input::default(), &mut out).unwrap();
            let mut text = String::new();
            model::encode_families(&out.finish(), &mut text);
            text
        };
        assert!(!round().contains("filesystem_info"));
        std::fs::write(
            dir.path().join("b8:0"),
            "S:x\nE:ID_FS_TYPE=ext4\nE:ID_MODEL=A=B\n",
        )
        .unwrap();
        let text = round();
        assert!(
            text.contains(
                "node_disk_filesystem_info{device=\"sda\",type=\"ext4\",usage=\"\",uuid=\"\",version=\"\"} 1"
            ),
            "{text}"
        );
        assert!(text.contains("model=\"A=B\""), "{text}");
        assert!(
            text.contains("node_disk_read_bytes_total{device=\"sda\"} 1536\n"),
            "{text}"
        );
        assert!(!text.contains("discard"), "{text}");
    }
}
