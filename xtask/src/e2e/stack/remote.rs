//! Remote hosts: machines of their own as far as namespaces go (`machine.rs`), each with its engine, its sshd and its users, and one more
//! machine from which commands are given. Between them are virtual cables; nothing of this machine's own network is touched.
//!
//! The machine of the commands has its own `/etc`, home and known hosts, and sees nothing of what lies on the hosts: a file that is read
//! or written here instead of there does not go unnoticed.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::broken_off::Running;
use super::{Outcome, Over, Ran, Rig, life, ran, wait};
use crate::docker::Docker;
use crate::machine::{Machine, User};
use crate::shell;

const SSHD: &str = "/usr/sbin/sshd";
/// A user of the remote hosts who is neither root nor in Docker's group.
const PLAIN: &str = "plain";
/// One who is in Docker's group and may become root.
const ADMIN: &str = "admin";
/// One who is in Docker's group and may not.
const DEVELOPER: &str = "developer";
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
/// Longer than a connection that is dead takes to be noticed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where commands are given.
struct Operator {
    machine: Machine,
}

/// A remote host.
struct Host {
    rig: Rig,
    /// Its address; ours is the one before it.
    address: String,
    /// The same in IPv6.
    address_v6: String,
    /// Its interface on our side.
    cable: String,
    sshd: Option<Child>,
    /// After the engine that stands on it.
    machine: Machine,
}

/// The stack's whole life, as the local case has it, with every command over SSH. The user is no root, and nothing is said of where things are:
/// the engine's socket, the key and the base directory are those that are looked for.
pub(in super::super) fn life() -> Result<Outcome> {
    with_hosts(&["one"], |operator, hosts| {
        let [host] = hosts else {
            bail!("one host is wanted")
        };
        let address = format!("{ADMIN}@{}", host.address);
        let mut add = host.rig.command(&["server", "add", "one", &address]);
        ran(add.arg("--accept-new-host-key"))?.expect(0, &["registered one"])?;
        if let Some(over) = &mut host.rig.over {
            over.base = host.machine.etc("masthead/prometheus");
        }
        life::live(&host.rig)?;
        nothing_here(operator)
    })
}

/// The list of servers is all that there is of ours where commands are given, and nobody else's to read.
fn nothing_here(operator: &Operator) -> Result<()> {
    let folder = operator.machine.etc("masthead");
    for entry in fs::read_dir(&folder)?.flatten() {
        let (name, mode) = (entry.file_name(), entry.metadata()?.mode() & 0o777);
        if !name.to_string_lossy().starts_with("servers.") || mode != 0o600 {
            bail!("{name:?} with mode {mode:o} is where commands are given");
        }
    }
    Ok(())
}

