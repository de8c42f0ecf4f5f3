//! What a server hears and says, as a document that others can read: TypeScript types for its clients,
//! and [AsyncAPI 3](https://www.asyncapi.com/docs/reference/specification/v3.0.0).
//!
//! With the feature `schema`. The payloads are types of yours that derive [`schemars::JsonSchema`] beside
//! serde's traits; the events are the constants that handlers and emits use already:
//!
//! ```
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//! use sio_server::{Ack, Event, Server, schema::Contract};
//!
//! #[derive(Deserialize, JsonSchema, Serialize)]
//! struct Message {
//!     room: String,
//!     text: String,
//! }
//!
//! const JOIN: Event<String, usize> = Event::new("join");
//! const MESSAGE: Event<Message> = Event::new("message");
//!
//! let server = Server::new()
//!     .on(JOIN, async |socket, room| {
//!         socket.join(&room);
//!         Ack(socket.io().room_len(&room))
//!     })
//!     .on(MESSAGE, async |socket, message| {
//!         socket.to(&message.room).emit(MESSAGE, &message);
//!     });
//!
//! let contract = Contract::new("Chat", "1.0.0").hears(JOIN).hears(MESSAGE).says(MESSAGE);
//! contract.check(&server)?; // Every event that is handled is there, and no other.
//! assert!(contract.typescript().ends_with("
//! /** What the server says. */
//! export interface ServerToClientEvents {
//!   message: (payload: Message) => void;
//! }
//!
//! /** What the server hears. */
//! export interface ClientToServerEvents {
//!   join: (payload: string, ack: (answer: number) => void) => void;
//!   message: (payload: Message) => void;
//! }
//! "));
//! # Ok::<(), sio_server::schema::Mismatch>(())
//! ```
//!
//! `docs/howto/types-for-clients.md` in the repository goes from there to a page that the TypeScript
//! compiler has checked. How serde's arguments and Rust's types go together says
//! [`sio_packet`](crate::sio_packet#arguments-and-types): a tuple is several arguments, `()` none.
//!
//! - A type that is written in another way than it is read, such as one with `#[serde(default)]`, is
//!   there twice: `Message` as the server says it, `MessageInput` as it hears it.
//! - An ack that the [`Event`] does not fix is not there: say its type in the constant.
//! - Bytes are [`Binary`]: `#[schemars(with = "sio_server::schema::Binary")]` at the field.
//! - What schema a type has is schemars' word. What the printer of TypeScript does not know is
//!   `unknown`, never a guess.

mod asyncapi;
mod definitions;
mod typescript;

use std::{borrow::Cow, collections::BTreeSet};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use crate::{
    event::{Any, Event},
    server::Server,
};

use definitions::Definitions;

/// The events of a server, with their types: what it hears from its clients and what it says to them.
///
/// See the [module](self) for an example.
#[derive(Clone, Debug)]
#[must_use = "a contract does nothing until it is written down"]
pub struct Contract {
    title: String,
    version: String,
    channels: Vec<Channel>,
}

/// The events of one namespace.
#[derive(Clone, Debug)]
struct Channel {
    namespace: String,
    hears: Vec<Entry>,
    says: Vec<Entry>,
}

/// An event, with the way to its types' schemas.
#[derive(Clone, Copy, Debug)]
struct Entry {
    name: &'static str,
    payload: fn(&mut SchemaGenerator) -> Schema,
    answer: Option<fn(&mut SchemaGenerator) -> Schema>,
}

/// An event whose types have been looked at.
struct Described {
    name: &'static str,
    arguments: Vec<Argument>,
    /// Of the ack, if the event fixes one.
    answer: Option<Vec<Argument>>,
}

/// One of an event's arguments.
struct Argument {
    schema: Value,
    /// Whether it may be left out.
    optional: bool,
}

/// All that is known of a contract, types looked up.
struct Look {
    definitions: serde_json::Map<String, Value>,
    channels: Vec<LookAtChannel>,
}

struct LookAtChannel {
    namespace: String,
    hears: Vec<Described>,
    says: Vec<Described>,
}

/// Where a contract and a server differ, from [`Contract::check`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// the contract says nothing of {event:?}, which is handled in {namespace}
    #[error("the contract says nothing of {event:?}, which is handled in {namespace}")]
    NotInContract {
        /// The event's name.
        event: String,
        /// The namespace's.
        namespace: String,
    },
    /// nobody handles {event:?} in {namespace}, which the contract hears
    #[error("nobody handles {event:?} in {namespace}, which the contract hears")]
    NotHandled {
        /// The event's name.
        event: String,
        /// The namespace's.
        namespace: String,
    },
}

/// What the ack type of an event in a [`Contract`] may be: one with a schema, or [`Any`] for none.
pub trait Answered: sealed::Answered {
    #[doc(hidden)]
    fn schema() -> Option<fn(&mut SchemaGenerator) -> Schema>;
}

impl Answered for Any {
    fn schema() -> Option<fn(&mut SchemaGenerator) -> Schema> {
        None
    }
}

impl<A: JsonSchema> Answered for A {
    fn schema() -> Option<fn(&mut SchemaGenerator) -> Schema> {
        Some(SchemaGenerator::subschema_for::<A>)
    }
}

