//! Backup, restore and upgrade of a stack over SSH: an sshd in the engine's network, and the connection cut in the middle.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::backup::{nothing_is_left, nothing_is_missing, now};
use super::broken_off::Running;
use super::refused::signal;
use super::upgrade::{downgrade, image, older};
use super::{Outcome, Ran, Rig, ran, wait, with_rig};
use crate::docker::stack::name;
use crate::shell;

const SSHD: &str = "/usr/sbin/sshd";
/// Nobody else listens in the engine's network.
const PORT: &str = "2222";

type Step = (&'static str, fn(&There) -> Result<()>);

const STEPS: &[Step] = &[
    ("backed up and restored, no sample is missing", there_and_back),
    ("a connection that is cut in a backup", cut_in_backup),
    ("a connection that is cut in a restore", cut_in_restore),
    ("upgraded", upgraded),
];

/// All of [`STEPS`].
pub(in super::super) fn story() -> Result<Outcome> {
    if let Err(why) = shell::obtain(&[SSHD], "openssh-server") {
        return Ok(Outcome::Missing(why));
    }
    with_rig(|rig| {
        rig.set_up(&[])?;
        let there = There::new(rig)?;
        rig.wait_for("count_over_time(up{job=\"node-exporter\"}[5m]) > 8")?;
        for (name, step) in STEPS {
            let began = Instant::now();
            step(&there).with_context(|| (*name).to_owned())?;
            println!("     ok   {name} ({:.1} s)", began.elapsed().as_secs_f64());
        }
        Ok(())
    })
}

/// The rig's engine as a registered server.
struct There<'a> {
    rig: &'a Rig,
    sshd: Child,
}

impl Drop for There<'_> {
    fn drop(&mut self) {
        let _cut = self.cut();
        let _ended = self.sshd.kill();
        let _reaped = self.sshd.wait();
    }
}

impl<'a> There<'a> {
    fn new(rig: &'a Rig) -> Result<Self> {
        fs::create_dir_all("/run/sshd")?;
        for key in ["host", "user"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(rig.file(key));
            shell::output(&mut keygen)?;
        }
        fs::copy(rig.file("user.pub"), rig.file("authorized_keys"))?;
        let path = |name: &str| rig.file(name).display().to_string();
        let config = format!(
            "Port {PORT}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n",
            path("host"),
            path("authorized_keys"),
        );
        fs::write(rig.file("sshd_config"), config)?;
        let known = format!(
            "UserKnownHostsFile {}\nGlobalKnownHostsFile /dev/null\n",
            path("known_hosts")
        );
        fs::write(rig.file("ssh_config"), known)?;
        let sshd = rig
            .docker
            .inside(SSHD)
            .args(["-D", "-f"])
            .arg(rig.file("sshd_config"))
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start sshd")?;
        let there = Self { rig, sshd };
        let (identity, base) = (path("user"), rig.base().display().to_string());
        let socket = rig.docker.socket().display().to_string();
        let address = format!("root@127.0.0.1:{PORT}");
        let words = [
            "server",
            "add",
            "box",
            &address,
            "--identity",
            &identity,
            "--base-dir",
            &base,
        ];
        let more = ["--docker-socket", &socket, "--accept-new-host-key"];
        wait("the server is registered", || {
            let ran = ran(&mut there.command(&[&words[..], &more].concat()))?;
            Ok(ran.code == Some(0))
        })?;
        Ok(there)
    }

    /// `masthead ARGS` of somebody who has this server registered.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.rig.command(args);
        command
            .env("MASTHEAD_SERVERS", self.rig.file("servers.json"))
            .env("MASTHEAD_SSH_CONFIG", self.rig.file("ssh_config"));
        command
    }

    fn run(&self, name: &str, args: &[&str]) -> Result<Ran> {
        ran(&mut self.command(&[&[name, "--server", "box"], args].concat()))
    }

    fn running(&self, name: &str, args: &[&str]) -> Result<Running> {
        Running::of(self.command(&[&[name, "--server", "box"], args].concat()))
    }

    /// Ends every connection; the daemon goes on listening.
    fn cut(&self) -> Result<()> {
        let parent = self.sshd.id().to_string();
        let children = Command::new("pgrep").args(["--parent", &parent]).output()?;
        for pid in String::from_utf8_lossy(&children.stdout).split_whitespace() {
            let pid: u32 = pid.parse()?;
            // One that ended meanwhile is cut too.
            let _gone = signal(pid, "KILL");
        }
        Ok(())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.rig.file(name)
    }
}

