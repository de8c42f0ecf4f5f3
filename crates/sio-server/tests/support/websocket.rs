//! A WebSocket client that reads by the rules and writes what it is told.

use std::{collections::VecDeque, net::SocketAddr};

use ws_frame::{Connection, Limits, Message, Role};
use ws_handshake::Request;

use super::Peer;

/// Any key will do: what it protects from is not under test.
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// What the server sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    End(End),
}

/// How the server ended the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With a close frame of this code.
    Code(u16),
    /// With an empty close frame.
    NoCode,
    /// Without a close frame.
    Abnormal,
}

pub(crate) struct Ws {
    pub(crate) peer: Peer,
    /// The session's id, for one that was opened over the WebSocket.
    pub(crate) sid: String,
    frames: Connection,
    got: VecDeque<Got>,
}

impl Ws {
    /// A WebSocket for `query`, straight after the handshake.
    pub(crate) async fn upgrade(address: SocketAddr, query: &str) -> Self {
        let mut ws = Self::ask(address, query, b"").await;
        ws.accepted(query).await;
        ws
    }

    /// The same, with more fields in the request.
    pub(crate) async fn upgrade_with(address: SocketAddr, query: &str, fields: &str) -> Self {
        let mut request = request(query);
        request.truncate(request.len() - 2);
        request.extend_from_slice(format!("{fields}\r\n").as_bytes());
        let mut peer = Peer::connect(address).await;
        peer.send(&request).await;
        let mut ws = Self::over(peer);
        ws.accepted(query).await;
        ws
    }

    /// One whose handshake has been sent, with `glued` in the same write.
    pub(crate) async fn ask(address: SocketAddr, query: &str, glued: &[u8]) -> Self {
        let mut request = request(query);
        request.extend_from_slice(glued);
        let mut peer = Peer::connect(address).await;
        peer.send(&request).await;
        Self::over(peer)
    }

    pub(crate) fn over(peer: Peer) -> Self {
        let limits = Limits {
            max_message: 64 << 20,
            control_burst: u16::MAX,
            ..Limits::default()
        };
        Self {
            peer,
            sid: String::new(),
            frames: Connection::new(Role::Client, limits),
            got: VecDeque::new(),
        }
    }

    /// Awaits the answer to the handshake, which must be a good one.
    pub(crate) async fn accepted(&mut self, query: &str) {
        let answer = self.peer.answer().await;
        let target = format!("/socket.io/?{query}");
        Request::new("localhost", &target, [7; 16])
            .check(answer.status, &answer.headers)
            .unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    }

    /// A session on a WebSocket that has not joined anything.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let mut ws = Self::upgrade(address, "EIO=4&transport=websocket").await;
        ws.opened().await;
        ws
    }

    /// Awaits the open packet.
    pub(crate) async fn opened(&mut self) {
        match self.next().await {
            Got::Text(text) => self.sid = sid_of(text.strip_prefix('0').expect("an open packet")),
            other => panic!("{other:?} instead of an open packet"),
        }
    }

    /// Joins a namespace and returns the socket's id.
    pub(crate) async fn join(&mut self, namespace: &str) -> String {
        let place = match namespace {
            "/" => String::new(),
            name => format!("{name},"),
        };
        self.text(&format!("40{place}")).await;
        self.joined(&place).await
    }

    /// Awaits the answer to a CONNECT, and answers pings meanwhile.
    pub(crate) async fn joined(&mut self, place: &str) -> String {
        loop {
            match self.next().await {
                Got::Text(ping) if ping == "2" => self.text("3").await,
                Got::Text(text) => {
                    let connect = text.strip_prefix(&format!("40{place}"));
                    return sid_of(connect.unwrap_or_else(|| panic!("{text} is no CONNECT")));
                }
                other => panic!("{other:?} instead of a CONNECT"),
            }
        }
    }

    pub(crate) async fn text(&mut self, text: &str) {
        self.raw(&frame(0x81, text.as_bytes())).await;
    }

    pub(crate) async fn binary(&mut self, data: &[u8]) {
        self.raw(&frame(0x82, data)).await;
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        self.peer.send(bytes).await;
    }

    /// What came next, the end included.
    #[track_caller]
    pub(crate) fn next(&mut self) -> impl Future<Output = Got> {
        let at = std::panic::Location::caller();
        async move {
            loop {
                if let Some(got) = self.got.pop_front() {
                    return got;
                }
                let mut unread = std::mem::take(&mut self.peer.unread);
                let mut input = unread.as_mut_slice();
                loop {
                    let got = match self.frames.receive(&mut input) {
                        Ok(None) => break,
                        Ok(Some(Message::Text(text))) => Got::Text(text.to_owned()),
                        Ok(Some(Message::Binary(data))) => Got::Binary(data.to_vec()),
                        Ok(Some(Message::Ping(data))) => Got::Ping(data.to_vec()),
                        Ok(Some(Message::Pong(data))) => Got::Pong(data.to_vec()),
                        Ok(Some(Message::Close(None))) => Got::End(End::NoCode),
                        Ok(Some(Message::Close(Some(close)))) => {
                            Got::End(End::Code(close.code().get()))
                        }
                        Ok(Some(other)) => panic!("{other:?} from the server"),
                        Err(error) => panic!("the server broke the protocol: {error}, at {at}"),
                    };
                    self.got.push_back(got);
                }
                if self.got.is_empty() && !self.peer.read().await {
                    return Got::End(End::Abnormal);
                }
            }
        }
    }

    #[track_caller]
    pub(crate) fn expect_text(&mut self, expected: &str) -> impl Future<Output = ()> {
        let at = std::panic::Location::caller();
        let next = self.next();
        async move {
            let got = next.await;
            assert_eq!(got, Got::Text(expected.into()), "at {at}");
        }
    }

    /// How the server ended it; whatever comes before is passed over.
    pub(crate) async fn end(&mut self) -> End {
        loop {
            if let Got::End(end) = self.next().await {
                return end;
            }
        }
    }

    /// Closes in order and awaits the end of the connection.
    pub(crate) async fn leave(mut self) {
        self.raw(&frame(0x88, b"\x03\xe8")).await;
        assert_eq!(self.end().await, End::Code(1000));
        assert_eq!(self.peer.ended().await, b"");
    }

    pub(crate) fn reset(self) {
        self.peer.reset();
    }
}

/// The handshake for `query`.
pub(crate) fn request(query: &str) -> Vec<u8> {
    let target = format!("/socket.io/?{query}");
    let mut bytes = Vec::new();
    Request::new("localhost", &target, [7; 16])
        .write(&mut bytes, [])
        .expect("it is a good request");
    bytes
}

/// A client's frame; `first` is FIN, the reserved bits and the opcode.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = head(first, payload.len() as u64);
    bytes.extend(
        payload
            .iter()
            .zip(KEY.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    bytes
}

/// The header of a client's frame, of any length, in the shortest form.
pub(crate) fn head(first: u8, len: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    match len {
        0..=125 => bytes.push(0x80 | len as u8),
        126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&len.to_be_bytes());
        }
    }
    bytes.extend_from_slice(&KEY);
    bytes
}

/// The `sid` of an open packet or a CONNECT.
pub(crate) fn sid_of(json: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(json).expect("JSON");
    let sid = value["sid"].as_str().expect("a sid").to_owned();
    assert_eq!(sid.len(), 20, "{sid}");
    sid
}
