//! Bounds on what a peer may send.

/// Bounds on what a peer may send; none of them is off.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Attachments of one packet: 10, as in the newest Node release.
    pub max_attachments: usize,
    /// Bytes of JSON in a CONNECT: 64 KiB, far above any token.
    pub max_auth: usize,
    /// Bytes of all attachments of one packet: 10 messages of the default `maxPayload`.
    pub max_binary_bytes: usize,
    /// Bytes of an event name: 1 KiB.
    pub max_event_name: usize,
    /// Bytes of a namespace: 256.
    pub max_namespace: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_attachments: 10,
            max_auth: 64 * 1024,
            max_binary_bytes: 10_000_000,
            max_event_name: 1024,
            max_namespace: 256,
        }
    }
}
