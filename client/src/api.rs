//! The client itself: requests, and what comes back told apart.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Response, Url};
use serde::de::DeserializeOwned;

use crate::address::without_password;
use crate::answer::{BuildInfo, Envelope, RawData, Status};
use crate::error::{error_chain, innermost};
use crate::range::seconds_text;
use crate::{Answer, ClientBuilder, ClientError, Data, Health, Range, Series, TargetHealth};

/// Much more than any table or plot holds; an answer without an end would fill the memory.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// How much of a foreign answer is shown.
const EXCERPT_CHARS: usize = 80;

/// Asks one server. Cloning is cheap, and clones share their connections.
#[derive(Clone)]
pub struct Client {
    pub(crate) http: reqwest::Client,
    /// Without user and password.
    pub(crate) base: Url,
    /// The same as people write it.
    pub(crate) shown: String,
    pub(crate) user: Option<String>,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) timeout: Duration,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the HTTP client, which holds the password.
        f.debug_struct("Client")
            .field("url", &self.shown)
            .field("user", &self.user)
            .field("ca", &self.ca)
            .finish_non_exhaustive()
    }
}

/// An answer that is neither an error nor foreign.
struct Reply<T> {
    data: T,
    warnings: Vec<String>,
    infos: Vec<String>,
}

impl Client {
    /// Sets up a client of the API at `url`: `http://host:9090`, with a path in front of `/api/v1` where there is one.
    #[must_use]
    pub fn builder(url: &str) -> ClientBuilder {
        ClientBuilder::new(url)
    }

    /// A client without more settings; a user and a password may stand in `url`.
    ///
    /// # Errors
    /// [`ClientError::Url`] when it is no such address.
    pub fn new(url: &str, timeout: Duration) -> Result<Self, ClientError> {
        Self::builder(url).timeout(timeout).build()
    }

