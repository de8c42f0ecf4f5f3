//! The connections to Redis, one that publishes and those that hear, kept up by one task.
//!
//! ```text
//!  away ── connect, subscribe to all that is wanted ──▶ up ── an error, or no answer in time ──▶ away
//! ```
//!
//! One task does everything in the order of the actions, so a count that follows a subscription counts
//! it. Messages wait in a batch while the one before is on its way: the busier, the larger.
//!
//! Channels of shards need the third version of Redis' protocol, and a connection of their own; so does
//! reading streams, which keeps its connection waiting.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt;
use redis::{
    AsyncConnectionConfig, Client, Msg, Pipeline, ProtocolVersion, PushInfo, PushKind, RedisError,
    aio::{MultiplexedConnection, PubSubSink, PubSubStream},
};
use sio_cluster::{Action, BusEvent, EntryId, Request};
use tokio::{
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};

use crate::{
    Limits,
    address::Address,
    backlog::{Job, Jobs},
    backoff::Backoff,
    stream::{self, Followed},
};

/// Messages sent at once.
const BATCH: usize = 512;

/// How often Redis is asked whether it is there.
const PING: Duration = Duration::from_secs(1);

/// The connections, for ever.
pub(crate) async fn run(
    address: Address,
    limits: Limits,
    jobs: Jobs,
    events: UnboundedSender<BusEvent>,
) {
    let mut link = Link {
        address,
        limits,
        jobs,
        events,
        channels: BTreeSet::new(),
        patterns: BTreeSet::new(),
        shards: BTreeSet::new(),
        streams: Vec::new(),
        doubts: BTreeMap::new(),
    };
    let mut backoff = Backoff::new();
    let mut told = false;
    while !link.events.is_closed() {
        let since = Instant::now();
        let reason = match link.connect().await {
            Ok(wires) => {
                told = false;
                link.jobs.waiting().set_up();
                link.tell(BusEvent::Up);
                let Err(reason) = link.serve(wires).await else {
                    return;
                };
                reason
            }
            Err(reason) => reason,
        };
        link.jobs.waiting().set_down(std::time::Instant::now());
        // A Redis that takes connections only to fail at once is waited for as one that does not.
        if since.elapsed() > Duration::from_secs(5) {
            backoff.reset();
        }
        if !told {
            told = true;
            link.tell(BusEvent::Down {
                reason: reason.to_string(),
            });
        }
        match link.jobs.drop_stale(&limits.max_age()) {
            0 => {}
            messages => link.tell(BusEvent::Lost { messages }),
        }
        tokio::time::sleep(backoff.next()).await;
    }
}

struct Link {
    address: Address,
    limits: Limits,
    jobs: Jobs,
    events: UnboundedSender<BusEvent>,
    /// What is to be subscribed to whenever there is a connection.
    channels: BTreeSet<String>,
    patterns: BTreeSet<String>,
    shards: BTreeSet<String>,
    /// What is read, and how far it has been.
    streams: Vec<Followed>,
    /// Streams that entries may have been added to without our knowing, and where they ended before.
    doubts: BTreeMap<String, EntryId>,
}

/// What a connected link consists of.
struct Wires {
    /// The server that all of them go to.
    client: Client,
    publisher: MultiplexedConnection,
    sink: PubSubSink,
    stream: PubSubStream,
    /// The subscriber to channels of shards, once there is one.
    shards: Option<(MultiplexedConnection, UnboundedReceiver<PushInfo>)>,
}

/// Why a link ended.
#[derive(Debug)]
enum Broken {
    Closed,
    Redis(RedisError),
    Silent,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str("Redis closed the connection of the subscriber"),
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

impl Link {
    fn tell(&self, event: BusEvent) {
        let _ = self.events.send(event);
    }

    /// Connects, and subscribes to everything that is wanted by now.
    async fn connect(&mut self) -> Result<Wires, Broken> {
        let patience = self.limits.patience;
        // Sentinels that do not answer are given up one by one.
        let client = self.address.client(patience).await?;
        let publisher = connect(&client, patience, patience).await?;
        let (sink, stream) = within(patience, client.get_async_pubsub()).await?.split();
        let mut wires = Wires {
            client,
            publisher,
            sink,
            stream,
            shards: None,
        };
        let channels: Vec<_> = self.channels.iter().collect();
        if !channels.is_empty() {
            within(patience, wires.sink.subscribe(channels)).await?;
        }
        let patterns: Vec<_> = self.patterns.iter().collect();
        if !patterns.is_empty() {
            within(patience, wires.sink.psubscribe(patterns)).await?;
        }
        for channel in self.shards.clone() {
            self.subscribe_shard(&mut wires, &channel).await?;
        }
        // A Redis that still loads its data takes subscriptions.
        let ping = redis::cmd("PING");
        within(patience, ping.query_async::<()>(&mut wires.publisher)).await?;
        self.settle_doubts(&mut wires).await?;
        // What was wanted while there was no connection stands before `Up` is told.
        self.work(&mut wires).await?;
        Ok(wires)
    }

