//! Remote hosts: machines of their own as far as namespaces go (`machine.rs`), each with its engine, its sshd and its users, and one more
//! machine from which commands are given. Between them are virtual cables; nothing of this machine's own network is touched.
//!
//! The machine of the commands has its own `/etc`, home and known hosts, and sees nothing of what lies on the hosts: a file that is read
//! or written here instead of there does not go unnoticed.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::{Outcome, Over, Ran, Rig, ran, wait};
use crate::docker::Docker;
use crate::machine::{Machine, User};
use crate::shell;

const SSHD: &str = "/usr/sbin/sshd";
/// A user of the remote hosts who is neither root nor in Docker's group.
pub(super) const PLAIN: &str = "plain";
/// One who is in Docker's group and may become root.
pub(super) const ADMIN: &str = "admin";
/// One who is in Docker's group and may not.
pub(super) const DEVELOPER: &str = "developer";
const USERS: &[User] = &[
    User {
        name: PLAIN,
        id: 54_321,
        has_docker: false,
        has_sudo: false,
    },
    User {
        name: ADMIN,
        id: 54_322,
        has_docker: true,
        has_sudo: true,
    },
    User {
        name: DEVELOPER,
        id: 54_323,
        has_docker: true,
        has_sudo: false,
    },
];
/// Where commands are given.
pub(super) struct Operator {
    pub(super) machine: Machine,
}

/// A remote host.
pub(super) struct Host {
    pub(super) rig: Rig,
    /// Its address; ours is the one before it.
    pub(super) address: String,
    /// The same in IPv6.
    pub(super) address_v6: String,
    /// Its interface on our side.
    cable: String,
    sshd: Option<Child>,
    /// After the engine that stands on it.
    pub(super) machine: Machine,
}

pub(super) fn with_hosts(
    names: &[&str],
    case: impl FnOnce(&Operator, &mut [Host]) -> Result<()>,
) -> Result<Outcome> {
    for (program, package) in [
        (SSHD, "openssh-server"),
        ("ssh-agent", "openssh-client"),
        ("ip", "iproute2"),
        ("sudo", "sudo"),
    ] {
        if let Err(why) = shell::obtain(&[program], package) {
            return Ok(Outcome::Missing(why));
        }
    }
    let mut parts = Vec::new();
    for name in names {
        let part = Machine::new(&format!("host-{name}"), USERS).and_then(|machine| {
            let rig = Docker::start_on(&machine).and_then(Rig::of)?;
            Ok((rig, machine))
        });
        match part {
            Ok(part) => parts.push(part),
            Err(why) => return Ok(Outcome::Missing(why)),
        }
    }
    let operator = Operator::new()?;
    let mut hosts = Vec::new();
    for (at, ((rig, machine), name)) in parts.into_iter().zip(names).enumerate() {
        hosts.push(Host::new(rig, machine, &operator, at, name)?);
    }
    case(&operator, &mut hosts).map(|()| Outcome::Passed)
}

impl Operator {
    pub(super) fn new() -> Result<Self> {
        let operator = Self {
            machine: Machine::new("operator", &[])?,
        };
        // The first is one that `ssh` finds by itself.
        for key in ["id_ed25519", "stranger", "carried"] {
            new_key(&operator.key(key))?;
        }
        Ok(operator)
    }

    pub(super) fn key(&self, name: &str) -> PathBuf {
        self.machine.home("root").join(".ssh").join(name)
    }

    /// A file where commands are given, with the same path there and here.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.machine.file(name)
    }

    /// A program where commands are given.
    pub(super) fn inside(&self, program: &str) -> Command {
        self.machine.command(program)
    }

    /// `masthead server add` of a host, with one of the operator's keys.
    pub(super) fn add(&self, host: &Host, key: &str, args: &[&str]) -> Result<Ran> {
        self.add_as(host, "root", key, args)
    }

    pub(super) fn add_as(&self, host: &Host, user: &str, key: &str, args: &[&str]) -> Result<Ran> {
        ran(&mut self.adding(host, &format!("{user}@{}", host.address), key, args)?)
    }

    /// The command that registers a host, with all that can be said of where things are.
    pub(super) fn adding(&self, host: &Host, address: &str, key: &str, args: &[&str]) -> Result<Command> {
        let mut command = host.rig.command(&["server", "add", &host.name()?, address]);
        command.arg("--identity").arg(self.key(key));
        if !args.contains(&"--base-dir") {
            command.arg("--base-dir").arg(host.rig.base());
        }
        command.arg("--docker-socket").arg(host.rig.docker.socket());
        command.args(args);
        Ok(command)
    }

    /// Pulls a host's cable out, or puts it in again.
    pub(super) fn plug(&self, host: &Host, is_in: bool) -> Result<()> {
        let state = if is_in { "up" } else { "down" };
        let words = ["ip", "link", "set", &host.cable, state];
        shell::output(self.inside("busybox").args(words)).map(drop)
    }

    /// What runs in the operator's network beside what keeps it, each with its words.
    pub(super) fn processes(&self) -> Result<Vec<String>> {
        let network = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        let holder = self.machine.id().to_string();
        let ours = network(&holder);
        let mut all = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let pid = entry?.file_name().to_string_lossy().into_owned();
            if pid != holder && pid.parse::<u32>().is_ok() && network(&pid) == ours {
                let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                all.push(words.replace('\0', " "));
            }
        }
        Ok(all)
    }

    pub(super) fn forget(&self, host: &Host) -> Result<()> {
        ran(&mut host.rig.command(&["server", "remove", &host.name()?]))?.expect(0, &[])
    }
}

