//! Broadcasts to so many that they wait as one entry (`fan.rs`): nobody can tell.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use sio_server::{Ack, EngineEvent, Io};
use socket2::SockRef;
use support::{End, Got, House, Polling, Road, Ws, config, frame, on_every_road, until, within};

/// Clients of each test: on two shards, enough on each for an entry.
const CLIENTS: usize = 96;

/// So many clients, each with its id.
async fn crowd(house: &House, count: usize) -> Vec<(String, Ws)> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut ws = Ws::open(house.address).await;
        let id = ws.join("/").await;
        clients.push((id, ws));
    }
    clients
}

/// What comes up to `end`, which is not among it.
async fn up_to(ws: &mut Ws, end: &str) -> Vec<String> {
    let mut texts = Vec::new();
    loop {
        match within("a text", ws.next()).await {
            Got::Text(text) if text == end => return texts,
            Got::Text(text) => texts.push(text),
            other => panic!("{other:?} after {texts:?}"),
        }
    }
}

/// Numbers without a pattern, the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % limit
    }
}

on_every_road! {
    async fn who_watches_what_leaves_sees_it_for_each_of_the_audience(road: Road) {
        let sent = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&sent);
        let house = House::with(road, config(), |server| {
            server.observe(move |event| {
                if let EngineEvent::Sent { len, .. } = event && len == r#"2["all"]"#.len() {
                    seen.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .await;
        let mut clients = crowd(&house, CLIENTS).await;
        // The list of the audience is made for the second, and used again by the third.
        for round in 1..=3 {
            house.io.emit("all", &());
            for (_, ws) in &mut clients {
                ws.expect_text(r#"42["all"]"#).await;
            }
            until("all were seen", || sent.load(Ordering::Relaxed) == round * CLIENTS).await;
        }
    }

    async fn what_slow_sockets_leave_is_counted_once_and_until_it_is_taken(road: Road) {
        const LONG: usize = 8 << 20;
        let mut config = config();
        config.shards = Some(1);
        config.max_queued_bytes = 2 * LONG;
        config.memory_budget = Some(256 << 20);
        let house = House::with(road, config, |server| server).await;
        let mut clients = crowd(&house, 34).await;
        // The list of the audience is made for the second.
        for _ in 0..2 {
            house.io.emit("all", &());
            for (_, ws) in &mut clients {
                ws.expect_text(r#"42["all"]"#).await;
            }
        }
        // More than the kernel keeps for who does not read.
        for (_, ws) in &clients {
            SockRef::from(&ws.peer.stream).set_recv_buffer_size(16 << 10).unwrap();
        }
        let long = "x".repeat(LONG);
        house.io.emit("long", &long);
        let is_counted_once = || (LONG..LONG + 100).contains(&house.io.buffered_bytes());
        until("it counted, once for all", is_counted_once).await;
        let (_, mut last) = clients.pop().unwrap();
        for (_, ws) in clients {
            ws.reset();
        }
        until("one left", || house.io.len() == 1).await;
        assert!(is_counted_once());
        last.expect_text(&format!(r#"42["long","{long}"]"#)).await;
        until("nothing counted", || house.io.buffered_bytes() == 0).await;
    }

    async fn what_one_task_says_arrives_in_order_and_at_those_who_were_there(road: Road) {
        let house = House::with(road, config(), |server| server).await;
        let mut clients = crowd(&house, CLIENTS).await;
        let ids: Vec<_> = clients.iter().map(|(id, _)| id.clone()).collect();
        let io = house.io.clone();
        // On a thread of its own, so that it runs beside the flushers.
        let expected = tokio::task::spawn_blocking(move || say_at_random(&io, &ids));
        let expected = expected.await.unwrap();
        for (id, ws) in &mut clients {
            assert_eq!(up_to(ws, r#"42["end"]"#).await, expected[id]);
        }
    }

    async fn a_handler_hears_its_own_broadcast_before_its_ack(road: Road) {
        let house = House::with(road, config(), |server| {
            server.on("shout", async |socket, n: usize| {
                socket.everyone().emit("shout", &n);
                socket.broadcast().emit("others", &n);
                socket.everyone().emit("again", &n);
                if n.is_multiple_of(2) {
                    tokio::task::yield_now().await;
                }
                Ack(n)
            })
        })
        .await;
        let mut clients = crowd(&house, CLIENTS).await;
        for n in 0..8 {
            let own = &mut clients[7].1;
            own.text(&format!(r#"421["shout",{n}]"#)).await;
            own.expect_text(&format!(r#"42["shout",{n}]"#)).await;
            own.expect_text(&format!(r#"42["again",{n}]"#)).await;
            own.expect_text(&format!("431[{n}]")).await;
            for (place, (_, ws)) in clients.iter_mut().enumerate() {
                if place != 7 {
                    for event in ["shout", "others", "again"] {
                        ws.expect_text(&format!(r#"42["{event}",{n}]"#)).await;
                    }
                }
            }
        }
    }

    async fn a_speaker_that_does_not_hear_itself_is_answered_and_all_others_hear_it(road: Road) {
        let house = House::with(road, config(), |server| {
            server.on("tell", async |socket, n: usize| {
                socket.broadcast().emit("told", &n);
                Ack(n)
            })
        })
        .await;
        let mut clients = crowd(&house, CLIENTS).await;
        for speakers in [0..1, 0..3] {
            // Several in one read, and several speakers side by side.
            for speaker in speakers.clone() {
                let said: Vec<_> = (0..4)
                    .flat_map(|n| frame(0x81, format!(r#"421["tell",{}]"#, 10 * speaker + n).as_bytes()))
                    .collect();
                clients[speaker].1.raw(&said).await;
            }
            for (place, (_, ws)) in clients.iter_mut().enumerate() {
                let mut told = vec![Vec::new(); 3];
                let mut acked = Vec::new();
                let count = 4 * speakers.len();
                for _ in 0..count {
                    let Got::Text(text) = within("a text", ws.next()).await else {
                        panic!("the server is well");
                    };
                    let n = |text: &str| text.strip_suffix(']').unwrap().parse::<usize>().unwrap();
                    match text.strip_prefix(r#"42["told","#) {
                        Some(text) => told[n(text) / 10].push(n(text) % 10),
                        None => acked.push(n(text.strip_prefix("431[").unwrap()) - 10 * place),
                    }
                }
                for speaker in speakers.clone().filter(|speaker| *speaker != place) {
                    assert_eq!(told[speaker], [0, 1, 2, 3]);
                }
                if speakers.contains(&place) {
                    assert_eq!(acked, [0, 1, 2, 3]);
                }
            }
        }
    }

    async fn what_was_said_before_a_disconnect_arrives_before_it(road: Road) {
        let house = House::start(road).await;
        let mut clients = crowd(&house, CLIENTS).await;
        house.io.emit("warm", &());
        house.io.emit("warm", &());
        house.io.emit("bye", &1);
        let sent = house.io.emit("bye", &2);
        assert_eq!(sent.reached, CLIENTS);
        house.io.everyone().disconnect_connections();
        for (_, ws) in &mut clients {
            let said = up_to(ws, "41").await;
            let bye = [r#"42["warm"]"#, r#"42["warm"]"#, r#"42["bye",1]"#, r#"42["bye",2]"#];
            assert_eq!(said, bye);
            assert_ne!(ws.end().await, End::Abnormal);
        }
        house.empties().await;
    }

    async fn what_waits_is_counted_and_awaited(road: Road) {
        let house = House::start(road).await;
        let clients = crowd(&house, CLIENTS).await;
        let all = house.io.everyone().sockets::<()>();
        let task = tokio::spawn(async move {
            for n in 0..5 {
                house.io.emit("n", &n);
                for socket in &all {
                    assert!(socket.flushed().await);
                    assert_eq!(socket.buffered_bytes(), 0);
                }
            }
            house
        });
        let house = task.await.unwrap();
        for (_, mut ws) in clients {
            for n in 0..5 {
                ws.expect_text(&format!(r#"42["n",{n}]"#)).await;
            }
            ws.leave().await;
        }
        house.empties().await;
    }

    async fn one_that_fetches_nothing_is_closed_and_nobody_else_is(road: Road) {
        let mut config = config();
        config.max_queued_bytes = 100;
        let house = House::with(road, config, |server| server).await;
        let mut clients = crowd(&house, CLIENTS).await;
        // It polls, and asks for nothing: everything waits.
        let _deaf = Polling::join(house.address).await;
        for n in 10..30 {
            house.io.emit("n", &n);
            for (_, ws) in &mut clients {
                ws.expect_text(&format!(r#"42["n",{n}]"#)).await;
            }
        }
        until("its end", || house.io.len() == CLIENTS).await;
    }
}

#[tokio::test]
async fn one_that_reads_late_hears_all_of_it_in_order() {
    const COUNT: usize = 200;
    let mut config = config();
    config.shards = Some(1);
    config.max_queued_bytes = 64 << 20;
    config.engine.ping_interval = Duration::from_secs(600);
    let house = House::with(Road::Own, config, |server| server).await;
    let mut clients = crowd(&house, 36).await;
    let (_, mut late) = clients.pop().unwrap();
    for (_, ws) in clients {
        let mut stream = ws.peer.stream.into_std().unwrap();
        stream.set_nonblocking(false).unwrap();
        std::thread::spawn(move || std::io::copy(&mut stream, &mut std::io::sink()));
    }
    let pad = "x".repeat(50_000);
    for n in 0..COUNT {
        // Large ones by themselves, small ones joined; now and then somebody has the floor between.
        house.io.emit("large", &(n, &pad));
        for small in 0..n % 5 {
            house.io.emit("small", &(n, small));
        }
        tokio::task::yield_now().await;
    }
    house.io.emit("end", &());
    for n in 0..COUNT {
        let Got::Text(text) = within("a text", late.next()).await else {
            panic!("it may take its time");
        };
        assert!(
            text.starts_with(&format!(r#"42["large",{n},"x"#)),
            "{text:.30}"
        );
        for small in 0..n % 5 {
            late.expect_text(&format!(r#"42["small",{n},{small}]"#))
                .await;
        }
    }
    late.expect_text(r#"42["end"]"#).await;
}

/// Says things to rooms, to everybody and to one, and makes sockets come and go between rooms. What
/// each is to hear, in order.
fn say_at_random(io: &Io, ids: &[String]) -> BTreeMap<String, Vec<String>> {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut heard: BTreeMap<String, Vec<String>> =
        ids.iter().map(|id| (id.clone(), Vec::new())).collect();
    // The larger half is in one room, nearly all in the other.
    let mut rooms: [BTreeSet<&String>; 2] = Default::default();
    let names = ["large", "larger"];
    for (place, id) in ids.iter().enumerate() {
        for (room, name) in names.iter().enumerate() {
            if place % 4 != 0 || room == 1 {
                io.to(id.as_str()).join(*name);
                rooms[room].insert(id);
            }
        }
    }
    let everyone: BTreeSet<&String> = ids.iter().collect();
    let mut burst = 0;
    for n in 0..1500 {
        let text = format!(r#"42["n",{n}]"#);
        let one = &ids[dice.below(ids.len())];
        let room = dice.below(2);
        // The same again, mostly: that is what makes an entry.
        if burst == 0 {
            burst = 1 + dice.below(12);
        }
        burst -= 1;
        let (target, whom): (_, BTreeSet<&String>) = match (burst, dice.below(40)) {
            (_, 0) => (io.to(one.as_str()), [one].into()),
            (_, 1) => {
                io.to(one.as_str()).join(names[room]);
                rooms[room].insert(one);
                continue;
            }
            (_, 2) => {
                io.to(one.as_str()).leave(names[room]);
                rooms[room].remove(one);
                continue;
            }
            (_, 3) => {
                std::thread::yield_now();
                continue;
            }
            (0, _) => (io.to(names[room]), rooms[room].clone()),
            (1..4, _) => (io.to(names[0]), rooms[0].clone()),
            (4..6, _) => (io.except(one.as_str()), &everyone - &[one].into()),
            _ => (io.except("nobody"), everyone.clone()),
        };
        let reached = target.emit("n", &n).reached;
        assert_eq!(reached, whom.len(), "{n}");
        for id in whom {
            heard.get_mut(id).unwrap().push(text.clone());
        }
    }
    io.emit("end", &());
    heard
}

#[tokio::test]
async fn clients_that_come_and_go_meanwhile_hear_a_whole_piece() {
    let house = House::with(Road::Own, config(), |server| server).await;
    let stays = crowd(&house, CLIENTS).await;
    let io = house.io.clone();
    let done = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&done);
    let counting = tokio::task::spawn_blocking(move || {
        let mut n = 0;
        while !stop.load(Ordering::Relaxed) || n < 50 {
            io.emit("n", &n);
            n += 1;
            std::thread::sleep(Duration::from_micros(200));
        }
        io.emit("end", &());
        n
    });
    let reading = tokio::spawn(async move {
        let mut all = Vec::new();
        for (_, mut ws) in stays {
            all.push(up_to(&mut ws, r#"42["end"]"#).await);
        }
        all
    });
    for _ in 0..60 {
        let mut ws = house.client().await;
        let mut last = None;
        for _ in 0..5 {
            let Got::Text(text) = within("a text", ws.next()).await else {
                panic!("the server is well");
            };
            let n: usize = text[7..text.len() - 1].parse().unwrap();
            assert!(last.is_none_or(|last| n == last + 1), "{n} after {last:?}");
            last = Some(n);
        }
        ws.reset();
    }
    done.store(true, Ordering::Relaxed);
    let count = counting.await.unwrap();
    let whole: Vec<_> = (0..count).map(|n| format!(r#"42["n",{n}]"#)).collect();
    for heard in reading.await.unwrap() {
        assert_eq!(heard, whole);
    }
}
