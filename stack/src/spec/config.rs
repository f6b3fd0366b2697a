//! The text of the generated configuration files.
//!
//! It has to do for Prometheus 3.5 and later. Every text that comes from outside is written as a quoted scalar.

use std::fmt::Write as _;

use super::{
    CONTAINER_LABELS, GRAFANA_DASHBOARDS_ETC, GRAFANA_PROMETHEUS_PASSWORD, PROMETHEUS_ETC, PROMETHEUS_PORT,
    USER, apps, nodes, password_file, scrape_address,
};
use crate::{Component, Facts, Options};

/// `prometheus.yml`.
pub(super) fn prometheus(options: &Options, facts: &Facts) -> String {
    let interval = &options.scrape_interval;
    // Prometheus puts environment variables into external labels; a doubled $ is one that is none.
    let server = quoted(&options.server.to_string().replace('$', "$$"));
    let alerting = match options.has(Component::Alertmanager) {
        true => alerting(),
        false => String::new(),
    };
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
{alerting}
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
    let mut components: Vec<_> = options
        .components()
        .filter(|component| component.is_scraped())
        .collect();
    components.sort_by_key(|component| component.name());
    for component in components {
        job(&mut text, component, options, facts);
    }
    // Of a swarm the proxy is there for the exporters.
    if options.with.contains(&Component::Discovery) {
        apps::job(&mut text, facts);
    }
    text
}

/// Where alerts go.
fn alerting() -> String {
    let component = Component::Alertmanager;
    format!(
        "
alerting:
  alertmanagers:
    - api_version: v2
      basic_auth:
        username: {USER}
        password_file: {}
      static_configs:
        - targets:
            - {}:{}
",
        password_file(component).display(),
        component.container(),
        component.port()
    )
}

/// One scrape config. `instance` names the host and the port that dashboards know, wherever the target listens really: so series go on
/// when a port is moved, and are those of `masthead up`.
fn job(text: &mut String, component: Component, options: &Options, facts: &Facts) {
    let password_file = password_file(component);
    // Writing into a string cannot fail.
    let _ = write!(
        text,
        "  - job_name: {component}
    basic_auth:
      username: {USER}
      password_file: {}
",
        password_file.display()
    );
    match options.is_service(component) {
        true => nodes::targets(text, component, options),
        false => {
            let target = scrape_address(component, options, facts.range.gateway);
            let instance = quoted(&format!("{}:{}", facts.hostname, component.port()));
            let _ = write!(
                text,
                "    static_configs:
      - targets:
          - {target}
        labels:
          instance: {instance}
"
            );
        }
    }
    match component {
        Component::Cadvisor => {
            text.push_str(CONTAINERS);
            app_rules(text, "name", "(.+)", "container_label_");
        }
        // What is pushed says itself of what it is.
        Component::Pushgateway => text.push_str("    honor_labels: true\n"),
        _ => {}
    }
}

/// cAdvisor writes its own timestamps; without `track_timestamps_staleness` the series of a removed container would go on for
/// five minutes.
const CONTAINERS: &str = "    track_timestamps_staleness: true
    metric_relabel_configs:
";

/// What series of containers get: `app` and `project`, with the meaning that they have with `masthead up`. Later rules win: the
/// container's name, the compose service, that with its project, the swarm service. `name` is the label that holds the container's
/// name, in the form of the regular expression `of`, and `prefix` what stands before the names of Docker's labels.
pub(super) fn app_rules(text: &mut String, name: &str, of: &str, prefix: &str) {
    let project = format!("{prefix}com_docker_compose_project");
    let service = format!("{prefix}com_docker_compose_service");
    let both = format!("{project}, {service}");
    let swarm_service = format!("{prefix}com_docker_swarm_service_name");
    let swarm_stack = format!("{prefix}com_docker_stack_namespace");
    for (source, regex, target, replacement) in [
        (name, of, "app", ""),
        (&service, "(.+)", "app", ""),
        (&both, "([^;]+);([^;]+)", "app", "$1-$2"),
        (&swarm_service, "(.+)", "app", ""),
        (&project, "(.+)", "project", ""),
        (&swarm_stack, "(.+)", "project", ""),
    ] {
        relabel(text, source, regex, target, replacement);
    }
}

/// One rule; an empty replacement is Prometheus' own, the first group.
pub(super) fn relabel(text: &mut String, source: &str, regex: &str, target: &str, replacement: &str) {
    // Writing into a string cannot fail.
    let _ = write!(
        text,
        "      - source_labels: [{source}]\n        regex: {regex}\n        target_label: {target}\n"
    );
    if !replacement.is_empty() {
        let _ = writeln!(text, "        replacement: {replacement}");
    }
}

/// `alertmanager.yml`, with which somebody starts; theirs from then on.
pub(super) fn alertmanager() -> &'static str {
    "\
# Made once by masthead setup, and yours from then on: it is never written again. After a change: masthead restart alertmanager
# Passwords and tokens go into the folder secrets/, one a file, and templates into templates/*.tmpl. In the container both lie
# below /etc/alertmanager.
route:
  receiver: nobody
  group_by: [alertname, server, app]
  group_wait: 30s
  group_interval: 5m
  repeat_interval: 4h

receivers:
  # Alerts show at Alertmanager's page, and nobody is told. Name another receiver in the route, such as:
  - name: nobody
  # - name: mail
  #   email_configs:
  #     - to: you@example.org
  #       from: alerts@example.org
  #       smarthost: smtp.example.org:587
  #       auth_username: alerts@example.org
  #       auth_password_file: /etc/alertmanager/secrets/mail
  # - name: hook
  #   webhook_configs:
  #     - url: https://example.org/alerts

templates:
  - templates/*.tmpl

# What is serious silences what is less so, of the same alert.
inhibit_rules:
  - source_matchers: ['severity = \"critical\"']
    target_matchers: ['severity = \"warning\"']
    equal: [alertname, server, app, instance]
"
}

/// Grafana's data source: the stack's Prometheus. Grafana puts the file's content in the place of its name, and takes no rate over less
/// than four of the intervals.
pub(super) fn grafana_datasource(options: &Options) -> String {
    let interval_ms = options.scrape_interval.millis();
    let interval = match interval_ms % 1000 {
        0 => format!("{}s", interval_ms / 1000),
        _ => format!("{interval_ms}ms"),
    };
    format!(
        "\
# Written by masthead setup, which writes it anew: edits here are lost.
apiVersion: 1
datasources:
  - name: Masthead
    uid: masthead
    type: prometheus
    access: proxy
    url: http://{}:{PROMETHEUS_PORT}
    isDefault: true
    editable: false
    basicAuth: true
    basicAuthUser: {USER}
    secureJsonData:
      basicAuthPassword: $__file{{{GRAFANA_PROMETHEUS_PASSWORD}}}
    jsonData:
      httpMethod: POST
      prometheusType: Prometheus
      timeInterval: {interval}
",
        Component::Prometheus.container()
    )
}

/// Where Grafana finds our dashboards.
pub(super) fn grafana_dashboards() -> String {
    format!(
        "\
# Written by masthead setup, which writes it anew: edits here are lost.
apiVersion: 1
providers:
  - name: masthead
    folder: Masthead
    type: file
    disableDeletion: true
    allowUiUpdates: false
    options:
      path: {GRAFANA_DASHBOARDS_ETC}
"
    )
}

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
