//! Two servers at once, with one of them dead and then back.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::super::Outcome;
use super::{QUICK, Remote, with_hosts};

type Step = (&'static str, fn(&mut Remote) -> Result<()>);

const STEPS: &[Step] = &[
    ("both are registered and tested", registered),
    ("with one of them dead the other is set up", one_is_dead),
    ("with it back both are, and each answers for itself", both),
    ("both are removed", removed),
];

/// All of [`STEPS`].
pub(in super::super::super) fn story() -> Result<Outcome> {
    with_hosts(2, |remote| {
        for (name, step) in STEPS {
            let began = Instant::now();
            step(remote).with_context(|| (*name).to_owned())?;
            println!("     ok   {name} ({:.1} s)", began.elapsed().as_secs_f64());
        }
        Ok(())
    })
}

/// The second host.
fn two(remote: &mut Remote) -> Result<&mut crate::remote::Host> {
    remote.hosts.get_mut(1).context("a rig of one host")
}

fn registered(remote: &mut Remote) -> Result<()> {
    remote
        .run(&["setup", "--all"])?
        .expect(2, &["masthead server add"])?;
    for (host, name) in remote.hosts.iter().zip(["one", "two"]) {
        remote
            .add(host, name, &["--accept-new-host-key"])?
            .expect(0, &["registered"])?;
    }
    remote
        .run(&["server", "test", "--all"])?
        .expect(0, &["one:", "two:"])
}

/// What a command on all of them came to, by server.
fn all(remote: &Remote, args: &[&str], code: i32) -> Result<Value> {
    let ran = remote.run(&[args, &["--all", "--json"]].concat())?;
    ran.expect(code, &[])
        .with_context(|| format!("masthead {args:?}"))?;
    let mut json: Value = serde_json::from_str(&ran.out).with_context(|| format!("no JSON: {}", ran.out))?;
    Ok(json["servers"].take())
}

fn one_is_dead(remote: &mut Remote) -> Result<()> {
    two(remote)?.stop_sshd()?;
    let ran = remote.run(&[&["setup", "--all"], &QUICK[..]].concat())?;
    ran.expect(
        7,
        &["every target is up", "Connection refused", "is sshd running"],
    )?;
    let row = |name: &str, word: &str| {
        ran.out
            .lines()
            .any(|line| line.starts_with(name) && line.contains(word))
    };
    if !row("one", "ok") || !row("two", "out of reach") {
        bail!("the table has both: {}", ran.out);
    }
    // Which server each line of progress is about.
    if !ran.err.lines().any(|line| line.starts_with("one  1 of ")) {
        bail!("progress by server is wanted: {}", ran.err);
    }
    remote.is_settled(remote.one()?, "one")?;
    let status = all(remote, &["status"], 7)?;
    let (one, two) = (&status["one"], &status["two"]);
    if one["ok"] != true || one["components"].as_array().map_or(0, Vec::len) != 3 {
        bail!("the one that lives is well: {status}");
    }
    let text = two["error"]["text"].as_str().unwrap_or_default();
    match two["ok"] == false && text.contains("Connection refused") {
        true => Ok(()),
        false => bail!("the dead one is in the object with its reason: {status}"),
    }
}

fn both(remote: &mut Remote) -> Result<()> {
    two(remote)?.start_sshd()?;
    let done = all(remote, &[&["setup"], &QUICK[..]].concat(), 0)?;
    let steps = |name: &str| done[name]["steps"].as_array().map_or(usize::MAX, Vec::len);
    if steps("one") != 0 || steps("two") < 10 {
        bail!("the first has nothing to do, the second everything: {done}");
    }
    for (host, name) in remote.hosts.iter().zip(["one", "two"]) {
        remote.is_settled(host, name)?;
        let own = format!("count(node_network_up{{device=\"{}\"}})", host.interface());
        let any = "count(node_network_up{device=~\"cable-.*\"})";
        if remote.value(name, &own)? > 1.0 || remote.value(name, any)? > 1.0 {
            bail!("{name} has one cable, and it is its own");
        }
    }
    let status = all(remote, &["status"], 0)?;
    match status["one"]["ok"] == true && status["two"]["ok"] == true {
        true => Ok(()),
        false => bail!("both are well: {status}"),
    }
}

fn removed(remote: &mut Remote) -> Result<()> {
    remote.done(&["remove", "--all", "--purge-data", "--yes"])?;
    for host in &remote.hosts {
        let left = host.docker.cli(&["ps", "--all", "--quiet"])?;
        if !left.is_empty() || host.base().join("data").exists() {
            bail!("something is left: {left} {}", host.base().display());
        }
    }
    Ok(())
}
