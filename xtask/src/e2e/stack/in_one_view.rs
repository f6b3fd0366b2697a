//! Registered servers in one view: a `masthead up` that scrapes two remote hosts through their tunnels, while one of them goes and comes.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::hosts::{Host, Operator, with_hosts};
use super::remote::all;
use super::{Outcome, exchange, ran, step, wait};
use crate::server::Server;
use crate::{http, shell, ui};

/// Nobody else listens in the namespaces.
const LISTEN: &str = "127.0.0.1:9090";
/// A tunnel that breaks off is noticed by the next scrape, and taken up again within a few seconds.
const SOON: Duration = Duration::from_secs(15);

type Step = (&'static str, fn(&View, &mut Host, &mut Host) -> Result<()>);

const STEPS: &[Step] = &[
    ("series of both in one store", both),
    ("the page shows them side by side", page),
    ("one that is cut off is down since then, with a reason", cut_off),
    ("the page says so", page_down),
    ("it comes back", back),
    (
        "a prometheus that is stopped is no server out of reach",
        prometheus_stopped,
    ),
    (
        "its own page through a tunnel, over a connection that is cut",
        own_page,
    ),
    ("one that is removed ends", removed),
    ("a masthead in the place of a prometheus", embedded),
    (
        "setup of an embedded one is refused where it cannot be",
        not_embedded,
    ),
];

/// All of [`STEPS`].
pub(in super::super) fn story() -> Result<Outcome> {
    with_hosts(&["one", "two"], |operator, hosts| {
        let [one, two] = hosts else {
            bail!("two hosts are wanted")
        };
        for host in [&*one, &*two] {
            operator
                .add(host, "id_ed25519", &["--accept-new-host-key"])?
                .expect(0, &["registered"])?;
        }
        all(one, "setup", &["--pull", "never", "--scrape-interval", "1s"])?
            .expect(0, &["every target is up"])?;
        let view = View::new(operator, one)?;
        for (name, run) in STEPS {
            step(name, || run(&view, one, two))?;
        }
        view.end()
    })
}

/// A `masthead up` where commands are given.
struct View<'a> {
    operator: &'a Operator,
    up: Server,
}

impl<'a> View<'a> {
    fn new(operator: &'a Operator, host: &Host) -> Result<Self> {
        let config = operator.file("masthead.yml");
        fs::write(
            &config,
            "masthead:\n  collect: {interval: 1s}\n  containers: {enabled: false}\n",
        )?;
        let mut command = host.rig.command(&["up", "--listen", LISTEN]);
        command
            .arg("--config")
            .arg(config)
            .arg("--data-dir")
            .arg(operator.file("data"));
        let up = Server::spawn(&mut command, LISTEN, &operator.file("up.log"))?;
        let view = Self { operator, up };
        wait("masthead up answers", || Ok(view.query("vector(1)").is_ok()))?;
        Ok(view)
    }

    fn get(&self, path: &str, form: &[(&str, &str)]) -> Result<Value> {
        let mut nc = self.operator.inside("busybox");
        let (method, body) = match form {
            [] => ("GET", String::new()),
            form => ("POST", http::form_encode(form)),
        };
        let response = exchange(nc.arg("nc"), LISTEN, method, path, None, body.as_bytes())?;
        if response.status != 200 {
            bail!("{path} {form:?}: {}: {}", response.status, response.text());
        }
        Ok(response.json()?["data"].take())
    }

    /// Labels and value of each series.
    fn query(&self, promql: &str) -> Result<Vec<(Value, f64)>> {
        let data = self.get("/api/v1/query", &[("query", promql)])?;
        let rows = data["result"].as_array().cloned().unwrap_or_default();
        rows.into_iter()
            .map(|mut row| {
                let value = row["value"][1].as_str().and_then(|text| text.parse().ok());
                Ok((row["metric"].take(), value.context("a sample without a value")?))
            })
            .collect()
    }

    fn value(&self, promql: &str) -> Result<Option<f64>> {
        Ok(self.query(promql)?.first().map(|(_, value)| *value))
    }

