//! A conformance server of the test's own, and the two protocols by hand: bytes on a TCP stream.
#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// The ways a request can come to the server; all of them behave the same.
pub(crate) const ROADS: [&str; 3] = ["listen", "service", "axum"];

/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A conformance server on a free port, ended with the value.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    pub(crate) fn start(road: &str) -> Self {
        Self::with(road, &[])
    }

    /// A server with settings of its own.
    pub(crate) fn with(road: &str, settings: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_conformance-server"))
            .env("ROAD", road)
            .env("PORT", "0")
            // None of these tests is about time.
            .env("PING_INTERVAL", "25000")
            .env("PING_TIMEOUT", "20000")
            .env("CONNECT_TIMEOUT", "45000")
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("the server speaks");
        let address = line
            .trim()
            .strip_prefix("listening on ")
            .and_then(|address| address.parse().ok())
            .unwrap_or_else(|| panic!("the server said {line:?}"));
        Self { child, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the server listens");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a timeout that is not zero");
        stream
    }

    /// Sends a request as it stands; gives the answer. The connection ends with it.
    pub(crate) fn raw(&self, request: &str) -> Answer {
        let mut stream = self.connect();
        stream
            .write_all(request.as_bytes())
            .expect("the request is sent");
        Answer::read(stream)
    }

    /// A WebSocket for `query`, its handshake done and nothing of it read.
    pub(crate) fn websocket(&self, query: &str) -> Wire {
        let mut stream = self.connect();
        stream
            .write_all(upgrade(query, &[]).as_bytes())
            .expect("the request is sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an answer");
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("a head is text");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        Wire { stream }
    }

    /// A GET that waits, in a thread of its own.
    pub(crate) fn waiting(&self, query: &str) -> std::thread::JoinHandle<Answer> {
        let mut stream = self.connect();
        let request = format!(
            "GET /socket.io/?{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        );
        stream
            .write_all(request.as_bytes())
            .expect("the request is sent");
        std::thread::spawn(move || Answer::read(stream))
    }

    /// A POST of bytes of that kind.
    pub(crate) fn post(&self, query: &str, kind: &str, body: &[u8]) -> Answer {
        let mut stream = self.connect();
        let head = format!(
            "POST /socket.io/?{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len(),
        );
        stream
            .write_all(&[head.as_bytes(), body].concat())
            .expect("the request is sent");
        Answer::read(stream)
    }

    /// An ordinary request for `target` below the server's path.
    pub(crate) fn request(&self, method: &str, query: &str, body: &str) -> Answer {
        self.raw(&format!(
            "{method} /socket.io/?{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len(),
        ))
    }

    /// A session over polling that has joined `/`; gives the query that names it.
    pub(crate) fn poll(&self) -> String {
        let open = self.request("GET", "EIO=4&transport=polling", "").body;
        let sid = open
            .split("\"sid\":\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        let session = format!("EIO=4&transport=polling&sid={}", sid.expect("a session id"));
        assert_eq!(self.request("POST", &session, "40").body, "ok");
        let mut heard = String::new();
        while !heard.contains("42[\"auth\"") {
            heard += &self.request("GET", &session, "").body;
        }
        session
    }

    /// A WebSocket that has joined `/`.
    pub(crate) fn wire(&self) -> Wire {
        let mut wire = self.session();
        wire.text("40");
        wire.expect_text("40{\"sid\":");
        wire.expect_text("42[\"auth\"");
        wire
    }

    /// A WebSocket with a session that has joined nothing.
    pub(crate) fn session(&self) -> Wire {
        let mut wire = self.websocket("EIO=4&transport=websocket");
        wire.expect_text("0{\"sid\":");
        wire
    }

    /// Whether an echo comes back: the server goes on serving.
    pub(crate) fn still_serves(&self, bystander: &mut Wire) {
        bystander.text("42[\"message\",1]");
        bystander.expect_text("42[\"message-back\",1]");
        self.wire();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A good upgrade request, with some of its header lines replaced: `("Name", "")` leaves one out.
pub(crate) fn upgrade(query: &str, other: &[(&str, &str)]) -> String {
    let good = [
        ("Host", "localhost"),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let mut request = format!("GET /socket.io/?{query} HTTP/1.1\r\n");
    let kept = good
        .iter()
        .filter(|(name, _)| other.iter().all(|(replaced, _)| replaced != name));
    for (name, value) in kept.chain(other).filter(|(_, value)| !value.is_empty()) {
        request += &format!("{name}: {value}\r\n");
    }
    request + "\r\n"
}

/// An answer that ended with its connection, or with its length.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    /// The body as text; what is no UTF-8 in it is replaced.
    pub(crate) body: String,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    fn read(stream: TcpStream) -> Self {
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).expect("an answer in time") == 0 {
                break;
            }
        }
        let head = head.to_lowercase();
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let length = head
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.lines().next()?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).expect("a body in time");
        Self {
            status: status.unwrap_or_else(|| panic!("not an answer: {head:?}")),
            head,
            body: String::from_utf8_lossy(&body).into_owned(),
            bytes: body,
        }
    }
}