impl Contract {
    /// A contract without events, for the namespace `/` to begin with.
    pub fn new(title: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            version: version.into(),
            channels: Vec::new(),
        }
        .of("/")
    }

    /// From now on, events of another namespace. A name by pattern, `/game-{id}`, is taken as it is.
    pub fn of(mut self, namespace: impl Into<String>) -> Self {
        let namespace = namespace.into();
        let at = self
            .channels
            .iter()
            .position(|channel| channel.namespace == namespace);
        let channel = match at {
            Some(at) => self.channels.remove(at),
            None => Channel {
                namespace,
                hears: Vec::new(),
                says: Vec::new(),
            },
        };
        // The last one is the one that events are added to.
        self.channels.push(channel);
        self
    }

    /// Adds an event that clients send and the server handles.
    pub fn hears<T: JsonSchema + ?Sized, A: Answered>(mut self, event: Event<T, A>) -> Self {
        self.channel().hears.push(Entry::new(event));
        self
    }

    /// Adds an event that the server emits, or calls clients with.
    pub fn says<T: JsonSchema + ?Sized, A: Answered>(mut self, event: Event<T, A>) -> Self {
        self.channel().says.push(Entry::new(event));
        self
    }

    fn channel(&mut self) -> &mut Channel {
        let last = self.channels.last_mut();
        last.expect("there is one from the beginning, and none is ever taken away")
    }

    /// Types for clients in TypeScript, the text of a `.d.ts`: `ServerToClientEvents` and
    /// `ClientToServerEvents`, as `Socket` of socket.io-client takes them, and what they are made of.
    /// Those of a namespace `/chat` are called `ChatServerToClientEvents` and so on.
    pub fn typescript(&self) -> String {
        typescript::print(self, &self.look())
    }

    /// The document of AsyncAPI 3.0, as JSON. A namespace is a channel, an event an operation that the
    /// server receives or sends, an ack its reply. A payload is the list of the event's arguments.
    pub fn asyncapi(&self) -> String {
        let document = asyncapi::document(self, &self.look());
        format!("{document:#}\n")
    }

    /// Whether the server handles the events that the contract hears, and no others: for a test, so that
    /// the two stay the same. Looks at namespaces with a fixed name, and at the handlers they begin
    /// with, not at listeners of single sockets. What a server says cannot be looked up.
    ///
    /// # Errors
    ///
    /// The first event that only one of them knows.
    pub fn check(&self, server: &Server) -> Result<(), Mismatch> {
        let handled = server.handled();
        let mut heard: Vec<(&str, BTreeSet<&str>)> = Vec::new();
        for channel in &self.channels {
            let events = channel.hears.iter().map(|entry| entry.name).collect();
            heard.push((&channel.namespace, events));
        }
        for (namespace, events) in &handled {
            let heard = heard.iter().find(|(name, _)| name == namespace);
            let unknown = events
                .iter()
                .find(|event| !heard.is_some_and(|(_, heard)| heard.contains(**event)));
            if let Some(event) = unknown {
                return Err(Mismatch::NotInContract {
                    event: (*event).into(),
                    namespace: (*namespace).into(),
                });
            }
        }
        for (namespace, events) in &heard {
            let handled = handled.iter().find(|(name, _)| name == namespace);
            if handled.is_none() && namespace.contains('{') {
                continue;
            }
            let missing = events
                .iter()
                .find(|event| !handled.is_some_and(|(_, handled)| handled.contains(*event)));
            if let Some(event) = missing {
                return Err(Mismatch::NotHandled {
                    event: (*event).into(),
                    namespace: (*namespace).into(),
                });
            }
        }
        Ok(())
    }

    /// Looks up all types.
    fn look(&self) -> Look {
        let mut definitions = Definitions::new();
        let channels: Vec<_> = self
            .channels
            .iter()
            .filter(|channel| !(channel.hears.is_empty() && channel.says.is_empty()))
            .map(|channel| LookAtChannel {
                namespace: channel.namespace.clone(),
                hears: channel
                    .hears
                    .iter()
                    .map(|entry| definitions.heard(entry))
                    .collect(),
                says: channel
                    .says
                    .iter()
                    .map(|entry| definitions.said(entry))
                    .collect(),
            })
            .collect();
        definitions.finish(channels)
    }
}

impl Entry {
    fn new<T: JsonSchema + ?Sized, A: Answered>(event: Event<T, A>) -> Self {
        Self {
            name: event.name(),
            payload: SchemaGenerator::subschema_for::<T>,
            answer: A::schema(),
        }
    }
}

/// Bytes, which travel as an attachment, for `#[schemars(with = "sio_server::schema::Binary")]`.
///
/// ```
/// # use sio_server::schema::Binary;
/// #[derive(serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
/// struct File {
///     name: String,
///     #[schemars(with = "Binary")]
///     content: bytes::Bytes,
/// }
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Binary {}

impl JsonSchema for Binary {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Binary".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "binary" })
    }
}

#[expect(
    unnameable_types,
    reason = "sealing a trait is its name's whole purpose"
)]
mod sealed {
    use super::{Any, JsonSchema};

    pub trait Answered {}
    impl Answered for Any {}
    impl<A: JsonSchema> Answered for A {}
}
