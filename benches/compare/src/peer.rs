//! What every library is asked to do.

use crate::case::{Case, Takeover};

/// Masks a payload.
pub type Mask = fn(&mut [u8], [u8; 4]);

/// When what was sent has to be on the wire.
#[derive(Clone, Copy, Eq, PartialEq)]
pub enum Flush {
    /// Behind the last message: a library may gather.
    AtTheEnd,
    /// Behind each, as a broadcast to as many sockets has it.
    Each,
}

/// A library, in the role of the server.
pub trait Peer {
    fn name(&self) -> &'static str;

    /// The crate whose version in the lock file is its version.
    fn package(&self) -> &'static str;

    /// Its masking function, if it can be called.
    fn mask(&self) -> Option<Mask> {
        None
    }

    /// Reads all messages of the stream. Text has to be checked, by the library or else by its adapter.
    fn decode(&self, case: &Case) -> Seen;

    /// Sends the payload `count` times.
    fn encode(&self, case: &Case, flush: Flush);

    /// Reads all messages of a compressed stream, if it knows permessage-deflate.
    fn inflate(&self, _case: &Case, _takeover: Takeover) -> Option<Seen> {
        None
    }

    /// Sends the payload `count` times, compressed at zlib's level 6, if it knows permessage-deflate.
    fn deflate(&self, _case: &Case, _takeover: Takeover) -> Option<()> {
        None
    }
}

/// Proof that the messages were read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Seen {
    pub count: u64,
    pub bytes: u64,
    edges: u64,
}

impl Seen {
    #[inline]
    pub fn message(&mut self, payload: &[u8]) {
        self.count += 1;
        self.bytes += payload.len() as u64;
        if let (Some(first), Some(last)) = (payload.first(), payload.last()) {
            self.edges += u64::from(*first) + u64::from(*last);
        }
    }
}
