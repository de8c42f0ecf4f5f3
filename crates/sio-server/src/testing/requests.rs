//! What a test client asks its server for: a session that polls, a WebSocket, a poll.

use std::{convert::Infallible, future::Future, net::SocketAddr, time::Duration};

use bytes::Bytes;
use eio_transport::Sid;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::error::{End, Error};
use crate::{
    entropy,
    service::{PeerAddr, Service},
};

/// Bytes that are on their way, each way, before the other side reads.
const STREAM: usize = 64 << 10;

/// The way of one client's requests to its server.
#[derive(Clone)]
pub(super) struct Requests {
    pub(super) service: Service,
    pub(super) address: SocketAddr,
    pub(super) path: String,
    /// What stands behind the transport, from its `&` on.
    pub(super) query: String,
    pub(super) fields: Vec<(String, Vec<u8>)>,
}

impl Requests {
    fn target(&self, transport: &str) -> String {
        format!("{}?EIO=4&transport={transport}{}", self.path, self.query)
    }

    /// The answer to a request of polling: the status and the body. `None` if the request is none.
    pub(super) async fn ask(&self, method: Method, body: Vec<u8>) -> Option<(u16, Bytes)> {
        let mut request = Request::builder()
            .method(method)
            .uri(self.target("polling"))
            .header(header::HOST, "localhost")
            .extension(PeerAddr(self.address));
        for (name, value) in &self.fields {
            request = request.header(name, &value[..]);
        }
        let request = request.body(Full::new(Bytes::from(body))).ok()?;
        let answer = self.service.answer(request).await;
        let status = answer.status().as_u16();
        Some((status, answer.into_body().collect().await.ok()?.to_bytes()))
    }

    /// Opens a session that polls: its id, and all that was said with it.
    pub(super) async fn session(&self, limit: Duration) -> Result<(String, Bytes), Error> {
        let asked = self.ask(Method::GET, Vec::new());
        let (status, first) = answered(limit, REQUEST, asked).await?;
        // Perhaps more stands behind it.
        let sid = first
            .strip_prefix(br#"0{"sid":""#)
            .and_then(|rest| std::str::from_utf8(rest.get(..Sid::LEN)?).ok());
        match sid.filter(|_| status == 200) {
            Some(sid) => Ok((sid.to_owned(), first)),
            None => {
                let body = String::from_utf8_lossy(&first).into_owned();
                Err(Error::NotOpened { status, body })
            }
        }
    }

    /// Opens a WebSocket, with what came behind the answer.
    pub(super) async fn websocket(
        &self,
        limit: Duration,
    ) -> Result<(DuplexStream, Vec<u8>), Error> {
        let target = self.target("websocket");
        let request = ws_handshake::Request::new("localhost", &target, entropy::bytes());
        let mut head = Vec::new();
        let fields = self.fields.iter();
        request.write(&mut head, fields.map(|(name, value)| (&**name, &**value)))?;
        let mut stream = serve(self.service.clone(), self.address);
        let answer = async {
            stream.write_all(&head).await.ok()?;
            read_answer(&mut stream).await
        };
        let answer = answered(limit, REQUEST, answer).await?;
        if let Err(error) = request.check(answer.status, &answer.fields) {
            let said = String::from_utf8_lossy(&answer.rest).into_owned();
            return Err(Error::NotOpened {
                status: answer.status,
                body: if answer.status == 101 {
                    error.to_string()
                } else {
                    said
                },
            });
        }
        Ok((stream, answer.rest))
    }
}

/// What is waited for before there is a connection; `None` if its stream ends before.
pub(super) async fn answered<T>(
    limit: Duration,
    waited_for: &str,
    answer: impl Future<Output = Option<T>>,
) -> Result<T, Error> {
    let waited_for = || waited_for.to_owned();
    let answer = tokio::time::timeout(limit, answer).await;
    let answer = answer.map_err(|_| Error::TimedOut {
        waited_for: waited_for(),
        limit,
        instead: Vec::new(),
    })?;
    answer.ok_or_else(|| Error::Ended {
        waited_for: waited_for(),
        end: End::Cut,
    })
}

/// The client's end of a stream whose other end is served.
fn serve(service: Service, address: SocketAddr) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(STREAM);
    let service = service_fn(move |mut request: Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(PeerAddr(address));
        let answer = service.answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    // Without a timer of hyper's: it would go by the system's clock.
    let http = hyper::server::conn::http1::Builder::new();
    let serving = http.serve_connection(TokioIo::new(theirs), service);
    tokio::spawn(async move {
        // An error is the client's end of the connection, which the client knows of.
        let _ = serving.with_upgrades().await;
    });
    ours
}

struct HttpAnswer {
    status: u16,
    fields: HeaderMap,
    /// The body, or what came behind a 101.
    rest: Vec<u8>,
}

/// `None` if the connection ends before.
async fn read_answer(stream: &mut DuplexStream) -> Option<HttpAnswer> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Response::new(&mut fields);
        let Ok(httparse::Status::Complete(len)) = head.parse(&bytes) else {
            continue;
        };
        let status = head.code?;
        let fields: HeaderMap = head
            .headers
            .iter()
            .filter_map(|field| {
                let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
                Some((name, HeaderValue::from_bytes(field.value).ok()?))
            })
            .collect();
        let mut rest = bytes.split_off(len);
        if status != 101 {
            let body = fields.get(header::CONTENT_LENGTH);
            let body = body.and_then(|body| body.to_str().ok()?.parse::<usize>().ok());
            while rest.len() < body.unwrap_or(0) {
                if stream.read_buf(&mut rest).await.ok()? == 0 {
                    break;
                }
            }
        }
        return Some(HttpAnswer {
            status,
            fields,
            rest,
        });
    }
}

const REQUEST: &str = "the answer to the request";
