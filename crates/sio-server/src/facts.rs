//! What the handshake request said, in one allocation.
//!
//! It is kept as it came. Most of it is never looked at, so it is taken apart when somebody asks, and
//! not before.

use std::{
    net::{IpAddr, SocketAddr},
    str,
    time::SystemTime,
};

use crate::proxies::Proxies;

/// The request that opened a connection: target, headers, peer.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) time: SystemTime,
    pub(crate) secure: bool,
    /// The target, up to a space or the end of its line; then a line for each header, its name up to
    /// the first colon.
    head: Box<[u8]>,
}

impl Facts {
    /// Keeps a request that was taken apart.
    pub(crate) fn new<'a>(
        peer: Option<SocketAddr>,
        secure: bool,
        target: &str,
        headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> Self {
        let mut head = Vec::with_capacity(512);
        head.extend_from_slice(target.as_bytes());
        head.push(b'\n');
        for (name, value) in headers {
            head.extend_from_slice(name.as_bytes());
            head.push(b':');
            head.extend_from_slice(value);
            head.push(b'\n');
        }
        Self::from_head(peer, secure, &head)
    }

    /// Keeps the head of a request from its target on, which has been found to be well-formed.
    pub(crate) fn from_head(peer: Option<SocketAddr>, secure: bool, head: &[u8]) -> Self {
        Self {
            peer,
            time: SystemTime::now(),
            secure,
            head: head.into(),
        }
    }

    /// Path and query as the client sent them.
    pub(crate) fn target(&self) -> &str {
        let mut words = self.head.split(u8::is_ascii_whitespace);
        let target = words.next().map(str::from_utf8);
        target.and_then(Result::ok).unwrap_or("")
    }

    pub(crate) fn query(&self) -> &str {
        self.target().split_once('?').map_or("", |(_, query)| query)
    }

    /// The address of the client itself, as proxies that are trusted tell it.
    pub(crate) fn client(&self, proxies: &Proxies) -> Option<IpAddr> {
        let forwarded: Vec<_> = self.values("x-forwarded-for").collect();
        proxies.client(self.peer, forwarded.into_iter())
    }

    /// The values of a header of which there may be several, `name` in any case.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers()
            .filter(move |(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The headers in their order. Those whose values are not UTF-8 are left out.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.head.split(|byte| *byte == b'\n').skip(1);
        lines.filter_map(|line| {
            let (name, value) = str::from_utf8(line).ok()?.split_once(':')?;
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
        assert_eq!(facts.target(), "/socket.io/?EIO=4&x=1");
        assert_eq!(facts.query(), "EIO=4&x=1");
        assert_eq!(
            facts.headers().collect::<Vec<_>>(),
            [("Host", "a"), ("Cookie", "k=v: w")]
        );
    }

    #[test]
    fn a_head_that_was_kept_as_it_came_says_the_same() {
        let head =
            b"/socket.io/?EIO=4 HTTP/1.1\r\nHost:a\r\nX-Odd: \xff\r\nCookie: \t k=v: w \r\n\r\n";
        let facts = Facts::from_head(None, false, head);
        assert_eq!(facts.target(), "/socket.io/?EIO=4");
        assert_eq!(
            facts.headers().collect::<Vec<_>>(),
            [("Host", "a"), ("Cookie", "k=v: w")]
        );
    }
}
