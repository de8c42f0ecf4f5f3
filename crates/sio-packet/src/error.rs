//! What can be wrong with a packet, and who is at fault.

use crate::Kind;

/// The peer sent a packet that is none: the connection is to be closed with `parse error`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// the ack id is missing, misplaced or above 2^53-1
    #[error("the ack id is missing, misplaced or above 2^53-1")]
    AckId,
    /// the number of attachments is malformed
    #[error("the number of attachments is malformed")]
    AttachmentCount,
    /// a text packet came while attachments were due
    #[error("a text packet came while {missing} attachments were due")]
    AttachmentsDue {
        /// Attachments that had not come yet.
        missing: usize,
    },
    /// the payload of a CONNECT is too long
    #[error("the payload of a CONNECT is {len} bytes long, more than {limit}")]
    AuthTooLong {
        /// Bytes of JSON.
        len: usize,
        /// [`Limits::max_auth`](crate::Limits::max_auth).
        limit: usize,
    },
    /// the attachments of a packet are too long
    #[error("the attachments of a packet are {len} bytes long, more than {limit}")]
    BinaryTooLong {
        /// Bytes of all attachments so far.
        len: usize,
        /// [`Limits::max_binary_bytes`](crate::Limits::max_binary_bytes).
        limit: usize,
    },
    /// the packet is empty
    #[error("the packet is empty")]
    Empty,
    /// the event name is neither a string nor a number
    #[error("the event name is neither a string nor a number")]
    EventName,
    /// the event name is reserved
    #[error("the event name is reserved")]
    EventNameReserved,
    /// the event name is too long
    #[error("the event name is {len} bytes long, more than {limit}")]
    EventNameTooLong {
        /// Bytes of the name.
        len: usize,
        /// [`Limits::max_event_name`](crate::Limits::max_event_name).
        limit: usize,
    },
    /// the packet type is unknown
    #[error("the packet type is unknown")]
    Kind,
    /// malformed msgpack
    #[error("malformed msgpack at byte {offset}: {problem}")]
    Msgpack {
        /// Bytes from the beginning of the message.
        offset: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// the namespace does not begin with a slash, or holds a comma
    #[error("the namespace does not begin with a slash, or holds a comma")]
    Namespace,
    /// the namespace is too long
    #[error("the namespace is {len} bytes long, more than {limit}")]
    NamespaceTooLong {
        /// Bytes of the name.
        len: usize,
        /// [`Limits::max_namespace`](crate::Limits::max_namespace).
        limit: usize,
    },
    /// a binary packet declares no attachments
    #[error("a binary packet declares no attachments")]
    NoAttachments,
    /// a parser refused the message
    #[error("a parser refused the message: {0}")]
    Parser(&'static str),
    /// the payload does not have the shape that the packet type asks for
    #[error("the payload does not have the shape that {kind:?} asks for")]
    Payload {
        /// The packet's type.
        kind: Kind,
    },
    /// the packet declares too many attachments
    #[error("the packet declares more than {limit} attachments")]
    TooManyAttachments {
        /// [`Limits::max_attachments`](crate::Limits::max_attachments).
        limit: usize,
    },
    /// an attachment came that no packet announced
    #[error("an attachment came that no packet announced")]
    UnexpectedBinary,
}

/// The arguments could not be read into the type that was asked for.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// a placeholder of an attachment is wrong: the peer is at fault
    #[error("{path}: {problem}")]
    Attachment {
        /// Where: `argument 0.user.avatar`.
        path: String,
        /// What is wrong with the placeholder.
        problem: &'static str,
    },
    /// the packet is not JSON: the peer is at fault
    #[error("malformed JSON at byte {offset} of the arguments: {problem}")]
    Syntax {
        /// Bytes from the beginning of the text that was read.
        offset: usize,
        /// What is wrong with the text.
        problem: &'static str,
    },
    /// the arguments are well-formed but not of the type that was asked for
    #[error("{path}: {problem}")]
    Type {
        /// Where: `argument 0.user.name`.
        path: String,
        /// What was found and what was expected.
        problem: String,
    },
}

impl ParseError {
    /// Whether the packet is nested more than 128 deep.
    pub fn is_too_deep(&self) -> bool {
        matches!(self, Self::Msgpack { problem, .. } if *problem == TOO_DEEP)
    }
}

/// What is said of JSON and of msgpack that is nested too deep.
pub(crate) const TOO_DEEP: &str = "nested more than 128 deep";

impl ReadError {
    /// Whether the arguments are nested more than 128 deep.
    pub fn is_too_deep(&self) -> bool {
        matches!(self, Self::Syntax { problem, .. } if *problem == TOO_DEEP)
    }

    /// Whether the packet itself is malformed, so that the connection is to be closed with
    /// `parse error`; otherwise the packet merely does not suit the handler.
    pub fn is_malformed(&self) -> bool {
        !matches!(self, Self::Type { .. })
    }
}

/// The caller's arguments cannot be written as a packet.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// attachments have no place in this packet
    #[error("attachments have no place in this packet")]
    Binary,
    /// the value refused to be serialized
    #[error("the value refused to be serialized: {0}")]
    Custom(String),
    /// the event name is reserved
    #[error("the event name is reserved")]
    EventNameReserved,
    /// a map key is not a string
    #[error("a map key is neither a string nor a number")]
    Key,
    /// the packet is longer than may be sent
    #[error("the packet is {len} bytes long, more than {limit}")]
    TooLong {
        /// Bytes of the packet with its attachments.
        len: usize,
        /// What may be sent.
        limit: usize,
    },
    /// an object beside attachments has a member `_placeholder`
    ///
    /// The receiver would take it for the place of an attachment. Refused because data of one client
    /// that is passed on to others could else end their connections. A `RawValue` is refused also for
    /// an underscore that is spelled as an escape.
    #[error("an object beside attachments has a member `_placeholder`")]
    Placeholder,
}
