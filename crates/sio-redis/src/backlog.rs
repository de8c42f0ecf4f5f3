//! What waits for Redis: bounded by bytes where it enters, by age where it leaves.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use sio_cluster::Action;
use tokio::sync::mpsc;

/// How old messages may become.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MaxAge {
    /// Those that are for a stream.
    pub(crate) append: Duration,
    pub(crate) publish: Duration,
}

/// Where actions enter.
#[derive(Debug)]
pub(crate) struct Backlog {
    limit: usize,
    bytes: Arc<AtomicUsize>,
    jobs: mpsc::UnboundedSender<Job>,
    lost: u64,
}

/// Where they leave.
#[derive(Debug)]
pub(crate) struct Jobs {
    bytes: Arc<AtomicUsize>,
    jobs: mpsc::UnboundedReceiver<Job>,
    /// Taken, and not done yet.
    taken: VecDeque<Job>,
}

/// An action and since when it waits.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) action: Action,
    /// It was sent, and nobody knows whether it was done.
    pub(crate) doubtful: bool,
    since: Instant,
    weight: usize,
}

impl Backlog {
    pub(crate) fn new(limit: usize) -> (Self, Jobs) {
        let bytes = Arc::new(AtomicUsize::new(0));
        let (sender, receiver) = mpsc::unbounded_channel();
        let backlog = Self {
            limit,
            bytes: Arc::clone(&bytes),
            jobs: sender,
            lost: 0,
        };
        let jobs = Jobs {
            bytes,
            jobs: receiver,
            taken: VecDeque::new(),
        };
        (backlog, jobs)
    }

    /// Takes an action, unless it is a message that there is no room for. Subscriptions and counts
    /// always find room: there are no more of them than namespaces and questions.
    pub(crate) fn push(&mut self, action: Action) {
        let weight = match &action {
            Action::Append { entry, .. } => entry.data.len() + entry.nsp.len() + size_of::<Job>(),
            Action::Keep { key, value, .. } => key.len() + value.len() + size_of::<Job>(),
            Action::Publish(publish) | Action::PublishShard(publish) => {
                publish.body.len() + publish.channel.len() + size_of::<Job>()
            }
            _ => 0,
        };
        if weight > 0 && self.bytes.load(Ordering::Relaxed) + weight > self.limit {
            self.lost += u64::from(!matches!(action, Action::Keep { .. }));
            return;
        }
        self.bytes.fetch_add(weight, Ordering::Relaxed);
        let since = Instant::now();
        let job = Job {
            action,
            doubtful: false,
            since,
            weight,
        };
        // The other end is gone with the runtime, and all else with it.
        let _ = self.jobs.send(job);
    }

    /// How many messages found no room since this was asked last.
    pub(crate) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }
}

impl Jobs {
    /// Waits until there is something to do; `None` when there never will be.
    pub(crate) async fn wait(&mut self) -> Option<()> {
        if self.taken.is_empty() {
            let job = self.jobs.recv().await?;
            self.taken.push_back(job);
        }
        Some(())
    }

    /// What is to be done next, if anything is.
    pub(crate) fn take(&mut self) -> Option<Job> {
        self.taken
            .pop_front()
            .or_else(|| self.jobs.try_recv().ok())
            .inspect(|job| {
                self.bytes.fetch_sub(job.weight, Ordering::Relaxed);
            })
    }

    /// Drops the messages that have become too old, so that younger ones find room; how many.
    pub(crate) fn drop_stale(&mut self, max_age: &MaxAge) -> u64 {
        let mut stale = 0;
        let mut kept = VecDeque::new();
        while let Some(job) = self.take() {
            if job.is_stale(max_age) {
                stale += u64::from(job.is_message());
            } else {
                kept.push_back(job);
            }
        }
        let weight = kept.iter().map(|job| job.weight).sum();
        self.bytes.fetch_add(weight, Ordering::Relaxed);
        self.taken = kept;
        stale
    }

    /// Puts back what was taken and could not be done: the last one first.
    pub(crate) fn put_back(&mut self, job: Job) {
        self.bytes.fetch_add(job.weight, Ordering::Relaxed);
        self.taken.push_front(job);
    }

    /// What was sent and may have been done: what `f` says has been done is done.
    pub(crate) fn settle_doubts(&mut self, mut is_done: impl FnMut(&Action) -> bool) {
        let weights: usize = self.taken.iter().map(|job| job.weight).sum();
        self.taken
            .retain_mut(|job| !std::mem::take(&mut job.doubtful) || !is_done(&job.action));
        let kept: usize = self.taken.iter().map(|job| job.weight).sum();
        self.bytes.fetch_sub(weights - kept, Ordering::Relaxed);
    }

    pub(crate) fn doubts(&self) -> impl Iterator<Item = &Action> {
        let doubtful = self.taken.iter().filter(|job| job.doubtful);
        doubtful.map(|job| &job.action)
    }
}

impl Job {
    /// Whether others miss something if it is not done.
    pub(crate) fn is_message(&self) -> bool {
        !matches!(self.action, Action::Keep { .. })
    }

    /// Whether it is a message that has become too old.
    pub(crate) fn is_stale(&self, max_age: &MaxAge) -> bool {
        let max_age = match self.action {
            Action::Append { .. } => max_age.append,
            // What is written of a session is out of date by then.
            Action::Keep { .. } | Action::Publish(_) | Action::PublishShard(_) => max_age.publish,
            _ => return false,
        };
        self.since.elapsed() > max_age
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sio_cluster::Publish;

    fn message(len: usize) -> Action {
        Action::Publish(Publish {
            channel: String::new(),
            body: vec![0; len],
        })
    }

    #[test]
    fn a_message_without_room_is_counted_and_room_comes_back() {
        let (mut backlog, mut jobs) = Backlog::new(10_000);
        for _ in 0..20 {
            backlog.push(message(900));
        }
        let kept = std::iter::from_fn(|| jobs.take()).count() as u64;
        assert!((9..=10).contains(&kept));
        assert_eq!(backlog.take_lost(), 20 - kept);
        assert_eq!(backlog.take_lost(), 0);
        backlog.push(message(900));
        let job = jobs.take().unwrap();
        jobs.put_back(job);
        assert!(jobs.take().is_some() && jobs.take().is_none());
        assert_eq!(backlog.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_has_become_too_old_makes_room_for_what_is_new() {
        let (mut backlog, mut jobs) = Backlog::new(1_000);
        backlog.push(message(800));
        backlog.push(Action::Subscribe("a".into()));
        let age = |publish| MaxAge {
            append: Duration::MAX,
            publish,
        };
        assert_eq!(jobs.drop_stale(&age(Duration::from_secs(60))), 0);
        backlog.push(message(800));
        assert_eq!(backlog.take_lost(), 1);
        assert_eq!(jobs.drop_stale(&age(Duration::ZERO)), 1);
        backlog.push(message(800));
        assert_eq!(backlog.take_lost(), 0);
        assert_eq!(std::iter::from_fn(|| jobs.take()).count(), 2);
    }

    #[test]
    fn subscriptions_find_room_in_a_full_backlog() {
        let (mut backlog, mut jobs) = Backlog::new(0);
        backlog.push(message(1));
        backlog.push(Action::Subscribe("a".into()));
        assert!(matches!(
            jobs.take(),
            Some(Job {
                action: Action::Subscribe(_),
                ..
            })
        ));
        assert_eq!(backlog.take_lost(), 1);
    }
}
