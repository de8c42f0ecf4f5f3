//! An event, or the answer to one, as it came.

use std::fmt;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use sio_packet::{Args, ReadError};

/// An event that a [`Client`](super::Client) received.
#[derive(Clone, PartialEq, Eq)]
pub struct Received {
    pub(super) event: String,
    /// From behind the name to the closing bracket.
    pub(super) rest: String,
    pub(super) attachments: Vec<Bytes>,
    pub(super) id: Option<u64>,
}

impl Received {
    /// The event's name.
    pub fn event(&self) -> &str {
        &self.event
    }

    /// Whether the server waits for an answer, which [`Client::ack`](super::Client::ack) gives.
    pub fn wants_ack(&self) -> bool {
        self.id.is_some()
    }

    /// Reads the arguments, as a handler's payload is read. It may be read more than once.
    ///
    /// # Errors
    ///
    /// If they are not what `T` asks for.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ReadError> {
        Args::event(&self.rest, &mut self.attachments.clone()).read()
    }
}

/// As `name(arguments)`, in JSON; attachments are placeholders.
impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arguments = self.rest.trim_start_matches(',');
        let arguments = arguments.strip_suffix(']').unwrap_or(arguments);
        write!(f, "{}({arguments})", self.event)
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The answer to a call.
pub(super) struct Answered {
    pub(super) data: String,
    pub(super) attachments: Vec<Bytes>,
}

impl Answered {
    pub(super) fn read<T: DeserializeOwned>(&mut self) -> Result<T, ReadError> {
        Args::ack(&self.data, &mut self.attachments).read()
    }
}
