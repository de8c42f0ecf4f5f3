//! Calls to many: every socket chosen is accounted for, once, and nothing is left behind.

mod support;

use std::{
    future::IntoFuture,
    time::{Duration, Instant},
};

use sio_server::{Ack, Answers, CallError, Io};
use support::{Got, House, Polling, Road, Ws, config, in_time, on_every_road, until, within};
use tokio::sync::mpsc::unbounded_channel;

/// A server whose `enter` joins a room.
async fn house(road: Road) -> House {
    House::with(road, config(), |server| {
        server.on(
            "enter",
            async |socket, room: String| Ack(socket.join(&room)),
        )
    })
    .await
}

/// A client in a room.
async fn member(house: &House, room: &str) -> (Ws, String) {
    let mut ws = Ws::open(house.address).await;
    let id = ws.join("/").await;
    ws.text(&format!(r#"420["enter","{room}"]"#)).await;
    ws.expect_text("430[true]").await;
    (ws, id)
}

/// The id of the ack that `text`, an event of this kind, asks for.
fn ack_id(text: &str, rest: &str) -> String {
    let id = text
        .strip_prefix("42")
        .and_then(|text| text.strip_suffix(rest));
    id.unwrap_or_else(|| panic!("{text} is not {rest}")).into()
}

/// Waits for the question and answers it.
async fn answer(ws: &mut Ws, question: &str, answer: &str) {
    let Got::Text(text) = ws.next().await else {
        panic!("no question")
    };
    let id = ack_id(&text, question);
    ws.text(&format!("43{id}[{answer}]")).await;
}

/// Asks a room for a number each, in a task of its own.
fn ask(io: &Io, room: &str, timeout: Duration) -> tokio::task::JoinHandle<Answers<u32>> {
    let calls = io.to(room).call("count", &7);
    tokio::spawn(async move { calls.timeout(timeout).await.expect("it was sent") })
}

const LONG: Duration = Duration::from_secs(60);

on_every_road! {
    async fn every_member_answers_the_same_question_once(road: Road) {
        let house = house(road).await;
        let (mut a, a_id) = member(&house, "jury").await;
        let (mut b, b_id) = member(&house, "jury").await;
        let mut stranger = house.client().await;
        let asked = ask(&house.io, "jury", LONG);
        let mut ids = Vec::new();
        for (ws, number) in [(&mut a, 1), (&mut b, 2)] {
            let Got::Text(text) = ws.next().await else { panic!() };
            let id = ack_id(&text, r#"["count",7]"#);
            // One who was not asked may not answer, nor may anybody twice.
            stranger.text(&format!("43{id}[100]")).await;
            stranger.text(r#"421["echo",0]"#).await;
            stranger.expect_text("431[0]").await;
            ws.text(&format!("43{id}[{number}]")).await;
            ws.text(&format!("43{id}[{number}00]")).await;
            ids.push(id);
        }
        assert_eq!(ids[0], ids[1], "one packet for both");
        let answers = within("the answers", asked).await.unwrap();
        assert!(answers.is_complete());
        let mut given = answers.given;
        given.sort_by_key(|(_, number)| *number);
        assert_eq!(given, [(a_id, 1), (b_id, 2)]);
        for ws in [a, b, stranger] {
            ws.leave().await;
        }
        house.is_unharmed().await;
    }

    async fn who_says_nothing_is_named_and_the_others_answers_are_kept(road: Road) {
        let house = house(road).await;
        in_time(async |patience| {
            let (mut loud, loud_id) = member(&house, "jury").await;
            let (silent, silent_id) = member(&house, "jury").await;
            let began = Instant::now();
            let asked = ask(&house.io, "jury", patience);
            answer(&mut loud, r#"["count",7]"#, "5").await;
            // The answer has been read.
            loud.text(r#"421["echo",0]"#).await;
            loud.expect_text("431[0]").await;
            let in_time = began.elapsed() < patience;
            let answers = within("the answers", asked).await.unwrap();
            loud.leave().await;
            silent.reset();
            house.is_unharmed().await;
            if in_time {
                assert_eq!(answers.given, [(loud_id, 5)]);
                let [(id, CallError::Timeout)] = &answers.missing[..] else {
                    panic!("{answers:?}")
                };
                assert_eq!(*id, silent_id);
            }
            in_time
        })
        .await;
    }

    async fn who_goes_is_not_waited_for(road: Road) {
        let house = house(road).await;
        let (mut stays, _) = member(&house, "jury").await;
        let (mut leaves, leaves_id) = member(&house, "jury").await;
        let (crashes, crashes_id) = member(&house, "jury").await;
        let (_put_out, put_out_id) = member(&house, "jury").await;
        let asked = ask(&house.io, "jury", LONG);
        answer(&mut stays, r#"["count",7]"#, "1").await;
        let Got::Text(_) = leaves.next().await else { panic!() };
        leaves.text("41").await;
        crashes.reset();
        house.io.to(&put_out_id).disconnect();
        let answers = within("the answers", asked).await.unwrap();
        assert_eq!(answers.given.len(), 1);
        let mut missing: Vec<_> = answers.missing.iter().map(|(id, error)| {
            assert!(matches!(error, CallError::Disconnected), "{error}");
            id.clone()
        }).collect();
        missing.sort_unstable();
        let mut gone = vec![leaves_id, crashes_id, put_out_id];
        gone.sort_unstable();
        assert_eq!(missing, gone);
        stays.leave().await;
        leaves.leave().await;
    }

    async fn an_answer_of_another_type_is_missing_with_the_reason(road: Road) {
        let house = house(road).await;
        let (mut ws, _) = member(&house, "jury").await;
        let asked = ask(&house.io, "jury", LONG);
        answer(&mut ws, r#"["count",7]"#, r#""many""#).await;
        let answers = within("the answers", asked).await.unwrap();
        assert!(matches!(&answers.missing[..], [(_, CallError::Answer(_))]), "{answers:?}");
        // The connection goes on: the type was our expectation, not the protocol's.
        ws.text(r#"421["echo",1]"#).await;
        ws.expect_text("431[1]").await;
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn a_malformed_answer_closes_its_connection_and_is_missing(road: Road) {
        let mut house = house(road).await;
        let (mut ws, _) = member(&house, "jury").await;
        let asked = ask(&house.io, "jury", LONG);
        answer(&mut ws, r#"["count",7]"#, "[1,").await;
        let answers = within("the answers", asked).await.unwrap();
        assert!(matches!(&answers.missing[..], [(_, CallError::Disconnected)]), "{answers:?}");
        assert_eq!(house.farewell().await.reason.as_str(), "forced close");
        house.is_unharmed().await;
    }

    async fn nobody_answers_at_once(road: Road) {
        let house = house(road).await;
        let answers = within("the answers", ask(&house.io, "empty", LONG)).await.unwrap();
        assert!(answers.is_complete() && answers.given.is_empty());
        let nowhere = house.io.of("/nowhere").everyone().call("count", &7).await;
        let nowhere: Answers<u32> = nowhere.expect("nothing to send is no error");
        assert!(nowhere.is_complete());
    }

    async fn a_client_that_polls_is_asked_like_others(road: Road) {
        let house = house(road).await;
        let mut polling = Polling::join(house.address).await;
        polling.post(r#"420["enter","jury"]"#).await;
        assert_eq!(polling.get().await, "430[true]");
        let asked = ask(&house.io, "jury", LONG);
        let id = ack_id(&polling.get().await, r#"["count",7]"#);
        polling.post(&format!("43{id}[9]")).await;
        let answers = within("the answers", asked).await.unwrap();
        assert_eq!(answers.into_values(), [9]);
        polling.post("1").await;
        house.is_unharmed().await;
    }

    async fn answers_are_seen_as_they_come(road: Road) {
        let house = house(road).await;
        let (mut first, first_id) = member(&house, "jury").await;
        let (mut second, second_id) = member(&house, "jury").await;
        let (tell, mut told) = unbounded_channel();
        let calls = house.io.to("jury").call("count", &7);
        let asked = tokio::spawn(calls.each(move |id, answer: Result<u32, _>| {
            let _ = tell.send((id.to_owned(), answer.ok()));
        }));
        answer(&mut first, r#"["count",7]"#, "1").await;
        assert_eq!(within("an answer", told.recv()).await, Some((first_id, Some(1))));
        answer(&mut second, r#"["count",7]"#, "2").await;
        assert_eq!(within("an answer", told.recv()).await, Some((second_id, Some(2))));
        within("the end", asked).await.unwrap().expect("it was sent");
        first.leave().await;
        second.leave().await;
        house.is_unharmed().await;
    }

    async fn sec_s12_calls_to_many_of_every_fate_leave_nothing_behind(road: Road) {
        let house = house(road).await;
        let (mut ws, _) = member(&house, "jury").await;
        // More than may be open at a time: dropped, so that none is.
        for _ in 0..5000 {
            drop::<sio_server::Calls<u32>>(house.io.to("jury").call("dropped", &()));
        }
        for _ in 0..5000 {
            let Got::Text(text) = ws.next().await else { panic!() };
            // Too late for everybody.
            let id = ack_id(&text, r#"["dropped"]"#);
            ws.text(&format!("43{id}[1]")).await;
        }
        let asked = ask(&house.io, "jury", LONG);
        answer(&mut ws, r#"["count",7]"#, "3").await;
        assert_eq!(within("the answers", asked).await.unwrap().into_values(), [3]);
        // Those that are open are bounded.
        let open: Vec<_> = (0..4096)
            .map(|_| house.io.to("nobody").call::<_, _, u32>("count", &7))
            .collect();
        let one_more = house.io.to("jury").call::<_, _, u32>("count", &7).await;
        assert!(matches!(one_more, Err(CallError::TooManyAcks)), "{one_more:?}");
        drop(open);
        assert!(house.io.to("nobody").call::<_, _, u32>("count", &7).await.is_ok());
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn sockets_are_fetched_with_their_data_rooms_and_handshake(road: Road) {
        let house = House::with(road, config(), |server| {
            server
                .on("enter", async |socket, room: String| Ack(socket.join(&room)))
                .mount(
                    sio_server::Namespace::new("/members", async |hello: sio_server::Handshake| {
                        hello.auth::<(String,)>().map(|(name,)| name).or_else(|_| Ok("Ann".to_owned()))
                    })
                    .on("enter", async |socket, room: String| Ack(socket.join(&room))),
                )
        })
        .await;
        let mut ws = Ws::open(house.address).await;
        let id = ws.join("/members").await;
        ws.text(r#"42/members,0["enter","tea"]"#).await;
        ws.expect_text("43/members,0[true]").await;
        let members = house.io.of("/members");
        let room = members.to("tea");
        assert_eq!((room.count(), members.everyone().count(), members.room_len("tea")), (1, 1, 1));
        assert_eq!(members.rooms().into_iter().collect::<Vec<_>>(), [("tea".to_owned(), 1)]);
        let [socket] = &room.sockets::<String>()[..] else { panic!("one socket") };
        assert_eq!((socket.id(), socket.data().as_str()), (id.as_str(), "Ann"));
        assert_eq!(socket.rooms(), [id.clone(), "tea".to_owned()]);
        assert!(socket.handshake().url().contains("EIO=4"));
        assert!(room.sockets::<u32>().is_empty(), "data of another type");
        assert_eq!(members.to(&id).count(), 1, "a socket is no room besides");
        assert_eq!(members.to(&id).except("tea").count(), 0);
        assert_eq!(members.to([id.as_str(), "tea"]).count(), 1, "at most once");
        ws.leave().await;
        until("an empty namespace", || members.is_empty() && members.rooms().is_empty()).await;
        assert_eq!(room.count(), 0);
    }

    async fn what_came_in_time_is_heard_by_who_looks_late(road: Road) {
        let house = house(road).await;
        let mut members = Vec::new();
        for _ in 0..12 {
            members.push(member(&house, "jury").await.0);
        }
        in_time(async |patience| {
            let began = Instant::now();
            let calls = house.io.to("jury").call::<_, _, u32>("count", &7).timeout(patience);
            for ws in &mut members {
                answer(ws, r#"["count",7]"#, "5").await;
                ws.text(r#"420["enter","again"]"#).await;
                ws.expect_text("430[true]").await;
            }
            let in_time = began.elapsed() < patience;
            tokio::time::sleep(patience).await;
            let answers = within("the answers", calls.into_future()).await.unwrap();
            if in_time {
                assert_eq!((answers.given.len(), answers.missing.len()), (12, 0));
            }
            in_time
        })
        .await;
        for ws in members {
            ws.leave().await;
        }
        house.is_unharmed().await;
    }

    async fn a_target_may_be_older_than_its_namespace(road: Road) {
        let house = house(road).await;
        let target = house.io.of("/dyn-late").to("tea");
        assert_eq!(target.emit("news", &1).reached, 0);
        for _ in 0..2 {
            let mut ws = Ws::open(house.address).await;
            let id = ws.join("/dyn-late").await;
            assert_eq!(target.clone().to(&id).emit("news", &1).reached, 1);
            ws.expect_text(r#"42/dyn-late,["news",1]"#).await;
            ws.leave().await;
            until("the namespace closing", || house.io.of("/dyn-late").is_empty()).await;
        }
    }
}
