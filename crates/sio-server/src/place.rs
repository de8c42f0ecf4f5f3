//! The sockets and rooms of one namespace.

use std::{
    borrow::Cow,
    cell::Cell,
    collections::BTreeMap,
    ops::Deref,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use eio_transport::Parcel;
use parking_lot::{Mutex, MutexGuard};
use serde::{Serialize, de::DeserializeOwned};
use sio_cluster::{At, Crowd, Emit, Message};
use sio_packet::WriteError;
use sio_rooms::{JoinError, MemberId, Rooms, Selection};

use crate::{
    calls::{Asked, Rounds},
    clock,
    cluster::{self, Cluster, Command, Reserved},
    config::SlowClients,
    conn::{Conn, Form, Mode},
    counters::Limit,
    error::CallError,
    fan::{Audience, Hearers, MANY},
    frames::Frames,
    hub::Hub,
    memory::{Going, Log, Memory},
    onlookers::{Onlookers, RoomLog, Tap},
    parsers::{Speech, Spoken},
    population::Unsaid,
    realm::Realm,
    socket::{AnySocket, SocketId},
    target::Sent,
    turn,
};

/// How long a namespace is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stay {
    /// As long as the server.
    Always,
    /// Until everybody has left.
    WhileInhabited,
}

/// Where what is emitted comes from.
pub(crate) enum Origin<'a> {
    /// From this node, and other nodes hear nothing of it.
    Here,
    /// From this node, and this tells the others, saying under which number.
    Told(&'a dyn Fn() -> Option<u64>),
    /// From another node, by a stream.
    Stream(&'a At),
}

/// One namespace's index, a part for each shard and parser: a socket lives in its connection's part.
pub(crate) struct Place {
    name: Box<str>,
    hub: Weak<Hub>,
    /// Connections that are about to enter, for a namespace that is closed when empty; `None` for
    /// one that stays.
    visitors: Option<AtomicUsize>,
    parts: Box<[Mutex<Part>]>,
    /// Calls to many that wait for answers.
    rounds: Rounds,
    /// Who is told of rooms, if anybody is.
    room_log: Option<RoomLog>,
    /// Who looks at what is emitted.
    taps: Box<[Tap]>,
    /// What is remembered of sessions, for recovery.
    memory: Option<Memory>,
    /// What is done with clients that do not keep up, unless an emit wants something else.
    slow: SlowClients,
    /// The other nodes, if they are to send what is for a room only where it has members.
    rooms_heard: Option<Arc<Cluster>>,
    /// What other nodes are to be told of how many are in which room, if they are.
    unsaid: Option<Unsaid>,
    /// Whether clients here hear by way of the broker what is said to all.
    strict_order: bool,
}

/// A namespace that somebody is about to enter: it is not closed meanwhile.
pub(crate) struct Visit(Arc<dyn Realm>);

impl Visit {
    /// For the one who has called [`Place::expect_visitor`].
    pub(crate) fn expected(realm: Arc<dyn Realm>) -> Self {
        Self(realm)
    }

    pub(crate) fn realm(&self) -> &dyn Realm {
        &*self.0
    }

    pub(crate) fn place(&self) -> &Place {
        self.0.place()
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.place().dismiss_visitor();
    }
}

/// What of the index belongs to one shard and parser.
pub(crate) struct Part {
    rooms: Rooms<SocketId, Outlet>,
    /// Whom the last broadcast to many was for.
    audience: Option<Audience>,
}

impl Deref for Part {
    type Target = Rooms<SocketId, Outlet>;

    fn deref(&self) -> &Self::Target {
        &self.rooms
    }
}

impl Part {
    /// Those whom `who` is for, if they are many, and were asked for just before.
    fn hearers(&mut self, who: &Selection) -> Option<Hearers<'_>> {
        let Self { rooms, audience } = self;
        let audience = audience.as_mut().filter(|audience| audience.is_of(who))?;
        let mut exceptions = who.exceptions();
        let except = match (exceptions.next(), exceptions.next()) {
            (None, _) => None,
            (Some(name), None) if rooms.room_len(name) == 1 => {
                // Not a room, in which somebody else may be tomorrow.
                Some(rooms.get(rooms.member(name)?)?)
            }
            (Some(name), None) if rooms.room_len(name) == 0 => None,
            _ => return None,
        };
        if audience.conns.is_none() {
            let mut conns = Vec::new();
            rooms.for_each(&audience.selection(), |_, outlet| {
                conns.push(Arc::clone(&outlet.conn));
            });
            audience.conns = Some(conns.into());
        }
        let conns = audience.conns.as_ref()?;
        let except = except.and_then(|outlet| {
            let mut conns = conns.iter();
            conns.position(|conn| Arc::ptr_eq(conn, &outlet.conn))
        });
        Some(Hearers { conns, except })
    }

    /// Remembers that `who` was for many. What it returns is to be dropped without the lock.
    #[must_use]
    fn remember(&mut self, who: &Selection) -> Option<Audience> {
        match &self.audience {
            Some(audience) if audience.is_of(who) => None,
            _ => std::mem::replace(&mut self.audience, Audience::of(who)),
        }
    }

    /// Somebody comes into `room` or leaves it.
    #[must_use]
    fn changes(&mut self, room: &str) -> Option<Audience> {
        self.audience.take_if(|audience| audience.is_room(room))
    }
}

