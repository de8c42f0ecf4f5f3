//! TCP connections of our own listener on which nothing is asked, in the order in which that began: fresh
//! ones, ones between two requests, ones whose request does not come to an end.
//!
//! They cost a descriptor and no session, so they have a limit of their own: who comes above it takes
//! the place of the one that has been idle for longest.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Waker,
};

use parking_lot::{Mutex, MutexGuard};
#[cfg(feature = "tls")]
use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

use crate::counters::{Limit, Tally};

/// The idle connections of one shard.
pub(crate) struct Pending {
    limit: usize,
    tally: Arc<Tally>,
    list: Mutex<List>,
    /// Connections that have to go and have not noticed it yet.
    ousted: AtomicUsize,
}

/// All connections that are no session, the idle ones among them linked from the oldest to the newest.
#[derive(Default)]
struct List {
    entries: Vec<Entry>,
    free: Vec<u32>,
    /// How many there have been.
    stamps: u32,
    oldest: Option<u32>,
    newest: Option<u32>,
    idle: usize,
}

struct Entry {
    /// Whose entry it is, among all that were ever at its place.
    stamp: u32,
    state: State,
    older: Option<u32>,
    newer: Option<u32>,
    task: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    /// So many requests are being answered.
    Busy(u32),
    /// It has to go.
    Ousted,
    Free,
}

/// Which entry.
#[derive(Clone, Copy)]
struct Key {
    index: u32,
    stamp: u32,
}

impl Pending {
    /// Room for so many that are idle.
    pub(crate) fn new(limit: usize, tally: Arc<Tally>) -> Self {
        Self {
            limit: limit.max(1),
            tally,
            list: Mutex::default(),
            ousted: AtomicUsize::new(0),
        }
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock()
    }

    /// Enters a connection, idle as it is, for whose place another may have to go. `task` is woken when
    /// this one has to.
    pub(crate) fn enter(self: &Arc<Self>, task: Waker) -> Idler {
        let mut list = self.list();
        let key = list.add(task);
        let ousted = self.oust(&mut list);
        drop(list);
        wake(ousted);
        Idler {
            pending: Arc::clone(self),
            key,
        }
    }

    /// A request came.
    fn begin(&self, key: Key) {
        let mut list = self.list();
        let Some(state) = list.state(key) else { return };
        match state {
            State::Idle => {
                list.unlink(key.index);
                list.set(key, State::Busy(1));
            }
            State::Busy(requests) => list.set(key, State::Busy(requests + 1)),
            State::Ousted | State::Free => {}
        }
    }

    /// A request was answered, or given up.
    fn finish(&self, key: Key) {
        let mut list = self.list();
        let mut ousted = None;
        match list.state(key) {
            Some(State::Busy(1)) => {
                list.set(key, State::Idle);
                list.link(key.index);
                ousted = self.oust(&mut list);
            }
            Some(State::Busy(requests)) => list.set(key, State::Busy(requests - 1)),
            _ => {}
        }
        drop(list);
        wake(ousted)
    }

    fn leave(&self, key: Key) {
        let mut list = self.list();
        let Some(state) = list.state(key) else { return };
        match state {
            State::Idle => list.unlink(key.index),
            State::Ousted => {
                self.ousted.fetch_sub(1, Ordering::Relaxed);
            }
            State::Busy(_) | State::Free => {}
        }
        let task = list.remove(key.index);
        drop(list);
        drop(task);
    }

    fn is_ousted(&self, key: Key) -> bool {
        self.ousted.load(Ordering::Relaxed) > 0 && self.list().state(key) == Some(State::Ousted)
    }

    /// Takes out the oldest, if there are too many, and returns the task to tell of it.
    fn oust(&self, list: &mut List) -> Option<Waker> {
        let oldest = list.oldest.filter(|_| list.idle > self.limit)?;
        list.unlink(oldest);
        let entry = &mut list.entries[oldest as usize];
        entry.state = State::Ousted;
        self.tally.hit(Limit::Pending);
        self.ousted.fetch_add(1, Ordering::Relaxed);
        entry.task.take()
    }
}

