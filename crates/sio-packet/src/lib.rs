//! Socket.IO packets, protocol revision 5: events, acks and attachments, to text and back.
//!
//! # The packet
//!
//! A packet is the text of one Engine.IO message ([protocol document]):
//!
//! ```text
//!  51-/chat,12["photo",{"_placeholder":true,"num":0},"cat"]
//!  │├┘├────┘├┘└────────────────────┬────────────────────────┘
//!  ││ │     │                      data: JSON; of an event the name, then the arguments
//!  ││ │     ack id, if the sender wants an answer
//!  ││ namespace, left out when it is `/`
//!  │attachments: so many binary messages follow, in the order of their `num`
//!  kind
//! ```
//!
//! [protocol document]: https://socket.io/docs/v4/socket-io-protocol/

#![forbid(unsafe_code)]

mod access;
mod args;
mod attachments;
mod encode;
mod error;
mod fault;
mod limits;
mod packet;
mod placeholder;
mod reader;
mod reassembler;
mod scanner;
mod string;
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
pub use packet::{Kind, Packet};
pub use reassembler::{Complete, Reassembler};
pub use value::{Arguments, Object, Value};
