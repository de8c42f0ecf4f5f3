//! Text is UTF-8, RFC 6455 §5.6 and §8.1, and it is checked as far as it has arrived.
//!
//! A message that is cut anywhere, between fragments or inside a frame, is refused at the first
//! byte that no continuation could make right. Each byte is looked at once: what has been checked
//! stands in a `String` and needs no second look when it is lent. What is held back is at most the
//! first three bytes of a character whose end is still to come.

use ascii::AsAsciiStr as _;

use crate::ProtocolError;

/// Below this simdutf8 leaves a text to the standard library.
const SHORT: usize = 64;

/// Checks a whole text.
#[inline]
pub(crate) fn whole(text: &[u8]) -> Result<&str, ProtocolError> {
    // The standard library looks at a short text byte by byte, until one lies at the start of a word.
    if text.len() < SHORT
        && let Ok(text) = text.as_ascii_str()
    {
        return Ok(text.as_str());
    }
    simdutf8::basic::from_utf8(text).map_err(|_| ProtocolError::Utf8)
}

/// A text that comes in pieces.
#[derive(Debug, Default)]
pub(crate) struct Text {
    checked: String,
    /// The start of a character, of `held` bytes.
    start: [u8; 3],
    held: u8,
    finished: bool,
}

impl Text {
    /// A text in the memory of `buf`, whose content is forgotten.
    pub(crate) fn within(mut buf: Vec<u8>) -> Self {
        buf.clear();
        Self {
            checked: String::from_utf8(buf).unwrap_or_default(),
            ..Self::default()
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.checked.len() + usize::from(self.held)
    }

    pub(crate) fn capacity(&self) -> usize {
        self.checked.capacity()
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.checked
    }

    /// For so many bytes behind those that are there.
    pub(crate) fn reserve_exact(&mut self, more: usize) {
        self.checked.reserve_exact(more + usize::from(self.held));
    }

    /// Puts the next piece behind.
    pub(crate) fn push(&mut self, mut piece: &[u8]) -> Result<(), ProtocolError> {
        while self.held > 0
            && let Some((&byte, rest)) = piece.split_first()
        {
            piece = rest;
            self.complete(byte)?;
        }
        let (characters, start) = piece.split_at(last_start(piece));
        self.checked.push_str(whole(characters)?);
        start.iter().try_for_each(|&byte| self.complete(byte))
    }

    /// Puts one byte behind those that are held.
    fn complete(&mut self, byte: u8) -> Result<(), ProtocolError> {
        let held = usize::from(self.held);
        let mut bytes = [0; 4];
        bytes[..held].copy_from_slice(&self.start[..held]);
        bytes[held] = byte;
        match str::from_utf8(&bytes[..=held]) {
            Ok(character) => {
                self.checked.push_str(character);
                self.held = 0;
            }
            // A start of three bytes at most: with the fourth it is a character, or none.
            Err(error) if error.error_len().is_none() && held < self.start.len() => {
                self.start[held] = byte;
                self.held += 1;
            }
            Err(_) => return Err(ProtocolError::Utf8),
        }
        Ok(())
    }

    /// Ends the text, and says how long it is.
    pub(crate) fn finish(&mut self) -> Result<usize, ProtocolError> {
        self.finished = true;
        match self.held {
            0 => Ok(self.checked.len()),
            _ => Err(ProtocolError::Utf8),
        }
    }

    /// All of its bytes so far.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        let mut bytes = self.checked.into_bytes();
        bytes.extend_from_slice(&self.start[..usize::from(self.held)]);
        bytes
    }

    #[cfg(any(feature = "codec", feature = "tokio"))]
    pub(crate) fn into_string(self) -> String {
        self.checked
    }
}

/// Where the last character of `piece` begins, if `piece` ends inside it; else the end.
fn last_start(piece: &[u8]) -> usize {
    for back in 1..=piece.len().min(3) {
        let at = piece.len() - back;
        // A lead byte says how long its character is.
        let len = match piece[at] {
            0x80..0xc0 => continue,
            0..0x80 => 1,
            0xc0..0xe0 => 2,
            0xe0..0xf0 => 3,
            0xf0.. => 4,
        };
        return if len > back { at } else { piece.len() };
    }
    piece.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pushes `bytes` cut at each of `cuts`; the text, or how many bytes were taken when it failed.
    fn push(bytes: &[u8], cuts: &[usize]) -> Result<String, ProtocolError> {
        let mut text = Text::default();
        let mut from = 0;
        for &cut in cuts.iter().chain([&bytes.len()]) {
            let to = cut.clamp(from, bytes.len());
            text.push(&bytes[from..to])?;
            from = to;
        }
        assert_eq!(text.finish()?, text.len());
        Ok(text.checked)
    }

    proptest! {
        #[test]
        fn a_text_in_pieces_is_the_text(text in ".{0,40}", mut cuts in prop::collection::vec(0..160_usize, 0..12)) {
            cuts.sort_unstable();
            prop_assert_eq!(push(text.as_bytes(), &cuts), Ok(text));
        }

        #[test]
        fn what_is_no_text_is_refused_however_it_is_cut(
            head in ".{0,8}",
            wrong in prop::collection::vec(any::<u8>(), 1..8),
            tail in ".{0,8}",
            mut cuts in prop::collection::vec(0..72_usize, 0..12),
        ) {
            let bytes = [head.as_bytes(), &wrong, tail.as_bytes()].concat();
            cuts.sort_unstable();
            let expected = str::from_utf8(&bytes).map(str::to_owned);
            prop_assert_eq!(push(&bytes, &cuts).ok(), expected.ok());
        }
    }

    #[test]
    fn a_character_that_is_cut_is_held_back() {
        for (cut, held) in [(2, 0), (3, 1), (4, 2), (5, 3), (6, 0)] {
            let mut text = Text::default();
            assert_eq!(text.push(&"ab😀".as_bytes()[..cut]), Ok(()));
            assert_eq!((text.held, text.len()), (held, cut));
            assert_eq!(text.finish().is_ok(), held == 0);
        }
    }

    #[test]
    fn a_cut_character_that_can_no_longer_become_right_is_refused_at_once() {
        // Surrogates, overlong forms and what lies beyond U+10FFFF show in their second byte.
        for hopeless in [
            &b"\xed\xa0"[..],
            b"\xe0\x80",
            b"\xc0",
            b"\xf4\x90",
            b"\xf5",
            b"\x80",
        ] {
            let refused = Err(ProtocolError::Utf8);
            assert_eq!(Text::default().push(hopeless), refused, "{hopeless:x?}");
            let mut text = Text::default();
            let bytes = hopeless.iter().try_for_each(|&byte| text.push(&[byte]));
            assert_eq!(bytes, refused, "{hopeless:x?}, byte by byte");
        }
        for hopeful in [&b"\xed\x9f"[..], b"\xe0\xa0", b"\xf4\x8f"] {
            assert_eq!(Text::default().push(hopeful), Ok(()), "{hopeful:x?}");
        }
    }
}
