//! Everything that can be set, each with its default and the reason for it.

use std::{path::PathBuf, time::Duration};

use eio_transport::Transport;
use sio_packet::WriteError;

use crate::{
    addresses::PerIp, conn::Mode, cookie::Cookie, cors::Cors, deflate::PerMessageDeflate,
    http2::Http2, pace::Pace, proxies::Proxies,
};

/// Settings of a [`Server`](crate::Server). Immutable once the server has been started.
///
/// ```
/// let mut config = sio_server::Config::default();
/// config.path = "/live/".into();
/// config.engine.ping_interval = std::time::Duration::from_secs(10);
/// let server = sio_server::Server::new().config(config);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Requests below this path are ours; begins and ends with a slash. Default `/socket.io/`, the
    /// default of every client.
    pub path: String,
    /// The Engine.IO layer: heartbeat, upgrade, `max_payload`, transports.
    pub engine: eio_transport::Config,
    /// The Socket.IO layer: attachments, lengths of names.
    pub packet: sio_packet::Limits,
    /// Whose pages may connect and read our answers, on every transport. Default our own: a page that
    /// is served from elsewhere, be it another port, has to be named here.
    pub cors: Cors,
    /// The proxies whose word about the client is taken. Default nobody's.
    pub proxies: Proxies,
    /// The host and port at which the other nodes of the [`cluster`](crate::Server::cluster) reach this one
    /// by plain HTTP, like `10.0.0.3:5000`. With it no balancer has to be sticky: a request that is brought to
    /// a node which does not have its session is handed to the one that does. Every node needs one, and ids of
    /// sessions that poll end on a mark of their node; those of an
    /// [`id` hook](crate::Server::generate_id) do not, and are not handed on. Whoever can write to the broker
    /// can say where requests go. Default none: such a request gets 400, `Session ID unknown`, and the client
    /// connects anew.
    pub reached_at: Option<String>,
    /// The folder of the browser client (`dist` of the npm package `socket.io-client`), served at
    /// `{path}socket.io.js` and its siblings. Default none: those paths answer 404.
    pub client_files: Option<PathBuf>,
    /// A cookie with the session id on the answer to the handshake of a client that polls, for sticky
    /// load balancers.
    /// Default none.
    pub cookie: Option<Cookie>,
    /// Answers to polls of at least so many bytes are compressed, where the client takes gzip or
    /// deflate. `None` for never. Default 1024, as in Node: below it there is little to win.
    ///
    /// What compresses a secret next to something that an attacker chose tells its length (BREACH);
    /// do not put both into one event.
    pub compress_above: Option<usize>,
    /// Compression of messages on WebSockets, with clients that offer it. Default none: it costs time,
    /// and most messages are short.
    pub per_message_deflate: Option<PerMessageDeflate>,
    /// Clients whose connection broke may come back as if nothing had happened. Default `None`: what
    /// everybody might miss has to be kept, and each event carries an offset as one more argument,
    /// which handlers of clients see.
    pub recovery: Option<Recovery>,
    /// Bytes that may wait for one connection. Default 4 MiB: four times the largest inbound message. A
    /// single event of any length may wait alone, and what its own handlers have said in one go, up to
    /// 256 KiB, may come on top.
    pub max_queued_bytes: usize,
    /// Packets that may wait for one connection, attachments not counted. Default 8192.
    pub max_queued_packets: usize,
    /// Bytes that may wait for one connection for a while, [`soft_queued_time`](Self::soft_queued_time):
    /// a burst may fill the queue, a client that never catches up may not keep it full. Default 1 MiB;
    /// counts for what closes the connection when there is no room, see
    /// [`slow_clients`](Self::slow_clients).
    pub soft_queued_bytes: usize,
    /// For how long more than [`soft_queued_bytes`](Self::soft_queued_bytes) may wait. Default 15 s.
    pub soft_queued_time: Duration,
    /// What is done when there is no room for an event. Default to close the connection. A namespace
    /// ([`Namespace::slow_clients`](crate::Namespace::slow_clients)) or a single emit
    /// ([`Target::slow_clients`](crate::Target::slow_clients)) may want something else.
    pub slow_clients: SlowClients,
    /// How long a transport may take nothing while something waits for it; then the connection is closed,
    /// whatever else is done with slow clients. Default 20 s: the client is gone, or stands still, and
    /// the heartbeat may not notice it, since it listens only.
    pub write_timeout: Duration,
    /// Bytes of events that may wait for one connection's handlers, counted with the handlers that
    /// wait. Above it the connection is not read any further until handlers have caught up. Default
    /// 1 MiB.
    pub max_pending_bytes: usize,
    /// How long so much may wait before the connection is closed. Default 30 s: a handler that never
    /// returns keeps its connection, and nothing else, for no longer. Meanwhile the client's silence is
    /// not held against it: it is not listened to.
    pub stall_timeout: Duration,
    /// How long the next attachment of a packet may be waited for. Default 30 s; then the connection is
    /// closed.
    pub attachment_timeout: Duration,
    /// Bytes of one packet to a client, attachments included. Default 16 MiB: above it an emit is an
    /// error that is logged, a call fails.
    pub max_message_bytes: usize,
    /// Bytes of answers, as they came, that a call to many may hold; an answer beyond is
    /// [`CallError::AnswersTooLong`](crate::CallError::AnswersTooLong). Default 64 MiB: those who are
    /// asked are many, and each may answer with ten messages. As much again may be kept of what other
    /// nodes answer to one question, as it lies in memory; what is beyond is [missing](crate::Missing).
    pub max_answer_bytes: usize,
    /// How long [`Socket::call`](crate::Socket::call) waits for the ack unless told otherwise.
    /// Default 60 s.
    pub ack_timeout: Duration,
    /// Namespaces that one connection may join. Default 32.
    pub max_namespaces: usize,
    /// Messages of Engine.IO that one connection may send in a second in the long run: packets of Socket.IO,
    /// of those with attachments each part. Beyond it the connection is closed, a WebSocket with 1008. Default
    /// none: a client is read no faster than its handlers come ([`max_pending_bytes`](Self::max_pending_bytes)).
    pub max_packet_rate: Option<u32>,
    /// Messages that may come at once, after a time without any; counts where there is a rate. Default 1000:
    /// a client that was away sends what it had to say meanwhile.
    pub packet_burst: u32,
    /// Whether Socket.IO 2 clients, too, have public ids that are not their session's. They make up their
    /// `socket.id` from the session's id, which is the key to the session as long as it polls: who is told
    /// it can speak and hear in its place. With this the server and all others know such a client by an
    /// id that it does not know itself. Default false, as in Node: those clients tell each other their
    /// ids.
    pub hide_session_ids: bool,
    /// CONNECT packets that one connection may send. Default 128: a client that is refused may
    /// try again, but not for ever.
    pub max_connect_attempts: u32,
    /// Connections at the same time, by whatever transport. Above it a handshake is answered with 503.
    /// Default none of its own: as many as the process may have descriptors, less 128.
    pub max_connections: Option<usize>,
    /// Sessions that may be opened in a second. A second's worth may come at once; beyond that they wait for
    /// up to 2 s, and then get 503. Default 5000: after an outage everybody comes back at the same moment.
    /// `None` for as many as come.
    pub max_opening_rate: Option<u32>,
    /// What one address may do. Default anything.
    pub per_ip: PerIp,
    /// TCP connections of our own listener on which nothing is asked: fresh ones, ones between two
    /// requests, ones whose request does not come to an end. Above it the one that has been so for longest
    /// is closed; each shard has an equal part. One that has just come counts as soon as it sends something,
    /// after 200 ms at the latest, or with the 65th of them. Default 8192.
    pub max_pending: usize,
    /// Bytes that may be buffered for all connections together: what waits to be sent, and what came and
    /// waits for handlers or for its end. From 80 % on volatile events are dropped, from 90 % on
    /// handshakes get 503, and at 100 % the connections with the most are closed. What is sent to many
    /// counts once. Default a quarter of the memory that the machine has, or the process may have.
    pub memory_budget: Option<usize>,
    /// Rooms that one socket may be in, its own not counted. Default 4096.
    pub max_rooms: usize,
    /// Whether headers, path and query of the opening request stay known to
    /// [`Socket::handshake`](crate::Socket::handshake) when the client has joined its first namespace.
    /// Without them a connection takes less memory by what the request was long, and secrets in it are
    /// kept no longer than they are needed. Default true, as in Node.
    pub keep_request: bool,
    /// Namespaces made on demand, by a pattern or a predicate, that may be open at the same time. Above
    /// it a client gets `Too many namespaces`. Default 10,000: clients choose their names.
    pub max_dynamic_namespaces: usize,
    /// How long handlers that are still running may finish after their socket has gone.
    /// Default 30 s.
    pub linger: Duration,
    /// Threads of our own listener, each with a share of the connections. Default one per core.
    pub shards: Option<usize>,
    /// HTTP/2 on our own listener, as a proxy speaks it that has ended TLS, with WebSockets as streams
    /// of it. Default none: floods of HTTP/2 are cheaper than the work they cause, and browsers open
    /// WebSockets over HTTP/1.1 where they have to.
    pub http2: Option<Http2>,
    /// How long the head of a request may take to arrive. Default 10 s.
    pub header_timeout: Duration,
    /// How long the body of a POST may take to arrive. Default 15 s.
    pub body_timeout: Duration,
    /// How long it may take whatever comes of it; after that
    /// [`min_body_rate`](Self::min_body_rate) counts. Default 5 s.
    pub body_grace: Duration,
    /// Bytes for each of which a body gets a part of a second on top of
    /// [`body_grace`](Self::body_grace): so many for one second, up to
    /// [`body_timeout`](Self::body_timeout). Default 1 KiB.
    pub min_body_rate: usize,
    /// How long the peer has to answer our close frame. Default 5 s.
    pub close_timeout: Duration,
}

