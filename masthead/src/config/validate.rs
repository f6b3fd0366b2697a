//! From what is written ([`super::raw`]) to what is meant: defaults, relations between values, names that must be right.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::{Labels, METRIC_NAME};
use serde_saphyr::Spanned;

use super::raw::{
    RawAuthorization, RawBasicAuth, RawCollect, RawConfig, RawContainers, RawGlobal, RawScrapeConfig,
    RawServers, RawStaticConfig, RawTlsConfig, Text,
};
use super::{
    Auth, Collect, Config, ContainersConfig, DEFAULT_TIMEOUT, Fault, Global, Groups, Limits, MastheadConfig,
    Scheme, ScrapeConfig, Secret, SecretSource, ServersConfig, StaticConfig, TlsConfig, format_duration,
    parse_duration, parse_size,
};

type Checked<T> = Result<T, Fault>;

/// Checks a whole file; relative paths in it are below `base`.
pub(super) fn config(raw: &RawConfig, base: &Path) -> Checked<Config> {
    let global = raw
        .global
        .as_ref()
        .map_or_else(|| Ok(Global::default()), global)?;
    let mut scrape_configs = Vec::new();
    let mut names: HashMap<&str, u64> = HashMap::new();
    for entry in raw.scrape_configs.iter().flatten() {
        let checked = scrape_config(entry, &global, base)?;
        if let Some(name) = &entry.value.job_name {
            let line = name.referenced.line();
            if let Some(first) = names.insert(&name.value, line) {
                return Err(fault(
                    name,
                    format!(
                        "the job name {:?} is already used in line {first}; job names must be unique",
                        name.value
                    ),
                ));
            }
        }
        scrape_configs.push(checked);
    }
    let raw_collect = raw
        .masthead
        .as_ref()
        .and_then(|masthead| masthead.collect.as_ref());
    let written = raw
        .global
        .as_ref()
        .and_then(|raw| raw.scrape_interval.as_ref())
        .map(|_| global.scrape_interval);
    let collect = collect(raw_collect, written, base)?;
    let containers = raw
        .masthead
        .as_ref()
        .and_then(|masthead| masthead.containers.as_ref())
        .map_or_else(|| Ok(ContainersConfig::default()), containers)?;
    Ok(Config {
        global,
        scrape_configs,
        masthead: MastheadConfig {
            collect,
            containers,
            servers: servers(
                raw.masthead
                    .as_ref()
                    .and_then(|masthead| masthead.servers.as_ref()),
            )?,
        },
    })
}

fn fault<T>(at: &Spanned<T>, message: impl Into<String>) -> Fault {
    Fault::at(at.referenced, message)
}

/// A duration above zero, or the default when nothing is written.
fn interval(text: &Text, key: &str, default: Duration) -> Checked<Duration> {
    let Some(text) = text else { return Ok(default) };
    let duration = parse_duration(&text.value).map_err(|message| fault(text, format!("{key}: {message}")))?;
    if duration.is_zero() {
        return Err(fault(text, format!("{key} must be greater than 0")));
    }
    Ok(duration)
}

/// The timeout that goes with an interval: what is written, or the default cut to the interval.
fn timeout(text: &Text, default: Duration, interval_value: Duration) -> Checked<Duration> {
    let value = interval(text, "scrape_timeout", default.min(interval_value))?;
    match text {
        Some(text) if value > interval_value => Err(fault(
            text,
            format!(
                "scrape_timeout {} is greater than the scrape_interval {}; make it shorter, or the interval longer",
                format_duration(value),
                format_duration(interval_value)
            ),
        )),
        _ => Ok(value),
    }
}

fn size(text: &Text, key: &str, default: u64) -> Checked<u64> {
    let Some(text) = text else { return Ok(default) };
    parse_size(&text.value).map_err(|message| fault(text, format!("{key}: {message}")))
}

fn global(raw: &RawGlobal) -> Checked<Global> {
    let defaults = Global::default();
    let scrape_interval = interval(&raw.scrape_interval, "scrape_interval", defaults.scrape_interval)?;
    Ok(Global {
        scrape_interval,
        scrape_timeout: timeout(&raw.scrape_timeout, DEFAULT_TIMEOUT, scrape_interval)?,
        evaluation_interval: interval(
            &raw.evaluation_interval,
            "evaluation_interval",
            defaults.evaluation_interval,
        )?,
        external_labels: labels(raw.external_labels.as_ref(), "external_labels")?,
        limits: Limits {
            body_size_bytes: size(&raw.body_size_limit, "body_size_limit", 0)?,
            samples: raw.sample_limit.unwrap_or(0),
            labels: raw.label_limit.unwrap_or(0),
            label_name_length: raw.label_name_length_limit.unwrap_or(0),
            label_value_length: raw.label_value_length_limit.unwrap_or(0),
        },
    })
}

