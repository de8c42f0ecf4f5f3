//! A packet, borrowed from the text of an Engine.IO message.

use std::borrow::Cow;

use crate::{Limits, ParseError};

/// The type of a packet, as numbered by the protocol.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// Join a namespace, or the answer that it is joined.
    Connect = 0,
    /// Leave a namespace.
    Disconnect = 1,
    /// An event without attachments.
    Event = 2,
    /// The answer to an event, without attachments.
    Ack = 3,
    /// The answer that a namespace may not be joined.
    ConnectError = 4,
    /// An event with attachments.
    BinaryEvent = 5,
    /// The answer to an event, with attachments.
    BinaryAck = 6,
}

/// A packet; its data is still JSON text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Packet<'a> {
    /// The packet's type.
    pub kind: Kind,
    /// Binary messages that belong to it: 0 except for the two binary kinds, which have some.
    pub attachments: usize,
    /// The namespace, `/` if the text names none.
    pub namespace: &'a str,
    /// The ack id, at most 2^53-1.
    pub id: Option<u64>,
    /// JSON text, empty if there is none.
    pub data: &'a str,
}

impl<'a> Packet<'a> {
    /// Parses a packet and checks the shape of its data, not yet the JSON inside.
    pub fn parse(_text: &'a str, _limits: &Limits) -> Result<Self, ParseError> {
        Err(ParseError::Empty)
    }

    /// The name of an event and the text of its arguments, for [`Args::event`](crate::Args::event).
    pub fn event(&self, _limits: &Limits) -> Result<(Cow<'a, str>, &'a str), ParseError> {
        Err(ParseError::EventName)
    }
}
