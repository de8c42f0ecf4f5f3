//! Frames on their way out, RFC 6455 §5.2 and §6.1.
//!
//! Three shapes, for three kinds of sender; in none of them is a payload copied to put a header in
//! front of it:
//!
//! ```text
//!  write_frame   … written so far │ header │ payload …     appended to a buffer that many frames share
//!  Frame         [ header ]  +  Bytes                      a payload that exists already: writev
//!  Prepared      Bytes: [ header │ payload ]               one frame for many recipients: a pointer each
//! ```

use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

use crate::{Header, HeaderBytes, OpCode, mask};

/// Appends one unmasked frame, as a server sends it, to `out`.
///
/// `write` appends the payload. In front of it room is left for the header that a payload of `expect`
/// bytes needs, which is filled in afterwards; the payload is moved only if its header turns out to
/// be of another size. Text must be UTF-8; that is not checked.
///
/// ```
/// use ws_frame::{OpCode, write_frame};
///
/// let mut out = Vec::new();
/// for text in ["Hello", "you"] {
///     write_frame(&mut out, OpCode::Text, text.len(), |out| out.extend_from_slice(text.as_bytes()));
/// }
/// assert_eq!(out, b"\x81\x05Hello\x81\x03you");
/// ```
///
/// # Panics
///
/// If `write` takes away bytes that were there before.
#[inline]
pub fn write_frame(
    out: &mut Vec<u8>,
    opcode: OpCode,
    expect: usize,
    write: impl FnOnce(&mut Vec<u8>),
) {
    write_frame_as(out, Header::new(opcode, expect as u64), write);
}

/// The same for every other kind of frame: a fragment, a compressed message, a client's frame.
///
/// All is taken from `header` but the length, which is the hint, and the payload is masked if there is
/// a key.
///
/// ```
/// use ws_frame::{Header, OpCode, write_frame_as};
///
/// let header = Header { mask: Some([0x37, 0xfa, 0x21, 0x3d]), ..Header::new(OpCode::Text, 5) };
/// let mut out = Vec::new();
/// write_frame_as(&mut out, header, |out| out.extend_from_slice(b"Hello"));
/// assert_eq!(out, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"); // RFC 6455 §5.7
/// ```
///
/// # Panics
///
/// If `write` takes away bytes that were there before.
#[inline]
pub fn write_frame_as(out: &mut Vec<u8>, header: Header, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    let guess = header.size();
    match guess {
        // Of a length that the compiler knows: bytes stored, where a slice would be a call.
        2 => out.extend_from_slice(&[0; 2]),
        4 => out.extend_from_slice(&[0; 4]),
        _ => out.extend_from_slice(&[0; Header::MAX_LEN][..guess]),
    }
    write(out);
    let len = out.len().checked_sub(start + guess);
    let len = len.expect("`write` only appends");

    // What nearly all frames are: unmasked, and of the length that was expected or close to it.
    let front = &mut out[start..];
    match (guess, len) {
        (2, 0..126) => front[..2].copy_from_slice(&[header.first_byte(), len as u8]),
        (4, 126..0x1_0000) => {
            let [high, low] = (len as u16).to_be_bytes();
            front[..4].copy_from_slice(&[header.first_byte(), 126, high, low]);
        }
        _ => {
            let len = len as u64;
            fill_in(out, start, guess, Header { len, ..header });
        }
    }
}

/// Puts `header` where `guess` bytes were left for it, in front of the payload.
fn fill_in(out: &mut Vec<u8>, start: usize, guess: usize, header: Header) {
    let bytes = header.encode();
    let bytes = bytes.as_ref();
    let body = start + bytes.len();
    if bytes.len() != guess {
        let len = header.len as usize;
        out.resize(out.len().max(body + len), 0);
        out.copy_within(start + guess..start + guess + len, body);
        out.truncate(body + len);
    }
    out[start..body].copy_from_slice(bytes);
    if let Some(key) = header.mask {
        mask(&mut out[body..], key);
    }
}

