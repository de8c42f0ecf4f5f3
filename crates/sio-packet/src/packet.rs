//! A packet, borrowed from the text of an Engine.IO message.
//!
//! ```text
//! <kind>[<attachments>-][<namespace>,][<ack id>][<JSON>]
//! ```

use std::borrow::Cow;

use memchr::memchr;

use crate::parser::Head;
use crate::reader::Reader;
use crate::scanner::Scanner;
use crate::string::plain_len;
use crate::{Limits, ParseError};

/// The type of a packet, as numbered by the protocol.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// Join a namespace, or the answer that it is joined.
    Connect = 0,
    /// Leave a namespace.
    Disconnect = 1,
    /// An event without attachments.
    Event = 2,
    /// The answer to an event, without attachments.
    Ack = 3,
    /// The answer that a namespace may not be joined.
    ConnectError = 4,
    /// An event with attachments.
    BinaryEvent = 5,
    /// The answer to an event, with attachments.
    BinaryAck = 6,
}

impl Kind {
    #[inline]
    fn from_digit(digit: u8) -> Option<Self> {
        Some(match digit {
            b'0' => Self::Connect,
            b'1' => Self::Disconnect,
            b'2' => Self::Event,
            b'3' => Self::Ack,
            b'4' => Self::ConnectError,
            b'5' => Self::BinaryEvent,
            b'6' => Self::BinaryAck,
            _ => return None,
        })
    }
}

/// A packet; its data is still JSON text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Packet<'a> {
    /// The packet's type.
    pub kind: Kind,
    /// Binary messages that belong to it: 0 except for the two binary kinds, which have some.
    pub attachments: usize,
    /// The namespace, `/` if the text names none. A query is part of the name.
    pub namespace: &'a str,
    /// The ack id, at most 2^53-1. Acks have one, events may, other packets don't.
    pub id: Option<u64>,
    /// JSON text, empty if there is none.
    ///
    /// | kind | data |
    /// |---|---|
    /// | CONNECT | an object or none |
    /// | DISCONNECT | none |
    /// | EVENT, BINARY_EVENT, ACK, BINARY_ACK | an array |
    /// | CONNECT_ERROR | an object or a string |
    pub data: &'a str,
}

impl<'a> Packet<'a> {
    /// Parses a packet: the text behind the Engine.IO type.
    ///
    /// The payload of a CONNECT or CONNECT_ERROR is checked whole, since perhaps nobody reads it.
    /// Of events and acks only the shape is checked, by the first and last byte of the data; the
    /// JSON inside is checked when it is read, see [`Args`](crate::Args).
    ///
    /// # Errors
    /// If the text is no packet, or one beyond `limits`: close the connection.
    #[inline]
    pub fn parse(text: &'a str, limits: &Limits) -> Result<Self, ParseError> {
        match Self::plain_event(text) {
            Some(packet) => Ok(packet),
            None => Self::parse_any(text, limits),
        }
    }

    /// The packet, if it is what nearly all are: an event of the namespace `/`, without attachments.
    ///
    /// It is what [`parse`](Self::parse) returns. `None` says nothing about the text, not even that it is
    /// no such event.
    #[inline]
    pub fn plain_event(text: &'a str) -> Option<Self> {
        let [b'2', behind @ .., b']'] = text.as_bytes() else {
            return None;
        };
        let (digits, id) = read_id(behind);
        if behind.get(digits) != Some(&b'[') || digits > MAX_ID_DIGITS || id > MAX_ID {
            return None;
        }
        Some(Self {
            kind: Kind::Event,
            attachments: 0,
            namespace: "/",
            id: (digits > 0).then_some(id),
            data: &text[1 + digits..],
        })
    }

    #[inline(never)]
    fn parse_any(text: &'a str, limits: &Limits) -> Result<Self, ParseError> {
        let bytes = text.as_bytes();
        let kind =
            Kind::from_digit(*bytes.first().ok_or(ParseError::Empty)?).ok_or(ParseError::Kind)?;
        let mut at = 1;
        let attachments = match kind {
            Kind::BinaryEvent | Kind::BinaryAck => parse_count(bytes, &mut at, limits)?,
            _ => 0,
        };
        let namespace = match bytes.get(at) {
            Some(b'/') => parse_namespace(text, &mut at, limits)?,
            _ => "/",
        };
        let id = parse_id(bytes, &mut at)?;
        let data = trim(&text[at..]);
        let packet = Self {
            kind,
            attachments,
            namespace,
            id,
            data,
        };
        packet.check(limits)?;
        Ok(packet)
    }

