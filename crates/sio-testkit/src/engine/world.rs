//! A client, a host, and the network between them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use eio_transport::{Config, Dialect, Reason, Transport, payload::Posted};

use super::client::{Ask, Client, Temper};
use super::host::{Frame, Host, Reply};
use crate::chance::Chance;
use crate::timeline::Timeline;

/// How kind the network is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Weather {
    /// Latency below 40 ms and no fault.
    Fair,
    /// Latency up to seconds; requests, answers and WebSockets are lost, slow or refused.
    Foul,
}

/// What became of a run.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Messages emitted by the server.
    pub emitted: u64,
    /// Messages that the client received, a prefix of those.
    pub delivered: u64,
    /// Messages sent by the client.
    pub sent: u64,
    /// Messages that the server received, a prefix of those.
    pub received: u64,
    /// How long the upgrade took after the WebSocket was open, if it was completed.
    pub upgrade: Option<Duration>,
    /// Why the session ended.
    pub reason: Reason,
    /// Events that happened.
    pub steps: u64,
}

/// One run.
#[derive(Debug)]
pub struct World<'a> {
    chance: Chance<'a>,
    weather: Weather,
    config: Arc<Config>,
    latency: u64,
    temper: Temper,
    repolls: u32,
    start: Instant,
    timeline: Timeline<Event>,
    client: Client,
    host: Host,
    /// When the timer of the host goes off, as a coarse wheel would keep it.
    timer: Option<Instant>,
    /// The moment of the last arrival on a WebSocket, per direction: they keep the order.
    arrived: [Instant; 2],
    /// GETs that the host has and did not answer.
    open_gets: Vec<u32>,
    /// Nothing gets through any more.
    vanished: bool,
    opened: Option<Instant>,
    upgrade: Option<Duration>,
    goodbye: Option<Instant>,
    steps: u64,
}

#[derive(Debug)]
enum Event {
    // At the host.
    Get(u32),
    GetGone(u32),
    Post(u32),
    PostDone(u32, Vec<u8>, Posted),
    PostGone(u32),
    Dial(u32),
    FrameIn(u32, Frame),
    GoneIn(u32),
    Timer,
    Emit,
    HostClose,
    // At the client.
    Answer(u32, u16, Vec<u8>),
    Posted(u32, u16),
    Failed,
    Opened(u32),
    FrameOut(u32, Frame),
    GoneOut(u32),
    Send,
    Wake,
    ClientClose,
    // To the world.
    Vanish,
    Audit,
}

impl<'a> World<'a> {
    /// Prepares a run: who the client is and what will happen when.
    pub fn new(mut chance: Chance<'a>, weather: Weather) -> Self {
        let mut config = Config::default();
        config.ping_interval =
            Duration::from_millis([700, 3_000, 25_000][chance.below(3) as usize]);
        config.ping_timeout = Duration::from_millis([500, 2_000, 20_000][chance.below(3) as usize]);
        if weather == Weather::Foul {
            config.upgrade_timeout = Duration::from_millis([800, 10_000][chance.below(2) as usize]);
        }
        let config = Arc::new(config);
        let start = Instant::now();
        let temper = if chance.percent(70) {
            Temper::Patient
        } else {
            Temper::Hasty
        };
        let repolls = chance.below(6) as u32;
        let dialect = match chance.below(10) {
            0 | 1 => Dialect::V3,
            2 => Dialect::V3Base64,
            3 => Dialect::V4Base64,
            _ => Dialect::V4,
        };
        let client = Client::new(dialect, temper, repolls, chance.percent(90));
        let host = Host::new(dialect, Transport::Polling, Arc::clone(&config), start);
        let mut timeline = Timeline::new(start);
        let length = chance.within(1..6_000);
        for _ in 0..chance.below(25) {
            timeline.add(chance.millis(0..length), Event::Emit);
        }
        for _ in 0..chance.below(25) {
            timeline.add(chance.millis(0..length), Event::Send);
        }
        // The end comes while something is going on, or after all has come to rest.
        let early = chance.percent(50);
        let farewell = if early {
            chance.below(length)
        } else {
            length + 3_000
        };
        let event = match (weather, chance.below(3)) {
            (Weather::Fair, _) if early => Event::HostClose,
            (_, 0) => Event::HostClose,
            (_, 1) => Event::ClientClose,
            _ => Event::Vanish,
        };
        if weather == Weather::Fair {
            let audit = if early { farewell + 2_000 } else { farewell };
            timeline.add(Duration::from_millis(audit), Event::Audit);
        }
        timeline.add(Duration::from_millis(farewell), event);
        let latency = match weather {
            Weather::Fair => chance.within(1..40),
            Weather::Foul => [2, 40, 300, 2_500][chance.below(4) as usize],
        };
        Self {
            chance,
            weather,
            config,
            latency,
            temper,
            repolls,
            start,
            timeline,
            client,
            host,
            timer: None,
            arrived: [start; 2],
            open_gets: Vec::new(),
            vanished: false,
            opened: None,
            upgrade: None,
            goodbye: None,
            steps: 0,
        }
    }

