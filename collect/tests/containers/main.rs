//! The container collector over small trees of each kind of system.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "test support: a tree that cannot be written fails the test, and what is skipped is said"
)]

mod golden;
mod tree;
mod turns;

use collect::{ContainerCollector, Groups, Reading};

use crate::tree::{ID, PID, System, Tree, container, rows_of, text, value};

/// Rows that all systems give for the container of the tree.
const COMMON: &[(&str, f64)] = &[
    ("container_cpu_usage_seconds_total{cpu=\"total\"}", 12.5),
    ("container_cpu_user_seconds_total", 10.0),
    ("container_cpu_system_seconds_total", 2.5),
    ("container_cpu_cfs_periods_total", 10.0),
    ("container_cpu_cfs_throttled_periods_total", 4.0),
    ("container_cpu_cfs_throttled_seconds_total", 1.5),
    ("container_cpu_cfs_burst_periods_total", 2.0),
    ("container_cpu_cfs_burst_seconds_total", 0.5),
    ("container_memory_usage_bytes", 1e6),
    ("container_memory_working_set_bytes", 750_000.0),
    ("container_memory_rss", 300_000.0),
    ("container_memory_cache", 400_000.0),
    ("container_memory_swap", 8192.0),
    ("container_memory_mapped_file", 4096.0),
    ("container_memory_kernel_usage", 5000.0),
    ("container_memory_max_usage_bytes", 2e6),
    ("container_memory_failcnt", 3.0),
    ("container_memory_file_dirty_bytes", 100.0),
    ("container_memory_file_writeback_bytes", 50.0),
    ("container_memory_total_active_file_bytes", 150_000.0),
    ("container_memory_total_inactive_file_bytes", 250_000.0),
    ("container_memory_workingset_refault_anon_total", 6.0),
    ("container_memory_workingset_refault_file_total", 7.0),
    (
        "container_memory_failures_total{failure_type=\"pgfault\",scope=\"hierarchy\"}",
        30.0,
    ),
    (
        "container_memory_failures_total{failure_type=\"pgmajfault\",scope=\"hierarchy\"}",
        3.0,
    ),
    ("container_oom_events_total", 1.0),
    ("container_fs_reads_bytes_total{device=\"/dev/sda\"}", 4096.0),
    ("container_fs_writes_bytes_total{device=\"/dev/sda\"}", 8192.0),
    ("container_fs_reads_total{device=\"/dev/sda\"}", 1.0),
    ("container_fs_writes_total{device=\"/dev/sda\"}", 2.0),
    (
        "container_blkio_device_usage_total{device=\"/dev/sda\",major=\"8\",minor=\"0\",operation=\"Write\"}",
        8192.0,
    ),
    (
        "container_network_receive_bytes_total{interface=\"eth0\"}",
        1000.0,
    ),
    ("container_network_receive_errors_total{interface=\"eth0\"}", 1.0),
    (
        "container_network_transmit_packets_dropped_total{interface=\"eth0\"}",
        4.0,
    ),
    ("container_processes", 2.0),
    ("container_threads", 7.0),
    ("container_threads_max", 0.0),
    ("container_file_descriptors", 3.0),
    ("container_sockets", 1.0),
    ("container_tasks_state{state=\"sleeping\"}", 2.0),
    ("container_ulimits_soft{ulimit=\"max_open_files\"}", 1024.0),
    ("container_spec_cpu_period", 100_000.0),
    ("container_spec_cpu_quota", 50_000.0),
    ("container_spec_memory_limit_bytes", 67_108_864.0),
    ("container_spec_memory_reservation_limit_bytes", 0.0),
    ("container_creation_time_seconds", 1_700_000_000.0),
    ("container_start_time_seconds", 1_700_000_100.0),
    ("container_last_seen", 1_700_000_200.0),
    ("container_health_state", 1.0),
];

const V1_ONLY: &[(&str, f64)] = &[
    ("container_spec_cpu_shares", 512.0),
    ("container_spec_memory_swap_limit_bytes", 134_217_728.0),
    (
        "container_memory_failures_total{failure_type=\"pgfault\",scope=\"container\"}",
        20.0,
    ),
];

