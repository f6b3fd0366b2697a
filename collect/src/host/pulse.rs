//! The few figures of the host that a live page shows every second, read from five small files.
//!
//! Counters are sums over the devices that carry the traffic once: physical interfaces (a bridge, a bond, a VLAN and each
//! `veth` see the same packets again) and whole disks (partitions, `dm`, `md` and `loop` devices lie on top of them). Where no
//! interface or disk says that it is physical, as in some virtual machines, the names decide.

use std::path::{Path, PathBuf};

use super::{diskstats, loadavg, meminfo, netdev};
use crate::input::{Input, Source};
use crate::options::Paths;

/// A sector here has 512 bytes, whatever the device's own has.
const SECTOR_BYTES: f64 = 512.0;
/// The kernel's ticks of `/proc/stat`, 100 a second for programs whatever it counts in itself.
const TICKS_PER_S: f64 = 100.0;
/// Columns of the first line of `/proc/stat` that are not within another one: guests' time is within user and nice.
const CPU_COLUMNS: usize = 8;
const IDLE: usize = 3;
const IOWAIT: usize = 4;

/// Interfaces by name that see again what another one saw.
const STACKED: &[&str] = &[
    "lo",
    "veth",
    "br-",
    "docker",
    "virbr",
    "lxc",
    "lxd",
    "cni",
    "cali",
    "flannel",
    "vxlan",
    "dummy",
    "ifb",
    "tap",
    "tun",
    "wg",
    "bond",
    "team",
    "vlan",
    "macvlan",
    "ipvlan",
    "sit",
    "gre",
    "ip6",
    "kube",
    "nodelocaldns",
    "podman",
];
/// Block devices by name that lie on top of others, or in memory.
const LAYERED: &[&str] = &["loop", "ram", "zram", "dm-", "md", "sr", "fd", "drbd", "nbd"];

/// Counters since the start of the machine, and gauges. `None` where the kernel does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PulseReading {
    /// Seconds that all processors together did something, waiting for disks not counted.
    pub cpu_busy_s: Option<f64>,
    /// Seconds of all processors together.
    pub cpu_total_s: Option<f64>,
    /// Load average over a minute.
    pub load1: Option<f64>,
    /// Bytes in use: what is not available to a program that asks for memory now.
    pub memory_used_bytes: Option<f64>,
    /// Bytes there are.
    pub memory_total_bytes: Option<f64>,
    /// Bytes of swap in use.
    pub swap_used_bytes: Option<f64>,
    /// Bytes received.
    pub receive_bytes: Option<f64>,
    /// Bytes sent.
    pub transmit_bytes: Option<f64>,
    /// Bytes read from disks.
    pub read_bytes: Option<f64>,
    /// Bytes written to disks.
    pub write_bytes: Option<f64>,
}

/// Reads them. It keeps its files open, so make one when somebody looks and drop it when nobody does.
#[derive(Debug)]
pub struct Pulse {
    input: Input,
    stat: Source,
    meminfo: Source,
    loadavg: Source,
    netdev: Source,
    diskstats: Source,
    class_net: PathBuf,
    block: PathBuf,
}

impl Pulse {
    /// A reader below these paths. Nothing is read yet.
    #[must_use]
    pub fn new(paths: &Paths) -> Self {
        let file = |name: &str| Source::new(paths.procfs.join(name));
        Self {
            input: Input::default(),
            stat: file("stat"),
            meminfo: file("meminfo"),
            loadavg: file("loadavg"),
            netdev: file("net/dev"),
            diskstats: file("diskstats"),
            class_net: paths.sysfs.join("class/net"),
            block: paths.sysfs.join("block"),
        }
    }

