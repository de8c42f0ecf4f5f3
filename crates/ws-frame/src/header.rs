//! The frame header of RFC 6455 §5.2, and nothing else.
//!
//! ```text
//!   0               1               2               3
//!   0 1 2 3 4 5 6 7 0 1 2 3 4 5 6 7 0 1 2 3 4 5 6 7 0 1 2 3 4 5 6 7
//!  +-+-+-+-+-------+-+-------------+-------------------------------+
//!  |F|R|R|R| opcode|M| Payload len |    Extended payload length    |
//!  |I|S|S|S|  (4)  |A|     (7)     |            (16/64)            |
//!  |N|V|V|V|       |S|             |  if Payload len is 126 / 127  |
//!  | |1|2|3|       |K|             |                               |
//!  +-+-+-+-+-------+-+-------------+ - - - - - - - - - - - - - - - +
//!  |        … up to 8 bytes of length, then, if MASK is set,       |
//!  |                    4 bytes of masking key                     |
//!  +---------------------------------------------------------------+
//! ```
//!
//! A header is two bytes, or four, or ten, and four more when it carries a masking key.

use crate::ProtocolError;

/// What a frame is, §5.2 and §11.8.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum OpCode {
    /// The next fragment of the message under way.
    Continuation = 0,
    /// A text message, or its first fragment.
    Text = 1,
    /// A binary message, or its first fragment.
    Binary = 2,
    /// The closing handshake, §5.5.1.
    Close = 8,
    /// A question whether the other side still answers, §5.5.2.
    Ping = 9,
    /// The answer to a ping, or an unsolicited sign of life, §5.5.3.
    Pong = 10,
}

impl OpCode {
    /// Whether this is a close, ping or pong frame: short, never fragmented, allowed between the
    /// fragments of a message (§5.5).
    #[inline]
    pub const fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }

    #[inline]
    const fn from_nibble(nibble: u8) -> Option<Self> {
        Some(match nibble {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }
}

/// A frame header, §5.2.
///
/// ```
/// use ws_frame::{Header, OpCode};
///
/// let header = Header { mask: Some([1, 2, 3, 4]), ..Header::new(OpCode::Text, 300) };
/// let bytes = header.encode();
/// assert_eq!(bytes.as_ref(), [0x81, 0xfe, 0x01, 0x2c, 1, 2, 3, 4]);
/// assert_eq!(header.size(), 8);
/// assert_eq!(Header::parse(bytes.as_ref())?, Some((header, 8)));
/// assert_eq!(Header::parse(&bytes.as_ref()[..7])?, None); // More has to come.
/// # Ok::<(), ws_frame::ProtocolError>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// Whether this frame ends its message.
    pub fin: bool,
    /// The three reserved bits as a number: RSV1 is 4, RSV2 is 2, RSV3 is 1.
    pub rsv: u8,
    /// What the frame is.
    pub opcode: OpCode,
    /// The masking key; frames from a client have one, frames from a server do not (§5.1).
    pub mask: Option<[u8; 4]>,
    /// The length of the payload in bytes, at most 2^63 − 1.
    pub len: u64,
}

impl Header {
    /// The longest header there is, in bytes.
    pub const MAX_LEN: usize = 14;

    /// The bit in [`rsv`](Self::rsv) that permessage-deflate sets on the first frame of a
    /// compressed message (RFC 7692 §6).
    pub const RSV1: u8 = 0b100;

    /// The header of a whole, unmasked message or control frame.
    #[inline]
    pub const fn new(opcode: OpCode, len: u64) -> Self {
        Self {
            fin: true,
            rsv: 0,
            opcode,
            mask: None,
            len,
        }
    }

    /// Reads the header at the front of `buf`, and says how many bytes it takes. `None` means that
    /// more bytes are needed.
    ///
    /// # Errors
    ///
    /// Reserved opcodes, lengths that are not in their shortest form or have the top bit set, and
    /// control frames that are fragmented or longer than 125 bytes. The reserved bits and the
    /// presence of a mask are left to whoever knows what was negotiated and on which side it
    /// stands.
    #[inline]
    pub fn parse(buf: &[u8]) -> Result<Option<(Self, usize)>, ProtocolError> {
        let &[first, second, ref rest @ ..] = buf else {
            return Ok(None);
        };
        let opcode = first & 0x0f;
        let Some(opcode) = OpCode::from_nibble(opcode) else {
            return Err(ProtocolError::ReservedOpCode { opcode });
        };
        let fin = first & 0x80 != 0;
        let short = second & 0x7f;
        if opcode.is_control() {
            // §5.5: control frames are at most 125 bytes long and never fragmented.
            if short > 125 {
                return Err(ProtocolError::ControlTooLong);
            }
            if !fin {
                return Err(ProtocolError::ControlFragmented);
            }
        }

        // §5.2: the shortest form must be used, and the most significant bit must be 0.
        let (len, mut size) = match short {
            126 => {
                let Some(&extended) = rest.first_chunk::<2>() else {
                    return Ok(None);
                };
                let len = u64::from(u16::from_be_bytes(extended));
                if len < 126 {
                    return Err(ProtocolError::LengthNotMinimal { len });
                }
                (len, 4)
            }
            127 => {
                let Some(&extended) = rest.first_chunk::<8>() else {
                    return Ok(None);
                };
                let len = u64::from_be_bytes(extended);
                if len <= u64::from(u16::MAX) {
                    return Err(ProtocolError::LengthNotMinimal { len });
                }
                if len >> 63 != 0 {
                    return Err(ProtocolError::LengthTopBit { len });
                }
                (len, 10)
            }
            _ => (u64::from(short), 2),
        };

        let mask = if second & 0x80 == 0 {
            None
        } else {
            let Some(&key) = buf.get(size..).and_then(<[u8]>::first_chunk::<4>) else {
                return Ok(None);
            };
            size += 4;
            Some(key)
        };
        let header = Self {
            fin,
            rsv: (first >> 4) & 0b111,
            opcode,
            mask,
            len,
        };
        Ok(Some((header, size)))
    }

