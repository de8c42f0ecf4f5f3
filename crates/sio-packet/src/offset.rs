//! Offsets of connection state recovery: what an event carries so that its receiver can say how far it
//! has come.
//!
//! ```text
//!  42["news",1,"k3Zq0000000G"]
//!               ├──┘├──────┘
//!               │   position, 48 bits
//!               log, 24 bits: an offset of another one means nothing
//! ```
//!
//! Clients send back the last one they saw, and look at nothing but that it is a string. The protocol
//! documents do not speak of it; this is what the Node server and client do.

use std::fmt;

/// Where in a log of packets an event stands.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Offset {
    /// Which log; the upper 8 bits are not written.
    pub log: u32,
    /// How many packets the log has had, up to and with this one; the upper 16 bits are not
    /// written, which is enough for a million packets a second over eight years.
    pub position: u64,
}

impl Offset {
    /// Bytes of the text.
    pub const LEN: usize = 12;

    /// Bytes that an event grows by on top of an offset's text: a comma and two quotes.
    pub const AROUND: usize = 3;

    /// The text: the same number of characters whatever the position, none of which JSON escapes.
    pub fn to_text(self) -> [u8; Self::LEN] {
        let word = u128::from(self.log & 0x00ff_ffff) << 48 | u128::from(self.position & POSITION);
        std::array::from_fn(|index| DIGITS[(word >> (6 * (Self::LEN - 1 - index)) & 63) as usize])
    }

    /// Reads the text; `None` if none of ours looks like this.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: &[u8; Self::LEN] = text.as_bytes().try_into().ok()?;
        let mut word = 0u128;
        for byte in bytes {
            let digit = DIGITS.iter().position(|digit| digit == byte)?;
            word = word << 6 | digit as u128;
        }
        Some(Self {
            log: u32::try_from(word >> 48).ok()?,
            position: u64::try_from(word & u128::from(POSITION)).ok()?,
        })
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.to_text()).unwrap_or_default())
    }
}

/// Appends the text of an event to `out`, with `offset` as its last argument.
///
/// `event` is the text of a packet that [`write_event`](crate::write_event) wrote. One that asks for an
/// ack must not get an offset: clients put the answer function behind its arguments, and look for no
/// offset there.
///
/// ```
/// use sio_packet::{Offset, write_with_offset};
///
/// let offset = Offset { log: 1, position: 2 };
/// let mut out = Vec::new();
/// write_with_offset(&mut out, br#"2["news","rain"]"#, offset);
/// assert_eq!(out, br#"2["news","rain","---0-------1"]"#);
/// assert_eq!(Offset::parse("---0-------1"), Some(offset));
/// ```
pub fn write_with_offset(out: &mut Vec<u8>, event: &[u8], offset: Offset) {
    write_with_offset_text(out, event, &offset.to_text());
}

/// Appends the text of an event to `out`, with an offset of any other form as its last argument: text that
/// JSON has nothing to escape in.
pub fn write_with_offset_text(out: &mut Vec<u8>, event: &[u8], offset: &[u8]) {
    let arguments = event.strip_suffix(b"]").unwrap_or(event);
    out.reserve(arguments.len() + Offset::AROUND + offset.len() + 1);
    out.extend_from_slice(arguments);
    out.extend_from_slice(b",\"");
    out.extend_from_slice(offset);
    out.extend_from_slice(b"\"]");
}

/// Sorted, so that offsets of one log sort as text as they do as numbers.
const DIGITS: &[u8; 64] = b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";
const POSITION: u64 = (1 << 48) - 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Attachments, write_event};

    proptest! {
        #[test]
        fn an_offset_is_read_as_it_was_written_and_sorts_like_its_position(
            log in 0..1u32 << 24, positions: [u64; 2],
        ) {
            let offsets = positions.map(|position| Offset { log, position: position & POSITION });
            let texts = offsets.map(|offset| offset.to_string());
            prop_assert_eq!(Offset::parse(&texts[0]), Some(offsets[0]));
            prop_assert_eq!(texts[0].cmp(&texts[1]), offsets[0].position.cmp(&offsets[1].position));
        }

        #[test]
        fn whatever_else_a_client_sends_is_no_offset(text in "\\PC{0,14}") {
            if let Some(offset) = Offset::parse(&text) {
                prop_assert_eq!(offset.to_string(), text);
            }
        }
    }

    #[test]
    fn an_offset_is_the_last_argument() {
        let offset = Offset {
            log: 1,
            position: 2,
        };
        let write = |arguments: &[i32]| {
            let (mut event, mut out) = (Vec::new(), b"4".to_vec());
            write_event(
                &mut event,
                "/",
                None,
                "e",
                arguments,
                &mut Attachments::new(),
            )
            .unwrap();
            write_with_offset(&mut out, &event, offset);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(write(&[1, 2]), r#"42["e",[1,2],"---0-------1"]"#);
        let mut out = Vec::new();
        write_with_offset(&mut out, b"2[\"e\"]", offset);
        assert_eq!(out, br#"2["e","---0-------1"]"#);
    }
}
