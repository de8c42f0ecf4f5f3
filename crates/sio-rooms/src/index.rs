//! [`Rooms`]: members, rooms, and which of the first are in which of the second.

use std::hash::Hasher as _;

use foldhash::{SharedSeed, fast::FoldHasher};
use hashbrown::{HashTable, hash_table::Entry};
use smallvec::{SmallVec, smallvec};

use crate::error::JoinError;
use crate::member::{Listener, Member, MemberId, Membership};
use crate::room::{Room, Seat};
use crate::select::{Select, Span, Spans, alone};
use crate::selection::Selection;
use crate::slots::{Slots, narrow};

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
#[derive(Debug)]
pub struct Rooms<N, O> {
    listeners: Vec<Listener<O>>,
    /// In the order of `listeners`.
    members: Vec<Member<N>>,
    member_slots: Slots,
    /// Slots of members by name.
    member_names: HashTable<u32>,

    rooms: Vec<Room>,
    room_slots: Slots,
    /// Slots of rooms by name.
    room_names: HashTable<u32>,

    seed: SharedSeed,
    max_rooms: usize,
}

/// What a successful [`Rooms::join`] changed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Joined {
    /// Nothing: the member was in the room before. So is each in the room of its own name.
    Already,
    /// The room did not exist; the member is the only one in it.
    Created,
    /// The member is one of several in the room now.
    Entered,
}

impl Joined {
    /// Whether the member was not in the room before.
    #[inline]
    pub fn is_new(self) -> bool {
        self != Self::Already
    }
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
            member_names: HashTable::new(),
            rooms: Vec::new(),
            room_slots: Slots::new(),
            room_names: HashTable::new(),
            seed: SharedSeed::from_u64(seed),
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

    /// Those whom `who` reaches, each once, in no order.
    ///
    /// Everyone, one room, one member, and everyone or one room except one member are plain walks.
    /// Other selections allocate one bit for each member of the index, to see nobody twice.
    pub fn select(&self, who: &Selection) -> impl Iterator<Item = (MemberId, &O)> {
        let mut reached = Spans::new();
        let mut names = 0;
        for name in who.rooms() {
            let before = reached.len();
            self.resolve(name, &mut reached);
            names += usize::from(reached.len() > before);
        }
        let mut except = Spans::new();
        for name in who.exceptions() {
            self.resolve(name, &mut except);
        }
        if who.rooms().len() == 0 {
            let len = narrow(self.len());
            if let Some(place) = alone(&except) {
                // Everyone except one is everyone before and everyone behind.
                reached.extend([Span::Places(0..place), Span::Places(place + 1..len)]);
                except.clear();
            } else {
                reached.push(Span::Places(0..len));
            }
        }
        // A room and the member of the same name have nobody in common, so one name needs no memory
        // of whom it reached.
        Select::new(&self.listeners, reached, except, names > 1)
    }

    /// Calls `f` for those whom [`select`](Self::select) yields: the loop of an emit.
    #[inline]
    pub fn for_each(&self, who: &Selection, mut f: impl FnMut(MemberId, &O)) {
        self.select(who).for_each(|(id, outlet)| f(id, outlet));
    }

    /// A new member, in no room but that of its own name.
    ///
    /// Names should be unique, as socket ids are. If two members share one, the name means the newer.
    ///
    /// # Panics
    ///
    /// At 2³² − 1 members.
    pub fn enter(&mut self, name: N, outlet: O) -> MemberId {
        let hash = self.hash(name.as_ref());
        let place = self.listeners.len();
        let id = MemberId(self.member_slots.insert(narrow(place)));
        self.listeners.push(Listener { id, outlet });
        self.members.push(Member {
            name,
            rooms: SmallVec::new(),
        });

        let Self {
            member_names,
            members,
            member_slots,
            seed,
            ..
        } = self;
        let name_of = |slot: u32| members[member_slots.place_of(slot)].name.as_ref();
        let name = members[place].name.as_ref();
        match member_names.entry(
            hash,
            |&slot| name_of(slot) == name,
            |&slot| hash_of(seed, name_of(slot)),
        ) {
            Entry::Occupied(mut entry) => *entry.get_mut() = id.0.slot,
            Entry::Vacant(entry) => drop(entry.insert(id.0.slot)),
        }
        id
    }

