//! What a stack has in a swarm: node_exporter and cAdvisor as global services, and what leads to them.
//!
//! ```text
//! Prometheus -- overlay --+-- cAdvisor                                  of each node
//!                         +-- relay -- docker_gwbridge -- node_exporter of each node, in the node's own network
//! ```
//!
//! node_exporter sees the network that it is in, so it is in the node's, and listens at one address alone: that of the bridge by which
//! containers of overlays leave their node. It differs from node to node, so it is looked for at the start. The relay is in the overlay
//! and hands connections on to it. No service has a health check: each would start a process on every node every few seconds, a task
//! counts as running only after the first one, and that Prometheus scrapes it says as much.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::containers::{self, MIB};
use super::{OVERLAY, RELAY, files, swarm_labels};
use crate::desired::{
    Access, Attachment, ContainerSpec, Health, OverlaySpec, SecretMount, SecretSpec, ServiceSpec, SwarmSpec,
};
use crate::{Component, Facts, Options, options};

/// Where every node's engine is asked: a path of the manager's own says nothing of the others.
const DOCKER_SOCKET: &str = "/run/docker.sock";
/// The engine's folder, where a node has not moved it.
const DOCKER_ROOT: &str = "/var/lib/docker";

/// Starts node_exporter with the flags that follow, on the port before them. After a node has joined, its bridge may take a second.
const LISTEN_AT_BRIDGE: &str = r#"until at="$(ip -o -4 addr show dev docker_gwbridge 2>/dev/null | sed -n '1s/.* inet \([0-9.]*\).*/\1/p')" && [ -n "$at" ]; do
    [ -n "$said" ] || echo "waiting for the address of docker_gwbridge"
    said=1
    sleep 1
done
port="$1"
shift
exec /bin/node_exporter --web.listen-address="$at:$port" "$@""#;

/// Hands connections on to a port of the node: a container of an overlay leaves it by the bridge. One process a connection.
const RELAY_TO_NODE: &str = r#"at="$(ip route show default | sed -n '1s/.* via \([0-9.]*\).*/\1/p')"
[ -n "$at" ] || { echo "there is no default route to the node" >&2; exit 1; }
exec nc -ll -p "$1" -e nc "$at" "$2""#;

/// What a swarm should have; nothing where none is wanted, or both exporters are left out.
pub(super) fn swarm(options: &Options, facts: &Facts) -> Option<SwarmSpec> {
    let options::Swarm { encrypt } = options.swarm?;
    let mut services = Vec::new();
    let mut secrets = Vec::new();
    for component in options.services() {
        let secret = secret(component, facts);
        services.extend(match component {
            Component::Cadvisor => vec![cadvisor(options, facts, &secret)],
            _ => vec![node_exporter(options, facts, &secret), relay(options, facts)],
        });
        secrets.push(secret);
    }
    (!services.is_empty()).then(|| SwarmSpec {
        overlay: OverlaySpec {
            name: OVERLAY.to_owned(),
            encrypted: encrypt,
            labels: swarm_labels(facts),
        },
        secrets,
        services,
    })
}

/// The file with the hash of a component's password.
fn secret(component: Component, facts: &Facts) -> SecretSpec {
    let content = files::hash_content(component, facts).into_bytes();
    let mut name = format!("{}-users-", component.container());
    // Not of the content alone: a backup may be restored on another node of the same swarm.
    let mut digest = Sha256::new();
    for part in [
        facts.node_id.as_bytes(),
        facts.base_dir.as_os_str().as_encoded_bytes(),
        &content,
    ] {
        digest.update(part);
        digest.update([0]);
    }
    for byte in digest.finalize().iter().take(6) {
        name.push_str(&format!("{byte:02x}"));
    }
    SecretSpec {
        name,
        content,
        labels: swarm_labels(facts),
    }
}

fn mounted(secret: &SecretSpec, target: &str, component: Component) -> SecretMount {
    SecretMount {
        name: secret.name.clone(),
        target: PathBuf::from(target),
        access: Access {
            mode: 0o400,
            uid: component.uid(),
            gid: component.uid(),
        },
    }
}

