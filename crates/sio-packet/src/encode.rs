//! Packets to text.
//!
//! Everything is appended to a buffer that the caller has prepared: the Engine.IO type stands there
//! already, and before it room for a frame header. What fails leaves the buffer as it was.

use serde::Serialize;

use crate::packet::is_reserved;
use crate::writer::Writer;
use crate::{Attachments, Kind, WriteError, string};

/// Appends an event: `2/nsp,12["event",args…]`, or with attachments `51-/nsp,12["event",args…]`.
///
/// A tuple (or an array of fixed length, which is the same to serde) is several arguments, `()` none,
/// anything else one. Bytes, anywhere in them, go to `attachments`, behind what is there, and are
/// to be sent as binary messages right after the text.
///
/// Mind that clients of JavaScript refuse packets of more than 10 attachments.
///
/// # Errors
/// If the name is reserved, or if `args` cannot be serialized.
#[inline]
pub fn write_event<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    namespace: &str,
    id: Option<u64>,
    event: &str,
    args: &T,
    attachments: &mut Attachments,
) -> Result<(), WriteError> {
    if is_reserved(event) {
        return Err(WriteError::EventNameReserved);
    }
    let start = out.len();
    out.reserve(HEAD + namespace.len() + event.len());
    write_head(out, Kind::Event, namespace, id);
    out.push(b'[');
    string::write(out, event);
    out.push(b',');
    let result = write_args(out, start, Kind::BinaryEvent, args, attachments);
    end_list(out, start, result)
}

/// Appends the answer to an event: `3/nsp,12[args…]`, or with attachments `61-/nsp,12[args…]`.
///
/// The arguments are written as by [`write_event`].
///
/// ```
/// use sio_packet::{Attachments, write_ack};
///
/// let (mut out, mut attachments) = (Vec::new(), Attachments::new());
/// write_ack(&mut out, "/", 7, &("ok", 2), &mut attachments)?;
/// assert_eq!(out, br#"37["ok",2]"#);
/// # Ok::<(), sio_packet::WriteError>(())
/// ```
///
/// # Errors
/// If `args` cannot be serialized.
#[inline]
pub fn write_ack<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    namespace: &str,
    id: u64,
    args: &T,
    attachments: &mut Attachments,
) -> Result<(), WriteError> {
    let start = out.len();
    out.reserve(HEAD + namespace.len());
    write_head(out, Kind::Ack, namespace, Some(id));
    out.push(b'[');
    let result = write_args(out, start, Kind::BinaryAck, args, attachments);
    end_list(out, start, result)
}

/// Appends the server's CONNECT: `0/nsp,{"sid":"…","pid":"…"}`; the `pid` only with recovery.
///
/// ```
/// use sio_packet::{write_connect, write_connect_error, write_disconnect};
///
/// let mut out = Vec::new();
/// write_connect(&mut out, "/chat", "k3ZqhXXyaAJRGbAEAAAB", None);
/// assert_eq!(out, br#"0/chat,{"sid":"k3ZqhXXyaAJRGbAEAAAB"}"#);
/// out.clear();
/// write_connect_error(&mut out, "/chat", "not you", Some(&403))?;
/// assert_eq!(out, br#"4/chat,{"message":"not you","data":403}"#);
/// out.clear();
/// write_disconnect(&mut out, "/chat");
/// assert_eq!(out, b"1/chat,");
/// # Ok::<(), sio_packet::WriteError>(())
/// ```
pub fn write_connect(out: &mut Vec<u8>, namespace: &str, sid: &str, pid: Option<&str>) {
    write_head(out, Kind::Connect, namespace, None);
    out.extend_from_slice(b"{\"sid\":");
    string::write(out, sid);
    if let Some(pid) = pid {
        out.extend_from_slice(b",\"pid\":");
        string::write(out, pid);
    }
    out.push(b'}');
}

