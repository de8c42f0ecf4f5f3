//! What a namespace remembers of its sessions, so that a client whose connection broke can go on where
//! it was: connection state recovery, over the log of `sio-rooms`.
//!
//! With it, one lock per namespace stands around everything that the log has to see in the order in which
//! clients see it: an emit and its walk, a join, a leave, the coming and going of a socket. It is
//! taken before the parts of the index; no code of the application runs under it, except that of a
//! [`Parser`](crate::Parser). Without it there is no [`Memory`], and nothing of this is paid for.
//!
//! A client that comes back while its old connection is not known to be dead has that one closed first
//! ([`fence`]): what was under way on it is what it missed. So there are never two sockets of one session.

use std::{
    ops::{Deref, DerefMut},
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use eio_transport::{Parcel, Reason, Revision};
use serde::Deserialize;
use sio_cluster::{At, Emit, EntryId, Past, Seen, Session};
use sio_packet::{Offset, WriteError, read_auth, write_with_offset_text};
use sio_rooms::{Recovery, RecoveryError, RecoveryLimits};
use tokio::sync::oneshot;
use ws_frame::{Header, OpCode, write_frame};

use crate::{
    clock,
    cluster::Cluster,
    config::{self, Config},
    conn::{Command, Form},
    entropy,
    error::DisconnectReason,
    frames::Frames,
    hub::Hub,
    member,
    place::Place,
    shared::{Said, Shared, Source},
    socket::{AnySocket, SocketId},
    turn,
};

/// The sessions of one namespace.
pub(crate) struct Memory {
    /// The other nodes, if they can take up sessions.
    cluster: Option<Arc<Cluster>>,
    /// Which log offsets are of.
    log: u32,
    /// Bytes that a client can be sent when it comes back.
    limit: usize,
    recovery: Mutex<Log>,
    /// The server ends: who goes now does not come back.
    closed: AtomicBool,
}

/// What has happened, in the order in which clients have seen it.
pub(crate) struct Log {
    recovery: Recovery<Arc<Parcel>, Kept>,
    /// What other nodes need to take up sessions, if they can.
    shared: Option<Shared>,
}

/// What a namespace remembers of its sessions at the moment. From [`Io::recovery`](crate::Io::recovery).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryStatus {
    /// Sessions, connected or away.
    pub sessions: usize,
    /// Sessions whose client is away and may come back.
    pub away: usize,
    /// Packets that are kept.
    pub packets: usize,
    /// Bytes of them, with what it takes to keep them.
    pub bytes: usize,
    /// Packets that were kept once and are no longer, for their number, their bytes or their age.
    pub dropped: u64,
}

/// What is kept of a session.
#[derive(Clone)]
pub(crate) struct Kept {
    pub(crate) id: SocketId,
    /// Its first socket, which owns the data.
    first: Arc<dyn AnySocket>,
}

/// What ties a socket to its session.
pub(crate) struct Tie {
    /// The secret by which the client asks for the session.
    pub(crate) pid: Arc<str>,
    /// Whether it was restored: not if nobody asked.
    pub(crate) recovered: Result<bool, RecoveryError>,
}

/// How a socket goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Going {
    /// Its connection broke; it may come back.
    Away,
    /// It left, or was put out.
    ForGood,
}

/// A client that asks for its session.
#[derive(Clone)]
pub(crate) struct Claim {
    pub(crate) pid: Arc<str>,
    /// The offset it saw last; `Err` if that is none.
    pub(crate) seen: Result<Option<Said>, ()>,
    /// What it has missed according to the stream, once that is known, if it is to be looked for there.
    missed: Arc<OnceLock<Result<Vec<Arc<Parcel>>, RecoveryError>>>,
}

impl Claim {
    /// What the payload of a CONNECT says of it.
    pub(crate) fn of(auth: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Asked {
            pid: Option<String>,
            offset: Option<serde_json::Value>,
        }

        let asked: Asked = read_auth(auth).ok()?;
        let seen = match asked.offset {
            None => Ok(None),
            Some(serde_json::Value::String(text)) => Said::parse(&text).map(Some).ok_or(()),
            Some(_) => Err(()),
        };
        Some(Self {
            pid: asked.pid?.into(),
            seen,
            missed: Arc::default(),
        })
    }
}

