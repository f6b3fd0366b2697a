//! The task that keeps the list of containers fresh by the engine's events.
//!
//! ```text
//!   connect -> subscribe to events -> list all, inspect each -> for each event: mark, inspect that container again
//!      ^                                                            |
//!      '------ away: say why once, wait 1 s .. 30 s <--- the stream ends, the socket fails
//! ```
//!
//! The subscription comes before the list and begins where the last one ended, so that nothing falls between them. Events only name the containers to ask about; what is
//! true is what the engine answers afterwards, so events that come twice, late or not at all (a list every five minutes) do no
//! harm. What a new container is, its event says itself. A container with many events waiting is asked about once.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::convert::Infallible;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::Containers;
use super::answer::{EventLine, Inspect, Summary, Version};
use super::event::{ACTIONS, Action, Event, Memory, mark_for};
use super::inventory::{Engine, Known};
use super::known;
use super::place;
use super::socket::{Socket, SocketError, encode};
use crate::clock;

/// Wait before the first attempt to connect again; doubled up to [`MAX_WAIT`].
const MIN_WAIT: Duration = Duration::from_secs(1);
const MAX_WAIT: Duration = Duration::from_secs(30);
/// The whole list is asked for so often, whatever the events say.
const REFRESH: Duration = Duration::from_secs(300);
/// After a new connection so long is waited for events that were missed, before an end without one is believed.
const MISSED: Duration = Duration::from_secs(5);
/// Containers asked about at the same time.
const MAX_ASKING: usize = 16;
/// Changes are gathered for so long before the list is given out.
const GATHER: Duration = Duration::from_millis(50);
/// Events that wait here; past that they wait in the socket.
const MAX_WAITING: usize = 16_384;

type Asked = (String, Result<Inspect, SocketError>);

/// The task's state; it outlives connections.
#[derive(Debug)]
pub(super) struct Watch {
    shared: Arc<Containers>,
    configured: Option<PathBuf>,
    known: BTreeMap<String, Known>,
    memory: Memory,
    /// To be asked about.
    pending: BTreeSet<String>,
    asking: HashSet<String>,
    engine: Engine,
    /// The list changed and was not given out yet; since then.
    changed: Option<tokio::time::Instant>,
    /// The newest event; the next connection asks for those after it.
    last_ns: Option<i64>,
    /// The time of the newest event that the list does not show yet.
    lagging_ms: Option<i64>,
    /// It was said that the engine is away.
    said_away: bool,
    /// The present connection has held for some time.
    settled: bool,
    /// The last connection did not: an engine that takes and drops us each time (a proxy that forbids events) is not worth a line each time.
    flapping: bool,
}

