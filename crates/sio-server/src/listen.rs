//! Our own listener: a runtime per shard, a socket per shard on the same port.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    io,
    net::{SocketAddr, TcpListener as StdListener},
    sync::Arc,
    task::Poll,
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, Socket as RawSocket, Type};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::watch,
};

use crate::{
    clock,
    crew::Crew,
    error::StartError,
    front::Front,
    hub::Hub,
    io::Io,
    shard::Shard,
    tcp::{Listener, Plain},
    tls::Tls,
    watch::Watch,
};

/// Connections that the kernel may hold for us.
const BACKLOG: i32 = 4096;

/// A server with its sockets bound, from [`Server::bind`](crate::Server::bind).
///
/// ```
/// # async fn f() -> Result<(), sio_server::StartError> {
/// use sio_server::{Runtime, Server};
/// use tokio::sync::oneshot;
///
/// let bound = Server::new().bind("127.0.0.1:0").await?;
/// println!("http://{}", bound.local_addr());
/// let (stop, stopped) = oneshot::channel::<()>();
/// let served = tokio::spawn(bound.serve_until(async { drop(stopped.await) }));
/// let _ = stop.send(());
/// served.await.expect("it does not panic")
/// # }
/// ```
pub struct Bound {
    hub: Arc<Hub>,
    io: Io,
    listeners: Vec<StdListener>,
    address: SocketAddr,
    threads: Threads,
    tls: Option<Tls>,
}

/// Where connections are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threads {
    /// Each shard on a thread and a runtime of its own.
    Own,
    /// All on the caller's runtime.
    Callers,
}

impl Bound {
    pub(crate) fn new(
        hub: Arc<Hub>,
        io: Io,
        addresses: &[SocketAddr],
        threads: Threads,
        tls: Option<Tls>,
    ) -> Result<Self, StartError> {
        let count = hub.shards.len();
        let mut fault = StartError::NoAddress;
        for address in addresses {
            match bind_all(*address, count) {
                Ok((address, listeners)) => {
                    return Ok(Self {
                        hub,
                        io,
                        listeners,
                        address,
                        threads,
                        tls,
                    });
                }
                Err(error) => {
                    let address = *address;
                    fault = StartError::Address { address, error };
                }
            }
        }
        Err(fault)
    }

    /// The address, with the port that was chosen if port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// `https` with TLS, else `http`.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Serves for ever.
    ///
    /// # Errors
    ///
    /// [`StartError::Thread`].
    pub async fn serve(self) -> Result<(), StartError> {
        self.serve_until(std::future::pending()).await
    }

    /// Serves until `stop` is ready; then accepts nothing more, closes all connections with the
    /// reason `server shutting down`, and returns when they have gone and their handlers are done,
    /// after [`Config::close_timeout`](crate::Config::close_timeout) at the latest.
    ///
    /// # Errors
    ///
    /// [`StartError::Thread`].
    pub async fn serve_until(self, stop: impl Future<Output = ()>) -> Result<(), StartError> {
        let Self {
            hub,
            io,
            listeners,
            threads,
            tls,
            ..
        } = self;
        let (stopping, stopped) = watch::channel(Stage::Serving);
        let _ = hub.running.set(());
        let mut handles = Vec::new();
        for (shard, listener) in listeners.into_iter().enumerate() {
            let (hub, stopped, tls) = (Arc::clone(&hub), stopped.clone(), tls.clone());
            match threads {
                Threads::Callers => {
                    tokio::spawn(serve_shard(hub, shard, listener, tls, stopped));
                }
                Threads::Own => {
                    let runtime = tokio::runtime::Builder::new_current_thread()
                        .enable_all()
                        // One look at the sockets per turn of some handlers, not after each.
                        .event_interval(61)
                        .build()
                        .map_err(StartError::Thread)?;
                    let handle = thread::Builder::new()
                        .name(format!("sio-shard-{shard}"))
                        .spawn(move || {
                            runtime.block_on(serve_shard(hub, shard, listener, tls, stopped));
                            runtime.shutdown_timeout(Duration::from_millis(100));
                        })
                        .map_err(StartError::Thread)?;
                    handles.push(handle);
                }
            }
        }
        stop.await;
        let _ = stopping.send(Stage::Closing);
        hub.shut();
        io.close();
        let deadline = clock::later(clock::now(), hub.config.close_timeout);
        while hub.drivers_left() > 0 && clock::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let _ = stopping.send(Stage::Gone);
        let joined = tokio::task::spawn_blocking(move || {
            for handle in handles {
                let _ = handle.join();
            }
        });
        let _ = joined.await;
        Ok(())
    }
}

