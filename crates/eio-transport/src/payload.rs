//! The body of a polling request or answer: packets with `0x1e` between them.
//!
//! That is revision 4. [`v3`] has the two forms of revision 3, [`jsonp`] what stands around either for
//! clients that ask by `<script>`. [`Body`] reads what was posted, [`Payload`] writes an answer,
//! whatever the client speaks.

mod answer;
mod body;
pub mod jsonp;
pub mod v3;

pub use self::answer::Payload;
pub use self::body::{Body, Posted};

use base64::Engine as _;

use crate::error::{PacketError, PayloadError};
use crate::packet::{BASE64, Packet};

/// What stands between two packets.
pub const SEPARATOR: u8 = 0x1e;

/// Reads the body of a POST, packet by packet, as far as it is good.
///
/// Nothing is split in advance: a megabyte of separators costs one error, not a million items
/// (Phoenix CVE-2026-32689). An empty body, like an empty packet, is an error.
///
/// ```
/// use eio_transport::{Data, Packet, payload};
///
/// let packets: Result<Vec<_>, _> = payload::decode("4a\x1e4b", 10).collect();
/// let message = |text| Packet::Message(Data::Text(text));
/// assert_eq!(packets, Ok(vec![message("a"), message("b")]));
/// assert!(payload::decode("4a\x1e4b", 1).any(|packet| packet.is_err()));
/// // Not all at once: what is left, and how many it may be.
/// let mut packets = payload::decode("4a\x1e4b", 10);
/// packets.next();
/// assert_eq!(packets.rest(), Some(("4b", 9)));
/// ```
#[inline]
pub fn decode(body: &str, max_packets: usize) -> Decoder<'_> {
    Decoder {
        rest: Some(body),
        limit: max_packets,
        left: max_packets,
    }
}

/// The packets of a payload, in order. After the first error there are no more.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    rest: Option<&'a str>,
    limit: usize,
    left: usize,
}

impl<'a> Decoder<'a> {
    /// What has not been read yet, and how many packets it may still be: what
    /// [`decode`] takes to go on later. `None` at the end.
    #[inline]
    pub const fn rest(&self) -> Option<(&'a str, usize)> {
        match self.rest {
            Some(rest) => Some((rest, self.left)),
            None => None,
        }
    }
}

impl<'a> Iterator for Decoder<'a> {
    type Item = Result<Packet<'a>, PayloadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        let Some(left) = self.left.checked_sub(1) else {
            return Some(Err(PayloadError::TooManyPackets { limit: self.limit }));
        };
        self.left = left;
        let (segment, rest) = match memchr::memchr(SEPARATOR, rest.as_bytes()) {
            Some(at) => (&rest[..at], Some(&rest[at + 1..])),
            None => (rest, None),
        };
        Some(match Packet::parse_text(segment) {
            Ok(packet) => {
                self.rest = rest;
                Ok(packet)
            }
            Err(error) => Err(PacketError::into(error)),
        })
    }
}

/// Appends a packet that is already text, kind included, with a separator if it is not the
/// first.
///
/// ```
/// use eio_transport::payload;
///
/// let mut out = Vec::new();
/// payload::push_text(&mut out, "4hello");
/// payload::push_binary(&mut out, b"\xff\xd8");
/// assert_eq!(out, b"4hello\x1eb/9g=");
/// assert_eq!(payload::binary_len(2), 5);
/// ```
#[inline]
pub fn push_text(out: &mut Vec<u8>, packet: &str) {
    push_raw(out, packet.as_bytes());
}

/// Appends a binary message as `b` and base64, with a separator if it is not the first.
pub fn push_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    separate(out, binary_len(bytes.len()));
    write_base64(out, bytes);
}

/// Appends a binary message as text: `b` and base64.
pub fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'b');
    let start = out.len();
    let len = base64_len(bytes.len());
    out.resize(start + len, 0);
    let written = BASE64.encode_slice(bytes, &mut out[start..]);
    debug_assert_eq!(written, Ok(len));
}

/// The bytes that a binary message of `len` bytes takes in a payload, without the separator.
#[inline]
pub const fn binary_len(len: usize) -> usize {
    1 + base64_len(len)
}

#[inline]
pub(crate) fn push_raw(out: &mut Vec<u8>, packet: &[u8]) {
    separate(out, packet.len());
    out.extend_from_slice(packet);
}

#[inline]
fn separate(out: &mut Vec<u8>, follows: usize) {
    if out.is_empty() {
        // No more than is needed: `Payload::new` may have been told how much that is.
        return out.reserve(follows);
    }
    out.reserve(follows + 1);
    out.push(SEPARATOR);
}

