//! Those who look on in a namespace: at rooms that come and go, at events that leave.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use foldhash::fast::RandomState;
use serde::Serialize;
use sio_packet::{Args, Arguments, Attachments, Limits, Packet, Value};

use crate::{config::SlowClients, panic::contain, place::Place, socket::SocketId};

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

pub(crate) type RoomHook = Arc<dyn Fn(&RoomEvent) + Send + Sync>;
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
///
/// What happens is noted while the part is locked in which it happens, so that notes stand in the
/// order of the changes; it is told later, outside all locks, by one at a time.
pub(crate) struct RoomLog {
    hook: RoomHook,
    state: Mutex<LogState>,
}

#[derive(Default)]
struct LogState {
    members: HashMap<Arc<str>, usize, RandomState>,
    untold: VecDeque<RoomEvent>,
    telling: bool,
}

impl RoomLog {
    pub(crate) fn new(hook: RoomHook) -> Self {
        Self {
            hook,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, LogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note_joined(&self, room: &str, socket: &SocketId) {
        let mut state = self.lock();
        let room = match state.members.get_key_value(room) {
            Some((room, _)) => Arc::clone(room),
            None => {
                let room = Arc::<str>::from(room);
                state.members.insert(Arc::clone(&room), 0);
                let created = RoomEvent::Created {
                    room: Arc::clone(&room),
                };
                state.untold.push_back(created);
                room
            }
        };
        if let Some(members) = state.members.get_mut(&room) {
            *members += 1;
        }
        let socket = socket.as_ref().to_owned();
        state.untold.push_back(RoomEvent::Joined { room, socket });
    }

    pub(crate) fn note_left(&self, room: &str, socket: &SocketId) {
        let mut state = self.lock();
        let Some((room, members)) = state.members.get_key_value(room) else {
            return;
        };
        let (room, last) = (Arc::clone(room), *members == 1);
        let socket = socket.as_ref().to_owned();
        let left = RoomEvent::Left {
            room: Arc::clone(&room),
            socket,
        };
        state.untold.push_back(left);
        if last {
            state.members.remove(&room);
            state.untold.push_back(RoomEvent::Deleted { room });
        } else if let Some(members) = state.members.get_mut(&room) {
            *members -= 1;
        }
    }

    /// Tells what was noted, unless somebody else is at it, who will then tell this, too.
    pub(crate) fn tell(&self) {
        let mut state = self.lock();
        if state.telling {
            return;
        }
        state.telling = true;
        while let Some(event) = state.untold.pop_front() {
            drop(state);
            contain("a look at a room", || (self.hook)(&event));
            state = self.lock();
        }
        state.telling = false;
    }
}