/// Where a member hears: the connection for parcels, the socket for everything else.
pub(crate) struct Outlet {
    pub(crate) conn: Arc<Conn>,
    pub(crate) socket: Arc<dyn AnySocket>,
}

/// A socket in the index.
#[derive(Clone, Copy)]
pub(crate) struct Member<'a> {
    pub(crate) id: MemberId,
    pub(crate) socket: &'a SocketId,
    /// Its session, where there is recovery.
    pub(crate) pid: Option<&'a str>,
}

impl Place {
    pub(crate) fn new(
        name: &str,
        hub: Weak<Hub>,
        stay: Stay,
        max_rooms: usize,
        onlookers: Onlookers,
        seeds: impl Iterator<Item = u64>,
        memory: Option<Memory>,
    ) -> Self {
        let part = |seed| {
            let rooms = Rooms::with_seed(seed).with_max_rooms_per_member(max_rooms);
            let audience = None;
            Mutex::new(Part { rooms, audience })
        };
        let visitors = (stay == Stay::WhileInhabited).then(AtomicUsize::default);
        Self {
            name: name.into(),
            hub,
            visitors,
            parts: seeds.map(part).collect(),
            rounds: Rounds::default(),
            room_log: onlookers.rooms.map(RoomLog::new),
            taps: onlookers.outgoing.into(),
            memory,
            slow: onlookers.slow.unwrap_or_default(),
            rooms_heard: None,
            unsaid: None,
            strict_order: false,
        }
    }

    /// Tells other nodes which rooms have members here, and how many, if they want to know.
    pub(crate) fn heard_by(mut self, cluster: Option<&Arc<Cluster>>) -> Self {
        let counts = cluster.filter(|cluster| cluster.counts());
        self.unsaid = counts.map(Unsaid::new);
        self.strict_order = cluster.is_some_and(|cluster| cluster.strict_order());
        let cluster = cluster.filter(|cluster| cluster.listens_to_rooms());
        self.rooms_heard = cluster.cloned();
        self
    }

    /// Has other nodes send what is for a room, if this is its first member in a part; under the lock
    /// of that part.
    #[inline]
    fn open_room(&self, room: &str, part: &Rooms<SocketId, Outlet>) {
        if let Some(cluster) = &self.rooms_heard {
            self.tell_of_first(room, part, cluster);
        }
    }

    #[cold]
    fn tell_of_first(&self, room: &str, part: &Rooms<SocketId, Outlet>, cluster: &Cluster) {
        if part.room_len(room) == 1 {
            cluster.send(Command::OpenRoom((*self.name).into(), room.into()));
        }
    }

    /// Tells other nodes that a room in a part has no members any more, likewise.
    #[inline]
    fn close_room(&self, room: &str, part: &Rooms<SocketId, Outlet>) {
        if let Some(cluster) = &self.rooms_heard
            && part.room_len(room) == 0
        {
            cluster.send(Command::CloseRoom((*self.name).into(), room.into()));
        }
    }

