//! A socket in memory: a read copies at most `chunk` bytes of a fixed stream, as `recv` does; a write is
//! counted and dropped. Nothing ever has to wait.

use std::cell::Cell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

pub struct Wire {
    stream: Bytes,
    at: usize,
    chunk: usize,
}

/// What was written to all wires of this thread.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Written {
    pub bytes: u64,
    /// Each of them would be a call into the kernel, which is not in the figures.
    pub calls: u64,
}

thread_local! {
    static WRITTEN: Cell<Written> = const { Cell::new(Written { bytes: 0, calls: 0 }) };
}

/// What was written since the last time this was asked.
pub fn written() -> Written {
    WRITTEN.take()
}

impl Wire {
    pub fn new(stream: &Bytes, chunk: usize) -> Self {
        Self {
            stream: stream.clone(),
            at: 0,
            chunk,
        }
    }

    /// For writing alone.
    pub fn sink() -> Self {
        Self::new(&Bytes::new(), 0)
    }

    /// The next bytes, at most `room` of them, for the caller to copy.
    pub fn recv(&mut self, room: usize) -> &[u8] {
        let rest = &self.stream[self.at..];
        let count = room.min(self.chunk).min(rest.len());
        self.at += count;
        &rest[..count]
    }

    pub fn put(&mut self, bytes: usize) -> usize {
        let Written { bytes: sum, calls } = WRITTEN.get();
        WRITTEN.set(Written {
            bytes: sum + bytes as u64,
            calls: calls + 1,
        });
        bytes
    }

    pub fn put_vectored(&mut self, slices: &[IoSlice<'_>]) -> usize {
        self.put(slices.iter().map(|slice| slice.len()).sum())
    }
}

impl io::Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = self.recv(buf.len());
        buf[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }
}

impl io::Write for Wire {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(self.put(buf.len()))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(self.put_vectored(slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl tokio::io::AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let bytes = self.recv(buf.remaining());
        buf.put_slice(bytes);
        Poll::Ready(Ok(()))
    }
}

impl tokio::io::AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(self.put(buf.len())))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(self.put_vectored(slices)))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The same for the `futures` traits, which soketto asks for.
impl futures_util::io::AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(io::Read::read(&mut *self, buf))
    }
}

impl futures_util::io::AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(self.put(buf.len())))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Runs a future that never has to wait.
pub fn now<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
    }
}