    /// The bytes of this header, in the shortest form.
    #[inline]
    pub fn encode(&self) -> HeaderBytes {
        let mut bytes = [0; Self::MAX_LEN];
        bytes[0] = self.first_byte();
        let masked = u8::from(self.mask.is_some()) << 7;
        let mut len = match self.len {
            short @ 0..126 => {
                bytes[1] = masked | short as u8;
                2
            }
            medium @ 126..0x1_0000 => {
                bytes[1] = masked | 126;
                bytes[2..4].copy_from_slice(&(medium as u16).to_be_bytes());
                4
            }
            long => {
                bytes[1] = masked | 127;
                bytes[2..10].copy_from_slice(&long.to_be_bytes());
                10
            }
        };
        if let Some(key) = self.mask {
            bytes[len..len + 4].copy_from_slice(&key);
            len += 4;
        }
        HeaderBytes {
            bytes,
            len: len as u8,
        }
    }

    #[inline]
    pub(crate) const fn first_byte(&self) -> u8 {
        (self.fin as u8) << 7 | (self.rsv & 0b111) << 4 | self.opcode as u8
    }

    /// How many bytes [`encode`](Self::encode) gives.
    #[inline]
    pub const fn size(&self) -> usize {
        let size = match self.len {
            0..126 => 2,
            126..0x1_0000 => 4,
            _ => 10,
        };
        match self.mask {
            None => size,
            Some(_) => size + 4,
        }
    }
}

/// An encoded [`Header`]: up to 14 bytes, kept inline.
#[derive(Clone, Copy, Debug)]
pub struct HeaderBytes {
    bytes: [u8; Header::MAX_LEN],
    len: u8,
}

impl AsRef<[u8]> for HeaderBytes {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> impl Strategy<Value = Header> {
        let opcode = prop::sample::select(vec![
            OpCode::Continuation,
            OpCode::Text,
            OpCode::Binary,
            OpCode::Close,
            OpCode::Ping,
            OpCode::Pong,
        ]);
        let len = prop_oneof![0..200_u64, 65_530..65_540_u64, 0..1_u64 << 63];
        (
            any::<bool>(),
            0..8_u8,
            opcode,
            any::<Option<[u8; 4]>>(),
            len,
        )
            .prop_map(|(fin, rsv, opcode, mask, len)| match opcode.is_control() {
                true => Header {
                    fin: true,
                    rsv,
                    opcode,
                    mask,
                    len: len % 126,
                },
                false => Header {
                    fin,
                    rsv,
                    opcode,
                    mask,
                    len,
                },
            })
    }

    proptest! {
        #[test]
        fn a_header_is_read_as_it_was_written(header in header(), behind in any::<Vec<u8>>()) {
            let bytes = header.encode();
            let bytes = bytes.as_ref();
            prop_assert_eq!(bytes.len(), header.size());
            let stream = [bytes, &behind].concat();
            prop_assert_eq!(Header::parse(&stream), Ok(Some((header, bytes.len()))));
            for cut in 0..bytes.len() {
                prop_assert_eq!(Header::parse(&bytes[..cut]), Ok(None));
            }
        }
    }

    #[test]
    fn the_examples_of_section_5_7() {
        let read = |bytes: &[u8]| Header::parse(bytes).map(|read| read.expect("it is complete"));
        let text = Header::new(OpCode::Text, 5);
        assert_eq!(read(b"\x81\x05Hello"), Ok((text, 2)));
        let masked = Header {
            mask: Some([0x37, 0xfa, 0x21, 0x3d]),
            ..text
        };
        assert_eq!(
            read(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
            Ok((masked, 6))
        );
        let fragment = Header {
            fin: false,
            ..Header::new(OpCode::Text, 3)
        };
        assert_eq!(read(b"\x01\x03Hel"), Ok((fragment, 2)));
        assert_eq!(
            read(b"\x80\x02lo"),
            Ok((Header::new(OpCode::Continuation, 2), 2))
        );
        assert_eq!(
            read(b"\x89\x05Hello"),
            Ok((Header::new(OpCode::Ping, 5), 2))
        );
        assert_eq!(
            read(b"\x82\x7e\x01\x00"),
            Ok((Header::new(OpCode::Binary, 256), 4))
        );
        assert_eq!(
            read(b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
            Ok((Header::new(OpCode::Binary, 65_536), 10))
        );
    }
}
