//! Clients that lose their connection and come back: connection state recovery, and the hazards that
//! its history is full of.

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use sio_packet::{Form, Limits, Message, Msgpack, Packet, Parser, Scratch};
use sio_server::{Ack, Handshake, Namespace, Recovery, RecoveryError, Refuse, Server, Socket};
use support::{End, Got, House, Polling, Road, Ws, config, on_every_road, until};

/// What a client knows of its session.
#[derive(Clone, Debug, Default)]
struct Session {
    id: String,
    pid: String,
    offset: Option<String>,
}

impl Session {
    /// The payload of the CONNECT that asks for it.
    fn auth(&self) -> Value {
        match &self.offset {
            Some(offset) => json!({ "pid": self.pid, "offset": offset }),
            None => json!({ "pid": self.pid }),
        }
    }
}

/// A client that keeps its session as the JavaScript one does.
struct Client {
    ws: Ws,
    session: Session,
    recovered: bool,
}

impl Client {
    async fn new(house: &House) -> Self {
        Self::with(house, &Session::default(), &json!({})).await
    }

    async fn back(house: &House, session: &Session) -> Self {
        Self::with(house, session, &session.auth()).await
    }

    async fn with(house: &House, session: &Session, auth: &Value) -> Self {
        let mut ws = Ws::open(house.address).await;
        ws.text(&format!("40{auth}")).await;
        let Got::Text(text) = ws.next().await else {
            panic!("no answer");
        };
        let connect: Value = serde_json::from_str(&text[2..]).expect("JSON");
        let pid = connect["pid"].as_str().expect("a pid").to_owned();
        assert_eq!(pid.len(), 24);
        Self {
            ws,
            recovered: pid == session.pid,
            session: Session {
                id: connect["sid"].as_str().expect("a sid").to_owned(),
                pid,
                offset: session.offset.clone(),
            },
        }
    }

    async fn say(&mut self, text: &str) {
        self.ws.text(text).await;
    }

    /// The next event, without its offset, which is kept if it is the last argument.
    async fn event(&mut self) -> Value {
        loop {
            match self.ws.next().await {
                Got::Text(text) if text == "2" => self.ws.text("3").await,
                Got::Text(text) => {
                    let at = text.find('[').expect("an event");
                    let mut event: Vec<Value> = serde_json::from_str(&text[at..]).expect("JSON");
                    if at == 2 {
                        let offset = event.pop().expect("an offset");
                        let offset = offset.as_str().expect("a string");
                        assert_eq!(offset.len(), 12, "{text}");
                        self.session.offset = Some(offset.to_owned());
                    }
                    return event.into();
                }
                other => panic!("{other:?} instead of an event"),
            }
        }
    }

    #[track_caller]
    fn expect(&mut self, event: Value) -> impl Future<Output = ()> {
        let at = std::panic::Location::caller();
        async move { assert_eq!(self.event().await, event, "at {at}") }
    }

