//! Host metrics beside a running node_exporter on the same machine: same names, types, help and labels; values equal
//! where they stand still, and between two readings of node_exporter (or near them) where they move.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use super::Outcome;
use crate::server::{self, Server, TempDir};
use crate::{http, peers};

/// The collectors that both have.
const COLLECTORS: &[&str] = &[
    "cpu",
    "meminfo",
    "loadavg",
    "filesystem",
    "diskstats",
    "netdev",
    "netstat",
    "sockstat",
    "stat",
    "uname",
    "time",
    "vmstat",
    "pressure",
    "filefd",
];

/// What node_exporter says about itself, which is no metric of the host.
const ITS_OWN: &[&str] = &[
    "node_exporter_build_info",
    "node_scrape_collector_duration_seconds",
    "node_scrape_collector_success",
];

/// Gauges that count a few things that come and go: how far they may be off.
const RESTLESS: &[(&str, f64)] = &[
    ("node_procs_", 60.0),
    ("node_sockstat_", 60.0),
    ("node_netstat_Tcp_CurrEstab", 60.0),
    ("node_filefd_allocated", 3000.0),
    ("node_load", 4.0),
    ("node_disk_io_now", 64.0),
    ("node_pressure_", 5.0),
    ("node_time_seconds", 30.0),
];

/// Metrics of one reading.
#[derive(Debug, Default, PartialEq)]
struct Exposition {
    /// By name: type and help.
    families: BTreeMap<String, (String, String)>,
    /// By name and labels as written.
    samples: BTreeMap<String, f64>,
}

/// The case.
pub(super) fn beside_node_exporter() -> Result<Outcome> {
    let program = match peers::program("node_exporter") {
        Ok(program) => program,
        Err(why) => return Ok(Outcome::Missing(why)),
    };
    let folder = TempDir::new("host")?;
    let address = format!("127.0.0.1:{}", server::free_port()?);
    let mut command = Command::new(program);
    command
        .arg(format!("--web.listen-address={address}"))
        .args(["--collector.disable-defaults", "--web.disable-exporter-metrics"]);
    command.args(COLLECTORS.iter().map(|name| format!("--collector.{name}")));
    let mut exporter = Server::spawn(&mut command, &address, &folder.path().join("exporter.log"))?;
    exporter.wait_ready("/metrics")?;
    let ours = server::masthead(&folder.path().join("data"), &[])?;
    let before = parse(&http::get(&exporter.address, "/metrics")?.text());
    // Masthead may show its last tick: one lies between the two readings.
    std::thread::sleep(Duration::from_secs(16));
    let got = parse(&http::get(&ours.address, "/metrics/node")?.text());
    let after = parse(&http::get(&exporter.address, "/metrics")?.text());
    let differences = compare(&got, &before, &after);
    if differences.is_empty() {
        println!(
            "     {} series of {} metrics",
            before.samples.len(),
            before.families.len()
        );
        return Ok(Outcome::Passed);
    }
    bail!(
        "{} differences:\n       {}",
        differences.len(),
        differences.join("\n       ")
    );
}

/// Reads text exposition; good enough for two exporters that write it well.
fn parse(text: &str) -> Exposition {
    let mut exposition = Exposition::default();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
            exposition.families.entry(name.into()).or_default().1 = help.into();
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            exposition.families.entry(name.into()).or_default().0 = kind.trim().into();
        } else if let Some((series, value)) = line.rsplit_once(' ').filter(|_| !line.starts_with('#')) {
            let series = comparable(series.trim());
            exposition
                .samples
                .insert(series, value.parse().unwrap_or(f64::NAN));
        }
    }
    let is_host = |name: &str| name.starts_with("node_") && !ITS_OWN.iter().any(|own| name.starts_with(own));
    exposition.families.retain(|name, _| is_host(name));
    exposition.samples.retain(|name, _| is_host(name));
    exposition
}

/// A series without what the versions are known to say differently: 1.11 gives `rotational` of virtio, loop and
/// device-mapper disks as 0, which 1.12 mends (#3686) and we do as 1.12 does.
fn comparable(series: &str) -> String {
    match series.strip_prefix("node_disk_info{") {
        Some(_) => series
            .replace("rotational=\"0\"", "rotational=\"\"")
            .replace("rotational=\"1\"", "rotational=\"\""),
        None => series.into(),
    }
}

