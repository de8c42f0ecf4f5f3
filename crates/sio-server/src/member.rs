//! The task that speaks with the other nodes, and does here what they order.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sio_cluster::{
    Answer, At, Bus, BusEvent, Change, Emit, EntryId, Event, Flags, Message, Node, Past, Question,
    RemoteSocket, Reply, Request, Session,
};
use sio_packet::{Arguments, Object, Value};
use sio_rooms::Selection;
use tokio::sync::{mpsc, oneshot};

use crate::{
    calls::Calls,
    clock,
    cluster::{Application, Cluster, ClusterEvent, Command},
    conn::{Command as Order, Form, Mode},
    counters::Limit,
    handshake::Handshake,
    hearing::Ear,
    hub::Hub,
    io::Io,
    memory,
    place::{Origin, Place},
    socket::{self, AnySocket},
};

struct Member {
    hub: Weak<Hub>,
    node: Node,
    bus: Box<dyn Bus>,
    queued: Arc<AtomicUsize>,
    asked: HashMap<Request, Ear>,
    application: Application,
    taking: HashMap<Request, oneshot::Sender<Option<Box<Session>>>>,
    missing: HashMap<Request, oneshot::Sender<Option<Vec<Past>>>>,
    /// In how many parts of its namespace a room has members.
    rooms: HashMap<(Box<str>, Box<str>), usize>,
}

/// Runs until the hub is gone.
pub(crate) async fn run(
    hub: Weak<Hub>,
    node: Node,
    bus: Box<dyn Bus>,
    mut commands: mpsc::UnboundedReceiver<Command>,
    queued: Arc<AtomicUsize>,
    application: Application,
) {
    let mut member = Member {
        hub,
        node,
        bus,
        queued,
        asked: HashMap::new(),
        application,
        taking: HashMap::new(),
        missing: HashMap::new(),
        rooms: HashMap::new(),
    };
    // Until the broker has said that it is there, nobody can be asked.
    member.node.handle_down(clock::now());
    member.drain();
    loop {
        let deadline = member.node.poll_timeout().into();
        tokio::select! {
            command = commands.recv() => match command {
                Some(command) => member.command(command),
                None => break,
            },
            event = std::future::poll_fn(|cx| member.bus.poll_event(cx)) => member.hear(event),
            () = tokio::time::sleep_until(deadline) => member.node.handle_timeout(clock::now()),
        }
        member.drain();
    }
    member.node.leave();
    member.drain();
    // For the good-bye to leave.
    tokio::time::sleep(Duration::from_millis(50)).await;
}

impl Member {
    fn command(&mut self, command: Command) {
        match command {
            Command::Answer { reply, answer } => self.node.answer(&reply, answer),
            Command::Ask {
                namespace,
                question,
                timeout,
                heard,
            } => {
                // The table is for questions that somebody waits for.
                self.asked.retain(|_, heard| !heard.is_closed());
                let request = self.node.ask(&namespace, question, timeout, clock::now());
                self.asked.insert(request, heard);
            }
            Command::Close(namespace) => {
                self.node.close(&namespace);
                self.node.recount(clock::now());
            }
            Command::CloseRoom(namespace, room) => self.close_room(namespace, room),
            Command::ForgetSession(pid) => self.node.forget_session(&pid),
            Command::Keep { session, lasts } => self.node.keep(*session, lasts),
            Command::LetsGo { reply, session } => {
                self.node.lets_go(reply, session.map(|session| *session));
            }
            Command::Missed {
                namespace,
                after,
                missed,
            } => {
                let request = self.node.missed(&namespace, after, clock::now());
                self.missing.insert(request, missed);
            }
            Command::Take { pid, taken } => {
                let request = self.node.take(&pid, clock::now());
                self.taking.insert(request, taken);
            }
            Command::Recount => self.node.recount(clock::now()),
            Command::Open(namespace) => self.node.open(&namespace),
            Command::OpenRoom(namespace, room) => self.open_room(namespace, room),
            Command::Tell {
                namespace,
                seq,
                message,
                weight,
            } => {
                self.node.tell(&namespace, seq, message);
                // By then it is counted where it waits next.
                self.drain();
                self.queued.fetch_sub(weight, Ordering::Relaxed);
            }
        }
    }

