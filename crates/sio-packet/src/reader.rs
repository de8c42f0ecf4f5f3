//! JSON text into any type, attachments included: a serde deserializer.
//!
//! serde_json's own would do, but for two things: attachments, which stand in the text as objects
//! and are asked for as bytes, and speed, since it looks at each byte of a string on its own.
//!
//! Where a type asks for bytes, or for anything, a placeholder hands out its attachment; the bytes
//! are moved, not copied, unless somebody else holds on to them. An attachment is handed out once:
//! else a packet of a megabyte could ask for thirty thousand copies of one attachment.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserializer;
use serde::de::value::SeqDeserializer;
use serde::de::{self, Visitor};

use crate::access::{Elements, Members, UnitVariant, Variant};
use crate::error::TOO_DEEP;
use crate::fault::Fault;
use crate::placeholder::{self, Found};
use crate::scanner::{MAX_DEPTH, Number, Scanner};

/// Reads one value after the other from a text.
#[derive(Debug)]
pub(crate) struct Reader<'de, 'a> {
    pub(crate) scanner: Scanner<'de>,
    attachments: &'a mut [Bytes],
    depth: usize,
}

impl<'de, 'a> Reader<'de, 'a> {
    /// A reader of `text`, in which `depth` arrays or objects are open already.
    #[inline]
    pub(crate) fn new(text: &'de str, attachments: &'a mut [Bytes], depth: usize) -> Self {
        Self {
            scanner: Scanner::new(text),
            attachments,
            depth,
        }
    }

