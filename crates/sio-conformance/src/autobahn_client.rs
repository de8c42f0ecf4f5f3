//! The client's side for the Autobahn suite: `autobahn-client HOST:PORT` asks the suite's server how many
//! cases there are, echoes through each of them, and has the verdicts written. With `forgetful` behind it,
//! it says in its offers that its window does not outlive a message.
//!
//! `ws-handshake` opens, the tokio face of `ws-frame` and `ws-deflate` do the rest.

mod echo;

use std::{
    env,
    error::Error,
    hash::{BuildHasher as _, RandomState},
};

use echo::{Codec, LIMITS, echo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use ws_frame::{
    Connection, Role,
    tokio::{Item, WebSocket},
};
use ws_handshake::{DeflateOffer, DeflateParams, Request};

/// What the reports call us.
const AGENT: &str = "sio-server";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let host = env::args()
        .nth(1)
        .ok_or("usage: autobahn-client HOST:PORT [forgetful]")?;

    let offer = DeflateOffer {
        client_no_context_takeover: env::args().nth(2).as_deref() == Some("forgetful"),
        ..DeflateOffer::default()
    };

    let (mut socket, _) = open(&host, "/getCaseCount", offer).await?;
    let count: u32 = match socket.next().await.transpose()? {
        Some(Item::Text(count)) => count.parse()?,
        other => return Err(format!("{other:?} is no number of cases").into()),
    };
    drop(socket);
    for case in 1..=count {
        let target = format!("/runCase?case={case}&agent={AGENT}");
        let (socket, codec) = open(&host, &target, offer).await?;
        // How a case ends is the suite's to judge, not ours.
        let _ = echo(socket, codec).await;
    }
    let target = format!("/updateReports?agent={AGENT}");
    let (mut socket, _) = open(&host, &target, offer).await?;
    // Once they are written the suite may go without a close frame.
    while let Some(Ok(_)) = socket.next().await {}
    Ok(())
}

/// A WebSocket, and how messages are compressed on it if the server wants that.
async fn open(
    host: &str,
    target: &str,
    offer: DeflateOffer,
) -> Result<(WebSocket<TcpStream>, Option<Codec>), Box<dyn Error>> {
    let mut stream = TcpStream::connect(host).await?;
    let agreed = shake_hands(&mut stream, host, target, offer).await?;
    let codec = agreed.and_then(|agreed| Codec::new(Role::Client, agreed));
    let mut connection = Connection::new(Role::Client, LIMITS);
    if codec.is_some() {
        connection = connection.with_deflate();
    }
    let key = || {
        random().to_be_bytes()[..4]
            .try_into()
            .expect("four of eight")
    };
    Ok((WebSocket::client(stream, connection, key), codec))
}

async fn shake_hands(
    stream: &mut TcpStream,
    host: &str,
    target: &str,
    offer: DeflateOffer,
) -> Result<Option<DeflateParams>, Box<dyn Error>> {
    let entropy = u128::from(random()) << 64 | u128::from(random());
    let mut request = Request::new(host, target, entropy.to_be_bytes());
    request.deflate = Some(offer);
    let mut bytes = Vec::new();
    request.write(&mut bytes, [])?;
    stream.write_all(&bytes).await?;

    // Byte by byte: what comes behind the head belongs to the frames.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 8192 {
        head.push(stream.read_u8().await?);
    }
    let head = str::from_utf8(&head)?;
    let headers: Vec<_> = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .collect();
    let status = head.split(' ').nth(1).unwrap_or_default().parse()?;
    Ok(request.check(status, &headers)?.deflate)
}

/// Unpredictable, since the standard library's hasher is keyed by the system.
fn random() -> u64 {
    RandomState::new().hash_one(())
}
