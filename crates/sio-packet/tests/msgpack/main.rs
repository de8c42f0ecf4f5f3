//! The msgpack parser: against the npm package's own words, against a naive writer, and at its limits.

mod naive;

use bytes::Bytes;
use proptest::prelude::*;
use serde::Deserialize;
use sio_packet::{
    Args, Arguments, Attachments, Form, Kind, Limits, Message, Msgpack, Packet, ParseError, Parser,
    Scratch, Value, write_event,
};

/// A packet as the npm packages `socket.io-msgpack-parser` and `socket.io-parser` write it.
#[derive(Deserialize)]
struct Vector {
    msgpack: String,
    text: String,
    attachments: Vec<String>,
}

/// `record.mjs` makes them.
#[derive(Deserialize)]
struct Vectors {
    exact: Vec<Vector>,
    read: Vec<Vector>,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn decode(message: &[u8]) -> Result<(String, Vec<Bytes>), ParseError> {
    let mut scratch = Scratch::default();
    let limits = Limits::default();
    let (packet, attachments) = Msgpack.decode(Message::Binary(message), &limits, &mut scratch)?;
    Ok((shown(&packet), attachments.to_vec()))
}

/// The packet as text.
fn shown(packet: &Packet<'_>) -> String {
    let Packet {
        kind,
        attachments,
        namespace,
        id,
        data,
    } = packet;
    let count = match attachments {
        0 => String::new(),
        count => format!("{count}-"),
    };
    let namespace = match *namespace {
        "/" => String::new(),
        name => format!("{name},"),
    };
    let id = id.map_or_else(String::new, |id| id.to_string());
    format!("{}{count}{namespace}{id}{data}", *kind as u8)
}

fn encode(text: &str, attachments: &[Bytes]) -> Vec<u8> {
    let limits = Limits {
        max_attachments: usize::MAX,
        max_event_name: usize::MAX,
        ..Limits::default()
    };
    let packet = Packet::parse(text, &limits).unwrap();
    let slices: Vec<&[u8]> = attachments.iter().map(|bytes| &**bytes).collect();
    let mut out = Vec::new();
    let form = Msgpack.encode(&packet, &slices, &mut out).unwrap();
    assert_eq!(form, Form::Binary);
    out
}

#[test]
fn packets_of_the_npm_package_are_read_as_its_json_says_them() {
    let Vectors { exact, read } = vectors();
    for vector in exact.iter().chain(&read) {
        let message = unhex(&vector.msgpack);
        assert!(Msgpack.recognizes(Message::Binary(&message)));
        let (text, attachments) = decode(&message).unwrap();
        let expected: Vec<_> = vector.attachments.iter().map(|hex| unhex(hex)).collect();
        assert_eq!(attachments, expected, "{}", vector.text);
        let (ours, theirs) = (parts(&text), parts(&vector.text));
        assert_eq!(ours, theirs, "{}", vector.text);
    }
}

/// Head and data, the latter by its meaning: U+2028 may be spelled in two ways.
fn parts(text: &str) -> (Kind, String, Option<u64>, Option<serde_json::Value>) {
    let packet = Packet::parse(text, &Limits::default()).unwrap();
    let data = (!packet.data.is_empty()).then(|| serde_json::from_str(packet.data).unwrap());
    (packet.kind, packet.namespace.into(), packet.id, data)
}

#[test]
fn packets_are_written_as_the_npm_package_writes_them() {
    for vector in vectors().exact {
        let attachments: Vec<_> = vector
            .attachments
            .iter()
            .map(|hex| unhex(hex).into())
            .collect();
        let message = encode(&vector.text, &attachments);
        assert_eq!(message, unhex(&vector.msgpack), "{}", vector.text);
    }
}

#[test]
fn a_message_that_is_cut_or_longer_than_its_packet_is_refused() {
    let Vectors { exact, read } = vectors();
    for vector in exact.iter().chain(&read) {
        let mut message = unhex(&vector.msgpack);
        for len in 0..message.len() {
            assert!(decode(&message[..len]).is_err(), "{len} {}", vector.text);
        }
        message.push(0xc0);
        assert!(decode(&message).is_err(), "{}", vector.text);
    }
}

/// `{type: 2, nsp: "/", data: …}`
fn event(data: &[u8]) -> Vec<u8> {
    [b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data", data].concat()
}

#[test]
fn what_python_and_other_writers_say_differently_is_understood() {
    for (data, text) in [
        // Integers wider than they need be, a float of 32 bits.
        (
            &b"\x94\xa1e\xcd\x00\x01\xd3\xff\xff\xff\xff\xff\xff\xff\xff\xca\x3f\x00\x00\x00"[..],
            r#"2["e",1,-1,0.5]"#,
        ),
        // Lengths wider than they need be.
        (
            b"\xdd\x00\x00\x00\x02\xdb\x00\x00\x00\x01e\xde\x00\x01\xd9\x01a\xc0",
            r#"2["e",{"a":null}]"#,
        ),
        // Names of members that are numbers.
        (
            b"\x92\xa1e\x82\x01\xc2\xff\xc3",
            r#"2["e",{"1":false,"-1":true}]"#,
        ),
        // Timestamps of msgpack itself, of 4, 8 and 12 bytes.
        (
            b"\x92\xa1e\xd6\xff\x00\x00\x00\x01",
            r#"2["e","1970-01-01T00:00:01.000Z"]"#,
        ),
        (
            b"\x92\xa1e\xd7\xff\x77\x35\x94\x00\x00\x00\x00\x01",
            r#"2["e","1970-01-01T00:00:01.500Z"]"#,
        ),
        (
            b"\x92\xa1e\xc7\x0c\xff\x00\x0f\x42\x40\xff\xff\xff\xff\xff\xff\xff\xff",
            r#"2["e","1969-12-31T23:59:59.001Z"]"#,
        ),
        // Extensions that nobody knows.
        (
            b"\x92\xa1e\xd5\x05\x01\x02",
            r#"51-["e",[5,{"_placeholder":true,"num":0}]]"#,
        ),
    ] {
        assert_eq!(decode(&event(data)).unwrap().0, text);
    }
    // A CONNECT or DISCONNECT whose data is nil, an id that is nil.
    assert_eq!(
        decode(b"\x83\xa4type\x00\xa4data\xc0\xa3nsp\xa1/")
            .unwrap()
            .0,
        "0"
    );
    assert_eq!(
        decode(b"\x84\xa4type\x01\xa4data\xc0\xa3nsp\xa1/\xa2id\xc0")
            .unwrap()
            .0,
        "1"
    );
}

#[test]
fn every_malformed_packet_has_its_error() {
    let problem = |message: &[u8]| match decode(message) {
        Err(ParseError::Msgpack { problem, .. }) => problem,
        other => panic!("{other:?}"),
    };
    assert_eq!(problem(b"\x93\x02\xa1/\x90"), "the packet is no map");
    assert_eq!(
        problem(b"\x81\x02\x02"),
        "the name of a member is no string"
    );
    assert_eq!(problem(b"\x81\xa3nsp\xa1/"), "the type is missing");
    assert_eq!(problem(b"\x81\xa4type\x02"), "the namespace is missing");
    assert_eq!(
        problem(b"\x82\xa4type\x02\xa4type\x02"),
        "a member comes twice"
    );
    assert_eq!(
        problem(b"\x82\xa3nsp\xa1/\xa3nsp\xa1/"),
        "a member comes twice"
    );
    assert_eq!(
        problem(b"\x82\xa4data\xc0\xa4data\xc0"),
        "a member comes twice"
    );
    assert_eq!(problem(b"\x82\xa2id\xc0\xa2id\x01"), "a member comes twice");
    assert_eq!(problem(b"\x81\xa3nsp\x2f"), "the namespace is no string");
    assert_eq!(
        problem(&event(b"\x92\xa1e\xc1")),
        "a marker that is never used"
    );
    assert_eq!(
        problem(&event(b"\x92\xa1e\xa1\xff")),
        "a string is not UTF-8"
    );
    assert_eq!(
        problem(&event(b"\x92\xa1e\x81\xc0\x01")),
        "the name of a member is neither a string nor a number"
    );
    let error = |message: &[u8]| decode(message).unwrap_err();
    for kind in [
        &b"\x05"[..],
        b"\x06",
        b"\xff",
        b"\xa12",
        b"\xcb\x40\0\0\0\0\0\0\0",
    ] {
        let message = [b"\x82\xa3nsp\xa1/\xa4type", kind].concat();
        assert_eq!(error(&message), ParseError::Kind, "{kind:?}");
    }
    for id in [
        &b"\xff"[..],
        b"\xa11",
        b"\xcb\x40\0\0\0\0\0\0\0",
        b"\xcf\x00\x20\0\0\0\0\0\0",
    ] {
        let message = [b"\x84\xa3nsp\xa1/\xa4type\x03\xa4data\x90\xa2id", id].concat();
        assert_eq!(error(&message), ParseError::AckId, "{id:?}");
    }
    assert_eq!(
        error(b"\x83\xa3nsp\xa1/\xa4type\x03\xa4data\x90"),
        ParseError::AckId
    );
    for namespace in ["", "a", "a/b", "/a,b"] {
        let head = [
            b"\x82\xa4type\x00\xa3nsp",
            &[0xa0 | namespace.len() as u8][..],
        ]
        .concat();
        let message = [&head, namespace.as_bytes()].concat();
        assert_eq!(error(&message), ParseError::Namespace, "{namespace}");
    }
    for (kind, data) in [
        (0, &b"\x90"[..]),
        (0, b"\xa1x"),
        (0, b"\x81\xa1a\xc4\x00"),
        (1, b"\x80"),
        (2, b"\x80"),
        (2, b"\xc0"),
        (3, b"\xa1x"),
        (4, b"\x90"),
        (4, b"\xc0"),
    ] {
        let head = [
            b"\x84\xa3nsp\xa1/\xa2id",
            &[if kind == 3 { 1 } else { 0xc0 }][..],
        ]
        .concat();
        let message = [&head[..], b"\xa4type", &[kind], b"\xa4data", data].concat();
        assert!(
            matches!(error(&message), ParseError::Payload { .. }),
            "{kind} {data:?}"
        );
    }
    assert_eq!(
        Msgpack.decode(
            Message::Text("2[\"e\"]"),
            &Limits::default(),
            &mut Scratch::default()
        ),
        Err(ParseError::Parser("msgpack is a binary message"))
    );
}

// S1: a member that looks like the place of an attachment cannot name one.
#[test]
fn a_placeholder_in_msgpack_is_an_ordinary_object_or_refused() {
    let mark = b"\x82\xac_placeholder\xc3\xa3num\x00";
    let alone = event(&[b"\x92\xa1e", &mark[..]].concat());
    assert_eq!(
        decode(&alone).unwrap().0,
        r#"2["e",{"_placeholder":true,"num":0}]"#
    );
    assert_eq!(
        encode(r#"2["e",{"_placeholder":true,"num":0}]"#, &[]).len(),
        alone.len()
    );
    let beside = event(&[b"\x93\xa1e\xc4\x01\x00", &mark[..]].concat());
    assert!(matches!(decode(&beside), Err(ParseError::Msgpack { .. })));
}

// S2.
#[test]
fn an_event_name_is_checked_as_in_json() {
    for (data, error) in [
        (&b"\x90"[..], ParseError::EventName),
        (b"\x91\xc0", ParseError::EventName),
        (b"\x91\xa7connect", ParseError::EventNameReserved),
    ] {
        let mut scratch = Scratch::default();
        let limits = Limits::default();
        let message = event(data);
        let (packet, _) = Msgpack
            .decode(Message::Binary(&message), &limits, &mut scratch)
            .unwrap();
        assert_eq!(packet.event(&limits), Err(error));
    }
}

// S3, S4, S5: nothing is announced that is not there, and there are so many and no more.
#[test]
fn attachments_are_as_many_as_in_json() {
    let with = |count: u8| {
        let mut data = vec![0x90 | (count + 1), 0xa1, b'e'];
        data.extend([0xc4, 0x00].repeat(count.into()));
        decode(&event(&data))
    };
    assert_eq!(with(9).unwrap().1.len(), 9);
    assert_eq!(with(10).unwrap().1.len(), 10);
    assert_eq!(with(11), Err(ParseError::TooManyAttachments { limit: 10 }));
    assert!(with(0).unwrap().0.starts_with('2'));
}

// S22.
#[test]
fn depth_and_announced_lengths_are_bounded() {
    let nested = |depth: usize| {
        let mut data = vec![0x92, 0xa1, b'e'];
        data.extend([0x91].repeat(depth - 1));
        data.push(0xc0);
        decode(&event(&data)).map(|(text, _)| {
            let packet = Packet::parse(&text, &Limits::default()).unwrap();
            let (_, rest) = packet.event(&Limits::default()).unwrap();
            Args::event(rest, &mut []).validate()
        })
    };
    assert_eq!(nested(127), Ok(Ok(())));
    assert_eq!(nested(128), Ok(Ok(())));
    assert!(matches!(nested(129), Err(ParseError::Msgpack { .. })));
    for head in [
        &b"\xdd\xff\xff\xff\xff"[..],
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x00",
        b"\xdc\xff\xff",
        b"\xde\xff\xff",
    ] {
        let message = event(&[b"\x92\xa1e", head, b"\xc0\xc0\xc0"].concat());
        assert!(
            matches!(decode(&message), Err(ParseError::Msgpack { .. })),
            "{head:?}"
        );
    }
}

// S24.
#[test]
fn names_of_prototypes_are_names_like_any_other() {
    let text = r#"2["e",{"__proto__":{"constructor":1}}]"#;
    assert_eq!(decode(&encode(text, &[])).unwrap().0, text);
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i8>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| Value::Binary(bytes.into())),
    ];
    leaf.prop_recursive(4, 60, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
            prop::collection::vec((".{0,8}", inner), 0..20)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_was_written_is_read(
        values in prop::collection::vec(values(), 0..20),
        id in prop::option::of(0..1u64 << 53),
    ) {
        let arguments = Arguments(values);
        let (mut text, mut attachments) = (Vec::new(), Attachments::new());
        write_event(&mut text, "/n", id, "e", &arguments, &mut attachments).unwrap();
        let text = String::from_utf8(text).unwrap();
        let attachments: Vec<_> = attachments.iter().map(Bytes::copy_from_slice).collect();
        let message = encode(&text, &attachments);
        let limits = Limits { max_attachments: usize::MAX, ..Limits::default() };
        let mut scratch = Scratch::default();
        let (packet, read) = Msgpack
            .decode(Message::Binary(&message), &limits, &mut scratch)
            .unwrap();
        prop_assert_eq!(shown(&packet), text);
        prop_assert_eq!(&*read, &attachments[..]);
        let (_, rest) = packet.event(&limits).unwrap();
        prop_assert_eq!(Args::event(rest, read).read::<Arguments>().unwrap(), arguments);
    }

    #[test]
    fn any_spelling_of_a_value_is_read_as_the_same_value(
        values in prop::collection::vec(values(), 0..8),
        wide in any::<u64>(),
    ) {
        let mut arguments = vec![Value::from("e")];
        arguments.extend(values);
        let message = naive::event(&arguments, wide);
        let limits = Limits { max_attachments: usize::MAX, ..Limits::default() };
        let mut scratch = Scratch::default();
        let (packet, read) = Msgpack
            .decode(Message::Binary(&message), &limits, &mut scratch)
            .unwrap();
        prop_assert_eq!(Args::ack(packet.data, read).read::<Arguments>().unwrap().0, arguments);
    }

    #[test]
    fn no_message_makes_the_parser_panic_or_swell(
        vector in 0..25usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let Vectors { exact, read } = vectors();
        let vectors: Vec<_> = exact.iter().chain(&read).collect();
        let mut message = unhex(&vectors[vector % vectors.len()].msgpack);
        for (index, byte) in changes {
            let index = index.index(message.len());
            message[index] = byte;
        }
        let mut scratch = Scratch::default();
        let _ = Msgpack.decode(Message::Binary(&message), &Limits::default(), &mut scratch);
        let most = 6 * message.len() + 40 * scratch.attachments.len();
        prop_assert!(scratch.data.len() <= most, "{} of {}", scratch.data.len(), message.len());
    }
}
