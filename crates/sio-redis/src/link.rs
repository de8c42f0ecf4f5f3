//! The connections to Redis, one that publishes and those that hear, kept up by one task.
//!
//! ```text
//!  away ── connect, subscribe to all that is wanted ──▶ up ── an error, or no answer in time ──▶ away
//! ```
//!
//! One task does everything in the order of the actions, so a count that follows a subscription counts
//! it. Messages wait in a batch while the one before is on its way: the busier, the larger.
//!
//! Channels of shards have connections of their own; so has reading streams, which keeps its connection
//! waiting. Whatever goes wrong on one of them ends all: a part of a cluster that is not heard is a gap, and
//! where a slot has moved to is asked when everything is connected anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use redis::{Msg, Pipeline, PushInfo, PushKind, aio::MultiplexedConnection};
use sio_cluster::{Action, BusEvent, EntryId, Request};
use tokio::{
    sync::mpsc::UnboundedSender,
    time::{Instant, MissedTickBehavior, interval_at},
};

use crate::{
    Limits,
    address::{Address, connect},
    backlog::Jobs,
    backoff::Backoff,
    batch::{BATCH, Batch, Failed, Outcome},
    stream::{self, Followed},
    wires::{Broken, Left, Wires, within},
};

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

impl Link {
    fn tell(&self, event: BusEvent) {
        let _ = self.events.send(event);
    }

    /// Connects, and subscribes to everything that is wanted by now.
    async fn connect(&mut self) -> Result<Wires, Broken> {
        let patience = self.limits.patience;
        let mut wires = Wires::connect(&self.address, patience).await?;
        let channels: Vec<_> = self.channels.iter().collect();
        if !channels.is_empty() {
            within(patience, wires.sink.subscribe(channels)).await?;
        }
        let patterns: Vec<_> = self.patterns.iter().collect();
        if !patterns.is_empty() {
            within(patience, wires.sink.psubscribe(patterns)).await?;
        }
        wires.subscribe_shards(&self.shards).await?;
        // A Redis that still loads its data takes subscriptions.
        let ping = redis::cmd("PING");
        within(patience, ping.query_async::<()>(wires.senders.first())).await?;
        self.settle_doubts(&mut wires).await?;
        // What was wanted while there was no connection stands before `Up` is told.
        self.work(&mut wires).await?;
        Ok(wires)
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
                let redis = within(patience, wires.senders.of(&name)).await?;
                let found = stream::find(redis, &name, after, &entry.uid);
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
        let is_cluster = wires.senders.is_cluster();
        let mut rounds = FuturesUnordered::new();
        let mut read = BTreeSet::new();
        loop {
            // Streams of one server are read together, what is followed from now on as of the next round.
            let unread = |stream: &&Followed| !read.contains(&stream.name);
            let unread: Vec<_> = self.streams.iter().filter(unread).cloned().collect();
            if !unread.is_empty() && (is_cluster || rounds.is_empty()) {
                read.extend(unread.iter().map(|stream| stream.name.clone()));
                match is_cluster {
                    // Those of a Redis Cluster are in slots of their own.
                    true => {
                        for stream in unread {
                            rounds.push(self.read(&wires, vec![stream], None));
                        }
                    }
                    false => rounds.push(self.read(&wires, unread, None)),
                }
            }
            tokio::select! {
                message = wires.stream.next() => {
                    self.hear(message.ok_or(Broken::Closed)?);
                    // What else has come is heard before anything is said, which may take a while.
                    for _ in 0..BATCH {
                        let Some(message) = wires.stream.next().now_or_never() else {
                            break;
                        };
                        self.hear(message.ok_or(Broken::Closed)?);
                    }
                },
                push = wires.pushes.recv() => {
                    self.push(push.ok_or(Broken::Closed)?, &mut wires.left)?;
                    for _ in 0..BATCH {
                        let Ok(push) = wires.pushes.try_recv() else {
                            break;
                        };
                        self.push(push, &mut wires.left)?;
                    }
                },
                Some(round) = rounds.next(), if !rounds.is_empty() => {
                    let Round {
                        redis,
                        streams,
                        events,
                    } = round?;
                    for read in &streams {
                        let stream = self.streams.iter_mut().find(|stream| stream.name == read.name);
                        if let Some(stream) = stream {
                            stream.clone_from(read);
                        }
                    }
                    events.into_iter().for_each(|event| self.tell(event));
                    let next = match is_cluster {
                        true => streams,
                        false => self.streams.clone(),
                    };
                    read.extend(next.iter().map(|stream| stream.name.clone()));
                    rounds.push(self.read(&wires, next, Some(redis)));
                },
                waits = self.jobs.wait() => match waits {
                    Some(()) => self.work(&mut wires).await?,
                    None => return Ok(()),
                },
                _ = ticks.tick() => wires.ping().await?,
            }
        }
    }

