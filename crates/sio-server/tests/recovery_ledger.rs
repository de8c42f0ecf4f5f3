//! Recovery against a ledger, on the whole server: clients of JSON and of msgpack, each in two namespaces
//! over one connection, are cut off at any moment or forgotten while they are there, come back, and have
//! what the ledger says: every packet that was for them, once and in order, bytes included.
//!
//! `SEEDS=100000 cargo test --release -p sio-server --test recovery_ledger` for more histories than the
//! few of an ordinary run. The log alone is held against a ledger in `sio-rooms`, in the same way.

mod support;

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};
use sio_packet::{Form, Limits, Message, Packet, Parser, Scratch};
use sio_server::{Io, Msgpack, Recovery};
use support::{Got, House, Road, Ws, config, until};

const NAMESPACES: [&str; 2] = ["/", "/other"];
const ROOMS: [&str; 3] = ["a", "b", "c"];

/// What the ledger knows of a client in one namespace.
#[derive(Default)]
struct Session {
    id: String,
    pid: String,
    offset: Option<String>,
    /// Whether the server has a session of this pid.
    open: bool,
    /// What was for it, and how much of that it has had.
    due: Vec<u64>,
    got: usize,
    rooms: BTreeSet<&'static str>,
}

struct Client {
    packed: bool,
    ws: Option<Ws>,
    sessions: [Session; 2],
}

struct World {
    chance: u64,
    house: House,
    clients: Vec<Client>,
    /// Connections that nobody reads any more, and that the server may take for alive.
    ghosts: Vec<Ws>,
    packets: u64,
    bounded: bool,
    recovered: u64,
    replaced: u64,
}

impl World {
    async fn new(seed: u64) -> Self {
        let mut config = config();
        // Those whom nobody reads do not answer when the world ends.
        config.close_timeout = Duration::from_millis(5);
        let mut recovery = Recovery::default();
        let bounded = seed % 4 == 3;
        if bounded {
            recovery.max_packets = 6;
        }
        config.recovery = Some(recovery);
        let road = [Road::Own, Road::Hyper, Road::Foreign][(seed % 3) as usize];
        let house = House::with(road, config, |server| server.parser(Msgpack)).await;
        let client = |packed| Client {
            packed,
            ws: None,
            sessions: Default::default(),
        };
        Self {
            chance: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            house,
            clients: [false, true, seed.is_multiple_of(2)].map(client).into(),
            ghosts: Vec::new(),
            packets: 0,
            bounded,
            recovered: 0,
            replaced: 0,
        }
    }

    fn below(&mut self, end: usize) -> usize {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        (self.chance >> 11) as usize % end
    }

    fn io(&self, place: usize) -> Io {
        self.house.io.of(NAMESPACES[place])
    }

    async fn run(&mut self) {
        for _ in 0..40 {
            let who = self.below(self.clients.len());
            match self.below(10) {
                0..=4 => self.emit(),
                5 => self.read(who).await,
                6 => self.lose(who).await,
                7 => self.come(who).await,
                8 => self.change_rooms(who),
                _ if self.below(3) == 0 => self.part(who).await,
                _ => self.volatile(),
            }
        }
        for who in 0..self.clients.len() {
            self.come(who).await;
            self.read(who).await;
        }
    }

    /// To everybody, or to some rooms and not to others; with bytes or without.
    fn emit(&mut self) {
        let place = self.below(2);
        let mut target = self.io(place).everyone();
        let (mut to, mut except) = (Vec::new(), Vec::new());
        for _ in 0..self.below(3) {
            let room = ROOMS[self.below(3)];
            target = target.to(room);
            to.push(room);
        }
        if self.below(3) == 0 {
            let room = ROOMS[self.below(3)];
            target = target.except(room);
            except.push(room);
        }
        self.packets += 1;
        let number = self.packets;
        for client in &mut self.clients {
            let session = &mut client.sessions[place];
            let is = |rooms: &[&str]| rooms.iter().any(|room| session.rooms.contains(room));
            if session.open && (to.is_empty() || is(&to)) && !is(&except) {
                session.due.push(number);
            }
        }
        match number % 3 {
            0 => target.emit("n", &(number, Bytes::from(number.to_string()))),
            _ => target.emit("n", &(number, "text")),
        };
    }

