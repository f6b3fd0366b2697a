//! A setup that is broken off: by Ctrl-C, by a kill, by the engine's end, by another setup. The next run finishes it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::refused::signal;
use super::{LIMIT, Outcome, Rig, with_rig};

/// All of it on one engine.
pub(in super::super) fn story() -> Result<Outcome> {
    with_rig(|rig| {
        two_at_once(rig).context("two setups at once")?;
        println!("     ok   two setups at once");
        rig.done("remove", &["--purge-data", "--yes"])?;
        interrupted(rig).context("Ctrl-C and kill -9 in the middle")?;
        println!("     ok   Ctrl-C and kill -9 in the middle");
        rig.done("remove", &["--yes"])?;
        without_engine(rig).context("the engine is killed in the middle")?;
        println!("     ok   the engine is killed in the middle");
        Ok(())
    })
}

/// A command that runs, with its progress.
pub(super) struct Running {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
    said: Vec<String>,
}

impl Running {
    fn new(rig: &Rig, args: &[&str]) -> Result<Self> {
        Self::of(rig.stack(
            "setup",
            &[&["--pull", "never", "--scrape-interval", "1s"], args].concat(),
        ))
    }

    /// Starts it.
    pub(super) fn of(mut command: Command) -> Result<Self> {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start masthead")?;
        let err = child.stderr.take().context("no standard error")?;
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(err).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            child,
            lines,
            said: Vec::new(),
        })
    }

    /// Sends it a signal as soon as its progress is at a point, and sees that it does not end well; what it said.
    pub(super) fn break_off(mut self, point: &str, word: &str) -> Result<String> {
        if !self.reaches(point) {
            bail!("it was to be broken off at {point:?}: {:?}", self.end()?);
        }
        signal(self.id(), word)?;
        let (status, said) = self.end()?;
        if status.success() {
            bail!("SIG{word} at {point:?} did not end it: {said}");
        }
        Ok(said)
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until a line of its progress has this in it; false when it ended before.
    pub(super) fn reaches(&mut self, word: &str) -> bool {
        while let Ok(line) = self.lines.recv_timeout(LIMIT) {
            self.said.push(line);
            if self.said.last().is_some_and(|line| line.contains(word)) {
                return true;
            }
        }
        false
    }

    /// Waits for its end; gives how it ended and all that it said.
    pub(super) fn end(mut self) -> Result<(ExitStatus, String)> {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if began.elapsed() > LIMIT {
                let _killed = self.child.kill();
                let _reaped = self.child.wait();
                bail!("it does not end; it said {:#?}", self.said);
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        self.said.extend(self.lines.iter());
        Ok((status, self.said.join("\n")))
    }
}

fn two_at_once(rig: &Rig) -> Result<()> {
    let mut first = Running::new(rig, &[])?;
    if !first.reaches("network") {
        bail!("the first did not begin: {:?}", first.end()?);
    }
    let pid = first.child.id().to_string();
    rig.run("setup", &["--pull", "never"])?
        .expect(5, &[&pid, "--wait"])?;
    let third = rig.run("setup", &["--pull", "never", "--wait"])?;
    let (status, said) = first.end()?;
    if !status.success() {
        bail!("the first failed: {said}");
    }
    third.expect(0, &[])?;
    rig.is_settled()
}

/// The points at which it is broken off, in the order of a setup's steps: each run goes further than the one before.
const POINTS: &[(&str, &str)] = &[
    ("write web.yml", "KILL"),
    ("create network", "INT"),
    ("create container masthead-node-exporter", "KILL"),
    ("start container masthead-node-exporter", "INT"),
    ("create container masthead-prometheus", "INT"),
    ("start container masthead-prometheus", "KILL"),
];

fn interrupted(rig: &Rig) -> Result<()> {
    let mut broken_off = 0;
    for (point, name) in POINTS {
        // On a busy machine a signal may come when a step or two more are done.
        let plan = rig.plan(&["--pull", "never", "--scrape-interval", "1s"])?;
        if !plan.iter().any(|step| step.contains(point)) {
            println!("     {point:?} was done by a run that was broken off late");
            continue;
        }
        broken_off += 1;
        let said = Running::new(rig, &[])?.break_off(point, name)?;
        // What it asked of the engine last, the engine may be doing still.
        std::thread::sleep(Duration::from_secs(2));
        if *name == "INT" && !said.contains("next run") {
            bail!("it does not say how to go on after Ctrl-C at {point:?}: {said}");
        }
    }
    if broken_off < 3 {
        bail!(
            "of {} points it was broken off at {broken_off} alone",
            POINTS.len()
        );
    }
    rig.set_up(&[])?;
    rig.is_settled()
}

fn without_engine(rig: &mut Rig) -> Result<()> {
    let mut run = Running::new(rig, &[])?;
    if !run.reaches("start container masthead-node-exporter") {
        bail!("it did not get so far: {:?}", run.end()?);
    }
    rig.docker.kill()?;
    let (status, said) = run.end()?;
    if !matches!(status.code(), Some(1 | 6)) || !said.contains("docker") {
        bail!("an error that names Docker is wanted: {status}: {said}");
    }
    rig.run("check", &[])?.expect(6, &["docker.sock"])?;
    rig.docker.restart()?;
    rig.set_up(&[])?;
    rig.is_settled()
}
