//! Every malformed Socket.IO packet closes the connection it came on, with the reason `forced
//! close`, on WebSocket and on polling, and nobody else's.

mod support;

use std::time::Duration;

use sio_server::{Ack, Namespace, Refuse, Value};
use support::{End, Got, House, Polling, Road, Ws, config, frame, on_every_road};
use tokio::sync::mpsc::unbounded_channel;

const WEBSOCKET: &str = "EIO=4&transport=websocket";

/// Packets that a client in `/` must not send, without the Engine.IO type.
fn faults() -> Vec<(&'static str, String)> {
    let mut faults: Vec<(&str, String)> = [
        ("no type", ""),
        ("type 7", "7"),
        ("type 9", r#"9["echo"]"#),
        ("type x", "x"),
        ("a blank", " "),
        (
            "no count of attachments",
            r#"5["echo",{"_placeholder":true,"num":0}]"#,
        ),
        ("no dash", r#"51["echo",{"_placeholder":true,"num":0}]"#),
        ("a fraction of attachments", r#"51.5-["echo"]"#),
        ("attachments with an exponent", r#"51e3-["echo"]"#),
        ("a blank before the dash", r#"51 -["echo"]"#),
        ("-1 attachments", r#"5-1-["echo"]"#),
        ("no attachments", r#"50-["echo"]"#),
        ("no attachments, and an ack", r#"60-1[]"#),
        ("11 attachments", r#"511-["echo"]"#),
        ("11 attachments of an ack", r#"611-1[]"#),
        ("a billion attachments", r#"51000000000-["echo"]"#),
        (
            "2^64 attachments and one",
            r#"518446744073709551617-["echo"]"#,
        ),
        ("an event that is an object", r#"2{"0":"echo"}"#),
        ("an event that is a string", r#"2"echo""#),
        ("an event without a payload", "2"),
        ("an event without a name", "2[]"),
        ("an event called null", "2[null]"),
        ("an event called true", "2[true]"),
        ("an event called by an object", r#"2[{"toString":1}]"#),
        ("an event called by a list", r#"2[["echo"]]"#),
        ("an ack without an id", "3[]"),
        ("an ack that is an object", "31{}"),
        ("an ack without a payload", "31"),
        ("an ack id above 2^53 - 1", r#"29007199254740992["echo"]"#),
        (
            "an ack id of 30 digits",
            r#"2111111111122222222223333333333["echo"]"#,
        ),
        ("a CONNECT with a list", "0/other,[]"),
        ("a CONNECT with a string", r#"0/other,"token""#),
        ("a CONNECT with half an object", r#"0/other,{"a""#),
        ("a second CONNECT", "0"),
        ("a second CONNECT with auth", r#"0{"a":1}"#),
        ("a CONNECT with a count", "01-"),
        ("a DISCONNECT with a payload", "1{}"),
        ("a CONNECT_ERROR", r#"4{"message":"no"}"#),
        ("half a list", r#"2["echo""#),
        ("half a string", r#"2["echo","#),
        ("something behind the list", r#"2["echo"]]"#),
        ("a comma too many", r#"2["echo",]"#),
        ("a leading zero", r#"2["echo",01]"#),
        ("not a number", r#"2["echo",NaN]"#),
        ("a line feed in a string", "2[\"echo\",\"a\nb\"]"),
        ("half a surrogate's escape", r#"2["echo","\ud8"]"#),
        (
            "an event for a namespace not joined",
            r#"2/other,["echo",1]"#,
        ),
        (
            "an event for one that is not there",
            r#"2/nowhere,["echo",1]"#,
        ),
        ("an ack for a namespace not joined", "3/other,1[]"),
        ("a DISCONNECT from a namespace not joined", "1/other,"),
        (
            "a binary event for a namespace not joined",
            r#"51-/other,["echo",{"_placeholder":true,"num":0}]"#,
        ),
    ]
    .map(|(what, packet)| (what, packet.to_owned()))
    .into();
    for name in [
        "connect",
        "connect_error",
        "disconnect",
        "disconnecting",
        "newListener",
        "removeListener",
    ] {
        faults.push(("an event with a reserved name", format!(r#"2["{name}",1]"#)));
        let escaped = name.replacen('n', "\\u006e", 1);
        faults.push(("one that is escaped", format!(r#"2["{escaped}",1]"#)));
    }
    for (what, name) in [("event", "x".repeat(1025)), ("event", "é".repeat(513))] {
        faults.push((what, format!(r#"2["{name}"]"#)));
    }
    faults.push(("a long namespace", format!("0/{},", "x".repeat(256))));
    faults.push((
        "an event for one",
        format!(r#"2/{},["echo"]"#, "x".repeat(256)),
    ));
    faults.push((
        "a long auth",
        format!(r#"0/other,{{"a":"{}"}}"#, "x".repeat(65_536)),
    ));
    for depth in [129, 100_000] {
        faults.push(("a deep list", format!(r#"2["echo",{}"#, "[".repeat(depth))));
        faults.push((
            "a deep object",
            format!(r#"2["echo",{}"#, r#"{"a":"#.repeat(depth)),
        ));
        faults.push((
            "a deep event nobody handles",
            format!(r#"2["no",{}"#, "[".repeat(depth)),
        ));
    }
    faults
}

/// Placeholders that stand for no attachment, in an event that has one.
const PLACEHOLDERS: [&str; 12] = [
    r#"{"_placeholder":true,"num":1}"#,
    r#"{"_placeholder":true,"num":-1}"#,
    r#"{"_placeholder":true,"num":1e9}"#,
    r#"{"_placeholder":true,"num":0.5}"#,
    r#"{"_placeholder":true,"num":"0"}"#,
    r#"{"_placeholder":true,"num":null}"#,
    r#"{"_placeholder":true,"num":[0]}"#,
    r#"{"_placeholder":true,"num":18446744073709551616}"#,
    r#"{"_placeholder":true,"num":"__proto__"}"#,
    r#"{"_placeholder":true,"num":"length"}"#,
    r#"{"_placeholder":true}"#,
    r#"{"_placeholder":true,"NUM":0}"#,
];

on_every_road! {
    async fn every_malformed_packet_closes_its_own_connection(road: Road) {
        let mut house = House::start(road).await;
        let mut bystander = house.client().await;
        for (what, packet) in faults() {
            let mut ws = house.client().await;
            // The event behind it is nobody's.
            let bytes = [
                frame(0x81, format!("4{packet}").as_bytes()),
                frame(0x81, br#"42["say",1]"#),
            ];
            ws.raw(&bytes.concat()).await;
            let start: String = packet.chars().take(60).collect();
            assert_eq!(ws.next().await, Got::End(End::NoCode), "{what}: {start}");
            let farewell = house.farewell().await;
            assert_eq!(farewell.reason.as_str(), "forced close", "{what}: {start}");
        }
        bystander.text(r#"421["echo",1]"#).await;
        bystander.expect_text("431[1]").await;
        bystander.leave().await;
        house.is_unharmed().await;
    }

    async fn every_malformed_packet_closes_its_own_polling_session(road: Road) {
        let mut house = House::start(road).await;
        for (what, packet) in faults() {
            let mut polling = Polling::join(house.address).await;
            polling.ask().await;
            let body = format!("4{packet}\u{1e}42[\"say\",1]");
            polling.post(&body).await;
            let start: String = packet.chars().take(60).collect();
            // The GET and the POST race.
            let last = polling.gets.answer().await.body;
            assert!(matches!(&*last, "1" | "6\u{1e}1"), "{what}: {start}: {last}");
            let farewell = house.farewell().await;
            assert_eq!(farewell.reason.as_str(), "forced close", "{what}: {start}");
            let answer = polling.get_answer().await;
            assert_eq!(answer.body, r#"{"code":1,"message":"Session ID unknown"}"#);
        }
        house.is_unharmed().await;
    }

    async fn what_came_before_a_malformed_packet_is_answered(road: Road) {
        let house = House::start(road).await;
        let mut ws = house.client().await;
        let bytes = [frame(0x81, br#"421["echo",1]"#), frame(0x81, b"47")];
        ws.raw(&bytes.concat()).await;
        ws.expect_text("431[1]").await;
        assert_eq!(ws.next().await, Got::End(End::NoCode));
        let mut polling = Polling::join(house.address).await;
        polling.post("421[\"echo\",1]\u{1e}47").await;
        // In an answer of its own: the official client handles the end before the packets it came
        // with.
        assert_eq!(polling.get().await, "431[1]");
        assert_eq!(polling.get().await, "6\u{1e}1");
        house.is_unharmed().await;
    }

    async fn every_false_placeholder_closes_the_connection(road: Road) {
        let mut house = House::start(road).await;
        for placeholder in PLACEHOLDERS {
            // Also for an event that nobody handles: what is malformed is malformed.
            for event in ["echo", "nobody"] {
                let mut ws = house.client().await;
                ws.text(&format!(r#"451-["{event}",{placeholder}]"#)).await;
                ws.binary(b"x").await;
                assert_eq!(ws.end().await, End::NoCode, "{placeholder} in {event}");
                let reason = house.farewell().await.reason.as_str();
                assert_eq!(reason, "forced close", "{placeholder} in {event}");
            }
        }
        house.is_unharmed().await;
    }

    async fn placeholders_count_only_in_binary_packets(road: Road) {
        let house = House::start(road).await;
        let mut ws = house.client().await;
        // In an event without attachments it is data like any other, or refused: but it never
        // reaches into what is not there.
        ws.text(r#"421["echo",{"_placeholder":false,"num":0}]"#).await;
        ws.expect_text(r#"431[{"_placeholder":false,"num":0}]"#).await;
        ws.text(r#"421["echo",{"__proto__":{"x":1},"constructor":2}]"#).await;
        ws.expect_text(r#"431[{"__proto__":{"x":1},"constructor":2}]"#).await;
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn attachments_and_text_come_in_their_turn_or_not_at_all(road: Road) {
        let mut house = House::start(road).await;
        let begun = frame(0x81, br#"452-["echo",{"_placeholder":true,"num":0}]"#);
        let cases = [
            ("binary that nobody announced", vec![frame(0x82, b"x")]),
            (
                "binary behind a whole packet",
                vec![
                    frame(0x81, br#"451-["no",{"_placeholder":true,"num":0}]"#),
                    frame(0x82, b"x"),
                    frame(0x82, b"x"),
                ],
            ),
            (
                "an event while attachments are due",
                vec![begun.clone(), frame(0x81, br#"42["say",1]"#)],
            ),
            (
                "another binary event while attachments are due",
                vec![begun.clone(), frame(0x82, b"x"), begun.clone()],
            ),
            (
                "a DISCONNECT while attachments are due",
                vec![begun.clone(), frame(0x81, b"41")],
            ),
            (
                "binary behind a packet without attachments",
                vec![frame(0x81, br#"42["no"]"#), frame(0x82, b"x")],
            ),
        ];
        for (what, frames) in cases {
            let mut ws = house.client().await;
            ws.raw(&frames.concat()).await;
            assert_eq!(ws.next().await, Got::End(End::NoCode), "{what}");
            let reason = house.farewell().await.reason.as_str();
            assert_eq!(reason, "forced close", "{what}");
        }
        house.is_unharmed().await;
    }

    async fn ten_attachments_are_taken_in_any_order(road: Road) {
        let house = House::start(road).await;
        let mut ws = house.client().await;
        let places: Vec<_> = (0..10)
            .rev()
            .map(|n| format!(r#"{{"_placeholder":true,"num":{n}}}"#))
            .collect();
        ws.text(&format!(r#"4510-["say",[{}]]"#, places.join(","))).await;
        for n in 0..10 {
            ws.binary(&[n; 3]).await;
        }
        assert!(matches!(ws.next().await, Got::Text(text) if text.starts_with(r#"4510-["said""#)));
        for n in (0..10).rev() {
            assert_eq!(ws.next().await, Got::Binary(vec![n; 3]));
        }
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn attachments_have_a_limit_together(road: Road) {
        let mut config = config();
        config.packet.max_binary_bytes = 1000;
        let mut house = House::with(road, config, |server| server).await;
        let mut ws = house.client().await;
        ws.text(r#"452-["echo",{"_placeholder":true,"num":0}]"#).await;
        ws.binary(&[0; 600]).await;
        ws.binary(&[0; 401]).await;
        assert_eq!(ws.end().await, End::NoCode);
        assert_eq!(house.farewell().await.reason.as_str(), "forced close");
        house.is_unharmed().await;
    }

    async fn nothing_is_taken_before_connect(road: Road) {
        let house = House::start(road).await;
        for bytes in [
            frame(0x81, br#"42["say",1]"#),
            frame(0x81, br#"421["echo",1]"#),
            frame(0x81, b"431[1]"),
            frame(0x81, b"41"),
            frame(0x81, br#"451-["say",{"_placeholder":true,"num":0}]"#),
            frame(0x81, br#"461-1[{"_placeholder":true,"num":0}]"#),
            frame(0x82, b"x"),
        ] {
            let mut ws = Ws::open(house.address).await;
            // A CONNECT behind it comes too late.
            ws.raw(&[bytes, frame(0x81, b"40")].concat()).await;
            assert_eq!(ws.next().await, Got::End(End::NoCode));
        }
        house.is_unharmed().await;
    }

    async fn a_namespace_that_is_not_there_is_refused_and_the_others_stay(road: Road) {
        let house = House::start(road).await;
        let mut ws = house.client().await;
        for name in ["/nowhere", "/other?token=1", "/Other", "/__proto__", "/other/"] {
            ws.text(&format!("40{name},")).await;
            ws.expect_text(&format!(r#"44{name},{{"message":"Invalid namespace"}}"#)).await;
        }
        ws.text(r#"421["echo",1]"#).await;
        ws.expect_text("431[1]").await;
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn packets_of_a_namespace_that_was_left_are_faults(road: Road) {
        let mut house = House::start(road).await;
        let mut ws = house.client().await;
        ws.join("/other").await;
        ws.text("41/other,").await;
        ws.text(r#"42/other,["echo",1]"#).await;
        assert_eq!(ws.end().await, End::NoCode);
        assert_eq!(house.farewell().await.reason.as_str(), "forced close");
        house.is_unharmed().await;
    }

    async fn a_client_may_leave_and_come_back_as_often_as_it_may_connect(road: Road) {
        let mut config = config();
        config.max_connect_attempts = 5;
        let mut house = House::with(road, config, |server| server).await;
        let mut ws = Ws::open(house.address).await;
        for _ in 0..5 {
            ws.join("/").await;
            ws.text("41").await;
            let reason = house.farewell().await.reason;
            assert_eq!(reason.as_str(), "client namespace disconnect");
        }
        ws.text("40").await;
        ws.expect_text(r#"44{"message":"Too many attempts"}"#).await;
        assert_eq!(ws.next().await, Got::End(End::NoCode));
        house.is_unharmed().await;
    }

    async fn a_refused_client_cannot_try_for_ever(road: Road) {
        let mut config = config();
        config.max_connect_attempts = 3;
        let house = House::with(road, config, |server| {
            server.mount(Namespace::<()>::new("/no", async |_| Err(Refuse::new("no"))))
        })
        .await;
        let mut ws = Ws::open(house.address).await;
        for _ in 0..3 {
            ws.text("40/no,").await;
            ws.expect_text(r#"44/no,{"message":"no"}"#).await;
        }
        ws.text("40/no,").await;
        ws.expect_text(r#"44/no,{"message":"Too many attempts"}"#).await;
        assert_eq!(ws.next().await, Got::End(End::NoCode));
        house.is_unharmed().await;
    }

    async fn a_client_is_in_so_many_namespaces_and_no_more(road: Road) {
        let mut config = config();
        config.max_namespaces = 3;
        let house = House::with(road, config, |server| server).await;
        let mut ws = Ws::open(house.address).await;
        for name in ["/", "/other", "/dyn-a"] {
            ws.join(name).await;
        }
        ws.text("40/dyn-b,").await;
        ws.expect_text(r#"44/dyn-b,{"message":"Too many namespaces"}"#).await;
        ws.text("41/dyn-a,").await;
        ws.join("/dyn-b").await;
        ws.leave().await;
        house.is_unharmed().await;
        assert_eq!(house.io.of("/dyn-b").len(), 0);
    }

    async fn a_second_connect_while_the_first_is_decided_closes_the_connection(road: Road) {
        let (tell, mut told) = unbounded_channel();
        let house = House::with(road, config(), |server| {
            server.mount(Namespace::<()>::new("/slow", async move |_| {
                let _ = tell.send(());
                std::future::pending().await
            }))
        })
        .await;
        let mut ws = Ws::open(house.address).await;
        ws.text("40/slow,").await;
        support::within("the first decision", told.recv()).await;
        ws.text("40/slow,").await;
        assert_eq!(ws.next().await, Got::End(End::NoCode));
        house.is_unharmed().await;
        assert!(told.try_recv().is_err(), "nobody was asked twice");
    }

    async fn acks_that_nobody_asked_for_are_passed_over(road: Road) {
        let house = House::start(road).await;
        let mut ws = house.client().await;
        for id in [0_u64, 1, 7, 9_007_199_254_740_991] {
            ws.text(&format!("43{id}[1]")).await;
        }
        ws.text(r#"461-0[{"_placeholder":true,"num":0}]"#).await;
        ws.binary(b"x").await;
        ws.text(r#"421["echo",1]"#).await;
        ws.expect_text("431[1]").await;
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn an_answer_comes_once(road: Road) {
        let (tell, mut told) = unbounded_channel();
        let house = House::with(road, config(), |server| {
            server.on("ask", async move |socket, (): ()| {
                let call = socket.call::<_, _, Value>("question", &());
                let tell = tell.clone();
                tokio::spawn(async move {
                    let _ = tell.send(call.await);
                });
            })
        })
        .await;
        let mut ws = house.client().await;
        ws.text(r#"42["ask"]"#).await;
        let Got::Text(question) = ws.next().await else {
            panic!("no question")
        };
        let id = question
            .strip_prefix("42")
            .and_then(|rest| rest.strip_suffix(r#"["question"]"#))
            .unwrap_or_else(|| panic!("{question}"));
        for answer in ["first", "second"] {
            ws.text(&format!(r#"43{id}["{answer}"]"#)).await;
        }
        let answer = support::within("the answer", told.recv()).await.unwrap();
        assert_eq!(answer.unwrap().as_str(), Some("first"));
        ws.leave().await;
        house.is_unharmed().await;
        assert!(told.try_recv().is_err());
    }

    async fn a_payload_of_another_type_is_not_handled_and_closes_nothing(road: Road) {
        let house = House::with(road, config(), |server| {
            server.on("number", async |_socket, n: u8| Ack(n))
        })
        .await;
        let mut ws = house.client().await;
        for payload in [r#""text""#, "256", "-1", "null", "{}", "[1]"] {
            ws.text(&format!(r#"421["number",{payload}]"#)).await;
        }
        ws.text(r#"421["number"]"#).await;
        ws.text(r#"422["number",255]"#).await;
        ws.expect_text("432[255]").await;
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn the_depth_that_may_be_is_read_and_written(road: Road) {
        let house = House::start(road).await;
        let mut ws = house.client().await;
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        ws.text(&format!(r#"421["echo",{deep}]"#)).await;
        ws.expect_text(&format!("431[{deep}]")).await;
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn a_panic_of_ours_is_the_fault_of_nobody_else(road: Road) {
        let house = House::with(road, config(), |server| {
            server
                .on("panic", async |_socket, (): ()| panics())
                .on("unreadable", async |_socket, _: Unreadable| ())
                .on("unwritable", async |socket, (): ()| {
                    socket.emit("before", &());
                    socket.emit("never", &Unwritable);
                })
                .mount(Namespace::<()>::new("/panic", async |_| panic!("on purpose")))
                .mount(Namespace::<()>::matching(
                    |name| name != "/panicking" || panic!("on purpose"),
                    async |_| Err(Refuse::new("no")),
                ))
        })
        .await;
        let mut bystander = house.client().await;
        for attack in [
            r#"42["panic"]"#,
            r#"42["unreadable",1]"#,
            r#"42["unwritable"]"#,
            "40/panic,",
            "40/panicking,",
        ] {
            let mut ws = house.client().await;
            // What was said in the same turn must not get lost, nor reach anybody else.
            let bytes = [
                frame(0x81, br#"421["echo","secret"]"#),
                frame(0x81, attack.as_bytes()),
            ];
            ws.raw(&bytes.concat()).await;
            ws.expect_text(r#"431["secret"]"#).await;
            if attack.contains("unwritable") {
                ws.expect_text(r#"42["before"]"#).await;
            }
            if let Some(name) = attack.strip_prefix("40") {
                let message = match name {
                    "/panic," => "Internal error",
                    _ => "Invalid namespace",
                };
                ws.expect_text(&format!(r#"44{name}{{"message":"{message}"}}"#)).await;
            }
            bystander.text(r#"422["echo",2]"#).await;
            bystander.expect_text("432[2]").await;
            ws.text(r#"423["echo",3]"#).await;
            ws.expect_text("433[3]").await;
            ws.leave().await;
            house.serves_others().await;
        }
        bystander.leave().await;
        house.is_unharmed().await;
    }
}

fn panics() {
    panic!("on purpose");
}

/// A payload whose reading panics.
struct Unreadable;

impl<'de> serde::Deserialize<'de> for Unreadable {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("on purpose")
    }
}

/// A payload whose writing panics.
struct Unwritable;

impl serde::Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("on purpose")
    }
}

#[tokio::test]
async fn a_client_that_joins_nothing_is_put_out_in_time() {
    for road in [Road::Own, Road::Hyper, Road::Foreign] {
        let mut config = config();
        config.engine.connect_timeout = Duration::from_millis(50);
        let house = House::with(road, config, |server| {
            server.mount(Namespace::<()>::new("/no", async |_| {
                Err(Refuse::new("no"))
            }))
        })
        .await;
        // Its CONNECT comes with the handshake: no time goes by.
        let mut member = Ws::ask(house.address, WEBSOCKET, &frame(0x81, b"40")).await;
        member.accepted(WEBSOCKET).await;
        member.opened().await;
        member.joined("").await;
        let mut idle = Ws::open(house.address).await;
        let mut refused = Ws::ask(house.address, WEBSOCKET, &frame(0x81, b"40/no,")).await;
        refused.accepted(WEBSOCKET).await;
        refused.opened().await;
        refused.expect_text(r#"44/no,{"message":"no"}"#).await;
        let mut polling = Polling::open(house.address).await;
        assert_eq!(idle.next().await, Got::End(End::NoCode));
        assert_eq!(refused.next().await, Got::End(End::NoCode));
        // One that polls is told if it asks, and forgotten if it does not.
        let answer = polling.get_answer().await;
        assert!(
            matches!(answer.body.as_str(), "1" | "6\u{1e}1"),
            "{answer:?}"
        );
        member.text(r#"421["echo",1]"#).await;
        member.expect_text("431[1]").await;
        member.leave().await;
        house.empties().await;
    }
}