    /// Reads all five files once. What cannot be read is `None`.
    pub fn read(&mut self) -> PulseReading {
        let mut reading = PulseReading::default();
        if let Ok(text) = self.input.source(&mut self.stat)
            && let Some((busy_s, total_s)) = parse_cpu(text)
        {
            reading.cpu_busy_s = Some(busy_s);
            reading.cpu_total_s = Some(total_s);
        }
        if let Ok(text) = self.input.source(&mut self.meminfo) {
            memory(text, &mut reading);
        }
        if let Ok(text) = self.input.source(&mut self.loadavg) {
            reading.load1 = loadavg::parse(text).ok().map(|[one, _, _]| one);
        }
        if let Ok(text) = self.input.source(&mut self.netdev)
            && let Ok(devices) = netdev::parse(text)
        {
            let rows = devices.iter().map(|device| (device.name, device.bytes()));
            let sums = sum_of_physical(rows, &self.class_net, STACKED);
            [reading.receive_bytes, reading.transmit_bytes] = sums.map(Some);
        }
        if let Ok(text) = self.input.source(&mut self.diskstats)
            && let Ok(disks) = diskstats::parse(text)
        {
            let rows = disks.iter().map(|disk| (disk.device, disk.sectors()));
            let sums = sum_of_physical(rows, &self.block, LAYERED);
            [reading.read_bytes, reading.write_bytes] = sums.map(|sectors| Some(sectors * SECTOR_BYTES));
        }
        reading
    }
}

/// Seconds busy and in all, from the first line of `/proc/stat`.
pub(super) fn parse_cpu(text: &str) -> Option<(f64, f64)> {
    let mut ticks = [0.0; CPU_COLUMNS];
    let rest = text.lines().next()?.strip_prefix("cpu ")?;
    let mut words = rest.split_ascii_whitespace();
    for (at, slot) in ticks.iter_mut().enumerate() {
        match words.next() {
            Some(word) => *slot = crate::input::number(word)?,
            // Kernels before 2.6.11 had fewer columns, all of them with the first four.
            None if at > IDLE => break,
            None => return None,
        }
    }
    let total: f64 = ticks.iter().sum();
    let idle = ticks.get(IDLE)? + ticks.get(IOWAIT)?;
    Some(((total - idle) / TICKS_PER_S, total / TICKS_PER_S))
}

/// Memory and swap in use.
fn memory(text: &str, reading: &mut PulseReading) {
    let [mut total, mut available, mut swap_total, mut swap_free] = [None; 4];
    // A kernel before 3.14 does not say what is available; these three are a fair guess.
    let mut guess = 0.0;
    let parsed = meminfo::parse(text, |key, value| match key {
        "MemTotal" => total = Some(value),
        "MemAvailable" => available = Some(value),
        "MemFree" | "Buffers" | "Cached" => guess += value,
        "SwapTotal" => swap_total = Some(value),
        "SwapFree" => swap_free = Some(value),
        _ => {}
    });
    if parsed.is_err() {
        return;
    }
    reading.memory_total_bytes = total;
    reading.memory_used_bytes = total.map(|total| (total - available.unwrap_or(guess)).max(0.0));
    reading.swap_used_bytes = swap_total
        .zip(swap_free)
        .map(|(total, free)| (total - free).max(0.0));
}

