//! One Engine.IO packet: a digit that says its kind, then its data.
//!
//! ```text
//! 0 open   1 close   2 ping   3 pong   4 message   5 upgrade   6 noop
//! ```
//!
//! A binary message has no digit: over WebSocket it is a binary frame, in a payload of polling
//! it is `b` and base64. In revision 3 it has: a byte in front of the bytes, a digit between `b` and
//! the base64.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::config::Revision;
use crate::error::PacketError;

/// As lenient as the clients need: padding may be missing, as in the reference implementation.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// One packet, borrowed from what was received.
///
/// ```
/// use eio_transport::{Data, Packet, Revision};
///
/// assert_eq!(Packet::parse_text("4hello"), Ok(Packet::Message(Data::Text("hello"))));
/// assert!(Packet::parse_text("9").is_err());
/// // As a client of a revision sends it on a WebSocket:
/// let binary = Revision::V3.read_binary(b"\x04\xff");
/// assert_eq!(binary, Ok(Packet::Message(Data::Binary(b"\xff"[..].into()))));
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Packet<'a> {
    /// `0`, the handshake of the server, with its JSON. Ignored when a client sends it.
    Open(&'a str),
    /// `1`, the peer closes the session.
    Close,
    /// `2`, a heartbeat, or with the data `probe` the first word of an upgrade.
    Ping(&'a str),
    /// `3`, the answer to a ping, with the ping's data.
    Pong(&'a str),
    /// `4`, or no digit if binary: a message for the application.
    Message(Data<'a>),
    /// `5`, the client has moved to this transport.
    Upgrade,
    /// `6`, nothing: it only sets a waiting GET free.
    Noop,
}

/// The content of a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Data<'a> {
    /// Text.
    Text(&'a str),
    /// Bytes; owned where they had to be decoded from base64.
    Binary(Cow<'a, [u8]>),
}

impl<'a> Packet<'a> {
    /// Reads one text frame of a WebSocket, or one segment of a payload, of revision 4.
    ///
    /// # Errors
    ///
    /// [`PacketError`] if the text is empty, begins with no known type, or holds bad base64.
    #[inline]
    pub fn parse_text(text: &'a str) -> Result<Self, PacketError> {
        let Some(kind) = text.as_bytes().first() else {
            return Err(PacketError::Empty);
        };
        Ok(match kind {
            b'0' => Self::Open(&text[1..]),
            b'1' => Self::Close,
            b'2' => Self::Ping(&text[1..]),
            b'3' => Self::Pong(&text[1..]),
            b'4' => Self::Message(Data::Text(&text[1..])),
            b'5' => Self::Upgrade,
            b'6' => Self::Noop,
            b'b' => Self::Message(Data::Binary(Cow::Owned(decode(&text[1..])?))),
            _ => {
                let found = text.chars().next().unwrap_or('\0');
                return Err(PacketError::UnknownType { found });
            }
        })
    }
}

impl Revision {
    /// Reads one text frame of a WebSocket, or one packet of a payload.
    ///
    /// # Errors
    ///
    /// [`PacketError`] if the text is empty, begins with no known type, or holds bad base64.
    #[inline]
    pub fn read_text(self, text: &str) -> Result<Packet<'_>, PacketError> {
        match text.strip_prefix('b') {
            Some(packet) if self == Self::V3 => {
                let kind = packet.as_bytes().first().ok_or(PacketError::Empty)?;
                // No base64 stands behind what is no digit.
                let kind = kind.checked_sub(b'0').unwrap_or(u8::MAX);
                let bytes = packet.get(1..).ok_or(PacketError::MalformedBase64)?;
                read_typed(kind, Cow::Owned(decode(bytes)?))
            }
            _ => Packet::parse_text(text),
        }
    }

    /// Reads one binary frame of a WebSocket: all of it is a message, but in revision 3 its first
    /// byte is the type.
    ///
    /// # Errors
    ///
    /// In revision 3, [`PacketError`] if there is no type, or none that is known.
    #[inline]
    pub fn read_binary(self, bytes: &[u8]) -> Result<Packet<'_>, PacketError> {
        match self {
            Self::V3 => {
                let (kind, bytes) = bytes.split_first().ok_or(PacketError::Empty)?;
                read_typed(*kind, Cow::Borrowed(bytes))
            }
            Self::V4 => Ok(Packet::Message(Data::Binary(Cow::Borrowed(bytes)))),
        }
    }
}

/// A binary packet of revision 3. Only a message has data that count.
fn read_typed(kind: u8, bytes: Cow<'_, [u8]>) -> Result<Packet<'_>, PacketError> {
    Ok(match kind {
        0 => Packet::Open(""),
        1 => Packet::Close,
        2 => Packet::Ping(""),
        3 => Packet::Pong(""),
        4 => Packet::Message(Data::Binary(bytes)),
        5 => Packet::Upgrade,
        6 => Packet::Noop,
        _ => {
            let found = char::from(kind);
            return Err(PacketError::UnknownType { found });
        }
    })
}

fn decode(base64: &str) -> Result<Vec<u8>, PacketError> {
    BASE64
        .decode(base64)
        .map_err(|_| PacketError::MalformedBase64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digit_says_the_kind() {
        for (text, packet) in [
            ("0{}", Packet::Open("{}")),
            ("1", Packet::Close),
            ("2", Packet::Ping("")),
            ("2probe", Packet::Ping("probe")),
            ("3probe", Packet::Pong("probe")),
            ("4", Packet::Message(Data::Text(""))),
            ("4€", Packet::Message(Data::Text("€"))),
            ("5", Packet::Upgrade),
            ("6", Packet::Noop),
            ("b", Packet::Message(Data::Binary(Cow::Borrowed(&[])))),
            (
                "bAQIDBA==",
                Packet::Message(Data::Binary(Cow::Borrowed(&[1, 2, 3, 4]))),
            ),
            (
                "bAQIDBA",
                Packet::Message(Data::Binary(Cow::Borrowed(&[1, 2, 3, 4]))),
            ),
        ] {
            assert_eq!(Packet::parse_text(text), Ok(packet), "{text}");
        }
    }

    #[test]
    fn an_empty_packet_is_an_error() {
        assert_eq!(Packet::parse_text(""), Err(PacketError::Empty));
    }

    #[test]
    fn an_unknown_type_is_an_error() {
        for text in ["7", "abc", " 4", "\u{1e}", "€4", "B"] {
            let found = text.chars().next().unwrap();
            assert_eq!(
                Packet::parse_text(text),
                Err(PacketError::UnknownType { found })
            );
        }
    }

    #[test]
    fn bad_base64_is_an_error() {
        for text in ["b*", "bA", "bAAA\n", "b€"] {
            assert_eq!(
                Packet::parse_text(text),
                Err(PacketError::MalformedBase64),
                "{text}"
            );
        }
    }

    #[test]
    fn in_revision_3_bytes_have_a_type_of_their_own() {
        let message = || Ok(Packet::Message(Data::Binary(Cow::Borrowed(&[1, 2][..]))));
        let v3 = Revision::V3;
        assert_eq!(v3.read_binary(&[4, 1, 2]), message());
        assert_eq!(v3.read_text("b4AQI="), message());
        assert_eq!(v3.read_text("4a"), Packet::parse_text("4a"));
        assert_eq!(v3.read_binary(&[2]), Ok(Packet::Ping("")));
        assert_eq!(v3.read_binary(&[]), Err(PacketError::Empty));
        assert_eq!(v3.read_text("b"), Err(PacketError::Empty));
        assert_eq!(v3.read_text("b4*"), Err(PacketError::MalformedBase64));
        assert_eq!(v3.read_text("b€"), Err(PacketError::MalformedBase64));
        for kind in [7, b'4', 0xff] {
            let found = char::from(kind);
            assert_eq!(
                v3.read_binary(&[kind, 1]),
                Err(PacketError::UnknownType { found })
            );
        }
        assert_eq!(Revision::V4.read_binary(&[1, 2]), message());
        assert_eq!(Revision::V4.read_text("bAQI="), message());
    }
}
