//! The messages of Node's `ClusterAdapter`: what the sharded adapter, Redis Streams, PostgreSQL and
//! others carry.
//!
//! ```json
//! {"type": 3, "data": {"packet": {"type": 2, "data": ["news", 1]}, "opts": {"rooms": ["lobby"], "except": [],
//!  "flags": {}}}, "uid": "6b26819dc9b66100", "nsp": "/"}
//! ```
//!
//! JSON, or MessagePack of the same if there are bytes in it ([`Sharded`]). On a stream the fields stand
//! apart, and `data` is JSON, or MessagePack in Base64 ([`Entry`]).

use base64::{Engine, engine::general_purpose::STANDARD};
use sio_packet::{Object, Value};

use crate::{
    DecodeError,
    fields::{self, Fields},
    message::{Answer, Emit, Envelope, Message, Question},
    msgpack,
};

/// `MessageType` of Node's adapter.
mod kind {
    pub(super) const INITIAL_HEARTBEAT: u64 = 1;
    pub(super) const HEARTBEAT: u64 = 2;
    pub(super) const BROADCAST: u64 = 3;
    pub(super) const SOCKETS_JOIN: u64 = 4;
    pub(super) const SOCKETS_LEAVE: u64 = 5;
    pub(super) const DISCONNECT_SOCKETS: u64 = 6;
    pub(super) const FETCH_SOCKETS: u64 = 7;
    pub(super) const FETCH_SOCKETS_RESPONSE: u64 = 8;
    pub(super) const SERVER_SIDE_EMIT: u64 = 9;
    pub(super) const SERVER_SIDE_EMIT_RESPONSE: u64 = 10;
    pub(super) const BROADCAST_CLIENT_COUNT: u64 = 11;
    pub(super) const BROADCAST_ACK: u64 = 12;
    pub(super) const ADAPTER_CLOSE: u64 = 13;
}

/// `PacketType.EVENT` of Node's parser.
const EVENT: u64 = 2;

/// The bytes of `@socket.io/redis-adapter`'s sharded adapter, and of what Redis Streams' adapter
/// publishes beside its stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Sharded {
    /// MessagePack where there are bytes, else JSON: the sharded adapter.
    JsonOrMsgpack,
    /// MessagePack always: questions and answers beside a stream.
    Msgpack,
}

impl Sharded {
    /// Reads a message, in either form.
    ///
    /// # Errors
    ///
    /// If it is not a message of a cluster adapter.
    pub fn decode(self, body: &[u8]) -> Result<Envelope, DecodeError> {
        let mut fields = Fields::of(fields::decode(body)?, "message")?;
        let from = fields.text("uid")?;
        let namespace = fields.text("nsp")?;
        let kind = fields.whole("type")?;
        let data = fields.take("data");
        envelope(from, namespace, kind, data)
    }

    /// Writes a message; `None` for what cluster adapters have no word for.
    pub fn encode(self, namespace: &str, uid: &str, message: Message) -> Option<Vec<u8>> {
        let (kind, data) = parts(message)?;
        let mut object = Object::new();
        object.push("type", kind);
        if let Some(data) = data {
            object.push("data", data);
        }
        object.push("uid", uid);
        object.push("nsp", namespace);
        Some(match self {
            Self::JsonOrMsgpack => fields::encode(object),
            Self::Msgpack => {
                let mut body = Vec::new();
                msgpack::encode(&object.into(), &mut body);
                body
            }
        })
    }
}

/// An entry of a stream of `@socket.io/redis-streams-adapter`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Entry {
    /// JSON, or MessagePack in Base64 if it holds bytes; empty in messages without data.
    pub data: String,
    /// The namespace.
    pub nsp: String,
    /// The type's number in digits.
    pub kind: String,
    /// Which entry of the sender's it is, if the sender is a node of ours: what was added twice, by an
    /// oversight of the broker's, is read once.
    pub seq: Option<u64>,
    /// The sender.
    pub uid: String,
}

impl Entry {
    /// Reads the entry.
    ///
    /// # Errors
    ///
    /// If it is not a message of a cluster adapter.
    pub fn decode(&self) -> Result<Envelope, DecodeError> {
        let kind = self.kind.parse();
        let kind = kind.map_err(|_| DecodeError::Field { field: "type" })?;
        let data = match self.data.as_bytes().first() {
            None => None,
            Some(b'{') => Some(fields::json(self.data.as_bytes())?),
            Some(_) => {
                let bytes = STANDARD.decode(&self.data);
                let bytes = bytes.map_err(|_| DecodeError::Field { field: "data" })?;
                Some(msgpack::decode(&bytes)?)
            }
        };
        envelope(self.uid.clone(), self.nsp.clone(), kind, data)
    }

