//! One session: by which road its messages leave, and what every event does to it.
//!
//! The transitions stand in `table.rs`; `docs/engine-io-states.md` shows them.

use std::sync::Arc;
use std::time::Instant;

use crate::action::{Action, Answer, PollId};
use crate::config::{Config, Revision, Transport};
use crate::error::ErrorCode;
use crate::heartbeat::{Elapsed, Heartbeat, later};
use crate::packet::{Data, Packet};
use crate::parcel::Control;
use crate::reason::Reason;
use crate::table::{Effects, Input, Phase, State};

/// By which road what is queued may leave now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Road {
    /// In the answer to the GET that waits.
    Polling,
    /// Over the WebSocket.
    WebSocket,
}

/// Where something came from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// The body of a POST.
    Polling,
    /// The WebSocket that offers itself for an upgrade.
    Probe,
    /// The WebSocket of the session.
    WebSocket,
}

/// One session of Engine.IO, seen from the server.
///
/// It holds no message and no socket. The driver keeps the queue of messages beside it and asks
/// by which road it may drain.
///
/// Methods come in four families. **A**: facts. **B**: `handle_*`, what happened. **C**:
/// commands, what the application wants. **D**: what to do now. After every B and C call
/// [`poll_action`](Self::poll_action) until it is `None`, then look at [`road`](Self::road) (may
/// the queue drain?) and [`poll_timeout`](Self::poll_timeout) (when to call
/// [`handle_timeout`](Self::handle_timeout)).
///
/// A session that has ended takes no notice of anything and refuses all requests.
///
/// ```
/// use std::{sync::Arc, time::Instant};
/// use eio_transport::{
///     Action, Config, Control, Packet, Reason, Revision, Road, Session, Source, Transport,
/// };
///
/// let (config, now) = (Arc::new(Config::default()), Instant::now());
/// let mut session = Session::open(Revision::V4, Transport::WebSocket, Arc::clone(&config), now);
/// session.claim(); // An application wants it.
/// assert_eq!((session.transport(), session.road()), (Transport::WebSocket, Some(Road::WebSocket)));
///
/// // A ping is due, and answered.
/// let due = session.poll_timeout().expect("it lives");
/// session.handle_timeout(due);
/// assert_eq!(session.poll_action(), Some(Action::Send(Control::Ping)));
/// session.handle_packet(Source::WebSocket, Packet::parse_text("3").unwrap(), due);
/// assert!(session.poll_timeout() > Some(due));
///
/// // A client that sends what is no packet is done with.
/// session.handle_malformed(Source::WebSocket, due);
/// assert_eq!(session.poll_action(), Some(Action::Hang));
/// assert_eq!(session.poll_action(), Some(Action::Ended(Reason::ParseError)));
/// assert!(session.is_ended() && session.reason() == Some(Reason::ParseError));
///
/// // Over polling a POST is announced, and its packets are read before it ends.
/// let mut session = Session::open(Revision::V4, Transport::Polling, config, now);
/// session.handle_post(now)?;
/// assert!(session.accepts(Source::Polling));
/// session.handle_packet(Source::Polling, Packet::parse_text("4hello").unwrap(), now);
/// session.handle_post_end(now);
/// session.close(Reason::ForcedServerClose, now); // The next GET will say so.
/// # Ok::<(), eio_transport::ErrorCode>(())
/// ```
#[derive(Debug)]
// In this order: a broadcast asks each connection for its state, and finds it out of the caches.
#[repr(C)]
pub struct Session {
    state: State,
    post: Post,
    revision: Revision,
    reason: Option<Reason>,
    config: Arc<Config>,
    heartbeat: Heartbeat,
    /// The last moment for an application to claim the session; `None` once it did.
    connect: Option<Instant>,
    /// The last moment for the upgrade or for the last words, as the state says.
    limit: Option<Instant>,
    /// Before this moment no GET is answered with a NOOP.
    noop: Option<Instant>,
    /// The GET that waits, or the last that did.
    poll: PollId,
    effects: Effects,
}

/// Whether a POST is being read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Post {
    None,
    Reading,
}

impl Session {
    /// Opens a session. Over polling, the GET of the handshake is answered by the driver with the
    /// open packet and is not known here.
    pub fn open(revision: Revision, via: Transport, config: Arc<Config>, now: Instant) -> Self {
        Self {
            heartbeat: Heartbeat::new(revision, &config, now),
            connect: Some(later(now, config.connect_timeout)),
            limit: None,
            noop: None,
            poll: PollId(0),
            effects: Effects::NONE,
            state: match via {
                Transport::Polling => State::Resting,
                Transport::WebSocket => State::WebSocket,
            },
            post: Post::None,
            reason: None,
            revision,
            config,
        }
    }

