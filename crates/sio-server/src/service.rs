//! Requests and answers: the friendly road, for hyper, axum and everything that speaks tower.

use std::{
    convert::Infallible,
    future::Future,
    mem,
    net::{IpAddr, SocketAddr},
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use eio_transport::{
    Claim, Dialect, ErrorCode, Form, Known, Opening, Origin, Query, Refusal, Route, Sid, Transport,
    payload::Payload, route,
};
use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version,
    header, request::Parts, uri::Authority,
};
use http_body::Body;
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
    answering::{
        Answer, Answering, JSON, Page, ResponseFuture, Stage, emptied, refuse, status, text_answer,
    },
    clock,
    compress::Coding,
    conn::{Command, Conn},
    counters::{Limit, Tally},
    debug,
    deflate::{self, Codec, Compression},
    entropy,
    error::Refuse,
    facts::Facts,
    files,
    front::{self, Front},
    gate::Admission,
    hooks::{add_headers, decide},
    hub::Hub,
    observe::{self, ConnectionError, EngineEvent},
    polling::{self, Kind, Post},
    replay::Replay,
    session,
    shard::Shard,
    wire::{Incoming, IncomingIo, WireIo},
};

/// The peer's address, for those who hand requests to a [`Service`] themselves: put it into the
/// request's extensions, and handlers see it as [`Handshake::address`](crate::Handshake::address).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// The server as a service of HTTP requests, for hyper and tower. From
/// [`Server::into_service`](crate::Server::into_service).
///
/// Requests below [`Config::path`](crate::Config::path) are answered; others go to
/// [`Server::fallback`](crate::Server::fallback), or get 404. The
/// connection has to be served with upgrades, on a tokio runtime.
#[derive(Clone)]
pub struct Service {
    pub(crate) hub: Arc<Hub>,
    pub(crate) shard: u16,
    /// Whose requests these are, where that is known without a [`PeerAddr`].
    peer: Option<SocketAddr>,
    /// Whether they come through TLS of ours.
    secure: bool,
}

static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Who answers requests that are not ours.
pub(crate) type Fallback =
    Box<dyn Fn(Request<()>) -> Pin<Box<dyn Future<Output = Response<Bytes>> + Send>> + Send + Sync>;

impl Service {
    pub(crate) fn new(hub: Arc<Hub>, shard: u16, peer: Option<SocketAddr>) -> Self {
        let secure = false;
        Self {
            hub,
            shard,
            peer,
            secure,
        }
    }

    /// The service of a connection of our own TLS.
    #[cfg(feature = "tls")]
    pub(crate) fn secure(hub: Arc<Hub>, shard: u16, peer: SocketAddr) -> Self {
        let secure = true;
        Self {
            secure,
            ..Self::new(hub, shard, Some(peer))
        }
    }

    /// Whether a request of this path is ours.
    pub(crate) fn owns(&self, path: &str) -> bool {
        self.is_ours(path)
            || self
                .hub
                .beside
                .as_ref()
                .is_some_and(|beside| beside.owns(path))
    }

    fn is_ours(&self, path: &str) -> bool {
        path.starts_with(self.hub.config.path.as_str())
    }

    /// The path below which requests are ours.
    pub(crate) fn path(&self) -> &str {
        &self.hub.config.path
    }

    pub(crate) fn close(&self) {
        self.hub.close();
    }

    pub(crate) fn drivers_left(&self) -> usize {
        self.hub.drivers_left()
    }

    /// Answers one request, through the layers around the server if there are any. It is looked at in this
    /// call; the future only waits.
    pub(crate) fn answer<B>(&self, request: Request<B>) -> Answering<B>
    where
        B: Body + Send + 'static,
        B::Data: Send,
    {
        let mut page = None;
        let stage = match &self.hub.stack {
            None => self.look_at(request, &mut page),
            Some(stack) => Stage::Other {
                answer: stack.call(self, request),
            },
        };
        Answering { stage, page }
    }

    /// The same, inside of all layers.
    pub(crate) fn answer_inside<B>(&self, request: Request<B>) -> Answering<B>
    where
        B: Body + Send + 'static,
        B::Data: Send,
    {
        let mut page = None;
        let stage = self.look_at(request, &mut page);
        Answering { stage, page }
    }

    #[inline]
    fn look_at<B>(&self, request: Request<B>, page: &mut Option<Page>) -> Stage<B>
    where
        B: Body + Send + 'static,
        B::Data: Send,
    {
        // Whoever needs the head later takes it; to move it about costs more than to look at it.
        let (mut parts, body) = request.into_parts();
        if self.is_ours(parts.uri.path()) {
            self.begin(&mut parts, body, page)
        } else {
            self.fall_back(Request::from_parts(parts, body))
        }
    }

