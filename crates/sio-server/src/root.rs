//! The default namespace, `/`, of a server that needs no other: what [`Namespace`](crate::Namespace) has,
//! beside what stands at the [`Server`] itself.

use std::{future::Future, hash::Hash};

use serde::Deserialize;

use crate::{
    error::{DisconnectReason, Refuse},
    event::{EventName, Reply},
    handshake::Handshake,
    incoming::Incoming,
    onlookers::{Outgoing, RoomEvent},
    server::Server,
    socket::Socket,
};

impl Server {
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
    pub fn on_concurrent<T, A, R, Fut>(
        self,
        event: impl EventName<T, A>,
        handler: impl FnOnce(Socket, T) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        T: for<'de> Deserialize<'de> + Send + 'static,
        Fut: Future<Output = R> + Send + 'static,
        R: Reply<A> + 'static,
        A: 'static,
    {
        self.with_root(|root| root.on_concurrent(event, handler))
    }

    /// Handles an event beside others, but in order among those with the same key. See
    /// [`Namespace::on_keyed`](crate::Namespace::on_keyed).
    pub fn on_keyed<T, A, K, R, Fut>(
        self,
        event: impl EventName<T, A>,
        key: impl Fn(&T) -> K + Send + Sync + 'static,
        handler: impl FnOnce(Socket, T) -> Fut + Clone + Send + Sync + 'static,
    ) -> Self
    where
        T: for<'de> Deserialize<'de> + Send + 'static,
        K: Hash + 'static,
        Fut: Future<Output = R> + Send + 'static,
        R: Reply<A> + 'static,
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
}