    // A

    /// By which road the queue may drain now; `None` if it has to wait.
    #[inline]
    pub const fn road(&self) -> Option<Road> {
        match self.state {
            State::Waiting | State::WaitingOffered | State::WaitingProbed => Some(Road::Polling),
            State::WebSocket | State::Settling => Some(Road::WebSocket),
            _ => None,
        }
    }

    /// The GET that waits.
    #[inline]
    pub const fn waiting(&self) -> Option<PollId> {
        match self.road() {
            Some(Road::Polling) => Some(self.poll),
            _ => None,
        }
    }

    /// The transport in use. During an upgrade it is polling, until the client's `5`.
    #[inline]
    pub const fn transport(&self) -> Transport {
        match self.state {
            State::WebSocket | State::Settling => Transport::WebSocket,
            _ => Transport::Polling,
        }
    }

    /// The revision that the client speaks.
    #[inline]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// Whether messages from there are for the application now.
    ///
    /// False for the WebSocket while a POST that began before the upgrade is still being read:
    /// what came over the WebSocket is later, so it must not be read before
    /// [`handle_post_end`](Self::handle_post_end). The wait is bounded by the upgrade timeout.
    /// False for all sources once the session is closed.
    #[inline]
    pub const fn accepts(&self, from: Source) -> bool {
        match from {
            Source::Polling => match self.state {
                State::Settling => true,
                _ => matches!(self.state.phase(), Phase::Polling | Phase::Upgrading),
            },
            Source::Probe => false,
            Source::WebSocket => matches!(self.state, State::WebSocket),
        }
    }

    /// Whether a WebSocket that has offered itself for an upgrade is still wanted.
    #[inline]
    pub const fn is_offered(&self) -> bool {
        matches!(self.state.phase(), Phase::Upgrading) || self.state.is_probed()
    }

    /// Whether a sign of life is waited for, so that [`handle_heard`](Self::handle_heard) changes
    /// anything: the pong, or any sign in revision 3.
    #[inline]
    pub const fn listens(&self) -> bool {
        self.heartbeat.listens()
    }

    /// Whether the session is over.
    #[inline]
    pub const fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Why the session is over, or about to be.
    #[inline]
    pub const fn reason(&self) -> Option<Reason> {
        self.reason
    }