    /// Asks, and expects the answer to be all that there is.
    async fn is_up_to_date(&mut self) {
        self.say(r#"427["echo","still here"]"#).await;
        self.expect(json!(["still here"])).await;
    }

    /// Loses the connection, and waits until the server has seen it.
    async fn lose(self, house: &mut House) -> Session {
        let session = self.session.clone();
        self.ws.reset();
        assert_eq!(house.farewell().await.id, session.id);
        session
    }
}

fn recovering() -> sio_server::Config {
    let mut config = config();
    config.recovery = Some(Recovery::default());
    config
}

async fn house(road: Road) -> House {
    House::with(road, recovering(), furnish).await
}

fn furnish(server: Server) -> Server {
    server
        .parser(Msgpack)
        .on(
            "enter",
            async |socket, room: String| Ack(socket.join(&room)),
        )
        .on("leave", async |socket, room: String| {
            socket.leave(&room);
            Ack(())
        })
        .on("volatile", async |socket, text: String| {
            socket.emit_volatile("volatile", &text);
        })
        .on("out", async |socket, ()| socket.disconnect())
        .on("facts", async |socket, ()| {
            let mut rooms = socket.rooms();
            rooms.sort_unstable();
            Ack((
                socket.recovered(),
                socket.recovery_error().map(|e| e.to_string()),
                rooms,
            ))
        })
}

on_every_road! {
    async fn who_comes_back_is_the_same_and_has_missed_nothing(road: Road) {
        let mut house = house(road).await;
        let mut client = Client::new(&house).await;
        client.say(r#"421["enter","tea"]"#).await;
        client.expect(json!([true])).await;
        house.io.emit("news", &1);
        client.expect(json!(["news", 1])).await;
        let session = client.lose(&mut house).await;

        house.io.emit("news", &2);
        house.io.to("tea").emit("news", &(3, "three"));
        house.io.to("coffee").emit("news", &4);
        house.io.to("tea").except(&session.id).emit("news", &5);
        house.io.to(&session.id).emit("news", &bytes::Bytes::from_static(b"6"));
        house.io.everyone().volatile().emit("news", &7);
        assert!(house.io.is_empty());

        let mut client = Client::back(&house, &session).await;
        assert!(client.recovered);
        assert_eq!(client.session.id, session.id);
        client.expect(json!(["news", 2])).await;
        client.expect(json!(["news", 3, "three"])).await;
        let Got::Text(photo) = client.ws.next().await else { panic!("no text") };
        assert!(photo.starts_with(r#"451-["news",{"_placeholder":true,"num":0},""#), "{photo}");
        assert_eq!(client.ws.next().await, Got::Binary(b"6".to_vec()));
        client.say(r#"422["facts"]"#).await;
        let mut rooms = [session.id.clone(), "tea".into()];
        rooms.sort_unstable();
        client.expect(json!([true, null, rooms])).await;
        house.io.to("tea").emit("news", &8);
        client.expect(json!(["news", 8])).await;
        assert_eq!(house.io.len(), 1);
    }

    // S16: who has seen nothing has no offset.
    async fn sec_s16_a_pid_alone_is_enough(road: Road) {
        let mut house = house(road).await;
        let session = Client::new(&house).await.lose(&mut house).await;
        assert_eq!(session.offset, None);
        house.io.emit("news", &1);
        let mut client = Client::back(&house, &session).await;
        assert!(client.recovered);
        client.expect(json!(["news", 1])).await;
        client.is_up_to_date().await;
    }

    async fn sec_s16_an_offset_that_is_none_is_refused(road: Road) {
        let mut house = house(road).await;
        for offset in [json!(1), json!(""), json!("x"), json!("zzzzzzzzzzzz!"), json!({})] {
            let session = Client::new(&house).await.lose(&mut house).await;
            let auth = json!({ "pid": session.pid, "offset": offset });
            let client = Client::with(&house, &session, &auth).await;
            assert!(!client.recovered, "{offset}");
            client.lose(&mut house).await;
            // Nothing is left of it either.
            assert!(!Client::back(&house, &session).await.recovered);
            house.io.everyone().disconnect();
            house.farewell().await;
        }
        // One of the future: right in form, but never sent.
        let mut client = Client::new(&house).await;
        house.io.emit("news", &1);
        client.expect(json!(["news", 1])).await;
        let mut session = client.lose(&mut house).await;
        let offset = session.offset.take().expect("one was seen");
        session.offset = Some(format!("{}zzzzzzzz", &offset[..4]));
        let mut client = Client::back(&house, &session).await;
        assert!(!client.recovered);
        client.say(r#"421["facts"]"#).await;
        let error = RecoveryError::Offset.to_string();
        client.expect(json!([false, error, [client.session.id.clone()]])).await;
    }

    // S15: clients take the last string they see for an offset.
    async fn sec_s15_a_volatile_event_carries_an_offset_too(road: Road) {
        let mut house = house(road).await;
        let mut client = Client::new(&house).await;
        house.io.emit("news", &1);
        client.expect(json!(["news", 1])).await;
        let offset = client.session.offset.clone();
        client.say(r#"42["volatile","no offset"]"#).await;
        client.expect(json!(["volatile", "no offset"])).await;
        assert_eq!(client.session.offset, offset);
        let session = client.lose(&mut house).await;
        house.io.emit("news", &2);
        let mut client = Client::back(&house, &session).await;
        assert!(client.recovered);
        client.expect(json!(["news", 2])).await;
        client.is_up_to_date().await;
    }

    // S17: each packet comes with the offset it always had.
    async fn sec_s17_five_losses_in_a_row_and_each_packet_comes_once(road: Road) {
        let mut house = house(road).await;
        let mut session = Client::new(&house).await.lose(&mut house).await;
        for i in 1..=5 {
            house.io.emit("news", &i);
        }
        for i in 1..=5 {
            let mut client = Client::back(&house, &session).await;
            assert!(client.recovered);
            client.expect(json!(["news", i])).await;
            session = client.lose(&mut house).await;
        }
        let mut client = Client::back(&house, &session).await;
        assert!(client.recovered);
        client.is_up_to_date().await;
    }

    // S18: the old connection is not known to be dead.
    async fn sec_s18_who_is_back_before_the_old_connection_is_dead_fences_it(road: Road) {
        let mut house = house(road).await;
        let mut old = Client::new(&house).await;
        house.io.emit("news", &1);
        old.expect(json!(["news", 1])).await;
        // Under way on the old connection when the client gives up on it.
        house.io.emit("news", &2);
        let session = old.session.clone();
        let mut client = Client::back(&house, &session).await;
        assert!(client.recovered);
        let farewell = house.farewell().await;
        assert_eq!(farewell.id, session.id);
        assert_eq!(farewell.reason.as_str(), "transport close");
        assert_eq!(farewell.reason.detail(), "the client came back on another connection");
        assert_eq!(old.ws.end().await, End::NoCode);
        client.expect(json!(["news", 2])).await;
        assert_eq!(house.io.len(), 1);
        assert_eq!(house.io.emit("news", &3).reached, 1);
        client.expect(json!(["news", 3])).await;
    }

    async fn sec_s18_of_many_who_come_with_one_pid_one_is_left(road: Road) {
        let mut house = house(road).await;
        let mut client = Client::new(&house).await;
        let pid = client.session.pid.clone();
        for _ in 0..10 {
            client = Client::back(&house, &client.session.clone()).await;
            assert!(client.recovered);
        }
        let session = client.session.clone();
        let (a, b, c) = tokio::join!(
            Client::back(&house, &session),
            Client::back(&house, &session),
            Client::back(&house, &session),
        );
        until("one with the pid", || house.io.to(&session.id).ids().len() <= 1).await;
        let alive = house.io.to(&session.id).ids().len();
        assert_eq!(alive, 1, "{} {} {}", a.recovered, b.recovered, c.recovered);
        assert!([&a, &b, &c].iter().any(|client| client.session.pid == pid));
        drop((a, b, c, client));
        house.io.close();
        until("everybody gone", || house.io.is_empty()).await;
        while let Ok(farewell) = house.farewells.try_recv() {
            assert_ne!(farewell.reason.as_str(), "parse error");
        }
    }

    // S19: what is gone is gone as a whole, and the reason is said.
    async fn sec_s19_the_log_is_bounded_and_a_session_is_restored_whole_or_not_at_all(road: Road) {
        let mut config = recovering();
        let mut recovery = Recovery::default();
        recovery.max_packets = 10;
        config.recovery = Some(recovery);
        let mut house = House::with(road, config, furnish).await;
        for (missed, recovered) in [(9, true), (10, true), (11, false)] {
            let session = Client::new(&house).await.lose(&mut house).await;
            for i in 0..missed {
                house.io.emit("news", &i);
            }
            let mut client = Client::back(&house, &session).await;
            assert_eq!(client.recovered, recovered, "{missed}");
            if recovered {
                for i in 0..missed {
                    client.expect(json!(["news", i])).await;
                }
            } else {
                assert_ne!(client.session.id, session.id);
                client.say(r#"421["facts"]"#).await;
                let error = RecoveryError::Trimmed.to_string();
                client.expect(json!([false, error, [client.session.id.clone()]])).await;
            }
            client.is_up_to_date().await;
            house.io.everyone().disconnect();
            house.farewell().await;
        }
    }

    async fn sec_s19_who_is_away_for_too_long_is_forgotten(road: Road) {
        let mut config = recovering();
        let mut recovery = Recovery::default();
        recovery.max_disconnection_duration = Duration::from_millis(50);
        config.recovery = Some(recovery);
        let data = Arc::new(());
        let given = Arc::clone(&data);
        let mut house = House::with(road, config, |server| {
            let admit = async move |_: Handshake| Ok(given);
            server.mount(Namespace::matching(|name| name == "/dyn", admit))
        })
        .await;
        let session = Client::new(&house).await.lose(&mut house).await;
        let mut ws = Ws::open(house.address).await;
        ws.text("40/dyn,").await;
        ws.next().await;
        let owners = Arc::strong_count(&data);
        ws.reset();
        // Its data go.
        until("what was remembered being dropped", || Arc::strong_count(&data) < owners).await;
        assert!(!Client::back(&house, &session).await.recovered);
    }

    async fn sec_s19_who_was_put_out_does_not_come_back_and_who_is_refused_neither(road: Road) {
        let open = Arc::new(AtomicBool::new(true));
        let door = Arc::clone(&open);
        let mut house = House::with(road, recovering(), |server| {
            let admit = async move |_: Handshake| match door.load(Ordering::SeqCst) {
                true => Ok(()),
                false => Err(Refuse::new("not any more")),
            };
            furnish(server).mount(Namespace::new("/guarded", admit))
        })
        .await;
        let mut client = Client::new(&house).await;
        client.say(r#"42["out"]"#).await;
        assert_eq!(client.ws.next().await, Got::Text("41".into()));
        assert_eq!(house.farewell().await.id, client.session.id);
        let back = Client::back(&house, &client.session).await;
        assert!(!back.recovered);
        // Who said goodbye by itself.
        let mut client = back;
        client.say("41").await;
        assert_eq!(house.farewell().await.id, client.session.id);
        assert!(!Client::back(&house, &client.session).await.recovered);

        // Admission runs again.
        let connect = async |auth: Value| {
            let mut ws = Ws::open(house.address).await;
            ws.text(&format!("40/guarded,{auth}")).await;
            let Got::Text(text) = ws.next().await else { panic!("no answer") };
            let answer: Value = serde_json::from_str(&text[text.find('{').unwrap()..]).unwrap();
            (ws, answer)
        };
        let (ws, answer) = connect(json!({})).await;
        let guarded = house.io.of("/guarded");
        ws.reset();
        until("the loss being seen", || guarded.is_empty()).await;
        open.store(false, Ordering::SeqCst);
        let pid = answer["pid"].clone();
        let (_ws, refusal) = connect(json!({ "pid": pid })).await;
        assert_eq!(refusal, json!({ "message": "not any more" }));
        open.store(true, Ordering::SeqCst);
        let (_ws, again) = connect(json!({ "pid": pid })).await;
        assert_eq!(again, answer);
    }

    async fn data_and_session_stay_and_a_kept_socket_reaches_whoever_goes_on(road: Road) {
        struct Visits(AtomicUsize);
        let kept: Arc<std::sync::Mutex<Vec<Socket<Visits>>>> = Arc::default();
        let keep = Arc::clone(&kept);
        let mut house = House::with(road, recovering(), |server| {
            let members = Namespace::new("/members", async |_| Ok(Visits(AtomicUsize::new(0))))
                .on_connect(async move |socket| {
                    let visits = 1 + socket.data().0.fetch_add(1, Ordering::SeqCst);
                    socket.session().with(|count: &mut usize| *count += visits);
                    let count: usize = socket.session().get().unwrap_or_default();
                    socket.emit("welcome", &(visits, count));
                    keep.lock().unwrap().push(socket);
                });
            server.mount(members)
        })
        .await;
        let members = house.io.of("/members");
        let mut auth = json!({});
        for (visit, count) in [(1, 1), (2, 3), (3, 6)] {
            let mut ws = Ws::open(house.address).await;
            ws.text(&format!("40/members,{auth}")).await;
            let Got::Text(text) = ws.next().await else { panic!("no answer") };
            let answer: Value = serde_json::from_str(&text["40/members,".len()..]).unwrap();
            if visit > 1 {
                assert_eq!(answer["pid"], auth["pid"]);
                // Emitted while nobody was there, with the socket of then.
                let Got::Text(text) = ws.next().await else { panic!("no event") };
                assert!(text.starts_with(&format!(r#"42/members,["kept",{},""#, visit - 1)));
            }
            let Got::Text(text) = ws.next().await else { panic!("no event") };
            assert!(text.starts_with(&format!(r#"42/members,["welcome",{visit},{count},""#)), "{text}");
            let offset = &text[text.len() - 14..text.len() - 2];
            auth = json!({ "pid": answer["pid"], "offset": offset });
            // With the socket of the first visit.
            let first = kept.lock().unwrap()[0].clone();
            assert_eq!(first.is_connected(), visit == 1);
            assert_eq!(first.emit("kept", &"now").reached, 1);
            let Got::Text(text) = ws.next().await else { panic!("no event") };
            assert!(text.starts_with(r#"42/members,["kept","now",""#));
            let offset = &text[text.len() - 14..text.len() - 2];
            auth["offset"] = json!(offset);
            ws.reset();
            until("the loss being seen", || members.is_empty()).await;
            assert_eq!(first.emit("kept", &visit).reached, 0);
        }
        drop(house.farewells);
        house.farewells = tokio::sync::mpsc::unbounded_channel().1;
    }

    async fn a_client_of_msgpack_and_one_that_polls_come_back_like_others(road: Road) {
        let mut house = house(road).await;
        let session = Client::new(&house).await.lose(&mut house).await;
        house.io.emit("news", &1);
        // Whoever knows the pid goes on, in whatever way it speaks.
        let mut ws = Ws::open(house.address).await;
        let auth = session.auth();
        ws.binary(&pack(&format!("0{auth}"))).await;
        let Got::Binary(connect) = ws.next().await else { panic!("no answer") };
        assert!(unpack(&connect).contains(&session.pid));
        let Got::Binary(event) = ws.next().await else { panic!("no event") };
        let event = unpack(&event);
        assert!(event.starts_with(r#"["news",1,""#), "{event}");
        ws.reset();
        house.farewell().await;

        house.io.emit("news", &2);
        let mut polling = Polling::open(house.address).await;
        polling.post(&format!("40{auth}")).await;
        let mut answer = polling.get().await;
        while answer.split('\x1e').count() < 3 {
            answer = format!("{answer}\x1e{}", polling.get().await);
        }
        let packets: Vec<_> = answer.split('\x1e').collect();
        assert!(packets[0].starts_with("40{") && packets[0].contains(&session.pid));
        assert!(packets[1].starts_with(r#"42["news",1,""#), "{answer}");
        assert!(packets[2].starts_with(r#"42["news",2,""#), "{answer}");
        polling.post("1").await;
    }

    async fn an_event_that_asks_for_an_answer_has_no_offset_and_is_not_sent_again(road: Road) {
        let mut house = House::with(road, recovering(), |server| {
            server.on("ask", async |socket, ()| {
                let _: Result<Value, _> = socket.call("asked", &"why").await;
            })
        })
        .await;
        let mut client = Client::new(&house).await;
        client.say(r#"42["ask"]"#).await;
        client.ws.expect_text(r#"420["asked","why"]"#).await;
        let session = client.lose(&mut house).await;
        let mut client = Client::back(&house, &session).await;
        assert!(client.recovered);
        client.is_up_to_date().await;
    }

    async fn what_is_remembered_and_what_came_of_it_is_counted(road: Road) {
        let mut config = recovering();
        let mut recovery = Recovery::default();
        recovery.max_packets = 2;
        config.recovery = Some(recovery);
        let mut house = House::with(road, config, furnish).await;
        assert_eq!(house.io.recovery().unwrap().sessions, 0);
        let session = Client::new(&house).await.lose(&mut house).await;
        house.io.emit("news", &"x".repeat(100));
        let status = house.io.recovery().unwrap();
        assert_eq!((status.sessions, status.away, status.packets, status.dropped), (1, 1, 1, 0));
        assert!((100..1000).contains(&status.bytes), "{status:?}");
        let session = Client::back(&house, &session).await.lose(&mut house).await;
        for n in 0..3 {
            house.io.emit("news", &n);
        }
        let status = house.io.recovery().unwrap();
        assert_eq!((status.packets, status.dropped), (2, 2));
        let back = Client::back(&house, &session).await;
        assert!(!back.recovered);
        // A secret that never was one.
        let stranger = Session { pid: "x".repeat(24), ..Session::default() };
        assert!(!Client::back(&house, &stranger).await.recovered);
        let mut recoveries: Vec<_> = house.io.counters().recoveries().collect();
        recoveries.retain(|(_, count)| *count > 0);
        assert_eq!(recoveries, [("recovered", 1), ("trimmed", 1), ("unknown", 1)]);
        assert_eq!(house.io.of("/nowhere").recovery(), None);
    }

    async fn a_client_of_protocol_4_has_no_session_to_come_back_to(road: Road) {
        let mut config = recovering();
        config.engine.allow_eio3 = true;
        let mut house = House::with(road, config, furnish).await;
        let mut ws = Ws::upgrade(house.address, "EIO=3&transport=websocket").await;
        let Got::Text(_open) = ws.next().await else { panic!("no open packet") };
        ws.expect_text("40").await;
        until("its coming", || house.io.len() == 1).await;
        assert_eq!(house.io.recovery().unwrap().sessions, 0);
        ws.reset();
        house.farewell().await;
        assert_eq!(house.io.recovery().unwrap().sessions, 0);
    }

    async fn without_the_setting_there_is_neither_pid_nor_offset(road: Road) {
        let house = House::start(road).await;
        let mut ws = Ws::open(house.address).await;
        ws.text(r#"40{"pid":"x","offset":"y"}"#).await;
        let Got::Text(connect) = ws.next().await else { panic!("no answer") };
        let connect: Value = serde_json::from_str(connect.strip_prefix("40").unwrap()).unwrap();
        let fields: Vec<_> = connect.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["sid"]);
        house.io.emit("news", &1);
        ws.expect_text(r#"42["news",1]"#).await;
        ws.leave().await;
        house.is_unharmed().await;
    }
}

fn pack(text: &str) -> Vec<u8> {
    let packet = Packet::parse(text, &Limits::default()).expect("a packet");
    let mut message = Vec::new();
    assert_eq!(Msgpack.encode(&packet, &[], &mut message), Ok(Form::Binary));
    message
}

fn unpack(message: &[u8]) -> String {
    let mut scratch = Scratch::default();
    let decoded = Msgpack.decode(Message::Binary(message), &Limits::default(), &mut scratch);
    decoded.expect("a packet").0.data.to_owned()
}
