//! What can go wrong, as a caller sees it.

use std::{fmt, io, net::SocketAddr, time::Duration};

use eio_transport::Reason;
use serde::{Serialize, Serializer, ser::SerializeStruct};

/// Why a call got no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// the socket has gone
    #[error("the socket has gone")]
    Disconnected,
    /// the client is too slow for more, see [`SlowClients::Refuse`](crate::SlowClients::Refuse)
    #[error("the client is too slow for more")]
    Full,
    /// the payload could not be written: {0}
    #[error("the payload could not be written: {0}")]
    Payload(#[from] sio_packet::WriteError),
    /// the answers were longer than they may be together
    #[error("the answers were longer than {limit} bytes together")]
    AnswersTooLong {
        /// [`Config::max_answer_bytes`](crate::Config::max_answer_bytes).
        limit: usize,
    },
    /// the answer could not be read: {0}
    #[error("the answer could not be read: {0}")]
    Answer(sio_packet::ReadError),
    /// the peer did not answer in time
    #[error("the peer did not answer in time")]
    Timeout,
    /// too many calls wait for an answer
    #[error("too many calls wait for an answer")]
    TooManyAcks,
}

/// Why an event that could wait was not sent, see [`Socket::emit_within`](crate::Socket::emit_within) and
/// [`Target::emit_within`](crate::Target::emit_within).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// the broker had no room for what other nodes should hear within {0:?}: nothing was sent
    #[error(
        "the broker had no room for what other nodes should hear within {0:?}: nothing was sent"
    )]
    Broker(Duration),
    /// the socket has gone
    #[error("the socket has gone")]
    Disconnected,
    /// the payload could not be written: {0}
    #[error("the payload could not be written: {0}")]
    Payload(#[from] sio_packet::WriteError),
    /// the client did not make room for the event within {0:?}
    #[error("the client did not make room for the event within {0:?}")]
    SlowClient(Duration),
}

/// Why a client may not join a namespace, or an event is not taken. The client gets it as
/// `connect_error`, or as the event's ack.
///
/// Any error can be turned into one with `?`; its text becomes the message.
#[derive(Clone, Debug, PartialEq)]
pub struct Refuse {
    pub(crate) message: String,
    pub(crate) data: Option<serde_json::Value>,
}

impl Refuse {
    /// A refusal that the client sees as `error.message` of its `connect_error`.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            data: None,
        }
    }

    /// Adds details, which the client sees as `error.data`. What cannot be written as JSON is left
    /// out.
    ///
    /// ```
    /// # use sio_server::{Handshake, Namespace, Refuse};
    /// let members = Namespace::new("/members", async |_: Handshake| -> Result<(), Refuse> {
    ///     // In the page: `socket.on("connect_error", (error) => error.data.retry)`.
    ///     Err(Refuse::new("full").with_data(&serde_json::json!({ "retry": 60 })))
    /// });
    /// ```
    #[must_use]
    pub fn with_data(mut self, data: &impl Serialize) -> Self {
        self.data = serde_json::to_value(data).ok();
        self
    }
}

impl fmt::Display for Refuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// As the client gets it: `{ message, data }`, without `data` if there is none.
impl Serialize for Refuse {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Refuse", 2)?;
        object.serialize_field("message", &self.message)?;
        match &self.data {
            Some(data) => object.serialize_field("data", data)?,
            None => object.skip_field("data")?,
        }
        object.end()
    }
}

impl<E: std::error::Error> From<E> for Refuse {
    fn from(error: E) -> Self {
        Self::new(error.to_string())
    }
}

/// Why a socket has gone.
///
/// ```
/// use sio_server::{DisconnectReason, Reason};
///
/// let reason = DisconnectReason::Connection(Reason::SlowConsumer);
/// assert_eq!(reason.as_str(), "transport close"); // what Node would say, for code that compares
/// assert_eq!(reason.detail(), "the client did not take what was queued for it");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The client left this namespace.
    ClientNamespaceDisconnect,
    /// The connection has ended, with all its namespaces.
    Connection(Reason),
    /// The server put this socket out of the namespace.
    ServerNamespaceDisconnect,
}

impl DisconnectReason {
    /// Node's exact words, such as `transport close`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientNamespaceDisconnect => "client namespace disconnect",
            Self::Connection(reason) => reason.as_str(),
            Self::ServerNamespaceDisconnect => "server namespace disconnect",
        }
    }

    /// What happened exactly, in words of our own: several causes share a reason.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::ClientNamespaceDisconnect => "the client left the namespace",
            Self::Connection(reason) => reason.detail(),
            Self::ServerNamespaceDisconnect => "the server put the socket out",
        }
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a server cannot be started.
///
/// `Debug` says the same sentence as `Display`: it is what a `main` that returns this prints. A `main` that
/// returns an [`io::Error`] gets its kind right with `?`, and prints it less well.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// {address} cannot be listened on: {error}
    #[error("{address} cannot be listened on: {error}")]
    Address {
        /// The last one that was tried.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// the address cannot be looked up: {0}
    #[error("the address cannot be looked up: {0}")]
    AddressUnknown(io::Error),
    /// the cluster's broker cannot be used: {0}
    #[error("the cluster's broker cannot be used: {0}")]
    Cluster(String),
    /// no cookie can be made of {0:?} and its attributes
    #[error("no cookie can be made of {0:?} and its attributes")]
    Cookie(String),
    /// debug mode is for this machine, and {0} is reached from others: DebugMode::Everywhere says that you mean it
    #[error(
        "debug mode is for this machine, and {0} is reached from others: DebugMode::Everywhere says that you mean it"
    )]
    DebugReachesOthers(SocketAddr),
    /// two namespaces are called {0}
    #[error("two namespaces are called {0}")]
    DuplicateNamespace(String),
    /// {origin:?} is no origin to allow: {error}
    #[error("{origin:?} is no origin to allow: {error}")]
    Origin {
        /// What was given.
        origin: String,
        /// What is wrong with it.
        error: ws_handshake::PatternError,
    },
    /// an event cannot be called {0:?}, the protocol reserves it: use on_connect, on_disconnecting or on_disconnect
    #[error(
        "an event cannot be called {0:?}, the protocol reserves it: use on_connect, on_disconnecting or on_disconnect"
    )]
    EventName(String),
    /// there is no address to listen on
    #[error("there is no address to listen on")]
    NoAddress,
    /// the path {0:?} does not begin and end with a slash
    #[error("the path {0:?} does not begin and end with a slash")]
    Path(String),
    /// the pattern {pattern:?} of a namespace cannot be read: {problem}
    #[error("the pattern {pattern:?} of a namespace cannot be read: {problem}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Config::{name} is 0: {problem}
    #[error("Config::{name} is 0: {problem}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What cannot be with it.
        problem: &'static str,
    },
    /// a thread to serve on cannot be had: {0}
    #[error("a thread to serve on cannot be had: {0}")]
    Thread(io::Error),
    /// {name} is {value:?}, which {problem}
    #[error("{name} is {value:?}, which {problem}")]
    Variable {
        /// The variable of the environment.
        name: &'static str,
        /// What it says.
        value: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<StartError> for io::Error {
    fn from(error: StartError) -> Self {
        let kind = match &error {
            StartError::Address { error, .. }
            | StartError::AddressUnknown(error)
            | StartError::Thread(error) => error.kind(),
            _ => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}
