//! The client for applications' own tests.
//!
//! All run on a paused clock: none of them takes any time, not even those that wait for a heartbeat.

use std::{
    future::IntoFuture,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use serde_json::json;
use sio_server::{
    Ack, CallError, Config, DisconnectReason, Event, Handshake, Limit, Namespace, Reason, Refuse,
    Server, SlowClients,
    testing::{Client, End, Error, TestServer},
};
use tokio::sync::mpsc;

async fn pair(server: Server) -> (TestServer, Client) {
    let server = TestServer::new(server).expect("it goes together");
    let client = server.connect("/").await.expect("everybody may come in");
    (server, client)
}

/// A server that tells why its sockets go.
fn with_farewells() -> (Server, mpsc::UnboundedReceiver<DisconnectReason>) {
    let (tell, farewells) = mpsc::unbounded_channel();
    let server = Server::new().on_disconnect(async move |_socket, reason| {
        let _ = tell.send(reason);
    });
    (server, farewells)
}

#[tokio::test(start_paused = true)]
async fn acks_go_both_ways() {
    const ASK: Event<String, String> = Event::new("ask");
    let server = Server::new().on("start", async |socket, name: String| {
        let answer: String = socket.call(ASK, &name).await?;
        Ok::<_, CallError>(Ack(format!("{name} says {answer}")))
    });
    let (_server, ann) = pair(server).await;
    ann.on(ASK, |name| Ack(format!("yes, {name}")));
    let answer: String = ann.call("start", "Ann").await.unwrap();
    assert_eq!(answer, "Ann says yes, Ann");
    assert!(ann.received().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_polls_hears_and_says_the_same() {
    let (server, mut farewells) = with_farewells();
    let server = server
        .parser(sio_server::Msgpack)
        .on("pass", async |socket, (name, data): (String, Bytes)| {
            let answer: Bytes = socket.call("check", &data).await?;
            socket.broadcast().emit("passed", &(name, &data));
            Ok::<_, CallError>(Ack((socket.transport().as_str(), answer)))
        })
        .mount(Namespace::new("/closed", async |_| {
            Err::<(), _>(Refuse::new("nobody"))
        }));
    let server = TestServer::new(server).unwrap();
    let polling = server.connect("/").polling().header("X-Who", "Ann");
    let polling = polling.query("from=work").await.unwrap();
    let packed = server.connect("/").polling().parser(sio_server::Msgpack);
    let packed = packed.await.unwrap();
    let data = Bytes::from_static(b"\x00\xff\xd8");
    for (from, to) in [(&polling, &packed), (&packed, &polling)] {
        from.on("check", |data: Bytes| Ack(data));
        let answer: (String, Bytes) = from.call("pass", &("photo", &data)).await.unwrap();
        assert_eq!(answer, ("polling".into(), data.clone()));
        let passed: (String, Bytes) = to.expect("passed").await.unwrap();
        assert_eq!(passed, ("photo".into(), data.clone()));
    }
    let refused = polling.join("/closed").await.err().unwrap();
    assert!(matches!(refused, Error::Refused { message, .. } if message == "nobody"));

    // Heartbeats go by in their time; a client that stalls misses them, and what it is sent.
    tokio::time::advance(Duration::from_secs(100)).await;
    assert!(polling.is_connected());
    polling.stall();
    server.io().to(polling.id()).emit("late", &1);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(polling.received().len() <= 1, "one GET was on its way");
    server.io().to(polling.id()).emit("late", &2);
    assert_eq!(polling.received(), []);
    polling.resume();
    let late: u32 = polling.expect("late").await.unwrap();
    assert!(late > 0);

    let end = async |farewells: &mut mpsc::UnboundedReceiver<DisconnectReason>| {
        farewells.recv().await.unwrap().as_str()
    };
    polling.disconnect().await.unwrap();
    assert_eq!(end(&mut farewells).await, "client namespace disconnect");
    packed.close().await.unwrap();
    assert_eq!(end(&mut farewells).await, "transport close");
    server
        .connect("/")
        .polling()
        .await
        .unwrap()
        .drop_connection();
    assert_eq!(end(&mut farewells).await, "transport error");
    let silent = server.connect("/").polling().await.unwrap();
    silent.stall();
    assert_eq!(end(&mut farewells).await, "ping timeout");
    let put_out = server.connect("/").polling().await.unwrap();
    server.io().everyone().disconnect_connections().await;
    assert!(matches!(
        put_out.ended().await.unwrap(),
        End::PutOut | End::Closed(None)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_upgrades_loses_nothing_and_keeps_the_order() {
    let (heard, mut hears) = mpsc::unbounded_channel();
    let (server, mut farewells) = with_farewells();
    let server = server
        .on("say", async move |socket, (number, _): (u32, Bytes)| {
            let _ = heard.send(number);
            socket.emit("said", &(number, Bytes::from(vec![7; 100])));
        })
        .on("how", async |socket, ()| Ack(socket.transport().as_str()));
    let server = TestServer::new(server).unwrap();
    let client = server.connect("/").polling().await.unwrap();
    let bytes = Bytes::from(vec![7; 50_000]);
    let talk = async {
        for number in 0..60 {
            client.emit("say", &(number, &bytes));
            server.io().emit("news", &number);
            tokio::task::yield_now().await;
        }
    };
    let (upgraded, ()) = tokio::join!(client.upgrade(), talk);
    upgraded.unwrap();
    let how: String = client.call("how", &()).await.unwrap();
    assert_eq!(how, "websocket");
    for number in 0..60 {
        assert_eq!(hears.recv().await, Some(number));
        assert_eq!(client.expect::<u32, _>("news").await.unwrap(), number);
        let (said, _): (u32, Bytes) = client.expect("said").await.unwrap();
        assert_eq!(said, number);
    }
    assert_eq!(client.received(), []);
    // Heartbeats go on, and nothing happens the second time.
    client.upgrade().await.unwrap();
    tokio::time::advance(Duration::from_secs(100)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(client.is_connected());
    client.disconnect().await.unwrap();
    let reason = farewells.recv().await.unwrap();
    assert_eq!(reason.as_str(), "client namespace disconnect");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_cannot_upgrade_polls_on() {
    let mut config = Config::default();
    config.engine.allow_upgrades = false;
    let server = Server::new().config(config);
    let server = TestServer::new(server.on("echo", async |_socket, n: u32| Ack(n))).unwrap();
    let client = server.connect("/").polling().await.unwrap();
    let refused = client.upgrade().await.unwrap_err();
    println!("{refused}");
    assert_eq!(client.call::<_, _, u32>("echo", &1).await.unwrap(), 1);

    // One that asks for nothing does not get there, and is none the worse for it.
    let server = Server::new().on("echo", async |_socket, n: u32| Ack(n));
    let server = TestServer::new(server).unwrap();
    let client = server.connect("/").polling().await.unwrap();
    client.stall();
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.io().emit("news", &1); // Its GET that waits comes back, and no other follows.
    let stalled = client.upgrade().await.unwrap_err();
    assert!(matches!(stalled, Error::TimedOut { .. }), "{stalled}");
    client.resume();
    assert_eq!(client.call::<_, _, u32>("echo", &2).await.unwrap(), 2);
    client.upgrade().await.unwrap();
    assert_eq!(client.call::<_, _, u32>("echo", &3).await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_waited_for_is_counted() {
    let (server, client) = pair(Server::new().on("ask", async |socket, ()| {
        let _: Result<u32, _> = socket.call("age", &()).await;
    }))
    .await;
    let io = server.io().clone();
    assert_eq!(io.pending_acks(), 0);
    client.emit("ask", &());
    let to_many = tokio::spawn(io.everyone().call::<_, _, u32>("age", &()).into_future());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(io.pending_acks(), 2);
    client.on("age", |()| Ack(7));
    for question in client.received() {
        client.ack(&question, &7);
    }
    assert_eq!(to_many.await.unwrap().unwrap().into_values(), [7]);
    client.disconnect().await.unwrap();
    assert_eq!(io.pending_acks(), 0);
    // A ping each 25 s, none of them late.
    tokio::time::sleep(Duration::from_secs(80)).await;
    let delays = io.counters().delays;
    assert!(delays.deadlines >= 3, "{delays:?}");
    assert_eq!(delays.histogram().next().unwrap().1, delays.deadlines);
}

#[tokio::test(start_paused = true)]
async fn a_socket_may_be_asked_so_much_at_a_time() {
    const MOST: usize = 4096;
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = Server::new().on("ask", async move |socket, count: usize| {
        for _ in 0..count {
            let (tell, call) = (tell.clone(), socket.call::<_, _, u32>("age", &()));
            tokio::spawn(async move { tell.send(call.await) });
        }
        Ack(())
    });
    let (server, client) = pair(server).await;
    for (count, waiting) in [(MOST - 1, MOST - 1), (1, MOST)] {
        client.call::<_, _, ()>("ask", &count).await.unwrap();
        assert_eq!(server.io().pending_acks(), waiting);
    }
    assert!(told.try_recv().is_err(), "nobody was refused");
    client.call::<_, _, ()>("ask", &1).await.unwrap();
    let refused = told.recv().await.unwrap();
    assert!(
        matches!(refused, Err(CallError::TooManyAcks)),
        "{refused:?}"
    );
    assert_eq!(server.io().counters().limit(Limit::Acks), 1);
    // One answer makes room for one question.
    let question = client.received().pop().unwrap();
    client.ack(&question, &7);
    assert_eq!(told.recv().await.unwrap().unwrap(), 7);
    client.call::<_, _, ()>("ask", &1).await.unwrap();
    assert_eq!(server.io().pending_acks(), MOST);
    client.disconnect().await.unwrap();
    assert_eq!(server.io().pending_acks(), 0);
    for _ in 0..MOST {
        assert!(matches!(
            told.recv().await.unwrap(),
            Err(CallError::Disconnected)
        ));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_may_not_poll_is_told_so() {
    let server = Server::new().allow_request(async |_| Err(Refuse::new("not today")));
    let server = TestServer::new(server).unwrap();
    let refused = server.connect("/").polling().await.err().unwrap();
    assert!(
        matches!(&refused, Error::NotOpened { status: 403, body } if body.contains("not today")),
        "{refused}"
    );
}

#[tokio::test(start_paused = true)]
async fn packets_may_come_at_their_rate_and_no_faster() {
    let mut config = Config::default();
    config.max_packet_rate = Some(10);
    config.packet_burst = 5;
    let (server, mut farewells) = with_farewells();
    let server = server
        .config(config)
        .on("count", async |_socket, bytes: Vec<Bytes>| Ack(bytes.len()));
    let server = TestServer::new(server).unwrap();
    // With a rest of a second before: all that may come at once. Each attachment is one.
    for (attachments, passes) in [(3, true), (4, true), (5, false)] {
        let client = server.connect("/").await.unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        let bytes = vec![Bytes::from_static(b"x"); attachments];
        client.emit("count", &bytes);
        let ended = tokio::time::timeout(Duration::from_millis(10), client.ended()).await;
        assert_eq!(ended.is_err(), passes, "{attachments}");
        let reason = match ended {
            Err(_) => {
                client.close().await.unwrap();
                Reason::TransportClose
            }
            Ok(end) => {
                assert_eq!(end.unwrap(), End::Closed(Some(1008)));
                Reason::PacketRate
            }
        };
        let farewell = farewells.recv().await.unwrap();
        assert_eq!(farewell, DisconnectReason::Connection(reason));
    }
    let client = server.connect("/").await.unwrap();
    for _ in 0..100 {
        tokio::time::advance(Duration::from_millis(100)).await;
        let count: usize = client.call("count", &Vec::<Bytes>::new()).await.unwrap();
        assert_eq!(count, 0);
    }
    assert_eq!(server.io().counters().closed(Reason::PacketRate), 1);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_all_connections_can_be_looked_at() {
    let (server, slow) = pair(Server::new()).await;
    let quick = server.connect("/").await.unwrap();
    slow.stall();
    let pad = "x".repeat(100_000);
    assert_eq!(server.io().emit("news", &pad).reached, 2);
    let _: String = quick.expect("news").await.unwrap();
    let queues = server.io().queues();
    assert_eq!(queues.connections, 2);
    assert!(
        queues.longest > 30_000 && queues.longest < 100_100,
        "{queues:?}"
    );
    assert_eq!(queues.bytes, queues.longest, "nothing waits for the other");
    let counts: Vec<_> = queues.histogram().collect();
    assert_eq!(counts[0], (0, 1));
    assert_eq!(counts[4], (256 << 10, 2));
    slow.resume();
    let _: String = slow.expect("news").await.unwrap();
    assert_eq!(server.io().queues().bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_speaks_msgpack_beside_one_that_speaks_json() {
    let namespace = Namespace::new("/", async |hello: Handshake| {
        let who: serde_json::Value = hello.auth()?;
        Ok(who["name"].to_string())
    });
    let namespace = namespace.on("pass", async |socket, (name, data): (String, Bytes)| {
        let answer: Bytes = socket.call("check", &data).await?;
        socket.broadcast().emit("passed", &(name, &data));
        Ok::<_, CallError>(Ack((socket.data().clone(), answer)))
    });
    let server = Server::new().parser(sio_server::Msgpack).mount(namespace);
    let server = TestServer::new(server).unwrap();
    let packed = server
        .connect("/")
        .parser(sio_server::Msgpack)
        .auth(&json!({ "name": "Ann" }));
    let packed = packed.await.unwrap();
    let plain = server
        .connect("/")
        .auth(&json!({ "name": "Bob" }))
        .await
        .unwrap();

    let data = Bytes::from_static(b"\x00\xff\xd8");
    for (from, to, name) in [(&packed, &plain, "Ann"), (&plain, &packed, "Bob")] {
        from.on("check", |data: Bytes| Ack(data));
        let answer: (String, Bytes) = from.call("pass", &("photo", &data)).await.unwrap();
        assert_eq!(answer, (format!("{name:?}"), data.clone()));
        let passed: (String, Bytes) = to.expect("passed").await.unwrap();
        assert_eq!(passed, ("photo".to_owned(), data.clone()));
    }

    let alone = TestServer::new(Server::new()).unwrap();
    let refused = alone.connect("/").parser(sio_server::Msgpack).await;
    assert!(refused.is_err(), "a server without the parser cuts it");
}

#[tokio::test(start_paused = true)]
async fn an_event_without_a_handler_is_answered_by_hand_or_never() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = Server::new().on("start", async move |socket, ()| {
        for _ in 0..2 {
            let answer: Result<u32, _> = socket.call("ask", &()).await;
            let _ = tell.send(answer.map_err(|error| error.to_string()));
        }
    });
    let (server, ann) = pair(server).await;
    ann.emit("start", &());
    let asked = loop {
        tokio::task::yield_now().await;
        if let Some(asked) = ann.received().pop() {
            break asked;
        }
    };
    assert!(asked.wants_ack());
    assert_eq!(asked.to_string(), "ask()");
    ann.ack(&asked, &7);
    assert_eq!(told.recv().await, Some(Ok(7)));
    let began = tokio::time::Instant::now();
    let failed = told.recv().await;
    assert_eq!(failed, Some(Err("the peer did not answer in time".into())));
    assert!(began.elapsed() >= Config::default().ack_timeout);
    drop(server);
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_cannot_read_is_not_lost() {
    let server = Server::new().on("start", async |socket, ()| {
        socket.emit("count", &1);
        socket.emit("count", "two");
        socket.emit("count", &3);
    });
    let (_server, ann) = pair(server).await;
    let sum = Arc::new(AtomicU32::new(0));
    let handler_sum = Arc::clone(&sum);
    ann.on("count", move |n: u32| {
        handler_sum.fetch_add(n, Ordering::Relaxed);
        Ack(())
    });
    let () = ann.call("start", &()).await.unwrap();
    assert_eq!(sum.load(Ordering::Relaxed), 4);
    let left: Vec<_> = ann.received().iter().map(ToString::to_string).collect();
    assert_eq!(left, [r#"count("two")"#]);
}

#[tokio::test(start_paused = true)]
async fn bytes_travel_as_bytes() {
    let server = Server::new().on("echo", async |_socket, (name, data): (String, Bytes)| {
        Ack((data, name))
    });
    let (server, ann) = pair(server).await;
    let data = Bytes::from_static(b"\x00\xff\xd8");
    let (back, name): (Bytes, String) = ann.call("echo", &("photo", &data)).await.unwrap();
    assert_eq!((&back, &*name), (&data, "photo"));

    server.io().emit("photo", &(&data, 1));
    let (back, number): (Bytes, u8) = ann.expect("photo").await.unwrap();
    assert_eq!((back, number), (data, 1));
}

#[tokio::test(start_paused = true)]
async fn namespaces_share_a_connection() {
    let admin = Namespace::new("/admin", async |hello: Handshake| {
        let token: String =
            hello.auth::<std::collections::HashMap<String, String>>()?["token"].clone();
        match &*token {
            "secret" => Ok(()),
            _ => Err(Refuse::new("not you").with_data(&json!({ "code": 7 }))),
        }
    })
    .on("where", async |socket, ()| {
        Ack(socket.namespace().to_owned())
    });
    let server = Server::new()
        .on("where", async |socket, ()| {
            Ack(socket.namespace().to_owned())
        })
        .mount(admin);
    let (server, ann) = pair(server).await;

    match ann.join_with("/admin", &json!({ "token": "guess" })).await {
        Err(Error::Refused {
            namespace,
            message,
            data,
        }) => {
            assert_eq!((&*namespace, &*message), ("/admin", "not you"));
            assert_eq!(data, Some(json!({ "code": 7 })));
        }
        other => panic!("{:?} instead of a refusal", other.err()),
    }
    let admin = ann
        .join_with("/admin", &json!({ "token": "secret" }))
        .await
        .unwrap();
    assert_eq!(server.io().connections(), 1);
    assert_ne!(admin.id(), ann.id());
    for client in [&ann, &admin] {
        let place: String = client.call("where", &()).await.unwrap();
        assert_eq!(place, client.namespace());
    }

    admin.disconnect().await.unwrap();
    assert!(!admin.is_connected() && ann.is_connected());
    assert!(server.io().of("/admin").is_empty());
    let () = ann.call("where", &()).await.map(|_: String| ()).unwrap();
    assert!(ann.join("/nowhere").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_request_says_what_it_was_told_to_say() {
    let server = Server::new().mount(Namespace::new("/who", async |hello: Handshake| {
        let agent = hello.header("user-agent").unwrap_or_default();
        let address = hello.address().map(|address| address.to_string());
        Err::<(), _>(Refuse::new(format!(
            "{:?} {agent} {address:?}",
            hello.query("room")
        )))
    }));
    let server = TestServer::new(server).unwrap();
    let refused = server
        .connect("/who")
        .query("room=1")
        .header("user-agent", "test")
        .address(([10, 0, 0, 7], 99).into())
        .await;
    let error = refused.err().expect("a refusal").to_string();
    assert!(error.contains(r#"test Some("10.0.0.7:99")"#), "{error}");
    assert!(error.contains(r#"Some("1")"#), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_page_from_elsewhere_gets_no_connection() {
    let server = TestServer::new(Server::new()).unwrap();
    match server
        .connect("/")
        .header("origin", "https://evil.example")
        .await
    {
        Err(Error::NotOpened { status, .. }) => assert_eq!(status, 403),
        other => panic!("{:?} instead of 403", other.err()),
    }
    assert_eq!(server.io().connections(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_room_reaches_its_members_and_a_wait_in_vain_tells_what_came_instead() {
    let server = Server::new()
        .on(
            "enter",
            async |socket, room: String| Ack(socket.join(&room)),
        )
        .on("say", async |socket, (room, text): (String, String)| {
            socket.to(&room).emit("said", &text);
        });
    let (server, ann) = pair(server).await;
    let bob = server.connect("/").await.unwrap();
    for client in [&ann, &bob] {
        let entered: bool = client.call("enter", "tea").await.unwrap();
        assert!(entered);
    }
    let () = bob.call("say", &("tea", "hello")).await.unwrap();
    match ann.expect::<String, _>("heard").await {
        Err(Error::TimedOut {
            waited_for,
            limit,
            instead,
        }) => {
            assert_eq!(waited_for, r#"the event "heard""#);
            assert_eq!(limit, Duration::from_secs(5));
            assert_eq!(instead, [r#"said("hello")"#]);
        }
        other => panic!("{other:?} instead of a wait in vain"),
    }
    assert!(matches!(
        ann.expect::<u32, _>("said").await,
        Err(Error::Payload { .. })
    ));
    assert!(bob.received().is_empty(), "the sender is left out");
}

#[tokio::test(start_paused = true)]
async fn who_is_kicked_out_is_told_how() {
    let (server, mut farewells) = with_farewells();
    let server = server.on("leave", async |socket, how: bool| {
        socket.emit("bye", &());
        if how {
            socket.disconnect()
        } else {
            socket.disconnect_connection()
        }
    });
    let (server, ann) = pair(server).await;
    ann.emit("leave", &true);
    assert_eq!(ann.ended().await.unwrap(), End::PutOut);
    let () = ann.expect("bye").await.expect("it came before the end");
    let late = ann.call::<_, _, ()>("leave", &true).await;
    assert!(
        matches!(
            late,
            Err(Error::Ended {
                end: End::PutOut,
                ..
            })
        ),
        "{late:?}"
    );
    let reason = farewells.recv().await.unwrap();
    assert_eq!(reason, DisconnectReason::ServerNamespaceDisconnect);

    let bob = server.connect("/").await.unwrap();
    bob.emit("leave", &false);
    assert_eq!(bob.ended().await.unwrap(), End::PutOut);
    match bob.join("/").await {
        Err(Error::Ended { end, .. }) => assert!(matches!(end, End::Closed(_)), "{end}"),
        other => panic!("{:?}: the connection is closed, too", other.err()),
    }
}

#[tokio::test(start_paused = true)]
async fn a_cut_line_and_a_close_frame_are_not_the_same() {
    let (server, mut farewells) = with_farewells();
    let (server, ann) = pair(server).await;
    ann.drop_connection();
    assert!(!ann.is_connected());
    let reason = farewells.recv().await.unwrap();
    assert_eq!(reason.as_str(), "transport close");

    let bob = server.connect("/").await.unwrap();
    bob.close().await.unwrap();
    assert_eq!(bob.ended().await.unwrap(), End::Closed(Some(1000)));
    let reason = farewells.recv().await.unwrap();
    assert_eq!(reason.as_str(), "transport close");
    drop(server.connect("/").await.unwrap());
    farewells
        .recv()
        .await
        .expect("a client that is dropped is gone");
}

#[tokio::test(start_paused = true)]
async fn heartbeats_go_by_the_paused_clock() {
    let (server, mut farewells) = with_farewells();
    let (server, ann) = pair(server).await;
    let bob = server.connect("/").await.unwrap();
    // Real time that is long for a test, and short for what is waited for.
    let real = std::time::Instant::now();
    let began = tokio::time::Instant::now();
    ann.stall();
    let reason = farewells.recv().await.unwrap();
    assert_eq!(reason, DisconnectReason::Connection(Reason::PingTimeout));
    let engine = Config::default().engine;
    let silence = engine.ping_interval + engine.ping_timeout;
    assert!(began.elapsed() >= silence, "{:?}", began.elapsed());
    assert!(began.elapsed() < silence + Duration::from_secs(1));
    tokio::time::sleep(silence * 10).await;
    assert!(bob.is_connected(), "its heartbeats were answered");
    assert!(real.elapsed() < Duration::from_secs(20));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_fills_its_queue() {
    let mut config = Config::default();
    config.max_queued_bytes = 256 << 10;
    config.slow_clients = SlowClients::Refuse;
    let (server, ann) = pair(Server::new().config(config)).await;
    ann.stall();
    let text = "x".repeat(16 << 10);
    let mut reached = 0;
    while server.io().emit("news", &text).reached == 1 {
        reached += 1;
        tokio::task::yield_now().await;
        assert!(reached < 100, "the queue is bounded");
    }
    assert!(reached >= 16, "{reached}");
    ann.resume();
    for _ in 0..reached {
        let came: String = ann.expect("news").await.unwrap();
        assert_eq!(came.len(), text.len());
    }
    assert!(ann.received().is_empty());
}
