//! How nodes speak with Node's: one of the three adapters that Node has for Redis.

use crate::{
    Action, Answer, Classic, DecodeError, Envelope, Message, Publish, Request, RoomChannels,
    Sharded, ShardedPubSub, Streams,
};

/// The adapter whose words a node speaks. All nodes of a cluster speak the same.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Format {
    /// `@socket.io/redis-adapter`, `createAdapter`.
    Classic(Classic),
    /// `@socket.io/redis-adapter`, `createShardedAdapter`.
    Sharded(ShardedPubSub),
    /// `@socket.io/redis-streams-adapter`.
    Streams(Streams),
}

impl Default for Format {
    fn default() -> Self {
        Self::Classic(Classic::default())
    }
}

/// What comes by a subscription.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Heard {
    /// Anything of a cluster adapter's.
    Any(String),
    /// Packets of the classic adapter.
    Packets(String),
    /// Questions and orders of the classic adapter.
    Requests(String),
    /// Answers of the classic adapter.
    Responses,
}

/// A subscription that a namespace takes.
pub(crate) enum Subscription {
    Channel(String),
    Pattern(String),
    Shard(String),
}

impl Subscription {
    pub(crate) fn name(&self) -> &str {
        let (Self::Channel(name) | Self::Pattern(name) | Self::Shard(name)) = self;
        name
    }

    pub(crate) fn begin(self) -> Action {
        match self {
            Self::Channel(name) => Action::Subscribe(name),
            Self::Pattern(name) => Action::SubscribePattern(name),
            Self::Shard(name) => Action::SubscribeShard(name),
        }
    }

    pub(crate) fn end(self) -> Action {
        match self {
            Self::Channel(name) => Action::Unsubscribe(name),
            Self::Pattern(name) => Action::UnsubscribePattern(name),
            Self::Shard(name) => Action::UnsubscribeShard(name),
        }
    }
}

impl Format {
    /// The channel on which nodes of ours say to one another that they live. Nobody else listens.
    pub(crate) fn nodes(&self) -> String {
        match self {
            Self::Classic(classic) => classic.nodes(),
            Self::Sharded(sharded) => format!("{}-nodes#", sharded.prefix),
            Self::Streams(streams) => format!("{}-nodes#", streams.prefix),
        }
    }

    /// Whether a node has to be told which rooms have members here.
    pub fn listens_to_rooms(&self) -> bool {
        match self {
            Self::Sharded(sharded) => sharded.rooms != RoomChannels::Static,
            _ => false,
        }
    }

    /// Whether sessions can be taken up by other nodes.
    pub fn shares_sessions(&self) -> bool {
        matches!(self, Self::Streams(_))
    }

    /// The streams that are read.
    pub(crate) fn streams(&self) -> Vec<String> {
        match self {
            Self::Streams(streams) => streams.names(),
            _ => Vec::new(),
        }
    }

    /// What a node hears of a namespace, in the order in which it subscribes: whoever is counted by
    /// the last one hears everything else.
    pub(crate) fn subscriptions(&self, namespace: &str, uid: &str) -> Vec<(Subscription, Heard)> {
        let any = || Heard::Any(namespace.into());
        match self {
            Self::Classic(classic) => {
                let packets = classic.packets_pattern(namespace);
                let responses = classic.responses(namespace);
                let own = classic.own_responses(namespace, uid);
                let requests = classic.requests(namespace);
                vec![
                    (
                        Subscription::Pattern(packets),
                        Heard::Packets(namespace.into()),
                    ),
                    (Subscription::Channel(responses), Heard::Responses),
                    (Subscription::Channel(own), Heard::Responses),
                    (
                        Subscription::Channel(requests),
                        Heard::Requests(namespace.into()),
                    ),
                ]
            }
            Self::Sharded(sharded) => vec![
                (Subscription::Shard(sharded.own(namespace, uid)), any()),
                (Subscription::Shard(sharded.common(namespace)), any()),
            ],
            Self::Streams(streams) => {
                let by = match streams.sharded {
                    true => Subscription::Shard,
                    false => Subscription::Channel,
                };
                vec![
                    (by(streams.own(namespace, uid)), any()),
                    (by(streams.common(namespace)), any()),
                ]
            }
        }
    }

    /// The subscription for what is for one room alone, if the format has one for this room.
    pub(crate) fn room(&self, namespace: &str, room: &str) -> Option<Subscription> {
        match self {
            Self::Sharded(sharded) => sharded.room(namespace, room).map(Subscription::Shard),
            _ => None,
        }
    }

    /// Who is counted to learn how many nodes are to answer.
    pub(crate) fn count(&self, namespace: &str, request: Request) -> Action {
        match self {
            Self::Classic(classic) => Action::Count {
                channel: classic.requests(namespace),
                request,
            },
            Self::Sharded(sharded) => Action::CountShard {
                channel: sharded.common(namespace),
                request,
            },
            Self::Streams(streams) if streams.sharded => Action::CountShard {
                channel: streams.common(namespace),
                request,
            },
            Self::Streams(streams) => Action::Count {
                channel: streams.common(namespace),
                request,
            },
        }
    }

    /// What makes the others hear a message; `None` if the format has no word for it.
    pub(crate) fn say(&self, namespace: &str, uid: &str, message: Message) -> Option<Action> {
        match self {
            Self::Classic(classic) => {
                let publish = classic.encode(namespace, uid, message)?;
                Some(Action::Publish(publish))
            }
            Self::Sharded(sharded) => {
                let channel = sharded.channel(namespace, &message);
                let body = Sharded::JsonOrMsgpack.encode(namespace, uid, message)?;
                Some(Action::PublishShard(Publish { channel, body }))
            }
            Self::Streams(streams) => streams.say(namespace, uid, message),
        }
    }

    /// What makes an answer heard by the node that has asked.
    pub(crate) fn answer(
        &self,
        namespace: &str,
        uid: &str,
        asker: Option<&str>,
        request: String,
        answer: Answer,
    ) -> Option<Action> {
        let (own, body) = match self {
            Self::Classic(classic) => {
                let publish = classic.encode_answer(namespace, uid, request, answer);
                return Some(Action::Publish(publish));
            }
            Self::Sharded(sharded) => (sharded.own(namespace, asker?), Sharded::JsonOrMsgpack),
            Self::Streams(streams) => (streams.own(namespace, asker?), Sharded::Msgpack),
        };
        let answer = Message::Answer { request, answer };
        let body = body.encode(namespace, uid, answer)?;
        let publish = Publish { channel: own, body };
        Some(match self {
            Self::Streams(streams) => streams.publish(publish),
            _ => Action::PublishShard(publish),
        })
    }

    /// Reads what came by a subscription to anything.
    pub(crate) fn decode(body: &[u8]) -> Result<Envelope, DecodeError> {
        // Either form says what it is by its first byte.
        Sharded::JsonOrMsgpack.decode(body)
    }
}
