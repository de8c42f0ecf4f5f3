//! How late the server is: by how much it missed the deadlines of its connections.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// By how much the deadlines of connections were missed: pings that were due, and times that were over.
/// From [`Counters::delays`](crate::Counters::delays).
///
/// They come up to 20 ms late by themselves. What is beyond that, a thread was kept from them: by handlers
/// that compute or block, or by more connections than it can serve.
///
/// ```
/// # fn f(io: sio_server::Io) {
/// let delays = io.counters().delays;
/// for (late, deadlines) in delays.histogram() {
///     println!("heartbeat_late_seconds_bucket{{le=\"{}\"}} {deadlines}", late.as_secs_f64());
/// }
/// println!("heartbeat_late_seconds_sum {}", delays.total.as_secs_f64());
/// println!("heartbeat_late_seconds_count {}", delays.deadlines);
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delays {
    /// Deadlines that came.
    pub deadlines: u64,
    /// By how much they were missed together.
    pub total: Duration,
    buckets: [u64; BOUNDS.len()],
}

/// By how many milliseconds a deadline may be missed to count for a bucket.
const BOUNDS: [u64; 6] = [25, 50, 100, 250, 1000, 5000];

impl Delays {
    /// How many deadlines were missed by so much at most, for some times from 25 ms to 5 s; the rest, up to
    /// [`deadlines`](Self::deadlines), by more.
    pub fn histogram(&self) -> impl Iterator<Item = (Duration, u64)> {
        BOUNDS
            .map(Duration::from_millis)
            .into_iter()
            .zip(self.buckets)
    }

    pub(crate) fn add(&mut self, tally: &DelayTally) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        self.deadlines += load(&tally.deadlines);
        self.total += Duration::from_micros(load(&tally.micros));
        let mut sum = 0;
        for (bucket, count) in self.buckets.iter_mut().zip(&tally.counts) {
            sum += load(count);
            *bucket += sum;
        }
    }
}

/// What one shard has counted of them.
#[derive(Default)]
pub(crate) struct DelayTally {
    deadlines: AtomicU64,
    micros: AtomicU64,
    /// Those that count for a bucket and not for the one before.
    counts: [AtomicU64; BOUNDS.len()],
}

impl DelayTally {
    pub(crate) fn note(&self, late: Duration) {
        self.deadlines.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
        let bucket = BOUNDS.iter().position(|bound| micros <= bound * 1000);
        if let Some(count) = bucket.and_then(|bucket| self.counts.get(bucket)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_counts_for_each_delay_that_it_does_not_exceed() {
        let tally = DelayTally::default();
        for micros in [0, 25_000, 25_001, 1_000_000, 5_000_001] {
            tally.note(Duration::from_micros(micros));
        }
        let mut delays = Delays::default();
        delays.add(&tally);
        delays.add(&tally);
        let counts: Vec<_> = delays.histogram().map(|(_, count)| count).collect();
        assert_eq!(counts, [4, 6, 6, 6, 8, 8]);
        assert_eq!(delays.deadlines, 10);
        assert_eq!(delays.total, Duration::from_micros(2 * 6_050_002));
    }
}
