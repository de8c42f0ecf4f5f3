//! A client in process, for an application's own tests: the real server, the real codecs, no port.
//!
//! A [`TestServer`] is a [`Server`](crate::Server) that is connected to by streams in memory. What a
//! [`Client`] says goes through the same handshake, frames, packets, limits and handlers as with a
//! browser, so that a test sees what a browser would see.
//!
//! ```
//! use serde_json::json;
//! use sio_server::{Ack, Server, testing::{Error, TestServer}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Error> {
//! let server = Server::new()
//!     .on("enter", async |socket, room: String| Ack(socket.join(&room)))
//!     .on("say", async |socket, (room, text): (String, String)| {
//!         socket.to(&room).emit("said", &text);
//!         Ack(text.len())
//!     });
//! let server = TestServer::new(server)?;
//!
//! let ann = server.connect("/").auth(&json!({ "name": "Ann" })).await?;
//! let bob = server.connect("/").query("from=work").await?;
//! let entered: bool = ann.call("enter", "tea").await?;
//! assert!(entered);
//!
//! let length: usize = bob.call("say", &("tea", "hello")).await?;
//! assert_eq!(length, 5);
//! let text: String = ann.expect("said").await?;
//! assert_eq!(text, "hello");
//! assert!(bob.received().is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! # Asked by the server
//!
//! [`Client::on`] answers what the server [calls](crate::Socket::call); an event without a handler
//! waits to be [expected](Client::expect), or read with [`Client::received`] and answered, late or
//! never, with [`Client::ack`].
//!
//! # What goes wrong out there
//!
//! | What | How | What the server sees |
//! |---|---|---|
//! | the network is gone | [`Client::drop_connection`] | a WebSocket that ends without a close frame, or a GET that is given up: `transport close`, `transport error` |
//! | a client that does not read | [`Client::stall`] | the 64 KiB of the stream fill, then its queue, to [`Config::max_queued_bytes`](crate::Config::max_queued_bytes); a client that polls asks for nothing |
//! | a client that hangs | [`Client::stall`], and time | `ping timeout`: it does not answer heartbeats either |
//! | answers that do not come | an event without [`Client::on`] | [`CallError::Timeout`](crate::CallError::Timeout) |
//! | a slow network | [`Client::stall`], time, [`Client::resume`] | delay, in both directions of what is asked |
//! | a client that floods | [`Client::emit`] in a loop | what [`Config`](crate::Config) bounds |
//! | a client that comes back | [`TestServer::connect`] with `auth` of `pid` and `offset` | [recovery](crate::Recovery) |
//! | a proxy's client | [`Connect::address`], [`Connect::header`] | [`Config::proxies`](crate::Config::proxies) |
//!
//! # What it is not
//!
//! A client speaks by WebSocket, or [by polling](Connect::polling), in JSON or with a
//! [parser](Connect::parser). It moves from one to the other when the test [says so](Client::upgrade), and
//! comes back only as a new one.
//!
//! # Time
//!
//! Every wait has a limit ([`TestServer::time_limit`], 5 s), after which the error names what was
//! waited for and what came instead.
//!
//! Under `tokio::time::pause` (or `#[tokio::test(start_paused = true)]`) nothing has to be slept for:
//! heartbeats, ack timeouts, recovery, `linger` and the limits of the waits all go by tokio's clock,
//! which a paused runtime moves on as soon as every task waits. What is not virtual: what runs in
//! `spawn_blocking`, what the application reads from `std::time`, and servers on
//! [their own listener](crate::Server::bind), whose threads have clocks of their own.
//!
//! It needs no feature of the crate: it brings no dependency, and what is not called is not linked.

mod client;
mod connect;
mod error;
mod line;
mod polling;
mod reader;
mod received;
mod requests;
mod seat;
mod upgrade;

pub use self::{
    client::Client,
    connect::{Connect, TestServer},
    error::{End, Error},
    received::Received,
};
