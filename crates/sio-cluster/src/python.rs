//! The format of python-socketio and Flask-SocketIO: one channel for everything, JSON in it.
//!
//! ```json
//! {"method": "emit", "event": "news", "data": [{"n": 1}], "binary": false, "namespace": "/",
//!  "room": null, "skip_sid": null, "callback": null, "host_id": "…"}
//! ```
//!
//! Bytes stand as placeholders in `data[0]` and in Base64 behind it. Releases before 5.14 pickled the
//! same dictionaries, and those are read, too, by a reader that can run nothing. Nobody counts nodes
//! here and nobody is asked anything, save that an emit may want its clients' acks: `callback`.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use sio_packet::{Object, Value};
use sio_rooms::Selection;

use crate::{
    DecodeError,
    fields::{self, Fields},
    message::{Answer, Emit, Envelope, Flags, Message, Publish, Question},
    msgpack::MAX_DEPTH,
    pickle::Pickle,
};

/// The channel of one cluster of Python processes, and the bytes that pass through it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Python {
    channel: String,
    data: Data,
}

/// How the arguments of an event are written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Data {
    /// The one argument as it is, several as a tuple, which JSON makes a list: releases 5.14.0 to
    /// 5.15.0. A single list as argument cannot be told from several arguments; it is one.
    Bare,
    /// A list of them: since 5.15.1.
    #[default]
    List,
}

impl Default for Python {
    /// With the default of Flask-SocketIO: `flask-socketio`.
    fn default() -> Self {
        Self::new("flask-socketio")
    }
}

impl Python {
    /// On a channel: `flask-socketio` is the default of Flask-SocketIO, `socketio` that of
    /// python-socketio alone.
    pub fn new(channel: impl Into<String>) -> Self {
        Self {
            channel: channel.into(),
            data: Data::List,
        }
    }

    /// How arguments are written; pickles, which are older, have them bare in any case.
    #[must_use]
    pub fn data(mut self, data: Data) -> Self {
        self.data = data;
        self
    }

    /// The channel to subscribe to.
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// What to call a question to the clients of a room: its answers come back under this name.
    pub fn request(room: &str, namespace: &str, id: u64) -> String {
        serde_json::to_string(&(room, namespace, id)).expect("texts and a number are JSON")
    }

    /// Reads a message.
    ///
    /// A question to us is an [`Question::Emit`], and its request is to be given back with the answer
    /// as it is. Answers to others are read like those to us: [`Envelope::from`] is whom they are
    /// for.
    ///
    /// # Errors
    ///
    /// If it is neither JSON nor a pickle that builds values and nothing else, or a field is
    /// missing or of another type.
    pub fn decode(&self, body: &[u8]) -> Result<Envelope, DecodeError> {
        let (message, data) = match body.first() {
            // Texts and lists of JSON cannot begin a pickle that makes a dictionary, nor the other
            // way round.
            Some(b'{') => (fields::json(body)?, self.data),
            _ => {
                let pickle = Pickle::read(body)?;
                let data = if pickle.is_tuple("data") {
                    Data::List
                } else {
                    Data::Bare
                };
                (pickle.value()?, data)
            }
        };
        let mut fields = Fields::of(message, "message")?;
        let from = fields.text("host_id")?;
        let namespace = fields.optional_text("namespace")?;
        let message = match &*fields.text("method")? {
            "emit" => {
                let emit = emit(&mut fields, data)?;
                match fields.take("callback") {
                    Some(callback) => Message::Ask {
                        request: serde_json::to_string(&callback)
                            .map_err(|_| DecodeError::Field { field: "callback" })?,
                        question: Question::Emit(emit),
                    },
                    None => Message::Emit(emit),
                }
            }
            "callback" => {
                let namespace = namespace.as_deref().unwrap_or("/");
                Message::Answer {
                    request: Self::request(&fields.text("sid")?, namespace, fields.whole("id")?),
                    answer: Answer::Ack(fields.list("args")?),
                }
            }
            "disconnect" => Message::Disconnect {
                to: member(&mut fields)?,
                close: false,
            },
            "enter_room" => Message::Join {
                to: member(&mut fields)?,
                rooms: vec![room(&mut fields)?],
            },
            "leave_room" => Message::Leave {
                to: member(&mut fields)?,
                rooms: vec![room(&mut fields)?],
            },
            "close_room" => {
                let room = room(&mut fields)?;
                Message::Leave {
                    to: Selection::everyone().to(&*room),
                    rooms: vec![room],
                }
            }
            _ => return Err(DecodeError::UnknownType),
        };
        Ok(Envelope {
            from: Some(from),
            namespace: Some(namespace.unwrap_or_else(|| "/".into())),
            message,
        })
    }

