//! Virtual time: events in the order in which they happen.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// Events to come. Of two at the same moment, the one that was added first happens first.
#[derive(Debug)]
pub struct Timeline<E> {
    now: Instant,
    added: u64,
    events: BinaryHeap<Entry<E>>,
}

#[derive(Debug)]
struct Entry<E> {
    at: Instant,
    number: u64,
    event: E,
}

impl<E> Timeline<E> {
    /// A timeline that begins at `start`, which stands for any moment.
    pub const fn new(start: Instant) -> Self {
        Self {
            now: start,
            added: 0,
            events: BinaryHeap::new(),
        }
    }

    /// The moment of the last event that happened.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Adds an event `after` now.
    pub fn add(&mut self, after: Duration, event: E) {
        self.add_at(self.now + after, event);
    }

    /// Adds an event at a moment; one in the past happens now.
    pub fn add_at(&mut self, at: Instant, event: E) {
        self.added += 1;
        self.events.push(Entry {
            at: at.max(self.now),
            number: self.added,
            event,
        });
    }

    /// Moves time to the next event and takes it.
    pub fn next_event(&mut self) -> Option<E> {
        let Entry { at, event, .. } = self.events.pop()?;
        self.now = at;
        Some(event)
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap takes the greatest first.
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<E> Eq for Entry<E> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_happen_in_the_order_of_time_then_of_adding() {
        let start = Instant::now();
        let mut timeline = Timeline::new(start);
        timeline.add(Duration::from_secs(2), 'c');
        timeline.add(Duration::from_secs(1), 'a');
        timeline.add(Duration::from_secs(1), 'b');
        assert_eq!(timeline.next_event(), Some('a'));
        assert_eq!(timeline.now(), start + Duration::from_secs(1));
        timeline.add_at(start, 'x');
        assert_eq!(timeline.next_event(), Some('b'));
        assert_eq!(timeline.next_event(), Some('x'));
        assert_eq!(timeline.next_event(), Some('c'));
        assert_eq!(timeline.next_event(), None);
    }
}
