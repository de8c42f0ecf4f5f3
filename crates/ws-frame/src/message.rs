//! What a connection hands out: a whole message or a control frame, borrowed.

use crate::CloseFrame;

/// A message (§5.4) or a control frame (§5.5), lent by
/// [`Connection::receive`](crate::Connection::receive) until the next call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Message<'a> {
    /// A text message; valid UTF-8, checked while it arrived.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
    /// A message with RSV1 set, as permessage-deflate compresses it (RFC 7692 §6). Whoever inflates
    /// it holds it to the message limit and, if it is text, checks that it is UTF-8.
    Compressed {
        /// What the message is once it is inflated.
        kind: Kind,
        /// The payload as it came.
        payload: &'a [u8],
    },
    /// A ping. It has been answered already: the pong waits in
    /// [`poll_transmit`](crate::Connection::poll_transmit).
    Ping(&'a [u8]),
    /// A pong, asked for or not.
    Pong(&'a [u8]),
    /// The peer's close frame; nothing more will come. The reply, if one is due, waits in
    /// [`poll_transmit`](crate::Connection::poll_transmit).
    Close(Option<CloseFrame<'a>>),
}

/// The two kinds of message.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// Any bytes.
    Binary,
}
