//! The text of the generated configuration files.
//!
//! It has to do for Prometheus 3.5 and later. Every text that comes from outside is written as a quoted scalar.

use std::fmt::Write as _;

use super::{CONTAINER_LABELS, PROMETHEUS_ETC, PROMETHEUS_PORT, USER, password_file};
use crate::{Component, Facts, Options};

/// `prometheus.yml`.
pub(super) fn prometheus(options: &Options, facts: &Facts) -> String {
    let interval = &options.scrape_interval;
    // Prometheus puts environment variables into external labels; a doubled $ is one that is none.
    let server = quoted(&options.server.to_string().replace('$', "$$"));
    let mut text = format!(
        "\
# Written by masthead setup, which writes it anew when its options change: edits here are lost.
# Your own scrape configs go into conf.d/, files with the key scrape_configs; your own rules into rules/. After a change there:
# masthead restart prometheus
global:
  scrape_interval: {interval}
  evaluation_interval: {interval}
  external_labels:
    server: {server}

rule_files:
  - rules/*.yml
  - rules/*.yaml

scrape_config_files:
  - conf.d/*.yml
  - conf.d/*.yaml

scrape_configs:
"
    );
    // In the order of the names, which is the order of the pages of Prometheus.
    let mut components: Vec<_> = options.components().collect();
    components.sort_by_key(|component| component.name());
    for component in components {
        job(&mut text, component, options, facts);
    }
    text
}

/// One scrape config. `instance` names the host and the port that dashboards know, wherever the target listens really: so series go on
/// when a port is moved, and are those of `masthead up`.
fn job(text: &mut String, component: Component, options: &Options, facts: &Facts) {
    let port = options.port(component);
    let target = match component {
        Component::Prometheus => format!("127.0.0.1:{PROMETHEUS_PORT}"),
        Component::NodeExporter => format!("{}:{port}", facts.range.gateway),
        Component::Cadvisor => format!("{}:{port}", component.container()),
    };
    let instance = quoted(&format!("{}:{}", facts.hostname, component.port()));
    let password_file = password_file(component);
    // Writing into a string cannot fail.
    let _ = write!(
        text,
        "  - job_name: {component}
    basic_auth:
      username: {USER}
      password_file: {}
    static_configs:
      - targets:
          - {target}
        labels:
          instance: {instance}
",
        password_file.display()
    );
    if component == Component::Cadvisor {
        text.push_str(CONTAINERS);
    }
}

/// What the series of containers get beside cAdvisor's own labels: `app` and `project`, with the meaning that they have with
/// `masthead up`. Later rules win: the container's name, the compose service, that with its project, the swarm service.
///
/// cAdvisor writes its own timestamps; without `track_timestamps_staleness` the series of a removed container would go on for
/// five minutes.
const CONTAINERS: &str = "    track_timestamps_staleness: true
    metric_relabel_configs:
      - source_labels: [name]
        regex: (.+)
        target_label: app
      - source_labels: [container_label_com_docker_compose_service]
        regex: (.+)
        target_label: app
      - source_labels: [container_label_com_docker_compose_project, container_label_com_docker_compose_service]
        regex: ([^;]+);([^;]+)
        target_label: app
        replacement: $1-$2
      - source_labels: [container_label_com_docker_swarm_service_name]
        regex: (.+)
        target_label: app
      - source_labels: [container_label_com_docker_compose_project]
        regex: (.+)
        target_label: project
      - source_labels: [container_label_com_docker_stack_namespace]
        regex: (.+)
        target_label: project
";

/// `web.yml`, the users of a listener of Prometheus' exporter toolkit.
pub(super) fn web(hash: &str) -> String {
    format!("basic_auth_users:\n  {USER}: {}\n", quoted(hash))
}

/// The file of `-http_auth_file`: Apache's form; of its hashes bcrypt is read by cAdvisor too.
pub(super) fn htpasswd(hash: &str) -> String {
    format!("{USER}:{hash}\n")
}

/// `promtool.yml`: how promtool comes in, as it is called in Prometheus' container.
pub(super) fn promtool() -> String {
    let password_file = password_file(Component::Prometheus);
    format!(
        "basic_auth:\n  username: {USER}\n  password_file: {PROMETHEUS_ETC}/{}\n",
        password_file.display()
    )
}

/// Value of `-whitelisted_container_labels`.
pub(super) fn container_labels() -> String {
    CONTAINER_LABELS.join(",")
}

/// A scalar in double quotes. Characters that YAML does not print are escaped.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            // Line and paragraph separator, byte order mark, what is no character.
            c if c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') =>
            {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
