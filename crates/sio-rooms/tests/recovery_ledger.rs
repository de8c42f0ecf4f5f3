//! Recovery against a ledger: clients that are cut off at any moment, with any part of what was sent
//! under way, come back and have what the ledger says: every packet that was for them, once, in order.
//!
//! `SEEDS=100000 cargo test --release -p sio-rooms --test recovery_ledger` for more histories than the
//! thousands of an ordinary run.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use sio_rooms::{Recovery, RecoveryError, RecoveryLimits, Selection};

/// What the ledger knows of a client.
#[derive(Default)]
struct Client {
    /// The session that the client believes in.
    pid: String,
    /// The highest position it has seen, perhaps in an earlier session.
    seen: Option<u64>,
    /// What was for its session, as (number in the ledger, position).
    due: Vec<(u32, u64)>,
    /// What it has received of it.
    got: Vec<u32>,
    /// What is under way to it: of a packet that is due, its number in the ledger.
    wire: VecDeque<(Option<u32>, Option<u64>)>,
    rooms: BTreeSet<&'static str>,
    server: Seen,
    /// Nothing gets through to it any more.
    cut: bool,
}

/// How the server sees a client.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Seen {
    #[default]
    Gone,
    Live,
    Away(Instant),
}

const ROOMS: [&str; 4] = ["a", "b", "c", "d"];

/// One history.
struct World {
    chance: u64,
    now: Instant,
    limits: RecoveryLimits,
    recovery: Recovery<(u32, u64), usize>,
    clients: Vec<Client>,
    packets: u32,
    sessions: u32,
    opened: u32,
    forgotten: u32,
    /// No exceptions, no leaves: it is known exactly what was lost.
    plain: bool,
    recovered: u32,
    delivered: u32,
    failed: BTreeMap<&'static str, u32>,
}

impl World {
    fn new(seed: u64, now: Instant) -> Self {
        let mut world = Self {
            chance: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            now,
            limits: RecoveryLimits::default(),
            recovery: Recovery::new(RecoveryLimits::default(), seed),
            clients: Vec::new(),
            packets: 0,
            sessions: 0,
            opened: 0,
            forgotten: 0,
            plain: seed.is_multiple_of(4),
            recovered: 0,
            delivered: 0,
            failed: BTreeMap::new(),
        };
        let max_away = Duration::from_secs(10 + world.below(110));
        world.limits = RecoveryLimits {
            max_away,
            max_age: max_away + Duration::from_secs(world.below(60)),
            max_packets: [5, 20, 100_000][world.below(3) as usize],
            max_bytes: [2_000, 10_000, 64 << 20][world.below(3) as usize],
            max_sessions: [3, 100, 100][world.below(3) as usize],
        };
        world.recovery = Recovery::new(world.limits.clone(), seed);
        for _ in 0..=world.below(5) {
            world.clients.push(Client::default());
        }
        world
    }

