//! What a thread keeps for the turns of its connections: buffers that no connection has to own.
//!
//! A *turn* is one poll of a connection's task. What its handlers say to their own client during
//! the turn is appended, frames included, to the thread's reply buffer and leaves in one write at
//! the turn's end ([`Conn::end_turn`](crate::conn::Conn)). The read scratch and the encoder are
//! borrowed for the length of one synchronous call; nothing that points into them outlives it.

use std::cell::{Cell, RefCell};

use sio_packet::Attachments;

/// Bytes read from a socket in one call. A message of the default `max_payload` is cut at most four
/// times, one of 64 KiB not at all: a message that is cut costs a copy and its own allocation.
pub(crate) const SCRATCH: usize = 256 << 10;

/// A reply buffer that has grown above this is given back to the allocator after the turn.
const KEEP: usize = 1 << 20;

thread_local! {
    static BUFFERS: Cell<Option<Box<Buffers>>> = const { Cell::new(None) };
    static ENCODER: Cell<Option<Box<Encoder>>> = const { Cell::new(None) };
    static TURN: RefCell<Turn> = const { RefCell::new(Turn { owner: 0, reply: Vec::new() }) };
}

struct Buffers {
    scratch: Box<[u8]>,
    spare: Vec<u8>,
}

struct Turn {
    /// The address of the connection whose turn it is, 0 between turns. Compared, never followed.
    owner: usize,
    reply: Vec<u8>,
}

/// Buffers for writing one packet: its frames, and the attachments met while writing its text.
#[derive(Default)]
pub(crate) struct Encoder {
    pub(crate) frames: Vec<u8>,
    pub(crate) attachments: Attachments,
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

/// Lends the thread's encoder. A user's `Serialize` that emits gets one of its own.
pub(crate) fn with_encoder<R>(f: impl FnOnce(&mut Encoder) -> R) -> R {
    let mut encoder = ENCODER.take().unwrap_or_default();
    encoder.frames.clear();
    encoder.attachments.clear();
    let result = f(&mut encoder);
    if encoder.frames.capacity() <= KEEP {
        ENCODER.set(Some(encoder));
    }
    result
}

/// Begins the turn of the connection at the address `owner`.
pub(crate) fn begin(owner: usize) {
    TURN.with_borrow_mut(|turn| {
        turn.owner = owner;
        // A turn that panicked had no end: what was said in it is for nobody else.
        turn.reply.clear();
    });
}

/// Ends the turn and hands out what was said during it.
pub(crate) fn end() -> Vec<u8> {
    TURN.with_borrow_mut(|turn| {
        turn.owner = 0;
        std::mem::take(&mut turn.reply)
    })
}

/// Gives a buffer back for the next turn.
pub(crate) fn give_back(mut reply: Vec<u8>) {
    if reply.capacity() <= KEEP {
        reply.clear();
        TURN.with_borrow_mut(|turn| {
            if turn.reply.capacity() < reply.capacity() && turn.reply.is_empty() {
                turn.reply = reply;
            }
        });
    }
}

/// Whether it is the turn of the connection at `owner`, on this thread.
#[inline]
pub(crate) fn is_of(owner: usize) -> bool {
    TURN.with_borrow(|turn| turn.owner == owner)
}

/// Takes the reply buffer out.
pub(crate) fn take_reply() -> Vec<u8> {
    TURN.with_borrow_mut(|turn| std::mem::take(&mut turn.reply))
}

/// Lends the reply buffer to user code that appends to it, and returns how much it holds now. What
/// fails, or panics, has appended nothing. What a nested call has said meanwhile goes behind it.
pub(crate) fn append_with<E>(
    append: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<usize, E> {
    let reply = take_reply();
    let mut lent = Lent {
        good: reply.len(),
        reply,
    };
    append(&mut lent.reply)?;
    lent.good = lent.reply.len();
    Ok(lent.good)
}

/// The reply buffer while user code writes to it.
struct Lent {
    reply: Vec<u8>,
    /// What stays of it.
    good: usize,
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut reply = std::mem::take(&mut self.reply);
        reply.truncate(self.good);
        TURN.with_borrow_mut(|turn| {
            reply.extend_from_slice(&turn.reply);
            turn.reply = reply;
        });
    }
}

/// Whether the reply is short enough to be made longer by whoever cannot write it.
#[inline]
pub(crate) fn has_room() -> bool {
    TURN.with_borrow(|turn| turn.reply.len() < SCRATCH)
}

/// Appends bytes that are frames already.
pub(crate) fn append(bytes: &[u8]) {
    TURN.with_borrow_mut(|turn| turn.reply.extend_from_slice(bytes));
}
