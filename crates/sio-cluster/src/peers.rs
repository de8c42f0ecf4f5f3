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
    DecodeError, Session,
    census::Counts,
    fields::{self, Fields},
};

/// Where other nodes hand on what they are asked about this one's clients.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Door {
    /// How the ids that this node gives away tell that they are its own.
    pub mark: String,
    /// Its host and port.
    pub address: String,
}

/// Who lives.
#[derive(Debug, Default)]
pub(crate) struct Peers(BTreeMap<String, Peer>);

#[derive(Debug)]
struct Peer {
    /// When its lease ends.
    until: Instant,
    door: Option<Door>,
}

impl Peers {
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(crate) fn doors(&self) -> impl Iterator<Item = &Door> {
        self.0.values().filter_map(|peer| peer.door.as_ref())
    }

    /// A peer lives; whether it is a new one.
    pub(crate) fn heard(&mut self, uid: &str, lease: Duration, now: Instant) -> bool {
        let until = now + lease;
        match self.0.get_mut(uid) {
            Some(peer) => {
                peer.until = until;
                false
            }
            None => {
                let door = None;
                self.0.insert(uid.into(), Peer { until, door });
                true
            }
        }
    }

    /// A peer that lives has this door; whether that is news.
    pub(crate) fn has_door(&mut self, uid: &str, door: Door) -> bool {
        let peer = self.0.get_mut(uid);
        peer.is_some_and(|peer| peer.door.replace(door) != peer.door)
    }

    /// A peer has said that it goes; whether it was known.
    pub(crate) fn gone(&mut self, uid: &str) -> bool {
        self.0.remove(uid).is_some()
    }

    /// Takes a peer whose lease has ended.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Option<String> {
        let expired = self.0.iter().find(|(_, peer)| peer.until <= now);
        let uid = expired.map(|(uid, _)| uid.clone())?;
        self.0.remove(&uid);
        Some(uid)
    }

    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.0.values().map(|peer| peer.until).min()
    }

    /// Leases begin anew: nobody could be heard for a while.
    pub(crate) fn renew(&mut self, lease: Duration, now: Instant) {
        self.0
            .values_mut()
            .for_each(|peer| peer.until = now + lease);
    }
}

/// `ADAPTER_CLOSE`, `HEARTBEAT` and `INITIAL_HEARTBEAT` of Node's cluster adapters, and some of our own.
const CLOSE: u64 = 13;
const HEARTBEAT: u64 = 2;
const HELLO: u64 = 1;
const LET_GO: u64 = 32;
const LETS_GO: u64 = 33;
const COUNTS: u64 = 34;
const COUNT: u64 = 35;

/// What nodes of ours say to one another alone.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Word {
    /// The sender goes.
    Close,
    /// The sender wants to know all counts of the node that it says this to.
    Count,
    /// How many sockets of the sender are where.
    Counts(Counts),
    /// The sender lives.
    Heartbeat(Life),
    /// The same, and the sender is new and wants to know who lives.
    Hello(Life),
    /// Another node is to let go of a session: its client has come to the sender.
    LetGo { request: String, pid: String },
    /// The sender has let go of a session, which is this, if it had it.
    LetsGo {
        request: String,
        session: Option<Box<Session>>,
    },
}

/// What a node says of itself with each heartbeat.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Life {
    /// How often it has said [`Counts`](Word::Counts), if it does at all.
    pub(crate) said: Option<u64>,
    pub(crate) door: Option<Door>,
}

impl Life {
    fn push(&self, object: &mut Object) {
        if let Some(said) = self.said {
            object.push("said", said);
        }
        if let Some(Door { mark, address }) = &self.door {
            object.push("mark", &**mark);
            object.push("address", &**address);
        }
    }

    fn read(fields: &mut Fields) -> Result<Self, DecodeError> {
        let mark = fields.optional_text("mark")?;
        let address = fields.optional_text("address")?;
        Ok(Self {
            said: fields.optional_whole("said")?,
            door: mark
                .zip(address)
                .map(|(mark, address)| Door { mark, address }),
        })
    }
}

pub(crate) fn encode(uid: &str, word: &Word) -> Vec<u8> {
    let mut object = Object::new();
    object.push("uid", uid);
    let kind = match word {
        Word::Close => CLOSE,
        Word::Count => COUNT,
        Word::Counts(counts) => {
            counts.push(&mut object);
            COUNTS
        }
        Word::Heartbeat(life) => {
            life.push(&mut object);
            HEARTBEAT
        }
        Word::Hello(life) => {
            life.push(&mut object);
            HELLO
        }
        Word::LetGo { request, pid } => {
            object.push("request", &**request);
            object.push("pid", &**pid);
            LET_GO
        }
        Word::LetsGo { request, session } => {
            object.push("request", &**request);
            if let Some(session) = session {
                object.push("session", session.encode());
            }
            LETS_GO
        }
    };
    object.push("type", kind);
    fields::encode(object)
}

/// The sender and what it says.
pub(crate) fn decode(body: &[u8]) -> Result<(String, Word), DecodeError> {
    let mut fields = Fields::of(fields::json(body)?, "message")?;
    let from = fields.text("uid")?;
    let word = match fields.whole("type")? {
        CLOSE => Word::Close,
        COUNT => Word::Count,
        COUNTS => Word::Counts(Counts::read(&mut fields)?),
        HEARTBEAT => Word::Heartbeat(Life::read(&mut fields)?),
        HELLO => Word::Hello(Life::read(&mut fields)?),
        LET_GO => Word::LetGo {
            request: fields.text("request")?,
            pid: fields.text("pid")?,
        },
        LETS_GO => Word::LetsGo {
            request: fields.text("request")?,
            session: match fields.optional_text("session")? {
                Some(text) => Some(Box::new(Session::decode(text.as_bytes())?)),
                None => None,
            },
        },
        _ => return Err(DecodeError::UnknownType),
    };
    Ok((from, word))
}
