//! What goes wrong between the operator and a server: each is said with its cure, nothing is left half done that the next run does
//! not finish.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::super::broken_off::Running;
use super::super::{Outcome, wait};
use super::{QUICK, Remote, with_hosts};
use crate::remote::PLAIN_USER;

type Step = (&'static str, fn(&mut Remote) -> Result<()>);
/// What there is on the way to a server, and how it is taken away (`false`) and put back.
type Way = (&'static str, fn(&mut Remote, bool) -> Result<()>);

/// The first ones begin and end without a stack, the others begin with what the one before them has left.
const STEPS: &[Step] = &[
    ("a key that the server does not know", wrong_key),
    ("a user without permission for Docker", plain_user),
    ("no sshd", no_sshd),
    ("a host key that has changed", changed_key),
    ("sshd ends while files are written", sshd_ends),
    ("sshd ends and is back in the middle of a setup", sshd_is_back),
    (
        "sshd ends, and then the cable is cut, while the engine works",
        cable_is_cut,
    ),
    (
        "sshd ends, and the cable is cut, in the middle of a query",
        queries,
    ),
];

/// All of [`STEPS`].
pub(in super::super::super) fn story() -> Result<Outcome> {
    with_hosts(1, |remote| {
        for (name, step) in STEPS {
            let began = Instant::now();
            step(remote).with_context(|| (*name).to_owned())?;
            println!("     ok   {name} ({:.1} s)", began.elapsed().as_secs_f64());
        }
        Ok(())
    })
}

fn wrong_key(remote: &mut Remote) -> Result<()> {
    let one = remote.one()?;
    remote
        .add_as(one, "one", "root", "stranger", &["--accept-new-host-key"])?
        .expect(7, &["Permission denied", "authorized_keys", "was not registered"])?;
    if remote.operator.path("servers.json").exists() {
        bail!("a server that lets nobody in was registered");
    }
    remote.add(one, "one", &[])?.expect(0, &["registered one"])
}

fn plain_user(remote: &mut Remote) -> Result<()> {
    let one = remote.one()?;
    remote
        .add_as(one, "plain", PLAIN_USER, "key", &[])?
        .expect(0, &["registered plain", "rights", "usermod -aG docker"])?;
    remote
        .run(&["server", "test", "plain"])?
        .expect(3, &["sudo", "usermod -aG docker"])?;
    remote
        .run(&["setup", "--server", "plain"])?
        .expect(6, &["usermod -aG docker"])?;
    // The engine is theirs to use, but the stack's files are not theirs to give away.
    let socket = one.docker.socket();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666))?;
    let refused = remote.run(&["setup", "--server", "plain"])?;
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o660))?;
    refused.expect(1, &["root", "sudo"])?;
    if one.base().exists() || !one.docker.cli(&["ps", "--all", "--quiet"])?.is_empty() {
        bail!("a refused setup has made something");
    }
    remote.done(&["server", "remove", "plain"]).map(|_| ())
}

fn no_sshd(remote: &mut Remote) -> Result<()> {
    remote.one_mut()?.stop_sshd()?;
    for command in ["setup", "check", "status", "stop", "logs"] {
        remote
            .run(&[command, "--server", "one"])?
            .expect(7, &["one", "Connection refused", "is sshd running"])
            .with_context(|| command)?;
    }
    remote
        .run(&["query", "--server", "one", "up"])?
        .expect(7, &["Connection refused"])?;
    remote
        .run(&["server", "list"])?
        .expect(3, &["OUT OF REACH", "Connection refused"])?;
    remote.one_mut()?.start_sshd()
}

fn changed_key(remote: &mut Remote) -> Result<()> {
    let one = remote.one_mut()?;
    one.stop_sshd()?;
    one.change_key()?;
    one.start_sshd()?;
    for flags in [&[][..], &["--accept-new-host-key"]] {
        remote
            .run(&[&["setup", "--server", "one"], flags].concat())?
            .expect(7, &["CHANGED", "ssh-keygen -R"])?;
    }
    if remote.one()?.base().exists() {
        bail!("something was written to a server that may be another");
    }
    remote.operator.forget_hosts()?;
    remote
        .run(&["setup", "--server", "one", "--dry-run"])?
        .expect(7, &["not known"])?;
    remote
        .done(&["setup", "--server", "one", "--dry-run", "--accept-new-host-key"])
        .map(|_| ())
}

