//! The only place that reads a clock (DESIGN.md, invariant 3). Everything else gets its time from here, as an argument.
#![expect(clippy::disallowed_methods, reason = "this is the clock")]

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Wall-clock time in milliseconds since the Unix epoch.
#[must_use]
pub fn now_ms() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
    }
}

/// A reading of the monotonic clock, for measuring how long something took.
#[must_use]
pub fn instant() -> Instant {
    Instant::now()
}