    /// Nobody has a right to it, and it spoils nothing.
    fn volatile(&mut self) {
        let place = self.below(2);
        self.io(place).everyone().volatile().emit("v", &"a string");
    }

    fn change_rooms(&mut self, who: usize) {
        let (place, room) = (self.below(2), ROOMS[self.below(3)]);
        let join = self.below(3) > 0;
        if self.clients[who].ws.is_none() {
            return;
        }
        let target = self.io(place).to(&self.clients[who].sessions[place].id);
        let rooms = &mut self.clients[who].sessions[place].rooms;
        if join {
            target.join(room);
            rooms.insert(room);
        } else {
            target.leave(room);
            rooms.remove(room);
        }
    }

    /// Reads all that is due.
    async fn read(&mut self, who: usize) {
        let client = &mut self.clients[who];
        while client.ws.is_some()
            && client
                .sessions
                .iter()
                .any(|session| session.got < session.due.len())
        {
            client.receive().await;
        }
    }

    /// The connection breaks. The server may have seen it or not when the client is back.
    async fn lose(&mut self, who: usize) {
        let Some(ws) = self.clients[who].ws.take() else {
            return;
        };
        match self.below(3) {
            // Nobody tells the server.
            0 => self.ghosts.push(ws),
            1 => ws.reset(),
            _ => {
                ws.reset();
                for place in 0..2 {
                    let id = self.clients[who].sessions[place].id.clone();
                    let io = self.io(place);
                    until("the loss being seen", || io.to(&id).count() == 0).await;
                }
            }
        }
    }

    /// Leaves one namespace for good, or is put out of it, and with that ends the connection.
    async fn part(&mut self, who: usize) {
        let place = self.below(2);
        let by_itself = self.below(2) == 0;
        let io = self.io(place);
        let client = &mut self.clients[who];
        if client.ws.is_none() {
            return;
        }
        let session = &mut client.sessions[place];
        if by_itself {
            let comma = ["", "/other,"][place];
            let packet = format!("1{comma}");
            client.send(&packet).await;
        } else {
            io.to(&session.id).disconnect();
        }
        let session = &mut self.clients[who].sessions[place];
        let id = session.id.clone();
        session.open = false;
        until("its going", || io.to(&id).count() == 0).await;
        if let Some(ws) = self.clients[who].ws.take() {
            ws.reset();
        }
    }

    /// The client connects anew, if it is not there, and asks for both its sessions.
    async fn come(&mut self, who: usize) {
        let client = &mut self.clients[who];
        if client.ws.is_some() {
            return;
        }
        client.ws = Some(Ws::open(self.house.address).await);
        for place in 0..2 {
            let asked = std::mem::take(&mut client.sessions[place].pid);
            let auth = match &client.sessions[place].offset {
                Some(offset) => json!({ "pid": asked, "offset": offset }),
                None => json!({ "pid": asked }),
            };
            let comma = ["", "/other,"][place];
            client.send(&format!("0{comma}{auth}")).await;
            while client.sessions[place].pid.is_empty() {
                client.receive().await;
            }
            let session = &mut client.sessions[place];
            if session.pid == asked {
                assert!(session.open, "it had left");
                self.recovered += 1;
                continue;
            }
            assert!(
                !session.open || self.bounded || asked.is_empty(),
                "nothing was lost"
            );
            self.replaced += 1;
            session.open = true;
            session.rooms.clear();
            // What came between is of the new session.
            session.due.clear();
            session.got = 0;
        }
    }
}

