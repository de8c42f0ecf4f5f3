//! Masking, RFC 6455 §5.3: byte `i` of the payload is combined with byte `i mod 4` of the key.
//!
//! The same operation masks and unmasks. It is written over arrays whose length the compiler knows,
//! and which it turns into the widest vector instructions it may use; what does not fill an array is
//! done by one that overlaps the array before it. Long payloads go through the same loop compiled for
//! the vectors that this processor has, which is asked once
//! (`docs/decisions/0009-masking-in-safe-code.md`).

use std::sync::LazyLock;

use fearless_simd::{Level, dispatch};

/// Masks or unmasks a whole payload.
///
/// ```
/// let mut payload = *b"Hello";
/// ws_frame::mask(&mut payload, [0x37, 0xfa, 0x21, 0x3d]); // RFC 6455 §5.7
/// assert_eq!(payload, [0x7f, 0x9f, 0x4d, 0x51, 0x58]);
/// ws_frame::mask(&mut payload, [0x37, 0xfa, 0x21, 0x3d]);
/// assert_eq!(&payload, b"Hello");
/// ```
#[inline]
pub fn mask(buf: &mut [u8], key: [u8; 4]) {
    match buf.len() {
        0..4 => {
            for (byte, key) in buf.iter_mut().zip(key) {
                *byte ^= key;
            }
        }
        4..8 => ends::<4>(buf, key),
        8..16 => ends::<8>(buf, key),
        16..=32 => ends::<16>(buf, key),
        33..=64 => ends::<32>(buf, key),
        65..WIDE => blocks::<64>(buf, key),
        _ => wide(buf, key),
    }
}

/// A copy of a payload, masked or unmasked on the way: one pass over it instead of two.
pub(crate) fn masked_copy(payload: &[u8], key: [u8; 4]) -> Vec<u8> {
    if payload.len() < WIDE {
        let mut out = payload.to_vec();
        mask(&mut out, key);
        return out;
    }
    let mut out = Vec::with_capacity(payload.len());
    let (blocks, rest) = payload.as_chunks();
    dispatch!(*LEVEL, _ => copy_blocks(&mut out, blocks, key));
    let done = out.len();
    out.extend_from_slice(rest);
    mask(&mut out[done..], key);
    out
}

/// Bytes that are copied with one look at the room for them.
const COPIED: usize = 256;

#[inline(always)]
fn copy_blocks(out: &mut Vec<u8>, blocks: &[[u8; COPIED]], key: [u8; 4]) {
    for bytes in blocks {
        out.extend_from_slice(&block(*bytes, key));
    }
}

/// From so many bytes on, wider vectors save more than it takes to choose them.
const WIDE: usize = 256;

/// The vectors that this processor has.
static LEVEL: LazyLock<Level> = LazyLock::new(Level::new);

/// A vector that lies in two cache lines is two accesses; over so many bytes that is worth avoiding.
const ALIGNED: usize = 2048;

fn wide(buf: &mut [u8], key: [u8; 4]) {
    if buf.len() < ALIGNED {
        return dispatch!(*LEVEL, _ => blocks::<64>(buf, key));
    }
    let (head, rest) = buf.split_at_mut(buf.as_ptr().align_offset(64).min(64));
    mask(head, key);
    let key = turned(key, head.len());
    dispatch!(*LEVEL, _ => blocks::<128>(rest, key));
}

/// The first `N` bytes and the last `N`, which overlap: no loop over what is left. Both are read
/// before either is written.
#[inline]
fn ends<const N: usize>(buf: &mut [u8], key: [u8; 4]) {
    let last = buf.len() - N;
    let (Some(&head), Some(&tail)) = (buf.first_chunk::<N>(), buf.last_chunk::<N>()) else {
        return;
    };
    buf[..N].copy_from_slice(&block(head, key));
    buf[last..].copy_from_slice(&block(tail, turned(key, last)));
}

/// Blocks of `N` bytes, then the last `N`, which overlap. There are that many.
///
/// Inlined into whatever was compiled for wider vectors.
#[inline(always)]
fn blocks<const N: usize>(buf: &mut [u8], key: [u8; 4]) {
    let Some(&tail) = buf.last_chunk::<N>() else {
        return;
    };
    let last = buf.len() - N;
    let tail = block(tail, turned(key, last));
    for bytes in buf.as_chunks_mut::<N>().0 {
        *bytes = block(*bytes, key);
    }
    buf[last..].copy_from_slice(&tail);
}

/// `N` is a multiple of four.
#[inline(always)]
fn block<const N: usize>(mut bytes: [u8; N], key: [u8; 4]) -> [u8; N] {
    let key = u32::from_ne_bytes(key);
    for word in bytes.as_chunks_mut::<4>().0 {
        *word = (u32::from_ne_bytes(*word) ^ key).to_ne_bytes();
    }
    bytes
}

/// The key for a payload whose first `count` bytes are left out.
#[inline]
fn turned(key: [u8; 4], count: usize) -> [u8; 4] {
    u32::from_le_bytes(key)
        .rotate_right(8 * (count % 4) as u32)
        .to_le_bytes()
}

/// Masks or unmasks a payload that comes in pieces.
///
/// ```
/// use ws_frame::Masker;
///
/// let (mut masker, mut first, mut rest) = (Masker::new([0x37, 0xfa, 0x21, 0x3d]), *b"He", *b"llo");
/// masker.apply(&mut first);
/// masker.apply(&mut rest);
/// assert_eq!([&first[..], &rest[..]].concat(), [0x7f, 0x9f, 0x4d, 0x51, 0x58]);
/// ```
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
        self.key = turned(self.key, piece.len());
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
            buf in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..400),
                prop::collection::vec(any::<u8>(), 2000..2500),
            ],
            from in 0..64_usize,
            key in any::<[u8; 4]>(),
        ) {
            let from = from.min(buf.len());
            let (mut ours, mut theirs) = (buf.clone(), buf);
            let copy = masked_copy(&ours[from..], key);
            mask(&mut ours[from..], key);
            by_the_letter(&mut theirs[from..], key);
            prop_assert_eq!(&copy, &theirs[from..]);
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
