//! WebSocket frames and messages, [RFC 6455](https://www.rfc-editor.org/rfc/rfc6455) §5–7, for both
//! sides, without I/O.
//!
//! What stands between the end of the opening handshake and the end of the TCP connection is here:
//! frames, masking, fragments, control frames, text, limits, the closing handshake. Bytes go in,
//! messages come out; no socket, no clock, no task, no randomness. It fits under any runtime, or none.
//!
//! # An echo server
//!
//! ```
//! use std::io::{self, Read, Write};
//! use std::net::TcpStream;
//! use std::time::Instant;
//!
//! use ws_frame::{Connection, Limits, Message, OpCode, Role, write_frame};
//!
//! /// Serves a stream whose opening handshake is done.
//! fn echo(mut stream: TcpStream) -> io::Result<()> {
//!     let mut connection = Connection::new(Role::Server, Limits::default());
//!     let (mut scratch, mut out) = (vec![0; 64 * 1024], Vec::new());
//!     let mut last = Instant::now();
//!     while !connection.is_finished() {
//!         // 1. Read, and say what happened: bytes, the end of the stream, time.
//!         let count = stream.read(&mut scratch)?;
//!         if count == 0 {
//!             connection.receive_eof();
//!         }
//!         connection.handle_elapsed(last.elapsed());
//!         last = Instant::now();
//!
//!         // 2. Take every message out of the bytes.
//!         let mut input = &mut scratch[..count];
//!         loop {
//!             match connection.receive(&mut input) {
//!                 Ok(Some(Message::Text(text))) => {
//!                     write_frame(&mut out, OpCode::Text, text.len(), |out| {
//!                         out.extend_from_slice(text.as_bytes());
//!                     });
//!                 }
//!                 Ok(Some(Message::Binary(payload))) => {
//!                     write_frame(&mut out, OpCode::Binary, payload.len(), |out| {
//!                         out.extend_from_slice(payload);
//!                     });
//!                 }
//!                 // Pings and the close frame are answered by the connection.
//!                 Ok(Some(_)) => {}
//!                 // The input is used up.
//!                 Ok(None) => break,
//!                 // The peer broke the protocol; the close frame that says so waits in step 3.
//!                 Err(fault) => eprintln!("{fault}"),
//!             }
//!         }
//!
//!         // 3. Write what is due: our frames, then those of the connection.
//!         connection.poll_transmit(&mut out);
//!         stream.write_all(&out)?;
//!         out.clear();
//!     }
//!     Ok(())
//! }
//! #
//! # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! # let mut client = TcpStream::connect(listener.local_addr()?)?;
//! # let server = std::thread::spawn(move || echo(listener.accept()?.0));
//! # // The masked "Hello" of RFC 6455 §5.7, cut in two, then a ping and a close frame, unmasked by a
//! # // key of zeros.
//! # client.write_all(b"\x81\x85\x37\xfa\x21")?;
//! # client.write_all(b"\x3d\x7f\x9f\x4d\x51\x58")?;
//! # client.write_all(b"\x89\x82\0\0\0\0hi\x88\x82\0\0\0\0\x03\xe8")?;
//! # let mut answer = Vec::new();
//! # client.read_to_end(&mut answer)?;
//! # assert_eq!(answer, b"\x81\x05Hello\x8a\x02hi\x88\x02\x03\xe8");
//! # server.join().unwrap()?;
//! # Ok::<(), io::Error>(())
//! ```
//!
//! The other side, and the same server as a program, are in `examples/echo.rs`.
//!
//! # The protocol in a page
//!
//! After the opening handshake both sides send **frames**, each a header and a payload (§5.2):
//!
//! ```text
//!   0               1               2               3
//!   0 1 2 3 4 5 6 7 0 1 2 3 4 5 6 7 0 1 2 3 4 5 6 7 0 1 2 3 4 5 6 7
//!  +-+-+-+-+-------+-+-------------+-------------------------------+
//!  |F|R|R|R| opcode|M| length      | length again, in 16 or 64 bits|
//!  |I|S|S|S|       |A| 0..=125, or | if the short one is 126 or 127|
//!  |N|V|V|V|       |S| 126, or 127 |                               |
//!  | |1|2|3|       |K|             |                               |
//!  +-+-+-+-+-------+-+-------------+-------------------------------+
//!  | masking key, 4 bytes, if MASK is set: always from a client,   |
//!  | never from a server                                           |
//!  +---------------------------------------------------------------+
//!  | payload, each byte combined with a byte of the key            |
//!  +---------------------------------------------------------------+
//! ```
//!
//! A **message**, text or binary, is one frame with FIN set, or a frame without it, *continuation*
//! frames, and a last one with FIN (§5.4):
//!
//! ```text
//!  fin=0 text "Hel"    fin=1 ping "?"    fin=0 continuation "lo "    fin=1 continuation "world"
//!  └────────────┬───────────┼──────────────────────┴─────────────────────────────┘
//!          one message      └ a control frame may come between
//! ```
//!
//! **Control frames** are short and whole. A *ping* is answered by a *pong* with the same payload. A
//! *close* is answered by a close, and then the TCP connection ends (§5.5, §7): nobody sends anything
//! behind a close frame. Whoever sees the rules broken says why in the status code of its close frame
//! and hangs up ([`ProtocolError::close_code`]).
//!
//! # What is where
//!
//! - [`Connection`] reads; its documentation says in which order its methods are to be called, and
//!   what memory a peer can make it use. [`Limits`] bound it.
//! - [`write_frame`], [`Frame`] and [`Prepared`] write: into a buffer that frames share, a payload that
//!   exists already, one frame for many recipients.
//! - [`Header`] and [`mask`] are the frame layer by itself.
//! - The feature `tokio` adds the module `tokio`: a stream and a sink of owned items over anything
//!   that tokio can read and write. `examples/echo_server.rs` and `examples/echo_client.rs` show it.
//! - The feature `codec` adds the module `codec`: the same items for `tokio_util::codec`.
//!
//! Not here: the opening handshake (`ws-handshake`) and the compression of payloads (permessage-deflate,
//! RFC 7692), for which [`Connection::with_deflate`] leaves the door open.

mod assembler;
mod close;
#[cfg(feature = "codec")]
pub mod codec;
mod connection;
mod control;
mod error;
#[cfg(any(feature = "codec", feature = "tokio"))]
mod face;
mod frame;
mod header;
mod limits;
mod mask;
mod message;
mod reader;
mod text;
#[cfg(feature = "tokio")]
pub mod tokio;

pub use close::{CloseCode, CloseFrame};
pub use connection::{Connection, Role};
pub use control::{End, State};
pub use error::ProtocolError;
pub use frame::{Frame, Prepared, write_frame, write_frame_as};
pub use header::{Header, HeaderBytes, OpCode};
pub use limits::Limits;
pub use mask::{Masker, mask};
pub use message::{Kind, Message};

/// The example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
