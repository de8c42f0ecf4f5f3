//! The two requests of polling: the GET that waits and the POST that brings.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
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
    config::Config,
    conn::{Command, Conn},
    counters::Limit,
    ledger::Hold,
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
pub(crate) fn dress(payload: Bytes, callback: Option<u64>) -> (HeaderValue, Bytes) {
    const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=UTF-8");
    const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");
    match callback {
        Some(callback) => (TEXT, jsonp::wrap(callback, &payload).into()),
        None if v3::is_binary(&payload) => (BYTES, payload),
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
    // Until the body has been handled.
    let mut hold = conn.hub.ledger.hold();
    let read = {
        let mut body = pin!(body);
        let mut reading = Reading::new(config.engine.max_payload, &mut hold);
        // A body that came with its head, as nearly all do, needs no timer.
        match poll_fn(|cx| Poll::Ready(pin!(reading.read(body.as_mut())).poll(cx))).await {
            Poll::Ready(read) => read,
            Poll::Pending => Box::pin(reading.read_in_time(body, config)).await,
        }
    };
    match read {
        Ok(body) => {
            guard.reading = false;
            let limit = config.engine.max_packets_per_payload;
            let body = Packets::new(body.into(), form, conn.revision, limit);
            let (done, read) = oneshot::channel();
            conn.command(Command::Body(body, done));
            // If the task has gone, so has the session, and the next request learns it.
            let _ = read.await;
            Posted::Ok
        }
        Err(Unread::TooLarge) => {
            guard.reading = false;
            conn.drive(|session| session.handle_post_end(clock::now()));
            conn.shard().tally.hit(Limit::BodyBytes);
            Posted::TooLarge
        }
        Err(Unread::Broken) => Posted::Lost,
        Err(Unread::TooSlow) => {
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

#[derive(Debug, PartialEq, Eq)]
enum Unread {
    Broken,
    TooLarge,
    TooSlow,
}

/// Bytes of a body that is copied out of the buffer it was read into.
const SMALL: usize = 4 << 10;

/// A body that is being read.
struct Reading<'r, 'l> {
    limit: usize,
    /// All of it so far, while it is in one piece.
    first: Option<Bytes>,
    all: BytesMut,
    hold: &'r mut Hold<'l>,
}

impl<'r, 'l> Reading<'r, 'l> {
    fn new(limit: usize, hold: &'r mut Hold<'l>) -> Self {
        Self {
            limit,
            first: None,
            all: BytesMut::new(),
            hold,
        }
    }

    fn len(&self) -> usize {
        self.first.as_ref().map_or(self.all.len(), Bytes::len)
    }

    /// Reads a body to its end, of at most `limit` bytes. One that is announced as longer is not read at
    /// all. If it is dropped it can be called again to go on.
    async fn read<B: Body>(&mut self, mut body: Pin<&mut B>) -> Result<Bytes, Unread> {
        while self.read_some(body.as_mut()).await? {}
        let all = std::mem::take(&mut self.all);
        Ok(self.first.take().unwrap_or_else(|| all.freeze()))
    }

    /// The same, as long as there is time for it.
    async fn read_in_time<B: Body>(
        &mut self,
        mut body: Pin<&mut B>,
        config: &Config,
    ) -> Result<Bytes, Unread> {
        let start = tokio::time::Instant::now();
        loop {
            let deadline = start + patience(self.len(), config);
            let some = self.read_some(body.as_mut());
            match tokio::time::timeout_at(deadline, some).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => return self.read(body).await,
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(Unread::TooSlow),
            }
        }
    }

    /// Reads what comes next; false at the end.
    async fn read_some<B: Body>(&mut self, mut body: Pin<&mut B>) -> Result<bool, Unread> {
        if body.size_hint().lower() > (self.limit - self.len()) as u64 {
            return Err(Unread::TooLarge);
        }
        let Some(frame) = body.frame().await else {
            return Ok(false);
        };
        let Ok(frame) = frame else {
            return Err(Unread::Broken);
        };
        let Ok(mut data) = frame.into_data() else {
            return Ok(true);
        };
        let data = data.copy_to_bytes(data.remaining());
        let len = self.len() + data.len();
        if len > self.limit {
            return Err(Unread::TooLarge);
        }
        match self.first.take() {
            // A body in one piece, as nearly all are, is not copied unless it is small: a small one
            // would keep a whole buffer of hyper's from being used again.
            None if self.all.is_empty() => {
                self.first = Some(match data.len() {
                    ..=SMALL => Bytes::copy_from_slice(&data),
                    _ => data,
                });
            }
            None => self.all.extend_from_slice(&data),
            Some(first) => {
                self.all.extend_from_slice(&first);
                self.all.extend_from_slice(&data);
            }
        }
        if len > SMALL {
            self.hold.set(len);
        }
        Ok(true)
    }
}

/// How long a body may take of which so many bytes have come.
fn patience(len: usize, config: &Config) -> Duration {
    let millis = len.saturating_mul(1000) / config.min_body_rate.max(1);
    let earned = Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
    let patience = config.body_grace.saturating_add(earned);
    patience.min(config.body_timeout)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_earns_its_time_and_no_more_than_there_is() {
        let config = Config::default();
        for (len, millis) in [
            (0, 5000),
            (1, 5000),
            (1023, 5999),
            (1024, 6000),
            (1025, 6000),
            (10 * 1024 - 2, 14_998),
            (10 * 1024, 15_000),
            (10 * 1024 + 2, 15_000),
            (usize::MAX, 15_000),
        ] {
            let patience = patience(len, &config);
            assert_eq!(patience, Duration::from_millis(millis), "{len}");
        }
    }
}
