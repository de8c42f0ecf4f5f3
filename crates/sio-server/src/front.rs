//! A connection of our own listener, from its first byte to its task.
//!
//! The first head is read here. If it asks for a WebSocket on our path, and arrives whole, it is
//! answered in the same write as the open packet, and the future turns into the connection's task.
//! Everything else, also what is malformed or arrives in pieces, goes to hyper together with the
//! bytes read so far, so both roads answer it alike.
//!
//! A WebSocket that hyper has accepted is waited for by the same future, so that it, too, needs one
//! task and not a second one for the handing over.

use std::{
    convert::Infallible,
    future::Future,
    mem::MaybeUninit,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Instant,
};

use bytes::Bytes;
use eio_transport::{
    Claim, Form, Method, Opening, Origin, Query, Revision, Route, Sid, Transport, payload::Body,
    route,
};
use futures_util::FutureExt as _;
use http::{Request, Version};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;
use ws_handshake::Headers;

use crate::{
    bell::{Bell, Quiet},
    conn::Conn,
    counters::Limit,
    deflate::{self, Codec},
    desk::Desk,
    driver::Driver,
    engine, entropy,
    facts::Facts,
    gate::Admission,
    head::MAX_TARGET,
    http2,
    hub::Hub,
    observe::Observed,
    pending::{Errands, Idler},
    replay::{Below, Replay},
    service::Service,
    session,
    tcp::{Got, Plain},
    turn,
    upgrading::take_apart,
    wire::{Wire, WireIo},
};

/// Header fields of a head that is read here; one with more goes to hyper.
const MAX_FIELDS: usize = 48;
/// Bytes of a head that hyper reads, request line included.
const MAX_HEAD: usize = 24 << 10;

/// The stages of a connection. A box around the drivers would cost every connection.
pub(crate) enum Front {
    /// Nothing has come yet.
    Head(Head),
    /// hyper serves it. The idler is dropped last: it knows why the connection goes.
    Http(
        Pin<Box<dyn Future<Output = ()> + Send>>,
        Waker,
        Option<Idler>,
    ),
    /// hyper is about to hand it over.
    Upgrade(Upgrade),
    /// It is a WebSocket, and somebody watches.
    Observed(Driver<Observed>),
    /// It is a WebSocket, for bare Engine.IO.
    Bare(Driver<engine::Desk>),
    /// It is a WebSocket, for Socket.IO.
    Socket(Driver<Desk>),
}

pub(crate) struct Head {
    stream: Option<Plain>,
    peer: SocketAddr,
    /// When it was accepted.
    since: Instant,
    hub: Arc<Hub>,
    shard: u16,
    /// Since the first read found nothing.
    idler: Option<Idler>,
}

/// A WebSocket that was accepted, for a new session.
pub(crate) struct Upgrade {
    pub(crate) upgrade: OnUpgrade,
    pub(crate) shard: u16,
    pub(crate) sid: Sid,
    pub(crate) opening: Opening,
    pub(crate) codec: Option<Box<Codec>>,
    /// Until it is handed over.
    pub(crate) admitted: Option<(Admission, Facts)>,
}

impl Front {
    /// A connection that was accepted `since`.
    #[inline]
    pub(crate) fn new(
        stream: Plain,
        peer: SocketAddr,
        since: Instant,
        hub: Arc<Hub>,
        shard: u16,
    ) -> Self {
        Self::Head(Head {
            stream: Some(stream),
            peer,
            since,
            hub,
            shard,
            idler: None,
        })
    }

    /// A poll of a session's task that begins with the body of a POST.
    pub(crate) fn read_body(&mut self, body: Body, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Observed(driver) => driver.read_body(body, cx),
            Self::Bare(driver) => driver.read_body(body, cx),
            Self::Socket(driver) => driver.read_body(body, cx),
            Self::Head(_) | Self::Http(..) | Self::Upgrade(_) => Poll::Pending,
        }
    }

    /// If that has not been read to its end: what says when it has.
    pub(crate) fn reading(&mut self) -> Option<oneshot::Receiver<()>> {
        match self {
            Self::Observed(driver) => driver.reading(),
            Self::Bare(driver) => driver.reading(),
            Self::Socket(driver) => driver.reading(),
            Self::Head(_) | Self::Http(..) | Self::Upgrade(_) => None,
        }
    }

    /// The task of a session.
    #[inline]
    pub(crate) fn driver(conn: Arc<Conn>, wire: Option<Wire>) -> Self {
        if conn.hub.observer.is_some() {
            Self::Observed(Driver::new(conn, wire))
        } else if conn.hub.bare.is_none() {
            Self::Socket(Driver::new(conn, wire))
        } else {
            Self::Bare(Driver::new(conn, wire))
        }
    }
}