const V2_ONLY: &[(&str, f64)] = &[
    ("container_spec_cpu_shares", 500.0),
    ("container_spec_memory_swap_limit_bytes", 0.0),
    ("container_memory_events_high_total", 5.0),
    ("container_memory_events_max_total", 3.0),
    ("container_memory_pgscan_total", 8.0),
    ("container_memory_pgsteal_total", 9.0),
    (
        "container_fs_io_cost_wait_seconds_total{device=\"/dev/sda\"}",
        2.0,
    ),
];

const PRESSURE: &[(&str, f64)] = &[
    ("container_pressure_cpu_waiting_seconds_total", 3.0),
    ("container_pressure_cpu_stalled_seconds_total", 1.0),
    ("container_pressure_io_waiting_seconds_total", 0.5),
];

/// Collects and compares; says which rows are other than wanted.
fn check(collector: &mut ContainerCollector, id: &str, want: &[&[(&str, f64)]]) {
    let collection = collector.collect(1_700_000_200_900);
    assert_eq!(collection.warnings, Vec::<String>::new());
    let mut missing = Vec::new();
    for (name, want) in want.iter().copied().flatten() {
        let got = value(&collection, id, name);
        if got != Some(*want) {
            missing.push(format!("{name} is {got:?}, not {want}"));
        }
    }
    let rows = rows_of(&collection, id).join("\n");
    assert!(missing.is_empty(), "{id}:\n{}\n--\n{rows}", missing.join("\n"));
}

#[test]
fn a_container_is_read_on_every_system_and_under_every_driver() {
    let cgroupfs = format!("/docker/{ID}");
    let systemd = format!("/system.slice/docker-{ID}.scope");
    let nested = format!("/docker/{}/docker/{ID}", ID.replace('0', "f"));
    let own = format!("/team/batch/{ID}");
    for system in [System::V1, System::Hybrid, System::V2] {
        let only = if system == System::V2 { V2_ONLY } else { V1_ONLY };
        let pressure = if system == System::V1 { &[][..] } else { PRESSURE };
        for path in [&cgroupfs, &systemd, &nested, &own] {
            let tree = Tree::new(system);
            tree.container(path);
            let mut collector = tree.collector();
            for _ in 0..3 {
                check(&mut collector, path, &[COMMON, only, pressure]);
            }
        }
    }
}

#[test]
fn a_process_that_does_not_tell_its_cgroup_is_found_by_its_id() {
    let path = format!("/system.slice/docker-{ID}.scope");
    for system in [System::V1, System::Hybrid, System::V2] {
        // In a namespace of cgroups that is not ours; at the root; gone; and below what it made itself.
        for (says, pid) in [
            ("/../../x".to_owned(), PID),
            ("/".to_owned(), PID),
            (path.clone(), 0),
            (path.clone(), 4711),
            (format!("{path}/init.scope"), PID),
        ] {
            let tree = Tree::new(system);
            tree.container_with(&path, PID, &says);
            let mut collector = tree.collector();
            let mut running = container();
            running.pid = pid;
            collector.set_running(vec![running]);
            let collection = collector.collect(0);
            assert_eq!(
                value(&collection, &path, "container_memory_usage_bytes"),
                Some(1e6),
                "{system:?} {says} {pid}"
            );
        }
    }
}

#[test]
fn a_container_without_a_cgroup_is_left_out_without_a_word() {
    let tree = Tree::new(System::V2);
    let mut collector = tree.collector();
    for _ in 0..3 {
        let collection = collector.collect(0);
        assert_eq!(collection.warnings, Vec::<String>::new());
        assert!(text(&collection).iter().all(|line| !line.contains("web-1")));
    }
    assert_eq!(collector.pids(ID), Vec::<u32>::new());
    // It was only late.
    tree.container(&format!("/docker/{ID}"));
    let collection = collector.collect(0);
    assert!(text(&collection).iter().any(|line| line.contains("web-1")));
}

