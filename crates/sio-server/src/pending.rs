//! TCP connections of our own listener on which nothing is asked, in the order in which that began: fresh
//! ones, ones between two requests, ones whose request does not come to an end.
//!
//! They cost a descriptor and no session, so they have limits of their own: who comes above their number
//! takes the place of the one that has been idle for longest, and nobody may be idle for longer than
//! [`Config::header_timeout`](crate::Config::header_timeout), in which a head has to come.
//!
//! All may be idle for equally long, so whoever begins to be is due after nearly all others: one list serves
//! both limits, and no connection has a timer. The shard's ticker looks at the list when the first of it is
//! due.

#[cfg(feature = "tls")]
use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Waker,
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::{
    clock,
    counters::{Limit, Tally},
};

/// The time between two looks at least. A deadline comes up so much late at most, and never early.
const TICK: Duration = Duration::from_millis(20);

/// Entries above which they are given back once all of them are free.
const KEEP: usize = 1024;

/// The idle connections of one shard.
pub(crate) struct Pending {
    limit: usize,
    /// How long a connection may be idle.
    patience: Duration,
    tally: Arc<Tally>,
    list: Mutex<List>,
    /// Connections that have to go and have not noticed it yet.
    leaving: AtomicUsize,
    /// The ticker has something to wait for.
    earlier: Arc<Notify>,
}

/// All connections that are no session, the idle ones among them linked from the oldest to the newest.
#[derive(Default)]
struct List {
    entries: Vec<Entry>,
    free: Vec<u32>,
    /// How many there have been.
    stamps: u32,
    /// Those that are idle, and those of them that may be so for ever.
    chains: [Chain; 2],
    idle: usize,
    /// When somebody may be due; None if nobody will be.
    next: Option<Instant>,
}

#[derive(Default)]
struct Chain {
    oldest: Option<u32>,
    newest: Option<u32>,
}

struct Entry {
    /// Whose entry it is, among all that were ever at its place.
    stamp: u32,
    state: State,
    tempo: Tempo,
    /// Since when it is idle.
    since: Instant,
    older: Option<u32>,
    newer: Option<u32>,
    task: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    /// So many requests are being answered.
    Busy(u32),
    /// It has to go, since others came.
    Ousted,
    /// It has to go, since no head came in time.
    Late,
    Free,
}

/// Which chain an entry is in.
#[derive(Clone, Copy)]
enum Tempo {
    /// It has to ask something in time.
    Timed,
    /// It may be idle for as long as there is room.
    Patient,
}

/// Which entry.
#[derive(Clone, Copy)]
struct Key {
    index: u32,
    stamp: u32,
}

impl Pending {
    /// Room for so many that are idle, each for `patience` at most. `earlier` is told when
    /// [`next`](Self::next) has become something.
    pub(crate) fn new(
        limit: usize,
        patience: Duration,
        tally: Arc<Tally>,
        earlier: Arc<Notify>,
    ) -> Self {
        Self {
            limit: limit.max(1),
            patience,
            tally,
            list: Mutex::default(),
            leaving: AtomicUsize::new(0),
            earlier,
        }
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock()
    }

    /// When to call [`expire`](Self::expire).
    pub(crate) fn next(&self) -> Option<Instant> {
        self.list().next
    }

    /// Tells those whose time is over.
    pub(crate) fn expire(&self, now: Instant) {
        let mut due = Vec::new();
        {
            let mut list = self.list();
            if list.next.is_none_or(|next| now < next) {
                return;
            }
            list.next = None;
            while let Some(oldest) = list.oldest(Tempo::Timed) {
                let since = list.entries[oldest as usize].since;
                let deadline = clock::later(since, self.patience);
                if now < deadline {
                    list.next = Some(deadline.max(now + TICK));
                    break;
                }
                due.extend(self.dismiss(&mut list, oldest, State::Late));
                self.tally.hit(Limit::HeadTime);
            }
        }
        due.into_iter().for_each(Waker::wake);
    }