/// A service's container, of what the container of this host would be.
fn container(local: ContainerSpec, facts: &Facts) -> ContainerSpec {
    let mut labels = local.labels;
    labels.extend(swarm_labels(facts));
    ContainerSpec {
        attachment: Attachment::Only(OVERLAY.to_owned()),
        // Not of this host's root alone: it is the engine of each node that knows whether its root is shared.
        mounts: vec![],
        devices: Vec::new(),
        host_pid: false,
        health: Some(Health {
            test: vec!["NONE".to_owned()],
            interval_s: 0,
            timeout_s: 0,
            retries: 0,
            start_period_s: 0,
        }),
        labels,
        ..local
    }
}

fn shell(script: &str, name: &str) -> Vec<String> {
    ["/bin/sh", "-c", script, name].map(str::to_owned).into()
}

fn node_exporter(options: &Options, facts: &Facts, secret: &SecretSpec) -> ServiceSpec {
    let component = Component::NodeExporter;
    let local = containers::container(component, options, facts);
    let command = [
        options.port(component).to_string(),
        "--path.procfs=/host/proc".to_owned(),
        "--path.rootfs=/host".to_owned(),
        "--path.udev.data=/host/run/udev/data".to_owned(),
        format!("--web.config.file={}", containers::NODE_EXPORTER_WEB),
    ];
    ServiceSpec {
        container: ContainerSpec {
            command: command.into(),
            attachment: Attachment::Host,
            mounts: vec![containers::bind(Path::new("/"), "/host")],
            ..container(local, facts)
        },
        entrypoint: shell(LISTEN_AT_BRIDGE, "node_exporter"),
        secrets: vec![mounted(secret, containers::NODE_EXPORTER_WEB, component)],
        stop_signal: None,
    }
}

fn relay(options: &Options, facts: &Facts) -> ServiceSpec {
    let component = Component::NodeExporter;
    let local = containers::container(component, options, facts);
    ServiceSpec {
        container: ContainerSpec {
            name: RELAY.to_owned(),
            command: [component.port(), options.port(component)]
                .map(|port| port.to_string())
                .into(),
            env: Vec::new(),
            memory_bytes: 64 * MIB.cast_signed(),
            milli_cpus: 250,
            pids: 64,
            ..container(local, facts)
        },
        entrypoint: shell(RELAY_TO_NODE, "relay"),
        secrets: Vec::new(),
        // As the first process of its container, nc hears no SIGTERM.
        stop_signal: Some("SIGKILL".to_owned()),
    }
}

/// Without the kernel's log: a service can be given no devices.
///
/// A path that a node lacks is a container that it refuses, and what a node has is not known here: so it is given the node's whole `/run`
/// (which `/rootfs` shows anyway), with the engine's socket in it, and containerd's where there is one.
fn cadvisor(options: &Options, facts: &Facts, secret: &SecretSpec) -> ServiceSpec {
    let component = Component::Cadvisor;
    let local = containers::container(component, options, facts);
    let mut mounts = vec![
        containers::bind(Path::new("/"), "/rootfs"),
        containers::bind(Path::new("/sys"), "/sys"),
        containers::bind(Path::new("/run"), "/run"),
    ];
    if facts.docker_root == Path::new(DOCKER_ROOT) {
        mounts.push(containers::bind(Path::new(DOCKER_ROOT), DOCKER_ROOT));
    }
    let mut command = local.command.clone();
    command.push(format!("-docker=unix://{DOCKER_SOCKET}"));
    ServiceSpec {
        container: ContainerSpec {
            command,
            mounts,
            cap_add: vec!["DAC_READ_SEARCH".to_owned()],
            ..container(local, facts)
        },
        entrypoint: Vec::new(),
        secrets: vec![mounted(secret, containers::CADVISOR_HTPASSWD, component)],
        stop_signal: None,
    }
}
