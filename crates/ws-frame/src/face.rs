//! What the faces of a connection have in common: the owned [`Item`] and its way in and out.

use std::io;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

use crate::{
    CloseCode, CloseFrame, Connection, Header, Kind, Message, OpCode, ProtocolError, State,
};

/// Payloads shorter than this are copied out of the read buffer, so that a message of a few bytes that
/// is kept does not keep the whole buffer.
const COPY_BELOW: usize = 1024;

/// An owned [`Message`], received or to be sent.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Item {
    /// A text message.
    Text(ByteString),
    /// A binary message.
    Binary(Bytes),
    /// A message with RSV1 set: compressed, if permessage-deflate was negotiated.
    Compressed {
        /// What the message is once it is inflated.
        kind: Kind,
        /// The compressed payload.
        payload: Bytes,
    },
    /// A ping, at most 125 bytes.
    Ping(Bytes),
    /// A pong, at most 125 bytes.
    Pong(Bytes),
    /// A close frame.
    Close(Option<(CloseCode, ByteString)>),
}

#[cfg(feature = "tokio")]
impl Item {
    pub(crate) fn is_control(&self) -> bool {
        matches!(self, Self::Ping(_) | Self::Pong(_) | Self::Close(_))
    }
}

/// Why a face gave up, or refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// the stream ended without a close frame
    #[error("the stream ended without a close frame")]
    Abnormal,
    /// nothing can be sent once the closing handshake has begun
    #[error("nothing can be sent once the closing handshake has begun")]
    Closing,
    /// a control frame of {len} bytes is longer than 125
    #[error("a control frame of {len} bytes is longer than 125")]
    ControlTooLong {
        /// The length of its payload.
        len: usize,
    },
    /// the stream failed
    #[error("the stream failed")]
    Io(#[from] io::Error),
    /// the peer broke the protocol
    #[error("the peer broke the protocol")]
    Protocol(#[from] ProtocolError),
}

/// Takes the next message out of `src`, of which nothing is left if there is none.
pub(crate) fn receive(
    connection: &mut Connection,
    src: &mut BytesMut,
) -> Result<Option<Item>, ProtocolError> {
    let (start, before) = (src.as_ptr().addr(), src.len());
    let mut input = &mut src[..];
    let received = connection
        .receive(&mut input)
        .map(|message| message.map(Found::from));
    let left = input.len();
    let mut frame = src.split_to(before - left);
    let Some(found) = received? else {
        return Ok(None);
    };

    let mut bytes = |addr: usize, len: usize| match addr.checked_sub(start) {
        _ if len == 0 => Bytes::new(),
        Some(at) if at < before => match len {
            0..COPY_BELOW => Bytes::copy_from_slice(&frame[at..at + len]),
            _ => frame.split_off(at).freeze().slice(..len),
        },
        // It was put together in the connection, which will not need the buffer again.
        _ => Bytes::from(connection.take_assembled()).slice(..len),
    };
    Ok(Some(match found {
        Found::Text { addr, len } => Item::Text(
            bytes(addr, len)
                .try_into()
                .expect("a text message has been checked"),
        ),
        Found::Binary { addr, len } => Item::Binary(bytes(addr, len)),
        Found::Compressed { kind, addr, len } => Item::Compressed {
            kind,
            payload: bytes(addr, len),
        },
        Found::Control(item) => item,
    }))
}

/// What an item is on its way out.
pub(crate) enum Outgoing {
    /// A frame of its own; the header lacks the length and the key.
    Frame(Header, Bytes),
    /// The connection has been told, and has it among what is due.
    Told,
}

/// Looks at whether `item` may be sent.
pub(crate) fn send(connection: &mut Connection, item: Item) -> Result<Outgoing, Error> {
    let plain = |opcode| Header::new(opcode, 0);
    let (header, payload) = match item {
        Item::Text(text) => (plain(OpCode::Text), text.into_bytes()),
        Item::Binary(payload) => (plain(OpCode::Binary), payload),
        Item::Compressed { kind, payload } => {
            let opcode = match kind {
                Kind::Text => OpCode::Text,
                Kind::Binary => OpCode::Binary,
            };
            let header = Header {
                rsv: Header::RSV1,
                ..plain(opcode)
            };
            (header, payload)
        }
        Item::Ping(payload) => (plain(OpCode::Ping), payload),
        Item::Pong(payload) => (plain(OpCode::Pong), payload),
        Item::Close(frame) => {
            let frame = match &frame {
                None => None,
                Some((code, reason)) => {
                    let len = 2 + reason.len();
                    let frame = CloseFrame::new(*code, reason);
                    Some(frame.ok_or(Error::ControlTooLong { len })?)
                }
            };
            connection.close(frame);
            return Ok(Outgoing::Told);
        }
    };
    if connection.state() != State::Open {
        return Err(Error::Closing);
    }
    let len = payload.len();
    if header.opcode.is_control() && len > 125 {
        return Err(Error::ControlTooLong { len });
    }
    Ok(Outgoing::Frame(header, payload))
}

/// A [`Message`] without its loan: where it lies.
enum Found {
    Text { addr: usize, len: usize },
    Binary { addr: usize, len: usize },
    Compressed { kind: Kind, addr: usize, len: usize },
    Control(Item),
}

impl From<Message<'_>> for Found {
    fn from(message: Message<'_>) -> Self {
        let addr = |payload: &[u8]| payload.as_ptr().addr();
        match message {
            Message::Text(text) => Self::Text {
                addr: addr(text.as_bytes()),
                len: text.len(),
            },
            Message::Binary(payload) => Self::Binary {
                addr: addr(payload),
                len: payload.len(),
            },
            Message::Compressed { kind, payload } => Self::Compressed {
                kind,
                addr: addr(payload),
                len: payload.len(),
            },
            Message::Ping(payload) => Self::Control(Item::Ping(Bytes::copy_from_slice(payload))),
            Message::Pong(payload) => Self::Control(Item::Pong(Bytes::copy_from_slice(payload))),
            Message::Close(frame) => Self::Control(Item::Close(
                frame.map(|frame| (frame.code(), frame.reason().into())),
            )),
        }
    }
}
