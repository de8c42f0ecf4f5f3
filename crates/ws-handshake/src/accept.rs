//! The key of the client and the answer that proves we read it, RFC 6455 §1.3 and §4.2.2.
//!
//! ```text
//! Sec-WebSocket-Key:    base64 of 16 random bytes          24 characters
//! Sec-WebSocket-Accept: base64(SHA-1(key text + GUID))     28 characters
//! ```
//!
//! SHA-1 guards nothing here: it shows that the server speaks WebSocket and is not an HTTP cache
//! that repeats what it was told.

use std::fmt;

use crate::error::HandshakeError;

/// The value of `Sec-WebSocket-Accept`.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct AcceptKey([u8; 28]);

/// Answers the value of a `Sec-WebSocket-Key` header, RFC 6455 §4.2.2 step 5.4.
///
/// ```
/// let accept = ws_handshake::accept_key(b"dGhlIHNhbXBsZSBub25jZQ==")?; // RFC 6455 §1.3
/// assert_eq!(accept.as_str(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// # Ok::<(), ws_handshake::HandshakeError>(())
/// ```
///
/// # Errors
///
/// [`HandshakeError::Key`] unless `key` has the form of sixteen bytes in base64.
pub fn accept_key(key: &[u8]) -> Result<AcceptKey, HandshakeError> {
    if !is_sixteen_bytes(key) {
        return Err(HandshakeError::Key);
    }
    let mut text = [0; KEY_LEN + GUID.len()];
    text[..KEY_LEN].copy_from_slice(key);
    text[KEY_LEN..].copy_from_slice(GUID);
    Ok(AcceptKey::encode(digest(&text)))
}

impl AcceptKey {
    /// The 28 characters that go on the wire.
    #[inline]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("because base64 writes ASCII")
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 28] {
        &self.0
    }

    fn encode(digest: [u8; 20]) -> Self {
        Self(base64(&digest))
    }
}

/// Base64, RFC 4648 §4, into its `TEXT` characters. What is encoded here is as long as a hash or a key:
/// for that an encoder made for long input takes twice as much.
#[inline]
pub(crate) fn base64<const BYTES: usize, const TEXT: usize>(bytes: &[u8; BYTES]) -> [u8; TEXT] {
    const { assert!(TEXT == BYTES.div_ceil(3) * 4) };
    let mut text = [b'='; TEXT];
    let (groups, rest) = bytes.as_chunks();
    let digits = |[a, b, c]: [u8; 3]| {
        let bits = u32::from_be_bytes([0, a, b, c]);
        [18, 12, 6, 0].map(|shift| ALPHABET[(bits >> shift) as usize % ALPHABET.len()])
    };
    for (group, place) in groups.iter().zip(text.as_chunks_mut::<4>().0) {
        *place = digits(*group);
    }
    if !rest.is_empty() {
        let mut last = [0; 3];
        last[..rest.len()].copy_from_slice(rest);
        let from = groups.len() * 4;
        text[from..=from + rest.len()].copy_from_slice(&digits(last)[..=rest.len()]);
    }
    text
}

impl AsRef<str> for AcceptKey {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for AcceptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AcceptKey").field(&self.as_str()).finish()
    }
}

impl fmt::Display for AcceptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// By the processor's instructions for it, where there are any.
#[cfg(feature = "sha1")]
fn digest(text: &[u8]) -> [u8; 20] {
    use sha1::Digest as _;
    sha1::Sha1::digest(text).into()
}

#[cfg(not(feature = "sha1"))]
fn digest(text: &[u8]) -> [u8; 20] {
    sha1_smol::Sha1::from(text).digest().bytes()
}

/// Sixteen bytes are 22 characters and two of padding. The four spare bits of the last character
/// are not looked at: keys typed by hand have them set, and nothing hangs on them.
fn is_sixteen_bytes(key: &[u8]) -> bool {
    let Ok(key) = <&[u8; KEY_LEN]>::try_from(key) else {
        return false;
    };
    let digit = |b: u8| b.is_ascii_alphanumeric() | (b == b'+') | (b == b'/');
    // No early end: all at once is less work than one after the other.
    key[..22].iter().fold(true, |all, &b| all & digit(b)) && key[22..] == *b"=="
}

/// The length of a key in base64.
pub(crate) const KEY_LEN: usize = 24;

/// The digits of base64, RFC 4648 §4.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// RFC 6455 §1.3.
const GUID: &[u8; 36] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_rfc_gets_the_answer_of_the_rfc() {
        // §1.3
        let accept = accept_key(b"dGhlIHNhbXBsZSBub25jZQ==").unwrap();
        assert_eq!(accept.as_str(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(accept.to_string(), accept.as_str());
    }

    #[test]
    fn whichever_crate_hashes_the_hash_is_the_same() {
        for len in 0..200u8 {
            let text: Vec<u8> = (0..len).map(|byte| byte.wrapping_mul(len)).collect();
            let known = sha1_smol::Sha1::from(&text).digest().bytes();
            assert_eq!(digest(&text), known, "{len} bytes");
        }
    }

    #[test]
    fn base64_is_what_others_take_for_it() {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;

        for seed in 0..=255u8 {
            let bytes: [u8; 21] = std::array::from_fn(|at| seed.wrapping_mul(at as u8 ^ 0x5d));
            let (one, two): (&[u8; 19], &[u8; 20]) = (
                &bytes[1..20].try_into().unwrap(),
                &bytes[..20].try_into().unwrap(),
            );
            assert_eq!(&base64::<19, 28>(one)[..], STANDARD.encode(one).as_bytes());
            assert_eq!(&base64::<20, 28>(two)[..], STANDARD.encode(two).as_bytes());
            assert_eq!(
                &base64::<21, 28>(&bytes)[..],
                STANDARD.encode(bytes).as_bytes()
            );
        }
    }

    #[test]
    fn a_key_is_sixteen_bytes_in_base64() {
        let bad: [&[u8]; 9] = [
            b"",
            b"dGhlIHNhbXBsZSBub25jZQ",    // no padding
            b"dGhlIHNhbXBsZSBub25jZQ=",   // half of it
            b"dGhlIHNhbXBsZSBub25jZQ===", // too much
            b"dGhlIHNhbXBsZSBub25j",       // 15 bytes
            b"dGhlIHNhbXBsZSBub25jZQAA",   // 18 bytes
            b"dGhlIHNhbXBsZSBub25j-_==",   // the other alphabet
            b"dGhlIHNhbXBsZSBub25 ZQ==",   // a space
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff==",
        ];
        for key in bad {
            assert_eq!(accept_key(key), Err(HandshakeError::Key), "{key:?}");
        }
    }
}
