//! Nodes of a Socket.IO cluster on one Redis (or Valkey), by publish and subscribe.
//!
//! ```no_run
//! # struct Server; impl Server { fn new() -> Self { Self } fn cluster(self, _: sio_redis::Redis) {} }
//! use sio_redis::Redis;
//!
//! Server::new().cluster(
//!     Redis::url("redis://127.0.0.1")
//!         // Flask-SocketIO processes with `message_queue` on the same Redis, if there are any.
//!         .python("flask-socketio"),
//! );
//! ```
//!
//! Node's servers with `@socket.io/redis-adapter` 8 on the same Redis are part of the cluster without
//! further ado; those with its sharded adapter with [`sharded`](Redis::sharded), those with
//! `@socket.io/redis-streams-adapter` with [`streams`](Redis::streams).
//!
//! # When Redis is in trouble
//!
//! What a server does for its own clients never passes through here. What the others should hear is
//! kept while Redis is away, at most [`backlog`](Redis::backlog) bytes and no longer than
//! [`max_age`](Redis::max_age); what is beyond that is dropped and counted. Publish and subscribe
//! gives no more: whatever others published meanwhile has been lost, which is told as a gap. A stream
//! keeps it: what a node has not read is read then, and what it could not add is added. A Redis
//! that takes connections and does not answer, that refuses (`LOADING`, `NOAUTH`, `OOM`), or that cuts
//! a subscriber off because it is behind, is one that is away. It is asked again after 50 ms at
//! first, then ever less often, after 2 s at last, and never by all nodes at the same instant.

#![forbid(unsafe_code)]

mod address;
mod backlog;
mod backoff;
mod batch;
mod emitter;
mod link;
mod slots;
mod stream;
mod wires;

use std::{
    error::Error,
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use sio_cluster::{
    Action, Broker, Bus, BusEvent, Classic, Config, Format, Python, Room, ShardedPubSub, Streams,
};
use tokio::sync::mpsc;

pub use crate::{
    address::AddressError,
    emitter::{Audience, EmitError, Emitter},
};
use crate::{
    address::{Address, Tls},
    backlog::{Backlog, MaxAge},
};

/// Where Redis is, and how it is to be used.
///
/// ```
/// use std::time::Duration;
/// use sio_redis::Redis;
///
/// // Among Node's servers with the streams adapter, and processes of Flask-SocketIO.
/// let redis = Redis::url("redis://127.0.0.1")
///     .streams()
///     .python("flask-socketio")
///     .backlog(32 << 20)
///     .max_age(Duration::from_secs(60))
///     .patience(Duration::from_secs(1))
///     .timeout(Duration::from_secs(10));
/// // By channels of shards, or with a prefix of one's own for Node's classic adapter.
/// let redis = Redis::url("redis://127.0.0.1").sharded();
/// let redis = Redis::url("redis://127.0.0.1").key("chat");
/// ```
#[derive(Clone)]
pub struct Redis {
    url: String,
    tls: Tls,
    node: Config,
    limits: Limits,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) backlog: usize,
    /// As the application has it; else what is usual.
    max_age: Option<Duration>,
    pub(crate) patience: Duration,
}

impl Limits {
    pub(crate) fn max_age(&self) -> MaxAge {
        MaxAge {
            append: self.max_age.unwrap_or(Duration::from_secs(120)),
            publish: self.max_age.unwrap_or(Duration::from_secs(2)),
        }
    }
}

