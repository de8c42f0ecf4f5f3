//! [`Recovery`]: what those who were cut off have missed.
//!
//! Socket.IO calls it [connection state recovery]: a client whose connection broke comes back under the
//! same id, in the same rooms, and is sent what it missed meanwhile.
//!
//! # What is promised
//!
//! A session that is restored gets **every packet that was recorded for it, exactly once and in order**:
//! those it had not received when its connection broke, and those since. *For it* means what
//! [`Rooms`](crate::Rooms) would have reached: a packet to a room counts if the session was in the room
//! when it was recorded, whatever it has joined or left since. If a single one of them is kept no longer,
//! nothing is restored.
//!
//! # How to drive it
//!
//! The caller tells what happens, in the order in which it happens to the clients: whoever records a packet
//! and hands it to those who are there must let nobody in between. [`record`](Recovery::record)
//! returns a *position*, which travels with the packet; a packet that is not recorded (volatile)
//! carries [`position`](Recovery::position). The highest position that a client has seen says what it has
//! received.
//!
//! Methods in the usual families: facts; what happened ([`handle_timeout`](Recovery::handle_timeout));
//! commands; and what to do: [`poll_forgotten`](Recovery::poll_forgotten) until it is empty, then wait until
//! [`poll_timeout`](Recovery::poll_timeout). Time is an argument, and so are the ids
//! by which sessions are found: they are secrets, made from entropy by the caller.
//!
//! # Layout
//!
//! ```text
//!  sessions   id → { start, stays: [(room, from, to)], keepsake, live | away since … }
//!  history    packets with their numbers, indexed by room
//! ```
//!
//! A *stay* is a time in a room, told by positions. One that is over is kept while the history holds
//! a packet of it.
//!
//! [connection state recovery]: https://socket.io/docs/v4/connection-state-recovery

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::{Selection, history::History};

/// Bounds of a [`Recovery`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RecoveryLimits {
    /// How long a session may be away: two minutes.
    pub max_away: Duration,
    /// How long a packet is kept: as long as a session may be away, and as long as it may take to notice
    /// that it is: 45 s with Socket.IO's heartbeat.
    pub max_age: Duration,
    /// Packets that are kept: 100,000.
    pub max_packets: usize,
    /// Bytes of packets that are kept, with what it takes to keep them: 64 MiB.
    pub max_bytes: usize,
    /// Sessions, connected or away: 100,000. Above it those who have been away for longest are
    /// forgotten.
    pub max_sessions: usize,
}

impl Default for RecoveryLimits {
    fn default() -> Self {
        Self {
            max_away: Duration::from_secs(120),
            max_age: Duration::from_secs(165),
            max_packets: 100_000,
            max_bytes: 64 << 20,
            max_sessions: 100_000,
        }
    }
}

/// The sessions of a namespace, and the packets that one of them may have missed.
///
/// `P` is a packet, `S` what is kept of a session besides its rooms; neither is looked into.
///
/// ```
/// use std::time::{Duration, Instant};
/// use sio_rooms::{Recovery, RecoveryLimits, Selection};
///
/// let mut log = Recovery::new(RecoveryLimits::default(), 4); // a seed of real entropy
/// let now = Instant::now();
/// log.open("secret id", "ann", "what is kept of Ann");
/// log.join("secret id", "tea");
/// let tea = Selection::everyone().to("tea");
/// let seen = log.record(&tea, "first", 5, now);
///
/// log.depart("secret id", now); // Her connection broke.
/// log.record(&tea, "second", 6, now);
/// log.record(&Selection::everyone().to("coffee"), "not for her", 11, now);
/// assert_eq!((log.away(), log.packets()), (1, 2)); // Nobody is in that room.
///
/// let back = now + Duration::from_secs(60);
/// let restored = log.restore("secret id", Some(seen), 1_000_000, back)?;
/// assert_eq!(restored.missed, ["second"]);
/// log.forget("secret id"); // She left of her own will.
/// assert_eq!(log.poll_forgotten(), Some("what is kept of Ann"));
/// # Ok::<(), sio_rooms::RecoveryError>(())
/// ```
#[derive(Debug)]
pub struct Recovery<P, S> {
    limits: RecoveryLimits,
    history: History<P>,
    sessions: HashMap<Arc<str>, Session<S>, FixedState>,
    /// Sessions that went away, in that order; one that has come back since is skipped.
    away: VecDeque<(Instant, Arc<str>)>,
    /// What was kept of sessions that have ended.
    forgotten: Vec<S>,
}

