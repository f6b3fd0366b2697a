//! Backup, restore and upgrade of a stack over SSH, with the connection cut in the middle.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::backup::{nothing_is_left, nothing_is_missing};
use super::broken_off::Running;
use super::hosts::{ADMIN, Host, Operator, nothing_here, with_hosts};
use super::upgrade::{downgrade, image, moment, older};
use super::{Outcome, Ran, Rig, step};
use crate::docker::stack::name;

type Step = (&'static str, fn(&There) -> Result<()>);

const STEPS: &[Step] = &[
    ("backed up and restored, no sample is missing", there_and_back),
    ("a connection that is cut in a backup", cut_in_backup),
    ("a connection that is cut in a restore", cut_in_restore),
    ("upgraded", upgraded),
];

/// All of [`STEPS`], as a user who becomes root through sudo.
pub(in super::super) fn story() -> Result<Outcome> {
    with_hosts(&["box"], |operator, hosts| {
        let [host] = hosts else {
            bail!("one host is wanted")
        };
        operator
            .add_as(host, ADMIN, "id_ed25519", &["--accept-new-host-key"])?
            .expect(0, &[])?;
        host.rig.set_up(&[])?;
        host.rig
            .wait_for("count_over_time(up{job=\"node-exporter\"}[5m]) > 8")?;
        let there = There { operator, host };
        for (name, run) in STEPS {
            step(name, || run(&there))?;
        }
        nothing_here(operator)
    })
}

/// A registered server, and who gives the commands.
struct There<'a> {
    operator: &'a Operator,
    host: &'a Host,
}

impl There<'_> {
    fn rig(&self) -> &Rig {
        &self.host.rig
    }

    fn run(&self, name: &str, args: &[&str]) -> Result<Ran> {
        self.rig().run(name, args)
    }

    fn running(&self, name: &str, args: &[&str]) -> Result<Running> {
        Running::of(self.rig().stack(name, args))
    }

    fn cut(&self) -> Result<()> {
        self.host.cut()
    }

    /// A file where the commands are given.
    fn file(&self, name: &str) -> PathBuf {
        self.operator.file(name)
    }
}

fn there_and_back(there: &There) -> Result<()> {
    let rig = there.rig();
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
    let rig = there.rig();
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
    let rig = there.rig();
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
    let rig = there.rig();
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
