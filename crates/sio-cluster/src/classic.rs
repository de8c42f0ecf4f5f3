//! The format of `@socket.io/redis-adapter` 8 and of `@socket.io/redis-emitter` 5: publish and
//! subscribe.
//!
//! ```text
//! socket.io#/chat#             packets           MessagePack [uid, packet, opts]
//! socket.io#/chat#lobby#       … for one room
//! socket.io-request#/chat#     questions, orders JSON; MessagePack if acks are wanted
//! socket.io-response#/chat#    answers           JSON; MessagePack if an ack is in it
//! ```
//!
//! How many nodes there are is said by the number of subscribers to the channel of questions, so each
//! node subscribes once and answers each question once. Whoever asks counts to that number.
//! Where Node writes JSON and there are bytes among the values, MessagePack is written here: Node's
//! readers look at the first byte.

use sio_packet::{Object, Value, msgpack::write};
use sio_rooms::Selection;

use crate::{
    DecodeError,
    fields::{self, Fields},
    message::{Answer, Emit, Envelope, Flags, Message, Publish, Question},
    msgpack,
};

/// The names of the channels of one cluster, and the bytes that pass through them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Classic {
    key: String,
}

/// `RequestType` of Node's adapter.
mod kind {
    pub(super) const SOCKETS: u64 = 0;
    pub(super) const ALL_ROOMS: u64 = 1;
    pub(super) const REMOTE_JOIN: u64 = 2;
    pub(super) const REMOTE_LEAVE: u64 = 3;
    pub(super) const REMOTE_DISCONNECT: u64 = 4;
    pub(super) const REMOTE_FETCH: u64 = 5;
    pub(super) const SERVER_SIDE_EMIT: u64 = 6;
    pub(super) const BROADCAST: u64 = 7;
    pub(super) const BROADCAST_CLIENT_COUNT: u64 = 8;
    pub(super) const BROADCAST_ACK: u64 = 9;
}

/// `PacketType.EVENT` of Node's parser.
const EVENT: u64 = 2;

impl Default for Classic {
    /// With Node's default, `socket.io`.
    fn default() -> Self {
        Self::new("socket.io")
    }
}

impl Classic {
    /// With the option `key` of Node's adapter.
    pub fn new(key: impl Into<String>) -> Self {
        Self { key: key.into() }
    }

    /// The channel of packets for a namespace.
    pub fn packets(&self, namespace: &str) -> String {
        format!("{}#{namespace}#", self.key)
    }

    /// What to PSUBSCRIBE to for the packets of a namespace, those for one room included. Characters
    /// of the name that mean something in a pattern are escaped, which Node does not do.
    pub fn packets_pattern(&self, namespace: &str) -> String {
        let mut pattern = String::new();
        for character in self.packets(namespace).chars() {
            if matches!(character, '*' | '?' | '[' | ']' | '\\' | '^') {
                pattern.push('\\');
            }
            pattern.push(character);
        }
        pattern.push('*');
        pattern
    }