    /// A packet that came in another encoding, checked as if it had come as text. A packet of an
    /// ordinary kind with attachments becomes one of the binary kind.
    pub(crate) fn of_parts(
        head: Head<'a>,
        attachments: usize,
        data: &'a str,
        limits: &Limits,
    ) -> Result<Self, ParseError> {
        let Head {
            kind,
            namespace,
            id,
        } = head;
        if namespace.len() > limits.max_namespace {
            let (len, limit) = (namespace.len(), limits.max_namespace);
            return Err(ParseError::NamespaceTooLong { len, limit });
        }
        // Neither could be said in text.
        if !namespace.starts_with('/') || memchr(b',', namespace.as_bytes()).is_some() {
            return Err(ParseError::Namespace);
        }
        let kind = match (kind, attachments) {
            (kind, 0) => kind,
            (Kind::Event, _) => Kind::BinaryEvent,
            (Kind::Ack, _) => Kind::BinaryAck,
            (kind, _) => return Err(ParseError::Payload { kind }),
        };
        let packet = Self {
            kind,
            attachments,
            namespace,
            id,
            data,
        };
        packet.check(limits)?;
        if id.is_some_and(|id| id > MAX_ID) {
            return Err(ParseError::AckId);
        }
        Ok(packet)
    }

    /// The name of an event, and the text of its arguments for [`Args::event`](crate::Args::event):
    /// what stands behind the name, up to and including the closing bracket.
    ///
    /// The name is a slice of the text unless it holds escapes. A number for a name, which clients
    /// may send, is its digits as they were written.
    ///
    /// # Errors
    /// If there is no name, if it is too long, or if it is one of those that Socket.IO reserves for
    /// itself: close the connection.
    #[inline]
    pub fn event(&self, limits: &Limits) -> Result<(Cow<'a, str>, &'a str), ParseError> {
        if !matches!(self.kind, Kind::Event | Kind::BinaryEvent) {
            return Err(ParseError::Payload { kind: self.kind });
        }
        let (name, rest) = match self.data.as_bytes() {
            // As every client writes it; what is special in the name is left to the scanner.
            [b'[', b'"', behind @ ..] => {
                let len = plain_len(behind);
                match &behind[len..] {
                    [b'"', b',' | b']', ..] => {
                        (Cow::Borrowed(&self.data[2..2 + len]), &self.data[len + 3..])
                    }
                    _ => self.scan_event()?,
                }
            }
            _ => self.scan_event()?,
        };
        if name.len() > limits.max_event_name {
            let (len, limit) = (name.len(), limits.max_event_name);
            return Err(ParseError::EventNameTooLong { len, limit });
        }
        if is_reserved(&name) {
            return Err(ParseError::EventNameReserved);
        }
        Ok((name, rest))
    }

    #[cold]
    fn scan_event(&self) -> Result<(Cow<'a, str>, &'a str), ParseError> {
        let mut scanner = Scanner::new(self.data);
        if !scanner.eat(b'[') {
            return Err(ParseError::Payload { kind: self.kind });
        }
        let name = match scanner.peek() {
            Some(b'"') => scanner.string().ok(),
            Some(b'-' | b'0'..=b'9') => scanner.number_text().ok().map(Cow::Borrowed),
            _ => None,
        };
        match (name, scanner.peek()) {
            (Some(name), Some(b',' | b']')) => Ok((name, scanner.ahead())),
            _ => Err(ParseError::EventName),
        }
    }

    #[inline]
    fn check(&self, limits: &Limits) -> Result<(), ParseError> {
        let shaped = match self.kind {
            Kind::Connect => {
                if self.data.len() > limits.max_auth {
                    let (len, limit) = (self.data.len(), limits.max_auth);
                    return Err(ParseError::AuthTooLong { len, limit });
                }
                self.data.is_empty() || (self.encloses(b'{', b'}') && is_well_formed(self.data))
            }
            Kind::Disconnect => self.data.is_empty(),
            Kind::ConnectError => {
                let enclosed = self.encloses(b'{', b'}') || self.encloses(b'"', b'"');
                enclosed && is_well_formed(self.data)
            }
            Kind::Event | Kind::Ack | Kind::BinaryEvent | Kind::BinaryAck => {
                self.encloses(b'[', b']')
            }
        };
        let identified = match self.kind {
            Kind::Event | Kind::BinaryEvent => true,
            Kind::Ack | Kind::BinaryAck => self.id.is_some(),
            Kind::Connect | Kind::ConnectError | Kind::Disconnect => self.id.is_none(),
        };
        match (identified, shaped) {
            (true, true) => Ok(()),
            (false, _) => Err(ParseError::AckId),
            (true, false) => Err(ParseError::Payload { kind: self.kind }),
        }
    }

