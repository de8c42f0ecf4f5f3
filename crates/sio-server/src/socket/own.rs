//! Listeners of a single socket, as in Node: beside those of its namespace, and gone with it.

use std::{future::Future, sync::Arc};

use serde::Deserialize;

use super::Socket;
use crate::{
    event::{Any, EventName, Reply},
    incoming::Incoming,
    listeners::{Hears, ListenerId, Listeners, Which},
    table::{self, Handler, OnEvent, Serial, Watcher},
};

impl<D: Send + Sync + 'static> Socket<D> {
    /// Listens to an event of this socket alone, as in Node; beside the namespace's handler, which
    /// answers if there is one, else the first listener does. Listeners end with the socket.
    ///
    /// A handler of the [`Namespace`](crate::Namespace) costs nothing per socket, and is there before
    /// the first event; an event that comes before its listener is nobody's.
    ///
    /// ```
    /// # use sio_server::{Ack, Server};
    /// let server = Server::new().on_connect(async |socket| {
    ///     let mut count = 0;
    ///     let counter = std::sync::Arc::new(std::sync::Mutex::new(count));
    ///     socket.on("count", async move |_socket, ()| {
    ///         let mut count = counter.lock().unwrap();
    ///         *count += 1;
    ///         Ack(*count)
    ///     });
    /// });
    /// ```
    ///
    /// # Panics
    ///
    /// If the protocol reserves the event's name, see [`Event::new`](crate::Event::new).
    pub fn on<T, A, Fut>(
        &self,
        event: impl EventName<T, A>,
        listener: impl FnOnce(Self, T) -> Fut + Clone + Send + Sync + 'static,
    ) -> ListenerId
    where
        T: for<'de> Deserialize<'de> + Send + 'static,
        Fut: Future<Output: Reply<A> + 'static> + Send + 'static,
        A: 'static,
    {
        self.listen(event.event_name(), listener, Hears::Always)
    }

    /// Like [`on`](Self::on), for the next such event only.
    ///
    /// ```
    /// # use sio_server::{Ack, Server};
    /// let server = Server::new().on_connect(async |socket| {
    ///     socket.once("agree", async |socket, ()| {
    ///         socket.join("agreed");
    ///         Ack("thank you")
    ///     });
    /// });
    /// ```
    ///
    /// # Panics
    ///
    /// As [`on`](Self::on).
    pub fn once<T, A, Fut>(
        &self,
        event: impl EventName<T, A>,
        listener: impl FnOnce(Self, T) -> Fut + Clone + Send + Sync + 'static,
    ) -> ListenerId
    where
        T: for<'de> Deserialize<'de> + Send + 'static,
        Fut: Future<Output: Reply<A> + 'static> + Send + 'static,
        A: 'static,
    {
        self.listen(event.event_name(), listener, Hears::Once)
    }

    fn listen<T, A, Fut>(
        &self,
        event: &str,
        listener: impl FnOnce(Self, T) -> Fut + Clone + Send + Sync + 'static,
        hears: Hears,
    ) -> ListenerId
    where
        T: for<'de> Deserialize<'de> + Send + 'static,
        Fut: Future<Output: Reply<A> + 'static> + Send + 'static,
        A: 'static,
    {
        assert!(
            !sio_packet::is_reserved(event),
            "{event:?} is reserved; there are on_connect, on_disconnect and on_disconnecting"
        );
        let handler: OnEvent<_, _, T, A, Fut> = OnEvent::new(event.into(), listener, Serial);
        let listeners = &self.inner.listeners;
        let listeners = listeners.get_or_init(|| Box::new(Listeners::new()));
        listeners.add(event, Arc::new(handler), hears, || {
            self.inner.core.is_gone()
        })
    }

    /// Sees each event of this socket before its handler does, behind the catch-alls of the namespace: Node's
    /// `socket.onAny`. Ends with the socket, or by [`off`](Self::off).
    ///
    /// ```
    /// # use sio_server::{Incoming, Server};
    /// let server = Server::new().on_connect(async |socket| {
    ///     socket.on_any(async |socket, incoming: Incoming| {
    ///         println!("{} says {}", socket.id(), incoming.event());
    ///     });
    /// });
    /// ```
    pub fn on_any<Fut>(
        &self,
        look: impl FnOnce(Self, Incoming) -> Fut + Clone + Send + Sync + 'static,
    ) -> ListenerId
    where
        Fut: Future<Output: Reply<Any> + 'static> + Send + 'static,
    {
        let listeners = &self.inner.listeners;
        let listeners = listeners.get_or_init(|| Box::new(Listeners::new()));
        listeners.add_any(table::any(look), || self.inner.core.is_gone())
    }

    /// Removes this socket's own listeners: all of an event, by its name, one, by what
    /// [`on`](Self::on) returned, or [all](Which::All).
    ///
    /// ```
    /// # fn f(socket: sio_server::Socket) {
    /// let answer = socket.on("answer", async |_socket, text: String| println!("{text}"));
    /// socket.off(answer); // this one
    /// socket.off("answer"); // all of the event
    /// socket.off(sio_server::Which::All);
    /// # }
    /// ```
    pub fn off<'a>(&self, which: impl Into<Which<'a>>) {
        if let Some(listeners) = self.inner.listeners.get() {
            listeners.remove(which.into());
        }
    }

    pub(crate) fn has_listeners(&self) -> bool {
        self.inner.listeners.get().is_some()
    }

    /// Its own listeners of all events.
    pub(crate) fn catch_alls(&self) -> Vec<Arc<Watcher<D>>> {
        let listeners = self.inner.listeners.get();
        listeners.map_or_else(Vec::new, |listeners| listeners.any())
    }

    /// Its own listeners of an event; those that hear once only are heard from no more.
    pub(crate) fn listeners(&self, event: &str) -> Vec<Arc<dyn Handler<D>>> {
        let listeners = self.inner.listeners.get();
        listeners.map_or_else(Vec::new, |listeners| listeners.of(event))
    }
}
