//! The limits of all connections together: how many come, from where, what they wait for and what is
//! buffered for them.

mod support;

use std::time::Duration;

use sio_server::{Config, DisconnectReason, Limit, Proxies, Reason, Server};
use support::{
    Answer, Got, House, Peer, Polling, Road, Ws, config, frame, get, on_every_road, post, request,
    until,
};

const POLLING: &str = "EIO=4&transport=polling";
const WEBSOCKET: &str = "EIO=4&transport=websocket";

/// The two requests that open a session, with more fields.
fn openings(fields: &str) -> [Vec<u8>; 2] {
    let polling = format!("{}{fields}\r\n", get(POLLING));
    let mut websocket = request(WEBSOCKET);
    websocket.truncate(websocket.len() - 2);
    websocket.extend_from_slice(format!("{fields}\r\n").as_bytes());
    [polling.into_bytes(), websocket]
}

/// The answer to a request, and its connection.
async fn ask(house: &House, request: impl AsRef<[u8]>) -> (Answer, Peer) {
    let mut peer = Peer::connect(house.address).await;
    peer.send(request).await;
    (peer.answer().await, peer)
}

/// Asserts that this is how a client is told to come later.
fn is_refusal(answer: &Answer, status: u16, message: &str) {
    let body = format!(r#"{{"code":3,"message":"{message}"}}"#);
    assert_eq!((answer.status, &answer.body), (status, &body));
    let later: u32 = answer.header("retry-after").parse().unwrap();
    assert!((1..=10).contains(&later));
    assert_eq!(answer.header("connection"), "close");
}

on_every_road! {
    async fn a_storm_is_let_in_at_its_rate_and_the_rest_told_to_come_later(road: Road) {
        let mut config = config();
        config.max_opening_rate = Some(1);
        let house = House::with(road, config, |server| server).await;
        for (request, good) in openings("").into_iter().zip([200, 101]) {
            let mut peers = Vec::new();
            for _ in 0..12 {
                let mut peer = Peer::connect(house.address).await;
                peer.send(&request).await;
                peers.push(peer);
            }
            let before = house.io.counters().limit(Limit::OpeningRate);
            let mut refused = 0;
            for peer in &mut peers {
                let answer = peer.answer().await;
                if answer.status != good {
                    is_refusal(&answer, 503, "Too many requests");
                    refused += 1;
                }
            }
            // One at once and two that waited; more only if all this took longer than a second.
            assert!((1..=10).contains(&refused), "{refused}");
            assert!(house.io.counters().limit(Limit::OpeningRate) - before <= refused);
        }
    }

    async fn who_waits_to_be_let_in_while_all_are_closed_is_closed_too(road: Road) {
        let mut config = config();
        config.max_opening_rate = Some(1);
        let house = House::with(road, config, |server| server).await;
        let [_, request] = openings("");
        let (_, _first) = ask(&house, &request).await;
        let mut waiting = Vec::new();
        for _ in 0..2 {
            let mut peer = Peer::connect(house.address).await;
            peer.send(&request).await;
            waiting.push(peer);
        }
        // Nobody is refused while there is a place to wait, so who waits has been counted.
        let mut more = Vec::new();
        let refused = house.io.counters().limit(Limit::OpeningRate);
        while house.io.counters().limit(Limit::OpeningRate) == refused {
            let mut peer = Peer::connect(house.address).await;
            peer.send(&request).await;
            more.push(peer);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        house.io.close();
        let mut opened = 0;
        for peer in waiting.iter_mut().chain(&mut more) {
            opened += usize::from(peer.answer().await.status == 101);
        }
        assert!(opened > 0, "somebody was let in after all were closed");
        house.empties().await;
    }

    async fn an_address_has_its_connections_and_others_theirs(road: Road) {
        let mut config = config();
        config.per_ip.max_connections = Some(2);
        config.proxies = Proxies::Hops(1);
        config.engine.close_timeout = Duration::from_millis(50);
        let house = House::with(road, config, |server| server).await;
        for (way, good) in [(0, 200), (1, 101)] {
            let open = async |address: &str| {
                let fields = format!("X-Forwarded-For: {address}\r\n");
                ask(&house, &openings(&fields)[way]).await
            };
            let before = house.io.counters().limit(Limit::AddressConnections);
            let (one, first) = open("2001:db8::1").await;
            let (two, _second) = open("2001:db8::2").await;
            assert_eq!((one.status, two.status), (good, good));
            is_refusal(&open("2001:db8::3").await.0, 429, "Too many connections");
            assert_eq!(open("192.0.2.1").await.0.status, good);
            let counted = house.io.counters().limit(Limit::AddressConnections);
            assert_eq!(counted - before, 1);
            if way == 0 {
                let sid = support::sid_of(one.body.strip_prefix('0').unwrap());
                let query = format!("{POLLING}&sid={sid}");
                assert_eq!(ask(&house, post(&query, "1")).await.0.body, "ok");
            } else {
                first.reset();
            }
            let mut tries = 0;
            let _third = loop {
                let (answer, peer) = open("2001:db8::4").await;
                if answer.status == good {
                    break peer;
                }
                tries += 1;
                assert!(tries < 1000);
                tokio::time::sleep(Duration::from_millis(5)).await;
            };
            assert_eq!(open("2001:db8::5").await.0.status, 429);
            house.io.close();
            house.empties().await;
        }
    }

    async fn an_address_has_its_rate_of_handshakes(road: Road) {
        let mut config = config();
        config.per_ip.max_handshake_rate = Some(1);
        config.per_ip.handshake_burst = 2;
        config.proxies = Proxies::Hops(1);
        let house = House::with(road, config, |server| server).await;
        let requests = openings("X-Forwarded-For: 2001:db8::1\r\n");
        for (request, good) in requests.into_iter().zip([200, 101]) {
            let mut refused = 0;
            for _ in 0..10 {
                let (answer, _) = ask(&house, &request).await;
                if answer.status != good {
                    is_refusal(&answer, 429, "Too many requests");
                    refused += 1;
                }
            }
            assert!(refused > 0);
        }
        let counters = house.io.counters();
        assert_eq!(counters.limit(Limit::AddressRate), counters.refused);
    }

    async fn near_the_budget_volatile_events_are_dropped_and_nobody_is_let_in(road: Road) {
        let house = House::with(road, budget(1_000_000), rooms).await;
        let mut laden = Polling::join(house.address).await;
        let mut ws = house.client().await;
        ws.text(r#"42["enter","light"]"#).await;
        ws.expect_text(r#"42["in"]"#).await;
        let emit = async |bytes: usize| {
            let before = house.io.buffered_bytes();
            let sent = house.io.everyone().except("light").emit("load", &"x".repeat(bytes - 11));
            assert_eq!(sent.reached, 1);
            // What is counted is a frame: its header is there, too.
            until("the count", || house.io.buffered_bytes() >= before + bytes).await;
        };
        let is_let_in = async || {
            let [polling, websocket] = openings("");
            let (polling, websocket) = (ask(&house, polling).await.0, ask(&house, websocket).await.0);
            if (polling.status, websocket.status) == (200, 101) {
                return true;
            }
            is_refusal(&polling, 503, "Out of memory");
            is_refusal(&websocket, 503, "Out of memory");
            false
        };
        let volatile = || house.io.to("light").volatile().emit("now", &()).reached;
        emit(790_000).await;
        assert_eq!(volatile(), 1);
        ws.expect_text(r#"42["now"]"#).await;
        emit(12_000).await;
        assert_eq!(volatile(), 0);
        assert!(is_let_in().await);
        emit(100_000).await;
        assert!(!is_let_in().await);
        assert_eq!(house.io.counters().limit(Limit::Memory), 2);
        // Who is in goes on: what waits is fetched, and all is as it was.
        assert!(laden.get().await.len() > 790_000);
        while house.io.buffered_bytes() > 0 {
            laden.get().await;
        }
        assert_eq!(volatile(), 1);
        assert!(is_let_in().await);
        ws.expect_text(r#"42["now"]"#).await;
    }

    async fn at_the_budget_the_connection_with_the_most_is_closed(road: Road) {
        let mut house = House::with(road, budget(1_000_000), rooms).await;
        let mut small = Polling::join(house.address).await;
        let mut large = Polling::join(house.address).await;
        for (polling, room) in [(&mut small, "small"), (&mut large, "large")] {
            polling.post(&format!(r#"42["enter","{room}"]"#)).await;
            assert_eq!(polling.get().await, r#"42["in"]"#);
        }
        house.io.to("small").emit("load", &"x".repeat(400_000));
        house.io.to("large").emit("load", &"x".repeat(500_000));
        until("both counted", || house.io.buffered_bytes() > 900_000).await;
        assert_eq!(house.io.connections(), 2);
        // What is sent to both counts once.
        let both = || house.io.to(["small", "large"]);
        both().emit("load", &"x".repeat(90_000));
        until("it counted", || house.io.buffered_bytes() > 990_000).await;
        assert_eq!(house.io.connections(), 2);
        both().emit("load", &"x".repeat(10_000));
        let reason = house.farewell().await.reason;
        assert_eq!(reason, DisconnectReason::Connection(Reason::Overload));
        assert_eq!(reason.as_str(), "transport close");
        assert_eq!(house.io.counters().limit(Limit::Memory), 1);
        assert_eq!(large.get_answer().await.status, 400);
        let mut fetched = small.get().await;
        while house.io.buffered_bytes() > 0 {
            fetched.push_str(&small.get().await);
        }
        assert!(fetched.len() > 490_000);
        small.post("1").await;
        house.is_unharmed().await;
    }

    async fn what_comes_and_is_not_whole_counts_until_it_is_or_its_connection_goes(road: Road) {
        let house = House::with(road, budget(100_000_000), |server| server).await;
        // A WebSocket message, its last fragment missing.
        let mut ws = house.client().await;
        let payload = format!(r#"42["echo","{}"]"#, "x".repeat(300_000));
        ws.raw(&frame(0x01, &payload.as_bytes()[..200_000])).await;
        until("the fragment counted", || house.io.buffered_bytes() >= 200_000).await;
        ws.raw(&frame(0x80, &payload.as_bytes()[200_000..])).await;
        until("the whole gone", || house.io.buffered_bytes() == 0).await;
        // A packet whose second attachment is missing, and whose client goes.
        ws.text(r#"452-["say",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#).await;
        ws.binary(&[7; 150_000]).await;
        until("the attachment counted", || house.io.buffered_bytes() >= 150_000).await;
        ws.reset();
        until("it gone", || house.io.buffered_bytes() == 0).await;
        // The body of a POST, its last byte missing, and its client gone.
        let mut polling = Polling::join(house.address).await;
        let body = "4".repeat(250_000);
        let request = post(&polling.query(), &body);
        polling.posts.send(&request[..request.len() - 1]).await;
        until("the body counted", || house.io.buffered_bytes() >= 249_000).await;
        polling.posts.reset();
        until("it gone", || house.io.buffered_bytes() == 0).await;
        house.is_unharmed().await;
    }

    async fn a_body_that_trickles_is_given_up_and_one_that_flows_is_not(road: Road) {
        let mut config = config();
        config.body_grace = Duration::from_millis(100);
        config.min_body_rate = 1000;
        let mut house = House::with(road, config, |server| server).await;
        let mut polling = Polling::join(house.address).await;
        let text = "x".repeat(2000);
        let request = post(&polling.query(), &format!(r#"42["say","{text}"]"#));
        let (most, last) = request.split_at(request.len() - 10);
        polling.posts.send(most).await;
        // Longer than what is given for nothing: two kilobytes have earned two seconds.
        tokio::time::sleep(Duration::from_millis(200)).await;
        polling.posts.send(last).await;
        assert_eq!(polling.posts.answer().await.status, 200);
        let request = post(&polling.query(), r#"42["say",1]"#);
        polling.posts.send(&request[..request.len() - 1]).await;
        assert_eq!(polling.posts.answer().await.status, 408);
        assert_eq!(house.farewell().await.reason.as_str(), "transport error");
        assert_eq!(house.io.counters().limit(Limit::BodyTime), 1);
    }
}

/// Clients enter rooms as they like.
fn rooms(server: Server) -> Server {
    server.on("enter", async |socket, room: String| {
        socket.join(&room);
        socket.emit("in", &());
    })
}

fn budget(bytes: usize) -> Config {
    let mut config = config();
    config.memory_budget = Some(bytes);
    config.compress_above = None;
    config
}

#[tokio::test]
async fn above_so_many_idle_connections_the_oldest_is_closed() {
    let mut config = config();
    config.shards = Some(1);
    config.max_pending = 5;
    let house = House::with(Road::Own, config, |server| server).await;
    let hits = || house.io.counters().limit(Limit::Pending);
    // Neither a WebSocket nor a GET that waits is idle.
    let mut ws = house.client().await;
    let mut polling = Polling::join(house.address).await;
    polling.ask().await;
    // Its other connection is. Then one that is silent, and one that has not said all.
    let silent = Peer::connect(house.address).await;
    let mut begun = Peer::connect(house.address).await;
    begun.send("GET /socket.io/").await;
    let mut answered = Peer::connect(house.address).await;
    answered.send(format!("{}\r\n", get("EIO=4"))).await;
    assert_eq!(answered.answer().await.status, 400);
    until("all of them known", || house.descriptors() == 6).await;
    assert_eq!(hits(), 0);
    // The connection for POSTs is used last of all: it is the newest.
    polling.post(r#"42["say",1]"#).await;
    assert_eq!(polling.gets.answer().await.body, r#"42["said",1]"#);
    polling.ask().await;
    let mut next = vec![Peer::connect(house.address).await];
    for (gone, old) in [silent, begun].into_iter().enumerate() {
        next.push(Peer::connect(house.address).await);
        assert_eq!(old.ended().await, b"");
        assert_eq!(hits(), gone as u64 + 1);
    }
    answered.send(format!("{}\r\n", get("EIO=4"))).await;
    assert_eq!(answered.answer().await.status, 400);
    polling.post(r#"42["say",2]"#).await;
    assert_eq!(polling.gets.answer().await.body, r#"42["said",2]"#);
    ws.text(r#"421["echo",1]"#).await;
    ws.expect_text("431[1]").await;
    assert!(!matches!(ws_is_over(&mut ws).await, Some(Got::End(_))));
}

/// What the server says to a WebSocket at once, if anything.
async fn ws_is_over(ws: &mut Ws) -> Option<Got> {
    tokio::time::timeout(Duration::from_millis(10), ws.next())
        .await
        .ok()
}