impl Going {
    pub(crate) const fn of(reason: DisconnectReason) -> Self {
        match reason {
            // What the client broke is not to be taken up again.
            DisconnectReason::Connection(Reason::ParseError) => Self::ForGood,
            DisconnectReason::Connection(_) => Self::Away,
            DisconnectReason::ClientNamespaceDisconnect
            | DisconnectReason::ServerNamespaceDisconnect => Self::ForGood,
        }
    }
}

impl Memory {
    /// The memory of a namespace, if there is to be one.
    pub(crate) fn new(
        config: &Config,
        namespace: &str,
        cluster: Option<&Arc<Cluster>>,
    ) -> Option<Self> {
        let recovery: &config::Recovery = config.recovery.as_ref()?;
        let max_away = recovery.max_disconnection_duration;
        let engine = &config.engine;
        let unnoticed = engine.ping_interval.saturating_add(engine.ping_timeout);
        let limits = RecoveryLimits {
            max_away,
            max_age: max_away.saturating_add(unnoticed),
            max_packets: recovery.max_packets,
            max_bytes: recovery.max_bytes,
            max_sessions: recovery.max_sessions,
        };
        let cluster = cluster.filter(|cluster| cluster.shares_sessions());
        let max_age = limits.max_age;
        let shared = cluster.map(|cluster| Shared::new(cluster, namespace, max_away, max_age));
        Some(Self {
            cluster: cluster.cloned(),
            log: u32::from_ne_bytes(entropy::bytes()) >> 8,
            limit: config.max_queued_bytes / 2,
            recovery: Mutex::new(Log {
                recovery: Recovery::new(limits, u64::from_ne_bytes(entropy::bytes())),
                shared,
            }),
            closed: AtomicBool::new(false),
        })
    }

