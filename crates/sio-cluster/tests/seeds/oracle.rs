//! What must hold of any bytes from the broker: they are read or refused, and what was read, written
//! again, reads the same.

use std::time::{Duration, Instant};

use sio_cluster::{
    Action, Asked, Classic, Config, Entry, Event, Message, Node, Python, Sharded, msgpack,
};

/// How many readers there are; the first byte chooses one.
#[allow(dead_code, reason = "the fuzz target has no use for it")]
pub(crate) const READERS: u8 = 10;

pub(crate) fn cluster_decode(data: &[u8]) {
    let Some((&reader, body)) = data.split_first() else {
        return;
    };
    match reader % READERS {
        0 => {
            if let Ok(value) = msgpack::decode(body) {
                let mut written = Vec::new();
                msgpack::encode(&value, &mut written);
                assert_eq!(msgpack::decode(&written), Ok(value));
            }
        }
        1 => {
            let classic = Classic::default();
            if let Ok(envelope) = classic.decode_packet(body) {
                let namespace = envelope.namespace.as_deref().expect("a namespace");
                let uid = envelope.from.as_deref().expect("an id");
                let published = classic.encode(namespace, uid, envelope.message.clone());
                let published = published.expect("a packet can be written");
                assert_eq!(classic.decode_packet(&published.body), Ok(envelope));
            }
        }
        2 => {
            let classic = Classic::default();
            let Ok(envelope) = classic.decode_request("/", body) else {
                return;
            };
            let Some(uid) = envelope.from.as_deref() else {
                return;
            };
            // Bytes in JSON would be lists of numbers; they are not looked for here.
            if let Some(published) = classic.encode("/", uid, envelope.message.clone()) {
                assert_eq!(classic.decode_request("/", &published.body), Ok(envelope));
            }
        }
        3 | 4 => {
            let asked = [
                Asked::Emit,
                Asked::Fetch,
                Asked::Rooms,
                Asked::ServerEmit,
                Asked::SocketIds,
            ];
            for asked in asked {
                let classic = Classic::default();
                let Ok(Some(envelope)) = classic.decode_response(body, |_| Some(asked)) else {
                    continue;
                };
                let Message::Answer { request, answer } = envelope.message.clone() else {
                    panic!("an answer");
                };
                let uid = envelope.from.as_deref().unwrap_or("someone");
                let published = classic.encode_answer("/", uid, request, answer);
                let read = classic.decode_response(&published.body, |_| Some(asked));
                let read = read.expect("what was written can be read");
                assert_eq!(read.expect("it was asked").message, envelope.message);
            }
        }
        6 | 7 => {
            let format = match reader % READERS {
                6 => Sharded::JsonOrMsgpack,
                _ => Sharded::Msgpack,
            };
            let Ok(envelope) = format.decode(body) else {
                return;
            };
            let uid = envelope.from.as_deref().expect("an id");
            let namespace = envelope.namespace.as_deref().expect("a namespace");
            let written = format.encode(namespace, uid, envelope.message.clone());
            let written = written.expect("what was read can be written");
            assert_eq!(format.decode(&written), Ok(envelope));
        }
        8 => {
            let mut fields = body.splitn(5, |byte| *byte == 0);
            let names: [&[u8]; 5] = [b"nsp", b"type", b"uid", b"seq", b"data"];
            let fields = names.into_iter().zip(&mut fields);
            let Ok(entry) = Entry::from_fields(fields) else {
                return;
            };
            let Ok(envelope) = entry.decode() else {
                return;
            };
            let written = Entry::encode(&entry.nsp, &entry.uid, envelope.message.clone());
            let written = written.expect("what was read can be written");
            assert_eq!(written.decode(), Ok(envelope));
        }
        9 => words(body),
        _ => {
            let python = Python::default();
            let Ok(envelope) = python.decode(body) else {
                return;
            };
            let host = envelope.from.as_deref().expect("an id");
            let namespace = envelope.namespace.as_deref().expect("a namespace");
            for published in python.encode(namespace, host, envelope.message.clone()) {
                python
                    .decode(&published.body)
                    .expect("what was written can be read");
            }
        }
    }
}

/// What nodes of ours say to one another alone, each word behind a zero: hearts that beat, counts, sessions,
/// doors. Whatever was said, a node that lives is still known by its next word.
fn words(body: &[u8]) {
    let config = Config {
        census: Some(Duration::from_millis(100)),
        ..Config::default()
    };
    let mut now = Instant::now();
    let mut node = Node::new(config, [7; 16], now);
    node.handle_up(now);
    let mut channels = Vec::new();
    let mut drain = |node: &mut Node| {
        let mut joined = Vec::new();
        loop {
            if let Some(event) = node.poll_event() {
                match event {
                    Event::PeerJoined(name) => joined.push(name),
                    Event::Recount => node.counted([]),
                    _ => {}
                }
            } else if let Some(action) = node.poll_action() {
                if let Action::Subscribe(channel) = action {
                    channels.push(channel);
                }
            } else {
                return (joined, channels.clone());
            }
        }
    };
    let (_, channels) = drain(&mut node);
    let common = channels.iter().find(|name| name.ends_with("-nodes#"));
    let common = common.expect("nodes have a channel");
    for word in body.split(|byte| *byte == 0) {
        let before = node.refused();
        node.handle_message(common, common, word, |_, _| true, now);
        assert!(node.refused() - before <= 1, "a word is refused once");
        now += Duration::from_millis(50);
        node.handle_timeout(now);
        drain(&mut node);
    }
    let heart = br#"{"uid":"a node that is not among the seeds","type":2}"#;
    node.handle_message(common, common, heart, |_, _| true, now);
    let (joined, _) = drain(&mut node);
    assert_eq!(joined, ["a node that is not among the seeds"]);
}
