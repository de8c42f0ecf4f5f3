use futures_util::{SinkExt as _, StreamExt as _};
use tokio_websockets::{Config, Limits, Message, ServerBuilder};

use crate::case::Case;
use crate::peer::{Flush, Peer, Seen};
use crate::wire::{Wire, now};

pub struct TokioWebsockets;

impl Peer for TokioWebsockets {
    fn name(&self) -> &'static str {
        "tokio-websockets"
    }

    fn package(&self) -> &'static str {
        "tokio-websockets"
    }

    fn decode(&self, case: &Case) -> Seen {
        let mut socket = ServerBuilder::new()
            .limits(Limits::unlimited())
            .serve(Wire::new(&case.stream, case.chunk));
        now(async {
            let mut seen = Seen::default();
            for _ in 0..case.count {
                let message = socket.next().await.expect("more").expect("well-formed");
                seen.message(message.as_payload());
            }
            seen
        })
    }

    fn encode(&self, case: &Case, flush: Flush) {
        // It cuts messages into frames of 4 MiB unless told otherwise.
        let mut socket = ServerBuilder::new()
            .config(Config::default().frame_size(usize::MAX))
            .serve(Wire::sink());
        now(async {
            for _ in 0..case.count {
                let payload = case.payload.clone();
                let message = match case.text {
                    true => Message::text(payload),
                    false => Message::binary(payload),
                };
                match flush {
                    Flush::AtTheEnd => socket.feed(message).await,
                    Flush::Each => socket.send(message).await,
                }
                .expect("it is written");
            }
            socket.flush().await.expect("it is written");
        });
    }
}
