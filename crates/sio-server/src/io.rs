//! The server as everybody else sees it: a handle to emit with, from anywhere.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use serde::{Deserialize, Serialize};
use sio_cluster::Message;
use sio_rooms::Selection;

use crate::{
    cluster::ClusterStatus,
    counters::Counters,
    event::{Answer, EventName},
    hub::{Address, Hub},
    memory::RecoveryStatus,
    nodes::NodeCalls,
    population::Population,
    queues::Queues,
    target::{RoomNames, Sent, Target},
};

/// A handle of the server: from an axum route, a timer, a queue consumer.
///
/// Cheap to clone. Before the server has been started, and after it has gone, it reaches nobody.
///
/// ```no_run
/// # async fn f() -> Result<(), sio_server::StartError> {
/// let server = sio_server::Server::new();
/// let io = server.io();
/// tokio::spawn(async move {
///     loop {
///         tokio::time::sleep(std::time::Duration::from_secs(1)).await;
///         io.to("clock").emit("tick", &());
///     }
/// });
/// server.run().await
/// # }
/// ```
///
/// ```
/// # use sio_server::Io;
/// // What is there, for a page of an administrator's.
/// fn report(io: &Io) -> String {
///     let chat = io.of("/chat");
///     let rooms: Vec<_> = chat.rooms().into_iter().map(|(room, len)| format!("{room}: {len}")).collect();
///     format!(
///         "{} connections, {} in the chat, {} of them in the lobby\n{}\n{} bytes wait",
///         io.connections(),
///         chat.len(),
///         chat.room_len("lobby"),
///         rooms.join("\n"),
///         io.buffered_bytes(),
///     )
/// }
/// ```
#[derive(Clone)]
pub struct Io {
    address: Address,
}

impl Io {
    pub(crate) fn from_cell(hub: Arc<OnceLock<Arc<Hub>>>) -> Self {
        Self {
            address: Address::new(hub, "/".into()),
        }
    }

    pub(crate) fn from_hub(hub: Arc<Hub>) -> Self {
        Self::from_cell(Arc::new(OnceLock::from(hub)))
    }

    /// The same server, in another namespace.
    ///
    /// ```
    /// # fn f(io: sio_server::Io) {
    /// io.of("/news").emit("headline", "sun");
    /// println!("{} are in the lobby", io.of("/chat").room_len("lobby"));
    /// # }
    /// ```
    #[must_use]
    pub fn of(&self, namespace: &str) -> Self {
        Self {
            address: self.address.of(namespace),
        }
    }

    /// Everybody in the namespace.
    ///
    /// ```
    /// # fn f(io: sio_server::Io) {
    /// io.everyone().volatile().emit("cursor", &(3, 4)); // `emit`, in more words
    /// io.emit("news", "sun");
    /// io.except("muted").emit("news", "rain");
    /// # }
    /// ```
    pub fn everyone(&self) -> Target {
        Target::at(self.address.clone(), Selection::everyone())
    }

    /// The members of a room, or of several; a socket's id is a room, too.
    pub fn to(&self, rooms: impl RoomNames) -> Target {
        self.everyone().to(rooms)
    }

    /// Everybody but the members of these rooms.
    pub fn except(&self, rooms: impl RoomNames) -> Target {
        self.everyone().except(rooms)
    }

    /// Sends an event to everybody in the namespace.
    pub fn emit<T: Serialize + ?Sized, A>(&self, event: impl EventName<T, A>, payload: &T) -> Sent {
        self.everyone().emit(event, payload)
    }

    /// Sockets in the namespace, on this node.
    pub fn len(&self) -> usize {
        self.address.place().map_or(0, |place| place.len())
    }

    /// Whether nobody is in the namespace.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sockets in a room, on this node; does not depend on how many there are.
    pub fn room_len(&self, room: &str) -> usize {
        self.address.place().map_or(0, |place| place.room_len(room))
    }

    /// Sockets in the namespace on all nodes of ours, see [`room_population`](Self::room_population).
    pub fn population(&self) -> Population {
        self.count_everywhere(None)
    }

    /// Sockets in a room on all nodes of ours: nobody is asked, and it does not depend on how many they
    /// are. For that, all nodes have to count (`Redis::census`).
    ///
    /// What is here is so now. What is elsewhere was so a moment ago: as long as changes are collected,
    /// and the time on the way. If a message was lost, its node is among those
    /// [not counted](Population::uncounted) from when that is seen, with the next heartbeat, until
    /// it has told everything anew. The sockets of a node that died are counted until its lease ends, 10 s
    /// by default; while the broker is away, those of all are as they were.
    ///
    /// That each socket's id is a room of its own is not told to other nodes. Nodes of other
    /// languages do not count.
    ///
    /// ```
    /// # fn f(io: sio_server::Io) {
    /// let lobby = io.room_population("lobby");
    /// println!("{} are in the lobby, {} of them here", lobby.total(), lobby.here);
    /// # }
    /// ```
    pub fn room_population(&self, room: &str) -> Population {
        self.count_everywhere(Some(room))
    }