impl Redis {
    /// The Redis at a URL:
    ///
    /// | | |
    /// |---|---|
    /// | `redis://[user:password@]host[:port][/db]` | one server; `valkey://` likewise |
    /// | `rediss://…`, `valkeys://…` | the same by TLS, with the feature `tls` |
    /// | `unix:///path` | one server, by a Unix socket |
    /// | `redis+sentinel://[user:password@]host[:port],…/[db/]service` | the master that the sentinels name; `rediss+sentinel` by TLS |
    /// | `redis+cluster://[user:password@]host[:port],…` | a Redis Cluster, by any of its servers that answers; `rediss+cluster` by TLS |
    ///
    /// User and password are those of Redis; sentinels are asked without.
    pub fn url(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            tls: Tls::default(),
            node: Config::default(),
            limits: Limits {
                backlog: 8 * 1024 * 1024,
                max_age: None,
                patience: Duration::from_secs(2),
            },
        }
    }

    /// Speaks as Node's classic adapter does, with this prefix of all channels, its option `key`: it
    /// is `socket.io` unless told otherwise.
    #[must_use]
    pub fn key(self, key: impl Into<String>) -> Self {
        self.format(Format::Classic(Classic::new(key)))
    }

    /// Speaks as Node's sharded adapter does: by channels of shards (Redis 7), each of which one server of a
    /// Redis Cluster carries alone.
    #[must_use]
    pub fn sharded(self) -> Self {
        self.format(Format::Sharded(ShardedPubSub::default()))
    }

    /// Speaks as Node's adapter for streams does (`@socket.io/redis-streams-adapter` 0.3): a node that
    /// Redis was away for goes on reading where it was, and nothing is lost.
    #[must_use]
    pub fn streams(self) -> Self {
        self.format(Format::Streams(Streams::default()))
    }

    /// Speaks as one of Node's adapters does, with options of its own. All nodes of a cluster have to
    /// say the same.
    #[must_use]
    pub fn format(mut self, format: Format) -> Self {
        self.node.format = format;
        self
    }

    /// Speaks with Python processes on a channel, too: `flask-socketio` for Flask-SocketIO,
    /// `socketio` for python-socketio by itself. May be said several times. All nodes of ours have to
    /// say the same.
    #[must_use]
    pub fn python(self, channel: impl Into<String>) -> Self {
        self.python_format(Python::new(channel))
    }

    /// Speaks with Python processes of an old release.
    #[must_use]
    pub fn python_format(mut self, format: Python) -> Self {
        self.node.python.push(format);
        self
    }

    /// Trusts this certificate authority, in PEM, and none of the system's.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.tls.ca = Some(pem.into());
        self
    }

    /// Bytes of messages kept while Redis does not take them: 8 MiB.
    #[must_use]
    pub fn backlog(mut self, bytes: usize) -> Self {
        self.limits.backlog = bytes;
        self
    }

    /// How old a message may become before it is dropped: 2 s. Packets that come much later than
    /// they were sent do more harm than good. What is for a [stream](Self::streams) is waited for by
    /// those who missed it, so that is 120 s.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.limits.max_age = Some(age);
        self
    }

    /// How long an answer of Redis is waited for before it counts as away: 2 s. It is asked for one
    /// every second.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.limits.patience = patience;
        self
    }

    /// Has nodes of ours tell each other how many sockets are in which room, so that
    /// `Io::room_population` knows it without asking. Changes are collected for so long, and then said in
    /// one message: 100 ms is a good choice. All nodes of ours have to say this.
    ///
    /// It costs each node the names of all rooms of all nodes and some 200 bytes for each; nothing for
    /// sockets that are in no room.
    #[must_use]
    pub fn census(mut self, every: Duration) -> Self {
        self.node.census = Some(every);
        self
    }

    /// Has clients of all nodes hear what is emitted in one order, that in which Redis was told: also those
    /// of the node that emits, who hear it when it comes back. So nobody hears an emit while Redis is away,
    /// and everybody a moment later. What is emitted to one socket by its handle or to `local()` targets,
    /// and calls, are not part of that order.
    ///
    /// All nodes of ours have to say this. Servers of Node's with streams keep it as well; those with its
    /// other adapters serve their own clients first. [Shards](Self::sharded) have an order for each channel
    /// alone, so rooms have none of their own then; a Redis Cluster has none for the classic adapter, which
    /// it cannot be used with.
    #[must_use]
    pub fn strict_order(mut self) -> Self {
        self.node.strict_order = true;
        self
    }

    /// How long other nodes' answers are waited for: 5 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.node.timeout = timeout;
        self
    }
}

impl Redis {
    pub(crate) fn address(&self) -> Result<Address, AddressError> {
        let address = Address::parse(&self.url, self.tls.clone())?;
        match self.node.format {
            Format::Classic(_) if self.node.strict_order && address.is_cluster() => {
                Err(AddressError::Order)
            }
            _ => Ok(address),
        }
    }
}

/// Without the URL, in which there may be a password.
impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("node", &self.node)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Broker for Redis {
    fn node(&self) -> Config {
        self.node.clone()
    }

    /// Spawns a task on the runtime of the caller, tokio's.
    fn connect(&self) -> Result<Box<dyn Bus>, Box<dyn Error + Send + Sync>> {
        let address = self.address()?;
        let (events, heard) = mpsc::unbounded_channel();
        let max_age = match self.node.format {
            Format::Streams(_) => self.limits.max_age().append,
            _ => self.limits.max_age().publish,
        };
        let (backlog, jobs) = Backlog::new(self.limits.backlog, max_age);
        tokio::spawn(link::run(address, self.limits, jobs, events));
        Ok(Box::new(RedisBus { backlog, heard }))
    }
}

struct RedisBus {
    backlog: Backlog,
    heard: mpsc::UnboundedReceiver<BusEvent>,
}

impl Bus for RedisBus {
    fn act(&mut self, action: Action) {
        self.backlog.push(action);
    }

    fn room(&self) -> Option<Arc<dyn Room>> {
        Some(self.backlog.waiting())
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<BusEvent> {
        match self.backlog.take_lost() {
            0 => match self.heard.poll_recv(cx) {
                Poll::Ready(Some(event)) => Poll::Ready(event),
                // The task ends with the runtime only.
                Poll::Ready(None) | Poll::Pending => Poll::Pending,
            },
            messages => Poll::Ready(BusEvent::Lost { messages }),
        }
    }
}