    fn open_room(&mut self, namespace: Box<str>, room: Box<str>) {
        let parts = self
            .rooms
            .entry((namespace, room))
            .or_insert_with_key(|(namespace, room)| {
                self.node.open_room(namespace, room);
                0
            });
        *parts += 1;
    }

    fn close_room(&mut self, namespace: Box<str>, room: Box<str>) {
        let Entry::Occupied(mut parts) = self.rooms.entry((namespace, room)) else {
            return;
        };
        *parts.get_mut() -= 1;
        if *parts.get() == 0 {
            let ((namespace, room), _) = parts.remove_entry();
            self.node.close_room(&namespace, &room);
        }
    }

    fn hear(&mut self, event: BusEvent) {
        match event {
            BusEvent::Counted {
                request,
                subscribers,
            } => self.node.handle_count(request, subscribers),
            BusEvent::Down { reason } => {
                tracing::warn!(%reason, "the broker is away: other nodes are not heard");
                self.node.handle_down(clock::now());
                self.update(|status| status.up = false);
                self.application.tell(&ClusterEvent::BrokerDown { reason });
            }
            BusEvent::Entry { stream, entry } => {
                if let Some(cluster) = cluster_of(&self.hub) {
                    cluster.set_read(&stream, entry.id);
                }
                self.node.handle_entry(&stream, entry.id, entry.fields());
            }
            BusEvent::Followed { stream, after } => self.follow(&stream, after),
            BusEvent::Lost { messages } => {
                tracing::warn!(messages, "messages were not heard by other nodes");
                self.update(|status| status.lost += messages);
                self.application.tell(&ClusterEvent::Lost { messages });
            }
            BusEvent::Message {
                subscription,
                channel,
                body,
            } => {
                let hub = self.hub.upgrade();
                let has_room = |namespace: &str, room: &str| {
                    let realm = hub.as_ref().and_then(|hub| hub.existing(namespace));
                    realm.is_some_and(|realm| realm.place().has(room))
                };
                let now = clock::now();
                self.node
                    .handle_message(&subscription, &channel, &body, has_room, now);
            }
            BusEvent::Range { request, entries } => {
                self.node.handle_range(request, entries);
            }
            BusEvent::Taken { request, value } => {
                self.node.handle_taken(request, value.as_deref());
            }
            BusEvent::Trimmed { stream } => self.node.handle_trimmed(&stream),
            BusEvent::Up => {
                tracing::info!("the broker is there");
                self.node.handle_up(clock::now());
                self.update(|status| status.up = true);
                // What has been missed is told first.
                self.drain();
                self.application.tell(&ClusterEvent::BrokerUp);
            }
            _ => {}
        }
    }

    fn drain(&mut self) {
        loop {
            if let Some(event) = self.node.poll_event() {
                self.obey(event);
            } else if let Some(action) = self.node.poll_action() {
                self.bus.act(action);
            } else {
                return;
            }
        }
    }

