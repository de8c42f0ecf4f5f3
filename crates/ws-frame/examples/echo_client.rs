//! Says something to `echo_server` and prints what comes back:
//! `cargo run -p ws-frame --features tokio --example echo_client`.

use std::error::Error;
use std::hash::{BuildHasher as _, RandomState};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use ws_frame::tokio::{Item, WebSocket};
use ws_frame::{Connection, Limits, Role};
use ws_handshake::Request;

const HOST: &str = "127.0.0.1:9001";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut stream = TcpStream::connect(HOST).await?;
    shake_hands(&mut stream).await?;
    let connection = Connection::new(Role::Client, Limits::default());
    let mut socket = WebSocket::client(stream, connection, || {
        random().to_be_bytes()[..4]
            .try_into()
            .expect("four of eight")
    });

    socket.feed(Item::Text("Hello".into())).await?;
    socket.send(Item::Binary(vec![1, 2, 3].into())).await?;
    for _ in 0..2 {
        println!("{:?}", socket.next().await.transpose()?);
    }
    // The goodbye is over when the stream of items ends.
    socket.close().await?;
    while let Some(item) = socket.next().await {
        println!("{:?}", item?);
    }
    Ok(())
}

/// The opening handshake. Bring your own HTTP: this reads no more of it than a WebSocket needs.
async fn shake_hands(stream: &mut TcpStream) -> Result<(), Box<dyn Error>> {
    let entropy = u128::from(random()) << 64 | u128::from(random());
    let request = Request::new(HOST, "/", entropy.to_be_bytes());
    let mut bytes = Vec::new();
    request.write(&mut bytes, [])?;
    stream.write_all(&bytes).await?;

    // Byte by byte: what comes behind the head belongs to the frames.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 8192 {
        head.push(stream.read_u8().await?);
    }
    let head = str::from_utf8(&head)?;
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    let headers: Vec<_> = fields.collect();
    let status = head.split(' ').nth(1).unwrap_or_default().parse()?;
    request.check(status, &headers)?;
    Ok(())
}

/// Unpredictable, since the standard library's hasher is keyed by the system.
fn random() -> u64 {
    RandomState::new().hash_one(())
}
