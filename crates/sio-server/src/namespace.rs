//! A namespace: who may join it, and what happens on which event.
//!
//! Handlers belong to the namespace, not to the socket: one table, filled before the server starts
//! and frozen then, so a connection costs no handler memory and an event cannot arrive before its
//! handler.

use std::{fmt, future::Future, hash::Hash, sync::Arc};

use foldhash::fast::RandomState;
use serde::Deserialize;

use crate::{
    config::SlowClients,
    error::{DisconnectReason, Refuse, StartError},
    event::{Any, EventName, Reply},
    failure::Failure,
    handshake::Handshake,
    incoming::Incoming,
    io::Io,
    nodes::OnNodeEvent,
    onlookers::{Onlookers, Outgoing, RoomEvent},
    pattern::Pattern,
    realm::{Admit, Mount, Mounted, Name, Rules},
    socket::{Responder, Socket},
    table::{self, Concurrent, Handler, Keyed, OnEvent, OnUnhandled, Serial, Table},
};

/// A namespace with data of type `D` for each of its sockets.
///
/// ```
/// use sio_server::{Handshake, Namespace, Refuse, Server};
///
/// let chat = Namespace::new("/chat", async |hello: Handshake| {
///     let name: String = hello.auth()?;
///     if name.is_empty() { Err(Refuse::new("who are you?")) } else { Ok(name) }
/// })
/// .on("say", async |socket, text: String| {
///     socket.everyone().emit("said", &(socket.data(), text));
/// });
/// let server = Server::new().mount(chat);
/// ```
#[must_use = "a namespace does nothing until it is mounted"]
pub struct Namespace<D = ()> {
    name: Name,
    rules: Rules<D>,
    /// The first mistake in the way it was put together; the server does not start with it.
    fault: Option<StartError>,
}

impl Namespace<()> {
    /// A namespace that everybody may join and that keeps no data per socket.
    ///
    /// ```
    /// # use sio_server::{Namespace, Server};
    /// let news = Namespace::open("/news").on_connect(async |socket| {
    ///     socket.emit("headline", "rain");
    /// });
    /// let server = Server::new().mount(news);
    /// ```
    pub fn open(name: impl Into<String>) -> Self {
        Self::with(Name::Fixed(name.into()), Admit::Everybody(|| ()))
    }
}