/// How far shutting down has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Serving,
    /// Nothing is accepted any more.
    Closing,
    /// The runtimes go.
    Gone,
}

/// The sockets of all shards, on one port.
fn bind_all(address: SocketAddr, count: usize) -> io::Result<(SocketAddr, Vec<StdListener>)> {
    // Sockets that share a port share it with those of other processes, too, such as the server of
    // yesterday: whether somebody is there is found out by one that does not share.
    if count > 1 {
        drop(raw(address, false)?);
    }
    let first = bind(address, count > 1)?;
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..count {
        listeners.push(bind(address, true)?);
    }
    Ok((address, listeners))
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<StdListener> {
    let socket = raw(address, shared)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn raw(address: SocketAddr, shared: bool) -> io::Result<RawSocket> {
    let socket = RawSocket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    if shared {
        socket.set_reuse_port(true)?;
    }
    #[cfg(not(unix))]
    let _ = shared;
    // Without it the last segment of a large packet would wait for an ack. On Linux what is accepted has
    // it from here; elsewhere it is told so itself.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

async fn serve_shard(
    hub: Arc<Hub>,
    shard: usize,
    listener: StdListener,
    tls: Option<Tls>,
    mut stopped: watch::Receiver<Stage>,
) {
    let number = u16::try_from(shard).expect("there are few shards");
    let (flusher, ticker) = Shard::tasks(&hub, shard);
    let (flusher, ticker) = (tokio::spawn(flusher), tokio::spawn(ticker));
    // Where there are several threads, each takes connections to poll.
    let alone = Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread;
    let watch = match alone && tls.is_none() {
        true => Watch::new().ok(),
        false => None,
    };
    let sockets = watch.as_ref().map(Watch::sockets).cloned();
    let crew = alone.then(|| {
        let (crew, run) = Crew::new(watch);
        tokio::spawn(run);
        crew
    });
    let spawn = |stream: Plain, peer, since| {
        let tcp = Arc::clone(stream.shared());
        let front = Front::new(stream, peer, since, Arc::clone(&hub), number);
        match &crew {
            Some(crew) => {
                if let Some(task) = crew.add(front) {
                    tcp.wakes(task);
                }
            }
            None => drop(tokio::spawn(front)),
        }
    };
    match Listener::new(listener, sockets) {
        Ok(listener) => tokio::select! {
            () = accept(&hub, number, &listener, tls.as_ref(), spawn) => {}
            _ = stopped.wait_for(|stage| *stage >= Stage::Closing) => {}
        },
        Err(error) => tracing::error!(%error, "a listener could not be used"),
    }
    if let Some(crew) = &crew {
        crew.close();
    }
    let _ = stopped.wait_for(|stage| *stage >= Stage::Gone).await;
    flusher.abort();
    ticker.abort();
}

/// Accepts for ever. Where the process is out of descriptors or memory it waits a moment, longer
/// each time, instead of spinning; connections that are there are served meanwhile.
async fn accept(
    hub: &Arc<Hub>,
    shard: u16,
    listener: &Listener,
    tls: Option<&Tls>,
    spawn: impl Fn(Plain, SocketAddr, Instant),
) {
    const FIRST: Duration = Duration::from_millis(10);
    const LAST: Duration = Duration::from_millis(500);
    let mut pause = FIRST;
    loop {
        // Those who come at once are accepted at one moment, one after the other.
        let mut since = None;
        let accepted = poll_fn(|cx| {
            loop {
                let (stream, peer) = match listener.poll_accept(cx) {
                    Poll::Ready(accepted) => accepted?,
                    Poll::Pending => {
                        since = None;
                        return Poll::Pending;
                    }
                };
                pause = FIRST;
                match tls {
                    None => {
                        let since = since.get_or_insert_with(clock::now);
                        spawn(stream, peer, *since);
                        *since += Duration::from_nanos(1);
                    }
                    Some(tls) => {
                        let stream = stream.into_runtime()?;
                        drop(tokio::spawn(tls.serve(
                            stream,
                            peer,
                            Arc::clone(hub),
                            shard,
                        )));
                    }
                }
            }
        });
        let accepted: io::Result<Infallible> = accepted.await;
        match accepted {
            Ok(never) => match never {},
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                if pause == FIRST {
                    tracing::error!(%error, "no connection can be accepted for a while");
                }
                tokio::time::sleep(pause).await;
                pause = LAST.min(pause * 2);
            }
        }
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_sends_its_segments_at_once() {
        let listener = bind("127.0.0.1:0".parse().unwrap(), false).unwrap();
        listener.set_nonblocking(false).unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        assert!(stream.nodelay().unwrap());
    }
}
