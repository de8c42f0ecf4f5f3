//! Arguments and attachments, from the packet to a handler's types and back.

use std::collections::HashMap;

use bytes::Bytes;
use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use sio_packet::{
    Args, Arguments, Attachments, Kind, Limits, Object, Packet, ReadError, Value, WriteError,
    read_auth, write_ack, write_connect, write_connect_error, write_connect_request,
    write_disconnect, write_event,
};

fn read<'a, T: Deserialize<'a>>(data: &'a str) -> Result<T, ReadError> {
    Args::ack(data, &mut []).read()
}

fn event<T: Serialize + ?Sized>(args: &T) -> (String, Vec<Vec<u8>>) {
    let mut out = b"4".to_vec();
    let mut attachments = Attachments::new();
    write_event(&mut out, "/", None, "e", args, &mut attachments).unwrap();
    let attachments = attachments.iter().map(<[u8]>::to_vec).collect();
    (String::from_utf8(out).unwrap()[1..].to_owned(), attachments)
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct User {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    avatar: Option<Bytes>,
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Point(i32, i32);

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Both((u8, String));

#[test]
fn a_tuple_is_several_arguments_and_any_other_type_is_the_first() {
    assert_eq!(read::<(u8, String)>("[1,\"x\"]").unwrap(), (1, "x".into()));
    assert_eq!(read::<[u8; 2]>("[1,2]").unwrap(), [1, 2]);
    assert_eq!(read::<Both>("[1,\"x\"]").unwrap(), Both((1, "x".into())));
    assert_eq!(read::<u8>("[1]").unwrap(), 1);
    assert_eq!(read::<Vec<u8>>("[[1,2]]").unwrap(), [1, 2]);
    assert_eq!(read::<([u8; 2],)>("[[1,2]]").unwrap(), ([1, 2],));
    assert_eq!(read::<Point>("[[1,2]]").unwrap(), Point(1, 2));
    assert_eq!(read::<()>("[]").unwrap(), ());
    assert_eq!(
        read::<Value>("[[1]]").unwrap(),
        Value::Array(vec![1.into()])
    );
    assert_eq!(read::<Arguments>("[1,[2],null]").unwrap().0.len(), 3);
    assert_eq!(read::<Arguments>("[]").unwrap().0.len(), 0);
    assert_eq!(read::<HashMap<String, u8>>("[{\"a\":1}]").unwrap()["a"], 1);
}

#[test]
fn further_arguments_are_ignored_if_they_are_well_formed() {
    assert_eq!(read::<u8>("[1,\"x\",{}]").unwrap(), 1);
    assert_eq!(read::<(u8,)>("[1,\"x\",{}]").unwrap(), (1,));
    assert_eq!(read::<()>("[1,\"x\"]").unwrap(), ());
    for text in [
        "[1,]", "[1,x]", "[1 2]", "[1[2]]", "[1,2]]", "[1,2", "[1,2] x", "[,1]", ",1", "", "1",
    ] {
        assert!(read::<u8>(text).unwrap_err().is_malformed(), "{text}");
        assert!(read::<()>(text).unwrap_err().is_malformed(), "{text}");
        assert!(Args::ack(text, &mut []).validate().is_err(), "{text}");
    }
}

#[test]
fn an_argument_may_be_missing_only_where_it_is_optional() {
    assert_eq!(read::<Option<u8>>("[]").unwrap(), None);
    assert_eq!(read::<Option<u8>>("[null]").unwrap(), None);
    assert_eq!(read::<Option<u8>>("[ 1]").unwrap(), Some(1));
    assert_eq!(read::<Option<(u8, u8)>>("[1,2]").unwrap(), Some((1, 2)));
    assert_eq!(
        read::<(u8, Option<u8>, Option<u8>)>("[1]").unwrap(),
        (1, None, None)
    );
    assert_eq!(read::<(Option<u8>, u8)>("[null,2]").unwrap(), (None, 2));
    for error in [
        read::<u8>("[]").unwrap_err(),
        read::<(u8, u8)>("[1]").map(|_| ()).unwrap_err(),
        read::<(Option<u8>, Value)>("[1]").map(|_| ()).unwrap_err(),
        read::<User>("[]").map(|_| ()).unwrap_err(),
    ] {
        assert!(
            error.to_string().contains("the argument is missing"),
            "{error}"
        );
        assert!(!error.is_malformed());
    }
}

#[test]
fn a_type_error_says_where_and_what() {
    #[derive(Debug, Deserialize)]
    struct Room {
        #[serde(rename = "users")]
        _users: Vec<User>,
    }
    for (error, expected) in [
        (
            read::<(u8, Room)>(r#"[1,{"users":[{"name":"a"},{"name":2}]}]"#).map(|_| ()),
            "args[1].users[1].name: invalid type: integer `2`, expected a string",
        ),
        (
            read::<User>(r#"[{"nam":"a"}]"#).map(|_| ()),
            "args[0]: missing field `name`",
        ),
        (
            read::<u8>("[300]").map(|_| ()),
            "args[0]: invalid value: integer `300`, expected u8",
        ),
        (
            read::<([u8; 1],)>("[[1,2]]").map(|_| ()),
            "args[0]: there are more elements than expected",
        ),
        (
            read::<(u8, String)>("[1]").map(|_| ()),
            "args[1]: the argument is missing, expected a string",
        ),
        (
            read_auth::<User>(r#"{"name":null}"#).map(|_| ()),
            "auth.name: invalid type: null, expected a string",
        ),
    ] {
        assert_eq!(error.unwrap_err().to_string(), expected);
    }
}

#[test]
fn a_packet_that_is_malformed_further_on_is_malformed_even_if_the_type_was_wrong_before() {
    assert!(!read::<String>("[1,2]").unwrap_err().is_malformed());
    assert!(read::<String>("[1,2}").unwrap_err().is_malformed());
    assert!(
        read::<(u8, u8)>("[1,\"x\",nul]")
            .unwrap_err()
            .is_malformed()
    );
    assert!(
        read_auth::<User>("{\"name\":1,}")
            .unwrap_err()
            .is_malformed()
    );
}

#[test]
fn auth_without_a_payload_is_an_empty_object() {
    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default)]
    struct Token {
        token: String,
    }
    assert_eq!(read_auth::<Token>("").unwrap(), Token::default());
    assert_eq!(read_auth::<Token>("{\"token\":\"x\"}").unwrap().token, "x");
    assert_eq!(read_auth::<Option<Token>>("").unwrap(), None);
    assert_eq!(
        read_auth::<Value>("").unwrap(),
        Value::Object(Object::new())
    );
    assert!(
        read_auth::<User>("")
            .unwrap_err()
            .to_string()
            .contains("missing field")
    );
    assert!(read_auth::<IgnoredAny>("").is_ok());
    assert!(read_auth::<IgnoredAny>("{}}").is_err());
}

#[test]
fn packets_are_written_as_node_writes_them() {
    assert_eq!(event(&()).0, "2[\"e\"]");
    assert_eq!(event(&Arguments(vec![])).0, "2[\"e\"]");
    assert_eq!(event("x").0, "2[\"e\",\"x\"]");
    assert_eq!(event(",").0, "2[\"e\",\",\"]");
    assert_eq!(event(&(1, "x", None::<u8>)).0, "2[\"e\",1,\"x\",null]");
    assert_eq!(event(&([1, 2],)).0, "2[\"e\",[1,2]]");
    assert_eq!(event(&((1, 2), ())).0, "2[\"e\",[1,2],null]");
    assert_eq!(event(&Both((1, "x".into()))).0, "2[\"e\",1,\"x\"]");
    assert_eq!(event(&Point(1, 2)).0, "2[\"e\",[1,2]]");
    assert_eq!(event(&vec![1, 2]).0, "2[\"e\",[1,2]]");
    assert_eq!(event(&None::<u8>).0, "2[\"e\",null]");

    let text = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    };
    let ack = |out: &mut Vec<u8>, namespace, args: &Arguments| {
        write_ack(out, namespace, 12, args, &mut Attachments::new()).unwrap();
    };
    assert_eq!(text(&|out| ack(out, "/", &Arguments(vec![]))), "312[]");
    assert_eq!(
        text(&|out| ack(out, "/a", &Arguments(vec![1.into(), ().into()]))),
        "3/a,12[1,null]"
    );
    assert_eq!(
        text(&|out| write_connect(out, "/", "id", None)),
        "0{\"sid\":\"id\"}"
    );
    assert_eq!(
        text(&|out| write_connect(out, "/a", "id", Some("secret"))),
        "0/a,{\"sid\":\"id\",\"pid\":\"secret\"}"
    );
    assert_eq!(text(&|out| write_disconnect(out, "/")), "1");
    assert_eq!(text(&|out| write_disconnect(out, "/a")), "1/a,");
    assert_eq!(
        text(&|out| write_connect_error(out, "/a", "no", None::<&()>).unwrap()),
        "4/a,{\"message\":\"no\"}"
    );
    assert_eq!(
        text(&|out| write_connect_error(out, "/", "no", Some(&[1])).unwrap()),
        "4{\"message\":\"no\",\"data\":[1]}"
    );
    assert_eq!(
        text(&|out| write_connect_request(out, "/", None::<&()>).unwrap()),
        "0"
    );
    let auth = HashMap::from([("token", "x")]);
    assert_eq!(
        text(&|out| write_connect_request(out, "/a", Some(&auth)).unwrap()),
        "0/a,{\"token\":\"x\"}"
    );
}

#[test]
fn bytes_become_attachments_in_depth_first_order() {
    let avatar = User {
        name: "x".into(),
        avatar: Some(Bytes::from_static(b"1")),
    };
    let (text, attachments) = event(&(
        Bytes::from_static(b"0"),
        vec![avatar],
        Value::from(Bytes::from_static(b"2")),
    ));
    assert_eq!(
        text,
        "53-[\"e\",{\"_placeholder\":true,\"num\":0},\
         [{\"name\":\"x\",\"avatar\":{\"_placeholder\":true,\"num\":1}}],\
         {\"_placeholder\":true,\"num\":2}]"
    );
    assert_eq!(attachments, [b"0", b"1", b"2"]);

    let mut out = b"before".to_vec();
    let mut attachments = Attachments::new();
    attachments.push(b"another packet's");
    write_ack(
        &mut out,
        "/a",
        7,
        &Bytes::from_static(b"x"),
        &mut attachments,
    )
    .unwrap();
    assert_eq!(out, b"before61-/a,7[{\"_placeholder\":true,\"num\":0}]");
    assert_eq!(attachments.len(), 2);
}

#[test]
fn what_fails_leaves_the_buffers_as_they_were() {
    struct Refusing;
    impl Serialize for Refusing {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("not today"))
        }
    }
    let mut out = b"4".to_vec();
    let mut attachments = Attachments::new();
    attachments.push(b"kept");
    let bytes = Bytes::from_static(b"x");
    let args = (&bytes, Refusing);
    let error = write_event(&mut out, "/", None, "e", &args, &mut attachments).unwrap_err();
    assert_eq!(error, WriteError::Custom("not today".into()));
    let args = (&bytes, HashMap::from([(vec![1], 1)]));
    let error = write_ack(&mut out, "/", 1, &args, &mut attachments).unwrap_err();
    assert_eq!(error, WriteError::Key);
    let error = write_event(&mut out, "/", None, "connect", &(), &mut attachments).unwrap_err();
    assert_eq!(error, WriteError::EventNameReserved);
    let error = write_connect_error(&mut out, "/", "no", Some(&bytes)).unwrap_err();
    assert_eq!(error, WriteError::Binary);
    assert_eq!(out, b"4");
    assert_eq!(attachments.iter().collect::<Vec<_>>(), [b"kept"]);
}

