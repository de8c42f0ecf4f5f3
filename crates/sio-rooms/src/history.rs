//! The packets of the last minutes, numbered, and found again by the rooms they were for.
//!
//! ```text
//!  number       41         42         43         44 = head
//!  entries   [ for a | for everyone | for b | for a except x ]
//!  trails     a: 41, 44      everyone: 42      b: 43
//! ```
//!
//! A *trail* is the numbers of one room. There is one for each room that a session has been in, so
//! what is for nobody is not kept, and a session that comes back reads what it missed, not what
//! everybody did. What is dropped at the old end leaves its number in the trails: whether somebody
//! missed it can still be told.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::Selection;

/// A ring of packets with an index by rooms.
#[derive(Debug)]
pub(crate) struct History<P> {
    entries: VecDeque<Entry<P>>,
    /// The number of the newest packet; how many there have been.
    head: u64,
    weight: usize,
    dropped: u64,
    trails: HashMap<Arc<str>, Trail, FixedState>,
    everyone: Trail,
}

#[derive(Debug)]
pub(crate) struct Entry<P> {
    pub(crate) who: Selection,
    pub(crate) packet: P,
    /// Bytes of the packet.
    pub(crate) len: usize,
    at: Instant,
}

/// The packets of one room.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    /// Those that are kept, in their order.
    numbers: VecDeque<u64>,
    lost: Lost,
    /// The newest packet that was not for this room.
    excepted: u64,
    /// Stays of sessions in this room, over or not.
    stays: u32,
}

/// The newest packet of a room that is kept no longer.
///
/// A room in which one client talks and all others listen loses packets that were for all but this
/// one: it has missed none of them, so the newest that it could have missed is known, too.
#[derive(Debug, Default)]
struct Lost {
    newest: u64,
    /// Whom the newest, and all since `others`, were not for.
    spared: Option<Arc<str>>,
    others: u64,
}

impl<P> History<P> {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            entries: VecDeque::new(),
            head: 0,
            weight: 0,
            dropped: 0,
            trails: HashMap::with_hasher(FixedState::with_seed(seed)),
            everyone: Trail::default(),
        }
    }

    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    /// When the oldest packet was recorded.
    pub(crate) fn since(&self) -> Option<Instant> {
        self.entries.front().map(|entry| entry.at)
    }

    fn number_of(&self, index: usize) -> u64 {
        self.head - (self.entries.len() - 1 - index) as u64
    }

    pub(crate) fn entry(&self, number: u64) -> Option<&Entry<P>> {
        let back = usize::try_from(self.head.checked_sub(number)?).ok()?;
        self.entries.get(self.entries.len().checked_sub(back + 1)?)
    }

    /// Keeps a packet, if any session has been in a room it is for.
    pub(crate) fn push(&mut self, who: &Selection, packet: P, len: usize, now: Instant) {
        let number = self.head + 1;
        let mut wanted = false;
        if who.rooms.is_empty() {
            self.everyone.numbers.push_back(number);
            wanted = true;
        }
        for room in &who.rooms {
            if let Some(trail) = self.trails.get_mut(&**room) {
                wanted = true;
                if trail.numbers.back() != Some(&number) {
                    trail.numbers.push_back(number);
                }
            }
        }
        if wanted {
            for room in &who.except {
                if let Some(trail) = self.trails.get_mut(&**room) {
                    trail.excepted = number;
                }
            }
            self.head = number;
            self.weight += len + size_of::<Entry<P>>();
            self.entries.push_back(Entry {
                who: who.clone(),
                packet,
                len,
                at: now,
            });
        }
    }

    /// Drops the oldest packet.
    pub(crate) fn pop(&mut self) {
        let number = self.number_of(0);
        let Some(entry) = self.entries.pop_front() else {
            return;
        };
        self.weight -= entry.len + size_of::<Entry<P>>();
        self.dropped += 1;
        let spared = match &*entry.who.except {
            [one] => Some(one),
            _ => None,
        };
        if entry.who.rooms.is_empty() {
            self.everyone.lose(number, spared);
        }
        for room in &entry.who.rooms {
            if let Some(trail) = self.trails.get_mut(&**room) {
                trail.lose(number, spared);
            }
        }
        if self.entries.capacity() > 64 && self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
    }

    /// Drops all packets; nobody is left who could miss one.
    pub(crate) fn clear(&mut self) {
        self.entries = VecDeque::new();
        self.weight = 0;
        self.everyone = Trail::default();
    }

    /// Whether a packet is kept that names this room, as one it is for or an exception, between two
    /// positions.
    pub(crate) fn mentions(&self, room: &str, from: u64, to: u64) -> bool {
        let kept = self.head - self.entries.len() as u64;
        self.trails.get(room).is_some_and(|trail| {
            trail.between(from, to).next().is_some() || trail.excepted > from.max(kept)
        })
    }

    // ---- trails -------------------------------------------------------------------------------

    /// A session enters a room: its packets are kept from now on.
    pub(crate) fn enter(&mut self, room: &str) -> Arc<str> {
        if let Some((name, trail)) = self
            .trails
            .get_key_value(room)
            .map(|(name, _)| name.clone())
            .and_then(|name| self.trails.get_mut(&*name).map(|trail| (name, trail)))
        {
            trail.stays += 1;
            return name;
        }
        let name: Arc<str> = room.into();
        let trail = Trail {
            stays: 1,
            ..Trail::default()
        };
        self.trails.insert(Arc::clone(&name), trail);
        name
    }

    /// A stay is forgotten.
    pub(crate) fn forget(&mut self, room: &str) {
        if let Some(trail) = self.trails.get_mut(room) {
            trail.stays -= 1;
            if trail.stays == 0 {
                self.trails.remove(room);
                if self.trails.capacity() > 64 && self.trails.len() < self.trails.capacity() / 4 {
                    self.trails.shrink_to(self.trails.len() * 2);
                }
            }
        }
    }

    /// The trail of a room that a session has been in.
    pub(crate) fn trail(&self, room: &str) -> Option<&Trail> {
        self.trails.get(room)
    }

    /// The trail of what was for everyone.
    pub(crate) fn everyone(&self) -> &Trail {
        &self.everyone
    }
}

impl Trail {
    /// The numbers above `from`, up to `to`.
    pub(crate) fn between(&self, from: u64, to: u64) -> impl Iterator<Item = u64> {
        let first = self.numbers.partition_point(|&number| number <= from);
        let numbers = self.numbers.range(first..).copied();
        numbers.take_while(move |&number| number <= to)
    }

    /// The newest packet that is kept no longer, and was not for all but one of `spares`.
    pub(crate) fn lost(&self, spares: impl FnOnce(&str) -> bool) -> u64 {
        match &self.lost.spared {
            Some(spared) if spares(spared) => self.lost.others,
            _ => self.lost.newest,
        }
    }

    fn lose(&mut self, number: u64, spared: Option<&Arc<str>>) {
        if self.numbers.front() != Some(&number) {
            return; // It came before any session was in this room.
        }
        self.numbers.pop_front();
        if self.numbers.capacity() > 64 && self.numbers.len() < self.numbers.capacity() / 4 {
            self.numbers.shrink_to(self.numbers.len() * 2);
        }
        if spared.is_none() || self.lost.spared.as_ref() != spared {
            self.lost.others = self.lost.newest;
            self.lost.spared = spared.cloned();
        }
        self.lost.newest = number;
    }
}