    async fn subscribe_shard(&self, wires: &mut Wires, channel: &str) -> Result<(), Broken> {
        let patience = self.limits.patience;
        let (redis, _) = match &mut wires.shards {
            Some(shards) => shards,
            None => {
                let (pushed, pushes) = mpsc::unbounded_channel();
                let info = wires.client.get_connection_info().clone();
                let settings = info.redis_settings().clone();
                let settings = settings.set_protocol(ProtocolVersion::RESP3);
                let client = Client::open(info.set_redis_settings(settings))?;
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(patience))
                    .set_response_timeout(Some(patience))
                    .set_push_sender(pushed);
                let redis = client.get_multiplexed_async_connection_with_config(&config);
                wires
                    .shards
                    .insert((within(patience, redis).await?, pushes))
            }
        };
        let subscribe = redis::cmd("SSUBSCRIBE").arg(channel).to_owned();
        within(patience, subscribe.query_async::<()>(redis)).await
    }

    /// Entries of which nobody knows whether they were added are looked for where they would be.
    async fn settle_doubts(&mut self, wires: &mut Wires) -> Result<(), Broken> {
        for (name, after) in self.doubts.clone() {
            let of_stream = |action: &Action| match action {
                Action::Append { stream, entry, .. } if *stream == name => Some(entry.clone()),
                _ => None,
            };
            let first = self.jobs.doubts().find_map(of_stream);
            if let Some(entry) = first {
                let patience = self.limits.patience;
                let found = stream::find(&mut wires.publisher, &name, after, &entry.uid);
                let found = within(patience, found).await?;
                self.jobs.settle_doubts(|action| {
                    let seq = of_stream(action).and_then(|entry| entry.seq);
                    seq.is_some_and(|seq| found.contains(&seq))
                });
            }
            self.doubts.remove(&name);
        }
        Ok(())
    }

    /// Carries messages both ways until that fails; `Ok` when nobody is left to carry for.
    async fn serve(&mut self, mut wires: Wires) -> Result<(), Broken> {
        let mut ticks = interval_at(Instant::now() + PING, PING);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let patience = self.limits.patience;
        let mut reader = None;
        loop {
            // A stream that is followed from now on is read as well after this round.
            if reader.is_none() && !self.streams.is_empty() {
                reader = Some(Box::pin(self.read(&wires, None)));
            }
            tokio::select! {
                message = wires.stream.next() => self.hear(message.ok_or(Broken::Closed)?),
                message = pushed(&mut wires.shards) => self.hear(message?),
                round = round(&mut reader) => {
                    let Round {
                        redis,
                        streams,
                        events,
                    } = round?;
                    for read in streams {
                        let stream = self.streams.iter_mut().find(|stream| stream.name == read.name);
                        if let Some(stream) = stream {
                            *stream = read;
                        }
                    }
                    events.into_iter().for_each(|event| self.tell(event));
                    reader = Some(Box::pin(self.read(&wires, Some(redis))));
                },
                waits = self.jobs.wait() => match waits {
                    Some(()) => self.work(&mut wires).await?,
                    None => return Ok(()),
                },
                _ = ticks.tick() => {
                    let ping = redis::cmd("PING");
                    within(patience, ping.query_async::<()>(&mut wires.publisher)).await?;
                    within(patience, wires.sink.ping::<redis::Value>()).await?;
                    if let Some((shards, _)) = &mut wires.shards {
                        within(patience, ping.query_async::<()>(shards)).await?;
                    }
                }
            }
        }
    }

    /// One round of reading what is new on streams.
    fn read(
        &self,
        wires: &Wires,
        redis: Option<MultiplexedConnection>,
    ) -> impl Future<Output = Result<Round, Broken>> + Send + use<> {
        let (client, patience) = (wires.client.clone(), self.limits.patience);
        let mut streams = self.streams.clone();
        async move {
            let patient = patience + stream::BLOCK;
            let mut redis = match redis {
                Some(redis) => redis,
                None => connect(&client, patience, patient).await?,
            };
            let events = stream::read(&mut redis, &mut streams);
            let events = within(patient + patience, events).await?;
            Ok(Round {
                redis,
                streams,
                events,
            })
        }
    }

