//! HTTP/2: polling and WebSockets as streams of one connection, and floods of them.

mod support;

use std::{net::SocketAddr, pin::Pin, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http2::SendRequest, ext::Protocol};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sio_server::{Config, Http2, Limit};
use support::{House, Peer, Road, config, until, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use ws_frame::{Connection, Limits, Message, Role};

/// The server speaks HTTP/2 on our own listener.
async fn house(change: impl FnOnce(&mut Config)) -> House {
    let mut config = config();
    config.http2 = Some(Http2::default());
    change(&mut config);
    House::with(Road::Own, config, |server| server).await
}

async fn connect(address: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(address).await.unwrap();
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (client, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    client
}

fn uri(query: &str) -> String {
    format!("http://good.example/socket.io/?{query}")
}

async fn ask(
    client: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> (u16, String) {
    let answer = within("an answer", client.send_request(request))
        .await
        .unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.into()).unwrap())
}

fn get(query: &str) -> Request<Full<Bytes>> {
    Request::get(uri(query)).body(Full::default()).unwrap()
}

fn post(query: &str, body: &'static str) -> Request<Full<Bytes>> {
    Request::post(uri(query)).body(body.into()).unwrap()
}

/// An extended CONNECT.
fn websocket(query: &str, fields: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut request = Request::connect(uri(query))
        .version(Version::HTTP_2)
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(Full::default()).unwrap()
}

/// A WebSocket that is a stream of HTTP/2.
struct Stream {
    io: Pin<Box<dyn Io>>,
    frames: Connection,
    unread: Vec<u8>,
}

trait Io: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send> Io for T {}

impl Stream {
    async fn open(client: &mut SendRequest<Full<Bytes>>, query: &str) -> Self {
        let asked = client.send_request(websocket(query, &[("origin", "https://good.example")]));
        let answer: Response<Incoming> = within("an answer", asked).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(!answer.headers().contains_key("sec-websocket-accept"));
        let upgraded = hyper::upgrade::on(answer).await.unwrap();
        Self {
            io: Box::pin(TokioIo::new(upgraded)),
            frames: Connection::new(Role::Client, Limits::default()),
            unread: Vec::new(),
        }
    }

    async fn text(&mut self, text: &str) {
        let frame = support::frame(0x81, text.as_bytes());
        within("a write", self.io.write_all(&frame)).await.unwrap();
    }

    /// The next text, or `None` at the end.
    async fn next(&mut self) -> Option<String> {
        loop {
            let mut input = std::mem::take(&mut self.unread);
            let mut rest = input.as_mut_slice();
            match self.frames.receive(&mut rest).unwrap() {
                Some(Message::Text(text)) => {
                    let text = text.to_owned();
                    self.unread = rest.to_vec();
                    return Some(text);
                }
                Some(Message::Close(_)) => return None,
                Some(other) => panic!("{other:?}"),
                None => {}
            }
            let mut buffer = vec![0; 4096];
            match within("something to read", self.io.read(&mut buffer)).await {
                Ok(0) | Err(_) => return None,
                Ok(n) => self.unread.extend_from_slice(&buffer[..n]),
            }
        }
    }

    async fn expect(&mut self, text: &str) {
        assert_eq!(self.next().await.as_deref(), Some(text));
    }
}

const POLLING: &str = "EIO=4&transport=polling";
const WEBSOCKET: &str = "EIO=4&transport=websocket";

#[tokio::test]
async fn websockets_are_streams_of_one_connection() {
    let house = house(|_| ()).await;
    let mut client = connect(house.address).await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut stream = Stream::open(&mut client, WEBSOCKET).await;
        assert!(stream.next().await.unwrap().starts_with("0{"));
        stream.text("40").await;
        assert!(stream.next().await.unwrap().starts_with("40{"));
        streams.push(stream);
    }
    assert_eq!(house.io.len(), 20);
    let long = "x".repeat(200_000);
    for (n, stream) in streams.iter_mut().enumerate() {
        stream.text(&format!(r#"42{n}["echo","{n}{long}"]"#)).await;
    }
    for (n, stream) in streams.iter_mut().enumerate() {
        stream.expect(&format!(r#"43{n}["{n}{long}"]"#)).await;
    }
    house.io.emit("said", &"all");
    for stream in &mut streams {
        stream.expect(r#"42["said","all"]"#).await;
    }
    drop(streams);
    house.empties().await;
    drop(client);
    house.lets_go().await;
}

#[tokio::test]
async fn polling_and_the_upgrade_go_over_one_connection() {
    let house = house(|_| ()).await;
    let mut client = connect(house.address).await;
    let (status, body) = ask(&mut client, get(POLLING)).await;
    assert_eq!(status, 200);
    let sid = support::sid_of(&body[1..]);
    let query = format!("{POLLING}&sid={sid}");
    assert_eq!(ask(&mut client, post(&query, "40")).await.1, "ok");
    assert!(ask(&mut client, get(&query)).await.1.starts_with("40{"));
    let mut stream = Stream::open(&mut client, &format!("{WEBSOCKET}&sid={sid}")).await;
    stream.text("2probe").await;
    stream.expect("3probe").await;
    stream.text("5").await;
    stream.text(r#"421["echo",1]"#).await;
    stream.expect("431[1]").await;
    house.io.close();
    assert_eq!(stream.next().await, None);
    house.empties().await;
}

#[tokio::test]
async fn every_wrong_connect_is_refused() {
    let house = house(|_| ()).await;
    let mut client = connect(house.address).await;
    let evil = [("origin", "https://evil.example")];
    let (status, body) = ask(&mut client, websocket(WEBSOCKET, &evil)).await;
    assert_eq!(
        (status, &*body),
        (403, r#"{"code":4,"message":"Forbidden"}"#)
    );
    let (status, _) = ask(&mut client, websocket("EIO=4&transport=x", &[])).await;
    assert_eq!(status, 400);
    let (status, _) = ask(
        &mut client,
        websocket(WEBSOCKET, &[("sec-websocket-version", "8")]),
    )
    .await;
    assert_eq!(status, 400, "a version too many");
    let mut other = websocket(WEBSOCKET, &[]);
    other
        .extensions_mut()
        .insert(Protocol::from_static("connect-udp"));
    assert!(matches!(ask(&mut client, other).await.0, 400 | 501));
    let (status, _) = ask(&mut client, get(WEBSOCKET)).await;
    assert_eq!(status, 400, "a GET is no CONNECT");
    let many = "x".repeat(9000);
    assert_eq!(
        ask(&mut client, get(&format!("{POLLING}&x={many}")))
            .await
            .0,
        414
    );
    assert_eq!(house.io.counters().limit(Limit::Target), 1);
    house.serves_others().await;
}

#[tokio::test]
async fn http2_is_off_unless_asked_for() {
    let house = House::start(Road::Own).await;
    let mut peer = Peer::connect(house.address).await;
    peer.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await;
    let answer = String::from_utf8(peer.ended().await).unwrap();
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
        "{answer}"
    );
    house.serves_others().await;
}

// ---- floods -------------------------------------------------------------------------------------

/// A frame, RFC 9113 §4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&len[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// A GET of `/`, in HPACK's static table.
const REQUEST: &[u8] = &[0x82, 0x84, 0x86];
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

/// Sends `frames` without end, and returns the code of the GOAWAY that comes for it.
async fn flood(house: &House, mut frames: impl FnMut(u32) -> Vec<u8>) -> Option<u32> {
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    let mut begin = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    begin.extend(frame(SETTINGS, 0, 0, &[]));
    stream.write_all(&begin).await.unwrap();
    let mut received = Vec::new();
    for n in 0..100_000 {
        if stream.write_all(&frames(n)).await.is_err() {
            break;
        }
        let _ = stream.try_read_buf(&mut received);
        if goaway(&received).is_some() {
            break;
        }
    }
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
    received.extend(rest);
    goaway(&received)
}

/// The code of the GOAWAY among what was received.
fn goaway(mut bytes: &[u8]) -> Option<u32> {
    while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = bytes {
        let len = usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).unwrap();
        let payload = rest.get(..len)?;
        if *kind == GOAWAY {
            return Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        bytes = &rest[len..];
    }
    None
}

const ENHANCE_YOUR_CALM: u32 = 11;

#[tokio::test]
async fn sec_e23_streams_cannot_be_opened_and_cancelled_without_end() {
    let house = house(|_| ()).await;
    let code = flood(&house, |n| {
        let stream = 2 * n + 1;
        let begun = frame(HEADERS, 5, stream, REQUEST);
        [begun, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    })
    .await;
    assert_eq!(code, Some(ENHANCE_YOUR_CALM));
    house.serves_others().await;
    house.lets_go().await;
}

#[tokio::test]
async fn sec_e23_a_head_cannot_be_continued_without_end() {
    let house = house(|_| ()).await;
    let code = flood(&house, |n| match n {
        0 => frame(HEADERS, 1, 1, REQUEST),
        // A field that is not indexed: `x: y`.
        _ => frame(CONTINUATION, 0, 1, &[0, 1, b'x', 1, b'y'].repeat(100)),
    })
    .await;
    assert_eq!(code, Some(ENHANCE_YOUR_CALM));
    house.serves_others().await;
    house.lets_go().await;
}

#[tokio::test]
async fn sec_e23_streams_beyond_the_limit_are_refused_and_pings_do_no_harm() {
    let house = house(|config| config.http2.as_mut().unwrap().max_streams = 3).await;
    let mut client = connect(house.address).await;
    // The limit is known when the settings have come.
    assert_eq!(ask(&mut client, get(POLLING)).await.0, 200);
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = Stream::open(&mut client, WEBSOCKET).await;
        stream.next().await.unwrap();
        streams.push(stream);
    }
    // The client keeps to it: the fourth waits until there is room.
    let fourth = Stream::open(&mut client, WEBSOCKET);
    assert!(
        tokio::time::timeout(Duration::from_millis(100), fourth)
            .await
            .is_err()
    );
    drop(streams);
    drop(client);
    let ping = frame(PING, 0, 0, b"12345678");
    let mut peer = Peer::connect(house.address).await;
    peer.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    peer.send(frame(SETTINGS, 0, 0, &[])).await;
    // Who does not read the answers is not read any further.
    let (mut answers, mut pings) = peer.stream.split();
    let mut nowhere = tokio::io::sink();
    let reading = tokio::io::copy(&mut answers, &mut nowhere);
    let writing = async {
        for _ in 0..1000 {
            if pings.write_all(&ping.repeat(10)).await.is_err() {
                break;
            }
        }
    };
    let either = async {
        tokio::select! { _ = reading => {} () = writing => {} }
    };
    within("the last of the pings", either).await;
    drop(peer);
    house.serves_others().await;
    until("the end of all", || house.io.connections() <= 1).await;
}
