//! A stack's life on a remote host, and hosts that fail, lie or are out of reach.

use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::broken_off::Running;
use super::hosts::{ADMIN, Agent, DEVELOPER, Host, Operator, PLAIN, new_key, nothing_here, with_hosts};
use super::{Outcome, Ran, life, ran, step, wait};
use crate::shell;

/// Longer than a connection that is dead takes to be noticed.
const PATIENCE: Duration = Duration::from_secs(60);

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
        for (name, run) in STEPS {
            step(name, || run(operator, one, two))?;
        }
        nothing_here(operator)
    })
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