    fn obey(&mut self, event: Event) {
        match event {
            Event::Answered {
                request,
                from,
                answer,
            } => {
                if let Some(ear) = self.asked.get_mut(&request)
                    && !ear.hear(from, answer)
                    && let Some(hub) = self.hub.upgrade()
                {
                    hub.shards[0].tally.hit(Limit::AnswerBytes);
                }
            }
            Event::Asked {
                namespace,
                question,
                reply,
            } => self.answer(&namespace, question, reply),
            Event::Counted(changes) => self.count_others(changes),
            Event::Recount => {
                let hub = self.hub.upgrade();
                let places = hub.iter().flat_map(|hub| hub.places());
                let counts: Vec<_> = places.flat_map(|place| place.unsaid()).collect();
                self.node.counted(counts);
            }
            Event::Done { request, missing } => {
                if let Some(ear) = self.asked.remove(&request) {
                    ear.done(missing);
                }
            }
            Event::Gap { lasted } => {
                self.update(|status| status.gaps += 1);
                tracing::warn!(?lasted, "what other nodes said meanwhile has been lost");
                self.application.tell(&ClusterEvent::Gap { lasted });
            }
            Event::PeerJoined(name) => {
                tracing::info!(name, "a node has come");
                self.update_peers();
                self.count_others(Vec::new());
                self.application.tell(&ClusterEvent::NodeJoined { name });
            }
            Event::Doors => self.update_doors(),
            Event::PeerLeft(name) => {
                tracing::info!(name, "a node has gone");
                self.update_peers();
                self.update_doors();
                self.application.tell(&ClusterEvent::NodeLeft { name });
            }
            Event::Refused { channel, error } => {
                tracing::warn!(channel, %error, "a message from the broker was skipped");
                let refused = self.node.refused();
                self.update(|status| status.refused = refused);
                self.application
                    .tell(&ClusterEvent::Skipped { channel, error });
            }
            Event::Told {
                namespace,
                message: Message::ServerEmit(data),
                ..
            } => {
                self.begin(&namespace, data, |_| {});
            }
            Event::LetGo { pid, reply } => self.let_go(pid, reply),
            Event::Missed { request, packets } => {
                if let Some(missed) = self.missing.remove(&request) {
                    let _ = missed.send(packets);
                }
            }
            Event::Own { namespace, at } => {
                if let Some(place) = self.place(&namespace) {
                    place.confirm(&at);
                }
            }
            Event::Rewrite { pid } => {
                for place in self.hub.upgrade().iter().flat_map(|hub| hub.places()) {
                    if let Some(memory) = place.memory() {
                        memory.with(|log| log.rewrite(&pid));
                    }
                }
            }
            Event::Taken { request, session } => {
                if let Some(taken) = self.taking.remove(&request) {
                    let _ = taken.send(session);
                }
            }
            Event::Told {
                namespace,
                message,
                at,
            } => {
                if let Some(place) = self.place(&namespace) {
                    obey(&place, &namespace, message, at.as_ref());
                }
            }
            Event::Trimmed { stream } => {
                self.update(|status| status.gaps += 1);
                for place in self.hub.upgrade().iter().flat_map(|hub| hub.places()) {
                    if let Some(memory) = place.memory() {
                        memory.with(|log| log.handle_loss());
                    }
                }
                tracing::warn!(
                    stream,
                    "entries were cut off before they were read: they are lost"
                );
                self.application.tell(&ClusterEvent::Trimmed { stream });
            }
            _ => {}
        }
    }

    /// Answers what other nodes ask. A namespace that nobody here is in has an answer as well, since
    /// whoever asks counts the answers.
    fn answer(&mut self, namespace: &str, question: Question, reply: Reply) {
        let place = self.place(namespace);
        let select = |to: &Selection| place.as_ref().map(|place| place.select(to));
        let answer = match question {
            Question::Disconnect { to, close } => {
                if let Some(place) = &place {
                    disconnect(place, &to, close);
                }
                Answer::Done
            }
            Question::Emit(emit) => {
                self.ask_clients(place, namespace, emit, reply);
                return;
            }
            Question::Fetch(to) => {
                let sockets = select(&to).unwrap_or_default();
                Answer::Sockets(sockets.iter().map(describe).collect())
            }
            Question::Join { to, rooms } => {
                if let Some(place) = &place {
                    join(place, &to, &rooms);
                }
                Answer::Done
            }
            Question::Leave { to, rooms } => {
                if let Some(place) = &place {
                    leave(place, &to, &rooms);
                }
                Answer::Done
            }
            Question::Rooms => {
                let rooms = place.as_ref().map(|place| place.rooms());
                let ids = select(&Selection::everyone()).unwrap_or_default();
                let ids = ids
                    .iter()
                    .map(|socket| socket.core().id.as_ref().to_owned());
                Answer::Rooms(rooms.unwrap_or_default().into_keys().chain(ids).collect())
            }
            Question::SocketIds(to) => {
                let sockets = select(&to).unwrap_or_default();
                let ids = sockets.iter();
                Answer::SocketIds(
                    ids.map(|socket| socket.core().id.as_ref().to_owned())
                        .collect(),
                )
            }
            Question::ServerEmit(data) => {
                let hub = self.hub.clone();
                let answering = reply.clone();
                let begun = self.begin(namespace, data, move |answer| {
                    if let Some(cluster) = cluster_of(&hub) {
                        cluster.send(Command::Answer {
                            reply: answering,
                            answer: answer.map_or(Answer::Declined, Answer::ServerAck),
                        });
                    }
                });
                if begun {
                    return;
                }
                // Without an answer Node would wait for one in vain.
                Answer::Declined
            }
            _ => Answer::Done,
        };
        self.node.answer(&reply, answer);
    }

