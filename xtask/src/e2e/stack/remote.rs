//! Remote hosts: engines in network namespaces of their own, each with its own sshd, and one more namespace from which commands are
//! given. Between them are virtual cables; nothing of the machine's own network is touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::broken_off::Running;
use super::refused::signal;
use super::{Outcome, Over, Ran, Rig, life, ran, wait};
use crate::docker::{self, Mounts};
use crate::server::TempDir;
use crate::shell;

const SSHD: &str = "/usr/sbin/sshd";
/// A user of the remote hosts who is neither root nor in Docker's group.
const PLAIN: &str = "plain";
/// Longer than a connection that is dead takes to be noticed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where commands are given, with the files of whoever gives them.
pub(super) struct Operator {
    namespace: Child,
    folder: TempDir,
}

/// A remote host.
pub(super) struct Host {
    pub(super) rig: Rig,
    /// Its address; ours is the one before it.
    address: String,
    /// Its interface on our side.
    cable: String,
    sshd: Option<Child>,
}

/// The stack's whole life, as the local case has it, with every command over SSH.
pub(in super::super) fn life() -> Result<Outcome> {
    with_hosts(&["one"], |operator, hosts| {
        let [host] = hosts else {
            bail!("one host is wanted")
        };
        operator
            .add(host, "user", &["--accept-new-host-key"])?
            .expect(0, &["registered one"])?;
        life::live(&host.rig)
    })
}

type Step = (&'static str, fn(&Operator, &mut Host, &mut Host) -> Result<()>);

const STEPS: &[Step] = &[
    ("keys that are unknown or wrong, and a user without rights", keys),
    ("both at once", both),
    ("from outside, nothing answers but sshd", outside),
    (
        "a setup whose connection is cut is finished by the next",
        cut_in_setup,
    ),
    ("a question whose connection is cut", cut_in_query),
    ("a network that is gone, and back", network_gone),
    ("one that is dead hides nobody", one_dead),
    ("a changed host key is refused", changed_key),
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
        Ok(())
    })
}

pub(super) fn with_hosts(
    names: &[&str],
    case: impl FnOnce(&Operator, &mut [Host]) -> Result<()>,
) -> Result<Outcome> {
    if let Err(why) = shell::obtain(&[SSHD], "openssh-server") {
        return Ok(Outcome::Missing(why));
    }
    if let Err(why) = shell::obtain(&["ip"], "iproute2") {
        return Ok(Outcome::Missing(why));
    }
    let mut rigs = Vec::new();
    for _ in names {
        match Rig::new(Mounts::Machine) {
            Ok(rig) => rigs.push(rig),
            Err(why) => return Ok(Outcome::Missing(why)),
        }
    }
    let operator = Operator::new()?;
    let mut hosts = Vec::new();
    for (at, (rig, name)) in rigs.into_iter().zip(names).enumerate() {
        hosts.push(Host::new(rig, &operator, at, name)?);
    }
    case(&operator, &mut hosts).map(|()| Outcome::Passed)
}

impl Operator {
    fn new() -> Result<Self> {
        let operator = Self {
            namespace: docker::new_namespace()?,
            folder: TempDir::new("operator")?,
        };
        for key in ["user", "stranger"] {
            new_key(&operator.file(key))?;
        }
        let known = format!(
            "UserKnownHostsFile {}\nGlobalKnownHostsFile /dev/null\n",
            operator.file("known_hosts").display()
        );
        fs::write(operator.file("ssh_config"), known)?;
        Ok(operator)
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A program in the operator's network.
    pub(super) fn inside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.namespace.id()));
        command.arg(program);
        command
    }

    /// `masthead server add` of a host, with one of the operator's keys.
    pub(super) fn add(&self, host: &Host, key: &str, args: &[&str]) -> Result<Ran> {
        self.add_as(host, "root", key, args)
    }

    fn add_as(&self, host: &Host, user: &str, key: &str, args: &[&str]) -> Result<Ran> {
        let address = format!("{user}@{}", host.address);
        let (key, base) = (self.file(key), host.rig.base());
        let socket = host.rig.docker.socket();
        let mut command = host.rig.command(&["server", "add", &host.name()?, &address]);
        command.arg("--identity").arg(key);
        if !args.contains(&"--base-dir") {
            command.arg("--base-dir").arg(base);
        }
        command.arg("--docker-socket").arg(socket).args(args);
        ran(&mut command)
    }

    pub(super) fn forget(&self, host: &Host) -> Result<()> {
        ran(&mut host.rig.command(&["server", "remove", &host.name()?]))?.expect(0, &[])
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _killed = self.namespace.kill();
        let _reaped = self.namespace.wait();
    }
}

impl Host {
    fn new(mut rig: Rig, operator: &Operator, at: usize, name: &str) -> Result<Self> {
        let cable = format!("cable{at}");
        let (ours, theirs) = (format!("10.201.{at}.1/30"), format!("10.201.{at}.2/30"));
        let ip =
            |program: &mut Command, words: &[&str]| shell::output(program.arg("ip").args(words)).map(drop);
        let theirs_in = rig.docker.namespace().to_string();
        let words = [
            "link", "add", &cable, "type", "veth", "peer", "name", "up0", "netns", &theirs_in,
        ];
        // busybox cannot make cables.
        shell::output(operator.inside("ip").args(words))?;
        ip(
            &mut operator.inside("busybox"),
            &["addr", "add", &ours, "dev", &cable],
        )?;
        ip(&mut operator.inside("busybox"), &["link", "set", &cable, "up"])?;
        ip(
            &mut rig.docker.inside("busybox"),
            &["addr", "add", &theirs, "dev", "up0"],
        )?;
        ip(&mut rig.docker.inside("busybox"), &["link", "set", "up0", "up"])?;
        rig.over = Some(Over {
            operator: operator.namespace.id(),
            servers: operator.file("servers.json"),
            ssh_config: operator.file("ssh_config"),
            name: name.to_owned(),
        });
        let mut host = Self {
            rig,
            address: format!("10.201.{at}.2"),
            cable,
            sshd: None,
        };
        host.configure(operator)?;
        host.start(operator)?;
        Ok(host)
    }

