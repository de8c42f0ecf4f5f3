//! Parcels that wait for one connection.

use std::{collections::VecDeque, io::IoSlice, sync::Arc};

use eio_transport::Parcel;
use ws_frame::{Header, OpCode};

use crate::{jam::Jam, ledger::Ledger};

/// Slices handed to one `writev`. A queue that is longer is written by several.
pub(crate) const MAX_SLICES: usize = 64;

/// The order in which parcels leave. One that waits alone lies in the queue itself, so a broadcast
/// to an idle connection allocates nothing.
#[derive(Default)]
// In this order: a broadcast looks at the first two.
#[repr(C)]
pub(crate) struct Outbox {
    front: Option<Arc<Parcel>>,
    /// What has left since somebody asked, if anybody does.
    #[expect(
        clippy::box_collection,
        reason = "three words less for all that have nobody"
    )]
    left: Option<Box<Vec<Left>>>,
    rest: VecDeque<Arc<Parcel>>,
    /// Bytes of `front` that have been written to a WebSocket already.
    written: usize,
    /// Bytes that wait, counted for this connection although parcels are shared.
    bytes: usize,
    /// How many parcels from the front on the ledger knows.
    charged: u32,
    /// How many from the front on a stream has been given, which may have taken some of it: they stay.
    offered: u32,
    /// In a box: an outbox has room for a pointer to what it nearly never has.
    jam: Option<Box<Jam>>,
}

/// A message that has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) binary: bool,
    /// Bytes, as they were sent.
    pub(crate) len: usize,
}

