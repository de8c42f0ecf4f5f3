//! MessagePack as notepack.io 3 and @msgpack/msgpack 3 write it: [the specification], and two habits.
//!
//! Times are extension −1; the browser client sees them as text, so they become text here. Old
//! releases of notepack wrote `undefined`, dates and `ArrayBuffer`s as extension 0; those are still
//! read. Names of members are strings.
//!
//! [the specification]: https://github.com/msgpack/msgpack/blob/master/spec.md

use bytes::Bytes;
use sio_packet::{
    Object, Value,
    msgpack::{Reader, Token, date, write},
};

use crate::DecodeError;

/// Levels that arrays and maps may be nested: those of serde_json.
pub const MAX_DEPTH: usize = 128;

/// Reads the one value that the bytes consist of.
///
/// Nothing is reserved that the bytes themselves do not hold: a list announced as four thousand
/// million elements long is refused.
///
/// # Errors
///
/// If the bytes are not MessagePack, or are followed by others, or are nested too deep.
pub fn decode(bytes: &[u8]) -> Result<Value, DecodeError> {
    let mut reader = Reader::new(bytes);
    let value = value(&mut reader, MAX_DEPTH)?;
    match reader.is_at_end() {
        true => Ok(value),
        false => Err(syntax(&reader)),
    }
}

/// Appends a value: whole numbers in the fewest bytes that hold them, others as float 64.
pub fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => write::nil(out),
        Value::Bool(value) => write::bool(out, *value),
        Value::Number(number) => {
            if let Some(value) = number.as_u64() {
                write::positive(out, value);
            } else if let Some(value) = number.as_i64() {
                write::negative(out, value);
            } else {
                write::float(out, number.as_f64().unwrap_or_default());
            }
        }
        Value::String(text) => write::text(out, text),
        Value::Binary(bytes) => write::binary(out, bytes),
        Value::Array(elements) => {
            write::array(out, elements.len());
            for element in elements {
                encode(element, out);
            }
        }
        Value::Object(object) => {
            write::map(out, object.len());
            for (name, value) in object.iter() {
                write::text(out, name);
                encode(value, out);
            }
        }
    }
}

fn value(reader: &mut Reader<'_>, depth: usize) -> Result<Value, DecodeError> {
    Ok(match token(reader)? {
        Token::Array(len) => {
            let depth = deeper(depth)?;
            let mut elements = Vec::with_capacity(len);
            for _ in 0..len {
                elements.push(value(reader, depth)?);
            }
            Value::Array(elements)
        }
        Token::Map(len) => {
            let depth = deeper(depth)?;
            let mut members = Object::new();
            for _ in 0..len {
                let Token::Text(name) = token(reader)? else {
                    return Err(syntax(reader));
                };
                members.push(name, value(reader, depth)?);
            }
            Value::Object(members)
        }
        // Old releases of notepack wrote an `ArrayBuffer` so, also one of two or of sixteen bytes.
        Token::Binary(bytes) | Token::Extension(0, bytes) => Bytes::copy_from_slice(bytes).into(),
        Token::Bool(value) => value.into(),
        Token::Date(millis) => date(millis).map_or(Value::Null, Value::from),
        Token::Float(value) => value.into(),
        Token::Negative(value) => value.into(),
        Token::Null | Token::Undefined => Value::Null,
        Token::Positive(value) => value.into(),
        Token::Text(text) => text.into(),
        _ => return Err(syntax(reader)),
    })
}

fn token<'a>(reader: &mut Reader<'a>) -> Result<Token<'a>, DecodeError> {
    reader.token().map_err(|_| syntax(reader))
}

fn deeper(depth: usize) -> Result<usize, DecodeError> {
    let limit = MAX_DEPTH;
    depth.checked_sub(1).ok_or(DecodeError::TooDeep { limit })
}

fn syntax(reader: &Reader<'_>) -> DecodeError {
    DecodeError::Syntax {
        syntax: "MessagePack",
        at: reader.offset(),
    }
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
