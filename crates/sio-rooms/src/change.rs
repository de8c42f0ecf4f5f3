//! The four commands that change an index: enter, exit, join, leave.

use smallvec::{SmallVec, smallvec};

use crate::error::JoinError;
use crate::index::Rooms;
use crate::member::{Listener, Member, MemberId, Membership};
use crate::room::{Room, Seat};
use crate::slots::{Slots, narrow, shrink};

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
        let name = |slot| members[member_slots.place_of(slot)].name.as_ref();
        let own = members[place].name.as_ref();
        member_names.insert(
            hash,
            id.0.slot,
            |slot| name(slot) == own,
            |slot| seed.hash(name(slot)),
        );
        id
    }

    /// The member leaves all its rooms and the namespace; `None` if it is gone already.
    pub fn exit(&mut self, id: MemberId) -> Option<(N, O)> {
        let place = self.member_slots.place(id.0)?;
        while let Some(membership) = self.members[place].rooms.pop() {
            self.vacate(membership);
        }
        let hash = self.hash(self.members[place].name.as_ref());
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
        let name_of = |slot| members[member_slots.place_of(slot)].name.as_ref();
        member_names.remove(hash, id.0.slot, |slot| seed.hash(name_of(slot)));
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
        let (joined, room, seat) = match found {
            Some(found) => {
                let room = &mut self.rooms[found];
                let seat = room.seat(seat);
                (Joined::Entered, room, seat)
            }
            None => (Joined::Created, self.create(hash, room, seat), 0),
        };
        let membership = Membership {
            room: room.key.slot,
            seat: narrow(seat),
        };
        let rooms = &mut self.members[place].rooms;
        if rooms.len() == rooms.inline_size() {
            // Who is in three is soon in more.
            rooms.reserve(2 * rooms.inline_size() + 2);
        }
        rooms.push(membership);
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
        let name_of = |slot| &*rooms[room_slots.place_of(slot)].name;
        room_names.insert(hash, key.slot, |_| false, |slot| seed.hash(name_of(slot)));
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
        self.room_slots.remove(room.key);
        if let Some(moved) = self.rooms.get(place) {
            self.room_slots.moved(moved.key.slot, narrow(place));
        }
        shrink(&mut self.rooms);
        let Self {
            rooms,
            room_names,
            room_slots,
            seed,
            ..
        } = self;
        let name_of = |slot| &*rooms[room_slots.place_of(slot)].name;
        room_names.remove(seed.hash(&room.name), room.key.slot, |slot| {
            seed.hash(name_of(slot))
        });
        if rooms.is_empty() {
            // No membership is left to hold a slot.
            *room_slots = Slots::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_rooms_holds_at_n_and_frees_with_a_leave() {
        let mut rooms = Rooms::new().with_max_rooms_per_member(2);
        let id = rooms.enter("a", ());
        assert_eq!(rooms.join(id, "1"), Ok(Joined::Created));
        assert_eq!(rooms.join(id, "2"), Ok(Joined::Created));
        assert_eq!(rooms.join(id, "2"), Ok(Joined::Already));
        assert_eq!(
            rooms.join(id, "a"),
            Ok(Joined::Already),
            "its own name is no membership"
        );
        assert_eq!(rooms.join(id, "3"), Err(JoinError::TooMany { limit: 2 }));
        assert_eq!(rooms.rooms().len(), 2, "a refused join creates no room");
        assert!(rooms.leave(id, "1"));
        assert_eq!(rooms.join(id, "3"), Ok(Joined::Created));
    }

    #[test]
    fn a_million_rooms_joined_and_left_leave_nothing_behind() {
        let mut rooms = Rooms::new();
        let id = rooms.enter("a", ());
        for room in 0..1_000_000 {
            let room = room.to_string();
            rooms.join(id, &room).unwrap();
            assert!(rooms.leave(id, &room));
        }
        assert_eq!(rooms.rooms().len(), 0);
        assert!(rooms.rooms.capacity() <= 16 && rooms.room_names.capacity() <= 16);
    }

    #[test]
    fn a_crowd_of_a_few_dozen_that_comes_and_goes_moves_no_memory() {
        let mut rooms = Rooms::new();
        let stays = rooms.enter("stays".to_owned(), ());
        rooms.join(stays, "room").unwrap();
        let mut capacities = Vec::new();
        for _ in 0..3 {
            let ids: Vec<_> = (0..30).map(|n| rooms.enter(n.to_string(), ())).collect();
            for id in &ids {
                rooms.join(*id, "room").unwrap();
                rooms
                    .join(*id, &rooms.name(*id).unwrap().repeat(2))
                    .unwrap();
            }
            for id in ids {
                rooms.exit(id);
            }
            let seats = &rooms.rooms[0].seats;
            let lists = (rooms.listeners.capacity(), rooms.members.capacity());
            let names = rooms.member_names.capacity();
            capacities.push((seats.capacity(), lists, rooms.rooms.capacity(), names));
        }
        assert_eq!(capacities[0], capacities[2]);
        assert_eq!(capacities[0].0, 32);
    }

    #[test]
    fn after_a_crowd_has_left_the_memory_fits_those_who_stay() {
        let mut rooms = Rooms::new();
        let ids: Vec<_> = (0..20_000)
            .map(|n: u32| rooms.enter(n.to_string(), n))
            .collect();
        for id in &ids {
            rooms.join(*id, "crowd").unwrap();
            rooms
                .join(*id, &format!("room of {}", rooms.name(*id).unwrap()))
                .unwrap();
        }
        for id in &ids[10..] {
            rooms.exit(*id).unwrap();
        }
        assert_eq!(
            (rooms.len(), rooms.rooms().len(), rooms.room_len("crowd")),
            (10, 11, 10)
        );
        assert!(rooms.listeners.capacity() <= 64 && rooms.members.capacity() <= 64);
        assert!(rooms.member_names.capacity() <= 64 && rooms.room_names.capacity() <= 64);
        assert!(rooms.rooms.capacity() <= 64);
        assert!(
            rooms
                .find_room(rooms.hash("crowd"), "crowd")
                .unwrap()
                .seats
                .capacity()
                <= 64
        );
    }
}
