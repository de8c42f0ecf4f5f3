//! JSON strings, RFC 8259 §7: the fast road for plain text, and the escapes.
//!
//! Most strings need no escape, and most are short. How far a text is plain is asked of words of
//! eight bytes at first, and of whole blocks, by way of vector instructions, when it turns out to be
//! long; its plain parts are copied whole.

use std::sync::LazyLock;

use fearless_simd::{Level, dispatch};

/// How many bytes at the beginning may stand in a JSON string as they are: up to the first quote,
/// backslash or control character.
#[inline]
pub(crate) fn plain_len(bytes: &[u8]) -> usize {
    match bytes.split_at_checked(SHORT) {
        Some((head, tail)) => match plain_head(head) {
            SHORT => SHORT + plain_tail(tail),
            len => len,
        },
        None => plain_head(bytes),
    }
}

/// The same for bytes that are few.
///
/// What ends within a word, as many names do, is found by one; what goes on, by blocks.
#[inline(never)]
fn plain_head(bytes: &[u8]) -> usize {
    let mut at = 0;
    if let Some(word) = bytes.first_chunk() {
        match plain_in_word(word) {
            WORD => at = WORD,
            len => return len,
        }
        while let Some(block) = bytes[at..].first_chunk::<BLOCK>()
            && is_plain_block(block)
        {
            at += BLOCK;
        }
        while let Some(word) = bytes[at..].first_chunk() {
            match plain_in_word(word) {
                WORD => at += WORD,
                len => return at + len,
            }
        }
    }
    while at < bytes.len() && !is_special(bytes[at]) {
        at += 1;
    }
    at
}

/// What is left of a long text, by the widest vectors that this processor has.
#[inline(never)]
fn plain_tail(bytes: &[u8]) -> usize {
    let (blocks, _) = bytes.as_chunks();
    let plain = SHORT * dispatch!(*LEVEL, _ => plain_blocks(blocks));
    let rest = &bytes[plain..];
    plain + plain_head(rest.get(..SHORT).unwrap_or(rest))
}

/// How many blocks stand before the first one that holds a special byte. Inlined into whatever was
/// compiled for wider vectors.
#[inline(always)]
fn plain_blocks(blocks: &[[u8; SHORT]]) -> usize {
    let plain = blocks.iter().take_while(|block| is_plain_block(block));
    plain.count()
}

/// Whether all bytes may stand in a JSON string as they are.
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    if bytes.len() >= SHORT {
        return plain_len(bytes) == bytes.len();
    }
    // The last of a kind may overlap the one before.
    if let Some(last) = bytes.last_chunk::<BLOCK>() {
        return is_plain_block(last) && bytes.as_chunks().0.iter().all(is_plain_block::<BLOCK>);
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return specials(*first) | specials(*last) == 0;
    }
    match bytes {
        [a, b, c, d, ..] => {
            let [.., e, f, g, h] = bytes else {
                return false;
            };
            specials([*a, *b, *c, *d, *e, *f, *g, *h]) == 0
        }
        _ => !bytes.iter().any(|&byte| is_special(byte)),
    }
}

/// Whether none of these is special: for each byte a number that is 0 if it is, so that a vector of
/// them is compared once.
#[inline(always)]
fn is_plain_block<const N: usize>(block: &[u8; N]) -> bool {
    block.iter().fold(true, |plain, byte| {
        let quote = byte ^ b'"';
        let backslash = byte ^ b'\\';
        let control = byte.saturating_sub(0x1f);
        plain & (quote.min(backslash).min(control) != 0)
    })
}

/// How many bytes of a word stand before the first special one.
#[inline(always)]
fn plain_in_word(word: &[u8; WORD]) -> usize {
    specials(*word).trailing_zeros() as usize / 8
}

/// The special ones of eight bytes, by their highest bits.
///
/// What is 0 or below becomes negative when 1 is taken away, so three subtractions answer all three
/// questions; bytes above 0x7f are no ASCII. A borrow can flag the next byte up wrongly, never
/// the lowest.
#[inline(always)]
fn specials(word: [u8; WORD]) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let word = u64::from_le_bytes(word);
    let quote = (word ^ (ONES * b'"' as u64)).wrapping_sub(ONES);
    let backslash = (word ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    let control = word.wrapping_sub(ONES * 0x20);
    (quote | backslash | control) & !word & (ONES << 7)
}

#[inline]
fn is_special(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

/// Appends `text` as a JSON string, quotes included.
#[inline]
pub(crate) fn write(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
    } else {
        write_escaped(out, bytes);
    }
    out.push(b'"');
}

