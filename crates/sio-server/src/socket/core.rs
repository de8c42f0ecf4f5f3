//! What a socket is, whatever its data: its place, its rooms, and the way to its client.

use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use serde::Serialize;
use sio_packet::WriteError;
use sio_rooms::{Acks, Full, JoinError, MemberId, Selection};
use tokio::sync::oneshot;

use super::SocketId;
use crate::{
    clock,
    config::Config,
    conn::{Conn, Form, Mode},
    counters::Limit,
    error::CallError,
    memory::{Going, Tie},
    onlookers,
    place::{Member, Origin, Place},
    store::Session,
    target::Sent,
};

/// What a socket is, whatever its data.
pub(crate) struct Core {
    pub(crate) id: SocketId,
    pub(crate) conn: Arc<Conn>,
    pub(crate) place: Arc<Place>,
    member: OnceLock<MemberId>,
    rare: OnceLock<Box<Rare>>,
    gone: AtomicBool,
    pub(crate) auth: Option<Arc<str>>,
    /// Its session, where there is recovery.
    pub(super) tie: OnceLock<Box<Tie>>,
}

/// What a socket that is idle has not needed yet.
#[derive(Default)]
pub(super) struct Rare {
    acks: Mutex<Acks<oneshot::Sender<AckText>>>,
    /// The rooms it was in when it left, for the disconnect handler.
    last_rooms: OnceLock<Vec<String>>,
    pub(super) session: Session,
}

impl Rare {
    fn acks(&self) -> MutexGuard<'_, Acks<oneshot::Sender<AckText>>> {
        self.acks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer as it came.
pub(crate) struct AckText {
    pub(crate) data: Box<str>,
    pub(crate) attachments: Vec<Bytes>,
}

/// An event that asks for an answer and is on its way.
pub(crate) struct Asked {
    pub(crate) id: u64,
    pub(crate) answered: oneshot::Receiver<AckText>,
}

impl Core {
    pub(super) fn new(
        id: SocketId,
        conn: Arc<Conn>,
        place: Arc<Place>,
        auth: Option<Arc<str>>,
    ) -> Self {
        Self {
            id,
            conn,
            place,
            member: OnceLock::new(),
            rare: OnceLock::new(),
            gone: AtomicBool::new(false),
            auth,
            tie: OnceLock::new(),
        }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.conn.hub.config
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::SeqCst)
    }

    /// It is gone from now on. True for the one caller who said so.
    pub(super) fn go(&self) -> bool {
        // In one order with the opening of rounds, see `Rounds`.
        !self.gone.swap(true, Ordering::SeqCst)
    }

    /// Whether it is in the index, or was.
    pub(super) fn has_entered(&self) -> bool {
        self.member.get().is_some()
    }

    /// Remembers the place in the index; once, right after entering.
    pub(crate) fn set_member(&self, member: MemberId) {
        let _ = self.member.set(member);
    }

    pub(crate) fn auth(&self) -> Option<Arc<str>> {
        self.auth.clone()
    }

    /// Remembers the session; once, before entering.
    pub(crate) fn tie(&self, tie: Tie) {
        let _ = self.tie.set(Box::new(tie));
    }

    /// Notes the rooms, for whoever asks when they have been left.
    pub(super) fn keep_rooms(&self) {
        if let Some(member) = self.member() {
            let _ = self.rare().last_rooms.set(self.rooms_of(member.id));
        }
    }

    /// Lets go of the rooms and of those who wait for answers.
    pub(super) fn exit(&self, going: Going) {
        if let Some(member) = self.member() {
            self.place.exit(self.conn.part_index(), member, going);
        }
        // Whoever waits for an answer learns at once that none will come.
        self.place.rounds().gone(&self.id);
        if let Some(rare) = self.rare.get() {
            drop(rare.acks().drain());
        }
    }

    pub(super) fn rare(&self) -> &Rare {
        self.rare.get_or_init(Box::default)
    }