    /// Runs `f` under the lock. What it makes the log forget is dropped after that: it may be the
    /// application's.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Log) -> R) -> R {
        let mut recovery = self.recovery.lock().unwrap_or_else(PoisonError::into_inner);
        let result = f(&mut recovery);
        if self.closed.load(Ordering::SeqCst) {
            recovery.recovery.forget_away();
        }
        let mut forgotten = Vec::new();
        while let Some(kept) = recovery.recovery.poll_forgotten() {
            forgotten.push(kept);
        }
        drop(recovery);
        drop(forgotten);
        result
    }

    pub(crate) fn status(&self) -> RecoveryStatus {
        self.with(|recovery| RecoveryStatus {
            sessions: recovery.len(),
            away: recovery.away(),
            packets: recovery.packets(),
            bytes: recovery.bytes(),
            dropped: recovery.dropped(),
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.with(|recovery| recovery.is_empty())
    }

    /// Whether other nodes can take up sessions.
    pub(crate) fn is_shared(&self) -> bool {
        self.cluster.is_some()
    }

    /// The frames of an event as they are sent, but for their offset, where that has a length that is known
    /// before the position is: what takes time is done before the lock is taken.
    pub(crate) fn prepare(&self, frames: &Frames) -> Option<Stamped> {
        let is_fixed = self.cluster.is_none();
        is_fixed.then(|| Stamped::new(frames, &[b'-'; Offset::LEN]))
    }

    /// The frames of an event, which may have been [prepared](Self::prepare), with the offset of what has this
    /// position in the log, and is perhaps an entry of the stream.
    pub(crate) fn stamp(
        &self,
        log: &mut Log,
        frames: &Frames,
        prepared: Option<Stamped>,
        position: u64,
        is_entry: bool,
    ) -> Vec<u8> {
        let offset = Offset {
            log: self.log,
            position,
        };
        match (prepared, &mut log.shared) {
            (Some(prepared), None) => prepared.with(&offset.to_text()),
            (None, None) => stamp(frames, &offset.to_text()),
            (_, Some(shared)) => stamp(frames, &shared.offset(offset, is_entry)),
        }
    }

    /// Makes a client that was admitted a socket: that of the session it asks for, or a new one.
    /// `enter` tells it so, sends it what it missed, and makes it a member of its rooms, unless its
    /// connection has ended.
    pub(crate) fn seat(
        &self,
        admitted: &Arc<dyn AnySocket>,
        claim: Option<Claim>,
        mut enter: impl FnMut(&Arc<dyn AnySocket>, Option<&str>, &[Arc<Parcel>], &[Arc<str>]) -> bool,
    ) -> Option<Arc<dyn AnySocket>> {
        self.with(|recovery| {
            let mut recovered = Ok(false);
            if let Some(claim) = claim {
                match self.restore(recovery, &claim) {
                    Ok(restored) => {
                        let core = admitted.core();
                        let Kept { id, first } = restored.keepsake;
                        let socket = first.continued(Arc::clone(&core.conn), core.auth(), id);
                        socket.core().tie(Tie {
                            pid: Arc::clone(&claim.pid),
                            recovered: Ok(true),
                        });
                        let pid = Some(&*claim.pid);
                        let entered = enter(&socket, pid, &restored.missed, &restored.rooms);
                        if !entered {
                            recovery.depart(&claim.pid, clock::now());
                            return None;
                        }
                        core.conn.shard().tally.recovery(Ok(()));
                        if let Some(shared) = &mut recovery.shared {
                            shared.set_away(&claim.pid, false, clock::now());
                        }
                        return Some(socket);
                    }
                    Err(error) => {
                        admitted.core().conn.shard().tally.recovery(Err(error));
                        tracing::debug!(%error, "a session was not recovered");
                        recovered = Err(error);
                    }
                }
            }
            let pid = new_pid();
            let core = admitted.core();
            let kept = Kept {
                id: core.id.clone(),
                first: Arc::clone(admitted),
            };
            let name = Arc::clone(&pid);
            // Protocol 4 has no recovery.
            let opened =
                core.conn.revision == Revision::V4 && recovery.open(name, core.id.as_ref(), kept);
            core.tie(Tie {
                pid: Arc::clone(&pid),
                recovered,
            });
            let entered = enter(admitted, opened.then_some(&*pid), &[], &[]);
            if !entered {
                recovery.forget_for_good(&pid);
            }
            entered.then(|| Arc::clone(admitted))
        })
    }

    fn restore(
        &self,
        recovery: &mut Log,
        claim: &Claim,
    ) -> Result<sio_rooms::Restored<Arc<Parcel>, Kept>, RecoveryError> {
        // Looked for elsewhere already: what the stream had, and what the log has had since.
        if let Some(missed) = claim.missed.get() {
            let missed = missed.clone();
            let missed = missed.inspect_err(|_| recovery.forget_for_good(&claim.pid))?;
            let len: usize = missed.iter().map(|parcel| parcel.len()).sum();
            let limit = self.limit.saturating_sub(len);
            let mut restored = recovery.restore(&claim.pid, None, limit, clock::now())?;
            restored.missed.splice(..0, missed);
            return Ok(restored);
        }
        let position = match &recovery.shared {
            Some(shared) => match shared.whence(claim, self.log) {
                Ok(Source::Log(position)) => position,
                Ok(Source::Stream(..)) => return Err(RecoveryError::Trimmed),
                Err(error) => {
                    recovery.forget_for_good(&claim.pid);
                    return Err(error);
                }
            },
            None => match &claim.seen {
                // An offset of another log is older than the session: it has seen nothing of this one.
                Ok(Some(Said::Here(seen))) => (seen.log == self.log).then_some(seen.position),
                Ok(None) => None,
                Ok(Some(Said::Entry(..))) | Err(()) => {
                    recovery.forget(&claim.pid);
                    return Err(RecoveryError::Offset);
                }
            },
        };
        recovery.restore(&claim.pid, position, self.limit, clock::now())
    }
}

impl Deref for Log {
    type Target = Recovery<Arc<Parcel>, Kept>;

    fn deref(&self) -> &Self::Target {
        &self.recovery
    }
}

impl DerefMut for Log {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.recovery
    }
}

