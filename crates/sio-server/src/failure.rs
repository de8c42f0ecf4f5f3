//! What became of a handler that did not do what it should: the value that `on_error` gets.

use std::{any::Any, fmt};

use sio_packet::ReadError;

use crate::{error::Refuse, io::Io, panic::Caught, trace::Trace};

/// A handler that failed, with the event that it was about.
///
/// See [`Namespace::on_error`](crate::Namespace::on_error).
///
/// ```
/// use sio_server::{Ack, Cause, Failure, Server};
///
/// let server = Server::new()
///     .on("age", async |_socket, text: String| text.parse::<u8>().map(Ack))
///     .on_error(async |socket, failure: Failure| {
///         if let Some(error) = failure.error::<std::num::ParseIntError>() {
///             return Ack(format!("no age: {error}"));
///         }
///         if let Cause::Panic(_) = failure.cause() {
///             failure.io().to("admins").emit("panicked", failure.event());
///         }
///         println!("{} of {}: {failure}", failure.event(), socket.id());
///         Ack("it did not work".to_owned())
///     })
///     // Here the socket may be of any namespace, and of any data.
///     .on_error_default(async |failure: Failure| {
///         eprintln!("{} in {}: {failure}", failure.socket_id(), failure.namespace());
///     });
/// ```
pub struct Failure {
    pub(crate) event: Box<str>,
    pub(crate) namespace: Box<str>,
    pub(crate) socket: String,
    pub(crate) io: Io,
    pub(crate) problem: Problem,
}

/// Why a handler failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// the handler returned an error: {0}
    #[error("{0}")]
    Error(String),
    /// the handler panicked: {0}
    #[error("the handler panicked: {0}")]
    Panic(String),
    /// the payload is not what the handler takes: {0}
    #[error("the payload is not what the handler takes: {0}")]
    Payload(ReadError),
    /// the event was refused: {0}
    #[error("{0}")]
    Refused(Refuse),
}

/// A cause, with the error itself where there was one.
pub(crate) struct Problem {
    pub(crate) cause: Cause,
    pub(crate) error: Option<Box<dyn Any + Send>>,
    /// In debug mode, what only a developer is to see.
    pub(crate) detail: Option<Box<Detail>>,
}

/// More about a problem than its cause says.
pub(crate) enum Detail {
    /// An error with what caused it, where the error shows that.
    Chain(String),
    /// Where a panic came from.
    Panic(Box<Trace>),
}

impl Problem {
    /// An error that a handler returned. A [`Refuse`] is what it says.
    ///
    /// With `debug` its detail is the error in its alternate form, in which `anyhow` and its like show
    /// what caused it.
    pub(crate) fn from_error<E: fmt::Display + Send + 'static>(error: E, debug: bool) -> Self {
        let chain = debug.then(|| Box::new(Detail::Chain(format!("{error:#}"))));
        let message = error.to_string();
        let error: Box<dyn Any + Send> = Box::new(error);
        match error.downcast::<Refuse>() {
            Ok(refuse) => Cause::Refused(*refuse).into(),
            Err(error) => Self {
                cause: Cause::Error(message),
                error: Some(error),
                detail: chain,
            },
        }
    }
}

impl From<Cause> for Problem {
    fn from(cause: Cause) -> Self {
        Self {
            cause,
            error: None,
            detail: None,
        }
    }
}

impl From<Caught> for Problem {
    fn from(panic: Caught) -> Self {
        Self {
            detail: panic.trace.map(|trace| Box::new(Detail::Panic(trace))),
            ..Cause::Panic(panic.text).into()
        }
    }
}

impl Failure {
    /// The event; `connect` or `disconnect` if it was the handler of that.
    pub fn event(&self) -> &str {
        &self.event
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The id of the socket.
    pub fn socket_id(&self) -> &str {
        &self.socket
    }

    /// What happened.
    pub fn cause(&self) -> &Cause {
        &self.problem.cause
    }

    /// The error that the handler returned, if it is an `E`.
    pub fn error<E: 'static>(&self) -> Option<&E> {
        self.problem.error.as_ref()?.downcast_ref()
    }

    /// The handle of the server.
    pub fn io(&self) -> &Io {
        &self.io
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.cause.fmt(f)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure")
            .field("event", &self.event)
            .field("namespace", &self.namespace)
            .field("socket", &self.socket)
            .field("cause", &self.problem.cause)
            .finish_non_exhaustive()
    }
}
