//! Known amounts of CPU, memory, network and disk come out of PromQL as they went in.

use anyhow::{Result, bail};

use super::{Outcome, Rig, with_rig};

const MIB: f64 = 1_048_576.0;
/// How far off a figure may be, as a share.
const TOLERANCE: f64 = 0.03;

/// What must come out: PromQL, and the value.
type Row = (&'static str, f64);

const AMOUNTS: &[Row] = &[
    ("sum(container_cpu_usage_seconds_total{name=\"cpu\"})", 3.0),
    (
        "sum(container_cpu_user_seconds_total{name=\"cpu\"}) + sum(container_cpu_system_seconds_total{name=\"cpu\"})",
        3.0,
    ),
    ("container_memory_rss{name=\"memory\"}", 200.0 * MIB),
    ("container_memory_usage_bytes{name=\"memory\"}", 200.0 * MIB),
    ("container_memory_working_set_bytes{name=\"memory\"}", 200.0 * MIB),
    (
        "sum(container_network_transmit_bytes_total{name=\"sender\"})",
        64.0 * MIB,
    ),
    (
        "sum(container_network_receive_bytes_total{name=\"receiver\"})",
        64.0 * MIB,
    ),
    ("sum(container_fs_writes_bytes_total{name=\"disk\"})", 96.0 * MIB),
    ("sum(container_fs_reads_bytes_total{name=\"disk\"})", 64.0 * MIB),
];

/// What must be so exactly.
const EXACT: &[Row] = &[
    ("container_spec_memory_limit_bytes{name=\"memory\"}", 512.0 * MIB),
    ("container_spec_cpu_quota{name=\"throttled\"}", 30_000.0),
    ("container_spec_cpu_period{name=\"throttled\"}", 1_000_000.0),
    ("container_spec_cpu_shares{name=\"throttled\"}", 512.0),
    ("container_processes{name=\"family\"}", 4.0),
    ("container_threads{name=\"family\"}", 4.0),
    ("container_threads_max{name=\"family\"}", 64.0),
    // 80 MiB went through it; the kernel may take cold pages of it back at any time.
    ("container_memory_cache{name=\"cache\"} > bool 60e6", 1.0),
    (
        "container_cpu_cfs_throttled_periods_total{name=\"throttled\"} > bool 0",
        1.0,
    ),
    ("container_file_descriptors{name=\"family\"} > bool 3", 1.0),
    (
        "abs(container_start_time_seconds{name=\"family\"} - time()) < bool 60",
        1.0,
    ),
    ("time() - container_last_seen{name=\"family\"} < bool 5", 1.0),
    // The machine is there beside its containers, and is more than any of them.
    ("sum(container_cpu_usage_seconds_total{id=\"/\"}) > bool 3", 1.0),
    (
        "machine_cpu_cores == bool on () count(count by (cpu) (node_cpu_seconds_total))",
        1.0,
    ),
    (
        "machine_memory_bytes == bool on () node_memory_MemTotal_bytes",
        1.0,
    ),
];

/// The case.
pub(in super::super) fn amounts() -> Result<Outcome> {
    with_rig(&[], |rig| {
        start(rig)?;
        rig.settle()?;
        let mut wrong = Vec::new();
        for (promql, wanted) in AMOUNTS {
            let got = rig.value(promql)?;
            let off = got / wanted - 1.0;
            println!(
                "     {promql}: {got:.2}, wanted {wanted:.2}: {:+.2} %",
                off * 100.0
            );
            if off.abs() > TOLERANCE {
                wrong.push(format!("{promql}: {got}, not {wanted}"));
            }
        }
        for (promql, wanted) in EXACT {
            match rig.value(promql) {
                Ok(got) if got == *wanted => {}
                Ok(got) => wrong.push(format!("{promql}: {got}, not {wanted}")),
                Err(error) => wrong.push(format!("{error:#}")),
            }
        }
        labels(rig, &mut wrong)?;
        if wrong.is_empty() {
            return Ok(());
        }
        bail!("{}", wrong.join("\n       "))
    })
}

/// Starts the containers and waits until each has done its work.
fn start(rig: &Rig) -> Result<()> {
    let docker = &rig.docker;
    docker.burn("receiver", &[], &["serve=7000"])?;
    let to = format!(
        "send={}:7000,64m",
        docker.inspect("receiver", ".NetworkSettings.IPAddress")?
    );
    docker.burn("sender", &[], &[&to])?;
    docker.burn("cpu", &["--network", "none"], &["cpu=3"])?;
    let none = ["--network", "none"];
    let memory = [&none[..], &["--memory", "512m"]].concat();
    docker.burn("memory", &memory, &["memory=200m"])?;
    docker.burn("cache", &none, &["cache=80m"])?;
    // A long period: also on a machine so busy that the container gets little, it gets more than its quota.
    let throttled = [
        &none[..],
        &["--cpu-period=1000000", "--cpu-quota=30000", "--cpu-shares=512"],
    ]
    .concat();
    docker.burn("throttled", &throttled, &["cpu=0.09"])?;
    // With cgroup v1 newer kernels count block I/O only where a limit is set; this one is out of reach.
    let limits = [
        "--device-write-bps".to_string(),
        format!("{}:100gb", docker.disk()?),
        "--device-read-bps".to_string(),
        format!("{}:100gb", docker.disk()?),
    ];
    let mut disk = none.to_vec();
    disk.extend(limits.iter().map(String::as_str));
    docker.burn("disk", &disk, &["write=96m", "read=64m"])?;
    docker.run(
        "family",
        &["--network=none", "--pids-limit=64"],
        crate::docker::IMAGE,
        &["sh", "-c", "sleep 1000 & sleep 1000 & sleep 1000 & wait; echo"],
    )?;
    for name in ["sender", "cpu", "memory", "cache", "throttled", "disk"] {
        docker.wait_done(name)?;
    }
    Ok(())
}

/// Who a series is of, in cAdvisor's labels and ours.
fn labels(rig: &Rig, wrong: &mut Vec<String>) -> Result<()> {
    let points = rig.query("container_memory_rss{name=\"memory\"}")?;
    let Some(one) = points.first() else {
        bail!("no container_memory_rss of the container `memory`")
    };
    let id = format!("/docker/{}", rig.docker.inspect("memory", ".Id")?);
    for (label, wanted) in [
        ("id", id.as_str()),
        ("image", crate::docker::IMAGE),
        ("name", "memory"),
        ("app", "memory"),
        ("project", ""),
        ("job", "cadvisor"),
    ] {
        if one.label(label) != wanted {
            wrong.push(format!("{label} is {:?}, not {wanted:?}", one.label(label)));
        }
    }
    if !one.label("instance").ends_with(":8080") {
        wrong.push(format!("instance is {:?}", one.label("instance")));
    }
    Ok(())
}
