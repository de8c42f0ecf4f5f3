//! Every malformed handshake gets its status, every malformed Engine.IO request its JSON error, and
//! every request an answer.

mod support;

use std::time::Duration;

use support::{
    Answer, End, Got, House, Peer, Polling, Road, Ws, config, get, on_every_road, post, until,
};

const POLLING: &str = "EIO=4&transport=polling";
const WEBSOCKET: &str = "EIO=4&transport=websocket";

/// The fields of a good handshake.
const FIELDS: [(&str, &str); 5] = [
    ("Host", "localhost"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// Fields that are replaced, or left out where there is no value.
type Changes<'a> = &'a [(&'a str, Option<&'a str>)];

/// A good handshake with some fields replaced, or left out if there is nothing to replace them.
fn handshake(start: &str, changes: Changes<'_>) -> String {
    let mut request = format!("{start}\r\n");
    for (name, value) in FIELDS {
        let changed = changes.iter().find(|(changed, _)| *changed == name);
        if let Some(value) = changed.map_or(Some(value), |(_, value)| *value) {
            request += &format!("{name}: {value}\r\n");
        }
    }
    for (name, value) in changes {
        if let (false, Some(value)) = (FIELDS.iter().any(|(known, _)| known == name), value) {
            request += &format!("{name}: {value}\r\n");
        }
    }
    request + "\r\n"
}

/// The answer to one request, and whether the connection stayed.
async fn ask(house: &House, request: impl AsRef<[u8]>) -> Answer {
    let mut peer = Peer::connect(house.address).await;
    peer.send(request).await;
    peer.answer().await
}

fn json(code: u8, message: &str) -> String {
    format!(r#"{{"code":{code},"message":"{message}"}}"#)
}

on_every_road! {
    async fn every_malformed_handshake_gets_its_status(road: Road) {
        let house = House::start(road).await;
        let target = format!("GET /socket.io/?{WEBSOCKET} HTTP/1.1");
        let table: &[(&str, Changes<'_>, u16)] = &[
            ("no host", &[("Host", None)], 400),
            ("another host", &[("host", Some("b"))], 400),
            ("another protocol", &[("Upgrade", Some("h2c"))], 426),
            ("nearly the protocol", &[("Upgrade", Some("websockets"))], 426),
            ("no version", &[("Sec-WebSocket-Version", None)], 400),
            ("version 8", &[("Sec-WebSocket-Version", Some("8"))], 426),
            ("version 14", &[("Sec-WebSocket-Version", Some("14"))], 426),
            ("a second version", &[("sec-websocket-version", Some("13"))], 400),
            ("no key", &[("Sec-WebSocket-Key", None)], 400),
            ("no base64", &[("Sec-WebSocket-Key", Some("not a key"))], 400),
            ("15 bytes", &[("Sec-WebSocket-Key", Some("AAAAAAAAAAAAAAAAAAAA"))], 400),
            ("17 bytes", &[("Sec-WebSocket-Key", Some("AAAAAAAAAAAAAAAAAAAAAAA="))], 400),
            (
                "a second key",
                &[("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25jZQ=="))],
                400,
            ),
            ("a body", &[("Content-Length", Some("5"))], 400),
            ("a body in chunks", &[("Transfer-Encoding", Some("chunked"))], 400),
            ("an empty protocol", &[("Sec-WebSocket-Protocol", Some(","))], 400),
            ("a protocol twice", &[("Sec-WebSocket-Protocol", Some("a, b, a"))], 400),
            ("a protocol with a blank", &[("Sec-WebSocket-Protocol", Some("a b"))], 400),
            ("half an extension", &[("Sec-WebSocket-Extensions", Some("a; b="))], 400),
            ("no extension", &[("Sec-WebSocket-Extensions", Some(";"))], 400),
        ];
        for (what, changes, status) in table {
            let answer = ask(&house, handshake(&target, changes)).await;
            assert_eq!(answer.status, *status, "{what}: {answer:?}");
            if *status == 426 {
                assert_eq!(answer.header("sec-websocket-version"), "13", "{what}");
                assert!(answer.header("upgrade").contains("websocket"), "{what}");
            }
        }
        // Without the words that ask to leave HTTP it is a plain request.
        for changes in [
            [("Upgrade", None)],
            [("Connection", None)],
            [("Connection", Some("keep-alive"))],
            [("Connection", Some("not-upgrade"))],
        ] {
            let answer = ask(&house, handshake(&target, &changes)).await;
            assert_eq!((answer.status, answer.body), (400, json(3, "Bad request")));
        }
        let old = format!("GET /socket.io/?{WEBSOCKET} HTTP/1.0");
        assert_eq!(ask(&house, handshake(&old, &[])).await.status, 400);
        house.is_unharmed().await;
    }

    async fn names_and_values_of_a_good_handshake_may_be_written_in_any_case(road: Road) {
        let house = House::start(road).await;
        let target = format!("GET /socket.io/?{WEBSOCKET} HTTP/1.1");
        for changes in [
            [("Upgrade", Some("WebSocket")), ("Connection", Some("keep-alive, UPGRADE"))],
            [("Upgrade", Some("h2c, websocket")), ("Connection", Some("upgrade"))],
            [
                ("Sec-WebSocket-Extensions", Some("permessage-deflate; client_max_window_bits")),
                ("Sec-WebSocket-Protocol", Some("a, b")),
            ],
            [
                ("Sec-WebSocket-Extensions", Some("constructor, __proto__")),
                ("Origin", Some("http://localhost")),
            ],
        ] {
            let answer = ask(&house, handshake(&target, &changes)).await;
            assert_eq!(answer.status, 101, "{answer:?}");
            assert_eq!(answer.header("sec-websocket-extensions"), "");
            assert_eq!(answer.header("sec-websocket-protocol"), "");
        }
        house.is_unharmed().await;
    }

    async fn sec_e4_e5_every_malformed_request_gets_its_error(road: Road) {
        let house = House::start(road).await;
        let mut polling = Polling::join(house.address).await;
        let sid = polling.sid.clone();
        let long = "x".repeat(8000);
        let unknown = (0, "Transport unknown");
        let session = (1, "Session ID unknown");
        let method = (2, "Bad handshake method");
        let bad = (3, "Bad request");
        let version = (5, "Unsupported protocol version");
        let table = [
            ("GET", "EIO=4".to_owned(), unknown),
            ("GET", "EIO=4&transport=".into(), unknown),
            ("GET", "EIO=4&transport=webtransport".into(), unknown),
            ("GET", "EIO=4&transport=__proto__".into(), unknown),
            ("GET", "EIO=4&transport=Polling".into(), unknown),
            ("GET", "EIO=4&transport=polling&transport=x".into(), unknown),
            ("GET", format!("EIO=4&transport={long}"), unknown),
            ("POST", "EIO=4&transport=x".into(), unknown),
            ("GET", "EIO=4&transport=polling&sid=x".into(), session),
            ("GET", "EIO=4&transport=polling&sid=__proto__".into(), session),
            ("GET", "EIO=4&transport=polling&sid=%00".into(), session),
            ("GET", "EIO=4&transport=polling&sid=%C3%A9".into(), session),
            ("GET", "EIO=4&transport=polling&sid=%ff".into(), session),
            ("GET", format!("EIO=4&transport=polling&sid={long}"), session),
            ("GET", format!("EIO=4&transport=polling&sid={sid}x"), session),
            ("GET", format!("EIO=4&transport=polling&sid={}", &sid[1..]), session),
            ("GET", "EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA".into(), session),
            ("POST", "EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA".into(), session),
            ("PUT", "EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA".into(), session),
            ("POST", "EIO=4&transport=polling".into(), method),
            ("PUT", "EIO=4&transport=polling".into(), method),
            ("OPTIONS", "EIO=4&transport=polling".into(), method),
            ("DELETE", "EIO=4&transport=websocket".into(), method),
            ("GET", "EIO=4&transport=websocket".into(), bad),
            ("GET", format!("EIO=4&transport=websocket&sid={sid}"), bad),
            ("GET", format!("EIO=3&transport=polling&sid={sid}"), bad),
            ("GET", format!("transport=polling&sid={sid}"), bad),
            ("POST", format!("EIO=4&transport=websocket&sid={sid}"), bad),
            ("GET", "EIO=3&transport=polling".into(), version),
            ("GET", "EIO=5&transport=polling".into(), version),
            ("GET", "EIO=04&transport=polling".into(), version),
            ("GET", "transport=polling".into(), version),
        ];
        for (name, query, (code, message)) in table {
            let head = format!("{name} /socket.io/?{query} HTTP/1.1\r\nHost: a\r\n");
            let answer = ask(&house, format!("{head}Content-Length: 0\r\n\r\n")).await;
            let what = format!("{name} {}", &query[..query.len().min(60)]);
            assert_eq!(answer.status, 400, "{what}");
            assert_eq!(answer.header("content-type"), "application/json", "{what}");
            assert_eq!(answer.body, json(code, message), "{what}");
            // To an Upgrade request the same in words.
            if name == "GET" && !query.contains("websocket") {
                let start = format!("GET /socket.io/?{query} HTTP/1.1");
                let mut peer = Peer::connect(house.address).await;
                peer.send(handshake(&start, &[])).await;
                let answer = peer.answer().await;
                if matches!(code, 0 | 1) {
                    assert_eq!((answer.status, &*answer.body), (400, message), "{what}");
                    assert_eq!(answer.header("connection"), "close", "{what}");
                    assert_eq!(peer.ended().await, b"", "{what}");
                }
            }
        }
        for query in ["EIO=3&transport=websocket", "EIO=5&transport=websocket"] {
            let start = format!("GET /socket.io/?{query} HTTP/1.1");
            let answer = ask(&house, handshake(&start, &[])).await;
            assert_eq!(answer.status, 400, "{query}");
            assert_eq!(answer.body, "Unsupported protocol version");
        }
        // None of it has touched the session that some of it named.
        polling.post(r#"421["echo",1]"#).await;
        assert_eq!(polling.get().await, "431[1]");
        polling.post("1").await;
        house.is_unharmed().await;
    }

    async fn a_path_that_is_not_ours_is_not_there(road: Road) {
        let house = House::start(road).await;
        for path in ["/", "/socket.io?EIO=4&transport=polling", "/socket.iox/", "/SOCKET.IO/", "*"] {
            let answer = ask(&house, format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            assert!(matches!(answer.status, 404 | 400), "{path}: {answer:?}");
        }
        // Neither is it to an Upgrade request, which is answered at once.
        let foreign = handshake(&format!("GET /other.io/?{WEBSOCKET} HTTP/1.1"), &[]);
        assert_eq!(ask(&house, foreign).await.status, 404);
        // What lies below our path is ours, and parameters that mean nothing do nothing.
        let below = format!("/socket.io/a/b?t=abc&x&{POLLING}");
        let answer = ask(&house, format!("GET {below} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!((answer.status, &answer.body[..1]), (200, "0"));
        let sid = support::sid_of(&answer.body[1..]);
        assert_eq!(ask(&house, post(&format!("{POLLING}&sid={sid}"), "1")).await.body, "ok");
        house.is_unharmed().await;
    }

    async fn other_methods_of_a_session_get_500_and_change_nothing(road: Road) {
        let house = House::start(road).await;
        let mut polling = Polling::join(house.address).await;
        for method in ["PUT", "DELETE", "OPTIONS", "PATCH"] {
            let request = format!(
                "{method} /socket.io/?{} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
                polling.query()
            );
            let answer = ask(&house, request).await;
            assert_eq!((answer.status, &*answer.body), (500, ""), "{method}");
        }
        polling.post(r#"421["echo",1]"#).await;
        assert_eq!(polling.get().await, "431[1]");
        polling.post("1").await;
        house.is_unharmed().await;
    }

    async fn a_second_get_ends_the_session_and_both_are_answered(road: Road) {
        let mut house = House::start(road).await;
        let mut polling = Polling::join(house.address).await;
        polling.ask().await;
        // It may overtake the first: either is the second one then.
        let mut other = Peer::connect(house.address).await;
        other.send(format!("{}\r\n", get(&polling.query()))).await;
        let mut answers = [polling.gets.answer().await, other.answer().await];
        answers.sort_by_key(|answer| answer.status);
        assert_eq!((answers[0].status, &*answers[0].body), (200, "1"));
        assert_eq!(answers[1].status, 400);
        let reason = house.farewell().await.reason;
        assert_eq!((reason.as_str(), reason.detail()), ("transport error", "overlap from client"));
        assert_eq!(polling.get_answer().await.body, json(1, "Session ID unknown"));
        house.is_unharmed().await;
    }

    async fn a_second_post_ends_the_session_and_both_are_answered(road: Road) {
        let mut house = House::start(road).await;
        let mut polling = Polling::join(house.address).await;
        let request = post(&polling.query(), r#"42["say",1]"#);
        let (begun, rest) = request.split_at(request.len() - 5);
        polling.posts.send(begun).await;
        // Until the first has begun, every other one would be the first.
        let mut other = Peer::connect(house.address).await;
        loop {
            other.send(post(&polling.query(), "6")).await;
            let answer = other.answer().await;
            if answer.status == 400 {
                break;
            }
        }
        let reason = house.farewell().await.reason;
        assert_eq!(reason.as_str(), "transport error");
        assert_eq!(reason.detail(), "data request overlap from client");
        // The session has gone, its task too; the first POST gets an answer all the same.
        until("the end of the session", || house.io.connections() == 0).await;
        polling.posts.send(rest).await;
        let answer = polling.posts.answer().await;
        assert!(matches!(answer.status, 200 | 400), "{answer:?}");
        house.is_unharmed().await;
    }

    async fn a_body_of_a_kind_that_is_not_taken_is_refused_and_answered(road: Road) {
        let mut house = House::start(road).await;
        for (field, status) in [
            ("Content-Type: application/octet-stream", 400),
            ("Content-Encoding: gzip", 415),
        ] {
            let mut polling = Polling::join(house.address).await;
            let head = format!("POST /socket.io/?{} HTTP/1.1\r\nHost: a\r\n", polling.query());
            polling
                .posts
                .send(format!("{head}{field}\r\nContent-Length: 4\r\n\r\n42[]"))
                .await;
            let answer = polling.posts.answer().await;
            assert_eq!(answer.status, status, "{field}");
            assert_eq!(house.farewell().await.reason.as_str(), "transport error");
        }
        house.is_unharmed().await;
    }

    async fn sec_e8_e9_a_body_may_be_as_long_as_max_payload_and_no_longer(road: Road) {
        const MAX: usize = 20_000;
        let mut config = config();
        config.engine.max_payload = MAX;
        let house = House::with(road, config, |server| server).await;
        let mut polling = Polling::join(house.address).await;
        for len in [MAX - 1, MAX] {
            let body = format!(r#"421["echo","{}"]"#, "x".repeat(len - 14));
            assert_eq!(body.len(), len);
            polling.post(&body).await;
            assert_eq!(polling.get().await, format!(r#"431["{}"]"#, "x".repeat(len - 14)));
        }
        let head = format!("POST /socket.io/?{} HTTP/1.1\r\nHost: a\r\n", polling.query());
        // The header is enough.
        let mut peer = Peer::connect(house.address).await;
        peer.send(format!("{head}Content-Length: {}\r\n\r\n", MAX + 1)).await;
        assert_eq!(peer.answer().await.status, 413);
        // Without a length it is enough when it is enough.
        let mut peer = Peer::connect(house.address).await;
        let chunk = format!("2710\r\n{}\r\n", "x".repeat(10_000));
        peer.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}{chunk}1\r\nx\r\n")).await;
        assert_eq!(peer.answer().await.status, 413);
        // The session has not noticed.
        polling.post(r#"421["echo",1]"#).await;
        assert_eq!(polling.get().await, "431[1]");
        // For a session that is not there nothing is read at all.
        let mut peer = Peer::connect(house.address).await;
        peer.send(
            "POST /socket.io/?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA HTTP/1.1\r\n\
             Host: a\r\nContent-Length: 1000000000\r\n\r\n",
        )
        .await;
        assert_eq!(peer.answer().await.body, json(1, "Session ID unknown"));
        polling.post("1").await;
        house.is_unharmed().await;
    }

    async fn sec_e18_every_malformed_payload_is_answered_and_ends_the_session(road: Road) {
        let mut house = House::start(road).await;
        let many = "\u{1e}".repeat(100_000);
        for (what, body, reason) in [
            ("nothing", "", "parse error"),
            ("a separator", "\u{1e}", "parse error"),
            ("nothing but separators", &*many, "parse error"),
            ("a packet of no type", "9", "parse error"),
            ("a letter", "x", "parse error"),
            ("no base64", "b***", "parse error"),
            ("a separator behind", "6\u{1e}", "parse error"),
            ("a payload of revision 3", "2:40", "transport error"),
            ("a ping", "2", "transport error"),
            ("a close", "1", "transport close"),
        ] {
            let mut polling = Polling::join(house.address).await;
            let answer = polling.post_answer(body).await;
            assert_eq!((answer.status, &*answer.body), (200, "ok"), "{what}");
            assert_eq!(house.farewell().await.reason.as_str(), reason, "{what}");
            let answer = polling.get_answer().await;
            assert_eq!(answer.body, json(1, "Session ID unknown"), "{what}");
        }
        // Bytes that are no text.
        let polling = Polling::join(house.address).await;
        let head = format!("POST /socket.io/?{} HTTP/1.1\r\nHost: a\r\n", polling.query());
        let mut request = format!("{head}Content-Length: 3\r\n\r\n").into_bytes();
        request.extend_from_slice(b"4\xff\xff");
        assert_eq!(ask(&house, request).await.status, 200);
        assert_eq!(house.farewell().await.reason.as_str(), "parse error");
        house.is_unharmed().await;
    }

    async fn packets_before_a_malformed_one_are_handled_and_none_behind_it(road: Road) {
        let mut house = House::start(road).await;
        let mut polling = Polling::join(house.address).await;
        polling.ask().await;
        polling.post("42[\"say\",1]\u{1e}9\u{1e}42[\"say\",2]").await;
        let mut got = polling.gets.answer().await.body;
        while !got.ends_with('1') || got.ends_with("[\"said\",1]") {
            let answer = polling.get_answer().await;
            if answer.status != 200 {
                break;
            }
            got = format!("{got}\u{1e}{}", answer.body);
        }
        assert!(!got.contains(r#"["said",2]"#), "{got}");
        assert_eq!(house.farewell().await.reason.as_str(), "parse error");
        house.is_unharmed().await;
    }

    async fn more_packets_than_may_be_end_the_session(road: Road) {
        let mut config = config();
        config.engine.max_packets_per_payload = 10;
        let mut house = House::with(road, config, |server| server).await;
        let mut polling = Polling::join(house.address).await;
        polling.post(&["6"; 10].join("\u{1e}")).await;
        polling.post(&["6"; 11].join("\u{1e}")).await;
        assert_eq!(house.farewell().await.reason.as_str(), "parse error");
        house.is_unharmed().await;
    }

    async fn a_session_on_a_websocket_is_not_polled(road: Road) {
        let house = House::start(road).await;
        let mut ws = house.client().await;
        let query = format!("EIO=4&transport=polling&sid={}", ws.sid);
        let answer = ask(&house, format!("{}\r\n", get(&query))).await;
        assert_eq!(answer.body, json(3, "Bad request"));
        let answer = ask(&house, post(&query, r#"42["say",1]"#)).await;
        assert_eq!(answer.body, json(3, "Bad request"));
        // A second WebSocket for it is let in and closed at once, as Node does.
        let query = format!("EIO=4&transport=websocket&sid={}", ws.sid);
        let mut second = Ws::upgrade(house.address, &query).await;
        assert_eq!(second.next().await, Got::End(End::NoCode));
        ws.text(r#"421["echo",1]"#).await;
        ws.expect_text("431[1]").await;
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn an_upgrade_request_that_names_polling_is_hung_up(road: Road) {
        let house = House::start(road).await;
        let mut polling = Polling::join(house.address).await;
        for query in ["EIO=4&transport=polling".to_owned(), polling.query()] {
            let mut ws = Ws::upgrade(house.address, &query).await;
            assert_eq!(ws.next().await, Got::End(End::NoCode));
        }
        polling.post(r#"421["echo",1]"#).await;
        assert_eq!(polling.get().await, "431[1]");
        polling.post("1").await;
        house.is_unharmed().await;
    }

    async fn sec_e15_a_broken_upgrade_request_takes_nothing_from_the_session(road: Road) {
        let house = House::start(road).await;
        let mut polling = Polling::join(house.address).await;
        polling.post(r#"421["echo",1]"#).await;
        // A proxy has taken the Upgrade header away.
        let query = format!("EIO=4&transport=websocket&sid={}", polling.sid);
        let answer = ask(&house, format!("{}\r\n", get(&query))).await;
        assert_eq!(answer.body, json(3, "Bad request"));
        assert_eq!(polling.get().await, "431[1]");
        polling.post("1").await;
        house.is_unharmed().await;
    }

    async fn a_head_that_comes_too_slowly_is_not_waited_for(road: Road) {
        let mut config = config();
        config.header_timeout = Duration::from_secs(1);
        let house = House::with(road, config, |server| server).await;
        let whole = handshake(&format!("GET /socket.io/?{WEBSOCKET} HTTP/1.1"), &[]);
        let mut peers = Vec::new();
        for len in [0, 1, whole.len() / 2, whole.len() - 1] {
            let mut peer = Peer::connect(house.address).await;
            peer.send(&whole[..len]).await;
            peers.push(peer);
        }
        for peer in peers {
            let rest = String::from_utf8(peer.ended().await).unwrap();
            assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 408"), "{rest}");
        }
        house.is_unharmed().await;
    }

    async fn a_body_that_comes_too_slowly_ends_the_session(road: Road) {
        let mut config = config();
        config.body_timeout = Duration::from_millis(50);
        let mut house = House::with(road, config, |server| server).await;
        let mut polling = Polling::join(house.address).await;
        let request = post(&polling.query(), r#"42["say",1]"#);
        polling.posts.send(&request[..request.len() - 1]).await;
        let answer = polling.posts.answer().await;
        assert_eq!(answer.status, 408);
        assert_eq!(house.farewell().await.reason.as_str(), "transport error");
        house.is_unharmed().await;
    }

    async fn a_head_has_a_limit(road: Road) {
        let house = House::start(road).await;
        let target = format!("GET /socket.io/?{WEBSOCKET} HTTP/1.1");
        // A thousand fields, the ones that matter last.
        let mut request = format!("{target}\r\n");
        for n in 0..1000 {
            request += &format!("X-{n}: y\r\n");
        }
        request += &handshake(&target, &[])[target.len() + 2..];
        let mut peer = Peer::connect(house.address).await;
        peer.try_send(&request).await;
        if let Some(answer) = peer.try_answer().await {
            assert!(matches!(answer.status, 400 | 431), "{answer:?}");
        }
        // A megabyte of one field.
        let mut peer = Peer::connect(house.address).await;
        let long = "x".repeat(1 << 20);
        peer.try_send(handshake(&target, &[("X-Long", Some(&long))])).await;
        if let Some(answer) = peer.try_answer().await {
            assert!(matches!(answer.status, 400 | 431), "{answer:?}");
        }
        house.is_unharmed().await;
    }

    async fn sec_e22_two_readings_of_one_request_are_none(road: Road) {
        let house = House::start(road).await;
        let polling = Polling::join(house.address).await;
        let smuggled = format!("{}\r\n", get("EIO=4&transport=polling"));
        let start = format!("POST /socket.io/?{} HTTP/1.1\r\nHost: a\r\n", polling.query());
        for (what, head) in [
            ("two lengths", "Content-Length: 1\r\nContent-Length: 2\r\n"),
            ("two lengths in one", "Content-Length: 1, 2\r\n"),
            ("a length with a sign", "Content-Length: +1\r\n"),
            ("a length below zero", "Content-Length: -1\r\n"),
            ("a coding that is none", "Transfer-Encoding: xchunked\r\n"),
            ("chunked, but not last", "Transfer-Encoding: chunked, identity\r\n"),
            ("a folded line", "X-A: b\r\n c\r\nContent-Length: 1\r\n"),
            ("a blank before the colon", "Content-Length : 1\r\n"),
            ("a chunk without end", "Transfer-Encoding: chunked\r\n"),
        ] {
            let mut peer = Peer::connect(house.address).await;
            let chunk = "fffffffffffffffff\r\n";
            let body = if what.contains("chunk without") { chunk } else { "6" };
            peer.try_send(format!("{start}{head}\r\n{body}{smuggled}")).await;
            let answer = peer.try_answer().await;
            let status = answer.as_ref().map_or(400, |answer| answer.status);
            assert!(matches!(status, 400 | 408), "{what}: {answer:?}");
            assert_eq!(peer.ended().await, b"", "{what}: something was read behind it");
            // A session that was harmed is a session of that client's own.
            if what.contains("chunk without") {
                break;
            }
        }
        // The length loses against the chunks, RFC 9112 §6.3; what is behind them is a request.
        let polling = Polling::join(house.address).await;
        let start = format!("POST /socket.io/?{} HTTP/1.1\r\nHost: a\r\n", polling.query());
        let mut peer = Peer::connect(house.address).await;
        let both = "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n";
        peer.try_send(format!("{start}{both}\r\n1\r\n6\r\n0\r\n\r\n{smuggled}")).await;
        let answer = peer.answer().await;
        assert!(matches!(answer.status, 200 | 400), "{answer:?}");
        let _ = ask(&house, post(&polling.query(), "1")).await;
        drop(peer);
        house.serves_others().await;
    }

    async fn a_request_in_many_pieces_is_one_request(road: Road) {
        let house = House::start(road).await;
        let mut peer = Peer::connect(house.address).await;
        for byte in format!("{}\r\n", get("EIO=4&transport=polling")).bytes() {
            peer.send([byte]).await;
            tokio::task::yield_now().await;
        }
        let answer = peer.answer().await;
        let sid = support::sid_of(&answer.body[1..]);
        let query = format!("EIO=4&transport=polling&sid={sid}");
        let request = format!("{}{}\r\n", post(&query, "40"), get(&query));
        for byte in request.bytes() {
            peer.send([byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(peer.answer().await.body, "ok");
        assert!(peer.answer().await.body.starts_with("40{"));
        peer.send(post(&query, "1")).await;
        assert_eq!(peer.answer().await.body, "ok");
        house.is_unharmed().await;
    }
}
