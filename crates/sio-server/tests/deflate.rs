//! permessage-deflate, RFC 7692, on the whole server: what is agreed to, that every message arrives as
//! it was said whatever the terms, and that a small message cannot become a large one.

mod support;

use std::collections::VecDeque;

use sio_server::{Config, PerMessageDeflate, Value};
use support::{
    End, Got, House, Peer, Polling, Road, Ws, config, frame, get, on_every_road, request,
};
use ws_deflate::{Budget, Deflate, DeflateConfig, Encoding, Inflate, InflateConfig, Pool};
use ws_frame::{Connection, Kind, Limits, Message, Role};
use ws_handshake::{DeflateOffer, DeflateParams, Request};

const QUERY: &str = "EIO=4&transport=websocket";

/// A client that compresses what it says, and reads what was compressed.
struct Squeezed {
    peer: Peer,
    frames: Connection,
    terms: DeflateParams,
    deflate: Deflate,
    inflate: Inflate,
    pool: Pool,
    got: VecDeque<(Got, bool)>,
    /// What the last compressed message took on the wire.
    last: usize,
}

impl Squeezed {
    async fn open(house: &House, offer: DeflateOffer) -> Self {
        let mut client = Self::upgrade(house, QUERY, offer).await;
        assert!(client.text().await.starts_with('0'));
        client
    }

    /// One that has joined `/`.
    async fn join(house: &House) -> Self {
        let mut client = Self::open(house, DeflateOffer::default()).await;
        client.say("40").await;
        assert!(client.text().await.starts_with("40{"));
        client
    }

    async fn upgrade(house: &House, query: &str, offer: DeflateOffer) -> Self {
        let (peer, terms) = shake_hands(house, query, offer).await;
        let terms = terms.expect("permessage-deflate is agreed to");
        let pool = Pool::new(Budget::new(16 << 20));
        let inflate = InflateConfig {
            context_takeover: !terms.server_no_context_takeover,
            window_bits: terms.server_max_window_bits,
        };
        let deflate = DeflateConfig {
            context_takeover: !terms.client_no_context_takeover,
            window_bits: terms.client_max_window_bits,
            threshold: 0,
            ..DeflateConfig::default()
        };
        let limits = Limits {
            max_message: 16 << 20,
            ..Limits::default()
        };
        Self {
            peer,
            frames: Connection::new(Role::Client, limits).with_deflate(),
            terms,
            deflate: Deflate::new(deflate),
            inflate: Inflate::new(inflate, &pool).expect("there is room"),
            pool,
            got: VecDeque::new(),
            last: 0,
        }
    }

    /// The payload as it goes over the wire, and the bits in front of it.
    fn squeeze(&mut self, payload: &[u8]) -> (u8, Vec<u8>) {
        let mut out = Vec::new();
        match self.deflate.deflate(&mut self.pool, payload, &mut out) {
            Encoding::Deflated => (0x40, out),
            Encoding::Plain => (0, payload.to_vec()),
        }
    }

    async fn say(&mut self, text: &str) {
        let (rsv, payload) = self.squeeze(text.as_bytes());
        self.peer.send(frame(0x81 | rsv, &payload)).await;
    }

    async fn say_binary(&mut self, data: &[u8]) {
        let (rsv, payload) = self.squeeze(data);
        self.peer.send(frame(0x82 | rsv, &payload)).await;
    }

    /// What came next, and whether it came compressed.
    async fn next(&mut self) -> (Got, bool) {
        loop {
            if let Some(got) = self.got.pop_front() {
                return got;
            }
            let mut unread = std::mem::take(&mut self.peer.unread);
            let mut input = unread.as_mut_slice();
            while let Some(message) = self.frames.receive(&mut input).expect("by the rules") {
                let got = match message {
                    Message::Text(text) => (Got::Text(text.to_owned()), false),
                    Message::Binary(data) => (Got::Binary(data.to_vec()), false),
                    Message::Compressed { kind, payload } => {
                        self.last = payload.len();
                        let mut out = Vec::new();
                        self.inflate
                            .inflate(&mut self.pool, payload, 16 << 20, &mut out)
                            .expect("the server compresses by the rules");
                        let got = match kind {
                            Kind::Text => Got::Text(String::from_utf8(out).expect("text")),
                            Kind::Binary => Got::Binary(out),
                        };
                        (got, true)
                    }
                    Message::Close(close) => {
                        let end = close.map_or(End::NoCode, |close| End::Code(close.code().get()));
                        (Got::End(end), false)
                    }
                    _ => continue,
                };
                self.got.push_back(got);
            }
            if self.got.is_empty() && !self.peer.read().await {
                return (Got::End(End::Abnormal), false);
            }
        }
    }