#[test]
fn the_machine_is_the_root() {
    for (system, want) in [
        (
            System::V1,
            [
                ("container_memory_usage_bytes", 1e6),
                ("container_memory_swap", 8192.0),
            ],
        ),
        (
            System::V2,
            [
                ("container_memory_usage_bytes", 700_000.0),
                ("container_memory_swap", 614_400.0),
            ],
        ),
    ] {
        let tree = Tree::new(system);
        let mut collector = tree.collector();
        let both: &[(&str, f64)] = &[
            ("container_cpu_usage_seconds_total{cpu=\"total\"}", 12.5),
            ("container_spec_memory_limit_bytes", 2_048_000_000.0),
            (
                "container_network_receive_bytes_total{interface=\"eth0\"}",
                1000.0,
            ),
        ];
        check(&mut collector, "/", &[&want, both]);
        let all = text(&collector.collect(0));
        let machine = "boot_id=\"b-o-o-t\",machine_id=\"m-a-c-h\"";
        for line in [
            format!("machine_cpu_cores{{{machine}}} 2"),
            format!("machine_cpu_physical_cores{{{machine}}} 1"),
            format!("machine_cpu_sockets{{{machine}}} 1"),
            format!("machine_memory_bytes{{{machine}}} 2.048e+09"),
            format!("machine_swap_bytes{{{machine}}} 1.024e+06"),
            "machine_scrape_error 0".to_owned(),
            "container_scrape_error 0".to_owned(),
        ] {
            assert!(all.contains(&line), "{line}\n{}", all.join("\n"));
        }
        let sizes = |line: &&String| {
            line.starts_with("container_fs_") && line.contains("{device=\"/dev/sda1\",id=\"/\"} ")
        };
        assert_eq!(all.iter().filter(sizes).count(), 4, "one device, four figures");
        for left_out in ["docker0", "veth1234", "interface=\"lo\""] {
            assert!(!all.iter().any(|line| line.contains(left_out)), "{left_out}");
        }
    }
}

#[test]
fn a_root_without_files_shows_what_proc_says() {
    let tree = Tree::new(System::V2);
    for file in ["cpu.stat", "memory.stat", "cpu.pressure"] {
        std::fs::remove_file(tree.path(&format!("sys/fs/cgroup/{file}"))).unwrap();
    }
    tree.write("proc/pressure/cpu", "some avg10=0.00 total=4000000\n");
    check(
        &mut tree.collector(),
        "/",
        &[&[
            ("container_cpu_usage_seconds_total{cpu=\"total\"}", 15.0),
            ("container_memory_usage_bytes", 4010.0 * 1024.0),
            ("container_pressure_cpu_waiting_seconds_total", 4.0),
        ]],
    );
}

#[test]
fn no_cgroups_at_all_are_one_warning() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = collect::ContainerOptions::default();
    options.paths.procfs = dir.path().join("proc");
    options.paths.sysfs = dir.path().join("sys");
    let mut collector = ContainerCollector::new(&options);
    collector.set_running(vec![container()]);
    let collection = collector.collect(0);
    assert_eq!(collection.warnings.len(), 1);
    assert!(
        collection.warnings[0].contains("fs/cgroup"),
        "{:?}",
        collection.warnings
    );
    let rows = text(&collection);
    assert_eq!(rows, ["container_scrape_error 1", "machine_scrape_error 1"]);
    assert_eq!(collector.read_live(), []);
}

#[test]
fn groups_are_those_that_are_wanted_and_have_no_name() {
    for system in [System::V1, System::V2] {
        for (groups, want) in [
            (Groups::None, [false, false, false]),
            (Groups::Top, [true, false, false]),
            (Groups::All, [true, true, true]),
        ] {
            let tree = Tree::new(system);
            let path = format!("/docker/{ID}");
            tree.container(&path);
            tree.cgroup("/docker");
            tree.cgroup("/docker/other");
            let inner = format!("{path}/inner");
            tree.cgroup(&inner);
            let mut options = tree.options();
            options.groups = groups;
            let mut collector = ContainerCollector::new(&options);
            collector.set_running(vec![container()]);
            let collection = collector.collect(0);
            for (id, want) in ["/docker", "/docker/other", &inner].into_iter().zip(want) {
                let line = format!("container_memory_rss{{id=\"{id}\"}} 300000");
                assert_eq!(text(&collection).contains(&line), want, "{groups:?} {id}");
            }
            let named = |line: &&String| {
                line.starts_with("container_memory_rss{") && line.contains(ID) && !line.contains("inner")
            };
            assert_eq!(text(&collection).iter().filter(named).count(), 1, "{groups:?}");
        }
    }
}

