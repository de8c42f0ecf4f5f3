//! Text is UTF-8, RFC 6455 §5.6 and §8.1, and it is checked as far as it has arrived.
//!
//! A message that is cut anywhere, between fragments or inside a frame, is refused at the first
//! byte that no continuation could make right. What is held back is at most the first three bytes
//! of a character whose end is still to come.

use crate::ProtocolError;

/// Checks a piece of text that may stop inside a character, and says how many bytes at its end
/// belong to that character: 0 to 3.
pub(crate) fn check(piece: &[u8]) -> Result<usize, ProtocolError> {
    match simdutf8::compat::from_utf8(piece) {
        Ok(_) => Ok(0),
        Err(error) if error.error_len().is_none() => Ok(piece.len() - error.valid_up_to()),
        Err(_) => Err(ProtocolError::Utf8),
    }
}

/// Checks a whole text.
#[inline]
pub(crate) fn text(whole: &[u8]) -> Result<&str, ProtocolError> {
    simdutf8::basic::from_utf8(whole).map_err(|_| ProtocolError::Utf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_that_is_cut_is_held_back() {
        assert_eq!(check("ab😀".as_bytes()), Ok(0));
        assert_eq!(check(&"ab😀".as_bytes()[..5]), Ok(3));
        assert_eq!(check(&"ab😀".as_bytes()[..3]), Ok(1));
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
            assert_eq!(check(hopeless), Err(ProtocolError::Utf8), "{hopeless:x?}");
        }
        for hopeful in [&b"\xed\x9f"[..], b"\xe0\xa0", b"\xf4\x8f"] {
            assert_eq!(check(hopeful), Ok(2), "{hopeful:x?}");
        }
    }
}
