//! The families: name, type and help as cAdvisor has them, those that are collected and those that are left out, with why.
//!
//! Both tables are sorted by name. A row of the first is also a variant of [`Name`], whose number is the row's.

use model::MetricType;

/// One family of cAdvisor's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContainerFamily {
    /// Its name.
    pub name: &'static str,
    /// Its type; of a family that is left out, what upstream says.
    pub kind: MetricType,
    /// Its help; empty for a family that is left out.
    pub help: &'static str,
    /// Why it is not collected; `None` for one that is.
    pub left_out: Option<&'static str>,
}

macro_rules! emitted {
    ($($id:ident $kind:ident $name:literal $help:literal;)*) => {
        /// A family that is collected.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Name { $($id),* }

        /// The families that are collected, in the order of [`Name`].
        pub(super) const EMITTED: &[ContainerFamily] = &[$(ContainerFamily {
            name: $name,
            kind: MetricType::$kind,
            help: $help,
            left_out: None,
        }),*];
    };
}

emitted! {
BlkioDeviceUsageTotal Counter "container_blkio_device_usage_total" "Blkio Device bytes usage";
CpuCfsBurstPeriodsTotal Counter "container_cpu_cfs_burst_periods_total" "Number of periods when burst occurs.";
CpuCfsBurstSecondsTotal Counter "container_cpu_cfs_burst_seconds_total" "Total time duration the container has been bursted.";
CpuCfsPeriodsTotal Counter "container_cpu_cfs_periods_total" "Number of elapsed enforcement period intervals.";
CpuCfsThrottledPeriodsTotal Counter "container_cpu_cfs_throttled_periods_total" "Number of throttled period intervals.";
CpuCfsThrottledSecondsTotal Counter "container_cpu_cfs_throttled_seconds_total" "Total time duration the container has been throttled.";
CpuSystemSecondsTotal Counter "container_cpu_system_seconds_total" "Cumulative system cpu time consumed in seconds.";
CpuUsageSecondsTotal Counter "container_cpu_usage_seconds_total" "Cumulative cpu time consumed in seconds.";
CpuUserSecondsTotal Counter "container_cpu_user_seconds_total" "Cumulative user cpu time consumed in seconds.";
CreationTimeSeconds Gauge "container_creation_time_seconds" "Container creation time since unix epoch in seconds.";
FileDescriptors Gauge "container_file_descriptors" "Number of open file descriptors for the container.";
FsInodesFree Gauge "container_fs_inodes_free" "Number of available Inodes";
FsInodesTotal Gauge "container_fs_inodes_total" "Number of Inodes";
FsIoCostIndebtSecondsTotal Counter "container_fs_io_cost_indebt_seconds_total" "Cumulative IOCost debt in seconds";
FsIoCostIndelaySecondsTotal Counter "container_fs_io_cost_indelay_seconds_total" "Cumulative IOCost delay in seconds";
FsIoCostUsageSecondsTotal Counter "container_fs_io_cost_usage_seconds_total" "Cumulative IOCost usage in seconds";
FsIoCostWaitSecondsTotal Counter "container_fs_io_cost_wait_seconds_total" "Cumulative IOCost wait in seconds";
FsLimitBytes Gauge "container_fs_limit_bytes" "Number of bytes that can be consumed by the container on this filesystem.";
FsReadsBytesTotal Counter "container_fs_reads_bytes_total" "Cumulative count of bytes read";
FsReadsTotal Counter "container_fs_reads_total" "Cumulative count of reads completed";
FsUsageBytes Gauge "container_fs_usage_bytes" "Number of bytes that are consumed by the container on this filesystem.";
FsWritesBytesTotal Counter "container_fs_writes_bytes_total" "Cumulative count of bytes written";
FsWritesTotal Counter "container_fs_writes_total" "Cumulative count of writes completed";
HealthState Gauge "container_health_state" "The result of the container's health check";
LastSeen Gauge "container_last_seen" "Last time a container was seen by the exporter";
MemoryCache Gauge "container_memory_cache" "Number of bytes of page cache memory.";
MemoryEventsHighTotal Counter "container_memory_events_high_total" "Cumulative count of memory.high throttle events for the container";
MemoryEventsMaxTotal Counter "container_memory_events_max_total" "Cumulative count of memory.max limit hit events for the container";
MemoryFailcnt Counter "container_memory_failcnt" "Number of memory usage hits limits";
MemoryFailuresTotal Counter "container_memory_failures_total" "Cumulative count of memory allocation failures.";
MemoryFileDirtyBytes Gauge "container_memory_file_dirty_bytes" "Number of bytes of file cache that has been modified but not yet written back to disk.";
MemoryFileWritebackBytes Gauge "container_memory_file_writeback_bytes" "Number of bytes of file cache that is currently being written back to disk.";
MemoryKernelUsage Gauge "container_memory_kernel_usage" "Size of kernel memory allocated in bytes.";
MemoryMappedFile Gauge "container_memory_mapped_file" "Size of memory mapped files in bytes.";
MemoryMaxUsageBytes Gauge "container_memory_max_usage_bytes" "Maximum memory usage recorded in bytes";
MemoryPgscanTotal Counter "container_memory_pgscan_total" "Cumulative number of pages scanned by the page reclaim algorithm.";
MemoryPgstealTotal Counter "container_memory_pgsteal_total" "Cumulative number of pages reclaimed by the page reclaim algorithm.";
MemoryRss Gauge "container_memory_rss" "Size of RSS in bytes.";
MemorySwap Gauge "container_memory_swap" "Container swap usage in bytes.";
MemoryTotalActiveFileBytes Gauge "container_memory_total_active_file_bytes" "Current total active file in bytes.";
MemoryTotalInactiveFileBytes Gauge "container_memory_total_inactive_file_bytes" "Current total inactive file in bytes.";
MemoryUsageBytes Gauge "container_memory_usage_bytes" "Current memory usage in bytes, including all memory regardless of when it was accessed";
MemoryWorkingSetBytes Gauge "container_memory_working_set_bytes" "Current working set in bytes.";
MemoryWorkingsetRefaultAnonTotal Counter "container_memory_workingset_refault_anon_total" "Cumulative number of refaults of previously evicted anonymous pages.";
MemoryWorkingsetRefaultFileTotal Counter "container_memory_workingset_refault_file_total" "Cumulative number of refaults of previously evicted file pages.";
NetworkReceiveBytesTotal Counter "container_network_receive_bytes_total" "Cumulative count of bytes received";
NetworkReceiveErrorsTotal Counter "container_network_receive_errors_total" "Cumulative count of errors encountered while receiving";
NetworkReceivePacketsDroppedTotal Counter "container_network_receive_packets_dropped_total" "Cumulative count of packets dropped while receiving";
NetworkReceivePacketsTotal Counter "container_network_receive_packets_total" "Cumulative count of packets received";
NetworkTransmitBytesTotal Counter "container_network_transmit_bytes_total" "Cumulative count of bytes transmitted";
NetworkTransmitErrorsTotal Counter "container_network_transmit_errors_total" "Cumulative count of errors encountered while transmitting";
NetworkTransmitPacketsDroppedTotal Counter "container_network_transmit_packets_dropped_total" "Cumulative count of packets dropped while transmitting";
NetworkTransmitPacketsTotal Counter "container_network_transmit_packets_total" "Cumulative count of packets transmitted";
OomEventsTotal Counter "container_oom_events_total" "Count of out of memory events observed for the container";
PressureCpuStalledSecondsTotal Counter "container_pressure_cpu_stalled_seconds_total" "Total time duration no tasks in the container could make progress due to CPU congestion.";
PressureCpuWaitingSecondsTotal Counter "container_pressure_cpu_waiting_seconds_total" "Total time duration tasks in the container have waited due to CPU congestion.";
PressureIoStalledSecondsTotal Counter "container_pressure_io_stalled_seconds_total" "Total time duration no tasks in the container could make progress due to IO congestion.";
PressureIoWaitingSecondsTotal Counter "container_pressure_io_waiting_seconds_total" "Total time duration tasks in the container have waited due to IO congestion.";
PressureMemoryStalledSecondsTotal Counter "container_pressure_memory_stalled_seconds_total" "Total time duration no tasks in the container could make progress due to memory congestion.";
PressureMemoryWaitingSecondsTotal Counter "container_pressure_memory_waiting_seconds_total" "Total time duration tasks in the container have waited due to memory congestion.";
Processes Gauge "container_processes" "Number of processes running inside the container.";
ScrapeError Gauge "container_scrape_error" "1 if there was an error while getting container metrics, 0 otherwise";
Sockets Gauge "container_sockets" "Number of open sockets for the container.";
SpecCpuPeriod Gauge "container_spec_cpu_period" "CPU period of the container.";
SpecCpuQuota Gauge "container_spec_cpu_quota" "CPU quota of the container.";
SpecCpuShares Gauge "container_spec_cpu_shares" "CPU share of the container.";
SpecMemoryLimitBytes Gauge "container_spec_memory_limit_bytes" "Memory limit for the container.";
SpecMemoryReservationLimitBytes Gauge "container_spec_memory_reservation_limit_bytes" "Memory reservation limit for the container.";
SpecMemorySwapLimitBytes Gauge "container_spec_memory_swap_limit_bytes" "Memory swap limit for the container.";
StartTimeSeconds Gauge "container_start_time_seconds" "Start time of the container since unix epoch in seconds.";
TasksState Gauge "container_tasks_state" "Number of tasks in given state";
Threads Gauge "container_threads" "Number of threads running inside the container";
ThreadsMax Gauge "container_threads_max" "Maximum number of threads allowed inside the container, infinity if value is zero";
UlimitsSoft Gauge "container_ulimits_soft" "Soft ulimit values for the container root process. Unlimited if -1, except priority and nice";
MachineCpuCores Gauge "machine_cpu_cores" "Number of logical CPU cores.";
MachineCpuPhysicalCores Gauge "machine_cpu_physical_cores" "Number of physical CPU cores.";
MachineCpuSockets Gauge "machine_cpu_sockets" "Number of CPU sockets.";
MachineMemoryBytes Gauge "machine_memory_bytes" "Amount of memory installed on the machine.";
MachineScrapeError Gauge "machine_scrape_error" "1 if there was an error while getting machine metrics, 0 otherwise.";
MachineSwapBytes Gauge "machine_swap_bytes" "Amount of swap memory available on the machine.";}

