//! Session ids: 15 bytes in base64url, 20 characters, as the reference implementation makes them.

use std::fmt;
use std::str;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The id of one session.
///
/// Whoever knows it can read and write the session, so it is made of entropy, kept out of logs
/// (`Debug` shows its first four characters only) and never shown to other clients.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Sid([u8; Self::LEN]);

impl Sid {
    /// The length of every id in characters.
    pub const LEN: usize = 20;

    /// Makes an id of 120 bits from a cryptographically secure source.
    pub fn from_entropy(entropy: [u8; 15]) -> Self {
        let mut id = [0; Self::LEN];
        let written = URL_SAFE_NO_PAD.encode_slice(entropy, &mut id);
        debug_assert_eq!(written, Ok(Self::LEN), "15 bytes are 20 characters");
        Self(id)
    }

    /// Reads an id from a query string; `None` for anything that this server cannot have made.
    #[inline]
    pub fn parse(text: &str) -> Option<Self> {
        let id: [u8; Self::LEN] = text.as_bytes().try_into().ok()?;
        let known = |byte: u8| byte.is_ascii_alphanumeric() | (byte == b'-') | (byte == b'_');
        // No early end: all at once is less work than one after the other.
        id.iter()
            .fold(true, |all, byte| all & known(*byte))
            .then_some(Self(id))
    }

    /// The characters of the id.
    #[inline]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The id as it stands on the wire.
    #[inline]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("because both constructors take ASCII only")
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sid({}…)", &self.as_str()[..4])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_twenty_characters_of_base64url() {
        let sid = Sid::from_entropy([0xff; 15]);
        assert_eq!(sid.as_str(), "____________________");
        let sid = Sid::from_entropy(*b"\0\x10\x83\x10\x51\x87\x20\x92\x8b\x30\xd3\x8f\x41\x14\x93");
        assert_eq!(sid.as_str(), "ABCDEFGHIJKLMNOPQRST");
        assert_eq!(Sid::parse(sid.as_str()), Some(sid));
    }

    #[test]
    fn what_this_server_cannot_have_made_is_no_id() {
        let long = "A".repeat(8192);
        for text in [
            "",
            "A",
            "ABCDEFGHIJKLMNOPQRS",
            "ABCDEFGHIJKLMNOPQRSTU",
            "ABCDEFGHIJKLMNOPQRS=",
            "ABCDEFGHIJKLMNOPQRS\0",
            "__proto__",
            "ÄÖÜÄÖÜÄÖÜÄ",
            "ABCDEFGHI/KLMNOPQRST",
            &long,
        ] {
            assert_eq!(Sid::parse(text), None, "{text:.30}");
        }
    }

    #[test]
    fn the_log_shows_four_characters() {
        assert_eq!(format!("{:?}", Sid([b'x'; 20])), "Sid(xxxx…)");
    }
}
