//! A process that emits to the clients of a cluster without being a server of it.

use std::{error::Error, sync::Arc, time::Duration};

use redis::{RedisError, RedisResult, aio::MultiplexedConnection};
use serde::Serialize;
use sio_cluster::{Action, Emit, Flags, Message, Outsider};
use sio_packet::WriteError;
use sio_rooms::Selection;
use tokio::{sync::Mutex, time::timeout};

use crate::{
    Redis,
    address::{Address, AddressError},
    batch,
    wires::Senders,
};

/// Emits to the clients of a cluster from a process that is no server: a worker, a cron job, a command.
///
/// Servers of ours, of Node with the adapter that the formats are of, and those of Python whose channels
/// were named obey. It hears nothing, so it cannot ask: there are no acks and there is no `fetch`.
///
/// Cheap to clone. It connects when it is first used, and anew after an error.
///
/// ```no_run
/// # async fn f() -> Result<(), sio_redis::EmitError> {
/// use sio_redis::{Emitter, Redis};
///
/// let emitter = Emitter::new(&Redis::url("redis://127.0.0.1"))?;
/// emitter.to("lobby").except("staff").emit("news", "the doors are open").await?;
/// emitter.of("/admin").emit("sold", &(7, "tickets")).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Emitter {
    shared: Arc<Shared>,
    namespace: Arc<str>,
}

#[derive(Debug)]
struct Shared {
    address: Address,
    outsider: Outsider,
    patience: Duration,
    senders: Mutex<Option<Senders>>,
}

/// Some of the clients of a namespace, on whichever server they are.
///
/// ```
/// # async fn f(emitter: sio_redis::Emitter) -> Result<(), sio_redis::EmitError> {
/// let waiting = emitter.to("waiting").except("staff");
/// waiting.clone().volatile().emit("position", &3).await?;
/// waiting.join("game").await?;
/// waiting.leave("waiting").await?;
/// emitter.to("spammers").disconnect().await?; // or `disconnect_connections`
/// emitter.everyone().uncompressed().emit("key", "secret").await?;
/// emitter.server_side_emit("reload", "the words").await?; // for the servers themselves
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nobody is told anything until something is emitted"]
pub struct Audience {
    emitter: Emitter,
    selection: Selection,
    flags: Flags,
}

