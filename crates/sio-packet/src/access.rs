//! The insides of arrays and objects, and enums, as serde wants them.

use std::borrow::Cow;

use serde::Deserializer;
use serde::de::{
    self, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};

use crate::fault::Fault;
use crate::reader::{NO_COMMA_OR_BRACE, NO_COMMA_OR_BRACKET, Reader};

/// The elements of an array whose bracket is behind the reader.
pub(crate) struct Elements<'r, 'de, 'a> {
    reader: &'r mut Reader<'de, 'a>,
    index: usize,
}

impl<'r, 'de, 'a> Elements<'r, 'de, 'a> {
    #[inline]
    pub(crate) fn new(reader: &'r mut Reader<'de, 'a>) -> Self {
        Self { reader, index: 0 }
    }
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de, '_> {
    type Error = Fault;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        let scanner = &mut self.reader.scanner;
        match scanner.peek() {
            Some(b']') => return Ok(None),
            _ if self.index == 0 => {}
            _ => scanner.expect(b',', NO_COMMA_OR_BRACKET)?,
        }
        let index = self.index;
        self.index += 1;
        match seed.deserialize(&mut *self.reader) {
            Ok(value) => Ok(Some(value)),
            Err(fault) => Err(fault.in_element(index)),
        }
    }
}

/// The members of an object whose brace is behind the reader.
pub(crate) struct Members<'r, 'de, 'a> {
    reader: &'r mut Reader<'de, 'a>,
    name: Option<Cow<'de, str>>,
}

impl<'r, 'de, 'a> Members<'r, 'de, 'a> {
    #[inline]
    pub(crate) fn new(reader: &'r mut Reader<'de, 'a>) -> Self {
        Self { reader, name: None }
    }
}

impl<'de> MapAccess<'de> for Members<'_, 'de, '_> {
    type Error = Fault;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        let scanner = &mut self.reader.scanner;
        match scanner.peek() {
            Some(b'}') => return Ok(None),
            _ if self.name.is_none() => {}
            _ => scanner.expect(b',', NO_COMMA_OR_BRACE)?,
        }
        let name = self.name.insert(self.reader.name()?);
        match seed.deserialize(Name::of(name)) {
            Ok(key) => Ok(Some(key)),
            Err(fault) => Err(fault.in_member(name)),
        }
    }

    #[inline]
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        seed.deserialize(&mut *self.reader)
            .map_err(|fault| fault.in_member(self.name.as_deref().unwrap_or_default()))
    }
}

/// The name of a member; where a number is asked for, the number that it spells.
struct Name<'de, 'n> {
    /// The name, if it is a slice of the packet.
    slice: Option<&'de str>,
    text: &'n str,
}

impl<'de, 'n> Name<'de, 'n> {
    #[inline]
    fn of(name: &'n Cow<'de, str>) -> Self {
        match name {
            Cow::Borrowed(slice) => Self {
                slice: Some(slice),
                text: slice,
            },
            Cow::Owned(text) => Self { slice: None, text },
        }
    }
}

macro_rules! parse_numbers {
    ($($deserialize:ident $visit:ident,)*) => { $(
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            match self.text.parse() {
                Ok(number) => visitor.$visit(number),
                Err(_) => self.deserialize_any(visitor),
            }
        }
    )* };
}

impl<'de> Deserializer<'de> for Name<'de, '_> {
    type Error = Fault;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.slice {
            Some(text) => visitor.visit_borrowed_str(text),
            None => visitor.visit_str(self.text),
        }
    }

    parse_numbers! {
        deserialize_bool visit_bool,
        deserialize_i8 visit_i8, deserialize_i16 visit_i16, deserialize_i32 visit_i32,
        deserialize_i64 visit_i64, deserialize_i128 visit_i128,
        deserialize_u8 visit_u8, deserialize_u16 visit_u16, deserialize_u32 visit_u32,
        deserialize_u64 visit_u64, deserialize_u128 visit_u128,
        deserialize_f32 visit_f32, deserialize_f64 visit_f64,
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_enum(self.text.into_deserializer())
    }

    serde::forward_to_deserialize_any! {
        bytes byte_buf char str string unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

/// A variant written as a string: it has no content.
pub(crate) struct UnitVariant<'de>(Cow<'de, str>);

impl<'de> UnitVariant<'de> {
    pub(crate) fn new(name: Cow<'de, str>) -> Self {
        Self(name)
    }
}

impl<'de> EnumAccess<'de> for UnitVariant<'de> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        Ok((seed.deserialize(Name::of(&self.0))?, self))
    }
}

impl<'de> VariantAccess<'de> for UnitVariant<'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _seed: T) -> Result<T::Value, Fault> {
        Err(no_content("a value"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, _visitor: V) -> Result<V::Value, Fault> {
        Err(no_content("an array"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Fault> {
        Err(no_content("an object"))
    }
}

#[cold]
fn no_content(expected: &str) -> Fault {
    de::Error::custom(format_args!(
        "the variant has no content, expected {expected}"
    ))
}

/// A variant written as an object with one member.
pub(crate) struct Variant<'r, 'de, 'a> {
    reader: &'r mut Reader<'de, 'a>,
}

impl<'r, 'de, 'a> Variant<'r, 'de, 'a> {
    pub(crate) fn new(reader: &'r mut Reader<'de, 'a>) -> Self {
        Self { reader }
    }
}

impl<'de> EnumAccess<'de> for Variant<'_, 'de, '_> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        if self.reader.scanner.peek() == Some(b'}') {
            return Err(de::Error::custom(
                "an empty object, expected one with a variant",
            ));
        }
        Ok((seed.deserialize(Name::of(&self.reader.name()?))?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de, '_> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        de::Deserialize::deserialize(self.reader)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        seed.deserialize(self.reader)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Fault> {
        self.reader.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.reader.deserialize_any(visitor)
    }
}
