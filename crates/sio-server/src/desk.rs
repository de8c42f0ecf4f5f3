//! Socket.IO on one connection: packets in, sockets and handlers behind them.

use std::{
    borrow::Cow,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use eio_transport::{Parcel, Reason, Revision};
use sio_packet::{
    Args, Kind, Limits, Message, Packet, ParseError, ReadError, Reassembler, WriteError, v4,
};
use smallvec::SmallVec;
use tokio::time::Sleep;

use crate::{
    application::Application,
    clock,
    config::Config,
    conn::{Conn, Mode},
    counters::Limit,
    debug,
    error::{DisconnectReason, Refuse},
    lane::{Lane, Slot},
    memory::{self, Claim},
    notice::Quoted,
    pace::Meter,
    panic::contain,
    parsers::{self, Speech},
    place::{Outlet, Place, Visit},
    realm::Joining,
    socket::{self, AckText, AnySocket},
};

pub(crate) struct Desk {
    pub(crate) conn: Arc<Conn>,
    seats: SmallVec<[Seat; 1]>,
    joining: Vec<Candidate>,
    /// Handlers of sockets that have gone.
    parting: Vec<Lane>,
    /// What a connection nearly never has.
    rare: Option<Box<Rare>>,
    reassembler: Reassembler,
    /// How the client speaks, once it has said something; at once, where only one way is known.
    speech: Option<Speech>,
    /// Bytes of events that wait for handlers.
    pending: usize,
    attempts: u32,
    /// Nothing that comes is for the application any more.
    closed: bool,
}

#[derive(Default)]
struct Rare {
    /// Namespaces that this connection was put out of: what was under way to them is dropped.
    left: Vec<Box<str>>,
    /// Until when the next attachment has to come.
    attachment: Option<Pin<Box<Sleep>>>,
    /// Until when the handlers have to catch up.
    stalled: Option<Pin<Box<Sleep>>>,
    /// How fast messages come, where that is bounded.
    meter: Option<Meter>,
}

/// A socket and its handlers.
struct Seat {
    socket: Arc<dyn AnySocket>,
    lane: Lane,
}

impl Seat {
    /// Whether it is the seat of this namespace, and not left.
    #[inline]
    fn is_of(&self, namespace: &str) -> bool {
        let core = self.socket.core();
        core.place.name() == namespace && !core.is_gone()
    }
}

/// A client that is about to join.
struct Candidate {
    visit: Visit,
    decision: Joining,
    /// It asks for a session it had.
    claim: Option<Claim>,
}

/// Why the peer's packets cannot be accepted any more.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{0}")]
    Parse(ParseError),
    #[error("{0}")]
    Read(ReadError),
    #[error("the first message is one of no parser that is known here")]
    Speech,
    #[error("a packet for {0:?}, which was not joined")]
    NotJoined(String),
    #[error("a second CONNECT for {0:?}")]
    Twice(String),
    #[error("a {0:?} packet, which only a server sends")]
    Direction(Kind),
    #[error("too many CONNECT packets")]
    TooManyAttempts,
    #[error("more messages in so short a time than may come")]
    TooFast,
    #[error("an attachment did not come in time")]
    AttachmentTime,
}

impl From<ParseError> for Box<Fault> {
    #[cold]
    fn from(error: ParseError) -> Self {
        Self::new(Fault::Parse(error))
    }
}

impl From<ReadError> for Box<Fault> {
    #[cold]
    fn from(error: ReadError) -> Self {
        Self::new(Fault::Read(error))
    }
}

impl Fault {
    fn reason(&self) -> Reason {
        match self {
            Self::TooFast => Reason::PacketRate,
            _ => Reason::ForcedClose,
        }
    }

    /// The limit that was exceeded, if it is for one.
    fn limit(&self) -> Option<Limit> {
        Some(match self {
            Self::Parse(ParseError::AuthTooLong { .. }) => Limit::AuthBytes,
            Self::Parse(ParseError::BinaryTooLong { .. }) => Limit::AttachmentBytes,
            Self::Parse(ParseError::EventNameTooLong { .. }) => Limit::EventName,
            Self::Parse(ParseError::NamespaceTooLong { .. }) => Limit::NamespaceName,
            Self::Parse(ParseError::TooManyAttachments { .. }) => Limit::Attachments,
            Self::Parse(error) if error.is_too_deep() => Limit::Depth,
            Self::Read(error) if error.is_too_deep() => Limit::Depth,
            Self::TooManyAttempts => Limit::ConnectAttempts,
            Self::AttachmentTime => Limit::AttachmentTime,
            _ => return None,
        })
    }
}

