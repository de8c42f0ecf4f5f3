//! What a test is told when something else happened than it waited for.

use std::{fmt, time::Duration};

use serde_json::Value;
use sio_packet::{ReadError, WriteError};
use ws_handshake::RequestError;

use crate::error::StartError;

/// Why a client did not get what it waited for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// the server could not be started: {0}
    #[error("the server could not be started: {0}")]
    Start(#[from] StartError),
    /// the request is none, look at its query: {0}
    #[error("the request is none, look at its query: {0}")]
    Request(#[from] RequestError),
    /// the server opened no connection, it answered {status}: {body}
    #[error("the server opened no connection, it answered {status}: {body}")]
    NotOpened {
        /// The status of its answer.
        status: u16,
        /// What it said about it.
        body: String,
    },
    /// the namespace {namespace} refused the client: {message}
    #[error("the namespace {namespace} refused the client: {message}")]
    Refused {
        /// Which one.
        namespace: String,
        /// `error.message` of the client's `connect_error`.
        message: String,
        /// `error.data`, if there is some.
        data: Option<Value>,
    },
    /// the connection ended while {waited_for} was waited for: {end}
    #[error("the connection ended while {waited_for} was waited for: {end}")]
    Ended {
        /// In words.
        waited_for: String,
        /// How.
        end: End,
    },
    /// {waited_for} did not happen within {limit:?}; what came instead: {instead:?}
    #[error("{waited_for} did not happen within {limit:?}; what came instead: {instead:?}")]
    TimedOut {
        /// In words.
        waited_for: String,
        /// For how long.
        limit: Duration,
        /// Events that wait to be read, each as `name(arguments)`.
        instead: Vec<String>,
    },
    /// {what} came as {text}, which is not what is asked for: {error}
    #[error("{what} came as {text}, which is not what is asked for: {error}")]
    Payload {
        /// The event, or the answer to it.
        what: String,
        /// Its arguments as they came.
        text: String,
        /// What is wrong with them.
        error: ReadError,
    },
    /// the payload cannot be written: {0}
    #[error("the payload cannot be written: {0}")]
    Write(#[from] WriteError),
}

/// How a client's time in its namespace ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// The client left.
    Left,
    /// The server put it out of the namespace; the connection may still be there, for others.
    PutOut,
    /// The server closed the connection, with the code of its close frame if that had one.
    Closed(Option<u16>),
    /// The connection ended without a close frame.
    Cut,
    /// The client cut the line, see [`Client::drop_connection`](super::Client::drop_connection).
    Dropped,
    /// The server sent what is no frame or packet.
    Protocol(String),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Left => f.write_str("the client left"),
            Self::PutOut => f.write_str("the server put the client out of the namespace"),
            Self::Closed(Some(code)) => write!(f, "the server closed it with code {code}"),
            Self::Closed(None) => f.write_str("the server closed it without a code"),
            Self::Cut => f.write_str("it ended without a close frame"),
            Self::Dropped => f.write_str("the client cut it"),
            Self::Protocol(error) => write!(f, "the server broke the protocol: {error}"),
        }
    }
}