    /// Writes an entry; `None` for what cluster adapters have no word for.
    pub fn encode(namespace: &str, uid: &str, message: Message) -> Option<Self> {
        let (kind, data) = parts(message)?;
        let data = data.map_or_else(String::new, |data| {
            let data = Value::Object(data);
            if fields::has_binary(&data) {
                let mut bytes = Vec::new();
                msgpack::encode(&data, &mut bytes);
                STANDARD.encode(bytes)
            } else {
                serde_json::to_string(&data).expect("values without bytes are JSON")
            }
        });
        Some(Self {
            data,
            nsp: namespace.into(),
            kind: kind.to_string(),
            seq: None,
            uid: uid.into(),
        })
    }

    /// The entry of these fields, whatever else is among them.
    ///
    /// # Errors
    ///
    /// If one that is wanted is missing, or is not text.
    pub fn from_fields<'a>(
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<Self, DecodeError> {
        let (mut data, mut nsp, mut kind, mut seq, mut uid) = (None, None, None, None, None);
        for (name, value) in fields {
            let (field, place) = match name {
                b"data" => ("data", &mut data),
                b"nsp" => ("nsp", &mut nsp),
                b"seq" => ("seq", &mut seq),
                b"type" => ("type", &mut kind),
                b"uid" => ("uid", &mut uid),
                _ => continue,
            };
            let text = std::str::from_utf8(value);
            *place = Some(text.map_err(|_| DecodeError::Field { field })?.to_owned());
        }
        let number = |text: String| {
            text.parse()
                .map_err(|_| DecodeError::Field { field: "seq" })
        };
        Ok(Self {
            data: data.unwrap_or_default(),
            nsp: nsp.ok_or(DecodeError::Field { field: "nsp" })?,
            kind: kind.ok_or(DecodeError::Field { field: "type" })?,
            seq: seq.map(number).transpose()?,
            uid: uid.ok_or(DecodeError::Field { field: "uid" })?,
        })
    }

    /// The fields, in the order in which Node writes them.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, std::borrow::Cow<'_, str>)> {
        let data = (!self.data.is_empty()).then(|| ("data", (&*self.data).into()));
        let seq = self.seq.map(|seq| ("seq", seq.to_string().into()));
        [
            ("uid", (&*self.uid).into()),
            ("nsp", (&*self.nsp).into()),
            ("type", (&*self.kind).into()),
        ]
        .into_iter()
        .chain(data)
        .chain(seq)
    }
}

/// The stream that a namespace's entries are on, if there are `count` of them.
///
/// The remainder may be negative, as in JavaScript: Node writes such namespaces to a stream that no
/// node of its own reads, and whoever wants to hear them has to read it.
pub fn stream_name(base: &str, namespace: &str, count: u32) -> String {
    if count <= 1 {
        return base.into();
    }
    let hash = namespace.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    let remainder = i64::from(hash) % i64::from(count);
    format!("{base}-{remainder}")
}

fn envelope(
    from: String,
    namespace: String,
    kind: u64,
    data: Option<Value>,
) -> Result<Envelope, DecodeError> {
    let mut data = Fields::of(data.unwrap_or_else(|| Object::new().into()), "data")?;
    let message = match kind {
        kind::INITIAL_HEARTBEAT => Message::Hello,
        kind::HEARTBEAT => Message::Heartbeat,
        kind::ADAPTER_CLOSE => Message::Close,
        kind::BROADCAST => {
            let request = data.optional_text("requestId")?;
            let mut packet = data.object("packet")?;
            if packet.whole("type")? != EVENT {
                return Err(DecodeError::UnknownType);
            }
            let event = packet.event("data")?;
            let (to, flags) = data.options("opts")?;
            let emit = Emit {
                to,
                data: event,
                flags,
            };
            match request {
                Some(request) => Message::Ask {
                    request,
                    question: Question::Emit(emit),
                },
                None => Message::Emit(emit),
            }
        }
        kind::SOCKETS_JOIN => Message::Join {
            to: data.options("opts")?.0,
            rooms: data.names("rooms")?,
        },
        kind::SOCKETS_LEAVE => Message::Leave {
            to: data.options("opts")?.0,
            rooms: data.names("rooms")?,
        },
        kind::DISCONNECT_SOCKETS => Message::Disconnect {
            to: data.options("opts")?.0,
            close: data.flag("close")?,
        },
        kind::FETCH_SOCKETS => Message::Ask {
            request: data.text("requestId")?,
            question: Question::Fetch(data.options("opts")?.0),
        },
        kind::SERVER_SIDE_EMIT => {
            let event = data.event("packet")?;
            match data.optional_text("requestId")? {
                Some(request) => Message::Ask {
                    request,
                    question: Question::ServerEmit(event),
                },
                None => Message::ServerEmit(event),
            }
        }
        kind::FETCH_SOCKETS_RESPONSE
        | kind::SERVER_SIDE_EMIT_RESPONSE
        | kind::BROADCAST_CLIENT_COUNT
        | kind::BROADCAST_ACK => Message::Answer {
            request: data.text("requestId")?,
            answer: match kind {
                kind::FETCH_SOCKETS_RESPONSE => Answer::Sockets(data.sockets("sockets")?),
                kind::SERVER_SIDE_EMIT_RESPONSE => data.server_answer("packet")?,
                kind::BROADCAST_CLIENT_COUNT => Answer::Clients(data.whole("clientCount")?),
                _ => Answer::Ack(data.take("packet").into_iter().collect()),
            },
        },
        _ => return Err(DecodeError::UnknownType),
    };
    Ok(Envelope {
        from: Some(from),
        namespace: Some(namespace),
        message,
    })
}

