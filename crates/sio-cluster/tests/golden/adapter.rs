//! The sharded adapter of `@socket.io/redis-adapter` 8.3 and `@socket.io/redis-streams-adapter` 0.3.

use sio_cluster::{Entry, Envelope, Sharded};

use super::vectors;

/// Values that JavaScript writes otherwise than we do: rooms that are numbers, and `undefined`.
const ODD: [&str; 3] = ["emit odd values", "emit a date", "emit to a number"];

#[test]
fn what_the_sharded_adapter_writes_we_read_and_write_byte_for_byte() {
    let vectors = vectors(include_str!("../vectors/sharded.json"));
    assert!(vectors.len() > 20);
    for vector in vectors {
        let envelope = Sharded::JsonOrMsgpack.decode(&vector.body);
        let envelope = envelope.unwrap_or_else(|error| panic!("{}: {error}", vector.what));
        if !ODD.contains(&&*vector.what) {
            let written = encode(Sharded::JsonOrMsgpack, envelope);
            assert_eq!(text(&written), text(&vector.body), "{}", vector.what);
        }
    }
}

#[test]
fn what_is_published_beside_a_stream_we_read_and_write_byte_for_byte() {
    let vectors = vectors(include_str!("../vectors/streams.json"));
    assert!(vectors.len() > 10);
    for vector in vectors {
        let envelope = Sharded::Msgpack.decode(&vector.body);
        let envelope = envelope.unwrap_or_else(|error| panic!("{}: {error}", vector.what));
        let written = encode(Sharded::Msgpack, envelope);
        assert_eq!(written, vector.body, "{}", vector.what);
    }
}

#[test]
fn entries_of_a_stream_we_read_and_write_as_they_are() {
    let vectors: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("../vectors/streams.json")).unwrap();
    let entries = vectors.iter().filter(|vector| vector["stream"].is_string());
    let mut count = 0;
    for vector in entries {
        let field = |name: &str| {
            let field = vector["fields"][name].as_str();
            field.unwrap_or_default().to_owned()
        };
        let entry = Entry {
            data: field("data"),
            nsp: field("nsp"),
            kind: field("type"),
            uid: field("uid"),
            ..Entry::default()
        };
        let what = vector["what"].as_str().unwrap();
        let envelope = entry
            .decode()
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        if !ODD.contains(&what) {
            let (uid, namespace) = (envelope.from.unwrap(), envelope.namespace.unwrap());
            let written = Entry::encode(&namespace, &uid, envelope.message);
            assert_eq!(written, Some(entry), "{what}");
        }
        count += 1;
    }
    assert!(count > 10);
}

#[test]
fn sec_an_entry_of_wrong_types_is_an_error() {
    let entry = |kind: &str, data: &str| Entry {
        data: data.into(),
        nsp: "/".into(),
        kind: kind.into(),
        uid: "u".into(),
        ..Entry::default()
    };
    for (kind, data, expected) in [
        ("x", "{}", "field"),
        ("99", "{}", "unknown_type"),
        ("3", "{}", "field"),
        ("3", "*", "field"),
        ("3", "wQ==", "syntax"),
        ("3", "{", "syntax"),
        ("4", r#"{"opts":{"rooms":[]},"rooms":7}"#, "field"),
        ("6", r#"{"opts":{"rooms":[]},"close":[]}"#, "field"),
        ("3", "", "field"),
    ] {
        let error = entry(kind, data).decode().unwrap_err();
        assert_eq!(error.kind(), expected, "{kind} {data}");
    }
}

fn encode(format: Sharded, envelope: Envelope) -> Vec<u8> {
    let (uid, namespace) = (envelope.from.unwrap(), envelope.namespace.unwrap());
    let written = format.encode(&namespace, &uid, envelope.message);
    written.expect("the format has a word for it")
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}
