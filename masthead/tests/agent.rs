//! `masthead agent` as a process: what it serves, what it refuses, and that it ends.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should stop here"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

struct Agent {
    child: Child,
    address: String,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_masthead"));
    command
        .arg("agent")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

impl Agent {
    fn start(arguments: &[&str]) -> Self {
        let mut child = command(arguments).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        let greeting = lines
            .by_ref()
            .map(Result::unwrap)
            .find(|line| line.contains("http://"))
            .unwrap();
        let (_, rest) = greeting.split_once("http://").unwrap();
        let address = rest.split('/').next().unwrap().to_owned();
        Self { child, address }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

#[test]
fn it_serves_the_host_where_scrape_configurations_look() {
    let mut agent = Agent::start(&["--listen", "127.0.0.1:0"]);
    for path in ["/metrics", "/metrics/node"] {
        let answer = agent.get(path);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer:.100}");
        assert!(answer.contains("\nnode_load1 "), "{path}");
        assert!(
            !answer.contains("\nmasthead_"),
            "{path} is the host and nothing else"
        );
    }
    let answer = agent.get("/metrics/containers");
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.contains("text/plain; version=0.0.4"),
        "{answer:.300}"
    );
    let page = agent.get("/");
    assert!(
        page.contains("text/html") && page.contains("href=\"/metrics/containers\""),
        "{page}"
    );
    for path in ["/api/v1/query?query=1", "/metrics/no", "/x"] {
        let answer = agent.get(path);
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer:.100}");
    }
    kill_process(Pid::from_child(&agent.child), Signal::TERM).unwrap();
    assert!(agent.child.wait().unwrap().success());
}

#[test]
fn a_password_is_asked_for_where_there_are_users() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yml");
    // The password is "x"; cost 4 keeps the test quick.
    let hash = bcrypt::hash("x", 4).unwrap();
    std::fs::write(&file, format!("basic_auth_users:\n  ann: {hash}\n")).unwrap();
    let agent = Agent::start(&["--listen", "127.0.0.1:0", "--web-config", file.to_str().unwrap()]);
    let answer = agent.get("/metrics");
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer:.100}");
}

#[test]
fn it_takes_cadvisors_place_when_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yml");
    let hash = bcrypt::hash("x", 4).unwrap();
    std::fs::write(&file, format!("basic_auth_users:\n  ann: {hash}\n")).unwrap();
    let web = ["--web-config", file.to_str().unwrap()];
    let place = ["--listen", "127.0.0.1:0", "--metrics", "containers"];
    let open = Agent::start(&place);
    let answer = open.get("/metrics");
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.contains("\nmachine_cpu_cores{"),
        "{answer:.300}"
    );
    assert!(!answer.contains("\nnode_"), "the containers and nothing else");
    assert!(open.get("/metrics/node").contains("\nnode_load1 "));
    assert!(open.get("/").contains("the same as /metrics/containers"));
    let closed = Agent::start(&[&place[..], &web[..]].concat());
    let health = closed.get("/healthz");
    assert!(
        health.starts_with("HTTP/1.1 200 ") && health.ends_with("\r\nok"),
        "{health}"
    );
    for path in ["/metrics", "/metrics/containers", "/healthz/x", "/"] {
        let answer = closed.get(path);
        assert!(answer.starts_with("HTTP/1.1 401 "), "{path}: {answer:.100}");
    }
    let host = Agent::start(&["--listen", "127.0.0.1:0"]);
    assert!(
        host.get("/healthz").starts_with("HTTP/1.1 404 "),
        "node_exporter has none"
    );
}

#[test]
fn containers_that_are_turned_off_cannot_be_all_that_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("masthead.yml");
    std::fs::write(&file, "masthead: {containers: {enabled: false}}\n").unwrap();
    let output = command(&["--listen", "127.0.0.1:0", "--metrics", "containers"])
        .args(["--config", file.to_str().unwrap()])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && text.contains("--metrics containers"),
        "{text}"
    );
}

#[test]
fn beyond_loopback_it_wants_users_or_the_word() {
    let output = command(&["--listen", "0.0.0.0:0"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("--insecure"), "{text}");
    let agent = Agent::start(&["--listen", "0.0.0.0:0", "--insecure"]);
    assert!(agent.address.starts_with("0.0.0.0:"), "{}", agent.address);
}