/// The type of a message and its data.
fn parts(message: Message) -> Option<(u64, Option<Object>)> {
    let mut data = Object::new();
    let kind = match message {
        Message::Hello => return Some((kind::INITIAL_HEARTBEAT, None)),
        Message::Heartbeat => return Some((kind::HEARTBEAT, None)),
        Message::Close => return Some((kind::ADAPTER_CLOSE, None)),
        Message::Emit(emit) => {
            data.push("packet", packet(emit.data));
            data.push("opts", fields::options(&emit.to, Some(&emit.flags)));
            kind::BROADCAST
        }
        Message::Join { to, rooms } => {
            data.push("opts", fields::options(&to, Some(&Default::default())));
            data.push("rooms", fields::texts(rooms.iter().map(String::as_str)));
            kind::SOCKETS_JOIN
        }
        Message::Leave { to, rooms } => {
            data.push("opts", fields::options(&to, Some(&Default::default())));
            data.push("rooms", fields::texts(rooms.iter().map(String::as_str)));
            kind::SOCKETS_LEAVE
        }
        Message::Disconnect { to, close } => {
            data.push("opts", fields::options(&to, Some(&Default::default())));
            data.push("close", close);
            kind::DISCONNECT_SOCKETS
        }
        Message::ServerEmit(event) => {
            data.push("packet", event);
            kind::SERVER_SIDE_EMIT
        }
        Message::Ask { request, question } => match question {
            Question::Emit(emit) => {
                data.push("packet", packet(emit.data));
                data.push("requestId", request);
                data.push("opts", fields::options(&emit.to, Some(&emit.flags)));
                kind::BROADCAST
            }
            Question::Fetch(to) => {
                data.push("opts", fields::options(&to, Some(&Default::default())));
                data.push("requestId", request);
                kind::FETCH_SOCKETS
            }
            Question::Settled => {
                let nobody = fields::options(&fields::nobody(), Some(&Default::default()));
                data.push("opts", nobody);
                data.push("requestId", request);
                kind::FETCH_SOCKETS
            }
            Question::ServerEmit(event) => {
                data.push("requestId", request);
                data.push("packet", event);
                kind::SERVER_SIDE_EMIT
            }
            _ => return None,
        },
        Message::Answer { request, answer } => {
            data.push("requestId", request);
            match answer {
                Answer::Ack(args) => {
                    data.push("packet", args.into_iter().next().unwrap_or_default());
                    kind::BROADCAST_ACK
                }
                Answer::Clients(count) => {
                    data.push("clientCount", count);
                    kind::BROADCAST_CLIENT_COUNT
                }
                Answer::Declined => {
                    data.push(fields::DECLINED, true);
                    kind::SERVER_SIDE_EMIT_RESPONSE
                }
                Answer::ServerAck(value) => {
                    data.push("packet", value);
                    kind::SERVER_SIDE_EMIT_RESPONSE
                }
                Answer::Sockets(sockets) => {
                    data.push("sockets", fields::sockets(sockets));
                    kind::FETCH_SOCKETS_RESPONSE
                }
                _ => return None,
            }
        }
    };
    Some((kind, Some(data)))
}

fn packet(data: Vec<Value>) -> Object {
    let mut packet = Object::new();
    packet.push("type", EVENT);
    packet.push("data", data);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_of_a_namespace_is_the_one_that_node_writes_to() {
        assert_eq!(stream_name("socket.io", "/", 1), "socket.io");
        // What `hashCode(namespace) % streamCount` of Node's package gave.
        for (namespace, count, remainder) in [
            ("/", 4, 3),
            ("/dashboard", 3, -1),
            ("/dashboard", 4, -3),
            ("/notifications", 3, -2),
            ("/é😀", 7, 1),
            ("/chat", 5, 3),
        ] {
            let expected = format!("s-{remainder}");
            assert_eq!(stream_name("s", namespace, count), expected, "{namespace}");
        }
    }
}
