//! Nodes with model hosts on a model broker, in virtual time; and one host that has all clients, whom
//! nothing can separate.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::{Duration, Instant},
};

use sio_cluster::{
    Action, Answer, Change, Config, Crowd, Emit, Entry, EntryId, Event, Message, Missing, Node,
    Question, RawEntry, RemoteSocket, Request,
};
use sio_packet::Value;
use sio_rooms::Selection;

/// The clients of one node: who is in which rooms, and what each has heard.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Host {
    pub(crate) sockets: BTreeMap<String, BTreeSet<String>>,
    pub(crate) heard: BTreeMap<String, Vec<String>>,
    pub(crate) server_events: Vec<String>,
}

impl Host {
    pub(crate) fn chosen(&self, to: &Selection) -> Vec<String> {
        let among =
            |id: &str, rooms: &BTreeSet<String>, name: &str| id == name || rooms.contains(name);
        let sockets = self.sockets.iter().filter(|(id, rooms)| {
            let reached = to.rooms().len() == 0 || to.rooms().any(|name| among(id, rooms, name));
            reached && !to.exceptions().any(|name| among(id, rooms, name))
        });
        sockets.map(|(id, _)| id.clone()).collect()
    }

    pub(crate) fn tell(&mut self, message: &Message) {
        match message {
            Message::Emit(emit) => {
                self.emit(emit);
            }
            Message::Join { to, rooms } => {
                for id in self.chosen(to) {
                    self.sockets
                        .get_mut(&id)
                        .unwrap()
                        .extend(rooms.iter().cloned());
                }
            }
            Message::Leave { to, rooms } => {
                for id in self.chosen(to) {
                    let socket = self.sockets.get_mut(&id).unwrap();
                    rooms.iter().for_each(|room| {
                        socket.remove(room);
                    });
                }
            }
            Message::Disconnect { to, .. } => {
                for id in self.chosen(to) {
                    self.sockets.remove(&id);
                }
            }
            Message::ServerEmit(data) => self.server_events.push(format!("{data:?}")),
            other => panic!("nobody says {other:?}"),
        }
    }

    pub(crate) fn emit(&mut self, emit: &Emit) -> Vec<String> {
        let chosen = self.chosen(&emit.to);
        for id in &chosen {
            let heard = self.heard.entry(id.clone()).or_default();
            heard.push(format!("{:?}", emit.data));
        }
        chosen
    }
}

/// A question that has been asked, and what has come of it.
#[derive(Debug, Default)]
pub(crate) struct Asking {
    pub(crate) answers: Vec<(Option<String>, Answer)>,
    pub(crate) done: Option<Missing>,
}

/// What a member hears by way of the broker.
pub(crate) struct Subscribed {
    subscriptions: BTreeSet<String>,
    patterns: BTreeSet<String>,
    streams: BTreeSet<String>,
}

pub(crate) struct Member {
    pub(crate) node: Node,
    pub(crate) host: Host,
    subscriptions: BTreeSet<String>,
    patterns: BTreeSet<String>,
    /// Rooms that its node has been told of.
    rooms: BTreeSet<String>,
    /// The streams it follows.
    streams: BTreeSet<String>,
    inbox: VecDeque<Letter>,
    /// Takes nothing from its inbox, like a process that has been stopped.
    pub(crate) frozen: bool,
    pub(crate) asking: HashMap<Request, Asking>,
    pub(crate) events: Vec<Event>,
    pub(crate) published: usize,
    /// What its node has been told of the sockets here, and has told of those elsewhere.
    here: BTreeMap<Crowd, u64>,
    pub(crate) elsewhere: BTreeMap<Crowd, i64>,
}

/// What the broker has for a member.
enum Letter {
    Entry {
        stream: String,
        id: EntryId,
        entry: Entry,
    },
    Message {
        subscription: String,
        channel: String,
        body: Vec<u8>,
    },
}

