//! Our collectors beside a real node_exporter on this very machine: the same families with the same help, type and
//! labels, and values that are equal or have moved on in between.
//!
//! The binary is `$NODE_EXPORTER_BIN`, else the one that `cargo xtask peers` unpacks. Without one, the test says that
//! it was skipped; with `CI=true` that is a failure.

use std::collections::BTreeMap;
use std::env;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use collect::{HostCollector, Options};

/// `rotational` of `node_disk_info` is compared with the kernel's word instead of the peer's: node_exporter 1.11 shows 0
/// whenever any file of a device's `queue` folder is missing, as `io_timeout` is for virtio disks, loop devices and
/// mappings. 1.12 no longer does ("diskstats: Fix rotational queue stats scrape regression", #3686).
const ROTATIONAL: &str = ",rotational=\"";

/// Values that are the same whenever one looks: they must agree to the last digit.
const EQUAL: &[&str] = &[
    "node_boot_time_seconds",
    "node_disk_info",
    "node_filefd_maximum",
    "node_filesystem_device_error",
    "node_filesystem_mount_info",
    "node_filesystem_purgeable_bytes",
    "node_filesystem_readonly",
    "node_filesystem_size_bytes",
    "node_memory_CommitLimit_bytes",
    "node_memory_Hugepagesize_bytes",
    "node_memory_MemTotal_bytes",
    "node_memory_SwapTotal_bytes",
    "node_netstat_Ip_Forwarding",
    "node_time_clocksource_available_info",
    "node_time_clocksource_current_info",
    "node_time_zone_offset_seconds",
    "node_uname_info",
];

/// The peer's own families, which are none of a host's.
const PEERS_OWN: &[&str] = &[
    "go_",
    "process_",
    "promhttp_",
    "node_exporter_build_info",
    "node_scrape_collector_duration",
];

/// Family -> (help line, type line, series -> value).
type Exposition = BTreeMap<String, (String, String, BTreeMap<String, f64>)>;

fn parse(text: &str) -> Exposition {
    let mut families = Exposition::new();
    let mut name = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            name = rest.split(' ').next().unwrap_or_default().to_owned();
            families.entry(name.clone()).or_default().0 = rest.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            families.entry(name.clone()).or_default().1 = rest.to_owned();
        } else if let Some((series, value)) = line.rsplit_once(' ') {
            let value = value.parse().expect("a value is a number");
            families
                .entry(name.clone())
                .or_default()
                .2
                .insert(series.to_owned(), value);
        }
    }
    families.retain(|name, _| !PEERS_OWN.iter().any(|own| name.starts_with(own)));
    families
}

/// A running node_exporter that ends with this value.
struct Peer {
    child: Child,
    port: u16,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Peer {
    fn start(binary: &Path) -> Self {
        // The port is free at this moment; the peer takes it a moment later.
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("a port").port();
        drop(listener);
        let mut command = Command::new(binary);
        command
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--collector.disable-defaults");
        for name in HostCollector::collectors() {
            command.arg(format!("--collector.{name}"));
        }
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("node_exporter starts");
        Self { child, port }
    }

    fn scrape(&self) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        stream
            .write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
            .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.0 200").then(|| body.to_owned())
    }

    fn first_scrape(&self) -> String {
        for _ in 0..100 {
            if let Some(body) = self.scrape() {
                return body;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("node_exporter did not answer on port {} within 10 s", self.port);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test's own settings, not the core's"
)]
fn binary() -> Result<PathBuf, String> {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers/bin/node_exporter");
    let path = env::var("NODE_EXPORTER_BIN").map_or(unpacked, PathBuf::from);
    if path.is_file() {
        return Ok(path);
    }
    let missing = format!("no node_exporter at {}: run `cargo xtask peers`", path.display());
    let ci = env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!ci, "{missing}");
    Err(missing)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the shell's part, which the test plays: it gives the time"
)]
fn ours(host: &mut HostCollector) -> Exposition {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is past 1970");
    let mut text = String::new();
    let now_ms = i64::try_from(now.as_millis()).expect("the clock is before the year 292,000,000");
    model::encode_families(&host.collect(now_ms).families, &mut text);
    parse(&text)
}

