//! By which name others know a socket.

use std::sync::Arc;

use eio_transport::{Revision, Sid};

use crate::{conn::Conn, entropy};

/// The public id of a socket.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum SocketId {
    /// 20 characters, never the id of its session.
    Own(Sid),
    /// Of a client of protocol 4 in another namespace than `/`: `/chat#` and the id of its session.
    Session(Arc<str>),
}

impl SocketId {
    /// An id for a new socket of `namespace`. Clients of protocol 4 are not told theirs: they make
    /// it up from the id of the session, and so do we, unless that is to stay between us.
    pub(crate) fn new(conn: &Conn, namespace: &str) -> Self {
        match (conn.revision, namespace) {
            (Revision::V4, _) => Self::Own(entropy::id()),
            _ if conn.hub.config.hide_session_ids => Self::Own(entropy::id()),
            (Revision::V3, "/") => Self::Own(conn.sid),
            (Revision::V3, name) => Self::Session(format!("{name}#{}", conn.sid.as_str()).into()),
        }
    }
}

impl AsRef<str> for SocketId {
    fn as_ref(&self) -> &str {
        match self {
            Self::Own(id) => id.as_str(),
            Self::Session(id) => id,
        }
    }
}
