//! The server under test, and the way to it.

use std::{
    convert::Infallible,
    future::{Future, IntoFuture},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use eio_transport::Sid;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use sio_packet::{Parser, WriteError, write_connect_request};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use ws_handshake::Request;

use super::{
    client::Client,
    error::{End, Error},
    line::{Line, State, Transport},
    polling::Requests,
};
use crate::{
    entropy,
    error::StartError,
    io::Io,
    server::Server,
    service::{PeerAddr, Service},
};

/// Bytes that are on their way, each way, before the other side reads.
const STREAM: usize = 64 << 10;

/// A server that is connected to in memory.
///
/// Its connections are tasks of the runtime on which they are opened.
///
/// ```
/// use std::time::Duration;
/// use sio_server::{Handshake, Server, testing::{Error, TestServer}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// let server = Server::new().parser(sio_server::Msgpack).guard(async |hello: Handshake| {
///     println!("{:?} with {:?}", hello.client_address(), hello.header("user-agent"));
///     Ok(())
/// });
/// let server = TestServer::new(server)?.time_limit(Duration::from_secs(1));
/// let client = server
///     .connect("/")
///     .auth(&serde_json::json!({ "name": "Ann" }))
///     .query("room=tea")
///     .header("User-Agent", "a test")
///     .address("192.0.2.7:4711".parse().unwrap())
///     .parser(sio_server::Msgpack)
///     .await?;
/// assert_eq!(server.io().to(client.id()).count(), 1);
/// # Ok(())
/// # }
/// ```
pub struct TestServer {
    service: Service,
    io: Io,
    time_limit: Duration,
}

impl TestServer {
    /// Starts `server`, as [`Server::into_service`] does.
    ///
    /// # Errors
    ///
    /// If the namespaces or settings do not go together.
    pub fn new(server: Server) -> Result<Self, StartError> {
        let io = server.io();
        Ok(Self {
            service: server.into_service()?,
            io,
            time_limit: Duration::from_secs(5),
        })
    }

    /// How long each wait of the clients that connect from now on may take. Default 5 s.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// The handle to emit with.
    pub fn io(&self) -> &Io {
        &self.io
    }

    /// A new connection that joins `namespace`; it is opened when this is awaited.
    ///
    /// For another namespace on the same connection there is [`Client::join`].
    pub fn connect(&self, namespace: &str) -> Connect {
        Connect {
            service: self.service.clone(),
            time_limit: self.time_limit,
            namespace: namespace.to_owned(),
            auth: Auth::default(),
            parser: None,
            transport: Transport::WebSocket,
            query: String::new(),
            fields: Vec::new(),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        }
    }
}

/// The payload of a CONNECT, written.
#[derive(Default)]
pub(super) struct Auth(Option<Result<Vec<u8>, WriteError>>);

impl Auth {
    pub(super) fn new(namespace: &str, auth: &impl Serialize) -> Self {
        let mut packet = Vec::new();
        let written = write_connect_request(&mut packet, namespace, Some(auth));
        Self(Some(written.map(|()| packet)))
    }

    /// The whole packet.
    pub(super) fn packet(self, namespace: &str) -> Result<Vec<u8>, WriteError> {
        self.0.unwrap_or_else(|| {
            let mut packet = Vec::new();
            write_connect_request(&mut packet, namespace, None::<&()>).map(|()| packet)
        })
    }
}

/// A connection to be opened. Awaiting it yields the [`Client`].
///
/// # Errors
///
/// [`Error::NotOpened`] if the request is refused (its `Origin`, `allow_request`, limits),
/// [`Error::Refused`] if the namespace is.
#[must_use = "the connection is opened when this is awaited"]
pub struct Connect {
    service: Service,
    time_limit: Duration,
    namespace: String,
    auth: Auth,
    parser: Option<Box<dyn Parser>>,
    transport: Transport,
    query: String,
    fields: Vec<(String, Vec<u8>)>,
    address: SocketAddr,
}

impl Connect {
    /// What the client says about itself, an object: `io(url, { auth })`.
    pub fn auth(mut self, auth: &impl Serialize) -> Self {
        self.auth = Auth::new(&self.namespace, auth);
        self
    }

    /// Speaks another parser, which the server has been [given](Server::parser), too:
    /// `io(url, { parser })`.
    ///
    /// Where it has no way to say an event, sending that event panics.
    pub fn parser(mut self, parser: impl Parser + 'static) -> Self {
        self.parser = Some(Box::new(parser));
        self
    }

    /// Polls, and goes on polling: `io(url, { transports: ["polling"] })`.
    ///
    /// ```
    /// use sio_server::{Ack, Server, Transport, testing::{Error, TestServer}};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// let server = Server::new().on("how", async |socket, ()| Ack(socket.transport().as_str()));
    /// let server = TestServer::new(server)?;
    /// let client = server.connect("/").polling().await?;
    /// assert_eq!(client.call::<_, _, String>("how", &()).await?, "polling");
    /// # Ok(())
    /// # }
    /// ```
    pub fn polling(mut self) -> Self {
        self.transport = Transport::Polling;
        self
    }

    /// Adds to the query of the request, encoded as it stands in a URL: `room=1&name=Ann`.
    pub fn query(mut self, query: &str) -> Self {
        self.query.push('&');
        self.query.push_str(query);
        self
    }

    /// Adds a header field to the request.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.into()));
        self
    }

    /// Where the client comes from. Default `127.0.0.1:0`.
    pub fn address(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    async fn open(self) -> Result<Client, Error> {
        let (namespace, limit) = (self.namespace.clone(), self.time_limit);
        if self.transport == Transport::Polling {
            return self.open_polling().await;
        }
        let packet = self.auth.packet(&namespace)?;
        let target = format!(
            "{}?EIO=4&transport=websocket{}",
            self.service.path(),
            self.query
        );
        let request = Request::new("localhost", &target, entropy::bytes());
        let mut head = Vec::new();
        let fields = self.fields.iter();
        request.write(&mut head, fields.map(|(name, value)| (&**name, &**value)))?;
        let mut stream = serve(self.service, self.address);
        let answer = async {
            stream.write_all(&head).await.ok()?;
            read_answer(&mut stream).await
        };
        let answer = answered(limit, answer).await?;
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
        let line = Arc::new(Line::start(stream, answer.rest, self.parser, limit));
        let open = |state: &mut State| state.is_open.then_some(());
        line.shared.wait("the open packet", open).await?;
        Client::enter(line, namespace, &packet).await
    }
}

impl Connect {
    async fn open_polling(self) -> Result<Client, Error> {
        let packet = self.auth.packet(&self.namespace)?;
        let path = self.service.path().to_owned();
        let mut requests = Requests {
            target: format!("{path}?EIO=4&transport=polling{}", self.query),
            service: self.service,
            address: self.address,
            fields: self.fields,
        };
        let answer = answered(self.time_limit, requests.ask(Method::GET, Vec::new())).await?;
        let (status, first) = answer;
        // Perhaps more stands behind it.
        let sid = first
            .strip_prefix(br#"0{"sid":""#)
            .and_then(|rest| std::str::from_utf8(rest.get(..Sid::LEN)?).ok());
        let Some(sid) = sid.filter(|_| status == 200) else {
            let body = String::from_utf8_lossy(&first).into_owned();
            return Err(Error::NotOpened { status, body });
        };
        requests.target = format!("{path}?EIO=4&transport=polling&sid={sid}");
        let line = Line::poll(requests, first, self.parser, self.time_limit);
        Client::enter(Arc::new(line), self.namespace, &packet).await
    }
}

/// The answer to the request that opens a connection.
async fn answered<T>(limit: Duration, answer: impl Future<Output = Option<T>>) -> Result<T, Error> {
    let waited_for = || "the answer to the request".to_owned();
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

impl IntoFuture for Connect {
    type Output = Result<Client, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.open())
    }
}

/// The client's end of a stream whose other end is served.
fn serve(service: Service, address: SocketAddr) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(STREAM);
    let service = service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
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
            let body = fields.get(http::header::CONTENT_LENGTH);
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