#[test]
fn a_group_that_is_gone_has_no_rows() {
    let tree = Tree::new(System::V2);
    tree.cgroup("/user.slice");
    let mut collector = tree.collector();
    assert!(!rows_of(&collector.collect(0), "/user.slice").is_empty());
    std::fs::remove_dir_all(tree.path("sys/fs/cgroup/user.slice")).unwrap();
    // Files that are open go on to read in a temporary tree; cgroups' do not.
    collector.set_files_max(0);
    let collection = collector.collect(0);
    assert!(rows_of(&collection, "/user.slice").is_empty());
    assert_eq!(collection.warnings, Vec::<String>::new());
}

#[test]
fn processors_are_shown_one_by_one_where_the_kernel_counts_so() {
    for (system, want) in [
        (System::V1, [Some(8.0), Some(4.5), None, None]),
        (System::V2, [None, None, None, Some(12.5)]),
    ] {
        let tree = Tree::new(system);
        let path = format!("/docker/{ID}");
        tree.container(&path);
        let mut options = tree.options();
        options.per_cpu = true;
        let mut collector = ContainerCollector::new(&options);
        collector.set_running(vec![container()]);
        let collection = collector.collect(0);
        for (cpu, want) in ["cpu00", "cpu01", "cpu02", "total"].into_iter().zip(want) {
            let name = format!("container_cpu_usage_seconds_total{{cpu=\"{cpu}\"}}");
            assert_eq!(value(&collection, &path, &name), want, "{system:?} {cpu}");
        }
    }
}

#[test]
fn without_a_quota_there_is_no_throttling_and_unlimited_is_zero() {
    let tree = Tree::new(System::V2);
    let path = format!("/docker/{ID}");
    tree.container(&path);
    tree.write(&format!("sys/fs/cgroup{path}/cpu.max"), "max 100000\n");
    tree.write(&format!("sys/fs/cgroup{path}/memory.max"), "max\n");
    let collection = tree.collector().collect(0);
    for absent in [
        "container_cpu_cfs_periods_total",
        "container_cpu_cfs_burst_seconds_total",
        "container_spec_cpu_quota",
    ] {
        assert_eq!(value(&collection, &path, absent), None, "{absent}");
    }
    assert_eq!(
        value(&collection, &path, "container_spec_memory_limit_bytes"),
        Some(0.0)
    );
}

#[test]
fn what_the_runtime_says_shows_at_once() {
    let tree = Tree::new(System::V1);
    let path = format!("/docker/{ID}");
    tree.container(&path);
    let mut collector = tree.collector();
    let first = collector.collect(0);
    collector.recycle(first.families, first.round);
    let mut changed = container();
    changed.labels[2].1 = "web-2".to_owned();
    changed.healthy = Some(false);
    changed.oom_kills = 9;
    changed.own_network = false;
    collector.set_running(vec![changed.clone()]);
    let second = collector.collect(0);
    assert!(!text(&second).iter().any(|line| line.contains("web-1")));
    let line =
        format!("container_oom_events_total{{app=\"web\",id=\"{path}\",image=\"nginx:1\",name=\"web-2\"}} 9");
    assert!(text(&second).contains(&line), "{:#?}", text(&second));
    assert!(
        text(&second)
            .iter()
            .any(|line| line.starts_with("container_health_state{") && line.ends_with(" 0"))
    );
    assert!(
        !rows_of(&second, &path)
            .iter()
            .any(|line| line.contains("network"))
    );
    changed.healthy = None;
    collector.set_running(vec![changed]);
    assert_eq!(
        value(&collector.collect(0), &path, "container_health_state"),
        None
    );
    collector.set_running(Vec::new());
    assert!(rows_of(&collector.collect(0), &path).is_empty());
}

#[test]
fn a_restarted_container_is_found_again() {
    let tree = Tree::new(System::V2);
    let old = format!("/docker/{ID}");
    tree.container(&old);
    let mut collector = tree.collector();
    assert!(!rows_of(&collector.collect(0), &old).is_empty());
    std::fs::remove_dir_all(tree.path(&format!("sys/fs/cgroup{old}"))).unwrap();
    let new = format!("/system.slice/docker-{ID}.scope");
    tree.container_with(&new, 200, &new);
    let mut restarted = container();
    restarted.pid = 200;
    collector.set_running(vec![restarted]);
    let collection = collector.collect(0);
    assert!(rows_of(&collection, &old).is_empty());
    assert_eq!(value(&collection, &new, "container_processes"), Some(2.0));
    assert_eq!(collector.pids(ID), [200, 201]);
}

