//! Typed queries against any Prometheus API: Masthead's own, the real Prometheus, or an engine behind the same paths.
//!
//! The HTTP calls and the decoding are `prometheus-http-query`'s; here is what Masthead's commands need of an answer, as plain values.

mod container;
pub mod expr;
mod near;
mod system;

use std::time::Duration;

use prometheus_http_query::{Client as Api, Error as ApiError};

pub use container::{AppMetrics, ContainerMetrics};
pub use expr::RATE_WINDOW;
pub use system::{
    CpuMetrics, DiskMetrics, FileSystemMetrics, InterfaceMetrics, LoadMetrics, MemoryMetrics,
    PressureMetrics, SwapMetrics, SystemMetrics,
};

pub use prometheus_http_query::response::{Data, InstantVector, RangeVector, Sample};

/// Why an answer could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is no address.
    #[error("{url} is not an address of a Prometheus API ({reason}); give one such as http://127.0.0.1:9090")]
    Url {
        /// As given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody answered, or not in HTTP.
    #[error(
        "asking {url}: {reason}. Is `masthead up` (or Prometheus) running there? --url names another address"
    )]
    Connect {
        /// Where.
        url: String,
        /// The whole chain of causes.
        reason: String,
    },
    /// The server answered with an error.
    #[error("{message}")]
    Query {
        /// Upstream's error type, such as `bad_data`.
        kind: String,
        /// The server's own words, with the position of a fault in the query.
        message: String,
    },
    /// There is no such thing.
    #[error("{}", unknown_text(what, name, near))]
    Unknown {
        /// `app`, `container` or `host`.
        what: &'static str,
        /// As given.
        name: String,
        /// What may have been meant.
        near: Vec<String>,
    },
    /// More than one fits.
    #[error("there are several {what}; name one: {}", names.join(", "))]
    Several {
        /// `hosts` or `containers`.
        what: &'static str,
        /// Those that fit.
        names: Vec<String>,
    },
    /// The answer is not what the API promises.
    #[error("the answer of {url} could not be read: {reason}")]
    Answer {
        /// Where.
        url: String,
        /// What did not fit.
        reason: String,
    },
}

fn unknown_text(what: &str, name: &str, near: &[String]) -> String {
    let source = match what {
        "host" => {
            "this Prometheus has no host metrics of it (is node_exporter, or Masthead, among its targets?)"
        }
        _ => "this Prometheus has no series of it now (cAdvisor's names are looked for)",
    };
    if near.is_empty() {
        format!("no {what} {name:?}: {source}")
    } else {
        format!("no {what} {name:?}; did you mean {}?", near.join(", "))
    }
}

/// One labelled series of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Label pairs, sorted by name.
    pub labels: Vec<(String, String)>,
    /// `(seconds since the epoch, value)`, rising.
    pub points: Vec<(f64, f64)>,
}

impl Series {
    /// A label's value, empty when it has none.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        self.labels
            .iter()
            .find(|(n, _)| n == name)
            .map_or("", |(_, value)| value.as_str())
    }

    /// The newest value, unless it is none.
    #[must_use]
    pub fn last(&self) -> Option<f64> {
        self.points
            .last()
            .map(|(_, value)| *value)
            .filter(|value| !value.is_nan())
    }
}

/// Asks one server.
#[derive(Clone)]
pub struct Client {
    api: Api,
    /// For errors: without the password.
    url: String,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the HTTP client: its address may hold a password.
        f.debug_struct("Client")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the API at `url` (`http://host:port`, credentials may stand in it).
    ///
    /// # Errors
    /// [`ClientError::Url`] when it is no such address.
    pub fn new(url: &str, timeout: Duration) -> Result<Self, ClientError> {
        let shown = without_password(url);
        let fault = |reason: String| ClientError::Url {
            url: shown.clone(),
            // A parser may quote what it could not read.
            reason: reason.replace(url, &shown),
        };
        let builder = || reqwest::Client::builder().timeout(timeout);
        // A machine without any trusted certificates (a small container) can still ask over plain HTTP.
        let http = builder()
            .build()
            .or_else(|_| builder().tls_certs_only([]).build())
            .map_err(|e| fault(error_chain(&e)))?;
        let api = Api::from(http, url).map_err(|e| fault(e.to_string()))?;
        Ok(Self { api, url: shown })
    }

    /// An instant query; a scalar comes as one series without labels.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn query(&self, expr: &str) -> Result<Vec<Series>, ClientError> {
        let answer = self.api.query(expr).post().await.map_err(|e| self.error(&e))?;
        Ok(series_of(answer.data()))
    }

    /// A range query from `start_s` to `end_s` (seconds since the epoch) with steps of `step_s` seconds.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn query_range(
        &self,
        expr: &str,
        start_s: i64,
        end_s: i64,
        step_s: f64,
    ) -> Result<Vec<Series>, ClientError> {
        let answer = self
            .api
            .query_range(expr, start_s, end_s, step_s)
            .post()
            .await
            .map_err(|e| self.error(&e))?;
        Ok(series_of(answer.data()))
    }

    fn error(&self, error: &ApiError) -> ClientError {
        match error {
            ApiError::Prometheus(e) => ClientError::Query {
                kind: e.error_type().to_string(),
                message: e.message().to_owned(),
            },
            ApiError::Client(e) => ClientError::Connect {
                url: self.url.clone(),
                reason: error_chain(e),
            },
            other => ClientError::Answer {
                url: self.url.clone(),
                reason: other.to_string(),
            },
        }
    }
}

/// `host:port` is an address too.
#[must_use]
pub fn full_url(url: &str) -> String {
    if url.contains("://") {
        url.to_owned()
    } else {
        format!("http://{url}")
    }
}

/// The address without the user and the password that may stand in it: for whatever people see.
#[must_use]
pub fn without_password(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        // A password may hold anything, `://` too: what stands before must be a scheme.
        Some((scheme, rest))
            if scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) =>
        {
            (scheme, rest)
        }
        _ => ("", url),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if scheme.is_empty() {
        format!("{host}{path}")
    } else {
        format!("{scheme}://{host}{path}")
    }
}

/// An error with its causes: the outermost of an HTTP client alone says little.
#[must_use]
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

fn series_of(data: &Data) -> Vec<Series> {
    match data {
        Data::Vector(list) => list
            .iter()
            .map(|one| series(one.metric(), std::slice::from_ref(one.sample())))
            .collect(),
        Data::Matrix(list) => list
            .iter()
            .map(|one| series(one.metric(), one.samples()))
            .collect(),
        Data::Scalar(sample) => vec![series(
            &std::collections::HashMap::new(),
            std::slice::from_ref(sample),
        )],
    }
}

fn series(labels: &std::collections::HashMap<String, String>, samples: &[Sample]) -> Series {
    let mut labels: Vec<_> = labels.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
    labels.sort();
    Series {
        labels,
        points: samples.iter().map(|s| (s.timestamp(), s.value())).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_the_address_is_not_shown() {
        for (url, want) in [
            ("http://ann:secret@10.0.0.5:9090", "http://10.0.0.5:9090"),
            ("http://ann:sec@ret@10.0.0.5:9090/x@y", "http://10.0.0.5:9090/x@y"),
            ("http://10.0.0.5:9090/x", "http://10.0.0.5:9090/x"),
            ("ann:secret@host", "host"),
        ] {
            assert_eq!(without_password(url), want);
        }
        assert_eq!(full_url("10.0.0.5:9090"), "http://10.0.0.5:9090");
        assert_eq!(full_url("https://h"), "https://h");
    }
}
