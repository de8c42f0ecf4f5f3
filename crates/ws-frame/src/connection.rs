//! One WebSocket connection, as a state machine over bytes.

use std::time::Duration;

use crate::{CloseFrame, Limits, Message, ProtocolError};

/// Which side of the connection this is, §5.1: a client masks what it sends, a server does not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// The side that opened the connection.
    Client,
    /// The side that accepted it.
    Server,
}

/// Where the closing handshake stands, §7.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum State {
    /// Messages go both ways.
    Open,
    /// Our close frame has been queued: nothing more may be sent, the peer's is awaited.
    CloseSent,
    /// The peer's close frame has come, the reply waits in `poll_transmit`.
    CloseReceived,
    /// Both close frames are through. A server closes the TCP connection now, a client waits a
    /// moment for the server to do so (§7.1.1).
    Closed,
    /// We failed the connection (§7.1.7), or it ended without a close frame. Once `poll_transmit`
    /// is empty, drop the TCP connection.
    Failed,
}

/// How a connection ended, §7.1.4 and §7.1.5.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum End {
    /// After the peer's close frame.
    Clean,
    /// Without one: what the WebSocket API of browsers calls 1006.
    Abnormal,
}

/// One WebSocket connection.
#[derive(Debug)]
pub struct Connection {
    role: Role,
    limits: Limits,
}

impl Connection {
    /// A connection straight after its opening handshake.
    pub fn new(role: Role, limits: Limits) -> Self {
        Self { role, limits }
    }

    /// Lets messages come with RSV1 set: permessage-deflate was negotiated.
    #[must_use]
    pub fn allow_compressed(self) -> Self {
        self
    }

    /// Where the closing handshake stands.
    pub fn state(&self) -> State {
        State::Open
    }

    /// Whether nothing more can be received or sent, so that the TCP connection can go.
    pub fn is_finished(&self) -> bool {
        false
    }

    /// Takes from the front of `input`, unmasks in place and lends the next message.
    ///
    /// `None` means that the input is used up.
    pub fn receive<'a, 'i: 'a>(
        &'a mut self,
        _input: &mut &'i mut [u8],
    ) -> Result<Option<Message<'a>>, ProtocolError> {
        unimplemented!()
    }

    /// The stream has ended.
    pub fn receive_eof(&mut self) -> End {
        unimplemented!()
    }

    /// Time has gone by: control frames are allowed again.
    pub fn handle_elapsed(&mut self, _elapsed: Duration) {}

    /// Starts the closing handshake. `None` sends a close frame without a code.
    pub fn close(&mut self, _frame: Option<CloseFrame<'_>>) {
        unimplemented!()
    }

    /// Appends the control frames that are due to `out`, and says whether there were any.
    pub fn poll_transmit(&mut self, _out: &mut Vec<u8>) -> bool {
        unimplemented!()
    }

    /// The same for a client, with a fresh masking key for each frame.
    pub fn poll_transmit_masked(
        &mut self,
        _out: &mut Vec<u8>,
        _key: impl FnMut() -> [u8; 4],
    ) -> bool {
        unimplemented!()
    }
}
