//! Its deflate wants zlib in C, which would be the codec of every library in this program; so it is
//! measured without.

use soketto::base::{Codec, Header, OpCode};
use soketto::connection::{Builder, Mode};

use crate::case::Case;
use crate::peer::{Flush, Mask, Peer, Seen};
use crate::wire::{Wire, now};

pub struct Soketto;

impl Peer for Soketto {
    fn name(&self) -> &'static str {
        "soketto"
    }

    fn package(&self) -> &'static str {
        "soketto"
    }

    fn mask(&self) -> Option<Mask> {
        Some(|payload, key| {
            let mut header = Header::new(OpCode::Binary);
            header.set_masked(true).set_mask(u32::from_be_bytes(key));
            Codec::apply_mask(&header, payload);
        })
    }

    fn decode(&self, case: &Case) -> Seen {
        let mut builder = Builder::new(Wire::new(&case.stream, case.chunk), Mode::Server);
        builder.set_max_message_size(1 << 30);
        builder.set_max_frame_size(1 << 30);
        let (_sender, mut receiver) = builder.finish();
        now(async {
            let mut seen = Seen::default();
            let mut message = Vec::new();
            for _ in 0..case.count {
                message.clear();
                let data = receiver.receive_data(&mut message).await;
                if data.expect("well-formed").is_text() {
                    std::str::from_utf8(&message).expect("it is text");
                }
                seen.message(&message);
            }
            seen
        })
    }

    fn encode(&self, case: &Case, flush: Flush) {
        let (mut sender, _receiver) = Builder::new(Wire::sink(), Mode::Server).finish();
        let text = std::str::from_utf8(&case.payload).unwrap_or_default();
        now(async {
            for _ in 0..case.count {
                match case.text {
                    true => sender.send_text(text).await,
                    false => sender.send_binary(&case.payload).await,
                }
                .expect("it is written");
                if flush == Flush::Each {
                    sender.flush().await.expect("it is written");
                }
            }
            sender.flush().await.expect("it is written");
        });
    }
}
