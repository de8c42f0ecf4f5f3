//! The two connections to Redis, one that publishes and one that hears, kept up by one task.
//!
//! ```text
//!  away ── connect, subscribe to all that is wanted ──▶ up ── an error, or no answer in time ──▶ away
//! ```
//!
//! One task does everything in the order of the actions, so a count that follows a subscription counts
//! it. Messages wait in a batch while the one before is on its way: the busier, the larger.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt;
use redis::{
    AsyncConnectionConfig, Client, Msg, Pipeline, RedisError,
    aio::{MultiplexedConnection, PubSubSink, PubSubStream},
};
use sio_cluster::{Action, BusEvent, Request};
use tokio::{
    sync::mpsc::UnboundedSender,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};

use crate::{Limits, backlog::Jobs, backoff::Backoff};

/// Messages sent at once.
const BATCH: usize = 512;

/// How often Redis is asked whether it is there.
const PING: Duration = Duration::from_secs(1);

/// The connections, for ever.
pub(crate) async fn run(
    client: Client,
    limits: Limits,
    jobs: Jobs,
    events: UnboundedSender<BusEvent>,
) {
    let mut link = Link {
        client,
        limits,
        jobs,
        events,
        channels: BTreeSet::new(),
        patterns: BTreeSet::new(),
    };
    let mut backoff = Backoff::new();
    let mut told = false;
    while !link.events.is_closed() {
        let since = Instant::now();
        let reason = match link.connect().await {
            Ok(wires) => {
                told = false;
                link.tell(BusEvent::Up);
                let Err(reason) = link.serve(wires).await else {
                    return;
                };
                reason
            }
            Err(reason) => reason,
        };
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
        match link.jobs.drop_stale(limits.max_age) {
            0 => {}
            messages => link.tell(BusEvent::Lost { messages }),
        }
        tokio::time::sleep(backoff.next()).await;
    }
}

struct Link {
    client: Client,
    limits: Limits,
    jobs: Jobs,
    events: UnboundedSender<BusEvent>,
    /// What is to be subscribed to whenever there is a connection.
    channels: BTreeSet<String>,
    patterns: BTreeSet<String>,
}

/// What a connected link consists of.
struct Wires {
    publisher: MultiplexedConnection,
    sink: PubSubSink,
    stream: PubSubStream,
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
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(patience))
            .set_response_timeout(Some(patience));
        let publisher = self
            .client
            .get_multiplexed_async_connection_with_config(&config);
        let publisher = within(patience, publisher).await?;
        let (sink, stream) = within(patience, self.client.get_async_pubsub())
            .await?
            .split();
        let mut wires = Wires {
            publisher,
            sink,
            stream,
        };
        let channels: Vec<_> = self.channels.iter().collect();
        if !channels.is_empty() {
            within(patience, wires.sink.subscribe(channels)).await?;
        }
        let patterns: Vec<_> = self.patterns.iter().collect();
        if !patterns.is_empty() {
            within(patience, wires.sink.psubscribe(patterns)).await?;
        }
        // A Redis that still loads its data takes subscriptions.
        let ping = redis::cmd("PING");
        within(patience, ping.query_async::<()>(&mut wires.publisher)).await?;
        // What was wanted while there was no connection stands before `Up` is told.
        self.work(&mut wires).await?;
        Ok(wires)
    }

    /// Carries messages both ways until that fails; `Ok` when nobody is left to carry for.
    async fn serve(&mut self, mut wires: Wires) -> Result<(), Broken> {
        let mut ticks = interval_at(Instant::now() + PING, PING);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let patience = self.limits.patience;
        loop {
            tokio::select! {
                message = wires.stream.next() => self.hear(message.ok_or(Broken::Closed)?),
                waits = self.jobs.wait() => match waits {
                    Some(()) => self.work(&mut wires).await?,
                    None => return Ok(()),
                },
                _ = ticks.tick() => {
                    let ping = redis::cmd("PING");
                    within(patience, ping.query_async::<()>(&mut wires.publisher)).await?;
                    within(patience, wires.sink.ping::<redis::Value>()).await?;
                }
            }
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
        let mut batch = Pipeline::new();
        let mut in_batch = 0_usize;
        let mut stale = 0;
        while let Some(job) = self.jobs.take() {
            if let Action::Publish(publish) = &job.action {
                if job.is_older_than(self.limits.max_age) {
                    stale += 1;
                    continue;
                }
                batch
                    .cmd("PUBLISH")
                    .arg(&publish.channel)
                    .arg(&publish.body)
                    .ignore();
                in_batch += 1;
                if in_batch == BATCH {
                    self.flush(wires, &mut batch, &mut in_batch).await?;
                }
                continue;
            }
            if let Err(broken) = self.flush(wires, &mut batch, &mut in_batch).await {
                self.jobs.put_back(job);
                return Err(broken);
            }
            match job.action {
                Action::Count { channel, request } => {
                    let count = self.count(wires, &channel, request);
                    count.await?;
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
                Action::Unsubscribe(channel) => {
                    self.channels.remove(&channel);
                    within(patience, wires.sink.unsubscribe(&channel)).await?;
                }
                Action::UnsubscribePattern(pattern) => {
                    self.patterns.remove(&pattern);
                    within(patience, wires.sink.punsubscribe(&pattern)).await?;
                }
                _ => {}
            }
        }
        if stale > 0 {
            self.tell(BusEvent::Lost { messages: stale });
        }
        self.flush(wires, &mut batch, &mut in_batch).await
    }

    /// Sends the batch. Whether a batch that failed was published cannot be known, and twice would
    /// be worse than not at all: it counts as lost.
    async fn flush(
        &self,
        wires: &mut Wires,
        batch: &mut Pipeline,
        in_batch: &mut usize,
    ) -> Result<(), Broken> {
        if *in_batch == 0 {
            return Ok(());
        }
        let messages = std::mem::take(in_batch) as u64;
        let sent = batch.query_async::<()>(&mut wires.publisher);
        let sent = within(self.limits.patience, sent).await;
        batch.clear();
        sent.inspect_err(|_| self.tell(BusEvent::Lost { messages }))
    }

    async fn count(
        &self,
        wires: &mut Wires,
        channel: &str,
        request: Request,
    ) -> Result<(), Broken> {
        let mut command = redis::cmd("PUBSUB");
        command.arg("NUMSUB").arg(channel);
        let counted = command.query_async::<(String, u64)>(&mut wires.publisher);
        let counted = within(self.limits.patience, counted).await;
        self.tell(BusEvent::Counted {
            request,
            subscribers: counted.as_ref().ok().map(|(_, count)| *count),
        });
        counted.map(|_| ())
    }
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