fn wake(task: Option<Waker>) {
    if let Some(task) = task {
        task.wake();
    }
}

/// Serves a connection by `work` until that has ended, or the connection has to go.
#[cfg(feature = "tls")]
pub(crate) async fn serve<F: Future<Output = ()>>(
    pending: Arc<Pending>,
    work: impl FnOnce(Errands) -> F,
) {
    let task = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    let idler = pending.enter(task);
    let mut work = pin!(work(idler.errands()));
    poll_fn(|cx| match idler.is_ousted() {
        true => Poll::Ready(()),
        false => work.as_mut().poll(cx),
    })
    .await;
}

/// A connection that is no session, until it is dropped.
pub(crate) struct Idler {
    pending: Arc<Pending>,
    key: Key,
}

impl Idler {
    /// Whether the connection has to go.
    pub(crate) fn is_ousted(&self) -> bool {
        self.pending.is_ousted(self.key)
    }

    /// What its requests tell when they begin.
    pub(crate) fn errands(&self) -> Errands {
        Errands {
            pending: Arc::clone(&self.pending),
            key: self.key,
        }
    }
}

impl Drop for Idler {
    fn drop(&mut self) {
        self.pending.leave(self.key);
    }
}

/// The requests of a connection.
pub(crate) struct Errands {
    pending: Arc<Pending>,
    key: Key,
}

impl Errands {
    /// A request came: the connection is not idle until what is returned has been dropped.
    pub(crate) fn begin(&self) -> Errand {
        self.pending.begin(self.key);
        Errand {
            pending: Arc::clone(&self.pending),
            key: self.key,
            is_endless: false,
        }
    }
}

/// A request that is being answered.
pub(crate) struct Errand {
    pending: Arc<Pending>,
    key: Key,
    is_endless: bool,
}

impl Errand {
    /// The connection carries more than the answer: it is never idle again.
    pub(crate) fn never_end(&mut self) {
        self.is_endless = true;
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        if !self.is_endless {
            self.pending.finish(self.key);
        }
    }
}