/// A frame whose header is inline and whose payload is [`Bytes`]: they leave together by `writev`,
/// uncopied.
///
/// ```
/// use std::io::Write;
/// use bytes::{Buf, Bytes};
/// use ws_frame::{Frame, OpCode};
///
/// # fn f(mut stream: std::net::TcpStream) -> std::io::Result<()> {
/// let mut frame = Frame::new(OpCode::Binary, Bytes::from(vec![0; 1_000_000]));
/// while frame.has_remaining() {
///     let mut slices = [std::io::IoSlice::new(&[]); 2];
///     let count = frame.chunks_vectored(&mut slices);
///     let written = stream.write_vectored(&slices[..count])?;
///     frame.advance(written);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Frame {
    header: HeaderBytes,
    /// How many bytes of the header have left.
    sent: u8,
    payload: Bytes,
}

impl Frame {
    /// A whole, unmasked message or control frame, as a server sends it.
    #[inline]
    pub fn new(opcode: OpCode, payload: Bytes) -> Self {
        Self::new_as(Header::new(opcode, 0), payload)
    }

    /// A whole message or control frame as a client sends it, masked in place.
    pub fn masked(opcode: OpCode, mut payload: BytesMut, key: [u8; 4]) -> Self {
        mask(&mut payload, key);
        let header = Header {
            mask: Some(key),
            ..Header::new(opcode, 0)
        };
        Self::new_as(header, payload.freeze())
    }

    /// Any other frame. All is taken from `header` but the length, which is that of the payload; if
    /// there is a key, the payload is already masked with it.
    #[inline]
    pub fn new_as(header: Header, payload: Bytes) -> Self {
        let len = payload.len() as u64;
        Self {
            header: Header { len, ..header }.encode(),
            sent: 0,
            payload,
        }
    }

    #[inline]
    fn header(&self) -> &[u8] {
        &self.header.as_ref()[usize::from(self.sent)..]
    }
}

impl Buf for Frame {
    #[inline]
    fn remaining(&self) -> usize {
        self.header().len() + self.payload.len()
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        match self.header() {
            [] => &self.payload,
            header => header,
        }
    }

    #[inline]
    fn chunks_vectored<'a>(&'a self, dst: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        for chunk in [self.header(), &self.payload] {
            if !chunk.is_empty() && filled < dst.len() {
                dst[filled] = IoSlice::new(chunk);
                filled += 1;
            }
        }
        filled
    }

    #[inline]
    fn advance(&mut self, count: usize) {
        let header = count.min(self.header().len());
        self.sent += header as u8;
        self.payload.advance(count - header);
    }
}

/// A complete, unmasked frame, header and payload in one piece of memory, which many recipients share:
/// a clone is a pointer.
///
/// Frames from a server are not masked, so the bytes of a broadcast are the same for everyone.
///
/// ```
/// use ws_frame::Prepared;
///
/// let news = Prepared::text("rain");
/// assert_eq!(news.wire().as_ref(), b"\x81\x04rain"); // the same for everybody
/// assert_eq!(news.payload(), "rain");
/// let photo = Prepared::binary(b"\xff\xd8");
/// assert_eq!(photo.wire().as_ref(), b"\x82\x02\xff\xd8");
/// ```
#[derive(Clone, Debug)]
pub struct Prepared {
    wire: Bytes,
    header: u8,
}

impl Prepared {
    /// A text message.
    pub fn text(payload: &str) -> Self {
        Self::write(OpCode::Text, payload.len(), |out| {
            out.extend_from_slice(payload.as_bytes());
        })
    }

    /// A binary message.
    pub fn binary(payload: &[u8]) -> Self {
        Self::write(OpCode::Binary, payload.len(), |out| {
            out.extend_from_slice(payload);
        })
    }

    /// A message whose payload `write` appends; `expect` is a hint of how long it will be. Text must be
    /// UTF-8; that is not checked.
    ///
    /// # Panics
    ///
    /// If `write` takes away bytes that were there before.
    pub fn write(opcode: OpCode, expect: usize, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        Self::write_as(Header::new(opcode, expect as u64), write)
    }

