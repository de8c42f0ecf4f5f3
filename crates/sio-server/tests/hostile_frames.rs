//! Every malformed WebSocket frame is answered with its close code, RFC 6455 §7.4.1, and ends its
//! own connection only.

mod support;

use support::{End, Got, House, Road, Ws, config, frame, head, on_every_road, request};

const PROTOCOL: End = End::Code(1002);
const INVALID: End = End::Code(1007);
const POLICY: End = End::Code(1008);
const TOO_BIG: End = End::Code(1009);

/// Bytes from a client in `/`, and how the server ends it.
fn faults() -> Vec<(&'static str, Vec<u8>, End)> {
    let unmasked = b"\x81\x022x".to_vec();
    let two = |first: Vec<u8>, second: Vec<u8>| [first, second].concat();
    let raw =
        |first: u8, short: u8, len: &[u8]| [&[first, 0x80 | short], len, b"\0\0\0\0"].concat();
    vec![
        ("not masked", unmasked, PROTOCOL),
        ("RSV1 without an extension", frame(0xc1, b"4"), PROTOCOL),
        ("RSV2", frame(0xa1, b"4"), PROTOCOL),
        ("RSV3", frame(0x91, b"4"), PROTOCOL),
        ("RSV1 on a ping", frame(0xc9, b""), PROTOCOL),
        ("opcode 3", frame(0x83, b""), PROTOCOL),
        ("opcode 7", frame(0x87, b""), PROTOCOL),
        ("opcode 11", frame(0x8b, b""), PROTOCOL),
        ("opcode 15", frame(0x8f, b""), PROTOCOL),
        ("a continuation of nothing", frame(0x80, b"4"), PROTOCOL),
        (
            "a message within a message",
            two(frame(0x01, b"4"), frame(0x81, b"2")),
            PROTOCOL,
        ),
        ("a ping in fragments", frame(0x09, b""), PROTOCOL),
        ("a close in fragments", frame(0x08, b""), PROTOCOL),
        ("a ping of 126 bytes", frame(0x89, &[0; 126]), PROTOCOL),
        ("a close of 126 bytes", frame(0x88, &[0; 126]), PROTOCOL),
        ("125 in 16 bits", raw(0x81, 126, &[0, 125]), PROTOCOL),
        (
            "65535 in 64 bits",
            raw(0x81, 127, &[0, 0, 0, 0, 0, 0, 0xff, 0xff]),
            PROTOCOL,
        ),
        (
            "a length of 2^63",
            raw(0x81, 127, &[0x80, 0, 0, 0, 0, 0, 0, 0]),
            PROTOCOL,
        ),
        ("a length of 2^64 - 1", raw(0x82, 127, &[0xff; 8]), PROTOCOL),
        ("a length of 2^63 - 1", head(0x82, u64::MAX >> 1), TOO_BIG),
        ("a close of one byte", frame(0x88, b"\x03"), PROTOCOL),
        ("close code 999", frame(0x88, b"\x03\xe7"), PROTOCOL),
        ("close code 1004", frame(0x88, b"\x03\xec"), PROTOCOL),
        ("close code 1005", frame(0x88, b"\x03\xed"), PROTOCOL),
        ("close code 1006", frame(0x88, b"\x03\xee"), PROTOCOL),
        ("close code 1015", frame(0x88, b"\x03\xf7"), PROTOCOL),
        ("close code 2999", frame(0x88, b"\x0b\xb7"), PROTOCOL),
        ("close code 5000", frame(0x88, b"\x13\x88"), PROTOCOL),
        (
            "a close reason that is no text",
            frame(0x88, b"\x03\xe8\xff"),
            INVALID,
        ),
        (
            "text that is no UTF-8",
            frame(0x81, b"42[\"\xff\"]"),
            INVALID,
        ),
        ("a surrogate", frame(0x81, b"4\xed\xa0\x80"), INVALID),
        ("an overlong form", frame(0x81, b"4\xc0\xaf"), INVALID),
        (
            "text that ends within a character",
            frame(0x81, b"4\xc3"),
            INVALID,
        ),
        (
            "a fragment of text that cannot become UTF-8",
            frame(0x01, b"4\xff"),
            INVALID,
        ),
    ]
}