    pub(crate) fn into_attachments(self) -> &'a mut [Bytes] {
        self.attachments
    }

    /// Steps over a value; checks it as it would be checked if it were read.
    ///
    /// Not recursive: which of the open brackets are objects is a bit each.
    pub(crate) fn skip(&mut self) -> Result<(), Fault> {
        let mut objects = 0u128;
        let mut open = 0;
        loop {
            let mut ended = true;
            match self.scanner.peek() {
                Some(b'"') => self.scanner.skip_string()?,
                Some(b'-' | b'0'..=b'9') => {
                    self.scanner.number_text()?;
                }
                Some(b'n') => self.scanner.literal("null")?,
                Some(b't') => self.scanner.literal("true")?,
                Some(b'f') => self.scanner.literal("false")?,
                Some(bracket @ (b'[' | b'{')) => {
                    let object = bracket == b'{';
                    if object && let Some((_, after)) = self.placeholder()? {
                        self.scanner = after;
                    } else {
                        if self.depth + open == MAX_DEPTH {
                            return Err(self.scanner.problem(TOO_DEEP).into());
                        }
                        self.scanner.advance();
                        objects = objects << 1 | u128::from(object);
                        open += 1;
                        ended = self.scanner.eat(if object { b'}' } else { b']' });
                        if ended {
                            objects >>= 1;
                            open -= 1;
                        } else if object {
                            self.skip_name()?;
                        }
                    }
                }
                _ => return Err(self.not_a_value()),
            }
            while ended && open > 0 {
                let object = objects & 1 == 1;
                if self.scanner.eat(b',') {
                    if object {
                        self.skip_name()?;
                    }
                    ended = false;
                } else {
                    let (bracket, problem) = if object {
                        (b'}', NO_COMMA_OR_BRACE)
                    } else {
                        (b']', NO_COMMA_OR_BRACKET)
                    };
                    self.scanner.expect(bracket, problem)?;
                    objects >>= 1;
                    open -= 1;
                }
            }
            if ended {
                return Ok(());
            }
        }
    }

    /// The name of the next member of an object, and the colon behind it.
    #[inline]
    pub(crate) fn name(&mut self) -> Result<Cow<'de, str>, Fault> {
        if self.scanner.peek() != Some(b'"') {
            return Err(self.scanner.problem(NO_NAME).into());
        }
        let name = self.scanner.string()?;
        self.scanner.expect(b':', NO_COLON)?;
        Ok(name)
    }

    /// Steps into an array or object, whose bracket is next.
    #[inline]
    fn enter(&mut self) -> Result<(), Fault> {
        if self.depth == MAX_DEPTH {
            return Err(self.scanner.problem(TOO_DEEP).into());
        }
        self.depth += 1;
        self.scanner.advance();
        Ok(())
    }

    #[inline]
    fn leave(&mut self, bracket: u8) -> Result<(), Fault> {
        self.depth -= 1;
        if self.scanner.eat(bracket) {
            return Ok(());
        }
        // The visitor stopped early: it wanted fewer elements than there are.
        Err(if self.scanner.peek() == Some(b',') {
            de::Error::custom("there are more elements than expected")
        } else {
            let problem = if bracket == b'}' {
                NO_COMMA_OR_BRACE
            } else {
                NO_COMMA_OR_BRACKET
            };
            self.scanner.problem(problem).into()
        })
    }

    #[inline]
    fn array<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Fault> {
        self.enter()?;
        let value = visitor.visit_seq(Elements::new(self))?;
        self.leave(b']')?;
        Ok(value)
    }

    /// An object, or the attachment whose place it is.
    #[inline]
    fn object<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Fault> {
        if let Some(attachment) = self.attachment()? {
            return visitor.visit_byte_buf(attachment.into());
        }
        self.enter()?;
        let value = visitor.visit_map(Members::new(self))?;
        self.leave(b'}')?;
        Ok(value)
    }

    #[inline(always)]
    fn string<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Fault> {
        match self.scanner.string()? {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    #[inline]
    fn number<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Fault> {
        match self.scanner.number()? {
            Number::Float(value) => visitor.visit_f64(value),
            Number::Negative(value) => visitor.visit_i64(value),
            Number::Positive(value) => visitor.visit_u64(value),
        }
    }

    /// The placeholder that is next, if the packet has attachments and this is one.
    fn placeholder(&self) -> Result<Option<(usize, Scanner<'de>)>, Fault> {
        if self.attachments.is_empty() {
            return Ok(None);
        }
        match placeholder::find(self.scanner) {
            Found::Bad(problem) => Err(Fault::attachment(problem)),
            Found::Nothing => Ok(None),
            Found::Placeholder { number, after } => match usize::try_from(number) {
                Ok(number) if number < self.attachments.len() => Ok(Some((number, after))),
                _ => Err(Fault::attachment(
                    "there is no attachment with the placeholder's number",
                )),
            },
        }
    }

    /// Takes the attachment whose placeholder is next.
    #[inline]
    fn attachment(&mut self) -> Result<Option<Bytes>, Fault> {
        let Some((number, after)) = self.placeholder()? else {
            return Ok(None);
        };
        let attachment =
            std::mem::replace(&mut self.attachments[number], Bytes::from_static(&TAKEN));
        if attachment.as_ptr() == TAKEN.as_ptr() {
            return Err(Fault::attachment("two placeholders have the same number"));
        }
        self.scanner = after;
        Ok(Some(attachment))
    }

    fn skip_name(&mut self) -> Result<(), Fault> {
        if self.scanner.peek() != Some(b'"') {
            return Err(self.scanner.problem(NO_NAME).into());
        }
        self.scanner.skip_string()?;
        Ok(self.scanner.expect(b':', NO_COLON)?)
    }

    #[cold]
    fn not_a_value(&self) -> Fault {
        self.scanner.problem("no value").into()
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de, '_> {
    type Error = Fault;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.scanner.peek() {
            Some(b'"') => self.string(visitor),
            Some(b'-' | b'0'..=b'9') => self.number(visitor),
            Some(b'[') => self.array(visitor),
            Some(b'{') => self.object(visitor),
            Some(b'n') => {
                self.scanner.literal("null")?;
                visitor.visit_unit()
            }
            Some(b't') => {
                self.scanner.literal("true")?;
                visitor.visit_bool(true)
            }
            Some(b'f') => {
                self.scanner.literal("false")?;
                visitor.visit_bool(false)
            }
            _ => Err(self.not_a_value()),
        }
    }

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.scanner.peek() {
            Some(b'"') => self.string(visitor),
            _ => self.deserialize_any(visitor),
        }
    }

    #[inline]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    /// Rounded once, from the decimal digits.
    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let Some(b'-' | b'0'..=b'9') = self.scanner.peek() else {
            return self.deserialize_any(visitor);
        };
        match self.scanner.number_text()?.parse::<f32>() {
            Ok(value) if value.is_finite() => visitor.visit_f32(value),
            _ => Err(de::Error::custom("the number is out of range of f32")),
        }
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let before = self.scanner;
        if let Some(b'-' | b'0'..=b'9') = self.scanner.peek()
            && let Ok(value) = self.scanner.number_text()?.parse()
        {
            return visitor.visit_i128(value);
        }
        self.scanner = before;
        self.deserialize_any(visitor)
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let before = self.scanner;
        if let Some(b'0'..=b'9') = self.scanner.peek()
            && let Ok(value) = self.scanner.number_text()?.parse()
        {
            return visitor.visit_u128(value);
        }
        self.scanner = before;
        self.deserialize_any(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.scanner.peek() {
            Some(b'"') => match self.scanner.string()? {
                Cow::Borrowed(text) => visitor.visit_borrowed_bytes(text.as_bytes()),
                Cow::Owned(text) => visitor.visit_byte_buf(text.into_bytes()),
            },
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_bytes(visitor)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.scanner.peek() {
            Some(b'n') => {
                self.scanner.literal("null")?;
                visitor.visit_none()
            }
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if !name.starts_with(SERDE_JSON) {
            return visitor.visit_newtype_struct(self);
        }
        // A `RawValue`: serde_json knows how its own type wants to be read.
        self.scanner.peek();
        let start = self.scanner.at();
        self.skip()?;
        serde_json::Deserializer::from_str(self.scanner.since(start))
            .deserialize_newtype_struct(name, visitor)
            .map_err(de::Error::custom)
    }

    /// An attachment may also be read as a sequence of numbers, into a `Vec<u8>`.
    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.scanner.peek() {
            Some(b'[') => self.array(visitor),
            Some(b'{') => match self.attachment()? {
                Some(bytes) => visitor.visit_seq(SeqDeserializer::new(bytes.into_iter())),
                None => self.deserialize_any(visitor),
            },
            _ => self.deserialize_any(visitor),
        }
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.scanner.peek() {
            Some(b'"') => visitor.visit_enum(UnitVariant::new(self.scanner.string()?)),
            Some(b'{') => {
                self.enter()?;
                let value = visitor.visit_enum(Variant::new(self))?;
                self.leave(b'}')?;
                Ok(value)
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.skip()?;
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool char i8 i16 i32 i64 u8 u16 u32 u64 f64 unit unit_struct map struct identifier
    }
}

/// Stands where an attachment was; known by its address.
static TAKEN: [u8; 1] = [0];

/// The names of serde_json's types that are not what they seem begin like this.
pub(crate) const SERDE_JSON: &str = "$serde_json::private::";

const NO_COLON: &str = "no colon after a name";
pub(crate) const NO_COMMA_OR_BRACE: &str = "neither a comma nor a closing brace";
pub(crate) const NO_COMMA_OR_BRACKET: &str = "neither a comma nor a closing bracket";
const NO_NAME: &str = "no name of a member";
