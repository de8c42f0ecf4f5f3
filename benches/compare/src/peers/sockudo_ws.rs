//! In both of its shapes: the parser over a buffer that the caller fills, and the stream.

use std::io::Write as _;

use bytes::BytesMut;
use futures_util::{SinkExt as _, StreamExt as _};
use sockudo_ws::protocol::{CompressedProtocol, Protocol as Parser};
use sockudo_ws::{
    Config, DeflateConfig, Http1, Message, Role, Stream as Transport, WebSocketStream,
};

use crate::case::{Case, Takeover};
use crate::peer::{Flush, Mask, Peer, Seen};
use crate::wire::{Wire, now};

const LIMIT: usize = 1 << 30;

/// Without I/O.
pub struct Protocol;

impl Peer for Protocol {
    fn name(&self) -> &'static str {
        "sockudo-ws, parser"
    }

    fn package(&self) -> &'static str {
        "sockudo-ws"
    }

    fn mask(&self) -> Option<Mask> {
        Some(sockudo_ws::simd::apply_mask)
    }

    fn decode(&self, case: &Case) -> Seen {
        let mut parser = Parser::new(Role::Server, LIMIT, LIMIT);
        read(case, |buf, messages| {
            parser.process_into(buf, messages).expect("well-formed");
        })
    }

    fn encode(&self, case: &Case, flush: Flush) {
        let mut parser = Parser::new(Role::Server, LIMIT, LIMIT);
        let (message, mut out) = (message(case), BytesMut::with_capacity(64 << 10));
        let mut wire = Wire::sink();
        for _ in 0..case.count {
            parser.encode_message(&message, &mut out).expect("it fits");
            if out.len() >= 32 << 10 || flush == Flush::Each {
                wire.write_all(&out).expect("it is written");
                out.clear();
            }
        }
        wire.write_all(&out).expect("it is written");
    }

    fn inflate(&self, case: &Case, takeover: Takeover) -> Option<Seen> {
        let mut parser = CompressedProtocol::server(LIMIT, LIMIT, terms(takeover));
        Some(read(case, |buf, messages| {
            parser.process_into(buf, messages).expect("well-formed");
        }))
    }

    fn deflate(&self, case: &Case, takeover: Takeover) -> Option<()> {
        let mut parser = CompressedProtocol::server(LIMIT, LIMIT, terms(takeover));
        let (message, mut out) = (message(case), BytesMut::with_capacity(64 << 10));
        let mut wire = Wire::sink();
        for _ in 0..case.count {
            parser.encode_message(&message, &mut out).expect("it fits");
            wire.write_all(&out).expect("it is written");
            out.clear();
        }
        Some(())
    }
}

fn read(case: &Case, mut process: impl FnMut(&mut BytesMut, &mut Vec<Message>)) -> Seen {
    let mut wire = Wire::new(&case.stream, case.chunk);
    let (mut buf, mut messages) = (BytesMut::with_capacity(case.chunk), Vec::new());
    let mut seen = Seen::default();
    loop {
        let bytes = wire.recv(case.chunk);
        if bytes.is_empty() {
            return seen;
        }
        buf.extend_from_slice(bytes);
        process(&mut buf, &mut messages);
        for message in &messages {
            see(message, &mut seen);
        }
    }
}

fn see(message: &Message, seen: &mut Seen) {
    match message {
        Message::Text(payload) | Message::Binary(payload) => seen.message(payload),
        other => panic!("no {other:?} was sent"),
    }
}

fn message(case: &Case) -> Message {
    match case.text {
        true => Message::Text(case.payload.clone()),
        false => Message::Binary(case.payload.clone()),
    }
}

fn terms(takeover: Takeover) -> DeflateConfig {
    DeflateConfig {
        server_no_context_takeover: takeover == Takeover::No,
        client_no_context_takeover: takeover == Takeover::No,
        compression_level: 6,
        ..DeflateConfig::default()
    }
}

/// Over tokio's traits.
pub struct Stream;

impl Peer for Stream {
    fn name(&self) -> &'static str {
        "sockudo-ws, stream"
    }

    fn package(&self) -> &'static str {
        "sockudo-ws"
    }

    fn decode(&self, case: &Case) -> Seen {
        let wire = Wire::new(&case.stream, case.chunk);
        let mut socket = WebSocketStream::server(Transport::<Http1>::new(wire), config());
        now(async {
            let mut seen = Seen::default();
            for _ in 0..case.count {
                let message = socket.next().await.expect("more").expect("well-formed");
                see(&message, &mut seen);
            }
            seen
        })
    }

    fn encode(&self, case: &Case, flush: Flush) {
        let transport = Transport::<Http1>::new(Wire::sink());
        let mut socket = WebSocketStream::server(transport, config());
        let message = message(case);
        now(async {
            for _ in 0..case.count {
                match flush {
                    Flush::AtTheEnd => socket.feed(message.clone()).await,
                    Flush::Each => socket.send(message.clone()).await,
                }
                .expect("it is written");
            }
            socket.flush().await.expect("it is written");
        });
    }
}

/// Without timers.
fn config() -> Config {
    Config {
        max_message_size: LIMIT,
        max_frame_size: LIMIT,
        idle_timeout: 0,
        auto_ping: false,
        ..Config::default()
    }
}
