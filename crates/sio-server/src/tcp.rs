//! Plain TCP sockets, and who says when they can be read and written to: the runtime, or an own epoll
//! instance of the shard.

use std::{
    io::{self, IoSlice},
    net::{Shutdown, SocketAddr, TcpListener as StdListener, TcpStream as StdStream},
    ops::Deref,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use socket2::SockRef;
use tokio::{io::Interest, net::TcpStream};

use crate::{
    kernel,
    watch::{Listening, Sockets, Watched},
};

/// A socket, for whoever reads it and whoever writes to it.
pub(crate) enum Tcp {
    /// The runtime watches it.
    Runtime(TcpStream),
    /// Its shard does.
    Shard(Watched),
}

/// What was read.
pub(crate) struct Got {
    pub(crate) len: usize,
    /// It was all there is, and the task is woken when there is more.
    pub(crate) all: bool,
}

impl Tcp {
    /// Reads what is there into `buf`, which is not empty; no bytes are the end of the stream.
    ///
    /// A read that does not fill `buf` has taken all: the socket's readiness is cleared right away, which
    /// saves the second system call that would only say "nothing more".
    #[inline]
    pub(crate) fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<Got>> {
        match self {
            Self::Runtime(stream) => poll_recv(stream, cx, buf),
            Self::Shard(socket) => socket.poll_recv(cx, buf),
        }
    }

    /// Writes as much as the socket takes.
    #[inline]
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Runtime(stream) => send(stream, bytes),
            Self::Shard(socket) => socket.send(bytes),
        }
    }

    /// Writes as much of all slices, in order, as the socket takes.
    #[inline]
    pub(crate) fn send_all(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Runtime(stream) => settle(stream, kernel::send_all(stream, slices)),
            Self::Shard(socket) => socket.send_all(slices),
        }
    }

    /// Whether a socket that took nothing may take something again. The task is woken when it does.
    pub(crate) fn poll_send_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Runtime(stream) => stream.poll_write_ready(cx),
            Self::Shard(socket) => socket.poll_send_ready(cx),
        }
    }

    /// Ends our direction; errors do not matter any more.
    pub(crate) fn shutdown(&self) {
        let _ = match self {
            Self::Runtime(stream) => SockRef::from(stream).shutdown(Shutdown::Write),
            Self::Shard(socket) => socket.shutdown(),
        };
    }

    /// From now on `task` is woken when something comes.
    pub(crate) fn wakes(self: &Arc<Self>, task: Waker) {
        match &**self {
            // It is for the task to ask.
            Self::Runtime(_) => task.wake(),
            Self::Shard(socket) => socket.watch(self, task),
        }
    }
}

/// A socket in the hands of the task that reads it. When that lets go of it nobody watches it any more; it
/// is closed when whoever writes to it has let go, too.
pub(crate) struct Plain(Arc<Tcp>);

impl Plain {
    pub(crate) fn shared(&self) -> &Arc<Tcp> {
        &self.0
    }

    /// The socket for the runtime of whoever calls, where nobody else has it.
    pub(crate) fn into_runtime(self) -> io::Result<TcpStream> {
        match self.into_inner()? {
            Tcp::Runtime(stream) => Ok(stream),
            Tcp::Shard(socket) => TcpStream::from_std(socket.into()),
        }
    }

    /// The socket for another runtime, where nobody else has it.
    pub(crate) fn into_std(self) -> io::Result<StdStream> {
        match self.into_inner()? {
            Tcp::Runtime(stream) => stream.into_std(),
            Tcp::Shard(socket) => Ok(socket.into()),
        }
    }

    fn into_inner(self) -> io::Result<Tcp> {
        let tcp = Arc::clone(&self.0);
        if let Tcp::Shard(socket) = &*tcp {
            socket.forget();
        }
        drop(self);
        Arc::into_inner(tcp).ok_or_else(|| io::ErrorKind::ResourceBusy.into())
    }
}

impl From<TcpStream> for Plain {
    fn from(stream: TcpStream) -> Self {
        Self(Arc::new(Tcp::Runtime(stream)))
    }
}

impl Deref for Plain {
    type Target = Tcp;

    #[inline]
    fn deref(&self) -> &Tcp {
        &self.0
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        if let Tcp::Shard(socket) = &*self.0 {
            socket.unwatch();
        }
    }
}

/// A socket that clients connect to.
pub(crate) struct Listener {
    listening: Listening,
    /// Who watches what is accepted, if it is not the runtime.
    sockets: Option<Arc<Sockets>>,
}

impl Listener {
    pub(crate) fn new(listener: StdListener, sockets: Option<Arc<Sockets>>) -> io::Result<Self> {
        let listening = Listening::from_std(listener)?;
        Ok(Self { listening, sockets })
    }

    pub(crate) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Plain, SocketAddr)>> {
        let (stream, peer) = ready!(self.listening.poll_accept(cx))?;
        let tcp = match &self.sockets {
            Some(sockets) => Tcp::Shard(Watched::new(stream, sockets)),
            None => Tcp::Runtime(stream.into_runtime()?),
        };
        Poll::Ready(Ok((Plain(Arc::new(tcp)), peer)))
    }
}

/// Writes as much as a socket of the runtime's takes.
#[inline]
pub(crate) fn send(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    settle(stream, kernel::send(stream, bytes))
}

/// Lets tokio know of a socket that takes no more, so that it waits for it.
#[inline]
fn settle(stream: &TcpStream, sent: io::Result<usize>) -> io::Result<usize> {
    match sent {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            stream.try_io(Interest::WRITABLE, || Err(error))
        }
        sent => sent,
    }
}

/// Reads a socket of the runtime's.
fn poll_recv(stream: &TcpStream, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<Got>> {
    loop {
        let mut read = None;
        // Tried first: the task was most likely woken because there is something.
        let result = stream.try_io(Interest::READABLE, || {
            // `TcpStream::try_read` would leave the readiness set after a short read; whether it
            // may be cleared has to be decided between the read and the next event, that is, here.
            let n = kernel::recv(stream, buf)?;
            read = Some(n);
            if n < buf.len() && n > 0 {
                Err(io::ErrorKind::WouldBlock.into())
            } else {
                Ok(())
            }
        });
        match (read, result) {
            (Some(len), Ok(())) => return Poll::Ready(Ok(Got { len, all: false })),
            (Some(len), Err(_)) => {
                let all = stream.poll_read_ready(cx).is_pending();
                return Poll::Ready(Ok(Got { len, all }));
            }
            (None, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                ready!(stream.poll_read_ready(cx))?;
            }
            (None, Err(error)) => return Poll::Ready(Err(error)),
            (None, Ok(())) => unreachable!("the closure succeeds only after a read"),
        }
    }
}
