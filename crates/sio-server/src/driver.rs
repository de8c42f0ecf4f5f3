//! The task of one connection: it reads, runs the handlers, and does what the session decides.
//!
//! One poll of the task is a *turn*:
//!
//! 1. what others want of it (bodies of POSTs, a probing WebSocket, a disconnect) is done;
//! 2. handlers that were waiting go on;
//! 3. what the WebSocket has is read into the thread's scratch and handled there, each handler
//!    polled on the spot;
//! 4. what all of them said to this client leaves in one write.
//!
//! Between turns the task owns no buffer.

use std::{
    borrow::Cow,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use eio_transport::{Action, Data, Packet, PacketError, Reason, Revision, Source, payload::Body};
use tokio::{sync::oneshot, time::Sleep};
use ws_deflate::InflateError;
use ws_frame::{CloseCode, Kind, Message, OpCode, State, write_frame};

use crate::{
    application::Application,
    clock,
    conn::{Command, Conn},
    counters::Limit,
    gate::give_back,
    tcp::Got,
    turn,
    wire::{Wire, WireIo},
};

/// System calls to read in one turn, so that a client that sends without end leaves room for
/// others.
const READS: usize = 4;

pub(crate) struct Driver<A: Application> {
    desk: A,
    /// The session's WebSocket.
    wire: Option<Wire>,
    /// One that offers itself for an upgrade.
    probe: Option<Box<Wire>>,
    /// The POST that is under way.
    post: Option<Box<Post>>,
    stage: Stage,
}

/// The body of a POST.
struct Post {
    body: Body,
    /// Told when all has been read, if somebody waits for it.
    read: Option<oneshot::Sender<()>>,
}

/// How far the end has come.
enum Stage {
    Open,
    /// The session is over. The WebSocket may still take what waits and close in order; until the
    /// timer, which is set when the task first has to wait for it.
    Closing(Option<Pin<Box<Sleep>>>),
    /// The WebSocket is gone, too. Handlers that are at work may finish; until the timer.
    Lingering(Option<Pin<Box<Sleep>>>),
}

/// What reading came to.
enum Read {
    /// Nothing was there.
    Nothing,
    /// What was there has been handled; there may be more.
    Some,
    /// What was there has been handled, and the task is woken when there is more.
    All,
    /// The probing WebSocket has become the session's, which the next turn sees to.
    Moved,
    /// The stream has ended, in order or not.
    End,
}

impl<A: Application> Driver<A> {
    /// The task of a connection that is on a WebSocket already, or of one that polls. It was counted
    /// when it was admitted.
    pub(crate) fn new(conn: Arc<Conn>, wire: Option<Wire>) -> Self {
        Self {
            desk: A::new(conn),
            wire,
            probe: None,
            post: None,
            stage: Stage::Open,
        }
    }

    fn conn(&self) -> &Arc<Conn> {
        self.desk.conn()
    }

    /// A poll of the task that begins with the body of a POST. Its session knows of it.
    pub(crate) fn read_body(&mut self, body: Body, cx: &mut Context<'_>) -> Poll<()> {
        self.run(Some(Post { body, read: None }), cx)
    }

    /// If the body of a POST has not been read to its end: what says when it has.
    pub(crate) fn reading(&mut self) -> Option<oneshot::Receiver<()>> {
        let post = self.post.as_mut()?;
        let (read, told) = oneshot::channel();
        post.read = Some(read);
        Some(told)
    }

    /// Bytes that came and are not done with.
    #[inline]
    fn held(&self) -> usize {
        let wire = self.wire.as_ref();
        self.desk.held() + wire.map_or(0, |wire| wire.frames.held() + wire.unread.len())
    }

    /// One turn, with what a POST has brought. What comes up for the task during it is for the next one, for
    /// which others wake it.
    fn turn(&mut self, brought: &mut Option<Post>, cx: &mut Context<'_>) -> Turned {
        let mut opening = self.desk.conn().open_turn(cx.waker());
        if opening.commanded {
            for command in self.desk.conn().take_commands() {
                self.obey(command, cx);
            }
            opening.reads = self.accepts();
        }
        if opening.blocked {
            self.unblock(cx);
        }
        if let Some(wire) = &mut self.wire
            && wire.poll_send(self.desk.conn(), cx).is_err()
        {
            self.lost();
        }
        // Before anything new is read: they were here first, and may make room for it.
        if !self.desk.is_idle() {
            self.desk.poll(cx);
        }
        let waiting = || self.post.take().map(|post| *post);
        if let Some(post) = brought.take().or_else(waiting) {
            self.read_post(post, cx);
            opening.reads = self.accepts();
        }
        let heard = self.wire.is_some() && self.read(opening.reads, cx);
        if self.probe.is_some() {
            self.read_probe(cx);
        }
        self.desk.settle(cx);
        Turned {
            heard,
            over: self.is_over(cx),
        }
    }

    /// Whether messages from the WebSocket are for the application.
    fn accepts(&self) -> bool {
        self.desk.conn().lock().session.accepts(Source::WebSocket)
    }

    /// Goes on writing if the socket takes bytes again; the turn's end does it.
    fn unblock(&mut self, cx: &mut Context<'_>) {
        if let Some(Wire {
            io: WireIo::Tcp(stream),
            ..
        }) = &self.wire
            && stream.poll_send_ready(cx).is_ready()
        {
            self.desk.conn().lock().unblock();
        }
    }

    /// Whether nothing is left to be done for this connection.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let closing = self.is_closing();
        let config = &self.desk.conn().hub.config;
        if let Stage::Closing(timer) = &mut self.stage {
            if closing && !has_passed(timer, config.close_timeout, cx) {
                return false;
            }
            self.hang_up(cx);
        }
        match &mut self.stage {
            Stage::Lingering(timer) => {
                self.desk.is_idle() || has_passed(timer, self.desk.conn().hub.config.linger, cx)
            }
            Stage::Open | Stage::Closing(_) => false,
        }
    }

    // ---- 1. what others want ------------------------------------------------------------------

    fn obey(&mut self, command: Command, cx: &mut Context<'_>) {
        match command {
            Command::Act(action) => self.act(action, cx),
            Command::Begin => self.desk.begin(cx),
            Command::Body(body, read) => {
                let read = Some(read);
                self.post = Some(Box::new(Post { body, read }));
            }
            Command::Disconnect => {
                self.desk.disconnect_all(cx);
                self.conn().close(Reason::ForcedServerClose);
            }
            Command::Fence(ended) => {
                if matches!(self.stage, Stage::Open) {
                    self.conn()
                        .drive(|session| session.abort(Reason::Superseded, clock::now()));
                    // Behind the end that follows from it.
                    self.conn().command(Command::Fence(ended));
                }
            }
            Command::Left(messages, drained) => self.desk.left(&messages, drained),
            Command::Overflow(reason) => {
                self.conn()
                    .drive(|session| session.abort(reason, clock::now()));
            }
            Command::Probe(mut incoming) => {
                let codec = incoming.codec.take();
                match incoming.adopt() {
                    Ok(mut wire) if !self.conn().lock().session.is_offered() => {
                        wire.say_goodbye(cx)
                    }
                    Ok(wire) => {
                        self.conn().lock().codec = codec;
                        self.probe = Some(Box::new(wire));
                    }
                    Err(_) => self
                        .conn()
                        .drive(|session| session.handle_lost(Source::Probe, clock::now())),
                }
            }
            Command::Shed => {
                self.conn()
                    .drive(|session| session.abort(Reason::Overload, clock::now()));
            }
            Command::Removed(socket) => self.desk.removed(&socket, cx),
            Command::Shutdown => {
                self.conn().close(Reason::ServerShuttingDown);
            }
        }
    }

    fn act(&mut self, action: Action, cx: &mut Context<'_>) {
        match action {
            Action::SendProbe => {
                if let Some(probe) = &mut self.probe {
                    write_frame(&mut probe.unsent, OpCode::Text, 6, |text| {
                        text.extend_from_slice(b"3probe");
                    });
                }
            }
            Action::DropProbe => {
                if let Some(mut probe) = self.probe.take() {
                    self.conn().lock().codec = None;
                    probe.say_goodbye(cx);
                }
            }
            Action::Switch => {
                let Some(mut probe) = self.probe.take() else {
                    return;
                };
                let _ = probe.poll_flush(cx);
                let conn = self.desk.conn();
                let mut link = conn.lock();
                link.set_writer(probe.writer(), probe.dialect);
                conn.settle(&mut link);
                drop(link);
                self.wire = Some(*probe);
                self.desk.upgraded();
            }
            Action::Hang => {
                if let Some(wire) = &mut self.wire {
                    let flooded =
                        self.desk.conn().lock().session.reason() == Some(Reason::PacketRate);
                    let code = flooded.then_some(CloseCode::POLICY);
                    wire.frames.close(code.map(Into::into));
                    transmit(self.desk.conn(), wire);
                }
            }
            Action::Ended(reason) => self.end(reason, cx),
            _ => {}
        }
    }

    fn end(&mut self, reason: Reason, cx: &mut Context<'_>) {
        tracing::debug!(
            reason = reason.as_str(),
            detail = reason.detail(),
            "a connection ended"
        );
        self.stage = Stage::Closing(None);
        self.desk.conn().shard().tally.closed(reason);
        self.desk.conn().hub.remove_session(self.desk.conn());
        self.desk.end(reason, cx);
        self.desk.conn().pause_turn();
        if !self.is_closing() {
            self.hang_up(cx);
        }
    }

    /// Whether the WebSocket has something left to do for its end. One that closes in order waits
    /// for the peer; one that has said its last word, also to a peer that broke the protocol, goes
    /// when that word has left. One that is gone, or was never closed, does neither.
    fn is_closing(&self) -> bool {
        match self.wire.as_ref().map(|wire| wire.frames.state()) {
            Some(State::CloseSent) => true,
            Some(State::Closed | State::Failed) => self.desk.conn().lock().queued_bytes() > 0,
            _ => false,
        }
    }

    /// Lets go of the WebSocket.
    fn hang_up(&mut self, cx: &mut Context<'_>) {
        if let Some(mut wire) = self.wire.take()
            && let WireIo::Stream(_) = wire.io
        {
            let _ = wire.io.poll_shutdown(cx);
        }
        // A plain socket has nobody but the two who let go of it here, and that closes it.
        self.probe = None;
        self.desk.conn().let_go();
        self.stage = Stage::Lingering(None);
    }

    // ---- 3. reading ---------------------------------------------------------------------------

    /// Reads what the WebSocket has. Returns whether anything came.
    fn read(&mut self, accepts: bool, cx: &mut Context<'_>) -> bool {
        let ending = !matches!(self.stage, Stage::Open);
        if !accepts && !ending {
            return false;
        }
        let mut heard = false;
        for _ in 0..READS {
            if !ending && (self.desk.is_stalled() || self.desk.is_closed()) {
                return heard;
            }
            let Some(wire) = &mut self.wire else {
                return heard;
            };
            let desk = &mut self.desk;
            let mut unread = std::mem::take(&mut wire.unread);
            let read = turn::with_scratch(|scratch, spare| {
                let mut all = false;
                let input = if unread.is_empty() {
                    match wire.io.poll_read(cx, scratch) {
                        Poll::Pending => return Read::Nothing,
                        Poll::Ready(Ok(Got { len: 0, .. }) | Err(_)) => return Read::End,
                        Poll::Ready(Ok(got)) => {
                            all = got.all;
                            &mut scratch[..got.len]
                        }
                    }
                } else {
                    &mut unread[..]
                };
                if ending {
                    discard(wire, desk.conn(), input, spare);
                } else {
                    feed(wire, desk, input, spare, cx);
                }
                match wire.frames.is_finished() {
                    true => Read::End,
                    false if all => Read::All,
                    false => Read::Some,
                }
            });
            match read {
                Read::Nothing | Read::Moved => return heard,
                Read::All => return true,
                Read::Some => heard = true,
                Read::End => {
                    self.lost();
                    return heard;
                }
            }
        }
        // There may be more, but others want a turn, too.
        cx.waker().wake_by_ref();
        heard
    }

    /// The WebSocket has ended.
    fn lost(&mut self) {
        if let Some(wire) = &mut self.wire {
            wire.frames.receive_eof();
        }
        match self.stage {
            Stage::Open => {
                self.desk
                    .conn()
                    .drive(|session| session.handle_lost(Source::WebSocket, clock::now()));
            }
            // `is_over` takes it from here.
            Stage::Closing(_) | Stage::Lingering(_) => self.wire = None,
        }
    }

    fn read_probe(&mut self, cx: &mut Context<'_>) {
        for _ in 0..READS {
            let Some(probe) = &mut self.probe else {
                return;
            };
            let conn = self.desk.conn();
            let read = if probe.poll_flush(cx).is_err() {
                Read::End
            } else {
                turn::with_scratch(|scratch, spare| {
                    let mut unread = std::mem::take(&mut probe.unread);
                    let input = if unread.is_empty() {
                        match probe.io.poll_read(cx, scratch) {
                            Poll::Pending => return Read::Nothing,
                            Poll::Ready(Ok(Got { len: 0, .. }) | Err(_)) => return Read::End,
                            Poll::Ready(Ok(Got { len, .. })) => &mut scratch[..len],
                        }
                    } else {
                        &mut unread[..]
                    };
                    feed_probe(probe, conn, input, spare)
                })
            };
            match read {
                Read::Some => {}
                Read::All | Read::Nothing | Read::Moved => return,
                Read::End => {
                    self.probe = None;
                    self.conn().lock().codec = None;
                    return self
                        .conn()
                        .drive(|session| session.handle_lost(Source::Probe, clock::now()));
                }
            }
        }
        cx.waker().wake_by_ref();
    }

    /// Reads a body as far as the handlers keep up with it; until then its POST waits for the answer.
    fn read_post(&mut self, mut post: Post, cx: &mut Context<'_>) {
        let conn = Arc::clone(self.conn());
        let now = clock::now();
        while !self.desk.is_closed() {
            if self.desk.is_stalled() && !post.body.is_read() {
                self.post = Some(Box::new(post));
                return;
            }
            let data = match post.body.next() {
                None => break,
                // The session heard of its client when the POST began, and does when it ends.
                Some(Ok(Packet::Message(data))) => {
                    let accepts = conn.lock().session.accepts(Source::Polling);
                    accepts.then_some(data)
                }
                Some(Ok(packet)) => {
                    if is_heartbeat(&conn, &packet) {
                        self.desk.heartbeat();
                    }
                    conn.drive(|session| session.handle_packet(Source::Polling, packet, now))
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, "a payload could not be read");
                    conn.drive(|session| session.handle_malformed(Source::Polling, now));
                    None
                }
            };
            match data {
                Some(Data::Text(text)) => self.desk.handle_text(text, cx),
                Some(Data::Binary(data)) => self.desk.handle_binary(data, cx),
                None => {}
            }
        }
        conn.drive(|session| session.handle_post_end(now));
        if let Some(read) = post.read {
            let _ = read.send(());
        }
    }

    /// One poll of the task, with what a POST has brought.
    #[inline(always)]
    fn run(&mut self, mut brought: Option<Post>, cx: &mut Context<'_>) -> Poll<()> {
        /// Turns in one poll: in the second, what the first has decided is done.
        const TURNS: usize = 2;
        for _ in 0..TURNS {
            self.desk.conn().begin_turn();
            let turned = self.turn(&mut brought, cx);
            let held = self.held();
            let commanded = self.desk.conn().end_turn(turned.heard, Some(held));
            if turned.over {
                return Poll::Ready(());
            }
            if !commanded {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// What a turn came to.
struct Turned {
    /// Something came from the WebSocket.
    heard: bool,
    /// Nothing is left to be done for this connection.
    over: bool,
}

impl<A: Application> Future for Driver<A> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.get_mut().run(None, cx)
    }
}

impl<A: Application> Drop for Driver<A> {
    /// The task is dropped, perhaps with its runtime: nobody may go on taking this connection for
    /// alive.
    fn drop(&mut self) {
        let conn = Arc::clone(self.desk.conn());
        if matches!(self.stage, Stage::Open) {
            conn.hub.remove_session(&conn);
        }
        self.desk.abandon();
        conn.retire();
        give_back(&conn.hub, &conn.sid);
    }
}

/// Handles what was read from the session's WebSocket.
fn feed<A: Application>(
    wire: &mut Wire,
    desk: &mut A,
    mut input: &mut [u8],
    spare: &mut Vec<u8>,
    cx: &mut Context<'_>,
) {
    let mut control = false;
    loop {
        // FIN and binary; asked first, since most messages are text.
        let binary = input.first() == Some(&0x82) && desk.keeps_binary();
        if binary && let Some(data) = wire.frames.receive_binary(&mut input) {
            desk.handle_binary(Cow::Owned(data), cx);
        } else {
            match wire.frames.receive_pooled(&mut input, spare) {
                Ok(None) => break,
                Ok(Some(Message::Text(text))) => handle_text(desk, text, cx),
                Ok(Some(Message::Binary(data))) => handle_binary(desk, data, cx),
                Ok(Some(Message::Compressed { kind, payload })) => {
                    if let Err(code) = handle_compressed(desk, kind, payload, cx) {
                        count(desk.conn(), code);
                        wire.frames.close(Some(code.into()));
                        transmit(desk.conn(), wire);
                        desk.conn()
                            .drive(|session| session.abort(Reason::TransportError, clock::now()));
                        return;
                    }
                }
                Ok(Some(_)) => control = true,
                Err(error) => {
                    tracing::debug!(%error, "a WebSocket broke the protocol");
                    count(desk.conn(), error.close_code());
                    transmit(desk.conn(), wire);
                    desk.conn()
                        .drive(|session| session.abort(Reason::TransportError, clock::now()));
                    return;
                }
            }
        }
        if desk.is_closed() {
            return; // What came behind the fault, or behind our own close, is nobody's.
        }
        if desk.is_stalled() {
            wire.unread = (&*input).into();
            break;
        }
        if input.is_empty() && wire.frames.is_at_rest() {
            break;
        }
    }
    if control {
        if wire.frames.state() == State::Open {
            wire.handle_elapsed(clock::now());
        }
        transmit(desk.conn(), wire);
    }
}

/// Reads on after our close frame, for the sake of the peer's.
fn discard(wire: &mut Wire, conn: &Arc<Conn>, mut input: &mut [u8], spare: &mut Vec<u8>) {
    while let Ok(Some(_)) = wire.frames.receive_pooled(&mut input, spare) {}
    transmit(conn, wire);
}

/// A text message.
#[inline]
fn handle_text<A: Application>(desk: &mut A, text: &str, cx: &mut Context<'_>) {
    match text.strip_prefix('4') {
        Some(text) => desk.handle_text(text, cx),
        None => {
            let revision = desk.conn().revision;
            handle_packet(desk, revision.read_text(text), cx);
        }
    }
}

/// A binary message; in revision 3 its first byte is the packet type.
#[inline]
fn handle_binary<A: Application>(desk: &mut A, data: &[u8], cx: &mut Context<'_>) {
    match desk.conn().revision {
        Revision::V4 => desk.handle_binary(Cow::Borrowed(data), cx),
        Revision::V3 => handle_packet(desk, Revision::V3.read_binary(data), cx),
    }
}

/// A compressed message, or the code to close with.
#[cold]
fn handle_compressed<A: Application>(
    desk: &mut A,
    kind: Kind,
    payload: &[u8],
    cx: &mut Context<'_>,
) -> Result<(), CloseCode> {
    let conn = Arc::clone(desk.conn());
    let handled = conn.with_inflated(payload, |message| {
        match (kind, message.map_err(close_code)?) {
            (Kind::Text, message) => handle_text(desk, text(message)?, cx),
            (Kind::Binary, message) => handle_binary(desk, message, cx),
        }
        Ok(())
    });
    handled.unwrap_or(Err(CloseCode::INTERNAL))
}

fn close_code(error: InflateError) -> CloseCode {
    tracing::debug!(%error, "a compressed message could not be read");
    CloseCode::new(error.close_code()).unwrap_or(CloseCode::PROTOCOL)
}

fn text(message: &[u8]) -> Result<&str, CloseCode> {
    str::from_utf8(message).map_err(|_| CloseCode::INVALID_PAYLOAD)
}

/// A frame that is not plainly a message.
fn handle_packet<A: Application>(
    desk: &mut A,
    packet: Result<Packet<'_>, PacketError>,
    cx: &mut Context<'_>,
) {
    if packet
        .as_ref()
        .is_ok_and(|packet| is_heartbeat(desk.conn(), packet))
    {
        desk.heartbeat();
    }
    let data = desk.conn().drive(|session| match packet {
        Ok(packet) => session.handle_packet(Source::WebSocket, packet, clock::now()),
        Err(_) => {
            session.handle_malformed(Source::WebSocket, clock::now());
            None
        }
    });
    match data {
        Some(Data::Text(text)) => desk.handle_text(text, cx),
        Some(Data::Binary(data)) => desk.handle_binary(data, cx),
        None => {}
    }
}

/// Handles what was read from a probing WebSocket.
fn feed_probe(
    probe: &mut Wire,
    conn: &Arc<Conn>,
    mut input: &mut [u8],
    spare: &mut Vec<u8>,
) -> Read {
    loop {
        let moved = match probe.frames.receive_pooled(&mut input, spare) {
            Ok(None) => return Read::Some,
            Ok(Some(Message::Text(text))) => handle_probe(conn, conn.revision.read_text(text)),
            Ok(Some(Message::Binary(data))) => handle_probe(conn, conn.revision.read_binary(data)),
            Ok(Some(Message::Compressed { kind, payload })) => {
                let moved = conn.with_inflated(payload, |message| {
                    let packet = match (kind, message.ok()?) {
                        (Kind::Text, message) => conn.revision.read_text(text(message).ok()?),
                        (Kind::Binary, message) => conn.revision.read_binary(message),
                    };
                    Some(handle_probe(conn, packet))
                });
                match moved.flatten() {
                    Some(moved) => moved,
                    None => return Read::End,
                }
            }
            Ok(Some(Message::Close(_))) | Err(_) => return Read::End,
            Ok(Some(_)) => continue,
        };
        if moved {
            // What follows belongs to the session.
            probe.unread = (&*input).into();
            return Read::Moved;
        }
    }
}

/// A packet from a probing WebSocket. Returns whether that is the session's from now on.
fn handle_probe(conn: &Arc<Conn>, packet: Result<Packet<'_>, PacketError>) -> bool {
    let moved = matches!(packet, Ok(Packet::Upgrade));
    conn.drive(|session| match packet {
        Ok(packet) => drop(session.handle_packet(Source::Probe, packet, clock::now())),
        Err(_) => session.handle_malformed(Source::Probe, clock::now()),
    });
    moved
}

/// Whether a packet is the client's part of the heartbeat.
fn is_heartbeat(conn: &Conn, packet: &Packet<'_>) -> bool {
    match conn.revision {
        Revision::V3 => matches!(packet, Packet::Ping(_)),
        Revision::V4 => matches!(packet, Packet::Pong(_)),
    }
}

/// Counts a message that was too long.
fn count(conn: &Conn, code: CloseCode) {
    if code == CloseCode::TOO_BIG {
        conn.shard().tally.hit(Limit::MessageBytes);
    }
}

/// Whether a timer, which is set now if it has not been, has run out.
fn has_passed(timer: &mut Option<Pin<Box<Sleep>>>, after: Duration, cx: &mut Context<'_>) -> bool {
    let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(after)));
    timer.as_mut().poll(cx).is_ready()
}

/// Passes on the control frames that are due.
fn transmit(conn: &Arc<Conn>, wire: &mut Wire) {
    turn::with_encoder(|frames| {
        if wire.frames.poll_transmit(&mut frames.bytes) {
            conn.say_raw(&frames.bytes);
        }
    });
}
