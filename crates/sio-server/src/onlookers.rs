//! Those who look on in a namespace: at rooms that come and go, at events that leave.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use foldhash::fast::RandomState;
use serde::Serialize;
use sio_packet::{Args, Arguments, Attachments, Limits, Packet, Value};

use crate::{
    config::SlowClients,
    news::{Hook, News},
    panic::contain,
    place::Place,
    socket::SocketId,
};

/// What happened to a room, see [`Namespace::on_room`](crate::Namespace::on_room).
///
/// The room that each socket's id is to others is not a room here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RoomEvent {
    /// The first member is about to be in it.
    Created {
        /// The room.
        room: Arc<str>,
    },
    /// The last member has left it.
    Deleted {
        /// The room.
        room: Arc<str>,
    },
    /// A socket has joined it.
    Joined {
        /// The room.
        room: Arc<str>,
        /// The socket's id.
        socket: String,
    },
    /// A socket has left it, or has gone.
    Left {
        /// The room.
        room: Arc<str>,
        /// The socket's id.
        socket: String,
    },
}

/// An event on its way to one client or to many, see
/// [`Namespace::on_any_outgoing`](crate::Namespace::on_any_outgoing).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outgoing<'a> {
    /// The namespace.
    pub namespace: &'a str,
    /// The event.
    pub event: &'a str,
    /// The id of the socket it is for; `None` if it was emitted to a [`Target`](crate::Target).
    pub to: Option<&'a str>,
    /// Its arguments.
    pub arguments: &'a [Value],
}

pub(crate) type RoomHook = Hook<RoomEvent>;
pub(crate) type Tap = Arc<dyn Fn(&Outgoing<'_>) + Send + Sync>;

/// What is asked of a namespace when it is opened.
#[derive(Clone, Default)]
pub(crate) struct Onlookers {
    pub(crate) rooms: Option<RoomHook>,
    pub(crate) outgoing: Vec<Tap>,
    /// What is done with clients that do not keep up, if that is not what the server does.
    pub(crate) slow: Option<SlowClients>,
}

impl fmt::Debug for Onlookers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Onlookers").finish_non_exhaustive()
    }
}

/// Shows an event to those who look at all that leave. `to` is the socket, if it is for one.
#[cold]
pub(crate) fn show<T: Serialize + ?Sized>(
    place: &Place,
    to: Option<&str>,
    event: &str,
    payload: &T,
) {
    let (mut text, mut written) = (Vec::new(), Attachments::default());
    // What cannot be written is said by whoever sends it.
    let Ok(()) = sio_packet::write_event(&mut text, "/", None, event, payload, &mut written) else {
        return;
    };
    let mut attachments: Vec<_> = written.iter().map(bytes::Bytes::copy_from_slice).collect();
    let unlimited = Limits {
        max_attachments: usize::MAX,
        max_event_name: usize::MAX,
        ..Limits::default()
    };
    let arguments = std::str::from_utf8(&text).ok().and_then(|text| {
        let packet = Packet::parse(text, &unlimited).ok()?;
        let (_, rest) = packet.event(&unlimited).ok()?;
        let arguments: Arguments = Args::event(rest, &mut attachments).read().ok()?;
        Some(arguments.0)
    });
    let outgoing = Outgoing {
        namespace: place.name(),
        event,
        to,
        arguments: &arguments.unwrap_or_default(),
    };
    for tap in place.taps() {
        contain("a look at an outgoing event", || tap(&outgoing));
    }
}

/// Tells of rooms, over all parts of a namespace, in one order.
pub(crate) struct RoomLog {
    news: News<RoomEvent>,
    /// How many are in each room.
    members: Mutex<HashMap<Arc<str>, usize, RandomState>>,
}

impl RoomLog {
    pub(crate) fn new(hook: RoomHook) -> Self {
        Self {
            news: News::new(hook, "a look at a room"),
            members: Mutex::default(),
        }
    }

    fn members(&self) -> MutexGuard<'_, HashMap<Arc<str>, usize, RandomState>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note_joined(&self, room: &str, socket: &SocketId) {
        let mut members = self.members();
        let room = match members.get_key_value(room) {
            Some((room, _)) => Arc::clone(room),
            None => {
                let room = Arc::<str>::from(room);
                members.insert(Arc::clone(&room), 0);
                let created = RoomEvent::Created {
                    room: Arc::clone(&room),
                };
                self.news.note(created);
                room
            }
        };
        if let Some(members) = members.get_mut(&room) {
            *members += 1;
        }
        let socket = socket.as_ref().to_owned();
        self.news.note(RoomEvent::Joined { room, socket });
    }

    pub(crate) fn note_left(&self, room: &str, socket: &SocketId) {
        let mut members = self.members();
        let Some((room, count)) = members.get_key_value(room) else {
            return;
        };
        let (room, last) = (Arc::clone(room), *count == 1);
        let socket = socket.as_ref().to_owned();
        let left = RoomEvent::Left {
            room: Arc::clone(&room),
            socket,
        };
        self.news.note(left);
        if last {
            members.remove(&room);
            self.news.note(RoomEvent::Deleted { room });
        } else if let Some(count) = members.get_mut(&room) {
            *count -= 1;
        }
    }

    /// Tells what was noted.
    pub(crate) fn tell(&self) {
        self.news.tell();
    }
}
