//! Layers of tower around all that the server answers, on its own listener as in a service.
//!
//! Nothing of this is there for a server without any: [`Service`] asks for a stack of layers once per
//! request, and finds none.

use std::{
    convert::Infallible,
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use tower_layer::Layer;
use tower_service::Service as TowerService;

use crate::{
    engine,
    hooks::ClientAddr,
    server::Server,
    service::{PeerAddr, Service},
};

type Answering = Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send>>;

/// Layers, the outermost first, and the server behind them.
#[derive(Clone)]
pub(crate) struct Stack(Arc<dyn Fn(Request<RequestBody>) -> Answering + Send + Sync>);

/// The server, as the innermost layer sees it. From [`Server::wrap`].
#[derive(Clone)]
pub struct Inner {
    /// The layers that were there before.
    stack: Option<Stack>,
}

/// The body of a request, as layers see it.
pub struct RequestBody(UnsyncBoxBody<Bytes, BodyError>);

/// the body of the request did not come to its end
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body of the request did not come to its end")]
pub struct BodyError;

impl Server {
    /// Puts a layer of tower around everything that this server answers: each request and each upgrade,
    /// whoever answers it, on its own listener as in a [service](Self::into_service). The layer that
    /// is added last sees a request first. For several at once there is tower's `ServiceBuilder`.
    ///
    /// Extensions of the request have to be passed on: the connection that a WebSocket takes over is
    /// among them. [`PeerAddr`] and [`ClientAddr`] are, too, where they are known. An answer is sent when
    /// it is complete; one that a layer fails to give is 500.
    ///
    /// With any layer, the server's own listener lets hyper read the opening handshakes of WebSockets, too,
    /// which costs more than twice the instructions of its own reading.
    ///
    /// ```
    /// use http::Request;
    /// use sio_server::{Inner, RequestBody};
    /// use tower::{ServiceExt, service_fn};
    ///
    /// let log = tower_layer::layer_fn(|inner: Inner| {
    ///     service_fn(move |request: Request<RequestBody>| {
    ///         println!("{} {}", request.method(), request.uri());
    ///         inner.clone().oneshot(request)
    ///     })
    /// });
    /// let server = sio_server::Server::new().wrap(log);
    /// ```
    pub fn wrap<L, B>(mut self, layer: L) -> Self
    where
        L: Layer<Inner>,
        L::Service: TowerService<
                Request<RequestBody>,
                Response = Response<B>,
                Future: Send + 'static,
                Error: fmt::Display + Send,
            > + Clone
            + Send
            + Sync
            + 'static,
        B: Body<Error: fmt::Display> + Send + 'static,
        B::Data: Send,
    {
        let inner = Inner {
            stack: self.stack.take(),
        };
        let service = layer.layer(inner);
        self.stack = Some(Stack(Arc::new(move |request| {
            Box::pin(ask(service.clone(), request))
        })));
        self
    }
}

impl engine::Server {
    /// See [`crate::Server::wrap`].
    pub fn wrap<L, B>(self, layer: L) -> Self
    where
        L: Layer<Inner>,
        L::Service: TowerService<
                Request<RequestBody>,
                Response = Response<B>,
                Future: Send + 'static,
                Error: fmt::Display + Send,
            > + Clone
            + Send
            + Sync
            + 'static,
        B: Body<Error: fmt::Display> + Send + 'static,
        B::Data: Send,
    {
        self.with(|inner| inner.wrap(layer))
    }
}

/// Asks a service with its layers, and waits for the whole answer.
async fn ask<S, B>(mut service: S, request: Request<RequestBody>) -> Response<Full<Bytes>>
where
    S: TowerService<Request<RequestBody>, Response = Response<B>, Error: fmt::Display>,
    B: Body<Error: fmt::Display>,
{
    let answer = match poll_fn(|cx| service.poll_ready(cx)).await {
        Ok(()) => service.call(request).await,
        Err(error) => Err(error),
    };
    let (parts, body) = match answer {
        Ok(answer) => answer.into_parts(),
        Err(error) => return failed(&error),
    };
    match body.collect().await {
        Ok(body) => Response::from_parts(parts, Full::new(body.to_bytes())),
        Err(error) => failed(&error),
    }
}

/// A layer has no answer.
fn failed(error: &dyn fmt::Display) -> Response<Full<Bytes>> {
    tracing::error!(%error, "a layer failed");
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    answer
}

impl Stack {
    /// Passes a request through the layers to `service`.
    pub(crate) fn call<B>(&self, service: &Service, request: Request<B>) -> Answering
    where
        B: Body + Send + 'static,
        B::Data: Send,
    {
        let mut request = request.map(RequestBody::new);
        if let Some(peer) = service.peer_of(request.extensions()) {
            request.extensions_mut().insert(PeerAddr(peer));
        }
        if let Some(client) = service.client_of(&request) {
            request.extensions_mut().insert(ClientAddr(client));
        }
        request.extensions_mut().insert(service.clone());
        (self.0)(request)
    }
}

impl<B> TowerService<Request<B>> for Inner
where
    B: Body + Send + 'static,
    B::Data: Send,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if let Some(Stack(stack)) = &self.stack {
            let answer = stack(request.map(RequestBody::new));
            return Box::pin(async move { Ok(answer.await) });
        }
        let Some(service) = request.extensions_mut().remove::<Service>() else {
            let answer = failed(&"it did not pass on the extensions of the request");
            return Box::pin(async move { Ok(answer) });
        };
        let answer = service.answer_inside(request);
        Box::pin(async move { Ok(answer.await) })
    }
}

impl RequestBody {
    fn new<B>(body: B) -> Self
    where
        B: Body + Send + 'static,
        B::Data: Send,
    {
        let body = body
            .map_frame(|frame| frame.map_data(|mut data| data.copy_to_bytes(data.remaining())))
            .map_err(|_| BodyError);
        Self(body.boxed_unsync())
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestBody")
    }
}
