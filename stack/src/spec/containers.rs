//! The container of each component.
//!
//! The engine adds what all have: no capabilities but those of `cap_add`, `no-new-privileges`, rotation of logs, restart unless stopped.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use super::{DATA_FOLDER, PROMETHEUS_ETC, PROMETHEUS_PORT, PROMTOOL_FILE, config, hash_file, labels};
use crate::desired::{Attachment, ContainerSpec, Health, LABEL_COMPONENT, Mount, Publish};
use crate::{Component, Facts, Options};

const MIB: u64 = 1 << 20;
/// Limits grow with the host's memory in steps of this, so that a host whose memory differs by a page after an update keeps its
/// containers.
const MEMORY_STEP: u64 = 128 * MIB;
/// Where cAdvisor looks for containerd.
const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";
const NODE_EXPORTER_WEB: &str = "/etc/node_exporter/web.yml";
const CADVISOR_HTPASSWD: &str = "/etc/cadvisor.htpasswd";

/// The specification of a component's container.
pub(super) fn container(component: Component, options: &Options, facts: &Facts) -> ContainerSpec {
    match component {
        Component::Prometheus => prometheus(options, facts),
        Component::NodeExporter => node_exporter(options, facts),
        Component::Cadvisor => cadvisor(options, facts),
    }
}

/// What they have in common.
fn base(component: Component, facts: &Facts) -> ContainerSpec {
    let mut labels = labels(&facts.base_dir);
    labels.insert(LABEL_COMPONENT.to_owned(), component.to_string());
    ContainerSpec {
        component,
        name: component.container().to_owned(),
        image: component.image().to_owned(),
        command: Vec::new(),
        user: Some(format!("{0}:{0}", component.uid())),
        env: Vec::new(),
        attachment: Attachment::Networks(Vec::new()),
        host_pid: false,
        mounts: Vec::new(),
        devices: Vec::new(),
        tmpfs: Vec::new(),
        publish: Vec::new(),
        cap_add: Vec::new(),
        read_only: true,
        memory_bytes: 0,
        milli_cpus: 0,
        pids: 256,
        health: None,
        stop_timeout_s: 10,
        labels,
    }
}

/// A quarter of the host's memory, but 512 MiB to 4 GiB: enough for some hundred thousand series, and a heavy query cannot take the host
/// down. Prometheus itself keeps its heap to nine tenths of what its cgroup allows.
fn prometheus(options: &Options, facts: &Facts) -> ContainerSpec {
    let mut command = vec![
        format!("--config.file={PROMETHEUS_ETC}/prometheus.yml"),
        format!("--web.config.file={PROMETHEUS_ETC}/web.yml"),
        "--storage.tsdb.path=/prometheus".to_owned(),
        format!("--storage.tsdb.retention.time={}", options.retention_time),
        "--web.enable-admin-api".to_owned(),
        // Else links in alerts would name the container's id.
        format!(
            "--web.external-url=http://127.0.0.1:{}",
            options.port(Component::Prometheus)
        ),
    ];
    if let Some(size) = &options.retention_size {
        command.insert(4, format!("--storage.tsdb.retention.size={size}"));
    }
    let test = [
        "CMD",
        "/bin/promtool",
        "check",
        "healthy",
        &format!("--url=http://127.0.0.1:{PROMETHEUS_PORT}"),
        &format!("--http.config.file={PROMETHEUS_ETC}/{PROMTOOL_FILE}"),
    ];
    ContainerSpec {
        command,
        attachment: Attachment::Networks(facts.platform_networks.clone()),
        mounts: vec![
            bind(&facts.base_dir, PROMETHEUS_ETC),
            Mount {
                read_only: false,
                ..bind(&facts.base_dir.join(DATA_FOLDER), "/prometheus")
            },
        ],
        publish: vec![Publish {
            host_ip: Ipv4Addr::LOCALHOST,
            host_port: options.port(Component::Prometheus),
            container_port: PROMETHEUS_PORT,
        }],
        memory_bytes: share(facts.memory_bytes / 4, 512 * MIB, 4096 * MIB),
        // Half of the processors, but one at least.
        milli_cpus: (i64::from(facts.cpus) * 500).max(1000),
        pids: 512,
        health: Some(health(&test)),
        // It writes its head to disk as it ends.
        stop_timeout_s: 60,
        ..base(Component::Prometheus, facts)
    }
}

