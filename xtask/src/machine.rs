//! A machine of its own, as far as namespaces go: network, mounts and name, with its own `/etc` (users, settings), `/run`, `/var/lib` and homes.
//!
//! What runs on it ([`Machine::command`]) shares the kernel, the disk and `/tmp` with us and nothing else: so a file that was to be
//! written there and was written here is found in the wrong place. Everything on it ends with the value, and with the process that made it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::server::TempDir;
use crate::shell;

/// Longer than a machine takes until it is there.
const START_LIMIT: Duration = Duration::from_secs(10);

/// Makes the namespaces what they should be, says so, and keeps them. Private first: on a machine whose mounts are shared, `/etc` would be
/// replaced for everybody. Shared among themselves then, as systemd makes it.
const KEEP: &str = "set -e
mount --bind \"$1/etc\" /etc
mount --bind \"$1/lib\" /var/lib
mount -t tmpfs tmpfs /run
mount --make-rshared /
mkdir /run/sshd
busybox hostname \"$2\"
busybox ip link set lo up
# A new namespace may have taken over that the machine forwards packets.
busybox sysctl -w net.ipv4.ip_forward=0
: > \"$1/ready\"
exec busybox sleep 1000000";

/// A user of a machine.
#[derive(Debug)]
pub(crate) struct User {
    /// The name.
    pub(crate) name: &'static str,
    /// The number, above those that packages take.
    pub(crate) id: u32,
    /// Is it in the group that may open the engine's socket?
    pub(crate) has_docker: bool,
    /// Does `sudo` let it be root without asking for a password?
    pub(crate) has_sudo: bool,
}

/// The group of Docker's socket, above those that packages take.
const DOCKER_GROUP: u32 = 54_300;

/// A machine. What stands on it must go before it does.
#[derive(Debug)]
pub(crate) struct Machine {
    name: String,
    folder: TempDir,
    keeper: Child,
}

