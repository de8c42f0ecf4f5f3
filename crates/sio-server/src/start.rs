//! The server is started: on its own listener, or as a service or layer in somebody else's.

use std::{net::SocketAddr, sync::Arc};

use tokio::net::ToSocketAddrs;

use crate::{
    cluster::Cluster,
    debug::DebugMode,
    error::StartError,
    gate::Gate,
    hub::{Furniture, Hub},
    layered::Layer,
    listen::{Bound, Threads},
    server::{Runtime, Server},
    service::Service,
    trace,
};

impl Server {
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
        if let Some((name, problem)) = self.config.refuses_all() {
            return Err(StartError::Setting { name, problem });
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
        let join = |broker| Cluster::new(broker, self.watch.clone(), &self.config);
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
            openings: self.openings,
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