fn node_exporter(options: &Options, facts: &Facts) -> ContainerSpec {
    let at = format!(
        "{}:{}",
        facts.range.gateway,
        options.port(Component::NodeExporter)
    );
    // That it asks for a password shows that it is well, and takes none: nothing to hide, nothing to read.
    let test = [
        "CMD-SHELL",
        &format!("wget -O /dev/null http://{at}/ 2>&1 | grep -q ' 401 '"),
    ];
    ContainerSpec {
        command: vec![
            "--path.rootfs=/host".to_owned(),
            "--path.udev.data=/host/run/udev/data".to_owned(),
            format!("--web.listen-address={at}"),
            format!("--web.config.file={NODE_EXPORTER_WEB}"),
        ],
        attachment: Attachment::Host,
        host_pid: true,
        mounts: vec![
            root("/host", facts),
            bind(&own_file(Component::NodeExporter, facts), NODE_EXPORTER_WEB),
        ],
        env: vec!["GOMEMLIMIT=115MiB".to_owned()],
        memory_bytes: share(128 * MIB, 128 * MIB, 128 * MIB),
        milli_cpus: 500,
        pids: 128,
        health: Some(health(&test)),
        ..base(Component::NodeExporter, facts)
    }
}

/// Not privileged. It is root in its container, but of root's powers it has two: to read what belongs to other users (else the disk
/// usage of most containers is missing), and the kernel's log (out-of-memory kills).
fn cadvisor(options: &Options, facts: &Facts) -> ContainerSpec {
    let port = options.port(Component::Cadvisor);
    let memory_bytes = share(facts.memory_bytes / 8, 256 * MIB, 1024 * MIB);
    let test = [
        "CMD-SHELL",
        &format!("wget -q -O /dev/null http://127.0.0.1:{port}/healthz"),
    ];
    let mut mounts = vec![
        root("/rootfs", facts),
        bind(Path::new("/sys"), "/sys"),
        bind(&facts.docker_socket, "/var/run/docker.sock"),
        Mount {
            target: facts.docker_root.clone(),
            ..bind(&facts.docker_root, "")
        },
        bind(&own_file(Component::Cadvisor, facts), CADVISOR_HTPASSWD),
    ];
    mounts.extend(
        facts
            .containerd_socket
            .as_ref()
            .map(|socket| bind(socket, CONTAINERD_SOCKET)),
    );
    mounts.extend(
        facts
            .has_dev_disk
            .then(|| bind(Path::new("/dev/disk"), "/dev/disk")),
    );
    let mut cap_add = vec!["DAC_READ_SEARCH".to_owned()];
    cap_add.extend(facts.has_kmsg.then(|| "SYSLOG".to_owned()));
    ContainerSpec {
        command: vec![
            format!("-port={port}"),
            format!("-http_auth_file={CADVISOR_HTPASSWD}"),
            "-http_auth_realm=masthead".to_owned(),
            "-docker_only=false".to_owned(),
            format!(
                "-housekeeping_interval={}",
                housekeeping(options.scrape_interval.millis())
            ),
            "-allow_dynamic_housekeeping=false".to_owned(),
            "-store_container_labels=false".to_owned(),
            format!("-whitelisted_container_labels={}", config::container_labels()),
        ],
        user: None,
        env: vec![format!("GOMEMLIMIT={}", memory_bytes / 10 * 9)],
        mounts,
        devices: facts
            .has_kmsg
            .then(|| PathBuf::from("/dev/kmsg"))
            .into_iter()
            .collect(),
        cap_add,
        memory_bytes,
        milli_cpus: 500,
        health: Some(health(&test)),
        ..base(Component::Cadvisor, facts)
    }
}

/// How often cAdvisor reads each container, in Go's form: two thirds of the scrape interval, so that no scrape meets a reading that it
/// has seen already; at least each half minute, at most each second.
fn housekeeping(scrape_interval_ms: u64) -> String {
    format!("{}ms", (scrape_interval_ms / 3 * 2).clamp(1000, 30_000))
}

fn share(bytes: u64, least: u64, most: u64) -> i64 {
    let bytes = bytes.clamp(least, most).next_multiple_of(MEMORY_STEP);
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn health(test: &[&str]) -> Health {
    Health {
        test: test.iter().map(|word| (*word).to_owned()).collect(),
        interval_s: 30,
        timeout_s: 10,
        retries: 3,
        start_period_s: 60,
    }
}

fn bind(source: &Path, target: &str) -> Mount {
    Mount {
        source: source.to_owned(),
        target: PathBuf::from(target),
        read_only: true,
        slave: false,
    }
}

/// The host's whole tree. As a slave it sees what is mounted later, and does not keep busy what is unmounted.
fn root(target: &str, facts: &Facts) -> Mount {
    Mount {
        slave: facts.root_is_shared,
        ..bind(Path::new("/"), target)
    }
}

fn own_file(component: Component, facts: &Facts) -> PathBuf {
    facts.base_dir.join(hash_file(component))
}
