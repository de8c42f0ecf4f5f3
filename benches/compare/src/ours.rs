//! ws-frame and ws-deflate, in two shapes: the machine that lends what it reads, and the stream and sink
//! of owned items.

use std::io::{IoSlice, Read as _, Write as _};

use bytes::BufMut as _;
use ws_deflate::{Budget, Deflate, DeflateConfig, Encoding, Inflate, InflateConfig, Pool};
use ws_frame::tokio::{Item, WebSocket};
use ws_frame::{
    Connection, Frame, Header, Limits, Message, OpCode, Prepared, Role, write_frame, write_frame_as,
};

use crate::case::{Case, Takeover};
use crate::peer::{Flush, Mask, Peer, Seen};
use crate::wire::{Wire, now};

/// Frames from here on are not copied to be sent, nor read into the scratch.
const LARGE: usize = 8 << 10;

const SCRATCH: usize = 64 << 10;

/// Behind a large message so much is read: the next may be as large, and what is read beyond its header
/// would have to be moved.
const LITTLE: usize = 512;

const LIMITS: Limits = Limits {
    max_message: 1 << 30,
    max_fragments: 16_384,
    control_burst: 200,
    control_per_second: 50,
};

/// Messages lent from a scratch that all connections of a thread share.
pub struct Lent;

impl Peer for Lent {
    fn name(&self) -> &'static str {
        "**ws-frame**"
    }

    fn package(&self) -> &'static str {
        "ws-frame"
    }

    fn mask(&self) -> Option<Mask> {
        Some(ws_frame::mask)
    }

    fn decode(&self, case: &Case) -> Seen {
        let mut seen = Seen::default();
        receive(
            case,
            Connection::new(Role::Server, LIMITS),
            |message| match message {
                Message::Text(text) => seen.message(text.as_bytes()),
                Message::Binary(payload) => seen.message(payload),
                other => panic!("no {other:?} was sent"),
            },
        );
        seen
    }

    fn encode(&self, case: &Case, flush: Flush) {
        let opcode = match case.text {
            true => OpCode::Text,
            false => OpCode::Binary,
        };
        let mut wire = Wire::sink();
        if flush == Flush::Each {
            // One frame for all.
            let frame = Prepared::write(opcode, case.payload.len(), |out| {
                out.extend_from_slice(&case.payload);
            });
            for _ in 0..case.count {
                let frame = std::hint::black_box(&frame);
                wire.write_all(frame.wire()).expect("it is written");
            }
            return;
        }
        let mut out = Vec::with_capacity(64 << 10);
        for _ in 0..case.count {
            if case.payload.len() >= LARGE {
                let frame = Frame::new(opcode, case.payload.clone());
                let mut slices = [IoSlice::new(&[]); 2];
                let count = bytes::Buf::chunks_vectored(&frame, &mut slices);
                wire.put_vectored(&slices[..count]);
            } else {
                write_frame(&mut out, opcode, case.payload.len(), |out| {
                    out.extend_from_slice(&case.payload);
                });
                if out.len() >= 48 << 10 {
                    wire.write_all(&out).expect("it is written");
                    out.clear();
                }
            }
        }
        wire.write_all(&out).expect("it is written");
    }

    fn inflate(&self, case: &Case, takeover: Takeover) -> Option<Seen> {
        let mut pool = Pool::new(Budget::new(1 << 20));
        let terms = InflateConfig {
            context_takeover: takeover == Takeover::Yes,
            ..InflateConfig::default()
        };
        let mut inflate = Inflate::new(terms, &pool).expect("the budget is large");
        let connection = Connection::new(Role::Server, LIMITS).with_deflate();
        let mut seen = Seen::default();
        let mut text = Vec::new();
        receive(case, connection, |message| {
            let Message::Compressed { payload, .. } = message else {
                panic!("only compressed messages were sent");
            };
            text.clear();
            inflate
                .inflate(&mut pool, payload, LIMITS.max_message, &mut text)
                .expect("well-formed");
            simdutf8::basic::from_utf8(&text).expect("it is text");
            seen.message(&text);
        });
        Some(seen)
    }

    fn deflate(&self, case: &Case, takeover: Takeover) -> Option<()> {
        let mut pool = Pool::new(Budget::new(1 << 20));
        let mut deflate = Deflate::new(DeflateConfig {
            context_takeover: takeover == Takeover::Yes,
            level: 6,
            threshold: 0,
            ..DeflateConfig::default()
        });
        let mut wire = Wire::sink();
        let mut out = Vec::with_capacity(64 << 10);
        let header = Header {
            rsv: Header::RSV1,
            ..Header::new(OpCode::Text, case.payload.len() as u64 / 4)
        };
        for _ in 0..case.count {
            write_frame_as(&mut out, header, |out| {
                let encoding = deflate.deflate(&mut pool, &case.payload, out);
                assert_eq!(encoding, Encoding::Deflated);
            });
            wire.write_all(&out).expect("it is written");
            out.clear();
        }
        Some(())
    }
}

/// Reads the stream as a server does: into the scratch, and the rest of a large payload straight into
/// the buffer of its message.
fn receive(case: &Case, mut connection: Connection, mut each: impl FnMut(Message<'_>)) {
    let mut wire = Wire::new(&case.stream, case.chunk);
    let mut scratch = vec![0; SCRATCH];
    let mut spare = Vec::new();
    let mut room = SCRATCH;
    loop {
        let mut count = 0;
        if connection.want() >= LARGE
            && let Some(mut space) = connection.space()
        {
            let bytes = wire.recv(space.remaining_mut());
            space.put_slice(bytes);
        } else {
            if connection.want() >= LARGE {
                room = SCRATCH;
            }
            count = wire.read(&mut scratch[..room]).expect("in memory");
            if count == 0 {
                return;
            }
        }
        let mut input = &mut scratch[..count];
        while let Some(message) = connection
            .receive_pooled(&mut input, &mut spare)
            .expect("well-formed")
        {
            room = match message {
                Message::Text(text) if text.len() >= LARGE => LITTLE,
                Message::Binary(payload) if payload.len() >= LARGE => LITTLE,
                _ => SCRATCH,
            };
            each(message);
        }
    }
}

/// The stream and sink over tokio's traits.
pub struct Owned;

impl Peer for Owned {
    fn name(&self) -> &'static str {
        "**ws-frame, stream**"
    }

    fn package(&self) -> &'static str {
        "ws-frame"
    }

    fn decode(&self, case: &Case) -> Seen {
        let wire = Wire::new(&case.stream, case.chunk);
        let mut socket = WebSocket::server(wire, Connection::new(Role::Server, LIMITS));
        now(async {
            let mut seen = Seen::default();
            for _ in 0..case.count {
                match socket.next().await.expect("more").expect("well-formed") {
                    Item::Text(text) => seen.message(text.as_bytes()),
                    Item::Binary(payload) => seen.message(&payload),
                    other => panic!("no {other:?} was sent"),
                }
            }
            seen
        })
    }

    fn encode(&self, case: &Case, flush: Flush) {
        let connection = Connection::new(Role::Server, LIMITS);
        let mut socket = WebSocket::server(Wire::sink(), connection);
        let item = match case.text {
            true => Item::Text(case.payload.clone().try_into().expect("it is text")),
            false => Item::Binary(case.payload.clone()),
        };
        now(async {
            for _ in 0..case.count {
                match flush {
                    Flush::AtTheEnd => socket.feed(item.clone()).await,
                    Flush::Each => socket.send(item.clone()).await,
                }
                .expect("it is written");
            }
            socket.flush().await.expect("it is written");
        });
    }
}
