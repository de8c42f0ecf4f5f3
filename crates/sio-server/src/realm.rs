//! Namespaces as the connections see them: who may join, and what a client becomes.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use crate::{
    conn::Conn,
    error::{Refuse, StartError},
    handshake::Handshake,
    nodes::NodeHandler,
    onlookers::Onlookers,
    place::Place,
    socket::{AnySocket, Inner, SocketId},
    table::Table,
};

/// Which names are a namespace's.
pub(crate) enum Name {
    Fixed(String),
    Matching(Box<dyn Fn(&str) -> bool + Send + Sync>),
}

/// Who may join, and as what.
pub(crate) struct Rules<D> {
    /// Asked before the admission, in this order.
    pub(crate) guards: Vec<Guard>,
    pub(crate) admit: Admit<D>,
    pub(crate) table: Table<D>,
    pub(crate) onlookers: Onlookers,
}

pub(crate) type Guard = Box<dyn Fn(Handshake) -> Admission<()> + Send + Sync>;

/// What decides about a client, besides the guards.
pub(crate) enum Admit<D> {
    Asked(Box<dyn Fn(Handshake) -> Admission<D> + Send + Sync>),
    /// Nothing does: each is made the same data, and no future.
    Everybody(fn() -> D),
}

pub(crate) type Admission<D> = Pin<Box<dyn Future<Output = Result<D, Refuse>> + Send>>;

/// A namespace, or all that match, ready to be opened; its data's type is not known here.
pub(crate) trait Mounted: Send + Sync {
    fn fixed_name(&self) -> Option<&str>;
    fn matches(&self, name: &str) -> bool;
    fn open(&self, place: Arc<Place>) -> Arc<dyn Realm>;
    fn onlookers(&self) -> Onlookers;
    /// The events that have handlers.
    #[cfg(feature = "schema")]
    fn handled(&self) -> Vec<&str>;
    /// What was wrong with the way it was put together.
    fn take_fault(&mut self) -> Option<StartError>;
}

/// An open namespace; its data's type is not known here.
pub(crate) trait Realm: Send + Sync {
    fn place(&self) -> &Arc<Place>;
    /// Decides about a client and makes it a socket, which has not entered the place yet.
    fn admit(&self, conn: Arc<Conn>, auth: Option<Arc<str>>) -> Joining;
    /// The handler of an event of another node.
    fn node_handler(&self, event: &str) -> Option<Arc<dyn NodeHandler>>;
}

/// The decision about one client.
pub(crate) enum Joining {
    /// It is under way.
    Asked(Admission<Arc<dyn AnySocket>>),
    /// Nobody had to be asked; `None` once that has been told.
    Free(Option<Arc<dyn AnySocket>>),
}

impl Future for Joining {
    type Output = Result<Arc<dyn AnySocket>, Refuse>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Asked(decision) => decision.as_mut().poll(cx),
            Self::Free(socket) => {
                let socket = socket.take();
                Poll::Ready(Ok(
                    socket.expect("because it is polled no more once it is ready")
                ))
            }
        }
    }
}

pub(crate) struct Mount<D> {
    name: Name,
    laws: Arc<Laws<D>>,
    onlookers: Onlookers,
    fault: Option<StartError>,
}

/// The rules once they are fixed.
struct Laws<D> {
    guards: Vec<Guard>,
    admit: Admit<D>,
    table: Arc<Table<D>>,
}

impl<D: Send + Sync + 'static> Laws<D> {
    fn socket(
        &self,
        conn: Arc<Conn>,
        place: Arc<Place>,
        auth: Option<Arc<str>>,
        data: D,
    ) -> Arc<dyn AnySocket> {
        let id = SocketId::new(&conn, place.name());
        Inner::new(id, conn, place, auth, Arc::clone(&self.table), data)
    }
}

impl<D> Mount<D> {
    pub(crate) fn new(name: Name, rules: Rules<D>, fault: Option<StartError>) -> Self {
        let Rules {
            guards,
            admit,
            table,
            onlookers,
        } = rules;
        let table = Arc::new(table);
        let laws = Arc::new(Laws {
            guards,
            admit,
            table,
        });
        Self {
            name,
            laws,
            onlookers,
            fault,
        }
    }
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
            laws: Arc::clone(&self.laws),
        })
    }

    fn onlookers(&self) -> Onlookers {
        self.onlookers.clone()
    }

    #[cfg(feature = "schema")]
    fn handled(&self) -> Vec<&str> {
        self.laws.table.handled()
    }

    fn take_fault(&mut self) -> Option<StartError> {
        self.fault.take()
    }
}

struct Opened<D> {
    place: Arc<Place>,
    laws: Arc<Laws<D>>,
}

impl<D: Send + Sync + 'static> Realm for Opened<D> {
    fn place(&self) -> &Arc<Place> {
        &self.place
    }

    fn admit(&self, conn: Arc<Conn>, auth: Option<Arc<str>>) -> Joining {
        let place = Arc::clone(&self.place);
        if let (true, Admit::Everybody(data)) = (self.laws.guards.is_empty(), &self.laws.admit) {
            return Joining::Free(Some(self.laws.socket(conn, place, auth, data())));
        }
        let laws = Arc::clone(&self.laws);
        let hello = Handshake::new(Arc::clone(&conn), Arc::clone(&place), auth.clone());
        Joining::Asked(Box::pin(async move {
            for guard in &laws.guards {
                guard(hello.clone()).await?;
            }
            let data = match &laws.admit {
                Admit::Asked(admit) => admit(hello).await?,
                Admit::Everybody(data) => data(),
            };
            Ok(laws.socket(conn, place, auth, data))
        }))
    }

    fn node_handler(&self, event: &str) -> Option<Arc<dyn NodeHandler>> {
        self.laws.table.nodes.get(event).cloned()
    }
}
