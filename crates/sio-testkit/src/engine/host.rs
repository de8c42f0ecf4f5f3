//! A driver of one session, as a server has one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eio_transport::{
    Action, Config, Data, Dialect, Packet, PacketError, Parcel, PollId, Reason, Road, Session,
    Source, Transport,
    payload::{Body, Payload, Posted},
};

/// A message on a WebSocket.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Frame {
    /// A text frame.
    Text(String),
    /// A binary frame.
    Binary(Vec<u8>),
}

/// What the host gives to the network.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reply {
    /// The answer to a GET: connection, status, body.
    Get(u32, u16, Vec<u8>),
    /// The answer to a POST: connection, status.
    Post(u32, u16),
    /// A frame on a WebSocket.
    Frame(u32, Frame),
    /// The end of a WebSocket.
    Close(u32),
}

/// Something that the host keeps for a peer: gone by a deadline if nothing more happens, and charged
/// to a budget.
#[derive(Clone, Copy, Debug)]
pub struct Live {
    /// What it is.
    pub what: &'static str,
    /// When it is looked at next, if nothing happens before: it goes then, or has a later one.
    pub deadline: Instant,
    /// When it goes at the latest, if only this peer's bytes keep coming.
    pub latest: Option<Instant>,
    /// The bytes that it holds.
    pub bytes: usize,
    /// The most that it may hold.
    pub budget: usize,
}

/// A session with its queue and its two roads.
///
/// Connections and WebSockets have numbers. Messages to the client are numbered by
/// [`emit`](Self::emit), messages from it must come numbered from 0.
#[derive(Debug)]
pub struct Host {
    session: Session,
    dialect: Dialect,
    queue: VecDeque<Arc<Parcel>>,
    get: Option<(PollId, u32)>,
    /// A POST whose body has not come whole, and when it began.
    post: Option<(u32, Instant)>,
    socket: Option<u32>,
    /// A WebSocket that offers itself, and since when.
    probe: Option<(u32, Instant)>,
    config: Arc<Config>,
    /// What came over the WebSocket while the session did not accept it, as it would wait unread
    /// in the kernel. `None` stands for the end of the WebSocket.
    unread: VecDeque<Option<Frame>>,
    emitted: u64,
    received: u64,
    ended: Option<Reason>,
    closing: bool,
    replies: VecDeque<Reply>,
}

impl Host {
    /// The most bytes of the queue that go into one answer, small so that it happens.
    const ANSWER: usize = 60;

    /// The most bytes that may wait for the client when a message joins them.
    const QUEUE: usize = 600;

    /// The bytes of a heartbeat, which may come on top: no two wait in a row.
    const CONTROL: usize = 3;

    /// How much later than its deadline a timer may go off.
    const LATE: Duration = Duration::from_millis(100);

    /// How long the body of a POST may take.
    const BODY: Duration = Duration::from_secs(15);

    /// A session just opened. Over WebSocket it uses number 0.
    pub fn new(dialect: Dialect, via: Transport, config: Arc<Config>, now: Instant) -> Self {
        let mut session = Session::open(dialect.revision(), via, Arc::clone(&config), now);
        session.claim();
        Self {
            session,
            dialect,
            queue: VecDeque::new(),
            get: None,
            post: None,
            socket: (via == Transport::WebSocket).then_some(0),
            probe: None,
            config,
            unread: VecDeque::new(),
            emitted: 0,
            received: 0,
            ended: None,
            closing: false,
            replies: VecDeque::new(),
        }
    }

    /// The session.
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// Messages queued for the client so far.
    pub const fn emitted(&self) -> u64 {
        self.emitted
    }

    /// Messages of the client that reached the application so far.
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// Why the session ended.
    pub const fn ended(&self) -> Option<Reason> {
        self.ended
    }

    /// The number of the probing WebSocket.
    pub fn probe_number(&self) -> Option<u32> {
        self.probe.map(|(probe, _)| probe)
    }

    /// The number of the session's WebSocket.
    pub const fn socket_number(&self) -> Option<u32> {
        self.socket
    }

    /// The connection of the POST that is being read.
    pub fn post_number(&self) -> Option<u32> {
        self.post.map(|(post, _)| post)
    }

