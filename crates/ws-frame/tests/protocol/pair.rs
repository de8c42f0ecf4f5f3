//! A client and a server that talk to each other, over a network that cuts where it likes.
//!
//! The fuzz target `pair` calls [`pair`] with a script. Whatever both do, in whatever order:
//!
//! - what one sent before its close frame the other shows, in order, whole, and nothing else;
//! - neither finds a fault in the other;
//! - every ping is answered, or the answer of a later one stands for it (§5.5.3);
//! - once one of them has closed and all has been delivered, both are closed and done;
//! - if a byte was changed on the way, nothing panics, and a connection that failed says nothing more.

use std::time::Duration;

use ws_frame::{
    CloseCode, CloseFrame, Connection, Header, Kind, Limits, Message, OpCode, Role, State,
    write_frame_as,
};

use crate::oracle::Event;

/// Room for whatever a script can send.
const LIMITS: Limits = Limits {
    max_message: 1 << 20,
    max_fragments: u32::MAX,
    control_burst: u16::MAX,
    control_per_second: u16::MAX,
};

/// Fuzz target `pair`: a byte that settles compression, then three bytes for each step: what, how much,
/// with which bytes.
pub(crate) fn pair(script: &[u8]) {
    let Some((&flags, steps)) = script.split_first() else {
        return;
    };
    let deflate = flags & 1 == 1;
    let mut pair = [
        Side::new(Role::Client, deflate),
        Side::new(Role::Server, deflate),
    ];
    let mut changed = false;
    for &[what, count, fill] in steps.as_chunks::<3>().0 {
        let [one, other] = &mut pair;
        let (one, other) = match what & 1 {
            0 => (one, other),
            _ => (other, one),
        };
        let len = usize::from(count) << (fill & 3);
        match what >> 1 & 7 {
            0 => {
                let text: String = "ä€😀x".chars().cycle().take(len).collect();
                one.fragment(Kind::Text, text.as_bytes(), fill & 4 == 0);
            }
            1 => one.fragment(Kind::Binary, &vec![fill; len], fill & 4 == 0),
            2 => one.control(OpCode::Ping, &vec![fill; usize::from(count).min(125)]),
            3 => one.control(OpCode::Pong, &[fill]),
            4 if fill > 250 => one.close(None),
            4 => {
                let reason = "bye".repeat(usize::from(count % 41));
                one.close(CloseFrame::new(CloseCode::NORMAL, &reason));
            }
            5 if fill == 255 && count > 200 && !one.wire.is_empty() => {
                let at = usize::from(what) % one.wire.len();
                one.wire[at] ^= count;
                changed = true;
            }
            5 => other
                .connection
                .handle_elapsed(Duration::from_millis(count.into())),
            _ => one.deliver(other, len),
        }
    }
    let [client, server] = &mut pair;
    while !client.wire.is_empty() || !server.wire.is_empty() {
        client.deliver(server, usize::MAX);
        server.deliver(client, usize::MAX);
    }
    if !changed {
        client.check(server);
        server.check(client);
    }
}

struct Side {
    connection: Connection,
    deflate: bool,
    /// What has left and not arrived.
    wire: Vec<u8>,
    /// What the other side is to be shown, and what was shown here; pongs apart.
    said: Vec<Event>,
    heard: Vec<Event>,
    /// The message under way.
    open: Option<Event>,
    pings: Vec<Vec<u8>>,
    pongs: Vec<Vec<u8>>,
    /// A close frame is among what has left.
    closed: bool,
    keys: u32,
}

impl Side {
    fn new(role: Role, deflate: bool) -> Self {
        let connection = Connection::new(role, LIMITS);
        Self {
            connection: match deflate {
                true => connection.with_deflate(),
                false => connection,
            },
            deflate,
            wire: Vec::new(),
            said: Vec::new(),
            heard: Vec::new(),
            open: None,
            pings: Vec::new(),
            pongs: Vec::new(),
            closed: false,
            keys: 0,
        }
    }

    fn speaks(&self) -> bool {
        self.connection.state() == State::Open
    }

