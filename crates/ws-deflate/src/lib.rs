//! permessage-deflate, [RFC 7692 §7.2]: the compression of WebSocket messages, without I/O and
//! under a limit.
//!
//! Two sides that agreed to permessage-deflate may send a message as raw DEFLATE (RFC 1951) with
//! RSV1 set in its first frame. This crate turns payloads into that and back. It knows no frame and
//! no handshake: the terms come from whoever negotiated them (the crate `ws-handshake` does), the
//! payloads from whoever cut them out of frames (`ws-frame`).
//!
//! ```
//! use ws_deflate::{Budget, Deflate, DeflateConfig, Encoding, Inflate, InflateConfig, Pool};
//!
//! // One budget for the server, one pool for each of its threads.
//! let mut pool = Pool::new(Budget::new(64 << 20));
//!
//! // One of each for a connection, by the terms agreed to.
//! let mut deflate = Deflate::new(DeflateConfig::default());
//! let mut inflate = Inflate::new(InflateConfig::default(), &pool)?;
//!
//! let text = "to be, or not to be, ".repeat(100);
//! let mut payload = Vec::new();
//! assert_eq!(deflate.deflate(&mut pool, text.as_bytes(), &mut payload), Encoding::Deflated);
//!
//! let mut message = Vec::new();
//! let limit = 1_000_000; // of the message, not of what stands on the wire
//! inflate.inflate(&mut pool, &payload, limit, &mut message)?;
//! assert_eq!(message, text.as_bytes());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # From the handshake to the terms
//!
//! | agreed to (RFC 7692 §7.1) | a server sets | a client sets |
//! |---|---|---|
//! | `server_no_context_takeover` | [`DeflateConfig::context_takeover`] to `false` | [`InflateConfig::context_takeover`] to `false` |
//! | `client_no_context_takeover` | [`InflateConfig::context_takeover`] to `false` | [`DeflateConfig::context_takeover`] to `false` |
//! | `server_max_window_bits` | [`DeflateConfig::window_bits`] | [`InflateConfig::window_bits`] |
//! | `client_max_window_bits` | [`InflateConfig::window_bits`] | [`DeflateConfig::window_bits`] |
//!
//! # What it costs
//!
//! | who | holds |
//! |---|---|
//! | a connection, before its first message and without context take-over | 64 bytes |
//! | the window it keeps to compress with, by window bits | 9: 245 KiB … 12: 260 KiB … 15: 371 KiB |
//! | the window it keeps to inflate with | 47 KiB |
//! | a [`Pool`] | up to 1.6 MB, nothing before its first message |
//!
//! A server of ten thousand connections that keeps both windows for each holds 4 GB; that is why the
//! defaults keep none, why [`Budget`] exists, and why [`Deflate::shed`] can give a window back at any
//! time. Without context take-over a message borrows its window from the pool.
//!
//! A message to many receivers is compressed once, by [`deflate_once`].
//!
//! # What a hostile peer can do
//!
//! - **Bombs.** A megabyte of zeros is a kilobyte on the wire. The limit is that of the inflated
//!   message and stands inside the loop: one byte above it ends the work.
//! - **Blocks without content.** They cost time in proportion to the bytes they take on the wire,
//!   which the frame layer limits, and no memory.
//! - **Streams without content.** Each would begin with a new window; a message may have 64.
//! - **Windows.** What a peer can make a connection keep is charged before the handshake is answered.
//!
//! # Drawn from zlib
//!
//! The codec is `flate2` over `zlib-rs`, in safe Rust as far as this crate goes. zlib cannot compress
//! with a window of 2⁸ bytes, so an offer of `server_max_window_bits=8` has to be declined; a window
//! of 9 reads what one of 8 wrote.
//!
//! [RFC 7692 §7.2]: https://www.rfc-editor.org/rfc/rfc7692#section-7.2

mod budget;
mod config;
mod deflate;
mod error;
mod inflate;
mod pool;

pub use budget::{Budget, OverBudget};
pub use config::{DeflateConfig, InflateConfig};
pub use deflate::{Deflate, Encoding, deflate_once};
pub use error::InflateError;
pub use inflate::Inflate;
pub use pool::Pool;