    /// The room that a channel of packets is for, if it is for one.
    pub fn room<'a>(&self, namespace: &str, channel: &'a str) -> Option<&'a str> {
        let rest = channel.strip_prefix(&*self.packets(namespace))?;
        rest.strip_suffix('#').filter(|room| !room.is_empty())
    }

    /// The channel of questions and orders.
    pub fn requests(&self, namespace: &str) -> String {
        format!("{}-request#{namespace}#", self.key)
    }

    /// The channel of answers.
    pub fn responses(&self, namespace: &str) -> String {
        format!("{}-response#{namespace}#", self.key)
    }

    /// The channel of answers to one node alone, which nodes with the option
    /// `publishOnSpecificResponseChannel` use.
    pub fn own_responses(&self, namespace: &str, uid: &str) -> String {
        format!("{}-response#{namespace}#{uid}#", self.key)
    }

    /// The channel on which nodes of ours say to one another that they live. Nobody else listens.
    pub fn nodes(&self) -> String {
        format!("{}-nodes#", self.key)
    }

    /// Reads what came on a channel of packets.
    ///
    /// # Errors
    ///
    /// If it is not a packet.
    pub fn decode_packet(&self, body: &[u8]) -> Result<Envelope, DecodeError> {
        let Value::Array(list) = msgpack::decode(body)? else {
            return Err(DecodeError::Field { field: "message" });
        };
        let mut list = list.into_iter();
        let Some(Value::String(from)) = list.next() else {
            return Err(DecodeError::Field { field: "uid" });
        };
        let (packet, options) = (list.next(), list.next());
        let both = [("packet", packet), ("opts", options)];
        let mut both = Fields::of(
            both.into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect::<Object>()
                .into(),
            "message",
        )?;
        let (namespace, emit) = emit(&mut both)?;
        Ok(Envelope {
            from: Some(from),
            namespace: Some(namespace),
            message: Message::Emit(emit),
        })
    }

    /// Whether a packet begins as those of this sender do: what a node has said itself is not read again.
    pub(crate) fn is_from(uid: &str, body: &[u8]) -> bool {
        let [0x93, head, rest @ ..] = body else {
            return false;
        };
        usize::from(*head) == 0xa0 + uid.len() && rest.starts_with(uid.as_bytes())
    }

    /// Reads what came on the channel of questions. The namespace is that of the channel.
    ///
    /// # Errors
    ///
    /// If it is not a question or an order.
    pub fn decode_request(&self, namespace: &str, body: &[u8]) -> Result<Envelope, DecodeError> {
        let mut request = Fields::of(fields::decode(body)?, "request")?;
        let from = request.optional_text("uid")?;
        let name = request.optional_text("requestId")?;
        let ask = |question| {
            let request = name
                .clone()
                .ok_or(DecodeError::Field { field: "requestId" })?;
            Ok(Message::Ask { request, question })
        };
        let message = match request.whole("type")? {
            kind::SOCKETS => {
                let rooms = request.names("rooms")?;
                ask(Question::SocketIds(Selection::everyone().to_all(rooms)))?
            }
            kind::ALL_ROOMS => ask(Question::Rooms)?,
            kind::REMOTE_JOIN => match old_member(&mut request)? {
                Some(to) => {
                    let rooms = vec![request.text("room")?];
                    ask(Question::Join { to, rooms })?
                }
                None => Message::Join {
                    to: request.options("opts")?.0,
                    rooms: request.names("rooms")?,
                },
            },
            kind::REMOTE_LEAVE => match old_member(&mut request)? {
                Some(to) => {
                    let rooms = vec![request.text("room")?];
                    ask(Question::Leave { to, rooms })?
                }
                None => Message::Leave {
                    to: request.options("opts")?.0,
                    rooms: request.names("rooms")?,
                },
            },
            kind::REMOTE_DISCONNECT => match old_member(&mut request)? {
                Some(to) => {
                    let close = request.flag("close")?;
                    ask(Question::Disconnect { to, close })?
                }
                None => Message::Disconnect {
                    to: request.options("opts")?.0,
                    close: request.flag("close")?,
                },
            },
            kind::REMOTE_FETCH => ask(Question::Fetch(request.options("opts")?.0))?,
            kind::SERVER_SIDE_EMIT => {
                let data = request.event("data")?;
                match name {
                    Some(request) => Message::Ask {
                        request,
                        question: Question::ServerEmit(data),
                    },
                    None => Message::ServerEmit(data),
                }
            }
            kind::BROADCAST => {
                let (namespace_of_packet, emit) = emit(&mut request)?;
                if namespace_of_packet != namespace {
                    return Err(DecodeError::Field { field: "nsp" });
                }
                ask(Question::Emit(emit))?
            }
            _ => return Err(DecodeError::UnknownType),
        };
        Ok(Envelope {
            from,
            namespace: Some(namespace.into()),
            message,
        })
    }

    /// Reads what came on a channel of answers. Only whoever asked knows what was asked, so
    /// `asked` tells it by the request's name; answers to what nobody asked are `None`.
    ///
    /// # Errors
    ///
    /// If it is not the answer to that question.
    pub fn decode_response(
        &self,
        body: &[u8],
        asked: impl FnOnce(&str) -> Option<Asked>,
    ) -> Result<Option<Envelope>, DecodeError> {
        let mut response = Fields::of(fields::decode(body)?, "response")?;
        let request = response.text("requestId")?;
        let Some(asked) = asked(&request) else {
            return Ok(None);
        };
        let answer = match asked {
            Asked::Emit => match response.whole("type")? {
                kind::BROADCAST_CLIENT_COUNT => Answer::Clients(response.whole("clientCount")?),
                kind::BROADCAST_ACK => Answer::Ack(response.take("packet").into_iter().collect()),
                _ => return Err(DecodeError::UnknownType),
            },
            Asked::Fetch => Answer::Sockets(response.sockets("sockets")?),
            Asked::Rooms => Answer::Rooms(response.names("rooms")?),
            Asked::ServerEmit => response.server_answer("data")?,
            Asked::SocketIds => Answer::SocketIds(response.names("sockets")?),
        };
        Ok(Some(Envelope {
            from: response.optional_text("uid")?,
            namespace: None,
            message: Message::Answer { request, answer },
        }))
    }

    /// Writes a packet, an order or a question; `None` for what this format has no word for.
    ///
    /// Answers are written by [`encode_answer`](Self::encode_answer).
    pub fn encode(&self, namespace: &str, uid: &str, message: Message) -> Option<Publish> {
        let mut request = Object::new();
        request.push("uid", uid);
        match message {
            Message::Emit(emit) => return Some(self.encode_packet(namespace, uid, &emit)),
            Message::Join { to, rooms } => {
                request.push("type", kind::REMOTE_JOIN);
                request.push("opts", fields::options(&to, None));
                request.push("rooms", fields::texts(rooms.iter().map(String::as_str)));
            }
            Message::Leave { to, rooms } => {
                request.push("type", kind::REMOTE_LEAVE);
                request.push("opts", fields::options(&to, None));
                request.push("rooms", fields::texts(rooms.iter().map(String::as_str)));
            }
            Message::Disconnect { to, close } => {
                request.push("type", kind::REMOTE_DISCONNECT);
                request.push("opts", fields::options(&to, None));
                request.push("close", close);
            }
            Message::ServerEmit(data) => {
                request.push("type", kind::SERVER_SIDE_EMIT);
                request.push("data", data);
            }
            Message::Ask {
                request: name,
                question,
            } => {
                request.push("requestId", name);
                match question {
                    Question::Emit(emit) => {
                        request.push("type", kind::BROADCAST);
                        request.push("packet", packet(namespace, emit.data));
                        request.push("opts", fields::options(&emit.to, Some(&emit.flags)));
                        let mut body = Vec::new();
                        // Always MessagePack, bytes or not.
                        msgpack::encode(&request.into(), &mut body);
                        return Some(Publish {
                            channel: self.requests(namespace),
                            body,
                        });
                    }
                    Question::Fetch(to) => {
                        request.push("type", kind::REMOTE_FETCH);
                        request.push("opts", fields::options(&to, None));
                    }
                    Question::Settled => {
                        request.push("type", kind::REMOTE_FETCH);
                        request.push("opts", fields::options(&fields::nobody(), None));
                    }
                    Question::Rooms => request.push("type", kind::ALL_ROOMS),
                    Question::ServerEmit(data) => {
                        request.push("type", kind::SERVER_SIDE_EMIT);
                        request.push("data", data);
                    }
                    Question::SocketIds(to) => {
                        request.push("type", kind::SOCKETS);
                        request.push("rooms", fields::texts(to.rooms()));
                    }
                    Question::Disconnect { .. }
                    | Question::Join { .. }
                    | Question::Leave { .. } => {
                        return None;
                    }
                }
            }
            _ => return None,
        }
        Some(Publish {
            channel: self.requests(namespace),
            body: fields::encode(request),
        })
    }

    /// Writes the answer to a question.
    ///
    /// Node's adapter does not say who answers. We do, in a field that it passes over, so that
    /// another node of ours can tell who is missing.
    pub fn encode_answer(
        &self,
        namespace: &str,
        uid: &str,
        request: String,
        answer: Answer,
    ) -> Publish {
        let mut response = Object::new();
        let mut binary = false;
        match answer {
            Answer::Ack(args) => {
                response.push("type", kind::BROADCAST_ACK);
                response.push("requestId", request);
                response.push("packet", args.into_iter().next().unwrap_or_default());
                binary = true;
            }
            Answer::Clients(count) => {
                response.push("type", kind::BROADCAST_CLIENT_COUNT);
                response.push("requestId", request);
                response.push("clientCount", count);
            }
            Answer::Declined => {
                response.push("type", kind::SERVER_SIDE_EMIT);
                response.push("requestId", request);
                response.push(fields::DECLINED, true);
            }
            Answer::Done => response.push("requestId", request),
            Answer::Rooms(rooms) => {
                response.push("requestId", request);
                response.push("rooms", fields::texts(rooms.iter().map(String::as_str)));
            }
            Answer::ServerAck(value) => {
                response.push("type", kind::SERVER_SIDE_EMIT);
                response.push("requestId", request);
                response.push("data", value);
            }
            Answer::SocketIds(ids) => {
                response.push("requestId", request);
                response.push("sockets", fields::texts(ids.iter().map(String::as_str)));
            }
            Answer::Sockets(sockets) => {
                response.push("requestId", request);
                response.push("sockets", fields::sockets(sockets));
            }
        }
        response.push("uid", uid);
        let body = if binary {
            let mut body = Vec::new();
            msgpack::encode(&response.into(), &mut body);
            body
        } else {
            fields::encode(response)
        };
        Publish {
            channel: self.responses(namespace),
            body,
        }
    }

    /// `[uid, {type, data, nsp}, {rooms, except, flags}]`, on the channel of the room if there is
    /// exactly one.
    fn encode_packet(&self, namespace: &str, uid: &str, emit: &Emit) -> Publish {
        let mut body = Vec::new();
        write::array(&mut body, 3);
        write::text(&mut body, uid);
        write::map(&mut body, 3);
        write::text(&mut body, "type");
        write::positive(&mut body, EVENT);
        write::text(&mut body, "data");
        write::array(&mut body, emit.data.len());
        for value in &emit.data {
            msgpack::encode(value, &mut body);
        }
        write::text(&mut body, "nsp");
        write::text(&mut body, namespace);
        let options = fields::options(&emit.to, Some(&emit.flags));
        msgpack::encode(&options.into(), &mut body);

        let mut channel = self.packets(namespace);
        let mut rooms = emit.to.rooms();
        if let (Some(room), None) = (rooms.next(), rooms.next()) {
            channel.push_str(room);
            channel.push('#');
        }
        Publish { channel, body }
    }
}

