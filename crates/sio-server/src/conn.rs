//! A connection as everybody may touch it: its session, what waits for it, and its write half.
//!
//! One mutex guards the three, so there is one writer by construction and no road between a
//! parcel's being queued and being sent on which it could be lost or overtaken. Nobody runs user
//! code or waits under that lock.
//!
//! Bytes leave by one of four ways:
//!
//! | when | how |
//! |---|---|
//! | a handler speaks to its own client | appended to the thread's reply buffer, one write at the end of the turn |
//! | anybody else emits | a pointer in the outbox; the shard's flusher writes once per turn of the shard |
//! | the kernel's buffer is full | the connection's task goes on when the socket is writable |
//! | polling | the GET that waits is answered with what the outbox holds |

mod link;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::Waker,
    time::Instant,
};

use bytes::Bytes;
use eio_transport::{
    Action, Dialect, Parcel, PollId, Reason, Revision, Road, Session, Sid, Source,
    payload::{Body, Payload},
};
use parking_lot::{Mutex, MutexGuard};
use sio_packet::WriteError;
use tokio::sync::oneshot;
use ws_deflate::InflateError;

use self::link::Enqueued;
pub(crate) use self::link::{Link, Writer};
use crate::{
    clock,
    deflate::{self, Codec},
    facts::Facts,
    frames::Frames,
    hub::Hub,
    ledger,
    outbox::{Left, Outbox},
    parsers::{Speech, translate},
    shard::{Dirty, Shard},
    socket::AnySocket,
    turn,
    turns::Turns,
    wheel::Entry,
    wire::Incoming,
};

/// One Engine.IO session and all that belongs to it except its task.
///
/// A broadcast to many finds each connection out of the caches, since the kernel was busy with a
/// thousand others in between. So what [`hear`](Self::hear) looks at lies together at the front.
#[repr(C)]
pub(crate) struct Conn {
    link: Mutex<Link>,
    pub(crate) sid: Sid,
    shard: u16,
    /// The application has closed it and wants to hear nothing more.
    pub(crate) parted: AtomicBool,
    /// How the client speaks ([`Speech`]); settled before it is in any namespace.
    speech: AtomicU8,
    pub(crate) revision: Revision,
    pub(crate) hub: Arc<Hub>,
    /// What the handshake request said.
    pub(crate) facts: Facts,
}

/// What the task has to know at the beginning of its turn.
pub(crate) struct Opening {
    /// Messages from the WebSocket are for the application.
    pub(crate) reads: bool,
    /// The socket took no more bytes when it was last written to.
    pub(crate) blocked: bool,
    /// Others want something.
    pub(crate) commanded: bool,
}

/// What may become of a parcel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It waits until it can be sent.
    #[default]
    Reliable,
    /// It waits, whatever is done with events of a client that is slow: a word of the protocol's.
    Vital,
    /// It is dropped if it cannot be sent now.
    Volatile,
    /// It waits, and is dropped if there is no room.
    Droppable,
    /// It waits; if there is no room, it is not sent, and its connection stays.
    Refusable,
}

impl Mode {
    /// Whether it may be dropped.
    #[inline]
    pub(crate) fn is_volatile(self) -> bool {
        matches!(self, Self::Droppable | Self::Volatile)
    }

    /// Whether it is kept for those who come back.
    #[inline]
    pub(crate) fn is_recorded(self) -> bool {
        matches!(self, Self::Reliable | Self::Refusable)
    }

    #[inline]
    pub(crate) fn parcel(self, parcel: Parcel) -> Parcel {
        match self {
            Self::Droppable => parcel.droppable(),
            _ => parcel,
        }
    }
}

/// How a parcel may be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Form {
    /// Compressed, where that was agreed to.
    #[default]
    Any,
    /// As it is.
    AsItIs,
}

impl Form {
    pub(crate) fn parcel(self, frames: impl Into<Box<[u8]>>) -> Parcel {
        let parcel = Parcel::from_frames(frames);
        match self {
            Self::Any => parcel,
            Self::AsItIs => parcel.as_it_is(),
        }
    }
}

