//! What the mutex of a connection guards, and what is done under it: what waits, and its way out.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    sync::Arc,
    task::{Poll, Waker},
};

use bytes::Bytes;
use eio_transport::{Action, Dialect, Parcel, PollId, Reason, Session, Source, payload::Payload};
use tokio::sync::oneshot;

use super::{Command, Conn, Mode};
use crate::{
    clock,
    config::Config,
    counters::Limit,
    deflate::Codec,
    frames::Frames,
    ledger,
    outbox::{MAX_SLICES, Outbox},
    tcp::Tcp,
    turn,
    turns::Turns,
    wheel::Entry,
};

/// Slices for a queue of ordinary length.
const SOME_SLICES: usize = 12;

/// A parcel above this is not copied into the reply buffer.
const COPY: usize = 16 << 10;

/// What the mutex guards. In this order: see [`Conn`](super::Conn).
#[repr(C)]
pub(crate) struct Link {
    /// How the client wants the bytes of what is queued.
    pub(super) dialect: Dialect,
    /// The thread's reply buffer holds bytes of the turn that is going on: nobody else may write.
    pub(super) corked: bool,
    /// The socket takes no more bytes; the task waits until it does.
    pub(super) blocked: bool,
    /// On the shard's list of outboxes to flush.
    pub(super) dirty: bool,
    /// The client is not listened to, until handlers have caught up with it: it is not held to be dead.
    pub(crate) deaf: bool,
    /// Something has happened to the session of which the consequences are left to the task.
    pub(super) unsettled: bool,
    /// The task has gone.
    pub(super) retired: bool,
    /// The session is to be closed once what waits has been fetched.
    pub(super) closing: Option<Reason>,
    pub(super) writer: Writer,
    /// Of a WebSocket on which messages are compressed.
    pub(crate) codec: Option<Box<Codec>>,
    pub(super) outbox: Outbox,
    pub(crate) session: Session,
    /// What a session has that began by polling.
    pub(super) polls: Option<Box<Polls>>,
    /// What the session decided in the task's own turn, before all commands: mostly there is one thing, and
    /// it is the end.
    pub(super) decided: Option<Action>,
    /// What the task has to do.
    pub(crate) commands: VecDeque<Command>,
    pub(super) task: Option<Waker>,
    /// Bytes that came and are not done with, as the ledger knows them.
    pub(super) held: usize,
    /// Where this connection is entered in the shard's wheel.
    pub(super) armed: Entry,
}

/// What a session needs to poll.
#[derive(Default)]
pub(super) struct Polls {
    /// The GET that waits.
    pub(super) get: Option<(PollId, oneshot::Sender<Bytes>)>,
    /// The task, for the requests that bring something.
    pub(super) turns: Option<Arc<Turns>>,
}

/// Who writes to the WebSocket.
pub(crate) enum Writer {
    /// Nobody: the session polls, or has ended.
    None,
    /// Whoever holds the lock.
    Direct(Arc<Tcp>),
    /// The task, because the stream cannot be written to from elsewhere.
    Task,
}

/// What a task that writes itself has to write.
pub(crate) enum Next {
    /// So many bytes at the end of one parcel.
    Parcel(Arc<Parcel>, usize),
    /// Several small ones: a record of TLS and a system call for all of them.
    Joined(Vec<u8>),
}

impl Next {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Parcel(parcel, left) => {
                let wire = parcel.wire();
                &wire[wire.len() - left..]
            }
            Self::Joined(bytes) => bytes,
        }
    }
}

/// Where a parcel has gone.
pub(super) enum Enqueued {
    /// Into the reply of the turn that is going on.
    Said,
    /// Nowhere: the client reads too slowly, and its connection is closed.
    Overflow,
    /// Nowhere: the client reads too slowly, and its connection stays.
    Refused,
    /// Into the outbox, which somebody has to flush.
    Waits,
}

impl Link {
    /// Whether a WebSocket carries this session.
    pub(crate) fn has_websocket(&self) -> bool {
        !matches!(self.writer, Writer::None)
    }

    /// The session has moved to a WebSocket, which may carry bytes where polling did not.
    pub(crate) fn set_writer(&mut self, writer: Writer, dialect: Dialect) {
        self.writer = writer;
        self.dialect = dialect;
        self.blocked = false;
    }

