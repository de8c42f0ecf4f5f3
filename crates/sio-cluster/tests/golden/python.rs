//! python-socketio and Flask-SocketIO.

use sio_cluster::{Answer, Data, DecodeError, Emit, Message, Python, Question};
use sio_rooms::Selection;

use super::{Vector, json, vectors};

fn python() -> Vec<Vector> {
    vectors(include_str!("../vectors/python.json"))
}

fn first(what: &str) -> Message {
    let vectors = python();
    let vector = vectors.iter().find(|vector| vector.what == what);
    let vector = vector.unwrap_or_else(|| panic!("{what}"));
    read(&vector.body).unwrap()
}

fn read(body: &[u8]) -> Result<Message, DecodeError> {
    Python::default()
        .decode(body)
        .map(|envelope| envelope.message)
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

/// What each vector means, JSON and pickle alike.
fn meanings() -> Vec<(&'static str, Message)> {
    let rooms = |name: &str| vec![name.to_owned()];
    vec![
        (
            "emit to everyone",
            packet(everyone(), r#"["news",{"data":"foo"}]"#),
        ),
        (
            "emit several arguments",
            packet(everyone(), r#"["news",1,"two",[3,null],4.5]"#),
        ),
        ("emit one list", packet(everyone(), r#"["news",[1,2]]"#)),
        ("emit nothing", packet(everyone(), r#"["news"]"#)),
        (
            "emit to a room in a namespace",
            packet(everyone().to("lobby"), r#"["news","héllo"]"#),
        ),
        (
            "emit to rooms",
            packet(
                everyone().to("a").to("b").except("x").except("y"),
                r#"["news",1]"#,
            ),
        ),
        (
            "emit except one",
            packet(everyone().except("x"), r#"["news",1]"#),
        ),
        (
            "emit a great number",
            packet(everyone(), r#"["news",1180591620717411303424]"#),
        ),
        (
            "enter room",
            Message::Join {
                to: everyone().to("sid-elsewhere"),
                rooms: rooms("r1"),
            },
        ),
        (
            "leave room",
            Message::Leave {
                to: everyone().to("sid-elsewhere"),
                rooms: rooms("r1"),
            },
        ),
        (
            "close room",
            Message::Leave {
                to: everyone().to("r1"),
                rooms: rooms("r1"),
            },
        ),
        (
            "disconnect",
            Message::Disconnect {
                to: everyone().to("sid-elsewhere"),
                close: false,
            },
        ),
    ]
}

#[test]
fn messages_read_as_they_were_meant() {
    for (what, meaning) in meanings() {
        assert_eq!(first(what), meaning, "{what}");
    }
}

#[test]
fn pickles_of_every_protocol_mean_the_same() {
    let pickles: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("../vectors/pickle.json")).unwrap();
    let bodies = vectors(include_str!("../vectors/pickle.json"));
    let meanings = meanings();
    let mut checked = 0;
    for (vector, pickle) in bodies.iter().zip(&pickles) {
        let read = read(&vector.body);
        let name = format!("{} by protocol {}", vector.what, pickle["protocol"]);
        let read = read.unwrap_or_else(|error| panic!("{name}: {error}"));
        if let Some((_, meaning)) = meanings.iter().find(|(what, _)| *what == vector.what) {
            assert_eq!(&read, meaning, "{name}");
            checked += 1;
        }
    }
    assert_eq!(checked, 6 * meanings.len());
}

#[test]
fn pickled_bytes_are_bytes() {
    for vector in vectors(include_str!("../vectors/pickle.json")) {
        if !vector.what.ends_with("bytes") {
            continue;
        }
        let Ok(Message::Emit(emit)) = read(&vector.body) else {
            panic!("a packet");
        };
        let object = emit.data[1].as_object().unwrap();
        assert_eq!(object.get("a").unwrap().as_binary().unwrap(), &[1, 2][..]);
        assert_eq!(object.get("b").unwrap().as_binary().unwrap()[0], 3);
    }
}

#[test]
fn bytes_come_back_from_their_placeholders() {
    let Message::Emit(emit) = first("emit bytes") else {
        panic!("a packet");
    };
    let object = emit.data[1].as_object().unwrap();
    assert_eq!(object.get("a").unwrap().as_binary().unwrap(), &[1, 2][..]);
    let list = object.get("b").unwrap().as_array().unwrap();
    assert_eq!(list[0].as_binary().unwrap(), &[3][..]);
    let Message::Emit(emit) = first("emit bytes among several") else {
        panic!("a packet");
    };
    assert_eq!(emit.data.len(), 4);
    assert_eq!(emit.data[3].as_binary().unwrap(), &[3][..]);
}

#[test]
fn the_answer_to_a_callback_is_what_python_writes() {
    let format = Python::default();
    for (what, args) in [
        ("emit with callback", r#"[{"heard":[7]}]"#),
        ("emit with callback of two", r#"["one",2]"#),
        ("emit with callback of nothing", "[]"),
    ] {
        let vectors = python();
        let mut both = vectors.iter().filter(|vector| vector.what == what);
        let (asked, answered) = (both.next().unwrap(), both.next().unwrap());
        let envelope = format.decode(&asked.body).unwrap();
        let Message::Ask {
            request,
            question: Question::Emit(emit),
        } = envelope.message
        else {
            panic!("a question");
        };
        assert_eq!(emit.data[1], 7.into());
        let host = envelope.from.unwrap();
        let ours = format.encode_answer(&host, &request, Answer::Ack(json(args)));
        let ours = ours.unwrap();
        let value = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).unwrap();
        assert_eq!(value(&ours.body), value(&answered.body), "{what}");
        assert_eq!(ours.channel, answered.channel);
        // And it reads as the answer to that request.
        let read = format.decode(&ours.body).unwrap();
        let answer = Answer::Ack(json(args));
        assert_eq!(read.message, Message::Answer { request, answer });
    }
}

#[test]
fn what_we_write_means_the_same_to_python() {
    let format = Python::default();
    for vector in python() {
        let envelope = format.decode(&vector.body).unwrap();
        let (host, namespace) = (envelope.from.unwrap(), envelope.namespace.unwrap());
        if vector.what.contains("callback") {
            continue;
        }
        let written = format.encode(&namespace, &host, envelope.message);
        assert_eq!(written.len(), 1, "{}", vector.what);
        let value = |body: &[u8]| {
            let mut value = serde_json::from_slice::<serde_json::Value>(body).unwrap();
            // One name stands alone or in a list.
            for field in ["room", "skip_sid"] {
                if let Some(names) = value.get_mut(field).filter(|names| names.is_string()) {
                    *names = serde_json::json!([names.clone()]);
                }
            }
            value
        };
        assert_eq!(
            value(&written[0].body),
            value(&vector.body),
            "{}",
            vector.what
        );
    }
}

#[test]
fn bare_data_is_one_argument() {
    let body = br#"{"method":"emit","event":"news","data":[1,2],"host_id":"h"}"#;
    let bare = Python::new("socketio")
        .data(Data::Bare)
        .decode(body)
        .unwrap();
    assert_eq!(bare.message, packet(everyone(), r#"["news",[1,2]]"#));
    let list = Python::new("socketio").decode(body).unwrap();
    assert_eq!(list.message, packet(everyone(), r#"["news",1,2]"#));
    assert_eq!(list.namespace.as_deref(), Some("/"));
}

#[test]
fn sec_a_field_of_another_type_is_an_error_that_names_it() {
    for (body, field) in [
        (r#"{"method":"emit","event":"e"}"#, "host_id"),
        (r#"{"method":7,"host_id":"h"}"#, "method"),
        (r#"{"method":"emit","host_id":"h","event":[]}"#, "event"),
        (
            r#"{"method":"emit","host_id":"h","event":"e","data":[[{"_placeholder":true,"num":9}]],"binary":true}"#,
            "data",
        ),
        (
            r#"{"method":"emit","host_id":"h","event":"e","data":[[{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}],"AQ=="],"binary":true}"#,
            "data",
        ),
        (
            r#"{"method":"emit","host_id":"h","event":"e","data":[[],"*"],"binary":true}"#,
            "data",
        ),
        (
            r#"{"method":"emit","host_id":"h","event":"e","data":[],"binary":"yes"}"#,
            "binary",
        ),
        (
            r#"{"method":"emit","host_id":"h","event":"e","room":{}}"#,
            "room",
        ),
        (r#"{"method":"enter_room","host_id":"h","sid":1}"#, "sid"),
        (r#"{"method":"close_room","host_id":"h"}"#, "room"),
        (
            r#"{"method":"callback","host_id":"h","sid":"s","id":-1,"args":[]}"#,
            "id",
        ),
        (
            r#"{"method":"emit","host_id":"h","namespace":1}"#,
            "namespace",
        ),
    ] {
        assert_eq!(
            read(body.as_bytes()),
            Err(DecodeError::Field { field }),
            "{body}"
        );
    }
    let unknown = br#"{"method":"explode","host_id":"h"}"#;
    assert_eq!(read(unknown), Err(DecodeError::UnknownType));
    let answer = Python::default().encode_answer("h", "no request", Answer::Ack(Vec::new()));
    assert_eq!(answer, None);
    assert_eq!(read(b"").unwrap_err().kind(), "syntax");
}