const fn base64_len(len: usize) -> usize {
    len.div_ceil(3) * 4
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::*;
    use crate::packet::Data;

    fn all(body: &str, limit: usize) -> Vec<Result<Packet<'_>, PayloadError>> {
        decode(body, limit).collect()
    }

    fn text(text: &str) -> Result<Packet<'_>, PayloadError> {
        Ok(Packet::Message(Data::Text(text)))
    }

    #[test]
    fn packets_stand_between_separators() {
        assert_eq!(all("4a", 9), [text("a")]);
        assert_eq!(
            all("4a\x1e2\x1ebAQI=\x1e4€", 9),
            [
                text("a"),
                Ok(Packet::Ping("")),
                Ok(Packet::Message(Data::Binary(Cow::Borrowed(&[1, 2])))),
                text("€"),
            ]
        );
    }

    #[test]
    fn decoding_stops_at_the_first_bad_packet_and_keeps_the_earlier_ones() {
        let empty = || Err(PayloadError::Packet(PacketError::Empty));
        assert_eq!(all("4a\x1ex\x1e4b", 9).len(), 2);
        assert_eq!(all("", 9), [empty()]);
        assert_eq!(all("4a\x1e", 9), [text("a"), empty()]);
        assert_eq!(all("\x1e4a", 9), [empty()]);
    }

    #[test]
    fn a_body_of_separators_costs_one_error() {
        assert_eq!(all(&"\x1e".repeat(1_000_000), 131_072).len(), 1);
    }

    #[test]
    fn there_is_a_limit_to_the_number_of_packets() {
        let body = "4\x1e4\x1e4";
        assert_eq!(all(body, 3), [text(""), text(""), text("")]);
        let too_many = Err(PayloadError::TooManyPackets { limit: 2 });
        assert_eq!(all(body, 2), [text(""), text(""), too_many]);
        assert_eq!(
            all(body, 0),
            [Err(PayloadError::TooManyPackets { limit: 0 })]
        );
        let full = ["4"; 131_073].join("\x1e");
        assert_eq!(
            decode(&full, 131_073).filter(Result::is_ok).count(),
            131_073
        );
        assert_eq!(
            decode(&full, 131_072).filter(Result::is_ok).count(),
            131_072
        );
    }

    #[test]
    fn what_is_appended_is_separated() {
        let mut out = Vec::new();
        push_text(&mut out, "2");
        push_binary(&mut out, &[1, 2, 3, 4]);
        push_binary(&mut out, &[]);
        push_text(&mut out, "4€");
        assert_eq!(out, "2\x1ebAQIDBA==\x1eb\x1e4€".as_bytes());
        assert_eq!(binary_len(4), "bAQIDBA==".len());
    }

    /// The reference: split everything, then read until something is wrong.
    fn naive(body: &str, limit: usize) -> (Vec<Packet<'_>>, bool) {
        let mut packets = Vec::new();
        for segment in body.split('\x1e') {
            match Packet::parse_text(segment) {
                Ok(packet) if packets.len() < limit => packets.push(packet),
                _ => return (packets, false),
            }
        }
        (packets, true)
    }

    #[test]
    fn a_payload_may_be_read_on_later() {
        let body = "4a\u{1e}4b\u{1e}4c";
        let mut packets = decode(body, 3);
        assert!(packets.next().is_some());
        let (rest, left) = packets.rest().unwrap();
        assert_eq!((rest, left), ("4b\u{1e}4c", 2));
        assert_eq!(all(rest, left), packets.by_ref().collect::<Vec<_>>());
        assert_eq!(packets.rest(), None);
    }

    proptest! {
        #[test]
        fn the_decoder_agrees_with_splitting_first(
            body in "([0-6b7]?[aA=\u{e9}]{0,5}\u{1e}?){0,12}",
            limit in 0_usize..8,
        ) {
            let (packets, whole) = naive(&body, limit);
            let mut decoder = decode(&body, limit);
            for packet in packets {
                prop_assert_eq!(decoder.next(), Some(Ok(packet)));
            }
            if whole {
                prop_assert_eq!(decoder.next(), None);
            } else {
                prop_assert!(matches!(decoder.next(), Some(Err(_))));
            }
            prop_assert_eq!(decoder.next(), None);
        }

        #[test]
        fn what_is_appended_is_read_again(
            packets in prop::collection::vec(
                prop_oneof![
                    "[^\u{1e}]{0,20}".prop_map(Ok),
                    prop::collection::vec(any::<u8>(), 0..20).prop_map(Err),
                ],
                1..10,
            ),
        ) {
            let mut out = Vec::new();
            for packet in &packets {
                match packet {
                    Ok(text) => push_text(&mut out, &format!("4{text}")),
                    Err(bytes) => push_binary(&mut out, bytes),
                }
            }
            let body = String::from_utf8(out).unwrap();
            let read: Vec<_> = decode(&body, packets.len()).map(Result::unwrap).collect();
            let sent: Vec<_> = packets.iter().map(|packet| Packet::Message(match packet {
                Ok(text) => Data::Text(text),
                Err(bytes) => Data::Binary(Cow::Borrowed(bytes)),
            })).collect();
            prop_assert_eq!(read, sent);
        }
    }
}
