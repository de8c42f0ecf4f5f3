//! One node among many, as a machine with explicit time.
//!
//! ```text
//!  the application ── C ──▶ ┌──────┐ ── D: poll_action ──▶ the bus: publish, subscribe, count
//!                           │ Node │
//!  the bus ───────── B ──▶  └──────┘ ── D: poll_event ───▶ the server: emit this, answer that
//! ```
//!
//! A node speaks every format it was given, all at once. What came by one of them is for the local
//! clients alone and is never passed on to another, so nothing goes round: every node of ours holds
//! the same set of formats. What two of our nodes would hear twice, they hear in the first format
//! only.
//!
//! Local clients are none of its business: whoever drives it does locally what it orders, before or
//! after, so that no broker's trouble ever reaches them.

mod hearing;
mod orders;

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use self::orders::By;
pub use self::orders::{Action, At, Event, Missing, Past, Reply};
use crate::{
    adapter::Entry,
    bus::RawEntry,
    census::{Census, Crowd, Own},
    claims::{Claims, Step, Taken},
    format::{Format, Heard},
    message::{Answer, Message, Question},
    peers::{Door, Peers, Word},
    pending::{Pending, Request},
    python::Python,
    session::Session,
    sharded::RoomChannels,
    streams::EntryId,
};

/// How a node takes part in its cluster. A time of more than a century is a century.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long changes of how many sockets are in the rooms here are collected before nodes of ours are
    /// told: they are told nothing. It takes a name and some 200 bytes on each node for each room.
    pub census: Option<Duration>,
    /// Where others hand on what they are asked about clients of this node: nowhere.
    pub door: Option<Door>,
    /// The adapter of Node's whose words are spoken, also by our nodes among themselves: the classic
    /// one.
    pub format: Format,
    /// How often a node says that it lives: 5 s, as Node's cluster adapters do.
    pub heartbeat: Duration,
    /// How long a node is believed to live that says nothing: 10 s.
    pub lease: Duration,
    /// Channels of Python processes: none.
    pub python: Vec<Python>,
    /// Whether clients of the node itself hear what it says by way of the broker, as all others do: not.
    /// With it, what [`Node::tell`] was given comes back as [`Event::Told`], in the order that the broker
    /// has for all nodes.
    pub strict_order: bool,
    /// How long answers of nodes are waited for: 5 s, as with Node.
    pub timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            census: None,
            door: None,
            format: Format::default(),
            heartbeat: Duration::from_secs(5),
            lease: Duration::from_secs(10),
            python: Vec::new(),
            strict_order: false,
            timeout: Duration::from_secs(5),
        }
    }
}

/// A node among nodes.
///
/// Methods come in four families: facts; **B**, `handle_*`, what happened; **C**, what the
/// application wants; **D**, `poll_*`, what to do now. After any B or C, the driver calls both
/// [`poll_action`](Self::poll_action) and [`poll_event`](Self::poll_event) until they return `None`,
/// and arranges for [`handle_timeout`](Self::handle_timeout) at
/// [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct Node {
    config: Config,
    /// How this node speaks: as its config says, or without channels of rooms, which have no common order.
    speech: Format,
    uid: String,
    /// As Python calls a node; ours begin alike, so that they know one another.
    host_id: String,
    /// What each subscription is for, by channel or pattern.
    routes: HashMap<String, Route>,
    pending: Pending,
    claims: Claims,
    taken: Taken,
    next_request: u64,
    peers: Peers,
    /// What is counted here, and what others have counted.
    own: Own,
    census: Census,
    /// When what has changed here is to be counted.
    recount_at: Option<Instant>,
    heartbeat_at: Instant,
    /// Since when there is no broker.
    down_since: Option<Instant>,
    actions: VecDeque<Action>,
    events: VecDeque<Event>,
    refused: u64,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Route {
    Node(Heard),
    Nodes,
    Python(usize),
    /// What is for one room of a namespace alone.
    Room(String, String),
}

/// A century: what is longer would end beyond the clock, or beyond what a broker takes for a time.
const FOR_EVER: Duration = Duration::from_secs(3_155_760_000);

/// How the host ids of our own nodes begin.
pub(crate) const HOST_PREFIX: &str = "sio-node-";

