//! What a machine does, now or over a range, from node_exporter's metrics.
//!
//! One table ([`parts`]) names every figure with its PromQL; the same table is asked at one time or at each point of a range, and the same
//! function ([`system`]) puts the answer into the types, whose figures are values or columns.

use serde::Serialize;

use crate::expr::{PART, Selector, max_by, sum_by, union};
use crate::range::Figure;
use crate::{Client, ClientError, Column, RATE_WINDOW_S, Range, Ranged, Series, near};

/// A machine is known by this metric.
const KNOWN_BY: &str = "node_memory_MemTotal_bytes";
/// Interfaces that see again what another one saw.
const OTHER_INTERFACES: &str = "lo|veth.*|br-.*|docker.*|virbr.*|masthead[0-9]+|cali.*|cni.*|flannel.*";
/// File systems that lie in memory or are images.
const OTHER_FILE_SYSTEMS: &str = "tmpfs|ramfs|devtmpfs|squashfs|iso9660|overlay|nsfs|fuse.lxcfs|erofs";

/// A machine. What its Prometheus does not know is `None` (or an unknown [`Column`]), or left out of a list. Rates are means over
/// [`crate::RATE_WINDOW`], or over the step of a range where that is longer.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SystemMetrics<V = Option<f64>> {
    /// `instance` of its metrics, such as `web1:9100`.
    pub instance: String,
    /// Seconds since its start.
    pub uptime_seconds: V,
    /// Processors.
    pub cpu: CpuMetrics<V>,
    /// Load averages.
    pub load: LoadMetrics<V>,
    /// Memory.
    pub memory: MemoryMetrics<V>,
    /// Swap; both 0 where there is none.
    pub swap: SwapMetrics<V>,
    /// Disk space, a file system each, by mount point.
    pub file_systems: Vec<FileSystemMetrics<V>>,
    /// Disk I/O, a device each.
    pub disks: Vec<DiskMetrics<V>>,
    /// Network, an interface each.
    pub network: Vec<InterfaceMetrics<V>>,
    /// Pressure stall information: the part of the time that something waited.
    pub pressure: PressureMetrics<V>,
}

/// Processors.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CpuMetrics<V = Option<f64>> {
    /// How many.
    pub cores: V,
    /// 0 to 1 of all together; waiting for disks is no use.
    pub used_ratio: V,
    /// Of programs.
    pub user_ratio: V,
    /// Of the kernel.
    pub system_ratio: V,
    /// Idle, with a disk to wait for.
    pub iowait_ratio: V,
    /// Taken by the hypervisor.
    pub steal_ratio: V,
}

/// Load averages.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadMetrics<V = Option<f64>> {
    /// Over a minute.
    pub load1: V,
    /// Over five.
    pub load5: V,
    /// Over fifteen.
    pub load15: V,
}

/// Memory.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemoryMetrics<V = Option<f64>> {
    /// All.
    pub total_bytes: V,
    /// What a program could get now.
    pub available_bytes: V,
    /// The rest.
    pub used_bytes: V,
}

/// Swap.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SwapMetrics<V = Option<f64>> {
    /// All.
    pub total_bytes: V,
    /// In use.
    pub used_bytes: V,
}

/// A file system.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileSystemMetrics<V = Option<f64>> {
    /// Where it is mounted; the shortest path when there are several.
    pub mount_point: String,
    /// Its device.
    pub device: String,
    /// Such as `ext4`.
    pub kind: String,
    /// All.
    pub total_bytes: V,
    /// In use, what is kept for root not counted.
    pub used_bytes: V,
    /// Left for programs that are not root's.
    pub available_bytes: V,
}

/// A disk.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DiskMetrics<V = Option<f64>> {
    /// Such as `sda`.
    pub device: String,
    /// Read.
    pub read_bytes_per_second: V,
    /// Written.
    pub written_bytes_per_second: V,
    /// The part of the time that it had something to do.
    pub busy_ratio: V,
}

