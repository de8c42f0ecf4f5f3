//! The two requests of polling: the GET that waits and the POST that brings.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
};

use bytes::{Buf, Bytes, BytesMut};
use eio_transport::{
    ErrorCode, PollId, Revision,
    payload::{self, Body as Packets, Payload, jsonp, v3},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::sync::oneshot;

use crate::{
    clock,
    conn::{Command, Conn},
    counters::Limit,
};

/// What a POST came to.
pub(crate) enum Posted {
    Ok,
    /// The body is longer than `max_payload`; the session goes on.
    TooLarge,
    /// The body did not come in time, or not at all; the session has ended.
    Lost,
    /// The body is of a kind that is not taken; the session has ended.
    Unacceptable,
    /// The body is compressed; it is not inflated, and the session has ended.
    Encoded,
    Refused(ErrorCode),
}

/// Waits until there is something for the client.
pub(crate) async fn get(conn: Arc<Conn>) -> Result<Bytes, ErrorCode> {
    let (answer, answered) = oneshot::channel();
    let id = conn.park(answer, clock::now())?;
    let mut guard = Parked { conn, id: Some(id) };
    let payload = answered.await;
    guard.id = None;
    // The sender is dropped when the session ends with the GET still waiting.
    Ok(payload.unwrap_or_else(|_| {
        let mut last = Payload::new(guard.conn.revision, 0);
        last.push_text("1");
        last.into_bytes().into()
    }))
}

/// A payload as it stands in an answer, and its content type. `callback` is the number of the function
/// to call, if the client polls by JSONP.
pub(crate) fn dress(payload: Bytes, callback: Option<u64>) -> (&'static str, Bytes) {
    const TEXT: &str = "text/plain; charset=UTF-8";
    match callback {
        Some(callback) => (TEXT, jsonp::wrap(callback, &payload).into()),
        None if v3::is_binary(&payload) => ("application/octet-stream", payload),
        None => (TEXT, payload),
    }
}

/// Tells the session if the client gives up waiting.
struct Parked {
    conn: Arc<Conn>,
    id: Option<PollId>,
}

impl Drop for Parked {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.conn
                .drive(|session| session.handle_poll_lost(id, clock::now()));
        }
    }
}

/// What the head of a POST says of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Compressed: it is not inflated.
    Encoded,
    /// A payload.
    Payload(payload::Posted),
}

impl Kind {
    /// Of a body with a `Content-Encoding`.
    pub(crate) fn of_encoded(headers: &HeaderMap, callback: Option<u64>) -> Self {
        let encoding = headers.get(header::CONTENT_ENCODING);
        if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Self::Encoded;
        }
        Self::of(headers, callback)
    }

    pub(crate) fn of(headers: &HeaderMap, callback: Option<u64>) -> Self {
        let kind = headers.get(header::CONTENT_TYPE);
        let kind = kind.map_or(&b""[..], HeaderValue::as_bytes);
        Self::Payload(if callback.is_some() {
            payload::Posted::Form
        } else if kind.starts_with(b"application/octet-stream") {
            payload::Posted::Bytes
        } else {
            payload::Posted::Text
        })
    }
}

/// Takes a body to the connection's task, and waits until it has been read there.
pub(crate) async fn post<B: Body>(conn: Arc<Conn>, kind: Kind, body: B) -> Posted {
    if let Err(code) = conn.drive(|session| session.handle_post(clock::now())) {
        return Posted::Refused(code);
    }
    let mut guard = Posting {
        conn: Arc::clone(&conn),
        reading: true,
    };
    let form = match (kind, conn.revision) {
        // The guard ends the session.
        (Kind::Encoded, _) => {
            conn.shard().tally.hit(Limit::BodyEncoding);
            return Posted::Encoded;
        }
        (Kind::Payload(payload::Posted::Bytes), Revision::V4) => return Posted::Unacceptable,
        (Kind::Payload(form), _) => form,
    };
    let config = &conn.hub.config;
    let mut body = pin!(collect(body, config.engine.max_payload));
    // A body that came with its head, as nearly all do, needs no timer, nor room for one in what hyper
    // keeps of every request.
    let read = match poll_fn(|cx| Poll::Ready(body.as_mut().poll(cx))).await {
        Poll::Ready(read) => Ok(read),
        Poll::Pending => Box::pin(tokio::time::timeout(config.body_timeout, body)).await,
    };
    match read {
        Ok(Ok(body)) => {
            guard.reading = false;
            let limit = config.engine.max_packets_per_payload;
            let body = Packets::new(body.into(), form, conn.revision, limit);
            let (done, read) = oneshot::channel();
            conn.command(Command::Body(body, done));
            // If the task has gone, so has the session, and the next request learns it.
            let _ = read.await;
            Posted::Ok
        }
        Ok(Err(Unread::TooLarge)) => {
            guard.reading = false;
            conn.drive(|session| session.handle_post_end(clock::now()));
            conn.shard().tally.hit(Limit::BodyBytes);
            Posted::TooLarge
        }
        Ok(Err(Unread::Broken)) => Posted::Lost,
        Err(_) => {
            conn.shard().tally.hit(Limit::BodyTime);
            Posted::Lost
        }
    }
}

/// Tells the session if the body never came.
struct Posting {
    conn: Arc<Conn>,
    reading: bool,
}

impl Drop for Posting {
    fn drop(&mut self) {
        if self.reading {
            self.conn
                .drive(|session| session.handle_post_lost(clock::now()));
        }
    }
}

enum Unread {
    Broken,
    TooLarge,
}

/// Bytes of a body that is copied out of the buffer it was read into.
const SMALL: usize = 4 << 10;

/// Reads a body of at most `limit` bytes. One that is announced as longer is not read at all.
async fn collect<B: Body>(body: B, limit: usize) -> Result<Bytes, Unread> {
    if body.size_hint().lower() > limit as u64 {
        return Err(Unread::TooLarge);
    }
    let mut body = std::pin::pin!(body);
    let mut first = None::<Bytes>;
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Err(Unread::Broken);
        };
        let Ok(mut data) = frame.into_data() else {
            continue;
        };
        let data = data.copy_to_bytes(data.remaining());
        let len = first.as_ref().map_or(all.len(), Bytes::len);
        if len + data.len() > limit {
            return Err(Unread::TooLarge);
        }
        match first.take() {
            // A body in one piece, as nearly all are, is not copied unless it is small: a small one
            // would keep a whole buffer of hyper's from being used again.
            None if all.is_empty() => {
                first = Some(match data.len() {
                    ..=SMALL => Bytes::copy_from_slice(&data),
                    _ => data,
                });
            }
            None => all.extend_from_slice(&data),
            Some(first) => {
                all.extend_from_slice(&first);
                all.extend_from_slice(&data);
            }
        }
    }
    Ok(first.unwrap_or_else(|| all.freeze()))
}

impl Posted {
    /// The answer's status; 200 comes with the body `ok`.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Ok => StatusCode::OK,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Lost => StatusCode::REQUEST_TIMEOUT,
            Self::Encoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unacceptable | Self::Refused(_) => StatusCode::BAD_REQUEST,
        }
    }
}
