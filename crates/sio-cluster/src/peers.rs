//! The other nodes of ours: who they are, and until when that is to be believed.
//!
//! Node's classic adapter and Python's managers have no heartbeats, so only our own nodes are known by
//! name. They share a channel of their own, which nobody else subscribes to.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use sio_packet::Object;

use crate::{
    DecodeError,
    fields::{self, Fields},
    message::{Envelope, Message},
};

/// Who lives, each until its lease ends.
#[derive(Debug, Default)]
pub(crate) struct Peers(BTreeMap<String, Instant>);

impl Peers {
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// A peer lives; whether it is a new one.
    pub(crate) fn heard(&mut self, uid: &str, lease: Duration, now: Instant) -> bool {
        match self.0.get_mut(uid) {
            Some(until) => {
                *until = now + lease;
                false
            }
            None => {
                self.0.insert(uid.into(), now + lease);
                true
            }
        }
    }

    /// A peer has said that it goes; whether it was known.
    pub(crate) fn gone(&mut self, uid: &str) -> bool {
        self.0.remove(uid).is_some()
    }

    /// Takes a peer whose lease has ended.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Option<String> {
        let expired = self.0.iter().find(|(_, until)| **until <= now);
        let uid = expired.map(|(uid, _)| uid.clone())?;
        self.0.remove(&uid);
        Some(uid)
    }

    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.0.values().min().copied()
    }

    /// Leases begin anew: nobody could be heard for a while.
    pub(crate) fn renew(&mut self, lease: Duration, now: Instant) {
        self.0.values_mut().for_each(|until| *until = now + lease);
    }
}

/// `ADAPTER_CLOSE`, `HEARTBEAT` and `INITIAL_HEARTBEAT` of Node's cluster adapters.
const CLOSE: u64 = 13;
const HEARTBEAT: u64 = 2;
const HELLO: u64 = 1;

pub(crate) fn encode(uid: &str, message: &Message) -> Vec<u8> {
    let kind = match message {
        Message::Close => CLOSE,
        Message::Hello => HELLO,
        _ => HEARTBEAT,
    };
    let mut object = Object::new();
    object.push("uid", uid);
    object.push("type", kind);
    fields::encode(object)
}

pub(crate) fn decode(body: &[u8]) -> Result<Envelope, DecodeError> {
    let mut fields = Fields::of(fields::json(body)?, "message")?;
    let from = Some(fields.text("uid")?);
    let message = match fields.whole("type")? {
        CLOSE => Message::Close,
        HEARTBEAT => Message::Heartbeat,
        HELLO => Message::Hello,
        _ => return Err(DecodeError::UnknownType),
    };
    Ok(Envelope {
        from,
        namespace: None,
        message,
    })
}
