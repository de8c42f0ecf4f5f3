//! The streams and channels of `@socket.io/redis-streams-adapter` 0.3.
//!
//! ```text
//! socket.io                           packets, joins, leaves, disconnects     XADD, XREAD
//! socket.io#/chat#                    questions                               PUBLISH or SPUBLISH
//! socket.io#/chat#6b26819dc9b66100#   answers to one node                     PUBLISH or SPUBLISH
//! ```
//!
//! What is on a stream waits there for a node that was away: it goes on reading where it was. Nodes of
//! ours number their entries beside what Node writes, in a field that Node passes over.

use std::{fmt, str::FromStr};

use crate::{Action, DecodeError, Entry, Message, Publish, Question, Sharded, stream_name};

/// The adapter of one cluster: what streams and channels are called.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Streams {
    /// `streamName`: `socket.io`.
    pub stream: String,
    /// `streamCount`, over which namespaces are spread: 1.
    pub count: u32,
    /// `channelPrefix`: `socket.io`.
    pub prefix: String,
    /// `useShardedPubSub`, whether questions and answers go by channels of shards: they do not.
    pub sharded: bool,
    /// `maxLen`, the entries that a stream keeps, about: 10,000.
    pub max_len: u64,
    /// `sessionKeyPrefix`: `sio:session:`.
    pub sessions: String,
}

impl Default for Streams {
    /// With Node's defaults.
    fn default() -> Self {
        Self {
            stream: "socket.io".into(),
            count: 1,
            prefix: "socket.io".into(),
            sharded: false,
            max_len: 10_000,
            sessions: "sio:session:".into(),
        }
    }
}

impl Streams {
    /// The channel of questions.
    pub fn common(&self, namespace: &str) -> String {
        format!("{}#{namespace}#", self.prefix)
    }

    /// The channel of answers to one node.
    pub fn own(&self, namespace: &str, uid: &str) -> String {
        format!("{}#{namespace}#{uid}#", self.prefix)
    }

    /// The stream of a namespace.
    pub fn of(&self, namespace: &str) -> String {
        stream_name(&self.stream, namespace, self.count)
    }

    /// All streams that a namespace can be on, those that Node never reads included.
    pub fn names(&self) -> Vec<String> {
        if self.count <= 1 {
            return vec![self.stream.clone()];
        }
        let last = i64::from(self.count) - 1;
        let name = |remainder| format!("{}-{remainder}", self.stream);
        (-last..=last).map(name).collect()
    }

    pub(crate) fn publish(&self, publish: Publish) -> Action {
        match self.sharded {
            true => Action::PublishShard(publish),
            false => Action::Publish(publish),
        }
    }

    pub(crate) fn say(&self, namespace: &str, uid: &str, message: Message) -> Option<Action> {
        let answered = matches!(
            message,
            Message::ServerEmit(_)
                | Message::Ask {
                    question: Question::Emit(_) | Question::Fetch(_) | Question::ServerEmit(_),
                    ..
                }
        );
        if answered {
            let channel = self.common(namespace);
            let body = Sharded::Msgpack.encode(namespace, uid, message)?;
            return Some(self.publish(Publish { channel, body }));
        }
        Some(Action::Append {
            stream: self.of(namespace),
            entry: Entry::encode(namespace, uid, message)?,
            max_len: self.max_len,
        })
    }
}

/// The id of an entry: milliseconds since 1970 by the broker's clock, and a number within them.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct EntryId {
    /// Milliseconds.
    pub millis: u64,
    /// The number.
    pub number: u64,
}

impl EntryId {
    /// After all others.
    pub const MAX: Self = Self {
        millis: u64::MAX,
        number: u64::MAX,
    };
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.number)
    }
}

impl FromStr for EntryId {
    type Err = DecodeError;

    fn from_str(text: &str) -> Result<Self, DecodeError> {
        let digits = |part: &str| {
            let all = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            all.then(|| part.parse().ok()).flatten()
        };
        let parts = text.split_once('-');
        let parts = parts.and_then(|(millis, number)| digits(millis).zip(digits(number)));
        let (millis, number) = parts.ok_or(DecodeError::Field { field: "id" })?;
        Ok(Self { millis, number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_namespace_is_on_a_stream_that_is_read() {
        for count in 0..7 {
            let streams = Streams {
                count,
                ..Streams::default()
            };
            let names = streams.names();
            for namespace in ["/", "/dashboard", "/notifications", "/chat", "/é😀"] {
                assert!(
                    names.contains(&streams.of(namespace)),
                    "{namespace} {count}"
                );
            }
        }
    }

    #[test]
    fn ids_are_read_as_they_are_written_and_sort_by_time() {
        let ids = ["9-10", "10-9", "10-11", "18446744073709551615-0"];
        let read: Vec<EntryId> = ids.iter().map(|id| id.parse().unwrap()).collect();
        assert!(read.is_sorted());
        assert!(read.iter().map(ToString::to_string).eq(ids));
        for wrong in [
            "",
            "1",
            "-",
            "1-",
            "-1",
            "1-+1",
            "1-2-3",
            "$",
            "1-99999999999999999999",
        ] {
            assert!(wrong.parse::<EntryId>().is_err(), "{wrong}");
        }
    }
}
