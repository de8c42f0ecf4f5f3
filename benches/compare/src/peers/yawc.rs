use futures_util::SinkExt as _;
use yawc::{CompressionLevel, Frame, Options, Role, WebSocket};

use crate::case::{Case, Takeover};
use crate::peer::{Flush, Mask, Peer, Seen};
use crate::wire::{Wire, now};

pub struct Yawc;

impl Peer for Yawc {
    fn name(&self) -> &'static str {
        "yawc"
    }

    fn package(&self) -> &'static str {
        "yawc"
    }

    fn mask(&self) -> Option<Mask> {
        Some(yawc::mask::apply_mask)
    }

    fn decode(&self, case: &Case) -> Seen {
        let wire = Wire::new(&case.stream, case.chunk);
        let mut socket = WebSocket::from_stream(wire, Role::Server, options()).expect("a socket");
        now(read(&mut socket, case.count))
    }

    fn encode(&self, case: &Case, flush: Flush) {
        let socket = WebSocket::from_stream(Wire::sink(), Role::Server, options());
        now(write(socket.expect("a socket"), case, flush));
    }

    fn inflate(&self, case: &Case, takeover: Takeover) -> Option<Seen> {
        let wire = Wire::new(&case.stream, case.chunk);
        Some(now(read(&mut compressed(wire, takeover), case.count)))
    }

    fn deflate(&self, case: &Case, takeover: Takeover) -> Option<()> {
        now(write(
            compressed(Wire::sink(), takeover),
            case,
            Flush::AtTheEnd,
        ));
        Some(())
    }
}

async fn read(socket: &mut WebSocket<Wire>, count: usize) -> Seen {
    let mut seen = Seen::default();
    for _ in 0..count {
        seen.message(socket.next_frame().await.expect("well-formed").payload());
    }
    seen
}

async fn write(mut socket: WebSocket<Wire>, case: &Case, flush: Flush) {
    for _ in 0..case.count {
        let payload = case.payload.clone();
        let frame = match case.text {
            true => Frame::text(payload),
            false => Frame::binary(payload),
        };
        match flush {
            Flush::AtTheEnd => socket.feed(frame).await,
            Flush::Each => socket.send(frame).await,
        }
        .expect("it is written");
    }
    socket.flush().await.expect("it is written");
}

fn options() -> Options {
    Options::default().with_utf8().with_limits(1 << 26, 1 << 27)
}

fn compressed(wire: Wire, takeover: Takeover) -> WebSocket<Wire> {
    let options = options().with_compression_level(CompressionLevel::new(6));
    let (options, agreed) = match takeover {
        Takeover::Yes => (options, "permessage-deflate"),
        Takeover::No => (
            options
                .server_no_context_takeover()
                .client_no_context_takeover(),
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        ),
    };
    WebSocket::from_stream_with_extensions(wire, Role::Server, Some(agreed), options)
        .expect("a socket")
}
