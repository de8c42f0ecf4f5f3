//! HTTP/2 on our own listener, WebSockets by extended CONNECT included ([RFC
//! 8441](https://www.rfc-editor.org/rfc/rfc8441)).

use std::{convert::Infallible, future::Future, sync::Arc};

use futures_util::FutureExt as _;
use http::{Method, Request};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use crate::{hub::Hub, pending::Errands, service::Service, wire::Stream};

/// What a client that speaks HTTP/2 from the start, without TLS, may do with one connection. In
/// [`Config::http2`](crate::Config::http2).
///
/// A stream is a request, or a WebSocket; each costs more to begin than it costs the client to ask
/// for and to cancel, so all of that is bounded. Beyond a limit of streams they are refused, beyond the
/// others the connection ends with `ENHANCE_YOUR_CALM`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Http2 {
    /// Streams at the same time. Default 128.
    pub max_streams: u32,
    /// Bytes of a request's header fields, as HTTP/2 counts them. Default 16 KiB.
    pub max_header_bytes: u32,
    /// Streams that the client has cancelled and we have not looked at yet. Default 20.
    pub max_pending_resets: usize,
    /// Streams that we have cancelled for what the client did wrong. Default 1024.
    pub max_error_resets: usize,
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            max_streams: 128,
            max_header_bytes: 16 << 10,
            max_pending_resets: 20,
            max_error_resets: 1024,
        }
    }
}

/// How every connection of HTTP/2 begins, RFC 9113 §3.4; no request of HTTP/1.1 does.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether the first bytes of a connection are those of HTTP/2.
pub(crate) fn is_preface(bytes: &[u8]) -> bool {
    let len = bytes.len().min(PREFACE.len());
    len >= 3 && bytes[..len] == PREFACE[..len]
}

/// Serves a connection to its end.
pub(crate) fn serve<S: Stream + 'static>(
    settings: &Http2,
    hub: &Arc<Hub>,
    stream: S,
    service: Service,
    errands: Errands,
) -> impl Future<Output = Result<(), hyper::Error>> + Send + use<S> {
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let mut errand = errands.begin();
        if request.method() == Method::CONNECT {
            errand.never_end(); // A WebSocket outlives the answer.
        }
        // Not an `async` block, which would keep the answer's future twice.
        service.answer(request).map(move |answer| {
            drop(errand);
            Ok::<_, Infallible>(answer)
        })
    });
    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(settings.max_streams)
        .max_header_list_size(settings.max_header_bytes)
        .max_pending_accept_reset_streams(settings.max_pending_resets)
        .max_local_error_reset_streams(settings.max_error_resets)
        // A connection whose client has gone is noticed, as it is by the heartbeat elsewhere.
        .keep_alive_interval(hub.engine.ping_interval)
        .keep_alive_timeout(hub.engine.ping_timeout)
        .enable_connect_protocol()
        .serve_connection(TokioIo::new(stream), service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preface_is_known_by_its_first_bytes() {
        for (bytes, is) in [
            (&b"PRI"[..], true),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04", true),
            (b"PRI * HTTP/1.1\r\n", false),
            (b"PRO", false),
            (b"PR", false),
            (b"GET / HTTP/1.1\r\n", false),
            (b"", false),
        ] {
            assert_eq!(is_preface(bytes), is, "{}", bytes.escape_ascii());
        }
    }
}
