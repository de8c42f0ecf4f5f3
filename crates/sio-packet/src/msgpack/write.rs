//! Msgpack, written: each value in the fewest bytes that hold it.
//!
//! ```
//! use sio_packet::msgpack::write;
//!
//! let mut out = Vec::new();
//! write::map(&mut out, 2);
//! write::text(&mut out, "to");
//! write::array(&mut out, 0);
//! write::text(&mut out, "at");
//! write::negative(&mut out, -1);
//! assert_eq!(out, b"\x82\xa2to\x90\xa2at\xff");
//! ```

/// Appends the head of an array: so many values follow.
pub fn array(out: &mut Vec<u8>, len: usize) {
    head(out, 0x90, [0xdc, 0xdd], len);
}

/// Appends the head of a map: so many names with their values follow.
pub fn map(out: &mut Vec<u8>, len: usize) {
    head(out, 0x80, [0xde, 0xdf], len);
}

fn head(out: &mut Vec<u8>, short: u8, markers: [u8; 2], len: usize) {
    if let Ok(len @ 0..=15) = u8::try_from(len) {
        out.push(short | len);
    } else if let Ok(len) = u16::try_from(len) {
        out.push(markers[0]);
        out.extend_from_slice(&len.to_be_bytes());
    } else {
        out.push(markers[1]);
        // What is longer is longer than any memory.
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        out.extend_from_slice(&len.to_be_bytes());
    }
}

/// Appends `nil`.
pub fn nil(out: &mut Vec<u8>) {
    out.push(0xc0);
}

/// Appends `true` or `false`.
pub fn bool(out: &mut Vec<u8>, value: bool) {
    out.push(0xc2 | u8::from(value));
}

/// Appends a string.
pub fn text(out: &mut Vec<u8>, text: &str) {
    if let Ok(short @ 0..=31) = u8::try_from(text.len()) {
        out.push(0xa0 | short);
    } else {
        length(out, [0xd9, 0xda, 0xdb], text.len());
    }
    out.extend_from_slice(text.as_bytes());
}

/// Appends bytes.
pub fn binary(out: &mut Vec<u8>, bytes: &[u8]) {
    length(out, [0xc4, 0xc5, 0xc6], bytes.len());
    out.extend_from_slice(bytes);
}

/// The shortest of three markers, and the length in 1, 2 or 4 bytes.
fn length(out: &mut Vec<u8>, markers: [u8; 3], len: usize) {
    if let Ok(len) = u8::try_from(len) {
        out.extend_from_slice(&[markers[0], len]);
    } else if let Ok(len) = u16::try_from(len) {
        out.push(markers[1]);
        out.extend_from_slice(&len.to_be_bytes());
    } else {
        out.push(markers[2]);
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        out.extend_from_slice(&len.to_be_bytes());
    }
}

/// Appends a whole number, in the fewest bytes.
pub fn positive(out: &mut Vec<u8>, value: u64) {
    if let Ok(short @ 0..=0x7f) = u8::try_from(value) {
        out.push(short);
    } else if let Ok(value) = u8::try_from(value) {
        out.extend_from_slice(&[0xcc, value]);
    } else if let Ok(value) = u16::try_from(value) {
        out.push(0xcd);
        out.extend_from_slice(&value.to_be_bytes());
    } else if let Ok(value) = u32::try_from(value) {
        out.push(0xce);
        out.extend_from_slice(&value.to_be_bytes());
    } else {
        out.push(0xcf);
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Appends a whole number below zero, in the fewest bytes.
pub fn negative(out: &mut Vec<u8>, value: i64) {
    if let Ok(value) = i8::try_from(value) {
        if value < -32 {
            out.push(0xd0);
        }
        out.extend_from_slice(&value.to_be_bytes());
    } else if let Ok(value) = i16::try_from(value) {
        out.push(0xd1);
        out.extend_from_slice(&value.to_be_bytes());
    } else if let Ok(value) = i32::try_from(value) {
        out.push(0xd2);
        out.extend_from_slice(&value.to_be_bytes());
    } else {
        out.push(0xd3);
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Appends a number with a fraction, in eight bytes.
pub fn float(out: &mut Vec<u8>, value: f64) {
    out.push(0xcb);
    out.extend_from_slice(&value.to_be_bytes());
}
