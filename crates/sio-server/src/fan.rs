//! Broadcasts to many, each kept as one entry instead of a pointer in every outbox.
//!
//! A parcel for a large room is not pushed to its members one by one. Their shard keeps it together
//! with the list of them, and the flusher writes it to each: no member is touched twice, and what
//! several broadcasts said to the same audience leaves in one piece, joined once for all.
//!
//! ```text
//!  queue:  [ audience ──▶ conn conn conn conn … │ parcels a b │ joined ab │ except: conn 2 of a ]
//!                                  ▲ next
//! ```
//!
//! An entry means what a pointer in each outbox would mean, from the moment it is made:
//!
//! - **Membership.** Whom it is for is settled when it is made. The list is made anew when somebody has
//!   come or gone; who leaves afterwards still hears it, who comes afterwards does not.
//! - **Order.** Before anything else is queued for a connection of the shard, or said in its turn, or
//!   asked of its queue, or it is closed, the entries are put into the outboxes
//!   ([`Shard::settle`](crate::shard::Shard::settle)).
//! - **One write.** Entries wait side by side for one audience only. A broadcast to another one finds
//!   them put into the outboxes, so a connection still gets all of a turn in one write.
//! - **Bounds.** [`MOST`] bytes wait here, or one parcel. More goes to the outboxes, which have bounds
//!   of their own.

use std::{collections::VecDeque, sync::Arc};

use eio_transport::Parcel;
use sio_rooms::Selection;
use smallvec::SmallVec;

use crate::conn::Conn;

/// Fewer are reached one by one.
pub(crate) const MANY: usize = 32;

/// Bytes that wait here at most, if they are more than one parcel.
const MOST: usize = 256 << 10;

/// Parcels are joined up to so many bytes.
const JOIN: usize = 64 << 10;

/// Whom the last broadcast to many was for, as long as nobody has come or gone.
pub(crate) struct Audience {
    /// The room's name; none for everyone.
    room: Option<Box<str>>,
    /// Listed when the same is asked for again: a list that is used once costs more than it saves.
    pub(crate) conns: Option<Arc<[Arc<Conn>]>>,
}

impl Audience {
    /// Whom `who` is for without its exceptions, to be listed if they are asked for again. None for
    /// several rooms.
    pub(crate) fn of(who: &Selection) -> Option<Self> {
        let mut rooms = who.rooms();
        let room = rooms.next().map(Into::into);
        let conns = None;
        rooms.next().is_none().then_some(Self { room, conns })
    }

    /// Whether `who` is for the same, but for its exceptions.
    pub(crate) fn is_of(&self, who: &Selection) -> bool {
        let mut rooms = who.rooms();
        self.room.as_deref() == rooms.next() && rooms.next().is_none()
    }

    /// Whether whoever is in `room` is in it.
    pub(crate) fn is_room(&self, room: &str) -> bool {
        self.room.as_deref() == Some(room)
    }

    pub(crate) fn selection(&self) -> Selection {
        let everyone = Selection::everyone();
        match &self.room {
            None => everyone,
            Some(room) => everyone.to(&**room),
        }
    }
}

/// Who is to hear one broadcast.
#[derive(Clone, Copy)]
pub(crate) struct Hearers<'a> {
    pub(crate) conns: &'a Arc<[Arc<Conn>]>,
    /// The place of the one who is not.
    pub(crate) except: Option<usize>,
}

impl Hearers<'_> {
    pub(crate) fn len(&self) -> usize {
        self.conns.len() - usize::from(self.except.is_some())
    }

    /// The address of the connection that is spared.
    pub(crate) fn spared(&self) -> Option<usize> {
        self.except.map(|place| self.conns[place].address())
    }
}

/// The broadcasts that wait on a shard, the oldest first; all for one audience.
#[derive(Default)]
pub(crate) struct Fans {
    queue: VecDeque<Fan>,
    bytes: usize,
    /// What is done with. A list may own the last pointer to a connection: it is dropped by the
    /// flusher, which holds no lock then.
    spent: Vec<Fan>,
}

/// Broadcasts that leave in one piece.
pub(crate) struct Fan {
    audience: Arc<[Arc<Conn>]>,
    parcels: SmallVec<[Arc<Parcel>; 1]>,
    /// The frames of all of them, if they are several.
    joined: Vec<u8>,
    /// Who is not to hear which: the place in the audience, and that of the parcel. Sorted.
    except: SmallVec<[(usize, usize); 1]>,
    /// Those before have been written to.
    next: usize,
}

