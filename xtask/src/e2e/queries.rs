//! `masthead query` and `masthead metrics` against the real Prometheus behind TLS and a password, and against Masthead: the same known
//! amounts come out of both.
//!
//! The Prometheus scrapes the real node_exporter and, in cAdvisor's place, `masthead agent` without what only Masthead writes: the labels
//! `app` and `project` and the metrics `masthead_...`.

mod faults;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::Outcome;
use super::containers::write_config;
use crate::docker::shop::compose_labels;
use crate::docker::{Docker, IMAGE};
use crate::server::{self, Server, TempDir};
use crate::{peers, shell};

/// The user of the Prometheus, with the password below; the hash is bcrypt's with the lowest cost.
const USER: &str = "ann";
const PASSWORD: &str = "masthead test";
const HASH: &str = "$2b$05$abcdefghijklmnopqrstuulV5/5QK24ceKLaOn.wK2GmDt1pM3nAO";

const MIB: f64 = 1_048_576.0;
/// The window of rates: what happens once comes out as its amount over this.
const RATE_WINDOW_S: f64 = 300.0;
/// Longer than anything that must happen takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
/// A swarm's ids have 25 letters and digits.
const TASKS: [&str; 2] = [
    "api.1.r65uabcdefghijklmnopqrst1",
    "api.2.r65uabcdefghijklmnopqrst2",
];

/// All that a case needs; servers first, so that they end before their folder goes.
struct Rig {
    prometheus: Server,
    exporter: Server,
    agent: Server,
    masthead: Server,
    docker: Docker,
    folder: TempDir,
}

/// A way to ask: flags of the command line.
struct Asked {
    name: &'static str,
    flags: Vec<String>,
}

/// The case.
pub(super) fn both() -> Result<Outcome> {
    let programs = match programs() {
        Ok(programs) => programs,
        Err(why) => return Ok(Outcome::Missing(why)),
    };
    let docker = match Docker::start(&[]) {
        Ok(docker) => docker,
        Err(why) => return Ok(Outcome::Missing(why)),
    };
    let rig = Rig::start(&programs, docker)?;
    let (upstream, embedded) = (rig.upstream(), rig.embedded());
    wait_for(&upstream, "count(up == 1) == 2")?;
    rig.live()?;
    for asked in [&upstream, &embedded] {
        let checked = check_health(asked)
            .and_then(|()| check_host(asked))
            .and_then(|()| check_app(asked))
            .and_then(|()| check_tasks(asked))
            .and_then(|()| check_starts(asked));
        checked.with_context(|| format!("asking {}", asked.name))?;
    }
    faults::check(&rig, &upstream)?;
    Ok(Outcome::Passed)
}

/// Paths of the peers: Prometheus, node_exporter.
fn programs() -> Result<[PathBuf; 2]> {
    shell::obtain(&["openssl"], "openssl")?;
    Ok([peers::program("prometheus")?, peers::program("node_exporter")?])
}