    async fn text(&mut self) -> String {
        match self.next().await {
            (Got::Text(text), _) => text,
            other => panic!("{other:?} is no text"),
        }
    }

    async fn expect(&mut self, text: &str, compressed: bool) {
        assert_eq!(self.next().await, (Got::Text(text.to_owned()), compressed));
    }

    async fn end(&mut self) -> End {
        loop {
            if let (Got::End(end), _) = self.next().await {
                return end;
            }
        }
    }
}

/// The opening handshake with an offer, and what came of it.
async fn shake_hands(
    house: &House,
    query: &str,
    offer: DeflateOffer,
) -> (Peer, Option<DeflateParams>) {
    let target = format!("/socket.io/?{query}");
    let mut request = Request::new("localhost", &target, [7; 16]);
    request.deflate = Some(offer);
    let mut bytes = Vec::new();
    request.write(&mut bytes, []).expect("a good request");
    let mut peer = Peer::connect(house.address).await;
    peer.send(&bytes).await;
    let answer = peer.answer().await;
    let agreed = request.check(answer.status, &answer.headers);
    let agreed = agreed.unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    (peer, agreed.deflate)
}

fn compressing(change: impl FnOnce(&mut PerMessageDeflate)) -> Config {
    let mut config = config();
    let mut deflate = PerMessageDeflate::default();
    change(&mut deflate);
    config.per_message_deflate = Some(deflate);
    config
}

/// `len` bytes that no window makes shorter, as text.
fn noise(len: usize) -> String {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut letter = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(33 + (state % 57) as u8)
    };
    (0..len)
        .map(|_| letter())
        .collect::<String>()
        .replace(['"', '\\'], "x")
}

