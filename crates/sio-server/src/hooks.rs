//! What the application has to say about requests: whether they may open a connection, under which
//! id, and with which headers they are answered.

use std::{
    future::{Future, poll_fn},
    net::IpAddr,
    pin::Pin,
    task::Poll,
    time::Duration,
};

use eio_transport::Sid;
use http::{HeaderMap, Request, request::Parts};
use hyper::upgrade::OnUpgrade;

use crate::{error::Refuse, panic::contain, server::Server};

/// The client's address, as far as proxies that are trusted tell it; among the extensions of the
/// requests that hooks see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddr(pub IpAddr);

type Decision = Pin<Box<dyn Future<Output = Result<(), Refuse>> + Send>>;
type AddHeaders = Box<dyn Fn(&mut HeaderMap, &Request<()>) + Send + Sync>;

/// What was set with [`Server::allow_request`] and its like.
#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) allow: Option<Box<dyn Fn(Request<()>) -> Decision + Send + Sync>>,
    pub(crate) initial_headers: Option<AddHeaders>,
    pub(crate) headers: Option<AddHeaders>,
    #[expect(clippy::type_complexity, reason = "it is spelled out once, here")]
    pub(crate) id: Option<Box<dyn Fn(&Request<()>) -> Sid + Send + Sync>>,
}

impl Hooks {
    /// Whether nothing was set.
    pub(crate) fn is_empty(&self) -> bool {
        self.allow.is_none()
            && self.initial_headers.is_none()
            && self.headers.is_none()
            && self.id.is_none()
    }

    /// The request as hooks see it; `None` if nobody will look.
    pub(crate) fn view(
        &self,
        parts: &Parts,
        client: impl FnOnce() -> Option<IpAddr>,
    ) -> Option<Request<()>> {
        if self.is_empty() {
            return None;
        }
        let mut view = Request::from_parts(parts.clone(), ());
        // Whoever took it would have the connection.
        view.extensions_mut().remove::<OnUpgrade>();
        if let Some(client) = client() {
            view.extensions_mut().insert(ClientAddr(client));
        }
        Some(view)
    }
}

/// Asks the application about a request, and takes no answer in time, or a panic, for a refusal.
pub(crate) async fn decide(
    allow: &(dyn Fn(Request<()>) -> Decision + Send + Sync),
    request: Request<()>,
    patience: Duration,
) -> Result<(), Refuse> {
    let refused = || Err(Refuse::new("Forbidden"));
    let Some(mut decision) = contain("a decision about a request", || allow(request)) else {
        return refused();
    };
    let decided = poll_fn(|cx| {
        contain("a decision about a request", || decision.as_mut().poll(cx))
            .unwrap_or_else(|| Poll::Ready(refused()))
    });
    match tokio::time::timeout(patience, decided).await {
        Ok(decided) => decided,
        Err(_) => {
            tracing::error!("a decision about a request took too long: it is refused");
            refused()
        }
    }
}

/// Lets a hook add headers. One that panics has added what it had until then.
pub(crate) fn add_headers(
    hook: Option<&AddHeaders>,
    headers: &mut HeaderMap,
    view: Option<&Request<()>>,
) {
    if let (Some(hook), Some(view)) = (hook, view) {
        contain("a hook for headers", || hook(headers, view));
    }
}

/// Hooks for requests, in Node the options and events of `io.engine`.
///
/// With any of them set, the server's own listener lets hyper read the opening handshakes of
/// WebSockets, too, which costs more than twice the instructions of its own reading.
impl Server {
    /// Asks whether a request may open a connection, on either transport, once per connection. A
    /// [`Refuse`] answers it with 403 and the error `{"code":4,"message":…}`, which `engine.io-client`
    /// shows as the context of its `connect_error`.
    ///
    /// Who has no session yet is asked about here; who may join a namespace is better asked of
    /// [`Namespace::new`](crate::Namespace::new), whose refusal the client's application sees. A
    /// decision that takes longer than
    /// [`connect_timeout`](eio_transport::Config::connect_timeout) is a refusal.
    ///
    /// ```
    /// use sio_server::{ClientAddr, Refuse, Server};
    ///
    /// let server = Server::new().allow_request(async |request| {
    ///     let client = request.extensions().get::<ClientAddr>();
    ///     if client.is_some_and(|ClientAddr(client)| client.is_loopback())
    ///         || request.headers().contains_key("x-api-key")
    ///     {
    ///         Ok(())
    ///     } else {
    ///         Err(Refuse::new("a key is needed"))
    ///     }
    /// });
    /// ```
    pub fn allow_request<Fut>(
        mut self,
        allow: impl FnOnce(Request<()>) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = Result<(), Refuse>> + Send + 'static,
    {
        let allow = move |request| Box::pin(allow.clone()(request)) as Decision;
        self.hooks.allow = Some(Box::new(allow));
        self
    }

    /// Adds headers to the answer of the handshake: the open packet over polling, the 101 of a
    /// WebSocket.
    ///
    /// ```
    /// use http::{HeaderValue, header};
    ///
    /// let server = sio_server::Server::new().initial_headers(|headers, _request| {
    ///     headers.insert(header::SET_COOKIE, HeaderValue::from_static("seen=1; SameSite=Lax"));
    /// });
    /// ```
    pub fn initial_headers(
        mut self,
        add: impl Fn(&mut HeaderMap, &Request<()>) + Send + Sync + 'static,
    ) -> Self {
        self.hooks.initial_headers = Some(Box::new(add));
        self
    }

    /// Adds headers to every answer below the server's path, errors included.
    ///
    /// ```
    /// use http::{HeaderValue, header};
    ///
    /// let server = sio_server::Server::new().headers(|headers, _request| {
    ///     let year = HeaderValue::from_static("max-age=31536000");
    ///     headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
    /// });
    /// ```
    pub fn headers(
        mut self,
        add: impl Fn(&mut HeaderMap, &Request<()>) + Send + Sync + 'static,
    ) -> Self {
        self.hooks.headers = Some(Box::new(add));
        self
    }

    /// Makes the ids of sessions, for a load balancer that reads them, for example.
    ///
    /// **Whoever can guess an id can read and write that client's session.** Keep at least 96 bits of
    /// it random. An id that is taken refuses the request with error 3. The public id of a socket is
    /// another and always random.
    ///
    /// ```
    /// use sio_server::{Server, Sid};
    ///
    /// // From 15 random bytes, of a generator that cannot be guessed.
    /// # fn random() -> [u8; 15] { [7; 15] }
    /// let server = Server::new().generate_id(|_request| Sid::from_entropy(random()));
    /// ```
    pub fn generate_id(
        mut self,
        generate: impl Fn(&Request<()>) -> Sid + Send + Sync + 'static,
    ) -> Self {
        self.hooks.id = Some(Box::new(generate));
        self
    }
}
