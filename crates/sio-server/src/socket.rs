//! A client in a namespace, as handlers see it.

use std::{
    any, fmt,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use eio_transport::{Revision, Sid, Transport};
use serde::{Deserialize, Serialize};
use sio_packet::{Args, ReadError, Value, WriteError};
use sio_rooms::{Acks, Full, JoinError, MemberId, RecoveryError, Selection};
use tokio::sync::oneshot;

use crate::{
    call::Call,
    clock,
    config::Config,
    conn::{Command, Conn, Form, Mode},
    counters::Limit,
    emitting::Emitting,
    entropy,
    error::{CallError, DisconnectReason},
    event::Reply,
    event::{Answer, Any, EventName},
    frames,
    handshake::Handshake,
    incoming::Incoming,
    io::Io,
    lane::{Job, Order, Slot},
    listeners::{Hears, ListenerId, Listeners, Which},
    memory::{Going, Tie},
    nodes, onlookers,
    panic::contain,
    place::{Member, Origin, Place},
    store::Session,
    table::{self, Handler, OnEvent, Serial, Table, Watcher},
    target::{RoomNames, Sent, Target},
};

/// A client that has joined a namespace, with the data `D` that its admission returned.
///
/// Cheap to clone and harmless to keep: once the client has gone, emitting reaches nobody, calls
/// fail at once, and neither the connection nor its buffers stay.
///
/// ```
/// use sio_server::{Ack, Handshake, Namespace, Socket};
///
/// let members = Namespace::new("/members", async |hello: Handshake| hello.auth::<String>())
///     .on("whoami", async |socket: Socket<String>, ()| {
///         println!("{} by {:?}, in {:?}", socket.namespace(), socket.transport(), socket.rooms());
///         Ack(socket.data().clone())
///     })
///     .on("later", async |socket: Socket<String>, text: String| {
///         tokio::spawn(async move {
///             tokio::time::sleep(std::time::Duration::from_secs(60)).await;
///             if socket.is_connected() {
///                 socket.emit("reminder", &text);
///             }
///         });
///     });
/// ```
pub struct Socket<D = ()> {
    inner: Arc<Inner<D>>,
}

pub(crate) struct Inner<D> {
    core: Core,
    table: Arc<Table<D>>,
    /// Its own listeners, if it ever had one.
    listeners: OnceLock<Box<Listeners<D>>>,
    data: Held<D>,
}

/// Where a socket's data are.
enum Held<D> {
    Own(D),
    /// With the socket that this one goes on from, which has its own.
    Of(Arc<Inner<D>>),
}

/// What a socket that is idle has not needed yet.
#[derive(Default)]
struct Rare {
    acks: Mutex<Acks<oneshot::Sender<AckText>>>,
    /// The rooms it was in when it left, for the disconnect handler.
    last_rooms: OnceLock<Vec<String>>,
    session: Session,
}

impl Rare {
    fn acks(&self) -> MutexGuard<'_, Acks<oneshot::Sender<AckText>>> {
        self.acks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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
    tie: OnceLock<Box<Tie>>,
}

/// The public id of a socket.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum SocketId {
    /// 20 characters, never the id of its session.
    Own(Sid),
    /// Of a client of protocol 4 in another namespace than `/`: `/chat#` and the id of its session.
    Session(Arc<str>),
}

impl SocketId {
    /// An id for a new socket of `namespace`. Clients of protocol 4 are not told theirs: they make
    /// it up from the id of the session, and so do we, unless that is to stay between us.
    pub(crate) fn new(conn: &Conn, namespace: &str) -> Self {
        match (conn.revision, namespace) {
            (Revision::V4, _) => Self::Own(entropy::id()),
            _ if conn.hub.config.hide_session_ids => Self::Own(entropy::id()),
            (Revision::V3, "/") => Self::Own(conn.sid),
            (Revision::V3, name) => Self::Session(format!("{name}#{}", conn.sid.as_str()).into()),
        }
    }
}

impl AsRef<str> for SocketId {
    fn as_ref(&self) -> &str {
        match self {
            Self::Own(id) => id.as_str(),
            Self::Session(id) => id,
        }
    }
}

/// An answer as it came.
pub(crate) struct AckText {
    pub(crate) data: Box<str>,
    pub(crate) attachments: Vec<Bytes>,
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

impl<D: Send + Sync + 'static> Socket<D> {
    // ---- facts --------------------------------------------------------------------------------

