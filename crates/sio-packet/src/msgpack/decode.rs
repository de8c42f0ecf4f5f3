//! Msgpack into JSON text and attachments.

use std::io::Write;

use bytes::Bytes;

use super::date;
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
        message,
        at: 0,
        max_attachments: limits.max_attachments,
        marked: false,
        scratch,
    };
    let (mut kind, mut namespace, mut id, mut data) = (None, None, None, false);
    let Token::Map(members) = input.token()? else {
        return Err(input.problem("the packet is no map"));
    };
    for _ in 0..members {
        let Token::Text(name) = input.token()? else {
            return Err(input.problem("the name of a member is no string"));
        };
        let twice = match name {
            "data" => std::mem::replace(&mut data, true) || input.data()?,
            "id" => id.replace(input.id()?).is_some(),
            "nsp" => namespace.replace(input.namespace()?).is_some(),
            "type" => kind.replace(input.kind()?).is_some(),
            _ => input.ignore()?,
        };
        if twice {
            return Err(input.problem("a member comes twice"));
        }
    }
    if input.at < message.len() {
        return Err(input.problem("bytes after the packet"));
    }
    if input.marked && !input.scratch.attachments.is_empty() {
        // As in JSON, where it would be taken for the place of an attachment.
        return Err(input.problem("an object beside attachments has a member `_placeholder`"));
    }
    match (kind, namespace) {
        (Some(kind), Some(namespace)) => Ok(Head {
            kind,
            namespace,
            id: id.flatten(),
        }),
        (None, _) => Err(input.problem("the type is missing")),
        (_, None) => Err(input.problem("the namespace is missing")),
    }
}

struct Input<'a, 's> {
    message: &'a [u8],
    at: usize,
    max_attachments: usize,
    /// A member is called like our mark of an attachment.
    marked: bool,
    scratch: &'s mut Scratch,
}

