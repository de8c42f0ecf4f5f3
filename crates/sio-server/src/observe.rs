//! What happens below the messages, for those who want to watch: connections refused, opened, upgraded,
//! closed, their heartbeats and packets.
//!
//! Nobody pays for this who does not listen: a connection that is watched has a task of another type
//! ([`Observed`]), and what is not a message is rare.

use std::{borrow::Cow, sync::Arc, task::Context};

use eio_transport::Reason;
use http::request::Parts;

use crate::{
    application::Application,
    conn::Conn,
    desk::Desk,
    engine::{self, Socket},
    outbox::Left,
    panic::contain,
    server::Server,
    socket::AnySocket,
};

/// Something that happened to a connection, or to a request for one. In Node the events of
/// `io.engine` and `socket.conn`.
#[derive(Debug)]
#[non_exhaustive]
pub enum EngineEvent<'a> {
    /// The connection has ended. [`Reason::as_str`] is Node's word for it, [`Reason::detail`] says
    /// what happened exactly.
    Close {
        /// The connection.
        socket: &'a Socket,
        /// Why.
        reason: Reason,
    },
    /// A request was refused: Node's `connection_error`.
    ConnectionError(ConnectionError<'a>),
    /// All that was said to the client has left: given to the operating system, or to the answer of a poll.
    Drain {
        /// The connection.
        socket: &'a Socket,
    },
    /// The client has answered a ping, or one of revision 3 has sent one.
    Heartbeat {
        /// The connection.
        socket: &'a Socket,
    },
    /// The client has sent a message: with Socket.IO, a packet of it.
    Message {
        /// The connection.
        socket: &'a Socket,
        /// Whether it is binary.
        binary: bool,
        /// Its length in bytes.
        len: usize,
    },
    /// A connection was opened.
    Open {
        /// The connection.
        socket: &'a Socket,
    },
    /// A message has left for the client: with Socket.IO, a packet of it. Told by the connection's task, a
    /// moment later; not at all of what leaves as the connection ends.
    Sent {
        /// The connection.
        socket: &'a Socket,
        /// Whether it is binary.
        binary: bool,
        /// Its length in bytes, as it is sent: where messages are compressed, or bytes go as base64, that
        /// of these.
        len: usize,
    },
    /// The connection has moved from polling to WebSocket.
    Upgrade {
        /// The connection.
        socket: &'a Socket,
    },
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ConnectionError<'a> {
    /// The status of the answer.
    pub status: u16,
    /// The number of the error in Engine.IO's protocol, if it has one there.
    pub code: Option<u8>,
    /// What the client was told.
    pub message: &'a str,
    /// What it was about, in Node's words where Node has one: `TRANSPORT_MISMATCH`, for example.
    pub context: &'a str,
    /// The head of the request.
    pub request: &'a Parts,
}

pub(crate) type Observer = Arc<dyn Fn(EngineEvent<'_>) + Send + Sync>;

impl Server {
    /// Watches what happens below the messages.
    ///
    /// The observer is called where it happens, in the task of the connection or request: it should
    /// count, log or send to a channel, and not compute. If it panics that is logged.
    ///
    /// ```
    /// use sio_server::{EngineEvent, Server};
    ///
    /// let server = Server::new().observe(|event| match event {
    ///     EngineEvent::ConnectionError(error) => {
    ///         eprintln!("{} {}: {}", error.request.uri, error.message, error.context);
    ///     }
    ///     EngineEvent::Close { socket, reason } => {
    ///         eprintln!("{socket:?}: {}", reason.detail());
    ///     }
    ///     _ => {}
    /// });
    /// ```
    pub fn observe(mut self, observer: impl Fn(EngineEvent<'_>) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }
}

/// An application that is watched.
pub(crate) struct Observed {
    inner: Box<dyn Application>,
    socket: Socket,
    observer: Observer,
}

impl Observed {
    fn tell(&self, event: EngineEvent<'_>) {
        tell(&self.observer, event);
    }
}

/// Calls an observer.
pub(crate) fn tell(observer: &Observer, event: EngineEvent<'_>) {
    contain("an observer", || observer(event));
}

impl Application for Observed {
    fn new(conn: Arc<Conn>) -> Self {
        let socket = Socket::new(Arc::clone(&conn));
        let observer = conn.hub.observer.clone();
        let inner: Box<dyn Application> = match conn.hub.bare {
            None => Box::new(Desk::new(conn)),
            Some(_) => Box::new(engine::Desk::new(conn)),
        };
        let this = Self {
            inner,
            socket,
            observer: observer.unwrap_or_else(|| Arc::new(|_| ())),
        };
        let socket = &this.socket;
        this.tell(EngineEvent::Open { socket });
        this
    }

    fn conn(&self) -> &Arc<Conn> {
        self.inner.conn()
    }

    fn begin(&mut self, cx: &mut Context<'_>) {
        self.inner.begin(cx);
    }

    fn is_stalled(&self) -> bool {
        self.inner.is_stalled()
    }

    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    fn held(&self) -> usize {
        self.inner.held()
    }

    fn is_idle(&self) -> bool {
        self.inner.is_idle()
    }

    fn handle_text(&mut self, text: &str, cx: &mut Context<'_>) {
        self.tell(EngineEvent::Message {
            socket: &self.socket,
            binary: false,
            len: text.len(),
        });
        self.inner.handle_text(text, cx);
    }

    fn handle_binary(&mut self, data: Cow<'_, [u8]>, cx: &mut Context<'_>) {
        self.tell(EngineEvent::Message {
            socket: &self.socket,
            binary: true,
            len: data.len(),
        });
        self.inner.handle_binary(data, cx);
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        self.inner.poll(cx);
    }

    fn settle(&mut self, cx: &mut Context<'_>) {
        self.inner.settle(cx);
    }

    fn disconnect_all(&mut self, cx: &mut Context<'_>) {
        self.inner.disconnect_all(cx);
    }

    fn removed(&mut self, socket: &Arc<dyn AnySocket>, cx: &mut Context<'_>) {
        self.inner.removed(socket, cx);
    }

    fn end(&mut self, reason: Reason, cx: &mut Context<'_>) {
        let socket = &self.socket;
        self.tell(EngineEvent::Close { socket, reason });
        self.inner.end(reason, cx);
    }

    fn abandon(&mut self) {
        self.inner.abandon();
    }

    fn heartbeat(&self) {
        let socket = &self.socket;
        self.tell(EngineEvent::Heartbeat { socket });
    }

    fn left(&self, messages: &[Left], drained: bool) {
        let socket = &self.socket;
        for &Left { binary, len } in messages {
            self.tell(EngineEvent::Sent {
                socket,
                binary,
                len,
            });
        }
        if drained {
            self.tell(EngineEvent::Drain { socket });
        }
    }

    fn upgraded(&self) {
        let socket = &self.socket;
        self.tell(EngineEvent::Upgrade { socket });
    }
}
