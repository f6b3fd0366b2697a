//! Servers to reach over SSH, and the machine of the one who reaches them: network namespaces joined by cables.
//!
//! The operator has a namespace too, so nothing of the machine's network is touched and no address of it can collide. A host has a
//! Docker Engine and an `sshd` of its own, in its namespace. `sshd` is the first process of a process namespace: whatever way it ends,
//! its sessions and what they run end with it. It sees the machine's files, but for `/run` and the list of users, which are its own.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::docker::{self, Docker, Mounts};
use crate::server::TempDir;
use crate::shell;

/// `sshd` wants to be called by its whole path.
const SSHD: &str = "/usr/sbin/sshd";
/// Longer than `sshd` needs to listen.
const START_LIMIT: Duration = Duration::from_secs(10);
/// A user of every host who is nobody in particular there, with a shell.
pub(crate) const PLAIN_USER: &str = "guest";
/// Its number, which no user of the machine should have.
const PLAIN_ID: u32 = 48_613;

/// Whoever types `masthead`: a network with a cable to each host, keys, known hosts, a registry.
#[derive(Debug)]
pub(crate) struct Operator {
    folder: TempDir,
    namespace: Child,
}

/// A server.
#[derive(Debug)]
pub(crate) struct Host {
    /// Before what it runs on: values go in this order.
    sshd: Option<Child>,
    /// Its engine.
    pub(crate) docker: Docker,
    folder: TempDir,
    name: &'static str,
    /// Which network its cable is.
    number: u8,
}

impl Operator {
    /// A new one, who knows no host.
    pub(crate) fn new() -> Result<Self> {
        shell::obtain(&["ip"], "iproute2")?;
        shell::obtain(&["ssh"], "openssh-client")?;
        if !Path::new(SSHD).exists() {
            shell::obtain(&["sshd"], "openssh-server")?;
        }
        let folder = TempDir::new("operator")?;
        let operator = Self {
            namespace: docker::new_namespace()?,
            folder,
        };
        for name in ["key", "stranger"] {
            new_key(&operator.path(name))?;
        }
        let config = format!(
            "UserKnownHostsFile {}\nGlobalKnownHostsFile /dev/null\nIdentityAgent none\nIdentitiesOnly yes\n",
            operator.path("known_hosts").display()
        );
        fs::write(operator.path("ssh_config"), config)?;
        Ok(operator)
    }

    /// A file of theirs: `key`, `stranger` (a key that no host knows), `known_hosts`, `servers.json`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A program that runs on their machine. `masthead` finds their servers and `ssh` configuration, and no engine.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["MASTHEAD_", "DOCKER_", "SSH_"]
                .iter()
                .any(|prefix| text.starts_with(prefix))
            {
                command.env_remove(&name);
            }
        }
        command
            .arg(format!("--net=/proc/{}/ns/net", self.namespace.id()))
            .arg(program)
            .env("MASTHEAD_SERVERS", self.path("servers.json"))
            .env("MASTHEAD_SSH_CONFIG", self.path("ssh_config"))
            .stdin(Stdio::null());
        command
    }

    /// What runs on their machine, each with its words: an `ssh` that outlives its command is one too many.
    pub(crate) fn processes(&self) -> Result<Vec<String>> {
        let network = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        let holder = self.namespace.id().to_string();
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

    /// Forgets which keys hosts have.
    pub(crate) fn forget_hosts(&self) -> Result<()> {
        fs::write(self.path("known_hosts"), "").context("cannot empty known_hosts")
    }

    /// Pulls a host's cable out, or puts it in again. Nobody is told.
    pub(crate) fn plug(&self, host: &Host, is_in: bool) -> Result<()> {
        let state = if is_in { "up" } else { "down" };
        let words = ["link", "set", &format!("to-{}", host.name), state];
        shell::output(self.command("ip").args(words)).map(|_| ())
    }

    fn lay_cable(&self, host: &Host) -> Result<()> {
        let (name, number) = (host.name, host.number);
        let there = host.docker.namespace();
        let script = format!(
            "ip link add to-{name} type veth peer name cable-{name} netns {there} && \
             ip addr add 10.201.{number}.1/30 dev to-{name} && ip link set to-{name} up"
        );
        shell::output(self.command("sh").args(["-c", &script]))?;
        let script = format!(
            "ip addr add {}/30 dev cable-{name} && ip link set cable-{name} up",
            host.address()
        );
        shell::output(host.docker.inside("sh").args(["-c", &script])).map(|_| ())
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _killed = self.namespace.kill();
        let _reaped = self.namespace.wait();
    }
}

