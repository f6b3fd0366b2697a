//! A configuration as YAML, in Prometheus' order of keys, with defaults written out and secrets hidden.
//!
//! Written by hand: the shapes are few, and the text must be stable, as people compare it.

use std::fmt::{self, Display, Write as _};
use std::path::Path;

use model::Labels;

use super::{
    Auth, Collect, Config, ContainersConfig, Groups, HIDDEN, Limits, ScrapeConfig, SecretSource,
    ServersConfig, format_duration, format_size,
};

/// A string as a YAML scalar: plain where that is safe, else in double quotes.
struct Scalar<'a>(&'a str);

impl Display for Scalar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0;
        let word = |c: char| c.is_ascii_alphanumeric() || "_-./:<>".contains(c);
        let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || "/_<".contains(c))
            && text.chars().all(word)
            && !text.ends_with(':')
            && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
                .iter()
                .any(|reserved| text.eq_ignore_ascii_case(reserved));
        if plain {
            return f.write_str(text);
        }
        f.write_char('"')?;
        for c in text.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\t' => f.write_str("\\t")?,
                c if c.is_control() || c == '\u{feff}' || ('\u{2028}'..='\u{2029}').contains(&c) => {
                    let code = u32::from(c);
                    if code > 0xff {
                        write!(f, "\\u{code:04x}")?
                    } else {
                        write!(f, "\\x{code:02x}")?
                    }
                }
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

struct Writer {
    out: String,
}

impl Writer {
    /// One line; writing to a String cannot fail.
    fn line(&mut self, indent: usize, key: &str, value: impl Display) {
        let _ = writeln!(self.out, "{:indent$}{key}: {value}", "");
    }

    fn open(&mut self, indent: usize, key: &str) {
        let _ = writeln!(self.out, "{:indent$}{key}:", "");
    }

    fn path(&mut self, indent: usize, key: &str, path: &Path) {
        self.line(indent, key, Scalar(&path.to_string_lossy()));
    }

    fn labels(&mut self, indent: usize, key: &str, labels: &Labels) {
        if labels.is_empty() {
            return;
        }
        self.open(indent, key);
        for (name, value) in labels {
            let _ = writeln!(
                self.out,
                "{:1$}{2}: {3}",
                "",
                indent + 2,
                Scalar(name),
                Scalar(value)
            );
        }
    }

    fn limits(&mut self, indent: usize, limits: &Limits) {
        if limits.body_size_bytes > 0 {
            self.line(indent, "body_size_limit", format_size(limits.body_size_bytes));
        }
        for (key, value) in [
            ("sample_limit", limits.samples),
            ("label_limit", limits.labels),
            ("label_name_length_limit", limits.label_name_length),
            ("label_value_length_limit", limits.label_value_length),
        ] {
            if value > 0 {
                self.line(indent, key, value);
            }
        }
    }

    fn secret(&mut self, indent: usize, key: &str, source: &SecretSource) {
        match source {
            SecretSource::Inline(_) => self.line(indent, key, HIDDEN),
            SecretSource::File(path) => self.path(indent, &format!("{key}_file"), path),
        }
    }
}

/// The whole configuration.
pub(super) fn write(config: &Config) -> String {
    let mut w = Writer { out: String::new() };
    let global = &config.global;
    w.open(0, "global");
    w.line(2, "scrape_interval", format_duration(global.scrape_interval));
    w.line(2, "scrape_timeout", format_duration(global.scrape_timeout));
    w.line(
        2,
        "evaluation_interval",
        format_duration(global.evaluation_interval),
    );
    w.labels(2, "external_labels", &global.external_labels);
    w.limits(2, &global.limits);
    if !config.scrape_configs.is_empty() {
        w.open(0, "scrape_configs");
        for job in &config.scrape_configs {
            scrape_config(&mut w, job);
        }
    }
    collect(&mut w, &config.masthead.collect);
    containers(&mut w, &config.masthead.containers);
    servers(&mut w, &config.masthead.servers);
    w.out
}