#[derive(Debug)]
struct Session<S> {
    /// The position at which it began.
    start: u64,
    /// The position before which it cannot be told any more what it missed.
    blind: u64,
    /// Sorted by room, then by time. The last of a room may be open.
    stays: Vec<Stay>,
    /// At how many stays it is time to look which of them can be forgotten.
    crowded: usize,
    keepsake: S,
    away: Option<Away>,
}

#[derive(Debug)]
struct Away {
    since: Instant,
    /// The position at which it went: the client can have seen none above it.
    position: u64,
}

/// A time in a room: from the first position, up to and including the second.
#[derive(Debug)]
struct Stay {
    room: Arc<str>,
    from: u64,
    to: u64,
}

/// A session that is back.
#[derive(Debug)]
#[non_exhaustive]
pub struct Restored<P, S> {
    /// What was kept of it.
    pub keepsake: S,
    /// The rooms it was in, its own name among them.
    pub rooms: Vec<Arc<str>>,
    /// What it missed, in order.
    pub missed: Vec<P>,
}

/// Why a session was not restored. It is forgotten then, unless it is still connected.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryError {
    /// the session was away for too long
    #[error("the session was away for {away:?}, longer than {limit:?}")]
    Expired {
        /// How long it was away.
        away: Duration,
        /// [`RecoveryLimits::max_away`].
        limit: Duration,
    },
    /// the session is still connected
    #[error("the session is still connected")]
    Live,
    /// no packet with this offset was ever sent to the session
    #[error("no packet with this offset was ever sent to the session")]
    Offset,
    /// packets that were missed are kept no longer
    #[error("packets that were missed are kept no longer")]
    Trimmed,
    /// more was missed than can be sent at once
    #[error("{len} bytes were missed, more than {limit} that can be sent at once")]
    TooMuch {
        /// Bytes that were missed.
        len: usize,
        /// The limit given.
        limit: usize,
    },
    /// no session has this id: it left, was forgotten, or never was here
    #[error("no session has this id: it left, was forgotten, or never was here")]
    Unknown,
}

impl RecoveryError {
    /// All kinds, by their names.
    pub const NAMES: [&str; 6] = [
        "expired", "live", "offset", "trimmed", "too_much", "unknown",
    ];

    /// A name for it in metrics, one of [`NAMES`](Self::NAMES).
    pub const fn name(&self) -> &'static str {
        Self::NAMES[self.index()]
    }

    /// Where the name is in [`NAMES`](Self::NAMES).
    pub const fn index(&self) -> usize {
        match self {
            Self::Expired { .. } => 0,
            Self::Live => 1,
            Self::Offset => 2,
            Self::Trimmed => 3,
            Self::TooMuch { .. } => 4,
            Self::Unknown => 5,
        }
    }
}

impl<P: Clone, S: Clone> Recovery<P, S> {
    /// No sessions, no packets. With a `seed` from real entropy nobody outside can aim at the
    /// hash tables.
    pub fn new(limits: RecoveryLimits, seed: u64) -> Self {
        Self {
            limits,
            history: History::new(seed),
            sessions: HashMap::with_hasher(FixedState::with_seed(seed.rotate_left(32))),
            away: VecDeque::new(),
            forgotten: Vec::new(),
        }
    }

    // ---- facts --------------------------------------------------------------------------------

    /// The position of the newest packet, for packets that are not recorded.
    pub fn position(&self) -> u64 {
        self.history.head()
    }

    /// Whether there is no session, connected or away.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Sessions, connected or away.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Packets that are kept.
    pub fn packets(&self) -> usize {
        self.history.len()
    }

    /// Packets that were dropped so far, for their number, their bytes or their age.
    pub fn dropped(&self) -> u64 {
        self.history.dropped()
    }

    /// Sessions that are away.
    pub fn away(&self) -> usize {
        let away = |session: &&Session<S>| session.away.is_some();
        self.sessions.values().filter(away).count()
    }

    /// Bytes of packets that are kept, with what it takes to keep them.
    pub fn bytes(&self) -> usize {
        self.history.weight()
    }

    /// What is kept of a session that is connected.
    pub fn live(&self, id: &str) -> Option<&S> {
        let session = self.sessions.get(id)?;
        session.away.is_none().then_some(&session.keepsake)
    }

