//! What no client should send: each gets the answer that its specification names, on every road,
//! and the server goes on serving the others.

mod support;

use support::{End, ROADS, Server, frame, upgrade};

const WEBSOCKET: &str = "EIO=4&transport=websocket";
const POLLING: &str = "EIO=4&transport=polling";

#[test]
fn a_malformed_websocket_handshake_gets_its_status() {
    // RFC 6455 §4.2.1, §4.4. What is no upgrade at all is an Engine.IO request, and a bad one.
    let table: &[(u16, &[(&str, &str)])] = &[
        (400, &[("Sec-WebSocket-Key", "")]),
        (400, &[("Sec-WebSocket-Key", "short")]),
        (400, &[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25j")]), // fifteen bytes
        (400, &[("Sec-WebSocket-Key", "!!!!IHNhbXBsZSBub25jZQ==")]),
        (400, &[("Sec-WebSocket-Version", "")]),
        (426, &[("Sec-WebSocket-Version", "8")]),
        (426, &[("Sec-WebSocket-Version", "14")]),
        (400, &[("Upgrade", "")]),
        (400, &[("Connection", "keep-alive")]),
        (400, &[("Sec-WebSocket-Extensions", "a;;b")]),
        (400, &[("Content-Length", "3")]),
        (400, &[("Host", "")]),
    ];
    for road in ROADS {
        let server = Server::start(road);
        let mut bystander = server.wire();
        for (status, other) in table {
            let answer = server.raw(&upgrade(WEBSOCKET, other));
            assert_eq!(answer.status, *status, "{road}: {other:?}: {answer:?}");
            if *status == 426 {
                assert!(
                    answer.head.contains("sec-websocket-version: 13\r\n"),
                    "{answer:?}"
                );
            }
        }
        server.still_serves(&mut bystander);
    }
}

#[test]
fn a_refused_upgrade_says_why_in_engine_ios_words() {
    let table = [
        ("EIO=4", "Transport unknown"),
        ("EIO=4&transport=abc", "Transport unknown"),
        ("EIO=4&transport=websocket&sid=abc", "Session ID unknown"),
        ("transport=websocket", "Unsupported protocol version"),
        ("EIO=3&transport=websocket", "Unsupported protocol version"),
    ];
    for road in ROADS {
        let server = Server::start(road);
        for (query, message) in table {
            let answer = server.raw(&upgrade(query, &[]));
            assert_eq!(answer.status, 400, "{road}: {query}: {answer:?}");
            assert!(answer.body.contains(message), "{road}: {query}: {answer:?}");
        }
    }
}

#[test]
fn a_malformed_request_gets_its_json_error() {
    let table = [
        ("GET", "", r#"{"code":0,"message":"Transport unknown"}"#),
        (
            "GET",
            "EIO=4&transport=__proto__",
            r#"{"code":0,"message":"Transport unknown"}"#,
        ),
        (
            "GET",
            "EIO=4&transport=%zz",
            r#"{"code":0,"message":"Transport unknown"}"#,
        ),
        (
            "GET",
            "EIO=4&transport=polling&sid=abc",
            r#"{"code":1,"message":"Session ID unknown"}"#,
        ),
        (
            "GET",
            "EIO=4&transport=polling&sid=%00%ff",
            r#"{"code":1,"message":"Session ID unknown"}"#,
        ),
        (
            "POST",
            POLLING,
            r#"{"code":2,"message":"Bad handshake method"}"#,
        ),
        (
            "PUT",
            POLLING,
            r#"{"code":2,"message":"Bad handshake method"}"#,
        ),
        ("GET", WEBSOCKET, r#"{"code":3,"message":"Bad request"}"#),
        (
            "GET",
            "transport=polling",
            r#"{"code":5,"message":"Unsupported protocol version"}"#,
        ),
        (
            "GET",
            "EIO=3&transport=polling",
            r#"{"code":5,"message":"Unsupported protocol version"}"#,
        ),
    ];
    for road in ROADS {
        let server = Server::start(road);
        let mut bystander = server.wire();
        for (method, query, body) in table {
            let answer = server.request(method, query, "");
            assert_eq!(
                (answer.status, answer.body.as_str()),
                (400, body),
                "{road}: {method} {query}"
            );
            assert!(
                answer.head.contains("content-type: application/json\r\n"),
                "{answer:?}"
            );
        }
        server.still_serves(&mut bystander);
    }
}

#[test]
fn a_malformed_frame_gets_its_close_code() {
    let table: Vec<(&str, u16, Vec<u8>)> = vec![
        ("not masked", 1002, vec![0x81, 1, b'3']),
        ("a reserved bit", 1002, frame(0xa1, b"3")),
        ("a reserved opcode for data", 1002, frame(0x83, b"")),
        ("a reserved opcode for control", 1002, frame(0x8b, b"")),
        ("a fragmented ping", 1002, frame(0x09, b"")),
        ("a ping of 126 bytes", 1002, frame(0x89, &[0; 126])),
        ("a continuation of nothing", 1002, frame(0x80, b"x")),
        (
            "a message within a message",
            1002,
            [frame(0x01, b"42["), frame(0x81, b"3")].concat(),
        ),
        (
            "two bytes of length for five",
            1002,
            [&[0x81, 0xfe, 0, 5, 0, 0, 0, 0], &b"42[]x"[..]].concat(),
        ),
        (
            "eight bytes of length for five",
            1002,
            vec![0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0],
        ),
        (
            "a length beyond 63 bits",
            1002,
            vec![
                0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0,
            ],
        ),
        (
            "a length over the limit, announced only",
            1009,
            vec![0x81, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0],
        ),
        ("fragments that together are over the limit", 1009, {
            let long = "x".repeat(60_000);
            [frame(0x01, long.as_bytes()), frame(0x80, long.as_bytes())].concat()
        }),
        ("text that is no UTF-8", 1007, frame(0x81, b"4\xff")),
        (
            "text that is no UTF-8, in its first fragment already",
            1007,
            frame(0x01, b"4\xed\xa0\x80"),
        ),
        (
            "text that is cut within a character",
            1007,
            frame(0x81, b"4\xc3"),
        ),
        ("a close of one byte", 1002, frame(0x88, b"\x03")),
        (
            "a close with a code nobody may send",
            1002,
            frame(0x88, b"\x03\xed"),
        ), // 1005
        (
            "a close with a code that is none",
            1002,
            frame(0x88, b"\x00\x05"),
        ),
        (
            "a close whose reason is no UTF-8",
            1007,
            frame(0x88, b"\x03\xe8\xff"),
        ),
    ];
    for road in ROADS {
        let server = Server::start(road);
        let mut bystander = server.wire();
        for (what, code, bytes) in &table {
            let mut wire = server.wire();
            wire.raw(bytes);
            assert_eq!(wire.end(), End::Close(Some(*code)), "{road}: {what}");
        }
        server.still_serves(&mut bystander);
    }
}

#[test]
fn a_malformed_frame_gets_its_close_code_also_byte_by_byte() {
    let server = Server::start("listen");
    for (code, bytes) in [(1002, frame(0xa1, b"3")), (1007, frame(0x81, b"4abc\xff"))] {
        let mut wire = server.wire();
        for byte in bytes {
            wire.raw(&[byte]);
        }
        assert_eq!(wire.end(), End::Close(Some(code)));
    }
}

#[test]
fn a_malformed_engine_packet_ends_its_own_session_only() {
    for road in ROADS {
        let server = Server::start(road);
        let mut bystander = server.wire();
        for packet in ["", "7", "x", "\u{1e}", "2"] {
            let mut wire = server.wire();
            wire.text(packet);
            assert!(
                matches!(wire.end(), End::Close(None) | End::Eof),
                "{road}: {packet:?}"
            );
        }
        for body in ["", "7", "x", "\u{1e}", "b!!!", "6\u{1e}9"] {
            let session = server.poll();
            server.request("POST", &session, body);
            // A GET that comes after is told of the end, and the one after that finds nothing.
            let told = server.request("GET", &session, "");
            assert!(
                told.status == 400 || told.body.ends_with('1'),
                "{road}: {body:?}: {told:?}"
            );
            let gone = server.request("GET", &session, "");
            assert_eq!(gone.status, 400, "{road}: {body:?}: {gone:?}");
        }
        server.still_serves(&mut bystander);
    }
}

#[test]
fn a_malformed_socket_packet_closes_its_own_connection_only() {
    let deep = format!("42[\"message\",{}{}]", "[".repeat(5000), "]".repeat(5000));
    let table: &[&[&str]] = &[
        &["4"],
        &["49"],
        &["4abc"],
        &["42"],
        &["42[]"],
        &["42{\"a\":1}"],
        &["42[{\"a\":1}]"],
        &["42[\"message\""],
        &["42[\"message\"]x"],
        &["42[\"message\",nul]"],
        &["42[\"connect\"]"],
        &["42[\"disconnecting\"]"],
        &["42/custom,[\"message\"]"],
        &["4299999999999999999999999[\"message\"]"],
        &["430{\"a\":1}"],
        &["41{\"a\":1}"],
        &["40"],
        &["40/custom,[]"],
        &["40/custom,\"text\""],
        &["44{\"message\":\"no\"}"],
        &["45[\"message\"]"],
        &["450-[\"message\"]"],
        &["4511-[\"message\"]"],
        &["4599999999999999999999-[\"message\"]"],
        &["45x-[\"message\"]"],
        &[
            "451-[\"message\",{\"_placeholder\":true,\"num\":0}]",
            "42[\"message\"]",
        ],
        &[&deep],
    ];
    for road in ROADS {
        let server = Server::start(road);
        let mut bystander = server.wire();
        for packets in table {
            let mut wire = server.wire();
            for packet in *packets {
                wire.text(packet);
            }
            let end = wire.end();
            assert!(
                matches!(end, End::Close(None) | End::Eof),
                "{road}: {packets:?}: {end:?}"
            );
        }
        // Attachments that nobody announced, and placeholders that point nowhere.
        for text in [
            None,
            Some("451-[\"message\",{\"_placeholder\":true,\"num\":1}]"),
            Some("451-[\"message\",{\"_placeholder\":true,\"num\":-1}]"),
        ] {
            let mut wire = server.wire();
            text.into_iter().for_each(|text| wire.text(text));
            wire.binary(&[1]);
            let end = wire.end();
            assert!(
                matches!(end, End::Close(None) | End::Eof),
                "{road}: {text:?}: {end:?}"
            );
        }
        // What may not come first.
        for packet in ["42[\"message\"]", "41", "430[]"] {
            let mut wire = server.session();
            wire.text(packet);
            let end = wire.end();
            assert!(
                matches!(end, End::Close(None) | End::Eof),
                "{road}: {packet:?}: {end:?}"
            );
        }
        server.still_serves(&mut bystander);
    }
}