impl Rig {
    fn start([prometheus, exporter]: &[PathBuf; 2], docker: Docker) -> Result<Self> {
        let folder = TempDir::new("queries")?;
        certificates(folder.path())?;
        let config = write_config(folder.path(), &docker)?;
        let spawn = |program: &Path, args: &[&str], name: &str| -> Result<Server> {
            let address = format!("127.0.0.1:{}", server::free_port()?);
            let mut command = Command::new(program);
            command.args(args.iter().map(|word| word.replace("ADDRESS", &address)));
            let log = folder.path().join(format!("{name}.log"));
            Server::spawn(&mut command, &address, &log)
        };
        let mut exporter = spawn(exporter, &["--web.listen-address=ADDRESS"], "exporter")?;
        exporter.wait_ready("/metrics")?;
        let binary = shell::release_binary();
        let mut agent = spawn(
            &binary,
            &["agent", "--config", &config, "--listen", "ADDRESS"],
            "agent",
        )?;
        agent.wait_ready("/metrics")?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs::write(path("prometheus.yml"), scrapes(&exporter.address, &agent.address))?;
        fs::write(path("web.yml"), web_config())?;
        let prometheus = spawn(
            prometheus,
            &[
                &format!("--config.file={}", path("prometheus.yml")),
                &format!("--storage.tsdb.path={}", path("prometheus-data")),
                &format!("--web.config.file={}", path("web.yml")),
                "--web.listen-address=ADDRESS",
                "--log.level=warn",
            ],
            "prometheus",
        )?;
        let masthead = server::masthead(&folder.path().join("data"), &["--config", &config])?;
        fs::write(path("password"), format!("{PASSWORD}\n"))?;
        Ok(Self {
            prometheus,
            exporter,
            agent,
            masthead,
            docker,
            folder,
        })
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The real Prometheus, as its operator has it.
    fn upstream(&self) -> Asked {
        let flags = [
            "--url".to_string(),
            format!("https://{}", self.prometheus.address),
            "--user".to_string(),
            USER.to_string(),
            "--password-file".to_string(),
            self.path("password"),
            "--ca-file".to_string(),
            self.path("ca.pem"),
        ];
        Asked {
            name: "the real Prometheus",
            flags: flags.to_vec(),
        }
    }

    fn embedded(&self) -> Asked {
        Asked {
            name: "Masthead",
            flags: vec!["--url".to_string(), self.masthead.address.clone()],
        }
    }

    /// The lives of the containers: a deploy and a new one of it, two tasks of a service, a restart by hand.
    fn live(&self) -> Result<()> {
        let docker = &self.docker;
        docker.burn("sink", &[], &["serve=80"])?;
        let sink = docker.inspect("sink", ".NetworkSettings.IPAddress")?;
        for name in TASKS {
            docker.burn(name, &["--network=none"], &["memory=10m"])?;
        }
        docker.burn("again", &["--network=none"], &["cpu=1"])?;
        let labels = compose_labels("shop", "web");
        let mut flags = vec!["--memory=64m"];
        flags.extend(labels.iter().map(String::as_str));
        docker.burn("shop-web-1", &flags, &["memory=8m"])?;
        docker.wait_done("again")?;
        let seen = "container_memory_working_set_bytes{name=\"shop-web-1\"}";
        for asked in [&self.upstream(), &self.embedded()] {
            wait_for(asked, seen)?;
            wait_for(asked, "container_cpu_usage_seconds_total{name=\"again\"} > 0.9")?;
        }
        docker.cli(&["rm", "--force", "shop-web-1"])?;
        docker.cli(&["restart", "--time=0", "again"])?;
        // With cgroup v1 newer kernels count block I/O only where a limit is set; this one is out of reach.
        let limit = format!("--device-write-bps={}:100gb", docker.disk()?);
        flags.push(&limit);
        let send = format!("send={sink}:80,4m");
        // It is seen standing still, with a series of its disk, before it does anything.
        let words = [
            "burn",
            "write=64k",
            "wait=6",
            "cpu=2",
            "write=8m",
            &send,
            "memory=24m",
        ];
        docker.run("shop-web-2", &flags, IMAGE, &words)?;
        docker.wait_done("shop-web-2")?;
        // A few more samples, so that the ends of the window count for little.
        std::thread::sleep(Duration::from_secs(6));
        Ok(())
    }
}

/// Makes `ca.pem`, `other.pem` (another CA), `server.pem` and `server.key`.
fn certificates(folder: &Path) -> Result<()> {
    let openssl = |words: &str| {
        let mut command = Command::new("openssl");
        command.args(words.split(' ')).current_dir(folder);
        shell::output(&mut command).context("cannot make certificates")
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    for name in ["ca", "other"] {
        openssl(&format!(
            "req -x509 {key} -keyout {name}.key -out {name}.pem -days 2 -subj /CN={name} -addext basicConstraints=critical,CA:TRUE"
        ))?;
    }
    openssl(&format!(
        "req {key} -keyout server.key -out server.csr -subj /CN=prometheus"
    ))?;
    fs::write(
        folder.join("names"),
        "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n",
    )?;
    openssl(
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem",
    )?;
    Ok(())
}

fn web_config() -> String {
    format!(
        "basic_auth_users:\n  {USER}: {HASH}\ntls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n"
    )
}

/// What the Prometheus scrapes: what Masthead alone writes is left out.
fn scrapes(exporter: &str, agent: &str) -> String {
    format!(
        "global:
  scrape_interval: 1s
scrape_configs:
  - job_name: node-exporter
    static_configs:
      - targets: ['{exporter}']
        labels: {{instance: 'web1:9100'}}
  - job_name: cadvisor
    metrics_path: /metrics/containers
    static_configs:
      - targets: ['{agent}']
        labels: {{instance: 'web1:8080'}}
    metric_relabel_configs:
      - source_labels: [__name__]
        regex: masthead_.*
        action: drop
      - regex: app|project
        action: labeldrop
"
    )
}

/// Runs `masthead` with these words and the flags.
fn run(asked: &Asked, words: &[&str]) -> Result<Output> {
    let mut command = Command::new(shell::release_binary());
    command.args(words).args(&asked.flags).env_remove("MASTHEAD_URL");
    let output = command.output().context("cannot run masthead")?;
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    ensure!(
        !String::from_utf8_lossy(&said).contains(PASSWORD),
        "the password is shown: masthead {}",
        words.join(" ")
    );
    Ok(output)
}

/// What it printed; its failure is an error.
fn printed(asked: &Asked, words: &[&str]) -> Result<String> {
    let output = run(asked, words)?;
    if !output.status.success() {
        bail!(
            "masthead {}: {}",
            words.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn json(asked: &Asked, words: &[&str]) -> Result<Value> {
    let text = printed(asked, &[words, &["--json"]].concat())?;
    serde_json::from_str(&text).with_context(|| format!("masthead {}: {text}", words.join(" ")))
}

/// Waits until a query gives something.
fn wait_for(asked: &Asked, promql: &str) -> Result<()> {
    let began = Instant::now();
    loop {
        let answer = json(asked, &["query", promql]);
        if answer
            .as_ref()
            .is_ok_and(|list| list.as_array().is_some_and(|list| !list.is_empty()))
        {
            return Ok(());
        }
        if began.elapsed() > LIMIT {
            bail!(
                "{}: {promql} gives nothing after {LIMIT:?}: {answer:?}",
                asked.name
            );
        }
        std::thread::sleep(Duration::from_millis(250));
    }
}

/// The number at a path such as `cpu.cores`.
fn number(value: &Value, path: &str) -> Result<f64> {
    let pointer = format!("/{}", path.replace('.', "/"));
    value
        .pointer(&pointer)
        .and_then(Value::as_f64)
        .with_context(|| format!("{path} is no number in {value}"))
}

/// The number at a path, which must be this one, up to a share of it.
fn near(value: &Value, path: &str, want: f64, share: f64) -> Result<()> {
    let got = number(value, path)?;
    ensure!(
        (got - want).abs() <= want * share,
        "{path} is {got}, not {want} (or within {share} of it): {value}"
    );
    Ok(())
}

/// It answers, has a version, and all its targets are up.
fn check_health(asked: &Asked) -> Result<()> {
    let health = json(asked, &["metrics", "health"])?;
    let targets = health["targets"].as_array().map_or(&[][..], Vec::as_slice);
    ensure!(
        health["ready"] == true && health["version"].is_string() && targets.len() >= 2,
        "{health}"
    );
    ensure!(targets.iter().all(|target| target["up"] == true), "{health}");
    let text = printed(asked, &["metrics", "health"])?;
    let all = format!("{0} of {0} targets up", targets.len());
    ensure!(
        text.starts_with("answers, version ") && text.contains(&all),
        "{text}"
    );
    Ok(())
}

/// The host's figures are the kernel's.
fn check_host(asked: &Asked) -> Result<()> {
    let host = json(asked, &["metrics", "system"])?;
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let kernel = |name: &str| -> Result<f64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name));
        let word = line.and_then(|line| line.split_whitespace().nth(1));
        let kib: f64 = word
            .with_context(|| format!("no {name} in /proc/meminfo"))?
            .parse()?;
        Ok(kib * 1024.0)
    };
    near(&host, "memory.totalBytes", kernel("MemTotal")?, 0.0)?;
    near(&host, "memory.availableBytes", kernel("MemAvailable")?, 0.5)?;
    near(&host, "swap.totalBytes", kernel("SwapTotal")?, 0.0)?;
    let uptime = fs::read_to_string("/proc/uptime")?;
    let uptime: f64 = uptime.split(' ').next().unwrap_or_default().parse()?;
    let got = number(&host, "uptimeSeconds")?;
    ensure!((got - uptime).abs() < 30.0, "up for {uptime} s, not for {got} s");
    let processors = shell::output(&mut Command::new("nproc"))?;
    near(&host, "cpu.cores", processors.trim().parse()?, 0.0)?;
    for path in [
        "cpu.usedRatio",
        "cpu.userRatio",
        "load.load1",
        "load.load15",
        "fileSystems.0.usedBytes",
        "disks.0.writtenBytesPerSecond",
        "network.0.receiveBytesPerSecond",
    ] {
        ensure!(number(&host, path)? >= 0.0, "{path}: {host}");
    }
    if Path::new("/proc/pressure/cpu").exists() {
        for path in [
            "pressure.cpuRatio",
            "pressure.memoryStalledRatio",
            "pressure.ioRatio",
        ] {
            ensure!(number(&host, path)? >= 0.0, "{path}: {host}");
        }
    }
    let disk = shell::output(Command::new("df").args(["-B1", "--output=size", "/"]))?;
    let size: f64 = disk.lines().nth(1).unwrap_or_default().trim().parse()?;
    let spaces = host["fileSystems"].as_array().map_or(&[][..], Vec::as_slice);
    ensure!(
        spaces.iter().any(|one| one["totalBytes"].as_f64() == Some(size)),
        "no file system of {size} bytes, as / is: {host}"
    );
    check_host_over(asked, kernel("MemTotal")?)
}

fn check_host_over(asked: &Asked, memory: f64) -> Result<()> {
    let words = ["metrics", "system", "--range", "30s", "--step", "5s"];
    let host = json(asked, &words)?;
    near(&host, "step", 5.0, 0.0)?;
    near(&host, "memory.totalBytes.6", memory, 0.0)?;
    for path in ["cpu.usedRatio.6", "load.load1.6", "fileSystems.0.usedBytes.6"] {
        ensure!(number(&host, path)? >= 0.0, "{path}: {host}");
    }
    let text = printed(asked, &words)?;
    for word in ["the last 30 s in steps of 5 s", "MEAN", "Memory used", "▁"] {
        ensure!(text.contains(word), "{word:?} is not in\n{text}");
    }
    Ok(())
}

/// What the container did comes out as it went in.
fn check_app(asked: &Asked) -> Result<()> {
    let app = json(asked, &["metrics", "app", "shop-web"])?;
    for (path, amount, share) in [
        ("cpuCores", 2.0 / RATE_WINDOW_S, 0.2),
        ("memoryWorkingSetBytes", 24.0 * MIB, 0.25),
        ("memoryLimitBytes", 64.0 * MIB, 0.0),
        ("transmitBytesPerSecond", 4.0 * MIB / RATE_WINDOW_S, 0.2),
        ("writtenBytesPerSecond", 8.0 * MIB / RATE_WINDOW_S, 0.2),
        ("replicas", 1.0, 0.0),
    ] {
        near(&app, path, amount, share)?;
    }
    ensure!(
        app["project"] == "shop" && app["containers"][0]["name"] == "shop-web-2",
        "one container of project shop is wanted: {app}"
    );
    // By the container's name, and by the app's, which has one container.
    for name in ["shop-web-2", "shop-web"] {
        let one = json(asked, &["metrics", "container", name])?;
        ensure!(
            one["name"] == "shop-web-2" && one["app"] == "shop-web",
            "{name}: {one}"
        );
        near(&one, "memoryWorkingSetBytes", 24.0 * MIB, 0.25)?;
    }
    let over = json(
        asked,
        &["metrics", "app", "shop-web", "--range", "20s", "--step", "5s"],
    )?;
    near(&over, "memoryLimitBytes.4", 64.0 * MIB, 0.0)?;
    near(&over, "memoryWorkingSetBytes.4", 24.0 * MIB, 0.25)?;
    near(&over, "cpuCores.4", 2.0 / RATE_WINDOW_S, 0.2)?;
    near(&over, "replicas.4", 1.0, 0.0)?;
    let text = printed(asked, &["metrics", "app", "shop-web"])?;
    ensure!(
        text.starts_with("shop-web (project shop)\n") && text.contains("of 64 MB"),
        "{text}"
    );
    Ok(())
}

/// Tasks of a service are found by the service's name, though no label tells of it.
fn check_tasks(asked: &Asked) -> Result<()> {
    let app = json(asked, &["metrics", "app", "api"])?;
    near(&app, "replicas", 2.0, 0.0)?;
    near(&app, "memoryWorkingSetBytes", 20.0 * MIB, 0.25)?;
    ensure!(app["memoryLimitBytes"].is_null(), "they have no limit: {app}");
    let over = json(
        asked,
        &["metrics", "app", "api", "--range", "10s", "--step", "5s"],
    )?;
    near(&over, "replicas.2", 2.0, 0.0)?;
    near(&over, "memoryWorkingSetBytes.2", 20.0 * MIB, 0.25)?;
    ensure!(
        over["containers"].as_array().map(Vec::len) == Some(2),
        "two containers are wanted: {over}"
    );
    let one = json(asked, &["metrics", "container", TASKS[0]])?;
    near(&one, "memoryWorkingSetBytes", 10.0 * MIB, 0.25)?;
    let several = run(asked, &["metrics", "container", "api"])?;
    let text = String::from_utf8_lossy(&several.stderr).into_owned();
    ensure!(
        !several.status.success() && TASKS.iter().all(|name| text.contains(name)),
        "both tasks are to be named: {text}"
    );
    let unknown = run(asked, &["metrics", "app", "shop-wbe"])?;
    let text = String::from_utf8_lossy(&unknown.stderr).into_owned();
    ensure!(text.contains("did you mean shop-web"), "{text}");
    Ok(())
}

/// A redeploy is two containers and no restart, a restart by hand is one.
fn check_starts(asked: &Asked) -> Result<()> {
    for (what, name, containers, restarts) in [
        ("app", "shop-web", 2.0, 0.0),
        ("container", "again", 1.0, 1.0),
        ("app", "api", 2.0, 0.0),
    ] {
        let over = json(asked, &["metrics", what, name, "--range", "10m", "--step", "1m"])?;
        let starts = &over["starts"];
        ensure!(
            starts["containers"] == containers && starts["restarts"] == restarts,
            "{what} {name}: {containers} containers and {restarts} restarts are wanted: {starts}"
        );
    }
    let app = json(asked, &["metrics", "app", "shop-web"])?;
    ensure!(app["lastHour"]["containers"] == 2.0, "{app}");
    Ok(())
}