impl Future for Front {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            match this {
                // Each is written to its place and not moved there: a front is large.
                Self::Head(head) => match ready!(head.poll(cx)) {
                    Next::Http(http, bell, idler) => *this = Self::Http(http, bell, idler),
                    Next::Over => return Poll::Ready(()),
                    Next::Session(conn, wire) => *this = Self::driver(conn, Some(wire)),
                },
                Self::Http(http, bell, idler) => {
                    return match idler.as_ref().is_some_and(Idler::has_to_go) {
                        true => Poll::Ready(()),
                        false => http.as_mut().poll(&mut Context::from_waker(bell)),
                    };
                }
                Self::Upgrade(upgrade) => match ready!(upgrade.poll(cx)) {
                    Some((conn, wire)) => *this = Self::driver(conn, Some(wire)),
                    None => return Poll::Ready(()),
                },
                Self::Observed(driver) => return Pin::new(driver).poll(cx),
                Self::Bare(driver) => return Pin::new(driver).poll(cx),
                Self::Socket(driver) => return Pin::new(driver).poll(cx),
            }
        }
    }
}

/// What becomes of a connection whose head has been read.
enum Next {
    Http(
        Pin<Box<dyn Future<Output = ()> + Send>>,
        Waker,
        Option<Idler>,
    ),
    Over,
    Session(Arc<Conn>, Wire),
}

impl Head {
    /// Reads once and decides.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let Some(stream) = self.stream.take() else {
            return Poll::Ready(Next::Over);
        };
        turn::with_scratch(|scratch, _| match stream.poll_recv(cx, scratch) {
            Poll::Pending => {
                self.stream = Some(stream);
                match self.idle(cx).has_to_go() {
                    true => Poll::Ready(Next::Over),
                    false => Poll::Pending,
                }
            }
            Poll::Ready(Ok(Got { len: 0, .. }) | Err(_)) => Poll::Ready(Next::Over),
            Poll::Ready(Ok(Got { len, .. })) => {
                Poll::Ready(self.decide(stream, &scratch[..len], cx))
            }
        })
    }

    /// The entry of this connection among those that are no session.
    fn idle(&mut self, cx: &Context<'_>) -> &Idler {
        let pending = &self.hub.shards[usize::from(self.shard)].pending;
        self.idler
            .get_or_insert_with(|| pending.enter(cx.waker().clone(), self.since))
    }

    fn decide(&mut self, stream: Plain, bytes: &[u8], cx: &Context<'_>) -> Next {
        let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut []);
        let opening = match request.parse_with_uninit_headers(bytes, &mut fields) {
            // What might be too long is measured where everything is.
            Ok(httparse::Status::Complete(len)) if len <= MAX_TARGET => {
                opening(&request, &self.hub).map(|opening| (len, opening))
            }
            _ => None,
        };
        let Some((len, opening)) = opening else {
            return self.hand_over(stream, bytes, cx);
        };
        let fields = Fields(request.headers);
        let gate = &self.hub.gate;
        if gate.check_page(&fields, Some(self.peer), None).is_err() {
            return self.hand_over(stream, bytes, cx);
        }
        let Ok(upgrade) = ws_handshake::Upgrade::check("GET", Version::HTTP_11, &fields) else {
            return self.hand_over(stream, bytes, cx);
        };
        let Some(admission) = Admission::at_once(&self.hub) else {
            return self.hand_over(stream, bytes, cx);
        };
        let sid = entropy::id();
        // The target begins with the first slash: there is none in `GET`.
        let target = memchr::memchr(b'/', bytes).unwrap_or(0);
        let facts = Facts::from_head(Some(self.peer), false, &bytes[target..len]);
        let unread = bytes[len..].to_vec();
        let io = WireIo::Tcp(stream);
        let compression = self.hub.compression.as_ref();
        let (policy, codec) = deflate::negotiate(compression, &upgrade, self.shard.into());
        let (conn, wire) = session::open_websocket(
            admission, self.shard, sid, opening, facts, io, unread, codec,
        );
        turn::with_encoder(|frames| {
            let bytes = &mut frames.bytes;
            upgrade.agree(&policy).write_response(bytes, []);
            session::write_open_frame(bytes, &self.hub, &sid, opening.dialect());
            conn.greet(bytes);
        });
        Next::Session(conn, wire)
    }

    /// Lets hyper serve the connection, beginning with what was read.
    fn hand_over(&mut self, stream: Plain, bytes: &[u8], cx: &Context<'_>) -> Next {
        let stream = match stream.into_runtime() {
            Ok(stream) => stream,
            Err(error) => {
                tracing::error!(%error, "a connection cannot be watched");
                return Next::Over;
            }
        };
        let errands = self.idle(cx).errands();
        let idler = self.idler.take();
        let service = Service::new(Arc::clone(&self.hub), self.shard, Some(self.peer));
        let is_http2 = http2::is_preface(bytes);
        let stream = Replay::new(Bytes::copy_from_slice(bytes), stream, errands.clone());
        let bell = Bell::new(cx.waker());
        let waker = Waker::from(Arc::clone(&bell));
        let http = serve_http(service, stream, is_http2, errands, Some(bell));
        Next::Http(Box::pin(http), waker, idler)
    }
}

