//! Clients that do not take what they are sent, and senders that wait for them.

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sio_server::{Ack, CallError, SlowClients};
use support::{Got, House, Polling, Road, config, on_every_road, until, within};
use tokio::sync::mpsc::unbounded_channel;

/// More than the kernel takes for a client that does not read.
const MUCH: usize = 400;

on_every_road! {
    async fn sec_f14_what_waits_may_reach_its_limit_and_not_a_byte_more(road: Road) {
        const MAX: usize = 10_000;
        for total in [MAX - 1, MAX, MAX + 1] {
            let mut config = config();
            config.max_queued_bytes = MAX;
            let house = House::with(road, config, |server| server).await;
            // It polls, and asks for nothing: everything waits.
            let mut polling = Polling::join(house.address).await;
            let frame = |len: usize| len - 4 - r#"42["news",""]"#.len();
            let (first, second) = ("x".repeat(frame(7000)), "y".repeat(frame(total - 7000)));
            assert_eq!(house.io.emit("news", &first).reached, 1);
            let reached = house.io.emit("news", &second).reached;
            if total <= MAX {
                assert_eq!(reached, 1, "{total} bytes");
                let expected = format!("42[\"news\",\"{first}\"]\x1e42[\"news\",\"{second}\"]");
                assert!(polling.get().await == expected);
                polling.post("1").await;
            } else {
                assert_eq!(reached, 0, "{total} bytes");
            }
            house.empties().await;
        }
    }

    async fn an_event_that_finds_no_room_is_refused_and_the_connection_stays(road: Road) {
        let mut config = config();
        config.slow_clients = SlowClients::Refuse;
        config.max_queued_bytes = 1 << 20;
        let (tell, mut told) = unbounded_channel();
        let house = House::with(road, config, |server| {
            server.on("flood", async move |socket, ()| {
                let pad = "x".repeat(50_000);
                let mut taken = Vec::new();
                for n in 0..MUCH {
                    // Another task's emits are queued, as those of a handler that has waited are.
                    tokio::task::yield_now().await;
                    let sent = match n % 2 {
                        0 => socket.emit("flood", &(n, &pad)),
                        _ => socket.everyone().emit("flood", &(n, &pad)),
                    };
                    taken.extend((sent.reached == 1).then_some(n));
                }
                let full = socket.call::<_, _, ()>("ask", &pad).await;
                let all = socket.everyone().call::<_, _, ()>("ask", &pad).await.unwrap();
                assert!(matches!(full, Err(CallError::Full)), "{full:?}");
                assert!(matches!(all.missing[..], [(_, CallError::Full)]), "{all:?}");
                let _ = tell.send((taken, socket.buffered_bytes()));
                Ack("done")
            })
        })
        .await;
        let mut ws = house.client().await;
        ws.text(r#"421["flood"]"#).await;
        let (taken, buffered) = within("the flood's end", told.recv()).await.unwrap();
        assert!(taken.len() < MUCH, "the kernel took all of it");
        assert!(buffered <= (1 << 20) + 60_000, "{buffered} bytes wait");
        for n in taken {
            let Got::Text(text) = ws.next().await else { panic!("the end before {n}") };
            assert!(text.starts_with(&format!(r#"42["flood",{n},"x"#)), "{n} is missing");
        }
        // The ack was sent all the same, behind them.
        ws.expect_text(r#"431["done"]"#).await;
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn a_sender_that_waits_sends_more_than_may_be_queued(road: Road) {
        let mut config = config();
        config.max_queued_bytes = 300_000;
        let highest = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&highest);
        let house = House::with(road, config, |server| {
            server.on("send", async move |socket, ()| {
                let pad = "x".repeat(100_000);
                for n in 0..50 {
                    socket.emit("chunk", &(n, &pad));
                    seen.fetch_max(socket.buffered_bytes(), Ordering::SeqCst);
                    assert!(socket.flushed().await);
                    assert_eq!(socket.buffered_bytes(), 0);
                }
                Ack(1)
            })
        })
        .await;
        let mut ws = house.client().await;
        ws.text(r#"420["send"]"#).await;
        for n in 0..50 {
            if n % 10 == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let Got::Text(text) = ws.next().await else { panic!() };
            assert!(text.starts_with(&format!(r#"42["chunk",{n},"#)));
        }
        ws.expect_text("430[1]").await;
        assert!(highest.load(Ordering::SeqCst) <= 300_000);
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn who_waits_for_a_client_that_goes_learns_of_it(road: Road) {
        let (tell, mut told) = unbounded_channel();
        let mut config = config();
        config.max_queued_bytes = 100 << 20;
        let house = House::with(road, config, |server| {
            server.on("flood", async move |socket, ()| {
                let pad = "x".repeat(100_000);
                for _ in 0..200 {
                    socket.emit("flood", &pad);
                }
                tokio::spawn(async move {
                    let _ = tell.send(None);
                    let _ = tell.send(Some(socket.flushed().await));
                });
            })
        })
        .await;
        let mut ws = house.client().await;
        ws.text(r#"42["flood"]"#).await;
        assert_eq!(within("a beginning", told.recv()).await, Some(None));
        until("bytes that wait", || {
            house.io.everyone().sockets::<()>().iter().all(|socket| socket.buffered_bytes() > 0)
        })
        .await;
        ws.reset();
        assert_eq!(within("an end", told.recv()).await, Some(Some(false)));
        house.is_unharmed().await;
    }

    async fn what_a_polling_client_has_fetched_has_left(road: Road) {
        let (tell, mut told) = unbounded_channel();
        let house = House::with(road, config(), |server| {
            server.on("say", async move |socket, ()| {
                socket.emit("said", &1);
                let _ = tell.send(socket.flushed().await);
            })
        })
        .await;
        let mut polling = Polling::join(house.address).await;
        polling.post(r#"42["say"]"#).await;
        assert!(told.try_recv().is_err(), "nobody has asked for it");
        assert_eq!(polling.get().await, r#"42["said",1]"#);
        assert_eq!(within("it", told.recv()).await, Some(true));
        polling.post("1").await;
        house.is_unharmed().await;
    }
}