type Step = (&'static str, fn(&Operator, &mut Host, &mut Host) -> Result<()>);

const STEPS: &[Step] = &[
    ("keys that are unknown or wrong", keys),
    ("a key that is asked about on a terminal", asked_about),
    ("users without rights", rights),
    ("a server that forbids what is needed", forbidden),
    ("both are registered and tested", registered),
    ("both at once", both),
    ("from outside, nothing answers but sshd", outside),
    ("IPv6, a jump host, an agent", ways_in),
    (
        "a setup whose connection is cut is finished by the next",
        cut_in_setup,
    ),
    ("a cable that is cut in the middle of a setup", cable_in_setup),
    ("a question whose connection is cut", cut_in_query),
    ("a network that is gone, and back", network_gone),
    ("one that is dead hides nobody", one_dead),
    ("a changed host key is refused", changed_key),
    ("no connection is left behind", nothing_runs_on),
];

/// All of [`STEPS`].
pub(in super::super) fn faults() -> Result<Outcome> {
    with_hosts(&["one", "two"], |operator, hosts| {
        let [one, two] = hosts else {
            bail!("two hosts are wanted")
        };
        for (name, step) in STEPS {
            let began = Instant::now();
            step(operator, one, two).with_context(|| (*name).to_owned())?;
            println!("     ok   {name} ({:.1} s)", began.elapsed().as_secs_f64());
        }
        nothing_here(operator)
    })
}

fn with_hosts(names: &[&str], case: impl FnOnce(&Operator, &mut [Host]) -> Result<()>) -> Result<Outcome> {
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
    fn new() -> Result<Self> {
        let operator = Self {
            machine: Machine::new("operator", &[])?,
        };
        // The first is one that `ssh` finds by itself.
        for key in ["id_ed25519", "stranger", "carried"] {
            new_key(&operator.key(key))?;
        }
        Ok(operator)
    }

    fn key(&self, name: &str) -> PathBuf {
        self.machine.home("root").join(".ssh").join(name)
    }

    /// A program where commands are given.
    fn inside(&self, program: &str) -> Command {
        self.machine.command(program)
    }

    /// `masthead server add` of a host, with one of the operator's keys.
    fn add(&self, host: &Host, key: &str, args: &[&str]) -> Result<Ran> {
        self.add_as(host, "root", key, args)
    }

    fn add_as(&self, host: &Host, user: &str, key: &str, args: &[&str]) -> Result<Ran> {
        ran(&mut self.adding(host, &format!("{user}@{}", host.address), key, args)?)
    }

    /// The command that registers a host, with all that can be said of where things are.
    fn adding(&self, host: &Host, address: &str, key: &str, args: &[&str]) -> Result<Command> {
        let mut command = host.rig.command(&["server", "add", &host.name()?, address]);
        command.arg("--identity").arg(self.key(key));
        command.arg("--base-dir").arg(host.rig.base());
        command.arg("--docker-socket").arg(host.rig.docker.socket());
        command.args(args);
        Ok(command)
    }

    /// Pulls a host's cable out, or puts it in again.
    fn plug(&self, host: &Host, is_in: bool) -> Result<()> {
        let state = if is_in { "up" } else { "down" };
        let words = ["ip", "link", "set", &host.cable, state];
        shell::output(self.inside("busybox").args(words)).map(drop)
    }

    /// What runs in the operator's network beside what keeps it, each with its words.
    fn processes(&self) -> Result<Vec<String>> {
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

    fn forget(&self, host: &Host) -> Result<()> {
        ran(&mut host.rig.command(&["server", "remove", &host.name()?]))?.expect(0, &[])
    }
}

impl Host {
    fn new(mut rig: Rig, machine: Machine, operator: &Operator, at: usize, name: &str) -> Result<Self> {
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

    fn name(&self) -> Result<String> {
        let over = self.rig.over.as_ref().context("no remote host")?;
        Ok(over.name.clone())
    }

    /// The key by which it is known.
    fn key(&self) -> PathBuf {
        self.machine.etc("ssh/ssh_host_ed25519_key")
    }

    /// Every user is reached with two of the operator's keys.
    fn let_in(&self, operator: &Operator) -> Result<()> {
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
    fn start(&mut self, operator: &Operator, settings: &str) -> Result<()> {
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
    fn cut(&self) -> Result<()> {
        self.machine.end("sshd", self.sshd.as_ref().map(Child::id))
    }

    fn stop(&mut self) -> Result<()> {
        if let Some(mut sshd) = self.sshd.take() {
            sshd.kill()?;
            sshd.wait()?;
        }
        self.machine.end("sshd", None)
    }

    /// Does a port of it take connections from where the commands are given?
    fn answers(&self, operator: &Operator, port: u16) -> Result<bool> {
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

    fn run(&self, name: &str, args: &[&str]) -> Result<Ran> {
        self.rig.run(name, args)
    }

    fn query(&self) -> Result<Ran> {
        let mut command = self.rig.command(&["query", "sum(up)", "--json", "--server"]);
        ran(command.arg(self.name()?))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _stopped = self.stop();
    }
}

fn new_key(path: &Path) -> Result<()> {
    let _absent = fs::remove_file(path);
    shell::output(
        Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(path),
    )
    .map(drop)
}

fn keys(operator: &Operator, one: &mut Host, _: &mut Host) -> Result<()> {
    let key = "id_ed25519";
    operator.add(one, key, &[])?.expect(
        7,
        &[
            "host key is not known",
            "--accept-new-host-key",
            "was not registered",
        ],
    )?;
    operator
        .add(one, "stranger", &["--accept-new-host-key"])?
        .expect(7, &["Permission denied", "authorized_keys"])?;
    // Nobody answers at that address.
    let mut nowhere = one
        .rig
        .command(&["server", "add", "nowhere", "root@10.201.0.2:2200"]);
    ran(&mut nowhere)?.expect(7, &["Connection refused", "is sshd running"])
}

/// `ssh` asks where there is a terminal; what is answered counts.
fn asked_about(operator: &Operator, one: &mut Host, _: &mut Host) -> Result<()> {
    let known = operator.key("known_hosts");
    let before = fs::read(&known)?;
    fs::remove_file(&known)?;
    for (answer, code, said) in [("no", 7, "was not registered"), ("yes", 0, "registered one")] {
        let address = format!("root@{}", one.address);
        let command = operator.adding(one, &address, "id_ed25519", &[])?;
        on_terminal(&command, "yes/no", answer)?
            .expect(code, &[said])
            .context(answer)?;
    }
    operator.forget(one)?;
    fs::write(&known, before).context("cannot put the known hosts back")
}

/// Runs a command on a terminal of its own, and types an answer when it asks.
fn on_terminal(command: &Command, question: &str, answer: &str) -> Result<Ran> {
    let mut terminal = Command::new("script");
    terminal
        .args(["--quiet", "--return", "--command"])
        .arg(shell::words_of(command))
        .arg("/dev/null");
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => terminal.env(name, value),
            None => terminal.env_remove(name),
        };
    }
    let mut child = terminal
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start script")?;
    let mut typed = child.stdin.take().context("script has no input")?;
    let mut shown = child.stdout.take().context("script has no output")?;
    let (mut out, mut bytes, mut is_answered) = (String::new(), [0; 4096], false);
    // It ends when the terminal does.
    loop {
        let read = shown.read(&mut bytes)?;
        if read == 0 {
            break;
        }
        out.push_str(&String::from_utf8_lossy(bytes.get(..read).unwrap_or_default()));
        if !is_answered && out.contains(question) {
            writeln!(typed, "{answer}")?;
            is_answered = true;
        }
    }
    if !is_answered {
        bail!("{question:?} was not asked: {out}");
    }
    let code = child.wait()?.code();
    Ok(Ran {
        code,
        out,
        err: String::new(),
    })
}

fn rights(operator: &Operator, one: &mut Host, _: &mut Host) -> Result<()> {
    let key = "id_ed25519";
    operator
        .add_as(one, PLAIN, key, &[])?
        .expect(0, &["may not open it", "usermod -aG docker", "registered one"])?;
    one.run("setup", &["--pull", "never"])?
        .expect(6, &["may not open it", "usermod -aG docker"])?;
    operator.forget(one)?;
    // Docker's group is not enough for files that belong to others.
    operator
        .add_as(one, DEVELOPER, key, &[])?
        .expect(0, &["sudo", "registered one"])?;
    one.run("setup", &["--pull", "never"])?
        .expect(1, &["sudo", "NOPASSWD"])?;
    if one.rig.base().exists() || !one.rig.leftovers()?.is_empty() {
        bail!("a setup without rights has made something");
    }
    operator.forget(one)
}

fn forbidden(operator: &Operator, one: &mut Host, _: &mut Host) -> Result<()> {
    operator.add(one, "id_ed25519", &[])?.expect(0, &[])?;
    for (settings, said) in [
        ("AllowStreamLocalForwarding no", "AllowStreamLocalForwarding"),
        ("ForceCommand echo go away", "forced command"),
    ] {
        one.stop()?;
        one.start(operator, settings)?;
        let ran = one.run("status", &[])?;
        if ran.code == Some(0) || !ran.text().contains(said) {
            bail!("{settings}: {said:?} is wanted: {ran:?}");
        }
    }
    one.stop()?;
    one.start(operator, "")?;
    operator.forget(one)
}

fn registered(operator: &Operator, one: &mut Host, two: &mut Host) -> Result<()> {
    for host in [&*one, &*two] {
        let name = host.name()?;
        operator
            .add(host, "id_ed25519", &["--accept-new-host-key"])?
            .expect(0, &[&format!("registered {name}")])?;
        let mut test = host.rig.command(&["server", "test", &name, "--json"]);
        let ran = ran(&mut test)?;
        ran.expect(0, &["\"docker\"", "\"clock\"", "\"rights\""])?;
    }
    ran(&mut one.rig.command(&["server", "list"]))?
        .expect(0, &["one", "two", "reached in", "none is set up yet"])
}

fn all(host: &Host, name: &str, args: &[&str]) -> Result<Ran> {
    ran(&mut host.rig.command(&[&[name, "--all"], args].concat()))
}

fn both(_: &Operator, one: &mut Host, two: &mut Host) -> Result<()> {
    let flags = ["--pull", "never", "--scrape-interval", "1s"];
    all(one, "setup", &flags)?.expect(0, &["one:", "two:", "RESULT", "every target is up"])?;
    let said = all(one, "setup", &["--dry-run", "--json"])?;
    said.expect(0, &[])?;
    let json: Value = serde_json::from_str(&said.out)?;
    for (host, name) in [(&*one, "one"), (&*two, "two")] {
        let of = &json["servers"][name];
        if of["ok"] != true || of["steps"].as_array().is_none_or(|steps| !steps.is_empty()) {
            bail!("a second setup of {name} does something: {of}");
        }
        host.rig.is_settled()?;
        host.query()?.expect(0, &["\"3\""])?;
        // The label is the registered name.
        let password = host.rig.password("prometheus")?;
        let federated = host
            .rig
            .http(
                "127.0.0.1:9090",
                "GET",
                "/federate?match[]=node_load1",
                Some(&password),
                b"",
            )?
            .text();
        if !federated.contains(&format!("server=\"{name}\"")) {
            bail!("no label `server` of {name}: {federated}");
        }
    }
    Ok(())
}

fn outside(operator: &Operator, one: &mut Host, two: &mut Host) -> Result<()> {
    for host in [&*one, &*two] {
        let tables = shell::output(
            host.rig
                .docker
                .inside("cat")
                .args(["/proc/net/tcp", "/proc/net/tcp6"]),
        )?;
        let mut ports = vec![2375, 2376, 8080, 9090, 9091, 9093, 9100, 3000];
        for line in tables.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let local = words.get(1).and_then(|local| local.rsplit_once(':'));
            if let (Some(&"0A"), Some((_, port))) = (words.get(3), local) {
                ports.push(u16::from_str_radix(port, 16)?);
            }
        }
        ports.sort_unstable();
        ports.dedup();
        if !ports.contains(&22) {
            bail!("sshd is not among what listens: {ports:?}");
        }
        for port in ports {
            if host.answers(operator, port)? != (port == 22) {
                bail!("port {port} of {} is open, or sshd's is not", host.address);
            }
        }
    }
    Ok(())
}

/// The ways that are `ssh`'s own: an address in IPv6, an alias whose way leads through another host, a key that lies in the agent alone.
fn ways_in(operator: &Operator, one: &mut Host, _: &mut Host) -> Result<()> {
    let name = one.name()?;
    let asked = |host: &Host| host.query()?.expect(0, &["\"3\""]);
    operator.forget(one)?;
    let address = format!("root@[{}]:22", one.address_v6);
    ran(&mut operator.adding(one, &address, "id_ed25519", &["--accept-new-host-key"])?)?
        .expect(0, &["registered one"])?;
    asked(one).context(address)?;
    operator.forget(one)?;
    // To us 127.0.0.1 answers nobody; behind the jump it is the host itself.
    let config = format!(
        "Host behind\n    HostName 127.0.0.1\n    User {ADMIN}\n    ProxyJump root@{}\n",
        one.address
    );
    let file = operator.key("config");
    fs::write(&file, config)?;
    ran(&mut operator.adding(one, "behind", "id_ed25519", &["--accept-new-host-key"])?)?
        .expect(0, &["registered one"])?;
    asked(one).context("a jump host")?;
    one.rig.is_settled()?;
    operator.forget(one)?;
    fs::remove_file(file)?;
    let agent = Agent::new(operator)?;
    let mut add = one
        .rig
        .command(&["server", "add", &name, &format!("root@{}", one.address)]);
    add.arg("--base-dir").arg(one.rig.base());
    // Those that `ssh` finds by itself are not there for as long as this takes.
    let (own, away) = (operator.key("id_ed25519"), operator.key("away"));
    fs::rename(&own, &away)?;
    let added = ran(add.env("SSH_AUTH_SOCK", &agent.socket));
    let mut query = one.rig.command(&["query", "sum(up)", "--server", &name]);
    let with = ran(query.env("SSH_AUTH_SOCK", &agent.socket));
    let without = one.query();
    fs::rename(&away, &own)?;
    added?.expect(0, &["registered one"]).context("an agent")?;
    with?.expect(0, &[]).context("an agent")?;
    without?.expect(7, &["Permission denied"])?;
    operator.forget(one)?;
    operator.add(one, "id_ed25519", &[])?.expect(0, &[])
}

/// An agent that has a key which lies nowhere else.
struct Agent {
    child: Child,
    socket: PathBuf,
}

impl Agent {
    fn new(operator: &Operator) -> Result<Self> {
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

fn cut_in_setup(_: &Operator, _: &mut Host, two: &mut Host) -> Result<()> {
    two.run("remove", &["--purge-data", "--yes"])?.expect(0, &[])?;
    for word in ["write", "container masthead-prometheus"] {
        let mut run = Running::of(
            two.rig
                .stack("setup", &["--pull", "never", "--scrape-interval", "1s"]),
        )?;
        if !run.reaches(word) {
            bail!("it was to be cut at {word:?}: {:?}", run.end()?);
        }
        two.cut()?;
        let (status, said) = run.end()?;
        if status.code() != Some(7) || !said.contains("The next run goes on from here") {
            bail!("cut at {word:?}, it ended with {status}: {said}");
        }
    }
    two.rig.set_up(&[])?;
    two.rig.is_settled()
}

/// Neither side hears of it: `ssh` here and the lock there have to notice by themselves.
fn cable_in_setup(operator: &Operator, _: &mut Host, two: &mut Host) -> Result<()> {
    two.run("remove", &["--yes"])?.expect(0, &[])?;
    let flags = ["--pull", "never", "--scrape-interval", "1s"];
    let mut run = Running::of(two.rig.stack("setup", &flags))?;
    if !run.reaches("create container masthead-prometheus") {
        bail!("it was to be cut: {:?}", run.end()?);
    }
    operator.plug(two, false)?;
    let ended = run.end();
    operator.plug(two, true)?;
    let (status, said) = ended?;
    let words = ["broke off", "Done before it", "The next run goes on from here"];
    if status.code() != Some(7) || words.iter().any(|word| !said.contains(word)) {
        bail!("cut, it ended with {status}: {said}");
    }
    two.run("setup", &[&flags[..], &["--wait"]].concat())?
        .expect(0, &[])?;
    two.rig.is_settled()
}

/// `ssh` ends with the command that needed it, also where that held a lock or was cut off.
fn nothing_runs_on(operator: &Operator, _: &mut Host, _: &mut Host) -> Result<()> {
    wait("every ssh of the operator has ended", || {
        Ok(operator.processes()?.is_empty())
    })
    .with_context(|| format!("{:#?}", operator.processes()))
}

fn cut_in_query(_: &Operator, one: &mut Host, _: &mut Host) -> Result<()> {
    let name = one.name()?;
    for pause_ms in [40, 120, 250, 400, 600] {
        let mut command = one
            .rig
            .command(&["query", "sum(up)", "--json", "--server", &name]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        std::thread::sleep(Duration::from_millis(pause_ms));
        one.cut()?;
        let out = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        // Asked again over a new connection, or said with its cause.
        let is_well = out.status.code() == Some(0) && said.contains("\"3\"");
        if !is_well && out.status.code() != Some(7) {
            bail!("cut after {pause_ms} ms: {}: {said}", out.status);
        }
    }
    one.query()?.expect(0, &["\"3\""])
}

fn network_gone(operator: &Operator, one: &mut Host, _: &mut Host) -> Result<()> {
    operator.plug(one, false)?;
    let began = Instant::now();
    let ran = one.query();
    operator.plug(one, true)?;
    ran?.expect(7, &["connecting to server one"])?;
    if began.elapsed() > PATIENCE {
        bail!("it took {:?} to say so", began.elapsed());
    }
    one.query()?.expect(0, &["\"3\""])
}

fn one_dead(operator: &Operator, one: &mut Host, two: &mut Host) -> Result<()> {
    two.stop()?;
    all(one, "status", &[])?.expect(
        7,
        &[
            "one:",
            "prometheus     running",
            "out of reach",
            "Connection refused",
        ],
    )?;
    let said = all(
        one,
        "setup",
        &["--pull", "never", "--retention-time", "9d", "--json"],
    )?;
    said.expect(7, &[])?;
    let json: Value = serde_json::from_str(&said.out)?;
    let (alive, dead) = (&json["servers"]["one"], &json["servers"]["two"]);
    if alive["ok"] != true || dead["ok"] != false || dead["error"]["kind"] != "no-server" {
        bail!("one is to be done and two out of reach: {json}");
    }
    ran(&mut one.rig.command(&["server", "list"]))?.expect(3, &["OUT OF REACH", "set up under"])?;
    two.query()?
        .expect(7, &["connecting to server two", "is sshd running"])?;
    two.start(operator, "")?;
    all(one, "status", &[])?.expect(0, &["one:", "two:"])?;
    two.query()?.expect(0, &["\"3\""])
}

fn changed_key(operator: &Operator, one: &mut Host, _: &mut Host) -> Result<()> {
    one.stop()?;
    new_key(&one.key())?;
    one.start(operator, "")?;
    for args in [&[][..], &["--accept-new-host-key"]] {
        one.run("status", args)?
            .expect(7, &["has CHANGED", "ssh-keygen -R"])?;
    }
    one.query()?.expect(7, &["has CHANGED"])
}