    /// Writes what this format has a word for: packets, with acks wanted or not; clients that join or
    /// leave a room or are disconnected, if they are named by their ids; everybody who leaves a room.
    /// Several messages come of several rooms.
    pub fn encode(&self, namespace: &str, host_id: &str, message: Message) -> Vec<Publish> {
        let message_of = |method: &str| {
            let mut object = Object::new();
            object.push("method", method);
            object.push("namespace", namespace);
            object.push("host_id", host_id);
            object
        };
        let mut bodies = Vec::new();
        match message {
            Message::Emit(emit) => bodies.push(self.emit(message_of("emit"), emit, None)),
            Message::Ask {
                request,
                question: Question::Emit(emit),
            } => bodies.push(self.emit(message_of("emit"), emit, Some(&request))),
            Message::Join { to, rooms } if to.exceptions().len() == 0 => {
                for (sid, room) in pairs(&to, &rooms) {
                    let mut object = message_of("enter_room");
                    object.push("sid", sid);
                    object.push("room", room);
                    bodies.push(object);
                }
            }
            Message::Leave { to, rooms } if to.exceptions().len() == 0 => {
                for (sid, room) in pairs(&to, &rooms) {
                    let method = if sid == room {
                        "close_room"
                    } else {
                        "leave_room"
                    };
                    let mut object = message_of(method);
                    if sid != room {
                        object.push("sid", sid);
                    }
                    object.push("room", room);
                    bodies.push(object);
                }
            }
            Message::Disconnect { to, .. } if to.exceptions().len() == 0 => {
                for sid in to.rooms() {
                    let mut object = message_of("disconnect");
                    object.push("sid", sid);
                    bodies.push(object);
                }
            }
            _ => {}
        }
        bodies.into_iter().map(|body| self.publish(body)).collect()
    }

    /// Writes the answer to a question that [`decode`](Self::decode) has read; `None` for answers
    /// that this format has no word for, and for requests that did not come from it.
    pub fn encode_answer(&self, host_id: &str, request: &str, answer: Answer) -> Option<Publish> {
        let Answer::Ack(args) = answer else {
            return None;
        };
        let callback: Vec<Value> = serde_json::from_str(request).ok()?;
        let [room, namespace, id] = <[Value; 3]>::try_from(callback).ok()?;
        let mut object = Object::new();
        object.push("method", "callback");
        object.push("host_id", host_id);
        object.push("sid", room);
        object.push("namespace", namespace);
        object.push("id", id);
        // JSON has no bytes, and Python's own answer with bytes would not be JSON either.
        object.push(
            "args",
            Value::Array(args.into_iter().map(as_base64).collect()),
        );
        Some(self.publish(object))
    }

    fn publish(&self, body: Object) -> Publish {
        Publish {
            channel: self.channel.clone(),
            body: serde_json::to_vec(&Value::Object(body)).expect("values without bytes are JSON"),
        }
    }

    fn emit(&self, mut object: Object, emit: Emit, callback: Option<&str>) -> Object {
        let mut data = emit.data.into_iter();
        let event = data.next().unwrap_or_default();
        let mut attachments = Vec::new();
        let args: Vec<_> = data.map(|value| detach(value, &mut attachments)).collect();
        // No argument is one that is null, as Python has it.
        let args = if args.is_empty() {
            vec![Value::Null]
        } else {
            args
        };
        object.push("event", event);
        object.push("binary", !attachments.is_empty());
        object.push(
            "data",
            if attachments.is_empty() {
                args
            } else {
                let bytes = attachments
                    .iter()
                    .map(|bytes| STANDARD.encode(bytes).into());
                std::iter::once(args.into()).chain(bytes).collect()
            },
        );
        object.push("room", one_or_many(emit.to.rooms()));
        object.push("skip_sid", one_or_many(emit.to.exceptions()));
        let callback = callback.and_then(|request| serde_json::from_str(request).ok());
        object.push("callback", callback.unwrap_or(Value::Null));
        object
    }
}

fn emit(fields: &mut Fields, form: Data) -> Result<Emit, DecodeError> {
    let event = fields.text("event")?;
    let args = fields.take("data").unwrap_or_default();
    let mut args = match (form, args) {
        (_, Value::Null) => Vec::new(),
        (Data::List, Value::Array(args)) => args,
        // Neither release writes this, but nothing else can be meant.
        (_, arg) => vec![arg],
    };
    if fields.flag("binary")? {
        args = reattach(args)?;
    }
    if args == [Value::Null] {
        args.clear();
    }
    let to = Selection::everyone()
        .to_all(names(fields, "room")?)
        .except_all(names(fields, "skip_sid")?);
    let data = std::iter::once(event.into()).chain(args).collect();
    Ok(Emit {
        to,
        data,
        flags: Flags::default(),
    })
}

