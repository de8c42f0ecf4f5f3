//! The other nodes, as the rest of the server sees them: a queue to the task that speaks with them.
//!
//! Nothing here waits and nothing here depends on the broker. A server without a cluster has no queue,
//! and asks one `Option` per emit.

use std::{
    collections::HashMap,
    future::poll_fn,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use sio_cluster::{
    Answer, Broker, DecodeError, EntryId, Flags, Format, Message, Node, Past, Question, Reply,
    Room, Session,
};
use sio_packet::{Args, Arguments, Attachments, Limits, Packet, Value};
use tokio::sync::{mpsc, oneshot};

use crate::{
    clock, config,
    conn::{Form, Mode},
    entropy,
    error::{CallError, StartError},
    forward::Neighbours,
    hearing::{Ear, Hearing, hearing},
    hub::Hub,
    member,
    nodes::Errands,
    panic::contain,
    population::Others,
};

/// The queue to the cluster.
pub(crate) struct Cluster {
    commands: mpsc::UnboundedSender<Command>,
    /// What answers to one question may weigh together.
    max_answer_bytes: usize,
    /// Bytes that wait in the queue, as far as payloads go.
    queued: Arc<AtomicUsize>,
    /// In how many formats a message is written.
    formats: usize,
    /// What the bus has room for; what is queued will be there next.
    room: Option<Arc<dyn Room>>,
    lost: AtomicU64,
    /// Messages that were told so far, each of which has a number.
    told: AtomicU64,
    /// What other nodes call this one.
    uid: Box<str>,
    /// Whether they can take up its sessions.
    shares_sessions: bool,
    /// How far streams have been read.
    read: Mutex<HashMap<String, EntryId>>,
    format: Format,
    /// Whether the node has to hear which rooms have members.
    listens_to_rooms: bool,
    /// Whether nodes tell each other how many sockets are in their rooms, and what others have told.
    counts: bool,
    others: Others,
    /// Whether clients here, too, hear by way of the broker what this node says.
    strict_order: bool,
    status: Mutex<ClusterStatus>,
    /// Where requests for their sessions are handed on.
    pub(crate) neighbours: Option<Neighbours>,
}

/// How it stands with the other nodes: for a readiness probe, and for looking after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterStatus {
    /// How often something that others said was lost to this node, since the start: it was away from a
    /// broker that keeps nothing, or a stream was cut short before it was read.
    pub gaps: u64,
    /// Messages of ours that the others did not hear, since the start.
    pub lost: u64,
    /// The name that this node has for the others.
    pub name: String,
    /// The names of the other nodes of ours that live. Those of other languages have none.
    pub peers: Vec<String>,
    /// Messages from the broker that could not be read and were skipped, since the start.
    pub refused: u64,
    /// Whether the broker is there.
    pub up: bool,
}

/// What happens between this node and the others, see [`Server::on_cluster`](crate::Server::on_cluster).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ClusterEvent {
    /// The broker cannot be reached, or does not do what it is asked. Said once, until it is back.
    BrokerDown {
        /// Why, in the broker's words or the system's.
        reason: String,
    },
    /// The broker is there, and other nodes are heard.
    BrokerUp,
    /// What other nodes said for so long has been lost: publish and subscribe keeps nothing. Comes
    /// before the [`BrokerUp`](Self::BrokerUp) that ends it.
    Gap {
        /// How long nothing was heard.
        lasted: Duration,
    },
    /// Messages of this node that the others will not hear.
    Lost {
        /// How many.
        messages: u64,
    },
    /// Another node of ours has come.
    NodeJoined {
        /// Its name.
        name: String,
    },
    /// Another node of ours has gone, or has said nothing for ten seconds.
    NodeLeft {
        /// Its name.
        name: String,
    },
    /// A message from the broker could not be read.
    Skipped {
        /// The channel it came by.
        channel: String,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// A stream was cut short before it was read to its end: what was cut off has been lost.
    Trimmed {
        /// The stream.
        stream: String,
    },
}

