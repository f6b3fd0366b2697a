//! The deployed Prometheus, asked over its HTTP API on the host's loopback: its targets, and whether it took its configuration.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};

use crate::StackError;

/// An answer that takes longer does not come.
const LIMIT: Duration = Duration::from_secs(10);
/// A snapshot writes the head as a block, which takes a while where it is large and the disk slow.
const SNAPSHOT_LIMIT: Duration = Duration::from_secs(1800);
/// The largest answer: a list of some ten thousand targets.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// What a target's last scrape came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetHealth {
    /// It answered.
    Up,
    /// It did not.
    Down,
    /// It was not scraped yet.
    Unknown,
}

/// A target of the deployed Prometheus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    /// The job of the configuration.
    pub job: String,
    /// Label `instance`.
    pub instance: String,
    /// What is scraped.
    pub url: String,
    /// What the last scrape came to.
    pub health: TargetHealth,
    /// Why it failed; empty when it did not.
    pub error: String,
    /// When it was scraped last, RFC 3339; changes with each scrape.
    pub last_scrape: String,
}

/// A Prometheus and the password that it asks for.
#[derive(Clone)]
pub(crate) struct Prometheus {
    address: SocketAddr,
    authorization: Option<String>,
}

impl std::fmt::Debug for Prometheus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prometheus")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// An answer, whatever its status.
struct Answer {
    status: u16,
    body: Bytes,
}

#[derive(Deserialize)]
struct SnapshotAnswer {
    data: SnapshotData,
}

#[derive(Deserialize)]
struct SnapshotData {
    name: String,
}

