//! The memory of handlers' futures, used again.
//!
//! Nearly every handler is done when it has been polled once. It might have waited, so its future lies
//! in a box; but that box is kept for the next event of the same handler on the same thread. What it
//! holds meanwhile is a future that is done, which owns nothing any more.

use std::{
    any::Any,
    cell::Cell,
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::Context,
};

/// Boxes that a thread keeps.
const BOXES: usize = 32;

/// Bytes of a future whose box is kept.
const KEEP: usize = 4096;

thread_local! {
    static KEPT: [Cell<Option<Box<dyn Any>>>; BOXES] = const { [const { Cell::new(None) }; BOXES] };
}

/// Which of a thread's boxes a handler uses. Two may share one, and then it is as if there was none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spare(usize);

impl Spare {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed) % BOXES)
    }

    /// Polls a future for the first time, and returns it if it waits.
    #[inline]
    pub(crate) fn poll<F: Future<Output = ()> + 'static>(
        self,
        future: F,
        cx: &mut Context<'_>,
    ) -> Option<Pin<Box<F>>> {
        let kept = KEPT.with(|kept| kept[self.0].take());
        let kept = kept.and_then(|kept| kept.downcast().ok());
        let mut kept: Box<Option<Pin<Box<F>>>> = kept.unwrap_or_default();
        let mut boxed = match kept.take() {
            Some(mut boxed) => {
                boxed.set(future);
                boxed
            }
            None => Box::pin(future),
        };
        let waits = boxed.as_mut().poll(cx).is_pending();
        if waits {
            return Some(boxed);
        }
        if size_of::<F>() <= KEEP {
            *kept = Some(boxed);
            KEPT.with(|all| all[self.0].set(Some(kept)));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, rc::Rc, task::Waker};

    use allocation_counter::measure;

    use super::*;

    fn poll<F: Future<Output = ()> + 'static>(spare: Spare, future: F) -> Option<Pin<Box<F>>> {
        spare.poll(future, &mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_future_that_is_done_at_once_leaves_its_box_and_nothing_else() {
        let spare = Spare::new();
        let owned = Rc::new(());
        let work = |owned: Rc<()>| async move { drop(owned) };
        assert!(poll(spare, work(Rc::clone(&owned))).is_none());
        assert_eq!(Rc::strong_count(&owned), 1);
        let counted = measure(|| assert!(poll(spare, work(Rc::clone(&owned))).is_none()));
        assert_eq!(counted.count_total, 0, "{counted:?}");
        assert_eq!(Rc::strong_count(&owned), 1);
    }

    #[test]
    fn a_future_that_waits_keeps_its_box() {
        let spare = Spare::new();
        let first = poll(spare, pending());
        let second = poll(spare, pending());
        assert!(first.is_some() && second.is_some());
    }

    #[test]
    fn futures_of_two_kinds_may_use_one_box() {
        let spare = Spare::new();
        let (ran, count) = (Rc::new(Cell::new(0)), 3);
        for _ in 0..count {
            let (one, other) = (Rc::clone(&ran), Rc::clone(&ran));
            assert!(poll(spare, async move { one.set(one.get() + 1) }).is_none());
            let large = [0; 100];
            let other = async move { other.set(other.get() + large.len()) };
            assert!(poll(spare, other).is_none());
        }
        assert_eq!(ran.get(), count + 300);
    }
}
