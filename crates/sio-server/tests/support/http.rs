//! HTTP as bytes: requests are written by hand, answers are taken apart.

use std::{net::SocketAddr, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::within;

/// A TCP connection to the server.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    /// What came and has not been looked at.
    pub(crate) unread: Vec<u8>,
}

/// An answer of the server.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("our headers are text"))
    }
}

impl Peer {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = within("a connection", TcpStream::connect(address))
            .await
            .expect("the server listens");
        stream.set_nodelay(true).expect("it is a TCP socket");
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within("a write", self.stream.write_all(bytes.as_ref()))
            .await
            .expect("the server reads");
    }

    /// Sends in a task of its own what the server does not take for a while: however little of it the
    /// kernel takes meanwhile, the test goes on.
    pub(crate) fn send_beside(&self, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        let twin = SockRef::from(&self.stream).try_clone();
        let twin = TcpStream::from_std(twin.expect("a descriptor").into());
        let mut twin = twin.expect("a runtime");
        tokio::spawn(async move { twin.write_all(&bytes).await });
    }

    /// Sends as far as the server takes it: it may have hung up already.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        within("a write", self.stream.write_all(bytes.as_ref()))
            .await
            .is_ok()
    }

    /// Reads once; false at the end of the connection, in order or not.
    pub(crate) async fn read(&mut self) -> bool {
        let read = within("something to read", self.stream.read_buf(&mut self.unread)).await;
        matches!(read, Ok(n) if n > 0)
    }

    /// One answer, or `None` at the end of the connection.
    pub(crate) async fn try_answer(&mut self) -> Option<Answer> {
        let (status, headers, body) = self.try_answer_bytes().await?;
        let body = String::from_utf8(body).expect("text");
        Some(Answer {
            status,
            headers,
            body,
        })
    }

    /// The headers and the body of an answer whose body is no text.
    pub(crate) async fn answer_bytes(&mut self) -> (HeaderMap, Vec<u8>) {
        let (_, headers, body) = self.try_answer_bytes().await.expect("an answer");
        (headers, body)
    }

    async fn try_answer_bytes(&mut self) -> Option<(u16, HeaderMap, Vec<u8>)> {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; 64];
            let mut head = httparse::Response::new(&mut fields);
            let parsed = head.parse(&self.unread).expect("the server speaks HTTP");
            if let httparse::Status::Complete(len) = parsed {
                let status = head.code.expect("a whole head has a status");
                let headers: HeaderMap = head
                    .headers
                    .iter()
                    .map(|field| {
                        let name = HeaderName::from_bytes(field.name.as_bytes());
                        let value = HeaderValue::from_bytes(field.value);
                        (name.expect("a name"), value.expect("a value"))
                    })
                    .collect();
                let body = headers
                    .get("content-length")
                    .map_or(0, |len| len.to_str().unwrap().parse().unwrap());
                if self.unread.len() >= len + body {
                    let rest = self.unread.split_off(len + body);
                    let whole = std::mem::replace(&mut self.unread, rest);
                    return Some((status, headers, whole[len..].to_vec()));
                }
            }
            if !self.read().await {
                return None;
            }
        }
    }

    #[track_caller]
    pub(crate) fn answer(&mut self) -> impl Future<Output = Answer> {
        let at = std::panic::Location::caller();
        async move {
            self.try_answer()
                .await
                .unwrap_or_else(|| panic!("the connection ended without an answer, at {at}"))
        }
    }

    /// Awaits the end of the connection, and returns what came before it.
    pub(crate) async fn ended(mut self) -> Vec<u8> {
        while self.read().await {}
        self.unread
    }

    /// Ends the connection as a crash does, with an RST.
    pub(crate) fn reset(self) {
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }
}

/// The head of a GET, without the empty line.
pub(crate) fn get(query: &str) -> String {
    format!("GET /socket.io/?{query} HTTP/1.1\r\nHost: localhost\r\n")
}

/// A whole POST.
pub(crate) fn post(query: &str, body: &str) -> String {
    format!(
        "POST /socket.io/?{query} HTTP/1.1\r\nHost: localhost\r\n\
         Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// An honest client that polls, over two connections that are kept alive.
pub(crate) struct Polling {
    pub(crate) address: SocketAddr,
    pub(crate) sid: String,
    pub(crate) gets: Peer,
    pub(crate) posts: Peer,
}

impl Polling {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let mut gets = Peer::connect(address).await;
        gets.send(format!("{}\r\n", get("EIO=4&transport=polling")))
            .await;
        let answer = gets.answer().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let sid = super::sid_of(answer.body.strip_prefix('0').expect("an open packet"));
        Self {
            address,
            sid,
            gets,
            posts: Peer::connect(address).await,
        }
    }

    /// One that has joined `/`.
    pub(crate) async fn join(address: SocketAddr) -> Self {
        let mut polling = Self::open(address).await;
        polling.post("40").await;
        assert!(polling.get().await.starts_with(r#"40{"sid":""#));
        polling
    }

    pub(crate) fn query(&self) -> String {
        format!("EIO=4&transport=polling&sid={}", self.sid)
    }

    /// Asks for packets and does not wait for the answer.
    pub(crate) async fn ask(&mut self) {
        let request = format!("{}\r\n", get(&self.query()));
        self.gets.send(request).await;
    }

    pub(crate) async fn get_answer(&mut self) -> Answer {
        self.ask().await;
        self.gets.answer().await
    }

    pub(crate) async fn get(&mut self) -> String {
        let answer = self.get_answer().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    pub(crate) async fn post_answer(&mut self, body: &str) -> Answer {
        let request = post(&self.query(), body);
        self.posts.send(request).await;
        self.posts.answer().await
    }

    pub(crate) async fn post(&mut self, body: &str) {
        let answer = self.post_answer(body).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    }
}
