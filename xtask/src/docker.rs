//! A Docker Engine of our own for tests and benchmarks: the machine's `dockerd`, with its own data, socket and network.
//!
//! It runs in a network namespace of its own, so that its bridge, its iptables rules and its swarm ports meet neither the
//! machine's nor another run's, and go when it goes. An engine that runs already on the machine is left alone. Whatever way a test
//! ends, containers, engine, mounts and folders go with the value; should the test itself be killed, the kernel ends the
//! engine, and the next start clears away what was left.

mod image;
pub(crate) mod shop;
pub(crate) mod stack;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::machine::Machine;
use crate::server::TempDir;
use crate::{peers, shell};

pub(crate) use image::{IMAGE, IMAGE_NEXT};

/// Longer than an engine needs to start on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(40);
/// Longer than it needs to stop once its containers are gone.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// The network of its bridge; nobody else is in its namespace.
const BRIDGE: &str = "172.30.5.1/24";

/// A running engine.
#[derive(Debug)]
pub(crate) struct Docker {
    /// Socket, exec root, pid file and log: short paths, as sockets want them.
    folder: TempDir,
    /// Images and containers: on the disk that the build is on, since `/tmp` may be memory.
    data: PathBuf,
    place: Place,
    daemon: Child,
    flags: Vec<String>,
    mounts: Mounts,
}

/// In whose table of mounts the engine lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mounts {
    /// The machine's, whatever it is like.
    Machine,
    /// One of its own in which everything is shared, as systemd makes it: containers see what their host mounts later.
    Shared,
}

/// Whose namespaces it lives in.
#[derive(Debug)]
enum Place {
    /// A network of its own, which this process keeps while the engine is down.
    Network(Child),
    /// Those of a machine, by flags of `nsenter`.
    Machine(Vec<String>),
}

impl Place {
    /// Flags of `nsenter` that lead into it.
    fn entry(&self) -> Vec<String> {
        match self {
            Self::Network(keeper) => vec![format!("--net=/proc/{}/ns/net", keeper.id())],
            Self::Machine(entry) => entry.clone(),
        }
    }
}

impl Docker {
    /// Installs what is missing, starts an engine and gives it its images. An error says what cannot be had here.
    pub(crate) fn start(flags: &[&str]) -> Result<Self> {
        Self::start_with(flags, Mounts::Machine)
    }

    /// The same with other mounts.
    pub(crate) fn start_with(flags: &[&str], mounts: Mounts) -> Result<Self> {
        require()?;
        Self::start_in(Place::Network(new_namespace()?), flags, mounts)
    }

    /// The engine of a machine, with its socket where everybody looks for it. It must go before the machine does.
    pub(crate) fn start_on(machine: &Machine) -> Result<Self> {
        require()?;
        let flags = ["--host=unix:///run/docker.sock"];
        Self::start_in(Place::Machine(machine.entry()), &flags, Mounts::Machine)
    }