    fn hear(&self, message: Msg) {
        let channel = message.get_channel_name().to_owned();
        let subscription = match message.get_pattern::<Option<String>>() {
            Ok(Some(pattern)) => pattern,
            _ => channel.clone(),
        };
        self.tell(BusEvent::Message {
            subscription,
            channel,
            body: Bytes::copy_from_slice(message.get_payload_bytes()),
        });
    }

    /// Does all that waits, in order.
    async fn work(&mut self, wires: &mut Wires) -> Result<(), Broken> {
        let patience = self.limits.patience;
        let mut batch = Batch::default();
        let mut stale = 0;
        while let Some(job) = self.jobs.take() {
            if job.is_stale(&self.limits.max_age()) {
                stale += u64::from(job.is_message());
                continue;
            }
            let job = match batch.push(job) {
                None if batch.jobs.len() < BATCH => continue,
                None => {
                    self.flush(wires, &mut batch).await?;
                    continue;
                }
                Some(job) => job,
            };
            if let Err(broken) = self.flush(wires, &mut batch).await {
                self.jobs.put_back(job);
                return Err(broken);
            }
            match job.action {
                Action::Count { channel, request } => {
                    self.count(wires, "NUMSUB", &channel, request).await?;
                }
                Action::CountShard { channel, request } => {
                    self.count(wires, "SHARDNUMSUB", &channel, request).await?;
                }
                Action::Follow(ref name) => {
                    let end = Followed::from_end(name.clone(), &mut wires.publisher);
                    match within(patience, end).await {
                        Ok(followed) => {
                            let (stream, after) = (followed.name.clone(), followed.last);
                            self.tell(BusEvent::Followed { stream, after });
                            self.streams.push(followed);
                        }
                        Err(broken) => {
                            self.jobs.put_back(job);
                            return Err(broken);
                        }
                    }
                }
                Action::Range {
                    stream,
                    after,
                    request,
                } => {
                    let range = stream::whole(&mut wires.publisher, &stream, after);
                    let mut range = within(patience, range).await;
                    let entries = range.as_mut().ok().and_then(Option::take);
                    self.tell(BusEvent::Range { request, entries });
                    range?;
                }
                Action::Take { key, request } => {
                    let mut take = Pipeline::new();
                    take.atomic().get(&key).del(&key).ignore();
                    let taken = take.query_async::<(Option<Vec<u8>>,)>(&mut wires.publisher);
                    let taken = within(patience, taken).await;
                    let value = taken.as_ref().ok().and_then(|(value,)| value.clone());
                    let value = value.map(Bytes::from);
                    self.tell(BusEvent::Taken { request, value });
                    taken?;
                }
                Action::Subscribe(channel) => {
                    let subscribed = within(patience, wires.sink.subscribe(&channel));
                    self.channels.insert(channel.clone());
                    subscribed.await?;
                }
                Action::SubscribePattern(pattern) => {
                    let subscribed = within(patience, wires.sink.psubscribe(&pattern));
                    self.patterns.insert(pattern.clone());
                    subscribed.await?;
                }
                Action::SubscribeShard(channel) => {
                    self.shards.insert(channel.clone());
                    self.subscribe_shard(wires, &channel).await?;
                }
                Action::Unsubscribe(channel) => {
                    self.channels.remove(&channel);
                    within(patience, wires.sink.unsubscribe(&channel)).await?;
                }
                Action::UnsubscribePattern(pattern) => {
                    self.patterns.remove(&pattern);
                    within(patience, wires.sink.punsubscribe(&pattern)).await?;
                }
                Action::UnsubscribeShard(channel) => {
                    self.shards.remove(&channel);
                    if let Some((shards, _)) = &mut wires.shards {
                        let unsubscribe = redis::cmd("SUNSUBSCRIBE").arg(channel).to_owned();
                        within(patience, unsubscribe.query_async::<()>(shards)).await?;
                    }
                }
                _ => {}
            }
        }
        if stale > 0 {
            self.tell(BusEvent::Lost { messages: stale });
        }
        self.flush(wires, &mut batch).await
    }

