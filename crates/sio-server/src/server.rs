//! The server before it runs: its settings, its namespaces, and what happens in `/`.

#[cfg(feature = "schema")]
use std::collections::BTreeSet;
use std::{
    future::Future,
    hash::Hash,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use eio_transport::Parcel;
use http::{Request, Response};
use serde::Deserialize;
use sio_cluster::Broker;
use sio_packet::Parser;
#[cfg(feature = "tls")]
use tokio_rustls::rustls::ServerConfig;

use crate::{
    cluster::{ClusterEvent, Watch},
    config::Config,
    debug::DebugMode,
    engine,
    error::{DisconnectReason, Refuse},
    event::{Any, EventName, Reply},
    failure::Failure,
    handshake::Handshake,
    hooks::Hooks,
    hub::Hub,
    incoming::Incoming,
    io::Io,
    middleware::Stack,
    namespace::Namespace,
    observe::Observer,
    onlookers::{Outgoing, RoomEvent},
    openings::NamespaceHook,
    pages::Pages,
    realm::Mounted,
    service::Fallback,
    socket::Socket,
    table::{self, OnErrorDefault},
    tls::Tls,
};

/// A Socket.IO server.
///
/// Handlers given to the server itself are those of the namespace `/`, which everybody may join;
/// other namespaces, and a `/` that asks who is there, are [mounted](Self::mount).
///
/// ```no_run
/// use sio_server::{Ack, Server, StartError};
///
/// #[tokio::main]
/// async fn main() -> Result<(), StartError> {
///     Server::new()
///         .on("echo", async |_socket, text: String| Ack(text))
///         .on("join", async |socket, room: String| {
///             socket.join(&room);
///             socket.to(&room).emit("joined", socket.id());
///         })
///         .run()
///         .await
/// }
/// ```
#[must_use = "a server does nothing until it is run"]
pub struct Server {
    pub(crate) config: Config,
    pub(crate) root: Namespace,
    /// Whether `root` has been touched, so that another `/` would be a second one.
    pub(crate) root_used: bool,
    pub(crate) mounted: Vec<Box<dyn Mounted>>,
    pub(crate) parsers: Vec<Box<dyn Parser>>,
    pub(crate) runtime: Runtime,
    pub(crate) debug: DebugMode,
    pub(crate) pages: Pages,
    pub(crate) fallback: Option<Fallback>,
    pub(crate) hooks: Hooks,
    pub(crate) on_error: Option<OnErrorDefault>,
    /// Who hears the messages, if that is not Socket.IO.
    pub(crate) bare: Option<Arc<engine::Handlers>>,
    pub(crate) observer: Option<Observer>,
    pub(crate) stack: Option<Stack>,
    pub(crate) initial: Option<Arc<Parcel>>,
    pub(crate) beside: Option<Box<engine::Server>>,
    pub(crate) broker: Option<Box<dyn Broker>>,
    pub(crate) watch: Option<Watch>,
    /// Who is told of namespaces that come and go.
    pub(crate) openings: Option<NamespaceHook>,
    pub(crate) tls: Option<Tls>,
    pub(crate) hub: Arc<OnceLock<Arc<Hub>>>,
}

/// On what the server's own listener runs its connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Runtime {
    /// The first of the others that this machine can serve: [`Sharded`](Self::Sharded).
    #[default]
    Auto,
    /// A thread with a runtime of its own for each core; a connection stays where it was accepted.
    Sharded,
    /// The runtime that `run` or `listen` is awaited on. Handlers may block it no more than any
    /// other task of it.
    MultiThread,
    /// One thread with a runtime of its own.
    CurrentThread,
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// A server with the default settings and an open namespace `/` without handlers.
    pub fn new() -> Self {
        Self {
            config: Config::default(),
            root: Namespace::open("/"),
            root_used: false,
            mounted: Vec::new(),
            parsers: Vec::new(),
            runtime: Runtime::default(),
            debug: DebugMode::default(),
            pages: Pages::default(),
            fallback: None,
            hooks: Hooks::default(),
            on_error: None,
            bare: None,
            observer: None,
            stack: None,
            initial: None,
            beside: None,
            broker: None,
            watch: None,
            openings: None,
            tls: None,
            hub: Arc::new(OnceLock::new()),
        }
    }

    /// Replaces the settings.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Chooses what the server's own listener runs on.
    ///
    /// ```
    /// use sio_server::{Runtime, Server};
    ///
    /// // One thread and one runtime, beside an application that has the other cores.
    /// let server = Server::new().runtime(Runtime::CurrentThread);
    /// ```
    pub fn runtime(mut self, runtime: Runtime) -> Self {
        self.runtime = runtime;
        self
    }

    /// Speaks TLS on the server's own listener, with this certificate and these protocols. Behind
    /// [`into_service`](Self::into_service) and [`layer`](Self::layer) TLS is the application's.
    ///
    /// HTTP/2 is spoken with those who choose `h2` from `alpn_protocols`, if
    /// [`Config::http2`] is on, too. A client that has not finished the handshake within
    /// [`Config::header_timeout`] is let go.
    ///
    /// ```no_run
    /// use std::sync::Arc;
    /// use sio_server::{Server, rustls::{self, pki_types::{pem::PemObject, CertificateDer, PrivateKeyDer}}};
    ///
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// let chain = CertificateDer::pem_file_iter("chain.pem")?.collect::<Result<Vec<_>, _>>()?;
    /// let key = PrivateKeyDer::from_pem_file("key.pem")?;
    /// let tls = rustls::ServerConfig::builder() // needs a provider, such as rustls with the feature `ring`
    ///     .with_no_client_auth()
    ///     .with_single_cert(chain, key)?;
    /// Server::new().tls(Arc::new(tls)).listen("0.0.0.0:443").await?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "tls")]
    pub fn tls(mut self, config: Arc<ServerConfig>) -> Self {
        self.tls = Some(Tls::new(config));
        self
    }

    /// Shows what fails in handlers to the client it fails for, in the browser's console, and on stderr: the
    /// error, or the panic with its file, line and backtrace. Never in production. Default off: clients
    /// learn nothing. An event that nobody handles is shown, too.
    ///
    /// The client gets the event `debug:failure` with one text. The browser client that the server itself
    /// serves ([`Config::client_files`]) prints it; any other does with
    /// `socket.on("debug:failure", console.error)`. Refusals are no failures, unless nobody asked for
    /// an ack to learn of them.
    ///
    /// The traces of panics are kept by a hook ([`std::panic::set_hook`]), which calls the one that was
    /// there before.
    ///
    /// ```
    /// use sio_server::{Ack, DebugMode, Server};
    ///
    /// let server = Server::new()
    ///     .debug(DebugMode::Local)
    ///     .on("divide", async |_socket, (a, b): (i32, i32)| Ack(a / b));
    /// // In the console, of `socket.emit("divide", 1, 0)`:
    /// // the handler of "divide" failed: the handler panicked: attempt to divide by zero
    /// //   namespace /, socket k3Zq…
    /// //   at src/main.rs:5:60
    /// ```
    pub fn debug(mut self, mode: DebugMode) -> Self {
        self.debug = mode;
        self
    }

    /// Answers requests that are not the server's: a page, a health check. Bodies are not read; a
    /// site of more than a few pages is better off with [`layer`](Self::layer) in a router.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::{Request, Response};
    ///
    /// let server = sio_server::Server::new().fallback(async |request: Request<()>| {
    ///     Response::new(Bytes::from(format!("you asked for {}", request.uri().path())))
    /// });
    /// ```
    pub fn fallback<Fut>(
        mut self,
        handler: impl FnOnce(Request<()>) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = Response<Bytes>> + Send + 'static,
    {
        self.fallback = Some(Box::new(move |request| Box::pin(handler.clone()(request))));
        self
    }

    /// Answers `GET` of a path with a page, or with what belongs to one: enough for a first try, and for
    /// tools. The path's ending says what it is (`.js`, `.css`, `.json`, `.svg`, `.txt`), else it is HTML. Comes
    /// before [`fallback`](Self::fallback).
    ///
    /// ```
    /// # const PAGE: &str = "";
    /// // `include_str!("index.html")` is the page as it was when this was compiled.
    /// let server = sio_server::Server::new()
    ///     .page("/", PAGE)
    ///     .page("/style.css", "body { font-family: sans-serif }");
    /// ```
    pub fn page(mut self, path: impl Into<String>, content: impl Into<Bytes>) -> Self {
        self.pages.insert(path.into(), content.into());
        self
    }

    /// Serves bare Engine.IO, too, at a path of its own: clients that speak another protocol on the same
    /// listener. A second one replaces the first.
    ///
    /// ```
    /// use sio_server::{Server, engine};
    ///
    /// let echo = engine::Server::new().on_message(async |socket, message| drop(socket.send(&message)));
    /// let server = Server::new().beside(echo); // at /engine.io/
    /// ```
    pub fn beside(mut self, server: engine::Server) -> Self {
        self.beside = Some(Box::new(server));
        self
    }

    // ---- the namespace `/` ---------------------------------------------------------------------

    /// Handles an event in the namespace `/`, see [`Namespace::on`].
    pub fn on<T, A, Fut>(
        self,
        event: impl EventName<T, A>,
        handler: impl FnOnce(Socket, T) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        T: for<'de> Deserialize<'de> + Send + 'static,
        Fut: Future<Output: Reply<A> + 'static> + Send + 'static,
        A: 'static,
    {
        self.with_root(|root| root.on(event, handler))
    }

    /// Runs when a client has joined the namespace `/`, see [`Namespace::on_connect`].
    pub fn on_connect<Fut>(
        self,
        handler: impl FnOnce(Socket) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output: Reply<Any> + 'static> + Send + 'static,
    {
        self.with_root(|root| root.on_connect(handler))
    }

    /// Runs when a client of the namespace `/` has gone, see [`Namespace::on_disconnect`].
    pub fn on_disconnect<Fut>(
        self,
        handler: impl FnOnce(Socket, DisconnectReason) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output: Reply<Any> + 'static> + Send + 'static,
    {
        self.with_root(|root| root.on_disconnect(handler))
    }

    /// Sees each event of the namespace `/` before its handler does, see [`Namespace::on_any`].
    pub fn on_any<Fut>(
        self,
        handler: impl FnOnce(Socket, Incoming) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output: Reply<Any> + 'static> + Send + 'static,
    {
        self.with_root(|root| root.on_any(handler))
    }

    /// Handles the events of the namespace `/` that have no handler of their own, see [`Namespace::on_unhandled`].
    pub fn on_unhandled<Fut>(
        self,
        handler: impl FnOnce(Socket, Incoming) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output: Reply<Any> + 'static> + Send + 'static,
    {
        self.with_root(|root| root.on_unhandled(handler))
    }

    /// Sees the failures of the namespace `/`, see [`Namespace::on_error`].
    pub fn on_error<Fut>(
        self,
        handler: impl FnOnce(Socket, Failure) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output: Reply<Any> + 'static> + Send + 'static,
    {
        self.with_root(|root| root.on_error(handler))
    }

    /// Asks whether a client may join `/`: Node's `io.use`. See
    /// [`Namespace::guard`].
    ///
    /// ```
    /// # use sio_server::{Handshake, Refuse, Server};
    /// let server = Server::new().guard(async |hello: Handshake| match hello.query("key") {
    ///     Some(key) if key == "tea" => Ok(()),
    ///     _ => Err(Refuse::new("not authorized")),
    /// });
    /// ```
    pub fn guard<Fut>(
        self,
        check: impl FnOnce(Handshake) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = Result<(), Refuse>> + Send + 'static,
    {
        self.with_root(|root| root.guard(check))
    }

    /// Looks at each event before its handler, and may refuse it: Node's `socket.use`. See
    /// [`Namespace::filter`].
    pub fn filter<Fut>(
        self,
        check: impl FnOnce(Socket, Incoming) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = Result<(), Refuse>> + Send + 'static,
    {
        self.with_root(|root| root.filter(check))
    }

    /// Handles an event beside all others of the same socket. See
    /// [`Namespace::on_concurrent`].
    pub fn on_concurrent<T, A, Fut>(
        self,
        event: impl EventName<T, A>,
        handler: impl FnOnce(Socket, T) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        T: for<'de> Deserialize<'de> + Send + 'static,
        Fut: Future<Output: Reply<A> + 'static> + Send + 'static,
        A: 'static,
    {
        self.with_root(|root| root.on_concurrent(event, handler))
    }

    /// Handles an event beside others, but in order among those with the same key. See
    /// [`Namespace::on_keyed`].
    pub fn on_keyed<T, A, K, Fut>(
        self,
        event: impl EventName<T, A>,
        key: impl Fn(&T) -> K + Send + Sync + 'static,
        handler: impl FnOnce(Socket, T) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        T: for<'de> Deserialize<'de> + Send + 'static,
        K: Hash + 'static,
        Fut: Future<Output: Reply<A> + 'static> + Send + 'static,
        A: 'static,
    {
        self.with_root(|root| root.on_keyed(event, key, handler))
    }

    /// Sees a socket that is about to leave. See
    /// [`Namespace::on_disconnecting`].
    pub fn on_disconnecting(
        self,
        look: impl Fn(&Socket, DisconnectReason) + Send + Sync + 'static,
    ) -> Self {
        self.with_root(|root| root.on_disconnecting(look))
    }

    /// Looks at each event that is emitted. See
    /// [`Namespace::on_any_outgoing`].
    pub fn on_any_outgoing(self, look: impl Fn(&Outgoing<'_>) + Send + Sync + 'static) -> Self {
        self.with_root(|root| root.on_any_outgoing(look))
    }

    /// Is told when rooms come and go, and who joins and leaves them. See
    /// [`Namespace::on_room`].
    pub fn on_room(self, look: impl Fn(&RoomEvent) + Send + Sync + 'static) -> Self {
        self.with_root(|root| root.on_room(look))
    }

    /// Handles an event that another node of the cluster sends to the namespace `/` of all others, see
    /// [`Namespace::on_server_side`].
    pub fn on_server_side<T, A, Fut>(
        self,
        event: impl EventName<T, A>,
        handler: impl FnOnce(Io, T) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        T: for<'de> Deserialize<'de> + Send + 'static,
        Fut: Future<Output: Reply<A> + 'static> + Send + 'static,
        A: 'static,
    {
        self.with_root(|root| root.on_server_side(event, handler))
    }

    // ---- all namespaces ------------------------------------------------------------------------

    /// Sees the failures of all namespaces that do not see them themselves
    /// ([`Namespace::on_error`]). What it returns becomes the ack of the event.
    ///
    /// ```
    /// # use sio_server::{Ack, Server};
    /// let server = Server::new().on_error_default(async |failure| {
    ///     eprintln!("{}: {failure}", failure.event());
    ///     Ack("sorry")
    /// });
    /// ```
    pub fn on_error_default<Fut>(
        mut self,
        handler: impl FnOnce(Failure) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output: Reply<Any> + 'static> + Send + 'static,
    {
        self.on_error = Some(Box::new(move |answering, failure| {
            let handler = handler.clone();
            Box::pin(async move {
                let reply = handler(failure).await;
                table::answer_failure(reply, answering.responder());
            })
        }));
        self
    }

    /// Makes the server a node among others: what is emitted to rooms and to everybody reaches the
    /// clients of all nodes that share a broker, such as `sio_redis::Redis`. See
    /// `docs/scaling.md` for what is promised.
    ///
    /// Clients of this node never wait for the broker, and never miss anything because of it.
    ///
    /// ```
    /// # use sio_server::{Server, sio_cluster::Broker};
    /// # fn f(redis: impl Broker) {
    /// // `Redis::url("redis://127.0.0.1")`, of the crate `sio-redis`.
    /// let server = Server::new().cluster(redis);
    /// # }
    /// ```
    pub fn cluster(mut self, broker: impl Broker) -> Self {
        self.broker = Some(Box::new(broker));
        self
    }

    /// Is told what happens between this node and the others of its [`cluster`](Self::cluster): the broker
    /// that goes and comes back, what has been lost, nodes that come and go.
    ///
    /// `look` runs on the cluster's thread: what takes long belongs into a task. How it stands at any time
    /// says [`Io::cluster`].
    ///
    /// ```
    /// use sio_server::{ClusterEvent, Server};
    ///
    /// let server = Server::new().on_cluster(|event| match event {
    ///     ClusterEvent::Gap { lasted } => println!("other nodes were not heard for {lasted:?}"),
    ///     other => println!("{other:?}"),
    /// });
    /// ```
    pub fn on_cluster(mut self, look: impl Fn(&ClusterEvent) + Send + Sync + 'static) -> Self {
        self.watch = Some(Arc::new(look));
        self
    }

    /// Adds a namespace.
    ///
    /// ```
    /// use sio_server::{Namespace, Server};
    ///
    /// let server = Server::new()
    ///     .mount(Namespace::open("/news"))
    ///     .mount(Namespace::open("/chat").on("say", async |socket, text: String| {
    ///         socket.everyone().emit("said", &text);
    ///     }));
    /// ```
    pub fn mount<D: Send + Sync + 'static>(mut self, namespace: Namespace<D>) -> Self {
        self.mounted.push(namespace.mount());
        self
    }

    /// Speaks this parser, too: with clients whose first message it recognizes. Others go on as
    /// before, and handlers see no difference. At most 255.
    ///
    /// ```
    /// // For clients with `io(url, { parser: require("socket.io-msgpack-parser") })`.
    /// let server = sio_server::Server::new().parser(sio_server::Msgpack);
    /// ```
    pub fn parser(mut self, parser: impl Parser + 'static) -> Self {
        self.parsers.push(Box::new(parser));
        self
    }

    /// The handle to emit with from elsewhere. It may be taken before the server is started.
    pub fn io(&self) -> Io {
        Io::from_cell(Arc::clone(&self.hub))
    }

    /// The events that have handlers, by the fixed names of their namespaces.
    #[cfg(feature = "schema")]
    pub(crate) fn handled(&self) -> Vec<(&str, BTreeSet<&str>)> {
        let mounted = self.mounted.iter();
        let named = mounted.filter_map(|mounted| Some((mounted.fixed_name()?, mounted.handled())));
        let root = self.root_used.then(|| ("/", self.root.handled()));
        named
            .chain(root)
            .map(|(name, events)| (name, events.into_iter().collect()))
            .collect()
    }

    fn with_root(mut self, f: impl FnOnce(Namespace) -> Namespace) -> Self {
        self.root = f(self.root);
        self.root_used = true;
        self
    }

    /// Where the hub will be.
    pub(crate) fn hub(&self) -> Arc<OnceLock<Arc<Hub>>> {
        Arc::clone(&self.hub)
    }
}
