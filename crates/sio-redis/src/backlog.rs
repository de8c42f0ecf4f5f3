//! What waits for Redis: bounded by bytes where it enters, by age where it leaves.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use sio_cluster::{Action, Room};
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
    waiting: Arc<Waiting>,
    jobs: mpsc::UnboundedSender<Job>,
    lost: u64,
}

/// Where they leave.
#[derive(Debug)]
pub(crate) struct Jobs {
    waiting: Arc<Waiting>,
    jobs: mpsc::UnboundedReceiver<Job>,
    /// Taken, and not done yet.
    taken: VecDeque<Job>,
}

/// How much waits and how much may, for all who would add to it.
#[derive(Debug)]
pub(crate) struct Waiting {
    limit: usize,
    max_age: Duration,
    bytes: AtomicUsize,
    outage: Mutex<Outage>,
}

#[derive(Debug)]
struct Outage {
    /// Since when Redis is away, if it is.
    since: Option<Instant>,
    /// Who waits for it, or for room.
    wakers: Vec<Waker>,
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
    /// For so many bytes, of messages that are kept for so long.
    pub(crate) fn new(limit: usize, max_age: Duration) -> (Self, Jobs) {
        let waiting = Arc::new(Waiting {
            limit,
            max_age,
            bytes: AtomicUsize::new(0),
            outage: Mutex::new(Outage {
                since: Some(Instant::now()),
                wakers: Vec::new(),
            }),
        });
        let (sender, receiver) = mpsc::unbounded_channel();
        let backlog = Self {
            waiting: Arc::clone(&waiting),
            jobs: sender,
            lost: 0,
        };
        let jobs = Jobs {
            waiting,
            jobs: receiver,
            taken: VecDeque::new(),
        };
        (backlog, jobs)
    }

    pub(crate) fn waiting(&self) -> Arc<Waiting> {
        Arc::clone(&self.waiting)
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
        if weight > 0 && !self.waiting.has_room(weight) {
            self.lost += u64::from(!matches!(action, Action::Keep { .. }));
            return;
        }
        self.waiting.add(weight);
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

impl Waiting {
    fn outage(&self) -> MutexGuard<'_, Outage> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn sub(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.wake();
    }

    fn wake(&self) {
        let wakers = std::mem::take(&mut self.outage().wakers);
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn set_up(&self) {
        self.outage().since = None;
        self.wake();
    }

    /// Redis is away, since this instant if it was there then.
    pub(crate) fn set_down(&self, since: Instant) {
        self.outage().since.get_or_insert(since);
    }
}

impl Room for Waiting {
    fn has_room(&self, bytes: usize) -> bool {
        self.bytes.load(Ordering::Relaxed) + bytes <= self.limit
    }

    fn poll_room(&self, bytes: usize, cx: &mut Context<'_>) -> Poll<()> {
        // Under the lock, so that no change comes between the look and the wait.
        let mut outage = self.outage();
        let in_time = outage
            .since
            .is_none_or(|since| since.elapsed() < self.max_age);
        if in_time && self.has_room(bytes) {
            return Poll::Ready(());
        }
        outage.wakers.retain(|waker| !waker.will_wake(cx.waker()));
        outage.wakers.push(cx.waker().clone());
        Poll::Pending
    }
}

impl Jobs {
    pub(crate) fn waiting(&self) -> &Waiting {
        &self.waiting
    }

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
            .inspect(|job| self.waiting.sub(job.weight))
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
        self.waiting.add(weight);
        self.taken = kept;
        stale
    }

    /// Puts back what was taken and could not be done: the last one first.
    pub(crate) fn put_back(&mut self, job: Job) {
        self.waiting.add(job.weight);
        self.taken.push_front(job);
    }

    /// What was sent and may have been done: what `f` says has been done is done.
    pub(crate) fn settle_doubts(&mut self, mut is_done: impl FnMut(&Action) -> bool) {
        let weights: usize = self.taken.iter().map(|job| job.weight).sum();
        self.taken
            .retain_mut(|job| !std::mem::take(&mut job.doubtful) || !is_done(&job.action));
        let kept: usize = self.taken.iter().map(|job| job.weight).sum();
        self.waiting.sub(weights - kept);
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
    use std::task::Wake;

    use sio_cluster::Publish;

    use super::*;

    const KEPT: Duration = Duration::from_secs(2);

    /// Counts how often it was woken.
    #[derive(Default)]
    struct Alarm(AtomicUsize);

    impl Wake for Alarm {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn there_is_room_up_to_the_last_byte_and_who_waits_is_woken_when_there_is_again() {
        let alarm = Arc::new(Alarm::default());
        let waker = Waker::from(Arc::clone(&alarm));
        let mut cx = Context::from_waker(&waker);
        let (mut backlog, mut jobs) = Backlog::new(1_000, KEPT);
        jobs.waiting().set_up();
        backlog.push(message(600));
        let waiting = backlog.waiting();
        let left = 1_000 - waiting.bytes.load(Ordering::Relaxed);
        for (bytes, has) in [(left - 1, true), (left, true), (left + 1, false)] {
            assert_eq!(waiting.has_room(bytes), has, "{bytes}");
            assert_eq!(waiting.poll_room(bytes, &mut cx).is_ready(), has);
        }
        assert_eq!(alarm.0.load(Ordering::Relaxed), 0);
        jobs.take().unwrap();
        assert_eq!(alarm.0.load(Ordering::Relaxed), 1);
        assert!(waiting.poll_room(left + 1, &mut cx).is_ready());
    }

    #[test]
    fn while_redis_has_been_away_for_as_long_as_messages_are_kept_there_is_no_room() {
        let alarm = Arc::new(Alarm::default());
        let waker = Waker::from(Arc::clone(&alarm));
        let mut cx = Context::from_waker(&waker);
        let (backlog, jobs) = Backlog::new(1_000, KEPT);
        let waiting = backlog.waiting();
        assert!(
            waiting.poll_room(1, &mut cx).is_ready(),
            "it has just begun"
        );
        waiting.set_up();
        for (away, has) in [(KEPT - Duration::from_millis(500), true), (KEPT, false)] {
            waiting.set_up();
            let now = Instant::now();
            jobs.waiting().set_down(now.checked_sub(away).unwrap());
            jobs.waiting().set_down(now);
            assert_eq!(waiting.poll_room(1, &mut cx).is_ready(), has);
            assert!(waiting.has_room(1), "who does not wait may hope");
        }
        let woken = alarm.0.load(Ordering::Relaxed);
        waiting.set_up();
        assert_eq!(alarm.0.load(Ordering::Relaxed), woken + 1);
        assert!(waiting.poll_room(1, &mut cx).is_ready());
    }

    fn message(len: usize) -> Action {
        Action::Publish(Publish {
            channel: String::new(),
            body: vec![0; len],
        })
    }

    #[test]
    fn a_message_without_room_is_counted_and_room_comes_back() {
        let (mut backlog, mut jobs) = Backlog::new(10_000, KEPT);
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
        assert_eq!(backlog.waiting.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_has_become_too_old_makes_room_for_what_is_new() {
        let (mut backlog, mut jobs) = Backlog::new(1_000, KEPT);
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
        let (mut backlog, mut jobs) = Backlog::new(0, KEPT);
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
