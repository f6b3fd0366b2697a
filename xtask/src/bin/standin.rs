//! What stands between a scrape and `masthead agent` where that one takes cAdvisor's place in tests: it passes requests on, and takes
//! out of the answers what cAdvisor would not say: the labels `app` and `project`, which the stack's own configuration has to make.
//!
//! `standin LISTEN AGENT`, both `HOST:PORT`. One request a connection; compression is not passed on.

#![allow(clippy::print_stderr, reason = "its log is its container's")]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

/// Longer than a scrape may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The labels that are taken out.
const OURS: [&str; 2] = ["app=\"", "project=\""];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [listen, agent] = words.as_slice() else {
        eprintln!("usage: standin LISTEN AGENT");
        return ExitCode::from(2);
    };
    let listener = match TcpListener::bind(listen) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("standin: {listen}: {error}");
            return ExitCode::FAILURE;
        }
    };
    for stream in listener.incoming().flatten() {
        let agent = agent.clone();
        thread::spawn(move || {
            if let Err(error) = pass(stream, &agent) {
                eprintln!("standin: {error}");
            }
        });
    }
    ExitCode::FAILURE
}

/// One request and its answer.
fn pass(mut client: TcpStream, agent: &str) -> io::Result<()> {
    client.set_read_timeout(Some(TIMEOUT))?;
    let mut request = String::new();
    let mut lines = BufReader::new(client.try_clone()?);
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 || line.trim_end().is_empty() {
            break;
        }
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if !matches!(name.as_str(), "accept-encoding" | "connection") {
            request.push_str(&line);
        }
    }
    request.push_str("Connection: close\r\n\r\n");
    let mut server = TcpStream::connect(agent)?;
    server.set_read_timeout(Some(TIMEOUT))?;
    server.write_all(request.as_bytes())?;
    let mut answer = BufReader::new(server);
    let head = head_of(&mut answer)?;
    let mut body = String::new();
    answer.read_to_string(&mut body)?;
    let text: String = if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        return Err(io::Error::other(
            "the agent answers in chunks, which is not read here",
        ));
    } else {
        body.split_inclusive('\n').map(without_ours).collect()
    };
    let kept: String = head
        .split_inclusive("\r\n")
        .filter(|line| !line.to_ascii_lowercase().starts_with("content-length"))
        .collect();
    client.write_all(format!("{kept}content-length: {}\r\n\r\n{text}", text.len()).as_bytes())
}

/// The lines of an answer's head, without the empty one.
fn head_of(answer: &mut impl BufRead) -> io::Result<String> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if answer.read_line(&mut line)? == 0 || line.trim_end().is_empty() {
            return Ok(head);
        }
        head.push_str(&line);
    }
}

/// A line of an exposition without our labels.
fn without_ours(line: &str) -> String {
    let (Some(open), false) = (line.find('{'), line.starts_with('#')) else {
        return line.to_owned();
    };
    let mut rest = line.get(open + 1..).unwrap_or_default();
    let mut out = line.get(..=open).unwrap_or_default().to_owned();
    let mut kept = 0;
    while !rest.starts_with('}') {
        let Some(end) = end_of_label(rest) else {
            return line.to_owned();
        };
        let label = rest.get(..end).unwrap_or_default();
        rest = rest.get(end..).unwrap_or_default();
        rest = rest.strip_prefix(',').unwrap_or(rest);
        if !OURS.iter().any(|ours| label.starts_with(ours)) {
            if kept > 0 {
                out.push(',');
            }
            out.push_str(label);
            kept += 1;
        }
    }
    out.push_str(rest);
    out
}

/// Where `name="value"` at the beginning of the text ends.
fn end_of_label(text: &str) -> Option<usize> {
    let open = text.find('"')?;
    let mut escaped = false;
    for (at, c) in text.char_indices().skip_while(|(at, _)| *at <= open) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_labels_are_taken_out_and_nothing_else() {
        for (line, want) in [
            ("# TYPE a gauge\n", "# TYPE a gauge\n"),
            ("up 1\n", "up 1\n"),
            ("a{app=\"x\",id=\"/\",project=\"p\"} 1\n", "a{id=\"/\"} 1\n"),
            ("a{app=\"x\"} 1\n", "a{} 1\n"),
            (
                "a{id=\"app=\\\"}\",name=\"n\"} 1 2\n",
                "a{id=\"app=\\\"}\",name=\"n\"} 1 2\n",
            ),
            (
                "a{container_label_app=\"x\"} 1\n",
                "a{container_label_app=\"x\"} 1\n",
            ),
        ] {
            assert_eq!(without_ours(line), want);
        }
    }
}