impl Desk {
    pub(crate) fn new(conn: Arc<Conn>) -> Self {
        let bounded = conn.hub.config.max_packet_rate.is_some();
        let meter = bounded.then(|| Rare {
            meter: Some(Meter::new(clock::now())),
            ..Rare::default()
        });
        Self {
            // The server speaks first to old clients, so there is nothing to see it from.
            speech: (conn.hub.parsers.is_empty() || conn.revision == Revision::V3)
                .then_some(Speech::OWN),
            conn,
            seats: SmallVec::new(),
            joining: Vec::new(),
            parting: Vec::new(),
            rare: meter.map(Box::new),
            reassembler: Reassembler::new(),
            pending: 0,
            attempts: 0,
            closed: false,
        }
    }

    /// Whether more events wait for handlers than may: nothing is to be read until they have
    /// caught up.
    pub(crate) fn is_stalled(&self) -> bool {
        self.pending > self.config().max_pending_bytes
    }

    /// Whether what comes is nobody's: the connection was closed, by us or for a fault.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether no handler is at work.
    pub(crate) fn is_idle(&self) -> bool {
        self.joining.is_empty()
            && self.parting.is_empty()
            && self.seats.iter().all(|seat| seat.lane.is_idle())
    }

    /// Whether the client, or the handlers, are waited for, and not for ever.
    #[inline]
    fn is_waiting(&self) -> bool {
        self.reassembler.is_waiting() || self.is_stalled()
    }

    /// The turn is over: what is waited for has its time.
    #[cold]
    fn wait(&mut self, cx: &mut Context<'_>) {
        if self.closed {
            return self.stop_waiting();
        }
        let (attachment, stalled) = (self.reassembler.is_waiting(), self.is_stalled());
        let config = &self.conn.hub.config;
        let (attachment_timeout, stall_timeout) = (config.attachment_timeout, config.stall_timeout);
        let rare = self.rare.get_or_insert_default();
        let begins = stalled && rare.stalled.is_none();
        let late = has_passed(&mut rare.attachment, attachment, attachment_timeout, cx);
        let stuck = has_passed(&mut rare.stalled, stalled, stall_timeout, cx);
        if begins {
            self.conn.lock().deaf = true;
        } else if !stalled {
            self.conn.lock().deaf = false;
        }
        if late {
            self.fail(&Fault::AttachmentTime);
        } else if stuck {
            tracing::warn!("handlers did not catch up with what their client sent");
            self.closed = true;
            self.conn.close(Reason::HandlersStalled);
        }
    }

