//! The optional components at work: an alert that fires reaches a receiver, a pushed metric is asked for, containers that ask for it are
//! scraped; and their life: taken in, left out, taken in again with their data.

mod apps;
mod dashboards;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{ALL_CONTAINERS, OPTIONAL, Outcome, Rig, docker, promtool, step, wait, with_whole_rig};
use crate::docker::{IMAGE, Mounts};
use crate::http::clip;
use crate::shell;

/// A step: what must hold, and how it is tried.
type Step = (&'static str, fn(&Rig) -> Result<()>);

/// In this order; each begins where the one before it ends, with a stack that runs.
const STEPS: &[Step] = &[
    ("every component is well, and its target up", well),
    (
        "what was generated is what promtool and amtool take",
        configurations,
    ),
    ("files belong to those who read them", owners),
    ("check, status and logs know them", known),
    ("an alert that fires reaches its receiver", alert),
    (
        "a configuration of Alertmanager that is wrong is named",
        wrong_route,
    ),
    ("a pushed metric is there, and after a restart too", push),
    (
        "containers that ask for it are scraped, each once",
        apps::discovery,
    ),
    ("a network that Prometheus joins is in its reach", apps::network),
    ("every query of our dashboards has data", dashboards::filled),
    (
        "services of a swarm that ask for it are scraped, each task once",
        apps::swarm,
    ),
    ("the proxy lets nothing through but what discovery asks", proxy),
    (
        "they go, their data stays, and they come back with it",
        leave_and_return,
    ),
    ("their ports move, and one that is taken is found first", ports),
    ("purged, nothing is left but what is the user's", purge),
];

/// All of [`STEPS`].
pub(in super::super) fn story() -> Result<Outcome> {
    with_whole_rig(Mounts::Machine, |rig| {
        rig.docker
            .cli(&["network", "create", "--attachable", "dokploy-network"])?;
        rig.docker.cli(&["network", "create", "elsewhere"])?;
        rig.set_up(&[])?;
        let began = Instant::now();
        rig.done("setup", &["--with", OPTIONAL])?;
        println!("     taken in after {:.1} s", began.elapsed().as_secs_f64());
        for (name, run) in STEPS {
            step(name, || run(rig))?;
        }
        Ok(())
    })
}

fn well(rig: &Rig) -> Result<()> {
    for name in ALL_CONTAINERS {
        let state = rig.docker.inspect(name, ".State.Status")?;
        if state != "running" {
            bail!("{name} is {state}");
        }
    }
    let steps = rig.plan(&[])?;
    if !steps.is_empty() {
        bail!("a second setup would still do something: {steps:?}");
    }
    for job in [
        "alertmanager",
        "pushgateway",
        "prometheus",
        "node-exporter",
        "cadvisor",
    ] {
        let up = rig.value(&format!("up{{job=\"{job}\"}}"))?;
        if up < 1.0 {
            bail!("{job} is down");
        }
    }
    // Each asks for its own password, and takes no other.
    for (component, port, path) in [
        ("alertmanager", 9093, "/api/v2/status"),
        ("pushgateway", 9091, "/metrics"),
    ] {
        for (password, want) in [
            (None, 401),
            (Some(rig.password("prometheus")?), 401),
            (Some(rig.password(component)?), 200),
        ] {
            let address = format!("127.0.0.1:{port}");
            let got = rig.http(&address, "GET", path, password.as_deref(), b"")?.status;
            if got != want {
                bail!("{component} answers {got} and not {want}");
            }
        }
    }
    let grafana = rig.http("127.0.0.1:3000", "GET", "/api/health", None, b"")?;
    match grafana.status {
        200 => Ok(()),
        status => bail!("Grafana's page answers {status}"),
    }
}

fn configurations(rig: &Rig) -> Result<()> {
    for name in [
        "prometheus.yml",
        "web.yml",
        "pushgateway-web.yml",
        "alertmanager/web.yml",
    ] {
        promtool(rig, &rig.base().join(name)).with_context(|| name)?;
    }
    let words = ["exec", "masthead-alertmanager", "amtool", "check-config"];
    rig.docker
        .cli(&[&words[..], &["/etc/alertmanager/alertmanager.yml"]].concat())
        .map(|_| ())
}

fn owners(rig: &Rig) -> Result<()> {
    for (path, uid, mode) in [
        ("alertmanager/alertmanager.yml", 0, 0o644),
        ("alertmanager/web.yml", 65534, 0o400),
        ("alertmanager/secrets", 0, 0o2750),
        ("alertmanager-data", 65534, 0o750),
        ("pushgateway-web.yml", 65534, 0o400),
        ("pushgateway-data", 65534, 0o750),
        ("grafana-data", 472, 0o750),
        ("secrets/grafana.password", 472, 0o400),
        ("secrets/grafana-datasource.password", 472, 0o400),
    ] {
        let meta = fs::metadata(rig.base().join(path)).with_context(|| format!("no {path}"))?;
        let there = (meta.uid(), meta.mode() & 0o7777);
        if there != (uid, mode) {
            bail!("{path} belongs to {} with mode {:o}", there.0, there.1);
        }
    }
    let told = rig.docker.cli(&[&["inspect"], &ALL_CONTAINERS[..]].concat())?;
    for component in ["alertmanager", "pushgateway", "grafana", "prometheus"] {
        if told.contains(&rig.password(component)?) {
            bail!("`docker inspect` shows the password of {component}");
        }
    }
    Ok(())
}

fn known(rig: &Rig) -> Result<()> {
    let findings = rig.done("check", &[])?;
    let status = rig.done("status", &[])?;
    for component in OPTIONAL.split(',') {
        if !findings.contains(component) || !status.contains(component) {
            bail!("{component} is not in what was said:\n{findings}\n{status}");
        }
    }
    for component in ["alertmanager", "pushgateway"] {
        let log = rig.done("logs", &[component, "--tail", "5"])?;
        if log.trim().is_empty() {
            bail!("no log of {component}");
        }
    }
    rig.done("stop", &["pushgateway"])?;
    rig.run("check", &[])?.expect(3, &["pushgateway"])?;
    rig.done("start", &["pushgateway"])?;
    rig.done("restart", &["grafana", "discovery"])?;
    rig.done("check", &[]).map(|_| ())
}

/// A receiver of webhooks on the engine's host: each body goes to a file.
struct Receiver(Child);

impl Receiver {
    fn new(rig: &Rig, port: u16) -> Result<Self> {
        let script = rig.folder.path().join("receive");
        let file = rig.folder.path().join("received");
        let text = format!(
            "#!/bin/sh\nlength=0\nwhile read -r name value; do\n    value=\"${{value%?}}\"\n    case \"$name\" in\n        \
             [Cc]ontent-[Ll]ength:) length=\"$value\" ;;\n        ?) break ;;\n    esac\ndone\n\
             busybox head -c \"$length\" >> {file}\nprintf 'HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n'\n",
            file = file.display()
        );
        fs::write(&script, text)?;
        fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let child = rig
            .docker
            .inside("busybox")
            .args(["nc", "-ll", "-p", &port.to_string(), "-e"])
            .arg(&script)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start a receiver")?;
        Ok(Self(child))
    }

    fn received(rig: &Rig) -> String {
        fs::read_to_string(rig.folder.path().join("received")).unwrap_or_default()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// The host's address in the stack's network.
fn gateway(rig: &Rig) -> Result<String> {
    let template = "{{(index .IPAM.Config 0).Gateway}}";
    rig.docker
        .cli(&["network", "inspect", "--format", template, "masthead"])
}

fn alert(rig: &Rig) -> Result<()> {
    let _receiver = Receiver::new(rig, 9999)?;
    // The address is a secret: whoever has it may write there. A file as root makes it.
    let base = rig.base();
    let hook = format!("http://{}:9999/hook", gateway(rig)?);
    fs::write(base.join("alertmanager/secrets/hook"), hook)?;
    fs::write(
        base.join("alertmanager/alertmanager.yml"),
        "route: {receiver: hook, group_by: [alertname], group_wait: 1s, group_interval: 1s}\n\
         receivers:\n  - name: hook\n    webhook_configs:\n      - url_file: /etc/alertmanager/secrets/hook\n",
    )?;
    fs::write(
        base.join("rules/test.yml"),
        "groups:\n  - name: test\n    rules:\n      - alert: TheHostIsThere\n        expr: node_load1 >= 0\n        \
         labels: {severity: warning}\n        annotations: {summary: 'it is {{ $labels.instance }}'}\n",
    )?;
    rig.done("restart", &["alertmanager"])?;
    // Not restarted: for some seconds a new Prometheus knows of no Alertmanager, and tells it of an alert anew after a minute.
    rig.docker.cli(&["kill", "--signal=HUP", "masthead-prometheus"])?;
    wait("the alert is received", || {
        Ok(Receiver::received(rig).contains("TheHostIsThere"))
    })?;
    let received = Receiver::received(rig);
    let first = received.lines().next().unwrap_or_default();
    let json: Value = serde_json::Deserializer::from_str(first)
        .into_iter()
        .next()
        .context("nothing was received")??;
    let alert = &json["alerts"][0];
    if alert["status"] != "firing"
        || alert["labels"]["severity"] != "warning"
        || alert["labels"]["server"].as_str().is_none_or(str::is_empty)
        || !alert["annotations"]["summary"]
            .as_str()
            .is_some_and(|text| text.ends_with(":9100"))
    {
        bail!("not as the rule and the external labels say: {json}");
    }
    // The user's file stays as it is, whatever setup does.
    let before = fs::read(base.join("alertmanager/alertmanager.yml"))?;
    rig.done("setup", &["--scrape-interval", "2s"])?;
    rig.done("setup", &["--scrape-interval", "1s"])?;
    match fs::read(base.join("alertmanager/alertmanager.yml"))? == before {
        true => Ok(()),
        false => bail!("setup wrote alertmanager.yml again"),
    }
}

fn wrong_route(rig: &Rig) -> Result<()> {
    let file = rig.base().join("alertmanager/alertmanager.yml");
    let good = fs::read(&file)?;
    fs::write(
        &file,
        "route: {receiver: nobody-knows}\nreceivers: [{name: hook}]\n",
    )?;
    rig.run("check", &[])?.expect(
        3,
        &[
            "alertmanager.yml",
            "nobody-knows",
            "masthead restart alertmanager",
        ],
    )?;
    fs::write(&file, good)?;
    rig.done("check", &[]).map(|_| ())
}

fn push(rig: &Rig) -> Result<()> {
    let password = rig.password("pushgateway")?;
    let pushed = rig.http(
        "127.0.0.1:9091",
        "POST",
        "/metrics/job/backup/instance/shop",
        Some(&password),
        b"# TYPE backup_bytes gauge\nbackup_bytes 4711\n",
    )?;
    if pushed.status != 200 {
        bail!("pushed: {}: {}", pushed.status, clip(&pushed.text()));
    }
    // The job and instance that were pushed, and not those of the gateway.
    let promql = "backup_bytes{job=\"backup\",instance=\"shop\"} == 4711";
    rig.wait_for(promql)?;
    rig.done("restart", &["pushgateway"])?;
    let metrics = rig.http("127.0.0.1:9091", "GET", "/metrics", Some(&password), b"")?;
    match metrics.text().contains("backup_bytes{") {
        true => Ok(()),
        false => bail!("after a restart it is gone: {}", clip(&metrics.text())),
    }
}

/// What a request from within Prometheus' container comes to.
fn ask_proxy(rig: &Rig, from: &str, at: &str, request: &str) -> Result<String> {
    let script = format!(
        "printf '{request} HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n' | nc -w 3 {at} 2375"
    );
    let mut command = match from {
        "" => rig.docker.inside("busybox"),
        _ => rig.docker.command("docker"),
    };
    match from {
        "" => command.args(["sh", "-c", &script]),
        name => command.args(["exec", name, "sh", "-c", &script]),
    };
    let out = command.output()?;
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

fn proxy(rig: &Rig) -> Result<()> {
    let name = "masthead-docker-proxy";
    let ask = |request: &str| ask_proxy(rig, "masthead-prometheus", name, request);
    for (request, want) in [
        ("GET /_ping", "200"),
        ("GET /containers/json", "200"),
        ("GET /networks", "200"),
        ("POST /containers/shop-api-1/stop", "403"),
        ("DELETE /containers/shop-api-1", "403"),
        ("GET /images/json", "403"),
        ("GET /info", "403"),
        ("GET /events", "403"),
    ] {
        let answer = ask(request)?;
        if !answer.starts_with(&format!("HTTP/1.1 {want}")) {
            bail!("{request}: {want} is wanted: {}", clip(&answer));
        }
    }
    // Nobody else reaches it: not the host's own users, not the other components, not other containers.
    let networks: Value = serde_json::from_str(&rig.docker.inspect(name, "json .NetworkSettings.Networks")?)?;
    let address = networks["masthead-discovery"]["IPAddress"]
        .as_str()
        .filter(|address| !address.is_empty())
        .with_context(|| format!("no address in its network: {networks}"))?;
    if networks.as_object().is_none_or(|all| all.len() != 1) {
        bail!("it is in more than its own network: {networks}");
    }
    for from in ["", "masthead-alertmanager", "masthead-grafana", "shop-api-1"] {
        let answer = ask_proxy(rig, from, address, "GET /_ping")?;
        if !answer.is_empty() {
            bail!("{from:?} reaches it: {}", clip(&answer));
        }
    }
    let prometheus = rig.docker.inspect("masthead-prometheus", "json .Mounts")?;
    match prometheus.contains("docker.sock") {
        true => bail!("Prometheus has the engine's socket: {prometheus}"),
        false => Ok(()),
    }
}

fn leave_and_return(rig: &Rig) -> Result<()> {
    let grafana = rig.password("grafana")?;
    let note = rig.base().join("grafana-data/note");
    fs::write(&note, "kept\n")?;
    rig.done("setup", &["--without", OPTIONAL])?;
    let left = rig.leftovers()?;
    let wanted = [
        "masthead",
        "masthead-cadvisor",
        "masthead-node-exporter",
        "masthead-prometheus",
    ];
    let mut names: Vec<&str> = left.iter().map(String::as_str).collect();
    names.sort_unstable();
    if names != wanted {
        bail!("the stack as it was before is wanted: {left:?}");
    }
    for path in [
        "alertmanager/web.yml",
        "pushgateway-web.yml",
        "grafana/datasources/masthead.yml",
        "secrets/alertmanager.password",
        "secrets/grafana-datasource.password",
    ] {
        if rig.base().join(path).exists() {
            bail!("{path} is still there");
        }
    }
    rig.done("check", &[])?;
    rig.run("logs", &["grafana"])?.expect(1, &["--with grafana"])?;
    rig.done("setup", &["--with", OPTIONAL])?;
    if rig.password("grafana")? != grafana || fs::read_to_string(&note)? != "kept\n" {
        bail!("Grafana's data or its password did not stay");
    }
    rig.wait_for("backup_bytes{job=\"backup\",instance=\"shop\"} == 4711")?;
    let route = fs::read_to_string(rig.base().join("alertmanager/alertmanager.yml"))?;
    if !route.contains("url_file") {
        bail!("the user's route did not stay");
    }
    well(rig)
}

fn ports(rig: &Rig) -> Result<()> {
    let mut holder = rig
        .docker
        .inside("busybox")
        .args(["nc", "-ll", "-p", "3001", "-e", "true"])
        .stdin(Stdio::null())
        .spawn()?;
    let refused = wait("the port is taken", || {
        let text = shell::output(rig.docker.inside("cat").args(["/proc/net/tcp", "/proc/net/tcp6"]))?;
        Ok(text.contains(":0BB9 "))
    })
    .and_then(|()| rig.run("setup", &["--port", "grafana=3001"]))
    .and_then(|ran| ran.expect(1, &["3001", "--port grafana=3002"]));
    let _killed = holder.kill();
    let _reaped = holder.wait();
    refused?;
    let moved = "grafana=3005,alertmanager=9095,pushgateway=9096";
    let flags: Vec<&str> = moved.split(',').flat_map(|port| ["--port", port]).collect();
    rig.done("setup", &flags)?;
    for (port, path, want) in [
        (3005, "/api/health", 200),
        (9095, "/metrics", 401),
        (9096, "/metrics", 401),
    ] {
        let got = rig
            .http(&format!("127.0.0.1:{port}"), "GET", path, None, b"")?
            .status;
        if got != want {
            bail!("{port} answers {got}");
        }
    }
    rig.done("check", &[]).map(|_| ())
}

fn purge(rig: &Rig) -> Result<()> {
    rig.docker
        .cli(&["rm", "--force", "shop-api-1"])
        .context("the application")?;
    rig.done("remove", &["--purge-data", "--yes"])?;
    let left = rig.leftovers()?;
    let files = shell::output(Command::new("find").arg(rig.base()).args(["-type", "f"]))?;
    let mut files: Vec<&str> = files
        .lines()
        .filter_map(|path| path.strip_prefix(rig.base().to_str()?))
        .collect();
    files.sort_unstable();
    let wanted = [
        "/alertmanager/alertmanager.yml",
        "/alertmanager/secrets/hook",
        "/rules/test.yml",
    ];
    if !left.is_empty() || files != wanted {
        bail!("the user's own files alone are wanted: {left:?} {files:?}");
    }
    // Had nobody written there, the folder would be gone.
    fs::remove_dir_all(rig.base())?;
    rig.set_up(&["--with", OPTIONAL])?;
    rig.done("remove", &["--purge-data", "--yes"])?;
    match rig.base().exists() {
        true => bail!("the base directory is still there"),
        false => rig
            .docker
            .run("last", &["--network=none"], IMAGE, &["true"])
            .map(|_| ()),
    }
}
