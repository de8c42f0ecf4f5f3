//! What the fuzz target of the HTTP side checks: any bytes, on our own listener and on hyper alike, get
//! answers that are HTTP, the same on both roads, and leave nothing behind.

use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use sio_server::{Config, Io, Runtime, Server};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

/// The bytes of one connection: the first says how they are cut into writes, the rest is sent.
pub(crate) fn http_roads(data: &[u8]) {
    let Some((cut, data)) = data.split_first() else {
        return;
    };
    // A runtime for each input, so that what is left when it ends is left by the server.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be had");
    let (own, ours) = server();
    let (service, theirs) = server();
    let statuses = runtime.block_on(async {
        let bound = own.runtime(Runtime::MultiThread);
        let bound = bound.bind("127.0.0.1:0").await.expect("a port is free");
        let address = bound.local_addr();
        tokio::spawn(bound.serve());
        let stream = TcpStream::connect(address).await.expect("it listens");
        let own = talk(stream, data, *cut).await;

        let service = service.into_service().expect("the settings go together");
        let (near, far) = tokio::io::duplex(64 << 10);
        let http = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .max_buf_size(24 << 10)
            .serve_connection(TokioIo::new(far), service)
            .with_upgrades();
        tokio::spawn(async move {
            let _ = http.await;
        });
        let hyper = talk(near, data, *cut).await;
        (status(&own), status(&hyper))
    });
    drop(runtime);
    for io in [ours, theirs] {
        assert_eq!(io.connections(), 0, "a session is left");
        assert!(io.is_empty(), "a socket is left");
    }
    assert_eq!(statuses.0, statuses.1, "the roads differ");
}

fn server() -> (Server, Io) {
    let server = Server::new().config(Config::default()).on(
        "echo",
        async |socket, value: sio_server::Value| {
            socket.emit("echo", &value);
        },
    );
    let io = server.io();
    (server, io)
}

/// Sends `data` in pieces, and returns all that comes back until the other side is done.
async fn talk(stream: impl AsyncRead + AsyncWrite + Send, data: &[u8], cut: u8) -> Vec<u8> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let send = async {
        // 0 is all at once, which is how our own listener reads a head itself.
        let piece = match cut {
            0 => data.len().max(1),
            cut => usize::from(cut),
        };
        for piece in data.chunks(piece) {
            if writer.write_all(piece).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
        let _ = writer.shutdown().await;
    };
    let mut received = Vec::new();
    let receive = async {
        let _ = reader.read_to_end(&mut received).await;
    };
    let both = async { tokio::join!(send, receive) };
    let done = tokio::time::timeout(Duration::from_secs(20), both).await;
    assert!(done.is_ok(), "the connection does not end");
    received
}

/// The status of the first answer; `None` if there was none.
fn status(answer: &[u8]) -> Option<u16> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut fields);
    let parsed = head.parse(answer).expect("an answer is HTTP");
    parsed.is_complete().then_some(())?;
    head.code
}
