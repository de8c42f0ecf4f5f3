//! [`Acks`]: who waits for an answer of one socket, and until when.

use std::{collections::VecDeque, time::Instant};

use crate::error::Full;

/// The acks one socket still owes: an event goes out with an id, the peer's ack comes back with it.
///
/// Every waiter `W` leaves exactly once: by [`take`](Self::take) (answered),
/// [`expire`](Self::expire) (timed out) or [`drain`](Self::drain) (the socket is gone). Ids count up
/// from 0 and are never used twice, so an ack that comes too late, or twice, finds nobody. They stay
/// far below 2⁵³, the end of what the wire can say: a million acks a second would take 285 years.
///
/// Nothing is on the heap while nothing is pending.
///
/// ```
/// use std::time::{Duration, Instant};
/// use sio_rooms::Acks;
///
/// let mut acks = Acks::with_limit(2);
/// let now = Instant::now();
/// let first = acks.insert("who waits first", now + Duration::from_secs(5))?;
/// let second = acks.insert("who waits second", now + Duration::from_secs(60))?;
/// assert!(acks.insert("one too many", now).is_err());
///
/// assert_eq!(acks.take(second), Some("who waits second")); // the answer has come
/// assert_eq!(acks.poll_timeout(), Some(now + Duration::from_secs(5)));
/// acks.expire(now + Duration::from_secs(5), |id, _who| assert_eq!(id, first));
/// assert!(acks.is_empty() && acks.take(first).is_none()); // an answer too late is nobody's
/// assert_eq!(acks.drain().count(), 0); // at the end of the socket
/// # Ok::<(), sio_rooms::Full>(())
/// ```
#[derive(Debug)]
pub struct Acks<W> {
    /// Ids rise from front to back; peers answer mostly in that order.
    pending: VecDeque<Pending<W>>,
    next_id: u64,
    limit: usize,
    /// No deadline is before this one.
    earliest: Option<Instant>,
}

#[derive(Debug)]
struct Pending<W> {
    id: u64,
    deadline: Instant,
    waiter: W,
}

impl<W> Acks<W> {
    /// Acks that one socket may wait for at a time, unless told otherwise: no honest peer is asked
    /// so much at once, and a silent one costs no more than this.
    pub const LIMIT: usize = 4_096;

    /// An empty table with the limit [`LIMIT`](Self::LIMIT). Allocates nothing.
    pub const fn new() -> Self {
        Self::with_limit(Self::LIMIT)
    }

    /// An empty table for at most `limit` acks at a time.
    pub const fn with_limit(limit: usize) -> Self {
        Self {
            pending: VecDeque::new(),
            next_id: 0,
            limit,
            earliest: None,
        }
    }

    /// Number of acks pending.
    #[inline]
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether no ack is pending.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// When to call [`expire`](Self::expire), if ever. Never after the first deadline; before it when
    /// the ack with that deadline has been answered meanwhile, and then `expire` finds nothing.
    #[inline]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.earliest
    }

    /// Waits for an ack and tells the id to send with the event.
    ///
    /// # Errors
    ///
    /// [`Full`] at the limit; the waiter is dropped.
    pub fn insert(&mut self, waiter: W, deadline: Instant) -> Result<u64, Full> {
        if self.pending.len() >= self.limit {
            return Err(Full { limit: self.limit });
        }
        let id = self.next_id;
        self.next_id += 1;
        self.pending.push_back(Pending {
            id,
            deadline,
            waiter,
        });
        self.earliest = Some(
            self.earliest
                .map_or(deadline, |earliest| earliest.min(deadline)),
        );
        Ok(id)
    }

    /// The waiter for this id; `None` if nobody waits for it, or no longer.
    pub fn take(&mut self, id: u64) -> Option<W> {
        let index = self
            .pending
            .binary_search_by_key(&id, |pending| pending.id)
            .ok()?;
        let pending = self.pending.remove(index)?;
        self.rest();
        Some(pending.waiter)
    }

    /// Hands over those whose deadline has come, in the order in which they began to wait.
    pub fn expire(&mut self, now: Instant, mut f: impl FnMut(u64, W)) {
        if self.earliest.is_none_or(|earliest| earliest > now) {
            return;
        }
        self.earliest = None;
        for _ in 0..self.pending.len() {
            let Some(pending) = self.pending.pop_front() else {
                break;
            };
            if pending.deadline <= now {
                f(pending.id, pending.waiter);
            } else {
                let deadline = pending.deadline;
                self.earliest = Some(self.earliest.map_or(deadline, |other| other.min(deadline)));
                self.pending.push_back(pending);
            }
        }
        self.rest();
    }

    /// Hands over all of them, in the order in which they began to wait. Ids go on counting.
    pub fn drain(&mut self) -> impl Iterator<Item = (u64, W)> + use<W> {
        self.earliest = None;
        std::mem::take(&mut self.pending)
            .into_iter()
            .map(|pending| (pending.id, pending.waiter))
    }

    /// Gives the memory back when nothing is pending.
    fn rest(&mut self) {
        if self.pending.is_empty() {
            self.pending = VecDeque::new();
            self.earliest = None;
        }
    }
}