    /// Whether there is a session of this id, connected or away.
    pub fn contains(&self, id: &str) -> bool {
        self.sessions.contains_key(id)
    }

    // ---- what happened ------------------------------------------------------------------------

    /// Something was lost before it could be recorded, and nobody knows for whom it was: a session can
    /// be restored only if its client has seen a packet since.
    pub fn handle_loss(&mut self) {
        let next = self.history.head() + 1;
        for session in self.sessions.values_mut() {
            session.blind = next;
        }
    }

    /// Time has gone by: forgets what is too old.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((since, id)) = self.away.front() {
            let session = self.sessions.get(id);
            let current = session
                .and_then(|session| session.away.as_ref())
                .is_some_and(|away| away.since == *since);
            if current && now.saturating_duration_since(*since) <= self.limits.max_away {
                break;
            }
            let (_, id) = self.away.pop_front().expect("there is a first one");
            if current {
                self.forget(&id);
            }
        }
        while self
            .history
            .since()
            .is_some_and(|since| now.saturating_duration_since(since) > self.limits.max_age)
        {
            self.history.pop();
        }
    }

    // ---- commands -----------------------------------------------------------------------------

    /// A session begins, in the room of its own `name`. False if there are as many sessions as may
    /// be, and all are connected: it cannot be restored.
    pub fn open(&mut self, id: impl Into<Arc<str>>, name: &str, keepsake: S) -> bool {
        while self.sessions.len() >= self.limits.max_sessions {
            let Some((since, oldest)) = self.away.pop_front() else {
                return false;
            };
            let current = |session: &Session<S>| {
                session
                    .away
                    .as_ref()
                    .is_some_and(|away| away.since == since)
            };
            if self.sessions.get(&oldest).is_some_and(current) {
                self.forget(&oldest);
            }
        }
        let start = self.history.head();
        let own = Stay {
            room: self.history.enter(name),
            from: start,
            to: OPEN,
        };
        let session = Session {
            start,
            blind: start,
            stays: vec![own],
            crowded: CROWD,
            keepsake,
            away: None,
        };
        self.sessions.insert(id.into(), session);
        true
    }

    /// A session that is connected has joined a room.
    pub fn join(&mut self, id: &str, room: &str) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let end = session.end_of(room);
        if session.is_open(end, room) {
            return;
        }
        let stay = Stay {
            room: self.history.enter(room),
            from: self.history.head(),
            to: OPEN,
        };
        session.stays.insert(end, stay);
    }

    /// A session that is connected has left a room.
    pub fn leave(&mut self, id: &str, room: &str) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let end = session.end_of(room);
        if !session.is_open(end, room) {
            return;
        }
        session.stays[end - 1].to = self.history.head();
        let stay = &session.stays[end - 1];
        if !stay.is_needed(&self.history) && stay.is_whole(&self.history) {
            // As if it had never been: nothing was said.
            session.stays.remove(end - 1);
            self.history.forget(room);
        } else if session.stays.len() >= session.crowded {
            session.tidy(&mut self.history);
        }
    }

    /// Keeps a packet for those who may miss it, and returns the position that it carries. `len` is its
    /// size in bytes.
    pub fn record(&mut self, who: &Selection, packet: P, len: usize, now: Instant) -> u64 {
        if !self.sessions.is_empty() {
            self.history.push(who, packet, len, now);
            while self.history.len() > self.limits.max_packets
                || (self.history.weight() > self.limits.max_bytes && self.history.len() > 0)
                || self
                    .history
                    .since()
                    .is_some_and(|since| now.saturating_duration_since(since) > self.limits.max_age)
            {
                self.history.pop();
            }
        }
        self.history.head()
    }

    /// The connection of a session has ended, not by anybody's wish: it may be restored.
    pub fn depart(&mut self, id: &str, now: Instant) {
        let position = self.history.head();
        if let Some((id, session)) = self.sessions.get_key_value_mut(id)
            && session.away.is_none()
        {
            session.away = Some(Away {
                since: now,
                position,
            });
            self.away.push_back((now, Arc::clone(id)));
        }
    }

    /// A session has ended for good: it left, or was put out.
    pub fn forget(&mut self, id: &str) {
        let Some(session) = self.sessions.remove(id) else {
            return;
        };
        for stay in &session.stays {
            self.history.forget(&stay.room);
        }
        self.forgotten.push(session.keepsake);
        if self.sessions.is_empty() {
            self.history.clear();
            self.away = VecDeque::new();
            self.sessions.shrink_to_fit();
        }
    }

    /// Forgets all sessions that are away.
    pub fn forget_away(&mut self) {
        while let Some((_, id)) = self.away.pop_front() {
            if self.live(&id).is_none() {
                self.forget(&id);
            }
        }
    }

    /// A client asks for its session. `seen` is the highest position it has seen, `None` if none
    /// of this session; `limit` is how many bytes can be sent to it at once.
    ///
    /// # Errors
    ///
    /// See [`RecoveryError`]: all or nothing.
    pub fn restore(
        &mut self,
        id: &str,
        seen: Option<u64>,
        limit: usize,
        now: Instant,
    ) -> Result<Restored<P, S>, RecoveryError> {
        let session = self.sessions.get(id).ok_or(RecoveryError::Unknown)?;
        let Some(away) = &session.away else {
            return Err(RecoveryError::Live);
        };
        let missed = self.missed(session, away, seen, limit, now);
        let missed = missed.inspect_err(|_| self.forget(id))?;
        let session = self.sessions.get_mut(id).expect("it was there just now");
        session.away = None;
        let open = session.stays.iter().filter(|stay| stay.to == OPEN);
        Ok(Restored {
            keepsake: session.keepsake.clone(),
            rooms: open.map(|stay| Arc::clone(&stay.room)).collect(),
            missed,
        })
    }

    fn missed(
        &self,
        session: &Session<S>,
        away: &Away,
        seen: Option<u64>,
        limit: usize,
        now: Instant,
    ) -> Result<Vec<P>, RecoveryError> {
        let gone = now.saturating_duration_since(away.since);
        if gone > self.limits.max_away {
            return Err(RecoveryError::Expired {
                away: gone,
                limit: self.limits.max_away,
            });
        }
        if seen.is_some_and(|seen| seen > away.position) {
            return Err(RecoveryError::Offset);
        }
        // A client keeps what it saw last also of an earlier session.
        let seen = seen.map_or(session.start, |seen| seen.max(session.start));
        let mut numbers = session.covered(&self.history, seen)?;
        numbers.sort_unstable();
        numbers.dedup();
        let mut len = 0;
        let mut missed = Vec::with_capacity(numbers.len());
        for number in numbers {
            let entry = self
                .history
                .entry(number)
                .expect("trails hold what is kept");
            if !entry
                .who
                .exceptions()
                .any(|name| session.was_in(name, number))
            {
                len += entry.len;
                missed.push(entry.packet.clone());
            }
        }
        if len > limit {
            return Err(RecoveryError::TooMuch { len, limit });
        }
        Ok(missed)
    }

    // ---- what to do ---------------------------------------------------------------------------

    /// What was kept of a session that has ended: the caller lets go of it where that can do no harm.
    #[inline]
    pub fn poll_forgotten(&mut self) -> Option<S> {
        self.forgotten.pop()
    }

    /// When something will be too old, and [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let away = self
            .away
            .front()
            .and_then(|(since, _)| since.checked_add(self.limits.max_away));
        let packet = self
            .history
            .since()
            .and_then(|since| since.checked_add(self.limits.max_age));
        match (away, packet) {
            (Some(away), Some(packet)) => Some(away.min(packet)),
            (away, packet) => away.or(packet),
        }
    }
}

