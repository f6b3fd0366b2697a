//! Prometheus' `web.yml`: who may come in (bcrypt users), and over which TLS.
//!
//! Invariants: a loaded configuration is usable as it is, so every file and hash was looked at; no password or hash shows in an
//! error or in `Debug`; an unknown user costs the same time as a known one with a wrong password. bcrypt is slow on purpose, so results
//! are remembered under a keyed hash, and only one is computed at a time: guessing cannot take every core.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::{HeaderName, HeaderValue};
use base64::Engine as _;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_saphyr::Spanned;
use tokio_rustls::TlsAcceptor;

use crate::config::{
    ConfigError, Fault, RawHttpServerConfig, RawTlsServerConfig, RawWebConfig, from_yaml, is_blank,
};

/// Results remembered, good and bad ones apart, so that guesses do not push out the people who use the page.
const REMEMBERED: usize = 128;
/// A hash of a higher cost takes seconds for each check.
const MAX_COST: u32 = 16;
/// Longest `Authorization` header looked at.
const MAX_HEADER_BYTES: usize = 4096;
/// The headers that `http_server_config` may set, as upstream.
const SETTABLE_HEADERS: [&str; 5] = [
    "Content-Security-Policy",
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "X-XSS-Protection",
];

/// A checked `web.yml`.
pub struct WebConfig {
    users: BTreeMap<String, String>,
    /// What a name that is not there is checked against, with the highest cost of those that are.
    nobody: String,
    tls: Option<TlsAcceptor>,
    headers: Vec<(HeaderName, HeaderValue)>,
    warnings: Vec<String>,
    keys: [RandomState; 2],
    results: Mutex<Results>,
    computing: Mutex<()>,
}

#[derive(Default)]
struct Results {
    good: Vec<u128>,
    bad: Vec<u128>,
}

impl fmt::Debug for WebConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebConfig")
            .field("users", &self.users.len())
            .field("tls", &self.tls.is_some())
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

impl WebConfig {
    /// Reads and checks a file, with the certificate and key that it names.
    ///
    /// # Errors
    /// [`ConfigError`] with the place and the cure.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, path)
    }

    /// Checks the text of a file; `path` is for messages and for file names relative to it.
    ///
    /// # Errors
    /// [`ConfigError::At`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let raw: RawWebConfig = if is_blank(text) {
            RawWebConfig::default()
        } else {
            serde_saphyr::from_str(text).map_err(|error| from_yaml(&error).in_file(path))?
        };
        let base = path.parent().unwrap_or(Path::new(""));
        Self::checked(&raw, base).map_err(|fault| fault.in_file(path))
    }

    fn checked(raw: &RawWebConfig, base: &Path) -> Result<Self, Fault> {
        let mut warnings = Vec::new();
        let mut users = BTreeMap::new();
        let mut cost = 0;
        for (name, hash) in raw.basic_auth_users.iter().flatten() {
            cost = cost.max(check_user(name, hash)?);
            users.insert(name.clone(), hash.value.clone());
        }
        let tls = raw
            .tls_server_config
            .as_ref()
            .map(|tls| acceptor(tls, base, &mut warnings))
            .transpose()?;
        if !users.is_empty() && tls.is_none() {
            warnings
                .push("passwords travel unencrypted: web.yml sets users and no tls_server_config".to_owned());
        }
        Ok(Self {
            users,
            // A well-formed hash that nobody has the password of: salt and digest are all of one letter.
            nobody: format!("$2b${cost:02}${}", ".".repeat(53)),
            tls,
            headers: raw
                .http_server_config
                .as_ref()
                .map_or_else(|| Ok(Vec::new()), headers)?,
            warnings,
            keys: [RandomState::new(), RandomState::new()],
            results: Mutex::default(),
            computing: Mutex::default(),
        })
    }

    /// Does anybody need a password?
    #[must_use]
    pub fn has_users(&self) -> bool {
        !self.users.is_empty()
    }

    /// What wraps connections in TLS, when the file asks for it.
    #[must_use]
    pub fn tls_acceptor(&self) -> Option<TlsAcceptor> {
        self.tls.clone()
    }

    /// Headers for every response.
    #[must_use]
    pub fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    /// What is not wrong but should be known, for the log at the start.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// May a request with this `Authorization` header come in? The first time for a name and password this takes as long as
    /// bcrypt does (some 50 ms and more), so call it where blocking is allowed when [`WebConfig::remembered`] does not know.
    #[must_use]
    pub fn authorized(&self, header: Option<&str>) -> bool {
        if let Some(known) = self.remembered(header) {
            return known;
        }
        let Some((name, password)) = header.and_then(credentials) else {
            return false;
        };
        let key = self.key(&name, &password);
        let one_at_a_time = self.computing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = self.look_up(key) {
            return known;
        }
        let (hash, exists) = self
            .users
            .get(&name)
            .map_or((&self.nobody, false), |hash| (hash, true));
        let good = bcrypt::verify(&password, hash).unwrap_or(false) && exists;
        drop(one_at_a_time);
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        let list = if good { &mut results.good } else { &mut results.bad };
        if list.len() >= REMEMBERED {
            list.remove(0);
        }
        list.push(key);
        good
    }

    /// The answer of [`WebConfig::authorized`] when it costs nothing; `None` when bcrypt must be asked.
    #[must_use]
    pub fn remembered(&self, header: Option<&str>) -> Option<bool> {
        if self.users.is_empty() {
            return Some(true);
        }
        let Some((name, password)) = header.and_then(credentials) else {
            return Some(false);
        };
        self.look_up(self.key(&name, &password))
    }

    fn look_up(&self, key: u128) -> Option<bool> {
        let results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        if results.good.contains(&key) {
            Some(true)
        } else {
            results.bad.contains(&key).then_some(false)
        }
    }

    /// Name, password and stored hash under two hashes with random keys of this process: 128 bits that nobody can steer.
    fn key(&self, name: &str, password: &[u8]) -> u128 {
        let stored = self.users.get(name).unwrap_or(&self.nobody);
        let half = |state: &RandomState| {
            let mut hasher = state.build_hasher();
            for part in [name.as_bytes(), stored.as_bytes(), password] {
                hasher.write_usize(part.len());
                hasher.write(part);
            }
            u128::from(hasher.finish())
        };
        half(&self.keys[0]) << 64 | half(&self.keys[1])
    }
}