    /// Runs to the end of the session.
    ///
    /// # Panics
    ///
    /// If anything does not hold that must: see [`Host`] and [`Client`]; a GET without an answer; a
    /// session that outlives its client by more than its deadlines allow; and in fair weather a
    /// message that does not arrive or an upgrade that takes half a second.
    pub fn run(mut self) -> Report {
        loop {
            self.carry();
            self.wind_timer();
            let Some(event) = self.timeline.next_event() else {
                break;
            };
            self.steps += 1;
            self.steps += 1;
            assert!(self.steps < 100_000, "a run comes to its end");
            if std::env::var_os("TRACE").is_some() {
                eprintln!("{:?} {event:?}", self.timeline.now() - self.start);
            }
            self.happen(event);
        }
        let reason = self.host.ended().expect("every session comes to its end");
        assert!(self.open_gets.is_empty(), "every GET is answered");
        assert!(self.host.live().is_empty(), "nothing is left");
        Report {
            emitted: self.host.emitted(),
            delivered: self.client.received(),
            sent: self.client.sent(),
            received: self.host.received(),
            upgrade: self.upgrade,
            reason,
            steps: self.steps,
        }
    }

    fn happen(&mut self, event: Event) {
        let now = self.timeline.now();
        let before = self.client.is_closed();
        match event {
            Event::Get(connection) => {
                self.open_gets.push(connection);
                self.host.get(connection, now);
            }
            Event::GetGone(connection) => {
                self.open_gets.retain(|open| *open != connection);
                self.host.get_gone(connection, now);
            }
            Event::Post(connection) => self.host.post(connection, now),
            Event::PostDone(connection, body, posted) => {
                self.host.post_done(connection, &body, posted, now);
            }
            Event::PostGone(connection) => self.host.post_gone(connection, now),
            Event::Dial(socket) => {
                // The network opens it; a host that does not want it closes it behind that.
                let after = self.latency();
                self.timeline.add(after, Event::Opened(socket));
                self.arrived[1] = self.arrived[1].max(now + after);
                self.host.probe(socket, now);
            }
            Event::FrameIn(socket, frame) => self.host.frame(socket, frame, now),
            Event::GoneIn(socket) => self.host.socket_gone(socket, now),
            Event::Timer => {
                self.timer = None;
                self.host.timeout(now);
            }
            Event::Emit => self.host.emit(now),
            Event::HostClose => {
                self.goodbye.get_or_insert(now);
                self.host.close(now);
            }
            Event::Answer(connection, status, body) => {
                self.client.on_answer(connection, status, &body);
            }
            Event::Posted(connection, status) => self.client.on_posted(connection, status),
            Event::Failed => self.client.fail(),
            Event::Opened(socket) => {
                self.opened = Some(now);
                self.client.on_opened(socket);
            }
            Event::FrameOut(socket, frame) => self.client.on_frame(socket, &frame),
            Event::GoneOut(socket) => self.client.on_closed(socket),
            Event::Send => self.client.send(),
            Event::Wake => self.client.wake(),
            Event::ClientClose => self.client.close(),
            Event::Vanish => {
                self.vanished = true;
                self.client.fail();
            }
            Event::Audit => self.audit(),
        }
        if self.client.is_closed() && !before {
            self.goodbye.get_or_insert(now);
            // A browser that is done aborts what it waits for.
            if let Some(connection) = self.client.get_number()
                && !self.vanished
            {
                let after = self.latency();
                self.timeline.add(after, Event::GetGone(connection));
            }
        }
        if self.host.socket_number().is_some() && self.upgrade.is_none() {
            self.upgrade = self.opened.map(|opened| now - opened);
        }
        self.check_end();
    }

    /// No session outlives its client by more than its deadlines allow.
    fn check_end(&self) {
        if let Some(goodbye) = self.goodbye
            && self.host.ended().is_none()
        {
            let patience = self.config.ping_interval
                + self.config.ping_timeout * 2
                + self.config.upgrade_timeout
                + self.config.close_timeout
                + Duration::from_secs(40);
            assert!(
                self.timeline.now() < goodbye + patience,
                "the session outlives its client"
            );
        }
    }

    fn audit(&self) {
        let over = self.goodbye.is_some();
        assert!(
            self.client.is_closed() || !over,
            "the client hears that it is over"
        );
        if over && self.client.is_refused() {
            return;
        }
        let (received, emitted) = (self.client.received(), self.host.emitted());
        assert_eq!(received, emitted, "everything arrives at the client");
        if over {
            return;
        }
        let (received, sent) = (self.host.received(), self.client.sent());
        assert_eq!(received, sent, "everything arrives at the host");
        if let Some(opened) = self.opened {
            let limit = Duration::from_millis(500) + self.repolls * Duration::from_millis(250);
            assert!(
                self.client.is_upgraded(),
                "the upgrade is completed; open at {opened:?}"
            );
            assert!(
                self.upgrade.is_some_and(|it| it < limit),
                "it took {:?}",
                self.upgrade
            );
        }
    }