impl Node {
    /// A node that has not said anything yet. Its name is made from `entropy`.
    pub fn new(mut config: Config, entropy: [u8; 16], now: Instant) -> Self {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

        let hex = entropy.iter().map(|byte| format!("{byte:02x}"));
        let hex = hex.collect::<String>();
        let uid = match config.format {
            Format::Classic(_) => {
                let uid = entropy[..6].iter();
                let uid = uid.map(|byte| char::from(ALPHABET[usize::from(byte % 64)]));
                uid.collect()
            }
            _ => hex[..16].to_owned(),
        };
        for time in [
            &mut config.heartbeat,
            &mut config.lease,
            &mut config.timeout,
        ] {
            *time = (*time).min(FOR_EVER);
        }
        config.census = config.census.map(|patience| patience.min(FOR_EVER));
        let mut speech = config.format.clone();
        if let (Format::Sharded(sharded), true) = (&mut speech, config.strict_order) {
            sharded.rooms = RoomChannels::Static;
        }
        let mut node = Self {
            speech,
            uid,
            host_id: HOST_PREFIX.to_owned() + &hex,
            routes: HashMap::new(),
            pending: Pending::default(),
            claims: Claims::default(),
            taken: Taken::default(),
            next_request: 0,
            peers: Peers::default(),
            own: Own::default(),
            census: Census::default(),
            recount_at: None,
            heartbeat_at: now + config.heartbeat,
            down_since: None,
            actions: VecDeque::new(),
            events: VecDeque::new(),
            refused: 0,
            config,
        };
        let nodes = node.nodes_channel();
        let own = node.own_channel(&node.uid);
        node.subscribe(own, Route::Nodes);
        node.subscribe(nodes, Route::Nodes);
        for format in 0..node.config.python.len() {
            let channel = node.config.python[format].channel().to_owned();
            node.subscribe(channel, Route::Python(format));
        }
        let streams = node.config.format.streams();
        node.actions.extend(streams.into_iter().map(Action::Follow));
        node.say(&Word::Hello(node.life()));
        node
    }

    // ---- A: facts -----------------------------------------------------------------------------

    /// The name by which other nodes know this one.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// The other nodes of ours that live.
    pub fn peers(&self) -> impl Iterator<Item = &str> {
        self.peers.names()
    }

    /// Where other nodes that live are to be handed what is about their clients.
    pub fn doors(&self) -> impl Iterator<Item = &Door> {
        self.peers.doors()
    }

    /// The nodes of ours that have not told all their counts.
    pub fn uncounted(&self) -> impl Iterator<Item = &str> {
        self.peers().filter(|peer| !self.census.knows(peer))
    }

    /// How many messages were skipped because they could not be read.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    // ---- B: what happened ---------------------------------------------------------------------

    /// A message came by a subscription, which is the channel itself or the pattern that it fits.
    ///
    /// `has_room` says whether anybody here is in a room of a namespace; a packet for a room that
    /// nobody is in is not even read.
    pub fn handle_message(
        &mut self,
        subscription: &str,
        channel: &str,
        body: &[u8],
        has_room: impl FnOnce(&str, &str) -> bool,
        now: Instant,
    ) {
        let Some(route) = self.routes.get(subscription).cloned() else {
            return;
        };
        let read = match route {
            Route::Node(Heard::Any(namespace)) => self.handle_any(namespace, body),
            Route::Node(Heard::Packets(namespace)) => {
                self.handle_packet(namespace, channel, body, has_room)
            }
            Route::Node(Heard::Requests(namespace)) => self.handle_request(namespace, body),
            Route::Node(Heard::Responses) => self.handle_response(body),
            Route::Nodes => self.handle_nodes(body, now),
            Route::Python(format) => self.handle_python(format, body),
            Route::Room(namespace, room) if has_room(&namespace, &room) => {
                self.handle_any(namespace, body)
            }
            // The last one has left: the subscription is about to end.
            Route::Room(..) => Ok(()),
        };
        if let Err(error) = read {
            self.refuse(channel, error);
        }
    }

