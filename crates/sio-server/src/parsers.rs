//! Clients that speak another parser than the protocol's own, several kinds at once.
//!
//! Which one a client uses is seen from its first message; before that the server says nothing to it.
//! From then on its packets are translated on the way in (`desk.rs`) and on the way out: what is said
//! to it alone in `Conn::say`, what is for many once per parser (`place.rs`). Its sockets live in parts
//! of the index of their own, so that nothing is asked per delivery of those who speak JSON.

use std::{cell::Cell, sync::Arc};

use eio_transport::{Data, Parcel};
use sio_packet::{Form, Limits, Message, Packet, Parser, Scratch, WriteError};
use ws_frame::{OpCode, write_frame};

use crate::{frames::MESSAGE, panic::contain};

/// The parsers of a server besides the protocol's own.
pub(crate) type Parsers = Box<[Box<dyn Parser>]>;

/// How the client of a connection speaks: the protocol's own way, or by the parser of this index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Speech(u8);

impl Speech {
    /// JSON text, and attachments behind it.
    pub(crate) const OWN: Self = Self(0);

    /// How whoever begins like this speaks; `None` if none of `parsers` knows.
    pub(crate) fn of(first: Message<'_>, parsers: &Parsers) -> Option<Self> {
        if matches!(first, Message::Text(text) if text.starts_with(|first: char| first.is_ascii_digit()))
        {
            return Some(Self::OWN);
        }
        let index = parsers
            .iter()
            .position(|parser| contain("a parser", || parser.recognizes(first)).unwrap_or(false))?;
        u8::try_from(index + 1).ok().map(Self)
    }

    pub(crate) const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    /// Which part of a namespace's index those are in who speak like this on a shard.
    pub(crate) fn part(self, shard: usize, shards: usize) -> usize {
        usize::from(self.0) * shards + shard
    }

    /// The speech and the shard of a part, the reverse of [`part`](Self::part).
    pub(crate) fn of_part(part: usize, shards: usize) -> (Self, usize) {
        let bits = u8::try_from(part / shards).unwrap_or_default();
        (Self(bits), part % shards)
    }

    /// The parser; `None` for the protocol's own.
    pub(crate) fn parser(self, parsers: &Parsers) -> Option<&dyn Parser> {
        let index = usize::from(self.0).checked_sub(1)?;
        parsers.get(index).map(|parser| &**parser)
    }
}

/// A parcel for many, translated for each parser at most once.
pub(crate) struct Spoken<'a> {
    own: Arc<Parcel>,
    parsers: &'a Parsers,
    /// By the parser's index: not asked for yet, or what came of it.
    others: Vec<Option<Option<Arc<Parcel>>>>,
}

impl<'a> Spoken<'a> {
    pub(crate) fn new(own: Arc<Parcel>, parsers: &'a Parsers) -> Self {
        Self {
            own,
            parsers,
            others: Vec::new(),
        }
    }

    /// The parcel for clients that speak like this; `None` if it cannot be said so, which is logged.
    pub(crate) fn to(&mut self, speech: Speech) -> Option<&Arc<Parcel>> {
        let Some(index) = usize::from(speech.0).checked_sub(1) else {
            return Some(&self.own);
        };
        if self.others.is_empty() {
            self.others.resize(self.parsers.len(), None);
        }
        let (own, parsers) = (&self.own, self.parsers);
        self.others[index]
            .get_or_insert_with(|| {
                let parser = speech.parser(parsers)?;
                match translate(parser, own) {
                    Ok(parcel) => Some(Arc::new(parcel)),
                    Err(error) => {
                        tracing::error!(%error, "a parser could not write a packet");
                        None
                    }
                }
            })
            .as_ref()
    }
}

/// A parcel of Socket.IO packets as `parser` says it.
pub(crate) fn translate(parser: &dyn Parser, parcel: &Parcel) -> Result<Parcel, WriteError> {
    let mut out = Vec::new();
    let mut messages = parcel.packets();
    while let Some(message) = messages.next() {
        let Data::Text(text) = message else { continue };
        let text = text.strip_prefix(char::from(MESSAGE)).unwrap_or_default();
        let packet = Packet::parse(text, &UNLIMITED)
            .map_err(|error| WriteError::Custom(error.to_string()))?;
        let attachments: Vec<_> = messages.by_ref().take(packet.attachments).collect();
        let attachments: Vec<&[u8]> = attachments.iter().map(bytes_of).collect();
        say(parser, &packet, &attachments, &mut out)?;
    }
    Ok(Parcel::from_frames(out).like(parcel))
}

fn bytes_of<'a>(message: &'a Data<'_>) -> &'a [u8] {
    match message {
        Data::Binary(bytes) => bytes,
        Data::Text(text) => text.as_bytes(),
    }
}

/// Appends the frame of a packet. What fails, or panics, appends nothing.
fn say(
    parser: &dyn Parser,
    packet: &Packet<'_>,
    attachments: &[&[u8]],
    out: &mut Vec<u8>,
) -> Result<(), WriteError> {
    let mut message = Vec::with_capacity(packet.data.len());
    let form = contain("a parser", || {
        parser.encode(packet, attachments, &mut message)
    });
    let form = form.unwrap_or_else(|| Err(WriteError::Custom("the parser panicked".into())))?;
    match form {
        Form::Binary => write_frame(out, OpCode::Binary, message.len(), |out| {
            out.extend_from_slice(&message);
        }),
        Form::Text if std::str::from_utf8(&message).is_ok() => {
            write_frame(out, OpCode::Text, message.len() + 1, |out| {
                out.push(MESSAGE);
                out.extend_from_slice(&message);
            });
        }
        Form::Text => {
            let problem = "the parser's text is not UTF-8";
            return Err(WriteError::Custom(problem.into()));
        }
    }
    Ok(())
}

/// Lends the thread's memory for a packet of a parser's. A call within a call gets memory of its own.
pub(crate) fn with_scratch<R>(f: impl FnOnce(&mut Scratch) -> R) -> R {
    thread_local! {
        static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
    }
    let mut scratch = SCRATCH.take().unwrap_or_default();
    let result = f(&mut scratch);
    scratch.clear();
    if scratch.capacity() <= KEEP {
        SCRATCH.set(Some(scratch));
    }
    result
}

/// Memory above this is given back to the allocator.
const KEEP: usize = 1 << 20;

/// For what we wrote ourselves.
const UNLIMITED: Limits = Limits {
    max_attachments: usize::MAX,
    max_auth: usize::MAX,
    max_binary_bytes: usize::MAX,
    max_event_name: usize::MAX,
    max_namespace: usize::MAX,
};
