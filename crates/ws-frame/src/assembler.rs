//! One message put together from pieces, RFC 6455 §5.4.
//!
//! A message that lies whole in the caller's buffer never comes here. Everything else is gathered
//! in *one* contiguous buffer, with no object per fragment, so that what a peer can make us hold is
//! the capacity of that buffer and nothing besides:
//!
//! ```text
//!   0                        len                     buf.len()      capacity
//!   ├────────────────────────┼────────────────────────┼────────────────┤
//!   │ the message so far,    │ a control frame that   │ at most as much│
//!   │ unmasked               │ was cut, or bytes that │ again, see     │
//!   │                        │ were read straight in  │ `room`         │
//! ```
//!
//! A text message has a buffer of its own kind, [`Text`], unless it is being read straight in; `buf`
//! holds nothing but the control frame then.

use crate::ProtocolError;
use crate::mask::Masker;
use crate::text::{self, Text};

/// The least that is reserved for a message whose length calls for it.
const FLOOR: usize = 4 * 1024;

/// The least that is reserved where the caller is about to read straight into the buffer.
const READ_FLOOR: usize = 64 * 1024;

/// So much of a text may be checked once more to read the rest of it straight in.
const LITTLE: usize = 4 * 1024;

/// How much text is worked on at a time: half of a first-level cache.
const BLOCK: usize = 16 * 1024;

#[derive(Debug)]
pub(crate) struct Assembler {
    buf: Vec<u8>,
    /// How many bytes of `buf` are the message so far.
    len: usize,
    /// The message so far, if it is text.
    text: Option<Box<Text>>,
}

impl Assembler {
    pub(crate) const fn new() -> Self {
        Self {
            buf: Vec::new(),
            len: 0,
            text: None,
        }
    }

