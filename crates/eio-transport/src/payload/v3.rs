//! The payload of revision 3: packets with their lengths in front.
//!
//! ```text
//! text      <length>:<packet>…               length in UTF-16 code units, as JavaScript counts
//!           b<type><base64>                  a binary packet among them
//! binary    00|01 <length> ff <packet>…      00 text, 01 bytes; length in bytes, one byte a digit
//!           <type> <data>                    a binary packet: the type is a byte, not a digit
//! ```
//!
//! The binary form is for clients that take bytes, and for payloads that hold some.
//!
//! [Revision 3](https://github.com/socketio/socket.io/blob/main/docs/engine.io-protocol/v3.md), "Encoding".

use base64::Engine as _;

use crate::config::Revision;
use crate::error::{PacketError, PayloadError};
use crate::packet::{BASE64, Packet};

/// What stands behind a length of the binary form.
const END_OF_LENGTH: u8 = 0xff;
/// In front of a text packet of the binary form.
const TEXT: u8 = 0;
/// In front of a binary packet of the binary form.
const BINARY: u8 = 1;

/// More digits than the length of any payload has; Node reads 310 of them.
const MAX_DIGITS: usize = 16;

/// Reads a payload of the text form, packet by packet, as far as it is good.
///
/// An empty packet (`0:`) is passed over, and counts. An empty body is an error.
pub fn decode_text(body: &str, max_packets: usize) -> Decoder<'_> {
    Decoder::new(Rest::Text(body), max_packets)
}

/// Reads a payload of the binary form, packet by packet, as far as it is good.
pub fn decode_binary(body: &[u8], max_packets: usize) -> Decoder<'_> {
    Decoder::new(Rest::Binary(body), max_packets)
}

/// The packets of a payload, in order. After the first error there are no more.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    pub(super) rest: Rest<'a>,
    pub(super) left: usize,
    pub(super) limit: usize,
}

/// What has not been read yet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rest<'a> {
    Binary(&'a [u8]),
    Text(&'a str),
    None,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(rest: Rest<'a>, limit: usize) -> Self {
        Self {
            rest,
            left: limit,
            limit,
        }
    }
}

impl<'a> Iterator for Decoder<'a> {
    type Item = Result<Packet<'a>, PayloadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = std::mem::replace(&mut self.rest, Rest::None);
            if matches!(rest, Rest::None | Rest::Binary([])) {
                return None;
            }
            let Some(left) = self.left.checked_sub(1) else {
                return Some(Err(PayloadError::TooManyPackets { limit: self.limit }));
            };
            self.left = left;
            let (packet, rest) = match rest {
                Rest::Text(rest) => match split_text(rest) {
                    Ok(("", rest)) if !rest.is_empty() => {
                        self.rest = Rest::Text(rest);
                        continue;
                    }
                    Ok(("", _)) => return None,
                    Ok((packet, "")) => (Revision::V3.read_text(packet), Rest::None),
                    Ok((packet, rest)) => (Revision::V3.read_text(packet), Rest::Text(rest)),
                    Err(error) => return Some(Err(error)),
                },
                Rest::Binary([]) | Rest::None => return None,
                Rest::Binary(rest) => match split_binary(rest) {
                    Ok((packet, [])) => (packet, Rest::None),
                    Ok((packet, rest)) => (packet, Rest::Binary(rest)),
                    Err(error) => return Some(Err(error)),
                },
            };
            return Some(match packet {
                Ok(packet) => {
                    self.rest = rest;
                    Ok(packet)
                }
                Err(error) => Err(PacketError::into(error)),
            });
        }
    }
}

/// The first packet of the text form, and what follows it.
fn split_text(rest: &str) -> Result<(&str, &str), PayloadError> {
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let behind = rest[digits..].strip_prefix(':');
    let Some(behind) = behind.filter(|_| (1..=MAX_DIGITS).contains(&digits)) else {
        return Err(PayloadError::Length);
    };
    let mut units: usize = rest[..digits].parse().map_err(|_| PayloadError::Length)?;
    // A unit is a byte at least.
    if units > behind.len() {
        return Err(PayloadError::Truncated);
    }
    let mut chars = behind.char_indices();
    while units > 0 {
        let (_, char) = chars.next().ok_or(PayloadError::Truncated)?;
        // A length that ends between the halves of a surrogate pair names no text.
        units = units
            .checked_sub(char.len_utf16())
            .ok_or(PayloadError::Length)?;
    }
    Ok(behind.split_at(chars.offset()))
}

