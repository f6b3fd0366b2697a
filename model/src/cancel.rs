//! Ending work early: a query whose client hung up, or whose time ran out, is told here.
//!
//! The core reads no clock (DESIGN.md, invariant 3), so a deadline lives outside: the async shell sets
//! the flag, the evaluator and the store look at it between series.

use std::sync::atomic::{AtomicU8, Ordering};

/// Why a query was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelReason {
    /// Nobody waits for the answer any more.
    HungUp,
    /// The time that the query was given is over.
    TimedOut,
    /// The process is shutting down.
    Shutdown,
}

/// A flag that is set once and looked at often; cheap enough to read for every series.
#[derive(Debug, Default)]
pub struct Cancel(AtomicU8);

impl Cancel {
    /// A flag that is not set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the work to stop. The first reason stays.
    pub fn cancel(&self, reason: CancelReason) {
        let code = match reason {
            CancelReason::HungUp => 1,
            CancelReason::TimedOut => 2,
            CancelReason::Shutdown => 3,
        };
        // A lost race means that another reason came first, and that one is the truth.
        let _ = self
            .0
            .compare_exchange(0, code, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The reason to stop, if there is one.
    #[must_use]
    pub fn reason(&self) -> Option<CancelReason> {
        match self.0.load(Ordering::Relaxed) {
            1 => Some(CancelReason::HungUp),
            2 => Some(CancelReason::TimedOut),
            3 => Some(CancelReason::Shutdown),
            _ => None,
        }
    }
}
