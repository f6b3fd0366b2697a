//! Progress of long work, for whoever shows it.

use serde::Serialize;

/// Something that happened while a command ran.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A plan was made.
    Planned {
        /// Each step in words.
        steps: Vec<String>,
    },
    /// A step begins.
    Began {
        /// Counted from 1.
        at: usize,
        /// Steps in all.
        of: usize,
        /// In words.
        step: String,
    },
    /// An image is being fetched.
    Pulling {
        /// Its name.
        image: String,
        /// Bytes that are here.
        done_bytes: u64,
        /// Bytes in all as far as known.
        total_bytes: u64,
    },
    /// Data is being copied.
    Copying {
        /// Which.
        what: String,
        /// Bytes that are done.
        done_bytes: u64,
        /// Bytes in all as far as known.
        total_bytes: u64,
    },
    /// A step is done.
    Done {
        /// Counted from 1.
        at: usize,
        /// Steps in all.
        of: usize,
        /// In words.
        step: String,
    },
    /// It waits for something that takes time (health, first scrape, the lock).
    Waiting {
        /// For what.
        what: String,
    },
    /// Something the user should know that is no failure.
    Warning {
        /// In words.
        text: String,
    },
}

/// Whoever is told of events; called from the task that works, so it must not block.
pub type OnEvent<'a> = &'a (dyn Fn(Event) + Send + Sync);
