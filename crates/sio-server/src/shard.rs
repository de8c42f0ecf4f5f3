//! What connections of one thread share: the list of outboxes to flush, and the deadlines, also of those
//! on which nothing is asked.
//!
//! Two small tasks serve a shard. The **flusher** writes each outbox of the dirty list once, so
//! that all that a turn of the shard queued for a socket leaves in one system call. The **ticker**
//! sleeps until the next deadline.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use eio_transport::Parcel;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::{
    clock,
    conn::{Conn, Mode},
    counters::Tally,
    fan::{Fan, Fans, Hearers},
    hub::Hub,
    memory,
    pending::Pending,
    wheel::{Entry, Wheel, tick_of},
};

/// Outboxes written before other tasks of the shard get a turn: about a millisecond of system
/// calls.
const SLICE: usize = 256;

/// Outboxes written under one lock of the dirty list, which others may wait for.
const STEP: usize = 16;

/// No broadcast waits.
const NOBODY: usize = 0;

/// Broadcasts wait, and may be for any connection. No address.
const ANYBODY: usize = 1;

pub(crate) struct Shard {
    pub(crate) tally: Arc<Tally>,
    /// TCP connections that are no session.
    pub(crate) pending: Arc<Pending>,
    dirty: Mutex<Dirty>,
    /// Whether broadcasts wait that are in no outbox yet: 0 if none do, the address of a connection if
    /// it is the one that they are not for, else [`ANYBODY`].
    fanning: AtomicUsize,
    /// When the wheel began to turn.
    epoch: Instant,
    timers: Mutex<Timers>,
    /// An entry came in that is due before the one the ticker sleeps for.
    earlier: Arc<Notify>,
}

struct Timers {
    wheel: Wheel<Weak<Conn>>,
    /// When the ticker looks again, unless it is told otherwise.
    wakes: Option<Instant>,
}

/// What there is to do for the flusher.
#[derive(Default)]
pub(crate) struct Dirty {
    /// Connections whose outbox has something.
    list: Vec<Arc<Conn>>,
    /// Broadcasts to many that are in no outbox.
    fans: Fans,
    flusher: Option<Waker>,
}

impl Dirty {
    #[inline]
    pub(crate) fn push(&mut self, conn: Arc<Conn>) {
        if self.list.is_empty() {
            self.wake();
        }
        self.list.push(conn);
    }

    fn wake(&mut self) {
        if let Some(flusher) = self.flusher.take() {
            flusher.wake();
        }
    }

    /// Puts the broadcasts that wait into the outboxes.
    #[cold]
    fn settle(&mut self) {
        let fans = self.fans.drain();
        for (conn, parcel) in fans.iter().flat_map(|fan| fan.rest()) {
            conn.offer(parcel, Mode::Reliable, self);
        }
        self.fans.spend(fans);
    }
}

impl Shard {
    /// `pending` is how many connections may be idle that are no session, each for `patience`.
    pub(crate) fn new(now: Instant, pending: usize, patience: Duration) -> Self {
        let (tally, earlier) = (Arc::<Tally>::default(), Arc::<Notify>::default());
        let told = (Arc::clone(&tally), Arc::clone(&earlier));
        Self {
            pending: Arc::new(Pending::new(pending, patience, told.0, told.1)),
            tally,
            dirty: Mutex::default(),
            fanning: AtomicUsize::new(NOBODY),
            epoch: now,
            timers: Mutex::new(Timers {
                wheel: Wheel::new(now),
                wakes: None,
            }),
            earlier,
        }
    }

