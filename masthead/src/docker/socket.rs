//! HTTP over the engine's unix socket: one connection a request, answers of bounded size, and errors that say the cure.
//!
//! Only GET is spoken: nothing here can change anything on the engine.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

/// An answer that has not begun by then is given up. An engine that is starting containers answers about them only when they run.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The largest answer that is read: a list of a thousand containers is some 2 MB.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// The longest event: it carries all labels of its container.
const MAX_LINE_BYTES: usize = 1 << 20;

/// Why the engine did not answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum SocketError {
    /// The socket cannot be opened; the text ends with the cure.
    #[error("opening the socket {}: {source}; {}", path.display(), cure(source))]
    Open {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The engine did not answer in time.
    #[error("the engine behind {} did not answer {what} within {} s; see its log (journalctl -u docker)", path.display(), TIMEOUT.as_secs())]
    Slow {
        /// The socket.
        path: PathBuf,
        /// The request.
        what: String,
    },
    /// The connection broke.
    #[error("talking to the engine behind {} ({what}): {reason}", path.display())]
    Broken {
        /// The socket.
        path: PathBuf,
        /// The request.
        what: String,
        /// For people.
        reason: String,
    },
    /// The engine refused.
    #[error("the engine behind {} answered {what} with {code}: {message}", path.display())]
    Refused {
        /// The socket.
        path: PathBuf,
        /// The request.
        what: String,
        /// The status code.
        code: u16,
        /// What it said.
        message: String,
    },
}

impl SocketError {
    /// There is no such container (any more).
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::Refused { code: 404, .. })
    }

    /// It may answer later: an engine that is starting or stopping this very container does.
    pub(super) fn is_slow(&self) -> bool {
        matches!(self, Self::Slow { .. })
    }

    /// The connection itself is at fault, and not this one question.
    pub(super) fn is_away(&self) -> bool {
        matches!(self, Self::Open { .. })
    }
}

fn cure(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "Masthead may not use it: run Masthead as root, or add its user to the group that owns the socket \
             (`sudo usermod -aG docker USER`) and start Masthead again"
        }
        io::ErrorKind::NotFound => {
            "start the engine (`systemctl start docker`), or name its socket under masthead: containers: docker:, or \
             say masthead: containers: enabled: false where there are no containers"
        }
        io::ErrorKind::ConnectionRefused => {
            "nobody listens there: the engine is down (`systemctl start docker`); in a container, mount the folder of the \
             socket and not the socket, which the engine makes anew at each start"
        }
        _ => "check that this is the socket of a Docker engine or of Podman's API service",
    }
}

/// An engine's socket, and the version prefix that its paths get.
#[derive(Debug, Clone)]
pub(super) struct Socket {
    path: PathBuf,
    prefix: String,
}

impl Socket {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            prefix: String::new(),
        }
    }

    /// Speaks this version of the API from now on; a word that is no version changes nothing.
    pub(super) fn speak(&mut self, api_version: &str) {
        let version = |text: &str| {
            !text.is_empty() && text.len() < 16 && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        };
        if version(api_version) {
            self.prefix = format!("/v{api_version}");
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn broken(&self, what: &str, reason: impl std::fmt::Display) -> SocketError {
        SocketError::Broken {
            path: self.path.clone(),
            what: short(what),
            reason: reason.to_string(),
        }
    }

    fn slow(&self, what: &str) -> SocketError {
        SocketError::Slow {
            path: self.path.clone(),
            what: short(what),
        }
    }

    /// The connection is over, for a reason that the caller knows.
    pub(super) fn gone(&self, reason: &str) -> SocketError {
        self.broken("/events", reason)
    }

    /// The path leads to another socket now.
    pub(super) fn replaced(&self) -> SocketError {
        self.gone("the socket was replaced by another one")
    }

    async fn send(&self, what: &str) -> Result<Response<Incoming>, SocketError> {
        let stream = UnixStream::connect(&self.path)
            .await
            .map_err(|source| SocketError::Open {
                path: self.path.clone(),
                source,
            })?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| self.broken(what, e))?;
        // Ends by itself when the answer is read or thrown away; its error shows in the answer too.
        tokio::spawn(connection);
        let request = Request::get(format!("{}{what}", self.prefix))
            .header(header::HOST, "docker")
            .header(
                header::USER_AGENT,
                concat!("masthead/", env!("CARGO_PKG_VERSION")),
            )
            .body(Empty::<Bytes>::new())
            .map_err(|e| self.broken(what, e))?;
        sender
            .send_request(request)
            .await
            .map_err(|e| self.broken(what, e))
    }

    /// The answer, once it is a good one.
    async fn ask(&self, what: &str) -> Result<Response<Incoming>, SocketError> {
        let response = self.send(what).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let code = response.status().as_u16();
        let body = self.body(what, response).await?;
        Err(SocketError::Refused {
            path: self.path.clone(),
            what: short(what),
            code,
            message: refusal(&body),
        })
    }

    async fn body(&self, what: &str, response: Response<Incoming>) -> Result<Vec<u8>, SocketError> {
        let mut body = response.into_body();
        let mut taken = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| self.broken(what, e))?;
            let Ok(data) = frame.into_data() else { continue };
            if taken.len() + data.len() > MAX_ANSWER_BYTES {
                return Err(self.broken(
                    what,
                    format!("the answer is larger than {MAX_ANSWER_BYTES} bytes"),
                ));
            }
            taken.extend_from_slice(&data);
        }
        Ok(taken)
    }

    /// Asks for a JSON document.
    pub(super) async fn get<T: DeserializeOwned>(&self, what: &str) -> Result<T, SocketError> {
        let asking = async {
            let response = self.ask(what).await?;
            self.body(what, response).await
        };
        let body = tokio::time::timeout(TIMEOUT, asking)
            .await
            .map_err(|_| self.slow(what))??;
        serde_json::from_slice(&body)
            .map_err(|e| self.broken(what, format!("the answer is not as expected: {e}")))
    }

    /// Asks for a stream of JSON documents, one a line. There is no limit of time: Podman begins its answer with the first event.
    pub(super) async fn lines(&self, what: &str) -> Result<Lines, SocketError> {
        let response = self.ask(what).await?;
        Ok(Lines {
            body: response.into_body(),
            buffer: Vec::new(),
            scanned: 0,
            socket: self.clone(),
            what: what.to_owned(),
        })
    }
}