/// What is shared hears of what happens to sessions.
impl Log {
    fn open(&mut self, pid: Arc<str>, sid: &str, kept: Kept) -> bool {
        let opened = self.recovery.open(Arc::clone(&pid), sid, kept);
        if let (true, Some(shared)) = (opened, &mut self.shared) {
            shared.open(&pid, sid, clock::now());
        }
        opened
    }

    pub(crate) fn join(&mut self, pid: &str, room: &str) {
        self.recovery.join(pid, room);
        if let Some(shared) = &mut self.shared {
            shared.join(pid, room, clock::now());
        }
    }

    pub(crate) fn leave(&mut self, pid: &str, room: &str) {
        self.recovery.leave(pid, room);
        if let Some(shared) = &mut self.shared {
            shared.leave(pid, room, clock::now());
        }
    }

    pub(crate) fn depart(&mut self, pid: &str, now: Instant) {
        self.recovery.depart(pid, now);
        if let Some(shared) = &mut self.shared {
            shared.set_away(pid, true, now);
        }
    }

    /// A session has ended, everywhere.
    pub(crate) fn forget_for_good(&mut self, pid: &str) {
        self.recovery.forget(pid);
        if let Some(shared) = &mut self.shared {
            shared.forget(pid);
        }
    }

    /// What other nodes find of a session is written again, if it is here.
    pub(crate) fn rewrite(&mut self, pid: &str) {
        if let Some(shared) = &mut self.shared {
            shared.keep(pid, clock::now());
        }
    }

    /// Another node has the session.
    pub(crate) fn let_go(&mut self, pid: &str) -> Option<Session> {
        self.recovery.forget(pid);
        self.shared.as_mut()?.let_go(pid)
    }

    /// A session of another node is one of ours from now on, and waits for its client. False if there
    /// are too many.
    fn adopt(&mut self, session: Session, claim: &Claim, admitted: &Arc<dyn AnySocket>) -> bool {
        let now = clock::now();
        if self.recovery.live(&claim.pid).is_some() {
            return false; // Somebody was quicker.
        }
        self.let_go(&claim.pid);
        let kept = Kept {
            id: SocketId::Session(session.sid.as_str().into()),
            first: Arc::clone(admitted),
        };
        if !self
            .recovery
            .open(Arc::clone(&claim.pid), &session.sid, kept)
        {
            return false;
        }
        for room in session.rooms.iter().filter(|room| **room != session.sid) {
            self.recovery.join(&claim.pid, room);
        }
        self.recovery.depart(&claim.pid, now);
        if let Some(shared) = &mut self.shared {
            shared.adopt(session, claim, now);
        }
        true
    }

    /// Writes a session again that was taken from ourselves.
    fn keep(&mut self, pid: &str) {
        if let Some(shared) = &mut self.shared {
            shared.keep(pid, clock::now());
        }
    }

    pub(crate) fn told(&mut self, at: &At) -> Vec<String> {
        let shared = self.shared.as_mut();
        shared.map_or_else(Vec::new, |shared| shared.told(at))
    }

    pub(crate) fn said(&mut self, seq: u64) {
        if let Some(shared) = &mut self.shared {
            shared.said(seq);
        }
    }

    pub(crate) fn follow(&mut self, read: EntryId) {
        if let Some(shared) = &mut self.shared {
            shared.follow(read);
        }
    }

    pub(crate) fn confirmed(&mut self, at: &At) {
        if let Some(shared) = &mut self.shared {
            shared.confirmed(at);
        }
    }

    fn sweep(&mut self, now: Instant) {
        self.recovery.handle_timeout(now);
        let Self { recovery, shared } = self;
        if let Some(shared) = shared {
            let oldest = recovery.position() - recovery.packets() as u64;
            shared.sweep(now, oldest, |pid| recovery.contains(pid));
        }
    }
}

/// The frames of an event, with an offset as its last argument, in an allocation of their size.
pub(crate) fn stamp(frames: &Frames, offset: &[u8]) -> Vec<u8> {
    Stamped::new(frames, offset).frames
}