/// What others want of a connection's task.
pub(crate) enum Command {
    /// The session decided something that only the task can do.
    Act(Action),
    /// The session is open, and its client joins `/` without asking.
    Begin,
    /// The body of a POST; the sender is told when it has been read.
    Body(Body, oneshot::Sender<()>),
    /// Put all sockets out and close the connection.
    Disconnect,
    /// The client has come back on another connection: this one is over. The sender is dropped when
    /// it has ended.
    Fence(oneshot::Sender<()>),
    /// Messages have left, and perhaps all that waited.
    Left(Vec<Left>, bool),
    /// The client reads too slowly, in this way; what waited has been thrown away.
    Overflow(Reason),
    /// A WebSocket with this session's id.
    Probe(Box<Incoming>),
    /// A socket was put out of its namespace.
    Removed(Arc<dyn AnySocket>),
    /// The server buffers too much; what waited here has been thrown away.
    Shed,
    /// The server is going down.
    Shutdown,
}

impl Conn {
    pub(crate) fn new(
        sid: Sid,
        shard: u16,
        hub: Arc<Hub>,
        facts: Facts,
        session: Session,
        dialect: Dialect,
        writer: Writer,
    ) -> Arc<Self> {
        let mut outbox = Outbox::default();
        if hub.observer.is_some() {
            outbox.watch();
        }
        Arc::new(Self {
            sid,
            shard,
            parted: AtomicBool::new(false),
            hub,
            facts,
            speech: AtomicU8::new(Speech::OWN.bits()),
            revision: session.revision(),
            link: Mutex::new(Link {
                session,
                outbox,
                dialect,
                writer,
                codec: None,
                polls: None,
                decided: None,
                commands: VecDeque::new(),
                task: None,
                held: 0,
                armed: Entry::NONE,
                dirty: false,
                corked: false,
                blocked: false,
                deaf: false,
                unsettled: false,
                closing: None,
                retired: false,
            }),
        })
    }

    pub(crate) fn shard_index(&self) -> usize {
        usize::from(self.shard)
    }

    pub(crate) fn shard(&self) -> &Shard {
        &self.hub.shards[usize::from(self.shard)]
    }

    /// Which part of a namespace's index its sockets are in.
    pub(crate) fn part_index(&self) -> usize {
        self.speech()
            .part(usize::from(self.shard), self.hub.shards.len())
    }

    pub(crate) fn speech(&self) -> Speech {
        Speech::from_bits(self.speech.load(Ordering::Relaxed))
    }

    pub(crate) fn set_speech(&self, speech: Speech) {
        self.speech.store(speech.bits(), Ordering::Relaxed);
    }

