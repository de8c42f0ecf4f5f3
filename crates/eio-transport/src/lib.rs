//! Engine.IO sessions over polling and WebSocket as a state machine without I/O.

mod action;
mod config;
mod error;
mod heartbeat;
mod open;
mod packet;
mod parcel;
pub mod payload;
mod query;
mod reason;
mod route;
mod session;
mod sid;
mod table;

pub use action::{Action, Answer, PollId};
pub use config::{Config, Revision, Transport, Transports};
pub use error::{ErrorCode, PacketError, PayloadError};
pub use open::write_open;
pub use packet::{Data, Packet};
pub use parcel::{Builder, Control, Parcel, push_message};
pub use query::{Claim, Query};
pub use reason::Reason;
pub use route::{Context, Form, Known, Method, Opening, Origin, Refusal, Request, Route, route};
pub use session::{Road, Session, Source};
pub use sid::Sid;