    /// The member leaves all its rooms and the namespace; `None` if it is gone already.
    pub fn exit(&mut self, id: MemberId) -> Option<(N, O)> {
        let place = self.member_slots.place(id.0)?;
        while let Some(membership) = self.members[place].rooms.pop() {
            self.vacate(membership);
        }
        let hash = self.hash(self.members[place].name.as_ref());
        // Not found if a newer member has taken the name over.
        if let Ok(entry) = self
            .member_names
            .find_entry(hash, |&slot| slot == id.0.slot)
        {
            entry.remove();
        }
        self.member_slots.remove(id.0);
        let Member { name, .. } = self.members.swap_remove(place);
        let Listener { outlet, .. } = self.listeners.swap_remove(place);
        if let Some(moved) = self.listeners.get(place) {
            self.member_slots.moved(moved.id.0.slot, narrow(place));
            for membership in &self.members[place].rooms {
                let room = &mut self.rooms[self.room_slots.place_of(membership.room)];
                room.seats[membership.seat as usize].place = narrow(place);
            }
        }
        shrink(&mut self.listeners);
        shrink(&mut self.members);
        let Self {
            member_names,
            members,
            member_slots,
            seed,
            ..
        } = self;
        shrink_table(member_names, |&slot| {
            hash_of(seed, members[member_slots.place_of(slot)].name.as_ref())
        });
        Some((name, outlet))
    }

    /// The member enters the room, which comes into being with its first member.
    ///
    /// # Errors
    ///
    /// [`JoinError::TooMany`] at the limit of rooms for one member, [`JoinError::Gone`] if the member
    /// has left; nothing has changed then.
    pub fn join(&mut self, id: MemberId, room: &str) -> Result<Joined, JoinError> {
        let place = self.member_slots.place(id.0).ok_or(JoinError::Gone)?;
        let member = &self.members[place];
        if member.name.as_ref() == room {
            return Ok(Joined::Already);
        }
        let hash = self.hash(room);
        let found = self.room_place(hash, room);
        if found.is_some_and(|found| self.membership(place, found).is_some()) {
            return Ok(Joined::Already);
        }
        let membership = member.rooms.len();
        if membership >= self.max_rooms {
            return Err(JoinError::TooMany {
                limit: self.max_rooms,
            });
        }
        let seat = Seat {
            place: narrow(place),
            membership: narrow(membership),
        };
        let (joined, room) = match found {
            Some(found) => {
                let room = &mut self.rooms[found];
                room.seats.push(seat);
                (Joined::Entered, room)
            }
            None => (Joined::Created, self.create(hash, room, seat)),
        };
        let membership = Membership {
            room: room.key.slot,
            seat: narrow(room.seats.len() - 1),
        };
        self.members[place].rooms.push(membership);
        Ok(joined)
    }

    /// The member leaves the room, which ends with its last member. `false` if it was not in it, or
    /// is gone. Nobody leaves the room of their own name.
    pub fn leave(&mut self, id: MemberId, room: &str) -> bool {
        let Some(place) = self.member_slots.place(id.0) else {
            return false;
        };
        let Some(found) = self.room_place(self.hash(room), room) else {
            return false;
        };
        let Some(index) = self.membership(place, found) else {
            return false;
        };
        let rooms = &mut self.members[place].rooms;
        let membership = rooms.swap_remove(index);
        if let Some(moved) = rooms.get(index) {
            let room = &mut self.rooms[self.room_slots.place_of(moved.room)];
            room.seats[moved.seat as usize].membership = narrow(index);
        }
        self.vacate(membership);
        true
    }

