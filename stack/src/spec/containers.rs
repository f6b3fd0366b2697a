//! The container of each component.
//!
//! The engine adds what all have: no capabilities but those of `cap_add`, `no-new-privileges`, rotation of logs, restart unless stopped.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use super::{
    ALERTMANAGER_ETC, DATA_FOLDER, DISCOVERY_NETWORK, GRAFANA_DASHBOARDS_ETC, GRAFANA_PROMETHEUS_PASSWORD,
    OVERLAY, PROMETHEUS_ETC, PROMETHEUS_PORT, PROMTOOL_FILE, USER, config, files, labels, password_file,
};
use crate::desired::{Attachment, ContainerSpec, Health, LABEL_COMPONENT, Mount, Publish};
use crate::{Component, Facts, Options};

pub(super) const MIB: u64 = 1 << 20;
/// Limits grow with the host's memory in steps of this, so that a host whose memory differs by a page after an update keeps its
/// containers.
const MEMORY_STEP: u64 = 128 * MIB;
/// Where cAdvisor looks for containerd.
const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";
pub(super) const NODE_EXPORTER_WEB: &str = "/etc/node_exporter/web.yml";
pub(super) const CADVISOR_HTPASSWD: &str = "/etc/cadvisor.htpasswd";
const PUSHGATEWAY_WEB: &str = "/etc/pushgateway/web.yml";

