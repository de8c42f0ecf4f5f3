//! The attachments of a packet that is being written.

use std::cell::Cell;

use bytes::Bytes;
use serde::Serializer;

/// The attachments of a packet that is being written.
///
/// What a type of its own hands over is copied, one behind the other into one buffer. Of a
/// [`Value::Binary`](crate::Value::Binary) of some kilobytes the bytes stay where they are.
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
    places: Vec<Place>,
}

/// Where an attachment lies.
#[derive(Clone, Debug)]
enum Place {
    Copied { start: usize, end: usize },
    Shared(Bytes),
}

impl Attachments {
    /// No attachments; allocates nothing.
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            places: Vec::new(),
        }
    }

    /// How many there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The attachment of this number.
    pub fn get(&self, number: usize) -> Option<&[u8]> {
        self.places.get(number).map(|place| self.bytes_at(place))
    }

    /// The attachments, in the order in which they are to follow the packet.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.places.iter().map(|place| self.bytes_at(place))
    }

    fn bytes_at<'a>(&'a self, place: &'a Place) -> &'a [u8] {
        match place {
            Place::Copied { start, end } => &self.bytes[*start..*end],
            Place::Shared(bytes) => bytes,
        }
    }

    /// Bytes that can be copied into it before it allocates. Grows to the attachments of the largest
    /// packet.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Adds one at the end.
    pub fn push(&mut self, attachment: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(attachment);
        let end = self.bytes.len();
        self.places.push(Place::Copied { start, end });
    }

    /// Adds what a serializer is given, which may have been [lent](lend).
    pub(crate) fn push_lent(&mut self, attachment: &[u8]) {
        if attachment.len() >= LARGE
            && let Some(lent) = LENT.take()
            && std::ptr::eq(&*lent, attachment)
        {
            self.places.push(Place::Shared(lent));
        } else {
            self.push(attachment);
        }
    }

    /// Removes all but the first `len`, and keeps the memory.
    pub fn truncate(&mut self, len: usize) {
        let gone = self.places.get(len..).unwrap_or_default();
        let copied = gone.iter().find_map(|place| match place {
            Place::Copied { start, .. } => Some(*start),
            Place::Shared(_) => None,
        });
        self.bytes.truncate(copied.unwrap_or(self.bytes.len()));
        self.places.truncate(len);
    }

    /// Removes all of them and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.places.clear();
    }
}

/// Shorter ones are copied: that costs less than to count who holds them.
const LARGE: usize = 4 << 10;

thread_local! {
    /// What the slice that is serialized next lies in.
    static LENT: Cell<Option<Bytes>> = const { Cell::new(None) };
}

/// Serializes bytes that need not be copied. serde hands on a slice of them; our own writer finds them
/// here, and knows by the address that the slice is they, while they are held and cannot be others.
pub(crate) fn lend<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    if bytes.len() < LARGE {
        return serializer.serialize_bytes(bytes);
    }
    LENT.set(Some(bytes.clone()));
    let result = serializer.serialize_bytes(bytes);
    LENT.set(None); // It was another serializer.
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Value, write_ack};

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

    #[test]
    fn large_bytes_of_a_value_are_shared_and_all_else_is_copied() {
        let (large, small) = (Bytes::from(vec![1; LARGE]), Bytes::from(vec![2; LARGE - 1]));
        let own = serde_bytes(&large);
        let args = (
            Value::Binary(large.clone()),
            Value::Binary(small.clone()),
            own,
            Value::Array(vec![Value::Binary(large.slice(..))]),
        );
        let (mut out, mut attachments) = (Vec::new(), Attachments::new());
        attachments.push(b"of another packet");
        write_ack(&mut out, "/", 1, &args, &mut attachments).unwrap();
        let is_shared: Vec<_> = attachments
            .iter()
            .map(|bytes| bytes.as_ptr() == large.as_ptr())
            .collect();
        assert_eq!(is_shared, [false, true, false, false, true]);
        let all = [&b"of another packet"[..], &large, &small, &large, &large];
        assert!(attachments.iter().eq(all));
        assert_eq!(attachments.get(2), Some(&small[..]));
        for len in (0..5).rev() {
            attachments.truncate(len);
            assert!(attachments.iter().eq(all[..len].iter().copied()), "{len}");
        }
        attachments.push(b"new");
        assert!(attachments.iter().eq([b"new"]));
    }

    #[test]
    fn what_was_lent_to_another_serializer_is_not_kept() {
        let large = Bytes::from(vec![1; LARGE]);
        let json = serde_json::to_vec(&Value::Binary(large.clone())).unwrap();
        assert!(json.starts_with(b"[1,1,"));
        assert!(large.is_unique());
    }

    /// A type of its own that holds bytes.
    fn serde_bytes(bytes: &[u8]) -> impl serde::Serialize {
        struct Own<'a>(&'a [u8]);
        impl serde::Serialize for Own<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(self.0)
            }
        }
        Own(bytes)
    }
}
