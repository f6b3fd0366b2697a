//! Work that computes or reads a file of this machine, on a thread beside the async code, with its progress and its end.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::{Event, OnEvent, StackError};

/// Between two looks at how far it is.
const PAUSE: Duration = Duration::from_millis(200);

/// Runs work that may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StackError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| ending(&error))
}

fn ending(error: &tokio::task::JoinError) -> StackError {
    StackError::Invalid(format!("the program is ending: {error}"))
}

/// How far a thread is, and whether anybody still wants it to go on.
#[derive(Debug, Clone, Default)]
struct Watched {
    done: Arc<AtomicU64>,
    stopped: Arc<AtomicBool>,
}

/// Stops the thread when nobody waits for it any more.
struct Stop(Watched);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.stopped.store(true, Ordering::Relaxed);
    }
}

/// A source that counts what is read, and fails once nobody wants it any more.
#[derive(Debug)]
pub(super) struct Counted<R> {
    source: R,
    watched: Watched,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.watched.stopped.load(Ordering::Relaxed) {
            return Err(io::Error::other("interrupted"));
        }
        let read = self.source.read(buf)?;
        self.watched.done.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Runs work that reads a source of so many bytes, and tells how far it is.
pub(super) async fn reading<R: Read + Send + 'static, T: Send + 'static>(
    source: R,
    total_bytes: u64,
    what: &str,
    events: OnEvent<'_>,
    work: impl FnOnce(Counted<R>) -> T + Send + 'static,
) -> Result<T, StackError> {
    let watched = Watched::default();
    let stop = Stop(watched.clone());
    let source = Counted { source, watched };
    let mut thread = tokio::task::spawn_blocking(move || work(source));
    loop {
        tokio::select! {
            ended = &mut thread => return ended.map_err(|error| ending(&error)),
            () = tokio::time::sleep(PAUSE) => events(Event::Copying {
                what: what.to_owned(),
                done_bytes: stop.0.done.load(Ordering::Relaxed),
                total_bytes,
            }),
        }
    }
}
