//! What a client makes of whatever may answer at an address: nobody, silence, other servers, refusals, redirects, broken answers.
//!
//! The answers are fixed bytes on a real socket; real servers with passwords and TLS are the end-to-end test's.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop here")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use client::{Client, ClientError, Data};

/// An answer with this status, these headers and this body.
fn http(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A server that answers a connection with these bytes, and gives back the request.
fn serve(answer: String) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut request = Vec::new();
        let mut buffer = [0; 4096];
        while !is_whole(&request) {
            match stream.read(&mut buffer) {
                Ok(count) if count > 0 => request.extend_from_slice(&buffer[..count]),
                _ => break,
            }
        }
        stream.write_all(answer.as_bytes()).expect("the answer");
        String::from_utf8_lossy(&request).into_owned()
    });
    (url, asked)
}

/// Head and body are there.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    body.len() >= length.unwrap_or(0)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}

/// Asks, and wants an error with these words in it.
#[track_caller]
fn check(answer: String, words: &[&str]) -> ClientError {
    let (url, _asked) = serve(answer);
    let client = Client::builder(&url).basic_auth("ann", "hush").build().unwrap();
    let error = run(client.query("up")).expect_err("an error");
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{word:?} in {text}");
    }
    assert!(
        !text.contains("hush") && !format!("{error:?}").contains("hush"),
        "{error:?}"
    );
    error
}

#[test]
fn another_server_is_no_prometheus() {
    let error = check(
        http("200 OK", "", "<html>\n<body>Hello</body></html>"),
        &["no Prometheus API", "/api/v1/query", "200 OK", "<html>"],
    );
    assert!(matches!(error, ClientError::NotPrometheus { .. }), "{error:?}");
    check(
        http("404 Not Found", "", "404 page not found"),
        &["no Prometheus API", "404 page not found"],
    );
    check(http("200 OK", "", "{\"hello\":\"x\"}"), &["no Prometheus API"]);
}

#[test]
fn a_refusal_says_who_was_refused() {
    let body = http("401 Unauthorized", "", "");
    check(body.clone(), &["refused user \"ann\" or the password"]);
    let (url, _asked) = serve(body);
    let client = Client::new(&url, Duration::from_secs(5)).unwrap();
    let error = run(client.query("up")).expect_err("an error").to_string();
    assert!(error.contains("wants a user and a password"), "{error}");
}

#[test]
fn a_redirect_is_not_followed() {
    let error = check(
        http("302 Found", "Location: https://u:p@elsewhere/login\r\n", ""),
        &["redirects to https://elsewhere/login"],
    );
    assert!(matches!(error, ClientError::Redirect { .. }), "{error:?}");
}

#[test]
fn a_server_that_is_starting_is_not_ready() {
    let body = http("503 Service Unavailable", "", "Service Unavailable");
    check(body.clone(), &["cannot answer now", "starting"]);
    let (url, _asked) = serve(body);
    let client = Client::new(&url, Duration::from_secs(5)).unwrap();
    let health = run(client.health()).expect("its health");
    assert!(!health.ready && health.reason.is_some(), "{health:?}");
}

#[test]
fn the_servers_own_error_is_said_in_its_words() {
    let error = check(
        http(
            "400 Bad Request",
            "Content-Type: application/json\r\n",
            "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"1:3: parse error: no\"}",
        ),
        &["1:3: parse error: no"],
    );
    assert!(
        matches!(&error, ClientError::Query { kind, .. } if kind == "bad_data"),
        "{error:?}"
    );
}

#[test]
fn a_broken_answer_is_an_error() {
    check(String::new(), &["asking http://127.0.0.1"]);
    check(
        "HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n{\"status\":".to_owned(),
        &["asking http://127.0.0.1"],
    );
    check(
        http("200 OK", "", "{\"status\":\"success\"}"),
        &["could not be read", "data"],
    );
    check(
        http("200 OK", "", "{\"status\":\"success\",\"data\":[]}"),
        &["could not be read"],
    );
}

#[test]
fn nobody_and_silence_are_told_apart() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = Client::new(&format!("http://{free}"), Duration::from_secs(5)).unwrap();
    let error = run(client.query("up")).expect_err("nobody");
    assert!(
        matches!(&error, ClientError::Connect { reason, .. } if reason.contains("refused")),
        "{error:?}"
    );
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let client = Client::new(&url, Duration::from_millis(200)).unwrap();
    let error = run(client.query("up")).expect_err("silence");
    assert!(matches!(error, ClientError::Timeout { .. }), "{error:?}");
    assert!(error.to_string().contains("within 0.2 s"), "{error}");
}

#[test]
fn a_query_goes_where_the_address_says_with_its_credentials() {
    let (url, asked) = serve(http(
        "200 OK",
        "",
        "{\"status\":\"success\",\"data\":{\"resultType\":\"string\",\"result\":[1,\"hello\"]},\"warnings\":[\"careful\"]}",
    ));
    let url = url.replace("http://", "http://ann:s%40fe@") + "/prefix/";
    let client = Client::new(&url, Duration::from_secs(5)).unwrap();
    let answer = run(client.query_at("\"hello\"", 1_500)).expect("an answer");
    assert_eq!(answer.data, Data::String(1.0, "hello".to_owned()));
    assert_eq!(answer.warnings, ["careful"]);
    let request = asked.join().unwrap();
    assert!(
        request.starts_with("POST /prefix/api/v1/query HTTP/1.1"),
        "{request}"
    );
    // ann:s@fe
    assert!(request.contains("Basic YW5uOnNAZmU="), "{request}");
    assert!(request.ends_with("query=%22hello%22&time=1.500"), "{request}");
}
