//! A socket with its data, and as those see it who do not know their type.

use std::{
    any,
    sync::{Arc, OnceLock},
};

use sio_packet::{Args, ReadError};

use super::{Core, Socket, SocketId};
use crate::{
    conn::{Command, Conn},
    error::DisconnectReason,
    lane::{Job, Order, Slot},
    listeners::{Listeners, Which},
    memory::Going,
    panic::contain,
    place::Place,
    table::Table,
};

pub(crate) struct Inner<D> {
    pub(super) core: Core,
    pub(super) table: Arc<Table<D>>,
    /// Its own listeners, if it ever had one.
    pub(super) listeners: OnceLock<Box<Listeners<D>>>,
    data: Held<D>,
}

/// Where a socket's data are.
enum Held<D> {
    Own(D),
    /// With the socket that this one goes on from, which has its own.
    Of(Arc<Inner<D>>),
}

/// A socket whose data's type is not known here.
pub(crate) trait AnySocket: Send + Sync {
    fn core(&self) -> &Core;
    fn into_any(self: Arc<Self>) -> Arc<dyn any::Any + Send + Sync>;
    /// A socket that goes on from this one, on another connection.
    fn continued(
        self: Arc<Self>,
        conn: Arc<Conn>,
        auth: Option<Arc<str>>,
        id: SocketId,
    ) -> Arc<dyn AnySocket>;
    /// The handler of the connection, if there is one.
    fn connected(self: Arc<Self>) -> Option<Job>;
    /// The socket is about to leave, and who looks at that is shown it.
    fn leaving(self: Arc<Self>, reason: DisconnectReason);
    /// Whether there is a handler of the disconnection.
    fn says_goodbye(&self) -> bool;
    /// The handler of the disconnection, if there is one.
    fn disconnected(self: Arc<Self>, reason: DisconnectReason) -> Option<Job>;
    /// Reads the arguments of an event and offers its handler, if there is one. Returns the bytes that
    /// are pending now because of it.
    fn event(
        self: Arc<Self>,
        name: &str,
        args: Args<'_>,
        ack: Option<u64>,
        slot: &mut Slot<'_, '_>,
    ) -> Result<usize, ReadError>;
    /// The socket has gone for good: its listeners, which may own it, are let go.
    fn let_go(&self);
}

/// Takes a socket out of its namespace. True for the one caller who did it.
pub(crate) fn leave(socket: &Arc<dyn AnySocket>, reason: DisconnectReason) -> bool {
    let core = socket.core();
    if !core.go() {
        return false;
    }
    Arc::clone(socket).leaving(reason);
    if Arc::strong_count(socket) > OWNERS || socket.says_goodbye() {
        core.keep_rooms();
    }
    core.exit(Going::of(reason));
    true
}

/// Who owns a socket that no application holds: its connection's desk, and the index.
const OWNERS: usize = 2;

/// Puts a socket out of its namespace: its client is told, and its connection's task runs the
/// disconnect handler.
pub(crate) fn remove(socket: &Arc<dyn AnySocket>) {
    let core = socket.core();
    if core.is_gone() {
        return;
    }
    core.say_disconnect();
    if leave(socket, DisconnectReason::ServerNamespaceDisconnect) {
        core.conn.command(Command::Removed(Arc::clone(socket)));
    }
}

impl<D: Send + Sync + 'static> Inner<D> {
    pub(crate) fn new(
        id: SocketId,
        conn: Arc<Conn>,
        place: Arc<Place>,
        auth: Option<Arc<str>>,
        table: Arc<Table<D>>,
        data: D,
    ) -> Arc<Self> {
        Self::with_data(id, conn, place, auth, table, Held::Own(data))
    }

    fn with_data(
        id: SocketId,
        conn: Arc<Conn>,
        place: Arc<Place>,
        auth: Option<Arc<str>>,
        table: Arc<Table<D>>,
        data: Held<D>,
    ) -> Arc<Self> {
        Arc::new(Self {
            core: Core::new(id, conn, place, auth),
            table,
            listeners: OnceLock::new(),
            data,
        })
    }
}

impl<D> Inner<D> {
    /// The socket that this one goes on from.
    pub(super) fn first(&self) -> Option<&Arc<Self>> {
        match &self.data {
            Held::Own(_) => None,
            Held::Of(first) => Some(first),
        }
    }

    pub(super) fn data(&self) -> &D {
        match &self.data {
            Held::Own(data) => data,
            Held::Of(first) => first.data(),
        }
    }
}

impl<D: Send + Sync + 'static> AnySocket for Inner<D> {
    fn core(&self) -> &Core {
        &self.core
    }

    fn continued(
        self: Arc<Self>,
        conn: Arc<Conn>,
        auth: Option<Arc<str>>,
        id: SocketId,
    ) -> Arc<dyn AnySocket> {
        let (place, table) = (Arc::clone(&self.core.place), Arc::clone(&self.table));
        Self::with_data(id, conn, place, auth, table, Held::Of(self))
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn any::Any + Send + Sync> {
        self
    }

    fn connected(self: Arc<Self>) -> Option<Job> {
        let table = Arc::clone(&self.table);
        let handler = table.connect.as_ref()?;
        let task = handler(Socket::new(self));
        let order = Order::First;
        Some(Job { task, order })
    }

    fn leaving(self: Arc<Self>, reason: DisconnectReason) {
        if self.table.leaving.is_some() && self.core.has_entered() {
            let socket = Socket::new(self);
            contain("a look at a socket that leaves", || {
                if let Some(look) = &socket.table().leaving {
                    look(&socket, reason);
                }
            });
        }
    }

    fn says_goodbye(&self) -> bool {
        self.table.disconnect.is_some()
    }

    fn disconnected(self: Arc<Self>, reason: DisconnectReason) -> Option<Job> {
        let table = Arc::clone(&self.table);
        let handler = table.disconnect.as_ref()?;
        Some(Job::serial(handler(Socket::new(self), reason)))
    }

    fn let_go(&self) {
        if let Some(listeners) = self.listeners.get() {
            listeners.remove(Which::All);
        }
    }

    fn event(
        self: Arc<Self>,
        name: &str,
        args: Args<'_>,
        ack: Option<u64>,
        slot: &mut Slot<'_, '_>,
    ) -> Result<usize, ReadError> {
        if self.listeners.get().is_none()
            && let Some(handler) = self.table.only_handler(name)
        {
            return match handler.run(Socket::new(self), args, ack, slot) {
                Ok(pending) => Ok(pending),
                Err(unread) => {
                    let job = unread.settle(name, ack)?;
                    Ok(job.map_or(0, |job| slot.offer(job)))
                }
            };
        }
        let socket = Socket::new(self);
        let job = socket.table().other(&socket, name, args, ack)?;
        Ok(job.map_or(0, |job| slot.offer(job)))
    }
}
