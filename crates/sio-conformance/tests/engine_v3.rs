//! Engine.IO 3 and JSONP polling, byte for byte: what the protocol's own suite asks for, and what
//! Socket.IO 2 clients rely on. On every road.

mod support;

use support::{End, ROADS, Server};

const POLLING: &str = "EIO=3&transport=polling";
const WEBSOCKET: &str = "EIO=3&transport=websocket";

/// A server that lets old clients in, on each road.
fn on_every_road(test: impl Fn(&Server)) {
    on_every_road_with(&[], test);
}

fn on_every_road_with(settings: &[(&str, &str)], test: impl Fn(&Server)) {
    for road in ROADS {
        eprintln!("on the road {road}");
        test(&Server::with(road, &[&[("EIO3", "1")], settings].concat()));
    }
}

/// The session id in an open packet.
fn sid_of(open: &str) -> &str {
    let (_, rest) = open.split_once("\"sid\":\"").expect("a session id");
    let (sid, _) = rest.split_once('"').expect("it ends");
    assert_eq!(sid.len(), 20);
    sid
}

/// A session over polling, opened with `extra` in its query; gives the query that names it. The
/// CONNECT and the first event have been read.
fn open(server: &Server, extra: &str) -> String {
    let open = server.request("GET", &format!("{POLLING}{extra}"), "");
    let query = format!("{POLLING}{extra}&sid={}", sid_of(&open.body));
    let mut heard = String::new();
    while !heard.contains("42[\"auth\"") {
        heard += &server.request("GET", &query, "").body;
    }
    assert!(heard.starts_with("2:40"), "{heard}");
    query
}

#[test]
fn a_handshake_is_one_packet_with_its_length_and_connect_comes_in_the_next_poll() {
    on_every_road(|server| {
        let open = server.request("GET", POLLING, "");
        assert_eq!(open.status, 200);
        assert!(
            open.head
                .contains("content-type: text/plain; charset=utf-8\r\n"),
            "{open:?}"
        );
        let (len, packet) = open.body.split_once(':').expect("a length");
        assert_eq!(len.parse(), Ok(packet.len()));
        assert!(packet.starts_with("0{\"sid\":\""), "{packet}");
        assert!(
            packet.contains("\"upgrades\":[\"websocket\"],\"pingInterval\":25000"),
            "{packet}"
        );
        let query = format!("{POLLING}&sid={}", sid_of(packet));
        let next = server.request("GET", &query, "").body;
        assert!(next.starts_with("2:40"), "{next}");
    });
}

#[test]
fn over_websocket_connect_follows_the_open_packet() {
    on_every_road(|server| {
        let mut wire = server.websocket(WEBSOCKET);
        let open = wire.read_text();
        assert!(open.contains("\"upgrades\":[],"), "{open}");
        assert_eq!(wire.read_text(), "40");
        wire.expect_text("42[\"auth\",{}]");
        // The id that such a client makes up for itself.
        wire.text("420[\"whoami\"]");
        assert_eq!(wire.read_text(), format!("430[\"{}\"]", sid_of(&open)));
    });
}

#[test]
fn lengths_count_utf16_code_units_both_ways() {
    on_every_road(|server| {
        let query = open(server, "");
        // 19 units; 18 characters, 22 bytes.
        let body = "19:42[\"message\",\"é😀\"]";
        let posted = server.post(&query, "text/plain;charset=UTF-8", body.as_bytes());
        assert_eq!(posted.body, "ok");
        assert_eq!(
            server.request("GET", &query, "").body,
            "24:42[\"message-back\",\"é😀\"]"
        );
    });
}

#[test]
fn several_packets_of_one_post_are_handled_in_order() {
    on_every_road(|server| {
        let query = open(server, "");
        let body = "19:42[\"message\",\"one\"]21:42[\"message\",\"three\"]1:2";
        assert_eq!(server.request("POST", &query, body).body, "ok");
        let mut heard = String::new();
        while !heard.contains("three") || !heard.contains("1:3") {
            heard += &server.request("GET", &query, "").body;
        }
        assert_eq!(
            heard.replace("1:3", ""),
            "24:42[\"message-back\",\"one\"]26:42[\"message-back\",\"three\"]"
        );
    });
}