pub(crate) type Watch = Arc<dyn Fn(&ClusterEvent) + Send + Sync>;

/// What the application does on the cluster's account.
pub(crate) struct Application {
    pub(crate) errands: Errands,
    pub(crate) watch: Option<Watch>,
    /// The runtime that it does so on.
    pub(crate) runtime: tokio::runtime::Handle,
}

impl Application {
    pub(crate) fn tell(&self, event: &ClusterEvent) {
        if let Some(watch) = &self.watch {
            let _entered = self.runtime.enter();
            contain("a look at the cluster", || watch(event));
        }
    }
}

/// Bytes that may wait between the emitters and the cluster's task.
const MAX_QUEUED: usize = 8 * 1024 * 1024;

/// What a message weighs besides its event, in each format: its channel, whom it is for, and what it takes
/// to keep it. So it hardly ever finds no room when it is encoded.
const OVERHEAD: usize = 512;

/// What the server wants of the cluster.
pub(crate) enum Command {
    Answer {
        reply: Reply,
        answer: Answer,
    },
    Ask {
        namespace: Box<str>,
        question: Question,
        timeout: Option<Duration>,
        heard: Ear,
    },
    Close(Box<str>),
    ForgetSession(Box<str>),
    Keep {
        session: Box<Session>,
        lasts: Duration,
    },
    LetsGo {
        reply: Reply,
        session: Option<Box<Session>>,
    },
    Missed {
        namespace: Box<str>,
        after: EntryId,
        missed: oneshot::Sender<Option<Vec<Past>>>,
    },
    Take {
        pid: Box<str>,
        taken: oneshot::Sender<Option<Box<Session>>>,
    },
    /// The last member of a room in one part of a namespace has left it.
    CloseRoom(Box<str>, Box<str>),
    Open(Box<str>),
    /// How many sockets there are somewhere has changed.
    Recount,
    /// A room has its first member in one part of a namespace.
    OpenRoom(Box<str>, Box<str>),
    Tell {
        namespace: Box<str>,
        seq: u64,
        message: Message,
        weight: usize,
    },
}

/// What the cluster's task is made of, before the hub is there.
pub(crate) struct Start {
    runtime: tokio::runtime::Runtime,
    node: Node,
    bus: Box<dyn sio_cluster::Bus>,
    commands: mpsc::UnboundedReceiver<Command>,
    watch: Option<Watch>,
    /// The runtime that the server is started on, where it is started on one.
    callers: Option<tokio::runtime::Handle>,
}

