//! The container collector on machines that were recorded while real containers lay still: cgroup v2 under both of Docker's
//! drivers (Debian 12 with its cloud kernel and systemd), and a hybrid v1. What it says is held against what the engine said at
//! that moment ([`archive`]), and against values read off the files by hand ([`values`]).
//!
//! `tests/qemu-cgroup-v2.sh record` makes the recordings of v2 anew; the values by hand must then be read off anew too.

#![allow(clippy::unwrap_used, reason = "this is a test: what does not fit ends it")]

mod archive;
mod values;

use archive::{Recorded, Series, number};
use collect::Groups;

/// A recording, and how its driver names the cgroup of a container: what comes before and after the id.
struct Machine {
    name: &'static str,
    usual: (&'static str, &'static str),
    /// Of the container whose cgroup has a parent of its own.
    nested: (&'static str, &'static str),
    is_v2: bool,
}

const MACHINES: [Machine; 3] = [
    Machine {
        name: "cgroup-v1-cgroupfs",
        usual: ("/docker/", ""),
        nested: ("/app/web/", ""),
        is_v2: false,
    },
    Machine {
        name: "cgroup-v2-systemd",
        usual: ("/system.slice/docker-", ".scope"),
        nested: ("/app.slice/app-web.slice/docker-", ".scope"),
        is_v2: true,
    },
    Machine {
        name: "cgroup-v2-cgroupfs",
        usual: ("/docker/", ""),
        nested: ("/app/web/", ""),
        is_v2: true,
    },
];

const NOW_MS: i64 = 1_800_000_000_000;

fn collect_once(recorded: &Recorded, groups: Groups) -> Series {
    let collected = recorded.collector(groups).collect(NOW_MS);
    assert_eq!(collected.warnings, Vec::<String>::new());
    Series::new(collected.families)
}

/// Equal but for the last digits of a float.
fn agree(got: f64, want: f64) -> bool {
    (got - want).abs() <= want.abs() * 1e-9
}

#[test]
fn each_container_has_the_id_of_its_own_cgroup() {
    for machine in &MACHINES {
        let recorded = &Recorded::open(machine.name);
        let series = collect_once(recorded, Groups::None);
        let mut found: Vec<_> = series
            .of("container_last_seen")
            .iter()
            .filter_map(|(labels, _)| Some((labels.get("name")?.to_string(), labels["id"].to_string())))
            .collect();
        found.sort();
        let wanted: Vec<_> = recorded
            .running()
            .iter()
            .map(|name| {
                let (before, after) = if *name == "nested" {
                    machine.nested
                } else {
                    machine.usual
                };
                (
                    (*name).to_owned(),
                    format!("{before}{}{after}", recorded.id(name)),
                )
            })
            .collect();
        assert_eq!(found, wanted, "{}", machine.name);
        let containers = if machine.is_v2 { 9 } else { 8 };
        assert_eq!(found.len(), containers, "{}", machine.name);
    }
}

/// A family's sum over a container's series, the number of the engine's that it equals, and what that is divided by.
const AS_THE_ENGINE_SAYS: [(&str, &str, f64); 12] = [
    (
        "container_cpu_usage_seconds_total",
        "cpu_stats.cpu_usage.total_usage",
        1e9,
    ),
    ("container_memory_usage_bytes", "memory_stats.usage", 1.0),
    ("container_threads", "pids_stats.current", 1.0),
    ("container_processes", "pids_stats.current", 1.0),
    (
        "container_network_receive_bytes_total",
        "networks.eth0.rx_bytes",
        1.0,
    ),
    (
        "container_network_receive_packets_total",
        "networks.eth0.rx_packets",
        1.0,
    ),
    (
        "container_network_transmit_bytes_total",
        "networks.eth0.tx_bytes",
        1.0,
    ),
    (
        "container_network_transmit_packets_total",
        "networks.eth0.tx_packets",
        1.0,
    ),
    (
        "container_cpu_cfs_periods_total",
        "cpu_stats.throttling_data.periods",
        1.0,
    ),
    (
        "container_cpu_cfs_throttled_periods_total",
        "cpu_stats.throttling_data.throttled_periods",
        1.0,
    ),
    (
        "container_cpu_cfs_throttled_seconds_total",
        "cpu_stats.throttling_data.throttled_time",
        1e9,
    ),
    ("container_threads_max", "pids_stats.limit", 1.0),
];