    pub(super) fn name(&self) -> Result<String> {
        let over = self.rig.over.as_ref().context("no remote host")?;
        Ok(over.name.clone())
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.rig.folder.path().join(name)
    }

    /// Settings, keys and users of its sshd.
    fn configure(&self, operator: &Operator) -> Result<()> {
        fs::create_dir_all("/run/sshd")?;
        fs::create_dir_all(self.file("lib"))?;
        new_key(&self.file("host"))?;
        fs::copy(operator.file("user.pub"), self.file("authorized_keys"))?;
        let config = format!(
            "Port 22\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nPermitRootLogin yes\n",
            self.file("host").display(),
            self.file("authorized_keys").display(),
        );
        fs::write(self.file("sshd_config"), config)?;
        for (file, line) in [
            ("passwd", format!("{PLAIN}:x:54321:54321::/:/bin/sh\n")),
            ("shadow", format!("{PLAIN}:*:19000::::::\n")),
        ] {
            let text = fs::read_to_string(Path::new("/etc").join(file))?;
            // Whatever this machine's root has in its start files is not what is measured here.
            fs::write(self.file(file), text.replace("/bin/bash", "/bin/sh") + &line)?;
        }
        Ok(())
    }

    pub(super) fn start(&mut self, operator: &Operator) -> Result<()> {
        // Its users and its /var/lib are seen by it alone.
        let script = "mount --bind \"$1/passwd\" /etc/passwd && mount --bind \"$1/shadow\" /etc/shadow && mount --bind \"$1/lib\" /var/lib \
                      && exec \"$2\" -D -f \"$1/sshd_config\"";
        let sshd = self
            .rig
            .docker
            .inside("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", script, "sshd"])
            .arg(self.rig.folder.path())
            .arg(SSHD)
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start sshd")?;
        self.sshd = Some(sshd);
        wait("sshd listens", || self.answers(operator, 22))
    }

    /// Ends every connection; the daemon goes on listening.
    pub(super) fn cut(&self) -> Result<()> {
        let Some(sshd) = &self.sshd else { return Ok(()) };
        let parent = sshd.id().to_string();
        let children = Command::new("pgrep").args(["--parent", &parent]).output()?;
        for pid in String::from_utf8_lossy(&children.stdout).split_whitespace() {
            // One that ended meanwhile is cut too.
            let _gone = signal(pid.parse()?, "KILL");
        }
        Ok(())
    }

    pub(super) fn stop(&mut self) -> Result<()> {
        if let Some(mut sshd) = self.sshd.take() {
            let parent = sshd.id().to_string();
            let children = Command::new("pgrep").args(["--parent", &parent]).output()?;
            sshd.kill()?;
            sshd.wait()?;
            for pid in String::from_utf8_lossy(&children.stdout).split_whitespace() {
                let _gone = signal(pid.parse()?, "KILL");
            }
        }
        Ok(())
    }

    /// Does a port of it take connections from where the commands are given?
    fn answers(&self, operator: &Operator, port: u16) -> Result<bool> {
        let status = operator
            .inside("busybox")
            .args(["nc", "-w", "2", &self.address, &port.to_string(), "-e", "true"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        Ok(status.success())
    }

    pub(super) fn run(&self, name: &str, args: &[&str]) -> Result<Ran> {
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

fn keys(operator: &Operator, one: &mut Host, two: &mut Host) -> Result<()> {
    operator.add(one, "user", &[])?.expect(
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
    ran(&mut nowhere)?.expect(7, &["Connection refused", "is sshd running"])?;
    operator
        .add_as(one, PLAIN, "user", &[])?
        .expect(0, &["may not open it", "usermod -aG docker", "registered one"])?;
    one.run("setup", &["--pull", "never"])?
        .expect(6, &["may not open it", "usermod -aG docker"])?;
    operator.forget(one)?;
    for host in [&*one, &*two] {
        let name = host.name()?;
        operator
            .add(host, "user", &["--accept-new-host-key"])?
            .expect(0, &[&format!("registered {name}")])?;
        let mut test = host.rig.command(&["server", "test", &name, "--json"]);
        let ran = ran(&mut test)?;
        ran.expect(0, &["\"docker\"", "\"clock\"", "\"rights\""])?;
    }
    ran(&mut one.rig.command(&["server", "list"]))?
        .expect(0, &["one", "two", "reached in", "none is set up yet"])
}

pub(super) fn all(host: &Host, name: &str, args: &[&str]) -> Result<Ran> {
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
    let set = |state: &str| {
        let mut ip = operator.inside("busybox");
        shell::output(ip.args(["ip", "link", "set", &one.cable, state])).map(drop)
    };
    set("down")?;
    let began = Instant::now();
    let ran = one.query();
    set("up")?;
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
    two.start(operator)?;
    all(one, "status", &[])?.expect(0, &["one:", "two:"])?;
    two.query()?.expect(0, &["\"3\""])
}

fn changed_key(operator: &Operator, one: &mut Host, _: &mut Host) -> Result<()> {
    one.stop()?;
    new_key(&one.file("host"))?;
    one.start(operator)?;
    for args in [&[][..], &["--accept-new-host-key"]] {
        one.run("status", args)?
            .expect(7, &["has CHANGED", "ssh-keygen -R"])?;
    }
    one.query()?.expect(7, &["has CHANGED"])
}