    /// Nothing is waited for any more.
    #[cold]
    fn stop_waiting(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.attachment = None;
            if rare.stalled.take().is_some() {
                self.conn.lock().deaf = false;
            }
            if rare.left.is_empty() && rare.meter.is_none() {
                self.rare = None;
            }
        }
    }

    // ---- what came ----------------------------------------------------------------------------

    /// A text message, without the Engine.IO type.
    pub(crate) fn handle_text(&mut self, text: &str, cx: &mut Context<'_>) {
        if self.closed {
            return;
        }
        let result = if self.rare.is_some() && self.is_too_fast() {
            Err(Fault::TooFast.into())
        } else if self.speech == Some(Speech::OWN) {
            self.try_text(text, cx)
        } else {
            self.try_message(Message::Text(text), cx)
        };
        if let Err(fault) = result {
            self.fail(&fault);
        }
    }

    /// A binary message.
    pub(crate) fn handle_binary(&mut self, data: Cow<'_, [u8]>, cx: &mut Context<'_>) {
        if self.closed {
            return;
        }
        let result = if self.rare.is_some() && self.is_too_fast() {
            Err(Fault::TooFast.into())
        } else if self.speech == Some(Speech::OWN) {
            self.try_binary(data, cx)
        } else {
            self.try_message(Message::Binary(&data), cx)
        };
        if let Err(fault) = result {
            self.fail(&fault);
        }
    }

    /// Counts a message that has come.
    #[cold]
    fn is_too_fast(&mut self) -> bool {
        let meter = self.rare.as_mut().and_then(|rare| rare.meter.as_mut());
        let pace = self.conn.hub.config.packet_pace();
        let counted = meter.zip(pace);
        counted.is_some_and(|(meter, pace)| !meter.pass(pace, clock::now()))
    }

    fn try_binary(&mut self, data: Cow<'_, [u8]>, cx: &mut Context<'_>) -> Result<(), Box<Fault>> {
        let data = match data {
            Cow::Borrowed(data) => Bytes::copy_from_slice(data),
            Cow::Owned(data) => Bytes::from(data),
        };
        let complete = self
            .reassembler
            .push_binary(data, self.conn.hub.limits(self.conn.revision))?;
        let Some(mut complete) = complete else {
            if let Some(rare) = &mut self.rare {
                rare.attachment = None; // The next one has all its time.
            }
            return Ok(());
        };
        let (packet, attachments) = complete.parts();
        self.handle_packet(packet, attachments, cx)
    }

    /// A message of a client that may speak another parser than the protocol's own.
    #[cold]
    fn try_message(
        &mut self,
        message: Message<'_>,
        cx: &mut Context<'_>,
    ) -> Result<(), Box<Fault>> {
        let hub = Arc::clone(&self.conn.hub);
        let speech = match self.speech {
            Some(speech) => speech,
            None => {
                let speech =
                    Speech::of(message, &hub.parsers).ok_or_else(|| Box::new(Fault::Speech))?;
                self.conn.set_speech(speech);
                *self.speech.insert(speech)
            }
        };
        let Some(parser) = speech.parser(&hub.parsers) else {
            return match message {
                Message::Binary(data) => self.try_binary(Cow::Borrowed(data), cx),
                Message::Text(text) => self.try_text(text, cx),
            };
        };
        parsers::with_scratch(|scratch| {
            let limits = &hub.config.packet;
            let decoded = contain("a parser", || parser.decode(message, limits, scratch));
            let (packet, attachments) =
                decoded.unwrap_or(Err(ParseError::Parser("it panicked")))?;
            self.handle_packet(packet, attachments, cx)
        })
    }

    #[inline]
    fn try_text(&mut self, text: &str, cx: &mut Context<'_>) -> Result<(), Box<Fault>> {
        if !self.reassembler.is_waiting()
            && let Some(packet) = Packet::plain_event(text)
        {
            return self.handle_event(&packet, &mut [], cx);
        }
        self.try_any_text(text, cx)
    }

    #[inline(never)]
    fn try_any_text(&mut self, text: &str, cx: &mut Context<'_>) -> Result<(), Box<Fault>> {
        let limits = self.conn.hub.limits(self.conn.revision);
        if matches!(text.as_bytes().first(), Some(b'5' | b'6')) {
            self.check_binary(text, limits)?;
        }
        match self.reassembler.push_text(text, limits)? {
            Some(packet) => self.handle_packet(packet, &mut [], cx),
            None => Ok(()),
        }
    }

    /// Attachments are kept only for a namespace that can take them.
    #[cold]
    fn check_binary(&self, text: &str, limits: &Limits) -> Result<(), Box<Fault>> {
        let packet = Packet::parse(text, limits)?;
        let namespace = match self.conn.revision {
            Revision::V3 => v4::split_query(packet.namespace).0,
            Revision::V4 => packet.namespace,
        };
        match self.knows(namespace) {
            true => Ok(()),
            false => Err(Fault::NotJoined(namespace.into()).into()),
        }
    }

    /// An event, of which nothing is left to be translated.
    #[inline(always)]
    fn handle_event(
        &mut self,
        packet: &Packet<'_>,
        attachments: &mut [Bytes],
        cx: &mut Context<'_>,
    ) -> Result<(), Box<Fault>> {
        let namespace = packet.namespace;
        let Some(seat) = self.seats.iter_mut().find(|seat| seat.is_of(namespace)) else {
            return self.drop_late(namespace);
        };
        let (name, args) = packet.event(&self.conn.hub.config.packet)?;
        let bytes = packet.data.len() + attachments.iter().map(Bytes::len).sum::<usize>();
        let args = Args::event(args, attachments);
        let socket = Arc::clone(&seat.socket);
        let lane = &mut seat.lane;
        let pending = contain("the handling of an event", || {
            socket.event(&name, args, packet.id, &mut Slot { lane, bytes, cx })
        });
        self.pending += pending.unwrap_or(Ok(0))?;
        Ok(())
    }

    #[inline(never)]
    fn handle_packet(
        &mut self,
        packet: Packet<'_>,
        attachments: &mut [Bytes],
        cx: &mut Context<'_>,
    ) -> Result<(), Box<Fault>> {
        let auth;
        let mut packet = packet;
        if self.conn.revision == Revision::V3 {
            let (namespace, query) = v4::split_query(packet.namespace);
            packet.namespace = namespace;
            if packet.kind == Kind::Connect {
                auth = v4::auth(query);
                packet.data = &auth;
            }
        }
        match packet.kind {
            Kind::Event | Kind::BinaryEvent => self.handle_event(&packet, attachments, cx),
            Kind::Ack | Kind::BinaryAck => {
                let Some(index) = self.find(packet.namespace)? else {
                    return Ok(());
                };
                let core = self.seats[index].socket.core();
                // Ids of calls to many are odd, see `Rounds`.
                if let Some(id) = packet.id.filter(|id| id % 2 == 1) {
                    let bytes =
                        packet.data.len() + attachments.iter().map(Bytes::len).sum::<usize>();
                    let args = Args::ack(packet.data, attachments);
                    let read = contain("the reading of an answer", || {
                        let rounds = core.place.rounds();
                        rounds.answer(id, core.id.clone(), args, bytes)
                    });
                    if !read.unwrap_or(Ok(true))? {
                        self.conn.shard().tally.hit(Limit::AnswerBytes);
                    }
                    return Ok(());
                }
                match packet.id.and_then(|id| core.take_ack(id / 2)) {
                    Some(waiting) => {
                        let attachments = attachments.iter_mut().map(std::mem::take).collect();
                        let data = packet.data.into();
                        let _ = waiting.send(AckText { data, attachments });
                    }
                    // Nobody asked, or not so late; but what came has to be an answer all the same.
                    None => Args::ack(packet.data, attachments).validate()?,
                }
                Ok(())
            }
            Kind::Connect => self.connect(packet.namespace, packet.data, cx),
            Kind::Disconnect => {
                let Some(index) = self.find(packet.namespace)? else {
                    return Ok(());
                };
                let reason = DisconnectReason::ClientNamespaceDisconnect;
                socket::leave(&self.seats[index].socket, reason);
                self.part(index, reason, cx);
                Ok(())
            }
            kind @ Kind::ConnectError => Err(Fault::Direction(kind).into()),
        }
    }

    /// The peer broke the protocol: its connection is closed, nobody else's.
    fn fail(&mut self, fault: &Fault) {
        tracing::debug!(fault = %Quoted(&fault.to_string()), "a connection is closed for what it sent");
        if let Some(limit) = fault.limit() {
            self.conn.shard().tally.hit(limit);
        }
        self.closed = true;
        self.reassembler.clear();
        self.conn.close(fault.reason());
    }

    // ---- joining ------------------------------------------------------------------------------

    fn connect(
        &mut self,
        namespace: &str,
        auth: &str,
        cx: &mut Context<'_>,
    ) -> Result<(), Box<Fault>> {
        let limit = self.config().packet.max_namespace;
        if namespace.len() > limit {
            let len = namespace.len();
            return Err(ParseError::NamespaceTooLong { len, limit }.into());
        }
        if let Some(index) = self.position(namespace) {
            let socket = Arc::clone(&self.seats[index].socket);
            if !socket.core().is_gone() {
                return Err(Fault::Twice(namespace.into()).into());
            }
            // The client is quicker than our own note that it was put out.
            self.removed(&socket, cx);
        }
        if self
            .joining
            .iter()
            .any(|candidate| candidate.visit.place().name() == namespace)
        {
            return Err(Fault::Twice(namespace.into()).into());
        }
        self.attempts += 1;
        if self.attempts > self.config().max_connect_attempts {
            self.refuse(namespace, &Refuse::new("Too many attempts"));
            return Err(Fault::TooManyAttempts.into());
        }
        if self.seats.len() + self.joining.len() >= self.config().max_namespaces {
            self.conn.shard().tally.hit(Limit::Namespaces);
            self.refuse(namespace, &Refuse::new("Too many namespaces"));
            return Ok(());
        }
        let visit = match self.conn.hub.visit(namespace) {
            Ok(visit) => visit,
            Err(mut refusal) => {
                if self.conn.revision == Revision::V3 {
                    // The refusals that Node gives to old clients as it does to new ones.
                    let message = refusal.message.clone();
                    refusal = refusal.with_data(&serde_json::json!({ "message": message }));
                }
                self.refuse(namespace, &refusal);
                return Ok(());
            }
        };
        let claim = visit.place().memory().and_then(|_| Claim::of(auth));
        let auth = (!auth.is_empty()).then(|| auth.into());
        let mut decision = visit.realm().admit(Arc::clone(&self.conn), auth);
        if let Some(claim) = &claim {
            decision = fenced(decision, Arc::clone(visit.realm().place()), claim.clone());
        }
        let mut candidate = Candidate {
            visit,
            decision,
            claim,
        };
        match ask(&mut candidate.decision, &self.conn, cx) {
            Poll::Ready(decision) => self.decide(candidate, decision, cx),
            Poll::Pending => self.joining.push(candidate),
        }
        Ok(())
    }

    fn poll_joining(&mut self, cx: &mut Context<'_>) {
        let mut index = 0;
        while let Some(candidate) = self.joining.get_mut(index) {
            let Poll::Ready(decision) = ask(&mut candidate.decision, &self.conn, cx) else {
                index += 1;
                continue;
            };
            let candidate = self.joining.remove(index);
            self.decide(candidate, decision, cx);
        }
        if self.joining.is_empty() {
            self.joining = Vec::new();
        }
    }

    fn decide(
        &mut self,
        candidate: Candidate,
        decision: Result<Arc<dyn AnySocket>, Refuse>,
        cx: &mut Context<'_>,
    ) {
        match decision {
            Ok(socket) => self.seat(&socket, candidate.claim, cx),
            Err(refusal) => self.refuse(candidate.visit.place().name(), &refusal),
        }
    }

    /// Makes a client a member: it is told, then it may be heard and spoken to.
    fn seat(&mut self, admitted: &Arc<dyn AnySocket>, claim: Option<Claim>, cx: &mut Context<'_>) {
        self.conn.drive(|session| session.claim());
        let place = &admitted.core().place;
        // Protocol 4 knows of no recovery: its clients make up their ids themselves.
        let memory = place.memory();
        let socket = match memory.filter(|_| self.conn.revision == Revision::V4) {
            None => self
                .enter(admitted, None, &[], &[])
                .then(|| Arc::clone(admitted)),
            Some(memory) => memory.seat(admitted, claim, |socket, pid, missed, rooms| {
                self.enter(socket, pid, missed, rooms)
            }),
        };
        let Some(socket) = socket else {
            return; // The connection has ended meanwhile.
        };
        place.tell();
        if let Some(rare) = &mut self.rare {
            rare.left.retain(|left| **left != *place.name());
        }
        if !self.config().keep_request {
            self.conn.facts.forget();
        }
        let mut lane = Lane::default();
        if let Some(job) = Arc::clone(&socket).connected() {
            self.pending += lane.offer(job, 0, cx);
        }
        self.seats.push(Seat { socket, lane });
    }

    /// Tells the client that it is a member, sends what it missed, and makes it one. False if its
    /// connection has ended.
    ///
    /// In this order, other than Node, which sends first what was missed: a client keeps that until it
    /// is told, so if the connection broke in between it would be sent, and handled, twice.
    fn enter(
        &self,
        socket: &Arc<dyn AnySocket>,
        pid: Option<&str>,
        missed: &[Arc<Parcel>],
        rooms: &[Arc<str>],
    ) -> bool {
        let core = socket.core();
        let (id, place) = (core.id.clone(), &core.place);
        let told = self.conn.say(Mode::Vital, |frames| {
            frames.plain(|text| {
                match self.conn.revision {
                    Revision::V3 => v4::write_connect(text, place.name()),
                    Revision::V4 => {
                        sio_packet::write_connect(text, place.name(), id.as_ref(), pid);
                    }
                }
                Ok(())
            })
        });
        if !told.is_ok_and(|taken| taken) {
            return false;
        }
        for parcel in missed {
            let _ = self.conn.say(Mode::Vital, |frames| {
                frames.bytes.extend_from_slice(parcel.wire());
                Ok::<_, WriteError>(())
            });
        }
        let outlet = Outlet {
            conn: Arc::clone(&self.conn),
            socket: Arc::clone(socket),
        };
        core.set_member(place.enter(self.conn.part_index(), id, outlet, rooms));
        true
    }

    fn refuse(&self, namespace: &str, refusal: &Refuse) {
        let said = self.conn.say(Mode::Vital, |frames| {
            frames.plain(|text| {
                let data = refusal.data.as_ref();
                match (self.conn.revision, data) {
                    (Revision::V4, _) => {
                        sio_packet::write_connect_error(text, namespace, &refusal.message, data)
                    }
                    (Revision::V3, Some(data)) => v4::write_error(text, namespace, data),
                    (Revision::V3, None) => v4::write_error(text, namespace, &refusal.message),
                }
            })
        });
        if let Err(error) = said {
            tracing::error!(namespace, %error, "a refusal could not be written");
        }
    }

    // ---- leaving ------------------------------------------------------------------------------

    /// A socket was put out of its namespace by the server.
    pub(crate) fn removed(&mut self, socket: &Arc<dyn AnySocket>, cx: &mut Context<'_>) {
        let id = &socket.core().id;
        if let Some(index) = self
            .seats
            .iter()
            .position(|seat| seat.socket.core().id == *id)
        {
            let rare = self.rare.get_or_insert_default();
            rare.left.push(socket.core().place.name().into());
            self.part(index, DisconnectReason::ServerNamespaceDisconnect, cx);
        }
    }

    /// Puts all sockets of this connection out and tells the client.
    pub(crate) fn disconnect_all(&mut self, cx: &mut Context<'_>) {
        self.closed = true;
        for seat in &self.seats {
            let core = seat.socket.core();
            if !core.is_gone() {
                core.say_disconnect();
                socket::leave(&seat.socket, DisconnectReason::ServerNamespaceDisconnect);
            }
        }
        while !self.seats.is_empty() {
            self.part(0, DisconnectReason::ServerNamespaceDisconnect, cx);
        }
    }

    /// The connection has ended: its sockets have gone, those about to join never come.
    pub(crate) fn end(&mut self, reason: Reason, cx: &mut Context<'_>) {
        self.closed = true;
        self.joining.clear();
        self.reassembler.clear();
        while let Some(seat) = self.seats.first() {
            let reason = match socket::leave(&seat.socket, DisconnectReason::Connection(reason)) {
                true => DisconnectReason::Connection(reason),
                false => DisconnectReason::ServerNamespaceDisconnect,
            };
            self.part(0, reason, cx);
        }
    }

    /// The task is gone before its end: its sockets leave, their handlers are not run.
    pub(crate) fn abandon(&mut self) {
        self.joining.clear();
        for seat in self.seats.drain(..) {
            let reason = DisconnectReason::Connection(Reason::TransportError);
            socket::leave(&seat.socket, reason);
            seat.socket.let_go();
        }
    }

    /// Frees a seat. Handlers of what came before the end go on, in their order; the disconnect
    /// handler does not wait for them.
    fn part(&mut self, index: usize, reason: DisconnectReason, cx: &mut Context<'_>) {
        let Seat { socket, lane } = self.seats.remove(index);
        if !lane.is_idle() {
            self.parting.push(lane);
        }
        socket.let_go();
        if let Some(job) = socket.disconnected(reason) {
            let mut lane = Lane::default();
            self.pending += lane.offer(job, 0, cx);
            if !lane.is_idle() {
                self.parting.push(lane);
            }
        }
    }

    // ---- going on -----------------------------------------------------------------------------

    /// Lets handlers go on that were waiting for something.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) {
        if !self.joining.is_empty() {
            self.poll_joining(cx);
        }
        for seat in &mut self.seats {
            if !seat.lane.is_idle() {
                self.pending -= seat.lane.poll(cx);
            }
        }
        for lane in &mut self.parting {
            self.pending -= lane.poll(cx);
        }
        self.parting.retain(|lane| !lane.is_idle());
    }

    fn config(&self) -> &Config {
        &self.conn.hub.config
    }

    fn position(&self, namespace: &str) -> Option<usize> {
        self.seats
            .iter()
            .position(|seat| seat.socket.core().place.name() == namespace)
    }

    fn knows(&self, namespace: &str) -> bool {
        let has_left = |rare: &Rare| rare.left.iter().any(|left| **left == *namespace);
        self.position(namespace).is_some() || self.rare.as_deref().is_some_and(has_left)
    }

    /// The seat of a namespace; `None` if the client does not know yet that it was put out.
    fn find(&self, namespace: &str) -> Result<Option<usize>, Box<Fault>> {
        match self.seats.iter().position(|seat| seat.is_of(namespace)) {
            Some(index) => Ok(Some(index)),
            None => self.drop_late(namespace).map(|()| None),
        }
    }

    /// What is for a namespace in which the client is not: it may not know yet that it was put out.
    #[cold]
    fn drop_late(&self, namespace: &str) -> Result<(), Box<Fault>> {
        if !self.knows(namespace) {
            return Err(Fault::NotJoined(namespace.into()).into());
        }
        self.conn.shard().tally.late();
        Ok(())
    }
}