/// A network interface.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InterfaceMetrics<V = Option<f64>> {
    /// Such as `eth0`.
    pub device: String,
    /// Received.
    pub receive_bytes_per_second: V,
    /// Sent.
    pub transmit_bytes_per_second: V,
}

/// Pressure stall information.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PressureMetrics<V = Option<f64>> {
    /// Somebody waited for a processor.
    pub cpu_ratio: V,
    /// Somebody waited for memory.
    pub memory_ratio: V,
    /// Somebody waited for a disk.
    pub io_ratio: V,
    /// Everybody waited for memory.
    pub memory_stalled_ratio: V,
    /// Everybody waited for a disk.
    pub io_stalled_ratio: V,
}

impl Client {
    /// A machine now; `instance` may be left out where there is one only, and may lack its port.
    ///
    /// # Errors
    /// [`ClientError::Unknown`] with near names, [`ClientError::Several`], and what queries give.
    pub async fn system_metrics(&self, instance: Option<&str>) -> Result<SystemMetrics, ClientError> {
        let found = self
            .series(&format!("group by (instance) ({KNOWN_BY})"), None)
            .await?;
        let instance = choose(instance, instances(&found))?;
        let answer = self.series(&parts(&instance, RATE_WINDOW_S), None).await?;
        Ok(system(instance, &answer, None))
    }

    /// A machine over a range; `instance` as in [`Client::system_metrics`].
    ///
    /// # Errors
    /// As [`Client::system_metrics`].
    pub async fn system_range(
        &self,
        instance: Option<&str>,
        range: Range,
    ) -> Result<Ranged<SystemMetrics<Column>>, ClientError> {
        let found = self.label_sets(&[KNOWN_BY.to_owned()], &range).await?;
        let instance = choose(instance, instances(&found))?;
        let expr = parts(&instance, range.rate_window_s());
        let answer = self.series(&expr, Some(&range)).await?;
        Ok(Ranged {
            of: system(instance, &answer, Some(&range)),
            range,
        })
    }
}

fn instances(found: &[Series]) -> Vec<String> {
    let mut instances: Vec<String> = found.iter().map(|one| one.label("instance").to_owned()).collect();
    instances.sort();
    instances.dedup();
    instances
}

/// The one that is meant.
fn choose(wanted: Option<&str>, instances: Vec<String>) -> Result<String, ClientError> {
    let Some(wanted) = wanted else {
        return match instances.as_slice() {
            [one] => Ok(one.clone()),
            [] => Err(ClientError::Unknown {
                what: "host",
                name: KNOWN_BY.to_owned(),
                near: Vec::new(),
            }),
            _ => Err(ClientError::Several {
                what: "hosts",
                names: instances,
            }),
        };
    };
    let host = |instance: &str| {
        instance
            .rsplit_once(':')
            .map_or(instance.to_owned(), |(host, _)| host.to_owned())
    };
    instances
        .iter()
        .find(|one| *one == wanted || host(one) == wanted)
        .cloned()
        .ok_or_else(|| ClientError::Unknown {
            what: "host",
            name: wanted.to_owned(),
            near: near::names(wanted, &instances.iter().map(|one| host(one)).collect::<Vec<_>>()),
        })
}

