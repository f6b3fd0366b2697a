//! How the exporters of a swarm's nodes are: judged by what the swarm says of nodes and tasks. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::{Component, Finding, Level, Options, Swarm, Target, spec};

/// A node of the swarm.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) hostname: String,
    /// `manager` or `worker`.
    pub(crate) role: String,
    /// `ready`, `down`, `unknown` or `disconnected`.
    pub(crate) state: String,
    /// `active`, `pause` or `drain`.
    pub(crate) availability: String,
}

impl Node {
    /// Is something to be expected of it now?
    pub(crate) fn is_expected(&self) -> bool {
        self.state == "ready" && self.availability == "active"
    }
}

/// A container of a service, or the attempt at one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Task {
    /// The node's id.
    pub(crate) node: String,
    /// What the swarm wants of it: `running`, `shutdown`, ...
    pub(crate) desired: String,
    /// What it is: `preparing`, `running`, `rejected`, `failed`, ...
    pub(crate) state: String,
    /// Why it is not what is wanted.
    pub(crate) error: String,
    /// The generation of its service that it is of.
    pub(crate) generation: u64,
}

/// A service of an exporter on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExporterStatus {
    /// Which.
    pub component: Component,
    /// The service.
    pub service: String,
    /// As swarm calls it: `running`, `preparing`, `rejected`, ...; `absent` where there is nothing; `stopped` where that is wanted.
    pub state: String,
    /// What is wrong, with the cure; empty where nothing is.
    pub error: String,
}

/// A node and what runs on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeStatus {
    /// Its name, as in the label `node`.
    pub hostname: String,
    /// `manager` or `worker`.
    pub role: String,
    /// `ready`, `down`, `unknown` or `disconnected`.
    pub state: String,
    /// `active`, `pause` or `drain`.
    pub availability: String,
    /// One a service.
    pub exporters: Vec<ExporterStatus>,
    /// All is as it should be on it, or nothing should be there.
    pub well: bool,
}

/// What was seen of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeenService {
    pub(crate) component: Component,
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) is_stopped: bool,
    /// How often its containers were made anew.
    pub(crate) generation: u64,
    /// The latest first.
    pub(crate) tasks: Vec<Task>,
}

/// What runs is of before an update.
const UPDATING: &str = "updating";

/// The services that these options have, with their components.
pub(crate) fn services(options: &Options) -> Vec<(Component, &'static str)> {
    let of = |component: Component| match component {
        Component::NodeExporter => vec![component.container(), spec::RELAY],
        component => vec![component.container()],
    };
    options
        .services()
        .flat_map(|component| of(component).into_iter().map(move |name| (component, name)))
        .collect()
}

/// How each node is.
pub(crate) fn status(nodes: &[Node], services: &[SeenService]) -> Vec<NodeStatus> {
    nodes
        .iter()
        .map(|node| {
            let exporters: Vec<ExporterStatus> =
                services.iter().map(|service| exporter(node, service)).collect();
            let is_away = node.availability == "drain";
            let is_well = |exporter: &ExporterStatus| match exporter.state.as_str() {
                "running" | "stopped" => true,
                // A paused node keeps what it has, and is given nothing.
                "absent" | UPDATING => node.availability == "pause",
                _ => false,
            };
            NodeStatus {
                hostname: node.hostname.clone(),
                role: node.role.clone(),
                state: node.state.clone(),
                availability: node.availability.clone(),
                well: is_away || node.state == "ready" && exporters.iter().all(is_well),
                exporters,
            }
        })
        .collect()
}

