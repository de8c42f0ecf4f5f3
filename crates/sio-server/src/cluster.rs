//! The other nodes, as the rest of the server sees them: a queue to the task that speaks with them.
//!
//! Nothing here waits and nothing here depends on the broker. A server without a cluster has no queue,
//! and asks one `Option` per emit.

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use serde::Serialize;
use sio_cluster::{Answer, Broker, Flags, Message, Missing, Node, Question, Reply};
use sio_packet::{Args, Arguments, Attachments, Limits, Packet, Value, WriteError};
use tokio::sync::mpsc;

use crate::{
    clock,
    conn::{Form, Mode},
    entropy,
    error::StartError,
    hub::Hub,
    member,
};

/// The queue to the cluster.
pub(crate) struct Cluster {
    commands: mpsc::UnboundedSender<Command>,
    /// Bytes that wait in the queue, as far as payloads go.
    queued: Arc<AtomicUsize>,
    lost: AtomicU64,
    /// Messages that were told so far, each of which has a number.
    told: AtomicU64,
    /// Whether the node has to hear which rooms have members.
    listens_to_rooms: bool,
    status: Mutex<ClusterStatus>,
}

/// How it stands with the other nodes: for a readiness probe, and for looking after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterStatus {
    /// Messages of ours that the others did not hear, since the start.
    pub lost: u64,
    /// The names of the other nodes of ours that live. Those of other languages have none.
    pub peers: Vec<String>,
    /// Messages from the broker that could not be read and were skipped, since the start.
    pub refused: u64,
    /// Whether the broker is there.
    pub up: bool,
}

/// Bytes that may wait between the emitters and the cluster's task.
const MAX_QUEUED: usize = 8 * 1024 * 1024;

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
        heard: mpsc::UnboundedSender<Heard>,
    },
    Close(Box<str>),
    /// The last member of a room in one part of a namespace has left it.
    CloseRoom(Box<str>, Box<str>),
    Open(Box<str>),
    /// A room has its first member in one part of a namespace.
    OpenRoom(Box<str>, Box<str>),
    Tell {
        namespace: Box<str>,
        seq: u64,
        message: Message,
        weight: usize,
    },
}

/// What comes of a question.
#[derive(Debug)]
pub(crate) enum Heard {
    Answer(Answer),
    Done(Missing),
}

/// What the cluster's task is made of, before the hub is there.
pub(crate) struct Start {
    runtime: tokio::runtime::Runtime,
    node: Node,
    bus: Box<dyn sio_cluster::Bus>,
    commands: mpsc::UnboundedReceiver<Command>,
}

impl Cluster {
    /// Begins to connect.
    pub(crate) fn new(broker: &dyn Broker) -> Result<(Arc<Self>, Start), StartError> {
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
        let config = broker.node();
        let listens_to_rooms = config.format.listens_to_rooms();
        let node = Node::new(config, entropy::bytes(), clock::now());
        let (sender, commands) = mpsc::unbounded_channel();
        let cluster = Arc::new(Self {
            commands: sender,
            queued: Arc::default(),
            lost: AtomicU64::new(0),
            told: AtomicU64::new(0),
            listens_to_rooms,
            status: Mutex::default(),
        });
        let start = Start {
            runtime,
            node,
            bus,
            commands,
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

    pub(crate) fn send(&self, command: Command) {
        // The task ends with the hub, and so with everybody who could send.
        let _ = self.commands.send(command);
    }

    pub(crate) fn tell(&self, namespace: &str, message: Message, weight: usize) {
        if self.queued.load(Ordering::Relaxed) + weight > MAX_QUEUED {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.queued.fetch_add(weight, Ordering::Relaxed);
        self.send(Command::Tell {
            namespace: namespace.into(),
            seq: self.told.fetch_add(1, Ordering::Relaxed) + 1,
            message,
            weight,
        });
    }

    /// Asks the other nodes; what comes of it ends with [`Heard::Done`].
    pub(crate) fn ask(
        &self,
        namespace: &str,
        question: Question,
        timeout: Option<Duration>,
    ) -> mpsc::UnboundedReceiver<Heard> {
        let (heard, answers) = mpsc::unbounded_channel();
        self.send(Command::Ask {
            namespace: namespace.into(),
            question,
            timeout,
            heard,
        });
        answers
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
        } = self;
        let queued = cluster.queued();
        thread::Builder::new()
            .name("sio-cluster".into())
            .spawn(move || {
                runtime.block_on(member::run(hub, node, bus, commands, queued));
                runtime.shutdown_timeout(Duration::from_millis(100));
            })
            .map_err(|error| StartError::Cluster(error.to_string()))?;
        Ok(())
    }
}

/// An event and its arguments as values, and what they weigh: what other nodes are sent.
pub(crate) fn values<T: Serialize + ?Sized>(
    event: &str,
    args: &T,
) -> Result<(Vec<Value>, usize), WriteError> {
    let (mut text, mut attachments) = (Vec::new(), Attachments::new());
    sio_packet::write_event(&mut text, "/", None, event, args, &mut attachments)?;
    let weight = text.len() + attachments.iter().map(<[u8]>::len).sum::<usize>();
    // Our own writer's text, read under no limits but its own.
    let limits = Limits {
        max_attachments: usize::MAX,
        max_event_name: usize::MAX,
        ..Limits::default()
    };
    let text = String::from_utf8_lossy(&text);
    let mut bytes: Vec<_> = attachments.iter().map(Bytes::copy_from_slice).collect();
    let mut data = vec![Value::from(event)];
    if let Ok(packet) = Packet::parse(&text, &limits)
        && let Ok((_, rest)) = packet.event(&limits)
        && let Ok(Arguments(args)) = Args::event(rest, &mut bytes).read()
    {
        data.extend(args);
    }
    Ok((data, weight))
}

/// How a packet was to be sent, as other nodes are told it.
pub(crate) fn flags(mode: Mode, form: Form, timeout: Option<Duration>) -> Flags {
    let mut flags = Flags::default();
    flags.volatile = mode == Mode::Volatile;
    flags.compress = (form == Form::AsItIs).then_some(false);
    flags.timeout = timeout;
    flags
}