type Split<'a> = (Result<Packet<'a>, PacketError>, &'a [u8]);

/// The first packet of the binary form, and what follows it.
fn split_binary(rest: &[u8]) -> Result<Split<'_>, PayloadError> {
    let (kind, rest) = rest.split_first().ok_or(PayloadError::Truncated)?;
    let digits = rest.iter().take_while(|digit| **digit <= 9).count();
    if !(1..=MAX_DIGITS).contains(&digits) || rest.get(digits) != Some(&END_OF_LENGTH) {
        return Err(PayloadError::Length);
    }
    let len = rest[..digits]
        .iter()
        .fold(0_u64, |len, digit| len * 10 + u64::from(*digit));
    let behind = &rest[digits + 1..];
    let (packet, rest) = usize::try_from(len)
        .ok()
        .and_then(|len| behind.split_at_checked(len))
        .ok_or(PayloadError::Truncated)?;
    let packet = match *kind {
        TEXT => {
            let text = std::str::from_utf8(packet).map_err(|_| PayloadError::NotText)?;
            Revision::V3.read_text(text)
        }
        BINARY => Revision::V3.read_binary(packet),
        _ => return Err(PayloadError::Length),
    };
    Ok((packet, rest))
}

/// Whether an encoded payload is of the binary form.
#[inline]
pub fn is_binary(payload: &[u8]) -> bool {
    matches!(payload, [TEXT | BINARY, ..])
}

/// Appends a packet, kind included, to the text form.
pub fn push_text(out: &mut Vec<u8>, packet: &str) {
    write_len(out, utf16_len(packet));
    out.push(b':');
    out.extend_from_slice(packet.as_bytes());
}

/// Appends a packet, kind included, to the binary form.
pub fn push_text_as_bytes(out: &mut Vec<u8>, packet: &str) {
    push_bytes(out, TEXT, packet.as_bytes());
}

/// Appends a binary packet, its type in the first byte, to the binary form.
pub fn push_binary(out: &mut Vec<u8>, packet: &[u8]) {
    push_bytes(out, BINARY, packet);
}

/// A binary message as text: `b4` and base64.
pub fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(b"b4");
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = BASE64.encode_slice(bytes, &mut out[start..]);
    debug_assert_eq!(written, Ok(out.len() - start));
}

/// Turns a payload of the text form, as it was appended here, into the binary form.
pub(super) fn to_binary(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 64);
    let mut rest = std::str::from_utf8(text).unwrap_or_default();
    while let Ok((packet, behind)) = split_text(rest) {
        push_text_as_bytes(&mut out, packet);
        rest = behind;
    }
    out
}

fn push_bytes(out: &mut Vec<u8>, kind: u8, packet: &[u8]) {
    out.push(kind);
    let start = out.len();
    write_len(out, packet.len());
    for digit in &mut out[start..] {
        *digit -= b'0';
    }
    out.push(END_OF_LENGTH);
    out.extend_from_slice(packet);
}

fn write_len(out: &mut Vec<u8>, len: usize) {
    out.extend_from_slice(len.to_string().as_bytes());
}