    fn wait_for(&self, promql: &str) -> Result<()> {
        wait(promql, || Ok(!self.query(promql)?.is_empty()))
    }

    /// What is said of a registered server.
    fn server(&self, name: &str) -> Result<Option<Value>> {
        let data = self.get("/api/masthead/v1/servers", &[])?;
        let all = data["servers"].as_array().cloned().unwrap_or_default();
        Ok(all.into_iter().find(|server| server["name"] == name))
    }

    fn wait_state(&self, name: &str, state: &str) -> Result<Value> {
        let mut found = Value::Null;
        wait(&format!("server {name} is {state}"), || {
            found = self.server(name)?.unwrap_or_default();
            Ok(found["state"] == state)
        })
        .with_context(|| format!("the last state was {found}"))?;
        Ok(found)
    }

    fn end(mut self) -> Result<()> {
        let (_, status) = self.up.stop("TERM", SOON)?;
        if !status.success() {
            bail!("it ended with {status}");
        }
        Ok(())
    }
}

fn both(view: &View, one: &mut Host, two: &mut Host) -> Result<()> {
    for host in [&*one, &*two] {
        let name = host.name()?;
        let server = view.wait_state(&name, "up")?;
        if server["runtime"] != "upstream" || server["reason"] != Value::Null {
            bail!("it is to be well: {server}");
        }
        for job in ["node-exporter", "cadvisor", "prometheus"] {
            view.wait_for(&format!("up{{job=\"{job}\",server=\"{name}\"}} == 1"))?;
        }
        view.wait_for(&format!("up{{job=\"federate\",server=\"{name}\"}} == 1"))?;
        view.wait_for(&format!(
            "container_memory_working_set_bytes{{server=\"{name}\",name=\"masthead-prometheus\"}}"
        ))?;
        // The instance is the server's own, and the value too.
        let there = host.rig.query("node_boot_time_seconds")?;
        let here = view.query(&format!("node_boot_time_seconds{{server=\"{name}\"}}"))?;
        let ([(own, _)], [(ours, _)]) = (there.as_slice(), here.as_slice()) else {
            bail!("one series each is wanted: {there:?} {here:?}")
        };
        if own["instance"] != ours["instance"] || ours["job"] != "node-exporter" {
            bail!("labels of its own are wanted: {own} {ours}");
        }
    }
    // Times are those of the scrape there: with a scrape a second, samples of the last ten seconds have about ten times.
    std::thread::sleep(Duration::from_secs(10));
    let count = view
        .value("count_over_time(node_load1{server=\"one\"}[10s])")?
        .unwrap_or(0.0);
    if !(5.0..=11.0).contains(&count) {
        bail!("{count} samples in ten seconds");
    }
    let local = view.query("node_load1{server=\"\"}")?;
    if local.len() != 1 {
        bail!("this machine's own series have no label `server`: {local:?}");
    }
    Ok(())
}

fn page(view: &View, _: &mut Host, _: &mut Host) -> Result<()> {
    browse(view, &["--up", "one,two"])
}

fn page_down(view: &View, _: &mut Host, _: &mut Host) -> Result<()> {
    browse(view, &["--up", "one", "--down", "two"])
}

/// Looks at the page in Chromium, where there is one; it leaves its screenshots in `target/shots`.
fn browse(view: &View, args: &[&str]) -> Result<()> {
    let found = ui::require_node()
        .and_then(|()| shell::obtain(&["chromium", "chromium-browser", "google-chrome"], "chromium"));
    let chromium = match found {
        Ok(path) => path,
        Err(why) => {
            println!("     SKIPPED the page: {why:#}");
            return Ok(());
        }
    };
    ui::install(&ui::dir())?;
    let shots = shell::target_dir().join("shots");
    fs::create_dir_all(&shots)?;
    // Whatever runs there begins in its root directory.
    let mut node = view.operator.inside("node");
    node.arg(ui::dir().join("tests/servers.mjs"))
        .args(["--url", &format!("http://{LISTEN}"), "--shots"])
        .arg(shots)
        .args(args)
        .env("CHROMIUM", chromium);
    let run = ran(&mut node)?;
    if run.code != Some(0) {
        bail!("{}", run.text());
    }
    Ok(())
}