impl Host {
    pub(super) fn new(
        mut rig: Rig,
        machine: Machine,
        operator: &Operator,
        at: usize,
        name: &str,
    ) -> Result<Self> {
        let cable = format!("cable{at}");
        let (address, address_v6) = (format!("10.201.{at}.2"), format!("fd00:201:{at}::2"));
        let theirs = machine.id().to_string();
        let script = "set -e
ip link add \"$1\" type veth peer name up0 netns \"$2\"
ip addr add \"$3\" dev \"$1\"
ip addr add \"$4\" dev \"$1\" nodad
ip link set \"$1\" up";
        let (ours, ours_v6) = (format!("10.201.{at}.1/30"), format!("fd00:201:{at}::1/64"));
        let words = ["-c", script, "cable", &cable, &theirs, &ours, &ours_v6];
        shell::output(operator.inside("sh").args(words))?;
        let script =
            "set -e; ip addr add \"$1/30\" dev up0; ip addr add \"$2/64\" dev up0 nodad; ip link set up0 up";
        let words = ["-c", script, "cable", &address, &address_v6];
        shell::output(machine.command("sh").args(words))?;
        for folder in [rig.folder.path(), rig.docker.folder()] {
            operator.machine.hide(folder)?;
        }
        rig.over = Some(Over {
            operator: operator.machine.entry(),
            home: operator.machine.home("root"),
            name: name.to_owned(),
            base: rig.folder.path().join("base"),
        });
        let mut host = Self {
            rig,
            address,
            address_v6,
            cable,
            sshd: None,
            machine,
        };
        host.let_in(operator)?;
        new_key(&host.key())?;
        host.start(operator, "")?;
        Ok(host)
    }

    pub(super) fn name(&self) -> Result<String> {
        let over = self.rig.over.as_ref().context("no remote host")?;
        Ok(over.name.clone())
    }

    /// The key by which it is known.
    pub(super) fn key(&self) -> PathBuf {
        self.machine.etc("ssh/ssh_host_ed25519_key")
    }

    /// Every user is reached with two of the operator's keys.
    pub(super) fn let_in(&self, operator: &Operator) -> Result<()> {
        let mut keys = String::new();
        for key in ["id_ed25519.pub", "carried.pub"] {
            keys.push_str(&fs::read_to_string(operator.key(key))?);
        }
        let users = USERS.iter().map(|user| (user.name, user.id));
        for (user, id) in users.chain([("root", 0)]) {
            let path = self.machine.home(user).join(".ssh/authorized_keys");
            fs::write(&path, &keys)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            chown(&path, Some(id), Some(id))?;
        }
        Ok(())
    }

    /// Starts its sshd, with these settings before the others.
    pub(super) fn start(&mut self, operator: &Operator, settings: &str) -> Result<()> {
        let config = format!(
            "{settings}\nPort 22\nHostKey /etc/ssh/ssh_host_ed25519_key\nPidFile none\nUsePAM no\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
        );
        fs::write(self.machine.etc("ssh/sshd_config"), config)?;
        let sshd = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "nsenter"])
            .args(self.machine.entry())
            .args([SSHD, "-D"])
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start sshd")?;
        self.sshd = Some(sshd);
        wait("sshd listens", || self.answers(operator, 22))
    }

    /// Ends every connection; the daemon goes on listening.
    pub(super) fn cut(&self) -> Result<()> {
        self.machine.end("sshd", self.sshd.as_ref().map(Child::id))
    }

    pub(super) fn stop(&mut self) -> Result<()> {
        if let Some(mut sshd) = self.sshd.take() {
            sshd.kill()?;
            sshd.wait()?;
        }
        self.machine.end("sshd", None)
    }

    /// Does a port of it take connections from where the commands are given?
    pub(super) fn answers(&self, operator: &Operator, port: u16) -> Result<bool> {
        for address in [&self.address, &self.address_v6] {
            let status = operator
                .inside("busybox")
                .args(["nc", "-w", "2", address, &port.to_string(), "-e", "true"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()?;
            if status.success() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn run(&self, name: &str, args: &[&str]) -> Result<Ran> {
        self.rig.run(name, args)
    }

    pub(super) fn query(&self) -> Result<Ran> {
        let mut command = self.rig.command(&["query", "sum(up)", "--json", "--server"]);
        ran(command.arg(self.name()?))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _stopped = self.stop();
    }
}

pub(super) fn new_key(path: &Path) -> Result<()> {
    let _absent = fs::remove_file(path);
    shell::output(
        Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(path),
    )
    .map(drop)
}

/// The list of servers is all that there is of ours where commands are given, and nobody else's to read.
pub(super) fn nothing_here(operator: &Operator) -> Result<()> {
    let folder = operator.machine.etc("masthead");
    for entry in fs::read_dir(&folder)?.flatten() {
        let (name, mode) = (entry.file_name(), entry.metadata()?.mode() & 0o777);
        if !name.to_string_lossy().starts_with("servers.") || mode != 0o600 {
            bail!("{name:?} with mode {mode:o} is where commands are given");
        }
    }
    Ok(())
}

/// An agent that has a key which lies nowhere else.
pub(super) struct Agent {
    child: Child,
    pub(super) socket: PathBuf,
}

impl Agent {
    pub(super) fn new(operator: &Operator) -> Result<Self> {
        let socket = operator.machine.file("agent");
        let child = operator
            .inside("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start ssh-agent")?;
        let agent = Self { child, socket };
        wait("the agent is there", || Ok(agent.socket.exists()))?;
        let key = operator.key("carried");
        let mut add = operator.inside("ssh-add");
        shell::output(add.arg("-q").arg(&key).env("SSH_AUTH_SOCK", &agent.socket))?;
        fs::remove_file(key)?;
        Ok(agent)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}
