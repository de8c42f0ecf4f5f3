//! The server as a layer of tower, in front of another service.

use std::{
    fmt,
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use pin_project_lite::pin_project;

use crate::{answering::Answering, service::Service};

/// Puts the server in front of another service: requests below its path are answered by it, all
/// others go on. From [`Server::layer`](crate::Server::layer).
#[derive(Clone)]
pub struct Layer {
    service: Service,
}

impl Layer {
    pub(crate) fn new(service: Service) -> Self {
        Self { service }
    }
}

impl<S> tower_layer::Layer<S> for Layer {
    type Service = Layered<S>;

    fn layer(&self, inner: S) -> Layered<S> {
        Layered {
            ours: self.service.clone(),
            inner,
        }
    }
}

/// Another service with the server in front of it.
#[derive(Clone)]
pub struct Layered<S> {
    ours: Service,
    inner: S,
}

impl<S, B, C> tower_service::Service<Request<B>> for Layered<S>
where
    S: tower_service::Service<Request<B>, Response = Response<C>>,
    B: Body + Send + 'static,
    B::Data: Send,
    C: From<Bytes>,
{
    type Response = Response<C>;
    type Error = S::Error;
    type Future = LayeredFuture<S::Future, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let whose = match self.ours.owns(request.uri().path()) {
            true => Whose::Ours {
                answering: self.ours.answer(request),
            },
            false => Whose::Inner {
                future: self.inner.call(request),
            },
        };
        LayeredFuture { whose }
    }
}

pin_project! {
    /// The answer of a [`Layered`] service, on its way.
    pub struct LayeredFuture<F, B> {
        #[pin]
        whose: Whose<F, B>,
    }
}

pin_project! {
    /// Who answers.
    #[project = Projected]
    enum Whose<F, B> {
        Inner {
            #[pin]
            future: F,
        },
        Ours {
            #[pin]
            answering: Answering<B>,
        },
    }
}

impl<F, B, C, E> Future for LayeredFuture<F, B>
where
    F: Future<Output = Result<Response<C>, E>>,
    B: Body,
    C: From<Bytes>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().whose.project() {
            Projected::Inner { future } => future.poll(cx),
            Projected::Ours { answering } => {
                let answer = ready!(answering.poll(cx));
                Poll::Ready(Ok(answer.map(|body| bytes(body).into())))
            }
        }
    }
}

impl<F, B> fmt::Debug for LayeredFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LayeredFuture")
    }
}

/// What a body holds, which is there at once.
fn bytes(body: Full<Bytes>) -> Bytes {
    let cx = &mut Context::from_waker(Waker::noop());
    match pin!(body).poll_frame(cx) {
        Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        _ => Bytes::new(),
    }
}
