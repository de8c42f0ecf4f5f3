//! The time, read in one place.
//!
//! It is tokio's: the system's clock, unless a test has paused or advanced it
//! (`tokio::time::pause`). So heartbeats and deadlines move together with the runtime's timers.

use std::time::{Duration, Instant};

/// The time now.
#[inline]
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// `from + after`, or a moment beyond everything where the clock ends: "for ever" is a time, too.
#[inline]
pub(crate) fn later(from: Instant, after: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(3_155_760_000);
    from.checked_add(after).unwrap_or_else(|| from + CENTURY)
}
