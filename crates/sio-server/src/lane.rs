//! The handlers of one socket: one at a time, in the order of their events, unless told otherwise.

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use foldhash::fast::RandomState;
use futures_util::{StreamExt, stream::FuturesUnordered};

use crate::{panic::contain, spare::Spare};

/// A handler at work.
pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A handler that is about to work, and its place among others.
pub(crate) struct Job {
    pub(crate) task: Task,
    pub(crate) order: Order,
}

/// When a handler may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Beside all others, as soon as its event has come.
    Concurrent,
    /// When the serial ones before it are done; nothing at all begins until it is done itself.
    First,
    /// When those with the same key before it are done. That two keys may share a number does no harm:
    /// they wait for each other.
    Keyed(u32),
    /// When the serial ones before it are done.
    Serial,
}

impl Job {
    pub(crate) fn serial(task: Task) -> Self {
        Self {
            task,
            order: Order::Serial,
        }
    }
}

/// Handlers at work, and those whose turn has not come.
///
/// A handler is polled where its event was read, inside the connection's task: nothing is spawned,
/// and one that never waits is never stored: a socket that is idle keeps room for a pointer.
#[derive(Default)]
pub(crate) struct Lane(Option<Box<Row>>);

/// Where the handler of an event begins. A panic is the caller's to contain.
pub(crate) struct Slot<'a, 'c> {
    pub(crate) lane: &'a mut Lane,
    /// Bytes of the event.
    pub(crate) bytes: usize,
    pub(crate) cx: &'a mut Context<'c>,
}

impl Slot<'_, '_> {
    /// Runs a handler if it may run, else lets it wait. Returns the bytes that are pending now because
    /// of it.
    pub(crate) fn offer(&mut self, mut job: Job) -> usize {
        if !self.is_busy(job.order) && job.task.as_mut().poll(self.cx).is_ready() {
            return 0;
        }
        self.keep(job)
    }

    /// The same for a handler that is not in a box yet.
    #[inline]
    pub(crate) fn run<F>(&mut self, handler: F, order: Order, spare: Spare) -> usize
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let task: Task = match self.is_busy(order) {
            true => Box::pin(handler),
            false => match spare.poll(handler, self.cx) {
                Some(task) => task,
                None => return 0,
            },
        };
        self.keep(Job { task, order })
    }

    #[inline]
    fn is_busy(&self, order: Order) -> bool {
        let row = self.lane.0.as_ref();
        row.is_some_and(|row| row.is_busy(order))
    }

    #[cold]
    fn keep(&mut self, job: Job) -> usize {
        let waiting = Waiting::new(job, self.bytes);
        let weight = waiting.weight;
        self.lane.0.get_or_insert_default().push(waiting, self.cx);
        weight
    }
}

/// Handlers that are not done; there is at least one.
#[derive(Default)]
struct Row {
    running: Option<Waiting>,
    waiting: VecDeque<Waiting>,
    /// Those that are not of the row.
    beside: Option<Beside>,
}

struct Waiting {
    job: Job,
    /// What it weighs against the limit of pending bytes: its event, as it came, and itself. An event
    /// of ten bytes keeps a handler of a few hundred waiting.
    weight: usize,
}

impl Waiting {
    fn new(job: Job, bytes: usize) -> Self {
        let weight = bytes + size_of_val(&*job.task) + size_of::<Self>();
        Self { job, weight }
    }
}

impl Lane {
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.0.is_none()
    }

    /// Runs a handler if it may run, else lets it wait. Returns the bytes that are pending now because
    /// of it.
    pub(crate) fn offer(&mut self, job: Job, bytes: usize, cx: &mut Context<'_>) -> usize {
        let mut slot = Slot {
            lane: self,
            bytes,
            cx,
        };
        contain("a handler", || slot.offer(job)).unwrap_or(0)
    }

    /// Goes on as far as it goes. Returns the bytes that are no longer pending.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> usize {
        let Some(row) = &mut self.0 else { return 0 };
        let done = row.poll(cx);
        if row.running.is_none() && row.beside.is_none() {
            self.0 = None;
        }
        done
    }
}

