//! The state of each registered server, for the page: up, or out of reach with a reason, and since when.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock;

/// What answers on a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The Prometheus of its stack.
    Upstream,
    /// A Masthead.
    Embedded,
}

impl Kind {
    /// The word that `setup --runtime` takes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Embedded => "embedded",
        }
    }
}

/// How a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Nothing has come from it yet, and nothing has failed.
    Connecting,
    /// Its last scrape was good.
    Up,
    /// It cannot be reached, or nothing there answers; why.
    Down(String),
}

/// A server and its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerState {
    /// Its name here.
    pub name: String,
    /// Where it is, as registered.
    pub address: String,
    /// What answers there, as far as is known.
    pub kind: Option<Kind>,
    /// How it is.
    pub state: State,
    /// Since when it is so, in milliseconds since the epoch; another reason is no other state.
    pub since_ms: i64,
}

/// The states of all servers.
#[derive(Debug, Default)]
pub struct States(Mutex<BTreeMap<String, ServerState>>);

impl States {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, ServerState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them, by name.
    #[must_use]
    pub fn snapshot(&self) -> Vec<ServerState> {
        self.lock().values().cloned().collect()
    }

    pub(super) fn add(&self, name: &str, address: &str) {
        let state = ServerState {
            name: name.to_owned(),
            address: address.to_owned(),
            kind: None,
            state: State::Connecting,
            since_ms: clock::now_ms(),
        };
        self.lock().insert(name.to_owned(), state);
    }

    pub(super) fn unregistered(&self, name: &str) {
        if !self.lock().contains_key(name) {
            self.add(name, "");
        }
        let reason = format!(
            "masthead.yml names it under servers, and it is not registered; `masthead server add {name} USER@HOST` adds it"
        );
        self.set(name, State::Down(reason));
    }

    pub(super) fn remove(&self, name: &str) {
        self.lock().remove(name);
    }

    pub(super) fn is_kind(&self, name: &str, kind: Kind) {
        if let Some(server) = self.lock().get_mut(name) {
            server.kind = Some(kind);
        }
    }

    /// Writes down how a server is, and says in the log when that has changed.
    pub(super) fn set(&self, name: &str, state: State) {
        let mut all = self.lock();
        let Some(server) = all.get_mut(name) else { return };
        let changed = std::mem::discriminant(&server.state) != std::mem::discriminant(&state);
        if changed {
            server.since_ms = clock::now_ms();
            match &state {
                State::Up => tracing::info!(server = name, "a registered server is in reach"),
                State::Down(reason) => {
                    tracing::warn!(server = name, %reason, "a registered server is out of reach");
                }
                State::Connecting => {}
            }
        }
        server.state = state;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_reason_is_no_other_state() {
        let states = States::default();
        states.add("web-1", "root@web-1");
        let at = |states: &States| states.snapshot()[0].clone();
        assert_eq!(at(&states).state, State::Connecting);
        states.set("web-1", State::Down("refused".into()));
        states.lock().get_mut("web-1").unwrap().since_ms = 7;
        states.set("web-1", State::Down("no route".into()));
        assert_eq!(
            (at(&states).state, at(&states).since_ms),
            (State::Down("no route".into()), 7)
        );
        states.set("web-1", State::Up);
        assert!(at(&states).since_ms > 7);
        states.remove("web-1");
        states.set("web-1", State::Up);
        assert!(states.snapshot().is_empty());
    }

    #[test]
    fn a_named_server_that_is_not_registered_says_how_it_would_be() {
        let states = States::default();
        states.unregistered("web-9");
        let State::Down(reason) = &states.snapshot()[0].state else {
            panic!("it is out of reach")
        };
        assert!(reason.contains("masthead server add web-9"), "{reason}");
        // The registry changes, and it is still not in it.
        states.lock().get_mut("web-9").unwrap().since_ms = 7;
        states.unregistered("web-9");
        assert_eq!(states.snapshot()[0].since_ms, 7);
    }
}
