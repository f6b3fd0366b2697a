//! Values read off the recorded files by hand, each with the file (and line) that it is from.

/// A machine, and its rows: the family, labels without quotes, the value, and after `#` where it was read.
type Rows = (&'static str, &'static str);

/// See the module.
const VALUES: &[Rows] = &[
    (
        "cgroup-v1-cgroupfs",
        "
container_cpu_usage_seconds_total{name=burner,cpu=total} 2.854507186     # cpuacct.usage
container_cpu_user_seconds_total{name=burner} 2.81                       # cpuacct.stat: 281 ticks
container_cpu_system_seconds_total{name=burner} 0.04                     # cpuacct.stat: 4 ticks
container_cpu_cfs_periods_total{name=burner} 127                         # cpu.stat
container_cpu_cfs_throttled_periods_total{name=burner} 1
container_spec_cpu_quota{name=burner} 50000                              # cpu.cfs_quota_us
container_spec_cpu_shares{name=burner} 1024                              # cpu.shares
container_threads_max{name=burner} 50                                    # pids.max
container_memory_usage_bytes{name=burner} 8908800                        # memory.usage_in_bytes
container_memory_working_set_bytes{name=burner} 8876032                  # less total_inactive_file 32768
container_memory_cache{name=burner} 8560640                              # total_cache
container_memory_rss{name=burner} 53248                                  # total_rss
container_memory_max_usage_bytes{name=burner} 10510336                   # memory.max_usage_in_bytes
container_memory_kernel_usage{name=burner} 294912                        # memory.kmem.usage_in_bytes
container_memory_total_active_file_bytes{name=burner} 139264
container_memory_failures_total{name=burner,failure_type=pgfault,scope=container} 1538
container_memory_failures_total{name=burner,failure_type=pgmajfault,scope=hierarchy} 1
container_memory_workingset_refault_file_total{name=burner} 43
container_spec_memory_limit_bytes{name=burner} 67108864
container_spec_memory_swap_limit_bytes{name=burner} 134217728            # memory.memsw.limit_in_bytes
container_fs_reads_bytes_total{name=burner,device=/dev/vda} 176128       # blkio.throttle.io_service_bytes_recursive
container_fs_reads_total{name=burner,device=/dev/vda} 11                 # blkio.throttle.io_serviced_recursive
container_fs_writes_bytes_total{name=writer,device=/dev/vda} 25174016    # blkio.bfq... says `Total 0`: another scheduler's
container_blkio_device_usage_total{name=writer,operation=Sync,major=254} 25174016
container_oom_events_total{name=oomed} 1                                 # memory.oom_control
container_oom_events_total{name=burner} 0
container_memory_max_usage_bytes{name=oomed} 16777216
container_network_receive_bytes_total{name=burner,interface=eth0} 918    # its process's net/dev
container_network_receive_packets_total{name=burner,interface=eth0} 11
container_file_descriptors{name=burner} 3                                # 0, 1, 2
container_sockets{name=burner} 0
container_tasks_state{name=burner,state=sleeping} 1
container_ulimits_soft{name=burner,ulimit=max_open_files} 20000          # its process's limits
machine_memory_bytes{} 25276510208                                       # meminfo: 24684092 kB
machine_cpu_cores{} 2
container_memory_usage_bytes{id=/docker} 40038400
container_memory_usage_bytes{id=/} 10565152768                           # memory.usage_in_bytes of the root
container_cpu_usage_seconds_total{id=/} 18951.283628429                  # cpuacct.usage of the root
",
    ),
];

/// One series and its value.
#[derive(Debug)]
pub(crate) struct Value {
    pub(crate) family: &'static str,
    pub(crate) labels: Vec<(&'static str, &'static str)>,
    pub(crate) is: f64,
}

/// The rows of a machine.
pub(crate) fn of(machine: &str) -> Vec<Value> {
    VALUES
        .iter()
        .filter(|(name, _)| *name == machine)
        .flat_map(|(_, rows)| rows.lines())
        .filter(|line| !line.is_empty())
        .map(|line| {
            let row = line.split(" #").next().unwrap_or_default();
            let (series, is) = row.trim().rsplit_once(' ').expect("a series and a value");
            let (family, labels) = series.split_once('{').expect("labels in braces");
            Value {
                family,
                labels: labels
                    .trim_end_matches('}')
                    .split(',')
                    .filter_map(|pair| pair.split_once('='))
                    .collect(),
                is: is.parse().expect("a number"),
            }
        })
        .collect()
}

/// Groups right below the root, with the root.
pub(crate) fn top_groups(machine: &str) -> Vec<&'static str> {
    match machine {
        "cgroup-v1-cgroupfs" => vec!["/", "/app", "/docker"],
        _ => vec!["/"],
    }
}
