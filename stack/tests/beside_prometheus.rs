//! The generated files beside the programs that read them: promtool takes every one that can come out, a real Prometheus gives series
//! the labels that `masthead up` gives them, and real listeners ask for the password.
//!
//! The programs are `$PROMTOOL_BIN`, `$PROMETHEUS_BIN`, `$NODE_EXPORTER_BIN`, else those that `cargo xtask peers` unpacks. Without
//! them a test says that it was skipped; with `CI=true` that is a failure.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "test support: what does not fit ends the test, and what is skipped is said"
)]

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use stack::desired::Desired;
use stack::spec::{self, desired};
use stack::{Component, Facts, Need, Options, Range, Swarm, secrets};

#[path = "beside_prometheus/swarm.rs"]
mod swarm;

/// The path of a peer, or that there is none.
fn peer(name: &str) -> Option<PathBuf> {
    let variable = format!("{}_BIN", name.to_uppercase());
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../target/peers/bin")
        .join(name);
    let path = env::var_os(&variable).map_or(unpacked, PathBuf::from);
    if path.is_file() {
        return Some(path);
    }
    let missing = format!("no {name} at {}: run `cargo xtask peers`", path.display());
    assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "{missing}");
    println!("skipped: {missing}");
    None
}

fn options() -> Options {
    Options::new("web-1".parse().unwrap())
}

fn facts(base_dir: &Path) -> Facts {
    Facts {
        hostname: "web-1".to_owned(),
        memory_bytes: 2 << 30,
        cpus: 2,
        base_dir: base_dir.to_owned(),
        range: Range {
            subnet: "127.0.0.0/24".to_owned(),
            gateway: Ipv4Addr::LOCALHOST,
        },
        discovery_range: Range {
            subnet: "127.0.1.0/24".to_owned(),
            gateway: Ipv4Addr::new(127, 0, 1, 1),
        },
        platform_networks: Vec::new(),
        secrets: Component::ALL
            .map(|component| (component, secrets::generate().unwrap()))
            .into(),
        docker_root: "/var/lib/docker".into(),
        docker_socket: "/var/run/docker.sock".into(),
        containerd_socket: None,
        is_swarm_manager: false,
        node_id: "n1".to_owned(),
        root_is_shared: true,
        has_kmsg: true,
        has_dev_disk: true,
    }
}

/// Writes folders and files as they are, but for their owners. Paths of the container are changed into those of `dir`.
fn write(wanted: &Desired, dir: &Path) {
    for folder in &wanted.folders {
        fs::create_dir_all(dir.join(&folder.path)).unwrap();
    }
    for file in &wanted.files {
        let text = String::from_utf8(file.content.clone()).unwrap();
        let text = text.replace("/etc/prometheus/", &format!("{}/", dir.display()));
        fs::write(dir.join(&file.path), text).unwrap();
    }
}

fn password(facts: &Facts, of: Component) -> &str {
    let secret = facts.secrets.iter().find(|(component, _)| *component == of);
    &secret.unwrap().1.password
}

/// Runs a program to its end; its output when it fails.
fn succeeds(program: &Path, args: &[&str]) -> Result<(), String> {
    said(program, args).map(|_| ())
}

/// What a program said, as an error when it failed.
fn said(program: &Path, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(args).output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    match output.status.success() {
        true => Ok(text),
        false => Err(text),
    }
}

/// Ends its program when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(program: &Path, args: &[String], log: &Path) -> Running {
    let log = fs::File::create(log).unwrap();
    let child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    Running(child)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// Status and body of a GET; status 0 when nobody listens.
fn get(port: u16, path: &str, credentials: Option<&str>) -> (u16, String) {
    let Ok(mut socket) = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))) else {
        return (0, String::new());
    };
    let authorization = credentials.map_or(String::new(), |text| {
        format!("Authorization: Basic {}\r\n", base64(text))
    });
    write!(socket, "GET {path} HTTP/1.0\r\n{authorization}\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status.unwrap_or(0), body.to_owned())
}