    /// Runs the handler of an event of another node, if there is one and there is room for it.
    fn begin(
        &self,
        namespace: &str,
        data: Vec<Value>,
        done: impl FnOnce(Option<Value>) + Send + 'static,
    ) -> bool {
        let (event, Arguments(args)) = split(data);
        let Some(hub) = self.hub.upgrade() else {
            return false;
        };
        let realm = hub.existing(namespace);
        let Some(handler) = realm.and_then(|realm| realm.node_handler(&event)) else {
            tracing::debug!(
                event,
                namespace,
                "nobody here handles an event of another node"
            );
            return false;
        };
        let handling = handler.call(Io::from_hub(hub).of(namespace), args);
        let begun = self.application.errands.begin(handling, done);
        if !begun {
            tracing::warn!(event, namespace, "too many events of other nodes wait");
        }
        begun
    }

    /// Asks clients for acks on behalf of another node.
    fn ask_clients(
        &mut self,
        place: Option<Arc<Place>>,
        namespace: &str,
        emit: Emit,
        reply: Reply,
    ) {
        let Emit { to, data, flags } = emit;
        let Some((hub, place)) = self.hub.upgrade().zip(place) else {
            self.node.answer(&reply, Answer::Clients(0));
            return;
        };
        let (event, args) = split(data);
        let mode = place.mode(Mode::Reliable, None);
        let asked = place.ask::<Arguments>(&to, mode, |frames, ack| {
            frames.event(namespace, Some(ack), &event, &args)
        });
        let count = asked.as_ref().map_or(0, |asked| asked.len());
        self.node.answer(&reply, Answer::Clients(count as u64));
        let timeout = flags.timeout.unwrap_or(hub.config.ack_timeout);
        let calls = Calls::new(asked, timeout);
        let hub = self.hub.clone();
        tokio::spawn(async move {
            let each = calls.each(|_, answer| {
                if let (Ok(Arguments(args)), Some(cluster)) = (answer, cluster_of(&hub)) {
                    cluster.send(Command::Answer {
                        reply: reply.clone(),
                        answer: Answer::Ack(args),
                    });
                }
            });
            if let Err(error) = each.await {
                tracing::warn!(%error, "clients could not be asked for another node");
            }
        });
    }

    /// A stream is read from here on: what was on it before is nobody's here.
    fn follow(&self, stream: &str, after: EntryId) {
        let Some(hub) = self.hub.upgrade() else {
            return;
        };
        let Some(cluster) = &hub.cluster else { return };
        // Not even an empty stream has been followed from nowhere.
        let after = after.max(EntryId {
            millis: 0,
            number: 1,
        });
        cluster.set_read(stream, after);
        for place in hub.places() {
            if let (Some(memory), Some(read)) = (place.memory(), cluster.read_of(place.name())) {
                memory.with(|log| log.follow(read));
            }
        }
    }

    /// Closes the connection of a session whose client has come to another node, and tells that node
    /// what there was of it.
    fn let_go(&self, pid: String, reply: Reply) {
        let places = self.hub.upgrade().map(|hub| hub.places());
        let mut places = places.unwrap_or_default().into_iter();
        let place = places.find(|place| {
            let memory = place.memory();
            memory.is_some_and(|memory| memory.with(|log| log.contains(&pid)))
        });
        let hub = self.hub.clone();
        tokio::spawn(async move {
            let mut session = None;
            if let Some(place) = place {
                memory::fence(&place, &pid).await;
                session = place
                    .memory()
                    .and_then(|memory| memory.with(|log| log.let_go(&pid)))
                    .map(Box::new);
            }
            if let Some(cluster) = cluster_of(&hub) {
                cluster.send(Command::LetsGo { reply, session });
            }
        });
    }

