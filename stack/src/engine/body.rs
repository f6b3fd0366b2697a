//! A [`ContainerSpec`] in the engine's words. What is the same for every container of ours is here: no capabilities but those that
//! the specification names, no new privileges, rotated logs, a restart unless somebody stopped it.

use std::collections::HashMap;
use std::path::Path;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, HealthConfig, HostConfig, HostConfigLogConfig, Mount as ApiMount,
    MountBindOptions, MountBindOptionsPropagationEnum, MountType, PortBinding, PortMap, RestartPolicy,
    RestartPolicyNameEnum,
};

use crate::desired::{Attachment, ContainerSpec, Health, LABEL_SPEC, Mount};

/// One log file of a container.
const LOG_FILE_SIZE: &str = "10m";
/// Log files that are kept.
const LOG_FILES: &str = "3";

/// The body of the request that makes it, in the stack's network alone: before Docker 25 an engine takes one network at a time.
pub(super) fn of(spec: &ContainerSpec, network: &str) -> ContainerCreateBody {
    let mut labels: HashMap<String, String> = spec.labels.clone().into_iter().collect();
    labels.insert(LABEL_SPEC.to_owned(), spec.fingerprint());
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        cmd: Some(spec.command.clone()),
        user: spec.user.clone(),
        env: Some(spec.env.clone()),
        exposed_ports: Some(
            spec.publish
                .iter()
                .map(|publish| tcp(publish.container_port))
                .collect(),
        ),
        healthcheck: spec.health.as_ref().map(health),
        labels: Some(labels),
        stop_timeout: Some(i64::from(spec.stop_timeout_s)),
        host_config: Some(host_config(spec, network)),
        ..Default::default()
    }
}

fn host_config(spec: &ContainerSpec, network: &str) -> HostConfig {
    HostConfig {
        memory: Some(spec.memory_bytes),
        nano_cpus: Some(spec.milli_cpus.saturating_mul(1_000_000)),
        pids_limit: Some(spec.pids),
        mounts: Some(spec.mounts.iter().map(mount).collect()),
        devices: Some(spec.devices.iter().map(|path| device(path)).collect()),
        tmpfs: Some(
            spec.tmpfs
                .iter()
                .map(|path| (text(path), "rw,noexec,nosuid,nodev,size=64m".to_owned()))
                .collect(),
        ),
        port_bindings: Some(ports(spec)),
        network_mode: Some(match spec.attachment {
            Attachment::Host => "host".to_owned(),
            Attachment::Networks(_) => network.to_owned(),
            Attachment::Only(ref network) => network.clone(),
        }),
        pid_mode: spec.host_pid.then(|| "host".to_owned()),
        // Where the engine remaps users, the files that the stack owns would be somebody else's inside.
        userns_mode: Some("host".to_owned()),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(spec.cap_add.clone()),
        security_opt: Some(vec!["no-new-privileges:true".to_owned()]),
        readonly_rootfs: Some(spec.read_only),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::UNLESS_STOPPED),
            maximum_retry_count: None,
        }),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(log_options()),
        }),
        ..Default::default()
    }
}

/// How its log is kept short.
pub(super) fn log_options() -> HashMap<String, String> {
    HashMap::from([
        ("max-size".to_owned(), LOG_FILE_SIZE.to_owned()),
        ("max-file".to_owned(), LOG_FILES.to_owned()),
    ])
}

fn ports(spec: &ContainerSpec) -> PortMap {
    spec.publish
        .iter()
        .map(|publish| {
            let binding = PortBinding {
                host_ip: Some(publish.host_ip.to_string()),
                host_port: Some(publish.host_port.to_string()),
            };
            (tcp(publish.container_port), Some(vec![binding]))
        })
        .collect()
}

