//! A writer of msgpack that knows nothing but its markers, and picks one of those that fit.

use sio_packet::Value;

/// An event with these arguments; `wide` says, a bit each, whether a longer marker is taken.
pub(crate) fn event(arguments: &[Value], wide: u64) -> Vec<u8> {
    let mut writer = Writer {
        out: Vec::new(),
        wide,
    };
    writer.map(3);
    writer.text("data");
    writer.array(arguments.len());
    for argument in arguments {
        writer.value(argument);
    }
    writer.text("nsp");
    writer.text("/");
    writer.text("type");
    writer.out.push(2);
    writer.out
}

struct Writer {
    out: Vec<u8>,
    wide: u64,
}

impl Writer {
    fn is_wide(&mut self) -> bool {
        self.wide = self.wide.rotate_right(1);
        self.wide & 1 == 1
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.out.push(0xc0),
            Value::Bool(value) => self.out.push(if *value { 0xc3 } else { 0xc2 }),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(value), _) => self.positive(value),
                (None, Some(value)) => {
                    if let (Ok(short), false) = (i32::try_from(value), self.is_wide()) {
                        self.out.push(0xd2);
                        self.out.extend(short.to_be_bytes());
                    } else {
                        self.out.push(0xd3);
                        self.out.extend(value.to_be_bytes());
                    }
                }
                (None, None) => {
                    self.out.push(0xcb);
                    self.out.extend(number.as_f64().unwrap().to_be_bytes());
                }
            },
            Value::String(text) => self.text(text),
            Value::Binary(bytes) => {
                if self.is_wide() {
                    // As JavaScript's typed arrays come.
                    self.out.push(0xc9);
                    self.len32(bytes.len());
                    self.out.push(0);
                } else {
                    self.out.push(0xc5);
                    self.len16(bytes.len());
                }
                self.out.extend_from_slice(bytes);
            }
            Value::Array(values) => {
                self.array(values.len());
                values.iter().for_each(|value| self.value(value));
            }
            Value::Object(object) => {
                self.map(object.len());
                for (name, value) in object.iter() {
                    self.text(name);
                    self.value(value);
                }
            }
        }
    }

    fn positive(&mut self, value: u64) {
        if let (Ok(short), false) = (u32::try_from(value), self.is_wide()) {
            self.out.push(0xce);
            self.out.extend(short.to_be_bytes());
        } else {
            self.out.push(0xcf);
            self.out.extend(value.to_be_bytes());
        }
    }

    fn text(&mut self, text: &str) {
        if self.is_wide() {
            self.out.push(0xdb);
            self.len32(text.len());
        } else {
            self.out.push(0xda);
            self.len16(text.len());
        }
        self.out.extend_from_slice(text.as_bytes());
    }

    fn array(&mut self, len: usize) {
        if self.is_wide() {
            self.out.push(0xdd);
            self.len32(len);
        } else {
            self.out.push(0xdc);
            self.len16(len);
        }
    }

    fn map(&mut self, len: usize) {
        if self.is_wide() {
            self.out.push(0xdf);
            self.len32(len);
        } else {
            self.out.push(0xde);
            self.len16(len);
        }
    }

    fn len16(&mut self, len: usize) {
        self.out.extend(u16::try_from(len).unwrap().to_be_bytes());
    }

    fn len32(&mut self, len: usize) {
        self.out.extend(u32::try_from(len).unwrap().to_be_bytes());
    }
}
