//! What other nodes need to take up the sessions of this one, over a stream that all of them read.
//!
//! Clients here do not wait for the stream, so what they have seen is no single place on it: it is all
//! that this node had read by then, and what it had itself said ([`Seen`]). That is the offset that they
//! are given. The node that a client comes to next reads on the stream what is missing between this and
//! what it has read and said itself, and goes on from there out of its own log.
//!
//! ```text
//!  1526919030474-55                                        as Node writes it: read, nothing said since
//!  1526919030474-55.6b26819dc9b66100.17.k3Zq0000000G       … with what was said, and the place in our log
//! ```

use std::{
    collections::{HashMap, VecDeque},
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use sio_cluster::{At, EntryId, Seen, Session, Stay};
use sio_packet::Offset;
use sio_rooms::RecoveryError;

use crate::{
    cluster::{Cluster, Command},
    memory::Claim,
};

pub(crate) struct Shared {
    cluster: Arc<Cluster>,
    namespace: Box<str>,
    max_away: Duration,
    /// How long after its client has gone a connection may be thought to live, and more.
    max_age: Duration,
    /// What clients here have been handed.
    seen: Seen,
    /// Where entries stand in our log, in order.
    places: VecDeque<(EntryId, u64)>,
    journals: HashMap<Arc<str>, Journal>,
    /// Clients that had seen more elsewhere than this node has read: it is not for them when it comes.
    ahead: Vec<(Arc<str>, Seen)>,
}

/// A session, with what is not to be found in our log.
struct Journal {
    session: Session,
    /// What had been handed out here when it came here.
    opened: Seen,
    /// Whether it began on another node.
    adopted: bool,
    away: bool,
    kept: Instant,
}

/// The last offset that a client has seen.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    /// A place on the stream, and perhaps one in the log of the node that gave it.
    Entry(Seen, Option<Offset>),
    /// A place in a log.
    Here(Offset),
}

/// Where it is to be found what a client has missed.
pub(crate) enum Source {
    /// In our log, after this position, or from the session's start here.
    Log(Option<u64>),
    /// On the stream, between the two, and then in our log.
    Stream(Seen, Seen, Box<Session>),
}

impl Said {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(offset) = Offset::parse(text) {
            return Some(Self::Here(offset));
        }
        if let Ok(id) = text.parse() {
            return Some(Self::Entry(Seen { id, own: None }, None));
        }
        let (seen, offset) = text.rsplit_once('.')?;
        let offset = Offset::parse(offset)?;
        let seen = match seen.strip_suffix('.') {
            Some(id) => Seen {
                id: id.parse().ok()?,
                own: None,
            },
            None => seen.parse().ok()?,
        };
        Some(Self::Entry(seen, Some(offset)))
    }
}

/// Rooms that a session has left are remembered, at most so many.
const MAX_LEFT: usize = 1024;

impl Shared {
    pub(crate) fn new(
        cluster: &Arc<Cluster>,
        namespace: &str,
        max_away: Duration,
        max_age: Duration,
    ) -> Self {
        Self {
            cluster: Arc::clone(cluster),
            namespace: namespace.into(),
            max_away,
            max_age,
            seen: Seen {
                id: cluster.read_of(namespace).unwrap_or_default(),
                own: None,
            },
            places: VecDeque::new(),
            journals: HashMap::new(),
            ahead: Vec::new(),
        }
    }

    // ---- the order of things ------------------------------------------------------------------

    /// The stream is read from after this entry.
    pub(crate) fn follow(&mut self, read: EntryId) {
        self.seen.id = self.seen.id.max(read);
    }

    /// An entry is about to be handed out: who must not hear it, having heard it elsewhere.
    pub(crate) fn told(&mut self, at: &At) -> Vec<String> {
        self.seen.id = self.seen.id.max(at.id);
        if self.ahead.is_empty() {
            return Vec::new();
        }
        let twice = self.ahead.iter().filter(|(_, seen)| seen.covers(at));
        let twice = twice.filter_map(|(pid, _)| self.journals.get(pid));
        let twice = twice.map(|journal| journal.session.sid.clone()).collect();
        self.ahead.retain(|(_, seen)| {
            let passed = |(uid, last): &(String, u64)| *uid == at.uid && at.seq > Some(*last);
            at.id <= seen.id || !seen.own.as_ref().is_none_or(passed)
        });
        twice
    }

    /// A packet of ours is about to be handed out, and to be told to the others under this number.
    pub(crate) fn said(&mut self, seq: u64) {
        self.seen.own = Some((self.cluster.uid().into(), seq));
    }