macro_rules! left_out {
    ($($kind:ident $name:literal $why:expr;)*) => {
        /// The families that are not collected.
        const LEFT_OUT: &[ContainerFamily] = &[$(ContainerFamily {
            name: $name,
            kind: MetricType::$kind,
            help: "",
            left_out: Some($why),
        }),*];
    };
}

const CFQ: &str = "The kernel counts it a cgroup only under CFQ, which was removed in Linux 5.0; `node_disk_*` has it for the machine.";
const CUSTOM: &str =
    "Application metrics come from scrape targets: Prometheus' way, and cAdvisor's own mechanism is gone.";
const LOAD: &str = "cAdvisor fills it only with its load reader on; `container_pressure_cpu_waiting_seconds_total` says more.";
const NUMA: &str = "Off in cAdvisor by default; for machines with several memory nodes.";
const PERF: &str = "Off in cAdvisor by default: needs performance counters and a configuration of events.";
const RESCTRL: &str =
    "Off in cAdvisor by default: needs a processor with resource monitoring and `resctrl` mounted.";
const SCHED: &str = "Off in cAdvisor by default: one more file a process and round.";
const SOCKETS: &str = "Off in cAdvisor by default: reads a line a connection. `node_netstat_*` and `node_sockstat_*` have the machine's.";
const HUGETLB: &str = "Off in cAdvisor by default; huge pages are rare in containers.";
const HARDWARE: &str = "Of interest to hardware inventories; does not change while the machine runs.";
const TOPOLOGY: &str = "Off in cAdvisor by default: series a processor core that never change.";