impl Cluster {
    /// Begins to connect.
    pub(crate) fn new(
        broker: &dyn Broker,
        watch: Option<Watch>,
        settings: &config::Config,
    ) -> Result<(Arc<Self>, Start), StartError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| StartError::Cluster(error.to_string()))?;
        let entered = runtime.enter();
        let connected = broker.connect();
        drop(entered);
        let bus = match connected {
            Ok(bus) => bus,
            Err(error) => {
                // A runtime may not simply be dropped where tasks run, as here.
                runtime.shutdown_background();
                return Err(StartError::Cluster(error.to_string()));
            }
        };
        let mut config = broker.node();
        let neighbours = settings.reached_at.as_deref().map(|address| {
            let neighbours = Neighbours::new();
            config.door = Some(neighbours.door(address));
            neighbours
        });
        let format = config.format.clone();
        let listens_to_rooms = config.format.listens_to_rooms();
        let counts = config.census.is_some();
        let strict_order = config.strict_order;
        let room = bus.room();
        let formats = 1 + config.python.len();
        let node = Node::new(config, entropy::bytes(), clock::now());
        let (sender, commands) = mpsc::unbounded_channel();
        let cluster = Arc::new(Self {
            commands: sender,
            max_answer_bytes: settings.max_answer_bytes,
            queued: Arc::default(),
            formats,
            room,
            lost: AtomicU64::new(0),
            told: AtomicU64::new(0),
            uid: node.uid().into(),
            shares_sessions: node.shares_sessions(),
            read: Mutex::default(),
            format,
            listens_to_rooms,
            counts,
            others: Others::default(),
            strict_order,
            status: Mutex::new(ClusterStatus {
                name: node.uid().to_owned(),
                ..ClusterStatus::default()
            }),
            neighbours,
        });
        let start = Start {
            runtime,
            node,
            bus,
            commands,
            watch,
            callers: tokio::runtime::Handle::try_current().ok(),
        };
        Ok((cluster, start))
    }

    /// Bytes that wait are counted where they are taken, too.
    pub(crate) fn queued(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.queued)
    }

    pub(crate) fn status(&self) -> ClusterStatus {
        let mut status = self.lock().clone();
        status.lost += self.lost.load(Ordering::Relaxed);
        status
    }

    pub(crate) fn update(&self, f: impl FnOnce(&mut ClusterStatus)) {
        f(&mut self.lock());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ClusterStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn listens_to_rooms(&self) -> bool {
        self.listens_to_rooms
    }

    pub(crate) fn counts(&self) -> bool {
        self.counts
    }

    pub(crate) fn strict_order(&self) -> bool {
        self.strict_order
    }

    pub(crate) fn others(&self) -> &Others {
        &self.others
    }

    pub(crate) fn send(&self, command: Command) {
        // The task ends with the hub, and so with everybody who could send.
        let _ = self.commands.send(command);
    }

    /// What other nodes call this one.
    pub(crate) fn uid(&self) -> &str {
        &self.uid
    }

    /// Whether other nodes can take up sessions of this one.
    pub(crate) fn shares_sessions(&self) -> bool {
        self.shares_sessions
    }

    /// A stream has been read up to an entry.
    pub(crate) fn set_read(&self, stream: &str, id: EntryId) {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        match read.get_mut(stream) {
            Some(last) => *last = id.max(*last),
            None => {
                read.insert(stream.into(), id);
            }
        }
    }

    /// How far the stream of a namespace has been read, once that is known.
    pub(crate) fn read_of(&self, namespace: &str) -> Option<EntryId> {
        let Format::Streams(streams) = &self.format else {
            return None;
        };
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.get(&streams.of(namespace)).copied()
    }

    /// Takes a session from whoever has it.
    pub(crate) async fn take(&self, pid: &str) -> Option<Box<Session>> {
        let (taken, session) = oneshot::channel();
        let pid = pid.into();
        self.send(Command::Take { pid, taken });
        session.await.ok()?
    }

    /// The packets of a namespace that came after an entry of its stream; `None` if they are not all
    /// there. What was told before this is asked is among them.
    pub(crate) async fn missed(&self, namespace: &str, after: EntryId) -> Option<Vec<Past>> {
        let (missed, packets) = oneshot::channel();
        let namespace = namespace.into();
        self.send(Command::Missed {
            namespace,
            after,
            missed,
        });
        packets.await.ok()?
    }

    /// Tells the other nodes, unless too much waits for that already: the number of the message.
    pub(crate) fn tell(&self, namespace: &str, message: Message, weight: usize) -> Option<u64> {
        let Some(place) = self.reserve(weight) else {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        Some(self.tell_reserved(namespace, message, place))
    }

    /// Room for a message, unless too much waits already.
    pub(crate) fn reserve(&self, weight: usize) -> Option<Reserved> {
        let weight = self.formats * (weight + OVERHEAD);
        let fits = |queued: usize| {
            let bytes = queued + weight;
            let fits = match &self.room {
                Some(room) => room.has_room(bytes),
                None => bytes <= MAX_QUEUED,
            };
            fits.then_some(bytes)
        };
        let order = Ordering::Relaxed;
        self.queued.fetch_update(order, order, fits).ok()?;
        let queued = Arc::clone(&self.queued);
        Some(Reserved { queued, weight })
    }

    /// Room for a message, as soon as there is some and the broker has not been away for too long.
    pub(crate) async fn reserve_when_ready(&self, weight: usize) -> Reserved {
        loop {
            if let Some(room) = &self.room {
                let weight = self.formats * (weight + OVERHEAD);
                let bytes = || self.queued.load(Ordering::Relaxed) + weight;
                poll_fn(|cx| room.poll_room(bytes(), cx)).await;
            }
            match self.reserve(weight) {
                Some(reserved) => return reserved,
                // Somebody was quicker; what is queued leaves in a moment, for the bus or the broker.
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }

    /// Tells the other nodes what there is room for: the number of the message.
    pub(crate) fn tell_reserved(
        &self,
        namespace: &str,
        message: Message,
        reserved: Reserved,
    ) -> u64 {
        let weight = reserved.keep();
        let seq = self.told.fetch_add(1, Ordering::Relaxed) + 1;
        self.send(Command::Tell {
            namespace: namespace.into(),
            seq,
            message,
            weight,
        });
        seq
    }

    /// Asks the other nodes; what comes of it ends with [`Heard::Done`].
    pub(crate) fn ask(
        &self,
        namespace: &str,
        question: Question,
        timeout: Option<Duration>,
    ) -> Hearing {
        let (heard, answers) = hearing(self.max_answer_bytes);
        self.send(Command::Ask {
            namespace: namespace.into(),
            question,
            timeout,
            heard,
        });
        answers
    }
}

/// Room for a message to other nodes, given back unless it is used.
pub(crate) struct Reserved {
    queued: Arc<AtomicUsize>,
    weight: usize,
}

impl Reserved {
    /// The message is on its way: who takes it gives the room back.
    fn keep(mut self) -> usize {
        std::mem::take(&mut self.weight)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.queued.fetch_sub(self.weight, Ordering::Relaxed);
    }
}

impl Start {
    /// Runs the task on a thread of its own, so that whatever a broker sends costs the shards
    /// nothing but what it is for.
    pub(crate) fn run(self, hub: Weak<Hub>, cluster: &Arc<Cluster>) -> Result<(), StartError> {
        let Self {
            runtime,
            node,
            bus,
            commands,
            watch,
            callers,
        } = self;
        let queued = cluster.queued();
        thread::Builder::new()
            .name("sio-cluster".into())
            .spawn(move || {
                let handle = callers.unwrap_or_else(|| runtime.handle().clone());
                let application = Application {
                    errands: Errands::new(&handle),
                    watch,
                    runtime: handle,
                };
                runtime.block_on(member::run(hub, node, bus, commands, queued, application));
                runtime.shutdown_timeout(Duration::from_millis(100));
            })
            .map_err(|error| StartError::Cluster(error.to_string()))?;
        Ok(())
    }
}

/// Values as an `R`: written as an ack would be, and read as one.
pub(crate) fn read<R: DeserializeOwned>(args: Vec<Value>) -> Result<R, CallError> {
    let (mut text, mut attachments) = (Vec::new(), Attachments::new());
    sio_packet::write_ack(&mut text, "/", 0, &Arguments(args), &mut attachments)?;
    let limits = Limits {
        max_attachments: usize::MAX,
        ..Limits::default()
    };
    let text = String::from_utf8_lossy(&text);
    let mut bytes: Vec<_> = attachments.iter().map(Bytes::copy_from_slice).collect();
    let data = Packet::parse(&text, &limits).map_or("[]", |packet| packet.data);
    Args::ack(data, &mut bytes)
        .read()
        .map_err(CallError::Answer)
}

/// How a packet was to be sent, as other nodes are told it.
pub(crate) fn flags(mode: Mode, form: Form, timeout: Option<Duration>) -> Flags {
    let mut flags = Flags::default();
    flags.volatile = mode == Mode::Volatile;
    flags.compress = (form == Form::AsItIs).then_some(false);
    flags.timeout = timeout;
    flags
}
