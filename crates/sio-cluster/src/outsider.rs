//! A process that tells a cluster what to do and hears nothing: Node's emitters, Python's write-only
//! managers.

use crate::{
    message::Message,
    node::{Action, Config, HOST_PREFIX},
};

/// What makes a cluster hear somebody who is no node of it.
///
/// Nodes of Node's, of ours and of Python's obey, each in its own format.
#[derive(Clone, Debug)]
pub struct Outsider {
    config: Config,
    host_id: String,
}

/// As Node's emitters call themselves: nobody waits for an answer of that name, and no node has it.
const UID: &str = "emitter";

impl Outsider {
    /// Somebody who speaks the formats of a cluster whose nodes are configured so.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            // Nodes of ours hear each message in the first format only, whoever wrote it.
            host_id: format!("{HOST_PREFIX}{UID}"),
        }
    }

    /// What has to be done for everybody to hear a message: a packet, rooms to join or leave, a
    /// disconnect, an event for the nodes. Questions are nobody's to ask who does not listen.
    pub fn tell(&self, namespace: &str, message: Message) -> Vec<Action> {
        let mut actions = Vec::new();
        for python in &self.config.python {
            let publish = python.encode(namespace, &self.host_id, message.clone());
            actions.extend(publish.into_iter().map(Action::Publish));
        }
        actions.extend(self.config.format.say(namespace, UID, message));
        actions
    }
}
