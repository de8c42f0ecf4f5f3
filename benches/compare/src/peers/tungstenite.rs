use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, Utf8Bytes, WebSocket};

use crate::case::Case;
use crate::peer::{Flush, Peer, Seen};
use crate::wire::Wire;

pub struct Tungstenite;

impl Peer for Tungstenite {
    fn name(&self) -> &'static str {
        "tungstenite"
    }

    fn package(&self) -> &'static str {
        "tungstenite"
    }

    fn decode(&self, case: &Case) -> Seen {
        let config = WebSocketConfig::default()
            .max_message_size(None)
            .max_frame_size(None);
        let wire = Wire::new(&case.stream, case.chunk);
        let mut socket = WebSocket::from_raw_socket(wire, Role::Server, Some(config));
        let mut seen = Seen::default();
        for _ in 0..case.count {
            match socket.read().expect("well-formed") {
                Message::Text(text) => seen.message(text.as_bytes()),
                Message::Binary(payload) => seen.message(&payload),
                other => panic!("no {other:?} was sent"),
            }
        }
        seen
    }

    fn encode(&self, case: &Case, flush: Flush) {
        let mut socket = WebSocket::from_raw_socket(Wire::sink(), Role::Server, None);
        let message = match case.text {
            true => Message::Text(Utf8Bytes::try_from(case.payload.clone()).expect("text")),
            false => Message::Binary(case.payload.clone()),
        };
        for _ in 0..case.count {
            match flush {
                Flush::AtTheEnd => socket.write(message.clone()),
                Flush::Each => socket.send(message.clone()),
            }
            .expect("it is written");
        }
        socket.flush().expect("it is written");
    }
}
