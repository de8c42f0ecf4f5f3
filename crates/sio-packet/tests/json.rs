//! Our JSON against serde_json's: what one reads and writes, the other does too.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sio_packet::{Args, Attachments, Limits, Packet, ReadError, Value, write_event};

/// Reads `text` as the first argument of an event.
fn read<T: DeserializeOwned>(text: &str) -> Result<T, ReadError> {
    Args::event(&format!(",{text}]"), &mut []).read()
}

fn written<T: Serialize + ?Sized>(value: &T) -> String {
    let mut out = Vec::new();
    let mut attachments = Attachments::new();
    write_event(&mut out, "/", None, "e", &[value], &mut attachments).unwrap();
    assert!(attachments.is_empty());
    let text = String::from_utf8(out).unwrap();
    text.strip_prefix("2[\"e\",")
        .unwrap()
        .strip_suffix(']')
        .unwrap()
        .to_owned()
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Everything {
    boolean: bool,
    character: char,
    integers: (i8, i16, i32, i64, u8, u16, u32, u64),
    long: (i128, u128),
    floats: [f64; 2],
    #[serde(default)]
    option: Option<Box<Self>>,
    unit: (),
    marker: Marker,
    wrapped: Wrapped,
    pair: Pair,
    choices: Vec<Choice>,
    names: BTreeMap<String, String>,
    numbers: BTreeMap<i16, u64>,
    flags: BTreeMap<bool, Wrapped>,
    keys: BTreeMap<Unit, ()>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Marker;

#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
struct Wrapped(String);

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Pair(u8, String);

#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Unit {
    FirstOne,
    SecondOne,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
enum Choice {
    Nothing,
    One(Option<u32>),
    Two(String, i8),
    Named { x: f64, y: Box<Option<Self>> },
}

/// Type errors in serde's own buffered content: an internally tagged and an untagged enum.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "type")]
enum Tagged {
    Move { x: i32, y: i32 },
    Say { text: String },
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(untagged)]
enum Untagged {
    Number(f64),
    Text(String),
    Many(Vec<Self>),
}

fn finite() -> impl Strategy<Value = f64> {
    any::<f64>().prop_filter("JSON has no other", |value| value.is_finite())
}

fn choice() -> impl Strategy<Value = Choice> {
    let leaf = prop_oneof![
        Just(Choice::Nothing),
        any::<Option<u32>>().prop_map(Choice::One),
        any::<(String, i8)>().prop_map(|(text, number)| Choice::Two(text, number)),
    ];
    leaf.prop_recursive(4, 8, 1, |inner| {
        (finite(), prop::option::of(inner)).prop_map(|(x, y)| Choice::Named { x, y: Box::new(y) })
    })
}

fn everything() -> impl Strategy<Value = Everything> {
    let names = prop::collection::btree_map(any::<String>(), any::<String>(), 0..4);
    let numbers = prop::collection::btree_map(any::<i16>(), any::<u64>(), 0..4);
    let flags = prop::collection::btree_map(any::<bool>(), any::<String>().prop_map(Wrapped), 0..3);
    let scalars = (
        any::<bool>(),
        any::<char>(),
        any::<(i8, i16, i32, i64, u8, u16, u32, u64)>(),
    );
    let more = (
        any::<(i128, u128)>(),
        [finite(), finite()],
        any::<(u8, String)>(),
    );
    let maps = (names, numbers, flags, any::<bool>());
    let leaf = (scalars, more, prop::collection::vec(choice(), 0..4), maps).prop_map(
        |((boolean, character, integers), (long, floats, pair), choices, maps)| {
            let (names, numbers, flags, second) = maps;
            let key = if second {
                Unit::SecondOne
            } else {
                Unit::FirstOne
            };
            Everything {
                boolean,
                character,
                integers,
                long,
                floats,
                option: None,
                unit: (),
                marker: Marker,
                wrapped: Wrapped(pair.1.clone()),
                pair: Pair(pair.0, pair.1),
                choices,
                names,
                numbers,
                flags,
                keys: BTreeMap::from([(key, ())]),
            }
        },
    );
    leaf.prop_recursive(3, 3, 1, |inner| {
        (inner.clone(), inner).prop_map(|(outer, inner)| Everything {
            option: Some(Box::new(inner)),
            ..outer
        })
    })
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        finite().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
        "[a-z ]{0,100}".prop_map(Into::into),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Text that is nearly JSON: tokens in any order, half of them in the right one.
fn nearly_json() -> impl Strategy<Value = String> {
    let token = prop::sample::select(
        &[
            "[",
            "]",
            "{",
            "}",
            ",",
            ":",
            "\"",
            "\"a\"",
            "\"\\u00e9\"",
            "\"\\ud83d\\ude00\"",
            "\\",
            "\"\\",
            "null",
            "true",
            "false",
            "nul",
            "0",
            "-",
            "-0",
            "1.5",
            "1e5",
            "1e999",
            "01",
            ".",
            " ",
            "\n",
            "\t",
            "\u{c}",
            "é",
            "\"\n\"",
            "[]",
            "{}",
            "\"k\":",
            "[1,2]",
            "{\"a\":{}}",
            "{\"_placeholder\":true,\"num\":0}",
            "18446744073709551616",
            "1E+2",
        ][..],
    );
    prop_oneof![
        prop::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat()),
        (value(), any::<prop::sample::Index>(), any::<char>()).prop_map(
            |(value, at, character)| {
                let mut text: Vec<char> = value.to_string().chars().collect();
                let at = at.index(text.len());
                text[at] = character;
                text.into_iter().collect()
            }
        ),
        value().prop_map(|value| serde_json::to_string_pretty(&value).unwrap()),
    ]
}

proptest! {
    #[test]
    fn a_typed_value_is_written_as_serde_json_writes_it_and_read_back(value in everything()) {
        let text = written(&value);
        prop_assert_eq!(&text, &serde_json::to_string(&value).unwrap());
        prop_assert_eq!(&read::<Everything>(&text).unwrap(), &value);
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        prop_assert_eq!(read::<Everything>(&pretty).unwrap(), value);
    }

    #[test]
    fn any_value_is_written_as_serde_json_writes_it_and_read_back(value in value()) {
        let text = written(&value);
        prop_assert_eq!(&text, &serde_json::to_string(&value).unwrap());
        prop_assert_eq!(&read::<serde_json::Value>(&text).unwrap(), &value);
        let ours = read::<Value>(&text).unwrap();
        prop_assert_eq!(written(&ours), text);
        prop_assert_eq!(ours, Value::from(value));
    }

    #[test]
    fn what_serde_json_accepts_we_accept_and_with_the_same_value(text in nearly_json()) {
        // A comma, or a bracket too much, would make other arguments of it.
        prop_assume!(serde_json::from_str::<IgnoredAny>(&format!("[{text}]")).is_ok()
            == serde_json::from_str::<IgnoredAny>(&text).is_ok());
        // serde_json looks at neither the range of a number nor the halves of surrogate pairs
        // where it ignores a value; nor do we.
        let rest = format!(",{text}]");
        let ignored = Args::event(&rest, &mut []).validate();
        prop_assert_eq!(ignored.is_ok(), serde_json::from_str::<IgnoredAny>(&text).is_ok());
        prop_assert_eq!(read::<()>(&text).is_ok(), ignored.is_ok());
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        let ours = read::<serde_json::Value>(&text);
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?} {:?}", ours, theirs);
        if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
            prop_assert_eq!(ours, theirs);
        }
        for malformed in [read::<String>(&text).err(), read::<Vec<u8>>(&text).err()] {
            if let Some(error) = malformed && ignored.is_err() {
                prop_assert!(error.is_malformed(), "{}", error);
            }
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC*") {
        for text in [&text, &format!(",{text}]"), &format!("[{text}]"), &format!(",{{{text}}}]")] {
            let _ = Args::ack(text, &mut []).validate();
            let _ = Args::ack(text, &mut []).read::<Value>();
            let _ = Args::ack(text, &mut []).read::<(String, Option<f32>)>();
            let _ = Args::ack(text, &mut []).read::<Everything>();
        }
    }
}

#[test]
fn enums_with_tags_and_without_are_read() {
    let say = Tagged::Say {
        text: "a\"b".into(),
    };
    assert_eq!(
        read::<Tagged>(r#"{"text":"a\"b","type":"Say"}"#).unwrap(),
        say
    );
    assert_eq!(read::<Tagged>(&written(&say)).unwrap(), say);
    let many = Untagged::Many(vec![Untagged::Number(1.0), Untagged::Text("x".into())]);
    assert_eq!(read::<Untagged>("[1,\"x\"]").unwrap(), many);
    assert_eq!(read::<Option<Untagged>>("null").unwrap(), None);
}

#[test]
fn a_raw_value_passes_as_it_is() {
    let raw = read::<Box<RawValue>>(" {\"a\" : [1e2, \"\\u00e9\"]} ").unwrap();
    assert_eq!(raw.get(), "{\"a\" : [1e2, \"\\u00e9\"]}");
    assert_eq!(written(&raw), raw.get());
    let several = read::<Vec<Box<RawValue>>>("[1, [2]]").unwrap();
    assert_eq!(
        several.iter().map(|raw| raw.get()).collect::<Vec<_>>(),
        ["1", "[2]"]
    );
    let text = String::from(",{\"a\":1},2]");
    let (first, second) = Args::event(&text, &mut [])
        .read::<(&RawValue, u8)>()
        .unwrap();
    assert_eq!((first.get(), second), ("{\"a\":1}", 2));
}

#[test]
fn a_string_can_be_borrowed_from_the_packet() {
    let text = String::from(",\"plain\",[\"é\"]]");
    let (first, more) = Args::event(&text, &mut [])
        .read::<(&str, Vec<&str>)>()
        .unwrap();
    assert_eq!((first, more), ("plain", vec!["é"]));
}

#[test]
fn half_a_surrogate_pair_ends_no_connection() {
    assert_eq!(read::<String>(r#""cut \ud83d""#).unwrap(), "cut \u{fffd}");
    assert_eq!(
        read::<Value>(r#"{"\ude00":1}"#)
            .unwrap()
            .as_object()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn what_is_no_number_is_null_as_in_javascript() {
    assert_eq!(
        written(&[f64::NAN, f64::INFINITY, -0.0, 1.0]),
        "[null,null,-0.0,1.0]"
    );
}

// S22.
#[test]
fn json_may_be_nested_128_deep_and_no_deeper() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        // The array of the arguments is one of them.
        for (depth, accepted) in [(127, true), (128, false), (500_000, false)] {
            let text = format!("{}0{}", open.repeat(depth), close.repeat(depth));
            let rest = format!(",{text}]");
            assert_eq!(
                Args::event(&rest, &mut []).validate().is_ok(),
                accepted,
                "{depth}"
            );
            assert_eq!(read::<Value>(&text).is_ok(), accepted, "{depth}");
            assert_eq!(
                read::<serde_json::Value>(&text).is_ok(),
                accepted,
                "{depth}"
            );
            assert_eq!(read::<()>(&text).is_ok(), accepted, "{depth}");
            if !accepted {
                assert!(read::<String>(&text).unwrap_err().is_malformed());
                assert!(
                    read::<Value>(&text)
                        .unwrap_err()
                        .to_string()
                        .contains("128")
                );
            }
        }
        assert!(
            read::<Value>(&open.repeat(500_000))
                .unwrap_err()
                .is_malformed()
        );
    }
    let wide = format!("[{}0]", "[[]],".repeat(100_000));
    assert!(
        Args::event(&format!(",{wide}]"), &mut [])
            .validate()
            .is_ok()
    );
}

// S24.
#[test]
fn prototype_keys_and_the_order_of_keys_survive() {
    let text = r#"2["e",{"z":1,"__proto__":{"constructor":{"prototype":null}},"a":2,"":3}]"#;
    let packet = Packet::parse(text, &Limits::default()).unwrap();
    let (event, rest) = packet.event(&Limits::default()).unwrap();
    let value = Args::event(rest, &mut []).read::<Value>().unwrap();
    let mut out = Vec::new();
    write_event(&mut out, "/", None, &event, &value, &mut Attachments::new()).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), text);
}
