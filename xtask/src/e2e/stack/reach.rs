//! Who can reach the stack: from every address of its host, from containers of other networks, from another machine that knows the way.
//!
//! cAdvisor asks for a password on its pages alone, not on `/metrics` and `/api`; the stand-in asks everywhere. So its port has to be out of
//! reach wherever it is tried from, and a 401 of it counts as reached. So has that of the socket's proxy, which knows no password. Grafana
//! has a login of its own, which its stand-in has not: it may be found by who comes over a route, and by nobody else.

use std::fmt;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{ALL_CONTAINERS, OPTIONAL, Outcome, Rig, exchange, with_whole_rig};
use crate::docker::{IMAGE, Mounts};
use crate::{http, shell};

/// The network between the host and its neighbour, kept for documentation by the standards.
const HOST: &str = "203.0.113.10";
const NEIGHBOUR: &str = "203.0.113.20";
/// A path of each kind of listener that must not be answered without a password.
const PATH: &str = "/metrics";

/// Ports of the stack.
const PORTS: [u16; 7] = [9090, 9100, 8080, 9091, 9093, 3000, 2375];
/// Who comes over a route to the host's networks.
const ANOTHER_MACHINE: &str = "another machine";

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// No connection.
    Closed,
    /// Connected, and asked for a password.
    Asked,
    /// Anything else.
    Open(u16),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => write!(f, "no connection"),
            Self::Asked => write!(f, "401"),
            Self::Open(status) => write!(f, "answered with {status}"),
        }
    }
}

/// A machine beside the host: a network namespace with a cable to it.
struct Neighbour(Child);

impl Neighbour {
    fn new(docker: &crate::docker::Docker) -> Result<Self> {
        let script = format!(
            "busybox ip link set lo up; busybox ip link set v1 up; busybox ip addr add {NEIGHBOUR}/24 dev v1; echo ready; cat"
        );
        // It waits for its end of the cable.
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "unshare", "--net", "busybox", "sh", "-c"])
            .arg(format!(
                "while ! busybox ip link show v1 >/dev/null 2>&1; do busybox sleep 0.05; done; {script}"
            ))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start a neighbour")?;
        let pid = child.id().to_string();
        let laid = super::wait("the neighbour has its network", || {
            let net = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
            Ok(net(&pid).is_some() && net(&pid) != net("self"))
        })
        .and_then(|()| lay_cable(docker, &pid));
        if let Err(error) = laid {
            let _killed = child.kill();
            let _reaped = child.wait();
            return Err(error);
        }
        Ok(Self(child))
    }

    /// A program that runs on it.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/proc/{}/ns/net", self.0.id()))
            .arg(program);
        command
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn lay_cable(docker: &crate::docker::Docker, neighbour: &str) -> Result<()> {
    let script = format!(
        "ip link add v0 type veth peer name v1 && ip addr add {HOST}/24 dev v0 && ip link set v0 up && \
         ip link set v1 netns {neighbour}"
    );
    // busybox' `ip` cannot name both ends of a cable.
    shell::obtain(&["ip"], "iproute2")?;
    shell::output(docker.inside("sh").args(["-c", &script])).map(|_| ())
}

/// All of it.
pub(in super::super) fn everywhere() -> Result<Outcome> {
    with_whole_rig(Mounts::Shared, |rig| {
        let neighbour = Neighbour::new(&rig.docker)?;
        rig.docker.cli(&["network", "create", "others"])?;
        rig.docker
            .cli(&["network", "create", "--attachable", "dokploy-network"])?;
        rig.docker
            .run("stranger", &["--network=others"], IMAGE, &["burn"])?;
        rig.docker
            .run("tenant", &["--network=dokploy-network"], IMAGE, &["burn"])?;
        rig.set_up(&["--with", OPTIONAL])?;
        later_mounts(rig)?;
        opened_with_the_password(rig)?;
        let networks = rig
            .docker
            .inspect("masthead-prometheus", "json .NetworkSettings.Networks")?;
        if !networks.contains("dokploy-network") {
            bail!("Prometheus is not in the platform's network: {networks}");
        }
        from_the_host(rig)?;
        from_containers(rig)?;
        from_the_neighbour(rig, &neighbour)?;
        over_an_open_host(rig, &neighbour)
    })
}

