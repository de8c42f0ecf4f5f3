//! `@socket.io/redis-adapter` 8.3 and `@socket.io/redis-emitter` 5.1.

use std::time::Duration;

use sio_cluster::{Answer, Asked, Classic, Emit, Envelope, Message, Question};
use sio_packet::Value;
use sio_rooms::Selection;

use super::{Vector, json, vectors};

/// What a vector says, and how we would write it.
fn read(vector: &Vector) -> (Envelope, String) {
    let classic = Classic::default();
    let namespace = match vector.channel.contains("#/chat#") {
        true => "/chat",
        false => "/",
    };
    let envelope = if vector.channel == classic.requests(namespace) {
        classic.decode_request(namespace, &vector.body)
    } else if vector.channel == classic.responses(namespace) {
        let asked = match &*vector.what {
            "fetch" => Asked::Fetch,
            "all rooms" => Asked::Rooms,
            "server-side emit with ack" => Asked::ServerEmit,
            _ => Asked::Emit,
        };
        let response = classic.decode_response(&vector.body, |_| Some(asked));
        response.map(|response| response.expect("it was asked"))
    } else {
        classic.decode_packet(&vector.body)
    };
    let envelope = envelope.unwrap_or_else(|error| panic!("{}: {error}", vector.what));
    (envelope, namespace.into())
}

fn classic() -> Vec<Vector> {
    vectors(include_str!("../vectors/classic.json"))
}

fn emitter() -> Vec<Vector> {
    vectors(include_str!("../vectors/emitter.json"))
}

fn first(vectors: Vec<Vector>, what: &str) -> Message {
    let vector = vectors.iter().find(|vector| vector.what == what);
    read(vector.unwrap_or_else(|| panic!("{what}"))).0.message
}

fn everyone() -> Selection {
    Selection::everyone()
}

fn packet(to: Selection, data: &str) -> Message {
    let data = json(data);
    Message::Emit(Emit {
        to,
        data,
        ..Emit::default()
    })
}

