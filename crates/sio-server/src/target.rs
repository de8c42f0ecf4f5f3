//! Whom an emit is for, and the emit itself.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use sio_cluster::{Emit, Message, Missing, Question, RemoteSocket};
use sio_packet::WriteError;
use sio_rooms::Selection;

use crate::{
    calls::{Asked, Calls},
    cluster::{self, Cluster, Reserved},
    config::SlowClients,
    conn::{Form, Mode},
    event::{Answer, EventName},
    hearing::Heard,
    hub::{Address, Hub},
    member, onlookers,
    order::Ordered,
    place::{Origin, Place},
    socket::{self, AnySocket, Socket},
    telling::Telling,
};

/// What became of an emit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sent {
    /// What other nodes will hear.
    pub elsewhere: Elsewhere,
    /// Sockets of this node that the packet was queued for. Not what they received: only an ack tells that.
    /// None yet where the cluster has one order for all (`Redis::strict_order`).
    pub reached: usize,
}

/// What other nodes will hear of an emit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Elsewhere {
    /// There are none, or it is nothing to them.
    #[default]
    Nothing,
    /// It waits for the broker; if it waits too long, [`ClusterEvent::Lost`](crate::ClusterEvent::Lost)
    /// tells that some messages did.
    Queued,
    /// They will not hear it: too much waits for the broker already. It is counted in
    /// [`ClusterStatus::lost`](crate::ClusterStatus::lost).
    Refused,
}

impl Sent {
    /// What only sockets of this node hear.
    pub(crate) fn here(reached: usize) -> Self {
        Self {
            reached,
            ..Self::default()
        }
    }

    /// What is told by the cluster.
    pub(crate) fn told(reached: usize, queued: bool) -> Self {
        let elsewhere = match queued {
            true => Elsewhere::Queued,
            false => Elsewhere::Refused,
        };
        Self { elsewhere, reached }
    }
}

/// Some of the sockets of a namespace, chosen by rooms and ids.
///
/// Immutable: each method returns a narrower or wider target, so one may be kept and used again. It
/// chooses anew each time it is used: those who are there then.
///
/// ```
/// # fn f(io: sio_server::Io) {
/// let lobby = io.to("lobby");
/// lobby.emit("news", "the doors are open");
/// lobby.clone().except("staff").emit("news", "please wait");
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a target does nothing until something is emitted to it"]
pub struct Target {
    whence: Whence,
    selection: Selection,
    mode: Mode,
    slow: Option<SlowClients>,
    form: Form,
    /// Whether other nodes are left out.
    local: bool,
}

/// The sockets of a cluster that were chosen, from [`Target::fetch`].
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Fetched {
    /// Nodes that have not answered: their sockets are not among these.
    pub missing: Missing,
    /// The sockets of this node, then those of others as their answers came.
    pub sockets: Vec<RemoteSocket>,
}

/// Where those who are chosen are.
#[derive(Clone)]
enum Whence {
    /// In the namespace of this name, whenever it is looked for.
    Named(Address),
    /// In the namespace of a socket.
    Known(Arc<Place>),
}

impl Target {
    pub(crate) fn new(place: Arc<Place>, selection: Selection) -> Self {
        Self {
            whence: Whence::Known(place),
            selection,
            mode: Mode::Reliable,
            slow: None,
            form: Form::Any,
            local: false,
        }
    }

    pub(crate) fn at(address: Address, selection: Selection) -> Self {
        Self {
            whence: Whence::Named(address),
            selection,
            mode: Mode::Reliable,
            slow: None,
            form: Form::Any,
            local: false,
        }
    }

    /// Adds a room, or several, or a socket by its id. A socket in several of them is reached once.
    pub fn to(mut self, rooms: impl RoomNames) -> Self {
        rooms.each(&mut |room| self.selection = std::mem::take(&mut self.selection).to(room));
        self
    }

    /// Leaves out the members of a room, or of several, or a socket by its id.
    pub fn except(mut self, rooms: impl RoomNames) -> Self {
        rooms.each(&mut |room| self.selection = std::mem::take(&mut self.selection).except(room));
        self
    }

