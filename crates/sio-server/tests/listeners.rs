//! Listeners of a socket's own, its session, and handlers beside others.

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use sio_server::{Ack, Handshake, Incoming, Namespace, Refuse, Value, Which};
use support::{Got, House, Polling, Road, Ws, config, frame, on_every_road, until, within};
use tokio::sync::{Notify, Semaphore, mpsc::unbounded_channel};

on_every_road! {
    async fn a_socket_listens_on_its_own_beside_the_namespace(road: Road) {
        let house = House::with(road, config(), |server| {
            server.mount(
                Namespace::open("/own")
                    .on("both", async |socket, n: u32| {
                        socket.emit("first", &n);
                        Ack("namespace")
                    })
                    .on_connect(async |socket| {
                        socket.on("both", async |socket, n: u32| {
                            socket.emit("second", &n);
                            Ack("never")
                        });
                        socket.on("mine", async |_, text: String| Ack(text));
                        let second = socket.on("mine", async |socket, text: String| {
                            socket.emit("also", &text);
                        });
                        socket.once("once", async |_, ()| Ack(1));
                        socket.on("quiet", async move |socket, what: u32| match what {
                            0 => socket.off(second),
                            1 => socket.off("mine"),
                            _ => socket.off(Which::All),
                        });
                    }),
            )
        })
        .await;
        let mut ws = Ws::open(house.address).await;
        ws.join("/own").await;
        ws.text(r#"42/own,0["both",5]"#).await;
        ws.expect_text(r#"42/own,["first",5]"#).await;
        ws.expect_text(r#"43/own,0["namespace"]"#).await;
        ws.expect_text(r#"42/own,["second",5]"#).await;
        ws.text(r#"42/own,1["mine","a"]"#).await;
        ws.expect_text(r#"43/own,1["a"]"#).await;
        ws.expect_text(r#"42/own,["also","a"]"#).await;
        for _ in 0..2 {
            ws.text(r#"42/own,2["once"]"#).await;
        }
        ws.expect_text("43/own,2[1]").await;
        // The one, then all of them: what nobody listens to is not answered.
        ws.text(r#"42/own,3["quiet",0]"#).await;
        ws.expect_text("43/own,3[]").await;
        ws.text(r#"42/own,4["mine","b"]"#).await;
        ws.expect_text(r#"43/own,4["b"]"#).await;
        ws.text(r#"42/own,5["quiet",1]"#).await;
        ws.expect_text("43/own,5[]").await;
        ws.text(r#"42/own,6["mine","c"]"#).await;
        // Other sockets have their own.
        let mut other = Ws::open(house.address).await;
        other.join("/own").await;
        other.text(r#"42/own,7["mine","d"]"#).await;
        other.expect_text(r#"43/own,7["d"]"#).await;
        other.expect_text(r#"42/own,["also","d"]"#).await;
        // All at once: what is left is the namespace's.
        other.text(r#"42/own,8["quiet",2]"#).await;
        other.expect_text("43/own,8[]").await;
        other.text(r#"42/own,9["mine","e"]"#).await;
        other.text(r#"42/own,["both",7]"#).await;
        other.expect_text(r#"42/own,["first",7]"#).await;
        other.text(r#"42/own,["both",8]"#).await;
        other.expect_text(r#"42/own,["first",8]"#).await;
        ws.text(r#"42/own,8["both",6]"#).await;
        ws.expect_text(r#"42/own,["first",6]"#).await;
        ws.leave().await;
        other.leave().await;
        house.is_unharmed().await;
    }

    async fn a_socket_hears_all_of_its_own_events_until_it_does_not_want_to(road: Road) {
        let (tell, mut told) = unbounded_channel();
        let house = House::with(road, config(), |server| {
            server
                .on_connect(async move |socket| {
                    let heard = tell.clone();
                    let id = socket.on_any(async move |socket, incoming: Incoming| {
                        let transport = socket.transport().as_str();
                        let _ = heard.send((incoming.event().to_owned(), transport));
                        if incoming.event() == "fail" {
                            panic!("on purpose");
                        }
                    });
                    socket.once("enough", async move |socket, ()| socket.off(id));
                })
                .filter(async |_, incoming: Incoming| match incoming.event() {
                    "refused" => Err(Refuse::new("no")),
                    _ => Ok(()),
                })
                .on("fail", async |_, ()| Ack("handled all the same"))
        })
        .await;
        let mut ws = house.client().await;
        let mut polling = Polling::join(house.address).await;
        ws.text(r#"421["echo",1]"#).await;
        ws.expect_text("431[1]").await;
        ws.text(r#"421["fail"]"#).await;
        ws.expect_text(r#"431["handled all the same"]"#).await;
        ws.text(r#"421["refused"]"#).await;
        ws.expect_text(r#"431[{"message":"no"}]"#).await;
        ws.text(r#"42["enough"]"#).await;
        ws.text(r#"421["echo",2]"#).await;
        ws.expect_text("431[2]").await;
        polling.post(r#"42["nobody's"]"#).await;
        for (event, transport) in [
            ("echo", "websocket"),
            ("fail", "websocket"),
            ("enough", "websocket"),
            ("nobody's", "polling"),
        ] {
            let heard = within("an event", told.recv()).await.unwrap();
            assert_eq!((heard.0.as_str(), heard.1), (event, transport));
        }
        assert!(told.try_recv().is_err());
        polling.post("1").await;
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn a_listener_that_owns_its_socket_goes_with_it(road: Road) {
        struct Data(Arc<AtomicUsize>);
        impl Drop for Data {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        let alive = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&alive);
        let house = House::with(road, config(), |server| {
            server.mount(
                Namespace::new("/own", async move |_: Handshake| {
                    count.fetch_add(1, Ordering::SeqCst);
                    Ok(Data(count))
                })
                .on_connect(async |socket| {
                    let own = socket.clone();
                    socket.on("echo", async move |_, value: Value| {
                        own.emit("echoed", &value);
                    });
                })
                .on_disconnect(async |socket, _| {
                    // Too late: nobody would let go of it.
                    let own = socket.clone();
                    socket.on("echo", async move |_, (): ()| drop(own));
                }),
            )
        })
        .await;
        let mut ws = Ws::open(house.address).await;
        ws.join("/own").await;
        ws.text(r#"42/own,["echo",1]"#).await;
        ws.expect_text(r#"42/own,["echoed",1]"#).await;
        assert_eq!(alive.load(Ordering::SeqCst), 1);
        ws.leave().await;
        until("the socket's end", || alive.load(Ordering::SeqCst) == 0).await;
    }

    async fn a_session_is_kept_from_event_to_event_until_the_end(road: Road) {
        let (tell, mut told) = unbounded_channel();
        let house = House::with(road, config(), |server| {
            server.mount(
                Namespace::open("/shop")
                    .on("buy", async |socket, item: String| {
                        Ack(socket.session().with(|cart: &mut Vec<String>| {
                            cart.push(item);
                            cart.len()
                        }))
                    })
                    .on_disconnect(async move |socket, _| {
                        let _ = tell.send(socket.session().get::<Vec<String>>());
                    }),
            )
        })
        .await;
        let mut ws = Ws::open(house.address).await;
        ws.join("/shop").await;
        for (n, item) in [(1, "tea"), (2, "milk")] {
            ws.text(&format!(r#"42/shop,0["buy","{item}"]"#)).await;
            ws.expect_text(&format!("43/shop,0[{n}]")).await;
        }
        ws.leave().await;
        let cart = within("the end", told.recv()).await.unwrap();
        assert_eq!(cart.unwrap(), ["tea", "milk"]);
    }

    async fn a_concurrent_handler_waits_for_the_connect_handler_alone(road: Road) {
        let open = Arc::new(Notify::new());
        let gate = Arc::clone(&open);
        let house = House::with(road, config(), |server| {
            server.mount(
                Namespace::open("/side")
                    .on_connect(async move |socket| {
                        gate.notified().await;
                        socket.emit("ready", &());
                    })
                    .on("hang", async |_, ()| std::future::pending::<()>().await)
                    .on_concurrent("beside", async |_, n: u32| {
                        tokio::task::yield_now().await;
                        Ack(n)
                    }),
            )
        })
        .await;
        let mut ws = Ws::open(house.address).await;
        ws.join("/side").await;
        ws.text(r#"42/side,["hang"]"#).await;
        ws.text(r#"42/side,1["beside",1]"#).await;
        // Another namespace's answer: what was sent before has been read.
        ws.join("/").await;
        ws.text(r#"421["echo",1]"#).await;
        ws.expect_text("431[1]").await;
        open.notify_one();
        ws.expect_text(r#"42/side,["ready"]"#).await;
        ws.expect_text("43/side,1[1]").await;
        ws.text(r#"42/side,2["beside",2]"#).await;
        ws.expect_text("43/side,2[2]").await;
        ws.leave().await;
        house.serves_others().await;
    }

    async fn concurrent_handlers_begin_in_order_and_end_as_they_end(road: Road) {
        let gates: Arc<[Notify]> = (0..20).map(|_| Notify::new()).collect();
        let handler_gates = Arc::clone(&gates);
        let house = House::with(road, config(), |server| {
            server.mount(
                Namespace::open("/side").on_concurrent("wait", async move |socket, n: usize| {
                    socket.emit("begun", &n);
                    handler_gates[n].notified().await;
                    Ack(n)
                }),
            )
        })
        .await;
        let mut ws = Ws::open(house.address).await;
        ws.join("/side").await;
        for n in 0..20 {
            ws.text(&format!(r#"42/side,{n}["wait",{n}]"#)).await;
        }
        for n in 0..20 {
            ws.expect_text(&format!(r#"42/side,["begun",{n}]"#)).await;
        }
        for n in (0..20).rev() {
            gates[n].notify_one();
            ws.expect_text(&format!("43/side,{n}[{n}]")).await;
        }
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn of_one_key_handlers_run_one_at_a_time_and_keys_do_not_wait_for_each_other(road: Road) {
        let permits = Arc::new([Semaphore::new(0), Semaphore::new(0)]);
        let handler_permits = Arc::clone(&permits);
        let house = House::with(road, config(), |server| {
            server.mount(Namespace::open("/keyed").on_keyed(
                "edit",
                |edit: &(usize, u32)| edit.0,
                async move |socket, (document, n)| {
                    socket.emit("begun", &(document, n));
                    handler_permits[document].acquire().await.unwrap().forget();
                    Ack((document, n))
                },
            ))
        })
        .await;
        let mut ws = Ws::open(house.address).await;
        ws.join("/keyed").await;
        for n in 0..3 {
            for document in 0..2 {
                ws.text(&format!(r#"42/keyed,0["edit",{document},{n}]"#)).await;
            }
        }
        ws.expect_text(r#"42/keyed,["begun",0,0]"#).await;
        ws.expect_text(r#"42/keyed,["begun",1,0]"#).await;
        for n in 0..3 {
            permits[1].add_permits(1);
            ws.expect_text(&format!("43/keyed,0[1,{n}]")).await;
            if n < 2 {
                ws.expect_text(&format!(r#"42/keyed,["begun",1,{}]"#, n + 1)).await;
            }
        }
        permits[0].add_permits(3);
        for n in 0..3 {
            ws.expect_text(&format!("43/keyed,0[0,{n}]")).await;
            if n < 2 {
                ws.expect_text(&format!(r#"42/keyed,["begun",0,{}]"#, n + 1)).await;
            }
        }
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn sec_s8_floods_of_concurrent_events_stop_the_reading(road: Road) {
        let mut config = config();
        config.max_pending_bytes = 10_000;
        let begun = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&begun);
        let open = Arc::new(Semaphore::new(0));
        let gate = Arc::clone(&open);
        let house = House::with(road, config, |server| {
            server.mount(Namespace::open("/side").on_concurrent("wait", async move |_, _: Value| {
                count.fetch_add(1, Ordering::SeqCst);
                let _permit = gate.acquire().await;
            }))
        })
        .await;
        let mut ws = Ws::open(house.address).await;
        ws.join("/side").await;
        let pad = "x".repeat(900);
        let flood: Vec<u8> = (0..100)
            .flat_map(|n| frame(0x81, format!(r#"42/side,{n}["wait","{pad}"]"#).as_bytes()))
            .collect();
        ws.peer.send_beside(flood);
        until("the first handlers", || begun.load(Ordering::SeqCst) > 0).await;
        house.serves_others().await;
        assert!(begun.load(Ordering::SeqCst) < 20, "of 100");
        open.add_permits(100);
        let mut answered = Vec::new();
        while answered.len() < 100 {
            let Got::Text(text) = ws.next().await else { panic!() };
            let id = text.strip_prefix("43/side,").and_then(|text| text.strip_suffix("[]"));
            answered.push(id.unwrap().parse::<u32>().unwrap());
        }
        answered.sort_unstable();
        assert!(answered.into_iter().eq(0..100), "each once");
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn a_namespace_of_a_form_reads_its_name(road: Road) {
        let house = House::with(road, config(), |server| {
            server.mount(
                Namespace::pattern("/order-{id}/{kind}", async |hello: Handshake, place: (u64, String)| {
                    assert!(hello.namespace().starts_with("/order-"));
                    Ok(place)
                })
                .on("which", async |socket, ()| Ack(socket.data().clone())),
            )
        })
        .await;
        let mut ws = Ws::open(house.address).await;
        ws.join("/order-7/tea").await;
        ws.text(r#"42/order-7/tea,0["which"]"#).await;
        ws.expect_text(r#"43/order-7/tea,0[7,"tea"]"#).await;
        for name in ["/order-x/tea", "/order-7/", "/order-7/a/b", "/order--1/a"] {
            ws.text(&format!("40{name},")).await;
            let Got::Text(text) = ws.next().await else { panic!() };
            assert_eq!(text, format!(r#"44{name},{{"message":"Invalid namespace"}}"#));
        }
        ws.leave().await;
        until("an empty namespace", || house.io.of("/order-7/tea").is_empty()).await;
        assert_eq!(house.io.of("/order-7/tea").emit("news", &1).reached, 0);
        house.is_unharmed().await;
    }

    async fn a_reserved_name_for_a_listener_is_a_panic_of_the_handler_alone(road: Road) {
        let house = House::with(road, config(), |server| {
            server.mount(
                Namespace::open("/own")
                    .on("wrong", async |socket, name: String| {
                        socket.on(&name, async |_, ()| ());
                    })
                    .on("right", async |_, ()| Ack(1)),
            )
        })
        .await;
        let mut ws = Ws::open(house.address).await;
        ws.join("/own").await;
        ws.text(r#"42/own,0["wrong","disconnect"]"#).await;
        ws.text(r#"42/own,1["right"]"#).await;
        ws.expect_text("43/own,1[1]").await;
        ws.leave().await;
        house.is_unharmed().await;
    }
}
