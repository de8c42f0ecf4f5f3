//! The msgpack parser: a packet is one [msgpack] map in one binary message, as the npm package
//! `socket.io-msgpack-parser` 3 writes it.
//!
//! ```text
//!  84  a4 type 02  a4 data 92 a1 e c4 01 ff  a3 nsp a1 /  a2 id 0c
//!  │   └────┬───┘  └─────────┬────────────┘  └────┬────┘  └──┬───┘
//!  │        EVENT            ["e", <ff>]          namespace  ack id, if an answer is wanted
//!  a map of four members, in any order; others are ignored
//! ```
//!
//! Packets with binary are of the ordinary types: binary stands where it belongs. What JSON lacks is read
//! as JSON would have said it, so that a handler need not know how its client speaks:
//!
//! | msgpack | JSON |
//! |---|---|
//! | `bin`; extension 0, which is how JavaScript's typed arrays come | an attachment |
//! | `undefined` (`d4 00 00`) | nothing as a member of an object, else `null` |
//! | a `Date` (`d7 00` and milliseconds, or the timestamp extension −1) | its ISO 8601 text |
//! | a number that is none, or infinite | `null` |
//! | an integer as the name of a member | its digits |
//! | any other extension | `[type, attachment]`, as the npm package shows it |
//!
//! The encoding itself, for whoever has other messages in it, is [`Reader`] and [`write`](mod@write).
//!
//! [msgpack]: https://github.com/msgpack/msgpack/blob/master/spec.md

mod date;
mod decode;
mod encode;
mod token;
pub mod write;

pub use date::text as date;
pub use token::{Reader, Token};

use bytes::Bytes;

use crate::parser::{Form, Message, Parser, Scratch};
use crate::{Limits, Packet, ParseError, WriteError};

/// The msgpack parser, as `socket.io-msgpack-parser` speaks it.
///
/// Strict: strings are UTF-8, nothing follows the map, depth and attachments are limited as in JSON
/// ([`Limits::max_attachments`]; the npm package knows no limit, but what one client sends is passed on
/// to others). The JSON text takes at most six times the bytes of the message, and 40 for each attachment.
///
/// ```
/// use sio_packet::{Limits, Message, Msgpack, Parser, Scratch};
///
/// let message = b"\x83\xa4type\x02\xa4data\x92\xa1e\xc4\x01\xff\xa3nsp\xa1/";
/// assert!(Msgpack.recognizes(Message::Binary(message)));
/// let (mut scratch, limits) = (Scratch::default(), Limits::default());
/// let (packet, attachments) = Msgpack.decode(Message::Binary(message), &limits, &mut scratch)?;
/// assert_eq!(packet.data, r#"["e",{"_placeholder":true,"num":0}]"#);
/// assert_eq!(attachments, [&b"\xff"[..]]);
/// # Ok::<(), sio_packet::ParseError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Msgpack;

impl Parser for Msgpack {
    /// A binary message that begins as a map.
    fn recognizes(&self, first: Message<'_>) -> bool {
        matches!(first, Message::Binary([0x80..=0x8f | 0xde | 0xdf, ..]))
    }

    fn decode<'a>(
        &self,
        message: Message<'a>,
        limits: &Limits,
        scratch: &'a mut Scratch,
    ) -> Result<(Packet<'a>, &'a mut [Bytes]), ParseError> {
        let Message::Binary(message) = message else {
            return Err(ParseError::Parser("msgpack is a binary message"));
        };
        scratch.clear();
        let head = decode::packet(message, limits, scratch)?;
        scratch.packet(head, limits)
    }

    fn encode(
        &self,
        packet: &Packet<'_>,
        attachments: &[&[u8]],
        out: &mut Vec<u8>,
    ) -> Result<Form, WriteError> {
        encode::packet(packet, attachments, out)?;
        Ok(Form::Binary)
    }
}
