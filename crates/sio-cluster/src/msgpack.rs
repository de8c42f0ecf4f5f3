//! MessagePack as notepack.io 3 and @msgpack/msgpack 3 write it: [the specification], and two habits.
//!
//! Times are extension −1; the browser client sees them as text, so they become text here. Old
//! releases of notepack wrote `undefined`, dates and `ArrayBuffer`s as extension 0; those are still
//! read. Names of members are strings.
//!
//! [the specification]: https://github.com/msgpack/msgpack/blob/master/spec.md

use bytes::Bytes;
use serde_json::Number;
use sio_packet::{Object, Value};

use crate::{DecodeError, date};

/// Levels that arrays and maps may be nested: those of serde_json.
pub const MAX_DEPTH: usize = 128;

/// Reads the one value that the bytes consist of.
///
/// Nothing is reserved that the bytes themselves do not hold: a list announced as four thousand
/// million elements long takes what has arrived of it, at most 40 bytes for each of these.
///
/// # Errors
///
/// If the bytes are not MessagePack, or are followed by others, or are nested too deep.
pub fn decode(bytes: &[u8]) -> Result<Value, DecodeError> {
    let mut reader = Reader { bytes, at: 0 };
    let value = reader.value(MAX_DEPTH)?;
    if reader.at < bytes.len() {
        return Err(reader.syntax());
    }
    Ok(value)
}

/// Appends a value: whole numbers in the fewest bytes that hold them, others as float 64.
pub fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0xc0),
        Value::Bool(value) => out.push(0xc2 + u8::from(*value)),
        Value::Number(number) => write_number(number, out),
        Value::String(text) => write_str(text, out),
        Value::Binary(bytes) => {
            write_len(bytes.len(), [None, Some(0xc4), Some(0xc5), Some(0xc6)], out);
            out.extend_from_slice(bytes);
        }
        Value::Array(elements) => {
            write_array_len(elements.len(), out);
            for element in elements {
                encode(element, out);
            }
        }
        Value::Object(object) => {
            write_map_len(object.len(), out);
            for (name, value) in object.iter() {
                write_str(name, out);
                encode(value, out);
            }
        }
    }
}

pub(crate) fn write_array_len(len: usize, out: &mut Vec<u8>) {
    write_len(len, [Some(0x90), None, Some(0xdc), Some(0xdd)], out);
}

pub(crate) fn write_map_len(len: usize, out: &mut Vec<u8>) {
    write_len(len, [Some(0x80), None, Some(0xde), Some(0xdf)], out);
}

pub(crate) fn write_str(text: &str, out: &mut Vec<u8>) {
    write_len(
        text.len(),
        [Some(0xa0), Some(0xd9), Some(0xda), Some(0xdb)],
        out,
    );
    out.extend_from_slice(text.as_bytes());
}

pub(crate) fn write_uint(value: u64, out: &mut Vec<u8>) {
    match value {
        0..=0x7f => out.push(value as u8),
        0x80..=0xff => out.extend_from_slice(&[0xcc, value as u8]),
        0x100..=0xffff => tagged(0xcd, (value as u16).to_be_bytes(), out),
        0x1_0000..=0xffff_ffff => tagged(0xce, (value as u32).to_be_bytes(), out),
        _ => tagged(0xcf, value.to_be_bytes(), out),
    }
}

fn write_number(number: &Number, out: &mut Vec<u8>) {
    if let Some(value) = number.as_u64() {
        write_uint(value, out);
    } else if let Some(value) = number.as_i64() {
        match value {
            -0x20.. => out.push(value as u8),
            -0x80..-0x20 => out.extend_from_slice(&[0xd0, value as u8]),
            -0x8000..-0x80 => tagged(0xd1, (value as i16).to_be_bytes(), out),
            -0x8000_0000..-0x8000 => tagged(0xd2, (value as i32).to_be_bytes(), out),
            _ => tagged(0xd3, value.to_be_bytes(), out),
        }
    } else {
        let value = number.as_f64().unwrap_or_default();
        tagged(0xcb, value.to_be_bytes(), out);
    }
}

/// The forms of a length: within the first byte, and in one, two or four bytes behind it.
fn write_len(len: usize, forms: [Option<u8>; 4], out: &mut Vec<u8>) {
    let [fix, one, two, four] = forms;
    let fix_limit = match fix {
        Some(0xa0) => 32,
        Some(_) => 16,
        None => 0,
    };
    match (fix, one, two, four) {
        (Some(fix), ..) if len < fix_limit => out.push(fix + len as u8),
        (_, Some(one), ..) if len <= 0xff => out.extend_from_slice(&[one, len as u8]),
        (_, _, Some(two), _) if len <= 0xffff => tagged(two, (len as u16).to_be_bytes(), out),
        (_, _, _, four) => {
            let len = u32::try_from(len).expect("a message of the cluster is below 4 GiB");
            tagged(four.unwrap_or(0xc6), len.to_be_bytes(), out);
        }
    }
}