fn labels(raw: Option<&BTreeMap<String, Spanned<String>>>, key: &str) -> Checked<Labels> {
    let Some(raw) = raw else {
        return Ok(Labels::empty());
    };
    for (name, value) in raw {
        let wrong = if name.is_empty() {
            "a label name cannot be empty".to_owned()
        } else if name == METRIC_NAME {
            format!("{name:?} is the metric's name and cannot be set here")
        } else if name.starts_with("__") {
            format!(
                "the label {name:?} steers relabelling, which this version of Masthead does not support yet"
            )
        } else {
            continue;
        };
        return Err(fault(value, format!("{key}: {wrong}")));
    }
    Ok(Labels::from_pairs(
        raw.iter()
            .map(|(name, value)| (name.as_str(), value.value.as_str())),
    ))
}

fn scrape_config(entry: &Spanned<RawScrapeConfig>, global: &Global, base: &Path) -> Checked<ScrapeConfig> {
    let raw = &entry.value;
    let job_name = match &raw.job_name {
        Some(name) if !name.value.is_empty() => name.value.clone(),
        Some(name) => return Err(fault(name, "job_name is empty; give the job a name")),
        None => {
            return Err(fault(
                entry,
                "this scrape config has no job_name; add one, for example job_name: app",
            ));
        }
    };
    let scrape_interval = interval(&raw.scrape_interval, "scrape_interval", global.scrape_interval)?;
    let limit = |own: Option<u64>, general: u64| own.unwrap_or(general);
    Ok(ScrapeConfig {
        job_name,
        honor_labels: raw.honor_labels.unwrap_or(false),
        honor_timestamps: raw.honor_timestamps.unwrap_or(true),
        params: raw.params.clone().unwrap_or_default(),
        scrape_interval,
        scrape_timeout: timeout(&raw.scrape_timeout, global.scrape_timeout, scrape_interval)?,
        metrics_path: metrics_path(&raw.metrics_path)?,
        scheme: scheme(&raw.scheme)?,
        enable_compression: raw.enable_compression.unwrap_or(true),
        follow_redirects: raw.follow_redirects.unwrap_or(true),
        limits: Limits {
            body_size_bytes: size(
                &raw.body_size_limit,
                "body_size_limit",
                global.limits.body_size_bytes,
            )?,
            samples: limit(raw.sample_limit, global.limits.samples),
            labels: limit(raw.label_limit, global.limits.labels),
            label_name_length: limit(raw.label_name_length_limit, global.limits.label_name_length),
            label_value_length: limit(raw.label_value_length_limit, global.limits.label_value_length),
        },
        auth: auth(raw.basic_auth.as_ref(), raw.authorization.as_ref(), base)?,
        tls: raw
            .tls_config
            .as_ref()
            .map_or_else(|| Ok(TlsConfig::default()), |tls| tls_config(tls, base))?,
        static_configs: raw
            .static_configs
            .iter()
            .flatten()
            .map(static_config)
            .collect::<Checked<_>>()?,
    })
}

fn metrics_path(text: &Text) -> Checked<String> {
    match text {
        None => Ok("/metrics".to_owned()),
        Some(path) if path.value.contains(['?', '#']) => Err(fault(
            path,
            format!("metrics_path {:?} holds a query; put it under params", path.value),
        )),
        Some(path) if path.value.starts_with('/') => Ok(path.value.clone()),
        Some(path) => Err(fault(
            path,
            format!("metrics_path {:?} must begin with a slash", path.value),
        )),
    }
}

fn scheme(text: &Text) -> Checked<Scheme> {
    match text.as_ref().map(|text| (text, text.value.as_str())) {
        None | Some((_, "http")) => Ok(Scheme::Http),
        Some((_, "https")) => Ok(Scheme::Https),
        Some((text, other)) => Err(fault(text, format!("scheme {other:?} is neither http nor https"))),
    }
}