/// `[arguments with placeholders, Base64…]`
fn reattach(data: Vec<Value>) -> Result<Vec<Value>, DecodeError> {
    let wrong = || DecodeError::Field { field: "data" };
    let mut data = data.into_iter();
    let args = data.next().ok_or_else(wrong)?;
    let mut attachments = data
        .map(|text| {
            let text = text.as_str().ok_or_else(wrong)?;
            let bytes = STANDARD.decode(text).map_err(|_| wrong())?;
            Ok(Some(Bytes::from(bytes)))
        })
        .collect::<Result<Vec<_>, DecodeError>>()?;
    match attach(args, &mut attachments, MAX_DEPTH)? {
        Value::Array(args) => Ok(args),
        arg => Ok(vec![arg]),
    }
}

/// Puts attachments in place of their placeholders, each once: else a short message could ask for
/// thousands of copies of a long one.
fn attach(
    value: Value,
    attachments: &mut [Option<Bytes>],
    depth: usize,
) -> Result<Value, DecodeError> {
    let wrong = || DecodeError::Field { field: "data" };
    let depth = depth.checked_sub(1).ok_or_else(wrong)?;
    Ok(match value {
        Value::Array(list) => {
            let list = list.into_iter();
            let list = list.map(|value| attach(value, attachments, depth));
            Value::Array(list.collect::<Result<_, _>>()?)
        }
        Value::Object(object) if object.get("_placeholder") == Some(&true.into()) => {
            let mut fields = Fields::of(object.into(), "data")?;
            let num = usize::try_from(fields.whole("num")?).map_err(|_| wrong())?;
            let bytes = attachments.get_mut(num).and_then(Option::take);
            Value::Binary(bytes.ok_or_else(wrong)?)
        }
        Value::Object(object) => {
            let mut members = Object::new();
            for (name, value) in object {
                members.push(name, attach(value, attachments, depth)?);
            }
            Value::Object(members)
        }
        plain => plain,
    })
}

/// Takes bytes out and leaves placeholders.
fn detach(value: Value, attachments: &mut Vec<Bytes>) -> Value {
    match value {
        Value::Binary(bytes) => {
            let mut placeholder = Object::new();
            placeholder.push("_placeholder", true);
            placeholder.push("num", attachments.len());
            attachments.push(bytes);
            placeholder.into()
        }
        Value::Array(list) => {
            let list = list.into_iter();
            Value::Array(list.map(|value| detach(value, attachments)).collect())
        }
        Value::Object(object) => {
            let members = object.into_iter();
            let members = members.map(|(name, value)| (name, detach(value, attachments)));
            Value::Object(members.collect())
        }
        plain => plain,
    }
}

fn as_base64(value: Value) -> Value {
    match value {
        Value::Binary(bytes) => STANDARD.encode(bytes).into(),
        Value::Array(list) => Value::Array(list.into_iter().map(as_base64).collect()),
        Value::Object(object) => {
            let members = object.into_iter();
            Value::Object(
                members
                    .map(|(name, value)| (name, as_base64(value)))
                    .collect(),
            )
        }
        plain => plain,
    }
}

/// Nothing, a name, or a list of names.
fn names(fields: &mut Fields, field: &'static str) -> Result<Vec<String>, DecodeError> {
    let wrong = DecodeError::Field { field };
    match fields.take(field) {
        None => Ok(Vec::new()),
        Some(Value::Array(list)) => {
            let names: Option<_> = list.into_iter().map(fields::name).collect();
            names.ok_or(wrong)
        }
        Some(value) => fields::name(value).map(|name| vec![name]).ok_or(wrong),
    }
}

fn one_or_many<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> Value {
    let mut names = names;
    match names.len() {
        0 => Value::Null,
        1 => names.next().into_iter().next().unwrap_or_default().into(),
        _ => fields::texts(names),
    }
}

fn member(fields: &mut Fields) -> Result<Selection, DecodeError> {
    Ok(Selection::everyone().to(fields.text("sid")?))
}

fn room(fields: &mut Fields) -> Result<String, DecodeError> {
    let room = fields.take("room").and_then(fields::name);
    room.ok_or(DecodeError::Field { field: "room" })
}

fn pairs<'a>(to: &'a Selection, rooms: &'a [String]) -> impl Iterator<Item = (&'a str, &'a str)> {
    to.rooms()
        .flat_map(|sid| rooms.iter().map(move |room| (sid, room.as_str())))
}
