//! What is counted for `cargo xtask bench budget`: a server on the main thread, clients on another,
//! and nothing that depends on time.
//!
//! `budget SCENARIO COUNT` does COUNT operations one after the other and ends at once. Under
//! callgrind with `--separate-threads=yes` the main thread's instructions are the server's; of two
//! runs with different counts the difference is what the operations cost, without start and end.
//!
//! | scenario | operation |
//! |---|---|
//! | `echo` | 32 characters and their ack |
//! | `binary` | 16 KiB as an attachment, emitted back |
//! | `connection` | opening handshake, namespace, both answers |
//! | `delivery` | one of 100 members of a room hears 32 characters |
//! | `cast` | 10 members of a room hear 32 characters, one room of 8 after the other |
//! | `poll` | 32 characters over polling and back: a POST and a GET |
//!
//! `SCENARIO-recovery` is the same on a server with connection state recovery, and `delivery-msgpack` to
//! members that speak msgpack.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{OnceLock, mpsc},
    thread,
    time::Duration,
};

use sio_server::{Ack, Config, Msgpack, Runtime, Server, Value};
use tokio::sync::{
    mpsc::{UnboundedSender, unbounded_channel},
    oneshot,
};

/// The server's thread stands still from one to the other.
struct Hold {
    begun: mpsc::Sender<()>,
    over: mpsc::Receiver<()>,
}

static HOLDS: OnceLock<UnboundedSender<Hold>> = OnceLock::new();

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Who hears a broadcast.
const MEMBERS: usize = 100;

/// Rooms of a few, and how many they are in.
const ROOMS: usize = 8;
const SMALL: usize = 10;

const TEXT: &str = "0123456789abcdef0123456789abcdef";

/// `["enter", "room"]` with the ack id 1, in msgpack.
const PACKED_ENTER: &[u8] = b"\x84\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa5enter\xa4room\xa2id\x01";

fn main() -> Result {
    let mut args = std::env::args().skip(1);
    let (Some(scenario), Some(count)) = (args.next(), args.next()) else {
        return Err("budget SCENARIO COUNT".into());
    };
    let count = count.parse()?;
    let mut config = Config::default();
    let (scenario, manner) = match scenario.split_once('-') {
        Some((scenario, manner)) => (scenario.to_owned(), manner.to_owned()),
        None => (scenario, String::new()),
    };
    config.recovery = (manner == "recovery").then(Default::default);
    let server = match manner.as_str() {
        "msgpack" => Server::new().parser(Msgpack),
        _ => Server::new(),
    };
    // No heartbeat comes in between, however slow the machine is.
    config.engine.ping_interval = Duration::from_secs(3600);
    config.engine.connect_timeout = Duration::from_secs(3600);
    let server = server
        .config(config)
        // The runtime of the caller, and that is this thread alone.
        .runtime(Runtime::MultiThread)
        .on("echo", async |_socket, text: String| Ack(text))
        .on("back", async |socket, value: Value| {
            socket.emit("back", &value);
        })
        .on("enter", async |socket, room: String| {
            socket.join(&room);
            Ack(())
        })
        .on("cast", async |socket, text: String| {
            socket.to("room").emit("cast", &text);
        })
        .on("rcast", async |socket, (room, text): (String, String)| {
            socket.to(&room).emit("cast", &text);
        });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let bound = server.bind("127.0.0.1:0").await?;
        let address = bound.local_addr();
        tokio::spawn(bound.serve());
        let (done, finished) = oneshot::channel();
        let (holds, mut held) = unbounded_channel::<Hold>();
        let _ = HOLDS.set(holds);
        tokio::spawn(async move {
            while let Some(Hold { begun, over }) = held.recv().await {
                let _ = begun.send(());
                let _ = over.recv();
            }
        });
        thread::spawn(move || done.send(play(&scenario, &manner, count, address)));
        finished.await?
    })?;
    // At once: what the end of a server costs is not what is counted.
    std::process::exit(0);
}