    /// Whether there is neither a message nor a buffer.
    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.buf.capacity() == 0 && self.text.is_none()
    }

    /// Whether the message so far is text, and not being read straight in.
    #[cfg(feature = "tokio")]
    pub(crate) const fn is_text(&self) -> bool {
        self.text.is_some()
    }

    /// The length of the message so far.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        match &self.text {
            Some(text) => text.len(),
            None => self.len,
        }
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
        if !self.is_empty() {
            self.release_any(spare);
        }
    }

    fn release_any(&mut self, spare: &mut Vec<u8>) {
        if let Some(text) = self.text.take_if(|text| text.is_finished()) {
            keep(text.into_bytes(), spare);
        }
        self.buf.truncate(self.len);
        if self.len == 0 {
            keep(std::mem::take(&mut self.buf), spare);
        }
    }

    /// Forgets the message.
    pub(crate) fn reset(&mut self, spare: &mut Vec<u8>) {
        self.len = 0;
        self.text = None;
        self.release(spare);
    }

    /// Puts bytes behind the message; `left` counts those of the frame that are still to come, these
    /// included.
    pub(crate) fn push(&mut self, piece: &[u8], left: usize, max: usize, spare: &mut Vec<u8>) {
        let have = self.buf.len() + piece.len();
        let end = self.buf.len() + left;
        if have > self.buf.capacity() {
            if self.buf.capacity() == 0 && fits(spare, have, end, max) {
                self.buf = std::mem::take(spare);
                self.buf.clear();
            } else {
                let more = room(self.buf.len(), self.buf.capacity(), have, end, FLOOR, max);
                self.buf.reserve_exact(more);
            }
        }
        self.buf.extend_from_slice(piece);
    }

    /// Unmasks bytes and puts them behind the text so far, which must be UTF-8 as far as it has come.
    pub(crate) fn push_text(
        &mut self,
        piece: &mut [u8],
        masker: &mut Option<Masker>,
        left: usize,
        max: usize,
        spare: &mut Vec<u8>,
    ) -> Result<(), ProtocolError> {
        let text = self.text.get_or_insert_default();
        let have = text.len() + piece.len();
        let end = text.len() + left;
        if have > text.capacity() {
            if text.capacity() == 0 && fits(spare, have, end, max) {
                **text = Text::within(std::mem::take(spare));
            } else {
                let more = room(text.len(), text.capacity(), have, end, FLOOR, max);
                text.reserve_exact(more);
            }
        }
        // While a block is in the nearest cache it is unmasked, checked and copied.
        for block in piece.chunks_mut(BLOCK) {
            if let Some(masker) = masker {
                masker.apply(block);
            }
            text.push(block)?;
        }
        Ok(())
    }

    /// Makes room for reading straight in.
    ///
    /// Bytes that have not been checked cannot stand in a [`Text`]. So the little that there is of a
    /// text is put back into `buf` in front of them, and checked with them once more.
    pub(crate) fn space(&mut self, left: usize, max: usize) -> Option<&mut Vec<u8>> {
        if let Some(text) = self.text.take_if(|text| text.len() <= LITTLE) {
            self.buf = text.into_bytes();
            self.len = self.buf.len();
        }
        if self.text.is_some() {
            return None;
        }
        let free = self.buf.capacity() - self.buf.len();
        if free < left.min(READ_FLOOR) {
            let (len, capacity) = (self.buf.len(), self.buf.capacity());
            let more = room(len, capacity, len + 1, len + left, READ_FLOOR, max);
            self.buf.reserve_exact(more);
        }
        Some(&mut self.buf)
    }

    /// Makes a [`Text`] again of a text that was put into `buf`, and of what was read straight in
    /// behind it, unmasked by now.
    pub(crate) fn restore_text(
        &mut self,
        left: usize,
        max: usize,
        spare: &mut Vec<u8>,
    ) -> Result<(), ProtocolError> {
        if self.buf.is_empty() {
            return Ok(());
        }
        let mut buf = std::mem::take(&mut self.buf);
        let left = std::mem::take(&mut self.len) + left;
        self.push_text(&mut buf, &mut None, left, max, spare)?;
        keep(buf, spare);
        Ok(())
    }

    /// Makes the first `count` bytes behind the message part of it.
    #[inline]
    pub(crate) fn commit(&mut self, count: usize) {
        self.len += count;
        debug_assert!(self.len <= self.buf.len());
    }

    /// Ends the message, which [`lent`](Self::lent) or [`lent_text`](Self::lent_text) shows until the
    /// buffer is released, and says how long it is. Text must not end inside a character.
    pub(crate) fn finish(&mut self) -> Result<usize, ProtocolError> {
        match &mut self.text {
            Some(text) => text.finish(),
            None => Ok(std::mem::take(&mut self.len)),
        }
    }

    /// The message that was finished last, of `len` bytes.
    #[inline]
    pub(crate) fn lent(&self, len: usize) -> &[u8] {
        &self.buf[..len]
    }

    /// The same, if it is text.
    #[inline]
    pub(crate) fn lent_text(&self, len: usize) -> Result<&str, ProtocolError> {
        match &self.text {
            Some(text) => Ok(text.as_str()),
            None => text::whole(self.lent(len)),
        }
    }

    /// The buffer of that message, to keep.
    #[cfg(any(feature = "codec", feature = "tokio"))]
    pub(crate) fn take(&mut self) -> Vec<u8> {
        debug_assert_eq!(self.len, 0);
        std::mem::take(&mut self.buf)
    }

    /// The same, if it is text.
    #[cfg(any(feature = "codec", feature = "tokio"))]
    pub(crate) fn take_text(&mut self) -> String {
        match self.text.take() {
            Some(text) => text.into_string(),
            None => String::from_utf8(self.take()).expect("it was checked when it was lent"),
        }
    }
}

/// Whether a spare buffer suits a message of which `have` bytes have come, and whose frame under way
/// ends at `end`. One is taken by messages that will fill a quarter of it: a few bytes must not pin a
/// big one.
fn fits(spare: &Vec<u8>, have: usize, end: usize, max: usize) -> bool {
    (have..=end.saturating_mul(4).min(max)).contains(&spare.capacity())
}

/// Leaves a buffer for the next message if it is the larger one.
fn keep(buf: Vec<u8>, spare: &mut Vec<u8>) {
    if buf.capacity() > spare.capacity() {
        *spare = buf;
    }
}

/// How much more to reserve for `have` bytes, of which the frame under way ends at `end`.
///
/// A length that is only announced reserves little (`floor`); bytes that have come double it, as
/// far as the frame goes. So the capacity stays within twice what was received, and a byte is
/// moved about once on average, however the message is cut.
fn room(len: usize, capacity: usize, have: usize, end: usize, floor: usize, max: usize) -> usize {
    // Small fragments grow the buffer beyond the frame under way, or each would move all others.
    let end = end.max(capacity.saturating_mul(2).min(max));
    let target = have.max(end.min(floor.max(have.saturating_mul(2))));
    target.saturating_sub(len)
}
