//! Why a compressed message is refused.

/// A message that cannot be inflated. The peer is at fault; the connection must be failed, because
/// the window may be lost.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InflateError {
    /// the message is not what deflate writes
    #[error("the message is not what deflate writes")]
    Corrupt,

    /// the message inflates to more than the limit of {limit} bytes
    #[error("the message inflates to more than the limit of {limit} bytes")]
    TooLarge {
        /// The most bytes a message may inflate to.
        limit: usize,
    },

    /// the message consists of more than {limit} deflate streams
    #[error("the message consists of more than {limit} deflate streams")]
    TooManyStreams {
        /// The most streams in one message.
        limit: usize,
    },
}

impl InflateError {
    /// The close code to fail the connection with, RFC 6455 §7.4.1: 1009 for what is too much, 1007
    /// for what cannot be read.
    pub fn close_code(&self) -> u16 {
        match self {
            Self::Corrupt => 1007,
            Self::TooLarge { .. } | Self::TooManyStreams { .. } => 1009,
        }
    }
}