    /// The public id: 20 characters. A room of this name reaches this socket alone.
    pub fn id(&self) -> &str {
        self.inner.core.id.as_ref()
    }

    /// What the admission to the namespace returned.
    pub fn data(&self) -> &D {
        self.inner.data()
    }

    /// The namespace's name.
    pub fn namespace(&self) -> &str {
        self.inner.core.place.name()
    }

    /// The request that opened the connection, and the auth payload.
    pub fn handshake(&self) -> Handshake {
        let core = &self.inner.core;
        Handshake::new(
            Arc::clone(&core.conn),
            Arc::clone(&core.place),
            core.auth.clone(),
        )
    }

    /// The transport in use; a client that began by polling may move to WebSocket.
    pub fn transport(&self) -> Transport {
        self.inner.core.conn.lock().session.transport()
    }

    /// Whether the client is still in the namespace.
    pub fn is_connected(&self) -> bool {
        !self.inner.core.is_gone()
    }

    /// The rooms this socket is in, its own id first. In a disconnect handler: those it was in.
    pub fn rooms(&self) -> Vec<String> {
        self.inner.core.rooms()
    }

    /// The handle of the server, to emit to others than this socket's namespace.
    pub fn io(&self) -> Io {
        Io::from_hub(Arc::clone(&self.inner.core.conn.hub))
    }

    /// Whether the client came back after its connection broke, and is what it was: see
    /// [`Recovery`](crate::Recovery).
    ///
    /// ```
    /// # use sio_server::Server;
    /// let server = Server::new().on_connect(async |socket| {
    ///     match (socket.recovered(), socket.recovery_error()) {
    ///         (true, _) => {} // It is in its rooms, and has been sent what it missed.
    ///         (false, Some(why)) => println!("{} begins anew: {why}", socket.id()),
    ///         (false, None) => println!("{} is new", socket.id()),
    ///     }
    /// });
    /// ```
    pub fn recovered(&self) -> bool {
        let tie = self.inner.core.tie.get();
        tie.is_some_and(|tie| tie.recovered == Ok(true))
    }

    /// Why the client, which came back after its connection broke, is a new socket all the same.
    pub fn recovery_error(&self) -> Option<RecoveryError> {
        self.inner.core.tie.get()?.recovered.err()
    }

    /// Bytes that wait to be sent to this client.
    ///
    /// ```
    /// # fn f(socket: sio_server::Socket, frame: &[u8]) {
    /// if socket.buffered_bytes() < 64 << 10 {
    ///     socket.emit("frame", &bytes::Bytes::copy_from_slice(frame));
    /// }
    /// # }
    /// ```
    pub fn buffered_bytes(&self) -> usize {
        let conn = &self.inner.core.conn;
        conn.settle_fans();
        conn.lock().queued_bytes()
    }

    /// Waits until all that was said to this client has been handed to its transport, and nothing else
    /// waits: the brake for whoever sends a lot to one client. False if the connection ends before.
    ///
    /// That it has left does not mean that it has arrived: only an ack tells that.
    ///
    /// ```
    /// # use sio_server::Socket;
    /// # async fn f(socket: Socket, chunks: Vec<bytes::Bytes>) {
    /// for chunk in chunks {
    ///     socket.emit("chunk", &chunk);
    ///     if !socket.flushed().await {
    ///         return;
    ///     }
    /// }
    /// # }
    /// ```
    pub async fn flushed(&self) -> bool {
        let conn = &self.inner.core.conn;
        std::future::poll_fn(|cx| {
            conn.settle_fans();
            conn.lock().poll_flushed(cx.waker())
        })
        .await
    }

    // ---- to this client -----------------------------------------------------------------------

    /// Sends an event to this client. Never waits.
    ///
    /// What one task emits arrives in the order it was emitted. A payload that cannot be written
    /// reaches nobody and is logged.
    ///
    /// ```
    /// # use sio_server::Server;
    /// let server = Server::new().on_connect(async |socket| {
    ///     socket.emit("welcome", socket.id());
    ///     socket.emit("position", &(48.2, 16.4)); // two arguments
    ///     socket.emit("ready", &()); // none
    /// });
    /// ```
    pub fn emit<T: Serialize + ?Sized, A>(&self, event: impl EventName<T, A>, payload: &T) -> Sent {
        let core = &self.inner.core;
        core.emit(Mode::Reliable, None, event.event_name(), payload)
    }