#[test]
fn packets_read_as_they_were_meant() {
    for (what, expected) in [
        (
            "emit to everyone",
            packet(everyone(), r#"["news",1,"two",{"three":[true,null,4.5]}]"#),
        ),
        (
            "emit to a room",
            packet(everyone().to("lobby"), r#"["news","héllo"]"#),
        ),
        (
            "emit to two rooms except two",
            packet(
                everyone().to("a").to("b").except("c").except("d"),
                r#"["news"]"#,
            ),
        ),
        (
            "emit a date",
            packet(everyone(), r#"["date","2009-02-13T23:31:30.123Z"]"#),
        ),
        (
            "emit to a number",
            packet(everyone().to("42"), r#"["news"]"#),
        ),
    ] {
        assert_eq!(first(classic(), what), expected, "{what}");
    }
}

#[test]
fn bytes_in_a_packet_are_bytes() {
    let Message::Emit(emit) = first(classic(), "emit bytes") else {
        panic!("a packet");
    };
    assert_eq!(emit.data[1].as_binary().unwrap(), &[1, 2][..]);
    assert_eq!(emit.data[2].as_binary().unwrap(), &[3][..]);
}

#[test]
fn flags_read_as_they_were_meant() {
    let Message::Emit(emit) = first(classic(), "emit volatile and compressed") else {
        panic!("a packet");
    };
    assert!(emit.flags.volatile);
    assert_eq!(emit.flags.compress, Some(false));
    let Message::Ask { question, .. } = first(classic(), "emit with ack") else {
        panic!("a question");
    };
    let Question::Emit(emit) = question else {
        panic!("a packet with acks wanted");
    };
    assert_eq!(emit.flags.timeout, Some(Duration::from_millis(500)));
    assert_eq!(emit.data, json(r#"["ask",7]"#));
}

#[test]
fn orders_and_questions_read_as_they_were_meant() {
    let rooms = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let join = Message::Join {
        to: everyone().to("lobby").except("x"),
        rooms: rooms(&["r1", "r2"]),
    };
    assert_eq!(first(classic(), "join"), join);
    let leave = Message::Leave {
        to: everyone().to("lobby"),
        rooms: rooms(&["r1"]),
    };
    assert_eq!(first(classic(), "leave"), leave);
    for (what, close) in [("disconnect", false), ("disconnect and close", true)] {
        let to = everyone().to("nowhere");
        let disconnect = Message::Disconnect { to, close };
        assert_eq!(first(classic(), what), disconnect);
    }
    let hello = Message::ServerEmit(json(r#"["hello",1,{"a":"b"}]"#));
    assert_eq!(first(classic(), "server-side emit"), hello);
    assert_eq!(first(emitter(), "server-side emit"), hello);
    assert!(matches!(
        first(classic(), "fetch"),
        Message::Ask { question: Question::Fetch(to), .. } if to == everyone().to("lobby")
    ));
    assert!(matches!(
        first(classic(), "all rooms"),
        Message::Ask {
            question: Question::Rooms,
            ..
        }
    ));
    assert!(matches!(
        first(classic(), "server-side emit with ack"),
        Message::Ask { question: Question::ServerEmit(data), .. } if data == json(r#"["ping-servers",1]"#)
    ));
}

#[test]
fn answers_read_as_they_were_meant() {
    let answers = |what: &str| {
        let classic = classic();
        let answers = classic.iter().filter(|vector| vector.what == what);
        answers
            .filter_map(|vector| match read(vector).0.message {
                Message::Answer { answer, .. } => Some(answer),
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    let ack = Answer::Ack(json(r#"[{"heard":7}]"#));
    assert_eq!(answers("emit with ack"), [Answer::Clients(1), ack]);
    let bytes = Answer::Ack(vec![Value::Binary(vec![1, 2, 3].into())]);
    assert_eq!(
        answers("emit with ack of bytes"),
        [Answer::Clients(1), bytes]
    );
    assert_eq!(answers("emit with ack to nobody"), [Answer::Clients(0)]);
    let pong = Answer::ServerAck(json(r#"[{"pong":true}]"#).remove(0));
    assert_eq!(answers("server-side emit with ack"), [pong]);
    let [Answer::Rooms(rooms)] = &answers("all rooms")[..] else {
        panic!("one answer");
    };
    assert_eq!(rooms[1..], ["lobby", "r2"]);
    let [Answer::Sockets(sockets)] = &answers("fetch")[..] else {
        panic!("one answer");
    };
    assert_eq!(sockets[0].rooms, [&*sockets[0].id, "lobby", "r2"]);
    assert_eq!(sockets[0].data, json(r#"[{"name":"ann"}]"#)[0]);
    let handshake = sockets[0].handshake.as_object().unwrap();
    assert_eq!(handshake.get("address"), Some(&"127.0.0.1".into()));
}

#[test]
fn what_the_adapter_writes_we_write_byte_for_byte() {
    let classic = Classic::default();
    for vector in super::classic::classic() {
        // Numbers that notepack writes as other numbers, times that have become text, rooms that
        // were numbers; and answers, in which we say who we are.
        if matches!(
            &*vector.what,
            "emit odd values" | "emit a date" | "emit to a number"
        ) || vector.channel.contains("response")
        {
            continue;
        }
        let (envelope, namespace) = read(&vector);
        let uid = envelope.from.expect("an id");
        let published = classic.encode(&namespace, &uid, envelope.message).unwrap();
        assert_eq!(published.channel, vector.channel, "{}", vector.what);
        assert_eq!(
            same_order(&published.body),
            same_order(&vector.body),
            "{}",
            vector.what
        );
    }
}

/// Requests in MessagePack are compared as they are; those in JSON, whose fields Node writes in an
/// order for each type, as values.
fn same_order(body: &[u8]) -> Result<serde_json::Value, Vec<u8>> {
    serde_json::from_slice(body).map_err(|_| body.to_vec())
}

#[test]
fn commands_of_the_emitter_have_no_sender_and_packets_say_so() {
    let uids: Vec<_> = emitter().iter().map(|vector| read(vector).0.from).collect();
    let emitter = Some("emitter".to_owned());
    assert_eq!(
        uids[..4],
        [
            emitter.clone(),
            emitter.clone(),
            emitter.clone(),
            emitter.clone()
        ]
    );
    assert_eq!(uids[4..8], [None, None, None, None]);
    assert_eq!(uids[8], emitter);
}

#[test]
fn the_channels_are_those_of_node() {
    let classic = Classic::default();
    assert_eq!(classic.packets_pattern("/"), "socket.io#/#*");
    assert_eq!(classic.packets_pattern("/a*"), "socket.io#/a\\*#*");
    assert_eq!(classic.room("/", "socket.io#/#lobby#"), Some("lobby"));
    assert_eq!(classic.room("/", "socket.io#/#"), None);
    assert_eq!(
        classic.own_responses("/chat", "abc123"),
        "socket.io-response#/chat#abc123#"
    );
}

#[test]
fn sec_a_field_of_another_type_is_an_error_that_names_it() {
    let classic = Classic::default();
    for (body, field) in [
        (r#"{"type":2,"opts":{"rooms":"x"},"rooms":[]}"#, "rooms"),
        (r#"{"type":2,"opts":[],"rooms":[]}"#, "opts"),
        (r#"{"type":"2"}"#, "type"),
        (
            r#"{"type":4,"opts":{"rooms":[],"except":[]},"close":1}"#,
            "close",
        ),
        (r#"{"type":5,"requestId":7}"#, "requestId"),
        (r#"{"type":5,"opts":{"rooms":[]}}"#, "requestId"),
        (r#"{"type":6,"data":[1]}"#, "data"),
        (r#"{"type":6,"data":{}}"#, "data"),
        (r#"{"type":2,"sid":{},"room":"x"}"#, "sid"),
        (r#"{"type":-1}"#, "type"),
        (r#"{"uid":[]}"#, "uid"),
        (r#"{"type":2,"opts":{"rooms":[{}]},"rooms":[]}"#, "rooms"),
    ] {
        let error = classic.decode_request("/", body.as_bytes()).unwrap_err();
        assert_eq!(error, sio_cluster::DecodeError::Field { field }, "{body}");
    }
    for body in [r#"{"type":99}"#, r#"{"type":1e300}"#] {
        assert!(classic.decode_request("/", body.as_bytes()).is_err());
    }
    let deep = format!("{{\"type\":6,\"data\":{}", "[".repeat(200_000));
    let error = classic.decode_request("/", deep.as_bytes()).unwrap_err();
    assert_eq!(error.kind(), "too_deep");
}

#[test]
fn answers_nobody_asked_for_are_none() {
    let body = br#"{"requestId":"abc","sockets":7}"#;
    let classic = Classic::default();
    assert_eq!(classic.decode_response(body, |_| None), Ok(None));
    let error = classic.decode_response(body, |_| Some(Asked::Fetch));
    assert_eq!(error.unwrap_err().kind(), "field");
}