/// The sums over the devices with a `device` link below `class`, which those of hardware have; where none has one, over those whose name is
/// none of `others` and that are listed in `class` (partitions are not).
fn sum_of_physical<'a>(
    rows: impl Iterator<Item = (&'a str, [f64; 2])>,
    class: &Path,
    others: &[&str],
) -> [f64; 2] {
    let mut physical = None;
    let mut by_name = [0.0; 2];
    for (name, values) in rows {
        // A device's name has no slash (in /sys it has an exclamation mark); a damaged file shall not lead us elsewhere.
        if name.contains('/') || name.starts_with('.') || others.iter().any(|other| name.starts_with(other)) {
            continue;
        }
        let folder = class.join(name);
        let add = |sums: &mut [f64; 2]| sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        if folder.join("device").exists() {
            add(physical.get_or_insert_default());
        } else if folder.exists() {
            add(&mut by_name);
        }
    }
    physical.unwrap_or(by_name)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let file = root.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    fn paths(root: &Path) -> Paths {
        Paths {
            procfs: root.join("proc"),
            sysfs: root.join("sys"),
            ..Paths::default()
        }
    }

    const NET: &str = "Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    9000       1    0    0    0     0          0         0     9000       1    0    0    0     0       0          0
  eth0:     100       1    0    0    0     0          0         0      200       1    0    0    0     0       0          0
docker0:     70       1    0    0    0     0          0         0       70       1    0    0    0     0       0          0
vethab1:     70       1    0    0    0     0          0         0       70       1    0    0    0     0       0          0
 bond9:     100       1    0    0    0     0          0         0      200       1    0    0    0     0       0          0
  ens5:      11       1    0    0    0     0          0         0       22       1    0    0    0     0       0          0
";

    const DISKS: &str = "   8       0 sda 1 0 10 0 1 0 20 0 0 0 0
   8       1 sda1 1 0 10 0 1 0 20 0 0 0 0
 253       0 dm-0 1 0 10 0 1 0 20 0 0 0 0
 259       0 nvme0n1 1 0 1 0 1 0 2 0 0 0 0
   7       0 loop0 1 0 10 0 1 0 20 0 0 0 0
";

    #[test]
    fn devices_are_counted_once() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        write(root, "proc/net/dev", NET);
        write(root, "proc/diskstats", DISKS);
        for name in ["lo", "docker0", "vethab1", "bond9"] {
            fs::create_dir_all(root.join("sys/class/net").join(name)).unwrap();
        }
        for device in ["class/net/eth0", "class/net/ens5", "block/sda", "block/nvme0n1"] {
            fs::create_dir_all(root.join("sys").join(device).join("device")).unwrap();
        }
        fs::create_dir_all(root.join("sys/block/dm-0")).unwrap();
        let reading = Pulse::new(&paths(root)).read();
        assert_eq!(
            (reading.receive_bytes, reading.transmit_bytes),
            (Some(111.0), Some(222.0))
        );
        assert_eq!(
            (reading.read_bytes, reading.write_bytes),
            (Some(11.0 * 512.0), Some(22.0 * 512.0))
        );
        assert_eq!(reading.cpu_total_s, None, "there is no /proc/stat");
    }

    #[test]
    fn without_hardware_the_names_decide() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        write(root, "proc/net/dev", &NET.replace("  eth0", "venet0"));
        write(root, "proc/diskstats", &DISKS.replace("sda", "xvda"));
        for name in [
            "class/net/venet0",
            "class/net/docker0",
            "class/net/vethab1",
            "block/xvda",
            "block/dm-0",
        ] {
            fs::create_dir_all(root.join("sys").join(name)).unwrap();
        }
        let reading = Pulse::new(&paths(root)).read();
        assert_eq!(
            (reading.receive_bytes, reading.transmit_bytes),
            (Some(100.0), Some(200.0))
        );
        assert_eq!(reading.read_bytes, Some(10.0 * 512.0));
    }

    #[test]
    fn processors_and_memory_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        write(
            root,
            "proc/stat",
            "cpu  100 20 30 800 50 0 0 0 9 9\ncpu0 1 2 3 4\n",
        );
        write(
            root,
            "proc/meminfo",
            "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 400 kB\nSwapTotal: 10 kB\nSwapFree: 4 kB\n",
        );
        write(root, "proc/loadavg", "0.25 0.5 0.75 1/100 77\n");
        let reading = Pulse::new(&paths(root)).read();
        assert_eq!((reading.cpu_busy_s, reading.cpu_total_s), (Some(1.5), Some(10.0)));
        assert_eq!(reading.memory_used_bytes, Some(600.0 * 1024.0));
        assert_eq!(reading.memory_total_bytes, Some(1000.0 * 1024.0));
        assert_eq!(reading.swap_used_bytes, Some(6.0 * 1024.0));
        assert_eq!(reading.load1, Some(0.25));
    }

    #[test]
    fn the_first_line_of_stat_has_its_shape() {
        for (text, want) in [
            ("cpu  1 1 1 97", Some((0.03, 1.0))),
            ("cpu0 1 1 1 1 1 1 1 1", None),
            ("cpu  1 1", None),
            ("cpu  a b c d", None),
            ("", None),
        ] {
            assert_eq!(parse_cpu(text), want, "{text:?}");
        }
    }

    #[test]
    fn this_machine_has_a_pulse() {
        let reading = Pulse::new(&Paths::default()).read();
        assert!(
            reading.cpu_total_s.unwrap() > 0.0 && reading.memory_total_bytes.unwrap() > 0.0,
            "{reading:?}"
        );
    }
}
