//! The server before it runs: its handlers, its settings, and how it is to be started.

use std::{
    future::Future,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use eio_transport::{Parcel, Reason, Sid};
use http::{HeaderMap, Request, Response};
use tokio::net::ToSocketAddrs;

use crate::{
    config::Config,
    counters::Counters,
    engine::{Content, Message, Socket},
    error::{Refuse, StartError},
    hub::Hub,
    lane::Task,
    layered::Layer,
    listen::Bound,
    observe::EngineEvent,
    server::{Runtime, Server as Inner},
    service::Service,
};

/// An Engine.IO server, below `/engine.io/` unless told otherwise.
///
/// What is said at [`crate::Server`] of settings, hooks and starting holds here, too.
///
/// ```
/// use sio_server::{Config, engine::{Message, Server}};
///
/// let mut config = Config::engine_io();
/// config.engine.max_payload = 64 << 10;
/// let server = Server::new()
///     .config(config)
///     .on_open(async |socket| println!("{} comes by {:?}", socket.id(), socket.transport()))
///     .on_message(async |socket, message| match message {
///         Message::Text(text) if text == "bye" => socket.close(),
///         message => drop(socket.send(&message)),
///     })
///     .on_close(async |socket, reason| println!("{}: {}", socket.id(), reason.detail()));
/// ```
#[must_use = "a server does nothing until it is run"]
pub struct Server {
    inner: Inner,
    handlers: Handlers,
}

/// What happens on which event.
#[derive(Default)]
pub(crate) struct Handlers {
    pub(crate) open: Option<Box<dyn Fn(Socket) -> Task + Send + Sync>>,
    pub(crate) message: Option<Box<dyn Fn(Socket, Message) -> Task + Send + Sync>>,
    pub(crate) close: Option<Box<dyn Fn(Socket, Reason) -> Task + Send + Sync>>,
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// A server with the default settings and no handlers.
    pub fn new() -> Self {
        Self {
            inner: Inner::new().config(Config::engine_io()),
            handlers: Handlers::default(),
        }
    }

    /// Runs when a client has come, before any message of its is handled.
    pub fn on_open<Fut>(
        mut self,
        handler: impl FnOnce(Socket) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = ()> + Send + 'static,
    {
        let open = move |socket| Box::pin(handler.clone()(socket)) as Task;
        self.handlers.open = Some(Box::new(open));
        self
    }

    /// Handles messages: those of one client one at a time, in the order they came.
    pub fn on_message<Fut>(
        mut self,
        handler: impl FnOnce(Socket, Message) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = ()> + Send + 'static,
    {
        let message = move |socket, message| Box::pin(handler.clone()(socket, message)) as Task;
        self.handlers.message = Some(Box::new(message));
        self
    }

    /// Runs once when a client has gone. Handlers that are at work meanwhile may finish
    /// ([`Config::linger`]).
    pub fn on_close<Fut>(
        mut self,
        handler: impl FnOnce(Socket, Reason) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = ()> + Send + 'static,
    {
        let close = move |socket, reason| Box::pin(handler.clone()(socket, reason)) as Task;
        self.handlers.close = Some(Box::new(close));
        self
    }

    /// Replaces the settings; begin with [`Config::engine_io`], whose path is the one that
    /// `engine.io-client` asks for.
    pub fn config(self, config: Config) -> Self {
        self.with(|inner| inner.config(config))
    }

    /// See [`crate::Server::runtime`].
    pub fn runtime(self, runtime: Runtime) -> Self {
        self.with(|inner| inner.runtime(runtime))
    }

    /// See [`crate::Server::fallback`].
    pub fn fallback<Fut>(
        self,
        handler: impl FnOnce(Request<()>) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = Response<Bytes>> + Send + 'static,
    {
        self.with(|inner| inner.fallback(handler))
    }

    /// See [`crate::Server::allow_request`].
    pub fn allow_request<Fut>(
        self,
        allow: impl FnOnce(Request<()>) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = Result<(), Refuse>> + Send + 'static,
    {
        self.with(|inner| inner.allow_request(allow))
    }

    /// See [`crate::Server::initial_headers`].
    pub fn initial_headers(
        self,
        add: impl Fn(&mut HeaderMap, &Request<()>) + Send + Sync + 'static,
    ) -> Self {
        self.with(|inner| inner.initial_headers(add))
    }

    /// See [`crate::Server::headers`].
    pub fn headers(
        self,
        add: impl Fn(&mut HeaderMap, &Request<()>) + Send + Sync + 'static,
    ) -> Self {
        self.with(|inner| inner.headers(add))
    }

    /// See [`crate::Server::generate_id`].
    pub fn generate_id(
        self,
        generate: impl Fn(&Request<()>) -> Sid + Send + Sync + 'static,
    ) -> Self {
        self.with(|inner| inner.generate_id(generate))
    }

    /// Says this to every client, right behind the open packet and in the same write or answer: Node's
    /// `initialPacket`.
    ///
    /// ```
    /// let server = sio_server::engine::Server::new().initial_packet("welcome");
    /// ```
    pub fn initial_packet<'a>(mut self, packet: impl Into<Content<'a>>) -> Self {
        let parcel = match packet.into() {
            Content::Binary(data) => Parcel::binary(data),
            Content::Text(text) => Parcel::text(text),
        };
        self.inner.initial = Some(Arc::new(parcel));
        self
    }

    /// See [`crate::Server::observe`].
    pub fn observe(self, observer: impl Fn(EngineEvent<'_>) + Send + Sync + 'static) -> Self {
        self.with(|inner| inner.observe(observer))
    }

    /// The handle to reach clients with from elsewhere. It may be taken before the server is started.
    pub fn handle(&self) -> Handle {
        Handle {
            hub: self.inner.hub(),
        }
    }

    /// See [`crate::Server::run`].
    ///
    /// # Errors
    ///
    /// If the address cannot be used, or the settings do not go together.
    pub async fn run(self) -> Result<(), StartError> {
        self.ready().run().await
    }

    /// Serves on an address for ever.
    ///
    /// # Errors
    ///
    /// If the address cannot be used, or the settings do not go together.
    pub async fn listen(self, address: impl ToSocketAddrs) -> Result<(), StartError> {
        self.ready().listen(address).await
    }

    /// Binds an address, to be served by [`Bound::serve`] or [`Bound::serve_until`].
    ///
    /// # Errors
    ///
    /// If the address cannot be used, or the settings do not go together.
    pub async fn bind(self, address: impl ToSocketAddrs) -> Result<Bound, StartError> {
        self.ready().bind(address).await
    }

    /// The server as a service for hyper and tower.
    ///
    /// # Errors
    ///
    /// If the settings do not go together.
    pub fn into_service(self) -> Result<Service, StartError> {
        self.ready().into_service()
    }

    /// The server as a layer around a router of axum, or any other tower service; also around one
    /// that holds a Socket.IO server already.
    ///
    /// # Errors
    ///
    /// If the settings do not go together.
    pub fn layer(self) -> Result<Layer, StartError> {
        self.ready().layer()
    }

    pub(crate) fn with(mut self, change: impl FnOnce(Inner) -> Inner) -> Self {
        self.inner = change(self.inner);
        self
    }

    fn ready(mut self) -> Inner {
        self.inner.bare = Some(Arc::new(self.handlers));
        self.inner
    }
}

/// A handle of the server, cheap to clone. Before the server has been started, and after it has gone,
/// it reaches nobody.
///
/// ```
/// use std::time::Duration;
/// use sio_server::engine::Server;
///
/// # async fn f() -> Result<(), sio_server::StartError> {
/// let server = Server::new();
/// let clients = server.handle();
/// tokio::spawn(async move {
///     loop {
///         tokio::time::sleep(Duration::from_secs(60)).await;
///         for socket in clients.sockets() {
///             socket.send("tick");
///         }
///         println!("{} of {} are here", clients.len(), clients.counters().opened);
///     }
/// });
/// server.listen("127.0.0.1:3000").await
/// # }
/// ```
#[derive(Clone)]
pub struct Handle {
    hub: Arc<OnceLock<Arc<Hub>>>,
}

impl Handle {
    /// All clients there are.
    pub fn sockets(&self) -> Vec<Socket> {
        let mut sockets = Vec::new();
        if let Some(hub) = self.hub.get() {
            hub.for_each_session(|conn| sockets.push(Socket::new(Arc::clone(conn))));
        }
        sockets
    }

    /// The client of that id.
    ///
    /// ```
    /// # fn f(clients: sio_server::engine::Handle, id: &str) {
    /// match clients.socket(id) {
    ///     Some(socket) => drop(socket.send("you have mail")),
    ///     None => println!("{id} has gone"),
    /// }
    /// # }
    /// ```
    pub fn socket(&self, id: &str) -> Option<Socket> {
        let conn = self.hub.get()?.session(&Sid::parse(id)?)?;
        Some(Socket::new(conn))
    }

    /// Clients.
    pub fn len(&self) -> usize {
        self.hub.get().map_or(0, |hub| hub.session_count())
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What has been counted since the server was started, connections and limits.
    pub fn counters(&self) -> Counters {
        self.hub
            .get()
            .map_or_else(Counters::default, |hub| hub.counters())
    }

    /// Closes all connections.
    pub fn close(&self) {
        if let Some(hub) = self.hub.get() {
            hub.close();
        }
    }
}
