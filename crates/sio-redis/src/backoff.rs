//! When to try again.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// Ever longer waits, each cut short by chance so that nodes do not come back all at once.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

const FIRST: Duration = Duration::from_millis(50);
const LAST: Duration = Duration::from_secs(2);

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { next: FIRST }
    }

    /// How long to wait this time: between half and all of twice the last one.
    pub(crate) fn next(&mut self) -> Duration {
        let full = self.next;
        self.next = (full * 2).min(LAST);
        // Each `RandomState` has keys of its own.
        let chance = RandomState::new().hash_one(full) % 1024;
        full / 2 + full / 2 * chance as u32 / 1024
    }

    /// It has worked.
    pub(crate) fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_two_seconds_and_are_never_the_same_for_all() {
        let mut backoff = Backoff::new();
        let waits: Vec<_> = (0..10).map(|_| backoff.next()).collect();
        for (number, wait) in waits.iter().enumerate() {
            let full = (FIRST * (1 << number)).min(LAST);
            assert!(*wait >= full / 2 && *wait <= full, "{number}: {wait:?}");
        }
        let firsts: Vec<_> = (0..100).map(|_| Backoff::new().next()).collect();
        assert!(firsts.iter().any(|wait| *wait != firsts[0]));
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
