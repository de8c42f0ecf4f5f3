//! How many sessions may be opened in a second, so that a storm of clients that come back is spread
//! over time instead of being more than the server can do.
//!
//! Each session takes a slot; slots lie evenly behind one another, and those of the second that has just
//! gone by may still be taken. Whoever finds none free now waits for the next, if it is not too far.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Slots that nobody took stay free for so long: a second's worth may be taken at once.
const SPARE: u64 = NANOS;
/// Nobody waits for longer than that.
const QUEUE: u64 = 2 * NANOS;
const NANOS: u64 = 1_000_000_000;

pub(crate) struct Brake {
    epoch: Instant,
    /// Nanoseconds from one slot to the next.
    step: u64,
    /// The first slot that nobody has taken, in nanoseconds since `epoch`.
    next: AtomicU64,
}

/// What becomes of a client that wants a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// It has one now.
    Now,
    /// It has one in a while.
    In(Duration),
    /// All slots are taken for longer than anybody waits.
    None,
}

impl Brake {
    /// So many sessions per second; `None` for as many as come.
    pub(crate) fn new(rate: Option<u32>, now: Instant) -> Self {
        Self {
            epoch: now,
            step: rate.map_or(0, |rate| NANOS / u64::from(rate.max(1))),
            next: AtomicU64::new(0),
        }
    }

    /// Takes a slot if one is free now; what time it is, is asked only where slots are counted.
    pub(crate) fn pass(&self, now: impl FnOnce() -> Instant) -> bool {
        self.step == 0 || self.take(now(), 0) == Slot::Now
    }

    /// Takes the next slot, unless it is too far.
    pub(crate) fn ask(&self, now: Instant) -> Slot {
        match self.step {
            0 => Slot::Now,
            _ => self.take(now, QUEUE),
        }
    }

    fn take(&self, now: Instant, patience: u64) -> Slot {
        let elapsed = now.saturating_duration_since(self.epoch).as_nanos();
        // As if the server had run for a while: it begins with a second's worth.
        let now = u64::try_from(elapsed).unwrap_or(u64::MAX / 2) + SPARE;
        let slot = |next: u64| next.max(now - SPARE + self.step);
        let take = |next| (slot(next) <= now + patience).then(|| slot(next) + self.step);
        let taken = self
            .next
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        match taken.map(slot) {
            Err(_) => Slot::None,
            Ok(slot) if slot <= now => Slot::Now,
            Ok(slot) => Slot::In(Duration::from_nanos(slot - now)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(brake: &Brake, now: Instant, times: usize) -> [usize; 3] {
        let mut seen = [0; 3];
        for _ in 0..times {
            match brake.ask(now) {
                Slot::Now => seen[0] += 1,
                Slot::In(wait) => {
                    assert!(wait <= Duration::from_secs(2), "{wait:?}");
                    seen[1] += 1;
                }
                Slot::None => seen[2] += 1,
            }
        }
        seen
    }

    #[test]
    fn a_seconds_worth_at_once_then_two_seconds_of_waiting_then_none() {
        let start = Instant::now();
        let brake = Brake::new(Some(100), start);
        assert_eq!(asked(&brake, start, 299), [100, 199, 0]);
        assert_eq!(asked(&brake, start, 2), [0, 1, 1]);
        // A tenth of a second later there is room for ten more who wait.
        let later = start + Duration::from_millis(100);
        assert_eq!(asked(&brake, later, 11), [0, 10, 1]);
        let rested = start + Duration::from_secs(60);
        assert_eq!(asked(&brake, rested, 101), [100, 1, 0]);
    }

    #[test]
    fn who_does_not_wait_leaves_the_slot_to_others() {
        let start = Instant::now();
        let brake = Brake::new(Some(1), start);
        assert!(brake.pass(|| start));
        for _ in 0..10 {
            assert!(!brake.pass(|| start));
        }
        assert_eq!(brake.ask(start), Slot::In(Duration::from_secs(1)));
    }

    #[test]
    fn without_a_rate_everybody_passes() {
        let start = Instant::now();
        let brake = Brake::new(None, start);
        assert_eq!(asked(&brake, start, 100_000), [100_000, 0, 0]);
    }
}