#[test]
fn processes_below_a_container_are_its_own() {
    let tree = Tree::new(System::V2);
    let path = format!("/docker/{ID}");
    tree.container(&path);
    tree.cgroup(&format!("{path}/init.scope"));
    tree.write(
        &format!("sys/fs/cgroup{path}/init.scope/cgroup.procs"),
        "300\n301\n",
    );
    let mut collector = tree.collector();
    assert_eq!(
        value(&collector.collect(0), &path, "container_processes"),
        Some(4.0)
    );
    assert_eq!(collector.pids(ID), [100, 101, 300, 301]);
    assert_eq!(collector.pids("unknown"), Vec::<u32>::new());
}

#[test]
fn rounds_are_the_same_with_no_file_open_and_with_labels_handed_back() {
    for system in [System::V1, System::Hybrid, System::V2] {
        let tree = Tree::new(system);
        tree.container(&format!("/docker/{ID}"));
        tree.cgroup("/system.slice");
        let mut collector = tree.collector();
        // The file systems are those of the machine that tests run on.
        let steady = |collection: &collect::ContainerCollection| -> Vec<String> {
            let rows = text(collection).into_iter();
            rows.filter(|line| !line.contains("/dev/sda1")).collect()
        };
        let first = collector.collect(7);
        let want = steady(&first);
        collector.recycle(first.families, first.round);
        for files in [4096, 3, 0, 4096] {
            collector.set_files_max(files);
            let collection = collector.collect(7);
            assert_eq!(steady(&collection), want, "{system:?} with {files} files");
            collector.recycle(collection.families, collection.round);
        }
    }
}

#[test]
fn families_are_sorted_and_no_series_comes_twice() {
    let tree = Tree::new(System::V2);
    tree.container(&format!("/docker/{ID}"));
    tree.cgroup("/docker");
    let collection = tree.collector().collect(0);
    assert!(collection.families.is_sorted_by(|a, b| a.name < b.name));
    for family in &collection.families {
        let mut labels: Vec<_> = family.metrics.iter().map(|metric| &metric.labels).collect();
        assert!(labels.iter().all(|labels| labels.is_sorted_by(|a, b| a.0 < b.0)));
        labels.sort();
        labels.dedup();
        assert_eq!(labels.len(), family.metrics.len(), "{}", family.name);
    }
}

#[test]
fn live_readings_agree_with_what_is_collected() {
    for system in [System::V1, System::V2] {
        let tree = Tree::new(system);
        tree.container(&format!("/docker/{ID}"));
        let mut collector = tree.collector();
        let readings = collector.read_live();
        let ids: Vec<_> = readings.iter().map(|reading| reading.id.as_str()).collect();
        assert_eq!(ids, ["", ID]);
        assert_eq!(
            readings[1],
            Reading {
                id: ID.to_owned(),
                cpu_s: 12.5,
                memory_working_set_bytes: 750_000.0,
                memory_limit_bytes: Some(67_108_864.0),
                receive_bytes: 1000.0,
                transmit_bytes: 2000.0,
                read_bytes: 4096.0,
                write_bytes: 8192.0,
                processes: 2.0,
            },
            "{system:?}"
        );
        assert_eq!(readings[0].memory_limit_bytes, None);
        assert_eq!(readings[0].receive_bytes, 1000.0);
        assert!(readings[0].processes >= 2.0);
        assert!(tree.root().exists());
    }
}

#[test]
fn labels_of_another_round_are_not_taken_over() {
    let tree = Tree::new(System::V1);
    tree.container(&format!("/docker/{ID}"));
    let mut collector = tree.collector();
    let first = collector.collect(0);
    let mut renamed = container();
    renamed.labels[2].1 = "web-2".to_owned();
    collector.set_running(vec![renamed]);
    // Somebody reads between a round and its return: as many rows, other labels.
    collector.collect(0);
    collector.recycle(first.families, first.round);
    let third = collector.collect(0);
    assert!(!text(&third).iter().any(|line| line.contains("web-1")));
}