/// The length of a text as JavaScript counts it.
fn utf16_len(text: &str) -> usize {
    let count = |unit: &dyn Fn(u8) -> bool| text.bytes().filter(|byte| unit(*byte)).count();
    // Every character but its continuation bytes; one beyond the first plane takes two units.
    count(&|byte| byte & 0xc0 != 0x80) + count(&|byte| byte >= 0xf0)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::*;
    use crate::packet::Data;

    fn text(text: &str) -> Result<Packet<'_>, PayloadError> {
        Ok(Packet::Message(Data::Text(text)))
    }

    fn binary(bytes: &[u8]) -> Result<Packet<'_>, PayloadError> {
        Ok(Packet::Message(Data::Binary(Cow::Borrowed(bytes))))
    }

    fn all(body: &str) -> Vec<Result<Packet<'_>, PayloadError>> {
        decode_text(body, 9).collect()
    }

    fn all_binary(body: &[u8]) -> Vec<Result<Packet<'_>, PayloadError>> {
        decode_binary(body, 9).collect()
    }

    #[test]
    fn lengths_count_utf16_code_units() {
        // é is one unit and two bytes, 😀 two units and four bytes. Seen from Node.
        let body = "10:430[\"é😀\"]1:2";
        assert_eq!(all(body), [text("30[\"é😀\"]"), Ok(Packet::Ping(""))]);
        let mut out = Vec::new();
        push_text(&mut out, "430[\"é😀\"]");
        push_text(&mut out, "2");
        assert_eq!(out, body.as_bytes());
    }

    #[test]
    fn a_length_that_cuts_a_character_in_two_is_an_error() {
        assert_eq!(all("2:4😀"), [Err(PayloadError::Length)]);
        assert_eq!(all("3:4😀"), [text("😀")]);
    }

    #[test]
    fn bytes_in_the_text_form_are_base64_behind_their_type() {
        assert_eq!(all("10:b4AQIDBA==2:4a"), [binary(&[1, 2, 3, 4]), text("a")]);
        let mut out = Vec::new();
        write_base64(&mut out, &[1, 2, 3, 4]);
        assert_eq!(out, b"b4AQIDBA==");
    }

    #[test]
    fn the_binary_form_is_as_seen_from_node() {
        // 00 text, 5 bytes; 01 bytes, 5 of them, the first their type.
        let body = b"\x00\x05\xff451-[\x01\x05\xff\x04\x01\x02\x03\x04";
        assert_eq!(all_binary(body), [text("51-["), binary(&[1, 2, 3, 4])]);
        let mut out = Vec::new();
        push_text_as_bytes(&mut out, "451-[");
        push_binary(&mut out, &[4, 1, 2, 3, 4]);
        assert_eq!(out, body);
        assert!(is_binary(&out));
        // Its lengths are bytes, a byte a digit.
        let mut out = Vec::new();
        push_text_as_bytes(&mut out, "4😀😀😀");
        assert_eq!(
            out,
            "\0\u{1}\u{3}"
                .bytes()
                .chain([0xff])
                .chain("4😀😀😀".bytes())
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn an_empty_packet_of_the_text_form_is_passed_over() {
        assert_eq!(all("0:"), []);
        assert_eq!(all("0:0:2:4a0:"), [text("a")]);
        let zeros = "0:".repeat(10);
        assert_eq!(
            all(&zeros),
            [Err(PayloadError::TooManyPackets { limit: 9 })]
        );
    }

    #[test]
    fn every_malformed_text_payload_has_its_error() {
        for (body, error) in [
            ("", PayloadError::Length),
            ("4a", PayloadError::Length),
            (":4a", PayloadError::Length),
            ("-1:4", PayloadError::Length),
            ("1e1:4aaaaaaaaa", PayloadError::Length),
            (" 2:4a", PayloadError::Length),
            ("2", PayloadError::Length),
            ("99999999999999999:4", PayloadError::Length),
            ("9999999999999999:4", PayloadError::Truncated),
            ("3:4a", PayloadError::Truncated),
            ("2:4\u{e9}1", PayloadError::Length),
            ("1:x", PacketError::UnknownType { found: 'x' }.into()),
            ("1:b", PacketError::Empty.into()),
            ("3:b4*", PacketError::MalformedBase64.into()),
        ] {
            let all = all(body);
            assert_eq!(all.last(), Some(&Err(error)), "{body}: {all:?}");
        }
        assert_eq!(all("2:4a2:4b1:x2:4c").len(), 3, "what came before stands");
    }

    #[test]
    fn every_malformed_binary_payload_has_its_error() {
        let digits = [&[0][..], &[9; 400], &[0xff]].concat();
        for (body, error) in [
            (&b"\x00"[..], PayloadError::Length),
            (b"\x00\xff", PayloadError::Length),
            (b"\x00\x0a\xff4", PayloadError::Length),
            (b"\x02\x01\xff4", PayloadError::Length),
            (b"4a", PayloadError::Length),
            (&digits, PayloadError::Length),
            (b"\x00\x02\xff4", PayloadError::Truncated),
            (
                b"\x01\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\xff4",
                PayloadError::Truncated,
            ),
            (b"\x00\x02\xff4\xe9", PayloadError::NotText),
            (b"\x00\x00\xff", PacketError::Empty.into()),
            (b"\x01\x00\xff", PacketError::Empty.into()),
            (
                b"\x01\x01\xff4",
                PacketError::UnknownType { found: '4' }.into(),
            ),
        ] {
            assert_eq!(all_binary(body), [Err(error)], "{body:x?}");
        }
        assert_eq!(all_binary(b""), []);
    }

    #[test]
    fn there_is_a_limit_to_the_number_of_packets() {
        let full = "1:4".repeat(9);
        assert_eq!(all(&full).iter().filter(|packet| packet.is_ok()).count(), 9);
        assert_eq!(decode_text(&full, 9).filter(Result::is_err).count(), 0);
        assert_eq!(
            decode_text(&full, 8).last(),
            Some(Err(PayloadError::TooManyPackets { limit: 8 }))
        );
        let full = b"\x00\x01\xff4".repeat(9);
        assert_eq!(decode_binary(&full, 9).filter(Result::is_err).count(), 0);
        assert_eq!(
            decode_binary(&full, 8).last(),
            Some(Err(PayloadError::TooManyPackets { limit: 8 }))
        );
    }

    /// The reference: JavaScript's way, on a vector of code units.
    fn naive(body: &str) -> (Vec<String>, bool) {
        let units: Vec<u16> = body.encode_utf16().collect();
        let (mut at, mut packets) = (0, Vec::new());
        while at < units.len() {
            let digits: String = units[at..]
                .iter()
                .map_while(|unit| char::from_digit(u32::from(*unit).checked_sub(48)?, 10))
                .collect();
            at += digits.len();
            let Ok(len) = digits.parse::<usize>() else {
                return (packets, false);
            };
            let packet = units
                .get(at + 1..(at + 1).saturating_add(len))
                .map(String::from_utf16);
            match (units.get(at), packet) {
                (Some(58), Some(Ok(packet))) if packet.is_empty() => {}
                (Some(58), Some(Ok(packet))) if Revision::V3.read_text(&packet).is_ok() => {
                    packets.push(packet);
                }
                _ => return (packets, false),
            }
            at += 1 + len;
        }
        (packets, !units.is_empty())
    }

    proptest! {
        #[test]
        fn the_decoder_agrees_with_javascripts_way(
            body in "([0-4]:?[0-6b74]?[aA=\u{e9}\u{1f600}]{0,4}){0,8}",
        ) {
            let (packets, whole) = naive(&body);
            let mut decoder = decode_text(&body, usize::MAX);
            for packet in &packets {
                let packet = Revision::V3.read_text(packet).unwrap();
                prop_assert_eq!(decoder.next(), Some(Ok(packet)));
            }
            prop_assert_eq!(decoder.next().is_none(), whole);
            prop_assert_eq!(decoder.next(), None);
        }

        #[test]
        fn what_is_appended_is_read_again(
            packets in prop::collection::vec(
                prop_oneof![
                    "\\PC{0,20}".prop_map(Ok),
                    prop::collection::vec(any::<u8>(), 0..20).prop_map(Err),
                ],
                1..10,
            ),
        ) {
            let (mut text, mut bytes) = (Vec::new(), Vec::new());
            for packet in &packets {
                match packet {
                    Ok(packet) => {
                        push_text(&mut text, &format!("4{packet}"));
                        push_text_as_bytes(&mut bytes, &format!("4{packet}"));
                    }
                    Err(packet) => {
                        let mut base64 = Vec::new();
                        write_base64(&mut base64, packet);
                        push_text(&mut text, str::from_utf8(&base64).unwrap());
                        push_binary(&mut bytes, &[&[4], &packet[..]].concat());
                    }
                }
            }
            let sent: Vec<_> = packets.iter().map(|packet| Ok(Packet::Message(match packet {
                Ok(text) => Data::Text(text),
                Err(bytes) => Data::Binary(Cow::Borrowed(bytes)),
            }))).collect();
            let read: Vec<_> = decode_text(str::from_utf8(&text).unwrap(), packets.len()).collect();
            prop_assert_eq!(&read, &sent);
            let read: Vec<_> = decode_binary(&bytes, packets.len()).collect();
            prop_assert_eq!(&read, &sent);
            let binary = to_binary(&text);
            let again: Vec<_> = decode_binary(&binary, packets.len()).collect();
            prop_assert_eq!(&again, &sent);
        }
    }
}