    pub(crate) fn command(&mut self, command: Command) {
        if self.retired {
            return; // Whoever waits for it learns by its drop that nobody will obey.
        }
        self.commands.push_back(command);
        self.wake();
    }

    /// Whether the task has something to do that is not read.
    pub(super) fn is_commanded(&self) -> bool {
        self.decided.is_some() || !self.commands.is_empty()
    }

    pub(super) fn wake(&self) {
        if let Some(task) = &self.task {
            task.wake_by_ref();
        }
    }

    /// Whether a parcel would leave at the end of the turn.
    pub(super) fn is_writable(&self) -> bool {
        match self.writer {
            Writer::None => {
                let polls = self.polls.as_deref();
                polls.is_some_and(|polls| polls.get.is_some())
            }
            Writer::Direct(_) => !self.blocked,
            // What waits is seen by the task only; a turn's worth of it is no sign of a jam.
            Writer::Task => self.outbox.bytes() <= COPY,
        }
    }

    /// The socket takes bytes again.
    pub(crate) fn unblock(&mut self) {
        self.blocked = false;
    }

    /// Whether all has left that was said: true or false once it is so or never will be. Until then
    /// `waker` is woken when it may be.
    pub(crate) fn poll_flushed(&mut self, waker: &Waker) -> Poll<bool> {
        if self.session.is_ended() {
            return Poll::Ready(false);
        }
        if self.corked {
            // It leaves with the turn that is going on.
            waker.wake_by_ref();
        } else if self.outbox.is_empty() {
            return Poll::Ready(true);
        } else {
            self.outbox.jammed().wait_for_empty(waker);
        }
        Poll::Pending
    }

    /// Waits until there is room for a parcel, as this client takes it: true or false once it is so or
    /// never will be. Until then `waker` is woken when it may be.
    pub(crate) fn poll_room(
        &mut self,
        parcel: &Arc<Parcel>,
        config: &Config,
        waker: &Waker,
    ) -> Poll<bool> {
        if self.session.is_ended() {
            return Poll::Ready(false);
        }
        if self.has_room(parcel.translated(self.dialect).len(), config) {
            return Poll::Ready(true);
        }
        self.outbox.jammed().wait_for_room(waker);
        Poll::Pending
    }

    fn has_room(&self, len: usize, config: &Config) -> bool {
        self.outbox.is_empty()
            || (self.outbox.bytes() + len <= config.max_queued_bytes
                && self.outbox.len() < config.max_queued_packets)
    }

    /// The client reads too slowly: nothing more is written to it, and its task closes the connection.
    #[cold]
    pub(crate) fn overflow(&mut self, reason: Reason) {
        self.outbox.clear();
        self.writer = Writer::None;
        self.command(Command::Overflow(reason));
    }