fn auth(
    basic: Option<&Spanned<RawBasicAuth>>,
    header: Option<&Spanned<RawAuthorization>>,
    base: &Path,
) -> Checked<Option<Auth>> {
    if let (Some(_), Some(header)) = (basic, header) {
        return Err(fault(
            header,
            "at most one of basic_auth and authorization can be set",
        ));
    }
    if let Some(basic) = basic {
        let raw = &basic.value;
        let Some(username) = raw.username.clone().filter(|name| !name.is_empty()) else {
            return Err(fault(basic, "basic_auth needs a username"));
        };
        if username.contains(':') {
            return Err(fault(basic, "the username of basic_auth cannot hold a colon"));
        }
        let password = secret(raw.password.as_ref(), raw.password_file.as_ref(), base)
            .ok_or_else(|| {
                fault(
                    basic,
                    "basic_auth takes one of password and password_file, not both",
                )
            })?
            .unwrap_or(SecretSource::Inline(Secret::new(String::new())));
        return Ok(Some(Auth::Basic { username, password }));
    }
    let Some(header) = header else { return Ok(None) };
    let kind = header
        .value
        .kind
        .as_ref()
        .map_or("Bearer", |kind| kind.value.trim());
    let word = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if kind.is_empty() || !kind.bytes().all(word) {
        return Err(fault(
            header,
            format!("authorization: the type {kind:?} is not an authentication scheme"),
        ));
    }
    if kind.eq_ignore_ascii_case("basic") {
        return Err(fault(
            header,
            "authorization cannot have the type basic; use basic_auth for it",
        ));
    }
    let credentials = secret(
        header.value.credentials.as_ref(),
        header.value.credentials_file.as_ref(),
        base,
    )
    .ok_or_else(|| {
        fault(
            header,
            "authorization takes one of credentials and credentials_file, not both",
        )
    })?
    .ok_or_else(|| fault(header, "authorization needs credentials or credentials_file"))?;
    Ok(Some(Auth::Header {
        kind: kind.to_owned(),
        credentials,
    }))
}

/// `None` when both are set.
fn secret(inline: Option<&String>, file: Option<&String>, base: &Path) -> Option<Option<SecretSource>> {
    match (inline, file) {
        (Some(_), Some(_)) => None,
        (Some(value), None) => Some(Some(SecretSource::Inline(Secret::new(value.clone())))),
        (None, Some(file)) => Some(Some(SecretSource::File(base.join(file)))),
        (None, None) => Some(None),
    }
}

fn tls_config(raw: &RawTlsConfig, base: &Path) -> Checked<TlsConfig> {
    let ca_file = match &raw.ca_file {
        None => None,
        Some(file) => {
            let path = base.join(&file.value);
            if !path.is_file() {
                return Err(fault(
                    file,
                    format!("ca_file: {} is not there or not a file", path.display()),
                ));
            }
            Some(path)
        }
    };
    if let Some(name) = &raw.server_name
        && rustls_pki_types::ServerName::try_from(name.value.as_str()).is_err()
    {
        return Err(fault(
            name,
            format!("server_name {:?} is not a host name", name.value),
        ));
    }
    if let (Some(name), None, None | Some(false)) = (&raw.server_name, &ca_file, raw.insecure_skip_verify) {
        return Err(fault(
            name,
            "server_name needs a ca_file in this version of Masthead; name the file to trust",
        ));
    }
    Ok(TlsConfig {
        ca_file,
        server_name: raw.server_name.as_ref().map(|name| name.value.clone()),
        insecure_skip_verify: raw.insecure_skip_verify.unwrap_or(false),
    })
}

fn static_config(raw: &RawStaticConfig) -> Checked<StaticConfig> {
    let mut targets = Vec::new();
    for target in raw.targets.iter().flatten() {
        check_target(&target.value).map_err(|message| fault(target, message))?;
        targets.push(target.value.clone());
    }
    Ok(StaticConfig {
        targets,
        labels: labels(raw.labels.as_ref(), "labels")?,
    })
}

/// A target is `host`, `host:port`, `[v6]` or `[v6]:port`; nothing of a URL around it.
fn check_target(target: &str) -> Result<(), String> {
    let wrong = |why: &str| {
        Err(format!(
            "{target:?} is not a valid target: {why}; write it as host:port"
        ))
    };
    if target.contains("://") {
        return wrong("scheme and path have keys of their own (scheme, metrics_path)");
    }
    if target.contains('/') {
        return wrong("it holds a path; use metrics_path");
    }
    if target.contains(['?', '#', '@', '\\', '%', '"', '<', '>', '^', '`', '|', '{', '}'])
        || target.chars().any(|c| c.is_whitespace() || c.is_control())
    {
        return wrong("it holds a character that no host name has");
    }
    let (host, port) = if let Some(rest) = target.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else {
            return wrong("the bracket is not closed");
        };
        if address.parse::<std::net::Ipv6Addr>().is_err() {
            return wrong("what stands in the brackets is not an IPv6 address");
        }
        match port.strip_prefix(':') {
            Some(port) => (address, Some(port)),
            None if port.is_empty() => (address, None),
            None => return wrong("after the bracket only a port may follow"),
        }
    } else {
        match target.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (target, None),
        }
    };
    if host.is_empty() {
        return wrong("the host is missing");
    }
    if port.is_some_and(|port| {
        !port.bytes().all(|b| b.is_ascii_digit()) || !port.parse::<u16>().is_ok_and(|port| port > 0)
    }) {
        return wrong("the port is not a number from 1 to 65535");
    }
    Ok(())
}

