//! Socket.IO packets, protocol revision 5: events, acks and attachments, to text (or msgpack) and
//! back. What revision 4, of the Socket.IO 2 clients, does otherwise is in [`v4`].
//!
//! # The packet
//!
//! A packet is the text of one Engine.IO message ([protocol document]); its attachments are the binary
//! messages right behind it.
//!
//! ```text
//!  51-/chat,12["photo",{"_placeholder":true,"num":0},"cat"]     ff d8 ff e0 …
//!  ├┘├┘├────┘├┘└──────────────────┬───────────────────────┘     └─────┬──────┘
//!  │ │ │     │                    data: JSON; of an event the     attachment 0
//!  │ │ │     │                    name, then the arguments
//!  │ │ │     ack id, if the sender wants an answer
//!  │ │ namespace, left out when it is `/`
//!  │ attachments that follow (and a hyphen); only in packets of a binary kind
//!  kind: 0 CONNECT, 1 DISCONNECT, 2 EVENT, 3 ACK, 4 CONNECT_ERROR, 5 BINARY_EVENT, 6 BINARY_ACK
//! ```
//!
//! # Reading
//!
//! 1. [`Reassembler::push_text`] and [`Reassembler::push_binary`] take the messages as they come, and
//!    return a packet as soon as it is complete. (Where there are no attachments they do what
//!    [`Packet::parse`] does.)
//! 2. [`Packet::event`] finds the name of an event, with which the handler is found.
//! 3. [`Args::read`] reads the arguments into the handler's types, in one go over the text. For
//!    an event that nobody handles, [`Args::validate`] checks them; the payload of a CONNECT is
//!    read by [`read_auth`].
//!
//! [`ParseError`], and a [`ReadError`] that [is malformed](ReadError::is_malformed), end the connection;
//! other read errors are the application's business. Nothing is copied on the way except what a
//! handler wants to own, and what has to wait for its attachments.
//!
//! ```
//! use sio_packet::{Args, Limits, Packet};
//!
//! let limits = Limits::default();
//! let packet = Packet::parse(r#"2/chat,12["message","lobby","hi",true]"#, &limits)?;
//! let (event, rest) = packet.event(&limits)?;
//! assert_eq!(event, "message");
//! let (room, text): (String, String) = Args::event(rest, &mut []).read()?;
//! assert_eq!((&*room, &*text), ("lobby", "hi"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Writing
//!
//! [`write_event`] and its siblings append to a buffer: Engine.IO's type, and room for a frame header,
//! may stand there already. Bytes among the arguments are collected in [`Attachments`].
//!
//! ```
//! use sio_packet::{Attachments, write_event};
//!
//! let mut out = b"4".to_vec();
//! let mut attachments = Attachments::new();
//! let photo = bytes::Bytes::from_static(b"\xff\xd8");
//! write_event(&mut out, "/chat", Some(12), "photo", &(photo, "cat"), &mut attachments)?;
//! assert_eq!(out, br#"451-/chat,12["photo",{"_placeholder":true,"num":0},"cat"]"#);
//! assert_eq!(attachments.iter().next(), Some(&b"\xff\xd8"[..]));
//! # Ok::<(), sio_packet::WriteError>(())
//! ```
//!
//! # Other encodings
//!
//! A client may be built with another *parser*: [`Msgpack`] speaks with those of the npm package
//! `socket.io-msgpack-parser`, and a [`Parser`] of one's own with others. What they read is the same
//! [`Packet`].
//!
//! # Arguments and types
//!
//! | Rust | arguments |
//! |---|---|
//! | a tuple `(A, B)`, or `[A; 2]`, which is the same to serde | several |
//! | `()` | none; when reading, they are ignored |
//! | [`Arguments`] | all, whatever they are |
//! | any other `T` | one: the first |
//! | `Option` of these, or at the end of a tuple | may be missing, or `null` |
//! | `bytes::Bytes`, `serde_bytes`, [`Value::Binary`] | an attachment, anywhere |
//! | `Vec<u8>` | written as a list of numbers, as serde will have it; read from both |
//!
//! # Differences from the Node server
//!
//! - An attachment is handed out once; two placeholders of one number close the connection. Else
//!   a packet of a megabyte could ask for thirty thousand copies of an attachment of a megabyte.
//! - Data of one's own that looks like a placeholder is refused beside attachments
//!   ([`WriteError::Placeholder`]), so that one client's data cannot end another's connection.
//! - An ack id where none belongs, an ack without one, or one above 2^53-1 close the connection, as do
//!   leading zeros in the number of attachments.
//!
//! [protocol document]: https://socket.io/docs/v4/socket-io-protocol/

#![forbid(unsafe_code)]

mod access;
mod args;
mod attachments;
mod encode;
mod error;
mod fault;
mod key;
mod limits;
pub mod msgpack;
mod offset;
mod packet;
mod parser;
mod placeholder;
mod reader;
mod reassembler;
mod scanner;
mod string;
pub mod v4;
mod value;
mod writer;

pub use args::{Args, read_auth};
pub use attachments::Attachments;
pub use encode::{
    write_ack, write_connect, write_connect_error, write_connect_request, write_disconnect,
    write_event,
};
pub use error::{ParseError, ReadError, WriteError};
pub use limits::Limits;
pub use msgpack::Msgpack;
pub use offset::{Offset, write_with_offset, write_with_offset_text};
pub use packet::{Kind, Packet, is_reserved};
pub use parser::{Form, Head, Message, Parser, Scratch};
pub use reassembler::{Complete, Reassembler};
pub use value::{Arguments, Object, Value};

/// The examples of the README are tests too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
