//! A connection of our own listener, from its first byte to its task.
//!
//! The first head is read here. If it asks for a WebSocket on our path, and arrives whole, it is
//! answered in the same write as the open packet, and the future turns into the connection's task.
//! Everything else, also what is malformed or arrives in pieces, goes to hyper together with the
//! bytes read so far, so both roads answer it alike.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use eio_transport::{
    Claim, Form, Method, Opening, Origin, Query, Revision, Route, Transport, route,
};
use http::{Request, Version};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::Sleep};
use ws_handshake::{Headers, Upgrade};

use crate::{
    counters::{Limit, Tally},
    deflate,
    desk::Desk,
    driver::Driver,
    engine, entropy,
    facts::Facts,
    gate::Admission,
    http2,
    hub::Hub,
    listen::Replay,
    observe::Observed,
    patience::Patience,
    service::{MAX_TARGET, Service},
    session, turn,
    wire::{Stream, WireIo, poll_recv},
};

/// Header fields of a head that is read here; one with more goes to hyper.
const MAX_FIELDS: usize = 48;
/// Bytes of a head that hyper reads, request line included.
const MAX_HEAD: usize = 24 << 10;

/// The stages of a connection. A box around the drivers would cost every connection.
pub(crate) enum Front {
    /// Nothing has come yet.
    Head(Box<Head>),
    /// hyper serves it.
    Http(Pin<Box<dyn Future<Output = ()> + Send>>),
    /// It is a WebSocket, and somebody watches.
    Observed(Driver<Observed>),
    /// It is a WebSocket, for bare Engine.IO.
    Bare(Driver<engine::Desk>),
    /// It is a WebSocket, for Socket.IO.
    Socket(Driver<Desk>),
}

pub(crate) struct Head {
    stream: Option<TcpStream>,
    peer: SocketAddr,
    hub: Arc<Hub>,
    shard: u16,
    /// Set when the first read finds nothing.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Front {
    pub(crate) fn new(stream: TcpStream, peer: SocketAddr, hub: Arc<Hub>, shard: u16) -> Self {
        Self::Head(Box::new(Head {
            stream: Some(stream),
            peer,
            hub,
            shard,
            timer: None,
        }))
    }
}

impl Future for Front {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            match this {
                Self::Head(head) => match ready!(head.poll(cx)) {
                    Some(next) => *this = next,
                    None => return Poll::Ready(()),
                },
                Self::Http(http) => return http.as_mut().poll(cx),
                Self::Observed(driver) => return Pin::new(driver).poll(cx),
                Self::Bare(driver) => return Pin::new(driver).poll(cx),
                Self::Socket(driver) => return Pin::new(driver).poll(cx),
            }
        }
    }
}

