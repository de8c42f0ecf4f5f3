//! Whom an emit is for, and the emit itself.

use std::sync::Arc;

use serde::Serialize;
use sio_rooms::Selection;

use crate::{conn::Mode, event::EventName, frames, place::Place, socket};

/// What became of an emit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Sockets that the packet was queued for. Not what they received: only an ack tells that.
    pub reached: usize,
}

/// Some of the sockets of a namespace, chosen by rooms and ids.
///
/// Immutable: each method returns a narrower or wider target, so one may be kept and used again.
///
/// ```
/// # fn f(io: sio_server::Io) {
/// let lobby = io.to("lobby");
/// lobby.emit("news", "the doors are open");
/// lobby.clone().except("staff").emit("news", "please wait");
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a target does nothing until something is emitted to it"]
pub struct Target {
    place: Option<Arc<Place>>,
    selection: Selection,
    mode: Mode,
}

impl Target {
    pub(crate) fn new(place: Arc<Place>, selection: Selection) -> Self {
        Self {
            place: Some(place),
            selection,
            mode: Mode::Reliable,
        }
    }

    /// A target in a namespace that nobody is in.
    pub(crate) fn nobody() -> Self {
        Self {
            place: None,
            selection: Selection::everyone(),
            mode: Mode::Reliable,
        }
    }

    /// Adds a room, or several, or a socket by its id. A socket in several of them is reached once.
    pub fn to(mut self, rooms: impl RoomNames) -> Self {
        rooms.each(&mut |room| self.selection = std::mem::take(&mut self.selection).to(room));
        self
    }

    /// Leaves out the members of a room, or of several, or a socket by its id.
    pub fn except(mut self, rooms: impl RoomNames) -> Self {
        rooms.each(&mut |room| self.selection = std::mem::take(&mut self.selection).except(room));
        self
    }

    /// From now on, what cannot be sent to a client at once is dropped for that client.
    pub fn volatile(mut self) -> Self {
        self.mode = Mode::Volatile;
        self
    }

    /// Sends an event to everybody chosen. Never waits; the packet is encoded once.
    ///
    /// A payload that cannot be written reaches nobody and is logged.
    pub fn emit<T: Serialize + ?Sized, A>(&self, event: impl EventName<T, A>, payload: &T) -> Sent {
        let Some(place) = &self.place else {
            return Sent { reached: 0 };
        };
        let event = event.event_name();
        let sent = place.emit(&self.selection, self.mode, |out, attachments| {
            frames::event(out, attachments, place.name(), None, event, payload)
        });
        match sent {
            Ok(reached) => Sent { reached },
            Err(error) => {
                tracing::error!(event, %error, "a payload could not be written");
                Sent { reached: 0 }
            }
        }
    }

    /// The ids of the sockets chosen.
    pub fn ids(&self) -> Vec<String> {
        self.sockets()
            .iter()
            .map(|socket| socket.core().id.as_ref().to_owned())
            .collect()
    }

    /// Makes the sockets chosen join a room, or several.
    pub fn join(&self, rooms: impl RoomNames) {
        for socket in self.sockets() {
            rooms.each(&mut |room| {
                socket.core().join(room);
            });
        }
    }

    /// Makes the sockets chosen leave a room, or several.
    pub fn leave(&self, rooms: impl RoomNames) {
        for socket in self.sockets() {
            rooms.each(&mut |room| socket.core().leave_room(room));
        }
    }

    /// Puts the sockets chosen out of the namespace.
    pub fn disconnect(&self) {
        self.sockets().iter().for_each(socket::remove);
    }

    /// Closes the connections of the sockets chosen, with all their namespaces.
    pub fn disconnect_connections(&self) {
        for socket in self.sockets() {
            socket.core().conn.command(crate::conn::Command::Disconnect);
        }
    }

    fn sockets(&self) -> Vec<Arc<dyn socket::AnySocket>> {
        self.place
            .as_ref()
            .map_or_else(Vec::new, |place| place.select(&self.selection))
    }
}

/// One room or several: a string, or a slice, array or vector of strings.
pub trait RoomNames {
    #[doc(hidden)]
    fn each(&self, f: &mut dyn FnMut(&str));
}

impl RoomNames for &str {
    fn each(&self, f: &mut dyn FnMut(&str)) {
        f(self);
    }
}

impl RoomNames for String {
    fn each(&self, f: &mut dyn FnMut(&str)) {
        f(self);
    }
}

impl RoomNames for &String {
    fn each(&self, f: &mut dyn FnMut(&str)) {
        f(self);
    }
}

impl<T: AsRef<str>, const N: usize> RoomNames for [T; N] {
    fn each(&self, f: &mut dyn FnMut(&str)) {
        self.iter().for_each(|room| f(room.as_ref()));
    }
}

impl<T: AsRef<str>> RoomNames for &[T] {
    fn each(&self, f: &mut dyn FnMut(&str)) {
        self.iter().for_each(|room| f(room.as_ref()));
    }
}

impl<T: AsRef<str>> RoomNames for Vec<T> {
    fn each(&self, f: &mut dyn FnMut(&str)) {
        self.iter().for_each(|room| f(room.as_ref()));
    }
}

impl<T: AsRef<str>> RoomNames for &Vec<T> {
    fn each(&self, f: &mut dyn FnMut(&str)) {
        self.iter().for_each(|room| f(room.as_ref()));
    }
}
