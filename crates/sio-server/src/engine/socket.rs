//! One client.

use std::{
    convert::Infallible,
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock, atomic::Ordering},
};

use eio_transport::{Transport, push_message};
use ws_frame::{OpCode, write_frame};

use crate::{
    conn::{Command, Conn, Mode},
    engine::Content,
    facts::Request,
};

/// A client. Cheap to clone; harmless when the client has gone.
///
/// ```
/// use sio_server::engine::Socket;
///
/// # async fn f() {
/// async fn greet(socket: Socket) {
///     let language = socket.header("accept-language").unwrap_or("en");
///     println!("{:?} asks for {} in {language}", socket.client_address(), socket.url());
///     socket.send("welcome");
///     socket.send(&[0xff, 0xd8]); // bytes
///     if socket.buffered_bytes() > 1 << 20 || !socket.is_open() {
///         socket.close();
///     }
/// }
/// let server = sio_server::engine::Server::new().on_open(greet);
/// # }
/// ```
#[derive(Clone)]
pub struct Socket {
    conn: Arc<Conn>,
    /// What the request said, once it has been looked at.
    request: OnceLock<Request>,
}

impl Socket {
    pub(crate) fn new(conn: Arc<Conn>) -> Self {
        let request = OnceLock::new();
        Self { conn, request }
    }

    /// The session's id. Whoever knows it can read and write the session: show it to nobody else.
    pub fn id(&self) -> &str {
        self.conn.sid.as_str()
    }

    /// Sends a message. Never waits.
    ///
    /// Over polling U+001E is what stands between messages, and the protocol has no other way to write
    /// it: a text that may hold it is better sent as bytes, or as JSON.
    ///
    /// What one task sends arrives in the order it was sent, or the connection ends: there are no
    /// holes. Returns whether it was taken; `false` if the client has gone, or reads so slowly that
    /// its connection is closed for it
    /// ([`Config::max_queued_bytes`](crate::Config::max_queued_bytes)).
    pub fn send<'a>(&self, message: impl Into<Content<'a>>) -> bool {
        let message = message.into();
        let mode = self.conn.hub.config.slow_clients.mode(Mode::Reliable);
        let said = self.conn.say_frames::<Infallible>(mode, |frames| {
            let out = &mut frames.bytes;
            match message {
                Content::Binary(data) => write_frame(out, OpCode::Binary, data.len(), |payload| {
                    payload.extend_from_slice(data);
                }),
                Content::Text(text) => push_message(out, text.len(), |payload| {
                    payload.extend_from_slice(text.as_bytes());
                }),
            }
            Ok(())
        });
        match said {
            Ok(taken) => taken,
            Err(never) => match never {},
        }
    }

    /// Closes the connection in order: what was sent before still arrives, what the client says from
    /// now on is not handled. Its reason is
    /// [`ForcedServerClose`](crate::Reason::ForcedServerClose).
    pub fn close(&self) {
        self.conn.parted.store(true, Ordering::Relaxed);
        self.conn.command(Command::Disconnect);
    }

    /// Whether the session has not ended.
    pub fn is_open(&self) -> bool {
        !self.conn.lock().session.is_ended()
    }

    /// The transport in use; a client that began by polling may move to WebSocket.
    pub fn transport(&self) -> Transport {
        self.conn.lock().session.transport()
    }

    /// Bytes that wait to be sent to this client.
    pub fn buffered_bytes(&self) -> usize {
        self.conn.lock().queued_bytes()
    }

    /// A header of the request that opened the connection, by its name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers()
            .find(|(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// All headers of that request whose values are text, in their order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.request().headers()
    }

    /// Path and query of that request.
    pub fn url(&self) -> &str {
        self.request().target()
    }

    fn request(&self) -> &Request {
        self.request.get_or_init(|| self.conn.facts.request())
    }

    /// The peer of the TCP connection, where it is known: a proxy's, if there is one.
    pub fn address(&self) -> Option<SocketAddr> {
        self.conn.facts.peer
    }

    /// The address of the client itself, see
    /// [`Handshake::client_address`](crate::Handshake::client_address).
    pub fn client_address(&self) -> Option<IpAddr> {
        self.conn.facts.client(&self.conn.hub.config.proxies)
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Socket").field(&self.conn.sid).finish()
    }
}
