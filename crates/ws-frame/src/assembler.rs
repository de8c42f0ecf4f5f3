//! One message put together from pieces, RFC 6455 §5.4.
//!
//! A message that lies whole in the caller's buffer never comes here. Everything else is gathered
//! in *one* contiguous buffer, with no object per fragment, so that what a peer can make us hold is
//! the capacity of that buffer and nothing besides:
//!
//! ```text
//!   0                        len                     buf.len()      capacity
//!   ├────────────────────────┼────────────────────────┼────────────────┤
//!   │ the message so far:    │ a control frame that   │ at most as much│
//!   │ unmasked, text checked │ was cut, or bytes that │ again, see     │
//!   │                        │ were read straight in  │ `room`         │
//! ```

use crate::{ProtocolError, utf8};

/// The least that is reserved for a message whose length calls for it.
const FLOOR: usize = 4 * 1024;

/// The least that is reserved where the caller is about to read straight into the buffer.
const READ_FLOOR: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Assembler {
    buf: Vec<u8>,
    /// How many bytes of `buf` are the message so far.
    len: usize,
    /// How many frames it came in so far.
    pub(crate) fragments: u32,
    /// How many of its bytes, at the end, are the start of a character: 0 to 3.
    cut: u8,
}

impl Assembler {
    pub(crate) const fn new() -> Self {
        Self {
            buf: Vec::new(),
            len: 0,
            fragments: 0,
            cut: 0,
        }
    }

    /// Whether there is neither a message nor a buffer.
    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.buf.capacity() == 0
    }

    /// The length of the message so far.
    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Bytes behind the message so far.
    #[inline]
    pub(crate) fn behind(&self) -> &[u8] {
        &self.buf[self.len..]
    }

    /// The same, to be unmasked.
    #[inline]
    pub(crate) fn behind_mut(&mut self) -> &mut [u8] {
        &mut self.buf[self.len..]
    }

    /// Gives back what the last call lent: the buffer if it holds no message, else only the control
    /// frame behind the message.
    #[inline]
    pub(crate) fn release(&mut self, spare: &mut Vec<u8>) {
        if self.buf.capacity() == 0 {
            return;
        }
        self.buf.truncate(self.len);
        if self.len == 0 {
            let buf = std::mem::take(&mut self.buf);
            if buf.capacity() > spare.capacity() {
                *spare = buf;
            }
        }
    }

    /// Forgets the message.
    pub(crate) fn reset(&mut self, spare: &mut Vec<u8>) {
        self.len = 0;
        self.cut = 0;
        self.release(spare);
    }

    /// Puts bytes behind the message; `left` counts those of the frame that are still to come, these
    /// included.
    pub(crate) fn push(&mut self, piece: &[u8], left: usize, max: usize, spare: &mut Vec<u8>) {
        let have = self.buf.len() + piece.len();
        let end = self.buf.len() + left;
        if have > self.buf.capacity() {
            // A spare buffer is taken by messages that will fill a quarter of it: a few bytes must
            // not pin a big one.
            let fits = have..=end.saturating_mul(4).min(max);
            if self.buf.capacity() == 0 && fits.contains(&spare.capacity()) {
                self.buf = std::mem::take(spare);
                self.buf.clear();
            } else {
                self.room(have, end, FLOOR, max);
            }
        }
        self.buf.extend_from_slice(piece);
    }

    /// Makes room for reading straight in.
    pub(crate) fn space(&mut self, left: usize, max: usize) -> &mut Vec<u8> {
        let free = self.buf.capacity() - self.buf.len();
        if free < left.min(READ_FLOOR) {
            let have = self.buf.len() + 1;
            let end = self.buf.len() + left;
            self.room(have, end, READ_FLOOR, max);
        }
        &mut self.buf
    }

    /// Reserves for `have` bytes, of which the frame under way ends at `end`.
    ///
    /// A length that is only announced reserves little (`floor`); bytes that have come double it, as
    /// far as the frame goes. So the capacity stays within twice what was received, and a byte is
    /// moved about once on average, however the message is cut.
    fn room(&mut self, have: usize, end: usize, floor: usize, max: usize) {
        // Small fragments grow the buffer beyond the frame under way, or each would move all others.
        let end = end.max(self.buf.capacity().saturating_mul(2).min(max));
        let target = have.max(end.min(floor.max(have.saturating_mul(2))));
        self.buf
            .reserve_exact(target.saturating_sub(self.buf.len()));
    }

    /// Makes the first `count` bytes behind the message part of it.
    #[inline]
    pub(crate) fn commit(&mut self, count: usize) {
        self.len += count;
        debug_assert!(self.len <= self.buf.len());
    }

    /// The same for text, which must be UTF-8 as far as it has come.
    pub(crate) fn commit_text(&mut self, count: usize) -> Result<(), ProtocolError> {
        let unchecked = self.len - usize::from(self.cut);
        self.commit(count);
        self.cut = utf8::check(&self.buf[unchecked..self.len])? as u8;
        Ok(())
    }

    /// Ends the message, which [`lent`](Self::lent) shows until the buffer is released, and says how
    /// long it is. Text has to be checked as a whole then.
    pub(crate) fn finish(&mut self) -> usize {
        self.cut = 0;
        std::mem::take(&mut self.len)
    }

    /// The message that was finished last, of `len` bytes.
    #[inline]
    pub(crate) fn lent(&self, len: usize) -> &[u8] {
        &self.buf[..len]
    }

    /// The buffer of that message, to keep.
    #[cfg(any(feature = "codec", feature = "tokio"))]
    pub(crate) fn take(&mut self) -> Vec<u8> {
        debug_assert_eq!(self.len, 0);
        std::mem::take(&mut self.buf)
    }
}
