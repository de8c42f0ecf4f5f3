//! Inputs in any order, the possible and the impossible, at one host.

use std::sync::Arc;
use std::time::{Duration, Instant};

use eio_transport::{
    Config, Data, Dialect, Packet, Revision, Transport,
    payload::{Posted, v3},
};

use super::client::each_packet;
use super::host::{Frame, Host, Reply};
use crate::chance::Chance;

/// One run of random inputs.
///
/// The peer keeps no rule but one: it numbers its messages in the order in which it sends them.
/// What reaches the application must be in that order, whatever the road; what leaves must be in
/// the order of the queue; every GET must be answered or its session be over.
#[derive(Debug)]
pub struct Storm<'a> {
    chance: Chance<'a>,
    dialect: Dialect,
    host: Host,
    now: Instant,
    connections: u32,
    /// The next number of the peer's messages.
    number: u64,
    /// The packets of the POST that is being read.
    body: Vec<String>,
    gets: Vec<u32>,
    posts: Vec<u32>,
    /// The next message, or attachment, that must leave.
    left: u64,
    attachment: bool,
}

impl<'a> Storm<'a> {
    /// Prepares a run.
    pub fn new(mut chance: Chance<'a>) -> Self {
        let mut config = Config::default();
        config.ping_interval = Duration::from_millis(2_000);
        config.ping_timeout = Duration::from_millis(1_500);
        config.upgrade_timeout = Duration::from_millis(1_000);
        let via = if chance.percent(85) {
            Transport::Polling
        } else {
            Transport::WebSocket
        };
        let dialect = match chance.below(20) {
            0 | 1 => Dialect::V3,
            2 => Dialect::V3Base64,
            3 => Dialect::V4Base64,
            _ => Dialect::V4,
        };
        let now = Instant::now();
        Self {
            chance,
            dialect,
            host: Host::new(dialect, via, Arc::new(config), now),
            now,
            connections: 0,
            number: 0,
            body: Vec::new(),
            gets: Vec::new(),
            posts: Vec::new(),
            left: 0,
            attachment: false,
        }
    }

    /// Runs at most `steps` inputs, or to the end of a tape; then the peer is silent until the
    /// session is over.
    ///
    /// # Panics
    ///
    /// If anything does not hold that must.
    pub fn run(mut self, steps: u32) {
        for _ in 0..steps {
            if self.chance.is_over() || self.host.ended().is_some() {
                break;
            }
            self.step();
            self.look();
        }
        let silent = self.now;
        while let Some(deadline) = self.host.poll_timeout() {
            self.now = self.now.max(deadline);
            self.host.timeout(self.now);
            self.look();
        }
        let patience = Duration::from_secs(1 + 2 + 2 + 30);
        assert!(
            self.now <= silent + patience,
            "a session ends when its peer is silent"
        );
        assert!(self.host.ended().is_some());
        assert!(self.host.live().is_empty(), "nothing is left");
        // Whatever comes now is refused or ignored.
        for _ in 0..4 {
            self.step();
            self.look();
        }
        assert!(self.gets.is_empty(), "every GET is answered");
    }

    fn step(&mut self) {
        let now = self.now;
        match self.chance.below(21) {
            0..3 => {
                let connection = self.connection();
                self.gets.push(connection);
                self.host.get(connection, now);
            }
            3 => {
                if let Some(connection) = self.host.get_number() {
                    self.gets.retain(|get| *get != connection);
                    self.host.get_gone(connection, now);
                }
            }
            4 | 5 => self.post(),
            6 | 7 => {
                if let Some(connection) = self.host.post_number() {
                    let packets = std::mem::take(&mut self.body);
                    let (body, posted) = self.posted(&packets);
                    self.host.post_done(connection, &body, posted, now);
                }
            }
            8 => {
                if let Some(connection) = self.host.post_number() {
                    self.posts.retain(|post| *post != connection);
                    self.host.post_gone(connection, now);
                }
            }
            9 | 10 => {
                let socket = self.connection();
                self.host.probe(socket, now);
            }
            11..14 => {
                if let Some(probe) = self.host.probe_number() {
                    let text = ["2probe", "2probe", "5", "5", "4x", "", "1"]
                        [self.chance.below(7) as usize];
                    self.host.frame(probe, Frame::Text(text.into()), now);
                }
            }
            14..16 => {
                if let Some(socket) = self.host.socket_number() {
                    let frame = if self.chance.percent(50) {
                        Frame::Text(self.packet())
                    } else {
                        self.number += 1;
                        let number = (self.number - 1).to_be_bytes();
                        match self.dialect.revision() {
                            Revision::V3 => Frame::Binary([&[4], &number[..]].concat()),
                            Revision::V4 => Frame::Binary(number.into()),
                        }
                    };
                    self.host.frame(socket, frame, now);
                }
            }
            16 => {
                let socket = match self.chance.below(2) {
                    0 => self.host.probe_number(),
                    _ => self.host.socket_number(),
                };
                if let Some(socket) = socket {
                    self.host.socket_gone(socket, now);
                }
            }
            17 => self.host.emit(now),
            18 => self.now += self.chance.millis(0..400),
            19 => self.host.timeout(now),
            _ => {
                if self.chance.percent(10) {
                    self.host.close(now);
                }
            }
        }
        // A driver's clock does not pass a deadline unnoticed.
        while let Some(deadline) = self
            .host
            .poll_timeout()
            .filter(|deadline| *deadline <= self.now)
        {
            self.host.timeout(self.now.max(deadline));
        }
    }

