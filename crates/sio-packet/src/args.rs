//! The arguments of an event or ack, read into the types of a handler.

use bytes::Bytes;
use serde::de::{self, DeserializeSeed, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::ReadError;
use crate::fault::Fault;
use crate::reader::{NO_COMMA_OR_BRACKET, Reader, SERDE_JSON};
use crate::value::ALL_ARGUMENTS;

/// The arguments of an event or ack, not read yet.
///
/// Nothing of their JSON has been looked at: [`Args::read`] goes over the text once, straight into
/// the type that the handler asks for, and hands out the attachments on the way. What nobody reads
/// must be checked with [`Args::validate`], since a malformed packet closes the connection also
/// when nobody wanted it.
///
/// ```
/// use sio_packet::{Args, Value};
///
/// // Of the event `["move",1,{"to":2}]`, from behind its name:
/// let rest = r#",1,{"to":2}]"#;
/// Args::event(rest, &mut []).validate()?; // for an event that nobody handles
/// let (from, to): (u32, Value) = Args::event(rest, &mut []).read()?;
/// assert_eq!(from, 1);
/// assert_eq!(to.as_object().map(|to| to.len()), Some(1));
/// // Of the ack `["ok"]`:
/// let answer: String = Args::ack(r#"["ok"]"#, &mut []).read()?;
/// assert_eq!(answer, "ok");
/// # Ok::<(), sio_packet::ReadError>(())
/// ```
#[derive(Debug)]
pub struct Args<'a> {
    text: &'a str,
    attachments: &'a mut [Bytes],
}

impl<'a> Args<'a> {
    /// The arguments of an event: the text that [`Packet::event`](crate::Packet::event) returned,
    /// from behind the name to the closing bracket.
    #[inline]
    pub fn event(rest: &'a str, attachments: &'a mut [Bytes]) -> Self {
        Self {
            text: rest,
            attachments,
        }
    }

    /// The arguments of an ack: [`Packet::data`](crate::Packet::data), an array.
    #[inline]
    pub fn ack(data: &'a str, attachments: &'a mut [Bytes]) -> Self {
        Self {
            text: data,
            attachments,
        }
    }

    /// The same arguments once more, for several who read them. `attachments` keeps what is handed
    /// out; the bytes themselves are shared.
    pub fn copy<'b>(&'b self, attachments: &'b mut Vec<Bytes>) -> Args<'b> {
        attachments.clear();
        attachments.extend_from_slice(self.attachments);
        Args {
            text: self.text,
            attachments,
        }
    }

    /// Checks that the arguments are well-formed, without reading them.
    ///
    /// # Errors
    /// [`ReadError::Syntax`] and [`ReadError::Attachment`]: close the connection.
    pub fn validate(&self) -> Result<(), ReadError> {
        // Two placeholders of the same number are not found here: nothing is handed out.
        check(self.text, &mut vec![Bytes::new(); self.attachments.len()])
            .map_err(|fault| fault.into_error(ROOT))
    }

    /// Reads the arguments into `T`.
    ///
    /// A tuple (or an array of fixed length, which is the same to serde) is several arguments, `()`
    /// is none, [`Arguments`](crate::Arguments) is all of them, and any other type is the first.
    /// Arguments beyond those that `T` asks for are checked and ignored, as JavaScript ignores them.
    /// Where one is missing an `Option` is `None` and everything else an error.
    ///
    /// Attachments go to whatever asks for bytes (`bytes::Bytes`, `serde_bytes`, `Vec<u8>`) or
    /// for anything ([`Value`](crate::Value)); each is handed out once.
    ///
    /// # Errors
    /// [`ReadError::Type`] if `T` is not what was sent; see [`ReadError::is_malformed`] for the others.
    #[inline]
    pub fn read<T: Deserialize<'a>>(self) -> Result<T, ReadError> {
        let Self { text, attachments } = self;
        let mut root = Root::new(Reader::new(text, attachments, 1));
        // Without `and_then`, which would move the value once more.
        let fault = match T::deserialize(&mut root) {
            Ok(value) => match root.finish() {
                Ok(()) => return Ok(value),
                Err(fault) => fault,
            },
            Err(fault) => fault,
        };
        let attachments = root.reader.into_attachments();
        Err(blame(fault, ROOT, || check(text, attachments)))
    }
}

/// Reads the payload of a CONNECT, [`Packet::data`](crate::Packet::data).
///
/// Without a payload, an `Option` is `None` and everything else is read from an empty object, which
/// is what Node shows its middleware.
///
/// ```
/// use sio_packet::{Limits, Packet, Value, read_auth};
///
/// let packet = Packet::parse(r#"0/chat,{"token":"abc"}"#, &Limits::default())?;
/// let auth: Value = read_auth(packet.data)?;
/// let token = auth.as_object().and_then(|auth| auth.get("token"));
/// assert_eq!(token.and_then(Value::as_str), Some("abc"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`Args::read`].
pub fn read_auth<'a, T: Deserialize<'a>>(data: &'a str) -> Result<T, ReadError> {
    if data.is_empty() {
        return T::deserialize(NoAuth).map_err(|fault| fault.into_error(AUTH));
    }
    let mut reader = Reader::new(data, &mut [], 0);
    match T::deserialize(&mut reader).and_then(|value| Ok((value, reader.scanner.end()?))) {
        Ok((value, ())) => Ok(value),
        Err(fault) => Err(blame(fault, AUTH, || {
            let mut reader = Reader::new(data, &mut [], 0);
            reader.skip()?;
            Ok(reader.scanner.end()?)
        })),
    }
}

