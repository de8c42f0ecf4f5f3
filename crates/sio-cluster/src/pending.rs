//! Questions that wait for their answers.

use std::{
    collections::{BTreeSet, HashMap},
    time::Instant,
};

use crate::{
    classic::Asked,
    message::{Answer, Question},
    node::Missing,
};

/// The question of one node to the others.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Request(pub(crate) u64);

/// All questions that wait.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    open: HashMap<u64, Open>,
    deadlines: BTreeSet<(Instant, u64)>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) asked: Asked,
    deadline: Instant,
    /// How many nodes are to answer, once that is known.
    pub(crate) expected: Option<usize>,
    /// How many have.
    heard: usize,
    /// Those of them that have said their names.
    names: Vec<String>,
    /// Acks that were announced, and acks that came.
    clients: u64,
    acks: u64,
    /// Whether a client's ack may come that nobody announced, as Python's do.
    pub(crate) unannounced: bool,
    /// Whether the question itself has to come back by the broker.
    pub(crate) awaits_own: bool,
}

impl Pending {
    pub(crate) fn open(&mut self, number: u64, question: &Question, deadline: Instant) {
        let asked = match question {
            Question::Emit(_) => Asked::Emit,
            Question::Rooms => Asked::Rooms,
            Question::ServerEmit(_) => Asked::ServerEmit,
            Question::SocketIds(_) => Asked::SocketIds,
            _ => Asked::Fetch,
        };
        self.deadlines.insert((deadline, number));
        self.open.insert(
            number,
            Open {
                asked,
                deadline,
                expected: None,
                heard: 0,
                names: Vec::new(),
                clients: 0,
                acks: 0,
                unannounced: false,
                awaits_own: false,
            },
        );
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Open> {
        self.open.get_mut(&number)
    }

    pub(crate) fn asked(&self, number: u64) -> Option<Asked> {
        self.open.get(&number).map(|open| open.asked)
    }

    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.open.keys().copied().collect()
    }

    pub(crate) fn remove(&mut self, number: u64) -> Option<Open> {
        let open = self.open.remove(&number)?;
        self.deadlines.remove(&(open.deadline, number));
        Some(open)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// A question whose time is over.
    pub(crate) fn overdue(&self, now: Instant) -> Option<u64> {
        let (deadline, number) = self.deadlines.first()?;
        (*deadline <= now).then_some(*number)
    }
}

impl Open {
    /// An answer came: whether it is to be passed on. A node that has answered has no second one.
    pub(crate) fn hear(&mut self, from: Option<&str>, answer: &Answer) -> bool {
        if let Answer::Ack(_) = answer {
            self.acks += 1;
            return true;
        }
        if let Some(from) = from {
            if self.names.iter().any(|name| name == from) {
                return false;
            }
            self.names.push(from.to_owned());
        }
        self.heard += 1;
        if let Answer::Clients(count) = answer {
            self.clients = self.clients.saturating_add(*count);
        }
        true
    }

    /// A node that was counted has gone: it is not waited for.
    pub(crate) fn lose(&mut self, uid: &str) {
        if !self.names.iter().any(|name| name == uid)
            && let Some(expected) = &mut self.expected
        {
            *expected = expected.saturating_sub(1).max(self.heard);
        }
    }

    /// Whether nothing is left to wait for.
    pub(crate) fn is_done(&self) -> bool {
        let all_nodes = self.expected.is_some_and(|expected| self.heard >= expected);
        let all_acks = match self.asked {
            Asked::Emit if self.unannounced && self.clients == 0 => self.acks > 0,
            Asked::Emit => self.acks >= self.clients,
            _ => true,
        };
        all_nodes && all_acks && !self.awaits_own
    }

    /// Who has not answered: by name as far as names are known, the others by their number.
    pub(crate) fn missing<'a>(&self, peers: impl Iterator<Item = &'a str>) -> Missing {
        let nodes = match self.expected {
            Some(expected) => expected.saturating_sub(self.heard),
            None => usize::MAX,
        };
        let silent = peers.filter(|peer| !self.names.iter().any(|name| name == peer));
        let names: Vec<_> = silent.take(nodes).map(str::to_owned).collect();
        Missing {
            unnamed: match self.expected {
                Some(_) => nodes - names.len(),
                None => 0,
            },
            nodes: names,
            uncounted: self.expected.is_none(),
            acks: self.clients.saturating_sub(self.acks),
        }
    }
}