    /// Has other nodes told, soon, how many are in a room or, without one, in the namespace.
    #[inline]
    fn recount(&self, room: Option<&str>) {
        if let Some(unsaid) = &self.unsaid {
            unsaid.note(room);
        }
    }

    /// How many there are now where that has changed since this was asked last.
    pub(crate) fn unsaid(&self) -> Vec<(Crowd, u64)> {
        let unsaid = self.unsaid.as_ref();
        unsaid.map_or_else(Vec::new, |unsaid| unsaid.count(self))
    }

    /// Counts somebody who is about to enter.
    #[inline]
    pub(crate) fn expect_visitor(&self) {
        if let Some(visitors) = &self.visitors {
            visitors.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whoever was about to enter has done so, or will not.
    #[inline]
    pub(crate) fn dismiss_visitor(&self) {
        if let Some(visitors) = &self.visitors {
            visitors.fetch_sub(1, Ordering::Relaxed);
            self.close_if_deserted();
        }
    }

    /// Whether a namespace opened on demand may be closed.
    #[inline]
    pub(crate) fn is_deserted(&self) -> bool {
        let none = |visitors: &AtomicUsize| visitors.load(Ordering::Relaxed) == 0;
        self.visitors.as_ref().is_some_and(none)
            && self.len() == 0
            && self.memory.as_ref().is_none_or(Memory::is_empty)
    }

    #[inline]
    pub(crate) fn close_if_deserted(&self) {
        if self.is_deserted()
            && let Some(hub) = self.hub()
        {
            hub.close_if_deserted(&self.name);
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn hub(&self) -> Option<Arc<Hub>> {
        self.hub.upgrade()
    }

    /// One part. Locks one at a time, never under a connection's lock.
    pub(crate) fn part(&self, index: usize) -> MutexGuard<'_, Part> {
        self.parts[index].lock()
    }

    fn parts(&self) -> impl Iterator<Item = MutexGuard<'_, Part>> {
        (0..self.parts.len()).map(|index| self.part(index))
    }

    /// Sockets in the namespace.
    pub(crate) fn len(&self) -> usize {
        self.parts().map(|part| part.len()).sum()
    }

    /// Those who look at what is emitted; nearly always nobody.
    #[inline]
    pub(crate) fn taps(&self) -> &[Tap] {
        &self.taps
    }

    pub(crate) fn memory(&self) -> Option<&Memory> {
        self.memory.as_ref()
    }

    /// What may become of an event here; `slow` is what its emit wants.
    #[inline]
    pub(crate) fn mode(&self, mode: Mode, slow: Option<SlowClients>) -> Mode {
        slow.unwrap_or(self.slow).mode(mode)
    }

    pub(crate) fn slow_clients(&self) -> SlowClients {
        self.slow
    }

    /// Runs `f` under the lock of what is remembered, if anything is.
    #[inline]
    fn remembering<R>(&self, f: impl FnOnce(Option<&mut Log>) -> R) -> R {
        match &self.memory {
            Some(memory) => memory.with(|recovery| f(Some(recovery))),
            None => f(None),
        }
    }

    /// The connection of a socket, by its id.
    pub(crate) fn conn_of(&self, id: &str) -> Option<Arc<Conn>> {
        let who = Selection::everyone().to(id);
        let socket = self.select(&who).pop()?;
        Some(Arc::clone(&socket.core().conn))
    }

    /// Whether anybody is in a room, or is called so.
    pub(crate) fn has(&self, room: &str) -> bool {
        self.parts().any(|part| part.room_len(room) > 0)
    }

    /// Whether a socket of this id is here, and nobody else in a room of that name.
    pub(crate) fn is_alone(&self, id: &str) -> bool {
        let mut member = false;
        let len: usize = self
            .parts()
            .map(|part| {
                member |= part.member(id).is_some();
                part.room_len(id)
            })
            .sum();
        member && len == 1
    }

    pub(crate) fn rounds(&self) -> &Rounds {
        &self.rounds
    }

    /// Acks that are waited for.
    pub(crate) fn pending_acks(&self) -> usize {
        let sockets = self.select(&Selection::everyone());
        let own = sockets.iter().map(|socket| socket.core().pending_acks());
        own.sum::<usize>() + self.rounds.pending()
    }

    /// The rooms there are, with how many are in each.
    pub(crate) fn rooms(&self) -> BTreeMap<String, usize> {
        let mut rooms = BTreeMap::new();
        for part in self.parts() {
            for room in part.rooms() {
                *rooms.entry(room.to_owned()).or_insert(0) += part.room_len(room);
            }
        }
        rooms
    }

    /// Sockets in a room.
    pub(crate) fn room_len(&self, room: &str) -> usize {
        self.parts().map(|part| part.room_len(room)).sum()
    }

    /// Writes a packet once and hands it to everybody selected. Returns how many took it.
    pub(crate) fn emit(
        &self,
        who: &Selection,
        mode: Mode,
        form: Form,
        origin: Origin<'_>,
        encode: impl FnOnce(&mut Frames) -> Result<(), WriteError>,
    ) -> Result<usize, WriteError> {
        let Some(hub) = self.hub() else { return Ok(0) };
        turn::with_encoder(|frames| {
            encode(frames)?;
            hub.config.check_length(frames.len())?;
            let Some(memory) = &self.memory else {
                let parcel = Arc::new(mode.parcel(form.parcel(frames.joined())));
                let reached = self.deliver(&hub, who, mode, parcel);
                if let Origin::Told(tell) = origin {
                    tell();
                }
                return Ok(reached);
            };
            let prepared = memory.prepare(frames);
            Ok(memory.with(|recovery| {
                let mut who = Cow::Borrowed(who);
                let mut is_entry = false;
                match origin {
                    Origin::Here => {}
                    // In the order in which clients here hear it.
                    Origin::Told(tell) => {
                        if let Some(seq) = tell() {
                            recovery.said(seq);
                        }
                    }
                    Origin::Stream(at) => {
                        is_entry = true;
                        let twice = recovery.told(at);
                        if !twice.is_empty() {
                            who = Cow::Owned(who.into_owned().except_all(twice));
                        }
                    }
                }
                let who = &*who;
                let position = recovery.position() + u64::from(mode.is_recorded());
                let frames = memory.stamp(recovery, frames, prepared, position, is_entry);
                let parcel = form.parcel(frames);
                let parcel = Arc::new(mode.parcel(parcel));
                if mode.is_recorded() {
                    let packet = Arc::clone(&parcel);
                    recovery.record(who, packet, parcel.len(), clock::now());
                }
                self.deliver(&hub, who, mode, parcel)
            }))
        })
    }

    /// Emits an event of this node's, and has other nodes hear it, if they are to go on with its
    /// sessions: also what is for one socket that is here.
    pub(crate) fn emit_event<T: Serialize + ?Sized>(
        &self,
        who: &Selection,
        mode: Mode,
        form: Form,
        event: &str,
        payload: &T,
        reserved: &mut Option<Reserved>,
    ) -> Result<Sent, WriteError> {
        let encode = |frames: &mut Frames| frames.event(self.name(), None, event, payload);
        let hub = self.hub();
        let cluster = hub.as_ref().and_then(|hub| hub.cluster.as_ref());
        let Some(cluster) = cluster.filter(|_| self.tells_what_it_hears()) else {
            let emitted = self.emit(who, mode, form, Origin::Here, encode);
            return emitted.map(Sent::here);
        };
        let (data, weight) = sio_cluster::event(event, payload)?;
        let emit = Emit {
            to: who.clone(),
            data,
            flags: cluster::flags(mode, form, None),
        };
        let message = Cell::new(Some((Message::Emit(emit), reserved.take())));
        let tell = || match message.take()? {
            (emit, None) => cluster.tell(self.name(), emit, weight),
            (emit, Some(reserved)) => Some(cluster.tell_reserved(self.name(), emit, reserved)),
        };
        if self.strict_order {
            return Ok(Sent::told(0, tell().is_some()));
        }
        let queued = Cell::new(false);
        let tell = || tell().inspect(|_| queued.set(true));
        let reached = self.emit(who, mode, form, Origin::Told(&tell), encode)?;
        Ok(Sent::told(reached, queued.get()))
    }

    /// Whether events of this node reach clients here with what other nodes are told: under one lock, or
    /// only when they come back.
    pub(crate) fn tells_what_it_hears(&self) -> bool {
        self.strict_order || self.shares_sessions()
    }

    /// Whether other nodes can take up the sessions of this one.
    pub(crate) fn shares_sessions(&self) -> bool {
        self.memory.as_ref().is_some_and(Memory::is_shared)
    }

    /// An entry of this node's has come back by the stream.
    pub(crate) fn confirm(&self, at: &At) {
        if let Some(memory) = &self.memory {
            memory.with(|log| log.confirmed(at));
        }
    }

    /// Hands a parcel to everybody selected. Returns how many took it.
    fn deliver(&self, hub: &Hub, who: &Selection, mode: Mode, parcel: Arc<Parcel>) -> usize {
        let mut spoken = Spoken::new(parcel, &hub.parsers);
        let mut reached = 0;
        // What may be refused or dropped has to be offered to each of them.
        let waits = mode == Mode::Reliable;
        for index in 0..self.parts.len() {
            let (speech, shard) = Speech::of_part(index, hub.shards.len());
            if speech != Speech::OWN && self.part(index).is_empty() {
                continue; // Whoever enters from now on comes too late to hear this.
            }
            // A parser is not ours: it runs before the locks are taken.
            let Some(parcel) = spoken.to(speech) else {
                continue;
            };
            let mut part = self.part(index);
            if part.is_empty() {
                continue;
            }
            let shard = &hub.shards[shard];
            if waits
                && let Some(hearers) = part.hearers(who)
                && shard.fan(hearers, parcel)
            {
                reached += hearers.len();
                continue;
            }
            let mut dirty = shard.dirty();
            let before = reached;
            part.for_each(who, |_, outlet| {
                reached += usize::from(outlet.conn.offer(parcel, mode, &mut dirty));
            });
            drop(dirty);
            if reached - before >= MANY {
                let stale = part.remember(who);
                drop(part);
                drop(stale);
            }
        }
        reached
    }

    /// Asks everybody selected. The packet is written once, with one ack id for all.
    pub(crate) fn ask<R: DeserializeOwned + Send + 'static>(
        self: &Arc<Self>,
        who: &Selection,
        mode: Mode,
        encode: impl FnOnce(&mut Frames, u64) -> Result<(), WriteError>,
    ) -> Result<Asked<R>, CallError> {
        let Some(hub) = self.hub() else {
            return Ok(Asked::nobody());
        };
        let sockets = self.select(who);
        let ids = sockets.iter().map(|socket| socket.core().id.clone());
        let (asked, ack) = Asked::open(self, ids, hub.config.max_answer_bytes)
            .inspect_err(|_| hub.shards[0].tally.hit(Limit::Acks))?;
        let parcel = turn::with_encoder(|frames| {
            encode(frames, ack)?;
            hub.config.check_length(frames.len())?;
            Ok::<_, WriteError>(Arc::new(frames.parcel()))
        })?;
        let mut spoken = Spoken::new(parcel, &hub.parsers);
        for socket in sockets {
            let core = socket.core();
            let Some(parcel) = spoken.to(core.conn.speech()) else {
                asked.missed(&core.id, core.why_not_taken());
                continue;
            };
            let mut dirty = hub.shards[core.conn.shard_index()].dirty();
            if core.is_gone() || !core.conn.offer(parcel, mode, &mut dirty) {
                drop(dirty);
                asked.missed(&core.id, core.why_not_taken());
            }
        }
        Ok(asked)
    }

    /// How many are selected; for a room, or everybody, this does not depend on how many they are.
    pub(crate) fn count(&self, who: &Selection) -> usize {
        let mut rooms = who.rooms();
        match (rooms.next(), rooms.next(), who.exceptions().len()) {
            (None, _, 0) => self.len(),
            (Some(room), None, 0) => self.parts().map(|part| part.room_len(room)).sum(),
            _ => self.parts().map(|part| part.select(who).count()).sum(),
        }
    }

    /// The sockets selected, each at most once.
    pub(crate) fn select(&self, who: &Selection) -> Vec<Arc<dyn AnySocket>> {
        let mut sockets = Vec::new();
        for part in self.parts() {
            part.for_each(who, |_, outlet| sockets.push(Arc::clone(&outlet.socket)));
        }
        sockets
    }

    /// Makes a member join a room.
    pub(crate) fn join(
        &self,
        part: usize,
        member: Member<'_>,
        room: &str,
    ) -> Result<(), JoinError> {
        self.remembering(|recovery| {
            // What may own the last pointer to a connection goes when the lock has gone.
            let _stale;
            let mut part = self.part(part);
            _stale = part.changes(room);
            let joined = part.rooms.join(member.id, room)?;
            if let (Some(recovery), Some(pid)) = (recovery, member.pid) {
                recovery.join(pid, room);
            }
            if joined.is_new() {
                self.open_room(room, &part);
                self.recount(Some(room));
            }
            if let Some(log) = &self.room_log
                && joined.is_new()
            {
                log.note_joined(room, member.socket);
            }
            Ok(())
        })?;
        self.tell();
        Ok(())
    }

    /// Makes a member leave a room.
    pub(crate) fn leave(&self, part: usize, member: Member<'_>, room: &str) {
        self.remembering(|recovery| {
            // What may own the last pointer to a connection goes when the lock has gone.
            let _stale;
            let mut part = self.part(part);
            _stale = part.changes(room);
            let left = part.rooms.leave(member.id, room);
            if let (Some(recovery), Some(pid)) = (recovery, member.pid) {
                recovery.leave(pid, room);
            }
            if left {
                self.close_room(room, &part);
                self.recount(Some(room));
            }
            if let Some(log) = &self.room_log
                && left
            {
                log.note_left(room, member.socket);
            }
        });
        self.tell();
    }

    /// Makes a socket a member, in these rooms; the caller [tells](Self::tell) of it.
    pub(crate) fn enter(
        &self,
        part: usize,
        id: SocketId,
        outlet: Outlet,
        rooms: &[Arc<str>],
    ) -> MemberId {
        let _stale;
        let mut part = self.part(part);
        _stale = part.audience.take();
        let member = part.rooms.enter(id.clone(), outlet);
        self.open_room(id.as_ref(), &part);
        self.recount(None);
        for room in rooms.iter().filter(|room| ***room != *id.as_ref()) {
            if part.rooms.join(member, room).is_ok() {
                self.open_room(room, &part);
                self.recount(Some(room));
                if let Some(log) = &self.room_log {
                    log.note_joined(room, &id);
                }
            }
        }
        member
    }

    /// Tells of what happened to rooms, if anybody wants to know. Runs the application's code: not
    /// under a lock.
    #[inline]
    pub(crate) fn tell(&self) {
        if let Some(log) = &self.room_log {
            log.tell();
        }
    }

    /// Takes a member out of all its rooms.
    pub(crate) fn exit(&self, part: usize, member: Member<'_>, going: Going) {
        let gone = self.remembering(|recovery| {
            if let (Some(recovery), Some(pid)) = (recovery, member.pid) {
                match going {
                    Going::Away => recovery.depart(pid, clock::now()),
                    Going::ForGood => recovery.forget_for_good(pid),
                }
            }
            let mut part = self.part(part);
            if let Some(log) = &self.room_log {
                for room in part.rooms_of(member.id) {
                    log.note_left(room, member.socket);
                }
            }
            if self.unsaid.is_some() {
                self.recount(None);
                // Somebody else may be in a room that is called so.
                self.recount(Some(member.socket.as_ref()));
                for room in part.rooms_of(member.id) {
                    self.recount(Some(room));
                }
            }
            let mut rooms: Vec<String> = Vec::new();
            if self.rooms_heard.is_some() {
                rooms.extend(part.rooms_of(member.id).map(str::to_owned));
                rooms.push(member.socket.as_ref().to_owned());
            }
            let gone = (part.rooms.exit(member.id), part.audience.take());
            for room in rooms {
                self.close_room(&room, &part);
            }
            gone
        });
        // The socket may be the last owner of its connection: it must not be dropped under the
        // locks.
        drop(gone);
        self.tell();
        self.close_if_deserted();
    }
}