impl List {
    fn add(&mut self, task: Waker) -> Key {
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry {
                stamp: 0,
                state: State::Free,
                older: None,
                newer: None,
                task: None,
            });
            u32::try_from(self.entries.len() - 1).expect("because there are not that many sockets")
        });
        self.stamps = self.stamps.wrapping_add(1);
        let stamp = self.stamps;
        let entry = &mut self.entries[index as usize];
        entry.stamp = stamp;
        entry.state = State::Idle;
        entry.task = Some(task);
        self.link(index);
        Key { index, stamp }
    }

    fn remove(&mut self, index: u32) -> Option<Waker> {
        let entry = &mut self.entries[index as usize];
        entry.state = State::Free;
        let task = entry.task.take();
        self.free.push(index);
        if self.free.len() == self.entries.len() && self.entries.len() > 1024 {
            // After a storm nothing is kept of it.
            self.entries = Vec::new();
            self.free = Vec::new();
        }
        task
    }

    /// How a connection stands; `None` if it has gone.
    fn state(&self, key: Key) -> Option<State> {
        let entry = self.entries.get(key.index as usize)?;
        let is_it = entry.stamp == key.stamp && entry.state != State::Free;
        is_it.then_some(entry.state)
    }

    fn set(&mut self, key: Key, state: State) {
        self.entries[key.index as usize].state = state;
    }

    /// Makes it the newest.
    fn link(&mut self, index: u32) {
        let older = self.newest.replace(index);
        match older {
            Some(older) => self.entries[older as usize].newer = Some(index),
            None => self.oldest = Some(index),
        }
        let entry = &mut self.entries[index as usize];
        (entry.older, entry.newer) = (older, None);
        self.idle += 1;
    }

    fn unlink(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        let (older, newer) = (entry.older.take(), entry.newer.take());
        match older {
            Some(older) => self.entries[older as usize].newer = newer,
            None => self.oldest = newer,
        }
        match newer {
            Some(newer) => self.entries[newer as usize].older = older,
            None => self.newest = older,
        }
        self.idle -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn pending(limit: usize) -> Arc<Pending> {
        Arc::new(Pending::new(limit, Arc::default()))
    }

    fn enter(pending: &Arc<Pending>) -> Idler {
        pending.enter(Waker::noop().clone())
    }

    #[test]
    fn above_the_limit_the_one_that_has_been_idle_for_longest_goes() {
        let pending = pending(2);
        let first = enter(&pending);
        let second = enter(&pending);
        assert!(!first.is_ousted() && !second.is_ousted());
        // Whoever asks something is idle anew behind the others.
        drop(first.errands().begin());
        let third = enter(&pending);
        assert!(second.is_ousted() && !first.is_ousted() && !third.is_ousted());
        drop(second);
        let working = first.errands().begin();
        let fourth = enter(&pending);
        assert!(!third.is_ousted() && !fourth.is_ousted());
        // There are three idle ones again.
        drop(working);
        assert!(third.is_ousted() && !first.is_ousted() && !fourth.is_ousted());
    }

    #[test]
    fn a_connection_with_several_requests_is_idle_after_the_last() {
        let pending = pending(1);
        let busy = enter(&pending);
        let errands = busy.errands();
        let (one, other) = (errands.begin(), errands.begin());
        drop(one);
        let idle = enter(&pending);
        assert!(!idle.is_ousted());
        drop(other);
        assert!(idle.is_ousted() && !busy.is_ousted());
        let mut endless = errands.begin();
        endless.never_end();
        drop(endless);
        let _next = enter(&pending);
        let _last = enter(&pending);
        assert!(!busy.is_ousted());
    }

    #[test]
    fn a_late_word_about_a_connection_that_has_gone_is_about_no_other() {
        let pending = pending(1);
        let gone = enter(&pending);
        let late = gone.errands().begin();
        drop(gone);
        let next = enter(&pending);
        assert_eq!(next.key.index, late.key.index);
        drop(late);
        let _one_more = enter(&pending);
        assert!(next.is_ousted());
    }

    proptest! {
        /// Against a list of names, oldest first.
        #[test]
        fn it_agrees_with_a_list(steps in prop::collection::vec((0..4_u8, 0..8_usize), 0..200)) {
            let pending = pending(3);
            let mut all: Vec<(Idler, Vec<Errand>)> = Vec::new();
            let mut idle: VecDeque<u32> = VecDeque::new();
            let mut ousted: Vec<u32> = Vec::new();
            for (step, which) in steps {
                let at = which % all.len().max(1);
                match step {
                    _ if all.is_empty() || step == 0 => {
                        let idler = enter(&pending);
                        idle.push_back(idler.key.stamp);
                        all.push((idler, Vec::new()));
                    }
                    1 => {
                        let (idler, errands) = &mut all[at];
                        errands.push(idler.errands().begin());
                        idle.retain(|one| *one != idler.key.stamp);
                    }
                    2 => {
                        let (idler, errands) = &mut all[at];
                        let stamp = idler.key.stamp;
                        let is_last = errands.len() == 1 && !ousted.contains(&stamp);
                        if errands.pop().is_some() && is_last {
                            idle.push_back(stamp);
                        }
                    }
                    _ => {
                        let (idler, errands) = all.swap_remove(at);
                        let stamp = idler.key.stamp;
                        idle.retain(|one| *one != stamp);
                        ousted.retain(|one| *one != stamp);
                        drop(idler);
                        drop(errands);
                    }
                }
                while idle.len() > 3 {
                    ousted.extend(idle.pop_front());
                }
                for (idler, _) in &all {
                    prop_assert_eq!(idler.is_ousted(), ousted.contains(&idler.key.stamp));
                }
            }
            drop(all);
            let list = pending.list();
            prop_assert_eq!((list.idle, list.oldest, list.newest), (0, None, None));
            prop_assert_eq!(pending.ousted.load(Ordering::Relaxed), 0);
        }
    }
}