    /// Bytes that wait.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.outbox.bytes()
    }

    /// All that is buffered for this connection.
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.outbox.bytes() + self.held
    }

    /// What was said in a turn goes through the outbox, which sees it leave.
    #[cold]
    pub(super) fn watch(&mut self, head: &[u8]) -> &'static [u8] {
        if !head.is_empty() {
            self.outbox
                .push_front(Arc::new(Parcel::from_frames(head)), 0);
        }
        &[]
    }

    #[cold]
    pub(super) fn tell_what_left(&mut self) {
        let left = self.outbox.take_left();
        if !left.is_empty() {
            let drained = self.outbox.is_empty();
            self.command(Command::Left(left, drained));
        }
    }

    /// The socket, which only the task can write to, takes no more: what waits is counted.
    pub(crate) fn charge(&mut self, conn: &Conn) {
        if self.outbox.bytes() > ledger::SMALL {
            self.outbox.charge(&conn.hub.ledger);
        }
    }

    /// The first of what waits, for the task that writes itself. What its turn has said already stands in
    /// front of it, and comes when the turn has ended.
    pub(crate) fn next(&mut self, conn: &Conn) -> Option<Next> {
        if self.corked {
            return None;
        }
        if let (Some(codec), Some(compression)) = (&mut self.codec, &conn.hub.compression) {
            let shard = conn.shard_index();
            self.outbox
                .replace_front(|parcel| codec.parcel(compression, shard, parcel));
        }
        let parcel = self.outbox.front()?;
        let left = self.outbox.front_bytes().len();
        if self.outbox.len() == 1 || left >= COPY || self.codec.is_some() {
            let parcel = Arc::clone(parcel);
            self.outbox.offer_front();
            return Some(Next::Parcel(parcel, left));
        }
        Some(Next::Joined(self.outbox.join(COPY)))
    }

    pub(crate) fn advance(&mut self, n: usize, config: &Config) {
        self.outbox.advance(n);
        self.ease(config);
        if self.outbox.is_watched() {
            self.tell_what_left();
        }
        if self.closing.is_some() && self.outbox.is_empty() {
            self.close_at_last();
        }
    }

    /// All has left that was to leave before the session is closed.
    #[cold]
    pub(super) fn close_at_last(&mut self) {
        if let Some(reason) = self.closing.take() {
            self.session.close(reason, clock::now());
            self.unsettled = true;
            self.wake();
        }
    }

    /// The task, which writes itself, finds that the stream takes nothing.
    pub(crate) fn stand_still(&mut self) {
        if self.outbox.jammed().stay_blocked(clock::now()) {
            self.unsettled = true;
            self.wake();
        }
    }

    /// Something has left.
    fn ease(&mut self, config: &Config) {
        let bytes = self.outbox.bytes();
        if let Some(jam) = self.outbox.jam_mut() {
            jam.ease(bytes, config);
        }
    }

    /// Lets go of all that waits and of the write half; a GET that still waits is answered by the
    /// drop of its sender. Returns what the caller has to drop outside the lock: a socket among it
    /// may be the last of its kind, and take the user's data with it.
    #[must_use]
    pub(super) fn clear(&mut self) -> impl Sized + use<> {
        self.outbox.clear();
        self.writer = Writer::None;
        self.codec = None;
        self.task = None;
        self.decided = None;
        (self.polls.take(), std::mem::take(&mut self.commands))
    }

    /// Compresses all that waits and has not begun to leave.
    #[inline]
    pub(super) fn compress_waiting(&mut self, conn: &Conn) {
        if self.blocked {
            return;
        }
        if let (Some(codec), Some(compression)) = (&mut self.codec, &conn.hub.compression) {
            let shard = conn.shard_index();
            self.outbox
                .replace(|parcel| codec.parcel(compression, shard, parcel));
        }
    }

    /// Queues `parcel`.
    #[inline]
    pub(super) fn enqueue(&mut self, conn: &Conn, parcel: &Arc<Parcel>, mode: Mode) -> Enqueued {
        let first = self.outbox.is_empty() && !self.corked && self.dialect == Dialect::V4;
        if first && parcel.wire().len() <= conn.hub.config.soft_limit() {
            // What nearly all are.
            self.outbox.push(Arc::clone(parcel));
            return Enqueued::Waits;
        }
        self.enqueue_any(conn, parcel, mode)
    }

    #[inline(never)]
    fn enqueue_any(&mut self, conn: &Conn, parcel: &Arc<Parcel>, mode: Mode) -> Enqueued {
        let translated;
        let parcel = if self.dialect == Dialect::V4 {
            parcel
        } else {
            translated = parcel.translated(self.dialect);
            &translated
        };
        let wire = parcel.wire();
        if self.corked && self.outbox.is_empty() && turn::is_of(conn.address()) {
            // What is appended may be compressed at the end of the turn.
            if wire.len() <= COPY
                && turn::has_room()
                && !(parcel.is_final() && self.codec.is_some())
            {
                turn::append(wire);
                return Enqueued::Said;
            }
            if let Some(said) = turn::take_reply() {
                self.outbox.push(Arc::new(said));
            }
        }
        let config = &conn.hub.config;
        if (self.outbox.bytes() + wire.len() > config.soft_limit()
            || self.outbox.behind() + 1 >= config.max_queued_packets)
            && let Some(nowhere) = self.make_room(conn, wire.len(), mode)
        {
            return nowhere;
        }
        self.outbox.push(Arc::clone(parcel));
        Enqueued::Waits
    }

    /// A lot waits. `None` if there is room for `len` bytes more, where they go otherwise.
    #[cold]
    #[inline(never)]
    fn make_room(&mut self, conn: &Conn, len: usize, mode: Mode) -> Option<Enqueued> {
        let config = &conn.hub.config;
        if mode != Mode::Refusable && !self.has_room(len, config) {
            let dropped = self.outbox.evict(|bytes, packets| {
                bytes + len <= config.max_queued_bytes && packets < config.max_queued_packets
            });
            conn.shard().tally.dropped(dropped);
        }
        let has_room = self.has_room(len, config);
        match mode {
            Mode::Droppable | Mode::Volatile if !has_room => {
                conn.shard().tally.dropped(1);
                return Some(Enqueued::Refused);
            }
            Mode::Refusable if !has_room => {
                conn.shard().tally.hit(Limit::Queue);
                return Some(Enqueued::Refused);
            }
            Mode::Reliable | Mode::Vital if !has_room => {
                self.overflow(Reason::SlowConsumer);
                return Some(Enqueued::Overflow);
            }
            Mode::Reliable | Mode::Vital => {
                let soft = self.outbox.bytes() + len > config.soft_limit();
                if soft && self.outbox.jammed().pile_up(clock::now()) {
                    self.unsettled = true;
                    self.wake();
                }
            }
            Mode::Droppable | Mode::Volatile | Mode::Refusable => {}
        }
        None
    }

    /// The socket, if a broadcast may be written to it as it is, with nothing else on its way.
    #[inline]
    pub(super) fn free(&self) -> Option<&Tcp> {
        match &self.writer {
            Writer::Direct(stream)
                if !self.session.is_ended()
                    && !self.corked
                    && !self.blocked
                    && self.outbox.is_empty()
                    && !self.outbox.is_watched()
                    && self.codec.is_none()
                    && self.dialect == Dialect::V4 =>
            {
                Some(stream)
            }
            _ => None,
        }
    }

    /// Writes the parcel that waits, if that is all there is to do. False if something is left.
    #[inline]
    pub(super) fn send_lone(&mut self) -> bool {
        let Writer::Direct(stream) = &self.writer else {
            return false;
        };
        if self.corked || self.blocked || self.codec.is_some() || self.closing.is_some() {
            return false;
        }
        let Some(parcel) = self.outbox.lone() else {
            return false;
        };
        let wire = parcel.wire();
        match stream.send(wire) {
            Ok(sent) if sent == wire.len() => {
                self.outbox.lone_left();
                return true;
            }
            Ok(sent) => self.outbox.advance(sent),
            Err(error) => self.stop(&[], 0, &error),
        }
        false
    }

    /// Writes what a turn has said that has pieces, as much as the socket takes at once, if nothing is in
    /// the way. What is left, as one piece, is the first that waits.
    #[cold]
    pub(super) fn send_pieces(&mut self, said: &Frames) {
        let sent = match (&self.writer, self.free()) {
            (Writer::None, _) => return, // The client has gone.
            (_, None) => 0,
            // What is wrong with the socket is seen when the rest is written.
            (_, Some(stream)) => said.send(stream).unwrap_or(0),
        };
        if sent < said.len() {
            self.outbox.push_front(Arc::new(said.parcel()), sent);
        }
    }

    /// Goes on with parcels of which the socket has taken a part.
    #[cold]
    pub(super) fn resume(
        &mut self,
        parcels: &[Arc<Parcel>],
        sent: io::Result<usize>,
        config: &Config,
    ) {
        for parcel in parcels {
            self.outbox.push(Arc::clone(parcel));
        }
        match sent {
            Ok(sent) => {
                self.outbox.advance(sent);
                self.write_all(&[], 0, config);
            }
            Err(error) => self.stop(&[], 0, &error),
        }
    }

    /// Keeps what could not be written, of which `written` bytes have been.
    pub(super) fn keep(&mut self, head: &[u8], written: usize) {
        if written < head.len() {
            let parcel = Parcel::from_frames(head);
            let parcel = match self.codec {
                // It has been through it already.
                Some(_) => parcel.as_it_is(),
                None => parcel,
            };
            self.outbox.push_front(Arc::new(parcel), written);
        }
    }

    pub(super) fn write(&mut self, head: &[u8], config: &Config) {
        if self.blocked {
            return self.keep(head, 0);
        }
        let Writer::Direct(stream) = &self.writer else {
            return;
        };
        // A turn's reply, or one parcel of a broadcast: nearly always all there is.
        let written = match (head.is_empty(), self.outbox.len()) {
            (true, 1) => stream.send(self.outbox.front_bytes()),
            (false, 0) => stream.send(head),
            _ => return self.write_all(head, 0, config),
        };
        match written {
            Ok(n) if head.is_empty() => {
                self.outbox.advance(n);
                self.ease(config);
            }
            Ok(n) if n == head.len() => return,
            Ok(n) => return self.write_all(head, n, config),
            Err(error) => return self.stop(head, 0, &error),
        }
        if !self.outbox.is_empty() {
            self.write_all(head, 0, config);
        }
    }

    /// Writes `head`, of which `done` bytes have been written, and all that waits.
    #[cold]
    #[inline(never)]
    fn write_all(&mut self, head: &[u8], mut done: usize, config: &Config) {
        while let Writer::Direct(stream) = &self.writer {
            let rest = &head[done..];
            let written = match (rest.is_empty(), self.outbox.len()) {
                (true, 0) => return,
                (false, 0) => stream.send(rest),
                (_, ..SOME_SLICES) => write_vectored::<SOME_SLICES>(stream, rest, &self.outbox),
                _ => write_vectored::<MAX_SLICES>(stream, rest, &self.outbox),
            };
            match written {
                Ok(n) => {
                    let of_head = n.min(rest.len());
                    done += of_head;
                    self.outbox.advance(n - of_head);
                    self.ease(config);
                }
                Err(error) => return self.stop(head, done, &error),
            }
        }
    }

    /// No more can be written: not now, or never.
    #[cold]
    fn stop(&mut self, head: &[u8], done: usize, error: &io::Error) {
        if error.kind() == io::ErrorKind::WouldBlock {
            self.keep(head, done);
            self.blocked = true;
            self.outbox.jammed().block(clock::now());
            self.unsettled = true;
        } else {
            // The task reads the same error, or the end, from the socket.
            self.outbox.clear();
            self.writer = Writer::None;
            self.session.handle_lost(Source::WebSocket, clock::now());
            self.unsettled = true;
        }
        self.wake();
    }

    /// The GET that waits, whichever it is or if it is this one.
    pub(super) fn take_get(&mut self, which: Option<PollId>) -> Option<oneshot::Sender<Bytes>> {
        let get = &mut self.polls.as_mut()?.get;
        let is_it = |(id, _): &mut (PollId, _)| which.is_none_or(|which| which == *id);
        get.take_if(is_it).map(|(_, answer)| answer)
    }

    /// Answers the GET that waits with what waits.
    pub(super) fn answer_poll(&mut self, config: &Config) {
        let Some(poll) = self.take_get(None) else {
            return;
        };
        // To the byte for a single parcel, as most are: what is not filled would have to be given back.
        let room = match self.outbox.front() {
            Some(only) if self.outbox.len() == 1 => only.payload_len(),
            _ => self.outbox.bytes(),
        };
        let mut payload = Payload::new(self.session.revision(), room);
        self.drain(&mut payload, config.engine.max_payload);
        let _ = poll.send(payload.into_bytes().into());
        self.session.drained();
        self.ease(config);
    }

    /// Moves what waits into a payload, whole parcels, about `max_payload` bytes of them.
    pub(super) fn drain(&mut self, payload: &mut Payload, max_payload: usize) {
        while let Some(parcel) = self.outbox.front() {
            if !payload.is_empty() && payload.len() + parcel.payload_len() > max_payload {
                break;
            }
            payload.push(parcel);
            self.outbox.pop();
        }
    }
}

/// Writes `head` and what waits in one call. Filling the list of slices costs as much as its length,
/// so a short queue takes a short list.
fn write_vectored<const N: usize>(stream: &Tcp, head: &[u8], outbox: &Outbox) -> io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); N];
    let count = outbox.gather(head, &mut slices);
    stream.send_all(&slices[..count])
}
