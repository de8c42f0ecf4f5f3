//! What a node makes of what it hears: words of other nodes, packets, questions and answers.

use std::time::Instant;

use super::{Action, At, Event, HOST_PREFIX, Node, Reply, Route, orders::By};
use crate::{
    DecodeError,
    adapter::Entry,
    census::Ask,
    claims::Step,
    classic::Classic,
    format::Format,
    message::{Answer, Emit, Envelope, Message, Publish, Question},
    peers::{self, Door, Life, Word},
    pending::Request,
    python::Python,
    session::Session,
    streams::EntryId,
};

impl Node {
    pub(super) fn handle_nodes(&mut self, body: &[u8], now: Instant) -> Result<(), DecodeError> {
        let (from, word) = peers::decode(body)?;
        if from == self.uid {
            return Ok(());
        }
        let mut door = None;
        match word {
            Word::Close => {
                if self.peers.gone(&from) {
                    self.peer_left(from);
                }
                return Ok(());
            }
            Word::Count if self.config.census.is_some() => {
                for counts in self.own.whole() {
                    self.say_to(&from, &Word::Counts(counts));
                }
            }
            Word::Counts(counts) if self.config.census.is_some() => {
                let (changes, ask) = self.census.hear(&from, counts, now);
                self.ask_for_counts(&from, ask);
                self.events.push_back(Event::Counted(changes));
            }
            Word::Count | Word::Counts(_) => {}
            Word::Heartbeat(life) => door = self.lives(&from, life, now),
            Word::Hello(life) => {
                self.say(&Word::Heartbeat(self.life()));
                door = self.lives(&from, life, now);
                self.recall(&from, now);
            }
            Word::LetGo { request, pid } => {
                let reply = Reply {
                    namespace: String::new(),
                    request,
                    by: By::Node(Some(from.clone())),
                };
                self.events.push_back(Event::LetGo { pid, reply });
            }
            Word::LetsGo { request, session } => {
                let number = request.strip_prefix(&self.uid);
                if let Some(number) = number.and_then(|number| number.parse().ok()) {
                    self.fenced(Request(number), session);
                }
            }
        }
        let is_new = self.peers.heard(&from, self.config.lease, now);
        if door.is_some_and(|door| self.peers.has_door(&from, door)) {
            self.events.push_back(Event::Doors);
        }
        if is_new {
            self.events.push_back(Event::PeerJoined(from));
        }
        Ok(())
    }

    pub(super) fn handle_packet(
        &mut self,
        namespace: String,
        channel: &str,
        body: &[u8],
        has_room: impl FnOnce(&str, &str) -> bool,
    ) -> Result<(), DecodeError> {
        let Format::Classic(classic) = &self.config.format else {
            return Ok(());
        };
        // Most of what a node that emits hears is its own.
        if !self.config.strict_order && Classic::is_from(&self.uid, body) {
            return Ok(());
        }
        let room = classic.room(&namespace, channel);
        if room.is_some_and(|room| !has_room(&namespace, room)) {
            return Ok(());
        }
        let envelope = classic.decode_packet(body)?;
        let own = envelope.from.as_deref() == Some(&self.uid);
        // A pattern may fit a channel of another namespace.
        if (self.config.strict_order || !own) && envelope.namespace.as_deref() == Some(&namespace) {
            self.told(namespace, envelope.message, None);
        }
        Ok(())
    }

    pub(super) fn handle_request(
        &mut self,
        namespace: String,
        body: &[u8],
    ) -> Result<(), DecodeError> {
        let Format::Classic(classic) = &self.config.format else {
            return Ok(());
        };
        let envelope = classic.decode_request(&namespace, body)?;
        self.obey(namespace, envelope, None);
        Ok(())
    }

    pub(super) fn handle_response(&mut self, body: &[u8]) -> Result<(), DecodeError> {
        let Format::Classic(classic) = &self.config.format else {
            return Ok(());
        };
        let mut number = None;
        let pending = &self.pending;
        let uid = &self.uid;
        let envelope = classic.decode_response(body, |request| {
            number = request.strip_prefix(uid)?.parse().ok();
            pending.asked(number?)
        })?;
        if let (Some(envelope), Some(number)) = (envelope, number)
            && let Message::Answer { answer, .. } = envelope.message
        {
            self.answered(number, envelope.from, answer);
        }
        Ok(())
    }

    /// A message of a cluster adapter: whatever it may be.
    pub(super) fn handle_any(&mut self, namespace: String, body: &[u8]) -> Result<(), DecodeError> {
        let envelope = Format::decode(body)?;
        // Two namespaces may share a channel, where one is called like a room of the other.
        if envelope.namespace.as_deref() == Some(&namespace) {
            self.obey(namespace, envelope, None);
        }
        Ok(())
    }

