//! Msgpack, token by token.

use crate::ParseError;

/// Reads msgpack: what stands next, and of arrays and maps the head only, so that whoever reads decides
/// what becomes of it. Allocates nothing.
///
/// ```
/// use sio_packet::msgpack::{Reader, Token};
///
/// let mut reader = Reader::new(b"\x92\xa2hi\xcd\x01\x00");
/// assert_eq!(reader.token()?, Token::Array(2));
/// assert_eq!(reader.token()?, Token::Text("hi"));
/// assert_eq!(reader.token()?, Token::Positive(256));
/// assert!(reader.is_at_end());
/// # Ok::<(), sio_packet::ParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// What stands next in msgpack. Of an array or a map only the head.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Token<'a> {
    /// So many elements follow; there are as many bytes at least.
    Array(usize),
    /// Bytes; also extension 0, which is how JavaScript's typed arrays come.
    Binary(&'a [u8]),
    /// `true` or `false`.
    Bool(bool),
    /// A moment in milliseconds since 1970: msgpack's own timestamp, or a `Date` of the npm package
    /// notepack.io.
    Date(i64),
    /// Any other extension: its type and its data.
    Extension(i8, &'a [u8]),
    /// A number with a fraction, or too large for the others; perhaps none, or infinite.
    Float(f64),
    /// So many names with their values follow; there are twice as many bytes at least.
    Map(usize),
    /// A whole number below zero.
    Negative(i64),
    /// `nil`.
    Null,
    /// A whole number.
    Positive(u64),
    /// Text.
    Text(&'a str),
    /// JavaScript's `undefined`, as notepack.io writes it.
    Undefined,
}

impl<'a> Reader<'a> {
    /// Reads these bytes from their beginning.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes have been read.
    pub const fn offset(&self) -> usize {
        self.at
    }

    /// Whether all bytes have been read.
    pub const fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// Passes over an `undefined`, if that is next.
    pub(super) fn eat_undefined(&mut self) -> bool {
        let is_next = self.bytes[self.at..].starts_with(&UNDEFINED);
        if is_next {
            self.at += UNDEFINED.len();
        }
        is_next
    }

    /// What stands next.
    ///
    /// # Errors
    ///
    /// [`ParseError::Msgpack`] if it is cut or malformed, or announces more elements than there are bytes.
    pub fn token(&mut self) -> Result<Token<'a>, ParseError> {
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
                Token::Binary(self.take(len)?)
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
        if count.saturating_mul(least) > self.bytes.len() - self.at {
            return Err(self.problem(CUT));
        }
        Ok(count)
    }

    fn text(&mut self, len: usize) -> Result<Token<'a>, ParseError> {
        let bytes = self.take(len)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Token::Text(text)),
            Err(_) => Err(self.problem("a string is not UTF-8")),
        }
    }

    /// `len` does not count the type.
    fn extension(&mut self, len: usize) -> Result<Token<'a>, ParseError> {
        let kind = i8::from_be_bytes(self.fixed()?);
        let bytes = self.take(len)?;
        Ok(match (kind, bytes) {
            (0, bytes) => Token::Binary(bytes),
            (-1, bytes) => timestamp(bytes).unwrap_or(Token::Extension(kind, bytes)),
            (kind, bytes) => Token::Extension(kind, bytes),
        })
    }

    fn fixed_extension(&mut self, len: usize) -> Result<Token<'a>, ParseError> {
        let kind = i8::from_be_bytes(self.fixed()?);
        let bytes = self.take(len)?;
        Ok(match (kind, bytes) {
            (0, [_]) => Token::Undefined,
            (0, &[a, b, c, d, e, f, g, h]) => {
                Token::Date(i64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
            (-1, bytes) => timestamp(bytes).unwrap_or(Token::Extension(kind, bytes)),
            (kind, bytes) => Token::Extension(kind, bytes),
        })
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], ParseError> {
        let Some((bytes, _)) = self.bytes[self.at..].split_at_checked(len) else {
            return Err(self.problem(CUT));
        };
        self.at += len;
        Ok(bytes)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], ParseError> {
        let Some(bytes) = self.bytes[self.at..].first_chunk() else {
            return Err(self.problem(CUT));
        };
        self.at += N;
        Ok(*bytes)
    }

    #[cold]
    pub(super) fn problem(&self, problem: &'static str) -> ParseError {
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
