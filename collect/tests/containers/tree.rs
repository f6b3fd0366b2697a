//! Small trees of `/proc` and `/sys` in the style of each kind of system, written by the tests.

use std::path::{Path, PathBuf};

use collect::{Container, ContainerCollection, ContainerCollector, ContainerOptions};
use tempfile::TempDir;

/// The container of most cases.
pub(crate) const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// Its first process.
pub(crate) const PID: u32 = 100;

/// How a system has its cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum System {
    V1,
    Hybrid,
    V2,
}

/// A tree below a folder of its own.
#[derive(Debug)]
pub(crate) struct Tree {
    root: TempDir,
    system: System,
}

const V1_TREES: [&str; 5] = ["cpu,cpuacct", "memory", "blkio", "pids", "cpuset"];

/// Files of a cgroup of v1, below its trees.
const V1_FILES: [(&str, &str, &str); 20] = [
    ("cpu,cpuacct", "cpuacct.usage", "12500000000\n"),
    ("cpu,cpuacct", "cpuacct.stat", "user 1000\nsystem 250\n"),
    (
        "cpu,cpuacct",
        "cpuacct.usage_percpu",
        "8000000000 4500000000 0 0 \n",
    ),
    (
        "cpu,cpuacct",
        "cpu.stat",
        "nr_periods 10\nnr_throttled 4\nthrottled_time 1500000000\nnr_bursts 2\nburst_time 500000000\n",
    ),
    ("cpu,cpuacct", "cpu.shares", "512\n"),
    ("cpu,cpuacct", "cpu.cfs_period_us", "100000\n"),
    ("cpu,cpuacct", "cpu.cfs_quota_us", "50000\n"),
    ("memory", "memory.usage_in_bytes", "1000000\n"),
    ("memory", "memory.max_usage_in_bytes", "2000000\n"),
    ("memory", "memory.failcnt", "3\n"),
    ("memory", "memory.kmem.usage_in_bytes", "5000\n"),
    ("memory", "memory.limit_in_bytes", "67108864\n"),
    ("memory", "memory.memsw.limit_in_bytes", "134217728\n"),
    ("memory", "memory.soft_limit_in_bytes", "9223372036854771712\n"),
    (
        "memory",
        "memory.oom_control",
        "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
    ),
    (
        "memory",
        "memory.stat",
        "cache 1\nrss 2\npgfault 20\npgmajfault 2\nhierarchical_memory_limit 67108864\ntotal_cache 400000\ntotal_rss 300000\n\
         total_mapped_file 4096\ntotal_swap 8192\ntotal_dirty 100\ntotal_writeback 50\ntotal_pgfault 30\ntotal_pgmajfault 3\n\
         total_inactive_file 250000\ntotal_active_file 150000\ntotal_workingset_refault_anon 6\ntotal_workingset_refault_file 7\n",
    ),
    (
        "blkio",
        "blkio.throttle.io_service_bytes_recursive",
        "8:0 Read 4096\n8:0 Write 8192\n8:0 Sync 8192\n8:0 Async 4096\n8:0 Discard 0\n8:0 Total 12288\nTotal 12288\n",
    ),
    (
        "blkio",
        "blkio.throttle.io_serviced_recursive",
        "8:0 Read 1\n8:0 Write 2\n8:0 Total 3\nTotal 3\n",
    ),
    ("pids", "pids.current", "7\n"),
    ("pids", "pids.max", "max\n"),
];

/// Files of a cgroup of v2.
const V2_FILES: [(&str, &str); 18] = [
    (
        "cpu.stat",
        "usage_usec 12500000\nuser_usec 10000000\nsystem_usec 2500000\nnr_periods 10\nnr_throttled 4\nthrottled_usec 1500000\n\
         nr_bursts 2\nburst_usec 500000\n",
    ),
    ("cpu.weight", "20\n"),
    ("cpu.max", "50000 100000\n"),
    ("memory.current", "1000000\n"),
    ("memory.peak", "2000000\n"),
    ("memory.max", "67108864\n"),
    ("memory.swap.max", "max\n"),
    ("memory.low", "0\n"),
    ("memory.swap.current", "8192\n"),
    ("memory.events", "low 0\nhigh 5\nmax 3\noom 1\noom_kill 1\n"),
    (
        "memory.stat",
        "anon 300000\nfile 400000\nkernel 5000\nfile_mapped 4096\nfile_dirty 100\nfile_writeback 50\ninactive_file 250000\n\
         active_file 150000\nworkingset_refault_anon 6\nworkingset_refault_file 7\npgscan 8\npgsteal 9\npgfault 30\npgmajfault 3\n",
    ),
    (
        "io.stat",
        "8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0 cost.usage=1000000 cost.wait=2000000 cost.indebt=0 cost.indelay=0\n",
    ),
    ("pids.current", "7\n"),
    ("pids.max", "max\n"),
    ("cgroup.events", "populated 1\nfrozen 0\n"),
    (
        "cpu.pressure",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=3000000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\n",
    ),
    (
        "memory.pressure",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    ),
    (
        "io.pressure",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    ),
];

