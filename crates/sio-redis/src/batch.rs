//! Messages that are sent together: the busier, the more.

use std::time::Duration;

use futures_util::future::join_all;
use redis::{Cmd, Pipeline, RedisError, aio::MultiplexedConnection};
use sio_cluster::Action;

use crate::{
    backlog::Job,
    wires::{Broken, Senders, within},
};

/// Messages sent at once.
pub(crate) const BATCH: usize = 512;

/// Messages on their way, in their order: to one server, or to each of a Redis Cluster those that are its.
#[derive(Default)]
pub(crate) struct Batch {
    parts: Vec<Part>,
    len: usize,
}

struct Part {
    host: String,
    commands: Pipeline,
    jobs: Vec<Job>,
}

/// What was not done, and why.
pub(crate) struct Failed {
    /// Those of each server in their order.
    pub(crate) jobs: Vec<(Job, Outcome)>,
    pub(crate) broken: Broken,
}

/// What became of what was not done, as far as anybody knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// The server refuses it.
    Refused,
    /// It was not sent, or it was sent to a server that says that it is another's.
    Unsent,
    /// It may have been done.
    Unknown,
}

impl Batch {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Takes what can be sent with others; gives everything else back.
    pub(crate) fn push(&mut self, job: Job, senders: &Senders) -> Option<Job> {
        let Some(command) = command(&job.action) else {
            return Some(job);
        };
        let host = name(&job.action).map_or("", |name| senders.host(name));
        let at = self.parts.iter().position(|part| part.host == host);
        let at = at.unwrap_or_else(|| {
            self.parts.push(Part {
                host: host.to_owned(),
                commands: Pipeline::new(),
                jobs: Vec::new(),
            });
            self.parts.len() - 1
        });
        let part = &mut self.parts[at];
        part.commands.add_command(command).ignore();
        part.jobs.push(job);
        self.len += 1;
        None
    }

    /// Sends all of it, to all servers at once.
    pub(crate) async fn send(
        &mut self,
        senders: &mut Senders,
        patience: Duration,
    ) -> Result<(), Failed> {
        self.len = 0;
        let mut jobs = Vec::new();
        let mut broken = None;
        let mut sending = Vec::new();
        for part in self.parts.drain(..) {
            match within(patience, senders.at(&part.host)).await {
                Ok(redis) => sending.push(part.send(redis.clone(), patience)),
                Err(why) => {
                    broken.get_or_insert(why);
                    jobs.extend(part.jobs.into_iter().map(|job| (job, Outcome::Unsent)));
                }
            }
        }
        for sent in join_all(sending).await {
            if let Err(failed) = sent {
                broken.get_or_insert(failed.broken);
                jobs.extend(failed.jobs);
            }
        }
        match broken {
            Some(broken) => Err(Failed { jobs, broken }),
            None => Ok(()),
        }
    }
}

impl Part {
    async fn send(
        self,
        mut redis: MultiplexedConnection,
        patience: Duration,
    ) -> Result<(), Failed> {
        let sent = self.commands.query_async::<()>(&mut redis);
        let Err(broken) = within(patience, sent).await else {
            return Ok(());
        };
        let refused = match &broken {
            Broken::Redis(error) => refusals(error),
            _ => None,
        };
        let jobs = self.jobs.into_iter().enumerate();
        let jobs = jobs.filter_map(|(at, job)| match &refused {
            // Each was answered.
            Some(refused) => {
                let (_, outcome) = refused.iter().find(|(refused, _)| *refused == at)?;
                Some((job, *outcome))
            }
            None => Some((job, Outcome::Unknown)),
        });
        let jobs = jobs.collect();
        Err(Failed { jobs, broken })
    }
}

/// Which commands were refused, where the server has answered all of them.
fn refusals(error: &RedisError) -> Option<Vec<(usize, Outcome)>> {
    use redis::ServerErrorKind::{Ask, ClusterDown, Moved, TryAgain};

    let errors = error.clone().into_server_errors()?;
    let outcome = |error: &redis::ServerError| match error.kind() {
        Some(Ask | ClusterDown | Moved | TryAgain) => Outcome::Unsent,
        _ => Outcome::Refused,
    };
    let refused = errors.iter().map(|(at, error)| (*at, outcome(error)));
    Some(refused.collect())
}

/// What Redis is told, if an action can be done together with others.
pub(crate) fn command(action: &Action) -> Option<Cmd> {
    let mut command;
    match action {
        Action::Append {
            stream,
            entry,
            max_len,
        } => {
            command = redis::cmd("XADD");
            command.arg(stream).arg("MAXLEN").arg("~").arg(max_len);
            command.arg("*");
            for (name, value) in entry.fields() {
                command.arg(name).arg(&*value);
            }
        }
        Action::Forget(key) => {
            command = redis::cmd("DEL");
            command.arg(key);
        }
        Action::Keep { key, value, lasts } => {
            command = redis::cmd("SET");
            command.arg(key).arg(value);
            command.arg("PX").arg(lasts.as_millis() as u64);
        }
        Action::Publish(publish) => {
            command = redis::cmd("PUBLISH");
            command.arg(&publish.channel).arg(&publish.body);
        }
        Action::PublishShard(publish) => {
            command = redis::cmd("SPUBLISH");
            command.arg(&publish.channel).arg(&publish.body);
        }
        _ => return None,
    }
    Some(command)
}

/// The key or channel of shards that decides which server of a Redis Cluster does it.
pub(crate) fn name(action: &Action) -> Option<&str> {
    match action {
        Action::Append { stream: name, .. }
        | Action::Forget(name)
        | Action::Keep { key: name, .. } => Some(name),
        Action::PublishShard(publish) => Some(&publish.channel),
        _ => None,
    }
}
