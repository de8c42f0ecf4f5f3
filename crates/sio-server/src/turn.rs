//! What a thread keeps for the turns of its connections: buffers that no connection has to own.
//!
//! A *turn* is one poll of a connection's task. What its handlers say to their own client during
//! the turn is appended, frames included, to the thread's reply buffer and leaves in one write at
//! the turn's end ([`Conn::end_turn`](crate::conn::Conn)). The read scratch and the encoder are
//! borrowed for the length of one synchronous call; nothing that points into them outlives it.

use std::cell::Cell;

use eio_transport::Parcel;

use crate::frames::{Frames, Mark};

/// Bytes read from a socket in one call. A message of the default `max_payload` is cut at most four
/// times, one of 64 KiB not at all: a message that is cut costs a copy and its own allocation.
pub(crate) const SCRATCH: usize = 256 << 10;

/// A buffer that has grown above this is given back to the allocator after its use.
const KEEP: usize = 1 << 20;

thread_local! {
    static BUFFERS: Cell<Option<Box<Buffers>>> = const { Cell::new(None) };
    static ENCODER: Cell<Option<Box<Frames>>> = const { Cell::new(None) };
    static TURN: Turn = const { Turn { owner: Cell::new(0), reply: Cell::new(None) } };
}

struct Buffers {
    scratch: Box<[u8]>,
    spare: Vec<u8>,
}

struct Turn {
    /// The address of the connection whose turn it is, 0 between turns. Compared, never followed.
    owner: Cell<usize>,
    /// What was said so far; `None` if nothing was, or while somebody has it.
    reply: Cell<Option<Box<Frames>>>,
}

/// Lends the thread's read buffer, and the spare buffer in which messages that were cut are put
/// together. A call within a call gets buffers of its own.
pub(crate) fn with_scratch<R>(f: impl FnOnce(&mut [u8], &mut Vec<u8>) -> R) -> R {
    let mut buffers = BUFFERS.take().unwrap_or_else(|| {
        Box::new(Buffers {
            scratch: vec![0; SCRATCH].into(),
            spare: Vec::new(),
        })
    });
    let result = f(&mut buffers.scratch, &mut buffers.spare);
    if buffers.spare.capacity() > KEEP {
        buffers.spare = Vec::new();
    }
    BUFFERS.set(Some(buffers));
    result
}

/// Lends the thread's buffers for writing one packet. A user's `Serialize` that emits gets others.
pub(crate) fn with_encoder<R>(f: impl FnOnce(&mut Frames) -> R) -> R {
    let mut frames = ENCODER.take().unwrap_or_default();
    let result = f(&mut frames);
    frames.clear(KEEP);
    ENCODER.set(Some(frames));
    result
}

/// Begins the turn of the connection at the address `owner`.
pub(crate) fn begin(owner: usize) {
    TURN.with(|turn| {
        if turn.owner.replace(owner) != 0 {
            // A turn that panicked had no end: what was said in it is for nobody else.
            turn.reply.set(None);
        }
    });
}

/// Ends the turn and hands out what was said during it.
pub(crate) fn end() -> Option<Box<Frames>> {
    TURN.with(|turn| {
        turn.owner.set(0);
        turn.reply.take()
    })
}

/// Gives a buffer back for the next turn.
pub(crate) fn give_back(mut reply: Box<Frames>) {
    reply.clear(KEEP);
    TURN.with(|turn| turn.reply.set(Some(reply)));
}

/// Whether it is nobody's turn, on this thread.
pub(crate) fn is_over() -> bool {
    TURN.with(|turn| turn.owner.get() == 0)
}

/// Whether it is the turn of the connection at `owner`, on this thread.
#[inline]
pub(crate) fn is_of(owner: usize) -> bool {
    TURN.with(|turn| turn.owner.get() == owner)
}

/// Takes out what was said so far, if anything was.
pub(crate) fn take_reply() -> Option<Parcel> {
    with_reply(|reply| {
        let said = (reply.len() > 0).then(|| reply.parcel());
        reply.clear(KEEP);
        said
    })
}

/// Lends the reply to user code that appends to it. Returns how long the reply is now. What fails, or
/// panics, has appended nothing. What a nested call has said meanwhile goes behind it.
pub(crate) fn append_with<E>(
    append: impl FnOnce(&mut Frames) -> Result<(), E>,
) -> Result<usize, E> {
    TURN.with(|turn| {
        let reply = turn.reply.take().unwrap_or_default();
        let mut lent = Lent {
            turn,
            good: reply.mark(),
            reply: Some(reply),
        };
        let mut len = 0;
        if let Some(reply) = &mut lent.reply {
            append(reply)?;
            lent.good = reply.mark();
            len = reply.len();
        }
        Ok(len)
    })
}

/// The reply while user code writes to it.
struct Lent<'a> {
    turn: &'a Turn,
    /// Always there, until the end.
    reply: Option<Box<Frames>>,
    /// What stays of it.
    good: Mark,
}

impl Drop for Lent<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(mut reply) = self.reply.take() {
            reply.truncate(self.good);
            if let Some(nested) = self.turn.reply.take() {
                reply.append(&nested);
            }
            self.turn.reply.set(Some(reply));
        }
    }
}

/// Whether the reply is short enough to be made longer by whoever cannot write it.
#[inline]
pub(crate) fn has_room() -> bool {
    with_reply(|reply| reply.len() < SCRATCH)
}

/// Appends bytes that are frames already.
pub(crate) fn append(bytes: &[u8]) {
    with_reply(|reply| reply.bytes.extend_from_slice(bytes));
}

/// Lends the reply to code of ours.
#[inline]
fn with_reply<R>(f: impl FnOnce(&mut Frames) -> R) -> R {
    TURN.with(|turn| {
        let mut reply = turn.reply.take().unwrap_or_default();
        let result = f(&mut reply);
        turn.reply.set(Some(reply));
        result
    })
}
