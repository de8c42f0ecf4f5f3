//! The server under test.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper_util::rt::{TokioIo, TokioTimer};
use sio_server::{Ack, Bound, Config, DisconnectReason, Io, Namespace, Server, Service, Value};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{
        mpsc::{UnboundedReceiver, unbounded_channel},
        oneshot,
    },
    task::JoinHandle,
};

use super::{Polling, Ws, until, within};

/// How connections reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Road {
    /// Our own listener, on two shards.
    Own,
    /// hyper serves TCP connections, the server is its service.
    Hyper,
    /// hyper serves streams of a type that the server does not know, as with TLS.
    Foreign,
}

/// A socket that has gone, as the disconnect handler saw it.
#[derive(Debug)]
pub(crate) struct Farewell {
    pub(crate) id: String,
    pub(crate) reason: DisconnectReason,
}

/// A server with the handlers that most tests need: `echo` acknowledges its argument, `say` sends
/// it back as an event.
pub(crate) struct House {
    pub(crate) address: SocketAddr,
    pub(crate) io: Io,
    pub(crate) farewells: UnboundedReceiver<Farewell>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

/// The default settings with short deadlines for what only a broken client waits for, and without those
/// that an honest one meets on a machine that is busy with other things.
pub(crate) fn config() -> Config {
    const NEVER: Duration = Duration::from_secs(3600);
    let mut config = Config::default();
    config.close_timeout = Duration::from_millis(500);
    config.engine.ping_interval = NEVER;
    config.soft_queued_time = NEVER;
    config.write_timeout = NEVER;
    config.stall_timeout = NEVER;
    config.attachment_timeout = NEVER;
    config.shards = Some(2);
    config
}

impl House {
    pub(crate) async fn start(road: Road) -> Self {
        Self::with(road, config(), |server| server).await
    }

    pub(crate) async fn with(
        road: Road,
        config: Config,
        furnish: impl FnOnce(Server) -> Server,
    ) -> Self {
        let (tell, farewells) = unbounded_channel();
        let header_timeout = config.header_timeout;
        let server = Server::new()
            .config(config)
            .on("echo", async |_socket, value: Value| Ack(value))
            .on("say", async |socket, value: Value| {
                socket.emit("said", &value);
            })
            .on_disconnect(async move |socket, reason| {
                let id = socket.id().to_owned();
                let _ = tell.send(Farewell { id, reason });
            })
            .mount(Namespace::open("/other").on("echo", async |_socket, value: Value| Ack(value)))
            .mount(Namespace::matching(
                |name| name.starts_with("/dyn-"),
                async |_| Ok(()),
            ));
        let server = furnish(server);
        let io = server.io();
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move {
            let _ = stopped.await;
        };
        let start = match road {
            Road::Own => Start::Bound(server.bind("127.0.0.1:0").await.expect("a port is free")),
            Road::Hyper | Road::Foreign => {
                Start::Service(server.into_service().expect("the settings go together"))
            }
        };
        let (address, serving) = serve(road, start, header_timeout, stopped).await;
        Self {
            address,
            io,
            farewells,
            stop: Some(stop),
            serving,
        }
    }

    /// A client in the namespace `/`.
    pub(crate) async fn client(&self) -> Ws {
        let mut ws = Ws::open(self.address).await;
        ws.join("/").await;
        ws
    }

    /// Why the next socket to go has gone.
    pub(crate) async fn farewell(&mut self) -> Farewell {
        within("a farewell", self.farewells.recv())
            .await
            .expect("the server keeps its handlers")
    }

    /// An honest client is served, on either transport.
    pub(crate) async fn serves_others(&self) {
        let mut ws = self.client().await;
        ws.text(r#"427["echo","still here"]"#).await;
        ws.expect_text(r#"437["still here"]"#).await;
        ws.leave().await;
        let mut polling = Polling::open(self.address).await;
        polling.post("40").await;
        assert!(polling.get().await.starts_with(r#"40{"sid":""#));
        polling.post(r#"428["echo",1]"#).await;
        assert_eq!(polling.get().await, "438[1]");
        polling.post("1").await;
    }

    /// Nothing is left of any client.
    pub(crate) async fn empties(&self) {
        let namespaces = ["/", "/other", "/dyn-a"].map(|name| self.io.of(name));
        until("sessions and sockets returning to zero", || {
            self.io.connections() == 0 && namespaces.iter().all(|io| io.is_empty())
        })
        .await;
    }

    /// The server's own ends of TCP connections that are still open in this process.
    ///
    /// Other tests of the process have ports of their own, so that this can be exact.
    #[cfg(target_os = "linux")]
    pub(crate) fn descriptors(&self) -> usize {
        let port = format!(":{:04X}", self.address.port());
        let table = std::fs::read_to_string("/proc/self/net/tcp").expect("Linux has it");
        let is_open = |line: &&str| {
            let fields: Vec<_> = line.split_whitespace().collect();
            // Not the listeners (0A), and not what the kernel closes on its own (inode 0).
            fields[1].ends_with(&port) && fields[3] != "0A" && fields[9] != "0"
        };
        table.lines().skip(1).filter(is_open).count()
    }

    /// Elsewhere this is not looked at.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn descriptors(&self) -> usize {
        0
    }

    /// Nothing is left of any client, its socket in the kernel neither.
    pub(crate) async fn lets_go(&self) {
        self.empties().await;
        until("the server closing its descriptors", || {
            self.descriptors() == 0
        })
        .await;
    }

    /// What every attack ends with: the others are served, and nothing is left.
    pub(crate) async fn is_unharmed(&self) {
        self.serves_others().await;
        self.empties().await;
    }

    /// Shuts the server down in order.
    pub(crate) async fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        within("the server's end", &mut self.serving)
            .await
            .expect("it does not panic");
    }
}

/// A server that is ready to serve, as its road wants it.
pub(crate) enum Start {
    Bound(Bound),
    Service(Service),
}

/// Serves until `stopped`.
pub(crate) async fn serve(
    road: Road,
    start: Start,
    header_timeout: Duration,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> (SocketAddr, JoinHandle<()>) {
    match start {
        Start::Bound(bound) => {
            let address = bound.local_addr();
            let serving = tokio::spawn(async move {
                bound
                    .serve_until(stopped)
                    .await
                    .expect("threads can be had");
            });
            (address, serving)
        }
        Start::Service(service) => {
            let listener = TcpListener::bind("127.0.0.1:0")
                .await
                .expect("a port is free");
            let address = listener.local_addr().expect("it is bound");
            let serve = async move {
                let mut http = hyper::server::conn::http1::Builder::new();
                // hyper's clock ends where ours does not.
                let header_timeout = header_timeout.min(Duration::from_secs(3600));
                http.timer(TokioTimer::new())
                    .header_read_timeout(header_timeout);
                loop {
                    let Ok((stream, _)) = listener.accept().await else {
                        continue;
                    };
                    let _ = stream.set_nodelay(true);
                    let service = service.clone();
                    if road == Road::Hyper {
                        let stream = TokioIo::new(stream);
                        tokio::spawn(http.serve_connection(stream, service).with_upgrades());
                    } else {
                        let stream = TokioIo::new(Foreign(stream));
                        tokio::spawn(http.serve_connection(stream, service).with_upgrades());
                    }
                }
            };
            let serving = tokio::spawn(async move {
                tokio::select! {
                    () = serve => {}
                    () = stopped => {}
                }
            });
            (address, serving)
        }
    }
}

/// A stream that cannot be taken for a TCP connection.
struct Foreign(TcpStream);

impl AsyncRead for Foreign {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Foreign {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
