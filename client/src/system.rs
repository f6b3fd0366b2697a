//! What a machine does now, from node_exporter's metrics.

use serde::Serialize;

use crate::expr::{PART, Selector, union};
use crate::{Client, ClientError, Series, near};

/// Interfaces that see again what another one saw.
const OTHER_INTERFACES: &str = "lo|veth.*|br-.*|docker.*|virbr.*|cali.*|cni.*|flannel.*";
/// File systems that lie in memory or are images.
const OTHER_FILE_SYSTEMS: &str = "tmpfs|ramfs|devtmpfs|squashfs|iso9660|overlay|nsfs|fuse.lxcfs|erofs";

/// A machine. What its Prometheus does not know is `None` or left out. Rates are means over [`crate::RATE_WINDOW`].
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SystemMetrics {
    /// `instance` of its metrics, such as `web1:9100`.
    pub instance: String,
    /// Seconds since its start.
    pub uptime_seconds: Option<f64>,
    /// Processors.
    pub cpu: CpuMetrics,
    /// Load averages.
    pub load: LoadMetrics,
    /// Memory.
    pub memory: MemoryMetrics,
    /// Swap; both 0 where there is none.
    pub swap: SwapMetrics,
    /// Disk space, a file system each, by mount point.
    pub file_systems: Vec<FileSystemMetrics>,
    /// Disk I/O, a device each.
    pub disks: Vec<DiskMetrics>,
    /// Network, an interface each.
    pub network: Vec<InterfaceMetrics>,
    /// Pressure stall information: the part of the time that something waited.
    pub pressure: PressureMetrics,
}

/// Processors.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CpuMetrics {
    /// How many.
    pub cores: Option<f64>,
    /// 0 to 1 of all together; waiting for disks is no use.
    pub used_ratio: Option<f64>,
    /// Of programs.
    pub user_ratio: Option<f64>,
    /// Of the kernel.
    pub system_ratio: Option<f64>,
    /// Idle, with a disk to wait for.
    pub iowait_ratio: Option<f64>,
    /// Taken by the hypervisor.
    pub steal_ratio: Option<f64>,
}

/// Load averages.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadMetrics {
    /// Over a minute.
    pub load1: Option<f64>,
    /// Over five.
    pub load5: Option<f64>,
    /// Over fifteen.
    pub load15: Option<f64>,
}

/// Memory.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemoryMetrics {
    /// All.
    pub total_bytes: Option<f64>,
    /// What a program could get now.
    pub available_bytes: Option<f64>,
    /// The rest.
    pub used_bytes: Option<f64>,
}

/// Swap.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SwapMetrics {
    /// All.
    pub total_bytes: Option<f64>,
    /// In use.
    pub used_bytes: Option<f64>,
}

/// A file system.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileSystemMetrics {
    /// Where it is mounted; the shortest path when there are several.
    pub mount_point: String,
    /// Its device.
    pub device: String,
    /// Such as `ext4`.
    pub kind: String,
    /// All.
    pub total_bytes: Option<f64>,
    /// In use, what is kept for root not counted.
    pub used_bytes: Option<f64>,
    /// Left for programs that are not root's.
    pub available_bytes: Option<f64>,
}

/// A disk.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DiskMetrics {
    /// Such as `sda`.
    pub device: String,
    /// Read.
    pub read_bytes_per_second: Option<f64>,
    /// Written.
    pub written_bytes_per_second: Option<f64>,
    /// The part of the time that it had something to do.
    pub busy_ratio: Option<f64>,
}

/// A network interface.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InterfaceMetrics {
    /// Such as `eth0`.
    pub device: String,
    /// Received.
    pub receive_bytes_per_second: Option<f64>,
    /// Sent.
    pub transmit_bytes_per_second: Option<f64>,
}

/// Pressure stall information.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PressureMetrics {
    /// Somebody waited for a processor.
    pub cpu_ratio: Option<f64>,
    /// Somebody waited for memory.
    pub memory_ratio: Option<f64>,
    /// Somebody waited for a disk.
    pub io_ratio: Option<f64>,
}

impl Client {
    /// A machine now; `instance` may be left out where there is one only, and may lack its port.
    ///
    /// # Errors
    /// [`ClientError::Unknown`] with near names, [`ClientError::Several`], and what queries give.
    pub async fn system_metrics(&self, instance: Option<&str>) -> Result<SystemMetrics, ClientError> {
        let found = self
            .query("group by (instance) (node_memory_MemTotal_bytes)")
            .await?;
        let instances: Vec<String> = found.iter().map(|one| one.label("instance").to_owned()).collect();
        let instance = choose(instance, instances)?;
        let now = self.query(&gauges(&instance)).await?;
        let rates = self.query(&rates(&instance)).await?;
        Ok(system(instance, &now, &rates))
    }
}

