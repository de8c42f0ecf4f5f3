use fastwebsockets::{FragmentCollector, Frame, Payload, Role, WebSocket};

use crate::case::Case;
use crate::peer::{Flush, Mask, Peer, Seen};
use crate::wire::{Wire, now};

pub struct FastWebsockets;

impl Peer for FastWebsockets {
    fn name(&self) -> &'static str {
        "fastwebsockets"
    }

    fn package(&self) -> &'static str {
        "fastwebsockets"
    }

    fn mask(&self) -> Option<Mask> {
        Some(fastwebsockets::unmask)
    }

    fn decode(&self, case: &Case) -> Seen {
        let wire = Wire::new(&case.stream, case.chunk);
        let mut socket = WebSocket::after_handshake(wire, Role::Server);
        socket.set_max_message_size(usize::MAX);
        // Without the collector text would not be checked.
        let mut socket = FragmentCollector::new(socket);
        now(async {
            let mut seen = Seen::default();
            for _ in 0..case.count {
                seen.message(&socket.read_frame().await.expect("well-formed").payload);
            }
            seen
        })
    }

    fn encode(&self, case: &Case, flush: Flush) {
        let mut socket = WebSocket::after_handshake(Wire::sink(), Role::Server);
        now(async {
            for _ in 0..case.count {
                let payload = Payload::Borrowed(&case.payload);
                let frame = match case.text {
                    true => Frame::text(payload),
                    false => Frame::binary(payload),
                };
                socket.write_frame(frame).await.expect("it is written");
                if flush == Flush::Each {
                    socket.flush().await.expect("it is written");
                }
            }
            socket.flush().await.expect("it is written");
        });
    }
}