/// Name and password of a basic `Authorization` header.
fn credentials(header: &str) -> Option<(String, Vec<u8>)> {
    if header.len() > MAX_HEADER_BYTES {
        return None;
    }
    let (scheme, packed) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = base64::engine::general_purpose::STANDARD
        .decode(packed.trim())
        .ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    let name = std::str::from_utf8(&pair[..colon]).ok()?.to_owned();
    Some((name, pair[colon + 1..].to_vec()))
}

/// Looks at a user's entry; gives the cost of the hash. The hash itself never shows in the error.
fn check_user(name: &str, hash: &Spanned<String>) -> Result<u32, Fault> {
    let fault = |message: String| Err(Fault::at(hash.referenced, message));
    if name.is_empty() || name.contains(':') {
        return fault(format!("the user name {name:?} is empty or holds a colon"));
    }
    let bcrypt_prefix = ["$2a$", "$2b$", "$2x$", "$2y$"]
        .iter()
        .any(|prefix| hash.value.starts_with(prefix));
    let Ok(parts) = hash.value.parse::<bcrypt::HashParts>() else {
        return fault(format!(
            "the password of {name:?} is not a bcrypt hash; make one with: htpasswd -nBC 10 '' | tr -d ':'"
        ));
    };
    if !bcrypt_prefix || !(4..=31).contains(&parts.get_cost()) {
        return fault(format!(
            "the password of {name:?} is not a bcrypt hash of a known version"
        ));
    }
    if parts.get_cost() > MAX_COST {
        return fault(format!(
            "the bcrypt hash of {name:?} has the cost {}, so each check would take seconds; use 10 to 12, at most {MAX_COST}",
            parts.get_cost()
        ));
    }
    Ok(parts.get_cost())
}

fn headers(raw: &RawHttpServerConfig) -> Result<Vec<(HeaderName, HeaderValue)>, Fault> {
    let mut out = Vec::new();
    for (name, value) in raw.headers.iter().flatten() {
        let Some(known) = SETTABLE_HEADERS
            .iter()
            .find(|known| known.eq_ignore_ascii_case(name))
        else {
            return Err(Fault::at(
                value.referenced,
                format!(
                    "the header {name:?} cannot be set here; those that can: {}",
                    SETTABLE_HEADERS.join(", ")
                ),
            ));
        };
        let header = HeaderName::from_bytes(known.as_bytes())
            .ok()
            .zip(HeaderValue::from_str(&value.value).ok());
        out.push(header.ok_or_else(|| {
            Fault::at(
                value.referenced,
                format!("the value of {name} holds a character that no header may hold"),
            )
        })?);
    }
    Ok(out)
}

