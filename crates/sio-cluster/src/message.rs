//! What nodes say to one another, whatever the format: the vocabulary of every codec here.

use std::time::Duration;

use sio_packet::Value;
use sio_rooms::Selection;

/// A message with its sender and its namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// The id by which the sender calls itself; commands of Node's emitter have none.
    pub from: Option<String>,
    /// The namespace, slash included; not said in some answers, which are found by their request.
    pub namespace: Option<String>,
    /// What is said.
    pub message: Message,
}

/// What one node says to the others.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Message {
    /// The answer to a question, for whoever asked it.
    Answer {
        /// What the question was called.
        request: String,
        /// What is answered.
        answer: Answer,
    },
    /// Something all nodes are to answer.
    Ask {
        /// What answers are to call it.
        request: String,
        /// What is asked.
        question: Question,
    },
    /// The sender goes; `ADAPTER_CLOSE`.
    Close,
    /// Clients are to be disconnected from the namespace.
    Disconnect {
        /// Whose.
        to: Selection,
        /// Whether from the server altogether.
        close: bool,
    },
    /// A packet for clients.
    Emit(Emit),
    /// The sender lives; `HEARTBEAT`.
    Heartbeat,
    /// The sender is new, and wants everybody's heartbeat; `INITIAL_HEARTBEAT`.
    Hello,
    /// Clients join rooms.
    Join {
        /// Which clients.
        to: Selection,
        /// Which rooms.
        rooms: Vec<String>,
    },
    /// Clients leave rooms.
    Leave {
        /// Which clients.
        to: Selection,
        /// Which rooms.
        rooms: Vec<String>,
    },
    /// An event for the nodes themselves; its name comes first.
    ServerEmit(Vec<Value>),
}

/// What wants an answer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Question {
    /// An older form of [`Message::Disconnect`] that wants to hear when it is done.
    Disconnect {
        /// Whose.
        to: Selection,
        /// Whether from the server altogether.
        close: bool,
    },
    /// A packet whose acks are wanted: one [`Answer::Clients`], then one [`Answer::Ack`] a client.
    Emit(Emit),
    /// The clients and what is known of them: [`Answer::Sockets`].
    Fetch(Selection),
    /// An older form of [`Message::Join`] that wants to hear when it is done.
    Join {
        /// Which clients.
        to: Selection,
        /// Which rooms.
        rooms: Vec<String>,
    },
    /// An older form of [`Message::Leave`] that wants to hear when it is done.
    Leave {
        /// Which clients.
        to: Selection,
        /// Which rooms.
        rooms: Vec<String>,
    },
    /// All rooms that have a member: [`Answer::Rooms`].
    Rooms,
    /// An event for the nodes themselves that each answers with one value: [`Answer::ServerAck`].
    ServerEmit(Vec<Value>),
    /// Nothing but an answer, which comes when all that was said before has been done. In every format
    /// it is a [`Fetch`](Self::Fetch) of nobody, and goes the way of orders.
    Settled,
    /// The ids of the clients: [`Answer::SocketIds`].
    SocketIds(Selection),
}

/// What is answered.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Answer {
    /// One client's ack: its arguments, of which Node's formats carry the first alone.
    Ack(Vec<Value>),
    /// How many clients of the node will be waited for.
    Clients(u64),
    /// The node has no handler of the event, or its handler failed. Only nodes of ours say so.
    Declined,
    /// It is done.
    Done,
    /// The rooms of the node.
    Rooms(Vec<String>),
    /// What the node's handler answered.
    ServerAck(Value),
    /// The clients' ids.
    SocketIds(Vec<String>),
    /// The clients.
    Sockets(Vec<RemoteSocket>),
}

impl Answer {
    /// What it weighs in memory, about: for a bound on answers that are kept.
    pub fn weight(&self) -> usize {
        let texts = |list: &[String]| list.iter().map(|text| weight_of_text(text)).sum();
        match self {
            Self::Ack(args) => args.iter().map(weight_of).sum(),
            Self::Clients(_) | Self::Declined | Self::Done => 0,
            Self::Rooms(list) | Self::SocketIds(list) => texts(list),
            Self::ServerAck(value) => weight_of(value),
            Self::Sockets(sockets) => sockets
                .iter()
                .map(|socket| {
                    size_of::<RemoteSocket>()
                        + socket.id.len()
                        + weight_of(&socket.handshake)
                        + texts(&socket.rooms)
                        + weight_of(&socket.data)
                })
                .sum(),
        }
    }
}

fn weight_of_text(text: &str) -> usize {
    size_of::<String>() + text.len()
}

fn weight_of(value: &Value) -> usize {
    let within: usize = match value {
        Value::Array(list) => list.iter().map(weight_of).sum(),
        Value::Binary(bytes) => bytes.len(),
        Value::Object(object) => {
            let members = object.iter();
            members
                .map(|(name, value)| weight_of_text(name) + weight_of(value))
                .sum()
        }
        Value::String(text) => text.len(),
        _ => 0,
    };
    size_of::<Value>() + within
}

/// A packet for clients.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Emit {
    /// For whom.
    pub to: Selection,
    /// The event's name, then the arguments.
    pub data: Vec<Value>,
    /// How.
    pub flags: Flags,
}

/// How a packet is to be sent.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Flags {
    /// Whether it is worth compressing, if the sender has said so.
    pub compress: Option<bool>,
    /// How long acks are waited for, to the millisecond.
    pub timeout: Option<Duration>,
    /// Whether it may be left out for clients that are not ready to take it.
    pub volatile: bool,
}

/// A client of another node, as it was when the node answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RemoteSocket {
    /// The socket's id.
    pub id: String,
    /// What the client said when it came: `headers`, `time`, `address`, `query`, `auth` and others.
    pub handshake: Value,
    /// Its rooms; with Node, its id is among them.
    pub rooms: Vec<String>,
    /// What the application keeps with it.
    pub data: Value,
}

/// Something for the broker to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Publish {
    /// The channel.
    pub channel: String,
    /// The bytes.
    pub body: Vec<u8>,
}
