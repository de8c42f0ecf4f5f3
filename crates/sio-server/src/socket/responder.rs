//! Where the answer to an event goes.

use serde::Serialize;
use sio_packet::Value;

use super::Core;
use crate::{conn::Mode, nodes};

/// Where a handler's answer goes.
#[doc(hidden)]
pub struct Responder<'a> {
    to: To<'a>,
    event: &'a str,
}

enum To<'a> {
    /// To a client, if it asked for an ack.
    Client { core: &'a Core, ack: Option<u64> },
    /// To another node.
    Node {
        answer: &'a mut Option<Value>,
        debug: bool,
    },
}

impl<'a> Responder<'a> {
    pub(crate) fn new(core: &'a Core, event: &'a str, ack: Option<u64>) -> Self {
        let to = To::Client { core, ack };
        Self { to, event }
    }

    /// Puts the answer where a node's is.
    pub(crate) fn for_node(event: &'a str, answer: &'a mut Option<Value>, debug: bool) -> Self {
        let to = To::Node { answer, debug };
        Self { to, event }
    }

    pub(crate) fn event(&self) -> &'a str {
        self.event
    }

    pub(crate) fn is_debug(&self) -> bool {
        match &self.to {
            To::Client { core, .. } => core.conn.hub.debug.is_on(),
            To::Node { debug, .. } => *debug,
        }
    }

    pub(crate) fn send<T: Serialize + ?Sized>(self, args: &T) {
        let said = match self.to {
            To::Client { ack: None, .. } => return,
            To::Client { core, .. } if core.is_gone() => return,
            To::Client {
                core,
                ack: Some(id),
            } => core.conn.say(Mode::Vital, |frames| {
                frames.ack(core.place.name(), id, args)
            }),
            To::Node { answer, .. } => nodes::value(args)
                .map(|value| answer.insert(value))
                .map(|_| true),
        };
        if let Err(error) = said {
            tracing::error!(event = self.event, %error, "an ack could not be written");
        }
    }
}