    #[inline]
    fn encloses(&self, first: u8, last: u8) -> bool {
        matches!(self.data.as_bytes(), [a, .., z] if *a == first && *z == last)
    }
}

/// Whether this is one JSON value and nothing else.
#[cold]
fn is_well_formed(data: &str) -> bool {
    let mut reader = Reader::new(data, &mut [], 0);
    reader.skip().is_ok() && reader.scanner.end().is_ok()
}

/// Whether Socket.IO reserves this event name for itself.
///
/// ```
/// assert!(sio_packet::is_reserved("disconnect"));
/// assert!(!sio_packet::is_reserved("message"));
/// ```
#[inline]
pub const fn is_reserved(event: &str) -> bool {
    // As bytes: strings cannot be compared in a constant yet.
    matches!(
        event.as_bytes(),
        b"connect"
            | b"connect_error"
            | b"disconnect"
            | b"disconnecting"
            | b"newListener"
            | b"removeListener"
    )
}

/// `<attachments>-`: refused as soon as the number is above the limit, whatever else follows.
fn parse_count(bytes: &[u8], at: &mut usize, limits: &Limits) -> Result<usize, ParseError> {
    let first = *at;
    let mut count = 0usize;
    while let Some(digit @ b'0'..=b'9') = bytes.get(*at) {
        count = count
            .saturating_mul(10)
            .saturating_add(usize::from(digit - b'0'));
        if count > limits.max_attachments {
            return Err(ParseError::TooManyAttachments {
                limit: limits.max_attachments,
            });
        }
        *at += 1;
    }
    let digits = *at - first;
    if digits == 0 || bytes.get(*at) != Some(&b'-') || (digits > 1 && bytes[first] == b'0') {
        return Err(ParseError::AttachmentCount);
    }
    *at += 1;
    if count == 0 {
        Err(ParseError::NoAttachments)
    } else {
        Ok(count)
    }
}

/// `<namespace>,`, or to the end of the text.
fn parse_namespace<'a>(
    text: &'a str,
    at: &mut usize,
    limits: &Limits,
) -> Result<&'a str, ParseError> {
    let ahead = &text[*at..];
    let len = memchr(b',', ahead.as_bytes()).unwrap_or(ahead.len());
    if len > limits.max_namespace {
        return Err(ParseError::NamespaceTooLong {
            len,
            limit: limits.max_namespace,
        });
    }
    *at = text.len().min(*at + len + 1);
    Ok(&ahead[..len])
}

/// `<ack id>`: decimal digits.
#[inline]
fn parse_id(bytes: &[u8], at: &mut usize) -> Result<Option<u64>, ParseError> {
    let (digits, id) = read_id(&bytes[*at..]);
    *at += digits;
    match digits {
        0 => Ok(None),
        ..=MAX_ID_DIGITS if id <= MAX_ID => Ok(Some(id)),
        _ => Err(ParseError::AckId),
    }
}

/// How many digits there are in front, as far as they can belong to an id and one more, and what number
/// they make.
#[inline]
fn read_id(bytes: &[u8]) -> (usize, u64) {
    let mut id = 0u64;
    let mut digits = 0;
    while let Some(byte @ b'0'..=b'9') = bytes.get(digits)
        && digits <= MAX_ID_DIGITS
    {
        id = id * 10 + u64::from(byte - b'0');
        digits += 1;
    }
    (digits, id)
}

/// Without the white space around it, of which there is none from any client we know.
#[inline]
fn trim(data: &str) -> &str {
    match data.as_bytes() {
        [b' ' | b'\t' | b'\n' | b'\r', ..] | [.., b' ' | b'\t' | b'\n' | b'\r'] => {
            data.trim_matches([' ', '\t', '\n', '\r'])
        }
        _ => data,
    }
}

