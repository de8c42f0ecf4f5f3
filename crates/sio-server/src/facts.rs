//! What the handshake request said, in one allocation.

use std::{
    net::{IpAddr, SocketAddr},
    time::SystemTime,
};

use crate::proxies::Proxies;

/// The request that opened a connection: target, headers, peer.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) time: SystemTime,
    pub(crate) secure: bool,
    /// `target\n`, then `name: value\n` for each header. Neither can hold a line feed.
    text: Box<str>,
}

impl Facts {
    /// Keeps a request. Header values that are not UTF-8 are left out.
    pub(crate) fn new<'a>(
        peer: Option<SocketAddr>,
        secure: bool,
        target: &str,
        headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> Self {
        let mut text = String::with_capacity(512);
        text.push_str(target);
        text.push('\n');
        for (name, value) in headers {
            let Ok(value) = std::str::from_utf8(value) else {
                continue;
            };
            text.push_str(name);
            text.push_str(": ");
            text.push_str(value);
            text.push('\n');
        }
        Self {
            peer,
            time: SystemTime::now(),
            secure,
            text: text.into_boxed_str(),
        }
    }

    /// Path and query as the client sent them.
    pub(crate) fn target(&self) -> &str {
        self.text.split_once('\n').map_or("", |(target, _)| target)
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

    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.text
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
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
}
