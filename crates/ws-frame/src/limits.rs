//! What a peer may make a connection do.

/// The limits of one connection; immutable once it exists.
///
/// All of them are checked on the header, before a byte of payload is stored, and each has its own
/// [`ProtocolError`](crate::ProtocolError).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// The longest message in bytes, over all its fragments, and with it the most that the
    /// reassembly buffer may ever hold. 1,000,000, which is what Engine.IO announces as
    /// `maxPayload`. Over it: 1009.
    pub max_message: usize,
    /// The most frames that one message may be cut into. 16,384: fragments cost no memory of their
    /// own here, but a message in a million pieces is nobody's honest intention. A message of one frame
    /// is always allowed. Over it: 1008.
    pub max_fragments: u32,
    /// How many control frames may come at once. 200. Over it: 1008.
    pub control_burst: u16,
    /// How many control frames may come per second in the long run, as far as
    /// [`handle_elapsed`](crate::Connection::handle_elapsed) is told of time going by. 50.
    pub control_per_second: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message: 1_000_000,
            max_fragments: 16_384,
            control_burst: 200,
            control_per_second: 50,
        }
    }
}
