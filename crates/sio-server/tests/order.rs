//! What is said in order arrives in order, and what arrives is handled in order.

mod support;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use sio_server::{Ack, Call, CallError, Namespace, Socket, Value};
use support::{End, Got, House, Polling, Road, Ws, config, frame, on_every_road, until, within};
use tokio::sync::{Notify, Semaphore, mpsc::unbounded_channel};

/// Texts until `count` have come.
async fn texts(ws: &mut Ws, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < count {
        match ws.next().await {
            Got::Text(text) => texts.push(text),
            other => panic!("{other:?} after {texts:?}"),
        }
    }
    texts
}

on_every_road! {
    async fn what_one_handler_says_arrives_in_order_acks_included(road: Road) {
        let house = House::with(road, config(), |server| {
            server.on("mix", async |socket, n: usize| {
                socket.emit("a", &n);
                socket.everyone().emit("b", &n);
                socket.emit("c", &n);
                socket.io().to(socket.id()).emit("d", &n);
                // Wait now and then, so that a turn ends in the midst of it.
                if n.is_multiple_of(3) {
                    tokio::task::yield_now().await;
                }
                socket.emit("e", &n);
                socket.everyone().emit("f", &n);
                Ack(n)
            })
        })
        .await;
        let mut ws = house.client().await;
        let mut bytes = Vec::new();
        for n in 0..200 {
            bytes.extend(frame(0x81, format!(r#"42{n}["mix",{n}]"#).as_bytes()));
        }
        ws.raw(&bytes).await;
        let expected: Vec<_> = (0..200)
            .flat_map(|n| {
                let events = ["a", "b", "c", "d", "e", "f"];
                let events = events.map(|event| format!(r#"42["{event}",{n}]"#));
                events.into_iter().chain([format!("43{n}[{n}]")])
            })
            .collect();
        assert_eq!(texts(&mut ws, expected.len()).await, expected);
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn a_call_that_is_dropped_leaves_its_place_to_the_next(road: Road) {
        let house = House::with(road, config(), |server| {
            server.on("try", async |socket, ()| {
                // More than one socket may have waiting.
                for _ in 0..5000 {
                    let call: Call<()> = socket.call("nobody", &());
                    drop(call);
                }
                let answer: Result<u32, CallError> = socket.call("ask", &()).await;
                Ack(answer.ok())
            })
        })
        .await;
        let mut ws = house.client().await;
        ws.text(r#"420["try"]"#).await;
        let asked = texts(&mut ws, 5001).await.pop().unwrap();
        let id = asked.strip_prefix("42").unwrap().strip_suffix(r#"["ask"]"#).unwrap();
        ws.text(&format!("43{id}[7]")).await;
        ws.expect_text("430[7]").await;
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn what_comes_with_the_last_word_of_an_upgrade_is_the_sessions(road: Road) {
        let house = House::start(road).await;
        let mut bytes = frame(0x81, b"5");
        let events = bytes.len();
        for n in 1..4 {
            bytes.extend(frame(0x81, format!(r#"42{n}["echo",{n}]"#).as_bytes()));
        }
        // In one piece, cut behind the `5`, and cut inside of what follows.
        for cut in [bytes.len(), events, events + 1, events + 9] {
            let polling = Polling::join(house.address).await;
            let query = format!("EIO=4&transport=websocket&sid={}", polling.sid);
            let mut ws = Ws::upgrade(house.address, &query).await;
            ws.text("2probe").await;
            ws.expect_text("3probe").await;
            ws.raw(&bytes[..cut]).await;
            ws.raw(&bytes[cut..]).await;
            assert_eq!(texts(&mut ws, 3).await, ["431[1]", "432[2]", "433[3]"]);
            ws.leave().await;
        }
        house.is_unharmed().await;
    }

    async fn over_polling_it_arrives_in_order_too(road: Road) {
        let house = House::with(road, config(), |server| {
            server.on("mix", async |socket, n: usize| {
                socket.emit("a", &n);
                socket.everyone().emit("b", &n);
                if n.is_multiple_of(3) {
                    tokio::task::yield_now().await;
                }
                socket.emit("c", &n);
                Ack(n)
            })
        })
        .await;
        let mut polling = Polling::join(house.address).await;
        let events: Vec<_> = (0..50).map(|n| format!(r#"42{n}["mix",{n}]"#)).collect();
        polling.post(&events.join("\u{1e}")).await;
        let mut got = Vec::new();
        while got.len() < 200 {
            let body = polling.get().await;
            got.extend(body.split('\u{1e}').map(str::to_owned));
        }
        let expected: Vec<_> = (0..50)
            .flat_map(|n| {
                let events = ["a", "b", "c"].map(|event| format!(r#"42["{event}",{n}]"#));
                events.into_iter().chain([format!("43{n}[{n}]")])
            })
            .collect();
        assert_eq!(got, expected);
        polling.post("1").await;
        house.is_unharmed().await;
    }

    async fn large_and_small_packets_keep_their_order_for_a_slow_reader(road: Road) {
        const COUNT: usize = 40;
        let mut config = config();
        config.max_queued_bytes = 64 << 20;
        let house = House::with(road, config, |server| {
            server.on("flood", async |socket, (): ()| {
                for n in 0..COUNT {
                    let pad = "x".repeat(if n % 2 == 0 { 100_000 } else { n });
                    socket.emit("own", &(n, &pad));
                    socket.everyone().emit("all", &(n, &pad));
                }
            })
        })
        .await;
        let mut ws = house.client().await;
        ws.text(r#"42["flood"]"#).await;
        // Nothing is read until the server has no room left: it goes on all the same.
        let mut other = house.client().await;
        other.text(r#"421["echo",1]"#).await;
        loop {
            // It is in the namespace, too, and hears the broadcasts.
            match other.next().await {
                Got::Text(text) if text == "431[1]" => break,
                Got::Text(_) => {}
                end => panic!("{end:?}"),
            }
        }
        let got = texts(&mut ws, 2 * COUNT).await;
        let names: Vec<_> = got.iter().map(|text| text[..14].to_owned()).collect();
        let expected: Vec<_> = (0..COUNT)
            .flat_map(|n| ["own", "all"].map(|name| format!(r#"42["{name}",{n},"xxxx"#)))
            .map(|text| text[..10].to_owned())
            .collect();
        for (name, expected) in names.iter().zip(&expected) {
            assert!(name.starts_with(expected), "{name} is not {expected}");
        }
        ws.reset();
        other.reset();
        house.is_unharmed().await;
    }

    async fn nothing_comes_between_a_binary_event_and_its_attachments(road: Road) {
        const SENDERS: usize = 4;
        const COUNT: usize = 100;
        let house = House::start(road).await;
        let mut ws = house.client().await;
        let pair = |sender: usize, n: usize| {
            let part = |part: u8| Value::Binary(vec![sender as u8, n as u8, part].into());
            [part(0), part(1), part(2)]
        };
        let tasks: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let io = house.io.clone();
                tokio::spawn(async move {
                    for n in 0..COUNT {
                        io.emit("parts", &pair(sender, n));
                        io.emit("text", &sender);
                        if n % 10 == 0 {
                            tokio::task::yield_now().await;
                        }
                    }
                })
            })
            .collect();
        // The client talks, too: its acks must not come in between either.
        for n in 0..COUNT {
            ws.text(&format!(r#"42{n}["echo",{n}]"#)).await;
        }
        for task in tasks {
            within("the senders' end", task).await.unwrap();
        }
        let mut acks = 0;
        let mut events: HashMap<u8, u8> = HashMap::new();
        let mut plain = 0;
        while acks < COUNT || plain < SENDERS * COUNT || events.len() < SENDERS
            || events.values().any(|next| usize::from(*next) < COUNT)
        {
            let Got::Text(text) = ws.next().await else {
                panic!("an attachment that nothing announced")
            };
            if let Some(ack) = text.strip_prefix("43") {
                assert_eq!(ack, format!("{acks}[{acks}]"));
                acks += 1;
            } else if text.starts_with("453-") {
                let mut of = None;
                for part in 0..3 {
                    let Got::Binary(data) = ws.next().await else {
                        panic!("something between an event and its attachments")
                    };
                    assert_eq!(data[2], part);
                    assert_eq!(*of.get_or_insert((data[0], data[1])), (data[0], data[1]));
                }
                let (sender, n) = of.unwrap();
                let next = events.entry(sender).or_default();
                assert_eq!(n, *next, "of sender {sender}");
                *next += 1;
            } else {
                plain += 1;
            }
        }
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn handlers_of_one_socket_run_one_at_a_time_in_the_order_of_events(road: Road) {
        let (tell, mut told) = unbounded_channel();
        let busy = Arc::new(AtomicBool::new(false));
        let house = House::with(road, config(), |server| {
            let work = async move |_socket, n: usize| {
                assert!(!busy.swap(true, Ordering::SeqCst), "two at a time");
                // The earlier, the longer.
                for _ in 0..(20 - n.min(20)) {
                    tokio::task::yield_now().await;
                }
                let _ = tell.send(n);
                busy.store(false, Ordering::SeqCst);
            };
            server.on("work", work.clone()).on("toil", work)
        })
        .await;
        let mut ws = house.client().await;
        for n in 0..40 {
            let event = if n % 2 == 0 { "work" } else { "toil" };
            ws.text(&format!(r#"42["{event}",{n}]"#)).await;
        }
        for n in 0..40 {
            assert_eq!(within("a handler's end", told.recv()).await, Some(n));
        }
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn events_wait_for_the_connect_handler(road: Road) {
        let open = Arc::new(Notify::new());
        let gate = Arc::clone(&open);
        let house = House::with(road, config(), |server| {
            server.on_connect(async move |socket| {
                socket.emit("hello", &1);
                gate.notified().await;
                socket.emit("hello", &2);
            })
        })
        .await;
        let mut ws = Ws::open(house.address).await;
        ws.raw(&[frame(0x81, b"40"), frame(0x81, br#"421["echo",1]"#)].concat()).await;
        assert!(matches!(ws.next().await, Got::Text(text) if text.starts_with("40{")));
        ws.expect_text(r#"42["hello",1]"#).await;
        open.notify_one();
        ws.expect_text(r#"42["hello",2]"#).await;
        ws.expect_text("431[1]").await;
        ws.leave().await;
        house.empties().await;
    }

    async fn a_handler_that_never_returns_hinders_nobody_else(road: Road) {
        let house = House::with(road, config(), |server| {
            server.on("hang", async |_socket, (): ()| {
                std::future::pending::<()>().await;
            })
        })
        .await;
        let mut ws = house.client().await;
        ws.join("/other").await;
        ws.text(r#"42["hang"]"#).await;
        ws.text(r#"421["echo",1]"#).await;
        // Another namespace on the same connection,
        ws.text(r#"42/other,2["echo",2]"#).await;
        ws.expect_text("43/other,2[2]").await;
        // what is said to the socket from elsewhere,
        house.io.emit("news", &1);
        ws.expect_text(r#"42["news",1]"#).await;
        // pings, and other connections.
        ws.raw(&frame(0x89, b"?")).await;
        assert_eq!(ws.next().await, Got::Pong(b"?".to_vec()));
        house.serves_others().await;
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn an_answer_overtakes_the_events_of_a_socket_that_waits_for_it(road: Road) {
        let house = House::with(road, config(), |server| {
            server.on("ask", async |socket, (): ()| {
                let answer: usize = socket.call("question", &()).await.unwrap_or(0);
                socket.emit("answered", &answer);
            })
        })
        .await;
        let mut ws = house.client().await;
        let bytes = [
            frame(0x81, br#"42["ask"]"#),
            frame(0x81, br#"429["echo",9]"#),
        ];
        ws.raw(&bytes.concat()).await;
        let Got::Text(question) = ws.next().await else { panic!() };
        let id = question[2..].split('[').next().unwrap();
        ws.text(&format!("43{id}[42]")).await;
        ws.expect_text(r#"42["answered",42]"#).await;
        ws.expect_text("439[9]").await;
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn a_client_that_sends_without_end_is_read_no_further_than_its_handlers_come(road: Road) {
        let mut config = config();
        config.max_pending_bytes = 10_000;
        let begun = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&begun);
        let open = Arc::new(Notify::new());
        let gate = Arc::clone(&open);
        let house = House::with(road, config, |server| {
            server
                .on("hang", async move |_socket, (): ()| gate.notified().await)
                .on("count", async move |_socket, _: Value| {
                    Ack(count.fetch_add(1, Ordering::SeqCst))
                })
        })
        .await;
        let mut ws = house.client().await;
        ws.text(r#"42["hang"]"#).await;
        let pad = "x".repeat(900);
        let mut bytes = Vec::new();
        for n in 0..1000 {
            bytes.extend(frame(0x81, format!(r#"42{n}["count","{pad}"]"#).as_bytes()));
        }
        ws.peer.send_beside(bytes);
        house.serves_others().await;
        assert_eq!(begun.load(Ordering::SeqCst), 0);
        open.notify_one();
        for n in 0..1000 {
            ws.expect_text(&format!("43{n}[{n}]")).await;
        }
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn small_events_weigh_what_their_handlers_weigh(road: Road) {
        let mut config = config();
        config.max_pending_bytes = 20_000;
        let open = Arc::new(Semaphore::new(0));
        let gate = Arc::clone(&open);
        let house = House::with(road, config, |server| {
            server.on("hang", async move |_socket, (): ()| drop(gate.acquire().await))
        })
        .await;
        let events: Vec<_> = (0..1000).map(|n| format!(r#"42{n}["echo",1]"#)).collect();
        // 20,000 bytes of handlers, which come long before 20,000 bytes of events: what is behind
        // them for another namespace is not read either.
        let mut ws = house.client().await;
        ws.join("/other").await;
        ws.text(r#"42["hang"]"#).await;
        let other = r#"42/other,7["echo",7]"#;
        let events_as_frames: Vec<u8> = events
            .iter()
            .map(String::as_str)
            .chain([other])
            .flat_map(|event| frame(0x81, event.as_bytes()))
            .collect();
        ws.peer.send_beside(events_as_frames);
        let mut polling = Polling::join(house.address).await;
        polling.post("40/other,").await;
        polling.get().await;
        let body = format!("42[\"hang\"]\u{1e}{}\u{1e}42/other,7[\"echo\",7]", events.join("\u{1e}"));
        polling.posts.send_beside(support::post(&polling.query(), &body));
        house.serves_others().await;
        open.add_permits(2);
        ws.expect_text("430[1]").await;
        texts(&mut ws, 1000).await;
        let mut got = String::new();
        while !got.contains("43/other,7[7]") || !got.contains("43999[1]") {
            got += &polling.get().await;
            got.push('\u{1e}');
        }
        assert!(got.starts_with("430[1]\u{1e}"), "{}", &got[..60]);
        assert_eq!(polling.posts.answer().await.body, "ok");
        ws.leave().await;
        polling.post("1").await;
        house.is_unharmed().await;
    }

    async fn broadcasts_of_one_task_arrive_in_order_at_everybody(road: Road) {
        let house = House::with(road, config(), |server| {
            server.mount(Namespace::open("/rooms").on("join", async |socket, room: String| {
                Ack(socket.join(&room))
            }))
        })
        .await;
        let mut members = Vec::new();
        for n in 0..6 {
            let mut ws = Ws::open(house.address).await;
            ws.join("/rooms").await;
            for room in ["all", if n % 2 == 0 { "even" } else { "odd" }] {
                ws.text(&format!(r#"42/rooms,1["join","{room}"]"#)).await;
                ws.expect_text("43/rooms,1[true]").await;
            }
            members.push(ws);
        }
        let io = house.io.of("/rooms");
        for n in 0..100 {
            for room in ["all", "even", "odd"] {
                assert_eq!(io.to(room).emit(room, &n).reached, if room == "all" { 6 } else { 3 });
            }
            // In both, and reached once.
            assert_eq!(io.to(["all", "even"]).emit("both", &n).reached, 6);
        }
        for (index, ws) in members.iter_mut().enumerate() {
            let own = if index % 2 == 0 { "even" } else { "odd" };
            for n in 0..100 {
                for event in ["all", own, "both"] {
                    ws.expect_text(&format!(r#"42/rooms,["{event}",{n}]"#)).await;
                }
            }
        }
        for ws in members {
            ws.leave().await;
        }
        house.is_unharmed().await;
    }

    async fn what_others_say_meanwhile_stays_behind_what_a_turn_has_said(road: Road) {
        let house = House::with(road, config(), |server| {
            let io = server.io();
            server.mount(Namespace::open("/first").on_disconnecting(move |_: &Socket, _| {
                let io = io.of("/other");
                let meanwhile = std::thread::spawn(move || io.emit("news", &1).reached);
                assert_eq!(meanwhile.join().unwrap(), 1);
            }))
        })
        .await;
        let mut ws = Ws::open(house.address).await;
        ws.join("/first").await;
        ws.join("/other").await;
        house.io.of("/first").everyone().disconnect_connections().await;
        ws.expect_text("41/first,").await;
        ws.expect_text(r#"42/other,["news",1]"#).await;
        ws.expect_text("41/other,").await;
        assert!(matches!(ws.next().await, Got::End(_)));
        house.is_unharmed().await;
    }

    async fn who_is_put_out_in_the_midst_of_an_upgrade_hears_of_it_and_then_the_end(road: Road) {
        let house = House::start(road).await;
        let polling = Polling::join(house.address).await;
        let query = format!("EIO=4&transport=websocket&sid={}", polling.sid);
        let mut ws = Ws::upgrade(house.address, &query).await;
        ws.text("2probe").await;
        ws.expect_text("3probe").await;
        // It has paused: no GET waits.
        house.io.everyone().disconnect_connections().await;
        until("its being out", || house.io.is_empty()).await;
        ws.text("5").await;
        ws.expect_text("41").await;
        assert_eq!(ws.next().await, Got::End(End::NoCode));
        house.is_unharmed().await;
    }
}
