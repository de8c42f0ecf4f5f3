//! What is told to the application in the order in which it happened, outside all locks.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::panic::contain;

/// Who is told of something.
pub(crate) type Hook<E> = Arc<dyn Fn(&E) + Send + Sync>;

/// Events on their way to a hook.
///
/// One is [noted](Self::note) under the lock under which it happens, so that notes stand in the order of
/// the changes; it is [told](Self::tell) later, under no lock, by one at a time.
pub(crate) struct News<E> {
    hook: Hook<E>,
    /// What the hook is, should it panic.
    name: &'static str,
    untold: Mutex<Untold<E>>,
}

struct Untold<E> {
    events: VecDeque<E>,
    telling: bool,
}

impl<E> News<E> {
    pub(crate) fn new(hook: Hook<E>, name: &'static str) -> Self {
        let untold = Untold {
            events: VecDeque::new(),
            telling: false,
        };
        Self {
            hook,
            name,
            untold: Mutex::new(untold),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Untold<E>> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note(&self, event: E) {
        self.lock().events.push_back(event);
    }

    /// Tells what was noted, unless somebody else is at it, who will then tell this, too.
    pub(crate) fn tell(&self) {
        let mut untold = self.lock();
        if untold.telling {
            return;
        }
        untold.telling = true;
        while let Some(event) = untold.events.pop_front() {
            drop(untold);
            contain(self.name, || (self.hook)(&event));
            untold = self.lock();
        }
        untold.telling = false;
    }
}
