//! Msgpack into JSON text and attachments.

use std::io::Write;

use bytes::Bytes;

use super::date;
use super::token::{Reader, Token};
use crate::error::TOO_DEEP;
use crate::packet::MAX_ID;
use crate::parser::{Head, Scratch};
use crate::placeholder::MARK;
use crate::scanner::MAX_DEPTH;
use crate::{Kind, Limits, ParseError, string};

/// Reads the map of a packet: its data goes into `scratch`, the rest is returned.
pub(super) fn packet<'a>(
    message: &'a [u8],
    limits: &Limits,
    scratch: &mut Scratch,
) -> Result<Head<'a>, ParseError> {
    let mut input = Input {
        reader: Reader::new(message),
        max_attachments: limits.max_attachments,
        marked: false,
        scratch,
    };
    let (mut kind, mut namespace, mut id, mut data) = (None, None, None, false);
    let Token::Map(members) = input.reader.token()? else {
        return Err(input.reader.problem("the packet is no map"));
    };
    for _ in 0..members {
        let Token::Text(name) = input.reader.token()? else {
            return Err(input.reader.problem("the name of a member is no string"));
        };
        let twice = match name {
            "data" => std::mem::replace(&mut data, true) || input.data()?,
            "id" => id.replace(input.id()?).is_some(),
            "nsp" => namespace.replace(input.namespace()?).is_some(),
            "type" => kind.replace(input.kind()?).is_some(),
            _ => input.ignore()?,
        };
        if twice {
            return Err(input.reader.problem("a member comes twice"));
        }
    }
    if !input.reader.is_at_end() {
        return Err(input.reader.problem("bytes after the packet"));
    }
    if input.marked && !input.scratch.attachments.is_empty() {
        // As in JSON, where it would be taken for the place of an attachment.
        return Err(input
            .reader
            .problem("an object beside attachments has a member `_placeholder`"));
    }
    match (kind, namespace) {
        (Some(kind), Some(namespace)) => Ok(Head {
            kind,
            namespace,
            id: id.flatten(),
        }),
        (None, _) => Err(input.reader.problem("the type is missing")),
        (_, None) => Err(input.reader.problem("the namespace is missing")),
    }
}

struct Input<'a, 's> {
    reader: Reader<'a>,
    max_attachments: usize,
    /// A member is called like our mark of an attachment.
    marked: bool,
    scratch: &'s mut Scratch,
}