/// A request without its parameters, for people.
fn short(what: &str) -> String {
    what.split('?').next().unwrap_or(what).to_owned()
}

/// The engine's own words out of `{"message":"..."}`, cut to a line.
fn refusal(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Refusal {
        message: String,
    }
    let text = serde_json::from_slice::<Refusal>(body)
        .map_or_else(|_| String::from_utf8_lossy(body).into_owned(), |r| r.message);
    text.trim().chars().take(300).collect()
}

/// A stream of lines.
#[derive(Debug)]
pub(super) struct Lines {
    body: Incoming,
    buffer: Vec<u8>,
    /// So much of the buffer holds no line end.
    scanned: usize,
    socket: Socket,
    what: String,
}

impl Lines {
    /// The next line without its end; `None` when the engine ended the stream.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, SocketError> {
        loop {
            let rest = self.buffer.get(self.scanned..).unwrap_or_default();
            if let Some(at) = memchr::memchr(b'\n', rest) {
                let end = self.scanned + at;
                let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
                line.pop();
                self.scanned = 0;
                return Ok(Some(line));
            }
            self.scanned = self.buffer.len();
            if self.buffer.len() > MAX_LINE_BYTES {
                return Err(self.socket.broken(
                    &self.what,
                    format!("a line is longer than {MAX_LINE_BYTES} bytes"),
                ));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(e)) => {
                    let reason = format!("the engine cut off its events, as when it stops or crashes ({e})");
                    return Err(self.socket.broken(&self.what, reason));
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}

/// `text` as it may stand in a query string.
pub(super) fn encode(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_cannot_be_opened_says_the_cure() {
        for (kind, words) in [
            (io::ErrorKind::PermissionDenied, "usermod -aG docker"),
            (io::ErrorKind::NotFound, "enabled: false"),
            (io::ErrorKind::ConnectionRefused, "the engine is down"),
            (io::ErrorKind::Other, "socket of a Docker engine"),
        ] {
            let error = SocketError::Open {
                path: "/run/x.sock".into(),
                source: kind.into(),
            };
            let text = error.to_string();
            assert!(text.contains(words) && text.contains("/run/x.sock"), "{text}");
        }
    }

    #[test]
    fn only_a_version_becomes_a_prefix() {
        for (version, want) in [
            ("1.41", "/v1.41"),
            ("", ""),
            ("1.41/../x", ""),
            ("11111111111111111", ""),
        ] {
            let mut socket = Socket::new(Path::new("/x"));
            socket.speak(version);
            assert_eq!(socket.prefix, want, "{version}");
        }
    }

    #[test]
    fn what_an_engine_refuses_is_cut_to_a_line() {
        assert_eq!(
            refusal(br#"{"message":"No such container: x\n"}"#),
            "No such container: x"
        );
        assert_eq!(refusal(b"<html>"), "<html>");
        assert_eq!(refusal(&vec![b'x'; 4000]).len(), 300);
    }
}
