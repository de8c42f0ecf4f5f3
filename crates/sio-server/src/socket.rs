//! A client in a namespace, as handlers see it.

mod core;
mod id;
mod inner;
mod own;
mod responder;

use std::{fmt, sync::Arc};

use eio_transport::Transport;
use serde::Serialize;
use sio_rooms::{RecoveryError, Selection};

pub use self::responder::Responder;
pub(crate) use self::{
    core::{AckText, Asked, Core},
    id::SocketId,
    inner::{AnySocket, Inner, leave, remove},
};
use crate::{
    call::Call,
    conn::{Command, Form, Mode},
    emitting::Emitting,
    event::{Answer, EventName},
    handshake::Handshake,
    io::Io,
    store::Session,
    table::Table,
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

    /// Sends an event and waits for the client's answer, for [`Config::ack_timeout`](crate::Config::ack_timeout) unless told
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
    /// gone, nor beyond [`Config::max_rooms`](crate::Config::max_rooms), which is logged.
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