/// The frames of an event with an offset as its last argument.
pub(crate) struct Stamped {
    frames: Vec<u8>,
    /// Where the offset begins.
    at: usize,
}

impl Stamped {
    fn new(frames: &Frames, offset: &[u8]) -> Self {
        let mut slices = frames.slices();
        // The text stands whole in front of everything that lies elsewhere.
        let first = slices.next().unwrap_or_default();
        let Ok(Some((header, head))) = Header::parse(first) else {
            let frames = frames.joined().into_owned();
            return Self {
                at: frames.len(),
                frames,
            };
        };
        let end = usize::try_from(header.len).map_or(first.len(), |payload| head + payload);
        let (event, attachments) = (&first[head..end], &first[end..]);
        let len = event.len() + Offset::AROUND + offset.len();
        let head = Header::new(OpCode::Text, len as u64).size();
        let mut stamped = Vec::with_capacity(head + len + frames.len() - end);
        write_frame(&mut stamped, OpCode::Text, len, |text| {
            write_with_offset_text(text, event, offset);
        });
        // Behind it stand a quote and a bracket.
        let at = stamped.len() - 2 - offset.len();
        stamped.extend_from_slice(attachments);
        slices.for_each(|slice| stamped.extend_from_slice(slice));
        Self {
            frames: stamped,
            at,
        }
    }

    /// The frames with another offset of the same length.
    fn with(mut self, offset: &[u8]) -> Vec<u8> {
        if let Some(place) = self.frames.get_mut(self.at..self.at + offset.len()) {
            place.copy_from_slice(offset);
        }
        self.frames
    }
}

/// Gets from other nodes what is not here of a session that a client asks for.
pub(crate) async fn fetch(place: &Place, claim: &Claim, admitted: &Arc<dyn AnySocket>) {
    let Some(memory) = place.memory() else { return };
    let Some(cluster) = &memory.cluster else {
        return;
    };
    // What is written is asked for also if the session is known here: it may have been elsewhere since.
    match cluster.take(&claim.pid).await {
        Some(session) if session.node.as_deref() == Some(cluster.uid()) => {
            memory.with(|log| log.keep(&claim.pid));
        }
        Some(session) => {
            let is_this = session.pid == *claim.pid
                && session.sid.len() <= MAX_SID
                && session
                    .namespace
                    .as_deref()
                    .is_none_or(|of| of == place.name());
            if !is_this || !memory.with(|log| log.adopt(*session, claim, admitted)) {
                return;
            }
        }
        None => {}
    }
    if !memory.with(|log| log.contains(&claim.pid)) {
        return;
    }
    let whence = memory.with(|log| {
        let shared = log.shared.as_ref();
        shared.map(|shared| shared.whence(claim, memory.log))
    });
    let missed = match whence {
        Some(Ok(Source::Stream(seen, until, session))) => {
            match cluster.missed(place.name(), seen.id).await {
                Some(packets) => replay(memory, place, &seen, &until, &session, packets),
                None => Err(RecoveryError::Trimmed),
            }
        }
        Some(Err(error)) => Err(error),
        Some(Ok(Source::Log(_))) | None => return,
    };
    let _ = claim.missed.set(missed);
}

/// The packets that a session has missed, out of all, with what each says of what has been seen.
fn replay(
    memory: &Memory,
    place: &Place,
    seen: &Seen,
    until: &Seen,
    session: &Session,
    packets: Vec<Past>,
) -> Result<Vec<Arc<Parcel>>, RecoveryError> {
    let mut missed = Vec::new();
    let mut len = 0;
    for Past { at, emit } in packets {
        let Emit { to, data, flags } = emit;
        let is_missed = !seen.covers(&at) && until.covers(&at) && !flags.volatile;
        if !is_missed || !session.is_reached(&to, &at) {
            continue;
        }
        // No log has a place for it, but it goes on being more than the entries before it.
        let offset = match &seen.own {
            None => at.id.to_string(),
            Some((uid, seq)) => {
                let nowhere = Offset {
                    log: !memory.log,
                    position: 0,
                };
                format!("{}.{uid}.{seq}.{nowhere}", at.id)
            }
        };
        let (event, args) = member::split(data);
        let form = match flags.compress {
            Some(false) => Form::AsItIs,
            _ => Form::Any,
        };
        let parcel = turn::with_encoder(|frames| {
            frames.event(place.name(), None, &event, &args)?;
            Ok::<_, WriteError>(form.parcel(stamp(frames, offset.as_bytes())))
        });
        let Ok(parcel) = parcel else { continue };
        len += parcel.len();
        missed.push(Arc::new(parcel));
    }
    match len > memory.limit {
        true => Err(RecoveryError::TooMuch {
            len,
            limit: memory.limit,
        }),
        false => Ok(missed),
    }
}