    /// The same for every other kind of frame. All is taken from `header` but the length, which is the
    /// hint, and the key: a prepared frame is not masked.
    ///
    /// # Panics
    ///
    /// If `write` takes away bytes that were there before.
    pub fn write_as(header: Header, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        // Room for the longest header; a shorter one stands at its end, so nothing is ever moved.
        const ROOM: usize = 10;

        let hint = header.len.min(u64::from(u16::MAX)) as usize;
        let mut out = Vec::with_capacity(ROOM + hint);
        out.extend_from_slice(&[0; ROOM]);
        write(&mut out);
        let len = out.len().checked_sub(ROOM).expect("`write` only appends");

        let header = Header {
            len: len as u64,
            mask: None,
            ..header
        };
        let bytes = header.encode();
        let bytes = bytes.as_ref();
        let start = ROOM - bytes.len();
        out[start..ROOM].copy_from_slice(bytes);
        let mut wire = Bytes::from(out);
        wire.advance(start);
        Self {
            wire,
            header: bytes.len() as u8,
        }
    }

    /// The whole frame, as it goes to a WebSocket.
    #[inline]
    pub const fn wire(&self) -> &Bytes {
        &self.wire
    }

    /// The payload without its header: the same memory.
    #[inline]
    pub fn payload(&self) -> Bytes {
        self.wire.slice(usize::from(self.header)..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every length at which a header changes its size, and its neighbours.
    const LENGTHS: [usize; 8] = [0, 1, 125, 126, 127, 65_535, 65_536, 65_537];

    fn expected(header: Header, payload: &[u8]) -> Vec<u8> {
        let header = Header {
            len: payload.len() as u64,
            ..header
        };
        let mut frame = header.encode().as_ref().to_vec();
        frame.extend(payload);
        if let Some(key) = header.mask {
            mask(&mut frame[header.size()..], key);
        }
        frame
    }

    #[test]
    fn a_frame_is_the_same_whatever_length_was_expected() {
        for mask in [None, Some([1, 2, 3, 4])] {
            for len in LENGTHS {
                for expect in LENGTHS {
                    let header = Header {
                        mask,
                        ..Header::new(OpCode::Binary, expect as u64)
                    };
                    let payload = vec![0x5a; len];
                    let mut out = b"before".to_vec();
                    write_frame_as(&mut out, header, |out| out.extend_from_slice(&payload));
                    assert_eq!(&out[..6], b"before");
                    assert!(
                        out[6..] == expected(header, &payload),
                        "{len}, not {expect}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_prepared_frame_is_header_and_payload_in_the_same_memory() {
        for len in LENGTHS {
            let payload = vec![b'x'; len];
            let frame = Prepared::binary(&payload);
            assert_eq!(
                *frame.wire(),
                expected(Header::new(OpCode::Binary, 0), &payload)
            );
            assert_eq!(frame.payload(), payload);
            if len > 0 {
                let header = frame.wire().len() - len;
                assert_eq!(frame.payload().as_ptr(), frame.wire()[header..].as_ptr());
            }
            assert_eq!(frame.clone().wire().as_ptr(), frame.wire().as_ptr());
        }
        assert_eq!(*Prepared::text("Hello").wire(), &b"\x81\x05Hello"[..]);
    }

    #[test]
    fn header_and_payload_leave_together() {
        let frame = Frame::new(OpCode::Text, Bytes::from_static(b"Hello"));
        let mut slices = [IoSlice::new(&[]); 4];
        assert_eq!(frame.chunks_vectored(&mut slices), 2);
        assert_eq!(*slices[0], *b"\x81\x05");
        assert_eq!(*slices[1], *b"Hello");
        assert_eq!(frame.chunks_vectored(&mut slices[..1]), 1);
    }

    #[test]
    fn a_partial_write_goes_on_where_it_stopped() {
        let whole = b"\x82\xfe\x00\x80\x01\x02\x03\x04";
        for at in 0..=8 + 128 {
            let payload = BytesMut::from(&[0_u8; 128][..]);
            let mut frame = Frame::masked(OpCode::Binary, payload, [1, 2, 3, 4]);
            let mut out = Vec::new();
            while out.len() < at {
                let count = frame.chunk().len().min(at - out.len());
                out.extend_from_slice(&frame.chunk()[..count]);
                frame.advance(count);
            }
            assert_eq!(frame.remaining(), 8 + 128 - at);
            out.extend_from_slice(&frame.copy_to_bytes(frame.remaining()));
            assert_eq!(&out[..8], whole);
            assert_eq!(out[8..], [1, 2, 3, 4].repeat(32));
        }
    }
}