/// What stands next. Of an array or a map only the head.
enum Token<'a> {
    Array(usize),
    Binary(&'a [u8]),
    Bool(bool),
    Date(i64),
    Extension(i8, &'a [u8]),
    Float(f64),
    Map(usize),
    Negative(i64),
    Null,
    Positive(u64),
    Text(&'a str),
    Undefined,
}

impl<'a> Input<'a, '_> {
    // ---- the members of a packet ----------------------------------------------------------------

    fn kind(&mut self) -> Result<Kind, ParseError> {
        match self.token()? {
            Token::Positive(0) => Ok(Kind::Connect),
            Token::Positive(1) => Ok(Kind::Disconnect),
            Token::Positive(2) => Ok(Kind::Event),
            Token::Positive(3) => Ok(Kind::Ack),
            Token::Positive(4) => Ok(Kind::ConnectError),
            _ => Err(ParseError::Kind),
        }
    }

    fn namespace(&mut self) -> Result<&'a str, ParseError> {
        match self.token()? {
            Token::Text(name) => Ok(name),
            _ => Err(self.problem("the namespace is no string")),
        }
    }

    fn id(&mut self) -> Result<Option<u64>, ParseError> {
        match self.token()? {
            Token::Positive(id) if id <= MAX_ID => Ok(Some(id)),
            Token::Null | Token::Undefined => Ok(None),
            _ => Err(ParseError::AckId),
        }
    }

    /// Of a packet without data the text stays empty. Always `false`: it comes for the first time.
    fn data(&mut self) -> Result<bool, ParseError> {
        let before = self.at;
        if !matches!(self.token()?, Token::Null | Token::Undefined) {
            self.at = before;
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
        match self.token()? {
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
                    .map_err(|_| self.problem("a number that cannot be written"))
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
            match self.token()? {
                Token::Text(name) => {
                    self.marked |= name == MARK;
                    string::write(&mut self.scratch.data, name);
                }
                Token::Positive(number) => self.spelled(number),
                Token::Negative(number) => self.spelled(number),
                _ => {
                    return Err(
                        self.problem("the name of a member is neither a string nor a number")
                    );
                }
            }
            self.scratch.data.push(b':');
            if self.message[self.at..].starts_with(&UNDEFINED) {
                // JSON leaves such a member out.
                self.at += UNDEFINED.len();
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
            return Err(self.problem(TOO_DEEP));
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

    // ---- bytes ------------------------------------------------------------------------------------

    fn token(&mut self) -> Result<Token<'a>, ParseError> {
        let [marker] = self.fixed()?;
        Ok(match marker {
            0x00..=0x7f => Token::Positive(marker.into()),
            0x80..=0x8f => Token::Map(self.count(usize::from(marker & 0x0f), 2)?),
            0x90..=0x9f => Token::Array(self.count(usize::from(marker & 0x0f), 1)?),
            0xa0..=0xbf => self.text(usize::from(marker & 0x1f))?,
            0xc0 => Token::Null,
            0xc2 => Token::Bool(false),
            0xc3 => Token::Bool(true),
            0xc4..=0xc6 => {
                let len = self.length(marker - 0xc4)?;
                Token::Binary(self.bytes(len)?)
            }
            0xc7..=0xc9 => {
                let len = self.length(marker - 0xc7)?;
                self.extension(len)?
            }
            0xca => Token::Float(f32::from_be_bytes(self.fixed()?).into()),
            0xcb => Token::Float(f64::from_be_bytes(self.fixed()?)),
            0xcc => Token::Positive(u8::from_be_bytes(self.fixed()?).into()),
            0xcd => Token::Positive(u16::from_be_bytes(self.fixed()?).into()),
            0xce => Token::Positive(u32::from_be_bytes(self.fixed()?).into()),
            0xcf => Token::Positive(u64::from_be_bytes(self.fixed()?)),
            0xd0 => signed(i8::from_be_bytes(self.fixed()?).into()),
            0xd1 => signed(i16::from_be_bytes(self.fixed()?).into()),
            0xd2 => signed(i32::from_be_bytes(self.fixed()?).into()),
            0xd3 => signed(i64::from_be_bytes(self.fixed()?)),
            0xd4..=0xd8 => self.fixed_extension(1 << (marker - 0xd4))?,
            0xd9..=0xdb => {
                let len = self.length(marker - 0xd9)?;
                self.text(len)?
            }
            0xdc | 0xdd => {
                let len = self.length(marker - 0xdb)?;
                Token::Array(self.count(len, 1)?)
            }
            0xde | 0xdf => {
                let len = self.length(marker - 0xdd)?;
                Token::Map(self.count(len, 2)?)
            }
            0xe0..=0xff => signed(i8::from_be_bytes([marker]).into()),
            0xc1 => return Err(self.problem("a marker that is never used")),
        })
    }

    /// A length of 1, 2 or 4 bytes: `width` is 0, 1 or 2.
    fn length(&mut self, width: u8) -> Result<usize, ParseError> {
        let length = match width {
            0 => u8::from_be_bytes(self.fixed()?).into(),
            1 => u16::from_be_bytes(self.fixed()?).into(),
            _ => u32::from_be_bytes(self.fixed()?),
        };
        usize::try_from(length).map_err(|_| self.problem(CUT))
    }

    /// So many elements of so many bytes at least: checked before the first is read.
    fn count(&self, count: usize, least: usize) -> Result<usize, ParseError> {
        if count.saturating_mul(least) > self.message.len() - self.at {
            return Err(self.problem(CUT));
        }
        Ok(count)
    }

    fn text(&mut self, len: usize) -> Result<Token<'a>, ParseError> {
        let bytes = self.bytes(len)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Token::Text(text)),
            Err(_) => Err(self.problem("a string is not UTF-8")),
        }
    }

    /// `len` does not count the type.
    fn extension(&mut self, len: usize) -> Result<Token<'a>, ParseError> {
        let kind = i8::from_be_bytes(self.fixed()?);
        let bytes = self.bytes(len)?;
        Ok(match (kind, bytes) {
            (0, bytes) => Token::Binary(bytes),
            (-1, bytes) => timestamp(bytes).unwrap_or(Token::Extension(kind, bytes)),
            (kind, bytes) => Token::Extension(kind, bytes),
        })
    }

    fn fixed_extension(&mut self, len: usize) -> Result<Token<'a>, ParseError> {
        let kind = i8::from_be_bytes(self.fixed()?);
        let bytes = self.bytes(len)?;
        Ok(match (kind, bytes) {
            (0, [_]) => Token::Undefined,
            (0, &[a, b, c, d, e, f, g, h]) => {
                Token::Date(i64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
            (-1, bytes) => timestamp(bytes).unwrap_or(Token::Extension(kind, bytes)),
            (kind, bytes) => Token::Extension(kind, bytes),
        })
    }

    fn bytes(&mut self, len: usize) -> Result<&'a [u8], ParseError> {
        let Some((bytes, _)) = self.message[self.at..].split_at_checked(len) else {
            return Err(self.problem(CUT));
        };
        self.at += len;
        Ok(bytes)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], ParseError> {
        let Some(bytes) = self.message[self.at..].first_chunk() else {
            return Err(self.problem(CUT));
        };
        self.at += N;
        Ok(*bytes)
    }

    #[cold]
    fn problem(&self, problem: &'static str) -> ParseError {
        ParseError::Msgpack {
            offset: self.at,
            problem,
        }
    }
}

fn signed<'a>(value: i64) -> Token<'a> {
    u64::try_from(value).map_or(Token::Negative(value), Token::Positive)
}

/// Msgpack's own timestamp, to the millisecond.
fn timestamp<'a>(bytes: &[u8]) -> Option<Token<'a>> {
    let (seconds, nanos) = match *bytes {
        [a, b, c, d] => (i64::from(u32::from_be_bytes([a, b, c, d])), 0),
        [a, b, c, d, e, f, g, h] => {
            let both = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
            (i64::try_from(both & ((1 << 34) - 1)).ok()?, both >> 34)
        }
        [a, b, c, d, ref seconds @ ..] => (
            i64::from_be_bytes(seconds.try_into().ok()?),
            u32::from_be_bytes([a, b, c, d]).into(),
        ),
        _ => return None,
    };
    let millis = i64::try_from(nanos / 1_000_000).ok()?;
    // What no `Date` can say is `null`, like any other moment too far away.
    Some(Token::Date(
        seconds
            .checked_mul(1000)
            .and_then(|seconds| seconds.checked_add(millis))
            .unwrap_or(i64::MAX),
    ))
}

/// JavaScript's `undefined`.
const UNDEFINED: [u8; 3] = [0xd4, 0, 0];

const CUT: &str = "the message ends too early";