/// What the server says of itself: an event to the whole room.
fn news(text: &str) -> String {
    format!(r#"42["news","{text}"]"#)
}

on_every_road! {
    async fn nothing_is_agreed_to_unless_it_is_configured(road: Road) {
        let house = House::start(road).await;
        let (_, agreed) = shake_hands(&house, QUERY, DeflateOffer::default()).await;
        assert_eq!(agreed, None);
        house.is_unharmed().await;
    }

    async fn long_messages_are_compressed_in_both_directions_and_short_ones_are_not(road: Road) {
        let house = House::with(road, compressing(|_| {}), |server| server).await;
        let mut client = Squeezed::join(&house).await;
        assert!(client.terms.server_no_context_takeover);
        assert!(client.terms.client_no_context_takeover);
        // The packet with its type is one byte short of the threshold, at it, and above it.
        for (len, compressed) in [(1023, false), (1024, true), (1025, true)] {
            let text = "x".repeat(len - 13);
            client.say(&format!(r#"421["echo","{text}"]"#)).await;
            let _ = client.next().await;
            house.io.emit("news", &"y".repeat(len - 13));
            client.expect(&news(&"y".repeat(len - 13)), compressed).await;
        }
        client.say(r#"451-["say",{"_placeholder":true,"num":0}]"#).await;
        client.say_binary(&[7; 5000]).await;
        client.expect(r#"451-["said",{"_placeholder":true,"num":0}]"#, false).await;
        assert_eq!(client.next().await, (Got::Binary(vec![7; 5000]), true));
        // What would not get smaller goes as it is.
        let noise: Vec<u8> = (0..5000_u32).map(|i| (i.wrapping_mul(0x9e37_79b1) >> 13) as u8).collect();
        client.say(r#"451-["say",{"_placeholder":true,"num":0}]"#).await;
        client.say_binary(&noise).await;
        let _ = client.next().await;
        assert_eq!(client.next().await.0, Got::Binary(noise));
        drop(client);
        house.is_unharmed().await;
    }

    async fn every_message_arrives_in_order_whatever_the_terms(road: Road) {
        for (takeover, bits, threshold) in
            [(false, 15, 1024), (false, 9, 0), (true, 15, 0), (true, 9, 100), (true, 12, 1024)]
        {
            let config = compressing(|deflate| {
                deflate.server_no_context_takeover = !takeover;
                deflate.client_no_context_takeover = !takeover;
                deflate.server_max_window_bits = bits;
                deflate.client_max_window_bits = bits;
                deflate.threshold = threshold;
            });
            let house = House::with(road, config, |server| {
                server.on("mix", async |socket, text: String| {
                    socket.emit("a", &text);
                    socket.everyone().emit("b", &text);
                    socket.emit_uncompressed("c", &text);
                    socket.emit("d", &text);
                    if text.len().is_multiple_of(3) {
                        tokio::task::yield_now().await;
                    }
                    socket.everyone().uncompressed().emit("e", &text);
                    socket.everyone().emit("f", &text);
                    sio_server::Ack(text)
                })
            })
            .await;
            let mut client = Squeezed::join(&house).await;
            assert_eq!(client.terms.server_max_window_bits, bits);
            let noise = noise(40_000);
            for n in 0..120_usize {
                let text = match n % 4 {
                    0 => "again and again ".repeat(n * 9),
                    1 => noise[..n * 300].to_owned(),
                    2 => format!("{n}"),
                    _ => format!("{}{}", "ab".repeat(n), &noise[n..n + 1000]),
                };
                client.say(&format!(r#"42{n}["mix","{text}"]"#)).await;
                for event in ["a", "b", "c", "d", "e", "f"] {
                    let (got, compressed) = client.next().await;
                    assert_eq!(got, Got::Text(format!(r#"42["{event}","{text}"]"#)), "{n}");
                    assert!(!(compressed && matches!(event, "c" | "e")), "{event} is compressed");
                }
                assert_eq!(client.text().await, format!(r#"43{n}["{text}"]"#));
            }
            drop(client);
            house.is_unharmed().await;
        }
    }

    async fn large_attachments_are_compressed_in_their_place(road: Road) {
        for takeover in [false, true] {
            let config = compressing(|deflate| deflate.server_no_context_takeover = !takeover);
            let house = House::with(road, config, |server| {
                server.on("mix", async |socket, (text, bytes): (String, Value)| {
                    socket.emit("a", &text);
                    socket.emit("b", &bytes);
                    socket.everyone().emit("c", &bytes);
                    socket.emit("d", &text);
                    sio_server::Ack((bytes.clone(), text, bytes))
                })
            })
            .await;
            let mut client = Squeezed::join(&house).await;
            let place = |n: usize| format!(r#"{{"_placeholder":true,"num":{n}}}"#);
            for n in 0..6_usize {
                let bytes = noise(30_000 * n).repeat(2).into_bytes();
                let text = "again ".repeat(300 * n);
                client.say(&format!(r#"451-{n}["mix","{text}",{}]"#, place(0))).await;
                client.say_binary(&bytes).await;
                let binary = Got::Binary(bytes);
                for (said, attachments) in [
                    (format!(r#"42["a","{text}"]"#), 0),
                    (format!(r#"451-["b",{}]"#, place(0)), 1),
                    (format!(r#"451-["c",{}]"#, place(0)), 1),
                    (format!(r#"42["d","{text}"]"#), 0),
                    (format!(r#"462-{n}[{},"{text}",{}]"#, place(0), place(1)), 2),
                ] {
                    assert_eq!(client.text().await, said);
                    for _ in 0..attachments {
                        assert!(client.next().await == (binary.clone(), n > 0), "{n}: {said}");
                    }
                }
            }
            drop(client);
            house.is_unharmed().await;
        }
    }

    async fn the_window_reaches_back_over_messages_if_that_is_agreed_to(road: Road) {
        let config = compressing(|deflate| deflate.server_no_context_takeover = false);
        let house = House::with(road, config, |server| server).await;
        let mut client = Squeezed::join(&house).await;
        let text = noise(4000);
        let mut sizes = Vec::new();
        for _ in 0..3 {
            house.io.emit("news", &text);
            client.expect(&news(&text), true).await;
            sizes.push(client.last);
        }
        assert!(sizes[0] > 2500 && sizes[1] < 200 && sizes[2] < 200, "{sizes:?}");
    }

    async fn a_broadcast_reaches_those_who_compress_and_those_who_do_not(road: Road) {
        let house = House::with(road, compressing(|_| {}), |server| server).await;
        let mut plain = house.client().await;
        let mut polling = Polling::join(house.address).await;
        let mut squeezed = Vec::new();
        for bits in [None, None, Some(10), Some(15)] {
            let offer = DeflateOffer { server_max_window_bits: bits, ..DeflateOffer::default() };
            let mut client = Squeezed::open(&house, offer).await;
            client.say("40").await;
            assert!(client.text().await.starts_with("40{"));
            squeezed.push(client);
        }
        for n in 0..20 {
            let text = format!("{n} bottles ").repeat(400);
            assert_eq!(house.io.emit("news", &text).reached, 6);
            plain.expect_text(&news(&text)).await;
            assert_eq!(polling.get().await, news(&text));
            for client in &mut squeezed {
                client.expect(&news(&text), true).await;
            }
        }
        drop(squeezed);
        plain.leave().await;
        polling.post("1").await;
        house.is_unharmed().await;
    }

    async fn what_waits_for_a_client_that_does_not_read_stays_in_order(road: Road) {
        let config = compressing(|deflate| {
            deflate.server_no_context_takeover = false;
            deflate.threshold = 0;
        });
        let house = House::with(road, config, |server| server).await;
        let mut client = Squeezed::join(&house).await;
        let noise = noise(60_000);
        // More than the kernel takes, less than may wait.
        let count = 3 << 20 >> 11;
        for n in 0..count {
            let sent = house.io.emit("news", &format!("{n} {}", &noise[n % 50_000..][..2048]));
            assert_eq!(sent.reached, 1);
            if n % 16 == 0 {
                tokio::task::yield_now().await;
            }
        }
        for n in 0..count {
            let text = format!("{n} {}", &noise[n % 50_000..][..2048]);
            client.expect(&news(&text), true).await;
        }
    }

    async fn an_upgrade_may_compress_from_its_probe_on(road: Road) {
        let house = House::with(road, compressing(|_| {}), |server| server).await;
        let polling = Polling::join(house.address).await;
        // Said while it still polls: it leaves by the WebSocket, as it is or not.
        let query = format!("{QUERY}&sid={}", polling.sid);
        let mut client = Squeezed::upgrade(&house, &query, DeflateOffer::default()).await;
        client.say("2probe").await;
        client.expect("3probe", false).await;
        let text = "z".repeat(3000);
        house.io.emit("news", &text);
        client.say("5").await;
        client.say(&format!(r#"421["echo","{text}"]"#)).await;
        let mut got = vec![client.text().await, client.text().await];
        got.sort();
        assert_eq!(got, [news(&text), format!(r#"431["{text}"]"#)]);
        drop((client, polling));
        house.is_unharmed().await;
    }

    async fn a_client_for_whose_window_there_is_no_room_is_asked_to_forget_it(road: Road) {
        let config = compressing(|deflate| {
            deflate.client_no_context_takeover = false;
            deflate.memory = 70_000;
        });
        let house = House::with(road, config, |server| server).await;
        let first = Squeezed::open(&house, DeflateOffer::default()).await;
        assert!(!first.terms.client_no_context_takeover);
        let second = Squeezed::open(&house, DeflateOffer::default()).await;
        assert!(second.terms.client_no_context_takeover);
        drop((first, second));
        house.empties().await;
        // And the room is given back.
        support::until("the window's room", || house.io.connections() == 0).await;
        let third = Squeezed::open(&house, DeflateOffer::default()).await;
        assert!(!third.terms.client_no_context_takeover);
        drop(third);
        house.is_unharmed().await;
    }

    async fn sec_f5_the_limit_is_the_same_compressed_and_not_whole_and_in_fragments(road: Road) {
        const MAX: usize = 4096;
        for takeover in [false, true] {
            let mut config = compressing(|deflate| deflate.client_no_context_takeover = !takeover);
            config.engine.max_payload = MAX;
            let mut house = House::with(road, config, |server| server).await;
            for len in [MAX - 1, MAX, MAX + 1] {
                let text = format!(r#"421["echo","{}"]"#, "x".repeat(len - 14));
                assert_eq!(text.len(), len);
                for fragments in [1, 2, 7] {
                    let mut client = Squeezed::join(&house).await;
                    let (rsv, payload) = client.squeeze(text.as_bytes());
                    assert_eq!(rsv, 0x40);
                    let mut bytes = Vec::new();
                    let pieces: Vec<_> = payload.chunks(payload.len().div_ceil(fragments)).collect();
                    for (at, piece) in pieces.iter().enumerate() {
                        let first = if at == 0 { 0x41 } else { 0 };
                        let fin = if at + 1 == pieces.len() { 0x80 } else { 0 };
                        bytes.extend(frame(first | fin, piece));
                    }
                    client.peer.send(bytes).await;
                    if len <= MAX {
                        assert_eq!(client.text().await, format!(r#"431["{}"]"#, "x".repeat(len - 14)));
                        drop(client);
                        house.farewell().await;
                    } else {
                        assert_eq!(client.end().await, End::Code(1009), "{len} in {fragments}");
                        let farewell = house.farewell().await;
                        assert_eq!(farewell.reason.as_str(), "transport error");
                    }
                }
            }
            while house.farewells.try_recv().is_ok() {}
            house.is_unharmed().await;
        }
    }

    async fn sec_f6_a_bomb_ends_its_own_connection_at_the_limit(road: Road) {
        for takeover in [false, true] {
            let config = compressing(|deflate| deflate.client_no_context_takeover = !takeover);
            let house = House::with(road, config, |server| server).await;
            let mut zeros = Squeezed::join(&house).await;
            let (_, bomb) = zeros.squeeze(&vec![b'4'; 64 << 20]);
            assert!(bomb.len() < 400_000);
            let mut empty = [0x00, 0x00, 0x00, 0xff, 0xff].repeat(150_000);
            empty.truncate(empty.len() - 4);
            let streams = [0x03, 0x00].repeat(1000);
            for (what, first, payload, code) in [
                ("64 MiB of fours", 0xc1, &bomb, 1009),
                ("the same as an attachment", 0xc2, &bomb, 1009),
                ("many streams", 0xc1, &streams, 1009),
                ("no deflate", 0xc1, &vec![0x06], 1007),
                // Nothing, that is, no packet.
                ("empty blocks and nothing else", 0xc1, &empty, 1005),
            ] {
                let mut client = Squeezed::join(&house).await;
                if first == 0xc2 {
                    client.say(r#"451-["say",{"_placeholder":true,"num":0}]"#).await;
                }
                client.peer.send(frame(first, payload)).await;
                let end = client.end().await;
                let expected = match code {
                    1005 => End::NoCode,
                    code => End::Code(code),
                };
                assert_eq!(end, expected, "{what}");
            }
            let mut client = Squeezed::join(&house).await;
            let (_, text) = client.squeeze(b"42[\"\xff\"]");
            client.peer.send(frame(0xc1, &text)).await;
            assert_eq!(client.end().await, End::Code(1007), "no UTF-8");
            drop(zeros);
            house.is_unharmed().await;
        }
    }

    async fn a_bomb_that_probes_ends_the_probe_and_not_the_session(road: Road) {
        let house = House::with(road, compressing(|_| {}), |server| server).await;
        let mut polling = Polling::join(house.address).await;
        let query = format!("{QUERY}&sid={}", polling.sid);
        let mut probe = Squeezed::upgrade(&house, &query, DeflateOffer::default()).await;
        let (_, bomb) = probe.squeeze(&vec![b'2'; 8 << 20]);
        probe.peer.send(frame(0xc1, &bomb)).await;
        let _ = probe.end().await;
        polling.post(r#"421["echo",1]"#).await;
        loop {
            match polling.get().await.as_str() {
                "6" => {}
                other => break assert_eq!(other, "431[1]"),
            }
        }
        polling.post("1").await;
        house.is_unharmed().await;
    }
}

#[tokio::test]
async fn a_frame_with_rsv1_from_a_client_that_did_not_offer_is_a_fault() {
    let house = House::with(Road::Own, compressing(|_| {}), |server| server).await;
    let mut ws = Ws::open(house.address).await;
    ws.raw(&frame(0xc1, b"\x32\x00")).await;
    assert_eq!(ws.end().await, End::Code(1002));
    house.is_unharmed().await;
}

#[tokio::test]
async fn an_offer_that_breaks_the_rules_is_declined_and_the_connection_is_not() {
    let house = House::with(Road::Own, compressing(|_| {}), |server| server).await;
    for offer in [
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; x",
    ] {
        let mut bytes = request(QUERY);
        bytes.truncate(bytes.len() - 2);
        bytes.extend(format!("Sec-WebSocket-Extensions: {offer}\r\n\r\n").as_bytes());
        let mut peer = Peer::connect(house.address).await;
        peer.send(&bytes).await;
        let answer = peer.answer().await;
        assert_eq!(
            (answer.status, answer.header("sec-websocket-extensions")),
            (101, "")
        );
    }
    // An ordinary request knows nothing of it.
    let mut peer = Peer::connect(house.address).await;
    peer.send(format!("{}\r\n", get("EIO=4&transport=polling")))
        .await;
    assert_eq!(peer.answer().await.header("sec-websocket-extensions"), "");
}
