//! The channels of `@socket.io/redis-adapter`'s sharded adapter: `SSUBSCRIBE` and `SPUBLISH`.
//!
//! ```text
//! socket.io#/chat#                    everything that has no channel of its own
//! socket.io#/chat#6b26819dc9b66100#   answers to one node
//! socket.io#/chat#lobby#              packets for one room (and for nobody else): RoomChannels
//! ```
//!
//! The last two share one space of names, as they do with Node.

use crate::Message;

/// The sharded adapter of one cluster: what the channels are called, and which rooms have one.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ShardedPubSub {
    /// `channelPrefix`: `socket.io`.
    pub prefix: String,
    /// `subscriptionMode`: dynamic.
    pub rooms: RoomChannels,
}

/// Which rooms have a channel that only nodes with members of the room listen to: `subscriptionMode`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum RoomChannels {
    /// All but sockets' ids, which are told by their length of 20 characters: `dynamic`.
    #[default]
    Dynamic,
    /// All, sockets' ids included: `dynamic-private`.
    DynamicPrivate,
    /// None: `static`.
    Static,
}

/// By this length, Node takes the name of a room for the id of a socket.
const ID_LEN: usize = 20;

impl Default for ShardedPubSub {
    /// With Node's defaults.
    fn default() -> Self {
        Self {
            prefix: "socket.io".into(),
            rooms: RoomChannels::default(),
        }
    }
}

impl ShardedPubSub {
    /// The channel of everybody.
    pub fn common(&self, namespace: &str) -> String {
        format!("{}#{namespace}#", self.prefix)
    }

    /// The channel of answers to one node.
    pub fn own(&self, namespace: &str, uid: &str) -> String {
        format!("{}#{namespace}#{uid}#", self.prefix)
    }

    /// The channel of a room, if it has one.
    pub fn room(&self, namespace: &str, room: &str) -> Option<String> {
        let has_one = match self.rooms {
            // Node counts UTF-16 units.
            RoomChannels::Dynamic => room.encode_utf16().count() != ID_LEN,
            RoomChannels::DynamicPrivate => true,
            RoomChannels::Static => false,
        };
        has_one.then(|| self.own(namespace, room))
    }

    /// The channel on which a message is published.
    pub(crate) fn channel(&self, namespace: &str, message: &Message) -> String {
        // A packet whose acks are wanted goes to all: all of them answer.
        let to = match message {
            Message::Emit(emit) => Some(&emit.to),
            _ => None,
        };
        let mut rooms = to.into_iter().flat_map(|to| to.rooms());
        match (rooms.next(), rooms.next()) {
            (Some(room), None) => self.room(namespace, room),
            _ => None,
        }
        .unwrap_or_else(|| self.common(namespace))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Emit;
    use sio_rooms::Selection;

    fn channel(rooms: RoomChannels, to: Selection) -> String {
        let sharded = ShardedPubSub {
            rooms,
            ..ShardedPubSub::default()
        };
        let emit = Emit {
            to,
            ..Emit::default()
        };
        sharded.channel("/chat", &Message::Emit(emit))
    }

    #[test]
    fn a_packet_for_one_room_has_the_channel_that_the_mode_gives_it() {
        let room = || Selection::everyone().to("lobby").except("x");
        let id = || Selection::everyone().to("ojIckSD2jqNzOqIrAGzL");
        for (rooms, to, expected) in [
            (RoomChannels::Dynamic, room(), "socket.io#/chat#lobby#"),
            (RoomChannels::Dynamic, id(), "socket.io#/chat#"),
            (
                RoomChannels::DynamicPrivate,
                id(),
                "socket.io#/chat#ojIckSD2jqNzOqIrAGzL#",
            ),
            (RoomChannels::Static, room(), "socket.io#/chat#"),
            (RoomChannels::Dynamic, room().to("b"), "socket.io#/chat#"),
            (
                RoomChannels::Dynamic,
                Selection::everyone(),
                "socket.io#/chat#",
            ),
        ] {
            assert_eq!(channel(rooms, to), expected, "{rooms:?}");
        }
    }
}
