//! Packets to text.

use serde::Serialize;

use crate::{Attachments, WriteError};

/// Appends an event: `2/nsp,12["event",args…]`.
pub fn write_event<T: Serialize + ?Sized>(
    _out: &mut Vec<u8>,
    _namespace: &str,
    _id: Option<u64>,
    _event: &str,
    _args: &T,
    _attachments: &mut Attachments,
) -> Result<(), WriteError> {
    Ok(())
}

/// Appends the answer to an event: `3/nsp,12[args…]`.
pub fn write_ack<T: Serialize + ?Sized>(
    _out: &mut Vec<u8>,
    _namespace: &str,
    _id: u64,
    _args: &T,
    _attachments: &mut Attachments,
) -> Result<(), WriteError> {
    Ok(())
}

/// Appends the server's CONNECT: `0/nsp,{"sid":"…","pid":"…"}`.
pub fn write_connect(_out: &mut Vec<u8>, _namespace: &str, _sid: &str, _pid: Option<&str>) {}

/// Appends the client's CONNECT: `0/nsp,{…}`.
pub fn write_connect_request(
    _out: &mut Vec<u8>,
    _namespace: &str,
    _auth: Option<&impl Serialize>,
) -> Result<(), WriteError> {
    Ok(())
}

/// Appends a DISCONNECT: `1/nsp,`.
pub fn write_disconnect(_out: &mut Vec<u8>, _namespace: &str) {}

/// Appends a CONNECT_ERROR: `4/nsp,{"message":"…","data":…}`.
pub fn write_connect_error(
    _out: &mut Vec<u8>,
    _namespace: &str,
    _message: &str,
    _data: Option<&impl Serialize>,
) -> Result<(), WriteError> {
    Ok(())
}