#[test]
fn data_that_looks_like_a_placeholder_is_refused_beside_attachments() {
    let like: Object = [("_placeholder", Value::Bool(true)), ("num", 5.into())]
        .into_iter()
        .collect();
    let like = Value::Object(like);
    assert_eq!(event(&like).0, "2[\"e\",{\"_placeholder\":true,\"num\":5}]");
    let raw = |text: &str| serde_json::value::RawValue::from_string(text.to_owned()).unwrap();
    let bytes = Value::from(Bytes::from_static(b"x"));
    let mut out = Vec::new();
    let mut attachments = Attachments::new();
    let mut write = |args: &dyn erased::Args| args.write(&mut out, &mut attachments);
    assert_eq!(write(&(&like, &bytes)), Err(WriteError::Placeholder));
    assert_eq!(
        write(&(&bytes, raw("{\"_placeholder\":true}"))),
        Err(WriteError::Placeholder)
    );
    assert_eq!(
        write(&(&bytes, raw("{\"\\u005fplaceholder\":true}"))),
        Err(WriteError::Placeholder)
    );
    assert_eq!(write(&(&bytes, raw("{\"placeholder\":true}"))), Ok(()));
    assert_eq!(attachments.len(), 1);
}

mod erased {
    use super::*;

    pub(crate) trait Args {
        fn write(&self, out: &mut Vec<u8>, attachments: &mut Attachments)
        -> Result<(), WriteError>;
    }