impl<S> Session<S> {
    /// Where the stays in a room end.
    fn end_of(&self, room: &str) -> usize {
        self.stays.partition_point(|stay| &*stay.room <= room)
    }

    /// Whether the last stay before `end` is one in `room`, and open.
    fn is_open(&self, end: usize, room: &str) -> bool {
        let last = end.checked_sub(1).map(|last| &self.stays[last]);
        last.is_some_and(|stay| &*stay.room == room && stay.to == OPEN)
    }

    /// Whether a packet of this number, to or except `room`, meant this session.
    fn was_in(&self, room: &str, number: u64) -> bool {
        let end = self.end_of(room);
        let stays = self.stays[..end].iter().rev();
        stays
            .take_while(|stay| &*stay.room == room)
            .any(|stay| stay.from < number && number <= stay.to)
    }

    /// The numbers of what was for this session's rooms since `seen`, exceptions included, in no order.
    fn covered<P>(&self, history: &History<P>, seen: u64) -> Result<Vec<u64>, RecoveryError> {
        if seen < self.blind {
            return Err(RecoveryError::Trimmed);
        }
        // From the first packet in question until now.
        let spares = |name: &str| self.was_in(name, seen + 1) && self.was_in(name, OPEN);
        if history.everyone().lost(spares) > seen {
            return Err(RecoveryError::Trimmed);
        }
        let mut numbers: Vec<_> = history.everyone().between(seen, OPEN).collect();
        for stay in self.stays.iter().filter(|stay| stay.to > seen) {
            let trail = history.trail(&stay.room).expect("a stay keeps its trail");
            let from = stay.from.max(seen);
            if trail.lost(spares) > from {
                return Err(RecoveryError::Trimmed);
            }
            numbers.extend(trail.between(from, stay.to));
        }
        Ok(numbers)
    }