    fn count_everywhere(&self, room: Option<&str>) -> Population {
        let here = match room {
            None => self.len(),
            Some(room) => self.room_len(room),
        };
        let cluster = self.address.hub().and_then(|hub| hub.cluster.as_ref());
        let (elsewhere, uncounted) = cluster.map_or_else(Default::default, |cluster| {
            cluster.others().of(self.address.namespace(), room)
        });
        Population {
            elsewhere,
            here: here as u64,
            uncounted,
        }
    }

    /// The rooms of the namespace, with how many sockets are in each. Looks at each room; that every
    /// socket's id is a room of its own is left out.
    pub fn rooms(&self) -> BTreeMap<String, usize> {
        self.address
            .place()
            .map_or_else(BTreeMap::new, |place| place.rooms())
    }

    /// Connections, whatever they have joined.
    pub fn connections(&self) -> usize {
        self.address.hub().map_or(0, |hub| hub.session_count())
    }

    /// What has been counted since the server was started, connections and limits.
    pub fn counters(&self) -> Counters {
        self.address
            .hub()
            .map_or_else(Counters::default, |hub| hub.counters())
    }

    /// What is remembered of the sessions of this namespace; `None` without
    /// [`Config::recovery`](crate::Config::recovery), or while there is no such namespace. Looks at each
    /// session. What came of attempts to recover one, [`Counters::recoveries`] tells.
    pub fn recovery(&self) -> Option<RecoveryStatus> {
        Some(self.address.place()?.memory()?.status())
    }

    /// Bytes that are buffered for all connections together, as
    /// [`Config::memory_budget`](crate::Config::memory_budget) counts them. Of what waits to be sent to a
    /// connection the first 4 KiB are not counted.
    pub fn buffered_bytes(&self) -> usize {
        self.address.hub().map_or(0, |hub| hub.ledger.total())
    }

    /// What waits for each connection, and how much of it came and is not done with. Looks at each
    /// connection; nothing is counted in between.
    pub fn queues(&self) -> Queues {
        let mut queues = Queues::default();
        if let Some(hub) = self.address.hub() {
            hub.for_each_session(|conn| {
                conn.settle_fans();
                let link = conn.lock();
                let queued = link.queued_bytes();
                queues.add(queued, link.buffered_bytes() - queued);
            });
        }
        queues
    }

    /// Acks that clients of this namespace are asked for at the moment. Looks at each socket.
    pub fn pending_acks(&self) -> usize {
        self.address.place().map_or(0, |place| place.pending_acks())
    }

    /// How it stands with the other nodes; `None` without a [`cluster`](crate::Server::cluster).
    pub fn cluster(&self) -> Option<ClusterStatus> {
        Some(self.address.hub()?.cluster.as_ref()?.status())
    }

    /// Sends an event to all other nodes, for their [`on_server_side`](crate::Namespace::on_server_side):
    /// Node's `serverSideEmit`. This node is not among them, and no client sees it. Never waits; while
    /// the broker is away it waits for it as packets do.
    ///
    /// A payload that cannot be written reaches nobody and is logged.
    ///
    /// ```
    /// # fn f(io: sio_server::Io) {
    /// io.server_side_emit("reload", "the words"); // Heard by `Server::on_server_side` of the others.
    /// # }
    /// ```
    pub fn server_side_emit<T: Serialize + ?Sized, A>(
        &self,
        event: impl EventName<T, A>,
        payload: &T,
    ) {
        let event = event.event_name();
        let Some(cluster) = self.address.hub().and_then(|hub| hub.cluster.as_ref()) else {
            return;
        };
        match sio_cluster::event(event, payload) {
            Ok((data, weight)) => {
                let message = Message::ServerEmit(data);
                cluster.tell(self.address.namespace(), message, weight);
            }
            Err(error) => tracing::error!(event, %error, "a payload could not be written"),
        }
    }

    /// Asks all other nodes, and waits for one answer of each: Node's `serverSideEmitWithAck`. What came
    /// in time is there also if a node did not answer, together with its name.
    ///
    /// Without a [`cluster`](crate::Server::cluster) there are no other nodes.
    pub fn server_side_call<T, A, R>(
        &self,
        event: impl EventName<T, A>,
        payload: &T,
    ) -> NodeCalls<R>
    where
        T: Serialize + ?Sized,
        A: Answer<R>,
        R: for<'de> Deserialize<'de> + Send + 'static,
    {
        let data = sio_cluster::event(event.event_name(), payload).map(|(data, _)| data);
        NodeCalls::new(self.address.clone(), data)
    }

    pub(crate) fn is_debug(&self) -> bool {
        self.address.hub().is_some_and(|hub| hub.debug.is_on())
    }

    /// Closes all connections; clients see `transport close` and come back when they can.
    ///
    /// ```
    /// # async fn f(server: sio_server::Server) -> Result<(), sio_server::StartError> {
    /// let io = server.io();
    /// tokio::spawn(async move {
    ///     tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
    ///     io.close(); // `Bound::serve_until` does it, and waits for the end.
    /// });
    /// server.run().await
    /// # }
    /// ```
    pub fn close(&self) {
        if let Some(hub) = self.address.hub() {
            hub.close();
        }
    }
}