    /// An entry of ours has come back by the stream.
    pub(crate) fn confirmed(&mut self, at: &At) {
        self.seen.id = self.seen.id.max(at.id);
        if self
            .seen
            .own
            .as_ref()
            .is_some_and(|(_, last)| at.seq >= Some(*last))
        {
            self.seen.own = None;
        }
    }

    /// The offset of what is handed out now.
    pub(crate) fn offset(&mut self, place: Offset, is_entry: bool) -> Vec<u8> {
        let Seen { id, own } = &self.seen;
        let mut text = Vec::with_capacity(64);
        let written = match own {
            None if is_entry => {
                if self.places.back().is_none_or(|(last, _)| last < id) {
                    self.places.push_back((*id, place.position));
                }
                write!(text, "{id}")
            }
            None => write!(text, "{id}..{place}"),
            Some((uid, seq)) => write!(text, "{id}.{uid}.{seq}.{place}"),
        };
        debug_assert!(written.is_ok(), "a vector takes everything");
        text
    }

    // ---- sessions -----------------------------------------------------------------------------

    pub(crate) fn open(&mut self, pid: &Arc<str>, sid: &str, now: Instant) {
        let mut session = Session::default();
        session.pid = pid.as_ref().to_owned();
        session.sid = sid.to_owned();
        session.namespace = Some(self.namespace.as_ref().to_owned());
        session.start = Some(self.seen.clone());
        let journal = Journal {
            session,
            opened: self.seen.clone(),
            adopted: false,
            away: false,
            kept: now,
        };
        self.journals.insert(Arc::clone(pid), journal);
        self.keep(pid, now);
    }

    /// A session of another node is ours from now on; its client has not come yet.
    pub(crate) fn adopt(&mut self, mut session: Session, claim: &Claim, now: Instant) {
        if session.node.is_none() {
            // Node does not say since when it was in its rooms.
            let stay = |room: &String| Stay {
                room: room.clone(),
                from: Seen::default(),
                to: None,
            };
            session.stays = session.rooms.iter().map(stay).collect();
            session.namespace = Some(self.namespace.as_ref().to_owned());
        }
        if let Ok(Some(Said::Entry(seen, _))) = &claim.seen {
            session.seen = Some(seen.clone());
        }
        if let Some(seen) = &session.seen {
            self.ahead.push((Arc::clone(&claim.pid), seen.clone()));
        }
        let journal = Journal {
            session,
            opened: self.seen.clone(),
            adopted: true,
            away: true,
            kept: now,
        };
        self.journals.insert(Arc::clone(&claim.pid), journal);
    }

    pub(crate) fn join(&mut self, pid: &str, room: &str, now: Instant) {
        let Some(journal) = self.journals.get_mut(pid) else {
            return;
        };
        let stays = &mut journal.session.stays;
        if stays
            .iter()
            .any(|stay| stay.room == room && stay.to.is_none())
        {
            return;
        }
        stays.push(Stay {
            room: room.to_owned(),
            from: self.seen.clone(),
            to: None,
        });
        self.keep(pid, now);
    }

    pub(crate) fn leave(&mut self, pid: &str, room: &str, now: Instant) {
        let Some(journal) = self.journals.get_mut(pid) else {
            return;
        };
        let stays = &mut journal.session.stays;
        let stay = stays
            .iter_mut()
            .find(|stay| stay.room == room && stay.to.is_none());
        let Some(stay) = stay else {
            return;
        };
        stay.to = Some(self.seen.clone());
        // A client that had not seen it by now is not there any more.
        let age = u64::try_from(self.max_age.as_millis()).unwrap_or(u64::MAX);
        let old = self.seen.id.millis.saturating_sub(age);
        stays.retain(|stay| stay.to.as_ref().is_none_or(|to| to.id.millis >= old));
        if stays.iter().filter(|stay| stay.to.is_some()).count() > MAX_LEFT
            && let Some(oldest) = stays.iter().position(|stay| stay.to.is_some())
        {
            stays.remove(oldest);
        }
        self.keep(pid, now);
    }

    /// Its client is here again, or has gone.
    pub(crate) fn set_away(&mut self, pid: &str, away: bool, now: Instant) {
        if let Some(journal) = self.journals.get_mut(pid) {
            journal.away = away;
            self.keep(pid, now);
        }
    }

    /// A session has ended for good: nobody is to take it up.
    pub(crate) fn forget(&mut self, pid: &str) {
        if self.let_go(pid).is_some() {
            self.cluster.send(Command::ForgetSession(pid.into()));
        }
    }

    /// Another node has it.
    pub(crate) fn let_go(&mut self, pid: &str) -> Option<Session> {
        let journal = self.journals.remove(pid)?;
        self.ahead.retain(|(of, _)| **of != *pid);
        Some(journal.written())
    }

