//! JSON text and attachments into msgpack.

use super::write::{binary, float, negative, positive, text};
use crate::placeholder::{self, Found};
use crate::scanner::{Number, Scanner};
use crate::{Kind, Packet, WriteError};

/// Appends the map of a packet.
///
/// Without data or id these members are left out: `nil` in their place makes the npm package drop the
/// connection.
pub(super) fn packet(
    packet: &Packet<'_>,
    attachments: &[&[u8]],
    out: &mut Vec<u8>,
) -> Result<(), WriteError> {
    let kind = match packet.kind {
        Kind::BinaryAck => Kind::Ack,
        Kind::BinaryEvent => Kind::Event,
        kind => kind,
    };
    let members = 2 + u8::from(!packet.data.is_empty()) + u8::from(packet.id.is_some());
    out.push(0x80 | members);
    text(out, "type");
    out.push(kind as u8);
    if !packet.data.is_empty() {
        text(out, "data");
        value(out, packet.data, attachments)?;
    }
    text(out, "nsp");
    text(out, packet.namespace);
    if let Some(id) = packet.id {
        text(out, "id");
        positive(out, id);
    }
    Ok(())
}

/// An array or map whose end has not come.
struct Open {
    /// Where its marker stands.
    at: usize,
    /// Elements or members so far.
    count: usize,
    map: bool,
}

/// Appends a JSON value. Not recursive: the caller's own payload may be of any depth.
fn value(out: &mut Vec<u8>, json: &str, attachments: &[&[u8]]) -> Result<(), WriteError> {
    let mut scanner = Scanner::new(json);
    let mut open: Vec<Open> = Vec::new();
    loop {
        match scanner.peek() {
            Some(b'"') => text(out, &scanner.string().map_err(malformed)?),
            Some(b'-' | b'0'..=b'9') => match scanner.number().map_err(malformed)? {
                Number::Float(value) => float(out, value),
                Number::Negative(value) => negative(out, value),
                Number::Positive(value) => positive(out, value),
            },
            Some(b'n') => {
                scanner.literal("null").map_err(malformed)?;
                out.push(0xc0);
            }
            Some(b't') => {
                scanner.literal("true").map_err(malformed)?;
                out.push(0xc3);
            }
            Some(b'f') => {
                scanner.literal("false").map_err(malformed)?;
                out.push(0xc2);
            }
            Some(bracket @ (b'[' | b'{')) => {
                let map = bracket == b'{';
                if map
                    && !attachments.is_empty()
                    && let Found::Placeholder { number, after } = placeholder::find(scanner)
                {
                    let number = usize::try_from(number).ok();
                    let attachment = number.and_then(|number| attachments.get(number));
                    binary(out, attachment.ok_or_else(|| wrong("no such attachment"))?);
                    scanner = after;
                } else {
                    scanner.advance();
                    open.push(Open {
                        at: out.len(),
                        count: 0,
                        map,
                    });
                    out.push(0);
                    if !scanner.eat(if map { b'}' } else { b']' }) {
                        begin(out, &mut scanner, open.last_mut())?;
                        continue;
                    }
                    close(out, open.pop());
                }
            }
            _ => return Err(wrong("no value")),
        }
        // A value has ended; perhaps what it stands in ends with it.
        loop {
            let Some(inner) = open.last_mut() else {
                return scanner.end().map_err(malformed);
            };
            if scanner.eat(b',') {
                begin(out, &mut scanner, Some(inner))?;
                break;
            }
            let bracket = if inner.map { b'}' } else { b']' };
            scanner
                .expect(bracket, "no closing bracket")
                .map_err(malformed)?;
            close(out, open.pop());
        }
    }
}

/// An element or member comes next: counts it, and appends its name if it has one.
fn begin(
    out: &mut Vec<u8>,
    scanner: &mut Scanner<'_>,
    open: Option<&mut Open>,
) -> Result<(), WriteError> {
    let Some(open) = open else { return Ok(()) };
    open.count += 1;
    if open.map {
        if scanner.peek() != Some(b'"') {
            return Err(wrong("no name of a member"));
        }
        text(out, &scanner.string().map_err(malformed)?);
        scanner
            .expect(b':', "no colon after a name")
            .map_err(malformed)?;
    }
    Ok(())
}

/// The count is known now. One marker was left room for; a longer one moves the content up.
fn close(out: &mut Vec<u8>, open: Option<Open>) {
    let Some(Open { at, count, map }) = open else {
        return;
    };
    if let Ok(short @ 0..=15) = u8::try_from(count) {
        out[at] = short | if map { 0x80 } else { 0x90 };
    } else if let Ok(count) = u16::try_from(count) {
        let [a, b] = count.to_be_bytes();
        out.splice(at..=at, [if map { 0xde } else { 0xdc }, a, b]);
    } else {
        // JSON text of more than 4 GiB does not exist.
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let [a, b, c, d] = count.to_be_bytes();
        out.splice(at..=at, [if map { 0xdf } else { 0xdd }, a, b, c, d]);
    }
}

/// Only the JSON of a `RawValue` that was made without a check can be malformed.
#[cold]
fn malformed(syntax: crate::fault::Syntax) -> WriteError {
    wrong(syntax.problem)
}

#[cold]
fn wrong(problem: &str) -> WriteError {
    WriteError::Custom(format!("the payload is no JSON: {problem}"))
}