impl Fans {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether a broadcast to `hearers` may wait beside those that do.
    pub(crate) fn takes(&self, hearers: Hearers<'_>, parcel: &Parcel) -> bool {
        self.queue.back().is_none_or(|last| {
            Arc::ptr_eq(&last.audience, hearers.conns) && self.bytes + parcel.len() <= MOST
        })
    }

    /// Keeps a broadcast that is [taken](Self::takes).
    pub(crate) fn push(&mut self, hearers: Hearers<'_>, parcel: &Arc<Parcel>) {
        let Hearers { conns, except } = hearers;
        self.bytes += parcel.len();
        let joins = |last: &&mut Fan| last.next == 0 && last.len() + parcel.len() <= JOIN;
        if let Some(last) = self.queue.back_mut().filter(joins) {
            return last.join(except, parcel);
        }
        self.queue.push_back(Fan {
            audience: Arc::clone(conns),
            parcels: SmallVec::from_buf([Arc::clone(parcel)]),
            joined: Vec::new(),
            except: except.map(|place| (place, 0)).into_iter().collect(),
            next: 0,
        });
    }

    /// Writes to the next connections, `count` at most. Returns how many they were.
    pub(crate) fn write(&mut self, count: usize) -> usize {
        let Some(fan) = self.queue.front_mut() else {
            return 0;
        };
        let written = fan.write(count);
        if fan.next == fan.audience.len() {
            self.bytes -= fan.len();
            self.spent.extend(self.queue.pop_front());
        }
        written
    }

    /// Takes out all that waits, the oldest first.
    pub(crate) fn drain(&mut self) -> VecDeque<Fan> {
        self.bytes = 0;
        std::mem::take(&mut self.queue)
    }

    /// Keeps what is done with until [`swap_spent`](Self::swap_spent).
    pub(crate) fn spend(&mut self, fans: VecDeque<Fan>) {
        self.spent.extend(fans);
    }

    /// Hands out what is done with, for an empty list: to be dropped without a lock.
    pub(crate) fn swap_spent(&mut self, spent: &mut Vec<Fan>) {
        std::mem::swap(&mut self.spent, spent);
    }
}

impl Fan {
    /// The bytes for one connection.
    fn len(&self) -> usize {
        match &*self.parcels {
            [one] => one.len(),
            _ => self.joined.len(),
        }
    }

    fn join(&mut self, except: Option<usize>, parcel: &Arc<Parcel>) {
        if let [first] = &*self.parcels {
            self.joined.extend_from_slice(first.wire());
        }
        self.joined.extend_from_slice(parcel.wire());
        if let Some(place) = except {
            let entry = (place, self.parcels.len());
            let at = self.except.partition_point(|other| *other < entry);
            self.except.insert(at, entry);
        }
        self.parcels.push(Arc::clone(parcel));
    }

    fn write(&mut self, count: usize) -> usize {
        let (begin, end) = (self.next, self.audience.len().min(self.next + count));
        let wire = match &*self.parcels {
            [one] => one.wire(),
            _ => &self.joined,
        };
        let mut from = begin;
        let first = self.except.partition_point(|(place, _)| *place < begin);
        for of_one in self.except[first..].chunk_by(|one, other| one.0 == other.0) {
            let place = of_one[0].0;
            if place >= end {
                break;
            }
            for conn in &self.audience[from..place] {
                conn.hear(wire, &self.parcels);
            }
            let heard = self.heard(place).cloned();
            self.audience[place].hear_some(heard);
            from = place + 1;
        }
        for conn in &self.audience[from..end] {
            conn.hear(wire, &self.parcels);
        }
        self.next = end;
        end - begin
    }

    /// What the connection at this place is to hear.
    fn heard(&self, place: usize) -> impl Iterator<Item = &Arc<Parcel>> {
        let parcels = self.parcels.iter().enumerate();
        parcels
            .filter(move |(index, _)| self.except.binary_search(&(place, *index)).is_err())
            .map(|(_, parcel)| parcel)
    }

    /// Each connection that has not been written to, with each parcel that it is to hear.
    pub(crate) fn rest(&self) -> impl Iterator<Item = (&Arc<Conn>, &Arc<Parcel>)> {
        (self.next..self.audience.len()).flat_map(|place| {
            let conn = &self.audience[place];
            self.heard(place).map(move |parcel| (conn, parcel))
        })
    }
}