    pub(super) fn read_entry<'a>(
        &mut self,
        id: EntryId,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<(), DecodeError> {
        let Format::Streams(streams) = &self.config.format else {
            return Ok(());
        };
        let entry = Entry::from_fields(fields)?;
        // What is for a namespace that nobody here is in is not even read.
        if !self.routes.contains_key(&streams.common(&entry.nsp)) {
            return Ok(());
        }
        if entry.uid == self.uid && !self.config.strict_order {
            let (seq, uid, namespace) = (entry.seq, entry.uid, entry.nsp);
            let at = At { id, seq, uid };
            self.events.push_back(Event::Own { namespace, at });
            return Ok(());
        }
        let mut envelope = entry.decode()?;
        let namespace = envelope.namespace.take().unwrap_or_default();
        let at = At {
            id,
            seq: entry.seq,
            uid: entry.uid,
        };
        self.obey(namespace, envelope, Some(at));
        Ok(())
    }

    /// Does what another node has said, or asks for it to be done.
    fn obey(&mut self, namespace: String, envelope: Envelope, at: Option<At>) {
        if envelope.from.as_deref() == Some(&self.uid) {
            self.obey_own(namespace, envelope.message, at);
            return;
        }
        match envelope.message {
            Message::Ask { request, question } => {
                let reply = Reply {
                    namespace: namespace.clone(),
                    request,
                    by: By::Node(envelope.from),
                };
                self.events.push_back(Event::Asked {
                    namespace,
                    question,
                    reply,
                });
            }
            Message::Answer { request, answer } => {
                let number = request.strip_prefix(&self.uid);
                if let Some(number) = number.and_then(|number| number.parse().ok()) {
                    self.answered(number, envelope.from, answer);
                }
            }
            // Said by Node's adapters with heartbeats, which these are not.
            Message::Close | Message::Heartbeat | Message::Hello => {}
            message => self.told(namespace, message, at),
        }
    }

    /// What this node has said has come back. Node acts on its own orders then, and so does this one if
    /// there is to be one order for all; else it has acted already.
    fn obey_own(&mut self, namespace: String, message: Message, at: Option<At>) {
        if !self.config.strict_order {
            return;
        }
        match message {
            Message::Ask { request, .. } => {
                let number = request.strip_prefix(&self.uid);
                if let Some(number) = number.and_then(|number| number.parse().ok())
                    && let Some(open) = self.pending.get_mut(number)
                {
                    open.awaits_own = false;
                    self.finish_if_done(number);
                }
            }
            Message::Disconnect { .. }
            | Message::Emit(_)
            | Message::Join { .. }
            | Message::Leave { .. } => self.told(namespace, message, at),
            _ => {}
        }
    }

    fn told(&mut self, namespace: String, message: Message, at: Option<At>) {
        self.events.push_back(Event::Told {
            namespace,
            message,
            at,
        });
    }

    pub(super) fn refuse(&mut self, channel: &str, error: DecodeError) {
        self.refused += 1;
        let channel = channel.to_owned();
        self.events.push_back(Event::Refused { channel, error });
    }

    pub(super) fn handle_python(&mut self, format: usize, body: &[u8]) -> Result<(), DecodeError> {
        let envelope = self.config.python[format].decode(body)?;
        let host_id = envelope.from.unwrap_or_default();
        let namespace = envelope.namespace.unwrap_or_else(|| "/".into());
        match envelope.message {
            Message::Answer { request, answer } => {
                if host_id == self.host_id
                    && let Some(number) = python_number(&request)
                    && self.pending.asked(number).is_some()
                {
                    self.answered(number, None, answer);
                }
            }
            // Of ours, this one included: it is heard in the first format.
            _ if host_id.starts_with(HOST_PREFIX) => {}
            Message::Ask { request, question } => {
                let reply = Reply {
                    namespace: namespace.clone(),
                    request,
                    by: By::Python { format, host_id },
                };
                self.events.push_back(Event::Asked {
                    namespace,
                    question,
                    reply,
                });
            }
            message => self.told(namespace, message, None),
        }
        Ok(())
    }

    /// Python's managers can ask the clients of one room, and nobody says how many they are.
    pub(super) fn ask_python(&mut self, namespace: &str, emit: &Emit, number: u64) {
        let mut rooms = emit.to.rooms();
        let (Some(room), None) = (rooms.next(), rooms.next()) else {
            // To be heard at least, though not asked.
            for python in &self.config.python {
                let emit = Message::Emit(emit.clone());
                let publish = python.encode(namespace, &self.host_id, emit);
                self.actions
                    .extend(publish.into_iter().map(Action::Publish));
            }
            return;
        };
        for python in &self.config.python {
            let ask = Message::Ask {
                request: Python::request(room, namespace, number),
                question: Question::Emit(emit.clone()),
            };
            let publish = python.encode(namespace, &self.host_id, ask);
            self.actions
                .extend(publish.into_iter().map(Action::Publish));
        }
        if let Some(open) = self.pending.get_mut(number) {
            open.unannounced = !self.config.python.is_empty();
        }
    }