pub(crate) struct World {
    /// How many entries have been added to streams, and how many messages were numbered.
    entries: u64,
    told: u64,
    /// What is written at the broker, and what is on its streams.
    pub(crate) kept: BTreeMap<String, String>,
    log: Vec<(String, EntryId, Entry)>,
    pub(crate) members: Vec<Member>,
    pub(crate) now: Instant,
    pub(crate) connected: bool,
    /// How many of a hundred messages to subscribers are lost, of those that nodes say to one another alone.
    pub(crate) lost: u64,
    /// Whether what a node says comes back to it.
    strict_order: bool,
}

impl World {
    pub(crate) fn new(nodes: u8, config: &Config) -> Self {
        let now = Instant::now();
        let members = (0..nodes).map(|number| {
            let mut node = Node::new(config.clone(), [number; 16], now);
            node.open("/");
            Member {
                node,
                host: Host::default(),
                subscriptions: BTreeSet::new(),
                patterns: BTreeSet::new(),
                rooms: BTreeSet::new(),
                streams: BTreeSet::new(),
                inbox: VecDeque::new(),
                frozen: false,
                asking: HashMap::new(),
                events: Vec::new(),
                published: 0,
                here: BTreeMap::new(),
                elsewhere: BTreeMap::new(),
            }
        });
        let mut world = Self {
            entries: 0,
            told: 0,
            kept: BTreeMap::new(),
            log: Vec::new(),
            members: members.collect(),
            now,
            connected: true,
            lost: 0,
            strict_order: config.strict_order,
        };
        // All subscribe before any is heard, as nodes that have been up for a while.
        for number in 0..world.members.len() {
            world.act(number);
        }
        world
    }