    /// From now on, what cannot be sent to a client at once is dropped for that client.
    ///
    /// ```
    /// # fn f(io: sio_server::Io, jpeg: bytes::Bytes) {
    /// io.to("game").volatile().emit("positions", &[(1, 2), (3, 4)]);
    /// io.to("album").uncompressed().emit("photo", &jpeg);
    /// io.everyone().local().emit("goodbye", "this node goes down");
    /// # }
    /// ```
    pub fn volatile(mut self) -> Self {
        self.mode = Mode::Volatile;
        self
    }

    /// From now on, this is done with clients that do not keep up, instead of what their namespace does.
    /// Other nodes do what they do.
    ///
    /// ```
    /// # use sio_server::{Io, SlowClients};
    /// # fn f(io: Io) {
    /// let told = io.to("watchers").slow_clients(SlowClients::Refuse).emit("frame", &vec![0; 1000]);
    /// println!("{} of them had room for it", told.reached);
    /// # }
    /// ```
    pub fn slow_clients(mut self, slow: SlowClients) -> Self {
        self.slow = Some(slow);
        self
    }

    /// From now on, only sockets of this node are chosen. Without a
    /// [`cluster`](crate::Server::cluster) there are no others.
    pub fn local(mut self) -> Self {
        self.local = true;
        self
    }

    /// From now on, what is sent is not compressed, whatever was agreed to: for a payload that is
    /// compressed already, or holds a secret beside what a stranger has chosen. Node's
    /// `compress(false)`.
    pub fn uncompressed(mut self) -> Self {
        self.form = Form::AsItIs;
        self
    }

    /// Sends an event to everybody chosen. Never waits; the packet is encoded once.
    ///
    /// A payload that cannot be written reaches nobody and is logged.
    pub fn emit<T: Serialize + ?Sized, A>(&self, event: impl EventName<T, A>, payload: &T) -> Sent {
        let event = event.event_name();
        self.send(event, payload, &mut None)
            .unwrap_or_else(|error| {
                tracing::error!(event, %error, "a payload could not be written");
                Sent::default()
            })
    }

