//! Clients that ask this node for a session that another one had.
//!
//! ```text
//!  take ── GET, DEL ──▶ taken ── a node of ours had it, and hears ──▶ fenced ── it has let go ──▶ ours
//!                         │                                              │
//!                         ├── nobody had it, or who had is gone ──────────────────────────────▶ ours
//!                         └── no such session                            └── no answer ──▶ nobody's
//! ```
//!
//! Whoever takes what is written has it alone. Whether the node that had it is there is told by the
//! broker, which counts who listens to its channel: one that was killed is not waited for. If it was cut off
//! only, and comes back, it is told to let go then; and since it may have written of the session meanwhile,
//! that is written again.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use crate::{Session, pending::Request};

/// How long an answer is waited for; a client waits for it as well.
const PATIENCE: Duration = Duration::from_secs(2);

/// All that go on.
#[derive(Debug, Default)]
pub(crate) struct Claims(HashMap<u64, Claim>);

#[derive(Debug)]
struct Claim {
    deadline: Instant,
    step: Step,
}

#[derive(Debug)]
pub(crate) enum Step {
    /// Somebody else has to let go of it first.
    Fence(Box<Session>),
    /// Entries are being read, for a namespace.
    Read(String),
    /// A node is back from which the session of this secret was taken while it was not there.
    Recall(String),
    /// What is written is being taken.
    Take,
}

impl Claims {
    pub(crate) fn open(&mut self, number: u64, step: Step, now: Instant) {
        let deadline = now + PATIENCE;
        self.0.insert(number, Claim { deadline, step });
    }

    pub(crate) fn close(&mut self, request: Request) -> Option<Step> {
        Some(self.0.remove(&request.0)?.step)
    }

    /// Goes on with another step, within the time that there was.
    pub(crate) fn go_on(&mut self, request: Request, step: Step) {
        if let Some(claim) = self.0.get_mut(&request.0) {
            claim.step = step;
        }
    }

    pub(crate) fn step(&self, request: Request) -> Option<&Step> {
        Some(&self.0.get(&request.0)?.step)
    }

    /// One whose time is over.
    pub(crate) fn overdue(&self, now: Instant) -> Option<Request> {
        let mut claims = self.0.iter();
        let overdue = claims.find(|(_, claim)| claim.deadline <= now);
        overdue.map(|(number, _)| Request(*number))
    }

    pub(crate) fn any(&self) -> Option<Request> {
        self.0.keys().next().map(|number| Request(*number))
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.0.values().map(|claim| claim.deadline).min()
    }
}

/// Sessions that are remembered to have been taken from nodes that were not there.
const MAX_TAKEN: usize = 16_384;

/// What was taken from nodes that were not there: their names and the sessions' secrets, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Taken(VecDeque<(String, String)>);

impl Taken {
    pub(crate) fn push(&mut self, uid: String, pid: String) {
        if self.0.len() == MAX_TAKEN {
            self.0.pop_front();
        }
        self.0.push_back((uid, pid));
    }

    /// Those of a node.
    pub(crate) fn take(&mut self, uid: &str) -> Vec<String> {
        let all = std::mem::take(&mut self.0);
        let (of, others) = all
            .into_iter()
            .partition::<Vec<_>, _>(|(from, _)| from == uid);
        self.0 = others.into();
        of.into_iter().map(|(_, pid)| pid).collect()
    }
}
