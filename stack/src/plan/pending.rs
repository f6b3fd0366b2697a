//! What changed files ask of containers that run, kept in a file until it is done.
//!
//! ```text
//! reload prometheus
//! restart node-exporter
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::Changed;
use crate::desired::{Access, FileKind, FileSpec, OnChange};
use crate::spec::PENDING_FILE;
use crate::{Component, Observed, Step};

/// At most one thing a component.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pending(BTreeMap<Component, Asked>);

/// The second does what the first does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    Reload,
    Restart,
}

impl Pending {
    /// What an earlier run left undone; also in a folder that lost its mark, as the containers may be ours all the same. What somebody
    /// else wrote there asks for no more than a restart of containers of ours.
    pub(super) fn read(observed: &Observed) -> Self {
        let content = observed
            .entries
            .get(&PathBuf::from(PENDING_FILE))
            .and_then(|entry| entry.content.as_deref())
            .unwrap_or_default();
        let mut pending = Self::default();
        for line in String::from_utf8_lossy(content).lines() {
            let asked = match line.split_once(' ') {
                Some(("reload", component)) => (Asked::Reload, component.parse()),
                Some(("restart", component)) => (Asked::Restart, component.parse()),
                _ => continue,
            };
            if let (asked, Ok(component)) = asked {
                pending.ask(component, asked);
            }
        }
        pending
    }

    /// And what these files ask.
    pub(super) fn with(&self, changed: &[Changed]) -> Self {
        let mut pending = self.clone();
        for file in changed {
            match file.asks() {
                OnChange::Nothing => {}
                OnChange::Reload(component) => pending.ask(component, Asked::Reload),
                OnChange::Restart(component) => pending.ask(component, Asked::Restart),
            }
        }
        pending
    }

    fn ask(&mut self, component: Component, asked: Asked) {
        let entry = self.0.entry(component).or_insert(asked);
        *entry = asked.max(*entry);
    }

    /// Without what is asked of other components.
    pub(super) fn only(mut self, of: impl Fn(Component) -> bool) -> Self {
        self.0.retain(|component, _| of(*component));
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The step that writes it down, if it is not.
    pub(super) fn write(&self, observed: &Observed) -> Option<Step> {
        let path = PathBuf::from(PENDING_FILE);
        let there = observed.entries.get(&path);
        let content = self.text().into_bytes();
        if self.is_empty() || there.is_some_and(|there| there.content.as_ref() == Some(&content)) {
            return None;
        }
        Some(Step::WriteFile {
            file: FileSpec {
                path,
                content,
                access: Access {
                    mode: 0o600,
                    uid: 0,
                    gid: 0,
                },
                kind: FileKind::Ours,
                on_change: OnChange::Nothing,
                secret: false,
            },
            is_there: there.is_some(),
        })
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (component, asked) in &self.0 {
            let word = match asked {
                Asked::Reload => "reload",
                Asked::Restart => "restart",
            };
            // Writing into a string cannot fail.
            let _ = writeln!(text, "{word} {component}");
        }
        text
    }

    /// The steps that do it.
    pub(super) fn steps(&self) -> impl Iterator<Item = Step> + '_ {
        self.0.iter().map(|(component, asked)| match asked {
            Asked::Reload => Step::Reload {
                component: *component,
            },
            Asked::Restart => Step::RestartContainer {
                name: component.container().to_owned(),
            },
        })
    }
}