impl Row {
    /// Whether the first handler of all is at work, for which everything waits.
    fn is_first_at_work(&self) -> bool {
        let running = self.running.as_ref();
        running.is_some_and(|running| running.job.order == Order::First)
    }

    fn is_busy(&self, order: Order) -> bool {
        match order {
            Order::Serial | Order::First => self.running.is_some(),
            Order::Concurrent => self.is_first_at_work(),
            Order::Keyed(key) => {
                let busy = |beside: &Beside| beside.keys.contains_key(&key);
                self.is_first_at_work() || self.beside.as_ref().is_some_and(busy)
            }
        }
    }

    /// Takes a handler that has begun, or whose turn has not come.
    fn push(&mut self, waiting: Waiting, cx: &Context<'_>) {
        match waiting.job.order {
            Order::Serial | Order::First if self.running.is_none() => self.running = Some(waiting),
            Order::Concurrent | Order::Keyed(_) if !self.is_first_at_work() => {
                self.beside.get_or_insert_default().push(waiting);
                // It may have been polled with this task's waker; from now on it has one of its own.
                cx.waker().wake_by_ref();
            }
            _ => self.waiting.push_back(waiting),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> usize {
        let mut done = 0;
        while let Some(running) = &mut self.running {
            if run(&mut running.job.task, cx).is_pending() {
                break;
            }
            done += running.weight;
            if running.job.order == Order::First {
                self.set_free();
            }
            self.running = self.waiting.pop_front();
        }
        if let Some(beside) = &mut self.beside {
            done += beside.poll(cx);
            if beside.tasks.is_empty() {
                self.beside = None;
            }
        }
        done
    }

    /// The first handler is done: those that need not wait in the row leave it.
    fn set_free(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        for waiting in waiting {
            match waiting.job.order {
                Order::Serial | Order::First => self.waiting.push_back(waiting),
                Order::Concurrent | Order::Keyed(_) => {
                    self.beside.get_or_insert_default().push(waiting);
                }
            }
        }
    }
}

/// Handlers that run beside the row. Each is polled only when it has been woken.
#[derive(Default)]
struct Beside {
    tasks: FuturesUnordered<Aside>,
    /// Keys that are at work, and who waits for the next turn of each.
    keys: HashMap<u32, VecDeque<Waiting>, RandomState>,
}

struct Aside(Option<Waiting>);

impl Future for Aside {
    type Output = Option<Waiting>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Waiting>> {
        if let Some(waiting) = &mut self.0
            && run(&mut waiting.job.task, cx).is_pending()
        {
            return Poll::Pending;
        }
        Poll::Ready(self.0.take())
    }
}

impl Beside {
    fn push(&mut self, waiting: Waiting) {
        if let Order::Keyed(key) = waiting.job.order {
            if let Some(queue) = self.keys.get_mut(&key) {
                return queue.push_back(waiting);
            }
            self.keys.insert(key, VecDeque::new());
        }
        self.tasks.push(Aside(Some(waiting)));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> usize {
        let mut done = 0;
        while let Poll::Ready(Some(ended)) = self.tasks.poll_next_unpin(cx) {
            let Some(ended) = ended else { continue };
            done += ended.weight;
            if let Order::Keyed(key) = ended.job.order
                && let Some(queue) = self.keys.get_mut(&key)
            {
                match queue.pop_front() {
                    Some(next) => self.tasks.push(Aside(Some(next))),
                    None => drop(self.keys.remove(&key)),
                }
            }
        }
        done
    }
}

/// Polls a handler. One that panics is over; its socket and everybody else go on.
fn run(task: &mut Task, cx: &mut Context<'_>) -> Poll<()> {
    contain("a handler", || task.as_mut().poll(cx)).unwrap_or(Poll::Ready(()))
}
