//! Socket.IO packets as the WebSocket frames that carry them, headers included.
//!
//! Frames from a server are not masked, so these bytes are the same for every recipient: they are
//! written once, and what goes to each of them is a pointer.

use serde::Serialize;
use sio_packet::{Attachments, WriteError};
use ws_frame::{OpCode, write_frame};

/// The Engine.IO packet type that stands in front of every Socket.IO packet.
pub(crate) const MESSAGE: u8 = b'4';

/// The payload length guessed for a text frame: most are short, and a wrong guess costs one move.
const EXPECT: usize = 64;

/// Appends an event: its text, then its attachments.
pub(crate) fn event<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    attachments: &mut Attachments,
    namespace: &str,
    ack: Option<u64>,
    name: &str,
    args: &T,
) -> Result<(), WriteError> {
    message(out, attachments, |text, attachments| {
        sio_packet::write_event(text, namespace, ack, name, args, attachments)
    })
}

/// Appends the answer to an event.
pub(crate) fn ack<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    attachments: &mut Attachments,
    namespace: &str,
    id: u64,
    args: &T,
) -> Result<(), WriteError> {
    message(out, attachments, |text, attachments| {
        sio_packet::write_ack(text, namespace, id, args, attachments)
    })
}

/// Appends a packet without attachments.
pub(crate) fn plain(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), WriteError>,
) -> Result<(), WriteError> {
    let start = out.len();
    let mut result = Ok(());
    write_frame(out, OpCode::Text, EXPECT, |text| {
        text.push(MESSAGE);
        result = write(text);
    });
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn message(
    out: &mut Vec<u8>,
    attachments: &mut Attachments,
    write: impl FnOnce(&mut Vec<u8>, &mut Attachments) -> Result<(), WriteError>,
) -> Result<(), WriteError> {
    plain(out, |text| write(text, attachments))?;
    for attachment in attachments.iter() {
        write_frame(out, OpCode::Binary, attachment.len(), |payload| {
            payload.extend_from_slice(attachment);
        });
    }
    Ok(())
}
