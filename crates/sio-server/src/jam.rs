//! What there is of a connection only while its client does not keep up: since when, and who waits for it.

use std::{
    task::Waker,
    time::{Duration, Instant},
};

use eio_transport::Reason;

use crate::config::Config;

/// Lies in a box beside the outbox, from the first moment at which somebody waits or a limit of time
/// begins to run, until the outbox is empty.
#[derive(Default)]
pub(crate) struct Jam {
    /// When the transport last took bytes, if it takes none now.
    blocked: Option<Instant>,
    /// Since when more waits than [`Config::soft_queued_bytes`].
    soft: Option<Instant>,
    /// Who waits until nothing waits.
    empty: Vec<Waker>,
    /// Who waits until there is room.
    room: Vec<Waker>,
}

impl Jam {
    /// The transport takes no more bytes; it took some just now, or it would not have been asked.
    pub(crate) fn block(&mut self, now: Instant) {
        self.blocked = Some(now);
    }

    /// The transport takes none. Whether that is news.
    pub(crate) fn stay_blocked(&mut self, now: Instant) -> bool {
        let news = self.blocked.is_none();
        self.blocked.get_or_insert(now);
        news
    }

    /// The transport has taken bytes, and `bytes` are left.
    pub(crate) fn ease(&mut self, bytes: usize, config: &Config) {
        self.blocked = None;
        if bytes <= config.soft_limit() {
            self.soft = None;
        }
        if bytes <= config.max_queued_bytes / 2 {
            wake(&mut self.room);
        }
    }

    /// More waits than is good. Whether that is news.
    pub(crate) fn pile_up(&mut self, now: Instant) -> bool {
        let news = self.soft.is_none();
        self.soft.get_or_insert(now);
        news
    }

    pub(crate) fn wait_for_empty(&mut self, waker: &Waker) {
        enlist(&mut self.empty, waker);
    }

    pub(crate) fn wait_for_room(&mut self, waker: &Waker) {
        enlist(&mut self.room, waker);
    }

    /// The instant at which the connection is closed unless something changes.
    pub(crate) fn deadline(&self, config: &Config) -> Option<Instant> {
        let after = |since: Option<Instant>, time: Duration| since?.checked_add(time);
        let blocked = after(self.blocked, config.write_timeout);
        let soft = after(self.soft, config.soft_queued_time);
        [blocked, soft].into_iter().flatten().min()
    }

    /// Why the connection has to be closed, if it is time.
    pub(crate) fn verdict(&self, now: Instant, config: &Config) -> Option<Reason> {
        let over = |since: Option<Instant>, time: Duration| {
            since.is_some_and(|since| now.saturating_duration_since(since) >= time)
        };
        if over(self.blocked, config.write_timeout) {
            return Some(Reason::WriteStalled);
        }
        over(self.soft, config.soft_queued_time).then_some(Reason::SlowConsumerSoft)
    }
}

/// Nothing waits any more, or never will.
impl Drop for Jam {
    fn drop(&mut self) {
        wake(&mut self.empty);
        wake(&mut self.room);
    }
}

fn enlist(wakers: &mut Vec<Waker>, waker: &Waker) {
    if !wakers.iter().any(|known| known.will_wake(waker)) {
        wakers.push(waker.clone());
    }
}

fn wake(wakers: &mut Vec<Waker>) {
    wakers.drain(..).for_each(Waker::wake);
}
