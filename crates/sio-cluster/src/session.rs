//! Sessions that any node can take up: what is written of them, and what of a stream they have missed.
//!
//! ```text
//! SET sio:session:<pid> Base64(MessagePack {sid, pid, rooms, data, sio: {node, start, stays, seen}})
//! ```
//!
//! Node writes the first four when a connection has broken. Nodes of ours write them, and a fifth, as
//! soon as there is a session and whenever its rooms change, so that it outlives them.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};
use sio_packet::{Object, Value};
use sio_rooms::Selection;

use crate::{
    At, DecodeError, EntryId,
    fields::{self, Fields},
    msgpack,
};

/// What somebody has seen of a stream: all entries up to one, and of one node, whose own clients do
/// not wait for the stream, some that come later.
///
/// ```text
/// 1526919030474-55                        all up to this entry, as Node writes it
/// 1526919030474-55.6b26819dc9b66100.17    … and the entries of this node up to its seventeenth
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Seen {
    /// The entry.
    pub id: EntryId,
    /// The node, and its number.
    pub own: Option<(String, u64)>,
}

impl Seen {
    /// Whether an entry is among them.
    pub fn covers(&self, at: &At) -> bool {
        let own = self.own.as_ref();
        at.id <= self.id
            || own
                .is_some_and(|(uid, last)| *uid == at.uid && at.seq.is_some_and(|seq| seq <= *last))
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.own {
            None => self.id.fmt(f),
            Some((uid, seq)) => write!(f, "{}.{uid}.{seq}", self.id),
        }
    }
}

impl FromStr for Seen {
    type Err = DecodeError;

    fn from_str(text: &str) -> Result<Self, DecodeError> {
        let wrong = DecodeError::Field { field: "seen" };
        let mut parts = text.splitn(3, '.');
        let id = parts.next().unwrap_or_default().parse()?;
        let own = match (parts.next(), parts.next()) {
            (None, _) => None,
            (Some(uid), Some(seq)) => {
                let seq = seq.parse().map_err(|_| wrong)?;
                Some((uid.to_owned(), seq))
            }
            _ => return Err(wrong),
        };
        Ok(Self { id, own })
    }
}

/// A time in a room.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stay {
    /// The room.
    pub room: String,
    /// What was seen before it began.
    pub from: Seen,
    /// What had been seen when it ended, if it has.
    pub to: Option<Seen>,
}

/// A session, as it is written for other nodes.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Session {
    /// The secret by which its client asks for it.
    pub pid: String,
    /// The id of its socket.
    pub sid: String,
    /// The rooms it is in; its id is among them.
    pub rooms: Vec<String>,
    /// What the application keeps with it, in words that other languages understand.
    pub data: Value,
    /// The node that has it, if that is one of ours.
    pub node: Option<String>,
    /// Its namespace; Node does not say.
    pub namespace: Option<String>,
    /// What had been seen when it began; Node does not say.
    pub start: Option<Seen>,
    /// Since when it has been in its rooms, and rooms that it has left; Node does not say.
    pub stays: Vec<Stay>,
    /// What the client had seen on the node before that one, if this was more than the node had.
    pub seen: Option<Seen>,
}

impl Session {
    /// Reads what was written.
    ///
    /// # Errors
    ///
    /// If it is not a session.
    pub fn decode(text: &[u8]) -> Result<Self, DecodeError> {
        let bytes = STANDARD.decode(text);
        let bytes = bytes.map_err(|_| DecodeError::Field { field: "session" })?;
        let mut fields = Fields::of(msgpack::decode(&bytes)?, "session")?;
        let mut session = Self {
            pid: fields.text("pid")?,
            sid: fields.text("sid")?,
            rooms: fields.names("rooms")?,
            data: fields.take("data").unwrap_or_default(),
            ..Self::default()
        };
        let Some(ours) = fields.take("sio") else {
            return Ok(session);
        };
        let seen = |text: Option<String>| text.map(|text| text.parse()).transpose();
        let mut ours = Fields::of(ours, "sio")?;
        session.node = ours.optional_text("node")?;
        session.namespace = ours.optional_text("nsp")?;
        session.start = seen(ours.optional_text("start")?)?;
        session.seen = seen(ours.optional_text("seen")?)?;
        for stay in ours.list("stays")? {
            let wrong = DecodeError::Field { field: "stays" };
            let Value::Array(parts) = stay else {
                return Err(wrong);
            };
            let mut parts = parts.into_iter();
            let (Some(Value::String(room)), Some(Value::String(from)), to) =
                (parts.next(), parts.next(), parts.next())
            else {
                return Err(wrong);
            };
            let to = match to {
                None | Some(Value::Null) => None,
                Some(Value::String(to)) => Some(to.parse()?),
                Some(_) => return Err(wrong),
            };
            let from = from.parse()?;
            session.stays.push(Stay { room, from, to });
        }
        Ok(session)
    }

    /// Writes it.
    pub fn encode(&self) -> String {
        let mut object = Object::new();
        object.push("sid", &*self.sid);
        object.push("pid", &*self.pid);
        object.push(
            "rooms",
            fields::texts(self.rooms.iter().map(String::as_str)),
        );
        object.push("data", self.data.clone());
        if let Some(node) = &self.node {
            let mut ours = Object::new();
            ours.push("node", &**node);
            if let Some(namespace) = &self.namespace {
                ours.push("nsp", &**namespace);
            }
            if let Some(start) = &self.start {
                ours.push("start", start.to_string());
            }
            if let Some(seen) = &self.seen {
                ours.push("seen", seen.to_string());
            }
            let stay = |stay: &Stay| {
                let to = stay.to.as_ref().map(|to| Value::from(to.to_string()));
                let from = stay.from.to_string();
                Value::Array(vec![
                    (&*stay.room).into(),
                    from.into(),
                    to.unwrap_or_default(),
                ])
            };
            ours.push("stays", self.stays.iter().map(stay).collect::<Vec<_>>());
            object.push("sio", ours);
        }
        let mut bytes = Vec::new();
        msgpack::encode(&object.into(), &mut bytes);
        STANDARD.encode(bytes)
    }