/// Every figure of a machine, in one query. Aggregations join what two jobs may say of one machine.
fn parts(instance: &str, window_s: u64) -> String {
    let of = |metric: &str| Selector::metric(metric).label("instance", instance);
    let memory = |name: &str| of(&format!("node_memory_{name}_bytes")).to_string();
    let space = |name: &str| {
        of(&format!("node_filesystem_{name}_bytes"))
            .not_like("fstype", OTHER_FILE_SYSTEMS)
            .to_string()
    };
    let one = |expr: String| max_by(&[], &expr);
    let rate = |selector: Selector| format!("rate({})", selector.over(window_s));
    let by_device = |selector: Selector| max_by(&["device"], &rate(selector));
    let network = |metric: &str| by_device(of(metric).not_like("device", OTHER_INTERFACES));
    let by_mount = |expr: String| max_by(&["device", "mountpoint", "fstype"], &expr);
    let pressure = |what: &str| one(rate(of(&format!("node_pressure_{what}_seconds_total"))));
    let minus = |a: String, b: String| format!("clamp_min({a} - {b}, 0)");
    // Kernels before 3.14 do not say what is available.
    let available = format!(
        "({} or {} + {} + {})",
        memory("MemAvailable"),
        memory("MemFree"),
        memory("Buffers"),
        memory("Cached")
    );
    let cpu = |selector: Selector| max_by(&["cpu", "mode"], &rate(selector));
    union(&[
        (
            "uptime",
            one(minus(
                of("node_time_seconds").to_string(),
                of("node_boot_time_seconds").to_string(),
            )),
        ),
        (
            "cores",
            format!(
                "count(group by (cpu) ({}))",
                of("node_cpu_seconds_total").label("mode", "idle")
            ),
        ),
        ("cpu", sum_by(&["mode"], &cpu(of("node_cpu_seconds_total")))),
        ("load1", one(of("node_load1").to_string())),
        ("load5", one(of("node_load5").to_string())),
        ("load15", one(of("node_load15").to_string())),
        ("memory_total", one(memory("MemTotal"))),
        ("memory_available", one(available.clone())),
        ("memory_used", one(minus(memory("MemTotal"), available))),
        ("swap_total", one(memory("SwapTotal"))),
        ("swap_used", one(minus(memory("SwapTotal"), memory("SwapFree")))),
        ("space_total", by_mount(space("size"))),
        ("space_used", by_mount(minus(space("size"), space("free")))),
        ("space_available", by_mount(space("avail"))),
        ("read", by_device(of("node_disk_read_bytes_total"))),
        ("written", by_device(of("node_disk_written_bytes_total"))),
        ("busy", by_device(of("node_disk_io_time_seconds_total"))),
        ("receive", network("node_network_receive_bytes_total")),
        ("transmit", network("node_network_transmit_bytes_total")),
        ("pressure_cpu", pressure("cpu_waiting")),
        ("pressure_memory", pressure("memory_waiting")),
        ("pressure_io", pressure("io_waiting")),
        ("stalled_memory", pressure("memory_stalled")),
        ("stalled_io", pressure("io_stalled")),
    ])
}

/// What the answer says.
fn system<V: Figure>(instance: String, answer: &[Series], range: Option<&Range>) -> SystemMetrics<V> {
    let of_device = |part: &str, device: &str| read(answer, range, part, &[("device", device)]);
    let one = |part: &str| read(answer, range, part, &[]);
    SystemMetrics {
        uptime_seconds: one("uptime"),
        cpu: cpu(one("cores"), answer, range),
        load: LoadMetrics {
            load1: one("load1"),
            load5: one("load5"),
            load15: one("load15"),
        },
        memory: MemoryMetrics {
            total_bytes: one("memory_total"),
            available_bytes: one("memory_available"),
            used_bytes: one("memory_used"),
        },
        swap: SwapMetrics {
            total_bytes: one("swap_total"),
            used_bytes: one("swap_used"),
        },
        file_systems: file_systems(answer, range),
        disks: devices(answer, "read")
            .into_iter()
            .map(|device| DiskMetrics {
                read_bytes_per_second: of_device("read", &device),
                written_bytes_per_second: of_device("written", &device),
                busy_ratio: of_device("busy", &device),
                device,
            })
            .collect(),
        network: devices(answer, "receive")
            .into_iter()
            .map(|device| InterfaceMetrics {
                receive_bytes_per_second: of_device("receive", &device),
                transmit_bytes_per_second: of_device("transmit", &device),
                device,
            })
            .collect(),
        pressure: PressureMetrics {
            cpu_ratio: one("pressure_cpu"),
            memory_ratio: one("pressure_memory"),
            io_ratio: one("pressure_io"),
            memory_stalled_ratio: one("stalled_memory"),
            io_stalled_ratio: one("stalled_io"),
        },
        instance,
    }
}

