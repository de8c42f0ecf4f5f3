//! Deadlines of many connections, coarse and cheap: one wheel per shard instead of a runtime timer
//! per socket.
//!
//! A connection is entered for the tick of its deadline. When that tick comes the caller asks the
//! connection what it wants *now*; a deadline that has moved on meanwhile is simply entered again.
//! So a heartbeat that is answered costs nothing here until the tick it was entered for.

use std::time::{Duration, Instant};

/// The wheel's resolution. A deadline fires up to one tick late, never early.
const TICK: Duration = Duration::from_millis(TICK_MS);
const TICK_MS: u64 = 20;
/// Slots: deadlines further away than `SLOTS * TICK` (20 s) are looked at again on the way.
const SLOTS: usize = 1024;

/// The first tick of a wheel begun at `start` that is not before `deadline`.
#[inline]
pub(crate) fn tick_of(start: Instant, deadline: Instant) -> u64 {
    millis(start, deadline) / TICK_MS + 1
}

/// Whole milliseconds between two instants, in 64 bits: `as_millis` divides 128.
fn millis(start: Instant, end: Instant) -> u64 {
    let elapsed = end.saturating_duration_since(start);
    elapsed.as_secs() * 1000 + u64::from(elapsed.subsec_millis())
}

/// Entries by tick.
#[derive(Debug)]
pub(crate) struct Wheel<T> {
    start: Instant,
    /// The next tick to fire.
    now: u64,
    slots: Box<[Vec<T>]>,
    len: usize,
}

impl<T> Wheel<T> {
    pub(crate) fn new(start: Instant) -> Self {
        Self {
            start,
            now: 0,
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            len: 0,
        }
    }

    /// Enters `entry` for `deadline` and returns the tick at which it will come up: at the
    /// deadline, or earlier if the wheel does not reach that far.
    pub(crate) fn insert(&mut self, deadline: Instant, entry: T) -> u64 {
        let tick = tick_of(self.start, deadline).clamp(self.now, self.now + SLOTS as u64 - 1);
        self.slots[tick as usize % SLOTS].push(entry);
        self.len += 1;
        tick
    }

    /// When the next entry comes up.
    pub(crate) fn next(&self) -> Option<Instant> {
        if self.len == 0 {
            return None;
        }
        (self.now..self.now + SLOTS as u64)
            .find(|tick| !self.slots[*tick as usize % SLOTS].is_empty())
            .map(|tick| self.start + TICK * u32::try_from(tick).unwrap_or(u32::MAX))
    }

    /// Moves the entries that are due at `now` into `due`, each with its tick.
    pub(crate) fn expire(&mut self, now: Instant, due: &mut Vec<(u64, T)>) {
        let last = millis(self.start, now) / TICK_MS;
        while self.now <= last {
            if self.len == 0 {
                self.now = last + 1;
                return;
            }
            let tick = self.now;
            let slot = &mut self.slots[tick as usize % SLOTS];
            self.len -= slot.len();
            due.extend(slot.drain(..).map(|entry| (tick, entry)));
            if slot.capacity() > 64 {
                slot.shrink_to(16);
            }
            self.now += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_up_at_its_deadline_and_never_before() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        let mut due = Vec::new();
        for ms in [0_u64, 1, 19, 20, 21, 500, 19_999] {
            wheel.insert(start + Duration::from_millis(ms), ms);
        }
        let mut seen = Vec::new();
        for now in (0..30_000).step_by(7) {
            wheel.expire(start + Duration::from_millis(now), &mut due);
            for (_, ms) in due.drain(..) {
                assert!(ms <= now, "{ms} came up at {now}");
                assert!(now - ms <= 27 + 7, "{ms} came up as late as {now}");
                seen.push(ms);
            }
        }
        assert_eq!(seen.len(), 7);
    }

    #[test]
    fn a_far_deadline_is_looked_at_on_the_way() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        wheel.insert(start + Duration::from_secs(45), ());
        let first = wheel.next().expect("one entry");
        assert!(first < start + Duration::from_secs(21));
    }

    #[test]
    fn a_wheel_that_slept_catches_up() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        let mut due = Vec::new();
        wheel.insert(start + Duration::from_millis(40), 1);
        wheel.expire(start + Duration::from_secs(3600), &mut due);
        assert_eq!(due.len(), 1);
        assert!(wheel.next().is_none());
        wheel.insert(start + Duration::from_secs(3601), 2);
        due.clear();
        wheel.expire(start + Duration::from_secs(3602), &mut due);
        assert_eq!(due.len(), 1);
    }
}