    /// When to call [`handle_timeout`](Self::handle_timeout): the earliest of all deadlines.
    /// `None` only if the session is over.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state.phase() {
            Phase::Ended => return None,
            Phase::Closing => return self.limit,
            _ => {}
        }
        let beat = (!self.is_deaf()).then(|| self.heartbeat.due());
        let noop = self.noop.filter(|_| self.state == State::WaitingProbed);
        [beat, self.connect, self.limit, noop]
            .into_iter()
            .flatten()
            .min()
    }

    // B

    /// A GET came.
    ///
    /// # Errors
    ///
    /// The answer to this GET. [`ErrorCode::BadRequest`] if another one waits, which also ends
    /// the session, or if the session is on a WebSocket; [`ErrorCode::UnknownSid`] if it is over.
    pub fn handle_poll(&mut self, now: Instant) -> Result<PollId, ErrorCode> {
        match self.state {
            State::Ended => return Err(ErrorCode::UnknownSid),
            State::WebSocket | State::Settling => return Err(ErrorCode::BadRequest),
            State::Waiting | State::WaitingOffered | State::WaitingProbed => {
                self.fail(Reason::PollOverlap, now);
                return Err(ErrorCode::BadRequest);
            }
            _ => {}
        }
        self.handle_heard(now);
        self.poll = PollId(self.poll.0.wrapping_add(1));
        self.step(Input::Poll, now);
        self.give_noop(now);
        Ok(self.poll)
    }

    /// The connection of a GET was lost before the GET was answered.
    pub fn handle_poll_lost(&mut self, id: PollId, now: Instant) {
        if self.waiting() == Some(id) {
            self.end(Input::PollLost, Reason::PollLost, now);
        }
    }

    /// A POST begins; its packets come by [`handle_packet`](Self::handle_packet).
    ///
    /// # Errors
    ///
    /// The answer to this POST. [`ErrorCode::BadRequest`] if another one is being read, which also
    /// ends the session, or if the session is on a WebSocket; [`ErrorCode::UnknownSid`] if it is
    /// over.
    pub fn handle_post(&mut self, now: Instant) -> Result<(), ErrorCode> {
        match self.state {
            State::Ended => return Err(ErrorCode::UnknownSid),
            State::WebSocket | State::Settling => return Err(ErrorCode::BadRequest),
            _ => {}
        }
        if self.post == Post::Reading {
            self.fail(Reason::PostOverlap, now);
            return Err(ErrorCode::BadRequest);
        }
        self.post = Post::Reading;
        self.handle_heard(now);
        Ok(())
    }

    /// The POST is over, all its packets have been given to
    /// [`handle_packet`](Self::handle_packet).
    pub fn handle_post_end(&mut self, now: Instant) {
        self.post = Post::None;
        self.step(Input::PostEnd, now);
        self.handle_heard(now);
    }

    /// The connection of the POST was lost before its body was complete.
    pub fn handle_post_lost(&mut self, now: Instant) {
        if self.post == Post::Reading {
            self.post = Post::None;
            self.fail(Reason::PostLost, now);
        }
    }

    /// A WebSocket with the id of this session came.
    ///
    /// # Errors
    ///
    /// The WebSocket is not wanted, and nothing else happens. The reference implementation accepts
    /// it and closes it at once with an empty close frame. [`ErrorCode::BadRequest`] if the session
    /// is being upgraded, is on a WebSocket, may not be upgraded or was probed too often;
    /// [`ErrorCode::UnknownSid`] if it is over.
    pub fn handle_probe(&mut self, now: Instant) -> Result<(), ErrorCode> {
        if self.is_ended() {
            return Err(ErrorCode::UnknownSid);
        }
        let allowed = self
            .config
            .upgrades(Transport::Polling)
            .contains(&Transport::WebSocket);
        if self.state.phase() != Phase::Polling || !allowed || !self.heartbeat.bears_stray() {
            return Err(ErrorCode::BadRequest);
        }
        self.noop = None;
        self.handle_heard(now);
        self.step(Input::Offer, now);
        Ok(())
    }

    /// A packet came. `Some` is a message for the application.
    ///
    /// A driver that knows from the first byte that it holds a message, and has asked
    /// [`accepts`](Self::accepts), may hand it to the application without coming here, if it calls
    /// [`handle_heard`](Self::handle_heard) once for what it read.
    pub fn handle_packet<'a>(
        &mut self,
        from: Source,
        packet: Packet<'a>,
        now: Instant,
    ) -> Option<Data<'a>> {
        self.handle_heard(now);
        match (from, packet) {
            (Source::Probe, packet) => self.handle_probe_packet(&packet, now),
            (_, Packet::Message(data)) => {
                let settling = self.state == State::Settling;
                return (self.accepts(from) || settling).then_some(data);
            }
            (Source::Polling, Packet::Close) => {
                self.end(Input::PeerClose, Reason::TransportClose, now);
            }
            _ if !self.accepts(from) => {}
            (_, Packet::Ping(_)) => match self.revision {
                Revision::V3 => self.effects.add(Effects::PONG),
                Revision::V4 => self.fail(Reason::HeartbeatDirection, now),
            },
            (_, Packet::Pong(_)) => {
                if let Err(reason) = self.heartbeat.pong(&self.config, now) {
                    self.fail(reason, now);
                }
            }
            // Over a WebSocket the close of the socket is what counts. The others have no meaning
            // from a client on a transport in use.
            (_, Packet::Close | Packet::Open(_) | Packet::Upgrade | Packet::Noop) => {}
        }
        None
    }

    /// Something came that is no packet. A probing WebSocket is dropped for it, a session ends.
    pub fn handle_malformed(&mut self, from: Source, now: Instant) {
        match from {
            Source::Probe => self.step(Input::ProbeFailed, now),
            Source::Polling | Source::WebSocket => self.fail(Reason::ParseError, now),
        }
    }

    /// Bytes came, be they half a frame: the client lives.
    ///
    /// Called by all other `handle_*` methods that stand for something received.
    #[inline]
    pub fn handle_heard(&mut self, now: Instant) {
        self.heartbeat.heard(&self.config, now);
    }

    /// A WebSocket, the session's or the probing one, is gone.
    pub fn handle_lost(&mut self, from: Source, now: Instant) {
        match from {
            Source::Polling => {}
            Source::Probe => self.step(Input::ProbeLost, now),
            Source::WebSocket => self.end(Input::SocketLost, Reason::TransportClose, now),
        }
    }

    /// Time has passed. Does nothing if no deadline has.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if due(self.limit) {
            match self.state.phase() {
                Phase::Upgrading => self.step(Input::ProbeFailed, now),
                Phase::Settling => self.fail(Reason::PostTimeout, now),
                _ => self.step(Input::GiveUp, now),
            }
        }
        if matches!(self.state.phase(), Phase::Closing | Phase::Ended) {
            return;
        }
        if due(self.connect) {
            self.close(Reason::ConnectTimeout, now);
            return;
        }
        if !self.is_deaf() {
            match self.heartbeat.elapse(&self.config, now) {
                Elapsed::Nothing => {}
                Elapsed::SendPing => self.effects.add(Effects::PING),
                Elapsed::Dead => self.fail(Reason::PingTimeout, now),
            }
        }
        self.give_noop(now);
    }

    // C

    /// The application wants the session: the connect timeout is off.
    #[inline]
    pub const fn claim(&mut self) {
        self.connect = None;
    }

    /// The driver has answered the waiting GET with what was queued. No deadline follows from it.
    #[inline]
    pub fn drained(&mut self) {
        let step = self.state.on(Input::Drained);
        self.state = step.to;
        self.effects.add(step.effects);
    }

    /// Closes the session in order: what is queued still goes out, then the close.
    ///
    /// Over polling with no GET waiting this takes until the next GET, until the `5` of a client
    /// that is about to move, or until the close timeout. Messages that come in the meantime are not for the application any more.
    pub fn close(&mut self, reason: Reason, now: Instant) {
        self.end(Input::Close, reason, now);
    }

    /// Ends the session at once.
    pub fn abort(&mut self, reason: Reason, now: Instant) {
        self.fail(reason, now);
    }

    // D

    /// What to do now.
    #[inline]
    pub fn poll_action(&mut self) -> Option<Action> {
        if self.effects.is_empty() {
            return None;
        }
        Some(match self.effects.take_first() {
            Effects::PING => Action::Send(Control::Ping),
            Effects::PONG => Action::Send(Control::Pong),
            Effects::SEND_PROBE => Action::SendProbe,
            Effects::ANSWER_NOOP => Action::Answer(self.poll, Answer::Noop),
            Effects::ANSWER_CLOSE => Action::Answer(self.poll, Answer::Close),
            Effects::ANSWER_LAST => Action::Answer(self.poll, Answer::LastWords),
            Effects::ANSWER_OVER => Action::Answer(self.poll, Answer::Superseded),
            Effects::DROP_PROBE => Action::DropProbe,
            Effects::SWITCH => Action::Switch,
            Effects::HANG => Action::Hang,
            _ => Action::Ended(self.reason.unwrap_or(Reason::TransportError)),
        })
    }

    // Private

    /// On the probing WebSocket `2probe` and `5` are spoken, and nothing else.
    fn handle_probe_packet(&mut self, packet: &Packet<'_>, now: Instant) {
        if !self.state.has_probe() {
            return;
        }
        match packet {
            Packet::Ping("probe") if self.state.is_probed() && !self.heartbeat.bears_stray() => {
                self.step(Input::ProbeFailed, now);
            }
            Packet::Ping("probe") => {
                self.step(Input::ProbePing, now);
                self.give_noop(now);
            }
            Packet::Upgrade if self.post == Post::Reading => {
                self.step(Input::UpgradeEarly, now);
            }
            Packet::Upgrade => self.step(Input::Upgrade, now),
            _ => self.step(Input::ProbeFailed, now),
        }
    }

    /// Whether a sign of life could not be seen because nothing is read from the WebSocket.
    fn is_deaf(&self) -> bool {
        self.state == State::Settling && self.heartbeat.listens()
    }

    /// A GET that waits on a probed session is answered, at once or a NOOP interval after the last.
    fn give_noop(&mut self, now: Instant) {
        if self.state == State::WaitingProbed && self.noop.is_none_or(|noop| noop <= now) {
            self.noop = Some(later(now, self.config.noop_interval));
            self.step(Input::NoopDue, now);
        }
    }

    fn fail(&mut self, reason: Reason, now: Instant) {
        self.end(Input::Fail, reason, now);
    }

    /// A step that leads to the end, now or later. The first reason is the one that counts.
    fn end(&mut self, input: Input, reason: Reason, now: Instant) {
        let before = self.state;
        self.step(input, now);
        if self.state != before {
            self.reason.get_or_insert(reason);
        }
    }

    fn step(&mut self, input: Input, now: Instant) {
        let before = self.state.phase();
        let step = self.state.on(input);
        self.state = step.to;
        self.effects.add(step.effects);
        let after = self.state.phase();
        if before != after {
            self.limit = match after {
                Phase::Upgrading | Phase::Settling => Some(self.config.upgrade_timeout),
                Phase::Closing => Some(self.config.close_timeout),
                Phase::Polling | Phase::WebSocket | Phase::Ended => None,
            }
            .map(|limit| later(now, limit));
        }
    }
}
