//! The server before it runs: its namespaces, its settings, and how it is to be started.

#[cfg(feature = "schema")]
use std::collections::BTreeSet;
use std::{
    future::Future,
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use eio_transport::Parcel;
use http::{Request, Response};
use sio_cluster::Broker;
use sio_packet::Parser;
use tokio::net::ToSocketAddrs;
#[cfg(feature = "tls")]
use tokio_rustls::rustls::ServerConfig;

use crate::{
    cluster::{Cluster, ClusterEvent, Watch},
    config::Config,
    debug::DebugMode,
    engine,
    error::StartError,
    event::{Any, Reply},
    failure::Failure,
    gate::Gate,
    hooks::Hooks,
    hub::{Furniture, Hub},
    io::Io,
    listen::{Bound, Threads},
    middleware::Stack,
    namespace::Namespace,
    observe::Observer,
    pages::Pages,
    realm::Mounted,
    service::{Fallback, Layer, Service},
    table::{self, OnErrorDefault},
    tls::Tls,
    trace,
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
    config: Config,
    root: Namespace,
    /// Whether `root` has been touched, so that another `/` would be a second one.
    root_used: bool,
    mounted: Vec<Box<dyn Mounted>>,
    parsers: Vec<Box<dyn Parser>>,
    runtime: Runtime,
    debug: DebugMode,
    pages: Pages,
    fallback: Option<Fallback>,
    pub(crate) hooks: Hooks,
    on_error: Option<OnErrorDefault>,
    /// Who hears the messages, if that is not Socket.IO.
    pub(crate) bare: Option<Arc<engine::Handlers>>,
    pub(crate) observer: Option<Observer>,
    pub(crate) stack: Option<Stack>,
    pub(crate) initial: Option<Arc<Parcel>>,
    beside: Option<Box<engine::Server>>,
    broker: Option<Box<dyn Broker>>,
    watch: Option<Watch>,
    tls: Option<Tls>,
    hub: Arc<OnceLock<Arc<Hub>>>,
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

    pub(crate) fn with_root(mut self, f: impl FnOnce(Namespace) -> Namespace) -> Self {
        self.root = f(self.root);
        self.root_used = true;
        self
    }

    /// Where the hub will be.
    pub(crate) fn hub(&self) -> Arc<OnceLock<Arc<Hub>>> {
        Arc::clone(&self.hub)
    }

    /// Serves on the address of the environment's `HOST` and `PORT`, `127.0.0.1:5000` where they
    /// are not set, until SIGINT or SIGTERM; prints where. `SIO_DEBUG=1` turns
    /// [debug mode](Self::debug) on, [`DebugMode::Local`] unless another is set, and `SIO_DEBUG=0` off.
    ///
    /// # Errors
    ///
    /// If the address cannot be used, a variable cannot be read, or the namespaces do not go together.
    pub async fn run(mut self) -> Result<(), StartError> {
        let wrong = |name, value: &str, problem: String| StartError::Variable {
            name,
            value: value.into(),
            problem,
        };
        let host = std::env::var("HOST").unwrap_or_else(|_| "127.0.0.1".into());
        let port = match std::env::var("PORT") {
            Ok(port) => port
                .parse()
                .map_err(|_| wrong("PORT", &port, "is not a port".into()))?,
            Err(_) => 5000,
        };
        match std::env::var("SIO_DEBUG").as_deref() {
            Ok("1") if !self.debug.is_on() => self.debug = DebugMode::Local,
            Ok("0") => self.debug = DebugMode::Off,
            Ok("1" | "") | Err(_) => {}
            Ok(other) => return Err(wrong("SIO_DEBUG", other, "is neither 0 nor 1".into())),
        }
        let addresses = tokio::net::lookup_host((host.as_str(), port)).await;
        let addresses: Vec<SocketAddr> = addresses
            .map_err(|error| wrong("HOST", &host, format!("cannot be looked up: {error}")))?
            .collect();
        let bound = self.bind(&addresses[..]).await?;
        println!("listening on {}://{}", bound.scheme(), bound.local_addr());
        bound.serve_until(interrupted()).await
    }

    /// Serves on an address for ever.
    ///
    /// # Errors
    ///
    /// If the address cannot be used, or the namespaces do not go together.
    pub async fn listen(self, address: impl ToSocketAddrs) -> Result<(), StartError> {
        self.bind(address).await?.serve().await
    }

    /// Binds an address, to be served by [`Bound::serve`] or [`Bound::serve_until`].
    ///
    /// ```
    /// # async fn f() -> Result<(), sio_server::StartError> {
    /// let bound = sio_server::Server::new().bind("127.0.0.1:0").await?;
    /// println!("listening on http://{}", bound.local_addr());
    /// bound.serve_until(async { tokio::signal::ctrl_c().await.unwrap() }).await
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If the address cannot be used, or the namespaces do not go together.
    pub async fn bind(self, address: impl ToSocketAddrs) -> Result<Bound, StartError> {
        let addresses = tokio::net::lookup_host(address).await;
        let addresses: Vec<SocketAddr> = addresses.map_err(StartError::AddressUnknown)?.collect();
        if self.debug == DebugMode::Local
            && let Some(public) = addresses
                .iter()
                .find(|address| !address.ip().to_canonical().is_loopback())
        {
            return Err(StartError::DebugReachesOthers(*public));
        }
        let (shards, threads) = match self.runtime {
            Runtime::Auto | Runtime::Sharded => {
                let cores = std::thread::available_parallelism().map_or(1, usize::from);
                (
                    self.config.shards.unwrap_or(cores).clamp(1, 1024),
                    Threads::Own,
                )
            }
            Runtime::CurrentThread => (1, Threads::Own),
            Runtime::MultiThread => (1, Threads::Callers),
        };
        let (io, tls) = (self.io(), self.tls.clone());
        Bound::new(self.start(shards)?, io, &addresses, threads, tls)
    }

    /// The server as a service for hyper and tower: the friendly road, with the same behaviour as
    /// our own listener.
    ///
    /// ```
    /// use hyper_util::rt::{TokioIo, TokioTimer};
    ///
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// let service = sio_server::Server::new().into_service()?;
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:5000").await?;
    /// loop {
    ///     let (stream, _) = listener.accept().await?;
    ///     let connection = hyper::server::conn::http1::Builder::new()
    ///         .timer(TokioTimer::new()) // for hyper's own deadline of a head
    ///         .serve_connection(TokioIo::new(stream), service.clone())
    ///         .with_upgrades(); // without which there are no WebSockets
    ///     tokio::spawn(connection);
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If the namespaces or settings do not go together.
    pub fn into_service(self) -> Result<Service, StartError> {
        Ok(Service::new(self.start(1)?, 0, None))
    }

    /// The server as a layer around a router of axum, or any other tower service.
    ///
    /// ```
    /// # use sio_server::Server;
    /// # async fn f() -> Result<(), sio_server::StartError> {
    /// let page = axum::routing::get(async || "everything below /socket.io/ is the server's");
    /// let app: axum::Router = axum::Router::new().route("/", page).layer(Server::new().layer()?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If the namespaces or settings do not go together.
    pub fn layer(self) -> Result<Layer, StartError> {
        Ok(Layer::new(self.into_service()?))
    }

    /// Freezes the namespaces.
    fn start(self, shards: usize) -> Result<Arc<Hub>, StartError> {
        let path = &self.config.path;
        if !(path.starts_with('/') && path.ends_with('/') && path.len() > 1) {
            return Err(StartError::Path(path.clone()));
        }
        let mut mounted = self.mounted;
        let another_root = mounted
            .iter()
            .any(|mounted| mounted.fixed_name() == Some("/"));
        if self.root_used || !another_root {
            mounted.push(self.root.mount());
        }
        if let Some(fault) = mounted.iter_mut().find_map(|mounted| mounted.take_fault()) {
            return Err(fault);
        }
        let mut names: Vec<_> = mounted.iter().filter_map(|m| m.fixed_name()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(StartError::DuplicateNamespace(pair[0].into()));
        }
        let gate = Gate::new(&self.config, self.hooks)?;
        let beside = self
            .beside
            .map(|server| server.into_service())
            .transpose()?;
        let join = |broker| Cluster::new(broker, self.watch.clone());
        let cluster = self.broker.as_deref().map(join).transpose()?;
        let (cluster, begin) = cluster.unzip();
        if self.debug.is_on() {
            trace::keep();
            eprintln!(
                "debug mode is on ({:?}): clients are shown what fails in handlers, with backtraces. \
                 Never in production.",
                self.debug
            );
        }
        let furniture = Furniture {
            beside,
            mounted,
            parsers: self.parsers.into(),
            fallback: self.pages.before(self.fallback),
            on_error: self.on_error,
            bare: self.bare,
            observer: self.observer,
            cluster,
            debug: self.debug,
            stack: self.stack,
            initial: self.initial,
        };
        let hub = Hub::new(self.config, gate, shards, furniture);
        if let (Some(begin), Some(cluster)) = (begin, &hub.cluster) {
            begin.run(Arc::downgrade(&hub), cluster)?;
        }
        let _ = self.hub.set(Arc::clone(&hub));
        Ok(hub)
    }
}

/// SIGINT or SIGTERM.
async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