impl Machine {
    /// Makes one with these users beside root.
    pub(crate) fn new(name: &str, users: &[User]) -> Result<Self> {
        let folder = TempDir::new("machine")?;
        copy_etc(&folder.path().join("etc"), name)?;
        fs::create_dir(folder.path().join("lib"))?;
        add_users(folder.path(), users)?;
        let keeper = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "unshare", "--net", "--uts", "--mount"])
            .args(["--propagation", "private", "sh", "-c", KEEP, "keep"])
            .arg(folder.path())
            .arg(name)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start `unshare`")?;
        let mut machine = Self {
            name: name.to_owned(),
            folder,
            keeper,
        };
        let began = Instant::now();
        while !machine.folder.path().join("ready").exists() {
            let ended = !matches!(machine.keeper.try_wait(), Ok(None));
            if ended || began.elapsed() > START_LIMIT {
                bail!("no namespaces of network, mounts and name can be made here");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(machine)
    }

    /// The process that keeps its namespaces.
    pub(crate) fn id(&self) -> u32 {
        self.keeper.id()
    }

    /// Flags of `nsenter` that lead onto it.
    pub(crate) fn entry(&self) -> Vec<String> {
        let id = self.id();
        [("net", "net"), ("uts", "uts"), ("mount", "mnt")]
            .iter()
            .map(|(flag, file)| format!("--{flag}=/proc/{id}/ns/{file}"))
            .collect()
    }

    /// A program that runs on it, as its root.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(self.entry())
            .arg(program)
            .env("HOME", self.home("root"));
        command
    }

    /// A file of its `/etc`, as everybody else sees it.
    pub(crate) fn etc(&self, below: &str) -> PathBuf {
        self.folder.path().join("etc").join(below)
    }

    /// A file of the machine's that is not in its `/etc`, with the same path on it and here.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The home of a user, with the same path on it and here.
    pub(crate) fn home(&self, user: &str) -> PathBuf {
        self.folder.path().join("home").join(user)
    }

    /// From now on it sees a folder of somebody else as empty, and may write nothing into it.
    pub(crate) fn hide(&self, folder: &Path) -> Result<()> {
        shell::output(
            self.command("mount")
                .args(["-t", "tmpfs", "-o", "ro", "tmpfs"])
                .arg(folder),
        )
        .map(drop)
    }

    /// Ends every program of it with this name that runs now, but for one.
    pub(crate) fn end(&self, program: &str, but: Option<u32>) -> Result<()> {
        let mut left = self.processes();
        left.retain(|(pid, name)| name == program && Some(*pid) != but);
        for (pid, _) in &left {
            // One that ended meanwhile is as good.
            let _gone = shell::output(Command::new("kill").args(["-KILL", &pid.to_string()]));
        }
        let began = Instant::now();
        loop {
            let now = self.processes();
            left.retain(|one| now.contains(one));
            if left.is_empty() {
                return Ok(());
            }
            if began.elapsed() > START_LIMIT {
                bail!("{program} of {} does not end: {left:?}", self.name);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Processes that run on it, containers aside: number and name.
    fn processes(&self) -> Vec<(u32, String)> {
        let its = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/uts")).ok();
        let Some(name) = its(self.id()) else {
            return Vec::new();
        };
        fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| its(*pid).as_ref() == Some(&name))
            .filter_map(|pid| {
                let comm = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
                Some((pid, comm.trim().to_owned()))
            })
            .collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for (pid, _) in self.processes() {
            let _gone = shell::output(Command::new("kill").args(["-KILL", &pid.to_string()]));
        }
        let _killed = self.keeper.kill();
        let _reaped = self.keeper.wait();
    }
}

/// This machine's settings with another name, and without what it has of ours and of its sshd's keys.
fn copy_etc(etc: &Path, name: &str) -> Result<()> {
    shell::output(Command::new("cp").args(["-a", "/etc"]).arg(etc))?;
    for folder in ["masthead", "ssh", "docker"] {
        let _absent = fs::remove_dir_all(etc.join(folder));
    }
    fs::create_dir(etc.join("ssh"))?;
    for (file, text) in [
        ("hostname", format!("{name}\n")),
        ("hosts", format!("127.0.0.1 localhost {name}\n::1 localhost\n")),
    ] {
        fs::write(etc.join(file), text).with_context(|| format!("cannot write {file} of {name}"))?;
    }
    Ok(())
}

/// Root with a home of its own, these users, and Docker's group.
fn add_users(folder: &Path, users: &[User]) -> Result<()> {
    let etc = folder.join("etc");
    let homes = folder.join("home");
    let others = |file: &str, names: &[&str]| -> Result<String> {
        let text = fs::read_to_string(etc.join(file)).with_context(|| format!("no /etc/{file}"))?;
        let is_other = |line: &&str| !names.contains(&line.split(':').next().unwrap_or_default());
        Ok(text
            .lines()
            .filter(is_other)
            .map(|line| format!("{line}\n"))
            .collect())
    };
    let home = homes.display();
    // Nobody logs in with a password; `*` is none, `!` would be a locked user, whom sshd refuses.
    let mut passwd = format!(
        "root:x:0:0:root:{home}/root:/bin/sh\n{}",
        others("passwd", &["root"])?
    );
    let mut shadow = format!("root:*:19000::::::\n{}", others("shadow", &["root"])?);
    // Distributions have this, so that commands of root are found whatever the user's PATH is.
    let path = "Defaults secure_path=\"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"\n";
    let (mut members, mut sudoers) = (Vec::new(), path.to_owned());
    for User { name, id, .. } in users {
        passwd.push_str(&format!("{name}:x:{id}:{id}::{home}/{name}:/bin/sh\n"));
        shadow.push_str(&format!("{name}:*:19000::::::\n"));
    }
    for user in users {
        if user.has_docker {
            members.push(user.name);
        }
        if user.has_sudo {
            sudoers.push_str(&format!("{} ALL=(ALL) NOPASSWD: ALL\n", user.name));
        }
    }
    let group = format!(
        "{}docker:x:{DOCKER_GROUP}:{}\n",
        others("group", &["docker"])?,
        members.join(",")
    );
    // A file of the machine's own may hold settings that are nobody's business here.
    for (file, text, mode) in [
        ("passwd", passwd, 0o644),
        ("shadow", shadow, 0o600),
        ("group", group, 0o644),
        ("sudoers", sudoers, 0o440),
    ] {
        let path = etc.join(file);
        let _absent = fs::remove_file(&path);
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    }
    for (name, id) in users.iter().map(|user| (user.name, user.id)).chain([("root", 0)]) {
        let own = homes.join(name);
        fs::create_dir_all(own.join(".ssh"))?;
        for path in [own.join(".ssh"), own] {
            chown(&path, Some(id), Some(id))?;
        }
    }
    Ok(())
}
