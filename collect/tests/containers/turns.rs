//! How soon a change in a file is seen: what people look at in the next round, the rest when its turn comes.

use collect::ContainerCollector;

use crate::tree::{ID, System, Tree, value};

/// A file of the container's cgroup that is written, and what it says then.
type Write = (&'static str, &'static str);
/// Files that change, the series that shows it, its new value, and within how many rounds it is seen.
type Case = (&'static [Write], &'static str, f64, usize);

const V1: &[Case] = &[
    (
        &[("cpu,cpuacct/cpuacct.usage", "13500000000\n")],
        "container_cpu_usage_seconds_total{cpu=\"total\"}",
        13.5,
        1,
    ),
    (
        &[
            ("cpu,cpuacct/cpuacct.usage", "14500000000\n"),
            ("cpu,cpuacct/cpuacct.stat", "user 1100\nsystem 350\n"),
        ],
        "container_cpu_system_seconds_total",
        3.5,
        1,
    ),
    (
        &[("memory/memory.usage_in_bytes", "1250000\n")],
        "container_memory_working_set_bytes",
        1e6,
        1,
    ),
    (
        &[
            ("memory/memory.usage_in_bytes", "1400000\n"),
            ("memory/memory.stat", "total_inactive_file 400000\n"),
        ],
        "container_memory_total_inactive_file_bytes",
        400_000.0,
        1,
    ),
    // The same bytes in use, but of another kind.
    (
        &[("memory/memory.stat", "total_inactive_file 300000\n")],
        "container_memory_working_set_bytes",
        700_000.0,
        4,
    ),
    (
        &[(
            "blkio/blkio.throttle.io_service_bytes_recursive",
            "8:0 Read 5000\n",
        )],
        "container_fs_reads_bytes_total{device=\"/dev/sda\"}",
        5000.0,
        1,
    ),
    (
        &[
            (
                "blkio/blkio.throttle.io_service_bytes_recursive",
                "8:0 Read 6000\n",
            ),
            ("blkio/blkio.throttle.io_serviced_recursive", "8:0 Read 9\n"),
        ],
        "container_fs_reads_total{device=\"/dev/sda\"}",
        9.0,
        1,
    ),
    // A flush: an operation of no bytes.
    (
        &[("blkio/blkio.throttle.io_serviced_recursive", "8:0 Read 10\n")],
        "container_fs_reads_total{device=\"/dev/sda\"}",
        10.0,
        4,
    ),
    (&[("pids/pids.current", "8\n")], "container_threads", 8.0, 1),
    (
        &[
            ("pids/pids.current", "9\n"),
            ("cpu,cpuacct/cgroup.procs", "100\n101\n102\n"),
        ],
        "container_processes",
        3.0,
        1,
    ),
    // A process for a thread: as many tasks as before.
    (
        &[("cpu,cpuacct/cgroup.procs", "100\n101\n102\n103\n")],
        "container_processes",
        4.0,
        4,
    ),
    (
        &[("memory/memory.failcnt", "4\n")],
        "container_memory_failcnt",
        4.0,
        4,
    ),
    (
        &[("memory/memory.oom_control", "oom_kill 2\n")],
        "container_oom_events_total",
        2.0,
        4,
    ),
    (
        &[("memory/memory.limit_in_bytes", "1048576\n")],
        "container_spec_memory_limit_bytes",
        1_048_576.0,
        8,
    ),
    (
        &[("cpu,cpuacct/cpu.shares", "256\n")],
        "container_spec_cpu_shares",
        256.0,
        64,
    ),
];

const V2: &[Case] = &[
    (
        &[("cpu.stat", "usage_usec 13500000\nuser_usec 11000000\n")],
        "container_cpu_user_seconds_total",
        11.0,
        1,
    ),
    (
        &[
            ("memory.current", "1400000\n"),
            ("memory.stat", "inactive_file 400000\n"),
        ],
        "container_memory_working_set_bytes",
        1e6,
        1,
    ),
    (
        &[("memory.stat", "inactive_file 300000\n")],
        "container_memory_working_set_bytes",
        700_000.0,
        4,
    ),
    (
        &[("io.stat", "8:0 rbytes=5000 rios=9\n")],
        "container_fs_reads_total{device=\"/dev/sda\"}",
        9.0,
        1,
    ),
    (&[("pids.current", "8\n")], "container_threads", 8.0, 1),
    // There is some already, so it is looked at in each round.
    (
        &[("memory.swap.current", "9000\n")],
        "container_memory_swap",
        9000.0,
        1,
    ),
    (
        &[("memory.events", "max 9\n")],
        "container_memory_events_max_total",
        9.0,
        4,
    ),
    (
        &[("cpu.pressure", "some total=4000000\n")],
        "container_pressure_cpu_waiting_seconds_total",
        4.0,
        4,
    ),
    (
        &[("cpu.max", "25000 100000\n")],
        "container_spec_cpu_quota",
        25_000.0,
        8,
    ),
];

/// Rounds until the series has the value; the series is there in each of them.
fn rounds_until(collector: &mut ContainerCollector, id: &str, name: &str, want: f64) -> usize {
    for round in 1..=100 {
        let got = value(&collector.collect(1_700_000_200_000), id, name);
        assert!(got.is_some(), "{name} has a gap");
        if got == Some(want) {
            return round;
        }
    }
    unreachable!("{name} is never {want}")
}

#[test]
fn changes_are_seen_in_the_next_round_or_at_their_turn() {
    let id = format!("/docker/{ID}");
    for (system, cases) in [(System::V1, V1), (System::V2, V2)] {
        for (writes, name, want, within) in cases {
            // Begun at each place of the turns, the longest wait is the whole turn.
            let mut longest = 0;
            for phase in 0..*within {
                let tree = Tree::new(system);
                tree.container(&id);
                let mut collector = tree.collector();
                for _ in 0..=phase {
                    collector.collect(1_700_000_200_000);
                }
                for (file, text) in *writes {
                    let path = match (system, file.split_once('/')) {
                        (System::V2, _) | (_, None) => format!("sys/fs/cgroup{id}/{file}"),
                        (_, Some((controller, name))) => format!("sys/fs/cgroup/{controller}{id}/{name}"),
                    };
                    tree.write(&path, text);
                }
                longest = longest.max(rounds_until(&mut collector, &id, name, *want));
            }
            assert_eq!(longest, *within, "{system:?} {name}");
        }
    }
}

#[test]
fn swap_that_is_none_takes_turns() {
    let id = format!("/docker/{ID}");
    let mut longest = 0;
    for phase in 0..4 {
        let tree = Tree::new(System::V2);
        tree.container(&id);
        let swap = format!("sys/fs/cgroup{id}/memory.swap.current");
        tree.write(&swap, "0\n");
        let mut collector = tree.collector();
        for _ in 0..=phase {
            collector.collect(1_700_000_200_000);
        }
        tree.write(&swap, "9000\n");
        longest = longest.max(rounds_until(&mut collector, &id, "container_memory_swap", 9000.0));
    }
    assert_eq!(longest, 4);
}
