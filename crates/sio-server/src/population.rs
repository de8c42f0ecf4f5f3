//! How many sockets there are in the whole cluster: what other nodes have said of theirs, and what is yet
//! to be said of those here.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use foldhash::fast::RandomState;
use sio_cluster::{Change, Crowd};

use crate::{
    cluster::{Cluster, Command},
    place::Place,
};

/// How many sockets of a room or a namespace there are on all nodes, from
/// [`Io::population`](crate::Io::population) and [`Io::room_population`](crate::Io::room_population).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Population {
    /// Sockets of other nodes, as far as they have said.
    pub elsewhere: u64,
    /// Sockets of this node.
    pub here: u64,
    /// Nodes of ours that are known to live and have not told all their counts: they have come just now,
    /// something they said was lost and they are being asked again, or they do not count. By name, as in
    /// [`ClusterStatus::peers`](crate::ClusterStatus::peers).
    pub uncounted: Vec<String>,
}

impl Population {
    /// Sockets of all nodes that have said how many they have.
    pub fn total(&self) -> u64 {
        self.here + self.elsewhere
    }
}

/// What other nodes have said.
#[derive(Default)]
pub(crate) struct Others(Mutex<State>);

#[derive(Default)]
struct State {
    namespaces: HashMap<Box<str>, Namespace, RandomState>,
    uncounted: Vec<String>,
}

#[derive(Default)]
struct Namespace {
    everybody: u64,
    rooms: HashMap<Box<str>, u64, RandomState>,
}

impl Others {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many are elsewhere, and whose sockets are not known.
    pub(crate) fn of(&self, namespace: &str, room: Option<&str>) -> (u64, Vec<String>) {
        let state = self.lock();
        let namespace = state.namespaces.get(namespace);
        let count = namespace.map_or(0, |namespace| match room {
            None => namespace.everybody,
            Some(room) => namespace.rooms.get(room).copied().unwrap_or(0),
        });
        (count, state.uncounted.clone())
    }

    pub(crate) fn change(&self, changes: Vec<Change>, uncounted: Vec<String>) {
        let mut state = self.lock();
        state.uncounted = uncounted;
        for Change { crowd, by } in changes {
            let Crowd { namespace, room } = crowd;
            let of = state.namespaces.entry(namespace.into()).or_default();
            match room {
                None => of.everybody = of.everybody.saturating_add_signed(by),
                Some(room) => {
                    let room = room.into_boxed_str();
                    let count = of.rooms.get(&room).copied().unwrap_or(0);
                    match count.saturating_add_signed(by) {
                        0 => of.rooms.remove(&room),
                        count => of.rooms.insert(room, count),
                    };
                }
            }
        }
        state
            .namespaces
            .retain(|_, namespace| namespace.everybody > 0 || !namespace.rooms.is_empty());
    }
}

/// Where in a namespace the number of sockets has changed since other nodes were told.
pub(crate) struct Unsaid {
    cluster: Arc<Cluster>,
    rooms: Mutex<HashSet<Option<Box<str>>, RandomState>>,
}

impl Unsaid {
    pub(crate) fn new(cluster: &Arc<Cluster>) -> Self {
        Self {
            cluster: Arc::clone(cluster),
            rooms: Mutex::default(),
        }
    }

    /// Somebody has come into a room or has left it; `None` is the namespace.
    pub(crate) fn note(&self, room: Option<&str>) {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if rooms.insert(room.map(Box::from)) && rooms.len() == 1 {
            drop(rooms);
            self.cluster.send(Command::Recount);
        }
    }

    /// How many there are now where that has changed.
    pub(crate) fn count(&self, place: &Place) -> Vec<(Crowd, u64)> {
        // Counting takes locks under which rooms are noted.
        let rooms = {
            let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *rooms)
        };
        let count = |room: Option<Box<str>>| {
            let count = match &room {
                None => place.len(),
                Some(room) => place.room_len(room),
            };
            let namespace = place.name().to_owned();
            let room = room.map(String::from);
            (Crowd { namespace, room }, count as u64)
        };
        rooms.into_iter().map(count).collect()
    }
}
