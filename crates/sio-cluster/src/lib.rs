//! A Socket.IO node among nodes, without I/O: what nodes say to one another.
//!
//! Clusters exist already, and a node that joins one has to speak as the others do. Each format is a
//! pair of pure functions between bytes and one vocabulary, [`Message`]:
//!
//! | | whose | questions and answers |
//! |---|---|---|
//! | [`Classic`] | `@socket.io/redis-adapter` 8, `@socket.io/redis-emitter` 5 | all |
//! | [`Sharded`], [`Entry`] | the sharded adapter, `@socket.io/redis-streams-adapter` 0.3 | all but the list of rooms |
//! | [`Python`] | python-socketio, Flask-SocketIO with a message queue | acks of clients |
//!
//! ```
//! use sio_cluster::{Classic, Emit, Message};
//! use sio_rooms::Selection;
//!
//! let classic = Classic::default();
//! let news = Message::Emit(Emit {
//!     to: Selection::everyone().to("lobby"),
//!     data: vec!["news".into(), 1.into()],
//!     ..Emit::default()
//! });
//! let published = classic.encode("/", "h3Jk9Q", news.clone()).expect("the format has packets");
//! assert_eq!(published.channel, "socket.io#/#lobby#");
//! assert_eq!(classic.decode_packet(&published.body)?.message, news);
//! # Ok::<(), sio_cluster::DecodeError>(())
//! ```
//!
//! What comes from a broker may be anything: whoever can reach it can write to it. A message that
//! does not read is a [`DecodeError`], and the next one is read as if it had not been.

#![forbid(unsafe_code)]

mod adapter;
mod arguments;
mod bus;
mod census;
mod claims;
mod classic;
mod error;
mod fields;
mod format;
mod message;
pub mod msgpack;
mod node;
mod outsider;
mod peers;
mod pending;
mod pickle;
mod python;
mod session;
mod sharded;
mod streams;

pub use adapter::{Entry, Sharded, stream_name};
pub use arguments::event;
pub use bus::{Broker, Bus, BusEvent, RawEntry, Room};
pub use census::{Change, Crowd};
pub use classic::{Asked, Classic};
pub use error::DecodeError;
pub use format::Format;
pub use message::{Answer, Emit, Envelope, Flags, Message, Publish, Question, RemoteSocket};
pub use node::{Action, At, Config, Event, Missing, Node, Past, Reply};
pub use outsider::Outsider;
pub use peers::Door;
pub use pending::Request;
pub use python::{Data, Python};
pub use session::{Seen, Session, Stay};
pub use sharded::{RoomChannels, ShardedPubSub};
pub use streams::{EntryId, Streams};
