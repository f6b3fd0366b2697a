//! Setting up a [`Client`]: where, as whom, trusting whom, waiting how long.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use percent_encoding::percent_decode_str;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;

use crate::address::{is_loopback, without_password};
use crate::error::{error_chain, innermost};
use crate::{Client, ClientError};

/// Default of [`ClientBuilder::timeout`].
const TIMEOUT: Duration = Duration::from_secs(30);

/// What a [`Client`] is made of; see [`Client::builder`].
#[derive(Clone)]
pub struct ClientBuilder {
    url: String,
    credentials: Option<(String, String)>,
    ca_file: Option<PathBuf>,
    insecure_skip_verify: bool,
    timeout: Duration,
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the password, which may stand in the address too.
        f.debug_struct("ClientBuilder")
            .field("url", &without_password(&self.url))
            .field("user", &self.credentials.as_ref().map(|(user, _)| user))
            .field("ca_file", &self.ca_file)
            .field("insecure_skip_verify", &self.insecure_skip_verify)
            .field("timeout", &self.timeout)
            .finish()
    }
}

impl ClientBuilder {
    pub(crate) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            credentials: None,
            ca_file: None,
            insecure_skip_verify: false,
            timeout: TIMEOUT,
        }
    }

    /// Basic authentication. It takes precedence over a user and a password in the address, and is sent to that address alone:
    /// redirects are errors, never followed.
    #[must_use]
    pub fn basic_auth(mut self, user: &str, password: &str) -> Self {
        self.credentials = Some((user.to_owned(), password.to_owned()));
        self
    }

    /// Trusts the certificates in this PEM file and no others; without it the machine's own are trusted.
    #[must_use]
    pub fn ca_file(mut self, path: &Path) -> Self {
        self.ca_file = Some(path.to_owned());
        self
    }

    /// Trusts whoever answers: names and certificates are not looked at. Somebody between may read the password.
    #[must_use]
    pub fn insecure_skip_verify(mut self, skip: bool) -> Self {
        self.insecure_skip_verify = skip;
        self
    }

    /// Gives up on a request after so long; 30 s by default.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The client. Nothing is asked yet.
    ///
    /// # Errors
    /// [`ClientError::Url`], [`ClientError::Credentials`], [`ClientError::CaFile`].
    pub fn build(self) -> Result<Client, ClientError> {
        // An error only says that a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let shown = without_password(&self.url);
        let mut url = self.parse(&shown)?;
        let in_address = credentials_of(&url);
        // Neither errors nor logs of the layers below can show what is not in the address any more. Both fail for addresses that
        // have no host, which were refused.
        let _ = url.set_password(None);
        let _ = url.set_username("");
        let credentials = self.credentials.clone().or(in_address);
        let http = self.http(&url, credentials.as_ref(), &shown)?;
        Ok(Client {
            http,
            shown: url.as_str().trim_end_matches('/').to_owned(),
            base: url,
            user: credentials.map(|(user, _)| user),
            ca: self.ca_file,
            timeout: self.timeout,
        })
    }

    fn parse(&self, shown: &str) -> Result<Url, ClientError> {
        let fault = |reason: String| ClientError::Url {
            url: shown.to_owned(),
            // A parser may quote what it could not read.
            reason: reason.replace(&self.url, shown),
        };
        let url = Url::parse(&self.url).map_err(|e| fault(e.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(fault(format!("{}:// is not spoken here", url.scheme())));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(fault("there is no host in it".to_owned()));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(fault("it must end with the path, without ? or #".to_owned()));
        }
        Ok(url)
    }

    fn http(
        &self,
        url: &Url,
        credentials: Option<&(String, String)>,
        shown: &str,
    ) -> Result<reqwest::Client, ClientError> {
        let mut builder = reqwest::Client::builder()
            .timeout(self.timeout)
            .redirect(Policy::none())
            .referer(false);
        if url.host_str().is_some_and(is_loopback) {
            builder = builder.no_proxy();
        }
        if let Some((user, password)) = credentials {
            builder = builder.default_headers(authorization(user, password, shown)?);
        }
        if self.insecure_skip_verify {
            builder = builder.tls_danger_accept_invalid_certs(true);
        } else if let Some(path) = &self.ca_file {
            builder = builder.tls_certs_only(certificates(path)?);
        } else if url.scheme() == "http" {
            // A machine without any trusted certificates can still be asked over plain HTTP.
            builder = builder.tls_certs_only([]);
        }
        builder.build().map_err(|error| ClientError::Tls {
            url: shown.to_owned(),
            reason: error_chain(&error),
            ca: self.ca_file.clone(),
        })
    }
}