    /// A request that is ours. `page` is what the answer's header fields are to say about it.
    #[inline]
    fn begin<B>(&self, parts: &mut Parts, body: B, page: &mut Option<Page>) -> Stage<B>
    where
        B: Body + Send + 'static,
        B::Data: Send,
    {
        self.ensure_running();
        let present = Present::among(&parts.headers);
        if let Some((limit, refused)) = over_limit(parts, &present) {
            self.tally().hit(limit);
            let context = limit.name();
            self.tell(parts, &refused, None, context, context);
            return refused.into();
        }
        let name = &parts.uri.path()[self.hub.config.path.len()..];
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        // A page of anybody may bring in a script, and no more than that is served.
        let client_file = is_read && files::is_client_file(name);
        let gate = &self.hub.gate;
        let peer = self.peer(parts);
        let authority = parts.uri.authority().map(Authority::as_str);
        let origin = present.page.then(|| parts.headers.get(header::ORIGIN));
        let origin = origin.flatten();
        let checked = match present.page {
            true => gate.check_page(&parts.headers, peer, authority),
            false => Ok(()),
        };
        if let (Err(error), false) = (checked, client_file) {
            gate.log_refused_page(error, &parts.headers, peer, authority);
            self.tally().hit(Limit::Origin);
            let refused = refuse(ErrorCode::Forbidden, form(parts));
            self.tell(
                parts,
                &refused,
                Some(ErrorCode::Forbidden),
                "Forbidden",
                "origin",
            );
            return refused.into();
        }
        let origin = origin.filter(|_| checked.is_ok());
        let hooks = &gate.hooks;
        let view = hooks.headers.as_ref();
        let view = view.and_then(|_| hooks.view(parts, || gate.client(&parts.headers, peer)));
        let dresses = hooks.headers.is_some() || !gate.pages.is_silent();
        *page = dresses.then(|| Page {
            hub: Arc::clone(&self.hub),
            view: view.map(Box::new),
            // A copy: one that shares hyper's buffer would keep it from being used again.
            origin: origin.and_then(|origin| HeaderValue::from_bytes(origin.as_bytes()).ok()),
        });
        if client_file {
            let (hub, name) = (Arc::clone(&self.hub), name.to_owned());
            let headers = mem::take(&mut parts.headers);
            Stage::other(async move {
                let folder = hub.config.client_files.as_deref();
                let folder = folder.map(AsRef::<Path>::as_ref);
                files::serve(folder, &name, &headers, hub.debug).await
            })
        } else if gate.pages.is_preflight(&parts.method) {
            let mut answer = status(StatusCode::NO_CONTENT);
            let asked = parts.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
            gate.pages.apply_preflight(asked, answer.headers_mut());
            answer.into()
        } else {
            self.dispatch(parts, &present, body, page)
        }
    }