/// What the host mounts after the stack's start is seen by what reads the host.
fn later_mounts(rig: &Rig) -> Result<()> {
    let place = rig.folder.path().join("later");
    let place = place.display();
    let script =
        format!("mkdir {place} && mount -t tmpfs -o size=3m none {place} && echo seen > {place}/file");
    shell::output(rig.docker.inside("sh").args(["-c", &script]))?;
    for (name, root) in [
        ("masthead-node-exporter", "/host"),
        ("masthead-cadvisor", "/rootfs"),
    ] {
        let file = format!("{root}{place}/file");
        let text = rig.docker.cli(&["exec", "--user=0", name, "cat", &file])?;
        if text != "seen" {
            bail!("{name} sees {text:?} in {file}");
        }
    }
    shell::output(rig.docker.inside("umount").arg(place.to_string())).map(|_| ())
}

fn opened_with_the_password(rig: &Rig) -> Result<()> {
    for (password, want) in [
        (None, 401),
        (Some("wrong".to_owned()), 401),
        (Some(rig.password("prometheus")?), 200),
    ] {
        for path in ["/metrics", "/api/v1/query?query=1", "/-/ready"] {
            let got = rig
                .http("127.0.0.1:9090", "GET", path, password.as_deref(), b"")?
                .status;
            if got != want {
                bail!("{path} answers {got}, not {want}, with {password:?}");
            }
        }
    }
    Ok(())
}

/// Tries a port from wherever `nc` runs.
pub(super) fn probe(mut nc: Command, address: &str, port: u16) -> Verdict {
    match exchange(&mut nc, &format!("{address}:{port}"), "GET", PATH, None, b"") {
        Err(_) => Verdict::Closed,
        Ok(response) if response.status == 401 => Verdict::Asked,
        Ok(response) => Verdict::Open(response.status),
    }
}

/// The host's own addresses but loopback, with those of all its bridges.
fn addresses(rig: &Rig) -> Result<Vec<String>> {
    let text = shell::output(rig.docker.inside("busybox").args(["ip", "-4", "-o", "addr"]))?;
    let all: Vec<String> = text
        .lines()
        .filter_map(|line| line.split_once("inet ")?.1.split('/').next().map(str::to_owned))
        .filter(|address| !address.starts_with("127."))
        .collect();
    if !all.iter().any(|address| address == HOST) || all.len() < 4 {
        bail!("the host has its cable and three bridges: {text}");
    }
    Ok(all)
}

/// Ports that something in the host's namespace listens on, and those of the stack.
fn ports(rig: &Rig) -> Result<Vec<u16>> {
    let text = shell::output(rig.docker.inside("cat").args(["/proc/net/tcp", "/proc/net/tcp6"]))?;
    let mut ports = PORTS.to_vec();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        // 0A is a socket that listens.
        if let [_, local, _, "0A", ..] = words.as_slice() {
            let port = local.rsplit(':').next().map(|hex| u16::from_str_radix(hex, 16));
            ports.extend(port.transpose()?);
        }
    }
    ports.sort_unstable();
    ports.dedup();
    Ok(ports)
}

/// Names, addresses in the stack's and other networks, and the port of each container of the stack.
fn members(rig: &Rig) -> Result<Vec<(&'static str, String, u16)>> {
    let mut all = Vec::new();
    for name in ALL_CONTAINERS {
        let port = match name {
            "masthead-prometheus" => 9090,
            "masthead-cadvisor" => 8080,
            "masthead-alertmanager" => 9093,
            "masthead-pushgateway" => 9091,
            "masthead-grafana" => 3000,
            "masthead-docker-proxy" => 2375,
            _ => continue,
        };
        let json: Value = serde_json::from_str(&rig.docker.inspect(name, "json .NetworkSettings.Networks")?)?;
        for network in json.as_object().into_iter().flatten() {
            let address = network.1["IPAddress"].as_str().unwrap_or_default().to_owned();
            all.push((name, address, port));
        }
    }
    if all.len() != 8 {
        bail!("Prometheus in three networks and five others in one each are wanted: {all:?}");
    }
    Ok(all)
}

/// Every port under every address of the host, from the host itself.
fn from_the_host(rig: &Rig) -> Result<()> {
    for address in addresses(rig)? {
        for port in ports(rig)? {
            let mut nc = rig.docker.inside("busybox");
            nc.arg("nc");
            judge("the host", &address, port, probe(nc, &address, port))?;
        }
    }
    Ok(())
}

