//! The only place that reads the clock (DESIGN.md, invariant 3). Everything else takes time as a parameter or asks here.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch in UTC; before 1970 it is 0.
#[must_use]
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A point on the monotonic clock, for measuring how long something took.
#[must_use]
pub fn instant() -> Instant {
    Instant::now()
}