fn acceptor(
    raw: &Spanned<RawTlsServerConfig>,
    base: &Path,
    warnings: &mut Vec<String>,
) -> Result<TlsAcceptor, Fault> {
    let tls = &raw.value;
    let (Some(cert_file), Some(key_file)) = (&tls.cert_file, &tls.key_file) else {
        return Err(Fault::at(
            raw.referenced,
            "tls_server_config needs both cert_file and key_file",
        ));
    };
    let chain = certificates(cert_file, base)?;
    let key = private_key(key_file, base, warnings)?;
    let versions = versions(tls)?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .map_err(|error| Fault::at(raw.referenced, format!("cannot set up TLS: {error}")))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| {
            Fault::at(
                cert_file.referenced,
                format!(
                    "cert_file {} and key_file {} do not work together: {error}",
                    cert_file.value, key_file.value
                ),
            )
        })?;
    let mut config = config;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Reads a file that the configuration names; the error says what to look at.
fn read(file: &Spanned<String>, key: &str, base: &Path) -> Result<Vec<u8>, Fault> {
    let path = base.join(&file.value);
    std::fs::read(&path).map_err(|error| {
        let cure = match error.kind() {
            std::io::ErrorKind::PermissionDenied => "; give the user that runs masthead the right to read it",
            std::io::ErrorKind::NotFound => "; paths are relative to the folder of this file",
            _ => "",
        };
        Fault::at(
            file.referenced,
            format!("{key}: cannot read {}: {error}{cure}", path.display()),
        )
    })
}

fn certificates(file: &Spanned<String>, base: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let pem = read(file, "cert_file", base)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(Fault::at(
            file.referenced,
            format!("cert_file: {} holds no certificate in PEM", file.value),
        )),
        Err(error) => Err(Fault::at(
            file.referenced,
            format!("cert_file: {}: {error}", file.value),
        )),
    }
}

fn private_key(
    file: &Spanned<String>,
    base: &Path,
    warnings: &mut Vec<String>,
) -> Result<PrivateKeyDer<'static>, Fault> {
    use std::os::unix::fs::PermissionsExt as _;
    let pem = read(file, "key_file", base)?;
    let path = base.join(&file.value);
    if std::fs::metadata(&path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0) {
        warnings.push(format!(
            "everybody on this machine can read the private key {0}; chmod 600 {0}",
            path.display()
        ));
    }
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| {
        let encrypted = pem.windows(9).any(|window| window == b"ENCRYPTED");
        let why = if encrypted {
            "the key is encrypted; remove the passphrase (openssl pkey -in OLD -out NEW)".to_owned()
        } else {
            format!("no private key in PEM: {error}")
        };
        Fault::at(file.referenced, format!("key_file: {}: {why}", file.value))
    })
}

type Versions = &'static [&'static rustls::SupportedProtocolVersion];

fn versions(tls: &RawTlsServerConfig) -> Result<Versions, Fault> {
    static BOTH: [&rustls::SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];
    let number =
        |text: Option<&Spanned<String>>, default: u8| match text.map(|text| (text, text.value.as_str())) {
            None => Ok(default),
            Some((_, "TLS12")) => Ok(2),
            Some((_, "TLS13")) => Ok(3),
            Some((text, "TLS10" | "TLS11")) => Err(Fault::at(
                text.referenced,
                format!("{} is not safe any more; use TLS12 or TLS13", text.value),
            )),
            Some((text, other)) => Err(Fault::at(
                text.referenced,
                format!("{other:?} is neither TLS12 nor TLS13"),
            )),
        };
    match (
        number(tls.min_version.as_ref(), 2)?,
        number(tls.max_version.as_ref(), 3)?,
    ) {
        (3, 3) => Ok(&BOTH[..1]),
        (2, 2) => Ok(&BOTH[1..]),
        (2, 3) => Ok(&BOTH),
        _ => {
            let at = tls
                .max_version
                .as_ref()
                .map_or(serde_saphyr::Location::UNKNOWN, |text| text.referenced);
            Err(Fault::at(at, "max_version is below min_version"))
        }
    }
}

#[cfg(test)]
#[path = "web_config_tests.rs"]
mod tests;