fn cut_off(view: &View, _: &mut Host, two: &mut Host) -> Result<()> {
    let since = view.wait_state("two", "up")?["since"].as_f64();
    two.stop()?;
    let began = Instant::now();
    let server = view.wait_state("two", "down")?;
    if began.elapsed() > SOON {
        bail!("it took {:?} to notice", began.elapsed());
    }
    if server["since"].as_f64() <= since {
        bail!("it is down since before it was up: {server}");
    }
    wait("the reason is that of ssh", || {
        let server = view.server("two")?.unwrap_or_default();
        Ok(server["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("Connection refused")))
    })?;
    let later = view.server("two")?.unwrap_or_default();
    if later["since"] != server["since"] {
        bail!("another reason is no other state: {server} {later}");
    }
    view.wait_for("up{job=\"federate\",server=\"two\"} == 0")?;
    let left = view.query("{server=\"two\",job!=\"federate\"}")?;
    if !left.is_empty() {
        bail!("its series are to be ended: {left:?}");
    }
    let targets = view.get("/api/v1/targets", &[])?;
    let targets = targets["activeTargets"].as_array().cloned().unwrap_or_default();
    let target = targets.iter().find(|target| target["labels"]["server"] == "two");
    let error = target
        .and_then(|target| target["lastError"].as_str())
        .unwrap_or("");
    if !error.contains("Connection refused") {
        bail!("the target is to say why: {target:?}");
    }
    undisturbed(view)
}

/// The other one has lost nothing.
fn undisturbed(view: &View) -> Result<()> {
    let lowest = view.value("min_over_time(up{job=\"federate\",server=\"one\"}[20s])")?;
    let count = view.value("count_over_time(up{job=\"federate\",server=\"one\"}[10s])")?;
    if lowest != Some(1.0) || count < Some(8.0) {
        bail!("the other one was disturbed: {lowest:?}, {count:?} scrapes in ten seconds");
    }
    Ok(())
}

fn back(view: &View, _: &mut Host, two: &mut Host) -> Result<()> {
    let down = view.wait_state("two", "down")?;
    two.start(view.operator, "")?;
    let up = view.wait_state("two", "up")?;
    if up["since"].as_f64() <= down["since"].as_f64() || up["reason"] != Value::Null {
        bail!("it is up since now: {down} {up}");
    }
    view.wait_for("node_load1{server=\"two\"}")?;
    // A connection that breaks off is made anew, with nobody's help.
    two.cut()?;
    view.wait_state("two", "down")?;
    view.wait_state("two", "up")?;
    undisturbed(view)
}

fn prometheus_stopped(view: &View, _: &mut Host, two: &mut Host) -> Result<()> {
    two.run("stop", &["prometheus"])?.expect(0, &[])?;
    let server = view.wait_state("two", "down")?;
    let reason = server["reason"].as_str().unwrap_or("");
    if reason.contains("ssh") || reason.is_empty() {
        bail!("the reason is Prometheus', not the connection's: {server}");
    }
    two.run("start", &["prometheus"])?.expect(0, &[])?;
    view.wait_state("two", "up")?;
    Ok(())
}

fn own_page(view: &View, _: &mut Host, two: &mut Host) -> Result<()> {
    let log = view.operator.file("ui.log");
    let mut command = two.rig.command(&["ui", "--server", "two", "--show-password"]);
    let mut ui = Server::spawn(&mut command, "", &log)?;
    let mut said = String::new();
    wait("it says where the page is", || {
        said = fs::read_to_string(&log)?;
        Ok(said.contains("until Ctrl-C"))
    })?;
    let address = said
        .split_once("http://")
        .and_then(|(_, rest)| rest.split_once('/'))
        .map(|(address, _)| address.to_owned())
        .with_context(|| format!("no address in {said}"))?;
    let password = two.rig.password("prometheus")?;
    if !said.contains(&password) {
        bail!("the password is not said: {said}");
    }
    let ready = || {
        let mut nc = view.operator.inside("busybox");
        let answer = exchange(nc.arg("nc"), &address, "GET", "/-/ready", Some(&password), b"");
        Ok(answer.is_ok_and(|answer| answer.status == 200))
    };
    wait("the page answers", ready)?;
    two.cut()?;
    wait("the page answers again at the same address", ready)?;
    wait("that is said", || {
        Ok(fs::read_to_string(&log)?.contains("connected again"))
    })?;
    let (_, status) = ui.stop("INT", SOON)?;
    if !status.success() {
        bail!("it ended with {status}");
    }
    view.wait_state("two", "up")?;
    Ok(())
}

fn removed(view: &View, _: &mut Host, two: &mut Host) -> Result<()> {
    view.operator.forget(two)?;
    wait("it is gone", || Ok(view.server("two")?.is_none()))?;
    wait("its series are ended", || {
        Ok(view.query("{server=\"two\"}")?.is_empty())
    })?;
    undisturbed(view)
}

/// Nothing here has systemd; that it does its work there is for `tests/systemd-root.sh`.
fn not_embedded(_: &View, one: &mut Host, two: &mut Host) -> Result<()> {
    let flags = ["--runtime", "embedded"];
    one.run("setup", &flags)?.expect(
        1,
        &["a stack of containers is set up", "masthead migrate embedded"],
    )?;
    two.run("setup", &flags)?.expect(
        1,
        &["systemd does not run", "nothing was changed", "up --data-dir"],
    )?;
    two.run("setup", &[&flags[..], &["--with", "grafana"]].concat())?
        .expect(2, &["--runtime embedded takes"])?;
    // Programs for another machine, and what is none.
    let program = two.machine.file("other");
    let mut elf = b"\x7fELF".to_vec();
    elf.resize(18, 0);
    elf.extend(if cfg!(target_arch = "aarch64") {
        [0x3e, 0]
    } else {
        [0xb7, 0]
    });
    for (bytes, word) in [
        (elf.as_slice(), "--binary FILE"),
        (b"#!/bin/sh\n", "no program for Linux"),
    ] {
        fs::write(&program, bytes)?;
        let path = program.display().to_string();
        two.run("setup", &[&flags[..], &["--binary", &path]].concat())?
            .expect(1, &[word])?;
    }
    Ok(())
}

fn embedded(view: &View, _: &mut Host, two: &mut Host) -> Result<()> {
    let mut command: Command = two.rig.docker.inside(shell::release_binary());
    let config = two.machine.file("masthead.yml");
    fs::write(
        &config,
        "masthead:\n  collect: {instance: 'box:9100'}\n  containers: {enabled: false}\n",
    )?;
    command
        .args(["up", "--listen", "127.0.0.1:9191", "--config"])
        .arg(&config)
        .arg("--data-dir")
        .arg("/var/lib/masthead");
    let log: &Path = &two.machine.file("up.log");
    let mut there = Server::spawn(&mut command, "127.0.0.1:9191", log)?;
    // The stack is asked first where there is one.
    view.operator
        .add(two, "id_ed25519", &["--base-dir", "/nowhere"])?
        .expect(0, &["registered"])?;
    let server = view.wait_state("two", "up")?;
    if server["runtime"] != "embedded" {
        bail!("a Masthead answers there: {server}");
    }
    view.wait_for("up{job=\"node-exporter\",instance=\"box:9100\",server=\"two\"} == 1")?;
    view.wait_for("node_load1{job=\"node-exporter\",instance=\"box:9100\",server=\"two\"}")?;
    ran(&mut two.rig.command(&["query", "node_load1", "--server", "two"]))?.expect(0, &["box:9100"])?;
    there.kill()?;
    view.wait_state("two", "down")?;
    view.wait_for("up{job=\"node-exporter\",instance=\"box:9100\",server=\"two\"} == 0")?;
    undisturbed(view)
}