/// The user and the password in an address, decoded.
fn credentials_of(url: &Url) -> Option<(String, String)> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
    Some((
        decoded(url.username()),
        decoded(url.password().unwrap_or_default()),
    ))
}

fn authorization(user: &str, password: &str, shown: &str) -> Result<HeaderMap, ClientError> {
    let wrong = |reason: &str| ClientError::Credentials {
        url: shown.to_owned(),
        reason: reason.to_owned(),
    };
    if user.contains(':') {
        return Err(wrong("a user's name cannot hold a colon"));
    }
    let text = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
    let mut value = HeaderValue::from_str(&text).map_err(|e| wrong(&e.to_string()))?;
    value.set_sensitive(true);
    Ok(HeaderMap::from_iter([(AUTHORIZATION, value)]))
}

fn certificates(path: &Path) -> Result<Vec<reqwest::Certificate>, ClientError> {
    let wrong = |reason: String| ClientError::CaFile {
        path: path.to_owned(),
        reason,
    };
    let pem = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
    let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| wrong(innermost(&e)))?;
    if certificates.is_empty() {
        return Err(wrong("there is no certificate in it".to_owned()));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_address_is_refused_without_its_password() {
        for url in [
            "ftp://ann:hush@host",
            "http://ann:hush@",
            "http://ann:hush@host:notaport",
            "http://ann:hush@host/?a=b",
            "ann:hush@host",
            "",
        ] {
            let error = Client::builder(url).build().expect_err(url).to_string();
            assert!(error.contains("is not an address"), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn a_password_is_nowhere_to_be_seen() {
        let url = "https://ann:hu%40sh@host:9090/prefix/";
        let builder = Client::builder(url);
        assert!(!format!("{builder:?}").contains("sh@"), "{builder:?}");
        let client = builder.build().unwrap();
        assert!(!format!("{client:?}").contains("sh"), "{client:?}");
        assert_eq!(client.url(), "https://host:9090/prefix");
        let parsed = Url::parse(url).unwrap();
        assert_eq!(
            credentials_of(&parsed),
            Some(("ann".to_owned(), "hu@sh".to_owned()))
        );
        let builder = Client::builder("http://host").basic_auth("ann", "hush");
        assert!(!format!("{builder:?}").contains("hush"));
    }

    #[test]
    fn credentials_become_the_header() {
        // The example of RFC 7617.
        let headers = authorization("Aladdin", "open sesame", "x").unwrap();
        assert_eq!(headers[AUTHORIZATION], "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(headers[AUTHORIZATION].is_sensitive());
        assert!(authorization("a:b", "c", "x").is_err());
    }

    #[test]
    fn a_ca_file_without_certificates_is_refused() {
        let folder = std::env::temp_dir().join(format!("client-ca-{}", std::process::id()));
        std::fs::write(&folder, "no certificate").unwrap();
        for path in [folder.as_path(), Path::new("/nowhere/ca.pem")] {
            let made = Client::builder("https://host").ca_file(path).build();
            let error = made.expect_err("no certificates").to_string();
            assert!(error.contains(&path.display().to_string()), "{error}");
        }
        std::fs::remove_file(&folder).unwrap();
    }
}