impl Application for Desk {
    fn new(conn: Arc<Conn>) -> Self {
        Self::new(conn)
    }

    fn conn(&self) -> &Arc<Conn> {
        &self.conn
    }

    /// The connection is open: a client of protocol 4 joins `/` without asking.
    fn begin(&mut self, cx: &mut Context<'_>) {
        if !self.closed
            && let Err(fault) = self.connect("/", "", cx)
        {
            self.fail(&fault);
        }
    }

    fn is_stalled(&self) -> bool {
        self.is_stalled()
    }

    fn is_closed(&self) -> bool {
        self.is_closed()
    }

    fn held(&self) -> usize {
        self.pending + self.reassembler.held()
    }

    fn is_idle(&self) -> bool {
        self.is_idle()
    }

    #[inline]
    fn settle(&mut self, cx: &mut Context<'_>) {
        if self.is_waiting() {
            self.wait(cx);
        } else if self.rare.is_some() {
            self.stop_waiting();
        }
    }

    fn handle_text(&mut self, text: &str, cx: &mut Context<'_>) {
        self.handle_text(text, cx);
    }

    fn handle_binary(&mut self, data: Cow<'_, [u8]>, cx: &mut Context<'_>) {
        self.handle_binary(data, cx);
    }

    /// An attachment, in front of which there is nothing: in revision 3 there is its type.
    fn keeps_binary(&self) -> bool {
        self.reassembler.is_waiting() && self.conn.revision == Revision::V4
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        self.poll(cx);
    }

