//! JSON strings, RFC 8259 §7: the fast road for plain text, and the escapes.
//!
//! Most strings need no escape. Whether one does is asked of whole blocks at a time, in loops that
//! the compiler vectorises; only then is it looked at byte by byte.

use memchr::memchr2;

/// Appends `text` as a JSON string, quotes included.
#[inline]
pub(crate) fn write(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    if memchr2(b'"', b'\\', bytes).is_none() && !has_control(bytes) {
        out.extend_from_slice(bytes);
    } else {
        write_escaped(out, bytes);
    }
    out.push(b'"');
}

/// Whether a byte below 0x20 is among them; these never stand bare in a JSON string.
#[inline]
pub(crate) fn has_control(bytes: &[u8]) -> bool {
    bytes.iter().fold(u8::MAX, |least, &byte| least.min(byte)) < 0x20
}

#[cold]
fn write_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    for block in bytes.chunks(BLOCK) {
        if block
            .iter()
            .fold(false, |any, &byte| any | needs_escape(byte))
        {
            write_block(out, block);
        } else {
            out.extend_from_slice(block);
        }
    }
}

fn write_block(out: &mut Vec<u8>, block: &[u8]) {
    let mut copied = 0;
    for (at, &byte) in block.iter().enumerate() {
        if !needs_escape(byte) {
            continue;
        }
        out.extend_from_slice(&block[copied..at]);
        copied = at + 1;
        let short = match byte {
            b'"' | b'\\' => byte,
            0x08 => b'b',
            0x09 => b't',
            0x0a => b'n',
            0x0c => b'f',
            0x0d => b'r',
            _ => {
                let digit = |half: u8| b"0123456789abcdef"[usize::from(half)];
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
    }
    out.extend_from_slice(&block[copied..]);
}

fn needs_escape(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
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

/// Long enough for wide registers, short enough that one newline in a long text costs little.
const BLOCK: usize = 64;

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

    proptest! {
        #[test]
        fn a_string_is_written_as_serde_json_writes_it(text in any::<String>(), n in 0..150usize) {
            let text = "é".repeat(n) + &text;
            prop_assert_eq!(written(&text), serde_json::to_string(&text).unwrap());
        }
    }
}
