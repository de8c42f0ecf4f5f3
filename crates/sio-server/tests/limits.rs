//! The limits of HTTP requests, each at the last that may be and the first that may not, with its answer
//! and its count; and what those see who watch.

mod support;

use std::time::Duration;

use sio_server::{DisconnectReason, EngineEvent, Limit, Reason};
use support::{
    Answer, End, Got, House, Peer, Polling, Road, Ws, config, get, on_every_road, post, request,
    until, within,
};
use tokio::sync::mpsc::unbounded_channel;

const POLLING: &str = "EIO=4&transport=polling";
const WEBSOCKET: &str = "EIO=4&transport=websocket";

async fn ask(house: &House, request: impl AsRef<[u8]>) -> Answer {
    let mut peer = Peer::connect(house.address).await;
    peer.send(request).await;
    peer.answer().await
}

/// The two requests that open a session, with a longer target and more fields.
fn openings(target: &str, fields: &str) -> [(Vec<u8>, u16); 2] {
    let polling = format!("{}{fields}\r\n", get(&format!("{POLLING}{target}")));
    let mut websocket = request(&format!("{WEBSOCKET}{target}"));
    websocket.truncate(websocket.len() - 2);
    websocket.extend_from_slice(format!("{fields}\r\n").as_bytes());
    [(polling.into_bytes(), 200), (websocket, 101)]
}

/// The header fields of a request: how many, and how many bytes of names and values.
fn measure(request: &[u8]) -> (usize, usize) {
    let head = str::from_utf8(request).unwrap();
    let fields = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "));
    let fields: Vec<_> = fields.collect();
    let bytes = fields
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    (fields.len(), bytes)
}