    pub(super) fn claim(&mut self, step: Step, now: Instant) -> Request {
        let number = self.next_request;
        self.next_request += 1;
        self.claims.open(number, step, now);
        Request(number)
    }

    /// Who had a session has let go of it, and says what it was, or is not there any more.
    pub(super) fn fenced(&mut self, request: Request, session: Option<Box<Session>>) {
        match self.claims.close(request) {
            Some(Step::Fence(taken)) => {
                let session = Some(session.unwrap_or(taken));
                self.events.push_back(Event::Taken { request, session });
            }
            Some(Step::Recall(pid)) => self.events.push_back(Event::Rewrite { pid }),
            _ => {}
        }
    }

    /// Has a node that is back let go of what was taken from it while it was not there.
    fn recall(&mut self, uid: &str, now: Instant) {
        for pid in self.taken.take(uid) {
            let request = self.claim(Step::Recall(pid.clone()), now);
            let request = self.request_name(request.0);
            self.say_to(uid, &Word::LetGo { request, pid });
        }
    }

    pub(super) fn give_up(&mut self, request: Request) {
        let event = match self.claims.close(request) {
            Some(Step::Fence(_) | Step::Take) => Event::Taken {
                request,
                session: None,
            },
            Some(Step::Read(_)) => Event::Missed {
                request,
                packets: None,
            },
            Some(Step::Recall(pid)) => Event::Rewrite { pid },
            None => return,
        };
        self.events.push_back(event);
    }

    fn answered(&mut self, number: u64, from: Option<String>, answer: Answer) {
        let Some(open) = self.pending.get_mut(number) else {
            return;
        };
        if open.hear(from.as_deref(), &answer) {
            let request = Request(number);
            self.events.push_back(Event::Answered {
                request,
                from,
                answer,
            });
        }
        self.finish_if_done(number);
    }

    pub(super) fn finish_if_done(&mut self, number: u64) {
        if self
            .pending
            .get_mut(number)
            .is_some_and(|open| open.is_done())
        {
            self.finish(number);
        }
    }

    pub(super) fn finish(&mut self, number: u64) {
        if let Some(open) = self.pending.remove(number) {
            self.events.push_back(Event::Done {
                request: Request(number),
                missing: open.missing(self.peers.names()),
            });
        }
    }

    pub(super) fn peer_left(&mut self, uid: String) {
        for number in self.pending.numbers() {
            if let Some(open) = self.pending.get_mut(number) {
                open.lose(&uid);
            }
            self.finish_if_done(number);
        }
        let changes = self.census.forget(&uid);
        self.events.push_back(Event::PeerLeft(uid));
        self.events.push_back(Event::Counted(changes));
    }

    pub(super) fn request_name(&self, number: u64) -> String {
        format!("{}{number}", self.uid)
    }

    pub(super) fn nodes_channel(&self) -> String {
        self.config.format.nodes()
    }

    pub(super) fn subscribe(&mut self, channel: String, route: Route) {
        self.routes.insert(channel.clone(), route);
        self.actions.push_back(Action::Subscribe(channel));
    }

    /// Where one node alone hears what nodes of ours say.
    pub(super) fn own_channel(&self, uid: &str) -> String {
        format!("{}{uid}#", self.nodes_channel())
    }

    fn ask_for_counts(&mut self, of: &str, ask: Ask) {
        if ask == Ask::Yes {
            self.say_to(of, &Word::Count);
        }
    }

    /// A node lives, and has said its counts so often.
    fn lives(&mut self, uid: &str, life: Life, now: Instant) -> Option<Door> {
        if let (Some(_), Some(said)) = (self.config.census, life.said) {
            let ask = self.census.lives(uid, said, now);
            self.ask_for_counts(uid, ask);
        }
        life.door
    }

    pub(super) fn life(&self) -> Life {
        Life {
            said: self.said(),
            door: self.config.door.clone(),
        }
    }

    /// How often this node has said its counts, if it does.
    fn said(&self) -> Option<u64> {
        self.config.census.map(|_| self.own.said())
    }

    /// To all nodes of ours.
    pub(super) fn say(&mut self, word: &Word) {
        let channel = self.nodes_channel();
        self.say_on(channel, word);
    }

    /// To one of them.
    pub(super) fn say_to(&mut self, uid: &str, word: &Word) {
        let channel = self.own_channel(uid);
        self.say_on(channel, word);
    }

    fn say_on(&mut self, channel: String, word: &Word) {
        let body = peers::encode(&self.uid, word);
        let publish = Publish { channel, body };
        self.actions.push_back(Action::Publish(publish));
    }
}

/// The number within [`Python::request`].
fn python_number(request: &str) -> Option<u64> {
    let (_, _, number): (String, String, u64) = serde_json::from_str(request).ok()?;
    Some(number)
}
