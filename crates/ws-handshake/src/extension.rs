//! The header field `Sec-WebSocket-Extensions`, RFC 6455 §9.1.
//!
//! ```text
//! extension-list  = 1#extension
//! extension       = extension-token *( ";" extension-param )
//! extension-param = token [ "=" ( token | quoted-string ) ]   ; unquoted, it is a token again
//! ```
//!
//! One pass, no table of what was seen, no allocation but for a value that is quoted *and* escaped:
//! the time is linear in the length of the line whatever stands in it.

use std::borrow::Cow;
use std::fmt;

use crate::token::{is_token, is_token_byte};

/// One extension of a header line: a name and its parameters, borrowed from the line.
///
/// Printing it gives the shortest form of the same extension.
#[derive(Clone, Copy)]
pub struct Extension<'a> {
    name: &'a str,
    /// From the first `;` to the end of the last parameter, already checked.
    params: &'a str,
}

impl<'a> Extension<'a> {
    /// The extension's registered name.
    #[inline]
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The parameters in the order of the header.
    pub fn params(&self) -> impl Iterator<Item = Param<'a>> + use<'a> {
        let mut cursor = Cursor { rest: self.params };
        std::iter::from_fn(move || cursor.param().ok().flatten())
    }
}

impl fmt::Debug for Extension<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Extension({self})")
    }
}

impl fmt::Display for Extension<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        self.params().try_for_each(|param| write!(f, "; {param}"))
    }
}

/// One parameter of an extension.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Param<'a> {
    /// The token before the `=`.
    pub name: &'a str,
    /// The token after it, without quotes and escapes; `None` if there is no `=`.
    pub value: Option<Cow<'a, str>>,
}

impl fmt::Display for Param<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            None => f.write_str(self.name),
            Some(value) => write!(f, "{}={value}", self.name),
        }
    }
}

/// A line of `Sec-WebSocket-Extensions` that breaks the grammar.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Malformed;

/// The extensions of one line. After an error comes `None`.
pub(crate) fn extensions(line: &str) -> impl Iterator<Item = Result<Extension<'_>, Malformed>> {
    let mut cursor = Cursor { rest: line };
    let mut first = true;
    std::iter::from_fn(move || {
        let found = cursor.extension(std::mem::take(&mut first)).transpose()?;
        if found.is_err() {
            cursor.rest = "";
        }
        Some(found)
    })
}