    /// Forgets stays of which nothing is kept. What was lost of them cannot be told any more then, so
    /// the session has to have seen all of it.
    #[cold]
    fn tidy<P>(&mut self, history: &mut History<P>) {
        let blind = &mut self.blind;
        self.stays.retain(|stay| {
            if stay.to == OPEN || stay.is_needed(history) {
                return true;
            }
            if !stay.is_whole(history) {
                *blind = (*blind).max(stay.to);
            }
            history.forget(&stay.room);
            false
        });
        self.crowded = CROWD.max(2 * self.stays.len());
    }
}

impl Stay {
    /// Whether it matters to a packet that is kept.
    fn is_needed<P>(&self, history: &History<P>) -> bool {
        history.mentions(&self.room, self.from, self.to)
    }

    /// Whether nothing was lost of it.
    fn is_whole<P>(&self, history: &History<P>) -> bool {
        let trail = history.trail(&self.room);
        trail.is_none_or(|trail| trail.lost(|_| false) <= self.from)
    }
}

/// The end of a stay that is not over.
const OPEN: u64 = u64::MAX;

/// Stays beyond which it is looked which of them can be forgotten.
const CROWD: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_was_lost_before_it_was_recorded_may_have_been_for_any_session() {
        let (mut recovery, now) = (recovery(), Instant::now());
        for id in ["old", "new"] {
            recovery.open(id, id, ());
        }
        let before = recovery.record(&Selection::everyone(), 1, 10, now);
        recovery.handle_loss();
        let after = recovery.record(&Selection::everyone(), 2, 10, now);
        for (id, seen, restored) in [("old", before, false), ("new", after, true)] {
            recovery.depart(id, now);
            let result = recovery.restore(id, Some(seen), usize::MAX, now);
            assert_eq!(result.is_ok(), restored, "{id}");
        }
        recovery.open("later", "later", ());
        recovery.depart("later", now);
        assert!(recovery.restore("later", None, usize::MAX, now).is_ok());
    }

    fn to(name: &str) -> Selection {
        Selection::everyone().to(name)
    }

    fn recovery() -> Recovery<u32, ()> {
        Recovery::new(RecoveryLimits::default(), 0)
    }

    fn missed(recovery: &mut Recovery<u32, ()>, seen: Option<u64>, now: Instant) -> Vec<u32> {
        let restored = recovery.restore("p", seen, 1_000, now);
        restored.expect("it can be restored").missed
    }

    #[test]
    fn what_is_for_no_session_takes_neither_memory_nor_a_position() {
        let (mut recovery, now) = (recovery(), Instant::now());
        assert_eq!(recovery.record(&Selection::everyone(), 1, 10, now), 0);
        recovery.open("p", "ann", ());
        assert_eq!(recovery.record(&to("tea"), 2, 10, now), 0);
        assert_eq!(recovery.record(&to("ann"), 3, 10, now), 1);
        assert_eq!(recovery.packets(), 1);
        recovery.forget("p");
        assert_eq!((recovery.packets(), recovery.bytes()), (0, 0));
    }

    #[test]
    fn a_session_that_heard_nothing_for_hours_can_be_restored() {
        let (mut recovery, mut now) = (recovery(), Instant::now());
        recovery.open("p", "ann", ());
        recovery.open("q", "bob", ());
        recovery.join("p", "tea");
        assert_eq!(recovery.record(&to("ann"), 1, 10, now), 1);
        for _ in 0..100 {
            now += 60 * SECOND;
            // Ann talks to the room, and others are talked to.
            recovery.record(&to("tea").except("ann"), 2, 10, now);
            recovery.record(&to("bob"), 3, 10, now);
        }
        recovery.record(&to("tea"), 4, 10, now);
        recovery.depart("p", now);
        now += SECOND;
        assert_eq!(missed(&mut recovery, Some(1), now), [4]);
        // Once more, with nothing in between, and with nothing seen since.
        recovery.depart("p", now);
        assert_eq!(missed(&mut recovery, Some(1), now), [4]);
    }

    #[test]
    fn rooms_count_as_they_were_when_a_packet_was_sent() {
        let (mut recovery, now) = (recovery(), Instant::now());
        recovery.open("p", "ann", ());
        recovery.open("q", "bob", ());
        recovery.join("q", "tea");
        recovery.record(&to("tea"), 1, 10, now);
        recovery.join("p", "tea");
        recovery.record(&to("tea"), 2, 10, now);
        recovery.leave("p", "tea");
        recovery.record(&to("tea"), 3, 10, now);
        recovery.depart("p", now);
        assert_eq!(missed(&mut recovery, None, now), [2]);
    }

    #[test]
    fn limits_hold_at_n_and_not_above() {
        let limits = RecoveryLimits {
            max_away: 10 * SECOND,
            max_packets: 2,
            max_sessions: 2,
            ..RecoveryLimits::default()
        };
        let (mut recovery, start) = (Recovery::new(limits, 0), Instant::now());
        for (away, result) in [(9, Ok(())), (10, Ok(())), (11, Err(()))] {
            recovery.open("p", "ann", ());
            recovery.depart("p", start);
            let restored = recovery.restore("p", None, 0, start + away * SECOND);
            assert_eq!(restored.map(drop).map_err(drop), result, "{away}");
            recovery.forget("p");
        }
        for (packets, result) in [(1, Ok(())), (2, Ok(())), (3, Err(RecoveryError::Trimmed))] {
            recovery.open("p", "ann", ());
            for _ in 0..packets {
                recovery.record(&to("ann"), 1, 10, start);
            }
            assert_eq!(recovery.packets(), packets.min(2));
            recovery.depart("p", start);
            let restored = recovery.restore("p", None, 1_000, start).map(drop);
            assert_eq!(restored, result, "{packets}");
            recovery.forget("p");
        }
        for (limit, result) in [
            (19, Err(RecoveryError::TooMuch { len: 20, limit: 19 })),
            (20, Ok(())),
            (21, Ok(())),
        ] {
            recovery.open("p", "ann", ());
            recovery.record(&to("ann"), 1, 10, start);
            recovery.record(&to("ann"), 1, 10, start);
            recovery.depart("p", start);
            let restored = recovery.restore("p", None, limit, start).map(drop);
            assert_eq!(restored, result, "{limit}");
            recovery.forget("p");
        }
        assert!(recovery.open("p", "ann", ()) && recovery.open("q", "bob", ()));
        assert!(!recovery.open("r", "eve", ()), "all are connected");
        recovery.depart("p", start);
        assert!(recovery.open("r", "eve", ()));
        let restored = recovery.restore("p", None, 0, start).map(drop);
        assert_eq!(restored, Err(RecoveryError::Unknown));
    }

    #[test]
    fn an_offset_of_the_future_is_refused_and_one_of_an_earlier_session_is_none() {
        let (mut recovery, now) = (recovery(), Instant::now());
        recovery.open("q", "bob", ());
        recovery.record(&Selection::everyone(), 1, 10, now);
        recovery.open("p", "ann", ());
        recovery.record(&Selection::everyone(), 2, 10, now);
        recovery.depart("p", now);
        recovery.record(&Selection::everyone(), 3, 10, now);
        assert_eq!(missed(&mut recovery, Some(1), now), [2, 3]);
        recovery.depart("p", now);
        assert_eq!(missed(&mut recovery, Some(0), now), [2, 3]);
        recovery.depart("p", now);
        let restored = recovery.restore("p", Some(4), 1_000, now).map(drop);
        assert_eq!(restored, Err(RecoveryError::Offset));
    }

    #[test]
    fn rooms_joined_and_left_for_ever_leave_nothing_behind() {
        let (mut recovery, now) = (recovery(), Instant::now());
        recovery.open("p", "ann", ());
        for i in 0..10_000 {
            let room = format!("room {i}");
            recovery.join("p", &room);
            if i % 2 == 0 {
                recovery.record(&to(&room), i, 10, now + SECOND * i);
            }
            recovery.leave("p", &room);
        }
        let stays = recovery.sessions["p"].stays.len();
        assert!(stays < 400, "{stays}");
    }
}