#[derive(Deserialize)]
struct TargetsAnswer {
    data: TargetsData,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TargetsData {
    active_targets: Vec<ActiveTarget>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ActiveTarget {
    scrape_pool: String,
    #[serde(default)]
    labels: std::collections::HashMap<String, String>,
    #[serde(default)]
    scrape_url: String,
    health: TargetHealth,
    #[serde(default)]
    last_error: String,
    #[serde(default)]
    last_scrape: String,
}

impl Prometheus {
    pub(crate) fn new(address: SocketAddr, user: &str, password: &str) -> Self {
        let pair = STANDARD.encode(format!("{user}:{password}"));
        Self {
            address,
            authorization: Some(format!("Basic {pair}")),
        }
    }

    /// The same without a password, to see whether it is let in.
    pub(crate) fn stranger(&self) -> Self {
        Self {
            address: self.address,
            authorization: None,
        }
    }

    /// Its active targets, sorted by job and instance.
    pub(crate) async fn targets(&self) -> Result<Vec<Target>, StackError> {
        let path = "/api/v1/targets?state=active";
        let body = self.get(path).await?;
        let answer: TargetsAnswer =
            serde_json::from_slice(&body).map_err(|error| self.failed(path, &error))?;
        let mut targets: Vec<Target> = answer.data.active_targets.into_iter().map(target).collect();
        targets.sort_by(|a, b| (&a.job, &a.instance, &a.url).cmp(&(&b.job, &b.instance, &b.url)));
        Ok(targets)
    }

    /// Metrics of its own that have no labels.
    pub(crate) async fn metrics<const N: usize>(
        &self,
        names: [&str; N],
    ) -> Result<[Option<f64>; N], StackError> {
        let body = self.get("/metrics").await?;
        let text = String::from_utf8_lossy(&body);
        Ok(names.map(|name| metric(&text, name)))
    }

    /// Has it write all that it holds, the present too, as blocks into a new folder of its data folder; gives the folder's name.
    pub(crate) async fn snapshot(&self) -> Result<String, StackError> {
        let path = "/api/v1/admin/tsdb/snapshot";
        let body = self.sent("POST", path, SNAPSHOT_LIMIT).await?;
        let answer: SnapshotAnswer =
            serde_json::from_slice(&body).map_err(|error| self.failed(path, &error))?;
        let name = answer.data.name;
        match name.is_empty() || name.contains(['/', '\0']) || name.starts_with('.') {
            true => Err(self.failed(path, &format!("it names {name:?}, which is no folder of its own"))),
            false => Ok(name),
        }
    }

    /// The status code of an answer to somebody without a password.
    pub(crate) async fn status(&self, path: &str) -> Result<u16, StackError> {
        Ok(self.ask("GET", path, LIMIT).await?.status)
    }

    async fn get(&self, path: &str) -> Result<Bytes, StackError> {
        self.sent("GET", path, LIMIT).await
    }

    async fn sent(&self, method: &str, path: &str, limit: Duration) -> Result<Bytes, StackError> {
        let answer = self.ask(method, path, limit).await?;
        match answer.status {
            200..=299 => Ok(answer.body),
            401 => Err(self.failed(
                path,
                &"it does not take the kept password; run `masthead setup`, which brings both together again",
            )),
            status => {
                let text = String::from_utf8_lossy(&answer.body);
                let line = text.lines().next().unwrap_or_default();
                Err(self.failed(path, &format!("it answered {status}: {line}")))
            }
        }
    }

    async fn ask(&self, method: &str, path: &str, limit: Duration) -> Result<Answer, StackError> {
        match tokio::time::timeout(limit, self.exchange(method, path)).await {
            Ok(answer) => answer,
            Err(_) => Err(self.failed(path, &format!("no answer within {} s", limit.as_secs()))),
        }
    }

    async fn exchange(&self, method: &str, path: &str) -> Result<Answer, StackError> {
        let stream = tokio::net::TcpStream::connect(self.address)
            .await
            .map_err(|error| self.failed(path, &error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.failed(path, &error))?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.address.to_string());
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request
            .body(Empty::<Bytes>::new())
            .map_err(|error| self.failed(path, &error))?;
        // The connection has to be driven while the answer is read, and goes with this future.
        let answer = async {
            let response = sender
                .send_request(request)
                .await
                .map_err(|error| self.broken(path, &error))?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES)
                .collect()
                .await
                .map_err(|error| self.failed(path, &error))?
                .to_bytes();
            Ok(Answer { status, body })
        };
        let mut answer = std::pin::pin!(answer);
        tokio::select! {
            done = &mut answer => done,
            _ended = connection => answer.await,
        }
    }

    /// hyper's own words leave out what the system said.
    fn broken(&self, path: &str, error: &hyper::Error) -> StackError {
        use std::error::Error as _;
        match error.source() {
            Some(cause) => self.failed(path, &format!("{error}: {cause}")),
            None => self.failed(path, error),
        }
    }

    fn failed(&self, path: &str, reason: &dyn std::fmt::Display) -> StackError {
        StackError::Prometheus {
            what: format!("http://{}{path}", self.address),
            reason: reason.to_string(),
        }
    }
}

fn target(active: ActiveTarget) -> Target {
    Target {
        job: active.scrape_pool,
        instance: active.labels.get("instance").cloned().unwrap_or_default(),
        url: active.scrape_url,
        health: active.health,
        error: active.last_error,
        last_scrape: active.last_scrape,
    }
}

/// The value of a metric without labels in an exposition.
fn metric(exposition: &str, name: &str) -> Option<f64> {
    exposition
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .and_then(|value| value.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn a_metric_is_found_by_its_whole_name() {
        let text = "# HELP a_b x\n# TYPE a_b gauge\na_b_c 3\na_b 1.5e+09\na_b{x=\"y\"} 4\n";
        assert_eq!(metric(text, "a_b"), Some(1.5e9));
        assert_eq!(metric(text, "a"), None);
        assert_eq!(metric(text, "a_b_c"), Some(3.0));
    }

    /// Answers one request with this text and gives what was asked.
    async fn answering(answer: &'static str) -> (Prometheus, tokio::task::JoinHandle<String>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let prometheus = Prometheus::new(listener.local_addr().expect("address"), "masthead", "pw");
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = vec![0; 4096];
            let read = stream.read(&mut request).await.expect("a request");
            stream.write_all(answer.as_bytes()).await.expect("answered");
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        (prometheus, asked)
    }

    #[tokio::test]
    async fn targets_are_read_and_the_password_is_sent() {
        let body = r#"{"status":"success","data":{"activeTargets":[
            {"scrapePool":"prometheus","labels":{"instance":"h:9090"},"scrapeUrl":"http://h","health":"up","lastError":""},
            {"scrapePool":"node-exporter","labels":{"instance":"h:9100"},"health":"down","lastError":"context deadline exceeded"}
        ],"droppedTargets":[]}}"#;
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let (prometheus, asked) = answering(Box::leak(answer.into_boxed_str())).await;
        let targets = prometheus.targets().await.expect("targets");
        let said: Vec<_> = targets
            .iter()
            .map(|t| (t.job.as_str(), t.health, t.error.as_str()))
            .collect();
        assert_eq!(
            said,
            [
                ("node-exporter", TargetHealth::Down, "context deadline exceeded"),
                ("prometheus", TargetHealth::Up, "")
            ]
        );
        let asked = asked.await.expect("asked");
        assert!(asked.contains("authorization: Basic bWFzdGhlYWQ6cHc="), "{asked}");
        assert!(!format!("{prometheus:?}").contains("bWFz"));
    }

    #[tokio::test]
    async fn what_goes_wrong_is_said() {
        let (prometheus, _) = answering("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").await;
        let error = prometheus.targets().await.expect_err("refused").to_string();
        assert!(error.contains("masthead setup"), "{error}");
        let (prometheus, _) = answering("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nodd").await;
        prometheus.targets().await.expect_err("no JSON");
        let (prometheus, _) = answering("").await;
        prometheus.targets().await.expect_err("closed at once");
        let (prometheus, _) = answering("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(prometheus.stranger().status("/").await.expect("answer"), 401);
    }
}