    /// Adds those whom a name means: a room, a member, both or none.
    fn resolve<'a>(&'a self, name: &str, spans: &mut Spans<'a>) {
        let hash = self.hash(name);
        spans.extend(
            self.find_room(hash, name)
                .map(|room| Span::Seats(room.seats.iter())),
        );
        if let Some(place) = self.find_member(hash, name).map(narrow) {
            spans.push(Span::Places(place..place + 1));
        }
    }

    /// The index of the room at `room` among the memberships of the member at `place`: a search
    /// through whichever list is shorter.
    fn membership(&self, place: usize, room: usize) -> Option<usize> {
        let (member, room) = (&self.members[place], &self.rooms[room]);
        if member.rooms.len() <= room.seats.len() {
            member
                .rooms
                .iter()
                .position(|membership| membership.room == room.key.slot)
        } else {
            let seat = room
                .seats
                .iter()
                .find(|seat| seat.place as usize == place)?;
            Some(seat.membership as usize)
        }
    }

    fn create(&mut self, hash: u64, name: &str, seat: Seat) -> &mut Room {
        let place = self.rooms.len();
        let key = self.room_slots.insert(narrow(place));
        self.rooms.push(Room {
            name: name.into(),
            key,
            seats: smallvec![seat],
        });
        let Self {
            rooms,
            room_names,
            room_slots,
            seed,
            ..
        } = self;
        room_names.insert_unique(hash, key.slot, |&slot| {
            hash_of(seed, &rooms[room_slots.place_of(slot)].name)
        });
        &mut self.rooms[place]
    }

    /// Empties the seat of a membership that its member has let go of.
    fn vacate(&mut self, membership: Membership) {
        let place = self.room_slots.place_of(membership.room);
        let room = &mut self.rooms[place];
        if let Some(moved) = room.vacate(membership.seat as usize) {
            let member = &mut self.members[moved.place as usize];
            member.rooms[moved.membership as usize].seat = membership.seat;
        }
        if self.rooms[place].seats.is_empty() {
            self.destroy(place);
        }
    }

    fn destroy(&mut self, place: usize) {
        let room = self.rooms.swap_remove(place);
        let hash = self.hash(&room.name);
        if let Ok(entry) = self
            .room_names
            .find_entry(hash, |&slot| slot == room.key.slot)
        {
            entry.remove();
        }
        self.room_slots.remove(room.key);
        if let Some(moved) = self.rooms.get(place) {
            self.room_slots.moved(moved.key.slot, narrow(place));
        }
        if self.rooms.is_empty() {
            // No membership is left to hold a slot.
            self.room_slots = Slots::new();
        }
        shrink(&mut self.rooms);
        let Self {
            rooms,
            room_names,
            room_slots,
            seed,
            ..
        } = self;
        shrink_table(room_names, |&slot| {
            hash_of(seed, &rooms[room_slots.place_of(slot)].name)
        });
    }

    fn room(&self, slot: u32) -> &Room {
        &self.rooms[self.room_slots.place_of(slot)]
    }

    fn find_room(&self, hash: u64, name: &str) -> Option<&Room> {
        self.room_place(hash, name).map(|place| &self.rooms[place])
    }

    fn room_place(&self, hash: u64, name: &str) -> Option<usize> {
        let slot = self
            .room_names
            .find(hash, |&slot| &*self.room(slot).name == name)?;
        Some(self.room_slots.place_of(*slot))
    }

    fn find_member(&self, hash: u64, name: &str) -> Option<usize> {
        let place_of = |slot: &u32| self.member_slots.place_of(*slot);
        self.member_names
            .find(hash, |slot| {
                self.members[place_of(slot)].name.as_ref() == name
            })
            .map(place_of)
    }

    fn hash(&self, name: &str) -> u64 {
        hash_of(&self.seed, name)
    }
}

impl<N: AsRef<str>, O> Default for Rooms<N, O> {
    fn default() -> Self {
        Self::new()
    }
}

/// The bytes alone: a name is the whole key, so no mark of its end is mixed in.
fn hash_of(seed: &SharedSeed, name: &str) -> u64 {
    let mut hasher = FoldHasher::with_seed(0, seed);
    hasher.write(name.as_bytes());
    hasher.finish()
}

/// Gives memory back when three quarters of it are free, keeping as much again as is used: whoever
/// comes and goes at the edge causes no allocation.
fn shrink<T>(values: &mut Vec<T>) {
    if values.len() < values.capacity() / 4 {
        values.shrink_to(values.len() * 2);
    }
}

/// [`shrink`] for a table.
fn shrink_table<T>(table: &mut HashTable<T>, hash: impl Fn(&T) -> u64) {
    if table.len() < table.capacity() / 4 {
        table.shrink_to(table.len() * 2, hash);
    }
}