/// The one that is meant.
fn choose(wanted: Option<&str>, mut instances: Vec<String>) -> Result<String, ClientError> {
    instances.sort();
    let Some(wanted) = wanted else {
        return match instances.as_slice() {
            [one] => Ok(one.clone()),
            [] => Err(ClientError::Unknown {
                what: "host",
                name: "node_memory_MemTotal_bytes".to_owned(),
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

fn gauges(instance: &str) -> String {
    let of = |names: &[&str]| Selector::any_of(names).label("instance", instance);
    let plain = of(&[
        "node_memory_MemTotal_bytes",
        "node_memory_MemAvailable_bytes",
        "node_memory_MemFree_bytes",
        "node_memory_Buffers_bytes",
        "node_memory_Cached_bytes",
        "node_memory_SwapTotal_bytes",
        "node_memory_SwapFree_bytes",
        "node_load1",
        "node_load5",
        "node_load15",
        "node_boot_time_seconds",
        "node_time_seconds",
    ]);
    let space = of(&[
        "node_filesystem_size_bytes",
        "node_filesystem_free_bytes",
        "node_filesystem_avail_bytes",
    ])
    .not_like("fstype", OTHER_FILE_SYSTEMS);
    let cores = Selector::metric("node_cpu_seconds_total")
        .label("instance", instance)
        .label("mode", "idle");
    format!("{plain} or {space} or label_replace(count({cores}), \"__name__\", \"cores\", \"\", \"\")")
}

fn rates(instance: &str) -> String {
    let of = |metric: &str| Selector::metric(metric).label("instance", instance);
    let network = |metric| of(metric).not_like("device", OTHER_INTERFACES).rate();
    union(&[
        (
            "cpu",
            format!("sum by (mode) ({})", of("node_cpu_seconds_total").rate()),
        ),
        ("read", of("node_disk_read_bytes_total").rate()),
        ("written", of("node_disk_written_bytes_total").rate()),
        ("busy", of("node_disk_io_time_seconds_total").rate()),
        ("receive", network("node_network_receive_bytes_total")),
        ("transmit", network("node_network_transmit_bytes_total")),
        (
            "pressure_cpu",
            of("node_pressure_cpu_waiting_seconds_total").rate(),
        ),
        (
            "pressure_memory",
            of("node_pressure_memory_waiting_seconds_total").rate(),
        ),
        ("pressure_io", of("node_pressure_io_waiting_seconds_total").rate()),
    ])
}

/// What the two answers say together.
fn system(instance: String, now: &[Series], rates: &[Series]) -> SystemMetrics {
    let gauge = |name: &str| {
        now.iter()
            .find(|one| one.label("__name__") == name)
            .and_then(Series::last)
    };
    let rate = |part: &str| {
        rates
            .iter()
            .find(|one| one.label(PART) == part)
            .and_then(Series::last)
    };
    let memory = |name: &str| gauge(&format!("node_memory_{name}_bytes"));
    let total = memory("MemTotal");
    // Kernels before 3.14 do not say what is available.
    let guess = || Some(memory("MemFree")? + memory("Buffers")? + memory("Cached")?);
    let available = memory("MemAvailable").or_else(guess);
    let minus = |a: Option<f64>, b: Option<f64>| Some((a? - b?).max(0.0));
    SystemMetrics {
        uptime_seconds: minus(gauge("node_time_seconds"), gauge("node_boot_time_seconds")),
        cpu: cpu(gauge("cores"), rates),
        load: LoadMetrics {
            load1: gauge("node_load1"),
            load5: gauge("node_load5"),
            load15: gauge("node_load15"),
        },
        memory: MemoryMetrics {
            total_bytes: total,
            available_bytes: available,
            used_bytes: minus(total, available),
        },
        swap: SwapMetrics {
            total_bytes: memory("SwapTotal"),
            used_bytes: minus(memory("SwapTotal"), memory("SwapFree")),
        },
        file_systems: file_systems(now),
        disks: devices(rates, "read")
            .into_iter()
            .map(|device| DiskMetrics {
                read_bytes_per_second: of_device(rates, "read", &device),
                written_bytes_per_second: of_device(rates, "written", &device),
                busy_ratio: of_device(rates, "busy", &device),
                device,
            })
            .collect(),
        network: devices(rates, "receive")
            .into_iter()
            .map(|device| InterfaceMetrics {
                receive_bytes_per_second: of_device(rates, "receive", &device),
                transmit_bytes_per_second: of_device(rates, "transmit", &device),
                device,
            })
            .collect(),
        pressure: PressureMetrics {
            cpu_ratio: rate("pressure_cpu"),
            memory_ratio: rate("pressure_memory"),
            io_ratio: rate("pressure_io"),
        },
        instance,
    }
}

fn cpu(cores: Option<f64>, rates: &[Series]) -> CpuMetrics {
    let modes: Vec<(&str, f64)> = rates
        .iter()
        .filter(|one| one.label(PART) == "cpu")
        .filter_map(|one| Some((one.label("mode"), one.last()?)))
        .collect();
    let total: f64 = modes.iter().map(|(_, seconds)| seconds).sum();
    let ratio = |wanted: &[&str]| {
        let of_these: f64 = modes
            .iter()
            .filter(|(mode, _)| wanted.contains(mode))
            .map(|(_, seconds)| seconds)
            .sum();
        (total > 0.0).then(|| of_these / total)
    };
    CpuMetrics {
        cores,
        used_ratio: ratio(&["idle", "iowait"]).map(|idle| 1.0 - idle),
        user_ratio: ratio(&["user", "nice"]),
        system_ratio: ratio(&["system", "irq", "softirq"]),
        iowait_ratio: ratio(&["iowait"]),
        steal_ratio: ratio(&["steal"]),
    }
}

/// The devices of a part, sorted.
fn devices(rates: &[Series], part: &str) -> Vec<String> {
    let mut names: Vec<String> = rates
        .iter()
        .filter(|one| one.label(PART) == part)
        .map(|one| one.label("device").to_owned())
        .collect();
    names.sort();
    names.dedup();
    names
}

fn of_device(rates: &[Series], part: &str, device: &str) -> Option<f64> {
    rates
        .iter()
        .find(|one| one.label(PART) == part && one.label("device") == device)
        .and_then(Series::last)
}

/// One row a device: a bind mount of a part of it is the same space.
fn file_systems(now: &[Series]) -> Vec<FileSystemMetrics> {
    let mut sizes: Vec<&Series> = now
        .iter()
        .filter(|one| one.label("__name__") == "node_filesystem_size_bytes")
        .collect();
    sizes.sort_by_key(|one| (one.label("mountpoint").len(), one.label("mountpoint").to_owned()));
    let mut all: Vec<FileSystemMetrics> = Vec::new();
    for size in sizes {
        let (device, mount_point) = (size.label("device"), size.label("mountpoint"));
        if all.iter().any(|known| known.device == device) {
            continue;
        }
        let value = |name: &str| {
            now.iter()
                .find(|one| {
                    one.label("__name__") == name
                        && one.label("device") == device
                        && one.label("mountpoint") == mount_point
                })
                .and_then(Series::last)
        };
        let total = size.last();
        let free = value("node_filesystem_free_bytes");
        all.push(FileSystemMetrics {
            mount_point: mount_point.to_owned(),
            device: device.to_owned(),
            kind: size.label("fstype").to_owned(),
            total_bytes: total,
            used_bytes: total.zip(free).map(|(total, free)| (total - free).max(0.0)),
            available_bytes: value("node_filesystem_avail_bytes"),
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
        }
    }

    #[test]
    fn a_machine_is_chosen_by_name_with_or_without_its_port() {
        let two = || vec!["web1:9100".to_owned(), "db:9100".to_owned()];
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

    #[test]
    fn answers_become_a_machine() {
        let named = |name: &str, value| series(&[("__name__", name)], value);
        let fs = |name: &str, mount: &str, device: &str, value| {
            series(
                &[
                    ("__name__", name),
                    ("device", device),
                    ("mountpoint", mount),
                    ("fstype", "ext4"),
                ],
                value,
            )
        };
        let now = [
            named("node_memory_MemTotal_bytes", 100.0),
            named("node_memory_MemFree_bytes", 10.0),
            named("node_memory_Buffers_bytes", 20.0),
            named("node_memory_Cached_bytes", 30.0),
            named("node_memory_SwapTotal_bytes", 8.0),
            named("node_memory_SwapFree_bytes", 5.0),
            named("node_boot_time_seconds", 1000.0),
            named("node_time_seconds", 1060.0),
            named("cores", 2.0),
            fs("node_filesystem_size_bytes", "/data/x", "/dev/sdb", 50.0),
            fs("node_filesystem_size_bytes", "/data", "/dev/sdb", 50.0),
            fs("node_filesystem_free_bytes", "/data", "/dev/sdb", 20.0),
            fs("node_filesystem_avail_bytes", "/data", "/dev/sdb", 15.0),
        ];
        let part = |part: &str, label: (&str, &str), value| series(&[(PART, part), label], value);
        let rates = [
            part("cpu", ("mode", "idle"), 1.0),
            part("cpu", ("mode", "iowait"), 0.5),
            part("cpu", ("mode", "user"), 0.5),
            part("read", ("device", "sda"), 7.0),
            part("busy", ("device", "sda"), 0.25),
            part("receive", ("device", "eth0"), 9.0),
            part("pressure_io", ("x", ""), 0.125),
        ];
        let system = system("web1:9100".to_owned(), &now, &rates);
        assert_eq!(system.memory.used_bytes, Some(40.0));
        assert_eq!(system.swap.used_bytes, Some(3.0));
        assert_eq!(system.uptime_seconds, Some(60.0));
        assert_eq!(
            (system.cpu.used_ratio, system.cpu.iowait_ratio, system.cpu.cores),
            (Some(0.25), Some(0.25), Some(2.0))
        );
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
}