    impl<T: Serialize> Args for T {
        fn write(
            &self,
            out: &mut Vec<u8>,
            attachments: &mut Attachments,
        ) -> Result<(), WriteError> {
            write_event(out, "/", None, "e", self, attachments)
        }
    }
}

fn two() -> [Bytes; 2] {
    [Bytes::from(b"zero".to_vec()), Bytes::from(b"one".to_vec())]
}

#[test]
fn placeholders_are_read_anywhere_and_in_any_order() {
    let data = r#"[{"name":"x","avatar":{"_placeholder":true,"num":1}},[{ "num" : 0 , "_placeholder" : true }]]"#;
    let (user, list) = Args::ack(data, &mut two())
        .read::<(User, Vec<Bytes>)>()
        .unwrap();
    assert_eq!(user.avatar.as_deref(), Some(&b"one"[..]));
    assert_eq!(list, [&b"zero"[..]]);

    let arguments = Args::ack(data, &mut two()).read::<Arguments>().unwrap();
    let user = arguments.0[0].as_object().unwrap();
    assert_eq!(user.get("avatar").unwrap().as_binary().unwrap(), "one");

    // A list of numbers is asked for; bytes are that too.
    let data = r#"[{"_placeholder":true,"num":1}]"#;
    assert_eq!(
        Args::ack(data, &mut two()).read::<Vec<u8>>().unwrap(),
        b"one"
    );
    assert_eq!(
        Args::ack(data, &mut two())
            .read::<Option<Bytes>>()
            .unwrap()
            .unwrap(),
        "one"
    );
    // An unused attachment is no error, nor is a packet that nobody reads.
    assert_eq!(Args::ack(data, &mut two()).read::<()>(), Ok(()));
    assert_eq!(Args::ack(data, &mut two()).validate(), Ok(()));
}

