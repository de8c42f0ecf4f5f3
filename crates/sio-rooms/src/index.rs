//! [`Rooms`]: members, rooms, and which of the first are in which of the second.

use crate::member::{Listener, Member, MemberId};
use crate::names::{Names, Seed};
use crate::room::Room;
use crate::slots::Slots;

/// The members and rooms of one namespace, or of one shard's part of it.
///
/// `N` is a member's own name, `O` its outlet; the index looks into neither. Methods come in two
/// families: facts and walks borrow the index, commands (`enter`, `exit`, `join`, `leave`) change it
/// at once. There is nothing to poll.
///
/// The cost of a command does not grow with the number of members or rooms; that of a walk is one
/// cache line or two for each member reached. Rooms without a member are removed at once. Arrays and
/// tables shrink with their contents; what stays of the fullest hour is eight bytes a member, and as
/// much a room as long as any room is left.
///
/// ```
/// use sio_rooms::{Rooms, Selection};
///
/// let mut rooms = Rooms::new().with_max_rooms_per_member(2);
/// let ann = rooms.enter("ann", 1);
/// let bob = rooms.enter("bob", 2);
/// assert!(rooms.join(ann, "tea")?.is_new() && rooms.join(bob, "tea")?.is_new());
/// rooms.join(ann, "coffee")?;
/// assert!(rooms.join(ann, "water").is_err());
/// assert_eq!((rooms.len(), rooms.room_len("tea"), rooms.rooms().len()), (2, 2, 2));
/// assert_eq!(rooms.rooms_of(ann).collect::<Vec<_>>(), ["tea", "coffee"]);
///
/// let tea = Selection::everyone().to("tea");
/// assert_eq!(rooms.select(&tea).count(), 2);
/// rooms.leave(bob, "tea");
/// assert_eq!(rooms.select(&tea).next(), Some((ann, &1)));
/// assert_eq!((rooms.get(ann), rooms.name(ann)), (Some(&1), Some(&"ann")));
///
/// rooms.exit(ann);
/// assert!(rooms.get(ann).is_none() && rooms.member("ann").is_none()); // Its id is nobody's now.
/// # Ok::<(), sio_rooms::JoinError>(())
/// ```
#[derive(Debug)]
pub struct Rooms<N, O> {
    pub(crate) listeners: Vec<Listener<O>>,
    /// In the order of `listeners`.
    pub(crate) members: Vec<Member<N>>,
    pub(crate) member_slots: Slots,
    pub(crate) member_names: Names,

    pub(crate) rooms: Vec<Room>,
    pub(crate) room_slots: Slots,
    pub(crate) room_names: Names,

    pub(crate) seed: Seed,
    pub(crate) max_rooms: usize,
}

impl<N: AsRef<str>, O> Rooms<N, O> {
    /// Rooms that one member may be in at a time, unless told otherwise: far more than an honest
    /// client asks for, and 64 KiB of memberships at worst.
    pub const MAX_ROOMS_PER_MEMBER: usize = 4_096;

    /// An index with a fixed hash seed: for tests, and for names which no client chooses.
    pub fn new() -> Self {
        Self::with_seed(0)
    }

    /// An index whose hash tables nobody outside can aim at, if `seed` came from real entropy.
    pub fn with_seed(seed: u64) -> Self {
        Self {
            listeners: Vec::new(),
            members: Vec::new(),
            member_slots: Slots::new(),
            member_names: Names::new(),
            rooms: Vec::new(),
            room_slots: Slots::new(),
            room_names: Names::new(),
            seed: Seed::new(seed),
            max_rooms: Self::MAX_ROOMS_PER_MEMBER,
        }
    }

    /// Sets how many rooms one member may be in at a time; its own name does not count.
    #[must_use]
    pub fn with_max_rooms_per_member(mut self, limit: usize) -> Self {
        self.max_rooms = limit;
        self
    }

    /// Number of members.
    #[inline]
    pub fn len(&self) -> usize {
        self.listeners.len()
    }

    /// Whether there is no member, and so no room.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.listeners.is_empty()
    }

    /// Number of members whom this name reaches, without a walk.
    #[inline]
    pub fn room_len(&self, room: &str) -> usize {
        let hash = self.hash(room);
        let seats = self
            .find_room(hash, room)
            .map_or(0, |room| room.seats.len());
        seats + usize::from(self.find_member(hash, room).is_some())
    }

    /// Names of the rooms that somebody joined, in no order. Members' own names are not among them.
    pub fn rooms(&self) -> impl ExactSizeIterator<Item = &str> {
        self.rooms.iter().map(|room| &*room.name)
    }

    /// Names of the rooms this member joined, in no order; its own name is not among them. Nothing
    /// for a member that is gone.
    pub fn rooms_of(&self, id: MemberId) -> impl ExactSizeIterator<Item = &str> {
        let member = self
            .member_slots
            .place(id.0)
            .map(|place| &self.members[place]);
        let rooms = member.map_or(&[][..], |member| &member.rooms);
        rooms
            .iter()
            .map(|membership| &*self.room(membership.room).name)
    }

    /// The member of this name; the newest, if several entered under it.
    #[inline]
    pub fn member(&self, name: &str) -> Option<MemberId> {
        let place = self.find_member(self.hash(name), name)?;
        Some(self.listeners[place].id)
    }

    /// The member's outlet, unless it is gone.
    #[inline]
    pub fn get(&self, id: MemberId) -> Option<&O> {
        self.member_slots
            .place(id.0)
            .map(|place| &self.listeners[place].outlet)
    }

    /// The member's own name, unless it is gone.
    #[inline]
    pub fn name(&self, id: MemberId) -> Option<&N> {
        self.member_slots
            .place(id.0)
            .map(|place| &self.members[place].name)
    }

    fn room(&self, slot: u32) -> &Room {
        &self.rooms[self.room_slots.place_of(slot)]
    }

    pub(crate) fn find_room(&self, hash: u64, name: &str) -> Option<&Room> {
        self.room_place(hash, name).map(|place| &self.rooms[place])
    }

    pub(crate) fn room_place(&self, hash: u64, name: &str) -> Option<usize> {
        let place = |slot| self.room_slots.place_of(slot);
        self.room_names
            .find(hash, |slot| &*self.rooms[place(slot)].name == name)
            .map(place)
    }

    pub(crate) fn find_member(&self, hash: u64, name: &str) -> Option<usize> {
        let place = |slot| self.member_slots.place_of(slot);
        self.member_names
            .find(hash, |slot| self.members[place(slot)].name.as_ref() == name)
            .map(place)
    }

    pub(crate) fn hash(&self, name: &str) -> u64 {
        self.seed.hash(name)
    }
}

impl<N: AsRef<str>, O> Default for Rooms<N, O> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{member::Membership, room::Seat};

    #[test]
    fn a_membership_costs_sixteen_bytes_and_an_emit_reads_sixteen_of_a_member() {
        assert_eq!(size_of::<Seat>() + size_of::<Membership>(), 16);
        assert_eq!(size_of::<Listener<std::sync::Arc<()>>>(), 16);
    }
}