    /// Sends the batch. Whether messages of a batch that failed were published cannot be known, and
    /// twice would be worse than not at all: they count as lost. Entries can be looked for.
    async fn flush(&mut self, wires: &mut Wires, batch: &mut Batch) -> Result<(), Broken> {
        if batch.jobs.is_empty() {
            return Ok(());
        }
        let sent = batch.commands.query_async::<()>(&mut wires.publisher);
        let sent = within(self.limits.patience, sent).await;
        batch.commands.clear();
        let jobs = std::mem::take(&mut batch.jobs);
        let Err(broken) = sent else {
            return Ok(());
        };
        let mut messages = 0;
        for mut job in jobs.into_iter().rev() {
            let stream = match &job.action {
                Action::Append { stream, .. } => stream,
                // What is written of a session is written again.
                Action::Forget(_) | Action::Keep { .. } => continue,
                _ => {
                    messages += 1;
                    continue;
                }
            };
            if let Some(followed) = self.streams.iter().find(|of| of.name == *stream) {
                self.doubts.entry(stream.clone()).or_insert(followed.last);
            }
            job.doubtful = true;
            self.jobs.put_back(job);
        }
        if messages > 0 {
            self.tell(BusEvent::Lost { messages });
        }
        Err(broken)
    }

    async fn count(
        &self,
        wires: &mut Wires,
        what: &str,
        channel: &str,
        request: Request,
    ) -> Result<(), Broken> {
        let patience = self.limits.patience;
        let address = &self.address;
        let counted = address.subscribers(&mut wires.publisher, what, channel, patience);
        let counted = within(patience, counted).await;
        self.tell(BusEvent::Counted {
            request,
            subscribers: counted.as_ref().ok().copied().flatten(),
        });
        counted.map(|_| ())
    }
}

/// Messages on their way, in their order.
#[derive(Default)]
struct Batch {
    commands: Pipeline,
    jobs: Vec<Job>,
}

impl Batch {
    /// Takes what can be sent with others; gives everything else back.
    fn push(&mut self, job: Job) -> Option<Job> {
        let commands = &mut self.commands;
        match &job.action {
            Action::Append {
                stream,
                entry,
                max_len,
            } => {
                let add = commands.cmd("XADD").arg(stream);
                add.arg("MAXLEN").arg("~").arg(max_len).arg("*");
                for (name, value) in entry.fields() {
                    add.arg(name).arg(&*value);
                }
            }
            Action::Forget(key) => {
                commands.cmd("DEL").arg(key);
            }
            Action::Keep { key, value, lasts } => {
                let set = commands.cmd("SET").arg(key).arg(value);
                set.arg("PX").arg(lasts.as_millis() as u64);
            }
            Action::Publish(publish) => {
                let command = commands.cmd("PUBLISH");
                command.arg(&publish.channel).arg(&publish.body);
            }
            Action::PublishShard(publish) => {
                let command = commands.cmd("SPUBLISH");
                command.arg(&publish.channel).arg(&publish.body);
            }
            _ => return Some(job),
        }
        commands.ignore();
        self.jobs.push(job);
        None
    }
}

/// What a round of reading gives back, and what it has found.
struct Round {
    redis: MultiplexedConnection,
    streams: Vec<Followed>,
    events: Vec<BusEvent>,
}

/// The round that goes on, if one does.
async fn round<F>(reader: &mut Option<std::pin::Pin<Box<F>>>) -> Result<Round, Broken>
where
    F: Future<Output = Result<Round, Broken>>,
{
    match reader {
        Some(reader) => reader.await,
        None => std::future::pending().await,
    }
}

/// What came by a channel of a shard.
async fn pushed(
    shards: &mut Option<(MultiplexedConnection, UnboundedReceiver<PushInfo>)>,
) -> Result<Msg, Broken> {
    let Some((_, pushes)) = shards else {
        return std::future::pending().await;
    };
    loop {
        let push = pushes.recv().await.ok_or(Broken::Closed)?;
        if push.kind == PushKind::Disconnection {
            return Err(Broken::Closed);
        }
        if let Some(message) = Msg::from_push_info(push) {
            return Ok(message);
        }
    }
}

/// A connection that waits for an answer as long as `patient`.
async fn connect(
    client: &Client,
    patience: Duration,
    patient: Duration,
) -> Result<MultiplexedConnection, Broken> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(patience))
        .set_response_timeout(Some(patient));
    let connection = client.get_multiplexed_async_connection_with_config(&config);
    within(patience, connection).await
}

async fn within<T>(
    patience: Duration,
    answer: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, Broken> {
    match timeout(patience, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Broken::Silent),
    }
}