    /// Sends an event to this client when there is room for it, and waits for that, at most `max`: other
    /// than [`emit`](Self::emit) it slows down whoever sends more than the client takes.
    ///
    /// The event is written now and sent when the returned value is awaited. If there is no room in
    /// time, what [`SlowClients`](crate::SlowClients) says is done with the client.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sio_server::{EmitError, Socket};
    /// # async fn f(socket: Socket, rows: Vec<String>) -> Result<(), EmitError> {
    /// for row in rows {
    ///     socket.emit_within(Duration::from_secs(10), "row", &row).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn emit_within<T: Serialize + ?Sized, A>(
        &self,
        max: std::time::Duration,
        event: impl EventName<T, A>,
        payload: &T,
    ) -> Emitting {
        let socket = Arc::clone(&self.inner) as Arc<dyn AnySocket>;
        Emitting::new(socket, max, event.event_name(), payload)
    }

    /// Like [`emit`](Self::emit), but dropped if the client takes nothing at the moment.
    ///
    /// ```
    /// # fn f(socket: sio_server::Socket) {
    /// socket.emit_volatile("position", &(48.2, 16.4)); // The next one is newer anyway.
    /// # }
    /// ```
    pub fn emit_volatile<T: Serialize + ?Sized, A>(
        &self,
        event: impl EventName<T, A>,
        payload: &T,
    ) -> Sent {
        self.inner
            .core
            .emit(Mode::Volatile, None, event.event_name(), payload)
    }

    /// Like [`emit`](Self::emit), but not compressed, whatever was agreed to: for a payload that is
    /// compressed already, or holds a secret beside what a stranger has chosen. Node's
    /// `compress(false)`.
    ///
    /// ```
    /// # fn f(socket: sio_server::Socket, jpeg: bytes::Bytes) {
    /// socket.emit_uncompressed("photo", &jpeg);
    /// # }
    /// ```
    pub fn emit_uncompressed<T: Serialize + ?Sized, A>(
        &self,
        event: impl EventName<T, A>,
        payload: &T,
    ) -> Sent {
        let core = &self.inner.core;
        core.emit_as(Form::AsItIs, event.event_name(), payload)
    }

    /// Sends an event and waits for the client's answer, for [`Config::ack_timeout`] unless told
    /// otherwise.
    ///
    /// The event is sent now; the returned value is awaited for the answer.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sio_server::{CallError, Socket};
    /// # async fn f(socket: Socket) -> Result<(), CallError> {
    /// let name: String = socket.call("your-name", &()).timeout(Duration::from_secs(5)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn call<T: Serialize + ?Sized, A: Answer<R>, R>(
        &self,
        event: impl EventName<T, A>,
        payload: &T,
    ) -> Call<R> {
        let core = &self.inner.core;
        let timeout = core.config().ack_timeout;
        let asked = core.ask(event.event_name(), payload, timeout);
        Call::new(
            Arc::clone(&self.inner) as Arc<dyn AnySocket>,
            asked,
            timeout,
        )
    }

    // ---- rooms --------------------------------------------------------------------------------

    /// Enters a room, or several. Returns whether the socket is in all of them now: not if it has
    /// gone, nor beyond [`Config::max_rooms`], which is logged.
    ///
    /// ```
    /// # fn f(socket: sio_server::Socket) {
    /// socket.join("lobby");
    /// socket.join(["tea", "coffee"]);
    /// # }
    /// ```
    pub fn join(&self, rooms: impl RoomNames) -> bool {
        let mut all = true;
        rooms.each(&mut |room| all &= self.inner.core.join(room));
        all
    }

    /// Leaves a room, or several.
    ///
    /// ```
    /// # fn f(socket: sio_server::Socket) {
    /// socket.leave("lobby");
    /// socket.leave(["tea", "coffee"]);
    /// # }
    /// ```
    pub fn leave(&self, rooms: impl RoomNames) {
        rooms.each(&mut |room| self.inner.core.leave_room(room));
    }

    /// Everybody in these rooms except this socket; a socket's id is a room, too.
    ///
    /// ```
    /// # fn f(socket: sio_server::Socket, friend: &str) {
    /// socket.to("lobby").emit("said", "hello");
    /// socket.to(["tea", "coffee"]).except("muted").emit("said", "hello, all");
    /// socket.to(friend).emit("whispered", "psst");
    /// # }
    /// ```
    pub fn to(&self, rooms: impl RoomNames) -> Target {
        self.broadcast().to(rooms)
    }

    /// Everybody in the namespace except this socket and the members of these rooms.
    pub fn except(&self, rooms: impl RoomNames) -> Target {
        self.broadcast().except(rooms)
    }

    /// Everybody in the namespace except this socket.
    ///
    /// ```
    /// # fn f(socket: sio_server::Socket) {
    /// let sent = socket.broadcast().emit("joined", socket.id());
    /// println!("{} others", sent.reached);
    /// # }
    /// ```
    pub fn broadcast(&self) -> Target {
        let selection = Selection::everyone().except(self.id());
        Target::new(Arc::clone(&self.inner.core.place), selection)
    }

    /// Everybody in the namespace, this socket included.
    ///
    /// ```
    /// # fn f(socket: sio_server::Socket) {
    /// socket.everyone().emit("said", "hello"); // the sender hears it, too
    /// # }
    /// ```
    pub fn everyone(&self) -> Target {
        Target::new(Arc::clone(&self.inner.core.place), Selection::everyone())
    }

    // ---- of its own -----------------------------------------------------------------------

    /// Listens to an event of this socket alone, as in Node; beside the namespace's handler, which
    /// answers if there is one, else the first listener does. Listeners end with the socket.
    ///
    /// A handler of the [`Namespace`](crate::Namespace) costs nothing per socket, and is there before
    /// the first event; an event that comes before its listener is nobody's.
    ///
    /// ```
    /// # use sio_server::{Ack, Server};
    /// let server = Server::new().on_connect(async |socket| {
    ///     let mut count = 0;
    ///     let counter = std::sync::Arc::new(std::sync::Mutex::new(count));
    ///     socket.on("count", async move |_socket, ()| {
    ///         let mut count = counter.lock().unwrap();
    ///         *count += 1;
    ///         Ack(*count)
    ///     });
    /// });
    /// ```
    ///
    /// # Panics
    ///
    /// If the protocol reserves the event's name, see [`Event::new`](crate::Event::new).
    pub fn on<T, A, Fut>(
        &self,
        event: impl EventName<T, A>,
        listener: impl FnOnce(Self, T) -> Fut + Clone + Send + Sync + 'static,
    ) -> ListenerId
    where
        T: for<'de> Deserialize<'de> + Send + 'static,
        Fut: Future<Output: Reply<A> + 'static> + Send + 'static,
        A: 'static,
    {
        self.listen(event.event_name(), listener, Hears::Always)
    }

    /// Like [`on`](Self::on), for the next such event only.
    ///
    /// ```
    /// # use sio_server::{Ack, Server};
    /// let server = Server::new().on_connect(async |socket| {
    ///     socket.once("agree", async |socket, ()| {
    ///         socket.join("agreed");
    ///         Ack("thank you")
    ///     });
    /// });
    /// ```
    ///
    /// # Panics
    ///
    /// As [`on`](Self::on).
    pub fn once<T, A, Fut>(
        &self,
        event: impl EventName<T, A>,
        listener: impl FnOnce(Self, T) -> Fut + Clone + Send + Sync + 'static,
    ) -> ListenerId
    where
        T: for<'de> Deserialize<'de> + Send + 'static,
        Fut: Future<Output: Reply<A> + 'static> + Send + 'static,
        A: 'static,
    {
        self.listen(event.event_name(), listener, Hears::Once)
    }

    fn listen<T, A, Fut>(
        &self,
        event: &str,
        listener: impl FnOnce(Self, T) -> Fut + Clone + Send + Sync + 'static,
        hears: Hears,
    ) -> ListenerId
    where
        T: for<'de> Deserialize<'de> + Send + 'static,
        Fut: Future<Output: Reply<A> + 'static> + Send + 'static,
        A: 'static,
    {
        assert!(
            !sio_packet::is_reserved(event),
            "{event:?} is reserved; there are on_connect, on_disconnect and on_disconnecting"
        );
        let handler: OnEvent<_, _, T, A, Fut> = OnEvent::new(event.into(), listener, Serial);
        let listeners = &self.inner.listeners;
        let listeners = listeners.get_or_init(|| Box::new(Listeners::new()));
        listeners.add(event, Arc::new(handler), hears, || {
            self.inner.core.is_gone()
        })
    }

    /// Sees each event of this socket before its handler does, behind the catch-alls of the namespace: Node's
    /// `socket.onAny`. Ends with the socket, or by [`off`](Self::off).
    ///
    /// ```
    /// # use sio_server::{Incoming, Server};
    /// let server = Server::new().on_connect(async |socket| {
    ///     socket.on_any(async |socket, incoming: Incoming| {
    ///         println!("{} says {}", socket.id(), incoming.event());
    ///     });
    /// });
    /// ```
    pub fn on_any<Fut>(
        &self,
        look: impl FnOnce(Self, Incoming) -> Fut + Clone + Send + Sync + 'static,
    ) -> ListenerId
    where
        Fut: Future<Output: Reply<Any> + 'static> + Send + 'static,
    {
        let listeners = &self.inner.listeners;
        let listeners = listeners.get_or_init(|| Box::new(Listeners::new()));
        listeners.add_any(table::any(look), || self.inner.core.is_gone())
    }

    /// Removes this socket's own listeners: all of an event, by its name, one, by what
    /// [`on`](Self::on) returned, or [all](Which::All).
    ///
    /// ```
    /// # fn f(socket: sio_server::Socket) {
    /// let answer = socket.on("answer", async |_socket, text: String| println!("{text}"));
    /// socket.off(answer); // this one
    /// socket.off("answer"); // all of the event
    /// socket.off(sio_server::Which::All);
    /// # }
    /// ```
    pub fn off<'a>(&self, which: impl Into<Which<'a>>) {
        if let Some(listeners) = self.inner.listeners.get() {
            listeners.remove(which.into());
        }
    }

    /// Values kept for this socket by their type, as Flask-SocketIO keeps a session. Where the type is
    /// known from the beginning, [`data`](Self::data) is the better place.
    ///
    /// ```
    /// # #[derive(Clone, Default)] struct Score(u32);
    /// # use sio_server::{Ack, Server};
    /// let server = Server::new().on("hit", async |socket, ()| {
    ///     Ack(socket.session().with(|score: &mut Score| { score.0 += 1; score.0 }))
    /// });
    /// ```
    pub fn session(&self) -> &Session {
        let first = self.inner.first().unwrap_or(&self.inner);
        &first.core.rare().session
    }

    // ---- the end ------------------------------------------------------------------------------

    /// Puts this socket out of the namespace; the connection and its other namespaces stay. The
    /// client sees `io server disconnect`.
    ///
    /// ```
    /// # use sio_server::Server;
    /// let server = Server::new()
    ///     .on("bye", async |socket, ()| socket.disconnect())
    ///     .on("log out everywhere", async |socket, ()| socket.disconnect_connection());
    /// ```
    pub fn disconnect(&self) {
        remove(&(Arc::clone(&self.inner) as Arc<dyn AnySocket>));
    }

    /// Puts this client out of all its namespaces and closes the connection.
    pub fn disconnect_connection(&self) {
        self.inner.core.conn.command(Command::Disconnect);
    }

    pub(crate) fn new(inner: Arc<Inner<D>>) -> Self {
        Self { inner }
    }

    /// The socket, if its data is a `D`.
    pub(crate) fn from_any(socket: Arc<dyn AnySocket>) -> Option<Self> {
        let inner = socket.into_any().downcast().ok()?;
        Some(Self { inner })
    }

    pub(crate) fn into_any(self) -> Arc<dyn AnySocket> {
        self.inner
    }

    pub(crate) fn core(&self) -> &Core {
        &self.inner.core
    }

    pub(crate) fn table(&self) -> &Table<D> {
        &self.inner.table
    }

    pub(crate) fn has_listeners(&self) -> bool {
        self.inner.listeners.get().is_some()
    }

    /// Its own listeners of all events.
    pub(crate) fn catch_alls(&self) -> Vec<Arc<Watcher<D>>> {
        let listeners = self.inner.listeners.get();
        listeners.map_or_else(Vec::new, |listeners| listeners.any())
    }

    /// Its own listeners of an event; those that hear once only are heard from no more.
    pub(crate) fn listeners(&self, event: &str) -> Vec<Arc<dyn Handler<D>>> {
        let listeners = self.inner.listeners.get();
        listeners.map_or_else(Vec::new, |listeners| listeners.of(event))
    }
}

