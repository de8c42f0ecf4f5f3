//! What a node has others do, and what it tells: its actions and events, and what they speak of.

use std::time::Duration;

use crate::{
    DecodeError,
    adapter::Entry,
    census::Change,
    message::{Answer, Emit, Message, Publish, Question},
    pending::Request,
    session::Session,
    streams::EntryId,
};

/// Something for the bus to do, in this order.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Action {
    /// Add an entry to a stream, which is kept to about so many.
    Append {
        /// The stream.
        stream: String,
        /// The entry.
        entry: Entry,
        /// How many entries are kept.
        max_len: u64,
    },
    /// Say how many subscribe to a channel, by [`Node::handle_count`](crate::Node::handle_count).
    Count {
        /// The channel.
        channel: String,
        /// For which request.
        request: Request,
    },
    /// Say how many subscribe to a channel of a shard, likewise.
    CountShard {
        /// The channel.
        channel: String,
        /// For which request.
        request: Request,
    },
    /// Read a stream, from its end on as it is now, and from where that was whenever the broker comes
    /// back: [`Node::handle_entry`](crate::Node::handle_entry).
    Follow(String),
    /// Delete a key.
    Forget(String),
    /// Write a key, until so much time has passed.
    Keep {
        /// The key.
        key: String,
        /// What is written.
        value: String,
        /// For how long.
        lasts: Duration,
    },
    /// Publish a message.
    Publish(Publish),
    /// Publish a message on a channel of a shard.
    PublishShard(Publish),
    /// Read what is on a stream after an entry, by [`Node::handle_range`](crate::Node::handle_range).
    Range {
        /// The stream.
        stream: String,
        /// The entry.
        after: EntryId,
        /// For which request.
        request: Request,
    },
    /// Subscribe to a channel, from now on and whenever the broker comes back.
    Subscribe(String),
    /// Subscribe to a pattern of channels, likewise.
    SubscribePattern(String),
    /// Subscribe to a channel of a shard, likewise.
    SubscribeShard(String),
    /// Read a key and delete it, in one step, by [`Node::handle_taken`](crate::Node::handle_taken).
    Take {
        /// The key.
        key: String,
        /// For which request.
        request: Request,
    },
    /// End a subscription to a channel.
    Unsubscribe(String),
    /// End a subscription to a pattern.
    UnsubscribePattern(String),
    /// End a subscription to a channel of a shard.
    UnsubscribeShard(String),
}

/// Something for the server to do or to know.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Another node answered a question of ours.
    Answered {
        /// Which question.
        request: Request,
        /// Who, if it says so: our own nodes do.
        from: Option<String>,
        /// What.
        answer: Answer,
    },
    /// A question to be answered by [`Node::answer`](crate::Node::answer): at once, but for acks.
    Asked {
        /// The namespace.
        namespace: String,
        /// What is asked.
        question: Question,
        /// To whom the answer goes.
        reply: Reply,
    },
    /// The sockets of other nodes, or the nodes of which they are [known](crate::Node::uncounted), have changed.
    Counted(Vec<Change>),
    /// A question of ours has all its answers, or its time is over.
    Done {
        /// Which question.
        request: Request,
        /// Who has not answered.
        missing: Missing,
    },
    /// What [`Node::doors`](crate::Node::doors) tells has changed. It changes, too, when a peer leaves.
    Doors,
    /// The broker was away: what others published meanwhile has been lost.
    Gap {
        /// For how long.
        lasted: Duration,
    },
    /// Another node has the client of a session of ours: its connection here is to be closed, and
    /// [`Node::lets_go`](crate::Node::lets_go) told what there was of it.
    LetGo {
        /// Which session.
        pid: String,
        /// To whom the answer goes.
        reply: Reply,
    },
    /// What [`Node::missed`](crate::Node::missed) was asked: the packets in their order; `None` if it cannot be told.
    Missed {
        /// Which request.
        request: Request,
        /// The packets.
        packets: Option<Vec<Past>>,
    },
    /// An entry of this node was read back from a stream.
    Own {
        /// The namespace.
        namespace: String,
        /// Where it stands.
        at: At,
    },
    /// A node of ours has come.
    PeerJoined(String),
    /// A node of ours has gone, or has said nothing for too long.
    PeerLeft(String),
    /// What has changed since this was said last is to be counted, for [`Node::counted`](crate::Node::counted).
    Recount,
    /// A message was skipped.
    Refused {
        /// Where it came from.
        channel: String,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// A session that was taken from a node which was not there, and is back, is to be
    /// [written](crate::Node::keep) again if it is still here: that node may have written of it, too.
    Rewrite {
        /// Which session.
        pid: String,
    },
    /// What [`Node::take`](crate::Node::take) was asked: the session, which is nobody else's any more; `None` if there is
    /// none, or whoever has it does not let go.
    Taken {
        /// Which request.
        request: Request,
        /// The session.
        session: Option<Box<Session>>,
    },
    /// Something to be done for local clients: a packet, rooms to join or leave, a disconnect, an
    /// event for the node itself.
    Told {
        /// The namespace.
        namespace: String,
        /// What.
        message: Message,
        /// Where on its stream it stood, if it came by one.
        at: Option<At>,
    },
    /// A stream was cut short before it was read to its end: entries that were cut off have been lost.
    Trimmed {
        /// The stream.
        stream: String,
    },
}

/// Where on a stream an entry stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct At {
    /// Its id.
    pub id: EntryId,
    /// Its number among those of its sender, if that is a node of ours.
    pub seq: Option<u64>,
    /// Its sender.
    pub uid: String,
}

/// A packet of the past.
#[derive(Clone, Debug, PartialEq)]
pub struct Past {
    /// Where it stands on its stream.
    pub at: At,
    /// The packet.
    pub emit: Emit,
}

/// To whom an answer goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply {
    pub(super) namespace: String,
    pub(super) request: String,
    pub(super) by: By,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum By {
    /// A node, by name; the classic adapter has no use for that.
    Node(Option<String>),
    Python {
        format: usize,
        host_id: String,
    },
}

/// Who has not answered a question.
///
/// ```
/// use sio_cluster::Missing;
///
/// let mut missing = Missing::default();
/// assert!(missing.is_nobody());
/// missing.nodes.push("h3Jk9Q".into());
/// assert!(!missing.is_nobody());
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Missing {
    /// Clients of nodes that answered whose acks did not come.
    pub acks: u64,
    /// Nodes of ours, by name.
    pub nodes: Vec<String>,
    /// Whether it could not be learned how many nodes there are, as while the broker is away.
    pub uncounted: bool,
    /// How many other nodes: those of other languages have no names.
    pub unnamed: usize,
}

impl Missing {
    /// Whether everybody has answered.
    pub fn is_nobody(&self) -> bool {
        self.acks == 0 && self.nodes.is_empty() && self.unnamed == 0 && !self.uncounted
    }
}
