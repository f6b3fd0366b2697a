//! One-second readings for whoever looks, and nothing at all while nobody does.
//!
//! ```text
//!   first listener --> thread: read, send, wait a second --> watch channel --> every listener, each at its own pace
//!   last one gone  --> the thread ends at its next turn and closes its files
//! ```
//!
//! The channel holds the newest reading alone: a slow listener skips some and never holds up the others. Nothing is stored.

pub mod reading;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use collect::{ContainerCollector, Paths, Pulse, Reading};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::docker::Containers;
use crate::docker::inventory::Known;
use reading::Rates;

/// Distance of the readings.
const EVERY: Duration = Duration::from_secs(1);
/// Listeners at the same time.
pub const LISTENERS_MAX: usize = 64;

/// Measurements of processes at the same time.
const MEASURED_MAX: usize = 4;

/// A reading as JSON; `None` before the first one of a thread.
type Newest = Option<Arc<str>>;

#[derive(Debug, Default)]
struct State {
    /// A thread is there that will look at the number of listeners once more.
    running: bool,
    /// Readings taken since the start.
    reads: u64,
}

/// The source of live readings.
#[derive(Debug)]
pub struct Live {
    paths: Paths,
    /// `None` when the configuration turns them off.
    containers: Option<Arc<Containers>>,
    newest: watch::Sender<Newest>,
    places: Arc<Semaphore>,
    measuring: Semaphore,
    state: Mutex<State>,
    stop: CancellationToken,
}

/// Why somebody cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Too many already.
    #[error("{LISTENERS_MAX} live pages are open already; close some, or try again later")]
    TooMany,
    /// Going down.
    #[error("the server is shutting down")]
    Stopping,
    /// The system gives no thread.
    #[error("starting the thread that takes live readings: {0}; the process may be at its limit of threads")]
    Thread(#[from] std::io::Error),
}

/// Gets readings as long as it is held.
#[derive(Debug)]
pub struct Listener {
    newest: watch::Receiver<Newest>,
    stop: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Listener {
    /// The next reading as JSON, the newest there is at the first call; `None` when the server goes down.
    pub async fn next(&mut self) -> Option<Arc<str>> {
        loop {
            tokio::select! {
                changed = self.newest.changed() => changed.ok()?,
                () = self.stop.cancelled() => return None,
            }
            let newest = self.newest.borrow_and_update().clone();
            if newest.is_some() {
                return newest;
            }
        }
    }
}

impl Live {
    /// A source that reads below these paths; `stop` ends all listeners.
    #[must_use]
    pub fn new(paths: Paths, containers: Option<Arc<Containers>>, stop: CancellationToken) -> Self {
        Self {
            paths,
            containers,
            newest: watch::Sender::new(None),
            places: Arc::new(Semaphore::new(LISTENERS_MAX)),
            measuring: Semaphore::new(MEASURED_MAX),
            state: Mutex::default(),
            stop,
        }
    }

    /// Where it reads.
    #[must_use]
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Places for those who measure single processes on demand.
    #[must_use]
    pub fn measuring(&self) -> &Semaphore {
        &self.measuring
    }

    /// How many readings were taken, and whether a thread takes them now.
    #[must_use]
    pub fn activity(&self) -> (u64, bool) {
        let state = self.state();
        (state.reads, state.running)
    }

