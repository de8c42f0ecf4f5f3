//! What the messages of a connection are for: the seam between Engine.IO and what stands on it.
//!
//! A [`Driver`](crate::driver::Driver) is made for one of these and compiled for each: Socket.IO
//! ([`desk`](crate::desk)) pays nothing for there being another ([`engine`](crate::engine)).

use std::{borrow::Cow, sync::Arc, task::Context};

use eio_transport::Reason;

use crate::{conn::Conn, outbox::Left, socket::AnySocket};

/// The side of a connection that hears its messages. It is called by the connection's task alone,
/// within a turn: what it says to its own client leaves at the turn's end.
pub(crate) trait Application: Send + Unpin {
    fn new(conn: Arc<Conn>) -> Self
    where
        Self: Sized;

    fn conn(&self) -> &Arc<Conn>;

    /// The session of a client of revision 3 is open: whoever wants to say the first word does.
    fn begin(&mut self, _cx: &mut Context<'_>) {}

    /// Whether more waits for handlers than may: nothing is to be read until they have caught up.
    fn is_stalled(&self) -> bool;

    /// Whether what comes is nobody's: the connection was closed, by us or for a fault.
    fn is_closed(&self) -> bool;

    /// Bytes of what came that wait: for handlers, or for the rest of their packet.
    fn held(&self) -> usize;

    /// Whether no handler is at work, and none is about to be.
    fn is_idle(&self) -> bool;

    /// A text message, without the Engine.IO type.
    fn handle_text(&mut self, text: &str, cx: &mut Context<'_>);

    /// A binary message.
    fn handle_binary(&mut self, data: Cow<'_, [u8]>, cx: &mut Context<'_>);

    /// Whether a binary message that comes now is kept as it is: then it is copied in any case.
    fn keeps_binary(&self) -> bool {
        false
    }

    /// Lets handlers go on that were waiting for something.
    fn poll(&mut self, cx: &mut Context<'_>);

    /// All that came in this turn has been handled: what is waited for from now on has its time.
    fn settle(&mut self, _cx: &mut Context<'_>) {}

    /// The server closes this connection, which happens next.
    fn disconnect_all(&mut self, cx: &mut Context<'_>);

    /// A socket was put out of its namespace, where there are such things.
    fn removed(&mut self, socket: &Arc<dyn AnySocket>, cx: &mut Context<'_>);

    /// The connection has ended.
    fn end(&mut self, reason: Reason, cx: &mut Context<'_>);

    /// The task is gone before its end: handlers are not run any more.
    fn abandon(&mut self);

    /// The client has answered a ping.
    fn heartbeat(&self) {}

    /// Messages have left, and perhaps all that waited. Only told to who is watched.
    fn left(&self, _messages: &[Left], _drained: bool) {}

    /// The connection has moved to WebSocket.
    fn upgraded(&self) {}
}
