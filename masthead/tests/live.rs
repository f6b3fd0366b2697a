//! The live API over a real listener: events arrive one by one, nobody can block the end, passwords hold; and processes on demand.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should stop here"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

struct Up {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Up {
    fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_masthead"))
            .args(["up", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.path())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        let greeting = lines
            .by_ref()
            .map(Result::unwrap)
            .find(|line| line.contains("http://"))
            .unwrap();
        let (_, rest) = greeting.split_once("http://").unwrap();
        let address = rest.split('/').next().unwrap().to_owned();
        Self {
            child,
            address,
            _folder: folder,
        }
    }

    fn open(&self, path: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        // A browser takes gzip; the events must come all the same.
        let request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept-encoding: gzip\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        BufReader::new(stream)
    }

    fn threads_named_live(&self) -> usize {
        let tasks = format!("/proc/{}/task", self.child.id());
        std::fs::read_dir(tasks)
            .unwrap()
            .filter(|task| {
                let comm = task.as_ref().unwrap().path().join("comm");
                std::fs::read_to_string(comm).is_ok_and(|name| name.trim() == "live")
            })
            .count()
    }

    fn get(&self, path: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        (code, serde_json::from_str(body).unwrap())
    }
}

fn next_reading(stream: &mut BufReader<TcpStream>) -> Value {
    let mut line = String::new();
    loop {
        line.clear();
        assert!(stream.read_line(&mut line).unwrap() > 0, "the stream ended");
        if let Some(data) = line.strip_prefix("data: ") {
            return serde_json::from_str(data).unwrap();
        }
    }
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..80 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("not within 4 s: {what}");
}

#[test]
fn events_come_one_by_one_and_cost_nothing_when_nobody_looks() {
    let up = Up::start(&[]);
    assert_eq!(up.threads_named_live(), 0);
    let mut stream = up.open("/api/masthead/v1/live");
    let first = next_reading(&mut stream);
    assert!(first["host"]["cpuRatio"].is_null(), "{first}");
    let started = masthead::clock::instant();
    let second = next_reading(&mut stream);
    assert!(started.elapsed() < Duration::from_secs(2));
    assert!(second["host"]["cpuRatio"].is_number(), "{second}");
    assert!(second["time"].as_f64().unwrap() > first["time"].as_f64().unwrap());
    assert!(second["containers"].is_array());
    let mut other = up.open("/api/masthead/v1/live");
    next_reading(&mut other);
    assert_eq!(up.threads_named_live(), 1, "listeners share it");
    drop((stream, other));
    wait_until("the thread ends", || up.threads_named_live() == 0);
}

#[test]
fn open_streams_do_not_hold_up_the_stop() {
    let mut up = Up::start(&[]);
    let mut streams: Vec<_> = (0..8).map(|_| up.open("/api/masthead/v1/live")).collect();
    for stream in &mut streams[..4] {
        next_reading(stream);
    }
    // The other four never read a byte.
    kill_process(Pid::from_child(&up.child), Signal::INT).unwrap();
    let started = masthead::clock::instant();
    assert!(up.child.wait().unwrap().success());
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    // An orderly end: the last chunk, then nothing.
    let mut rest = String::new();
    streams[0].read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("0\r\n\r\n"), "{rest:?}");
}

#[test]
fn streams_are_limited_and_need_the_password() {
    let up = Up::start(&[]);
    let mut streams: Vec<_> = (0..masthead::live::LISTENERS_MAX)
        .map(|_| up.open("/api/masthead/v1/live"))
        .collect();
    streams.iter_mut().for_each(|stream| drop(next_reading(stream)));
    let (code, answer) = up.get("/api/masthead/v1/live");
    assert_eq!(code, 503, "{answer}");
    assert!(
        answer["error"].as_str().unwrap().contains("live pages"),
        "{answer}"
    );
    drop(streams);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yml");
    let hash = bcrypt::hash("x", 4).unwrap();
    std::fs::write(&file, format!("basic_auth_users:\n  ann: {hash}\n")).unwrap();
    let guarded = Up::start(&["--web-config", file.to_str().unwrap()]);
    for path in ["/api/masthead/v1/live", "/api/masthead/v1/top"] {
        let mut first = String::new();
        guarded.open(path).read_line(&mut first).unwrap();
        assert!(first.starts_with("HTTP/1.1 401 "), "{path}: {first}");
    }
}

#[test]
fn the_busiest_process_is_on_top() {
    let up = Up::start(&[]);
    let mut burner = Command::new("sh")
        .args(["-c", "while :; do :; done", "--token=secret"])
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let (code, answer) = up.get("/api/masthead/v1/top?limit=200");
    let _ = burner.kill();
    let _ = burner.wait();
    assert_eq!(code, 200, "{answer}");
    let data = &answer["data"];
    assert!(data["seconds"].as_f64().unwrap() >= 0.5, "{}", data["seconds"]);
    let rows = data["processes"].as_array().unwrap();
    assert!(data["total"].as_u64().unwrap() >= rows.len() as u64 && rows.len() <= 200);
    let row = rows.iter().find(|row| row["pid"] == burner.id()).unwrap();
    assert!(row["cpuCores"].as_f64().unwrap() > 0.05, "{row}");
    assert_eq!(
        row["command"], "sh",
        "options and what follows may be secrets: {row}"
    );
    assert_eq!(row["state"], "running");
    assert!(row["memoryBytes"].as_u64().unwrap() > 100_000, "{row}");
    assert!(row["startedAt"].as_f64().unwrap() > 1e9, "{row}");
    let user = row["user"].as_str().unwrap();
    assert!(!user.is_empty() && user.parse::<u32>().is_err(), "{row}");

    let (code, answer) = up.get("/api/masthead/v1/top?container=nosuch");
    assert_eq!(
        (code, &answer["errorType"]),
        (404, &Value::from("not_found")),
        "{answer}"
    );
}