fn collect(raw: Option<&RawCollect>, general: Option<Duration>, base: &Path) -> Checked<Collect> {
    let mut defaults = Collect::default();
    defaults.interval = general.unwrap_or(defaults.interval);
    let Some(raw) = raw else { return Ok(defaults) };
    let folder = |text: &Text, key: &str, default: PathBuf| match text {
        None => Ok(default),
        Some(text) => {
            let path = base.join(&text.value);
            if text.value.is_empty() || !path.is_dir() {
                return Err(fault(text, format!("{key}: {} is not a folder", path.display())));
            }
            Ok(path)
        }
    };
    Ok(Collect {
        enabled: raw.enabled.unwrap_or(true),
        interval: interval(&raw.interval, "interval", defaults.interval)?,
        procfs: folder(&raw.procfs, "procfs", defaults.procfs)?,
        sysfs: folder(&raw.sysfs, "sysfs", defaults.sysfs)?,
        rootfs: folder(&raw.rootfs, "rootfs", defaults.rootfs)?,
        instance: instance(&raw.instance)?,
    })
}

fn servers(raw: Option<&Spanned<RawServers>>) -> Checked<ServersConfig> {
    let Some(raw) = raw else {
        return Ok(ServersConfig::default());
    };
    match &raw.value {
        RawServers::Word(word) if word == "all" => Ok(ServersConfig::All),
        RawServers::Word(word) if word == "off" => Ok(ServersConfig::Off),
        RawServers::Word(word) => Err(fault(
            raw,
            format!("servers: {word:?} is neither all nor off; a single server is written as [{word}]"),
        )),
        RawServers::Names(names) => {
            for name in names {
                if let Err(error) = name.parse::<stack::ServerName>() {
                    return Err(fault(raw, format!("servers: {name:?}: {error}")));
                }
            }
            Ok(ServersConfig::Named(names.clone()))
        }
    }
}

fn instance(text: &Text) -> Checked<Option<String>> {
    match text {
        Some(text) if text.value.is_empty() => Err(fault(text, "instance is empty")),
        other => Ok(other.as_ref().map(|text| text.value.clone())),
    }
}

fn containers(raw: &RawContainers) -> Checked<ContainersConfig> {
    let defaults = ContainersConfig::default();
    let docker = match &raw.docker {
        None => None,
        Some(text) => match text.value.strip_prefix("unix://") {
            Some(path) if path.starts_with('/') => Some(PathBuf::from(path)),
            _ => {
                return Err(fault(
                    text,
                    format!(
                        "docker: {:?} is not the address of a local socket; write it as unix:///var/run/docker.sock",
                        text.value
                    ),
                ));
            }
        },
    };
    let labels = match &raw.labels {
        None => defaults.labels,
        Some(entries) => entries.iter().map(label_entry).collect::<Checked<_>>()?,
    };
    let cgroups = match raw.cgroups.as_ref().map(|text| (text, text.value.as_str())) {
        None => defaults.cgroups,
        Some((_, "none")) => Groups::None,
        Some((_, "top")) => Groups::Top,
        Some((_, "all")) => Groups::All,
        Some((text, other)) => {
            return Err(fault(
                text,
                format!("cgroups: {other:?} is none of none, top and all"),
            ));
        }
    };
    Ok(ContainersConfig {
        enabled: raw.enabled.unwrap_or(defaults.enabled),
        docker,
        labels,
        cgroups,
        per_cpu: raw.per_cpu.unwrap_or(defaults.per_cpu),
        instance: instance(&raw.instance)?,
    })
}

/// A label's name, or its beginning with a `*` behind it.
fn label_entry(entry: &Spanned<String>) -> Checked<String> {
    let text = &entry.value;
    if text.is_empty() {
        return Err(fault(entry, "labels: an entry is empty"));
    }
    if text.strip_suffix('*').unwrap_or(text).contains('*') {
        return Err(fault(
            entry,
            format!("labels: {text:?}: a * may stand at the end only, as in com.example.*"),
        ));
    }
    Ok(text.clone())
}
