//! The store's upkeep, on a thread of its own: syncs the log, cuts and compacts blocks, keeps the retention.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context;
use model::{Cancel, CancelReason};

use crate::app::metrics::Metrics;
use crate::clock;

/// Cut, compaction and retention are looked at so often; most rounds find nothing to do.
const MAINTAIN_EVERY: Duration = Duration::from_secs(5);

/// The running thread.
#[derive(Debug)]
pub struct Upkeep {
    stop: mpsc::Sender<()>,
    cancel: Arc<Cancel>,
    thread: JoinHandle<()>,
}

impl Upkeep {
    /// Starts the thread; the log is synced every `sync_ms`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(db: Arc<tsdb::Db>, metrics: Arc<Metrics>, sync_ms: u64) -> anyhow::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let cancel = Arc::new(Cancel::new());
        let flag = Arc::clone(&cancel);
        let every = Duration::from_millis(sync_ms.max(10));
        let thread = thread::Builder::new()
            .name("upkeep".to_owned())
            .spawn(move || {
                let mut last = clock::instant();
                let mut failing = Failing::default();
                while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                    failing.report("syncing the log", db.sync());
                    if last.elapsed() >= MAINTAIN_EVERY {
                        last = clock::instant();
                        let outcome = db.maintain(clock::now_ms(), &flag);
                        metrics.maintenance(last.elapsed(), outcome.is_err());
                        failing.report("upkeep of the store", outcome.map(|_| ()));
                    }
                }
            })
            .context("starting the upkeep thread")?;
        Ok(Self { stop, cancel, thread })
    }

    /// Ends the thread; a compaction under way is given up, its inputs stay.
    pub fn stop(self) {
        self.cancel.cancel(CancelReason::Shutdown);
        // A thread that has already ended needs no word and has nothing left to do.
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}

/// Says a fault once, and once when it is over, instead of every few seconds.
#[derive(Debug, Default)]
struct Failing(Option<String>);

impl Failing {
    fn report<E: std::fmt::Display>(&mut self, what: &str, outcome: Result<(), E>) {
        match outcome {
            Err(e) => {
                let text = format!("{what} failed: {e}");
                if self.0.as_ref() != Some(&text) {
                    tracing::error!("{text}");
                    self.0 = Some(text);
                }
            }
            Ok(()) => {
                if self.0.as_ref().is_some_and(|text| text.starts_with(what)) {
                    tracing::info!("{what} works again");
                    self.0 = None;
                }
            }
        }
    }
}