on_every_road! {
    async fn a_target_has_8_kibibytes(road: Road) {
        let house = House::start(road).await;
        for way in [0, 1] {
            let base = "/socket.io/?".len() + [POLLING, WEBSOCKET][way].len();
            for (len, passes) in [(8191, true), (8192, true), (8193, false), (12_000, false)] {
                let target = format!("&x={}", "y".repeat(len - base - 3));
                let (request, good) = openings(&target, "")[way].clone();
                let before = house.io.counters().limit(Limit::Target);
                let answer = ask(&house, request).await;
                assert_eq!(answer.status, if passes { good } else { 414 }, "{len}");
                let hits = house.io.counters().limit(Limit::Target) - before;
                assert_eq!(hits, u64::from(!passes), "{len}");
            }
        }
    }

    async fn a_head_has_64_fields_of_16_kibibytes(road: Road) {
        let house = House::start(road).await;
        for way in [0, 1] {
            let (plain, good) = openings("", "")[way].clone();
            let (count, bytes) = measure(&plain);
            for (total, passes) in [(63, true), (64, true), (65, false), (90, false)] {
                let fields: String = (count..total).map(|n| format!("X-{n}: y\r\n")).collect();
                let (request, _) = openings("", &fields)[way].clone();
                assert_eq!(measure(&request).0, total);
                let before = house.io.counters().limit(Limit::Head);
                let answer = ask(&house, request).await;
                assert_eq!(answer.status, if passes { good } else { 431 }, "{total} fields");
                let hits = house.io.counters().limit(Limit::Head) - before;
                assert_eq!(hits, u64::from(!passes), "{total} fields");
            }
            for (total, passes) in [(16_383, true), (16_384, true), (16_385, false)] {
                let fields = format!("X: {}\r\n", "y".repeat(total - bytes - 1));
                let (request, _) = openings("", &fields)[way].clone();
                assert_eq!(measure(&request).1, total);
                let answer = ask(&house, request).await;
                assert_eq!(answer.status, if passes { good } else { 431 }, "{total} bytes");
            }
        }
    }

    async fn a_head_and_a_body_have_their_time(road: Road) {
        let mut config = config();
        config.header_timeout = Duration::from_secs(1);
        config.body_timeout = Duration::from_millis(50);
        let mut house = House::with(road, config, |server| server).await;
        if road == Road::Own {
            // Who has said nothing is told nothing: a browser may have opened it for later.
            let too_slow = "HTTP/1.1 408 Request Timeout\r\n";
            for (asks_before, begun, expected) in [
                (false, "", ""),
                (false, "GET /socket.io/?EI", too_slow),
                (true, "", ""),
                (true, "G", too_slow),
            ] {
                let before = house.io.counters().limit(Limit::HeadTime);
                let mut peer = Peer::connect(house.address).await;
                if asks_before {
                    peer.send(format!("{}\r\n", get("EIO=4"))).await;
                    assert_eq!(peer.answer().await.status, 400);
                }
                peer.send(begun).await;
                let last = String::from_utf8(peer.ended().await).unwrap();
                assert!(last.starts_with(expected) && last.is_empty() == expected.is_empty(), "{last}");
                let counted = || house.io.counters().limit(Limit::HeadTime) == before + 1;
                until("the count", counted).await;
            }
        }
        let mut polling = Polling::join(house.address).await;
        let request = post(&polling.query(), r#"42["say",1]"#);
        polling.posts.send(&request[..request.len() - 1]).await;
        assert_eq!(polling.posts.answer().await.status, 408);
        assert_eq!(house.farewell().await.reason.as_str(), "transport error");
        assert_eq!(house.io.counters().limit(Limit::BodyTime), 1);
        assert_eq!(house.io.counters().closed(Reason::PostLost), 1);
    }

    async fn a_client_that_goes_while_its_get_waits_is_noticed_at_once(road: Road) {
        let mut house = House::start(road).await;
        let wrong = format!("{}\r\n", get("EIO=4&transport=none"));
        for (way, in_front) in ["", &wrong, "", &wrong].into_iter().enumerate() {
            let mut polling = Polling::join(house.address).await;
            let waits = format!("{}\r\n", get(&polling.query()));
            // Alone, or read together with one that is answered at once.
            polling.gets.send(format!("{in_front}{waits}")).await;
            if !in_front.is_empty() {
                assert_eq!(polling.gets.answer().await.status, 400);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            let Polling { gets, posts, .. } = polling;
            match way {
                ..2 => drop(gets),
                _ => gets.reset(),
            }
            assert_eq!(house.farewell().await.reason.as_str(), "transport error");
            assert_eq!(house.io.counters().closed(Reason::PollLost), way as u64 + 1);
            drop(posts);
        }
    }

    async fn bodies_and_messages_are_counted_when_they_are_too_long_or_compressed(road: Road) {
        let mut config = config();
        config.engine.max_payload = 1000;
        let mut house = House::with(road, config, |server| server).await;
        let mut polling = Polling::join(house.address).await;
        for (len, status) in [(999, 200), (1000, 200), (1001, 413)] {
            let body = format!(r#"42["none","{}"]"#, "x".repeat(len - 13));
            assert_eq!(body.len(), len);
            assert_eq!(polling.post_answer(&body).await.status, status, "{len}");
        }
        assert_eq!(house.io.counters().limit(Limit::BodyBytes), 1);
        let mut ws = house.client().await;
        for len in [999, 1000] {
            ws.text(&format!(r#"42["none","{}"]"#, "x".repeat(len - 13))).await;
        }
        ws.text(r#"421["echo",1]"#).await;
        ws.expect_text("431[1]").await;
        ws.text(&"4".repeat(1001)).await;
        assert_eq!(ws.next().await, Got::End(End::Code(1009)));
        assert_eq!(house.farewell().await.reason, DisconnectReason::Connection(Reason::TransportError));
        assert_eq!(house.io.counters().limit(Limit::MessageBytes), 1);
        let head = format!("POST /socket.io/?{} HTTP/1.1\r\nHost: a\r\n", polling.query());
        let request = format!("{head}Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\n6");
        assert_eq!(ask(&house, request).await.status, 415);
        assert_eq!(house.io.counters().limit(Limit::BodyEncoding), 1);
        house.farewell().await;
    }

    async fn connections_and_refusals_are_counted(road: Road) {
        let mut config = config();
        config.max_connections = Some(1);
        let mut house = House::with(road, config, |server| server).await;
        let ws = house.client().await;
        for (request, _) in openings("", "") {
            assert_eq!(ask(&house, request).await.status, 503);
        }
        for (request, _) in openings("", "Origin: https://evil.example\r\n") {
            assert_eq!(ask(&house, request).await.status, 403);
        }
        assert_eq!(ask(&house, format!("{}\r\n", get("EIO=4"))).await.status, 400);
        let counters = house.io.counters();
        assert_eq!(counters.limit(Limit::Connections), 2);
        assert_eq!(counters.limit(Limit::Origin), 2);
        assert_eq!((counters.opened, counters.refused, counters.all_closed()), (1, 5, 0));
        ws.leave().await;
        house.farewell().await;
        let counters = house.io.counters();
        assert_eq!((counters.opened, counters.all_closed()), (1, 1));
        assert_eq!(counters.closed(Reason::TransportClose), 1);
    }

    async fn who_watches_sees_what_leaves_and_when_nothing_waits(road: Road) {
        let (tell, mut seen) = unbounded_channel();
        let house = House::with(road, config(), |server| {
            server.observe(move |event| {
                let told = match event {
                    EngineEvent::Sent { binary, len, .. } => format!("{len} {binary}"),
                    EngineEvent::Drain { .. } => "drain".to_owned(),
                    _ => return,
                };
                let _ = tell.send(told);
            })
        })
        .await;
        let mut expect = async |expected: &[&str]| {
            for expected in expected {
                assert_eq!(within("an event", seen.recv()).await.unwrap(), *expected);
            }
        };
        // The answer to CONNECT: `0{"sid":"…"}`.
        let connected = ["31 false", "drain"];
        let said = r#"51-["said",{"_placeholder":true,"num":0}]"#;
        let with_bytes = [&*format!("{} false", said.len()), "3 true", "drain"];
        let mut polling = Polling::join(house.address).await;
        expect(&connected).await;
        polling.post(r#"42["say",1]"#).await;
        polling.get().await;
        expect(&["11 false", "drain"]).await;
        polling.post("451-[\"say\",{\"_placeholder\":true,\"num\":0}]\u{1e}bAQID").await;
        polling.get().await;
        expect(&with_bytes).await;
        let mut ws = house.client().await;
        expect(&connected).await;
        ws.text(r#"421["echo",1]"#).await;
        ws.expect_text("431[1]").await;
        expect(&["5 false", "drain"]).await;
        ws.text(r#"451-["say",{"_placeholder":true,"num":0}]"#).await;
        ws.binary(b"abc").await;
        expect(&with_bytes).await;
        house.io.emit("all", &());
        expect(&["8 false", "drain"]).await;
    }

    async fn who_watches_sees_connections_from_the_request_to_the_reason(road: Road) {
        let (tell, mut seen) = unbounded_channel();
        let mut config = config();
        config.engine.ping_interval = Duration::from_millis(300);
        let house = House::with(road, config, |server| {
            server.observe(move |event| {
                let told = match event {
                    EngineEvent::Close { reason, .. } => format!("close: {}", reason.detail()),
                    EngineEvent::ConnectionError(error) => {
                        let (code, path) = (error.code, error.request.uri.path());
                        format!("{} {code:?} {} {} {path}", error.status, error.message, error.context)
                    }
                    EngineEvent::Heartbeat { .. } => "heartbeat".to_owned(),
                    EngineEvent::Message { binary, len, .. } => format!("message {binary} {len}"),
                    EngineEvent::Open { socket } => format!("open {}", socket.transport().as_str()),
                    EngineEvent::Upgrade { socket } => {
                        assert_eq!(socket.transport().as_str(), "websocket");
                        "upgrade".to_owned()
                    }
                    _ => return,
                };
                let _ = tell.send(told);
            })
        })
        .await;
        let mut expect = async |expected: &str| loop {
            let told = within("an event", seen.recv()).await.unwrap();
            if told != "heartbeat" || expected == "heartbeat" {
                break assert_eq!(told, expected);
            }
        };
        let _ = ask(&house, format!("{}\r\n", get("EIO=4&transport=x"))).await;
        expect("400 Some(0) Transport unknown Transport unknown /socket.io/").await;
        let _ = ask(&house, format!("{}\r\n", get("EIO=4&transport=websocket"))).await;
        expect("400 Some(3) Bad request TRANSPORT_HANDSHAKE_ERROR /socket.io/").await;
        let mut polling = Polling::open(house.address).await;
        expect("open polling").await;
        let sid = polling.sid.clone();
        for (query, expected) in [
            (format!("EIO=3&transport=polling&sid={sid}"), "Some(3) Bad request PROTOCOL_MISMATCH"),
            (format!("{WEBSOCKET}&sid={sid}"), "Some(3) Bad request TRANSPORT_MISMATCH"),
            (format!("{POLLING}&sid=x"), "Some(1) Session ID unknown Session ID unknown"),
            (
                "EIO=5&transport=polling".into(),
                "Some(5) Unsupported protocol version Unsupported protocol version",
            ),
        ] {
            let _ = ask(&house, format!("{}\r\n", get(&query))).await;
            expect(&format!("400 {expected} /socket.io/")).await;
        }
        polling.post("40").await;
        expect("message false 1").await;
        let query = format!("{WEBSOCKET}&sid={}", polling.sid);
        let mut ws = Ws::upgrade(house.address, &query).await;
        ws.text("2probe").await;
        ws.expect_text("3probe").await;
        ws.text("5").await;
        expect("upgrade").await;
        ws.text(r#"42["say",1]"#).await;
        expect("message false 10").await;
        ws.text(r#"451-["say",{"_placeholder":true,"num":0}]"#).await;
        ws.binary(b"abc").await;
        expect("message false 40").await;
        expect("message true 3").await;
        // The handlers have heard all of it, too.
        loop {
            match ws.next().await {
                Got::Text(ping) if ping == "2" => ws.text("3").await,
                Got::Binary(data) => break assert_eq!(data, b"abc"),
                _ => {}
            }
        }
        loop {
            match ws.next().await {
                Got::Text(ping) if ping == "2" => break ws.text("3").await,
                _ => {}
            }
        }
        expect("heartbeat").await;
        ws.leave().await;
        expect("close: closed by the client").await;
    }
}

#[tokio::test]
async fn a_long_answer_that_is_taken_slowly_is_no_head_that_comes_late() {
    const LONG: usize = 32 << 20;
    let mut config = config();
    config.header_timeout = Duration::from_secs(1);
    let house = House::with(Road::Own, config, |server| {
        server.fallback(async |_| http::Response::new(bytes::Bytes::from(vec![b'x'; LONG])))
    })
    .await;
    let mut peer = Peer::connect(house.address).await;
    peer.send("GET /page HTTP/1.1\r\nHost: a\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let answer = peer.answer().await;
    assert_eq!((answer.status, answer.body.len()), (200, LONG));
    // Then it is.
    assert_eq!(peer.ended().await, b"");
    assert_eq!(house.io.counters().limit(Limit::HeadTime), 1);
}
