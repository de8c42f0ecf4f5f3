//! What those see who look on: sockets that leave, rooms that come and go, events that are emitted; and
//! what is known of a client's request.

mod support;

use sio_server::{Ack, Handshake, Namespace, NamespaceEvent, Refuse, RoomEvent, Value};
use support::{Got, House, Road, Ws, config, on_every_road, until, within};
use tokio::sync::mpsc::unbounded_channel;

async fn member(house: &House, namespace: &str, room: &str) -> (Ws, String) {
    let mut ws = Ws::open(house.address).await;
    let id = ws.join(namespace).await;
    ws.text(&format!(r#"42{namespace},0["enter","{room}"]"#))
        .await;
    ws.expect_text(&format!("43{namespace},0[true]")).await;
    (ws, id)
}

on_every_road! {
    async fn who_is_about_to_leave_is_still_a_member_of_its_rooms(road: Road) {
        let (tell, mut told) = unbounded_channel();
        let house = House::with(road, config(), |server| {
            server.mount(
                Namespace::open("/rooms")
                    .on("enter", async |socket, room: String| Ack(socket.join(&room)))
                    .on("out", async |socket, ()| socket.disconnect())
                    .on("close", async |socket, ()| socket.disconnect_connection())
                    .on_disconnecting(move |socket, reason| {
                        let members = socket.io().of("/rooms").room_len("tea");
                        socket.to("tea").emit("leaves", &reason.as_str());
                        let _ = tell.send((socket.id().to_owned(), members, socket.rooms().len()));
                        std::panic::resume_unwind(Box::new("of no consequence"));
                    }),
            )
        })
        .await;
        let (mut stays, _) = member(&house, "/rooms", "tea").await;
        for (event, reason) in [
            ("41/rooms,", "client namespace disconnect"),
            (r#"42/rooms,["out"]"#, "server namespace disconnect"),
            (r#"42/rooms,["close"]"#, "server namespace disconnect"),
            ("", "transport close"),
        ] {
            let (mut ws, id) = member(&house, "/rooms", "tea").await;
            // Without a word, the connection just ends.
            let connected = match event {
                "" => {
                    drop(ws);
                    None
                }
                event => {
                    ws.text(event).await;
                    Some(ws)
                }
            };
            stays.expect_text(&format!(r#"42/rooms,["leaves","{reason}"]"#)).await;
            assert_eq!(within("a leaving", told.recv()).await, Some((id, 2, 2)));
            until("its leaving", || house.io.of("/rooms").room_len("tea") == 1).await;
            drop(connected);
        }
        assert!(told.try_recv().is_err(), "once each");
        stays.leave().await;
        house.is_unharmed().await;
    }

    async fn rooms_are_told_of_in_the_order_of_what_happens(road: Road) {
        let (tell, mut told) = unbounded_channel();
        let house = House::with(road, config(), |server| {
            server.mount(
                Namespace::open("/rooms")
                    .on("enter", async |socket, room: String| Ack(socket.join(&room)))
                    .on("exit", async |socket, room: String| socket.leave(&room))
                    .on_room(move |event| {
                        let _ = tell.send(match event {
                            RoomEvent::Created { room } => format!("+{room}"),
                            RoomEvent::Deleted { room } => format!("-{room}"),
                            RoomEvent::Joined { room, socket } => format!("{socket} in {room}"),
                            RoomEvent::Left { room, socket } => format!("{socket} out of {room}"),
                            _ => "?".into(),
                        });
                    }),
            )
        })
        .await;
        let (mut a, a_id) = member(&house, "/rooms", "tea").await;
        let (b, b_id) = member(&house, "/rooms", "tea").await;
        // Again, or what it is not in, is nothing.
        a.text(r#"42/rooms,0["enter","tea"]"#).await;
        a.expect_text("43/rooms,0[true]").await;
        a.text(r#"42/rooms,1["exit","milk"]"#).await;
        a.expect_text("43/rooms,1[]").await;
        a.text(r#"42/rooms,2["exit","tea"]"#).await;
        a.expect_text("43/rooms,2[]").await;
        b.leave().await;
        for expected in [
            "+tea".to_owned(),
            format!("{a_id} in tea"),
            format!("{b_id} in tea"),
            format!("{a_id} out of tea"),
            format!("{b_id} out of tea"),
            "-tea".to_owned(),
        ] {
            assert_eq!(within("a change", told.recv()).await, Some(expected));
        }
        assert!(told.try_recv().is_err());
        a.leave().await;
        house.is_unharmed().await;
    }

    async fn what_is_emitted_is_seen_with_its_arguments_once(road: Road) {
        for recovery in [false, true] {
        let (tell, mut told) = unbounded_channel();
        let mut config = config();
        config.recovery = recovery.then(Default::default);
        let house = House::with(road, config, |server| {
            server.mount(
                Namespace::open("/out")
                    .on("go", async |socket, ()| {
                        socket.emit("one", &(1, Value::Binary("x".into())));
                        socket.everyone().emit("many", &"text");
                        socket.emit_uncompressed("as-it-is", &2);
                        socket.emit_volatile("volatile", &3);
                        let patience = std::time::Duration::from_secs(20);
                        socket.emit_within(patience, "waits", &4).await.unwrap();
                        drop::<sio_server::Call<()>>(socket.call("asked", &()));
                        Ack("no event")
                    })
                    .on_any_outgoing(move |out| {
                        assert_eq!(out.namespace, "/out");
                        let seen = (out.to.is_some(), out.event.to_owned(), out.arguments.to_vec());
                        let _ = tell.send(seen);
                    }),
            )
        })
        .await;
        let mut ws = Ws::open(house.address).await;
        ws.text("40/out,").await;
        let Got::Text(_) = ws.next().await else { panic!("not joined") };
        ws.text(r#"42/out,0["go"]"#).await;
        for expected in [
            (true, "one", vec![Value::from(1), Value::Binary("x".into())]),
            (false, "many", vec![Value::from("text")]),
            (true, "as-it-is", vec![Value::from(2)]),
            (true, "volatile", vec![Value::from(3)]),
            (true, "waits", vec![Value::from(4)]),
            (true, "asked", vec![]),
        ] {
            let (to, event, arguments) = within("an event", told.recv()).await.unwrap();
            assert_eq!((to, event.as_str(), arguments), expected);
        }
        assert!(told.try_recv().is_err());
        ws.leave().await;
        house.io.of("/out").everyone().disconnect();
        }
    }

    async fn the_request_is_known_until_it_need_not_be(road: Road) {
        for keep in [true, false] {
            let mut config = config();
            config.keep_request = keep;
            let house = House::with(road, config, |server| {
                let look = async |hello: Handshake| Ok(hello.header("host").is_some());
                let tell = async |socket: sio_server::Socket<bool>, (): ()| {
                    let hello = socket.handshake();
                    let known = hello.header("host").is_some() && hello.query("EIO").is_some();
                    Ack((*socket.data(), known))
                };
                server
                    .mount(Namespace::new("/first", look).on("known", tell))
                    .mount(Namespace::new("/second", look).on("known", tell))
            })
            .await;
            let mut ws = Ws::open(house.address).await;
            for (namespace, known_to_admission) in [("/first", true), ("/second", keep)] {
                ws.join(namespace).await;
                ws.text(&format!(r#"42{namespace},0["known"]"#)).await;
                ws.expect_text(&format!("43{namespace},0[{known_to_admission},{keep}]")).await;
            }
            ws.leave().await;
            house.is_unharmed().await;
        }
    }

    async fn a_namespace_made_on_demand_is_told_of_before_anybody_is_in_it_and_when_it_has_gone(road: Road) {
        let (tell, mut told) = unbounded_channel();
        let house = House::with(road, config(), |server| {
            let io = server.io();
            let closed = Namespace::pattern("/closed-{id}", async |_: Handshake, _: u32| {
                Err::<(), _>(Refuse::new("closed"))
            });
            server.mount(closed).on_namespace(move |event| {
                let (what, name) = match event {
                    NamespaceEvent::Opened { name } => ("opened", name),
                    NamespaceEvent::Closed { name } => ("closed", name),
                    _ => return,
                };
                let _ = tell.send((what, name.to_string(), io.of(name).len()));
                assert!(!name.ends_with("b"), "a hook that panics is called again");
            })
        })
        .await;
        let mut heard = async || {
            let (what, name, len) = within("news of a namespace", told.recv()).await.unwrap();
            assert_eq!(len, 0, "{name}");
            format!("{what} {name}")
        };
        let mut ws = Ws::open(house.address).await;
        ws.join("/").await; // Always there.
        ws.join("/dyn-a").await;
        assert_eq!(heard().await, "opened /dyn-a");
        let mut other = Ws::open(house.address).await;
        other.join("/dyn-a").await;
        other.join("/dyn-b").await;
        assert_eq!(heard().await, "opened /dyn-b");
        ws.text("41/dyn-a,").await;
        ws.text("40/closed-7,").await;
        assert_eq!(heard().await, "opened /closed-7");
        assert_eq!(heard().await, "closed /closed-7");
        ws.expect_text(r#"44/closed-7,{"message":"closed"}"#).await;
        other.leave().await;
        let mut both = [heard().await, heard().await];
        both.sort();
        assert_eq!(both, ["closed /dyn-a", "closed /dyn-b"]);
        ws.join("/dyn-a").await;
        assert_eq!(heard().await, "opened /dyn-a");
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn sec_s11_namespaces_made_on_demand_are_bounded_and_go(road: Road) {
        let mut config = config();
        config.max_dynamic_namespaces = 3;
        let house = House::with(road, config, |server| server).await;
        let mut ws = Ws::open(house.address).await;
        for round in 0..4 {
            for n in 0..3 {
                ws.join(&format!("/dyn-{round}-{n}")).await;
            }
            ws.text("40/dyn-more,").await;
            let Got::Text(text) = ws.next().await else { panic!() };
            assert_eq!(text, r#"44/dyn-more,{"message":"Too many namespaces"}"#);
            // One that is open may be joined by others.
            let mut other = Ws::open(house.address).await;
            other.join(&format!("/dyn-{round}-0")).await;
            other.leave().await;
            for n in 0..3 {
                ws.text(&format!("41/dyn-{round}-{n},")).await;
            }
            until("their end", || {
                (0..3).all(|n| house.io.of(&format!("/dyn-{round}-{n}")).is_empty())
            })
            .await;
            until("room for others", || house.io.of(&format!("/dyn-{round}-0")).everyone().count() == 0).await;
        }
        ws.leave().await;
        house.is_unharmed().await;
    }
}