fn tagged<const N: usize>(tag: u8, bytes: [u8; N], out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(&bytes);
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Value, DecodeError> {
        let tag = self.byte()?;
        Ok(match tag {
            0x00..=0x7f => u64::from(tag).into(),
            0x80..=0x8f => self.map(usize::from(tag & 0x0f), depth)?,
            0x90..=0x9f => self.array(usize::from(tag & 0x0f), depth)?,
            0xa0..=0xbf => self.text(usize::from(tag & 0x1f))?.into(),
            0xc0 => Value::Null,
            0xc1 => return Err(self.syntax()),
            0xc2 | 0xc3 => (tag == 0xc3).into(),
            0xc4..=0xc6 => {
                let len = self.len(tag - 0xc4)?;
                Bytes::copy_from_slice(self.take(len)?).into()
            }
            0xc7..=0xc9 => {
                let len = self.len(tag - 0xc7)?;
                self.extension(len)?
            }
            0xca => f64::from(f32::from_be_bytes(self.array_of()?)).into(),
            0xcb => f64::from_be_bytes(self.array_of()?).into(),
            0xcc => u64::from(self.byte()?).into(),
            0xcd => u64::from(u16::from_be_bytes(self.array_of()?)).into(),
            0xce => u64::from(u32::from_be_bytes(self.array_of()?)).into(),
            0xcf => u64::from_be_bytes(self.array_of()?).into(),
            0xd0 => i64::from(i8::from_be_bytes(self.array_of()?)).into(),
            0xd1 => i64::from(i16::from_be_bytes(self.array_of()?)).into(),
            0xd2 => i64::from(i32::from_be_bytes(self.array_of()?)).into(),
            0xd3 => i64::from_be_bytes(self.array_of()?).into(),
            0xd4..=0xd8 => self.extension(1 << (tag - 0xd4))?,
            0xd9..=0xdb => {
                let len = self.len(tag - 0xd9)?;
                self.text(len)?.into()
            }
            0xdc | 0xdd => {
                let len = self.len(tag - 0xdc + 1)?;
                self.array(len, depth)?
            }
            0xde | 0xdf => {
                let len = self.len(tag - 0xde + 1)?;
                self.map(len, depth)?
            }
            0xe0..=0xff => i64::from(tag.cast_signed()).into(),
        })
    }

    fn array(&mut self, len: usize, depth: usize) -> Result<Value, DecodeError> {
        let depth = self.deeper(depth)?;
        // An element is a byte at least.
        if len > self.left() {
            return Err(self.syntax());
        }
        let mut elements = Vec::with_capacity(len);
        for _ in 0..len {
            elements.push(self.value(depth)?);
        }
        Ok(Value::Array(elements))
    }

    fn map(&mut self, len: usize, depth: usize) -> Result<Value, DecodeError> {
        let depth = self.deeper(depth)?;
        if len > self.left() / 2 {
            return Err(self.syntax());
        }
        let mut members = Object::new();
        for _ in 0..len {
            let name = match self.byte()? {
                tag @ 0xa0..=0xbf => self.text(usize::from(tag & 0x1f))?,
                tag @ 0xd9..=0xdb => {
                    let len = self.len(tag - 0xd9)?;
                    self.text(len)?
                }
                _ => return Err(self.syntax()),
            };
            let value = self.value(depth)?;
            members.push(name, value);
        }
        Ok(Value::Object(members))
    }

    /// An extension whose data is `len` bytes long: a time, or what notepack once wrote.
    fn extension(&mut self, len: usize) -> Result<Value, DecodeError> {
        let kind = self.byte()?.cast_signed();
        let data = self.take(len)?;
        match (kind, data.len()) {
            // Seconds; nanoseconds and seconds in 30 and 34 bits; nanoseconds and seconds.
            (-1, 4) => Ok(time(i64::from(u32::from_be_bytes(fixed(data))), 0)),
            (-1, 8) => {
                let both = u64::from_be_bytes(fixed(data));
                Ok(time(
                    (both & 0x3_ffff_ffff).cast_signed(),
                    (both >> 34) as u32,
                ))
            }
            (-1, 12) => {
                let nanos = u32::from_be_bytes(fixed(&data[..4]));
                Ok(time(i64::from_be_bytes(fixed(&data[4..])), nanos))
            }
            (0, 1) => Ok(Value::Null),
            (0, 8) => Ok(date::text(i64::from_be_bytes(fixed(data))).into()),
            (0, _) => Ok(Bytes::copy_from_slice(data).into()),
            _ => Err(self.syntax()),
        }
    }

    fn text(&mut self, len: usize) -> Result<&'a str, DecodeError> {
        let bytes = self.take(len)?;
        str::from_utf8(bytes).map_err(|_| self.syntax())
    }

    /// A length of 1, 2 or 4 bytes.
    fn len(&mut self, form: u8) -> Result<usize, DecodeError> {
        Ok(match form {
            0 => usize::from(self.byte()?),
            1 => usize::from(u16::from_be_bytes(self.array_of()?)),
            _ => u32::from_be_bytes(self.array_of()?) as usize,
        })
    }

    fn array_of<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.take(N).map(fixed)
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let taken = self.bytes[self.at..].get(..len);
        let taken = taken.ok_or_else(|| self.syntax())?;
        self.at += len;
        Ok(taken)
    }

    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn deeper(&self, depth: usize) -> Result<usize, DecodeError> {
        depth
            .checked_sub(1)
            .ok_or(DecodeError::TooDeep { limit: MAX_DEPTH })
    }

    fn syntax(&self) -> DecodeError {
        DecodeError::Syntax {
            syntax: "MessagePack",
            at: self.at,
        }
    }
}