    /// The dirty list, locked, to queue something: a broadcast holds it for all its recipients.
    pub(crate) fn dirty(&self) -> MutexGuard<'_, Dirty> {
        let mut dirty = self.dirty.lock();
        if !dirty.fans.is_empty() {
            dirty.settle();
            self.fanning.store(NOBODY, Ordering::Release);
        }
        dirty
    }

    /// Puts the broadcasts that wait into the outboxes: before something is said to the connection at
    /// this address in another way, or asked of its queue.
    #[inline]
    pub(crate) fn settle(&self, conn: usize) {
        let fanning = self.fanning.load(Ordering::Acquire);
        if fanning != NOBODY && fanning != conn {
            drop(self.dirty());
        }
    }

    /// Keeps a broadcast for the flusher, which writes it to each of `hearers`. False if it cannot wait
    /// beside those that do: outboxes take it then.
    pub(crate) fn fan(&self, hearers: Hearers<'_>, parcel: &Arc<Parcel>) -> bool {
        let mut dirty = self.dirty.lock();
        let taken = dirty.fans.takes(hearers, parcel);
        if taken {
            let spared = hearers.spared().unwrap_or(ANYBODY);
            let others = dirty.fans.is_empty() || self.fanning.load(Ordering::Relaxed) == spared;
            let spared = if others { spared } else { ANYBODY };
            dirty.fans.push(hearers, parcel);
            self.fanning.store(spared, Ordering::Release);
            dirty.wake();
        }
        taken
    }

    /// Writes some of the broadcasts that wait, to `count` connections at most. Returns how many they
    /// were.
    fn write_fans(&self, count: usize) -> usize {
        let mut dirty = self.dirty.lock();
        let written = dirty.fans.write(count);
        if dirty.fans.is_empty() {
            self.fanning.store(NOBODY, Ordering::Release);
        }
        written
    }

    fn timers(&self) -> MutexGuard<'_, Timers> {
        self.timers.lock()
    }

    /// Enters `conn` for `deadline` unless it comes up before that anyway. `armed` is where it is
    /// entered, kept by the connection.
    #[inline]
    pub(crate) fn arm(&self, conn: &Arc<Conn>, armed: &mut Entry, deadline: Instant) {
        if armed.tick() <= tick_of(self.epoch, deadline) {
            return;
        }
        let mut timers = self.timers();
        timers.wheel.remove(*armed);
        *armed = timers.wheel.insert(deadline, Arc::downgrade(conn));
        if timers.wakes.is_none_or(|wakes| deadline < wakes) {
            drop(timers);
            self.earlier.notify_one();
        }
    }

    /// Takes a connection that has gone out of the wheel: its memory is not kept until it comes by.
    pub(crate) fn disarm(&self, armed: &mut Entry) {
        let armed = std::mem::replace(armed, Entry::NONE);
        if armed != Entry::NONE {
            self.timers().wheel.remove(armed);
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
            spent: Vec::new(),
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
    /// Broadcasts that have been written.
    spent: Vec<Fan>,
}

impl Future for Flusher {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let shard = &this.hub.shards[this.index];
        let mut left = SLICE;
        while left > 0 {
            if shard.fanning.load(Ordering::Acquire) != NOBODY {
                left -= shard.write_fans(left.min(STEP));
                continue;
            }
            if this.next == this.list.len() {
                this.next = 0;
                this.list.clear();
                this.spent.clear();
                let mut dirty = shard.dirty.lock();
                dirty.fans.swap_spent(&mut this.spent);
                std::mem::swap(&mut dirty.list, &mut this.list);
                if this.list.is_empty() && dirty.fans.is_empty() {
                    dirty.flusher = Some(cx.waker().clone());
                    drop(dirty);
                    this.spent.clear();
                    return Poll::Pending;
                }
            }
            let end = this.list.len().min(this.next + left);
            for conn in &this.list[this.next..end] {
                conn.flush();
            }
            left -= end - this.next;
            this.next = end;
        }
        // There may be more, but others want a turn, too.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// What a shard has to do now and then.
async fn tick_and_sweep(hub: Arc<Hub>, index: usize) {
    if index > 0 {
        return tick(hub, index).await;
    }
    let (forgetting, relieving) = (Arc::clone(&hub), Arc::clone(&hub));
    let forget = async move {
        if forgetting.config.recovery.is_some() {
            memory::sweep(forgetting).await;
        }
    };
    let relieve = async move {
        loop {
            relieving.ledger.full.notified().await;
            relieving.relieve();
        }
    };
    tokio::join!(tick(hub, index), forget, relieve);
}

/// Fires deadlines.
async fn tick(hub: Arc<Hub>, index: usize) {
    let shard = &hub.shards[index];
    let mut due = Vec::new();
    loop {
        let next = {
            let mut timers = shard.timers();
            let next = [timers.wheel.next(), shard.pending.next()];
            timers.wakes = next.into_iter().flatten().min();
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
        shard.pending.expire(now);
        shard.timers().wheel.expire(now, &mut due);
        for (tick, conn) in due.drain(..) {
            if let Some(conn) = conn.upgrade() {
                conn.fire(tick, now);
            }
        }
    }
}