#[test]
fn figures_are_those_of_the_engine() {
    for machine in &MACHINES {
        let recorded = &Recorded::open(machine.name);
        let series = collect_once(recorded, Groups::None);
        let mut compared = 0;
        for name in recorded.running() {
            let of = [("name", name)];
            for (family, key, divisor) in AS_THE_ENGINE_SAYS {
                let Some(want) = recorded
                    .fact(name, "stats", key)
                    .map(|text| number(text) / divisor)
                else {
                    continue;
                };
                let (count, got) = series.sum(family, &of);
                // Without a quota nothing is throttled and there is no series; the engine says 0.
                let is_left_out = count == 0 && want == 0.0 && family.contains("_cfs_");
                // No limit: the engine gives the largest number there is, cAdvisor 0.
                let want = if want > 1e18 { 0.0 } else { want };
                // The engine was asked last, and a bridge is never quite silent: neighbours are looked for.
                let slack = match key.rsplit_once('_').map_or("", |(_, unit)| unit) {
                    "bytes" => 500.0,
                    "packets" => 5.0,
                    _ => 0.0,
                };
                let is_near = got <= want && want - got <= slack;
                assert!(
                    is_left_out || (count > 0 && (agree(got, want) || is_near)),
                    "{}: {name}: {family} is {got} in {count} series, the engine says {want}",
                    machine.name
                );
                compared += 1;
            }
            for (family, operation) in [
                ("container_fs_reads_bytes_total", "read"),
                ("container_fs_writes_bytes_total", "write"),
            ] {
                let want = recorded.block_bytes(name, operation);
                // The engine reads v1's files of one scheduler, which stay empty under another.
                if machine.is_v2 || want > 0.0 {
                    assert_eq!(
                        series.sum(family, &of).1,
                        want,
                        "{}: {name}: {family}",
                        machine.name
                    );
                    compared += 1;
                }
            }
        }
        assert!(
            compared > 60,
            "{}: {compared} figures were compared",
            machine.name
        );
    }
}

#[test]
fn the_working_set_is_usage_without_files_that_lie_idle() {
    for machine in &MACHINES {
        let recorded = &Recorded::open(machine.name);
        let series = collect_once(recorded, Groups::None);
        let key = if machine.is_v2 {
            "memory_stats.stats.inactive_file"
        } else {
            "memory_stats.stats.total_inactive_file"
        };
        for name in recorded.running() {
            let usage = number(recorded.fact(name, "stats", "memory_stats.usage").unwrap());
            let idle = number(recorded.fact(name, "stats", key).unwrap());
            assert_eq!(
                series.sum("container_memory_working_set_bytes", &[("name", name)]),
                (1, usage - idle),
                "{}: {name}",
                machine.name
            );
        }
    }
}

#[test]
fn limits_are_those_that_were_asked_for() {
    for machine in &MACHINES {
        let recorded = &Recorded::open(machine.name);
        let series = collect_once(recorded, Groups::None);
        for name in recorded.running() {
            let of = [("name", name)];
            let asked = |key: &str| number(recorded.fact(name, "inspect", key).unwrap());
            assert_eq!(
                series.sum("container_spec_memory_limit_bytes", &of),
                (1, asked("memory")),
                "{}: {name}: no limit is 0, as upstream has it",
                machine.name
            );
            let (quotas, quota) = series.sum("container_spec_cpu_quota", &of);
            let (_, period) = series.sum("container_spec_cpu_period", &of);
            assert_eq!(period, 100_000.0, "{}: {name}", machine.name);
            let cpus = asked("nano_cpus") / 1e9;
            assert_eq!(
                (quotas, quota / period),
                (usize::from(cpus > 0.0), cpus),
                "{}: {name}: a quota is told of where there is one",
                machine.name
            );
        }
    }
}

#[test]
fn figures_are_those_that_were_read_off_by_hand() {
    for machine in &MACHINES {
        let recorded = &Recorded::open(machine.name);
        let series = collect_once(recorded, Groups::Top);
        let by_hand = values::of(machine.name);
        let wrong: Vec<_> = by_hand
            .iter()
            .map(|value| (value, series.sum(value.family, &value.labels)))
            .filter(|(value, (count, got))| *count != 1 || !agree(*got, value.is))
            .collect();
        assert!(
            wrong.is_empty(),
            "{}: (series, value) are not: {wrong:#?}",
            machine.name
        );
        assert!(by_hand.len() >= 20, "{}: {} values", machine.name, by_hand.len());
    }
}