    /// A request that is not ours.
    fn fall_back<B>(&self, mut request: Request<B>) -> Stage<B>
    where
        B: Body + Send + 'static,
        B::Data: Send,
    {
        if let Some(beside) = &self.hub.beside
            && beside.is_ours(request.uri().path())
        {
            let beside = Self {
                peer: self.peer,
                ..beside.clone()
            };
            return Stage::other(beside.answer(request));
        }
        let Some(fallback) = &self.hub.fallback else {
            let mut missing = status(StatusCode::NOT_FOUND);
            if self.hub.debug.is_on() {
                *missing.body_mut() = Full::from(NOTHING_HERE);
            }
            return missing.into();
        };
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(PeerAddr(peer));
        }
        let answer = fallback(request.map(|_| ()));
        Stage::other(async move { answer.await.map(Full::new) })
    }

    /// Whose request this is.
    fn peer(&self, parts: &Parts) -> Option<SocketAddr> {
        self.peer_of(&parts.extensions)
    }

    /// The same, of a request with these extensions.
    pub(crate) fn peer_of(&self, extensions: &Extensions) -> Option<SocketAddr> {
        let told = || extensions.get::<PeerAddr>().map(|peer| peer.0);
        self.peer.or_else(told)
    }

    /// The address of the client itself.
    pub(crate) fn client_of<B>(&self, request: &Request<B>) -> Option<IpAddr> {
        let peer = self.peer_of(request.extensions());
        self.hub.gate.client(request.headers(), peer)
    }

    /// Spawns the shard's tasks on the runtime of the first request. On our own listener they run
    /// already.
    fn ensure_running(&self) {
        self.hub.running.get_or_init(|| {
            let (flusher, ticker) = Shard::tasks(&self.hub, 0);
            tokio::spawn(flusher);
            tokio::spawn(ticker);
        });
    }

    #[inline]
    fn dispatch<B>(
        &self,
        parts: &mut Parts,
        present: &Present,
        body: B,
        page: &mut Option<Page>,
    ) -> Stage<B>
    where
        B: Body + Send + 'static,
        B::Data: Send,
    {
        // Nearly none of those that come here asks to leave HTTP: no more is looked at then.
        let is_connect = is_extended_connect(parts);
        let form = match present.upgrade || is_connect {
            true => form(parts),
            false => Form::Plain,
        };
        let query = Query::parse(parts.uri.query());
        let conn = match query.session {
            Claim::Session(sid) => self.hub.session(&sid),
            _ => None,
        };
        if let (Claim::Session(sid), None, Some(neighbours)) =
            (&query.session, &conn, self.hub.neighbours())
            && let Some(door) = neighbours.door_of(sid, &parts.headers)
            && !is_connect
        {
            // The answer comes with header fields for its page.
            *page = None;
            return Stage::other(self.clone().hand_on(door, taken(parts), body));
        }
        let known = conn.as_ref().map(|conn| {
            let link = conn.lock();
            Known {
                transport: link.session.transport(),
                revision: link.session.revision(),
            }
        });
        let asked = eio_transport::Request {
            method: match parts.method {
                // What HTTP/1.1 asks by GET and `Upgrade`.
                _ if is_connect => eio_transport::Method::Get,
                Method::GET => eio_transport::Method::Get,
                Method::POST => eio_transport::Method::Post,
                _ => eio_transport::Method::Other,
            },
            form,
            // hyper lets no illegal header through.
            origin: Origin::Legal,
        };
        let route = match route(asked, &query, known, &self.hub.engine) {
            Ok(route) => route,
            Err(refusal) => return self.refuse(parts, refusal, form).into(),
        };
        match (route, conn) {
            (Route::Open(opening), _) => {
                let callback = query.jsonp;
                match self.open_at_once(opening, callback, form, parts) {
                    Some(answer) => answer.into(),
                    None => {
                        let service = self.clone();
                        Stage::other(service.open(opening, callback, form, taken(parts)))
                    }
                }
            }
            (Route::Poll, Some(conn)) => {
                let threshold = self.hub.config.compress_above.filter(|_| present.coding);
                let coding = threshold
                    .and_then(|threshold| Some((Coding::accepted(&parts.headers)?, threshold)));
                Stage::get(conn, query.jsonp, emptied(&mut parts.headers), coding)
            }
            (Route::Post, Some(conn)) => {
                let octets = present.octets.unwrap_or(false);
                let kind = match present.encoded && polling::is_encoded(&parts.headers) {
                    true => Kind::Encoded,
                    false => Kind::of(octets, query.jsonp),
                };
                let post = Post::new(conn, kind, body, self.shard);
                let fields = emptied(&mut parts.headers);
                Stage::Post { post, fields }
            }
            (Route::Probe, Some(conn)) => {
                let dialect = query.dialect();
                self.probe(conn, dialect, parts).into()
            }
            (Route::Hang, _) => self.hang(parts).into(),
            _ => status(StatusCode::INTERNAL_SERVER_ERROR).into(),
        }
    }

    /// Lets the node at `door` answer. If it cannot, the client is told to connect anew.
    async fn hand_on<B>(self, door: Arc<str>, mut parts: Parts, body: B) -> Answer
    where
        B: Body + Send + 'static,
        B::Data: Send,
    {
        let upgrade = parts.headers.contains_key(header::UPGRADE);
        let upgrade = upgrade.then(|| parts.extensions.remove::<OnUpgrade>());
        let limit = self.hub.config.max_answer();
        let answer = match self.hub.neighbours() {
            Some(neighbours) => {
                neighbours
                    .hand_on(&door, &parts, upgrade.flatten(), body, limit)
                    .await
            }
            None => Err("this node has no neighbours".into()),
        };
        answer.unwrap_or_else(|error| {
            tracing::warn!(%door, %error, "the node that has the session did not answer");
            let code = ErrorCode::UnknownSid;
            let refused = refuse(code, form(&parts));
            self.tell(&parts, &refused, Some(code), code.message(), "node");
            refused
        })
    }

    /// Opens a session, if nobody has to be asked and there is room: `None` if not, and then it is
    /// [waited for](Self::open).
    fn open_at_once(
        &self,
        opening: Opening,
        callback: Option<u64>,
        form: Form,
        parts: &mut Parts,
    ) -> Option<Answer> {
        if !self.hub.gate.hooks.is_empty() {
            return None;
        }
        if let Err(refusal) = opening.check_revision(&self.hub.engine) {
            return Some(self.refuse(parts, refusal, form));
        }
        let admission = Admission::at_once(&self.hub)?;
        Some(self.admit(opening, callback, form, admission, None, parts))
    }

    async fn open(
        self,
        opening: Opening,
        callback: Option<u64>,
        form: Form,
        mut parts: Parts,
    ) -> Answer {
        let view = match self.may_open(&parts).await {
            Ok(view) => view,
            Err(refusal) => {
                let refused = refuse_with(&refusal, form);
                let code = Some(ErrorCode::Forbidden);
                self.tell(&parts, &refused, code, &refusal.message, "allow_request");
                return refused;
            }
        };
        if let Err(refusal) = opening.check_revision(&self.hub.engine) {
            return self.refuse(&parts, refusal, form);
        }
        let client = match self.hub.gate.addresses {
            Some(_) => self.hub.gate.client(&parts.headers, self.peer(&parts)),
            None => None, // Nobody will look at it.
        };
        match Admission::ask(&self.hub, client).await {
            Ok(admission) => {
                let view = view.as_ref();
                self.admit(opening, callback, form, admission, view, &mut parts)
            }
            Err(limit) => {
                self.tally().hit(limit);
                let (status, message, context) = no_room(limit);
                let refused = come_later(status, message);
                self.tell(&parts, &refused, None, message, context);
                refused
            }
        }
    }

    /// Opens a session for which there is room. `view` is the request as hooks see it.
    fn admit(
        &self,
        opening: Opening,
        callback: Option<u64>,
        form: Form,
        admission: Admission,
        view: Option<&Request<()>>,
        parts: &mut Parts,
    ) -> Answer {
        let Some(sid) = self.hub.new_sid(view) else {
            let code = ErrorCode::BadRequest;
            let refused = refuse(code, form);
            self.tell(
                parts,
                &refused,
                Some(code),
                code.message(),
                "ID_GENERATION_ERROR",
            );
            return refused;
        };
        let mut answer = match opening.transport {
            Transport::Polling => self.open_polling(opening, callback, admission, sid, parts),
            Transport::WebSocket => self.open_websocket(opening, admission, sid, parts),
        };
        let hook = self.hub.gate.hooks.initial_headers.as_ref();
        add_headers(hook, answer.headers_mut(), view);
        answer
    }

    fn tally(&self) -> &Tally {
        &self.hub.shards[usize::from(self.shard)].tally
    }

    /// A request that the protocol refuses.
    fn refuse(&self, parts: &Parts, refusal: Refusal, form: Form) -> Answer {
        let Refusal { code, context, .. } = refusal;
        if code == ErrorCode::UnsupportedProtocolVersion {
            debug::hint(
                self.hub.debug,
                format_args!(
                    "a client whose URL does not say EIO=4 was refused: one of Socket.IO 2 is let in by \
                     config.engine.allow_eio3, any other is too old or too new"
                ),
            );
        }
        let refused = refuse(code, form);
        let context = context.name().unwrap_or_else(|| code.message());
        self.tell(parts, &refused, Some(code), code.message(), context);
        refused
    }

    /// Counts a refusal, and tells whoever watches.
    fn tell(
        &self,
        request: &Parts,
        refused: &Answer,
        code: Option<ErrorCode>,
        message: &str,
        context: &str,
    ) {
        self.tally().refused();
        if let Some(observer) = &self.hub.observer {
            let error = ConnectionError {
                status: refused.status().as_u16(),
                code: code.map(ErrorCode::code),
                message,
                context,
                request,
            };
            observe::tell(observer, EngineEvent::ConnectionError(error));
        }
    }

    /// Asks the application whether a request may open a connection, and returns it as hooks see it.
    async fn may_open(&self, parts: &Parts) -> Result<Option<Request<()>>, Refuse> {
        let gate = &self.hub.gate;
        let peer = self.peer(parts);
        let view = gate.hooks.view(parts, || gate.client(&parts.headers, peer));
        if let (Some(allow), Some(view)) = (&gate.hooks.allow, &view) {
            let patience = self.hub.engine.connect_timeout;
            decide(&**allow, view.clone(), patience).await?;
        }
        Ok(view)
    }

    fn open_polling(
        &self,
        opening: Opening,
        callback: Option<u64>,
        admission: Admission,
        sid: Sid,
        parts: &mut Parts,
    ) -> Answer {
        let facts = self.facts(parts);
        let conn = session::open_polling(admission, self.shard, sid, opening, facts);
        session::spawn(Arc::clone(&conn));
        let upgrades = self.hub.engine.upgrades(Transport::Polling);
        let mut payload = Payload::new(opening.revision, 0);
        payload.push_open(&conn.sid, upgrades, &self.hub.engine);
        if let Some(initial) = &self.hub.initial {
            payload.push(&initial.translated(opening.dialect()));
        }
        let (kind, payload) = polling::dress(payload.into_bytes().into(), callback);
        let mut answer = text_answer(emptied(&mut parts.headers), kind, payload);
        if let Some(cookie) = &self.hub.gate.cookie {
            let cookie = cookie.value(&conn.sid);
            answer.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        answer
    }

    fn open_websocket(
        &self,
        opening: Opening,
        admission: Admission,
        sid: Sid,
        parts: &mut Parts,
    ) -> Answer {
        // As it came: its fields are taken for the answer's.
        let facts = self.facts(parts);
        let compression = self.hub.compression.as_ref();
        let (answer, upgrade, codec) = match accept(parts, compression, self.shard.into()) {
            Ok(accepted) => accepted,
            Err(error) => return refuse_upgrade(&error),
        };
        tokio::spawn(Front::Upgrade(front::Upgrade {
            upgrade,
            shard: self.shard,
            sid,
            opening,
            codec,
            admitted: Some((admission, facts)),
        }));
        answer
    }

    /// A WebSocket for a session that polls.
    fn probe(&self, conn: Arc<Conn>, dialect: Dialect, parts: &mut Parts) -> Answer {
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
                    let stream = Arc::into_inner(stream).map(TcpStream::into_std);
                    let Some(Ok(stream)) = stream else { return };
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
    fn hang(&self, parts: &mut Parts) -> Answer {
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

    fn facts(&self, parts: &Parts) -> Facts {
        let target = parts
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str());
        let secure = self.secure || parts.uri.scheme() == Some(&http::uri::Scheme::HTTPS);
        let headers = parts
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()));
        Facts::new(self.peer(parts), secure, target, headers)
    }
}