    fn place(&self, namespace: &str) -> Option<Arc<Place>> {
        let realm = self.hub.upgrade()?.existing(namespace)?;
        Some(Arc::clone(realm.place()))
    }

    fn update(&self, f: impl FnOnce(&mut crate::ClusterStatus)) {
        if let Some(cluster) = cluster_of(&self.hub) {
            cluster.update(f);
        }
    }

    fn count_others(&self, changes: Vec<Change>) {
        if let Some(cluster) = cluster_of(&self.hub) {
            let uncounted = self.node.uncounted().map(str::to_owned).collect();
            cluster.others().change(changes, uncounted);
        }
    }

    fn update_doors(&self) {
        let cluster = cluster_of(&self.hub);
        if let Some(neighbours) = cluster.as_ref().and_then(|known| known.neighbours.as_ref()) {
            neighbours.set(self.node.doors());
        }
    }

    fn update_peers(&self) {
        let peers = self.node.peers().map(str::to_owned).collect();
        self.update(|status| status.peers = peers);
    }
}

fn cluster_of(hub: &Weak<Hub>) -> Option<Arc<Cluster>> {
    hub.upgrade()?.cluster.clone()
}

/// Does for the clients here what another node has said.
fn obey(place: &Arc<Place>, namespace: &str, message: Message, at: Option<&At>) {
    match message {
        Message::Disconnect { to, close } => disconnect(place, &to, close),
        Message::Emit(Emit { to, data, flags }) => {
            let (event, args) = split(data);
            let (mode, form) = manner(flags);
            let mode = place.mode(mode, None);
            let origin = at.map_or(Origin::Here, Origin::Stream);
            let emitted = place.emit(&to, mode, form, origin, |frames| {
                frames.event(namespace, None, &event, &args)
            });
            if let Err(error) = emitted {
                tracing::warn!(event, %error, "a packet of another node could not be written");
            }
        }
        Message::Join { to, rooms } => join(place, &to, &rooms),
        Message::Leave { to, rooms } => leave(place, &to, &rooms),
        _ => {}
    }
}

fn join(place: &Place, to: &Selection, rooms: &[String]) {
    for socket in place.select(to) {
        for room in rooms {
            socket.core().join(room);
        }
    }
}

fn leave(place: &Place, to: &Selection, rooms: &[String]) {
    for socket in place.select(to) {
        for room in rooms {
            socket.core().leave_room(room);
        }
    }
}

fn disconnect(place: &Place, to: &Selection, close: bool) {
    for socket in place.select(to) {
        if close {
            socket.core().conn.command(Order::Disconnect);
        } else {
            socket::remove(&socket);
        }
    }
}

/// A socket as other nodes hear of it. Its data stays here: it is of a type of the application's.
pub(crate) fn describe(socket: &Arc<dyn AnySocket>) -> RemoteSocket {
    let core = socket.core();
    let (conn, place) = (Arc::clone(&core.conn), Arc::clone(&core.place));
    let handshake = Handshake::new(conn, place, core.auth.clone());
    let handshake = serde_json::to_value(handshake).unwrap_or_default();
    RemoteSocket {
        id: core.id.as_ref().to_owned(),
        handshake: handshake.into(),
        rooms: core.rooms(),
        data: Object::new().into(),
    }
}

pub(crate) fn split(data: Vec<Value>) -> (String, Arguments) {
    let mut data = data.into_iter();
    let event = match data.next() {
        Some(Value::String(event)) => event,
        _ => String::new(),
    };
    (event, Arguments(data.collect()))
}

fn manner(flags: Flags) -> (Mode, Form) {
    let mode = match flags.volatile {
        true => Mode::Volatile,
        false => Mode::Reliable,
    };
    let form = match flags.compress {
        Some(false) => Form::AsItIs,
        _ => Form::Any,
    };
    (mode, form)
}