#[test]
fn groups_at_the_top_are_of_no_container() {
    for machine in &MACHINES {
        let recorded = &Recorded::open(machine.name);
        let series = collect_once(recorded, Groups::Top);
        let mut found: Vec<_> = series
            .of("container_cpu_usage_seconds_total")
            .iter()
            .filter(|(labels, _)| labels.get("name").is_none_or(|name| name.is_empty()))
            .map(|(labels, _)| labels["id"].to_string())
            .collect();
        found.sort();
        assert_eq!(found, values::top_groups(machine.name), "{}", machine.name);
    }
}

#[test]
fn a_host_network_is_not_counted_as_the_containers() {
    for machine in &MACHINES {
        let recorded = &Recorded::open(machine.name);
        let series = collect_once(recorded, Groups::None);
        let of = |name| {
            series
                .sum("container_network_receive_bytes_total", &[("name", name)])
                .0
        };
        assert_eq!((of("hostnet"), of("client")), (0, 1), "{}", machine.name);
    }
}

#[test]
fn a_process_below_the_container_is_the_containers() {
    for machine in MACHINES.iter().filter(|machine| machine.is_v2) {
        let recorded = &Recorded::open(machine.name);
        let mut collector = recorded.collector(Groups::None);
        let pid: u32 = recorded.fact("moved", "inspect", "pid").unwrap().parse().unwrap();
        // The cgroup that it left has no process of its own.
        let (before, after) = machine.usual;
        let left = format!("/sys/fs/cgroup{before}{}{after}", recorded.id("moved"));
        assert_eq!(recorded.file(&format!("{left}/cgroup.procs")), "");
        assert_eq!(
            recorded.file(&format!("{left}/init/cgroup.procs")),
            format!("{pid}\n")
        );
        assert_eq!(collector.pids(recorded.id("moved")), [pid], "{}", machine.name);
    }
}

#[test]
fn live_readings_are_those_that_are_stored() {
    for machine in &MACHINES {
        let recorded = &Recorded::open(machine.name);
        let mut collector = recorded.collector(Groups::None);
        // Processes in cgroups that a container made are counted now and then, by what is stored.
        let series = Series::new(collector.collect(NOW_MS).families);
        let readings = collector.read_live();
        for name in recorded.running() {
            let reading = readings
                .iter()
                .find(|reading| reading.id == recorded.id(name))
                .unwrap_or_else(|| panic!("{}: no reading of {name}", machine.name));
            let of = |family| series.sum(family, &[("name", name)]).1;
            let limit = Some(of("container_spec_memory_limit_bytes")).filter(|limit| *limit > 0.0);
            assert_eq!(reading.memory_limit_bytes, limit, "{}: {name}", machine.name);
            for (got, family) in [
                (reading.cpu_s, "container_cpu_usage_seconds_total"),
                (
                    reading.memory_working_set_bytes,
                    "container_memory_working_set_bytes",
                ),
                (reading.receive_bytes, "container_network_receive_bytes_total"),
                (reading.transmit_bytes, "container_network_transmit_bytes_total"),
                (reading.read_bytes, "container_fs_reads_bytes_total"),
                (reading.write_bytes, "container_fs_writes_bytes_total"),
                (reading.processes, "container_processes"),
            ] {
                assert!(
                    agree(got, of(family)),
                    "{}: {name}: {family}: {got}",
                    machine.name
                );
            }
        }
    }
}

#[test]
fn a_container_that_ended_has_no_series() {
    for machine in &MACHINES {
        let recorded = &Recorded::open(machine.name);
        let mut collector = recorded.collector(Groups::None);
        assert!(!collector.collect(NOW_MS).families.is_empty());
        collector.set_running(Vec::new());
        let series = Series::new(collector.collect(NOW_MS + 15_000).families);
        let named = series
            .of("container_last_seen")
            .iter()
            .filter(|(labels, _)| labels.get("name").is_some_and(|name| !name.is_empty()))
            .count();
        assert_eq!(named, 0, "{}", machine.name);
        assert_eq!(
            series.sum("container_cpu_usage_seconds_total", &[("id", "/")]).0,
            1,
            "{}: the machine is still there",
            machine.name
        );
    }
}
