//! Why an answer could not be had. The texts name what was asked and what to do; flags are the command line's own business
//! and are added there.

use std::path::PathBuf;

/// Why an answer could not be had. No variant holds a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The address is no address.
    #[error("{url} is not an address of a Prometheus API ({reason}); write it as http://127.0.0.1:9090")]
    Url {
        /// As given, without the password.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The user or the password cannot be sent.
    #[error("the user or the password for {url} cannot be sent: {reason}")]
    Credentials {
        /// Where.
        url: String,
        /// What is wrong with them.
        reason: String,
    },
    /// The file with the CA's certificates is of no use.
    #[error("the CA file {}: {reason}; it must be a PEM file with certificates", path.display())]
    CaFile {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody listens there, or the connection broke.
    #[error("asking {url}: {reason}. Is `masthead up` (or Prometheus) running there?")]
    Connect {
        /// Where.
        url: String,
        /// The whole chain of causes.
        reason: String,
    },
    /// There was no answer in time.
    #[error("asking {url}: no answer within {seconds} s")]
    Timeout {
        /// Where.
        url: String,
        /// How long it was waited for.
        seconds: f64,
    },
    /// The address has the wrong one of `http` and `https`.
    #[error("{url}: {reason}")]
    Scheme {
        /// Where.
        url: String,
        /// What the server speaks, and how the address is to be written.
        reason: &'static str,
    },
    /// The server could not be trusted.
    #[error("TLS with {url}: {reason}{}", trust_text(ca.as_ref()))]
    Tls {
        /// Where.
        url: String,
        /// What is wrong with the certificate.
        reason: String,
        /// The file whose certificates are trusted; `None` stands for the machine's own.
        ca: Option<PathBuf>,
    },
    /// The server wants other credentials.
    #[error("{}", unauthorized_text(url, user.as_deref(), *status))]
    Unauthorized {
        /// Where.
        url: String,
        /// The user whose password was refused; `None` when none was given.
        user: Option<String>,
        /// 401 or 403.
        status: u16,
    },
    /// The server sends us elsewhere. It is not followed: a password must not go where nobody sent it.
    #[error("{url} redirects to {to}: give the address of the API itself")]
    Redirect {
        /// Where.
        url: String,
        /// Its `Location`, without a password.
        to: String,
    },
    /// Something answers, but not in the words of a Prometheus API.
    #[error("what answers at {url} is no Prometheus API: {answer}")]
    NotPrometheus {
        /// What was asked, with its path.
        url: String,
        /// Its status and the beginning of what it said.
        answer: String,
    },
    /// The server, or a proxy before it, cannot answer now.
    #[error("{url} cannot answer now: {answer}; it may be starting")]
    Unavailable {
        /// Where.
        url: String,
        /// Its status and the beginning of what it said.
        answer: String,
    },
    /// The server answered with an error of its own.
    #[error("{message}")]
    Query {
        /// Upstream's error type, such as `bad_data`.
        kind: String,
        /// The server's own words, with the position of a fault in the query.
        message: String,
    },
    /// The answer is not what the API promises.
    #[error("the answer of {url} could not be read: {reason}")]
    Answer {
        /// Where.
        url: String,
        /// What did not fit.
        reason: String,
    },
    /// A range that no server answers.
    #[error("a range from {start_ms} to {end_ms} ms with steps of {step_ms} ms: {reason}")]
    Range {
        /// Milliseconds since the epoch.
        start_ms: i64,
        /// Milliseconds since the epoch.
        end_ms: i64,
        /// Milliseconds.
        step_ms: i64,
        /// What is wrong with it.
        reason: &'static str,
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
}

fn trust_text(ca: Option<&PathBuf>) -> String {
    match ca {
        Some(path) => format!(" (trusted are the certificates in {} alone)", path.display()),
        None => " (trusted are the certificates of this machine)".to_owned(),
    }
}

fn unauthorized_text(url: &str, user: Option<&str>, status: u16) -> String {
    match (user, status) {
        (None, 401) => format!("{url} wants a user and a password"),
        (Some(user), 401) => format!("{url} refused user {user:?} or the password"),
        (None, _) => format!("{url} refused the request ({status}): it may want a user and a password"),
        (Some(user), _) => format!("{url} refused the request of user {user:?} ({status})"),
    }
}

fn unknown_text(what: &str, name: &str, near: &[String]) -> String {
    let source = match what {
        "host" => {
            "this Prometheus has no host metrics of it (is node_exporter, or Masthead, among its targets?)"
        }
        _ => "this Prometheus has no series of it in that time (cAdvisor's names are looked for)",
    };
    if near.is_empty() {
        format!("no {what} {name:?}: {source}")
    } else {
        format!("no {what} {name:?}; did you mean {}?", near.join(", "))
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

/// The innermost cause, which says most in fewest words.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(cause) = inner.source() {
        inner = cause;
    }
    inner.to_string()
}
