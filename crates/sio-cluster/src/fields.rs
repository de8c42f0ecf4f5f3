//! Fields of a message, taken one by one, each of the type that the format wants.

use std::time::Duration;

use sio_packet::{Object, Value};
use sio_rooms::Selection;

use crate::{
    DecodeError,
    message::{Answer, Flags, RemoteSocket},
    msgpack,
};

/// What marks an answer to an event for the nodes as [`Answer::Declined`]. Node passes it over, and hears
/// `undefined`.
pub(crate) const DECLINED: &str = "declined";

/// The members of an object that have not been taken yet.
pub(crate) struct Fields(Vec<(String, Value)>);

impl Fields {
    /// The members of a field that has to be an object.
    pub(crate) fn of(value: Value, field: &'static str) -> Result<Self, DecodeError> {
        match value {
            Value::Object(object) => Ok(Self(object.into_iter().collect())),
            _ => Err(DecodeError::Field { field }),
        }
    }

    /// Takes a member, the last of that name. `null` is as good as none, and so are the `undefined`s
    /// that MessagePack carries as nil.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        let at = self.0.iter().rposition(|(member, _)| member == name)?;
        Some(self.0.swap_remove(at).1).filter(|value| *value != Value::Null)
    }

    pub(crate) fn object(&mut self, field: &'static str) -> Result<Self, DecodeError> {
        Self::of(self.take(field).unwrap_or_default(), field)
    }

    pub(crate) fn text(&mut self, field: &'static str) -> Result<String, DecodeError> {
        self.optional_text(field)?
            .ok_or(DecodeError::Field { field })
    }

    pub(crate) fn optional_text(
        &mut self,
        field: &'static str,
    ) -> Result<Option<String>, DecodeError> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(DecodeError::Field { field }),
        }
    }

    pub(crate) fn whole(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        self.optional_whole(field)?
            .ok_or(DecodeError::Field { field })
    }

    pub(crate) fn optional_whole(
        &mut self,
        field: &'static str,
    ) -> Result<Option<u64>, DecodeError> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::Number(number)) => match whole(&number) {
                Some(whole) => Ok(Some(whole)),
                None => Err(DecodeError::Field { field }),
            },
            Some(_) => Err(DecodeError::Field { field }),
        }
    }

    /// Whether a flag is set; what is missing is not.
    pub(crate) fn flag(&mut self, field: &'static str) -> Result<bool, DecodeError> {
        match self.take(field) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(value),
            Some(_) => Err(DecodeError::Field { field }),
        }
    }

    pub(crate) fn list(&mut self, field: &'static str) -> Result<Vec<Value>, DecodeError> {
        match self.take(field) {
            Some(Value::Array(list)) => Ok(list),
            _ => Err(DecodeError::Field { field }),
        }
    }

    /// An event: a list that begins with its name.
    pub(crate) fn event(&mut self, field: &'static str) -> Result<Vec<Value>, DecodeError> {
        let list = self.list(field)?;
        match list.first() {
            Some(Value::String(_)) => Ok(list),
            _ => Err(DecodeError::Field { field }),
        }
    }

    /// A list of rooms. Node allows numbers; they are matched by their text.
    pub(crate) fn names(&mut self, field: &'static str) -> Result<Vec<String>, DecodeError> {
        let list = self.list(field)?;
        list.into_iter()
            .map(|value| name(value).ok_or(DecodeError::Field { field }))
            .collect()
    }

    /// `{rooms, except}`, and `flags` if they are there.
    pub(crate) fn options(
        &mut self,
        field: &'static str,
    ) -> Result<(Selection, Flags), DecodeError> {
        let mut options = self.object(field)?;
        let rooms = options.names("rooms")?;
        let except = match options.0.iter().any(|(name, _)| name == "except") {
            true => options.names("except")?,
            false => Vec::new(),
        };
        let mut flags = Flags::default();
        if let Some(value) = options.take("flags") {
            let mut fields = Self::of(value, "flags")?;
            flags.volatile = fields.flag("volatile")?;
            flags.compress = match fields.take("compress") {
                None => None,
                Some(Value::Bool(value)) => Some(value),
                Some(_) => return Err(DecodeError::Field { field: "compress" }),
            };
            flags.timeout = match fields.take("timeout") {
                None => None,
                Some(Value::Number(number)) => {
                    let millis = number.as_f64().filter(|millis| *millis >= 0.0);
                    let millis = millis.ok_or(DecodeError::Field { field: "timeout" })?;
                    Some(Duration::from_millis(millis as u64))
                }
                Some(_) => return Err(DecodeError::Field { field: "timeout" }),
            };
        }
        let selection = Selection::everyone().to_all(rooms).except_all(except);
        Ok((selection, flags))
    }

    /// The answer to an event for the nodes.
    pub(crate) fn server_answer(&mut self, field: &'static str) -> Result<Answer, DecodeError> {
        Ok(match self.flag(DECLINED)? {
            true => Answer::Declined,
            false => Answer::ServerAck(self.take(field).unwrap_or_default()),
        })
    }

    pub(crate) fn sockets(
        &mut self,
        field: &'static str,
    ) -> Result<Vec<RemoteSocket>, DecodeError> {
        let list = self.list(field)?;
        list.into_iter()
            .map(|socket| {
                let mut socket = Self::of(socket, field)?;
                Ok(RemoteSocket {
                    id: socket.text("id")?,
                    handshake: socket.take("handshake").unwrap_or_default(),
                    rooms: socket.names("rooms")?,
                    data: socket.take("data").unwrap_or_default(),
                })
            })
            .collect()
    }
}