    /// Lets time pass, a second at a time.
    pub(crate) fn wait(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now += Duration::from_secs(1);
            for number in 0..self.members.len() {
                if !self.members[number].frozen {
                    let now = self.now;
                    self.members[number].node.handle_timeout(now);
                }
            }
            self.settle(|len| len - 1);
        }
    }

    /// Delivers until nothing is left to deliver; `choose` picks whose turn it is.
    pub(crate) fn settle(&mut self, choose: impl FnMut(usize) -> usize) {
        self.settle_some(usize::MAX, choose);
    }

    /// Delivers so many messages, if there are so many.
    pub(crate) fn settle_some(&mut self, count: usize, mut choose: impl FnMut(usize) -> usize) {
        for number in 0..self.members.len() {
            self.act(number);
        }
        for _ in 0..count {
            let ready: Vec<_> = (0..self.members.len())
                .filter(|number| {
                    let member = &self.members[*number];
                    !member.frozen && !member.inbox.is_empty()
                })
                .collect();
            if ready.is_empty() {
                return;
            }
            let number = ready[choose(ready.len())];
            let member = &mut self.members[number];
            let letter = member.inbox.pop_front().unwrap();
            let host = &member.host;
            let has_room = |_: &str, room: &str| {
                host.sockets
                    .iter()
                    .any(|(id, rooms)| id == room || rooms.contains(room))
            };
            match letter {
                Letter::Entry { stream, id, entry } => {
                    let fields: Vec<_> = entry.fields().collect();
                    let fields = fields
                        .iter()
                        .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
                    member.node.handle_entry(&stream, id, fields);
                }
                Letter::Message {
                    subscription,
                    channel,
                    body,
                } => {
                    let node = &mut member.node;
                    node.handle_message(&subscription, &channel, &body, has_room, self.now);
                }
            }
            self.act(number);
        }
    }

    /// Does what a node wants done.
    fn act(&mut self, number: usize) {
        loop {
            if let Some(event) = self.members[number].node.poll_event() {
                self.members[number].handle(event);
            } else if let Some(action) = self.members[number].node.poll_action() {
                self.perform(number, action);
            } else if !self.members[number].tell_rooms(self.now) {
                return;
            }
        }
    }

    fn perform(&mut self, number: usize, action: Action) {
        match action {
            Action::Subscribe(channel) | Action::SubscribeShard(channel) => {
                self.members[number].subscriptions.insert(channel);
            }
            Action::SubscribePattern(pattern) => {
                self.members[number].patterns.insert(pattern);
            }
            Action::Unsubscribe(channel) | Action::UnsubscribeShard(channel) => {
                self.members[number].subscriptions.remove(&channel);
            }
            Action::UnsubscribePattern(pattern) => {
                self.members[number].patterns.remove(&pattern);
            }
            Action::Count { channel, request } | Action::CountShard { channel, request } => {
                let subscribed = |member: &&Member| member.subscriptions.contains(&channel);
                let count = self.members.iter().filter(subscribed).count() as u64;
                let count = self.connected.then_some(count);
                self.members[number].node.handle_count(request, count);
            }
            Action::Keep { key, value, .. } => {
                self.kept.insert(key, value);
            }
            Action::Forget(key) => {
                self.kept.remove(&key);
            }
            Action::Take { key, request } => {
                let value = self.kept.remove(&key);
                let value = value.as_ref().map(String::as_bytes);
                self.members[number].node.handle_taken(request, value);
            }
            Action::Range {
                stream,
                after,
                request,
            } => {
                let entries = self.log.iter();
                let entries = entries.filter(|(of, id, _)| *of == stream && *id > after);
                let entries = entries.map(|(_, id, entry)| {
                    let fields = entry.fields();
                    let fields =
                        fields.map(|(name, value)| (name.into(), value.into_owned().into()));
                    RawEntry {
                        id: *id,
                        fields: fields.collect(),
                    }
                });
                let entries = entries.collect();
                self.members[number]
                    .node
                    .handle_range(request, Some(entries));
            }
            Action::Follow(stream) => {
                self.members[number].streams.insert(stream);
            }
            Action::Append { stream, entry, .. } => {
                self.entries += 1;
                let id = EntryId {
                    millis: self.entries,
                    number: 0,
                };
                self.log.push((stream.clone(), id, entry.clone()));
                for member in &mut self.members {
                    if member.streams.contains(&stream) {
                        let (stream, entry) = (stream.clone(), entry.clone());
                        member.inbox.push_back(Letter::Entry { stream, id, entry });
                    }
                }
            }
            Action::Publish(publish) | Action::PublishShard(publish) => {
                self.members[number].published += 1;
                if !self.connected {
                    return;
                }
                for member in &mut self.members {
                    let channel = &publish.channel;
                    let pattern = member.patterns.iter().find(|pattern| {
                        channel.starts_with(pattern.strip_suffix('*').expect("a pattern of ours"))
                    });
                    let subscription = member.subscriptions.get(channel).or(pattern).cloned();
                    self.told += 1;
                    let number = self.told.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
                    let lost = channel.contains("-nodes#") && number % 100 < self.lost;
                    if let Some(subscription) = subscription.filter(|_| !lost) {
                        member.inbox.push_back(Letter::Message {
                            subscription,
                            channel: channel.clone(),
                            body: publish.body.clone(),
                        });
                    }
                }
            }
            other => panic!("nothing is known of {other:?}"),
        }
    }

    /// Something from outside, on a channel.
    pub(crate) fn inject(&mut self, channel: &str, body: &[u8]) {
        let publish = sio_cluster::Publish {
            channel: channel.into(),
            body: body.to_vec(),
        };
        self.perform(0, Action::Publish(publish));
        self.settle(|len| len - 1);
    }

    pub(crate) fn ask(&mut self, number: usize, question: Question) -> Request {
        let now = self.now;
        let member = &mut self.members[number];
        let request = member.node.ask("/", question, None, now);
        member.asking.insert(request, Asking::default());
        request
    }

    pub(crate) fn tell(&mut self, number: usize, message: Message) {
        let member = &mut self.members[number];
        if !matches!(message, Message::ServerEmit(_)) && !self.strict_order {
            member.host.tell(&message);
        }
        self.told += 1;
        member.node.tell("/", self.told, message);
    }
}

impl Member {
    /// As one that was killed: nothing of it is left at the broker.
    pub(crate) fn leave_broker(&mut self) -> Subscribed {
        self.frozen = true;
        Subscribed {
            subscriptions: std::mem::take(&mut self.subscriptions),
            patterns: std::mem::take(&mut self.patterns),
            streams: std::mem::take(&mut self.streams),
        }
    }