impl Outbox {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.front.is_none()
    }

    /// Parcels that wait.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        if self.front.is_none() {
            0
        } else {
            1 + self.rest.len()
        }
    }

    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    #[inline]
    pub(crate) fn push(&mut self, parcel: Arc<Parcel>) {
        self.bytes += parcel.wire().len();
        if self.front.is_none() {
            self.front = Some(parcel);
        } else {
            self.rest.push_back(parcel);
        }
    }

    /// Pushes a parcel, unless the last that waits, whole, says the same.
    pub(crate) fn push_once(&mut self, parcel: Parcel) {
        let front = self.front.as_ref().filter(|_| self.written == 0);
        let last = self.rest.back().or(front);
        if last.is_none_or(|last| last.wire() != parcel.wire()) {
            self.push(Arc::new(parcel));
        }
    }

    /// Puts a parcel in front of all that waits, `written` bytes of which have been written.
    pub(crate) fn push_front(&mut self, parcel: Arc<Parcel>, written: usize) {
        debug_assert_eq!(self.written, 0, "a parcel is on its way already");
        self.bytes += parcel.wire().len() - written;
        self.written = written;
        self.charged = 0;
        if let Some(front) = self.front.replace(parcel) {
            self.rest.push_front(front);
        }
    }

    /// Puts others in the place of all parcels that have not begun to leave, as far as `f` wants that.
    pub(crate) fn replace(&mut self, mut f: impl FnMut(&Arc<Parcel>) -> Option<Arc<Parcel>>) {
        self.charged = 0;
        self.replace_front(&mut f);
        for parcel in &mut self.rest {
            swap(parcel, &mut self.bytes, &mut f);
        }
    }

    /// The same for the front parcel alone.
    pub(crate) fn replace_front(&mut self, f: impl FnOnce(&Arc<Parcel>) -> Option<Arc<Parcel>>) {
        self.charged = 0;
        if self.written == 0
            && let Some(parcel) = &mut self.front
        {
            swap(parcel, &mut self.bytes, f);
        }
    }

    /// Has the ledger count all parcels that wait and that it does not know yet.
    #[cold]
    pub(crate) fn charge(&mut self, ledger: &Ledger) {
        let all = self.front.iter().chain(&self.rest);
        for parcel in all.skip(self.charged as usize) {
            ledger.charge(parcel);
        }
        self.charged = u32::try_from(self.len()).unwrap_or(u32::MAX);
    }

    pub(crate) fn front(&self) -> Option<&Arc<Parcel>> {
        self.front.as_ref()
    }

    /// Whole parcels from the front on, one behind the other, `most` bytes at most if there are several:
    /// for a stream, as by [`offer_front`](Self::offer_front).
    pub(crate) fn join(&mut self, most: usize) -> Vec<u8> {
        let mut joined = Vec::with_capacity(self.bytes.min(most));
        joined.extend_from_slice(self.front_bytes());
        self.offered = 1;
        for parcel in &self.rest {
            if joined.len() + parcel.wire().len() > most {
                break;
            }
            joined.extend_from_slice(parcel.wire());
            self.offered += 1;
        }
        joined
    }

    /// A stream is given the front parcel, and may have taken some of it before anybody knows: it stays
    /// where it is.
    pub(crate) fn offer_front(&mut self) {
        self.offered = 1;
    }

    /// What is left to write of the front parcel.
    pub(crate) fn front_bytes(&self) -> &[u8] {
        self.front
            .as_ref()
            .map_or(&[], |parcel| &parcel.wire()[self.written..])
    }

    /// The parcel that waits, if it is alone and nothing is to be seen to when it has left: what most
    /// deliveries are.
    #[inline]
    pub(crate) fn lone(&self) -> Option<&Arc<Parcel>> {
        let plain = self.left.is_none()
            && self.jam.is_none()
            && self.rest.capacity() == 0
            && self.written == 0
            && self.charged == 0;
        self.front.as_ref().filter(|_| plain)
    }

    /// The parcel that was alone has left.
    #[inline]
    pub(crate) fn lone_left(&mut self) {
        self.front = None;
        self.bytes = 0;
    }

    pub(crate) fn pop(&mut self) -> Option<Arc<Parcel>> {
        let front = self.front.take()?;
        if let Some(left) = &mut self.left {
            left.extend(messages(front.wire()));
        }
        self.bytes -= front.wire().len() - self.written;
        self.written = 0;
        self.charged = self.charged.saturating_sub(1);
        self.offered = self.offered.saturating_sub(1);
        self.front = self.rest.pop_front();
        if self.front.is_none() {
            self.rest_at_last();
        }
        Some(front)
    }

    /// Collects `head` and then the queue for a `writev`; returns how many slices there are.
    pub(crate) fn gather<'a>(&'a self, head: &'a [u8], slices: &mut [IoSlice<'a>]) -> usize {
        let own = (!head.is_empty()).then_some(head);
        let front = (!self.is_empty()).then(|| self.front_bytes());
        let queue = own
            .into_iter()
            .chain(front)
            .chain(self.rest.iter().map(|parcel| parcel.wire()));
        let mut count = 0;
        for (slice, bytes) in slices.iter_mut().zip(queue) {
            *slice = IoSlice::new(bytes);
            count += 1;
        }
        count
    }

    /// Forgets `n` bytes from the front: they have been written.
    pub(crate) fn advance(&mut self, mut n: usize) {
        while n > 0 {
            if self.is_empty() {
                return; // What was being written has been thrown away meanwhile.
            }
            let left = self.front_bytes().len();
            if n < left {
                self.written += n;
                self.bytes -= n;
                return;
            }
            n -= left;
            self.pop();
        }
    }

    pub(crate) fn clear(&mut self) {
        let left = self.left.take();
        *self = Self::default();
        self.left = left;
    }

    /// From now on what has left is kept until it is [asked](Self::take_left) for.
    pub(crate) fn watch(&mut self) {
        self.left = Some(Box::default());
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.left.is_some()
    }

    /// What has left.
    pub(crate) fn take_left(&mut self) -> Vec<Left> {
        self.left
            .as_deref_mut()
            .map_or_else(Vec::new, std::mem::take)
    }

    /// Parcels that wait behind the first.
    #[inline]
    pub(crate) fn behind(&self) -> usize {
        self.rest.len()
    }

    /// Drops parcels that may be dropped, the oldest first, until `enough` says that there is room.
    /// Returns how many were dropped. One that has begun to leave, or may have, goes on.
    #[cold]
    pub(crate) fn evict(&mut self, enough: impl Fn(usize, usize) -> bool) -> u64 {
        let mut dropped = 0;
        // What is dropped has not left.
        let left = self.left.take();
        while self.written == 0
            && self.offered == 0
            && self.front().is_some_and(|front| front.is_droppable())
            && !enough(self.bytes, self.len())
        {
            self.pop();
            dropped += 1;
        }
        let (mut bytes, mut len) = (self.bytes, self.len());
        let mut staying = self.offered.saturating_sub(1);
        self.rest.retain(|parcel| {
            if staying > 0 {
                staying -= 1;
                return true;
            }
            if !parcel.is_droppable() || enough(bytes, len) {
                return true;
            }
            bytes -= parcel.wire().len();
            len -= 1;
            dropped += 1;
            false
        });
        self.bytes = bytes;
        self.charged = 0;
        self.left = left;
        dropped
    }

    /// What there is of a jam, if anything is.
    pub(crate) fn jam(&self) -> Option<&Jam> {
        self.jam.as_deref()
    }

    pub(crate) fn jam_mut(&mut self) -> Option<&mut Jam> {
        self.jam.as_deref_mut()
    }

    /// The jam, which begins if there is none.
    pub(crate) fn jammed(&mut self) -> &mut Jam {
        self.jam.get_or_insert_default()
    }

    /// Nothing waits any more.
    #[inline]
    fn rest_at_last(&mut self) {
        if self.rest.capacity() > MAX_SLICES {
            self.rest = VecDeque::new();
        }
        if self.jam.is_some() {
            self.jam = None;
        }
    }
}