/// The longest target of a request, in bytes.
pub(crate) const MAX_TARGET: usize = 8 << 10;
/// The most header fields of a request, and the most bytes of their names and values together.
const MAX_FIELDS: usize = 64;
pub(crate) const MAX_FIELD_BYTES: usize = 16 << 10;

/// Which of the fields that matter to a request of ours are there at all: most are not, and to look for
/// each of them costs more than to look at all that came, once.
#[derive(Default)]
struct Present {
    /// `Accept-Encoding`.
    coding: bool,
    /// `Content-Encoding`.
    encoded: bool,
    /// Whether `Content-Type`, the first of them, is that of bytes.
    octets: Option<bool>,
    /// `Origin` or `Sec-Fetch-Site`, which the check of the page is about.
    page: bool,
    upgrade: bool,
    /// The names and values of all fields.
    bytes: usize,
}

impl Present {
    fn among(headers: &HeaderMap) -> Self {
        let mut present = Self::default();
        for (name, value) in headers {
            present.bytes += name.as_str().len() + value.len();
            match *name {
                header::ACCEPT_ENCODING => present.coding = true,
                header::CONTENT_ENCODING => present.encoded = true,
                header::CONTENT_TYPE => {
                    present
                        .octets
                        .get_or_insert_with(|| polling::is_octets(value));
                }
                header::ORIGIN => present.page = true,
                header::UPGRADE => present.upgrade = true,
                _ => present.page |= *name == SEC_FETCH_SITE,
            }
        }
        present
    }
}

