//! What is read and what is left out: paths, filters, the time zone. Defaults are node_exporter's.

use std::path::PathBuf;
use std::time::Duration;

use regex::Regex;

/// Where the kernel's file systems are mounted. A container with the host's ones elsewhere sets these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// `/proc`.
    pub procfs: PathBuf,
    /// `/sys`.
    pub sysfs: PathBuf,
    /// The host's root: stripped from mount points in labels, put before them to ask for their sizes.
    pub rootfs: PathBuf,
    /// udev's database, `/run/udev/data`: models and serial numbers of disks.
    pub udev: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            procfs: "/proc".into(),
            sysfs: "/sys".into(),
            rootfs: "/".into(),
            udev: "/run/udev/data".into(),
        }
    }
}

/// A filter's expression does not compile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the filter {pattern:?} is not a regular expression: {reason}")]
pub struct FilterError {
    /// The expression as written.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Which devices, mount points or fields are left out. Expressions are not anchored, as upstream's are not.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    exclude: Option<Regex>,
    include: Option<Regex>,
}

impl Filter {
    /// A filter that leaves out what matches `exclude` and, unless it is empty, what does not match `include`.
    ///
    /// # Errors
    /// [`FilterError`] when one of them does not compile.
    pub fn new(exclude: &str, include: &str) -> Result<Self, FilterError> {
        let compile = |pattern: &str| match pattern {
            "" => Ok(None),
            _ => Regex::new(pattern).map(Some).map_err(|error| FilterError {
                pattern: pattern.to_owned(),
                reason: error
                    .to_string()
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .trim()
                    .to_owned(),
            }),
        };
        Ok(Self {
            exclude: compile(exclude)?,
            include: compile(include)?,
        })
    }

    /// One of the defaults below.
    fn built_in(exclude: &str, include: &str) -> Self {
        Self::new(exclude, include).expect("the built-in filters compile: a test makes them all")
    }

    /// Is this name left out?
    #[must_use]
    pub fn ignores(&self, name: &str) -> bool {
        self.exclude
            .as_ref()
            .is_some_and(|exclude| exclude.is_match(name))
            || self
                .include
                .as_ref()
                .is_some_and(|include| !include.is_match(name))
    }
}

/// The filters of all collectors that have one.
#[derive(Debug, Clone)]
pub struct Filters {
    /// `--collector.filesystem.mount-points-exclude`, `-include`.
    pub filesystem_mount_points: Filter,
    /// `--collector.filesystem.fs-types-exclude`, `-include`.
    pub filesystem_types: Filter,
    /// `--collector.diskstats.device-exclude`, `-include`.
    pub diskstats_devices: Filter,
    /// `--collector.netdev.device-exclude`, `-include`.
    pub netdev_devices: Filter,
    /// `--collector.netstat.fields`, on names such as `Tcp_InSegs`.
    pub netstat_fields: Filter,
    /// `--collector.vmstat.fields`.
    pub vmstat_fields: Filter,
}

impl Default for Filters {
    fn default() -> Self {
        Self {
            filesystem_mount_points: Filter::built_in(
                "^/(dev|proc|run|sys|mnt|media|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)",
                "",
            ),
            filesystem_types: Filter::built_in(
                "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs\
                 |overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs)$",
                "",
            ),
            diskstats_devices: Filter::built_in(r"^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$", ""),
            netdev_devices: Filter::default(),
            netstat_fields: Filter::built_in(
                "",
                "^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)\
                 |TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts|TCPOFOQueue|TCPRcvQDrop)\
                 |Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)\
                 |Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$",
            ),
            vmstat_fields: Filter::built_in("", "^(oom_kill|pgpg|pswp|pg.*fault).*"),
        }
    }
}

/// `--collector.cpu.info`: the static facts of `/proc/cpuinfo` too. Off by default, as upstream.
#[derive(Debug, Clone, Default)]
pub struct CpuInfo {
    /// Flags of the first processor to show; none when not set.
    pub flags: Option<Regex>,
    /// Bugs of the first processor to show; none when not set.
    pub bugs: Option<Regex>,
}

/// The time zone of the host. The shell reads it from `/etc/localtime`: the core reads no environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// Its abbreviation at the moment, such as `CEST`.
    pub name: String,
    /// Seconds east of UTC at the moment.
    pub offset_s: i32,
}

impl Default for Zone {
    fn default() -> Self {
        Self {
            name: "UTC".to_owned(),
            offset_s: 0,
        }
    }
}

/// All settings of the host collectors.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to read.
    pub paths: Paths,
    /// What to leave out.
    pub filters: Filters,
    /// The time zone to report.
    pub zone: Zone,
    /// Static processor facts, when wanted.
    pub cpu_info: Option<CpuInfo>,
    /// `--collector.stat.softirq`: soft interrupts by vector.
    pub stat_softirq: bool,
    /// How long a mount of a network file system may take to answer before it counts as stuck. Upstream waits 5 s, which
    /// would hold up a whole round: a slow mount is asked again in the next one.
    pub mount_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            paths: Paths::default(),
            filters: Filters::default(),
            zone: Zone::default(),
            cpu_info: None,
            stat_softirq: false,
            mount_timeout: Duration::from_secs(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_filters_leave_out_what_upstream_leaves_out() {
        let filters = Filters::default();
        let table: [(&Filter, &str, bool); 19] = [
            (&filters.filesystem_mount_points, "/", false),
            (&filters.filesystem_mount_points, "/run", true),
            (&filters.filesystem_mount_points, "/running", false),
            (&filters.filesystem_mount_points, "/mnt/backup", true),
            (&filters.filesystem_mount_points, "/var/lib/docker", false),
            (
                &filters.filesystem_mount_points,
                "/var/lib/docker/overlay2/x/merged",
                true,
            ),
            (&filters.filesystem_types, "tmpfs", false),
            (&filters.filesystem_types, "cgroup2", true),
            (&filters.filesystem_types, "overlay", true),
            (&filters.diskstats_devices, "sda", false),
            (&filters.diskstats_devices, "sda1", true),
            (&filters.diskstats_devices, "nvme0n1", false),
            (&filters.diskstats_devices, "nvme0n1p2", true),
            (&filters.diskstats_devices, "mmcblk0p1", false),
            (&filters.diskstats_devices, "zram0", true),
            (&filters.netdev_devices, "lo", false),
            (&filters.netstat_fields, "Tcp_CurrEstab", false),
            (&filters.netstat_fields, "Tcp_MaxConn", true),
            (&filters.vmstat_fields, "nr_free_pages", true),
        ];
        for (filter, name, want) in table {
            assert_eq!(filter.ignores(name), want, "{name}");
        }
    }

    #[test]
    fn a_bad_filter_names_itself() {
        let error = Filter::new("a(", "").unwrap_err();
        assert!(error.to_string().contains("\"a(\""), "{error}");
    }
}
