//! The nodes of a swarm: two of the remote hosts (`hosts.rs`) with one more cable between them. Commands are given on the node itself, or
//! by the operator over SSH.
//!
//! The kernel that the tests run on may have no ip_vs: so nothing here uses a service's virtual address, and neither does the stack.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::hosts::{Host, Operator, with_hosts};
use super::{Outcome, Over, Ran, Rig, ran, wait};
use crate::{docker, shell};

/// The ends of the cable between the nodes.
const MANAGER: &str = "10.202.0.1";
const WORKER: &str = "10.202.0.2";
const CABLE: &str = "mesh0";
/// Where swarm listens: its managers, its gossip, its overlays.
pub(super) const SWARM_PORTS: [u16; 3] = [2377, 7946, 4789];

/// A swarm's manager and a host that may become its worker.
pub(super) struct Nodes<'a> {
    pub(super) operator: &'a Operator,
    pub(super) manager: &'a mut Host,
    pub(super) worker: &'a mut Host,
    /// As which server the operator knows the manager.
    over: Option<Over>,
}

/// Runs a case with two nodes that are no swarm yet.
pub(super) fn with_nodes(case: impl FnOnce(&mut Nodes) -> Result<()>) -> Result<Outcome> {
    with_hosts(&["manager", "worker"], |operator, hosts| {
        let [manager, worker] = hosts else {
            bail!("two hosts are wanted")
        };
        docker::stack::load_one(&manager.rig.docker, "discovery")?;
        lay_cable(manager, worker)?;
        let over = manager.rig.over.take();
        worker.rig.over = None;
        case(&mut Nodes {
            operator,
            manager,
            worker,
            over,
        })
    })
}

fn lay_cable(manager: &Host, worker: &Host) -> Result<()> {
    let script = "set -e
ip link add \"$1\" type veth peer name \"$1\" netns \"$2\"
ip addr add \"$3/24\" dev \"$1\"
ip link set \"$1\" up";
    let other = worker.machine.id().to_string();
    let words = ["-c", script, "cable", CABLE, &other, MANAGER];
    shell::output(manager.machine.command("sh").args(words))?;
    let script = "set -e; ip addr add \"$2/24\" dev \"$1\"; ip link set \"$1\" up";
    shell::output(
        worker
            .machine
            .command("sh")
            .args(["-c", script, "cable", CABLE, WORKER]),
    )
    .map(drop)
}

impl Nodes<'_> {
    /// Where the stack is.
    pub(super) fn rig(&self) -> &Rig {
        &self.manager.rig
    }

    /// The docker client on the manager.
    pub(super) fn docker(&self, args: &[&str]) -> Result<String> {
        self.rig().docker.cli(args)
    }

    /// What a node is called: its machine's name.
    pub(super) fn host_names() -> [&'static str; 2] {
        ["host-manager", "host-worker"]
    }

    /// Makes the manager one, which misses a node sooner than by default: after three heartbeats.
    pub(super) fn init(&self) -> Result<()> {
        self.docker(&[
            "swarm",
            "init",
            "--advertise-addr",
            MANAGER,
            "--dispatcher-heartbeat",
            "3s",
        ])
        .map(drop)
    }

    /// Lets the worker join.
    pub(super) fn join(&self) -> Result<()> {
        let token = self.docker(&["swarm", "join-token", "--quiet", "worker"])?;
        let at = format!("{MANAGER}:2377");
        let words = ["swarm", "join", "--token", &token, &at];
        self.worker.rig.docker.cli(&words).map(drop)
    }

    /// Pulls the cable between the nodes out, or puts it in again.
    pub(super) fn plug(&self, is_in: bool) -> Result<()> {
        let state = if is_in { "up" } else { "down" };
        let words = ["ip", "link", "set", CABLE, state];
        shell::output(self.worker.machine.command("busybox").args(words)).map(drop)
    }

    /// Waits until the manager says this of the worker, such as `Ready Active`.
    pub(super) fn worker_is(&self, state: &str) -> Result<()> {
        let words = [
            "node",
            "ls",
            "--format",
            "{{.Hostname}} {{.Status}} {{.Availability}}",
        ];
        let line = format!("host-worker {state}");
        wait(&line, || Ok(self.docker(&words)?.lines().any(|one| one == line)))
    }

    /// `masthead NAME ARGS` on the worker, of a stack of its own.
    pub(super) fn on_worker(&self, name: &str, args: &[&str]) -> Result<Ran> {
        self.worker.rig.run(name, args)
    }

    /// Makes the manager a server of the operator's, which [`Nodes::over_ssh`] is about. Its socket is where it looks for one.
    pub(super) fn register(&self) -> Result<()> {
        let address = format!("root@{}", self.manager.address);
        let mut command = self.rig().command(&["server", "add", "manager", &address]);
        command.arg("--identity").arg(self.operator.key("id_ed25519"));
        command.arg("--base-dir").arg(self.rig().base());
        ran(command.arg("--accept-new-host-key"))?.expect(0, &[])
    }

    /// Runs something with commands that the operator gives over SSH.
    pub(super) fn over_ssh(&mut self, run: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        self.manager.rig.over = self.over.clone();
        let ended = run(self);
        self.manager.rig.over = None;
        ended
    }

    /// Networks and containers of the manager that are ours by name, whether there is a swarm or none.
    pub(super) fn ours_by_engine(&self) -> Result<BTreeSet<String>> {
        let mut all = BTreeSet::new();
        for (kind, list) in [
            ("network", &["network", "ls", "--format", "{{.Name}}"][..]),
            ("container", &["ps", "--all", "--format", "{{.Names}}"]),
        ] {
            add_ours(&mut all, kind, &self.docker(list)?);
        }
        Ok(all)
    }

    /// Services, secrets and networks that are ours by name, and containers of either node that are.
    pub(super) fn ours(&self) -> Result<BTreeSet<String>> {
        let mut all = self.ours_by_engine()?;
        for (kind, list) in [
            ("service", &["service", "ls", "--format", "{{.Name}}"][..]),
            ("secret", &["secret", "ls", "--format", "{{.Name}}"]),
            ("config", &["config", "ls", "--format", "{{.Name}}"]),
        ] {
            add_ours(&mut all, kind, &self.docker(list)?);
        }
        for (kind, list) in [
            (
                "worker's network",
                &["network", "ls", "--format", "{{.Name}}"][..],
            ),
            ("worker's container", &["ps", "--all", "--format", "{{.Names}}"]),
        ] {
            add_ours(&mut all, kind, &self.worker.rig.docker.cli(list)?);
        }
        Ok(all)
    }

    /// The same but what belongs to a stack without a swarm.
    pub(super) fn ours_of_swarm(&self) -> Result<BTreeSet<String>> {
        let mut all = self.ours()?;
        all.retain(|name| {
            let is_plain = name.starts_with("network ") && !name.contains("swarm")
                || name.starts_with("container ") && !name.contains('.');
            !is_plain
        });
        Ok(all)
    }

    /// One of the stack's services, as the engine knows it.
    pub(super) fn service(&self, name: &str) -> Result<Value> {
        let text = self.docker(&["service", "inspect", name])?;
        let json: Value = serde_json::from_str(&text)?;
        Ok(json[0].clone())
    }
}