    /// Begins a message or goes on with the one under way.
    fn fragment(&mut self, kind: Kind, payload: &[u8], fin: bool) {
        if !self.speaks() {
            return;
        }
        let (opcode, rsv) = match (&self.open, kind) {
            (Some(_), _) => (OpCode::Continuation, 0),
            (None, Kind::Text) => (OpCode::Text, 0),
            (None, Kind::Binary) if self.deflate => (OpCode::Binary, Header::RSV1),
            (None, Kind::Binary) => (OpCode::Binary, 0),
        };
        let event = self.open.get_or_insert_with(|| match kind {
            Kind::Text => Event::Text(String::new()),
            Kind::Binary if self.deflate => Event::Compressed(kind, Vec::new()),
            Kind::Binary => Event::Binary(Vec::new()),
        });
        // A fragment of text is whole characters here; `chunks.rs` cuts inside of them.
        let payload = match event {
            Event::Text(text) => {
                let piece = std::str::from_utf8(payload).unwrap_or("?");
                text.push_str(piece);
                piece.as_bytes()
            }
            Event::Binary(bytes) | Event::Compressed(_, bytes) => {
                bytes.extend_from_slice(payload);
                payload
            }
            _ => unreachable!("no message is a control frame"),
        };
        self.frame(fin, rsv, opcode, payload);
        if fin && let Some(event) = self.open.take() {
            self.said.push(event);
        }
    }

    fn control(&mut self, opcode: OpCode, payload: &[u8]) {
        if !self.speaks() {
            return;
        }
        if opcode == OpCode::Ping {
            self.pings.push(payload.to_vec());
            self.said.push(Event::Ping(payload.to_vec()));
        }
        self.frame(true, 0, opcode, payload);
    }

    fn frame(&mut self, fin: bool, rsv: u8, opcode: OpCode, payload: &[u8]) {
        let mask = (self.connection.role() == Role::Client).then(|| self.key());
        let header = Header {
            fin,
            rsv,
            opcode,
            mask,
            len: payload.len() as u64,
        };
        write_frame_as(&mut self.wire, header, |out| out.extend_from_slice(payload));
    }

    fn close(&mut self, frame: Option<CloseFrame<'_>>) {
        if self.speaks() {
            self.said.push(Event::Close(
                frame.map(|frame| (frame.code().get(), frame.reason().to_owned())),
            ));
        }
        self.connection.close(frame);
        self.transmit();
    }

    /// Lets `count` bytes arrive at the other side, which answers.
    fn deliver(&mut self, other: &mut Self, count: usize) {
        let count = count.min(self.wire.len());
        let mut bytes: Vec<u8> = self.wire.drain(..count).collect();
        let mut input = bytes.as_mut_slice();
        loop {
            let event = match other.connection.receive(&mut input) {
                Ok(None) => break,
                Err(_) => {
                    assert_eq!(other.connection.state(), State::Failed);
                    other.heard.clear();
                    continue;
                }
                Ok(Some(Message::Pong(payload))) => {
                    other.pongs.push(payload.to_vec());
                    continue;
                }
                Ok(Some(Message::Text(text))) => Event::Text(text.to_owned()),
                Ok(Some(Message::Binary(payload))) => Event::Binary(payload.to_vec()),
                Ok(Some(Message::Compressed { kind, payload })) => {
                    Event::Compressed(kind, payload.to_vec())
                }
                Ok(Some(Message::Ping(payload))) => Event::Ping(payload.to_vec()),
                Ok(Some(Message::Close(frame))) => {
                    Event::Close(frame.map(|frame| (frame.code().get(), frame.reason().to_owned())))
                }
                Ok(Some(_)) => unreachable!("there is no other message"),
            };
            if let Event::Close(frame) = &event
                && other.connection.state() == State::CloseReceived
            {
                let echo = frame.as_ref().map(|(code, _)| (*code, String::new()));
                other.said.push(Event::Close(echo));
            }
            other.heard.push(event);
        }
        assert!(input.is_empty());
        other.transmit();
    }

    fn transmit(&mut self) {
        let due = match self.connection.role() {
            Role::Server => self.connection.poll_transmit(&mut self.wire),
            Role::Client => {
                let keys = &mut self.keys;
                self.connection
                    .poll_transmit_masked(&mut self.wire, || next(keys))
            }
        };
        assert!(
            !(due && self.closed),
            "nothing is sent behind a close frame"
        );
        self.closed |= due && self.connection.state() != State::Open;
    }

    fn key(&mut self) -> [u8; 4] {
        next(&mut self.keys)
    }

    /// All has been delivered.
    fn check(&self, other: &Self) {
        assert_eq!(self.said, other.heard);
        let state = self.connection.state();
        assert_eq!(state, other.connection.state());
        assert!(matches!(state, State::Open | State::Closed), "{state:?}");
        assert_eq!(self.connection.is_finished(), state == State::Closed);
        if state == State::Open {
            // Whatever a flood left out, the newest ping has its pong.
            assert!(
                self.pings
                    .last()
                    .is_none_or(|ping| self.pongs.contains(ping))
            );
        }
    }
}

fn next(keys: &mut u32) -> [u8; 4] {
    *keys = keys.wrapping_mul(0x9e37_79b1).wrapping_add(0x7f4a_7c15);
    keys.to_be_bytes()
}
