//! Pickles, read by a machine that can build values and nothing else.
//!
//! python-socketio before 5.14 pickled its messages. A [pickle] is a program for a stack machine;
//! some of its instructions import and call things, and those are refused here, as is everything
//! that a message never needed: what is left makes `None`, booleans, numbers, texts, bytes, lists,
//! tuples and dictionaries. Values may be shared, so the result has a size of its own to be held
//! against.
//!
//! [pickle]: https://docs.python.org/3/library/pickletools.html

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::Number;
use sio_packet::{Object, Value};

use crate::{DecodeError, msgpack::MAX_DEPTH};

/// What a pickle made.
pub(crate) struct Pickle {
    nodes: Vec<Node>,
    root: usize,
    /// What values may weigh together, so that shared ones cannot become many.
    budget: usize,
}

/// A value; those inside it by their index, since a pickle may name one value twice.
enum Node {
    Plain(Value),
    List(Vec<usize>),
    Tuple(Vec<usize>),
    Dict(Vec<(usize, usize)>),
}

impl Pickle {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut machine = Machine {
            bytes,
            at: 0,
            nodes: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        };
        let root = machine.run()?;
        Ok(Self {
            nodes: machine.nodes,
            root,
            budget: 4096 + 64 * bytes.len(),
        })
    }

    /// Whether a member of the dictionary is a tuple.
    pub(crate) fn is_tuple(&self, member: &str) -> bool {
        let Node::Dict(members) = &self.nodes[self.root] else {
            return false;
        };
        members.iter().rev().any(|(name, value)| {
            matches!(&self.nodes[*name], Node::Plain(Value::String(text)) if text == member)
                && matches!(self.nodes[*value], Node::Tuple(_))
        })
    }

    /// All of it as one value; tuples are arrays.
    pub(crate) fn value(&self) -> Result<Value, DecodeError> {
        let mut budget = self.budget;
        self.make(self.root, MAX_DEPTH, &mut budget)
    }

    fn make(&self, node: usize, depth: usize, budget: &mut usize) -> Result<Value, DecodeError> {
        // A value that holds itself is found here, too.
        let depth = depth
            .checked_sub(1)
            .ok_or(DecodeError::TooDeep { limit: MAX_DEPTH })?;
        let weight = 1 + match &self.nodes[node] {
            Node::Plain(Value::String(text)) => text.len(),
            Node::Plain(_) => 0,
            Node::List(nodes) | Node::Tuple(nodes) => nodes.len(),
            Node::Dict(members) => members.len(),
        };
        *budget = budget
            .checked_sub(weight)
            .ok_or(DecodeError::TooLarge { limit: self.budget })?;
        Ok(match &self.nodes[node] {
            Node::Plain(value) => value.clone(),
            Node::List(nodes) | Node::Tuple(nodes) => {
                let values = nodes.iter().map(|node| self.make(*node, depth, budget));
                Value::Array(values.collect::<Result<_, _>>()?)
            }
            Node::Dict(members) => {
                let mut object = Object::new();
                for (name, value) in members {
                    let Node::Plain(Value::String(name)) = &self.nodes[*name] else {
                        return Err(DecodeError::Field { field: "name" });
                    };
                    object.push(name.as_str(), self.make(*value, depth, budget)?);
                }
                Value::Object(object)
            }
        })
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<usize>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<usize, usize>,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<usize, DecodeError> {
        loop {
            match self.byte()? {
                // PROTO, FRAME: nothing to do with what they say.
                0x80 => {
                    self.take(1)?;
                }
                0x95 => {
                    self.take(8)?;
                }
                b'.' => return self.pop(),
                b'(' => self.marks.push(self.stack.len()),
                b'0' => {
                    self.pop()?;
                }
                b'1' => {
                    let mark = self.mark()?;
                    self.stack.truncate(mark);
                }
                b'2' => {
                    let top = self.top()?;
                    self.stack.push(top);
                }

                b'N' => self.plain(Value::Null),
                0x88 => self.plain(true.into()),
                0x89 => self.plain(false.into()),
                b'I' => {
                    let value = match self.line()? {
                        "00" => false.into(),
                        "01" => true.into(),
                        text => self.integer(text)?,
                    };
                    self.plain(value);
                }
                b'L' => {
                    let text = self.line()?;
                    let value = self.integer(text.strip_suffix('L').unwrap_or(text))?;
                    self.plain(value);
                }
                b'F' => {
                    let text = self.line()?;
                    let value: f64 = text.parse().map_err(|_| self.syntax())?;
                    self.plain(value.into());
                }
                b'J' => {
                    let value = i32::from_le_bytes(self.array()?);
                    self.plain(value.into());
                }
                b'K' => {
                    let value = self.byte()?;
                    self.plain(value.into());
                }
                b'M' => {
                    let value = u16::from_le_bytes(self.array()?);
                    self.plain(value.into());
                }
                0x8a => {
                    let len = usize::from(self.byte()?);
                    self.long(len)?;
                }
                0x8b => {
                    let len = self.len4()?;
                    self.long(len)?;
                }
                b'G' => {
                    let value = f64::from_be_bytes(self.array()?);
                    self.plain(value.into());
                }

                b'V' => {
                    let text = unescape(self.raw_line()?).ok_or_else(|| self.syntax())?;
                    self.plain(text.into());
                }
                b'X' | b'T' => {
                    let len = self.len4()?;
                    self.text(len)?;
                }
                0x8c | b'U' => {
                    let len = usize::from(self.byte()?);
                    self.text(len)?;
                }
                0x8d => {
                    let len = self.len8()?;
                    self.text(len)?;
                }
                b'B' => {
                    let len = self.len4()?;
                    self.binary(len)?;
                }
                b'C' => {
                    let len = usize::from(self.byte()?);
                    self.binary(len)?;
                }
                // BINBYTES8, BYTEARRAY8
                0x8e | 0x96 => {
                    let len = self.len8()?;
                    self.binary(len)?;
                }

                b']' => self.push(Node::List(Vec::new())),
                b'}' => self.push(Node::Dict(Vec::new())),
                b')' => self.push(Node::Tuple(Vec::new())),
                b'l' => {
                    let mark = self.mark()?;
                    let items = self.stack.split_off(mark);
                    self.push(Node::List(items));
                }
                b't' => {
                    let mark = self.mark()?;
                    let items = self.stack.split_off(mark);
                    self.push(Node::Tuple(items));
                }
                b'd' => {
                    let mark = self.mark()?;
                    let items = self.stack.split_off(mark);
                    self.push(Node::Dict(Vec::new()));
                    self.set_items(&items)?;
                }
                tag @ 0x85..=0x87 => {
                    let len = usize::from(tag - 0x84);
                    let start = self.stack.len().checked_sub(len);
                    let start = start.ok_or_else(|| self.syntax())?;
                    let items = self.stack.split_off(start);
                    self.push(Node::Tuple(items));
                }
                b'a' => {
                    let item = self.pop()?;
                    self.append(&[item])?;
                }
                b'e' => {
                    let mark = self.mark()?;
                    let items = self.stack.split_off(mark);
                    self.append(&items)?;
                }
                b's' => {
                    let value = self.pop()?;
                    let name = self.pop()?;
                    self.set_items(&[name, value])?;
                }
                b'u' => {
                    let mark = self.mark()?;
                    let items = self.stack.split_off(mark);
                    self.set_items(&items)?;
                }

                b'p' => {
                    let name = self.memo_name()?;
                    self.put(name)?;
                }
                b'q' => {
                    let name = usize::from(self.byte()?);
                    self.put(name)?;
                }
                b'r' => {
                    let name = self.len4()?;
                    self.put(name)?;
                }
                0x94 => self.put(self.memo.len())?,
                b'g' => {
                    let name = self.memo_name()?;
                    self.get(name)?;
                }
                b'h' => {
                    let name = usize::from(self.byte()?);
                    self.get(name)?;
                }
                b'j' => {
                    let name = self.len4()?;
                    self.get(name)?;
                }

                // GLOBAL, INST, OBJ, NEWOBJ, REDUCE, BUILD, STACK_GLOBAL, NEWOBJ_EX, EXT1, EXT2,
                // EXT4, PERSID, BINPERSID: import, call, or ask the outside.
                b'c'
                | b'i'
                | b'o'
                | 0x81
                | b'R'
                | b'b'
                | 0x93
                | 0x92
                | 0x82..=0x84
                | b'P'
                | b'Q' => return Err(DecodeError::Unsafe),
                _ => return Err(self.syntax()),
            }
        }
    }

    fn plain(&mut self, value: Value) {
        self.push(Node::Plain(value));
    }

    fn push(&mut self, node: Node) {
        self.stack.push(self.nodes.len());
        self.nodes.push(node);
    }

    fn top(&self) -> Result<usize, DecodeError> {
        self.stack.last().copied().ok_or_else(|| self.syntax())
    }

    fn pop(&mut self) -> Result<usize, DecodeError> {
        self.stack.pop().ok_or_else(|| self.syntax())
    }

    /// The height of the stack at the last mark; what was popped below it is no height any more.
    fn mark(&mut self) -> Result<usize, DecodeError> {
        let mark = self.marks.pop();
        mark.filter(|mark| *mark <= self.stack.len())
            .ok_or_else(|| self.syntax())
    }

    fn append(&mut self, items: &[usize]) -> Result<(), DecodeError> {
        let top = self.top()?;
        match &mut self.nodes[top] {
            Node::List(list) => list.extend_from_slice(items),
            _ => return Err(self.syntax()),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[usize]) -> Result<(), DecodeError> {
        let top = self.top()?;
        match &mut self.nodes[top] {
            Node::Dict(members) if items.len().is_multiple_of(2) => {
                members.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
            }
            _ => return Err(self.syntax()),
        }
        Ok(())
    }

    fn put(&mut self, name: usize) -> Result<(), DecodeError> {
        let top = self.top()?;
        self.memo.insert(name, top);
        Ok(())
    }

    fn get(&mut self, name: usize) -> Result<(), DecodeError> {
        let node = self.memo.get(&name).copied();
        self.stack.push(node.ok_or_else(|| self.syntax())?);
        Ok(())
    }

    fn memo_name(&mut self) -> Result<usize, DecodeError> {
        self.line()?.parse().map_err(|_| self.syntax())
    }

    fn text(&mut self, len: usize) -> Result<(), DecodeError> {
        let text = str::from_utf8(self.take(len)?).map_err(|_| self.syntax())?;
        self.plain(text.into());
        Ok(())
    }

    fn binary(&mut self, len: usize) -> Result<(), DecodeError> {
        let bytes = Bytes::copy_from_slice(self.take(len)?);
        self.plain(bytes.into());
        Ok(())
    }

    fn integer(&self, text: &str) -> Result<Value, DecodeError> {
        if let Ok(value) = text.parse::<i64>() {
            return Ok(value.into());
        }
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(self.syntax());
        }
        Ok(text.parse::<f64>().unwrap_or(f64::NAN).into())
    }

    /// A whole number of any length, the lowest byte first, in two's complement. Above 64 bits it
    /// becomes the nearest float, as in JSON.
    fn long(&mut self, len: usize) -> Result<(), DecodeError> {
        let bytes = self.take(len)?;
        let negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
        let fill = if negative { 0xff } else { 0 };
        let value = if len <= 8 {
            let mut whole = [fill; 8];
            whole[..len].copy_from_slice(bytes);
            Value::Number(Number::from(i64::from_le_bytes(whole)))
        } else {
            let digits = bytes.iter().rev();
            let value = digits.fold(0.0, |value, byte| value * 256.0 + f64::from(byte ^ fill));
            let value: f64 = if negative { -value - 1.0 } else { value };
            value.into()
        };
        self.plain(value);
        Ok(())
    }

    fn line(&mut self) -> Result<&'a str, DecodeError> {
        let line = self.raw_line()?;
        str::from_utf8(line).map_err(|_| self.syntax())
    }

    fn raw_line(&mut self) -> Result<&'a [u8], DecodeError> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|byte| *byte == b'\n');
        let line = self.take(end.ok_or_else(|| self.syntax())?)?;
        self.at += 1;
        Ok(line)
    }

    fn len4(&mut self) -> Result<usize, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    fn len8(&mut self) -> Result<usize, DecodeError> {
        usize::try_from(u64::from_le_bytes(self.array()?)).map_err(|_| self.syntax())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let bytes = self.take(N)?;
        Ok(bytes.try_into().expect("as many bytes as were asked for"))
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

    fn syntax(&self) -> DecodeError {
        DecodeError::Syntax {
            syntax: "pickle",
            at: self.at,
        }
    }
}