    /// Sends an event to everybody chosen as soon as there is room for it in what waits for the broker,
    /// and to nobody if there is none within `max`: nor is there while the broker has been away for as
    /// long as messages are kept. With a `max` of zero it is sent at once or not at all. Nobody waits
    /// where other nodes have no part in it.
    ///
    /// [`emit`](Self::emit) never waits and never fails: what other nodes cannot be told is heard here
    /// alone, and [counted](Elsewhere::Refused). After this one, too, a message may be
    /// [lost](crate::ClusterEvent::Lost) that has waited too long.
    ///
    /// # Errors
    ///
    /// [`EmitError::Broker`](crate::EmitError::Broker) if there was no room in time,
    /// [`EmitError::Payload`](crate::EmitError::Payload) if the payload cannot be written.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sio_server::{EmitError, Io};
    /// # async fn f(io: Io) -> Result<(), EmitError> {
    /// io.to("orders").emit_within(Duration::from_secs(5), "order", &("tea", 2)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn emit_within<T: Serialize + ?Sized, A>(
        &self,
        max: Duration,
        event: impl EventName<T, A>,
        payload: &T,
    ) -> Telling {
        Telling::new(self.clone(), max, event.event_name(), payload)
    }

    /// Sends an event, with the room that there is for it elsewhere or with what is found then.
    pub(crate) fn send<T: Serialize + ?Sized>(
        &self,
        event: &str,
        payload: &T,
        reserved: &mut Option<Reserved>,
    ) -> Result<Sent, WriteError> {
        let mut told = None;
        let emit = |place: &Arc<Place>| {
            if !place.taps().is_empty() {
                onlookers::show(place, None, event, payload);
            }
            let mode = place.mode(self.mode, self.slow);
            let (who, form) = (&self.selection, self.form);
            if place.tells_what_it_hears() && !self.local {
                let sent = place.emit_event(who, mode, form, event, payload, reserved)?;
                told = Some(sent);
                return Ok(sent.reached);
            }
            place.emit(who, mode, form, Origin::Here, |frames| {
                frames.event(place.name(), None, event, payload)
            })
        };
        // First here: what other nodes hear, and when, is nothing that clients here wait for.
        let reached = self.with_place(emit).transpose()?.unwrap_or(0);
        if let Some(sent) = told {
            return Ok(sent);
        }
        match self.elsewhere() {
            None => Ok(Sent::here(reached)),
            Some((_, cluster)) => {
                let queued = self.send_elsewhere(&cluster, event, payload, reserved)?;
                Ok(Sent::told(reached, queued))
            }
        }
    }

    /// Asks everybody chosen and waits for their answers, for
    /// [`Config::ack_timeout`](crate::Config::ack_timeout) unless told otherwise. A socket that goes
    /// meanwhile is not waited for.
    ///
    /// The event is sent now; the returned value is awaited for the answers. What came in time is
    /// there also if not all of it came, together with who did not answer:
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sio_server::{CallError, Socket};
    /// # async fn f(socket: Socket) -> Result<(), CallError> {
    /// let votes = socket.to("jury").call("vote", &()).timeout(Duration::from_secs(5)).await?;
    /// for (id, why) in &votes.missing {
    ///     println!("{id} did not vote: {why}");
    /// }
    /// let sum: u32 = votes.into_values().iter().sum();
    /// # Ok(())
    /// # }
    /// ```
    pub fn call<T, A, R>(&self, event: impl EventName<T, A>, payload: &T) -> Calls<R>
    where
        T: Serialize + ?Sized,
        A: Answer<R>,
        R: for<'de> Deserialize<'de> + Send + 'static,
    {
        let event = event.event_name();
        let ask = |place: &Arc<Place>| {
            if !place.taps().is_empty() {
                onlookers::show(place, None, event, payload);
            }
            let timeout = place.hub().map(|hub| hub.config.ack_timeout);
            let mode = place.mode(Mode::Reliable, self.slow);
            let asked = place.ask(&self.selection, mode, |frames, ack| {
                frames.event(place.name(), Some(ack), event, payload)
            });
            Calls::new(asked, timeout.unwrap_or_default())
        };
        let calls = self.with_place(ask);
        let Some((hub, cluster)) = self.elsewhere() else {
            return calls.unwrap_or_else(|| Calls::new(Ok(Asked::nobody()), Duration::ZERO));
        };
        let timeout = hub.config.ack_timeout;
        let calls = calls.unwrap_or_else(|| Calls::new(Ok(Asked::nobody()), timeout));
        match sio_cluster::event(event, payload) {
            Ok((data, _)) => {
                // Other nodes are told now how long acks may take; a longer wait may be asked for
                // when this is awaited.
                let timeout = timeout.max(MAX_WAIT);
                let flags = cluster::flags(self.mode, self.form, Some(timeout));
                let to = self.selection.clone();
                let question = Question::Emit(Emit { to, data, flags });
                calls.elsewhere(cluster.ask(self.namespace(), question, Some(timeout)))
            }
            Err(_) => calls,
        }
    }

    /// The sockets chosen in the whole cluster, as their nodes describe them: Node's `fetchSockets`.
    /// Those of this node alone are [`sockets`](Self::sockets).
    ///
    /// Waits for other nodes as long as their broker is told to, 5 s by default. What came in time is
    /// there also if a node did not answer.
    ///
    /// ```
    /// # async fn f(io: sio_server::Io) {
    /// let staff = io.to("staff").fetch().await;
    /// for socket in &staff.sockets {
    ///     println!("{} is in {:?}", socket.id, socket.rooms);
    /// }
    /// if !staff.missing.is_nobody() {
    ///     println!("{:?} did not answer", staff.missing.nodes);
    /// }
    /// # }
    /// ```
    pub async fn fetch(&self) -> Fetched {
        let mut fetched = Fetched {
            sockets: self.any_sockets().iter().map(member::describe).collect(),
            missing: Missing::default(),
        };
        let Some((_, cluster)) = self.elsewhere() else {
            return fetched;
        };
        let question = Question::Fetch(self.selection.clone());
        let mut answers = cluster.ask(self.namespace(), question, None);
        drop(cluster);
        while let Some(heard) = answers.recv().await {
            match heard {
                Heard::Answer {
                    answer: sio_cluster::Answer::Sockets(sockets),
                    ..
                } => fetched.sockets.extend(sockets),
                Heard::Answer { .. } => {}
                Heard::Done(missing) => {
                    fetched.missing = missing;
                    break;
                }
            }
        }
        fetched
    }

    /// How many sockets are chosen. For a room, or for everybody, this does not depend on how many
    /// they are.
    ///
    /// ```
    /// # fn f(io: sio_server::Io) {
    /// let tea = io.to("tea");
    /// println!("{} drink tea: {:?}", tea.count(), tea.ids());
    /// # }
    /// ```
    pub fn count(&self) -> usize {
        self.with_place(|place| place.count(&self.selection))
            .unwrap_or(0)
    }

    /// The ids of the sockets chosen.
    pub fn ids(&self) -> Vec<String> {
        self.any_sockets()
            .iter()
            .map(|socket| socket.core().id.as_ref().to_owned())
            .collect()
    }

    /// The sockets chosen, with their data, rooms and handshakes: Node's `fetchSockets`.
    ///
    /// `D` is the type of their data, that is, of their namespace; sockets of another one are not
    /// among them.
    ///
    /// ```
    /// # struct User { name: String }
    /// # fn f(io: sio_server::Io) {
    /// for socket in io.of("/members").to("staff").sockets::<User>() {
    ///     println!("{} is in {:?}", socket.data().name, socket.rooms());
    /// }
    /// # }
    /// ```
    pub fn sockets<D: Send + Sync + 'static>(&self) -> Vec<Socket<D>> {
        let sockets = self.any_sockets().into_iter();
        sockets.filter_map(Socket::from_any).collect()
    }

    /// Makes the sockets chosen join a room, or several. Those of this node have joined when this returns;
    /// those of others, when what it returns has been awaited.
    ///
    /// ```
    /// # async fn f(io: sio_server::Io) {
    /// io.to("waiting").join("game").await; // Those of other nodes are in, too.
    /// io.to("waiting").leave("waiting").await;
    /// io.to("game").emit("begin", &());
    /// # }
    /// ```
    pub fn join(&self, rooms: impl RoomNames) -> Ordered {
        let join = |socket: &Arc<dyn AnySocket>| {
            rooms.each(&mut |room| {
                socket.core().join(room);
            });
        };
        self.order(join, |to| Message::Join {
            to,
            rooms: names(&rooms),
        })
    }

    /// Makes the sockets chosen leave a room, or several.
    pub fn leave(&self, rooms: impl RoomNames) -> Ordered {
        let leave = |socket: &Arc<dyn AnySocket>| {
            rooms.each(&mut |room| socket.core().leave_room(room));
        };
        self.order(leave, |to| Message::Leave {
            to,
            rooms: names(&rooms),
        })
    }

    /// Puts the sockets chosen out of the namespace.
    ///
    /// ```
    /// # fn f(io: sio_server::Io) {
    /// io.to("spammers").disconnect();
    /// # }
    /// ```
    pub fn disconnect(&self) -> Ordered {
        self.order(socket::remove, |to| Message::Disconnect {
            to,
            close: false,
        })
    }

    /// Closes the connections of the sockets chosen, with all their namespaces.
    ///
    /// ```
    /// # async fn f(io: sio_server::Io, stolen: &str) {
    /// io.to(stolen).disconnect_connections().await;
    /// # }
    /// ```
    pub fn disconnect_connections(&self) -> Ordered {
        let close = |socket: &Arc<dyn AnySocket>| {
            socket.core().conn.command(crate::conn::Command::Disconnect);
        };
        self.order(close, |to| Message::Disconnect { to, close: true })
    }

    /// The other nodes, if they are to hear of this: not of what is for one socket that is here, unless
    /// all that is emitted has one order.
    pub(crate) fn elsewhere(&self) -> Option<(Arc<Hub>, Arc<Cluster>)> {
        let hub = match &self.whence {
            Whence::Known(place) => place.hub()?,
            Whence::Named(address) => Arc::clone(address.hub()?),
        };
        let cluster = hub.cluster.clone().filter(|_| !self.local)?;
        if cluster.strict_order() {
            return Some((hub, cluster));
        }
        let mut rooms = self.selection.rooms();
        let alone = match (rooms.next(), rooms.next()) {
            (Some(id), None) => self.with_place(|place| place.is_alone(id)),
            _ => None,
        };
        (alone != Some(true)).then_some((hub, cluster))
    }

    /// Has something done to those who are chosen: here at once, unless it has to come in the order that
    /// all nodes share.
    fn order(
        &self,
        here: impl FnMut(&Arc<dyn AnySocket>),
        message: impl FnOnce(Selection) -> Message,
    ) -> Ordered {
        let elsewhere = self.elsewhere();
        let ordered = elsewhere
            .as_ref()
            .is_some_and(|(_, cluster)| cluster.strict_order());
        if !ordered {
            self.any_sockets().iter().for_each(here);
        }
        let Some((_, cluster)) = elsewhere else {
            return Ordered::here();
        };
        let message = message(self.selection.clone());
        let namespace = self.namespace();
        let queued = cluster.tell(namespace, message, WEIGHT_OF_ORDER);
        Ordered::elsewhere(cluster, namespace, queued.is_some())
    }

    /// Whether there was room for it.
    #[cold]
    fn send_elsewhere<T: Serialize + ?Sized>(
        &self,
        cluster: &Cluster,
        event: &str,
        payload: &T,
        reserved: &mut Option<Reserved>,
    ) -> Result<bool, WriteError> {
        let (data, weight) = sio_cluster::event(event, payload)?;
        let to = self.selection.clone();
        let flags = cluster::flags(self.mode, self.form, None);
        let emit = Message::Emit(Emit { to, data, flags });
        let seq = match reserved.take() {
            Some(reserved) => Some(cluster.tell_reserved(self.namespace(), emit, reserved)),
            None => cluster.tell(self.namespace(), emit, weight),
        };
        Ok(seq.is_some())
    }

    fn namespace(&self) -> &str {
        match &self.whence {
            Whence::Known(place) => place.name(),
            Whence::Named(address) => address.namespace(),
        }
    }

    fn any_sockets(&self) -> Vec<Arc<dyn AnySocket>> {
        self.with_place(|place| place.select(&self.selection))
            .unwrap_or_default()
    }

    /// `None` while there is no such namespace.
    fn with_place<R>(&self, f: impl FnOnce(&Arc<Place>) -> R) -> Option<R> {
        match &self.whence {
            Whence::Known(place) => Some(f(place)),
            Whence::Named(address) => Some(f(&address.place()?)),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("selection", &self.selection)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// How long other nodes may collect acks for us, if [`Config::ack_timeout`](crate::Config) is less.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// What an order to other nodes is taken to weigh while it waits, besides what every message does.
const WEIGHT_OF_ORDER: usize = 256;

fn names(rooms: &impl RoomNames) -> Vec<String> {
    let mut names = Vec::new();
    rooms.each(&mut |room| names.push(room.to_owned()));
    names
}

/// One room or several: a string, or a slice, array or vector of strings.
#[diagnostic::on_unimplemented(
    message = "`{Self}` names no room",
    note = "a room is named by a string, several by an array, a slice or a vector of strings"
)]
pub trait RoomNames {
    #[doc(hidden)]
    fn each(&self, f: &mut dyn FnMut(&str));
}

