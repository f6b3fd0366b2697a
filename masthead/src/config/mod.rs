//! `masthead.yml`: Prometheus' configuration file and one key more, parsed into types that cannot be wrong.
//!
//! ```text
//!   text --raw.rs--> Raw* (what is written, with places) --validate.rs--> Config (what is meant) --yaml.rs--> text
//! ```
//!
//! A wrong file is a [`ConfigError`] with file, line and column. What is not written gets Prometheus' default. With no
//! file at all [`Config::default`] serves.

mod error;
mod raw;
mod secret;
#[cfg(test)]
mod tests;
mod units;
mod validate;
mod yaml;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use collect::Groups;
use model::Labels;

use crate::docker::known::DEFAULT_LABELS;

pub use error::ConfigError;
pub(crate) use error::{Fault, from_yaml};
pub(crate) use raw::{RawHttpServerConfig, RawTlsServerConfig, RawWebConfig};
pub use secret::{HIDDEN, Secret};
pub use units::{format_duration, format_size, parse_duration, parse_size};

/// A whole configuration, with every default filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Settings for all jobs.
    pub global: Global,
    /// The jobs, in the file's order; names are unique.
    pub scrape_configs: Vec<ScrapeConfig>,
    /// Masthead's own settings.
    pub masthead: MastheadConfig,
}

/// `global:`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Global {
    /// Time between two scrapes of a target; above zero.
    pub scrape_interval: Duration,
    /// After this a scrape has failed; at most the interval.
    pub scrape_timeout: Duration,
    /// Time between two evaluations of rules; above zero.
    pub evaluation_interval: Duration,
    /// Labels for what leaves this server.
    pub external_labels: Labels,
    /// Limits for jobs that set none.
    pub limits: Limits,
}

/// What one scrape may bring; 0 means no limit. Past one, the scrape fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the uncompressed body.
    pub body_size_bytes: u64,
    /// Samples.
    pub samples: u64,
    /// Labels of one sample.
    pub labels: u64,
    /// Bytes of a label name.
    pub label_name_length: u64,
    /// Bytes of a label value.
    pub label_value_length: u64,
}

/// One entry of `scrape_configs:`
#[derive(Debug, Clone, PartialEq)]
pub struct ScrapeConfig {
    /// Value of the `job` label; not empty.
    pub job_name: String,
    /// Keep the target's own labels where they clash with ours (`job`, `instance`); else they become `exported_...`.
    pub honor_labels: bool,
    /// Use the timestamps that the target exposes.
    pub honor_timestamps: bool,
    /// Query parameters.
    pub params: BTreeMap<String, Vec<String>>,
    /// Time between two scrapes; above zero.
    pub scrape_interval: Duration,
    /// At most the interval, above zero.
    pub scrape_timeout: Duration,
    /// Begins with a slash.
    pub metrics_path: String,
    /// http or https.
    pub scheme: Scheme,
    /// Ask for gzip.
    pub enable_compression: bool,
    /// Follow HTTP redirects.
    pub follow_redirects: bool,
    /// What a scrape may bring.
    pub limits: Limits,
    /// How to authenticate, if at all.
    pub auth: Option<Auth>,
    /// TLS settings.
    pub tls: TlsConfig,
    /// The targets.
    pub static_configs: Vec<StaticConfig>,
}

/// URL scheme of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scheme {
    /// Plain.
    #[default]
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// Written in the file.
    Inline(Secret),
    /// Read from this file at each use, without the white space around it.
    File(PathBuf),
}

/// How scrapes authenticate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// HTTP basic.
    Basic {
        /// User name.
        username: String,
        /// Password.
        password: SecretSource,
    },
    /// `Authorization: <type> <credentials>`.
    Header {
        /// `Bearer` unless set; never `Basic`.
        kind: String,
        /// The rest of the header.
        credentials: SecretSource,
    },
}

