//! Events as those see them who look at all of them.

use std::sync::Arc;

use sio_packet::{Args, Arguments, ReadError, Value};

/// An event that came, whatever it is: for middlewares and catch-alls.
///
/// Cheap to clone. That its arguments are read into values costs memory and time; it is done only
/// where somebody asked for it.
///
/// ```
/// use sio_server::{Incoming, Refuse, Server, Value};
///
/// let server = Server::new()
///     .on_any(async |socket, incoming: Incoming| {
///         println!("{} says {} {:?}", socket.id(), incoming.event(), incoming.arguments());
///     })
///     .filter(async |_socket, incoming: Incoming| match incoming.arguments() {
///         [Value::String(text), ..] if text.is_empty() => Err(Refuse::new("say something")),
///         _ if !incoming.wants_ack() => Err(Refuse::new("ask for an ack")),
///         _ => Ok(()),
///     });
/// ```
#[derive(Clone, Debug)]
pub struct Incoming(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    event: Box<str>,
    arguments: Arguments,
    ack: bool,
}

impl Incoming {
    pub(crate) fn read(event: &str, args: Args<'_>, ack: bool) -> Result<Self, ReadError> {
        Ok(Self(Arc::new(Inner {
            event: event.into(),
            arguments: args.read()?,
            ack,
        })))
    }

    /// The name of the event.
    pub fn event(&self) -> &str {
        &self.0.event
    }

    /// Its arguments.
    pub fn arguments(&self) -> &[Value] {
        &self.0.arguments.0
    }

    /// Whether the client asked for an answer.
    pub fn wants_ack(&self) -> bool {
        self.0.ack
    }
}
