//! One HTTP request to a target: the body within its limit and time, and the format it is in.

use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use reqwest::{Client, Url, redirect};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::exposition::Format;
use crate::config::{Auth, Scheme, ScrapeConfig, SecretSource, TlsConfig, format_duration, format_size};

/// What Prometheus 3 sends: OpenMetrics first, then its own text format; no protobuf.
const ACCEPTED: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
    application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
    text/plain;version=0.0.4;q=0.2,*/*;q=0.1";

/// No body is larger than this, whatever the configuration says: a target that never stops must not take the machine's memory.
pub(super) const HARD_BODY_LIMIT_BYTES: u64 = 256 << 20;
const MAX_REDIRECTS: usize = 10;

/// The settings of a scrape config that a client is made from; equal ones share a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClientKey {
    tls: TlsConfig,
    follow_redirects: bool,
    compression: bool,
}

impl ClientKey {
    pub(super) fn of(config: &ScrapeConfig) -> Self {
        Self {
            tls: config.tls.clone(),
            follow_redirects: config.follow_redirects,
            compression: config.enable_compression,
        }
    }

    /// Makes the client. Proxies of the environment are not used, as in Prometheus.
    pub(super) fn build(&self) -> Result<Client, String> {
        let builder = || {
            let policy = if self.follow_redirects {
                redirect::Policy::limited(MAX_REDIRECTS)
            } else {
                redirect::Policy::none()
            };
            Client::builder()
                .redirect(policy)
                .no_proxy()
                .referer(false)
                .pool_max_idle_per_host(1)
                .gzip(self.compression)
        };
        let cause = |error: reqwest::Error| format!("cannot set up the HTTP client: {}", innermost(&error));
        if self.tls.insecure_skip_verify {
            return builder()
                .tls_danger_accept_invalid_certs(true)
                .build()
                .map_err(cause);
        }
        if self.tls.ca_file.is_some() {
            return builder()
                .tls_backend_preconfigured(private_ca(&self.tls)?)
                .build()
                .map_err(cause);
        }
        // A machine without any trusted certificates can still be scraped over plain HTTP.
        builder().build().or_else(|_| {
            builder()
                .tls_backend_preconfigured(trusting(RootCertStore::empty())?)
                .build()
                .map_err(cause)
        })
    }
}

fn tls_builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, String> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("cannot set up TLS: {error}"))
}

fn trusting(roots: RootCertStore) -> Result<ClientConfig, String> {
    Ok(tls_builder()?.with_root_certificates(roots).with_no_client_auth())
}

/// TLS that trusts the certificates of one file, and may look for another name than the target's host.
fn private_ca(tls: &TlsConfig) -> Result<ClientConfig, String> {
    let Some(path) = &tls.ca_file else {
        return trusting(RootCertStore::empty());
    };
    let wrong = |why: String| format!("ca_file {}: {why}", path.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))? {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("there is no certificate in it".to_owned()));
    }
    let Some(name) = &tls.server_name else {
        return trusting(roots);
    };
    let name =
        ServerName::try_from(name.clone()).map_err(|_| format!("server_name {name:?} is not a host name"))?;
    let inner =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(ring::default_provider()))
            .build()
            .map_err(|error| wrong(error.to_string()))?;
    let verifier = Arc::new(OtherName { inner, name });
    Ok(tls_builder()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

/// The usual checks, with the configured name in place of the target's host. (The name sent to the target, SNI, stays the host.)
#[derive(Debug)]
struct OtherName {
    inner: Arc<WebPkiServerVerifier>,
    name: ServerName<'static>,
}

impl ServerCertVerifier for OtherName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.inner
            .verify_server_cert(end_entity, intermediates, &self.name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Reads one target.
#[derive(Debug)]
pub(super) struct Fetcher {
    client: Client,
    url: Url,
    auth: Option<Auth>,
    timeout: Duration,
    limit_bytes: u64,
}

impl Fetcher {
    pub(super) fn new(client: Client, url: Url, config: &ScrapeConfig) -> Self {
        let limit_bytes = match config.limits.body_size_bytes {
            0 => HARD_BODY_LIMIT_BYTES,
            bytes => bytes.min(HARD_BODY_LIMIT_BYTES),
        };
        Self {
            client,
            url,
            auth: config.auth.clone(),
            timeout: config.scrape_timeout,
            limit_bytes,
        }
    }

    /// The same target where a tunnel leads just now.
    pub(super) fn over(
        &self,
        scheme: Scheme,
        address: SocketAddr,
        auth: Option<&Auth>,
    ) -> Result<Self, String> {
        let mut url = self.url.clone();
        url.set_scheme(scheme.as_str())
            .and_then(|()| url.set_ip_host(address.ip()))
            .and_then(|()| url.set_port(Some(address.port())))
            .map_err(|()| format!("the tunnel's end {address} makes no URL"))?;
        Ok(Self {
            client: self.client.clone(),
            url,
            auth: auth.cloned(),
            timeout: self.timeout,
            limit_bytes: self.limit_bytes,
        })
    }

    /// Fills `body`. An error is a sentence for `lastError`; it holds no secret.
    pub(super) async fn fetch(&self, body: &mut Vec<u8>) -> Result<Format, String> {
        body.clear();
        // The client's own limit is for what follows the request; this one holds for all of it, the password file too.
        match tokio::time::timeout(self.timeout, self.request(body)).await {
            Ok(result) => result,
            Err(_) => Err(self.timed_out()),
        }
    }

    fn timed_out(&self) -> String {
        format!(
            "no complete answer within the scrape_timeout of {} (context deadline exceeded)",
            format_duration(self.timeout)
        )
    }

    async fn request(&self, body: &mut Vec<u8>) -> Result<Format, String> {
        let request = self.client.get(self.url.clone()).headers(self.headers().await?);
        let mut response = request.send().await.map_err(|error| self.describe(&error))?;
        let status = response.status();
        if status.as_u16() != 200 {
            return Err(format!("server returned HTTP status {status}"));
        }
        let format = format_of(response.headers().get(CONTENT_TYPE))?;
        while let Some(chunk) = response.chunk().await.map_err(|error| self.describe(&error))? {
            if (body.len() + chunk.len()) as u64 > self.limit_bytes {
                return Err(format!(
                    "body size limit exceeded: the target sends more than {}",
                    format_size(self.limit_bytes)
                ));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(format)
    }

    async fn headers(&self) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(ACCEPTED));
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("Masthead/", env!("CARGO_PKG_VERSION"))),
        );
        let timeout = model::fmt_value(self.timeout.as_secs_f64());
        if let Ok(value) = HeaderValue::from_str(&timeout) {
            headers.insert("X-Prometheus-Scrape-Timeout-Seconds", value);
        }
        let value = match &self.auth {
            None => return Ok(headers),
            Some(Auth::Basic { username, password }) => {
                use base64::Engine as _;
                let pair = format!("{username}:{}", read_secret(password).await?);
                format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
            }
            Some(Auth::Header { kind, credentials }) => format!("{kind} {}", read_secret(credentials).await?),
        };
        let mut value = HeaderValue::from_str(&value)
            .map_err(|_| "the credentials hold a character that cannot stand in an HTTP header".to_owned())?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
        Ok(headers)
    }

    fn describe(&self, error: &reqwest::Error) -> String {
        if error.is_timeout() {
            return self.timed_out();
        }
        let what = if error.is_redirect() {
            "a redirect of the target cannot be followed"
        } else if error.is_connect() {
            "cannot connect to the target"
        } else if error.is_body() || error.is_decode() {
            "the target's answer broke off or is damaged"
        } else {
            "the request to the target failed"
        };
        format!("{what}: {}", innermost(error))
    }
}

async fn read_secret(source: &SecretSource) -> Result<String, String> {
    match source {
        SecretSource::Inline(secret) => Ok(secret.expose().to_owned()),
        SecretSource::File(path) => tokio::fs::read_to_string(path)
            .await
            .map(|text| text.trim().to_owned())
            .map_err(|error| format!("cannot read the secret in {}: {error}", path.display())),
    }
}

/// The last cause in a chain of errors: the one that says what happened.
fn innermost(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    text
}

/// Text unless the target says OpenMetrics. (Prometheus 3 refuses a missing or odd Content-Type; many small exporters send one.)
fn format_of(content_type: Option<&HeaderValue>) -> Result<Format, String> {
    let text = content_type.and_then(|value| value.to_str().ok()).unwrap_or("");
    let media = text.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    match media.as_str() {
        "application/openmetrics-text" => Ok(Format::OpenMetrics),
        "text/html" | "application/json" | "application/vnd.google.protobuf" => Err(format!(
            "the target sends {media}, not metrics in text; check metrics_path"
        )),
        _ => Ok(Format::Text),
    }
}
