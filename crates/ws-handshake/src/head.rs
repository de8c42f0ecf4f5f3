//! The fields of a request that the handshake is about, found in one walk over the head.

use crate::headers::{Headers, Lines, Single};
use crate::token::{contains, is_word};

/// What RFC 6455 §4.2.1 asks of a request, as far as it stands in fields.
#[derive(Default)]
pub(crate) struct Head<'a> {
    pub(crate) host: Single<'a>,
    /// `Upgrade` holds the token `websocket`.
    pub(crate) upgrade: bool,
    /// `Connection` holds the token `upgrade`.
    pub(crate) connection: bool,
    pub(crate) version: Single<'a>,
    pub(crate) key: Single<'a>,
    /// Something announces a body.
    pub(crate) body: bool,
    pub(crate) protocols: Lines<'a>,
    pub(crate) extensions: Lines<'a>,
}

impl<'a> Head<'a> {
    pub(crate) fn read<H: Headers + ?Sized>(headers: &'a H) -> Self {
        let mut head = Self::default();
        for (name, value) in headers.fields() {
            head.add(name, value);
        }
        head
    }

    /// The length tells nearly all names apart, so that most fields cost one comparison of numbers.
    #[inline]
    fn add(&mut self, name: &str, value: &'a [u8]) {
        match name.len() {
            4 if is(name, b"host") => self.host.add(value),
            7 if is(name, b"upgrade") => self.upgrade |= contains(value, b"websocket"),
            10 if is(name, b"connection") => self.connection |= contains(value, b"upgrade"),
            14 if is(name, b"content-length") => self.body |= value != b"0",
            17 if is(name, b"sec-websocket-key") => self.key.add(value),
            17 if is(name, b"transfer-encoding") => self.body = true,
            21 if is(name, b"sec-websocket-version") => self.version.add(value),
            22 if is(name, b"sec-websocket-protocol") => self.protocols.add(value),
            24 if is(name, b"sec-websocket-extensions") => self.extensions.add(value),
            _ => {}
        }
    }
}

#[inline]
fn is<const LEN: usize>(name: &str, known: &[u8; LEN]) -> bool {
    is_word(name.as_bytes(), known)
}