impl Config {
    /// The default settings with the path `/engine.io/`, for [`engine::Server`](crate::engine::Server).
    ///
    /// ```
    /// use sio_server::{Config, engine::Server};
    ///
    /// let mut config = Config::engine_io();
    /// assert_eq!(config.path, "/engine.io/");
    /// config.shards = Some(1);
    /// let server = Server::new().config(config);
    /// ```
    pub fn engine_io() -> Self {
        Self {
            path: "/engine.io/".into(),
            ..Self::default()
        }
    }

    /// A packet, as it was written, may be so long.
    #[inline]
    pub(crate) fn check_length(&self, len: usize) -> Result<(), WriteError> {
        let limit = self.max_message_bytes;
        match len > limit {
            true => Err(WriteError::TooLong { len, limit }),
            false => Ok(()),
        }
    }

    /// A setting of 0 with which a client could not be served, and why not.
    pub(crate) fn refuses_all(&self) -> Option<(&'static str, &'static str)> {
        const CONNECT: &str = "nobody could connect";
        const JOIN: &str = "nobody could join a namespace";
        const SPEAK: &str = "nobody could say or hear anything";
        const POLL: &str = "nobody who polls could say or hear anything";
        let (engine, per_ip) = (&self.engine, &self.per_ip);
        let polls = engine.transports.contains(Transport::Polling);
        let settings = [
            (self.header_timeout.is_zero(), "header_timeout", CONNECT),
            (self.max_connections == Some(0), "max_connections", CONNECT),
            (
                per_ip.max_connections == Some(0),
                "per_ip.max_connections",
                CONNECT,
            ),
            (self.memory_budget == Some(0), "memory_budget", CONNECT),
            (self.max_connect_attempts == 0, "max_connect_attempts", JOIN),
            (self.max_namespaces == 0, "max_namespaces", JOIN),
            (
                engine.connect_timeout.is_zero(),
                "engine.connect_timeout",
                JOIN,
            ),
            (self.packet.max_namespace == 0, "packet.max_namespace", JOIN),
            (engine.max_payload == 0, "engine.max_payload", SPEAK),
            (self.max_message_bytes == 0, "max_message_bytes", SPEAK),
            (
                self.packet.max_event_name == 0,
                "packet.max_event_name",
                SPEAK,
            ),
            (
                polls && self.max_queued_bytes == 0,
                "max_queued_bytes",
                POLL,
            ),
            (
                polls && self.max_queued_packets == 0,
                "max_queued_packets",
                POLL,
            ),
            (
                polls && engine.max_packets_per_payload == 0,
                "engine.max_packets_per_payload",
                POLL,
            ),
        ];
        let refused = settings.into_iter().find(|(refuses, ..)| *refuses);
        refused.map(|(_, name, problem)| (name, problem))
    }