fn add_ours(all: &mut BTreeSet<String>, kind: &str, names: &str) {
    let ours = names.lines().filter(|name| name.starts_with("masthead"));
    all.extend(ours.map(|name| format!("{kind} {name}")));
}

/// Ports that a host listens on at an address that others reach: all of it, or its cables'.
pub(super) fn outer_ports(host: &Host) -> Result<BTreeSet<u16>> {
    let mut found = BTreeSet::new();
    let outer: Vec<String> = [&host.address, MANAGER, WORKER]
        .iter()
        .map(|address| little_endian(address))
        .collect();
    for (file, state) in [("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")] {
        let path = format!("/proc/{}/net/{file}", host.machine.id());
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [_, local, _, is, ..] = words.as_slice() else {
                continue;
            };
            let Some((address, port)) = local.split_once(':').filter(|_| *is == state) else {
                continue;
            };
            // Loopback of IPv6 ends in a word that is not zero; the other addresses of ours are the cables'.
            let is_any = address.chars().all(|digit| digit == '0');
            if is_any || outer.iter().any(|outer| outer == address) {
                found.insert(u16::from_str_radix(port, 16)?);
            }
        }
    }
    Ok(found)
}

/// An address of IPv4 as the kernel's tables write it on the machines that the tests run on.
fn little_endian(address: &str) -> String {
    let mut bytes: Vec<String> = address
        .split('.')
        .filter_map(|part| part.parse::<u8>().ok())
        .map(|byte| format!("{byte:02X}"))
        .collect();
    bytes.reverse();
    bytes.concat()
}

/// The address of a host's bridge between its containers in overlays and itself.
pub(super) fn gateway(host: &Host) -> Result<String> {
    let template = "{{(index .IPAM.Config 0).Gateway}}";
    host.rig
        .docker
        .cli(&["network", "inspect", "--format", template, "docker_gwbridge"])
}

/// The address that a task's container has at that bridge.
pub(super) fn behind_gateway(host: &Host, service: &str) -> Result<String> {
    let id = host
        .rig
        .docker
        .cli(&["ps", "--quiet", "--filter", &format!("name={service}.")])?;
    let pid = host.rig.docker.inspect(&id, ".State.Pid")?;
    let mut nsenter = Command::new("nsenter");
    nsenter.arg(format!("--net=/proc/{pid}/ns/net"));
    let text = shell::output(nsenter.args(["busybox", "ip", "-o", "-4", "addr", "show", "dev", "eth1"]))?;
    let address = text.split("inet ").nth(1).and_then(|rest| rest.split('/').next());
    address
        .map(str::to_owned)
        .with_context(|| format!("no address at the bridge: {text}"))
}
