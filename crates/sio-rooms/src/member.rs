//! Members: what an emit reads of them, and apart from it what it does not.

use smallvec::SmallVec;

use crate::slots::Key;

/// A member of a namespace: stays the same while others come and go.
///
/// An id carries a generation. Once its member has left, the id finds nobody, however often the slot
/// behind it is used again. An id means something only to the [`Rooms`](crate::Rooms) that gave it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MemberId(pub(crate) Key);

/// The hot half of a member: all that an emit reads.
#[derive(Debug)]
pub(crate) struct Listener<O> {
    pub(crate) id: MemberId,
    pub(crate) outlet: O,
}

/// The cold half of a member, at the same place as its [`Listener`].
#[derive(Debug)]
pub(crate) struct Member<N> {
    pub(crate) name: N,
    /// A member of one or two rooms, as most are, has no heap for them.
    pub(crate) rooms: SmallVec<[Membership; 2]>,
}

/// One room of a member; the room's seat points back here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Membership {
    /// Slot of the room.
    pub(crate) room: u32,
    /// Index of the member's seat in that room.
    pub(crate) seat: u32,
}
