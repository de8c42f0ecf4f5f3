//! Where header values come from.
//!
//! The check reads a handful of headers by name and does not care how the head was parsed. An
//! `http::HeaderMap` serves, and so does a slice of name and value pairs, which costs nothing to
//! build from `httparse`.

/// The header fields of a request or an answer.
///
/// Implemented for [`http::HeaderMap`] and for slices of `(name, value)`. For your own parsed head,
/// give the fields and the rest follows:
///
/// ```
/// struct Head<'a>(&'a [httparse::Header<'a>]);
///
/// impl ws_handshake::Headers for Head<'_> {
///     fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
///         self.0.iter().map(|field| (field.name, field.value))
///     }
/// }
/// ```
pub trait Headers {
    /// Every field, in the order of the message; names in any case, values without the white space
    /// around them (RFC 9110 §5.5).
    fn fields(&self) -> impl Iterator<Item = (&str, &[u8])>;

    /// The values of every field called `name`, in the order of the message.
    ///
    /// `name` is lower case; names are compared without regard to ASCII case.
    #[inline]
    fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.fields()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

impl Headers for http::HeaderMap {
    #[inline]
    fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
    }

    #[inline]
    fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.get_all(name).iter().map(http::HeaderValue::as_bytes)
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> Headers for [(N, V)] {
    #[inline]
    fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.iter()
            .map(|(name, value)| (name.as_ref(), value.as_ref()))
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>, const COUNT: usize> Headers for [(N, V); COUNT] {
    #[inline]
    fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.as_slice().fields()
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> Headers for Vec<(N, V)> {
    #[inline]
    fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.as_slice().fields()
    }
}

/// A field that may stand only once, and how often it was found.
#[derive(Clone, Copy, Default)]
pub(crate) enum Single<'a> {
    #[default]
    Missing,
    Once(&'a [u8]),
    Repeated,
}

impl<'a> Single<'a> {
    pub(crate) fn read<H: Headers + ?Sized>(headers: &'a H, name: &str) -> Self {
        let mut single = Self::default();
        headers.values(name).for_each(|value| single.add(value));
        single
    }

    #[inline]
    pub(crate) fn add(&mut self, value: &'a [u8]) {
        *self = match self {
            Self::Missing => Self::Once(value),
            Self::Once(_) | Self::Repeated => Self::Repeated,
        };
    }
}

/// The lines of a list field that may be split over several fields of one name.
///
/// One line, the usual case, is kept in place; only a second one allocates.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines<'a> {
    first: Option<&'a str>,
    rest: Vec<&'a str>,
    /// A line was not UTF-8. Nothing that is read in a list field goes beyond ASCII.
    garbled: bool,
}

impl<'a> Lines<'a> {
    pub(crate) fn read<H: Headers + ?Sized>(headers: &'a H, name: &str) -> Self {
        let mut lines = Self::default();
        headers.values(name).for_each(|value| lines.add(value));
        lines
    }

    pub(crate) fn add(&mut self, value: &'a [u8]) {
        match str::from_utf8(value) {
            Err(_) => self.garbled = true,
            Ok(line) if self.first.is_none() => self.first = Some(line),
            Ok(line) => self.rest.push(line),
        }
    }

    pub(crate) fn is_garbled(&self) -> bool {
        self.garbled
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &'a str> {
        self.first.into_iter().chain(self.rest.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_regard_to_case() {
        let head = [
            ("Sec-WebSocket-Key", "a"),
            ("HOST", "b"),
            ("sec-websocket-key", "c"),
        ];
        let values: Vec<_> = head.values("sec-websocket-key").collect();
        assert_eq!(values, [b"a", b"c"]);
        assert_eq!(head.as_slice().values("host").count(), 1);
        assert_eq!(head.to_vec().values("origin").count(), 0);
    }

    #[test]
    fn a_header_map_gives_every_value_in_order() {
        let mut map = http::HeaderMap::new();
        map.append("upgrade", http::HeaderValue::from_static("h2c"));
        map.append("upgrade", http::HeaderValue::from_static("websocket"));
        let values: Vec<_> = Headers::values(&map, "upgrade").collect();
        assert_eq!(values, [&b"h2c"[..], b"websocket"]);
    }
}