on_every_road! {
    async fn every_malformed_frame_gets_its_close_code(road: Road) {
        let mut house = House::start(road).await;
        for (what, bytes, end) in faults() {
            let mut ws = house.client().await;
            ws.raw(&bytes).await;
            assert_eq!(ws.end().await, end, "{what}");
            assert_eq!(ws.peer.ended().await, b"", "{what}");
            let farewell = house.farewell().await;
            assert_eq!(farewell.reason.as_str(), "transport error", "{what}");
        }
        house.is_unharmed().await;
    }

    async fn a_malformed_frame_is_malformed_byte_by_byte(road: Road) {
        let mut house = House::start(road).await;
        for (what, bytes, end) in faults() {
            let mut ws = house.client().await;
            for byte in &bytes {
                // The server may hang up before the last byte.
                if !ws.peer.try_send([*byte]).await {
                    break;
                }
                tokio::task::yield_now().await;
            }
            // Bytes behind the fault may meet a socket that is closed, and then an RST takes the
            // close frame with it.
            let got = ws.end().await;
            assert!(got == end || got == End::Abnormal, "{what}: {got:?}");
            house.farewell().await;
        }
        house.is_unharmed().await;
    }

    async fn what_follows_a_malformed_frame_is_not_handled(road: Road) {
        let mut house = House::start(road).await;
        let mut ws = house.client().await;
        let bytes = [frame(0x83, b""), frame(0x81, br#"42["say",1]"#)].concat();
        ws.raw(&bytes).await;
        assert_eq!(ws.next().await, Got::End(PROTOCOL));
        house.farewell().await;
        house.is_unharmed().await;
    }

    async fn what_came_before_a_malformed_frame_is_handled_and_answered(road: Road) {
        let house = House::start(road).await;
        let mut ws = house.client().await;
        let bytes = [frame(0x81, br#"421["echo",1]"#), frame(0x83, b"")].concat();
        ws.raw(&bytes).await;
        ws.expect_text("431[1]").await;
        assert_eq!(ws.next().await, Got::End(PROTOCOL));
        house.is_unharmed().await;
    }

    async fn a_message_may_be_as_long_as_max_payload_and_no_longer(road: Road) {
        const MAX: usize = 4096;
        let mut config = config();
        config.engine.max_payload = MAX;
        let house = House::with(road, config, |server| server).await;
        for len in [MAX - 1, MAX] {
            let mut ws = house.client().await;
            let payload = format!(r#"421["echo","{}"]"#, "x".repeat(len - 14));
            assert_eq!(payload.len(), len);
            let expected = format!(r#"431["{}"]"#, "x".repeat(len - 14));
            ws.text(&payload).await;
            ws.expect_text(&expected).await;
            // The same in fragments.
            let (first, second) = payload.as_bytes().split_at(len / 3);
            ws.raw(&[frame(0x01, first), frame(0x80, second)].concat()).await;
            ws.expect_text(&expected).await;
            // And as an attachment.
            ws.text(r#"451-["say",{"_placeholder":true,"num":0}]"#).await;
            ws.binary(&vec![7; len]).await;
            ws.expect_text(r#"451-["said",{"_placeholder":true,"num":0}]"#).await;
            assert_eq!(ws.next().await, Got::Binary(vec![7; len]));
            ws.leave().await;
        }
        let over = MAX as u64 + 1;
        for bytes in [
            // The header is enough.
            head(0x81, over),
            head(0x82, over),
            [frame(0x01, &[b'4'; MAX]), head(0x80, 1)].concat(),
            [frame(0x02, &[4; MAX - 1]), head(0x00, 2)].concat(),
        ] {
            let mut ws = house.client().await;
            ws.raw(&bytes).await;
            assert_eq!(ws.end().await, TOO_BIG);
        }
        house.is_unharmed().await;
    }

    async fn more_fragments_than_may_be_are_refused(road: Road) {
        let house = House::start(road).await;
        let mut ws = house.client().await;
        let mut bytes = frame(0x01, b"4");
        bytes.extend(frame(0x00, b"").repeat(16_384));
        ws.peer.try_send(&bytes).await;
        assert_eq!(ws.end().await, POLICY);
        house.is_unharmed().await;
    }

    async fn a_flood_of_pings_or_pongs_is_refused(road: Road) {
        let house = House::start(road).await;
        for flood in [frame(0x89, b"?"), frame(0x8a, b"!")] {
            let mut ws = house.client().await;
            ws.peer.try_send(flood.repeat(5000)).await;
            let end = ws.end().await;
            assert!(matches!(end, POLICY | End::Abnormal), "{end:?}");
        }
        house.is_unharmed().await;
    }

    async fn every_ping_is_answered_in_order_also_between_fragments(road: Road) {
        let house = House::start(road).await;
        let mut ws = house.client().await;
        let mut bytes = frame(0x01, br#"421["echo","#);
        for n in 0..10 {
            bytes.extend(frame(0x89, &[n]));
        }
        bytes.extend(frame(0x80, b"1]"));
        ws.raw(&bytes).await;
        let mut pongs = Vec::new();
        let mut answered = false;
        while pongs.len() < 10 || !answered {
            match ws.next().await {
                Got::Pong(data) => pongs.push(data[0]),
                Got::Text(text) => {
                    assert_eq!(text, "431[1]");
                    answered = true;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(pongs, (0..10).collect::<Vec<_>>());
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn a_close_frame_is_answered_and_nothing_behind_it_is_read(road: Road) {
        let mut house = House::start(road).await;
        for (close, end) in [
            (&b""[..], End::NoCode),
            (b"\x03\xe8", End::Code(1000)),
            (b"\x03\xe9bye", End::Code(1001)),
            (b"\x0f\xa0", End::Code(4000)),
        ] {
            let mut ws = house.client().await;
            let bytes = [frame(0x88, close), frame(0x81, br#"42["say",1]"#)].concat();
            ws.raw(&bytes).await;
            assert_eq!(ws.next().await, Got::End(end));
            let farewell = house.farewell().await;
            assert_eq!(farewell.reason.as_str(), "transport close");
        }
        house.is_unharmed().await;
    }

    async fn every_malformed_engine_packet_ends_its_session(road: Road) {
        let mut house = House::start(road).await;
        for (packet, reason) in [
            ("", "parse error"),
            ("7", "parse error"),
            ("9x", "parse error"),
            ("x", "parse error"),
            ("b!", "parse error"),
            ("bA", "parse error"),
            ("\u{0}", "parse error"),
            ("2", "transport error"),
            ("2probe", "transport error"),
        ] {
            let mut ws = house.client().await;
            // The event behind it is nobody's.
            let bytes = [
                frame(0x81, packet.as_bytes()),
                frame(0x81, br#"42["say",1]"#),
            ];
            ws.raw(&bytes.concat()).await;
            assert_eq!(ws.next().await, Got::End(End::NoCode), "{packet:?}");
            assert_eq!(house.farewell().await.reason.as_str(), reason, "{packet:?}");
        }
        house.is_unharmed().await;
    }

    async fn engine_packets_without_a_meaning_are_passed_over(road: Road) {
        let house = House::start(road).await;
        let mut ws = house.client().await;
        for packet in ["0{}", "1", "5", "6", "3"] {
            ws.text(packet).await;
        }
        ws.text(r#"421["echo",1]"#).await;
        ws.expect_text("431[1]").await;
        // Binary as text, for the sake of clients that cannot do better.
        ws.text(r#"451-["say",{"_placeholder":true,"num":0}]"#).await;
        ws.text("bAQID").await;
        ws.expect_text(r#"451-["said",{"_placeholder":true,"num":0}]"#).await;
        assert_eq!(ws.next().await, Got::Binary(vec![1, 2, 3]));
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn a_flood_of_unasked_pongs_ends_the_session(road: Road) {
        let mut house = House::start(road).await;
        let mut ws = house.client().await;
        ws.peer.try_send(frame(0x81, b"3").repeat(100)).await;
        assert_eq!(ws.end().await, End::NoCode);
        let reason = house.farewell().await.reason;
        assert_eq!(reason.detail(), "too many unasked pongs");
        house.is_unharmed().await;
    }

    async fn bytes_glued_to_the_handshake_are_the_first_frames(road: Road) {
        let house = House::start(road).await;
        let query = "EIO=4&transport=websocket";
        let glued = [frame(0x81, b"40"), frame(0x81, br#"421["echo",1]"#)].concat();
        let mut ws = Ws::ask(house.address, query, &glued).await;
        ws.accepted(query).await;
        ws.opened().await;
        assert!(matches!(ws.next().await, Got::Text(text) if text.starts_with("40{")));
        ws.expect_text("431[1]").await;
        ws.leave().await;
        // A fault, before anybody could have looked at the answer.
        for (what, fault, end) in faults() {
            let mut ws = Ws::ask(house.address, query, &fault).await;
            ws.accepted(query).await;
            ws.opened().await;
            assert_eq!(ws.end().await, end, "{what}");
        }
        house.is_unharmed().await;
    }

    async fn the_handshake_and_the_first_frames_may_be_split_anywhere(road: Road) {
        let house = House::start(road).await;
        let query = "EIO=4&transport=websocket";
        let mut bytes = request(query);
        bytes.extend(frame(0x81, b"40"));
        bytes.extend(frame(0x81, br#"421["echo",1]"#));
        for cut in 1..bytes.len() {
            let mut peer = support::Peer::connect(house.address).await;
            peer.send(&bytes[..cut]).await;
            // Let the server have its look at the first part.
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
            peer.send(&bytes[cut..]).await;
            let mut ws = Ws::over(peer);
            ws.accepted(query).await;
            ws.opened().await;
            assert!(matches!(ws.next().await, Got::Text(text) if text.starts_with("40{")));
            ws.expect_text("431[1]").await;
        }
        house.is_unharmed().await;
    }

    async fn a_long_message_glued_to_a_long_head_stays_in_order(road: Road) {
        let house = House::start(road).await;
        // More fields than our own listener reads itself: hyper gets the connection and the bytes,
        // of which it takes some for itself before it hands the connection back.
        let query = "EIO=4&transport=websocket";
        let mut bytes = request(query);
        bytes.truncate(bytes.len() - 2);
        for n in 0..50 {
            bytes.extend(format!("X-{n}: y\r\n").bytes());
        }
        bytes.extend(b"\r\n");
        let text: String = (0..5000).map(|n| format!("{n:05} ")).collect();
        bytes.extend(frame(0x81, b"40"));
        bytes.extend(frame(0x81, format!(r#"421["echo","{text}"]"#).as_bytes()));
        let mut peer = support::Peer::connect(house.address).await;
        peer.send(&bytes).await;
        let mut ws = Ws::over(peer);
        ws.accepted(query).await;
        ws.opened().await;
        assert!(matches!(ws.next().await, Got::Text(text) if text.starts_with("40{")));
        ws.expect_text(&format!(r#"431["{text}"]"#)).await;
        ws.leave().await;
        house.is_unharmed().await;
    }
}