/// A typed mount and not a `bind` in short form: for that the engine makes a missing source, as a folder of root's.
pub(super) fn mount(mount: &Mount) -> ApiMount {
    ApiMount {
        target: Some(text(&mount.target)),
        source: Some(text(&mount.source)),
        typ: Some(MountType::BIND),
        read_only: Some(mount.read_only),
        bind_options: mount.slave.then(|| MountBindOptions {
            propagation: Some(MountBindOptionsPropagationEnum::RSLAVE),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn device(path: &Path) -> DeviceMapping {
    DeviceMapping {
        path_on_host: Some(text(path)),
        path_in_container: Some(text(path)),
        cgroup_permissions: Some("r".to_owned()),
    }
}

pub(super) fn health(health: &Health) -> HealthConfig {
    let nanoseconds = |seconds: u64| i64::try_from(seconds.saturating_mul(1_000_000_000)).ok();
    HealthConfig {
        test: Some(health.test.clone()),
        interval: nanoseconds(health.interval_s),
        timeout: nanoseconds(health.timeout_s),
        retries: i64::try_from(health.retries).ok(),
        start_period: nanoseconds(health.start_period_s),
        start_interval: None,
    }
}

fn tcp(port: u16) -> String {
    format!("{port}/tcp")
}

pub(super) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::Ipv4Addr;
    use std::path::PathBuf;

    use super::*;
    use crate::Component;
    use crate::desired::Publish;

    fn spec() -> ContainerSpec {
        ContainerSpec {
            component: Component::Prometheus,
            name: "masthead-prometheus".to_owned(),
            image: "prom/prometheus:v3".to_owned(),
            command: vec!["--config.file=/etc/prometheus/prometheus.yml".to_owned()],
            user: Some("65534:65534".to_owned()),
            env: vec!["A=b".to_owned()],
            attachment: Attachment::Networks(vec!["dokploy-network".to_owned()]),
            host_pid: false,
            mounts: vec![Mount {
                source: PathBuf::from("/base/data"),
                target: PathBuf::from("/prometheus"),
                read_only: false,
                slave: false,
            }],
            devices: vec![PathBuf::from("/dev/kmsg")],
            tmpfs: vec![PathBuf::from("/tmp")],
            publish: vec![Publish {
                host_ip: Ipv4Addr::LOCALHOST,
                host_port: 9091,
                container_port: 9090,
            }],
            cap_add: vec!["SYS_PTRACE".to_owned()],
            read_only: true,
            memory_bytes: 1 << 30,
            milli_cpus: 2000,
            pids: 200,
            health: Some(Health {
                test: vec!["CMD".to_owned(), "true".to_owned()],
                interval_s: 10,
                timeout_s: 5,
                retries: 3,
                start_period_s: 20,
            }),
            stop_timeout_s: 30,
            labels: BTreeMap::from([("masthead.stack".to_owned(), "upstream".to_owned())]),
        }
    }

    #[test]
    fn a_specification_is_sent_whole() {
        let spec = spec();
        let mut body = serde_json::to_value(of(&spec, "masthead")).expect("JSON");
        assert_eq!(body["Labels"][LABEL_SPEC], spec.fingerprint());
        assert_eq!(body["Labels"]["masthead.stack"], "upstream");
        body["Labels"] = serde_json::Value::Null;
        let want = serde_json::json!({
            "Image": "prom/prometheus:v3",
            "Cmd": ["--config.file=/etc/prometheus/prometheus.yml"],
            "User": "65534:65534",
            "Env": ["A=b"],
            "ExposedPorts": body["ExposedPorts"],
            "Healthcheck": {
                "Test": ["CMD", "true"], "Interval": 10_000_000_000_i64, "Timeout": 5_000_000_000_i64, "Retries": 3,
                "StartPeriod": 20_000_000_000_i64
            },
            "Labels": null,
            "StopTimeout": 30,
            "HostConfig": {
                "Memory": 1 << 30,
                "NanoCpus": 2_000_000_000_i64,
                "PidsLimit": 200,
                "Mounts": [{"Target": "/prometheus", "Source": "/base/data", "Type": "bind", "ReadOnly": false}],
                "Devices": [{"PathOnHost": "/dev/kmsg", "PathInContainer": "/dev/kmsg", "CgroupPermissions": "r"}],
                "Tmpfs": {"/tmp": "rw,noexec,nosuid,nodev,size=64m"},
                "PortBindings": {"9090/tcp": [{"HostIp": "127.0.0.1", "HostPort": "9091"}]},
                "NetworkMode": "masthead",
                "UsernsMode": "host",
                "CapDrop": ["ALL"],
                "CapAdd": ["SYS_PTRACE"],
                "SecurityOpt": ["no-new-privileges:true"],
                "ReadonlyRootfs": true,
                "RestartPolicy": {"Name": "unless-stopped"},
                "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}
            }
        });
        assert_eq!(body, want);
        assert!(body["ExposedPorts"].to_string().contains("9090/tcp"));
    }

    #[test]
    fn the_hosts_namespaces_and_mounts_that_follow_it() {
        let mut spec = spec();
        spec.attachment = Attachment::Host;
        spec.host_pid = true;
        spec.mounts[0].slave = true;
        let body = serde_json::to_value(of(&spec, "masthead")).expect("JSON");
        let host = &body["HostConfig"];
        assert_eq!(host["NetworkMode"], "host");
        assert_eq!(host["PidMode"], "host");
        assert_eq!(host["Mounts"][0]["BindOptions"]["Propagation"], "rslave");
    }
}