impl Host {
    /// Starts one that lets the operator in as `root` and as [`PLAIN_USER`], at the end of a cable. Numbers of an operator's hosts differ.
    pub(crate) fn start(operator: &Operator, name: &'static str, number: u8) -> Result<Self> {
        let mut host = Self {
            sshd: None,
            docker: Docker::start_with(&[], Mounts::Machine)?,
            folder: TempDir::new("host")?,
            name,
            number,
        };
        operator.lay_cable(&host)?;
        host.change_key()?;
        fs::copy(operator.path("key.pub"), host.path("authorized_keys"))?;
        fs::set_permissions(host.path("authorized_keys"), fs::Permissions::from_mode(0o644))?;
        fs::set_permissions(host.folder.path(), fs::Permissions::from_mode(0o755))?;
        let home = host.path("home");
        fs::create_dir(&home)?;
        chown(&home, Some(PLAIN_ID), Some(PLAIN_ID))?;
        host.write_users()?;
        // Who may use an engine is for its socket to say, as where the package has made the group `docker`.
        let config = format!(
            "Port 22\nListenAddress 0.0.0.0\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\nUsePAM no\nUseDNS no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n",
            host.path("host").display(),
            host.path("authorized_keys").display(),
        );
        fs::write(host.path("config"), config)?;
        host.start_sshd()?;
        Ok(host)
    }

    /// The address at the other end of the operator's cable.
    pub(crate) fn address(&self) -> String {
        format!("10.201.{}.2", self.number)
    }

    /// The name of its end of the cable: nobody else has such an interface.
    pub(crate) fn interface(&self) -> String {
        format!("cable-{}", self.name)
    }

    /// The base directory of its stack.
    pub(crate) fn base(&self) -> PathBuf {
        self.path("base")
    }

    /// A new host key, as after an installation. `sshd` takes it at its next start.
    pub(crate) fn change_key(&self) -> Result<()> {
        new_key(&self.path("host"))
    }

    /// Starts its `sshd`, and waits until it listens.
    pub(crate) fn start_sshd(&mut self) -> Result<()> {
        let script = format!(
            "mount -t proc proc /proc && mount -t tmpfs -o mode=755 tmpfs /run && mkdir -m 755 /run/sshd && \
             mount --bind {passwd} /etc/passwd && exec {SSHD} -D -e -f {config}",
            passwd = self.path("passwd").display(),
            config = self.path("config").display(),
        );
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("log"))?;
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "nsenter"])
            .arg(format!("--net=/proc/{}/ns/net", self.docker.namespace()))
            .args(["unshare", "--mount", "--propagation", "private"])
            .args(["--pid", "--fork", "--kill-child", "sh", "-c", &script])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        self.sshd = Some(command.spawn().context("cannot start sshd")?);
        let began = Instant::now();
        while !self.answers()? {
            if began.elapsed() > START_LIMIT {
                let log = fs::read_to_string(self.path("log")).unwrap_or_default();
                bail!("sshd does not listen: {log}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Ends its `sshd`, with its sessions and all that they run.
    pub(crate) fn stop_sshd(&mut self) -> Result<()> {
        let Some(mut sshd) = self.sshd.take() else {
            return Ok(());
        };
        let _killed = sshd.kill();
        sshd.wait()?;
        let began = Instant::now();
        while self.answers()? {
            if began.elapsed() > START_LIMIT {
                bail!("sshd was killed and answers");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Ports that something listens on there, whatever the address.
    pub(crate) fn listening(&self) -> Result<Vec<u16>> {
        self.ports_in_state("0A")
    }

    /// Has something a connection to this port, there?
    pub(crate) fn is_connected(&self, port: u16) -> Result<bool> {
        Ok(self.ports_in_state("01")?.contains(&port))
    }

    /// Local ports of TCP sockets in a state, as the kernel writes it.
    fn ports_in_state(&self, state: &str) -> Result<Vec<u16>> {
        let files = ["/proc/net/tcp", "/proc/net/tcp6"];
        let text = shell::output(self.docker.inside("cat").args(files))?;
        let mut ports = Vec::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            if let [_, local, _, is, ..] = words.as_slice()
                && *is == state
                && let Some((_, hex)) = local.rsplit_once(':')
            {
                ports.push(u16::from_str_radix(hex, 16)?);
            }
        }
        ports.sort_unstable();
        ports.dedup();
        Ok(ports)
    }

    fn answers(&self) -> Result<bool> {
        Ok(self.listening()?.contains(&22))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The machine's users and one more.
    fn write_users(&self) -> Result<()> {
        let mut users = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
        users.push_str(&format!(
            "{PLAIN_USER}:x:{PLAIN_ID}:{PLAIN_ID}::{}:/bin/sh\n",
            self.path("home").display()
        ));
        fs::write(self.path("passwd"), users).context("cannot write a list of users")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Err(error) = self.stop_sshd() {
            println!("stopping sshd: {error:#}");
        }
    }
}

/// Makes a pair of keys, `PATH` and `PATH.pub`.
fn new_key(path: &Path) -> Result<()> {
    let _absent = fs::remove_file(path);
    shell::output(
        Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(path),
    )
    .map(|_| ())
}
