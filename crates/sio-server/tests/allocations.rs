//! The counts of `docs/ARCHITECTURE.md`: what an echo, a delivery and an idle connection cost on
//! the heap of the server.
//!
//! The server runs on the test's own thread; clients are blocking sockets on another. The counting
//! allocator counts per thread, so what the clients allocate is not seen. The server's clock stands still,
//! so that no deadline comes due between two operations, and no figure here depends on time.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use allocation_counter::{AllocationInfo, measure};
use sio_server::{Ack, Runtime, Server, Value};
use tokio::runtime;

/// The request of a browser, the long header lines left out.
const REQUEST: &str = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n\
    Host: localhost\r\n\
    Connection: Upgrade\r\n\
    Upgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A client that speaks just enough, over a blocking socket.
struct Client(TcpStream);

impl Client {
    /// Connects and joins the namespace `/`.
    fn join(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).expect("a fresh socket");
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).expect("a fresh socket");
        let mut client = Self(stream);
        client.0.write_all(REQUEST.as_bytes()).expect("a request");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.0.read_exact(&mut byte).expect("an answer");
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "));
        assert!(client.read().starts_with("0{"));
        client.write("40");
        assert!(client.read().starts_with("40{"));
        client
    }

    /// Sends a text frame whose masking key is zero.
    fn write(&mut self, text: &str) {
        let len = u8::try_from(text.len()).expect("a short text");
        assert!(len < 126, "a short text");
        let mut frame = vec![0x81, 0x80 | len, 0, 0, 0, 0];
        frame.extend_from_slice(text.as_bytes());
        self.0.write_all(&frame).expect("the server reads");
    }

    /// Receives a text frame.
    fn read(&mut self) -> String {
        let mut header = [0; 2];
        self.0.read_exact(&mut header).expect("the server writes");
        assert_eq!(header[0], 0x81, "a text frame");
        let len = match header[1] {
            126 => {
                let mut len = [0; 2];
                self.0.read_exact(&mut len).expect("a length");
                usize::from(u16::from_be_bytes(len))
            }
            len => usize::from(len),
        };
        let mut payload = vec![0; len];
        self.0.read_exact(&mut payload).expect("a payload");
        String::from_utf8(payload).expect("text")
    }

    /// Sends `text` and receives `answer`, so many times.
    fn ask(&mut self, times: usize, text: &str, answer: &str) {
        for _ in 0..times {
            self.write(text);
            assert_eq!(self.read(), answer);
        }
    }
}

/// A server on this thread.
struct Bench {
    runtime: runtime::Runtime,
    address: SocketAddr,
}

impl Bench {
    fn new() -> Self {
        // Both ends of a thousand connections: more than a process may open before it asks.
        #[cfg(unix)]
        {
            use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

            let allowed = getrlimit(Resource::Nofile);
            let current = allowed.maximum;
            let _ = setrlimit(Resource::Nofile, Rlimit { current, ..allowed });
        }
        let server = Server::new()
            .runtime(Runtime::MultiThread)
            .on("number", async |_socket, number: u64| Ack(number))
            .on("echo", async |_socket, text: String| Ack(text))
            .on("any", async |_socket, value: Value| Ack(value))
            .on(
                "enter",
                async |socket, room: String| Ack(socket.join(&room)),
            )
            .on("cast", async |socket, number: u64| {
                socket.broadcast().to("room").emit("cast", &number);
            });
        // `Runtime::MultiThread` is the runtime of the caller, and that is this thread alone.
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let address = runtime.block_on(async {
            let bound = server.bind("127.0.0.1:0").await.expect("a free port");
            let address = bound.local_addr();
            tokio::spawn(bound.serve());
            address
        });
        Self { runtime, address }
    }

    /// Serves while `clients` does its part on another thread, and counts what this thread
    /// allocates meanwhile.
    ///
    /// While a blocking task runs, tokio does not advance a paused clock, whatever else waits for it.
    fn count<T: Send + 'static>(
        &self,
        clients: impl FnOnce() -> T + Send + 'static,
    ) -> (T, AllocationInfo) {
        let clients = self.runtime.spawn_blocking(clients);
        let mut result = None;
        let counted = measure(|| {
            result = Some(self.runtime.block_on(clients));
            // What the clients' last words lead to.
            self.runtime.block_on(async {
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
            });
        });
        let result = result.expect("it has been awaited");
        (result.expect("the clients are content"), counted)
    }

    fn join(&self, clients: usize) -> (Vec<Client>, AllocationInfo) {
        let address = self.address;
        self.count(move || (0..clients).map(|_| Client::join(address)).collect())
    }
}