/// The messages among frames.
fn messages(mut frames: &[u8]) -> impl Iterator<Item = Left> {
    let mut next = move || {
        let (header, size) = Header::parse(frames).ok()??;
        let end = size.checked_add(usize::try_from(header.len).ok()?)?;
        let (frame, rest) = frames.split_at_checked(end)?;
        frames = rest;
        Some((header, &frame[size..]))
    };
    std::iter::from_fn(move || {
        loop {
            let (header, payload) = next()?;
            let (binary, len) = match (header.opcode, payload.first()) {
                (OpCode::Binary, _) => (true, payload.len()),
                // Compressed text does not show its type.
                (OpCode::Text, _) if header.rsv != 0 => (false, payload.len()),
                (OpCode::Text, Some(b'4')) => (false, payload.len() - 1),
                (OpCode::Text, Some(b'b')) => (true, payload.len() - 1),
                _ => continue,
            };
            return Some(Left { binary, len });
        }
    })
}

fn swap(
    parcel: &mut Arc<Parcel>,
    bytes: &mut usize,
    f: impl FnOnce(&Arc<Parcel>) -> Option<Arc<Parcel>>,
) {
    if let Some(other) = f(parcel) {
        *bytes = *bytes - parcel.wire().len() + other.wire().len();
        *parcel = other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_is_kept_for_who_asks_messages_alone() {
        let mut outbox = Outbox::default();
        outbox.push(Arc::new(Parcel::text("2[\"a\"]")));
        outbox.pop();
        assert_eq!(outbox.take_left(), []);
        outbox.watch();
        let attached = Parcel::builder(0, |out| out.extend_from_slice(b"51-")).attach(b"xyz");
        outbox.push(Arc::new(attached.build()));
        outbox.push(Arc::new(Parcel::control(eio_transport::Control::Ping)));
        outbox.push(Arc::new(Parcel::text("")));
        let half = outbox.front_bytes().len() - 1;
        outbox.advance(half);
        assert_eq!(outbox.take_left(), []);
        outbox.advance(1 + 3 + 3);
        let left = |binary, len| Left { binary, len };
        assert_eq!(
            outbox.take_left(),
            [left(false, 3), left(true, 3), left(false, 0)]
        );
        outbox.push(Arc::new(Parcel::text("thrown away")));
        outbox.clear();
        assert!(outbox.is_watched() && outbox.take_left().is_empty());
    }

    #[test]
    fn parcels_are_joined_whole_behind_what_is_left_of_the_first() {
        let mut outbox = Outbox::default();
        for text in ["a", "b", "c"] {
            outbox.push(Arc::new(Parcel::text(text)));
        }
        outbox.advance(3);
        let len = outbox.bytes();
        assert_eq!(outbox.join(len), b"a\x81\x024b\x81\x024c");
        assert_eq!(outbox.join(len - 1), b"a\x81\x024b");
        assert_eq!(outbox.join(1), b"a");
    }
}
