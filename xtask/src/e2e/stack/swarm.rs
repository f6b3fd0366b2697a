//! A stack of a swarm: its exporters on every node, found by themselves; nodes that join, lack something, leave, die; the way there and back.
//!
//! Two machines with an engine each (`nodes.rs`); what crosses between them goes through a real overlay.

mod moves;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::broken_off::Running;
use super::nodes::{self, Nodes, SWARM_PORTS, with_nodes};
use super::reach::{Verdict, probe};
use super::{Outcome, step, wait};
use crate::docker::IMAGE;
use crate::docker::stack::name;
use crate::shell;

/// The services, in the order of their names.
const SERVICES: [&str; 3] = [
    "masthead-cadvisor",
    "masthead-node-exporter",
    "masthead-node-exporter-relay",
];
/// The overlay.
const OVERLAY: &str = "masthead-swarm";
/// What each setup here is told: images are there, a scrape each second.
const SET_UP: &[&str] = &["--pull", "never", "--scrape-interval", "1s", "--swarm"];

type Step = (&'static str, fn(&mut Nodes) -> Result<()>);

/// In this order; from the third on each begins with a stack that runs.
const STEPS: &[Step] = &[
    ("no manager: refused, and nothing is touched", no_manager),
    (
        "what has our names and is not ours is refused, and stays",
        foreign,
    ),
    ("a setup that is cut off is finished by the next", cut_off),
    ("a manager alone is a node", alone),
    ("encrypted and back, the overlay is made anew", moves::encrypted),
    (
        "every listener asks for a password, and the nodes' addresses show none",
        listeners,
    ),
    ("a worker is no place for it", worker_refuses),
    ("a node that joins later is covered without a setup", joins),
    ("nobody else reaches what runs on the worker", worker_reach),
    (
        "a worker that lacks an image is named, with the cure",
        lacks_image,
    ),
    ("a drained node is a state", drained),
    ("a node that dies is a state and `up == 0`, and comes back", dies),
    ("over SSH it is the same", moves::over_ssh),
    (
        "a service of an older version is upgraded, or goes back",
        moves::upgraded,
    ),
    ("backed up and restored, on a manager alone", moves::backed_up),
    ("switched off and on, data stays", moves::off_and_on),
    ("purged, nothing is left on any node", purge),
];

/// All of [`STEPS`].
pub(in super::super) fn story() -> Result<Outcome> {
    with_nodes(|nodes| {
        for (name, run) in STEPS {
            step(name, || run(nodes))?;
        }
        Ok(())
    })
}

/// Fails unless a next setup would do nothing.
fn is_settled(nodes: &Nodes) -> Result<()> {
    match nodes.rig().plan(&[])?.as_slice() {
        [] => Ok(()),
        steps => bail!("a second setup would still do something: {steps:?}"),
    }
}

/// Waits until these nodes' exporters are up under the node's name, each job once, and no other node's are.
fn are_up(nodes: &Nodes, hosts: &[&str]) -> Result<()> {
    let mut last = String::new();
    let mut want = Vec::new();
    for host in hosts {
        for (job, port) in [("cadvisor", 8080), ("node-exporter", 9100)] {
            want.push(format!("{job} {host}:{port} {host} 1"));
        }
    }
    want.sort();
    // Just now: a Prometheus that was replaced does not end the series of targets that its successor has not.
    let promql = "last_over_time(up{job=~\"cadvisor|node-exporter\"}[3s])";
    wait("the exporters of the nodes are up", || {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut is: Vec<String> = nodes
            .rig()
            .query(promql)
            .unwrap_or_default()
            .iter()
            .map(|(labels, up)| {
                let [job, instance, node] = ["job", "instance", "node"].map(|label| text(&labels[label]));
                format!("{job} {instance} {node} {up}")
            })
            .collect();
        is.sort();
        last = is.join(", ");
        Ok(is == want)
    })
    .with_context(|| format!("{want:?} are wanted, and there are: {last}"))
}

fn no_manager(nodes: &mut Nodes) -> Result<()> {
    nodes
        .rig()
        .run("setup", SET_UP)?
        .expect(1, &["docker swarm init"])?;
    let left = nodes.ours_by_engine()?;
    if !left.is_empty() || nodes.rig().base().exists() {
        bail!("something was made: {left:?}");
    }
    Ok(())
}

fn foreign(nodes: &mut Nodes) -> Result<()> {
    nodes.init()?;
    let docker = |words: &[&str]| nodes.docker(words).map(drop);
    docker(&["network", "create", "--driver", "overlay", OVERLAY])?;
    nodes.rig().run("setup", SET_UP)?.expect(4, &[OVERLAY])?;
    docker(&["network", "rm", OVERLAY])?;
    let words = [
        "service",
        "create",
        "--detach",
        "--quiet",
        "--no-resolve-image",
        "--name=masthead-cadvisor",
    ];
    docker(&[&words[..], &["--replicas=0", IMAGE, "burn"]].concat())?;
    nodes
        .rig()
        .run("setup", SET_UP)?
        .expect(4, &["masthead-cadvisor"])?;
    let left = nodes.ours()?;
    if left.len() != 1 || nodes.rig().base().exists() {
        bail!("something was made: {left:?}");
    }
    docker(&["service", "rm", "masthead-cadvisor"])
}

/// The points at which a setup is broken off, in the order of its steps.
const POINTS: &[(&str, &str)] = &[
    ("secret", "KILL"),
    (OVERLAY, "INT"),
    ("service masthead-node-exporter", "KILL"),
    ("masthead-prometheus", "KILL"),
];

fn cut_off(nodes: &mut Nodes) -> Result<()> {
    let mut broken_off = 0;
    for (point, word) in POINTS {
        // On a busy machine a signal may come when a step or two more are done.
        if !nodes.rig().plan(SET_UP)?.iter().any(|step| step.contains(point)) {
            continue;
        }
        broken_off += 1;
        Running::of(nodes.rig().stack("setup", SET_UP))?.break_off(point, word)?;
    }
    if broken_off < 2 {
        bail!("it was broken off at {broken_off} points alone");
    }
    nodes.rig().done("setup", SET_UP)?;
    is_settled(nodes)
}

fn alone(nodes: &mut Nodes) -> Result<()> {
    let rig = nodes.rig();
    are_up(nodes, &["host-manager"])?;
    for service in SERVICES {
        let spec = nodes.service(service)?;
        if !spec["Spec"]["Mode"]["Global"].is_object() {
            bail!("{service} is to be on every node: {}", spec["Spec"]["Mode"]);
        }
    }
    // It sees the host, and not its container.
    rig.wait_for(
        "node_uname_info{nodename=\"host-manager\",node=\"host-manager\",instance=\"host-manager:9100\"}",
    )?;
    rig.wait_for("node_filesystem_size_bytes{mountpoint=\"/\",node=\"host-manager\"} > 1e9")?;
    rig.wait_for(
        "container_memory_working_set_bytes{name=\"masthead-prometheus\",node=\"host-manager\"} > 1e6",
    )?;
    // Every other container of the stack is still one of the manager.
    for name in ["masthead-prometheus", "masthead-docker-proxy"] {
        let state = rig.docker.inspect(name, ".State.Status")?;
        if state != "running" {
            bail!("{name} is {state}");
        }
    }
    rig.done("check", &[])?;
    rig.run("status", &[])?.expect(0, &["host-manager", "manager"])?;
    let before = task(nodes)?;
    rig.done("restart", &["node-exporter"])?;
    if before == task(nodes)? {
        bail!("a restart makes a new task");
    }
    are_up(nodes, &["host-manager"])?;
    rig.done("setup", &["--pull", "never"])?;
    is_settled(nodes)
}

/// The container of node_exporter on the manager.
fn task(nodes: &Nodes) -> Result<String> {
    nodes.docker(&["ps", "--quiet", "--filter", "name=masthead-node-exporter."])
}

fn listeners(nodes: &mut Nodes) -> Result<()> {
    let rig = nodes.rig();
    let mut open = nodes::outer_ports(nodes.manager)?;
    if !open.contains(&2377) {
        bail!("swarm's own port was to be found: {open:?}");
    }
    open.retain(|port| *port != 22 && !SWARM_PORTS.contains(port));
    if !open.is_empty() {
        bail!("open at the manager's address: {open:?}");
    }
    for port in [9090, 9100, 8080, 2375] {
        if nodes.manager.answers(nodes.operator, port)? {
            bail!("port {port} of the manager answers the operator");
        }
    }
    let at = format!("{}:9100", nodes::gateway(nodes.manager)?);
    for (password, want) in [
        (None, 401),
        (Some(rig.password("prometheus")?), 401),
        (Some(rig.password("node-exporter")?), 200),
    ] {
        let got = rig.http(&at, "GET", "/metrics", password.as_deref(), b"")?.status;
        if got != want {
            bail!("node_exporter answers {got} and not {want}");
        }
    }
    let relay = format!(
        "{}:9100",
        nodes::behind_gateway(nodes.manager, "masthead-node-exporter-relay")?
    );
    let got = rig.http(&relay, "GET", "/metrics", None, b"")?.status;
    if got != 401 {
        bail!("the relay answers {got} and not 401");
    }
    for service in SERVICES {
        let told = nodes.service(service)?.to_string();
        for component in ["node-exporter", "cadvisor"] {
            if told.contains(&rig.password(component)?) {
                bail!("`docker service inspect {service}` shows the password of {component}");
            }
        }
    }
    Ok(())
}

fn worker_refuses(nodes: &mut Nodes) -> Result<()> {
    nodes.join()?;
    nodes.worker_is("Ready Active")?;
    nodes
        .on_worker("setup", SET_UP)?
        .expect(1, &["manager", "10.202.0.1"])?;
    match nodes.worker.rig.base().exists() {
        true => bail!("something was made on the worker"),
        false => Ok(()),
    }
}

fn joins(nodes: &mut Nodes) -> Result<()> {
    are_up(nodes, &Nodes::host_names())?;
    let rig = nodes.rig();
    rig.wait_for(
        "node_uname_info{nodename=\"host-worker\",node=\"host-worker\",instance=\"host-worker:9100\"}",
    )?;
    nodes.worker.rig.docker.run("beside", &[], IMAGE, &["burn"])?;
    rig.wait_for("container_memory_working_set_bytes{name=\"beside\",node=\"host-worker\"} > 0")?;
    let here = "container_memory_working_set_bytes{name=\"beside\",node=\"host-manager\"}";
    if !rig.query(here)?.is_empty() {
        bail!("the manager's cAdvisor has a container of the worker");
    }
    is_settled(nodes)?;
    rig.run("status", &[])?
        .expect(0, &["host-manager", "host-worker", "worker"])?;
    let json: Value = serde_json::from_str(&rig.done("status", &["--json"])?)?;
    for host in Nodes::host_names() {
        if !json.to_string().contains(host) {
            bail!("no {host} in {json}");
        }
    }
    rig.done("check", &[]).map(drop)
}

/// From a container of the worker's that is in another network, and from the operator, who knows the way to the bridge.
fn worker_reach(nodes: &mut Nodes) -> Result<()> {
    let worker = &nodes.worker;
    let mut open = nodes::outer_ports(worker)?;
    open.retain(|port| *port != 22 && !SWARM_PORTS.contains(port));
    if !open.is_empty() {
        bail!("open at the worker's address: {open:?}");
    }
    let gateway = nodes::gateway(worker)?;
    let cadvisor = nodes::behind_gateway(worker, "masthead-cadvisor")?;
    shell::output(nodes.operator.inside("busybox").args([
        "ip",
        "route",
        "add",
        "172.16.0.0/12",
        "via",
        &worker.address,
    ]))?;
    let operator = || {
        let mut nc = nodes.operator.inside("busybox");
        nc.arg("nc");
        nc
    };
    let beside = || {
        let mut nc = worker.rig.docker.command("docker");
        nc.args(["exec", "--interactive", "beside", "nc"]);
        nc
    };
    for (from, who, address, port, want) in [
        (operator(), "operator", &gateway, 9100, Verdict::Asked),
        (beside(), "beside", &gateway, 9100, Verdict::Asked),
        (operator(), "operator", &cadvisor, 8080, Verdict::Closed),
        (beside(), "beside", &cadvisor, 8080, Verdict::Closed),
    ] {
        let verdict = probe(from, address, port);
        if verdict != want {
            bail!("{address}:{port} of the worker from {who}: {verdict}");
        }
    }
    Ok(())
}

fn lacks_image(nodes: &mut Nodes) -> Result<()> {
    let image = name("cadvisor")?;
    let docker = &nodes.worker.rig.docker;
    docker.cli(&["tag", image, "kept:1"])?;
    docker.cli(&["rmi", "--force", image])?;
    nodes.docker(&[
        "service",
        "update",
        "--detach",
        "--quiet",
        "--force",
        "masthead-cadvisor",
    ])?;
    let said = ["host-worker", image, "docker pull"];
    let mut last = String::new();
    wait("status names what is missing", || {
        last = nodes.rig().run("status", &[])?.text();
        Ok(said.iter().all(|word| last.contains(word)))
    })
    .with_context(|| last)?;
    nodes.rig().run("setup", &["--pull", "never"])?.expect(1, &said)?;
    docker.cli(&["tag", "kept:1", image])?;
    are_up(nodes, &Nodes::host_names())?;
    nodes.rig().done("setup", &["--pull", "never"]).map(drop)
}

fn availability(nodes: &Nodes, word: &str) -> Result<()> {
    nodes
        .docker(&["node", "update", "--availability", word, "host-worker"])
        .map(drop)
}

fn drained(nodes: &mut Nodes) -> Result<()> {
    availability(nodes, "drain")?;
    are_up(nodes, &["host-manager"])?;
    nodes
        .rig()
        .run("status", &[])?
        .expect(0, &["host-worker", "drain"])?;
    nodes.rig().done("setup", &["--pull", "never"])?;
    availability(nodes, "active")?;
    are_up(nodes, &Nodes::host_names())
}

fn dies(nodes: &mut Nodes) -> Result<()> {
    nodes.plug(false)?;
    nodes.worker_is("Down Active")?;
    let rig = nodes.rig();
    let words = rig.run("status", &[])?.text();
    if !words.contains("host-worker") || !words.contains("down") {
        bail!("status was to say that the worker is down: {words}");
    }
    rig.wait_for("up{job=\"node-exporter\",node=\"host-worker\"} == 0")?;
    let began = std::time::Instant::now();
    rig.run("setup", &["--pull", "never"])?
        .expect(0, &["host-worker", "down"])?;
    if began.elapsed() > std::time::Duration::from_secs(20) {
        bail!("setup waited {:?} for a node that is down", began.elapsed());
    }
    // Longer than discovery takes to ask again: it is still there to be alerted on.
    std::thread::sleep(std::time::Duration::from_secs(6));
    rig.wait_for("up{job=\"node-exporter\",node=\"host-worker\"} == 0")?;
    nodes.plug(true)?;
    nodes.worker_is("Ready Active")?;
    // The nodes' gossip may take a minute to find together again, and their overlay with it.
    let hosts = Nodes::host_names();
    are_up(nodes, &hosts).or_else(|_| are_up(nodes, &hosts))?;
    // Its swarm starts new containers before the old ones have ended: node_exporter finds its port taken once.
    wait("the node is well again", || {
        Ok(nodes.rig().run("status", &[])?.code == Some(0))
    })
}

fn purge(nodes: &mut Nodes) -> Result<()> {
    nodes.rig().done("remove", &["--purge-data", "--yes"])?;
    wait("nothing is left", || Ok(nodes.ours()?.is_empty()))
        .with_context(|| format!("{:?}", nodes.ours()))?;
    nodes.rig().done("remove", &["--yes"]).map(drop)
}
