//! Session ids: 15 bytes in base64url, 20 characters, as the reference implementation makes them.

use std::fmt;
use std::hash::{Hash, Hasher};

use arrayvec::ArrayString;

/// The id of one session.
///
/// Whoever knows it can read and write the session, so it is made of entropy, kept out of logs
/// (`Debug` shows its first four characters only) and never shown to other clients.
///
/// It is text in a place of its own, so that nobody has to find out again that it is UTF-8: an id is
/// looked at several times for each connection and each request.
///
/// ```
/// use eio_transport::Sid;
///
/// let sid = Sid::from_entropy([7; 15]); // real entropy: whoever knows the id has the session
/// assert_eq!(sid.as_str(), "BwcHBwcHBwcHBwcHBwcH");
/// assert_eq!(Sid::parse(sid.as_str()), Some(sid));
/// assert_eq!(Sid::parse("short"), None);
/// assert_eq!(sid.as_bytes().len(), Sid::LEN);
/// ```
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
pub struct Sid(ArrayString<{ Self::LEN }>);

impl Sid {
    /// The length of every id in characters.
    pub const LEN: usize = 20;

    /// Makes an id of 120 bits from a cryptographically secure source.
    pub fn from_entropy(entropy: [u8; 15]) -> Self {
        let mut id = ArrayString::new();
        for group in entropy.chunks_exact(3) {
            let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
            for shift in [18, 12, 6, 0] {
                id.push(char::from(
                    ALPHABET[(bits >> shift) as usize % ALPHABET.len()],
                ));
            }
        }
        Self(id)
    }

    /// Reads an id from a query string; `None` for anything that this server cannot have made.
    #[inline]
    pub fn parse(text: &str) -> Option<Self> {
        let id: &[u8; Self::LEN] = text.as_bytes().try_into().ok()?;
        let known = |byte: u8| byte.is_ascii_alphanumeric() | (byte == b'-') | (byte == b'_');
        // No early end: all at once is less work than one after the other.
        let legal = id.iter().fold(true, |all, byte| all & known(*byte));
        legal.then(|| ArrayString::from(text).ok().map(Self))?
    }

    /// The length of a [mark](Self::mark) in characters.
    pub const MARK: usize = 4;

    /// The same id with `mark` as its last characters, by which whoever is asked about the session sees
    /// whose it is. 96 bits of entropy are left, and nobody guesses those either.
    ///
    /// `None` for a mark that is not four characters of base64url.
    ///
    /// ```
    /// use eio_transport::Sid;
    ///
    /// let sid = Sid::from_entropy([7; 15]).marked("n-01").expect("because it is four of base64url");
    /// assert_eq!(sid.as_str(), "BwcHBwcHBwcHBwcHn-01");
    /// assert_eq!(sid.mark(), "n-01");
    /// assert_eq!(sid.marked("n01"), None);
    /// ```
    pub fn marked(&self, mark: &str) -> Option<Self> {
        let (rest, _) = self.split();
        Self::parse(&format!("{rest}{mark}"))
    }

    /// Its last characters.
    pub fn mark(&self) -> &str {
        self.split().1
    }

    fn split(&self) -> (&str, &str) {
        self.as_str().split_at(Self::LEN - Self::MARK)
    }

    /// The characters of the id.
    #[inline]
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        let id = self.0.as_bytes().first_chunk();
        id.expect("because both constructors take that many")
    }

    /// The id as it stands on the wire.
    #[inline]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The digits of base64url, RFC 4648 §5.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// In three words: as bytes it would cost several times as much.
impl Hash for Sid {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (words, rest) = self.as_bytes().as_chunks();
        words
            .iter()
            .for_each(|word| state.write_u64(u64::from_ne_bytes(*word)));
        let (rest, _) = rest.as_chunks();
        rest.iter()
            .for_each(|half| state.write_u32(u32::from_ne_bytes(*half)));
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
    fn ids_are_base64_of_their_entropy() {
        use base64::Engine as _;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;

        for seed in 0..=255u8 {
            let entropy = std::array::from_fn(|at| seed.wrapping_mul(at as u8 ^ 0x5d));
            assert_eq!(
                Sid::from_entropy(entropy).as_str(),
                URL_SAFE_NO_PAD.encode(entropy)
            );
        }
    }

    #[test]
    fn the_log_shows_four_characters() {
        assert_eq!(
            format!("{:?}", Sid::parse(&"x".repeat(20)).unwrap()),
            "Sid(xxxx…)"
        );
    }
}
