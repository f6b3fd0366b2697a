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
    (
        "cgroup-v2-systemd",
        "
container_cpu_usage_seconds_total{name=burner,cpu=total} 7.85584         # cpu.stat
container_cpu_user_seconds_total{name=burner} 4.922911
container_cpu_system_seconds_total{name=burner} 2.932928
container_cpu_cfs_periods_total{name=burner} 143
container_cpu_cfs_throttled_periods_total{name=burner} 125
container_cpu_cfs_throttled_seconds_total{name=burner} 4.74926
container_pressure_cpu_waiting_seconds_total{name=burner} 5.333443       # cpu.pressure: some
container_pressure_cpu_stalled_seconds_total{name=burner} 5.180763       # cpu.pressure: full
container_spec_cpu_quota{name=burner} 50000                              # cpu.max
container_threads_max{name=burner} 50                                    # pids.max
container_threads_max{name=oomed} 1140                                   # systemd's default for a unit
container_memory_usage_bytes{name=burner} 8843264                        # memory.current
container_memory_working_set_bytes{name=burner} 8830976                  # less inactive_file 12288
container_memory_cache{name=burner} 8507392                              # file
container_memory_rss{name=burner} 53248                                  # anon
container_memory_kernel_usage{name=burner} 282624                        # kernel
container_memory_max_usage_bytes{name=burner} 10240000                   # memory.peak
container_memory_total_active_file_bytes{name=burner} 106496
container_memory_failures_total{name=burner,failure_type=pgfault,scope=hierarchy} 1301
container_memory_failures_total{name=burner,failure_type=pgmajfault,scope=container} 2
container_memory_swap{name=burner} 0                                     # memory.swap.current
container_spec_memory_limit_bytes{name=burner} 67108864                  # memory.max
container_spec_memory_swap_limit_bytes{name=burner} 67108864             # memory.swap.max, without the memory
container_spec_memory_limit_bytes{name=writer} 0                         # `max`
container_fs_reads_bytes_total{name=burner,device=/dev/vda} 118784       # io.stat
container_fs_reads_total{name=burner,device=/dev/vda} 3
container_fs_writes_bytes_total{name=writer,device=/dev/vda} 25165824    # io.stat: 24 MiB to the byte
container_fs_writes_total{name=writer,device=/dev/vda} 24
container_blkio_device_usage_total{name=writer,operation=Write,major=254,minor=0} 25165824
container_oom_events_total{name=oomed} 1                                 # memory.events: oom_kill
container_oom_events_total{name=burner} 0
container_memory_failcnt{name=oomed} 35                                  # memory.events: max
container_memory_max_usage_bytes{name=oomed} 16777216
container_network_receive_bytes_total{name=client,interface=eth0} 4203179
container_network_transmit_packets_total{name=client,interface=eth0} 47
container_cpu_usage_seconds_total{name=moved} 1.45062                    # of the scope, not of the cgroup in it
container_memory_usage_bytes{name=moved} 421888
container_processes{name=moved} 1
container_file_descriptors{name=burner} 3
container_tasks_state{name=moved,state=sleeping} 1
container_ulimits_soft{name=burner,ulimit=max_open_files} 1048576
machine_memory_bytes{} 1019224064                                        # meminfo: 995336 kB
machine_cpu_cores{} 2
container_cpu_usage_seconds_total{id=/} 312.276                          # cpu.stat of the root
container_memory_usage_bytes{id=/} 421675008                             # memory.stat: the root has no memory.current
container_memory_usage_bytes{id=/system.slice} 422932480
container_fs_writes_bytes_total{id=/,device=/dev/vda} 104038400          # io.stat, beside lines of a device and nothing more
container_fs_reads_bytes_total{id=/system.slice,device=/dev/vdc} 1069056
",
    ),
    (
        "cgroup-v2-cgroupfs",
        "
container_cpu_usage_seconds_total{name=burner,cpu=total} 10.046826
container_cpu_user_seconds_total{name=burner} 5.904219
container_cpu_cfs_periods_total{name=burner} 179
container_cpu_cfs_throttled_periods_total{name=burner} 153
container_cpu_cfs_throttled_seconds_total{name=burner} 7.684869
container_pressure_cpu_waiting_seconds_total{name=burner} 6.320335
container_spec_cpu_quota{name=burner} 50000
container_threads_max{name=burner} 50
container_threads_max{name=oomed} 0                                      # `max`: no unit of systemd's around it
container_memory_usage_bytes{name=burner} 8724480
container_memory_cache{name=burner} 8388608                              # 8 MiB of shared memory and no file
container_memory_rss{name=burner} 53248
container_memory_max_usage_bytes{name=burner} 10018816
container_spec_memory_limit_bytes{name=burner} 67108864
container_spec_memory_limit_bytes{name=nested} 33554432
container_fs_writes_bytes_total{name=writer,device=/dev/vda} 25165824
container_fs_writes_total{name=writer,device=/dev/vda} 23
container_oom_events_total{name=oomed} 1
container_memory_failcnt{name=oomed} 18
container_network_receive_bytes_total{name=client,interface=eth0} 4205015
container_network_receive_packets_total{name=client,interface=eth0} 117
container_cpu_usage_seconds_total{name=moved} 2.326967
container_memory_usage_bytes{name=moved} 417792
container_processes{name=moved} 1
container_cpu_usage_seconds_total{id=/docker} 30.019826
container_memory_usage_bytes{id=/docker} 41218048
container_memory_usage_bytes{id=/system.slice} 411725824
container_cpu_usage_seconds_total{id=/} 717.176
container_memory_usage_bytes{id=/} 452202496                             # memory.stat: anon 174907392, file 277295104
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

/// What systemd has right below the root, with the root.
const SYSTEMD_ON_TOP: &[&str] = &[
    "/",
    "/app.slice",
    "/dev-hugepages.mount",
    "/dev-mqueue.mount",
    "/init.scope",
    "/sys-fs-fuse-connections.mount",
    "/sys-kernel-config.mount",
    "/sys-kernel-debug.mount",
    "/sys-kernel-tracing.mount",
    "/system.slice",
    "/user.slice",
];

/// Groups right below the root, with the root.
pub(crate) fn top_groups(machine: &str) -> Vec<&'static str> {
    let mut groups = match machine {
        "cgroup-v1-cgroupfs" => vec!["/", "/app", "/docker"],
        "cgroup-v2-cgroupfs" => [SYSTEMD_ON_TOP, &["/app", "/docker"]].concat(),
        _ => SYSTEMD_ON_TOP.to_vec(),
    };
    groups.sort_unstable();
    groups
}