left_out! {
    Gauge "cadvisor_version_info" "Masthead is not cAdvisor: `masthead_build_info` has its version, `node_uname_info` the kernel's.";
    Gauge "container_cpu_load_average_10s" LOAD;
    Gauge "container_cpu_load_d_average_10s" LOAD;
    Counter "container_cpu_schedstat_run_periods_total" SCHED;
    Counter "container_cpu_schedstat_run_seconds_total" SCHED;
    Counter "container_cpu_schedstat_runqueue_seconds_total" SCHED;
    Gauge "container_custom_app_metric_1" CUSTOM;
    Gauge "container_custom_app_metric_2" CUSTOM;
    Gauge "container_custom_app_metric_3" CUSTOM;
    Gauge "container_fs_io_current" CFQ;
    Counter "container_fs_io_time_seconds_total" CFQ;
    Counter "container_fs_io_time_weighted_seconds_total" CFQ;
    Counter "container_fs_read_seconds_total" CFQ;
    Counter "container_fs_reads_merged_total" CFQ;
    Counter "container_fs_sector_reads_total" CFQ;
    Counter "container_fs_sector_writes_total" CFQ;
    Counter "container_fs_write_seconds_total" CFQ;
    Counter "container_fs_writes_merged_total" CFQ;
    Counter "container_hugetlb_failcnt" HUGETLB;
    Gauge "container_hugetlb_max_usage_bytes" HUGETLB;
    Gauge "container_hugetlb_usage_bytes" HUGETLB;
    Gauge "container_llc_occupancy_bytes" RESCTRL;
    Gauge "container_memory_bandwidth_bytes" RESCTRL;
    Gauge "container_memory_bandwidth_local_bytes" RESCTRL;
    Gauge "container_memory_migrate" NUMA;
    Gauge "container_memory_numa_pages" NUMA;
    Gauge "container_network_advance_tcp_stats_total" SOCKETS;
    Gauge "container_network_tcp6_usage_total" SOCKETS;
    Gauge "container_network_tcp_usage_total" SOCKETS;
    Gauge "container_network_udp6_usage_total" SOCKETS;
    Gauge "container_network_udp_usage_total" SOCKETS;
    Gauge "container_perf_events_scaling_ratio" PERF;
    Counter "container_perf_events_total" PERF;
    Gauge "container_perf_uncore_events_scaling_ratio" PERF;
    Counter "container_perf_uncore_events_total" PERF;
    Gauge "container_referenced_bytes" "Off in cAdvisor by default: it clears the kernel's referenced bits, which disturbs reclaim.";
    Gauge "machine_cpu_cache_capacity_bytes" TOPOLOGY;
    Gauge "machine_dimm_capacity_bytes" HARDWARE;
    Gauge "machine_dimm_count" HARDWARE;
    Gauge "machine_node_distance" TOPOLOGY;
    Gauge "machine_node_hugepages_count" TOPOLOGY;
    Gauge "machine_node_memory_capacity_bytes" TOPOLOGY;
    Gauge "machine_nvm_avg_power_budget_watts" HARDWARE;
    Gauge "machine_nvm_capacity" HARDWARE;
    Gauge "machine_thread_siblings_count" TOPOLOGY;
}

/// All families that cAdvisor has, collected or left out, sorted by name: what `docs/metrics.md` is made from.
#[must_use]
pub fn container_families() -> Vec<ContainerFamily> {
    let mut all: Vec<ContainerFamily> = EMITTED.iter().chain(LEFT_OUT).copied().collect();
    all.sort_by_key(|family| family.name);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted_and_a_name_stands_in_one_of_them() {
        assert!(EMITTED.is_sorted_by(|a, b| a.name < b.name));
        assert!(LEFT_OUT.is_sorted_by(|a, b| a.name < b.name));
        assert!(container_families().is_sorted_by(|a, b| a.name < b.name));
        assert_eq!(EMITTED[Name::LastSeen as usize].name, "container_last_seen");
        assert_eq!(
            EMITTED[Name::MachineSwapBytes as usize].name,
            "machine_swap_bytes"
        );
    }
}
