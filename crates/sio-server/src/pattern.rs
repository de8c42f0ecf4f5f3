//! Names of namespaces with places in them: `/room-{id}`.

use std::{fmt, str::FromStr};

use serde::{
    Deserializer,
    de::{
        self, DeserializeOwned, DeserializeSeed, Error as _, IntoDeserializer, MapAccess,
        SeqAccess, Visitor,
    },
    forward_to_deserialize_any,
};

/// Literal text and places in turn: `/{user}/{id}` is `/`, user, `/`, id, and nothing.
///
/// A place takes at least one character, none of them a slash, and ends where the text behind it first
/// comes; the last one ends where the end begins. Nothing is tried twice, so a name costs its length.
#[derive(Debug)]
pub(crate) struct Pattern {
    start: Box<str>,
    places: Box<[Place]>,
}

#[derive(Debug)]
struct Place {
    name: Box<str>,
    then: Box<str>,
}

impl Pattern {
    pub(crate) fn parse(pattern: &str) -> Result<Self, &'static str> {
        let (start, mut rest) = pattern.split_at(pattern.find('{').unwrap_or(pattern.len()));
        let mut places: Vec<Place> = Vec::new();
        while let Some(place) = rest.strip_prefix('{') {
            let Some((name, behind)) = place.split_once('}') else {
                return Err("a { has no }");
            };
            if name.is_empty() || name.contains('{') {
                return Err("a place needs a name");
            }
            if places.iter().any(|place| *place.name == *name) {
                return Err("two places have the same name");
            }
            let (then, next) = behind.split_at(behind.find('{').unwrap_or(behind.len()));
            if then.is_empty() && !next.is_empty() {
                return Err("two places stand side by side");
            }
            let (name, then) = (name.into(), then.into());
            places.push(Place { name, then });
            rest = next;
        }
        match places.is_empty() {
            true => Err("it has no place: use Namespace::new"),
            false => Ok(Self {
                start: start.into(),
                places: places.into(),
            }),
        }
    }

    /// What stands in the places of `name`, if it fits.
    fn places<'a>(&'a self, name: &'a str) -> Option<Vec<(&'a str, &'a str)>> {
        let mut rest = name.strip_prefix(&*self.start)?;
        let last = self.places.len() - 1;
        let mut found = Vec::with_capacity(self.places.len());
        for (index, place) in self.places.iter().enumerate() {
            let (value, behind) = if index == last {
                (rest.strip_suffix(&*place.then)?, "")
            } else {
                rest.split_once(&*place.then)?
            };
            if value.is_empty() || value.contains('/') {
                return None;
            }
            found.push((&*place.name, value));
            rest = behind;
        }
        Some(found)
    }

    /// Reads the places of `name`: a tuple by their order, a struct by their names, anything else the
    /// first. `None` if the name does not fit, or a place is not what is asked for.
    pub(crate) fn read<P: DeserializeOwned>(&self, name: &str) -> Option<P> {
        let places = self.places(name)?;
        P::deserialize(Places(&places)).ok()
    }
}

/// A value was not what it should be; which, nobody asks: the name just does not fit.
#[derive(Debug)]
struct Unfit;

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it does not fit")
    }
}

impl std::error::Error for Unfit {}

impl de::Error for Unfit {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

struct Places<'a>(&'a [(&'a str, &'a str)]);