/// The head of a request, for whoever goes on with it later.
fn taken(parts: &mut Parts) -> Parts {
    let (empty, ()) = Request::new(()).into_parts();
    mem::replace(parts, empty)
}

/// The answer to a request whose head is more than anybody needs, on whichever road it came.
fn over_limit(parts: &Parts, present: &Present) -> Option<(Limit, Answer)> {
    let target = parts.uri.path_and_query();
    let target = target.map_or(0, |target| target.as_str().len());
    let bytes = present.bytes;
    let (limit, over) = if target > MAX_TARGET {
        (Limit::Target, StatusCode::URI_TOO_LONG)
    } else if parts.headers.len() > MAX_FIELDS || bytes > MAX_FIELD_BYTES {
        (Limit::Head, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
    } else {
        return None;
    };
    let mut answer = status(over);
    let close = HeaderValue::from_static("close");
    answer.headers_mut().insert(header::CONNECTION, close);
    Some((limit, answer))
}

/// Whether a request asks to leave HTTP.
fn form(parts: &Parts) -> Form {
    if is_extended_connect(parts) {
        return Form::Upgrade;
    }
    if !parts.headers.contains_key(header::UPGRADE) {
        return Form::Plain;
    }
    let mut connection = parts.headers.get_all(header::CONNECTION).iter();
    let asks = connection.any(|value| {
        let mut tokens = value.as_bytes().split(|byte| *byte == b',');
        tokens.any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    });
    if asks { Form::Upgrade } else { Form::Plain }
}

/// Whether this is what HTTP/2 has for an Upgrade request, RFC 8441 §4.
fn is_extended_connect(parts: &Parts) -> bool {
    parts.method == Method::CONNECT && parts.extensions.get::<Protocol>().is_some()
}

/// Checks the opening handshake and answers it.
fn accept(
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
    *answer.headers_mut() = emptied(&mut parts.headers);
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
            return (WireIo::Tcp(Arc::new(stream)), unread);
        }
        Err(upgraded) => upgraded,
    };
    let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => {
            return (
                WireIo::Tcp(Arc::new(parts.io.into_inner())),
                parts.read_buf.to_vec(),
            );
        }
        Err(upgraded) => upgraded,
    };
    match hyper_util::server::conn::auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => (
            WireIo::Tcp(Arc::new(parts.io.into_inner())),
            parts.read_buf.to_vec(),
        ),
        Err(upgraded) => (WireIo::Stream(Box::new(TokioIo::new(upgraded))), Vec::new()),
    }
}