    /// Whether a packet that stands there on the stream was for it.
    pub fn is_reached(&self, to: &Selection, at: &At) -> bool {
        let mut rooms = to.rooms().peekable();
        let reached = rooms.peek().is_none() || rooms.any(|room| self.was_in(room, at));
        reached && !to.exceptions().any(|room| self.was_in(room, at))
    }

    fn was_in(&self, room: &str, at: &At) -> bool {
        if room == self.sid {
            return true;
        }
        if self.node.is_none() {
            return self.rooms.iter().any(|of| of == room);
        }
        let mut stays = self.stays.iter().filter(|stay| stay.room == room);
        stays.any(|stay| !stay.from.covers(at) && stay.to.as_ref().is_none_or(|to| to.covers(at)))
    }

    /// Whether this can be the secret of a session: no node writes one that cannot.
    pub fn is_pid(pid: &str) -> bool {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (8..=64).contains(&pid.len()) && pid.bytes().all(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64, uid: &str, seq: u64) -> At {
        At {
            id: EntryId { millis, number: 0 },
            seq: Some(seq),
            uid: uid.into(),
        }
    }

    fn seen(text: &str) -> Seen {
        text.parse().unwrap()
    }

    #[test]
    fn what_was_seen_is_what_came_before_and_of_one_node_what_it_said_since() {
        let both = seen("5-0.a.7");
        assert_eq!(both.to_string(), "5-0.a.7");
        for (at, covered) in [
            (at(5, "b", 99), true),
            (at(6, "b", 1), false),
            (at(9, "a", 7), true),
            (at(9, "a", 8), false),
        ] {
            assert_eq!(both.covers(&at), covered, "{at:?}");
        }
        assert!(!seen("5-0").covers(&at(6, "a", 1)));
        for wrong in ["", "5", "5-0.a", "5-0.a.", "5-0.a.x", "5-0.a.1.2", ".a.1"] {
            assert!(wrong.parse::<Seen>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_session_is_read_as_it_was_written() {
        let session = Session {
            pid: "secret-0".into(),
            sid: "ann".into(),
            rooms: vec!["ann".into(), "tea".into()],
            data: Object::new().into(),
            node: Some("a".into()),
            namespace: Some("/".into()),
            start: Some(seen("3-0")),
            stays: vec![
                Stay {
                    room: "tea".into(),
                    from: seen("4-0.a.2"),
                    to: None,
                },
                Stay {
                    room: "war".into(),
                    from: seen("3-0"),
                    to: Some(seen("6-0")),
                },
            ],
            seen: Some(seen("8-0.b.1")),
        };
        let read = Session::decode(session.encode().as_bytes()).unwrap();
        assert_eq!(read, session);
        let reached = |to: &str, at: &At| read.is_reached(&Selection::everyone().to(to), at);
        assert!(!reached("tea", &at(4, "b", 1)) && !reached("tea", &at(9, "a", 2)));
        assert!(reached("tea", &at(5, "b", 1)) && reached("tea", &at(9, "a", 3)));
        assert!(reached("war", &at(6, "b", 1)) && !reached("war", &at(7, "b", 1)));
        assert!(reached("ann", &at(1, "b", 1)));
        let except = Selection::everyone().except("tea");
        assert!(
            read.is_reached(&except, &at(4, "b", 1)) && !read.is_reached(&except, &at(5, "b", 1))
        );
    }

    #[test]
    fn nodes_session_is_one_that_has_always_been_in_its_rooms() {
        // As @socket.io/redis-streams-adapter 0.3.1 wrote it.
        let vectors: Vec<serde_json::Value> =
            serde_json::from_str(include_str!("../tests/vectors/streams.json")).unwrap();
        let vector = vectors
            .iter()
            .find(|vector| vector["key"].is_string())
            .unwrap();
        let (key, value) = (
            vector["key"].as_str().unwrap(),
            vector["value"].as_str().unwrap(),
        );
        let session = Session::decode(value.as_bytes()).unwrap();
        assert_eq!(key, format!("sio:session:{}", session.pid));
        assert!(Session::is_pid(&session.pid));
        assert_eq!(session.node, None);
        assert!(session.rooms.contains(&session.sid));
        let lobby = Selection::everyone().to("lobby");
        assert!(session.is_reached(&lobby, &at(1, "b", 1)));
        assert!(!session.is_reached(&Selection::everyone().to("attic"), &at(1, "b", 1)));
        assert_eq!(session.encode(), value);
    }

    #[test]
    fn sec_a_session_of_wrong_types_is_an_error_and_a_secret_is_no_path() {
        for wrong in ["", "*", "wQ==", "gA=="] {
            assert!(Session::decode(wrong.as_bytes()).is_err(), "{wrong}");
        }
        for wrong in [
            "",
            "short",
            "with space",
            "with\r\nbreak",
            "a:b:c:d:e",
            &"x".repeat(65),
        ] {
            assert!(!Session::is_pid(wrong), "{wrong}");
        }
    }
}