impl Tree {
    /// A machine with two processors and a disk, and nothing running.
    pub(crate) fn new(system: System) -> Self {
        let tree = Self {
            root: tempfile::tempdir().unwrap(),
            system,
        };
        tree.write("proc/meminfo", "MemTotal: 2000000 kB\nBuffers: 10 kB\nCached: 1000 kB\nInactive(file): 500 kB\nAnonPages: 3000 kB\nSwapTotal: 1000 kB\nSwapFree: 400 kB\n");
        tree.write(
            "proc/stat",
            "cpu  1000 0 500 90000 0 0 0 0 0 0\ncpu0 1000 0 500 90000 0 0 0 0 0 0\nbtime 1700000030\n",
        );
        tree.write("proc/1/net/dev", &net_dev(&["lo", "eth0", "docker0", "veth1234"]));
        for cpu in 0..2 {
            let topology = format!("sys/devices/system/cpu/cpu{cpu}/topology");
            tree.write(&format!("{topology}/physical_package_id"), "0\n");
            tree.write(&format!("{topology}/core_id"), "0\n");
        }
        tree.write("proc/sys/kernel/random/boot_id", "b-o-o-t\n");
        tree.write("etc/machine-id", "m-a-c-h\n");
        tree.write("proc/diskstats", "   8       0 sda 1 2 3 4 5 6 7 8 9 10 11\n");
        tree.write(
            "proc/1/mountinfo",
            "29 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n30 1 8:1 /x /etc/hosts rw - ext4 /dev/sda1 rw\n31 1 0:5 / /sys rw - sysfs sysfs rw\n",
        );
        tree.write("proc/self/mountinfo", &tree.mountinfo());
        tree.cgroup("");
        tree
    }

    fn mountinfo(&self) -> String {
        let v1: String = V1_TREES
            .iter()
            .map(|name| format!("32 31 0:29 / /sys/fs/cgroup/{name} rw shared:1 - cgroup cgroup rw,{name}\n"))
            .collect();
        match self.system {
            System::V1 => v1,
            System::Hybrid => format!("{v1}41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"),
            System::V2 => "41 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n".to_owned(),
        }
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.path().join(relative)
    }

