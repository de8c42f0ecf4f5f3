//! What the faces of a connection have in common: the owned [`Item`] and its way in and out.

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
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
    let (range, before) = (src.as_ptr_range(), src.len());
    let mut input = &mut src[..];
    let received = connection.receive(&mut input).map(|message| {
        message.map(|message| match message {
            // To be owned without being copied it would have to be checked again.
            Message::Text(text) if range.contains(&text.as_ptr()) => {
                Found::Item(Item::Text(text.into()))
            }
            Message::Text("") => Found::Item(Item::Text(ByteString::new())),
            Message::Text(_) => Found::AssembledText,
            Message::Binary(payload) => Found::Binary(place(payload)),
            Message::Compressed { kind, payload } => Found::Compressed(kind, place(payload)),
            Message::Ping(payload) => Found::Item(Item::Ping(Bytes::copy_from_slice(payload))),
            Message::Pong(payload) => Found::Item(Item::Pong(Bytes::copy_from_slice(payload))),
            Message::Close(frame) => Found::Item(Item::Close(
                frame.map(|frame| (frame.code(), frame.reason().into())),
            )),
        })
    });
    let left = input.len();
    let start = range.start.addr();
    let mut owned = |connection: &mut Connection, (addr, len): (usize, usize)| {
        match addr.checked_sub(start) {
            _ if len == 0 => Bytes::new(),
            Some(at) if at < before => match len {
                0..COPY_BELOW => Bytes::copy_from_slice(&src[at..at + len]),
                _ => src.split_to(at + len).freeze().slice(at..),
            },
            // It was put together in the connection, which will not need the buffer again.
            _ => Bytes::from(connection.take_assembled()).slice(..len),
        }
    };
    let item = match received {
        Ok(Some(Found::Item(item))) => Ok(Some(item)),
        Ok(Some(Found::AssembledText)) => {
            Ok(Some(Item::Text(connection.take_assembled_text().into())))
        }
        Ok(Some(Found::Binary(place))) => Ok(Some(Item::Binary(owned(connection, place)))),
        Ok(Some(Found::Compressed(kind, place))) => Ok(Some(Item::Compressed {
            kind,
            payload: owned(connection, place),
        })),
        Ok(None) => Ok(None),
        Err(fault) => Err(fault),
    };
    src.advance(src.len() - left);
    item
}

/// A message without its loan.
enum Found {
    /// The text that was put together in the connection.
    AssembledText,
    Binary((usize, usize)),
    Compressed(Kind, (usize, usize)),
    /// What is owned already.
    Item(Item),
}

/// Where a payload lies, and how long it is.
fn place(payload: &[u8]) -> (usize, usize) {
    (payload.as_ptr().addr(), payload.len())
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