#[test]
fn bytes_are_posted_and_answered_in_the_binary_form() {
    on_every_road(|server| {
        let query = open(server, "");
        let text = br#"451-["message",{"_placeholder":true,"num":0}]"#;
        let mut body = vec![0, 4, 5, 0xff];
        body.extend_from_slice(text);
        body.extend_from_slice(&[1, 5, 0xff, 4, 1, 2, 3, 4]);
        let posted = server.post(&query, "application/octet-stream", &body);
        assert_eq!((posted.status, &*posted.body), (200, "ok"));
        let answer = server.request("GET", &query, "");
        assert!(
            answer
                .head
                .contains("content-type: application/octet-stream\r\n"),
            "{answer:?}"
        );
        let text = br#"451-["message-back",{"_placeholder":true,"num":0}]"#;
        let mut expected = vec![0, 5, 0, 0xff];
        expected.extend_from_slice(text);
        expected.extend_from_slice(&[1, 5, 0xff, 4, 1, 2, 3, 4]);
        assert_eq!(answer.bytes, expected);
    });
}

#[test]
fn a_client_that_takes_no_bytes_gets_base64() {
    on_every_road(|server| {
        let query = open(server, "&b64=1");
        let body = r#"45:451-["message",{"_placeholder":true,"num":0}]10:b4AQIDBA=="#;
        assert_eq!(server.request("POST", &query, body).body, "ok");
        assert_eq!(
            server.request("GET", &query, "").body,
            r#"50:451-["message-back",{"_placeholder":true,"num":0}]10:b4AQIDBA=="#
        );
        let mut wire = server.websocket(&format!("{WEBSOCKET}&b64=1"));
        wire.expect_text("0{");
        wire.expect_text("40");
        wire.expect_text("42[\"auth\"");
        wire.text(r#"451-["message",{"_placeholder":true,"num":0}]"#);
        wire.text("b4AQIDBA==");
        wire.expect_text(r#"451-["message-back","#);
        wire.expect_text("b4AQIDBA==");
    });
}

#[test]
fn over_websocket_bytes_begin_with_their_type() {
    on_every_road(|server| {
        let mut wire = server.websocket(WEBSOCKET);
        wire.expect_text("0{");
        wire.expect_text("40");
        wire.expect_text("42[\"auth\"");
        wire.text(r#"451-["message",{"_placeholder":true,"num":0}]"#);
        wire.binary(&[4, 1, 2, 3, 4]);
        wire.expect_text(r#"451-["message-back","#);
        wire.expect_binary(&[4, 1, 2, 3, 4]);
    });
}

#[test]
fn in_revision_4_a_client_that_says_b64_gets_text_frames() {
    on_every_road(|server| {
        let mut wire = server.websocket("EIO=4&transport=websocket&b64=1");
        wire.expect_text("0{");
        wire.text("40");
        wire.expect_text("40{");
        wire.expect_text("42[\"auth\"");
        wire.text(r#"451-["message",{"_placeholder":true,"num":0}]"#);
        wire.binary(&[1, 2, 3, 4]);
        wire.expect_text(r#"451-["message-back","#);
        wire.expect_text("bAQIDBA==");
    });
}

#[test]
fn a_malformed_payload_ends_its_session() {
    let bytes = "application/octet-stream";
    let cases: [(&str, &[u8]); 9] = [
        ("text/plain", b""),
        ("text/plain", b"abc"),
        ("text/plain", b"4a"),
        ("text/plain", b"9:4a"),
        ("text/plain", b"1:x"),
        ("text/plain", b"\xff"),
        (bytes, b"\x00\xff"),
        (bytes, b"\x00\x09\xff4"),
        (bytes, b"\x01\x01\xff\x07"),
    ];
    on_every_road(|server| {
        for (kind, body) in cases {
            let query = open(server, "");
            assert_eq!(server.post(&query, kind, body).status, 200, "{body:x?}");
            let gone = server.request("GET", &query, "");
            assert_eq!(
                (gone.status, &*gone.body),
                (400, r#"{"code":1,"message":"Session ID unknown"}"#),
                "{body:x?}"
            );
        }
    });
}

#[test]
fn the_client_pings_and_the_server_answers_without_its_data() {
    on_every_road(|server| {
        let query = open(server, "");
        assert_eq!(server.request("POST", &query, "6:2probe").body, "ok");
        assert_eq!(server.request("GET", &query, "").body, "1:3");
        let mut wire = server.websocket(WEBSOCKET);
        wire.expect_text("0{");
        wire.expect_text("40");
        wire.expect_text("42[\"auth\"");
        for ping in ["2", "2probe"] {
            wire.text(ping);
            assert_eq!(wire.read_text(), "3");
        }
        // A pong is the server's to send.
        wire.text("3");
        assert_eq!(wire.end(), End::Close(None));
    });
}

#[test]
fn a_client_that_does_not_ping_is_closed_after_interval_and_timeout() {
    on_every_road_with(
        &[("PING_INTERVAL", "300"), ("PING_TIMEOUT", "200")],
        |server| {
            let began = std::time::Instant::now();
            let mut wire = server.websocket(WEBSOCKET);
            assert_eq!(wire.end(), End::Close(None));
            assert!(began.elapsed().as_millis() >= 490, "{:?}", began.elapsed());
        },
    );
}

#[test]
fn a_client_that_closes_frees_its_get() {
    on_every_road(|server| {
        let query = open(server, "");
        let waiting = server.waiting(&query);
        // Whether it waits already cannot be seen; the answer is the same.
        let mut posted = server.request("POST", &query, "1:1");
        if posted.status != 200 {
            posted = server.request("POST", &query, "1:1");
        }
        assert_eq!(posted.body, "ok");
        let answer = waiting.join().expect("an answer");
        assert!(answer.body == "1:6" || answer.status == 400, "{answer:?}");
        assert_eq!(server.request("GET", &query, "").status, 400);
    });
}

#[test]
fn a_session_moves_to_a_websocket_and_nothing_is_lost() {
    on_every_road(|server| {
        let query = open(server, "");
        let waiting = server.waiting(&query);
        let sid = sid_in(&query);
        let mut wire = server.websocket(&format!("{WEBSOCKET}&sid={sid}"));
        wire.text("2probe");
        assert_eq!(wire.read_text(), "3probe");
        assert_eq!(waiting.join().expect("an answer").body, "1:6");
        assert_eq!(
            server
                .request("POST", &query, "19:42[\"message\",\"one\"]")
                .body,
            "ok"
        );
        wire.text("5");
        wire.expect_text("42[\"message-back\",\"one\"]");
        wire.text("42[\"message\",\"two\"]");
        wire.expect_text("42[\"message-back\",\"two\"]");
        let late = server.request("GET", &query, "");
        assert_eq!(
            (late.status, &*late.body),
            (400, r#"{"code":3,"message":"Bad request"}"#)
        );
    });
}

#[test]
fn a_session_keeps_its_revision() {
    on_every_road(|server| {
        let query = open(server, "").replace("EIO=3", "EIO=4");
        let answer = server.request("GET", &query, "");
        assert_eq!(
            (answer.status, &*answer.body),
            (400, r#"{"code":3,"message":"Bad request"}"#)
        );
        let opened = server.request("GET", "EIO=4&transport=polling", "").body;
        let query = format!("EIO=4&transport=polling&sid={}", sid_of(&opened));
        let body = b"\x00\x01\xff2";
        let answer = server.post(&query, "application/octet-stream", body);
        assert_eq!(answer.status, 400, "only revision 3 posts bytes");
    });
}

#[test]
fn namespaces_are_joined_with_a_query_and_refused_with_a_bare_value() {
    on_every_road(|server| {
        let mut wire = server.websocket(WEBSOCKET);
        let sid = sid_of(&wire.read_text()).to_owned();
        wire.expect_text("40");
        wire.expect_text("42[\"auth\",{}]");
        wire.text("40/custom?x=1&y=a%20b&x=2,");
        assert_eq!(wire.read_text(), "40/custom,");
        wire.expect_text(r#"42/custom,["auth",{"x":["1","2"],"y":"a b"}]"#);
        wire.text("42/custom,7[\"whoami\"]");
        assert_eq!(wire.read_text(), format!("43/custom,7[\"/custom#{sid}\"]"));
        wire.text("40/nope");
        assert_eq!(
            wire.read_text(),
            r#"44/nope,{"message":"Invalid namespace"}"#
        );
        wire.text("40/auth?token=wrong,");
        assert_eq!(wire.read_text(), r#"44/auth,{"code":"E_AUTH"}"#);
        wire.text("40/auth?token=secret");
        assert_eq!(wire.read_text(), "40/auth,");
        wire.expect_text("42/auth,[\"auth\"");
        // Leaving `/` leaves the others as they are.
        wire.text("41");
        wire.text("42/custom,[\"message\",1]");
        assert_eq!(wire.read_text(), "42/custom,[\"message-back\",1]");
    });
}

#[test]
fn a_token_longer_than_a_name_may_be_fits_into_the_query() {
    on_every_road(|server| {
        let mut wire = server.websocket(WEBSOCKET);
        wire.expect_text("0{");
        wire.expect_text("40");
        wire.expect_text("42[\"auth\",{}]");
        wire.text(&format!("40/custom?token={},", "x".repeat(5000)));
        assert_eq!(wire.read_text(), "40/custom,");
        wire.expect_text("42/custom,[\"auth\",{\"token\":\"xxx");
        wire.text(&format!("40/{},", "x".repeat(300)));
        assert_eq!(wire.end(), End::Close(None), "a name has its limit still");
    });
}

#[test]
fn jsonp_polling_hands_payloads_to_a_function_and_takes_forms() {
    const FORM: &str = "application/x-www-form-urlencoded";
    on_every_road(|server| {
        for (eio, connect, message, back) in [
            (
                "EIO=3",
                None,
                "19:42[\"message\",\"a\\\\n\"]",
                "24:42[\\\"message-back\\\",\\\"a\\\\n\\\"]",
            ),
            (
                "EIO=4",
                Some("40"),
                "42[\"message\",\"a\\\\n\"]",
                "42[\\\"message-back\\\",\\\"a\\\\n\\\"]",
            ),
        ] {
            let query = format!("{eio}&transport=polling&j=5");
            let open = server.request("GET", &query, "");
            assert!(
                open.head
                    .contains("content-type: text/plain; charset=utf-8\r\n"),
                "{open:?}"
            );
            let body = open.body.strip_prefix("___eio[5](\"").expect("a call");
            assert!(body.ends_with("}\");"), "{body}");
            let (_, rest) = body.split_once("\\\"sid\\\":\\\"").expect("a session id");
            let query = format!("{query}&sid={}", &rest[..20]);
            if let Some(connect) = connect {
                assert_eq!(
                    server
                        .post(&query, FORM, format!("d={connect}").as_bytes())
                        .body,
                    "ok"
                );
            }
            let mut heard = String::new();
            while !heard.contains("\\\"auth\\\"") {
                heard += &server.request("GET", &query, "").body;
            }
            let form: String = message.bytes().map(|byte| format!("%{byte:02X}")).collect();
            assert_eq!(
                server
                    .post(&query, FORM, format!("d={form}").as_bytes())
                    .body,
                "ok"
            );
            let answer = server.request("GET", &query, "").body;
            assert_eq!(answer, format!("___eio[5](\"{back}\");"));
        }
    });
}

#[test]
fn jsonp_and_revision_3_are_refused_unless_allowed() {
    for road in ROADS {
        let server = Server::start(road);
        let answer = server.request("GET", "EIO=4&transport=polling&j=0", "");
        assert_eq!(
            (answer.status, &*answer.body),
            (400, r#"{"code":3,"message":"Bad request"}"#)
        );
        let answer = server.request("GET", POLLING, "");
        assert_eq!(
            answer.body,
            r#"{"code":5,"message":"Unsupported protocol version"}"#
        );
    }
}

fn sid_in(query: &str) -> &str {
    query.split_once("&sid=").expect("a session id").1
}