fn exporter(node: &Node, service: &SeenService) -> ExporterStatus {
    let of = |state: &str, error: String| ExporterStatus {
        component: service.component,
        service: service.name.clone(),
        state: state.to_owned(),
        error,
    };
    if service.is_stopped {
        return of("stopped", String::new());
    }
    let mut tasks = service.tasks.iter().filter(|task| task.node == node.id);
    let Some(latest) = tasks.next() else {
        return of("absent", String::new());
    };
    if latest.state == "running" && latest.generation != service.generation && node.state == "ready" {
        return of(UPDATING, String::new());
    }
    if latest.state == "running" {
        // Of a node that is out of reach that is all that is known.
        let state = if node.state == "ready" {
            "running"
        } else {
            "unknown"
        };
        return of(state, String::new());
    }
    // The one that is about to start says nothing of why the one before it ended.
    let why = [latest]
        .into_iter()
        .chain(tasks)
        .take(2)
        .find(|task| !task.error.is_empty() && task.generation == service.generation);
    match why {
        Some(task) if node.is_expected() => {
            let state = match task.state.as_str() {
                // An image that is being fetched now is not one that cannot be had.
                _ if latest.state == "preparing" => latest.state.as_str(),
                "rejected" | "failed" => task.state.as_str(),
                _ => latest.state.as_str(),
            };
            of(
                state,
                format!("{}; {}", task.error, cure(&task.error, service, &node.hostname)),
            )
        }
        _ => of(&latest.state, String::new()),
    }
}

/// What to do about a task that does not run.
fn cure(error: &str, service: &SeenService, hostname: &str) -> String {
    let image = &service.image;
    let has = |words: &[&str]| words.iter().any(|word| error.contains(word));
    if has(&["No such image", "pull access denied", "manifest unknown"]) {
        format!(
            "on {hostname}: `docker pull {image}`, or bring it there with `docker save` and `docker load`; the swarm then starts it by itself"
        )
    } else if let Some((_, path)) = error.split_once("bind source path does not exist: ") {
        format!("on {hostname}: `mkdir -p {path}`; the swarm then starts it by itself")
    } else if has(&["exec format error", "unsupported platform"]) {
        format!("{image} is not made for the architecture of {hostname}")
    } else {
        let more = format!(
            "`docker service ps --no-trunc {0}` and `docker service logs {0}` say more",
            service.name
        );
        match service.name == Component::NodeExporter.container() {
            true => format!(
                "{more}; where another program has its port on {hostname}: `masthead setup --port node-exporter=PORT`"
            ),
            false => more,
        }
    }
}

/// What to do about a target of a node that is down, though the node runs what it should.
pub(crate) fn target_cure(component: Component, target: &Target, options: &Options) -> String {
    let is_silent = ["deadline exceeded", "timeout", "no route to host"]
        .iter()
        .any(|word| target.error.contains(word));
    if !is_silent {
        return format!("masthead status; masthead logs {component}");
    }
    let hostname = target.instance.rsplit_once(':').map_or("it", |(name, _)| name);
    let crossing = match options.swarm {
        Some(Swarm { encrypt: true }) => "4789/udp and ESP (IP protocol 50)",
        _ => "4789/udp",
    };
    let mut cure =
        format!("where {hostname} is another machine, its firewall and ours have to let {crossing} through");
    if component == Component::NodeExporter {
        // Writing into a string cannot fail.
        let _ = write!(
            cure,
            "; where its own drops what containers send to it, on {hostname}: iptables -I INPUT -i docker_gwbridge -p tcp --dport {} -j ACCEPT",
            options.port(component)
        );
    }
    cure
}

/// What will not come right by itself: the services of a node that is expected to run them.
pub(crate) fn failures(nodes: &[NodeStatus]) -> Vec<(&NodeStatus, &ExporterStatus)> {
    nodes
        .iter()
        .filter(|node| node.state == "ready" && node.availability == "active")
        .flat_map(|node| node.exporters.iter().map(move |exporter| (node, exporter)))
        .filter(|(_, exporter)| matches!(exporter.state.as_str(), "rejected" | "failed"))
        .collect()
}

/// Nodes from which nothing is expected, in words.
pub(crate) fn out_of_it(nodes: &[Node]) -> Vec<String> {
    nodes
        .iter()
        .filter(|node| !node.is_expected())
        .map(|node| {
            let how = match node.state.as_str() {
                "ready" => format!("is set to {}", node.availability),
                state => format!("is {state}"),
            };
            format!("node {} {how}: nothing is expected of it now", node.hostname)
        })
        .chain(warnings(nodes))
        .collect()
}