/// What a developer reads at a path that nobody answers.
const NOTHING_HERE: &str = "nothing is served here: clients of Socket.IO connect below Config::path, and \
                            Server::page, fallback or layer serve the rest";

/// What the application had against a request.
fn refuse_with(refusal: &Refuse, form: Form) -> Answer {
    let mut answer = refuse(ErrorCode::Forbidden, form);
    let error = serde_json::json!({ "code": 4, "message": refusal.message });
    *answer.body_mut() = Full::new(error.to_string().into());
    answer
}

/// What is said for want of room: the status, the message, and the setting that it is about.
fn no_room(limit: Limit) -> (StatusCode, &'static str, &'static str) {
    let (yours, ours) = (
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    );
    match limit {
        Limit::AddressConnections => (yours, "Too many connections", "per_ip.max_connections"),
        Limit::AddressRate => (yours, "Too many requests", "per_ip.max_handshake_rate"),
        Limit::Memory => (ours, "Out of memory", "memory_budget"),
        Limit::OpeningRate => (ours, "Too many requests", "max_opening_rate"),
        _ => (ours, "Too many connections", "max_connections"),
    }
}

/// A client that there is no room for now, and that should not come back at the same moment as all others.
fn come_later(status: StatusCode, message: &str) -> Answer {
    let body = format!(r#"{{"code":3,"message":"{message}"}}"#);
    let mut answer = text_answer(HeaderMap::new(), JSON, body.into());
    *answer.status_mut() = status;
    let [dice] = entropy::bytes();
    let later = HeaderValue::from(1 + u16::from(dice % 10));
    answer.headers_mut().insert(header::RETRY_AFTER, later);
    let close = HeaderValue::from_static("close");
    answer.headers_mut().insert(header::CONNECTION, close);
    answer
}

/// A handshake that is malformed: its own status, and a sentence about it.
fn refuse_upgrade(error: &HandshakeError) -> Answer {
    error
        .response()
        .map(|()| Full::new(error.to_string().into()))
}

impl<B> hyper::service::Service<Request<B>> for Service
where
    B: Body + Send + 'static,
    B::Data: Send,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = ResponseFuture<B>;

    fn call(&self, request: Request<B>) -> Self::Future {
        ResponseFuture::new(self.answer(request))
    }
}

impl<B> tower_service::Service<Request<B>> for Service
where
    B: Body + Send + 'static,
    B::Data: Send,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = ResponseFuture<B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ResponseFuture::new(self.answer(request))
    }
}
