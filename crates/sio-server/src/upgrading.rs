//! Requests that leave HTTP: their handshake, a WebSocket for a session that polls, and what hyper leaves
//! of a connection that it has handed over.

use std::{mem, sync::Arc};

use eio_transport::Dialect;
use http::{Version, request::Parts};
use http_body_util::Full;
use hyper::{
    ext::Protocol,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use ws_frame::CloseFrame;
use ws_handshake::{HandshakeError, Upgrade};

use crate::{
    answering::{Answer, empty, status},
    clock,
    conn::{Command, Conn},
    deflate::{self, Codec, Compression},
    replay::Replay,
    service::Service,
    session,
    wire::{Incoming, IncomingIo, WireIo},
};

impl Service {
    /// A WebSocket for a session that polls.
    pub(crate) fn probe(&self, conn: Arc<Conn>, dialect: Dialect, parts: &mut Parts) -> Answer {
        let compression = self.hub.compression.as_ref();
        let (answer, upgrade, codec) = match accept(parts, compression, conn.shard_index()) {
            Ok(accepted) => accepted,
            Err(error) => return refuse_upgrade(&error),
        };
        let offered = conn.drive(|session| session.handle_probe(clock::now()));
        if offered.is_err() {
            return self.hang_up(answer, upgrade);
        }
        tokio::spawn(async move {
            // If the upgrade fails the session's own deadline for it runs out.
            let Ok(upgraded) = upgrade.await else { return };
            let (io, unread) = take_apart(upgraded);
            let io = match io {
                WireIo::Tcp(stream) => {
                    let Ok(stream) = stream.into_std() else {
                        return;
                    };
                    IncomingIo::Tcp(stream)
                }
                WireIo::Stream(stream) => IncomingIo::Stream(stream),
            };
            let frames = session::frames(&conn.hub, codec.as_deref());
            conn.command(Command::Probe(Box::new(Incoming {
                io,
                frames,
                dialect,
                unread,
                codec,
            })));
        });
        answer
    }

    /// An Upgrade request that names polling: accepted and closed, as Node does.
    pub(crate) fn hang(&self, parts: &mut Parts) -> Answer {
        match accept(parts, None, 0) {
            Ok((answer, upgrade, _)) => self.hang_up(answer, upgrade),
            Err(error) => refuse_upgrade(&error),
        }
    }

    fn hang_up(&self, answer: Answer, upgrade: OnUpgrade) -> Answer {
        let mut frames = session::frames(&self.hub, None);
        tokio::spawn(async move {
            use tokio::io::AsyncWriteExt;
            let Ok(upgraded) = upgrade.await else { return };
            frames.close(None::<CloseFrame<'_>>);
            let mut bytes = Vec::new();
            frames.poll_transmit(&mut bytes);
            let mut stream = TokioIo::new(upgraded);
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        });
        answer
    }
}

/// Checks the opening handshake and answers it.
pub(crate) fn accept(
    parts: &mut Parts,
    compression: Option<&Compression>,
    shard: usize,
) -> Result<(Answer, OnUpgrade, Option<Box<Codec>>), HandshakeError> {
    let (method, headers) = (parts.method.as_str(), &parts.headers);
    let upgrade = if parts.version == Version::HTTP_2 {
        let protocol = parts.extensions.get::<Protocol>().map(Protocol::as_str);
        Upgrade::check_connect(method, parts.version, protocol, headers)?
    } else {
        Upgrade::check(method, parts.version, headers)?
    };
    let (policy, codec) = deflate::negotiate(compression, &upgrade, shard);
    let agreed = upgrade.agree(&policy);
    let mut answer = status(agreed.status());
    empty(&mut parts.headers);
    mem::swap(answer.headers_mut(), &mut parts.headers);
    agreed.insert_into(answer.headers_mut());
    let upgrade = parts
        .extensions
        .remove::<OnUpgrade>()
        .ok_or(HandshakeError::VersionOfHttp)?;
    Ok((answer, upgrade, codec))
}

/// The raw socket of an upgraded connection, where there is one, and what was read ahead.
pub(crate) fn take_apart(upgraded: Upgraded) -> (WireIo, Vec<u8>) {
    let upgraded = match upgraded.downcast::<TokioIo<Replay<TcpStream>>>() {
        Ok(parts) => {
            // What hyper has read comes before what it was never given.
            let (stream, rest) = parts.io.into_inner().into_parts();
            let stream = stream.expect("because nobody else takes it");
            let unread = [&*parts.read_buf, &rest].concat();
            return (WireIo::Tcp(stream.into()), unread);
        }
        Err(upgraded) => upgraded,
    };
    let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => {
            return (
                WireIo::Tcp(parts.io.into_inner().into()),
                parts.read_buf.to_vec(),
            );
        }
        Err(upgraded) => upgraded,
    };
    match hyper_util::server::conn::auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => (
            WireIo::Tcp(parts.io.into_inner().into()),
            parts.read_buf.to_vec(),
        ),
        Err(upgraded) => (WireIo::Stream(Box::new(TokioIo::new(upgraded))), Vec::new()),
    }
}

/// A handshake that is malformed: its own status, and a sentence about it.
pub(crate) fn refuse_upgrade(error: &HandshakeError) -> Answer {
    error
        .response()
        .map(|()| Full::new(error.to_string().into()))
}