/// The specification of a component's container.
pub(super) fn container(component: Component, options: &Options, facts: &Facts) -> ContainerSpec {
    match component {
        Component::Prometheus => prometheus(options, facts),
        Component::NodeExporter => node_exporter(options, facts),
        Component::Cadvisor => cadvisor(options, facts),
        Component::Alertmanager => alertmanager(options, facts),
        Component::Pushgateway => pushgateway(options, facts),
        Component::Grafana => grafana(options, facts),
        Component::Discovery => discovery(facts),
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
    let mut networks = facts.platform_networks.clone();
    networks.extend(
        options
            .has(Component::Discovery)
            .then(|| DISCOVERY_NETWORK.to_owned()),
    );
    networks.extend(options.services().next().map(|_| OVERLAY.to_owned()));
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
        attachment: Attachment::Networks(networks),
        mounts: vec![
            bind(&facts.base_dir, PROMETHEUS_ETC),
            writable(&facts.base_dir.join(DATA_FOLDER), "/prometheus"),
        ],
        publish: published(Component::Prometheus, options),
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
    let test = asks_for_a_password(&at);
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
            bind(&own_file("node-exporter-web.yml", facts), NODE_EXPORTER_WEB),
        ],
        env: vec!["GOMEMLIMIT=115MiB".to_owned()],
        memory_bytes: share(128 * MIB, 128 * MIB, 128 * MIB),
        milli_cpus: 500,
        pids: 128,
        health: Some(test),
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
        bind(&own_file("cadvisor.htpasswd", facts), CADVISOR_HTPASSWD),
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

/// What the small servers have alike that Prometheus' own toolkit guards.
fn small_server(component: Component, options: &Options, facts: &Facts) -> ContainerSpec {
    ContainerSpec {
        env: vec!["GOMEMLIMIT=115MiB".to_owned()],
        publish: published(component, options),
        memory_bytes: share(128 * MIB, 128 * MIB, 128 * MIB),
        milli_cpus: 500,
        pids: 128,
        health: Some(asks_for_a_password(&format!("127.0.0.1:{}", component.port()))),
        ..base(component, facts)
    }
}

/// Alone: it looks for no others of its kind.
fn alertmanager(options: &Options, facts: &Facts) -> ContainerSpec {
    let component = Component::Alertmanager;
    ContainerSpec {
        command: vec![
            format!("--config.file={ALERTMANAGER_ETC}/alertmanager.yml"),
            format!("--web.config.file={ALERTMANAGER_ETC}/web.yml"),
            "--storage.path=/alertmanager".to_owned(),
            // Links in notifications would name the container's id.
            format!("--web.external-url=http://127.0.0.1:{}", options.port(component)),
            "--cluster.listen-address=".to_owned(),
        ],
        mounts: vec![
            bind(&own_file(files::ALERTMANAGER_FOLDER, facts), ALERTMANAGER_ETC),
            writable(&own_file(files::ALERTMANAGER_DATA, facts), "/alertmanager"),
        ],
        ..small_server(component, options, facts)
    }
}

fn pushgateway(options: &Options, facts: &Facts) -> ContainerSpec {
    let component = Component::Pushgateway;
    ContainerSpec {
        command: vec![
            format!("--web.config.file={PUSHGATEWAY_WEB}"),
            "--persistence.file=/pushgateway/metrics".to_owned(),
            "--persistence.interval=1m".to_owned(),
        ],
        mounts: vec![
            bind(&own_file("pushgateway-web.yml", facts), PUSHGATEWAY_WEB),
            writable(&own_file(files::PUSHGATEWAY_DATA, facts), "/pushgateway"),
        ],
        ..small_server(component, options, facts)
    }
}

/// It asks nobody outside: no telemetry, no look for updates, no plugins, no pictures of users.
fn grafana(options: &Options, facts: &Facts) -> ContainerSpec {
    const ADMIN_PASSWORD: &str = "/run/secrets/admin";
    let component = Component::Grafana;
    let settings = [
        ("SECURITY_ADMIN_USER", USER),
        ("SECURITY_ADMIN_PASSWORD__FILE", ADMIN_PASSWORD),
        ("SECURITY_DISABLE_GRAVATAR", "true"),
        (
            "SERVER_ROOT_URL",
            &format!("http://127.0.0.1:{}", options.port(component)),
        ),
        ("USERS_ALLOW_SIGN_UP", "false"),
        ("ANALYTICS_REPORTING_ENABLED", "false"),
        ("ANALYTICS_CHECK_FOR_UPDATES", "false"),
        ("ANALYTICS_CHECK_FOR_PLUGIN_UPDATES", "false"),
        ("ANALYTICS_FEEDBACK_LINKS_ENABLED", "false"),
        ("NEWS_NEWS_FEED_ENABLED", "false"),
        ("PLUGINS_PREINSTALL_DISABLED", "true"),
        ("PLUGINS_PUBLIC_KEY_RETRIEVAL_DISABLED", "true"),
        ("SNAPSHOTS_EXTERNAL_ENABLED", "false"),
        // They would be shown to whoever asks.
        ("METRICS_ENABLED", "false"),
    ];
    ContainerSpec {
        user: Some(format!("{}:0", component.uid())),
        env: settings
            .iter()
            .map(|(name, value)| format!("GF_{name}={value}"))
            .collect(),
        mounts: vec![
            bind(&own_file(password_file(component), facts), ADMIN_PASSWORD),
            bind(
                &own_file(files::DATASOURCE_PASSWORD, facts),
                GRAFANA_PROMETHEUS_PASSWORD,
            ),
            bind(
                &own_file(files::GRAFANA_DATASOURCES, facts),
                "/etc/grafana/provisioning/datasources",
            ),
            bind(
                &own_file(files::GRAFANA_DASHBOARDS, facts),
                GRAFANA_DASHBOARDS_ETC,
            ),
            writable(&own_file(files::GRAFANA_DATA, facts), "/var/lib/grafana"),
        ],
        tmpfs: vec![PathBuf::from("/tmp")],
        publish: published(component, options),
        memory_bytes: share(facts.memory_bytes / 8, 512 * MIB, 1024 * MIB),
        milli_cpus: 1000,
        health: Some(answers(&format!("127.0.0.1:{}/api/health", component.port()))),
        ..base(component, facts)
    }
}

/// It passes on what docker_sd asks: the lists of containers and networks, and the version of the engine's API; and where there is a
/// swarm, what dockerswarm_sd asks: those of services, tasks and nodes. Nothing that changes anything. Its image keeps its configuration in `/tmp` and its process id in `/run`.
fn discovery(facts: &Facts) -> ContainerSpec {
    let component = Component::Discovery;
    let mut allowed = vec!["CONTAINERS", "NETWORKS", "PING"];
    if facts.is_swarm_manager {
        allowed.extend(["SERVICES", "TASKS", "NODES"]);
    }
    let refused = ["POST", "EVENTS", "VERSION"];
    let env = allowed.into_iter().map(|name| format!("{name}=1"));
    ContainerSpec {
        user: None,
        env: env
            .chain(refused.map(|name| format!("{name}=0")))
            .chain(["LOG_LEVEL=warning".to_owned()])
            .collect(),
        attachment: Attachment::Only(DISCOVERY_NETWORK.to_owned()),
        mounts: vec![bind(&facts.docker_socket, "/var/run/docker.sock")],
        tmpfs: vec![PathBuf::from("/run"), PathBuf::from("/tmp")],
        memory_bytes: share(128 * MIB, 128 * MIB, 128 * MIB),
        milli_cpus: 500,
        pids: 64,
        health: Some(answers(&format!("127.0.0.1:{}/_ping", component.port()))),
        ..base(component, facts)
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

pub(super) fn bind(source: &Path, target: &str) -> Mount {
    Mount {
        source: source.to_owned(),
        target: PathBuf::from(target),
        read_only: true,
        slave: false,
    }
}

fn writable(source: &Path, target: &str) -> Mount {
    Mount {
        read_only: false,
        ..bind(source, target)
    }
}

/// The host's whole tree. As a slave it sees what is mounted later, and does not keep busy what is unmounted.
fn root(target: &str, facts: &Facts) -> Mount {
    Mount {
        slave: facts.root_is_shared,
        ..bind(Path::new("/"), target)
    }
}

fn own_file(path: impl AsRef<Path>, facts: &Facts) -> PathBuf {
    facts.base_dir.join(path)
}

/// Its own port in its container, on the host's loopback at the port that is wanted.
fn published(component: Component, options: &Options) -> Vec<Publish> {
    vec![Publish {
        host_ip: Ipv4Addr::LOCALHOST,
        host_port: options.port(component),
        container_port: component.port(),
    }]
}

/// That it asks for a password shows that it is well, and takes none: nothing to hide, nothing to read.
fn asks_for_a_password(at: &str) -> Health {
    health(&[
        "CMD-SHELL",
        &format!("wget -O /dev/null http://{at}/ 2>&1 | grep -q ' 401 '"),
    ])
}

fn answers(at: &str) -> Health {
    health(&["CMD-SHELL", &format!("wget -q -O /dev/null http://{at}")])
}
