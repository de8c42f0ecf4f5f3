//! The body of the answer to a GET, in the making.

use crate::config::{Config, Revision, Transport};
use crate::open::write_open;
use crate::packet::Data;
use crate::parcel::Parcel;
use crate::payload::{self, v3};
use crate::sid::Sid;

/// Packets on their way out by polling.
///
/// In revision 3 it is text until bytes come, and then of the binary form; parcels for it are in the
/// session's [`Dialect`](crate::Dialect).
///
/// ```
/// use eio_transport::{Parcel, Revision, payload::Payload};
///
/// let mut answer = Payload::new(Revision::V4, 64);
/// answer.push(&Parcel::text("hello"));
/// answer.push(&Parcel::binary(b"\xff\xd8"));
/// answer.push_text("2"); // a ping
/// assert_eq!(answer.len(), 14);
/// assert_eq!(answer.into_bytes(), b"4hello\x1eb/9g=\x1e2");
/// ```
#[derive(Debug)]
pub struct Payload {
    body: Vec<u8>,
    revision: Revision,
}

impl Payload {
    /// An empty one, with room for `expect` bytes.
    #[inline]
    pub fn new(revision: Revision, expect: usize) -> Self {
        Self {
            body: Vec::with_capacity(expect),
            revision,
        }
    }

    /// Whether nothing is in it.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// Its bytes so far.
    #[inline]
    pub const fn len(&self) -> usize {
        self.body.len()
    }

    /// Appends the packets of a parcel.
    #[inline]
    pub fn push(&mut self, parcel: &Parcel) {
        match self.revision {
            Revision::V3 => self.push_v3(parcel),
            Revision::V4 => parcel.append_payload(&mut self.body),
        }
    }

    /// Appends a packet that is text already, kind included.
    #[inline]
    pub fn push_text(&mut self, packet: &str) {
        match self.revision {
            Revision::V3 if v3::is_binary(&self.body) => {
                v3::push_text_as_bytes(&mut self.body, packet);
            }
            Revision::V3 => v3::push_text(&mut self.body, packet),
            Revision::V4 => payload::push_text(&mut self.body, packet),
        }
    }

    /// Appends the open packet, as [`write_open`] writes it.
    pub fn push_open(&mut self, sid: &Sid, upgrades: &[Transport], config: &Config) {
        let mut packet = Vec::with_capacity(128);
        write_open(&mut packet, sid, upgrades, config);
        self.push_text(str::from_utf8(&packet).expect("because JSON is text"));
    }

    /// The body.
    #[inline]
    pub fn into_bytes(self) -> Vec<u8> {
        self.body
    }

    #[cold]
    fn push_v3(&mut self, parcel: &Parcel) {
        for packet in parcel.packets() {
            match packet {
                Data::Text(text) => self.push_text(text),
                Data::Binary(bytes) => {
                    if !v3::is_binary(&self.body) {
                        self.body = v3::to_binary(&self.body);
                    }
                    v3::push_binary(&mut self.body, &bytes);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::parcel::Dialect;

    fn payload(dialect: Dialect, parcels: &[Parcel]) -> Vec<u8> {
        let mut payload = Payload::new(dialect.revision(), 0);
        assert!(payload.is_empty());
        for parcel in parcels {
            let parcel = Arc::new(Parcel::from_frames(parcel.wire()));
            payload.push(&parcel.translated(dialect));
        }
        payload.push_text("6");
        payload.into_bytes()
    }

    fn parcels() -> [Parcel; 3] {
        let photo = Parcel::builder(5, |out| out.extend_from_slice(b"51-[]"));
        let photo = photo.attach(&[1, 2, 3, 4]).build();
        [Parcel::text("é😀"), photo, Parcel::text("b")]
    }

    #[test]
    fn revision_3_is_text_until_bytes_come() {
        assert_eq!(payload(Dialect::V3, &parcels()[2..]), b"2:4b1:6");
        assert_eq!(
            payload(Dialect::V3, &parcels()),
            [
                &b"\x00\x07\xff4"[..],
                "é😀".as_bytes(),
                b"\x00\x06\xff451-[]\x01\x05\xff\x04\x01\x02\x03\x04",
                b"\x00\x02\xff4b\x00\x01\xff6",
            ]
            .concat()
        );
    }

    #[test]
    fn a_client_that_takes_no_bytes_gets_text() {
        assert_eq!(
            payload(Dialect::V3Base64, &parcels()),
            "4:4é😀6:451-[]10:b4AQIDBA==2:4b1:6".as_bytes()
        );
        for dialect in [Dialect::V4, Dialect::V4Base64] {
            assert_eq!(
                payload(dialect, &parcels()),
                "4é😀\x1e451-[]\x1ebAQIDBA==\x1e4b\x1e6".as_bytes()
            );
        }
    }
}
