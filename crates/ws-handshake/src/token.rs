//! Tokens and comma-separated lists, RFC 9110 §5.6.1 and §5.6.2.

/// Whether `byte` may stand in a token.
#[inline]
pub(crate) fn is_token_byte(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// Whether `text` is a token: one character of the set or more.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// The elements of a list, without the white space around them and without the empty ones, which
/// §5.6.1.2 tells a recipient to ignore.
pub(crate) fn elements(line: &str) -> impl Iterator<Item = &str> {
    line.split(',')
        .map(trim)
        .filter(|element| !element.is_empty())
}

/// Whether the bytes of a list field hold `wanted`, a word as for [`is_word`].
pub(crate) fn contains<const LEN: usize>(line: &[u8], wanted: &[u8; LEN]) -> bool {
    // The whole line is the usual case, and cheaper than cutting it.
    is_word(line, wanted)
        || str::from_utf8(line)
            .is_ok_and(|line| elements(line).any(|element| is_word(element.as_bytes(), wanted)))
}

/// Whether `text` is `word`, which is written in lower case, without regard to ASCII case.
///
/// A fixed length lets the compiler compare sixteen bytes at a time; the names of fields are most
/// of what a handshake compares.
#[inline]
pub(crate) fn is_word<const LEN: usize>(text: &[u8], word: &[u8; LEN]) -> bool {
    let Ok(text) = <&[u8; LEN]>::try_from(text) else {
        return false;
    };
    text.iter()
        .zip(word)
        .fold(0, |differ, (a, b)| differ | (a.to_ascii_lowercase() ^ b))
        == 0
}

/// Optional white space is spaces and tabs (§5.6.3), nothing else that Unicode calls white.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// `!#$%&'*+-.^_`|~`, digits and letters.
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let punctuation = b"!#$%&'*+-.^_`|~";
    let mut at = 0;
    while at < punctuation.len() {
        table[punctuation[at] as usize] = true;
        at += 1;
    }
    let mut byte = 0;
    while byte < 128 {
        if (byte as u8).is_ascii_alphanumeric() {
            table[byte] = true;
        }
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_holds_no_separator_and_no_control() {
        let separators = b"()<>@,;:\\\"/[]?={} \t";
        for byte in 0..=255u8 {
            let legal = byte.is_ascii_graphic() && !separators.contains(&byte);
            assert_eq!(is_token_byte(byte), legal, "{byte:#04x}");
        }
        assert!(!is_token(""));
    }

    #[test]
    fn empty_elements_of_a_list_are_ignored() {
        let found: Vec<_> = elements(" , a\t,,b , ").collect();
        assert_eq!(found, ["a", "b"]);
        assert!(contains(b"keep-alive, Upgrade", b"upgrade"));
        assert!(!contains(b"upgraded", b"upgrade"));
        assert!(!contains(b"\xff, upgrade", b"upgrade"));
    }
}
