//! The scrape config of the applications that ask for it by Docker's labels.
//!
//! A target is found by its container's name, which the engine's resolver knows in every network that the container shares with
//! Prometheus: so the targets of several networks, ports and ways of discovery are one and the same, and of a container that shares none
//! the error says so. In the host's network a container is at the gateway.
//!
//! On a manager of a swarm the labels may be those of the service too, and its tasks run on any node.

use std::fmt::Write as _;

use super::APPS_JOB;
use super::config::{app_rules, relabel};
use crate::{Component, Facts};

/// What docker_sd says of a container begins with this.
const CONTAINER: &str = "__meta_docker_container_";
/// What dockerswarm_sd says of a task begins with this.
pub(super) const SWARM: &str = "__meta_dockerswarm_";

/// Writes it.
pub(super) fn job(text: &mut String, facts: &Facts) {
    // Writing into a string cannot fail.
    let _ = writeln!(text, "  - job_name: {APPS_JOB}");
    discovery(text, facts.is_swarm_manager);
    text.push_str("    relabel_configs:\n");
    // What stands before the names of labels: a later one wins.
    let mut labels = vec![format!("{CONTAINER}label_")];
    if facts.is_swarm_manager {
        labels.extend([
            format!("{SWARM}container_label_"),
            format!("{SWARM}service_label_"),
        ]);
        let asks: Vec<String> = labels
            .iter()
            .map(|prefix| format!("{prefix}prometheus_io_scrape"))
            .collect();
        let _ = write!(
            text,
            "      - source_labels: [{}]\n        regex: (.*;)?true(;.*)?\n        action: keep\n",
            asks.join(", ")
        );
    }
    let name = format!("{CONTAINER}name");
    relabel(text, &name, "/(.+)", "__tmp_name", "");
    if facts.is_swarm_manager {
        task_names(text);
    }
    address(text, &labels, facts);
    app_rules(text, &name, "/(.+)", &format!("{CONTAINER}label_"));
    if facts.is_swarm_manager {
        let stack = format!("{SWARM}service_label_com_docker_stack_namespace");
        relabel(text, &format!("{SWARM}service_name"), "(.+)", "app", "");
        relabel(text, &stack, "(.+)", "project", "");
    }
}

/// Where the engine is asked: its socket's proxy.
pub(super) fn proxy() -> String {
    format!(
        "http://{}:{}",
        Component::Discovery.container(),
        Component::Discovery.port()
    )
}

/// Where the targets come from.
fn discovery(text: &mut String, is_swarm_manager: bool) {
    let proxy = proxy();
    let _ = write!(
        text,
        "    docker_sd_configs:
      - host: {proxy}
        refresh_interval: 15s
        match_first_network: false
        filters:
          - name: label
            values: [prometheus.io/scrape=true]
"
    );
    if is_swarm_manager {
        let _ = write!(
            text,
            "    dockerswarm_sd_configs:
      - host: {proxy}
        role: tasks
        refresh_interval: 15s
        filters:
          - name: desired-state
            values: [running]
"
        );
    }
}

/// The names that the engine gives the containers of tasks: of replicas by their slot, else by the node.
fn task_names(text: &mut String) {
    let of = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| format!("{SWARM}{word}")).collect();
        words.join(", ")
    };
    for (words, regex) in [
        (
            &["service_name", "task_slot", "task_id"][..],
            "([^;]+);([1-9][0-9]*);([^;]+)",
        ),
        (
            &["service_name", "node_id", "task_id", "task_slot"],
            "([^;]+);([^;]+);([^;]+);0",
        ),
    ] {
        relabel(text, &of(words), regex, "__tmp_name", "$1.$2.$3");
    }
}

/// Address, scheme, path and `instance`, by the labels behind these prefixes.
fn address(text: &mut String, labels: &[String], facts: &Facts) {
    relabel(text, "__tmp_name", "(.+)", "__address__", "$1:80");
    for prefix in labels {
        let label = |name: &str| format!("{prefix}prometheus_io_{name}");
        let named = format!("__tmp_name, {}", label("port"));
        relabel(text, &named, "(.+);([0-9]+)", "__address__", "$1:$2");
        relabel(text, &label("scheme"), "(https?)", "__scheme__", "");
        relabel(text, &label("path"), "(/.*)", "__metrics_path__", "");
    }
    relabel(text, "__address__", "(.+)", "instance", "");
    let in_network = "__meta_docker_network_name, __address__";
    let gateway = format!("{}:$1", facts.range.gateway);
    relabel(text, in_network, "host;.+:([0-9]+)", "__address__", &gateway);
}