    /// How fast a client may send, if that is bounded.
    #[inline]
    pub(crate) fn packet_pace(&self) -> Option<Pace> {
        let rate = self.max_packet_rate?;
        Some(Pace::new(rate, self.packet_burst))
    }

    /// No answer to a poll is longer: what may wait, in base64 and in packets.
    pub(crate) fn max_answer(&self) -> usize {
        let waits = self.max_queued_bytes.max(self.max_message_bytes);
        waits.saturating_mul(2)
    }

    /// Above so many bytes a queue is looked at more closely.
    #[inline]
    pub(crate) fn soft_limit(&self) -> usize {
        self.soft_queued_bytes.min(self.max_queued_bytes)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: "/socket.io/".into(),
            engine: eio_transport::Config::default(),
            packet: sio_packet::Limits::default(),
            cors: Cors::default(),
            proxies: Proxies::default(),
            reached_at: None,
            client_files: None,
            cookie: None,
            compress_above: Some(1024),
            per_message_deflate: None,
            recovery: None,
            max_queued_bytes: 4 << 20,
            max_queued_packets: 8192,
            soft_queued_bytes: 1 << 20,
            soft_queued_time: Duration::from_secs(15),
            slow_clients: SlowClients::default(),
            write_timeout: Duration::from_secs(20),
            max_pending_bytes: 1 << 20,
            stall_timeout: Duration::from_secs(30),
            attachment_timeout: Duration::from_secs(30),
            max_message_bytes: 16 << 20,
            max_answer_bytes: 64 << 20,
            ack_timeout: Duration::from_secs(60),
            max_namespaces: 32,
            max_packet_rate: None,
            hide_session_ids: false,
            packet_burst: 1000,
            max_connect_attempts: 128,
            max_connections: None,
            max_opening_rate: Some(5000),
            per_ip: PerIp::default(),
            max_pending: 8192,
            memory_budget: None,
            max_rooms: 4096,
            keep_request: true,
            max_dynamic_namespaces: 10_000,
            linger: Duration::from_secs(30),
            shards: None,
            http2: None,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(15),
            body_grace: Duration::from_secs(5),
            min_body_rate: 1 << 10,
            close_timeout: Duration::from_secs(5),
        }
    }
}

