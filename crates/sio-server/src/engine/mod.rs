//! Engine.IO without Socket.IO on top: messages, text or binary, over whatever gets through.
//!
//! For `engine.io-client`, or for a protocol of your own that wants polling, WebSocket and the
//! upgrade between them, heartbeats and limits, but no events, rooms or acks.
//!
//! ```no_run
//! use sio_server::{StartError, engine::Server};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), StartError> {
//!     Server::new()
//!         .on_open(async |socket| {
//!             socket.send("welcome");
//!         })
//!         .on_message(async |socket, message| {
//!             socket.send(&message);
//!         })
//!         .on_close(async |socket, reason| println!("{}: {reason}", socket.id()))
//!         .listen("127.0.0.1:3000")
//!         .await
//! }
//! ```
//!
//! ```js
//! import { Socket } from "engine.io-client";
//! const socket = new Socket("ws://127.0.0.1:3000");
//! socket.on("open", () => socket.send("hello"));
//! socket.on("message", (message) => console.log(message));
//! ```
//!
//! Everything below the messages is the same code as under Socket.IO: both roads, `Config`, the hooks
//! for requests. [`Config::connect_timeout`](eio_transport::Config::connect_timeout) means nothing
//! here: a session is wanted from the start.

mod desk;
mod message;
mod server;
mod socket;

pub(crate) use desk::Desk;
pub use message::{Content, Message};
pub(crate) use server::Handlers;
pub use server::{Handle, Server};
pub use socket::Socket;
