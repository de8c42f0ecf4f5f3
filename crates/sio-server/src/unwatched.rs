//! Where there is no epoll the runtime watches all sockets, and nobody is what `watch.rs` has.

use std::{
    io::{self, IoSlice},
    net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream},
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use tokio::net::{TcpListener, TcpStream};

use crate::tcp::{Got, Tcp};

pub(crate) enum Sockets {}

pub(crate) enum Watch {}

impl Watch {
    pub(crate) fn new() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn sockets(&self) -> &Arc<Sockets> {
        match *self {}
    }

    pub(crate) fn poll(&mut self, _: &mut Context<'_>, _: bool) {
        match *self {}
    }
}

pub(crate) enum Watched {}

impl Watched {
    pub(crate) fn new(_: Accepted, sockets: &Arc<Sockets>) -> Self {
        match **sockets {}
    }

    pub(crate) fn watch(&self, _: &Arc<Tcp>, _: Waker) {
        match *self {}
    }

    pub(crate) fn unwatch(&self) {
        match *self {}
    }

    pub(crate) fn forget(&self) {
        match *self {}
    }

    pub(crate) fn poll_recv(&self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<Got>> {
        match *self {}
    }

    pub(crate) fn poll_send_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }

    pub(crate) fn send(&self, _: &[u8]) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) fn send_all(&self, _: &[IoSlice<'_>]) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) fn shutdown(&self) -> io::Result<()> {
        match *self {}
    }
}

impl From<Watched> for StdStream {
    fn from(watched: Watched) -> Self {
        match watched {}
    }
}

/// A socket that clients connect to.
pub(crate) struct Listening(TcpListener);

pub(crate) struct Accepted(TcpStream);

impl Listening {
    pub(crate) fn from_std(listener: StdListener) -> io::Result<Self> {
        TcpListener::from_std(listener).map(Self)
    }

    pub(crate) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Accepted, SocketAddr)>> {
        let (stream, peer) = ready!(self.0.poll_accept(cx))?;
        let _ = stream.set_nodelay(true);
        Poll::Ready(Ok((Accepted(stream), peer)))
    }
}

impl Accepted {
    pub(crate) fn into_runtime(self) -> io::Result<TcpStream> {
        Ok(self.0)
    }
}