impl<W> Default for Acks<W> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn clock() -> impl Fn(u64) -> Instant {
        let start = Instant::now();
        move |seconds| start + Duration::from_secs(seconds)
    }

    #[test]
    fn an_ack_resolves_once_and_a_late_one_finds_nobody() {
        let at = clock();
        let mut acks = Acks::new();
        let id = acks.insert("waiter", at(1)).unwrap();
        assert_eq!(acks.take(id), Some("waiter"));
        assert_eq!(acks.take(id), None, "answered twice");
        let id = acks.insert("late", at(1)).unwrap();
        let mut expired = Vec::new();
        acks.expire(at(1), |id, waiter| expired.push((id, waiter)));
        assert_eq!(expired, [(id, "late")]);
        assert_eq!(acks.take(id), None, "answered too late");
    }

    #[test]
    fn ids_are_never_used_twice() {
        let at = clock();
        let mut acks = Acks::new();
        assert_eq!(acks.insert((), at(1)), Ok(0));
        assert_eq!(acks.insert((), at(1)), Ok(1));
        acks.take(0);
        assert_eq!(acks.drain().count(), 1);
        assert_eq!(acks.insert((), at(1)), Ok(2));
    }

    #[test]
    fn the_limit_holds_at_n_and_frees_with_an_answer() {
        let at = clock();
        let mut acks = Acks::with_limit(2);
        acks.insert(1, at(1)).unwrap();
        acks.insert(2, at(1)).unwrap();
        assert_eq!(acks.insert(3, at(1)), Err(Full { limit: 2 }));
        acks.take(0);
        assert_eq!(acks.insert(3, at(1)), Ok(2), "a refused insert uses no id");
    }

    #[test]
    fn only_those_whose_deadline_has_come_expire_in_the_order_they_began() {
        let at = clock();
        let mut acks = Acks::new();
        for seconds in [5, 1, 3, 1] {
            acks.insert(seconds, at(seconds)).unwrap();
        }
        assert_eq!(acks.poll_timeout(), Some(at(1)));
        let mut expired = Vec::new();
        acks.expire(at(0), |id, _| expired.push(id));
        assert_eq!(expired, [0; 0]);
        acks.expire(at(2), |id, _| expired.push(id));
        assert_eq!(expired, [1, 3]);
        assert_eq!(acks.poll_timeout(), Some(at(3)));
        assert_eq!((acks.take(0), acks.take(2)), (Some(5), Some(3)));
    }

    #[test]
    fn a_million_acks_of_every_fate_leave_nothing_behind() {
        let at = clock();
        let mut acks = Acks::new();
        for round in 0..1_000_000_u64 {
            let id = acks.insert(round, at(round + 10)).unwrap();
            match round % 4 {
                0 => assert_eq!(acks.take(id), Some(round)),
                1 => acks.expire(at(round), |_, _| ()),
                2 => drop(acks.take(id.wrapping_sub(1))),
                _ => drop(acks.drain()),
            }
        }
        acks.expire(at(2_000_000), |_, _| ());
        assert!(acks.is_empty());
        assert_eq!(acks.pending.capacity(), 0);
        assert_eq!(acks.poll_timeout(), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_table_agrees_with_a_naive_map(program in vec((0..4_u8, 0..12_u64), 0..100)) {
            let at = clock();
            let mut acks = Acks::with_limit(5);
            let mut model = BTreeMap::new();
            let (mut ids, mut now) = (0, 0);
            for (command, value) in program {
                match command {
                    0 | 1 if model.len() < 5 => {
                        prop_assert_eq!(acks.insert(ids, at(now + value)), Ok(ids));
                        model.insert(ids, now + value);
                        ids += 1;
                    }
                    0 | 1 => prop_assert_eq!(acks.insert(99, at(now)), Err(Full { limit: 5 })),
                    2 => {
                        let id = ids.saturating_sub(value);
                        prop_assert_eq!(acks.take(id), model.remove(&id).map(|_| id));
                    }
                    _ => {
                        now += value / 4;
                        let due: Vec<_> = model.iter().filter(|(_, at)| **at <= now).map(|(id, _)| (*id, *id)).collect();
                        model.retain(|_, at| *at > now);
                        let mut expired = Vec::new();
                        acks.expire(at(now), |id, waiter| expired.push((id, waiter)));
                        prop_assert_eq!(expired, due);
                    }
                }
                prop_assert_eq!(acks.len(), model.len());
                let first = model.values().min().map(|&seconds| at(seconds));
                prop_assert!(acks.poll_timeout() <= first, "never after the first deadline");
                prop_assert_eq!(acks.poll_timeout().is_none(), first.is_none());
            }
        }
    }
}
