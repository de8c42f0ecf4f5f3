//! The decoder beside another one: tungstenite, which the fuzz target `differential` (in `fuzz/` at the
//! root) links as well.
//!
//! Over any stream, in both roles, the two must show the same messages and control frames, answer pings
//! with the same bytes, and agree whether the stream was faulty. Where they differ, and why that is
//! ours to keep:
//!
//! | what comes | here | tungstenite | reason |
//! |---|---|---|---|
//! | a length not in its shortest form, also that of a control frame | 1002 | taken | §5.2: the minimal number of bytes *must* be used |
//! | a close frame with a status code that must not be sent | 1002 | shown as 1002 | §7.4: the peer broke the protocol, so the connection fails |
//! | a close frame with status code 1014 | taken | shown as 1002 | IANA has registered it since the RFC |
//! | a fault in a frame that never arrives whole | at the first byte that cannot be right | the end of the stream | the sender hears of it at once, and nothing is kept for a frame that is lost anyway |
//!
//! Nothing else that tungstenite refuses is taken here.

use std::io::{self, Cursor, Read, Write};

use tungstenite::protocol::{Message, Role as TheirRole, WebSocket, WebSocketConfig};
use ws_frame::{Limits, ProtocolError, Role};

use crate::oracle::{By, Case, Event, Outcome, drive};

/// The longest message both take.
const MAX: usize = 3000;

/// What the other decoder made of a stream.
struct Theirs {
    events: Vec<Event>,
    /// A fault, and not the end of the stream or of the connection.
    refused: bool,
    transmitted: Vec<u8>,
}

/// Fuzz target `differential`: a stream, read in both roles.
pub(crate) fn differential(stream: &[u8]) {
    for role in [Role::Client, Role::Server] {
        let case = Case {
            role,
            deflate: false,
            limits: Limits {
                max_message: MAX,
                max_fragments: u32::MAX,
                control_burst: u16::MAX,
                control_per_second: 0,
            },
            close_after: usize::MAX,
        };
        compare(role, stream, &drive(case, By::Slice, stream, &[]));
    }
}

fn compare(role: Role, stream: &[u8], ours: &Outcome) {
    let theirs = theirs(role, stream);
    let shown = ours.events.len();
    match ours.fault {
        None => {
            assert_eq!(registered(&ours.events), theirs.events);
            if matches!(ours.events.last(), Some(Event::Close(_))) {
                // What comes behind a close frame is discarded (§1.4). A client of theirs goes on
                // reading; and a close is echoed there with its reason, which §5.5.1 leaves open.
                return;
            }
            assert!(!theirs.refused, "refused there, not here: {ours:?}");
            // A client's masking keys are random there.
            if role == Role::Server {
                assert_eq!(ours.transmitted, theirs.transmitted);
            }
        }
        Some(ProtocolError::LengthNotMinimal { .. } | ProtocolError::ControlTooLong) => {
            assert_eq!(ours.events, theirs.events[..shown]);
        }
        Some(ProtocolError::CloseCode { .. }) => {
            // Unless the reason is no text, which is seen first there.
            if theirs.refused && theirs.events == ours.events {
                return;
            }
            let mut expected = ours.events.clone();
            expected.push(Event::Close(Some((1002, "Protocol violation".into()))));
            assert_eq!(expected, theirs.events);
        }
        Some(fault) => {
            assert_eq!(ours.events, theirs.events, "until {fault}");
            assert!(
                theirs.refused || ends_inside_a_frame(stream),
                "refused here, not there: {fault}"
            );
        }
    }
}

/// What is shown there for the status code that is known here alone.
fn registered(events: &[Event]) -> Vec<Event> {
    let mut events = events.to_vec();
    if let Some(Event::Close(frame)) = events.last_mut()
        && frame.as_ref().is_some_and(|(code, _)| *code == 1014)
    {
        *frame = Some((1002, "Protocol violation".into()));
    }
    events
}

fn theirs(role: Role, stream: &[u8]) -> Theirs {
    let role = match role {
        Role::Client => TheirRole::Client,
        Role::Server => TheirRole::Server,
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(256)
        .max_frame_size(Some(MAX))
        .max_message_size(Some(MAX));
    let wire = Wire {
        input: Cursor::new(stream),
        output: Vec::new(),
    };
    let mut socket = WebSocket::from_raw_socket(wire, role, Some(config));
    let mut events = Vec::new();
    let refused = loop {
        match socket.read() {
            Ok(message) => events.push(event(message)),
            Err(error) => break is_fault(&error),
        }
    };
    Theirs {
        events,
        refused,
        transmitted: std::mem::take(&mut socket.get_mut().output),
    }
}

fn event(message: Message) -> Event {
    match message {
        Message::Text(text) => Event::Text(text.to_string()),
        Message::Binary(payload) => Event::Binary(payload.to_vec()),
        Message::Ping(payload) => Event::Ping(payload.to_vec()),
        Message::Pong(payload) => Event::Pong(payload.to_vec()),
        Message::Close(frame) => {
            Event::Close(frame.map(|frame| (frame.code.into(), frame.reason.to_string())))
        }
        Message::Frame(_) => unreachable!("frames are not read"),
    }
}

fn is_fault(error: &tungstenite::Error) -> bool {
    use tungstenite::Error;
    use tungstenite::error::ProtocolError::ResetWithoutClosingHandshake;

    // The end of the stream, with and without a close frame.
    !matches!(
        error,
        Error::ConnectionClosed
            | Error::AlreadyClosed
            | Error::Protocol(ResetWithoutClosingHandshake)
    )
}

/// Whether the last frame of a stream, whatever is wrong with it, is not all there.
fn ends_inside_a_frame(mut stream: &[u8]) -> bool {
    while !stream.is_empty() {
        let Some(size) = frame_size(stream) else {
            return true;
        };
        let Some(rest) = usize::try_from(size)
            .ok()
            .and_then(|size| stream.get(size..))
        else {
            return true;
        };
        stream = rest;
    }
    false
}

fn frame_size(stream: &[u8]) -> Option<u64> {
    let short = stream.get(1)? & 127;
    let extended = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let bytes = stream.get(2..2 + extended)?;
    let long = bytes
        .iter()
        .fold(0, |len, &byte| len << 8 | u64::from(byte));
    let len = if extended == 0 {
        u64::from(short)
    } else {
        long
    };
    let key = if stream[1] >> 7 == 1 { 4 } else { 0 };
    len.checked_add(2 + extended as u64 + key)
}

/// A stream that ends.
struct Wire<'a> {
    input: Cursor<&'a [u8]>,
    output: Vec<u8>,
}

impl Read for Wire<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.input.read(buf)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.output.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