impl Head {
    /// Reads once and decides. `None` is the end of the connection.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Front>> {
        let Some(stream) = self.stream.take() else {
            return Poll::Ready(None);
        };
        turn::with_scratch(|scratch, _| match poll_recv(&stream, cx, scratch) {
            Poll::Pending => {
                self.stream = Some(stream);
                let patience = self.hub.config.header_timeout;
                let timer = self
                    .timer
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
                timer.as_mut().poll(cx).map(|()| {
                    self.tally().hit(Limit::HeadTime);
                    None
                })
            }
            Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(None),
            Poll::Ready(Ok(n)) => Poll::Ready(Some(self.decide(stream, &scratch[..n]))),
        })
    }

    fn tally(&self) -> &Tally {
        &self.hub.shards[usize::from(self.shard)].tally
    }

    fn decide(&self, stream: TcpStream, bytes: &[u8]) -> Front {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        let opening = match request.parse(bytes) {
            // What might be too long is measured where everything is.
            Ok(httparse::Status::Complete(len)) if len <= MAX_TARGET => {
                opening(&request, &self.hub).map(|opening| (len, opening))
            }
            _ => None,
        };
        let Some((len, opening)) = opening else {
            return self.hand_over(stream, bytes);
        };
        let fields = Fields(request.headers);
        let gate = &self.hub.gate;
        if gate.check_page(&fields, Some(self.peer), None).is_err() {
            return self.hand_over(stream, bytes);
        }
        let Ok(upgrade) = Upgrade::check("GET", Version::HTTP_11, &fields) else {
            return self.hand_over(stream, bytes);
        };
        let Some(admission) = Admission::ask(&self.hub) else {
            return self.hand_over(stream, bytes);
        };
        let sid = entropy::id();
        // The target begins with the first slash: there is none in `GET`.
        let target = memchr::memchr(b'/', bytes).unwrap_or(0);
        let facts = Facts::from_head(Some(self.peer), false, &bytes[target..len]);
        let unread = bytes[len..].to_vec();
        let io = WireIo::Tcp(Arc::new(stream));
        let compression = self.hub.compression.as_ref();
        let (policy, codec) = deflate::negotiate(compression, &upgrade, self.shard.into());
        let (conn, wire) = session::open_websocket(
            admission, self.shard, sid, opening, facts, io, unread, codec,
        );
        turn::with_encoder(|encoder| {
            upgrade
                .agree(&policy)
                .write_response(&mut encoder.frames, []);
            session::write_open_frame(&mut encoder.frames, &self.hub, &sid);
            conn.greet(&encoder.frames);
        });
        if self.hub.observer.is_some() {
            Front::Observed(Driver::new(conn, Some(wire)))
        } else if self.hub.bare.is_none() {
            Front::Socket(Driver::new(conn, Some(wire)))
        } else {
            Front::Bare(Driver::new(conn, Some(wire)))
        }
    }

    /// Lets hyper serve the connection, beginning with what was read.
    fn hand_over(&self, stream: TcpStream, bytes: &[u8]) -> Front {
        let service = Service::new(Arc::clone(&self.hub), self.shard, Some(self.peer));
        let is_http2 = http2::is_preface(bytes);
        let stream = Replay::new(Bytes::copy_from_slice(bytes), stream);
        Front::Http(Box::pin(serve_http(service, stream, is_http2)))
    }
}

/// Lets hyper serve a connection to its end; by HTTP/2 only if that is on.
pub(crate) async fn serve_http<S: Stream + 'static>(service: Service, stream: S, is_http2: bool) {
    let (hub, shard) = (Arc::clone(&service.hub), usize::from(service.shard));
    if let Some(settings) = &hub.config.http2
        && is_http2
    {
        if let Err(error) = http2::serve(settings, &hub, stream, service).await {
            tracing::debug!(%error, "a connection of HTTP/2 ended early");
        }
        return;
    }
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let answer = service.answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let http = hyper::server::conn::http1::Builder::new()
        .timer(Patience::new())
        .header_read_timeout(hub.config.header_timeout)
        .max_buf_size(MAX_HEAD)
        .writev(false)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = http.await {
        let tally = &hub.shards[shard].tally;
        if error.is_timeout() {
            tally.hit(Limit::HeadTime);
        } else if error.is_parse_too_large() {
            tally.hit(Limit::Head);
        }
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}

/// What a head asks for, if it is one to be answered here: a WebSocket for a new session.
fn opening(request: &httparse::Request<'_, '_>, hub: &Hub) -> Option<Opening> {
    if request.method != Some("GET") || request.version != Some(1) {
        return None;
    }
    if !hub.gate.hooks.is_empty() {
        return None; // They want the request in another form.
    }
    let target = request.path?;
    let rest = target.strip_prefix(hub.config.path.as_str())?;
    let query = Query::parse(Some(rest.strip_prefix('?')?));
    if query.session != Claim::New || query.revision != Revision::V4 {
        return None;
    }
    let asked = eio_transport::Request {
        method: Method::Get,
        form: Form::Upgrade,
        origin: Origin::Legal,
    };
    match route(asked, &query, None, &hub.engine) {
        Ok(Route::Open(opening)) if opening.transport == Transport::WebSocket => Some(opening),
        _ => None,
    }
}

/// The fields of a head as the handshake reads them.
struct Fields<'h, 'b>(&'h [httparse::Header<'b>]);

impl Headers for Fields<'_, '_> {
    fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|field| (field.name, field.value))
    }

    fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let named = move |field: &&httparse::Header<'_>| field.name.eq_ignore_ascii_case(name);
        self.0.iter().filter(named).map(|field| field.value)
    }
}