/// If the type is to blame, the text may be too, further on, and that is worse.
#[cold]
fn blame(fault: Fault, root: &str, check: impl FnOnce() -> Result<(), Fault>) -> ReadError {
    let worse = if fault.is_type() { check().err() } else { None };
    worse.unwrap_or(fault).into_error(root)
}

fn check(text: &str, attachments: &mut [Bytes]) -> Result<(), Fault> {
    Root::new(Reader::new(text, attachments, 1)).finish()
}

/// The list of arguments, from its bracket or from behind the event's name.
struct Root<'de, 'a> {
    reader: Reader<'de, 'a>,
    /// Arguments behind the reader, including one that is being read.
    begun: usize,
}

impl<'de, 'a> Root<'de, 'a> {
    #[inline]
    fn new(reader: Reader<'de, 'a>) -> Self {
        Self { reader, begun: 0 }
    }

    /// Steps to the next argument; `false` if there is none.
    #[inline]
    fn next(&mut self) -> Result<bool, Fault> {
        let scanner = &mut self.reader.scanner;
        match scanner.peek() {
            Some(b',') => scanner.advance(),
            Some(b'[') if scanner.at() == 0 => {
                scanner.advance();
                if scanner.peek() == Some(b']') {
                    return Ok(false);
                }
            }
            Some(b']') => return Ok(false),
            _ => return Err(scanner.problem(NO_COMMA_OR_BRACKET).into()),
        }
        self.begun += 1;
        Ok(true)
    }

    /// Checks what is left.
    #[inline]
    fn finish(&mut self) -> Result<(), Fault> {
        if self.reader.scanner.ahead() == "]" {
            Ok(())
        } else {
            self.skip_rest()
        }
    }

    #[cold]
    fn skip_rest(&mut self) -> Result<(), Fault> {
        while self.next()? {
            self.reader
                .skip()
                .map_err(|fault| fault.in_element(self.begun - 1))?;
        }
        self.reader.scanner.advance();
        Ok(self.reader.scanner.end()?)
    }

    /// Reads the first argument with `read`, or that it is missing.
    #[inline]
    fn first<V, P: Visitor<'de, Value = V>>(
        &mut self,
        visitor: P,
        read: impl FnOnce(&mut Reader<'de, 'a>, P) -> Result<V, Fault>,
    ) -> Result<V, Fault> {
        let result = match self.next()? {
            true => read(&mut self.reader, visitor),
            false => Missing.deserialize_any(visitor),
        };
        result.map_err(|fault| fault.in_element(0))
    }
}

macro_rules! first {
    ($($method:ident)*) => { $(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            self.first(visitor, |reader, visitor| reader.$method(visitor))
        }
    )* };
}

impl<'de> Deserializer<'de> for &mut Root<'de, '_> {
    type Error = Fault;

    first! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32
        deserialize_i64 deserialize_i128 deserialize_u8 deserialize_u16 deserialize_u32
        deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64 deserialize_char
        deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf deserialize_seq
        deserialize_map deserialize_identifier
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let mut ahead = self.reader.scanner;
        if ahead.peek() == Some(b',') || (ahead.at() == 0 && ahead.peek() == Some(b'[')) {
            ahead.advance();
        }
        match ahead.peek() {
            Some(b']' | b'n') => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match name.starts_with(SERDE_JSON) {
            true => self.first(visitor, |reader, visitor| {
                reader.deserialize_newtype_struct(name, visitor)
            }),
            false => visitor.visit_newtype_struct(self),
        }
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_seq(Several { root: self, len })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if name == ALL_ARGUMENTS {
            return self.deserialize_tuple(len, visitor);
        }
        self.first(visitor, |reader, visitor| {
            reader.deserialize_tuple_struct(name, len, visitor)
        })
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.first(visitor, |reader, visitor| {
            reader.deserialize_struct(name, fields, visitor)
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.first(visitor, |reader, visitor| {
            reader.deserialize_enum(name, variants, visitor)
        })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }
}

/// Several arguments; of the `len` that are asked for, those at the end may be missing.
struct Several<'r, 'de, 'a> {
    root: &'r mut Root<'de, 'a>,
    len: usize,
}

impl<'de> SeqAccess<'de> for Several<'_, 'de, '_> {
    type Error = Fault;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        let index = self.root.begun;
        let result = if self.root.next()? {
            seed.deserialize(&mut self.root.reader)
        } else if index < self.len {
            self.root.begun += 1;
            seed.deserialize(Missing)
        } else {
            return Ok(None);
        };
        result.map(Some).map_err(|fault| fault.in_element(index))
    }
}

/// An argument that is not there.
struct Missing;

impl<'de> Deserializer<'de> for Missing {
    type Error = Fault;

    #[cold]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        struct Expected<V>(V);
        impl<'de, V: Visitor<'de>> std::fmt::Display for Expected<V> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.expecting(f)
            }
        }
        Err(de::Error::custom(format_args!(
            "the argument is missing, expected {}",
            Expected(visitor)
        )))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_none()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool char i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The payload of a CONNECT that has none.
struct NoAuth;

impl<'de> Deserializer<'de> for NoAuth {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        Reader::new("{}", &mut [], 0).deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_none()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match name.starts_with(SERDE_JSON) {
            true => Reader::new("{}", &mut [], 0).deserialize_newtype_struct(name, visitor),
            false => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool char i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 str string bytes byte_buf
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// What paths in errors begin with.
const AUTH: &str = "auth";
const ROOT: &str = "args";
