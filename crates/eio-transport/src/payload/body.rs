//! The body of one POST, kept until all its packets have been read.

use ascii::AsciiString;

use crate::config::Revision;
use crate::error::PayloadError;
use crate::packet::Packet;
use crate::payload::v3::Rest;
use crate::payload::{self, jsonp, v3};

/// The body of a POST, read packet by packet, with pauses if need be.
///
/// Nothing is split in advance, and nothing is copied but what base64 hides.
///
/// ```
/// use eio_transport::{Data, Packet, Revision, payload::{Body, Posted}};
///
/// let posted = b"4hello\x1e3".to_vec();
/// let mut body = Body::new(posted, Posted::Text, Revision::V4, 1000);
/// assert_eq!(body.next(), Some(Ok(Packet::Message(Data::Text("hello")))));
/// assert!(body.next().is_some_and(|packet| packet.is_ok()) && body.is_read());
/// assert!(body.next().is_none());
/// ```
#[derive(Debug)]
pub struct Body {
    content: Content,
    /// The bytes that have been read.
    at: usize,
    /// The packets that the rest may be.
    left: usize,
    limit: usize,
    read: bool,
}

#[derive(Debug)]
enum Content {
    BinaryV3(Vec<u8>),
    Malformed(PayloadError),
    TextV3(String),
    TextV4(String),
}

/// In which form the client posted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Posted {
    /// `application/octet-stream`: the binary form, which only revision 3 has.
    Bytes,
    /// A form of JSONP polling.
    Form,
    /// Text.
    Text,
}

impl Body {
    /// Takes a body of at most `max_packets` packets. One that is malformed as a whole gives its
    /// error as the first packet.
    pub fn new(bytes: Vec<u8>, posted: Posted, revision: Revision, max_packets: usize) -> Self {
        let content = match posted {
            Posted::Bytes => Content::BinaryV3(bytes),
            Posted::Form | Posted::Text => match text(bytes) {
                None => Content::Malformed(PayloadError::NotText),
                Some(text) if posted == Posted::Text => Content::text(text, revision),
                Some(form) => match jsonp::unwrap(&form) {
                    Some(text) => Content::text(text, revision),
                    None => Content::Malformed(PayloadError::Form),
                },
            },
        };
        Self {
            content,
            at: 0,
            left: max_packets,
            limit: max_packets,
            read: false,
        }
    }

    /// Whether all has been read.
    #[inline]
    pub const fn is_read(&self) -> bool {
        self.read
    }

    /// The next packet. After the first error there are no more.
    #[expect(
        clippy::should_implement_trait,
        reason = "a packet is borrowed from its body"
    )]
    pub fn next(&mut self) -> Option<Result<Packet<'_>, PayloadError>> {
        if self.read {
            return None;
        }
        let (left, limit) = (self.left, self.limit);
        let (packet, rest) = match &self.content {
            Content::TextV4(text) => {
                let rest = Some(&text[self.at..]);
                let mut decoder = payload::Decoder { rest, left, limit };
                let packet = decoder.next();
                let rest = decoder.rest().map(|(rest, left)| (rest.len(), left));
                (packet, rest.map(|(rest, left)| (text.len() - rest, left)))
            }
            Content::TextV3(text) => read_v3(Rest::Text(&text[self.at..]), text.len(), left, limit),
            Content::BinaryV3(bytes) => {
                read_v3(Rest::Binary(&bytes[self.at..]), bytes.len(), left, limit)
            }
            Content::Malformed(error) => (Some(Err(error.clone())), None),
        };
        match rest {
            Some((at, left)) => (self.at, self.left) = (at, left),
            None => self.read = true,
        }
        packet
    }
}

impl Content {
    fn text(text: String, revision: Revision) -> Self {
        match revision {
            Revision::V3 => Self::TextV3(text),
            Revision::V4 => Self::TextV4(text),
        }
    }
}

/// Bytes as text, if they are UTF-8.
fn text(bytes: Vec<u8>) -> Option<String> {
    // The standard library looks at a short text byte by byte, until one lies at the start of a word.
    match AsciiString::from_ascii(bytes) {
        Ok(text) => Some(text.into()),
        Err(other) => String::from_utf8(other.into_source()).ok(),
    }
}

type Read<'a> = (
    Option<Result<Packet<'a>, PayloadError>>,
    Option<(usize, usize)>,
);

/// The next packet, and where the rest begins and how many packets it may be.
fn read_v3(rest: Rest<'_>, len: usize, left: usize, limit: usize) -> Read<'_> {
    let mut decoder = v3::Decoder { rest, left, limit };
    let packet = decoder.next();
    let rest = match decoder.rest {
        Rest::Binary(rest) => Some(rest.len()),
        Rest::Text(rest) => Some(rest.len()),
        Rest::None => None,
    };
    (packet, rest.map(|rest| (len - rest, decoder.left)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Data;

    fn read(bytes: &[u8], posted: Posted, revision: Revision) -> Vec<Result<String, PayloadError>> {
        let mut body = Body::new(bytes.into(), posted, revision, 3);
        let mut packets = Vec::new();
        while let Some(packet) = body.next() {
            packets.push(packet.map(|packet| match packet {
                Packet::Message(Data::Text(text)) => text.to_owned(),
                other => format!("{other:?}"),
            }));
        }
        assert!(body.is_read());
        assert!(body.next().is_none());
        packets
    }

    #[test]
    fn a_body_is_read_packet_by_packet_in_every_form() {
        let both = [Ok("a".to_owned()), Ok("€".to_owned())];
        let v3 = Revision::V3;
        assert_eq!(
            read("4a\x1e4€".as_bytes(), Posted::Text, Revision::V4),
            both
        );
        assert_eq!(read("2:4a2:4€".as_bytes(), Posted::Text, v3), both);
        let bytes = b"\0\x02\xff4a\0\x04\xff4\xe2\x82\xac";
        assert_eq!(read(bytes, Posted::Bytes, v3), both);
        let form = b"d=4a%1e4%e2%82%ac";
        assert_eq!(read(form, Posted::Form, Revision::V4), both);
        assert_eq!(read(b"d=2:4a2:4%e2%82%ac", Posted::Form, v3), both);
    }

    #[test]
    fn a_body_that_is_malformed_as_a_whole_has_one_error() {
        for revision in [Revision::V3, Revision::V4] {
            assert_eq!(
                read(b"\xff", Posted::Text, revision),
                [Err(PayloadError::NotText)]
            );
            assert_eq!(
                read(b"d=\xff", Posted::Form, revision),
                [Err(PayloadError::NotText)]
            );
            assert_eq!(
                read(b"4a", Posted::Form, revision),
                [Err(PayloadError::Form)]
            );
        }
    }

    #[test]
    fn the_limit_holds_over_pauses() {
        let all = |packet: &str| {
            [0; 3]
                .map(|_| Ok(packet.to_owned()))
                .into_iter()
                .collect::<Vec<_>>()
        };
        let too_many = Err(PayloadError::TooManyPackets { limit: 3 });
        assert_eq!(read(b"4\x1e4\x1e4", Posted::Text, Revision::V4), all(""));
        assert_eq!(read(b"1:41:41:4", Posted::Text, Revision::V3), all(""));
        let over = [all(""), vec![too_many]].concat();
        assert_eq!(read(b"4\x1e4\x1e4\x1e4", Posted::Text, Revision::V4), over);
        assert_eq!(read(b"1:41:41:41:4", Posted::Text, Revision::V3), over);
    }
}
