//! How connections come and go: in order, abruptly, in the midst of an upgrade, with handlers at
//! work; and that nothing is left of them.

mod support;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use sio_server::{Ack, CallError, Config, Namespace, Socket, Value};
use support::{
    End, Got, House, Peer, Polling, Road, Ws, config, frame, get, on_every_road, post, request,
    until, within,
};
use tokio::sync::{Notify, Semaphore, mpsc::unbounded_channel};

const WEBSOCKET: &str = "EIO=4&transport=websocket";

/// A short deadline for what an upgrade waits for, and long enough for a client on a busy machine.
fn hasty() -> Config {
    let mut config = config();
    config.engine.upgrade_timeout = Duration::from_millis(1000);
    config
}

/// A WebSocket for a session that polls.
async fn offer(polling: &Polling) -> Ws {
    let query = format!("{WEBSOCKET}&sid={}", polling.sid);
    Ws::upgrade(polling.address, &query).await
}

/// One that has been probed.
async fn probe(polling: &Polling) -> Ws {
    let mut ws = offer(polling).await;
    ws.text("2probe").await;
    ws.expect_text("3probe").await;
    ws
}

/// Messages by polling until `count` have come; NOOPs do not count.
async fn messages(polling: &mut Polling, count: usize) -> Vec<String> {
    let mut messages = Vec::new();
    while messages.len() < count {
        let body = polling.get().await;
        messages.extend(
            body.split('\u{1e}')
                .filter(|packet| *packet != "6")
                .map(str::to_owned),
        );
    }
    messages
}

