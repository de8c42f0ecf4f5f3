//! Namespaces that come and go, as the application hears of them.

use std::sync::Arc;

use crate::{news::Hook, server::Server};

/// What happened to a namespace that clients asked for, see [`Server::on_namespace`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NamespaceEvent {
    /// The last client has gone, or the only one was refused, and it is no more.
    Closed {
        /// The namespace.
        name: Arc<str>,
    },
    /// A client asks for it, and is let in or refused next.
    Opened {
        /// The namespace.
        name: Arc<str>,
    },
}

pub(crate) type NamespaceHook = Hook<NamespaceEvent>;

impl Server {
    /// Is told when a namespace of a [pattern](crate::Namespace::pattern) or a
    /// [predicate](crate::Namespace::matching) comes to be, and when it is closed: one event after the
    /// other, in the order in which it happened. Node's `new_namespace`, and what Node does not tell.
    ///
    /// `look` runs where it happened: what takes long belongs into a task. With
    /// [`Config::recovery`](crate::Config::recovery) a namespace stays open while somebody may come back to
    /// it.
    ///
    /// ```
    /// use sio_server::{Handshake, Namespace, NamespaceEvent, Server};
    ///
    /// let games = Namespace::pattern("/game/{id}", async |_: Handshake, id: u32| Ok(id));
    /// let server = Server::new().mount(games);
    /// let io = server.io();
    /// let server = server.on_namespace(move |event| match event {
    ///     NamespaceEvent::Opened { name } => println!("{name}, and {} others play", io.connections()),
    ///     NamespaceEvent::Closed { name } => println!("{name} is over"),
    ///     _ => {}
    /// });
    /// ```
    pub fn on_namespace(mut self, look: impl Fn(&NamespaceEvent) + Send + Sync + 'static) -> Self {
        self.openings = Some(Arc::new(look));
        self
    }
}
