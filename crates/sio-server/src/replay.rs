//! A stream of our own listener in hyper's hands: what was read of it already comes first.
//!
//! Two things are seen here that hyper could only find out at a price. Whether the client has gone while
//! its request is being answered: hyper would read, into a buffer of its own, what is nearly never there.
//! And whether an answer waits for the client to take it: then the connection is not idle.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::{
    pending::{Errand, Errands},
    tcp,
    wire::Stream,
};

/// A stream of which some bytes may have been read.
pub(crate) struct Replay<S: Below> {
    bytes: Bytes,
    /// There until it is taken.
    stream: Option<S>,
    /// Whether something has come since the last answer began: the head of a request, or a part of it.
    is_asked: bool,
    /// Who reads waits for more, and sees the end, or has seen it.
    is_read: bool,
    /// Something has been written since the last flush: the next thing is to read.
    is_written: bool,
    errands: Errands,
    /// An answer that the client does not take at once.
    stuck: Option<Errand>,
}

/// A stream below hyper.
pub(crate) trait Below: Stream {
    /// Whether [`poll_gone`](Self::poll_gone) finds it out.
    const TELLS: bool;

    /// Whether the client has gone. The task hears of it when it does.
    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Writes what the stream takes.
    fn poll_send(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self).poll_write(cx, buf)
    }
}

impl Below for TcpStream {
    const TELLS: bool = true;

    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut first = [0];
        match self.poll_peek(cx, &mut ReadBuf::new(&mut first)) {
            Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(()),
            // What is there waits until the answer has left.
            Poll::Ready(Ok(_)) | Poll::Pending => Poll::Pending,
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match tcp::send(self, buf) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Pin::new(self).poll_write(cx, buf)
            }
            sent => Poll::Ready(sent),
        }
    }
}

#[cfg(feature = "tls")]
impl Below for tokio_rustls::server::TlsStream<TcpStream> {
    /// Only who decrypts can tell.
    const TELLS: bool = false;

    fn poll_gone(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

impl<S: Below> Replay<S> {
    pub(crate) fn new(bytes: Bytes, stream: S, errands: Errands) -> Self {
        Self {
            is_asked: !bytes.is_empty(),
            bytes,
            stream: Some(stream),
            is_read: false,
            is_written: false,
            errands,
            stuck: None,
        }
    }

    pub(crate) fn into_parts(mut self) -> (Option<S>, Vec<u8>) {
        (self.stream.take(), std::mem::take(&mut self.bytes).into())
    }

    fn stream(&mut self) -> io::Result<Pin<&mut S>> {
        let stream = self.stream.as_mut().map(Pin::new);
        stream.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn written(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        (self.is_asked, self.is_written) = (false, true);
        match (&written, &self.stuck) {
            (Poll::Pending, None) => self.stuck = Some(self.errands.begin()),
            (Poll::Ready(_), Some(_)) => self.stuck = None,
            _ => {}
        }
        written
    }
}

/// The answer to a head that did not come in time.
const TOO_SLOW: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

impl<S: Below> Drop for Replay<S> {
    /// A connection whose head does not come in time is let go of; whoever has begun one is told.
    fn drop(&mut self) {
        if let Some(stream) = &mut self.stream
            && self.is_asked
            && self.errands.is_late()
        {
            let cx = &mut Context::from_waker(Waker::noop());
            let _ = Pin::new(&mut *stream).poll_write(cx, TOO_SLOW);
            let _ = Pin::new(stream).poll_flush(cx);
        }
    }
}

impl<S: Below> AsyncRead for Replay<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.bytes.is_empty() {
            let before = buf.filled().len();
            let read = self.stream()?.poll_read(cx, buf);
            let some = buf.filled().len() > before;
            self.is_asked |= some;
            self.is_read = !some;
            return read;
        }
        let n = self.bytes.len().min(buf.remaining());
        buf.put_slice(&self.bytes[..n]);
        self.bytes.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl<S: Below> AsyncWrite for Replay<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream()?.get_mut().poll_send(cx, buf);
        self.written(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let is_busy =
            std::mem::take(&mut self.is_written) || self.is_read || !self.bytes.is_empty();
        let stream = self.stream()?;
        if S::TELLS && !is_busy && stream.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        stream.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream()?.poll_write_vectored(cx, bufs);
        self.written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream
            .as_ref()
            .is_some_and(AsyncWrite::is_write_vectored)
    }
}
