//! The handlers of one socket: one at a time, in the order of their events.

use std::{
    collections::VecDeque,
    task::{Context, Poll},
};

use crate::{panic::contain, socket::Task};

/// A handler at work, and those whose turn has not come.
///
/// A handler is polled where its event was read, inside the connection's task: nothing is spawned,
/// and one that never waits is never stored.
#[derive(Default)]
pub(crate) struct Lane {
    running: Option<Waiting>,
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    task: Task,
    /// What it weighs against the limit of pending bytes: its event, as it came, and itself. An event
    /// of ten bytes keeps a handler of a few hundred waiting.
    weight: usize,
}

impl Waiting {
    fn new(task: Task, bytes: usize) -> Self {
        let weight = bytes + size_of_val(&*task) + size_of::<Self>();
        Self { task, weight }
    }
}

impl Lane {
    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_none()
    }

    /// Runs `task` if nothing is running, else lets it wait. Returns the bytes that are pending
    /// now because of it.
    pub(crate) fn offer(&mut self, mut task: Task, bytes: usize, cx: &mut Context<'_>) -> usize {
        if self.running.is_none() && run(&mut task, cx).is_ready() {
            return 0;
        }
        let waiting = Waiting::new(task, bytes);
        let weight = waiting.weight;
        match self.running {
            None => self.running = Some(waiting),
            Some(_) => self.waiting.push_back(waiting),
        }
        weight
    }

    /// Goes on as far as it goes. Returns the bytes that are no longer pending.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> usize {
        let mut done = 0;
        while let Some(running) = &mut self.running {
            if run(&mut running.task, cx).is_pending() {
                break;
            }
            done += running.weight;
            self.running = self.waiting.pop_front();
        }
        if self.waiting.is_empty() && self.waiting.capacity() > 0 {
            self.waiting = VecDeque::new();
        }
        done
    }
}

/// Polls a handler. One that panics is over; its socket and everybody else go on.
fn run(task: &mut Task, cx: &mut Context<'_>) -> Poll<()> {
    contain("a handler", || task.as_mut().poll(cx)).unwrap_or(Poll::Ready(()))
}
