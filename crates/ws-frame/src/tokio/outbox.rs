//! What waits to be written: frames one behind the other, and at most one payload too large to be
//! copied among them.
//!
//! ```text
//!   head: [ written │ frame │ frame │ header of the last ]   tail: [ its payload ]
//!                   └────────────────── one writev ──────────────────┘
//! ```

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::AsyncWrite;

use crate::Header;

/// From here on a payload is not copied.
const LARGE: usize = 4 * 1024;

/// With so many bytes waiting there is no room for another frame.
const FULL: usize = 32 * 1024;

/// Owns nothing while it is empty.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    head: Vec<u8>,
    /// How many bytes of `head` have been written.
    written: usize,
    tail: Bytes,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.head.is_empty() && self.tail.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        !self.tail.is_empty() || self.head.len() - self.written >= FULL
    }

    /// Where small frames can be put, unless it is full.
    pub(super) fn open(&mut self) -> Option<&mut Vec<u8>> {
        (!self.is_full()).then_some(&mut self.head)
    }

    /// Where a frame with this header can be put whole, if it is to be copied.
    pub(super) fn room(&mut self, header: &Header) -> Option<&mut Vec<u8>> {
        if header.len >= LARGE as u64 || !self.tail.is_empty() {
            return None;
        }
        // Known in advance, so that a single small frame is one exact allocation.
        self.head.reserve(header.size() + header.len as usize);
        Some(&mut self.head)
    }

    /// Puts a frame behind the others, even if it is full. The payload is already masked.
    pub(super) fn push(&mut self, header: Header, payload: Bytes) {
        let tail = std::mem::replace(&mut self.tail, payload);
        self.head.extend_from_slice(&tail);
        self.head.extend_from_slice(header.encode().as_ref());
    }

    /// Writes once; an error if nothing is taken.
    pub(super) fn poll_write(
        &mut self,
        io: Pin<&mut impl AsyncWrite>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let head = &self.head[self.written..];
        let count = if self.tail.is_empty() {
            ready!(io.poll_write(cx, head))?
        } else {
            let slices = [IoSlice::new(head), IoSlice::new(&self.tail)];
            let skip = usize::from(head.is_empty());
            ready!(io.poll_write_vectored(cx, &slices[skip..]))?
        };
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        let of_head = count.min(head.len());
        self.written += of_head;
        self.tail.advance(count - of_head);
        if self.written == self.head.len() {
            self.head = Vec::new();
            self.written = 0;
        }
        if self.tail.is_empty() {
            // What has left is not held on to.
            self.tail = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use proptest::prelude::*;

    use super::*;
    use crate::{OpCode, write_frame_as};

    /// Takes a few bytes at a time, of all slices it is given.
    struct Narrow {
        width: usize,
        taken: Vec<u8>,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(cx, &[IoSlice::new(buf)])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let before = self.taken.len();
            for slice in slices {
                let room = self.width - (self.taken.len() - before);
                self.taken
                    .extend_from_slice(&slice[..room.min(slice.len())]);
            }
            Poll::Ready(Ok(self.taken.len() - before))
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn it_is_full_at_its_limit_and_not_a_byte_before() {
        let put = |outbox: &mut Outbox, len: usize| {
            let header = Header::new(OpCode::Binary, len as u64);
            let out = outbox.room(&header).expect("it is to be copied");
            write_frame_as(out, header, |out| out.resize(out.len() + len, 0));
        };
        for (waiting, full) in [(FULL - 1, false), (FULL, true), (FULL + 1, true)] {
            let mut outbox = Outbox::default();
            // All but the last frame, then what is left, its header of four bytes included.
            while waiting - outbox.head.len() > 1200 {
                put(&mut outbox, 996);
            }
            let rest = waiting - outbox.head.len() - 4;
            put(&mut outbox, rest);
            assert_eq!(outbox.head.len(), waiting);
            assert_eq!(outbox.is_full(), full);
            assert_eq!(outbox.open().is_none(), full);
        }
        // A payload that is not copied fills it, whatever its length.
        let mut outbox = Outbox::default();
        outbox.push(
            Header::new(OpCode::Binary, LARGE as u64),
            vec![0; LARGE].into(),
        );
        assert!(outbox.is_full());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn frames_leave_in_order_however_they_are_cut(
            lens in prop::collection::vec(prop_oneof![0..200_usize, 4090..4110_usize, Just(70_000)], 0..6),
            width in 1..9000_usize,
        ) {
            let mut io = Narrow { width, taken: Vec::new() };
            let mut cx = Context::from_waker(Waker::noop());
            let (mut out, mut expected) = (Outbox::default(), Vec::new());
            for (at, len) in lens.into_iter().enumerate() {
                let payload = Bytes::from(vec![at as u8; len]);
                let header = Header::new(OpCode::Binary, len as u64);
                expected.extend_from_slice(header.encode().as_ref());
                expected.extend_from_slice(&payload);
                match out.room(&header) {
                    Some(head) => write_frame_as(head, header, |head| head.extend_from_slice(&payload)),
                    None => out.push(header, payload),
                }
                // One write in between, so that frames meet a head that is partly written.
                prop_assert!(matches!(out.poll_write(Pin::new(&mut io), &mut cx), Poll::Ready(Ok(()))));
            }
            while !out.is_empty() {
                prop_assert!(matches!(out.poll_write(Pin::new(&mut io), &mut cx), Poll::Ready(Ok(()))));
            }
            prop_assert!(io.taken == expected);
            prop_assert_eq!(out.head.capacity(), 0);
        }
    }
}