/// Piece by piece, so that a newline every hundred bytes does not make each search go to the end.
#[cold]
fn write_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    for mut piece in bytes.chunks(4 * SHORT) {
        loop {
            let (plain, rest) = piece.split_at(plain_len(piece));
            out.extend_from_slice(plain);
            let Some((&byte, rest)) = rest.split_first() else {
                break;
            };
            write_escape(out, byte);
            piece = rest;
        }
    }
}

fn write_escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x09 => b't',
        0x0a => b'n',
        0x0c => b'f',
        0x0d => b'r',
        _ => b'u',
    };
    out.extend_from_slice(&[b'\\', short]);
    if short == b'u' {
        let digit = |half: u8| b"0123456789abcdef"[usize::from(half)];
        out.extend_from_slice(&[b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
    }
}

/// One escape sequence, without its backslash: the character and the bytes it took, or `None` if
/// there is no such escape.
///
/// Half of a surrogate pair without the other half is U+FFFD, as in WHATWG's conversion to scalar
/// values. JavaScript writes such halves when a string was cut inside a pair; refusing them would
/// close the connection of a chat for a badly cut emoji.
pub(crate) fn unescape(bytes: &[u8]) -> Option<(char, usize)> {
    let character = match bytes.first()? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unescape_unicode(bytes),
        _ => return None,
    };
    Some((character, 1))
}

fn unescape_unicode(bytes: &[u8]) -> Option<(char, usize)> {
    let first = hex(bytes.get(1..5)?)?;
    if let Some(character) = char::from_u32(first) {
        return Some((character, 5));
    }
    let second = match bytes.get(5..11) {
        Some([b'\\', b'u', digits @ ..]) => hex(digits),
        _ => None,
    };
    Some(match (first, second) {
        (0xd800..=0xdbff, Some(second @ 0xdc00..=0xdfff)) => {
            let scalar = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            (
                char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER),
                11,
            )
        }
        _ => (char::REPLACEMENT_CHARACTER, 5),
    })
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, &digit| {
        Some(value << 4 | char::from(digit).to_digit(16)?)
    })
}

/// Bytes of a word.
const WORD: usize = 8;

/// Bytes of a vector that every processor has.
const BLOCK: usize = 16;

/// The vectors that this processor has.
static LEVEL: LazyLock<Level> = LazyLock::new(Level::new);

/// From here on a search by them is faster.
const SHORT: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        write(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn quotes_backslashes_and_controls_are_escaped_and_nothing_else() {
        assert_eq!(written("a\"b\\c"), r#""a\"b\\c""#);
        assert_eq!(
            written("\u{8}\t\n\u{c}\r\0\u{1f}"),
            r#""\b\t\n\f\r\u0000\u001f""#
        );
        assert_eq!(
            written("/ \u{7f} é \u{2028} 😀"),
            "\"/ \u{7f} é \u{2028} 😀\""
        );
    }

    #[test]
    fn half_a_surrogate_pair_is_the_replacement_character() {
        assert_eq!(unescape(br"ud83d\ude00"), Some(('😀', 11)));
        assert_eq!(unescape(br"ud83d\n"), Some(('\u{fffd}', 5)));
        assert_eq!(unescape(br"ude00\ud83d"), Some(('\u{fffd}', 5)));
        assert_eq!(unescape(br"ud83d\ud83d"), Some(('\u{fffd}', 5)));
        assert_eq!(unescape(b"u12g4"), None);
        assert_eq!(unescape(b"u+123"), None);
        assert_eq!(unescape(b"u123"), None);
        assert_eq!(unescape(b"x"), None);
    }

    #[test]
    fn long_text_is_plain_up_to_the_first_special_byte() {
        for special in [b'"', b'\\', 0, 0x1f] {
            for at in (0..200).chain(8000..8200) {
                let mut text = vec![b'~'; 8200];
                text[at] = special;
                assert_eq!(plain_len(&text), at, "{special}");
                text.truncate(at);
                assert_eq!(plain_len(&text), at);
            }
        }
    }

    proptest! {
        #[test]
        fn text_is_plain_up_to_the_first_special_byte(
            bytes in prop::collection::vec(any::<u8>(), 0..40),
            plain in prop::collection::vec(0x80u8.., 0..400),
        ) {
            let bytes = [plain, bytes].concat();
            let special = bytes.iter().position(|&byte| is_special(byte));
            prop_assert_eq!(plain_len(&bytes), special.unwrap_or(bytes.len()));
        }

        #[test]
        fn a_string_is_written_as_serde_json_writes_it(text in any::<String>(), n in 0..150usize) {
            let text = "é".repeat(n) + &text;
            prop_assert_eq!(written(&text), serde_json::to_string(&text).unwrap());
        }
    }
}
