//! Engine.IO sessions over polling and WebSocket as a state machine without I/O.
//!
//! Engine.IO carries messages between one client and one server over whatever gets through: it
//! begins with HTTP long-polling or with a WebSocket, and moves from the first to the second
//! when that turns out to work. This crate is the server's side of [revision 4] of the protocol,
//! as the newest release of the reference implementation speaks it. It has no socket, clock,
//! task, lock or source of randomness; a driver brings those. [Revision 3], of the Socket.IO 2 clients,
//! is spoken to whom [`Config::allow_eio3`] lets in.
//!
//! ```text
//!             GET ──▶┌─────────┐◀── WebSocket with our sid (the probe)
//!     POST, packets ─▶│ Session │◀── packets, bytes, losses
//!            time ──▶└────┬────┘
//!                         │ road():  polling while a GET waits, the WebSocket, or none
//!            queue of ────┴───▶ the GET's answer, or frames
//!            [`Parcel`]s
//! ```
//!
//! The pieces, from the outside in:
//!
//! - [`Query`] and [`route`] say what a request wants, or with which [`ErrorCode`] it is refused.
//! - [`Session`] is the machine: it holds no message, but says by which [`Road`] the driver's queue
//!   may leave, and what else is to be done ([`Action`]).
//! - [`Packet`] and [`payload`] are the wire; [`write_open`] is the first packet of a session.
//! - [`Parcel`] is a message encoded once for all its recipients, whatever their roads, and translated
//!   once for those who speak another [`Dialect`].
//!
//! # How to drive a session
//!
//! 1. Something happened: call the `handle_*` method for it, or a command.
//! 2. Call [`Session::poll_action`] until it is `None`, and do what it says.
//! 3. If [`Session::road`] is open and the queue is not empty, let the queue out: as frames on the
//!    WebSocket, or as the answer to the waiting GET, and then call [`Session::drained`].
//! 4. Remember [`Session::poll_timeout`]; when it comes, call [`Session::handle_timeout`].
//!
//! ```
//! use std::{sync::Arc, time::Instant};
//! use eio_transport::{
//!     Action, Answer, Config, Data, Packet, Revision, Road, Session, Source, Transport,
//! };
//!
//! let now = Instant::now();
//! let config = Arc::new(Config::default());
//! let mut session = Session::open(Revision::V4, Transport::Polling, config, now);
//!
//! // A GET waits: what is queued may leave by its answer.
//! let get = session.handle_poll(now)?;
//! assert_eq!(session.road(), Some(Road::Polling));
//!
//! // A WebSocket comes and is probed. The GET is set free, so that the client can pause polling.
//! session.handle_probe(now)?;
//! session.handle_packet(Source::Probe, Packet::parse_text("2probe").unwrap(), now);
//! assert_eq!(session.poll_action(), Some(Action::SendProbe));
//! assert_eq!(session.poll_action(), Some(Action::Answer(get, Answer::Noop)));
//! assert_eq!(session.road(), None);
//!
//! // The client has moved.
//! session.handle_packet(Source::Probe, Packet::parse_text("5").unwrap(), now);
//! assert_eq!(session.poll_action(), Some(Action::Switch));
//! assert_eq!(session.road(), Some(Road::WebSocket));
//! let message = session.handle_packet(Source::WebSocket, Packet::parse_text("4hi").unwrap(), now);
//! assert_eq!(message, Some(Data::Text("hi")));
//! # Ok::<_, eio_transport::ErrorCode>(())
//! ```
//!
//! # The upgrade
//!
//! A client that moves from polling to WebSocket says `2probe` on the new WebSocket, hears `3probe`,
//! lets its GET and POST come to their ends and says `5`. What holds meanwhile:
//!
//! - What is queued may leave in the answer to a GET, which must be answered anyway; if nothing is
//!   queued the GET is answered with a NOOP, at once or [`Config::noop_interval`] after the last
//!   one, for as long as GETs keep coming. One NOOP is not enough: the client may have asked again
//!   before it heard `3probe`.
//! - Nothing but `3probe` is ever sent on the probe, so an upgrade that fails loses nothing.
//! - The heartbeat goes on, and the upgrade has a deadline: an abandoned one is reclaimed.
//! - A POST that began before `5` is delivered before anything that came over the WebSocket
//!   ([`Session::accepts`]).
//!
//! # Limits
//!
//! Bytes are bounded by [`Config::max_payload`], which the driver checks where it reads them, and
//! packets per POST by [`Config::max_packets_per_payload`], which [`payload::decode`] checks. Nothing
//! here grows with what a client sends.
//!
//! [Revision 3]: https://github.com/socketio/socket.io/blob/main/docs/engine.io-protocol/v3.md
//! [revision 4]: https://github.com/socketio/socket.io/blob/main/docs/engine.io-protocol/v4-current.md

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
pub use parcel::{Builder, Control, Dialect, Parcel, push_message};
pub use query::{Claim, Query};
pub use reason::Reason;
pub use route::{Context, Form, Known, Method, Opening, Origin, Refusal, Request, Route, route};
pub use session::{Road, Session, Source};
pub use sid::Sid;
