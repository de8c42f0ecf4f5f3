//! Masking, RFC 6455 §5.3: byte `i` of the payload is combined with byte `i mod 4` of the key.
//!
//! The same operation masks and unmasks. It runs over blocks of 64 bytes, which the compiler turns
//! into the widest vector instructions it may use, then over words, then over what is left.

/// Masks or unmasks a whole payload.
#[inline]
pub fn mask(buf: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (blocks, rest) = buf.as_chunks_mut::<64>();
    for block in blocks {
        for bytes in block.as_chunks_mut::<8>().0 {
            *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
        }
    }
    let (words, rest) = rest.as_chunks_mut::<8>();
    for bytes in words {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    let (half, rest) = rest.as_chunks_mut::<4>();
    for bytes in half {
        *bytes = (u32::from_ne_bytes(*bytes) ^ word as u32).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key) {
        *byte ^= key;
    }
}

/// Masks or unmasks a payload that comes in pieces.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Masker {
    /// The key, turned so that its first byte belongs to the next byte of the payload.
    key: [u8; 4],
}

impl Masker {
    /// Starts at the first byte of a payload.
    #[inline]
    pub const fn new(key: [u8; 4]) -> Self {
        Self { key }
    }

    /// Masks or unmasks the next piece.
    #[inline]
    pub fn apply(&mut self, piece: &mut [u8]) {
        mask(piece, self.key);
        self.key.rotate_left(piece.len() % 4);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// §5.3, to the letter.
    fn by_the_letter(buf: &mut [u8], key: [u8; 4]) {
        for (i, byte) in buf.iter_mut().enumerate() {
            *byte ^= key[i % 4];
        }
    }

    proptest! {
        #[test]
        fn every_byte_meets_its_byte_of_the_key(
            buf in prop::collection::vec(any::<u8>(), 0..300),
            from in 0..64_usize,
            key in any::<[u8; 4]>(),
        ) {
            let from = from.min(buf.len());
            let (mut ours, mut theirs) = (buf.clone(), buf);
            mask(&mut ours[from..], key);
            by_the_letter(&mut theirs[from..], key);
            prop_assert_eq!(ours, theirs);
        }

        #[test]
        fn masking_twice_is_identity(buf in any::<Vec<u8>>(), key in any::<[u8; 4]>()) {
            let mut twice = buf.clone();
            mask(&mut twice, key);
            mask(&mut twice, key);
            prop_assert_eq!(twice, buf);
        }

        #[test]
        fn a_payload_in_pieces_is_masked_as_a_whole(
            mut pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..90), 0..6),
            key in any::<[u8; 4]>(),
        ) {
            let mut whole = pieces.concat();
            mask(&mut whole, key);
            let mut masker = Masker::new(key);
            for piece in &mut pieces {
                masker.apply(piece);
            }
            prop_assert_eq!(pieces.concat(), whole);
        }
    }
}