/// Appends the client's CONNECT: `0/nsp,{…}`. The payload has to be an object.
///
/// ```
/// use sio_packet::{Packet, read_auth, write_connect_request};
///
/// let mut out = Vec::new();
/// let token = std::collections::BTreeMap::from([("token", "abc")]);
/// write_connect_request(&mut out, "/chat", Some(&token))?;
/// assert_eq!(out, br#"0/chat,{"token":"abc"}"#);
/// # Ok::<(), sio_packet::WriteError>(())
/// ```
///
/// # Errors
/// If `auth` cannot be serialized without attachments.
pub fn write_connect_request(
    out: &mut Vec<u8>,
    namespace: &str,
    auth: Option<&impl Serialize>,
) -> Result<(), WriteError> {
    let start = out.len();
    write_head(out, Kind::Connect, namespace, None);
    let result = auth.map_or(Ok(()), |auth| write_plain(out, auth));
    undo_on_error(out, start, result)
}

/// Appends a DISCONNECT: `1/nsp,`.
pub fn write_disconnect(out: &mut Vec<u8>, namespace: &str) {
    write_head(out, Kind::Disconnect, namespace, None);
}

/// Appends a CONNECT_ERROR: `4/nsp,{"message":"…","data":…}`; the `data` only if there is some.
///
/// # Errors
/// If `data` cannot be serialized without attachments.
pub fn write_connect_error(
    out: &mut Vec<u8>,
    namespace: &str,
    message: &str,
    data: Option<&impl Serialize>,
) -> Result<(), WriteError> {
    let start = out.len();
    write_head(out, Kind::ConnectError, namespace, None);
    out.extend_from_slice(b"{\"message\":");
    string::write(out, message);
    let result = data.map_or(Ok(()), |data| {
        out.extend_from_slice(b",\"data\":");
        write_plain(out, data)
    });
    out.push(b'}');
    undo_on_error(out, start, result)
}

#[inline]
pub(crate) fn write_head(out: &mut Vec<u8>, kind: Kind, namespace: &str, id: Option<u64>) {
    out.push(b'0' + kind as u8);
    if namespace != "/" {
        out.extend_from_slice(namespace.as_bytes());
        out.push(b',');
    }
    if let Some(id) = id {
        out.extend_from_slice(itoa::Buffer::new().format(id).as_bytes());
    }
}

/// Writes the arguments; if attachments were among them, makes the packet that began at `start` a
/// `binary` one.
#[inline]
fn write_args<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    start: usize,
    binary: Kind,
    args: &T,
    attachments: &mut Attachments,
) -> Result<(), WriteError> {
    let before = attachments.len();
    let mut writer = Writer {
        out,
        attachments,
        before,
        root: true,
        marked: false,
    };
    let result = args.serialize(&mut writer);
    let marked = writer.marked;
    match attachments.len() - before {
        0 => result,
        count => {
            let result = result.and(if marked {
                Err(WriteError::Placeholder)
            } else {
                Ok(())
            });
            if result.is_ok() {
                declare(out, start, binary, count);
            } else {
                attachments.truncate(before);
            }
            result
        }
    }
}

/// The count stands before the namespace, and is known only now: what follows moves up.
#[cold]
fn declare(out: &mut Vec<u8>, start: usize, binary: Kind, count: usize) {
    let mut buffer = itoa::Buffer::new();
    let count = buffer.format(count).bytes().chain([b'-']);
    out.splice(
        start..=start,
        [b'0' + binary as u8].into_iter().chain(count),
    );
}

/// Closes the list of arguments, which ends in a comma if there were none behind an event's name.
#[inline]
fn end_list(
    out: &mut Vec<u8>,
    start: usize,
    result: Result<(), WriteError>,
) -> Result<(), WriteError> {
    match out.last_mut() {
        Some(comma @ b',') => *comma = b']',
        _ => out.push(b']'),
    }
    undo_on_error(out, start, result)
}

/// Writes a value that may not have attachments.
pub(crate) fn write_plain(out: &mut Vec<u8>, value: &impl Serialize) -> Result<(), WriteError> {
    let mut attachments = Attachments::new();
    let mut writer = Writer {
        out,
        attachments: &mut attachments,
        before: 0,
        root: false,
        marked: false,
    };
    value.serialize(&mut writer)?;
    if attachments.is_empty() {
        Ok(())
    } else {
        Err(WriteError::Binary)
    }
}

#[inline]
pub(crate) fn undo_on_error(
    out: &mut Vec<u8>,
    start: usize,
    result: Result<(), WriteError>,
) -> Result<(), WriteError> {
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// Bytes that a packet without its arguments takes besides the names: brackets, quotes, digits.
const HEAD: usize = 32;
