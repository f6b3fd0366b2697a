//! The collectors on node_exporter's own end-to-end fixture must print what node_exporter prints.
//!
//! The fixture is not part of this project: it lies beside it, and where it does not, this test says that it was
//! skipped. Each parser has cases of its own beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use collect::{CpuInfo, HostCollector, Options};

/// Families of the collectors that this crate has, by how their names begin. The longest prefix decides.
const COMPARED: &[&str] = &[
    "node_boot_time_seconds",
    "node_context_switches_total",
    "node_cpu_bug_info",
    "node_cpu_core_throttles_total",
    "node_cpu_flag_info",
    "node_cpu_frequency_hertz",
    "node_cpu_guest_seconds_total",
    "node_cpu_info",
    "node_cpu_isolated",
    "node_cpu_package_throttles_total",
    "node_cpu_seconds_total",
    "node_disk_",
    "node_filefd_",
    "node_forks_total",
    "node_intr_total",
    "node_load",
    "node_memory_",
    "node_netstat_",
    "node_network_receive_",
    "node_network_transmit_",
    "node_pressure_",
    "node_procs_blocked",
    "node_procs_running",
    "node_sockstat_",
    "node_softirqs_total",
    "node_time_",
    "node_vmstat_",
];

/// Families with such names that are of other collectors: meminfo_numa, and netclass.
const OTHERS: &[&str] = &["node_memory_numa_", "node_network_transmit_queue_length"];

/// Ours that the fixture has no word on: upstream has these collectors off, or the family is of all collectors.
const NOT_COMPARED: &[&str] = &["node_filesystem_", "node_uname_info", "node_scrape_collector_"];

/// Families whose values are the machine's and not the fixture's.
const VALUES_OF_THE_MACHINE: &[&str] = &["node_time_seconds", "node_time_zone_offset_seconds"];

/// Samples that node_exporter 1.12.1 prints for the fixture in the compared families.
const COMPARED_SAMPLES: usize = 484;

fn shared() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance/node")
}

/// The exposition by family: help, type and samples as they stand.
fn families(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut families: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in text.lines() {
        let name = match line
            .strip_prefix("# HELP ")
            .or_else(|| line.strip_prefix("# TYPE "))
        {
            Some(rest) => rest.split(' ').next(),
            None => line.split(['{', ' ']).next(),
        };
        families
            .entry(name.unwrap_or_default().to_owned())
            .or_default()
            .push(line.to_owned());
    }
    families
}

fn begins(name: &str, with: &[&str]) -> bool {
    with.iter().any(|prefix| name.starts_with(prefix))
}

/// What the fixture lacks because upstream asks the running kernel by netlink: the counters of `lo`.
fn add_loopback(root: &Path) {
    std::fs::write(
        root.join("proc/net/dev"),
        "Inter-|   Receive                                                |  Transmit\n \
         face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n\
         lo: 1 2 0 0 0 0 0 0 3 4 0 0 0 0 0 0\n",
    )
    .expect("the fixture's copy can be written");
    let statistics = root.join("sys/class/net/lo/statistics");
    std::fs::create_dir_all(&statistics).expect("the fixture's copy can be written");
    std::fs::write(statistics.join("rx_nohandler"), "0\n").expect("the fixture's copy can be written");
}

fn collect_fixture(root: &Path) -> String {
    let mut options = Options {
        stat_softirq: true,
        ..Options::default()
    };
    options.paths.procfs = root.join("proc");
    options.paths.sysfs = root.join("sys");
    options.paths.udev = root.join("udev/data");
    options.paths.rootfs = root.to_path_buf();
    options.cpu_info = Some(CpuInfo {
        flags: Some(regex::Regex::new("^(aes|avx.?|constant_tsc)$").expect("it compiles")),
        bugs: Some(regex::Regex::new("^(cpu_meltdown|spectre_.*|mds)$").expect("it compiles")),
    });
    let mut host = HostCollector::new(&options);
    let mut first = String::new();
    let collection = host.collect(0);
    for outcome in &collection.outcomes {
        assert!(outcome.success, "{}: {:?}", outcome.collector, outcome.error);
    }
    model::encode_families(&collection.families, &mut first);
    // A second round goes through everything that is kept from the first.
    let mut second = String::new();
    model::encode_families(&host.collect(0).families, &mut second);
    // The fixture's root lies on a file system of this machine, whose free space moves between the rounds.
    let steady = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|line| !line.starts_with("node_filesystem_"))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(steady(&first), steady(&second));
    first
}

#[test]
fn the_fixture_prints_as_node_exporter_prints_it() {
    let Ok(expected) = std::fs::read_to_string(shared().join("expected.prom")) else {
        eprintln!(
            "SKIPPED the_fixture_prints_as_node_exporter_prints_it: ../shared/conformance is not there"
        );
        return;
    };
    let root = tempfile::tempdir().unwrap();
    let unpacked = Command::new("tar")
        .arg("-xzf")
        .arg(shared().join("fixtures.tar.gz"))
        .arg("-C")
        .arg(root.path())
        .status()
        .expect("tar unpacks the fixture: install tar");
    assert!(unpacked.success(), "tar could not unpack the fixture");
    add_loopback(root.path());

    let ours = families(&collect_fixture(root.path()));
    let theirs = families(&expected);
    let mut differences = Vec::new();
    let mut samples = 0;
    for (name, want) in theirs
        .iter()
        .filter(|(name, _)| begins(name, COMPARED) && !begins(name, OTHERS))
    {
        let got = ours.get(name).cloned().unwrap_or_default();
        // Bytes and packets of lo and the time change by themselves: upstream compares their name, help and type alone.
        let values_left_out = name.starts_with("node_network_")
            && (name.ends_with("_bytes_total") || name.ends_with("_packets_total"))
            || VALUES_OF_THE_MACHINE.contains(&name.as_str());
        let keep = |lines: &[String]| -> Vec<String> {
            lines
                .iter()
                .filter(|line| !values_left_out || line.starts_with('#'))
                .cloned()
                .collect()
        };
        let (got, want) = (keep(&got), keep(want));
        samples += want.iter().filter(|line| !line.starts_with('#')).count();
        if got != want {
            differences.push(format!("{name}\n  want {want:#?}\n  got {got:#?}"));
        }
    }
    for name in ours
        .keys()
        .filter(|name| !theirs.contains_key(*name) && !begins(name, NOT_COMPARED))
    {
        differences.push(format!("{name}: upstream has no such family"));
    }
    for name in ours
        .keys()
        .filter(|name| !begins(name, COMPARED) && !begins(name, NOT_COMPARED))
    {
        differences.push(format!("{name}: neither compared nor named as not compared"));
    }
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
    assert_eq!(
        samples, COMPARED_SAMPLES,
        "the number of compared samples changed: did the fixture?"
    );
    eprintln!("compared {samples} samples");
}

/// Other exporters of the success family name more collectors; ours must be among upstream's names.
#[test]
fn collectors_are_named_as_upstream_names_them() {
    let Ok(expected) = std::fs::read_to_string(shared().join("expected.prom")) else {
        eprintln!("SKIPPED collectors_are_named_as_upstream_names_them: ../shared/conformance is not there");
        return;
    };
    // Off in the fixture's settings.
    let off = ["filesystem", "uname"];
    for name in HostCollector::collectors() {
        let line = format!("node_scrape_collector_success{{collector=\"{name}\"}} 1");
        assert!(off.contains(&name) || expected.contains(&line), "{name}");
    }
}
