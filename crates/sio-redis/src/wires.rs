//! Connections that are there: those that say something, and those that hear.
//!
//! A server that is alone is told everything on one connection, and does it in order. Of a Redis Cluster
//! each server is told what is in its slots, on a connection that is made when it is needed; what is
//! published to all of them is told to the one that was reached first.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    time::Duration,
};

use redis::{
    Client, ConnectionAddr, Pipeline, ProtocolVersion, PushInfo, RedisError, RedisResult,
    aio::{MultiplexedConnection, PubSubSink, PubSubStream},
};
use tokio::{
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    time::timeout,
};

use crate::{
    address::{Address, connect, settings},
    batch::BATCH,
    slots::Slots,
};

/// Connections that say something and are answered.
pub(crate) struct Senders {
    address: Address,
    client: Client,
    first: MultiplexedConnection,
    /// Those of a Redis Cluster.
    slots: Option<Slots>,
    /// To others than the first, by host.
    others: HashMap<String, MultiplexedConnection>,
    patience: Duration,
}

impl Senders {
    /// To the server whose turn it is.
    pub(crate) async fn connect(address: &Address, patience: Duration) -> RedisResult<Self> {
        // Sentinels that do not answer are given up one by one.
        let client = address.client(patience).await?;
        let mut first = connect(&client, patience, patience).await?;
        let slots = match address.is_cluster() {
            true => Some(Slots::ask(&mut first, &host(&client)).await?),
            false => None,
        };
        Ok(Self {
            address: address.clone(),
            client,
            first,
            slots,
            others: HashMap::new(),
            patience,
        })
    }

    pub(crate) fn is_cluster(&self) -> bool {
        self.slots.is_some()
    }

    pub(crate) fn first(&mut self) -> &mut MultiplexedConnection {
        &mut self.first
    }

    /// The host that has a key or a channel of shards; empty for the first. Where nobody has it, that one
    /// says so.
    pub(crate) fn host(&self, name: &str) -> &str {
        let slots = self.slots.as_ref();
        slots.and_then(|slots| slots.host(name)).unwrap_or_default()
    }

    pub(crate) async fn at(&mut self, host: &str) -> RedisResult<&mut MultiplexedConnection> {
        if host.is_empty() {
            return Ok(&mut self.first);
        }
        if !self.others.contains_key(host) {
            let other = connect(&self.client_at(host)?, self.patience, self.patience).await?;
            self.others.insert(host.to_owned(), other);
        }
        Ok(self.others.get_mut(host).unwrap_or(&mut self.first))
    }

    /// To the server that has a key or a channel of shards.
    pub(crate) async fn of(&mut self, name: &str) -> RedisResult<&mut MultiplexedConnection> {
        let host = self.host(name).to_owned();
        self.at(&host).await
    }

    fn client_at(&self, host: &str) -> RedisResult<Client> {
        match host {
            "" => Ok(self.client.clone()),
            host => self.address.client_at(host),
        }
    }

    /// The server that has a key.
    pub(crate) fn client_of(&self, name: &str) -> RedisResult<Client> {
        self.client_at(self.host(name))
    }

    /// Whether all of them answer.
    async fn ping(&mut self) -> RedisResult<()> {
        for redis in self.others.values_mut().chain([&mut self.first]) {
            redis::cmd("PING").query_async::<()>(redis).await?;
        }
        Ok(())
    }
}

/// Without what is in the URL: there may be a password.
impl fmt::Debug for Senders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = &self.address;
        f.debug_struct("Senders")
            .field("address", address)
            .finish_non_exhaustive()
    }
}

/// What a connected link consists of.
pub(crate) struct Wires {
    pub(crate) senders: Senders,
    pub(crate) sink: PubSubSink,
    pub(crate) stream: PubSubStream,
    /// The subscribers to channels of shards, by host, once there are any. They need the third version of
    /// Redis' protocol.
    shards: HashMap<String, MultiplexedConnection>,
    pushed: UnboundedSender<PushInfo>,
    /// What comes by all of them.
    pub(crate) pushes: UnboundedReceiver<PushInfo>,
    pub(crate) left: Left,
}

/// Channels of shards that were left, and how often that is still to be confirmed.
#[derive(Debug, Default)]
pub(crate) struct Left(BTreeMap<String, usize>);

