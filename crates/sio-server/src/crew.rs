//! The connections of a shard on a thread of its own, polled by one task of the runtime.
//!
//! A task of the runtime's for each of them would do the same for more: its memory is aligned to 128
//! bytes, which the usual allocator makes three blocks of and joins again, its future is moved five times
//! until it lies there, and each poll goes through a scheduler that is made for several threads.
//!
//! Whoever is woken stands in a list and is polled in that order, at most [`SLICE`] of them before the
//! runtime looks at its sockets and gives other tasks a turn.
//!
//! Where the crew [watches](Watch) the sockets of its members, a new one is polled when something has come
//! for it, which its socket tells; after [`GRACE`] at the latest, so that it may see to its own deadline.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    task::{coop, yield_now},
    time::{Sleep, sleep},
};

use crate::{panic::contain, watch::Watch};

/// Members polled before others get a turn.
const SLICE: usize = 61;

/// Room for members that is kept, however few there are.
const KEEP: usize = 64;

/// How long a new member may not be polled at all, while nothing has come for it.
const GRACE: Duration = Duration::from_millis(100);

/// New members for which nothing has come, at most.
const NEW: usize = 64;

/// Futures that one task polls, each when it has been woken.
pub(crate) struct Crew<F> {
    all: Mutex<Vec<Arc<Member<F>>>>,
    woken: Mutex<Woken<F>>,
}

/// What there is to do.
struct Woken<F> {
    list: Vec<Arc<Member<F>>>,
    /// Those that have been added and not woken yet.
    new: Vec<Arc<Member<F>>>,
    /// Wakes the task that polls, while it sleeps.
    task: Option<Waker>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// The task ends when everybody is done.
    Closed,
    /// There is no task any more.
    Gone,
}

struct Member<F> {
    crew: Arc<Crew<F>>,
    /// One of the three below.
    state: AtomicU8,
    /// Where it stands among all; changed under their lock.
    place: AtomicUsize,
    /// `None` once it is over.
    work: Mutex<Option<F>>,
}

/// It has been added, and neither polled nor woken.
const FRESH: u8 = 0;
/// It stands in the list of those that were woken.
const WOKEN: u8 = 1;
/// It has been polled since it was woken.
const ASLEEP: u8 = 2;

/// The task of a crew. It ends when the crew has been closed and everybody in it is done; if it is dropped
/// before that, so are they.
pub(crate) struct Run<F> {
    crew: Arc<Crew<F>>,
    /// Those that are to be polled, and the next one.
    list: Vec<Arc<Member<F>>>,
    next: usize,
    watch: Option<Watch>,
    /// Those that were added and not woken yet.
    new: Vec<Arc<Member<F>>>,
    grace: Grace,
}

/// How long members stay new.
#[derive(Default)]
struct Grace {
    timer: Option<Pin<Box<Sleep>>>,
    /// There has been somebody new ever since the timer was set.
    is_theirs: bool,
}

