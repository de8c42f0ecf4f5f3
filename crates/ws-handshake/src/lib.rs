//! The WebSocket opening handshake, [RFC 6455 §4], without I/O.
//!
//! A WebSocket begins as an HTTP request. This crate decides whether a request may become one and
//! on which terms, writes the answer, and does the same from the client's side. It reads headers
//! that somebody else has parsed and writes into a `Vec` that somebody else will send: no socket,
//! no clock, no randomness, no `unsafe`.
//!
//! ```
//! use http::Version;
//! use ws_handshake::{DeflatePolicy, Policy, Upgrade};
//!
//! // As a parser left them: `httparse`, an `http::HeaderMap`, anything that is `Headers`.
//! let headers = [
//!     ("Host", "server.example.com"),
//!     ("Upgrade", "websocket"),
//!     ("Connection", "Upgrade"),
//!     ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
//!     ("Sec-WebSocket-Version", "13"),
//!     ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
//! ];
//! let policy = Policy { deflate: Some(DeflatePolicy::default()), ..Policy::default() };
//!
//! let upgrade = Upgrade::check("GET", Version::HTTP_11, &headers)?;
//! let agreed = upgrade.agree(&policy);
//! let mut answer = Vec::new();
//! agreed.write_response(&mut answer, []);
//!
//! assert!(answer.starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
//! assert_eq!(agreed.deflate().unwrap().server_max_window_bits, 15);
//! # Ok::<(), ws_handshake::HandshakeError>(())
//! ```
//!
//! # The parts
//!
//! ```text
//!             client                                      server
//!   Request::new, write  ──── GET, key, offers ────▶  Upgrade::check   or HandshakeError
//!                                                     OriginPolicy     or OriginError
//!   Request::check       ◀──── 101, accept, answer ── Upgrade::agree, Agreed::write_response
//!   Answer or AnswerError
//! ```
//!
//! | part | specification |
//! |---|---|
//! | [`Upgrade::check`], [`HandshakeError`] | RFC 6455 §4.2.1, §4.4: what a request must have |
//! | [`accept_key`] | RFC 6455 §4.2.2: the proof that we read it |
//! | [`Policy`], [`Agreed`] | RFC 6455 §4.2.2: subprotocol, extensions, the answer |
//! | [`Extension`], [`Param`] | RFC 6455 §9.1: the grammar of the extension header |
//! | [`DeflateOffer`], [`DeflatePolicy`], [`DeflateParams`] | RFC 7692 §5, §7.1: permessage-deflate (the codec is the crate `ws-deflate`) |
//! | [`Upgrade::check_connect`] | RFC 8441 §5: the same over HTTP/2 |
//! | [`OriginPolicy`] | RFC 6455 §10.2: whose page asks |
//! | [`Request`], [`Answer`] | RFC 6455 §4.1: the client |
//!
//! # What is left to the caller
//!
//! - **Parsing HTTP**, with its limits on the length and number of fields and its deadline for the
//!   whole head. What is here takes time linear in what it is given.
//! - **The path.** Which target is a WebSocket is routing.
//! - **The origin.** [`OriginPolicy::check`] is a call of its own because it has to be made on
//!   *every* transport that a browser can reach, not on upgrades alone. Make it.
//! - **Bytes behind the head.** What arrives in one segment with the request belongs to the frames.
//!
//! [RFC 6455 §4]: https://www.rfc-editor.org/rfc/rfc6455#section-4

mod accept;
mod agreed;
mod client;
mod deflate;
mod error;
mod extension;
mod head;
mod headers;
mod origin;
mod server;
mod token;

pub use accept::{AcceptKey, accept_key};
pub use agreed::{Agreed, Policy};
pub use client::{Answer, AnswerError, Request, RequestError};
pub use deflate::{DeflateAnswer, DeflateOffer, DeflateParams, DeflatePolicy, WindowLimit};
pub use error::HandshakeError;
pub use extension::{Extension, Param};
pub use headers::Headers;
pub use origin::{OriginError, OriginPattern, OriginPolicy, PatternError};
pub use server::Upgrade;