/// The text of a room or id, which Node lets be a number.
pub(crate) fn name(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(match whole(&number) {
            Some(whole) => whole.to_string(),
            None => number.to_string(),
        }),
        _ => None,
    }
}

/// A whole number; JavaScript's 3.0 is one.
fn whole(number: &serde_json::Number) -> Option<u64> {
    number.as_u64().or_else(|| {
        let value = number.as_f64()?;
        let fits = (0.0..=9_007_199_254_740_992.0).contains(&value) && value.fract() == 0.0;
        fits.then_some(value as u64)
    })
}

/// Whoever is in a room that they are not in.
pub(crate) fn nobody() -> Selection {
    Selection::everyone().to("nobody").except("nobody")
}

/// JSON if it begins as an object does, else MessagePack.
pub(crate) fn decode(body: &[u8]) -> Result<Value, DecodeError> {
    match body.first() {
        Some(b'{') => json(body),
        _ => msgpack::decode(body),
    }
}

/// JSON, 128 levels deep at most.
pub(crate) fn json(body: &[u8]) -> Result<Value, DecodeError> {
    serde_json::from_slice(body).map_err(|error| {
        // serde_json says what is too deep in words alone.
        if error.to_string().starts_with("recursion limit") {
            return DecodeError::TooDeep {
                limit: msgpack::MAX_DEPTH,
            };
        }
        let before: usize = body
            .split_inclusive(|byte| *byte == b'\n')
            .take(error.line().saturating_sub(1))
            .map(<[u8]>::len)
            .sum();
        DecodeError::Syntax {
            syntax: "JSON",
            at: before + error.column(),
        }
    })
}

/// JSON, or MessagePack if there are bytes in it.
pub(crate) fn encode(message: Object) -> Vec<u8> {
    let message = Value::Object(message);
    if has_binary(&message) {
        let mut body = Vec::new();
        msgpack::encode(&message, &mut body);
        body
    } else {
        serde_json::to_vec(&message).expect("values without bytes are JSON")
    }
}

pub(crate) fn has_binary(value: &Value) -> bool {
    match value {
        Value::Binary(_) => true,
        Value::Array(list) => list.iter().any(has_binary),
        Value::Object(object) => object.iter().any(|(_, value)| has_binary(value)),
        _ => false,
    }
}

/// A list of texts as a value.
pub(crate) fn texts<'a>(names: impl IntoIterator<Item = &'a str>) -> Value {
    Value::Array(names.into_iter().map(Value::from).collect())
}

/// `{rooms, except}`, and `flags` if there are to be any.
pub(crate) fn options(to: &Selection, flags: Option<&Flags>) -> Object {
    let mut options = Object::new();
    options.push("rooms", texts(to.rooms()));
    options.push("except", texts(to.exceptions()));
    if let Some(flags) = flags {
        options.push("flags", flags_of(flags));
    }
    options
}

fn flags_of(flags: &Flags) -> Object {
    let mut object = Object::new();
    if flags.volatile {
        object.push("volatile", true);
    }
    if let Some(compress) = flags.compress {
        object.push("compress", compress);
    }
    if let Some(timeout) = flags.timeout {
        object.push("timeout", millis(timeout));
    }
    object
}

pub(crate) fn sockets(sockets: Vec<RemoteSocket>) -> Value {
    let socket = |socket: RemoteSocket| {
        let mut object = Object::new();
        object.push("id", socket.id);
        object.push("handshake", socket.handshake);
        object.push("rooms", texts(socket.rooms.iter().map(String::as_str)));
        object.push("data", socket.data);
        Value::Object(object)
    };
    Value::Array(sockets.into_iter().map(socket).collect())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
