//! From the engine's answers to what is kept of a container, and from that to the labels of its series.

use std::collections::BTreeMap;

use collect::Container;

use super::answer::Inspect;
use super::inventory::Known;

/// A label value of a series is cut to this: labels of containers can hold whole configuration files.
const MAX_VALUE_BYTES: usize = 1024;
/// Names of containers and images are cut to this.
const MAX_NAME_BYTES: usize = 512;

/// Labels that swarm and compose set.
const SWARM_SERVICE: &str = "com.docker.swarm.service.name";
const SWARM_STACK: &str = "com.docker.stack.namespace";
const COMPOSE_SERVICE: &str = "com.docker.compose.service";
const COMPOSE_PROJECT: &str = "com.docker.compose.project";

/// The container labels that become labels of series unless the configuration says otherwise.
///
/// Of compose's and swarm's labels those that people group and filter by. Left out are hashes and ids that nobody reads (`config-hash`,
/// `image`, `task.id`, `service.id`), paths (`working_dir`, `config_files`) and settings (`depends_on`, `version`, `oneoff`): they
/// change with each deploy and fill the label index.
pub const DEFAULT_LABELS: [&str; 7] = [
    COMPOSE_PROJECT,
    COMPOSE_SERVICE,
    "com.docker.compose.container-number",
    SWARM_STACK,
    "com.docker.swarm.node.id",
    SWARM_SERVICE,
    "com.docker.swarm.task.name",
];

/// Which labels of containers are shown. An entry is a name, or the beginning of one with a `*` behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowList(Vec<String>);

impl Default for AllowList {
    fn default() -> Self {
        Self(DEFAULT_LABELS.map(str::to_owned).into())
    }
}

impl AllowList {
    /// From its entries.
    #[must_use]
    pub fn new(entries: Vec<String>) -> Self {
        Self(entries)
    }

    /// Is this label shown?
    #[must_use]
    pub fn allows(&self, name: &str) -> bool {
        self.0.iter().any(|entry| match entry.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == entry,
        })
    }
}

/// The application that a container belongs to, and its project.
#[must_use]
pub fn app_and_project(name: &str, labels: &BTreeMap<String, String>) -> (String, String) {
    let label = |key: &str| labels.get(key).map(String::as_str).filter(|v| !v.is_empty());
    let project = label(SWARM_STACK)
        .or_else(|| label(COMPOSE_PROJECT))
        .unwrap_or("");
    let app = match (label(SWARM_SERVICE), label(COMPOSE_SERVICE)) {
        (Some(service), _) => service.to_owned(),
        (None, Some(service)) => match label(COMPOSE_PROJECT) {
            Some(project) => format!("{project}-{service}"),
            None => service.to_owned(),
        },
        (None, None) => name.to_owned(),
    };
    (bounded(&app, MAX_NAME_BYTES), bounded(project, MAX_NAME_BYTES))
}

/// The beginning of a text, cut between characters.
pub(super) fn bounded(text: &str, most: usize) -> String {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

/// Without the slash that the engine puts before it.
pub(super) fn name_of(text: &str) -> String {
    bounded(text.strip_prefix('/').unwrap_or(text), MAX_NAME_BYTES)
}

/// RFC 3339 in milliseconds; the engine's year 1 and anything that is no time are 0.
fn time_ms(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>()
        .map_or(0, |t| t.as_millisecond().max(0))
}

/// Podman has words of its own for some of Docker's states.
fn state_of(status: &str) -> &str {
    match status {
        "configured" | "initialized" => "created",
        "stopping" => "running",
        "stopped" => "exited",
        "created" | "running" | "paused" | "restarting" | "removing" | "exited" | "dead" => status,
        _ => "",
    }
}

/// What is kept of an answer; `None` when it names no container.
pub(super) fn known(answer: Inspect) -> Option<Known> {
    let id = answer.id;
    if id.is_empty() || id.len() > 128 || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let name = name_of(&answer.name);
    let (app, project) = app_and_project(&name, &answer.config.labels);
    let state = &answer.state;
    let health = [&state.health.status, &state.healthcheck.status]
        .into_iter()
        .find(|status| ["healthy", "unhealthy", "starting"].contains(&status.as_str()));
    let started_ms = time_ms(&state.started_at);
    let finished_ms = time_ms(&state.finished_at);
    let pid = u32::try_from(state.pid).unwrap_or(0);
    let word = state_of(&state.status);
    let word = match (word, pid) {
        ("", 0) => "exited",
        ("", _) => "running",
        (word, _) => word,
    };
    let mode = answer.host_config.network_mode.as_str();
    let shared = mode == "host" || mode.starts_with("container:") || mode.starts_with("ns:");
    Some(Known {
        id,
        app,
        project,
        image: bounded(&answer.config.image, MAX_NAME_BYTES),
        state: word.to_owned(),
        health: health.cloned().unwrap_or_default(),
        pid,
        exit_code: (finished_ms > 0).then_some(state.exit_code),
        restarts: u64::try_from(answer.restart_count).unwrap_or(0),
        oom_kills: 0,
        created_ms: time_ms(&answer.created),
        started_ms,
        finished_ms,
        own_network: !shared,
        labels: answer.config.labels.into_iter().collect(),
        name,
    })
}

/// The name of a container's label on a series, as cAdvisor makes it.
#[must_use]
pub fn label_name(name: &str) -> String {
    let word = |c: char| {
        if c.is_ascii_alphanumeric() || c == '_' {
            c
        } else {
            '_'
        }
    };
    format!("container_label_{}", name.chars().map(word).collect::<String>())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds since 1970 fit a float exactly for 285,000 years"
)]
pub(super) fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// What the collector needs of a running container.
pub(super) fn container(known: &Known, allowed: &AllowList) -> Container {
    let mut labels = BTreeMap::new();
    for (name, value) in &known.labels {
        if allowed.allows(name) && !value.is_empty() {
            // Two names can become the same one; a series has only one of them, the first in the alphabet.
            labels
                .entry(label_name(name))
                .or_insert_with(|| bounded(value, MAX_VALUE_BYTES));
        }
    }
    for (name, value) in [
        ("app", &known.app),
        ("image", &known.image),
        ("name", &known.name),
        ("project", &known.project),
    ] {
        if !value.is_empty() {
            labels.insert(name.to_owned(), value.clone());
        }
    }
    Container {
        id: known.id.clone(),
        pid: known.pid,
        labels: labels.into_iter().collect(),
        own_network: known.own_network,
        created_s: seconds(known.created_ms),
        started_s: seconds(known.started_ms),
        healthy: match known.health.as_str() {
            "healthy" => Some(true),
            "unhealthy" | "starting" => Some(false),
            _ => None,
        },
        oom_kills: known.oom_kills,
    }
}

#[cfg(test)]
#[path = "known_tests.rs"]
mod tests;
