//! What stands in for the proxy of the engine's socket (`tecnativa/docker-socket-proxy`), whose image cannot be had where the tests run:
//! the same port, the same variables for what is let through, 403 for the rest.
//!
//! By its settings, read from the environment: a method other than GET and HEAD needs `POST=1`; a path needs the variable of its first
//! word, so `/v1.41/containers/json` needs `CONTAINERS=1`. One request a connection.

#![allow(clippy::print_stderr, reason = "its log is its container's")]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

const LISTEN: &str = "0.0.0.0:2375";
const SOCKET: &str = "/var/run/docker.sock";
/// Longer than the engine takes for a list.
const TIMEOUT: Duration = Duration::from_secs(30);
const REFUSED: &[u8] = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

fn main() -> ExitCode {
    // As the real one keeps its own files there: whether the container lets it is part of the test.
    for path in ["/tmp/haproxy.cfg", "/run/haproxy.pid"] {
        if let Err(error) = std::fs::write(path, "") {
            eprintln!("socketproxy: {path}: {error}");
            return ExitCode::FAILURE;
        }
    }
    let listener = match TcpListener::bind(LISTEN) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("socketproxy: {LISTEN}: {error}");
            return ExitCode::FAILURE;
        }
    };
    for stream in listener.incoming().flatten() {
        thread::spawn(move || {
            if let Err(error) = pass(stream) {
                eprintln!("socketproxy: {error}");
            }
        });
    }
    ExitCode::FAILURE
}

fn pass(mut client: TcpStream) -> io::Result<()> {
    client.set_read_timeout(Some(TIMEOUT))?;
    let mut lines = BufReader::new(client.try_clone()?);
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 || line.trim_end().is_empty() {
            break;
        }
        if !line.to_ascii_lowercase().starts_with("connection:") {
            head.push_str(&line);
        }
    }
    let mut words = head.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if !is_let_through(method, path, |name| {
        std::env::var(name).is_ok_and(|value| value == "1")
    }) {
        return client.write_all(REFUSED);
    }
    let mut engine = UnixStream::connect(SOCKET)?;
    engine.set_read_timeout(Some(TIMEOUT))?;
    engine.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
    let mut block = vec![0; 64 << 10];
    loop {
        match engine.read(&mut block)? {
            0 => return Ok(()),
            read => client.write_all(block.get(..read).unwrap_or_default())?,
        }
    }
}

fn is_let_through(method: &str, path: &str, is_set: impl Fn(&str) -> bool) -> bool {
    let is_read = matches!(method, "GET" | "HEAD");
    let mut words = path.split(['/', '?']).skip(1).peekable();
    let is_version = |word: &&str| {
        word.strip_prefix('v')
            .is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_digit() || c == '.'))
    };
    words.next_if(is_version);
    let name = words
        .next()
        .unwrap_or_default()
        .trim_start_matches('_')
        .to_ascii_uppercase();
    (is_read || is_set("POST")) && !name.is_empty() && is_set(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_is_refused() {
        let set = |name: &str| matches!(name, "CONTAINERS" | "PING");
        for (method, path, want) in [
            ("GET", "/v1.41/containers/json?limit=0", true),
            ("GET", "/containers/json", true),
            ("HEAD", "/_ping", true),
            ("POST", "/v1.41/containers/create", false),
            ("GET", "/v1.41/images/json", false),
            ("GET", "/v1/networks", false),
            ("GET", "/", false),
            ("", "", false),
        ] {
            assert_eq!(is_let_through(method, path, set), want, "{method} {path}");
        }
    }
}