/// Python's `raw-unicode-escape`, as protocol 0 has it: Latin-1, `\uXXXX` and `\UXXXXXXXX`.
fn unescape(line: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        let len = match (byte, rest.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => {
                text.push(char::from(byte));
                continue;
            }
        };
        let digits = str::from_utf8(rest.get(1..=len)?).ok()?;
        text.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
        rest = &rest[len + 1..];
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Value, DecodeError> {
        Pickle::read(bytes)?.value()
    }

    fn json(text: &str) -> Value {
        serde_json::from_str(text).expect("JSON")
    }

    #[test]
    fn a_program_that_builds_values_builds_them() {
        assert_eq!(
            read(b"(lp0\nI1\naI01\naNaL-5L\na."),
            Ok(json("[1,true,null,-5]"))
        );
        assert_eq!(
            read(b"\x80\x04}\x94\x8c\x01a\x94K\x07s."),
            Ok(json(r#"{"a":7}"#))
        );
        assert_eq!(read(b"\x8a\x01\xff."), Ok(json("-1")));
        assert_eq!(read(b"\x8a\x00."), Ok(json("0")));
        let great = b"\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x40.";
        assert_eq!(read(great), Ok(json("1180591620717411303424")));
        assert_eq!(read(b"Vh\xe9\\u20ac\\x\n."), Ok("hé€\\x".into()));
    }

    #[test]
    fn sec_a_pickle_that_imports_or_calls_is_refused() {
        for bytes in [
            &b"cos\nsystem\n(S'id'\ntR."[..],
            b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
            b"(ios\nsystem\n.",
            b"N\x85R.",
            b"NNb.",
            b"\x82\x01.",
            b"Pid\n.",
        ] {
            assert_eq!(read(bytes), Err(DecodeError::Unsafe), "{bytes:?}");
        }
    }

    #[test]
    fn sec_a_value_named_often_does_not_become_many() {
        // Forty lists, each of which holds the one before it twice.
        let mut bytes = b"]\x94".to_vec();
        for name in 0..40_u8 {
            bytes.extend_from_slice(&[b']', 0x94, b'(', b'h', name, b'h', name, b'e']);
        }
        bytes.push(b'.');
        assert_eq!(read(&bytes).unwrap_err().kind(), "too_large");
    }

    #[test]
    fn sec_a_list_that_holds_itself_and_two_hundred_thousand_levels_are_refused() {
        assert_eq!(read(b"]\x94h\x00a.").unwrap_err().kind(), "too_deep");
        let mut bytes = b"N".to_vec();
        bytes.extend_from_slice(&[0x85; 200_000]);
        bytes.push(b'.');
        assert_eq!(read(&bytes).unwrap_err().kind(), "too_deep");
    }

    #[test]
    fn sec_a_stack_that_is_empty_or_lies_is_an_error() {
        for bytes in [
            &b"."[..],
            b"",
            b"a.",
            b"u.",
            b"(0.",
            b"N(00u.",
            b"\x86.",
            b"Nh\x05.",
            b"}(Nu.",
            b"X\xff\xff\xff\xff.",
            b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff.",
        ] {
            assert_eq!(read(bytes).unwrap_err().kind(), "syntax", "{bytes:?}");
        }
    }
}