    fn start_in(place: Place, flags: &[&str], mounts: Mounts) -> Result<Self> {
        let below = shell::target_dir().join("docker");
        sweep(&below);
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let data = below.join(format!("{}-{count}", std::process::id()));
        fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
        let folder = TempDir::new("docker")?;
        let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
        let daemon = spawn_daemon(folder.path(), &data, &place, mounts, &flags)?;
        let mut docker = Self {
            folder,
            data,
            place,
            daemon,
            flags,
            mounts,
        };
        docker.wait_ready()?;
        image::load(&docker)?;
        Ok(docker)
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// A program that speaks to this engine.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("DOCKER_") || name.starts_with("COMPOSE_") {
                command.env_remove(&*name);
            }
        }
        command.env("DOCKER_HOST", format!("unix://{}", self.socket().display()));
        command
    }

    /// A program that runs in the engine's network, and among its mounts, as on the engine's own host, and speaks to it.
    pub(crate) fn inside(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = self.command("nsenter");
        command.args(self.place.entry());
        if matches!(self.place, Place::Machine(_)) {
            // There the socket is where everybody looks for it, and has the same path on every machine.
            command.env_remove("DOCKER_HOST");
        }
        if self.mounts == Mounts::Shared {
            command.arg(format!("--mount=/proc/{}/ns/mnt", self.daemon.id()));
        }
        command.arg(program);
        command
    }

    /// Its own folder, which nobody but this machine's programs may need.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs `docker ARGS` and gives what it printed.
    pub(crate) fn cli(&self, args: &[&str]) -> Result<String> {
        shell::output(self.command("docker").args(args)).map(|text| text.trim().to_string())
    }

    /// Starts a container of [`IMAGE`] that does these words of `burn`, and gives its id.
    pub(crate) fn burn(&self, name: &str, flags: &[&str], words: &[&str]) -> Result<String> {
        self.run(name, flags, IMAGE, &[&["burn"], words].concat())
    }

    /// Starts a container and gives its id.
    pub(crate) fn run(&self, name: &str, flags: &[&str], image: &str, words: &[&str]) -> Result<String> {
        // The first process of a container ignores SIGTERM, and nobody wants to wait ten seconds for each.
        let mut args = vec!["run", "--detach", "--stop-signal=SIGKILL", "--name", name];
        args.extend(flags);
        args.push(image);
        args.extend(words);
        self.cli(&args)
    }

    /// One field of `docker inspect`, by a template such as `.State.Pid`.
    pub(crate) fn inspect(&self, container: &str, field: &str) -> Result<String> {
        self.cli(&["inspect", "--format", &format!("{{{{{field}}}}}"), container])
    }

    /// Waits until the container says that it has done its work.
    pub(crate) fn wait_done(&self, container: &str) -> Result<()> {
        let began = Instant::now();
        loop {
            if self.cli(&["logs", container])?.lines().any(|line| line == "done") {
                return Ok(());
            }
            if began.elapsed() > Duration::from_secs(60) {
                let state = self.inspect(container, "json .State")?;
                bail!("container {container} has not done its work within 60 s: {state}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Brings a compose project up, or up to date, from the text of its file, with the real compose.
    pub(crate) fn compose_up(&self, project: &str, file: &str) -> Result<()> {
        let program = peers::program("docker-compose")?;
        let path = self.folder.path().join(format!("{project}.yml"));
        fs::write(&path, file).with_context(|| format!("cannot write {}", path.display()))?;
        shell::output(
            self.command(program)
                .args(["--project-name", project, "--file"])
                .arg(&path)
                .args(["up", "--detach", "--quiet-pull"]),
        )?;
        Ok(())
    }

    /// `kill -9`, as the kernel's OOM killer would.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.daemon.kill().context("cannot kill the engine")?;
        self.daemon.wait()?;
        // Its containerd dies with it a moment later. What they have left says that they run, and a new engine would believe it.
        let state = self.folder.path().join("exec/containerd/containerd.pid");
        if let Ok(pid) = fs::read_to_string(&state) {
            let _ended = shell::output(Command::new("kill").args(["-9", pid.trim()]));
        }
        for stale in [state, self.folder.path().join("docker.pid")] {
            let _absent = fs::remove_file(stale);
        }
        Ok(())
    }

    /// Starts it again after [`Docker::kill`].
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.daemon = spawn_daemon(
            self.folder.path(),
            &self.data,
            &self.place,
            self.mounts,
            &self.flags,
        )?;
        self.wait_ready()
    }

    /// The disk that holds the containers' files, as `docker run --device-write-bps` wants it: the whole disk, such as `/dev/vda`.
    pub(crate) fn disk(&self) -> Result<String> {
        let number = shell::output(Command::new("stat").args(["-c", "%Hd:%Ld"]).arg(&self.data))?;
        let mut folder = fs::canonicalize(Path::new("/sys/dev/block").join(number.trim()))
            .with_context(|| format!("{} is on no block device", self.data.display()))?;
        if folder.join("partition").exists() {
            folder.pop();
        }
        let name = folder.file_name().context("a device without a name")?;
        Ok(format!("/dev/{}", name.to_string_lossy()))
    }

    fn wait_ready(&mut self) -> Result<()> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.daemon.try_wait()? {
                bail!("dockerd ended at its start ({status}): {}", self.log_tail());
            }
            if self.socket().exists() && self.cli(&["version"]).is_ok() {
                return Ok(());
            }
            if began.elapsed() > START_LIMIT {
                bail!(
                    "dockerd was not ready within {START_LIMIT:?}: {}",
                    self.log_tail()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn log_tail(&self) -> String {
        let text = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.contains("level=info") && !line.contains("level=debug"))
            .collect();
        lines
            .iter()
            .skip(lines.len().saturating_sub(4))
            .copied()
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn clear(&mut self) -> Result<()> {
        if !matches!(self.daemon.try_wait(), Ok(None)) {
            // Only an engine can stop what it has started.
            self.restart()?;
        }
        // Fails where there is no swarm, which is as good.
        let _left = self.cli(&["swarm", "leave", "--force"]);
        let ids = self.cli(&["ps", "--all", "--quiet"])?;
        if !ids.is_empty() {
            let mut args = vec!["rm", "--force", "--volumes"];
            args.extend(ids.split_whitespace());
            self.cli(&args)?;
        }
        Ok(())
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        if let Err(error) = self.clear() {
            println!("clearing the engine's containers: {error:#}");
        }
        let _asked = shell::output(Command::new("kill").arg(self.daemon.id().to_string()));
        let began = Instant::now();
        while matches!(self.daemon.try_wait(), Ok(None)) && began.elapsed() < STOP_LIMIT {
            std::thread::sleep(Duration::from_millis(20));
        }
        // Both may have ended already, which is as good.
        let _killed = self.daemon.kill();
        let _reaped = self.daemon.wait();
        if let Place::Network(keeper) = &mut self.place {
            let _killed = keeper.kill();
            let _reaped = keeper.wait();
        }
        unmount_below(self.folder.path());
        remove_data(&self.data);
    }
}

/// Makes sure that all programs are there.
fn require() -> Result<()> {
    if !shell::is_root() {
        bail!("a Docker Engine of our own needs root: run the tests as root");
    }
    shell::obtain(&["dockerd"], "docker.io")?;
    // From Debian 13 on the client is a package of its own.
    shell::obtain(&["docker"], "docker-cli")?;
    shell::obtain(&["iptables"], "iptables")?;
    shell::obtain(&["busybox"], "busybox-static")?;
    for program in ["nsenter", "unshare", "setpriv"] {
        shell::obtain(&[program], "util-linux")?;
    }
    Ok(())
}

/// A process that does nothing but keep a network namespace of its own. It ends when we do.
fn new_namespace() -> Result<Child> {
    let mut child =
        quiet(Command::new("setpriv").args(["--pdeathsig", "KILL", "unshare", "--net", "busybox"]))
            .args(["sleep", "1000000"])
            .spawn()
            .context("cannot start `unshare`")?;
    let net = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    let pid = child.id().to_string();
    let began = Instant::now();
    while net(&pid) == net("self") {
        let ended = !matches!(child.try_wait(), Ok(None));
        if ended || began.elapsed() > Duration::from_secs(5) {
            let _killed = child.kill();
            let _reaped = child.wait();
            bail!("no network namespace can be made here (`unshare --net` failed)");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    shell::output(Command::new("nsenter").args([
        &format!("--net=/proc/{pid}/ns/net"),
        "busybox",
        "ip",
        "link",
        "set",
        "lo",
        "up",
    ]))?;
    // A new namespace may have taken over that the machine forwards packets; where it does before Docker starts, Docker before 28 leaves
    // the policy of FORWARD open.
    shell::output(Command::new("nsenter").args([
        &format!("--net=/proc/{pid}/ns/net"),
        "busybox",
        "sysctl",
        "-w",
        "net.ipv4.ip_forward=0",
    ]))?;
    Ok(child)
}

fn spawn_daemon(
    folder: &Path,
    data: &Path,
    place: &Place,
    mounts: Mounts,
    flags: &[String],
) -> Result<Child> {
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .context("cannot write the engine's log")?;
    // The machine's own settings are for the machine's own engine; an empty file stands for none.
    let config = folder.join("daemon.json");
    fs::write(&config, "{}")?;
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "TERM", "nsenter"])
        .args(place.entry());
    if mounts == Mounts::Shared {
        command.args(["unshare", "--mount", "--propagation", "shared"]);
    }
    command
        .args(["dockerd", "--bip", BRIDGE])
        .arg(format!("--config-file={}", config.display()))
        .arg(format!("--data-root={}", data.display()))
        .arg(format!("--exec-root={}", folder.join("exec").display()))
        .arg(format!("--pidfile={}", folder.join("docker.pid").display()))
        .arg(format!("--host=unix://{}", folder.join("docker.sock").display()))
        .args(flags)
        // Ctrl-C reaches the whole group: the engine is stopped in order instead, after its containers.
        .process_group(0);
    quiet(&mut command)
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("cannot start dockerd")
}

fn quiet(command: &mut Command) -> &mut Command {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
}

/// Clears away what runs that were killed have left.
fn sweep(below: &Path) {
    for entry in fs::read_dir(below).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.split('-').next().unwrap_or_default();
        if !Path::new("/proc").join(owner).exists() {
            remove_data(&entry.path());
        }
    }
}

fn remove_data(data: &Path) {
    unmount_below(data);
    // What is left is below the build folder and goes with it; a failed test must not fail twice.
    let _gone = fs::remove_dir_all(data);
}

/// Unmounts all that is mounted on a folder and below it, the deepest first: an engine that was killed leaves its data mounted on
/// itself.
fn unmount_below(folder: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut places: Vec<&str> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .filter(|place| Path::new(place).starts_with(folder))
        .collect();
    places.sort_by_key(|place| std::cmp::Reverse(place.len()));
    for place in places {
        let _unmounted = shell::output(Command::new("umount").args(["-l", place]));
    }
}
