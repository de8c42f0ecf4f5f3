//! The two system calls of nearly every message: one to read it, one to send it.
//!
//! They are made by `rustix`, straight to the kernel. The C library makes its own cancellable in a
//! process of several threads, which takes more instructions than all else that a delivery costs in
//! user space between two of them.
//!
//! A socket is not asked for its readiness first: the caller knows of nothing against it, and one that
//! takes nothing says so itself.

use std::io;
#[cfg(unix)]
use std::os::fd::AsFd;

#[cfg(not(unix))]
use tokio::net::TcpStream;

/// Reads what is there; 0 is the end of the stream.
#[cfg(unix)]
#[inline]
pub(crate) fn recv(socket: impl AsFd, buf: &mut [u8]) -> io::Result<usize> {
    let (read, _) = rustix::net::recv(socket, buf, rustix::net::RecvFlags::empty())?;
    Ok(read)
}

/// Writes as much as the socket takes.
#[cfg(unix)]
#[inline]
pub(crate) fn send(socket: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    use rustix::net::SendFlags;
    Ok(rustix::net::send(socket, bytes, SendFlags::NOSIGNAL)?)
}

/// Writes as much of all slices, in order, as the socket takes.
#[cfg(unix)]
#[inline]
pub(crate) fn send_all(socket: impl AsFd, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
    Ok(rustix::io::writev(socket, slices)?)
}

#[cfg(not(unix))]
pub(crate) fn recv(socket: &TcpStream, buf: &mut [u8]) -> io::Result<usize> {
    io::Read::read(&mut &*socket2::SockRef::from(socket), buf)
}

#[cfg(not(unix))]
pub(crate) fn send(socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    socket.try_write(bytes)
}

#[cfg(not(unix))]
pub(crate) fn send_all(socket: &TcpStream, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
    socket.try_write_vectored(slices)
}
