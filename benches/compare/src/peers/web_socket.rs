//! It reads a header in pieces, so it is given a `BufReader`; it does not check text, so the adapter
//! does.

use tokio::io::BufReader;
use web_socket::{DataType, Event, MessageType, WebSocket};

use crate::case::Case;
use crate::peer::{Flush, Peer, Seen};
use crate::wire::{Wire, now};

pub struct WebSocketCrate;

impl Peer for WebSocketCrate {
    fn name(&self) -> &'static str {
        "web-socket"
    }

    fn package(&self) -> &'static str {
        "web-socket"
    }

    fn decode(&self, case: &Case) -> Seen {
        let wire = Wire::new(&case.stream, case.chunk);
        let mut socket = WebSocket::server(BufReader::with_capacity(case.chunk, wire));
        socket.max_payload_len = 1 << 30;
        now(async {
            let mut seen = Seen::default();
            for _ in 0..case.count {
                match socket.recv().await.expect("well-formed") {
                    Event::Data { ty, data } => {
                        if let DataType::Complete(MessageType::Text) = ty {
                            std::str::from_utf8(&data).expect("it is text");
                        }
                        seen.message(&data);
                    }
                    _ => panic!("only data was sent"),
                }
            }
            seen
        })
    }

    fn encode(&self, case: &Case, _: Flush) {
        let mut socket = WebSocket::server(Wire::sink());
        let text = std::str::from_utf8(&case.payload).unwrap_or_default();
        now(async {
            for _ in 0..case.count {
                match case.text {
                    true => socket.send(text).await,
                    false => socket.send(&case.payload[..]).await,
                }
                .expect("it is written");
            }
        });
    }
}
