//! Scrape loops against real HTTP servers on the loopback that answer well, badly, slowly or not at all.

use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::super::memory_store::MemoryStore;
use super::super::targets::{Health, TargetStatus};
use super::super::tunnel::Way;
use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n";

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let mut out = format!(
        "{head}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    out.extend_from_slice(body);
    out
}

/// Serves canned answers, one a connection, the last one again and again; `None` reads the request and keeps silent.
/// Gives the address and the requests seen.
async fn serve(answers: Vec<Option<Vec<u8>>>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = requests.clone();
    tokio::spawn(async move {
        for number in 0.. {
            let Ok((mut stream, _)) = listener.accept().await else {
                return;
            };
            let canned = answers.get(number).or(answers.last()).cloned().flatten();
            let seen = seen.clone();
            tokio::spawn(async move {
                let mut request = vec![0; 4096];
                let read = stream.read(&mut request).await.unwrap_or(0);
                seen.lock()
                    .unwrap()
                    .push(String::from_utf8_lossy(&request[..read]).to_ascii_lowercase());
                match canned {
                    Some(bytes) => drop(stream.write_all(&bytes).await),
                    None => tokio::time::sleep(Duration::from_secs(60)).await,
                }
            });
        }
    });
    (address, requests)
}

fn install_tls() {
    // A second call fails, which is all right.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn config(job: &str) -> Config {
    Config::parse(
        &format!("scrape_configs:\n- job_name: j\n{job}"),
        Path::new("masthead.yml"),
    )
    .unwrap()
}