    fn disconnect_all(&mut self, cx: &mut Context<'_>) {
        self.disconnect_all(cx);
    }

    fn removed(&mut self, socket: &Arc<dyn AnySocket>, cx: &mut Context<'_>) {
        self.removed(socket, cx);
    }

    fn end(&mut self, reason: Reason, cx: &mut Context<'_>) {
        self.end(reason, cx);
    }

    fn abandon(&mut self) {
        self.abandon();
    }
}

/// Whether a time has passed that runs while something is waited for.
fn has_passed(
    timer: &mut Option<Pin<Box<Sleep>>>,
    waits: bool,
    after: Duration,
    cx: &mut Context<'_>,
) -> bool {
    if !waits {
        *timer = None;
        return false;
    }
    let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(after)));
    timer.as_mut().poll(cx).is_ready()
}

/// A decision after which the connection that the client had before is closed, and what another node has
/// of its session is here.
fn fenced(decision: Joining, place: Arc<Place>, claim: Claim) -> Joining {
    Joining::Asked(Box::pin(async move {
        let socket = decision.await?;
        memory::fence(&place, &claim.pid).await;
        memory::fetch(&place, &claim, &socket).await;
        Ok(socket)
    }))
}

/// Goes on with a decision. One that panics refuses.
fn ask(
    decision: &mut Joining,
    conn: &Conn,
    cx: &mut Context<'_>,
) -> Poll<Result<Arc<dyn AnySocket>, Refuse>> {
    contain("an admission", || Pin::new(decision).poll(cx))
        .unwrap_or_else(|| Poll::Ready(Err(debug::refusal(conn.hub.debug, conn))))
}