    /// Begins to listen; the first listener starts the thread.
    ///
    /// # Errors
    /// [`ListenError`].
    pub fn listen(self: &Arc<Self>) -> Result<Listener, ListenError> {
        if self.stop.is_cancelled() {
            return Err(ListenError::Stopping);
        }
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| ListenError::TooMany)?;
        let mut state = self.state();
        // Under the lock, so that a thread about to end sees either the listener, or is seen as gone.
        let mut newest = self.newest.subscribe();
        if state.running {
            newest.mark_changed();
        } else {
            let live = Arc::clone(self);
            std::thread::Builder::new()
                .name("live".to_owned())
                .spawn(move || live.run())?;
            state.running = true;
        }
        Ok(Listener {
            newest,
            stop: self.stop.clone(),
            _place: place,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread.
    fn run(&self) {
        let mut pulse = Pulse::new(&self.paths);
        let mut rates = Rates::default();
        let mut next = clock::instant();
        loop {
            let host = pulse.read();
            let (containers, known) = self.read_containers();
            let text = rates.next(clock::now_ms(), clock::instant(), host, containers, &known);
            self.newest.send_replace(Some(text.into()));
            next = after(next, clock::instant());
            if !self.goes_on(next) {
                return;
            }
        }
    }

    /// The containers that run at this moment, not those of the last tick.
    fn read_containers(&self) -> (Vec<Reading>, Arc<Vec<Known>>) {
        let Some(containers) = &self.containers else {
            return Default::default();
        };
        let readings = containers.with_collector(ContainerCollector::read_live);
        (readings, containers.inventory.get().1)
    }

    /// Waits until the next reading is due, and says whether anybody wants it.
    fn goes_on(&self, next: Instant) -> bool {
        self.state().reads += 1;
        std::thread::sleep(next.saturating_duration_since(clock::instant()));
        let mut state = self.state();
        if self.newest.receiver_count() > 0 && !self.stop.is_cancelled() {
            return true;
        }
        state.running = false;
        // The next thread's listeners shall not begin with a reading of long ago.
        self.newest.send_replace(None);
        false
    }
}

/// When the next reading is due: a second after the last one was, or a second from now when that is over already.
fn after(due: Instant, now: Instant) -> Instant {
    let next = due + EVERY;
    if next > now { next } else { now + EVERY }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(stop: &CancellationToken) -> Arc<Live> {
        Arc::new(Live::new(Paths::default(), None, stop.clone()))
    }

    async fn until_ended(live: &Live) {
        for _ in 0..40 {
            if !live.activity().1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the thread goes on two seconds after the last listener left");
    }

    #[tokio::test]
    async fn nobody_looking_costs_nothing() {
        let live = live(&CancellationToken::new());
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(live.activity(), (0, false));
        let listener = live.listen().unwrap();
        assert!(live.activity().1);
        drop(listener);
        until_ended(&live).await;
        let (reads, _) = live.activity();
        tokio::time::sleep(Duration::from_millis(1200)).await;
        assert_eq!(live.activity(), (reads, false));
    }

    #[tokio::test]
    async fn the_first_reading_has_no_rates_and_the_next_has() {
        let live = live(&CancellationToken::new());
        let mut first = live.listen().unwrap();
        let mut parsed = Vec::new();
        for _ in 0..2 {
            let text = first.next().await.unwrap();
            parsed.push(serde_json::from_str::<serde_json::Value>(&text).unwrap());
        }
        assert!(parsed[0]["host"]["cpuRatio"].is_null());
        assert!(parsed[0]["host"]["memoryTotalBytes"].as_f64().unwrap() > 0.0);
        let ratio = parsed[1]["host"]["cpuRatio"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&ratio), "{ratio}");
        // A second listener shares the thread and has the newest reading at once.
        let mut second = live.listen().unwrap();
        let at_once = tokio::time::timeout(Duration::from_millis(200), second.next()).await;
        assert!(at_once.unwrap().is_some());
        // One that does not read holds up nobody.
        tokio::time::timeout(Duration::from_secs(3), first.next())
            .await
            .unwrap()
            .unwrap();
        drop((first, second));
        until_ended(&live).await;
        // And it starts again, not with what was read then.
        let mut again = live.listen().unwrap();
        let text = again.next().await.unwrap();
        assert!(text.contains("\"cpuRatio\":null"), "{text}");
    }

    #[tokio::test]
    async fn places_are_limited_and_given_back() {
        let live = live(&CancellationToken::new());
        let mut all: Vec<_> = (0..LISTENERS_MAX).map(|_| live.listen().unwrap()).collect();
        assert!(matches!(live.listen(), Err(ListenError::TooMany)));
        all.pop();
        live.listen().unwrap();
    }

    #[tokio::test]
    async fn the_stop_ends_every_listener_at_once() {
        let stop = CancellationToken::new();
        let live = live(&stop);
        let mut listener = live.listen().unwrap();
        listener.next().await.unwrap();
        stop.cancel();
        let ended = tokio::time::timeout(Duration::from_millis(100), listener.next()).await;
        assert!(ended.unwrap().is_none());
        assert!(matches!(live.listen(), Err(ListenError::Stopping)));
        until_ended(&live).await;
    }

    #[test]
    fn readings_keep_their_beat() {
        let start = clock::instant();
        let ms = |n| start + Duration::from_millis(n);
        assert_eq!(after(start, ms(10)), ms(1000));
        // The machine slept.
        assert_eq!(after(start, ms(5000)), ms(6000));
    }
}