fn scrape_config(w: &mut Writer, job: &ScrapeConfig) {
    w.line(0, "- job_name", Scalar(&job.job_name));
    if job.honor_labels {
        w.line(2, "honor_labels", true);
    }
    w.line(2, "honor_timestamps", job.honor_timestamps);
    if !job.params.is_empty() {
        w.open(2, "params");
        for (name, values) in &job.params {
            let _ = writeln!(
                w.out,
                "    {}:{}",
                Scalar(name),
                if values.is_empty() { " []" } else { "" }
            );
            for value in values {
                let _ = writeln!(w.out, "    - {}", Scalar(value));
            }
        }
    }
    w.line(2, "scrape_interval", format_duration(job.scrape_interval));
    w.line(2, "scrape_timeout", format_duration(job.scrape_timeout));
    w.line(2, "metrics_path", Scalar(&job.metrics_path));
    w.line(2, "scheme", job.scheme.as_str());
    w.line(2, "enable_compression", job.enable_compression);
    w.limits(2, &job.limits);
    match &job.auth {
        Some(Auth::Basic { username, password }) => {
            w.open(2, "basic_auth");
            w.line(4, "username", Scalar(username));
            w.secret(4, "password", password);
        }
        Some(Auth::Header { kind, credentials }) => {
            w.open(2, "authorization");
            w.line(4, "type", Scalar(kind));
            w.secret(4, "credentials", credentials);
        }
        None => {}
    }
    let tls = &job.tls;
    if *tls != super::TlsConfig::default() {
        w.open(2, "tls_config");
        if let Some(path) = &tls.ca_file {
            w.path(4, "ca_file", path);
        }
        if let Some(name) = &tls.server_name {
            w.line(4, "server_name", Scalar(name));
        }
        w.line(4, "insecure_skip_verify", tls.insecure_skip_verify);
    }
    w.line(2, "follow_redirects", job.follow_redirects);
    if !job.static_configs.is_empty() {
        w.open(2, "static_configs");
        for group in &job.static_configs {
            let _ = writeln!(
                w.out,
                "  - targets:{}",
                if group.targets.is_empty() { " []" } else { "" }
            );
            for target in &group.targets {
                let _ = writeln!(w.out, "    - {}", Scalar(target));
            }
            w.labels(4, "labels", &group.labels);
        }
    }
}

fn collect(w: &mut Writer, collect: &Collect) {
    w.open(0, "masthead");
    w.open(2, "collect");
    w.line(4, "enabled", collect.enabled);
    w.line(4, "interval", format_duration(collect.interval));
    w.path(4, "procfs", &collect.procfs);
    w.path(4, "sysfs", &collect.sysfs);
    w.path(4, "rootfs", &collect.rootfs);
    if let Some(instance) = &collect.instance {
        w.line(4, "instance", Scalar(instance));
    }
}

fn servers(w: &mut Writer, servers: &ServersConfig) {
    match servers {
        ServersConfig::All => w.line(2, "servers", "all"),
        ServersConfig::Off => w.line(2, "servers", Scalar("off")),
        ServersConfig::Named(names) if names.is_empty() => w.line(2, "servers", "[]"),
        ServersConfig::Named(names) => {
            w.open(2, "servers");
            for name in names {
                let _ = writeln!(w.out, "  - {}", Scalar(name));
            }
        }
    }
}

fn containers(w: &mut Writer, containers: &ContainersConfig) {
    w.open(2, "containers");
    w.line(4, "enabled", containers.enabled);
    if let Some(path) = &containers.docker {
        w.line(4, "docker", Scalar(&format!("unix://{}", path.display())));
    }
    if containers.labels.is_empty() {
        w.line(4, "labels", "[]");
    } else {
        w.open(4, "labels");
        for entry in &containers.labels {
            let _ = writeln!(w.out, "    - {}", Scalar(entry));
        }
    }
    let cgroups = match containers.cgroups {
        Groups::None => "none",
        Groups::Top => "top",
        Groups::All => "all",
    };
    w.line(4, "cgroups", cgroups);
    w.line(4, "per_cpu", containers.per_cpu);
    if let Some(instance) = &containers.instance {
        w.line(4, "instance", Scalar(instance));
    }
}