/// JavaScript counts no further.
pub(crate) const MAX_ID: u64 = (1 << 53) - 1;
const MAX_ID_DIGITS: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Packet<'_>, ParseError> {
        Packet::parse(text, &Limits::default())
    }

    fn packet<'a>(kind: Kind, namespace: &'a str, id: Option<u64>, data: &'a str) -> Packet<'a> {
        Packet {
            kind,
            attachments: 0,
            namespace,
            id,
            data,
        }
    }

    #[test]
    fn every_part_but_the_kind_may_be_left_out() {
        for (text, expected) in [
            ("0", packet(Kind::Connect, "/", None, "")),
            ("0/a", packet(Kind::Connect, "/a", None, "")),
            ("0/a,", packet(Kind::Connect, "/a", None, "")),
            ("0/a?x=1,{}", packet(Kind::Connect, "/a?x=1", None, "{}")),
            (
                "0{\"token\":\"123\"}",
                packet(Kind::Connect, "/", None, "{\"token\":\"123\"}"),
            ),
            ("1", packet(Kind::Disconnect, "/", None, "")),
            ("1/admin,", packet(Kind::Disconnect, "/admin", None, "")),
            ("2[\"a\"]", packet(Kind::Event, "/", None, "[\"a\"]")),
            ("2/,[\"a\"]", packet(Kind::Event, "/", None, "[\"a\"]")),
            (
                "2/admin,1[\"a\"]",
                packet(Kind::Event, "/admin", Some(1), "[\"a\"]"),
            ),
            ("20[1]", packet(Kind::Event, "/", Some(0), "[1]")),
            ("2 [\"a\"]\n", packet(Kind::Event, "/", None, "[\"a\"]")),
            (
                "3/admin,9007199254740991[]",
                packet(Kind::Ack, "/admin", Some(MAX_ID), "[]"),
            ),
            (
                "4{\"message\":\"no\"}",
                packet(Kind::ConnectError, "/", None, "{\"message\":\"no\"}"),
            ),
            (
                "4/b,\"no\"",
                packet(Kind::ConnectError, "/b", None, "\"no\""),
            ),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_binary_packet_names_its_attachments_first() {
        let data = "[\"a\",{\"_placeholder\":true,\"num\":0}]";
        let text = format!("52-/admin,456{data}");
        let event = Packet {
            attachments: 2,
            ..packet(Kind::BinaryEvent, "/admin", Some(456), data)
        };
        assert_eq!(parse(&text), Ok(event));
        let text = format!("610-7{data}");
        let ack = Packet {
            attachments: 10,
            ..packet(Kind::BinaryAck, "/", Some(7), data)
        };
        assert_eq!(parse(&text), Ok(ack));
    }

    #[test]
    fn every_malformed_packet_has_its_error() {
        use Kind::*;
        let payload = |kind| ParseError::Payload { kind };
        for (text, error) in [
            ("", ParseError::Empty),
            ("7", ParseError::Kind),
            ("é", ParseError::Kind),
            (" 2[\"a\"]", ParseError::Kind),
            // S3, S4, S5: the count of attachments.
            ("5", ParseError::AttachmentCount),
            ("5-[\"a\"]", ParseError::AttachmentCount),
            ("5[\"a\"]", ParseError::AttachmentCount),
            ("51[\"a\"]", ParseError::AttachmentCount),
            ("5 1-[\"a\"]", ParseError::AttachmentCount),
            ("51 -[\"a\"]", ParseError::AttachmentCount),
            ("5+1-[\"a\"]", ParseError::AttachmentCount),
            ("51.5-[\"a\"]", ParseError::AttachmentCount),
            ("51e3-[\"a\"]", ParseError::AttachmentCount),
            ("501-[\"a\"]", ParseError::AttachmentCount),
            ("500-[\"a\"]", ParseError::AttachmentCount),
            ("50-[\"a\"]", ParseError::NoAttachments),
            ("511-[\"a\"]", ParseError::TooManyAttachments { limit: 10 }),
            (
                "51000000000-[\"a\"]",
                ParseError::TooManyAttachments { limit: 10 },
            ),
            (
                "599999999999999999999999-[\"a\"]",
                ParseError::TooManyAttachments { limit: 10 },
            ),
            // Ack ids.
            ("29007199254740992[\"a\"]", ParseError::AckId),
            ("218446744073709551617[\"a\"]", ParseError::AckId),
            ("200000000000000001[\"a\"]", ParseError::AckId),
            ("3[]", ParseError::AckId),
            ("01{}", ParseError::AckId),
            ("11", ParseError::AckId),
            ("41\"no\"", ParseError::AckId),
            // The shape of the data.
            ("0[]", payload(Connect)),
            ("0\"token\"", payload(Connect)),
            ("0null", payload(Connect)),
            ("0{", payload(Connect)),
            ("0{x}", payload(Connect)),
            ("0{}{}", payload(Connect)),
            ("1{}", payload(Disconnect)),
            ("1[]", payload(Disconnect)),
            ("2", payload(Event)),
            ("2{}", payload(Event)),
            ("2[", payload(Event)),
            ("2-1[\"a\"]", payload(Event)),
            ("2\"a\"", payload(Event)),
            ("31", payload(Ack)),
            ("31{}", payload(Ack)),
            ("4", payload(ConnectError)),
            ("4[]", payload(ConnectError)),
            ("4\"", payload(ConnectError)),
            ("4\"a\"b\"", payload(ConnectError)),
            ("4{\"message\":}", payload(ConnectError)),
            ("51-", payload(BinaryEvent)),
            ("61-1{}", payload(BinaryAck)),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn limits_hold_at_the_byte() {
        let limits = Limits {
            max_auth: 8,
            max_event_name: 3,
            max_namespace: 4,
            ..Limits::default()
        };
        let parse = |text| Packet::parse(text, &limits);
        assert!(parse("0/abc,").is_ok());
        assert_eq!(
            parse("0/abcd,"),
            Err(ParseError::NamespaceTooLong { len: 5, limit: 4 })
        );
        assert!(parse("0{\"a\":12}").is_ok());
        assert_eq!(
            parse("0{\"a\":123}"),
            Err(ParseError::AuthTooLong { len: 9, limit: 8 })
        );
        assert!(parse("2[\"abc\"]").unwrap().event(&limits).is_ok());
        let error = ParseError::EventNameTooLong { len: 4, limit: 3 };
        assert_eq!(parse("2[\"abcd\"]").unwrap().event(&limits), Err(error));
    }

    fn event(data: &str) -> Result<(Cow<'_, str>, &str), ParseError> {
        packet(Kind::Event, "/", None, data).event(&Limits::default())
    }

    #[test]
    fn an_event_is_its_name_and_the_arguments_behind_it() {
        for (data, name, rest) in [
            (r#"["a"]"#, "a", "]"),
            (r#"["a",1,2]"#, "a", ",1,2]"),
            (r#"[ "a" , 1 ]"#, "a", ", 1 ]"),
            (r#"["",1]"#, "", ",1]"),
            (r#"["__proto__"]"#, "__proto__", "]"),
            (r#"["a\"\u00e9"]"#, "a\"é", "]"),
            ("[12,1]", "12", ",1]"),
            ("[-1.5]", "-1.5", "]"),
        ] {
            let (found, behind) = event(data).unwrap();
            assert_eq!((&*found, behind), (name, rest), "{data}");
        }
        assert!(matches!(
            event(r#"["plain"]"#),
            Ok((Cow::Borrowed("plain"), "]"))
        ));
    }

    // S2.
    #[test]
    fn an_event_name_is_a_string_or_a_number_and_not_reserved() {
        for data in [
            "[]",
            "[null]",
            "[true]",
            "[{}]",
            "[[]]",
            "[{\"toString\":1}]",
            "[\"a]",
            "[\"a\"1]",
            "[\"\\x\"]",
            "[01]",
            "[,\"a\"]",
            "[\"a\"}]",
        ] {
            assert_eq!(event(data), Err(ParseError::EventName), "{data}");
        }
        for name in [
            "connect",
            "connect_error",
            "disconnect",
            "disconnecting",
            "newListener",
            "removeListener",
        ] {
            let data = format!("[\"{name}\"]");
            assert_eq!(event(&data), Err(ParseError::EventNameReserved), "{data}");
        }
        assert_eq!(
            event("[\"\\u0063onnect\"]"),
            Err(ParseError::EventNameReserved)
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[0-6]?[0-9]{0,3}-?(/[a-z]*,?)?[0-9]*\\PC*") {
            if let Ok(packet) = parse(&text) {
                let _ = packet.event(&Limits::default());
            }
        }
    }
}