    /// Carries what the two have to say to each other.
    fn carry(&mut self) {
        while let Some(reply) = self.host.next_reply() {
            let after = self.latency();
            match reply {
                Reply::Get(connection, status, body) => {
                    self.open_gets.retain(|open| *open != connection);
                    let event = if self.fault(1) {
                        Event::Failed
                    } else {
                        Event::Answer(connection, status, body)
                    };
                    self.send_to_client(after, event);
                }
                Reply::Post(connection, status) => {
                    let event = if self.fault(1) {
                        Event::Failed
                    } else {
                        Event::Posted(connection, status)
                    };
                    self.send_to_client(after, event);
                }
                Reply::Frame(socket, frame) => {
                    let after = self.in_order(1, after);
                    self.send_to_client(after, Event::FrameOut(socket, frame));
                }
                Reply::Close(socket) => {
                    let after = self.in_order(1, after);
                    self.send_to_client(after, Event::GoneOut(socket));
                }
            }
        }
        while let Some(ask) = self.client.next_ask() {
            if self.vanished {
                continue;
            }
            let after = self.latency();
            match ask {
                Ask::Get(connection) => {
                    if self.fault(2) {
                        self.send_to_client(after, Event::Failed);
                        continue;
                    }
                    self.timeline.add(after, Event::Get(connection));
                    if self.fault(2) {
                        let late = after + self.chance.millis(0..2_000);
                        self.timeline.add(late, Event::GetGone(connection));
                        self.send_to_client(late, Event::Failed);
                    }
                }
                Ask::Post(connection, body, posted) => {
                    self.timeline.add(after, Event::Post(connection));
                    // A hasty client moves during a POST. If the POST itself came later than the
                    // move, no server could put its messages into their place.
                    let begun = self.timeline.now() + after;
                    self.arrived[0] = self.arrived[0].max(begun);
                    let slow = match (self.weather, self.temper) {
                        (Weather::Foul, _) if self.chance.percent(30) => 18_000,
                        (Weather::Fair, Temper::Hasty) => 200,
                        _ => 3,
                    };
                    let whole = after + self.chance.millis(0..slow);
                    if self.fault(3) {
                        self.timeline.add(whole, Event::PostGone(connection));
                        self.send_to_client(whole, Event::Failed);
                    } else {
                        self.timeline
                            .add(whole, Event::PostDone(connection, body, posted));
                    }
                }
                Ask::Dial(socket) => {
                    // Something on the way may swallow it, or let it live for a while only.
                    if self.fault(15) {
                        continue;
                    }
                    self.timeline.add(after, Event::Dial(socket));
                    self.arrived[0] = self.arrived[0].max(self.timeline.now() + after);
                    if self.fault(30) {
                        let late = after + self.chance.millis(0..3_000);
                        self.timeline.add(late, Event::GoneIn(socket));
                        self.send_to_client(late, Event::GoneOut(socket));
                    }
                }
                Ask::Frame(socket, frame) => {
                    let after = self.in_order(0, after);
                    if !self.fault(2) {
                        self.timeline.add(after, Event::FrameIn(socket, frame));
                        continue;
                    }
                    // A WebSocket does not lose a frame; it breaks.
                    self.timeline.add(after, Event::GoneIn(socket));
                    self.send_to_client(after, Event::GoneOut(socket));
                }
                Ask::Wake => {
                    let interval = self.config.ping_interval;
                    self.send_to_client(interval, Event::Wake);
                }
                Ask::Close(socket) => {
                    let after = self.in_order(0, after);
                    self.timeline.add(after, Event::GoneIn(socket));
                }
            }
        }
    }

    fn send_to_client(&mut self, after: Duration, event: Event) {
        if !self.vanished {
            self.timeline.add(after, event);
        }
    }

    fn latency(&mut self) -> Duration {
        self.chance.millis(self.latency / 2..self.latency + 1)
    }

    fn fault(&mut self, percent: u64) -> bool {
        self.weather == Weather::Foul && self.chance.percent(percent)
    }

    /// Frames of one direction do not overtake each other.
    fn in_order(&mut self, direction: usize, after: Duration) -> Duration {
        let now = self.timeline.now();
        let at = self.arrived[direction].max(now + after);
        self.arrived[direction] = at;
        at - now
    }

    /// Sets the timer, which may go off too early, but never too late by more than a tick.
    fn wind_timer(&mut self) {
        let Some(deadline) = self.host.poll_timeout() else {
            return;
        };
        if self.timer.is_none_or(|timer| timer > deadline) {
            self.timer = Some(deadline);
            let late = self.chance.millis(0..60);
            self.timeline.add_at(deadline + late, Event::Timer);
        }
    }
}