/// Why something was not emitted, or may not have been.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// the URL of the broker cannot be used: {0}
    #[error("the URL of the broker cannot be used: {0}")]
    Address(#[from] AddressError),
    /// the payload could not be written: {0}
    #[error("the payload could not be written: {0}")]
    Payload(#[from] WriteError),
    /// Redis could not be reached, or refused: {0}
    #[error("Redis could not be reached, or refused: {0}")]
    Redis(#[source] Box<dyn Error + Send + Sync>),
    /// Redis did not answer in time
    #[error("Redis did not answer in time")]
    Silent,
}

impl From<RedisError> for EmitError {
    fn from(error: RedisError) -> Self {
        Self::Redis(Box::new(error))
    }
}

impl Emitter {
    /// An emitter to the namespace `/` of the servers that are given the same broker.
    ///
    /// # Errors
    ///
    /// If the URL can never work.
    pub fn new(redis: &Redis) -> Result<Self, EmitError> {
        Ok(Self {
            shared: Arc::new(Shared {
                address: redis.address()?,
                outsider: Outsider::new(redis.node.clone()),
                patience: redis.limits.patience,
                senders: Mutex::default(),
            }),
            namespace: "/".into(),
        })
    }

    /// The same in another namespace; a slash in front may be left out.
    #[must_use]
    pub fn of(&self, namespace: &str) -> Self {
        let namespace = match namespace.starts_with('/') {
            true => namespace.into(),
            false => format!("/{namespace}").into(),
        };
        Self {
            shared: Arc::clone(&self.shared),
            namespace,
        }
    }

    /// Everybody in the namespace.
    pub fn everyone(&self) -> Audience {
        Audience {
            emitter: self.clone(),
            selection: Selection::everyone(),
            flags: Flags::default(),
        }
    }

    /// The members of a room; a socket's id is a room, too.
    pub fn to(&self, room: &str) -> Audience {
        self.everyone().to(room)
    }

    /// Everybody but the members of a room.
    pub fn except(&self, room: &str) -> Audience {
        self.everyone().except(room)
    }

    /// Sends an event to everybody in the namespace: [`Audience::emit`].
    ///
    /// # Errors
    ///
    /// See [`Audience::emit`].
    pub async fn emit<T: Serialize + ?Sized>(
        &self,
        event: &str,
        payload: &T,
    ) -> Result<u64, EmitError> {
        self.everyone().emit(event, payload).await
    }

    /// Sends an event to the servers themselves, which no client sees: Node's `serverSideEmit`. Python
    /// has none.
    ///
    /// # Errors
    ///
    /// See [`Audience::emit`].
    pub async fn server_side_emit<T: Serialize + ?Sized>(
        &self,
        event: &str,
        payload: &T,
    ) -> Result<u64, EmitError> {
        let (data, _) = sio_cluster::event(event, payload)?;
        self.tell(Message::ServerEmit(data)).await
    }

    async fn tell(&self, message: Message) -> Result<u64, EmitError> {
        let actions = self.shared.outsider.tell(&self.namespace, message);
        let mut hearers = 0;
        for action in actions {
            hearers += self.shared.act(action).await?;
        }
        Ok(hearers)
    }
}

impl Audience {
    /// Adds a room, or a socket by its id. A socket in several of them is reached once.
    pub fn to(mut self, room: &str) -> Self {
        self.selection = self.selection.to(room);
        self
    }

    /// Leaves out the members of a room, or a socket by its id.
    pub fn except(mut self, room: &str) -> Self {
        self.selection = self.selection.except(room);
        self
    }

    /// From now on, what cannot be sent to a client at once is dropped for that client.
    pub fn volatile(mut self) -> Self {
        self.flags.volatile = true;
        self
    }

    /// From now on, what is sent is not compressed.
    pub fn uncompressed(mut self) -> Self {
        self.flags.compress = Some(false);
        self
    }

    /// Sends an event. A tuple is several arguments, `()` none, anything else one.
    ///
    /// Returns how many subscribers Redis has handed it to: servers mostly, never clients. At 0
    /// nobody listened. What goes to a stream ([`Redis::streams`]) counts as 0: who will read it is not
    /// known.
    ///
    /// # Errors
    ///
    /// If the payload cannot be written, or Redis cannot be reached, refuses, or does not answer within
    /// [`Redis::patience`]. In the latter cases it may have been published all the same; it is never
    /// published twice.
    pub async fn emit<T: Serialize + ?Sized>(
        &self,
        event: &str,
        payload: &T,
    ) -> Result<u64, EmitError> {
        let (data, _) = sio_cluster::event(event, payload)?;
        let emit = Emit {
            to: self.selection.clone(),
            data,
            flags: self.flags,
        };
        self.emitter.tell(Message::Emit(emit)).await
    }

    /// Makes those chosen join a room.
    ///
    /// # Errors
    ///
    /// As [`emit`](Self::emit).
    pub async fn join(&self, room: &str) -> Result<u64, EmitError> {
        let (to, rooms) = (self.selection.clone(), vec![room.to_owned()]);
        self.emitter.tell(Message::Join { to, rooms }).await
    }

    /// Makes those chosen leave a room.
    ///
    /// # Errors
    ///
    /// As [`emit`](Self::emit).
    pub async fn leave(&self, room: &str) -> Result<u64, EmitError> {
        let (to, rooms) = (self.selection.clone(), vec![room.to_owned()]);
        self.emitter.tell(Message::Leave { to, rooms }).await
    }

    /// Puts those chosen out of the namespace.
    ///
    /// # Errors
    ///
    /// As [`emit`](Self::emit).
    pub async fn disconnect(&self) -> Result<u64, EmitError> {
        let (to, close) = (self.selection.clone(), false);
        self.emitter.tell(Message::Disconnect { to, close }).await
    }

    /// Closes the connections of those chosen, with all their namespaces.
    ///
    /// # Errors
    ///
    /// As [`emit`](Self::emit).
    pub async fn disconnect_connections(&self) -> Result<u64, EmitError> {
        let (to, close) = (self.selection.clone(), true);
        self.emitter.tell(Message::Disconnect { to, close }).await
    }
}

impl Shared {
    async fn act(&self, action: Action) -> Result<u64, EmitError> {
        match self.attempt(&action).await {
            // It was not done: another server of the Redis Cluster has what it is for by now.
            Err(EmitError::Redis(error)) if is_redirect(&*error) => self.attempt(&action).await,
            done => done,
        }
    }

    async fn attempt(&self, action: &Action) -> Result<u64, EmitError> {
        let Some(command) = batch::command(action) else {
            return Ok(0);
        };
        let done = timeout(self.patience, async {
            let mut redis = self.connection(batch::name(action)).await?;
            command.query_async::<redis::Value>(&mut redis).await
        });
        match done.await {
            Ok(Ok(redis::Value::Int(heard))) => Ok(u64::try_from(heard).unwrap_or(0)),
            // The id of an entry: who reads the stream is not known.
            Ok(Ok(_)) => Ok(0),
            Ok(Err(error)) => {
                self.forget().await;
                Err(error.into())
            }
            Err(_) => {
                self.forget().await;
                Err(EmitError::Silent)
            }
        }
    }

    /// To the server that has a key or a channel of shards, or to any.
    async fn connection(&self, name: Option<&str>) -> RedisResult<MultiplexedConnection> {
        let mut kept = self.senders.lock().await;
        let senders = match &mut *kept {
            Some(senders) => senders,
            None => kept.insert(Senders::connect(&self.address, self.patience).await?),
        };
        match name {
            Some(name) => senders.of(name).await.cloned(),
            None => Ok(senders.first().clone()),
        }
    }

    /// The connections are not used again: whoever comes next gets others.
    async fn forget(&self) {
        *self.senders.lock().await = None;
    }
}

fn is_redirect(error: &(dyn Error + 'static)) -> bool {
    let error = error.downcast_ref::<RedisError>();
    error.is_some_and(RedisError::is_cluster_error)
}