    /// Writes again what would be forgotten by others, and forgets what is not `known` here.
    pub(crate) fn sweep(&mut self, now: Instant, oldest: u64, known: impl Fn(&str) -> bool) {
        self.journals.retain(|pid, _| known(pid));
        let journals = &self.journals;
        self.ahead.retain(|(pid, _)| journals.contains_key(pid));
        let due = |journal: &Journal| {
            !journal.away && now.saturating_duration_since(journal.kept) > self.max_away / 2
        };
        let due = self.journals.iter().filter(|(_, journal)| due(journal));
        let due: Vec<_> = due.map(|(pid, _)| Arc::clone(pid)).collect();
        for pid in due {
            self.keep(&pid, now);
        }
        while self
            .places
            .front()
            .is_some_and(|(_, place)| *place < oldest)
        {
            self.places.pop_front();
        }
    }

    /// Writes a session, for other nodes to find.
    pub(crate) fn keep(&mut self, pid: &str, now: Instant) {
        if let Some(journal) = self.journals.get_mut(pid) {
            journal.kept = now;
            let lasts = match journal.away {
                true => self.max_away,
                // It is written again before this is over, also if that takes a moment.
                false => self.max_away.saturating_mul(2),
            };
            let session = Box::new(journal.written());
            self.cluster.send(Command::Keep { session, lasts });
        }
    }

    /// Where to look for what a client has missed. `log` is ours.
    pub(crate) fn whence(&self, claim: &Claim, log: u32) -> Result<Source, RecoveryError> {
        let said = claim.seen.as_ref().map_err(|()| RecoveryError::Offset)?;
        let position = match said {
            Some(Said::Here(offset) | Said::Entry(_, Some(offset))) => {
                (offset.log == log & LOG).then_some(offset.position)
            }
            _ => None,
        };
        let Some(journal) = self.journals.get(&claim.pid) else {
            return Ok(Source::Log(position));
        };
        if position.is_some() {
            return Ok(Source::Log(position));
        }
        let stream = |seen: &Seen| {
            if seen.id == EntryId::default() {
                // It came before the stream was there.
                return Err(RecoveryError::Trimmed);
            }
            let session = Box::new(journal.session.clone());
            Ok(Source::Stream(
                seen.clone(),
                journal.opened.clone(),
                session,
            ))
        };
        let seen = match said {
            Some(Said::Entry(seen, _)) => seen,
            _ if !journal.adopted => return Ok(Source::Log(None)),
            _ => {
                let start = journal.session.start.as_ref();
                return stream(start.ok_or(RecoveryError::Offset)?);
            }
        };
        let from_before = seen.id <= journal.opened.id
            || journal
                .session
                .seen
                .as_ref()
                .is_some_and(|before| before.id == seen.id);
        if from_before {
            return match journal.adopted {
                true => stream(seen),
                // Of an earlier session: it has seen nothing of this one.
                false => Ok(Source::Log(None)),
            };
        }
        let place = self.places.binary_search_by_key(&seen.id, |(id, _)| *id);
        match place {
            Ok(place) => Ok(Source::Log(Some(self.places[place].1))),
            Err(_) => Err(RecoveryError::Trimmed),
        }
    }
}

impl Journal {
    fn written(&self) -> Session {
        let mut session = self.session.clone();
        let rooms = session.stays.iter().filter(|stay| stay.to.is_none());
        let mut rooms: Vec<_> = rooms.map(|stay| stay.room.clone()).collect();
        rooms.retain(|room| *room != session.sid);
        rooms.insert(0, session.sid.clone());
        session.rooms = rooms;
        session
    }
}

/// The bits of a log's name that offsets carry.
const LOG: u32 = 0x00ff_ffff;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read_as_they_are_written() {
        let place = Offset {
            log: 7,
            position: 9,
        };
        for (text, seen, here) in [
            ("5-1", "5-1", None),
            (&*format!("5-1..{place}"), "5-1", Some(place)),
            (&*format!("5-1.ab.3.{place}"), "5-1.ab.3", Some(place)),
        ] {
            let Some(Said::Entry(read, offset)) = Said::parse(text) else {
                panic!("{text}");
            };
            assert_eq!((read.to_string(), offset), (seen.to_owned(), here));
        }
        assert!(matches!(Said::parse(&place.to_string()), Some(Said::Here(of)) if of == place));
        for wrong in ["", "5", "5-1.", "5-1.ab.3", "5-1.ab.x.k3Zq0000000G", "."] {
            assert!(Said::parse(wrong).is_none(), "{wrong}");
        }
    }
}
