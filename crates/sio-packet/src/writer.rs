//! Any type into JSON text and attachments: a serde serializer.
//!
//! The text is what serde_json writes, to the byte, except that bytes become attachments; strings
//! take the fast road of `string.rs`, which is where most of the time goes otherwise.

use std::fmt::{self, Display};
use std::io::Write;

use serde::ser::{
    self, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant,
};
use serde::{Serialize, Serializer};

use crate::key::Key;
use crate::placeholder::MARK;
use crate::reader::SERDE_JSON;
use crate::{Attachments, WriteError, string};

/// Writes one value after the other into a text.
pub(crate) struct Writer<'a> {
    pub(crate) out: &'a mut Vec<u8>,
    pub(crate) attachments: &'a mut Attachments,
    /// Attachments that were there before this packet.
    pub(crate) before: usize,
    /// Whether the next value is the arguments as a whole: a tuple of it gets no brackets.
    pub(crate) root: bool,
    /// Whether the caller's own data has a member that looks like our mark of an attachment.
    pub(crate) marked: bool,
}

impl Writer<'_> {
    #[inline]
    fn open(&mut self, bracket: u8) {
        self.root = false;
        self.out.push(bracket);
    }

    #[inline]
    pub(crate) fn name(&mut self, name: &str) {
        self.marked |= name == MARK;
        string::write(self.out, name);
        self.out.push(b':');
    }

    fn variant(&mut self, name: &str) {
        self.open(b'{');
        self.name(name);
    }

    fn integer(&mut self, value: impl itoa::Integer) {
        self.out
            .extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// As serde_json: `null` for what is no number.
    pub(crate) fn float(&mut self, value: impl Serialize) -> Result<(), WriteError> {
        serde_json::to_writer(&mut *self.out, &value).map_err(ser::Error::custom)
    }
}

macro_rules! integers {
    ($($method:ident $integer:ty,)*) => { $(
        #[inline]
        fn $method(self, value: $integer) -> Result<(), WriteError> {
            self.integer(value);
            Ok(())
        }
    )* };
}

impl<'w, 'a> Serializer for &'w mut Writer<'a> {
    type Ok = ();
    type Error = WriteError;
    type SerializeSeq = List<'w, 'a>;
    type SerializeTuple = List<'w, 'a>;
    type SerializeTupleStruct = List<'w, 'a>;
    type SerializeTupleVariant = List<'w, 'a>;
    type SerializeMap = List<'w, 'a>;
    type SerializeStruct = List<'w, 'a>;
    type SerializeStructVariant = List<'w, 'a>;

    integers! {
        serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64,
        serialize_i128 i128,
        serialize_u8 u8, serialize_u16 u16, serialize_u32 u32, serialize_u64 u64,
        serialize_u128 u128,
    }

    fn serialize_bool(self, value: bool) -> Result<(), WriteError> {
        self.out
            .extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), WriteError> {
        self.float(value)
    }

    fn serialize_f64(self, value: f64) -> Result<(), WriteError> {
        self.float(value)
    }

    fn serialize_char(self, value: char) -> Result<(), WriteError> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<(), WriteError> {
        string::write(self.out, value);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), WriteError> {
        let number = self.attachments.len() - self.before;
        self.attachments.push_lent(value);
        self.out
            .extend_from_slice(b"{\"_placeholder\":true,\"num\":");
        self.integer(number);
        self.out.push(b'}');
        Ok(())
    }

