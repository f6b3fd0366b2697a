//! A [`ServiceSpec`] in the engine's words: a container on every node, with what all containers of ours have as far as a service can.

use std::collections::HashMap;

use bollard::models::{
    EndpointSpec, EndpointSpecModeEnum, Limit, NetworkAttachmentConfig, ServiceSpec as ApiService,
    ServiceSpecMode, ServiceSpecUpdateConfig, ServiceSpecUpdateConfigFailureActionEnum,
    ServiceSpecUpdateConfigOrderEnum, TaskSpec, TaskSpecContainerSpec, TaskSpecContainerSpecFile,
    TaskSpecContainerSpecPrivileges, TaskSpecContainerSpecSecrets, TaskSpecLogDriver, TaskSpecPlacement,
    TaskSpecResources, TaskSpecRestartPolicy, TaskSpecRestartPolicyConditionEnum,
};

use super::body;
use crate::desired::{Attachment, LABEL_SPEC, ServiceSpec};

/// Between the end of a container and the next one in its place.
const RESTART_DELAY_NS: i64 = 5_000_000_000;
/// How long a new container is watched before the update goes on.
const MONITOR_NS: i64 = 5_000_000_000;
/// No node has this id: a service with this constraint runs nowhere.
pub(super) const STOPPED: &str = "node.id==stopped";

/// The body of the request that makes or updates it. `secret_id` gives the id of a secret by its name, `network` that of a network.
pub(super) fn of(
    spec: &ServiceSpec,
    secret_id: impl Fn(&str) -> Option<String>,
    network_id: String,
) -> ApiService {
    let mut labels: HashMap<String, String> = spec.container.labels.clone().into_iter().collect();
    labels.insert(LABEL_SPEC.to_owned(), spec.fingerprint());
    let is_in_overlay = spec.container.attachment != Attachment::Host;
    ApiService {
        name: Some(spec.name().to_owned()),
        labels: Some(labels),
        task_template: Some(TaskSpec {
            container_spec: Some(container(spec, secret_id)),
            resources: Some(TaskSpecResources {
                limits: Some(Limit {
                    nano_cpus: Some(spec.container.milli_cpus.saturating_mul(1_000_000)),
                    memory_bytes: Some(spec.container.memory_bytes),
                    pids: Some(spec.container.pids),
                }),
                ..Default::default()
            }),
            restart_policy: Some(TaskSpecRestartPolicy {
                condition: Some(TaskSpecRestartPolicyConditionEnum::ANY),
                delay: Some(RESTART_DELAY_NS),
                ..Default::default()
            }),
            placement: Some(TaskSpecPlacement {
                constraints: Some(Vec::new()),
                ..Default::default()
            }),
            force_update: Some(0),
            networks: Some(vec![NetworkAttachmentConfig {
                target: Some(network_id),
                ..Default::default()
            }]),
            log_driver: Some(TaskSpecLogDriver {
                name: Some("json-file".to_owned()),
                options: Some(body::log_options()),
            }),
            ..Default::default()
        }),
        mode: Some(ServiceSpecMode {
            global: Some(HashMap::new()),
            ..Default::default()
        }),
        update_config: Some(ServiceSpecUpdateConfig {
            // All nodes at once: what they do not measure for a moment, none of them does.
            parallelism: Some(0),
            failure_action: Some(ServiceSpecUpdateConfigFailureActionEnum::PAUSE),
            monitor: Some(MONITOR_NS),
            // Two of them cannot listen at one address.
            order: Some(ServiceSpecUpdateConfigOrderEnum::STOP_FIRST),
            ..Default::default()
        }),
        // Each container is asked at its own address: a virtual one would want ip_vs of the kernel.
        endpoint_spec: is_in_overlay.then_some(EndpointSpec {
            mode: Some(EndpointSpecModeEnum::DNSRR),
            ports: None,
        }),
        ..Default::default()
    }
}

fn container(spec: &ServiceSpec, secret_id: impl Fn(&str) -> Option<String>) -> TaskSpecContainerSpec {
    let local = &spec.container;
    let secrets = spec.secrets.iter().map(|secret| TaskSpecContainerSpecSecrets {
        file: Some(TaskSpecContainerSpecFile {
            name: Some(body::text(&secret.target)),
            uid: Some(secret.access.uid.to_string()),
            gid: Some(secret.access.gid.to_string()),
            mode: Some(secret.access.mode),
        }),
        secret_id: secret_id(&secret.name),
        secret_name: Some(secret.name.clone()),
    });
    TaskSpecContainerSpec {
        image: Some(local.image.clone()),
        command: Some(spec.entrypoint.clone()).filter(|words| !words.is_empty()),
        args: Some(local.command.clone()),
        env: Some(local.env.clone()),
        user: local.user.clone(),
        read_only: Some(local.read_only),
        mounts: Some(local.mounts.iter().map(body::mount).collect()),
        stop_signal: spec.stop_signal.clone(),
        stop_grace_period: Some(i64::from(local.stop_timeout_s) * 1_000_000_000),
        health_check: local.health.as_ref().map(body::health),
        secrets: Some(secrets.collect()),
        capability_add: Some(
            local
                .cap_add
                .iter()
                .map(|capability| format!("CAP_{capability}"))
                .collect(),
        ),
        capability_drop: Some(vec!["ALL".to_owned()]),
        // Older engines do not know of it, and pass over it.
        privileges: Some(TaskSpecContainerSpecPrivileges {
            no_new_privileges: Some(true),
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Component, spec};

    #[test]
    fn a_service_is_sent_whole() {
        let (options, facts) = spec::of_a_swarm();
        let swarm = spec::desired(&options, &facts).swarm.expect("a swarm");
        let wanted = swarm
            .services
            .iter()
            .find(|service| service.name() == Component::Cadvisor.container());
        let cadvisor = wanted.expect("cAdvisor");
        let id = |name: &str| Some(format!("id of {name}"));
        let body = serde_json::to_value(of(cadvisor, id, "net1".to_owned())).expect("JSON");
        assert_eq!(body["Mode"], serde_json::json!({"Global": {}}));
        assert_eq!(body["EndpointSpec"], serde_json::json!({"Mode": "dnsrr"}));
        assert_eq!(body["Labels"][LABEL_SPEC], cadvisor.fingerprint());
        assert_eq!(body["Labels"]["masthead.node"], "n1");
        let task = &body["TaskTemplate"];
        assert_eq!(task["Networks"][0]["Target"], "net1");
        assert_eq!(task["Resources"]["Limits"]["Pids"], 256);
        let container = &task["ContainerSpec"];
        assert_eq!(
            container["CapabilityAdd"],
            serde_json::json!(["CAP_DAC_READ_SEARCH"])
        );
        assert_eq!(container["CapabilityDrop"], serde_json::json!(["ALL"]));
        assert_eq!(container["ReadOnly"], true);
        assert_eq!(
            container["Privileges"],
            serde_json::json!({"NoNewPrivileges": true})
        );
        assert_eq!(container["HealthCheck"]["Test"][0], "NONE");
        assert_eq!(container["Command"], serde_json::Value::Null);
        let name = &swarm.secrets.last().expect("a secret").name;
        assert_eq!(
            container["Secrets"][0],
            serde_json::json!({
                "File": {"Name": "/etc/cadvisor.htpasswd", "UID": "0", "GID": "0", "Mode": 0o400},
                "SecretID": format!("id of {name}"), "SecretName": name
            })
        );
        // The root of a node may be no shared mount: how `/` is mounted is the node's own affair.
        assert_eq!(container["Mounts"][0]["BindOptions"], serde_json::Value::Null);
    }
}
