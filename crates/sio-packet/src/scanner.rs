//! JSON text, RFC 8259, one token at a time.
//!
//! The text is a `&str` from the start: it came in a text message, whose UTF-8 is checked already,
//! and a plain string of it is a slice of it.

use std::borrow::Cow;

use crate::fault::Syntax;
use crate::string;

/// How deep arrays and objects may be nested, the array of the arguments included.
///
/// The same depth that serde_json accepts, plus one.
pub(crate) const MAX_DEPTH: usize = 128;

/// A position in JSON text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scanner<'de> {
    text: &'de str,
    at: usize,
}

/// A number, in the narrowest of the forms that serde distinguishes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    Float(f64),
    Negative(i64),
    Positive(u64),
}

impl<'de> Scanner<'de> {
    #[inline]
    pub(crate) fn new(text: &'de str) -> Self {
        Self { text, at: 0 }
    }

    /// Bytes behind us.
    #[inline]
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The text from `start` to here.
    pub(crate) fn since(&self, start: usize) -> &'de str {
        &self.text[start..self.at]
    }

    /// The text from here on.
    #[inline]
    pub(crate) fn ahead(&self) -> &'de str {
        &self.text[self.at..]
    }

    /// The next byte that is not white space, which stays ahead of us.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.as_bytes().get(self.at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                byte => return byte.copied(),
            }
        }
    }

    /// Steps over the byte that [`Self::peek`] returned, which was an ASCII one.
    #[inline]
    pub(crate) fn advance(&mut self) {
        self.at += 1;
    }

    /// Steps over `byte` if it is next.
    #[inline]
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Steps over `byte`, which must be next.
    #[inline]
    pub(crate) fn expect(&mut self, byte: u8, problem: &'static str) -> Result<(), Syntax> {
        if self.eat(byte) {
            Ok(())
        } else {
            Err(self.problem(problem))
        }
    }

    /// Nothing but white space is left.
    pub(crate) fn end(&mut self) -> Result<(), Syntax> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.problem("text after the end")),
        }
    }

    /// Steps over `word`, whose first letter is next.
    pub(crate) fn literal(&mut self, word: &'static str) -> Result<(), Syntax> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.problem("neither null, true nor false"));
        }
        self.at += word.len();
        Ok(())
    }

    /// A string, whose opening quote is next: a slice of the text, unless it holds escapes.
    #[inline(always)]
    pub(crate) fn string(&mut self) -> Result<Cow<'de, str>, Syntax> {
        let start = self.at + 1;
        let end = start + string::plain_len(&self.text.as_bytes()[start..]);
        if self.text.as_bytes().get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(Cow::Borrowed(&self.text[start..end]));
        }
        self.escaped_string()
    }

    /// Steps over a string, whose opening quote is next.
    #[inline]
    pub(crate) fn skip_string(&mut self) -> Result<(), Syntax> {
        self.pieces(None)
    }

    /// A number, whose first byte is next.
    #[inline]
    pub(crate) fn number(&mut self) -> Result<Number, Syntax> {
        let start = self.at;
        match self.number_parts()? {
            Some((false, value)) => Ok(Number::Positive(value)),
            // Minus zero is a float, and so is what does not fit.
            Some((true, value @ 1..=0x8000_0000_0000_0000)) => {
                Ok(Number::Negative(0i64.wrapping_sub_unsigned(value)))
            }
            _ => match self.since(start).parse::<f64>() {
                Ok(value) if value.is_finite() => Ok(Number::Float(value)),
                _ => Err(Syntax {
                    at: start,
                    problem: "a number out of range",
                }),
            },
        }
    }

    /// Steps over a number, whose first byte is next, and returns its text.
    pub(crate) fn number_text(&mut self) -> Result<&'de str, Syntax> {
        let start = self.at;
        self.number_parts()?;
        Ok(self.since(start))
    }

    pub(crate) fn problem(&self, problem: &'static str) -> Syntax {
        Syntax {
            at: self.at,
            problem,
        }
    }

    #[cold]
    fn escaped_string(&mut self) -> Result<Cow<'de, str>, Syntax> {
        let mut text = String::new();
        self.pieces(Some(&mut text))?;
        Ok(Cow::Owned(text))
    }

    /// Steps over a string, whose opening quote is next, and copies what it says.
    #[inline]
    fn pieces(&mut self, mut copy: Option<&mut String>) -> Result<(), Syntax> {
        let bytes = self.text.as_bytes();
        self.at += 1;
        loop {
            let start = self.at;
            self.at += string::plain_len(&bytes[start..]);
            if let Some(copy) = &mut copy {
                copy.push_str(self.since(start));
            }
            match bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => self.at += 1,
                Some(_) => return Err(self.problem("a control character in a string")),
                None => return Err(self.problem("a string without end")),
            }
            let Some((character, len)) = string::unescape(&bytes[self.at..]) else {
                return Err(self.problem("an unknown escape"));
            };
            if let Some(copy) = &mut copy {
                copy.push(character);
            }
            self.at += len;
        }
        self.at += 1;
        Ok(())
    }

    /// Steps over a number; its sign and value if it is an integer of 64 bits.
    #[inline]
    fn number_parts(&mut self) -> Result<Option<(bool, u64)>, Syntax> {
        let negative = self.text.as_bytes().get(self.at) == Some(&b'-');
        self.at += usize::from(negative);
        let start = self.at;
        let (mut integer, mut value) = (true, 0u64);
        while let Some(digit @ b'0'..=b'9') = self.text.as_bytes().get(self.at) {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        match self.at - start {
            0 => return Err(self.problem("a number without digits")),
            1 => {}
            _ if self.text.as_bytes()[start] == b'0' => {
                return Err(self.problem("a number with a leading zero"));
            }
            // Up to 19 digits always fit into 64 bits.
            2..20 => {}
            _ => match self.since(start).parse() {
                Ok(exact) => value = exact,
                Err(_) => integer = false,
            },
        }
        if self.eat_here(b'.') {
            integer = false;
            self.digits()?;
        }
        if self.eat_here(b'e') || self.eat_here(b'E') {
            integer = false;
            let _sign = self.eat_here(b'+') || self.eat_here(b'-');
            self.digits()?;
        }
        Ok(integer.then_some((negative, value)))
    }

    fn digits(&mut self) -> Result<(), Syntax> {
        let ahead = &self.text.as_bytes()[self.at..];
        let count = ahead
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        self.at += count;
        if count == 0 {
            Err(self.problem("a number without digits"))
        } else {
            Ok(())
        }
    }

    /// Steps over `byte` if it is next, white space not allowed.
    #[inline]
    fn eat_here(&mut self, byte: u8) -> bool {
        let found = self.text.as_bytes().get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_string_is_a_slice_of_the_text() {
        let mut scanner = Scanner::new(r#""plain é","#);
        assert!(matches!(scanner.string(), Ok(Cow::Borrowed("plain é"))));
        assert_eq!(scanner.peek(), Some(b','));
    }

    #[test]
    fn a_malformed_string_is_refused() {
        for text in [
            "\"",
            "\"abc",
            "\"a\\",
            "\"a\\\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\n\"",
            "\"\\n\t\"",
        ] {
            assert!(Scanner::new(text).string().is_err(), "{text:?}");
            assert!(Scanner::new(text).skip_string().is_err(), "{text:?}");
            assert!(serde_json::from_str::<String>(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn numbers_are_read_into_the_narrowest_form() {
        for (text, number) in [
            ("0", Number::Positive(0)),
            ("18446744073709551615", Number::Positive(u64::MAX)),
            (
                "18446744073709551616",
                Number::Float(18446744073709551616.0),
            ),
            ("-1", Number::Negative(-1)),
            ("-9223372036854775808", Number::Negative(i64::MIN)),
            (
                "-9223372036854775809",
                Number::Float(-9223372036854775809.0),
            ),
            ("-0", Number::Float(-0.0)),
            ("1.5e3", Number::Float(1500.0)),
            ("1E-2", Number::Float(0.01)),
        ] {
            assert_eq!(Scanner::new(text).number(), Ok(number), "{text}");
        }
    }

    #[test]
    fn a_malformed_number_is_refused() {
        for text in [
            "-", "01", "-01", "1.", "1.e1", "1e", "1e+", "1e999", "+1", ".5",
        ] {
            assert!(Scanner::new(text).number().is_err(), "{text}");
            assert!(serde_json::from_str::<f64>(text).is_err(), "{text}");
        }
    }
}
