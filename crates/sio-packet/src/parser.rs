//! Other encodings of the same packets: what a parser is.
//!
//! Socket.IO calls *parser* what turns packets into messages and back. The one of this crate is the
//! protocol's own: JSON text, with attachments behind it. A client may be built with another, and must
//! then meet a server that speaks it.
//!
//! A [`Parser`] translates: what came becomes a [`Packet`] as this crate reads it, JSON text and
//! attachments, and what is to leave is handed to it in that form. So a handler reads the same types from
//! every client, a payload that embeds JSON as it is (`RawValue`) goes everywhere, a log keeps one form,
//! and a broadcast is translated once per parser, not per client. The price is a second pass over
//! packets of clients with another parser; the others pay nothing.
//!
//! A packet is one message. That holds for the parsers there are (msgpack, CBOR, plain JSON); it is what
//! their purpose is, as opposed to attachments that follow.

use bytes::Bytes;

use crate::{Limits, Packet, ParseError, WriteError};

/// A message of Engine.IO, without its type.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Message<'a> {
    /// A binary message.
    Binary(&'a [u8]),
    /// A text message.
    Text(&'a str),
}

/// Which kind of message a packet became.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Form {
    /// A binary message.
    Binary,
    /// A text message; what was appended is UTF-8.
    Text,
}

/// Another encoding of packets than the protocol's own.
///
/// It has no state: each message is a packet. Which client uses it is seen from the first message that
/// the client sends, its CONNECT; whoever holds several parsers asks each in turn.
///
/// Methods run inside the server's loops: they must not wait, and must not call back into a server.
/// Input comes from the network: it must not make them panic, or allocate much more than it is long.
///
/// ```
/// use bytes::Bytes;
/// use sio_packet::{
///     Form, Head, Kind, Limits, Message, Packet, ParseError, Parser, Scratch, WriteError,
/// };
///
/// /// Packets of `/` without acks and attachments: a letter, then the data.
/// struct Letters;
///
/// impl Parser for Letters {
///     fn recognizes(&self, first: Message<'_>) -> bool {
///         matches!(first, Message::Text(text) if text.starts_with('C'))
///     }
///
///     fn decode<'a>(
///         &self,
///         message: Message<'a>,
///         limits: &Limits,
///         scratch: &'a mut Scratch,
///     ) -> Result<(Packet<'a>, &'a mut [Bytes]), ParseError> {
///         let Message::Text(text) = message else { return Err(ParseError::Parser("it is binary")) };
///         let (kind, data) = match text.split_at_checked(1) {
///             Some(("C", auth)) => (Kind::Connect, auth),
///             Some(("E", event)) => (Kind::Event, event),
///             _ => return Err(ParseError::Parser("there is no such letter")),
///         };
///         scratch.clear();
///         scratch.data.extend_from_slice(data.as_bytes());
///         scratch.packet(Head { kind, namespace: "/", id: None }, limits)
///     }
///
///     fn encode(
///         &self,
///         packet: &Packet<'_>,
///         _attachments: &[&[u8]],
///         out: &mut Vec<u8>,
///     ) -> Result<Form, WriteError> {
///         out.push(if packet.kind == Kind::Event { b'E' } else { b'C' });
///         out.extend_from_slice(packet.data.as_bytes());
///         Ok(Form::Text)
///     }
/// }
///
/// let (limits, mut scratch) = (Limits::default(), Scratch::default());
/// let (packet, _) = Letters.decode(Message::Text(r#"E["hi"]"#), &limits, &mut scratch)?;
/// assert_eq!(packet.event(&limits)?.0, "hi");
/// let mut out = Vec::new();
/// assert!(Letters.encode(&packet, &[], &mut out).is_ok_and(|form| form == Form::Text));
/// assert_eq!(out, br#"E["hi"]"#);
/// # Ok::<(), ParseError>(())
/// ```
pub trait Parser: Send + Sync {
    /// Whether a client whose first message this is uses this parser.
    ///
    /// Text that begins with a digit is the protocol's own, and is not asked about.
    fn recognizes(&self, first: Message<'_>) -> bool;

    /// Reads a message. JSON text goes into `scratch`, attachments into [`Scratch::attachments`].
    ///
    /// [`Scratch::packet`] makes a packet of it, and checks it as one that came as text.
    ///
    /// # Errors
    /// If the message is no packet, or one beyond `limits`: close the connection.
    fn decode<'a>(
        &self,
        message: Message<'a>,
        limits: &Limits,
        scratch: &'a mut Scratch,
    ) -> Result<(Packet<'a>, &'a mut [Bytes]), ParseError>;

    /// Appends the message of a packet.
    ///
    /// `packet` is one of ours: its data is well-formed JSON in which
    /// `{"_placeholder":true,"num":n}` is the place of `attachments[n]`, if there are any attachments,
    /// and an ordinary object if there are none.
    ///
    /// # Errors
    /// If the encoding has no way to say it. What has been appended is taken back by the caller.
    fn encode(
        &self,
        packet: &Packet<'_>,
        attachments: &[&[u8]],
        out: &mut Vec<u8>,
    ) -> Result<Form, WriteError>;
}

/// Memory that a packet is read into; kept from one to the next.
#[derive(Debug, Default)]
pub struct Scratch {
    /// JSON text.
    pub data: Vec<u8>,
    /// Attachments, by their numbers.
    pub attachments: Vec<Bytes>,
}

/// What a packet is besides its data.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Head<'a> {
    /// The type: without attachments, whatever [`Scratch`] holds.
    pub kind: crate::Kind,
    /// The namespace; begins with a slash.
    pub namespace: &'a str,
    /// The ack id.
    pub id: Option<u64>,
}

impl Scratch {
    /// Forgets what was read, and keeps the memory.
    pub fn clear(&mut self) {
        self.data.clear();
        self.attachments.clear();
    }

    /// Bytes of memory that are kept for text.
    pub fn capacity(&self) -> usize {
        self.data.capacity()
    }

    /// Makes a packet of `head` and what was read, and checks it as [`Packet::parse`] does.
    ///
    /// # Errors
    /// If there is no such packet, or if it is beyond `limits`.
    pub fn packet<'a>(
        &'a mut self,
        head: Head<'a>,
        limits: &Limits,
    ) -> Result<(Packet<'a>, &'a mut [Bytes]), ParseError> {
        let data = std::str::from_utf8(&self.data)
            .map_err(|_| ParseError::Parser("its JSON is not UTF-8"))?;
        let packet = Packet::of_parts(head, self.attachments.len(), data, limits)?;
        Ok((packet, &mut self.attachments))
    }
}