impl<'a> Input<'a, '_> {
    // ---- the members of a packet ----------------------------------------------------------------

    fn kind(&mut self) -> Result<Kind, ParseError> {
        match self.reader.token()? {
            Token::Positive(0) => Ok(Kind::Connect),
            Token::Positive(1) => Ok(Kind::Disconnect),
            Token::Positive(2) => Ok(Kind::Event),
            Token::Positive(3) => Ok(Kind::Ack),
            Token::Positive(4) => Ok(Kind::ConnectError),
            _ => Err(ParseError::Kind),
        }
    }

    fn namespace(&mut self) -> Result<&'a str, ParseError> {
        match self.reader.token()? {
            Token::Text(name) => Ok(name),
            _ => Err(self.reader.problem("the namespace is no string")),
        }
    }

    fn id(&mut self) -> Result<Option<u64>, ParseError> {
        match self.reader.token()? {
            Token::Positive(id) if id <= MAX_ID => Ok(Some(id)),
            Token::Null | Token::Undefined => Ok(None),
            _ => Err(ParseError::AckId),
        }
    }

    /// Of a packet without data the text stays empty. Always `false`: it comes for the first time.
    fn data(&mut self) -> Result<bool, ParseError> {
        let before = self.reader.clone();
        if !matches!(self.reader.token()?, Token::Null | Token::Undefined) {
            self.reader = before;
            self.value(0)?;
        }
        Ok(false)
    }

    /// Checks a member that nobody knows as if it were data, and forgets it. Always `false`: how
    /// often it comes is nobody's business.
    fn ignore(&mut self) -> Result<bool, ParseError> {
        let text = self.scratch.data.len();
        let (attachments, marked) = (self.scratch.attachments.len(), self.marked);
        self.value(0)?;
        self.scratch.data.truncate(text);
        self.scratch.attachments.truncate(attachments);
        self.marked = marked;
        Ok(false)
    }

    // ---- values -----------------------------------------------------------------------------------

    /// Writes the next value as JSON; `depth` arrays and maps are open around it.
    fn value(&mut self, depth: usize) -> Result<(), ParseError> {
        match self.reader.token()? {
            Token::Array(len) => self.array(len, depth),
            Token::Map(len) => self.map(len, depth),
            Token::Binary(bytes) => self.attachment(bytes),
            Token::Text(text) => {
                string::write(&mut self.scratch.data, text);
                Ok(())
            }
            Token::Date(millis) => {
                date::write(&mut self.scratch.data, millis);
                Ok(())
            }
            Token::Extension(kind, bytes) => {
                self.scratch.data.push(b'[');
                self.integer(kind);
                self.scratch.data.push(b',');
                self.attachment(bytes)?;
                self.scratch.data.push(b']');
                Ok(())
            }
            Token::Positive(value) => {
                self.integer(value);
                Ok(())
            }
            Token::Negative(value) => {
                self.integer(value);
                Ok(())
            }
            Token::Float(value) if value.is_finite() => {
                serde_json::to_writer(&mut self.scratch.data, &value)
                    .map_err(|_| self.reader.problem("a number that cannot be written"))
            }
            Token::Bool(value) => {
                self.word(if value { "true" } else { "false" });
                Ok(())
            }
            Token::Float(_) | Token::Null | Token::Undefined => {
                self.word("null");
                Ok(())
            }
        }
    }

    fn array(&mut self, len: usize, depth: usize) -> Result<(), ParseError> {
        self.enter(depth)?;
        self.scratch.data.push(b'[');
        for index in 0..len {
            if index > 0 {
                self.scratch.data.push(b',');
            }
            self.value(depth + 1)?;
        }
        self.scratch.data.push(b']');
        Ok(())
    }

    fn map(&mut self, len: usize, depth: usize) -> Result<(), ParseError> {
        self.enter(depth)?;
        self.scratch.data.push(b'{');
        let first = self.scratch.data.len();
        for _ in 0..len {
            let start = self.scratch.data.len();
            if start > first {
                self.scratch.data.push(b',');
            }
            match self.reader.token()? {
                Token::Text(name) => {
                    self.marked |= name == MARK;
                    string::write(&mut self.scratch.data, name);
                }
                Token::Positive(number) => self.spelled(number),
                Token::Negative(number) => self.spelled(number),
                _ => {
                    return Err(self
                        .reader
                        .problem("the name of a member is neither a string nor a number"));
                }
            }
            self.scratch.data.push(b':');
            if self.reader.eat_undefined() {
                // JSON leaves such a member out.
                self.scratch.data.truncate(start);
            } else {
                self.value(depth + 1)?;
            }
        }
        self.scratch.data.push(b'}');
        Ok(())
    }

    fn enter(&self, depth: usize) -> Result<(), ParseError> {
        if depth == MAX_DEPTH {
            return Err(self.reader.problem(TOO_DEEP));
        }
        Ok(())
    }

    fn attachment(&mut self, bytes: &[u8]) -> Result<(), ParseError> {
        let number = self.scratch.attachments.len();
        if number == self.max_attachments {
            let limit = self.max_attachments;
            return Err(ParseError::TooManyAttachments { limit });
        }
        // A handler may keep it: it has memory of its own.
        self.scratch.attachments.push(Bytes::copy_from_slice(bytes));
        let _ = write!(self.scratch.data, "{{\"{MARK}\":true,\"num\":{number}}}");
        Ok(())
    }

    fn integer(&mut self, value: impl itoa::Integer) {
        self.word(itoa::Buffer::new().format(value));
    }

    fn spelled(&mut self, value: impl itoa::Integer) {
        self.scratch.data.push(b'"');
        self.integer(value);
        self.scratch.data.push(b'"');
    }

    fn word(&mut self, word: &str) {
        self.scratch.data.extend_from_slice(word.as_bytes());
    }
}