/// How the server ended a WebSocket.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With a close frame: its code, or `None` for an empty one.
    Close(Option<u16>),
    /// Without.
    Eof,
}

/// A WebSocket. Frames are written with a key of zeros, so that what is written can be read.
pub(crate) struct Wire {
    stream: TcpStream,
}

impl Wire {
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        // The server may hang up in the midst of what it will not hear.
        let _ = self.stream.write_all(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.raw(&frame(0x81, text.as_bytes()));
    }

    pub(crate) fn binary(&mut self, data: &[u8]) {
        self.raw(&frame(0x82, data));
    }

    /// The next frame that is no ping: its first byte and its payload.
    fn frame(&mut self) -> std::io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head)?;
        let mut len = u64::from(head[1]);
        if len >= 126 {
            let mut long = [0; 8];
            let at = if len == 126 { 6 } else { 0 };
            self.stream.read_exact(&mut long[at..])?;
            len = u64::from_be_bytes(long);
        }
        let mut payload = vec![0; usize::try_from(len).expect("it fits")];
        self.stream.read_exact(&mut payload)?;
        Ok((head[0], payload))
    }

    /// The next frame, which must be text; gives it.
    pub(crate) fn read_text(&mut self) -> String {
        let (first, payload) = self.frame().expect("a frame in time");
        assert_eq!(first, 0x81, "{payload:?}");
        String::from_utf8(payload).expect("text is UTF-8")
    }

    pub(crate) fn expect_binary(&mut self, expected: &[u8]) {
        let frame = self.frame().expect("a frame in time");
        assert_eq!(frame, (0x82, expected.to_vec()));
    }

    pub(crate) fn expect_text(&mut self, prefix: &str) {
        let (first, payload) = self.frame().expect("a frame in time");
        let text = String::from_utf8_lossy(&payload);
        assert!(
            first == 0x81 && text.starts_with(prefix),
            "{first:#x} {text:?}, not {prefix:?}"
        );
    }

    /// Reads to the end, past whatever still comes.
    pub(crate) fn end(&mut self) -> End {
        loop {
            match self.frame() {
                Ok((0x88, payload)) => {
                    let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                    return End::Close(code);
                }
                Ok(_) => {}
                Err(error) => {
                    use std::io::ErrorKind::{TimedOut, WouldBlock};
                    assert!(
                        !matches!(error.kind(), TimedOut | WouldBlock),
                        "the server left the connection open",
                    );
                    return End::Eof;
                }
            }
        }
    }
}

/// A masked frame with `first` as its first byte and the shortest length.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | len as u8),
        len @ 126..0x1_0000 => {
            frame.push(0xfe);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(0xff);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}