fn play(scenario: &str, manner: &str, count: usize, address: SocketAddr) -> Result {
    match scenario {
        "echo" => {
            let mut client = Client::join(address)?;
            let ask = format!(r#"421["echo","{TEXT}"]"#);
            (0..count).try_for_each(|_| client.ask(&ask, &format!(r#"431["{TEXT}"]"#)))
        }
        "binary" => {
            let mut client = Client::join(address)?;
            let data = vec![7; 16 << 10];
            let text = r#"451-["back",{"_placeholder":true,"num":0}]"#;
            // In one piece: whether the server reads the first before the second is there would be chance.
            let both = [frame(0x81, text.as_bytes()), frame(0x82, &data)].concat();
            for _ in 0..count {
                client.0.write_all(&both)?;
                // With recovery there is an offset behind it.
                let heard = client.read()?;
                if !heard.starts_with(&text.as_bytes()[..text.len() - 1]) {
                    return Err(String::from_utf8_lossy(&heard).into());
                }
                if client.read()? != data {
                    return Err("other bytes came back".into());
                }
            }
            Ok(())
        }
        "connection" => {
            let clients = (0..count).map(|_| Client::join(address));
            // Until the process ends nobody leaves.
            clients.collect::<Result<Vec<_>>>().map(std::mem::forget)
        }
        "delivery" => {
            let mut speaker = Client::join(address)?;
            let mut members = Vec::new();
            for _ in 0..MEMBERS {
                let mut member = match manner {
                    "msgpack" => Client::join_packed(address)?,
                    _ => Client::join(address)?,
                };
                match manner {
                    "msgpack" => member.write(0x82, PACKED_ENTER)?,
                    _ => member.write(0x81, br#"421["enter","room"]"#)?,
                }
                member.read()?;
                members.push(member);
            }
            let cast = format!(r#"42["cast","{TEXT}"]"#);
            for _ in 0..count.div_ceil(MEMBERS) {
                speaker.write(0x81, cast.as_bytes())?;
                for member in &mut members {
                    let heard = member.read()?;
                    let text = TEXT.as_bytes();
                    if !heard.windows(text.len()).any(|part| part == text) {
                        return Err(String::from_utf8_lossy(&heard).into());
                    }
                }
            }
            Ok(())
        }
        "cast" => {
            let mut speaker = Client::join(address)?;
            let mut rooms = Vec::new();
            for room in 0..ROOMS {
                let mut members = Vec::new();
                for _ in 0..SMALL {
                    let mut member = Client::join(address)?;
                    member.ask(&format!(r#"421["enter","room {room}"]"#), "431[]")?;
                    members.push(member);
                }
                rooms.push(members);
            }
            for index in 0..count {
                let room = index % ROOMS;
                let cast = format!(r#"42["rcast","room {room}","{TEXT}"]"#);
                speaker.write(0x81, cast.as_bytes())?;
                for member in &mut rooms[room] {
                    // With recovery there is an offset behind it.
                    let heard = member.read()?;
                    if !heard.starts_with(format!(r#"42["cast","{TEXT}""#).as_bytes()) {
                        return Err(String::from_utf8_lossy(&heard).into());
                    }
                }
            }
            Ok(())
        }
        "poll" => {
            let mut poller = Poller::join(address)?;
            (0..count).try_for_each(|_| poller.echo())
        }
        _ => Err(format!("{scenario:?} is none of the scenarios").into()),
    }
}

/// A client over a WebSocket that speaks just enough.
struct Client(TcpStream);

impl Client {
    /// Connects and joins the namespace `/`.
    fn join(address: SocketAddr) -> Result<Self> {
        let mut client = Self::open(address)?;
        client.write(0x81, b"40")?;
        match client.read()?.starts_with(b"40{") {
            true => Ok(client),
            false => Err("the namespace was not joined".into()),
        }
    }

    /// The same in msgpack.
    fn join_packed(address: SocketAddr) -> Result<Self> {
        let mut client = Self::open(address)?;
        client.write(0x82, b"\x82\xa4type\x00\xa3nsp\xa1/")?;
        client.read()?;
        Ok(client)
    }

    /// Connects. The server finds the connection and its request at once: whether it sees the one before the
    /// other would be chance, and cost it another turn.
    fn open(address: SocketAddr) -> Result<Self> {
        let (begin, begun) = mpsc::channel();
        let (end, over) = mpsc::channel();
        let holds = HOLDS.get().ok_or("the server is not there")?;
        let _ = holds.send(Hold { begun: begin, over });
        begun.recv()?;
        let mut client = Self(connect(address)?);
        // The headers of a browser, as far as they are of a usual length.
        client.0.write_all(
            b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n\
            Host: localhost:3000\r\n\
            Connection: Upgrade\r\n\
            Pragma: no-cache\r\n\
            Cache-Control: no-cache\r\n\
            User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
            Chrome/140.0.0.0 Safari/537.36\r\n\
            Upgrade: websocket\r\n\
            Origin: http://localhost:3000\r\n\
            Sec-WebSocket-Version: 13\r\n\
            Accept-Encoding: gzip, deflate, br, zstd\r\n\
            Accept-Language: en-US,en;q=0.9\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )?;
        drop(end);
        let head = read_head(&mut client.0)?;
        if !head.starts_with("HTTP/1.1 101 ") || !client.read()?.starts_with(b"0{") {
            return Err(head.into());
        }
        Ok(client)
    }

    fn write(&mut self, first: u8, payload: &[u8]) -> io::Result<()> {
        self.0.write_all(&frame(first, payload))
    }

    /// Receives a frame.
    fn read(&mut self) -> Result<Vec<u8>> {
        let mut header = [0; 2];
        self.0.read_exact(&mut header)?;
        let len = match header[1] {
            126 => u64::from(u16::from_be_bytes(self.take()?)),
            127 => u64::from_be_bytes(self.take()?),
            len => u64::from(len),
        };
        let mut payload = vec![0; usize::try_from(len)?];
        self.0.read_exact(&mut payload)?;
        Ok(payload)
    }

    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn ask(&mut self, text: &str, answer: &str) -> Result {
        self.write(0x81, text.as_bytes())?;
        let heard = self.read()?;
        match heard == answer.as_bytes() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&heard).into()),
        }
    }
}

/// A frame whose masking key is zero.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ ..126 => frame.push(0x80 | len as u8),
        len @ ..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// A client over polling: one connection for GETs, one for POSTs.
struct Poller {
    gets: TcpStream,
    posts: TcpStream,
    target: String,
}

impl Poller {
    fn join(address: SocketAddr) -> Result<Self> {
        let mut poller = Self {
            gets: connect(address)?,
            posts: connect(address)?,
            target: "/socket.io/?EIO=4&transport=polling".to_owned(),
        };
        poller.ask_get()?;
        let open = answer(&mut poller.gets)?;
        let sid = open.split('"').nth(3).ok_or("no sid in the open packet")?;
        poller.target += "&sid=";
        poller.target += sid;
        poller.post("40")?;
        poller.ask_get()?;
        answer(&mut poller.gets)?;
        Ok(poller)
    }

    /// A GET that waits, a POST, and what the GET gets for it.
    fn echo(&mut self) -> Result {
        self.ask_get()?;
        self.post(&format!(r#"421["echo","{TEXT}"]"#))?;
        match answer(&mut self.gets)? {
            payload if payload == format!(r#"431["{TEXT}"]"#) => Ok(()),
            payload => Err(payload.into()),
        }
    }

    fn ask_get(&mut self) -> io::Result<()> {
        let target = &self.target;
        let head = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n");
        self.gets.write_all(head.as_bytes())
    }

    fn post(&mut self, body: &str) -> Result {
        let (target, len) = (&self.target, body.len());
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: localhost\r\n\
            Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {len}\r\n\r\n{body}"
        );
        self.posts.write_all(request.as_bytes())?;
        match answer(&mut self.posts)?.as_str() {
            "ok" => Ok(()),
            other => Err(other.into()),
        }
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    // Callgrind is slow, but not that slow.
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    Ok(stream)
}

fn read_head(stream: &mut TcpStream) -> Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8(head)?)
}

/// The body of an answer of HTTP with a length.
fn answer(stream: &mut TcpStream) -> Result<String> {
    let head = read_head(stream)?.to_ascii_lowercase();
    let (_, rest) = head.split_once("content-length: ").ok_or("no length")?;
    let len = rest.split("\r\n").next().unwrap_or("").parse()?;
    let mut body = vec![0; len];
    stream.read_exact(&mut body)?;
    Ok(String::from_utf8(body)?)
}