/// `tls_config:`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// Trust only certificates signed by those in this PEM file.
    pub ca_file: Option<PathBuf>,
    /// Name to verify the certificate against, in place of the target's host.
    pub server_name: Option<String>,
    /// Trust any certificate.
    pub insecure_skip_verify: bool,
}

/// Targets that share labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticConfig {
    /// `host:port` or `host`, as written.
    pub targets: Vec<String>,
    /// Labels added to every sample.
    pub labels: Labels,
}

/// `masthead:`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MastheadConfig {
    /// The collectors inside this process.
    pub collect: Collect,
    /// The containers of this machine.
    pub containers: ContainersConfig,
    /// The registered servers that are shown beside this machine.
    pub servers: ServersConfig,
}

/// `masthead: servers:`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ServersConfig {
    /// All that are registered, also those that will be.
    #[default]
    All,
    /// None.
    Off,
    /// Those of these names.
    Named(Vec<String>),
}

/// `masthead: containers:`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainersConfig {
    /// Watch containers at all.
    pub enabled: bool,
    /// The engine's socket; without one `DOCKER_HOST` and the usual places are looked at.
    pub docker: Option<PathBuf>,
    /// Labels of containers that become labels of their series: names, or beginnings with a `*` behind them.
    pub labels: Vec<String>,
    /// Which cgroups of no container are read too.
    pub cgroups: Groups,
    /// A CPU series for each processor.
    pub per_cpu: bool,
    /// Value of the `instance` label; `<hostname>:8080` unless set.
    pub instance: Option<String>,
}

/// `masthead: collect:`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collect {
    /// Collect host metrics at all.
    pub enabled: bool,
    /// Time between two collections: as written, else the global scrape interval as written, else 15 s.
    pub interval: Duration,
    /// Where procfs is mounted.
    pub procfs: PathBuf,
    /// Where sysfs is mounted.
    pub sysfs: PathBuf,
    /// Prefix of mount points that are asked for their size.
    pub rootfs: PathBuf,
    /// Value of the `instance` label; `<hostname>:9100` unless set.
    pub instance: Option<String>,
}

/// Prometheus' default for scrapes and rules.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);
/// Collecting in process costs next to nothing, so it is done more often than Prometheus scrapes by default.
const COLLECT_INTERVAL: Duration = Duration::from_secs(15);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

impl Default for Global {
    fn default() -> Self {
        Self {
            scrape_interval: DEFAULT_INTERVAL,
            scrape_timeout: DEFAULT_TIMEOUT,
            evaluation_interval: DEFAULT_INTERVAL,
            external_labels: Labels::empty(),
            limits: Limits::default(),
        }
    }
}

impl Default for Collect {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: COLLECT_INTERVAL,
            procfs: PathBuf::from("/proc"),
            sysfs: PathBuf::from("/sys"),
            rootfs: PathBuf::from("/"),
            instance: None,
        }
    }
}

impl Default for ContainersConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            docker: None,
            labels: DEFAULT_LABELS.map(str::to_owned).into(),
            cgroups: Groups::default(),
            per_cpu: false,
            instance: None,
        }
    }
}

impl Default for Config {
    /// What runs without a file: the host's own metrics, no targets.
    fn default() -> Self {
        Self {
            global: Global::default(),
            scrape_configs: Vec::new(),
            masthead: MastheadConfig::default(),
        }
    }
}

impl Config {
    /// Reads and checks a file.
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
        let base = path.parent().unwrap_or(Path::new(""));
        let raw = if is_blank(text) {
            raw::RawConfig::default()
        } else {
            serde_saphyr::from_str(text).map_err(|error| from_yaml(&error).in_file(path))?
        };
        validate::config(&raw, base).map_err(|fault| fault.in_file(path))
    }

    /// The configuration as YAML with every default written out and secrets hidden, for `/api/v1/status/config`.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        yaml::write(self)
    }
}

/// Nothing but comments and document markers?
pub(crate) fn is_blank(text: &str) -> bool {
    text.lines()
        .map(str::trim)
        .all(|line| line.is_empty() || line.starts_with('#') || line == "---")
}
