//! WebSocket frames and messages, RFC 6455 §5–7, both roles, without I/O.

mod assembler;
mod close;
mod connection;
mod control;
mod error;
mod frame;
mod header;
mod limits;
mod mask;
mod message;
mod utf8;

pub use close::{CloseCode, CloseFrame};
pub use connection::{Connection, Role};
pub use control::{End, State};
pub use error::ProtocolError;
pub use frame::{Frame, Prepared, write_frame, write_frame_as};
pub use header::{Header, HeaderBytes, OpCode};
pub use limits::Limits;
pub use mask::{Masker, mask};
pub use message::{Kind, Message};
