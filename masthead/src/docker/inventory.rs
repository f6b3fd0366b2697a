//! The list of containers, running or not, and how the connection to the engine fares.

use std::sync::{Arc, Mutex, PoisonError};

/// One container, running or not.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Without the slash that the engine puts before it.
    pub name: String,
    /// As given when it was made, such as `nginx:1.27`.
    pub image: String,
    /// Swarm service, else compose `project-service`, else the name.
    pub app: String,
    /// Swarm stack, else compose project, else empty.
    pub project: String,
    /// The engine's word: `created`, `running`, `paused`, `restarting`, `removing`, `exited`, `dead`.
    pub state: String,
    /// `healthy`, `unhealthy`, `starting`; empty without a health check.
    pub health: String,
    /// First process; 0 when it does not run.
    pub pid: u32,
    /// Of the last end; `None` when it has never ended.
    pub exit_code: Option<i64>,
    /// Times the engine restarted it by its policy.
    pub restarts: u64,
    /// OOM kills told of since Masthead knows it.
    pub oom_kills: u64,
    /// Milliseconds since the epoch; 0 when not known.
    pub created_ms: i64,
    /// Milliseconds since the epoch; 0 when it never started.
    pub started_ms: i64,
    /// Milliseconds since the epoch; 0 when it never ended.
    pub finished_ms: i64,
    /// Its own network namespace, neither the host's nor another container's.
    pub own_network: bool,
    /// All its labels.
    pub labels: Vec<(String, String)>,
}

/// How the connection fares.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Engine {
    /// The configuration turned it off.
    #[default]
    Off,
    /// Events are being read.
    Connected {
        /// Such as `28.0.1`.
        version: String,
    },
    /// No events now; the text says why and what to do.
    Away {
        /// For people.
        why: String,
    },
}

/// The list, shared. Readers get the list as it was when they asked.
#[derive(Debug, Default)]
pub struct Inventory {
    now: Mutex<(Engine, Arc<Vec<Known>>)>,
}

impl Inventory {
    /// All containers, sorted by name, and the connection.
    #[must_use]
    pub fn get(&self) -> (Engine, Arc<Vec<Known>>) {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces both.
    pub fn set(&self, engine: Engine, known: Vec<Known>) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = (engine, Arc::new(known));
    }
}
