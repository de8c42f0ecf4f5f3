//! What connections of one thread share: the list of outboxes to flush, and the deadlines.
//!
//! Two small tasks serve a shard. The **flusher** writes each outbox of the dirty list once, so
//! that all that a turn of the shard queued for a socket leaves in one system call. The **ticker**
//! sleeps until the wheel's next entry.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, Waker},
    time::Instant,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::{
    clock,
    conn::Conn,
    counters::Tally,
    hub::Hub,
    memory,
    wheel::{Wheel, tick_of},
};

/// Outboxes written before other tasks of the shard get a turn: about a millisecond of system
/// calls.
const SLICE: usize = 256;

pub(crate) struct Shard {
    pub(crate) tally: Tally,
    dirty: Mutex<Dirty>,
    /// When the wheel began to turn.
    epoch: Instant,
    timers: Mutex<Timers>,
    /// An entry came in that is due before the one the ticker sleeps for.
    earlier: Notify,
}

struct Timers {
    wheel: Wheel<Weak<Conn>>,
    /// When the ticker looks again, unless it is told otherwise.
    wakes: Option<Instant>,
}

/// Connections whose outbox has something for the flusher.
#[derive(Default)]
pub(crate) struct Dirty {
    list: Vec<Arc<Conn>>,
    flusher: Option<Waker>,
}

impl Dirty {
    #[inline]
    pub(crate) fn push(&mut self, conn: Arc<Conn>) {
        if self.list.is_empty()
            && let Some(flusher) = self.flusher.take()
        {
            flusher.wake();
        }
        self.list.push(conn);
    }
}

impl Shard {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            tally: Tally::default(),
            dirty: Mutex::default(),
            epoch: now,
            timers: Mutex::new(Timers {
                wheel: Wheel::new(now),
                wakes: None,
            }),
            earlier: Notify::new(),
        }
    }

    /// The dirty list, locked: a broadcast holds it for all its recipients.
    pub(crate) fn dirty(&self) -> MutexGuard<'_, Dirty> {
        self.dirty.lock()
    }

    fn timers(&self) -> MutexGuard<'_, Timers> {
        self.timers.lock()
    }

    /// Enters `conn` for `deadline` unless it comes up before that anyway. `armed` is the tick it
    /// is entered for, kept by the connection.
    #[inline]
    pub(crate) fn arm(&self, conn: &Arc<Conn>, armed: &mut u64, deadline: Instant) {
        if *armed <= tick_of(self.epoch, deadline) {
            return;
        }
        let mut timers = self.timers();
        *armed = timers.wheel.insert(deadline, Arc::downgrade(conn));
        if timers.wakes.is_none_or(|wakes| deadline < wakes) {
            drop(timers);
            self.earlier.notify_one();
        }
    }

    /// The two tasks of shard `index`, to be spawned on its runtime.
    pub(crate) fn tasks(
        hub: &Arc<Hub>,
        index: usize,
    ) -> (
        impl Future<Output = ()> + Send + use<>,
        impl Future<Output = ()> + Send + use<>,
    ) {
        let flusher = Flusher {
            hub: Arc::clone(hub),
            index,
            list: Vec::new(),
            next: 0,
        };
        (flusher, tick_and_sweep(Arc::clone(hub), index))
    }
}

/// Writes the outboxes of the dirty list.
struct Flusher {
    hub: Arc<Hub>,
    index: usize,
    list: Vec<Arc<Conn>>,
    next: usize,
}

impl Future for Flusher {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.next == this.list.len() {
            this.next = 0;
            this.list.clear();
            let mut dirty = this.hub.shards[this.index].dirty();
            std::mem::swap(&mut dirty.list, &mut this.list);
            if this.list.is_empty() {
                dirty.flusher = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        let end = this.list.len().min(this.next + SLICE);
        for conn in &this.list[this.next..end] {
            conn.flush();
        }
        this.next = end;
        // Once more: either there is a rest, or the list has to be looked at before sleeping.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// What a shard has to do now and then.
async fn tick_and_sweep(hub: Arc<Hub>, index: usize) {
    if index == 0 && hub.config.recovery.is_some() {
        tokio::join!(tick(Arc::clone(&hub), index), memory::sweep(hub));
    } else {
        tick(hub, index).await;
    }
}

/// Fires deadlines.
async fn tick(hub: Arc<Hub>, index: usize) {
    let shard = &hub.shards[index];
    let mut due = Vec::new();
    loop {
        let next = {
            let mut timers = shard.timers();
            timers.wakes = timers.wheel.next();
            timers.wakes
        };
        match next {
            None => shard.earlier.notified().await,
            Some(next) => tokio::select! {
                () = tokio::time::sleep_until(next.into()) => {}
                () = shard.earlier.notified() => {}
            },
        }
        let now = clock::now();
        shard.timers().wheel.expire(now, &mut due);
        for (tick, conn) in due.drain(..) {
            if let Some(conn) = conn.upgrade() {
                conn.fire(tick, now);
            }
        }
    }
}