#[test]
fn an_echo_allocates_what_its_types_own_and_nothing_else() {
    let bench = Bench::new();
    let (mut clients, _) = bench.join(1);
    let mut client = clients.remove(0);
    let text = "0123456789abcdef0123456789abcdef";
    let ask_text = format!(r#"421["echo","{text}"]"#);
    let answer_text = format!(r#"431["{text}"]"#);
    for round in 0..3 {
        let (asked, numbers) = bench.count(move || {
            client.ask(ROUNDS, r#"421["number",7]"#, "431[7]");
            client
        });
        client = asked;
        let (ask, answer) = (ask_text.clone(), answer_text.clone());
        let (asked, texts) = bench.count(move || {
            client.ask(ROUNDS, &ask, &answer);
            client
        });
        client = asked;
        if round > 0 {
            // The characters of a `String`. The packet, the arguments, the ack and the future of a
            // handler that is done at once cost nothing.
            assert_eq!(per(&numbers, ROUNDS), 0, "{numbers:?}");
            assert_eq!(per(&texts, ROUNDS), 1, "{texts:?}");
            assert!(numbers.bytes_current <= 0 && texts.bytes_current <= 0);
        }
    }
}

#[test]
fn an_attachment_that_is_echoed_lies_in_memory_once() {
    const LEN: usize = 100_000;
    let bench = Bench::new();
    let (mut clients, _) = bench.join(1);
    let mut client = clients.remove(0);
    // FIN and binary, masked, the length in 64 bits, a key of zeros.
    let mut attachment = vec![0x82, 0xff];
    attachment.extend_from_slice(&(LEN as u64).to_be_bytes());
    attachment.extend_from_slice(&[0; 4]);
    attachment.resize(attachment.len() + LEN, 7);
    for round in 0..3 {
        let attachment = attachment.clone();
        let (asked, counted) = bench.count(move || {
            for _ in 0..ROUNDS {
                client.write(r#"451-1["any",{"_placeholder":true,"num":0}]"#);
                client.0.write_all(&attachment).expect("the server reads");
                assert_eq!(client.read(), r#"461-1[{"_placeholder":true,"num":0}]"#);
                let mut echo = vec![0; 10 + LEN];
                client.0.read_exact(&mut echo).expect("an attachment");
                assert_eq!(echo[..2], [0x82, 0x7f]);
                assert!(echo[10..] == attachment[14..]);
            }
            client
        });
        client = asked;
        if round > 0 {
            // As it came, and some hundred where it is noted. Once more only if the socket is full.
            let bytes = usize::try_from(counted.bytes_total).expect("a small number") / ROUNDS;
            assert!((LEN..LEN + LEN / 10).contains(&bytes), "{counted:?}");
            // None of the hundred stays. The thread keeps one buffer for messages that came cut, and
            // when the first one is cut is the kernel's affair.
            assert!(counted.bytes_current <= LEN as i64, "{counted:?}");
        }
    }
}

#[test]
fn a_broadcast_allocates_the_same_for_ten_as_for_three_hundred() {
    let bench = Bench::new();
    let (mut clients, _) = bench.join(301);
    let mut speaker = clients.remove(0);
    let mut counts = Vec::new();
    for members in [10, 300] {
        let (entered, _) = bench.count(move || {
            for client in &mut clients[..members] {
                client.ask(1, r#"421["enter","room"]"#, "431[true]");
            }
            clients
        });
        clients = entered;
        for round in 0..3 {
            let (heard, counted) = bench.count(move || {
                for _ in 0..ROUNDS {
                    speaker.write(r#"42["cast",7]"#);
                    for client in &mut clients[..members] {
                        assert_eq!(client.read(), r#"42["cast",7]"#);
                    }
                }
                (speaker, clients)
            });
            (speaker, clients) = heard;
            if round > 0 {
                counts.push(per(&counted, ROUNDS));
            }
        }
    }
    // The two names of the selection, the parcel and its bytes; nothing per delivery.
    assert_eq!(counts, [4, 4, 4, 4]);
}

#[test]
fn an_idle_connection_owns_a_few_small_blocks_and_no_buffer() {
    const CLIENTS: usize = 512;
    let bench = Bench::new();
    // The thread's buffers, and tables that grow by doubling, are there before the count begins.
    let (mut first, _) = bench.join(CLIENTS);
    let (mut first, _) = bench.count(move || {
        first[0].ask(1, r#"421["number",7]"#, "431[7]");
        first
    });
    let (more, joined) = bench.join(CLIENTS);
    first.extend(more);
    let (clients, spoken) = bench.count(move || {
        for client in &mut first {
            client.ask(1, r#"421["number",7]"#, "431[7]");
        }
        first
    });
    let bytes = usize::try_from(joined.bytes_current).expect("connections cost") / CLIENTS;
    let blocks = usize::try_from(joined.count_current).expect("connections cost");
    println!("{blocks} blocks, {bytes} bytes each");
    // Five blocks each, and the growth of a few tables that all share.
    assert!(blocks <= 5 * CLIENTS + 32, "{joined:?}");
    assert!(bytes <= 1_500, "{bytes} bytes per idle connection");
    // To have spoken leaves nothing behind.
    assert!(spoken.bytes_current <= 0, "{spoken:?}");
    assert!(spoken.count_current <= 0, "{spoken:?}");
    drop(clients);
}

#[test]
fn a_connection_that_has_gone_leaves_nothing_but_its_place_in_the_wheel() {
    const CLIENTS: u16 = 256;
    let bench = Bench::new();
    let (mut first, _) = bench.join(1);
    let mut kept = 0;
    // The first time the tables grow.
    for _ in 0..2 {
        let (crowd, joined) = bench.join(CLIENTS.into());
        let (stays, left) = bench.count(move || {
            drop(crowd);
            // Whatever has happened to the others is seen in the same turns of the thread.
            first[0].ask(8, r#"421["number",7]"#, "431[7]");
            first
        });
        first = stays;
        kept = joined.bytes_current + left.bytes_current;
    }
    // Eight bytes, in a list that grows by doubling.
    assert!(kept <= 32 * i64::from(CLIENTS), "{kept} bytes are kept");
}

/// Echoes or broadcasts in one count; many more than what the count itself costs.
const ROUNDS: usize = 100;

/// Allocations of each round. The count itself wakes the thread once, which may cost one.
fn per(counted: &AllocationInfo, rounds: usize) -> usize {
    let total = usize::try_from(counted.count_total).expect("a small number");
    assert!(total % rounds <= 3, "{counted:?}");
    total / rounds
}
