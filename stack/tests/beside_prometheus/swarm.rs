//! The nodes of a swarm, as a real Prometheus finds them behind a manager's answers: nodes that are there, out of reach, drained, and what
//! is in other networks. On a real swarm the tests of the whole program find them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use serde_json::Value;
use stack::spec::{self, desired};
use stack::{Component, Swarm};

use super::{facts, free_port, get, options, password, peer, start_prometheus, until, write};

/// A task of the manager's answer: its node, what is wanted of it, what it is, its network and address; and what `up` is called that
/// has to come of it.
type Task = (
    &'static str,
    &'static str,
    &'static str,
    (&'static str, &'static str),
    Option<&'static str>,
);

const TASKS: &[Task] = &[
    (
        "web-1",
        "running",
        "running",
        ("masthead-swarm", "10.0.9.1"),
        Some("web-1 10.0.9.1"),
    ),
    (
        "web-2",
        "running",
        "running",
        ("masthead-swarm", "10.0.9.2"),
        Some("web-2 10.0.9.2"),
    ),
    // The one before it has ended.
    (
        "web-2",
        "shutdown",
        "failed",
        ("masthead-swarm", "10.0.9.3"),
        None,
    ),
    // Its node is out of reach: it is down, and not gone.
    (
        "dead",
        "shutdown",
        "running",
        ("masthead-swarm", "10.0.9.4"),
        Some("dead 10.0.9.4"),
    ),
    // Drained, and about to end.
    (
        "drained",
        "shutdown",
        "running",
        ("masthead-swarm", "10.0.9.5"),
        None,
    ),
    ("web-1", "running", "running", ("ingress", "10.0.0.6"), None),
];

/// Answers as a swarm's manager does through the socket's proxy.
fn serve_swarm() -> u16 {
    let state = |node: &str| if node == "dead" { "down" } else { "ready" };
    let nodes: Vec<_> = ["web-1", "web-2", "dead", "drained"]
        .map(|name| {
            serde_json::json!({
                "ID": name, "Description": {"Hostname": name, "Platform": {}, "Engine": {}},
                "Spec": {"Role": "worker", "Availability": "active"}, "Status": {"State": state(name), "Addr": "10.1.0.1"}
            })
        })
        .into();
    let networks: Vec<_> = ["masthead-swarm", "ingress"]
        .map(|name| serde_json::json!({"Id": name, "Name": name, "Scope": "swarm"}))
        .into();
    let tasks = |service: &str| -> Vec<Value> {
        let task = |(at, (node, desired, state, (network, address), _)): (usize, &Task)| {
            serde_json::json!({
                "ID": format!("{service}-{at}"), "ServiceID": service, "NodeID": node, "DesiredState": desired,
                "Status": {"State": state, "ContainerStatus": {"ContainerID": "c"}}, "Spec": {"ContainerSpec": {}},
                "NetworksAttachments": [{"Network": {"ID": network}, "Addresses": [format!("{address}/24")]}]
            })
        };
        TASKS.iter().enumerate().map(task).collect()
    };
    let services = ["masthead-cadvisor", "masthead-node-exporter-relay"];
    let answers: Vec<(String, String)> = services
        .iter()
        .map(|service| (format!("tasks?filters={service}"), tasks(service)))
        .chain([("nodes".to_owned(), nodes), ("networks".to_owned(), networks)])
        .map(|(what, list)| (what, Value::from(list).to_string()))
        .collect();
    let known: Vec<_> = services
        .map(|name| serde_json::json!({"ID": name, "Spec": {"Name": name, "Mode": {"Global": {}}}, "Endpoint": {}}))
        .into();
    let known = Value::from(known).to_string();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let mut request = [0; 4096];
            let read = socket.read(&mut request).unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..read]).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default();
            let is_asked = |(what, _): &&(String, String)| match what.split_once("?filters=") {
                Some((what, name)) => path.contains(&format!("/{what}?")) && path.contains(name),
                None => path.contains(&format!("/{what}")),
            };
            let body = match answers.iter().find(is_asked) {
                Some((_, body)) => body,
                None if path.contains("/services") => &known,
                None => "OK",
            };
            let _ = write!(
                socket,
                "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
                body.len(),
                if request.starts_with("HEAD") { "" } else { body }
            );
        }
    });
    port
}

#[test]
fn a_real_prometheus_finds_a_swarms_nodes_by_their_tasks() {
    let Some(prometheus) = peer("prometheus") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    let facts = facts(&base);
    let mut options = options();
    options.swarm = Some(Swarm::default());
    options.ports = [(Component::Cadvisor, 8081), (Component::NodeExporter, 9101)].into();
    let wanted = desired(&options, &facts);
    write(&wanted, &base);
    let config = base.join("prometheus.yml");
    let text = fs::read_to_string(&config).unwrap();
    let proxy = format!("127.0.0.1:{}", serve_swarm());
    fs::write(&config, text.replace("masthead-docker-proxy:2375", &proxy)).unwrap();
    let (port, log) = (free_port(), dir.path().join("prometheus.log"));
    let _prometheus = start_prometheus(&prometheus, &wanted, &base, (port, 1), &log);

    let mut want = Vec::new();
    for found in TASKS.iter().filter_map(|(.., found)| *found) {
        let (node, address) = found.split_once(' ').unwrap();
        // The relay's port is its own; that of cAdvisor moves.
        want.push(format!(
            "cadvisor {node}:8080 {node} http://{address}:8081/metrics"
        ));
        want.push(format!(
            "node-exporter {node}:9100 {node} http://{address}:9100/metrics"
        ));
    }
    want.sort();
    let own = format!("{}:{}", spec::USER, password(&facts, Component::Prometheus));
    let found = || -> Vec<String> {
        let (_, body) = get(port, "/api/v1/targets?state=active", Some(&own));
        let json: Value = serde_json::from_str(&body).unwrap_or_default();
        let targets = json["data"]["activeTargets"].as_array().cloned();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut found: Vec<String> = targets
            .unwrap_or_default()
            .iter()
            .filter(|target| target["scrapePool"] != "prometheus")
            .map(|target| {
                let [job, instance, node] =
                    ["job", "instance", "node"].map(|label| text(&target["labels"][label]));
                format!("{job} {instance} {node} {}", text(&target["scrapeUrl"]))
            })
            .collect();
        found.sort();
        found
    };
    until(&log, found, |found| *found == want);
}
