//! Registered servers in one view: what they measure is scraped through SSH tunnels into this store, with a label `server`.
//!
//! ```text
//!   registry file --keeper--> a watch a server: link (ssh) -> reach (stack or Masthead there) -> way
//!                                                                                                 |
//!                               States (for the page) <-- rounds --  scrape loops  <--------------'
//! ```
//!
//! Servers know nothing of each other: one that hangs holds up its own loops alone. Without a registered server there is no `ssh`, and
//! nothing runs but a look at the registry file's time.

pub(crate) mod reach;
mod state;
mod watch;

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use stack::{Registry, Server};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{MastheadConfig, ServersConfig};
use crate::ingest::Sink;
use crate::scrape::Targets;

pub use state::{Kind, ServerState, State, States};
use watch::Watch;

/// How often the registry file is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// A scrape over a tunnel takes no longer than Prometheus' own.
const MOST_TIMEOUT: Duration = Duration::from_secs(10);

/// What watches have in common.
#[derive(Clone)]
pub(crate) struct Common {
    /// Where samples go.
    pub(crate) sink: Arc<dyn Sink>,
    /// Where the state of targets stands.
    pub(crate) targets: Arc<Targets>,
    /// Where the state of servers stands.
    pub(crate) states: Arc<States>,
    /// Between two scrapes.
    pub(crate) interval: Duration,
}

impl Common {
    fn timeout(&self) -> Duration {
        self.interval.min(MOST_TIMEOUT)
    }
}

/// The watches of all servers.
#[derive(Debug)]
pub struct Servers {
    stop: CancellationToken,
    states: Arc<States>,
    keeper: Option<JoinHandle<()>>,
}

impl Servers {
    /// Starts watching the servers of this user's registry; needs a tokio runtime.
    pub(crate) fn start(config: &MastheadConfig, sink: &Arc<dyn Sink>, targets: &Arc<Targets>) -> Self {
        let stop = CancellationToken::new();
        let states = Arc::new(States::default());
        let keeper = match &config.servers {
            ServersConfig::Off => None,
            ServersConfig::All | ServersConfig::Named(_) => {
                let common = Common {
                    sink: Arc::clone(sink),
                    targets: Arc::clone(targets),
                    states: Arc::clone(&states),
                    interval: config.collect.interval,
                };
                let keeper = Keeper {
                    config: config.servers.clone(),
                    path: Registry::default_path(),
                    common,
                    watched: BTreeMap::new(),
                };
                Some(tokio::spawn(keeper.run(stop.clone())))
            }
        };
        Self { stop, states, keeper }
    }

    /// How they are.
    #[must_use]
    pub fn states(&self) -> &Arc<States> {
        &self.states
    }

    /// Ends all watches; every series has got its staleness marker when this returns.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Some(Err(error)) = match self.keeper {
            Some(keeper) => Some(keeper.await),
            None => None,
        } {
            tracing::error!(%error, "the task that watches the registered servers ended early");
        }
    }
}

struct Watched {
    server: Server,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Watched {
    async fn end(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(server = %self.server.name, %error, "the watch of a server ended early");
        }
    }
}

/// Keeps one watch a server, as the registry changes.
struct Keeper {
    config: ServersConfig,
    path: PathBuf,
    common: Common,
    watched: BTreeMap<String, Watched>,
}

/// Tells one state of a file from another.
type Stamp = Option<(u64, i64, i64, u64)>;

fn stamp(path: &Path) -> Stamp {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.len()))
}

impl Keeper {
    async fn run(mut self, stop: CancellationToken) {
        let mut seen: Option<Stamp> = None;
        let mut said = String::new();
        loop {
            let now = stamp(&self.path);
            if seen != Some(now) {
                match Registry::load(&self.path) {
                    Ok(registry) => {
                        seen = Some(now);
                        said.clear();
                        self.follow(registry.servers()).await;
                    }
                    // What is in the way may go without the file being touched.
                    Err(error) => {
                        let text = error.to_string();
                        if said != text {
                            tracing::error!("the registered servers stay as they were: {text}");
                            said = text;
                        }
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
        }
        self.follow(&[]).await;
    }

    /// Ends watches of servers that are not there any more, or not as they were, and starts those that are missing.
    async fn follow(&mut self, registered: &[Server]) {
        let wanted: BTreeMap<String, &Server> = registered
            .iter()
            .map(|server| (server.name.to_string(), server))
            .filter(|(name, _)| match &self.config {
                ServersConfig::Named(names) => names.contains(name),
                ServersConfig::All => true,
                ServersConfig::Off => false,
            })
            .collect();
        let (kept, gone): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut self.watched)
            .into_iter()
            .partition(|(name, watched)| wanted.get(name).is_some_and(|server| **server == watched.server));
        self.watched = kept;
        // All at once: each may be in the middle of a scrape.
        futures_util::future::join_all(gone.into_iter().map(|(name, watched)| {
            let states = Arc::clone(&self.common.states);
            async move {
                watched.end().await;
                states.remove(&name);
            }
        }))
        .await;
        if let ServersConfig::Named(names) = &self.config {
            for name in names.iter().filter(|name| !wanted.contains_key(*name)) {
                self.common.states.unregistered(name);
            }
        }
        for (name, server) in wanted {
            if self.watched.contains_key(&name) {
                continue;
            }
            let stop = CancellationToken::new();
            let watch = Watch::new(server.clone(), self.common.clone());
            let watched = Watched {
                server: server.clone(),
                task: tokio::spawn(watch.run(stop.clone())),
                stop,
            };
            self.watched.insert(name, watched);
        }
    }
}