    /// The node was cut off, and is back.
    pub(crate) fn come_back(&mut self, subscribed: Subscribed, now: Instant) {
        self.frozen = false;
        self.subscriptions = subscribed.subscriptions;
        self.patterns = subscribed.patterns;
        self.streams = subscribed.streams;
        self.node.handle_down(now);
        self.node.handle_up(now);
    }

    /// Tells the node which rooms have members here, as sets of both; whether there was anything to
    /// tell.
    fn tell_rooms(&mut self, now: Instant) -> bool {
        let rooms: BTreeSet<_> = self.host.sockets.values().flatten().cloned().collect();
        if self.census() != self.here {
            self.node.recount(now);
        }
        for room in rooms.difference(&self.rooms) {
            self.node.open_room("/", room);
        }
        for room in self.rooms.difference(&rooms) {
            self.node.close_room("/", room);
        }
        let changed = rooms != self.rooms;
        self.rooms = rooms;
        changed
    }

    /// How many are in which room.
    pub(crate) fn census(&self) -> BTreeMap<Crowd, u64> {
        let mut census = BTreeMap::new();
        for rooms in self.host.sockets.values() {
            for room in rooms.iter().map(Some).chain([None]) {
                let crowd = Crowd {
                    namespace: "/".into(),
                    room: room.cloned(),
                };
                *census.entry(crowd).or_insert(0) += 1;
            }
        }
        census
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Recount => {
                let now = self.census();
                let before = std::mem::replace(&mut self.here, now.clone());
                let gone = before.into_keys().filter(|crowd| !now.contains_key(crowd));
                let gone: Vec<_> = gone.map(|crowd| (crowd, 0)).collect();
                self.node.counted(gone.into_iter().chain(now));
            }
            Event::Counted(changes) => {
                for Change { crowd, by } in changes {
                    *self.elsewhere.entry(crowd).or_insert(0) += by;
                }
                self.elsewhere.retain(|_, count| *count != 0);
            }
            Event::Told { message, .. } => self.host.tell(&message),
            Event::Asked {
                question, reply, ..
            } => match question {
                Question::Emit(emit) => {
                    let clients = self.host.emit(&emit);
                    self.node
                        .answer(&reply, Answer::Clients(clients.len() as u64));
                    for id in clients {
                        self.node.answer(&reply, Answer::Ack(vec![id.into()]));
                    }
                }
                Question::Fetch(to) => {
                    let sockets = self.host.chosen(&to).into_iter().map(|id| RemoteSocket {
                        rooms: self.host.sockets[&id].iter().cloned().collect(),
                        id,
                        handshake: Value::Null,
                        data: Value::Null,
                    });
                    let sockets = sockets.collect();
                    self.node.answer(&reply, Answer::Sockets(sockets));
                }
                Question::Rooms => {
                    let rooms: BTreeSet<_> =
                        self.host.sockets.values().flatten().cloned().collect();
                    let rooms = rooms.into_iter().collect();
                    self.node.answer(&reply, Answer::Rooms(rooms));
                }
                Question::SocketIds(to) => {
                    let ids = self.host.chosen(&to);
                    self.node.answer(&reply, Answer::SocketIds(ids));
                }
                Question::ServerEmit(data) => {
                    self.host.server_events.push(format!("{data:?}"));
                    let uid = self.node.uid().to_owned();
                    self.node.answer(&reply, Answer::ServerAck(uid.into()));
                }
                other => panic!("nobody asks {other:?}"),
            },
            Event::Answered {
                request,
                from,
                answer,
            } => {
                let asking = self.asking.get_mut(&request).expect("a question");
                assert!(asking.done.is_none(), "no answer comes after the end");
                asking.answers.push((from, answer));
            }
            Event::Own { .. } => {}
            Event::Done { request, missing } => {
                let asking = self.asking.entry(request).or_default();
                assert!(asking.done.replace(missing).is_none(), "done once");
            }
            event => self.events.push(event),
        }
    }
}
