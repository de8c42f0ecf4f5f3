//! The attachments of a packet that is being written.

/// The attachments of a packet that is being written, one behind the other in one buffer.
///
/// ```
/// use sio_packet::Attachments;
///
/// let mut attachments = Attachments::new();
/// attachments.push(b"first");
/// attachments.push(b"second");
/// assert_eq!(attachments.len(), 2);
/// assert_eq!(attachments.iter().last(), Some(&b"second"[..]));
/// attachments.clear(); // and keeps its memory, for the next packet
/// assert!(attachments.is_empty());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Attachments {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Attachments {
    /// No attachments; allocates nothing.
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// How many there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The attachments, in the order in which they are to follow the packet.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let mut start = 0;
        self.ends
            .iter()
            .map(move |&end| &self.bytes[std::mem::replace(&mut start, end)..end])
    }

    /// Adds one at the end.
    pub fn push(&mut self, attachment: &[u8]) {
        self.bytes.extend_from_slice(attachment);
        self.ends.push(self.bytes.len());
    }

    /// Removes all but the first `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.ends.truncate(len);
        self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
    }

    /// Removes all of them and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attachments_keep_their_order_and_their_bounds() {
        let mut attachments = Attachments::new();
        for bytes in [&b"one"[..], b"", b"three"] {
            attachments.push(bytes);
        }
        assert!(attachments.iter().eq([&b"one"[..], b"", b"three"]));
        attachments.truncate(2);
        assert!(attachments.iter().eq([&b"one"[..], b""]));
        attachments.push(b"new");
        assert!(attachments.iter().eq([&b"one"[..], b"", b"new"]));
        attachments.clear();
        assert!(attachments.is_empty());
    }
}
