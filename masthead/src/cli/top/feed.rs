//! The live API as a stream of readings.

use std::path::Path;
use std::time::Duration;

use crate::cli::top::model::Reading;

/// Without an answer for so long the server is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Readings come every second; after so long without one the connection is dead.
const SILENCE: Duration = Duration::from_secs(6);
/// A reading of a thousand containers has some 300 kB.
const LINE_BYTES_MAX: usize = 16 << 20;

/// Why there are no readings.
#[derive(Debug, thiserror::Error)]
pub(super) enum FeedError {
    /// It may come back.
    #[error("{0}")]
    Away(String),
    /// Trying again changes nothing.
    #[error("{0}")]
    Refused(String),
}

/// Where readings come from.
#[derive(Debug)]
pub(super) struct Server {
    http: reqwest::Client,
    url: String,
    /// Without a password.
    pub(super) shown: String,
}

impl Server {
    /// `url` may hold a user and a password, and a path before the API's.
    pub(super) fn new(url: &str, ca_file: Option<&Path>) -> anyhow::Result<Self> {
        let shown = client::without_password(url);
        let plain = || {
            reqwest::Client::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                // Compressed events would wait for each other.
                .no_gzip()
        };
        let mut builder = plain();
        if let Some(file) = ca_file {
            let wrong = |why: String| {
                anyhow::anyhow!(
                    "--ca-file {}: {why}; give a PEM file with certificates",
                    file.display()
                )
            };
            let pem = std::fs::read(file).map_err(|e| wrong(e.to_string()))?;
            let certificates =
                reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| wrong(e.to_string()))?;
            anyhow::ensure!(
                !certificates.is_empty(),
                wrong("no certificate is in it".to_owned())
            );
            builder = builder.tls_certs_only(certificates);
        }
        let http = builder
            .build()
            // A machine without any trusted certificates (a small container) can still ask over plain HTTP.
            .or_else(|e| match ca_file {
                Some(_) => Err(e),
                None => plain().tls_certs_only([]).build(),
            })
            .map_err(|e| anyhow::anyhow!("setting up the HTTP client: {e}"))?;
        Ok(Self {
            http,
            url: format!("{}/api/masthead/v1/live", url.trim_end_matches('/')),
            shown,
        })
    }

    /// Opens the stream.
    pub(super) async fn open(&self) -> Result<Feed, FeedError> {
        let asked = self
            .http
            .get(&self.url)
            .header("accept", "text/event-stream")
            .send();
        let answer = match tokio::time::timeout(SILENCE, asked).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(e)) if e.is_builder() => {
                return Err(FeedError::Refused(format!(
                    "{} is not an address; give one such as http://127.0.0.1:9090",
                    self.shown
                )));
            }
            Ok(Err(e)) => return Err(FeedError::Away(client::error_chain(&e.without_url()))),
            Err(_) => {
                return Err(FeedError::Away(format!(
                    "no answer within {} s",
                    SILENCE.as_secs()
                )));
            }
        };
        let status = answer.status();
        if status.is_success() {
            return Ok(Feed {
                answer,
                lines: Lines::default(),
            });
        }
        let text = match status.as_u16() {
            401 => "it wants a user and a password: --url http://USER:PASSWORD@HOST:PORT".to_owned(),
            404 => "it has no live readings; is it a Prometheus? They come from `masthead up`".to_owned(),
            code => format!("it answered with {code}"),
        };
        if status.is_server_error() {
            Err(FeedError::Away(text))
        } else {
            Err(FeedError::Refused(text))
        }
    }
}

/// An open stream.
#[derive(Debug)]
pub(super) struct Feed {
    answer: reqwest::Response,
    lines: Lines,
}

impl Feed {
    /// The next reading.
    pub(super) async fn next(&mut self) -> Result<Reading, FeedError> {
        loop {
            if let Some(reading) = self.lines.next()? {
                return Ok(reading);
            }
            match tokio::time::timeout(SILENCE, self.answer.chunk()).await {
                Ok(Ok(Some(bytes))) => self.lines.push(&bytes)?,
                Ok(Ok(None)) => return Err(FeedError::Away("the server ended the stream".to_owned())),
                Ok(Err(e)) => return Err(FeedError::Away(client::error_chain(&e.without_url()))),
                Err(_) => {
                    return Err(FeedError::Away(format!("no reading for {} s", SILENCE.as_secs())));
                }
            }
        }
    }
}

/// Bytes to the readings in them: each is on one line that begins with `data:`.
#[derive(Debug, Default)]
struct Lines {
    bytes: Vec<u8>,
}

impl Lines {
    fn push(&mut self, bytes: &[u8]) -> Result<(), FeedError> {
        if self.bytes.len() + bytes.len() > LINE_BYTES_MAX {
            return Err(FeedError::Refused(
                "what it sends are no live readings".to_owned(),
            ));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Reading>, FeedError> {
        while let Some(end) = self.bytes.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.bytes.drain(..=end).collect();
            if let Some(data) = line.strip_prefix(b"data:") {
                return serde_json::from_slice(data)
                    .map(Some)
                    .map_err(|e| FeedError::Refused(format!("what it sends are no live readings: {e}")));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_are_found_in_pieces_of_any_size() {
        let stream = "event: reading\ndata: {\"host\":{\"load1\":1}}\n\n: a comment\nevent: reading\r\ndata:{\"host\":{\"load1\":2}}\r\n\r\n";
        for size in [1, 2, 7, 1000] {
            let mut lines = Lines::default();
            let mut loads = Vec::new();
            for piece in stream.as_bytes().chunks(size) {
                lines.push(piece).unwrap();
                while let Some(reading) = lines.next().unwrap() {
                    loads.push(reading.host.load1.unwrap());
                }
            }
            assert_eq!(loads, [1.0, 2.0], "{size}");
        }
    }

    #[test]
    fn what_is_no_reading_ends_it() {
        let mut lines = Lines::default();
        lines.push(b"data: hello\n").unwrap();
        assert!(matches!(lines.next(), Err(FeedError::Refused(_))));
        assert!(lines.push(&vec![b'x'; LINE_BYTES_MAX + 1]).is_err());
    }
}