    pub(crate) fn write(&self, relative: &str, text: &str) {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// A cgroup with this path (`""` is the root) and all its files, but none that its kernel has not.
    pub(crate) fn cgroup(&self, path: &str) {
        if self.system == System::V2 {
            for (name, text) in V2_FILES {
                // The root shows what the machine does, and has no limits.
                let of_root =
                    ["cpu.stat", "memory.stat", "io.stat"].contains(&name) || name.ends_with("pressure");
                if !path.is_empty() || of_root {
                    self.write(&format!("sys/fs/cgroup{path}/{name}"), text);
                }
            }
            self.write(&format!("sys/fs/cgroup{path}/cgroup.procs"), "");
            self.write("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n");
            return;
        }
        for (tree, name, text) in V1_FILES {
            self.write(&format!("sys/fs/cgroup/{tree}{path}/{name}"), text);
        }
        for tree in V1_TREES {
            self.write(&format!("sys/fs/cgroup/{tree}{path}/cgroup.procs"), "");
            self.write(
                &format!("sys/fs/cgroup/{tree}{path}/cgroup.clone_children"),
                "0\n",
            );
        }
        if self.system == System::Hybrid {
            self.write("sys/fs/cgroup/unified/cgroup.controllers", "");
            for (name, text) in V2_FILES.iter().filter(|(name, _)| name.ends_with("pressure")) {
                self.write(&format!("sys/fs/cgroup/unified{path}/{name}"), text);
            }
        }
    }

    /// Where the processes of a cgroup are listed.
    pub(crate) fn procs_of(&self, path: &str) -> String {
        match self.system {
            System::V2 => format!("sys/fs/cgroup{path}/cgroup.procs"),
            System::V1 | System::Hybrid => format!("sys/fs/cgroup/cpu,cpuacct{path}/cgroup.procs"),
        }
    }

    /// A container's cgroup at this path, and its processes.
    pub(crate) fn container(&self, path: &str) {
        self.container_with(path, PID, path);
    }

    /// The same with another first process, which says that it is in the cgroup `says`.
    pub(crate) fn container_with(&self, path: &str, pid: u32, says: &str) {
        self.cgroup(path);
        self.write(&self.procs_of(path), &format!("{pid}\n{}\n", pid + 1));
        let v1: String = V1_TREES
            .iter()
            .enumerate()
            .map(|(number, name)| format!("{}:{name}:{says}\n", number + 1))
            .collect();
        let membership = match self.system {
            System::V1 => format!("9:name=systemd:{says}\n{v1}"),
            System::Hybrid => format!("9:name=systemd:{says}\n{v1}0::{says}\n"),
            System::V2 => format!("0::{says}\n"),
        };
        self.write(&format!("proc/{pid}/cgroup"), &membership);
        self.write(&format!("proc/{pid}/net/dev"), &net_dev(&["lo", "eth0"]));
        self.write(
            &format!("proc/{pid}/limits"),
            "Limit   Soft Limit   Hard Limit   Units\nMax open files            1024                 4096                 files\n",
        );
        for (number, links) in [["/dev/null", "socket:[7]"].as_slice(), &["/x"]]
            .iter()
            .enumerate()
        {
            let process = self.path(&format!("proc/{}", pid + u32::try_from(number).unwrap()));
            std::fs::create_dir_all(process.join("fd")).unwrap();
            std::fs::write(process.join("stat"), "1 (sh) S 1").unwrap();
            for (fd, link) in links.iter().enumerate() {
                let link_at = process.join(format!("fd/{fd}"));
                if !link_at.is_symlink() {
                    std::os::unix::fs::symlink(link, link_at).unwrap();
                }
            }
        }
    }

    pub(crate) fn options(&self) -> ContainerOptions {
        let mut options = ContainerOptions::default();
        options.paths.procfs = self.path("proc");
        options.paths.sysfs = self.path("sys");
        options.paths.rootfs = self.root.path().to_path_buf();
        options
    }

    /// A collector that knows the container.
    pub(crate) fn collector(&self) -> ContainerCollector {
        let mut collector = ContainerCollector::new(&self.options());
        collector.set_running(vec![container()]);
        collector
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }
}

fn net_dev(names: &[&str]) -> String {
    let header =
        "Inter-|   Receive                    |  Transmit\n face |bytes    packets errs drop|bytes\n";
    let rows: String = names
        .iter()
        .map(|name| format!("{name:>8}: 1000 10 1 2 0 0 0 0 2000 20 3 4 0 0 0 0\n"))
        .collect();
    format!("{header}{rows}")
}

/// The container of most cases, as its runtime describes it.
pub(crate) fn container() -> Container {
    Container {
        id: ID.to_owned(),
        pid: PID,
        labels: [("app", "web"), ("image", "nginx:1"), ("name", "web-1")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        own_network: true,
        created_s: 1_700_000_000.5,
        started_s: 1_700_000_100.5,
        healthy: Some(true),
        oom_kills: 0,
    }
}

/// Samples as text.
pub(crate) fn text(collection: &ContainerCollection) -> Vec<String> {
    let mut out = String::new();
    model::encode_families(&collection.families, &mut out);
    out.lines()
        .filter(|line| !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

/// Samples of one cgroup, without `id` and the container's labels.
pub(crate) fn rows_of(collection: &ContainerCollection, id: &str) -> Vec<String> {
    let id = format!("id=\"{id}\"");
    text(collection)
        .into_iter()
        .filter(|line| line.contains(&id))
        .map(|line| {
            let mut line = line;
            for label in [&id, "app=\"web\"", "image=\"nginx:1\"", "name=\"web-1\""] {
                line = line
                    .replace(&format!(",{label}"), "")
                    .replace(&format!("{label},"), "")
                    .replace(&format!("{{{label}}}"), "");
            }
            line.replace("{}", "")
        })
        .collect()
}

/// The value of one sample of a cgroup; the name may have labels behind it.
pub(crate) fn value(collection: &ContainerCollection, id: &str, name: &str) -> Option<f64> {
    rows_of(collection, id)
        .iter()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}
