//! A WebSocket echo server: `cargo run -p ws-frame --features tokio --example echo_server`.

use std::{error::Error, io};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use ws_frame::tokio::{Item, WebSocket};
use ws_frame::{Connection, Limits, Role};
use ws_handshake::{Policy, Upgrade};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:9001").await?;
    println!("listening on ws://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            if let Err(error) = serve(stream).await {
                eprintln!("{error}");
            }
        });
    }
}

/// Whatever comes goes back.
async fn serve(mut stream: TcpStream) -> Result<(), Box<dyn Error + Send + Sync>> {
    shake_hands(&mut stream).await?;
    let connection = Connection::new(Role::Server, Limits::default());
    let mut socket = WebSocket::server(stream, connection);
    while let Some(item) = socket.next().await {
        // Pings and the close frame are answered already.
        if let item @ (Item::Text(_) | Item::Binary(_)) = item? {
            socket.send(item).await?;
        }
    }
    Ok(())
}

/// The opening handshake. Bring your own HTTP: this reads no more of it than a WebSocket needs. A
/// client that sends frames before it has the answer would need `WebSocket::with_input`.
async fn shake_hands(stream: &mut TcpStream) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > 8192 || stream.read_buf(&mut head).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::InvalidData).into());
        }
    }
    let head = str::from_utf8(&head)?;
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    let headers: Vec<_> = fields.collect();
    let method = head.split(' ').next().unwrap_or_default();
    let upgrade = Upgrade::check(method, http::Version::HTTP_11, &headers)?;
    let mut answer = Vec::new();
    upgrade
        .agree(&Policy::default())
        .write_response(&mut answer, []);
    Ok(stream.write_all(&answer).await?)
}
