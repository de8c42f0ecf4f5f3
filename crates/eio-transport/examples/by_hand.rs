//! A whole session by hand and in memory: opened over polling, moved to a WebSocket, closed.
//!
//! `cargo run -p eio-transport --example by_hand`

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eio_transport::{
    Action, Config, Data, Packet, Parcel, Reason, Revision, Road, Session, Sid, Source, Transport,
    payload::{self, Payload},
    write_open,
};

/// What a server keeps for a client: the session, and beside it the queue.
struct Server {
    session: Session,
    queue: VecDeque<Arc<Parcel>>,
}

impl Server {
    fn emit(&mut self, text: &str) {
        self.queue.push_back(Arc::new(Parcel::text(text)));
    }

    /// Does what the session says, then lets the queue out if a road is open.
    fn work(&mut self) {
        while let Some(action) = self.session.poll_action() {
            match action {
                Action::Send(control) => self.queue.push_back(Arc::new(Parcel::control(control))),
                Action::Answer(_, answer) => {
                    let mut payload = if answer.drains() {
                        self.payload()
                    } else {
                        Payload::new(Revision::V4, 0)
                    };
                    answer.finish(&mut payload);
                    show("GET is answered ", &payload.into_bytes());
                }
                Action::SendProbe => println!("server   on the probe      3probe"),
                other => println!("server                     {other:?}"),
            }
        }
        match self.session.road() {
            Some(Road::Polling) if !self.queue.is_empty() => {
                show("GET is answered ", &self.payload().into_bytes());
                self.session.drained();
            }
            Some(Road::WebSocket) => {
                for parcel in self.queue.drain(..) {
                    show("frames          ", parcel.wire());
                }
            }
            _ => {}
        }
    }

    fn payload(&mut self) -> Payload {
        let mut payload = Payload::new(Revision::V4, 0);
        self.queue
            .drain(..)
            .for_each(|parcel| payload.push(&parcel));
        payload
    }

    /// A packet of the client, from wherever it came.
    fn receive(&mut self, from: Source, text: &str, now: Instant) {
        let road = format!("{from:?}");
        println!("client   {road:<16}  {text}");
        match Packet::parse_text(text) {
            Ok(packet) => {
                if let Some(Data::Text(message)) = self.session.handle_packet(from, packet, now) {
                    println!("app                        {message}");
                }
            }
            Err(_) => self.session.handle_malformed(from, now),
        }
        self.work();
    }
}

fn show(what: &str, bytes: &[u8]) {
    println!("server   {what}  {}", bytes.escape_ascii());
}

fn main() {
    let config = Arc::new(Config::default());
    let mut now = Instant::now();

    // The handshake: a GET without a session id, answered with the open packet.
    let sid = Sid::from_entropy(*b"fifteen of them");
    let mut open = Vec::new();
    write_open(
        &mut open,
        &sid,
        config.upgrades(Transport::Polling),
        &config,
    );
    show("GET is answered ", &open);
    let session = Session::open(Revision::V4, Transport::Polling, Arc::clone(&config), now);
    let mut server = Server {
        session,
        queue: VecDeque::new(),
    };
    server.session.claim();

    // A GET waits, and a message finds it.
    println!("client   GET");
    server.session.handle_poll(now).expect("no other GET waits");
    server.emit("hello");
    server.work();

    // A POST brings two packets.
    server
        .session
        .handle_post(now)
        .expect("no other POST is being read");
    for segment in "4one\u{1e}4two".split(char::from(payload::SEPARATOR)) {
        server.receive(Source::Polling, segment, now);
    }
    server.session.handle_post_end(now);
    server.work();

    // A WebSocket offers itself. The GET that waits is set free, so that the client can pause.
    println!("client   GET");
    server.session.handle_poll(now).expect("no other GET waits");
    server.work();
    println!("client   WebSocket");
    server
        .session
        .handle_probe(now)
        .expect("the session may be upgraded");
    server.receive(Source::Probe, "2probe", now);
    server.emit("who waits for the upgrade is not lost");
    server.work();
    server.receive(Source::Probe, "5", now);
    server.receive(Source::WebSocket, "4three", now);

    // Time passes: the session names its deadlines, the driver comes at them.
    let deadline = server
        .session
        .poll_timeout()
        .expect("a session that lives has one");
    println!("---      {} s later", (deadline - now).as_secs());
    now = deadline;
    server.session.handle_timeout(now);
    server.work();
    server.receive(Source::WebSocket, "3", now + Duration::from_millis(20));

    server.session.close(Reason::ForcedServerClose, now);
    server.work();
    assert!(server.session.is_ended());
}