macro_rules! first {
    ($($deserialize:ident)*) => {$(
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
            Text(self.0[0].1).$deserialize(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Places<'_> {
    type Error = Unfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        Text(self.0[0].1).deserialize_any(visitor)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visitor.visit_unit()
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visitor.visit_seq(self)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Unfit> {
        match len == self.0.len() {
            true => visitor.visit_seq(self),
            false => Err(Unfit),
        }
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visitor.visit_map(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        visitor.visit_map(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        Text(self.0[0].1).deserialize_enum(name, variants, visitor)
    }

    first! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_i128 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_u128 deserialize_f32 deserialize_f64 deserialize_option
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit_struct identifier ignored_any
    }
}

impl<'de> SeqAccess<'de> for Places<'_> {
    type Error = Unfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Unfit> {
        let Some(((_, value), rest)) = self.0.split_first() else {
            return Ok(None);
        };
        self.0 = rest;
        seed.deserialize(Text(value)).map(Some)
    }
}

impl<'de> MapAccess<'de> for Places<'_> {
    type Error = Unfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Unfit> {
        match self.0.first() {
            Some((name, _)) => seed.deserialize(Text(name)).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Unfit> {
        let ((_, value), rest) = self.0.split_first().ok_or_else(|| Unfit::custom(""))?;
        self.0 = rest;
        seed.deserialize(Text(value))
    }
}

/// What stands in one place.
struct Text<'a>(&'a str);

impl Text<'_> {
    fn parse<T: FromStr>(self) -> Result<T, Unfit> {
        self.0.parse().map_err(|_| Unfit)
    }
}

macro_rules! parse {
    ($($deserialize:ident $visit:ident)*) => {$(
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
            visitor.$visit(self.parse()?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Text<'_> {
    type Error = Unfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visitor.visit_str(self.0)
    }

    parse! {
        deserialize_bool visit_bool deserialize_i8 visit_i8 deserialize_i16 visit_i16
        deserialize_i32 visit_i32 deserialize_i64 visit_i64 deserialize_i128 visit_i128
        deserialize_u8 visit_u8 deserialize_u16 visit_u16 deserialize_u32 visit_u32
        deserialize_u64 visit_u64 deserialize_u128 visit_u128 deserialize_f32 visit_f32
        deserialize_f64 visit_f64
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        visitor.visit_enum(IntoDeserializer::<Unfit>::into_deserializer(self.0))
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
        ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[test]
    fn places_take_what_the_text_around_them_leaves() {
        let pattern = Pattern::parse("/{user}/room-{id}.{kind}").unwrap();
        let read = |name| pattern.read::<(String, u32, String)>(name);
        let found = ("é".to_owned(), 7, "a.b".to_owned());
        assert_eq!(read("/é/room-7.a.b"), Some(found));
        for name in [
            "/é/room-7.",
            "/é/room-.a",
            "//room-7.a",
            "/a/b/room-7.a",
            "/a/room-7.a/b",
            "/a/room-seven.a",
            "/a/room-4294967296.a",
            "a/room-7.a",
            "",
        ] {
            assert_eq!(read(name), None, "{name}");
        }
    }

    #[test]
    fn the_last_place_ends_where_the_end_begins() {
        let pattern = Pattern::parse("/{file}.txt").unwrap();
        assert_eq!(pattern.read("/a.txt.txt"), Some("a.txt".to_owned()));
        assert_eq!(pattern.read::<String>("/.txt"), None);
        assert_eq!(pattern.read::<String>("/a.txt.gz"), None);
    }

    #[test]
    fn places_are_read_by_order_by_name_or_alone() {
        #[derive(Debug, Deserialize, PartialEq)]
        struct Named {
            id: u64,
            user: String,
        }
        #[derive(Debug, Deserialize, PartialEq)]
        #[serde(rename_all = "lowercase")]
        enum Kind {
            Chat,
            News,
        }
        let pattern = Pattern::parse("/{user}/{id}").unwrap();
        let (user, id) = ("a".to_owned(), 1);
        assert_eq!(pattern.read("/a/1"), Some(Named { id, user }));
        assert_eq!(pattern.read::<Vec<String>>("/a/1").unwrap(), ["a", "1"]);
        assert_eq!(pattern.read("/a/1"), Some(()));
        assert_eq!(pattern.read::<(String,)>("/a/1"), None, "two places");
        let kind = Pattern::parse("/{kind}").unwrap();
        assert_eq!(kind.read("/news"), Some(Kind::News));
        assert_eq!(kind.read("/chat"), Some((Kind::Chat,)));
        assert_eq!(kind.read::<Kind>("/mail"), None);
        assert_eq!(kind.read("/-5"), Some(-5_i8));
    }

    #[test]
    fn a_pattern_that_cannot_be_meant_is_refused() {
        for pattern in ["/a", "/{a", "/{}", "/{a}{b}", "/{a}/{a}", "/{a{b}}"] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern}");
        }
    }
}
