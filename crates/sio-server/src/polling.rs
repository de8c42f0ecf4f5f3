//! The two requests of polling: the GET that waits and the POST that brings.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::{Buf, BufMut, Bytes};
use eio_transport::{
    ErrorCode, PollId, Revision,
    payload::{self, Body as Packets, Payload, jsonp, v3},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::{sync::oneshot, time::Sleep};

use crate::{clock, config::Config, conn::Conn, counters::Limit, turns};

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

/// A GET, until there is something for the client.
pub(crate) struct Get {
    conn: Arc<Conn>,
    /// Since it waits.
    parked: Option<(PollId, oneshot::Receiver<Bytes>)>,
}

impl Get {
    pub(crate) fn new(conn: Arc<Conn>) -> Self {
        let parked = None;
        Self { conn, parked }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, ErrorCode>> {
        let (_, answered) = match &mut self.parked {
            Some(parked) => parked,
            parked => {
                let (answer, answered) = oneshot::channel();
                let id = self.conn.park(answer, clock::now())?;
                parked.insert((id, answered))
            }
        };
        let payload = ready!(Pin::new(answered).poll(cx));
        self.parked = None;
        // The sender is dropped when the session ends with the GET still waiting.
        Poll::Ready(Ok(payload.unwrap_or_else(|_| {
            let mut last = Payload::new(self.conn.revision, 0);
            last.push_text("1");
            last.into_bytes().into()
        })))
    }
}

impl Drop for Get {
    /// Tells the session if the client gives up waiting.
    fn drop(&mut self) {
        if let Some((id, _)) = self.parked {
            self.conn
                .drive(|session| session.handle_poll_lost(id, clock::now()));
        }
    }
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

/// What the head of a POST says of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Compressed: it is not inflated.
    Encoded,
    /// A payload.
    Payload(payload::Posted),
}

impl Kind {
    /// Of a body that is not compressed. `octets` is whether its type is that of bytes.
    pub(crate) fn of(octets: bool, callback: Option<u64>) -> Self {
        Self::Payload(match callback {
            Some(_) => payload::Posted::Form,
            None if octets => payload::Posted::Bytes,
            None => payload::Posted::Text,
        })
    }
}

/// Whether a `Content-Type` is that of bytes.
pub(crate) fn is_octets(kind: &HeaderValue) -> bool {
    kind.as_bytes().starts_with(b"application/octet-stream")
}

/// Whether a `Content-Encoding` says that a body is compressed.
pub(crate) fn is_encoded(headers: &HeaderMap) -> bool {
    let encoding = headers.get(header::CONTENT_ENCODING);
    encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

pin_project! {
    /// A POST, until its body has been read by the connection's task.
    pub(crate) struct Post<B> {
        brought: Brought,
        kind: Kind,
        shard: u16,
        stage: Stage,
        #[pin]
        body: B,
    }
}

/// How far a POST has come.
enum Stage {
    Begun,
    /// The body comes in pieces.
    Reading(Box<Reading>),
    /// Handlers have to catch up first.
    Waiting(oneshot::Receiver<()>),
}

impl<B: Body> Post<B> {
    /// A POST that came to this shard.
    pub(crate) fn new(conn: Arc<Conn>, kind: Kind, body: B, shard: u16) -> Self {
        let brought = Brought {
            conn,
            reading: false,
            held: 0,
        };
        Self {
            brought,
            kind,
            shard,
            stage: Stage::Begun,
            body,
        }
    }

    pub(crate) fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Posted> {
        let mut this = self.project();
        let brought = this.brought;
        let read = match this.stage {
            Stage::Begun => {
                if let Err(refused) = brought.begin(*this.kind) {
                    return Poll::Ready(refused);
                }
                let mut reading = Reading::new(&brought.conn);
                // A body that came with its head, as nearly all do, needs no timer and no box.
                match reading.read_some(this.body.as_mut(), brought, cx) {
                    Poll::Ready(read) => read,
                    Poll::Pending => {
                        let mut reading = Box::new(reading);
                        let read = reading.read(this.body.as_mut(), brought, cx);
                        *this.stage = Stage::Reading(reading);
                        ready!(read)
                    }
                }
            }
            Stage::Reading(reading) => ready!(reading.read(this.body.as_mut(), brought, cx)),
            Stage::Waiting(read) => {
                // If the task has gone, so has the session, and the next request learns it.
                let _ = ready!(Pin::new(read).poll(cx));
                return Poll::Ready(Posted::Ok);
            }
        };
        let body = match read {
            Ok(body) => body,
            Err(unread) => return Poll::Ready(brought.fail(&unread)),
        };
        let Some(read) = brought.hand_over(body, *this.kind, *this.shard) else {
            return Poll::Ready(Posted::Ok);
        };
        *this.stage = Stage::Waiting(read);
        let Stage::Waiting(read) = this.stage else {
            return Poll::Pending;
        };
        Pin::new(read).poll(cx).map(|_| Posted::Ok)
    }
}

/// The connection that a body is for.
struct Brought {
    conn: Arc<Conn>,
    /// The session waits for the body.
    reading: bool,
    /// Bytes of it that are in memory, as the ledger knows them, until all of it has been handled.
    held: usize,
}

impl Brought {
    /// Tells the session that a body comes.
    fn begin(&mut self, kind: Kind) -> Result<(), Posted> {
        self.conn
            .begin_post(clock::now())
            .map_err(Posted::Refused)?;
        self.reading = true;
        match (kind, self.conn.revision) {
            (Kind::Encoded, _) => {
                self.conn.shard().tally.hit(Limit::BodyEncoding);
                self.lose();
                Err(Posted::Encoded)
            }
            (Kind::Payload(payload::Posted::Bytes), Revision::V4) => {
                self.lose();
                Err(Posted::Unacceptable)
            }
            _ => Ok(()),
        }
    }

    /// Has a body read. What is returned says when that has been done, if it has not.
    fn hand_over(
        &mut self,
        body: Vec<u8>,
        kind: Kind,
        shard: u16,
    ) -> Option<oneshot::Receiver<()>> {
        self.reading = false;
        let Kind::Payload(form) = kind else {
            return None;
        };
        let limit = self.conn.hub.config.engine.max_packets_per_payload;
        let body = Packets::new(body, form, self.conn.revision, limit);
        turns::read(&self.conn, shard, body)
    }

    fn fail(&mut self, unread: &Unread) -> Posted {
        let tally = &self.conn.shard().tally;
        match unread {
            Unread::TooLarge => {
                tally.hit(Limit::BodyBytes);
                self.reading = false;
                self.conn
                    .drive(|session| session.handle_post_end(clock::now()));
                return Posted::TooLarge;
            }
            Unread::Broken => {}
            Unread::TooSlow => tally.hit(Limit::BodyTime),
        }
        self.lose();
        Posted::Lost
    }

    /// Tells the session that the body never comes.
    fn lose(&mut self) {
        if std::mem::take(&mut self.reading) {
            self.conn
                .drive(|session| session.handle_post_lost(clock::now()));
        }
    }

    fn hold(&mut self, bytes: usize) {
        self.conn.hub.ledger.change(self.held, bytes);
        self.held = bytes;
    }
}

impl Drop for Brought {
    fn drop(&mut self) {
        self.lose();
        if self.held > 0 {
            self.hold(0);
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Unread {
    Broken,
    TooLarge,
    TooSlow,
}

/// Bytes of a body that are not worth counting.
const SMALL: usize = 4 << 10;

/// A body that is being read.
struct Reading {
    limit: usize,
    /// All of it so far. It is copied: in hyper's buffer it would keep that from being used again.
    bytes: Vec<u8>,
    /// Since the body had to be waited for: when that began, and until when there is time.
    wait: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Reading {
    fn new(conn: &Conn) -> Self {
        Self {
            limit: conn.hub.config.engine.max_payload,
            bytes: Vec::new(),
            wait: None,
        }
    }

    /// Reads a body to its end, as long as there is time for it.
    fn read<B: Body>(
        &mut self,
        body: Pin<&mut B>,
        brought: &mut Brought,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Vec<u8>, Unread>> {
        if let Poll::Ready(read) = self.read_some(body, brought, cx) {
            return Poll::Ready(read);
        }
        let patience = patience(self.bytes.len(), &brought.conn.hub.config);
        let (start, sleep) = self.wait.get_or_insert_with(|| {
            let now = clock::now();
            let deadline = clock::later(now, patience);
            (now, Box::pin(tokio::time::sleep_until(deadline.into())))
        });
        let deadline = clock::later(*start, patience).into();
        if deadline != sleep.deadline() {
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut().poll(cx).map(|()| Err(Unread::TooSlow))
    }

    /// Reads as far as the body has come, of at most `limit` bytes. One that is announced as longer is not
    /// read at all.
    fn read_some<B: Body>(
        &mut self,
        mut body: Pin<&mut B>,
        brought: &mut Brought,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Vec<u8>, Unread>> {
        loop {
            if body.size_hint().lower() > (self.limit - self.bytes.len()) as u64 {
                return Poll::Ready(Err(Unread::TooLarge));
            }
            let frame = match ready!(body.as_mut().poll_frame(cx)) {
                None => return Poll::Ready(Ok(std::mem::take(&mut self.bytes))),
                Some(Ok(frame)) => frame,
                Some(Err(_)) => return Poll::Ready(Err(Unread::Broken)),
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            let len = self.bytes.len() + data.remaining();
            if len > self.limit {
                return Poll::Ready(Err(Unread::TooLarge));
            }
            self.bytes.put(data);
            if len > SMALL {
                brought.hold(len);
            }
            if body.is_end_stream() {
                return Poll::Ready(Ok(std::mem::take(&mut self.bytes)));
            }
        }
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