fn moment(rig: &Rig) -> Result<(String, super::backup::Samples)> {
    std::thread::sleep(Duration::from_secs(2));
    let at = now()?;
    std::thread::sleep(Duration::from_secs(2));
    let samples = rig.samples(&at)?;
    Ok((at, samples))
}

fn there_and_back(there: &There) -> Result<()> {
    let rig = there.rig;
    let (at, before) = moment(rig)?;
    let file = there.file("b.tar.gz").display().to_string();
    there.run("backup", &[&file])?.expect(0, &["holds passwords"])?;
    nothing_is_left(rig)?;
    there
        .run("restore", &[&file, "--dry-run"])?
        .expect(0, &["whole"])?;
    rig.done("setup", &["--retention-time", "7d", "--pull", "never"])?;
    there
        .run("restore", &[&file, "--yes"])?
        .expect(0, &["every target is up"])?;
    nothing_is_missing(&before, &rig.samples(&at)?)?;
    nothing_is_left(rig)?;
    // Of a `masthead up` over there nothing is known here.
    there
        .run("backup", &["x.tar.gz", "--data-dir", "/var/lib/masthead"])?
        .expect(2, &["log in to it"])?;
    there
        .run("migrate", &["embedded"])?
        .expect(1, &["on their own machine"])?;
    rig.is_settled()
}

fn cut_in_backup(there: &There) -> Result<()> {
    let rig = there.rig;
    let file = there.file("cut.tar.gz");
    let mut run = there.running("backup", &[&file.display().to_string()])?;
    if !run.reaches("snapshot") {
        bail!("it was to be cut at its snapshot: {:?}", run.end()?);
    }
    there.cut()?;
    let (status, said) = run.end()?;
    // What only asks goes on over a new connection: it may even succeed.
    if status.success() != file.exists() {
        bail!(
            "{status}, and a file that is there or not: {}: {said}",
            file.exists()
        );
    }
    let again = there.file("again.tar.gz").display().to_string();
    there.run("backup", &[&again])?.expect(0, &[])?;
    there
        .run("restore", &[&again, "--dry-run"])?
        .expect(0, &["whole"])?;
    nothing_is_left(rig)
}

fn cut_in_restore(there: &There) -> Result<()> {
    let rig = there.rig;
    let (at, before) = moment(rig)?;
    let file = there.file("b.tar.gz").display().to_string();
    let mut run = there.running("restore", &[&file, "--yes"])?;
    if !run.reaches("container masthead-prometheus to end") {
        bail!("it was to be cut when it stops the stack: {:?}", run.end()?);
    }
    there.cut()?;
    let (status, said) = run.end()?;
    there.run("setup", &["--pull", "never"])?.expect(0, &[])?;
    nothing_is_left(rig)?;
    // Undone by itself or by setup; had it gone on over a new connection, the backup's would be there, which is older.
    if !status.success() {
        nothing_is_missing(&before, &rig.samples(&at)?).with_context(|| said)?;
    }
    rig.is_settled()
}

fn upgraded(there: &There) -> Result<()> {
    let rig = there.rig;
    for component in ["node-exporter", "prometheus"] {
        rig.docker.cli(&["tag", name(component)?, &older(component)?])?;
        downgrade(rig, component)?;
    }
    rig.done("setup", &["--pull", "never"])?;
    let (at, before) = moment(rig)?;
    there
        .run("upgrade", &["--pull", "never"])?
        .expect(0, &["Upgraded", "prometheus:"])?;
    for component in ["node-exporter", "prometheus"] {
        if image(rig, component)? != name(component)? {
            bail!("{component} was not upgraded");
        }
    }
    nothing_is_missing(&before, &rig.samples(&at)?)?;
    nothing_is_left(rig)?;
    rig.is_settled()
}