/// Connection state recovery: for how long, and within which bounds, for each namespace.
///
/// A client that comes back in time is the same socket to everybody: its id, rooms, data and session
/// are what they were, and it is sent what it missed, before anything new: each event that was emitted
/// to it, to its rooms or to everyone, unless it was volatile or a call. If a single one of them is
/// not kept any more it is a new socket instead, and [`Socket::recovery_error`] says why.
///
/// Admission and guards run when it comes back as when it first came; the data stay what they were.
///
/// ```
/// let mut config = sio_server::Config::default();
/// config.recovery = Some(sio_server::Recovery::default());
/// ```
///
/// [`Socket::recovery_error`]: crate::Socket::recovery_error
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// How long a client may be away, from when the server noticed. Default 2 minutes, Node's.
    pub max_disconnection_duration: Duration,
    /// Packets that are kept. Default 100,000.
    pub max_packets: usize,
    /// Bytes of packets that are kept. Default 64 MiB.
    pub max_bytes: usize,
    /// Sessions, connected or away. Default 100,000; above it those who have been away for longest are
    /// forgotten.
    pub max_sessions: usize,
}

impl Default for Recovery {
    fn default() -> Self {
        Self {
            max_disconnection_duration: Duration::from_secs(120),
            max_packets: 100_000,
            max_bytes: 64 << 20,
            max_sessions: 100_000,
        }
    }
}

/// What is done when a client does not take what it is sent, and there is no room for an event: more waits
/// for it than [`Config::max_queued_bytes`] or [`Config::max_queued_packets`].
///
/// Set for all ([`Config::slow_clients`]), for a namespace
/// ([`Namespace::slow_clients`](crate::Namespace::slow_clients)), or for one emit
/// ([`Target::slow_clients`](crate::Target::slow_clients)). Whoever can wait for room says so with
/// [`Socket::emit_within`](crate::Socket::emit_within); an emit to many never waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlowClients {
    /// Its connection is closed: a stream with a hole in it would be worse. It may come back. What is
    /// [volatile](crate::Target::volatile) is not sent to a client that takes nothing at the moment.
    #[default]
    Disconnect,
    /// What is volatile waits like everything else, and is dropped, the oldest first, when there is no
    /// room; if that does not make enough, the connection is closed. For clients that poll, which take
    /// nothing most of the time.
    DropVolatileOnly,
    /// An event that finds no room is not sent: it does not count as
    /// [`reached`](crate::Sent::reached), a call fails with
    /// [`CallError::Full`](crate::CallError::Full). Acks are sent all the same, and more of them than
    /// there is room for close the connection. What is volatile is treated as by
    /// [`Disconnect`](Self::Disconnect).
    Refuse,
}

impl SlowClients {
    /// What may become of an event under this.
    #[inline]
    pub(crate) fn mode(self, mode: Mode) -> Mode {
        match (self, mode) {
            (Self::DropVolatileOnly, Mode::Volatile) => Mode::Droppable,
            (Self::Refuse, Mode::Reliable) => Mode::Refusable,
            (_, mode) => mode,
        }
    }
}