    /// One round of reading what is new on streams, which are on one server.
    fn read(
        &self,
        wires: &Wires,
        mut streams: Vec<Followed>,
        redis: Option<MultiplexedConnection>,
    ) -> impl Future<Output = Result<Round, Broken>> + Send + use<> {
        let patience = self.limits.patience;
        let first = streams.first().map(|stream| &*stream.name);
        let client = wires.senders.client_of(first.unwrap_or_default());
        async move {
            let patient = patience + stream::BLOCK;
            let mut redis = match redis {
                Some(redis) => redis,
                None => connect(&client?, patience, patient).await?,
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

    /// What came by a connection for channels of shards.
    fn push(&self, push: PushInfo, left: &mut Left) -> Result<(), Broken> {
        match push.kind {
            PushKind::Disconnection => return Err(Broken::Closed),
            // The server ends a subscription whose slot moves to another one.
            PushKind::SUnsubscribe => {
                let name = push.data.into_iter().next();
                let name = name.and_then(|name| redis::from_redis_value::<String>(name).ok());
                if let Some(name) = name
                    && !left.confirm(&name)
                    && self.shards.contains(&name)
                {
                    return Err(Broken::Moved);
                }
            }
            _ => {
                if let Some(message) = Msg::from_push_info(push) {
                    self.hear(message);
                }
            }
        }
        Ok(())
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
            let job = match batch.push(job, &wires.senders) {
                None if batch.len() < BATCH => continue,
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
                    let end = async {
                        let redis = wires.senders.of(name).await?;
                        Followed::from_end(name.clone(), redis).await
                    };
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
                    let range = async {
                        let redis = wires.senders.of(&stream).await?;
                        stream::whole(redis, &stream, after).await
                    };
                    let mut range = within(patience, range).await;
                    let entries = range.as_mut().ok().and_then(Option::take);
                    self.tell(BusEvent::Range { request, entries });
                    range?;
                }
                Action::Take { key, request } => {
                    let mut take = Pipeline::new();
                    take.atomic().get(&key).del(&key).ignore();
                    let taken = async {
                        let redis = wires.senders.of(&key).await?;
                        take.query_async::<(Option<Vec<u8>>,)>(redis).await
                    };
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
                    // Somebody who joins many rooms has them all come at once.
                    let mut channels = vec![channel];
                    while channels.len() < BATCH
                        && let Some(job) = self.jobs.take()
                    {
                        let Action::SubscribeShard(channel) = job.action else {
                            self.jobs.put_back(job);
                            break;
                        };
                        channels.push(channel);
                    }
                    self.shards.extend(channels.iter().cloned());
                    wires.subscribe_shards(&channels).await?;
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
                    within(patience, wires.unsubscribe_shard(&channel)).await?;
                }
                _ => {}
            }
        }
        if stale > 0 {
            self.tell(BusEvent::Lost { messages: stale });
        }
        self.flush(wires, &mut batch).await
    }

    /// Sends the batch. Whether messages that nobody has answered for were published cannot be known, and
    /// twice would be worse than not at all: they count as lost. Entries can be looked for.
    async fn flush(&mut self, wires: &mut Wires, batch: &mut Batch) -> Result<(), Broken> {
        let Wires {
            senders,
            stream,
            pushes,
            left,
            ..
        } = wires;
        let mut sending = pin!(batch.send(senders, self.limits.patience));
        let mut deaf = Ok(());
        // Others are heard meanwhile: the way to Redis may be long.
        let sent = loop {
            tokio::select! {
                sent = &mut sending => break sent,
                message = stream.next(), if deaf.is_ok() => match message {
                    Some(message) => self.hear(message),
                    None => deaf = Err(Broken::Closed),
                },
                push = pushes.recv(), if deaf.is_ok() => {
                    deaf = match push {
                        Some(push) => self.push(push, left),
                        None => Err(Broken::Closed),
                    };
                }
            }
        };
        let Err(Failed { jobs, broken }) = sent else {
            return deaf;
        };
        let mut messages = 0;
        for (mut job, outcome) in jobs.into_iter().rev() {
            match &job.action {
                Action::Append { stream, .. } => {
                    if outcome == Outcome::Unknown {
                        job.doubtful = true;
                        let followed = self.streams.iter().find(|of| of.name == *stream);
                        if let Some(followed) = followed {
                            self.doubts.entry(stream.clone()).or_insert(followed.last);
                        }
                    }
                }
                // What is written of a session is written again.
                Action::Forget(_) | Action::Keep { .. } => continue,
                _ if outcome == Outcome::Unsent => {}
                _ => {
                    messages += 1;
                    continue;
                }
            }
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
        let counted = address.subscribers(wires.senders.first(), what, channel, patience);
        let counted = within(patience, counted).await;
        self.tell(BusEvent::Counted {
            request,
            subscribers: counted.as_ref().ok().copied().flatten(),
        });
        counted.map(|_| ())
    }
}

/// What a round of reading gives back, and what it has found.
struct Round {
    redis: MultiplexedConnection,
    streams: Vec<Followed>,
    events: Vec<BusEvent>,
}