/// What was asked, as far as it decides how an answer reads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Asked {
    /// [`Question::Emit`]
    Emit,
    /// [`Question::Fetch`]
    Fetch,
    /// [`Question::Rooms`]
    Rooms,
    /// [`Question::ServerEmit`]
    ServerEmit,
    /// [`Question::SocketIds`]
    SocketIds,
}

/// `sid` instead of `opts`, as Node's adapters before version 7 wrote.
fn old_member(request: &mut Fields) -> Result<Option<Selection>, DecodeError> {
    let sid = request.optional_text("sid")?;
    Ok(sid.map(|sid| Selection::everyone().to(sid)))
}

/// `packet` and `opts`: the namespace, and the packet for clients.
fn emit(fields: &mut Fields) -> Result<(String, Emit), DecodeError> {
    let mut packet = fields.object("packet")?;
    // Other kinds of packet (CONNECT, ACK …) are never broadcast.
    if packet.whole("type")? != EVENT {
        return Err(DecodeError::UnknownType);
    }
    let data = packet.event("data")?;
    let namespace = packet.optional_text("nsp")?;
    let (to, flags): (_, Flags) = fields.options("opts")?;
    let emit = Emit { to, data, flags };
    Ok((namespace.unwrap_or_else(|| "/".into()), emit))
}

fn packet(namespace: &str, data: Vec<Value>) -> Object {
    let mut packet = Object::new();
    packet.push("type", EVENT);
    packet.push("data", data);
    packet.push("nsp", namespace);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_says_first_whose_it_is() {
        let published = Classic::default().encode_packet("/", "h3Jk9Q", &Emit::default());
        assert!(Classic::is_from("h3Jk9Q", &published.body));
        for other in ["h3Jk9", "h3Jk9R", "h3Jk9QQ", ""] {
            assert!(!Classic::is_from(other, &published.body), "{other}");
        }
        assert!(!Classic::is_from("h3Jk9Q", b"\x93"));
    }
}