fn base64(text: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let word = chunk
            .iter()
            .fold(0_u32, |word, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * at)) as usize & 63];
            out.push(if at <= chunk.len() {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    out
}

/// Asks until it holds, half a minute at most; then the program's log says more.
fn until<T: std::fmt::Debug>(log: &Path, mut ask: impl FnMut() -> T, holds: impl Fn(&T) -> bool) -> T {
    let began = Instant::now();
    loop {
        let answer = ask();
        if holds(&answer) {
            return answer;
        }
        if began.elapsed() > Duration::from_secs(30) {
            panic!(
                "{answer:?}
{}",
                fs::read_to_string(log).unwrap_or_default()
            );
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Every set of optional components.
fn optional_sets() -> Vec<Vec<Component>> {
    let optional: Vec<Component> = Component::ALL
        .into_iter()
        .filter(|component| component.need() == Need::Optional)
        .collect();
    (0..1_usize << optional.len())
        .map(|bits| {
            let chosen = optional.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1);
            chosen.map(|(_, component)| *component).collect()
        })
        .collect()
}

#[test]
fn promtool_and_amtool_take_what_comes_out_of_every_set_of_optional_components() {
    let (Some(promtool), Some(amtool)) = (peer("promtool"), peer("amtool")) else {
        return;
    };
    let (mut routes, sets) = (0, optional_sets());
    assert_eq!(sets.len(), 16);
    for with in &sets {
        let dir = tempfile::tempdir().unwrap();
        let mut options = options();
        for component in with {
            options.take_in(*component);
            if *component != Component::Discovery {
                options.ports.insert(*component, 9999);
            }
        }
        let mut facts = facts(dir.path());
        facts.is_swarm_manager = with.len() % 2 == 0;
        write(&desired(&options, &facts), dir.path());
        let config = dir.path().join("prometheus.yml");
        let check = |file: &str, what: &str| {
            let path = dir.path().join(file);
            succeeds(&promtool, &["check", what, path.to_str().unwrap()])
                .unwrap_or_else(|text| panic!("{with:?}: {text}"));
        };
        check("prometheus.yml", "config");
        let text = fs::read_to_string(&config).unwrap();
        for (component, words) in [
            (Component::Alertmanager, "alertmanagers:"),
            (Component::Pushgateway, "honor_labels: true"),
            (Component::Discovery, "docker_sd_configs:"),
        ] {
            assert_eq!(text.contains(words), with.contains(&component), "{with:?}");
        }
        if with.contains(&Component::Pushgateway) {
            check("pushgateway-web.yml", "web-config");
        }
        if with.contains(&Component::Alertmanager) {
            check("alertmanager/web.yml", "web-config");
            let route = dir.path().join("alertmanager/alertmanager.yml");
            succeeds(&amtool, &["check-config", route.to_str().unwrap()]).unwrap();
            // With its examples too, as somebody makes them their own.
            let text = fs::read_to_string(&route).unwrap();
            let text = text.replace("\n  # - ", "\n  - ").replace("\n  #   ", "\n    ");
            assert!(text.contains("\n  - name: hook\n    webhook_configs:"), "{text}");
            fs::write(&route, text).unwrap();
            let said = said(&amtool, &["check-config", route.to_str().unwrap()]).unwrap();
            assert!(said.contains("3 receivers"), "{said}");
            routes += 1;
        }
    }
    assert_eq!(routes, 8);
}

#[test]
fn promtool_takes_every_configuration_that_can_come_out() {
    let Some(promtool) = peer("promtool") else { return };
    let mut checked = 0;
    for without in [
        &[][..],
        &[Component::NodeExporter],
        &[Component::Cadvisor],
        &[Component::NodeExporter, Component::Cadvisor],
    ] {
        for (interval, server, hostname) in [
            ("15s", "web-1", "web-1"),
            (
                "1s",
                "größe $HOME ${x} $$ \"1\" \\ {{x}} # : - 'y'",
                "a \"b\" \\ c: # d",
            ),
            ("1m30s", "true", "0x10"),
            ("1d", "🦀 東京", "\u{7f}\u{85}\u{2028}\u{feff}\n\t"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let mut options = options();
            options.without = without.iter().copied().collect();
            options.scrape_interval = interval.parse().unwrap();
            options.server = server.parse().unwrap();
            let mut facts = facts(dir.path());
            facts.hostname = hostname.to_owned();
            for swarm in [None, Some(Swarm::default())] {
                options.swarm = swarm;
                let of_swarm = tempfile::tempdir().unwrap();
                write(&desired(&options, &facts), of_swarm.path());
                let config = of_swarm.path().join("prometheus.yml");
                succeeds(&promtool, &["check", "config", config.to_str().unwrap()])
                    .unwrap_or_else(|text| panic!("{text}\n{}", fs::read_to_string(&config).unwrap()));
            }
            options.swarm = None;
            write(&desired(&options, &facts), dir.path());
            // With and without files of the user's.
            for own in [
                "",
                "scrape_configs:\n  - job_name: own\n    static_configs:\n      - targets: [own:80]\n",
            ] {
                if !own.is_empty() {
                    fs::write(dir.path().join("conf.d/own.yml"), own).unwrap();
                    fs::write(dir.path().join("rules/own.yml"), "groups: []\n").unwrap();
                }
                let config = dir.path().join("prometheus.yml");
                succeeds(&promtool, &["check", "config", config.to_str().unwrap()])
                    .unwrap_or_else(|text| panic!("{text}\n{}", fs::read_to_string(&config).unwrap()));
                checked += 1;
            }
            for file in ["web.yml", "node-exporter-web.yml"] {
                let path = dir.path().join(file);
                if path.is_file() {
                    succeeds(&promtool, &["check", "web-config", path.to_str().unwrap()]).unwrap();
                }
            }
        }
    }
    assert_eq!(checked, 32);
    let dir = tempfile::tempdir().unwrap();
    let broken = dir.path().join("prometheus.yml");
    fs::write(&broken, "scrape_config: []\n").unwrap();
    succeeds(&promtool, &["check", "config", broken.to_str().unwrap()]).unwrap_err();
}

/// Is the word one that Prometheus takes for a flag? It has to fail, as there is no configuration: what it says first tells.
fn takes_flag(prometheus: &Path, flag: &str) -> bool {
    let text = succeeds(prometheus, &[flag, "--config.file=/nowhere/prometheus.yml"]).unwrap_err();
    let is_refused = text.contains("Error parsing command line arguments");
    assert!(
        is_refused || text.contains("/nowhere/prometheus.yml"),
        "{flag}: {text}"
    );
    !is_refused
}

#[test]
fn durations_and_sizes_are_those_that_prometheus_takes() {
    let Some(prometheus) = peer("prometheus") else {
        return;
    };
    for text in [
        "15s",
        "15d",
        "1h30m",
        "1m500ms",
        "1y1w1d1h1m1s1ms",
        "0d1s",
        "292y",
        "293y",
        "99999999999999999999s",
        "15",
        "d",
        "15 d",
        "15D",
        "1.5h",
        "30m1h",
        "1h1h",
        "1s\n",
    ] {
        let ours = text.parse::<stack::Duration>().is_ok();
        assert_eq!(
            ours,
            takes_flag(&prometheus, &format!("--storage.tsdb.retention.time={text}")),
            "{text:?}"
        );
    }
    for text in [
        "1B", "512MB", "5GB", "5GiB", "1.5KB", ".5KB", "5.KB", "1GB512MB", "1KiB1B", "7EB", "5", "GB",
        "5 GB", "5gb", "5kB", "5G", "5iB", "1.2.3GB", "1GB1MiB", ".GB",
    ] {
        // Not here: 8EB, which Prometheus 3.5 takes and counts as less than nothing.
        let ours = text.parse::<stack::Size>().is_ok();
        assert_eq!(
            ours,
            takes_flag(&prometheus, &format!("--storage.tsdb.retention.size={text}")),
            "{text:?}"
        );
    }
}

/// The name, the labels, and the `app` and `project` that have to come of them.
type App = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
    &'static str,
);

/// Containers as cAdvisor shows them.
const APPS: &[App] = &[
    ("plain", &[], "plain", ""),
    // A cgroup that is no container has no name.
    ("", &[], "", ""),
    (
        "shop-web-1",
        &[("compose_project", "shop"), ("compose_service", "web")],
        "shop-web",
        "shop",
    ),
    ("alone-1", &[("compose_service", "alone")], "alone", ""),
    ("odd-1", &[("compose_project", "odd")], "odd-1", "odd"),
    ("front.1.r65u", &[("swarm_service_name", "front")], "front", ""),
    (
        "blog_db.1.k3",
        &[("swarm_service_name", "blog_db"), ("stack_namespace", "blog")],
        "blog_db",
        "blog",
    ),
    // Deployed as a stack from a compose file: swarm's word counts.
    (
        "mixed.1.x",
        &[
            ("compose_project", "c"),
            ("compose_service", "s"),
            ("swarm_service_name", "mixed"),
            ("stack_namespace", "stack"),
        ],
        "mixed",
        "stack",
    ),
    (
        "a-b.c_d-1",
        &[("compose_project", "a-b"), ("compose_service", "c.d_e")],
        "a-b-c.d_e",
        "a-b",
    ),
];

/// Stands where cAdvisor stands: one family of it, behind the password.
fn serve_containers(credentials: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut text = String::new();
    for (at, (name, labels, _, _)) in APPS.iter().enumerate() {
        let all = [
            "compose_project",
            "compose_service",
            "swarm_service_name",
            "stack_namespace",
        ];
        // cAdvisor gives all containers all labels, most of them empty.
        let value = |label: &str| {
            labels
                .iter()
                .find(|(name, _)| *name == label)
                .map_or("", |(_, value)| value)
        };
        let labels: Vec<_> = all
            .iter()
            .map(|label| format!("container_label_com_docker_{label}=\"{}\"", value(label)))
            .collect();
        text += &format!(
            "container_last_seen{{id=\"/{at}\",name=\"{name}\",{}}} 1\n",
            labels.join(",")
        );
    }
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let mut request = [0; 4096];
            let read = socket.read(&mut request).unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..read]).into_owned();
            let knows = request.contains(&format!("Basic {}", base64(&credentials)));
            let (status, body) = if knows {
                ("200 OK", text.as_str())
            } else {
                ("401 Unauthorized", "")
            };
            let _ = write!(
                socket,
                "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    port
}

/// The result of an instant query: labels of each series.
fn query(port: u16, credentials: &str, expression: &str) -> Vec<BTreeMap<String, String>> {
    let (_, body) = get(
        port,
        &format!("/api/v1/query?query={expression}"),
        Some(credentials),
    );
    let json: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
    let series = json["data"]["result"].as_array().cloned().unwrap_or_default();
    series
        .into_iter()
        .map(|series| serde_json::from_value(series["metric"].clone()).unwrap())
        .collect()
}

#[test]
fn a_real_prometheus_scrapes_with_passwords_and_names_apps_as_the_embedded_one_does() {
    let (Some(prometheus), Some(promtool), Some(node_exporter)) =
        (peer("prometheus"), peer("promtool"), peer("node_exporter"))
    else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    let facts = facts(&base);
    let mut options = options();
    options.scrape_interval = "1s".parse().unwrap();
    options.server = "the $HOME of größe".parse().unwrap();
    options.ports.insert(Component::NodeExporter, free_port());
    let wanted = desired(&options, &facts);
    write(&wanted, &base);
    let credentials = |of| format!("{}:{}", spec::USER, password(&facts, of));

    let exporter = options.port(Component::NodeExporter);
    let arguments = [
        format!("--web.listen-address=127.0.0.1:{exporter}"),
        format!(
            "--web.config.file={}",
            base.join("node-exporter-web.yml").display()
        ),
    ];
    let _exporter = start(&node_exporter, &arguments, &dir.path().join("node.log"));
    let containers = serve_containers(credentials(Component::Cadvisor));
    let port = free_port();
    let log = dir.path().join("prometheus.log");
    let _prometheus = start_prometheus(&prometheus, &wanted, &base, (port, containers), &log);

    let own = credentials(Component::Prometheus);
    until(
        &log,
        || get(port, "/-/ready", Some(&own)).0,
        |status| *status == 200,
    );
    let up = until(&log, || query(port, &own, "up==1"), |up| up.len() == 3);
    let mut instances: Vec<_> = up
        .iter()
        .map(|series| format!("{} {}", series["job"], series["instance"]))
        .collect();
    instances.sort();
    assert_eq!(
        instances,
        [
            "cadvisor web-1:8080",
            "node-exporter web-1:9100",
            "prometheus web-1:9090"
        ]
    );
    for port in [port, exporter] {
        assert_eq!(get(port, "/metrics", None).0, 401);
        assert_eq!(get(port, "/metrics", Some("masthead:wrong")).0, 401);
    }
    check_apps(port, &own, &log);
    let (_, config) = get(port, "/api/v1/status/config", Some(&own));
    assert!(config.contains("server: the $HOME of größe"), "{config}");
    let secrets: Vec<_> = facts.secrets.iter().map(|(_, secret)| &secret.password).collect();
    assert!(!secrets.iter().any(|secret| config.contains(*secret)));

    check_health(&wanted, &promtool, &base, port);
}

/// With its container's command; what has another address here than there is changed: Prometheus itself and cAdvisor.
fn start_prometheus(program: &Path, wanted: &Desired, base: &Path, ports: (u16, u16), log: &Path) -> Running {
    let (port, containers) = ports;
    let config = base.join("prometheus.yml");
    let text = fs::read_to_string(&config).unwrap();
    let text = text
        .replace("masthead-cadvisor:8080", &format!("127.0.0.1:{containers}"))
        .replace("127.0.0.1:9090", &format!("127.0.0.1:{port}"));
    fs::write(&config, text).unwrap();
    let mut specs = wanted.containers.iter();
    let spec = specs
        .find(|spec| spec.component == Component::Prometheus)
        .unwrap();
    let words = spec.command.iter();
    let mut arguments: Vec<String> = words
        .map(|word| word.replace("/etc/prometheus", &base.display().to_string()))
        .map(|word| word.replace("=/prometheus", &format!("={}", base.join("data").display())))
        .collect();
    arguments.push(format!("--web.listen-address=127.0.0.1:{port}"));
    start(program, &arguments, log)
}

fn check_apps(port: u16, own: &str, log: &Path) {
    let series = until(
        log,
        || query(port, own, "container_last_seen"),
        |series| series.len() == APPS.len(),
    );
    for (at, (name, _, app, project)) in APPS.iter().enumerate() {
        let id = format!("/{at}");
        let series = series.iter().find(|series| series["id"] == id).unwrap();
        let label = |name: &str| series.get(name).map_or("", String::as_str);
        assert_eq!(
            (label("app"), label("project")),
            (*app, *project),
            "{name}: {series:?}"
        );
    }
}

/// The health checks as they are given to the engine, here run by hand.
fn check_health(wanted: &Desired, promtool: &Path, base: &Path, port: u16) {
    for spec in &wanted.containers {
        let health = spec.health.as_ref().unwrap();
        match spec.component {
            Component::Prometheus => {
                assert_eq!(health.test[..2], ["CMD", "/bin/promtool"]);
                let run = |port: u16| {
                    let words: Vec<String> = health.test[2..]
                        .iter()
                        .map(|word| word.replace("127.0.0.1:9090", &format!("127.0.0.1:{port}")))
                        .map(|word| word.replace("/etc/prometheus", &base.display().to_string()))
                        .collect();
                    succeeds(promtool, &words.iter().map(String::as_str).collect::<Vec<_>>())
                };
                run(port).unwrap();
                run(free_port()).unwrap_err();
                // It comes in by the password.
                fs::write(base.join("secrets/prometheus.password"), "wrong").unwrap();
                run(port).unwrap_err();
            }
            Component::NodeExporter => {
                let run = |line: &str| {
                    let shell = Path::new("/bin/busybox");
                    match shell.is_file() {
                        true => succeeds(shell, &["sh", "-c", line]),
                        false => succeeds(Path::new("/bin/sh"), &["-c", line]),
                    }
                };
                assert_eq!(health.test[0], "CMD-SHELL");
                run(&health.test[1]).unwrap();
                let at = spec
                    .command
                    .iter()
                    .find_map(|word| word.strip_prefix("--web.listen-address="))
                    .unwrap();
                let nobody = format!("127.0.0.1:{}", free_port());
                run(&health.test[1].replace(at, &nobody)).unwrap_err();
            }
            _ => {}
        }
    }
}