fn time(seconds: i64, nanos: u32) -> Value {
    let millis = seconds.saturating_mul(1000);
    date::text(millis.saturating_add(i64::from(nanos / 1_000_000))).into()
}

fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("as many bytes as were asked for")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let digit = |byte: u8| (byte as char).to_digit(16).expect("a digit") as u8;
        digits
            .chunks(2)
            .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
            .collect()
    }

    fn json(text: &str) -> Value {
        serde_json::from_str(text).expect("JSON")
    }

    #[test]
    fn whole_numbers_take_the_fewest_bytes_that_hold_them() {
        for (number, bytes) in [
            ("127", "7f"),
            ("128", "cc 80"),
            ("256", "cd 0100"),
            ("65536", "ce 00010000"),
            ("4294967296", "cf 0000000100000000"),
            ("18446744073709551615", "cf ffffffffffffffff"),
            ("-1", "ff"),
            ("-32", "e0"),
            ("-33", "d0 df"),
            ("-129", "d1 ff7f"),
            ("-32769", "d2 ffff7fff"),
            ("-2147483649", "d3 ffffffff7fffffff"),
            // Node's own writer makes a zero of this one.
            ("1e300", "cb 7e37e43c8800759c"),
        ] {
            let mut out = Vec::new();
            encode(&json(number), &mut out);
            assert_eq!(out, hex(bytes), "{number}");
            assert_eq!(decode(&out), Ok(json(number)), "{number}");
        }
    }

    #[test]
    fn lengths_take_the_form_that_fits() {
        for len in [0, 15, 16, 31, 32, 255, 256, 65_535, 65_536] {
            let text = Value::from("x".repeat(len));
            let bytes = Value::from(Bytes::from(vec![7; len]));
            let list = Value::from(vec![Value::Null; len]);
            let map = Value::from((0..len).map(|n| (n.to_string(), true)).collect::<Object>());
            for value in [text, bytes, list, map] {
                let mut out = Vec::new();
                encode(&value, &mut out);
                assert!(decode(&out) == Ok(value), "{len}");
                assert!(decode(&out[..out.len() - 1]).is_err(), "cut short");
            }
        }
    }

    #[test]
    fn times_become_the_text_that_a_browser_would_see() {
        for bytes in [
            "d7 ff 1d535300 499602d2",
            "c7 0c ff 07 54 d4 c0 00000000 499602d2",
            "d7 00 0000011f71fb04cb",
        ] {
            let text = decode(&hex(bytes)).map(|value| value.as_str().map(str::to_owned));
            assert_eq!(text, Ok(Some("2009-02-13T23:31:30.123Z".into())), "{bytes}");
        }
    }

    #[test]
    fn what_notepack_once_wrote_is_still_read() {
        assert_eq!(decode(&hex("d4 00 00")), Ok(Value::Null));
        let buffer = decode(&hex("c7 03 00 010203")).unwrap();
        assert_eq!(buffer.as_binary().unwrap(), &[1, 2, 3][..]);
    }

    #[test]
    fn sec_lying_lengths_reserve_nothing() {
        for bytes in [
            "dd ffffffff",
            "df ffffffff",
            "db ffffffff",
            "c6 ffffffff",
            "c9 ffffffff 00",
            "92 c0",
            "81 a1",
        ] {
            let error = decode(&hex(bytes)).unwrap_err();
            assert_eq!(error.kind(), "syntax", "{bytes}");
        }
    }

    #[test]
    fn sec_two_hundred_thousand_levels_are_refused_at_the_hundred_and_twenty_ninth() {
        for level in [&[0x91][..], &[0x81, 0xa0]] {
            let deep = level.repeat(200_000);
            assert_eq!(
                decode(&deep),
                Err(DecodeError::TooDeep { limit: MAX_DEPTH })
            );
        }
        let mut fits = vec![0x91; MAX_DEPTH];
        fits.push(0xc0);
        assert!(decode(&fits).is_ok());
    }
}