/// Closes the connection that a session still has, and waits until it has ended.
pub(crate) async fn fence(place: &Place, pid: &str) {
    let Some(memory) = place.memory() else { return };
    // Somebody else may come back meanwhile, also with this id; but not for ever.
    for _ in 0..FENCES {
        let id = memory.with(|recovery| recovery.live(pid).map(|kept| kept.id.clone()));
        let Some(conn) = id.and_then(|id| place.conn_of(id.as_ref())) else {
            return;
        };
        let (fence, ended) = oneshot::channel();
        conn.command(Command::Fence(fence));
        drop(conn);
        // Nothing is ever sent: it is dropped when the connection has ended.
        let _ = ended.await;
    }
}

/// Makes the server forget what is too old, until it ends; then all the rest, which would keep it alive.
pub(crate) async fn sweep(hub: Arc<Hub>) {
    let Some(recovery) = &hub.config.recovery else {
        return;
    };
    let _at_the_end = ForgetAll(Arc::downgrade(&hub));
    let pause = recovery.max_disconnection_duration / 8;
    let pause = pause.clamp(Duration::from_millis(10), Duration::from_secs(5));
    loop {
        tokio::time::sleep(pause).await;
        let now = clock::now();
        for place in hub.places() {
            if let Some(memory) = place.memory() {
                memory.with(|log| log.sweep(now));
                place.close_if_deserted();
            }
        }
    }
}

struct ForgetAll(Weak<Hub>);

impl Drop for ForgetAll {
    fn drop(&mut self) {
        let Some(hub) = self.0.upgrade() else { return };
        for place in hub.places() {
            if let Some(memory) = place.memory() {
                memory.closed.store(true, Ordering::SeqCst);
                memory.with(|log| log.recovery.forget_away());
            }
        }
    }
}

/// A fresh secret: 24 characters of 144 random bits.
fn new_pid() -> Arc<str> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bytes: [u8; 24] = entropy::bytes();
    let digits = bytes.map(|byte| DIGITS[usize::from(byte & 63)]);
    let text = std::str::from_utf8(&digits);
    text.expect("because all digits are ASCII").into()
}

/// Ids of other nodes' sockets are not longer.
const MAX_SID: usize = 64;

/// How often a client may find its session taken again by somebody else with its secret.
const FENCES: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_stamped_into_an_allocation_of_its_size() {
        // The attachments are short ones, and one that lies elsewhere.
        for attachment in [3, 9_000] {
            for len in [
                0, 1, 80, 90, 91, 92, 200, 65_440, 65_460, 65_470, 65_503, 65_504, 70_000,
            ] {
                let text = "x".repeat(len);
                let bytes = bytes::Bytes::from(vec![7; attachment]);
                let event = |offset: &[&str]| {
                    let mut frames = Frames::default();
                    let args = (&text, &bytes, &bytes);
                    let written = match offset {
                        [] => frames.event("/", None, "a", &args),
                        offset => {
                            frames.event("/", None, "a", &(args.0, args.1, args.2, offset[0]))
                        }
                    };
                    written.unwrap();
                    frames
                };
                let frames = event(&[]);
                let stamped = Stamped::new(&frames, b"no offset").with(b"an offset");
                assert_eq!(stamped, stamp(&frames, b"an offset"));
                assert_eq!(stamped.capacity(), stamped.len(), "{len}");
                assert!(
                    stamped == *event(&["an offset"]).joined(),
                    "{len} {attachment}"
                );
            }
        }
    }
}
