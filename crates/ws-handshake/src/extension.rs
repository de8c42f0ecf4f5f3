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
        let token = &self.rest[..len];
        self.rest = &self.rest[len..];
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

    fn skip_white(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.rest.as_bytes().first() == Some(&byte);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }
}
