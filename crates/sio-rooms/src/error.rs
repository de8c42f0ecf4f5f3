//! What can be refused here; each time it is a limit or the caller, never the peer.

/// Why a member did not join a room.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// the member has left the namespace
    #[error("the member has left the namespace")]
    Gone,
    /// the member is in as many rooms as one member may join
    #[error("the member is in {limit} rooms, as many as one member may join")]
    TooMany {
        /// Rooms that one member may be in at a time.
        limit: usize,
    },
}

/// as many acks are pending as one socket may wait for
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{limit} acks are pending, as many as one socket may wait for")]
#[non_exhaustive]
pub struct Full {
    /// Acks that one socket may wait for at a time.
    pub limit: usize,
}