#[test]
fn an_attachment_is_moved_and_not_copied() {
    let bytes = Bytes::from(vec![7; 1000]);
    let address = bytes.as_ptr();
    let data = r#"[{"_placeholder":true,"num":0}]"#;
    let read = Args::ack(data, &mut [bytes]).read::<Bytes>().unwrap();
    assert_eq!(read.as_ptr(), address);
    let read = Args::ack(data, &mut [read]).read::<Value>().unwrap();
    assert_eq!(read.as_binary().unwrap().as_ptr(), address);
}

// S1.
#[test]
fn a_placeholder_without_its_attachment_is_malformed() {
    for number in [
        "-1",
        "-0",
        "2",
        "1e9",
        "1.5",
        "\"0\"",
        "null",
        "[]",
        "{}",
        "18446744073709551616",
    ] {
        for data in [
            format!("[{{\"_placeholder\":true,\"num\":{number}}}]"),
            format!("[{{\"_placeholder\":true,\"num\":{number}}},1]"),
        ] {
            let error = |result: Result<(), ReadError>| result.unwrap_err();
            for error in [
                error(Args::ack(&data, &mut two()).read::<Bytes>().map(|_| ())),
                error(Args::ack(&data, &mut two()).read::<Value>().map(|_| ())),
                error(Args::ack(&data, &mut two()).read::<()>()),
                error(Args::ack(&data, &mut two()).read::<String>().map(|_| ())),
                error(Args::ack(&data, &mut two()).validate()),
            ] {
                assert!(
                    matches!(error, ReadError::Attachment { .. }),
                    "{data}: {error:?}"
                );
                assert!(error.is_malformed());
                assert!(error.to_string().starts_with("args[0]: "), "{error}");
            }
        }
    }
    for data in [
        r#"[{"_placeholder":true}]"#,
        r#"[{"_placeholder":true,"num":0,"x":1}]"#,
        r#"[{"_placeholder":true,"num":0,"num":1}]"#,
    ] {
        let error = Args::ack(data, &mut two()).read::<Value>().unwrap_err();
        assert!(
            matches!(error, ReadError::Attachment { .. }),
            "{data}: {error:?}"
        );
    }
    let data = r#"[{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]"#;
    let error = Args::ack(data, &mut two())
        .read::<(Bytes, Value)>()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "args[1]: two placeholders have the same number"
    );
}

