//! A namespace: who may join it, and what happens on which event.
//!
//! Handlers belong to the namespace, not to the socket: one table, filled before the server starts
//! and frozen then, so a connection costs no handler memory and an event cannot arrive before its
//! handler.

use std::{collections::HashMap, future::Future, marker::PhantomData, pin::Pin, sync::Arc};

use foldhash::fast::RandomState;
use serde::de::DeserializeOwned;
use sio_packet::{Args, ReadError};

use crate::{
    conn::Conn,
    entropy,
    error::{DisconnectReason, Refuse},
    event::{Any, EventName, Reply},
    handshake::Handshake,
    place::Place,
    socket::{AnySocket, Inner, Responder, Socket, SocketId, Task},
};

/// A namespace with data of type `D` for each of its sockets.
///
/// ```
/// use sio_server::{Handshake, Namespace, Refuse, Server};
///
/// let chat = Namespace::new("/chat", async |hello: Handshake| {
///     let name: String = hello.auth()?;
///     if name.is_empty() { Err(Refuse::new("who are you?")) } else { Ok(name) }
/// })
/// .on("say", async |socket, text: String| {
///     socket.everyone().emit("said", &(socket.data(), text));
/// });
/// let server = Server::new().mount(chat);
/// ```
pub struct Namespace<D = ()> {
    name: Name,
    rules: Rules<D>,
}

enum Name {
    Fixed(String),
    Matching(Box<dyn Fn(&str) -> bool + Send + Sync>),
}

struct Rules<D> {
    admit: Box<dyn Fn(Handshake) -> Admission<D> + Send + Sync>,
    table: Table<D>,
}

type Admission<D> = Pin<Box<dyn Future<Output = Result<D, Refuse>> + Send>>;

/// The handlers of a namespace.
pub(crate) struct Table<D> {
    pub(crate) events: HashMap<Box<str>, Arc<dyn Handler<D>>, RandomState>,
    pub(crate) connect: Option<Box<dyn Fn(Socket<D>) -> Task + Send + Sync>>,
    #[expect(clippy::type_complexity, reason = "it is spelled out once, here")]
    pub(crate) disconnect: Option<Box<dyn Fn(Socket<D>, DisconnectReason) -> Task + Send + Sync>>,
}

/// What one event leads to.
pub(crate) trait Handler<D>: Send + Sync {
    /// Reads the arguments and returns the handler, ready to run.
    fn call(
        self: Arc<Self>,
        socket: Socket<D>,
        args: Args<'_>,
        ack: Option<u64>,
    ) -> Result<Task, ReadError>;
}

impl Namespace<()> {
    /// A namespace that everybody may join and that keeps no data per socket.
    pub fn open(name: impl Into<String>) -> Self {
        Self::new(name, async |_| Ok(()))
    }
}

