//! What is known of a client when it asks to join a namespace.

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize, Serializer, ser::SerializeStruct};
use sio_packet::{Object, Value};

use crate::{conn::Conn, error::Refuse, facts::Request, io::Io, place::Place};

/// The request that opened the connection, and the auth payload of the CONNECT.
///
/// Where [`Config::keep_request`](crate::Config::keep_request) is off, headers, path and query are known to
/// admissions until the client has joined its first namespace, and empty afterwards.
///
/// ```
/// use sio_server::{Handshake, Namespace, Refuse};
///
/// let shop = Namespace::new("/shop", async |hello: Handshake| {
///     let language = hello.header("accept-language").unwrap_or("en").to_owned();
///     let table = hello.query("table").ok_or_else(|| Refuse::new("which table?"))?.into_owned();
///     if !hello.is_secure() && hello.client_address().is_none_or(|ip| !ip.is_loopback()) {
///         return Err(Refuse::new("not without TLS"));
///     }
///     println!("{} at {:?} by {:?}", hello.url(), hello.time(), hello.address());
///     println!("there are {} others in {}", hello.io().of(hello.namespace()).len(), hello.namespace());
///     for (name, value) in hello.queries().chain(hello.headers().map(|(n, v)| (n.into(), v.into()))) {
///         println!("{name}: {value}");
///     }
///     Ok((table, language))
/// })
/// .on_connect(async |socket| {
///     // The same facts, later: unless `Config::keep_request` is off.
///     println!("{}", socket.handshake().url());
/// });
/// ```
#[derive(Clone)]
pub struct Handshake {
    conn: Arc<Conn>,
    place: Arc<Place>,
    request: Request,
    /// None is kept of a client that sent none.
    auth: Option<Arc<str>>,
}

impl Handshake {
    pub(crate) fn new(conn: Arc<Conn>, place: Arc<Place>, auth: Option<Arc<str>>) -> Self {
        let request = conn.facts.request();
        Self {
            conn,
            place,
            request,
            auth,
        }
    }

    /// The auth payload read as `T`. A client that sent none has sent `{}`.
    ///
    /// ```
    /// # use sio_server::{Handshake, Refuse};
    /// #[derive(serde::Deserialize)]
    /// struct Login {
    ///     name: String,
    /// }
    ///
    /// // `io(url, { auth: { name: "Ann" } })`
    /// async fn admit(hello: Handshake) -> Result<String, Refuse> {
    ///     let login: Login = hello.auth()?;
    ///     Ok(login.name)
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// A [`Refuse`] that names what is wrong with the payload, to be passed on with `?`.
    pub fn auth<T: for<'de> Deserialize<'de>>(&self) -> Result<T, Refuse> {
        sio_packet::read_auth(self.auth.as_deref().unwrap_or_default())
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
        self.request.headers()
    }

    /// Path and query of the request.
    pub fn url(&self) -> &str {
        self.request.target()
    }

    /// A parameter of the request's query, decoded; the first of its name.
    pub fn query(&self, name: &str) -> Option<Cow<'_, str>> {
        self.queries()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    /// All parameters of the request's query, decoded, in their order.
    pub fn queries(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        let pairs = self.request.query().split('&');
        let pairs = pairs.filter(|pair| !pair.is_empty());
        pairs.map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decode(key), percent_decode(value))
        })
    }

    /// The peer of the TCP connection, where it is known: a proxy's, if there is one.
    pub fn address(&self) -> Option<SocketAddr> {
        self.conn.facts.peer
    }

    /// The address of the client itself, as far as it is known: the peer's, or what the proxies that
    /// are trusted ([`Config::proxies`](crate::Config::proxies)) say in `X-Forwarded-For`.
    pub fn client_address(&self) -> Option<IpAddr> {
        self.conn.facts.client(&self.conn.hub.config.proxies)
    }

    /// When the connection was opened.
    pub fn time(&self) -> SystemTime {
        self.conn.facts.time
    }

    /// Whether the request came over TLS, as far as this server can tell, or a proxy that is trusted
    /// says so in `X-Forwarded-Proto`.
    pub fn is_secure(&self) -> bool {
        let peer = self.address().map(|peer| peer.ip());
        let told = || {
            let mut protocols = self.request.values("x-forwarded-proto");
            let first = protocols.next().and_then(|list| list.split(',').next());
            first.is_some_and(|protocol| protocol.trim().eq_ignore_ascii_case("https"))
        };
        self.conn.facts.secure || self.conn.hub.config.proxies.trusts(peer) && told()
    }

    /// The handle of the server.
    pub fn io(&self) -> Io {
        Io::from_hub(Arc::clone(&self.conn.hub))
    }
}

/// As the object that Node calls `handshake`.
impl Serialize for Handshake {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let headers = self.headers();
        let headers: Object = headers
            .map(|(name, value)| (name.to_ascii_lowercase(), Value::String(value.into())))
            .collect();
        let query: Object = self
            .queries()
            .map(|(name, value)| (name, Value::String(value.into())))
            .collect();
        let address = self.address().map(|address| address.ip().to_string());
        let issued = self.time().duration_since(UNIX_EPOCH).unwrap_or_default();
        let auth: Value = self.auth().unwrap_or_default();
        let mut facts = serializer.serialize_struct("Handshake", 9)?;
        facts.serialize_field("headers", &headers)?;
        facts.serialize_field("time", &httpdate::fmt_http_date(self.time()))?;
        facts.serialize_field("address", &address.unwrap_or_default())?;
        facts.serialize_field("xdomain", &self.header("origin").is_some())?;
        facts.serialize_field("secure", &self.is_secure())?;
        let millis = u64::try_from(issued.as_millis()).unwrap_or(u64::MAX);
        facts.serialize_field("issued", &millis)?;
        facts.serialize_field("url", self.url())?;
        facts.serialize_field("query", &query)?;
        facts.serialize_field("auth", &auth)?;
        facts.end()
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
