//! A binary packet and its attachments, put together again.

use bytes::Bytes;

use crate::{Limits, Packet, ParseError};

/// Puts binary packets together; holds at most one, within [`Limits`].
#[derive(Debug, Default)]
pub struct Reassembler {
    pending: Option<Box<Complete>>,
}

/// A binary packet with all its attachments.
#[derive(Debug)]
pub struct Complete {
    text: String,
    attachments: Vec<Bytes>,
}

impl Reassembler {
    /// One that waits for nothing; allocates nothing.
    pub const fn new() -> Self {
        Self { pending: None }
    }

    /// Whether attachments are due.
    #[inline]
    pub fn is_waiting(&self) -> bool {
        self.pending.is_some()
    }

    /// A text message came: the packet, or `None` if attachments are due first.
    pub fn push_text<'a>(
        &mut self,
        text: &'a str,
        limits: &Limits,
    ) -> Result<Option<Packet<'a>>, ParseError> {
        Packet::parse(text, limits).map(Some)
    }

    /// A binary message came: the packet, or `None` if more attachments are due.
    pub fn push_binary(
        &mut self,
        _data: Bytes,
        _limits: &Limits,
    ) -> Result<Option<Box<Complete>>, ParseError> {
        Err(ParseError::UnexpectedBinary)
    }

    /// Forgets a packet that was begun.
    pub fn clear(&mut self) {
        self.pending = None;
    }
}

impl Complete {
    /// The packet and its attachments, in the order of their numbers.
    pub fn parts(&mut self) -> (Packet<'_>, &mut [Bytes]) {
        let packet = Packet {
            kind: crate::Kind::BinaryEvent,
            attachments: self.attachments.len(),
            namespace: "/",
            id: None,
            data: &self.text,
        };
        (packet, &mut self.attachments)
    }
}
