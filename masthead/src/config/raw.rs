//! The shapes of `masthead.yml` and of Prometheus' `web.yml` as written: the only place that deserializes configuration.
//!
//! Everything is optional and a string where it has a syntax of its own (durations, sizes, secrets), with its place
//! in the file ([`Spanned`]), so that validation in the parent module can point at it. Unknown keys are
//! refused here; [`KNOWN_KEYS`] tells those that Prometheus has and this version has not from mistakes.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;

/// A scalar with its place.
pub(crate) type Text = Option<Spanned<String>>;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) global: Option<RawGlobal>,
    pub(super) scrape_configs: Option<Vec<Spanned<RawScrapeConfig>>>,
    pub(super) masthead: Option<RawMasthead>,
}

/// `global:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGlobal {
    pub(super) scrape_interval: Text,
    pub(super) scrape_timeout: Text,
    pub(super) evaluation_interval: Text,
    pub(super) external_labels: Option<BTreeMap<String, Spanned<String>>>,
    pub(super) body_size_limit: Text,
    pub(super) sample_limit: Option<u64>,
    pub(super) label_limit: Option<u64>,
    pub(super) label_name_length_limit: Option<u64>,
    pub(super) label_value_length_limit: Option<u64>,
}

/// One entry of `scrape_configs:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawScrapeConfig {
    pub(super) job_name: Text,
    pub(super) honor_labels: Option<bool>,
    pub(super) honor_timestamps: Option<bool>,
    pub(super) params: Option<BTreeMap<String, Vec<String>>>,
    pub(super) scrape_interval: Text,
    pub(super) scrape_timeout: Text,
    pub(super) metrics_path: Text,
    pub(super) scheme: Text,
    pub(super) enable_compression: Option<bool>,
    pub(super) follow_redirects: Option<bool>,
    pub(super) body_size_limit: Text,
    pub(super) sample_limit: Option<u64>,
    pub(super) label_limit: Option<u64>,
    pub(super) label_name_length_limit: Option<u64>,
    pub(super) label_value_length_limit: Option<u64>,
    pub(super) basic_auth: Option<Spanned<RawBasicAuth>>,
    pub(super) authorization: Option<Spanned<RawAuthorization>>,
    pub(super) tls_config: Option<RawTlsConfig>,
    pub(super) static_configs: Option<Vec<RawStaticConfig>>,
}

/// `basic_auth:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBasicAuth {
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) password_file: Option<String>,
}

/// `authorization:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAuthorization {
    #[serde(rename = "type")]
    pub(super) kind: Text,
    pub(super) credentials: Option<String>,
    pub(super) credentials_file: Option<String>,
}

/// `tls_config:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTlsConfig {
    pub(super) ca_file: Text,
    pub(super) server_name: Text,
    pub(super) insecure_skip_verify: Option<bool>,
}

/// One entry of `static_configs:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStaticConfig {
    pub(super) targets: Option<Vec<Spanned<String>>>,
    pub(super) labels: Option<BTreeMap<String, Spanned<String>>>,
}

/// `masthead:`, what Prometheus has no word for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMasthead {
    pub(super) collect: Option<RawCollect>,
    pub(super) containers: Option<RawContainers>,
    pub(super) servers: Option<Spanned<RawServers>>,
}

/// `masthead: servers:`, a word or a list of names. `off` is a word to some YAML and false to other.
#[derive(Debug)]
pub(super) enum RawServers {
    Word(String),
    Names(Vec<String>),
}

impl<'de> Deserialize<'de> for RawServers {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrNames;

        impl<'de> serde::de::Visitor<'de> for WordOrNames {
            type Value = RawServers;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("all, off or a list of names of registered servers")
            }

            fn visit_bool<E: serde::de::Error>(self, on: bool) -> Result<RawServers, E> {
                Ok(RawServers::Word(if on { "all" } else { "off" }.to_owned()))
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<RawServers, E> {
                Ok(RawServers::Word(word.to_owned()))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut names: A) -> Result<RawServers, A::Error> {
                let mut all = Vec::new();
                while let Some(name) = names.next_element()? {
                    all.push(name);
                }
                Ok(RawServers::Names(all))
            }
        }

        deserializer.deserialize_any(WordOrNames)
    }
}

/// `masthead: containers:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawContainers {
    pub(super) enabled: Option<bool>,
    pub(super) docker: Text,
    pub(super) labels: Option<Vec<Spanned<String>>>,
    pub(super) cgroups: Text,
    pub(super) per_cpu: Option<bool>,
    pub(super) instance: Text,
}

/// `masthead: collect:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCollect {
    pub(super) enabled: Option<bool>,
    pub(super) interval: Text,
    pub(super) procfs: Text,
    pub(super) sysfs: Text,
    pub(super) rootfs: Text,
    pub(super) instance: Text,
}

/// The whole of `web.yml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawWebConfig {
    pub(crate) tls_server_config: Option<Spanned<RawTlsServerConfig>>,
    pub(crate) http_server_config: Option<RawHttpServerConfig>,
    pub(crate) basic_auth_users: Option<BTreeMap<String, Spanned<String>>>,
}