/// Runs the job until its target has been scraped `rounds` times; gives its last status and the store after the stop.
async fn run(config: &Config, rounds: usize) -> (TargetStatus, Arc<MemoryStore>, Arc<Targets>) {
    install_tls();
    let store = Arc::new(MemoryStore::default());
    let sink: Arc<dyn Sink> = store.clone();
    let targets = Arc::new(Targets::new());
    let manager = Manager::start(config, &sink, &targets).unwrap();
    let rounds_done = || {
        let state = store.0.lock().unwrap();
        state
            .data
            .iter()
            .find(|(name, _)| name.starts_with("up{"))
            .map_or(0, |(_, points)| points.len())
    };
    for _ in 0..400 {
        if rounds_done() >= rounds {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(rounds_done() >= rounds, "the target was not scraped in time");
    // The status is written a moment after the samples.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let status = targets.snapshot().remove(0);
    manager.stop().await;
    (status, store, targets)
}

/// One scrape of a target that gives `canned`, with more settings of the job; gives the error, empty when it was good.
async fn once(canned: Option<Vec<u8>>, settings: &str) -> String {
    let (address, _) = serve(vec![canned]).await;
    let job = format!(
        "  scrape_interval: 1m\n  scrape_timeout: 300ms\n{settings}  static_configs: [{{targets: ['{address}']}}]\n"
    );
    let (status, store, _) = run(&config(&job), 1).await;
    let up = format!("up{{instance=\"{address}\", job=\"j\"}}");
    let values: Vec<f64> = store.0.lock().unwrap().data[&up]
        .iter()
        .map(|(_, value)| *value)
        .collect();
    assert_eq!(values[0] == 1.0, status.last_error.is_empty(), "{status:?}");
    assert_eq!(
        status.health,
        if status.last_error.is_empty() {
            Health::Up
        } else {
            Health::Down
        }
    );
    assert!(
        model::is_stale(*values.last().unwrap()),
        "the stop ends the series"
    );
    status.last_error
}

#[tokio::test]
async fn a_target_is_scraped_on_its_beat_until_the_stop() {
    let (address, requests) = serve(vec![
        Some(answer(
            OK,
            b"# HELP a A.\n# TYPE a gauge\na 1\nb{job=\"own\"} 2\n",
        )),
        Some(answer(OK, b"# HELP a A.\n# TYPE a gauge\na 2\n")),
    ])
    .await;
    let job = format!(
        "  scrape_interval: 200ms\n  params: {{q: ['a b']}}\n  metrics_path: /m\n  basic_auth: {{username: u, password: p}}\n  \
         static_configs: [{{targets: ['{address}', '{address}'], labels: {{env: x}}}}]\n"
    );
    let (status, store, targets) = run(&config(&job), 3).await;
    assert_eq!((status.health, status.info.job.as_str()), (Health::Up, "j"));
    assert_eq!(status.info.scrape_url, format!("http://{address}/m?q=a+b"));
    assert_eq!(status.info.discovered_labels.get("__metrics_path__"), Some("/m"));
    assert!(targets.snapshot().is_empty(), "a stopped target is gone");
    let request = requests.lock().unwrap()[0].clone();
    for part in [
        "get /m?q=a+b http/1.1\r\n",
        "accept: application/openmetrics-text;version=1.0.0",
        "accept-encoding: gzip",
        "x-prometheus-scrape-timeout-seconds: 0.2\r\n",
        "user-agent: masthead/",
        "authorization: basic dtpw\r\n",
    ] {
        assert!(request.contains(part), "{request}\nlacks {part}");
    }
    let state = store.0.lock().unwrap();
    let a = &state.data[&format!("a{{env=\"x\", instance=\"{address}\", job=\"j\"}}")];
    assert_eq!((a[0].1, a[1].1), (1.0, 2.0));
    assert!(model::is_stale(a.last().unwrap().1));
    let b = &state.data[&format!("b{{env=\"x\", exported_job=\"own\", instance=\"{address}\", job=\"j\"}}")];
    assert_eq!(b.len(), 2);
    assert!(model::is_stale(b[1].1));
    assert_eq!(
        (b[0].0, b[1].0),
        (a[0].0, a[1].0),
        "all samples of a scrape have one time"
    );
}

#[tokio::test]
async fn bad_answers_say_what_is_wrong() {
    let huge = answer(OK, "a 1\n".repeat(1000).as_bytes());
    let mut cut = answer(OK, b"a 1\nb 1\n");
    cut.truncate(cut.len() - 4);
    let html = answer("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n", b"<html>");
    let bad_gzip = answer(
        &format!("{OK}Content-Encoding: gzip\r\n"),
        b"\x1f\x8b\x08\x00garbage garbage",
    );
    for (canned, settings, part) in [
        (
            Some(answer(OK, b"a 1\nb x\n")),
            "",
            "cannot read the target's text format: line 2: \"x\" is not a number",
        ),
        (
            Some(answer("HTTP/1.1 500 Internal Server Error\r\n", b"oh")),
            "",
            "server returned HTTP status 500 Internal Server Error",
        ),
        (
            Some(answer("HTTP/1.1 302 Found\r\nLocation: /x\r\n", b"")),
            "  follow_redirects: false\n",
            "status 302 Found",
        ),
        (
            Some(answer("HTTP/1.1 302 Found\r\nLocation: /x\r\n", b"")),
            "",
            "redirect",
        ),
        (
            Some(huge),
            "  body_size_limit: 1KB\n",
            "body size limit exceeded: the target sends more than 1KiB",
        ),
        (Some(cut), "", "broke off"),
        (Some(html), "", "text/html, not metrics"),
        (Some(bad_gzip), "", "damaged"),
        (
            Some(b"garbage\r\n\r\n".to_vec()),
            "",
            "request to the target failed",
        ),
        (Some(Vec::new()), "", "request to the target failed"),
        (None, "", "no complete answer within the scrape_timeout of 300ms"),
        (Some(OK.as_bytes().to_vec()), "", "failed"),
        (
            Some(answer(OK, b"a 1\n")),
            "  authorization: {credentials_file: /no/such}\n",
            "cannot read the secret in /no/such",
        ),
        (
            Some(answer(
                "HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text\r\n",
                b"a 1\n",
            )),
            "",
            "does not end with # EOF",
        ),
    ] {
        let error = once(canned, settings).await;
        assert!(error.contains(part), "want {part:?}, got {error:?}");
    }
}

#[tokio::test]
async fn good_answers_of_all_kinds() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(b"a 1\n").unwrap();
    let gzip = answer(
        &format!("{OK}Content-Encoding: gzip\r\n"),
        &packed.finish().unwrap(),
    );
    let open = answer(
        "HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0\r\n",
        b"a 1\n# EOF\n",
    );
    for canned in [
        gzip,
        open,
        answer("HTTP/1.1 200 OK\r\n", b"a 1\n"),
        answer(OK, b""),
    ] {
        assert_eq!(once(Some(canned), "").await, "");
    }
}

#[tokio::test]
async fn a_redirect_is_followed() {
    let (address, requests) = serve(vec![
        Some(answer("HTTP/1.1 302 Found\r\nLocation: /other\r\n", b"")),
        Some(answer(OK, b"a 1\n")),
    ])
    .await;
    let job = format!("  static_configs: [{{targets: ['{address}']}}]\n");
    let (status, ..) = run(&config(&job), 1).await;
    assert_eq!(status.last_error, "");
    assert!(requests.lock().unwrap()[1].starts_with("get /other "));
}

#[tokio::test]
async fn a_port_where_nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (status, store, _) = run(
        &config(&format!("  static_configs: [{{targets: ['{address}']}}]\n")),
        1,
    )
    .await;
    assert!(
        status
            .last_error
            .starts_with("cannot connect to the target: Connection refused"),
        "{}",
        status.last_error
    );
    assert!(
        store
            .last(&format!("up{{instance=\"{address}\", job=\"j\"}}"))
            .is_some_and(model::is_stale)
    );
}