/// Ends the task when the session does.
struct Reader(JoinHandle<()>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Watch {
    pub(super) fn new(shared: Arc<Containers>, configured: Option<PathBuf>) -> Self {
        let now_ms = clock::now_ms();
        let mut memory = Memory::default();
        let kept = shared.marks.select(i64::MIN, i64::MAX, None, usize::MAX);
        memory.recall(&kept.marks);
        // The engine remembers its last events: those that were missed while nobody listened make marks too.
        let last_ns = shared
            .marks
            .last_ms(now_ms)
            .map(|t_ms| t_ms.saturating_mul(1_000_000));
        Self {
            shared,
            configured,
            known: BTreeMap::new(),
            memory,
            pending: BTreeSet::new(),
            asking: HashSet::new(),
            engine: Engine::Away {
                why: "not connected yet".to_owned(),
            },
            changed: None,
            last_ns,
            lagging_ms: None,
            said_away: false,
            settled: false,
            flapping: false,
        }
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut wait = MIN_WAIT;
        loop {
            let result = tokio::select! {
                () = stop.cancelled() => return,
                result = self.session() => result,
            };
            let Err(error) = result;
            if matches!(self.engine, Engine::Connected { .. }) {
                self.flapping = !self.settled;
                wait = if self.settled { MIN_WAIT } else { wait };
            }
            self.away(&error);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            wait = (wait * 2).min(MAX_WAIT);
        }
    }

    /// Says it once; the list stays, as the containers do without their engine.
    fn away(&mut self, error: &SocketError) {
        if self.said_away {
            tracing::debug!("the container engine is still away: {error}");
        } else {
            self.said_away = true;
            tracing::warn!(
                "containers are not watched: {error}. The machine's metrics go on, and Masthead keeps trying to connect"
            );
        }
        self.engine = Engine::Away {
            why: error.to_string(),
        };
        self.asking.clear();
        self.publish();
    }

    /// One connection, from its beginning to the error that ends it.
    async fn session(&mut self) -> Result<Infallible, SocketError> {
        let mut socket = Socket::new(&place::choose(self.configured.as_deref()));
        let file = identity(socket.path());
        let version: Version = socket.get("/version").await?;
        socket.speak(&version.api_version);
        self.memory.podman = version.is_podman();
        self.last_ns
            .get_or_insert_with(|| clock::now_ms().saturating_mul(1_000_000));
        let (sender, mut events) = mpsc::channel(MAX_WAITING);
        let _reader = Reader(tokio::spawn(read_events(
            socket.clone(),
            self.events_path(),
            sender,
        )));
        self.relist(&socket).await?;
        self.connected(&version, socket.path());
        let mut asked = JoinSet::new();
        let begun = now();
        let mut refresh = tokio::time::interval_at(begun + REFRESH, REFRESH);
        let mut missed = tokio::time::interval_at(begun + MISSED, REFRESH);
        loop {
            self.ask(&socket, &mut asked);
            let gathered = self.changed.map(|since| since + GATHER);
            tokio::select! {
                event = events.recv() => self.event(&event.unwrap_or_else(|| Err(ended(&socket)))?),
                Some(done) = asked.join_next(), if !asked.is_empty() => {
                    match done {
                        Ok(done) => self.answered(done)?,
                        // A task that panicked does not say whose it was; that one is asked about again at the next refresh.
                        Err(_) => self.asking.clear(),
                    }
                }
                _ = missed.tick() => {
                    self.settle();
                    self.missed_ends();
                }
                _ = refresh.tick() => {
                    if identity(socket.path()) != file {
                        return Err(socket.replaced());
                    }
                    self.relist(&socket).await?;
                }
                () = tokio::time::sleep_until(gathered.unwrap_or(begun)), if gathered.is_some() => {
                    self.publish();
                }
            }
        }
    }

    fn connected(&mut self, version: &Version, path: &Path) {
        let text = version.text();
        self.settled = false;
        if !self.flapping {
            tracing::info!(
                "containers are watched: connected to {text} at {}",
                path.display()
            );
        }
        self.shared.told.connections.fetch_add(1, Ordering::Relaxed);
        self.engine = Engine::Connected { version: text };
        self.change();
    }

    /// The connection holds.
    fn settle(&mut self) {
        if std::mem::take(&mut self.flapping) {
            tracing::info!("containers are watched again");
        }
        self.settled = true;
        self.said_away = false;
    }

    fn events_path(&self) -> String {
        // Podman compares the words that it says itself, which are not all Docker's.
        let filters = if self.memory.podman {
            serde_json::json!({ "type": ["container"] })
        } else {
            serde_json::json!({ "type": ["container"], "event": ACTIONS })
        };
        let mut path = format!("/events?filters={}", encode(&filters.to_string()));
        if let Some(last_ns) = self.last_ns {
            let next_ns = last_ns.saturating_add(1);
            let (s, ns) = (
                next_ns.div_euclid(1_000_000_000),
                next_ns.rem_euclid(1_000_000_000),
            );
            path.push_str(&format!("&since={s}.{ns:09}"));
        }
        path
    }

    /// Asks who is there, and about each of them.
    async fn relist(&mut self, socket: &Socket) -> Result<(), SocketError> {
        let list: Vec<Summary> = socket.get("/containers/json?all=true").await?;
        let there: HashSet<String> = list.into_iter().map(|summary| summary.id).collect();
        // One that was made after the list is in `pending` or will be: its event is on the way.
        self.known.retain(|id, _| there.contains(id));
        let marks = &self.shared.marks;
        let recent = marks.select(clock::now_ms() - 3_600_000, i64::MAX, None, usize::MAX);
        let recent: HashSet<&str> = recent.marks.iter().map(|mark| mark.id.as_str()).collect();
        self.memory.retain(|id| there.contains(id) || recent.contains(id));
        self.pending.extend(there);
        self.change();
        Ok(())
    }

    /// Starts asking about containers that wait for it, as many as may be asked about at once.
    fn ask(&mut self, socket: &Socket, asked: &mut JoinSet<Asked>) {
        while self.asking.len() < MAX_ASKING {
            let Some(id) = self.pending.iter().find(|id| !self.asking.contains(*id)).cloned() else {
                return;
            };
            self.pending.remove(&id);
            self.asking.insert(id.clone());
            let socket = socket.clone();
            asked.spawn(async move {
                let answer = socket.get(&format!("/containers/{}/json", encode(&id))).await;
                (id, answer)
            });
        }
    }

    fn event(&mut self, event: &Event) {
        self.shared.told.events.fetch_add(1, Ordering::Relaxed);
        self.last_ns = self.last_ns.max(Some(event.t_ns));
        self.lagging_ms = Some(event.t_ms());
        if let Some(mark) = mark_for(&mut self.memory, event) {
            self.shared.marks.add(mark);
        }
        if event.action == Action::Create && !self.known.contains_key(&event.id) {
            self.known.insert(event.id.clone(), event.created());
            self.change();
            return;
        }
        if event.action == Action::Destroy && self.known.remove(&event.id).is_some() {
            self.change();
        }
        // Asked about after its end too: an answer from before it may still be on the way.
        self.pending.insert(event.id.clone());
    }

    /// Marks for what ended while the engine was down and could tell nobody.
    fn missed_ends(&mut self) {
        let settled_ms = clock::now_ms() - i64::try_from(MISSED.as_millis()).unwrap_or(0);
        for known in self.known.values().filter(|k| k.finished_ms < settled_ms) {
            if let Some(mark) = self.memory.missed_end(known) {
                self.shared.marks.add(mark);
            }
        }
    }

    fn answered(&mut self, (id, answer): Asked) -> Result<(), SocketError> {
        self.asking.remove(&id);
        match answer {
            Ok(inspect) => {
                if self.memory.podman
                    && let Some(mark) = self.memory.end_judged(&inspect)
                {
                    self.shared.marks.add(mark);
                }
                if let Some(mut known) = known::known(inspect) {
                    self.memory.learn(&known);
                    if self.memory.podman {
                        self.memory.learn_health(&known);
                    }
                    known.oom_kills = self.memory.oom_kills(&known.id);
                    self.known.insert(id, known);
                }
            }
            Err(error) if error.is_gone() => {
                self.known.remove(&id);
            }
            Err(error) if error.is_away() => return Err(error),
            Err(error) if error.is_slow() => {
                self.pending.insert(id);
            }
            Err(error) => tracing::debug!("asking about container {id}: {error}"),
        }
        self.change();
        Ok(())
    }

    fn change(&mut self) {
        self.changed.get_or_insert_with(now);
    }

    /// Gives the list out.
    fn publish(&mut self) {
        self.changed = None;
        let mut list: Vec<Known> = self.known.values().cloned().collect();
        list.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.id.cmp(&b.id)));
        self.shared.inventory.set(self.engine.clone(), list);
        if self.pending.is_empty()
            && self.asking.is_empty()
            && let Some(t_ms) = self.lagging_ms.take()
        {
            let lag_ms = clock::now_ms().saturating_sub(t_ms).max(0);
            self.shared.told.lag_ms.store(lag_ms, Ordering::Relaxed);
        }
    }
}

/// Reads the stream into the channel, so that the engine never waits for us.
async fn read_events(socket: Socket, path: String, sender: mpsc::Sender<Result<Event, SocketError>>) {
    let mut lines = match socket.lines(&path).await {
        Ok(lines) => lines,
        Err(error) => {
            // Nobody takes it when the session is over already.
            let _ = sender.send(Err(error)).await;
            return;
        }
    };
    loop {
        let event = match lines.next().await {
            Ok(None) => return,
            Ok(Some(line)) => match serde_json::from_slice::<EventLine>(&line) {
                Ok(line) => Event::read(line).map(Ok),
                Err(e) => {
                    tracing::debug!("an event that is not understood: {e}");
                    None
                }
            },
            Err(error) => Some(Err(error)),
        };
        let Some(event) = event else { continue };
        let last = event.is_err();
        if sender.send(event).await.is_err() || last {
            return;
        }
    }
}

/// The monotonic clock, as timers want it.
fn now() -> tokio::time::Instant {
    clock::instant().into()
}

fn ended(socket: &Socket) -> SocketError {
    socket.gone("the engine ended the stream of events: it stops or restarts")
}

/// Which file a path leads to.
fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