/// `tls_server_config:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTlsServerConfig {
    pub(crate) cert_file: Text,
    pub(crate) key_file: Text,
    pub(crate) min_version: Text,
    pub(crate) max_version: Text,
}

/// `http_server_config:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawHttpServerConfig {
    /// Taken and not needed: HTTP/1.1 is what is served.
    #[serde(rename = "http2")]
    pub(crate) _http2: Option<bool>,
    pub(crate) headers: Option<BTreeMap<String, Spanned<String>>>,
}

/// Where a mapping stands in the file, told by a key that only it takes: the marker, its name for people, and the keys that
/// Prometheus takes there while this version does not.
pub(super) struct Place {
    /// A key that only this mapping takes.
    pub(super) marker: &'static str,
    /// How to name it in an error.
    pub(super) name: &'static str,
    /// Prometheus' keys that are not supported yet.
    pub(super) known: &'static [&'static str],
}

/// One row for each mapping of the file.
pub(super) const KNOWN_KEYS: &[Place] = &[
    Place {
        marker: "scrape_configs",
        name: "at the top of the file",
        known: &[
            "alerting",
            "otlp",
            "remote_read",
            "remote_write",
            "rule_files",
            "runtime",
            "scrape_config_files",
            "storage",
            "tracing",
        ],
    },
    Place {
        marker: "evaluation_interval",
        name: "in global",
        known: &[
            "always_scrape_classic_histograms",
            "convert_classic_histograms_to_nhcb",
            "extra_scrape_metrics",
            "keep_dropped_targets",
            "metric_name_escaping_scheme",
            "metric_name_validation_scheme",
            "query_log_file",
            "rule_query_offset",
            "scrape_failure_log_file",
            "scrape_native_histograms",
            "scrape_protocols",
            "target_limit",
        ],
    },
    Place {
        marker: "job_name",
        name: "in a scrape config",
        known: &[
            "always_scrape_classic_histograms",
            "bearer_token",
            "bearer_token_file",
            "convert_classic_histograms_to_nhcb",
            "enable_http2",
            "extra_scrape_metrics",
            "fallback_scrape_protocol",
            "http_headers",
            "keep_dropped_targets",
            "metric_name_escaping_scheme",
            "metric_name_validation_scheme",
            "metric_relabel_configs",
            "native_histogram_bucket_limit",
            "native_histogram_min_bucket_factor",
            "no_proxy",
            "oauth2",
            "proxy_connect_header",
            "proxy_from_environment",
            "proxy_url",
            "relabel_configs",
            "scrape_classic_histograms",
            "scrape_failure_log_file",
            "scrape_native_histograms",
            "scrape_protocols",
            "target_limit",
            "track_timestamps_staleness",
            "azure_sd_configs",
            "consul_sd_configs",
            "digitalocean_sd_configs",
            "dns_sd_configs",
            "docker_sd_configs",
            "dockerswarm_sd_configs",
            "ec2_sd_configs",
            "eureka_sd_configs",
            "file_sd_configs",
            "gce_sd_configs",
            "hetzner_sd_configs",
            "http_sd_configs",
            "ionos_sd_configs",
            "kubernetes_sd_configs",
            "kuma_sd_configs",
            "lightsail_sd_configs",
            "linode_sd_configs",
            "marathon_sd_configs",
            "nerve_sd_configs",
            "nomad_sd_configs",
            "openstack_sd_configs",
            "ovhcloud_sd_configs",
            "puppetdb_sd_configs",
            "scaleway_sd_configs",
            "serverset_sd_configs",
            "stackit_sd_configs",
            "triton_sd_configs",
            "uyuni_sd_configs",
            "vultr_sd_configs",
        ],
    },
    Place {
        marker: "password_file",
        name: "in basic_auth",
        known: &["username_file", "username_ref", "password_ref"],
    },
    Place {
        marker: "credentials_file",
        name: "in authorization",
        known: &["credentials_ref"],
    },
    Place {
        marker: "insecure_skip_verify",
        name: "in tls_config",
        known: &[
            "ca",
            "ca_ref",
            "cert",
            "cert_file",
            "cert_ref",
            "key",
            "key_file",
            "key_ref",
            "max_version",
            "min_version",
        ],
    },
    Place {
        marker: "targets",
        name: "in static_configs",
        known: &[],
    },
    Place {
        marker: "collect",
        name: "in masthead",
        known: &[],
    },
    Place {
        marker: "procfs",
        name: "in masthead.collect",
        known: &[],
    },
    Place {
        marker: "per_cpu",
        name: "in masthead.containers",
        known: &[],
    },
    Place {
        marker: "basic_auth_users",
        name: "at the top of the file",
        known: &["rate_limit"],
    },
    Place {
        marker: "key_file",
        name: "in tls_server_config",
        known: &[
            "cert",
            "cipher_suites",
            "client_allowed_sans",
            "client_auth_type",
            "client_ca",
            "client_ca_file",
            "curve_preferences",
            "key",
            "prefer_server_cipher_suites",
        ],
    },
    Place {
        marker: "headers",
        name: "in http_server_config",
        known: &[],
    },
];