/// Takes `rotational` out of the series of `node_disk_info`, and gives device and value of each.
fn take_rotational(families: &mut Exposition) -> Vec<(String, String)> {
    let mut taken = Vec::new();
    let Some(family) = families.get_mut("node_disk_info") else {
        return taken;
    };
    for (series, value) in std::mem::take(&mut family.2) {
        let (head, rest) = series.split_once(ROTATIONAL).expect("a disk has the label");
        let (rotational, tail) = rest.split_once('"').expect("a label ends");
        let device = head.split('"').nth(1).unwrap_or_default();
        taken.push((device.to_owned(), rotational.to_owned()));
        family.2.insert(format!("{head}{tail}"), value);
    }
    taken
}

/// A value read between two others lies between them, give or take what gauges swing.
fn plausible(name: &str, before: f64, ours: f64, after: f64, kind: &str) -> bool {
    if EQUAL.contains(&name) {
        return before.to_bits() == ours.to_bits();
    }
    if kind.ends_with(" counter") {
        // Idle and iowait are estimates that may fall by some ticks.
        return ours >= before - 0.1 && ours <= after + 0.1;
    }
    if name == "node_time_seconds" {
        // Ours is in whole milliseconds.
        return ours >= before - 0.002 && ours <= after + 0.002;
    }
    // Gauges of a busy machine swing: the same order of magnitude shows that unit and field are right.
    let swing = match name {
        _ if name.starts_with("node_memory_") || name.starts_with("node_filesystem_") => 2e8,
        _ if name.starts_with("node_sockstat_") && name.ends_with("_bytes") => 1e7,
        _ if name.starts_with("node_load") => 0.5,
        _ => 100.0,
    };
    let (low, high) = (before.min(after), before.max(after));
    ours >= low * 0.7 - swing && ours <= high * 1.4 + swing
}

/// Everything in which our round differs from the peer's before and after it, and how many samples were compared.
fn compare(before: &Exposition, ours: &Exposition, after: &Exposition) -> (Vec<String>, usize) {
    let mut differences = Vec::new();
    let mut samples = 0;
    for name in before
        .keys()
        .chain(ours.keys().filter(|name| !before.contains_key(*name)))
    {
        let (Some(theirs), Some(own)) = (before.get(name), ours.get(name)) else {
            let whose = if ours.contains_key(name) {
                "only ours"
            } else {
                "only upstream's"
            };
            differences.push(format!("{name}: {whose}"));
            continue;
        };
        if theirs.0 != own.0 || theirs.1 != own.1 {
            let (help, kind) = (&theirs.0, &theirs.1);
            differences.push(format!(
                "{name}: upstream {help:?} {kind:?}, ours {:?} {:?}",
                own.0, own.1
            ));
        }
        for (series, value) in &theirs.2 {
            let Some(own_value) = own.2.get(series) else {
                differences.push(format!("{series}: only upstream's"));
                continue;
            };
            let later = after
                .get(name)
                .and_then(|family| family.2.get(series))
                .unwrap_or(value);
            if !plausible(name, *value, *own_value, *later, &own.1) {
                differences.push(format!(
                    "{series}: upstream {value}, then ours {own_value}, then upstream {later}"
                ));
            }
            samples += 1;
        }
        for series in own.2.keys().filter(|series| !theirs.2.contains_key(*series)) {
            differences.push(format!("{series}: only ours"));
        }
    }
    (differences, samples)
}

#[test]
fn the_same_names_labels_types_and_help_as_a_running_node_exporter() {
    let binary = match binary() {
        Ok(binary) => binary,
        Err(missing) => {
            eprintln!("SKIPPED the_same_names_labels_types_and_help_as_a_running_node_exporter: {missing}");
            return;
        }
    };
    let peer = Peer::start(&binary);
    let mut host = HostCollector::new(&Options::default());
    let _ = peer.first_scrape();
    let _ = ours(&mut host);
    let mut before = parse(&peer.first_scrape());
    let mut ours = ours(&mut host);
    let mut after = parse(&peer.first_scrape());

    take_rotational(&mut before);
    take_rotational(&mut after);
    for (device, rotational) in take_rotational(&mut ours) {
        let file = Path::new("/sys/block")
            .join(device.replace('/', "!"))
            .join("queue/rotational");
        let kernel = std::fs::read_to_string(file).unwrap_or_else(|_| "0".to_owned());
        assert_eq!(rotational, kernel.trim(), "{device}");
    }
    let (differences, samples) = compare(&before, &ours, &after);
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
    assert!(
        samples > 150,
        "only {samples} samples compared: is this node_exporter?"
    );
    eprintln!(
        "compared {samples} samples of {} families with {}",
        before.len(),
        binary.display()
    );
}