impl RoomNames for &str {
    fn each(&self, f: &mut dyn FnMut(&str)) {
        f(self);
    }
}

impl RoomNames for &&str {
    fn each(&self, f: &mut dyn FnMut(&str)) {
        f(self);
    }
}

impl RoomNames for String {
    fn each(&self, f: &mut dyn FnMut(&str)) {
        f(self);
    }
}

impl RoomNames for &String {
    fn each(&self, f: &mut dyn FnMut(&str)) {
        f(self);
    }
}

impl<T: AsRef<str>, const N: usize> RoomNames for [T; N] {
    fn each(&self, f: &mut dyn FnMut(&str)) {
        self.iter().for_each(|room| f(room.as_ref()));
    }
}

impl<T: AsRef<str>> RoomNames for &[T] {
    fn each(&self, f: &mut dyn FnMut(&str)) {
        self.iter().for_each(|room| f(room.as_ref()));
    }
}

impl<T: AsRef<str>> RoomNames for Vec<T> {
    fn each(&self, f: &mut dyn FnMut(&str)) {
        self.iter().for_each(|room| f(room.as_ref()));
    }
}

impl<T: AsRef<str>> RoomNames for &Vec<T> {
    fn each(&self, f: &mut dyn FnMut(&str)) {
        self.iter().for_each(|room| f(room.as_ref()));
    }
}
