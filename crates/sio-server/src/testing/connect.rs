//! The server under test, and the way to it.

use std::{
    future::{Future, IntoFuture},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use serde::Serialize;
use sio_packet::{Parser, WriteError, write_connect_request};

use super::{
    client::Client,
    error::Error,
    line::{Line, State, Transport},
    requests::Requests,
};
use crate::{error::StartError, io::Io, server::Server, service::Service};

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

    /// Polls, and goes on polling until it is told to [upgrade](Client::upgrade):
    /// `io(url, { transports: ["polling"] })`.
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
        let packet = self.auth.packet(&self.namespace)?;
        let limit = self.time_limit;
        let mut requests = Requests {
            path: self.service.path().to_owned(),
            service: self.service,
            address: self.address,
            query: self.query,
            fields: self.fields,
        };
        let line = match self.transport {
            Transport::WebSocket => {
                let (stream, unread) = requests.websocket(limit).await?;
                let line = Line::start(stream, unread, self.parser, limit);
                let open = |state: &mut State| state.is_open.then_some(());
                line.shared.wait("the open packet", open).await?;
                line
            }
            Transport::Polling => {
                let (sid, first) = requests.session(limit).await?;
                requests.query = format!("&sid={sid}");
                Line::poll(requests, first, self.parser, limit)
            }
        };
        Client::enter(Arc::new(line), self.namespace, &packet).await
    }
}

impl IntoFuture for Connect {
    type Output = Result<Client, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.open())
    }
}
