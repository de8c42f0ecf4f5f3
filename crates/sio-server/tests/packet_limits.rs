//! The limits of Socket.IO on one connection, each at the last that may be and the first that may not,
//! with what the client gets for it, and its count.

mod support;

use std::{
    future::{IntoFuture, pending},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use sio_server::{Ack, CallError, Limit, Msgpack, Namespace, Reason, Refuse, Value};
use support::{
    End, Got, House, Polling, Road, Ws, config, frame, in_time, on_every_road, until, within,
};
use tokio::sync::mpsc::unbounded_channel;

/// Sends a packet and says whether the connection lives on; if not, that it ended as it should.
async fn takes(house: &mut House, packet: &str, attachments: &[usize]) -> bool {
    let mut ws = house.client().await;
    ws.text(packet).await;
    for &len in attachments {
        ws.binary(&vec![7; len]).await;
    }
    ws.text(r#"429["echo","alive"]"#).await;
    loop {
        match ws.next().await {
            Got::Text(text) if text == r#"439["alive"]"# => {
                ws.leave().await;
                house.farewell().await;
                return true;
            }
            Got::End(end) => {
                assert_eq!(end, End::NoCode);
                assert_eq!(house.farewell().await.reason.as_str(), "forced close");
                return false;
            }
            _ => {}
        }
    }
}

/// What is sent passes or not, and is counted if not.
async fn counted(
    house: &mut House,
    limit: Limit,
    packet: &str,
    attachments: &[usize],
    passes: bool,
) {
    let before = house.io.counters().limit(limit);
    let start: String = packet.chars().take(60).collect();
    assert_eq!(
        takes(house, packet, attachments).await,
        passes,
        "{limit:?}: {start}"
    );
    let hits = house.io.counters().limit(limit) - before;
    assert_eq!(hits, u64::from(!passes), "{limit:?}: {start}");
}

fn placeholders(count: usize) -> String {
    let place = |n| format!(r#"{{"_placeholder":true,"num":{n}}}"#);
    (0..count).map(place).collect::<Vec<_>>().join(",")
}

on_every_road! {
    async fn a_packet_may_be_so_long_so_deep_and_have_so_many_attachments(road: Road) {
        let mut config = config();
        config.packet.max_binary_bytes = 1000;
        config.packet.max_auth = 100;
        config.packet.max_event_name = 50;
        config.packet.max_namespace = 20;
        let mut house = House::with(road, config, |server| {
            server.mount(Namespace::matching(|name| name.starts_with("/long"), async |_| Ok(())))
        })
        .await;
        for (len, passes) in [(49, true), (50, true), (51, false)] {
            let packet = format!(r#"42["{}"]"#, "x".repeat(len));
            counted(&mut house, Limit::EventName, &packet, &[], passes).await;
        }
        for (len, passes) in [(19, true), (20, true), (21, false)] {
            let packet = format!("40/long{},", "x".repeat(len - 5));
            counted(&mut house, Limit::NamespaceName, &packet, &[], passes).await;
        }
        for (len, passes) in [(99, true), (100, true), (101, false)] {
            let packet = format!(r#"40/other,{{"a":"{}"}}"#, "x".repeat(len - 8));
            counted(&mut house, Limit::AuthBytes, &packet, &[], passes).await;
        }
        for (count, passes) in [(9, true), (10, true), (11, false)] {
            let packet = format!(r#"45{count}-["none",{}]"#, placeholders(count));
            let attachments = vec![1; if passes { count } else { 0 }];
            counted(&mut house, Limit::Attachments, &packet, &attachments, passes).await;
        }
        for (bytes, passes) in [(999, true), (1000, true), (1001, false)] {
            let packet = format!(r#"452-["none",{}]"#, placeholders(2));
            counted(&mut house, Limit::AttachmentBytes, &packet, &[600, bytes - 600], passes).await;
        }
        // The array of the arguments is the first.
        for (depth, passes) in [(127, true), (128, true), (129, false)] {
            let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
            for event in ["echo", "none"] {
                let packet = format!(r#"421["{event}",{open}{close}]"#);
                counted(&mut house, Limit::Depth, &packet, &[], passes).await;
            }
        }
        for (id, passes) in [
            ("9007199254740990", true),
            ("9007199254740991", true),
            ("9007199254740992", false),
            ("0000000000000001", true),
            ("00000000000000001", false),
        ] {
            assert_eq!(takes(&mut house, &format!(r#"42{id}["echo",1]"#), &[]).await, passes, "{id}");
        }
        house.is_unharmed().await;
    }

    async fn a_connection_may_try_and_join_so_often(road: Road) {
        let mut config = config();
        config.max_connect_attempts = 3;
        config.max_namespaces = 2;
        config.max_dynamic_namespaces = 2;
        let mut house = House::with(road, config, |server| {
            server.mount(Namespace::<()>::new("/no", async |_| Err(Refuse::new("no"))))
        })
        .await;
        let mut ws = Ws::open(house.address).await;
        for attempt in 1..=4 {
            ws.text("40/no,").await;
            let message = if attempt <= 3 { "no" } else { "Too many attempts" };
            ws.expect_text(&format!(r#"44/no,{{"message":"{message}"}}"#)).await;
            let hits = house.io.counters().limit(Limit::ConnectAttempts);
            assert_eq!(hits, u64::from(attempt == 4), "{attempt}");
        }
        assert_eq!(ws.next().await, Got::End(End::NoCode));

        let mut ws = house.client().await;
        ws.join("/other").await;
        assert_eq!(house.io.counters().limit(Limit::Namespaces), 0);
        ws.text("40/dyn-a,").await;
        ws.expect_text(r#"44/dyn-a,{"message":"Too many namespaces"}"#).await;
        assert_eq!(house.io.counters().limit(Limit::Namespaces), 1);
        ws.leave().await;
        house.farewell().await;

        let mut visitors = Vec::new();
        for name in ["/dyn-a", "/dyn-b"] {
            let mut ws = Ws::open(house.address).await;
            ws.join(name).await;
            visitors.push(ws);
        }
        assert_eq!(house.io.counters().limit(Limit::DynamicNamespaces), 0);
        let mut late = Ws::open(house.address).await;
        late.text("40/dyn-c,").await;
        late.expect_text(r#"44/dyn-c,{"message":"Too many namespaces"}"#).await;
        assert_eq!(house.io.counters().limit(Limit::DynamicNamespaces), 1);
        late.join("/dyn-a").await;
        for ws in visitors {
            ws.leave().await;
        }
        late.leave().await;
        house.is_unharmed().await;
    }

    async fn a_socket_may_be_in_so_many_rooms(road: Road) {
        let mut config = config();
        config.max_rooms = 3;
        let house = House::with(road, config, |server| {
            server.on("join", async |socket, room: String| Ack(socket.join(&room)))
        })
        .await;
        let mut ws = house.client().await;
        for (room, joins) in [("a", true), ("b", true), ("c", true), ("d", false), ("a", true)] {
            ws.text(&format!(r#"421["join","{room}"]"#)).await;
            ws.expect_text(&format!("431[{joins}]")).await;
        }
        assert_eq!(house.io.counters().limit(Limit::Rooms), 1);
        assert_eq!(house.io.room_len("d"), 0);
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn an_attachment_has_its_time(road: Road) {
        let packet = format!(r#"453-["say",[{}]]"#, placeholders(3));
        let mut kept = None;
        in_time(async |patience| {
            let mut config = config();
            config.attachment_timeout = patience;
            let house = House::with(road, config, |server| server).await;
            let mut ws = house.client().await;
            // Each has all of it.
            let mut last = Instant::now();
            ws.text(&packet).await;
            for n in 0..3 {
                tokio::time::sleep(patience / 2).await;
                let now = Instant::now();
                // A ping, whose answer says that the attachment has been read.
                ws.raw(&[frame(0x82, &[n]), frame(0x89, b"")].concat()).await;
                let got = ws.next().await;
                if last.elapsed() >= patience {
                    return false;
                }
                match got {
                    Got::Pong(_) if n < 2 => last = now,
                    Got::Text(text) if n == 2 => assert!(text.starts_with(r#"453-["said""#)),
                    other => panic!("{other:?} behind the attachment {n}"),
                }
            }
            assert_eq!(house.io.counters().limit(Limit::AttachmentTime), 0);
            kept = Some((house, ws));
            true
        })
        .await;
        let (mut house, mut ws) = kept.unwrap();
        ws.text(&packet).await;
        ws.binary(&[1]).await;
        assert_eq!(ws.end().await, End::NoCode);
        assert_eq!(house.farewell().await.reason.as_str(), "forced close");
        assert_eq!(house.io.counters().limit(Limit::AttachmentTime), 1);
        // Over polling, too.
        let mut polling = Polling::join(house.address).await;
        polling.post(r#"451-["say",{"_placeholder":true,"num":0}]"#).await;
        let last = polling.get().await;
        assert!(matches!(&*last, "1" | "6\u{1e}1"), "{last}");
        assert_eq!(house.io.counters().limit(Limit::AttachmentTime), 2);
        house.is_unharmed().await;
    }

    async fn handlers_that_never_return_end_their_connection_and_no_other(road: Road) {
        let pad = "x".repeat(6000);
        let mut kept = None;
        in_time(async |patience| {
            let mut config = config();
            config.max_pending_bytes = 10_000;
            config.stall_timeout = patience * 2;
            // The client's pongs are not read meanwhile, and it is not blamed for that.
            config.engine.ping_interval = patience / 3;
            config.engine.ping_timeout = patience * 2 / 3;
            let house = House::with(road, config, |server| {
                server
                    .on("hang", async |_socket, ()| pending::<()>().await)
                    .on("slow", async |_socket, (ms, _): (u64, String)| {
                        tokio::time::sleep(Duration::from_millis(ms)).await;
                    })
            })
            .await;
            // Handlers that catch up in time: nothing has happened.
            let mut ws = house.client().await;
            let slow = (patience * 4 / 3).as_millis();
            ws.text(&format!(r#"42["slow",{slow},"{pad}"]"#)).await;
            for _ in 0..2 {
                ws.text(&format!(r#"42["slow",1,"{pad}"]"#)).await;
            }
            ws.text(r#"421["echo","done"]"#).await;
            loop {
                match ws.next().await {
                    Got::Text(ping) if ping == "2" => ws.text("3").await,
                    Got::Text(text) => break assert_eq!(text, r#"431["done"]"#),
                    Got::End(_) => return false,
                    other => panic!("{other:?}"),
                }
            }
            kept = Some((house, ws));
            true
        })
        .await;
        let (mut house, mut ws) = kept.unwrap();
        ws.text(r#"42["hang"]"#).await;
        for _ in 0..3 {
            ws.text(&format!(r#"42["slow",1,"{pad}"]"#)).await;
        }
        let farewell = house.farewell().await;
        assert_eq!(farewell.reason.as_str(), "forced server close");
        assert_eq!(farewell.reason.detail(), "the handlers did not catch up with what the client sent");
        assert_eq!(house.io.counters().closed(Reason::HandlersStalled), 1);
        drop(ws);
    }

    async fn more_packets_at_once_than_may_come_end_the_connection(road: Road) {
        let mut config = config();
        config.max_packet_rate = Some(1);
        config.packet_burst = 5;
        let mut house = House::with(road, config, |server| server).await;
        // The CONNECT was the first. How many may come exactly: `testing.rs`, where the clock stands still.
        let (few, many) = ([r#"42["none"]"#; 3], [r#"42["none"]"#; 6]);
        let mut ws = house.client().await;
        for packet in few {
            ws.text(packet).await;
        }
        ws.text(r#"421["echo","alive"]"#).await;
        assert_eq!(ws.next().await, Got::Text(r#"431["alive"]"#.into()));
        for packet in many {
            ws.text(packet).await;
        }
        assert_eq!(ws.next().await, Got::End(End::Code(1008)));
        let farewell = house.farewell().await;
        assert_eq!(farewell.reason.as_str(), "forced close");
        assert_eq!(farewell.reason.detail(), "the client sent more messages than it may in so short a time");

        let mut polling = Polling::join(house.address).await;
        polling.post(&many.join("\x1e")).await;
        assert_eq!(polling.get().await, "6\x1e1");
        house.farewell().await;
        assert_eq!(house.io.counters().closed(Reason::PacketRate), 2);
    }

    async fn a_packet_to_a_client_may_be_so_long(road: Road) {
        let mut config = config();
        config.max_message_bytes = 1000;
        let (tell, mut told) = unbounded_channel();
        let house = House::with(road, config, |server| {
            server.on("say-long", async move |socket, text: String| {
                let own = socket.emit("long", &text).reached;
                let all = socket.everyone().emit("long", &text).reached;
                let asked = socket.call::<_, _, Value>("long", &text).timeout(Duration::ZERO).await;
                let waited = socket.emit_within(Duration::ZERO, "long", &text).await;
                let _ = tell.send((own, all, asked.unwrap_err().to_string(), waited.is_ok()));
            })
        })
        .await;
        // What is counted is what is written, header included.
        let frame = |len: usize| len - 4 - r#"42["long",""]"#.len();
        for (len, passes) in [(997, true), (998, true), (1001, false)] {
            let mut ws = house.client().await;
            let text = "x".repeat(frame(len));
            ws.text(&format!(r#"42["say-long","{text}"]"#)).await;
            let (own, all, asked, waited) = within("it", told.recv()).await.unwrap();
            assert_eq!((own, all, waited), (usize::from(passes), usize::from(passes), passes), "{len}");
            let too_long = asked.contains("bytes long, more than 1000");
            assert_eq!(too_long, !passes, "{asked}");
            ws.leave().await;
        }
        house.is_unharmed().await;
    }

    async fn answers_to_many_are_bounded_together(road: Road) {
        let mut config = config();
        config.max_answer_bytes = 2000;
        let house = House::with(road, config, |server| server).await;
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(house.client().await);
        }
        for (each, kept) in [(999, 2), (1000, 2), (1001, 1), (600, 3)] {
            let calls = house.io.everyone().call::<_, _, String>("ask", &());
            let calls = tokio::spawn(calls.into_future());
            for ws in &mut clients {
                let Got::Text(text) = ws.next().await else { panic!("no question") };
                let id = text.strip_prefix("42").unwrap().strip_suffix(r#"["ask"]"#).unwrap();
                ws.text(&format!(r#"43{id}["{}"]"#, "x".repeat(each - 4))).await;
            }
            let answers = within("the answers", calls).await.unwrap().unwrap();
            assert_eq!(answers.given.len(), kept, "{each}");
            for (_, error) in &answers.missing {
                assert!(matches!(error, CallError::AnswersTooLong { limit: 2000 }), "{error}");
            }
        }
        // Who looks at each as it comes holds none of them.
        let before = house.io.counters().limit(Limit::AnswerBytes);
        assert_eq!(before, 1 + 1 + 2);
        let mut count = 0;
        let calls = house.io.everyone().call::<_, _, String>("ask", &());
        let heard = calls.each(|_, answer| count += answer.unwrap().len());
        let say = async {
            for ws in &mut clients {
                let Got::Text(text) = ws.next().await else { panic!("no question") };
                let id = text.strip_prefix("42").unwrap().strip_suffix(r#"["ask"]"#).unwrap();
                ws.text(&format!(r#"43{id}["{}"]"#, "x".repeat(1400))).await;
                ws.text(r#"427["echo",1]"#).await;
                ws.expect_text("437[1]").await;
                tokio::task::yield_now().await;
            }
        };
        let (heard, ()) = tokio::join!(heard, say);
        heard.unwrap();
        assert_eq!(count, 3 * 1400);
        for ws in clients {
            ws.leave().await;
        }
        house.is_unharmed().await;
    }

    async fn limits_hold_in_msgpack_as_in_json(road: Road) {
        let mut house = House::with(road, config(), |server| server.parser(Msgpack)).await;
        let mut deep = vec![0x83];
        let text = |out: &mut Vec<u8>, text: &str| {
            out.push(0xa0 | text.len() as u8);
            out.extend_from_slice(text.as_bytes());
        };
        for (depth, passes) in [(127_usize, true), (128, true), (129, false)] {
            deep.truncate(1);
            text(&mut deep, "type");
            deep.push(2);
            text(&mut deep, "nsp");
            text(&mut deep, "/");
            text(&mut deep, "data");
            deep.push(0x92);
            text(&mut deep, "none");
            deep.extend(std::iter::repeat_n(0x91, depth - 2));
            deep.push(0x90);
            let mut ws = Ws::open(house.address).await;
            let mut connect = vec![0x82];
            text(&mut connect, "type");
            connect.push(0);
            text(&mut connect, "nsp");
            text(&mut connect, "/");
            ws.binary(&connect).await;
            let Got::Binary(_) = ws.next().await else { panic!("not joined") };
            let before = house.io.counters().limit(Limit::Depth);
            ws.binary(&deep).await;
            if passes {
                ws.leave().await;
                house.farewell().await;
            } else {
                assert_eq!(ws.end().await, End::NoCode);
                assert_eq!(house.farewell().await.reason.as_str(), "forced close");
            }
            let hits = house.io.counters().limit(Limit::Depth) - before;
            assert_eq!(hits, u64::from(!passes), "{depth}");
        }
        house.is_unharmed().await;
    }

    // S14: what comes for a socket that has gone is nobody's.
    async fn sec_s14_packets_behind_a_disconnect_are_not_handled(road: Road) {
        let (tell, mut told) = unbounded_channel();
        let mut house = House::with(road, config(), |server| {
            let heard = tell.clone();
            server
                .on("heard", async move |_socket, n: u32| {
                    let _ = heard.send(n);
                })
                .on("out", async |socket, ()| socket.disconnect())
        })
        .await;
        // The server puts it out: the client cannot know yet, and its other namespaces live.
        let mut polling = Polling::join(house.address).await;
        polling.post("40/other,").await;
        polling.get().await;
        polling
            .post("42[\"heard\",1]\u{1e}42[\"out\"]\u{1e}42[\"heard\",2]\u{1e}421[\"echo\",1]\u{1e}431[1]\u{1e}41")
            .await;
        assert_eq!(house.farewell().await.reason.as_str(), "server namespace disconnect");
        assert_eq!(polling.get().await, "41");
        polling.post(r#"42/other,1["echo",1]"#).await;
        assert_eq!(polling.get().await, "43/other,1[1]");
        assert_eq!(house.io.counters().late_packets, 4);
        polling.post("1").await;
        // The client leaves by itself, and speaks on: that is a fault.
        for separate in [false, true] {
            let mut polling = Polling::join(house.address).await;
            if separate {
                polling.post("41").await;
                polling.post(r#"42["heard",3]"#).await;
            } else {
                polling.post("41\u{1e}42[\"heard\",3]").await;
            }
            assert_eq!(house.farewell().await.reason.as_str(), "client namespace disconnect");
            let last = polling.get().await;
            assert!(matches!(&*last, "1" | "6\u{1e}1"), "{last}");
        }
        house.empties().await;
        assert_eq!(told.recv().await, Some(1));
        assert!(told.try_recv().is_err());
    }

    // S13: whoever goes leaves nothing behind, whatever its socket is told to join meanwhile.
    async fn sec_s13_join_against_disconnect_leaves_no_room_behind(road: Road) {
        let mut config = config();
        config.recovery = (road == Road::Hyper).then(Default::default);
        let house = House::with(road, config, |server| server).await;
        let stop = Arc::new(AtomicBool::new(false));
        let begun = Arc::new(AtomicUsize::new(0));
        let mut first = house.client().await;
        let busy: Vec<_> = (0..3)
            .map(|worker| {
                let (io, stop) = (house.io.clone(), Arc::clone(&stop));
                let begun = Arc::clone(&begun);
                std::thread::spawn(move || {
                    let mut turns = 0_u32;
                    // Sockets are kept over their end, as an application may.
                    let mut kept = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        kept.extend(io.everyone().sockets::<()>());
                        for (index, socket) in kept.iter().enumerate() {
                            let room = format!("room-{}", (turns as usize + index) % 7);
                            match worker {
                                0 => {
                                    socket.join([&*room, "all"]);
                                }
                                1 => {
                                    io.to("all").emit("news", &json!({ "n": turns }));
                                }
                                _ if index % 3 == 0 => {
                                    io.to(&room).leave("all");
                                }
                                _ => socket.leave(&room),
                            }
                            turns += 1;
                        }
                        let len = kept.len();
                        kept.drain(..len.saturating_sub(40));
                        if len > 0 && turns == len as u32 {
                            begun.fetch_add(1, Ordering::Relaxed);
                        }
                        std::thread::yield_now();
                    }
                })
            })
            .collect();
        until("all at work", || begun.load(Ordering::Relaxed) == 3).await;
        first.text("41").await;
        first.leave().await;
        for round in 0..40 {
            let mut ws = house.client().await;
            match round % 3 {
                0 => ws.text("41").await,
                1 => {
                    house.io.everyone().disconnect();
                }
                _ => {}
            }
            tokio::task::yield_now().await;
            ws.reset();
        }
        house.empties().await;
        stop.store(true, Ordering::Relaxed);
        for thread in busy {
            thread.join().expect("it does not panic");
        }
        until("rooms of nobody being gone", || house.io.rooms().is_empty()).await;
        assert_eq!(house.io.to("all").count(), 0);
    }
}
