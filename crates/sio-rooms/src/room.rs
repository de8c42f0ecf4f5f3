//! One room: its name and the seats of its members.

use smallvec::SmallVec;

use crate::slots::{Key, excess};

/// A room; there is none without a member in it.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) name: Box<str>,
    pub(crate) key: Key,
    /// A room of one or two, as most are, has no heap for its seats.
    pub(crate) seats: SmallVec<[Seat; 2]>,
}

/// A member of a room; the member's membership points back here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat {
    /// Where the member stands in the dense arrays.
    pub(crate) place: u32,
    /// Index of the room among the member's memberships.
    pub(crate) membership: u32,
}

impl Room {
    /// Adds a seat and returns where it is.
    pub(crate) fn seat(&mut self, seat: Seat) -> usize {
        let index = self.seats.len();
        if index == self.seats.inline_size() {
            // A room of three soon has more.
            self.seats.reserve(FIRST_HEAP - index);
        }
        self.seats.push(seat);
        index
    }

    /// Empties a seat; the last one moves there. Memory is given back as [`excess`] says.
    pub(crate) fn vacate(&mut self, seat: usize) -> Option<Seat> {
        self.seats.swap_remove(seat);
        if let Some(capacity) = excess(self.seats.len(), self.seats.capacity()) {
            self.seats.grow(capacity);
        }
        self.seats.get(seat).copied()
    }
}

/// Seats of a room that has no longer place for them in itself.
const FIRST_HEAP: usize = 8;
