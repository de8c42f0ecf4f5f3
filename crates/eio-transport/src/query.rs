//! What the query string of a request says, read as the reference implementation reads it.
//!
//! Percent-encoding and `+` are undone in names and values; of a repeated name the last value
//! counts. Unknown names are left alone, among them `t`, with which clients defeat caches.

use std::borrow::Cow;

use crate::config::Revision;
use crate::parcel::Dialect;
use crate::sid::Sid;

/// The parts of a query string that concern Engine.IO.
///
/// ```
/// use eio_transport::{Query, Revision};
///
/// let query = Query::parse(Some("EIO=4&transport=polling&sid=BwcHBwcHBwcHBwcHBwcH&b64=1"));
/// assert_eq!(query.revision, Revision::V4);
/// assert_eq!(query.transport.as_deref(), Some("polling"));
/// assert_eq!(query.sid().map(|sid| sid.as_str().len()), Some(20));
/// assert!(query.takes_text_only());
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Query<'a> {
    /// The revision: exactly `EIO=4` is 4; anything else, also nothing, is 3.
    pub revision: Revision,
    /// The transport as it was named, `None` if it was not.
    pub transport: Option<Cow<'a, str>>,
    /// Which session the request is about.
    pub session: Claim,
    /// Whether the client cannot take binary (`b64` with any value, or none).
    pub b64: bool,
    /// The index of the JSONP callback, the digits of `j`; `None` if `j` is absent.
    pub jsonp: Option<u64>,
}

/// Which session a request claims to belong to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Claim {
    /// None: it wants to open one.
    New,
    /// The session of that id.
    Session(Sid),
    /// One whose id cannot be one of ours. It is unknown, and never opens a new session.
    Malformed,
}

impl<'a> Query<'a> {
    /// Reads what stands behind the `?` of a request target; `None` if there is no `?`.
    pub fn parse(raw: Option<&'a str>) -> Self {
        let mut query = Self {
            revision: Revision::V3,
            transport: None,
            session: Claim::New,
            b64: false,
            jsonp: None,
        };
        let mut rest = raw.unwrap_or("");
        // Nearly all queries begin in one of two ways, which are known without being taken apart.
        for (begin, transport) in BEGINNINGS {
            if let Some(behind) = rest.strip_prefix(begin)
                && (behind.is_empty() || behind.starts_with('&'))
            {
                query.revision = Revision::V4;
                query.transport = Some(Cow::Borrowed(transport));
                rest = behind.get(1..).unwrap_or("");
                break;
            }
        }
        while !rest.is_empty() {
            if let Some((sid, behind)) = plain_sid(rest) {
                query.session = Claim::Session(sid);
                rest = behind;
                continue;
            }
            let Pair { name, value, coded } = Pair::cut(&mut rest);
            // Hardly any query has something to decode.
            let decode = |text| match coded {
                true => decode(text),
                false => Cow::Borrowed(text),
            };
            match &*decode(name) {
                "EIO" if decode(value) == "4" => query.revision = Revision::V4,
                "EIO" => query.revision = Revision::V3,
                "transport" => query.transport = Some(decode(value)),
                "sid" => query.session = Claim::parse(&decode(value)),
                "b64" => query.b64 = true,
                "j" => query.jsonp = Some(digits(&decode(value))),
                _ => {}
            }
        }
        query
    }

    /// Whether this transport carries text only: the client said `b64`, or polls by JSONP.
    #[inline]
    pub const fn takes_text_only(&self) -> bool {
        self.b64 || self.jsonp.is_some()
    }

    /// How bytes are to be carried by this transport.
    #[inline]
    pub const fn dialect(&self) -> Dialect {
        Dialect::new(self.revision, self.takes_text_only())
    }

    /// The id of the session that the request is about, if it can be one of ours.
    #[inline]
    pub fn sid(&self) -> Option<Sid> {
        match self.session {
            Claim::Session(sid) => Some(sid),
            Claim::New | Claim::Malformed => None,
        }
    }
}

/// How the clients of revision 4 begin a query, and the transport that is named by it.
const BEGINNINGS: [(&str, &str); 2] = [
    ("EIO=4&transport=polling", "polling"),
    ("EIO=4&transport=websocket", "websocket"),
];

impl Claim {
    fn parse(sid: &str) -> Self {
        if sid.is_empty() {
            return Self::New;
        }
        Sid::parse(sid).map_or(Self::Malformed, Self::Session)
    }
}

fn digits(text: &str) -> u64 {
    text.bytes()
        .filter(u8::is_ascii_digit)
        .fold(0, |index, digit| {
            index.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'))
        })
}

/// An id as it was made at the beginning of `rest`, and what is behind it: what nearly all requests of a
/// session have, known without being looked at byte by byte.
#[inline]
fn plain_sid(rest: &str) -> Option<(Sid, &str)> {
    let (id, behind) = rest.strip_prefix("sid=")?.split_at_checked(Sid::LEN)?;
    let behind = match behind.as_bytes().first() {
        Some(b'&') => &behind[1..],
        Some(_) => return None,
        None => behind,
    };
    Some((Sid::parse(id)?, behind))
}

/// A name and its value, as they stand in a query.
struct Pair<'a> {
    name: &'a str,
    value: &'a str,
    /// There may be something to decode.
    coded: bool,
}

impl<'a> Pair<'a> {
    /// Takes the first pair from `rest`, and the `&` behind it.
    ///
    /// Byte by byte: to begin a search by `memchr` costs more than what is searched here is long.
    #[inline]
    fn cut(rest: &mut &'a str) -> Self {
        let (mut name, mut coded) = (None, false);
        let end = rest.bytes().enumerate().find(|(at, byte)| {
            match byte {
                b'=' if name.is_none() => name = Some(*at),
                b'%' | b'+' => coded = true,
                _ => {}
            }
            *byte == b'&'
        });
        let (pair, after) = rest.split_at(end.map_or(rest.len(), |(at, _)| at));
        *rest = after.get(1..).unwrap_or("");
        let (name, value) = pair.split_at(name.unwrap_or(pair.len()));
        let value = value.get(1..).unwrap_or("");
        Self { name, value, coded }
    }
}