    /// An entry was read from a stream.
    pub fn handle_entry<'a>(
        &mut self,
        stream: &str,
        id: EntryId,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) {
        if let Err(error) = self.read_entry(id, fields) {
            self.refuse(stream, error);
        }
    }

    /// A stream was cut short before it was read to its end.
    pub fn handle_trimmed(&mut self, stream: &str) {
        let stream = stream.to_owned();
        self.events.push_back(Event::Trimmed { stream });
    }

    /// The bus has taken a key, if it was there; or cannot.
    pub fn handle_taken(&mut self, request: Request, value: Option<&[u8]>) {
        let session = value.map(Session::decode);
        let session = match session {
            Some(Err(error)) => {
                self.refuse("a session", error);
                None
            }
            Some(Ok(session)) => Some(Box::new(session)),
            None => None,
        };
        let fenced = session.as_ref().and_then(|session| session.node.clone());
        let (Some(session), Some(node)) = (&session, fenced.filter(|node| *node != self.uid))
        else {
            if self.claims.close(request).is_some() {
                self.events.push_back(Event::Taken { request, session });
            }
            return;
        };
        let pid = session.pid.clone();
        self.claims.go_on(request, Step::Fence(session.clone()));
        let channel = self.own_channel(&node);
        self.actions.push_back(Action::Count { channel, request });
        let let_go = Word::LetGo {
            request: self.request_name(request.0),
            pid,
        };
        self.say_to(&node, &let_go);
    }

    /// The bus has read a part of a stream; `None` if it cannot, or not all of it is there any more.
    pub fn handle_range(&mut self, request: Request, entries: Option<Vec<RawEntry>>) {
        let Some(Step::Read(namespace)) = self.claims.close(request) else {
            return;
        };
        let packets = entries.map(|entries| {
            let read = entries.iter().filter_map(|raw| {
                let entry = Entry::from_fields(raw.fields()).ok()?;
                if entry.nsp != namespace {
                    return None;
                }
                // What cannot be read was counted when it came.
                let Message::Emit(emit) = entry.decode().ok()?.message else {
                    return None;
                };
                let (id, seq, uid) = (raw.id, entry.seq, entry.uid);
                let at = At { id, seq, uid };
                Some(Past { at, emit })
            });
            read.collect()
        });
        self.events.push_back(Event::Missed { request, packets });
    }

    /// The bus has counted, or cannot.
    pub fn handle_count(&mut self, request: Request, subscribers: Option<u64>) {
        if let Some(Step::Fence(_)) = self.claims.step(request) {
            match subscribers {
                // Who had the session is gone.
                Some(0) => {
                    if let Some(Step::Fence(session)) = self.claims.step(request)
                        && let Some(uid) = &session.node
                    {
                        self.taken.push(uid.clone(), session.pid.clone());
                    }
                    self.fenced(request, None);
                }
                Some(_) => {}
                None => self.give_up(request),
            }
            return;
        }
        let Some(open) = self.pending.get_mut(request.0) else {
            return;
        };
        // This node is one of them, and has answered itself.
        let others = subscribers.map(|count| usize::try_from(count).unwrap_or(0).saturating_sub(1));
        open.expected = others;
        self.finish_if_done(request.0);
    }

    /// The broker is away. What is published from now on is the bus's to keep or to drop.
    pub fn handle_down(&mut self, now: Instant) {
        self.down_since.get_or_insert(now);
        while let Some(request) = self.claims.any() {
            self.give_up(request);
        }
    }

    /// The broker is back, and all subscriptions stand again.
    pub fn handle_up(&mut self, now: Instant) {
        if let Some(since) = self.down_since.take() {
            let lasted = now.saturating_duration_since(since);
            // What is on a stream waits there.
            if !matches!(self.config.format, Format::Streams(_)) {
                self.events.push_back(Event::Gap { lasted });
            }
            self.peers.renew(self.config.lease, now);
            self.say(&Word::Hello(self.life()));
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(number) = self.pending.overdue(now) {
            self.finish(number);
        }
        while let Some(request) = self.claims.overdue(now) {
            self.give_up(request);
        }
        if self.heartbeat_at <= now {
            self.heartbeat_at = now + self.config.heartbeat;
            if self.down_since.is_none() {
                self.say(&Word::Heartbeat(self.life()));
            }
        }
        if self.down_since.is_none() && self.recount_at.take_if(|at| *at <= now).is_some() {
            self.events.push_back(Event::Recount);
        }
        // Nobody can be heard while the broker is away.
        if self.down_since.is_none() {
            while let Some(uid) = self.peers.take_expired(now) {
                self.peer_left(uid);
            }
        }
    }

    // ---- C: what the application wants --------------------------------------------------------

    /// Takes part in a namespace: before its first client, or from the start.
    pub fn open(&mut self, namespace: &str) {
        for (subscription, heard) in self.config.format.subscriptions(namespace, &self.uid) {
            let route = Route::Node(heard);
            if self
                .routes
                .insert(subscription.name().into(), route)
                .is_none()
            {
                self.actions.push_back(subscription.begin());
            }
        }
    }

    /// Leaves a namespace: after its last client.
    pub fn close(&mut self, namespace: &str) {
        for (subscription, _) in self.config.format.subscriptions(namespace, &self.uid) {
            if self.routes.remove(subscription.name()).is_some() {
                self.actions.push_back(subscription.end());
            }
        }
        self.own.close(namespace);
    }

    /// How many sockets are somewhere here has changed: [`Event::Recount`] comes soon, and not while the
    /// broker is away.
    pub fn recount(&mut self, now: Instant) {
        if let Some(patience) = self.config.census {
            self.recount_at.get_or_insert(now + patience);
        }
    }

    /// So many are where something has changed.
    pub fn counted(&mut self, crowds: impl IntoIterator<Item = (Crowd, u64)>) {
        for (crowd, count) in crowds {
            self.own.set(crowd, count);
        }
        for counts in self.own.take_changes() {
            self.say(&Word::Counts(counts));
        }
    }

    /// A room has its first member here.
    pub fn open_room(&mut self, namespace: &str, room: &str) {
        let Some(subscription) = self.config.format.room(namespace, room) else {
            return;
        };
        // A room may be called as this node is, by whose channel it is then heard.
        if !self.routes.contains_key(subscription.name()) {
            let route = Route::Room(namespace.into(), room.into());
            self.routes.insert(subscription.name().into(), route);
            self.actions.push_back(subscription.begin());
        }
    }

    /// The last member of a room has left it.
    pub fn close_room(&mut self, namespace: &str, room: &str) {
        let Some(subscription) = self.config.format.room(namespace, room) else {
            return;
        };
        if let Some(Route::Room(..)) = self.routes.get(subscription.name()) {
            self.routes.remove(subscription.name());
            self.actions.push_back(subscription.end());
        }
    }

    /// Tells the others: a packet, rooms to join or leave, a disconnect, an event for the nodes.
    ///
    /// `seq` is the message's number among all of this node; those of one namespace come in the order
    /// of their numbers.
    pub fn tell(&mut self, namespace: &str, seq: u64, message: Message) {
        let formats = self.config.python.len();
        for format in 0..formats {
            let python = &self.config.python[format];
            for publish in python.encode(namespace, &self.host_id, message.clone()) {
                self.actions.push_back(Action::Publish(publish));
            }
        }
        let mut action = self.speech.say(namespace, &self.uid, message);
        if let Some(Action::Append { entry, .. }) = &mut action {
            entry.seq = Some(seq);
        }
        self.actions.extend(action);
    }

    /// Asks the others, and waits at most `timeout` for their answers, or as long as
    /// [`Config::timeout`] says: [`Event::Answered`] for each, then [`Event::Done`].
    ///
    /// While the broker is away nobody can answer, and the question is done at once.
    pub fn ask(
        &mut self,
        namespace: &str,
        question: Question,
        timeout: Option<Duration>,
        now: Instant,
    ) -> Request {
        let number = self.next_request;
        self.next_request += 1;
        let request = Request(number);
        let deadline = now + timeout.unwrap_or(self.config.timeout).min(FOR_EVER);
        self.pending.open(number, &question, deadline);
        // What was said before has not been done here by now.
        if self.config.strict_order
            && question == Question::Settled
            && let Some(open) = self.pending.get_mut(number)
        {
            open.awaits_own = true;
        }
        if self.down_since.is_some() {
            self.finish(number);
            return request;
        }
        let count = self.config.format.count(namespace, request);
        self.actions.push_back(count);
        if let Question::Emit(emit) = &question {
            self.ask_python(namespace, emit, number);
        }
        let request_name = self.request_name(number);
        let ask = Message::Ask {
            request: request_name,
            question,
        };
        match self.speech.say(namespace, &self.uid, ask) {
            Some(action) => self.actions.push_back(action),
            // A question that the format has no word for is one that nobody answers.
            None => self.finish(number),
        }
        request
    }

    /// Forgets a question: nothing of it is to be heard any more.
    pub fn forget(&mut self, request: Request) {
        self.pending.remove(request.0);
    }

    /// Answers a question of another node. A question that wants acks has several answers: first how
    /// many acks there will be, also if none, then each.
    pub fn answer(&mut self, reply: &Reply, answer: Answer) {
        let action = match &reply.by {
            By::Node(asker) => {
                let (format, request) = (&self.config.format, reply.request.clone());
                let asker = asker.as_deref();
                format.answer(&reply.namespace, &self.uid, asker, request, answer)
            }
            By::Python { format, host_id } => {
                let python = &self.config.python[*format];
                let publish = python.encode_answer(host_id, &reply.request, answer);
                publish.map(Action::Publish)
            }
        };
        self.actions.extend(action);
    }

    /// Whether sessions can be taken up by other nodes.
    pub fn shares_sessions(&self) -> bool {
        self.config.format.shares_sessions()
    }

    /// Writes a session, so that another node can take it up within so much time.
    pub fn keep(&mut self, mut session: Session, lasts: Duration) {
        let Format::Streams(streams) = &self.config.format else {
            return;
        };
        session.node = Some(self.uid.clone());
        self.actions.push_back(Action::Keep {
            key: format!("{}{}", streams.sessions, session.pid),
            value: session.encode(),
            lasts: lasts.min(FOR_EVER),
        });
    }

    /// A session has ended for good.
    pub fn forget_session(&mut self, pid: &str) {
        if let Format::Streams(streams) = &self.config.format {
            let key = format!("{}{pid}", streams.sessions);
            self.actions.push_back(Action::Forget(key));
        }
    }

    /// Takes a session from whoever has it: [`Event::Taken`].
    pub fn take(&mut self, pid: &str, now: Instant) -> Request {
        let request = self.claim(Step::Take, now);
        match &self.config.format {
            Format::Streams(streams) if self.down_since.is_none() && Session::is_pid(pid) => {
                let key = format!("{}{pid}", streams.sessions);
                self.actions.push_back(Action::Take { key, request });
            }
            _ => self.give_up(request),
        }
        request
    }

    /// Reads what was said in a namespace after an entry: [`Event::Missed`].
    pub fn missed(&mut self, namespace: &str, after: EntryId, now: Instant) -> Request {
        let request = self.claim(Step::Read(namespace.into()), now);
        match &self.config.format {
            Format::Streams(streams) if self.down_since.is_none() => {
                self.actions.push_back(Action::Range {
                    stream: streams.of(namespace),
                    after,
                    request,
                });
            }
            _ => self.give_up(request),
        }
        request
    }

    /// This node has let go of a session, which was this, if it had it.
    pub fn lets_go(&mut self, reply: Reply, session: Option<Session>) {
        let By::Node(Some(asker)) = reply.by else {
            return;
        };
        let word = Word::LetsGo {
            request: reply.request,
            session: session.map(|mut session| {
                session.node = Some(self.uid.clone());
                Box::new(session)
            }),
        };
        self.say_to(&asker, &word);
    }

    /// Says good-bye, so that nobody waits for this node.
    pub fn leave(&mut self) {
        self.say(&Word::Close);
    }

    // ---- D: what to do now --------------------------------------------------------------------

    /// The next thing for the bus to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next thing for the server to do or to know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Instant {
        let expiry = match self.down_since {
            None => self.peers.next_expiry(),
            Some(_) => None,
        };
        [
            self.pending.next_deadline(),
            self.claims.next_deadline(),
            expiry,
            self.recount_at.filter(|_| self.down_since.is_none()),
        ]
        .into_iter()
        .flatten()
        .fold(self.heartbeat_at, Instant::min)
    }
}
