//! The default namespace, `/`, of a server that needs no other: what a
//! [`Namespace`](crate::Namespace) has, at the [`Server`].

use std::{future::Future, hash::Hash};

use serde::Deserialize;

use crate::{
    error::{DisconnectReason, Refuse},
    event::{Any, EventName, Reply},
    failure::Failure,
    handshake::Handshake,
    incoming::Incoming,
    io::Io,
    onlookers::{Outgoing, RoomEvent},
    server::Server,
    socket::Socket,
};

impl Server {
    /// Handles an event in the namespace `/`, see [`Namespace::on`](crate::Namespace::on).
    pub fn on<T, A, Fut>(
        self,
        event: impl EventName<T, A>,
        handler: impl FnOnce(Socket, T) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        T: for<'de> Deserialize<'de> + Send + 'static,
        Fut: Future<Output: Reply<A> + 'static> + Send + 'static,
        A: 'static,
    {
        self.with_root(|root| root.on(event, handler))
    }

    /// Runs when a client has joined the namespace `/`, see [`Namespace::on_connect`](crate::Namespace::on_connect).
    pub fn on_connect<Fut>(
        self,
        handler: impl FnOnce(Socket) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output: Reply<Any> + 'static> + Send + 'static,
    {
        self.with_root(|root| root.on_connect(handler))
    }

    /// Runs when a client of the namespace `/` has gone, see [`Namespace::on_disconnect`](crate::Namespace::on_disconnect).
    pub fn on_disconnect<Fut>(
        self,
        handler: impl FnOnce(Socket, DisconnectReason) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output: Reply<Any> + 'static> + Send + 'static,
    {
        self.with_root(|root| root.on_disconnect(handler))
    }

    /// Sees each event of the namespace `/` before its handler does, see [`Namespace::on_any`](crate::Namespace::on_any).
    pub fn on_any<Fut>(
        self,
        handler: impl FnOnce(Socket, Incoming) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output: Reply<Any> + 'static> + Send + 'static,
    {
        self.with_root(|root| root.on_any(handler))
    }

    /// Handles the events of the namespace `/` that have no handler of their own, see
    /// [`Namespace::on_unhandled`](crate::Namespace::on_unhandled).
    pub fn on_unhandled<Fut>(
        self,
        handler: impl FnOnce(Socket, Incoming) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output: Reply<Any> + 'static> + Send + 'static,
    {
        self.with_root(|root| root.on_unhandled(handler))
    }

    /// Sees the failures of the namespace `/`, see [`Namespace::on_error`](crate::Namespace::on_error).
    pub fn on_error<Fut>(
        self,
        handler: impl FnOnce(Socket, Failure) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output: Reply<Any> + 'static> + Send + 'static,
    {
        self.with_root(|root| root.on_error(handler))
    }

    /// Asks whether a client may join `/`: Node's `io.use`. See
    /// [`Namespace::guard`](crate::Namespace::guard).
    ///
    /// ```
    /// # use sio_server::{Handshake, Refuse, Server};
    /// let server = Server::new().guard(async |hello: Handshake| match hello.query("key") {
    ///     Some(key) if key == "tea" => Ok(()),
    ///     _ => Err(Refuse::new("not authorized")),
    /// });
    /// ```
    pub fn guard<Fut>(
        self,
        check: impl FnOnce(Handshake) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = Result<(), Refuse>> + Send + 'static,
    {
        self.with_root(|root| root.guard(check))
    }

    /// Looks at each event before its handler, and may refuse it: Node's `socket.use`. See
    /// [`Namespace::filter`](crate::Namespace::filter).
    pub fn filter<Fut>(
        self,
        check: impl FnOnce(Socket, Incoming) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = Result<(), Refuse>> + Send + 'static,
    {
        self.with_root(|root| root.filter(check))
    }

    /// Handles an event beside all others of the same socket. See
    /// [`Namespace::on_concurrent`](crate::Namespace::on_concurrent).
    pub fn on_concurrent<T, A, Fut>(
        self,
        event: impl EventName<T, A>,
        handler: impl FnOnce(Socket, T) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        T: for<'de> Deserialize<'de> + Send + 'static,
        Fut: Future<Output: Reply<A> + 'static> + Send + 'static,
        A: 'static,
    {
        self.with_root(|root| root.on_concurrent(event, handler))
    }

    /// Handles an event beside others, but in order among those with the same key. See
    /// [`Namespace::on_keyed`](crate::Namespace::on_keyed).
    pub fn on_keyed<T, A, K, Fut>(
        self,
        event: impl EventName<T, A>,
        key: impl Fn(&T) -> K + Send + Sync + 'static,
        handler: impl FnOnce(Socket, T) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        T: for<'de> Deserialize<'de> + Send + 'static,
        K: Hash + 'static,
        Fut: Future<Output: Reply<A> + 'static> + Send + 'static,
        A: 'static,
    {
        self.with_root(|root| root.on_keyed(event, key, handler))
    }

    /// Sees a socket that is about to leave. See
    /// [`Namespace::on_disconnecting`](crate::Namespace::on_disconnecting).
    pub fn on_disconnecting(
        self,
        look: impl Fn(&Socket, DisconnectReason) + Send + Sync + 'static,
    ) -> Self {
        self.with_root(|root| root.on_disconnecting(look))
    }

    /// Looks at each event that is emitted. See
    /// [`Namespace::on_any_outgoing`](crate::Namespace::on_any_outgoing).
    pub fn on_any_outgoing(self, look: impl Fn(&Outgoing<'_>) + Send + Sync + 'static) -> Self {
        self.with_root(|root| root.on_any_outgoing(look))
    }

    /// Is told when rooms come and go, and who joins and leaves them. See
    /// [`Namespace::on_room`](crate::Namespace::on_room).
    pub fn on_room(self, look: impl Fn(&RoomEvent) + Send + Sync + 'static) -> Self {
        self.with_root(|root| root.on_room(look))
    }

    /// Handles an event that another node of the cluster sends to the namespace `/` of all others, see
    /// [`Namespace::on_server_side`](crate::Namespace::on_server_side).
    pub fn on_server_side<T, A, Fut>(
        self,
        event: impl EventName<T, A>,
        handler: impl FnOnce(Io, T) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        T: for<'de> Deserialize<'de> + Send + 'static,
        Fut: Future<Output: Reply<A> + 'static> + Send + 'static,
        A: 'static,
    {
        self.with_root(|root| root.on_server_side(event, handler))
    }
}