impl Client {
    async fn send(&mut self, packet: &str) {
        let ws = self.ws.as_mut().expect("it is there");
        if !self.packed {
            return ws.text(&format!("4{packet}")).await;
        }
        let packet = Packet::parse(packet, &Limits::default()).expect("a packet");
        let mut message = Vec::new();
        assert_eq!(Msgpack.encode(&packet, &[], &mut message), Ok(Form::Binary));
        ws.binary(&message).await;
    }

    /// One packet, which is what the ledger says.
    async fn receive(&mut self) {
        let ws = self.ws.as_mut().expect("it is there");
        let (text, mut bytes) = match ws.next().await {
            Got::Text(text) if text == "2" => return ws.text("3").await,
            Got::Text(text) => {
                let text = text.strip_prefix('4').expect("a message").to_owned();
                let mut bytes = None;
                if text.starts_with('5') {
                    let Got::Binary(data) = ws.next().await else {
                        panic!("no bytes")
                    };
                    bytes = Some(data);
                }
                (text, bytes)
            }
            Got::Binary(message) => unpack(&message),
            other => panic!("{other:?}"),
        };
        let at = text.find(['[', '{']).unwrap_or(text.len());
        let (head, data) = text.split_at(at);
        let place = usize::from(head.contains("/other"));
        let session = &mut self.sessions[place];
        match &head[..1] {
            "0" => {
                let connect: Value = serde_json::from_str(data).expect("JSON");
                session.pid = connect["pid"].as_str().expect("a pid").into();
                session.id = connect["sid"].as_str().expect("an id").into();
            }
            "1" => {}
            "2" | "5" => {
                let event: Vec<Value> = serde_json::from_str(data).expect("JSON");
                let offset = event.last().and_then(Value::as_str).expect("an offset");
                assert_eq!(offset.len(), 12, "{text}");
                session.offset = Some(offset.into());
                if event[0] == "v" {
                    return;
                }
                let number = event[1].as_u64().expect("a number");
                let due = session.due.get(session.got).copied();
                assert_eq!(
                    Some(number),
                    due,
                    "in {place}, after {} packets",
                    session.got
                );
                session.got += 1;
                let expected = number
                    .is_multiple_of(3)
                    .then(|| number.to_string().into_bytes());
                assert_eq!(bytes.take(), expected);
            }
            other => panic!("{other} in {text}"),
        }
    }
}

/// A message of msgpack as a packet of text, with its bytes.
fn unpack(message: &[u8]) -> (String, Option<Vec<u8>>) {
    let mut scratch = Scratch::default();
    let decoded = Msgpack.decode(Message::Binary(message), &Limits::default(), &mut scratch);
    let (packet, attachments) = decoded.expect("a packet");
    let kind = match packet.kind {
        sio_packet::Kind::Connect => "0",
        sio_packet::Kind::Disconnect => "1",
        sio_packet::Kind::Event | sio_packet::Kind::BinaryEvent => "2",
        other => panic!("{other:?}"),
    };
    let bytes = attachments.first().map(|bytes| bytes.to_vec());
    (format!("{kind}{},{}", packet.namespace, packet.data), bytes)
}

#[tokio::test]
async fn whoever_comes_back_has_everything_once_and_in_order() {
    let seeds: u64 = std::env::var("SEEDS").map_or(30, |seeds| seeds.parse().unwrap());
    let (mut recovered, mut replaced, mut packets) = (0, 0, 0);
    for seed in 0..seeds {
        let mut world = World::new(seed).await;
        let result =
            futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(world.run()));
        assert!(result.await.is_ok(), "seed {seed}");
        recovered += world.recovered;
        replaced += world.replaced;
        packets += world.packets;
        world.house.io.close();
        world.house.stop().await;
    }
    println!("{seeds} histories: {packets} packets, {recovered} recovered, {replaced} not");
    assert!(
        recovered > seeds && replaced > seeds,
        "{recovered} {replaced}"
    );
}