    /// The address, without user and password.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.shown
    }

    /// Evaluates an expression now.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn query(&self, expr: &str) -> Result<Answer, ClientError> {
        self.evaluate("api/v1/query", &[("query", expr)]).await
    }

    /// Evaluates an expression at a time, milliseconds since the epoch.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn query_at(&self, expr: &str, time_ms: i64) -> Result<Answer, ClientError> {
        let time = seconds_text(time_ms);
        self.evaluate("api/v1/query", &[("query", expr), ("time", &time)])
            .await
    }

    /// Evaluates an expression at each point of a range.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn query_range(&self, expr: &str, range: &Range) -> Result<Answer, ClientError> {
        let form = [
            ("query", expr),
            ("start", &seconds_text(range.start_ms())),
            ("end", &seconds_text(range.end_ms())),
            ("step", &seconds_text(range.step_ms())),
        ];
        self.evaluate("api/v1/query_range", &form).await
    }

    /// Does it answer, which version is it, and which of its targets are up?
    ///
    /// A server that is there but cannot answer yet is [`Health::ready`] = false.
    ///
    /// # Errors
    /// [`ClientError`], when nothing or something else is there, or it wants other credentials.
    pub async fn health(&self) -> Result<Health, ClientError> {
        // Some engines have no readiness path behind their API: what counts is that a query is answered.
        let up = match self.query("up").await {
            Ok(answer) => answer.data.into_series(),
            Err(ClientError::Unavailable { answer: reason, .. }) => return Ok(Health::waits(reason)),
            Err(ClientError::Query { kind, message }) if kind == "unavailable" => {
                return Ok(Health::waits(message));
            }
            Err(error) => return Err(error),
        };
        let mut targets: Vec<TargetHealth> = up
            .iter()
            .map(|series| TargetHealth {
                job: series.label("job").to_owned(),
                instance: series.label("instance").to_owned(),
                up: series.last() == Some(1.0),
            })
            .collect();
        targets.sort();
        let build: Result<Reply<BuildInfo>, _> = self.get("api/v1/status/buildinfo").await;
        // Not every engine tells its version, and it is none the worse for it.
        let version = build.ok().map(|reply| reply.data.version);
        Ok(Health {
            ready: true,
            reason: None,
            version: version.filter(|version| !version.is_empty()),
            targets,
        })
    }

    /// The series of an expression, now or over a range.
    pub(crate) async fn series(&self, expr: &str, range: Option<&Range>) -> Result<Vec<Series>, ClientError> {
        let answer = match range {
            Some(range) => self.query_range(expr, range).await?,
            None => self.query(expr).await?,
        };
        Ok(answer.data.into_series())
    }

    /// Labels of the series with samples between two times, as far as the server's index knows.
    pub(crate) async fn label_sets(
        &self,
        selectors: &[String],
        range: &Range,
    ) -> Result<Vec<Series>, ClientError> {
        let (start, end) = (seconds_text(range.start_ms()), seconds_text(range.end_ms()));
        let mut form = vec![("start", start.as_str()), ("end", end.as_str())];
        form.extend(selectors.iter().map(|selector| ("match[]", selector.as_str())));
        let reply: Reply<Vec<BTreeMap<String, String>>> = self.post("api/v1/series", &form).await?;
        Ok(reply
            .data
            .into_iter()
            .map(|labels| Series {
                labels: labels.into_iter().collect(),
                ..Series::default()
            })
            .collect())
    }

    async fn evaluate(&self, path: &str, form: &[(&str, &str)]) -> Result<Answer, ClientError> {
        let reply: Reply<RawData> = self.post(path, form).await?;
        Ok(Answer {
            data: Data::from(reply.data),
            warnings: reply.warnings,
            infos: reply.infos,
        })
    }

    /// Queries go as POST, since they may be longer than an address.
    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        form: &[(&str, &str)],
    ) -> Result<Reply<T>, ClientError> {
        let url = self.join(path);
        let sent = self.http.post(url.clone()).form(form).send().await;
        self.read(sent, &url).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Reply<T>, ClientError> {
        let url = self.join(path);
        let sent = self.http.get(url.clone()).send().await;
        self.read(sent, &url).await
    }

    fn join(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{path}", self.base.path().trim_end_matches('/')));
        url
    }

    async fn read<T: DeserializeOwned>(
        &self,
        sent: Result<Response, reqwest::Error>,
        url: &Url,
    ) -> Result<Reply<T>, ClientError> {
        let mut response = sent.map_err(|error| self.broken(error))?;
        let status = response.status();
        match status.as_u16() {
            code @ (401 | 403) => {
                return Err(ClientError::Unauthorized {
                    url: self.shown.clone(),
                    user: self.user.clone(),
                    status: code,
                });
            }
            300..=399 => {
                let to = response.headers().get(reqwest::header::LOCATION);
                let to = to.map(|to| without_password(&String::from_utf8_lossy(to.as_bytes())));
                return Err(ClientError::Redirect {
                    url: url.to_string(),
                    to: to.unwrap_or_else(|| "nowhere".to_owned()),
                });
            }
            _ => {}
        }
        let body = self.body(&mut response).await?;
        let envelope: Envelope<T> = match serde_json::from_slice(&body) {
            Ok(envelope) => envelope,
            Err(error) => return Err(self.foreign(&response, &body, &error, url)),
        };
        match (envelope.status, envelope.data) {
            (Status::Success, Some(data)) => Ok(Reply {
                data,
                warnings: envelope.warnings,
                infos: envelope.infos,
            }),
            (Status::Success, None) => Err(ClientError::Answer {
                url: url.to_string(),
                reason: "there is no `data` in it".to_owned(),
            }),
            (Status::Error, _) => Err(ClientError::Query {
                kind: envelope.kind,
                message: envelope.error,
            }),
        }
    }

    async fn body(&self, response: &mut Response) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        while let Some(bytes) = response.chunk().await.map_err(|error| self.broken(error))? {
            if body.len() + bytes.len() > ANSWER_BYTES_MAX {
                return Err(ClientError::Answer {
                    url: self.shown.clone(),
                    reason: format!(
                        "it is larger than {} MiB; ask for fewer series or a longer step",
                        ANSWER_BYTES_MAX >> 20
                    ),
                });
            }
            body.extend_from_slice(&bytes);
        }
        Ok(body)
    }

    /// An answer that is not what the API promises: the API's own, a proxy's, or something else altogether.
    fn foreign(&self, response: &Response, body: &[u8], error: &serde_json::Error, url: &Url) -> ClientError {
        let status = response.status();
        let answer = match excerpt(body) {
            text if text.is_empty() => status.to_string(),
            text => format!("{status}: {text}"),
        };
        if answer.contains("HTTP request to an HTTPS server") {
            return ClientError::Scheme {
                url: self.shown.clone(),
                reason: "the server speaks TLS; write https://",
            };
        }
        if status.is_server_error() {
            return ClientError::Unavailable {
                url: self.shown.clone(),
                answer,
            };
        }
        let is_envelope = body.starts_with(b"{\"status\":");
        if status.is_success() && is_envelope {
            return ClientError::Answer {
                url: url.to_string(),
                reason: error.to_string(),
            };
        }
        ClientError::NotPrometheus {
            url: url.to_string(),
            answer,
        }
    }

    /// A request without an answer.
    fn broken(&self, error: reqwest::Error) -> ClientError {
        if error.is_timeout() {
            return ClientError::Timeout {
                url: self.shown.clone(),
                seconds: self.timeout.as_secs_f64(),
            };
        }
        let error = error.without_url();
        match tls_fault(&error) {
            Some(rustls::Error::InvalidMessage(_)) => {
                return ClientError::Scheme {
                    url: self.shown.clone(),
                    reason: "the server does not speak TLS; write http://",
                };
            }
            Some(fault) => {
                return ClientError::Tls {
                    url: self.shown.clone(),
                    reason: tls_text(fault),
                    ca: self.ca.clone(),
                };
            }
            None => {}
        }
        ClientError::Connect {
            url: self.shown.clone(),
            reason: error_chain(&error),
        }
    }
}

/// What TLS says among the causes of an error.
fn tls_fault<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(fault) = error.downcast_ref::<rustls::Error>() {
        return Some(fault);
    }
    // What an I/O error wraps is not among its causes: those begin behind it.
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => tls_fault(inner),
        None => tls_fault(error.source()?),
    }
}

/// In words for those who set it up.
fn tls_text(fault: &rustls::Error) -> String {
    match fault {
        rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer) => {
            "the server's certificate was issued by somebody who is not trusted".to_owned()
        }
        other => innermost(other),
    }
}

/// The beginning of a foreign answer on one line.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body.get(..1024).unwrap_or(body)).into_owned();
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut short: String = line
        .chars()
        .filter(|c| !c.is_control())
        .take(EXCERPT_CHARS)
        .collect();
    if short.chars().count() == EXCERPT_CHARS {
        short.push_str("...");
    }
    short
}