    fn post(&mut self) {
        let connection = self.connection();
        let before = self.host.post_number();
        self.posts.push(connection);
        self.host.post(connection, self.now);
        // Only a POST that was let in has taken its numbers.
        if self.host.post_number() == Some(connection) && before.is_none() {
            self.body = (0..=self.chance.below(3)).map(|_| self.packet()).collect();
        }
    }

    /// The body of a POST. In revision 3 an empty packet would be none, so it is a broken length there.
    fn posted(&mut self, packets: &[String]) -> (Vec<u8>, Posted) {
        if self.dialect.revision() == Revision::V4 {
            return (packets.join("\x1e").into_bytes(), Posted::Text);
        }
        let mut body = Vec::new();
        let bytes = self.dialect == Dialect::V3 && self.chance.percent(50);
        for packet in packets {
            match (packet.as_str(), bytes) {
                ("", _) => body.extend_from_slice(b"?"),
                (packet, true) => v3::push_text_as_bytes(&mut body, packet),
                (packet, false) => v3::push_text(&mut body, packet),
            }
        }
        (body, if bytes { Posted::Bytes } else { Posted::Text })
    }

    /// A packet for a transport in use, most often a message.
    fn packet(&mut self) -> String {
        match self.chance.below(24) {
            0 => "1".into(),
            1 => "2".into(),
            2..5 => "3".into(),
            5 => "6".into(),
            6 => ["", "x", "0", "5", "b*"][self.chance.below(5) as usize].into(),
            _ => {
                self.number += 1;
                format!("4{}", self.number - 1)
            }
        }
    }

    fn connection(&mut self) -> u32 {
        self.connections += 1;
        self.connections
    }

    /// Looks at all that has left.
    fn look(&mut self) {
        while let Some(reply) = self.host.next_reply() {
            match reply {
                Reply::Get(connection, status, body) => {
                    let before = self.gets.len();
                    self.gets.retain(|get| *get != connection);
                    assert_eq!(self.gets.len() + 1, before, "a GET is answered once");
                    if status == 200 {
                        assert_ne!(body, b"", "an answer says something");
                        each_packet(self.dialect.revision(), &body, |packet| self.leave(&packet));
                    }
                }
                Reply::Post(connection, _) => {
                    let before = self.posts.len();
                    self.posts.retain(|post| *post != connection);
                    assert_eq!(self.posts.len() + 1, before, "a POST is answered once");
                }
                Reply::Frame(_, frame) => {
                    let packet = match &frame {
                        Frame::Text(text) => self.dialect.revision().read_text(text),
                        Frame::Binary(bytes) => self.dialect.revision().read_binary(bytes),
                    };
                    let packet = packet.expect("the server's packets are good");
                    assert_ne!(packet, Packet::Noop, "no NOOP on a WebSocket");
                    self.leave(&packet);
                }
                Reply::Close(_) => {}
            }
        }
    }

    /// Each message leaves once, in order, with its attachment behind it.
    fn leave(&mut self, packet: &Packet<'_>) {
        let binary = matches!(packet, Packet::Message(Data::Binary(_)));
        assert_eq!(
            self.attachment, binary,
            "an attachment follows its text, and nothing else does"
        );
        self.attachment = false;
        if let Packet::Message(Data::Text(message)) = packet {
            assert_eq!(
                message.trim_end_matches('+').parse(),
                Ok(self.left),
                "in order, each once"
            );
            self.left += 1;
            self.attachment = message.ends_with('+');
        }
    }
}
