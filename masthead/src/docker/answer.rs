//! What the engine answers, as far as it is used: everything optional, no word of the engine refused.
//!
//! Docker and Podman differ in details and both grow new words (states, mount types, event types); an answer with one of them
//! must not cost the containers. What is not known stays a string, what is missing or `null` is the default.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// `null` and absence are the default; so is a value of another shape.
fn lenient<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + serde::de::DeserializeOwned,
{
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// `GET /version`
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Version {
    #[serde(rename = "Version", deserialize_with = "lenient")]
    pub(super) version: String,
    #[serde(rename = "ApiVersion", deserialize_with = "lenient")]
    pub(super) api_version: String,
    #[serde(rename = "Components", deserialize_with = "lenient")]
    pub(super) components: Vec<Component>,
}

/// A part of the engine.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Component {
    #[serde(rename = "Name", deserialize_with = "lenient")]
    pub(super) name: String,
}

impl Version {
    /// Podman answers in Docker's shape and says so here.
    pub(super) fn is_podman(&self) -> bool {
        self.components.iter().any(|c| c.name.contains("Podman"))
    }

    /// For people: `28.0.1`, `Podman 4.3.1`.
    pub(super) fn text(&self) -> String {
        if self.is_podman() {
            format!("Podman {}", self.version)
        } else {
            self.version.clone()
        }
    }
}

/// One entry of `GET /containers/json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Summary {
    #[serde(rename = "Id", deserialize_with = "lenient")]
    pub(super) id: String,
}

/// `GET /containers/ID/json`
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Inspect {
    #[serde(rename = "Id", deserialize_with = "lenient")]
    pub(super) id: String,
    #[serde(rename = "Name", deserialize_with = "lenient")]
    pub(super) name: String,
    #[serde(rename = "Created", deserialize_with = "lenient")]
    pub(super) created: String,
    #[serde(rename = "RestartCount", deserialize_with = "lenient")]
    pub(super) restart_count: i64,
    #[serde(rename = "State", deserialize_with = "lenient")]
    pub(super) state: State,
    #[serde(rename = "Config", deserialize_with = "lenient")]
    pub(super) config: ContainerConfig,
    #[serde(rename = "HostConfig", deserialize_with = "lenient")]
    pub(super) host_config: HostConfig,
}

/// `State`
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct State {
    #[serde(rename = "Status", deserialize_with = "lenient")]
    pub(super) status: String,
    #[serde(rename = "OOMKilled", deserialize_with = "lenient")]
    pub(super) oom_killed: bool,
    #[serde(rename = "Pid", deserialize_with = "lenient")]
    pub(super) pid: i64,
    #[serde(rename = "ExitCode", deserialize_with = "lenient")]
    pub(super) exit_code: i64,
    #[serde(rename = "StartedAt", deserialize_with = "lenient")]
    pub(super) started_at: String,
    #[serde(rename = "FinishedAt", deserialize_with = "lenient")]
    pub(super) finished_at: String,
    #[serde(rename = "Health", deserialize_with = "lenient")]
    pub(super) health: Health,
    /// Podman's older spelling of `Health`.
    #[serde(rename = "Healthcheck", deserialize_with = "lenient")]
    pub(super) healthcheck: Health,
}

/// `State.Health`
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Health {
    #[serde(rename = "Status", deserialize_with = "lenient")]
    pub(super) status: String,
}

/// `Config`
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ContainerConfig {
    #[serde(rename = "Image", deserialize_with = "lenient")]
    pub(super) image: String,
    #[serde(rename = "Labels", deserialize_with = "lenient")]
    pub(super) labels: BTreeMap<String, String>,
}

/// `HostConfig`
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct HostConfig {
    #[serde(rename = "NetworkMode", deserialize_with = "lenient")]
    pub(super) network_mode: String,
}

/// One line of `GET /events`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct EventLine {
    #[serde(rename = "Type", deserialize_with = "lenient")]
    pub(super) kind: String,
    #[serde(rename = "Action", deserialize_with = "lenient")]
    pub(super) action: String,
    #[serde(rename = "Actor", deserialize_with = "lenient")]
    pub(super) actor: Actor,
    #[serde(rename = "time", deserialize_with = "lenient")]
    pub(super) time_s: i64,
    #[serde(rename = "timeNano", deserialize_with = "lenient")]
    pub(super) time_ns: i64,
}

/// What an event is about.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Actor {
    #[serde(rename = "ID", deserialize_with = "lenient")]
    pub(super) id: String,
    #[serde(rename = "Attributes", deserialize_with = "lenient")]
    pub(super) attributes: BTreeMap<String, String>,
}
