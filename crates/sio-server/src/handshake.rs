//! What is known of a client when it asks to join a namespace.

use std::{borrow::Cow, net::SocketAddr, sync::Arc, time::SystemTime};

use serde::de::DeserializeOwned;

use crate::{conn::Conn, error::Refuse, io::Io, place::Place};

/// The request that opened the connection, and the auth payload of the CONNECT.
#[derive(Clone)]
pub struct Handshake {
    conn: Arc<Conn>,
    place: Arc<Place>,
    auth: Box<str>,
}

impl Handshake {
    pub(crate) fn new(conn: Arc<Conn>, place: Arc<Place>, auth: Box<str>) -> Self {
        Self { conn, place, auth }
    }

    /// The auth payload read as `T`. A client that sent none has sent `{}`.
    ///
    /// # Errors
    ///
    /// A [`Refuse`] that names what is wrong with the payload, to be passed on with `?`.
    pub fn auth<T: DeserializeOwned>(&self) -> Result<T, Refuse> {
        sio_packet::read_auth(&self.auth)
            .map_err(|error| Refuse::new(format!("the auth payload cannot be read: {error}")))
    }

    /// The namespace that is asked for.
    pub fn namespace(&self) -> &str {
        self.place.name()
    }

    /// A header of the request, by its name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers()
            .find(|(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// All headers of the request whose values are text, in their order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.conn.facts.headers()
    }

    /// Path and query of the request.
    pub fn url(&self) -> &str {
        self.conn.facts.target()
    }

    /// A parameter of the request's query, decoded.
    pub fn query(&self, name: &str) -> Option<Cow<'_, str>> {
        let pairs = self.conn.facts.query().split('&');
        let mut pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs
            .find(|(key, _)| percent_decode(key) == name)
            .map(|(_, value)| percent_decode(value))
    }

    /// The peer of the TCP connection, where it is known: a proxy's, if there is one.
    pub fn address(&self) -> Option<SocketAddr> {
        self.conn.facts.peer
    }

    /// When the connection was opened.
    pub fn time(&self) -> SystemTime {
        self.conn.facts.time
    }

    /// Whether the request came over TLS, as far as this server can tell.
    pub fn is_secure(&self) -> bool {
        self.conn.facts.secure
    }

    /// The handle of the server.
    pub fn io(&self) -> Io {
        Io::from_hub(Arc::clone(&self.conn.hub))
    }
}

/// `%41` and `+` as in a query; what is malformed is left as it is.
fn percent_decode(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |byte: u8| char::from(byte).to_digit(16);
        match (first, tail) {
            (b'%', [high, low, after @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                let value = hex(*high).unwrap_or(0) * 16 + hex(*low).unwrap_or(0);
                bytes.push(u8::try_from(value).unwrap_or(b'?'));
                rest = after;
                continue;
            }
            (b'+', _) => bytes.push(b' '),
            (other, _) => bytes.push(*other),
        }
        rest = tail;
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded_and_what_is_malformed_stays() {
        for (raw, decoded) in [
            ("plain", "plain"),
            ("a+b%20c", "a b c"),
            ("%C3%A9", "é"),
            ("100%", "100%"),
            ("%zz%4", "%zz%4"),
        ] {
            assert_eq!(percent_decode(raw), decoded);
        }
    }
}
