//! Who is in which room, and who hears an emit: an index without I/O or locks.
//!
//! A Socket.IO namespace has *members* (its sockets) and *rooms*: named groups which members join
//! and leave, [as the documentation of Socket.IO describes them][rooms]. [`Rooms`] keeps both and
//! answers one question fast: whom does a [`Selection`] reach? What stands behind a member is the
//! caller's: an *outlet*, commonly an `Arc` of the connection.
//!
//! ```
//! use sio_rooms::{Rooms, Selection};
//!
//! let mut rooms = Rooms::new();
//! let ann = rooms.enter("ann", "outlet of ann");
//! let bob = rooms.enter("bob", "outlet of bob");
//! rooms.join(ann, "tea")?;
//! rooms.join(bob, "tea")?;
//!
//! // What `socket.to("tea").emit(..)` reaches: the room without the sender.
//! let mut heard = Vec::new();
//! rooms.for_each(&Selection::everyone().to("tea").except("ann"), |_, outlet| heard.push(*outlet));
//! assert_eq!(heard, ["outlet of bob"]);
//! # Ok::<(), sio_rooms::JoinError>(())
//! ```
//!
//! # Names
//!
//! A member's own name (its socket id) is a room that holds only this member, as in every
//! Socket.IO server, but it is a lookup and not an entry: a member that joins nothing costs nothing
//! here. Wherever a selection takes a name, that name means the room so called *and* the member so
//! called.
//!
//! # Layout
//!
//! ```text
//! listeners [(id, outlet) | (id, outlet) | …]   dense: everyone is a walk over one array
//! members   [(name, memberships)         | …]   the same order, but cold: an emit never reads it
//! rooms     [(name, seats)               | …]   dense; seat = (place of its member, back reference)
//! ```
//!
//! A membership is 16 bytes: a seat in the room (place of the member, index of the membership) and a
//! membership in the member (room, index of the seat). Each knows where the other is, so leaving is a
//! swap-remove on both sides and never a search. Whoever exits is replaced by the last member, whose
//! seats are told. Ids of members are stable and carry a generation: a stale [`MemberId`] finds nobody.
//!
//! # What is not here
//!
//! No lock, no bytes, no task, no clock. A shard can own a [`Rooms`], a lock can stand around it, a
//! test can drive it. [`Acks`] is the other table that every socket needs, with time as an argument;
//! [`Recovery`] remembers rooms and packets for those whose connection broke.
//!
//! [rooms]: https://socket.io/docs/v4/rooms/

mod acks;
mod change;
mod error;
mod history;
mod index;
mod member;
mod names;
mod recovery;
mod room;
mod select;
mod selection;
mod slots;

pub use acks::Acks;
pub use change::Joined;
pub use error::{Full, JoinError};
pub use index::Rooms;
pub use member::MemberId;
pub use recovery::{Recovery, RecoveryError, RecoveryLimits, Restored};
pub use selection::Selection;