fn judge(from: &str, address: &str, port: u16, verdict: Verdict) -> Result<()> {
    let held = match verdict {
        Verdict::Closed => true,
        Verdict::Asked => port != 8080 && port != 2375,
        Verdict::Open(_) => port == 3000 && from == ANOTHER_MACHINE,
    };
    if held {
        return Ok(());
    }
    bail!("{address}:{port} from {from}: {verdict}")
}

/// From containers of other networks: every address of the host, and the stack's containers themselves.
fn from_containers(rig: &Rig) -> Result<()> {
    for from in ["stranger", "tenant"] {
        let nc = || {
            let mut nc = rig.docker.command("docker");
            nc.args(["exec", "--interactive", from, "nc"]);
            nc
        };
        for address in addresses(rig)? {
            for port in ports(rig)? {
                judge(from, &address, port, probe(nc(), &address, port))?;
            }
        }
        for (name, address, port) in members(rig)? {
            let verdict = probe(nc(), &address, port);
            judge(from, &address, port, verdict).with_context(|| name)?;
            println!("     {name} at {address}:{port} from {from}: {verdict}");
        }
    }
    // That the try can succeed at all: the platform's tenants may ask Prometheus, which asks for the password.
    let mut nc = rig.docker.command("docker");
    nc.args(["exec", "--interactive", "tenant", "nc"]);
    match probe(nc, "masthead-prometheus", 9090) {
        Verdict::Asked => Ok(()),
        other => bail!("a neighbour in the platform's network is asked for a password: {other}"),
    }
}

/// A host that forwarded packets before Docker started: cAdvisor's port is open to whoever has a route, until the rule is there that
/// `check` names.
fn over_an_open_host(rig: &Rig, neighbour: &Neighbour) -> Result<()> {
    let iptables = |words: &str| {
        let mut command = rig.docker.inside("iptables");
        shell::output(command.args(words.split(' '))).map(drop)
    };
    let cadvisor = || -> Result<Verdict> {
        let (_, address, port) = members(rig)?
            .into_iter()
            .find(|(name, ..)| *name == "masthead-cadvisor")
            .context("no cAdvisor")?;
        let mut nc = neighbour.command("busybox");
        nc.arg("nc");
        Ok(probe(nc, &address, port))
    };
    iptables("-P FORWARD ACCEPT")?;
    if cadvisor()? == Verdict::Closed {
        bail!("an open host was to hand packets on");
    }
    let rule = "DOCKER-USER ! -i masthead0 -o masthead0 -m conntrack --ctstate NEW -j DROP";
    rig.run("check", &[])?
        .expect(0, &["WARN", "forwarding", &format!("iptables -I {rule}")])?;
    iptables(&format!("-I {rule}"))?;
    let said = rig.run("check", &[])?;
    said.expect(0, &[])?;
    if said.out.contains("forwarding") || cadvisor()? != Verdict::Closed {
        bail!("the rule that check names does not do: {}", said.out);
    }
    Ok(())
}

/// From another machine, with a route to every network of the host.
fn from_the_neighbour(rig: &Rig, neighbour: &Neighbour) -> Result<()> {
    shell::output(
        neighbour
            .command("busybox")
            .args(["ip", "route", "add", "default", "via", HOST]),
    )?;
    let nc = || {
        let mut nc = neighbour.command("busybox");
        nc.arg("nc");
        nc
    };
    // The cable works: something that listens for all is reached.
    let mut server = rig
        .docker
        .inside("busybox")
        .args([
            "nc",
            "-ll",
            "-p",
            "7777",
            "-e",
            "printf",
            "HTTP/1.1 204 x\\r\\n\\r\\n",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let reached = super::wait("the neighbour reaches the host", || {
        Ok(probe(nc(), HOST, 7777) == Verdict::Open(204))
    });
    let _killed = server.kill();
    let _reaped = server.wait();
    reached?;
    for address in addresses(rig)? {
        for port in PORTS {
            let verdict = probe(nc(), &address, port);
            judge(
                "another machine, at the host's own address",
                &address,
                port,
                verdict,
            )?;
        }
    }
    for (name, address, port) in members(rig)? {
        let verdict = probe(nc(), &address, port);
        println!("     {name} at {address}:{port} from another machine: {verdict}");
        judge(ANOTHER_MACHINE, &address, port, verdict).with_context(|| name)?;
    }
    let ready = rig.http(
        "127.0.0.1:9090",
        "GET",
        "/-/ready",
        Some(&rig.password("prometheus")?),
        b"",
    )?;
    match ready.status {
        200 => Ok(()),
        _ => bail!("{}", http::clip(&ready.text())),
    }
}