    /// Enters a connection, idle as it is since a moment ago, for whose place another may have to go. `task` is woken when
    /// this one has to.
    pub(crate) fn enter(self: &Arc<Self>, task: Waker, since: Instant) -> Idler {
        let mut list = self.list();
        let key = list.add(task, since);
        self.rest(list, key.index, since);
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
            State::Ousted | State::Late | State::Free => {}
        }
    }

    /// A request was answered, or given up.
    fn finish(&self, key: Key) {
        let mut list = self.list();
        match list.state(key) {
            Some(State::Busy(1)) => self.rest(list, key.index, clock::now()),
            Some(State::Busy(requests)) => list.set(key, State::Busy(requests - 1)),
            _ => {}
        }
    }

    /// A connection is idle since a moment ago.
    fn rest(&self, mut list: MutexGuard<'_, List>, index: u32, since: Instant) {
        list.link(index, since);
        let ousted = match list.idle > self.limit {
            true => self.oust(&mut list),
            false => None,
        };
        let due = clock::later(since, self.patience);
        let sooner = list.next.is_none_or(|next| due < next);
        if sooner {
            list.next = Some(due);
        }
        drop(list);
        if sooner {
            self.earlier.notify_one();
        }
        if let Some(ousted) = ousted {
            ousted.wake();
        }
    }

    fn leave(&self, key: Key) {
        let mut list = self.list();
        let Some(state) = list.state(key) else { return };
        match state {
            State::Idle => list.unlink(key.index),
            State::Ousted | State::Late => {
                self.leaving.fetch_sub(1, Ordering::Relaxed);
            }
            State::Busy(_) | State::Free => {}
        }
        let task = list.remove(key.index);
        drop(list);
        drop(task);
    }

    /// Whether it has to go, and why.
    fn verdict(&self, key: Key) -> Option<State> {
        if self.leaving.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let state = self.list().state(key);
        state.filter(|state| matches!(state, State::Late | State::Ousted))
    }

    /// Takes out the one that has been idle for longest, and returns the task to tell of it.
    #[cold]
    fn oust(&self, list: &mut List) -> Option<Waker> {
        let oldest = [Tempo::Timed, Tempo::Patient].map(|tempo| list.oldest(tempo));
        let oldest = oldest.into_iter().flatten();
        let oldest = oldest.min_by_key(|oldest| list.entries[*oldest as usize].since)?;
        self.tally.hit(Limit::Pending);
        self.dismiss(list, oldest, State::Ousted)
    }

    fn dismiss(&self, list: &mut List, index: u32, why: State) -> Option<Waker> {
        list.unlink(index);
        let entry = &mut list.entries[index as usize];
        entry.state = why;
        self.leaving.fetch_add(1, Ordering::Relaxed);
        entry.task.take()
    }
}

