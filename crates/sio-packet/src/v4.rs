//! What protocol 4 does otherwise: the packets of Socket.IO 2 clients, over Engine.IO 3.
//!
//! Events, acks and attachments are the same. What differs is how namespaces are joined
//! ([protocol document]):
//!
//! ```text
//!  client                        server
//!         (nothing: it joins `/` by opening the connection)
//!                           ◀──  0                         CONNECT has no payload
//!  0/chat?token=x,          ──▶                            the query is what `auth` is today
//!                           ◀──  0/chat,
//!                           ◀──  4/chat,"not authorized"   ERROR is any JSON value
//! ```
//!
//! [protocol document]: https://github.com/socketio/socket.io/blob/main/docs/socket.io-protocol/v4.md

use serde::Serialize;

use crate::encode::{undo_on_error, write_head, write_plain};
use crate::{Kind, Limits, WriteError, string};

/// The limits of a packet of protocol 4: where the name of a namespace stands there may be a query
/// as long as the payload of a CONNECT. Check the name itself after [`split_query`].
pub fn limits(limits: &Limits) -> Limits {
    Limits {
        max_namespace: limits.max_namespace.saturating_add(limits.max_auth),
        ..limits.clone()
    }
}

/// The name of a namespace and the query behind it, without the `?`.
///
/// ```
/// use sio_packet::{Limits, Packet, v4};
///
/// // `io("/chat?token=abc")` of a Socket.IO 2 client:
/// let packet = Packet::parse("0/chat?token=abc,", &v4::limits(&Limits::default()))?;
/// let (namespace, query) = v4::split_query(packet.namespace);
/// assert_eq!((namespace, &*v4::auth(query)), ("/chat", r#"{"token":"abc"}"#));
/// let mut out = Vec::new();
/// v4::write_connect(&mut out, namespace);
/// assert_eq!(out, b"0/chat,");
/// out.clear();
/// v4::write_error(&mut out, namespace, &"not you")?;
/// assert_eq!(out, br#"4/chat,"not you""#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[inline]
pub fn split_query(namespace: &str) -> (&str, &str) {
    let namespace = namespace
        .split_once('#')
        .map_or(namespace, |(name, _)| name);
    namespace.split_once('?').unwrap_or((namespace, ""))
}

/// The query of a CONNECT as the JSON object that a payload would have been: each name with its value,
/// or with the list of its values if it has several. Empty if there is none.
pub fn auth(query: &str) -> String {
    let mut fields: Vec<(String, Vec<String>)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (percent_decode(name), percent_decode(value));
        match fields.iter().position(|(known, _)| *known == name) {
            Some(index) => fields[index].1.push(value),
            None if fields.len() < MAX_FIELDS => fields.push((name, vec![value])),
            None => {}
        }
    }
    let mut out = Vec::new();
    for (name, values) in &fields {
        out.push(if out.is_empty() { b'{' } else { b',' });
        string::write(&mut out, name);
        out.push(b':');
        match &values[..] {
            [value] => string::write(&mut out, value),
            values => {
                for (index, value) in values.iter().enumerate() {
                    out.push(if index == 0 { b'[' } else { b',' });
                    string::write(&mut out, value);
                }
                out.push(b']');
            }
        }
    }
    if !out.is_empty() {
        out.push(b'}');
    }
    String::from_utf8(out).expect("because strings and punctuation are text")
}

/// Appends the server's CONNECT: `0/nsp,`.
pub fn write_connect(out: &mut Vec<u8>, namespace: &str) {
    write_head(out, Kind::Connect, namespace, None);
}

/// Appends an ERROR, with which a namespace is refused: `4/nsp,` and any JSON value.
///
/// # Errors
/// If `data` cannot be serialized without attachments.
pub fn write_error(
    out: &mut Vec<u8>,
    namespace: &str,
    data: &impl Serialize,
) -> Result<(), WriteError> {
    let start = out.len();
    write_head(out, Kind::ConnectError, namespace, None);
    let result = write_plain(out, data);
    undo_on_error(out, start, result)
}

/// Undoes `application/x-www-form-urlencoded`; what is malformed stays, what is not UTF-8 is replaced.
fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let hex = |byte: u8| char::from(byte).to_digit(16);
        match (first, tail) {
            (b'%', [high, low, after @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                let value = hex(*high).unwrap_or(0) << 4 | hex(*low).unwrap_or(0);
                bytes.push(value as u8);
                rest = after;
            }
            (b'+', _) => bytes.push(b' '),
            (other, _) => bytes.push(*other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Names in one query; Node reads a thousand. Further ones are left out.
const MAX_FIELDS: usize = 1000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_query_is_no_part_of_the_name() {
        for (namespace, name, query) in [
            ("/", "/", ""),
            ("/a", "/a", ""),
            ("/a?", "/a", ""),
            ("/a?x=1&y=2", "/a", "x=1&y=2"),
            ("/a?x=?", "/a", "x=?"),
            ("/a?x=1#y", "/a", "x=1"),
            ("/?x", "/", "x"),
        ] {
            assert_eq!(split_query(namespace), (name, query));
        }
    }

    #[test]
    fn a_query_becomes_an_object() {
        for (query, object) in [
            ("", ""),
            ("&", ""),
            ("x=1&y=2", r#"{"x":"1","y":"2"}"#),
            ("x", r#"{"x":""}"#),
            ("x=1&y=2&x=3", r#"{"x":["1","3"],"y":"2"}"#),
            ("a%20b=%22+%C3%A9", r#"{"a b":"\" é"}"#),
            (
                "__proto__=1&%=%zz&%C3=",
                r#"{"__proto__":"1","%":"%zz","�":""}"#,
            ),
        ] {
            assert_eq!(auth(query), object, "{query}");
        }
    }

    #[test]
    fn a_query_has_so_many_names_and_no_more() {
        let query: String = (0..1200).map(|name| format!("{name}=1&")).collect();
        assert_eq!(auth(&query).matches(':').count(), MAX_FIELDS);
    }

    #[test]
    fn connect_has_no_payload_and_an_error_is_any_value() {
        let mut out = Vec::new();
        write_connect(&mut out, "/");
        write_connect(&mut out, "/a");
        assert_eq!(out, b"00/a,");
        for (data, text) in [
            (serde_json::json!("plain"), "4/mw,\"plain\""),
            (serde_json::json!({"c": 1}), "4/mw,{\"c\":1}"),
        ] {
            let mut out = Vec::new();
            write_error(&mut out, "/mw", &data).unwrap();
            assert_eq!(out, text.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn any_query_becomes_an_object_or_nothing(query in "([a-c%=&+0-9]|\\PC){0,40}") {
            let auth = auth(&query);
            if !auth.is_empty() {
                let value: serde_json::Value = serde_json::from_str(&auth).unwrap();
                prop_assert!(value.is_object());
            }
        }
    }
}