impl<D: Send + Sync + 'static> Namespace<D> {
    /// A namespace that `admit` decides about: it returns what is to be known of the socket from
    /// then on ([`Socket::data`]), or a [`Refuse`] that the client gets as `connect_error`.
    pub fn new<Fut>(
        name: impl Into<String>,
        admit: impl FnOnce(Handshake) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = Result<D, Refuse>> + Send + 'static,
    {
        Self {
            name: Name::Fixed(name.into()),
            rules: Rules::new(admit),
        }
    }

    /// Namespaces of all names that `matches` accepts, each opened when its first client comes and
    /// closed when its last one has gone. Which one it is, [`Socket::namespace`] tells.
    pub fn matching<Fut>(
        matches: impl Fn(&str) -> bool + Send + Sync + 'static,
        admit: impl FnOnce(Handshake) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = Result<D, Refuse>> + Send + 'static,
    {
        Self {
            name: Name::Matching(Box::new(matches)),
            rules: Rules::new(admit),
        }
    }

    /// Handles an event.
    ///
    /// The payload is read into the handler's second argument: a tuple takes several arguments,
    /// `()` none, anything else the first. What the handler returns is the ack, see [`Reply`].
    ///
    /// Events of one socket are handled one at a time, in the order they came. A second handler
    /// of the same event replaces the first.
    #[must_use]
    pub fn on<T, A, R, Fut>(
        mut self,
        event: impl EventName<T, A>,
        handler: impl FnOnce(Socket<D>, T) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        T: DeserializeOwned + Send + 'static,
        Fut: Future<Output = R> + Send + 'static,
        R: Reply<A> + 'static,
        A: 'static,
    {
        let event: Box<str> = event.event_name().into();
        let read = OnEvent {
            event: event.clone(),
            handler,
            types: PhantomData,
        };
        self.rules.table.events.insert(event, Arc::new(read));
        self
    }

    /// Runs when a client has joined, before any of its events is handled.
    #[must_use]
    pub fn on_connect<R, Fut>(
        mut self,
        handler: impl FnOnce(Socket<D>) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = R> + Send + 'static,
        R: Reply<Any> + 'static,
    {
        self.rules.table.connect = Some(Box::new(move |socket| {
            let handler = handler.clone();
            Box::pin(async move {
                let reply = handler(socket.clone()).await;
                reply.answer(Responder::new(socket.core(), "connect", None));
            })
        }));
        self
    }

    /// Runs when a client has gone, once for each that had joined. Its rooms are still known to
    /// [`Socket::rooms`], but it is no longer a member of any.
    #[must_use]
    pub fn on_disconnect<R, Fut>(
        mut self,
        handler: impl FnOnce(Socket<D>, DisconnectReason) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = R> + Send + 'static,
        R: Reply<Any> + 'static,
    {
        self.rules.table.disconnect = Some(Box::new(move |socket, reason| {
            let handler = handler.clone();
            Box::pin(async move {
                let reply = handler(socket.clone(), reason).await;
                reply.answer(Responder::new(socket.core(), "disconnect", None));
            })
        }));
        self
    }

    pub(crate) fn mount(self) -> Box<dyn Mounted> {
        let Rules { admit, table } = self.rules;
        Box::new(Mount {
            name: self.name,
            admit: Arc::from(admit),
            table: Arc::new(table),
        })
    }
}

impl<D> Rules<D> {
    fn new<Fut>(admit: impl FnOnce(Handshake) -> Fut + Clone + Send + Sync + 'static) -> Self
    where
        Fut: Future<Output = Result<D, Refuse>> + Send + 'static,
    {
        let table = Table {
            events: HashMap::default(),
            connect: None,
            disconnect: None,
        };
        Self {
            admit: Box::new(move |hello| Box::pin(admit.clone()(hello))),
            table,
        }
    }
}

/// A handler with the types of its event.
struct OnEvent<F, T, A, R, Fut> {
    event: Box<str>,
    handler: F,
    types: Types<T, A, R, Fut>,
}

type Types<T, A, R, Fut> = PhantomData<fn(T) -> (A, R, Fut)>;

impl<D, F, T, A, R, Fut> Handler<D> for OnEvent<F, T, A, R, Fut>
where
    D: Send + Sync + 'static,
    F: FnOnce(Socket<D>, T) -> Fut + Clone + Send + Sync + 'static,
    T: DeserializeOwned + Send + 'static,
    A: 'static,
    R: Reply<A> + 'static,
    Fut: Future<Output = R> + Send + 'static,
{
    fn call(
        self: Arc<Self>,
        socket: Socket<D>,
        args: Args<'_>,
        ack: Option<u64>,
    ) -> Result<Task, ReadError> {
        let payload: T = args.read()?;
        Ok(Box::pin(async move {
            let handler = self.handler.clone();
            let reply = handler(socket.clone(), payload).await;
            reply.answer(Responder::new(socket.core(), &self.event, ack));
        }))
    }
}

/// A namespace, or all that match, ready to be opened; its data's type is not known here.
pub(crate) trait Mounted: Send + Sync {
    fn fixed_name(&self) -> Option<&str>;
    fn matches(&self, name: &str) -> bool;
    fn open(&self, place: Arc<Place>) -> Arc<dyn Realm>;
}

/// An open namespace; its data's type is not known here.
pub(crate) trait Realm: Send + Sync {
    fn place(&self) -> &Arc<Place>;
    /// Decides about a client and makes it a socket, which has not entered the place yet.
    fn admit(&self, conn: Arc<Conn>, auth: Box<str>) -> Joining;
}

/// The decision about one client.
pub(crate) type Joining = Pin<Box<dyn Future<Output = Result<Arc<dyn AnySocket>, Refuse>> + Send>>;

struct Mount<D> {
    name: Name,
    admit: Arc<dyn Fn(Handshake) -> Admission<D> + Send + Sync>,
    table: Arc<Table<D>>,
}

impl<D: Send + Sync + 'static> Mounted for Mount<D> {
    fn fixed_name(&self) -> Option<&str> {
        match &self.name {
            Name::Fixed(name) => Some(name),
            Name::Matching(_) => None,
        }
    }

    fn matches(&self, name: &str) -> bool {
        match &self.name {
            Name::Fixed(fixed) => fixed == name,
            Name::Matching(matches) => matches(name),
        }
    }

    fn open(&self, place: Arc<Place>) -> Arc<dyn Realm> {
        Arc::new(Opened {
            place,
            admit: Arc::clone(&self.admit),
            table: Arc::clone(&self.table),
        })
    }
}

struct Opened<D> {
    place: Arc<Place>,
    admit: Arc<dyn Fn(Handshake) -> Admission<D> + Send + Sync>,
    table: Arc<Table<D>>,
}

impl<D: Send + Sync + 'static> Realm for Opened<D> {
    fn place(&self) -> &Arc<Place> {
        &self.place
    }

    fn admit(&self, conn: Arc<Conn>, auth: Box<str>) -> Joining {
        let place = Arc::clone(&self.place);
        let table = Arc::clone(&self.table);
        let hello = Handshake::new(Arc::clone(&conn), Arc::clone(&place), auth.clone());
        let admit = Arc::clone(&self.admit);
        Box::pin(async move {
            let data = admit(hello).await?;
            let id = SocketId(entropy::id());
            Ok(Inner::new(id, conn, place, auth, table, data) as Arc<dyn AnySocket>)
        })
    }
}
