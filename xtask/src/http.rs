//! A small HTTP/1.1 client for loopback: the tests speak to the servers with no library between, so that what is sent is
//! exactly what is written here (also when it is wrong on purpose).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Longer than any query of the tests takes.
const TIMEOUT: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Debug)]
pub(crate) struct Response {
    /// The status code.
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The body, with chunks joined.
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("the answer is not JSON: {}", clip(&self.text())))
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// The beginning of a text, for messages.
pub(crate) fn clip(text: &str) -> String {
    let mut short: String = text.chars().take(300).collect();
    if short.len() < text.len() {
        short.push_str(" ...");
    }
    short
}

/// A connection that is kept open between requests.
#[derive(Debug)]
pub(crate) struct Connection {
    address: String,
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects to `host:port`.
    pub(crate) fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            address: address.to_string(),
            stream: BufReader::with_capacity(64 * 1024, stream),
        })
    }

    /// Sends a request and reads the answer.
    pub(crate) fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response> {
        let bytes = request_bytes(&self.address, method, path, headers, body);
        let written = self.stream.get_mut().write_all(&bytes);
        // A server that refuses a body may answer and close before it has read all of it: the answer still counts.
        match (read_response(&mut self.stream), written) {
            (Ok(response), _) => Ok(response),
            (Err(_), Err(error)) => Err(error).with_context(|| format!("cannot send {method} {path}")),
            (Err(error), Ok(())) => Err(error.context(format!("no answer to {method} {path}"))),
        }
    }
}

/// A request as it is sent.
pub(crate) fn request_bytes(
    host: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Vec<u8> {
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Reads one answer.
pub(crate) fn read_response(stream: &mut impl BufRead) -> Result<Response> {
    let line = read_line(stream)?;
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let Some(status) = status else {
        bail!("not an HTTP answer: {line:?}")
    };
    let mut headers = Vec::new();
    loop {
        let line = read_line(stream)?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.push((name.trim().to_ascii_lowercase(), value.trim().to_string()));
    }
    let mut response = Response {
        status,
        headers,
        body: Vec::new(),
    };
    response.body = read_body(stream, &response)?;
    Ok(response)
}

fn read_line(stream: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        bail!("the server closed the connection");
    }
    Ok(line.trim_end().to_string())
}

fn read_body(stream: &mut impl BufRead, response: &Response) -> Result<Vec<u8>> {
    if response
        .header("transfer-encoding")
        .is_some_and(|coding| coding.contains("chunked"))
    {
        return read_chunks(stream);
    }
    if let Some(length) = response.header("content-length") {
        let mut body = vec![0; length.parse().context("content-length is not a number")?];
        stream
            .read_exact(&mut body)
            .context("the body is shorter than its length says")?;
        return Ok(body);
    }
    let mut body = Vec::new();
    if !matches!(response.status, 204 | 304) {
        stream.read_to_end(&mut body)?;
    }
    Ok(body)
}

fn read_chunks(stream: &mut impl BufRead) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(stream)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).with_context(|| format!("not a chunk's size: {line:?}"))?;
        let read = stream.take(size).read_to_end(&mut body)?;
        if u64::try_from(read).is_ok_and(|read| read < size) {
            bail!("the server closed the connection within a chunk");
        }
        read_line(stream)?;
        if size == 0 {
            return Ok(body);
        }
    }
}

/// One request on a connection of its own.
pub(crate) fn request(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Response> {
    let mut headers = headers.to_vec();
    headers.push(("Connection", "close"));
    Connection::open(address)?.send(method, path, &headers, body)
}

/// One GET.
pub(crate) fn get(address: &str, path: &str) -> Result<Response> {
    request(address, "GET", path, &[], b"")
}

/// One POST of a form.
pub(crate) fn post_form(address: &str, path: &str, form: &[(&str, &str)]) -> Result<Response> {
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    request(address, "POST", path, &headers, form_encode(form).as_bytes())
}

/// `a=b&c=d`, with everything but letters and digits escaped.
pub(crate) fn form_encode(form: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = form
        .iter()
        .map(|(k, v)| format!("{}={}", escape(k), escape(v)))
        .collect();
    pairs.join("&")
}

fn escape(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A server that answers one connection with fixed bytes.
    fn answer(bytes: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut buffer = [0; 4096];
            let _request = stream.read(&mut buffer);
            stream.write_all(bytes).expect("the answer");
        });
        address
    }

    #[track_caller]
    fn check(bytes: &'static [u8], want: Option<(u16, &str)>) {
        let got = get(&answer(bytes), "/")
            .ok()
            .map(|response| (response.status, response.text()));
        assert_eq!(got, want.map(|(status, body)| (status, body.to_string())));
    }

    #[test]
    fn bodies_are_read_in_all_three_forms() {
        check(
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd",
            Some((200, "abc")),
        );
        check(
            b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n",
            Some((400, "abcde")),
        );
        check(b"HTTP/1.1 503 No\r\n\r\nto the end", Some((503, "to the end")));
        check(b"HTTP/1.1 204 No\r\n\r\n", Some((204, "")));
    }

    #[test]
    fn a_broken_answer_is_an_error() {
        check(b"", None);
        check(b"nonsense\r\n\r\n", None);
        check(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nabc", None);
        check(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
            None,
        );
    }

    #[test]
    fn forms_are_escaped() {
        assert_eq!(
            form_encode(&[("query", "a{b=\"c d\"}+1"), ("t", "1.5")]),
            "query=a%7Bb%3D%22c%20d%22%7D%2B1&t=1.5"
        );
    }
}