/// What somebody should mend though all runs.
pub(crate) fn warnings(nodes: &[Node]) -> Vec<String> {
    twins(nodes)
        .into_iter()
        .map(|name| {
            format!(
                "more than one node is called {name}, and their series would be one; give each its own name (`hostnamectl set-hostname`), \
                 then restart Docker there"
            )
        })
        .collect()
}

/// Hostnames that several nodes have.
fn twins(nodes: &[Node]) -> Vec<&str> {
    let mut count: BTreeMap<&str, u32> = BTreeMap::new();
    for node in nodes {
        *count.entry(&node.hostname).or_default() += 1;
    }
    count
        .into_iter()
        .filter(|(_, times)| *times > 1)
        .map(|(name, _)| name)
        .collect()
}

/// What `check` says of nodes.
pub(crate) fn findings(nodes: &[Node], status: &[NodeStatus]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for node in status {
        let name = format!("node {}", node.hostname);
        let how = format!("{}, {}, {}", node.role, node.state, node.availability);
        let bad: Vec<String> = node
            .exporters
            .iter()
            .filter(|exporter| !matches!(exporter.state.as_str(), "running" | "stopped"))
            .map(|exporter| match exporter.error.as_str() {
                "" => format!("{} is {}", exporter.service, exporter.state),
                error => format!("{} is {}: {error}", exporter.service, exporter.state),
            })
            .collect();
        findings.push(match (node.well, node.state.as_str()) {
            (true, _) => Finding::ok(&name, how),
            (false, "ready") => Finding::problem(
                &name,
                format!("{how}; {}", bad.join("; ")),
                "look again in a moment; masthead status; masthead setup",
            ),
            (false, _) => Finding::problem(
                &name,
                how,
                "start it or its Docker again; where it is gone for good: docker node rm",
            ),
        });
    }
    findings.extend(twins(nodes).into_iter().map(|name| {
        Finding::new(
            "nodes",
            Level::Warning,
            format!("more than one node is called {name}: their series are mixed up"),
            "give each its own name (hostnamectl set-hostname), then restart Docker there",
        )
    }));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(hostname: &str, state: &str, availability: &str) -> Node {
        Node {
            id: format!("id-{hostname}"),
            hostname: hostname.to_owned(),
            role: "worker".to_owned(),
            state: state.to_owned(),
            availability: availability.to_owned(),
        }
    }

    fn task(hostname: &str, state: &str, error: &str) -> Task {
        Task {
            node: format!("id-{hostname}"),
            desired: "running".to_owned(),
            state: state.to_owned(),
            error: error.to_owned(),
            generation: 0,
        }
    }

    fn service(tasks: Vec<Task>) -> SeenService {
        SeenService {
            component: Component::Cadvisor,
            name: "masthead-cadvisor".to_owned(),
            image: "cadvisor:v1".to_owned(),
            is_stopped: false,
            generation: 0,
            tasks,
        }
    }

    /// A node of this state and availability with these tasks: what its exporter is, whether the node is well, and words of the cure.
    fn check(of: (&str, &str), tasks: Vec<Task>, want: &str, well: bool, words: &str) {
        let status = status(&[node("a", of.0, of.1)], &[service(tasks)]);
        let [node] = status.as_slice() else {
            panic!("one node")
        };
        let exporter = &node.exporters[0];
        assert_eq!((exporter.state.as_str(), node.well), (want, well));
        assert!(exporter.error.contains(words), "{}", exporter.error);
        let fails = !failures(&status).is_empty();
        assert_eq!(fails, matches!(want, "rejected" | "failed"));
    }

    #[test]
    fn a_node_is_judged_by_its_state_and_its_latest_task() {
        let no_image = || task("a", "rejected", "No such image: cadvisor:v1");
        let ended = || task("a", "failed", "task: non-zero exit (1)");
        let is = |state: &str| task("a", state, "");
        let there = ("ready", "active");
        check(there, vec![is("running")], "running", true, "");
        check(there, vec![], "absent", false, "");
        check(there, vec![task("b", "running", "")], "absent", false, "");
        check(there, vec![is("preparing")], "preparing", false, "");
        let pull = "on a: `docker pull cadvisor:v1`";
        check(there, vec![no_image()], "rejected", false, pull);
        let mount =
            "invalid mount config for type \"bind\": bind source path does not exist: /var/lib/docker";
        let tasks = vec![task("a", "rejected", mount)];
        check(
            there,
            tasks,
            "rejected",
            false,
            "on a: `mkdir -p /var/lib/docker`",
        );
        // The next attempt waits.
        let tasks = vec![is("ready"), no_image()];
        check(there, tasks, "rejected", false, "docker load");
        let tasks = vec![is("starting"), ended()];
        let logs = "docker service logs masthead-cadvisor";
        check(there, tasks, "failed", false, logs);
        // It fetches the image now, whatever was before.
        check(
            there,
            vec![is("preparing"), no_image()],
            "preparing",
            false,
            "docker load",
        );
        // What runs is of before an update, and so is what failed.
        let earlier = |task: Task| Task {
            generation: 7,
            ..task
        };
        check(there, vec![earlier(is("running"))], UPDATING, false, "");
        check(
            there,
            vec![is("starting"), earlier(ended())],
            "starting",
            false,
            "",
        );
        check(
            ("ready", "pause"),
            vec![earlier(is("running"))],
            UPDATING,
            true,
            "",
        );
        check(("down", "active"), vec![is("running")], "unknown", false, "");
        check(("ready", "drain"), vec![is("shutdown")], "shutdown", true, "");
        // It keeps what it has, and is given nothing.
        check(("ready", "pause"), vec![], "absent", true, "");
        let mut stopped = service(Vec::new());
        stopped.is_stopped = true;
        let status = status(&[node("a", "ready", "active")], &[stopped]);
        assert_eq!(
            (status[0].exporters[0].state.as_str(), status[0].well),
            ("stopped", true)
        );
    }

    #[test]
    fn a_target_that_does_not_answer_has_the_cure_of_its_node() {
        let mut options = Options::new("a".parse().expect("a name"));
        options.swarm = Some(Swarm { encrypt: true });
        options.ports.insert(Component::NodeExporter, 9101);
        let cure = |component: Component, error: &str| {
            let target = Target {
                job: component.to_string(),
                instance: "web-2:9100".to_owned(),
                url: String::new(),
                health: crate::TargetHealth::Down,
                error: error.to_owned(),
                last_scrape: String::new(),
            };
            target_cure(component, &target, &options)
        };
        let silent = "Get \"http://10.0.1.7:9100/metrics\": context deadline exceeded";
        let of_node = cure(Component::NodeExporter, silent);
        for words in ["web-2", "4789/udp and ESP", "docker_gwbridge -p tcp --dport 9101"] {
            assert!(of_node.contains(words), "{of_node}");
        }
        assert!(!cure(Component::Cadvisor, silent).contains("iptables"));
        let refused = cure(Component::Cadvisor, "connect: connection refused");
        assert_eq!(refused, "masthead status; masthead logs cadvisor");
    }

    #[test]
    fn nodes_that_are_away_or_twins_are_named() {
        let nodes = [
            node("a", "ready", "active"),
            node("b", "down", "active"),
            node("c", "ready", "drain"),
            node("a", "ready", "active"),
        ];
        let said = out_of_it(&nodes);
        assert_eq!(said.len(), 3);
        assert!(said[0].starts_with("node b is down"), "{said:?}");
        assert!(said[1].starts_with("node c is set to drain"), "{said:?}");
        assert!(said[2].starts_with("more than one node is called a"), "{said:?}");
        let found = findings(&nodes, &status(&nodes, &[]));
        let levels: Vec<Level> = found.iter().map(|finding| finding.level).collect();
        use Level::{Ok, Problem, Warning};
        assert_eq!(levels, [Ok, Problem, Ok, Ok, Warning]);
    }
}