    fn serialize_none(self) -> Result<(), WriteError> {
        self.out.extend_from_slice(b"null");
        Ok(())
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), WriteError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), WriteError> {
        if self.root {
            Ok(())
        } else {
            self.serialize_none()
        }
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), WriteError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), WriteError> {
        self.serialize_str(variant)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), WriteError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), WriteError> {
        self.variant(variant);
        value.serialize(&mut *self)?;
        self.out.push(b'}');
        Ok(())
    }

    #[inline]
    fn serialize_seq(self, _len: Option<usize>) -> Result<List<'w, 'a>, WriteError> {
        self.open(b'[');
        Ok(List::new(self, "]"))
    }

    #[inline]
    fn serialize_tuple(self, len: usize) -> Result<List<'w, 'a>, WriteError> {
        if self.root {
            self.root = false;
            return Ok(List::new(self, ""));
        }
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        len: usize,
    ) -> Result<List<'w, 'a>, WriteError> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<List<'w, 'a>, WriteError> {
        self.variant(variant);
        self.open(b'[');
        Ok(List::new(self, "]}"))
    }

    #[inline]
    fn serialize_map(self, _len: Option<usize>) -> Result<List<'w, 'a>, WriteError> {
        self.open(b'{');
        Ok(List::new(self, "}"))
    }

    #[inline]
    fn serialize_struct(self, name: &'static str, len: usize) -> Result<List<'w, 'a>, WriteError> {
        if name.starts_with(SERDE_JSON) {
            self.root = false;
            return Ok(List {
                writer: self,
                first: true,
                end: "",
                verbatim: true,
            });
        }
        self.serialize_map(Some(len))
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<List<'w, 'a>, WriteError> {
        self.variant(variant);
        self.open(b'{');
        Ok(List::new(self, "}}"))
    }
}

/// The inside of an array or object.
pub(crate) struct List<'w, 'a> {
    writer: &'w mut Writer<'a>,
    first: bool,
    end: &'static str,
    /// Whether this is serde_json's `RawValue`, whose one field is JSON text already.
    verbatim: bool,
}

impl<'w, 'a> List<'w, 'a> {
    #[inline]
    fn new(writer: &'w mut Writer<'a>, end: &'static str) -> Self {
        Self {
            writer,
            first: true,
            end,
            verbatim: false,
        }
    }

    #[inline]
    fn separate(&mut self) {
        if !std::mem::replace(&mut self.first, false) {
            self.writer.out.push(b',');
        }
    }

    #[inline]
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WriteError> {
        self.separate();
        value.serialize(&mut *self.writer)
    }

    #[inline]
    fn member<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), WriteError> {
        if self.verbatim {
            return self.raw(value);
        }
        self.separate();
        self.writer.name(name);
        value.serialize(&mut *self.writer)
    }

    #[inline]
    fn finish(self) -> Result<(), WriteError> {
        self.writer.out.extend_from_slice(self.end.as_bytes());
        Ok(())
    }

    #[cold]
    fn raw<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WriteError> {
        let start = self.writer.out.len();
        write!(self.writer.out, "{}", Shown(value)).map_err(ser::Error::custom)?;
        // The mark may be spelled with escapes; who sends that means harm, or nothing we know.
        let text = &self.writer.out[start..];
        let finds = |needle: &[u8]| memchr::memmem::find(text, needle).is_some();
        self.writer.marked |= finds(MARK.as_bytes()) || finds(b"\\u005f") || finds(b"\\u005F");
        Ok(())
    }
}

macro_rules! lists {
    ($($access:ident $method:ident,)*) => { $(
        impl $access for List<'_, '_> {
            type Ok = ();
            type Error = WriteError;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WriteError> {
                self.element(value)
            }

            #[inline]
            fn end(self) -> Result<(), WriteError> {
                self.finish()
            }
        }
    )* };
}

lists! {
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field,
}

macro_rules! structs {
    ($($access:ident)*) => { $(
        impl $access for List<'_, '_> {
            type Ok = ();
            type Error = WriteError;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), WriteError> {
                self.member(name, value)
            }

            #[inline]
            fn end(self) -> Result<(), WriteError> {
                self.finish()
            }
        }
    )* };
}

structs! { SerializeStruct SerializeStructVariant }

impl SerializeMap for List<'_, '_> {
    type Ok = ();
    type Error = WriteError;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), WriteError> {
        self.separate();
        key.serialize(Key(&mut *self.writer))
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WriteError> {
        value.serialize(&mut *self.writer)
    }

    #[inline]
    fn end(self) -> Result<(), WriteError> {
        self.finish()
    }
}

/// Shows a string without quotes or escapes.
struct Shown<'a, T: ?Sized>(&'a T);

impl<T: Serialize + ?Sized> Display for Shown<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.serialize(f)
    }
}

impl ser::Error for WriteError {
    #[cold]
    fn custom<T: Display>(message: T) -> Self {
        Self::Custom(message.to_string())
    }
}
