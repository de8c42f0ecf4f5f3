//! The time, read in one place.
//!
//! It is tokio's: the system's clock, unless a test has paused or advanced it
//! (`tokio::time::pause`). So heartbeats and deadlines move together with the runtime's timers.

use std::time::Instant;

/// The time now.
#[inline]
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
