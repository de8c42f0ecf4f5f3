//! TLS on our own listener, by rustls; the cryptography is the application's choice.
//!
//! What comes out of it is a stream like any other: hyper reads the requests, and the connection's own
//! task writes, since nobody else can encrypt for it.

#[cfg(not(feature = "tls"))]
use std::future::Ready;
use std::{net::SocketAddr, sync::Arc};

#[cfg(feature = "tls")]
use bytes::Bytes;
use tokio::net::TcpStream;
#[cfg(feature = "tls")]
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

use crate::hub::Hub;
#[cfg(feature = "tls")]
use crate::{front::serve_http, pending, replay::Replay, service::Service};

/// How connections are encrypted.
#[cfg(feature = "tls")]
#[derive(Clone)]
pub(crate) struct Tls(TlsAcceptor);

/// There is none without the feature.
#[cfg(not(feature = "tls"))]
#[derive(Clone)]
pub(crate) enum Tls {}

#[cfg(not(feature = "tls"))]
impl Tls {
    pub(crate) fn serve(&self, _: TcpStream, _: SocketAddr, _: Arc<Hub>, _: u16) -> Ready<()> {
        match *self {}
    }
}

#[cfg(feature = "tls")]
impl Tls {
    pub(crate) fn new(config: Arc<ServerConfig>) -> Self {
        Self(config.into())
    }

    /// Serves a connection from its first byte to its end.
    pub(crate) fn serve(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        hub: Arc<Hub>,
        shard: u16,
    ) -> impl Future<Output = ()> + Send + use<> {
        let handshake = self.0.accept(stream);
        let pending = Arc::clone(&hub.shards[usize::from(shard)].pending);
        pending::serve(pending, move |errands| async move {
            let stream = match handshake.await {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::debug!(%error, %peer, "a TLS handshake failed");
                    return;
                }
            };
            // The first head has as much time as the handshake had.
            drop(errands.begin());
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let service = Service::secure(hub, shard, peer);
            let stream = Replay::new(Bytes::new(), stream, errands.clone());
            serve_http(service, stream, is_http2, errands, None).await;
        })
    }
}
