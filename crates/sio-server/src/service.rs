//! Requests and answers: the friendly road, for hyper, axum and everything that speaks tower.

use std::{
    convert::Infallible,
    future::Future,
    net::{IpAddr, SocketAddr},
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use eio_transport::{ErrorCode, Form, Refusal};
use http::{Extensions, HeaderMap, Request, Response, StatusCode, header, request::Parts};
use http_body::Body;
use http_body_util::Full;
use hyper::upgrade::OnUpgrade;

use crate::{
    answering::{Answer, Answering, Page, ResponseFuture, Stage, emptied, refuse, status},
    counters::Tally,
    debug,
    deciding::Way,
    files,
    head::form,
    hub::Hub,
    observe::{self, ConnectionError, EngineEvent},
    polling::Post,
    shard::Shard,
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
    pub(crate) secure: bool,
}

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

    pub(crate) fn shut(&self) {
        self.hub.shut();
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
        let (parts, body) = request.into_parts();
        self.answer_to(parts, body)
    }

    /// The same for one that has been taken apart.
    #[inline]
    pub(crate) fn answer_to<B>(&self, parts: Parts, body: B) -> Answering<B>
    where
        B: Body + Send + 'static,
        B::Data: Send,
    {
        let mut page = None;
        let stage = match &self.hub.stack {
            None => self.look_at(parts, body, &mut page),
            Some(stack) => Stage::Other {
                answer: stack.call(self, Request::from_parts(parts, body)),
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
        let (parts, body) = request.into_parts();
        let mut page = None;
        let stage = self.look_at(parts, body, &mut page);
        Answering { stage, page }
    }

    /// The head is looked at where it lies: to move it about costs more than to look at it.
    #[inline]
    fn look_at<B>(&self, mut parts: Parts, body: B, page: &mut Option<Page>) -> Stage<B>
    where
        B: Body + Send + 'static,
        B::Data: Send,
    {
        if !self.is_ours(parts.uri.path()) {
            return self.fall_back(Request::from_parts(parts, body));
        }
        self.ensure_running();
        match self.decide(&mut parts, page) {
            Way::Answered(answer) => answer.into(),
            Way::File(name) => Stage::other(self.clone().send_file(name, parts.headers)),
            Way::HandOn(door) => Stage::other(self.clone().hand_on(door, parts, body)),
            Way::Open(wish) => match self.open_at_once(wish, &mut parts) {
                Some(answer) => answer.into(),
                None => Stage::other(self.clone().open(wish, parts)),
            },
            Way::Poll(conn, callback, coding) => {
                Stage::get(conn, callback, emptied(parts.headers), coding)
            }
            Way::Post(conn, kind) => {
                let post = Post::new(conn, kind, body, self.shard);
                let fields = emptied(parts.headers);
                Stage::Post { post, fields }
            }
        }
    }

    /// Sends a file of the client's.
    async fn send_file(self, name: String, headers: HeaderMap) -> Answer {
        let folder = self.hub.config.client_files.as_deref();
        let folder = folder.map(AsRef::<Path>::as_ref);
        files::serve(folder, &name, &headers, self.hub.debug).await
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
    pub(crate) fn peer(&self, parts: &Parts) -> Option<SocketAddr> {
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

    pub(crate) fn tally(&self) -> &Tally {
        &self.hub.shards[usize::from(self.shard)].tally
    }

    /// A request that the protocol refuses.
    pub(crate) fn refuse(&self, parts: &Parts, refusal: Refusal, form: Form) -> Answer {
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
    pub(crate) fn tell(
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
}

/// What a developer reads at a path that nobody answers.
const NOTHING_HERE: &str = "nothing is served here: clients of Socket.IO connect below Config::path, and \
                            Server::page, fallback or layer serve the rest";

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