/// A setup up to a line of its progress.
fn setup_until(remote: &Remote, point: &str) -> Result<Running> {
    let mut run = Running::of(&mut remote.command(&[&["setup", "--server", "one"], &QUICK[..]].concat()))?;
    if !run.reaches(point) {
        bail!("it did not get to {point:?}: {:?}", run.end()?);
    }
    Ok(run)
}

/// How a setup ends that has lost its server: it says what is done, and that the next run goes on.
fn is_broken_off(run: Running, point: &str) -> Result<()> {
    let (status, said) = run.end()?;
    let words = ["Done before it: ", "The next run goes on from here"];
    if status.code() != Some(7) || words.iter().any(|word| !said.contains(word)) {
        bail!("broken off at {point:?} it ends with {status}, not 7 and {words:?}: {said}");
    }
    Ok(())
}

fn sshd_ends(remote: &mut Remote) -> Result<()> {
    for point in ["make folder data", "write web.yml"] {
        breaks_off(remote, point)?;
    }
    Ok(())
}

/// Ends `sshd` when a setup is at this point, and starts it again afterwards.
fn breaks_off(remote: &mut Remote, point: &str) -> Result<()> {
    let run = setup_until(remote, point)?;
    remote.one_mut()?.stop_sshd()?;
    is_broken_off(run, point)?;
    remote.one_mut()?.start_sshd()
}

/// Files are written again over a new connection, so that nobody has to be told.
fn sshd_is_back(remote: &mut Remote) -> Result<()> {
    let run = setup_until(remote, "write promtool.yml")?;
    let one = remote.one_mut()?;
    one.stop_sshd()?;
    one.start_sshd()?;
    let (status, said) = run.end()?;
    match status.code() {
        Some(0) => {}
        // There was nobody in the moment of the second try.
        Some(7) if said.contains("The next run goes on from here") => {
            remote.done(&[&["setup", "--server", "one"], &QUICK[..]].concat())?;
        }
        _ => bail!("{status}: {said}"),
    }
    remote.is_settled(remote.one()?, "one")?;
    remote
        .done(&["remove", "--server", "one", "--purge-data", "--yes"])
        .map(|_| ())
}

/// Nobody hears of it: `ssh` notices by itself.
fn cable_is_cut(remote: &mut Remote) -> Result<()> {
    // Where it is the engine that is spoken to: on the first of these sshd ends, on the second the cable is cut.
    breaks_off(remote, "create container masthead-node-exporter")?;
    let point = "create container masthead-prometheus";
    let run = setup_until(remote, point)?;
    remote.operator.plug(remote.one()?, false)?;
    let ended = is_broken_off(run, point);
    remote.operator.plug(remote.one()?, true)?;
    ended?;
    // The server has not heard of it either, and keeps the lock until it misses the other side.
    remote.done(&[&["setup", "--server", "one", "--wait"], &QUICK[..]].concat())?;
    remote.is_settled(remote.one()?, "one")
}

fn queries(remote: &mut Remote) -> Result<()> {
    let ways: [Way; 2] = [
        ("sshd", |remote, is_there| match is_there {
            true => remote.one_mut()?.start_sshd(),
            false => remote.one_mut()?.stop_sshd(),
        }),
        ("the cable", |remote, is_there| {
            remote.operator.plug(remote.one()?, is_there)
        }),
    ];
    for (what, set) in ways {
        // A Prometheus that does not answer is asked for ever.
        remote.one()?.docker.cli(&["pause", "masthead-prometheus"])?;
        wait("no connection to Prometheus is left", || {
            Ok(!remote.one()?.is_connected(9090)?)
        })?;
        let mut command = remote.command(&["query", "--server", "one", "--timeout", "2m", "up"]);
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start masthead query")?;
        let asked = wait("the query is on its way", || remote.one()?.is_connected(9090));
        set(remote, false)?;
        let out = child.wait_with_output()?;
        set(remote, true)?;
        remote.one()?.docker.cli(&["unpause", "masthead-prometheus"])?;
        asked?;
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        if out.status.code() != Some(7) || !said.contains("connection to server one broke off") {
            bail!("without {what}: {} and {said}", out.status);
        }
        let up = remote.value("one", "sum(up)")?;
        if up < 0.5 {
            bail!("with {what} back a query answers {up}");
        }
    }
    Ok(())
}