/// The figure of a part with these labels; unknown where there is no such series.
fn read<V: Figure>(answer: &[Series], range: Option<&Range>, part: &str, labels: &[(&str, &str)]) -> V {
    answer
        .iter()
        .find(|one| one.label(PART) == part && labels.iter().all(|(name, value)| one.label(name) == *value))
        .map(|one| V::read(one, range))
        .unwrap_or_default()
}

fn cpu<V: Figure>(cores: V, answer: &[Series], range: Option<&Range>) -> CpuMetrics<V> {
    let seconds = |wanted: fn(&str) -> bool| -> V {
        answer
            .iter()
            .filter(|one| one.label(PART) == "cpu" && wanted(one.label("mode")))
            .map(|one| V::read(one, range))
            .reduce(|sum, one| sum.zip(&one, |a, b| a + b))
            .unwrap_or_default()
    };
    let total = seconds(|_| true);
    // Nothing divided by nothing is NaN, which is unknown.
    let ratio = |wanted| seconds(wanted).zip(&total, |part, total| part / total);
    CpuMetrics {
        cores,
        used_ratio: ratio(|mode| matches!(mode, "idle" | "iowait")).zip(&total, |idle, _| 1.0 - idle),
        user_ratio: ratio(|mode| matches!(mode, "user" | "nice")),
        system_ratio: ratio(|mode| matches!(mode, "system" | "irq" | "softirq")),
        iowait_ratio: ratio(|mode| mode == "iowait"),
        steal_ratio: ratio(|mode| mode == "steal"),
    }
}

/// The devices of a part, sorted.
fn devices(answer: &[Series], part: &str) -> Vec<String> {
    let mut names: Vec<String> = answer
        .iter()
        .filter(|one| one.label(PART) == part)
        .map(|one| one.label("device").to_owned())
        .collect();
    names.sort();
    names.dedup();
    names
}

