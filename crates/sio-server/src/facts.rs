//! What the handshake request said, in one allocation.
//!
//! It is kept as it came. Most of it is never looked at, so it is taken apart when somebody asks, and
//! not before.

use std::{
    net::{IpAddr, SocketAddr},
    str,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use crate::{proxies::Proxies, turn};

/// The request that opened a connection: target, headers, peer.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) time: SystemTime,
    pub(crate) secure: bool,
    request: Mutex<Request>,
}

/// What a request said, as far as it is still known.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The target, up to a space or the end of its line; then a line for each header, its name up to
    /// the first colon. None if all has been forgotten.
    head: Option<Arc<[u8]>>,
}

impl Facts {
    /// Keeps a request that was taken apart.
    pub(crate) fn new<'a>(
        peer: Option<SocketAddr>,
        secure: bool,
        target: &str,
        headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> Self {
        turn::with_encoder(|frames| {
            let head = &mut frames.bytes;
            head.extend_from_slice(target.as_bytes());
            head.push(b'\n');
            for (name, value) in headers {
                head.extend_from_slice(name.as_bytes());
                head.push(b':');
                head.extend_from_slice(value);
                head.push(b'\n');
            }
            Self::from_head(peer, secure, head)
        })
    }

    /// Keeps the head of a request from its target on, which has been found to be well-formed.
    pub(crate) fn from_head(peer: Option<SocketAddr>, secure: bool, head: &[u8]) -> Self {
        Self {
            peer,
            time: SystemTime::now(),
            secure,
            request: Mutex::new(Request {
                head: Some(head.into()),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Request> {
        self.request.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the request said.
    pub(crate) fn request(&self) -> Request {
        self.lock().clone()
    }

    /// The address of the client itself, as proxies that are trusted tell it.
    pub(crate) fn client(&self, proxies: &Proxies) -> Option<IpAddr> {
        let request = self.request();
        let is_forwarded = |name: &[u8]| name.eq_ignore_ascii_case(b"x-forwarded-for");
        let lines = request.lines().filter(|(name, _)| is_forwarded(name));
        let forwarded: Vec<_> = lines.map(|(_, value)| value).collect();
        proxies.client(self.peer, forwarded.into_iter())
    }

    /// Whether the client is on this machine, as far as can be told: no proxy speaks for another.
    pub(crate) fn is_local(&self) -> bool {
        let is_loopback = |peer: SocketAddr| peer.ip().to_canonical().is_loopback();
        self.peer.is_some_and(is_loopback) && !self.request().has("x-forwarded-for")
    }

    /// Lets go of all but what proxies said of the client.
    pub(crate) fn forget(&self) {
        let mut request = self.lock();
        let mut kept = Vec::new();
        for (name, value) in request.lines() {
            let is_kept = |kept: &&str| name.eq_ignore_ascii_case(kept.as_bytes());
            if FORWARDED.iter().any(is_kept) {
                for part in [b"\n", name, b":", value] {
                    kept.extend_from_slice(part);
                }
            }
        }
        request.head = (!kept.is_empty()).then(|| kept.into());
    }
}

/// What the client's address and its scheme are made of.
const FORWARDED: [&str; 2] = ["x-forwarded-for", "x-forwarded-proto"];

impl Request {
    fn head(&self) -> &[u8] {
        self.head.as_deref().unwrap_or_default()
    }

    /// Path and query as the client sent them.
    pub(crate) fn target(&self) -> &str {
        let mut words = self.head().split(u8::is_ascii_whitespace);
        let target = words.next().map(str::from_utf8);
        target.and_then(Result::ok).unwrap_or("")
    }

    pub(crate) fn query(&self) -> &str {
        self.target().split_once('?').map_or("", |(_, query)| query)
    }

    /// The values of a header of which there may be several, `name` in any case.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers()
            .filter(move |(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Whether there is a header of this name, in any case, whatever its value.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.lines()
            .any(|(header, _)| header.eq_ignore_ascii_case(name.as_bytes()))
    }

    fn lines(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let lines = self.head().split(|byte| *byte == b'\n').skip(1);
        lines.filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some((&line[..colon], &line[colon + 1..]))
        })
    }

    /// The headers in their order. Those whose values are not UTF-8 are left out.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lines().filter_map(|(name, value)| {
            let (name, value) = (str::from_utf8(name).ok()?, str::from_utf8(value).ok()?);
            // RFC 9110 §5.5: white space around a value is no part of it.
            Some((name, value.trim_matches([' ', '\t', '\r'])))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_found_again_in_its_one_allocation() {
        let headers = [
            ("Host", b"a".as_slice()),
            ("X-Odd", b"\xff"),
            ("Cookie", b"k=v: w"),
        ];
        let facts = Facts::new(None, false, "/socket.io/?EIO=4&x=1", headers.into_iter());
        assert_eq!(facts.request().target(), "/socket.io/?EIO=4&x=1");
        assert_eq!(facts.request().query(), "EIO=4&x=1");
        assert_eq!(
            facts.request().headers().collect::<Vec<_>>(),
            [("Host", "a"), ("Cookie", "k=v: w")]
        );
    }

    #[test]
    fn a_head_that_was_kept_as_it_came_says_the_same() {
        let head =
            b"/socket.io/?EIO=4 HTTP/1.1\r\nHost:a\r\nX-Odd: \xff\r\nCookie: \t k=v: w \r\n\r\n";
        let facts = Facts::from_head(None, false, head);
        assert_eq!(facts.request().target(), "/socket.io/?EIO=4");
        assert_eq!(
            facts.request().headers().collect::<Vec<_>>(),
            [("Host", "a"), ("Cookie", "k=v: w")]
        );
    }

    #[test]
    fn who_comes_through_a_proxy_is_not_local_whatever_it_says() {
        let is_local = |peer: Option<&str>, headers: &[(&str, &[u8])]| {
            let peer = peer.map(|peer| SocketAddr::new(peer.parse().unwrap(), 1));
            let facts = Facts::new(peer, false, "/", headers.iter().copied());
            let before = facts.is_local();
            facts.forget();
            assert_eq!(facts.is_local(), before, "{headers:?}");
            before
        };
        for peer in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(is_local(Some(peer), &[("Host", b"a")]), "{peer}");
        }
        for peer in [None, Some("10.0.0.1"), Some("::ffff:10.0.0.1"), Some("::")] {
            assert!(!is_local(peer, &[]), "{peer:?}");
        }
        for value in [b"10.0.0.1".as_slice(), b"127.0.0.1", b"", b"\xff, 10.0.0.1"] {
            for name in ["X-Forwarded-For", "x-forwarded-for"] {
                assert!(!is_local(Some("127.0.0.1"), &[(name, value)]), "{value:?}");
            }
        }
    }

    #[test]
    fn what_is_forgotten_leaves_the_address_of_the_client() {
        let headers = [
            ("Cookie", b"secret".as_slice()),
            ("X-Forwarded-For", b"10.0.0.1"),
        ];
        let facts = Facts::new(None, false, "/socket.io/?token=secret", headers.into_iter());
        let before = facts.request();
        facts.forget();
        let after = facts.request();
        assert_eq!((after.target(), after.query()), ("", ""));
        assert_eq!(
            after.headers().collect::<Vec<_>>(),
            [("X-Forwarded-For", "10.0.0.1")]
        );
        assert_eq!(before.headers().count(), 2, "who has it, has it");
        let facts = Facts::new(None, false, "/", std::iter::empty());
        facts.forget();
        assert!(facts.request().head.is_none());
    }
}
