//! What carries messages between nodes, and what it tells of itself.

use std::{
    error::Error,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;

use crate::{Action, Config, EntryId, Request};

/// A broker that a server can be given, before it is connected.
pub trait Broker: Send + Sync + 'static {
    /// The formats that are spoken over it.
    fn node(&self) -> Config;

    /// Begins to connect, within the runtime that this is called on, and returns at once: whether the
    /// broker can be reached is told by [`BusEvent::Up`] and [`BusEvent::Down`].
    ///
    /// # Errors
    ///
    /// If what was configured can never work, like an address that is none.
    fn connect(&self) -> Result<Box<dyn Bus>, Box<dyn Error + Send + Sync>>;
}

/// A connection to a broker that is kept up by itself.
pub trait Bus: Send {
    /// Takes an action, to be done in the order of actions. Never waits: what the broker cannot take
    /// is kept within bounds, and what is beyond them is dropped and told by [`BusEvent::Lost`].
    fn act(&mut self, action: Action);

    /// Where to ask whether messages find room; `None` if whoever drives the bus is to bound what waits.
    fn room(&self) -> Option<Arc<dyn Room>> {
        None
    }

    /// What happened next.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<BusEvent>;
}

/// The room that a bus has for messages that wait for the broker, for all who are about to say something.
pub trait Room: Send + Sync {
    /// Whether so many bytes more are within the bound. They may find none all the same: what a message
    /// weighs in the end is known when it is encoded.
    fn has_room(&self, bytes: usize) -> bool;

    /// Ready when so many bytes more are within the bound, and what is said now is not too old before
    /// the broker is there: not while it has been away for as long as messages are kept. Wakes the task
    /// whenever that may have changed.
    fn poll_room(&self, bytes: usize, cx: &mut Context<'_>) -> Poll<()>;
}

/// An entry of a stream, as the broker has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RawEntry {
    /// Its id.
    pub id: EntryId,
    /// Its fields.
    pub fields: Vec<(Bytes, Bytes)>,
}

impl RawEntry {
    /// Names and values.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields
            .iter()
            .map(|(name, value)| (&name[..], &value[..]))
    }
}

/// What a bus tells.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum BusEvent {
    /// An [`Action::Count`] was done; `None` if it could not be.
    Counted {
        /// For which request.
        request: Request,
        /// How many subscribe.
        subscribers: Option<u64>,
    },
    /// The broker cannot be reached, or does not do what it is asked; said once, until it is back.
    Down {
        /// Why, in the broker's words or the system's.
        reason: String,
    },
    /// An entry was read from a stream that is followed.
    Entry {
        /// The stream.
        stream: String,
        /// The entry.
        entry: RawEntry,
    },
    /// A stream is followed from after this entry.
    Followed {
        /// The stream.
        stream: String,
        /// The entry, which need not be there any more.
        after: EntryId,
    },
    /// Messages of ours that the others will not hear.
    Lost {
        /// How many.
        messages: u64,
    },
    /// A message came.
    Message {
        /// The subscription that it came by: the channel, or a pattern.
        subscription: String,
        /// The channel.
        channel: String,
        /// The bytes.
        body: Bytes,
    },
    /// An [`Action::Range`] was done.
    Range {
        /// For which request.
        request: Request,
        /// The entries in their order; `None` if they could not be read, or some are not there any more.
        entries: Option<Vec<RawEntry>>,
    },
    /// An [`Action::Take`] was done.
    Taken {
        /// For which request.
        request: Request,
        /// What was written, if anything was, and it could be taken.
        value: Option<Bytes>,
    },
    /// A stream that is followed was cut short before it was read to its end.
    Trimmed {
        /// The stream.
        stream: String,
    },
    /// The broker is there and all subscriptions stand; the first time as any other.
    Up,
}