#[test]
fn what_only_resembles_a_placeholder_is_an_object() {
    for text in [
        r#"{"_placeholder":false,"num":0}"#,
        r#"{"_placeholder":"true","num":0}"#,
        r#"{"num":0}"#,
        r#"{"num":[{"num":[0]}]}"#,
        r#"{"x":1,"_placeholder":true,"num":0}"#,
        "{}",
    ] {
        let data = format!("[{text}]");
        let ours = Args::ack(&data, &mut two()).read::<Value>().unwrap();
        let theirs: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_value(&ours).unwrap(), theirs);
        assert_eq!(Args::ack(&data, &mut two()).validate(), Ok(()));
    }
    // Without attachments there are no placeholders.
    let data = r#"[{"_placeholder":true,"num":0}]"#;
    assert!(matches!(read::<Value>(data), Ok(Value::Object(_))));
    assert!(matches!(read::<Bytes>(data), Err(ReadError::Type { .. })));
    assert_eq!(read::<()>(data), Ok(()));
}

#[test]
fn an_attachment_is_not_read_as_text_or_object() {
    let data = r#"[{"_placeholder":true,"num":0}]"#;
    let error = Args::ack(data, &mut two()).read::<String>().map(|_| ());
    assert!(
        matches!(error, Ok(()) | Err(ReadError::Type { .. })),
        "{error:?}"
    );
    let error = Args::ack(data, &mut two()).read::<User>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "args[0]: invalid type: an attachment, expected struct User"
    );
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| Bytes::from(bytes).into()),
    ];
    leaf.prop_recursive(4, 30, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::vec((any::<String>(), inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_parsed_and_read_again(
        namespace in "/[a-z?=&é]{0,10}",
        id in prop::option::of(0..1u64 << 53),
        name in "[^c\\pC]?\\PC{0,10}",
        args in prop::collection::vec(value(), 0..4),
    ) {
        let limits = Limits { max_attachments: 1000, ..Limits::default() };
        let args = Arguments(args);
        let mut out = Vec::new();
        let mut attachments = Attachments::new();
        prop_assume!(write_event(&mut out, &namespace, id, &name, &args, &mut attachments).is_ok());
        let text = String::from_utf8(out).unwrap();
        let mut received: Vec<Bytes> = attachments.iter().map(Bytes::copy_from_slice).collect();
        let packet = Packet::parse(&text, &limits).unwrap();
        let kind = if received.is_empty() { Kind::Event } else { Kind::BinaryEvent };
        prop_assert_eq!(
            (packet.kind, packet.namespace, packet.id, packet.attachments),
            (kind, &*namespace, id, received.len())
        );
        let (event, rest) = packet.event(&limits).unwrap();
        prop_assert_eq!(event, name);
        prop_assert_eq!(Args::event(rest, &mut received.clone()).validate(), Ok(()));
        prop_assert_eq!(&Args::event(rest, &mut received).read::<Arguments>().unwrap(), &args);

        let mut out = Vec::new();
        attachments.clear();
        write_ack(&mut out, &namespace, id.unwrap_or(0), &args, &mut attachments).unwrap();
        let text = String::from_utf8(out).unwrap();
        let mut received: Vec<Bytes> = attachments.iter().map(Bytes::copy_from_slice).collect();
        let packet = Packet::parse(&text, &limits).unwrap();
        prop_assert_eq!(&Args::ack(packet.data, &mut received).read::<Arguments>().unwrap(), &args);
    }
}