impl<D: Send + Sync + 'static> Namespace<D> {
    // ---- who may join -------------------------------------------------------------------------

    /// A namespace that `admit` decides about: it returns what is to be known of the socket from
    /// then on ([`Socket::data`]), or a [`Refuse`] that the client gets as `connect_error`.
    pub fn new<Fut>(
        name: impl Into<String>,
        admit: impl FnOnce(Handshake) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = Result<D, Refuse>> + Send + 'static,
    {
        let admit = Box::new(move |hello| Box::pin(admit.clone()(hello)) as _);
        Self::with(Name::Fixed(name.into()), Admit::Asked(admit))
    }

    /// Namespaces of all names that `matches` accepts, each opened when its first client comes and
    /// closed when its last one has gone. Which one it is, [`Socket::namespace`] tells.
    ///
    /// ```
    /// # use sio_server::{Ack, Handshake, Namespace};
    /// let streets = Namespace::matching(
    ///     |name| name.ends_with("-street"),
    ///     async |_: Handshake| Ok(()),
    /// )
    /// .on("where", async |socket, ()| Ack(socket.namespace().to_owned()));
    /// ```
    pub fn matching<Fut>(
        matches: impl Fn(&str) -> bool + Send + Sync + 'static,
        admit: impl FnOnce(Handshake) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = Result<D, Refuse>> + Send + 'static,
    {
        let admit = Box::new(move |hello| Box::pin(admit.clone()(hello)) as _);
        Self::with(Name::Matching(Box::new(matches)), Admit::Asked(admit))
    }

    /// Namespaces of all names of a form, opened and closed as those of
    /// [`matching`](Self::matching): `/orders/{id}` with the places in braces read into `P`, a tuple by
    /// their order, a struct by their names, anything else the only one.
    ///
    /// A place holds one character at least and no slash. A name whose places are not a `P` is nobody's,
    /// and a client that asks for it gets `Invalid namespace`.
    ///
    /// ```
    /// # use sio_server::{Handshake, Namespace, Server};
    /// struct Order(u64);
    ///
    /// let orders = Namespace::pattern("/orders/{id}", async |_hello: Handshake, id: u64| {
    ///     Ok(Order(id))
    /// })
    /// .on("cancel", async |socket, ()| println!("order {} is cancelled", socket.data().0));
    /// let server = Server::new().mount(orders);
    /// ```
    pub fn pattern<P, Fut>(
        pattern: &str,
        admit: impl FnOnce(Handshake, P) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        P: for<'de> Deserialize<'de> + Send + 'static,
        Fut: Future<Output = Result<D, Refuse>> + Send + 'static,
    {
        let (parsed, fault) = match Pattern::parse(pattern) {
            Ok(parsed) => (Some(Arc::new(parsed)), None),
            Err(problem) => {
                let pattern = pattern.to_owned();
                (None, Some(StartError::Pattern { pattern, problem }))
            }
        };
        let read = move |name: &str| parsed.as_ref().and_then(|pattern| pattern.read::<P>(name));
        let matches = read.clone();
        let admit = Box::new(move |hello: Handshake| {
            let (admit, places) = (admit.clone(), read(hello.namespace()));
            Box::pin(async move {
                let places = places.ok_or_else(|| Refuse::new("Invalid namespace"))?;
                admit(hello, places).await
            }) as _
        });
        let name = Name::Matching(Box::new(move |name| matches(name).is_some()));
        let mut namespace = Self::with(name, Admit::Asked(admit));
        namespace.fault = fault;
        namespace
    }

    fn with(name: Name, admit: Admit<D>) -> Self {
        let rules = Rules {
            guards: Vec::new(),
            admit,
            table: Table::new(),
            onlookers: Onlookers::default(),
        };
        Self {
            name,
            rules,
            fault: None,
        }
    }

    /// Asks before the admission whether a client may join at all: what several namespaces share. Those
    /// that were added first ask first; the first refusal counts.
    ///
    /// ```
    /// # use sio_server::{Handshake, Namespace, Refuse};
    /// async fn only_browsers(hello: Handshake) -> Result<(), Refuse> {
    ///     match hello.header("user-agent") {
    ///         Some(agent) if agent.starts_with("Mozilla") => Ok(()),
    ///         _ => Err(Refuse::new("browsers only")),
    ///     }
    /// }
    ///
    /// let news = Namespace::open("/news").guard(only_browsers);
    /// let chat = Namespace::open("/chat").guard(only_browsers);
    /// ```
    pub fn guard<Fut>(
        mut self,
        check: impl FnOnce(Handshake) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = Result<(), Refuse>> + Send + 'static,
    {
        let guard = Box::new(move |hello| Box::pin(check.clone()(hello)) as _);
        self.rules.guards.push(guard);
        self
    }

    // ---- events -------------------------------------------------------------------------------

    /// Handles an event.
    ///
    /// The payload is read into the handler's second argument: a tuple takes several arguments,
    /// `()` none, anything else the first. What the handler returns is the ack, see [`Reply`].
    ///
    /// Events of one socket are handled one at a time, in the order they came. A second handler
    /// of the same event replaces the first. A name that the protocol reserves is a
    /// [`StartError`].
    pub fn on<T, A, Fut>(
        self,
        event: impl EventName<T, A>,
        handler: impl FnOnce(Socket<D>, T) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        T: for<'de> Deserialize<'de> + Send + 'static,
        Fut: Future<Output: Reply<A> + 'static> + Send + 'static,
        A: 'static,
    {
        let handle: OnEvent<_, _, T, A, Fut> =
            OnEvent::new(event.event_name().into(), handler, Serial);
        self.handle(event.event_name(), Arc::new(handle))
    }

    /// Handles an event beside all others of the same socket: it begins as soon as it has come, also
    /// while earlier ones are still at work, and waits only for the handler of
    /// [`on_connect`](Self::on_connect). For what takes long, and for what must not wait for it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sio_server::{Ack, Namespace};
    /// let files = Namespace::open("/files")
    ///     .on_concurrent("pack", async |_socket, name: String| {
    ///         tokio::time::sleep(Duration::from_secs(60)).await;
    ///         Ack(format!("{name}.zip"))
    ///     });
    /// ```
    pub fn on_concurrent<T, A, Fut>(
        self,
        event: impl EventName<T, A>,
        handler: impl FnOnce(Socket<D>, T) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        T: for<'de> Deserialize<'de> + Send + 'static,
        Fut: Future<Output: Reply<A> + 'static> + Send + 'static,
        A: 'static,
    {
        let handle: OnEvent<_, _, T, A, Fut> =
            OnEvent::new(event.event_name().into(), handler, Concurrent);
        self.handle(event.event_name(), Arc::new(handle))
    }

    /// Handles an event beside others, but in order among those of the same socket whose payloads have
    /// the same key.
    ///
    /// ```
    /// # use sio_server::Namespace;
    /// # #[derive(serde::Deserialize)]
    /// # struct Edit { document: u64 }
    /// # async fn save(_: Edit) {}
    /// let documents = Namespace::open("/documents").on_keyed(
    ///     "edit",
    ///     |edit: &Edit| edit.document,
    ///     async |_socket, edit| save(edit).await,
    /// );
    /// ```
    pub fn on_keyed<T, A, K, Fut>(
        self,
        event: impl EventName<T, A>,
        key: impl Fn(&T) -> K + Send + Sync + 'static,
        handler: impl FnOnce(Socket<D>, T) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        T: for<'de> Deserialize<'de> + Send + 'static,
        K: Hash + 'static,
        Fut: Future<Output: Reply<A> + 'static> + Send + 'static,
        A: 'static,
    {
        let policy = Keyed {
            key,
            hasher: RandomState::default(),
        };
        let handle: OnEvent<_, _, T, A, Fut> =
            OnEvent::new(event.event_name().into(), handler, policy);
        self.handle(event.event_name(), Arc::new(handle))
    }

    fn handle(mut self, event: &str, handler: Arc<dyn Handler<D>>) -> Self {
        if sio_packet::is_reserved(event) {
            let fault = || StartError::EventName(event.to_owned());
            self.fault.get_or_insert_with(fault);
        }
        self.rules.table.events.insert(event, handler);
        self
    }

    /// Looks at each event before its handler, and may refuse it: a middleware. Those that were added
    /// first look first, catch-alls among them.
    ///
    /// A refusal is a [`Failure`], for [`on_error`](Self::on_error); where nobody looks at failures it
    /// becomes the ack, `{ message, data }`.
    ///
    /// ```
    /// # use sio_server::{Namespace, Refuse, Socket, Incoming};
    /// # struct User { admin: bool }
    /// # fn f(members: Namespace<User>) {
    /// let members = members.filter(async |socket: Socket<User>, incoming: Incoming| {
    ///     if incoming.event().starts_with("admin:") && !socket.data().admin {
    ///         return Err(Refuse::new("not yours"));
    ///     }
    ///     Ok(())
    /// });
    /// # }
    /// ```
    pub fn filter<Fut>(
        mut self,
        check: impl FnOnce(Socket<D>, Incoming) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = Result<(), Refuse>> + Send + 'static,
    {
        self.rules.table.watchers.push(table::filter(check));
        self
    }

    /// Sees each event before its handler does: Node's `onAny`.
    ///
    /// ```
    /// # use sio_server::{Incoming, Namespace};
    /// let chat = Namespace::open("/chat").on_any(async |socket, incoming: Incoming| {
    ///     println!("{} says {}", socket.id(), incoming.event());
    /// });
    /// ```
    pub fn on_any<Fut>(
        mut self,
        handler: impl FnOnce(Socket<D>, Incoming) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output: Reply<Any> + 'static> + Send + 'static,
    {
        self.rules.table.watchers.push(table::any(handler));
        self
    }

    /// Handles the events that have no handler of their own: Flask-SocketIO's `"*"`. What it returns is
    /// the ack.
    ///
    /// ```
    /// # use sio_server::{Ack, Incoming, Namespace};
    /// let namespace = Namespace::open("/").on_unhandled(async |_socket, incoming: Incoming| {
    ///     Ack(format!("nobody knows {:?}", incoming.event()))
    /// });
    /// ```
    pub fn on_unhandled<Fut>(
        mut self,
        handler: impl FnOnce(Socket<D>, Incoming) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output: Reply<Any> + 'static> + Send + 'static,
    {
        let handler: OnUnhandled<_, Fut> = OnUnhandled::new(handler);
        self.rules.table.unhandled = Some(Arc::new(handler));
        self
    }

    /// Sees the failures of this namespace: a handler that returned an error or panicked, a payload that
    /// is not what the handler takes, an event that was refused. What it returns becomes the ack of the
    /// event, as in Flask-SocketIO.
    ///
    /// Without it a failure goes to [`Server::on_error_default`](crate::Server::on_error_default);
    /// without that one, too, it is logged, and nothing is acknowledged but a refusal.
    ///
    /// ```
    /// # use sio_server::{Ack, Namespace};
    /// let shop = Namespace::open("/shop")
    ///     .on("buy", async |_socket, amount: String| amount.parse::<u32>().map(Ack))
    ///     .on_error(async |_socket, failure| Ack(format!("{}: {failure}", failure.event())));
    /// ```
    pub fn on_error<Fut>(
        mut self,
        handler: impl FnOnce(Socket<D>, Failure) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output: Reply<Any> + 'static> + Send + 'static,
    {
        self.rules.table.error = Some(Box::new(move |socket, failure, ack| {
            let handler = handler.clone();
            Box::pin(async move {
                let event = failure.event.clone();
                let reply = handler(socket.clone(), failure).await;
                table::answer_failure(reply, Responder::new(socket.core(), &event, ack));
            })
        }));
        self
    }

    /// Looks at each event that is emitted in the namespace, before it is sent: Node's `onAnyOutgoing`,
    /// once for an emit to many. Acks are no events.
    ///
    /// It costs that each event is written once more and read.
    ///
    /// ```
    /// # use sio_server::Namespace;
    /// let chat = Namespace::open("/chat").on_any_outgoing(|event| {
    ///     println!("{} {:?} to {}", event.event, event.arguments, event.to.unwrap_or("several"));
    /// });
    /// ```
    pub fn on_any_outgoing(mut self, look: impl Fn(&Outgoing<'_>) + Send + Sync + 'static) -> Self {
        self.rules.onlookers.outgoing.push(Arc::new(look));
        self
    }

    /// Is told when rooms come and go, and who joins and leaves them: one event after the other, in
    /// the order in which it happened.
    ///
    /// `look` runs where it happened: what takes long belongs into a task.
    ///
    /// ```
    /// # use sio_server::{Namespace, RoomEvent};
    /// let chat = Namespace::open("/chat").on_room(|event| match event {
    ///     RoomEvent::Created { room } => println!("{room} is open"),
    ///     RoomEvent::Deleted { room } => println!("{room} is empty"),
    ///     other => println!("{other:?}"),
    /// });
    /// ```
    pub fn on_room(mut self, look: impl Fn(&RoomEvent) + Send + Sync + 'static) -> Self {
        self.rules.onlookers.rooms = Some(Arc::new(look));
        self
    }

    /// What is done with clients of this namespace that do not keep up, instead of what
    /// [`Config::slow_clients`](crate::Config::slow_clients) says.
    ///
    /// ```
    /// # use sio_server::{Namespace, SlowClients};
    /// let prices = Namespace::open("/prices").slow_clients(SlowClients::DropVolatileOnly);
    /// ```
    pub fn slow_clients(mut self, slow: SlowClients) -> Self {
        self.rules.onlookers.slow = Some(slow);
        self
    }

    /// Handles an event that another node of the cluster sends to all others, which no client sees:
    /// Node's `io.on` of a `serverSideEmit`. Nodes of other languages are heard as those of ours.
    ///
    /// What the handler returns is this node's answer, if one is asked for. Handlers begin in the
    /// order in which the events came and work side by side; 1024 at a time, and 1024 more may wait.
    /// What is beyond that, a payload that is not what the handler takes, an error and a panic are
    /// logged, and the node that asks is told that this one [declines](crate::NodeAnswers::declined).
    ///
    /// ```
    /// # use sio_server::{Ack, Namespace};
    /// # async fn reload(_: &str) {}
    /// let chat = Namespace::open("/chat")
    ///     .on_server_side("reload", async |_io, what: String| reload(&what).await)
    ///     .on_server_side("how many", async |io, ()| Ack(io.len()));
    /// # async fn f(io: sio_server::Io) -> Result<(), sio_server::CallError> {
    /// io.of("/chat").server_side_emit("reload", "the words");
    /// let counts = io.of("/chat").server_side_call::<_, _, usize>("how many", &()).await?;
    /// for node in &counts.missing.nodes {
    ///     println!("{node} did not answer");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_server_side<T, A, Fut>(
        mut self,
        event: impl EventName<T, A>,
        handler: impl FnOnce(Io, T) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        T: for<'de> Deserialize<'de> + Send + 'static,
        Fut: Future<Output: Reply<A> + 'static> + Send + 'static,
        A: 'static,
    {
        let event = event.event_name();
        if sio_packet::is_reserved(event) {
            let fault = || StartError::EventName(event.to_owned());
            self.fault.get_or_insert_with(fault);
        }
        let handler: OnNodeEvent<_, T, A, Fut> = OnNodeEvent::new(event.into(), handler);
        let nodes = &mut self.rules.table.nodes;
        nodes.insert(event.into(), Arc::new(handler));
        self
    }

    // ---- coming and going ---------------------------------------------------------------------

    /// Runs when a client has joined, before any of its events is handled.
    pub fn on_connect<Fut>(
        mut self,
        handler: impl FnOnce(Socket<D>) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output: Reply<Any> + 'static> + Send + 'static,
    {
        self.rules.table.connect = Some(Box::new(move |socket| {
            table::lifecycle(socket, "connect", handler.clone())
        }));
        self
    }

    /// Sees a socket that is about to leave while it is still a member of its rooms, once for each that
    /// had joined: Node's `disconnecting`. It runs where it happens, so it does not wait for anything;
    /// what is said to the socket itself reaches nobody any more.
    ///
    /// ```
    /// # use sio_server::{Namespace, Socket};
    /// let chat = Namespace::open("/chat").on_disconnecting(|socket: &Socket, reason| {
    ///     for room in socket.rooms() {
    ///         socket.to(&room).emit("left", &(socket.id(), reason.as_str()));
    ///     }
    /// });
    /// ```
    pub fn on_disconnecting(
        mut self,
        look: impl Fn(&Socket<D>, DisconnectReason) + Send + Sync + 'static,
    ) -> Self {
        self.rules.table.leaving = Some(Box::new(look));
        self
    }

    /// Runs when a client has gone, once for each that had joined. Its rooms are still known to
    /// [`Socket::rooms`], but it is no longer a member of any.
    ///
    /// ```
    /// # use sio_server::Namespace;
    /// let chat = Namespace::open("/chat").on_disconnect(async |socket, reason| {
    ///     socket.to(socket.rooms()).emit("left", &(socket.id(), reason.as_str()));
    /// });
    /// ```
    pub fn on_disconnect<Fut>(
        mut self,
        handler: impl FnOnce(Socket<D>, DisconnectReason) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output: Reply<Any> + 'static> + Send + 'static,
    {
        self.rules.table.disconnect = Some(Box::new(move |socket, reason| {
            let handler = handler.clone();
            table::lifecycle(socket, "disconnect", move |socket| handler(socket, reason))
        }));
        self
    }

    /// The events that have handlers.
    #[cfg(feature = "schema")]
    pub(crate) fn handled(&self) -> Vec<&str> {
        self.rules.table.handled()
    }

    pub(crate) fn mount(self) -> Box<dyn Mounted> {
        Box::new(Mount::new(self.name, self.rules, self.fault))
    }
}

impl<D> fmt::Debug for Namespace<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match &self.name {
            Name::Fixed(name) => name,
            Name::Matching(_) => "…",
        };
        f.debug_struct("Namespace")
            .field("name", &name)
            .finish_non_exhaustive()
    }
}