/// Undoes `application/x-www-form-urlencoded`; what is not UTF-8 then is replaced.
pub(crate) fn decode(text: &str) -> Cow<'_, str> {
    if memchr::memchr2(b'%', b'+', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        bytes.push(match (byte, tail) {
            (b'+', _) => b' ',
            (b'%', [high, low, tail @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                rest = tail;
                hex(*high).unwrap_or(0) << 4 | hex(*low).unwrap_or(0)
            }
            _ => *byte,
        });
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Transport;

    const SID: &str = "ABCDEFGHIJKLMNOPQRST";

    #[test]
    fn eio_4_exactly_is_revision_4_and_anything_else_is_3() {
        for (raw, revision) in [
            ("EIO=4", Revision::V4),
            ("t=x&EIO=4&transport=polling", Revision::V4),
            ("EIO=%34", Revision::V4),
            ("EI%4F=4", Revision::V4),
            ("EIO=3&EIO=4", Revision::V4),
            ("EIO=4&EIO=3", Revision::V3),
            ("EIO=3", Revision::V3),
            ("EIO=5", Revision::V3),
            ("EIO=04", Revision::V3),
            ("EIO", Revision::V3),
            ("eio=4", Revision::V3),
            ("", Revision::V3),
        ] {
            assert_eq!(Query::parse(Some(raw)).revision, revision, "{raw}");
        }
        assert_eq!(Query::parse(None).revision, Revision::V3);
    }

    #[test]
    fn a_usual_beginning_means_what_its_parts_mean() {
        for behind in [
            "",
            "&",
            "&t=x",
            "&EIO=3",
            "&transport=x",
            "x",
            "x=1",
            "=",
            "%20",
        ] {
            for (begin, _) in BEGINNINGS {
                let raw = format!("{begin}{behind}");
                // With something in front it is taken apart.
                let apart = format!("t=x&{raw}");
                assert_eq!(
                    Query::parse(Some(&raw)),
                    Query::parse(Some(&apart)),
                    "{raw}"
                );
            }
        }
    }

    #[test]
    fn the_transport_is_named_or_not() {
        for (raw, transport) in [
            ("transport=polling", Some(Transport::Polling)),
            ("transport=%77ebsocket", Some(Transport::WebSocket)),
            ("transport=webtransport", None),
            ("transport=__proto__", None),
            ("transport=", None),
            ("transport=polling&transport=x", None),
            ("transport=x&transport=polling", Some(Transport::Polling)),
            ("transport[]=polling", None),
            ("", None),
        ] {
            let query = Query::parse(Some(raw));
            assert_eq!(
                query.transport.as_deref().and_then(Transport::parse),
                transport,
                "{raw}"
            );
        }
    }

    #[test]
    fn a_malformed_sid_never_opens_a_session() {
        let sid = Sid::parse(SID).unwrap();
        for (raw, claim) in [
            (format!("sid={SID}"), Claim::Session(sid)),
            (format!("sid=x&sid={SID}"), Claim::Session(sid)),
            (format!("sid={SID}&sid=x"), Claim::Malformed),
            (format!("sid={SID}%00"), Claim::Malformed),
            (format!("sid={SID}x"), Claim::Malformed),
            (format!("sid={SID}&"), Claim::Session(sid)),
            (format!("sid={SID}&t=x"), Claim::Session(sid)),
            (format!("t=x&sid={SID}&sid="), Claim::New),
            (format!("sid={}\u{e9}x", &SID[..19]), Claim::Malformed),
            ("sid=__proto__".into(), Claim::Malformed),
            ("sid=%C3%28".into(), Claim::Malformed),
            ("sid=%".into(), Claim::Malformed),
            ("sid=".into(), Claim::New),
            ("sid".into(), Claim::New),
            (format!("sid[]={SID}"), Claim::New),
            (String::new(), Claim::New),
        ] {
            assert_eq!(Query::parse(Some(&raw)).session, claim, "{raw}");
        }
    }

    #[test]
    fn b64_counts_with_any_value_and_of_j_the_digits() {
        let query = Query::parse(Some("b64=0&j=a1b2"));
        assert!(query.b64);
        assert_eq!(query.jsonp, Some(12));
        let query = Query::parse(Some("x=1"));
        assert!(!query.b64);
        assert_eq!(query.jsonp, None);
    }

    #[test]
    fn escapes_are_undone_and_broken_ones_kept() {
        for (raw, text) in [
            ("a%20b+c", "a b c"),
            ("%e2%82%ac", "€"),
            ("%", "%"),
            ("%4", "%4"),
            ("%zz", "%zz"),
        ] {
            assert_eq!(decode(raw), text);
        }
    }

    proptest! {
        #[test]
        fn an_encoded_pair_is_read_as_it_was_meant(
            transport in "\\PC{0,12}",
            noise in "[a-z&=%+.]{0,20}",
        ) {
            let encoded: String = transport.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let raw = format!("{noise}&transport={encoded}");
            let query = Query::parse(Some(&raw));
            prop_assert_eq!(query.transport.as_deref(), Some(&*transport));
        }

        #[test]
        fn any_query_has_a_meaning(raw in "([EIOtranspsid4%&=+]|\\PC){0,60}") {
            let query = Query::parse(Some(&raw));
            prop_assert!(query.sid().is_none_or(|sid| raw.len() >= sid.as_str().len()));
        }
    }
}
