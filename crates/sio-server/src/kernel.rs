//! The two system calls of nearly every message: one to read it, one to send it.
//!
//! They are made by `rustix`, straight to the kernel. The C library makes its own cancellable in a
//! process of several threads, which takes more instructions than all else that a delivery costs in
//! user space between two of them.

use std::io;

use tokio::{io::Interest, net::TcpStream};

/// Reads what is there; 0 is the end of the stream.
#[cfg(unix)]
#[inline]
pub(crate) fn recv(stream: &TcpStream, buf: &mut [u8]) -> io::Result<usize> {
    let (read, _) = rustix::net::recv(stream, buf, rustix::net::RecvFlags::empty())?;
    Ok(read)
}

/// Writes as much as the socket takes. It is not asked for its readiness first: the caller knows of
/// nothing against it, and a socket that takes nothing says so itself.
#[cfg(unix)]
#[inline]
pub(crate) fn send(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    use rustix::net::SendFlags;
    settle(
        stream,
        rustix::net::send(stream, bytes, SendFlags::NOSIGNAL),
    )
}

/// Writes as much of all slices, in order, as the socket takes.
#[cfg(unix)]
#[inline]
pub(crate) fn send_all(stream: &TcpStream, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
    settle(stream, rustix::io::writev(stream, slices))
}

/// Lets tokio know of a socket that takes no more, so that it waits for it.
#[cfg(unix)]
#[inline]
fn settle(stream: &TcpStream, sent: rustix::io::Result<usize>) -> io::Result<usize> {
    match sent {
        Ok(sent) => Ok(sent),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            stream.try_io(Interest::WRITABLE, || Err(io::ErrorKind::WouldBlock.into()))
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(unix))]
pub(crate) fn recv(stream: &TcpStream, buf: &mut [u8]) -> io::Result<usize> {
    io::Read::read(&mut &*socket2::SockRef::from(stream), buf)
}

#[cfg(not(unix))]
pub(crate) fn send(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    stream.try_write(bytes)
}

#[cfg(not(unix))]
pub(crate) fn send_all(stream: &TcpStream, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
    stream.try_write_vectored(slices)
}
