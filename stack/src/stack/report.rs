//! What commands give back.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::{Component, Need, NodeStatus, Options, Reach, Step, spec};

/// A plan that was not carried out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Planned {
    /// The options that it brings about.
    pub options: Options,
    /// None where everything is as wanted.
    pub steps: Vec<Step>,
}

/// What a command did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What was done, in words; empty when there was nothing to do.
    pub steps: Vec<String>,
    /// Where Prometheus answers, after `setup`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Its user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Where the password is; the password itself is never shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// The optional components that somebody opens or sends to, after `setup`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pages: Vec<Page>,
}

/// Where an optional component answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page {
    /// Which.
    pub component: Component,
    /// On this host's loopback.
    pub url: String,
    /// Its user.
    pub user: String,
    /// Where the password is.
    pub password_file: PathBuf,
}

impl Page {
    /// Those of a stack.
    pub(super) fn all(options: &Options, base_dir: &Path) -> Vec<Self> {
        options
            .components()
            .filter(|component| component.need() == Need::Optional && component.reach() == Reach::Loopback)
            .map(|component| Self {
                component,
                url: format!("http://127.0.0.1:{}", options.port(component)),
                user: spec::USER.to_owned(),
                password_file: base_dir.join(spec::password_file(component)),
            })
            .collect()
    }
}

/// How a component is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComponentStatus {
    /// Which.
    pub component: Component,
    /// Its container; with a swarm its service.
    pub container: String,
    /// The image that it was made from; empty when it is not there.
    pub image: String,
    /// `running`, `exited`, ...; `absent` when it is not there.
    pub state: String,
    /// `healthy`, `unhealthy`, `starting`; empty when it is not asked.
    pub health: String,
    /// How often the engine started it again by itself.
    pub restarts: i64,
    /// When it started last, RFC 3339.
    pub started_at: String,
    /// It runs, and is healthy or about to be.
    pub well: bool,
}

/// How the stack is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// Where its files are.
    pub base_dir: PathBuf,
    /// Where Prometheus answers.
    pub url: String,
    /// What was wanted of it.
    pub options: Options,
    /// In the order in which they are started.
    pub components: Vec<ComponentStatus>,
    /// The nodes of the swarm, with what runs on each; none where no swarm is wanted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeStatus>,
    /// What somebody should mend though all runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Why the swarm could not be asked, with the cure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swarm_fault: Option<String>,
}

impl Status {
    /// Is every component well?
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.components.iter().all(|component| component.well)
            && self.nodes.iter().all(|node| node.well)
            && self.swarm_fault.is_none()
    }
}

/// How to ask the deployed Prometheus.
#[derive(Clone, PartialEq, Eq)]
pub struct Access {
    /// Its address, on this host's loopback.
    pub url: String,
    /// The port in it.
    pub port: u16,
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access")
            .field("url", &self.url)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Access {
    pub(super) fn new(options: &Options, password: &[u8]) -> Self {
        let port = options.port(Component::Prometheus);
        Self {
            url: url(options),
            port,
            user: spec::USER.to_owned(),
            password: String::from_utf8_lossy(password).trim_end().to_owned(),
        }
    }
}

/// Where Prometheus answers.
pub(super) fn url(options: &Options) -> String {
    format!("http://127.0.0.1:{}", options.port(Component::Prometheus))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_those_of_optional_components_that_are_published() {
        let mut options = Options::new("a".parse().expect("a name"));
        assert_eq!(Page::all(&options, Path::new("/b")), []);
        for component in Component::ALL {
            options.take_in(component);
        }
        options.ports.insert(Component::Grafana, 3001);
        let pages: Vec<String> = Page::all(&options, Path::new("/b"))
            .iter()
            .map(|page| format!("{} {} {}", page.component, page.url, page.password_file.display()))
            .collect();
        assert_eq!(
            pages,
            [
                "alertmanager http://127.0.0.1:9093 /b/secrets/alertmanager.password",
                "pushgateway http://127.0.0.1:9091 /b/secrets/pushgateway.password",
                "grafana http://127.0.0.1:3001 /b/secrets/grafana.password"
            ]
        );
    }

    #[test]
    fn the_password_is_not_in_what_is_printed_for_debugging() {
        let options = Options::new("a".parse().expect("a name"));
        let access = Access::new(&options, b"s3cret\n");
        assert_eq!(access.password, "s3cret");
        assert_eq!(access.url, "http://127.0.0.1:9090");
        assert!(!format!("{access:?}").contains("s3cret"));
    }
}
