//! The WebSocket of one connection: a stream and the frames cut from it.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use eio_transport::Dialect;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use ws_frame::Connection;

use crate::{
    clock,
    conn::{Conn, Writer},
    deflate::Codec,
    tcp::{Got, Plain},
};

/// A WebSocket that has been accepted.
pub(crate) struct Wire {
    pub(crate) io: WireIo,
    pub(crate) frames: Connection,
    pub(crate) dialect: Dialect,
    /// Bytes that have been read but not looked at: what was glued to the upgrade request, or what
    /// the handlers could not keep up with.
    pub(crate) unread: Box<[u8]>,
    /// Bytes for a WebSocket that is not the session's: nobody else writes to it.
    pub(crate) unsent: Vec<u8>,
    /// When the frame machine last heard of time going by.
    last: Instant,
}

/// A WebSocket on its way to another task, perhaps on another runtime.
pub(crate) struct Incoming {
    pub(crate) io: IncomingIo,
    pub(crate) frames: Connection,
    pub(crate) dialect: Dialect,
    pub(crate) unread: Vec<u8>,
    pub(crate) codec: Option<Box<Codec>>,
}

pub(crate) enum IncomingIo {
    /// Taken out of its runtime, to be entered into the one that will serve it.
    Tcp(std::net::TcpStream),
    Stream(Box<dyn Stream>),
}

impl Incoming {
    /// Enters the stream into the runtime of the calling task.
    pub(crate) fn adopt(self) -> io::Result<Wire> {
        let io = match self.io {
            IncomingIo::Tcp(stream) => WireIo::Tcp(TcpStream::from_std(stream)?.into()),
            IncomingIo::Stream(stream) => WireIo::Stream(stream),
        };
        let now = clock::now();
        Ok(Wire::new(io, self.frames, self.dialect, self.unread, now))
    }
}

impl Wire {
    pub(crate) fn new(
        io: WireIo,
        frames: Connection,
        dialect: Dialect,
        unread: Vec<u8>,
        now: Instant,
    ) -> Self {
        Self {
            io,
            frames,
            dialect,
            unread: unread.into(),
            unsent: Vec::new(),
            last: now,
        }
    }

    /// Who writes to it.
    pub(crate) fn writer(&self) -> Writer {
        match &self.io {
            WireIo::Tcp(stream) => Writer::Direct(Arc::clone(stream.shared())),
            WireIo::Stream(_) => Writer::Task,
        }
    }

    /// Lets control frames come again, by the time that has gone by.
    pub(crate) fn handle_elapsed(&mut self, now: Instant) {
        self.frames
            .handle_elapsed(now.saturating_duration_since(self.last));
        self.last = now;
    }

    /// Writes what waits for the session, where only the task can.
    pub(crate) fn poll_send(&mut self, conn: &Conn, cx: &mut Context<'_>) -> io::Result<()> {
        let WireIo::Stream(stream) = &mut self.io else {
            return Ok(());
        };
        let mut stream = Pin::new(stream);
        loop {
            let Some(next) = conn.lock().next(conn) else {
                break;
            };
            match stream.as_mut().poll_write(cx, next.bytes()) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(n)) => conn.lock().advance(n, &conn.hub.config),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    let mut link = conn.lock();
                    link.stand_still();
                    link.charge(conn);
                    return Ok(());
                }
            }
        }
        match stream.poll_flush(cx) {
            Poll::Ready(flushed) => flushed,
            Poll::Pending => Ok(()),
        }
    }

    /// Writes what is unsent, as far as it goes.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while !self.unsent.is_empty() {
            let written = match &mut self.io {
                WireIo::Tcp(stream) => match stream.send(&self.unsent) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        match stream.poll_send_ready(cx) {
                            Poll::Ready(Ok(())) => continue,
                            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                            Poll::Pending => Poll::Pending,
                        }
                    }
                    written => Poll::Ready(written),
                },
                WireIo::Stream(stream) => Pin::new(stream).poll_write(cx, &self.unsent),
            };
            match written {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(n)) => drop(self.unsent.drain(..n)),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(()),
            }
        }
        match &mut self.io {
            WireIo::Stream(stream) => match Pin::new(stream).poll_flush(cx) {
                Poll::Ready(flushed) => flushed,
                Poll::Pending => Ok(()),
            },
            WireIo::Tcp(_) => Ok(()),
        }
    }

    /// Closes a WebSocket that the session does not want, without waiting for an answer.
    pub(crate) fn say_goodbye(&mut self, cx: &mut Context<'_>) {
        self.frames.close(None);
        self.frames.poll_transmit(&mut self.unsent);
        let _ = self.poll_flush(cx);
        let _ = self.io.poll_shutdown(cx);
    }
}

pub(crate) enum WireIo {
    /// A plain socket: read without a buffer of its own, written to by whoever has something.
    Tcp(Plain),
    /// Anything else, such as TLS: only the connection's task touches it.
    Stream(Box<dyn Stream>),
}

/// A byte stream that is not a plain socket.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl WireIo {
    /// Reads what is there, up to `buf`'s length; no bytes are the end of the stream.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<Got>> {
        match self {
            Self::Tcp(stream) => stream.poll_recv(cx, buf),
            Self::Stream(stream) => {
                let mut buf = ReadBuf::new(buf);
                ready!(Pin::new(stream).poll_read(cx, &mut buf))?;
                let len = buf.filled().len();
                Poll::Ready(Ok(Got { len, all: false }))
            }
        }
    }

    /// Ends our direction; errors do not matter any more.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Tcp(stream) => {
                stream.shutdown();
                Poll::Ready(())
            }
            Self::Stream(stream) => Pin::new(stream).poll_shutdown(cx).map(|_| ()),
        }
    }
}
