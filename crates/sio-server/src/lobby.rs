//! Connections whose first head has not come, and until when each may keep us waiting.
//!
//! Nearly every head comes within the round trip in which its connection did, so what counts is that
//! coming and going cost little: a timer of the runtime would be a block of memory, entered into a
//! shared structure and taken out again. Here a connection leaves its waker in a free seat. All of
//! them may wait equally long, so nobody who enters is due before those who are there: the shard's
//! ticker looks around when the first of them is due, and not before.

use std::{
    task::Waker,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// The time between two looks at least. A deadline comes up so much late at most, and never early.
const TICK: Duration = Duration::from_millis(20);

/// Seats above which they are given back once all of them are free.
const KEEP: usize = 1024;

#[derive(Default)]
pub(crate) struct Lobby {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// None where nobody sits, or somebody who has been woken.
    seats: Vec<Option<(Instant, Waker)>>,
    free: Vec<usize>,
    /// When somebody may be due; None if nobody waits.
    next: Option<Instant>,
}

/// A place in the lobby, to be given back by [`Lobby::leave`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seat(usize);

impl Lobby {
    /// When to call [`expire`](Self::expire).
    pub(crate) fn next(&self) -> Option<Instant> {
        self.waiting.lock().next
    }

    /// `waker` is woken at `deadline`, which is not before that of anybody who waits, unless the seat is
    /// given back. True if [`next`](Self::next) has been nothing so far.
    pub(crate) fn enter(&self, deadline: Instant, waker: Waker) -> (Seat, bool) {
        let mut waiting = self.waiting.lock();
        let seat = match waiting.free.pop() {
            Some(seat) => seat,
            None => {
                waiting.seats.push(None);
                waiting.seats.len() - 1
            }
        };
        waiting.seats[seat] = Some((deadline, waker));
        let first = waiting.next.is_none();
        if first {
            waiting.next = Some(deadline);
        }
        (Seat(seat), first)
    }

    pub(crate) fn leave(&self, seat: Seat) {
        let left = {
            let mut waiting = self.waiting.lock();
            let left = waiting.seats[seat.0].take();
            waiting.free.push(seat.0);
            if waiting.free.len() == waiting.seats.len() && waiting.seats.len() > KEEP {
                let next = waiting.next;
                *waiting = Waiting {
                    next,
                    ..Waiting::default()
                };
            }
            left
        };
        // A waker may be the last of its task.
        drop(left);
    }

    /// Wakes those who are due.
    pub(crate) fn expire(&self, now: Instant) {
        let mut due = Vec::new();
        {
            let mut waiting = self.waiting.lock();
            if waiting.next.is_none_or(|next| now < next) {
                return;
            }
            let mut next = None::<Instant>;
            for seat in &mut waiting.seats {
                match seat {
                    Some((deadline, _)) if *deadline <= now => due.extend(seat.take()),
                    Some((deadline, _)) => {
                        next = Some(next.map_or(*deadline, |at| at.min(*deadline)))
                    }
                    None => {}
                }
            }
            waiting.next = next.map(|next| next.max(now + TICK));
        }
        for (_, waker) in due {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
    };

    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Bell {
        fn rung(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    proptest! {
        #[test]
        fn who_waits_too_long_is_woken_once_in_time_and_nobody_else(
            steps in prop::collection::vec((0..4u8, 0..40u64), 0..200),
        ) {
            const PATIENCE: Duration = Duration::from_millis(100);
            let start = Instant::now();
            let (lobby, mut now) = (Lobby::default(), start);
            let mut here = BTreeMap::new();
            for (id, (step, number)) in steps.into_iter().enumerate() {
                match step {
                    0 | 1 => {
                        let bell = Arc::new(Bell::default());
                        let nobody = lobby.next().is_none();
                        let (seat, first) = lobby.enter(now + PATIENCE, Arc::clone(&bell).into());
                        prop_assert_eq!(first, nobody);
                        here.insert(id, (seat, now + PATIENCE, bell));
                    }
                    2 => {
                        let one = here.keys().nth(number as usize).copied();
                        if let Some((seat, _, bell)) = one.and_then(|one| here.remove(&one)) {
                            lobby.leave(seat);
                            prop_assert_eq!(Arc::strong_count(&bell), 1, "nothing of it is kept");
                        }
                    }
                    _ => now += Duration::from_millis(number),
                }
                // The ticker, which is never late here.
                if lobby.next().is_some_and(|next| next <= now) {
                    lobby.expire(now);
                }
                for (_, deadline, bell) in here.values() {
                    prop_assert!(bell.rung() <= usize::from(*deadline <= now));
                    prop_assert!(bell.rung() == 1 || now < *deadline + TICK);
                    prop_assert!(bell.rung() == 1 || lobby.next().is_some());
                }
            }
        }
    }

    #[test]
    fn a_crowd_that_has_gone_leaves_no_seats() {
        let (lobby, now) = (Lobby::default(), Instant::now());
        let bell = Arc::new(Bell::default());
        let crowd = (0..KEEP * 2).map(|_| lobby.enter(now, Arc::clone(&bell).into()).0);
        for seat in crowd.collect::<Vec<_>>() {
            lobby.leave(seat);
        }
        assert_eq!(lobby.waiting.lock().seats.capacity(), 0);
        lobby.expire(now);
        assert_eq!((bell.rung(), lobby.next()), (0, None));
    }
}