impl<F: Future<Output = ()> + Send + Unpin + 'static> Crew<F> {
    /// A crew without members, and its task, to be spawned. `watch` is who wakes the members.
    pub(crate) fn new(watch: Option<Watch>) -> (Arc<Self>, Run<F>) {
        let crew = Arc::new(Self {
            all: Mutex::default(),
            woken: Mutex::new(Woken {
                list: Vec::new(),
                new: Vec::new(),
                task: None,
                stage: Stage::Open,
            }),
        });
        let run = Run {
            crew: Arc::clone(&crew),
            list: Vec::new(),
            next: 0,
            watch,
            new: Vec::new(),
            grace: Grace::default(),
        };
        (crew, run)
    }

    /// Has a future polled until it is done, from when the waker that is returned wakes it, or a moment
    /// later. If the task has gone, so is the future, and nobody wakes it.
    pub(crate) fn add(self: &Arc<Self>, work: F) -> Option<Waker> {
        if self.woken.lock().stage == Stage::Gone {
            return None;
        }
        let mut all = self.all.lock();
        let member = Arc::new(Member {
            crew: Arc::clone(self),
            state: AtomicU8::new(FRESH),
            place: AtomicUsize::new(all.len()),
            work: Mutex::new(Some(work)),
        });
        all.push(Arc::clone(&member));
        drop(all);
        let mut woken = self.woken.lock();
        if woken.stage != Stage::Gone {
            woken.new.push(Arc::clone(&member));
        }
        let task = woken.task.take();
        drop(woken);
        if let Some(task) = task {
            task.wake();
        }
        Some(Waker::from(member))
    }

    #[inline]
    fn push(&self, member: Arc<Member<F>>) {
        let mut woken = self.woken.lock();
        if woken.stage == Stage::Gone {
            return;
        }
        woken.list.push(member);
        let task = woken.task.take();
        drop(woken);
        if let Some(task) = task {
            task.wake();
        }
    }

    fn poll(&self, member: &Arc<Member<F>>) {
        // Before the poll: who wakes it from now on wants another one.
        member.state.swap(ASLEEP, Ordering::AcqRel);
        let mut work = member.work.lock();
        let Some(future) = &mut *work else { return };
        let waker = Waker::from(Arc::clone(member));
        let polled = contain("the task of a connection", || {
            Pin::new(future).poll(&mut Context::from_waker(&waker))
        });
        if polled != Some(Poll::Pending) {
            let done = work.take();
            drop(work);
            self.remove(member);
            let _ = contain("the end of a connection", || drop(done));
        }
    }

    fn remove(&self, member: &Member<F>) {
        let mut all = self.all.lock();
        let place = member.place.load(Ordering::Relaxed);
        let removed = all.swap_remove(place);
        if let Some(moved) = all.get(place) {
            moved.place.store(place, Ordering::Relaxed);
        }
        if all.capacity() > KEEP && all.len() < all.capacity() / 4 {
            let capacity = all.len() * 2;
            all.shrink_to(capacity);
        }
        drop(all);
        drop(removed);
    }
}

impl<F> Crew<F> {
    /// Whether there is no task any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.woken.lock().stage == Stage::Gone
    }

    /// Lets the task end when everybody is done.
    pub(crate) fn close(&self) {
        let mut woken = self.woken.lock();
        if woken.stage == Stage::Open {
            woken.stage = Stage::Closed;
        }
        let task = woken.task.take();
        drop(woken);
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl<F: Future<Output = ()> + Send + Unpin + 'static> Future for Run<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.look(cx);
        let Self {
            crew, list, next, ..
        } = this;
        let mut left = SLICE;
        loop {
            let Some(member) = list.get(*next) else {
                list.clear();
                *next = 0;
                let mut woken = crew.woken.lock();
                std::mem::swap(&mut woken.list, list);
                if !list.is_empty() {
                    continue;
                }
                if woken.stage == Stage::Closed && crew.all.lock().is_empty() {
                    return Poll::Ready(());
                }
                woken.task = Some(cx.waker().clone());
                return Poll::Pending;
            };
            // A handler may have used up what a task of the runtime's may do in one poll.
            if left == 0 || !coop::has_budget_remaining() {
                // It is woken when the sockets have been looked at.
                let _ = pin!(yield_now()).poll(cx);
                return Poll::Pending;
            }
            left -= 1;
            *next += 1;
            crew.poll(member);
        }
    }
}

impl<F: Future<Output = ()> + Send + Unpin + 'static> Run<F> {
    /// Wakes those whose sockets are ready, and those that are no longer new.
    #[inline]
    fn look(&mut self, cx: &mut Context<'_>) {
        let added = {
            let mut woken = self.crew.woken.lock();
            // It is awake.
            woken.task = None;
            let added = !woken.new.is_empty();
            self.new.append(&mut woken.new);
            added
        };
        if let Some(watch) = &mut self.watch {
            // Something may have come for those already, of which the runtime knows nothing yet.
            watch.poll(cx, added);
        }
        if !self.new.is_empty() {
            self.look_at_new(cx);
        }
    }

    /// Wakes all that are new if they are many, or have been so for long.
    fn look_at_new(&mut self, cx: &mut Context<'_>) {
        self.new
            .retain(|member| member.state.load(Ordering::Acquire) == FRESH);
        if self.new.is_empty() {
            self.grace.is_theirs = false;
        } else if self.watch.is_none() || self.new.len() > NEW || self.grace.is_over(cx) {
            self.new.drain(..).for_each(|member| member.wake());
        }
    }
}