/// Lets hyper serve a connection to its end; by HTTP/2 only if that is on. `bell` is what wakes it.
pub(crate) async fn serve_http<S: Below + 'static>(
    service: Service,
    stream: Replay<S>,
    is_http2: bool,
    errands: Errands,
    bell: Option<Arc<Bell>>,
) {
    let (hub, shard) = (Arc::clone(&service.hub), usize::from(service.shard));
    if let Some(settings) = &hub.config.http2
        && is_http2
    {
        errands.take_time();
        if let Err(error) = http2::serve(settings, &hub, stream, service, errands).await {
            tracing::debug!(%error, "a connection of HTTP/2 ended early");
        }
        return;
    }
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let errand = errands.begin();
        let (parts, body) = request.into_parts();
        let body = Quiet::new(body, bell.as_deref());
        // Not an `async` block, which would keep the answer's future twice.
        service.answer_to(parts, body).map(move |answer| {
            drop(errand);
            Ok::<_, Infallible>(answer)
        })
    });
    let http = hyper::server::conn::http1::Builder::new()
        // The shard's list of idle connections says when one is late, and `Replay` when one has gone.
        .header_read_timeout(None)
        .half_close(S::TELLS)
        .max_buf_size(MAX_HEAD)
        .writev(false)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = http.await {
        if error.is_parse_too_large() {
            hub.shards[shard].tally.hit(Limit::Head);
        }
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}

impl Upgrade {
    /// `None` if the connection has broken before it was handed over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<(Arc<Conn>, Wire)>> {
        let upgraded = ready!(Pin::new(&mut self.upgrade).poll(cx));
        let (Ok(upgraded), Some((admission, facts))) = (upgraded, self.admitted.take()) else {
            return Poll::Ready(None);
        };
        let (io, unread) = take_apart(upgraded);
        let (shard, sid, opening) = (self.shard, self.sid, self.opening);
        let (conn, wire) = session::open_websocket(
            admission,
            shard,
            sid,
            opening,
            facts,
            io,
            unread,
            self.codec.take(),
        );
        turn::with_encoder(|frames| {
            let bytes = &mut frames.bytes;
            session::write_open_frame(bytes, &conn.hub, &sid, opening.dialect());
            match wire.io {
                WireIo::Tcp(_) => conn.greet(bytes),
                WireIo::Stream(_) => conn.say_raw(bytes),
            }
        });
        Poll::Ready(Some((conn, wire)))
    }
}

/// What a head asks for, if it is one to be answered here: a WebSocket for a new session.
fn opening(request: &httparse::Request<'_, '_>, hub: &Hub) -> Option<Opening> {
    if request.method != Some("GET") || request.version != Some(1) {
        return None;
    }
    if !hub.gate.hooks.is_empty() || hub.stack.is_some() {
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