    /// Xorshift: each seed is a history.
    fn below(&mut self, end: u64) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        (self.chance >> 11) % end
    }

    fn run(&mut self) {
        for _ in 0..20 + self.below(150) {
            let index = self.below(self.clients.len() as u64) as usize;
            match self.below(20) {
                0..=6 => self.emit(),
                7 | 8 => self.receive(index),
                9 | 10 => self.come(index),
                11 => self.clients[index].cut = true,
                12 => self.notice(index),
                13 => self.part(index),
                14 | 15 => self.join(index),
                16 if !self.plain => self.leave(index),
                17 => self.emit_unrecorded(),
                18 => {
                    let long = self.below(8) == 0;
                    let most = if long { 200_000 } else { 9_000 };
                    let millis = self.below(most);
                    self.now += Duration::from_millis(millis);
                }
                _ => self.recovery.handle_timeout(self.now),
            }
            while self.recovery.poll_forgotten().is_some() {
                self.forgotten += 1;
            }
            let kept = self.recovery.len() as u32;
            assert_eq!(self.opened, kept + self.forgotten, "each is let go once");
            assert!(self.recovery.packets() <= self.limits.max_packets);
            assert!(self.recovery.bytes() <= self.limits.max_bytes);
            assert!(self.recovery.len() <= self.limits.max_sessions);
        }
        for index in 0..self.clients.len() {
            self.come(index);
            self.leave_for_good(index);
        }
        self.now += Duration::from_secs(1_000);
        self.recovery.handle_timeout(self.now);
        assert!(self.recovery.is_empty());
        assert_eq!((self.recovery.packets(), self.recovery.bytes()), (0, 0));
        assert_eq!(self.recovery.poll_timeout(), None);
    }

    fn name(index: usize) -> String {
        format!("client {index}")
    }

    /// Whether a client is among those chosen.
    fn is_meant(client: &Client, index: usize, who: &Selection) -> bool {
        let name = Self::name(index);
        let is = |room: &str| room == name || client.rooms.contains(room);
        (who.rooms().len() == 0 || who.rooms().any(is)) && !who.exceptions().any(is)
    }

    fn selection(&mut self) -> Selection {
        let mut who = Selection::everyone();
        let clients = self.clients.len() as u64;
        for _ in 0..self.below(3) {
            who = match self.below(3) {
                0 => who.to(Self::name(self.below(clients) as usize)),
                _ => who.to(ROOMS[self.below(4) as usize]),
            };
        }
        if !self.plain {
            for _ in 0..self.below(3).saturating_sub(self.below(2)) {
                who = match self.below(2) {
                    0 => who.except(Self::name(self.below(clients) as usize)),
                    _ => who.except(ROOMS[self.below(4) as usize]),
                };
            }
        }
        who
    }

    fn emit(&mut self) {
        let who = self.selection();
        self.packets += 1;
        let number = self.packets;
        let len = self.below(500) as usize;
        let next = self.recovery.position() + 1;
        let position = self.recovery.record(&who, (number, next), len, self.now);
        assert!(position == next || position + 1 == next);
        for (index, client) in self.clients.iter_mut().enumerate() {
            if !Self::is_meant(client, index, &who) {
                continue;
            }
            if client.server != Seen::Gone {
                client.due.push((number, next));
            }
            if client.server == Seen::Live {
                client.wire.push_back((Some(number), Some(position)));
            }
        }
    }

    /// A volatile packet, or one with an ack.
    fn emit_unrecorded(&mut self) {
        let who = self.selection();
        let position = (self.below(2) == 0).then(|| self.recovery.position());
        for (index, client) in self.clients.iter_mut().enumerate() {
            if client.server == Seen::Live && Self::is_meant(client, index, &who) {
                client.wire.push_back((None, position));
            }
        }
    }

    fn receive(&mut self, index: usize) {
        let most = self.below(6);
        let client = &mut self.clients[index];
        if client.cut {
            return;
        }
        for _ in 0..most {
            let Some((due, position)) = client.wire.pop_front() else {
                break;
            };
            client.got.extend(due);
            client.seen = position.or(client.seen);
        }
    }

    /// The server sees that a client has gone.
    fn notice(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if client.server == Seen::Live {
            client.server = Seen::Away(self.now);
            client.cut = true;
            client.wire.clear();
            self.recovery.depart(&client.pid, self.now);
        }
    }

    /// The client leaves, or the server puts it out.
    fn part(&mut self, index: usize) {
        if self.below(4) == 0 {
            self.leave_for_good(index);
        }
    }

    fn leave_for_good(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if client.server == Seen::Live {
            self.recovery.forget(&client.pid);
            client.server = Seen::Gone;
            client.cut = true;
            client.wire.clear();
            client.rooms.clear();
        }
    }

    fn join(&mut self, index: usize) {
        let room = ROOMS[self.below(4) as usize];
        let client = &mut self.clients[index];
        if client.server == Seen::Live {
            client.rooms.insert(room);
            self.recovery.join(&client.pid, room);
        }
    }

    fn leave(&mut self, index: usize) {
        let room = ROOMS[self.below(4) as usize];
        let client = &mut self.clients[index];
        if client.server == Seen::Live {
            client.rooms.remove(room);
            self.recovery.leave(&client.pid, room);
        }
    }

    /// The client connects anew, whatever the server thinks of its old connection.
    fn come(&mut self, index: usize) {
        if !self.clients[index].cut && self.clients[index].server == Seen::Live {
            return;
        }
        if self.clients[index].server == Seen::Live {
            let pid = &self.clients[index].pid;
            let error = self.recovery.restore(pid, None, usize::MAX, self.now);
            assert_eq!(error.unwrap_err(), RecoveryError::Live);
            assert_eq!(self.recovery.live(pid), Some(&index));
            self.notice(index);
        }
        let limit = [usize::MAX, 3_000][self.below(2) as usize];
        let oldest = self.recovery.position() - self.recovery.packets() as u64 + 1;
        let now = self.now;
        let client = &mut self.clients[index];
        let result = self.recovery.restore(&client.pid, client.seen, limit, now);
        let lacks = client.due.split_off(client.got.len().min(client.due.len()));
        match result {
            Ok(restored) => {
                assert_eq!(restored.keepsake, index);
                let missed: Vec<_> = restored.missed.iter().map(|&(number, _)| number).collect();
                let lacks: Vec<_> = lacks.iter().map(|&(number, _)| number).collect();
                assert_eq!(missed, lacks, "what client {index} lacks");
                let had: Vec<_> = client.due.iter().map(|&(number, _)| number).collect();
                assert_eq!(client.got, had, "what client {index} had");
                let mut rooms: Vec<_> = restored.rooms.iter().map(|room| &**room).collect();
                rooms.retain(|room| *room != Self::name(index));
                assert!(rooms.iter().eq(client.rooms.iter()), "{rooms:?}");
                self.recovered += 1;
                self.delivered += missed.len() as u32;
                for &(number, position) in &restored.missed {
                    client.due.push((number, position));
                    client.wire.push_back((Some(number), Some(position)));
                }
                client.server = Seen::Live;
            }
            Err(error) => {
                let name = match error {
                    RecoveryError::Unknown => {
                        let Seen::Away(since) = client.server else {
                            return self.begin(index);
                        };
                        let late = now - since > self.limits.max_away;
                        assert!(
                            late || self.limits.max_sessions < 100,
                            "forgotten too early"
                        );
                        "unknown"
                    }
                    RecoveryError::Expired { away, limit } => {
                        assert!(away > limit);
                        "expired"
                    }
                    RecoveryError::Trimmed => {
                        // Nobody is refused who has missed nothing that is lost.
                        let missed = lacks.iter().any(|&(_, position)| position < oldest);
                        assert!(
                            missed || !self.plain,
                            "client {index} missed only {lacks:?}"
                        );
                        "trimmed"
                    }
                    RecoveryError::TooMuch { len, limit } => {
                        assert!(len > limit);
                        "too much"
                    }
                    error => panic!("{error} of client {index}"),
                };
                *self.failed.entry(name).or_default() += 1;
                let again = self.recovery.restore(&client.pid, client.seen, limit, now);
                assert_eq!(again.unwrap_err(), RecoveryError::Unknown);
                return self.begin(index);
            }
        }
        self.clients[index].cut = false;
    }

    fn begin(&mut self, index: usize) {
        self.sessions += 1;
        let client = &mut self.clients[index];
        client.pid = format!("session {}", self.sessions);
        client.due.clear();
        client.got.clear();
        client.wire.clear();
        client.rooms.clear();
        client.cut = false;
        let opened = self
            .recovery
            .open(client.pid.as_str(), &Self::name(index), index);
        self.opened += u32::from(opened);
        client.server = if opened { Seen::Live } else { Seen::Gone };
    }
}

#[test]
fn whoever_is_restored_has_everything_once_and_in_order() {
    let seeds: u64 = std::env::var("SEEDS").map_or(4_000, |seeds| seeds.parse().unwrap());
    let start = Instant::now();
    let (mut recovered, mut delivered) = (0, 0);
    let mut failed = BTreeMap::<_, u32>::new();
    for seed in 0..seeds {
        let result = std::panic::catch_unwind(|| {
            let mut world = World::new(seed, start);
            world.run();
            (world.recovered, world.delivered, world.failed)
        });
        let Ok(world) = result else {
            panic!("seed {seed}");
        };
        recovered += u64::from(world.0);
        delivered += u64::from(world.1);
        for (name, count) in world.2 {
            *failed.entry(name).or_default() += count;
        }
    }
    println!("{seeds} histories: {recovered} recovered, {delivered} packets replayed; {failed:?}");
    // The histories are worth something.
    assert!(
        recovered > seeds && delivered > seeds,
        "{recovered} {delivered}"
    );
    for name in ["expired", "trimmed", "too much"] {
        assert!(failed.contains_key(name), "{failed:?}");
    }
}