impl Grace {
    /// Whether somebody has been new for as long as that may take.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let timer = self.timer.get_or_insert_with(|| {
            self.is_theirs = true;
            Box::pin(sleep(GRACE))
        });
        if timer.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.timer = None;
        // Those for whom it was set are new no longer: it begins again for the others.
        self.is_theirs || self.is_over(cx)
    }
}

impl<F> Drop for Run<F> {
    fn drop(&mut self) {
        // Members and crew own each other, so nobody may stay in a list.
        let woken = {
            let mut woken = self.crew.woken.lock();
            woken.stage = Stage::Gone;
            let woken = &mut *woken;
            let lists = (
                std::mem::take(&mut woken.list),
                std::mem::take(&mut woken.new),
            );
            (lists, woken.task.take())
        };
        let all = std::mem::take(&mut *self.crew.all.lock());
        for member in all {
            let work = member.work.lock().take();
            drop(work);
        }
        drop(woken);
    }
}

impl<F: Future<Output = ()> + Send + Unpin + 'static> Wake for Member<F> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(WOKEN, Ordering::AcqRel) != WOKEN {
            self.crew.push(Arc::clone(self));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::AtomicBool, thread};

    use proptest::prelude::*;
    use tokio::runtime;

    use super::*;

    /// A future that counts its polls, until it is told to end.
    #[derive(Clone, Default)]
    struct Probe(Arc<Told>);

    #[derive(Default)]
    struct Told {
        polls: AtomicUsize,
        ends: AtomicBool,
        panics: AtomicBool,
        wakes_itself: AtomicBool,
        waker: Mutex<Option<Waker>>,
    }

    impl Probe {
        fn polls(&self) -> usize {
            self.0.polls.load(Ordering::Relaxed)
        }

        fn wake(&self) {
            let waker = self.0.waker.lock().clone();
            waker.expect("because it has been polled").wake();
        }

        /// Whether the crew has let go of it.
        fn is_gone(&self) -> bool {
            Arc::strong_count(&self.0) == 1
        }
    }

    impl Future for Probe {
        type Output = ();

        fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            self.0.polls.fetch_add(1, Ordering::Relaxed);
            *self.0.waker.lock() = Some(cx.waker().clone());
            assert!(!self.0.panics.load(Ordering::Relaxed), "as it was told");
            if self.0.wakes_itself.load(Ordering::Relaxed) {
                cx.waker().wake_by_ref();
            }
            match self.0.ends.load(Ordering::Relaxed) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        }
    }

    fn poll<F: Future<Output = ()> + Send + Unpin + 'static>(run: &mut Run<F>) -> Poll<()> {
        Pin::new(run).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn one_that_panics_is_over_and_the_others_go_on() {
        let (crew, mut run) = Crew::new(None);
        let probes = [Probe::default(), Probe::default(), Probe::default()];
        probes[1].0.panics.store(true, Ordering::Relaxed);
        for probe in &probes {
            crew.add(probe.clone());
        }
        assert!(poll(&mut run).is_pending());
        probes.iter().for_each(Probe::wake);
        assert!(poll(&mut run).is_pending());
        assert_eq!(probes.each_ref().map(Probe::polls), [2, 1, 2]);
        assert!(probes[1].is_gone());
    }

    #[test]
    fn a_crew_that_is_dropped_takes_its_members_along_and_is_deaf() {
        let (crew, mut run) = Crew::new(None);
        let probe = Probe::default();
        crew.add(probe.clone());
        assert!(poll(&mut run).is_pending());
        let left = Arc::downgrade(&crew);
        drop(run);
        assert!(probe.is_gone());
        probe.wake();
        assert!(crew.add(probe.clone()).is_none());
        assert!(probe.is_gone());
        *probe.0.waker.lock() = None;
        drop(crew);
        assert_eq!(left.strong_count(), 0, "nothing owns itself");
    }

    #[test]
    fn a_crew_that_was_closed_ends_with_its_last_member() {
        let (crew, mut run) = Crew::new(None);
        let probe = Probe::default();
        crew.add(probe.clone());
        crew.close();
        assert!(poll(&mut run).is_pending());
        probe.0.ends.store(true, Ordering::Relaxed);
        probe.wake();
        assert!(poll(&mut run).is_ready());
        probe.wake();
    }

    #[test]
    fn one_that_wakes_itself_without_end_leaves_turns_to_other_tasks() {
        let runtime = runtime::Builder::new_current_thread().build().unwrap();
        let (crew, run) = Crew::new(None);
        let restless = Probe::default();
        restless.0.wakes_itself.store(true, Ordering::Relaxed);
        crew.add(restless.clone());
        runtime.block_on(async {
            let task = tokio::spawn(run);
            for turn in 1..10 {
                tokio::spawn(async {}).await.unwrap();
                assert!(restless.polls() <= turn * 2 * SLICE);
            }
            task.abort();
        });
        assert!(restless.polls() > SLICE);
    }

    #[test]
    fn who_is_woken_by_another_thread_is_polled() {
        let runtime = runtime::Builder::new_current_thread().build().unwrap();
        let (crew, run) = Crew::new(None);
        let probe = Probe::default();
        crew.add(probe.clone());
        crew.close();
        runtime.block_on(async {
            let task = tokio::spawn(run);
            while probe.polls() == 0 {
                yield_now().await;
            }
            let waking = probe.clone();
            let thread = thread::spawn(move || {
                for _ in 0..1000 {
                    waking.wake();
                }
                waking.0.ends.store(true, Ordering::Relaxed);
                waking.wake();
            });
            task.await.unwrap();
            thread.join().unwrap();
        });
        assert!(probe.is_gone());
    }

    #[cfg(target_os = "linux")]
    #[tokio::test(start_paused = true)]
    async fn who_is_new_is_polled_when_something_has_come_or_after_a_while() {
        let (crew, run) = Crew::new(Some(Watch::new().unwrap()));
        let task = tokio::spawn(run);
        for _ in 0..3 {
            let (first, second) = (Probe::default(), Probe::default());
            let socket = crew.add(first.clone()).unwrap();
            crew.add(second.clone());
            yield_now().await;
            assert_eq!((first.polls(), second.polls()), (0, 0));
            socket.wake();
            yield_now().await;
            assert_eq!((first.polls(), second.polls()), (1, 0));
            sleep(2 * GRACE).await;
            assert_eq!((first.polls(), second.polls()), (1, 1));
        }
        let many: Vec<Probe> = (0..=NEW).map(|_| Probe::default()).collect();
        for probe in &many {
            crew.add(probe.clone());
        }
        yield_now().await;
        yield_now().await;
        assert!(many.iter().any(|probe| probe.polls() > 0));
        task.abort();
    }

    proptest! {
        /// Against a list of who has been woken.
        #[test]
        fn each_is_polled_once_for_all_that_woke_it(
            steps in prop::collection::vec((0..4_u8, 0..100_usize), 0..200),
        ) {
            let (crew, mut run) = Crew::new(None);
            let mut probes: Vec<(Probe, usize, bool)> = Vec::new();
            for (step, which) in steps {
                let at = which % probes.len().max(1);
                match (step, probes.get_mut(at)) {
                    (1, Some((probe, _, woken))) if probe.polls() > 0 => {
                        probe.wake();
                        *woken = true;
                    }
                    (2, Some((probe, ..))) => probe.0.ends.store(true, Ordering::Relaxed),
                    (3, _) => {
                        while poll(&mut run).is_pending() && crew.woken.lock().task.is_none() {}
                        for (probe, polls, woken) in &mut probes {
                            *polls += usize::from(std::mem::take(woken));
                            prop_assert_eq!(probe.polls(), *polls);
                        }
                        probes.retain(|(probe, ..)| {
                            let over = probe.0.ends.load(Ordering::Relaxed) && probe.is_gone();
                            !over
                        });
                    }
                    _ => {
                        let probe = Probe::default();
                        crew.add(probe.clone());
                        probes.push((probe, 0, true));
                    }
                }
                prop_assert_eq!(crew.all.lock().len(), probes.len());
            }
        }
    }
}