/// All that differs, in words.
fn compare(ours: &Exposition, before: &Exposition, after: &Exposition) -> Vec<String> {
    let mut differences = Vec::new();
    for name in ours
        .families
        .keys()
        .filter(|name| !after.families.contains_key(*name))
    {
        differences.push(format!("{name}: node_exporter has no such metric"));
    }
    for (name, (kind, help)) in &after.families {
        match ours.families.get(name) {
            None => differences.push(format!("{name}: missing")),
            Some((our_kind, _)) if our_kind != kind => {
                differences.push(format!("{name}: type {our_kind}, not {kind}"))
            }
            Some((_, our_help)) if our_help != help => {
                differences.push(format!("{name}: help {our_help:?}, not {help:?}"))
            }
            Some(_) => {}
        }
    }
    // A series that came or went between the two readings may be there or not.
    let steady: BTreeSet<&String> = before
        .samples
        .keys()
        .filter(|key| after.samples.contains_key(*key))
        .collect();
    for key in ours
        .samples
        .keys()
        .filter(|key| !before.samples.contains_key(*key) && !after.samples.contains_key(*key))
    {
        differences.push(format!("{key}: node_exporter has no such series"));
    }
    for key in steady {
        let Some(value) = ours.samples.get(key) else {
            differences.push(format!("{key}: missing"));
            continue;
        };
        let (low, high) = (before.samples.get(key).copied(), after.samples.get(key).copied());
        let (Some(a), Some(b)) = (low, high) else { continue };
        if !is_near(key, *value, a, b) {
            differences.push(format!("{key}: {value}, node_exporter {a} before and {b} after"));
        }
    }
    differences
}

/// Is a value between two readings, or as near as its kind allows?
fn is_near(key: &str, value: f64, before: f64, after: f64) -> bool {
    if value.is_nan() || before.is_nan() || after.is_nan() {
        return value.is_nan() && before.is_nan();
    }
    let restless = RESTLESS
        .iter()
        .find(|(prefix, _)| key.starts_with(prefix))
        .map_or(0.0, |(_, slack)| *slack);
    let is_counter = key.split('{').next().is_some_and(|name| name.ends_with("_total"));
    let share = match key {
        // Counters only grow, and the readings are in order.
        _ if is_counter => 1e-9,
        // Free memory and space move while a test suite runs.
        _ if key.starts_with("node_memory_") || key.starts_with("node_filesystem_") => 0.25,
        _ => 1e-6,
    };
    let slack = restless + share * before.abs().max(after.abs());
    value >= before.min(after) - slack && value <= before.max(after) + slack
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP node_a A thing.\n# TYPE node_a gauge\nnode_a{x=\"a b\"} 5\n# HELP go_x No.\n# TYPE go_x gauge\n\
        go_x 1\n# HELP node_b_total B.\n# TYPE node_b_total counter\nnode_b_total 1e+06\n";

    #[track_caller]
    fn check(change: (&str, &str), want: Option<&str>) {
        let (before, after) = (parse(TEXT), parse(&TEXT.replace("1e+06", "1.5e+06")));
        let got = compare(&parse(&TEXT.replace(change.0, change.1)), &before, &after);
        match want {
            None => assert_eq!(got, Vec::<String>::new()),
            Some(part) => assert!(got.iter().any(|line| line.contains(part)), "{got:?}"),
        }
    }

    #[test]
    fn only_the_hosts_metrics_are_read() {
        let got = parse(TEXT);
        assert_eq!(
            got.samples.keys().collect::<Vec<_>>(),
            ["node_a{x=\"a b\"}", "node_b_total"]
        );
        assert_eq!(
            got.families.get("node_a"),
            Some(&("gauge".to_string(), "A thing.".to_string()))
        );
    }

    #[test]
    fn each_kind_of_difference_is_found() {
        check(("1e+06", "1.2e+06"), None);
        check(("1e+06", "0.9e+06"), Some("node_b_total: 900000"));
        check(("1e+06", "1.6e+06"), Some("node_b_total: 1600000"));
        check(("} 5", "} 6"), Some("node_a{x=\"a b\"}: 6"));
        check(("A thing.", "Another."), Some("help"));
        check(("node_a gauge", "node_a counter"), Some("type"));
        check(("x=\"a b\"", "y=\"a b\""), Some("missing"));
        check(("node_b_total 1e+06", ""), Some("node_b_total: missing"));
        check(
            ("# HELP node_a", "# TYPE node_c gauge\n# HELP node_a"),
            Some("node_c: node_exporter has no such metric"),
        );
    }
}