    /// This connection's address: what a turn is known by.
    pub(crate) fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Puts broadcasts that wait for this connection into its outbox: before anything else is said to
    /// it, or asked of what waits.
    #[inline]
    pub(crate) fn settle_fans(&self) {
        self.shard().settle(self.address());
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Link> {
        self.link.lock()
    }

    // ---- what others do -----------------------------------------------------------------------

    /// Queues a parcel and enters the connection in the shard's dirty list, for a broadcast that
    /// holds that list already. Returns whether it was taken.
    #[inline]
    pub(crate) fn offer(
        self: &Arc<Self>,
        parcel: &Arc<Parcel>,
        mode: Mode,
        dirty: &mut Dirty,
    ) -> bool {
        let mut link = self.lock();
        match self.enqueue(&mut link, parcel, mode) {
            Enqueued::Said => true,
            Enqueued::Overflow | Enqueued::Refused => false,
            Enqueued::Waits => {
                if !link.dirty {
                    link.dirty = true;
                    dirty.push(Arc::clone(self));
                }
                true
            }
        }
    }

    /// Queues a parcel, if the connection takes it.
    #[inline(always)]
    fn enqueue(&self, link: &mut Link, parcel: &Arc<Parcel>, mode: Mode) -> Enqueued {
        if link.session.is_ended() {
            return Enqueued::Refused;
        }
        if mode.is_volatile()
            && (mode == Mode::Volatile && !link.is_writable() || self.hub.ledger.is_high())
        {
            self.shard().tally.dropped(1);
            return Enqueued::Refused;
        }
        link.enqueue(self, parcel, mode)
    }

    /// Writes what several broadcasts say, `wire`, which is `parcels` one behind the other: for the
    /// flusher. The outbox sees it only if it cannot leave at once.
    #[inline]
    pub(crate) fn hear(&self, wire: &[u8], parcels: &[Arc<Parcel>]) {
        let mut link = self.lock();
        let Some(stream) = link.free() else {
            return self.hear_later(link, parcels.iter().cloned());
        };
        let sent = stream.send(wire);
        if !sent.as_ref().is_ok_and(|sent| *sent == wire.len()) {
            link.resume(parcels, sent, &self.hub.config);
            link.charge(self);
        }
    }

    /// The same for one who does not hear all of it.
    pub(crate) fn hear_some(&self, parcels: impl Iterator<Item = Arc<Parcel>>) {
        self.hear_later(self.lock(), parcels);
    }

    #[cold]
    fn hear_later(
        &self,
        mut link: MutexGuard<'_, Link>,
        parcels: impl Iterator<Item = Arc<Parcel>>,
    ) {
        if link.session.is_ended() {
            return;
        }
        for parcel in parcels {
            link.enqueue(self, &parcel, Mode::Reliable);
        }
        self.flush_link(&mut link, &[]);
    }

    /// Says something to this client in its own turn, or queues it. Returns whether it was taken.
    ///
    /// `encode` appends complete frames; it runs without any lock, since it runs user code.
    pub(crate) fn say<E: From<WriteError>>(
        self: &Arc<Self>,
        mode: Mode,
        encode: impl FnOnce(&mut Frames) -> Result<(), E>,
    ) -> Result<bool, E> {
        let encode = |frames: &mut Frames| {
            let start = frames.len();
            encode(frames)?;
            Ok::<_, E>(self.hub.config.check_length(frames.len() - start)?)
        };
        if let Some(parser) = self.speech().parser(&self.hub.parsers) {
            let own = turn::with_encoder(|frames| {
                encode(frames)?;
                Ok::<_, E>(frames.parcel())
            })?;
            let parcel = translate(parser, &own)?;
            return self.say_frames(mode, |frames| {
                frames.bytes.extend_from_slice(parcel.wire());
                Ok::<_, E>(())
            });
        }
        self.say_frames(mode, encode)
    }

    /// Like [`say`](Self::say), for frames that need no translation.
    pub(crate) fn say_frames<E>(
        self: &Arc<Self>,
        mode: Mode,
        encode: impl FnOnce(&mut Frames) -> Result<(), E>,
    ) -> Result<bool, E> {
        let own_turn = turn::is_of(self.address());
        if own_turn {
            self.settle_fans();
            let direct = {
                let mut link = self.lock();
                if link.session.is_ended() {
                    return Ok(false);
                }
                let direct =
                    link.outbox.is_empty() && link.has_websocket() && link.dialect == Dialect::V4;
                link.corked |= direct;
                direct
            };
            if direct {
                let said = turn::append_with(encode)?;
                if said > turn::SCRATCH {
                    self.pause_turn();
                }
                return Ok(true);
            }
        }
        let parcel = turn::with_encoder(|frames| {
            encode(frames)?;
            Ok(Arc::new(mode.parcel(frames.parcel())))
        })?;
        if own_turn {
            // It leaves at the turn's end: the flusher has nothing to do with it.
            self.settle_fans();
            let taken = self.enqueue(&mut self.lock(), &parcel, mode);
            return Ok(matches!(taken, Enqueued::Said | Enqueued::Waits));
        }
        Ok(self.offer(&parcel, mode, &mut self.shard().dirty()))
    }

    /// Like [`say`](Self::say), for what may not be written in any form.
    pub(crate) fn say_as<E: From<WriteError>>(
        self: &Arc<Self>,
        mode: Mode,
        form: Form,
        encode: impl FnOnce(&mut Frames) -> Result<(), E>,
    ) -> Result<bool, E> {
        if self.lock().codec.is_none() {
            return self.say(mode, encode);
        }
        let mut parcel = turn::with_encoder(|frames| {
            encode(frames)?;
            Ok::<_, E>(form.parcel(frames.joined()))
        })?;
        if let Some(parser) = self.speech().parser(&self.hub.parsers) {
            parcel = translate(parser, &parcel)?;
        }
        let parcel = Arc::new(mode.parcel(parcel));
        Ok(self.offer(&parcel, mode, &mut self.shard().dirty()))
    }

    /// Runs `f` on the session and does what follows from it. `f` is one event of the session's.
    pub(crate) fn drive<R>(self: &Arc<Self>, f: impl FnOnce(&mut Session) -> R) -> R {
        let mut link = self.lock();
        let result = f(&mut link.session);
        self.settle(&mut link);
        result
    }

    /// Closes the session in order. Over polling, what waits leaves in an answer of its own first:
    /// a client that finds its DISCONNECT and the end in one payload takes it for a lost transport.
    pub(crate) fn close(self: &Arc<Self>, reason: Reason) {
        self.settle_fans();
        let mut link = self.lock();
        if !link.has_websocket() {
            self.flush_link(&mut link, &[]);
            if !link.outbox.is_empty() {
                link.closing = Some(reason);
                return;
            }
        }
        link.session.close(reason, clock::now());
        self.settle(&mut link);
    }

    /// Parks a GET: `answer` gets the payload. What waits leaves at once.
    pub(crate) fn park(
        self: &Arc<Self>,
        answer: oneshot::Sender<Bytes>,
        now: Instant,
    ) -> Result<PollId, eio_transport::ErrorCode> {
        let mut link = self.lock();
        let parked = link.session.handle_poll(now);
        if let Ok(id) = parked {
            link.polls.get_or_insert_default().get = Some((id, answer));
        }
        self.settle(&mut link);
        parked
    }

    /// A POST begins. One that may changes nothing that there would be something to do for.
    pub(crate) fn begin_post(
        self: &Arc<Self>,
        now: Instant,
    ) -> Result<(), eio_transport::ErrorCode> {
        let mut link = self.lock();
        let begun = link.session.handle_post(now);
        if begun.is_err() {
            self.settle(&mut link);
        }
        begun
    }

    /// The task is found here by those who bring something.
    pub(crate) fn set_turns(&self, turns: Arc<Turns>) {
        let mut link = self.lock();
        if !link.retired {
            link.polls.get_or_insert_default().turns = Some(turns);
        }
    }

    /// The task, and what wakes it, once it has had a turn.
    pub(crate) fn turns(&self) -> Option<(Arc<Turns>, Waker)> {
        let link = self.lock();
        let turns = link.polls.as_ref()?.turns.as_ref()?;
        Some((Arc::clone(turns), link.task.clone()?))
    }

    /// Gives the task something to do.
    pub(crate) fn command(&self, command: Command) {
        self.lock().command(command);
    }

    /// Writes what waits: the flusher's part.
    pub(crate) fn flush(&self) {
        let mut link = self.lock();
        link.dirty = false;
        if !link.send_lone() {
            self.flush_link(&mut link, &[]);
        }
    }

    /// The wheel came to `tick`.
    pub(crate) fn fire(self: &Arc<Self>, tick: u64, now: Instant) {
        let mut link = self.lock();
        if link.armed.tick() != tick {
            return; // An earlier deadline was entered meanwhile.
        }
        link.armed = Entry::NONE;
        if let Some(deadline) = link.session.poll_timeout()
            && deadline <= now
        {
            self.shard().tally.delays.note(now - deadline);
            if link.deaf {
                link.session.handle_heard(now);
            }
            link.session.handle_timeout(now);
        }
        if let Some(jam) = link.outbox.jam()
            && let Some(reason) = jam.verdict(now, &self.hub.config)
        {
            link.overflow(reason);
        }
        self.settle(&mut link);
    }

    /// Writes the first bytes of a connection, in front of everything. They need not be frames: what
    /// a fresh socket does not take, which does not happen, ends the connection.
    pub(crate) fn greet(&self, bytes: &[u8]) {
        let mut link = self.lock();
        let Writer::Direct(stream) = &link.writer else {
            return;
        };
        if stream.send(bytes).ok() != Some(bytes.len()) {
            link.writer = Writer::None;
            link.session.abort(Reason::TransportError, clock::now());
        }
    }

    // ---- what the task does -------------------------------------------------------------------

    /// Lets go of the write half and of all that waits.
    pub(crate) fn let_go(&self) {
        let rest = self.lock().clear();
        drop(rest);
    }

    /// The task has gone: nothing is kept for it any more.
    pub(crate) fn retire(&self) {
        let rest = {
            let mut link = self.lock();
            if !link.session.is_ended() {
                link.session.abort(Reason::TransportError, clock::now());
            }
            link.retired = true;
            self.hold(&mut link, 0);
            self.shard().disarm(&mut link.armed);
            link.clear()
        };
        drop(rest);
    }

    /// Begins a turn: what is said to this client from now on leaves at its end.
    pub(crate) fn begin_turn(&self) {
        turn::begin(self.address());
    }

    /// What the task has to know at the beginning of its turn.
    pub(crate) fn open_turn(self: &Arc<Self>, task: &Waker) -> Opening {
        let mut link = self.lock();
        match &mut link.task {
            Some(known) => known.clone_from(task),
            none => *none = Some(task.clone()),
        }
        if link.unsettled {
            link.unsettled = false;
            self.settle(&mut link);
        }
        Opening {
            reads: link.session.accepts(Source::WebSocket),
            blocked: link.blocked,
            commanded: link.is_commanded(),
        }
    }

    /// What others want of the task.
    pub(crate) fn take_commands(&self) -> impl Iterator<Item = Command> + use<> {
        let mut link = self.lock();
        let decided = link.decided.take().map(Command::Act);
        decided
            .into_iter()
            .chain(std::mem::take(&mut link.commands))
    }

    /// Ends the turn: one write for all that was said. `heard` is whether something came; when, is
    /// asked of the clock only if somebody waits for it. `held` is how many bytes of what came are not done
    /// with, where that is known. Returns whether there is something to do for another turn.
    pub(crate) fn end_turn(&self, heard: bool, held: Option<usize>) -> bool {
        let reply = turn::end();
        let mut link = self.lock();
        if let Some(held) = held
            && held != link.held
        {
            self.hold(&mut link, held);
        }
        if heard && link.session.listens() {
            link.session.handle_heard(clock::now());
        }
        link.corked = false;
        let mut said = reply.as_ref().map_or(&[][..], |reply| &reply.bytes);
        if let Some(reply) = &reply
            && reply.has_pieces()
        {
            link.send_pieces(reply);
            said = &[];
        }
        self.flush_link(&mut link, said);
        let commanded = link.is_commanded();
        drop(link);
        if let Some(reply) = reply {
            turn::give_back(reply);
        }
        commanded
    }

    /// Writes what was said so far, in the midst of a turn that says a lot.
    pub(crate) fn pause_turn(&self) {
        self.end_turn(false, None);
        self.begin_turn();
    }

    #[cold]
    fn hold(&self, link: &mut Link, held: usize) {
        // A connection that has gone holds nothing any more.
        let held = if link.retired { 0 } else { held };
        self.hub.ledger.change(link.held, held);
        link.held = held;
    }

    /// Takes bytes that are frames already into the turn, behind all that waits.
    pub(crate) fn say_raw(&self, frames: &[u8]) {
        self.settle_fans();
        let mut link = self.lock();
        if link.outbox.is_empty() && turn::is_of(self.address()) {
            link.corked = true;
            turn::append(frames);
        } else {
            link.outbox.push(Arc::new(Parcel::from_frames(frames)));
            self.flush_link(&mut link, &[]);
        }
    }

    // ---- below --------------------------------------------------------------------------------

    /// Does what the session wants after an event, re-arms its deadline and writes what may leave.
    pub(crate) fn settle(self: &Arc<Self>, link: &mut Link) {
        while let Some(action) = link.session.poll_action() {
            match action {
                Action::Send(control) => link.outbox.push_once(Parcel::control(control)),
                Action::Answer(id, answer) => {
                    if let Some(poll) = link.take_get(Some(id)) {
                        let mut payload = Payload::new(self.revision, 0);
                        if answer.drains() {
                            link.drain(&mut payload, self.hub.config.engine.max_payload);
                        }
                        answer.finish(&mut payload);
                        // A client that has gone meanwhile is noticed by the request itself.
                        let _ = poll.send(payload.into_bytes().into());
                    }
                }
                // In its own turn the task looks whether there is something before it sleeps.
                other if turn::is_of(self.address()) && !link.retired => {
                    if link.is_commanded() {
                        link.commands.push_back(Command::Act(other));
                    } else {
                        link.decided = Some(other);
                    }
                }
                other => link.command(Command::Act(other)),
            }
        }
        if link.outbox.is_watched() {
            link.tell_what_left(); // In an answer to a poll.
        }
        if let Some(deadline) = link.session.poll_timeout()
            && !link.retired
        {
            self.shard().arm(self, &mut link.armed, deadline);
        }
        self.flush_link(link, &[]);
        if let Some(jam) = link.outbox.jam()
            && let Some(deadline) = jam.deadline(&self.hub.config)
        {
            self.shard().arm(self, &mut link.armed, deadline);
        }
    }

    /// Writes `head` and what waits, as far as it goes. `head` is only ever non-empty when it was
    /// said while nothing waited, so it stands in front.
    fn flush_link(&self, link: &mut Link, head: &[u8]) {
        if link.corked || (head.is_empty() && link.outbox.is_empty()) {
            return;
        }
        let head = match link.outbox.is_watched() {
            true => link.watch(head),
            false => head,
        };
        let compressed = match &mut link.codec {
            Some(codec) if !head.is_empty() => self.compress(codec, head),
            _ => None,
        };
        let head = compressed.as_deref().unwrap_or(head);
        match &link.writer {
            Writer::None => {
                if link.session.road() == Some(Road::Polling) {
                    link.answer_poll(&self.hub.config);
                }
            }
            Writer::Direct(_) => {
                link.compress_waiting(self);
                link.write(head, &self.hub.config);
            }
            Writer::Task => {
                link.keep(head, 0);
                link.wake();
            }
        }
        if link.outbox.is_watched() {
            link.tell_what_left();
        }
        if !link.outbox.is_empty() {
            if link.outbox.bytes() > ledger::SMALL && !matches!(link.writer, Writer::Task) {
                link.outbox.charge(&self.hub.ledger);
            }
        } else if link.closing.is_some() {
            link.close_at_last();
        }
    }

    /// Throws away what waits, since the server buffers too much, and has the connection closed. Returns
    /// how many bytes go with its task.
    pub(crate) fn shed(&self) -> usize {
        let mut link = self.lock();
        link.outbox.clear();
        link.writer = Writer::None;
        link.command(Command::Shed);
        link.held
    }
}

impl Conn {
    /// What was said in a turn, as it is to be written, if that is another way.
    #[cold]
    fn compress(&self, codec: &mut Codec, head: &[u8]) -> Option<Vec<u8>> {
        let compression = self.hub.compression.as_ref()?;
        // The pool is asked for only if there is something to do.
        codec.wants(head).then_some(())?;
        codec.frames(&mut compression.pool(self.shard_index()), head)
    }

    /// Inflates a message of the client, which may not be longer than any other, and lends it.
    pub(crate) fn with_inflated<R>(
        &self,
        payload: &[u8],
        f: impl FnOnce(Result<&[u8], InflateError>) -> R,
    ) -> Option<R> {
        let compression = self.hub.compression.as_ref()?;
        let mut inflate = self.lock().codec.as_mut()?.inflate.take()?;
        let limit = self.hub.engine.max_payload;
        let shard = self.shard_index();
        let mut out = deflate::take_buffer();
        let inflated = inflate.inflate(&mut compression.pool(shard), payload, limit, &mut out);
        if let Some(codec) = &mut self.lock().codec {
            codec.inflate = Some(inflate);
        }
        let result = f(inflated.map(|()| out.as_slice()));
        deflate::give_back(out);
        Some(result)
    }
}