impl<D> Clone for Socket<D> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<D> fmt::Debug for Socket<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let core = &self.inner.core;
        f.debug_struct("Socket")
            .field("id", &core.id.as_ref())
            .field("namespace", &core.place.name())
            .finish_non_exhaustive()
    }
}

/// Takes a socket out of its namespace. True for the one caller who did it.
pub(crate) fn leave(socket: &Arc<dyn AnySocket>, reason: DisconnectReason) -> bool {
    let core = socket.core();
    // In one order with the opening of rounds, see `Rounds`.
    if core.gone.swap(true, Ordering::SeqCst) {
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
        let core = Core {
            id,
            conn,
            place,
            member: OnceLock::new(),
            rare: OnceLock::new(),
            gone: AtomicBool::new(false),
            auth,
            tie: OnceLock::new(),
        };
        Arc::new(Self {
            core,
            table,
            listeners: OnceLock::new(),
            data,
        })
    }
}

impl<D> Inner<D> {
    /// The socket that this one goes on from.
    fn first(&self) -> Option<&Arc<Self>> {
        match &self.data {
            Held::Own(_) => None,
            Held::Of(first) => Some(first),
        }
    }

    fn data(&self) -> &D {
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
        if self.table.leaving.is_some() && self.core.member.get().is_some() {
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

impl Core {
    pub(crate) fn config(&self) -> &Config {
        &self.conn.hub.config
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::SeqCst)
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
    fn keep_rooms(&self) {
        if let Some(member) = self.member() {
            let _ = self.rare().last_rooms.set(self.rooms_of(member.id));
        }
    }

    /// Lets go of the rooms and of those who wait for answers.
    fn exit(&self, going: Going) {
        if let Some(member) = self.member() {
            self.place.exit(self.conn.part_index(), member, going);
        }
        // Whoever waits for an answer learns at once that none will come.
        self.place.rounds().gone(&self.id);
        if let Some(rare) = self.rare.get() {
            drop(rare.acks().drain());
        }
    }

    fn rare(&self) -> &Rare {
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

    fn emit<T: Serialize + ?Sized>(
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
        let said = self.conn.say(mode, |out, attachments| {
            frames::event(out, attachments, self.place.name(), ack, event, payload)
        });
        Self::sent(event, said.map(|taken| Sent::here(taken.into())))
    }

    fn emit_as<T: Serialize + ?Sized>(&self, form: Form, event: &str, payload: &T) -> Sent {
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
        let said = self.conn.say_as(mode, form, |out, attachments| {
            frames::event(out, attachments, self.place.name(), None, event, payload)
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
                let emitted = place.emit(&who, mode, form, Origin::Here, |out, attachments| {
                    frames::event(out, attachments, place.name(), None, event, payload)
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
    fn ask<T: Serialize + ?Sized>(
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
        let said = self.conn.say(mode, |out, attachments| {
            frames::event(
                out,
                attachments,
                self.place.name(),
                Some(id * 2),
                event,
                payload,
            )
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
        let _ = self.conn.say(Mode::Vital, |out, _| {
            frames::plain(out, |text| {
                sio_packet::write_disconnect(text, self.place.name());
                Ok(())
            })
        });
    }
}

/// An event that asks for an answer and is on its way.
pub(crate) struct Asked {
    pub(crate) id: u64,
    pub(crate) answered: oneshot::Receiver<AckText>,
}

/// Where a handler's answer goes.
#[doc(hidden)]
pub struct Responder<'a> {
    to: To<'a>,
    event: &'a str,
}

enum To<'a> {
    /// To a client, if it asked for an ack.
    Client { core: &'a Core, ack: Option<u64> },
    /// To another node.
    Node {
        answer: &'a mut Option<Value>,
        debug: bool,
    },
}

impl<'a> Responder<'a> {
    pub(crate) fn new(core: &'a Core, event: &'a str, ack: Option<u64>) -> Self {
        let to = To::Client { core, ack };
        Self { to, event }
    }

    /// Puts the answer where a node's is.
    pub(crate) fn for_node(event: &'a str, answer: &'a mut Option<Value>, debug: bool) -> Self {
        let to = To::Node { answer, debug };
        Self { to, event }
    }

    pub(crate) fn event(&self) -> &'a str {
        self.event
    }

    pub(crate) fn is_debug(&self) -> bool {
        match &self.to {
            To::Client { core, .. } => core.conn.hub.debug.is_on(),
            To::Node { debug, .. } => *debug,
        }
    }

    pub(crate) fn send<T: Serialize + ?Sized>(self, args: &T) {
        let said = match self.to {
            To::Client { ack: None, .. } => return,
            To::Client { core, .. } if core.is_gone() => return,
            To::Client {
                core,
                ack: Some(id),
            } => core.conn.say(Mode::Vital, |out, attachments| {
                frames::ack(out, attachments, core.place.name(), id, args)
            }),
            To::Node { answer, .. } => nodes::value(args)
                .map(|value| answer.insert(value))
                .map(|_| true),
        };
        if let Err(error) = said {
            tracing::error!(event = self.event, %error, "an ack could not be written");
        }
    }
}