impl Left {
    /// Whether the end of a subscription is one that was wanted; each is confirmed once.
    pub(crate) fn confirm(&mut self, channel: &str) -> bool {
        let Some(times) = self.0.get_mut(channel) else {
            return false;
        };
        *times -= 1;
        if *times == 0 {
            self.0.remove(channel);
        }
        true
    }
}

impl Wires {
    pub(crate) async fn connect(address: &Address, patience: Duration) -> Result<Self, Broken> {
        let senders = Senders::connect(address, patience).await?;
        let (sink, stream) = within(patience, senders.client.get_async_pubsub())
            .await?
            .split();
        let (pushed, pushes) = mpsc::unbounded_channel();
        Ok(Self {
            senders,
            sink,
            stream,
            shards: HashMap::new(),
            pushed,
            pushes,
            left: Left::default(),
        })
    }

    /// Subscribes to channels of shards, many at once: there is one for each room.
    pub(crate) async fn subscribe_shards<'a>(
        &mut self,
        channels: impl IntoIterator<Item = &'a String>,
    ) -> Result<(), Broken> {
        let mut hosts: BTreeMap<String, Vec<&String>> = BTreeMap::new();
        for channel in channels {
            let host = self.senders.host(channel).to_owned();
            hosts.entry(host).or_default().push(channel);
        }
        let patience = self.senders.patience;
        for (host, channels) in hosts {
            for some in channels.chunks(BATCH) {
                let mut subscribe = Pipeline::new();
                for channel in some {
                    subscribe.cmd("SSUBSCRIBE").arg(channel).ignore();
                }
                let redis = within(patience, self.shard(&host)).await?;
                within(patience, subscribe.query_async::<()>(redis)).await?;
            }
        }
        Ok(())
    }

    /// The connection that hears channels of shards from a host.
    async fn shard(&mut self, host: &str) -> RedisResult<&mut MultiplexedConnection> {
        if !self.shards.contains_key(host) {
            let client = self.senders.client_at(host)?;
            let info = client.get_connection_info().clone();
            let third = info.redis_settings().clone();
            let third = third.set_protocol(ProtocolVersion::RESP3);
            let client = self.senders.address.like(info.set_redis_settings(third))?;
            let config = settings(self.senders.patience, self.senders.patience);
            let config = config.set_push_sender(self.pushed.clone());
            let redis = client
                .get_multiplexed_async_connection_with_config(&config)
                .await?;
            self.shards.insert(host.to_owned(), redis);
        }
        Ok(self.shards.get_mut(host).expect("it is there by now"))
    }

    pub(crate) async fn unsubscribe_shard(&mut self, channel: &str) -> RedisResult<()> {
        let Some(redis) = self.shards.get_mut(self.senders.host(channel)) else {
            return Ok(());
        };
        *self.left.0.entry(channel.to_owned()).or_default() += 1;
        let unsubscribe = redis::cmd("SUNSUBSCRIBE").arg(channel).to_owned();
        unsubscribe.query_async(redis).await
    }

    /// Whether all of them answer in time.
    pub(crate) async fn ping(&mut self) -> Result<(), Broken> {
        let patience = self.senders.patience;
        within(patience, self.senders.ping()).await?;
        within(patience, self.sink.ping::<redis::Value>()).await?;
        for redis in self.shards.values_mut() {
            let ping = redis::cmd("PING");
            within(patience, ping.query_async::<()>(redis)).await?;
        }
        Ok(())
    }
}

/// Why a link ended.
#[derive(Debug)]
pub(crate) enum Broken {
    Closed,
    Moved,
    Redis(RedisError),
    Silent,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("Redis closed the connection of the subscriber"),
            Self::Moved => f.write_str("another server of the Redis Cluster has a channel now"),
            Self::Redis(error) => error.fmt(f),
            Self::Silent => f.write_str("Redis did not answer in time"),
        }
    }
}

impl From<RedisError> for Broken {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

/// Where a client goes, without the port.
fn host(client: &Client) -> String {
    match client.get_connection_info().addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
        other => other.to_string(),
    }
}

pub(crate) async fn within<T>(
    patience: Duration,
    answer: impl Future<Output = RedisResult<T>>,
) -> Result<T, Broken> {
    match timeout(patience, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Broken::Silent),
    }
}