/// One row a device: a bind mount of a part of it is the same space.
fn file_systems<V: Figure>(answer: &[Series], range: Option<&Range>) -> Vec<FileSystemMetrics<V>> {
    let mut sizes: Vec<&Series> = answer
        .iter()
        .filter(|one| one.label(PART) == "space_total")
        .collect();
    sizes.sort_by_key(|one| (one.label("mountpoint").len(), one.label("mountpoint").to_owned()));
    let mut all: Vec<FileSystemMetrics<V>> = Vec::new();
    for size in sizes {
        let (device, mount_point) = (size.label("device"), size.label("mountpoint"));
        if all.iter().any(|known| known.device == device) {
            continue;
        }
        let space = |part: &str| {
            let labels = [("device", device), ("mountpoint", mount_point)];
            read(answer, range, part, &labels)
        };
        all.push(FileSystemMetrics {
            mount_point: mount_point.to_owned(),
            device: device.to_owned(),
            kind: size.label("fstype").to_owned(),
            total_bytes: V::read(size, range),
            used_bytes: space("space_used"),
            available_bytes: space("space_available"),
        });
    }
    all.sort_by(|a, b| a.mount_point.cmp(&b.mount_point));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(labels: &[(&str, &str)], value: f64) -> Series {
        Series {
            labels: labels
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
            points: vec![(0.0, value)],
            ..Series::default()
        }
    }

    #[test]
    fn a_machine_is_chosen_by_name_with_or_without_its_port() {
        let two = || vec!["db:9100".to_owned(), "web1:9100".to_owned()];
        assert_eq!(choose(Some("web1"), two()).unwrap(), "web1:9100");
        assert_eq!(choose(Some("db:9100"), two()).unwrap(), "db:9100");
        assert_eq!(choose(None, vec!["a:1".to_owned()]).unwrap(), "a:1");
        let error = choose(Some("web2"), two()).unwrap_err().to_string();
        assert!(
            error.contains("did you mean web1") && error.contains("web2"),
            "{error}"
        );
        let error = choose(None, two()).unwrap_err().to_string();
        assert!(error.contains("db:9100, web1:9100"), "{error}");
        assert!(matches!(
            choose(None, Vec::new()),
            Err(ClientError::Unknown { .. })
        ));
    }

    /// An answer in which every series has one value, or the same value at each of two points.
    fn answer(points: usize) -> Vec<Series> {
        let part = |part: &str, value| series(&[(PART, part)], value);
        let with = |part: &str, label: (&str, &str), value| series(&[(PART, part), label], value);
        let space = |part: &str, mount: &str, value| {
            series(
                &[
                    (PART, part),
                    ("device", "/dev/sdb"),
                    ("mountpoint", mount),
                    ("fstype", "ext4"),
                ],
                value,
            )
        };
        let mut all = vec![
            part("memory_total", 100.0),
            part("memory_used", 40.0),
            part("uptime", 60.0),
            part("cores", 2.0),
            space("space_total", "/data/x", 50.0),
            space("space_total", "/data", 50.0),
            space("space_used", "/data", 30.0),
            space("space_available", "/data", 15.0),
            with("cpu", ("mode", "idle"), 1.0),
            with("cpu", ("mode", "iowait"), 0.5),
            with("cpu", ("mode", "user"), 0.5),
            with("read", ("device", "sda"), 7.0),
            with("busy", ("device", "sda"), 0.25),
            with("receive", ("device", "eth0"), 9.0),
            part("pressure_io", 0.125),
        ];
        for one in &mut all {
            one.points = vec![one.points[0]; points];
            for (at, point) in one.points.iter_mut().enumerate() {
                point.0 = if at == 0 { 0.0 } else { 60.0 };
            }
        }
        all
    }

    #[test]
    fn an_answer_becomes_a_machine() {
        let system: SystemMetrics = system("web1:9100".to_owned(), &answer(1), None);
        assert_eq!(system.memory.used_bytes, Some(40.0));
        assert_eq!(system.uptime_seconds, Some(60.0));
        assert_eq!(
            (system.cpu.used_ratio, system.cpu.iowait_ratio, system.cpu.cores),
            (Some(0.25), Some(0.25), Some(2.0))
        );
        assert_eq!(system.cpu.steal_ratio, None);
        assert_eq!(
            system.file_systems.len(),
            1,
            "the same device twice is the same space"
        );
        let disk = &system.file_systems[0];
        assert_eq!(
            (disk.mount_point.as_str(), disk.used_bytes, disk.available_bytes),
            ("/data", Some(30.0), Some(15.0))
        );
        assert_eq!(
            (
                system.disks[0].read_bytes_per_second,
                system.disks[0].written_bytes_per_second
            ),
            (Some(7.0), None)
        );
        assert_eq!(system.network[0].device, "eth0");
        assert_eq!(system.pressure.io_ratio, Some(0.125));
        assert_eq!(system.load.load1, None);
    }

    #[test]
    fn an_answer_over_a_range_becomes_columns() {
        let range = Range::new(0, 120_000, 60_000).unwrap();
        let system: SystemMetrics<Column> = system("web1:9100".to_owned(), &answer(2), Some(&range));
        let twice = |value| Column(vec![Some(value), Some(value), None]);
        assert_eq!(system.memory.used_bytes, twice(40.0));
        assert_eq!(system.cpu.used_ratio, twice(0.25));
        assert_eq!(system.file_systems[0].used_bytes, twice(30.0));
        assert_eq!(system.disks[0].busy_ratio, twice(0.25));
        assert!(system.load.load1.is_unknown());
    }
}
