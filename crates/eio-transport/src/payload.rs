//! The body of a polling request or answer: packets with `0x1e` between them.

use base64::Engine as _;

use crate::error::{PacketError, PayloadError};
use crate::packet::{BASE64, Packet};

/// What stands between two packets.
pub const SEPARATOR: u8 = 0x1e;

/// Reads the body of a POST, packet by packet, as far as it is good.
///
/// Nothing is split in advance: a megabyte of separators costs one error, not a million items
/// (Phoenix CVE-2026-32689). An empty body, like an empty packet, is an error.
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

impl<'a> Iterator for Decoder<'a> {
    type Item = Result<Packet<'a>, PayloadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        let Some(left) = self.left.checked_sub(1) else {
            return Some(Err(PayloadError::TooManyPackets { limit: self.limit }));
        };
        self.left = left;
        let (segment, rest) = match rest.split_once(char::from(SEPARATOR)) {
            Some((segment, rest)) => (segment, Some(rest)),
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
#[inline]
pub fn push_text(out: &mut Vec<u8>, packet: &str) {
    push_raw(out, packet.as_bytes());
}

/// Appends a binary message as `b` and base64, with a separator if it is not the first.
pub fn push_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    separate(out, binary_len(bytes.len()));
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
    out.reserve(follows + 1);
    if !out.is_empty() {
        out.push(SEPARATOR);
    }
}

const fn base64_len(len: usize) -> usize {
    len.div_ceil(3) * 4
}
