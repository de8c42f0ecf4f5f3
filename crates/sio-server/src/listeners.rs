//! The listeners of one socket.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use foldhash::fast::RandomState;

use crate::table::{Handler, Watcher};

/// A listener of a socket's own, to be taken away by [`Socket::off`](crate::Socket::off).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(u64);

/// Which listeners: all, all of an event, or one.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Which<'a> {
    /// All of the socket's, those of every event among them: Node's `removeAllListeners`.
    All,
    /// All of the event of this name.
    Event(&'a str),
    /// One.
    One(ListenerId),
}

impl<'a> From<&'a str> for Which<'a> {
    fn from(event: &'a str) -> Self {
        Self::Event(event)
    }
}

impl From<ListenerId> for Which<'_> {
    fn from(id: ListenerId) -> Self {
        Self::One(id)
    }
}

/// How often a listener hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hears {
    Always,
    Once,
}

pub(crate) struct Listeners<D>(Mutex<List<D>>);

struct List<D> {
    next: u64,
    /// Those that hear every event.
    any: Vec<(ListenerId, Arc<Watcher<D>>)>,
    events: HashMap<Box<str>, Vec<Listener<D>>, RandomState>,
}

struct Listener<D> {
    id: ListenerId,
    hears: Hears,
    handler: Arc<dyn Handler<D>>,
}

impl<D> Listeners<D> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(List {
            next: 0,
            any: Vec::new(),
            events: HashMap::default(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, List<D>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a listener, unless the socket `is_gone`: what it owns would never be let go.
    pub(crate) fn add(
        &self,
        event: &str,
        handler: Arc<dyn Handler<D>>,
        hears: Hears,
        is_gone: impl FnOnce() -> bool,
    ) -> ListenerId {
        self.admit(is_gone, |list, id| {
            let listener = Listener { id, hears, handler };
            list.events.entry(event.into()).or_default().push(listener);
        })
    }

    /// Adds one that hears every event, unless the socket `is_gone`.
    pub(crate) fn add_any(
        &self,
        watcher: Watcher<D>,
        is_gone: impl FnOnce() -> bool,
    ) -> ListenerId {
        self.admit(is_gone, |list, id| list.any.push((id, Arc::new(watcher))))
    }

    fn admit(
        &self,
        is_gone: impl FnOnce() -> bool,
        enter: impl FnOnce(&mut List<D>, ListenerId),
    ) -> ListenerId {
        let mut list = self.lock();
        let id = ListenerId(list.next);
        list.next += 1;
        if is_gone() {
            drop(list); // Before the listener goes with `enter`: what it owns may be anything.
        } else {
            enter(&mut list, id);
        }
        id
    }

    /// Those who hear every event.
    pub(crate) fn any(&self) -> Vec<Arc<Watcher<D>>> {
        let list = self.lock();
        list.any
            .iter()
            .map(|(_, watcher)| Arc::clone(watcher))
            .collect()
    }

    /// Those who hear an event that has come; the ones that hear once are taken out.
    pub(crate) fn of(&self, event: &str) -> Vec<Arc<dyn Handler<D>>> {
        let mut list = self.lock();
        let Some(listeners) = list.events.get_mut(event) else {
            return Vec::new();
        };
        let heard = listeners
            .iter()
            .map(|listener| Arc::clone(&listener.handler))
            .collect();
        listeners.retain(|listener| listener.hears == Hears::Always);
        if listeners.is_empty() {
            list.events.remove(event);
        }
        heard
    }

    pub(crate) fn remove(&self, which: Which<'_>) {
        let mut list = self.lock();
        // What a listener owns is dropped outside the lock: it may be anything.
        let mut removed = Vec::new();
        let mut removed_any = Vec::new();
        match which {
            Which::All => {
                removed.extend(std::mem::take(&mut list.events).into_values());
                removed_any = std::mem::take(&mut list.any);
            }
            Which::Event(event) => removed.extend(list.events.remove(event)),
            Which::One(id) => {
                removed_any.extend(list.any.extract_if(.., |(one, _)| *one == id));
                for listeners in list.events.values_mut() {
                    removed.push(listeners.extract_if(.., |one| one.id == id).collect());
                }
                list.events.retain(|_, listeners| !listeners.is_empty());
            }
        }
        drop(list);
        drop((removed, removed_any));
    }
}