on_every_road! {
    async fn a_client_that_is_reset_at_any_step_is_forgotten(road: Road) {
        let house = House::with(road, config(), |server| {
            server.on("hang", async |_socket, (): ()| {
                tokio::task::yield_now().await;
            })
        })
        .await;
        let head = request(WEBSOCKET);
        for len in [0, 1, 20, head.len() - 1, head.len()] {
            let mut peer = Peer::connect(house.address).await;
            peer.send(&head[..len]).await;
            peer.reset();
        }
        for glued in [&b""[..], b"\x81", &frame(0x81, b"40"), &frame(0x83, b"")] {
            Ws::ask(house.address, WEBSOCKET, glued).await.reset();
        }
        Ws::upgrade(house.address, WEBSOCKET).await.reset();
        Ws::open(house.address).await.reset();
        house.client().await.reset();
        let begun = [
            frame(0x01, b"42["),
            frame(0x81, br#"42["say",1]"#)[..5].to_vec(),
            frame(0x81, br#"451-["say",{"_placeholder":true,"num":0}]"#),
            frame(0x81, br#"42["hang"]"#),
            frame(0x88, b""),
            frame(0x83, b""),
            frame(0x81, b"41"),
        ];
        for bytes in begun {
            let mut ws = house.client().await;
            ws.raw(&bytes).await;
            ws.reset();
        }
        // Refused in every way, and gone before the refusal.
        for query in [
            "EIO=4&transport=x",
            "EIO=4&transport=polling&sid=x",
            "EIO=4&transport=websocket",
            "EIO=3&transport=polling",
        ] {
            for head in [request(query), format!("{}\r\n", get(query)).into()] {
                let mut peer = Peer::connect(house.address).await;
                peer.send(&head).await;
                peer.reset();
            }
        }
        // Polling: with a GET waiting, with a POST on its way, during an upgrade.
        let mut polling = Polling::join(house.address).await;
        polling.ask().await;
        polling.gets.reset();
        let mut polling = Polling::join(house.address).await;
        let body = post(&polling.query(), r#"42["say",1]"#);
        polling.posts.send(&body[..body.len() - 1]).await;
        polling.posts.reset();
        let mut polling = Polling::join(house.address).await;
        let ws = probe(&polling).await;
        polling.ask().await;
        polling.gets.reset();
        ws.reset();
        house.serves_others().await;
        // One GET may have been answered by a NOOP before the RST, and its session goes on.
        for sid in house.io.everyone().ids() {
            house.io.to(&sid).disconnect_connections();
        }
        house.serves_others().await;
    }

    async fn nothing_is_left_of_a_websocket_that_was_reset(road: Road) {
        let mut house = House::start(road).await;
        for _ in 0..20 {
            house.client().await.reset();
            let reason = house.farewell().await.reason;
            assert_eq!(reason.as_str(), "transport close");
        }
        house.lets_go().await;
        assert!(house.farewells.try_recv().is_err(), "each has gone once");
    }

    async fn nothing_is_left_of_a_session_that_falls_silent(road: Road) {
        let mut config = config();
        config.engine.ping_interval = Duration::from_millis(1000);
        config.engine.ping_timeout = Duration::from_millis(1000);
        config.engine.upgrade_timeout = Duration::from_millis(1500);
        let mut house = House::with(road, config, |server| server).await;
        let mut silent = house.client().await;
        assert_eq!(silent.end().await, End::NoCode);
        assert_eq!(house.farewell().await.reason.as_str(), "ping timeout");
        // In the midst of an upgrade, after each of its steps.
        let mut upgrading = Vec::new();
        for step in 0..4 {
            let mut polling = Polling::open(house.address).await;
            polling.post("40").await;
            let mut ws = match step {
                0 | 1 => offer(&polling).await,
                _ => probe(&polling).await,
            };
            match step {
                1 => ws.raw(&frame(0x81, b"2probe")[..3]).await,
                3 => {
                    ws.text("5").await;
                    ws.joined("").await;
                }
                _ => {}
            }
            upgrading.push((polling, ws));
        }
        for (step, (polling, mut ws)) in upgrading.into_iter().enumerate() {
            assert_eq!(ws.end().await, End::NoCode, "step {step}");
            assert_eq!(house.farewell().await.reason.as_str(), "ping timeout");
            drop((polling, ws));
        }
        drop(silent);
        house.lets_go().await;
        assert!(house.farewells.try_recv().is_err(), "each has gone once");
    }

    async fn a_client_that_answers_pings_stays(road: Road) {
        let mut config = config();
        config.engine.ping_interval = Duration::from_millis(20);
        let mut house = House::with(road, config, |server| server).await;
        let mut ws = house.client().await;
        for _ in 0..5 {
            ws.expect_text("2").await;
            ws.text("3").await;
        }
        ws.leave().await;
        assert_eq!(house.farewell().await.reason.as_str(), "transport close");
        house.lets_go().await;
    }

    async fn every_reason_reaches_the_disconnect_handler_once(road: Road) {
        let mut house = House::with(road, config(), |server| {
            server
                .on("put me out", async |socket, (): ()| {
                    socket.disconnect();
                    socket.disconnect();
                    assert!(!socket.is_connected());
                    assert_eq!(socket.emit("late", &()).reached, 0);
                })
                .on("hang up", async |socket, (): ()| {
                    socket.disconnect_connection();
                    socket.disconnect_connection();
                })
        })
        .await;
        // The client leaves the namespace.
        let mut ws = house.client().await;
        ws.text("41").await;
        assert_eq!(house.farewell().await.reason.as_str(), "client namespace disconnect");
        ws.leave().await;
        // The client closes.
        house.client().await.leave().await;
        assert_eq!(house.farewell().await.reason.as_str(), "transport close");
        // The connection is cut.
        let ws = house.client().await;
        drop(ws);
        assert_eq!(house.farewell().await.reason.as_str(), "transport close");
        // The server puts the socket out; the connection and its other namespaces stay.
        let mut ws = house.client().await;
        ws.join("/other").await;
        ws.text(r#"42["put me out"]"#).await;
        ws.expect_text("41").await;
        assert_eq!(house.farewell().await.reason.as_str(), "server namespace disconnect");
        // What was under way is dropped; the client may come back.
        ws.text(r#"421["echo",1]"#).await;
        ws.text(r#"42/other,2["echo",2]"#).await;
        ws.expect_text("43/other,2[2]").await;
        ws.join("/").await;
        // The server closes the connection.
        ws.text(r#"42["hang up"]"#).await;
        ws.expect_text("41/other,").await;
        ws.expect_text("41").await;
        assert_eq!(ws.next().await, Got::End(End::NoCode));
        assert_eq!(house.farewell().await.reason.as_str(), "server namespace disconnect");
        // From outside.
        let mut ws = house.client().await;
        house.io.everyone().disconnect();
        ws.expect_text("41").await;
        assert_eq!(house.farewell().await.reason.as_str(), "server namespace disconnect");
        ws.leave().await;
        let mut polling = Polling::join(house.address).await;
        house.io.everyone().disconnect_connections();
        let mut last = polling.get().await;
        if last == "41" {
            last = polling.get().await;
        }
        assert!(last.ends_with("\u{1e}1") || last == "1", "{last}");
        assert_eq!(house.farewell().await.reason.as_str(), "server namespace disconnect");
        drop(polling);
        // The server goes down.
        let mut ws = house.client().await;
        let mut polling = Polling::join(house.address).await;
        polling.ask().await;
        house.io.close();
        assert_eq!(ws.next().await, Got::End(End::NoCode));
        for _ in 0..2 {
            assert_eq!(house.farewell().await.reason.as_str(), "server shutting down");
        }
        let last = polling.gets.answer().await.body;
        assert!(matches!(&*last, "1" | "6\u{1e}1"), "{last}");
        drop((ws, polling));
        house.lets_go().await;
        assert!(house.farewells.try_recv().is_err(), "each has gone once");
    }

    async fn events_behind_a_disconnect_are_dropped(road: Road) {
        let house = House::start(road).await;
        let mut polling = Polling::join(house.address).await;
        polling.post("421[\"echo\",1]\u{1e}1\u{1e}42[\"say\",2]").await;
        let mut polling = Polling::join(house.address).await;
        polling.post("41\u{1e}40\u{1e}421[\"echo\",1]").await;
        let got = messages(&mut polling, 2).await;
        assert!(got[0].starts_with("40{") && got[1] == "431[1]", "{got:?}");
        polling.post("1").await;
        house.is_unharmed().await;
    }

    async fn calls_to_a_client_that_goes_end_at_once(road: Road) {
        let (tell, mut told) = unbounded_channel();
        let mut house = House::with(road, config(), |server| {
            server.on("ask", async move |socket, (): ()| {
                let call = socket.call::<_, _, Value>("question", &());
                let tell = tell.clone();
                tokio::spawn(async move {
                    let _ = tell.send((call.await, socket));
                });
            })
        })
        .await;
        for way in 0..5 {
            let mut ws = house.client().await;
            ws.text(r#"42["ask"]"#).await;
            assert!(matches!(ws.next().await, Got::Text(text) if text.contains("question")));
            match way {
                0 => ws.text("41").await,
                1 => ws.raw(&frame(0x88, b"")).await,
                2 => ws.text("47").await,
                3 => drop(house.io.everyone().disconnect()),
                _ => ws.reset(),
            }
            let (answer, socket) = within("the call's end", told.recv()).await.unwrap();
            assert!(matches!(answer, Err(CallError::Disconnected)), "way {way}: {answer:?}");
            // And one that has gone already is not even asked.
            let late = within("no answer", socket.call::<_, _, Value>("late", &()).into_future());
            assert!(matches!(late.await, Err(CallError::Disconnected)));
            house.farewell().await;
        }
        house.is_unharmed().await;
    }

    async fn a_socket_that_is_kept_is_harmless(road: Road) {
        let kept = Arc::new(Mutex::new(Vec::<Socket>::new()));
        let keep = Arc::clone(&kept);
        let house = House::with(road, config(), |server| {
            server.on("keep", async move |socket, (): ()| {
                socket.join("room");
                keep.lock().unwrap().push(socket);
                Ack(true)
            })
        })
        .await;
        for n in 0..30 {
            let mut ws = house.client().await;
            ws.text(r#"421["keep"]"#).await;
            ws.expect_text("431[true]").await;
            match n % 3 {
                0 => ws.leave().await,
                1 => ws.reset(),
                _ => ws.text("47").await,
            }
        }
        house.lets_go().await;
        assert_eq!(house.io.room_len("room"), 0);
        let sockets = std::mem::take(&mut *kept.lock().unwrap());
        assert_eq!(sockets.len(), 30);
        for socket in &sockets {
            assert!(!socket.is_connected());
            assert_eq!(socket.emit("late", &"x".repeat(1000)).reached, 0);
            assert_eq!(socket.emit_volatile("late", &()).reached, 0);
            assert_eq!(socket.buffered_bytes(), 0);
            assert!(!socket.join("room"));
            socket.leave("room");
            socket.disconnect();
            socket.disconnect_connection();
            assert_eq!(socket.rooms(), [socket.id(), "room"]);
            assert_eq!(socket.handshake().namespace(), "/");
        }
        house.is_unharmed().await;
        assert_eq!(house.io.room_len("room"), 0);
    }

    async fn handlers_at_work_may_linger_and_no_longer(road: Road) {
        struct Guard(tokio::sync::mpsc::UnboundedSender<&'static str>);
        impl Drop for Guard {
            fn drop(&mut self) {
                let _ = self.0.send("dropped");
            }
        }
        let (tell, mut told) = unbounded_channel();
        let open = Arc::new(Notify::new());
        let gate = Arc::clone(&open);
        let mut config = config();
        config.linger = Duration::from_millis(50);
        let mut house = House::with(road, config, |server| {
            let done = tell.clone();
            server
                .on("finish", async move |_socket, (): ()| {
                    let _ = done.send("begun");
                    gate.notified().await;
                    let _ = done.send("finished");
                })
                .on("hang", async move |_socket, (): ()| {
                    let _guard = Guard(tell.clone());
                    let _ = tell.send("begun");
                    std::future::pending::<()>().await;
                })
        })
        .await;
        let mut ws = house.client().await;
        ws.text(r#"42["hang"]"#).await;
        assert_eq!(within("a handler", told.recv()).await, Some("begun"));
        ws.reset();
        house.farewell().await;
        house.lets_go().await;
        assert_eq!(within("its end", told.recv()).await, Some("dropped"));
        let mut ws = house.client().await;
        ws.text(r#"42["finish"]"#).await;
        assert_eq!(within("a handler", told.recv()).await, Some("begun"));
        open.notify_one();
        ws.reset();
        assert_eq!(within("its end", told.recv()).await, Some("finished"));
        house.farewell().await;
        house.is_unharmed().await;
    }

    async fn a_client_that_goes_while_it_is_admitted_never_was_there(road: Road) {
        struct Ticket(tokio::sync::mpsc::UnboundedSender<()>);
        impl Drop for Ticket {
            fn drop(&mut self) {
                let _ = self.0.send(());
            }
        }
        let (tell, mut told) = unbounded_channel();
        let (ask, mut asked) = unbounded_channel();
        let house = House::with(road, config(), |server| {
            server.mount(Namespace::new("/slow", async move |_| {
                let ticket = Ticket(tell);
                let _ = ask.send(());
                std::future::pending::<()>().await;
                Ok(ticket)
            }))
        })
        .await;
        for way in 0..3 {
            let mut ws = house.client().await;
            ws.text("40/slow,").await;
            within("the question", asked.recv()).await;
            match way {
                0 => ws.leave().await,
                1 => ws.reset(),
                _ => ws.text("47").await,
            }
            within("the end of the admission", told.recv()).await;
        }
        assert_eq!(house.io.of("/slow").len(), 0);
        house.lets_go().await;
    }

    async fn a_client_that_reads_nothing_is_put_out(road: Road) {
        let mut config = config();
        config.max_queued_bytes = 1 << 20;
        let mut house = House::with(road, config, |server| server).await;
        let ws = house.client().await;
        let polling = Polling::join(house.address).await;
        let news = "x".repeat(100_000);
        until("both being put out", || {
            for _ in 0..20 {
                house.io.emit("news", &news);
            }
            house.io.connections() == 0
        })
        .await;
        for _ in 0..2 {
            let reason = house.farewell().await.reason;
            assert_eq!(reason.as_str(), "transport close");
            assert_eq!(reason.detail(), "the client did not take what was queued for it");
        }
        // Let go although the client still has not read.
        drop(polling);
        house.lets_go().await;
        drop(ws);
        house.is_unharmed().await;
    }

    async fn a_client_that_does_not_answer_our_close_is_let_go(road: Road) {
        let mut config = config();
        config.close_timeout = Duration::from_millis(50);
        let house = House::with(road, config, |server| server).await;
        let mut clients = [house.client().await, house.client().await];
        house.io.everyone().disconnect_connections();
        // One goes on sending as if nothing had happened, until nobody is there to take it.
        let event = frame(0x81, br#"42["say",1]"#);
        while clients[0].peer.try_send(&event).await {
            tokio::task::yield_now().await;
        }
        house.lets_go().await;
        for ws in &mut clients {
            ws.expect_text("41").await;
            let end = ws.next().await;
            assert!(matches!(end, Got::End(_)), "{end:?}");
        }
    }

    async fn an_upgrade_loses_nothing_and_keeps_the_order(road: Road) {
        let house = House::start(road).await;
        let mut polling = Polling::join(house.address).await;
        house.io.emit("n", &0);
        assert_eq!(messages(&mut polling, 1).await, [r#"42["n",0]"#]);
        polling.ask().await;
        let mut ws = probe(&polling).await;
        // The GET that waits is answered, so that the client can pause.
        assert_eq!(polling.gets.answer().await.body, "6");
        // What is said now waits for either.
        for n in 1..10 {
            house.io.emit("n", &n);
        }
        polling.post(r#"421["echo",1]"#).await;
        ws.raw(&[frame(0x81, b"5"), frame(0x81, br#"422["echo",2]"#)].concat()).await;
        let mut got = Vec::new();
        while got.len() < 11 {
            let Got::Text(text) = ws.next().await else { panic!("{got:?}") };
            assert_ne!(text, "6", "a NOOP on a WebSocket");
            got.push(text);
        }
        let expected: Vec<_> = (1..10)
            .map(|n| format!(r#"42["n",{n}]"#))
            .chain(["431[1]".into(), "432[2]".into()])
            .collect();
        assert_eq!(got, expected);
        // Polling is over for this session.
        assert_eq!(polling.get_answer().await.status, 400);
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn a_post_that_began_before_the_upgrade_is_handled_first(road: Road) {
        let house = House::start(road).await;
        let mut polling = Polling::join(house.address).await;
        let body = post(&polling.query(), r#"421["echo",1]"#);
        let (begun, rest) = body.split_at(body.len() - 3);
        polling.posts.send(begun).await;
        // That it has begun shows in a second one, which we cannot send. The probe takes a request
        // and two frames, each of which is read by the same threads.
        let mut ws = probe(&polling).await;
        ws.raw(&[frame(0x81, b"5"), frame(0x81, br#"422["echo",2]"#)].concat()).await;
        polling.posts.send(rest).await;
        let answer = polling.posts.answer().await;
        if answer.status == 200 {
            ws.expect_text("431[1]").await;
        }
        ws.expect_text("432[2]").await;
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn an_upgrade_that_fails_at_any_step_leaves_the_session_polling(road: Road) {
        let house = House::with(road, hasty(), |server| server).await;
        let mut polling = Polling::join(house.address).await;
        for step in 0..12 {
            let before = format!(r#"42["before",{step}]"#);
            house.io.emit("before", &step);
            match step {
                // Said nothing, in time.
                0 => assert_eq!(offer(&polling).await.end().await, End::NoCode),
                // Was cut.
                1 => offer(&polling).await.reset(),
                // Closed in order.
                2 => {
                    let mut ws = offer(&polling).await;
                    ws.raw(&frame(0x88, b"")).await;
                    ws.end().await;
                }
                // Said something else.
                3..=6 => {
                    let mut ws = offer(&polling).await;
                    let text = ["2", "2prob", r#"42["say",1]"#, "9"][step - 3];
                    ws.text(text).await;
                    assert_eq!(ws.end().await, End::NoCode, "{text}");
                }
                // Broke the protocol.
                7 => {
                    let mut ws = offer(&polling).await;
                    ws.raw(&frame(0x83, b"")).await;
                    ws.end().await;
                }
                // Was probed, and said nothing more, was cut, or said something else.
                8 => assert_eq!(probe(&polling).await.end().await, End::NoCode),
                9 => probe(&polling).await.reset(),
                10 => {
                    let mut ws = probe(&polling).await;
                    ws.text(r#"42["say",1]"#).await;
                    assert_eq!(ws.end().await, End::NoCode);
                }
                _ => {
                    let mut ws = probe(&polling).await;
                    ws.raw(&frame(0x81, b"5")[..4]).await;
                    assert_eq!(ws.end().await, End::NoCode);
                }
            }
            house.io.emit("after", &step);
            let after = format!(r#"42["after",{step}]"#);
            assert_eq!(messages(&mut polling, 2).await, [before, after], "step {step}");
            polling.post(&format!(r#"427["echo",{step}]"#)).await;
            assert_eq!(messages(&mut polling, 1).await, [format!("437[{step}]")]);
            // A client may fail only so often; the next one is another client.
            if step % 4 == 3 {
                polling.post("1").await;
                polling = Polling::join(house.address).await;
            }
        }
        polling.post("1").await;
        house.is_unharmed().await;
    }

    async fn of_two_upgrades_at_once_one_is_let_in(road: Road) {
        let house = House::start(road).await;
        let mut polling = Polling::join(house.address).await;
        let mut first = probe(&polling).await;
        let mut second = offer(&polling).await;
        assert_eq!(second.next().await, Got::End(End::NoCode));
        first.text("5").await;
        first.text(r#"421["echo",1]"#).await;
        first.expect_text("431[1]").await;
        let mut third = offer(&polling).await;
        assert_eq!(third.next().await, Got::End(End::NoCode));
        first.text(r#"422["echo",2]"#).await;
        first.expect_text("432[2]").await;
        first.leave().await;
        assert_eq!(polling.get_answer().await.status, 400);
        house.is_unharmed().await;
    }

    async fn a_session_that_ends_during_its_upgrade_takes_the_probe_along(road: Road) {
        let mut house = House::start(road).await;
        for step in 0..3 {
            let mut polling = Polling::join(house.address).await;
            let mut ws = match step {
                0 => offer(&polling).await,
                _ => probe(&polling).await,
            };
            match step {
                2 => polling.post("9").await,
                _ => polling.post("1").await,
            }
            house.farewell().await;
            let end = ws.end().await;
            assert!(matches!(end, End::NoCode | End::Abnormal), "{end:?}");
        }
        house.lets_go().await;
        house.is_unharmed().await;
    }

    async fn a_hundred_clients_come_and_go_and_nothing_is_left(road: Road) {
        let mut house = House::start(road).await;
        let mut tasks = Vec::new();
        for n in 0..100 {
            let address = house.address;
            tasks.push(tokio::spawn(async move {
                let mut ws = match n % 4 {
                    0 => {
                        let mut polling = Polling::join(address).await;
                        let mut ws = probe(&polling).await;
                        ws.text("5").await;
                        polling.get_answer().await;
                        ws
                    }
                    _ => {
                        let mut ws = Ws::open(address).await;
                        ws.join("/").await;
                        ws
                    }
                };
                for n in 0..10 {
                    ws.text(&format!(r#"42{n}["echo",{n}]"#)).await;
                    ws.expect_text(&format!("43{n}[{n}]")).await;
                }
                if n % 2 == 0 { ws.leave().await } else { ws.reset() }
            }));
        }
        for task in tasks {
            within("a client's end", task).await.unwrap();
        }
        for _ in 0..100 {
            house.farewell().await;
        }
        house.lets_go().await;
        assert!(house.farewells.try_recv().is_err(), "each has gone once");
    }
}

#[tokio::test]
async fn a_server_that_stops_tells_its_clients_and_returns() {
    let mut house = House::start(Road::Own).await;
    let mut ws = house.client().await;
    let mut polling = Polling::join(house.address).await;
    polling.ask().await;
    // One that will not answer our close frame.
    let mut deaf = house.client().await;
    let answered = tokio::spawn(async move {
        assert_eq!(ws.next().await, Got::End(End::NoCode));
        ws.raw(&frame(0x88, b"")).await;
        polling.gets.answer().await.body
    });
    house.stop().await;
    let last = within("the last words", answered).await.unwrap();
    assert!(matches!(&*last, "1" | "6\u{1e}1"), "{last}");
    for _ in 0..3 {
        assert_eq!(
            house.farewell().await.reason.as_str(),
            "server shutting down"
        );
    }
    assert!(matches!(deaf.next().await, Got::End(_)));
    assert_eq!(house.io.connections(), 0);
    assert_eq!(house.descriptors(), 0);
}

#[tokio::test]
async fn a_server_that_stops_lets_nobody_in_on_connections_that_are_left() {
    let (begun, done) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (began, finish) = (Arc::clone(&begun), Arc::clone(&done));
    let mut config = config();
    config.close_timeout = Duration::from_secs(20);
    let mut house = House::with(Road::Own, config, |server| {
        server.on("work", async move |_, ()| {
            began.add_permits(1);
            let _ = finish.acquire().await;
        })
    })
    .await;
    let mut ws = house.client().await;
    ws.text(r#"42["work"]"#).await;
    let _ = within("the handler", begun.acquire()).await.unwrap();
    let mut peer = Peer::connect(house.address).await;
    let handshake = format!("{}\r\n", get("EIO=4&transport=polling"));
    peer.send(&handshake).await;
    let answer = peer.answer().await;
    let sid = support::sid_of(answer.body.strip_prefix('0').unwrap());
    let query = format!("EIO=4&transport=polling&sid={sid}");
    peer.send(post(&query, "1")).await;
    assert_eq!(peer.answer().await.body, "ok");
    let io = house.io.clone();
    let late = async {
        until("all connections closed", || io.connections() == 0).await;
        peer.send(&handshake).await;
        let answer = peer.answer().await;
        assert_eq!(answer.status, 503, "{answer:?}");
        ws.raw(&frame(0x88, b"")).await;
        done.add_permits(1);
    };
    tokio::join!(house.stop(), late);
}
