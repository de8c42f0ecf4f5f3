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
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use eio_transport::{Parcel, Reason, Revision};
use serde::Deserialize;
use sio_packet::{Offset, read_auth, write_with_offset};
use sio_rooms::{Recovery, RecoveryError, RecoveryLimits};
use tokio::sync::oneshot;
use ws_frame::{Header, OpCode, write_frame};

use crate::{
    clock,
    config::{self, Config},
    conn::Command,
    entropy,
    error::DisconnectReason,
    hub::Hub,
    place::Place,
    socket::{AnySocket, SocketId},
};

/// The sessions of one namespace.
pub(crate) struct Memory {
    /// Which log offsets are of.
    log: u32,
    /// Bytes that a client can be sent when it comes back.
    limit: usize,
    recovery: Mutex<Log>,
    /// The server ends: who goes now does not come back.
    closed: AtomicBool,
}

pub(crate) type Log = Recovery<Arc<Parcel>, Kept>;

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
pub(crate) struct Claim {
    pub(crate) pid: Arc<str>,
    /// The offset it saw last; `Err` if that is none.
    seen: Result<Option<Offset>, ()>,
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
            Some(serde_json::Value::String(text)) => Offset::parse(&text).map(Some).ok_or(()),
            Some(_) => Err(()),
        };
        Some(Self {
            pid: asked.pid?.into(),
            seen,
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
    pub(crate) fn new(config: &Config) -> Option<Self> {
        let recovery: &config::Recovery = config.recovery.as_ref()?;
        let max_away = recovery.max_disconnection_duration;
        let limits = RecoveryLimits {
            max_away,
            max_age: max_away + config.engine.ping_interval + config.engine.ping_timeout,
            max_packets: recovery.max_packets,
            max_bytes: recovery.max_bytes,
            max_sessions: recovery.max_sessions,
        };
        Some(Self {
            log: u32::from_ne_bytes(entropy::bytes()) >> 8,
            limit: config.max_queued_bytes / 2,
            recovery: Mutex::new(Recovery::new(limits, u64::from_ne_bytes(entropy::bytes()))),
            closed: AtomicBool::new(false),
        })
    }

    /// Runs `f` under the lock. What it makes the log forget is dropped after that: it may be the
    /// application's.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Log) -> R) -> R {
        let mut recovery = self.recovery.lock().unwrap_or_else(PoisonError::into_inner);
        let result = f(&mut recovery);
        if self.closed.load(Ordering::SeqCst) {
            recovery.forget_away();
        }
        let mut forgotten = Vec::new();
        while let Some(kept) = recovery.poll_forgotten() {
            forgotten.push(kept);
        }
        drop(recovery);
        drop(forgotten);
        result
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.with(|recovery| recovery.is_empty())
    }

    /// The frames of an event, with the offset of `position` as its last argument.
    pub(crate) fn stamp(&self, frames: &[u8], position: u64) -> Vec<u8> {
        let offset = Offset {
            log: self.log,
            position,
        };
        let Ok(Some((header, len))) = Header::parse(frames) else {
            return frames.to_vec();
        };
        let end = usize::try_from(header.len).map_or(frames.len(), |payload| len + payload);
        let (event, attachments) = (&frames[len..end], &frames[end..]);
        let mut stamped = Vec::with_capacity(frames.len() + 2 * Offset::LEN);
        write_frame(
            &mut stamped,
            OpCode::Text,
            event.len() + Offset::LEN,
            |text| {
                write_with_offset(text, event, offset);
            },
        );
        stamped.extend_from_slice(attachments);
        stamped
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
                        }
                        return entered.then_some(socket);
                    }
                    Err(error) => {
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
                recovery.forget(&pid);
            }
            entered.then(|| Arc::clone(admitted))
        })
    }

    fn restore(
        &self,
        recovery: &mut Log,
        claim: &Claim,
    ) -> Result<sio_rooms::Restored<Arc<Parcel>, Kept>, RecoveryError> {
        let Ok(seen) = claim.seen else {
            recovery.forget(&claim.pid);
            return Err(RecoveryError::Offset);
        };
        // An offset of another log is older than the session: it has seen nothing of this one.
        let seen = seen.filter(|seen| seen.log == self.log);
        let position = seen.map(|seen| seen.position);
        recovery.restore(&claim.pid, position, self.limit, clock::now())
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
                memory.with(|recovery| recovery.handle_timeout(now));
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
                memory.with(Recovery::forget_away);
            }
        }
    }
}

/// A fresh secret: 24 characters of 144 random bits.
fn new_pid() -> Arc<str> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bytes: [u8; 24] = entropy::bytes();
    let digits = bytes.map(|byte| char::from(DIGITS[usize::from(byte & 63)]));
    digits.iter().collect::<String>().into()
}

/// How often a client may find its session taken again by somebody else with its secret.
const FENCES: usize = 3;