/// What is left of the line. Every step takes something off the front or ends the walk.
struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn extension(&mut self, first: bool) -> Result<Option<Extension<'a>>, Malformed> {
        // Empty elements of a list count for nothing (RFC 9110 §5.6.1.2).
        let mut separated = first;
        while {
            self.skip_white();
            self.take(b',')
        } {
            separated = true;
        }
        if self.rest.is_empty() {
            return Ok(None);
        }
        if !separated {
            return Err(Malformed);
        }
        let name = self.token()?;
        let params = self.rest;
        while self.param()?.is_some() {}
        Ok(Some(Extension {
            name,
            params: &params[..params.len() - self.rest.len()],
        }))
    }

    /// `; name`, `; name=value` or `; name="value"`; `None` where no `;` follows.
    fn param(&mut self) -> Result<Option<Param<'a>>, Malformed> {
        self.skip_white();
        if !self.take(b';') {
            return Ok(None);
        }
        self.skip_white();
        let name = self.token()?;
        self.skip_white();
        if !self.take(b'=') {
            return Ok(Some(Param { name, value: None }));
        }
        self.skip_white();
        let value = if self.take(b'"') {
            self.quoted()?
        } else {
            Cow::Borrowed(self.token()?)
        };
        Ok(Some(Param {
            name,
            value: Some(value),
        }))
    }

    fn token(&mut self) -> Result<&'a str, Malformed> {
        let len = self
            .rest
            .bytes()
            .position(|b| !is_token_byte(b))
            .unwrap_or(self.rest.len());
        if len == 0 {
            return Err(Malformed);
        }
        let (token, rest) = self.rest.split_at(len);
        self.rest = rest;
        Ok(token)
    }

    /// The inside of a quoted string, up to and with the closing quote. §9.1: when unescaped, it
    /// must be a token.
    fn quoted(&mut self) -> Result<Cow<'a, str>, Malformed> {
        let end = self.closing_quote().ok_or(Malformed)?;
        let inside = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        // No escape is the rule; then nothing needs to be copied.
        let value = if inside.contains('\\') {
            let mut escaped = false;
            let unescape = |c: &char| {
                escaped = *c == '\\' && !escaped;
                !escaped
            };
            Cow::Owned(inside.chars().filter(unescape).collect())
        } else {
            Cow::Borrowed(inside)
        };
        if is_token(&value) {
            Ok(value)
        } else {
            Err(Malformed)
        }
    }

    fn closing_quote(&self) -> Option<usize> {
        let mut escaped = false;
        self.rest.bytes().position(|byte| {
            let closing = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            closing
        })
    }

    #[inline]
    fn skip_white(&mut self) {
        while self.take(b' ') || self.take(b'\t') {}
    }

    #[inline]
    fn take(&mut self, byte: u8) -> bool {
        let found = self.rest.as_bytes().first() == Some(&byte);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The line in its shortest form, or `None` if it is malformed.
    fn printed(line: &str) -> Option<Vec<String>> {
        extensions(line)
            .map(|found| found.map(|e| e.to_string()).ok())
            .collect()
    }

    #[test]
    fn the_grammar_of_the_rfc_is_read() {
        let table: &[(&str, &[&str])] = &[
            ("foo", &["foo"]),
            ("foo, bar; baz=2", &["foo", "bar; baz=2"]), // §9.1
            ("foo;bar;baz", &["foo; bar; baz"]),
            (" \tfoo\t;\tbar = \"2\" ,, bar ,", &["foo; bar=2", "bar"]),
            ("foo; bar=\"a\\b\\c\"", &["foo; bar=abc"]),
            ("foo; a; a=1; a=2", &["foo; a; a=1; a=2"]), // repetition is the extension's business
            ("", &[]),
            (" , ,, ", &[]),
        ];
        for (line, expected) in table {
            let found = printed(line).unwrap();
            assert_eq!(found, *expected, "{line}");
        }
    }

    #[test]
    fn a_line_that_breaks_the_grammar_is_refused_whole() {
        let table = [
            "foo bar",
            ";",
            "; foo",
            "foo;",
            "foo; ",
            "foo;,",
            "foo;;bar",
            "foo=1",
            "foo; =1",
            "foo; a=",
            "foo; a=,",
            "foo; a=b c",
            "foo; a=\"",
            "foo; a=\"b",
            "foo; a=\"b\\",
            "foo; a=\"b\\\"",
            "foo; a=\"\"",
            "foo; a=\"b c\"",
            "foo; a=\"b,c\"",
            "foo; a=\"\\\"\"",
            "foo; a=\"b\"c",
            "\"foo\"",
            "foo; \"a\"",
            "f\u{f6}\u{f6}",
            "foo; a=\"\u{f6}\"",
            "foo\0",
            "foo\u{a0}",
            "foo/bar",
            "foo\r\n bar",
        ];
        for line in table {
            assert_eq!(printed(line), None, "{line:?}");
            assert_eq!(printed(&format!("ok, {line}")), None, "{line:?}");
        }
    }

    /// An extension, and one of the many ways to write it.
    fn written() -> impl Strategy<Value = (String, String)> {
        let token = "[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,8}";
        let white = "[ \t]{0,2}";
        let value = (token, 0..4u8, white).prop_map(|(token, form, white)| match form {
            0 => (String::new(), String::new()),
            1 => (format!("={token}"), format!("{white}={white}{token}")),
            2 => (format!("={token}"), format!("={white}\"{token}\"")),
            _ => {
                let escaped: String = token.chars().flat_map(|c| ['\\', c]).collect();
                (format!("={token}"), format!("{white}=\"{escaped}\""))
            }
        });
        let param = (token, value, white).prop_map(|(name, (shortest, long), white)| {
            (
                format!("; {name}{shortest}"),
                format!("{white};{white}{name}{long}"),
            )
        });
        (token, prop::collection::vec(param, 0..4)).prop_map(|(name, params)| {
            let (shortest, long): (String, String) = params.into_iter().unzip();
            (format!("{name}{shortest}"), format!("{name}{long}"))
        })
    }

    proptest! {
        #[test]
        fn parsing_undoes_printing(list in prop::collection::vec((written(), "[ \t]{0,2}"), 0..5)) {
            let shortest: Vec<String> = list.iter().map(|((shortest, _), _)| shortest.clone()).collect();
            let long: Vec<String> =
                list.iter().map(|((_, long), white)| format!("{white}{long}{white}")).collect();
            prop_assert_eq!(printed(&long.join(",")), Some(shortest.clone()));
            prop_assert_eq!(printed(&shortest.join(", ")), Some(shortest));
        }

        #[test]
        fn any_line_is_read_or_refused(line in "[a-c;,=\"\\\\ \t\u{e4}]{0,24}") {
            if let Some(found) = printed(&line) {
                prop_assert_eq!(printed(&found.join(", ")), Some(found));
            }
        }
    }
}