    /// This socket in the index, once it has entered.
    fn member(&self) -> Option<Member<'_>> {
        let id = *self.member.get()?;
        let socket = &self.id;
        let pid = self.tie.get().map(|tie| &*tie.pid);
        Some(Member { id, socket, pid })
    }

    pub(crate) fn rooms(&self) -> Vec<String> {
        let last_rooms = self.rare.get().and_then(|rare| rare.last_rooms.get());
        match (last_rooms, self.member.get()) {
            (Some(rooms), _) => rooms.clone(),
            (None, Some(member)) => self.rooms_of(*member),
            (None, None) => Vec::new(),
        }
    }

    fn rooms_of(&self, member: MemberId) -> Vec<String> {
        let own = std::iter::once(self.id.as_ref().to_owned());
        let part = self.place.part(self.conn.part_index());
        own.chain(part.rooms_of(member).map(str::to_owned))
            .collect()
    }

    pub(crate) fn join(&self, room: &str) -> bool {
        let Some(member) = self.member() else {
            return false;
        };
        let joined = self.place.join(self.conn.part_index(), member, room);
        if let Err(error) = &joined {
            if matches!(error, JoinError::TooMany { .. }) {
                self.conn.shard().tally.hit(Limit::Rooms);
            }
            tracing::warn!(socket = self.id.as_ref(), %error, "a room was not joined");
        }
        joined.is_ok()
    }

    pub(crate) fn leave_room(&self, room: &str) {
        if let Some(member) = self.member() {
            self.place.leave(self.conn.part_index(), member, room);
        }
    }

    pub(super) fn emit<T: Serialize + ?Sized>(
        &self,
        mode: Mode,
        ack: Option<u64>,
        event: &str,
        payload: &T,
    ) -> Sent {
        let mode = self.place.mode(mode, None);
        if self.place.memory().is_some() {
            return self.emit_by_name(mode, Form::default(), event, payload);
        }
        if self.is_gone() {
            return Sent::default();
        }
        if !self.place.taps().is_empty() {
            onlookers::show(&self.place, Some(self.id.as_ref()), event, payload);
        }
        let said = self.conn.say(mode, |frames| {
            frames.event(self.place.name(), ack, event, payload)
        });
        Self::sent(event, said.map(|taken| Sent::here(taken.into())))
    }

    pub(super) fn emit_as<T: Serialize + ?Sized>(
        &self,
        form: Form,
        event: &str,
        payload: &T,
    ) -> Sent {
        let mode = self.place.mode(Mode::Reliable, None);
        if self.place.memory().is_some() {
            return self.emit_by_name(mode, form, event, payload);
        }
        if self.is_gone() {
            return Sent::default();
        }
        if !self.place.taps().is_empty() {
            onlookers::show(&self.place, Some(self.id.as_ref()), event, payload);
        }
        let said = self.conn.say_as(mode, form, |frames| {
            frames.event(self.place.name(), None, event, payload)
        });
        Self::sent(event, said.map(|taken| Sent::here(taken.into())))
    }

    /// To whoever has this id: that is this socket, or the one that goes on from it, now or when its
    /// client comes back.
    fn emit_by_name<T: Serialize + ?Sized>(
        &self,
        mode: Mode,
        form: Form,
        event: &str,
        payload: &T,
    ) -> Sent {
        if !self.place.taps().is_empty() {
            onlookers::show(&self.place, Some(self.id.as_ref()), event, payload);
        }
        let who = Selection::everyone().to(self.id.as_ref());
        let place = &self.place;
        let said = match place.shares_sessions() {
            true => place.emit_event(&who, mode, form, event, payload, &mut None),
            false => {
                let emitted = place.emit(&who, mode, form, Origin::Here, |frames| {
                    frames.event(place.name(), None, event, payload)
                });
                emitted.map(Sent::here)
            }
        };
        Self::sent(event, said)
    }

    fn sent(event: &str, said: Result<Sent, WriteError>) -> Sent {
        said.unwrap_or_else(|error| {
            tracing::error!(event, %error, "a payload could not be written");
            Sent::default()
        })
    }

    /// Sends an event with an ack id and says where the answer will come.
    pub(super) fn ask<T: Serialize + ?Sized>(
        &self,
        event: &str,
        payload: &T,
        timeout: std::time::Duration,
    ) -> Result<Asked, CallError> {
        let (answer, answered) = oneshot::channel();
        let id = self
            .rare()
            .acks()
            .insert(answer, clock::later(clock::now(), timeout))
            .map_err(|_: Full| {
                self.conn.shard().tally.hit(Limit::Acks);
                CallError::TooManyAcks
            })?;
        if self.is_gone() {
            self.forget_ack(id);
            return Err(CallError::Disconnected);
        }
        if !self.place.taps().is_empty() {
            onlookers::show(&self.place, Some(self.id.as_ref()), event, payload);
        }
        let mode = self.place.mode(Mode::Reliable, None);
        let said = self.conn.say(mode, |frames| {
            frames.event(self.place.name(), Some(id * 2), event, payload)
        });
        match said {
            Ok(true) => Ok(Asked { id, answered }),
            Ok(false) => {
                self.forget_ack(id);
                Err(self.why_not_taken())
            }
            Err(error) => {
                self.forget_ack(id);
                Err(error.into())
            }
        }
    }

    /// Why the connection did not take an event.
    pub(crate) fn why_not_taken(&self) -> CallError {
        if self.is_gone() || self.conn.lock().session.is_ended() {
            CallError::Disconnected
        } else {
            CallError::Full
        }
    }

    /// Acks that are waited for.
    pub(crate) fn pending_acks(&self) -> usize {
        self.rare.get().map_or(0, |rare| rare.acks().len())
    }

    /// Nobody waits for this answer any more.
    pub(crate) fn forget_ack(&self, id: u64) {
        drop(self.take_ack(id));
    }

    /// Who waits for this answer, if anybody does.
    pub(crate) fn take_ack(&self, id: u64) -> Option<oneshot::Sender<AckText>> {
        self.rare.get()?.acks().take(id)
    }

    pub(crate) fn say_disconnect(&self) {
        let _ = self.conn.say(Mode::Vital, |frames| {
            frames.plain(|text| {
                sio_packet::write_disconnect(text, self.place.name());
                Ok(())
            })
        });
    }
}