#[tokio::test]
async fn metadata_reaches_the_api() {
    let (address, _) = serve(vec![Some(answer(OK, b"# HELP a A.\n# TYPE a counter\na 1\n"))]).await;
    install_tls();
    let store: Arc<dyn Sink> = Arc::new(MemoryStore::default());
    let targets = Targets::new();
    let job = format!("  static_configs: [{{targets: ['{address}']}}]\n");
    let manager = Manager::start(&config(&job), &store, &targets).unwrap();
    for _ in 0..400 {
        if !targets.metadata().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let entry = &targets.metadata()["a"][0];
    assert_eq!((entry.kind, entry.help.as_str()), ("counter", "A."));
    manager.stop().await;
}

#[test]
fn a_ca_file_without_a_certificate_stops_the_setup() {
    install_tls();
    let file = tempfile::NamedTempFile::new().unwrap();
    let job = format!("  tls_config: {{ca_file: '{}'}}\n", file.path().display());
    let sink: Arc<dyn Sink> = Arc::new(MemoryStore::default());
    let error = Manager::start(&config(&job), &sink, &Targets::new())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("cannot set up the scrape job \"j\"") && error.contains("no certificate"),
        "{error}"
    );
}

#[test]
fn beats_are_spread_and_regular() {
    let interval = Duration::from_secs(10);
    let offsets: HashSet<i64> = (0..50)
        .map(|n| Beat::new(interval, &format!("target {n}")).offset_ms)
        .collect();
    assert!(offsets.len() > 45 && offsets.iter().all(|offset| (0..10_000).contains(offset)));
    let beat = Beat {
        interval_ms: 10_000,
        offset_ms: 3_000,
    };
    for (now, next) in [
        (0, 3_000),
        (2_999, 3_000),
        (3_000, 13_000),
        (12_999, 13_000),
        (-8_000, -7_000),
    ] {
        assert_eq!(beat.after(now), next, "{now}");
    }
    for (due, now, next) in [
        (3_000, 3_200, 13_000),
        (3_000, 2_990, 13_000),
        (3_000, 43_100, 53_000),
        (103_000, 3_100, 13_000),
    ] {
        assert_eq!(beat.next(due, now), next, "{due} {now}");
    }
    for (due, now, stamp) in [
        (3_000, 3_000, 3_000),
        (3_000, 3_100, 3_000),
        (3_000, 3_101, 3_101),
        (3_000, 2_990, 2_990),
    ] {
        assert_eq!(beat.stamp(due, now), stamp);
    }
}

#[tokio::test]
async fn behind_a_tunnel_the_way_comes_and_goes() {
    install_tls();
    let federated = "# TYPE node_load1 untyped\nnode_load1{job=\"node-exporter\",instance=\"web-1:9100\",server=\"theirs\"} 3 1000\n";
    let (address, requests) = serve(vec![Some(answer(OK, federated.as_bytes()))]).await;
    let store = Arc::new(MemoryStore::default());
    let sink: Arc<dyn Sink> = store.clone();
    let targets = Targets::new();
    let (way, ways) = tokio::sync::watch::channel(Way::Shut("no route to host".into()));
    let (to_rounds, mut rounds) = tokio::sync::mpsc::channel(4);
    let source = Source {
        server: "web-1".into(),
        job: "federate".into(),
        instance: "web-1".into(),
        path: "/federate",
        matches: Some("{job=\"node-exporter\"}"),
        // The first scrape comes at once; the next ones only when the way changes.
        interval: Duration::from_secs(3600),
        timeout: Duration::from_secs(10),
    };
    let tunnel = Tunnel {
        way: ways,
        rounds: Some(to_rounds),
        has_metadata: false,
        over: Arc::default(),
    };
    let beside = Beside {
        sink: &sink,
        targets: &targets,
    };
    let stop = CancellationToken::new();
    let made = ScrapeLoop::tunnelled(&source, tunnel, beside).unwrap();
    let task = tokio::spawn(made.run(stop.clone()));
    let up = "up{instance=\"web-1\", job=\"federate\", server=\"web-1\"}";
    while store.last(up) != Some(0.0) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let status = targets.snapshot().remove(0);
    assert_eq!(
        (status.health, status.last_error.as_str()),
        (Health::Down, "no route to host")
    );
    assert!(
        rounds.try_recv().is_err(),
        "who shut the way knows that nothing comes"
    );
    way.send_replace(Way::Open {
        opening: 3,
        scheme: crate::config::Scheme::Http,
        address: address.parse().unwrap(),
        auth: None,
    });
    let round = rounds.recv().await.unwrap();
    assert_eq!((round.opening, round.outcome), (3, Ok(())));
    stop.cancel();
    task.await.unwrap();
    let dump = store.dump_samples();
    assert!(
        dump.contains("node_load1{instance=\"web-1:9100\", job=\"node-exporter\", server=\"web-1\"}: 1000=3"),
        "{dump}"
    );
    let asked = requests.lock().unwrap().concat();
    assert!(asked.starts_with("get /federate?match%5b%5d="), "{asked}");
    assert!(targets.metadata().is_empty(), "/federate makes its types up");
}