    /// When [`timeout`](Self::timeout) has something to do: the session's deadline, or a POST's.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let post = self.post.map(|(_, begun)| begun + Self::BODY);
        [self.session.poll_timeout(), post]
            .into_iter()
            .flatten()
            .min()
    }

    /// All that is kept for the peer at the moment, each once.
    pub fn live(&self) -> Vec<Live> {
        let mut live = Vec::new();
        let mut add = |what, deadline, latest, bytes, budget| {
            live.push(Live {
                what,
                deadline,
                latest,
                bytes,
                budget,
            });
        };
        if let Some((_, begun)) = self.post {
            // The body is collected by the driver, which knows its limit.
            let end = begun + Self::BODY;
            add("POST", end, Some(end), 0, self.config.max_payload);
        }
        let Some(deadline) = self.session.poll_timeout() else {
            return live;
        };
        let waits: usize = self.queue.iter().map(|parcel| parcel.len()).sum();
        let budget = Self::QUEUE + Self::CONTROL;
        add("session", deadline, None, waits, budget);
        if self.get.is_some() {
            add("GET", deadline, None, 0, 0);
        }
        if let Some((_, since)) = self.probe {
            let end = since + self.config.upgrade_timeout;
            // A session that was closed meanwhile takes the probe along with its last words.
            let end = match self.session.is_offered() && !self.closing {
                true => end,
                false => end.max(deadline),
            };
            add("probe", deadline, Some(end), 0, 0);
        }
        if self.socket.is_some() {
            add("WebSocket", deadline, None, 0, 0);
        }
        live
    }

    /// The connection of the GET that waits.
    pub fn get_number(&self) -> Option<u32> {
        self.get.map(|(_, connection)| connection)
    }

    /// The next thing for the network.
    pub fn next_reply(&mut self) -> Option<Reply> {
        self.replies.pop_front()
    }

    /// A GET came.
    pub fn get(&mut self, connection: u32, now: Instant) {
        match self.session.handle_poll(now) {
            Ok(id) => self.get = Some((id, connection)),
            Err(code) => {
                self.replies
                    .push_back(Reply::Get(connection, code.status(), code.json().into()));
            }
        }
        self.settle(now);
    }

    /// The connection of a GET is gone.
    pub fn get_gone(&mut self, connection: u32, now: Instant) {
        if let Some((id, waiting)) = self.get
            && waiting == connection
        {
            self.get = None;
            self.session.handle_poll_lost(id, now);
            self.settle(now);
        }
    }

    /// The head of a POST came.
    pub fn post(&mut self, connection: u32, now: Instant) {
        match self.session.handle_post(now) {
            Ok(()) => self.post = Some((connection, now)),
            Err(code) => {
                self.replies
                    .push_back(Reply::Post(connection, code.status()));
            }
        }
        self.settle(now);
    }

    /// The body of a POST is complete.
    pub fn post_done(&mut self, connection: u32, body: &[u8], posted: Posted, now: Instant) {
        if self.post_number() != Some(connection) {
            return;
        }
        self.post = None;
        assert!(body.len() <= self.config.max_payload, "a body has a limit");
        let mut body = Body::new(body.into(), posted, self.dialect.revision(), 100);
        while let Some(packet) = body.next() {
            match packet {
                Ok(packet) => {
                    let data = self.session.handle_packet(Source::Polling, packet, now);
                    self.deliver(data);
                }
                Err(_) => self.session.handle_malformed(Source::Polling, now),
            }
            self.settle(now);
        }
        self.session.handle_post_end(now);
        self.replies.push_back(Reply::Post(connection, 200));
        self.settle(now);
        self.read(now);
    }

    /// The connection of a POST is gone before its body was complete.
    pub fn post_gone(&mut self, connection: u32, now: Instant) {
        if self.post_number() == Some(connection) {
            self.post = None;
            self.session.handle_post_lost(now);
            self.settle(now);
        }
    }

    /// A WebSocket with the id of the session came.
    pub fn probe(&mut self, socket: u32, now: Instant) {
        match self.session.handle_probe(now) {
            Ok(()) => self.probe = Some((socket, now)),
            Err(_) => self.replies.push_back(Reply::Close(socket)),
        }
        self.settle(now);
    }

    /// A frame came.
    pub fn frame(&mut self, socket: u32, frame: Frame, now: Instant) {
        if self.probe_number() == Some(socket) {
            match self.parse(&frame) {
                Ok(packet) => {
                    let data = self.session.handle_packet(Source::Probe, packet, now);
                    assert_eq!(data, None, "a probe brings no messages");
                }
                Err(_) => self.session.handle_malformed(Source::Probe, now),
            }
            self.settle(now);
        } else if self.socket == Some(socket) {
            self.unread.push_back(Some(frame));
            self.read(now);
        }
    }

    /// A WebSocket is gone.
    pub fn socket_gone(&mut self, socket: u32, now: Instant) {
        if self.probe_number() == Some(socket) {
            self.probe = None;
            self.session.handle_lost(Source::Probe, now);
            self.settle(now);
        } else if self.socket == Some(socket) {
            self.unread.push_back(None);
            self.read(now);
        }
    }

    /// A timer went off, rightly or not.
    pub fn timeout(&mut self, now: Instant) {
        if let Some((connection, begun)) = self.post
            && begun + Self::BODY <= now
        {
            self.replies.push_back(Reply::Post(connection, 408));
            self.post_gone(connection, now);
        }
        self.session.handle_timeout(now);
        self.settle(now);
        let next = self.poll_timeout();
        assert!(
            next.is_none_or(|next| next > now),
            "a deadline that was handled is over"
        );
    }

    /// The application sends the next message; every third one has an attachment.
    pub fn emit(&mut self, now: Instant) {
        if self.closing || self.session.is_ended() {
            return;
        }
        let number = self.emitted;
        self.emitted += 1;
        let parcel = if number % 3 == 2 {
            Parcel::builder(4, |out| {
                out.extend_from_slice(format!("{number}+").as_bytes())
            })
            .attach(&number.to_be_bytes())
            .build()
        } else {
            Parcel::text(&number.to_string())
        };
        let parcel = Arc::new(parcel).translated(self.dialect);
        let waits: usize = self.queue.iter().map(|parcel| parcel.len()).sum();
        if waits + parcel.len() > Self::QUEUE {
            // A stream with a hole in it would be worse.
            self.queue.clear();
            self.session.abort(Reason::SlowConsumer, now);
        } else {
            self.queue.push_back(parcel);
        }
        self.settle(now);
    }

    /// The application closes the session.
    pub fn close(&mut self, now: Instant) {
        self.closing = true;
        self.session.close(Reason::ForcedServerClose, now);
        self.settle(now);
    }

    /// Reads from the WebSocket as long as the session accepts it.
    fn read(&mut self, now: Instant) {
        while self.socket.is_some() && self.session.accepts(Source::WebSocket) {
            let Some(frame) = self.unread.pop_front() else {
                return;
            };
            match &frame {
                None => {
                    self.socket = None;
                    self.session.handle_lost(Source::WebSocket, now);
                }
                // The short way for plain messages.
                Some(Frame::Text(text)) if text.starts_with('4') => {
                    self.session.handle_heard(now);
                    self.deliver(Some(Data::Text(&text[1..])));
                }
                Some(frame) => match self.parse(frame) {
                    Ok(packet) => {
                        let data = self.session.handle_packet(Source::WebSocket, packet, now);
                        self.deliver(data);
                    }
                    Err(_) => self.session.handle_malformed(Source::WebSocket, now),
                },
            }
            self.settle(now);
        }
    }

    fn parse<'a>(&self, frame: &'a Frame) -> Result<Packet<'a>, PacketError> {
        match frame {
            Frame::Text(text) => self.dialect.revision().read_text(text),
            Frame::Binary(bytes) => self.dialect.revision().read_binary(bytes),
        }
    }

    /// What the application gets, with nothing lost, doubled or out of order.
    fn deliver(&mut self, data: Option<Data<'_>>) {
        let number = match data {
            None => return,
            Some(Data::Text(text)) => text.parse().expect("the messages of clients are numbers"),
            Some(Data::Binary(bytes)) => {
                u64::from_be_bytes(bytes[..].try_into().expect("eight bytes are a number"))
            }
        };
        assert_eq!(
            number, self.received,
            "messages of the client come in order, each once"
        );
        self.received += 1;
    }

    /// Does what the session says, drains what may drain, and looks whether all is well.
    fn settle(&mut self, now: Instant) {
        loop {
            while let Some(action) = self.session.poll_action() {
                self.act(action);
            }
            if !self.drain() {
                break;
            }
        }
        let session = &self.session;
        assert_eq!(
            session.waiting(),
            self.get.map(|(id, _)| id),
            "a GET waits here and there"
        );
        assert_eq!(
            session.poll_timeout().is_none(),
            session.is_ended(),
            "the living have a deadline"
        );
        assert_eq!(session.is_ended(), self.ended.is_some(), "an end is told");
        for live in self.live() {
            assert!(live.bytes <= live.budget, "{live:?} is within its budget");
            assert!(
                live.latest
                    .is_none_or(|latest| latest.max(live.deadline) + Self::LATE >= now),
                "{live:?} outlives its deadline"
            );
        }
        if session.is_ended() {
            assert_eq!(
                (self.probe_number(), self.socket),
                (None, None),
                "no WebSocket outlives its session"
            );
        }
        if session.road() == Some(Road::WebSocket) {
            assert!(self.queue.is_empty(), "what may leave has left");
        }
    }

    fn act(&mut self, action: Action) {
        assert_eq!(
            self.ended, None,
            "nothing follows the end, but {action:?} did"
        );
        match action {
            Action::Send(control) => self.push_once(Parcel::control(control)),
            Action::SendProbe => {
                let (probe, _) = self.probe.expect("a probe is answered while it is there");
                self.replies
                    .push_back(Reply::Frame(probe, Frame::Text("3probe".into())));
            }
            Action::Answer(id, answer) => {
                let (waiting, connection) = self.get.take().expect("a GET waits");
                assert_eq!(id, waiting, "the GET that waits is answered");
                let mut payload = Payload::new(self.dialect.revision(), 0);
                if answer.drains() {
                    for parcel in self.queue.drain(..) {
                        payload.push(&parcel);
                    }
                }
                answer.finish(&mut payload);
                self.answer(connection, payload);
            }
            Action::DropProbe => {
                let (probe, _) = self
                    .probe
                    .take()
                    .expect("a probe is dropped while it is there");
                self.replies.push_back(Reply::Close(probe));
            }
            Action::Switch => {
                self.socket = self.probe.take().map(|(probe, _)| probe);
                assert!(
                    self.socket.is_some(),
                    "the session moves to a WebSocket that is there"
                );
            }
            Action::Hang => {
                self.write_out();
                self.unread.clear();
                let socket = self
                    .socket
                    .take()
                    .expect("a WebSocket is closed while it is there");
                self.replies.push_back(Reply::Close(socket));
            }
            Action::Ended(reason) => self.ended = Some(reason),
            other => panic!("the host does not know {other:?}"),
        }
    }

    /// Queues a parcel, unless the last that waits says the same.
    fn push_once(&mut self, parcel: Parcel) {
        let last = self.queue.back();
        if last.is_none_or(|last| last.wire() != parcel.wire()) {
            self.queue.push_back(Arc::new(parcel));
        }
    }

    /// Lets the queue out by the road that is open. True if the session may have more to say.
    fn drain(&mut self) -> bool {
        match self.session.road() {
            Some(Road::Polling) if !self.queue.is_empty() => {
                let mut payload = Payload::new(self.dialect.revision(), 0);
                while let Some(parcel) = self.queue.front() {
                    if !payload.is_empty() && payload.len() + parcel.payload_len() > Self::ANSWER {
                        break;
                    }
                    payload.push(parcel);
                    self.queue.pop_front();
                }
                let (_, connection) = self.get.take().expect("a GET waits");
                self.answer(connection, payload);
                self.session.drained();
                true
            }
            Some(Road::WebSocket) => {
                self.write_out();
                false
            }
            _ => false,
        }
    }

    fn write_out(&mut self) {
        let socket = self.socket.expect("the road is a WebSocket that is there");
        for parcel in self.queue.drain(..) {
            for packet in parcel.packets() {
                let frame = match packet {
                    Data::Text(text) => Frame::Text(text.into()),
                    Data::Binary(bytes) => Frame::Binary(bytes.into_owned()),
                };
                assert_ne!(
                    frame,
                    Frame::Text("6".into()),
                    "no NOOP ever on a WebSocket"
                );
                self.replies.push_back(Reply::Frame(socket, frame));
            }
        }
    }

    fn answer(&mut self, connection: u32, payload: Payload) {
        self.replies
            .push_back(Reply::Get(connection, 200, payload.into_bytes()));
    }
}
