//! Deadlines of many connections, coarse and cheap: one wheel per shard instead of a runtime timer
//! per socket.
//!
//! A connection is entered for the tick of its deadline. When that tick comes the caller asks the
//! connection what it wants *now*; a deadline that has moved on meanwhile is simply entered again.
//! So a heartbeat that is answered costs nothing here until the tick it was entered for. A connection that
//! has gone is taken out, and leaves an empty place of eight bytes until then.

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

/// Where an entry is: the tick at which it comes up, and its place among those of that tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry(u64);

impl Entry {
    /// What is not entered.
    pub(crate) const NONE: Self = Self(u64::MAX);

    /// Bits for the place. Who comes behind them has the last one, and is not taken out.
    const BITS: u32 = 20;
    const LAST: usize = (1 << Self::BITS) - 1;

    fn new(tick: u64, place: usize) -> Self {
        Self(tick << Self::BITS | place.min(Self::LAST) as u64)
    }

    /// Later than all others for [`NONE`](Self::NONE).
    #[inline]
    pub(crate) fn tick(self) -> u64 {
        self.0 >> Self::BITS
    }

    fn place(self) -> Option<usize> {
        let place = self.0 as usize & Self::LAST;
        (place < Self::LAST).then_some(place)
    }
}

/// Entries by tick.
#[derive(Debug)]
pub(crate) struct Wheel<T> {
    start: Instant,
    /// The next tick to fire.
    now: u64,
    /// Places of which some are empty again.
    slots: Box<[Vec<Option<T>>]>,
    /// Places, the empty ones among them.
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

    /// Enters `value` for `deadline` and returns where it is: at the tick of the deadline, or an
    /// earlier one if the wheel does not reach that far.
    pub(crate) fn insert(&mut self, deadline: Instant, value: T) -> Entry {
        let tick = tick_of(self.start, deadline).clamp(self.now, self.now + SLOTS as u64 - 1);
        let slot = &mut self.slots[tick as usize % SLOTS];
        let entry = Entry::new(tick, slot.len());
        slot.push(Some(value));
        self.len += 1;
        entry
    }

    /// Takes an entry out, unless its tick has come.
    pub(crate) fn remove(&mut self, entry: Entry) -> Option<T> {
        let (tick, place) = (entry.tick(), entry.place()?);
        if tick < self.now {
            return None;
        }
        let slot = &mut self.slots[tick as usize % SLOTS];
        slot.get_mut(place)?.take()
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
            due.extend(slot.drain(..).flatten().map(|value| (tick, value)));
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
    fn what_is_taken_out_does_not_come_up_and_nothing_else_is() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut wheel = Wheel::new(start);
        let mut due = Vec::new();
        let entries: Vec<_> = (0..6).map(|n| wheel.insert(at(100 * (n / 3)), n)).collect();
        assert_eq!(wheel.remove(entries[1]), Some(1));
        assert_eq!(wheel.remove(entries[1]), None);
        assert_eq!(wheel.remove(Entry::NONE), None);
        wheel.expire(at(50), &mut due);
        // The places of a tick that has come may be others' after a turn of the wheel.
        assert_eq!(wheel.remove(entries[0]), None);
        let turn = SLOTS as u64 * TICK_MS;
        let next = wheel.insert(at(turn), 6);
        assert_eq!(next.tick() % SLOTS as u64, entries[0].tick() % SLOTS as u64);
        assert_eq!(wheel.remove(entries[0]), None);
        assert_eq!(wheel.remove(entries[4]), Some(4));
        wheel.expire(at(turn + 100), &mut due);
        let values: Vec<_> = due.iter().map(|(_, value)| *value).collect();
        assert_eq!(values, [0, 2, 3, 5, 6]);
        assert!(wheel.next().is_none());
    }

    #[test]
    fn who_has_no_place_of_their_own_stays_until_the_tick() {
        let entry = Entry::new(7, Entry::LAST + 5);
        assert_eq!((entry.tick(), entry.place()), (7, None));
        assert_eq!(Entry::new(7, 5).place(), Some(5));
        assert!(Entry::NONE.tick() > u64::MAX >> 21 && Entry::NONE.place().is_none());
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
