//! Clients that do not take what they are sent, and senders that wait for them.

mod support;

use std::{
    future::IntoFuture,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use sio_server::{Ack, CallError, EmitError, Limit, Namespace, Reason, Server, SlowClients};
use support::{Got, House, Peer, Polling, Road, Ws, config, in_time, on_every_road, until, within};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::mpsc::unbounded_channel,
};

/// More than the kernel takes for a client that does not read.
const MUCH: usize = 400;

const WEBSOCKET: &str = "EIO=4&transport=websocket";

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

    async fn packets_that_wait_are_counted_too(road: Road) {
        const MAX: usize = 20;
        for total in [MAX - 1, MAX, MAX + 1] {
            let mut config = config();
            config.max_queued_packets = MAX;
            let mut house = House::with(road, config, |server| server).await;
            let mut polling = Polling::join(house.address).await;
            let reached: Vec<_> = (0..total).map(|n| house.io.emit("n", &n).reached).collect();
            if total <= MAX {
                assert!(reached.iter().all(|&one| one == 1), "{total}");
                assert_eq!(polling.get().await.split('\x1e').count(), total);
                polling.post("1").await;
            } else {
                assert_eq!(reached[MAX], 0);
                let reason = house.farewell().await.reason;
                assert_eq!(reason.as_str(), "transport close");
                assert_eq!(reason.detail(), "the client did not take what was queued for it");
                assert_eq!(house.io.counters().closed(Reason::SlowConsumer), 1);
            }
            house.empties().await;
        }
    }

    async fn a_queue_may_be_long_for_a_while_only(road: Road) {
        const SOFT: usize = 10_000;
        let total = |total: usize| async move |patience: Duration| {
            let mut config = config();
            config.soft_queued_bytes = SOFT;
            config.soft_queued_time = patience;
            let mut house = House::with(road, config, |server| server).await;
            let mut polling = Polling::join(house.address).await;
            let mut patient = Polling::join(house.address).await;
            let frame = |len: usize| len - 4 - r#"42["news",""]"#.len();
            let (first, second) = ("x".repeat(frame(7000)), "y".repeat(frame(total - 7000)));
            let began = Instant::now();
            assert_eq!(house.io.emit("news", &first).reached, 2);
            assert_eq!(house.io.emit("news", &second).reached, 2);
            // One that fetches it in time has nothing to fear.
            let answer = patient.get_answer().await;
            if began.elapsed() >= patience {
                return false;
            }
            assert!(answer.body.len() > 9000);
            if total <= SOFT {
                tokio::time::sleep(patience * 2).await;
                assert!(polling.get().await.len() > 9000, "{total}");
                polling.post("1").await;
            } else {
                let reason = house.farewell().await.reason;
                assert_eq!(reason.as_str(), "transport close");
                assert_eq!(reason.detail(), "too much was queued for the client for too long");
                assert_eq!(house.io.counters().closed(Reason::SlowConsumerSoft), 1);
                tokio::time::sleep(patience * 2).await;
            }
            assert_eq!(house.io.emit("news", &1).reached, 1);
            assert_eq!(patient.get().await, r#"42["news",1]"#);
            patient.post("1").await;
            house.empties().await;
            true
        };
        for bytes in [SOFT - 1, SOFT, SOFT + 1] {
            in_time(total(bytes)).await;
        }
    }

    async fn a_transport_that_takes_nothing_is_closed_in_time(road: Road) {
        let mut config = config();
        config.write_timeout = Duration::from_millis(300);
        // Whatever is done with slow clients.
        config.slow_clients = SlowClients::Refuse;
        let mut house = House::with(road, config, |server| server).await;
        let ws = house.client().await;
        let pad = "x".repeat(50_000);
        let mut emitted = 0;
        while house.io.emit("flood", &pad).reached == 1 {
            emitted += 1;
            assert!(emitted < 10 * MUCH, "the kernel takes all of it");
            tokio::task::yield_now().await;
        }
        // It is there, but does not read.
        let farewell = house.farewell().await;
        assert_eq!(farewell.reason.as_str(), "transport close");
        assert_eq!(farewell.reason.detail(), "the transport took nothing for too long");
        assert_eq!(house.io.counters().closed(Reason::WriteStalled), 1);
        drop(ws);
        house.is_unharmed().await;
    }

    async fn what_is_volatile_may_wait_and_goes_first_when_there_is_no_room(road: Road) {
        let mut config = config();
        config.max_queued_packets = 6;
        let mut house = House::with(road, config, |server| {
            server.mount(Namespace::open("/drop").slow_clients(SlowClients::DropVolatileOnly))
        })
        .await;
        let io = house.io.of("/drop");
        let mut polling = Polling::open(house.address).await;
        polling.post("40/drop,").await;
        assert!(polling.get().await.starts_with("40/drop,"));
        // Nobody waits for it, and it is kept.
        for n in 1..=4 {
            assert_eq!(io.everyone().volatile().emit("v", &n).reached, 1);
        }
        for n in 5..=8 {
            assert_eq!(io.emit("r", &n).reached, 1, "{n}");
        }
        let expected = ["v\",3", "v\",4", "r\",5", "r\",6", "r\",7", "r\",8"];
        let expected = expected.map(|event| format!("42/drop,[\"{event}]")).join("\x1e");
        assert_eq!(polling.get().await, expected);
        assert_eq!(house.io.counters().volatile_dropped, 2);
        // A volatile one never drives out what is not.
        for n in 1..=6 {
            assert_eq!(io.emit("r", &n).reached, 1);
        }
        assert_eq!(io.everyone().volatile().emit("v", &7).reached, 0);
        assert_eq!(house.io.counters().volatile_dropped, 3);
        assert_eq!(polling.get().await.split('\x1e').count(), 6);
        // Of the server's other namespaces it is dropped at once, unless an emit wants it otherwise.
        polling.post("40").await;
        assert!(polling.get().await.starts_with("40{"));
        let everyone = house.io.everyone().volatile();
        assert_eq!(everyone.emit("v", &1).reached, 0);
        assert_eq!(house.io.counters().volatile_dropped, 4);
        let kept = everyone.slow_clients(SlowClients::DropVolatileOnly);
        assert_eq!(kept.emit("v", &2).reached, 1);
        assert_eq!(polling.get().await, r#"42["v",2]"#);
        // Without anything volatile that waits the connection is closed as ever.
        for n in 1..=6 {
            assert_eq!(io.emit("r", &n).reached, 1);
        }
        assert_eq!(io.emit("r", &7).reached, 0);
        house.farewell().await;
        house.is_unharmed().await;
    }

    async fn a_namespace_or_an_emit_may_refuse_where_others_disconnect(road: Road) {
        let mut config = config();
        config.max_queued_packets = 2;
        let mut house = House::with(road, config, |server| {
            server.mount(Namespace::open("/calm").slow_clients(SlowClients::Refuse))
        })
        .await;
        let calm = house.io.of("/calm");
        let mut polling = Polling::join(house.address).await;
        polling.post("40/calm,").await;
        assert!(polling.get().await.starts_with("40/calm,"));
        for reached in [1, 1, 0, 0] {
            assert_eq!(calm.emit("n", &1).reached, reached);
        }
        let refusing = house.io.everyone().slow_clients(SlowClients::Refuse);
        assert_eq!(refusing.emit("n", &2).reached, 0);
        let socket = house.io.everyone().sockets::<()>().remove(0);
        let answers = calm.everyone().call::<_, _, ()>("ask", &()).await.unwrap();
        assert!(matches!(answers.missing[..], [(_, CallError::Full)]), "{answers:?}");
        assert_eq!(house.io.counters().limit(Limit::Queue), 4);
        assert!(socket.is_connected());
        // The namespace that did not ask for it closes the connection, for all.
        assert_eq!(house.io.emit("n", &3).reached, 0);
        house.farewell().await;
        house.is_unharmed().await;
    }

    async fn who_can_wait_for_room_loses_nothing_and_keeps_the_bound(road: Road) {
        for recovery in [false, true] {
            let mut config = config();
            config.max_queued_bytes = 300_000;
            config.recovery = recovery.then(Default::default);
            let highest = Arc::new(AtomicUsize::new(0));
            let seen = Arc::clone(&highest);
            let house = House::with(road, config, |server| {
                server.on("send", async move |socket, ()| {
                    let pad = "x".repeat(100_000);
                    // From another task than the connection's, and from its own.
                    let (other, their_pad) = (socket.clone(), pad.clone());
                    let sent = tokio::spawn(async move {
                        for n in 0..40 {
                            let patience = Duration::from_secs(20);
                            other.emit_within(patience, "chunk", &(n, &their_pad)).await?;
                        }
                        Ok::<_, EmitError>(())
                    });
                    for n in 40..80 {
                        let patience = Duration::from_secs(20);
                        socket.emit_within(patience, "chunk", &(n, &pad)).await.unwrap();
                        seen.fetch_max(socket.buffered_bytes(), Ordering::SeqCst);
                    }
                    sent.await.unwrap().unwrap();
                    Ack(1)
                })
            })
            .await;
            let mut ws = Ws::open(house.address).await;
            ws.text("40").await;
            let Got::Text(_) = ws.next().await else { panic!() };
            ws.text(r#"420["send"]"#).await;
            let (mut first, mut second) = (0..40, 40..80);
            for n in 0..80 {
                if n % 10 == 0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                let Got::Text(text) = ws.next().await else { panic!("the end at {n}") };
                let number: usize = text[r#"42["chunk","#.len()..].split(',').next().unwrap().parse().unwrap();
                let expected = if number < 40 { first.next() } else { second.next() };
                assert_eq!(Some(number), expected);
            }
            ws.expect_text("430[1]").await;
            // What a turn says to its own client may come on top.
            assert!(highest.load(Ordering::SeqCst) <= 300_000 + (256 << 10) + 100_100);
            ws.leave().await;
            house.io.everyone().disconnect();
        }
    }

    async fn who_waits_for_room_in_vain_learns_of_it(road: Road) {
        for (slow, stays) in [(SlowClients::Disconnect, false), (SlowClients::Refuse, true)] {
            let mut config = config();
            config.max_queued_packets = 2;
            config.slow_clients = slow;
            let mut house = House::with(road, config, |server| server).await;
            let mut polling = Polling::join(house.address).await;
            let socket = house.io.everyone().sockets::<()>().remove(0);
            let patience = Duration::from_millis(50);
            for n in 0..2 {
                socket.emit_within(patience, "n", &n).await.unwrap();
            }
            let error = socket.emit_within(patience, "n", &2).await.unwrap_err();
            assert!(matches!(error, EmitError::SlowClient(max) if max == patience), "{error}");
            if stays {
                assert_eq!(polling.get().await, "42[\"n\",0]\x1e42[\"n\",1]");
                // A client that takes what there is makes room.
                for n in 3..5 {
                    socket.emit_within(patience, "n", &n).await.unwrap();
                }
                let patience = Duration::from_secs(20);
                let (sent, answer) =
                    tokio::join!(socket.emit_within(patience, "n", &5).into_future(), polling.get());
                sent.unwrap();
                assert_eq!(answer, "42[\"n\",3]\x1e42[\"n\",4]");
                assert_eq!(polling.get().await, r#"42["n",5]"#);
                polling.post("1").await;
            } else {
                assert_eq!(house.farewell().await.reason.detail(), "the client did not take what was queued for it");
            }
            house.empties().await;
            let gone = socket.emit_within(Duration::from_secs(20), "n", &6).await;
            assert!(matches!(gone, Err(EmitError::Disconnected)), "{gone:?}");
        }
    }

    async fn a_queue_that_has_become_short_enough_is_not_held_to_be_long(road: Road) {
        const SOFT: usize = 3 << 20;
        let mut config = config();
        config.soft_queued_bytes = SOFT;
        config.soft_queued_time = Duration::from_secs(2);
        let house = House::with(road, config, |server| server).await;
        // Whose kernel takes little.
        let stream = TcpSocket::new_v4().unwrap();
        stream.set_recv_buffer_size(64 << 10).unwrap();
        let stream = within("a connection", stream.connect(house.address)).await.unwrap();
        let mut ws = Ws::over(Peer { stream, unread: Vec::new() });
        ws.peer.send(support::request(WEBSOCKET)).await;
        ws.accepted(WEBSOCKET).await;
        ws.opened().await;
        ws.join("/").await;
        let socket = house.io.everyone().sockets::<()>().remove(0);
        let pad = "x".repeat(8 << 20);
        assert_eq!(socket.emit("news", &pad).reached, 1);
        until("what the kernel takes", || socket.buffered_bytes() < pad.len()).await;
        assert!(socket.buffered_bytes() > SOFT, "the kernel takes too much of it");
        while socket.buffered_bytes() > SOFT {
            assert!(ws.peer.read().await);
        }
        assert!(socket.buffered_bytes() > 0);
        tokio::time::sleep(Duration::from_millis(2500)).await;
        assert!(socket.is_connected() && socket.buffered_bytes() > 0);
        ws.reset();
        house.is_unharmed().await;
    }

    async fn an_event_for_an_old_client_waits_for_as_much_room_as_it_takes_there(road: Road) {
        const MAX: usize = 10_000;
        let mut config = config();
        config.engine.allow_eio3 = true;
        config.max_queued_bytes = MAX;
        let house = House::with(road, config, |server| server).await;
        let _polling = old(&house).await;
        until("its coming", || house.io.len() == 1).await;
        let socket = house.io.everyone().sockets::<()>().remove(0);
        // Its CONNECT waits. Frames have heads of 2 and 4 bytes.
        assert_eq!(socket.buffered_bytes(), "40".len() + 2);
        let text = r#"451-["news",{"_placeholder":true,"num":0}]"#.len() + 2;
        let photo = Bytes::from(vec![7; MAX - socket.buffered_bytes() - text - 4]);
        // With the type in front of its bytes, which others do not have, it is one too long. What does not
        // give up would never come back.
        let (tell, mut told) = unbounded_channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let sent = socket.emit_within(Duration::from_millis(50), "news", &photo);
            let _ = tell.send(runtime.block_on(sent.into_future()));
        });
        let sent = within("an answer", told.recv()).await.unwrap();
        assert!(matches!(sent, Err(EmitError::SlowClient(_))), "{sent:?}");
    }

    async fn sec_f14_pings_of_an_old_client_that_fetches_nothing_do_not_pile_up(road: Road) {
        let mut config = config();
        config.engine.allow_eio3 = true;
        let house = House::with(road, config, |server| server).await;
        let (mut posts, query) = old(&house).await;
        until("its coming", || house.io.len() == 1).await;
        let socket = house.io.everyone().sockets::<()>().remove(0);
        for _ in 0..3 {
            posts.send(support::post(&query, &"1:2".repeat(10_000))).await;
            assert_eq!(posts.answer().await.body, "ok");
        }
        assert!(socket.buffered_bytes() < 100, "{} bytes wait", socket.buffered_bytes());
        posts.send(format!("{}\r\n", support::get(&query))).await;
        assert_eq!(posts.answer().await.body, "2:401:3");
    }
}

/// A client of revision 3 that polls, with its query.
async fn old(house: &House) -> (Peer, String) {
    let mut peer = Peer::connect(house.address).await;
    let query = "EIO=3&transport=polling";
    peer.send(format!("{}\r\n", support::get(query))).await;
    let body = peer.answer().await.body;
    let (_, rest) = body.split_once(r#""sid":""#).expect("an open packet");
    let (sid, _) = rest.split_once('"').expect("an id");
    let query = format!("{query}&sid={sid}");
    (peer, query)
}

/// Lets something happen while it is about to take what it is given.
struct Meddled {
    stream: TcpStream,
    meddle: Arc<Mutex<Option<Meddle>>>,
}

type Meddle = Box<dyn FnOnce() + Send>;

impl AsyncRead for Meddled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Meddled {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let meddle = self.meddle.lock().unwrap().take();
        if let Some(meddle) = meddle {
            std::thread::spawn(meddle).join().unwrap();
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn what_a_stream_has_been_given_is_not_dropped_to_make_room() {
    let mut config = config();
    config.max_queued_packets = 4;
    config.slow_clients = SlowClients::DropVolatileOnly;
    let server = Server::new().config(config);
    let io = server.io();
    let service = server.into_service().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let meddle = Arc::<Mutex<Option<Meddle>>>::default();
    let of_stream = Arc::clone(&meddle);
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let stream = Meddled {
            stream,
            meddle: of_stream,
        };
        let http = hyper::server::conn::http1::Builder::new();
        let serving = http.serve_connection(TokioIo::new(stream), service);
        serving.with_upgrades().await.unwrap();
    });
    let mut ws = Ws::open(address).await;
    ws.join("/").await;
    // The first alone fills a write; the second would have to be what is left of it.
    let volatile = io.everyone().volatile();
    for (event, len) in [("a", 10_000), ("b", 12_000), ("c", 1)] {
        assert_eq!(volatile.emit(event, &"x".repeat(len)).reached, 1);
    }
    let others = io.clone();
    *meddle.lock().unwrap() = Some(Box::new(move || {
        for event in ["d", "e"] {
            assert_eq!(others.emit(event, &1).reached, 1);
        }
    }));
    for event in ["a", "c", "d", "e"] {
        let Got::Text(text) = ws.next().await else {
            panic!("the end before {event}")
        };
        let start = format!(r#"42["{event}","#);
        assert!(
            text.starts_with(&start),
            "{event}: {}",
            &text[..20.min(text.len())]
        );
    }
    ws.leave().await;
}