/// Serves a connection by `work` until that has ended, or the connection has to go.
#[cfg(feature = "tls")]
pub(crate) async fn serve<F: Future<Output = ()>>(
    pending: Arc<Pending>,
    work: impl FnOnce(Errands) -> F,
) {
    let task = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    let idler = pending.enter(task, clock::now());
    let mut work = pin!(work(idler.errands()));
    poll_fn(|cx| match idler.has_to_go() {
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
    pub(crate) fn has_to_go(&self) -> bool {
        self.pending.verdict(self.key).is_some()
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
#[derive(Clone)]
pub(crate) struct Errands {
    pending: Arc<Pending>,
    key: Key,
}

impl Errands {
    /// A request came: the connection is not idle until what is returned has been dropped.
    pub(crate) fn begin(&self) -> Errand {
        self.pending.begin(self.key);
        Errand {
            errands: self.clone(),
            is_endless: false,
        }
    }

    /// The connection may be idle for as long as there is room: something else finds out whether the client
    /// is there.
    pub(crate) fn take_time(&self) {
        let mut list = self.pending.list();
        let Some(state) = list.state(self.key) else {
            return;
        };
        let index = self.key.index;
        let since = list.entries[index as usize].since;
        if state == State::Idle {
            list.unlink(index);
        }
        list.entries[index as usize].tempo = Tempo::Patient;
        if state == State::Idle {
            list.link(index, since);
        }
    }

    /// Whether the connection has to go because no head came in time.
    pub(crate) fn is_late(&self) -> bool {
        self.pending.verdict(self.key) == Some(State::Late)
    }
}

/// A request that is being answered.
pub(crate) struct Errand {
    errands: Errands,
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
            self.errands.pending.finish(self.errands.key);
        }
    }
}

impl List {
    /// An entry that is in no chain yet.
    fn add(&mut self, task: Waker, since: Instant) -> Key {
        self.stamps = self.stamps.wrapping_add(1);
        let stamp = self.stamps;
        let entry = Entry {
            stamp,
            state: State::Busy(1),
            tempo: Tempo::Timed,
            since,
            older: None,
            newer: None,
            task: Some(task),
        };
        let index = match self.free.pop() {
            Some(index) => {
                self.entries[index as usize] = entry;
                index
            }
            None => {
                self.entries.push(entry);
                u32::try_from(self.entries.len() - 1)
                    .expect("because there are not that many sockets")
            }
        };
        Key { index, stamp }
    }

    fn remove(&mut self, index: u32) -> Option<Waker> {
        let entry = &mut self.entries[index as usize];
        entry.state = State::Free;
        let task = entry.task.take();
        self.free.push(index);
        if self.free.len() == self.entries.len() && self.entries.len() > KEEP {
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

    fn oldest(&self, tempo: Tempo) -> Option<u32> {
        self.chains[tempo as usize].oldest
    }

    /// Puts it into its chain, nearly always as the newest. One that was told late that it is idle has a
    /// few behind it.
    fn link(&mut self, index: u32, since: Instant) {
        let tempo = self.entries[index as usize].tempo as usize;
        let (mut older, mut newer) = (self.chains[tempo].newest, None);
        while let Some(other) = older
            && self.entries[other as usize].since > since
        {
            newer = older;
            older = self.entries[other as usize].older;
        }
        let entry = &mut self.entries[index as usize];
        (entry.state, entry.since) = (State::Idle, since);
        (entry.older, entry.newer) = (older, newer);
        let chain = &mut self.chains[tempo];
        match older {
            Some(older) => self.entries[older as usize].newer = Some(index),
            None => chain.oldest = Some(index),
        }
        match newer {
            Some(newer) => self.entries[newer as usize].older = Some(index),
            None => chain.newest = Some(index),
        }
        self.idle += 1;
    }

    fn unlink(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        let (older, newer) = (entry.older.take(), entry.newer.take());
        let chain = &mut self.chains[entry.tempo as usize];
        match older {
            Some(older) => self.entries[older as usize].newer = newer,
            None => chain.oldest = newer,
        }
        match newer {
            Some(newer) => self.entries[newer as usize].older = older,
            None => chain.newest = older,
        }
        self.idle -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, task::Wake};

    use proptest::prelude::*;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn pending(limit: usize) -> Arc<Pending> {
        let (tally, earlier) = (Arc::default(), Arc::default());
        Arc::new(Pending::new(limit, PATIENCE, tally, earlier))
    }

    fn enter(pending: &Arc<Pending>) -> Idler {
        pending.enter(Waker::noop().clone(), clock::now())
    }

    #[test]
    fn above_the_limit_the_one_that_has_been_idle_for_longest_goes() {
        let pending = pending(2);
        let first = enter(&pending);
        let second = enter(&pending);
        assert!(!first.has_to_go() && !second.has_to_go());
        // Whoever asks something is idle anew behind the others.
        drop(first.errands().begin());
        let third = enter(&pending);
        assert!(second.has_to_go() && !first.has_to_go() && !third.has_to_go());
        drop(second);
        let working = first.errands().begin();
        let fourth = enter(&pending);
        assert!(!third.has_to_go() && !fourth.has_to_go());
        // There are three idle ones again.
        drop(working);
        assert!(third.has_to_go() && !first.has_to_go() && !fourth.has_to_go());
    }

    #[test]
    fn a_connection_with_several_requests_is_idle_after_the_last() {
        let pending = pending(1);
        let busy = enter(&pending);
        let errands = busy.errands();
        let (one, other) = (errands.begin(), errands.begin());
        drop(one);
        let idle = enter(&pending);
        assert!(!idle.has_to_go());
        drop(other);
        assert!(idle.has_to_go() && !busy.has_to_go());
        let mut endless = errands.begin();
        endless.never_end();
        drop(endless);
        let _next = enter(&pending);
        let _last = enter(&pending);
        assert!(!busy.has_to_go());
    }

    #[test]
    fn a_late_word_about_a_connection_that_has_gone_is_about_no_other() {
        let pending = pending(1);
        let gone = enter(&pending);
        let late = gone.errands().begin();
        drop(gone);
        let next = enter(&pending);
        assert_eq!(next.key.index, late.errands.key.index);
        drop(late);
        let _one_more = enter(&pending);
        assert!(next.has_to_go());
    }

    /// The bells of tasks, and time that is moved by hand.
    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_idle_for_too_long_is_told_so_and_who_works_or_may_take_its_time_is_not() {
        let pending = pending(10);
        let bell = Arc::new(Bell::default());
        let silent = pending.enter(Arc::clone(&bell).into(), clock::now());
        let (working, asking, patient) = (enter(&pending), enter(&pending), enter(&pending));
        let errand = working.errands().begin();
        patient.errands().take_time();
        tokio::time::advance(PATIENCE / 2).await;
        drop(asking.errands().begin());
        pending.expire(clock::now());
        assert!(!silent.has_to_go());
        tokio::time::advance(PATIENCE / 2).await;
        assert!(pending.next() <= Some(clock::now()));
        pending.expire(clock::now());
        assert!(silent.has_to_go() && silent.errands().is_late());
        assert_eq!(bell.0.load(Ordering::Relaxed), 1);
        for fine in [&working, &asking, &patient] {
            assert!(!fine.has_to_go());
        }
        tokio::time::advance(PATIENCE).await;
        pending.expire(clock::now());
        assert!(asking.has_to_go() && !working.has_to_go() && !patient.has_to_go());
        drop(errand);
        drop(asking);
        assert!(pending.next().is_some(), "somebody is idle again");
    }

    #[test]
    fn those_who_may_take_their_time_go_in_their_turn_when_there_are_too_many() {
        let pending = pending(2);
        let patient = enter(&pending);
        patient.errands().take_time();
        let (other, _third) = (enter(&pending), enter(&pending));
        assert!(patient.has_to_go() && !patient.errands().is_late() && !other.has_to_go());
    }

    #[test]
    fn a_crowd_that_has_gone_leaves_nothing() {
        let pending = pending(usize::MAX);
        let crowd: Vec<_> = (0..KEEP * 2).map(|_| enter(&pending)).collect();
        drop(crowd);
        assert_eq!(pending.list().entries.capacity(), 0);
        pending.expire(clock::now() + PATIENCE * 2);
        assert_eq!(pending.next(), None);
    }

    proptest! {
        /// Against a list of names with the time since when each is idle, oldest first.
        #[test]
        fn it_agrees_with_a_list(
            steps in prop::collection::vec((0..6_u8, 0..8_usize, 0..4000_u64), 0..200),
        ) {
            let time = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            let _here = time.enter();
            let pending = pending(3);
            let mut all: Vec<(Idler, Vec<Errand>)> = Vec::new();
            let mut idle: VecDeque<(u32, Instant)> = VecDeque::new();
            let mut ousted: Vec<u32> = Vec::new();
            let mut late: Vec<u32> = Vec::new();
            for (step, which, millis) in steps {
                let at = which % all.len().max(1);
                match step {
                    5 => time.block_on(tokio::time::advance(Duration::from_millis(millis))),
                    _ if all.is_empty() || step == 0 => {
                        // As late as a new connection may be told that it is idle.
                        let since = clock::now() - Duration::from_millis(millis % 200);
                        let idler = pending.enter(Waker::noop().clone(), since);
                        let at = idle.iter().rposition(|(_, other)| *other <= since);
                        idle.insert(at.map_or(0, |at| at + 1), (idler.key.stamp, since));
                        all.push((idler, Vec::new()));
                    }
                    1 | 4 => {
                        let (idler, errands) = &mut all[at];
                        errands.push(idler.errands().begin());
                        idle.retain(|(one, _)| *one != idler.key.stamp);
                    }
                    2 => {
                        let (idler, errands) = &mut all[at];
                        let stamp = idler.key.stamp;
                        let stays = !ousted.contains(&stamp) && !late.contains(&stamp);
                        let is_last = errands.len() == 1 && stays;
                        if errands.pop().is_some() && is_last {
                            idle.push_back((stamp, clock::now()));
                        }
                    }
                    _ => {
                        let (idler, errands) = all.swap_remove(at);
                        let stamp = idler.key.stamp;
                        idle.retain(|(one, _)| *one != stamp);
                        drop(idler);
                        drop(errands);
                    }
                }
                while idle.len() > 3 {
                    ousted.extend(idle.pop_front().map(|(one, _)| one));
                }
                // The ticker, which is never late here.
                let now = clock::now();
                if pending.next().is_some_and(|next| next <= now) {
                    pending.expire(now);
                }
                for (idler, _) in &all {
                    let stamp = idler.key.stamp;
                    if let Some(at) = idle.iter().position(|(one, _)| *one == stamp) {
                        let deadline = idle[at].1 + PATIENCE;
                        if idler.errands().is_late() {
                            prop_assert!(deadline <= now);
                            idle.remove(at);
                            late.push(stamp);
                        } else {
                            prop_assert!(now < deadline + TICK);
                            prop_assert!(pending.next().is_some());
                        }
                    }
                    let goes = ousted.contains(&stamp) || late.contains(&stamp);
                    prop_assert_eq!(idler.has_to_go(), goes);
                }
            }
            drop(all);
            let list = pending.list();
            let ends = list.chains.iter().map(|chain| (chain.oldest, chain.newest));
            prop_assert!(list.idle == 0 && ends.eq([(None, None), (None, None)]));
            prop_assert_eq!(pending.leaving.load(Ordering::Relaxed), 0);
        }
    }
}
