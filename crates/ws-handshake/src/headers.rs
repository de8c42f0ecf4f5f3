//! Where header values come from.
//!
//! The check reads a handful of headers by name and does not care how the head was parsed. An
//! `http::HeaderMap` serves, and so does a slice of name and value pairs, which costs nothing to
//! build from `httparse`.

/// A set of header fields that can be asked for the values of one name.
///
/// Implemented for [`http::HeaderMap`] and for slices of `(name, value)`; implement it for your own
/// parsed head if neither fits.
pub trait Headers {
    /// The values of every field called `name`, in the order of the message.
    ///
    /// `name` is lower case; names are compared without regard to ASCII case. Values are given
    /// without the white space around them (RFC 9110 §5.5).
    fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]>;
}

impl Headers for http::HeaderMap {
    #[inline]
    fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.get_all(name).iter().map(http::HeaderValue::as_bytes)
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> Headers for [(N, V)] {
    #[inline]
    fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.iter()
            .filter(move |(n, _)| n.as_ref().eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_ref())
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>, const COUNT: usize> Headers for [(N, V); COUNT] {
    #[inline]
    fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.as_slice().values(name)
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> Headers for Vec<(N, V)> {
    #[inline]
    fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.as_slice().values(name)
    }
}

/// How often a field that must stand alone was found.
pub(crate) enum Single<'a> {
    Missing,
    Once(&'a [u8]),
    Repeated,
}

/// The value of a field that may stand only once.
#[inline]
pub(crate) fn single<'a, H: Headers + ?Sized>(headers: &'a H, name: &str) -> Single<'a> {
    let mut values = headers.values(name);
    match (values.next(), values.next()) {
        (None, _) => Single::Missing,
        (Some(value), None) => Single::Once(value),
        (Some(_), Some(_)) => Single::Repeated,
    }
}

/// The lines of a list field that may be split over several fields of one name.
///
/// One line, the usual case, is kept in place; only a second one allocates.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines<'a> {
    first: Option<&'a str>,
    rest: Vec<&'a str>,
}

impl<'a> Lines<'a> {
    /// The lines of `name`, or `None` if one of them is not UTF-8: nothing that we read in a list
    /// field goes beyond ASCII.
    pub(crate) fn read<H: Headers + ?Sized>(headers: &'a H, name: &str) -> Option<Self> {
        let mut values = headers.values(name);
        let Some(first) = values.next() else {
            return Some(Self::default());
        };
        let first = Some(str::from_utf8(first).ok()?);
        let rest = values.map(str::from_utf8).collect::<Result<_, _>>().ok()?;
        Some(Self { first, rest })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &'a str> {
        self.first.into_iter().chain(self.rest.iter().copied())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
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
