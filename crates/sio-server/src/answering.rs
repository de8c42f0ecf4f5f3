//! What requests have come to, and their answers: what has to be waited for is waited for here.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use eio_transport::{ErrorCode, Form};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::Full;
use pin_project_lite::pin_project;

use crate::{
    compress::Coding,
    conn::Conn,
    hooks::add_headers,
    hub::Hub,
    polling::{self, Get, Post, Posted},
};

pub(crate) type Answer = Response<Full<Bytes>>;

pin_project! {
    /// The answer to a request that has been looked at.
    ///
    /// hyper moves it several times, so it is small. A variant each have the two requests that a client
    /// repeats, and that wait: they are what a connection of hyper's keeps meanwhile, and hold no part of
    /// the request's head but the empty map of its fields, since its buffer is hyper's to be used again.
    pub(crate) struct Answering<B> {
        #[pin]
        pub(crate) stage: Stage<B>,
        pub(crate) page: Option<Page>,
    }
}

pin_project! {
    /// The answer of a [`Service`](crate::Service), on its way.
    pub struct ResponseFuture<B> {
        #[pin]
        answering: Answering<B>,
    }
}

impl<B> ResponseFuture<B> {
    pub(crate) fn new(answering: Answering<B>) -> Self {
        Self { answering }
    }
}

impl<B: Body> Future for ResponseFuture<B> {
    type Output = Result<Answer, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().answering.poll(cx).map(Ok)
    }
}

impl<B> fmt::Debug for ResponseFuture<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseFuture")
    }
}

pin_project! {
    /// What a request has come to.
    #[project = Projected]
    pub(crate) enum Stage<B> {
        Answered { answer: Option<Answer> },
        Get {
            get: Get,
            callback: Option<u64>,
            fields: HeaderMap,
            coding: Option<(Coding, usize)>,
        },
        Post {
            #[pin]
            post: Post<B>,
            fields: HeaderMap,
        },
        Other { answer: Pin<Box<dyn Future<Output = Answer> + Send>> },
    }
}

/// The page that a request came from, for the answer's header fields.
pub(crate) struct Page {
    pub(crate) hub: Arc<Hub>,
    pub(crate) origin: Option<HeaderValue>,
    /// The request as hooks see it.
    pub(crate) view: Option<Box<Request<()>>>,
}

impl<B> From<Answer> for Stage<B> {
    fn from(answer: Answer) -> Self {
        let answer = Some(answer);
        Self::Answered { answer }
    }
}

impl<B> Stage<B> {
    /// A GET. `fields` is empty; the answer is compressed with `coding` if it has so many bytes.
    pub(crate) fn get(
        conn: Arc<Conn>,
        callback: Option<u64>,
        fields: HeaderMap,
        coding: Option<(Coding, usize)>,
    ) -> Self {
        Self::Get {
            get: Get::new(conn),
            callback,
            fields,
            coding,
        }
    }

    pub(crate) fn other(answer: impl Future<Output = Answer> + Send + 'static) -> Self {
        let answer = Box::pin(answer);
        Self::Other { answer }
    }
}

impl<B: Body> Future for Answering<B> {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let mut this = self.project();
        let mut answer = ready!(poll_stage(this.stage.as_mut(), cx));
        if let Some(Page { hub, origin, view }) = this.page {
            let pages = &hub.gate.pages;
            pages.apply(origin.as_ref(), answer.headers_mut());
            let hook = hub.gate.hooks.headers.as_ref();
            add_headers(hook, answer.headers_mut(), view.as_deref());
        }
        Poll::Ready(answer)
    }
}

fn poll_stage<B: Body>(mut stage: Pin<&mut Stage<B>>, cx: &mut Context<'_>) -> Poll<Answer> {
    let encoded = match stage.as_mut().project() {
        Projected::Answered { answer } => {
            let answer = answer.take();
            return Poll::Ready(answer.expect("because it is not polled again"));
        }
        Projected::Other { answer } => return answer.as_mut().poll(cx),
        Projected::Post { post, fields } => {
            return Poll::Ready(match ready!(post.poll(cx)) {
                Posted::Ok => answer_within(fields, HTML, Bytes::from_static(b"ok")),
                Posted::Refused(code) => refuse(code, Form::Plain),
                posted => status(posted.status()),
            });
        }
        Projected::Get {
            get,
            callback,
            fields,
            coding,
        } => {
            let payload = match ready!(get.poll(cx)) {
                Ok(payload) => payload,
                Err(code) => return Poll::Ready(refuse(code, Form::Plain)),
            };
            let (kind, payload) = polling::dress(payload, *callback);
            match *coding {
                Some((coding, threshold)) if payload.len() >= threshold => {
                    encoded_answer(mem::take(fields), kind, payload, coding)
                }
                _ => return Poll::Ready(answer_within(fields, kind, payload)),
            }
        }
    };
    stage.set(Stage::other(encoded));
    match stage.project() {
        Projected::Other { answer } => answer.as_mut().poll(cx),
        _ => Poll::Pending,
    }
}

pub(crate) fn status(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}

pub(crate) const HTML: HeaderValue = HeaderValue::from_static("text/html");
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The map of a request's fields, to be used again for the answer's; hyper takes it from there for
/// the next request's. One that has grown large goes.
pub(crate) fn emptied(mut fields: HeaderMap) -> HeaderMap {
    empty(&mut fields);
    fields
}

/// The same where it lies.
pub(crate) fn empty(fields: &mut HeaderMap) {
    const KEEP: usize = 32;
    match fields.capacity() {
        ..=KEEP => fields.clear(),
        _ => *fields = HeaderMap::new(),
    }
}

/// An answer with a body. `fields` is empty.
pub(crate) fn text_answer(mut fields: HeaderMap, kind: HeaderValue, body: Bytes) -> Answer {
    answer_within(&mut fields, kind, body)
}

/// The same with what is left an empty map.
fn answer_within(fields: &mut HeaderMap, kind: HeaderValue, body: Bytes) -> Answer {
    fields.insert(header::CONTENT_TYPE, kind);
    fields.insert(header::CACHE_CONTROL, NO_STORE);
    let mut answer = Response::new(Full::new(body));
    mem::swap(answer.headers_mut(), fields);
    answer
}

/// The answer to a poll, compressed if that makes it shorter.
async fn encoded_answer(
    fields: HeaderMap,
    kind: HeaderValue,
    payload: Bytes,
    coding: Coding,
) -> Answer {
    let encoded = coding.encode(&payload).await;
    let is_encoded = encoded.is_some();
    let mut answer = text_answer(fields, kind, encoded.unwrap_or(payload));
    if is_encoded {
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_ENCODING, coding.name());
    }
    answer
}

/// An error of the protocol: JSON for a plain request, text and the end of the connection for one
/// that asked to leave HTTP.
pub(crate) fn refuse(code: ErrorCode, form: Form) -> Answer {
    let (status, kind, body) = match (form, code) {
        (Form::Plain, _) => (code.status(), JSON, code.json()),
        // RFC 6455 §4.2.2: who may not is told so by 403.
        (Form::Upgrade, ErrorCode::Forbidden) => (code.status(), JSON, code.json()),
        (Form::Upgrade, _) => (400, HTML, code.message()),
    };
    let mut answer = text_answer(HeaderMap::new(), kind, Bytes::from_static(body.as_bytes()));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    if form == Form::Upgrade {
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(header::CONNECTION, close);
    }
    answer
}
