//! Frames on their way out.

use std::io::IoSlice;

use bytes::{Buf, Bytes};

use crate::{Header, HeaderBytes, OpCode};

/// Appends one unmasked frame, as a server sends it, to `out`.
///
/// `write` appends the payload. Room for the header is left in front of it, as many bytes as a
/// payload of `expect` bytes needs, and the header is filled in afterwards; the payload is moved
/// only if the guess led to a header of another size.
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
    let start = out.len();
    let guess = Header::unmasked_size(expect);
    out.extend_from_slice(&[0; Header::MAX_LEN][..guess]);
    write(out);
    let body = start + guess;
    let len = out
        .len()
        .checked_sub(body)
        .expect("the payload is only appended to");
    let header = Header::new(opcode, len as u64).encode();
    let header = header.as_ref();
    if header.len() != guess {
        out.resize(start + header.len() + len, 0);
        out.copy_within(body..body + len, start + header.len());
    }
    out[start..start + header.len()].copy_from_slice(header);
}

/// A frame with its header inline and its payload in [`Bytes`], which leave together by `writev`
/// and without being copied.
#[derive(Clone, Debug)]
pub struct Frame {
    header: HeaderBytes,
    sent: u8,
    payload: Bytes,
}

impl Frame {
    /// A whole, unmasked message or control frame.
    #[inline]
    pub fn new(opcode: OpCode, payload: Bytes) -> Self {
        let header = Header::new(opcode, payload.len() as u64).encode();
        Self {
            header,
            sent: 0,
            payload,
        }
    }

    fn header(&self) -> &[u8] {
        &self.header.as_ref()[usize::from(self.sent)..]
    }
}

impl Buf for Frame {
    fn remaining(&self) -> usize {
        self.header().len() + self.payload.len()
    }

    fn chunk(&self) -> &[u8] {
        match self.header() {
            [] => &self.payload,
            header => header,
        }
    }

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

    fn advance(&mut self, count: usize) {
        let header = count.min(self.header().len());
        self.sent += header as u8;
        self.payload.advance(count - header);
    }
}

/// A complete, unmasked frame in one piece of memory, header and payload, which many recipients
/// share; a clone is a pointer.
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

    /// A frame whose payload `write` appends; `expect` is a hint of how long it will be.
    ///
    /// # Panics
    ///
    /// If `write` takes away bytes that were there before.
    pub fn write(opcode: OpCode, expect: usize, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        const ROOM: usize = 10;
        let mut out = Vec::with_capacity(ROOM + expect);
        out.extend_from_slice(&[0; ROOM]);
        write(&mut out);
        let len = out
            .len()
            .checked_sub(ROOM)
            .expect("the payload is only appended to");
        let header = Header::new(opcode, len as u64).encode();
        let header = header.as_ref();
        let start = ROOM - header.len();
        out[start..ROOM].copy_from_slice(header);
        let mut wire = Bytes::from(out);
        wire.advance(start);
        Self {
            wire,
            header: header.len() as u8,
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
